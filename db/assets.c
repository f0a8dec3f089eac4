#include "config.h"

#include "db/assets.h"

#include "db/pool.h"
#include "db/text.h"

enum err_code
assets_open(struct db *db, const struct job *job, struct asset **ret, size_t *ret_n, struct err *err)
{
	struct text o, j;
	const char *params[] = { id(&o, &job->owner), id(&j, &job->id) };
	PGresult *res = NULL;
	struct asset *assets = NULL;
	size_t n = 0, rows = 0;
	enum err_code rc = db_query(db, SQL_assets_open, params, N(params), &res, err);

	if (!rc) {
		rows = (size_t)PQntuples(res);
		assets = mem_calloc(rows, sizeof *assets);
		if (!assets)
			rc = err_set(err, ERR_NOMEM, "outputs of job %s", params[1]);
	}
	for (; !rc && n < rows; n++) {
		const char *source = row_text(res, (int)n, "source_url");

		assets[n].index = (int)row_i64(res, (int)n, "index", 0);
		if (!dup_into(&assets[n].source_url, strcmp(source, "data:") == 0 ? NULL : source))
			rc = err_set(err, ERR_NOMEM, "outputs of job %s", params[1]);
	}
	if (rc) {
		assets_free(&assets, n);
	} else {
		*ret = assets;
		*ret_n = n;
	}
	PQclear(res);
	return rc;
}

enum err_code
assets_inline(struct db *db, const struct job *job, int index, char **ret, struct err *err)
{
	struct text o, j, i;
	const char *params[] = { id(&o, &job->owner), id(&j, &job->id), num(&i, index) };
	PGresult *res = NULL;
	enum err_code rc = db_query(db, SQL_asset_inline_get, params, N(params), &res, err);

	if (!rc && PQntuples(res) == 0)
		rc = err_set(err, ERR_NOT_FOUND, "output %d of job %s is not there any more", index, params[1]);
	if (!rc && !dup_into(ret, row_text(res, 0, "inline")))
		rc = err_set(err, ERR_NOMEM, "output %d of job %s", index, params[1]);
	PQclear(res);
	return rc;
}

void
assets_free(struct asset **assets, size_t n)
{
	for (size_t i = 0; *assets && i < n; i++)
		mem_free((*assets)[i].source_url);
	mem_free(*assets);
	*assets = NULL;
}

enum err_code
assets_named(struct db *db, const struct job *job, int index, const char *key, struct err *err)
{
	struct text o, j, i;
	const char *params[] = { id(&o, &job->owner), id(&j, &job->id), num(&i, index), key };
	PGresult *res = NULL;
	enum err_code rc = db_query(db, SQL_asset_named, params, N(params), &res, err);

	if (!rc && PQntuples(res) == 0)
		rc = err_set(err, ERR_LOST_RACE, "output %d of job %s is not open any more", index, params[1]);
	PQclear(res);
	return rc;
}

enum err_code
assets_stored(struct db *db, const struct job *job, const struct stored_asset *a, struct err *err)
{
	struct text o, j, index, bytes, width, height, until;
	char digest[SHA256_HEX_SIZE];
	const char *params[] = {
		id(&o, &job->owner), id(&j, &job->id), num(&index, a->index), a->key,
		media_mime(a->media.type), num(&bytes, (int64_t)a->bytes),
		a->media.width ? num(&width, a->media.width) : NULL,
		a->media.height ? num(&height, a->media.height) : NULL, digest,
		a->signed_url, a->signed_url ? num(&until, a->signed_until_us) : NULL,
	};
	PGresult *res = NULL;
	enum err_code rc;

	hex_encode(a->sha256, sizeof a->sha256, digest);
	rc = db_query(db, SQL_asset_stored, params, N(params), &res, err);
	PQclear(res);
	return rc;
}

enum err_code
assets_kept(struct db *db, const struct uuid *owner, const struct uuid *job,
	struct kept_asset **ret, size_t *ret_n, struct err *err)
{
	struct text o, j;
	const char *params[] = { id(&o, owner), id(&j, job) };
	PGresult *res = NULL;
	struct kept_asset *assets = NULL;
	size_t n = 0, rows = 0;
	enum err_code rc = db_query(db, SQL_assets_kept, params, N(params), &res, err);

	if (!rc) {
		rows = (size_t)PQntuples(res);
		assets = mem_calloc(rows, sizeof *assets);
		if (!assets)
			rc = err_set(err, ERR_NOMEM, "outputs of job %s", params[1]);
	}
	for (; !rc && n < rows; n++) {
		assets[n].index = (int)row_i64(res, (int)n, "index", 0);
		assets[n].signed_until_us = row_i64(res, (int)n, "signed_until_us", 0);
		if (!dup_into(&assets[n].key, row_text(res, (int)n, "storage_key")))
			rc = err_set(err, ERR_NOMEM, "outputs of job %s", params[1]);
	}
	if (rc) {
		kept_assets_free(&assets, n);
	} else {
		*ret = assets;
		*ret_n = n;
	}
	PQclear(res);
	return rc;
}

void
kept_assets_free(struct kept_asset **assets, size_t n)
{
	for (size_t i = 0; *assets && i < n; i++)
		mem_free((*assets)[i].key);
	mem_free(*assets);
	*assets = NULL;
}

enum err_code
assets_signed(struct db *db, const struct uuid *owner, const struct uuid *job,
	const struct kept_asset *asset, const char *url, int64_t until_us, struct err *err)
{
	struct text o, j, index, until;
	const char *params[] = { id(&o, owner), id(&j, job), num(&index, asset->index), asset->key, url,
		num(&until, until_us) };
	PGresult *res = NULL;
	enum err_code rc = db_query(db, SQL_asset_signed, params, N(params), &res, err);

	PQclear(res);
	return rc;
}

enum err_code
assets_give_up(struct db *db, const struct job *job, int index, enum err_code why, struct err *err)
{
	struct text o, j, i;
	const char *params[] = { id(&o, &job->owner), id(&j, &job->id), num(&i, index), err_name(why) };
	PGresult *res = NULL;
	enum err_code rc = db_query(db, SQL_asset_lost, params, N(params), &res, err);

	PQclear(res);
	return rc;
}

enum err_code
assets_lost(struct db *db, const struct job *job, int *ret_n, enum err_code *ret_why, struct err *err)
{
	struct text o, j;
	const char *params[] = { id(&o, &job->owner), id(&j, &job->id) };
	PGresult *res = NULL;
	enum err_code rc = db_query(db, SQL_assets_lost, params, N(params), &res, err);

	if (!rc) {
		const char *why = row_text(res, 0, "why");

		*ret_n = (int)row_i64(res, 0, "count", 0);
		*ret_why = why ? err_from_name(why) : ERR_OK;
	}
	PQclear(res);
	return rc;
}
