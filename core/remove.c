#include "config.h"

#include "core/remove.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "core/apply.h"
#include "core/workers.h"
#include "db/inputs.h"
#include "db/removals.h"

/* A storage that refuses is the operator's to mend: not a reason to lose track
 * of a file, nor to fill the log. */
#define PATIENT_AFTER 10
#define PATIENT_MS (15 * 60 * 1000)

enum err_code
service_delete(struct service *svc, const struct uuid *owner, const struct uuid *id, struct err *err)
{
	enum err_code rc = jobs_delete(svc->db, owner, id, err);

	if (!rc)
		workers_hint_removal(svc->workers);
	return rc;
}

static enum err_code
remove_file(struct service *svc, enum storage_area area, const char *key, struct err *err)
{
	int64_t began_us = clock_mono_us();
	enum err_code rc = svc->storage->remove(svc->storage_settings, svc->http, area, key, err);

	metric_observe(METRIC_STORAGE_TIME, clock_mono_us() - began_us, svc->storage->name, "remove");
	return rc;
}

/* All of them are tried; the first failure is told.  Repeating does no harm. */
static enum err_code
remove_of(struct service *svc, enum storage_area area, const json_t *keys, struct err *err)
{
	enum err_code rc = ERR_OK;
	json_t *key;
	size_t i;

	json_array_foreach(keys, i, key) {
		struct err why = ERR_INIT;
		enum err_code removed = remove_file(svc, area, json_string_value(key), &why);

		if (removed && !rc) {
			rc = removed;
			if (err)
				*err = why;
		}
	}
	return rc;
}

static enum err_code
remove_files(struct service *svc, const struct removal *removal, struct err *err)
{
	enum err_code rc = remove_of(svc, STORAGE_OUTPUTS, removal->keys, err), inputs = ERR_OK;

	if (json_array_size(removal->input_keys) > 0 && !svc->storage->takes_inputs(svc->storage_settings))
		inputs = err_set(rc ? NULL : err, ERR_UPSTREAM, "no place for inputs is configured any more");
	else
		inputs = remove_of(svc, STORAGE_INPUTS, removal->input_keys, rc ? NULL : err);
	return rc ? rc : inputs;
}

bool
remove_sweep_step(struct service *svc)
{
	struct err err = ERR_INIT;
	int64_t dropped = 0;
	bool more = false;

	if (!svc->storage->takes_inputs(svc->storage_settings))
		return false;
	if (inputs_sweep(svc->db, &more, &dropped, &err))
		log_event(LOG_WARN, "inputs.sweep_failed", KV_STR("error", err.text));
	else if (dropped > 0)
		log_event(LOG_INFO, "inputs.swept", KV_INT("jobs", dropped));
	return more;
}

bool
remove_step(struct service *svc)
{
	struct removal removal = { .keys = NULL };
	struct err err = ERR_INIT;
	enum err_code rc = removals_claim(svc->db, svc->settings->lease_ms, &removal, &err);
	char id[UUID_TEXT_SIZE];

	if (rc && rc != ERR_NOT_FOUND)
		log_event(LOG_WARN, "removal.claim_failed", KV_STR("error", err.text));
	if (rc)
		return false;
	uuid_format(&removal.job, id);
	rc = remove_files(svc, &removal, &err);
	if (!rc)
		rc = removals_done(svc->db, &removal, &err);
	if (!rc) {
		log_event(LOG_INFO, "removal.done", KV_STR("job", id),
			KV_INT("files", (int64_t)(json_array_size(removal.keys) + json_array_size(removal.input_keys))));
	} else {
		log_event(LOG_WARN, "removal.failed", KV_STR("job", id),
			KV_INT("attempts", removal.attempts), KV_STR("error", err.text));
		/* If this fails, too, the lease brings it back. */
		(void)!removals_later(svc->db, &removal, removal.attempts < PATIENT_AFTER
			? backoff_ms(removal.attempts + 1) : PATIENT_MS, &err);
	}
	removal_clear(&removal);
	return true;
}
