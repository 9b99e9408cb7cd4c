// SPDX-License-Identifier: GPL-2.0
/*
 * Every kind of fault, by several threads concurrently. For each kind the test checks
 * that the memory is right, that the VMA lock served (nearly) all faults, and that
 * they are accounted as they are with the switch off.
 *
 * With an argument: only the kinds whose name contains it.
 */
#define _GNU_SOURCE
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include "vma_lock.h"

#define THREADS 4

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

/* A thread's share: @touches addresses, @step apart, from area[thread]. */
static char *area[THREADS];
static size_t step, touches;
static int fd = -1;		/* the file behind the areas, if any */
static int bad;

/* The value that the word at touch @i of thread @t must hold */
static uint64_t stamp(long t, size_t i)
{
	return (t * 1000003 + i + 1) * 0x9e3779b97f4a7c15ULL;
}

static uint64_t *word(long t, size_t i)
{
	return (uint64_t *)(area[t] + i * step);
}

static size_t share(void)
{
	return touches * step;
}

/* The offset of touch @i of thread @t in the file, if there is a file */
static off_t where(long t, size_t i)
{
	return t * share() + i * step;
}

static void touch_write(long t)
{
	size_t i;

	for (i = 0; i < touches; i++)
		STORE(word(t, i), stamp(t, i));
}

/* Words that hold their stamp already */
static void touch_read(long t)
{
	size_t i;

	for (i = 0; i < touches; i++)
		if (LOAD(word(t, i)) != stamp(t, i))
			STORE(&bad, 1);
}

static void touch_zero(long t)
{
	size_t i;

	for (i = 0; i < touches; i++)
		if (LOAD(word(t, i)))
			STORE(&bad, 1);
}

/* Words that hold their stamp, and get another value */
static void touch_change(long t)
{
	size_t i;

	for (i = 0; i < touches; i++) {
		if (LOAD(word(t, i)) != stamp(t, i))
			STORE(&bad, 1);
		STORE(word(t, i), ~stamp(t, i));
	}
}

/* ... without reading them first */
static void touch_overwrite(long t)
{
	size_t i;

	for (i = 0; i < touches; i++)
		STORE(word(t, i), ~stamp(t, i));
}

/* The kernel reads from the file into the memory. */
static void touch_read2(long t)
{
	size_t i;

	for (i = 0; i < touches; i++)
		if (pread(fd, word(t, i), PAGE, where(t, i)) != PAGE)
			STORE(&bad, 1);
}

static bool words_are(uint64_t flip)
{
	size_t i;
	long t;

	for (t = 0; t < THREADS; t++)
		for (i = 0; i < touches; i++)
			if (LOAD(word(t, i)) != (stamp(t, i) ^ flip))
				return false;
	return true;
}

static bool file_is(uint64_t flip)
{
	uint64_t w;
	size_t i;
	long t;

	for (t = 0; t < THREADS; t++)
		for (i = 0; i < touches; i++)
			if (pread(fd, &w, sizeof(w), where(t, i)) != sizeof(w) ||
			    w != (stamp(t, i) ^ flip))
				return false;
	return true;
}

static bool after_write(void)
{
	return words_are(0);
}

static bool after_private(void)
{
	return words_are(~0ULL) && file_is(0);
}

static bool after_shared(void)
{
	return words_are(~0ULL) && file_is(~0ULL);
}

static bool after_nothing(void)
{
	return true;
}

/* Anonymous memory */

static const char *map_anon_step(size_t s, size_t n, bool huge)
{
	char *all;
	long t;

	step = s;
	touches = n;
	all = map_area(THREADS * share(), huge, PROT_READ | PROT_WRITE);
	for (t = 0; t < THREADS; t++)
		area[t] = all + t * share();
	return NULL;
}

static const char *map_anon(void)
{
	return map_anon_step(PAGE, 512, false);
}

static const char *map_huge(void)
{
	if (access("/sys/kernel/mm/transparent_hugepage/enabled", F_OK))
		return "no transparent huge pages";
	return map_anon_step(HUGE, 8, true);
}

