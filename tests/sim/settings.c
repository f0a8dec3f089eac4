#include "config.h"

#include "tests/sim/settings.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

#include "tests/sim/draw.h"

struct setting {
	const char *name;
	size_t offset;
	const char *text;	/* default of a text; NULL: it is a number */
	long number, min, max;
};

#define NUMBER(name, def, min, max) \
	{ #name, offsetof(struct sim_settings, name), NULL, def, min, max }
#define TEXT(name, def) \
	{ #name, offsetof(struct sim_settings, name), def, 0, 0, 0 }

static const struct setting settings[] = {
	NUMBER(starting_ms, 100, 0, INT_MAX),
	NUMBER(processing_ms, 300, 0, INT_MAX),
	NUMBER(slow_ms, 3000, 0, INT_MAX),
	NUMBER(list_lag_ms, 0, 0, INT_MAX),
	NUMBER(page_size, 100, 1, 1000),
	NUMBER(data_ttl_ms, 3600000, 1, INT_MAX),
	NUMBER(cancel_after_min_ms, 5000, 0, INT_MAX),
	NUMBER(clock_offset_ms, 0, INT_MIN, INT_MAX),
	NUMBER(webhook_retries, 5, 0, 100),
	NUMBER(webhook_backoff_ms, 200, 1, INT_MAX),
	NUMBER(webhook_timeout_ms, 5000, 1, INT_MAX),
	NUMBER(max_predictions, 200000, 1, INT_MAX),
	NUMBER(max_stored_bytes, 1000000000, 1, INT_MAX),
	NUMBER(max_side, DRAW_MAX_SIDE, DRAW_MIN_SIDE, DRAW_MAX_SIDE),
	NUMBER(auth_guarded, 0, 0, 1),
	NUMBER(fal_webhook_key, 1, 1, 1000),
	NUMBER(fal_webhook_retries, 9, 0, 100),
	NUMBER(fal_cancel_webhook, 0, 0, 1),
	TEXT(fal_key, "sim-fal-key"),
	TEXT(comfyui_key, ""),
	NUMBER(bfl_concurrent, 24, 1, INT_MAX),
	NUMBER(bfl_sample_ms, 600000, 0, INT_MAX),
	NUMBER(bfl_not_found_status, 404, 200, 404),
	NUMBER(bfl_state_member, 0, 0, 1),
	NUMBER(bfl_webhook_retries, 3, 0, 100),
	TEXT(bfl_key, "sim-bfl-key"),
	TEXT(bfl_polling_base, ""),
	NUMBER(sdcpp_queue, 1000, 1, INT_MAX),
	NUMBER(sdcpp_keep_ms, 600000, 0, INT_MAX),
	NUMBER(sdcpp_cancel_generating, 0, 0, 1),
	TEXT(sdcpp_key, ""),
	NUMBER(openai_strict, 1, 0, 1),
	NUMBER(openai_relative_urls, 0, 0, 1),
	NUMBER(openai_timeout_ms, 600000, 1, INT_MAX),
	TEXT(openai_key, "sim-openai-key"),
	TEXT(openai_answers, "b64_json"),
	TEXT(jwks, "{\"keys\":[]}"),
	TEXT(token, "sim-token"),
	TEXT(webhook_secret, "whsec_c2ltdWxhdG9yLXdlYmhvb2stc2VjcmV0LTAx"),
	TEXT(storage_secret_key, "sb_secret_sim"),
	TEXT(storage_publishable_key, "sb_publishable_sim"),
	TEXT(service_key, "sim-service-role"),
};

#define N_SETTINGS (sizeof(settings) / sizeof(settings[0]))

static long *
number_of(const struct sim_settings *set, const struct setting *row)
{
	return (long *)(void *)((char *)(uintptr_t)set + row->offset);
}

static char **
text_of(const struct sim_settings *set, const struct setting *row)
{
	return (char **)(void *)((char *)(uintptr_t)set + row->offset);
}

bool
settings_init(struct sim_settings *set)
{
	bool ok = true;

	for (size_t i = 0; i < N_SETTINGS; i++) {
		const struct setting *row = &settings[i];

		if (!row->text) {
			*number_of(set, row) = row->number;
			continue;
		}
		mem_free(*text_of(set, row));
		*text_of(set, row) = mem_strdup(row->text);
		ok = ok && *text_of(set, row);
	}
	return ok;
}

void
settings_clear(struct sim_settings *set)
{
	for (size_t i = 0; i < N_SETTINGS; i++) {
		if (settings[i].text) {
			mem_free(*text_of(set, &settings[i]));
			*text_of(set, &settings[i]) = NULL;
		}
	}
}

static const struct setting *
find_setting(const char *name)
{
	for (size_t i = 0; i < N_SETTINGS; i++)
		if (strcmp(settings[i].name, name) == 0)
			return &settings[i];
	return NULL;
}

static bool
is_good(const struct setting *row, const json_t *value)
{
	if (row->text)
		return json_is_string(value);
	return json_is_integer(value) && json_integer_value(value) >= row->min &&
	       json_integer_value(value) <= row->max;
}

static bool
set_one(struct sim_settings *set, const struct setting *row, const json_t *value)
{
	char *copy;

	if (!row->text) {
		*number_of(set, row) = (long)json_integer_value(value);
		return true;
	}
	copy = mem_strdup(json_string_value(value));
	if (!copy)
		return false;
	mem_free(*text_of(set, row));
	*text_of(set, row) = copy;
	return true;
}

bool
settings_apply(struct sim_settings *set, const json_t *members, struct buf *why)
{
	const char *name;
	json_t *value, *all = (json_t *)(uintptr_t)members;

	json_object_foreach(all, name, value) {
		const struct setting *row = find_setting(name);

		if (!row || !is_good(row, value)) {
			buf_printf(why, "%s: %s", name, row ? "bad value" : "no such setting");
			return false;
		}
	}
	json_object_foreach(all, name, value) {
		if (!set_one(set, find_setting(name), value)) {
			buf_puts(why, "out of memory");
			return false;
		}
	}
	return true;
}

json_t *
settings_json(const struct sim_settings *set)
{
	json_t *all = json_object();

	for (size_t i = 0; i < N_SETTINGS; i++) {
		const struct setting *row = &settings[i];

		json_object_set_new(all, row->name, row->text ?
			json_string(*text_of(set, row)) :
			json_integer(*number_of(set, row)));
	}
	return all;
}
