#include "config.h"

#include "fcgi/routes.h"

#include "fcgi/caller.h"
#include "fcgi/cors.h"

/* nginx has the same limits (nginx/gengate.conf): it refuses before it sends.  /generate
 * has limits of its own, and reads its body when it knows whose it is. */
#define WEBHOOK_MAX_BYTES (8 * 1000 * 1000)

static const struct route {
	const char *path;	/* "*" is any one segment, which becomes x->tail; at the
				 * end "**" is all that follows */
	const char *method;	/* GET takes HEAD too */
	uint64_t max_body_bytes;
	void (*handle)(struct exchange *x);
	enum { AN_OWNER, A_LINKS_HOLDER, ANYBODY } whom;	/* it is for */
} routes[] = {
	{ "/generate", "POST", 0, generate_post, AN_OWNER },
	{ "/generate/*", "DELETE", 0, generate_delete, AN_OWNER },
	{ "/generate/*/cancel", "POST", 0, cancel_post, AN_OWNER },
	{ "/generate/*/retry", "POST", 0, retry_post, AN_OWNER },
	{ "/status", "GET", 0, status_query, AN_OWNER },
	{ "/status/*", "GET", 0, status_get, AN_OWNER },
	{ "/webhooks/*", "POST", WEBHOOK_MAX_BYTES, webhooks_post, ANYBODY },
	{ "/signed/**", "GET", 0, files_get, A_LINKS_HOLDER },
	{ "/healthz", "GET", 0, healthz_get, ANYBODY },
	{ "/readyz", "GET", 0, readyz_get, ANYBODY },
	{ "/metrics", "GET", 0, metrics_get, ANYBODY },
};

#define N_ROUTES (sizeof routes / sizeof *routes)

/* A segment that is empty, or too long for any of our names, matches no "*". */
static bool
path_matches(const struct route *route, const char *path, char tail[TAIL_SIZE])
{
	const char *star = strchr(route->path, '*');
	size_t before = star ? (size_t)(star - route->path) : 0, len;

	if (!star)
		return strcmp(path, route->path) == 0;
	if (strncmp(path, route->path, before) != 0)
		return false;
	if (star[1] == '*')
		return true;
	len = strcspn(path + before, "/");
	if (len == 0 || len >= TAIL_SIZE || strcmp(path + before + len, star + 1) != 0)
		return false;
	memcpy(tail, path + before, len);
	tail[len] = '\0';
	return true;
}

static bool
method_matches(const struct route *route, const char *method)
{
	return strcmp(method, route->method) == 0 ||
		(strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0);
}

static void
put_methods(const char *path, struct buf *methods)
{
	char tail[TAIL_SIZE];

	for (size_t i = 0; i < N_ROUTES; i++)
		if (path_matches(&routes[i], path, tail))
			buf_printf(methods, "%s%s", methods->len ? ", " : "",
				strcmp(routes[i].method, "GET") == 0 ? "GET, HEAD" : routes[i].method);
}

/* A method that the path does not have. */
static void
answer_other_method(struct exchange *x)
{
	struct buf methods = BUF_INIT(64);

	put_methods(x->path, &methods);
	if (x->for_pages && cors_is_preflight(x)) {
		cors_answer_preflight(x, buf_str(&methods));
	} else {
		answer_header(x, "Allow", buf_str(&methods));
		answer_problem(x, ERR_METHOD, NULL, NULL);
	}
	buf_clear(&methods);
}

static void
call(struct exchange *x, const struct route *route)
{
	struct err err = ERR_INIT;
	enum err_code rc = ERR_OK;

	if (route->max_body_bytes)
		rc = exchange_read_body(x, route->max_body_bytes, &err);
	x->handle = route->handle;
	/* A provider that is turned away comes back for a minute only, and who monitors
	 * wants to know what there is. */
	if (!x->for_users)
		db_call_as(DB_PATIENT);
	if (rc)
		answer_failure(x, rc, &err);
	else if (x->for_users)
		caller_admit(x);
	else
		route->handle(x);
}

void
routes_dispatch(struct exchange *x)
{
	bool path_known = false;

	for (size_t i = 0; i < N_ROUTES; i++) {
		if (!path_matches(&routes[i], x->path, x->tail))
			continue;
		path_known = true;
		x->route = routes[i].path;
		x->for_users = routes[i].whom == AN_OWNER;
		x->for_pages = routes[i].whom != ANYBODY;
		if (method_matches(&routes[i], x->method)) {
			call(x, &routes[i]);
			return;
		}
	}
	if (path_known)
		answer_other_method(x);
	else
		answer_problem(x, ERR_NOT_FOUND, NULL, NULL);
}
