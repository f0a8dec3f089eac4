#include "config.h"

#include "base/generation.h"

#include <string.h>

static const char *const statuses[GEN_STATUS_COUNT] = {
	[GEN_STARTING] = "starting",
	[GEN_PROCESSING] = "processing",
	[GEN_SUCCEEDED] = "succeeded",
	[GEN_FAILED] = "failed",
	[GEN_CANCELED] = "canceled",
};

static const char *const states[GEN_STATE_COUNT] = {
	[GEN_QUEUED] = "queued",
	[GEN_SUBMITTING] = "submitting",
	[GEN_UNCERTAIN] = "uncertain",
	[GEN_RUNNING] = "running",
	[GEN_STORING] = "storing",
	[GEN_SETTLED] = "settled",
};

static int
find_word(const char *const *words, int n, const char *s)
{
	for (int i = 0; i < n; i++)
		if (strcmp(words[i], s) == 0)
			return i;
	return -1;
}

const char *
gen_status_name(enum gen_status status)
{
	return statuses[status];
}

enum err_code
gen_status_parse(const char *s, enum gen_status *ret)
{
	int i = find_word(statuses, GEN_STATUS_COUNT, s);

	if (i < 0)
		return ERR_INVALID;
	*ret = (enum gen_status)i;
	return ERR_OK;
}

const char *
gen_state_name(enum gen_state state)
{
	return states[state];
}

enum err_code
gen_state_parse(const char *s, enum gen_state *ret)
{
	int i = find_word(states, GEN_STATE_COUNT, s);

	if (i < 0)
		return ERR_INVALID;
	*ret = (enum gen_state)i;
	return ERR_OK;
}

void
gen_observation_clear(struct gen_observation *obs)
{
	mem_free(obs->prediction_id);
	mem_free(obs->handle);
	mem_free(obs->status_text);
	mem_free(obs->message);
	mem_free(obs->webhook_url);
	json_decref(obs->outputs);
	*obs = (struct gen_observation)GEN_OBSERVATION_INIT;
}
