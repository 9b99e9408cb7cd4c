// SPDX-License-Identifier: GPL-2.0
/*
 * Readers of VMAs that are not faults: madvise(), mincore(), calls that fault in a
 * range, the requests of a userfaultfd's monitor, pagemap, move_pages() and
 * clear_refs. With the switch on and off they must have the same results and leave
 * the same contents, whatever is in their range. They must not take mmap_lock where
 * it is not expected.
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <linux/membarrier.h>
#include <linux/mempolicy.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include "../../../../mm/gup_test.h"
#include "vma_lock.h"

#ifndef MADV_COLD
#define MADV_COLD 20
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

#define DEBUGFS "/sys/kernel/debug"
#define GUP_TEST DEBUGFS "/gup_test"
/* As <linux/mm.h> has them */
#define FOLL_WRITE 0x01
#define FOLL_LONGTERM 0x10000

#define PAGES 24
/* For a call that waits forever */
#define CALL_SECONDS 120
#define THIRD (PAGES / 3 * PAGE)
#define SIZE (PAGES * PAGE)

static char *area;
static int file = -1, shm = -1;
/* For threads: they must end; one of them has found an error. */
static int stop, bad;

static void map_at(size_t at, size_t size, int flags, int fd)
{
	if (mmap(area + at, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd,
		 fd < 0 ? 0 : at) == MAP_FAILED)
		ksft_exit_fail_msg("mmap: %s\n", strerror(errno));
}

static void one(void) { }

static void three(void)
{
	mprotect(area + THIRD, THIRD, PROT_READ | PROT_WRITE | PROT_EXEC);
}

static void hole_first(void)
{
	munmap(area, THIRD);
}

static void hole(void)
{
	munmap(area + THIRD, THIRD);
}

static void hole_last(void)
{
	munmap(area + 2 * THIRD, THIRD);
}

static void locked(void)
{
	mlock(area + THIRD, THIRD);
}

static void with_file(void)
{
	map_at(THIRD, THIRD, MAP_PRIVATE, file);
}

static void with_shared_file(void)
{
	map_at(THIRD, THIRD, MAP_SHARED, file);
}

static void with_shmem(void)
{
	map_at(THIRD, THIRD, MAP_SHARED, shm);
}

static void no_access(void)
{
	mprotect(area + THIRD, THIRD, PROT_NONE);
}

static int uffd = -1;

static void armed(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { (uintptr_t)area + THIRD, THIRD },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};

	uffd = syscall(__NR_userfaultfd, O_CLOEXEC);
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api) ||
	    ioctl(uffd, UFFDIO_REGISTER, &reg))
		three();
}

static const struct layout {
	const char *name;
	void (*make)(void);
	bool mmap_lock;		/* some of it needs mmap_lock */
} layouts[] = {
	{ "one VMA", one },
	{ "three VMAs", three },
	{ "a hole before", hole_first, true },
	{ "a hole between", hole, true },
	{ "a hole after", hole_last, true },
	{ "a locked VMA between", locked },
	{ "a private file between", with_file },
	{ "a shared file between", with_shared_file },
	{ "shmem between", with_shmem },
	{ "PROT_NONE between", no_access },
	{ "userfaultfd between", armed, true },
};

static const struct advice {
	const char *name;
	int advice;
} advices[] = {
	{ "DONTNEED", MADV_DONTNEED },
	{ "DONTNEED_LOCKED", MADV_DONTNEED_LOCKED },
	{ "FREE", MADV_FREE },
	{ "COLD", MADV_COLD },
	{ "PAGEOUT", MADV_PAGEOUT },
	{ "WILLNEED", MADV_WILLNEED },
};

struct result {
	int error;
	long read, read_mmap;
	unsigned char pages[PAGES];	/* the first byte of each; 0xff: no access */
	unsigned char marks[PAGES];	/* of a monitor's request: its page-table bits */
	long huge_free, huge_reserved;
};

/* The kernel reads the memory, for some of it may be unmapped. */
static void look_at(struct result *r, size_t step)
{
	int fd = open("/proc/self/mem", O_RDONLY), i;

	for (i = 0; i < PAGES; i++)
		if (pread(fd, &r->pages[i], 1, (uintptr_t)area + i * step) != 1)
			r->pages[i] = 0xff;
	close(fd);
}

static void look(struct result *r)
{
	look_at(r, PAGE);
}

/* In place of advice: mincore(), whose result goes to r->pages */
#define MINCORE -1

static void advise(const struct layout *l, int advice, bool on, struct result *r)
{
	int i;

	memset(r, 0, sizeof(*r));
	area = map_area(SIZE, false, PROT_READ | PROT_WRITE);
	for (i = 0; i < PAGES; i++) {
		area[i * PAGE] = i + 1;
		pwrite(file, &(char){ i + 65 }, 1, i * PAGE);
		pwrite(shm, &(char){ i + 97 }, 1, i * PAGE);
	}
	l->make();
	/* A private copy, if there is a private file */
	if (l->make == with_file)
		area[THIRD] = 64;
	set_switch(on);
	r->read = -vm_counter("vma_lock_read");
	r->read_mmap = -vm_counter("vma_lock_read_mmap");
	if (advice == MINCORE)
		r->error = mincore(area, SIZE, r->pages) ? errno : 0;
	else
		r->error = madvise(area, SIZE, advice) ? errno : 0;
	r->read += vm_counter("vma_lock_read");
	r->read_mmap += vm_counter("vma_lock_read_mmap");
	if (advice != MINCORE)
		look(r);
	set_switch(true);
	if (uffd >= 0)
		close(uffd);
	uffd = -1;
	munmap(area, SIZE);
}

static void compare(const struct layout *l)
{
	bool same = true, lock = true;
	size_t i;

	for (i = 0; i < sizeof(advices) / sizeof(*advices); i++) {
		struct result on, off;

		advise(l, advices[i].advice, true, &on);
		advise(l, advices[i].advice, false, &off);
		if (on.error != off.error ||
		    memcmp(on.pages, off.pages, sizeof(on.pages))) {
			same = false;
			ksft_print_msg("%s, %s: %s with the switch on, %s with it off\n",
				       l->name, advices[i].name,
				       strerror(on.error), strerror(off.error));
		}
		/* A call that fails may not have reached the part for mmap_lock. */
		if (off.read || off.read_mmap || on.read + on.read_mmap > 1 ||
		    (!on.error && on.read + on.read_mmap != 1) ||
		    (!l->mmap_lock && on.read_mmap)) {
			lock = false;
			ksft_print_msg("%s, %s: on: %ld, %ld with mmap_lock; off: %ld, %ld\n",
				       l->name, advices[i].name, on.read,
				       on.read_mmap, off.read, off.read_mmap);
		}
	}
	ksft_test_result(same, "madvise, %s: as with the switch off\n", l->name);
	ksft_test_result(lock, "madvise, %s: under the expected lock\n", l->name);
}

static void compare_mincore(void)
{
	bool same = true, lock = true;
	size_t i;

	for (i = 0; i < sizeof(layouts) / sizeof(*layouts); i++) {
		const struct layout *l = &layouts[i];
		struct result on, off;

		advise(l, MINCORE, true, &on);
		advise(l, MINCORE, false, &off);
		if (on.error != off.error ||
		    memcmp(on.pages, off.pages, sizeof(on.pages))) {
			same = false;
			ksft_print_msg("%s: %s with the switch on, %s with it off\n",
				       l->name, strerror(on.error), strerror(off.error));
		}
		/* A hole is an error. The error is found under mmap_lock. */
		if (off.read || off.read_mmap || on.read > 3 ||
		    on.read_mmap != (on.error != 0)) {
			lock = false;
			ksft_print_msg("%s: on: %ld, %ld with mmap_lock; off: %ld, %ld\n",
				       l->name, on.read, on.read_mmap, off.read,
				       off.read_mmap);
		}
	}
	ksft_test_result(same, "mincore: as with the switch off\n");
	ksft_test_result(lock, "mincore: under the expected lock\n");
}

/* Calls that fault in a range, and the layouts that matter for them */

static void read_only(void)
{
	mprotect(area + THIRD, THIRD, PROT_READ);
}

/* mlock() reads memory that may only be written or executed by FOLL_FORCE. */
static void write_only(void)
{
	mprotect(area + THIRD, THIRD, PROT_WRITE);
}

static void with_secretmem(void)
{
	int fd = syscall(447 /* memfd_secret */, 0);

	if (fd < 0 || ftruncate(fd, SIZE))
		return three();
	map_at(THIRD, THIRD, MAP_SHARED, fd);
	close(fd);
}

