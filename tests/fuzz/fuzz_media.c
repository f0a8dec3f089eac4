/* What a file is by its first bytes, and how large its picture. */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include <fcntl.h>

#include "base/media.h"

static void
same_from_file(const char *p, size_t len, enum err_code want, const struct media *m)
{
	struct media from_file;
	int fd = open(file_of(p, len), O_RDONLY);

	MUST(fd >= 0);
	MUST(media_probe(fd, len, &from_file, NULL) == want);
	if (!want)
		MUST(from_file.type == m->type && from_file.width == m->width && from_file.height == m->height);
	close(fd);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct media m = { .type = MEDIA_UNKNOWN };
	struct err err = ERR_INIT;
	char *exact = copy_exactly((const char *)data, size);
	enum err_code rc = media_probe_mem((const uint8_t *)exact, size, &m, &err);

	fuzz_begin();
	MUST(rc == ERR_OK || rc == ERR_OUTPUT_TYPE);
	MUST_SAY(rc, &err);
	if (!rc) {
		MUST(m.type > MEDIA_UNKNOWN && m.type < MEDIA_COUNT);
		MUST(strchr(media_mime(m.type), '/') && media_ext(m.type)[0]);
		MUST(m.type >= MEDIA_MP4 || (m.width > 0 && m.height > 0));
	} else {
		MUST(!has_control(err.text) && is_utf8(err.text, strlen(err.text)));
	}
	same_from_file(exact, size, rc, &m);
	mem_free(exact);
	return 0;
}
