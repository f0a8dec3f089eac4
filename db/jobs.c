#include "config.h"

#include "db/jobs.h"

#include <strings.h>

#include "base/clock.h"
#include "base/log.h"
#include "db/combine.h"
#include "db/pool.h"
#include "db/text.h"

void
job_clear(struct job *job)
{
	mem_free(job->prediction_id);
	mem_free(job->handle);
	mem_free(job->model);
	mem_free(job->provider);
	json_decref(job->request);
	memset(job, 0, sizeof *job);
}

static const char *const cancels[] = {
	[GEN_CANCEL_NONE] = NULL,
	[GEN_CANCEL_USER] = "user",
	[GEN_CANCEL_DEADLINE] = "deadline",
};

static enum gen_cancel
cancel_of(const char *s)
{
	if (!s)
		return GEN_CANCEL_NONE;
	return strcmp(s, cancels[GEN_CANCEL_USER]) == 0 ? GEN_CANCEL_USER : GEN_CANCEL_DEADLINE;
}

static enum err_code
job_from_row(const PGresult *res, int row, int64_t asked_boot_us, struct job *ret, struct err *err)
{
	struct job job = { .request = NULL };
	json_error_t json_err;
	const char *owner = row_text(res, row, "owner_id");
	const char *job_id = row_text(res, row, "job_id");
	const char *sent_as = row_text(res, row, "sent_as");

	if (uuid_parse(owner, strlen(owner), &job.owner) ||
	    uuid_parse(job_id, strlen(job_id), &job.id) ||
	    gen_state_parse(row_text(res, row, "state"), &job.state) ||
	    gen_status_parse(row_text(res, row, "status"), &job.status))
		return err_set(err, ERR_INTERNAL, "job %s: state %s or status %s is unknown to this program",
			job_id, row_text(res, row, "state"), row_text(res, row, "status"));
	job.version = (int32_t)row_i64(res, row, "version", 0);
	job.attempts = (int32_t)row_i64(res, row, "attempts", 0);
	job.tries = (int32_t)row_i64(res, row, "tries", 0);
	job.misses = (int32_t)row_i64(res, row, "misses", 0);
	job.leased_by = row_i64(res, row, "leased_by", 0);
	job.cancel = cancel_of(row_text(res, row, "cancel_reason"));
	job.time_left_ms = row_i64(res, row, "time_left_ms", 0);
	job.age_ms = row_i64(res, row, "age_ms", 0);
	job.sent_age_ms = row_i64(res, row, "sent_age_ms", 0);
	job.unsure_age_ms = row_i64(res, row, "unsure_age_ms", -1);
	snprintf(job.sent_as, sizeof job.sent_as, "%s", sent_as ? sent_as : "");
	job.loaded_boot_us = asked_boot_us;
	job.request = read_json(row_text(res, row, "request"), 0, &json_err);
	if (!job.request && json_error_code(&json_err) != json_error_out_of_memory)
		return err_set(err, ERR_INTERNAL, "job %s: request: %s", job_id, json_err.text);
	if (!dup_into(&job.prediction_id, row_text(res, row, "prediction_id")) ||
	    !dup_into(&job.handle, row_text(res, row, "handle")) ||
	    !dup_into(&job.model, row_text(res, row, "model")) ||
	    !dup_into(&job.provider, row_text(res, row, "provider")) || !job.request) {
		job_clear(&job);
		return err_set(err, ERR_NOMEM, "job %s", job_id);
	}
	*ret = job;
	return ERR_OK;
}

enum err_code
jobs_create(struct db *db, const struct job_new *job, enum create_outcome *ret,
	struct uuid *ret_job, int64_t *ret_created_us, struct err *err)
{
	static const char *const outcomes[] = {
		[CREATE_CREATED] = "created", [CREATE_REPLAYED] = "replayed",
		[CREATE_KEY_REUSED] = "key_reused", [CREATE_IN_FLIGHT] = "in_flight",
	};
	struct text owner, job_id, slots, left;
	char fingerprint[SHA256_HEX_SIZE];
	char *request = dump(job->request), *metadata = dump(job->metadata);
	const char *params[] = {
		id(&owner, &job->owner), id(&job_id, &job->id), num(&slots, job->slots),
		job->idempotency_key, fingerprint, job->model, job->provider,
		request, metadata, num(&left, (int64_t)job->time_left_ms),
	};
	PGresult *res = NULL;
	enum err_code rc;

