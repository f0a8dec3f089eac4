#include "config.h"

#include "core/files.h"

static const char purpose[] = "file";
static const char *const area_names[] = {
	[STORAGE_OUTPUTS] = "outputs", [STORAGE_INPUTS] = "inputs",
};

const char *
files_area_name(enum storage_area area)
{
	return area_names[area];
}

/* What is signed.  The end first: it has digits only, so nothing else looks alike. */
static void
put_text(struct buf *out, int64_t until_s, const char *path)
{
	buf_printf(out, "%lld/%s", (long long)until_s, path);
}

static enum err_code
sign(const struct service *svc, int64_t until_s, const char *path, struct buf *out, struct err *err)
{
	struct buf text = BUF_INIT(8192);
	enum err_code rc;

	put_text(&text, until_s, path);
	rc = text.err ? err_set(err, text.err, "link") : token_sign(svc->keys, purpose, buf_str(&text), out, err);
	buf_clear(&text);
	return rc;
}

enum err_code
files_link(const struct service *svc, enum storage_area area, const char *key, int64_t until_s,
	struct buf *out, struct err *err)
{
	struct buf path = BUF_INIT(8192);
	enum err_code rc;

	buf_printf(&path, "%s/%s", area_names[area], key);
	buf_printf(out, "%s/signed/", svc->settings->public_url);
	buf_put_urlenc(out, buf_str(&path), path.len, "/");
	buf_printf(out, "?expires=%lld&sig=", (long long)until_s);
	rc = path.err ? err_set(err, path.err, "link") : sign(svc, until_s, buf_str(&path), out, err);
	buf_clear(&path);
	return rc;
}

static bool
find_area(const char *path, enum storage_area *ret_area, const char **ret_key)
{
	size_t len = strcspn(path, "/");

	for (size_t i = 0; i < sizeof area_names / sizeof *area_names; i++)
		if (path[len] == '/' && strlen(area_names[i]) == len && strncmp(path, area_names[i], len) == 0) {
			*ret_area = (enum storage_area)i;
			*ret_key = path + len + 1;
			return true;
		}
	return false;
}

enum err_code
files_check(const struct service *svc, const char *path, const char *expires, const char *sig,
	int64_t now_s, enum storage_area *ret_area, const char **ret_key, struct err *err)
{
	struct buf text = BUF_INIT(8192);
	uint64_t until_s;
	enum err_code rc;

	if (!svc->storage->open || !find_area(path, ret_area, ret_key) ||
	    (*ret_area == STORAGE_INPUTS && !svc->storage->takes_inputs(svc->storage_settings)))
		return err_set(err, ERR_NOT_FOUND, "no such files here");
	if (!expires || !sig || parse_u64(expires, strlen(expires), 0, INT64_MAX, &until_s))
		return err_set(err, ERR_FORBIDDEN, "The link is not whole.");
	put_text(&text, (int64_t)until_s, path);
	rc = text.err ? err_set(err, text.err, "link")
		: token_verify(svc->keys, purpose, buf_str(&text), sig, err);
	buf_clear(&text);
	if (rc == ERR_INVALID)
		return err_set(err, ERR_FORBIDDEN, "The link is not one of ours.");
	if (!rc && now_s >= (int64_t)until_s)
		return err_set(err, ERR_FORBIDDEN, "The link has expired.");
	return rc;
}
