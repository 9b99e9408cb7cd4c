// SPDX-License-Identifier: GPL-2.0
/*
 * Uprobes, concurrently with changes of the VMAs that have their breakpoints. A
 * breakpoint is a private copy of a page of the file. When the uprobe is removed
 * the copy goes. If the file has a huge page there, the page table goes, too.
 * No test waits for a time to pass. The last two run for race_seconds(). The tests do
 * not need the VMA lock, so they run on 6.1 without it, too. Huge pages of files need
 * CONFIG_BASE_FULL.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>

#include "vma_lock.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define DIR "/tmp/vma_lock.huge"
#define TEXT DIR "/text"

#define PAGES (2 * HUGE / PAGE)
#define HOT 16			/* pages that are read and run in races */
#define THREADS 3
#define RX (PROT_READ | PROT_EXEC)

static uint64_t original;	/* the word that fills each page */
static int fd, stop, bad;
static char *room, *base;	/* the place for all VMAs; where the file is now */

static void fail(const char *what)
{
	if (!__atomic_exchange_n(&bad, 1, __ATOMIC_RELAXED))
		printf("# %s\n", what);
}

/* Memory that may be unmapped while it is used */
static __thread sigjmp_buf refused;
static __thread bool may_be_refused;

static void on_segv(int sig)
{
	if (may_be_refused)
		siglongjmp(refused, 1);
	signal(sig, SIG_DFL);
}

/* A uprobe at the beginning of a page of the file */
static int must_probe(size_t page, bool all)
{
	int event = open_uprobe(TEXT, page * PAGE, all);

	if (event < 0)
		ksft_exit_fail_msg("perf_event_open: %s\n", strerror(errno));
	return event;
}

static uint64_t at(const char *p, size_t page)
{
	return LOAD((const uint64_t *)(p + page * PAGE));
}

/* Run the code of a page. It returns, with a breakpoint or without. */
static void run_at(const char *p, size_t page)
{
	((void (*)(void))(uintptr_t)(p + page * PAGE))();
}

static char *map_text(char *p, size_t first, size_t pages, int prot)
{
	if (mmap(p, pages * PAGE, prot, MAP_PRIVATE | MAP_FIXED, fd, first * PAGE) != p)
		ksft_exit_fail_msg("mmap: %s\n", strerror(errno));
	return p;
}

/*
 * Fill the old place of the file. Map the same file there: a thread that still uses
 * the old place may give the range its protection back.
 */
static void vacate(char *p, size_t pages)
{
	map_text(p, 0, pages, PROT_NONE);
}

static bool move(char *from, size_t pages, size_t new_pages, char *to)
{
	return mremap(from, pages * PAGE, new_pages * PAGE,
		      MREMAP_MAYMOVE | MREMAP_FIXED, to) == to;
}

/*
 * The kernel checks the counters of an mm when the last reference to it is dropped. A
 * CPU that was idle or ran a kernel thread since the process ended may have a
 * reference. It drops that when it runs another process.
 */
static void free_lazy_mms(void)
{
	long cpu, cpus = sysconf(_SC_NPROCESSORS_CONF);
	cpu_set_t set, old;

	sched_getaffinity(0, sizeof(old), &old);
	for (cpu = 0; cpu < cpus && cpu < CPU_SETSIZE; cpu++) {
		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
		sched_setaffinity(0, sizeof(set), &set);
	}
	sched_setaffinity(0, sizeof(old), &old);
}

/* Count the kernel's reports of wrong counters since the log was opened. */
static int count_bad_mms(int log)
{
	char record[8192];
	ssize_t n;
	int found = 0;

	for (;;) {
		n = read(log, record, sizeof(record) - 1);
		if (n < 0 && errno == EPIPE)
			continue;
		if (n <= 0)
			return found;
		record[n] = '\0';
		if (strstr(record, "Bad rss-counter") ||
		    strstr(record, "non-zero pgtables_bytes")) {
			printf("# %s", record);
			found++;
		}
	}
}

/* Run FN in a child. The kernel must free all of its memory, by its counters. */
static void in_child(const char *name, bool (*fn)(void))
{
	int log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK), status, lost;
	pid_t pid;

	if (log < 0) {
		ksft_test_result_skip("%s: /dev/kmsg: %s\n", name, strerror(errno));
		return;
	}
	lseek(log, 0, SEEK_END);
	fflush(stdout);
	pid = fork();
	if (!pid)
		_exit(!fn());
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		ksft_exit_fail_msg("fork: %s\n", strerror(errno));
	free_lazy_mms();
	lost = count_bad_mms(log);
	close(log);
	ksft_test_result(!status && !lost, "%s: status %x, %d counters wrong\n", name,
			 status, lost);
}

