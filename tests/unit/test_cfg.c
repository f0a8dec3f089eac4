#include "config.h"

#include "base/cfg.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/unit.h"

struct settings {
	char *database_url, *token, *ca_file, *note, *name;
	uint64_t threads, pin;
	uint64_t timeout_ms, grace_ms;
	uint64_t max_bytes, any_bytes;
	bool anonymous;
	int storage;
};

static struct settings got;

static const char *const storages[] = { "supabase", "local", NULL };

static const struct cfg_row main_rows[] = {
	{ "database_url", CFG_STR, offsetof(struct settings, database_url),
	  .flags = CFG_REQUIRED, .doc = "Where the database is." },
	{ "token", CFG_STR, offsetof(struct settings, token), .min = 8, .max = 20,
	  .flags = CFG_SECRET, .doc = "API token." },
	{ "ca_file", CFG_STR, offsetof(struct settings, ca_file), .doc = "Certificates." },
	{ "note", CFG_STR, offsetof(struct settings, note), .def = "none",
	  .doc = "A | in the text,\nand a second line that is long enough to be wrapped "
	         "somewhere before its end comes, caf\xc3\xa9." },
	{ "name", CFG_STR, offsetof(struct settings, name), .max = 8, .doc = "Short." },
	CFG_END
};

static const struct cfg_row limit_rows[] = {
	{ "threads", CFG_UINT, offsetof(struct settings, threads),
	  .def = "4", .min = 1, .max = 64, .doc = "Threads." },
	{ "pin", CFG_UINT, offsetof(struct settings, pin), .min = 1000,
	  .flags = CFG_SECRET, .doc = "A number that is secret." },
	{ "job_timeout", CFG_DURATION, offsetof(struct settings, timeout_ms),
	  .def = "10m", .min = 1000, .max = 86400000, .doc = "For all of a job." },
	{ "grace", CFG_DURATION, offsetof(struct settings, grace_ms), .doc = "Grace." },
	{ "max_output_bytes", CFG_SIZE, offsetof(struct settings, max_bytes),
	  .def = "64MB", .max = 1000000000, .doc = "Largest output." },
	{ "any_bytes", CFG_SIZE, offsetof(struct settings, any_bytes),
	  .min = 1, .doc = "No default." },
	{ "allow_anonymous", CFG_BOOL, offsetof(struct settings, anonymous),
	  .def = "no", .doc = "Anybody." },
	{ "storage", CFG_WORD, offsetof(struct settings, storage),
	  .def = "local", .words = storages, .doc = "Where outputs go." },
	CFG_END
};

static const struct cfg_section sections[] = {
	{ "Main", main_rows, &got },
	{ "Limits", limit_rows, &got },
};

static const struct cfg cfg = { sections, 2, NULL };

/* ---- a directory for files ---- */

static char dir[] = "/tmp/gengate-cfg-XXXXXX";
static char conf[64], secret[64], other_secret[64], credential[64];

static int
make_dir(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(conf, sizeof conf, "%s/t.conf", dir);
	snprintf(secret, sizeof secret, "%s/secret", dir);
	snprintf(other_secret, sizeof other_secret, "%s/other", dir);
	snprintf(credential, sizeof credential, "%s/token", dir);
	return 0;
}

static int
remove_dir(void **state)
{
	(void)state;
	unlink(conf);
	unlink(secret);
	return rmdir(dir);
}

