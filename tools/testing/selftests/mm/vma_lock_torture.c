// SPDX-License-Identifier: GPL-2.0
/*
 * Everything at once. Some threads own memory of every kind and know its contents.
 * Other threads change its VMAs in every way that keeps the contents. The process also
 * forks, and handles userfaults. VMA_LOCK_SECONDS sets the duration (20).
 * VMA_LOCK_SEED repeats the random choices. The scheduler decides their order.
 */
#define _GNU_SOURCE
#include <linux/userfaultfd.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/shm.h>

#include "vma_lock.h"

/* Not every C library has all of them. */
enum {
	MY_FREE = 8, MY_COLD = 20, MY_PAGEOUT, MY_POPULATE_READ, MY_POPULATE_WRITE,
	MY_COLLAPSE = 25,
};

#define STIRRERS 2
#define PAGES 512
#define SIZE (PAGES * PAGE)		/* one huge page */
#define RW (PROT_READ | PROT_WRITE)

/*
 * Each area has a thread that owns it. No other thread writes to the area. It moves
 * between two places. A child judges a page by its numbers, which are in shared memory,
 * so that the child sees their current values.
 */
struct numbers {
	uint32_t settled;		/* the page surely holds this version, or 0 */
	uint32_t drops;			/* how often the page was dropped */
};

static struct area {
	const char *name;
	int flags, fd;
	bool private;
	char *place[2], *base;
	uint32_t version[PAGES];	/* the owner's; 0: the page is zero */
	bool maybe[PAGES];		/* MADV_FREE: this version or zero */
	struct {
		uint32_t moves;		/* odd: being moved */
		struct numbers page[PAGES];
	} *shared;
} areas[] = {
	{ "anonymous", MAP_PRIVATE | MAP_ANONYMOUS, -1, true },
	{ "huge", MAP_PRIVATE | MAP_ANONYMOUS, -1, true },
	{ "private file", MAP_PRIVATE, 0, true },
	{ "file", MAP_SHARED, 0, false },
	{ "shmem", MAP_SHARED, 0, false },
};

#define NR_AREAS ((int)(sizeof(areas) / sizeof(*areas)))
#define HUGE_AREA 1

static int stop;
static int bad_contents, bad_child, bad_end;

/* The operations. done[] counts how often each of them succeeded. */
enum {
	WRITE, CHECK, DROP, FREE, REMAP, MOVE, PROTECT, ADVISE, COLLAPSE, PAGEOUT, POPULATE,
	LOCK, REGISTER, ANSWER, NEIGHBOUR, LOOK, PROBE, FORK, NR_OPS
};

static const char *const names[NR_OPS] = {
	"write", "check", "drop", "free", "remap", "move", "protect", "advise", "collapse",
	"pageout", "populate", "lock", "register", "answer", "neighbour", "look",
	"probe", "fork",
};

static long done[NR_OPS];

static void count(int op, bool success)
{
	if (success)
		__atomic_fetch_add(&done[op], 1, __ATOMIC_RELAXED);
}

/* xorshift, a state for each thread */
static __thread uint32_t state;

static void seed_thread(uint32_t seed, int who)
{
	state = (seed * 2654435761U) ^ (who * 40503U + 1) ?: 1;
}

static uint32_t random_below(uint32_t n)
{
	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state % n;
}

static uint32_t seed;

static __thread sigjmp_buf refused;

static void on_segv(int sig)
{
	siglongjmp(refused, 1);
}

/* A page has its stamp at both ends. */
static uint64_t stamp(const struct area *a, int page, uint32_t version)
{
	return version ? (uint64_t)version << 32 | (a - areas + 1) << 16 | page : 0;
}

static uint64_t *word(char *base, int page, int end)
{
	return (uint64_t *)(base + page * PAGE + end * (PAGE - 8));
}

/* The operations of the owner */

