#include "config.h"

#include "fcgi/listen.h"

#include <errno.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define BACKLOG 511

bool
listen_is_listening(int fd)
{
	int yes = 0;
	socklen_t len = sizeof yes;

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &len) == 0 && yes;
}

static enum err_code
system_error(struct err *err, const char *what, const char *which)
{
	return err_set(err, ERR_CONFIG, "%s %s: %s", what, which, strerror(errno));
}

/* A socket file without anybody behind it is a leftover. */
static bool
is_leftover(const struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	bool ret = fd >= 0 && connect(fd, (const struct sockaddr *)addr, sizeof *addr) < 0 &&
		errno == ECONNREFUSED;

	if (fd >= 0)
		close(fd);
	return ret;
}

static enum err_code
listen_unix(const char *path, unsigned mode, int *ret, struct err *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	mode_t old;
	int fd, rc;

	if (strlen(path) >= sizeof addr.sun_path)
		return err_set(err, ERR_CONFIG, "the socket's path %s is longer than %zu bytes", path,
			sizeof addr.sun_path - 1);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return system_error(err, "socket", path);
	if (is_leftover(&addr))
		unlink(path);
	/* Nobody connects before the mode is right. */
	old = umask(0777 & ~mode);
	rc = bind(fd, (const struct sockaddr *)&addr, sizeof addr);
	umask(old);
	if (rc || listen(fd, BACKLOG)) {
		rc = (int)system_error(err, "listening on", path);
		close(fd);
		return (enum err_code)rc;
	}
	*ret = fd;
	return ERR_OK;
}

static enum err_code
listen_tcp(const char *where, int *ret, struct err *err)
{
	static const struct addrinfo hints = {
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM,
	};
	const char *colon = strrchr(where, ':');
	struct addrinfo *addr = NULL;
	char *host;
	int fd = -1, one = 1;

	if (!colon || colon == where)
		return err_set(err, ERR_CONFIG, "%s: say unix:/path, or host:port", where);
	host = where[0] == '[' && colon[-1] == ']'
		? mem_strndup(where + 1, (size_t)(colon - where) - 2)
		: mem_strndup(where, (size_t)(colon - where));
	if (host && getaddrinfo(host, colon + 1, &hints, &addr) == 0)
		fd = socket(addr->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	mem_free(host);
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (fd < 0 || bind(fd, addr->ai_addr, addr->ai_addrlen) || listen(fd, BACKLOG)) {
		enum err_code rc = system_error(err, "listening on", where);

		if (fd >= 0)
			close(fd);
		if (addr)
			freeaddrinfo(addr);
		return rc;
	}
	freeaddrinfo(addr);
	*ret = fd;
	return ERR_OK;
}

enum err_code
listen_open(const char *where, unsigned mode, int *ret_fd, struct err *err)
{
	if (strncmp(where, "unix:", 5) == 0)
		return listen_unix(where + 5, mode, ret_fd, err);
	return listen_tcp(where, ret_fd, err);
}