/* A new VMA of the heap: brk() can't extend a VMA that is not writable. */
static const char *map_heap(void)
{
	uintptr_t end = (uintptr_t)sbrk(0);
	char *guard = (char *)((end + PAGE - 1) & ~(PAGE - 1)), *all;
	long t;

	step = PAGE;
	touches = 128;
	if (brk(guard + PAGE) || mprotect(guard, PAGE, PROT_READ))
		return strerror(errno);
	all = sbrk(THREADS * share());
	if (all != guard + PAGE)
		return "the heap is elsewhere";
	for (t = 0; t < THREADS; t++)
		area[t] = all + t * share();
	return NULL;
}

/* Leave the heap as it is: malloc() may have used the memory after it. */
static void leave_heap(void)
{
}

/* Each touch in a VMA of its own, which has no anon_vma. */
static const char *map_singles(void)
{
	size_t i;
	long t;

	step = 2 * PAGE;
	touches = 128;
	for (t = 0; t < THREADS; t++) {
		area[t] = map_area(share(), false, PROT_NONE);
		for (i = 0; i < touches; i++)
			if (mprotect(word(t, i), PAGE, PROT_READ | PROT_WRITE))
				ksft_exit_fail_msg("mprotect: %s\n", strerror(errno));
	}
	return NULL;
}

static void unmap(void)
{
	long t;

	for (t = 0; t < THREADS; t++)
		munmap(area[t], share());
	if (fd >= 0)
		close(fd);
	fd = -1;
}

static void drop_pages(void)
{
	long t;

	for (t = 0; t < THREADS; t++)
		if (madvise(area[t], share(), MADV_DONTNEED))
			ksft_exit_fail_msg("MADV_DONTNEED: %s\n", strerror(errno));
}

static void fill(void)
{
	long t;

	for (t = 0; t < THREADS; t++)
		touch_write(t);
}

/* Huge pages that are shared with a child, to be split and copied. */
static pid_t child;

static void fill_and_fork(void)
{
	int fds[2];
	char c;

	drop_pages();
	fill();
	if (pipe(fds))
		ksft_exit_fail_msg("pipe: %s\n", strerror(errno));
	child = fork();
	if (!child) {
		/* Wait until the parent closes its end, which it does when it is done. */
		close(fds[1]);
		_exit(read(fds[0], &c, 1) || !words_are(0));
	}
	if (child < 0)
		ksft_exit_fail_msg("fork: %s\n", strerror(errno));
	close(fds[0]);
	fd = fds[1];
}

static bool after_fork(void)
{
	int status = -1;

	close(fd);
	fd = -1;
	return waitpid(child, &status, 0) == child && !status &&
		words_are(~0ULL);
}

static const char *map_swapped(void)
{
	return swap_on() ?: map_anon_step(PAGE, 128, false);
}

static size_t swapped_out(void)
{
	int pm = open("/proc/self/pagemap", O_RDONLY);
	size_t i, n = 0;
	uint64_t e;
	long t;

	for (t = 0; t < THREADS; t++)
		for (i = 0; i < touches; i++)
			n += pread(pm, &e, sizeof(e), (uintptr_t)word(t, i) / PAGE * 8) ==
				sizeof(e) && (e >> 62 & 1);
	close(pm);
	return n;
}

static void page_out(void)
{
	int tries;
	long t;

	fill();
	/* Compaction moves pages from the batches of each CPU to the LRU lists. */
	run("echo 1 > %s", "/proc/sys/vm/compact_memory");
	for (tries = 0; tries < 50 && swapped_out() < THREADS * touches; tries++)
		for (t = 0; t < THREADS; t++)
			madvise(area[t], share(), MADV_PAGEOUT);
	if (swapped_out() < THREADS * touches * 9 / 10)
		ksft_print_msg("only %zu of %zu pages swapped out\n",
			       swapped_out(), THREADS * touches);
}