	hex_encode(job->fingerprint, sizeof job->fingerprint, fingerprint);
	if (!request || (job->metadata && !metadata))
		rc = err_set(err, ERR_NOMEM, "create_job");
	else
		rc = db_query(db, SQL_create_job, params, N(params), &res, err);
	if (!rc) {
		const char *outcome = row_text(res, 0, "outcome");
		const char *which = row_text(res, 0, "job_id");
		size_t i = 0;

		while (i < N(outcomes) && strcmp(outcome, outcomes[i]) != 0)
			i++;
		if (i == N(outcomes) || uuid_parse(which, strlen(which), ret_job))
			rc = err_set(err, ERR_INTERNAL, "create_job: outcome %s of job %s", outcome, which);
		else
			*ret = (enum create_outcome)i;
		if (ret_created_us)
			*ret_created_us = row_i64(res, 0, "created_us", 0);
	}
	PQclear(res);
	mem_free(request);
	mem_free(metadata);
	return rc;
}

enum err_code
jobs_load(struct db *db, const struct uuid *owner, const struct uuid *job_id,
	struct job *ret, struct err *err)
{
	struct text o, j;
	const char *params[] = { id(&o, owner), id(&j, job_id) };
	int64_t asked_us = clock_boot_us();
	PGresult *res = NULL;
	enum err_code rc = db_query(db, SQL_job_load, params, N(params), &res, err);

	if (!rc && PQntuples(res) == 0)
		rc = err_set(err, ERR_NOT_FOUND, "job %s is not live", params[1]);
	if (!rc)
		rc = job_from_row(res, 0, asked_us, ret, err);
	PQclear(res);
	return rc;
}

enum err_code
jobs_exists(struct db *db, const struct uuid *owner, const struct uuid *job_id, struct err *err)
{
	struct text o, j;
	const char *params[] = { id(&o, owner), id(&j, job_id) };
	PGresult *res = NULL;
	enum err_code rc = db_query(db, SQL_job_exists, params, N(params), &res, err);

	if (!rc && PQntuples(res) == 0)
		rc = err_set(err, ERR_NOT_FOUND, "no job %s of that owner", params[1]);
	PQclear(res);
	return rc;
}

enum err_code
jobs_by_key(struct db *db, const struct uuid *owner, const char *key,
	const uint8_t fingerprint[SHA256_BYTES], enum create_outcome *ret, struct uuid *ret_job,
	struct err *err)
{
	struct text o;
	char hex[SHA256_HEX_SIZE];
	const char *params[] = { id(&o, owner), key, hex }, *which;
	PGresult *res = NULL;
	enum err_code rc;

	hex_encode(fingerprint, SHA256_BYTES, hex);
	rc = db_query(db, SQL_job_by_key, params, N(params), &res, err);
	if (!rc && PQntuples(res) == 0)
		rc = err_set(err, ERR_NOT_FOUND, "no job of that owner has that key");
	if (!rc) {
		which = row_text(res, 0, "job_id");
		*ret = row_i64(res, 0, "same", 0) ? CREATE_REPLAYED : CREATE_KEY_REUSED;
		rc = uuid_parse(which, strlen(which), ret_job) ? err_set(err, ERR_INTERNAL, "job %s", which) : ERR_OK;
	}
	PQclear(res);
	return rc;
}

enum err_code
jobs_settled(struct db *db, const struct uuid *owner, const struct uuid *job_id, struct job *ret,
	struct err *err)
{
	struct job job = { .owner = *owner, .id = *job_id, .state = GEN_SETTLED };
	struct text o, j;
	const char *params[] = { id(&o, owner), id(&j, job_id) };
	PGresult *res = NULL;
	enum err_code rc = db_query(db, SQL_job_exists, params, N(params), &res, err);

