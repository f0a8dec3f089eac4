/*
 * Uncertain: a create was sent and nobody knows what became of it.  It is looked
 * for in the provider's list; only a complete list without it, read late enough,
 * lets it be sent again.
 */
#include "config.h"

#include "core/find.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/pause_point.h"
#include "core/input.h"
#include "core/step.h"
#include "core/workers.h"
#include "db/strays.h"
#include "providers/adapter.h"

#define MINUTE_US INT64_C(60000000)

/* Wider than the creates, since clocks differ and Date has no fractions; and
 * asked for wider still, so that the first guess of the provider's clock will do. */
#define MARGIN_US (5 * MINUTE_US)
#define GUESS_MARGIN_US (6 * MINUTE_US)

/* Of a window of some minutes: a hundred predictions each, as a rule. */
#define PAGES_MAX 50
#define CANDIDATES_MAX 16

/* A live prediction answers 404 now and then. */
#define GONE_AFTER 5

/* How long after its deadline a job is waited for whose list cannot be had. */
#define DEADLINE_MARGIN_MS 30000

struct find_window
find_window(int64_t now_us, int64_t sent_age_ms, int64_t unsure_age_ms, int64_t margin_us)
{
	return (struct find_window){
		.after_us = now_us - sent_age_ms * 1000 - margin_us,
		.before_us = now_us - (unsure_age_ms > 0 ? unsure_age_ms * 1000 : 0) + margin_us,
	};
}

bool
find_window_covers(const struct find_window *listed, const struct find_window *needed)
{
	return listed->after_us <= needed->after_us && listed->before_us >= needed->before_us;
}

static bool
is_inline(const json_t *v)
{
	const char *s = json_string_value(v);

	return s && strncmp(s, "data:", 5) == 0;
}

bool
find_same_input(const json_t *told, const json_t *sent)
{
	const char *name;
	json_t *v;
	size_t i;

	if (is_inline(sent) || input_is_signed_for(sent, told))
		return true;
	if (json_is_number(sent) && json_is_number(told))
		return json_number_value(sent) == json_number_value(told);
	if (json_is_array(sent) && json_is_array(told)) {
		json_array_foreach(sent, i, v)
			if (!find_same_input(json_array_get(told, i), v))
				return false;
		return json_array_size(sent) == json_array_size(told);
	}
	if (json_is_object(sent) && json_is_object(told)) {
		json_object_foreach((json_t *)(uintptr_t)sent, name, v)
			if (!find_same_input(json_object_get(told, name), v))
				return false;
		return true;
	}
	return told && json_equal(told, sent);
}

bool
find_mentions(const json_t *told, const char *text)
{
	const char *name;
	json_t *v;
	size_t i;

	if (json_is_string(told))
		return strstr(json_string_value(told), text) != NULL;
	json_array_foreach(told, i, v)
		if (find_mentions(v, text))
			return true;
	json_object_foreach((json_t *)(uintptr_t)told, name, v)
		if (find_mentions(v, text))
			return true;
	return false;
}

enum naming
find_naming(const struct service *svc, const char *webhook_url, const struct uuid *owner,
	const struct uuid *job)
{
	const char *token = webhook_url ? strstr(webhook_url, "?job=") : NULL;
	const char *here = svc->settings->public_url;
	struct uuid whose, which;

	if (!webhook_url)
		return NAMES_NOBODY;
	if (!token)
		return NAMES_ANOTHER;
	if (service_open_token(svc, token + 5, strlen(token + 5), &whose, &which, NULL))
		return strncmp(webhook_url, here, strlen(here)) == 0 ? NAMES_UNREADABLY : NAMES_ANOTHER;
	return uuid_equal(&whose, owner) && uuid_equal(&which, job) ? NAMES_THIS_JOB : NAMES_ANOTHER;
}

/* What a look came to. */
enum outcome {
	TAKEN_OVER,		/* it was there; the job has moved on */
	NOT_THERE,		/* everything was seen, and it was not among it */
	CANNOT_TELL,		/* as well as can be seen, and that is not enough */
	NO_ANSWER,		/* nothing that could be read; later perhaps */
};

struct candidate {
	char *id;
	char *handle;			/* or NULL */
	int64_t created_us;
	bool has_failed;
};

/* Those that may be the job's. */
struct candidates {
	struct candidate list[CANDIDATES_MAX];
	size_t n;
	bool full;			/* there were more */
};

static void
candidate_clear(struct candidate *c)
{
	mem_free(c->id);
	mem_free(c->handle);
}

