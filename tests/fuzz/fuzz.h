/*
 * What the fuzz targets have in common.  Each target is one file, fuzz_NAME.c, with
 * libFuzzer's entry; it says what has to hold for any input, by MUST().
 *
 * Inputs are texts as far as possible, so that people can read and write them in
 * corpus/NAME: lines first, then the rest as it is.
 */
#ifndef GENGATE_TESTS_FUZZ_H
#define GENGATE_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/cfg.h"
#include "base/http.h"
#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(what) ((what) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #what))
void fuzz_fail(const char *file, int line, const char *what) __attribute__((noreturn));

/* Who fails says why, and as what. */
#define MUST_SAY(rc, e) MUST((rc) == ERR_OK || ((e)->code == (rc) && (e)->text[0]))

/* First of all: memory as the program has it, and no chance in it. */
void fuzz_begin(void);

/* What is left of an input. */
struct input {
	const char *p;
	size_t len;
};

#define INPUT(data, size) { .p = (const char *)(data), .len = (size) }

/* All of these make copies of their own, so that a sanitizer sees each byte that is
 * read behind the end; mem_free(). */
char *input_line(struct input *in);	/* up to LF, which is taken too; "" at the end */
char *input_rest(struct input *in);	/* all, with a NUL behind it */
char *copy_exactly(const char *p, size_t len);	/* without one */

/* A line that is a number, or 0. */
uint64_t input_number(struct input *in);

/* "200", then headers "name: value" up to an empty line, then the body; as the HTTP
 * client hands answers over.  http_response_clear(). */
void input_response(struct input *in, struct http_response *ret);

bool is_utf8(const char *p, size_t len);
bool has_control(const char *s);	/* C0 or DEL: must not get into a header or a URL */

/* A request that a provider or storage made can be sent as it is. */
void must_be_sendable(const struct http_request *rq);

/* Settings from their rows' defaults and env, as an operator gives them. */
void fill_settings(const struct cfg_row *rows, void *target, const char *const env[]);
void clear_settings(const struct cfg_row *rows, void *target);

/* A file of that content, always the same path, of this process alone. */
const char *file_of(const char *p, size_t len);

#endif
