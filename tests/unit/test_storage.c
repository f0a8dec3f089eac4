#include "config.h"

/* The server's memory is not ours to count. */
#define GENGATE_MAY_MALLOC

#include "storage/storage.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/server.h"
#include "tests/unit/unit.h"

#define N(table) (sizeof (table) / sizeof *(table))

/* ---- a storage, as the program has it ---- */

struct opened {
	const struct storage *st;
	void *settings;
	struct cfg_section section;
	struct cfg cfg;
};

static void
storage_open(struct opened *o, const struct storage *st, const char *const env[])
{
	struct buf mistakes = BUF_INIT(4096);

	o->st = st;
	o->settings = mem_calloc(1, st->settings_size);
	assert_non_null(o->settings);
	o->section = (struct cfg_section){ st->title, st->options, o->settings };
	o->cfg = (struct cfg){ &o->section, 1, NULL };
	if (cfg_load(&o->cfg, NULL, (char *const *)env, &mistakes, NULL))
		fail_msg("%s", buf_str(&mistakes));
	buf_clear(&mistakes);
}

static void
storage_close(struct opened *o)
{
	cfg_clear(&o->cfg);
	mem_free(o->settings);
}

/* An unlinked file with that in it, the offset somewhere. */
static int
temp_file(const char *p, size_t len)
{
	char name[] = "/tmp/gengate-storage-XXXXXX";
	int fd = mkstemp(name);

	assert_true(fd >= 0);
	unlink(name);
	assert_int_equal(write(fd, p, len), (ssize_t)len);
	return fd;
}

static void
public_urls(void **state)
{
	static const struct { const char *name, *env[4], *key, *want; bool local; } rows[] = {
		{ "local", { "GENGATE_STORAGE_DIR=/x", "GENGATE_STORAGE_PUBLIC_URL=https://a.example/files" },
		  "o/j/0-ab.png", "https://a.example/files/o/j/0-ab.png", true },
		{ "local, slash at the end", { "GENGATE_STORAGE_DIR=/x", "GENGATE_STORAGE_PUBLIC_URL=https://a.example/files/" },
		  "o/j/0-ab.png", "https://a.example/files/o/j/0-ab.png", true },
		{ "local, odd characters", { "GENGATE_STORAGE_DIR=/x", "GENGATE_STORAGE_PUBLIC_URL=http://a" },
		  "o/a b?c#d%e", "http://a/o/a%20b%3Fc%23d%25e", true },
		{ "supabase", { "GENGATE_SUPABASE_URL=https://ref.supabase.co", "GENGATE_SUPABASE_KEY=k" },
		  "o/j/0-ab.png", "https://ref.supabase.co/storage/v1/object/public/outputs/o/j/0-ab.png", false },
		{ "supabase, slash at the end", { "GENGATE_SUPABASE_URL=https://ref.supabase.co/", "GENGATE_SUPABASE_KEY=k" },
		  "o/j/0-ab.png", "https://ref.supabase.co/storage/v1/object/public/outputs/o/j/0-ab.png", false },
		{ "supabase, odd bucket", { "GENGATE_SUPABASE_URL=http://127.0.0.1:8000/proj", "GENGATE_SUPABASE_KEY=k",
			"GENGATE_SUPABASE_BUCKET=my files/x" },
		  "k", "http://127.0.0.1:8000/proj/storage/v1/object/public/my%20files%2Fx/k", false },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct buf url = BUF_INIT(1000), small = BUF_INIT(10);
		struct opened o;

		storage_open(&o, rows[i].local ? &storage_local : &storage_supabase, rows[i].env);
		ASSERT_ROW(rows[i].name, o.st->public_url(o.settings, STORAGE_OUTPUTS, rows[i].key, &url) == ERR_OK);
		if (strcmp(buf_str(&url), rows[i].want) != 0)
			fail_msg("%s: %s", rows[i].name, buf_str(&url));
		ASSERT_ROW(rows[i].name, o.st->public_url(o.settings, STORAGE_OUTPUTS, rows[i].key, &small) == ERR_TOO_BIG);
		buf_clear(&url);
		buf_clear(&small);
		storage_close(&o);
	}
}

static void
settings_are_checked(void **state)
{
	static const struct { const char *name; bool local; const char *env[4], *want[4]; } rows[] = {
		{ "local, nothing", true, { NULL }, { "storage_dir: has to be set", "storage_public_url: has to be set" } },
		{ "local, no folder", true, { "GENGATE_STORAGE_DIR=/nowhere", "GENGATE_STORAGE_PUBLIC_URL=http://a" },
		  { "storage_dir: /nowhere is no folder" } },
		{ "local, a file", true, { "GENGATE_STORAGE_DIR=/dev/null", "GENGATE_STORAGE_PUBLIC_URL=http://a" },
		  { "storage_dir: /dev/null is no folder" } },
		{ "local, fine", true, { "GENGATE_STORAGE_DIR=/tmp", "GENGATE_STORAGE_PUBLIC_URL=http://a" }, { NULL } },
		{ "supabase, nothing", false, { NULL }, { "supabase_url: has to be set", "supabase_key: has to be set" } },
		{ "supabase, no bucket", false, { "GENGATE_SUPABASE_URL=http://a", "GENGATE_SUPABASE_KEY=k",
			"GENGATE_SUPABASE_BUCKET=" }, { "supabase_bucket: has to be set" } },
		{ "local, inputs nowhere", true, { "GENGATE_STORAGE_DIR=/tmp", "GENGATE_STORAGE_PUBLIC_URL=http://a",
			"GENGATE_STORAGE_INPUT_DIR=/nowhere" }, { "storage_input_dir: /nowhere is no folder" } },
		{ "local, inputs among outputs", true, { "GENGATE_STORAGE_DIR=/tmp//", "GENGATE_STORAGE_PUBLIC_URL=http://a",
			"GENGATE_STORAGE_INPUT_DIR=/tmp" }, { "storage_input_dir: must not be inside storage_dir" } },
		{ "supabase, one bucket for both", false, { "GENGATE_SUPABASE_URL=http://a", "GENGATE_SUPABASE_KEY=k",
			"GENGATE_SUPABASE_INPUT_BUCKET=outputs" }, { "supabase_input_bucket: has to be another bucket" } },
		{ "supabase, fine", false, { "GENGATE_SUPABASE_URL=http://a", "GENGATE_SUPABASE_KEY=k" }, { NULL } },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct buf mistakes = BUF_INIT(4096);
		struct opened o;
		size_t lines = 0, n = 0;

		storage_open(&o, rows[i].local ? &storage_local : &storage_supabase, rows[i].env);
		o.st->check(o.settings, &mistakes);
		for (size_t at = 0; at < mistakes.len; at++)
			lines += mistakes.p[at] == '\n';
		for (; rows[i].want[n]; n++)
			ASSERT_ROW(rows[i].name, strstr(buf_str(&mistakes), rows[i].want[n]));
		ASSERT_ROW(rows[i].name, lines == n);
		buf_clear(&mistakes);
		storage_close(&o);
	}
}