static void check_page(struct area *a, int page, int *bad)
{
	uint64_t want = stamp(a, page, a->version[page]);
	int end;

	for (end = 0; end < 2; end++) {
		uint64_t got = LOAD(word(a->base, page, end));

		if (got == want || (a->maybe[page] && !got))
			continue;
		if (!__atomic_fetch_add(bad, 1, __ATOMIC_RELAXED))
			printf("# %s, page %d: %llx for %llx%s\n", a->name, page,
			       (unsigned long long)got, (unsigned long long)want,
			       a->maybe[page] ? " or zero" : "");
	}
}

static void write_page(struct area *a, int page)
{
	uint32_t version = a->version[page] + 1;

	/* Refused while another thread has the page protected. */
	while (sigsetjmp(refused, 0))
		sched_yield();
	STORE(word(a->base, page, 0), stamp(a, page, version));
	STORE(word(a->base, page, 1), stamp(a, page, version));
	a->version[page] = version;
	a->maybe[page] = false;
	check_page(a, page, &bad_contents);
	__atomic_store_n(&a->shared->page[page].settled, version, __ATOMIC_RELEASE);
}

/* Before contents are dropped */
static void unsettle(struct area *a, int from, int to)
{
	for (; from < to; from++) {
		__atomic_fetch_add(&a->shared->page[from].drops, 1, __ATOMIC_SEQ_CST);
		__atomic_store_n(&a->shared->page[from].settled, 0, __ATOMIC_SEQ_CST);
	}
}

static void forget(struct area *a, int from, int to)
{
	memset(a->version + from, 0, (to - from) * sizeof(*a->version));
	memset(a->maybe + from, 0, (to - from) * sizeof(*a->maybe));
}

static void drop(struct area *a, int from, int to)
{
	char *p = a->base + from * PAGE;
	size_t size = (to - from) * PAGE;
	bool ok;

	unsettle(a, from, to);
	if (a->private)
		ok = !madvise(p, size, MADV_DONTNEED);
	else
		ok = !fallocate(a->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				from * PAGE, size);
	/* DONTNEED fails on memory that is locked, maybe half way. */
	if (ok)
		forget(a, from, to);
	else
		memset(a->maybe + from, true, to - from);
	count(DROP, ok);
}

static void lazily_free(struct area *a, int from, int to)
{
	if (a->fd >= 0)
		return;
	unsettle(a, from, to);
	memset(a->maybe + from, true, to - from);
	count(FREE, !madvise(a->base + from * PAGE, (to - from) * PAGE, MY_FREE));
}

static void map_at(struct area *a, char *p)
{
	if (mmap(p, SIZE, RW, a->flags | MAP_FIXED, a->fd, 0) != p)
		ksft_exit_fail_msg("mmap: %s\n", strerror(errno));
}

static void nothing_at(char *p)
{
	if (mmap(p, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
		 -1, 0) != p)
		ksft_exit_fail_msg("mmap: %s\n", strerror(errno));
}

static void moves(struct area *a)
{
	__atomic_fetch_add(&a->shared->moves, 1, __ATOMIC_SEQ_CST);
}

static void remap(struct area *a)
{
	moves(a);
	if (a->private)
		unsettle(a, 0, PAGES);
	munmap(a->base, SIZE);
	map_at(a, a->base);
	if (a->private)
		forget(a, 0, PAGES);
	moves(a);
	count(REMAP, true);
}

/* All threads map at fixed addresses, so no other mapping gets into the hole. */
static void move(struct area *a)
{
	char *old = a->base, *new = a->place[old == a->place[0]];
	bool ok;

	moves(a);
	/* Fails if the area is more than one VMA. */
	ok = mremap(old, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, new) == new;
	if (ok) {
		nothing_at(old);
		STORE(&a->base, new);
	} else {
		/* mremap() has already unmapped the new place. */
		nothing_at(new);
	}
	moves(a);
	count(MOVE, ok);
}

