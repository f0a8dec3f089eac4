#include "config.h"

#include "fcgi/listen.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

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

static bool
is_socket(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* Nobody connects before the mode is right. */
static bool
bind_with_mode(int fd, const struct sockaddr_un *addr, unsigned mode)
{
	mode_t old = umask(0777 & ~mode);
	int rc = bind(fd, (const struct sockaddr *)addr, sizeof *addr);

	umask(old);
	return rc == 0;
}

/* Listen beside a socket's place, then take it: at any time somebody is there. */
static bool
listen_over(int fd, const char *path, unsigned mode)
{
	struct sockaddr_un beside = { .sun_family = AF_UNIX };
	int len = snprintf(beside.sun_path, sizeof beside.sun_path, "%s.%ld", path, (long)getpid());

	if (len < 0 || (size_t)len >= sizeof beside.sun_path) {
		errno = ENAMETOOLONG;
		return false;
	}
	unlink(beside.sun_path);	/* of a dead one that had our number */
	if (!bind_with_mode(fd, &beside, mode))
		return false;
	if (listen(fd, BACKLOG) == 0 && rename(beside.sun_path, path) == 0)
		return true;
	unlink(beside.sun_path);
	return false;
}

static enum err_code
listen_unix(const char *path, unsigned mode, bool replace, struct listening *ret, struct err *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct stat st;
	enum err_code rc;
	bool over = replace && is_socket(path);
	int fd;

	if (strlen(path) >= sizeof addr.sun_path)
		return err_set(err, ERR_CONFIG, "the socket's path %s is longer than %zu bytes", path,
			sizeof addr.sun_path - 1);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return system_error(err, "socket", path);
	if (!over && is_leftover(&addr))
		unlink(path);
	if (!(over ? listen_over(fd, path, mode) : bind_with_mode(fd, &addr, mode) && !listen(fd, BACKLOG)) ||
	    lstat(path, &st)) {
		rc = system_error(err, "listening on", path);
		close(fd);
		return rc;
	}
	*ret = (struct listening){ .fd = fd, .path = path, .dev = st.st_dev, .ino = st.st_ino };
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
listen_open(const char *where, unsigned mode, bool replace, struct listening *ret, struct err *err)
{
	*ret = (struct listening){ .fd = -1 };
	if (strncmp(where, "unix:", 5) == 0)
		return listen_unix(where + 5, mode, replace, ret, err);
	return listen_tcp(where, &ret->fd, err);
}

void
listen_leave(const struct listening *l)
{
	struct stat st;

	if (l->path && !lstat(l->path, &st) && st.st_dev == l->dev && st.st_ino == l->ino)
		unlink(l->path);
}

void
listen_close(struct listening *l)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
}