static void with_device(void)
{
	int fd = open("/dev/zero", O_RDWR);

	map_at(THIRD, THIRD, MAP_PRIVATE, fd);
	close(fd);
}

/* On a disk: the fault reads the page, and releases its lock meanwhile. */
static void map_cold_file(bool first_is_cached)
{
	char byte;
	int fd, i;

	if (mount_ext4())
		return three();
	fd = open(MNT "/cold", O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || ftruncate(fd, SIZE))
		ksft_exit_fail_msg("%s: %s\n", MNT "/cold", strerror(errno));
	for (i = 0; i < PAGES; i++)
		pwrite(fd, &(char){ i + 33 }, 1, i * PAGE);
	fsync(fd);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
	if (first_is_cached)
		pread(fd, &byte, 1, THIRD);
	map_at(THIRD, THIRD, MAP_SHARED, fd);
	close(fd);
}

static void with_cold_file(void)
{
	map_cold_file(false);
}

/* The fault that sleeps is not the first one in its VMA. */
static void with_cool_file(void)
{
	map_cold_file(true);
}

/* The file ends within the mapping. The rest gives SIGBUS. */
static void past_the_file(void)
{
	map_at(THIRD, THIRD, MAP_SHARED, file);
	if (ftruncate(file, THIRD + 2 * PAGE))
		ksft_exit_fail_msg("ftruncate: %s\n", strerror(errno));
}

static void poisoned(void)
{
	/* If this is not possible, the page is like the others. */
	madvise(area + THIRD, PAGE, MADV_HWPOISON);
}

/* No thread answers the userfaults: only for calls that do not wait for an answer */
static void unanswered(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { (uintptr_t)area + THIRD, THIRD },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	uffd = syscall(__NR_userfaultfd, O_CLOEXEC);
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api) ||
	    ioctl(uffd, UFFDIO_REGISTER, &reg))
		ksft_exit_fail_msg("userfaultfd: %s\n", strerror(errno));
}

static const struct layout populate_layouts[] = {
	{ "one VMA", one },
	{ "three VMAs", three },
	{ "a hole before", hole_first, true },
	{ "a hole between", hole, true },
	{ "a hole after", hole_last, true },
	{ "a locked VMA between", locked },
	{ "a private file between", with_file },
	{ "a shared file between", with_shared_file },
	{ "shmem between", with_shmem },
	{ "a cold file between", with_cold_file },
	{ "a cold file but for its first page", with_cool_file },
	{ "PROT_NONE between", no_access, true },
	{ "read-only between", read_only, true },
	{ "write-only between", write_only, true },
	{ "secretmem between", with_secretmem, true },
	{ "/dev/zero between", with_device },
	{ "a file that ends", past_the_file, true },
	{ "a poisoned page", poisoned, true },
	{ "userfaultfd, no answer", unanswered, true },
};

static int populate_read(void)
{
	return madvise(area, SIZE, MADV_POPULATE_READ);
}

static int populate_write(void)
{
	return madvise(area, SIZE, MADV_POPULATE_WRITE);
}

static int lock_range(void)
{
	return mlock(area, SIZE);
}

static int lock_on_fault(void)
{
	return syscall(__NR_mlock2, area, SIZE, 1 /* MLOCK_ONFAULT */);
}

/* All VMAs of the process, with holes between them */
static int lock_all(void)
{
	return mlockall(MCL_CURRENT);
}

/* The buffer of the calls that take the pages of a range */
static char copied[SIZE];

static int read_other(void)
{
	struct iovec local = { copied, SIZE }, remote = { area, SIZE };

	return process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
}

static int write_other(void)
{
	struct iovec local = { copied, SIZE }, remote = { area, SIZE };

	memset(copied, 55, SIZE);
	return process_vm_writev(getpid(), &local, 1, &remote, 1, 0);
}

/* get_user_pages_fast(): to a pipe by vmsplice(), and from a file by O_DIRECT */
static int splice_pages(void)
{
	struct iovec iov = { area, SIZE };
	int fds[2], n, err;

	if (pipe(fds) || fcntl(fds[1], F_SETPIPE_SZ, 1 << 20) < 0)
		ksft_exit_fail_msg("pipe: %s\n", strerror(errno));
	n = vmsplice(fds[1], &iov, 1, SPLICE_F_NONBLOCK);
	err = errno;
	if (n > 0 && read(fds[0], copied, n) != n)
		ksft_exit_fail_msg("read: %s\n", strerror(errno));
	close(fds[0]);
	close(fds[1]);
	errno = err;
	return n;
}

static int read_direct(void)
{
	int fd, n, err;

	if (mount_ext4())
		return 0;
	fd = open(MNT "/direct", O_RDWR | O_CREAT, 0600);
	memset(copied, 66, SIZE);
	if (fd < 0 || pwrite(fd, copied, SIZE, 0) != SIZE || fsync(fd) ||
	    fcntl(fd, F_SETFL, O_DIRECT))
		ksft_exit_fail_msg("%s: %s\n", MNT "/direct", strerror(errno));
	n = pread(fd, area, SIZE, 0);
	err = errno;
	close(fd);
	errno = err;
	return n;
}

/* Replace the middle of the area. */
static int map_populate(void)
{
	return mmap(area + THIRD, THIRD, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE,
		    -1, 0) == MAP_FAILED ? -1 : 0;
}

/* Memory of a process by access_remote_vm(), which ptrace() calls, too */
static int read_mem(void)
{
	int fd = open("/proc/self/mem", O_RDONLY), n;

	n = pread(fd, copied, SIZE, (uintptr_t)area);
	close(fd);
	return n;
}

/* From the middle of a page to the middle of another */
static int write_mem(void)
{
	int fd = open("/proc/self/mem", O_RDWR), n;

	memset(copied, 99, SIZE);
	n = pwrite(fd, copied, SIZE - PAGE, (uintptr_t)area + PAGE / 2);
	close(fd);
	return n;
}

/* A futex word in a page that is absent or not writable: fixup_user_fault() */
static int wake_op(void)
{
	static uint32_t word;
	int i, n = 0, err = 0;

	for (i = 0; i < PAGES; i++)
		if (syscall(__NR_futex, &word,
			    FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 1, (void *)1,
			    area + i * PAGE,
			    FUTEX_OP(FUTEX_OP_SET, 77, FUTEX_OP_CMP_EQ, 0)) < 0)
			err = errno;
		else
			n++;
	errno = err;
	return err ? -n - 1 : n;
}

/* Take long-term pins. @pinned, if not NULL, looks at the pages meanwhile. */
static int register_area(void (*pinned)(void))
{
	struct io_uring_params params = { 0 };
	struct iovec iov = { area, SIZE };
	int fd = syscall(__NR_io_uring_setup, 1, &params), n, err;

	if (fd < 0)
		return fd;
	n = syscall(__NR_io_uring_register, fd, IORING_REGISTER_BUFFERS, &iov, 1);
	err = errno;
	if (!n && pinned)
		pinned();
	if (!n)
		syscall(__NR_io_uring_register, fd, IORING_UNREGISTER_BUFFERS,
			NULL, 0);
	close(fd);
	errno = err;
	return n;
}

/* If the kernel has no io_uring, the error is always the same. */
static int register_buffers(void)
{
	return register_area(NULL);
}

static const struct {
	const char *name;
	int (*call)(void);
	bool unanswered;	/* does not wait for userspace */
} populates[] = {
	{ "MADV_POPULATE_READ", populate_read },
	{ "MADV_POPULATE_WRITE", populate_write },
	{ "mlock", lock_range },
	{ "mlock2, on fault", lock_on_fault },
	{ "mlockall", lock_all },
	{ "MAP_POPULATE", map_populate },
	{ "process_vm_readv", read_other },
	{ "process_vm_writev", write_other },
	{ "vmsplice", splice_pages },
	{ "read, O_DIRECT", read_direct },
	{ "/proc/self/mem, read", read_mem, true },
	{ "/proc/self/mem, written", write_mem, true },
	{ "futex", wake_op, true },
	{ "io_uring's buffers", register_buffers, true },
};

struct populated {
	int result, error;
	long gup, gup_mmap, read, read_mmap, locked, major;
	unsigned char there[PAGES];
	struct result memory;
	unsigned char copied[PAGES];
};

static long major_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_majflt;
}

/* "VmLck" of this process, in kB */
static long locked_memory(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[128];
	long n = -1;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmLck: %ld", &n) == 1)
			break;
	if (f)
		fclose(f);
	return n;
}

static void populate(const struct layout *l, int (*call)(void), bool on,
		     struct populated *p)
{
	int i;

