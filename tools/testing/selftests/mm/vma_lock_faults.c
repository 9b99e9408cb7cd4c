// SPDX-License-Identifier: GPL-2.0
/*
 * Check by the counters which lock served a fault, and check the contents of the
 * memory: anonymous faults of several threads, small pages and huge pages, first
 * touch and copy on write, with the switch on and off.
 */
#define _GNU_SOURCE
#include <linux/perf_event.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include "vma_lock.h"

#define THREADS 4
#define PAGES 512		/* a thread's share */

enum kind { OWN_VMA, ONE_VMA };

static pthread_barrier_t barrier;
static char *area[THREADS];
static size_t step;		/* between touched addresses */
static size_t touches;
static int bad;

static uint64_t stamp(const char *p)
{
	return (uint64_t)(uintptr_t)p * 0x9e3779b97f4a7c15ULL;
}

/* Write a word to each page of a share, then check that all of them are there. */
static void *toucher(void *arg)
{
	char *p = area[(long)arg];
	size_t i, j;

	pthread_barrier_wait(&barrier);
	for (i = 0; i < touches; i++) {
		uint64_t *w = (uint64_t *)(p + i * step);

		for (j = 1; j < 8; j++)
			if (w[j])
				STORE(&bad, 1);
		w[0] = stamp(p + i * step);
	}
	pthread_barrier_wait(&barrier);
	for (i = 0; i < touches; i++)
		if (*(uint64_t *)(p + i * step) != stamp(p + i * step))
			STORE(&bad, 1);
	return NULL;
}

struct counts {
	long faults, success, abort, retry, miss;
};

static struct counts count(void)
{
	return (struct counts) {
		vm_counter("pgfault"), vm_counter("vma_lock_success"),
		vm_counter("vma_lock_abort"), vm_counter("vma_lock_retry"),
		vm_counter("vma_lock_miss"),
	};
}

static struct counts touch_all(void)
{
	pthread_t t[THREADS];
	struct counts a, b;
	long i;

