#include "config.h"

#include "base/temp_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"

static const char *
folder(const char *dir)
{
	if (!dir)
		dir = getenv("TMPDIR");
	return dir && *dir ? dir : "/tmp";
}

enum err_code
temp_file(const char *dir, int *ret_fd, struct err *err)
{
	struct buf path = BUF_INIT(4096);
	char *name;
	int fd;

	buf_printf(&path, "%s/gengate-XXXXXX", folder(dir));
	name = buf_take(&path);
	if (!name)
		return err_set(err, ERR_NOMEM, "temporary file");
	fd = mkstemp(name);
	if (fd >= 0) {
		unlink(name);
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		*ret_fd = fd;
	} else {
		err_set(err, ERR_UPSTREAM, "temporary file %s: %s", name, strerror(errno));
	}
	mem_free(name);
	return fd >= 0 ? ERR_OK : ERR_UPSTREAM;
}

enum err_code
temp_file_put(int fd, const void *p, size_t len, uint64_t at, struct err *err)
{
	const char *from = p;

	while (len > 0) {
		ssize_t n = pwrite(fd, from, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(err, ERR_UPSTREAM, "temporary file: %s", strerror(errno));
		from += n;
		len -= (size_t)n;
		at += (uint64_t)n;
	}
	return ERR_OK;
}