static void
write_bytes(const char *path, const char *p, size_t len)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(p, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static void
write_text(const char *path, const char *text)
{
	write_bytes(path, text, strlen(text));
}

/* environ is not const for reasons older than const. */
static char *const *
as_environ(const char *const env[])
{
	return (char *const *)env;
}

/* Load text as the file, and env; mistakes are left in `mistakes`. */
static enum err_code
load(const char *text, const char *const env[], struct buf *mistakes, struct err *err)
{
	memset(&got, 0, sizeof got);
	if (text)
		write_text(conf, text);
	return cfg_load(&cfg, text ? conf : NULL, as_environ(env), mistakes, err);
}

/* ---- kind ---- */

static void
defaults_fill_what_is_not_set(void **state)
{
	const char *env[] = { "PATH=/bin", "GENGATE_DATABASE_URL=postgres:///x", NULL };
	struct buf mistakes = BUF_INIT(4096);

	(void)state;
	assert_int_equal(load(NULL, env, &mistakes, NULL), ERR_OK);
	assert_string_equal(buf_str(&mistakes), "");
	assert_string_equal(got.database_url, "postgres:///x");
	assert_null(got.token);
	assert_null(got.ca_file);
	assert_string_equal(got.note, "none");
	assert_int_equal(got.threads, 4);
	assert_int_equal(got.timeout_ms, 600000);
	assert_int_equal(got.grace_ms, 0);
	assert_int_equal(got.max_bytes, 64000000);
	assert_int_equal(got.any_bytes, 0);
	assert_false(got.anonymous);
	assert_int_equal(got.storage, 1);
	cfg_clear(&cfg);
	assert_null(got.database_url);
	cfg_clear(&cfg);	/* once more does no harm */
	buf_clear(&mistakes);
}

static void
the_file_is_read(void **state)
{
	static const char text[] =
		"\xef\xbb\xbf# a comment\n"
		"\n"
		"   \t \n"
		"  # another = one\n"
		"database_url=postgres://u:p@h/db?a=b#c # d\n"
		"\ttoken \t=\t  12345678  \r\n"
		"note = \"  as it \"is\" # here \"\n"
		"name=\n"
		"threads = 64\n"
		"job_timeout = 90s\n"
		"grace = 0\n"
		"max_output_bytes = 512B\n"
		"any_bytes = \"8kB\"\n"
		"allow_anonymous = on\n"
		"storage = supabase";	/* no newline at the end */
	struct buf mistakes = BUF_INIT(4096);

	(void)state;
	assert_int_equal(load(text, NULL, &mistakes, NULL), ERR_OK);
	assert_string_equal(buf_str(&mistakes), "");
	assert_string_equal(got.database_url, "postgres://u:p@h/db?a=b#c # d");
	assert_string_equal(got.token, "12345678");
	assert_string_equal(got.note, "  as it \"is\" # here ");
	assert_null(got.name);
	assert_int_equal(got.threads, 64);
	assert_int_equal(got.timeout_ms, 90000);
	assert_int_equal(got.grace_ms, 0);
	assert_int_equal(got.max_bytes, 512);
	assert_int_equal(got.any_bytes, 8000);
	assert_true(got.anonymous);
	assert_int_equal(got.storage, 0);
	cfg_clear(&cfg);
	buf_clear(&mistakes);
}

static void
the_environment_wins(void **state)
{
	char path[96];
	const char *env[] = { "GENGATE_THREADS=7", "GENGATE_CA_FILE=/etc/ca.pem", path,
		"GENGATE_NOTE=", "GENGATE_CONFIG=/x", "GENGATE_TEST_DATABASE=y",
		"GENGATE_THREADS=8", "GENGATE", "NO_EQUALS", "XGENGATE_FOO=1", NULL };
	struct buf mistakes = BUF_INIT(4096);

	(void)state;
	snprintf(path, sizeof path, "GENGATE_TOKEN_FILE=%s", secret);
	write_text(secret, " from a file\n\n");
	/* threads is wrong in the file, and overridden. */
	assert_int_equal(load("database_url = x\nthreads = many\ntoken = 12345678\n",
		env, &mistakes, NULL), ERR_OK);
	assert_string_equal(buf_str(&mistakes), "");
	assert_int_equal(got.threads, 7);
	assert_string_equal(got.ca_file, "/etc/ca.pem");
	assert_string_equal(got.token, " from a file\n");
	assert_null(got.note);		/* empty takes the default away */
	cfg_clear(&cfg);
	buf_clear(&mistakes);
}

static void
a_name_that_ends_in_file_has_a_file_too(void **state)
{
	char path[96];
	const char *env[] = { "GENGATE_DATABASE_URL=x", path, NULL };
	struct buf mistakes = BUF_INIT(4096);

	(void)state;
	snprintf(path, sizeof path, "GENGATE_CA_FILE_FILE=%s", secret);
	write_text(secret, "/etc/ca.pem");
	assert_int_equal(load(NULL, env, &mistakes, NULL), ERR_OK);
	assert_string_equal(got.ca_file, "/etc/ca.pem");
	cfg_clear(&cfg);
	buf_clear(&mistakes);
}

/* Each row: the sources that there are, and whose token it is. */
static void
a_secret_comes_from_the_strongest_source(void **state)
{
	static const struct { const char *name; bool file, credential, env_file, env; const char *want; } rows[] = {
		{ .name = "a name with _file in the file", .file = true, .want = "from-file" },
		{ .name = "a credential", .credential = true, .want = "from-credential" },
		{ .name = "a credential goes before the file", .file = true, .credential = true,
		  .want = "from-credential" },
		{ .name = "GENGATE_X_FILE goes before a credential", .file = true, .credential = true,
		  .env_file = true, .want = "from-env-file" },
		{ .name = "GENGATE_X goes before a credential", .file = true, .credential = true,
		  .env = true, .want = "from-env" },
		{ .name = "none", .want = NULL },
	};
	char credentials[96], env_file[96], text[160];

	(void)state;
	write_text(secret, "from-file\r\n");
	write_text(other_secret, "from-env-file\n");
	snprintf(credentials, sizeof credentials, "CREDENTIALS_DIRECTORY=%s", dir);
	snprintf(env_file, sizeof env_file, "GENGATE_TOKEN_FILE=%s", other_secret);
	snprintf(text, sizeof text, "token_file = %s\n", secret);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const char *env[5] = { "GENGATE_DATABASE_URL=x" };
		struct buf mistakes = BUF_INIT(4096);
		size_t n = 1;

		unlink(credential);
		if (rows[i].credential)
			write_text(credential, "from-credential\n");
		env[n++] = credentials;
		if (rows[i].env_file)
			env[n++] = env_file;
		if (rows[i].env)
			env[n++] = "GENGATE_TOKEN=from-env";
		if (load(rows[i].file ? text : "", env, &mistakes, NULL))
			fail_msg("%s: %s", rows[i].name, buf_str(&mistakes));
		if (!rows[i].want)
			assert_null(got.token);
		else if (!got.token || strcmp(got.token, rows[i].want) != 0)
			fail_msg("%s: the token is %s", rows[i].name, got.token);
		cfg_clear(&cfg);
		buf_clear(&mistakes);
	}
	unlink(credential);
	unlink(other_secret);
}

/* Only secrets: what else lies in that folder is not ours. */
static void
a_credential_is_for_secrets_only(void **state)
{
	char credentials[96], path[96];
	const char *env[] = { "GENGATE_DATABASE_URL=x", credentials, NULL };
	struct buf mistakes = BUF_INIT(4096);

	(void)state;
	snprintf(credentials, sizeof credentials, "CREDENTIALS_DIRECTORY=%s", dir);
	snprintf(path, sizeof path, "%s/threads", dir);
	write_text(path, "9\n");
	write_text(credential, "short\n");
	assert_int_equal(load(NULL, env, &mistakes, NULL), ERR_CONFIG);
	assert_string_equal(buf_str(&mistakes),
		"credential token: the value has the wrong length (8 to 20 bytes)\n");
	assert_int_equal(got.threads, 4);
	cfg_clear(&cfg);
	buf_clear(&mistakes);
	unlink(path);
	unlink(credential);
}

static void
mistakes_with_files_of_values(void **state)
{
	char want[512], text[160];
	struct buf mistakes = BUF_INIT(4096);
	char *big = mem_alloc(65537);

	(void)state;
	assert_non_null(big);
	snprintf(text, sizeof text, "database_url = x\ntoken_file = /nowhere\nnote_file = /nowhere\n");
	assert_int_equal(load(text, NULL, &mistakes, NULL), ERR_CONFIG);
	snprintf(want, sizeof want, "%s:2: token_file: its file cannot be read: No such file or directory\n"
		"%s:3: note_file: /nowhere cannot be read: No such file or directory\n", conf, conf);
	assert_string_equal(buf_str(&mistakes), want);
	cfg_clear(&cfg);
	buf_reset(&mistakes);

	snprintf(text, sizeof text, "database_url = x\nnote = a\nnote_file = /nowhere\n");
	assert_int_equal(load(text, NULL, &mistakes, NULL), ERR_CONFIG);
	snprintf(want, sizeof want, "%s:3: note_file: is given twice, first in line 2\n", conf);
	assert_string_equal(buf_str(&mistakes), want);
	cfg_clear(&cfg);
	buf_reset(&mistakes);

	memset(big, 'x', 65537);
	write_bytes(secret, big, 65537);
	snprintf(text, sizeof text, "database_url = x\nnote_file = %s\n", secret);
	assert_int_equal(load(text, NULL, &mistakes, NULL), ERR_CONFIG);
	snprintf(want, sizeof want, "%s:2: note_file: %s cannot be read: it has more than 64 kB\n", conf, secret);
	assert_string_equal(buf_str(&mistakes), want);
	cfg_clear(&cfg);
	buf_reset(&mistakes);

	write_bytes(secret, big, 65536);
	assert_int_equal(load(text, NULL, &mistakes, NULL), ERR_OK);
	assert_int_equal(strlen(got.note), 65536);
	cfg_clear(&cfg);
	buf_clear(&mistakes);
	mem_free(big);
}

