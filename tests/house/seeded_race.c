/* A mistake for tests/tsan: two threads count without a lock. */
#include <pthread.h>

static int counter;

static void *
count(void *arg)
{
	(void)arg;
	for (int i = 0; i < 1000; i++)
		counter++;
	return NULL;
}

int
main(void)
{
	pthread_t other;

	if (pthread_create(&other, NULL, count, NULL))
		return 1;
	count(NULL);
	return pthread_join(other, NULL);
}
