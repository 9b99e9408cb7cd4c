// SPDX-License-Identifier: GPL-2.0
/*
 * One thread's long call and another thread's mmap() and munmap(): a call that
 * faults in much gives way to a waiter for mmap_lock. Counted, not timed:
 * how often the other thread maps while the call runs.
 */
#define _GNU_SOURCE
#include <sys/uio.h>

#include "vma_lock.h"

/* 64 pieces of 512 pages; more where that takes no memory, and little time */
#define SIZE (128UL << 20)
#define SIZE_READ (1UL << 30)
/*
 * A kernel that holds mmap_lock for the whole call lets one or two by. One that
 * gives way may do so less often where CPUs are shared with others: once more.
 */
#define MAPS 8
#define TRIES 10

static struct {
	int stop;
	long maps;
} mapper;

static char *area, *buffer;
static size_t size;

static void *maps(void *unused)
{
	while (!LOAD(&mapper.stop)) {
		char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			ksft_exit_fail_msg("mmap: %s\n", strerror(errno));
		*p = 1;
		munmap(p, PAGE);
		STORE(&mapper.maps, mapper.maps + 1);
	}
	return NULL;
}

/* Is each page of the area there? */
static bool resident(void)
{
	static unsigned char there[SIZE_READ / PAGE];
	unsigned long i;

	if (mincore(area, size, there))
		return false;
	for (i = 0; i < size / PAGE; i++)
		if (!(there[i] & 1))
			return false;
	return true;
}

static int populate_write(void)
{
	return madvise(area, size, 23 /* MADV_POPULATE_WRITE */);
}

static int populate_read(void)
{
	return madvise(area, size, 22 /* MADV_POPULATE_READ */);
}

static int map_populate(void)
{
	return mmap(area, size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE,
		    -1, 0) == area ? 0 : -1;
}

static int lock_all(void)
{
	return mlock(area, size);
}

static int write_other(void)
{
	struct iovec local = { buffer, SIZE }, remote = { area, SIZE };

	return process_vm_writev(getpid(), &local, 1, &remote, 1, 0) == SIZE ?
		0 : -1;
}

static const struct {
	const char *name;
	int (*call)(void);
	long maps;
} calls[] = {
	{ "MADV_POPULATE_WRITE gives way", populate_write, MAPS },
	{ "MADV_POPULATE_READ gives way", populate_read, MAPS },
	{ "MAP_POPULATE gives way", map_populate, MAPS },
	{ "mlock gives way", lock_all, MAPS },
	/* Copies without mmap_lock: any kernel lets others by. The contents count. */
	{ "process_vm_writev copies right", write_other, 0 },
};

#define NR_CALLS ((int)(sizeof(calls) / sizeof(*calls)))

/* How often the other thread maps during the call, or -1 if that goes wrong. */
static long maps_during(int i)
{
	long before, during;
	pthread_t thread;
	bool done;

	size = calls[i].call == populate_read ? SIZE_READ : SIZE;
	area = map_area(size, false, PROT_READ | PROT_WRITE);
	mapper.stop = mapper.maps = 0;
	thread = start(maps, NULL);
	while (!LOAD(&mapper.maps))
		sched_yield();
	before = LOAD(&mapper.maps);
	done = !calls[i].call();
	during = LOAD(&mapper.maps) - before;
	STORE(&mapper.stop, 1);
	pthread_join(thread, NULL);
	done = done && resident();
	if (done && calls[i].call == write_other)
		done = !memcmp(area, buffer, size);
	munmap(area, size);
	return done ? during : -1;
}

static void test(int i)
{
	long n = 0;
	int try;

	for (try = 0; !try || (try < TRIES && n >= 0 && n < calls[i].maps); try++) {
		n = maps_during(i);
		ksft_print_msg("%s: mapped %ld times meanwhile\n",
			       calls[i].name, n);
	}
	ksft_test_result(n >= calls[i].maps, "%s\n", calls[i].name);
}

/* The rest of the range goes while it is faulted in. */
static void *unmaps(void *unused)
{
	while (!LOAD(area))
		;
	munmap(area + SIZE / 2, SIZE / 2);
	return NULL;
}

static void test_unmap(void)
{
	pthread_t thread;
	int err;

	size = SIZE;
	area = map_area(size, false, PROT_READ | PROT_WRITE);
	thread = start(unmaps, NULL);
	*area = 1;
	err = populate_write() ? errno : 0;
	pthread_join(thread, NULL);
	munmap(area, SIZE / 2);
	ksft_test_result(!err || err == ENOMEM,
			 "MADV_POPULATE_WRITE, the rest is unmapped: %s\n",
			 strerror(err));
}

int main(int argc, char **argv)
{
	unsigned long i;

	ksft_print_header();
	ksft_set_plan(NR_CALLS + 1);
	buffer = map_area(SIZE, false, PROT_READ | PROT_WRITE);
	for (i = 0; i < SIZE; i += PAGE)
		*(unsigned long *)(buffer + i) = i;
	for (i = 0; i < NR_CALLS; i++)
		test(i);
	test_unmap();
	ksft_finished();
}
