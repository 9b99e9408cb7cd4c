// SPDX-License-Identifier: GPL-2.0
/*
 * A long call in one thread, and how long mmap(), first touch and munmap() of a page
 * take in another thread meanwhile, and a fault in a VMA that stays. Only samples that
 * overlap with a call are counted.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/mempolicy.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common.h"

#define PAGE 4096UL
#define GAP (2UL << 20)
#define SAMPLES (1 << 20)

static size_t size = 256UL << 20;
static char *area, *other;
/* Odd while the call runs */
static unsigned long calling;
static int stop, pinned;

/* Apart from other mappings, so that it merges with none */
static char *map(size_t bytes)
{
	char *p = mmap(NULL, bytes + 2 * GAP, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	must(p != MAP_FAILED, "mmap");
	p += GAP;
	must(!mprotect(p, bytes, PROT_READ | PROT_WRITE), "mprotect");
	madvise(p, bytes, MADV_NOHUGEPAGE);
	return p;
}

static void touch(char *p)
{
	size_t i;

	for (i = 0; i < size; i += PAGE)
		*(volatile char *)(p + i) = 1;
}

static void drop(void) { madvise(area, size, MADV_DONTNEED); }
static void fill(void) { touch(area); }
static void nothing(void) { }

static void idle(void) { usleep(100000); }

/* No call, but the CPU is busy, and takes part in each flush of TLBs. */
static void compute(void)
{
	long until = now() + 100000000;

	while (now() < until)
		touch(area);
}

/* Many short holds of mmap_lock. The mappings merge with no other. */
static void map_small(void)
{
	int i;

	for (i = 0; i < 1000; i++) {
		char *p = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		must(p != MAP_FAILED && !munmap(p, 16 * PAGE), "mmap");
	}
}

static void populate(void) { must(!madvise(area, size, 23), "MADV_POPULATE_WRITE"); }
static void do_mlock(void) { must(!mlock(area, size), "mlock"); }
static void unlock_and_drop(void) { munlock(area, size); drop(); }
static void dontneed(void) { drop(); }
static void pageout(void) { madvise(area, size, 21); }

static void map_populate(void)
{
	must(mmap(area, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS |
		  MAP_FIXED | MAP_POPULATE, -1, 0) == area, "mmap");
}

static void protect(void)
{
	must(!mprotect(area, size, PROT_READ), "mprotect");
	must(!mprotect(area, size, PROT_READ | PROT_WRITE), "mprotect");
}

static void unmap(void) { must(!munmap(area, size), "munmap"); }

static void map_and_fill(void)
{
	must(mmap(area, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS |
		  MAP_FIXED, -1, 0) == area, "mmap");
	madvise(area, size, MADV_NOHUGEPAGE);
	touch(area);
}

static void move(void)
{
	char *to = mremap(area, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, other);

	must(to == other, "mremap");
	other = area;
	area = to;
}

static void do_fork(void)
{
	pid_t pid = fork();

	must(pid >= 0, "fork");
	if (!pid)
		_exit(0);
	waitpid(pid, NULL, 0);
}

/* Read @bytes of a file in /proc from @from on, in a process of its own. */
static void read_file(const char *name, off_t from, size_t bytes)
{
	static char buf[65536];
	ssize_t n = 1;
	char path[64];
	int fd, status;
	pid_t pid = getpid(), child = vfork();

	if (!child) {
		if (pinned)
			pin(0);
		snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
		fd = open(path, O_RDONLY);
		for (; fd >= 0 && bytes && n > 0; from += n, bytes -= n)
			n = pread(fd, buf, bytes < sizeof(buf) ? bytes :
				  sizeof(buf), from);
		_exit(fd < 0);
	}
	must(child > 0 && waitpid(child, &status, 0) == child && !status, name);
}

static void smaps(void) { read_file("smaps", 0, SIZE_MAX); }
static void smaps_rollup(void) { read_file("smaps_rollup", 0, SIZE_MAX); }
static void numa_maps(void) { read_file("numa_maps", 0, SIZE_MAX); }

static void readv_other(void)
{
	struct iovec to = { other, size }, from = { area, size };

	must(process_vm_readv(getpid(), &to, 1, &from, 1, 0) == (ssize_t)size,
	     "process_vm_readv");
}

/* 8 bytes for each page */
static void pagemap(void)
{
	read_file("pagemap", (unsigned long)area / PAGE * 8, size / PAGE * 8);
}

static int uffd = -1;

static void set_protection(unsigned long mode)
{
	struct uffdio_writeprotect wp = {
		.range = { (unsigned long)area, size }, .mode = mode,
	};

	must(!ioctl(uffd, UFFDIO_WRITEPROTECT, &wp), "UFFDIO_WRITEPROTECT");
}

static void allow(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { (unsigned long)area, size },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};

	if (uffd >= 0) {
		set_protection(0);
		return;
	}
	fill();
	uffd = syscall(__NR_userfaultfd, 0);
	must(uffd >= 0 && !ioctl(uffd, UFFDIO_API, &api) &&
	     !ioctl(uffd, UFFDIO_REGISTER, &reg), "userfaultfd");
}

