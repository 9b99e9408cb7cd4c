// SPDX-License-Identifier: GPL-2.0
/*
 * Page faults for bench/conflicts.c: a thread pinned to each CPU touches small
 * anonymous pages. First all threads do so in one VMA. Then each does so in a VMA of
 * its own: cut out of one mapping, and mapped one after the other. Then all do so in
 * one VMA whose protection changes every 1000 faults. Last they read pages of one VMA
 * by process_vm_readv(). The page tables are there before. Threads share no page table
 * of the lowest level.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "mark.h"

#define PAGE 4096UL
#define FAULTS 2048
#define BATCH 1000		/* faults per mprotect() */
#define WARM 64			/* rounds in which each thread faults once */
#define SLICE (4UL << 20)	/* of a thread: FAULTS pages by two threads */

/* The windows of bench/conflicts.c */
enum { CLOSED, SYSCALLS, ONE_VMA, CUT, MAPPED, PROTECTED, REMOTE };

static long threads = 4;
static int layout;
static char *area;
static pthread_barrier_t barrier;

static void die(const char *what)
{
	fprintf(stderr, "conflicts_load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static bool one_vma(void)
{
	return layout == ONE_VMA || layout == PROTECTED || layout == REMOTE;
}

static size_t stride(void)
{
	return one_vma() ? SLICE : 2 * SLICE;
}

static void touch(char *mem, size_t from, size_t to)
{
	size_t i;

	for (i = from; i < to; i++)
		*(volatile char *)(mem + i * PAGE) = 1;
}

static void give_back(char *mem)
{
	if (madvise(mem, FAULTS / threads * PAGE, MADV_DONTNEED))
		die("madvise");
}

/* Changes nothing that matters to a fault. */
static void change_protection(void)
{
	static int exec = PROT_EXEC;

	if (mprotect(area, threads * SLICE, PROT_READ | PROT_WRITE | exec))
		die("mprotect");
	exec ^= PROT_EXEC;
}

/* One thread changes the protection while the others wait. That is not counted. */
static void fault_in_batches(char *mem, bool writer)
{
	size_t i, n = FAULTS / threads, step = BATCH / threads;

	for (i = 0; i < n; i += step) {
		if (writer)
			change_protection();
		pthread_barrier_wait(&barrier);
		MARK(PROTECTED);
		touch(mem, i, i + step < n ? i + step : n);
		MARK(CLOSED);
		pthread_barrier_wait(&barrier);
	}
}

/* Each call reads an absent page, so each call has a fault. */
static void read_remote(char *mem)
{
	static __thread char buffer[PAGE];
	struct iovec local = { buffer, 1 }, remote = { mem, 1 };
	pid_t self = getpid();
	size_t i;

	memset(buffer, 1, PAGE);
	MARK(REMOTE);
	for (i = 0; i < FAULTS / threads; i++) {
		remote.iov_base = mem + i * PAGE;
		if (process_vm_readv(self, &local, 1, &remote, 1, 0) != 1)
			die("process_vm_readv");
	}
	MARK(CLOSED);
}

static void *fault(void *arg)
{
	long n = (long)arg;
	char *mem = area + n * stride();
	unsigned char vec;
	cpu_set_t cpus;
	int i;

	CPU_ZERO(&cpus);
	CPU_SET(n, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		die("sched_setaffinity");
	touch(mem, 0, FAULTS / threads);
	give_back(mem);
	/* Fault in turn: so the kernel sees that one VMA has many users. */
	for (i = 0; i < WARM; i++) {
		pthread_barrier_wait(&barrier);
		touch(mem, i % (FAULTS / threads), i % (FAULTS / threads) + 1);
	}
	give_back(mem);

	/* A call that takes mmap_lock for read: it shows the lines of mmap_lock. */
	MARK(SYSCALLS);
	for (i = 0; i < 8; i++)
		mincore(mem, PAGE, &vec);
	MARK(CLOSED);

	pthread_barrier_wait(&barrier);
	if (layout == PROTECTED) {
		fault_in_batches(mem, !n);
	} else if (layout == REMOTE) {
		read_remote(mem);
	} else {
		if (layout == ONE_VMA)
			MARK(ONE_VMA);
		else if (layout == CUT)
			MARK(CUT);
		else
			MARK(MAPPED);
		touch(mem, 0, FAULTS / threads);
		MARK(CLOSED);
	}
	/* No thread may exit, and unmap its stack, while others still fault. */
	pthread_barrier_wait(&barrier);
	return NULL;
}

/* How many writable VMAs lie in [start, end) */
static long vmas(char *start, char *end)
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned long a, b;
	long n = 0;
	char w;

	if (!f)
		die("/proc/self/maps");
	while (fscanf(f, "%lx-%lx %*c%c%*[^\n]", &a, &b, &w) == 3)
		n += a < (uintptr_t)end && b > (uintptr_t)start && w == 'w';
	fclose(f);
	return n;
}

static void run(void)
{
	size_t size = (2 * threads + 1) * SLICE;
	pthread_t t[threads];
	char *mem;
	long i;

	mem = mmap(NULL, size, PROT_NONE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mem == MAP_FAILED)
		die("mmap");
	area = (char *)(((uintptr_t)mem + SLICE) & ~(SLICE - 1));
	if (layout == MAPPED && munmap(mem, size))
		die("munmap");
	for (i = 0; i < (one_vma() ? 1 : threads); i++) {
		char *slice = area + i * stride();

		if (layout == MAPPED ?
		    mmap(slice, SLICE, PROT_READ | PROT_WRITE, MAP_PRIVATE |
			 MAP_ANONYMOUS | MAP_FIXED, -1, 0) != slice :
		    mprotect(slice, layout == CUT ? SLICE : threads * SLICE,
			     PROT_READ | PROT_WRITE))
			die("mmap, mprotect");
	}
	if (vmas(mem, mem + size) != (one_vma() ? 1 : threads)) {
		fprintf(stderr, "conflicts_load: not the VMAs that were wanted\n");
		exit(1);
	}

	pthread_barrier_init(&barrier, NULL, threads);
	for (i = 0; i < threads; i++)
		if (pthread_create(&t[i], NULL, fault, (void *)i))
			die("pthread_create");
	for (i = 0; i < threads; i++)
		pthread_join(t[i], NULL);
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "-h")) {
		printf("usage: conflicts_load [-h] [THREADS]\n"
		       "%d page faults of THREADS (4; 2 to 64), in one VMA and in one for each.\n",
		       FAULTS);
		return 0;
	}
	if (argc > 1)
		threads = atol(argv[1]);
	if (argc > 2 || threads < 2 || threads > 64) {
		fprintf(stderr, "conflicts_load: THREADS is a number from 2 to 64\n");
		return 2;
	}
	/* Not by madvise() of each thread, which would split the shared VMA */
	if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0))
		die("prctl");
	for (layout = ONE_VMA; layout <= REMOTE; layout++)
		run();
	return 0;
}
