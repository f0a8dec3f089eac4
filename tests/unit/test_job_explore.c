/*
 * job_next() from the first state on, breadth first, by every event with all that it
 * can say, until nothing new is reached: what never happens, and that there is
 * always a way to an end.
 */
#include "config.h"

#include "core/job.h"

#include "tests/unit/unit.h"

/* Predictions: the job's own once it runs; before that a hint. */
enum named { NONE, P, Q, NAMES };
static char *const ids[NAMES] = { NULL, (char[]){ "p" }, (char[]){ "q" } };

/* A third create is like a second one. */
#define ATTEMPTS 4
#define CANCELS 3

struct node {
	enum gen_state state;
	enum gen_status status;
	enum gen_cancel cancel;
	enum named named;
	int attempts;
};

#define NODES (GEN_STATE_COUNT * GEN_STATUS_COUNT * CANCELS * NAMES * ATTEMPTS)

/* What is known of the nodes, and from where to where one event leads. */
struct graph {
	struct node nodes[NODES];
	size_t n;
	int place[NODES];		/* in nodes, by number; -1: not reached */
	bool (*edges)[NODES];
	size_t n_edges;
};

static size_t
number_of(const struct node *n)
{
	return ((((size_t)n->state * GEN_STATUS_COUNT + n->status) * CANCELS + n->cancel) * NAMES
		+ n->named) * ATTEMPTS + (size_t)n->attempts;
}

static int
reach(struct graph *g, const struct node *n)
{
	int *place = &g->place[number_of(n)];

	if (*place < 0) {
		g->nodes[g->n] = *n;
		*place = (int)g->n++;
	}
	return *place;
}

static enum named
name_of(const char *id)
{
	return !id ? NONE : strcmp(id, ids[P]) == 0 ? P : Q;
}

static bool
has_news(enum job_event_kind kind)
{
	return kind == EV_ACCEPTED || kind == EV_FOUND || kind == EV_OBSERVED || kind == EV_HEARD;
}

static bool
is_waiting(enum gen_state state)
{
	return state == GEN_SUBMITTING || state == GEN_UNCERTAIN;
}

/* One event, and the time that is left when it comes. */
struct step {
	struct job_event ev;
	int64_t left_ms;
};

#define NEVER(what) do { \
	if (what) \
		fail_msg("%s, %s, cancel %d, %s, attempt %d; %s of attempt %d, %s, %s: to %s, %s, %s, stray %s: %s", \
			gen_state_name(from->state), gen_status_name(from->status), (int)from->cancel, \
			from->named ? ids[from->named] : "none", from->attempts, job_event_name(s->ev.kind), \
			(int)s->ev.attempt, s->ev.obs && s->ev.obs->prediction_id ? s->ev.obs->prediction_id : "none", \
			s->ev.obs ? gen_status_name(s->ev.obs->status) : "no news", gen_state_name(to->state), \
			gen_status_name(to->status), to->named ? ids[to->named] : "none", \
			t->stray ? t->stray : "none", #what); \
} while (0)

static void
check_sending(const struct node *from, const struct node *to, const struct step *s, const struct transition *t)
{
	bool current = s->ev.attempt == from->attempts;

	NEVER(to->state == GEN_SUBMITTING && from->state != GEN_SUBMITTING &&
		(from->state != GEN_QUEUED || s->ev.kind != EV_SEND));
	NEVER(to->state == GEN_QUEUED && from->state != GEN_QUEUED &&
		(!is_waiting(from->state) || !current ||
		 (s->ev.kind != EV_NOT_THERE && s->ev.kind != EV_DEFERRED && !t->provider)));
	NEVER(s->ev.kind == EV_NOT_THERE && t->moves && from->state != GEN_UNCERTAIN);
	/* Nor while a hint stands that was not looked at. */
	NEVER(to->state == GEN_QUEUED && from->state == GEN_UNCERTAIN && from->named != NONE &&
		!(s->ev.hint && strcmp(s->ev.hint, ids[from->named]) == 0));
	/* To another provider only where nothing can exist at this one, and not at the
	 * request's own fault. */
	NEVER(t->provider && (!t->moves || to->state != GEN_QUEUED || !current));
	NEVER(t->provider && s->ev.kind != EV_NOT_THERE && s->ev.kind != EV_DEFERRED &&
		(s->ev.kind != EV_REFUSED || s->ev.error != ERR_PROVIDER_UNAVAILABLE));
	NEVER(t->provider && from->named != NONE && s->ev.kind != EV_NOT_THERE);
	NEVER(t->provider && t->provider != s->ev.elsewhere);
	NEVER(to->state == GEN_QUEUED && to->named != NONE);
	NEVER(to->state == GEN_QUEUED && to->cancel != GEN_CANCEL_NONE);
	NEVER(to->state == GEN_QUEUED && from->state != GEN_QUEUED && s->left_ms <= 0);
}

