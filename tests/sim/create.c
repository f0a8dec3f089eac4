#include "config.h"

#include "tests/sim/create.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/pred.h"
#include "tests/sim/replicate_object.h"
#include "tests/sim/sim.h"
#include "tests/sim/wire.h"

void
reply_problem(struct sim_reply *rp, int status, const char *title, const char *detail)
{
	json_t *body = json_object();

	if (title)
		json_object_set_new(body, "title", json_string(title));
	json_object_set_new(body, "detail", json_string(detail));
	json_object_set_new(body, "status", json_integer(status));
	reply_json(rp, status, body);
	rp->type = "application/problem+json";
}

bool
cancel_after_parse(const char *s, int64_t *ret_us)
{
	int64_t total_s = 0;

	if (!*s)
		return false;
	while (*s) {
		long n, unit = 1;
		char *end;

		if (!isdigit((unsigned char)*s) || strspn(s, "0123456789") > 9)
			return false;
		n = strtol(s, &end, 10);
		if (*end == 'h')
			unit = 3600;
		else if (*end == 'm')
			unit = 60;
		else if (*end && *end != 's')
			return false;
		s = end + (*end != '\0');
		total_s += (int64_t)n * unit;
	}
	*ret_us = total_s * 1000000;
	return true;
}

/* One thing that is wrong with the body.  member may be "". */
static void
add_invalid(json_t *invalid, const char *type, const char *field,
	const char *before, const char *member, const char *after)
{
	json_array_append_new(invalid, json_pack("{s:s,s:s,s:s++}",
		"type", type, "field", field, "description", before, member, after));
}

static void
check_members(const json_t *body, bool takes_version, json_t *invalid)
{
	static const char *const known[] = { "input", "webhook", "webhook_events_filter", "stream" };
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)body, name, value) {
		bool ok = takes_version && strcmp(name, "version") == 0;

		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			ok = ok || strcmp(known[i], name) == 0;
		if (!ok)
			add_invalid(invalid, "additional_property_not_allowed", "",
				"Additional property ", name, " is not allowed");
	}
}

static unsigned
event_bit(const char *name)
{
	if (sim_same(name, "start"))
		return EVENT_START;
	if (sim_same(name, "output"))
		return EVENT_OUTPUT;
	if (sim_same(name, "logs"))
		return EVENT_LOGS;
	return sim_same(name, "completed") ? EVENT_COMPLETED : 0;
}

static unsigned
read_events(const json_t *filter, json_t *invalid)
{
	unsigned events = 0;
	const json_t *item;
	size_t i;

	if (!filter)
		return EVENT_OUTPUT | EVENT_COMPLETED;
	if (!json_is_array(filter))
		add_invalid(invalid, "invalid_type", "webhook_events_filter",
			"Invalid type. Expected: array", "", "");
	json_array_foreach(filter, i, item) {
		unsigned bit = event_bit(json_string_value(item));

		if (!bit)
			add_invalid(invalid, "enum", "webhook_events_filter",
				"webhook_events_filter must be one of the following: ",
				"\"start\", \"output\", \"logs\", \"completed\"", "");
		events |= bit;
	}
	return events;
}

/* https; plain http only because the tests' receivers are on loopback. */
static void
check_webhook(const json_t *url, json_t *invalid)
{
	const char *s = json_string_value(url);

	if (url && (!s || (strncmp(s, "https://", 8) != 0 &&
			!(strncmp(s, "http://127.", 11) == 0 ||
			  strncmp(s, "http://localhost", 16) == 0 ||
			  strncmp(s, "http://[::1]", 12) == 0))))
		add_invalid(invalid, "format", "webhook",
			"Does not match format 'https-uri'", "", "");
}

static void
check_input(const json_t *input, json_t *invalid)
{
	if (!input)
		add_invalid(invalid, "required", "", "input is required", "", "");
	else if (!json_is_object(input))
		add_invalid(invalid, "invalid_type", "input",
			"Invalid type. Expected: object", "", "");
}

static bool
is_hex64(const char *s)
{
	return strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64;
}

