/*
 * Without libFuzzer: gives a target each file of its corpus, or those that are named.
 * As a test, TAP; the corpus is then $srcdir/tests/fuzz/corpus/NAME.  The last line
 * before the end says at which file something did not hold.
 */
#include "config.h"

#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"

static size_t n_inputs;

static void
give(const char *path, size_t size)
{
	/* No byte more than there is, for AddressSanitizer. */
	uint8_t *data = mem_alloc(size ? size : 1);
	FILE *f = fopen(path, "rb");

	MUST(data && f && fread(data, 1, size, f) == size);
	fclose(f);
	printf("# %s\n", path);
	fflush(stdout);
	(void)LLVMFuzzerTestOneInput(data, size);
	n_inputs++;
	mem_free(data);
}

static void replay(const char *path);

static void
replay_folder(const char *path)
{
	struct dirent **names;
	int n = scandir(path, &names, NULL, alphasort);

	MUST(n >= 0);
	for (int i = 0; i < n; i++) {
		struct buf at = BUF_INIT(4096);

		buf_printf(&at, "%s/%s", path, names[i]->d_name);
		MUST(!at.err);
		if (names[i]->d_name[0] != '.')
			replay(buf_str(&at));
		buf_clear(&at);
		free(names[i]);
	}
	free(names);
}

static void
replay(const char *path)
{
	struct stat st;

	if (stat(path, &st)) {
		perror(path);
		exit(1);
	}
	if (S_ISDIR(st.st_mode))
		replay_folder(path);
	else
		give(path, (size_t)st.st_size);
}

/* fuzz_NAME: tests/fuzz/corpus/NAME */
static void
replay_corpus(const char *program)
{
	const char *srcdir = getenv("srcdir"), *slash = strrchr(program, '/'), *name = slash ? slash + 1 : program;
	struct buf path = BUF_INIT(4096);

	MUST(strncmp(name, "fuzz_", 5) == 0);
	buf_printf(&path, "%s/tests/fuzz/corpus/%s", srcdir ? srcdir : ".", name + 5);
	MUST(!path.err);
	replay(buf_str(&path));
	buf_clear(&path);
}

static void
on_abort(int number)
{
	static const char line[] = "not ok 1 - every input holds\n";

	(void)!write(STDOUT_FILENO, line, sizeof line - 1);
	signal(number, SIG_DFL);
	raise(number);
}

int
main(int argc, char *argv[])
{
	signal(SIGABRT, on_abort);
	puts("1..1");
	if (argc < 2)
		replay_corpus(argv[0]);
	for (int i = 1; i < argc; i++)
		replay(argv[i]);
	printf("# %zu inputs\n%s 1 - every input holds\n", n_inputs, n_inputs ? "ok" : "not ok");
	return n_inputs ? 0 : 1;
}