static void
candidates_clear(struct candidates *c)
{
	while (c->n > 0)
		candidate_clear(&c->list[--c->n]);
}

static enum err_code
candidate_init(struct candidate *c, const struct found_prediction *found)
{
	const char *handle = found->obs.handle;

	*c = (struct candidate){
		.id = mem_strdup(found->obs.prediction_id),
		.handle = handle ? mem_strdup(handle) : NULL,
		.created_us = found->created_us,
		.has_failed = found->obs.status == GEN_FAILED || found->obs.status == GEN_CANCELED,
	};
	if (c->id && (c->handle || !handle))
		return ERR_OK;
	candidate_clear(c);
	return ERR_NOMEM;
}

static enum err_code
candidates_add(struct candidates *c, const struct found_prediction *found)
{
	for (size_t i = 0; i < c->n; i++)	/* on two pages */
		if (strcmp(c->list[i].id, found->obs.prediction_id) == 0)
			return ERR_OK;
	if (c->n == CANDIDATES_MAX) {
		c->full = true;
		return ERR_OK;
	}
	if (candidate_init(&c->list[c->n], found))
		return ERR_NOMEM;
	c->n++;
	return ERR_OK;
}

/* Of several, the one to take: the first that may still come to something. */
static const struct candidate *
candidates_best(const struct candidates *c)
{
	const struct candidate *best = &c->list[0];

	for (size_t i = 1; i < c->n; i++) {
		const struct candidate *other = &c->list[i];

		if (other->has_failed != best->has_failed ? best->has_failed
				: other->created_us < best->created_us)
			best = other;
	}
	return best;
}

struct search {
	struct service *svc;
	struct job *job;
	const struct provider *p;
	const void *settings;
	json_t *input;			/* as the create had it; NULL: that cannot be told */
	struct candidates named;	/* by their webhook's URL */
	struct candidates alike;	/* without a URL, and the input may be ours */
	bool echoes;			/* the list has URLs */
	bool cut;			/* not all could be seen, or read */
	bool cut_off;			/* by our own stop: nobody was asked */
	uint64_t wait_ms;		/* the provider said when to come back */
};

static int64_t
since_loaded_ms(const struct job *job)
{
	return (clock_boot_us() - job->loaded_boot_us) / 1000;
}

static struct find_window
window_at(const struct search *s, int64_t now_us, int64_t margin_us)
{
	return find_window(now_us, s->job->sent_age_ms + since_loaded_ms(s->job),
		s->job->unsure_age_ms, margin_us);
}

/* One that says nobody's name.  It is surely not ours only without our prompt: the
 * model's profile may have been another one when the create was sent. */
static enum err_code
look_at_nameless(struct search *s, const struct found_prediction *found)
{
	const char *prompt = json_string_value(json_object_get(s->job->request, "prompt"));

	if (s->input && found->input && find_same_input(found->input, s->input))
		return candidates_add(&s->alike, found);
	s->cut |= !found->input || !prompt || find_mentions(found->input, prompt);
	return ERR_OK;
}

static enum err_code
look_at_one(struct search *s, const struct found_prediction *found)
{
	const char *url = found->obs.webhook_url;

	s->echoes |= url != NULL;
	switch (find_naming(s->svc, url, &s->job->owner, &s->job->id)) {
	case NAMES_THIS_JOB:
		return candidates_add(&s->named, found);
	case NAMES_UNREADABLY:
		s->cut = true;
		return ERR_OK;
	case NAMES_NOBODY:
		return look_at_nameless(s, found);
	default:
		return ERR_OK;
	}
}

/* It said so; the longest counts. */
static void
stay_away(struct search *s, uint64_t asked_ms)
{
	asked_ms = after_ms(asked_ms);
	if (asked_ms > s->wait_ms)
		s->wait_ms = asked_ms;
}

static enum err_code
ask_for_page(struct search *s, const struct find_query *query, struct find_reply *ret,
	struct err *err)
{
	struct http_request rq = HTTP_REQUEST_INIT;
	struct http_response rs = HTTP_RESPONSE_INIT;
	enum err_code rc = adapter_find_request(s->p, s->settings, query, &rq, err);

	if (!rc)
		rc = step_perform(s->svc, s->p, "find", &rq, &rs, err);
	if (!rc)
		rc = adapter_find_reply(s->p, s->settings, &rs, ret, err);
	http_request_clear(&rq);
	http_response_clear(&rs);
	s->cut_off |= rc == ERR_STOPPING;
	if (!rc && ret->outcome == FIND_LATER) {
		stay_away(s, ret->retry_after_ms);
		rc = err_set(err, ERR_UPSTREAM, "%s", ret->message ? ret->message : "no list");
	}
	return rc;
}

