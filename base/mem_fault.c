#include "config.h"

#include "base/mem_fault.h"

#ifdef GENGATE_TEST_HOOKS

#ifdef HAVE_EXECINFO_H
#include <execinfo.h>
#endif
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>

#include "base/mem.h"

#define FRAMES_MAX 48
#define PLACES_MAX 65536	/* a power of two */

static struct mem_faults own = { .countdown = -1 };
static struct mem_faults *faults = &own;
static atomic_ullong seen[PLACES_MAX];

/* Before main(), so that nothing was counted elsewhere. */
__attribute__((constructor)) static void
share(void)
{
	const char *prefix = getenv("MEM_FAULT_FILE");
	char path[4096];
	void *page = MAP_FAILED;
	int fd;

	if (!prefix)
		return;
	snprintf(path, sizeof path, "%s.%ld", prefix, (long)getpid());
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd >= 0 && ftruncate(fd, sizeof own) == 0)
		page = mmap(NULL, sizeof own, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd >= 0)
		close(fd);
	if (page == MAP_FAILED)
		abort();
	faults = page;
	atomic_store(&faults->countdown, -1);
}

void
mem_fail_after(long n)
{
	atomic_store(&faults->once, 0);
	atomic_store(&faults->failures, 0);
	atomic_store(&faults->failing, 0);
	atomic_store(&faults->countdown, n);
}

void
mem_fail_once(long n)
{
	mem_fail_after(n);
	atomic_store(&faults->once, 1);
}

int
mem_fail_reset(void)
{
	atomic_store(&faults->countdown, -1);
	atomic_store(&faults->failing, 0);
	return atomic_exchange(&faults->failures, 0) > 0;
}

long
mem_outstanding(void)
{
	return (long)atomic_load(&faults->outstanding);
}

void
mem_count(long by)
{
	atomic_fetch_add(&faults->outstanding, by);
}

static bool
is_counted_down(void)
{
	if (atomic_load(&faults->failing))
		return true;
	if (atomic_load(&faults->countdown) < 0 || atomic_fetch_sub(&faults->countdown, 1) != 0)
		return false;
	atomic_store(&faults->failing, !atomic_load(&faults->once));
	return true;
}

/* FNV-1a over the callers' addresses; never 0. */
static unsigned long long
hash_callers(void)
{
	void *frames[FRAMES_MAX];
#ifdef HAVE_EXECINFO_H
	int n = backtrace(frames, FRAMES_MAX);
#else
	int n = 1;	/* who allocates has to do */

	frames[0] = __builtin_return_address(0);
#endif
	uint64_t hash = 14695981039346656037u;

	for (int i = 0; i < n; i++)
		hash = (hash ^ (uintptr_t)frames[i]) * 1099511628211u;
	return hash ? hash : 1;
}

/* Remember it; false: it was there, or there is no room. */
static bool
is_new(unsigned long long hash)
{
	for (size_t i = 0; i < PLACES_MAX; i++) {
		unsigned long long was = 0;

		if (atomic_compare_exchange_strong(&seen[(hash + i) % PLACES_MAX], &was, hash))
			return true;
		if (was == hash)
			return false;
	}
	return false;
}

static bool
is_new_place(void)
{
	struct timespec ts;
	long long now_us, last_us = atomic_load(&faults->last_us);

	clock_gettime(CLOCK_MONOTONIC, &ts);
	now_us = ts.tv_sec * 1000000LL + ts.tv_nsec / 1000;
	if (now_us - last_us < atomic_load(&faults->spacing_us) || !is_new(hash_callers()))
		return false;
	atomic_store(&faults->last_us, now_us);
	atomic_fetch_add(&faults->places, 1);
	return true;
}

bool
mem_must_fail(void)
{
	bool fails;

	atomic_fetch_add(&faults->allocations, 1);
	fails = is_counted_down() || (atomic_load(&faults->each_place) && is_new_place());
	if (fails)
		atomic_fetch_add(&faults->failures, 1);
	return fails;
}

#endif
