/*
 * Errors: one table says what each means to a client and to a retry loop.
 *
 * A function that can fail returns enum err_code; ERR_OK is 0.  `struct err`
 * (may be NULL) receives text for the log; it is untouched on success.
 * The client never sees that text: it sees the code's name and sentence.
 */
#ifndef GENGATE_BASE_ERR_H
#define GENGATE_BASE_ERR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"

/* code, HTTP status, worth another try?, name on the wire, sentence for the client */
#define ERR_TABLE(X) \
	/* What a client did. */ \
	X(ERR_BAD_REQUEST,  400, false, "bad_request", \
		"The request is malformed.") \
	X(ERR_INVALID,      400, false, "invalid_request", \
		"The request is not valid; see errors for each mistake.") \
	X(ERR_UNAUTHORIZED, 401, false, "unauthorized", \
		"The caller is not known.") \
	X(ERR_SIGNATURE,    401, false, "invalid_signature", \
		"The webhook's signature is missing, wrong or too old.") \
	X(ERR_FORBIDDEN,    403, false, "forbidden", \
		"The caller may not do this.") \
	X(ERR_NOT_FOUND,    404, false, "not_found", \
		"There is nothing here, or it is not yours.") \
	X(ERR_METHOD,       405, false, "method_not_allowed", \
		"This resource does not take that method; see Allow.") \
	X(ERR_IN_FLIGHT,    409, true,  "generation_in_flight", \
		"A generation of yours is still in flight; see job.") \
	X(ERR_CONFLICT,     409, true,  "conflict", \
		"The resource is not in a state that allows this.") \
	X(ERR_TOO_BIG,      413, false, "body_too_large", \
		"The body is larger than the limit.") \
	X(ERR_MEDIA_TYPE,   415, false, "unsupported_media_type", \
		"The body has to be application/json or multipart/form-data.") \
	X(ERR_KEY_REUSED,   422, false, "idempotency_key_reused", \
		"This Idempotency-Key was used with another request.") \
	X(ERR_TOO_MANY,     429, true,  "too_many_requests", \
		"There were too many requests from here; try again.") \
	X(ERR_INTERNAL,     500, true,  "internal_error", \
		"Something went wrong here; the request id leads to the log.") \
	X(ERR_NOMEM,        503, true,  "out_of_memory", \
		"The server is short of memory; try again.") \
	X(ERR_UNAVAILABLE,  503, true,  "database_unavailable", \
		"The database does not answer at the moment; try again.") \
	X(ERR_AUTH_UNAVAILABLE, 503, true, "auth_unavailable", \
		"Tokens cannot be verified at the moment; try again.") \
	X(ERR_STORAGE_UNAVAILABLE, 503, true, "storage_unavailable", \
		"Inputs cannot be stored at the moment; try again.") \
	X(ERR_OVERLOADED,   503, true,  "overloaded", \
		"The server is too busy at the moment; try again.") \
	X(ERR_STOPPING,     503, true,  "stopping", \
		"The server is about to stop; try again.") \
	/* How a job fails: shown in the job's error, or as the answer to /generate. */ \
	X(ERR_PROVIDER_REJECTED,    422, false, "provider_rejected", \
		"The provider refused the request.") \
	X(ERR_CONTENT_BLOCKED,      422, false, "content_blocked", \
		"The provider does not allow this content, in the request or in what came of it.") \
	X(ERR_INPUT_GONE,           422, false, "input_gone", \
		"An input of the request is not there any more.") \
	X(ERR_PROVIDER_UNAVAILABLE, 503, true,  "provider_unavailable", \
		"The provider does not take requests from this service at the moment.") \
	X(ERR_PROVIDER_FAILED,      502, true,  "provider_failed", \
		"The provider accepted the request and then failed.") \
	X(ERR_OUTCOME_UNKNOWN,      502, false, "outcome_unknown", \
		"It is not known whether the provider took the request; it was not sent again.") \
	X(ERR_NO_OUTPUT,            502, true,  "no_output", \
		"The provider reported success without any output.") \
	X(ERR_OUTPUTS_LOST,         502, true,  "outputs_lost", \
		"The provider finished, but not every output could be kept.") \
	X(ERR_OUTPUT_TYPE,          502, false, "output_type", \
		"The provider's output is of a kind that is not kept.") \
	X(ERR_TIMEOUT,              504, true,  "timeout", \
		"The generation did not end within its time.") \
	X(ERR_OPERATOR,             503, true,  "ended_by_operator", \
		"The operator of this service ended the job.") \
	/* Inside only; a client sees them as what they led to. */ \
	X(ERR_NOT_SENT,     502, true,  "not_sent", \
		"The other side could not be reached; nothing was sent.") \
	X(ERR_NO_ANSWER,    502, true,  "no_answer", \
		"The other side did not answer; whether it acted is unknown.") \
	X(ERR_UPSTREAM,     502, true,  "upstream_error", \
		"The other side answered with an error.") \
	X(ERR_REFUSED,      502, false, "upstream_refused", \
		"The other side refused for good.") \
	X(ERR_LOST_RACE,    409, true,  "lost_race", \
		"Another process moved the job first.") \
	X(ERR_CONFIG,       500, false, "configuration_error", \
		"The configuration is wrong.")

enum err_code {
	ERR_OK = 0,
#define X(code, http, again, name, sentence) code,
	ERR_TABLE(X)
#undef X
	ERR_COUNT
};

struct err {
	enum err_code code;
	char text[512];		/* for the log; a longer one ends in "..." */
	uint64_t wait_ms;	/* the other side said for how long to stay away; 0: it did not */
};

#define ERR_INIT { .code = ERR_OK, .text = "" }

/* Set and return in one line: return err_set(err, ERR_UPSTREAM, "status %ld", n); */
enum err_code err_set(struct err *err, enum err_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* clang's analyser looks into one file at a time, and should know what comes back. */
#ifdef __clang_analyzer__
#define err_set(err, code, ...) ((void)err_set((err), (code), __VA_ARGS__), (code))
#endif

/* Put "prefix: " before a text that is already there; returns err's code. */
enum err_code err_prefix(struct err *err, enum err_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* After err_set(): when the other side wants to hear from us again. */
void err_wait(struct err *err, uint64_t wait_ms);

int err_http_status(enum err_code code);
bool err_retryable(enum err_code code);
const char *err_name(enum err_code code);	/* "ok" for ERR_OK */
const char *err_sentence(enum err_code code);

/* The code of a name on the wire or in the database; ERR_INTERNAL if unknown. */
enum err_code err_from_name(const char *name);

#endif
