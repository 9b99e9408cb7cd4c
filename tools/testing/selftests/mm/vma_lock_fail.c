// SPDX-License-Identifier: GPL-2.0
/*
 * Writers of VMAs whose allocations fail: the first allocation, then the second, and
 * so on until the call makes fewer of them (Documentation/fault-injection, fail-nth).
 * A call that fails has changed nothing, except for calls that unmap first. After each
 * call faults find every VMA attached and unlocked. A second thread reads the same
 * memory concurrently, so that writers have readers to wait for. The validator of
 * CONFIG_PER_VMA_LOCK_DEBUG watches both.
 */
#define _GNU_SOURCE
#include <linux/mempolicy.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include "vma_lock.h"

#define PAGES 12
#define SIZE (PAGES * PAGE)
#define DEBUGFS "/sys/kernel/debug"

static char *area, *elsewhere;
static int nth_fd, mem_fd, self_fd, error;

/* From here to the end of the call, the test itself must not allocate. */
static void fail_nth(int n)
{
	char buf[16];
	int len = snprintf(buf, sizeof(buf), "%d", n);

	if (pwrite(nth_fd, buf, len, 0) != len)
		ksft_exit_fail_msg("fail-nth: %s\n", strerror(errno));
}

/* How many more allocations were needed before one failed: 0 if one failed. */
static int not_failed(void)
{
	char buf[16] = "";

	if (pread(nth_fd, buf, sizeof(buf) - 1, 0) < 1)
		ksft_exit_fail_msg("fail-nth: %s\n", strerror(errno));
	return atoi(buf);
}

static void set_to(const char *file, const char *value)
{
	int fd = open(file, O_WRONLY);

	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		ksft_exit_fail_msg("%s: %s\n", file, strerror(errno));
	close(fd);
}

