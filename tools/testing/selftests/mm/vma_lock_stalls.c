// SPDX-License-Identifier: GPL-2.0
/*
 * A long call in one thread, and mmap() and munmap() in another thread. A call about
 * much memory must give way to a waiter for mmap_lock. The test does not measure time:
 * it counts how often the other thread maps while the call runs.
 */
#define _GNU_SOURCE
#include <linux/io_uring.h>
#include <linux/membarrier.h>
#include <linux/mempolicy.h>
#include <linux/userfaultfd.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/uio.h>

#include "vma_lock.h"

/* 64 pieces of 512 pages; SIZE_READ for calls that take no memory and little time */
#define SIZE (128UL << 20)
#define SIZE_READ (1UL << 30)
/*
 * A kernel that holds mmap_lock for the whole call lets the other thread map once or
 * twice. A kernel that gives way may let it map too seldom if the CPUs are shared with
 * other programs. Then the test tries again.
 */
#define MAPS 8
#define TRIES 10

static struct {
	int stop;
	long maps;
} mapper;

static char *area, *buffer;
static size_t size;

static void *maps(void *unused)
{
	while (!LOAD(&mapper.stop)) {
		char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			ksft_exit_fail_msg("mmap: %s\n", strerror(errno));
		*p = 1;
		munmap(p, PAGE);
		STORE(&mapper.maps, mapper.maps + 1);
	}
	return NULL;
}

/*
 * A writer of the VMA of the area. For each of its calls that waited: how many pages
 * the long call has processed meanwhile.
 */
#define WAITED 64
#define WAITED_PIECES (32 * 512)
#define MIN_WAITS 4
#define MAX_WAITS 32768
#define AHEAD 1024

static long waits[MAX_WAITS];
static int nr_waits;

/*
 * How far the long call has come, in pages. It goes from the first page to the last.
 * It had come to @from when it was looked at before.
 */
static size_t (*front)(size_t from);

static size_t populated(size_t from)
{
	unsigned char there[AHEAD];
	size_t n, i;

	do {
		n = size / PAGE - from;
		if (n > AHEAD)
			n = AHEAD;
		if (mincore(area + from * PAGE, n * PAGE, there))
			return from;
		for (i = 0; i < n && (there[i] & 1); i++)
			from++;
	} while (n && i == n);
	return from;
}

static size_t made_cold(size_t from)
{
	return vm_counter("pgdeactivate");
}

static sigjmp_buf back;

static void on_fault(int sig)
{
	siglongjmp(back, 1);
}

static long faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_minflt;
}

/*
 * Is write permission gone from this entry, and not yet from the VMA? Then a write
 * takes a fault and succeeds. False if the write is refused.
 */
static bool entry_revoked(char *p)
{
	long before = faults();

	if (sigsetjmp(back, 1))
		return false;
	STORE(p, 2);
	return faults() > before;
}

/* Binary search: page by page, the long call would be faster. */
static size_t write_protected(size_t from)
{
	size_t to = size / PAGE - 1;
	static int fd = -1;
	uint64_t entry;

	if (fd < 0)
		fd = open("/proc/self/pagemap", O_RDONLY);
	while (from < to) {
		size_t at = from + (to - from) / 2;

		if (pread(fd, &entry, 8, ((uintptr_t)area / PAGE + at) * 8) != 8)
			break;
		if (entry & (1ULL << 57))
			from = at + 1;
		else
			to = at;
	}
	return from;
}

static size_t revoked(size_t from)
{
	while (from < size / PAGE && entry_revoked(area + from * PAGE))
		from += 512;
	return from;
}

static void *writes(void *unused)
{
	bool dump = false;
	size_t at = 0;

	nr_waits = 0;
	while (!LOAD(&mapper.stop)) {
		size_t before = front(at);

		madvise(area + size - PAGE, PAGE,
			dump ? MADV_DODUMP : MADV_DONTDUMP);
		dump = !dump;
		at = front(before);
		if (at > before && nr_waits < MAX_WAITS)
			waits[nr_waits++] = at - before;
		STORE(&mapper.maps, mapper.maps + 1);
	}
	return NULL;
}

