#include "config.h"

#include "tests/sim/faults.h"

#include <string.h>

#include "tests/sim/sim.h"

struct fault_row {
	const char *name;
	long delay_ms;
	const char *doc;
};

static const struct fault_row rows[FAULT_COUNT] = {
#define X(id, name, delay_ms, doc) { name, delay_ms, doc },
	FAULT_TABLE(X)
#undef X
};

bool
fault_take_locked(struct sim *sim, enum fault which, const char *subject,
	struct fault_hit *hit)
{
	struct fault_state *f = &sim->faults.row[which];

	if (f->left == 0 || (f->match && !strstr(subject, f->match)))
		return false;
	if (f->left > 0)
		f->left--;
	f->taken++;
	if (hit) {
		hit->delay_ms = f->delay_ms;
		hit->retry_after_s = f->retry_after_s;
		memcpy(hit->variant, f->variant, sizeof(hit->variant));
	}
	return true;
}

bool
fault_take(struct sim *sim, enum fault which, const char *subject, struct fault_hit *hit)
{
	bool taken;

	pthread_mutex_lock(&sim->lock);
	taken = fault_take_locked(sim, which, subject, hit);
	pthread_mutex_unlock(&sim->lock);
	return taken;
}

static int
find_fault(const char *name)
{
	for (int i = 0; i < FAULT_COUNT; i++)
		if (strcmp(rows[i].name, name) == 0)
			return i;
	return -1;
}

/* Into a state of its own, so that a bad switch changes nothing. */
static bool
read_switch(const char *name, const json_t *value, struct fault_state *ret, struct buf *why)
{
	const char *variant = "", *match = NULL;
	json_int_t count = 1, delay_ms, retry_after = 1;
	json_error_t error;
	int which = find_fault(name);

	if (which < 0) {
		buf_printf(why, "%s: no such switch", name);
		return false;
	}
	delay_ms = rows[which].delay_ms;
	if (json_is_integer(value)) {
		count = json_integer_value(value);
	} else if (json_unpack_ex((json_t *)(uintptr_t)value, &error, JSON_STRICT,
			"{s?I,s?I,s?I,s?s,s?s}", "count", &count, "delay_ms", &delay_ms,
			"retry_after", &retry_after, "variant", &variant,
			"match", &match) != 0) {
		buf_printf(why, "%s: %s", name, error.text);
		return false;
	}
	ret->left = count < 0 ? -1 : (long)count;
	ret->taken = 0;
	ret->delay_ms = (long)delay_ms;
	ret->retry_after_s = (long)retry_after;
	snprintf(ret->variant, sizeof(ret->variant), "%s", variant);
	ret->match = match ? mem_strdup(match) : NULL;
	return true;
}

bool
faults_apply(struct sim_faults *faults, const json_t *switches, struct buf *why)
{
	json_t *value, *all = (json_t *)(uintptr_t)switches;
	const char *name;

	json_object_foreach(all, name, value) {
		struct fault_state f;

		if (!read_switch(name, value, &f, why))
			return false;
		mem_free(f.match);
	}
	json_object_foreach(all, name, value) {
		struct fault_state *f = &faults->row[find_fault(name)];
		struct fault_state fresh;

		if (!read_switch(name, value, &fresh, why))
			return false;
		fresh.taken = f->taken;
		mem_free(f->match);
		*f = fresh;
	}
	return true;
}

json_t *
faults_json(const struct sim_faults *faults)
{
	json_t *all = json_object();

	for (int i = 0; i < FAULT_COUNT; i++) {
		const struct fault_state *f = &faults->row[i];

		json_object_set_new(all, rows[i].name, json_pack("{s:I,s:I,s:s}",
			"left", (json_int_t)f->left, "taken", (json_int_t)f->taken,
			"doc", rows[i].doc));
	}
	return all;
}

void
faults_clear(struct sim_faults *faults)
{
	static const struct fault_state off;

	for (int i = 0; i < FAULT_COUNT; i++) {
		mem_free(faults->row[i].match);
		faults->row[i] = off;
	}
}
