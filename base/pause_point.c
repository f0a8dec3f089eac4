#include "config.h"

#include "base/pause_point.h"

#ifdef GENGATE_TEST_HOOKS

#include <signal.h>

#include "base/banned.h"

/* What the file asks for; 0: nothing, or something at another point. */
static int
wanted_signal(const char *path, const char *name)
{
	char at[64] = "", how[8] = "";
	FILE *f = fopen(path, "re");

	if (!f)
		return 0;
	if (fscanf(f, "%63s %7s", at, how) != 2 || strcmp(at, name) != 0)
		how[0] = '\0';
	fclose(f);
	return strcmp(how, "STOP") == 0 ? SIGSTOP : strcmp(how, "KILL") == 0 ? SIGKILL : 0;
}

void
pause_point(const char *name)
{
	const char *path = getenv("PAUSE_POINT_FILE");
	int number = path ? wanted_signal(path, name) : 0;
	char taken[4096];

	if (!number)
		return;
	snprintf(taken, sizeof taken, "%s.%ld", path, (long)getpid());
	/* To this thread, so that it does not get a line further. */
	if (rename(path, taken) == 0)
		(void)raise(number);
}

#endif