static void
check_ends(const struct node *from, const struct node *to, const struct step *s, const struct transition *t)
{
	NEVER(from->state == GEN_SETTLED && t->moves);
	/* Nothing is believed that may be a copy. */
	NEVER(s->ev.kind == EV_HEARD && (to->state != from->state || to->status != from->status));
	NEVER(t->looks && (s->ev.kind != EV_HEARD || from->state != GEN_RUNNING));
	NEVER((to->state == GEN_SETTLED) != gen_status_is_final(to->status));
	NEVER(t->moves && (t->error != ERR_OK) != (t->status == GEN_FAILED));
	NEVER(to->status < from->status);
	NEVER(from->state == GEN_STORING && to->state != GEN_STORING && to->state != GEN_SETTLED);
	NEVER(from->state == GEN_RUNNING && to->state < GEN_RUNNING);
	NEVER(from->cancel != GEN_CANCEL_NONE && to->cancel != from->cancel);
	/* Whoever asked for the end is not told that its time was over, unless the
	 * provider said so. */
	NEVER(from->cancel == GEN_CANCEL_USER && t->error == ERR_TIMEOUT && !s->ev.obs &&
		s->ev.kind != EV_SETTLE);
}

static void
check_predictions(const struct node *from, const struct node *to, const struct step *s, const struct transition *t)
{
	bool news = has_news(s->ev.kind);
	enum named told = news ? name_of(s->ev.obs->prediction_id) : NONE, stray = name_of(t->stray);

	NEVER((to->state == GEN_RUNNING || to->state == GEN_STORING) && to->named == NONE);
	NEVER((from->state == GEN_RUNNING || from->state == GEN_STORING) && to->named != from->named);
	NEVER(t->takes_prediction && told == NONE);
	NEVER(t->lists_outputs && to->state != GEN_STORING);
	/* No prediction that is named is forgotten, and none is a stray for nothing. */
	NEVER(told != NONE && to->named != told && stray != told);
	NEVER(stray != NONE && stray != told && stray != from->named);
	NEVER(stray != NONE && to->named == stray);
	/* Nor a hint, unless it was looked at. */
	NEVER(is_waiting(from->state) && from->named != NONE && to->named != from->named &&
		s->ev.kind != EV_NOT_THERE && stray != from->named);
}

/* What jobs_move() makes of it. */
static struct node
moved(const struct node *from, const struct step *s, const struct transition *t)
{
	struct node to = *from;

	if (!t->moves)
		return to;
	to.state = t->state;
	to.status = t->status;
	if (to.cancel == GEN_CANCEL_NONE)
		to.cancel = t->cancel;
	if (t->takes_prediction)
		to.named = name_of(s->ev.obs->prediction_id);
	/* A record that has settled does not keep what was only hinted at. */
	else if (t->state == GEN_QUEUED || (t->state == GEN_SETTLED && from->state < GEN_RUNNING))
		to.named = NONE;
	if (t->state == GEN_SUBMITTING && from->state != GEN_SUBMITTING)
		to.attempts++;
	return to;
}

static void
take(struct graph *g, int at, const struct step *s)
{
	const struct node from = g->nodes[at];
	const struct job job = {
		.state = from.state, .status = from.status, .cancel = from.cancel,
		.prediction_id = ids[from.named], .attempts = from.attempts, .time_left_ms = s->left_ms,
	};
	struct transition t = job_next(&job, &s->ev);
	struct node to = moved(&from, s, &t);

	check_sending(&from, &to, s, &t);
	check_ends(&from, &to, s, &t);
	check_predictions(&from, &to, s, &t);
	g->n_edges++;
	/* By the operator's force there is always a way. */
	if (to.attempts < ATTEMPTS && !s->ev.force)
		g->edges[at][reach(g, &to)] = true;
	else if (to.attempts < ATTEMPTS)
		reach(g, &to);
}

