#include "config.h"

#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <sys/mman.h>

void
fuzz_fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
	abort();
}

void
fuzz_begin(void)
{
	static bool begun;

	if (begun)
		return;
	begun = true;
	json_object_seed(1);
	json_use_mem();
}

static char *
must_have(char *p)
{
	MUST(p);
	return p;
}

char *
copy_exactly(const char *p, size_t len)
{
	char *copy = must_have(mem_alloc(len ? len : 1));

	if (len)
		memcpy(copy, p, len);
	return copy;
}

char *
input_line(struct input *in)
{
	const char *end = in->len ? memchr(in->p, '\n', in->len) : NULL;
	size_t len = end ? (size_t)(end - in->p) : in->len, taken = end ? len + 1 : len;
	char *line = must_have(mem_strndup(in->len ? in->p : "", len));

	in->p = in->len ? in->p + taken : in->p;
	in->len -= taken;
	return line;
}

char *
input_rest(struct input *in)
{
	char *rest = copy_exactly(in->p, in->len);

	rest = must_have(mem_realloc(rest, in->len + 1));
	rest[in->len] = '\0';
	in->len = 0;
	return rest;
}

uint64_t
input_number(struct input *in)
{
	char *line = input_line(in);
	uint64_t n = 0;

	if (parse_u64(line, strlen(line), 0, UINT64_MAX, &n))
		n = 0;
	mem_free(line);
	return n;
}

static void
add_header(struct http_response *rs, char *line, char *colon)
{
	struct http_header *h = &rs->headers[rs->n_headers++];

	*colon = '\0';
	for (char *p = line; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	h->name = must_have(mem_strdup(line));
	h->value = must_have(mem_strdup(colon + 1 + strspn(colon + 1, " \t")));
}

#define HEADERS_MAX 100

void
input_response(struct input *in, struct http_response *ret)
{
	*ret = (struct http_response)HTTP_RESPONSE_INIT;
	ret->status = (long)(input_number(in) % 1000);
	ret->headers = mem_calloc(HEADERS_MAX, sizeof *ret->headers);
	MUST(ret->headers);
	for (;;) {
		char *line = input_line(in), *colon = strchr(line, ':');
		bool more = *line;

		if (colon && ret->n_headers < HEADERS_MAX)
			add_header(ret, line, colon);
		mem_free(line);
		if (!more)
			break;
	}
	ret->body.max = in->len;
	buf_put(&ret->body, in->p, in->len);
	MUST(!ret->body.err);
	ret->body_bytes = in->len;
	in->len = 0;
}

/* RFC 3629, by its table. */
bool
is_utf8(const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text, *end = p + len;

	while (p < end) {
		unsigned char c = *p++, low = 0x80, high = 0xbf;
		int more = c < 0x80 ? 0 : c >= 0xc2 && c <= 0xdf ? 1 : (c & 0xf0) == 0xe0 ? 2 :
			c >= 0xf0 && c <= 0xf4 ? 3 : -1;

		if (more < 0 || end - p < more)
			return false;
		if (c == 0xe0)
			low = 0xa0;
		else if (c == 0xed)
			high = 0x9f;
		else if (c == 0xf0)
			low = 0x90;
		else if (c == 0xf4)
			high = 0x8f;
		for (; more > 0; more--, p++, low = 0x80, high = 0xbf)
			if (*p < low || *p > high)
				return false;
	}
	return true;
}

bool
has_control(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return true;
	return false;
}

void
must_be_sendable(const struct http_request *rq)
{
	MUST(!rq->err && rq->url && rq->url[0] && !has_control(rq->url));
	for (size_t i = 0; i < rq->n_headers; i++) {
		MUST(rq->headers[i].name[0] && !has_control(rq->headers[i].name));
		MUST(!has_control(rq->headers[i].value));
	}
	MUST(!rq->body_bytes || rq->body || rq->body_fd >= 0);
	MUST(rq->method == HTTP_POST || rq->method == HTTP_PUT || !rq->body);
}

void
fill_settings(const struct cfg_row *rows, void *target, const char *const env[])
{
	const struct cfg_section section = { .title = "", .rows = rows, .target = target };
	const struct cfg cfg = { .sections = &section, .n_sections = 1 };
	struct buf mistakes = BUF_INIT(4096);
	struct err err = ERR_INIT;

	if (cfg_load(&cfg, NULL, (char *const *)env, &mistakes, &err)) {
		fprintf(stderr, "%s\n", buf_str(&mistakes));
		fuzz_fail(__FILE__, __LINE__, err.text);
	}
	buf_clear(&mistakes);
}

void
clear_settings(const struct cfg_row *rows, void *target)
{
	const struct cfg_section section = { .title = "", .rows = rows, .target = target };
	const struct cfg cfg = { .sections = &section, .n_sections = 1 };

	cfg_clear(&cfg);
}

/* In memory where that can be had: a disk takes longer than most targets. */
static int
open_file(void)
{
#ifdef MFD_CLOEXEC
	return memfd_create("fuzz", MFD_CLOEXEC);
#else
	const char *dir = getenv("TMPDIR");
	char name[4096];
	int fd;

	snprintf(name, sizeof name, "%s/gengate-fuzz-XXXXXX", dir && *dir ? dir : "/tmp");
	fd = mkstemp(name);
	if (fd >= 0) {
		unlink(name);
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	}
	return fd;
#endif
}

/* /dev/fd leads to it, here and there to the same offset. */
const char *
file_of(const char *p, size_t len)
{
	static char path[64];
	static int fd = -1;

	if (fd < 0) {
		fd = open_file();
		MUST(fd >= 0);
		snprintf(path, sizeof path, "/dev/fd/%d", fd);
	}
	MUST(ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0);
	MUST(pwrite(fd, p, len, 0) == (ssize_t)len);
	return path;
}
