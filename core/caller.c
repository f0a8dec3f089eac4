#include "config.h"

#include "core/caller.h"

/* The namespace of names that are no UUID themselves: drawn once, for good. */
static const struct uuid names = { {
	0x6f, 0x1d, 0x0c, 0x5a, 0x9b, 0x0e, 0x4c, 0x52,
	0x8d, 0x6e, 0x3a, 0x77, 0x41, 0xd2, 0xb9, 0x08,
} };

enum err_code
caller_identify(const struct settings *settings, const char *param, struct uuid *ret,
	struct err *err)
{
	static const char nobody[] = "the only user of auth = none";

	if (settings->auth == AUTH_NONE)
		return uuid5_make(&names, nobody, sizeof nobody - 1, ret, err);
	if (!param || !*param)
		return err_set(err, ERR_UNAUTHORIZED, "the web server set no %s", settings->auth_param);
	if (!uuid_parse(param, strlen(param), ret))
		return ERR_OK;
	return uuid5_make(&names, param, strlen(param), ret, err);
}
