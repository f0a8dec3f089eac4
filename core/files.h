/*
 * Links to files of a storage that does not sign: to ourselves, with an end and a
 * signature.  We look at those, and the web server serves the file.  (nginx's own
 * secure_link hashes by MD5, and is not in every build.)
 *
 *	<public_url>/signed/<area>/<key>?expires=<seconds since 1970>&sig=<base64url>
 */
#ifndef GENGATE_CORE_FILES_H
#define GENGATE_CORE_FILES_H

#include "core/service.h"

/* Append a link that is good until then. */
enum err_code files_link(const struct service *svc, enum storage_area area, const char *key,
	int64_t until_s, struct buf *out, struct err *err) MUST_CHECK;

/*
 * Which file is it, if the link is good at now_s?  path: "<area>/<key>", decoded.
 * expires and sig as they came; NULL: missing.  *ret_key: borrowed from path.
 * ERR_FORBIDDEN: not ours, or over.  ERR_NOT_FOUND: this storage has no such links.
 */
enum err_code files_check(const struct service *svc, const char *path, const char *expires,
	const char *sig, int64_t now_s, enum storage_area *ret_area, const char **ret_key,
	struct err *err) MUST_CHECK;

/* The name of an area, as links and the web server's configuration have it. */
const char *files_area_name(enum storage_area area);

#endif