/*
 * Two pages. The first moves away and grows, and moves back, which merges it with the
 * second. Its breakpoint must move with it. No other breakpoint may be put into the
 * place that it moves to.
 */
static bool away_and_back(void)
{
	int event = must_probe(0, true);
	char *p = room, *q = room + HUGE;
	bool ok;

	map_text(p, 0, 2, PROT_NONE);
	ok = move(p, 1, 2, q) && move(q, 1, 1, p);
	mprotect(p, 2 * PAGE, RX);
	ok = ok && at(p, 0) != original && at(p, 1) == original;
	run_at(p, 0);
	close(event);
	return ok && at(p, 0) == original;
}

/*
 * The pages by which a move has grown the mapping get breakpoints, whether or not the
 * mapping was merged with a neighbour.
 */
static bool grown(void)
{
	int event[4], i;
	char *p = room, *q = room + HUGE;
	bool ok;

	for (i = 0; i < 4; i++)
		event[i] = must_probe(i, true);
	map_text(p, 0, 1, RX);
	ok = move(p, 1, 2, q);
	/* There is room for page 2 between the mapping and page 3. */
	map_text(q + 3 * PAGE, 3, 1, RX);
	ok = ok && move(q, 2, 2, p) && move(p, 2, 3, q);
	for (i = 0; i < 4; i++)
		ok = ok && at(q, i) != original;
	for (i = 0; i < 4; i++) {
		run_at(q, i);
		close(event[i]);
		ok = ok && at(q, i) == original;
	}
	return ok;
}

/* Threads that read and run the first pages of the file at its current place */

static __thread unsigned int seed;

static unsigned int next(void)
{
	seed = seed * 1103515245 + 12345;
	return seed >> 16;
}

static void *reader(void *arg)
{
	seed = (long)arg + 1;
	may_be_refused = true;
	while (!LOAD(&stop)) {
		const char *p = LOAD(&base);
		size_t page = next() % HOT;

		if (sigsetjmp(refused, 0))
			continue;
		if (next() & 1) {
			run_at(p, page);
			continue;
		}
		/* A breakpoint is at the beginning of a page, and nowhere else. */
		if (LOAD((const uint64_t *)(p + page * PAGE + 8)) != original)
			fail("not what the file has");
		if (LOAD((const uint64_t *)(p + (page + 1) * PAGE - 8)) !=
		    (original ^ page))
			fail("not this page of the file");
	}
	return NULL;
}

static void check_original(size_t page)
{
	if (at(base, page) != original)
		fail("a breakpoint without a uprobe");
}

/*
 * fork() copies breakpoints to a child that has no use for them. The first hit there
 * removes them, and with the last breakpoint its page table. Meanwhile other threads
 * of the child run in these pages.
 */
