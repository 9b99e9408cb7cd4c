// SPDX-License-Identifier: GPL-2.0
/*
 * Faults of many threads, concurrently with changes of their address space. Each test
 * checks the contents of memory. No test waits for a time to pass: it runs its race
 * for race_seconds() and then counts. The list of mutants of the series shows which
 * changes of the kernel the races detect within 45 seconds. Some defects of hugetlb
 * show only on a kernel with lockdep or KASAN: see the messages of its patches.
 *
 * Numbers in brackets are rows of Documentation/mm/per-vma-locks.rst, "What
 * has gone wrong before". It also says where the other rows are tested, or why
 * they can't be.
 */
#define _GNU_SOURCE
#include <linux/userfaultfd.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "vma_lock.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

#define THREADS 3
#define AREA (4 * HUGE)

static char *area;
static size_t mapped;		/* the size of the area */
static int stop, bad;
static long rounds;

static bool stopped(void)
{
	return LOAD(&stop);
}

static void fail(void)
{
	STORE(&bad, 1);
}

/*
 * A thread whose access is refused gives up only this access. A refused access
 * anywhere else, as in libc, ends the process.
 */
static __thread sigjmp_buf refused;
static __thread bool may_be_refused;

static void on_segv(int sig)
{
	if (may_be_refused)
		siglongjmp(refused, 1);
	signal(sig, SIG_DFL);
}

static unsigned int next(unsigned int *seed)
{
	return *seed = *seed * 1103515245 + 12345;
}

/* The part of the area that is written to; the round that has it protected, or 0 */
static size_t span = AREA;
static long frozen;

/*
 * Write all over the area, whether it is mapped or not. While it is known to be
 * protected no write may succeed.
 */
static void *scribbler(void *arg)
{
	unsigned int seed = (long)arg + 1;

	may_be_refused = true;
	while (!stopped()) {
		size_t at = (next(&seed) >> 8) % (span / 64) * 64;
		long before = __atomic_load_n(&frozen, __ATOMIC_SEQ_CST);

		if (!sigsetjmp(refused, 0)) {
			__atomic_fetch_add((uint64_t *)(area + at), 1, __ATOMIC_SEQ_CST);
			if (before && before == __atomic_load_n(&frozen, __ATOMIC_SEQ_CST))
				fail();
		}
	}
	return NULL;
}

/* One thread faults in or locks all of the area, while the others write. */
static void *populater(void *arg)
{
	if (arg)
		return scribbler(arg);
	while (!stopped()) {
		madvise(area, span, MADV_POPULATE_WRITE);
		mlock(area, span);
		munlock(area, span);
		madvise(area, span, MADV_POPULATE_READ);
	}
	return NULL;
}

static void set_number(const char *path, int n)
{
	FILE *f = fopen(path, "w");

	if (f) {
		fprintf(f, "%d\n", n);
		fclose(f);
	}
}

/* With an argument: only the races whose name contains it. */
static const char *only;

struct race {
	const char *name;
	void *(*faulter)(void *arg);	/* what each of THREADS threads runs */
	void (*change)(void);		/* what runs over and over concurrently */
	bool (*setup)(void);		/* false: the kernel lacks what it needs */
	void (*teardown)(void);		/* after setup(), whatever that returned */
};

static bool wanted(const struct race *race)
{
	return !only || strstr(race->name, only);
}

