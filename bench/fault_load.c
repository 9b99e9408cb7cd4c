// SPDX-License-Identifier: GPL-2.0
/*
 * Faults per second of several threads, alone and concurrently with a thread that maps.
 *
 * Each faulting thread touches anonymous memory page after page, in a VMA of its own or
 * in its part of one VMA. It gives all of it back by MADV_DONTNEED, and starts over. All
 * pages are small. The mapping thread maps, protects and unmaps 64 KiB elsewhere in the
 * same address space. Without -p it does not touch what it maps: unmapping a touched
 * page waits for each other CPU to flush its TLB. On an emulator with fewer CPUs than
 * its guest that is a wait for the host's scheduler, which hides the effect of the
 * kernel's locks.
 */
#include <errno.h>
#include <fcntl.h>
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
static long rate;	/* maps/s at the most; 0: no limit */
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

	/* The first touch makes the anon_vma. That is not measured. */
	w->area[0] = 1;
	pthread_barrier_wait(&barrier);
	while (!stopped()) {
		for (i = 0; i < SHARE && !stopped(); i += PAGE) {
			w->area[i] = 1;
			__atomic_store_n(&w->count, w->count + 1, __ATOMIC_RELAXED);
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
		__atomic_store_n(&w->count, w->count + 1, __ATOMIC_RELAXED);
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

static unsigned long count_of(const struct worker *w, long n)
{
	unsigned long sum = 0;

	while (n--)
		sum += __atomic_load_n(&w[n].count, __ATOMIC_RELAXED);
	return sum;
}

static double seconds_since(struct timespec *from)
{
	struct timespec to;

	clock_gettime(CLOCK_MONOTONIC, &to);
	return to.tv_sec - from->tv_sec + (to.tv_nsec - from->tv_nsec) / 1e9;
}

static void sleep_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

#define SWITCH "/proc/sys/vm/per_vma_lock"
#define SETTLE_MS 10	/* after the switch was turned */

/* Faults and maps per second in one window, with the switch off or on */
static void window(int fd, bool on, long ms, const struct worker *w, long threads,
		   bool writer, double rates[2])
{
	unsigned long faults, maps;
	struct timespec a;
	double s;

	if (pwrite(fd, on ? "1" : "0", 1, 0) != 1)
		die(SWITCH);
	sleep_ms(SETTLE_MS);
	faults = count_of(w, threads);
	maps = count_of(w + threads, writer);
	clock_gettime(CLOCK_MONOTONIC, &a);
	sleep_ms(ms);
	s = seconds_since(&a);
	rates[0] = (count_of(w, threads) - faults) / s;
	rates[1] = (count_of(w + threads, writer) - maps) / s;
}

/* Pairs of adjacent windows, one with the switch off, one with it on, in random order */
static void run_pairs(long pairs, long ms, const struct worker *w, long threads,
		      bool writer)
{
	int fd = open(SWITCH, O_WRONLY);
	double rates[2][2];
	long i;

	if (fd < 0)
		die(SWITCH);
	srandom(time(NULL));
	for (i = 0; i < pairs; i++) {
		bool first = random() & 1;

		window(fd, first, ms, w, threads, writer, rates[first]);
		window(fd, !first, ms, w, threads, writer, rates[!first]);
		printf("%.0f %.0f %.0f %.0f\n", rates[0][0], rates[1][0],
		       rates[0][1], rates[1][1]);
		fflush(stdout);
	}
	if (pwrite(fd, "1", 1, 0) != 1)
		die(SWITCH);
	close(fd);
}

static void usage(FILE *f)
{
	fprintf(f, "usage: fault_load [-h] [-t THREADS] [-s MILLISECONDS] [-1] [-w] [-p] [-r RATE]\n"
		"                  [-a PAIRS]\n"
		"Prints faults/s and, with -w, maps/s: two numbers, one line. With -a turns\n"
		"vm.per_vma_lock off and on, PAIRS times, in random order, each for MILLISECONDS:\n"
		"a line a pair, with faults/s off and on, maps/s off and on.\n"
		"  -t  threads that fault (4)    -1  all in one VMA, not one each\n"
		"  -s  how long (1000)           -w  beside one thread that maps\n"
		"                                -p  which touches a page of each\n"
		"                                -r  at most RATE times a second\n");
}

int main(int argc, char **argv)
{
	long threads = 4, ms = 1000, pairs = 0, i;
	bool one = false, writer = false;
	struct timespec a;
	struct worker *w;
	char *all = NULL;
	double s;
	int opt;

	while ((opt = getopt(argc, argv, "t:s:1wpr:a:h")) != -1) {
		switch (opt) {
		case 't': threads = atol(optarg); break;
		case 's': ms = atol(optarg); break;
		case '1': one = true; break;
		case 'w': writer = true; break;
		case 'p': touch = true; break;
		case 'r': rate = atol(optarg); break;
		case 'a': pairs = atol(optarg); break;
		case 'h': usage(stdout); return 0;
		default: usage(stderr); return 2;
		}
	}
	if (optind != argc || threads < 1 || threads > 256 || ms < 1 || rate < 0 || pairs < 0) {
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
	if (pairs)
		run_pairs(pairs, ms, w, threads, writer);
	else
		sleep_ms(ms);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	s = seconds_since(&a);
	for (i = 0; i < threads + writer; i++)
		pthread_join(w[i].thread, NULL);
	if (!pairs)
		printf("%.0f %.0f\n", count_of(w, threads) / s, count_of(w + threads, writer) / s);
	return 0;
}
