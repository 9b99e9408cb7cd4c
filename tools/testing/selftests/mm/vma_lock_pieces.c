// SPDX-License-Identifier: GPL-2.0
/*
 * mprotect() and munmap() of much memory, which work in pieces, concurrently with
 * threads that access the memory, map over it, move it and fork. Programs may rely on
 * what they could rely on before: the permissions of a mapping change at once, and
 * memory that another thread maps stays mapped.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <sys/resource.h>

#include "vma_lock.h"

#define SIZE (32UL << 20)
#define PAGES (SIZE / PAGE)
#define PIECE (2UL << 20)
#define PATIENCE 60

static char *area;
static int stop;
static __thread sigjmp_buf back;
static __thread int trying, got;

static void on_fault(int sig)
{
	if (!LOAD(&trying))
		_exit(128 + sig);
	siglongjmp(back, 1);
}

static bool can_write(char *p, char value)
{
	STORE(&got, 0);
	if (!sigsetjmp(back, 0)) {
		STORE(&trying, 1);
		STORE(p, value);
		STORE(&got, 1);
	}
	STORE(&trying, 0);
	return LOAD(&got);
}

/* The byte, or -1 if it can't be read */
static int can_read(char *p)
{
	STORE(&got, -1);
	if (!sigsetjmp(back, 0)) {
		STORE(&trying, 1);
		STORE(&got, (unsigned char)LOAD(p));
	}
	STORE(&trying, 0);
	return LOAD(&got);
}

static unsigned int random_page(void)
{
	static __thread unsigned int x;

	if (!x)
		x = (uintptr_t)&x | 1;
	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return x % PAGES;
}

/* A second thread, so that the process does not have only one */
static void *waits(void *unused)
{
	while (!LOAD(&stop))
		usleep(1000);
	return NULL;
}

/* Odd while mprotect() may grant write permission, even while it may not */
static unsigned long phase;
static int wrong;
static long seen_closed, lost;

enum how { WRITE, AGAIN, FORK, MOVE, NR_HOW };
static const char *const hows[] = {
	"a thread writes", "a second equal call", "fork", "mremap",
};
static enum how how;

/*
 * In a phase in which no task grants write permission: if one page is not writable,
 * no page is. Returns false if another page was writable.
 */
static bool closed_everywhere(char *p, unsigned long then)
{
	int i;

	if (can_write(p + random_page() * PAGE + 1, 1))
		return true;
	seen_closed++;
	for (i = 0; i < 64; i++) {
		if (can_write(p + random_page() * PAGE + 1, 1) &&
		    LOAD(&phase) == then)
			return false;
	}
	return true;
}

static bool all_alike(char *p)
{
	bool first = can_write(p + 1, 1);
	unsigned long i;

	for (i = 0; i < PAGES; i += 7)
		if (can_write(p + i * PAGE + 1, 1) != first)
			return false;
	return true;
}

static bool child_is_right(void)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return true;
	if (!pid)
		_exit(!all_alike(area));
	waitpid(pid, &status, 0);
	return !status;
}

static bool moved_is_right(char *other, unsigned long then)
{
	bool right = true;

	if (mremap(area, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, other) == other) {
		right = closed_everywhere(other, then);
		mremap(other, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, area);
	}
	return right;
}

/* Write the first byte of random pages, remember it, and check it later. */
static void *writes(void *arg)
{
	static unsigned char last[PAGES];
	char *other = arg;
	unsigned char n = 0;

	memset(last, 1, sizeof(last));
	while (!LOAD(&stop)) {
		unsigned long then = LOAD(&phase);
		unsigned int i = random_page();
		int byte = can_read(area + i * PAGE);

		if (byte >= 0 && byte != last[i])
			lost++;
		if (can_write(area + i * PAGE, ++n))
			last[i] = n;
		if (then & 1)
			continue;
		switch (how) {
		case AGAIN:
			mprotect(area, SIZE, PROT_READ);
			if (LOAD(&phase) == then && can_write(area + i * PAGE + 1, 1) &&
			    LOAD(&phase) == then)
				wrong++;
			break;
		case FORK:
			wrong += !child_is_right();
			break;
		case MOVE:
			wrong += !moved_is_right(other, then);
			break;
		default:
			break;
		}
		wrong += !closed_everywhere(area, then);
	}
	return NULL;
}