/* ---- a folder ---- */

struct folder {
	struct opened o;
	char dir[64];
};

static int
make_folder(void **state)
{
	struct folder *f = calloc(1, sizeof *f);
	char env_dir[100];
	const char *env[] = { env_dir, "GENGATE_STORAGE_PUBLIC_URL=http://a", NULL };

	snprintf(f->dir, sizeof f->dir, "/tmp/gengate-local-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(env_dir, sizeof env_dir, "GENGATE_STORAGE_DIR=%s", f->dir);
	storage_open(&f->o, &storage_local, env);
	*state = f;
	return 0;
}

static void
remove_all(const char *at)
{
	DIR *d = opendir(at);
	struct dirent *e;
	char name[1000];

	while (d && (e = readdir(d))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(name, sizeof name, "%s/%s", at, e->d_name);
		if (unlink(name))
			remove_all(name);
	}
	if (d)
		closedir(d);
	rmdir(at);
}

static int
remove_folder(void **state)
{
	struct folder *f = *state;

	storage_close(&f->o);
	remove_all(f->dir);
	free(f);
	return 0;
}

static enum err_code
put(struct folder *f, const char *key, int fd, uint64_t bytes, struct err *err)
{
	static const uint8_t sha[SHA256_BYTES];
	struct storage_file file = { .key = key, .fd = fd, .bytes = bytes, .type = MEDIA_PNG, .sha256 = sha };

	return f->o.st->put(f->o.settings, NULL, &file, err);
}

static enum err_code
put_text(struct folder *f, const char *key, const char *text, struct err *err)
{
	int fd = temp_file(text, strlen(text));
	enum err_code rc = put(f, key, fd, strlen(text), err);

	close(fd);
	return rc;
}

static char *
path_of(const struct folder *f, const char *key)
{
	static char path[1000];

	snprintf(path, sizeof path, "%s/%s", f->dir, key);
	return path;
}

static bool
holds(const struct folder *f, const char *key, const char *text)
{
	int fd = open(path_of(f, key), O_RDONLY | O_NOFOLLOW);
	char got[1000];
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, got, sizeof got);
	close(fd);
	return n == (ssize_t)strlen(text) && memcmp(got, text, (size_t)n) == 0;
}

/* Files and folders below the storage's. */
static int
count_below(const char *at)
{
	DIR *d = opendir(at);
	struct dirent *e;
	char name[1000];
	int n = 0;

	while (d && (e = readdir(d))) {
		struct stat st;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(name, sizeof name, "%s/%s", at, e->d_name);
		n++;
		if (lstat(name, &st) == 0 && S_ISDIR(st.st_mode))
			n += count_below(name);
	}
	if (d)
		closedir(d);
	return n;
}

static void
files_are_kept(void **state)
{
	static const struct { const char *name, *key, *text; } rows[] = {
		{ "in folders", "owner/job/0-aabb.png", "picture" },
		{ "beside it", "owner/job/1-ccdd.png", "another" },
		{ "at the top", "top.png", "top" },
		{ "empty", "owner/empty.png", "" },
		{ "dots in names", "a..b/c.d/e..f.tar.gz", "dots" },
	};
	struct folder *f = *state;

	for (size_t i = 0; i < N(rows); i++) {
		struct err err = ERR_INIT;
		struct stat st;

		if (put_text(f, rows[i].key, rows[i].text, &err))
			fail_msg("%s: %s", rows[i].name, err.text);
		ASSERT_ROW(rows[i].name, holds(f, rows[i].key, rows[i].text));
		ASSERT_ROW(rows[i].name, stat(path_of(f, rows[i].key), &st) == 0 && st.st_nlink == 1);
		ASSERT_ROW(rows[i].name, (st.st_mode & 0400) && !(st.st_mode & 0133));
	}
	/* Five files, owner, job, a..b, c.d: nothing is left over. */
	assert_int_equal(count_below(f->dir), 9);
}

static void
large_files_are_whole(void **state)
{
	struct folder *f = *state;
	size_t len = 300001;
	char *text = calloc(1, len), *got = calloc(1, len);
	int fd, kept;

	for (size_t i = 0; i < len; i++)
		text[i] = (char)(i * 31 >> 3);
	fd = temp_file(text, len);
	assert_int_equal(put(f, "a/b", fd, len, NULL), ERR_OK);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), (off_t)len);	/* the offset is the caller's */
	kept = open(path_of(f, "a/b"), O_RDONLY);
	assert_int_equal(read(kept, got, len), (ssize_t)len);
	assert_memory_equal(text, got, len);
	close(kept);
	close(fd);
	free(text);
	free(got);
}

