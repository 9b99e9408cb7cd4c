// SPDX-License-Identifier: GPL-2.0
/*
 * How long mmap() and munmap() take while others read /proc/PID/maps. A process with
 * many VMAs maps and unmaps a page. Other processes read its maps over and over.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "common.h"

#define PAGE 4096UL

static unsigned long *reads;

static void read_maps(pid_t pid)
{
	static char buf[4096], path[64];
	int fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != pid)
		_exit(1);
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	for (;;) {
		fd = open(path, O_RDONLY);
		must(fd >= 0, path);
		while (read(fd, buf, sizeof(buf)) > 0)
			;
		close(fd);
		__atomic_fetch_add(reads, 1, __ATOMIC_RELAXED);
	}
}

static void usage(FILE *f)
{
	fprintf(f, "usage: map_latency [-h] [-p] [-r READERS] [-n VMAS] [-s MILLISECONDS]\n"
		"Prints a line for each length that occurred: microseconds (rounded to\n"
		"three digits in binary), and how many mmap() or munmap() took it.\n"
		"  -r  processes that read /proc/PID/maps (2)    -s  how long (1000)\n"
		"  -n  VMAs of the process (10000)               -p  map on CPU 0, read on the others\n");
}

int main(int argc, char **argv)
{
	/* Three bits below the leading one: a bucket is 12% wide at most. */
	static unsigned long count[64 * 8];
	long readers = 2, vmas = 10000, ms = 1000, until;
	pid_t pid = getpid();
	int opt, pinned = 0;

	while ((opt = getopt(argc, argv, "r:n:s:ph")) != -1) {
		switch (opt) {
		case 'r': readers = atol(optarg); break;
		case 'n': vmas = atol(optarg); break;
		case 's': ms = atol(optarg); break;
		case 'p': pinned = 1; break;
		case 'h': usage(stdout); return 0;
		default: usage(stderr); return 2;
		}
	}
	if (optind != argc || readers < 0 || readers > 256 || vmas < 1 || vmas > 60000 || ms < 1) {
		usage(stderr);
		return 2;
	}

	char *p = mmap(NULL, vmas * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(p != MAP_FAILED, "mmap");
	for (int i = 0; i < vmas; i += 2)
		must(!mprotect(p + i * PAGE, PAGE, PROT_READ | PROT_WRITE), "mprotect");
	reads = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(reads != MAP_FAILED, "mmap");
	for (long i = 0; i < readers; i++) {
		pid_t child = fork();

		must(child >= 0, "fork");
		if (!child) {
			if (pinned)
				pin(0);
			read_maps(pid);
		}
	}
	if (pinned)
		pin(1);
	/* Wait until the readers read. */
	while (__atomic_load_n(reads, __ATOMIC_RELAXED) < (unsigned long)readers)
		;

	for (until = now() + ms * 1000000; now() < until;) {
		long took[2], a = now();

		p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		took[0] = now() - a;
		must(p != MAP_FAILED, "mmap");
		a = now();
		must(!munmap(p, PAGE), "munmap");
		took[1] = now() - a;
		for (int i = 0; i < 2; i++) {
			unsigned long t = took[i] < 8 ? 8 : took[i];
			int top = 63 - __builtin_clzl(t);

			count[top * 8 + (t >> (top - 3)) % 8]++;
		}
	}
	for (int i = 0; i < 64 * 8; i++)
		if (count[i])
			printf("%.3f %lu\n", (8 + i % 8) * (double)(1UL << (i / 8 - 3)) / 1000, count[i]);
	return 0;
}