static int more(const void *a, const void *b)
{
	long d = *(const long *)a - *(const long *)b;

	return d < 0 ? -1 : d > 0;
}

/*
 * A quarter of the calls that waited did so for at most so many pages. Not half of
 * them: if CPUs are shared with other programs the writer may not run meanwhile.
 */
static long first_quarter(void)
{
	qsort(waits, nr_waits, sizeof(*waits), more);
	return nr_waits ? waits[nr_waits / 4] : 0;
}

/* Is each page of the area present? */
static bool resident(void)
{
	static unsigned char there[SIZE_READ / PAGE];
	unsigned long i;

	if (mincore(area, size, there))
		return false;
	for (i = 0; i < size / PAGE; i++)
		if (!(there[i] & 1))
			return false;
	return true;
}

static int populate_write(void)
{
	return madvise(area, size, MADV_POPULATE_WRITE);
}

static int populate_read(void)
{
	return madvise(area, size, MADV_POPULATE_READ);
}

static int map_populate(void)
{
	return mmap(area, size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE,
		    -1, 0) == area ? 0 : -1;
}

static int lock_all(void)
{
	return mlock(area, size);
}

/* mlock() of write-only memory reads it by FOLL_FORCE, under mmap_lock. */
static int lock_write_only(void)
{
	return mprotect(area, size, PROT_WRITE) || mlock(area, size);
}

static int write_other(void)
{
	struct iovec local = { buffer, SIZE }, remote = { area, SIZE };

	return process_vm_writev(getpid(), &local, 1, &remote, 1, 0) == SIZE ?
		0 : -1;
}

/* A long-term pin of each page. Fails if there is no io_uring. */
static int register_buffers(void)
{
	struct io_uring_params params = { 0 };
	struct iovec iov = { area, size };
	int fd = syscall(__NR_io_uring_setup, 1, &params), ret;

	if (fd < 0)
		return fd;
	ret = syscall(__NR_io_uring_register, fd, IORING_REGISTER_BUFFERS, &iov, 1);
	if (!ret)
		syscall(__NR_io_uring_register, fd, IORING_UNREGISTER_BUFFERS,
			NULL, 0);
	close(fd);
	return ret;
}

static int protect(void)
{
	return mprotect(area, size, PROT_READ) ||
		mprotect(area, size, PROT_READ | PROT_WRITE);
}

/* Without the second mprotect(), which would grant again what revoked() looks at. */
static int protect_once(void)
{
	return mprotect(area, size, PROT_READ);
}

/* Only one VMA: the last page is excluded, for the writer makes it another VMA. */
static int uffd_fd = -1;

static int write_protect(void)
{
	struct uffdio_writeprotect wp = {
		.range = { (uintptr_t)area, size - PAGE },
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};

	return ioctl(uffd_fd, UFFDIO_WRITEPROTECT, &wp);
}

static int bind_to(size_t bytes, unsigned long nodes)
{
	return syscall(__NR_mbind, area, bytes, MPOL_BIND, &nodes, 8,
		       MPOL_MF_MOVE | MPOL_MF_STRICT);
}

/* Move all pages to one node, and then to the other. */
static int bind_all(void)
{
	return bind_to(size, 1) || bind_to(size, 2);
}

static int make_cold(void)
{
	return madvise(area, size, 20 /* MADV_COLD */);
}

static int unmap(void)
{
	return munmap(area, size);
}