static int child(size_t page)
{
	pthread_t t[2];
	long i;

	for (i = 0; i < 2; i++)
		if (pthread_create(&t[i], NULL, reader, (void *)i))
			return 2;
	run_at(base, page);
	check_original(page);
	run_at(base, page);
	STORE(&stop, 1);
	for (i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	return LOAD(&bad);
}

static void remove_in_child(void)
{
	double end = now() + race_seconds();
	long rounds = 0, huge, collapsed = 0;
	int event, status = 0;
	size_t page;
	pid_t pid;

	base = map_text(room, 0, PAGES, RX);
	huge = vm_counter("thp_file_mapped");
	at(base, HOT);
	if (vm_counter("thp_file_mapped") <= huge) {
		ksft_test_result_skip("removed from a child: no huge pages of files\n");
		return;
	}
	while (!status && (now() < end || rounds <= 3)) {
		page = next() % HOT;
		event = must_probe(page, false);
		fflush(stdout);
		pid = fork();
		if (!pid) {
			/* A huge page is mapped again if its page table has gone. */
			huge = vm_counter("thp_file_mapped");
			status = child(page);
			at(base, HOT);
			if (!status && vm_counter("thp_file_mapped") <= huge)
				status = 100;
			_exit(status);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			ksft_exit_fail_msg("fork: %s\n", strerror(errno));
		if (status == 100 << 8)
			status = 0;
		else
			collapsed++;
		close(event);
		check_original(page);
		rounds++;
	}
	ksft_test_result(!status && !bad && collapsed,
			 "removed from a child: %ld rounds, %ld collapsed, status %x\n",
			 rounds, collapsed, status);
}

/* Changes that do not move the VMA, concurrently with uprobes that come and go */
static void *stirrer(void *arg)
{
	seed = 100;
	while (!LOAD(&stop)) {
		char *p = LOAD(&base), *some = p + next() % HOT * PAGE;
		size_t size = (1 + next() % HOT) * PAGE;

		/* The mapping may move meanwhile. No harm is done to what replaces it. */
		switch (next() % 6) {
		case 0:
			madvise(some, size, MADV_DONTNEED);
			break;
		case 1:
			madvise(p, HUGE, MADV_DONTNEED);
			break;
		case 2:
		case 3:
			madvise(p, HUGE, MADV_COLLAPSE);
			break;
		case 4:
			mprotect(some, size, PROT_READ);
			mprotect(p, HOT * 2 * PAGE, RX);
			break;
		case 5:
			madvise(some, size, MADV_RANDOM);
			madvise(p, HOT * 2 * PAGE, MADV_NORMAL);
		}
	}
	return NULL;
}

/*
 * Changes that move the VMA. The thread that removes the uprobe makes them. 6.1 looks
 * for the VMAs that have the uprobe before it takes mmap_lock, and misses a VMA that
 * moves meanwhile.
 */
static void change(void)
{
	char *other = base == room ? room + 2 * HUGE : room;
	char *p = base, *spare = room + 4 * HUGE;
	size_t cut = 1 + next() % (HOT - 1);

	switch (next() % 4) {
	case 0:
		munmap(p, PAGES * PAGE);
		map_text(p, 0, PAGES, RX);
		break;
	case 1:
		/* Move away and grow. The way back then merges. */
		if (move(p, cut, cut + 1, spare)) {
			if (!move(spare, cut, cut, p))
				map_text(p, 0, cut, RX);
			vacate(spare, cut + 1);
		}
		break;
	default:
		/* Fails if the mapping is more than one VMA. */
		if (!move(p, PAGES, PAGES, other)) {
			vacate(other, PAGES);
			map_text(p, 0, PAGES, RX);
			break;
		}
		STORE(&base, other);
		vacate(p, PAGES);
	}
}

static bool change_all(void)
{
	double end = now() + race_seconds();
	pthread_t t[THREADS + 1];
	long i, rounds = 0;

	base = map_text(room, 0, PAGES, RX);
	vacate(room + 2 * HUGE, PAGES);
	for (i = 0; i < THREADS; i++)
		t[i] = start(reader, (void *)i);
	t[i] = start(stirrer, NULL);
	while (!LOAD(&bad) && (now() < end || rounds <= 3)) {
		size_t page = next() % HOT;
		int event = must_probe(page, next() & 1);
		int second = must_probe((page + 1) % HOT, next() & 1);

		if (next() & 1)
			change();
		close(event);
		check_original(page);
		if (next() & 1)
			change();
		close(second);
		check_original(page);
		check_original((page + 1) % HOT);
		rounds++;
	}
	STORE(&stop, 1);
	for (i = 0; i <= THREADS; i++)
		pthread_join(t[i], NULL);
	ksft_print_msg("%ld rounds\n", rounds);
	return !bad && rounds > 3;
}

static void make_text(void)
{
	uint64_t words[PAGE / 8];
	size_t page, i;

	mkdir(DIR, 0700);
	if (mount("text", DIR, "tmpfs", 0, "huge=always") &&
	    mount("text", DIR, "tmpfs", 0, NULL))
		ksft_exit_skip("no tmpfs: %s\n", strerror(errno));
	fd = open(TEXT, O_RDWR | O_CREAT | O_TRUNC, 0700);
	if (fd < 0 || ftruncate(fd, PAGES * PAGE))
		ksft_exit_fail_msg("%s: %s\n", TEXT, strerror(errno));
	for (i = 0; i < ARRAY_SIZE(words); i++)
		words[i] = original;
	for (page = 0; page < PAGES; page++) {
		words[i - 1] = original ^ page;
		if (pwrite(fd, words, PAGE, page * PAGE) != PAGE)
			ksft_exit_fail_msg("write: %s\n", strerror(errno));
	}
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_segv, .sa_flags = SA_NODEFER };
	int event;

	setlinebuf(stdout);
	ksft_print_header();
	if (!uprobe_type())
		ksft_exit_skip("no %s: no CONFIG_UPROBE_EVENTS\n", UPROBE_TYPE);
	original = text_word();
	if (!original)
		ksft_exit_skip("no code for this architecture\n");
	make_text();
	event = open_uprobe(TEXT, 0, true);
	if (event < 0 && (errno == EACCES || errno == EPERM))
		ksft_exit_skip("perf_event_open: %s: not root\n", strerror(errno));
	close(event);

	ksft_set_plan(4);
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	room = map_area(6 * HUGE, false, PROT_NONE);
	in_child("moved away and back", away_and_back);
	in_child("grown by a move", grown);
	remove_in_child();
	in_child("changed concurrently", change_all);
	close(fd);
	umount(DIR);
	ksft_finished();
}