	if (!rc && PQntuples(res) == 0)
		rc = err_set(err, ERR_NOT_FOUND, "no job %s of that owner", params[1]);
	if (!rc && gen_status_parse(row_text(res, 0, "status"), &job.status))
		rc = err_set(err, ERR_INTERNAL, "job %s: status %s is unknown to this program",
			params[1], row_text(res, 0, "status"));
	if (!rc && (!dup_into(&job.provider, row_text(res, 0, "provider")) ||
		    !dup_into(&job.prediction_id, row_text(res, 0, "prediction_id")) ||
		    !dup_into(&job.handle, row_text(res, 0, "handle"))))
		rc = err_set(err, ERR_NOMEM, "job %s", params[1]);
	if (rc)
		job_clear(&job);
	else
		*ret = job;
	PQclear(res);
	return rc;
}

/* A number for a claim; never 0. */
static enum err_code
draw(int64_t *ret, struct err *err)
{
	enum err_code rc = crypto_random(ret, sizeof *ret, err);

	if (*ret == 0)
		*ret = 1;
	return rc;
}

enum err_code
jobs_claim(struct db *db, const struct uuid *owner, const struct uuid *job_id,
	uint64_t lease_ms, struct job *ret, struct err *err)
{
	struct text o, j, lease, by;
	const char *params[] = { id(&o, owner), id(&j, job_id), num(&lease, (int64_t)lease_ms), by.s };
	int64_t number, asked_us = clock_boot_us();
	PGresult *res = NULL;
	enum err_code rc = draw(&number, err);

	if (!rc) {
		num(&by, number);
		rc = db_query(db, SQL_claim_job, params, N(params), &res, err);
	}
	if (!rc && PQntuples(res) == 0)
		rc = err_set(err, ERR_LOST_RACE, "job %s is leased, settled, or not due", params[1]);
	if (!rc)
		rc = job_from_row(res, 0, asked_us, ret, err);
	PQclear(res);
	return rc;
}

enum err_code
jobs_claim_due(struct db *db, unsigned states, size_t max, uint64_t lease_ms,
	struct job *ret, size_t *ret_n, struct err *err)
{
	struct text limit, lease, by;
	struct buf array = BUF_INIT(256);
	const char *params[4] = { NULL, num(&limit, (int64_t)max), num(&lease, (int64_t)lease_ms), by.s };
	bool storing = states == 1u << GEN_STORING;
	int64_t number, asked_us = clock_boot_us();
	PGresult *res = NULL;
	size_t n = 0;
	enum err_code rc = draw(&number, err);

	if (rc)
		return rc;
	num(&by, number);
	buf_putc(&array, '{');
	for (int i = 0; i < GEN_SETTLED; i++)
		if (states & 1u << i)
			buf_printf(&array, "%s%s", array.len > 1 ? "," : "", gen_state_name((enum gen_state)i));
	buf_putc(&array, '}');
	if (array.err)
		return err_set(err, array.err, "claim");
	params[0] = buf_str(&array);
	rc = storing ? db_query(db, SQL_claim_storing, params + 1, N(params) - 1, &res, err)
		: db_query(db, SQL_claim_due, params, N(params), &res, err);
	buf_clear(&array);
	for (int row = 0; !rc && n < max && row < PQntuples(res); row++) {
		struct err why = ERR_INIT;

		rc = job_from_row(res, row, asked_us, &ret[n], &why);
		if (!rc) {
			n++;
		} else if (rc == ERR_NOMEM) {
			err_set(err, rc, "%s", why.text);
		} else {
			/* One that we cannot read does not hold up the others. */
			log_event(LOG_ERROR, "db.job_unreadable", KV_STR("error", why.text));
			rc = ERR_OK;
		}
	}
	if (rc)	/* what was claimed comes back when its lease is over */
		while (n > 0)
			job_clear(&ret[--n]);
	else
		*ret_n = n;
	PQclear(res);
	return rc;
}

