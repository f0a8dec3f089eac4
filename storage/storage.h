/*
 * Where outputs are kept: over HTTP or on disk.  Keys are made of
 * [A-Za-z0-9_/.-] by core and are never overwritten.
 * All calls may be used from any thread; put(), sign(), remove() and check() block.
 */
#ifndef GENGATE_STORAGE_STORAGE_H
#define GENGATE_STORAGE_STORAGE_H

#include "base/cfg.h"
#include "base/crypto.h"
#include "base/http.h"
#include "base/media.h"

/* A file to keep.  All borrowed. */
struct storage_file {
	const char *key;
	int fd;				/* read by pread(2) from 0 */
	uint64_t bytes;
	enum media_type type;
	const uint8_t *sha256;		/* SHA256_BYTES of them */
};

struct storage {
	const char *name;		/* as in the configuration */
	const char *title;		/* for people: "Supabase Storage" */
	const struct cfg_row *options;
	size_t settings_size;

	/* Mistakes of a storage that is in use.  May be NULL. */
	void (*check)(const void *settings, struct buf *mistakes);

	/*
	 * Keep a file.  Already there with the same size is success.
	 * ERR_UPSTREAM, ERR_NOT_SENT, ERR_NO_ANSWER: try again later, repeating
	 * is safe; err->wait_ms may say when.  ERR_REFUSED: it will not take this file, ever.
	 */
	enum err_code (*put)(const void *settings, struct http_client *http,
		const struct storage_file *file, struct err *err);

	/*
	 * Remove a file; one that is not there is success.  Blocks.
	 * All failures: try again later.
	 */
	enum err_code (*remove)(const void *settings, struct http_client *http,
		const char *key, struct err *err);

	/* Append the address that a browser fetches the file from. */
	enum err_code (*public_url)(const void *settings, const char *key, struct buf *out);

	/*
	 * Append an address from which whoever has it fetches the file, for life_s
	 * seconds from now.  Blocks.  Failures as of put().  NULL: cannot.
	 */
	enum err_code (*sign)(const void *settings, struct http_client *http, const char *key,
		uint64_t life_s, struct buf *out, struct err *err);
};

extern const struct storage storage_local, storage_supabase;

/* All of them; ends with NULL. */
extern const struct storage *const storages[];

#endif