static void write_protect(void) { set_protection(UFFDIO_WRITEPROTECT_MODE_WP); }

static int ring = -1;

static void open_ring(void)
{
	struct io_uring_params params = { 0 };

	if (ring < 0)
		ring = syscall(__NR_io_uring_setup, 1, &params);
	else
		syscall(__NR_io_uring_register, ring, IORING_UNREGISTER_BUFFERS,
			NULL, 0);
	must(ring >= 0, "io_uring_setup");
	drop();
}

static void register_buffers(void)
{
	struct iovec iov = { area, size };

	must(!syscall(__NR_io_uring_register, ring, IORING_REGISTER_BUFFERS, &iov,
		      1), "io_uring_register");
}

/* All pages are moved to one node, and then to the other. */
static void bind_to(unsigned long nodes)
{
	must(!syscall(__NR_mbind, area, size, MPOL_BIND, &nodes, 8, MPOL_MF_MOVE),
	     "mbind to a second node");
}

static void move_to_node(void)
{
	bind_to(1);
	bind_to(2);
}

/* A driver's ->mmap, in a process with many VMAs */
#define VMAS 10000

static void make_vmas(void)
{
	static char *many;
	int i;

	if (many)
		return;
	many = map(VMAS * PAGE);
	for (i = 0; i < VMAS; i += 2)
		must(!mprotect(many + i * PAGE, PAGE, PROT_READ), "mprotect");
}

static void map_device(void)
{
	int fd = open("/dev/zero", O_RDONLY), i;

	for (i = 0; i < 1000; i++) {
		char *p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);

		must(p != MAP_FAILED && !munmap(p, PAGE), "mmap of /dev/zero");
	}
	close(fd);
}

static const struct {
	const char *name;
	void (*before)(void), (*call)(void);
} calls[] = {
	{ "nothing", nothing, idle },
	{ "computation", fill, compute },
	{ "mmap", nothing, map_small },
	{ "MADV_POPULATE_WRITE", drop, populate },
	{ "MAP_POPULATE", drop, map_populate },
	{ "mlock", unlock_and_drop, do_mlock },
	{ "process_vm_readv", drop, readv_other },
	{ "io_uring_register", open_ring, register_buffers },
	{ "smaps", fill, smaps },
	{ "smaps_rollup", fill, smaps_rollup },
	{ "numa_maps", fill, numa_maps },
	{ "pagemap", fill, pagemap },
	{ "mprotect", fill, protect },
	{ "MADV_DONTNEED", fill, dontneed },
	{ "MADV_PAGEOUT", fill, pageout },
	{ "munmap", map_and_fill, unmap },
	{ "mremap", fill, move },
	{ "fork", fill, do_fork },
	{ "UFFDIO_WRITEPROTECT", allow, write_protect },
	{ "mbind", fill, move_to_node },
	/* This is the last, for its VMAs stay. */
	{ "/dev/zero,10000_VMAs", make_vmas, map_device },
};

#define NR_CALLS ((int)(sizeof(calls) / sizeof(*calls)))

static long *total, *first, *fault;
static long samples;

static void *mapper(void *unused)
{
	unsigned long epoch;
	long a, b, c, d, e, f;
	char *p, *stays = map(PAGE);

	if (pinned)
		pin(1);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		epoch = __atomic_load_n(&calling, __ATOMIC_RELAXED);
		a = now();
		p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		must(p != MAP_FAILED, "mmap");
		b = now();
		*(volatile char *)p = 1;
		c = now();
		must(!munmap(p, PAGE), "munmap");
		d = now();
		madvise(stays, PAGE, MADV_DONTNEED);
		e = now();
		*(volatile char *)stays = 1;
		f = now();
		if (!(epoch & 1) && epoch == __atomic_load_n(&calling, __ATOMIC_RELAXED))
			continue;
		if (samples < SAMPLES) {
			total[samples] = d - a;
			first[samples] = c - b;
			fault[samples++] = f - e;
		}
	}
	munmap(stays, PAGE);
	return NULL;
}

