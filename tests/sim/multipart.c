#include "config.h"

#include "tests/sim/multipart.h"

#include <string.h>

#include "tests/sim/sim.h"

/* With its dashes. */
static bool
read_boundary(const struct sim_rq *rq, struct buf *ret)
{
	const char *type = rq_param(rq, "CONTENT_TYPE");
	const char *mark = type ? strstr(type, "boundary=") : NULL;

	if (!mark)
		return false;
	mark += 9 + (mark[9] == '"');
	buf_puts(ret, "--");
	buf_put(ret, mark, strcspn(mark, "\"; "));
	return !ret->err && ret->len > 2;
}

static bool
find_next(const struct sim_rq *rq, const struct buf *boundary, size_t *at, struct part *ret)
{
	const char *p = buf_str(&rq->content.mem) + *at, *end = buf_str(&rq->content.mem) + rq->content.len;
	const char *blank, *stop;

	p = memmem(p, (size_t)(end - p), boundary->p, boundary->len);
	if (!p)
		return false;
	p += boundary->len;
	blank = memmem(p, (size_t)(end - p), "\r\n\r\n", 4);
	if (!blank)
		return false;
	stop = memmem(blank, (size_t)(end - blank), boundary->p, boundary->len);
	if (!stop || stop < blank + 6)
		return false;
	ret->head = p;
	ret->body = blank + 4;
	ret->body_len = (size_t)(stop - 2 - ret->body);
	*at = (size_t)(stop - buf_str(&rq->content.mem));
	return true;
}

bool
part_next(const struct sim_rq *rq, size_t *at, struct part *ret)
{
	struct buf boundary = BUF_INIT(256);
	bool found;

	*ret = (struct part){ .head = NULL };
	found = read_boundary(rq, &boundary) && find_next(rq, &boundary, at, ret);
	buf_clear(&boundary);
	return found;
}

char *
part_header(const struct part *part, const char *before, const char *stop)
{
	const char *s = memmem(part->head, (size_t)(part->body - part->head),
		before, strlen(before));

	if (!s)
		return NULL;
	s += strlen(before);
	return mem_strndup(s, strcspn(s, stop));
}

bool
part_is(const struct part *part, const char *name)
{
	char *s = part_header(part, " name=\"", "\"\r");
	bool same = sim_same(s, name);

	mem_free(s);
	return same;
}