static void test_mprotect(enum how which)
{
	double end = now() + race_seconds();
	char *other = map_area(SIZE, false, PROT_READ | PROT_WRITE);
	pthread_t thread;
	long rounds = 0;

	how = which;
	area = map_area(SIZE, false, PROT_READ | PROT_WRITE);
	memset(area, 1, SIZE);
	stop = wrong = lost = seen_closed = 0;
	phase = 1;
	thread = start(writes, other);
	/* Run longer, until the other thread has once found a page that is closed. */
	while (now() < end || (!LOAD(&seen_closed) && now() < end + PATIENCE)) {
		STORE(&phase, phase + 1);
		if (mprotect(area, SIZE, PROT_READ) && how != MOVE)
			ksft_exit_fail_msg("mprotect: %s\n", strerror(errno));
		STORE(&phase, phase + 1);
		if (mprotect(area, SIZE, PROT_READ | PROT_WRITE) && how != MOVE)
			ksft_exit_fail_msg("mprotect: %s\n", strerror(errno));
		rounds++;
	}
	STORE(&stop, 1);
	pthread_join(thread, NULL);
	munmap(area, SIZE);
	munmap(other, SIZE);
	ksft_print_msg("%ld rounds, %ld times closed\n", rounds, seen_closed);
	ksft_test_result(!wrong && !lost && seen_closed,
			 "mprotect, %s: %d wrong, %ld lost\n", hows[which], wrong,
			 lost);
}

/* After write permission is granted again, pages that need no copy take no fault. */
static void test_granted(void)
{
	struct rusage before, after;
	pthread_t thread;
	unsigned long i;
	long faults;

	stop = 0;
	area = map_area(SIZE, false, PROT_READ | PROT_WRITE);
	memset(area, 1, SIZE);
	thread = start(waits, NULL);
	mprotect(area, SIZE, PROT_READ);
	mprotect(area, SIZE, PROT_READ | PROT_WRITE);
	getrusage(RUSAGE_SELF, &before);
	for (i = 0; i < PAGES; i++)
		area[i * PAGE] = 2;
	getrusage(RUSAGE_SELF, &after);
	STORE(&stop, 1);
	pthread_join(thread, NULL);
	munmap(area, SIZE);
	faults = after.ru_minflt - before.ru_minflt;
	ksft_test_result(faults < (long)PAGES / 8,
			 "mprotect, granted: %ld faults of %lu pages\n", faults,
			 PAGES);
}

/* Whether the page at p is present; -1 if it is not mapped */
static int mapped(char *p)
{
	unsigned char there;

	return mincore(p, PAGE, &there) ? -1 : there & 1;
}

/*
 * The other thread of a test of munmap() waits until the first page is gone. Only
 * reads() runs from the start: it sets @begin, and munmap() begins after that.
 * @came_between: the other thread has seen the range partly unmapped.
 */
static int begin;
static bool came_between;
static char *moved;

static bool first_gone(void)
{
	while (mapped(area) >= 0)
		if (LOAD(&stop))
			return false;
	came_between = mapped(area + SIZE - PAGE) >= 0;
	return true;
}

