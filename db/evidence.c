#include "config.h"

#include "db/evidence.h"

#include "db/pool.h"

#define N(params) (sizeof(params) / sizeof *(params))

struct text { char s[UUID_TEXT_SIZE]; };

static const char *
id(struct text *t, const struct uuid *u)
{
	if (!u)
		return NULL;
	uuid_format(u, t->s);
	return t->s;
}

static const char *
num(struct text *t, uint64_t n)
{
	snprintf(t->s, sizeof t->s, "%llu", (unsigned long long)n);
	return t->s;
}

enum err_code
evidence_find(struct db *db, const struct uuid *first, const struct uuid *last,
	const struct uuid *owner, struct job_name ret[FIND_MAX], size_t *ret_n, struct err *err)
{
	struct text from, to, who;
	const char *params[] = { id(&from, first), id(&to, last), id(&who, owner) };
	PGresult *res = NULL;
	size_t n = 0;
	enum err_code rc = db_query(db, SQL_job_find, params, N(params), &res, err);

	for (; !rc && n < FIND_MAX && n < (size_t)PQntuples(res); n++) {
		const char *o = row_text(res, (int)n, "owner_id"), *j = row_text(res, (int)n, "id");

		if (uuid_parse(o, strlen(o), &ret[n].owner) || uuid_parse(j, strlen(j), &ret[n].id))
			rc = err_set(err, ERR_INTERNAL, "job %s of %s", j, o);
	}
	if (!rc)
		*ret_n = n;
	PQclear(res);
	return rc;
}

/* A column that holds JSON.  It was made by Postgres or parsed by us before: what
 * cannot be read is short of memory. */
static json_t *
column_json(const PGresult *res, int row, const char *column)
{
	const char *text = row_text(res, row, column);

	return json_read(text, strlen(text), 0, NULL);
}

enum err_code
evidence_survey(struct db *db, const struct job_filter *filter, json_t **ret, struct err *err)
{
	struct text who, age, max;
	const char *params[] = {
		id(&who, filter->owner), filter->state, filter->status,
		filter->has_age ? num(&age, filter->age_ms) : NULL, num(&max, filter->max),
	};
	json_t *jobs = json_array();
	PGresult *res = NULL;
	enum err_code rc = jobs ? db_query(db, SQL_jobs_survey, params, N(params), &res, err)
		: err_set(err, ERR_NOMEM, "jobs");

	for (int i = 0; !rc && i < PQntuples(res); i++)
		if (json_array_append_new(jobs, column_json(res, i, "job")))
			rc = err_set(err, ERR_NOMEM, "jobs");
	PQclear(res);
	if (rc)
		json_decref(jobs);
	else
		*ret = jobs;
	return rc;
}

enum err_code
evidence_show(struct db *db, const struct job_name *job, json_t **ret, struct err *err)
{
	struct text o, j;
	const char *params[] = { id(&o, &job->owner), id(&j, &job->id) };
	json_t *evidence = NULL;
	PGresult *res = NULL;
	enum err_code rc = db_query(db, SQL_job_evidence, params, N(params), &res, err);

	if (!rc && PQntuples(res) == 0)
		rc = err_set(err, ERR_NOT_FOUND, "there is no job %s", params[1]);
	if (!rc) {
		evidence = column_json(res, 0, "evidence");
		if (!evidence)
			rc = err_set(err, ERR_NOMEM, "job %s", params[1]);
	}
	if (!rc)
		*ret = evidence;
	PQclear(res);
	return rc;
}

enum err_code
evidence_resume(struct db *db, const struct job_name *job, const char *event,
	const json_t *detail, bool *ret_leased, struct err *err)
{
	struct text o, j;
	char *text = json_write(detail, JSON_COMPACT);
	const char *params[] = { id(&o, &job->owner), id(&j, &job->id), event, text };
	PGresult *res = NULL;
	enum err_code rc = text ? db_query(db, SQL_job_resume, params, N(params), &res, err)
		: err_set(err, ERR_NOMEM, "job's trail");

	if (!rc && PQntuples(res) == 0)
		rc = err_set(err, ERR_NOT_FOUND, "job %s is not live", params[1]);
	if (!rc)
		*ret_leased = row_text(res, 0, "is_leased")[0] == 't';
	PQclear(res);
	mem_free(text);
	return rc;
}
