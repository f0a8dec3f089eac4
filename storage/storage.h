/*
 * Where outputs and inputs are kept: over HTTP or on disk.  Keys are made of
 * [A-Za-z0-9_/.-] by core and are never overwritten; a user's own file may have
 * any that the storage takes.
 * All calls may be used from any thread; put(), sign(), look(), remove() and check()
 * block.
 */
#ifndef GENGATE_STORAGE_STORAGE_H
#define GENGATE_STORAGE_STORAGE_H

#include "base/cfg.h"
#include "base/crypto.h"
#include "base/http.h"
#include "base/media.h"

/* Two places that have nothing in common: inputs are nobody's but their owner's. */
enum storage_area { STORAGE_OUTPUTS, STORAGE_INPUTS };

/* A file to keep.  All borrowed. */
struct storage_file {
	enum storage_area area;
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

	/* Is there a place for inputs?  Without it no call names STORAGE_INPUTS. */
	bool (*takes_inputs)(const void *settings);

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
		enum storage_area area, const char *key, struct err *err);

	/* Is there such a file?  ERR_NOT_FOUND: no, nor can there be one of that key.
	 * Failures as of put(). */
	enum err_code (*look)(const void *settings, struct http_client *http,
		enum storage_area area, const char *key, struct err *err);

	/* Append the address that a browser fetches the file from, if its place is for
	 * everybody; that of inputs must not be. */
	enum err_code (*public_url)(const void *settings, enum storage_area area, const char *key,
		struct buf *out);

	/*
	 * Append an address from which whoever has it fetches the file, for life_s
	 * seconds from now.  Failures as of look().  NULL: cannot.
	 */
	enum err_code (*sign)(const void *settings, struct http_client *http,
		enum storage_area area, const char *key, uint64_t life_s, struct buf *out, struct err *err);

	/* Open a file that is on this machine, to be read.  Failures as of look(), but
	 * it does not block for long.  NULL: none is. */
	enum err_code (*open)(const void *settings, enum storage_area area, const char *key,
		int *ret_fd, struct err *err);
};

extern const struct storage storage_local, storage_supabase;

/* All of them; ends with NULL. */
extern const struct storage *const storages[];

#endif
