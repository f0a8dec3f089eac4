/*
 * What a request brings with it: files that it uploads, and paths of files that its
 * user has put into the storage.  A request thread spools the files; one of a few
 * threads of this file's own then stores them and looks at the paths, since that
 * takes the internet; only then the job is made.  What is stored is written down in
 * the database before, so that whatever becomes of the request, or of us, nothing is
 * left behind without a job: see db/inputs.h.
 */
#ifndef GENGATE_CORE_INTAKE_H
#define GENGATE_CORE_INTAKE_H

#include "core/service.h"

#define INTAKE_ITEMS_MAX 100	/* as limits.inputs of a model may be */

#define INTAKE_THREADS_MAX 8

struct intakes;		/* of the process: how much is spooled, and the threads */
struct intake;		/* of one request */

enum err_code intakes_new(struct current *current, struct intakes **ret, struct err *err) MUST_CHECK;
/* After http_client_stop(): joins the threads; what waits is not begun. */
void intakes_stop(struct intakes *all);
void intakes_free(struct intakes **all);	/* nobody has an intake any more */

/* Of a job that is to be made for that owner.  intake_unref(). */
enum err_code intake_new(struct service *svc, const struct uuid *owner, struct intake **ret,
	struct err *err) MUST_CHECK;

/*
 * Its user has done with it, or one of the threads has.  With the last one go the
 * files; and what was stored, if no job was made of it.  Waits for Postgres only.
 */
void intake_unref(struct intake **intake);

/* Room for that many bytes in the spool, or for some more than it has already.
 * ERR_TOO_MANY: its user has as many requests there as one may have.  ERR_OVERLOADED: there
 * is too much in it. */
enum err_code intake_reserve(struct service *svc, struct intake *in, uint64_t bytes,
	struct err *err) MUST_CHECK;

/* The next file, into an unlinked one: its beginning, and what it consists of.
 * ERR_TOO_BIG: it passes max_input_bytes, or all together pass max_inputs_bytes (err's
 * text is for the client).  ERR_UPSTREAM: the disk. */
enum err_code intake_begin_file(struct service *svc, struct intake *in, struct err *err) MUST_CHECK;
enum err_code intake_write(struct service *svc, struct intake *in, const char *p, size_t len,
	struct err *err) MUST_CHECK;

/* The file that was begun last is none after all. */
void intake_undo_file(struct intake *in);

/* How many files and paths there are. */
size_t intake_count(const struct intake *in);

/*
 * The n-th of them, a file, is the request's input of that index: see what it is.  *ret_key: where
 * it will be, borrowed.  ERR_OUTPUT_TYPE: it is not of a kind that is known; err's text
 * says what it looks like.
 */
enum err_code intake_take_file(struct intake *in, size_t n, size_t index, const char **ret_key,
	uint8_t ret_sha[SHA256_BYTES], struct err *err) MUST_CHECK;

/* And this one is a path that input_is_own(). */
enum err_code intake_add_path(struct intake *in, const char *path, size_t index, struct err *err) MUST_CHECK;

/* Store and look, here and now.  Blocks. */
void intake_run(struct service *svc, struct intake *in);

/* The same by a thread, which then pokes who watches the owner's job of that id for
 * WATCH_INPUTS.  ERR_STOPPING; ERR_NOMEM: no thread can be started. */
enum err_code intake_send(struct intake *in, struct err *err) MUST_CHECK;

bool intake_done(struct intake *in);

/*
 * Once it is done.  ERR_OK: everything is in its place.
 * ERR_NOT_FOUND: an input's path leads nowhere; *ret_index says which.
 * ERR_INVALID: the storage does not take that file, ever.
 * ERR_STORAGE_UNAVAILABLE, ERR_UNAVAILABLE, ERR_NOMEM, ERR_STOPPING: try again later.
 */
enum err_code intake_result(const struct intake *in, size_t *ret_index, struct err *err) MUST_CHECK;

/* The id of the job that is to be made. */
const struct uuid *intake_job(const struct intake *in);
const struct uuid *intake_owner(const struct intake *in);

/* It was made, or may be yet: what is stored is the job's now.  The sweep looks, too. */
void intake_made(struct intake *in);

#endif
