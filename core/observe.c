#include "config.h"

#include "core/observe.h"

#include "base/clock.h"
#include "base/metrics.h"
#include "base/pause_point.h"
#include "core/apply.h"
#include "core/verifier.h"
#include "core/workers.h"
#include "providers/adapter.h"

/* It moved nothing: the trail keeps it, once per delivery. */
static enum err_code
note(struct service *svc, const struct uuid *owner, const struct uuid *id,
	const struct gen_observation *obs, const char *delivery, struct err *err)
{
	json_t *detail = json_pack("{ss, ss}", "prediction", obs->prediction_id,
		"provider_status", obs->status_text);
	enum err_code rc = detail ? jobs_note(svc->db, owner, id, "webhook", delivery, detail, err)
		: err_set(err, ERR_NOMEM, "job's trail");

	json_decref(detail);
	return rc;
}

static enum err_code
take_observation(struct service *svc, const struct provider *p, const struct uuid *owner,
	const struct uuid *id, const struct gen_observation *obs, const char *delivery,
	enum webhook_verdict *ret, struct err *err)
{
	bool is_hint = p->caps & PROVIDER_HINTS || obs->is_hint;
	const struct job_event ev = { .kind = is_hint ? EV_HEARD : EV_OBSERVED, .provider = p->name,
		.obs = obs };
	const struct apply how = { .road = "webhook", .delivery = delivery };
	struct job job = { .request = NULL };
	bool moved = false, known = false;
	enum err_code rc;

	rc = jobs_load(svc->db, owner, id, &job, err);
	if (rc == ERR_NOT_FOUND)	/* or never there */
		rc = jobs_settled(svc->db, owner, id, &job, err);
	if (!rc && ev.kind == EV_HEARD)	/* a look for each that somebody sends again is one too many */
		rc = jobs_knows_delivery(svc->db, owner, id, delivery, &known, err);
	if (!rc && !known)
		rc = job_apply(svc, &job, &ev, &how, &moved, err);
	if (!rc && !moved)
		rc = note(svc, owner, id, obs, delivery, err);
	if (!rc) {
		PAUSE_POINT("webhook.committed");
		*ret = moved ? WEBHOOK_MOVED : WEBHOOK_NOTED;
		/* A job that goes on running has just been looked at, unless that is to come. */
		if (moved && (job.state != GEN_RUNNING || ev.kind == EV_HEARD))
			workers_hint(svc->workers, job.state, owner, id);
	}
	job_clear(&job);
	return rc;
}

static const char *
verdict_name(enum err_code rc, enum webhook_verdict verdict)
{
	switch (rc) {
	case ERR_OK:
		return verdict == WEBHOOK_MOVED ? "moved" : "noted";
	case ERR_SIGNATURE:
		return "bad_signature";
	case ERR_BAD_REQUEST:
		return "bad_body";
	case ERR_NOT_FOUND:
		return "no_job";
	default:
		return "unavailable";
	}
}

static bool
uuid_is_nil(const struct uuid *id)
{
	static const struct uuid nil;

	return memcmp(id, &nil, sizeof nil) == 0;
}

enum err_code
service_webhook(struct service *svc, const char *provider, const char *token,
	const struct webhook *wh, enum webhook_verdict *ret, struct err *err)
{
	struct gen_observation obs = GEN_OBSERVATION_INIT;
	const void *settings;
	const struct provider *p = service_provider(svc, provider, &settings);
	struct uuid owner, id;
	enum webhook_verdict verdict = WEBHOOK_NOTED;
	struct buf fetched = BUF_INIT(VERIFIER_MAX);
	char *delivery = NULL;
	enum err_code rc;

	if (!p || !(p->caps & PROVIDER_WEBHOOK))
		return err_set(err, ERR_NOT_FOUND, "no provider \"%s\" sends webhooks here", provider);
	rc = verifier_get(svc, p, settings, &fetched, err);
	if (!rc)
		rc = adapter_webhook_verify(p, settings, fetched.len ? buf_str(&fetched) : NULL, wh,
			clock_wall_us() / 1000000, &delivery, err);
	if (rc == ERR_SIGNATURE)
		verifier_doubt(svc, p);
	if (!rc)
		rc = service_open_token(svc, token ? token : "", token ? strlen(token) : 0, &owner, &id, err);
	if (!rc && uuid_is_nil(&id))
		verdict = WEBHOOK_PROBED;
	if (!rc && verdict != WEBHOOK_PROBED)
		rc = adapter_webhook_parse(p, settings, wh, &obs, err);
	if (!rc && verdict != WEBHOOK_PROBED)
		rc = take_observation(svc, p, &owner, &id, &obs, delivery, &verdict, err);
	if (verdict != WEBHOOK_PROBED)	/* that one is no provider's */
		metric_add(METRIC_WEBHOOKS, 1, p->name, verdict_name(rc, verdict));
	if (!rc)
		*ret = verdict;
	buf_wipe(&fetched);
	gen_observation_clear(&obs);
	mem_free(delivery);
	return rc;
}