static enum err_code
take_page(struct search *s, const struct find_reply *page)
{
	enum err_code rc = ERR_OK;

	s->cut |= page->cut;
	for (size_t i = 0; i < page->n && !rc; i++)
		rc = look_at_one(s, &page->found[i]);
	return rc;
}

/* The pages behind one; *page is then the last. */
static enum err_code
read_on(struct search *s, struct find_reply *page, struct err *err)
{
	enum err_code rc = take_page(s, page);

	for (int n = 1; !rc && page->follow; n++) {
		char *follow = page->follow;
		const struct find_query query = { .follow = follow };

		if (n == PAGES_MAX) {
			s->cut = true;
			return ERR_OK;
		}
		page->follow = NULL;
		find_reply_clear(page);
		rc = ask_for_page(s, &query, page, err);
		mem_free(follow);
		if (!rc)
			rc = take_page(s, page);
	}
	return rc;
}

/*
 * Our clock guesses the window, and the Date of the first page says whether that was
 * right by the provider's.  If not, its clock is known now.
 */
static enum err_code
read_list(struct search *s, struct err *err)
{
	struct find_window listed = window_at(s, clock_wall_us(), GUESS_MARGIN_US), needed;
	struct find_reply page = { .n = 0 };
	enum err_code rc = ERR_OK;

	for (int guess = 0; !rc && guess < 3; guess++) {
		const struct find_query query = { .after_us = listed.after_us, .before_us = listed.before_us };

		rc = ask_for_page(s, &query, &page, err);
		if (rc)
			break;
		needed = window_at(s, page.date_us, MARGIN_US);
		if (!page.date_us)	/* take what is there, and it is not all */
			s->cut = true;
		if (!page.date_us || find_window_covers(&listed, &needed)) {
			rc = read_on(s, &page, err);
			find_reply_clear(&page);
			return rc;
		}
		listed = window_at(s, page.date_us, GUESS_MARGIN_US);
		find_reply_clear(&page);
	}
	find_reply_clear(&page);
	return rc ? rc : err_set(err, ERR_UPSTREAM, "the provider's clock says another time with each answer");
}

/* The input as the create had it; NULL where that cannot be told any more. */
static json_t *
input_of(const struct service *svc, const struct provider *p, const struct job *job)
{
	struct model model;
	json_t *request = NULL, *on = NULL, *input = NULL;

	if (models_find(svc->models, job->model, &model) &&
	    input_mark_all(job->request, &request) == ERR_OK &&
	    models_expand(&model, p->name, request, &on, NULL) == ERR_OK)
		input = json_incref(json_object_get(on, "input"));
	json_decref(on);
	json_decref(request);
	return input;
}

static void
take_over(struct service *svc, struct job *job, const struct gen_observation *obs, const char *road)
{
	const struct provider *p = provider_by_name(job->provider);	/* its name stays */
	const struct job_event found = { .kind = EV_FOUND, .provider = p ? p->name : NULL, .obs = obs };
	const struct apply how = { .road = road };

	step_apply(svc, job, &found, &how);
}

/* Is it this job's alone, as far as our own books say? */
static bool
is_ours_alone(struct search *s, const char *prediction_id, bool is_named)
{
	bool alone = false;
	struct err err = ERR_INIT;

	if (jobs_alone(s->svc->db, s->job, s->job->provider, prediction_id, is_named, &alone, &err)) {
		step_failed(s->job, "find", err.text);
		return false;
	}
	return alone;
}

/* The provider's record of one, which has the last word. */
static enum outcome
confirm(struct search *s, const struct candidate *c, bool is_named)
{
	struct status_reply reply = { .obs = GEN_OBSERVATION_INIT };
	struct err err = ERR_INIT;
	enum err_code rc = step_ask_status(s->svc, s->job->provider, c->id, c->handle ? c->handle : s->job->handle,
		&reply, &err);
	enum outcome ret = CANNOT_TELL;
	enum naming names = NAMES_ANOTHER;

	s->cut_off |= rc == ERR_STOPPING;
	if (rc || reply.outcome != STATUS_SEEN) {
		step_failed(s->job, "confirm", rc ? err.text : reply.message);
		stay_away(s, reply.retry_after_ms);
		ret = NO_ANSWER;
	} else {
		names = find_naming(s->svc, reply.obs.webhook_url, &s->job->owner, &s->job->id);
		if (names == NAMES_THIS_JOB || (names == NAMES_NOBODY &&
				(is_named || is_ours_alone(s, c->id, false)))) {
			take_over(s->svc, s->job, &reply.obs, "find");
			ret = TAKEN_OVER;
		} else if (names == NAMES_ANOTHER && !is_named) {
			ret = NOT_THERE;
		}
	}
	status_reply_clear(&reply);
	return ret;
}

