// SPDX-License-Identifier: GPL-2.0
/*
 * Faults of many threads against whatever changes their address space, with
 * promises that the contents of memory can break. No test waits for a time to
 * pass; each runs its race for race_seconds() and then counts.
 *
 * Numbers in brackets are rows of Documentation/mm/per-vma-locks.rst, "What
 * has gone wrong before".
 */
#include <setjmp.h>
#include <signal.h>

#include "vma_lock.h"

#define THREADS 3
#define AREA (4 * HUGE)

static char *area;
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

/* A thread whose access is refused gives up this access, no more. */
static __thread sigjmp_buf refused;

static void on_segv(int sig)
{
	siglongjmp(refused, 1);
}

static unsigned int next(unsigned int *seed)
{
	return *seed = *seed * 1103515245 + 12345;
}

/* Write all over the area, whether it is there or not. */
static void *scribbler(void *arg)
{
	unsigned int seed = (long)arg + 1;

	while (!stopped()) {
		size_t at = (next(&seed) >> 8) % (AREA / 64) * 64;

		if (!sigsetjmp(refused, 0))
			__atomic_fetch_add((uint64_t *)(area + at), 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* With an argument: only the race of that name. */
static const char *only;

/* Runs CHANGE over and over beside THREADS of FAULTER. */
static void race(const char *name, void *(*faulter)(void *), void (*change)(void))
{
	pthread_t t[THREADS];
	double end = now() + race_seconds();
	long i;

	if (only && strcmp(only, name))
		return;
	stop = bad = 0;
	rounds = 0;
	for (i = 0; i < THREADS; i++)
		t[i] = start(faulter, (void *)i);
	while (now() < end && !LOAD(&bad)) {
		change();
		rounds++;
	}
	STORE(&stop, 1);
	for (i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	ksft_test_result(!bad && rounds > 3, "%s: %ld rounds\n", name, rounds);
}

/* [3] [11] mprotect() has returned: no byte changes until it is undone. */
static uint64_t sum(size_t step)
{
	uint64_t s = 0;
	size_t i;

	for (i = 0; i < AREA; i += step)
		s = s * 31 + LOAD((uint64_t *)(area + i));
	return s;
}

static void protect(void)
{
	uint64_t a;

	mprotect(area, AREA, PROT_READ);
	a = sum(PAGE / 2);
	sched_yield();
	if (a != sum(PAGE / 2))
		fail();
	mprotect(area, AREA, PROT_READ | PROT_WRITE);
	/* Have them fault again. */
	madvise(area, AREA, MADV_DONTNEED);
}

/* [18] [32] What is mapped where something was unmapped is empty. */
static void remap(void)
{
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
	/* An anon_vma, or the others would only ever meet the fallback. */
	STORE((uint64_t *)area, 0);
	for (i = 0; i < 50; i++)
		sched_yield();
}

/*
 * [3] A thread owns a word of each page; what it has written is there until it
 * writes again, however often the process forks meanwhile.
 */
static void *owner(void *arg)
{
	uint64_t value[16] = { 0 };
	size_t page, mine = (long)arg + 1;
	unsigned int seed = mine;

	while (!stopped()) {
		uint64_t *w;

		page = (next(&seed) >> 8) % 16;
		w = (uint64_t *)(area + page * PAGE) + mine;
		if (LOAD(w) != value[page])
			fail();
		STORE(w, ++value[page]);
		if (LOAD(w) != value[page])
			fail();
	}
	return NULL;
}

/* ... and what the child sees is what it saw first. */
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

static void fresh_words(void)
{
	memset(area, 0, 16 * PAGE);
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

/* The switch, turned while faults of both kinds are under way */
static void turn(void)
{
	set_switch(rounds & 1);
	protect();
}

/* Split, merge, move: the words of owner() stay what they were. */
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

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_segv, .sa_flags = SA_NODEFER };

	if (argc > 1 && !strcmp(argv[1], "-x"))
		return 0;
	ksft_print_header();
	need_per_vma_lock();
	only = argc > 1 ? argv[1] : NULL;
	ksft_set_plan(only ? 1 : 8);
	sigaction(SIGSEGV, &sa, NULL);

	area = map_area(AREA, false, PROT_READ | PROT_WRITE);
	race("mprotect", scribbler, protect);
	race("munmap", scribbler, remap);
	fresh_words();
	race("split and merge", owner, split);
	fresh_words();
	race("fork", owner, fork_child);
	race("exec", scribbler, exec_child);
	race("switch", scribbler, turn);
	set_switch(true);

	munmap(area, AREA);
	area = map_area(AREA, true, PROT_READ | PROT_WRITE);
	race("mprotect, huge pages", scribbler, protect);
	race("munmap, huge pages", scribbler, remap);

	ksft_finished();
}