static void
whole_or_not_at_all(void **state)
{
	struct folder *f = *state;
	struct err err = ERR_INIT;
	int fd = temp_file("short", 5);

	/* The file ends before its length: a disk error would look like that. */
	assert_int_equal(put(f, "a/b", fd, 6, &err), ERR_UPSTREAM);
	assert_non_null(strstr(err.text, "a/b"));
	assert_null(strstr(err.text, "Success"));
	assert_int_equal(count_below(f->dir), 1);	/* the folder */
	close(fd);
	/* It cannot be read at all. */
	fd = open(f->dir, O_RDONLY | O_DIRECTORY);
	assert_int_equal(put(f, "a/b", fd, 6, &err), ERR_UPSTREAM);
	assert_int_equal(count_below(f->dir), 1);
	close(fd);
	/* Longer than said is the caller's business. */
	assert_int_equal(put_text(f, "a/b", "later", NULL), ERR_OK);
	assert_true(holds(f, "a/b", "later"));
}

static void
what_is_there_stays(void **state)
{
	struct folder *f = *state;
	struct err err = ERR_INIT;

	assert_int_equal(put_text(f, "a/b", "first", NULL), ERR_OK);
	/* The key has the content's hash, so the size is enough. */
	assert_int_equal(put_text(f, "a/b", "other", NULL), ERR_OK);
	assert_true(holds(f, "a/b", "first"));
	assert_int_equal(put_text(f, "a/b", "longer than first", &err), ERR_REFUSED);
	assert_non_null(strstr(err.text, "with 5 bytes, not 17"));
	assert_true(holds(f, "a/b", "first"));
	assert_int_equal(count_below(f->dir), 2);
}

static void
keys_that_are_none(void **state)
{
	static const char *const keys[] = {
		"", "/", "/etc/x", "a/", "a//b", "a//", "..", ".", "../x", "a/..", "a/../b", "a/../../x", "./a", "a/./b",
		".hidden", "a/.hidden", ".a/b",
	};
	struct folder *f = *state;

	for (size_t i = 0; i < N(keys); i++) {
		struct err err = ERR_INIT;

		ASSERT_ROW(keys[i], put_text(f, keys[i], "x", &err) == ERR_REFUSED);
		ASSERT_ROW(keys[i], strstr(err.text, "no path of ours"));
		ASSERT_ROW(keys[i], strstr(err.text, keys[i]));
	}
	assert_int_equal(count_below(f->dir), 0);
}

/* Not even one of the size of a folder: 4096 on most disks. */
static void
folders_are_no_files(void **state)
{
	struct folder *f = *state;
	struct stat st;
	char *text;
	int fd;

	assert_int_equal(mkdir(path_of(f, "b"), 0755), 0);
	assert_int_equal(stat(path_of(f, "b"), &st), 0);
	text = calloc(1, (size_t)st.st_size + 1);
	fd = temp_file(text, (size_t)st.st_size);
	assert_int_equal(put(f, "b", fd, (uint64_t)st.st_size, NULL), ERR_REFUSED);
	close(fd);
	free(text);
	/* And a file where a folder should be. */
	assert_int_equal(put_text(f, "c", "x", NULL), ERR_OK);
	assert_int_not_equal(put_text(f, "c/d", "x", NULL), ERR_OK);
	assert_true(holds(f, "c", "x"));
	assert_int_equal(count_below(f->dir), 2);
}

static void
links_are_not_followed(void **state)
{
	struct folder *f = *state;
	char outside[] = "/tmp/gengate-outside-XXXXXX", file[100];

	assert_non_null(mkdtemp(outside));
	snprintf(file, sizeof file, "%s/secret", outside);
	/* A folder that leads outside. */
	assert_int_equal(symlink(outside, path_of(f, "owner")), 0);
	assert_int_not_equal(put_text(f, "owner/b", "x", NULL), ERR_OK);
	assert_int_not_equal(put_text(f, "owner/job/b", "x", NULL), ERR_OK);
	assert_int_equal(count_below(outside), 0);
	/* A file that leads outside, to nothing; its own length is that of its path. */
	assert_int_equal(symlink(file, path_of(f, "b")), 0);
	assert_int_equal(put_text(f, "b", file, NULL), ERR_REFUSED);
	assert_int_equal(put_text(f, "b", "x", NULL), ERR_REFUSED);
	assert_int_equal(count_below(outside), 0);
	remove_all(outside);
}

/* A process that was killed left its temporary file, perhaps linked already:
 * another with the same number must not cut what is published. */
static void
leftovers_do_no_harm(void **state)
{
	struct folder *f = *state;
	int fd = temp_file("again", 5);
	char temp[100], kept[1000];

	snprintf(temp, sizeof temp, ".b.%ld.%d.part", (long)getpid(), fd);
	assert_int_equal(put_text(f, "b", "first time", NULL), ERR_OK);
	snprintf(kept, sizeof kept, "%s", path_of(f, "b"));
	assert_int_equal(link(kept, path_of(f, temp)), 0);
	assert_int_equal(put(f, "b", fd, 5, NULL), ERR_REFUSED);
	assert_true(holds(f, "b", "first time"));
	assert_int_equal(count_below(f->dir), 1);
	/* And one that leads elsewhere. */
	snprintf(temp, sizeof temp, ".c.%ld.%d.part", (long)getpid(), fd);
	assert_int_equal(symlink("b", path_of(f, temp)), 0);
	assert_int_equal(put(f, "c", fd, 5, NULL), ERR_OK);
	assert_true(holds(f, "c", "again"));
	assert_true(holds(f, "b", "first time"));
	assert_int_equal(count_below(f->dir), 2);
	close(fd);
}

static enum err_code
look(struct folder *f, enum storage_area area, const char *key)
{
	return f->o.st->look(f->o.settings, NULL, area, key, NULL);
}

