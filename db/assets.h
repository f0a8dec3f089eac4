/*
 * A job's outputs in the database.
 * Each call is one statement.  All may be used from any thread.
 */
#ifndef GENGATE_DB_ASSETS_H
#define GENGATE_DB_ASSETS_H

#include "base/crypto.h"
#include "base/media.h"
#include "db/jobs.h"

/* One output that is neither kept nor given up. */
struct asset {
	int index;
	char *source_url;		/* NULL: it came inside an answer, see assets_inline() */
};

enum err_code assets_open(struct db *db, const struct job *job,
	struct asset **ret, size_t *ret_n, struct err *err) MUST_CHECK;
void assets_free(struct asset **assets, size_t n);

/* An output that came inside an answer: base64, or a data: URI.  The caller owns *ret:
 * mem_free().  ERR_NOT_FOUND: it is not there any more. */
enum err_code assets_inline(struct db *db, const struct job *job, int index, char **ret,
	struct err *err) MUST_CHECK;

struct stored_asset {
	int index;
	const char *key;		/* borrowed */
	struct media media;
	uint64_t bytes;
	uint8_t sha256[SHA256_BYTES];
	const char *signed_url;		/* borrowed; NULL: none */
	int64_t signed_until_us;	/* until when it is good */
};

/* Before a file is put: whatever becomes of us, it is known by which name it may
 * be there.  ERR_LOST_RACE: the output is kept, given up, or deleted. */
enum err_code assets_named(struct db *db, const struct job *job, int index, const char *key,
	struct err *err) MUST_CHECK;

enum err_code assets_stored(struct db *db, const struct job *job,
	const struct stored_asset *asset, struct err *err) MUST_CHECK;
enum err_code assets_give_up(struct db *db, const struct job *job, int index,
	enum err_code why, struct err *err) MUST_CHECK;

/* One output that is kept. */
struct kept_asset {
	int index;
	char *key;
	int64_t signed_until_us;	/* 0: it has no signed address */
};

enum err_code assets_kept(struct db *db, const struct uuid *owner, const struct uuid *job,
	struct kept_asset **ret, size_t *ret_n, struct err *err) MUST_CHECK;
void kept_assets_free(struct kept_asset **assets, size_t n);

/* It has another signed address; the record has another version then. */
enum err_code assets_signed(struct db *db, const struct uuid *owner, const struct uuid *job,
	const struct kept_asset *asset, const char *url, int64_t until_us, struct err *err) MUST_CHECK;

/* How many were given up, and why the first of them. */
enum err_code assets_lost(struct db *db, const struct job *job, int *ret_n,
	enum err_code *ret_why, struct err *err) MUST_CHECK;

#endif
