// SPDX-License-Identifier: GPL-2.0
/*
 * A page fault or a lookup repeats until another task has done its work, and both
 * tasks share one CPU. It must wait for that task, or at least reschedule. Otherwise
 * a kernel without preemption spins there forever. A kernel with preemption does so
 * if the task that spins has a real-time priority.
 *
 * Boot with preempt=none, voluntary and full. The results must not depend on it.
 *
 * On a kernel that spins the program reports that from another CPU. With one
 * CPU nothing else runs, and the soft lockup detector ends the guest.
 */
#define _GNU_SOURCE
#include <linux/io_uring.h>
#include <linux/mempolicy.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "vma_lock.h"

/* Enough for the timer to preempt the task that closes the file. */
#define VMAS 15000
#define SIZE (VMAS * PAGE)
/* A round takes less than a second on an idle machine. */
#define PATIENCE 60

static struct {
	int closing, closed, stop;
	long overlaps;		/* rounds in which both tasks were at work */
} *shared;

static char *area;
static int memfd, uffd;

/* Missing pages in many VMAs, all of them registered */
static void map_and_register(bool shmem)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	unsigned long i;

	area = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
		    (shmem ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED)
		ksft_exit_fail_msg("mmap: %s\n", strerror(errno));
	for (i = 0; i < VMAS; i += 2)
		if (mprotect(area + i * PAGE, PAGE, PROT_READ))
			ksft_exit_fail_msg("mprotect: %s\n", strerror(errno));
	reg.range.start = (unsigned long)area;
	reg.range.len = SIZE;
	uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api) ||
	    ioctl(uffd, UFFDIO_REGISTER, &reg))
		ksft_exit_fail_msg("userfaultfd: %s\n", strerror(errno));
}

/* Fault in the kernel, on the VMAs that close() reaches last. */
static void *writer(void *unused)
{
	unsigned long i;

	pin(0);
	while (!LOAD(&shared->closing))
		;
	if (!LOAD(&shared->closed))
		shared->overlaps++;
	for (i = VMAS - 1; i > VMAS - 100; i--)
		if (pwrite(memfd, area + i * PAGE, 8, 0) != 8)
			ksft_exit_fail_msg("pwrite: %s\n", strerror(errno));
	return NULL;
}

static void close_while_written(bool shmem)
{
	pthread_t thread;

	shared->closing = shared->closed = 0;
	map_and_register(shmem);
	thread = start(writer, NULL);
	pin(0);
	sched_yield();
	STORE(&shared->closing, 1);
	close(uffd);
	STORE(&shared->closed, 1);
	pthread_join(thread, NULL);
	munmap(area, SIZE);
}

static void close_anon(double end)
{
	do {
		close_while_written(false);
	} while (now() < end);
}

static void close_shmem(double end)
{
	do {
		close_while_written(true);
	} while (now() < end);
}

/* VMAs of a page each. The VMA in the middle stays mapped. */
#define PIECES 500

/* Change the tree in all ways: nodes are rewritten, split and merged. */
static void *mapper(void *unused)
{
	int i;

	pin(0);
	while (!LOAD(&shared->stop))
		for (i = 0; i < PIECES && !LOAD(&shared->stop); i++) {
			char *p = area + 2 * i * PAGE;

			if (i == PIECES / 2)
				continue;
			munmap(p, PAGE);
			if (mmap(p, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE |
				 MAP_ANONYMOUS | MAP_FIXED, -1, 0) != p)
				ksft_exit_fail_msg("mmap: %s\n", strerror(errno));
		}
	return NULL;
}

static void map_pieces(void)
{
	int i;

	area = mmap(NULL, 2 * PIECES * PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED)
		ksft_exit_fail_msg("mmap: %s\n", strerror(errno));
	for (i = 0; i < PIECES; i++)
		munmap(area + (2 * i + 1) * PAGE, PAGE);
}

/* Give the caller a real-time priority: it preempts normal tasks on CPU 0. */
static void become_urgent(void)
{
	struct sched_param param = { .sched_priority = 10 };

	pin(0);
	if (sched_setscheduler(0, SCHED_FIFO, &param))
		ksft_exit_fail_msg("SCHED_FIFO: %s\n", strerror(errno));
}

static void wait_a_little(void)
{
	struct timespec ts = { .tv_nsec = 20000 + rand() % 50000 };

	nanosleep(&ts, NULL);
}

/* Page faults in the process that changes its tree */
static void fault_urgently(double end)
{
	pthread_t thread;
	char *mine;

	map_pieces();
	mine = area + PIECES / 2 * 2 * PAGE;
	thread = start(mapper, NULL);
	become_urgent();
	while (now() < end) {
		wait_a_little();
		madvise(mine, PAGE, MADV_DONTNEED);
		STORE(mine, 1);
		shared->overlaps++;
	}
	STORE(&shared->stop, 1);
	pthread_join(thread, NULL);
}