static const char *open_file(const char *name)
{
	const char *why;
	uint64_t w;
	size_t i;
	long t;

	why = mount_ext4();
	if (why)
		return why;
	fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || ftruncate(fd, THREADS * share()))
		ksft_exit_fail_msg("%s: %s\n", name, strerror(errno));
	for (t = 0; t < THREADS; t++)
		for (i = 0; i < touches; i++) {
			w = stamp(t, i);
			if (pwrite(fd, &w, sizeof(w), where(t, i)) != sizeof(w))
				ksft_exit_fail_msg("pwrite: %s\n", strerror(errno));
		}
	fsync(fd);
	return NULL;
}

static const char *map_fd(int flags, int prot)
{
	char *all = mmap(NULL, THREADS * share(), prot, flags, fd, 0);
	long t;

	if (all == MAP_FAILED)
		return strerror(errno);
	for (t = 0; t < THREADS; t++)
		area[t] = all + t * share();
	return NULL;
}

static const char *map_file(int flags, int advice)
{
	const char *why;

	/* A RAM disk may have no more than four megabytes. */
	step = PAGE;
	touches = 128;
	why = open_file(MNT "/file");
	if (!why)
		why = map_fd(flags, PROT_READ | PROT_WRITE);
	if (!why)
		madvise(area[0], THREADS * share(), advice);
	return why;
}

static const char *map_file_shared(void)
{
	return map_file(MAP_SHARED, MADV_NORMAL);
}

static const char *map_file_random(void)
{
	return map_file(MAP_SHARED, MADV_RANDOM);
}

static const char *map_file_private(void)
{
	return map_file(MAP_PRIVATE, MADV_NORMAL);
}

/* Drop the pages from the page cache, so that each touch waits for a read. */
static void drop_cache(void)
{
	drop_pages();
	fsync(fd);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

/* Map the pages read-only. A fault will make them writable. */
static void clean_pages(void)
{
	long t;

	drop_pages();
	fsync(fd);
	for (t = 0; t < THREADS; t++)
		touch_read(t);
}

static const char *map_memfd(unsigned int flags)
{
	size_t i;
	uint64_t w;
	long t;

	fd = syscall(__NR_memfd_create, "vma_lock", flags);
	if (fd < 0 || ftruncate(fd, THREADS * share()))
		return strerror(errno);
	for (t = 0; t < THREADS && !flags; t++)
		for (i = 0; i < touches; i++) {
			w = stamp(t, i);
			if (pwrite(fd, &w, sizeof(w), where(t, i)) != sizeof(w))
				return strerror(errno);
		}
	return map_fd(MAP_SHARED, PROT_READ | PROT_WRITE);
}

static const char *map_shmem(void)
{
	step = PAGE;
	touches = 512;
	return map_memfd(0);
}

/* Punch holes where there were pages. */
static void punch(void)
{
	drop_pages();
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		      THREADS * share()))
		ksft_exit_fail_msg("fallocate: %s\n", strerror(errno));
}

static int shm_id = -1;

static const char *map_sysv(void)
{
	char *all;
	long t;

	step = PAGE;
	touches = 512;
	shm_id = shmget(IPC_PRIVATE, THREADS * share(), IPC_CREAT | 0600);
	if (shm_id < 0)
		return "no System V shared memory";
	all = shmat(shm_id, NULL, 0);
	shmctl(shm_id, IPC_RMID, NULL);
	if (all == (void *)-1)
		return strerror(errno);
	for (t = 0; t < THREADS; t++)
		area[t] = all + t * share();
	return NULL;
}

static void unmap_sysv(void)
{
	shmdt(area[0]);
}

/* Huge pages of hugetlbfs */