	memset(p, 0, sizeof(*p));
	if (ftruncate(file, SIZE) || ftruncate(shm, SIZE))
		ksft_exit_fail_msg("ftruncate: %s\n", strerror(errno));
	area = map_area(SIZE, false, PROT_READ | PROT_WRITE);
	for (i = 0; i < PAGES; i++) {
		pwrite(file, &(char){ i + 65 }, 1, i * PAGE);
		pwrite(shm, &(char){ i + 97 }, 1, i * PAGE);
		/* Some pages are present. */
		if (!(i % 5))
			area[i * PAGE] = i + 1;
	}
	l->make();
	memset(copied, 0, SIZE);
	set_switch(on);
	p->gup = -vm_counter("vma_lock_gup");
	p->gup_mmap = -vm_counter("vma_lock_gup_mmap");
	p->read = -vm_counter("vma_lock_read");
	p->read_mmap = -vm_counter("vma_lock_read_mmap");
	p->major = -major_faults();
	alarm(CALL_SECONDS);
	p->result = call();
	alarm(0);
	p->error = p->result < 0 ? errno : 0;
	p->major += major_faults();
	p->gup += vm_counter("vma_lock_gup");
	p->gup_mmap += vm_counter("vma_lock_gup_mmap");
	p->read += vm_counter("vma_lock_read");
	p->read_mmap += vm_counter("vma_lock_read_mmap");
	for (i = 0; i < PAGES; i++) {
		p->copied[i] = copied[i * PAGE];
		copied[i * PAGE] = 0;
	}
	/* Not for mlockall(): the gaps that map_area() leaves grow in number. */
	p->locked = call == lock_all ? 0 : locked_memory();
	munlockall();
	for (i = 0; i < PAGES; i++)
		if (mincore(area + i * PAGE, PAGE, &p->there[i]))
			p->there[i] = 0xff;
	look(&p->memory);
	set_switch(true);
	if (uffd >= 0)
		close(uffd);
	uffd = -1;
	munmap(area, SIZE);
}

static void compare_populate(const struct layout *l)
{
	bool same = true, lock = true;
	size_t i;

	for (i = 0; i < sizeof(populates) / sizeof(*populates); i++) {
		int (*call)(void) = populates[i].call;
		struct populated on, off;

		if (l->make == unanswered && !populates[i].unanswered)
			continue;
		/* The first mlockall() also changes the rest of the process. */
		if (call == lock_all)
			populate(l, call, false, &off);
		populate(l, call, true, &on);
		populate(l, call, false, &off);
		if (on.error != off.error || on.result != off.result ||
		    on.locked != off.locked || on.major != off.major ||
		    memcmp(on.there, off.there, PAGES) ||
		    memcmp(on.copied, off.copied, PAGES) ||
		    memcmp(&on.memory, &off.memory, sizeof(on.memory))) {
			same = false;
			ksft_print_msg("%s, %s:\n", l->name, populates[i].name);
			ksft_print_msg("on: %d, %s, %ld kB locked, %ld major faults\n",
				       on.result, strerror(on.error), on.locked,
				       on.major);
			ksft_print_msg("off: %d, %s, %ld kB locked, %ld major faults\n",
				       off.result, strerror(off.error), off.locked,
				       off.major);
		}
		if (off.gup || off.read || off.read_mmap ||
		    (!l->mmap_lock && (on.gup_mmap || on.read_mmap)) ||
		    (!on.error && on.gup + on.gup_mmap < off.gup_mmap)) {
			lock = false;
			ksft_print_msg("%s, %s: faults, calls under VMA locks; under mmap_lock\n",
				       l->name, populates[i].name);
			ksft_print_msg("on: %ld, %ld; %ld, %ld\n", on.gup,
				       on.read, on.gup_mmap, on.read_mmap);
			ksft_print_msg("off: %ld, %ld; %ld, %ld\n", off.gup,
				       off.read, off.gup_mmap, off.read_mmap);
		}
		/* Only FOLL_FORCE can read these pages. */
		if (l->make == write_only && call == lock_range && !on.gup_mmap) {
			lock = false;
			ksft_print_msg("%s, %s: FOLL_FORCE under the VMA lock\n",
				       l->name, populates[i].name);
		}
	}
	ksft_test_result(same, "faulting in, %s: as with the switch off\n", l->name);
	ksft_test_result(lock, "faulting in, %s: under the expected lock\n", l->name);
}

/* In a process with one thread nobody waits for mmap_lock, which costs less. */
static void one_thread(void)
{
	struct populated p;

	populate(&populate_layouts[0], populate_write, true, &p);
	if (p.gup || !p.gup_mmap)
		ksft_print_msg("%ld faults under VMA locks, %ld under mmap_lock\n",
			       p.gup, p.gup_mmap);
	ksft_test_result(!p.error && !p.gup && p.gup_mmap,
			 "faulting in, one thread: under mmap_lock\n");
}

static void *sleeper(void *unused)
{
	for (;;)
		pause();
	return NULL;
}

/* Requests of a monitor, for a range whose second third is missing */

enum memory { ANON, SHMEM, HUGE_PRIVATE, HUGE_SHARED };

/* The step between the PAGES places to check. Three huge pages have several each. */
static size_t step_of(enum memory kind)
{
	return kind < HUGE_PRIVATE ? PAGE : 3 * HUGE / PAGES;
}

static long huge_pages(const char *which)
{
	FILE *f = fopen("/proc/meminfo", "r");
	char line[128];
	long n = -1;

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, which, strlen(which)))
			n = atol(line + strlen(which));
	if (f)
		fclose(f);
	return n;
}

static bool set_huge_pages(int n)
{
	FILE *f = fopen("/proc/sys/vm/nr_hugepages", "w");

	if (!f)
		return false;
	fprintf(f, "%d\n", n);
	fclose(f);
	return huge_pages("HugePages_Total:") == n;
}

static void map_memory(enum memory kind)
{
	size_t size = PAGES * step_of(kind);

	area = map_area(size, false, PROT_READ | PROT_WRITE);
	if (kind == SHMEM) {
		map_at(0, size, MAP_SHARED, shm);
	} else if (kind == HUGE_PRIVATE) {
		map_at(0, size, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1);
	} else if (kind == HUGE_SHARED) {
		int fd = memfd_create("vma_lock_reads", MFD_HUGETLB);

		if (fd < 0 || ftruncate(fd, size))
			ksft_exit_fail_msg("memfd: %s\n", strerror(errno));
		map_at(0, size, MAP_SHARED, fd);
		close(fd);
	}
}

/* From pagemap: is a page present, and write-protected by a monitor? */
static void read_marks(struct result *r, size_t step)
{
	int fd = open("/proc/self/pagemap", O_RDONLY), i;
	uint64_t entry;

	for (i = 0; i < PAGES; i++) {
		if (pread(fd, &entry, 8, ((uintptr_t)area + i * step) / PAGE * 8) != 8)
			entry = -1;
		r->marks[i] = entry >> 57 & 0x41;
	}
	close(fd);
}

static int fill(int nr, void *arg)
{
	return ioctl(uffd, nr, arg) ? errno : 0;
}

static char *source;

static int uffd_copy(uintptr_t at, size_t len)
{
	struct uffdio_copy copy = { .dst = at, .src = (uintptr_t)source, .len = len };

	return fill(UFFDIO_COPY, &copy);
}

/* From an absent page, which is copied with the lock released */
static int uffd_copy_absent(uintptr_t at, size_t len)
{
	madvise(source, 3 * HUGE, MADV_DONTNEED);
	return uffd_copy(at, len);
}

static int uffd_zero(uintptr_t at, size_t len)
{
	struct uffdio_zeropage zero = { .range = { at, len } };

	return fill(UFFDIO_ZEROPAGE, &zero);
}

static int uffd_protect(uintptr_t at, size_t len)
{
	struct uffdio_writeprotect wp = {
		.range = { at, len }, .mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};

	return fill(UFFDIO_WRITEPROTECT, &wp);
}

static int uffd_continue(uintptr_t at, size_t len)
{
	struct uffdio_continue cont = { .range = { at, len } };

	return fill(UFFDIO_CONTINUE, &cont);
}