enum err_code
jobs_renew(struct db *db, const struct uuid *owner, const struct uuid *job_id,
	int64_t leased_by, uint64_t lease_ms, struct err *err)
{
	struct text o, j, lease, by;
	const char *params[] = { id(&o, owner), id(&j, job_id), num(&lease, (int64_t)lease_ms),
		num(&by, leased_by) };
	PGresult *res = NULL;
	enum err_code rc = db_query(db, SQL_job_renew, params, N(params), &res, err);

	PQclear(res);
	return rc;
}

/* Seconds, or NULL for none that were told. */
static const char *
seconds_of(struct text *t, const struct job_move *move)
{
	snprintf(t->s, sizeof t->s, "%.3f", move->seconds);
	return move->seconds > 0 && move->seconds < 1e9 ? t->s : NULL;
}

static enum err_code
settle(struct db *db, struct job *job, const struct job_move *move, const char *detail,
	PGresult **ret, struct err *err)
{
	struct text o, j, version, seconds;
	const char *params[] = {
		id(&o, &job->owner), id(&j, &job->id), num(&version, job->version),
		gen_status_name(move->status),
		move->status == GEN_FAILED ? err_name(move->error) : NULL,
		move->event, move->delivery, detail, move->prediction_id, move->handle,
		seconds_of(&seconds, move),
	};

	return db_query(db, SQL_job_settle, params, N(params), ret, err);
}

/* It came inside an answer: a data: URI, or base64 alone. */
static bool
is_inline(const json_t *output)
{
	const char *s = json_string_value(output);

	return s && (!strchr(s, ':') || strncasecmp(s, "data:", 5) == 0);
}

/* Too large to be carried about with its job: it has a statement of its own, and is
 * listed by its index alone. */
static enum err_code
put_inline(struct db *db, const struct job *job, size_t index, const json_t *output, struct err *err)
{
	struct text o, j, i;
	const char *params[] = {
		id(&o, &job->owner), id(&j, &job->id), num(&i, (int64_t)index), json_string_value(output),
	};
	PGresult *res = NULL;
	enum err_code rc = db_query(db, SQL_asset_inline, params, N(params), &res, err);

	PQclear(res);
	return rc;
}

/* What is to be listed, as text; *ret NULL where there is nothing. */
static enum err_code
list_outputs(struct db *db, const struct job *job, const json_t *outputs, char **ret, struct err *err)
{
	json_t *list = json_array(), *each;
	enum err_code rc = ERR_OK;
	size_t i;

	if (!outputs)
		goto out;
	json_array_foreach(outputs, i, each) {
		bool apart = is_inline(each);

		if (!rc && apart)
			rc = put_inline(db, job, i, each, err);
		if (json_array_append_new(list, apart ? json_string("data:") : json_incref(each)))
			break;
	}
	if (!rc && (json_array_size(list) != json_array_size(outputs) || !(*ret = dump(list))))
		rc = err_set(err, ERR_NOMEM, "job's outputs");
out:
	json_decref(list);
	return rc;
}

static enum err_code
move_live(struct db *db, struct job *job, const struct job_move *move, const char *detail,
	PGresult **ret, struct err *err)
{
	struct text o, j, version, due, lease, attempts, deadline, by, tries, misses, seconds;
	char *outputs = NULL, *price = NULL;
	int64_t nonce = 0;
	enum err_code rc = list_outputs(db, job, move->outputs, &outputs, err);

	if (!rc && move->price && !(price = json_write(move->price, JSON_COMPACT | JSON_REAL_PRECISION(15))))
		rc = err_set(err, ERR_NOMEM, "job's price");
	const char *params[] = {
		id(&o, &job->owner), id(&j, &job->id), num(&version, job->version),
		gen_state_name(move->state), num(&due, move->due_ms),
		move->lease_ms ? num(&lease, move->lease_ms) : NULL,
		move->prediction_id, num(&attempts, move->attempts),
		gen_status_name(move->status), move->event, move->delivery, detail, outputs,
		move->deadline_ms >= 0 ? num(&deadline, move->deadline_ms) : NULL,
		cancels[move->cancel], by.s, num(&tries, move->tries), num(&misses, move->misses),
		move->sent_as, move->handle, seconds_of(&seconds, move), price,
		move->provider,
	};

	if (!rc)
		rc = crypto_random(&nonce, sizeof nonce, err);
	num(&by, nonce);
	if (!rc)
		rc = db_query(db, SQL_job_move, params, N(params), ret, err);
	mem_free(outputs);
	mem_free(price);
	return rc;
}

