/*
 * The words that everybody uses: what a job is asked to do, how it stands,
 * what came out of it, and how it failed; and their forms as text.
 * Knows no HTTP and no SQL.
 */
#ifndef GENGATE_BASE_GENERATION_H
#define GENGATE_BASE_GENERATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "base/json.h"

/* What the owner sees; the words are Replicate's, who was first. */
enum gen_status {
	GEN_STARTING,
	GEN_PROCESSING,
	GEN_SUCCEEDED,
	GEN_FAILED,
	GEN_CANCELED,
	GEN_STATUS_COUNT
};

const char *gen_status_name(enum gen_status status);
enum err_code gen_status_parse(const char *s, enum gen_status *ret) MUST_CHECK;

static inline bool
gen_status_is_final(enum gen_status status)
{
	return status >= GEN_SUCCEEDED;
}

/* Where a live job stands; DESIGN calls the row of the table its state. */
enum gen_state {
	GEN_QUEUED,		/* committed, nothing sent */
	GEN_SUBMITTING,		/* a create call may be under way, under a lease */
	GEN_UNCERTAIN,		/* the create's outcome is unknown */
	GEN_RUNNING,		/* the provider has it */
	GEN_STORING,		/* it succeeded; outputs are being kept */
	GEN_SETTLED,		/* no live row */
	GEN_STATE_COUNT
};

const char *gen_state_name(enum gen_state state);
enum err_code gen_state_parse(const char *s, enum gen_state *ret) MUST_CHECK;

/* Why a job is to end before its time. */
enum gen_cancel {
	GEN_CANCEL_NONE,
	GEN_CANCEL_USER,	/* ends canceled */
	GEN_CANCEL_DEADLINE,	/* ends failed: timeout */
};

/*
 * What a provider is asked for: a profile's template with the request's fields
 * put in.  Borrowed by whoever gets it.
 */
struct gen_spec {
	struct uuid job_id;
	const json_t *on;	/* the profile's object for this provider, expanded:
				 * "model", "input", and what else the provider takes */
	const char *webhook_url;	/* NULL: none wanted */
	uint64_t time_left_ms;	/* until the job's deadline */
};

/*
 * What a provider says of a prediction: the same words whether it came by
 * webhook, poll, a cancel's answer or the create's own.
 */
struct gen_observation {
	char *prediction_id;		/* NULL: not said */
	char *handle;			/* how it is reached, in the adapter's own words; NULL: as
				 * was known, or by its id alone */
	enum gen_status status;
	bool status_known;		/* false: a word we do not know; still running */
	char *status_text;		/* the provider's own word, for the log */
	enum err_code error;		/* with GEN_FAILED */
	bool or_canceled;		/* with GEN_FAILED: this is also what becomes of one that
				 * was canceled */
	char *message;			/* the provider's text, for log and trail only */
	char *webhook_url;		/* as the provider echoes it; NULL: it does not */
	json_t *outputs;		/* array of strings: https, http or data: URLs, or base64
				 * alone, which has no colon */
	bool data_removed;		/* succeeded, but the outputs are gone */
	bool is_hint;			/* of a webhook that does not say what came of it: a
				 * reason to look */
	double seconds;			/* that it worked, as it is billed; 0: not said */
};

#define GEN_OBSERVATION_INIT { .status = GEN_STARTING, .status_known = true }

void gen_observation_clear(struct gen_observation *obs);

#endif
