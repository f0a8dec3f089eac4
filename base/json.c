#include "config.h"

#include "base/json.h"

#include <stdint.h>
#include <string.h>

#include "base/buf.h"

static _Thread_local bool short_of_memory;

static void *
allocate(size_t bytes)
{
	void *p = short_of_memory ? NULL : mem_alloc(bytes);

	short_of_memory = !p;
	return p;
}

void
json_use_mem(void)
{
	json_set_alloc_funcs(allocate, mem_free);
}

void
json_begin(void)
{
	short_of_memory = false;
}

bool
json_lasted(void)
{
	bool lasted = !short_of_memory;

	short_of_memory = false;
	return lasted;
}

/* Behind a backslash Jansson quotes what is no UTF-8, which could then not be written
 * as JSON itself, as in the answer to a client. */
static void
clean(char *text)
{
	size_t len = strlen(text), n;

	for (size_t i = 0; i < len; i += n) {
		n = utf8_len(text + i, len - i);
		if (n == 0) {
			text[i] = '?';
			n = 1;
		}
	}
}

/* v is stolen. */
static json_t *
whole(json_t *v, json_error_t *why)
{
	if (json_lasted()) {
		if (!v && why)
			clean(why->text);
		return v;
	}
	json_decref(v);
	if (why) {
		snprintf(why->text, sizeof why->text, "out of memory");
		why->text[sizeof why->text - 1] = json_error_out_of_memory;
	}
	return NULL;
}

json_t *
json_read(const char *p, size_t len, size_t flags, json_error_t *why)
{
	return whole(json_loadb(p, len, flags, why), why);
}

json_t *
json_read_file(const char *path, size_t flags, json_error_t *why)
{
	return whole(json_load_file(path, flags, why), why);
}

static int
put(const char *p, size_t len, void *arg)
{
	struct buf *out = arg;

	buf_put(out, p, len);
	return out->err ? -1 : 0;
}

char *
json_write(const json_t *v, size_t flags)
{
	struct buf out = BUF_INIT(SIZE_MAX / 4);
	bool written = v && json_dump_callback(v, put, &out, flags) == 0;

	if (json_lasted() && written)
		return buf_take(&out);
	buf_clear(&out);
	return NULL;
}
