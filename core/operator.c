#include "config.h"

#include "core/operator.h"

#include "base/clock.h"
#include "core/apply.h"
#include "core/caller.h"

static const char by_operator[] = "operator";

/* ---- finding ---- */

static enum err_code
owner_of(const struct service *svc, const char *name, struct uuid *ret, const struct uuid **ret_owner,
	struct err *err)
{
	*ret_owner = NULL;
	if (!name)
		return ERR_OK;
	*ret_owner = ret;
	return caller_identify(svc->settings, name, ret, err);
}

/* The ids that begin with text: from the one that goes on in zeroes to the one that
 * goes on in f's. */
static enum err_code
range_of(const char *text, struct uuid *ret_first, struct uuid *ret_last, struct err *err)
{
	char first[UUID_TEXT_SIZE] = "00000000-0000-0000-0000-000000000000";
	char last[UUID_TEXT_SIZE] = "ffffffff-ffff-ffff-ffff-ffffffffffff";
	size_t len = strlen(text);

	if (len < OPERATOR_ID_MIN || len >= UUID_TEXT_SIZE)
		return err_set(err, ERR_INVALID, "\"%.40s\" is no job's id, nor the first %d characters or more of one",
			text, OPERATOR_ID_MIN);
	memcpy(first, text, len);
	memcpy(last, text, len);
	if (uuid_parse(first, UUID_TEXT_SIZE - 1, ret_first) || uuid_parse(last, UUID_TEXT_SIZE - 1, ret_last))
		return err_set(err, ERR_INVALID, "\"%s\" is no job's id", text);
	return ERR_OK;
}

static enum err_code
one_of(const char *text, const struct job_name *found, size_t n, struct err *err)
{
	char a[UUID_TEXT_SIZE], b[UUID_TEXT_SIZE];

	if (n == 0)
		return err_set(err, ERR_NOT_FOUND, "there is no job %s", text);
	if (n == 1)
		return ERR_OK;
	uuid_format(&found[0].id, a);
	uuid_format(&found[1].id, b);
	if (uuid_equal(&found[0].id, &found[1].id))
		return err_set(err, ERR_CONFLICT, "several owners have a job %s: say whose is meant (--owner)", a);
	return err_set(err, ERR_CONFLICT, "several jobs begin with %s, %s and %s%s: say more of it",
		text, a, b, n > 2 ? " among them" : "");
}

enum err_code
operator_find(struct service *svc, const char *id, const char *owner, struct job_name *ret,
	struct err *err)
{
	struct job_name found[FIND_MAX];
	struct uuid first, last, who;
	const struct uuid *whose;
	size_t n = 0;
	enum err_code rc = range_of(id, &first, &last, err);

	if (!rc)
		rc = owner_of(svc, owner, &who, &whose, err);
	if (!rc)
		rc = evidence_find(svc->db, &first, &last, whose, found, &n, err);
	if (!rc)
		rc = one_of(id, found, n, err);
	if (!rc)
		*ret = found[0];
	return rc;
}

/* ---- showing ---- */

/* A member's name without "_us": "created_at", "leased_until", or just "at". */
static bool
time_name(const char *name, char *out, size_t size)
{
	size_t len = strlen(name);

	if (len < 4 || strcmp(name + len - 3, "_us") != 0)
		return false;
	len -= 3;
	if (strcmp(name, "at_us") == 0 || (len > 6 && strncmp(name + len - 6, "_until", 6) == 0))
		snprintf(out, size, "%.*s", (int)len, name);
	else
		snprintf(out, size, "%.*s_at", (int)len, name);
	return true;
}

static json_t *
time_of(const json_t *us)
{
	char text[RFC3339_SIZE];

	if (!json_is_integer(us))
		return json_null();
	rfc3339_format(json_integer_value(us), text);
	return json_string(text);
}

/* A new object with the same members and times for people; NULL: no memory, or NULL
 * was given.  What its members hold is left as it is. */