/* owner/name, owner/name:64hex or 64hex; what contains "missing" is not there. */
static bool
read_version(struct pred *p, const char *s)
{
	const char *slash = strchr(s, '/'), *colon = strchr(s, ':');

	if (strstr(s, "missing"))
		return false;
	if (is_hex64(s)) {
		p->model = mem_strdup("sim/painter");
		p->version = mem_strdup(s);
		return true;
	}
	if (!slash || slash == s || !slash[1] || (colon && !is_hex64(colon + 1)))
		return false;
	p->model = mem_strndup(s, colon ? (size_t)(colon - s) : strlen(s));
	p->version = mem_strdup(colon ? colon + 1 : "hidden");
	return true;
}

/* From the path; deployments answer with their own name as the model's. */
static bool
read_name(const struct sim_rq *rq, struct pred *p)
{
	struct buf name = BUF_INIT(16384);
	bool there;

	buf_printf(&name, "%s/%s", rq->arg[0], rq->arg[1]);
	there = !strstr(buf_str(&name), "missing");
	p->model = mem_strdup(buf_str(&name));
	p->version = mem_strdup("hidden");
	if (strcmp(p->form, "deployment") == 0)
		p->deployment = mem_strdup(buf_str(&name));
	buf_clear(&name);
	return there;
}

static char *
copy_or_null(const char *s)
{
	return s ? mem_strdup(s) : NULL;
}

static void
reply_invalid(struct sim_reply *rp, json_t *invalid)
{
	struct buf detail = BUF_INIT(65536);
	const json_t *item;
	json_t *body;
	size_t i;

	json_array_foreach(invalid, i, item)
		buf_printf(&detail, "- %s\n",
			json_string_value(json_object_get(item, "description")));
	body = json_pack("{s:s,s:s,s:i,s:O}", "title", "Input validation failed",
		"detail", buf_str(&detail), "status", 422, "invalid_fields", invalid);
	reply_json(rp, 422, body);
	rp->type = "application/problem+json";
	buf_clear(&detail);
}

/* Fill p from the body and the headers; false: rp says what is wrong. */
static bool
read_request(const json_t *body, bool takes_version, struct pred *p,
	struct sim_reply *rp)
{
	const json_t *version = json_object_get(body, "version");
	json_t *invalid = json_array();
	bool ok;

	check_members(body, takes_version, invalid);
	check_input(json_object_get(body, "input"), invalid);
	check_webhook(json_object_get(body, "webhook"), invalid);
	p->events = read_events(json_object_get(body, "webhook_events_filter"), invalid);
	if (takes_version && !json_is_string(version))
		add_invalid(invalid, "required", "", "version is required", "", "");
	ok = json_array_size(invalid) == 0;
	if (!ok)
		reply_invalid(rp, invalid);
	json_decref(invalid);
	if (ok && takes_version && !read_version(p, json_string_value(version))) {
		reply_problem(rp, 422, "Invalid version or not permitted",
			"The specified version does not exist (or perhaps you don't "
			"have permission to use it?)");
		return false;
	}
	p->input = json_incref(json_object_get(body, "input"));
	p->webhook = copy_or_null(json_string_value(json_object_get(body, "webhook")));
	return ok;
}

static bool
read_cancel_after(struct sim_rq *rq, struct pred *p, struct sim_reply *rp)
{
	const char *s = rq_param(rq, "HTTP_CANCEL_AFTER");
	long min_ms;

	if (!s)
		return true;
	pthread_mutex_lock(&rq->sim->lock);
	min_ms = rq->sim->set.cancel_after_min_ms;
	pthread_mutex_unlock(&rq->sim->lock);
	p->cancel_after = mem_strdup(s);
	if (cancel_after_parse(s, &p->lifetime_us) && p->lifetime_us >= (int64_t)min_ms * 1000)
		return true;
	reply_problem(rp, 400, NULL, "Cancel-After must be a duration of 5 seconds or more");
	return false;
}

/* ---- Switches that refuse, before anything is created. ---- */