static const char *map_hugetlb(int flags)
{
	FILE *f = fopen("/proc/sys/vm/nr_hugepages", "w");
	char *all;
	long t;

	step = HUGE;
	touches = 4;
	if (f) {
		fprintf(f, "%zu\n", 2 * THREADS * touches);
		fclose(f);
	}
	all = mmap(NULL, THREADS * share(), PROT_READ | PROT_WRITE,
		   flags | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (all == MAP_FAILED)
		return "no huge pages";
	for (t = 0; t < THREADS; t++)
		area[t] = all + t * share();
	return NULL;
}

static const char *map_hugetlb_private(void)
{
	return map_hugetlb(MAP_PRIVATE);
}

static const char *map_hugetlb_shared(void)
{
	return map_hugetlb(MAP_SHARED);
}

static void unmap_hugetlb(void)
{
	FILE *f;

	unmap();
	f = fopen("/proc/sys/vm/nr_hugepages", "w");
	if (f) {
		fprintf(f, "0\n");
		fclose(f);
	}
}

/* Userfaults: a monitor thread answers them. */

static int uffd = -1;
static pthread_t monitor;
static uint64_t uffd_mode;
static char *uffd_page;		/* the contents for a missing page */

static void *answer(void *arg)
{
	struct uffd_msg msg;
	size_t off;
	char *p;

	while (read(uffd, &msg, sizeof(msg)) == sizeof(msg)) {
		struct uffdio_copy copy = { .len = PAGE };
		struct uffdio_writeprotect wp = { 0 };
		struct uffdio_continue cont = { 0 };

		p = (char *)(uintptr_t)(msg.arg.pagefault.address & ~(PAGE - 1));
		off = p - area[0];
		if (uffd_mode == UFFDIO_REGISTER_MODE_MISSING) {
			*(uint64_t *)uffd_page = stamp(off / share(),
						       off % share() / step);
			copy.dst = (uintptr_t)p;
			copy.src = (uintptr_t)uffd_page;
			if (ioctl(uffd, UFFDIO_COPY, &copy) && errno != EEXIST)
				STORE(&bad, 1);
		} else if (uffd_mode == UFFDIO_REGISTER_MODE_WP) {
			wp.range.start = (uintptr_t)p;
			wp.range.len = PAGE;
			if (ioctl(uffd, UFFDIO_WRITEPROTECT, &wp))
				STORE(&bad, 1);
		} else {
			cont.range.start = (uintptr_t)p;
			cont.range.len = PAGE;
			if (ioctl(uffd, UFFDIO_CONTINUE, &cont) && errno != EEXIST)
				STORE(&bad, 1);
		}
	}
	return NULL;
}

static const char *uffd_register(uint64_t mode, uint64_t features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	struct uffdio_register reg = { .mode = mode };

	uffd = syscall(__NR_userfaultfd, O_CLOEXEC);
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api)) {
		if (uffd >= 0)
			close(uffd);
		unmap();
		return "no userfaultfd of this kind";
	}
	reg.range.start = (uintptr_t)area[0];
	reg.range.len = THREADS * share();
	if (ioctl(uffd, UFFDIO_REGISTER, &reg))
		ksft_exit_fail_msg("UFFDIO_REGISTER: %s\n", strerror(errno));
	uffd_mode = mode;
	uffd_page = aligned_alloc(PAGE, PAGE);
	memset(uffd_page, 0, PAGE);
	monitor = start(answer, NULL);
	return NULL;
}

static const char *map_uffd_missing(void)
{
	map_anon_step(PAGE, 256, false);
	return uffd_register(UFFDIO_REGISTER_MODE_MISSING, 0);
}

static const char *map_uffd_wp(void)
{
	map_anon_step(PAGE, 256, false);
	return uffd_register(UFFDIO_REGISTER_MODE_WP,
			     UFFD_FEATURE_PAGEFAULT_FLAG_WP);
}

static const char *map_uffd_minor(void)
{
	const char *why;

	step = PAGE;
	touches = 256;
	why = map_memfd(0);
	return why ?: uffd_register(UFFDIO_REGISTER_MODE_MINOR,
				    UFFD_FEATURE_MINOR_SHMEM);
}