/* from: stolen; NULL: by nothing. */
static void
replace(char **to, char **from)
{
	mem_free(*to);
	*to = from ? *from : NULL;
	if (from)
		*from = NULL;
}

enum err_code
jobs_move(struct db *db, struct job *job, const struct job_move *move, struct err *err)
{
	char *detail = dump(move->detail), *prediction_id = NULL, *handle = NULL, *provider = NULL;
	PGresult *res = NULL;
	enum err_code rc;

	if ((move->detail && !detail) || !dup_into(&prediction_id, move->prediction_id) ||
	    !dup_into(&handle, move->handle) || !dup_into(&provider, move->provider))
		rc = err_set(err, ERR_NOMEM, "job's trail");
	else if (move->state == GEN_SETTLED)
		rc = settle(db, job, move, detail, &res, err);
	else
		rc = move_live(db, job, move, detail, &res, err);
	if (!rc && PQntuples(res) == 0)
		rc = err_set(err, ERR_LOST_RACE, "somebody moved the job first");
	if (!rc && move->state == GEN_SETTLED) {
		const char *road = row_text(res, 0, "outputs_road");

		snprintf(job->outputs_road, sizeof job->outputs_road, "%s", road ? road : "");
	}
	if (!rc) {
		bool sends = move->state == GEN_SUBMITTING && job->state != GEN_SUBMITTING;

		if (handle || sends || move->state == GEN_QUEUED)
			replace(&job->handle, move->state == GEN_QUEUED ? NULL : &handle);
		if (prediction_id || move->state == GEN_QUEUED)
			replace(&job->prediction_id, move->state == GEN_QUEUED ? NULL : &prediction_id);
		if (provider)
			replace(&job->provider, &provider);
		job->state = move->state;
		job->status = move->status;
		job->attempts = move->attempts;
		job->tries = move->tries;
		job->misses = move->misses;
		job->version++;
		if (job->cancel == GEN_CANCEL_NONE)
			job->cancel = move->cancel;
		if (move->deadline_ms >= 0)
			job->time_left_ms = move->deadline_ms;
	}
	mem_free(prediction_id);
	mem_free(handle);
	mem_free(provider);
	PQclear(res);
	mem_free(detail);
	return rc;
}

enum err_code
jobs_defer(struct db *db, const struct job *job, uint64_t due_ms, struct err *err)
{
	struct text o, j, version, due, tries, misses, by;
	const char *params[] = {
		id(&o, &job->owner), id(&j, &job->id), num(&version, job->version),
		num(&due, (int64_t)due_ms), num(&tries, job->tries), num(&misses, job->misses),
		num(&by, job->leased_by),
	};
	PGresult *res = NULL;
	enum err_code rc = db_query(db, SQL_job_defer, params, N(params), &res, err);

	if (!rc && PQntuples(res) == 0)
		rc = err_set(err, ERR_LOST_RACE, "the job's lease is another's");
	PQclear(res);
	return rc;
}

enum err_code
jobs_alone(struct db *db, const struct job *job, const char *provider, const char *prediction_id,
	bool is_named, bool *ret, struct err *err)
{
	struct text o, j;
	const char *params[] = { id(&o, &job->owner), id(&j, &job->id), prediction_id, provider,
		is_named ? "true" : "false" };
	PGresult *res = NULL;
	enum err_code rc = db_query(db, SQL_job_alone, params, N(params), &res, err);

	if (!rc)
		*ret = PQntuples(res) > 0 && strcmp(row_text(res, 0, "alone"), "t") == 0;
	PQclear(res);
	return rc;
}

