/*
 * Who the caller is: an owner's UUID.
 */
#ifndef GENGATE_CORE_CALLER_H
#define GENGATE_CORE_CALLER_H

#include "base/id.h"
#include "core/settings.h"

/*
 * param: what the web server put into `auth_param`; NULL if nothing.  A UUID is
 * taken as it is, any other name becomes a UUIDv5, always the same one.
 * ERR_UNAUTHORIZED: the web server named nobody.
 */
enum err_code caller_identify(const struct settings *settings, const char *param,
	struct uuid *ret, struct err *err) MUST_CHECK;

#endif