static const struct request {
	const char *name;
	int (*make)(uintptr_t at, size_t len);
	size_t at, len;
	int mode;
	enum memory kind;
	int error;
	bool mmap_lock;		/* is taken to find the error, or for an anon_vma */
} requests[] = {
	{ "COPY", uffd_copy, THIRD, THIRD, UFFDIO_REGISTER_MODE_MISSING },
	{ "COPY, shmem", uffd_copy, THIRD, THIRD, UFFDIO_REGISTER_MODE_MISSING, SHMEM },
	{ "COPY, from absent pages", uffd_copy_absent, THIRD, THIRD,
	  UFFDIO_REGISTER_MODE_MISSING },
	{ "COPY, where something is", uffd_copy, 0, PAGE, UFFDIO_REGISTER_MODE_MISSING,
	  ANON, EEXIST },
	{ "COPY, past the end", uffd_copy, 2 * THIRD, 2 * THIRD,
	  UFFDIO_REGISTER_MODE_MISSING, ANON, ENOENT, true },
	{ "ZEROPAGE", uffd_zero, THIRD, THIRD, UFFDIO_REGISTER_MODE_MISSING },
	{ "WRITEPROTECT", uffd_protect, 0, THIRD, UFFDIO_REGISTER_MODE_WP },
	{ "CONTINUE", uffd_continue, THIRD, THIRD, UFFDIO_REGISTER_MODE_MINOR, SHMEM },
	{ "COPY, hugetlb", uffd_copy, THIRD, THIRD, UFFDIO_REGISTER_MODE_MISSING,
	  HUGE_PRIVATE },
	{ "COPY, shared hugetlb", uffd_copy, THIRD, THIRD,
	  UFFDIO_REGISTER_MODE_MISSING, HUGE_SHARED },
	{ "COPY, hugetlb, from absent pages", uffd_copy_absent, THIRD, THIRD,
	  UFFDIO_REGISTER_MODE_MISSING, HUGE_PRIVATE },
	{ "COPY, shared hugetlb, from absent pages", uffd_copy_absent, THIRD, THIRD,
	  UFFDIO_REGISTER_MODE_MISSING, HUGE_SHARED },
	{ "COPY, shared hugetlb, where something is", uffd_copy, 0, THIRD,
	  UFFDIO_REGISTER_MODE_MISSING, HUGE_SHARED, EEXIST },
	{ "COPY, hugetlb, the second is there", uffd_copy, THIRD, 2 * THIRD,
	  UFFDIO_REGISTER_MODE_MISSING, HUGE_PRIVATE, EAGAIN },
	{ "COPY, hugetlb, a part", uffd_copy, THIRD, PAGE,
	  UFFDIO_REGISTER_MODE_MISSING, HUGE_PRIVATE, EINVAL },
	{ "COPY, hugetlb, past the end", uffd_copy, 2 * THIRD, 2 * THIRD,
	  UFFDIO_REGISTER_MODE_MISSING, HUGE_PRIVATE, ENOENT, true },
	{ "ZEROPAGE, hugetlb", uffd_zero, THIRD, THIRD,
	  UFFDIO_REGISTER_MODE_MISSING, HUGE_PRIVATE, EINVAL },
	{ "WRITEPROTECT, hugetlb", uffd_protect, 0, 2 * THIRD,
	  UFFDIO_REGISTER_MODE_WP, HUGE_PRIVATE },
	{ "WRITEPROTECT, shared hugetlb", uffd_protect, THIRD, 2 * THIRD,
	  UFFDIO_REGISTER_MODE_WP, HUGE_SHARED },
	{ "WRITEPROTECT, hugetlb, a part", uffd_protect, 0, PAGE,
	  UFFDIO_REGISTER_MODE_WP, HUGE_PRIVATE, EINVAL },
	{ "CONTINUE, shared hugetlb", uffd_continue, THIRD, THIRD,
	  UFFDIO_REGISTER_MODE_MINOR, HUGE_SHARED },
	{ "COPY, the first page", uffd_copy, THIRD, THIRD, UFFDIO_REGISTER_MODE_MISSING,
	  ANON, 0, true },
	{ "COPY, hugetlb, the first page", uffd_copy, THIRD, THIRD,
	  UFFDIO_REGISTER_MODE_MISSING, HUGE_PRIVATE, 0, true },
	{ "CONTINUE, hugetlb, of no file", uffd_continue, THIRD, THIRD,
	  UFFDIO_REGISTER_MODE_MINOR, HUGE_PRIVATE, EFAULT },
};

/* Register the whole area with a userfaultfd, UFFD. */
static bool arm_area(size_t size, int mode, uint64_t features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	struct uffdio_register reg = { .mode = mode, .range = { (uintptr_t)area, size } };

	uffd = syscall(__NR_userfaultfd, O_CLOEXEC);
	return uffd >= 0 && !ioctl(uffd, UFFDIO_API, &api) &&
		!ioctl(uffd, UFFDIO_REGISTER, &reg);
}

static void ask(const struct request *q, bool on, struct result *r)
{
	size_t step = step_of(q->kind), size = PAGES * step;
	bool minor = q->mode == UFFDIO_REGISTER_MODE_MINOR;
	bool huge = q->kind >= HUGE_PRIVATE, fresh = q->mmap_lock && !q->error;
	int i;

	memset(r, 0, sizeof(*r));
	r->error = -1;
	/* If no huge page is to spare, the copy uses a page that is not of the pool. */
	if (huge && !set_huge_pages(q->make == uffd_copy_absent ? 3 : 5))
		return;
	map_memory(q->kind);
	for (i = 0; i < PAGES; i++) {
		source[i * step] = i + 1;
		/* A huge page that is never faulted in keeps its reservation. */
		if (!fresh && (!huge || minor || i / (PAGES / 3) != 1))
			area[i * step] = i + 1;
	}
	/* In a shared file the page stays, for CONTINUE. */
	madvise(area + size / 3, size / 3, q->kind == SHMEM && !minor ?
		MADV_REMOVE : MADV_DONTNEED);
	if (arm_area(size, q->mode, minor ? UFFD_FEATURE_MINOR_SHMEM : 0)) {
		set_switch(on);
		r->read = -vm_counter("vma_lock_read");
		r->read_mmap = -vm_counter("vma_lock_read_mmap");
		r->error = q->make((uintptr_t)area + q->at / PAGE * step,
				   q->len / PAGE * step);
		r->read += vm_counter("vma_lock_read");
		r->read_mmap += vm_counter("vma_lock_read_mmap");
		set_switch(true);
		read_marks(r, step);
		r->huge_free = huge_pages("HugePages_Free:");
		r->huge_reserved = huge_pages("HugePages_Rsvd:");
	}
	close(uffd);
	uffd = -1;
	/* This faults in the pages that are still missing: they are zeroes. */
	look_at(r, step);
	munmap(area, size);
}

static bool same_results(const struct result *on, const struct result *off)
{
	return on->error == off->error && on->huge_free == off->huge_free &&
		on->huge_reserved == off->huge_reserved &&
		!memcmp(on->pages, off->pages, sizeof(on->pages)) &&
		!memcmp(on->marks, off->marks, sizeof(on->marks));
}

static void compare_request(const struct request *q)
{
	struct result on, off;
	bool ok;

	ask(q, true, &on);
	ask(q, false, &off);
	if (on.error < 0 && off.error < 0) {
		ksft_test_result_skip("userfaultfd %s: not to be had here\n", q->name);
		return;
	}
	ok = same_results(&on, &off) && on.error == q->error && !off.read &&
		!off.read_mmap && on.read && on.read_mmap == q->mmap_lock;
	if (!ok) {
		ksft_print_msg("on: %s, %ld, %ld with mmap_lock; %ld huge pages, %ld reserved\n",
			       strerror(on.error), on.read, on.read_mmap, on.huge_free,
			       on.huge_reserved);
		ksft_print_msg("off: %s, %ld, %ld with mmap_lock; %ld huge pages, %ld reserved\n",
			       strerror(off.error), off.read, off.read_mmap, off.huge_free,
			       off.huge_reserved);
	}
	ksft_test_result(ok, "userfaultfd %s: as with the switch off, under %s\n",
			 q->name, q->mmap_lock ? "mmap_lock" : "the VMA lock");
}

/*
 * The source of a COPY waits for a monitor of its own. The request sleeps there with
 * no lock held. Its destination changes meanwhile.
 */

static void change_nothing(size_t size) { }

static void change_unmap(size_t size)
{
	munmap(area, size);
}

static void change_cut(size_t size)
{
	munmap(area + 2 * size / 3, size / 3);
}

