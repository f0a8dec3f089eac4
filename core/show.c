#include "config.h"

#include "core/show.h"

#include "base/clock.h"

void
service_prefix(const struct service *svc, struct buf *out)
{
	if (strcmp(svc->here.path, "/") != 0)
		buf_puts(out, svc->here.path);
}

void
service_status_path(const struct service *svc, const struct uuid *id, struct buf *out)
{
	char text[UUID_TEXT_SIZE];

	uuid_format(id, text);
	service_prefix(svc, out);
	buf_puts(out, "/status/");
	buf_puts(out, text);
}

static json_t *
time_of(const json_t *row, const char *member)
{
	const json_t *us = json_object_get(row, member);
	char text[RFC3339_SIZE];

	if (!json_is_integer(us))
		return json_null();
	rfc3339_format(json_integer_value(us), text);
	return json_string(text);
}

static json_t *
error_of(const json_t *row)
{
	const char *name = json_string_value(json_object_get(row, "error_code"));
	enum err_code code;

	if (!name)
		return json_null();
	code = err_from_name(name);
	return json_pack("{ss, ss, sb}", "code", name, "message", err_sentence(code),
		"retryable", err_retryable(code));
}

static json_t *
asset_of(const struct service *svc, const json_t *row)
{
	static const char *const members[] = { "index", "content_type", "bytes", "width", "height", "sha256" };
	const char *key = json_string_value(json_object_get(row, "key"));
	struct buf url = BUF_INIT(16384);
	json_t *asset = json_object();
	int rc = 0;

	for (size_t i = 0; i < sizeof members / sizeof *members; i++)
		rc |= json_object_set(asset, members[i], json_object_get(row, members[i]));
	if (key && !svc->storage->public_url(svc->storage_settings, key, &url))
		rc |= json_object_set_new(asset, "url", json_string(buf_str(&url)));
	buf_clear(&url);
	if (rc) {
		json_decref(asset);
		return NULL;
	}
	return asset;
}

static json_t *
assets_of(const struct service *svc, const json_t *row)
{
	const json_t *rows = json_object_get(row, "assets");
	json_t *assets = json_array(), *each;
	size_t i;

	json_array_foreach((json_t *)rows, i, each)
		if (json_array_append_new(assets, asset_of(svc, each))) {
			json_decref(assets);
			return NULL;
		}
	return assets;
}

/* What may be done with it now. */
static json_t *
links_of(const char *prefix, const json_t *row)
{
	const char *id = json_string_value(json_object_get(row, "id"));
	const char *action = NULL;
	json_t *links;
	enum gen_status status;

	if (gen_status_parse(json_string_value(json_object_get(row, "status")), &status))
		return NULL;
	if (!gen_status_is_final(status))
		action = "cancel";
	else if (status != GEN_SUCCEEDED)
		action = "retry";
	links = json_pack("{so}", "self", json_sprintf("%s/status/%s", prefix, id));
	if (action && json_object_set_new(links, action, json_sprintf("%s/generate/%s/%s", prefix, id, action))) {
		json_decref(links);
		return NULL;
	}
	return links;
}

static json_t *
make_job(const struct service *svc, const json_t *row, const char *prefix)
{
	return json_pack("{sO, sO, sO, sO, so, so, sO, so, so, so, so}",
		"id", json_object_get(row, "id"),
		"status", json_object_get(row, "status"),
		"model", json_object_get(row, "model"),
		"provider", json_object_get(row, "provider"),
		"assets", assets_of(svc, row),
		"error", error_of(row),
		"metadata", json_object_get(row, "metadata"),
		"created_at", time_of(row, "created_us"),
		"started_at", time_of(row, "started_us"),
		"completed_at", time_of(row, "completed_us"),
		"links", links_of(prefix, row));
}

enum err_code
service_show(struct service *svc, const struct uuid *owner, const struct uuid *id,
	struct shown *ret, struct err *err)
{
	struct buf prefix = BUF_INIT(4096);
	json_t *row = NULL, *job;
	enum err_code rc;

	rc = jobs_show(svc->db, owner, id, &row, err);
	if (rc)
		return rc;
	service_prefix(svc, &prefix);
	job = make_job(svc, row, buf_str(&prefix));
	buf_clear(&prefix);
	if (!job) {
		json_decref(row);
		return err_set(err, ERR_NOMEM, "showing a job");
	}
	*ret = (struct shown){
		.job = job,
		.version = (int32_t)json_integer_value(json_object_get(row, "version")),
		.created_us = json_integer_value(json_object_get(row, "created_us")),
	};
	rc = gen_status_parse(json_string_value(json_object_get(row, "status")), &ret->status);
	if (!rc && ret->status == GEN_FAILED)
		ret->error = err_from_name(json_string_value(json_object_get(row, "error_code")));
	json_decref(row);
	return rc;
}

enum err_code
service_list(struct service *svc, const struct uuid *owner, unsigned statuses,
	const struct uuid *before, size_t max, json_t **ret, struct err *err)
{
	struct buf prefix = BUF_INIT(4096);
	json_t *rows = NULL, *jobs, *row;
	size_t i;
	enum err_code rc = jobs_list(svc->db, owner, statuses, before, max, &rows, err);

	if (rc)
		return rc;
	jobs = json_array();
	service_prefix(svc, &prefix);
	json_array_foreach(rows, i, row)
		if (json_array_append_new(jobs, make_job(svc, row, buf_str(&prefix))))
			rc = err_set(err, ERR_NOMEM, "showing jobs");
	if (!rc && !jobs)
		rc = err_set(err, ERR_NOMEM, "showing jobs");
	if (rc)
		json_decref(jobs);
	else
		*ret = jobs;
	buf_clear(&prefix);
	json_decref(rows);
	return rc;
}