/* Reads of /proc/PID/maps of a process that changes its tree */
static void read_urgently(double end)
{
	char path[32], buf[4096];
	pid_t pid;
	int fd;

	map_pieces();
	pid = fork();
	if (!pid) {
		mapper(NULL);
		_exit(0);
	}
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	become_urgent();
	while (now() < end) {
		wait_a_little();
		fd = open(path, O_RDONLY);
		while (read(fd, buf, sizeof(buf)) > 0)
			;
		close(fd);
		shared->overlaps++;
	}
	STORE(&shared->stop, 1);
	waitpid(pid, NULL, 0);
}

/* Pages that mbind() moves from node to node, one at a time */
#define BOUND 64

static void *binder(void *unused)
{
	unsigned long node = 1;

	pin(0);
	while (!LOAD(&shared->stop)) {
		syscall(__NR_mbind, area, BOUND * PAGE, MPOL_BIND, &node, 8,
			MPOL_MF_MOVE);
		node = 3 - node;
	}
	return NULL;
}

/* Long-term pins, which repeat while a page of ZONE_MOVABLE is isolated */
static void pin_urgently(double end)
{
	struct io_uring_params params = { 0 };
	int fd = syscall(__NR_io_uring_setup, 1, &params);
	struct iovec iov = { .iov_len = BOUND * PAGE };
	pthread_t thread;

	area = map_area(BOUND * PAGE, false, PROT_READ | PROT_WRITE);
	memset(area, 1, BOUND * PAGE);
	iov.iov_base = area;
	thread = start(binder, NULL);
	become_urgent();
	while (now() < end) {
		wait_a_little();
		if (!syscall(__NR_io_uring_register, fd,
			     IORING_REGISTER_BUFFERS, &iov, 1))
			shared->overlaps++;
		syscall(__NR_io_uring_register, fd, IORING_UNREGISTER_BUFFERS,
			NULL, 0);
	}
	STORE(&shared->stop, 1);
	pthread_join(thread, NULL);
}

/*
 * Run @rounds in a process of its own, which the parent watches: a task that spins
 * in the kernel cannot be killed.
 */
static void test(const char *name, void (*rounds)(double end))
{
	double end;
	pid_t pid;
	int status;

	shared->overlaps = shared->stop = 0;
	pid = fork();
	if (!pid) {
		rounds(now() + race_seconds());
		_exit(0);
	}
	end = now() + race_seconds() + PATIENCE;
	while (!waitpid(pid, &status, WNOHANG)) {
		if (now() > end) {
			ksft_test_result_fail("%s: does not end\n", name);
			ksft_print_cnts();
			_exit(1);
		}
		sched_yield();
	}
	ksft_print_msg("%s: both were at work in %ld rounds\n", name,
		       shared->overlaps);
	ksft_test_result(WIFEXITED(status) && !WEXITSTATUS(status), "%s\n",
			 name);
}

static void set_if_there(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY);

	if (fd >= 0) {
		if (write(fd, value, strlen(value)) < 0)
			ksft_print_msg("%s: %s\n", path, strerror(errno));
		close(fd);
	}
}

int main(void)
{
	bool have = !access(SWITCH, F_OK);
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);

	setvbuf(stdout, NULL, _IOLBF, 0);
	ksft_print_header();
	if (fd < 0)
		ksft_exit_skip("no userfaultfd\n");
	close(fd);
	ksft_set_plan(6);
	set_if_there("/proc/sys/kernel/watchdog_thresh", "15");
	/* The comparison walks all VMAs for each VMA that is created. */
	set_if_there("/sys/module/vma_lock_debug/parameters/compare_vmas", "N");
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	memfd = memfd_create("written", 0);
	if (shared == MAP_FAILED || memfd < 0 || ftruncate(memfd, PAGE))
		ksft_exit_fail_msg("memory: %s\n", strerror(errno));

	test("userfaultfd closed while its memory is read", close_anon);
	test("the same, shmem", close_shmem);
	if (have) {
		set_switch(false);
		test("the same, VMA locks off", close_anon);
		set_switch(true);
	} else {
		ksft_test_result_skip("the same, VMA locks off: no switch\n");
	}
	set_if_there("/proc/sys/kernel/sched_rt_runtime_us", "-1");
	test("a fault in the middle of a change of the tree", fault_urgently);
	test("maps read in the middle of a change of the tree", read_urgently);
	test("a long-term pin in the middle of mbind()", pin_urgently);
	set_if_there("/proc/sys/kernel/sched_rt_runtime_us", "950000");
	ksft_finished();
}
