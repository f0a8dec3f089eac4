/*
 * multipart/form-data (RFC 7578, RFC 2046 section 5.1), a piece at a time.
 *
 * A pure parser: it reads memory, tells what it finds by callbacks, allocates
 * nothing and does no I/O; the same bytes tell the same however they are cut into
 * pieces.  Contents are passed on as they come, so their size is the caller's to
 * limit; headers and the number of parts are limited here.  A file's name is used
 * for nothing: that there is one says that the part is a file.
 */
#ifndef GENGATE_BASE_MULTIPART_H
#define GENGATE_BASE_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define MULTIPART_BOUNDARY_MAX 70	/* RFC 2046 */
#define MULTIPART_NAME_MAX 127
#define MULTIPART_HEADER_MAX 4096	/* of one part, all of its lines */
#define MULTIPART_PARTS_MAX 200

struct multipart_part {
	const char *name;		/* of the field; borrowed for the call */
	bool is_file;			/* it has a filename */
	bool is_nameless;		/* an empty one: a form's file field that was left alone */
};

/* Any failure ends the parsing with it. */
struct multipart_events {
	enum err_code (*begin)(void *ctx, const struct multipart_part *part, struct err *err);
	enum err_code (*data)(void *ctx, const char *p, size_t len, struct err *err);
	enum err_code (*end)(void *ctx, struct err *err);
};

struct multipart {
	const struct multipart_events *events;
	void *ctx;
	char delimiter[MULTIPART_BOUNDARY_MAX + 5];	/* CR LF "--" boundary */
	size_t delimiter_len;
	size_t matched;			/* of the delimiter */
	size_t parts;
	char header[MULTIPART_HEADER_MAX];
	size_t header_len;
	bool seen_dash;
	enum {
		MULTIPART_PREAMBLE, MULTIPART_AFTER_DELIMITER, MULTIPART_HEADERS,
		MULTIPART_BODY, MULTIPART_EPILOGUE,
	} state;
};

/* Is it multipart/form-data, with or without parameters?  type may be NULL. */
bool multipart_is_form(const char *type);

/* type: the request's Content-Type.  events and ctx are borrowed.
 * ERR_BAD_REQUEST: no boundary, or none that may be. */
enum err_code multipart_init(struct multipart *m, const char *type,
	const struct multipart_events *events, void *ctx, struct err *err) MUST_CHECK;

/* ERR_BAD_REQUEST: not multipart/form-data; err says what is wrong. */
enum err_code multipart_feed(struct multipart *m, const char *p, size_t len,
	struct err *err) MUST_CHECK;

/* That was all.  ERR_BAD_REQUEST: the last delimiter was missing. */
enum err_code multipart_finish(const struct multipart *m, struct err *err) MUST_CHECK;

#endif