static int by_length(const void *a, const void *b)
{
	long x = *(const long *)a, y = *(const long *)b;

	return (x > y) - (x < y);
}

static double at(long *list, double p)
{
	return samples ? list[(long)((samples - 1) * p)] / 1000.0 : 0;
}

static void measure(int i, long ms)
{
	long until, n = 0;
	pthread_t thread;

	samples = stop = 0;
	area = map(size);
	other = map(size);
	touch(other);
	calls[i].before();
	must(!pthread_create(&thread, NULL, mapper, NULL), "pthread_create");
	/* Call at least three times: the first call makes page tables. */
	for (until = now() + ms * 1000000; now() < until || n < 3; n++) {
		__atomic_add_fetch(&calling, 1, __ATOMIC_RELAXED);
		calls[i].call();
		__atomic_add_fetch(&calling, 1, __ATOMIC_RELAXED);
		calls[i].before();
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	munmap(area, size);
	munmap(other, size);
	qsort(total, samples, sizeof(*total), by_length);
	qsort(first, samples, sizeof(*first), by_length);
	qsort(fault, samples, sizeof(*fault), by_length);
	printf("%s %ld %ld %.1f %.1f %.1f %.1f %.1f %.1f %.1f %.1f %.1f\n", calls[i].name, n,
	       samples, at(total, 0.5), at(total, 0.99), at(total, 0.999),
	       at(total, 1), at(first, 0.5), at(first, 0.99), at(fault, 0.5),
	       at(fault, 0.99), at(fault, 0.999));
	fflush(stdout);
}

/*
 * An emulator gets a page of the guest's memory from the host when the guest first
 * touches it. Touch memory before anything is measured.
 */
static void warm_up(void)
{
	char *areas[4];
	int i;

	for (i = 0; i < 4; i++) {
		area = areas[i] = map(size);
		touch(area);
	}
	while (i--)
		munmap(areas[i], size);
}

static void usage(FILE *f)
{
	int i;

	fprintf(f, "usage: stalls [-h] [-p] [-m MIB] [-s MILLISECONDS] [CALL]...\n"
		"For each CALL: how often it was made and how many samples overlap; microseconds of\n"
		"mmap(), first touch and munmap() together (50%%, 99%%, 99.9%%, longest), of the touch\n"
		"(50%%, 99%%), and of a fault in a VMA that stays (50%%, 99%%, 99.9%%).\n"
		"  -m  how much the call is about (256)    -s  how long to measure (1500)\n"
		"  -p  map on CPU 0, call on the others\nCALLs:");
	for (i = 0; i < NR_CALLS; i++)
		fprintf(f, " %s", calls[i].name);
	fprintf(f, "\n");
}

int main(int argc, char **argv)
{
	long ms = 1500;
	int opt, i, j;

	while ((opt = getopt(argc, argv, "m:s:ph")) != -1) {
		switch (opt) {
		case 'm': size = strtoul(optarg, NULL, 10) << 20; break;
		case 's': ms = atol(optarg); break;
		case 'p': pinned = 1; break;
		case 'h': usage(stdout); return 0;
		default: usage(stderr); return 2;
		}
	}
	if (!size || ms < 1) {
		usage(stderr);
		return 2;
	}
	total = malloc(SAMPLES * sizeof(*total));
	first = malloc(SAMPLES * sizeof(*first));
	fault = malloc(SAMPLES * sizeof(*fault));
	must(total && first && fault, "malloc");
	/* Touch these pages now, so that their faults are not measured. */
	memset(total, 1, SAMPLES * sizeof(*total));
	memset(first, 1, SAMPLES * sizeof(*first));
	memset(fault, 1, SAMPLES * sizeof(*fault));
	if (pinned)
		pin(0);
	warm_up();
	for (i = 0; i < NR_CALLS; i++) {
		for (j = optind; j < argc && strcmp(argv[j], calls[i].name); j++)
			;
		if (optind == argc || j < argc)
			measure(i, ms);
	}
	return 0;
}
