/*
 * URLs, as libcurl reads them: the same eyes that later fetch them.
 */
#ifndef GENGATE_BASE_URL_H
#define GENGATE_BASE_URL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct url {
	char *scheme;		/* lower case */
	char *host;		/* as libcurl would connect to; IPv6 without brackets */
	char *path;		/* "/" at least */
	uint16_t port;		/* the scheme's own if the URL names none */
	bool port_given;
	bool has_userinfo;
};

/* Absolute http and https URLs only; ERR_INVALID otherwise, or ERR_NOMEM.
 * url_clear(). */
enum err_code url_parse(const char *text, struct url *ret) MUST_CHECK;
void url_clear(struct url *url);

/* Where a Location leads from a URL (RFC 3986 section 5).  The caller owns *ret:
 * mem_free().  ERR_INVALID: to nothing that url_parse() takes.  ERR_NOMEM. */
enum err_code url_resolve(const char *base, const char *location, char **ret) MUST_CHECK;

/* localhost, 127.0.0.0/8, ::1, in the form that url.host has. */
bool url_host_is_loopback(const char *host);

#endif