static void protect_pages(void)
{
	struct uffdio_writeprotect wp = {
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
		.range = { (uintptr_t)area[0], THREADS * share() },
	};
	struct uffdio_range range = { (uintptr_t)area[0], THREADS * share() };
	struct uffdio_register reg = {
		.mode = UFFDIO_REGISTER_MODE_WP, .range = range,
	};

	/* Fill the pages without the monitor, register them again, and protect them. */
	ioctl(uffd, UFFDIO_UNREGISTER, &range);
	fill();
	if (ioctl(uffd, UFFDIO_REGISTER, &reg) ||
	    ioctl(uffd, UFFDIO_WRITEPROTECT, &wp))
		ksft_exit_fail_msg("UFFDIO_WRITEPROTECT: %s\n", strerror(errno));
}

static void unmap_uffd(void)
{
	pthread_cancel(monitor);
	pthread_join(monitor, NULL);
	close(uffd);
	free(uffd_page);
	unmap();
}

/* NUMA hints: the scanner makes pages inaccessible at times of its own choice. */

static int stop;

static bool balance(bool on)
{
	FILE *f = fopen("/proc/sys/kernel/numa_balancing", "w");

	if (!f)
		return false;
	fprintf(f, "%d\n", on);
	fclose(f);
	return true;
}

static const char *map_numa(void)
{
	if (access("/sys/devices/system/node/node1", F_OK) || !balance(true))
		return "one node only, or no NUMA balancing";
	return map_anon();
}

static void unmap_numa(void)
{
	balance(false);
	unmap();
}

static void start_numa(void)
{
	fill();
	STORE(&stop, 0);
}

static void touch_until_stop(long t)
{
	while (!LOAD(&stop))
		touch_read(t);
}

static void wait_for_hints(void)
{
	long was = vm_counter("numa_hint_faults");
	double end = now() + 120;

	while (vm_counter("numa_hint_faults") - was < (long)(THREADS * touches) &&
	       now() < end)
		sched_yield();
	STORE(&stop, 1);
}

/* read(2) into fresh memory */

static const char *map_read2(void)
{
	const char *why;
	int file;

	step = PAGE;
	touches = 512;
	why = map_memfd(0);
	if (why)
		return why;
	munmap(area[0], THREADS * share());
	file = fd;
	why = map_anon();
	fd = file;
	return why;
}

/* ... concurrently with a thread that maps and unmaps, and so gets in the way */

static int reading;

static void start_read2(void)
{
	drop_pages();
	STORE(&reading, THREADS);
}

static void touch_read2_beside(long t)
{
	touch_read2(t);
	__atomic_sub_fetch(&reading, 1, __ATOMIC_RELEASE);
}

static void map_beside(void)
{
	while (LOAD(&reading)) {
		char *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		STORE(p, 1);
		mprotect(p, PAGE, PROT_READ);
		munmap(p, 2 * PAGE);
	}
}

/* The kinds */

