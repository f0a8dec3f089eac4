/*
 * The cases of a provider, tests/data/NAME/cases.json, and what they are run with.
 * Failures end the test and say which case it was.  tests/data/README.md has the form.
 */
#ifndef GENGATE_TESTS_CONFORMANCE_CASES_H
#define GENGATE_TESTS_CONFORMANCE_CASES_H

#include "tests/unit/adapter.h"
#include "tests/unit/unit.h"

/* Whose cases they are. */
struct suite {
	const struct provider *p;
	const char *folder;		/* under $srcdir */
	json_t *cases;			/* cases.json */
	struct adapter adapter;		/* with the settings of cases.json */
};

void suite_open(struct suite *s, const struct provider *p, const char *folder);
void suite_close(struct suite *s);

/* The rows of "requests", "answers", "webhooks" or "profiles". */
const json_t *suite_rows(const struct suite *s, const char *kind);

/* An adapter with the row's own settings, where it has some, else the suite's. */
void row_open(const struct suite *s, const json_t *row, struct adapter *ret);
void row_close(const json_t *row, struct adapter *a);

const char *row_name(const json_t *row);
const char *row_text(const json_t *row, const char *member);	/* NULL: it has none */

/* The answer that a row is about, or false: the contract that has it is not here. */
bool row_response(const struct suite *s, const json_t *row, struct http_response *ret);

/* Fails if a text for a log has the key or a secret of that adapter's; NULL: there is none. */
void assert_no_secret(const struct adapter *a, const json_t *row, const char *text);

/* The calls that are about one prediction. */
struct look_query row_query(const json_t *row);
const struct provider_look *row_look(const struct provider *p, const json_t *row);
bool row_is(const json_t *row, const char *call);

/* A whole file; the caller owns it: mem_free(). */
char *read_text(const char *folder, const char *name, size_t *ret_len);

/* Set a member unless it is what it is without a word: NULL, false or 0. */
void say_text(json_t *said, const char *member, const char *value);
void say_true(json_t *said, const char *member, bool value);
void say_number(json_t *said, const char *member, uint64_t value);

/* What was said has to be what the row wants, member by member. */
void expect(const struct suite *s, const json_t *row, const json_t *said);

#endif