static const struct {
	const char *name;
	int (*call)(void);
	long maps;
	void *(*other)(void *unused);
	bool mmap_lock;
	size_t (*front)(size_t from);
} calls[] = {
	{ "MADV_POPULATE_WRITE gives way", populate_write, MAPS, maps },
	{ "MADV_POPULATE_READ gives way", populate_read, MAPS, maps },
	{ "MAP_POPULATE gives way", map_populate, MAPS, maps },
	{ "mlock gives way", lock_all, MAPS, maps },
	{ "mlock by FOLL_FORCE gives way", lock_write_only, MAPS, maps, true },
	{ "io_uring's buffers give way", register_buffers, MAPS, maps },
	/* A piece is 512 pages. It must end earlier for a writer that waits. */
	{ "MADV_POPULATE_WRITE gives way in its VMA", populate_write, 1, writes,
	  .front = populated },
	{ "mlock gives way in its VMA", lock_all, 1, writes, .front = populated },
	/*
	 * These calls fault in no page. The other thread's munmap() waits for TLB
	 * flushes, which take long in an emulator.
	 */
	{ "mprotect gives way", protect, 3, maps },
	/* Here the writer waits for pieces of 512 to 2048 pages. */
	{ "mprotect gives way in its VMA", protect_once, 1, writes, .front = revoked },
	{ "MADV_COLD gives way in its VMA", make_cold, 1, writes,
	  .front = made_cold },
	{ "UFFDIO_WRITEPROTECT gives way in its VMA", write_protect, 1, writes,
	  .front = write_protected },
	/* Copies page by page */
	{ "mbind gives way", bind_all, 20 * MAPS, maps },
	{ "munmap gives way", unmap, MAPS, maps },
	/* Copies without mmap_lock: any kernel lets others map. The contents count. */
	{ "process_vm_writev copies right", write_other, 0, maps },
};

#define NR_CALLS ((int)(sizeof(calls) / sizeof(*calls)))

/*
 * The faults of the last call for get_user_pages(), under VMA locks and under
 * mmap_lock. -1 if the kernel does not count them.
 */
static long gup, gup_mmap;

static void count_gup(int sign)
{
	long n = vm_counter("vma_lock_gup");

	gup += sign * n;
	gup_mmap += sign * vm_counter("vma_lock_gup_mmap");
	if (n < 0)
		gup = gup_mmap = -1;
}

static bool faults_in_nothing(int i)
{
	return calls[i].call == protect || calls[i].call == protect_once ||
		calls[i].call == write_protect || calls[i].call == bind_all ||
		calls[i].call == make_cold || calls[i].call == unmap;
}

/* A userfaultfd for a range, or -1 */
static int arm(char *p, size_t len, unsigned long mode)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = mode == UFFDIO_REGISTER_MODE_WP ?
				UFFD_FEATURE_PAGEFAULT_FLAG_WP : 0,
	};
	struct uffdio_register reg = {
		.range = { (uintptr_t)p, len },
		.mode = mode,
	};
	int fd = syscall(__NR_userfaultfd, O_CLOEXEC);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) ||
	    ioctl(fd, UFFDIO_REGISTER, &reg)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* What this machine lacks for a call, or NULL */
static const char *missing(int i)
{
	if (calls[i].call == write_protect) {
		int fd;

		size = PAGE;
		area = map_area(size, false, PROT_READ | PROT_WRITE);
		fd = arm(area, size, UFFDIO_REGISTER_MODE_WP);
		munmap(area, size);
		if (fd < 0)
			return "no write protection by userfaultfd";
		close(fd);
	}
	if (calls[i].call == bind_all &&
	    access("/sys/devices/system/node/node1", F_OK))
		return "one node";
	return NULL;
}

static bool counts_gup(int i)
{
	return calls[i].maps && !faults_in_nothing(i);
}

/* Populate the area if the call faults in no page. */
static void prepare(int i)
{
	if (calls[i].call == write_protect) {
		/* Map the zero page everywhere. */
		populate_read();
		*area = 1;
		uffd_fd = arm(area, size, UFFDIO_REGISTER_MODE_WP);
	} else if (faults_in_nothing(i)) {
		memset(area, 1, size);
	}
	/* Access the pages twice, so that there is something to deactivate. */
	if (calls[i].call == make_cold && (write_other() || write_other()))
		ksft_exit_fail_msg("process_vm_writev: %s\n", strerror(errno));
}

