// SPDX-License-Identifier: GPL-2.0
/*
 * Faults a second of several threads, alone and beside one that maps.
 *
 * Each faulting thread touches a page after the other of anonymous memory (its
 * own VMA, or a part of one VMA), gives all of it back with MADV_DONTNEED, and
 * starts over; small pages only. The mapping thread maps, protects and unmaps
 * 64 KiB elsewhere in the same address space. It does not touch what it maps,
 * unless told to: unmapping a touched page waits for each other CPU to flush its
 * TLB, which on an emulator with fewer CPUs than its guest is a wait for the
 * host's scheduler, and hides what the kernel's locks do.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#define SHARE (512 * PAGE)
#define GAP (2UL << 20)

static int stop;
static bool touch;
static long rate;	/* maps/s at the most; 0: as many as there can be */
static pthread_barrier_t barrier;

struct worker {
	pthread_t thread;
	char *area;
	unsigned long count;
} __attribute__((aligned(128)));

static void die(const char *what)
{
	fprintf(stderr, "fault_load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static bool stopped(void)
{
	return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}

static void *fault(void *arg)
{
	struct worker *w = arg;
	size_t i;

	/* The first touch makes the anon_vma; it is not what is measured. */
	w->area[0] = 1;
	pthread_barrier_wait(&barrier);
	while (!stopped()) {
		for (i = 0; i < SHARE && !stopped(); i += PAGE) {
			w->area[i] = 1;
			w->count++;
		}
		if (madvise(w->area, SHARE, MADV_DONTNEED))
			die("madvise");
	}
	return NULL;
}

static void *map(void *arg)
{
	struct worker *w = arg;
	struct timespec next;

	pthread_barrier_wait(&barrier);
	clock_gettime(CLOCK_MONOTONIC, &next);
	while (!stopped()) {
		char *p = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			die("mmap");
		if (touch)
			*p = 1;
		if (mprotect(p, PAGE, PROT_READ) || munmap(p, 16 * PAGE))
			die("mprotect, munmap");
		w->count++;
		if (!rate)
			continue;
		next.tv_nsec += 1000000000 / rate;
		next.tv_sec += next.tv_nsec / 1000000000;
		next.tv_nsec %= 1000000000;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
	}
	return NULL;
}

static char *area(size_t size)
{
	char *p = mmap(NULL, size + 2 * GAP, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	if (madvise(p, size + 2 * GAP, MADV_NOHUGEPAGE) && errno != EINVAL)
		die("madvise");
	if (mprotect(p + GAP, size, PROT_READ | PROT_WRITE))
		die("mprotect");
	return p + GAP;
}

static void usage(FILE *f)
{
	fprintf(f, "usage: fault_load [-h] [-t THREADS] [-s MILLISECONDS] [-1] [-w] [-p] [-r RATE]\n"
		"Prints faults/s and, with -w, maps/s: two numbers, one line.\n"
		"  -t  threads that fault (4)    -1  all in one VMA, not one each\n"
		"  -s  how long (1000)           -w  beside one thread that maps\n"
		"                                -p  which touches a page of each\n"
		"                                -r  at most RATE times a second\n");
}

int main(int argc, char **argv)
{
	long threads = 4, ms = 1000, i;
	bool one = false, writer = false;
	struct timespec a, b, d;
	unsigned long faults = 0;
	struct worker *w;
	char *all = NULL;
	double s;
	int opt;

	while ((opt = getopt(argc, argv, "t:s:1wpr:h")) != -1) {
		switch (opt) {
		case 't': threads = atol(optarg); break;
		case 's': ms = atol(optarg); break;
		case '1': one = true; break;
		case 'w': writer = true; break;
		case 'p': touch = true; break;
		case 'r': rate = atol(optarg); break;
		case 'h': usage(stdout); return 0;
		default: usage(stderr); return 2;
		}
	}
	if (optind != argc || threads < 1 || threads > 256 || ms < 1 || rate < 0) {
		usage(stderr);
		return 2;
	}

	w = aligned_alloc(128, (threads + 1) * sizeof(*w));
	if (!w)
		die("malloc");
	memset(w, 0, (threads + 1) * sizeof(*w));
	if (one)
		all = area(threads * SHARE);
	pthread_barrier_init(&barrier, NULL, threads + writer + 1);
	for (i = 0; i < threads + writer; i++) {
		if (i < threads)
			w[i].area = one ? all + i * SHARE : area(SHARE);
		if (pthread_create(&w[i].thread, NULL, i < threads ? fault : map, &w[i]))
			die("pthread_create");
	}
	pthread_barrier_wait(&barrier);
	clock_gettime(CLOCK_MONOTONIC, &a);
	d.tv_sec = ms / 1000;
	d.tv_nsec = ms % 1000 * 1000000;
	nanosleep(&d, NULL);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	clock_gettime(CLOCK_MONOTONIC, &b);
	for (i = 0; i < threads + writer; i++) {
		pthread_join(w[i].thread, NULL);
		if (i < threads)
			faults += w[i].count;
	}
	s = b.tv_sec - a.tv_sec + (b.tv_nsec - a.tv_nsec) / 1e9;
	printf("%.0f %.0f\n", faults / s, writer ? w[threads].count / s : 0);
	return 0;
}