/* Each row: the rights of the configuration file and of the value's, and what everybody may. */
static void
files_with_secrets_are_warned_of(void **state)
{
	static const struct { mode_t conf, secret; const char *line, *path_name, *may; } rows[] = {
		{ 0644, 0600, "threads = 5", NULL, NULL },
		{ 0640, 0600, "token = 12345678", NULL, NULL },
		{ 0644, 0600, "token = 12345678", NULL, "read" },
		{ 0646, 0600, "token = 12345678", NULL, "read and change" },
		{ 0642, 0600, "token = 12345678", NULL, "change" },
		{ 0644, 0600, NULL, "token_file", NULL },
		{ 0644, 0644, NULL, "token_file", "read" },
		{ 0644, 0644, NULL, "note_file", NULL },
	};
	const char *env[] = { "GENGATE_DATABASE_URL=x", NULL };

	(void)state;
	write_text(secret, "12345678\n");
	write_text(conf, "");
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct buf mistakes = BUF_INIT(4096), warnings = BUF_INIT(4096);
		struct buf text = BUF_INIT(4096), want = BUF_INIT(4096);
		const struct cfg warned = { sections, 2, &warnings };

		if (rows[i].line)
			buf_puts(&text, rows[i].line);
		else
			buf_printf(&text, "%s = %s", rows[i].path_name, secret);
		write_text(conf, buf_str(&text));
		assert_int_equal(chmod(conf, rows[i].conf), 0);
		assert_int_equal(chmod(secret, rows[i].secret), 0);
		memset(&got, 0, sizeof got);
		assert_int_equal(cfg_load(&warned, conf, as_environ(env), &mistakes, NULL), ERR_OK);
		if (rows[i].may && rows[i].line)
			buf_printf(&want, "%s: it has secrets, and ", conf);
		else if (rows[i].may)
			buf_printf(&want, "%s:1: %s: its file has a secret, and ", conf, rows[i].path_name);
		if (rows[i].may)
			buf_printf(&want, "everybody on this host may %s it; chmod o= it\n", rows[i].may);
		assert_string_equal(buf_str(&warnings), buf_str(&want));
		cfg_clear(&cfg);
		buf_clear(&mistakes);
		buf_clear(&warnings);
		buf_clear(&text);
		buf_clear(&want);
	}
}

/* Nothing of ours is left where /proc/PID/environ shows it. */
static void
the_environment_is_taken(void **state)
{
	char token[] = "GENGATE_TOKEN=12345678", url[] = "GENGATE_DATABASE_URL=x", home[] = "HOME=/",
		config[] = "GENGATE_CONFIG=c", hook[] = "GENGATE_TEST_X=1", folder[] = "CREDENTIALS_DIRECTORY=/nowhere";
	char *env[] = { token, home, config, url, hook, folder, NULL };
	struct buf mistakes = BUF_INIT(4096);
	char **taken = NULL;

	(void)state;
	assert_int_equal(cfg_env_take(env, &taken, NULL), ERR_OK);
	for (size_t i = 0; i < sizeof token; i++)
		assert_int_equal(token[i], 0);
	for (size_t i = 0; i < sizeof url; i++)
		assert_int_equal(url[i], 0);
	assert_ptr_equal(env[0], home);
	assert_ptr_equal(env[1], config);
	assert_ptr_equal(env[2], hook);
	assert_null(env[3]);
	assert_string_equal(hook, "GENGATE_TEST_X=1");
	memset(&got, 0, sizeof got);
	assert_int_equal(cfg_load(&cfg, NULL, taken, &mistakes, NULL), ERR_OK);
	assert_string_equal(got.token, "12345678");
	assert_string_equal(got.database_url, "x");
	cfg_clear(&cfg);
	cfg_env_free(&taken);
	assert_null(taken);
	buf_clear(&mistakes);
}

static void
values_with_units(void **state)
{
	static const struct { const char *text; uint64_t want; } rows[] = {
		{ "grace = 250ms", 250 },
		{ "grace = 90s", 90000 },
		{ "grace = 10m", 600000 },
		{ "grace = 2h", 7200000 },
		{ "grace = 7d", 604800000 },
		{ "grace = 0d", 0 },
		{ "grace = 00", 0 },
		{ "grace = 213503982334d", UINT64_C(18446744073657600000) },
		{ "any_bytes = 1B", 1 },
		{ "any_bytes = 64kB", 64000 },
		{ "any_bytes = 8MB", 8000000 },
		{ "any_bytes = 18446744073GB", UINT64_C(18446744073000000000) },
		{ "any_bytes = 18446744073709551615B", UINT64_MAX },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const char *env[] = { "GENGATE_DATABASE_URL=x", NULL };
		struct buf mistakes = BUF_INIT(4096);

		if (load(rows[i].text, env, &mistakes, NULL))
			fail_msg("%s: %s", rows[i].text, buf_str(&mistakes));
		assert_true(got.grace_ms + got.any_bytes == rows[i].want);
		cfg_clear(&cfg);
		buf_clear(&mistakes);
	}
}

