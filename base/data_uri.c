#include "config.h"

#include "base/data_uri.h"

#include <string.h>
#include <strings.h>

#include "base/crypto.h"

static const char scheme[] = "data:", coding[] = ";base64";

bool
is_data_uri(const char *s)
{
	return strncasecmp(s, scheme, sizeof scheme - 1) == 0;
}

const char *
data_uri_base64(const char *uri, size_t len)
{
	const char *comma = memchr(uri, ',', len);
	size_t head = comma ? (size_t)(comma - uri) : 0;

	if (head < sizeof scheme - 1 + sizeof coding - 1 ||
	    strncasecmp(comma - (sizeof coding - 1), coding, sizeof coding - 1) != 0)
		return NULL;
	return comma + 1;
}

enum err_code
data_uri_decode(const char *uri, size_t len, struct buf *out, struct err *err)
{
	const char *base64 = data_uri_base64(uri, len);

	if (!base64)
		return err_set(err, ERR_INVALID, "is a data: URI without base64");
	if (base64_decode(out, base64, len - (size_t)(base64 - uri)))
		return out->err ? err_set(err, out->err, "data: URI")
			: err_set(err, ERR_INVALID, "is a data: URI whose base64 is broken");
	return ERR_OK;
}
