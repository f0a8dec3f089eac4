#include "config.h"

#include "fcgi/cors.h"

#include "core/origins.h"

#define REQUEST_HEADERS \
	"Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, Prefer, Traceparent"
#define ANSWER_HEADERS "ETag, Idempotency-Replayed, Location, Preference-Applied, Retry-After, X-Request-Id"

/* For how long a browser need not ask again; some keep it no longer anyway. */
#define MAX_AGE_S "7200"

/* What the answer says: "*", the page's own origin, or NULL: it may not read it. */
static const char *
allowed(const struct exchange *x)
{
	const char *list = x->svc->settings->cors_origins, *origin = exchange_header(x, "origin");

	if (origins_all(list))
		return "*";
	return origin && origins_have(list, origin) ? origin : NULL;
}

bool
cors_is_preflight(const struct exchange *x)
{
	return strcmp(x->method, "OPTIONS") == 0 && exchange_header(x, "origin") &&
		exchange_header(x, "access-control-request-method") && allowed(x);
}

void
cors_answer_preflight(struct exchange *x, const char *methods)
{
	answer_header(x, "Access-Control-Allow-Methods", methods);
	answer_header(x, "Access-Control-Allow-Headers", REQUEST_HEADERS);
	answer_header(x, "Access-Control-Max-Age", MAX_AGE_S);
	answer_empty(x, 204);
}

void
cors_put(const struct exchange *x, struct buf *head)
{
	const char *list = x->svc->settings->cors_origins, *origin = allowed(x);

	/* Caches keep an answer for each origin, also one that is for nobody. */
	if (list && !origins_all(list))
		buf_puts(head, "Vary: Origin\r\n");
	if (origin)
		buf_printf(head, "Access-Control-Allow-Origin: %s\r\n"
			"Access-Control-Expose-Headers: " ANSWER_HEADERS "\r\n", origin);
}