static json_t *
with_times(const json_t *object)
{
	json_t *ret = object ? json_object() : NULL, *value;
	const char *name;

	json_object_foreach((json_t *)object, name, value) {
		char time[64];

		if (time_name(name, time, sizeof time) ? json_object_set_new(ret, time, time_of(value))
				: json_object_set(ret, name, value)) {
			json_decref(ret);
			return NULL;
		}
	}
	return ret;
}

static json_t *
all_with_times(const json_t *array)
{
	json_t *ret = json_array(), *each;
	size_t i;

	json_array_foreach((json_t *)array, i, each)
		if (json_array_append_new(ret, with_times(each))) {
			json_decref(ret);
			return NULL;
		}
	return ret;
}

/* Where an output came from.  A query may hold a signature; a data: URL holds the
 * output itself. */
static int
hide_source(json_t *output)
{
	const char *source = json_string_value(json_object_get(output, "source"));
	size_t len = source ? strlen(source) : 0, shown = source ? strcspn(source, "?#") : 0;

	if (source && strncmp(source, "data:", 5) == 0)
		shown = strcspn(source, ",");
	if (shown == len)
		return 0;
	return json_object_set_new(output, "source", json_sprintf("%.*s...", (int)shown, source));
}

static json_t *
outputs_of(const json_t *rows)
{
	json_t *outputs = all_with_times(rows), *each;
	size_t i;

	json_array_foreach(outputs, i, each)
		if (hide_source(each)) {
			json_decref(outputs);
			return NULL;
		}
	return outputs;
}

enum err_code
operator_show(struct service *svc, const struct job_name *job, json_t **ret, struct err *err)
{
	json_t *rows = NULL, *live, *doc;
	enum err_code rc = evidence_show(svc->db, job, &rows, err);

	if (rc)
		return rc;
	live = json_object_get(rows, "live");
	doc = json_pack("{so, so, so, so, so, so}", "now_at", time_of(json_object_get(rows, "now_us")),
		"job", with_times(json_object_get(rows, "job")),
		"live", json_is_null(live) ? json_null() : with_times(live),
		"outputs", outputs_of(json_object_get(rows, "outputs")),
		"strays", all_with_times(json_object_get(rows, "strays")),
		"trail", all_with_times(json_object_get(rows, "trail")));
	json_decref(rows);
	if (!doc)
		return err_set(err, ERR_NOMEM, "showing a job");
	*ret = doc;
	return ERR_OK;
}

static enum err_code
check_filter(const struct operator_filter *filter, struct err *err)
{
	enum gen_state state;
	enum gen_status status;

	if (filter->state && gen_state_parse(filter->state, &state))
		return err_set(err, ERR_INVALID, "there is no state \"%.40s\": "
			"queued, submitting, uncertain, running, storing, settled", filter->state);
	if (filter->status && gen_status_parse(filter->status, &status))
		return err_set(err, ERR_INVALID, "there is no status \"%.40s\": "
			"starting, processing, succeeded, failed, canceled", filter->status);
	return ERR_OK;
}

/* All rows say what the time was; it is told once. */
static json_t *
take_now(json_t *rows)
{
	json_t *now = time_of(json_object_get(json_array_get(rows, 0), "now_us")), *row;
	size_t i;

	json_array_foreach(rows, i, row)
		json_object_del(row, "now_us");
	return now;
}

enum err_code
operator_list(struct service *svc, const struct operator_filter *filter, json_t **ret, struct err *err)
{
	struct job_filter rows = {
		.state = filter->state, .status = filter->status,
		.has_age = filter->has_age, .age_ms = filter->age_ms, .max = filter->max + 1,
	};
	json_t *jobs = NULL, *now, *doc;
	struct uuid who;
	bool more;
	enum err_code rc = check_filter(filter, err);

	if (!rc)
		rc = owner_of(svc, filter->owner, &who, &rows.owner, err);
	if (!rc)
		rc = evidence_survey(svc->db, &rows, &jobs, err);
	if (rc)
		return rc;
	more = json_array_size(jobs) > filter->max;
	if (more)
		json_array_remove(jobs, filter->max);
	now = take_now(jobs);
	doc = json_pack("{so, so, sb}", "now_at", now, "jobs", all_with_times(jobs), "more", more);
	json_decref(jobs);
	if (!doc)
		return err_set(err, ERR_NOMEM, "listing jobs");
	*ret = doc;
	return ERR_OK;
}