static void
take_with_news(struct graph *g, int at, struct step s)
{
	json_t *outputs[] = { json_array(), json_pack("[s]", "https://x.example/a.png") };

	for (int status = 0; status < GEN_STATUS_COUNT; status++)
		for (int named = 0; named < NAMES; named++)
			for (int kind = 0; kind < 8; kind++) {
				struct gen_observation obs = {
					.prediction_id = ids[named], .status = (enum gen_status)status,
					.status_known = kind & 1, .data_removed = kind & 2, .outputs = outputs[kind >> 2],
					.error = status == GEN_FAILED ? ERR_PROVIDER_FAILED : ERR_OK,
				};

				s.ev.obs = &obs;
				/* The create's answer, and a record, say their id. */
				if (named != NONE || s.ev.kind == EV_OBSERVED || s.ev.kind == EV_HEARD)
					take(g, at, &s);
			}
	json_decref(outputs[0]);
	json_decref(outputs[1]);
}

/* By every event, of every attempt, with every hint that was looked at. */
static void
take_every_event(struct graph *g, int at, int64_t left_ms, const char *elsewhere, enum err_code refusal)
{
	for (int kind = 0; kind < EV_COUNT; kind++)
		for (int attempt = 0; attempt < ATTEMPTS; attempt++)
			for (int named = 0; named < NAMES; named++) {
				struct step s = { .left_ms = left_ms, .ev = {
					.kind = (enum job_event_kind)kind, .attempt = attempt, .hint = ids[named],
					.elsewhere = elsewhere,
					.error = kind == EV_REFUSED ? refusal
						: kind == EV_STORE_FAILED ? ERR_OUTPUTS_LOST
						: kind == EV_SETTLE && named ? ERR_TIMEOUT : ERR_OK,
					.force = kind == EV_SETTLE && attempt > 0,
				} };

				if (has_news(s.ev.kind))
					take_with_news(g, at, s);
				else
					take(g, at, &s);
			}
}

static void
take_all(struct graph *g, int at)
{
	static const int64_t left_ms[] = { 1000, 0, -1000 };
	static const char *const elsewhere[] = { NULL, "another" };
	static const enum err_code refusals[] = { ERR_PROVIDER_REJECTED, ERR_PROVIDER_UNAVAILABLE };

	for (size_t l = 0; l < sizeof left_ms / sizeof *left_ms; l++)
		for (size_t e = 0; e < sizeof elsewhere / sizeof *elsewhere; e++)
			for (size_t r = 0; r < sizeof refusals / sizeof *refusals; r++)
				take_every_event(g, at, left_ms[l], elsewhere[e], refusals[r]);
}

static struct graph *
explore(void)
{
	static struct graph g;
	const struct node first = { .state = GEN_QUEUED, .status = GEN_STARTING };

	g.edges = mem_calloc(NODES, sizeof *g.edges);
	assert_non_null(g.edges);
	for (size_t i = 0; i < NODES; i++)
		g.place[i] = -1;
	reach(&g, &first);
	for (size_t i = 0; i < g.n; i++)
		take_all(&g, (int)i);
	return &g;
}

/* Back from the ends: what is not met there has no way to one. */
static void
check_ways_to_an_end(const struct graph *g)
{
	bool *ends = mem_calloc(g->n, sizeof *ends), more = true;

	for (size_t i = 0; i < g->n; i++)
		ends[i] = g->nodes[i].state == GEN_SETTLED;
	while (more) {
		more = false;
		for (size_t i = 0; i < g->n; i++)
			for (size_t k = 0; !ends[i] && k < g->n; k++)
				if (g->edges[i][k] && ends[k])
					ends[i] = more = true;
	}
	for (size_t i = 0; i < g->n; i++)
		if (!ends[i])
			fail_msg("no way to an end from %s, %s, cancel %d, %s, attempt %d",
				gen_state_name(g->nodes[i].state), gen_status_name(g->nodes[i].status),
				(int)g->nodes[i].cancel, g->nodes[i].named ? ids[g->nodes[i].named] : "none",
				g->nodes[i].attempts);
	mem_free(ends);
}

static void
breadth_first(void **state)
{
	struct graph *g = explore();
	size_t by_state[GEN_STATE_COUNT] = { 0 };

	(void)state;
	for (size_t i = 0; i < g->n; i++)
		by_state[g->nodes[i].state]++;
	print_message("job_next: %zu states reached by %zu events: ", g->n, g->n_edges);
	for (int s = 0; s < GEN_STATE_COUNT; s++) {
		print_message("%s %zu%s", gen_state_name((enum gen_state)s), by_state[s],
			s + 1 < GEN_STATE_COUNT ? ", " : "\n");
		assert_true(by_state[s] > 0);
	}
	check_ways_to_an_end(g);
	mem_free(g->edges);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(breadth_first),
	};

	return cmocka_run_group_tests_name("job_explore", tests, NULL, NULL);
}