static void *owner(void *arg)
{
	struct area *a = arg;

	seed_thread(seed, a - areas + 1);
	while (!LOAD(&stop)) {
		int page = random_below(PAGES), what = random_below(1000);
		int to = page + 1 + random_below(64);

		if (to > PAGES)
			to = PAGES;
		if (what < 600) {
			write_page(a, page);
			count(WRITE, true);
		} else if (what < 960) {
			check_page(a, page, &bad_contents);
			count(CHECK, true);
		} else if (what < 980) {
			drop(a, page, to);
		} else if (what < 990) {
			lazily_free(a, page, to);
		} else if (what < 993) {
			remap(a);
		} else {
			move(a);
		}
	}
	return NULL;
}

/*
 * The operations of the other threads. The owner may be moving the memory at the same
 * time. An operation on unmapped memory is no failure, and it does no harm to any
 * other mapping in that place.
 */
static int uffd = -1;

static void register_range(char *p, size_t size)
{
	bool wp = random_below(2);
	struct uffdio_register reg = {
		.range = { (uintptr_t)p, size },
		.mode = wp ? UFFDIO_REGISTER_MODE_WP : UFFDIO_REGISTER_MODE_MISSING,
	};
	struct uffdio_writeprotect protect = {
		.range = reg.range, .mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};
	long answers;
	int i;

	if (uffd < 0 || ioctl(uffd, UFFDIO_REGISTER, &reg))
		return;
	if (wp)
		ioctl(uffd, UFFDIO_WRITEPROTECT, &protect);
	/* Wait until the owner has probably faulted there. */
	answers = LOAD(&done[ANSWER]);
	for (i = random_below(2000); i && LOAD(&done[ANSWER]) == answers; i--)
		sched_yield();
	count(REGISTER, !ioctl(uffd, UFFDIO_UNREGISTER, &reg.range));
}

static void *answer(void *arg)
{
	struct uffd_msg msg;

	while (read(uffd, &msg, sizeof(msg)) == sizeof(msg)) {
		struct uffdio_range range = { msg.arg.pagefault.address & ~(PAGE - 1), PAGE };
		struct uffdio_zeropage zero = { .range = range };
		struct uffdio_writeprotect wp = { .range = range };
		bool ok;

		if (msg.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP)
			ok = !ioctl(uffd, UFFDIO_WRITEPROTECT, &wp);
		else
			ok = !ioctl(uffd, UFFDIO_ZEROPAGE, &zero);
		count(ANSWER, ok);
		/* No longer registered, or already present: make the fault retry. */
		if (!ok)
			ioctl(uffd, UFFDIO_WAKE, &range);
	}
	return NULL;
}

static char *yard[STIRRERS];	/* VMAs that come and go */
static bool probes;		/* there are uprobes */
static int shm_id = -1;

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

static void neighbour(char *p)
{
	int i = random_below(16);

	p += i * PAGE;
	if (mmap(p, 3 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != p)
		return;
	STORE(p + PAGE, 1);
	prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, p + PAGE, PAGE, "neighbour");
	mprotect(p, PAGE, PROT_READ);
	if (random_below(2) && shmat(shm_id, p, SHM_REMAP) == p) {
		STORE(p, 1);
		shmdt(p);
	}
	mremap(p + 2 * PAGE, PAGE, 2 * PAGE, 0);
	munmap(p, (1 + random_below(3)) * PAGE);
	count(NEIGHBOUR, true);
}

#define TEXT MNT "/text"

/*
 * A breakpoint moves with its page. Each stirrer has a breakpoint. It may survive
 * close(): a child that was forked meanwhile has the uprobe until it exits.
 */
