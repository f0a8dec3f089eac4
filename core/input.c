#include "config.h"

#include "core/input.h"

#include <ctype.h>

#include "core/sign.h"

#define URL_MAX_BYTES 16384

/* Longer than the deadline: the provider may fetch late, and clocks differ. */
#define MARGIN_S (15 * 60)

static const char mark[] = "path of a signed address";

bool
service_takes_inputs(const struct service *svc)
{
	return svc->storage->takes_inputs(svc->storage_settings);
}

/* RFC 3986 section 3.1: a scheme ends in a colon, and a slash is in none. */
bool
input_is_path(const char *input)
{
	size_t len = strcspn(input, ":/");

	if (input[len] != ':' || !isalpha((unsigned char)input[0]))
		return true;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)input[i]) && !strchr("+.-", input[i]))
			return true;
	return false;
}

static bool
is_good_segment(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f || s[i] == '\\')
			return false;
	return len > 0 && !(len == 1 && s[0] == '.') && !(len == 2 && s[0] == '.' && s[1] == '.');
}

bool
input_is_own(const char *path, const struct uuid *owner)
{
	char id[UUID_TEXT_SIZE];
	const char *at;

	uuid_format(owner, id);
	if (strlen(path) > INPUT_PATH_MAX || strncmp(path, id, strlen(id)) != 0 || path[strlen(id)] != '/')
		return false;
	for (at = path + strlen(id); *at == '/'; at += 1 + strcspn(at + 1, "/"))
		if (!is_good_segment(at + 1, strcspn(at + 1, "/")))
			return false;
	return true;
}

/* Another object with the same members, of which the inputs are those. */
static enum err_code
with_inputs(const json_t *request, json_t *inputs, json_t **ret)
{
	json_t *copy = json_copy((json_t *)(uintptr_t)request);

	if (!copy || json_object_set(copy, "inputs", inputs)) {
		json_decref(copy);
		return ERR_NOMEM;
	}
	*ret = copy;
	return ERR_OK;
}

/* What stands for one input; *ret: a new reference. */
typedef enum err_code input_fn(void *ctx, const char *path, json_t **ret);

static enum err_code
change_paths(const json_t *request, input_fn *fn, void *ctx, json_t **ret)
{
	json_t *inputs = json_array(), *item;
	enum err_code rc = inputs ? ERR_OK : ERR_NOMEM;
	size_t i;

	json_array_foreach(json_object_get(request, "inputs"), i, item) {
		const char *s = json_string_value(item);
		json_t *changed = NULL;

		if (!rc && s && input_is_path(s))
			rc = fn(ctx, s, &changed);
		if (!rc && json_array_append_new(inputs, changed ? changed : json_incref(item)))
			rc = ERR_NOMEM;
	}
	if (!rc && json_array_size(inputs) > 0)
		rc = with_inputs(request, inputs, ret);
	else if (!rc)
		*ret = json_incref((json_t *)(uintptr_t)request);
	json_decref(inputs);
	return rc;
}

struct signing {
	struct service *svc;
	uint64_t life_s;
	struct err *err;
};

static enum err_code
sign_one(void *ctx, const char *path, json_t **ret)
{
	struct signing *s = ctx;
	struct buf url = BUF_INIT(URL_MAX_BYTES);
	enum err_code rc = sign_input(s->svc, path, s->life_s, &url, s->err);

	if (!rc && !(*ret = json_string(buf_str(&url))))
		rc = err_set(s->err, ERR_NOMEM, "address of an input");
	if (rc == ERR_NOT_FOUND)
		rc = err_set(s->err, ERR_INPUT_GONE, "the input %s is not there any more", path);
	buf_clear(&url);
	return rc;
}

enum err_code
input_sign_all(struct service *svc, const struct job *job, json_t **ret, struct err *err)
{
	int64_t left_ms = job->time_left_ms > 0 ? job->time_left_ms : 0;
	struct signing s = { svc, (uint64_t)left_ms / 1000 + MARGIN_S, err };
	enum err_code rc = change_paths(job->request, sign_one, &s, ret);

	return rc == ERR_NOMEM ? err_set(err, rc, "inputs") : rc;
}

static enum err_code
mark_one(void *ctx, const char *path, json_t **ret)
{
	struct buf encoded = BUF_INIT(URL_MAX_BYTES);

	(void)ctx;
	buf_put_urlenc(&encoded, path, strlen(path), "/");
	*ret = encoded.err ? NULL : json_pack("{ss}", mark, buf_str(&encoded));
	buf_clear(&encoded);
	return *ret ? ERR_OK : ERR_NOMEM;
}

enum err_code
input_mark_all(const json_t *request, json_t **ret)
{
	return change_paths(request, mark_one, NULL, ret);
}

bool
input_is_signed_for(const json_t *sent, const json_t *told)
{
	const char *path = json_string_value(json_object_get(sent, mark));
	const char *url = json_string_value(told);
	const char *at = path && url ? strstr(url, path) : NULL;

	return at && at > url && at[-1] == '/' && at[strlen(path)] == '?';
}