static struct kind {
	const char *name;
	int rounds;
	const char *(*map)(void);	/* NULL, or why it is not available */
	void (*before)(void);		/* before a round: make touches fault */
	void (*touch)(long t);		/* done by the threads */
	void (*during)(void);		/* done by the main thread meanwhile */
	bool (*after)(void);		/* after a round: is the memory right? */
	void (*unmap)(void);
	int around;			/* the most touches for a fault (default 1) */
	bool timed;			/* the test does not control when they fault */
	bool noisy;			/* another process faults meanwhile */
	bool beside;			/* a writer gets in the way, on purpose */
} kinds[] = {
	{ "first touch", 1, map_singles, NULL, touch_write, NULL, after_write, unmap },
	{ "anonymous, write", 4, map_anon, drop_pages, touch_write, NULL, after_write, unmap },
	{ "anonymous, zero page",
	  4, map_anon, drop_pages, touch_zero, NULL, after_nothing, unmap },
	{ "anonymous, zero page replaced",
	  1, map_anon, NULL, touch_write, NULL, after_write, unmap },
	{ "heap", 4, map_heap, drop_pages, touch_write, NULL, after_write, leave_heap },
	{ "huge page, first touch",
	  16, map_huge, drop_pages, touch_write, NULL, after_write, unmap },
	{ "huge page, split to be copied",
	  8, map_huge, fill_and_fork, touch_overwrite, NULL, after_fork, unmap, 1,
	  false, true },
	{ "swap-in, read", 4, map_swapped, page_out, touch_read, NULL, after_write, unmap },
	{ "swap-in, write", 4, map_swapped, page_out, touch_change, NULL, NULL, unmap },
	{ "file, read from disk",
	  4, map_file_random, drop_cache, touch_read, NULL, after_write, unmap },
	{ "file, fault-around",
	  16, map_file_shared, drop_pages, touch_read, NULL, after_write, unmap, 16 },
	{ "file, private copy",
	  4, map_file_private, drop_pages, touch_overwrite, NULL, after_private, unmap },
	{ "file, private copy after read",
	  4, map_file_private, clean_pages, touch_overwrite, NULL, after_private,
	  unmap },
	{ "file, shared write",
	  1, map_file_shared, drop_pages, touch_overwrite, NULL, after_shared, unmap },
	{ "file, shared write after read",
	  1, map_file_shared, clean_pages, touch_overwrite, NULL, after_shared, unmap },
	{ "shmem, mapped pages",
	  16, map_shmem, drop_pages, touch_read, NULL, after_write, unmap, 16 },
	{ "shmem, new pages", 4, map_shmem, punch, touch_write, NULL, after_write, unmap },
	{ "System V shared memory",
	  1, map_sysv, NULL, touch_write, NULL, after_write, unmap_sysv },
	{ "hugetlb, private",
	  16, map_hugetlb_private, drop_pages, touch_write, NULL, after_write,
	  unmap_hugetlb },
	{ "hugetlb, shared",
	  16, map_hugetlb_shared, drop_pages, touch_write, NULL, after_write,
	  unmap_hugetlb },
	{ "NUMA hint",
	  1, map_numa, start_numa, touch_until_stop, wait_for_hints, after_write,
	  unmap_numa, 1, true },
	{ "userfaultfd, missing",
	  2, map_uffd_missing, drop_pages, touch_read, NULL, after_write, unmap_uffd },
	{ "userfaultfd, write-protect",
	  2, map_uffd_wp, protect_pages, touch_overwrite, NULL, NULL, unmap_uffd },
	{ "userfaultfd, minor",
	  2, map_uffd_minor, drop_pages, touch_read, NULL, after_write, unmap_uffd },
	{ "read(2) into fresh memory",
	  4, map_read2, drop_pages, touch_read2, NULL, after_write, unmap },
	{ "read(2) beside a mapping thread",
	  8, map_read2, start_read2, touch_read2_beside, map_beside, after_write,
	  unmap, 1, true, false, true },
};

static pthread_barrier_t barrier;
static struct kind *kind;
static long minflt[THREADS], majflt[THREADS];