static void change_move(size_t size)
{
	char *to = map_area(size, false, PROT_NONE);

	if (mremap(area, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to)
		ksft_exit_fail_msg("mremap: %s\n", strerror(errno));
	area = to;
}

static void change_disarm(size_t size)
{
	struct uffdio_range range = { (uintptr_t)area, size };

	ioctl(uffd, UFFDIO_UNREGISTER, &range);
}

/* Another thread fills the page first. */
static void change_fill(size_t size)
{
	struct uffdio_copy copy = {
		.dst = (uintptr_t)area + size / 3, .src = (uintptr_t)source,
		.len = size / 3,
	};

	ioctl(uffd, UFFDIO_COPY, &copy);
}

/* Replace the area by another mapping, which is registered as well. */
static void replace(size_t size, int flags, int fd)
{
	struct uffdio_register reg = {
		.range = { (uintptr_t)area, size },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	munmap(area, size);
	map_at(0, size, flags, fd);
	if (ioctl(uffd, UFFDIO_REGISTER, &reg))
		ksft_exit_fail_msg("UFFDIO_REGISTER: %s\n", strerror(errno));
}

static void change_to_small(size_t size)
{
	replace(size, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static void change_to_shared(size_t size)
{
	int fd = memfd_create("vma_lock_reads", size > SIZE ? MFD_HUGETLB : 0);

	if (fd < 0 || ftruncate(fd, size))
		ksft_exit_fail_msg("memfd: %s\n", strerror(errno));
	replace(size, MAP_SHARED, fd);
	close(fd);
}

/* munmap() waits until the monitor has read the event. */
static pthread_t unmapper;

static void *unmaps(void *size)
{
	munmap(area, (size_t)size);
	return NULL;
}

static void change_tell(size_t size)
{
	struct pollfd p = { .fd = uffd, .events = POLLIN };

	unmapper = start(unmaps, (void *)size);
	poll(&p, 1, -1);
}

static const struct change {
	const char *name;
	void (*make)(size_t size);
	int error;		/* of a request for huge pages */
} changes[] = {
	{ "nothing", change_nothing },
	{ "unmapped", change_unmap, ENOENT },
	{ "cut", change_cut, ENOENT },
	{ "moved", change_move, ENOENT },
	{ "disarmed", change_disarm, ENOENT },
	{ "filled", change_fill, EEXIST },
	{ "small pages", change_to_small, ENOENT },
	{ "a shared file", change_to_shared },
	{ "being unmapped", change_tell, EAGAIN },
};

static char *late;

#define PATIENCE 120

struct late_copy {
	size_t size;
	int error;
};

static void *copies_late(void *arg)
{
	struct late_copy *l = arg;
	struct uffdio_copy copy = {
		.dst = (uintptr_t)area + l->size / 3, .src = (uintptr_t)late,
		.len = 2 * l->size / 3,
	};

	l->error = fill(UFFDIO_COPY, &copy);
	return NULL;
}

static bool copy_late(const struct change *c, enum memory kind, bool on,
		      struct result *r)
{
	size_t step = step_of(kind);
	struct late_copy l = { .size = PAGES * step };
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { (uintptr_t)late, PAGE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	struct uffdio_copy come = {
		.dst = (uintptr_t)late, .src = (uintptr_t)source, .len = PAGE,
	};
	struct uffd_msg msg;
	pthread_t t;
	int i, fd;

	memset(r, 0, sizeof(*r));
	if (kind >= HUGE_PRIVATE && !set_huge_pages(5))
		return false;
	map_memory(kind);
	*area = 1;
	for (i = 0; i < PAGES; i++)
		source[i * step] = late[i * step] = i + 100;
	madvise(late, PAGE, MADV_DONTNEED);
	fd = syscall(__NR_userfaultfd, O_CLOEXEC);
	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &reg) ||
	    !arm_area(l.size, UFFDIO_REGISTER_MODE_MISSING,
		      c->make == change_tell ? UFFD_FEATURE_EVENT_UNMAP : 0))
		ksft_exit_fail_msg("userfaultfd: %s\n", strerror(errno));

	set_switch(on);
	t = start(copies_late, &l);
	/* The request sleeps, or is about to, and holds no lock. */
	if (read(fd, &msg, sizeof(msg)) != sizeof(msg))
		ksft_exit_fail_msg("userfaultfd: %s\n", strerror(errno));
	c->make(l.size);
	/* Wait for grace periods, so that what was unmapped is freed. */
	for (i = 0; i < 2; i++)
		syscall(__NR_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
	ioctl(fd, UFFDIO_COPY, &come);
	pthread_join(t, NULL);
	r->error = l.error;
	if (c->make == change_tell) {
		if (read(uffd, &msg, sizeof(msg)) != sizeof(msg))
			ksft_exit_fail_msg("userfaultfd: %s\n", strerror(errno));
		pthread_join(unmapper, NULL);
	}
	set_switch(true);
	close(fd);
	close(uffd);
	uffd = -1;
	look_at(r, step);
	munmap(area, l.size);
	/* The request must have given back the huge pages that it has taken. */
	r->huge_free = huge_pages("HugePages_Free:");
	r->huge_reserved = huge_pages("HugePages_Rsvd:");
	return true;
}

static void compare_late(const char *name, enum memory kind)
{
	struct result on, off;
	bool ok = true;
	size_t i;

	for (i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		const struct change *c = &changes[i];

		if (!copy_late(c, kind, true, &on)) {
			ksft_test_result_skip("userfaultfd COPY, %s, late: no huge pages\n",
					      name);
			return;
		}
		copy_late(c, kind, false, &off);
		if (same_results(&on, &off) &&
		    (kind < HUGE_PRIVATE ||
		     (on.error == c->error && on.huge_free == 5 && !on.huge_reserved)))
			continue;
		ok = false;
		ksft_print_msg("%s: on: %s, off: %s; %ld, %ld huge pages, %ld, %ld reserved\n",
			       c->name, strerror(on.error), strerror(off.error),
			       on.huge_free, off.huge_free, on.huge_reserved,
			       off.huge_reserved);
	}
	ksft_test_result(ok, "userfaultfd COPY, %s, that comes late: as with the switch off\n",
			 name);
}

/* NUMA balancing's scan, which makes pages inaccessible for hint faults */

#define BALANCING "/proc/sys/kernel/numa_balancing"

static int balancing(int how)
{
	FILE *f = fopen(BALANCING, how < 0 ? "r" : "w");
	int was = -1;

	if (!f)
		return -1;
	if (how >= 0)
		fprintf(f, "%d\n", how);
	else if (fscanf(f, "%d", &was) != 1)
		was = -1;
	fclose(f);
	return was;
}

static int scanned, changed;

/* Only tasks that run do scans. */
static void *toucher(void *arg)
{
	char *mine = map_area(SIZE, false, PROT_READ | PROT_WRITE);
	int i;

	for (i = 0; i < PAGES; i++)
		mine[i * PAGE] = i + 1;
	while (!LOAD(&scanned))
		for (i = 0; i < PAGES; i++)
			if (LOAD(&mine[i * PAGE]) != i + 1)
				STORE(&changed, 1);
	munmap(mine, SIZE);
	return NULL;
}

/* How many scans do without mmap_lock until they have changed enough entries, or -1 */
static long scan(bool on)
{
	long updates = vm_counter("numa_pte_updates") + 3 * PAGES, read;
	double end = now() + PATIENCE;
	pthread_t t[3];
	int i;

	scanned = 0;
	set_switch(on);
	read = vm_counter("vma_lock_read");
	balancing(1);
	for (i = 0; i < 3; i++)
		t[i] = start(toucher, NULL);
	while (now() < end && vm_counter("numa_pte_updates") < updates)
		sched_yield();
	balancing(0);
	/* Before the threads end: the C library calls madvise() then. */
	read = vm_counter("vma_lock_read") - read;
	STORE(&scanned, 1);
	for (i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	set_switch(true);
	return vm_counter("numa_pte_updates") < updates ? -1 : read;
}

static void compare_scan(int was)
{
	long on, off;

	if (was < 0 || access("/sys/devices/system/node/node1", F_OK)) {
		ksft_test_result_skip("NUMA scan: one node, or no balancing\n");
		return;
	}
	on = scan(true);
	off = scan(false);
	ksft_print_msg("scans under VMA locks: on: %ld, off: %ld\n", on, off);
	ksft_test_result(on > 0 && !off && !changed, "NUMA scan: under VMA locks\n");
}

/*
 * The first write to a mapping tries mmap_lock. It may fail, for another thread maps.
 * No page is read from a disk, so no fault is major.
 */
#define FIRST_WRITES 500

static int mapper_stop;

static void *mapper(void *unused)
{
	while (!LOAD(&mapper_stop))
		munmap(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0), PAGE);
	return NULL;
}

static void first_writes(void)
{
	long major = -major_faults(), i, n = 0;
	pthread_t thread = start(mapper, NULL);

	for (i = 0; i < FIRST_WRITES; i++) {
		struct iovec local = { copied, PAGE }, remote = { NULL, PAGE };

		remote.iov_base = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		n += process_vm_writev(getpid(), &local, 1, &remote, 1, 0) == PAGE;
		munmap(remote.iov_base, PAGE);
	}
	major += major_faults();
	STORE(&mapper_stop, 1);
	pthread_join(thread, NULL);
	ksft_print_msg("%ld first writes, %ld major faults\n", n, major);
	ksft_test_result(n == FIRST_WRITES && !major,
			 "first writes while another thread maps\n");
}

/* The entries of /proc/PID/pagemap for a range */
#define PRESENT		(1ULL << 63)
#define SOFT_DIRTY	(1ULL << 55)
#define PFN		((1ULL << 55) - 1)
#define MAX_ENTRIES	((long)(2 * HUGE / PAGE))

struct entries {
	long n;			/* bytes, or an error */
	uint64_t entry[MAX_ENTRIES];
};

static int pagemap = -1;

static void read_pagemap(uint64_t at, size_t bytes, struct entries *e)
{
	memset(e, 0xee, sizeof(*e));
	e->n = pread(pagemap, e->entry, bytes, at);
	if (e->n < 0)
		e->n = -errno;
}

/* Where the file ends: after the entry of the last page of the address space */
static uint64_t end_of_entries(void)
{
	uint64_t low = 0, high = 1ULL << 57, page, entry;

	while (low < high) {
		page = (low + high) / 2;
		if (pread(pagemap, &entry, 8, page * 8) > 0)
			low = page + 1;
		else
			high = page;
	}
	return low * 8;
}

/* Is the entry of a new page soft-dirty? Then all of its VMA are, present or not. */
static bool has_soft_dirty(void)
{
	char *p = map_area(PAGE, false, PROT_READ | PROT_WRITE);
	uint64_t entry = 0;

	STORE(p, 1);
	pread(pagemap, &entry, 8, (uintptr_t)p / PAGE * 8);
	munmap(p, PAGE);
	return entry & SOFT_DIRTY;
}

/* Every third page was never touched. */
static void make_area(const struct layout *l)
{
	int i;

	area = map_area(SIZE, false, PROT_READ | PROT_WRITE);
	for (i = 0; i < PAGES; i++) {
		if (i % 3)
			area[i * PAGE] = i + 1;
		pwrite(file, &(char){ i + 65 }, 1, i * PAGE);
		pwrite(shm, &(char){ i + 97 }, 1, i * PAGE);
	}
	l->make();
}

static void remove_area(void)
{
	if (uffd >= 0)
		close(uffd);
	uffd = -1;
	munmap(area, SIZE);
}

static bool is_hole(int page)
{
	unsigned char there;

	return mincore(area + page * PAGE, PAGE, &there);
}

static bool write_clear_refs(const char *type)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY);
	bool done = fd >= 0 && write(fd, type, 1) == 1;

	close(fd);
	return done;
}

/* VMAs or calls under VMA locks and under mmap_lock, since the last call */
static void count_reads(long *read, long *read_mmap)
{
	static long was, was_mmap;
	long n = vm_counter("vma_lock_read"), m = vm_counter("vma_lock_read_mmap");

	*read = n - was;
	*read_mmap = m - was_mmap;
	was = n;
	was_mmap = m;
}

/* Are the entries the same with the switch on and off, and without mmap_lock? */
static bool same_entries(const char *name, uint64_t at, size_t bytes,
			 struct entries *on)
{
	static struct entries off;
	long read, read_mmap;
	bool lock;

	set_switch(false);
	count_reads(&read, &read_mmap);
	read_pagemap(at, bytes, &off);
	count_reads(&read, &read_mmap);
	lock = !read && !read_mmap;
	set_switch(true);
	read_pagemap(at, bytes, on);
	count_reads(&read, &read_mmap);
	lock = lock && !read_mmap && (read > 0) == (on->n > 0);
	if (!lock)
		ksft_print_msg("%s: %ld VMAs, %ld with mmap_lock\n", name, read,
			       read_mmap);
	if (!memcmp(on, &off, sizeof(off)))
		return lock;
	ksft_print_msg("%s: %ld with the switch on, %ld with it off, or other entries\n",
		       name, on->n, off.n);
	return false;
}

static bool right_entries(bool soft_dirty)
{
	static struct entries e;
	bool ok;
	int i;

	/* With a page on either side */
	ok = same_entries("all of it", (uintptr_t)area / PAGE * 8 - 8,
			  (PAGES + 2) * 8, &e);
	/* The page before has no page table. */
	if (e.entry[0] != (soft_dirty ? SOFT_DIRTY : 0)) {
		ok = false;
		ksft_print_msg("page before: %llx\n", (unsigned long long)*e.entry);
	}
	for (i = 0; i < PAGES; i++) {
		uint64_t entry = e.entry[i + 1];
		/* The middle third may be another kind of memory. */
		bool anon = i < PAGES / 3 || i >= PAGES / 3 * 2;

		if (is_hole(i) ? !entry : (entry || !soft_dirty) &&
		    (!anon || !(entry & PRESENT) == !(i % 3)))
			continue;
		ok = false;
		ksft_print_msg("page %d: %llx\n", i, (unsigned long long)entry);
	}
	return ok;
}

static void compare_pagemap(const struct layout *l, bool soft_dirty)
{
	uint64_t at, end = end_of_entries(), n = HUGE / PAGE;
	uint64_t vdso = getauxval(AT_SYSINFO_EHDR) / PAGE * 8;
	static struct entries e;
	bool ok;
	int i;

	make_area(l);
	at = (uintptr_t)area / PAGE * 8;
	const struct {
		const char *name;
		uint64_t at;
		size_t bytes;
		long n;
	} ranges[] = {
		{ "a part of it", at + 5 * 8, 7 * 8, 7 * 8 },
		{ "a page", at + 8, 8, 8 },
		{ "two boundaries", at - n / 2 * 8, 2 * n * 8, 2 * n * 8 },
		{ "the vdso", vdso - 8 * 8, 16 * 8, 16 * 8 },
		{ "the beginning", 0, 600 * 8, 600 * 8 },
		{ "the end", end - 4 * 8, 16 * 8, 4 * 8 },
		{ "past the end", end, 8, 0 },
		{ "far past the end", (1ULL << 63) - 16, 8, 0 },
		{ "nothing", at, 0, 0 },
		{ "half an entry", at + 4, 8, -EINVAL },
		{ "an entry and a half", at, 12, -EINVAL },
	};

	ok = right_entries(soft_dirty);
	for (i = 0; i < (int)(sizeof(ranges) / sizeof(*ranges)); i++) {
		ok &= same_entries(ranges[i].name, ranges[i].at, ranges[i].bytes, &e);
		if (e.n == ranges[i].n)
			continue;
		ok = false;
		ksft_print_msg("%s: %ld, not %ld\n", ranges[i].name, e.n, ranges[i].n);
	}
	/* Entries are no longer soft-dirty, except those of memory mapped since. */
	if (write_clear_refs("4"))
		ok &= right_entries(false);
	remove_area();
	ksft_test_result(ok, "pagemap, %s: right entries, under VMA locks\n", l->name);
}

/* Ranges that begin before huge pages, or begin or end within one */
static void compare_pagemap_hugetlb(bool soft_dirty)
{
	const char *name = "pagemap, hugetlb: right entries, under VMA locks";
	static struct entries e;
	bool ok = true;
	uint64_t at;
	long i;
	char *p;

	if (run("echo %s > /proc/sys/vm/nr_hugepages", "2"))
		goto skip;
	p = map_area(2 * HUGE, false, PROT_NONE);
	if (mmap(p, 2 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS |
		 MAP_HUGETLB | MAP_FIXED, -1, 0) != p)
		goto skip;
	*p = 1;
	at = (uintptr_t)p / PAGE * 8;
	/* From the middle of a present page to the middle of an absent page */
	ok &= same_entries("hugetlb", at + HUGE / PAGE * 4, HUGE / PAGE * 8, &e);
	for (i = 0; i < (long)(HUGE / PAGE); i++)
		if (i < (long)(HUGE / PAGE / 2) ? !(e.entry[i] & PRESENT) :
		    e.entry[i] != (soft_dirty ? SOFT_DIRTY : 0))
			ok = false;
	ok &= same_entries("before hugetlb", at - 8 * 8, 16 * 8, &e);
	if (e.entry[7] & PRESENT || !(e.entry[8] & PRESENT))
		ok = false;
	munmap(p, 2 * HUGE);
	ksft_test_result(ok, "%s\n", name);
	goto out;
skip:
	ksft_test_result_skip("%s: no huge pages\n", name);
out:
	run("echo %s > /proc/sys/vm/nr_hugepages", "0");
}

/* move_pages(): find or set the node of pages, in address order and in another order */
#define ASKED (2 * PAGES)

static void *asked[ASKED];

static long move_pages(const int *nodes, int *status)
{
	memset(status, 0x55, ASKED * sizeof(*status));
	return syscall(__NR_move_pages, 0, ASKED, asked, nodes, status,
		       nodes ? 2 /* MPOL_MF_MOVE */ : 0);
}

/* Is the status the same with the switch on and off? Counts: with the switch on. */
static bool same_status(const char *name, const int *nodes, int *status,
			long *read, long *read_mmap)
{
	int off[ASKED];
	long n, m;

	set_switch(false);
	count_reads(read, read_mmap);
	m = move_pages(nodes, off);
	count_reads(read, read_mmap);
	if (*read || *read_mmap)
		m = -2;
	set_switch(true);
	n = move_pages(nodes, status);
	count_reads(read, read_mmap);
	if (n == m && !memcmp(status, off, sizeof(off)))
		return true;
	ksft_print_msg("%s: %ld with the switch on, %ld with it off, or another status\n",
		       name, n, m);
	return false;
}

static void compare_move_pages(const struct layout *l)
{
	int nodes[ASKED] = { 0 }, status[ASKED], i;
	bool holes = false, ok, lock = true;
	long read, read_mmap;

	make_area(l);
	for (i = 0; i < PAGES; i++) {
		asked[i] = area + i * PAGE;
		asked[ASKED - 1 - i] = area + i * 7 % PAGES * PAGE + 8;
		holes |= is_hole(i);
	}
	ok = same_status("status", NULL, status, &read, &read_mmap);
	for (i = 0; i < PAGES; i++) {
		bool anon = i < PAGES / 3 || i >= PAGES / 3 * 2;

		if (is_hole(i) || (anon && !(i % 3)) ? status[i] == -EFAULT :
		    !anon || status[i] >= 0)
			continue;
		ok = false;
		ksft_print_msg("status, page %d: %d\n", i, status[i]);
	}
	/* One VMA is looked up once for each 16 addresses. */
	lock = read_mmap ? holes : !holes && read >= ASKED / 16 &&
		(l->make != one || read == ASKED / 16);
	ok &= same_status("moving", nodes, status, &read, &read_mmap);
	lock = lock && (read_mmap > 0) == holes && read > 0;
	/* To another node, and back */
	if (!access("/sys/devices/system/node/node1", F_OK)) {
		for (i = 0; i < ASKED; i++)
			nodes[i] = i < PAGES;
		set_switch(true);
		move_pages(nodes, status);
		ok &= same_status("moved", NULL, status, &read, &read_mmap);
		ok &= l->make != one || status[1] >= 0;
		memset(nodes, 0, sizeof(nodes));
		move_pages(nodes, status);
	}
	if (!lock)
		ksft_print_msg("%ld pages, %ld with mmap_lock\n", read, read_mmap);
	remove_area();
	ksft_test_result(ok && lock, "move_pages, %s: right status and lock\n", l->name);
}

/* Page tables of hugetlb may be shared, so move_pages() takes mmap_lock. */
static void compare_move_hugetlb(void)
{
	const char *name = "move_pages, hugetlb: right status, under mmap_lock";
	int status[ASKED], i;
	long read, read_mmap;
	bool ok;
	char *p;

	if (run("echo %s > /proc/sys/vm/nr_hugepages", "1"))
		goto skip;
	p = map_area(HUGE, false, PROT_NONE);
	if (mmap(p, HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS |
		 MAP_HUGETLB | MAP_FIXED, -1, 0) != p)
		goto skip;
	*p = 1;
	for (i = 0; i < ASKED; i++)
		asked[i] = p + i * 8 * PAGE;
	ok = same_status("hugetlb", NULL, status, &read, &read_mmap) &&
		!read && read_mmap == ASKED / 16;
	munmap(p, HUGE);
	ksft_print_msg("%ld pages, %ld with mmap_lock, status %d\n", read, read_mmap,
		       status[0]);
	ksft_test_result(ok && status[0] >= 0, "%s\n", name);
	goto out;
skip:
	ksft_test_result_skip("%s: no huge pages\n", name);
out:
	run("echo %s > /proc/sys/vm/nr_hugepages", "0");
}

/* How many kB of the VMAs within a range are "Referenced" in smaps */
static long referenced(char *from, size_t size)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	unsigned long start, end;
	long n = 0, kb;
	char line[256];
	bool in = false;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx %*4s", &start, &end) == 2)
			in = start >= (uintptr_t)from &&
				end <= (uintptr_t)from + size;
		else if (in && sscanf(line, "Referenced: %ld kB", &kb) == 1)
			n += kb;
	}
	if (f)
		fclose(f);
	return n;
}