/* How often the other thread maps during the call, or -1 if the call fails */
static long maps_during(int i)
{
	long before, during;
	pthread_t thread;
	bool done;

	size = calls[i].call == populate_read || calls[i].call == write_protect ?
		SIZE_READ : SIZE;
	area = map_area(size, false, PROT_READ | PROT_WRITE);
	prepare(i);
	mapper.stop = mapper.maps = 0;
	front = calls[i].front;
	thread = start(calls[i].other, NULL);
	while (!LOAD(&mapper.maps))
		sched_yield();
	gup = gup_mmap = 0;
	count_gup(-1);
	before = LOAD(&mapper.maps);
	done = !calls[i].call();
	during = LOAD(&mapper.maps) - before;
	count_gup(1);
	STORE(&mapper.stop, 1);
	pthread_join(thread, NULL);
	if (calls[i].call != unmap)
		done = done && resident();
	if (done && calls[i].call == write_other)
		done = !memcmp(area, buffer, size);
	if (calls[i].call == write_protect)
		close(uffd_fd);
	munmap(area, size);
	return done ? during : -1;
}

/*
 * A call that faults in pages must give way to each call of the writer: a quarter of
 * the writer's calls waited for few pages. A call that faults in no page is over soon.
 * It must give way to several calls.
 */
static bool gave_way(int i)
{
	long pages;

	if (!calls[i].front)
		return true;
	pages = first_quarter();
	ksft_print_msg("%s: %d calls waited, a quarter of them for %ld pages or less\n",
		       calls[i].name, nr_waits, pages);
	/* The delays of the debug kernel make waits of any length. */
	if (faults_in_nothing(i))
		return !access("/sys/module/vma_lock_debug", F_OK) ||
			(nr_waits >= MIN_WAITS && pages <= WAITED_PIECES);
	return pages <= WAITED;
}

static void test(int i)
{
	const char *why = missing(i);
	/* A call that is over soon does not always meet the other thread. */
	int tries = calls[i].front && faults_in_nothing(i) ? 4 * TRIES : TRIES;
	bool done = false;
	long n = 0;
	int try;

	if (why) {
		ksft_test_result_skip("%s: %s\n", calls[i].name, why);
		return;
	}
	for (try = 0; try < tries && !done && n >= 0; try++) {
		n = maps_during(i);
		ksft_print_msg("%s: mapped %ld times meanwhile\n",
			       calls[i].name, n);
		done = n >= calls[i].maps && gave_way(i);
	}
	ksft_test_result(done, "%s\n", calls[i].name);
	if (!counts_gup(i))
		return;
	ksft_print_msg("%s: %ld faults under VMA locks, %ld under mmap_lock\n",
		       calls[i].name, gup, gup_mmap);
	if (gup < 0)
		ksft_test_result_skip("%s: under VMA locks: not counted here\n",
				      calls[i].name);
	else if (calls[i].mmap_lock)
		ksft_test_result(!gup && gup_mmap > 0, "%s: under mmap_lock\n",
				 calls[i].name);
	else
		ksft_test_result(gup > 0 && gup_mmap * 100 <= gup,
				 "%s: 99%% under VMA locks\n", calls[i].name);
}

/* Unmap the second half of the range while it is faulted in. */
static void *unmaps(void *unused)
{
	while (!LOAD(area))
		;
	munmap(area + SIZE / 2, SIZE / 2);
	return NULL;
}

static void test_unmap(void)
{
	pthread_t thread;
	int err;

	size = SIZE;
	area = map_area(size, false, PROT_READ | PROT_WRITE);
	thread = start(unmaps, NULL);
	*area = 1;
	err = populate_write() ? errno : 0;
	pthread_join(thread, NULL);
	munmap(area, SIZE / 2);
	ksft_test_result(!err || err == ENOMEM,
			 "MADV_POPULATE_WRITE, the rest is unmapped: %s\n",
			 strerror(err));
}

/*
 * Two threads bind the same pages, each thread to a node of its own. One call must
 * follow the other: then all pages are where the policy of the last call says.
 */
#define BOUND 512

static pthread_barrier_t both;
static int bind_failed;

static void bind_together(unsigned long nodes)
{
	pthread_barrier_wait(&both);
	if (bind_to(BOUND * PAGE, nodes))
		__atomic_fetch_add(&bind_failed, 1, __ATOMIC_RELAXED);
	pthread_barrier_wait(&both);
}

