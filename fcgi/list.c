/* GET /status: the caller's jobs, newest first, in pages */
#include "config.h"

#include "core/show.h"
#include "fcgi/list.h"

#define LIMIT_DEFAULT 20
#define LIMIT_MAX 100
#define ERRORS_MAX 20

/* What a cursor is sealed for (base/token.h): it opens nothing else. */
static const char purpose[] = "list";

/* The query, read as a whole: every mistake is told. */
struct query {
	uint64_t limit;
	unsigned statuses;		/* a mask of 1 << enum gen_status; 0: all */
	struct uuid before;
	bool has_before;
	json_t *errors;			/* {"pointer", "detail"}, as for a body */
	size_t n_mistakes;
};

/* A name that is none of ours may hold anything: then it is not repeated. */
static void
mistake(struct query *q, const char *name, size_t len, const char *detail)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
	bool repeat = len > 0 && len <= 64 && strspn(name, plain) >= len;

	q->n_mistakes++;
	if (json_array_size(q->errors) < ERRORS_MAX)
		json_array_append_new(q->errors, json_pack("{so, ss}", "pointer",
			repeat ? json_sprintf("/%.*s", (int)len, name) : json_string(""), "detail", detail));
}

static void
read_limit(struct query *q, const struct service *svc, const char *s)
{
	(void)svc;
	if (parse_u64(s, strlen(s), 1, LIMIT_MAX, &q->limit))
		mistake(q, "limit", 5, "has to be a whole number from 1 to 100");
}

static void
read_statuses(struct query *q, const struct service *svc, const char *s)
{
	(void)svc;
	for (;;) {
		size_t len = strcspn(s, ",");
		int i = 0;

		while (i < GEN_STATUS_COUNT && !(strlen(gen_status_name((enum gen_status)i)) == len &&
				strncmp(s, gen_status_name((enum gen_status)i), len) == 0))
			i++;
		if (i == GEN_STATUS_COUNT) {
			mistake(q, "status", 6, "has to be one or several of starting, processing, "
				"succeeded, failed, canceled, separated by commas");
			return;
		}
		q->statuses |= 1u << i;
		if (!s[len])
			return;
		s += len + 1;
	}
}

static void
read_cursor(struct query *q, const struct service *svc, const char *s)
{
	uint8_t plain[TOKEN_MAX_PLAIN];
	size_t len;

	if (token_open(svc->keys, purpose, s, strlen(s), plain, &len, NULL) || len != sizeof q->before.b) {
		mistake(q, "cursor", 6, "is none of ours; begin without one");
		return;
	}
	memcpy(q->before.b, plain, len);
	q->has_before = true;
}

static const struct member {
	const char *name;
	void (*read)(struct query *q, const struct service *svc, const char *s);
} members[] = {
	{ "limit", read_limit },
	{ "status", read_statuses },
	{ "cursor", read_cursor },
};

#define N_MEMBERS (sizeof members / sizeof *members)

static void
read_unknown(const struct exchange *x, struct query *q)
{
	const char *at = NULL;
	size_t len, i;

	while (exchange_query_next(x, &at, &len)) {
		for (i = 0; i < N_MEMBERS; i++)
			if (strlen(members[i].name) == len && strncmp(at, members[i].name, len) == 0)
				break;
		if (i == N_MEMBERS)
			mistake(q, at, len, "is not a member of this query");
	}
}

static enum err_code
read_query(const struct exchange *x, struct query *q, struct err *err)
{
	*q = (struct query){ .limit = LIMIT_DEFAULT, .errors = json_array() };
	if (!q->errors)
		return err_set(err, ERR_NOMEM, "reading a query");
	for (size_t i = 0; i < N_MEMBERS; i++) {
		const char *name = members[i].name;
		char *value = NULL;
		enum err_code rc;

		if (!exchange_has_query(x, name))
			continue;
		rc = exchange_query(x, name, &value, err);
		if (rc == ERR_NOMEM)
			return rc;
		if (!rc)
			members[i].read(q, x->svc, value);
		else
			mistake(q, name, strlen(name), "is given twice, or cannot be decoded");
		mem_free(value);
	}
	read_unknown(x, q);
	if (q->n_mistakes == 0)
		return ERR_OK;
	return err_set(err, ERR_INVALID, "the query has %zu mistake%s", q->n_mistakes,
		q->n_mistakes == 1 ? "" : "s");
}

/* Where the next page is: the same query, behind the last of these jobs. */
static enum err_code
put_next(const struct exchange *x, const struct query *q, const json_t *jobs, struct buf *out,
	struct err *err)
{
	const json_t *last = json_array_get(jobs, json_array_size(jobs) - 1);
	const char *id = json_string_value(json_object_get(last, "id"));
	struct uuid at;
	enum err_code rc;

	if (uuid_parse(id, strlen(id), &at))
		return err_set(err, ERR_INTERNAL, "a job's id is none: %s", id);
	service_prefix(x->svc, out);
	buf_puts(out, "/status?cursor=");
	rc = token_seal(x->svc->keys, purpose, at.b, sizeof at.b, out, err);
	if (q->limit != LIMIT_DEFAULT)
		buf_printf(out, "&limit=%llu", (unsigned long long)q->limit);
	for (int i = 0, n = 0; i < GEN_STATUS_COUNT; i++)
		if (q->statuses & 1u << i)
			buf_printf(out, "%s%s", n++ ? "," : "&status=", gen_status_name((enum gen_status)i));
	return rc;
}

/* One more than is shown was asked for: it tells whether there is a next page. */
static json_t *
make_page(const struct exchange *x, const struct query *q, json_t *jobs, struct err *err)
{
	struct buf next = BUF_INIT(8192);
	bool more = json_array_size(jobs) > q->limit;
	json_t *page = NULL;

	if (more)
		json_array_remove(jobs, (size_t)q->limit);
	if (!more || (!put_next(x, q, jobs, &next, err) && !next.err))
		page = json_pack("{sO, so}", "jobs", jobs,
			"next", more ? json_string(buf_str(&next)) : json_null());
	buf_clear(&next);
	return page;
}

void
list_get(struct exchange *x)
{
	struct query q = { .errors = NULL };
	struct err err = ERR_INIT;
	json_t *jobs = NULL;
	enum err_code rc;

	rc = read_query(x, &q, &err);
	if (!rc)
		rc = service_list(x->svc, &x->owner, q.statuses, q.has_before ? &q.before : NULL,
			(size_t)q.limit + 1, &jobs, &err);
	if (rc == ERR_INVALID && q.n_mistakes > 0) {
		x->err = err;
		answer_problem(x, rc, err.text, json_pack("{sO}", "errors", q.errors));
	} else if (rc) {
		answer_failure(x, rc, &err);
	} else {
		answer_header(x, "Cache-Control", "private, no-cache");
		answer_json(x, 200, make_page(x, &q, jobs, &err));
	}
	json_decref(jobs);
	json_decref(q.errors);
}
