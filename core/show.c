#include "config.h"

#include "core/show.h"

#include "base/clock.h"
#include "core/sign.h"
#include "db/assets.h"

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

/* How the addresses of a job's outputs stand. */
enum urls { URLS_GOOD, URLS_DUE, URLS_OVER };

/* Of a private output: the address that was signed last, while it is good. */
static int
put_signed_url(const struct service *svc, const json_t *row, json_t *asset, enum urls *urls)
{
	int64_t until_us = json_integer_value(json_object_get(row, "signed_until_us"));
	bool good = until_us > clock_wall_us();

	if (!good)
		*urls = URLS_OVER;
	else if (*urls == URLS_GOOD && sign_is_due(svc, until_us))
		*urls = URLS_DUE;
	return json_object_set_new(asset, "url", good
			? json_incref(json_object_get(row, "signed_url")) : json_null()) |
		json_object_set_new(asset, "expires_at", good ? time_of(row, "signed_until_us") : json_null());
}

static int
put_public_url(const struct service *svc, const json_t *row, json_t *asset)
{
	const char *key = json_string_value(json_object_get(row, "key"));
	struct buf url = BUF_INIT(16384);
	int rc = json_object_set_new(asset, "expires_at", json_null());

	if (key && svc->storage->public_url(svc->storage_settings, STORAGE_OUTPUTS, key, &url))
		rc = -1;
	else if (key)
		rc |= json_object_set_new(asset, "url", json_string(buf_str(&url)));
	buf_clear(&url);
	return rc;
}

static json_t *
asset_of(const struct service *svc, const json_t *row, enum urls *urls)
{
	static const char *const members[] = { "index", "content_type", "bytes", "width", "height", "sha256" };
	json_t *asset = json_object();
	int rc = 0;

	for (size_t i = 0; i < sizeof members / sizeof *members; i++)
		rc |= json_object_set(asset, members[i], json_object_get(row, members[i]));
	rc |= service_signs(svc) ? put_signed_url(svc, row, asset, urls) : put_public_url(svc, row, asset);
	if (rc) {
		json_decref(asset);
		return NULL;
	}
	return asset;
}

static json_t *
assets_of(const struct service *svc, const json_t *row, enum urls *urls)
{
	const json_t *rows = json_object_get(row, "assets");
	json_t *assets = json_array(), *each;
	size_t i;

	json_array_foreach((json_t *)rows, i, each)
		if (json_array_append_new(assets, asset_of(svc, each, urls))) {
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

/* *ret_over: a private output has no address now.  Whatever is due is signed soon. */
static json_t *
make_job(const struct service *svc, const struct uuid *owner, const json_t *row, const char *prefix,
	bool *ret_over)
{
	const char *id = json_string_value(json_object_get(row, "id"));
	enum urls urls = URLS_GOOD;
	json_t *assets = assets_of(svc, row, &urls);
	struct uuid job;

	if (urls != URLS_GOOD && !uuid_parse(id, strlen(id), &job))
		signer_hint(svc->signer, owner, &job);
	*ret_over = urls == URLS_OVER;
	return json_pack("{sO, sO, sO, sO, so, so, sO, sO, so, so, so, so}",
		"id", json_object_get(row, "id"),
		"status", json_object_get(row, "status"),
		"model", json_object_get(row, "model"),
		"provider", json_object_get(row, "provider"),
		"assets", assets,
		"error", error_of(row),
		"metadata", json_object_get(row, "metadata"),
		"cost", json_object_get(row, "cost"),
		"created_at", time_of(row, "created_us"),
		"started_at", time_of(row, "started_us"),
		"completed_at", time_of(row, "completed_us"),
		"links", links_of(prefix, row));
}

/* row is stolen. */
static enum err_code
show_row(struct service *svc, const struct uuid *owner, json_t *row, struct shown *ret,
	struct err *err)
{
	struct buf prefix = BUF_INIT(4096);
	json_t *job;
	bool over = false;
	enum err_code rc;

	service_prefix(svc, &prefix);
	job = make_job(svc, owner, row, buf_str(&prefix), &over);
	buf_clear(&prefix);
	if (!job) {
		json_decref(row);
		return err_set(err, ERR_NOMEM, "showing a job");
	}
	*ret = (struct shown){
		.job = job,
		.version = (int32_t)json_integer_value(json_object_get(row, "version")),
		.created_us = json_integer_value(json_object_get(row, "created_us")),
		.unsigned_urls = over,
	};
	rc = gen_status_parse(json_string_value(json_object_get(row, "status")), &ret->status);
	if (!rc && ret->status == GEN_FAILED)
		ret->error = err_from_name(json_string_value(json_object_get(row, "error_code")));
	json_decref(row);
	return rc;
}

static enum err_code
show(struct service *svc, const struct uuid *owner, const struct uuid *id,
	struct shown *ret, struct err *err)
{
	json_t *row = NULL;
	enum err_code rc = jobs_show(svc->db, owner, id, &row, err);

	return rc ? rc : show_row(svc, owner, row, ret, err);
}

enum err_code
service_show(struct service *svc, const struct uuid *owner, const struct uuid *id,
	struct shown *ret, struct err *err)
{
	enum err_code rc = show(svc, owner, id, ret, err);

	if (rc || !ret->unsigned_urls || !svc->one_request || sign_job(svc, owner, id, NULL))
		return rc;
	json_decref(ret->job);
	return show(svc, owner, id, ret, err);
}

enum err_code
service_show_new(struct service *svc, const struct uuid *owner, const struct uuid *id,
	const struct request *rq, const char *provider, int64_t created_us, struct shown *ret, struct err *err)
{
	char text[UUID_TEXT_SIZE];
	json_t *row;

	uuid_format(id, text);
	/* As jobs_show() gives it. */
	row = json_pack("{ss, ss, si, ss, ss, sn, sO?, sn, sI, sn, sn, sn}",
		"id", text, "status", gen_status_name(GEN_STARTING), "version", 1,
		"model", rq->model.name, "provider", provider, "error_code",
		"metadata", rq->metadata, "cost", "created_us", (json_int_t)created_us,
		"started_us", "completed_us", "assets");
	if (!row)
		return err_set(err, ERR_NOMEM, "showing a job");
	return show_row(svc, owner, row, ret, err);
}

enum err_code
service_list(struct service *svc, const struct uuid *owner, unsigned statuses,
	const struct uuid *before, size_t max, json_t **ret, struct err *err)
{
	struct buf prefix = BUF_INIT(4096);
	json_t *rows = NULL, *jobs, *row;
	bool over;
	size_t i;
	enum err_code rc = jobs_list(svc->db, owner, statuses, before, max, &rows, err);

	if (rc)
		return rc;
	jobs = json_array();
	service_prefix(svc, &prefix);
	json_array_foreach(rows, i, row)
		if (json_array_append_new(jobs, make_job(svc, owner, row, buf_str(&prefix), &over)))
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