static void
inputs_are_apart(void **state)
{
	static const uint8_t sha[SHA256_BYTES];
	static const char *const none[] = { "o/j/1.png", "o/j", "o", "nobody/x.png", "o/j/0.png/x", "o/link", "o/away/0.png",
		"../x", "/x", "o//j", "" };
	struct folder *f = *state;
	char dir[] = "/tmp/gengate-inputs-XXXXXX", env_dir[100], path[200], got[2] = "";
	const char *env[] = { env_dir, "GENGATE_STORAGE_DIR=/nowhere", NULL };
	struct storage_file file = { .area = STORAGE_INPUTS, .key = "o/j/0.png", .bytes = 1, .type = MEDIA_PNG, .sha256 = sha };
	int fd = -1;

	assert_false(f->o.st->takes_inputs(f->o.settings));
	assert_non_null(mkdtemp(dir));
	snprintf(env_dir, sizeof env_dir, "GENGATE_STORAGE_INPUT_DIR=%s", dir);
	storage_close(&f->o);
	storage_open(&f->o, &storage_local, env);
	assert_true(f->o.st->takes_inputs(f->o.settings));
	file.fd = temp_file("x", 1);
	assert_int_equal(f->o.st->put(f->o.settings, NULL, &file, NULL), ERR_OK);
	close(file.fd);
	assert_int_equal(look(f, STORAGE_INPUTS, "o/j/0.png"), ERR_OK);
	assert_int_equal(f->o.st->open(f->o.settings, STORAGE_INPUTS, "o/j/0.png", &fd, NULL), ERR_OK);
	assert_int_equal(read(fd, got, 2), 1);
	assert_string_equal(got, "x");
	close(fd);
	snprintf(path, sizeof path, "%s/o/link", dir);
	assert_int_equal(symlink("j/0.png", path), 0);
	snprintf(path, sizeof path, "%s/o/away", dir);
	assert_int_equal(symlink("j", path), 0);
	for (size_t i = 0; i < N(none); i++)
		ASSERT_ROW(none[i], look(f, STORAGE_INPUTS, none[i]) == ERR_NOT_FOUND);
	/* The other place is not there at all, which may be mended. */
	assert_int_equal(look(f, STORAGE_OUTPUTS, "o/j/0.png"), ERR_UPSTREAM);
	assert_int_equal(f->o.st->remove(f->o.settings, NULL, STORAGE_INPUTS, "o/j/0.png", NULL), ERR_OK);
	assert_int_equal(look(f, STORAGE_INPUTS, "o/j/0.png"), ERR_NOT_FOUND);
	remove_all(dir);
}

static void
the_folder_is_gone(void **state)
{
	struct folder *f = *state;
	struct err err = ERR_INIT;

	/* It may come back: a disk that is not mounted. */
	assert_int_equal(rmdir(f->dir), 0);
	assert_int_equal(put_text(f, "a/b", "x", &err), ERR_UPSTREAM);
	assert_non_null(strstr(err.text, "a/b"));
	assert_int_equal(access(f->dir, F_OK), -1);
}

static enum err_code
remove_key(struct folder *f, const char *key)
{
	return f->o.st->remove(f->o.settings, NULL, STORAGE_OUTPUTS, key, NULL);
}

static void
files_are_removed(void **state)
{
	struct folder *f = *state;
	struct err err = ERR_INIT;
	char path[200], part[300];
	FILE *left;

	assert_int_equal(put_text(f, "o/j/0-ab.png", "x", &err), ERR_OK);
	assert_int_equal(put_text(f, "o/j/1-cd.png", "y", &err), ERR_OK);
	snprintf(part, sizeof part, "%s/o/j/.1-cd.png.1.2.part", f->dir);
	left = fopen(part, "w");
	assert_non_null(left);
	fclose(left);

	assert_int_equal(remove_key(f, "o/j/0-ab.png"), ERR_OK);
	snprintf(path, sizeof path, "%s/o/j/0-ab.png", f->dir);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(access(part, F_OK), 0);
	assert_int_equal(remove_key(f, "o/j/0-ab.png"), ERR_OK);	/* again */
	/* The last one takes the job's folder with it, and what was left of itself. */
	assert_int_equal(remove_key(f, "o/j/1-cd.png"), ERR_OK);
	snprintf(path, sizeof path, "%s/o/j", f->dir);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(remove_key(f, "o/j/1-cd.png"), ERR_OK);
	assert_int_equal(remove_key(f, "nobody/j/1-cd.png"), ERR_OK);
	assert_int_equal(remove_key(f, "../x"), ERR_REFUSED);
	assert_int_equal(remove_key(f, "o/"), ERR_REFUSED);
}

static void
local_short_of_memory(void **state)
{
	struct folder *f = *state;
	int fd = temp_file("x", 1);
	enum err_code rc;

	ASSERT_SURVIVES_NOMEM(rc, rc = put(f, "a/b", fd, 1, NULL));
	close(fd);
}

/* ---- Supabase ---- */

#define SECRET "sb_secret_for-tests"
#define LEGACY "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.c2ln"

struct seen {
	char head[2000];
	char body[1000];
	size_t body_len;
};

struct upstream {
	struct server sv;
	struct http_client *http;
	/* Under sv.lock: what is answered in turn, and what was asked. */
	const char *answers[3];
	struct seen seen[3];
	size_t n;
};

static bool
answer(struct conn *cn)
{
	struct upstream *up = cn->sv->ctx;
	const char *text = NULL;

	pthread_mutex_lock(&cn->sv->lock);
	if (up->n < N(up->answers)) {
		struct seen *seen = &up->seen[up->n];

		text = up->answers[up->n++];
		snprintf(seen->head, sizeof seen->head, "%.*s", (int)cn->head_len, cn->head);
		seen->body_len = cn->body_len;
		memcpy(seen->body, cn->body, cn->body_len < sizeof seen->body ? cn->body_len : sizeof seen->body);
	}
	pthread_mutex_unlock(&cn->sv->lock);
	if (text)
		send_text(cn, text);
	return text != NULL;
}

static int
start_upstream(void **state)
{
	static const struct http_settings settings = { .user_agent = "gengate-test" };
	struct upstream *up = calloc(1, sizeof *up);

	server_start(&up->sv, answer, up);
	*state = up;
	return http_client_new(&settings, &up->http, NULL) ? -1 : 0;
}

static int
stop_upstream(void **state)
{
	struct upstream *up = *state;

	http_client_free(&up->http);
	server_stop(&up->sv);
	free(up);
	return 0;
}

