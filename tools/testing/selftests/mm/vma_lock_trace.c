// SPDX-License-Identifier: GPL-2.0
/*
 * The trace events vma_lock:*. The test triggers each event, and checks that it
 * reports the address or the VMA.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>

#include "vma_lock.h"

#define TRACEFS "/sys/kernel/tracing"
#define EVENTS TRACEFS "/events/vma_lock"
#define SPAN (8 * PAGE)
#define FAULTERS 3

static char *area, *nowhere;
static int stop;

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		ksft_exit_fail_msg("%s: %s\n", path, strerror(errno));
	close(fd);
}

/* How many lines of the trace contain both strings */
static long lines(const char *event, const char *what)
{
	static char line[512];
	FILE *f = fopen(TRACEFS "/trace", "r");
	long n = 0;

	if (!f)
		ksft_exit_fail_msg(TRACEFS "/trace: %s\n", strerror(errno));
	while (fgets(line, sizeof(line), f))
		n += strstr(line, event) && strstr(line, what);
	fclose(f);
	return n;
}

static __thread sigjmp_buf refused;

static void on_segv(int sig)
{
	siglongjmp(refused, 1);
}

/* Drop pages and touch them again, concurrently with others in the same VMA. */
static void *faulter(void *arg)
{
	static __thread size_t at;

	while (!LOAD(&stop)) {
		at = (at + PAGE) % SPAN;
		if (sigsetjmp(refused, 1))
			continue;
		STORE(area + at, 1);
		madvise(area + at, PAGE, MADV_DONTNEED);
	}
	return NULL;
}

static void tell(const char *event, const char *what)
{
	long n = lines(event, what);

	ksft_test_result(n > 0, "%s %s: %ld\n", event, what, n);
}

int main(void)
{
	struct sigaction sa = { .sa_handler = on_segv };
	pthread_t t[FAULTERS];
	char what[64], none[64];
	double end;
	size_t i;

	setlinebuf(stdout);
	ksft_print_header();
	need_per_vma_lock();
	if (access(EVENTS, F_OK))
		mount("tracefs", TRACEFS, "tracefs", 0, NULL);
	if (access(EVENTS, F_OK))
		ksft_exit_skip("no " EVENTS ": no CONFIG_TRACEPOINTS, or no tracefs\n");
	ksft_set_plan(7);
	sigaction(SIGSEGV, &sa, NULL);

	area = map_area(SPAN, false, PROT_READ | PROT_WRITE);
	STORE(area, 1);
	nowhere = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(nowhere, PAGE);
	snprintf(what, sizeof(what), "vma=0x%lx-0x%lx", (long)area, (long)area + SPAN);
	write_file(EVENTS "/enable", "1");
	write_file(TRACEFS "/trace", "\n");

	if (!sigsetjmp(refused, 1))
		LOAD(nowhere);
	snprintf(none, sizeof(none), "address=0x%lx reason=no_vma", (long)nowhere);
	tell("vma_lock_fallback:", none);

	/* Run until a writer has had to wait, and readers have met a writer. */
	for (i = 0; i < FAULTERS; i++)
		t[i] = start(faulter, NULL);
	end = now() + 20 * race_seconds();
	do {
		for (i = 0; i < 200; i++) {
			mprotect(area, SPAN, PROT_READ);
			mprotect(area, SPAN, PROT_READ | PROT_WRITE);
		}
		/* Leave the VMA alone long enough for it to become hot. */
		for (i = 0; i < 200; i++)
			sched_yield();
	} while (now() < end &&
		 !(lines("vma_lock_waited:", what) && lines("vma_lock_cold:", what) &&
		   lines("vma_lock_fallback:", "reason=write_locked")));
	STORE(&stop, 1);
	for (i = 0; i < FAULTERS; i++)
		pthread_join(t[i], NULL);
	write_file(EVENTS "/enable", "0");

	tell("vma_lock_fallback:", "reason=write_locked");
	tell("vma_lock_wait:", what);
	tell("vma_lock_waited:", what);
	tell("vma_lock_hot:", what);
	tell("vma_lock_cold:", what);

	/* Disabled events report nothing. */
	write_file(TRACEFS "/trace", "\n");
	if (!sigsetjmp(refused, 1))
		LOAD(nowhere);
	ksft_test_result(!lines("vma_lock_", ""), "none when turned off\n");
	ksft_finished();
}
