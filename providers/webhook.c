#include "config.h"

#include "providers/webhook.h"

#include <string.h>

#include "base/buf.h"

enum err_code
webhook_check_age(const char *header, const char *timestamp, int64_t now_s, struct err *err)
{
	uint64_t then;

	if (strlen(timestamp) > WEBHOOK_TIMESTAMP_MAX ||
	    parse_u64(timestamp, strlen(timestamp), 0, INT64_MAX, &then))
		return err_set(err, ERR_SIGNATURE, "%s is no number", header);
	if ((int64_t)then < now_s - WEBHOOK_TOLERANCE_S || (int64_t)then > now_s + WEBHOOK_TOLERANCE_S)
		return err_set(err, ERR_SIGNATURE, "%s is %lld s off; at most %d are allowed: is the clock right?",
			header, (long long)((int64_t)then - now_s), WEBHOOK_TOLERANCE_S);
	return ERR_OK;
}

bool
webhook_next_item(const char **list, char sep, const char **item, size_t *len)
{
	const char *p = *list, *end;

	while (*p == ' ' || *p == sep)
		p++;
	if (*p == '\0')
		return false;
	end = strchr(p, sep);
	if (!end)
		end = p + strlen(p);
	*list = end;
	while (end > p && end[-1] == ' ')
		end--;
	*item = p;
	*len = (size_t)(end - p);
	return true;
}