enum err_code
jobs_knows_delivery(struct db *db, const struct uuid *owner, const struct uuid *job_id,
	const char *delivery, bool *ret, struct err *err)
{
	struct text o, j;
	const char *params[] = { id(&o, owner), id(&j, job_id), delivery };
	PGresult *res = NULL;
	enum err_code rc = db_query(db, SQL_job_delivery, params, N(params), &res, err);

	if (!rc)
		*ret = row_i64(res, 0, "known", 0) != 0;
	PQclear(res);
	return rc;
}

enum err_code
jobs_note(struct db *db, const struct uuid *owner, const struct uuid *job_id,
	const char *event, const char *delivery, const json_t *detail, struct err *err)
{
	struct text o, j;
	char *text = dump(detail);
	const char *params[] = { id(&o, owner), id(&j, job_id), event, delivery, text };
	PGresult *res = NULL;
	enum err_code rc;

	if (detail && !text)
		return err_set(err, ERR_NOMEM, "job's trail");
	rc = db_query(db, SQL_job_note, params, N(params), &res, err);
	PQclear(res);
	mem_free(text);
	return rc;
}

static void
put_array(struct buf *array, const struct job_version *list, size_t n, bool owners)
{
	char text[UUID_TEXT_SIZE];

	buf_putc(array, '{');
	for (size_t i = 0; i < n; i++) {
		uuid_format(owners ? &list[i].owner : &list[i].job, text);
		if (i)
			buf_putc(array, ',');
		buf_put(array, text, UUID_TEXT_SIZE - 1);
	}
	buf_putc(array, '}');
}

enum err_code
jobs_versions(struct db *db, struct job_version *list, size_t n, size_t *ret_found,
	struct err *err)
{
	size_t bytes = n * UUID_TEXT_SIZE + 2, found = 0;
	struct buf owners = BUF_INIT(bytes), jobs = BUF_INIT(bytes);
	const char *params[2];
	PGresult *res = NULL;
	enum err_code rc;

	put_array(&owners, list, n, true);
	put_array(&jobs, list, n, false);
	params[0] = buf_str(&owners);
	params[1] = buf_str(&jobs);
	rc = owners.err || jobs.err ? err_set(err, ERR_NOMEM, "watched jobs")
		: db_query(db, SQL_jobs_versions, params, N(params), &res, err);
	for (; !rc && found < n && found < (size_t)PQntuples(res); found++) {
		const char *owner = row_text(res, (int)found, "owner_id");
		const char *job = row_text(res, (int)found, "job_id");

		if (uuid_parse(owner, strlen(owner), &list[found].owner) ||
		    uuid_parse(job, strlen(job), &list[found].job) ||
		    gen_state_parse(row_text(res, (int)found, "state"), &list[found].state))
			rc = err_set(err, ERR_INTERNAL, "watched job %s", job);
		list[found].version = (int32_t)row_i64(res, (int)found, "version", 0);
	}
	if (!rc)
		*ret_found = found;
	PQclear(res);
	buf_clear(&owners);
	buf_clear(&jobs);
	return rc;
}

static int64_t
not_negative(int64_t n)
{
	return n > 0 ? n : 0;
}

enum err_code
jobs_stats(struct db *db, uint64_t timeout_ms, struct live_stats *ret, struct err *err)
{
	struct live_stats stats = { .unstored_us = 0 };
	PGresult *res = NULL;
	enum err_code rc = db_query_within(db, timeout_ms, SQL_live_stats, NULL, 0, &res, err);

	for (int i = 0; !rc && i < PQntuples(res); i++) {
		enum gen_state state;
		int64_t unstored_us = row_i64(res, i, "unstored_us", 0);

		if (gen_state_parse(row_text(res, i, "state"), &state) || state >= GEN_SETTLED)
			continue;
		stats.jobs[state] = row_i64(res, i, "jobs", 0);
		stats.oldest_us[state] = not_negative(row_i64(res, i, "oldest_us", 0));
		if (unstored_us > stats.unstored_us)
			stats.unstored_us = unstored_us;
	}
	if (!rc)
		*ret = stats;
	PQclear(res);
	return rc;
}
