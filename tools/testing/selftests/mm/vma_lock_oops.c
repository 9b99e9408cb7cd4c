// SPDX-License-Identifier: GPL-2.0
/*
 * A task oopses in a page fault and dies. It holds the lock of its VMA at that time,
 * in a slot of its CPU. The slot identifies the VMA by the address of its structure.
 * No task may wait for the dead task: neither the rest of its process, nor another
 * process that later gets a VMA at the same address.
 *
 * Needs CONFIG_PER_VMA_LOCK_DEBUG, whose parameter oops_at makes a fault oops,
 * and a kernel that survives an oops.
 * KASAN delays the reuse of memory, so the second test shows nothing there.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/syscall.h>

#include "vma_lock.h"

#define PARAMETERS "/sys/module/vma_lock_debug/parameters/"
#define SIZE (64 * PAGE)
#define DEAD 6			/* tasks that die, each in its own process */
#define VMAS 1500		/* that another process changes after that */
#define PATIENCE 240

static char *area, *target;
static struct {
	long turn;		/* counts the touches, which two threads make in turn */
	int dead;		/* the task that is about to die */
} *shared;

static void set_parameter(const char *name, unsigned long value)
{
	char path[128], text[32];
	int fd, n;

	snprintf(path, sizeof(path), PARAMETERS "%s", name);
	fd = open(path, O_WRONLY);
	n = snprintf(text, sizeof(text), "%lu", value);
	if (fd < 0 || write(fd, text, n) != n)
		ksft_exit_fail_msg("%s: %s\n", path, strerror(errno));
	close(fd);
}

static void wait_turn(long turn)
{
	while (LOAD(&shared->turn) < turn)
		sched_yield();
}

/* Take the odd turns, on another CPU than the even turns. This makes a VMA hot. */
static void *other_cpu(void *unused)
{
	long turn;

	pin(1);
	for (turn = 1; ; turn += 2) {
		wait_turn(turn);
		STORE(LOAD(&target) + PAGE, 1);
		STORE(&shared->turn, turn + 1);
	}
	return NULL;
}

/* Touch pages of an area from two CPUs in turn. */
static void heat(char *p)
{
	static long turn;

	STORE(p, 1);
	STORE(&target, p);
	STORE(&shared->turn, ++turn);
	wait_turn(++turn);
	STORE(p + 2 * PAGE, 1);
}

static void *dier(void *unused)
{
	pin(0);
	heat(area);
	STORE(&shared->dead, syscall(SYS_gettid));
	STORE(area + SIZE - PAGE, 1);
	ksft_exit_fail_msg("the fault did not oops\n");
	return NULL;
}

/* One thread of this process dies in a fault of @area. */
static void die_in_fault(void)
{
	pthread_t thread;

	pin(0);
	shared->turn = shared->dead = 0;
	area = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED)
		ksft_exit_fail_msg("mmap: %s\n", strerror(errno));
	set_parameter("oops_at", (unsigned long)area + SIZE - PAGE);
	start(other_cpu, NULL);
	thread = start(dier, NULL);
	(void)thread;
	while (!LOAD(&shared->dead) ||
	       !syscall(SYS_tgkill, getpid(), shared->dead, 0))
		sched_yield();
}

static int same_process(void)
{
	die_in_fault();
	return mprotect(area, SIZE, PROT_READ) || munmap(area, SIZE);
}

static int leave_slots(void)
{
	die_in_fault();
	return 0;
}

static int other_process(void)
{
	int i;

	pin(0);
	shared->turn = 0;
	start(other_cpu, NULL);
	for (i = 0; i < VMAS; i++) {
		char *p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			return 1;
		heat(p);
		if (mprotect(p, 4 * PAGE, PROT_READ))
			return 1;
	}
	return 0;
}

/* Run @fn in a process of its own, which may hang. Returns whether it ends well. */
static bool ends(int (*fn)(void))
{
	double end = now() + PATIENCE;
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(fn());
	while (!waitpid(pid, &status, WNOHANG)) {
		if (now() > end) {
			kill(pid, SIGKILL);
			return false;
		}
		sched_yield();
	}
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

int main(void)
{
	bool ok = true;
	int i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	ksft_print_header();
	need_per_vma_lock();
	if (access(PARAMETERS "oops_at", W_OK))
		ksft_exit_skip("no " PARAMETERS "oops_at\n");
	ksft_set_plan(2);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		ksft_exit_fail_msg("mmap: %s\n", strerror(errno));
	/* Make a VMA hot as soon as its readers come from two CPUs. */
	set_parameter("hot_one_in", 1);

	ksft_test_result(ends(same_process),
			 "the rest of the process changes the VMA\n");
	for (i = 0; i < DEAD; i++)
		ok &= ends(leave_slots);
	ksft_test_result(ok && ends(other_process),
			 "another process changes VMAs at the same addresses\n");
	ksft_finished();
}