struct used {
	long before, after, read, read_mmap;
	bool done;
};

static void clear_used(const struct layout *l, const char *type, bool on,
		       struct used *u)
{
	int i;

	make_area(l);
	for (i = 0; i < PAGES; i++)
		if (l->make != no_access && !is_hole(i))
			LOAD(area + i * PAGE);
	u->before = referenced(area, SIZE);
	set_switch(on);
	count_reads(&u->read, &u->read_mmap);
	u->done = write_clear_refs(type);
	count_reads(&u->read, &u->read_mmap);
	set_switch(true);
	u->after = referenced(area, SIZE);
	remove_area();
}

static void compare_clear_refs(const struct layout *l)
{
	static const char *const types[] = { "1", "2", "3" };
	struct used on, off;
	bool ok = true;
	size_t i;

	for (i = 0; i < sizeof(types) / sizeof(*types); i++) {
		clear_used(l, types[i], true, &on);
		clear_used(l, types[i], false, &off);
		if (on.done == off.done && on.before == off.before &&
		    on.after == off.after && on.before > 0 &&
		    (i || !on.after) && on.read > 0 && !on.read_mmap &&
		    !off.read && !off.read_mmap)
			continue;
		ok = false;
		ksft_print_msg("%s: on: %d, %ld of %ld kB, %ld VMAs, %ld with mmap_lock\n",
			       types[i], on.done, on.after, on.before, on.read,
			       on.read_mmap);
		ksft_print_msg("%s: off: %d, %ld of %ld kB, %ld VMAs, %ld with mmap_lock\n",
			       types[i], off.done, off.after, off.before, off.read,
			       off.read_mmap);
	}
	ksft_test_result(ok, "clear_refs, %s: as with the switch off, under VMA locks\n",
			 l->name);
}

