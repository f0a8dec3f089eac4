#include "config.h"

#include "base/manager.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* NOTIFY_SOCKET: a path, or with an "@" in front a name without a file. */
static socklen_t
find_manager(struct sockaddr_un *ret)
{
	const char *name = getenv("NOTIFY_SOCKET");
	size_t len = name ? strlen(name) : 0;

	if ((len < 2 || (*name != '/' && *name != '@')) || len >= sizeof ret->sun_path)
		return 0;
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(ret->sun_path, name, len);
	if (*name == '@')
		ret->sun_path[0] = '\0';
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

void
manager_extend_stop(uint64_t ms)
{
	struct sockaddr_un manager;
	socklen_t size = find_manager(&manager);
	char text[64];
	int fd;

	if (!size)
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	snprintf(text, sizeof text, "EXTEND_TIMEOUT_USEC=%llu", (unsigned long long)ms * 1000);
	/* Unheard, the unit's own time is what there is. */
	(void)!sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&manager, size);
	close(fd);
}
