#include "config.h"

#include "tests/sim/content.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/sim/sim.h"

static int
nameless_file(void)
{
	const char *folder = getenv("TMPDIR");
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/gengate-sim-XXXXXX", folder && *folder ? folder : "/tmp");
	fd = mkstemp(path);
	if (fd >= 0)
		unlink(path);
	return fd;
}

bool
content_spool(struct content *c)
{
	size_t done = 0;

	if (c->fd < 0)
		c->fd = nameless_file();
	while (c->fd >= 0 && done < c->mem.len) {
		ssize_t n = pwrite(c->fd, c->mem.p + done, c->mem.len - done, (off_t)(c->len + done));

		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	c->len += done;
	buf_reset(&c->mem);
	return c->fd >= 0;
}

bool
content_share(const struct content *c, struct content *ret)
{
	*ret = (struct content){ .mem = BUF_INIT(c->mem.max), .fd = -1, .len = c->len };
	if (c->fd >= 0) {
		ret->fd = dup(c->fd);
		return ret->fd >= 0;
	}
	buf_put(&ret->mem, buf_str(&c->mem), c->len);
	return !ret->mem.err;
}

size_t
content_read(const struct content *c, size_t at, void *to, size_t n)
{
	ssize_t got;

	if (n > c->len - at)
		n = c->len - at;
	if (c->fd < 0) {
		memcpy(to, buf_str(&c->mem) + at, n);
		return n;
	}
	got = pread(c->fd, to, n, (off_t)at);
	return got > 0 ? (size_t)got : 0;
}

void
content_cut(struct content *c, size_t len)
{
	c->len = len;
	if (c->fd < 0)
		c->mem.len = len;
}

void
content_digest_hex(const struct content *c, const char *algorithm, struct buf *out)
{
	void *p;

	if (c->fd < 0) {
		sim_digest_hex(algorithm, buf_str(&c->mem), c->len, out);
		return;
	}
	p = mmap(NULL, c->len, PROT_READ, MAP_SHARED, c->fd, 0);
	if (p == MAP_FAILED)
		return;
	sim_digest_hex(algorithm, p, c->len, out);
	munmap(p, c->len);
}

void
content_clear(struct content *c)
{
	buf_clear(&c->mem);
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->len = 0;
}