/* A VMA that clear_refs handles in several pieces */
static void clear_much(void)
{
	const size_t size = 3UL << 30;
	long before, after;
	size_t at;
	char *p;

	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS |
		 MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		ksft_exit_fail_msg("mmap: %s\n", strerror(errno));
	madvise(p, size, MADV_NOHUGEPAGE);
	for (at = 0; at < size; at += size / 16)
		p[at] = 1;
	p[size - 1] = 1;
	before = referenced(p, size);
	write_clear_refs("1");
	after = referenced(p, size);
	munmap(p, size);
	ksft_test_result(before == 17 * 4 && !after,
			 "clear_refs, 3 GiB: %ld of %ld kB left\n", after, before);
}

/* ZONE_MOVABLE, which the kernel has with movablecore=, and a node with such pages */
static struct {
	uint64_t start, end;
} movable[8];
static int nr_movable, movable_node;

static void find_movable_zones(void)
{
	unsigned long spanned = 0, managed = 0, n;
	FILE *f = fopen("/proc/zoneinfo", "r");
	bool in = false;
	char line[128];
	char zone[32];
	int node = 0;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Node %d, zone %31s", &node, zone) == 2)
			in = !strcmp(zone, "Movable");
		if (!in || sscanf(line, " spanned %lu", &spanned) == 1 ||
		    sscanf(line, " managed %lu", &managed) == 1)
			continue;
		/* Pages that were in use before the zones were made are in no zone. */
		if (managed >= 4096 && nr_movable < 8 &&
		    sscanf(line, " start_pfn: %lu", &n) == 1) {
			movable[nr_movable].start = n;
			movable[nr_movable++].end = n + spanned;
			movable_node = node;
		}
	}
	if (f)
		fclose(f);
}

/* How many pages of the area are in these zones */
static int movable_pages(void)
{
	static struct entries e;
	int i, j, n = 0;

	read_pagemap((uintptr_t)area / PAGE * 8, PAGES * 8, &e);
	for (i = 0; i < PAGES; i++)
		for (j = 0; j < nr_movable; j++)
			n += (e.entry[i] & PRESENT) &&
				(e.entry[i] & PFN) >= movable[j].start &&
				(e.entry[i] & PFN) < movable[j].end;
	return n;
}

