// SPDX-License-Identifier: GPL-2.0
/*
 * Instructions of a page fault, and of a map or unmap, at one thread. The guest must
 * run under -icount shift=1: its clock counts two nanoseconds for each instruction,
 * whatever the host does. The program prints, for each operation, the median of several
 * rounds.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mark.h"

#define PAGE 4096UL
#define HUGE (2UL << 20)
#define ROUNDS 15

static char *mem;
static size_t pages = 512, step = PAGE;
static int fd = -1;
/* The name of the operation that "make profile" looks at, or NULL */
static const char *profiled;

static bool is_profiled(const char *name)
{
	return profiled && !strcmp(name, profiled);
}

static void window(const char *name, bool on)
{
	if (!is_profiled(name))
		return;
	if (on)
		MARK(1);
	else
		MARK(0);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e9 + ts.tv_nsec;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int cmp(const void *a, const void *b)
{
	double d = *(const double *)a - *(const double *)b;

	return d < 0 ? -1 : d > 0;
}

static void map(int flags, int advice)
{
	mem = mmap(NULL, pages * step + HUGE, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (mem == MAP_FAILED)
		die("mmap");
	if (fd < 0 && !(flags & MAP_HUGETLB))
		mem = (char *)(((uintptr_t)mem + HUGE - 1) & ~(HUGE - 1));
	if (!(flags & MAP_HUGETLB))
		madvise(mem, pages * step, advice);
}

static void write_all(void)
{
	size_t i;

	for (i = 0; i < pages; i++)
		*(volatile char *)(mem + i * step) = 1;
}

static void read_all(void)
{
	size_t i;

	for (i = 0; i < pages; i++)
		*(volatile char *)(mem + i * step);
}

/* Read a page of each fault-around window, so that each read has a fault. */
static void read_sparse(void)
{
	size_t i;

	for (i = 0; i < pages; i += 16)
		*(volatile char *)(mem + i * step);
}

static void kernel_writes(void)
{
	static int zero = -1;

	if (zero < 0)
		zero = open("/dev/zero", O_RDONLY);
	if (read(zero, mem, pages * PAGE) != (ssize_t)(pages * PAGE))
		die("read");
}

static void populate(void)
{
	if (madvise(mem, pages * step, 23 /* MADV_POPULATE_WRITE */))
		die("MADV_POPULATE_WRITE");
}

/* Copy half of the memory to the other half. */
static void copy_remote(void)
{
	struct iovec from = { mem, pages * PAGE / 2 };
	struct iovec to = { mem + pages * PAGE / 2, pages * PAGE / 2 };

	if (process_vm_readv(getpid(), &to, 1, &from, 1, 0) != (ssize_t)to.iov_len)
		die("process_vm_readv");
}

static void drop(void)
{
	madvise(mem, pages * step, MADV_DONTNEED);
}

/* get_user_pages_fast() of absent pages, each by a vmsplice() to a pipe */
#define SPLICED 256

static int pipe_of_pages[2];

static void drain(void)
{
	static char buffer[SPLICED * PAGE];

	drop();
	if (!pipe_of_pages[1] &&
	    (pipe2(pipe_of_pages, O_NONBLOCK) ||
	     fcntl(pipe_of_pages[1], F_SETPIPE_SZ, SPLICED * PAGE) < 0))
		die("pipe");
	while (read(pipe_of_pages[0], buffer, sizeof(buffer)) > 0)
		;
}

static void splice_each(void)
{
	size_t i;

	for (i = 0; i < SPLICED; i++) {
		struct iovec page = { mem + i * PAGE, PAGE };

		if (vmsplice(pipe_of_pages[1], &page, 1, 0) != (ssize_t)PAGE)
			die("vmsplice");
	}
}

/* Make the pages clean and map them read-only: the next write asks the file system. */
static void clean(void)
{
	drop();
	fsync(fd);
	read_all();
}

static void page_out(void)
{
	write_all();
	madvise(mem, pages * step, 21 /* MADV_PAGEOUT */);
}

/* Make every second page a VMA that has never been touched. */
static void fresh_vmas(void)
{
	size_t i;

	munmap(mem, pages * step);
	mem = mmap(mem, pages * step, PROT_NONE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	for (i = 0; i < pages; i++)
		if (mprotect(mem + i * step, PAGE, PROT_READ | PROT_WRITE))
			die("mprotect");
	/* Wait: what RCU frees for these writers is not part of the touch. */
	syscall(__NR_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
	usleep(50000);
}

static sigjmp_buf back;

static void on_signal(int sig)
{
	siglongjmp(back, 1);
}

static void denied_all(void)
{
	volatile size_t i;

	for (i = 0; i < pages; i++)
		if (!sigsetjmp(back, 1))
			*(volatile char *)(mem + i * step) = 1;
}

static void report(const char *name, double *t, size_t faults)
{
	qsort(t, ROUNDS, sizeof(*t), cmp);
	if (is_profiled(name))
		printf("%zu operations of: ", ROUNDS * faults);
	printf("%.1f %s\n", t[ROUNDS / 2], name);
	fflush(stdout);
}

static void measure(const char *name, void (*before)(void), void (*touch)(void),
		    size_t faults)
{
	double t[ROUNDS], a;
	int r;

	/* The anon_vma and the page tables stay. The pages go each round. */
	touch();
	for (r = 0; r < ROUNDS; r++) {
		before();
		window(name, true);
		a = now();
		touch();
		t[r] = (now() - a) / 2 / faults;
		window(name, false);
	}
	report(name, t, faults);
}

/* As measure(), in a child: each write copies a page of the parent. */
static void measure_copies(const char *name)
{
	double t[ROUNDS], a;
	int r, fds[2];

	write_all();
	if (pipe(fds))
		die("pipe");
	for (r = 0; r < ROUNDS; r++) {
		if (!fork()) {
			window(name, true);
			a = now();
			write_all();
			a = (now() - a) / 2 / pages;
			window(name, false);
			_exit(write(fds[1], &a, sizeof(a)) != sizeof(a));
		}
		if (read(fds[0], &t[r], sizeof(*t)) != sizeof(*t))
			die("read");
		wait(NULL);
	}
	report(name, t, pages);
}

/* Writers. A round has several timer ticks. Their work (RCU) is counted, too. */
#define OPS 1000

static void nothing(void)
{
}

static void map_unmap(void)
{
	int i;

	for (i = 0; i < OPS; i++)
		munmap(mmap(NULL, 65536, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 65536);
}

static void protect(void)
{
	int i;

	for (i = 0; i < OPS; i++) {
		mprotect(mem + 8 * PAGE, PAGE, PROT_READ);
		mprotect(mem + 8 * PAGE, PAGE, PROT_READ | PROT_WRITE);
	}
}

static void move_break(void)
{
	int i;

	for (i = 0; i < OPS; i++) {
		sbrk(65536);
		sbrk(-65536);
	}
}

static void give_back(void)
{
	int i;

	for (i = 0; i < OPS; i++)
		madvise(mem + 8 * PAGE, PAGE, MADV_DONTNEED);
}

static void fork_and_wait(void)
{
	int i;

	for (i = 0; i < OPS / 10; i++) {
		if (!fork())
			_exit(0);
		wait(NULL);
	}
}

/* The cost of a fork, with the exit, for each VMA */
#define VMAS 10000

static void fork_once(void)
{
	if (!fork())
		_exit(0);
	wait(NULL);
}

static void *idle(void *arg)
{
	for (;;)
		pause();
	return NULL;
}

/* With a second thread there may be readers, and writers that wait. */
static void with_thread(bool on)
{
	static pthread_t thread;

	if (!on) {
		pthread_cancel(thread);
		pthread_join(thread, NULL);
	} else if (pthread_create(&thread, NULL, idle, NULL)) {
		die("pthread_create");
	}
}

/* A call that write-locks every VMA, and changes one VMA */
static char *shared_page;

static void remap_page(void)
{
	if (remap_file_pages(shared_page, PAGE, 0, 0, 0))
		die("remap_file_pages");
}

static void fork_many(void)
{
	size_t length = VMAS * PAGE, i;
	char *p;

	p = mmap(NULL, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		die("mmap");
	for (i = 0; i < length; i += 2 * PAGE)
		if (mprotect(p + i, PAGE, PROT_READ | PROT_WRITE))
			die("mprotect");
	measure("fork of 10000 VMAs, each", nothing, fork_once, VMAS);
	with_thread(true);
	measure("the same, of two threads", nothing, fork_once, VMAS);
	shared_page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared_page == MAP_FAILED)
		die("mmap");
	measure("wide hold of 10000, each VMA", nothing, remap_page, VMAS);
	munmap(shared_page, PAGE);
	with_thread(false);
	munmap(p, length);
}

static void read_maps(void)
{
	static char buf[65536];
	int i, f;

	for (i = 0; i < OPS; i++) {
		f = open("/proc/self/maps", O_RDONLY);
		while (read(f, buf, sizeof(buf)) > 0)
			;
		close(f);
	}
}

static void set(const char *path, const char *value)
{
	int f = open(path, O_WRONLY);

	if (f < 0 || write(f, value, strlen(value)) < 0)
		die(path);
	close(f);
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "-p")) {
		profiled = argv[2];
	} else if (argc > 1) {
		printf("usage: vm_cost [-h] [-p NAME]\n"
		       "Instructions a fault, by kind, a map and an unmap, under -icount shift=1.\n"
		       "Wants /dev/ram0 and ram1.\n"
		       "  -p NAME  opens bench/profile.c's window for the operation of that name\n");
		return strcmp(argv[1], "-h") ? 2 : 0;
	}

	map(MAP_PRIVATE | MAP_ANONYMOUS, MADV_NOHUGEPAGE);
	measure("mmap and munmap", nothing, map_unmap, OPS);
	measure("mprotect and back", nothing, protect, OPS);
	measure("brk up and down", nothing, move_break, OPS);
	measure("madvise(DONTNEED)", nothing, give_back, OPS);
	measure("fork, exit and wait", nothing, fork_and_wait, OPS / 10);
	measure("read of /proc/self/maps", nothing, read_maps, OPS);
	fork_many();
	measure("anonymous", drop, write_all, pages);
	measure("anonymous, zero page", drop, read_all, pages);
	measure_copies("anonymous, copy");
	measure("kernel writes", drop, kernel_writes, pages);
	measure("populate", drop, populate, pages);
	measure("process_vm_readv, each page", write_all, copy_remote, pages / 2);
	drain();
	measure("vmsplice of an absent page", drain, splice_each, SPLICED);
	with_thread(true);
	measure("two threads: populate", drop, populate, pages);
	measure("two threads: process_vm_readv", write_all, copy_remote, pages / 2);
	drain();
	measure("two threads: vmsplice", drain, splice_each, SPLICED);
	with_thread(false);
	mprotect(mem, pages * step, PROT_READ);
	signal(SIGSEGV, on_signal);
	measure("bad access, with its signal", drop, denied_all, pages);
	mprotect(mem, pages * step, PROT_READ | PROT_WRITE);

	if (system("mkswap /dev/ram1 >/dev/null") || swapon("/dev/ram1", 0))
		die("swap on /dev/ram1");
	measure("swap-in", page_out, read_all, pages);
	swapoff("/dev/ram1");

	step = 2 * PAGE;
	map(MAP_PRIVATE | MAP_ANONYMOUS, MADV_NOHUGEPAGE);
	measure("first touch of a VMA", fresh_vmas, write_all, pages);

	step = HUGE;
	pages = 16;
	map(MAP_PRIVATE | MAP_ANONYMOUS, MADV_HUGEPAGE);
	measure("huge page", drop, write_all, pages);
	set("/proc/sys/vm/nr_hugepages", "20");
	map(MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, 0);
	measure("hugetlb", drop, write_all, pages);

	step = PAGE;
	pages = 512;
	if (system("mke2fs /dev/ram0 >/dev/null") || mkdir("/tmp/mnt", 0700) ||
	    mount("/dev/ram0", "/tmp/mnt", "ext4", 0, NULL))
		die("ext4 on /dev/ram0");
	fd = open("/tmp/mnt/file", O_RDWR | O_CREAT, 0600);
	if (fd < 0 || posix_fallocate(fd, 0, pages * PAGE))
		die("/tmp/mnt/file");
	map(MAP_SHARED, MADV_NORMAL);
	write_all();
	measure("file, fault-around", drop, read_sparse, pages / 16);
	measure("file, shared write", clean, write_all, pages);
	map(MAP_PRIVATE, MADV_NORMAL);
	measure("file, private copy", drop, write_all, pages);
	close(fd);

	fd = memfd_create("vm_cost", 0);
	if (fd < 0 || ftruncate(fd, pages * PAGE))
		die("memfd_create");
	map(MAP_SHARED, MADV_NORMAL);
	measure("shmem, write", drop, write_all, pages);
	return 0;
}