static int map_over(void)
{
	return mmap(area + 2 * PAGE, 4 * PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED;
}

static int map_file_over(void)
{
	return mmap(area + 2 * PAGE, 4 * PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_FIXED, mem_fd, 0) == MAP_FAILED;
}

static int unmap_part(void)
{
	return munmap(area + 5 * PAGE, PAGE);
}

static int unmap_all(void)
{
	return munmap(area, SIZE);
}

/* Across three VMAs: the first and the last are cut. */
static int unmap_across(void)
{
	return munmap(area + PAGE, SIZE - 2 * PAGE);
}

static int protect_part(void)
{
	return mprotect(area + 5 * PAGE, PAGE, PROT_READ);
}

static void make_three(void)
{
	mprotect(area + 4 * PAGE, 4 * PAGE, PROT_READ);
}

static int protect_merge(void)
{
	return mprotect(area + 4 * PAGE, 4 * PAGE, PROT_READ | PROT_WRITE);
}

static int grow(void)
{
	return mremap(area, SIZE, SIZE + 64 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED;
}

/* Memory that is not charged, with room to grow in place */
#define ROOM (256UL << 20)
static char *room;
static long committed;

/* Committed_AS of all processes, in KiB */
static long committed_as(void)
{
	char buf[4096], *at;
	int fd = open("/proc/meminfo", O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);

	if (n < 0)
		ksft_exit_fail_msg("/proc/meminfo: %s\n", strerror(errno));
	close(fd);
	buf[n] = '\0';
	at = strstr(buf, "Committed_AS:");
	return at ? atol(at + strlen("Committed_AS:")) : -1;
}

static void prepare_room(void)
{
	if (!room) {
		room = map_area(ROOM, false, PROT_NONE);
		/* Commit memory that a failed call could give back by mistake. */
		mmap(NULL, 2 * ROOM, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	}
	munmap(room, ROOM);
	if (mmap(room, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		 mem_fd, 0) == MAP_FAILED)
		ksft_exit_fail_msg("mmap: %s\n", strerror(errno));
	committed = committed_as();
}

static int grow_file(void)
{
	return mremap(room, PAGE, ROOM, 0) == MAP_FAILED;
}

/* munmap() of this range works in pieces: each of these pages has a page table. */
#define MUCH (16UL << 20)
#define FEW (MUCH / HUGE)
static char *much;

static void prepare_much(void)
{
	unsigned long i;

	if (much)
		munmap(much, MUCH);
	else
		much = map_area(MUCH, false, PROT_NONE);
	if (mmap(much, MUCH, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != much)
		ksft_exit_fail_msg("mmap: %s\n", strerror(errno));
	for (i = 0; i < FEW; i++)
		much[i * HUGE] = i + 1;
}

static int unmap_much(void)
{
	return munmap(much, MUCH);
}

/* The pages that are left have their old contents, and a child has them, too. */
static const char *look_at_much(void)
{
	unsigned long i;
	int status;
	pid_t pid;
	char is;

	pid = fork();
	if (!pid) {
		for (i = 0; i < FEW; i++) {
			int fd = open("/proc/self/mem", O_RDONLY);
			char mine = 0;

			is = 0;
			pread(fd, &mine, 1, (uintptr_t)much + i * HUGE);
			pread(self_fd, &is, 1, (uintptr_t)much + i * HUGE);
			if (mine != is)
				_exit(1);
			close(fd);
		}
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return "fork has failed";
	if (status)
		return "a child does not have what was left";
	for (i = 0; i < FEW; i++)
		if (pread(self_fd, &is, 1, (uintptr_t)much + i * HUGE) == 1 &&
		    is != (char)(i + 1))
			return "it has changed what it left";
	return NULL;
}

static int shrink(void)
{
	return mremap(area, SIZE, SIZE / 2, 0) == MAP_FAILED;
}

static int move_part(void)
{
	return mremap(area + 4 * PAGE, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		      elsewhere) == MAP_FAILED;
}

static int dont_unmap(void)
{
	return mremap(area + 4 * PAGE, 4 * PAGE, 4 * PAGE,
		      MREMAP_MAYMOVE | MREMAP_FIXED | 4 /* DONTUNMAP */,
		      elsewhere) == MAP_FAILED;
}

static int advise_part(void)
{
	return madvise(area + 5 * PAGE, PAGE, MADV_DONTFORK);
}

static int lock_part(void)
{
	return mlock(area + 5 * PAGE, PAGE);
}

static int bind_part(void)
{
	unsigned long nodes = 1;

	return syscall(__NR_mbind, area + 5 * PAGE, PAGE, MPOL_PREFERRED, &nodes, 8, 0);
}

static int uffd = -1;

static void prepare_uffd(void)
{
	struct uffdio_api api = { .api = UFFD_API };

	uffd = syscall(__NR_userfaultfd, O_CLOEXEC);
	if (uffd >= 0)
		ioctl(uffd, UFFDIO_API, &api);
}

static int register_part(void)
{
	struct uffdio_register reg = {
		.range = { (uintptr_t)area + 5 * PAGE, PAGE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	return ioctl(uffd, UFFDIO_REGISTER, &reg);
}

static int fork_all(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return pid < 0;
}

static long heap;

static void prepare_heap(void)
{
	if (!heap)
		heap = syscall(__NR_brk, 0);
	/* There is a page of it, so that it grows in place. */
	syscall(__NR_brk, heap + PAGE);
	committed = committed_as();
}

static int grow_heap(void)
{
	return syscall(__NR_brk, heap + ROOM) != heap + (long)ROOM;
}

static int first_touch(void)
{
	return pread(mem_fd, elsewhere, 4 * PAGE, 0) != 4 * PAGE;
}

static const struct call {
	const char *name;
	int (*call)(void);
	void (*prepare)(void);
	bool unmaps_first;	/* even if it fails later, as the manual page says */
} calls[] = {
	{ "mmap over a part", map_over, NULL, true },
	{ "mmap of a file over a part", map_file_over, NULL, true },
	{ "munmap of a part", unmap_part },
	{ "munmap of all", unmap_all },
	{ "munmap of parts of three", unmap_across, make_three },
	{ "munmap of much", unmap_much, prepare_much },
	{ "mprotect of a part", protect_part },
	{ "mprotect that merges", protect_merge, make_three },
	{ "mremap that grows", grow },
	{ "mremap of a file, in place", grow_file, prepare_room },
	{ "mremap that shrinks", shrink },
	{ "mremap of a part", move_part, NULL, true },
	{ "mremap of a part, DONTUNMAP", dont_unmap, NULL, true },
	{ "madvise that splits", advise_part },
	{ "mlock of a part", lock_part },
	{ "mbind of a part", bind_part },
	{ "userfaultfd, register a part", register_part, prepare_uffd },
	{ "fork", fork_all },
	{ "brk", grow_heap, prepare_heap },
	{ "first touch, by the kernel", first_touch },
};

/*
 * The permissions of each page, as /proc/self/maps shows them. The VMAs are not
 * compared: a call may fail after it has split a VMA, and the two halves stay.
 */
struct layout {
	char page[PAGES][5];
};

static void look_at_layout(struct layout *l)
{
	unsigned long from, end, at;
	char line[256], may[5];
	FILE *f = fopen("/proc/self/maps", "r");
	int i;

	memset(l, 0, sizeof(*l));
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx %4s", &from, &end, may) != 3)
			continue;
		for (i = 0; i < PAGES; i++) {
			at = (uintptr_t)area + i * PAGE;
			if (at >= from && at < end)
				memcpy(l->page[i], may, 5);
		}
	}
	if (f)
		fclose(f);
}

/* The kernel does the reads: memory that is gone gives it an error, not a signal. */
static int stop;

static void *reader(void *arg)
{
	int fd = memfd_create("vma_lock_fail", 0), i;

	while (!LOAD(&stop))
		for (i = 0; i < PAGES; i++)
			pwrite(fd, area + i * PAGE, 1, 0);
	close(fd);
	return NULL;
}

static long not_fit(void)
{
	return vm_counter("vma_lock_fallback_detached") +
		vm_counter("vma_lock_fallback_write_locked");
}

/* NULL, or what is wrong after the call. @failed: whether the call has failed. */
static const char *look(const struct call *c, bool failed, const struct layout *before)
{
	struct layout after;
	long misfits;
	int i;

	look_at_layout(&after);
	if (failed && !c->unmaps_first && memcmp(before, &after, sizeof(after)))
		return "it has failed, and changed the layout";
	/* The counter is per CPU, and not exact. */
	if (c->call == grow_file && committed - committed_as() > (long)(ROOM / 1024 / 4))
		return "it has given back what was not charged";
	if (c->call == grow_heap && failed &&
	    committed_as() - committed > (long)(ROOM / 1024 / 4))
		return "it has failed, and keeps its charge";
	if (c->call == unmap_much && look_at_much())
		return look_at_much();
	for (i = 0; i < PAGES; i++) {
		signed char is;

		if (pread(self_fd, &is, 1, (uintptr_t)area + i * PAGE) != 1)
			is = -1;
		if (is != i + 1 && failed && !c->unmaps_first)
			return "it has failed, and changed the contents";
		if (is != i + 1 && is > 0)
			return "a page has another's contents";
	}
	if (uffd >= 0)
		close(uffd);
	uffd = -1;
	/* Fault in each mapped page: a VMA left locked or detached makes it fall back. */
	misfits = -not_fit();
	for (i = 0; i < PAGES; i++) {
		unsigned char vec;

		if (mincore(area + i * PAGE, PAGE, &vec))
			continue;
		/* The kernel writes, so PROT_READ gives an error and not a signal. */
		madvise(area + i * PAGE, PAGE, MADV_DONTNEED);
		pread(mem_fd, area + i * PAGE, 1, 0);
	}
	misfits += not_fit();
	return misfits ? "faults after it fall back" : NULL;
}

static const char *once(const struct call *c, int n, bool *failed, int *left)
{
	struct layout before;
	int i;

	area = mmap(area, SIZE + 64 * PAGE, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (mmap(area, SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ||
	    mmap(elsewhere, SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		ksft_exit_fail_msg("mmap: %s\n", strerror(errno));
	for (i = 0; i < PAGES; i++)
		area[i * PAGE] = i + 1;
	if (c->prepare)
		c->prepare();
	look_at_layout(&before);

	fail_nth(n);
	*failed = c->call();
	error = errno;
	*left = not_failed();
	fail_nth(0);

	return look(c, *failed, &before);
}

/* Fail each allocation of a call in turn. None fails once the call makes fewer. */
#define MOST 2000

static void test(const struct call *c, const char *what)
{
	const char *why = NULL;
	int n, left = 0, failures = 0;
	bool failed;

	for (n = 1; n <= MOST && !why; n++) {
		why = once(c, n, &failed, &left);
		failures += failed;
		if (left)
			break;
	}
	if (failed && error == ENOSYS) {
		ksft_test_result_skip("%s, without %s: not in this kernel\n", c->name, what);
		return;
	}
	if (why)
		ksft_print_msg("%s, allocation %d: %s\n", c->name, n, why);
	else if (failed)
		ksft_print_msg("%s: fails where no allocation has\n", c->name);
	else if (!left)
		ksft_print_msg("%s: %d allocations, and no end\n", c->name, MOST);
	else
		ksft_print_msg("%s: %d allocations, it failed without %d of them\n",
			       c->name, n - 1, failures);
	ksft_test_result(!why && !failed && left, "%s, without %s\n", c->name, what);
}

int main(int argc, char **argv)
{
	size_t i, ncalls = ARRAY_SIZE(calls);
	pthread_t thread;

	/*
	 * Run without rseq: the kernel writes to the rseq area on the way to user mode.
	 * If it cannot copy that page after fork(), it kills the task.
	 */
	if (!getenv("GLIBC_TUNABLES")) {
		setenv("GLIBC_TUNABLES", "glibc.pthread.rseq=0", 1);
		execv("/proc/self/exe", argv);
	}
	setlinebuf(stdout);
	ksft_print_header();
	need_per_vma_lock();
	mount("none", DEBUGFS, "debugfs", 0, NULL);
	nth_fd = open("/proc/thread-self/fail-nth", O_RDWR);
	if (nth_fd < 0 || access(DEBUGFS "/failslab", F_OK) ||
	    access(DEBUGFS "/fail_page_alloc", F_OK))
		ksft_exit_skip("no FAILSLAB, FAIL_PAGE_ALLOC and FAULT_INJECTION_DEBUG_FS\n");
	ksft_set_plan(2 * ncalls);

	mem_fd = memfd_create("vma_lock_fail", 0);
	self_fd = open("/proc/self/mem", O_RDONLY);
	if (self_fd < 0 || mem_fd < 0 || ftruncate(mem_fd, SIZE))
		ksft_exit_fail_msg("/proc/self/mem, memfd: %s\n", strerror(errno));
	area = map_area(HUGE, false, PROT_NONE);
	elsewhere = map_area(HUGE, false, PROT_NONE);
	thread = start(reader, NULL);

	set_to(DEBUGFS "/failslab/verbose", "0");
	set_to(DEBUGFS "/failslab/ignore-gfp-wait", "N");
	set_to(DEBUGFS "/fail_page_alloc/verbose", "0");
	/* How many pages the slabs need varies, so fail one kind at a time: objects. */
	set_to(DEBUGFS "/fail_page_alloc/min-order", "64");
	for (i = 0; i < ncalls; i++)
		test(&calls[i], "objects");

	set_to(DEBUGFS "/failslab/cache-filter", "Y");
	set_to(DEBUGFS "/fail_page_alloc/min-order", "0");
	set_to(DEBUGFS "/fail_page_alloc/ignore-gfp-wait", "N");
	set_to(DEBUGFS "/fail_page_alloc/ignore-gfp-highmem", "N");
	for (i = 0; i < ncalls; i++)
		test(&calls[i], "pages");

	STORE(&stop, 1);
	pthread_join(thread, NULL);
	ksft_finished();
}