/* "400 {...}" as an HTTP answer. */
static const char *
make_answer(const char *text, char *out, size_t size)
{
	if (!text)
		return NULL;
	snprintf(out, size, "HTTP/1.1 %.3s X\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
		text, text[4] == '{' ? "application/json; charset=utf-8" : "text/html", strlen(text) - 4, text + 4);
	return out;
}

/* Put `text` with these answers.  up->n: how many requests came. */
static enum err_code
put_upstream_with(struct upstream *up, const char *key_env, const char *more_env, const char *put_answer,
	const char *info_answer, const char *text, struct err *err)
{
	static const uint8_t sha[SHA256_BYTES];
	char url[100], first[4096], second[4096];
	const char *env[] = { url, key_env, more_env, NULL };
	struct storage_file file = { .key = "owner/job/0-ab.webp", .bytes = strlen(text), .type = MEDIA_WEBP, .sha256 = sha };
	struct opened o;
	enum err_code rc;

	snprintf(url, sizeof url, "GENGATE_SUPABASE_URL=http://127.0.0.1:%d", up->sv.port);
	storage_open(&o, &storage_supabase, env);
	pthread_mutex_lock(&up->sv.lock);
	up->answers[0] = make_answer(put_answer, first, sizeof first);
	up->answers[1] = make_answer(info_answer, second, sizeof second);
	up->answers[2] = NULL;
	up->n = 0;
	pthread_mutex_unlock(&up->sv.lock);
	file.fd = temp_file(text, strlen(text));
	rc = o.st->put(o.settings, up->http, &file, err);
	close(file.fd);
	storage_close(&o);
	return rc;
}

static enum err_code
put_upstream(struct upstream *up, const char *key_env, const char *put_answer, const char *info_answer,
	const char *text, struct err *err)
{
	return put_upstream_with(up, key_env, NULL, put_answer, info_answer, text, err);
}

#define STORED "200 {\"Key\":\"outputs/owner/job/0-ab.webp\",\"Id\":\"71314b45-0000-4000-8000-000000000000\"}"
#define REFUSAL(code, error, message, name) "400 {\"statusCode\":\"" code "\",\"error\":\"" error "\",\"message\":\"" \
	message "\",\"code\":\"" name "\"}"
#define EXISTS REFUSAL("409", "Duplicate", "The resource already exists", "KeyAlreadyExists")

static bool
head_has(const struct seen *seen, const char *text)
{
	return strstr(seen->head, text) != NULL;
}

static void
what_is_sent(void **state)
{
	static const struct { const char *name, *env, *apikey, *bearer, *more; } rows[] = {
		{ "secret key", "GENGATE_SUPABASE_KEY=" SECRET, "\r\napikey: " SECRET "\r\n", NULL, NULL },
		{ "legacy key", "GENGATE_SUPABASE_KEY=" LEGACY, "\r\napikey: " LEGACY "\r\n",
		  "\r\nAuthorization: Bearer " LEGACY "\r\n", NULL },
		{ "secret key in both", "GENGATE_SUPABASE_KEY=" SECRET, "\r\napikey: " SECRET "\r\n",
		  "\r\nAuthorization: Bearer " SECRET "\r\n", "GENGATE_SUPABASE_KEY_AS_BEARER=on" },
	};
	struct upstream *up = *state;

	for (size_t i = 0; i < N(rows); i++) {
		struct err err = ERR_INIT;
		const struct seen *seen = up->seen;

		if (put_upstream_with(up, rows[i].env, rows[i].more, EXISTS, "200 {\"size\":5}", "RIFFx", &err))
			fail_msg("%s: %s", rows[i].name, err.text);
		ASSERT_ROW(rows[i].name, up->n == 2);
		ASSERT_ROW(rows[i].name, strncmp(seen[0].head,
			"POST /storage/v1/object/outputs/owner/job/0-ab.webp HTTP/1.1\r\n", 62) == 0);
		ASSERT_ROW(rows[i].name, head_has(&seen[0], "\r\nContent-Length: 5\r\n"));
		ASSERT_ROW(rows[i].name, head_has(&seen[0], "\r\nContent-Type: image/webp\r\n"));
		ASSERT_ROW(rows[i].name, head_has(&seen[0], "\r\nCache-Control: max-age=31536000\r\n"));
		ASSERT_ROW(rows[i].name, head_has(&seen[0], "\r\nUser-Agent: gengate-test\r\n"));
		ASSERT_ROW(rows[i].name, !head_has(&seen[0], "upsert") && !head_has(&seen[0], "chunked") &&
			!head_has(&seen[0], "Expect"));
		ASSERT_ROW(rows[i].name, seen[0].body_len == 5 && memcmp(seen[0].body, "RIFFx", 5) == 0);
		ASSERT_ROW(rows[i].name, strncmp(seen[1].head,
			"GET /storage/v1/object/info/outputs/owner/job/0-ab.webp HTTP/1.1\r\n", 66) == 0);
		ASSERT_ROW(rows[i].name, seen[1].body_len == 0 && !head_has(&seen[1], "Content-Type"));
		for (size_t at = 0; at < 2; at++) {
			ASSERT_ROW(rows[i].name, head_has(&seen[at], rows[i].apikey));
			ASSERT_ROW(rows[i].name, rows[i].bearer ? head_has(&seen[at], rows[i].bearer)
				: !head_has(&seen[at], "Authorization"));
		}
	}
}

