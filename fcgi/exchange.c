#include "config.h"

#include "fcgi/exchange.h"

#include "core/caller.h"

/* What a client is told to wait when the database is away. */
#define RETRY_AFTER_S "2"

const char *
exchange_param(const struct exchange *x, const char *name)
{
	return FCGX_GetParam(name, x->fcgx->envp);
}

const char *
exchange_header(const void *ctx, const char *name)
{
	const struct exchange *x = ctx;
	char param[64] = "HTTP_";
	size_t n = strlen(param);

	for (; *name && n < sizeof param - 1; name++, n++)
		param[n] = *name == '-' ? '_' : *name >= 'a' && *name <= 'z' ? (char)(*name - 32) : *name;
	param[n] = '\0';
	return *name ? NULL : exchange_param(x, param);
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Percent-decoded; NULL: broken, a NUL in it, or no memory. */
static char *
decode(const char *s, size_t len)
{
	struct buf out = BUF_INIT(len + 1);
	char *ret;

	for (size_t i = 0; i < len; i++) {
		if (s[i] == '%') {
			int hi = i + 2 < len ? hex_value(s[i + 1]) : -1;
			int lo = i + 2 < len ? hex_value(s[i + 2]) : -1;

			if (hi < 0 || lo < 0 || (hi == 0 && lo == 0)) {
				buf_clear(&out);
				return NULL;
			}
			buf_putc(&out, (char)(hi * 16 + lo));
			i += 2;
		} else {
			buf_putc(&out, s[i] == '+' ? ' ' : s[i]);
		}
	}
	ret = buf_take(&out);
	buf_clear(&out);
	return ret;
}

char *
exchange_query(const struct exchange *x, const char *name)
{
	const char *p = exchange_param(x, "QUERY_STRING");
	const char *value = NULL;
	size_t name_len = strlen(name), value_len = 0;

	while (p && *p) {
		size_t len = strcspn(p, "&");

		if (len > name_len && strncmp(p, name, name_len) == 0 && p[name_len] == '=') {
			if (value)
				return NULL;
			value = p + name_len + 1;
			value_len = len - name_len - 1;
		}
		p += len;
		p += *p == '&';
	}
	return value ? decode(value, value_len) : NULL;
}

enum err_code
exchange_read_body(struct exchange *x, uint64_t max_bytes, struct err *err)
{
	const char *length = exchange_param(x, "CONTENT_LENGTH");
	uint64_t want = 0;
	char *to;
	int n;

	if (length && *length && parse_u64(length, strlen(length), 0, INT32_MAX, &want))
		return err_set(err, ERR_BAD_REQUEST, "Content-Length is not usable");
	if (want > max_bytes)
		return err_set(err, ERR_TOO_BIG, "the body has %llu bytes; at most %llu are taken",
			(unsigned long long)want, (unsigned long long)max_bytes);
	x->body.max = (size_t)want;
	to = buf_reserve(&x->body, (size_t)want);
	if (!to)
		return err_set(err, ERR_NOMEM, "request body");
	n = FCGX_GetStr(to, (int)want, x->fcgx->in);
	if (n < 0 || (uint64_t)n != want)
		return err_set(err, ERR_BAD_REQUEST, "the body ends after %d of %llu bytes", n,
			(unsigned long long)want);
	to[n] = '\0';
	x->body.len = (size_t)n;
	return ERR_OK;
}

enum err_code
exchange_owner(struct exchange *x, struct uuid *ret, struct err *err)
{
	const struct settings *s = x->svc->settings;

	return caller_identify(s, s->auth_param ? exchange_param(x, s->auth_param) : NULL, ret, err);
}

void
answer_header(struct exchange *x, const char *name, const char *value)
{
	for (const char *p = value; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f) {
			x->headers.err = ERR_INTERNAL;
			return;
		}
	buf_printf(&x->headers, "%s: %s\r\n", name, value);
}

/* What is said when there is no memory to say anything better. */
static void
answer_bare(struct exchange *x)
{
	static const char body[] = "{\"type\":\"about:blank\",\"title\":\"The server is short of memory; try again.\","
		"\"status\":503,\"code\":\"out_of_memory\"}";

	buf_clear(&x->out);
	buf_clear(&x->headers);
	x->status = 503;
	answer_header(x, "Content-Type", "application/problem+json");
	answer_header(x, "Retry-After", RETRY_AFTER_S);
	buf_puts(&x->out, body);
}

static void
answer(struct exchange *x, int status, const char *type, json_t *body)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

	json_decref(body);
	x->status = status;
	answer_header(x, "Content-Type", type);
	buf_reset(&x->out);
	if (text)
		buf_puts(&x->out, text);
	if (!text || x->out.err || x->headers.err)
		answer_bare(x);
	free(text);
}

void
answer_json(struct exchange *x, int status, json_t *body)
{
	answer(x, status, "application/json", body);
}

void
answer_problem(struct exchange *x, enum err_code code, const char *detail, json_t *more)
{
	int status = err_http_status(code);
	json_t *problem = json_pack("{ss, ss, si, ss, ss*, ss}",
		"type", "about:blank", "title", err_sentence(code), "status", status,
		"code", err_name(code), "detail", detail, "request_id", x->request_id);

	if (problem && more && json_object_update(problem, more)) {
		json_decref(problem);
		problem = NULL;
	}
	json_decref(more);
	if (status == 503)
		answer_header(x, "Retry-After", RETRY_AFTER_S);
	answer(x, status, "application/problem+json", problem);
}

/* Which errors' texts are about what the client sent, and so for the client. */
static bool
is_for_client(enum err_code code)
{
	return code == ERR_BAD_REQUEST || code == ERR_INVALID || code == ERR_TOO_BIG;
}

void
answer_failure(struct exchange *x, enum err_code code, const struct err *err)
{
	x->err = *err;
	/* What has no place in the API is ours to look at. */
	if (code == ERR_CONFIG)
		code = ERR_UNAVAILABLE;
	answer_problem(x, code, is_for_client(code) ? err->text : NULL, NULL);
}