	bad = 0;
	pthread_barrier_init(&barrier, NULL, THREADS);
	a = count();
	for (i = 0; i < THREADS; i++)
		t[i] = start(toucher, (void *)i);
	for (i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	b = count();
	pthread_barrier_destroy(&barrier);
	return (struct counts) {
		b.faults - a.faults, b.success - a.success, b.abort - a.abort,
		b.retry - a.retry, b.miss - a.miss,
	};
}

static void map_shares(enum kind kind, bool huge)
{
	size_t share = huge ? 6 * HUGE : PAGES * PAGE;
	char *all = NULL;
	long i;

	step = huge ? HUGE : PAGE;
	touches = share / step;
	if (kind == ONE_VMA)
		all = map_area(THREADS * share, huge, PROT_READ | PROT_WRITE);
	for (i = 0; i < THREADS; i++)
		area[i] = all ? all + i * share :
			map_area(share, huge, PROT_READ | PROT_WRITE);
}

static void unmap_shares(enum kind kind)
{
	size_t share = touches * step;
	long i;

	if (kind == ONE_VMA)
		munmap(area[0], THREADS * share);
	else
		for (i = 0; i < THREADS; i++)
			munmap(area[i], share);
}

/* Touch all areas. Check the contents, and which lock served the faults. */
static void test(const char *name, enum kind kind, bool huge, bool on)
{
	struct counts c;
	long want;

	set_switch(on);
	map_shares(kind, huge);
	c = touch_all();
	/*
	 * All but the first touch of each VMA, which has no anon_vma yet. The counters
	 * also have the faults in the threads' own stacks and in the C library.
	 */
	want = THREADS * touches * 99 / 100 - THREADS;
	ksft_print_msg("%s: %ld faults: %ld success, %ld abort, %ld retry, %ld miss\n",
		       name, c.faults, c.success, c.abort, c.retry, c.miss);
	ksft_test_result(!bad, "%s: contents\n", name);
	if (on)
		ksft_test_result(c.success >= want, "%s: under the VMA lock\n", name);
	else
		ksft_test_result(!c.success && !c.abort && !c.retry && !c.miss,
				 "%s: never under the VMA lock\n", name);
	unmap_shares(kind);
	set_switch(true);
}

/* After fork(), each write of the child copies a page. */
static void test_cow(void)
{
	const char *name = "copy on write";
	struct counts c;
	int status = -1;
	pid_t pid;
	size_t i, j;

	map_shares(ONE_VMA, false);
	touch_all();
	pid = fork();
	if (!pid) {
		/* toucher() expects zeros after each stamp. The copies have them. */
		c = touch_all();
		ksft_print_msg("%s: %ld faults: %ld success, %ld abort\n",
			       name, c.faults, c.success, c.abort);
		_exit(bad ? 1 : c.success < (long)(THREADS * touches * 99 / 100) ? 2 : 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		status = -1;
	for (i = 0, bad = 0; i < THREADS; i++)
		for (j = 0; j < touches; j++)
			if (*(uint64_t *)(area[i] + j * step) != stamp(area[i] + j * step))
				bad = 1;
	ksft_test_result(status >= 0 && WEXITSTATUS(status) != 1 && !bad,
			 "%s: contents\n", name);
	ksft_test_result(!status, "%s: under the VMA lock\n", name);
	unmap_shares(ONE_VMA);
}

static void set_huge_pages(int n)
{
	FILE *file = fopen("/proc/sys/vm/nr_hugepages", "w");

	if (file) {
		fprintf(file, "%d\n", n);
		fclose(file);
	}
}

/* Minor faults of a child's first read of @p, or -1 if it does not read @want */
static int faults_of_child(uint64_t *p, uint64_t want)
{
	/* The child writes to these before it measures: fork() shares their pages. */
	static struct rusage a, b;
	static uint64_t got;
	int status = -1;
	pid_t pid = fork();

	if (!pid) {
		getrusage(RUSAGE_SELF, &a);
		getrusage(RUSAGE_SELF, &b);
		STORE(&got, 0);
		getrusage(RUSAGE_SELF, &a);
		STORE(&got, LOAD(p));
		getrusage(RUSAGE_SELF, &b);
		_exit(got == want ? b.ru_minflt - a.ru_minflt : 100);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
	    WEXITSTATUS(status) >= 100)
		return -1;
	return WEXITSTATUS(status);
}

/*
 * A private mapping of a hugetlb file whose huge pages exist, which was only read
 * from, has no anon_vma. fork() copies none of its page tables, so the child's first
 * read faults. After a write to the mapping fork() copies them.
 */
static void test_fork_hugetlb(void)
{
	const char *name = "hugetlb, private and only read";
	uint64_t *file = MAP_FAILED, *copy = MAP_FAILED;
	long success;
	int fd, n;

	set_huge_pages(4);
	fd = memfd_create("huge", MFD_HUGETLB);
	if (fd >= 0 && !ftruncate(fd, HUGE)) {
		file = mmap(NULL, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		copy = mmap(NULL, HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	}
	if (file == MAP_FAILED || copy == MAP_FAILED) {
		ksft_test_result_skip("%s: no huge pages\n", name);
		ksft_test_result_skip("%s: no huge pages\n", name);
		goto out;
	}
	STORE(file, stamp((char *)file));
	success = vm_counter("vma_lock_success");
	bad = LOAD(copy) != stamp((char *)file);
	success = vm_counter("vma_lock_success") - success;
	n = faults_of_child(copy, stamp((char *)file));
	ksft_print_msg("%s: %ld success, %d faults of the child\n", name, success, n);
	ksft_test_result(!bad && success && n == 1,
			 "%s: fork copies no page tables\n", name);
	STORE(copy, 1);
	n = faults_of_child(copy, 1);
	ksft_test_result(!n && LOAD(file) == stamp((char *)file),
			 "hugetlb, private and written to: fork copies page tables\n");
out:
	if (copy != MAP_FAILED)
		munmap(copy, HUGE);
	if (file != MAP_FAILED)
		munmap(file, HUGE);
	if (fd >= 0)
		close(fd);
	set_huge_pages(0);
}

/*
 * The buffer of perf: its fault handler has not been audited. The event is a software
 * event that writes nothing.
 */
static void test_driver(void)
{
	static const char *const reason = "vma_lock_fallback_not_opted_in";
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE, .config = PERF_COUNT_SW_DUMMY,
		.size = sizeof(attr), .disabled = 1, .exclude_kernel = 1,
	};
	struct counts a, b;
	size_t i, n = 9;	/* a page of state, and eight of data */
	long before, after;
	char *p = MAP_FAILED;
	int fd;

	fd = syscall(__NR_perf_event_open, &attr, 0, -1, -1, 0);
	if (fd >= 0)
		p = mmap(NULL, n * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		ksft_test_result_skip("a driver: no perf events: %s\n", strerror(errno));
		return;
	}
	before = vm_counter(reason);
	a = count();
	for (i = 1, bad = 0; i < n; i++)
		bad |= LOAD(p + i * PAGE);
	b = count();
	after = vm_counter(reason);
	ksft_print_msg("a driver: %ld faults, %ld success, %ld not opted in\n",
		       b.faults - a.faults, b.success - a.success, after - before);
	ksft_test_result(!bad && after - before >= (long)n - 1,
			 "a driver that has not opted in: under mmap_lock, and counted\n");
	munmap(p, n * PAGE);
	close(fd);
}

int main(void)
{
	setlinebuf(stdout);
	ksft_print_header();
	need_per_vma_lock();
	ksft_set_plan(17);

	test("small pages, a VMA each", OWN_VMA, false, true);
	test("small pages, one VMA", ONE_VMA, false, true);
	test("huge pages, a VMA each", OWN_VMA, true, true);
	test("huge pages, one VMA", ONE_VMA, true, true);
	test("switch off, a VMA each", OWN_VMA, false, false);
	test("switch on again", OWN_VMA, false, true);
	test_cow();
	test_fork_hugetlb();
	test_driver();

	ksft_finished();
}