static void
answers(void **state)
{
	static const struct { const char *name, *put, *info; enum err_code want; size_t n; const char *say; } rows[] = {
		{ "stored", STORED, NULL, ERR_OK, 1, NULL },
		{ "stored, no body", "200 ", NULL, ERR_OK, 1, NULL },

		/* There already: whose is it? */
		{ "there, same size", EXISTS, "200 {\"id\":\"x\",\"size\":5,\"etag\":\"y\"}", ERR_OK, 2, NULL },
		{ "there, empty", EXISTS, "200 {\"size\":0}", ERR_REFUSED, 2, "with 0 bytes, not 5" },
		{ "there, another size", EXISTS, "200 {\"size\":6}", ERR_REFUSED, 2, "with 6 bytes, not 5" },
		{ "there, negative size", EXISTS, "200 {\"size\":-5}", ERR_REFUSED, 2, "not 5" },
		{ "there, no size", EXISTS, "200 {}", ERR_UPSTREAM, 2, "size" },
		{ "there, size a text", EXISTS, "200 {\"size\":\"5\"}", ERR_UPSTREAM, 2, "size" },
		{ "there, NUL in its metadata", EXISTS, "200 {\"size\":5,\"metadata\":{\"x\":\"\\u0000\"}}", ERR_OK, 2, NULL },
		{ "there, HTML", EXISTS, "200 <html>", ERR_UPSTREAM, 2, "size" },
		{ "there, and gone again", EXISTS, REFUSAL("404", "not_found", "Object not found", "NoSuchKey"),
		  ERR_UPSTREAM, 2, "NoSuchKey" },
		/* A GET may be sent again when a kept connection ends. */
		{ "there, but no answer", EXISTS, NULL, ERR_NO_ANSWER, 3, NULL },
		{ "there, by an older server", "400 {\"statusCode\":\"409\",\"error\":\"Duplicate\",\"message\":\"The resource already exists\"}",
		  "200 {\"size\":5}", ERR_OK, 2, NULL },
		{ "there, by its status", "409 {\"message\":\"x\"}", "200 {\"size\":5}", ERR_OK, 2, NULL },

		/* The file's own fault: for good. */
		{ "too large", REFUSAL("413", "Payload too large", "The object exceeded the maximum allowed size", "EntityTooLarge"),
		  NULL, ERR_REFUSED, 1, "EntityTooLarge" },
		{ "too large for a proxy", "413 <h1>Request Entity Too Large</h1>", NULL, ERR_REFUSED, 1, "HTTP 413" },
		{ "type not allowed", REFUSAL("415", "invalid_mime_type", "mime type image/webp is not supported", "InvalidMimeType"),
		  NULL, ERR_REFUSED, 1, "image/webp is not supported" },
		{ "key not allowed", REFUSAL("400", "InvalidKey", "Invalid key", "InvalidKey"), NULL, ERR_REFUSED, 1, "InvalidKey" },
		{ "another conflict", REFUSAL("409", "ResourceNotEmpty", "x", "ResourceNotEmpty"), NULL, ERR_REFUSED, 1, NULL },

		/* The operator's to mend: the output is not lost meanwhile. */
		{ "no such bucket", REFUSAL("404", "Bucket not found", "Bucket not found", "NoSuchBucket"),
		  NULL, ERR_UPSTREAM, 1, "NoSuchBucket" },
		{ "wrong key", REFUSAL("403", "Unauthorized", "signature verification failed", "AccessDenied"),
		  NULL, ERR_UPSTREAM, 1, "signature verification failed" },
		{ "row level security", REFUSAL("403", "Unauthorized", "new row violates row-level security policy", "AccessDenied"),
		  NULL, ERR_UPSTREAM, 1, "row-level" },
		{ "no key arrives", REFUSAL("400", "Error", "headers must have required property 'authorization'", "InvalidRequest"),
		  NULL, ERR_UPSTREAM, 1, "authorization" },
		{ "broken key", REFUSAL("400", "Error", "Invalid JWT", "InvalidJWT"), NULL, ERR_UPSTREAM, 1, "InvalidJWT" },
		{ "gateway refuses the key", "401 {\"message\":\"Invalid API key\"}", NULL, ERR_UPSTREAM, 1, "Invalid API key" },
		{ "wrong path", "404 {\"message\":\"Route not found\",\"error\":\"Not Found\",\"statusCode\":404}",
		  NULL, ERR_UPSTREAM, 1, "Route not found" },
		{ "moved", "301 ", NULL, ERR_UPSTREAM, 1, "HTTP 301" },

		/* Today's trouble. */
		{ "Postgres down", "500 {\"statusCode\":\"500\",\"error\":\"Internal\",\"message\":\"Internal Server Error\",\"code\":\"InternalError\"}",
		  NULL, ERR_UPSTREAM, 1, "InternalError" },
		{ "database timeout", "544 {\"statusCode\":\"544\",\"error\":\"x\",\"message\":\"y\",\"code\":\"DatabaseTimeout\"}",
		  NULL, ERR_UPSTREAM, 1, "DatabaseTimeout" },
		{ "slow down", "429 {\"statusCode\":\"429\",\"error\":\"x\",\"message\":\"y\",\"code\":\"SlowDown\"}",
		  NULL, ERR_UPSTREAM, 1, "SlowDown" },
		{ "locked", REFUSAL("423", "x", "y", "ResourceLocked"), NULL, ERR_UPSTREAM, 1, "ResourceLocked" },
		{ "lock timeout", REFUSAL("503", "x", "y", "LockTimeout"), NULL, ERR_UPSTREAM, 1, "LockTimeout" },
		{ "read only", REFUSAL("503", "x", "y", "DatabaseReadOnly"), NULL, ERR_UPSTREAM, 1, "DatabaseReadOnly" },
		{ "backend throttles", REFUSAL("429", "x", "y", "S3Error"), NULL, ERR_UPSTREAM, 1, "S3Error" },
		{ "aborted", "500 {\"statusCode\":\"500\",\"error\":\"x\",\"message\":\"y\",\"code\":\"Aborted\"}",
		  NULL, ERR_UPSTREAM, 1, "Aborted" },
		{ "body cut short", "400 {\"error\":\"Bad Request\",\"message\":\"Client Error\",\"statusCode\":400}",
		  NULL, ERR_UPSTREAM, 1, "Client Error" },
		{ "too slow for a proxy", "408 <h1>Request Time-out</h1>", NULL, ERR_UPSTREAM, 1, "HTTP 408" },
		{ "bad gateway", "502 <h1>Bad Gateway</h1>", NULL, ERR_UPSTREAM, 1, "HTTP 502" },
		{ "unavailable", "503 ", NULL, ERR_UPSTREAM, 1, "HTTP 503" },
		{ "Cloudflare", "522 <html>", NULL, ERR_UPSTREAM, 1, "HTTP 522" },
		{ "no answer", NULL, NULL, ERR_NO_ANSWER, 1, NULL },

		/* The code says it, whatever is said beside it. */
		{ "slow down, by its code", "400 {\"code\":\"SlowDown\"}", NULL, ERR_UPSTREAM, 1, "SlowDown" },
		{ "no bucket, by its code", "400 {\"code\":\"NoSuchBucket\"}", NULL, ERR_UPSTREAM, 1, "NoSuchBucket" },
		{ "too large, by its code", "500 {\"statusCode\":\"500\",\"code\":\"EntityTooLarge\"}",
		  NULL, ERR_REFUSED, 1, "EntityTooLarge" },
		{ "there, by its code", "400 {\"code\":\"KeyAlreadyExists\"}", "200 {\"size\":5}", ERR_OK, 2, NULL },

		/* Not understood: what HTTP says. */
		{ "400 and HTML", "400 <h1>Bad Request</h1>", NULL, ERR_REFUSED, 1, "HTTP 400" },
		{ "400 and an array", "400 [{\"code\":\"KeyAlreadyExists\"}]", NULL, ERR_REFUSED, 1, "HTTP 400" },
		{ "400 and words of other types", "400 {\"statusCode\":[],\"message\":5,\"code\":{}}", NULL, ERR_REFUSED, 1, NULL },
		{ "400 and a wild number", "400 {\"statusCode\":\"99999999999999999999\",\"code\":\"x\"}", NULL, ERR_REFUSED, 1, NULL },
	};
	struct upstream *up = *state;

	for (size_t i = 0; i < N(rows); i++) {
		struct err err = ERR_INIT;
		enum err_code rc = put_upstream(up, "GENGATE_SUPABASE_KEY=" SECRET, rows[i].put, rows[i].info, "RIFFx", &err);

		if (rc != rows[i].want)
			fail_msg("%s: %s: %s", rows[i].name, err_name(rc), err.text);
		ASSERT_ROW(rows[i].name, up->n == rows[i].n);
		if (rows[i].say && !strstr(err.text, rows[i].say))
			fail_msg("%s: %s", rows[i].name, err.text);
		ASSERT_ROW(rows[i].name, !strstr(err.text, SECRET));
	}
}

