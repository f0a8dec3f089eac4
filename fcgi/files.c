/* GET /signed/<area>/<key>: what a link of core/files.h leads to */
#include "config.h"

#include "core/files.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/media.h"
#include "fcgi/exchange.h"
#include "fcgi/routes.h"

#define PREFIX "/signed/"

/* A parameter of the link; NULL: it is not there. */
static enum err_code
read_param(const struct exchange *x, const char *name, char **ret, struct err *err)
{
	enum err_code rc = exchange_query(x, name, ret, err);

	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

static enum err_code
find(struct exchange *x, enum storage_area *ret_area, const char **ret_key, struct err *err)
{
	char *expires = NULL, *sig = NULL;
	enum err_code rc = read_param(x, "expires", &expires, err);

	if (!rc)
		rc = read_param(x, "sig", &sig, err);
	if (!rc)
		rc = files_check(x->svc, x->path + sizeof PREFIX - 1, expires, sig, clock_wall_us() / 1000000,
			ret_area, ret_key, err);
	mem_free(expires);
	mem_free(sig);
	return rc;
}

/* By its bytes, as when it was kept; a user's own file may be anything, and no
 * browser is to run it. */
static const char *
type_of(int fd)
{
	struct media media;
	off_t size = lseek(fd, 0, SEEK_END);

	return size > 0 && !media_probe(fd, (uint64_t)size, &media, NULL) ? media_mime(media.type)
		: "application/octet-stream";
}

static void
serve(struct exchange *x, enum storage_area area, const char *key, int fd)
{
	struct buf path = BUF_INIT(16384);

	buf_printf(&path, "/gengate_files/%s/", files_area_name(area));
	buf_put_urlenc(&path, key, strlen(key), "/");
	answer_header(x, "Cache-Control", "private, max-age=31536000, immutable");
	answer_file(x, buf_str(&path), fd, type_of(fd));
	if (path.err)
		x->headers.err = path.err;
	buf_clear(&path);
}

void
files_get(struct exchange *x)
{
	enum storage_area area;
	const char *key;
	struct err err = ERR_INIT;
	int fd = -1;
	enum err_code rc = find(x, &area, &key, &err);

	if (!rc)
		rc = x->svc->storage->open(x->svc->storage_settings, area, key, &fd, &err);
	if (rc == ERR_FORBIDDEN) {
		x->err = err;
		answer_problem(x, rc, err.text, NULL);
	} else if (rc) {
		answer_failure(x, rc == ERR_UPSTREAM ? ERR_STORAGE_UNAVAILABLE : rc, &err);
	} else {
		serve(x, area, key, fd);
	}
}