static void *toucher(void *arg)
{
	struct rusage a, b;
	long t = (long)arg;
	int r;

	for (r = 0; r < kind->rounds; r++) {
		pthread_barrier_wait(&barrier);
		getrusage(RUSAGE_THREAD, &a);
		kind->touch(t);
		getrusage(RUSAGE_THREAD, &b);
		minflt[t] += b.ru_minflt - a.ru_minflt;
		majflt[t] += b.ru_majflt - a.ru_majflt;
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

struct counts {
	long minflt, majflt, pgfault, success, retry, fallback, repeated;
	long reason[NR_FALLBACKS];
};

static void count(struct counts *c, int sign)
{
	int i;

	c->pgfault += sign * vm_counter("pgfault");
	c->success += sign * vm_counter("vma_lock_success");
	c->retry += sign * vm_counter("vma_lock_retry");
	/* pgfault counts an attempt that gave up once, together with its repetition. */
	c->repeated += sign * (vm_counter("vma_lock_fallback_anon_vma") +
			       vm_counter("vma_lock_fallback_device"));
	for (i = 0; i < NR_FALLBACKS; i++) {
		long n = vm_counter(fallbacks[i]);

		c->reason[i] += sign * n;
		c->fallback += sign * n;
	}
}

/* NULL, or why the kind is not available */
static const char *measure(bool on, struct counts *c)
{
	pthread_t threads[THREADS];
	const char *why;
	long t;
	int r;

	memset(c, 0, sizeof(*c));
	memset(minflt, 0, sizeof(minflt));
	memset(majflt, 0, sizeof(majflt));
	bad = 0;
	set_switch(on);
	why = kind->map();
	if (why)
		return why;
	pthread_barrier_init(&barrier, NULL, THREADS + 1);
	for (t = 0; t < THREADS; t++)
		threads[t] = start(toucher, (void *)t);
	for (r = 0; r < kind->rounds; r++) {
		if (kind->before)
			kind->before();
		count(c, -1);
		pthread_barrier_wait(&barrier);
		if (kind->during)
			kind->during();
		pthread_barrier_wait(&barrier);
		count(c, 1);
		if (kind->after ? !kind->after() : !words_are(~0ULL))
			bad = 1;
	}
	for (t = 0; t < THREADS; t++) {
		pthread_join(threads[t], NULL);
		c->minflt += minflt[t];
		c->majflt += majflt[t];
	}
	pthread_barrier_destroy(&barrier);
	kind->unmap();
	set_switch(true);
	return NULL;
}

/*
 * Some faults are those of the C library or of another process. Some come twice
 * because writeback was faster. A mistake in the accounting would affect every fault.
 */
static bool close_to(long a, long b)
{
	return labs(a - b) <= b / 50 + 8;
}

static void test(void)
{
	long want, reported = 0;
	struct counts on, off;
	const char *why;
	int i;

	why = measure(true, &on);
	if (why) {
		ksft_test_result_skip("%s: contents: %s\n", kind->name, why);
		ksft_test_result_skip("%s: under the VMA lock: %s\n", kind->name, why);
		ksft_test_result_skip("%s: accounting: %s\n", kind->name, why);
		return;
	}
	ksft_test_result(!bad, "%s: contents\n", kind->name);
	ksft_print_msg("%s: %ld minor, %ld major, %ld pgfault\n",
		       kind->name, on.minflt, on.majflt, on.pgfault);
	ksft_print_msg("  %ld success, %ld retry, %ld fallback\n", on.success,
		       on.retry, on.fallback);
	for (i = 0; i < NR_FALLBACKS; i++)
		if (on.reason[i] && reported++ < 8)
			ksft_print_msg("  %s %ld\n", fallbacks[i], on.reason[i]);
	/* Each attempt was made under a VMA lock, or is counted under its reason. */
	if (kind->beside) {
		ksft_test_result(close_to(on.pgfault, on.success + on.retry +
					  on.fallback - on.repeated) &&
				 on.success > 0,
				 "%s: no fallback but for a reason\n", kind->name);
		goto off;
	}
	want = THREADS * touches * kind->rounds / (kind->around ?: 1) * 9 / 10;
	ksft_test_result(on.success >= want &&
			 on.success * 100 >= (on.success + on.fallback) * 99,
			 "%s: under the VMA lock\n", kind->name);

off:
	measure(false, &off);
	ksft_print_msg("%s, off: %ld minor, %ld major, %ld pgfault, %ld success\n",
		       kind->name, off.minflt, off.majflt, off.pgfault, off.success);
	ksft_test_result(!bad && !off.success && !off.fallback &&
			 (kind->timed || (close_to(on.minflt, off.minflt) &&
					  close_to(on.majflt, off.majflt) &&
					  (kind->noisy ||
					   close_to(on.pgfault, off.pgfault)))),
			 "%s: accounted as with the switch off\n", kind->name);
}

int main(int argc, char **argv)
{
	size_t i, n = 0;

	setlinebuf(stdout);
	ksft_print_header();
	need_per_vma_lock();
	/* NUMA hint faults would be counted, too. */
	balance(false);
	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		n += argc < 2 || strstr(kinds[i].name, argv[1]);
	ksft_set_plan(3 * n);
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		kind = &kinds[i];
		if (argc < 2 || strstr(kind->name, argv[1]))
			test();
	}
	umount(MNT);
	swapoff("/dev/ram1");
	ksft_finished();
}