static void *binds(void *nodes)
{
	do {
		bind_together((uintptr_t)nodes);
		/* Let the main thread check the result. */
		pthread_barrier_wait(&both);
	} while (!LOAD(&mapper.stop));
	return NULL;
}

/* How many pages are not where the policy says? */
static int misplaced(void)
{
	static int status[BOUND];
	static void *page[BOUND];
	unsigned long nodes = 0;
	int mode, i, n = 0;

	for (i = 0; i < BOUND; i++)
		page[i] = area + i * PAGE;
	if (syscall(__NR_get_mempolicy, &mode, &nodes, 64, area, MPOL_F_ADDR) ||
	    syscall(__NR_move_pages, 0, (long)BOUND, page, NULL, status, 0))
		return -1;
	for (i = 0; i < BOUND; i++)
		n += status[i] < 0 || !(nodes & (1UL << status[i]));
	return n;
}

static void test_bind_both(void)
{
	unsigned long rounds = 0;
	double end = now() + race_seconds();
	pthread_t thread;
	int wrong = 0;

	if (access("/sys/devices/system/node/node1", F_OK)) {
		ksft_test_result_skip("mbind of the same pages: one node\n");
		return;
	}
	area = map_area(BOUND * PAGE, false, PROT_READ | PROT_WRITE);
	memset(area, 1, BOUND * PAGE);
	mapper.stop = 0;
	pthread_barrier_init(&both, NULL, 2);
	thread = start(binds, (void *)1);
	do {
		bind_together(2);
		wrong += !!misplaced();
		rounds++;
		STORE(&mapper.stop, now() > end || wrong);
		pthread_barrier_wait(&both);
	} while (!mapper.stop);
	pthread_join(thread, NULL);
	munmap(area, BOUND * PAGE);
	ksft_print_msg("mbind of the same pages: %lu rounds\n", rounds);
	ksft_test_result(!bind_failed && !wrong,
			 "mbind of the same pages: %d calls failed, %d times misplaced\n",
			 bind_failed, wrong);
}

static void *locks(void *unused)
{
	mlock(area, size);
	return NULL;
}

