/*
 * Model profiles: what a model's name in a request means, from models.json.
 *
 *	{ "flux": {
 *		"limits": { "count": 4, "inputs": 0 },
 *		"timeout": "5m",
 *		"on": { "replicate": {
 *			"model": "black-forest-labs/flux-schnell",
 *			"input": { "prompt": "$prompt", "num_outputs": "$count" } } } } }
 *
 * Of a profile only "on" has to be there.  Others are:
 *	"defaults"	what a request is taken to say where it does not: { "count": 1 }
 *	"aspect_ratios"	the only ones that are taken, and the "$width" and "$height" that
 *			each means: { "16:9": [1344, 768] }
 *	"order"		several providers, the first to be tried first; else new jobs go
 *			to the configuration's, and where "on" has nothing for that the
 *			model is not offered
 *	"on"."x"."price"  { "per": "image" or "second", "amount": 0.003, "currency": "USD" }
 *
 * In a template a string "$name" becomes the request's member of that name,
 * with its type; where the request has none, the template's member is left out.
 * An object { "$name": { "value": word, ... } } becomes the word for the request's
 * value, which has to be one of those.  "$inputs" is the list of inputs, "$input" the first of them.  "$$x" is "$x".
 * A name that no request can have is a mistake, and so is a template that nests
 * deeper than 16.
 * A new model needs no code.
 */
#ifndef GENGATE_CORE_MODELS_H
#define GENGATE_CORE_MODELS_H

#include "base/buf.h"
#include "base/json.h"

struct models;

/* provider: where jobs of profiles without an order go.  All mistakes are put into
 * `mistakes`, a line each; ERR_CONFIG if there is any.  That no model is offered is one. */
enum err_code models_load(const char *path, const char *provider, struct models **ret,
	struct buf *mistakes, struct err *err) MUST_CHECK;
void models_free(struct models **models);

struct model {
	const char *name;	/* borrowed from models */
	const json_t *profile;	/* borrowed, as the next */
	const char *provider;	/* of a profile without an order */
	uint64_t timeout_ms;	/* 0: the configuration's */
	uint64_t max_count;	/* outputs of one request */
	uint64_t max_inputs;
};

/* By name, for jobs that are under way; false: there is none. */
bool models_find(const struct models *models, const char *name, struct model *ret);

/* The same for new jobs; false also: no provider that they could go to. */
bool models_offer(const struct models *models, const char *name, struct model *ret);

/* The n-th provider to try, from 0; NULL: there are no more.  Borrowed. */
const char *model_provider(const struct model *model, size_t n);

/* What it costs there; NULL: the profile does not say.  Borrowed. */
const json_t *model_price(const struct model *model, const char *provider);

/* May a request's "format" be that?  If not, ret_formats gets those that there are. */
bool model_is_format(const char *text, struct buf *ret_formats);

/* Is that value of a request's member one that each provider has a word for?  If not,
 * ret_words gets those that there are, separated by ", ". */
bool model_takes(const struct model *model, const char *name, const json_t *value,
	struct buf *ret_words);

/* Does any profile send jobs to that provider? */
bool models_use(const struct models *models, const char *provider);

/* All profiles, as they were read: a new object; NULL: no memory. */
json_t *models_describe(const struct models *models);

/* The names of those that are offered, separated by ", ": for messages. */
void models_list(const struct models *models, struct buf *out);

/*
 * A template with a request's members put in, those that it does not have from the
 * defaults, and the request's `params` added
 * to its "input", if there is one, where the template does not name them and the provider
 * takes them: a new object.
 * ERR_CONFIG: the profile has nothing for that provider.
 */
enum err_code models_expand(const struct model *model, const char *provider,
	const json_t *request, json_t **ret, struct err *err) MUST_CHECK;

#endif