static int pinned_movable;

static void look_at_pins(void)
{
	pinned_movable = movable_pages();
}

/* Write to the pages while they migrate, and check that no write is lost. */
static void *page_writer(void *unused)
{
	uint32_t n = 0, *word;
	int i;

	while (!LOAD(&stop)) {
		for (i = 0; i < PAGES; i++) {
			word = (uint32_t *)(area + i * PAGE) + 1;
			if (LOAD(word) != n)
				STORE(&bad, 1);
			STORE(word, n + 1);
		}
		n++;
	}
	return NULL;
}

static int register_and_look(void)
{
	return register_area(look_at_pins);
}

/* pin_user_pages_fast() alone. The pages stay where they have migrated to. */
static int pin_fast(void)
{
	struct gup_test test = {
		.addr = (uintptr_t)area, .size = SIZE,
		.nr_pages_per_call = PAGES, .gup_flags = FOLL_WRITE | FOLL_LONGTERM,
	};
	int fd = open(GUP_TEST, O_RDWR);
	int n = ioctl(fd, PIN_FAST_BENCHMARK, &test);

	close(fd);
	if (!n && test.size != SIZE) {
		errno = ENODATA;
		n = -1;
	}
	look_at_pins();
	return n;
}

/* Pages of ZONE_MOVABLE must migrate before they are pinned for long. */
static bool pin_movable_by(const char *name, int (*pin)(void), bool on)
{
	unsigned long nodes = 1UL << movable_node;
	int i, before, err;
	long read, read_mmap;
	pthread_t writer;
	bool ok;

	area = map_area(SIZE, false, PROT_READ | PROT_WRITE);
	syscall(__NR_set_mempolicy, MPOL_BIND, &nodes, 8 * sizeof(nodes));
	for (i = 0; i < PAGES; i++)
		*(uint32_t *)(area + i * PAGE) = i + 1;
	syscall(__NR_set_mempolicy, MPOL_DEFAULT, NULL, 0);
	before = movable_pages();
	STORE(&stop, 0);
	writer = start(page_writer, NULL);
	set_switch(on);
	count_reads(&read, &read_mmap);
	pinned_movable = -1;
	err = pin() ? errno : 0;
	count_reads(&read, &read_mmap);
	set_switch(true);
	STORE(&stop, 1);
	pthread_join(writer, NULL);
	STORE(&stop, 0);
	ok = !err && before > 0 && !pinned_movable && !bad && !read_mmap &&
		(read > 0) == on;
	for (i = 0; i < PAGES; i++)
		ok = ok && *(uint32_t *)(area + i * PAGE) == i + 1u;
	munmap(area, SIZE);
	ksft_print_msg("%s: %s: %d pages, then %d; %ld calls, %ld with mmap_lock\n",
		       name, strerror(err), before, pinned_movable, read, read_mmap);
	return ok;
}

static void pin_movable(bool on)
{
	const char *name = on ? "a long-term pin, of movable pages" :
		"a long-term pin, of movable pages, VMA locks off";
	bool ok;

	if (!nr_movable) {
		ksft_test_result_skip("%s: no ZONE_MOVABLE\n", name);
		return;
	}
	/* io_uring pins its pages a second time, under mmap_lock. */
	ok = pin_movable_by("io_uring", register_and_look, on);
	if (!access(GUP_TEST, F_OK))
		ok &= pin_movable_by("gup_test", pin_fast, on);
	ksft_test_result(ok, "%s\n", name);
}

/* In a process with one thread nobody waits for mmap_lock. */
static void one_thread_asks(void)
{
	static struct entries e;
	long read, read_mmap;
	int status[ASKED], i;

	for (i = 0; i < ASKED; i++)
		asked[i] = status;
	count_reads(&read, &read_mmap);
	read_pagemap((uintptr_t)status / PAGE * 8, 8, &e);
	write_clear_refs("1");
	move_pages(NULL, status);
	count_reads(&read, &read_mmap);
	ksft_test_result(!read && !read_mmap && e.entry[0] & PRESENT && status[0] >= 0,
			 "pagemap, move_pages and clear_refs, one thread: under mmap_lock\n");
}

/* Threads that drop what they write, as allocators do, while another thread maps */
#define THREADS 3

static void *giver(void *arg)
{
	char *mine = map_area(16 * PAGE, false, PROT_READ | PROT_WRITE);
	uint64_t n = 0;
	int i;

	while (!LOAD(&stop)) {
		n++;
		for (i = 0; i < 16; i++) {
			uint64_t *w = (uint64_t *)(mine + i * PAGE);

			if (LOAD(w))
				STORE(&bad, 1);
			STORE(w, n);
			if (LOAD(w) != n)
				STORE(&bad, 1);
		}
		madvise(mine, 16 * PAGE, MADV_DONTNEED);
	}
	return NULL;
}

static void allocators(void)
{
	double end = now() + race_seconds();
	long read, read_mmap, maps = 0;
	pthread_t t[THREADS];
	long i;

	read = -vm_counter("vma_lock_read");
	read_mmap = -vm_counter("vma_lock_read_mmap");
	for (i = 0; i < THREADS; i++)
		t[i] = start(giver, (void *)i);
	while (now() < end && !LOAD(&bad)) {
		char *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		STORE(p, 1);
		mprotect(p, PAGE, PROT_READ);
		munmap(p, SIZE);
		maps++;
	}
	STORE(&stop, 1);
	for (i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	read += vm_counter("vma_lock_read");
	read_mmap += vm_counter("vma_lock_read_mmap");
	ksft_print_msg("%ld calls without mmap_lock, %ld with it, %ld maps\n",
		       read, read_mmap, maps);
	ksft_test_result(!bad && read > 3, "madvise beside mmap: contents\n");
	ksft_test_result(read_mmap * 100 <= read,
			 "madvise beside mmap: 99%% without mmap_lock\n");
}

int main(void)
{
	size_t i, n = sizeof(layouts) / sizeof(*layouts);
	size_t m = sizeof(populate_layouts) / sizeof(*populate_layouts);
	size_t nr_requests = sizeof(requests) / sizeof(*requests);
	int balance = balancing(-1);
	bool soft_dirty;

	setlinebuf(stdout);
	ksft_print_header();
	need_per_vma_lock();
	ksft_set_plan(2 * n + 2 + 1 + 2 * m + nr_requests + 1 + 2 + 1 + 2 +
		      3 * n + 4 + 2);
	/* Scans count as readers. */
	balancing(0);
	file = open("/tmp/vma_lock_reads", O_RDWR | O_CREAT | O_TRUNC, 0600);
	shm = memfd_create("vma_lock_reads", 0);
	if (file < 0 || unlink("/tmp/vma_lock_reads") || shm < 0 ||
	    ftruncate(file, SIZE) || ftruncate(shm, SIZE))
		ksft_exit_fail_msg("files: %s\n", strerror(errno));
	for (i = 0; i < n; i++)
		compare(&layouts[i]);
	compare_mincore();
	one_thread();
	pagemap = open("/proc/self/pagemap", O_RDONLY);
	if (pagemap < 0)
		ksft_exit_fail_msg("pagemap: %s\n", strerror(errno));
	one_thread_asks();
	start(sleeper, NULL);
	soft_dirty = has_soft_dirty();
	for (i = 0; i < n; i++) {
		compare_pagemap(&layouts[i], soft_dirty);
		compare_move_pages(&layouts[i]);
		compare_clear_refs(&layouts[i]);
	}
	compare_pagemap_hugetlb(soft_dirty);
	compare_move_hugetlb();
	clear_much();
	/* Mount here: the programs that this runs have faults of this kind, too. */
	mount_ext4();
	for (i = 0; i < m; i++)
		compare_populate(&populate_layouts[i]);
	find_movable_zones();
	if (access(GUP_TEST, F_OK))
		mount("none", DEBUGFS, "debugfs", 0, NULL);
	pin_movable(true);
	pin_movable(false);
	source = map_area(3 * HUGE, false, PROT_READ | PROT_WRITE);
	late = map_area(3 * HUGE, false, PROT_READ | PROT_WRITE);
	for (i = 0; i < nr_requests; i++)
		compare_request(&requests[i]);
	first_writes();
	/* Kill a test that waits forever. */
	alarm(PATIENCE);
	compare_late("small pages", ANON);
	compare_late("huge pages", HUGE_PRIVATE);
	set_huge_pages(0);
	alarm(3 * PATIENCE);
	compare_scan(balance);
	alarm(0);
	allocators();
	if (balance >= 0)
		balancing(balance);
	ksft_finished();
}
