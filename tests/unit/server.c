#include "config.h"

#include "tests/unit/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/unit.h"

void
send_all(struct conn *cn, const char *p, size_t len)
{
	while (len > 0) {
		ssize_t n = send(cn->fd, p, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		p += n;
		len -= (size_t)n;
	}
}

void
send_text(struct conn *cn, const char *s)
{
	send_all(cn, s, strlen(s));
}

void
wait_for_close(struct conn *cn)
{
	char c;

	while (recv(cn->fd, &c, 1, 0) > 0)
		;
}

void
reset_on_close(struct conn *cn)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(cn->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

static bool
receive_head(struct conn *cn)
{
	for (;;) {
		char *end;
		ssize_t n;

		cn->head[cn->have] = '\0';
		end = strstr(cn->head, "\r\n\r\n");
		if (end) {
			cn->head_len = (size_t)(end - cn->head) + 4;
			return true;
		}
		if (cn->have + 1 >= sizeof cn->head)
			return false;
		n = recv(cn->fd, cn->head + cn->have, sizeof cn->head - 1 - cn->have, 0);
		if (n <= 0)
			return false;
		cn->have += (size_t)n;
	}
}

static void
keep_body(struct conn *cn, const char *p, size_t len)
{
	size_t room = sizeof cn->body - cn->body_len;

	cn->body_bytes += len;
	if (len > room)
		len = room;
	memcpy(cn->body + cn->body_len, p, len);
	cn->body_len += len;
}

static size_t
content_length(const struct conn *cn)
{
	const char *at = strstr(cn->head, "Content-Length: ");

	return at && at < cn->head + cn->head_len ? strtoul(at + 16, NULL, 10) : 0;
}

static bool
receive_body(struct conn *cn)
{
	size_t want = content_length(cn), past = cn->have - cn->head_len;
	char part[16384];

	cn->body_len = cn->body_bytes = 0;
	if (past > want)
		past = want;
	keep_body(cn, cn->head + cn->head_len, past);
	while (cn->body_bytes < want) {
		size_t left = want - cn->body_bytes;
		ssize_t n = recv(cn->fd, part, left < sizeof part ? left : sizeof part, 0);

		if (n <= 0)
			return false;
		keep_body(cn, part, (size_t)n);
	}
	return true;
}

static bool
serve_one(struct conn *cn)
{
	struct server *sv = cn->sv;

	cn->have = 0;
	if (!receive_head(cn) || !receive_body(cn))
		return false;
	pthread_mutex_lock(&sv->lock);
	snprintf(sv->last_head, sizeof sv->last_head, "%.*s", (int)cn->head_len,
		cn->head);
	pthread_mutex_unlock(&sv->lock);
	atomic_fetch_add(&sv->requests, 1);
	return sv->answer(cn);
}

static void *
serve_conn(void *arg)
{
	struct conn *cn = arg;

	while (serve_one(cn))
		;
	pthread_mutex_lock(&cn->sv->lock);
	close(cn->fd);
	cn->fd = -1;
	pthread_mutex_unlock(&cn->sv->lock);
	return NULL;
}

static void *
serve(void *arg)
{
	struct server *sv = arg;

	for (;;) {
		int fd = accept(sv->fd, NULL, NULL);
		struct conn *cn;

		if (fd < 0)
			return NULL;
		cn = calloc(1, sizeof *cn);
		assert_non_null(cn);
		cn->sv = sv;
		cn->fd = fd;
		atomic_fetch_add(&sv->accepts, 1);
		pthread_mutex_lock(&sv->lock);
		assert_true(sv->n_conns < MAX_CONNS);
		sv->conns[sv->n_conns++] = cn;
		pthread_create(&cn->thread, NULL, serve_conn, cn);
		pthread_mutex_unlock(&sv->lock);
	}
}

int
listen_on_loopback(int *ret_port)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t len = sizeof in;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
	assert_int_equal(listen(fd, 128), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	*ret_port = ntohs(in.sin_port);
	return fd;
}

void
server_start(struct server *sv, bool (*answer)(struct conn *cn), void *ctx)
{
	sv->answer = answer;
	sv->ctx = ctx;
	sv->fd = listen_on_loopback(&sv->port);
	pthread_mutex_init(&sv->lock, NULL);
	assert_int_equal(pthread_create(&sv->thread, NULL, serve, sv), 0);
}

void
server_stop(struct server *sv)
{
	shutdown(sv->fd, SHUT_RDWR);
	pthread_join(sv->thread, NULL);
	close(sv->fd);
	pthread_mutex_lock(&sv->lock);
	for (size_t i = 0; i < sv->n_conns; i++)
		if (sv->conns[i]->fd >= 0)
			shutdown(sv->conns[i]->fd, SHUT_RDWR);
	pthread_mutex_unlock(&sv->lock);
	for (size_t i = 0; i < sv->n_conns; i++) {
		pthread_join(sv->conns[i]->thread, NULL);
		free(sv->conns[i]);
	}
	pthread_mutex_destroy(&sv->lock);
}