static void
on_and_off_have_many_names(void **state)
{
	static const struct { const char *text; bool want; } rows[] = {
		{ "allow_anonymous = on", true }, { "allow_anonymous = off", false },
		{ "allow_anonymous = yes", true }, { "allow_anonymous = no", false },
		{ "allow_anonymous = true", true }, { "allow_anonymous = false", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const char *env[] = { "GENGATE_DATABASE_URL=x", NULL };
		struct buf mistakes = BUF_INIT(4096);

		assert_int_equal(load(rows[i].text, env, &mistakes, NULL), ERR_OK);
		assert_int_equal(got.anonymous, rows[i].want);
		cfg_clear(&cfg);
		buf_clear(&mistakes);
	}
}

/* ---- hostile ---- */

#define F "t.conf:1: "
#define LONG_WORD "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* One line in the file, and the one mistake that it makes. */
static void
every_mistake_has_its_words(void **state)
{
	static const struct { const char *text, *want; } rows[] = {
		{ "threads", F "this is not of the form name = value" },
		{ "threads: 5", F "this is not of the form name = value" },
		{ "= 5", F "this is not a known name" },
		{ "thread = 5", F "thread is not a known name; did you mean threads?" },
		{ "Threads = 5", F "this is not a known name; did you mean threads?" },
		{ "max-output-bytes = 5", F "this is not a known name; did you mean max_output_bytes?" },
		{ "databse_ulr = 5", F "databse_ulr is not a known name; did you mean database_url?" },
		{ "frobnicate = 5", F "frobnicate is not a known name" },
		{ "q = 5", F "q is not a known name" },
		{ LONG_WORD " = 5", F "this is not a known name" },
		{ "c2vjcmv0c2vjcmv0==", F "this is not a known name" },
		{ "MFRGGZDFMZTWQ2LK=", F "this is not a known name" },
		{ "mfrggzdfmztwq2lk=", F "this is not a known name" },
		{ "x\x1b[31m = 5", F "this is not a known name" },
		{ "note = \"open", F "note: the value begins with a double quote and does not end with one" },
		{ "note = \"", F "note: the value begins with a double quote and does not end with one" },
		{ "note = \"a\" b", F "note: the value begins with a double quote and does not end with one" },
		{ "threads =", F "threads: \"\" is not a whole number" },
		{ "threads = -1", F "threads: \"-1\" is not a whole number" },
		{ "threads = +1", F "threads: \"+1\" is not a whole number" },
		{ "threads = 1.5", F "threads: \"1.5\" is not a whole number" },
		{ "threads = 0x10", F "threads: \"0x10\" is not a whole number" },
		{ "threads = 4 # four", F "threads: \"4 # four\" is not a whole number" },
		{ "threads = 0", F "threads: \"0\" is out of range (1 to 64)" },
		{ "threads = 65", F "threads: \"65\" is out of range (1 to 64)" },
		{ "threads = 18446744073709551616", F "threads: \"18446744073709551616\" is too large" },
		{ "threads = " LONG_WORD, F "threads: \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"... is not a whole number" },
		{ "threads = \x1b[2J", F "threads: \"\\u001b[2J\" is not a whole number" },
		{ "grace = 5", F "grace: \"5\" has no unit; the units are ms, s, m, h, d" },
		{ "grace = 5S", F "grace: \"5S\" has an unknown unit; write it as 5s" },
		{ "grace = 5 s", F "grace: \"5 s\" has an unknown unit; write it as 5s" },
		{ "grace = 5min", F "grace: \"5min\" has an unknown unit; the units are ms, s, m, h, d" },
		{ "grace = 1h30m", F "grace: \"1h30m\" has an unknown unit; the units are ms, s, m, h, d" },
		{ "grace = s", F "grace: \"s\" is not a duration such as 250ms, 90s, 10m, 2h or 7d" },
		{ "grace = -5s", F "grace: \"-5s\" is not a duration such as 250ms, 90s, 10m, 2h or 7d" },
		{ "grace = 213503982335d", F "grace: \"213503982335d\" is too large" },
		{ "job_timeout = 999ms", F "job_timeout: \"999ms\" is out of range (1s to 1d)" },
		{ "job_timeout = 0", F "job_timeout: \"0\" is out of range (1s to 1d)" },
		{ "max_output_bytes = 8M", F "max_output_bytes: \"8M\" has no unit; write it as 8MB" },
		{ "max_output_bytes = 8k", F "max_output_bytes: \"8k\" has no unit; write it as 8kB" },
		{ "max_output_bytes = 8mb", F "max_output_bytes: \"8mb\" has an unknown unit; write it as 8MB" },
		{ "max_output_bytes = 8KB", F "max_output_bytes: \"8KB\" has an unknown unit; write it as 8kB" },
		{ "max_output_bytes = 8 MB", F "max_output_bytes: \"8 MB\" has an unknown unit; write it as 8MB" },
		{ "max_output_bytes = 8MiB", F "max_output_bytes: \"8MiB\" has an unknown unit; the units are B, kB, MB, GB" },
		{ "max_output_bytes = 8", F "max_output_bytes: \"8\" has no unit; the units are B, kB, MB, GB" },
		{ "max_output_bytes = big", F "max_output_bytes: \"big\" is not a size such as 512B, 64kB, 8MB or 1GB" },
		{ "max_output_bytes = 2GB", F "max_output_bytes: \"2GB\" is out of range (at most 1GB)" },
		{ "any_bytes = 0", F "any_bytes: \"0\" is out of range (at least 1B)" },
		{ "any_bytes = 18446744074GB", F "any_bytes: \"18446744074GB\" is too large" },
		{ "allow_anonymous = 1", F "allow_anonymous: \"1\" is neither on nor off" },
		{ "allow_anonymous = ON", F "allow_anonymous: \"ON\" is neither on nor off" },
		{ "allow_anonymous =", F "allow_anonymous: \"\" is neither on nor off" },
		{ "storage = s3", F "storage: \"s3\" is not one of supabase, local" },
		{ "storage =", F "storage: \"\" is not one of supabase, local" },
		{ "name = 123456789", F "name: \"123456789\" has the wrong length (at most 8 bytes)" },
		/* A secret does not show, whatever is wrong with it. */
		{ "token = hush", F "token: the value has the wrong length (8 to 20 bytes)" },
		{ "token = \"hushhush", F "token: the value begins with a double quote and does not end with one" },
		{ "pin = 12x4", F "pin: the value is not a whole number" },
		{ "pin = 999", F "pin: the value is out of range (at least 1000)" },
		{ "token hushhush", F "this is not of the form name = value" },
		{ "token: hush=hush", F "this is not a known name" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const char *env[] = { "GENGATE_DATABASE_URL=x", NULL };
		struct buf mistakes = BUF_INIT(4096), want = BUF_INIT(4096);
		struct err err = ERR_INIT;

		buf_printf(&want, "%s/%s\n", dir, rows[i].want);
		assert_int_equal(load(rows[i].text, env, &mistakes, &err), ERR_CONFIG);
		assert_string_equal(buf_str(&mistakes), buf_str(&want));
		assert_string_equal(err.text, "1 mistake in the configuration");
		assert_null(strstr(buf_str(&mistakes), "hush"));
		cfg_clear(&cfg);
		buf_clear(&want);
		buf_clear(&mistakes);
	}
}

/* The same for the environment. */
static void
environment_mistakes_have_their_words(void **state)
{
	static const struct { const char *one, *two, *want; } rows[] = {
		{ "GENGATE_THREADS=many", NULL, "GENGATE_THREADS: \"many\" is not a whole number" },
		{ "GENGATE_THREADS=", NULL, "GENGATE_THREADS: \"\" is not a whole number" },
		{ "GENGATE_THREADS=a\nb", NULL, "GENGATE_THREADS: \"a\\u000ab\" is not a whole number" },
		{ "GENGATE_TREADS=5", NULL, "environment: GENGATE_TREADS is not a known name; did you mean GENGATE_THREADS?" },
		{ "GENGATE_threads=5", NULL, "environment: GENGATE_threads is not a known name; did you mean GENGATE_THREADS?" },
		{ "GENGATE_TOKN_FILE=hush", NULL, "environment: GENGATE_TOKN_FILE is not a known name; did you mean GENGATE_TOKEN_FILE?" },
		{ "GENGATE_CAFILE=x", NULL, "environment: GENGATE_CAFILE is not a known name; did you mean GENGATE_CA_FILE?" },
		{ "GENGATE_=x", NULL, "environment: this is not a known GENGATE_ name" },
		{ "GENGATE__FILE=x", NULL, "environment: GENGATE__FILE is not a known name; did you mean GENGATE_CA_FILE?" },
		{ "GENGATE_\n=x", NULL, "environment: this is not a known GENGATE_ name" },
		{ "GENGATE_CONFIGS=x", NULL, "environment: GENGATE_CONFIGS is not a known name" },
		{ "GENGATE_" LONG_WORD "=x", NULL, "environment: this is not a known GENGATE_ name" },
		{ "GENGATE_TOKEN=hush", NULL, "GENGATE_TOKEN: the value has the wrong length (8 to 20 bytes)" },
		{ "GENGATE_TOKEN=hushhush", "GENGATE_TOKEN_FILE=/x", "GENGATE_TOKEN: is set, and so is the same name with _FILE; leave one out" },
		{ "GENGATE_TOKEN=", "GENGATE_TOKEN_FILE=/x", "GENGATE_TOKEN: is set, and so is the same name with _FILE; leave one out" },
		{ "GENGATE_TOKEN_FILE=hush/hush", NULL, "GENGATE_TOKEN_FILE: its file cannot be read: No such file or directory" },
		{ "GENGATE_TOKEN_FILE=", NULL, "GENGATE_TOKEN_FILE: its file cannot be read: No such file or directory" },
		{ "GENGATE_NOTE_FILE=/nowhere\n/x", NULL, "GENGATE_NOTE_FILE: /nowhere?/x cannot be read: No such file or directory" },
		{ "GENGATE_NOTE_FILE=/a\x90\xc2\x9b\xc3\xa4\xc2", NULL,
		  "GENGATE_NOTE_FILE: /a???\xc3\xa4? cannot be read: No such file or directory" },
		{ "GENGATE_NOTE_FILE=/", NULL, "GENGATE_NOTE_FILE: / cannot be read: Is a directory" },
		{ "GENGATE_NOTE_FILE=/dev/zero", NULL, "GENGATE_NOTE_FILE: /dev/zero cannot be read: it has more than 64 kB" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const char *env[] = { "GENGATE_DATABASE_URL=x", rows[i].one,
			rows[i].two, NULL };
		struct buf mistakes = BUF_INIT(4096), want = BUF_INIT(4096);

		buf_printf(&want, "%s\n", rows[i].want);
		assert_int_equal(load(NULL, env, &mistakes, NULL), ERR_CONFIG);
		assert_string_equal(buf_str(&mistakes), buf_str(&want));
		assert_null(strstr(buf_str(&mistakes), "hush"));
		cfg_clear(&cfg);
		buf_clear(&want);
		buf_clear(&mistakes);
	}
}

static void
all_mistakes_are_told_at_once(void **state)
{
	const char *env[] = { "GENGATE_GRACE=soon", NULL };
	struct buf mistakes = BUF_INIT(4096), want = BUF_INIT(4096);
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(load("threads = 1\nthreads = 2\nstorage = tape\nnote = fine\nx = 1\n",
		env, &mistakes, &err), ERR_CONFIG);
	buf_printf(&want, "GENGATE_GRACE: \"soon\" is not a duration such as 250ms, 90s, 10m, 2h or 7d\n"
		"%s:2: threads: is given twice, first in line 1\n"
		"%s:3: storage: \"tape\" is not one of supabase, local\n"
		"%s:5: x is not a known name\n"
		"database_url: is required and not set\n", conf, conf, conf);
	assert_string_equal(buf_str(&mistakes), buf_str(&want));
	assert_string_equal(err.text, "5 mistakes in the configuration");
	/* What was right is there, for the checks of combinations. */
	assert_int_equal(got.threads, 1);
	assert_string_equal(got.note, "fine");
	assert_int_equal(got.timeout_ms, 600000);
	cfg_mistake(&mistakes, "auth", "%s needs\n%s", "none", "a loopback public_url");
	buf_puts(&want, "auth: none needs?a loopback public_url\n");
	assert_string_equal(buf_str(&mistakes), buf_str(&want));
	cfg_clear(&cfg);
	buf_clear(&want);
	buf_clear(&mistakes);
}

static void
required_is_not_empty(void **state)
{
	struct buf mistakes = BUF_INIT(4096), want = BUF_INIT(4096);

	(void)state;
	assert_int_equal(load("database_url = \"\"", NULL, &mistakes, NULL), ERR_CONFIG);
	buf_printf(&want, "%s:1: database_url: is required and may not be empty\n", conf);
	assert_string_equal(buf_str(&mistakes), buf_str(&want));
	assert_null(got.database_url);
	cfg_clear(&cfg);
	buf_clear(&want);
	buf_clear(&mistakes);
}

static void
a_full_buffer_keeps_the_first_mistakes(void **state)
{
	struct buf text = BUF_INIT(100000), mistakes = BUF_INIT(300);

	(void)state;
	for (int i = 0; i < 1000; i++)
		buf_puts(&text, "zzz = 1\ny\n");
	assert_int_equal(load(buf_str(&text), NULL, &mistakes, NULL), ERR_CONFIG);
	assert_int_equal(mistakes.err, ERR_OK);
	assert_non_null(strstr(buf_str(&mistakes), "t.conf:1: zzz is not a known name\n"));
	assert_string_equal(buf_str(&mistakes) + mistakes.len - 22, "... and more mistakes\n");
	assert_ptr_equal(strstr(buf_str(&mistakes), "... and more"),
		buf_str(&mistakes) + mistakes.len - 22);
	cfg_clear(&cfg);
	buf_clear(&mistakes);

	mistakes = (struct buf)BUF_INIT(3);
	assert_int_equal(load("x = 1", NULL, &mistakes, NULL), ERR_CONFIG);
	assert_string_equal(buf_str(&mistakes), "");
	cfg_clear(&cfg);
	buf_clear(&mistakes);
	buf_clear(&text);
}

/* Bytes that no text() above can hold. */
static void
strange_files(void **state)
{
	static const char nul[] = "database_url = x\nnote = a\0b\nthreads = 5\n";
	char *big = mem_alloc(1000001);
	const char *env[] = { "GENGATE_DATABASE_URL=x", NULL };
	char path[96];
	struct buf mistakes = BUF_INIT(4096), want = BUF_INIT(4096);

	(void)state;
	assert_non_null(big);
	write_bytes(conf, nul, sizeof nul - 1);
	memset(&got, 0, sizeof got);
	assert_int_equal(cfg_load(&cfg, conf, NULL, &mistakes, NULL), ERR_CONFIG);
	buf_printf(&want, "%s:2: there is a zero byte in this line\n", conf);
	assert_string_equal(buf_str(&mistakes), buf_str(&want));
	assert_int_equal(got.threads, 5);
	cfg_clear(&cfg);
	buf_reset(&want);
	buf_reset(&mistakes);

	memset(big, '\n', 1000001);
	write_bytes(conf, big, 1000000);
	assert_int_equal(cfg_load(&cfg, conf, as_environ(env), &mistakes, NULL), ERR_OK);
	cfg_clear(&cfg);
	write_bytes(conf, big, 1000001);
	assert_int_equal(cfg_load(&cfg, conf, as_environ(env), &mistakes, NULL), ERR_CONFIG);
	buf_printf(&want, "%s: cannot be read: it has more than 1 MB\n", conf);
	assert_string_equal(buf_str(&mistakes), buf_str(&want));
	cfg_clear(&cfg);
	buf_reset(&want);
	buf_reset(&mistakes);

	snprintf(path, sizeof path, "%s/absent", dir);
	assert_int_equal(cfg_load(&cfg, path, as_environ(env), &mistakes, NULL), ERR_CONFIG);
	buf_printf(&want, "%s: cannot be read: No such file or directory\n", path);
	assert_string_equal(buf_str(&mistakes), buf_str(&want));
	cfg_clear(&cfg);
	buf_reset(&want);
	buf_reset(&mistakes);

	write_bytes(secret, "hush\0hush", 9);
	snprintf(path, sizeof path, "GENGATE_TOKEN_FILE=%s", secret);
	assert_int_equal(cfg_load(&cfg, NULL, as_environ((const char *[]){ env[0], path, NULL }),
		&mistakes, NULL), ERR_CONFIG);
	assert_string_equal(buf_str(&mistakes),
		"GENGATE_TOKEN_FILE: its file cannot be read: there is a zero byte in it\n");
	cfg_clear(&cfg);
	buf_clear(&want);
	buf_clear(&mistakes);
	mem_free(big);
}

/* ---- output ---- */

static void
values_can_be_read_again(void **state)
{
	static const char text[] =
		"database_url = postgres:///x\n"
		"token = hushhush\n"
		"note = \"\"  a\" \"\n"
		"name =\n"
		"threads = 7\n"
		"pin = 4711\n"
		"job_timeout = 90s\n"
		"grace = 36h\n"
		"max_output_bytes = 1500kB\n"
		"allow_anonymous = yes\n"
		"storage = supabase\n";
	static const char want[] =
		"# Main\n"
		"database_url = postgres:///x\n"
		"# token is set\n"
		"# ca_file is not set\n"
		"note = \"\"  a\" \"\n"
		"# name is not set\n"
		"\n"
		"# Limits\n"
		"threads = 7\n"
		"# pin is set\n"
		"job_timeout = 90s\n"
		"grace = 36h\n"
		"max_output_bytes = 1500kB\n"
		"# any_bytes is not set\n"
		"allow_anonymous = on\n"
		"storage = supabase\n";
	struct buf mistakes = BUF_INIT(4096), once = BUF_INIT(4096), twice = BUF_INIT(4096);

	(void)state;
	assert_int_equal(load(text, NULL, &mistakes, NULL), ERR_OK);
	cfg_print_values(&cfg, &once);
	cfg_clear(&cfg);
	assert_string_equal(buf_str(&once), want);
	assert_int_equal(load(buf_str(&once), NULL, &mistakes, NULL), ERR_OK);
	assert_string_equal(got.note, "\"  a\" ");
	assert_null(got.token);
	assert_int_equal(got.timeout_ms, 90000);
	assert_int_equal(got.storage, 0);
	cfg_clear(&cfg);

	/* No default when it was taken away, no second line, a zero. */
	assert_int_equal(load("note =\nmax_output_bytes = 0B\n",
		(const char *[]){ "GENGATE_DATABASE_URL=a\nthreads = 1", NULL },
		&mistakes, NULL), ERR_OK);
	cfg_print_values(&cfg, &twice);
	cfg_clear(&cfg);
	assert_non_null(strstr(buf_str(&twice), "# database_url is set, to more than one line\n"));
	assert_non_null(strstr(buf_str(&twice), "\nnote =\n"));
	assert_non_null(strstr(buf_str(&twice), "\nmax_output_bytes = 0\n"));
	assert_non_null(strstr(buf_str(&twice), "\n# token is not set\n"));
	assert_null(strstr(buf_str(&twice), "threads = 1"));
	buf_clear(&twice);
	buf_clear(&once);
	buf_clear(&mistakes);
}

static void
help_keeps_to_80_columns(void **state)
{
	static const char note[] =
		"  note (text, default none)\n"
		"      A | in the text, and a second line that is long enough to be wrapped\n"
		"      somewhere before its end comes, caf\xc3\xa9.\n";
	struct buf out = BUF_INIT(65536);
	const char *p, *nl;

	(void)state;
	cfg_print_help(&cfg, &out);
	assert_ptr_equal(strstr(buf_str(&out), "Main:\n  database_url (text, required)\n"),
		buf_str(&out));
	assert_non_null(strstr(buf_str(&out), note));
	assert_non_null(strstr(buf_str(&out), "  token (text, 8 to 20 bytes, secret)\n"));
	assert_non_null(strstr(buf_str(&out), "\n\nLimits:\n  threads (number, 1 to 64, default 4)\n"));
	assert_non_null(strstr(buf_str(&out), "  storage (word: supabase, local, default local)\n"));
	for (p = buf_str(&out); *p; p = nl + 1) {
		nl = strchr(p, '\n');
		assert_non_null(nl);
		assert_true(nl - p <= 80);
		assert_true(nl == p || nl[-1] != ' ');
	}
	buf_clear(&out);
}

static void
markdown_has_a_table_per_section(void **state)
{
	static const char *const wants[] = {
		"\n# Configuration\n\nA value comes from",
		"\n## Main\n\n| Name | Type | Default | Range or words | Meaning |\n|------|",
		"\n| `database_url` | text | **required** |  | Where the database is. |\n",
		"\n| `token` | text, secret | not set | 8 to 20 bytes | API token. |\n",
		"\n| `note` | text | `none` |  | A \\| in the text, and a second line that",
		"\n\n## Limits\n\n",
		"\n| `job_timeout` | duration | `10m` | 1s to 1d | For all of a job. |\n",
		"\n| `max_output_bytes` | size | `64MB` | at most 1GB | Largest output. |\n",
		"\n| `storage` | word | `local` | `supabase`, `local` | Where outputs go. |\n",
	};
	struct buf out = BUF_INIT(65536);

	(void)state;
	cfg_print_markdown(&cfg, &out);
	for (size_t i = 0; i < sizeof wants / sizeof *wants; i++)
		if (!strstr(buf_str(&out), wants[i]))
			fail_msg("%s not in %s", wants[i], buf_str(&out));
	buf_clear(&out);
}

/* The page is the same for every build; help is about this one. */
static void
a_default_of_the_build_is_shown_by_its_name(void **state)
{
	static struct settings s;
	static const struct cfg_row rows[] = {
		{ "note", CFG_STR, offsetof(struct settings, note), .def = "/opt/x/a|b",
		  .def_doc = "PREFIX/a|b", .doc = "A file." },
		CFG_END
	};
	static const struct cfg_section section = { "Only", rows, &s };
	static const struct cfg one = { &section, 1, NULL };
	struct buf page = BUF_INIT(65536), help = BUF_INIT(65536), mistakes = BUF_INIT(4096);

	(void)state;
	cfg_print_markdown(&one, &page);
	assert_non_null(strstr(buf_str(&page), "\n| `note` | text | `PREFIX/a\\|b` |  | A file. |\n"));
	assert_null(strstr(buf_str(&page), "/opt"));
	cfg_print_help(&one, &help);
	assert_non_null(strstr(buf_str(&help), "default /opt/x/a|b)"));
	assert_int_equal(cfg_load(&one, NULL, NULL, &mistakes, NULL), ERR_OK);
	assert_string_equal(s.note, "/opt/x/a|b");
	cfg_clear(&one);
	buf_clear(&page);
	buf_clear(&help);
	buf_clear(&mistakes);
}

static void
a_secret_default_is_not_shown(void **state)
{
	static struct settings s;
	static const struct cfg_row rows[] = {
		{ "token", CFG_STR, offsetof(struct settings, token), .def = "hush",
		  .flags = CFG_SECRET, .doc = "API token." },
		CFG_END
	};
	static const struct cfg_section section = { "Only", rows, &s };
	static const struct cfg one = { &section, 1, NULL };
	struct buf out = BUF_INIT(65536);

	(void)state;
	assert_int_equal(cfg_load(&one, NULL, NULL, &out, NULL), ERR_OK);
	assert_string_equal(s.token, "hush");
	cfg_print_help(&one, &out);
	cfg_print_values(&one, &out);
	cfg_print_markdown(&one, &out);
	assert_int_equal(out.err, ERR_OK);
	assert_null(strstr(buf_str(&out), "hush"));
	cfg_clear(&one);
	buf_clear(&out);
}

/* ---- faults ---- */

/* ---- a reload ---- */

struct pair {
	char *url, *token;
	uint64_t threads, limit;
	int storage;
};

static const struct cfg_row pair_rows[] = {
	{ "url", CFG_STR, offsetof(struct pair, url), .flags = CFG_RESTART | CFG_SECRET, .doc = "Where." },
	{ "token", CFG_STR, offsetof(struct pair, token), .flags = CFG_SECRET, .doc = "Token." },
	{ "threads", CFG_UINT, offsetof(struct pair, threads), .def = "4", .flags = CFG_RESTART, .doc = "Threads." },
	{ "limit", CFG_DURATION, offsetof(struct pair, limit), .def = "4s", .doc = "Limit." },
	{ "storage", CFG_WORD, offsetof(struct pair, storage), .def = "local", .words = storages, .doc = "Where." },
	CFG_END
};

/* ERR_OK or ERR_NOMEM; what differs, and what was kept. */
static enum err_code
follow(const char *const was_env[], const char *const now_env[], struct pair *now,
	struct buf *changed, struct buf *kept)
{
	struct pair was = { .url = NULL };
	const struct cfg_section before = { "Was", pair_rows, &was }, after = { "Now", pair_rows, now };
	const struct cfg was_cfg = { &before, 1, NULL }, now_cfg = { &after, 1, NULL };
	struct buf mistakes = BUF_INIT(4096);
	enum err_code rc;

	rc = cfg_load(&was_cfg, NULL, as_environ(was_env), &mistakes, NULL);
	if (!rc)
		rc = cfg_load(&now_cfg, NULL, as_environ(now_env), &mistakes, NULL);
	if (!rc)
		rc = cfg_follow(&was_cfg, &now_cfg, changed, kept, NULL);
	cfg_clear(&was_cfg);
	buf_clear(&mistakes);
	return rc;
}

static void
a_reload_keeps_what_needs_a_restart(void **state)
{
	static const struct {
		const char *name, *was[4], *now[4], *changed, *kept, *url, *token;
		uint64_t threads, limit;
	} rows[] = {
		{ "nothing", { "GENGATE_URL=a" }, { "GENGATE_URL=a" }, "", "", "a", NULL, 4, 4000 },
		{ "all that may", { "GENGATE_URL=a", "GENGATE_TOKEN=t1" },
		  { "GENGATE_URL=a", "GENGATE_TOKEN=t2", "GENGATE_LIMIT=9s" }, "token, limit", "", "a", "t2", 4, 9000 },
		{ "what may not", { "GENGATE_URL=a" }, { "GENGATE_URL=b", "GENGATE_THREADS=9" }, "", "url, threads", "a", NULL, 4, 4000 },
		{ "both", { "GENGATE_URL=a" }, { "GENGATE_TOKEN=t", "GENGATE_THREADS=9" }, "token", "url, threads", "a", "t", 4, 4000 },
		{ "from nothing", { NULL }, { "GENGATE_URL=b" }, "", "url", NULL, NULL, 4, 4000 },
		{ "to nothing", { "GENGATE_TOKEN=t" }, { NULL }, "token", "", NULL, NULL, 4, 4000 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct buf changed = BUF_INIT(4096), kept = BUF_INIT(4096);
		struct pair now = { .url = NULL };
		const struct cfg_section section = { "Now", pair_rows, &now };
		const struct cfg now_cfg = { &section, 1, NULL };

		assert_int_equal(follow(rows[i].was, rows[i].now, &now, &changed, &kept), ERR_OK);
		assert_string_equal(buf_str(&changed), rows[i].changed);
		assert_string_equal(buf_str(&kept), rows[i].kept);
		assert_string_equal(now.url ? now.url : "-", rows[i].url ? rows[i].url : "-");
		assert_string_equal(now.token ? now.token : "-", rows[i].token ? rows[i].token : "-");
		assert_int_equal(now.threads, rows[i].threads);
		assert_int_equal(now.limit, rows[i].limit);
		cfg_clear(&now_cfg);
		buf_clear(&changed);
		buf_clear(&kept);
	}
}

static enum err_code
follow_something(void)
{
	static const char *const was[] = { "GENGATE_URL=a", NULL }, *const then[] = { "GENGATE_URL=b", NULL };
	struct buf changed = BUF_INIT(4096), kept = BUF_INIT(4096);
	struct pair now = { .url = NULL };
	const struct cfg_section section = { "Now", pair_rows, &now };
	const struct cfg now_cfg = { &section, 1, NULL };
	enum err_code rc = follow(was, then, &now, &changed, &kept);

	if (!rc)
		rc = kept.err;
	cfg_clear(&now_cfg);
	buf_clear(&changed);
	buf_clear(&kept);
	return rc;
}

static void
restarts_are_said(void **state)
{
	static struct pair pair;
	static const struct cfg_section section = { "Only", pair_rows, &pair };
	static const struct cfg one = { &section, 1, NULL };
	struct buf page = BUF_INIT(65536), help = BUF_INIT(65536);

	(void)state;
	cfg_print_markdown(&one, &page);
	cfg_print_help(&one, &help);
	assert_non_null(strstr(buf_str(&page), "| Threads. Needs a restart. |\n"));
	assert_non_null(strstr(buf_str(&page), "| Limit. |\n"));
	assert_non_null(strstr(buf_str(&help), "      Threads.\n      Needs a restart.\n"));
	buf_clear(&page);
	buf_clear(&help);
}

/* Only right values: rc has to be ERR_OK once memory suffices. */
static enum err_code
load_something(void)
{
	char path[96];
	const char *env[] = { "GENGATE_DATABASE_URL=x", path, NULL };
	struct buf mistakes = BUF_INIT(4096);
	struct err err = ERR_INIT;
	enum err_code rc;

	snprintf(path, sizeof path, "GENGATE_TOKEN_FILE=%s", secret);
	memset(&got, 0, sizeof got);
	rc = cfg_load(&cfg, conf, as_environ(env), &mistakes, &err);
	assert_int_equal(err.code, rc);
	if (rc)
		assert_null(got.database_url);
	cfg_clear(&cfg);
	buf_clear(&mistakes);
	return rc;
}

/* Only mistakes; ERR_CONFIG counts as success here. */
static enum err_code
load_mistakes(void)
{
	const char *env[] = { "GENGATE_TREADS=5", "GENGATE_TOKEN_FILE=/nowhere", NULL };
	struct buf mistakes = BUF_INIT(4096);
	enum err_code rc;

	memset(&got, 0, sizeof got);
	rc = cfg_load(&cfg, conf, as_environ(env), &mistakes, NULL);
	cfg_clear(&cfg);
	buf_clear(&mistakes);
	return rc == ERR_CONFIG ? ERR_OK : rc;
}

/* With a warning, a credential, and an environment that is taken. */
static enum err_code
load_what_was_given(void)
{
	char credentials[96], url[] = "GENGATE_DATABASE_URL=x";
	char *env[] = { url, credentials, NULL }, **taken = NULL;
	struct buf mistakes = BUF_INIT(4096), warnings = BUF_INIT(4096);
	const struct cfg warned = { sections, 2, &warnings };
	enum err_code rc;

	snprintf(credentials, sizeof credentials, "CREDENTIALS_DIRECTORY=%s", dir);
	memset(&got, 0, sizeof got);
	rc = cfg_env_take(env, &taken, NULL);
	if (!rc) {
		rc = cfg_load(&warned, conf, taken, &mistakes, NULL);
		cfg_clear(&warned);
	} else {
		assert_string_equal(url, "GENGATE_DATABASE_URL=x");
		assert_ptr_equal(env[0], url);
	}
	cfg_env_free(&taken);
	buf_clear(&mistakes);
	buf_clear(&warnings);
	return rc;
}

static enum err_code
print_everything(void)
{
	struct buf out = BUF_INIT(65536);
	enum err_code rc;

	memset(&got, 0, sizeof got);
	cfg_print_help(&cfg, &out);
	cfg_print_values(&cfg, &out);
	cfg_print_markdown(&cfg, &out);
	cfg_mistake(&out, "x", "%d", 1);
	rc = out.err;
	buf_clear(&out);
	return rc;
}

static void
short_of_memory(void **state)
{
	enum err_code rc;

	(void)state;
	write_text(secret, "12345678\n");
	write_text(conf, "note = a\nthreads = 5\nstorage = local\n");
	ASSERT_SURVIVES_NOMEM(rc, rc = load_something());
	write_text(conf, "nota = a\nthreads = x\nstorage = \"\n");
	ASSERT_SURVIVES_NOMEM(rc, rc = load_mistakes());
	write_text(conf, "pin = 1234\n");
	assert_int_equal(chmod(conf, 0644), 0);
	write_text(credential, "12345678\n");
	ASSERT_SURVIVES_NOMEM(rc, rc = load_what_was_given());
	unlink(credential);
	ASSERT_SURVIVES_NOMEM(rc, rc = follow_something());
	ASSERT_SURVIVES_NOMEM(rc, rc = print_everything());
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_fill_what_is_not_set),
		cmocka_unit_test(the_file_is_read),
		cmocka_unit_test(the_environment_wins),
		cmocka_unit_test(a_name_that_ends_in_file_has_a_file_too),
		cmocka_unit_test(a_secret_comes_from_the_strongest_source),
		cmocka_unit_test(a_credential_is_for_secrets_only),
		cmocka_unit_test(mistakes_with_files_of_values),
		cmocka_unit_test(files_with_secrets_are_warned_of),
		cmocka_unit_test(the_environment_is_taken),
		cmocka_unit_test(values_with_units),
		cmocka_unit_test(on_and_off_have_many_names),
		cmocka_unit_test(every_mistake_has_its_words),
		cmocka_unit_test(environment_mistakes_have_their_words),
		cmocka_unit_test(all_mistakes_are_told_at_once),
		cmocka_unit_test(required_is_not_empty),
		cmocka_unit_test(a_full_buffer_keeps_the_first_mistakes),
		cmocka_unit_test(strange_files),
		cmocka_unit_test(values_can_be_read_again),
		cmocka_unit_test(help_keeps_to_80_columns),
		cmocka_unit_test(markdown_has_a_table_per_section),
		cmocka_unit_test(a_default_of_the_build_is_shown_by_its_name),
		cmocka_unit_test(a_secret_default_is_not_shown),
		cmocka_unit_test(a_reload_keeps_what_needs_a_restart),
		cmocka_unit_test(restarts_are_said),
		cmocka_unit_test(short_of_memory),
	};

	return cmocka_run_group_tests_name("cfg", tests, make_dir, remove_dir);
}
