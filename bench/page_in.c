// SPDX-License-Identifier: GPL-2.0
/*
 * How long mmap() and munmap() take concurrently with threads that page a file in.
 *
 * The readers touch pages of the file at random. Each page must come from the disk.
 * The mapping thread maps 64 KiB and unmaps it, over and over. The program prints the
 * median and 99th percentile of these pairs of calls in microseconds, their number, and
 * how many pages the readers touched meanwhile. With -w the threads write instead, to
 * pages that have no block yet.
 */
#define _GNU_SOURCE
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

#include "common.h"

#define PAGE 4096UL
#define MAX_SAMPLES 1000000
#define MAX_THREADS 64

static const char usage[] =
	"usage: page_in [-h] [-w] [-p] [-t THREADS] [-s SECONDS] [-m MIB] FILE\n"
	"  -w  write to pages without a block   -t  threads that touch pages (3)\n"
	"  -s  seconds (5)                      -m  size of FILE, which is made anew (64)\n"
	"  -p  map on CPU 0, page in on the others\n";

static char *file;
static size_t pages = 64 << 8;
static bool writes;
static int stop;
static unsigned long touched;

static void die(const char *what)
{
	fprintf(stderr, "page_in: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e6 + ts.tv_nsec / 1e3;
}

static void *reader(void *arg)
{
	unsigned int seed = (long)arg + 1;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		char *p = file + rand_r(&seed) % pages * PAGE;

		if (writes)
			__atomic_store_n(p, 1, __ATOMIC_RELAXED);
		else
			__atomic_load_n(p, __ATOMIC_RELAXED);
		__atomic_fetch_add(&touched, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static int by_value(const void *a, const void *b)
{
	float x = *(float *)a, y = *(float *)b;

	return (x > y) - (x < y);
}

/* Make a file that is not in the cache: with contents, or for -w all hole. */
static int make_file(const char *name)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
	static char buf[1 << 20];
	size_t i;

	if (fd < 0 || ftruncate(fd, pages * PAGE))
		die(name);
	memset(buf, 1, sizeof(buf));
	for (i = 0; !writes && i < pages * PAGE; i += sizeof(buf))
		if (write(fd, buf, sizeof(buf)) != sizeof(buf))
			die(name);
	if (fsync(fd) || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED))
		die(name);
	return fd;
}

static int number(const char *s, int max)
{
	char *end;
	long n = strtol(s, &end, 10);

	if (*end || n < 1 || n > max) {
		fprintf(stderr, "page_in: %s: not a number from 1 to %d\n", s, max);
		exit(2);
	}
	return n;
}

int main(int argc, char **argv)
{
	static float us[MAX_SAMPLES];
	pthread_t t[MAX_THREADS];
	bool pinned = false;
	int threads = 3, seconds = 5, opt, n = 0;
	double end;
	long i;

	while ((opt = getopt(argc, argv, "wpt:s:m:h")) != -1) {
		switch (opt) {
		case 'w':
			writes = true;
			break;
		case 'p':
			pinned = true;
			break;
		case 't':
			threads = number(optarg, MAX_THREADS);
			break;
		case 's':
			seconds = number(optarg, 3600);
			break;
		case 'm':
			pages = (size_t)number(optarg, 1 << 20) << 8;
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (optind != argc - 1) {
		fputs(usage, stderr);
		return 2;
	}
	file = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
		    make_file(argv[optind]), 0);
	if (file == MAP_FAILED || madvise(file, pages * PAGE, MADV_RANDOM))
		die("mmap");

	if (pinned)
		pin(0);
	for (i = 0; i < threads; i++)
		if (pthread_create(&t[i], NULL, reader, (void *)i))
			die("pthread_create");
	if (pinned)
		pin(1);
	for (end = now_us() + seconds * 1e6; now_us() < end && n < MAX_SAMPLES; n++) {
		double before = now_us();
		char *p = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED || munmap(p, 16 * PAGE))
			die("mmap");
		us[n] = now_us() - before;
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < threads; i++)
		pthread_join(t[i], NULL);
	qsort(us, n, sizeof(*us), by_value);
	printf("%.0f %.0f %d %lu\n", us[n / 2], us[(long)n * 99 / 100], n, touched);
	return 0;
}
