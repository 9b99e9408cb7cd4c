// SPDX-License-Identifier: GPL-2.0
/*
 * A page fault of the kernel repeats until another task has done its work, and
 * both tasks share one CPU. The fault has to wait for that task, or at least to
 * reschedule: a kernel without preemption spins in it for ever otherwise.
 *
 * Boot with preempt=none, voluntary and full; the answer must not depend on it.
 *
 * On a kernel that spins the program reports that from another CPU. With one
 * CPU nothing else runs: the soft lockup detector ends the guest.
 */
#define _GNU_SOURCE
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "vma_lock.h"

/* Enough for the timer to preempt the task that closes the file. */
#define VMAS 15000
#define SIZE (VMAS * PAGE)
/* A round takes less than a second on an idle machine. */
#define PATIENCE 60

static struct {
	int closing, closed;
	long overlaps;		/* rounds that wrote before the close returned */
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

/* Faults in the kernel, on the VMAs that the close reaches last. */
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

/*
 * In a process of its own, which the parent watches: a task that spins in the
 * kernel cannot be killed.
 */
static void test(const char *name, bool shmem)
{
	double end;
	pid_t pid;
	int status;

	shared->overlaps = 0;
	pid = fork();
	if (!pid) {
		end = now() + race_seconds();
		do {
			close_while_written(shmem);
		} while (now() < end);
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
	ksft_print_msg("%s: wrote before the close returned in %ld rounds\n", name,
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
	ksft_set_plan(3);
	set_if_there("/proc/sys/kernel/watchdog_thresh", "15");
	/* That takes a walk of all VMAs for each VMA that is made. */
	set_if_there("/sys/module/vma_lock_debug/parameters/compare_vmas", "N");
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	memfd = memfd_create("written", 0);
	if (shared == MAP_FAILED || memfd < 0 || ftruncate(memfd, PAGE))
		ksft_exit_fail_msg("memory: %s\n", strerror(errno));

	test("userfaultfd closed while its memory is read", false);
	test("the same, shmem", true);
	if (have) {
		set_switch(false);
		test("the same, VMA locks off", false);
		set_switch(true);
	} else {
		ksft_test_result_skip("the same, VMA locks off: no switch\n");
	}
	ksft_finished();
}