static void run_race(const struct race *race)
{
	pthread_t t[THREADS];
	double end;
	long i;

	if (!race->setup()) {
		race->teardown();
		ksft_test_result_skip("%s: not here\n", race->name);
		return;
	}
	stop = bad = 0;
	rounds = 0;
	end = now() + race_seconds();
	for (i = 0; i < THREADS; i++)
		t[i] = start(race->faulter, (void *)i);
	/* Run a few rounds in any case, even if the machine has other work. */
	while (!LOAD(&bad) &&
	       (now() < end || (rounds <= 3 && now() < end + 9 * race_seconds()))) {
		race->change();
		rounds++;
	}
	STORE(&stop, 1);
	for (i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	race->teardown();
	ksft_test_result(!bad && rounds > 3, "%s: %ld rounds\n", race->name, rounds);
}

static bool map(size_t size, bool huge)
{
	area = map_area(size, huge, PROT_READ | PROT_WRITE);
	mapped = span = size;
	return true;
}

static bool small_pages(void)
{
	return map(AREA, false);
}

static bool huge_pages(void)
{
	return map(AREA, true);
}

/* Few pages, so that a page that slipped through is soon hit again */
static bool few_pages(void)
{
	map(AREA, false);
	span = 32 * PAGE;
	return true;
}

static void unmap(void)
{
	munmap(area, mapped);
}

/* [B11] After mprotect() has returned no byte changes until it is undone. */
static void protect(void)
{
	int i;

	mprotect(area, span, PROT_READ);
	__atomic_store_n(&frozen, rounds + 1, __ATOMIC_SEQ_CST);
	for (i = 0; i < 20; i++)
		sched_yield();
	__atomic_store_n(&frozen, 0, __ATOMIC_SEQ_CST);
	mprotect(area, span, PROT_READ | PROT_WRITE);
	/* Make the other threads fault again. */
	madvise(area, span, MADV_DONTNEED);
}

/* [B32] A new mapping in place of an unmapped one is empty. */
static void remap(void)
{
	static unsigned int pace = 1;
	char *p;
	size_t i;

	munmap(area, AREA);
	p = mmap(area, AREA, PROT_READ,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (p != area)
		fail();
	for (i = 0; i < AREA; i += 64)
		if (LOAD((uint64_t *)(area + i)))
			fail();
	munmap(area, AREA);
	p = mmap(area, AREA, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (p != area)
		fail();
	if (rounds & 1)
		madvise(area, AREA, MADV_HUGEPAGE);
	/* Get an anon_vma, or the other threads would always meet the fallback. */
	STORE((uint64_t *)area, 0);
	/* Unmap the area soon, while the other threads fault it in. */
	for (i = next(&pace) >> 16 & 7; i; i--)
		sched_yield();
}

/* One thread writes through pinned pages, while the others touch them. */
static void *pin_writer(void *arg)
{
	static char zeroes[16 * PAGE];
	unsigned int seed = 1;

	if (arg)
		return scribbler(arg);
	while (!stopped()) {
		size_t at = (next(&seed) >> 8) % (span / PAGE - 16) * PAGE;
		struct iovec local = { zeroes, sizeof(zeroes) };
		struct iovec remote = { area + at, sizeof(zeroes) };

		memset(zeroes, seed, sizeof(zeroes));
		process_vm_writev(getpid(), &local, 1, &remote, 1, 0);
	}
	return NULL;
}

static int mem;		/* /proc/self/mem: uses access_remote_vm() */

static uint64_t load_pinned(uint64_t *w, bool by_mem)
{
	uint64_t value = 0;
	struct iovec local = { &value, sizeof(value) }, remote = { w, sizeof(*w) };

	if (by_mem) {
		if (pread(mem, &value, sizeof(value), (uintptr_t)w) != sizeof(value))
			fail();
		return value;
	}
	if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) != sizeof(value))
		fail();
	return value;
}

static void store_pinned(uint64_t *w, uint64_t value)
{
	struct iovec local = { &value, sizeof(value) }, remote = { w, sizeof(*w) };

	if (value & 1) {
		if (pwrite(mem, &value, sizeof(value), (uintptr_t)w) != sizeof(value))
			fail();
		return;
	}
	if (process_vm_writev(getpid(), &local, 1, &remote, 1, 0) != sizeof(value))
		fail();
}

/*
 * [B3] A thread owns a word of each page. The value that it has written stays until
 * the thread writes again, however often the process forks meanwhile.
 */
static void *own(void *arg, bool pins)
{
	uint64_t value[16] = { 0 };
	size_t page, mine = (long)arg + 1;
	unsigned int seed = mine;

	while (!stopped()) {
		uint64_t *w;

		page = (next(&seed) >> 8) % 16;
		w = (uint64_t *)(area + page * PAGE) + mine;
		if ((pins ? load_pinned(w, value[page] & 2) : LOAD(w)) != value[page])
			fail();
		++value[page];
		if (pins)
			store_pinned(w, value[page]);
		else
			STORE(w, value[page]);
		if (LOAD(w) != value[page])
			fail();
	}
	return NULL;
}

static void *owner(void *arg)
{
	return own(arg, false);
}

/* Two threads write through pinned pages. */
static void *pin_owner(void *arg)
{
	return own(arg, arg);
}

/* ... and the child always sees what it saw first. */
static void fork_child(void)
{
	int status, go[2], i;
	char c;
	pid_t pid;

	if (pipe(go))
		ksft_exit_fail_msg("pipe: %s\n", strerror(errno));
	pid = fork();
	if (pid < 0)
		ksft_exit_fail_msg("fork: %s\n", strerror(errno));
	if (!pid) {
		static uint64_t copy[16][THREADS + 1];

		close(go[1]);
		for (i = 0; i < 16; i++)
			memcpy(copy[i], area + i * PAGE, sizeof(copy[i]));
		if (read(go[0], &c, 1) < 0)
			_exit(2);
		for (i = 0; i < 16; i++)
			if (memcmp(copy[i], area + i * PAGE, sizeof(copy[i])))
				_exit(1);
		_exit(0);
	}
	close(go[0]);
	for (i = 0; i < 20; i++)
		sched_yield();
	close(go[1]);
	if (waitpid(pid, &status, 0) != pid || status)
		fail();
}

/*
 * fork() write-protects an entry of the parent, and flushes TLBs at its end. Until then
 * other threads may still write to the page, and no fault may copy it. The VMAs above
 * the page in the address space are copied after it. They make this time long.
 */
#define TAIL (400 * PAGE)

static char *tail;

static bool words_and_tail(void)
{
	size_t i;

	tail = mmap(NULL, TAIL, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (tail == MAP_FAILED)
		ksft_exit_fail_msg("mmap: %s\n", strerror(errno));
	for (i = 0; i < TAIL; i += 2 * PAGE) {
		if (mprotect(tail + i, PAGE, PROT_READ | PROT_WRITE))
			ksft_exit_fail_msg("mprotect: %s\n", strerror(errno));
		tail[i] = 1;
	}
	return map(16 * PAGE, false);
}

static void unmap_with_tail(void)
{
	unmap();
	munmap(tail, TAIL);
}

/*
 * Each thread writes to a page that fork() copies early, and then to one that it
 * copies late. The child must not have the second write without the first. Two of the
 * threads make the first write by /proc/self/mem, which uses no TLB entry. (A write
 * through a pin would not do: fork() copies a pinned page at once.)
 */
static uint64_t *early, *late;

static bool early_and_late(void)
{
	words_and_tail();
	early = (uint64_t *)area;
	late = (uint64_t *)(tail + TAIL - 2 * PAGE) + 1;
	return true;
}

static void *in_order(void *arg)
{
	long mine = (long)arg;
	uint64_t value;

	for (value = 1; !stopped(); value++) {
		if (!mine)
			__atomic_store_n(&early[mine], value, __ATOMIC_SEQ_CST);
		else if (pwrite(mem, &value, sizeof(value),
				(uintptr_t)&early[mine]) != sizeof(value))
			fail();
		__atomic_store_n(&late[mine], value, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static void fork_in_order(void)
{
	int status, i;
	pid_t pid = fork();

	if (pid < 0)
		ksft_exit_fail_msg("fork: %s\n", strerror(errno));
	if (!pid) {
		for (i = 0; i < THREADS; i++)
			if (early[i] - late[i] > 1)
				_exit(1);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		fail();
}

/* exec() takes the address space away from threads that fault in it. */
static void exec_child(void)
{
	int status;
	long i;
	pid_t pid = fork();

	if (pid < 0)
		ksft_exit_fail_msg("fork: %s\n", strerror(errno));
	if (!pid) {
		stop = 0;
		for (i = 0; i < THREADS; i++)
			start(scribbler, (void *)i);
		for (i = 0; i < 20; i++)
			sched_yield();
		execl("/proc/self/exe", "vma_lock_races", "-x", NULL);
		_exit(2);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		fail();
}

/* Turn the switch while faults of both kinds are in progress. */
static void turn(void)
{
	set_switch(rounds & 1);
	protect();
}

static void turn_back(void)
{
	set_switch(true);
	unmap();
}

/* Split and merge: the words of owner() keep their values. */
static void split(void)
{
	size_t i;

	for (i = 1; i < 8; i++)
		mprotect(area + 2 * i * PAGE, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
	for (i = 1; i < 8; i++)
		mprotect(area + 2 * i * PAGE, PAGE, PROT_READ | PROT_WRITE);
	madvise(area, 8 * PAGE, MADV_DONTFORK);
	madvise(area, 8 * PAGE, MADV_DOFORK);
}

/*
 * mremap() moves page tables. A fault that has begun at the old place must not end
 * there after the move: a later write to that page would be lost. Each thread has a
 * huge page, which takes long to clear. The thread drops the page, writes a word, and
 * checks it.
 */
static char *place[2], *where;

static bool two_places(void)
{
	place[0] = map_area(THREADS * HUGE, true, PROT_READ | PROT_WRITE);
	place[1] = map_area(THREADS * HUGE, true, PROT_NONE);
	where = place[0];
	STORE((uint64_t *)where, 0);
	return true;
}

static void unmap_places(void)
{
	munmap(place[0], THREADS * HUGE);
	munmap(place[1], THREADS * HUGE);
}

static void *mover(void *arg)
{
	size_t at = (long)arg * HUGE;
	uint64_t value = 0, got;

	may_be_refused = true;
	while (!stopped()) {
		madvise(LOAD(&where) + at, HUGE, MADV_DONTNEED);
		value++;
		/* Refused while the page is at neither place: try again. */
		sigsetjmp(refused, 0);
		if (stopped())
			break;
		STORE((uint64_t *)(LOAD(&where) + at), value);
		sigsetjmp(refused, 0);
		if (stopped())
			break;
		got = LOAD((uint64_t *)(LOAD(&where) + at));
		if (got != value)
			fail();
	}
	return NULL;
}

static void move_place(char *old, char *new)
{
	if (mremap(old, THREADS * HUGE, THREADS * HUGE,
		   MREMAP_MAYMOVE | MREMAP_FIXED, new) != new)
		ksft_exit_fail_msg("mremap: %s\n", strerror(errno));
	STORE(&where, new);
	if (mmap(old, THREADS * HUGE, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != old)
		ksft_exit_fail_msg("mmap: %s\n", strerror(errno));
}

static void move(void)
{
	move_place(place[rounds & 1], place[~rounds & 1]);
}

/*
 * Each thread drops pages of its own, writes to them again, and reads what it has just
 * written. So some thread is in a fault at any time.
 */
static bool may_vanish;

static bool pages_that_vanish(void)
{
	may_vanish = true;
	return small_pages();
}

static void unmap_vanished(void)
{
	may_vanish = false;
	unmap();
}

static void *dropper(void *arg)
{
	unsigned int seed = (long)arg + 1;
	uint64_t value = 0, got;

	may_be_refused = true;
	while (!stopped()) {
		size_t page = (next(&seed) >> 8) % 32 * THREADS + (long)arg;
		char *p = area + page * PAGE;

		madvise(p, PAGE, MADV_DONTNEED);
		value++;
		if (sigsetjmp(refused, 0))
			continue;
		STORE((uint64_t *)p, value);
		got = LOAD((uint64_t *)p);
		if (got != value && !(may_vanish && !got))
			fail();
	}
	return NULL;
}

#define DROPPED (32 * THREADS * PAGE)

/* [B5] VMAs next to the area, which grow, merge, and are cut off again */
static void merge(void)
{
	int prot = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
	char *end = area + DROPPED;

	/*
	 * Map the page after the area, then a page further, then the hole between. They
	 * become one VMA, or two VMAs if the page further has an anon_vma of its own.
	 */
	munmap(end, 8 * PAGE);
	mmap(end, PAGE, prot, flags, -1, 0);
	mmap(end + 2 * PAGE, PAGE, prot, flags, -1, 0);
	if (rounds & 1)
		STORE(end + 2 * PAGE, 1);
	mmap(end + PAGE, PAGE, prot, flags, -1, 0);
	/* Grow in place by mremap(), and shrink again. */
	mremap(area, DROPPED + 3 * PAGE, DROPPED + 5 * PAGE, 0);
	mremap(area, DROPPED + 5 * PAGE, DROPPED + 3 * PAGE, 0);
	munmap(end + PAGE, PAGE);
	munmap(end, 8 * PAGE);
}

/* ... and within the area: protections, advice and names in its middle */
static void cut(void)
{
	char *p = area + (rounds % 16 + 1) * PAGE;

	mprotect(p, 3 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
	mprotect(p, PAGE, PROT_READ | PROT_WRITE);
	mprotect(p + PAGE, 2 * PAGE, PROT_READ | PROT_WRITE);
	madvise(p, 2 * PAGE, MADV_DONTDUMP);
	madvise(p + PAGE, 3 * PAGE, MADV_DONTDUMP);
	madvise(p, 4 * PAGE, MADV_DODUMP);
	prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, p, PAGE, "cut");
	prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, p, PAGE, NULL);
	/* All of the area, with nothing to split or merge */
	madvise(area, AREA, MADV_RANDOM);
	madvise(area, AREA, MADV_NORMAL);
}

static bool end_of_heap(void)
{
	area = sbrk(0);
	span = 64 * PAGE;
	return true;
}

static void nothing(void)
{
}

/* The heap grows and shrinks while threads write beyond its end. */
static void grow_brk(void)
{
	char *end = sbrk(0);
	int i;

	STORE(&area, end);
	if (sbrk(span) == (void *)-1)
		return;
	for (i = 0; i < 5; i++)
		sched_yield();
	if (sbrk(-(long)span) == (void *)-1)
		fail();
}

/* [B6] [B8] The old place of a move, which is touched for the first time again */
static void move_away(void)
{
	char *to = mremap(area, DROPPED, DROPPED,
			  MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);

	if (to == MAP_FAILED)
		ksft_exit_fail_msg("mremap: %s\n", strerror(errno));
	munmap(to, DROPPED);
	/* A neighbour, whose anon_vma the area may take over. It goes again. */
	mmap(area + DROPPED, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	mprotect(area + DROPPED, PAGE, PROT_READ | PROT_WRITE);
	munmap(area + DROPPED, PAGE);
}

/* [B10] Replace policies while pages are allocated by them. */
static void bind_policy(void)
{
	unsigned long node = 1;

	syscall(__NR_mbind, area, DROPPED / 2, 1 /* MPOL_PREFERRED */, &node, 8, 0);
	syscall(__NR_mbind, area + PAGE, DROPPED / 2, 2 /* MPOL_BIND */, &node, 8, 0);
	syscall(__NR_mbind, area, DROPPED, 0 /* MPOL_DEFAULT */, NULL, 0, 0);
}

/* [B11] Walks of page tables, concurrently with faults */
static void lock_pages(void)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY);

	mlock(area + 2 * PAGE, 8 * PAGE);
	munlock(area + 4 * PAGE, 8 * PAGE);
	munlock(area, 16 * PAGE);
	if (fd < 0 || write(fd, "4", 1) != 1)
		rounds += 0;	/* not every kernel has it */
	close(fd);
	if (!(rounds & 15)) {
		mlock(area, AREA);
		munlock(area, AREA);
	}
	if (!(rounds & 63)) {
		mlockall(MCL_CURRENT);
		munlockall();
	}
}

/* [B22] Replace a page table while other threads fill it. */
static void collapse(void)
{
	madvise(area, HUGE, MADV_COLLAPSE);
}

/* Userfaultfd contexts that come and go */
static void arm(void)
{
	static int uffd = -1;
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { (uintptr_t)area + PAGE, DROPPED / 2 },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};

	/* The whole VMA, which need not be split first */
	if (rounds & 1) {
		reg.range.start = (uintptr_t)area;
		reg.range.len = AREA;
	}
	if (uffd < 0) {
		uffd = syscall(__NR_userfaultfd, O_CLOEXEC);
		ioctl(uffd, UFFDIO_API, &api);
	}
	ioctl(uffd, UFFDIO_REGISTER, &reg);
	ioctl(uffd, UFFDIO_UNREGISTER, &reg.range);
	if (!(rounds & 7)) {
		ioctl(uffd, UFFDIO_REGISTER, &reg);
		close(uffd);
		uffd = -1;
	}
}

static void set_huge_pages(int n)
{
	set_number("/proc/sys/vm/nr_hugepages", n);
}

static bool eight_huge_pages(void)
{
	set_huge_pages(8);
	area = map_area(4 * HUGE, false, PROT_NONE);
	mapped = span = 4 * HUGE;
	return true;
}

static void unmap_hugetlb(void)
{
	unmap();
	set_huge_pages(0);
}

/* [B18] [B27] Huge pages of hugetlbfs: first touches, splits, and the parts left */
static void remap_hugetlb(void)
{
	char *p = mmap(area, 4 * HUGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_FIXED, -1, 0);
	int i;

	if (p != area)
		return;
	for (i = 0; i < 5; i++)
		sched_yield();
	munmap(area + HUGE, HUGE);
	mprotect(area + 2 * HUGE, HUGE, PROT_READ);
	munmap(area + 2 * HUGE, HUGE);
}

/*
 * [B18] [B27] Two mappings of a file share page tables, until one mapping is unmapped
 * and the other frees the tables. Concurrently threads fault in both mappings, and walk
 * the page tables of the first.
 */
#define GIB (1ul << 30)

static char *shared;
static int shared_fd;

static bool map_shared(void)
{
	set_huge_pages(8);
	shared = MAP_FAILED;
	shared_fd = memfd_create("shared", MFD_HUGETLB);
	if (shared_fd < 0 || ftruncate(shared_fd, GIB))
		return false;
	shared = mmap(NULL, 3 * GIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (shared == MAP_FAILED)
		return false;
	/* A VMA shares the page tables of each aligned GiB that it covers. */
	shared = (char *)(((uintptr_t)shared + GIB - 1) & -GIB);
	return true;
}

static void unmap_shared(void)
{
	if (shared != MAP_FAILED)
		munmap(shared, 2 * GIB);
	close(shared_fd);
	set_huge_pages(0);
}

/*
 * Read all of numa_maps into @text. Not by stdio, which calls malloc(): a thread's first
 * malloc() maps an arena, which would fit into the hole that share_hugetlb() makes.
 */
static bool read_numa_maps(char *text, size_t size)
{
	int fd = open("/proc/self/numa_maps", O_RDONLY);
	size_t len = 0;
	ssize_t n = 0;

	if (fd < 0)
		return false;
	while (len < size - 1 && (n = read(fd, text + len, size - 1 - len)) > 0)
		len += n;
	close(fd);
	text[len] = '\0';
	return !n;
}

static void *walker(void *arg)
{
	static char text[THREADS][65536];
	char *at, *end, *n, *mine = text[(long)arg];
	unsigned char there;

	while (!stopped()) {
		mincore(shared, PAGE, &there);
		may_be_refused = true;
		if (!sigsetjmp(refused, 0))
			STORE(shared + (rounds & 1) * GIB + HUGE, 1);
		may_be_refused = false;
		if (!read_numa_maps(mine, sizeof(text[0])))
			continue;
		for (at = mine; (at = strstr(at, "memfd:shared")); at = end) {
			end = at + strcspn(at, "\n");
			n = strstr(at, " N0=");
			if (n && n < end && atoi(n + 4) > 2)
				fail();
		}
	}
	return NULL;
}

static void share_hugetlb(void)
{
	int i;

	for (i = 0; i < 2; i++)
		if (mmap(shared + i * GIB, GIB, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED | MAP_NORESERVE, shared_fd, 0) == MAP_FAILED)
			ksft_exit_fail_msg("mmap: %s\n", strerror(errno));
	for (i = 0; i < 2; i++)
		madvise(shared + i * GIB, 2 * HUGE, MADV_POPULATE_WRITE);
	if (rounds & 1)
		madvise(shared, HUGE, MADV_DONTNEED);
	else
		fallocate(shared_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, HUGE);
	munmap(shared + GIB, GIB);
	/* A split within what may be shared. Lockdep checks the locks that it takes. */
	if (!(rounds & 7))
		munmap(shared + GIB / 2, HUGE);
}

/*
 * Punch holes into a file of huge pages, concurrently with faults in private mappings
 * of it. Some faults are on other pages, which must be cleared and so take long. Some
 * are on the first page, in new mappings. The first page shows what was written to the
 * file, and zeroes after a hole was punched.
 */
static char *holes;
static int holes_fd;

static bool map_holes(void)
{
	set_huge_pages(2 * THREADS + 4);
	area = holes = MAP_FAILED;
	holes_fd = memfd_create("holes", MFD_HUGETLB);
	if (holes_fd < 0 || ftruncate(holes_fd, (THREADS + 1) * HUGE))
		return false;
	area = mmap(NULL, (THREADS + 1) * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE,
		    holes_fd, 0);
	holes = mmap(NULL, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED, holes_fd, 0);
	return area != MAP_FAILED && holes != MAP_FAILED;
}

static void unmap_holes(void)
{
	if (area != MAP_FAILED)
		munmap(area, (THREADS + 1) * HUGE);
	if (holes != MAP_FAILED)
		munmap(holes, HUGE);
	close(holes_fd);
	set_huge_pages(0);
}

static void *refiller(void *arg)
{
	uint64_t *mine = (uint64_t *)(area + ((long)arg + 1) * HUGE), *p;

	may_be_refused = true;
	while (!stopped()) {
		if (!sigsetjmp(refused, 0)) {
			if (LOAD(mine))
				fail();
			STORE(mine, 1);
		}
		madvise(mine, HUGE, MADV_DONTNEED);
		p = mmap(NULL, HUGE, PROT_READ, MAP_PRIVATE, holes_fd, 0);
		if (p == MAP_FAILED)
			continue;
		if (!sigsetjmp(refused, 0))
			LOAD(p);
		munmap(p, HUGE);
	}
	return NULL;
}

static void punch_hole(void)
{
	uint64_t *page = (uint64_t *)area;

	STORE((uint64_t *)holes, rounds + 1);
	if (LOAD(page) != (uint64_t)rounds + 1)
		fail();
	if (fallocate(holes_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, HUGE))
		ksft_exit_fail_msg("fallocate: %s\n", strerror(errno));
	if (LOAD(page))
		fail();
	/* Drop the mapping's own page, so that the next round reads the file again. */
	madvise(page, HUGE, MADV_DONTNEED);
}

/*
 * UFFDIO_COPY fills huge pages while they are moved, copied by fork() and unmapped. Each
 * thread has a huge page. The thread drops it, fills it with a stamp, and checks the
 * stamp, wherever the page is then. Every second time most of the source is absent.
 */
static int filler = -1;
static long unmapped;		/* odd while the contents may be lost */

#define HUGE_WORDS (HUGE / sizeof(uint64_t))

static bool arm_huge(char *at, size_t len, int mode)
{
	struct uffdio_register reg = {
		.range = { (uintptr_t)at, len }, .mode = mode,
	};

	return !ioctl(filler, UFFDIO_REGISTER, &reg);
}

static bool open_filler(char *at, size_t len, int mode)
{
	struct uffdio_api api = { .api = UFFD_API };

	filler = syscall(__NR_userfaultfd, O_CLOEXEC);
	return filler >= 0 && !ioctl(filler, UFFDIO_API, &api) && arm_huge(at, len, mode);
}

static bool map_hugetlb(size_t size)
{
	area = map_area(size, false, PROT_NONE);
	mapped = span = size;
	return mmap(area, size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_FIXED, -1, 0) == area;
}

static void close_filler(void)
{
	close(filler);
	filler = -1;
	unmap_hugetlb();
}

/*
 * Minor faults are those of files, so no fault here waits for a monitor. For each thread
 * there is its page, a page to copy to, and a page of a child.
 */
static bool two_hugetlb_places(void)
{
	set_huge_pages(3 * THREADS + 1);
	place[1] = map_area(THREADS * HUGE, false, PROT_NONE);
	if (!map_hugetlb(THREADS * HUGE))
		return false;
	place[0] = where = area;
	if (!open_filler(where, mapped, UFFDIO_REGISTER_MODE_MINOR))
		return false;
	STORE((uint64_t *)where, 0);
	return true;
}

static void unmap_hugetlb_places(void)
{
	close_filler();
	munmap(place[1], mapped);
}

static void *copier(void *arg)
{
	uint64_t *source = mmap(NULL, HUGE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t at = (long)arg * HUGE;
	uint64_t value = 0;

	if (source == MAP_FAILED)
		ksft_exit_fail_msg("mmap: %s\n", strerror(errno));
	may_be_refused = true;
	while (!stopped()) {
		struct uffdio_copy copy = { .src = (uintptr_t)source, .len = HUGE };
		long before = __atomic_load_n(&unmapped, __ATOMIC_SEQ_CST);
		uint64_t *p;

		value++;
		if (value & 1)
			madvise(source, HUGE, MADV_DONTNEED);
		source[0] = source[HUGE_WORDS - 1] = value;
		copy.dst = (uintptr_t)LOAD(&where) + at;
		madvise((void *)copy.dst, HUGE, MADV_DONTNEED);
		if (ioctl(filler, UFFDIO_COPY, &copy))
			continue;
		/* Refused while the page is at neither place: try again. */
		sigsetjmp(refused, 0);
		if (stopped())
			break;
		p = (uint64_t *)(LOAD(&where) + at);
		if ((LOAD(p) != value || LOAD(p + HUGE_WORDS - 1) != value) &&
		    !(before & 1) && before == __atomic_load_n(&unmapped, __ATOMIC_SEQ_CST))
			fail();
	}
	munmap(source, HUGE);
	return NULL;
}

static void fork_huge(void)
{
	int status, i, j;
	pid_t pid = fork();

	if (pid < 0)
		ksft_exit_fail_msg("fork: %s\n", strerror(errno));
	if (!pid) {
		uint64_t seen[THREADS];

		/* Whole pages, which do not change. SIGBUS: no huge page is left. */
		may_be_refused = true;
		if (sigsetjmp(refused, 0))
			_exit(0);
		for (j = 0; j < 2; j++) {
			for (i = 0; i < THREADS; i++) {
				uint64_t *p = (uint64_t *)(where + i * HUGE);

				if (LOAD(p) != LOAD(p + HUGE_WORDS - 1) ||
				    (j && LOAD(p) != seen[i]))
					_exit(1);
				seen[i] = LOAD(p);
			}
			for (i = 0; i < 20; i++)
				sched_yield();
		}
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		fail();
}

static void move_huge(void)
{
	char *old = where;

	switch (rounds % 4) {
	case 0:
		fork_huge();
		break;
	case 1:
		__atomic_add_fetch(&unmapped, 1, __ATOMIC_SEQ_CST);
		mmap(old, THREADS * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		     -1, 0);
		if (mmap(old, THREADS * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE |
			 MAP_ANONYMOUS | MAP_HUGETLB | MAP_FIXED, -1, 0) != old)
			ksft_exit_fail_msg("mmap: %s\n", strerror(errno));
		/* Get an anon_vma, or the first request takes mmap_lock. */
		STORE((uint64_t *)old, 0);
		if (!arm_huge(old, THREADS * HUGE, UFFDIO_REGISTER_MODE_MINOR))
			fail();
		__atomic_add_fetch(&unmapped, 1, __ATOMIC_SEQ_CST);
		break;
	default:
		move_place(old, old == place[0] ? place[1] : place[0]);
		if (!arm_huge(where, THREADS * HUGE, UFFDIO_REGISTER_MODE_MINOR))
			fail();
	}
}

static bool monitored_hugetlb(void)
{
	set_huge_pages(3);
	return map_hugetlb(3 * HUGE) && open_filler(area, mapped, UFFDIO_REGISTER_MODE_WP);
}

/* While a monitor has write-protected huge pages no byte changes. */
static void protect_huge(void)
{
	struct uffdio_writeprotect wp = {
		.range = { (uintptr_t)area, span }, .mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};
	int i;

	if (ioctl(filler, UFFDIO_WRITEPROTECT, &wp))
		fail();
	__atomic_store_n(&frozen, rounds + 1, __ATOMIC_SEQ_CST);
	for (i = 0; i < 20; i++)
		sched_yield();
	__atomic_store_n(&frozen, 0, __ATOMIC_SEQ_CST);
	wp.mode = 0;
	if (ioctl(filler, UFFDIO_WRITEPROTECT, &wp))
		fail();
	if (rounds & 1)
		madvise(area, span, MADV_DONTNEED);
}

static bool room_for_stack(void)
{
	mapped = span = 64 * PAGE;
	area = map_area(span, false, PROT_NONE);
	unmap();
	return true;
}

/* [B1] [B4] A stack grows downwards while threads write above and below it. */
static void grow_stack(void)
{
	int i;

	if (mmap(area + span - PAGE, PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0) == MAP_FAILED)
		ksft_exit_fail_msg("mmap: %s\n", strerror(errno));
	for (i = 0; i < 20; i++)
		sched_yield();
	munmap(area, span);
}

/* [B25] A process that is killed while its writers wait for its readers */
static void kill_child(void)
{
	pid_t pid = fork();
	int status;
	long i;

	if (pid < 0)
		ksft_exit_fail_msg("fork: %s\n", strerror(errno));
	if (!pid) {
		for (i = 0; i < THREADS; i++)
			start(dropper, (void *)i);
		for (;;) {
			cut();
			merge();
		}
	}
	for (i = 0; i < 20 + rounds % 50; i++)
		sched_yield();
	kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status))
		fail();
}

static void *idle(void *arg)
{
	return NULL;
}

static const struct race races[] = {
	{ "mprotect [B11]", scribbler, protect, few_pages, unmap },
	{ "mprotect, populate", populater, protect, few_pages, unmap },
	{ "munmap [B32]", scribbler, remap, small_pages, unmap },
	{ "munmap, populate", populater, remap, small_pages, unmap },
	{ "munmap, pins", pin_writer, remap, small_pages, unmap },
	{ "split and merge", owner, split, small_pages, unmap },
	{ "split and merge, pins", pin_owner, split, small_pages, unmap },
	{ "fork [B3]", owner, fork_child, words_and_tail, unmap_with_tail },
	{ "fork, pins", pin_owner, fork_child, words_and_tail, unmap_with_tail },
	{ "fork, order of writes", in_order, fork_in_order, early_and_late, unmap_with_tail },
	{ "exec", scribbler, exec_child, small_pages, unmap },
	{ "switch", scribbler, turn, few_pages, turn_back },
	{ "mprotect, huge pages", scribbler, protect, huge_pages, unmap },
	{ "munmap, huge pages [B32]", scribbler, remap, huge_pages, unmap },
	{ "munmap, populate, huge pages", populater, remap, huge_pages, unmap },
	{ "mremap, huge pages", mover, move, two_places, unmap_places },
	{ "merge and expand [B5]", dropper, merge, small_pages, unmap },
	{ "cut, advise, name", dropper, cut, small_pages, unmap },
	{ "mbind [B10]", dropper, bind_policy, small_pages, unmap },
	{ "mlock, clear_refs [B11]", dropper, lock_pages, small_pages, unmap },
	{ "userfaultfd", dropper, arm, small_pages, unmap },
	{ "killed [B25]", idle, kill_child, small_pages, unmap },
	{ "mremap, DONTUNMAP [B6] [B8]", dropper, move_away, pages_that_vanish, unmap_vanished },
	{ "collapse [B22]", dropper, collapse, huge_pages, unmap },
	{ "stack growth [B1] [B4]", scribbler, grow_stack, room_for_stack, unmap },
	{ "hugetlb [B18] [B27]", scribbler, remap_hugetlb, eight_huge_pages, unmap_hugetlb },
	{ "hugetlb, shared page tables [B18] [B27]", walker, share_hugetlb, map_shared,
	  unmap_shared },
	{ "hugetlb, holes in a private mapping", refiller, punch_hole, map_holes, unmap_holes },
	{ "hugetlb, UFFDIO_COPY", copier, move_huge, two_hugetlb_places, unmap_hugetlb_places },
	{ "hugetlb, UFFDIO_WRITEPROTECT", scribbler, protect_huge, monitored_hugetlb,
	  close_filler },
	{ "brk", scribbler, grow_brk, end_of_heap, nothing },
};

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_segv, .sa_flags = SA_NODEFER };
	unsigned int i, plan = 0;

	if (argc > 1 && !strcmp(argv[1], "-x"))
		return 0;
	setlinebuf(stdout);
	ksft_print_header();
	need_per_vma_lock();
	only = argc > 1 ? argv[1] : NULL;
	for (i = 0; i < ARRAY_SIZE(races); i++)
		plan += wanted(&races[i]);
	if (!plan)
		ksft_exit_fail_msg("no race has '%s' in its name\n", only);
	ksft_set_plan(plan);
	sigaction(SIGSEGV, &sa, NULL);
	/* For mappings of hugetlbfs that get no huge page */
	sigaction(SIGBUS, &sa, NULL);
	mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	if (mem < 0)
		ksft_exit_fail_msg("/proc/self/mem: %s\n", strerror(errno));
	for (i = 0; i < ARRAY_SIZE(races); i++)
		if (wanted(&races[i]))
			run_race(&races[i]);
	ksft_finished();
}