static void probe(char *p, long me)
{
	uint64_t *at = (uint64_t *)p + me;
	char *to = p + (16 + random_below(8)) * PAGE;
	int fd = open(TEXT, O_RDONLY), event = open_uprobe(TEXT, me * 8, false);
	bool ok;

	ok = event >= 0 && mmap(p, 2 * PAGE, PROT_READ | PROT_EXEC,
				MAP_PRIVATE | MAP_FIXED, fd, 0) == p &&
	     mremap(p, PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to &&
	     mremap(to, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p) == p;
	if (ok && LOAD(at) == text_word() &&
	    !__atomic_fetch_add(&bad_contents, 1, __ATOMIC_RELAXED))
		printf("# a uprobe without a breakpoint\n");
	close(event);
	close(fd);
	munmap(p, 2 * PAGE);
	munmap(to + PAGE, PAGE);
	count(PROBE, ok);
}

/* Look at the mappings by every interface that shows them. */
static void look(char *p)
{
	static const char *const files[] = { "maps", "smaps", "numa_maps", "smaps_rollup" };
	unsigned char there[PAGES];
	char path[64], buf[1024];
	ssize_t n;
	int fd;

	mincore(p, SIZE, there);
	snprintf(path, sizeof(path), "/proc/self/%s", files[random_below(4)]);
	fd = open(path, O_RDONLY);
	while ((n = read(fd, buf, sizeof(buf))) > 0 && !LOAD(&stop))
		;
	close(fd);
	count(LOOK, !n);
}

static void *stirrer(void *arg)
{
	static const int advice[] = {
		MADV_RANDOM, MADV_NORMAL, MADV_DONTDUMP, MADV_DODUMP, MADV_SEQUENTIAL,
		MADV_NORMAL, MADV_WILLNEED, MY_COLD,
	};
	long me = (long)arg;

	seed_thread(seed, 100 + me);
	while (!LOAD(&stop)) {
		struct area *a = &areas[random_below(NR_AREAS)];
		int from = random_below(PAGES), pages = 1 + random_below(64), i;
		char *p = LOAD(&a->base), *all = p;
		size_t size;

		p += from * PAGE;
		size = (from + pages > PAGES ? PAGES - from : pages) * PAGE;
		switch (random_below(probes ? 12 : 11)) {
		case 0:
			i = mprotect(p, size, PROT_READ);
			sched_yield();
			count(PROTECT, !mprotect(p, size, RW) && !i);
			break;
		case 1:
		case 2:
			i = random_below(ARRAY_SIZE(advice) / 2) * 2;
			count(ADVISE, !madvise(p, size, advice[i]));
			madvise(all, SIZE, advice[i + 1]);
			break;
		case 3:
			/* The anonymous areas */
			all = LOAD(&areas[random_below(2)].base);
			count(COLLAPSE, !madvise(all, SIZE, MY_COLLAPSE));
			break;
		case 4:
			count(PAGEOUT, !madvise(p, size, MY_PAGEOUT));
			break;
		case 5:
			count(POPULATE, !madvise(p, size, random_below(2) ?
						 MY_POPULATE_READ : MY_POPULATE_WRITE));
			break;
		case 6:
			i = mlock(p, size);
			sched_yield();
			count(LOCK, !munlock(all, SIZE) && !i);
			break;
		case 7:
			if (random_below(2))
				register_range(p, size);
			else
				register_range(all, SIZE);
			break;
		case 8:
			neighbour(yard[me]);
			break;
		case 9:
			if (a - areas == HUGE_AREA)
				madvise(all, SIZE, random_below(4) ? MADV_HUGEPAGE :
								     MADV_NOHUGEPAGE);
			break;
		case 10:
			look(all);
			break;
		case 11:
			probe(yard[me], me);
		}
	}
	return NULL;
}

/*
 * The child has every page as it was at the fork. The page is no older than the version
 * that was settled before. It is whole, unless a write was in progress. It does not
 * change. The child does not judge a page that was dropped, or an area that was moved,
 * after the numbers were taken.
 */
static struct numbers before[NR_AREAS][PAGES];
static uint32_t moves_before[NR_AREAS];

static bool given_up(const struct area *a, int page)
{
	const struct numbers *b = &before[a - areas][page];

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return !b->settled || LOAD(&a->shared->page[page].drops) != b->drops;
}

static int judge(const struct area *a, int page, uint64_t first[2])
{
	uint64_t id = stamp(a, page, 1) & 0xffffffff;
	uint32_t version[2];
	int end;

	for (end = 0; end < 2; end++) {
		first[end] = LOAD(word(a->base, page, end));
		version[end] = first[end] >> 32;
		if (first[end] && (first[end] & 0xffffffff) != id)
			return 1;
	}
	if (version[1] >= before[a - areas][page].settled && version[0] - version[1] <= 1)
		return 0;
	return given_up(a, page) ? 0 : 2;
}

static int judge_again(const struct area *a, int page, const uint64_t first[2])
{
	if (LOAD(word(a->base, page, 0)) == first[0] &&
	    LOAD(word(a->base, page, 1)) == first[1])
		return 0;
	return given_up(a, page) ? 0 : 4;
}

static int child(void)
{
	static uint64_t first[PAGES][2];
	int i, page, why = 0;

	for (i = 0; i < NR_AREAS; i++) {
		struct area *a = &areas[i];

		if (!a->private || (moves_before[i] & 1))
			continue;
		if (sigsetjmp(refused, 0)) {
			/* The page is not there: was it moved at the time, or lost? */
			if (LOAD(&a->shared->moves) == moves_before[i])
				return 3;
			continue;
		}
		for (page = 0; page < PAGES && !why; page++)
			why = judge(a, page, first[page]);
		for (page = 0; page < PAGES && !why; page++)
			why = judge_again(a, page, first[page]);
		if (why && LOAD(&a->shared->moves) == moves_before[i])
			return why;
		why = 0;
	}
	return 0;
}

static void fork_one(void)
{
	int i, page, status;
	pid_t pid;

	for (i = 0; i < NR_AREAS; i++) {
		moves_before[i] = __atomic_load_n(&areas[i].shared->moves, __ATOMIC_SEQ_CST);
		for (page = 0; page < PAGES; page++) {
			struct numbers *n = &areas[i].shared->page[page];

			before[i][page].drops = __atomic_load_n(&n->drops, __ATOMIC_SEQ_CST);
			before[i][page].settled = __atomic_load_n(&n->settled, __ATOMIC_SEQ_CST);
		}
	}
	pid = fork();
	if (!pid)
		_exit(child());
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		ksft_exit_fail_msg("fork: %s\n", strerror(errno));
	if (status && !bad_child++)
		printf("# child: status %x\n", status);
	count(FORK, true);
}

/* The beginning and the end */

static const char *make(struct area *a)
{
	const char *why = NULL;
	int i = a - areas;

	if (a->fd >= 0) {
		if (i != NR_AREAS - 1) {
			why = mount_ext4();
			a->fd = open(i == 2 ? MNT "/private" : MNT "/shared",
				     O_RDWR | O_CREAT | O_TRUNC, 0600);
		} else {
			a->fd = syscall(__NR_memfd_create, "torture", 0);
		}
		if (why || a->fd < 0 || ftruncate(a->fd, SIZE))
			return why ?: strerror(errno);
	}
	a->shared = mmap(NULL, sizeof(*a->shared), RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	/* Both places are aligned, with room around them. */
	a->place[0] = map_area(SIZE, false, PROT_NONE);
	a->place[1] = map_area(SIZE, false, PROT_NONE);
	a->base = a->place[0];
	map_at(a, a->base);
	if (i == HUGE_AREA)
		madvise(a->base, SIZE, MADV_HUGEPAGE);
	return NULL;
}

/* If there are uprobes, make a file of code for them. */
static void make_text(void)
{
	uint64_t code[STIRRERS] = { text_word(), text_word() };
	int fd = open(TEXT, O_RDWR | O_CREAT | O_TRUNC, 0700);

	probes = code[0] && uprobe_type() && !ftruncate(fd, 2 * PAGE) &&
		 pwrite(fd, code, sizeof(code), 0) == sizeof(code);
	close(fd);
}

static bool each_done(void)
{
	int i;

	for (i = 0; i < NR_OPS; i++)
		if (!LOAD(&done[i]) && (i != PROBE || probes))
			return false;
	return true;
}

static void check_end(struct area *a)
{
	uint64_t w;
	int page;

	for (page = 0; page < PAGES; page++) {
		check_page(a, page, &bad_end);
		if (a->private)
			continue;
		if (pread(a->fd, &w, 8, page * PAGE) != 8 ||
		    w != stamp(a, page, a->version[page]))
			bad_end++;
	}
	munmap(a->base, SIZE);
}

int main(void)
{
	struct sigaction sa = { .sa_handler = on_segv, .sa_flags = SA_NODEFER };
	struct uffdio_api api = { .api = UFFD_API };
	pthread_t owners[NR_AREAS], stirrers[STIRRERS], handler;
	const char *s = getenv("VMA_LOCK_SECONDS"), *why;
	int i, seconds = s && atoi(s) > 0 ? atoi(s) : 20;
	long success, out;
	double end, tell;

	setlinebuf(stdout);
	ksft_print_header();
	need_per_vma_lock();
	ksft_set_plan(5);
	s = getenv("VMA_LOCK_SEED");
	seed = s ? strtoul(s, NULL, 0) : (uint32_t)(now() * 1e9);
	ksft_print_msg("VMA_LOCK_SEED=%u VMA_LOCK_SECONDS=%d\n", seed, seconds);

	sigaction(SIGSEGV, &sa, NULL);
	for (i = 0; i < NR_AREAS; i++) {
		why = make(&areas[i]);
		if (why)
			ksft_exit_fail_msg("%s: %s\n", areas[i].name, why);
	}
	make_text();
	why = swap_on();
	if (why)
		ksft_print_msg("%s\n", why);
	for (i = 0; i < STIRRERS; i++)
		yard[i] = map_area(32 * PAGE, false, PROT_NONE);
	shm_id = shmget(IPC_PRIVATE, PAGE, IPC_CREAT | 0600);
	uffd = syscall(__NR_userfaultfd, O_CLOEXEC);
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api))
		ksft_exit_fail_msg("userfaultfd: %s\n", strerror(errno));
	success = vm_counter("vma_lock_success");
	out = vm_counter("pswpout");

	handler = start(answer, NULL);
	for (i = 0; i < NR_AREAS; i++)
		owners[i] = start(owner, &areas[i]);
	for (i = 0; i < STIRRERS; i++)
		stirrers[i] = start(stirrer, (void *)(long)i);
	tell = now();
	/* Run longer on a slow machine, until each operation was done. */
	for (end = tell + seconds;
	     now() < end || (!each_done() && now() < end + 9 * seconds);) {
		fork_one();
		if (now() > tell + 30) {
			tell = now();
			ksft_print_msg("%.0f s to go, %ld writes, %ld forks\n", end - tell,
				       LOAD(&done[WRITE]), LOAD(&done[FORK]));
		}
	}
	STORE(&stop, 1);
	/* Owners may wait for a stirrer to restore permissions, or for an answer. */
	for (i = 0; i < STIRRERS; i++)
		pthread_join(stirrers[i], NULL);
	for (i = 0; i < NR_AREAS; i++)
		pthread_join(owners[i], NULL);
	for (i = 0; i < NR_AREAS; i++)
		check_end(&areas[i]);
	pthread_cancel(handler);
	pthread_join(handler, NULL);
	close(uffd);
	shmctl(shm_id, IPC_RMID, NULL);

	success = vm_counter("vma_lock_success") - success;
	out = vm_counter("pswpout") - out;
	for (i = 0; i < NR_OPS; i++)
		ksft_print_msg("%s: %ld\n", names[i], done[i]);
	for (i = 0; i < NR_FALLBACKS; i++)
		ksft_print_msg("%s %ld\n", fallbacks[i], vm_counter(fallbacks[i]));
	ksft_test_result(!bad_contents, "contents: %d bad\n", bad_contents);
	ksft_test_result(!bad_child, "children: %d bad\n", bad_child);
	ksft_test_result(!bad_end, "nothing lost at the end: %d bad\n", bad_end);
	ksft_test_result(each_done(), "each change was made\n");
	ksft_test_result(success > 0 && out > 0,
			 "counters: %ld faults under the VMA lock, %ld pages swapped out\n",
			 success, out);
	umount(MNT);
	swapoff("/dev/ram1");
	ksft_finished();
}
