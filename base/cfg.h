/*
 * Configuration: every folder owns an array of rows; cli/ joins them.  The
 * loader, the checks, --help, --dump-config and docs/config.md walk the same
 * rows.  A value comes from, in rising order: the row's default; the file
 * (`name = value`, or `name_file = path` for that file's content; # comments); for
 * a secret the systemd credential of its name, a file in $CREDENTIALS_DIRECTORY;
 * GENGATE_<NAME>_FILE or GENGATE_<NAME>.  A file's content counts without its last
 * newline.  So what a process was given goes before what all may share.
 *
 * Read before the first thread, checked as a whole with every mistake listed,
 * then const.  A reload fills another set of targets.
 */
#ifndef GENGATE_BASE_CFG_H
#define GENGATE_BASE_CFG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum cfg_type {
	CFG_STR,	/* char *; NULL when empty, or not set and without default */
	CFG_UINT,	/* uint64_t */
	CFG_BOOL,	/* bool; on, off, yes, no, true, false */
	CFG_DURATION,	/* uint64_t milliseconds; written 250ms, 90s, 10m, 2h, 7d; 0 */
	CFG_SIZE,	/* uint64_t bytes; written 512B, 64kB, 8MB, 1GB (powers of 1000); 0 */
	CFG_WORD,	/* int: the index of the value in .words */
};

#define CFG_SECRET   1u	/* never printed */
#define CFG_REQUIRED 2u	/* has to be set and not empty */
#define CFG_RESTART  4u	/* a process keeps the value that it began with */

struct cfg_row {
	const char *name;		/* lower case with underscores */
	enum cfg_type type;
	size_t offset;			/* of the member in the section's target */
	const char *def;		/* in the written form; NULL: none */
	const char *def_doc;		/* what docs/config.md shows for a default that
					 * depends on the build; NULL: def itself */
	uint64_t min, max;		/* for numbers, in the stored unit; max 0: no limit.
					 * For CFG_STR: of its length in bytes */
	const char *const *words;	/* for CFG_WORD: NULL-terminated */
	unsigned flags;
	const char *doc;		/* one or more sentences, for people */
};

#define CFG_END { .name = NULL }

struct cfg_section {
	const char *title;		/* for --help and docs/config.md: "Database" */
	const struct cfg_row *rows;	/* ends with CFG_END */
	void *target;			/* the struct that the offsets point into, zeroed */
};

struct cfg {
	const struct cfg_section *sections;
	size_t n_sections;
	struct buf *warnings;		/* of cfg_load(); NULL: they are not wanted */
};

/*
 * Fill every target.  path: the configuration file, at most 1 MB; NULL: none.
 * env: as environ; may be NULL.  Unknown names in the file, and unknown GENGATE_
 * names in env, are mistakes (GENGATE_CONFIG and GENGATE_TEST_* are not ours to
 * judge); so are a name given twice in the file, and GENGATE_X together with
 * GENGATE_X_FILE.  A row named x_file is set by x_file and GENGATE_X_FILE
 * themselves.  A value that a stronger source overrides is not looked at.
 *
 * Mistakes go to `mistakes`, one line each ("gengate.conf:12: max_output_bytes:
 * \"8M\" has no unit; write it as 8MB", "GENGATE_THREADS: ..."), all that fit
 * its ceiling; ERR_CONFIG if there is any.  The targets then hold what was
 * right, and zero for what was wrong, so that combinations can be judged in the
 * same go; after ERR_NOMEM they hold no strings.  Strings in the targets are
 * owned by them: cfg_clear(), whatever came back here.
 *
 * Warnings are lines of the same form: files with secrets that everybody on the
 * host may read or change.
 */
enum err_code cfg_load(const struct cfg *cfg, const char *path, char *const env[],
	struct buf *mistakes, struct err *err) MUST_CHECK;

/*
 * Move what cfg_load() reads out of an environment, and wipe it there: /proc shows
 * what a process was started with for as long as it lives.  Before the first
 * thread.  ret is for cfg_load(), owned by the caller: cfg_env_free().
 * ERR_NOMEM: env is as it was.
 */
enum err_code cfg_env_take(char **env, char ***ret, struct err *err) MUST_CHECK;
void cfg_env_free(char ***env);		/* NULL is fine; wiped */

void cfg_clear(const struct cfg *cfg);	/* frees the strings, secrets wiped */

/*
 * For a reload: `now` is filled from the same rows as `was`, which is in use.
 * The names of the rows that differ are appended to `changed`; those of them that
 * need a restart go to `kept` instead, and have the value that they had.
 */
enum err_code cfg_follow(const struct cfg *was, const struct cfg *now, struct buf *changed,
	struct buf *kept, struct err *err) MUST_CHECK;

/* A duration as people write it, for a command line: 55s.  ERR_INVALID. */
enum err_code cfg_parse_duration(const char *s, uint64_t *ret_ms, struct err *err) MUST_CHECK;

/* Add a mistake that only the whole shows (a combination), in the same form. */
void cfg_mistake(struct buf *mistakes, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

void cfg_print_help(const struct cfg *cfg, struct buf *out);		/* plain text, 80 columns */
void cfg_print_values(const struct cfg *cfg, struct buf *out);		/* file form; secrets as "# name is set" */
void cfg_print_markdown(const struct cfg *cfg, struct buf *out);	/* docs/config.md */

#endif
