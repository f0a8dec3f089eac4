/* A request as a form sends it: multipart/form-data into what JSON would have been. */
#ifndef GENGATE_FCGI_FORM_H
#define GENGATE_FCGI_FORM_H

#include "core/intake.h"
#include "fcgi/exchange.h"

/*
 * Read the body of x.  A field becomes the member of its name, with the type that it
 * has there: numbers, and JSON for `params` and `metadata`; one that is left empty is
 * not there.  `inputs`, and `input`, may be given often, as text or as files; files go
 * to the intake as they come, or nowhere if that is NULL, and are null in `inputs`.
 * What cannot be becomes what request_check() says the mistake of.
 * *ret_body: a new object.  ERR_BAD_REQUEST: it is no form.  ERR_FORBIDDEN: it comes from
 * another site's page (err's text is for the client, as of both).  ERR_TOO_BIG, ERR_OVERLOADED,
 * ERR_UPSTREAM, ERR_NOMEM.
 */
enum err_code form_read(struct exchange *x, struct intake *in, json_t **ret_body,
	size_t *ret_files, struct err *err) MUST_CHECK;

#endif
