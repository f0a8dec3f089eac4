#include "config.h"

#include "core/apply.h"

#include "base/crypto.h"
#include "base/log.h"
#include "base/metrics.h"
#include "core/watch.h"
#include "core/workers.h"
#include "db/strays.h"

#define ROUNDS_MAX 20

#define BACKOFF_FIRST_MS 500
#define BACKOFF_MAX_MS 60000
#define POLL_MAX_MS 60000

/* Where nothing is removed by the provider, the storage still gets a week. */
#define KEEP_TRYING_MS (7LL * 24 * 3600 * 1000)

/* Between 80 and 100 percent, so that what failed together does not come back
 * together. */
uint64_t
jittered_ms(uint64_t ms)
{
	uint8_t random = 0;

	if (crypto_random(&random, sizeof random, NULL))
		return ms;
	return ms - ms * random / 1280;
}

/* Who was told when to come back comes no earlier, and not all at once either. */
uint64_t
after_ms(uint64_t ms)
{
	return 2 * ms - jittered_ms(ms);
}

uint64_t
backoff_ms(int32_t tries)
{
	uint64_t ms = BACKOFF_FIRST_MS;

	for (int32_t i = 1; i < tries && ms < BACKOFF_MAX_MS; i++)
		ms *= 2;
	return jittered_ms(ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS);
}

/* A webhook usually brings the news first: polls are for those that get lost. */
static bool
expects_webhooks(const struct service *svc, const struct job *job)
{
	const void *settings;
	const struct provider *p = service_provider(svc, job->provider, &settings);

	return p && service_has_webhooks(svc, p, settings);
}

bool
wants_cancel(const struct service *svc, const struct job *job)
{
	const void *settings;
	const struct provider *p = service_provider(svc, job->provider, &settings);

	return job->cancel != GEN_CANCEL_NONE && p && (p->caps & PROVIDER_CANCEL);
}

uint64_t
before_end_ms(const struct job *job, uint64_t ms)
{
	int64_t end_ms = job->time_left_ms + END_MARGIN_MS + 1000;

	return end_ms > 0 && (uint64_t)end_ms < ms ? (uint64_t)end_ms : ms;
}

uint64_t
poll_delay_ms(const struct service *svc, const struct job *job, int32_t tries)
{
	uint64_t ms = svc->settings->poll_interval_ms;

	/* A cancel is repeated until it has had an effect. */
	if (wants_cancel(svc, job))
		return backoff_ms(tries + 1);
	if (expects_webhooks(svc, job))
		ms *= 5;
	for (int32_t i = 0; i < tries && ms < POLL_MAX_MS; i++)
		ms += ms / 4;
	if (ms > POLL_MAX_MS && svc->settings->poll_interval_ms < POLL_MAX_MS)
		ms = POLL_MAX_MS;
	return before_end_ms(job, jittered_ms(ms));
}

/* Not later than its deadline, which has to be noticed too. */
static int64_t
within(int64_t ms, const struct job *job)
{
	int64_t left = job->time_left_ms > 0 ? job->time_left_ms : 0;

	return ms < left ? ms : left;
}

static int64_t
retention_ms(const struct service *svc, const struct job *job)
{
	const void *settings;
	const struct provider *p = service_provider(svc, job->provider, &settings);

	return p && p->retention_ms ? (int64_t)p->retention_ms : KEEP_TRYING_MS;
}