/* Each code that we know, without a status that would say the same. */
static void
codes_alone(void **state)
{
	static const struct { enum err_code want; const char *codes[11]; } rows[] = {
		{ ERR_REFUSED, { "EntityTooLarge", "InvalidKey", "InvalidMimeType" } },
		{ ERR_UPSTREAM, { "AccessDenied", "InvalidBucketName", "InvalidJWT", "InvalidRequest", "NoSuchBucket" } },
		{ ERR_UPSTREAM, { "Aborted", "DatabaseReadOnly", "DatabaseSchemaMismatch", "DatabaseTimeout", "InternalError",
			"LockTimeout", "NoSuchKey", "ResourceLocked", "SlowDown" } },
	};
	struct upstream *up = *state;

	for (size_t i = 0; i < N(rows); i++) {
		/* The status line and statusCode say the opposite. */
		int status = rows[i].want == ERR_REFUSED ? 500 : 400;

		for (const char *const *code = rows[i].codes; *code; code++) {
			char text[200];

			snprintf(text, sizeof text, "%d {\"statusCode\":\"%d\",\"code\":\"%s\"}", status, status, *code);
			ASSERT_ROW(*code, put_upstream(up, "GENGATE_SUPABASE_KEY=" SECRET, text, NULL, "RIFFx", NULL) == rows[i].want);
		}
	}
}

static void
removals(void **state)
{
	static const struct { const char *name, *answer; enum err_code want; } rows[] = {
		{ "removed", "200 {\"message\":\"Successfully deleted\"}", ERR_OK },
		{ "not there", REFUSAL("404", "not_found", "Object not found", "NoSuchKey"), ERR_OK },
		/* Nothing of this says that the file is gone. */
		{ "no bucket", REFUSAL("404", "Bucket not found", "Bucket not found", "NoSuchBucket"), ERR_UPSTREAM },
		{ "no route", "404 {\"message\":\"Route not found\",\"error\":\"Not Found\",\"statusCode\":404}", ERR_UPSTREAM },
		{ "our key", REFUSAL("403", "Unauthorized", "x", "AccessDenied"), ERR_UPSTREAM },
		{ "theirs", "500 {\"code\":\"InternalError\"}", ERR_UPSTREAM },
		{ "a proxy's", "502 <h1>Bad Gateway</h1>", ERR_UPSTREAM },
		{ "no answer", NULL, ERR_NO_ANSWER },
	};
	struct upstream *up = *state;
	char url[100], text[4096];
	const char *env[] = { url, "GENGATE_SUPABASE_KEY=" SECRET, NULL };

	snprintf(url, sizeof url, "GENGATE_SUPABASE_URL=http://127.0.0.1:%d", up->sv.port);
	for (size_t i = 0; i < N(rows); i++) {
		struct opened o;
		enum err_code rc;

		storage_open(&o, &storage_supabase, env);
		pthread_mutex_lock(&up->sv.lock);
		up->answers[0] = make_answer(rows[i].answer, text, sizeof text);
		up->n = 0;
		pthread_mutex_unlock(&up->sv.lock);
		rc = o.st->remove(o.settings, up->http, STORAGE_OUTPUTS, "owner/job/0-ab.webp", NULL);
		if (rc != rows[i].want)
			fail_msg("%s: %s", rows[i].name, err_name(rc));
		ASSERT_ROW(rows[i].name, up->n == 1);
		ASSERT_ROW(rows[i].name, strncmp(up->seen[0].head,
			"DELETE /storage/v1/object/outputs/owner/job/0-ab.webp HTTP/1.1\r\n", 64) == 0);
		/* With an empty body the server would refuse it. */
		ASSERT_ROW(rows[i].name, !head_has(&up->seen[0], "Content-Type"));
		ASSERT_ROW(rows[i].name, head_has(&up->seen[0], "\r\napikey: " SECRET "\r\n"));
		ASSERT_ROW(rows[i].name, up->seen[0].body_len == 0);
		storage_close(&o);
	}
}

