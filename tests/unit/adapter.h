/*
 * A provider as the program has it, and answers for it: what the tests of
 * providers share.  Failures end the test.
 */
#ifndef GENGATE_TESTS_ADAPTER_H
#define GENGATE_TESTS_ADAPTER_H

#include "providers/adapter.h"

/* Its settings are its own business: they come in as an operator gives them. */
struct adapter {
	const struct provider *p;
	void *settings;
	struct cfg_section section;
	struct cfg cfg;
};

/* env: NULL-terminated, as environ. */
void adapter_open(struct adapter *a, const char *name, const char *const env[]);
/* The same of one that may not be in the registry. */
void adapter_open_as(struct adapter *a, const struct provider *p, const char *const env[]);
void adapter_close(struct adapter *a);

/* From $srcdir/FOLDER/NAME.  The caller owns it. */
json_t *load_json(const char *folder, const char *name);

/* headers: name, value, name, value ... NULL; or NULL.  http_response_clear(). */
void make_response(struct http_response *rs, long status, const char *const *headers,
	const char *body, size_t len);

/* From {"response": {"status", "headers", "body"}}; a document that is a body
 * alone is a 200.  A body that is a text is those bytes. */
void response_of(const json_t *doc, struct http_response *rs);

/* The headers of a webhook of the Standard Webhooks kind; NULL: not there. */
struct headers {
	const char *id, *timestamp, *signature;
};

enum err_code verify(const struct adapter *a, const struct headers *h, const char *body, size_t len,
	int64_t now_s, char **ret, struct err *err) MUST_CHECK;

#endif