/* mlock() waits for a page, and its VMA is freed. It must look up the next VMA. */
static void test_unmap_asleep(void)
{
	struct uffdio_range range;
	struct uffd_msg msg;
	pthread_t thread;
	int fd, i;

	size = 8 * PAGE;
	area = map_area(size, false, PROT_READ | PROT_WRITE);
	fd = arm(area, size, UFFDIO_REGISTER_MODE_MISSING);
	if (fd < 0) {
		ksft_test_result_skip("mlock, unmapped while it sleeps: no userfaultfd\n");
		return;
	}
	if (!access(SWITCH, W_OK))
		set_switch(false);
	thread = start(locks, NULL);
	if (read(fd, &msg, sizeof(msg)) != sizeof(msg))
		ksft_exit_fail_msg("userfaultfd: %s\n", strerror(errno));
	munmap(area, size);
	/* Wait for grace periods, so that what was unmapped is freed. */
	for (i = 0; i < 4; i++)
		syscall(__NR_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
	range.start = (uintptr_t)area;
	range.len = size;
	ioctl(fd, UFFDIO_WAKE, &range);
	pthread_join(thread, NULL);
	close(fd);
	if (!access(SWITCH, W_OK))
		set_switch(true);
	ksft_test_result_pass("mlock, unmapped while it sleeps\n");
}

/*
 * Two threads map, touch and unmap. After WARM_UP rounds the kernel prepares new
 * mappings for their first touch, which then needs no mmap_lock.
 */
#define WARM_UP 2000
#define TOUCHES 10000

static struct {
	int ready;
	long fallbacks[NR_FALLBACKS];
} toucher;

static void count_fallbacks(int sign)
{
	int i;

	for (i = 0; i < NR_FALLBACKS; i++)
		toucher.fallbacks[i] += sign * vm_counter(fallbacks[i]);
}

static void *touches(void *arg)
{
	char *p = arg;
	int i;

	for (i = 0; i < WARM_UP + TOUCHES; i++) {
		if (mmap(p, PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != p)
			ksft_exit_fail_msg("mmap: %s\n", strerror(errno));
		*p = 1;
		munmap(p, PAGE);
		if (i == WARM_UP && __atomic_add_fetch(&toucher.ready, 1, __ATOMIC_SEQ_CST) == 2)
			count_fallbacks(-1);
	}
	return NULL;
}

static void test_first_touch(void)
{
	const char *name = "first touch concurrently with mmap";
	pthread_t thread;
	long n = 0;
	int i;

	if (vm_counter(fallbacks[0]) < 0) {
		ksft_test_result_skip("%s: not counted here\n", name);
		return;
	}
	/* Apart: a mapping that merges with the other thread's locks that VMA. */
	thread = start(touches, map_area(PAGE, false, PROT_READ));
	touches(map_area(PAGE, false, PROT_READ));
	pthread_join(thread, NULL);
	count_fallbacks(1);
	for (i = 0; i < NR_FALLBACKS; i++) {
		n += toucher.fallbacks[i];
		if (toucher.fallbacks[i])
			ksft_print_msg("%s: %s %ld\n", name, fallbacks[i],
				       toucher.fallbacks[i]);
	}
	ksft_test_result(n <= TOUCHES / 1000, "%s: %ld of %d take mmap_lock\n", name,
			 n, TOUCHES);
}

#define PATIENCE 120

/*
 * mlock() reaches a page of a userfaultfd that is being closed. The close waits for
 * mmap_lock until mlock() has come that far.
 */
static void test_close(bool on)
{
	const char *name = on ? "mlock, a userfaultfd is closed" :
				"mlock, a userfaultfd is closed, switch off";
	double end = now() + PATIENCE;
	unsigned char there = 0;
	pthread_t thread;
	int fd, status;
	pid_t pid;

	if (!access(SWITCH, W_OK)) {
		set_switch(on);
	} else if (on) {
		ksft_test_result_skip("%s: no switch\n", name);
		return;
	}
	pid = fork();
	if (pid < 0)
		ksft_exit_fail_msg("fork: %s\n", strerror(errno));
	if (!pid) {
		size = SIZE;
		area = map_area(size, false, PROT_READ | PROT_WRITE);
		fd = arm(area + size - PAGE, PAGE,
			 UFFDIO_REGISTER_MODE_MISSING);
		if (fd < 0)
			_exit(KSFT_SKIP);
		thread = start(locks, NULL);
		while (!(there & 1))
			if (mincore(area, PAGE, &there))
				_exit(1);
		close(fd);
		pthread_join(thread, NULL);
		_exit(0);
	}
	while (!waitpid(pid, &status, WNOHANG)) {
		if (now() > end)
			kill(pid, SIGKILL);
		sched_yield();
	}
	if (!access(SWITCH, W_OK))
		set_switch(true);
	if (WIFEXITED(status) && WEXITSTATUS(status) == KSFT_SKIP)
		ksft_test_result_skip("%s: no userfaultfd\n", name);
	else
		ksft_test_result(WIFEXITED(status) && !WEXITSTATUS(status),
				 "%s\n", name);
}

int main(int argc, char **argv)
{
	unsigned int plan = 6;	/* the tests that are not in calls[] */
	unsigned long i;

	setlinebuf(stdout);
	signal(SIGSEGV, on_fault);
	ksft_print_header();
	for (i = 0; i < NR_CALLS; i++)
		plan += 1 + counts_gup(i);
	ksft_set_plan(plan);
	buffer = map_area(SIZE, false, PROT_READ | PROT_WRITE);
	for (i = 0; i < SIZE; i += PAGE)
		*(unsigned long *)(buffer + i) = i;
	for (i = 0; i < NR_CALLS; i++)
		test(i);
	test_unmap();
	test_unmap_asleep();
	test_bind_both();
	test_first_touch();
	test_close(false);
	test_close(true);
	ksft_finished();
}