/* When the new state's action is due, and who has the lease meanwhile. */
static void
schedule(const struct service *svc, const struct job *job, const struct transition *t,
	const struct apply *how, struct job_move *move)
{
	bool same_state = move->state == job->state;

	move->attempts = job->attempts;
	/* What was repeated counts for the state that it was repeated in; and who
	 * wants it to end is not kept waiting. */
	if (same_state && !move->cancel) {
		move->tries = job->tries;
		move->misses = job->misses;
	}
	move->deadline_ms = -1;
	switch (move->state) {
	case GEN_QUEUED:
		if (!(t->provider && how->at_once))
			move->due_ms = within((int64_t)(how->wait_ms ? after_ms(how->wait_ms) : backoff_ms(job->attempts)), job);
		break;
	case GEN_SUBMITTING:
		if (same_state) {	/* a mark or a hint: the sender keeps its lease */
			move->due_ms = move->lease_ms = -1;
		} else {
			move->due_ms = move->lease_ms = (int64_t)(how->lease_ms ? how->lease_ms
				: svc->settings->lease_ms);
			move->attempts = job->attempts + 1;
		}
		break;
	case GEN_UNCERTAIN:
		if (same_state)		/* a mark or a hint: who is looking looks again */
			move->lease_ms = -1;
		else if (!job->prediction_id && !job->cancel)
			move->due_ms = within((int64_t)backoff_ms(1), job);
		break;
	case GEN_RUNNING:
		/* A hint came before the answer: perhaps it is over already. */
		if (move->cancel || (!same_state && (job->prediction_id || job->cancel)))
			move->due_ms = 0;
		else if (t->looks)	/* whoever is looking just now looks again */
			move->lease_ms = -1;
		else if (same_state && how->delivery)	/* puts no look off: it may be old news */
			move->due_ms = move->lease_ms = -1;
		else
			move->due_ms = (int64_t)poll_delay_ms(svc, job, move->tries);
		break;
	case GEN_STORING:
		move->deadline_ms = retention_ms(svc, job);
		break;
	default:
		break;
	}
}

/* What the trail keeps besides the event: borrowed texts, a new object.  What it
 * has no memory for is noticed when it is written (base/json.h). */
static json_t *
trail_detail(const struct job_event *ev, const struct transition *t, const struct apply *how)
{
	json_t *detail;

	json_begin();
	detail = json_object();
	if (how->road)
		json_object_set_new(detail, "road", json_string(how->road));
	if (how->by)
		json_object_set_new(detail, "by", json_string(how->by));
	if (t->provider)
		json_object_set_new(detail, "next_provider", json_string(t->provider));
	if (ev->obs && ev->obs->prediction_id)
		json_object_set_new(detail, "prediction", json_string(ev->obs->prediction_id));
	if (ev->obs && ev->obs->status_text)
		json_object_set_new(detail, "provider_status", json_string(ev->obs->status_text));
	if (ev->obs && ev->obs->message)
		json_object_set_new(detail, "message", json_string(ev->obs->message));
	if (how->message)
		json_object_set_new(detail, "message", json_string(how->message));
	return detail;
}

/* On which road was it learnt how the provider's part ended? */
static const char *
end_road(const struct job *job, const struct job_event *ev, const struct apply *how)
{
	switch (ev->kind) {
	case EV_ACCEPTED:
	case EV_REFUSED:
	case EV_FOUND:
	case EV_OBSERVED:
		return how->road ? how->road : "other";
	case EV_STORED:
	case EV_STORE_FAILED:
		return job->outputs_road[0] ? job->outputs_road : "other";
	default:
		return "other";
	}
}

/* Without it a create whose answer is lost cannot be looked for. */
static enum err_code
name_account(const struct service *svc, const struct job *job, char account[ACCOUNT_SIZE],
	struct job_move *move, struct err *err)
{
	enum err_code rc = service_account(svc, job->provider, account);

	if (rc == ERR_NOMEM)
		return err_set(err, rc, "the provider's account");
	move->sent_as = rc ? NULL : account;
	return ERR_OK;
}

/* A longer one than any adapter should give is as good as none. */
static const char *
handle_of(const struct transition *t, const struct job_event *ev, const struct apply *how)
{
	const char *told = t->takes_prediction ? ev->obs->handle : NULL;

	if (!told && ev->kind == EV_SEND)
		told = how->handle;
	return told && strlen(told) <= HANDLE_MAX ? told : NULL;
}