/* All that the list says are this job's; one of them is taken over.  Several are
 * all written down, that one too: it may be another that the job gets in the end. */
static enum outcome
take_named(struct search *s)
{
	const struct candidate *best = candidates_best(&s->named);
	struct err err = ERR_INIT;
	enum outcome ret;

	for (size_t i = 0; s->named.n > 1 && i < s->named.n; i++)
		if (strays_add(s->svc->db, &s->job->owner, &s->job->id, s->named.list[i].id,
				s->named.list[i].handle, s->job->provider, "find", &err)) {
			step_failed(s->job, "find", err.text);
			return NO_ANSWER;
		}
	ret = confirm(s, best, true);
	if (s->named.n > 1)
		workers_hint_removal(s->svc->workers);
	return ret;
}

/*
 * Without URLs the input has to do: where none was asked for, or the provider does
 * not tell them, and nothing else of ours is like it.
 */
static enum outcome
take_alike(struct search *s)
{
	bool may_have_url = s->echoes && service_has_webhooks(s->svc, s->p, s->settings);

	if (s->alike.n != 1 || s->alike.full || may_have_url)
		return CANNOT_TELL;
	return confirm(s, &s->alike.list[0], false);
}

/* Is this list of the account that the creates went to? */
static bool
is_same_account(const struct search *s)
{
	char account[ACCOUNT_SIZE];

	return service_account(s->svc, s->job->provider, account) == ERR_OK &&
		strcmp(account, s->job->sent_as) == 0;
}

/* May what is not there exist all the same? */
static enum outcome
not_there(const struct search *s)
{
	return s->cut || s->job->unsure_age_ms < 0 || !is_same_account(s) ? CANNOT_TELL : NOT_THERE;
}

/* Its id is our own, so it is asked about. */
static enum outcome
search_by_id(struct search *s)
{
	struct status_reply reply = { .obs = GEN_OBSERVATION_INIT };
	struct err err = ERR_INIT;
	char id[UUID_TEXT_SIZE];
	enum outcome ret = NO_ANSWER;
	enum err_code rc;

	uuid_format(&s->job->id, id);
	rc = step_ask_status(s->svc, s->job->provider, id, s->job->handle, &reply, &err);
	s->cut_off |= rc == ERR_STOPPING;
	if (!rc && reply.outcome == STATUS_SEEN) {
		take_over(s->svc, s->job, &reply.obs, "find");
		ret = TAKEN_OVER;
	} else if (!rc && reply.outcome == STATUS_GONE) {
		ret = not_there(s);
	} else {
		step_failed(s->job, "find", rc ? err.text : reply.message);
		stay_away(s, reply.retry_after_ms);
	}
	status_reply_clear(&reply);
	return ret;
}

static enum outcome
search_list(struct search *s)
{
	struct err err = ERR_INIT;
	enum outcome ret;
	enum err_code rc;

	s->input = input_of(s->svc, s->p, s->job);
	rc = read_list(s, &err);
	if (rc)
		step_failed(s->job, "find", err.text);
	/* What was seen before a page was missing counts. */
	if (s->named.n > 0)
		ret = take_named(s);
	else if (rc)
		ret = NO_ANSWER;
	else if (s->alike.n > 0)
		ret = take_alike(s);
	else
		ret = NOT_THERE;
	if (ret == NOT_THERE)
		ret = not_there(s);
	json_decref(s->input);
	candidates_clear(&s->named);
	candidates_clear(&s->alike);
	return ret;
}

static enum outcome
search(struct search *s)
{
	s->p = service_provider(s->svc, s->job->provider, &s->settings);
	if (s->p && s->p->caps & PROVIDER_NAMED)
		return search_by_id(s);
	return s->p && s->p->caps & PROVIDER_FIND ? search_list(s) : CANNOT_TELL;
}

/* A webhook named a prediction while the create's outcome was unknown.  Where the
 * provider does not echo the webhook's URL, its id in a signed webhook at this job's
 * sealed URL has to do, unless another job has it. */
