#include "config.h"

#include "core/origins.h"

#include "base/cfg.h"
#include "base/url.h"

#define BLANKS " \t"

/* The next item without the blanks around it; *list goes behind it, and is NULL
 * after the last one. */
static const char *
next_item(const char **list, size_t *ret_len)
{
	const char *item = *list + strspn(*list, BLANKS);
	size_t len = strcspn(item, ",");

	*list = item[len] ? item + len + 1 : NULL;
	while (len > 0 && strchr(BLANKS, item[len - 1]))
		len--;
	*ret_len = len;
	return item;
}

/* As a browser writes the origin of this URL. */
static enum err_code
origin_of(const char *text, struct buf *ret)
{
	struct url url = { .scheme = NULL };
	enum err_code rc = url_parse(text, &url);

	if (!rc) {
		bool is_v6 = strchr(url.host, ':');

		buf_printf(ret, is_v6 ? "%s://[%s]" : "%s://%s", url.scheme, url.host);
		if (url.port != (strcmp(url.scheme, "https") == 0 ? 443 : 80))
			buf_printf(ret, ":%u", (unsigned)url.port);
	}
	url_clear(&url);
	return rc ? rc : ret->err;
}

static bool
is_plain(const char *text)
{
	for (; *text; text++)
		if (*text <= ' ' || *text > '~' || (*text >= 'A' && *text <= 'Z'))
			return false;
	return true;
}

static bool
is_origin(const char *text)
{
	struct buf origin = BUF_INIT(1024);
	bool is = is_plain(text) && !origin_of(text, &origin) && strcmp(buf_str(&origin), text) == 0;

	buf_clear(&origin);
	return is;
}

static void
check_item(const char *item, size_t len, bool alone, struct buf *mistakes)
{
	char *text = mem_strndup(item, len);

	if (!text)
		mistakes->err = ERR_NOMEM;
	else if (strcmp(text, "*") == 0 && !alone)
		cfg_mistake(mistakes, "cors_origins", "* is everybody: it has to stand alone");
	else if (strcmp(text, "*") != 0 && !is_origin(text))
		cfg_mistake(mistakes, "cors_origins", "\"%s\" is no origin as a browser sends it: scheme://host[:port] "
			"in lower case, without the scheme's own port, a path or a slash at the end", text);
	mem_free(text);
}

void
origins_check(const char *list, struct buf *mistakes)
{
	bool alone = list && !strchr(list, ',');

	while (list) {
		size_t len;
		const char *item = next_item(&list, &len);

		check_item(item, len, alone, mistakes);
	}
}

bool
origins_all(const char *list)
{
	return origins_have(list, "*");
}

bool
origins_have(const char *list, const char *origin)
{
	while (list) {
		size_t len;
		const char *item = next_item(&list, &len);

		if (len > 0 && strlen(origin) == len && memcmp(item, origin, len) == 0)
			return true;
	}
	return false;
}