void
reply_throttled(struct sim_reply *rp, const struct fault_hit *hit)
{
	long s = hit->retry_after_s;
	json_t *body = json_pack("{s:o}", "detail", json_sprintf(
		"Request was throttled. Your rate limit resets in ~%lds.", s));
	char date[SIM_TIME_SIZE];

	if (strcmp(hit->variant, "body") == 0) {
		json_object_set_new(body, "status", json_integer(429));
		json_object_set_new(body, "retry_after", json_integer(s));
	} else if (strcmp(hit->variant, "date") == 0) {
		sim_http_date(sim_wall_us() + s * 1000000, date);
		reply_header(rp, "Retry-After", date);
	} else if (strcmp(hit->variant, "bare") == 0) {
		json_object_set_new(body, "detail", json_string("Request was throttled."));
	} else if (strcmp(hit->variant, "detail") != 0) {
		reply_retry_after(rp, s);
	}
	reply_json(rp, 429, body);
	rp->type = "application/problem+json";
}

/* Prefer: wait, wait=1 to wait=60; 0 if it does not apply. */
static long
wanted_wait_s(const struct sim_rq *rq)
{
	const char *s = rq_param(rq, "HTTP_PREFER");
	long n;

	if (sim_same(s, "wait"))
		return 60;
	if (!s || strncmp(s, "wait=", 5) != 0 || !s[5] || strspn(s + 5, "0123456789") > 2)
		return 0;
	n = strtol(s + 5, NULL, 10);
	return n >= 1 && n <= 60 ? n : 0;
}

static void
reply_pred(struct sim_rq *rq, const char *id, struct sim_reply *rp)
{
	struct sim *sim = rq->sim;
	const struct pred *p;

	pthread_mutex_lock(&sim->lock);
	p = pred_find(sim, rq->wire, id);
	if (p)
		reply_json(rp, 201, replicate_json(sim, p, true));
	pthread_mutex_unlock(&sim->lock);
}

/* A create's answer is recorded without what there cannot be yet; a read a
 * moment later has it. */
static void
reply_fresh(struct sim *sim, const struct pred *p, struct sim_reply *rp)
{
	static const char *const later[] = { "output", "data_removed", "source" };
	json_t *body = replicate_json(sim, p, true);

	for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++)
		json_object_del(body, later[i]);
	reply_json(rp, 201, body);
}

/* Takes *p over. */
static void
start_and_answer(struct sim_rq *rq, struct pred **p, struct sim_reply *rp)
{
	long wait_s = wanted_wait_s(rq);
	char id[SIM_UUID_SIZE], applied[16];

	if (!wire_start(rq, p, reply_fresh, id, rp))
		return;
	if (wait_s) {
		wire_wait(rq->sim, id, wait_s * 1000, false);
		reply_pred(rq, id, rp);
		snprintf(applied, sizeof(applied), "wait=%ld", wait_s);
		reply_header(rp, "Preference-Applied", applied);
	}
	wire_spoil_create(rq, id, rp);
}

static void
create(struct sim_rq *rq, const char *form, struct sim_reply *rp)
{
	bool takes_version = strcmp(form, "version") == 0;
	struct pred *p = NULL;
	json_t *body = NULL;

	if (wire_refuses_create(rq, rp))
		return;
	body = rq_json(rq);
	if (!json_is_object(body)) {
		reply_problem(rp, 400, NULL, "The request body is not a JSON object");
		goto out;
	}
	p = wire_new_pred(rq, rp);
	if (!p)
		goto out;
	p->form = form;
	if (!takes_version && !read_name(rq, p))
		reply_problem(rp, 404, NULL, "The requested resource could not be found.");
	else if (read_request(body, takes_version, p, rp) && read_cancel_after(rq, p, rp))
		start_and_answer(rq, &p, rp);
out:
	pred_free(&p);
	json_decref(body);
}

void
create_by_version(struct sim_rq *rq, struct sim_reply *rp)
{
	create(rq, "version", rp);
}

void
create_by_model(struct sim_rq *rq, struct sim_reply *rp)
{
	create(rq, "model", rp);
}

void
create_by_deployment(struct sim_rq *rq, struct sim_reply *rp)
{
	create(rq, "deployment", rp);
}
