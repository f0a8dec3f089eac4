/* Not built: mistakes that tests/lint has to find. */
#include <stdlib.h>
#include <string.h>

int
past_the_end(void)
{
	int a[4] = { 0 };

	return a[4];
}

char *
used_after_free(void)
{
	char *p = malloc(4);

	free(p);
	if (p)
		p[0] = 'x';
	return p;
}

size_t
of_null(const char *s)
{
	const char *p = s ? NULL : s;

	return strlen(p);
}