static void
signed_urls(void **state)
{
	static const struct { const char *name, *answer; enum err_code want; const char *say; } rows[] = {
		{ "signed", "200 {\"signedURL\":\"/object/sign/outputs/owner/job/0-ab.webp?token=a.b.c\"}", ERR_OK, NULL },
		{ "nothing", "200 {}", ERR_UPSTREAM, "no signedURL" },
		{ "elsewhere", "200 {\"signedURL\":\"https://example.com/x\"}", ERR_UPSTREAM, "no signedURL" },
		{ "a line's end", "200 {\"signedURL\":\"/object/sign/outputs/x?token=y\\r\\nz\"}", ERR_UPSTREAM, "no signedURL" },
		{ "a blank", "200 {\"signedURL\":\"/object/sign/outputs/x y\"}", ERR_UPSTREAM, "no signedURL" },
		{ "a page", "200 <html>", ERR_UPSTREAM, "no signedURL" },
		{ "no file", REFUSAL("404", "not_found", "Object not found", "NoSuchKey"), ERR_NOT_FOUND, "NoSuchKey" },
		{ "no bucket", REFUSAL("404", "Bucket not found", "Bucket not found", "NoSuchBucket"),
		  ERR_UPSTREAM, "NoSuchBucket" },
		{ "our key", REFUSAL("403", "Unauthorized", "x", "AccessDenied"), ERR_UPSTREAM, "AccessDenied" },
		{ "not a key", REFUSAL("400", "InvalidKey", "x", "InvalidKey"), ERR_REFUSED, "InvalidKey" },
		{ "a proxy's", "502 <h1>Bad Gateway</h1>", ERR_UPSTREAM, "HTTP 502" },
		{ "no answer", NULL, ERR_NO_ANSWER, NULL },
	};
	struct upstream *up = *state;
	char url[100], text[4096], want[300];
	const char *env[] = { url, "GENGATE_SUPABASE_KEY=" SECRET, NULL };

	snprintf(url, sizeof url, "GENGATE_SUPABASE_URL=http://127.0.0.1:%d", up->sv.port);
	snprintf(want, sizeof want, "http://127.0.0.1:%d/storage/v1/object/sign/outputs/owner/job/0-ab.webp?token=a.b.c",
		up->sv.port);
	for (size_t i = 0; i < N(rows); i++) {
		struct buf out = BUF_INIT(1000);
		struct err err = ERR_INIT;
		struct opened o;
		enum err_code rc;

		storage_open(&o, &storage_supabase, env);
		pthread_mutex_lock(&up->sv.lock);
		up->answers[0] = make_answer(rows[i].answer, text, sizeof text);
		up->n = 0;
		pthread_mutex_unlock(&up->sv.lock);
		rc = o.st->sign(o.settings, up->http, STORAGE_OUTPUTS, "owner/job/0-ab.webp", 604800, &out, &err);
		if (rc != rows[i].want || (rows[i].say && !strstr(err.text, rows[i].say)))
			fail_msg("%s: %s: %s", rows[i].name, err_name(rc), err.text);
		ASSERT_ROW(rows[i].name, strcmp(buf_str(&out), rc ? "" : want) == 0);
		ASSERT_ROW(rows[i].name, up->n == 1);
		ASSERT_ROW(rows[i].name, strncmp(up->seen[0].head,
			"POST /storage/v1/object/sign/outputs/owner/job/0-ab.webp HTTP/1.1\r\n", 67) == 0);
		ASSERT_ROW(rows[i].name, head_has(&up->seen[0], "\r\nContent-Type: application/json\r\n"));
		ASSERT_ROW(rows[i].name, up->seen[0].body_len == 20 &&
			memcmp(up->seen[0].body, "{\"expiresIn\":604800}", 20) == 0);
		buf_clear(&out);
		storage_close(&o);
	}
}

static void
nobody_there(void **state)
{
	static const uint8_t sha[SHA256_BYTES];
	struct upstream *up = *state;
	char url[100];
	const char *env[] = { url, "GENGATE_SUPABASE_KEY=" SECRET, NULL };
	struct storage_file file = { .key = "k", .bytes = 1, .type = MEDIA_PNG, .sha256 = sha };
	struct opened o;
	int port;

	close(listen_on_loopback(&port));
	snprintf(url, sizeof url, "GENGATE_SUPABASE_URL=http://127.0.0.1:%d", port);
	storage_open(&o, &storage_supabase, env);
	file.fd = temp_file("x", 1);
	assert_int_equal(o.st->put(o.settings, up->http, &file, NULL), ERR_NOT_SENT);
	close(file.fd);
	storage_close(&o);
}

#define LOCAL(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
#define SUPABASE(name) cmocka_unit_test_setup_teardown(name, start_upstream, stop_upstream)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(public_urls),
		cmocka_unit_test(settings_are_checked),
		LOCAL(files_are_kept),
		LOCAL(large_files_are_whole),
		LOCAL(whole_or_not_at_all),
		LOCAL(what_is_there_stays),
		LOCAL(keys_that_are_none),
		LOCAL(folders_are_no_files),
		LOCAL(links_are_not_followed),
		LOCAL(leftovers_do_no_harm),
		LOCAL(inputs_are_apart),
		LOCAL(the_folder_is_gone),
		LOCAL(files_are_removed),
		LOCAL(local_short_of_memory),
		SUPABASE(what_is_sent),
		SUPABASE(answers),
		SUPABASE(codes_alone),
		SUPABASE(removals),
		SUPABASE(signed_urls),
		SUPABASE(nobody_there),
	};
	int failed;

	if (http_global_init(NULL))
		return 1;
	failed = cmocka_run_group_tests_name("storage", tests, NULL, NULL);
	http_global_cleanup();
	return failed;
}
