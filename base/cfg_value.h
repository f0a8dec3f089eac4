/*
 * One value of the configuration: from text to where it stands, and back to text.
 * For base/cfg*.c; everybody else sees base/cfg.h.
 */
#ifndef GENGATE_BASE_CFG_VALUE_H
#define GENGATE_BASE_CFG_VALUE_H

#include "base/cfg.h"

#define MISTAKE_MAX_BYTES 16384
#define CFG_BLANKS " \t\r"		/* around names and values */

/* What a row's text means; the member is chosen by the row's type. */
union cfg_value {
	char *str;
	uint64_t num;
	bool on;
	int word;
};

bool cfg_is_blank(char c);

/* ERR_INVALID: why tells what is wrong.  A string in ret is the caller's. */
enum err_code cfg_value_parse(const struct cfg_row *row, const char *s, union cfg_value *ret,
	struct buf *why) MUST_CHECK;

/* Of a row, in the section's target; a string goes along and is not copied. */
void cfg_value_store(const struct cfg_row *row, void *target, const union cfg_value *v);
union cfg_value cfg_value_fetch(const struct cfg_row *row, const void *target);
void cfg_value_clear(const struct cfg_row *row, void *target);	/* frees a string; a secret is wiped */
bool cfg_value_differs(const struct cfg_row *row, const union cfg_value *a, const union cfg_value *b);

void cfg_put_number(struct buf *out, enum cfg_type type, uint64_t n);
bool cfg_has_range(const struct cfg_row *row);
void cfg_put_range(struct buf *out, const struct cfg_row *row);
void cfg_put_words(struct buf *out, const struct cfg_row *row, const char *mark);	/* mark: before and behind each */

#endif