static enum err_code
move_job(struct service *svc, struct job *job, const struct job_event *ev,
	const struct transition *t, const struct apply *how, struct err *err)
{
	json_t *detail = trail_detail(ev, t, how);
	struct job_move move = {
		.state = t->state, .status = t->status, .error = t->error, .cancel = t->cancel,
		.event = job_event_name(ev->kind), .delivery = how->delivery, .detail = detail,
		.prediction_id = t->takes_prediction ? ev->obs->prediction_id : NULL,
		.provider = t->provider,
		.handle = handle_of(t, ev, how),
		.seconds = t->takes_prediction ? ev->obs->seconds : 0,
		.price = how->price,
		.outputs = t->lists_outputs ? ev->obs->outputs : NULL,
	};
	enum gen_state from = job->state;
	char account[ACCOUNT_SIZE];
	enum err_code rc;

	if (!detail)
		return err_set(err, ERR_NOMEM, "job's trail");
	schedule(svc, job, t, how, &move);
	rc = move.state == GEN_SUBMITTING ? name_account(svc, job, account, &move, err) : ERR_OK;
	if (!rc)
		rc = jobs_move(svc->db, job, &move, err);
	if (!rc) {
		char id[UUID_TEXT_SIZE];

		watches_poke(svc->watches, &job->owner, &job->id, job->state);
		if (job->state == GEN_SETTLED)
			metric_add(METRIC_COMPLETED, 1, gen_status_name(job->status), end_road(job, ev, how));
		uuid_format(&job->id, id);
		log_event(LOG_INFO, "job.moved", KV_STR("job", id),
			KV_STR("cause", job_event_name(ev->kind)), KV_STR("road", how->road),
			KV_STR("from", gen_state_name(from)), KV_STR("to", gen_state_name(job->state)),
			KV_STR("status", gen_status_name(job->status)),
			KV_STR("error", job->status == GEN_FAILED ? err_name(t->error) : NULL),
			KV_STR("prediction", job->prediction_id),
			KV_STR("next_provider", t->provider),
			KV_STR("message", how->message ? how->message : ev->obs ? ev->obs->message : NULL),
			KV_STR("trace", job->trace[0] ? job->trace : NULL));
	}
	json_decref(detail);
	return rc;
}

/* How does it stand now?  A job without a live row has settled. */
static enum err_code
reload(struct service *svc, struct job *job, struct err *err)
{
	struct job now;
	enum err_code rc = jobs_load(svc->db, &job->owner, &job->id, &now, err);

	if (rc == ERR_NOT_FOUND)
		rc = jobs_settled(svc->db, &job->owner, &job->id, &now, err);
	if (rc == ERR_NOT_FOUND) {	/* deleted since */
		job->state = GEN_SETTLED;
		return ERR_OK;
	}
	if (!rc) {
		memcpy(now.trace, job->trace, sizeof now.trace);
		now.leased_by = job->leased_by;
		job_clear(job);
		*job = now;
	}
	return rc;
}

/* Before the job moves, and before anybody is told that the news was taken.  What the
 * event does not name is the hint that the job leaves behind, and hints are webhooks'. */
static enum err_code
keep_stray(struct service *svc, const struct job *job, const struct job_event *ev,
	const char *prediction_id, const struct apply *how, struct err *err)
{
	const char *provider = ev->provider ? ev->provider : job->provider;
	bool told = ev->obs && ev->obs->prediction_id && strcmp(ev->obs->prediction_id, prediction_id) == 0;
	const char *known = strcmp(provider, job->provider) == 0 ? job->handle : NULL;
	enum err_code rc = strays_add(svc->db, &job->owner, &job->id, prediction_id,
		told && ev->obs->handle ? ev->obs->handle : known, provider,
		told ? how->road : "webhook", err);

	if (!rc)
		workers_hint_removal(svc->workers);
	return rc;
}

enum err_code
job_apply(struct service *svc, struct job *job, const struct job_event *ev,
	const struct apply *how, bool *ret_moved, struct err *err)
{
	*ret_moved = false;
	for (int round = 0; round < ROUNDS_MAX; round++) {
		struct transition t = job_next(job, ev);
		enum err_code rc = t.stray ? keep_stray(svc, job, ev, t.stray, how, err) : ERR_OK;

		if (rc || !t.moves)
			return rc;
		rc = move_job(svc, job, ev, &t, how, err);
		if (!rc)
			*ret_moved = true;
		if (rc != ERR_LOST_RACE)
			return rc;
		rc = reload(svc, job, err);
		if (rc)
			return rc;
	}
	return err_set(err, ERR_UNAVAILABLE, "the job was moved by others %d times in a row", ROUNDS_MAX);
}
