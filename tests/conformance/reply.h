/* Answers and webhooks as an adapter reads them. */
#ifndef GENGATE_TESTS_CONFORMANCE_REPLY_H
#define GENGATE_TESTS_CONFORMANCE_REPLY_H

#include "tests/conformance/cases.h"

/* What was made of an answer, whatever call it was for. */
struct reading {
	enum err_code rc;
	struct err err;			/* with rc */
	struct submit_reply submit;
	struct status_reply look;
	struct find_reply find;
	struct buf verifier;
	/* Of a webhook. */
	struct gen_observation hook;
	char *delivery;
};

/* The row says which call, and about which prediction. */
void read_answer(const struct adapter *a, const json_t *row, const struct http_response *rs,
	struct reading *ret);
/* Verify, and parse what was verified. */
void read_webhook(const struct adapter *a, const json_t *row, const struct webhook *wh, int64_t now_s,
	struct reading *ret);
void reading_clear(struct reading *r);

/* In the words of cases.json.  The caller owns it. */
json_t *answer_said(const json_t *row, const struct reading *r);
json_t *webhook_said(const struct reading *r);

/* Each row of "answers". */
void answers_are_as_wanted(const struct suite *s);
void answers_survive_nomem(const struct suite *s);

/* Each row of "webhooks". */
void webhooks_are_as_wanted(const struct suite *s);
void webhooks_survive_nomem(const struct suite *s);

/* A webhook of a row; what it has is the row's, but for the body: mem_free(). */
struct webhook row_webhook(const struct suite *s, const json_t *row, char **ret_body);
int64_t row_now(const json_t *row);

#endif