/* ---- doing ---- */

/* Of a job that was found a moment ago. */
static enum err_code
has_ended(struct err *err)
{
	return err_set(err, ERR_CONFLICT, "the job has ended already");
}

static enum err_code
apply(struct service *svc, const struct job_name *name, const struct job_event *ev,
	const char *reason, struct job *ret, bool *ret_moved, struct err *err)
{
	const struct apply how = { .by = by_operator, .message = reason };
	struct job job = { .request = NULL };
	enum err_code rc = jobs_load(svc->db, &name->owner, &name->id, &job, err);

	if (rc == ERR_NOT_FOUND)
		return has_ended(err);
	if (!rc)
		rc = job_apply(svc, &job, ev, &how, ret_moved, err);
	if (rc)
		job_clear(&job);
	else
		*ret = job;
	return rc;
}

enum err_code
operator_cancel(struct service *svc, const struct job_name *name, const char *reason,
	enum operator_did *ret, struct err *err)
{
	const struct job_event ev = { .kind = EV_CANCEL };
	struct job job;
	bool moved;
	enum err_code rc = apply(svc, name, &ev, reason, &job, &moved, err);

	if (rc)
		return rc;
	if (job.state == GEN_SETTLED && !moved)
		rc = has_ended(err);
	else if (job.state == GEN_STORING)
		rc = err_set(err, ERR_CONFLICT, "the provider is done with it, and its outputs are being stored");
	else
		*ret = job.state == GEN_SETTLED ? OPERATOR_ENDED : OPERATOR_ASKED;
	job_clear(&job);
	return rc;
}

/* What is lost when a job is ended in that state. */
static const char *
at_stake(enum gen_state state)
{
	switch (state) {
	case GEN_SUBMITTING:
		return "a create call may be under way";
	case GEN_UNCERTAIN:
		return "a create call may have reached the provider";
	case GEN_RUNNING:
		return "the provider is working on it";
	default:
		return "the provider has done its part, and not all outputs are stored";
	}
}

enum err_code
operator_settle(struct service *svc, const struct job_name *name, enum gen_status as,
	const char *reason, bool force, enum operator_did *ret, struct err *err)
{
	const struct job_event ev = {
		.kind = EV_SETTLE, .force = force, .error = as == GEN_FAILED ? ERR_OPERATOR : ERR_OK,
	};
	struct job job;
	bool moved;
	enum err_code rc = apply(svc, name, &ev, reason, &job, &moved, err);

	if (rc)
		return rc;
	if (moved)
		*ret = OPERATOR_ENDED;
	else if (job.state == GEN_SETTLED)
		rc = has_ended(err);
	else
		rc = err_set(err, ERR_CONFLICT, "%s: what was paid for would be lost. Cancel it, or say --force",
			at_stake(job.state));
	job_clear(&job);
	return rc;
}

enum err_code
operator_resume(struct service *svc, const struct job_name *name, const char *reason,
	enum operator_did *ret, struct err *err)
{
	json_t *detail = json_pack("{ss, ss*}", "by", by_operator, "message", reason);
	bool leased = false;
	enum err_code rc;

	if (!detail)
		return err_set(err, ERR_NOMEM, "job's trail");
	rc = evidence_resume(svc->db, name, "resumed", detail, &leased, err);
	if (rc == ERR_NOT_FOUND)
		rc = has_ended(err);
	if (!rc)
		*ret = leased ? OPERATOR_LEASED : OPERATOR_DUE;
	json_decref(detail);
	return rc;
}
