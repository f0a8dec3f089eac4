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
 * In a template a string "$name" becomes the request's member of that name,
 * with its type; where the request has none, the template's member is left out.
 * "$inputs" is the list of inputs, "$input" the first of them.  "$$x" is "$x".
 * A name that no request can have is a mistake, and so is a template that nests
 * deeper than 16.
 * A new model needs no code.
 */
#ifndef GENGATE_CORE_MODELS_H
#define GENGATE_CORE_MODELS_H

#include "base/buf.h"
#include "base/json.h"

struct models;

/* provider: the key of `on` that every profile has to have.  All mistakes are
 * put into `mistakes`, a line each; ERR_CONFIG if there is any. */
enum err_code models_load(const char *path, const char *provider, struct models **ret,
	struct buf *mistakes, struct err *err) MUST_CHECK;
void models_free(struct models **models);

struct model {
	const char *name;	/* borrowed from models */
	const json_t *on;	/* the templates by provider: borrowed */
	uint64_t timeout_ms;	/* 0: the configuration's */
	uint64_t max_count;	/* outputs of one request */
	uint64_t max_inputs;
};

/* By name; false: there is none. */
bool models_find(const struct models *models, const char *name, struct model *ret);

/* The names, separated by ", ": for messages. */
void models_list(const struct models *models, struct buf *out);

/*
 * A template with a request's members put in, and the request's `params` added
 * to its "input", if there is one, where the template does not name them: a new object.
 * ERR_CONFIG: the profile has nothing for that provider.
 */
enum err_code models_expand(const struct model *model, const char *provider,
	const json_t *request, json_t **ret, struct err *err) MUST_CHECK;

#endif