/* Map over the second half. */
static void *maps_over(void *unused)
{
	char *p = area + SIZE / 2;

	if (!first_gone())
		return NULL;
	if (mmap(p, SIZE / 2, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != p)
		ksft_exit_fail_msg("mmap: %s\n", strerror(errno));
	memset(p, 3, SIZE / 2);
	return NULL;
}

/* A child has all of the range that is being unmapped, or nothing. */
static void *forks(void *unused)
{
	int status;
	pid_t pid;

	if (!first_gone())
		return NULL;
	pid = fork();
	if (pid < 0)
		return NULL;
	if (!pid) {
		int first = mapped(area) >= 0;
		unsigned long i;

		for (i = 0; i < SIZE; i += PIECE / 2)
			if ((mapped(area + i) >= 0) != first)
				_exit(1);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	wrong += status != 0;
	return NULL;
}

/* A part that mremap() could move away is no longer unmapped. fork() copies it. */
static void *moves(void *unused)
{
	int status;
	pid_t pid;

	if (!first_gone())
		return NULL;
	if (mremap(area + SIZE - PIECE, PIECE, PIECE, MREMAP_MAYMOVE | MREMAP_FIXED,
		   moved) != moved)
		return NULL;
	pid = fork();
	if (!pid)
		_exit(can_read(moved) != 1);
	waitpid(pid, &status, 0);
	wrong += status != 0 || can_read(moved) != 1;
	return NULL;
}

/* The last page has its old contents, or can't be read. */
static void *reads(void *unused)
{
	char *p = area + SIZE - PAGE;
	int byte;

	STORE(&begin, 1);
	while (!LOAD(&stop)) {
		came_between |= mapped(area) < 0 && mapped(p) >= 0;
		byte = can_read(p);
		if (byte >= 0 && byte != 1)
			wrong++;
		can_write(p, 1);
	}
	return NULL;
}

static const struct {
	const char *name;
	void *(*other)(void *unused);
} unmaps[] = {
	{ "another thread maps over the rest", maps_over },
	{ "fork", forks },
	{ "mremap of the rest", moves },
	{ "a thread reads the rest", reads },
};

#define NR_UNMAPS ((int)(sizeof(unmaps) / sizeof(*unmaps)))

static void test_munmap(int which)
{
	double end = now() + race_seconds();
	long rounds = 0, between = 0;
	unsigned long i;

	wrong = 0;
	do {
		pthread_t thread;

		area = map_area(SIZE, false, PROT_READ | PROT_WRITE);
		moved = map_area(PIECE, false, PROT_READ | PROT_WRITE);
		memset(area, 1, SIZE);
		/* Three VMAs */
		if (rounds & 1)
			madvise(area + SIZE / 4, SIZE / 4, MADV_DONTDUMP);
		stop = begin = came_between = 0;
		thread = start(unmaps[which].other, NULL);
		while (unmaps[which].other == reads && !LOAD(&begin))
			sched_yield();
		if (munmap(area, SIZE))
			ksft_exit_fail_msg("munmap: %s\n", strerror(errno));
		if (unmaps[which].other == maps_over) {
			pthread_join(thread, NULL);
			for (i = 0; i < SIZE / 2; i += PAGE)
				wrong += can_read(area + SIZE / 2 + i) != 3;
		} else {
			wrong += mapped(area) >= 0 || mapped(area + SIZE - PAGE) >= 0;
			STORE(&stop, 1);
			pthread_join(thread, NULL);
		}
		/* With a page of the gap that map_area() left on either side */
		munmap(area - PAGE, SIZE + 2 * PAGE);
		munmap(moved, PIECE);
		between += came_between;
		rounds++;
	} while (now() < end && !wrong);
	ksft_print_msg("%ld rounds, %ld times in between\n", rounds, between);
	if (!wrong && !between)
		ksft_test_result_skip("munmap, %s: never in between\n",
				      unmaps[which].name);
	else
		ksft_test_result(!wrong, "munmap, %s: %d wrong\n",
				 unmaps[which].name, wrong);
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };
	int i;

	setlinebuf(stdout);
	ksft_print_header();
	ksft_set_plan(NR_HOW + 1 + NR_UNMAPS);
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	for (i = 0; i < NR_HOW; i++)
		test_mprotect(i);
	test_granted();
	for (i = 0; i < NR_UNMAPS; i++)
		test_munmap(i);
	ksft_finished();
}
