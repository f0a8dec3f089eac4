/* What a test may set: one table of rows in settings.c, guarded by sim->lock. */
#ifndef GENGATE_SIM_SETTINGS_H
#define GENGATE_SIM_SETTINGS_H

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"

struct sim_settings {
	long starting_ms, processing_ms, slow_ms;
	long list_lag_ms, page_size, data_ttl_ms;
	long cancel_after_min_ms, clock_offset_ms;
	long webhook_retries, webhook_backoff_ms, webhook_timeout_ms;
	long max_predictions, max_stored_bytes;
	long max_side;		/* pictures are drawn no wider and no higher */
	char *token, *webhook_secret;
	char *storage_secret_key, *storage_publishable_key, *service_key;
	char *fal_key;
	long fal_webhook_key;	/* the number of the key that signs */
	long fal_webhook_retries;
	long fal_cancel_webhook;	/* 1: what was cancelled sends one, too */
	char *openai_key;	/* empty: none is wanted */
	char *openai_answers;	/* of a local server: b64_json, or url */
	long openai_strict;	/* 0: as local servers, which ignore what they do not know */
	long openai_relative_urls, openai_timeout_ms;
	char *sdcpp_key;	/* empty: none is wanted */
	long sdcpp_queue;	/* no more jobs at a time */
	long sdcpp_keep_ms;	/* for so long after its end a job is there */
	long sdcpp_cancel_generating;	/* 1: what runs can be cancelled, too */
	char *bfl_key;
	char *bfl_polling_base;	/* of polling_url; empty: the simulator's own */
	long bfl_concurrent;	/* no more at a time */
	long bfl_sample_ms;	/* for so long a sample's URL is good */
	long bfl_not_found_status, bfl_state_member, bfl_webhook_retries;
	char *comfyui_key;	/* empty: none is wanted */
	long auth_guarded;	/* Auth wants an apikey, too */
	char *jwks;		/* what it publishes, whatever that is */
};

bool settings_init(struct sim_settings *set) MUST_CHECK;	/* to the defaults */
void settings_clear(struct sim_settings *set);

/* All members of the object or, with false and a reason, none. */
bool settings_apply(struct sim_settings *set, const json_t *members, struct buf *why) MUST_CHECK;
json_t *settings_json(const struct sim_settings *set);		/* new */

#endif