static enum outcome
look_at_hint(struct search *s)
{
	struct status_reply reply = { .obs = GEN_OBSERVATION_INIT };
	struct err err = ERR_INIT;
	enum err_code rc = step_ask_status(s->svc, s->job->provider, s->job->prediction_id, s->job->handle,
		&reply, &err);
	enum outcome ret = NO_ANSWER;
	enum naming names;

	s->cut_off |= rc == ERR_STOPPING;
	if (rc || reply.outcome != STATUS_SEEN) {
		step_failed(s->job, "confirm", rc ? err.text : reply.message);
		stay_away(s, reply.retry_after_ms);
		s->job->misses = !rc && reply.outcome == STATUS_GONE ? s->job->misses + 1 : 0;
		if (s->job->misses >= GONE_AFTER)
			ret = NOT_THERE;
	} else {
		names = find_naming(s->svc, reply.obs.webhook_url, &s->job->owner, &s->job->id);
		if (names == NAMES_THIS_JOB ||
		    (names == NAMES_NOBODY && is_ours_alone(s, s->job->prediction_id, true))) {
			take_over(s->svc, s->job, &reply.obs, "webhook");
			ret = TAKEN_OVER;
		} else {
			ret = names == NAMES_ANOTHER ? NOT_THERE : CANNOT_TELL;
		}
	}
	status_reply_clear(&reply);
	return ret;
}

/* The hint first: it needs no grace.  Then the list; one that lacks it is no news
 * while the hint is not refuted. */
static enum outcome
look(struct search *s)
{
	enum outcome hint = NOT_THERE, list;

	if (s->job->prediction_id)
		hint = look_at_hint(s);
	if (hint == TAKEN_OVER)
		return hint;
	if (s->wait_ms)		/* no list without it was seen */
		return NO_ANSWER;
	list = search(s);
	return list == NOT_THERE ? hint : list;
}

/* How long until a list without it means that it does not exist. */
static int64_t
grace_left_ms(const struct search *s)
{
	int64_t grace_ms = (int64_t)s->svc->settings->uncertain_grace_ms;

	return grace_ms - s->job->unsure_age_ms;
}

/* Not later than is worth while: the end of the grace, the job's own end. */
static uint64_t
later_ms(const struct search *s, enum outcome outcome)
{
	int64_t ms = (int64_t)backoff_ms(s->job->tries + 2), grace_ms = grace_left_ms(s);
	int64_t left_ms = s->job->time_left_ms;

	if (outcome == NOT_THERE && grace_ms < ms)
		ms = grace_ms;
	if (left_ms > 0 && left_ms < ms)
		ms = left_ms;
	if ((int64_t)s->wait_ms > ms) {
		ms = (int64_t)after_ms(s->wait_ms);
		if (ms > left_ms + DEADLINE_MARGIN_MS)
			ms = left_ms + DEADLINE_MARGIN_MS;
	}
	return ms > 0 ? (uint64_t)ms : 0;
}

static bool
gives_up(const struct search *s, enum outcome outcome)
{
	int64_t left_ms = s->job->time_left_ms;

	return outcome == CANNOT_TELL ? left_ms <= 0
		: outcome == NO_ANSWER && left_ms <= -DEADLINE_MARGIN_MS;
}

void
find_step(struct service *svc, struct job *job)
{
	struct search s = { .svc = svc, .job = job };
	struct apply how = { .road = NULL };
	const struct job_event deadline = { .kind = EV_DEADLINE };
	struct job_event not_there = { .kind = EV_NOT_THERE, .attempt = job->attempts };
	char *hint = job->prediction_id ? mem_strdup(job->prediction_id) : NULL;
	int32_t version = job->version;
	enum outcome outcome = job->prediction_id && !hint ? NO_ANSWER : look(&s);

	PAUSE_POINT("find.looked");
	not_there.hint = hint;
	not_there.elsewhere = step_elsewhere(svc, job, &how.at_once);
	if (s.cut_off && outcome != TAKEN_OVER) {
		step_give_back(svc, job);
		mem_free(hint);
		return;
	}
	if (outcome == NOT_THERE && grace_left_ms(&s) <= 0)
		step_apply(svc, job, &not_there, &how);
	else if (gives_up(&s, outcome))
		step_apply(svc, job, &deadline, &how);
	if (job->state == GEN_UNCERTAIN && job->version != version)
		step_give_back(svc, job);	/* a hint came meanwhile */
	else if (job->state == GEN_UNCERTAIN)
		step_later(svc, job, later_ms(&s, outcome));
	mem_free(hint);
}
