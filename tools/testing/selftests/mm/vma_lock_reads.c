// SPDX-License-Identifier: GPL-2.0
/*
 * Readers of VMAs that are not faults: madvise(), mincore(), calls that fault in a
 * range, and the requests of a userfaultfd's monitor. With the switch on and off
 * they have the same results and leave the same contents, whatever they meet in
 * their range. They do not take mmap_lock where it is not expected.
 */
#define _GNU_SOURCE
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include "vma_lock.h"

#ifndef MADV_COLD
#define MADV_COLD 20
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

#define PAGES 24
#define THIRD (PAGES / 3 * PAGE)
#define SIZE (PAGES * PAGE)

static char *area;
static int file = -1, shm = -1;

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
	bool mmap_lock;		/* some of it can only be had that way */
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
	unsigned char pages[PAGES];	/* what each begins with; 0xff: no access */
};

/* What memory holds is asked of the kernel: there may be none. */
static void look(struct result *r)
{
	int fd = open("/proc/self/mem", O_RDONLY), i;

	for (i = 0; i < PAGES; i++)
		if (pread(fd, &r->pages[i], 1, (uintptr_t)area + i * PAGE) != 1)
			r->pages[i] = 0xff;
	close(fd);
}

/* Advice, or what pages are there, which goes to r->pages */
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
	/* Private copies, where there is a file */
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
		/* What ends in an error may not have come to the difficult part. */
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
		/* A hole is an error, and that is for mmap_lock to say. */
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

/* What faults in a range, in layouts that matter for that */

static void read_only(void)
{
	mprotect(area + THIRD, THIRD, PROT_READ);
}

/* mlock() reads what may only be written or executed: FOLL_FORCE. */
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

/* On a disk: the fault reads it in, and releases its lock meanwhile. */
static void with_cold_file(void)
{
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
	map_at(THIRD, THIRD, MAP_SHARED, fd);
	close(fd);
}

/* As much of the file as is there: the rest is SIGBUS. */
static void past_the_file(void)
{
	map_at(THIRD, THIRD, MAP_SHARED, file);
	if (ftruncate(file, THIRD + 2 * PAGE))
		ksft_exit_fail_msg("ftruncate: %s\n", strerror(errno));
}

static void poisoned(void)
{
	/* Where it can't be done: a page like the others */
	madvise(area + THIRD, PAGE, MADV_HWPOISON);
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
	{ "PROT_NONE between", no_access, true },
	{ "read-only between", read_only, true },
	{ "write-only between", write_only, true },
	{ "secretmem between", with_secretmem, true },
	{ "/dev/zero between", with_device },
	{ "a file that ends", past_the_file, true },
	{ "a poisoned page", poisoned, true },
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

/* What is read or written by taking the pages of a range */
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

/* get_user_pages_fast(): into a pipe, and out of a file without its cache */
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

/* Replaces the middle of what is there. */
static int map_populate(void)
{
	return mmap(area + THIRD, THIRD, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE,
		    -1, 0) == MAP_FAILED ? -1 : 0;
}

static const struct {
	const char *name;
	int (*call)(void);
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
};

struct populated {
	int result, error;
	long gup, gup_mmap, read, read_mmap, locked;
	unsigned char there[PAGES];
	struct result memory;
	unsigned char copied[PAGES];
};

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
		/* Some pages are there. */
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
	p->result = call();
	p->error = p->result < 0 ? errno : 0;
	p->gup += vm_counter("vma_lock_gup");
	p->gup_mmap += vm_counter("vma_lock_gup_mmap");
	p->read += vm_counter("vma_lock_read");
	p->read_mmap += vm_counter("vma_lock_read_mmap");
	for (i = 0; i < PAGES; i++) {
		p->copied[i] = copied[i * PAGE];
		copied[i * PAGE] = 0;
	}
	/* The gaps of map_area() grow in number. */
	p->locked = call == lock_all ? 0 : locked_memory();
	munlockall();
	for (i = 0; i < PAGES; i++)
		if (mincore(area + i * PAGE, PAGE, &p->there[i]))
			p->there[i] = 0xff;
	look(&p->memory);
	set_switch(true);
	munmap(area, SIZE);
}

static void compare_populate(const struct layout *l)
{
	bool same = true, lock = true;
	size_t i;

	for (i = 0; i < sizeof(populates) / sizeof(*populates); i++) {
		int (*call)(void) = populates[i].call;
		struct populated on, off;

		/* What mlockall() does to the rest of the process shows once. */
		if (call == lock_all)
			populate(l, call, false, &off);
		populate(l, call, true, &on);
		populate(l, call, false, &off);
		if (on.error != off.error || on.result != off.result ||
		    on.locked != off.locked ||
		    memcmp(on.there, off.there, PAGES) ||
		    memcmp(on.copied, off.copied, PAGES) ||
		    memcmp(&on.memory, &off.memory, sizeof(on.memory))) {
			same = false;
			ksft_print_msg("%s, %s:\n", l->name, populates[i].name);
			ksft_print_msg("on: %d, %s, %ld kB locked\n", on.result,
				       strerror(on.error), on.locked);
			ksft_print_msg("off: %d, %s, %ld kB locked\n", off.result,
				       strerror(off.error), off.locked);
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
		/* Its pages can be had by FOLL_FORCE alone. */
		if (l->make == write_only && call == lock_range && !on.gup_mmap) {
			lock = false;
			ksft_print_msg("%s, %s: FOLL_FORCE under the VMA lock\n",
				       l->name, populates[i].name);
		}
	}
	ksft_test_result(same, "faulting in, %s: as with the switch off\n", l->name);
	ksft_test_result(lock, "faulting in, %s: under the expected lock\n", l->name);
}

/* With one thread nobody waits for mmap_lock, and it costs less. */
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

/* What a monitor asks for, of a range whose second third is missing */

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

/* From a page that is not there: copied with the lock let go of */
static int uffd_copy_absent(uintptr_t at, size_t len)
{
	madvise(source, SIZE, MADV_DONTNEED);
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
	bool shmem;
	int error;		/* which mmap_lock is taken for */
} requests[] = {
	{ "COPY", uffd_copy, THIRD, THIRD, UFFDIO_REGISTER_MODE_MISSING },
	{ "COPY, shmem", uffd_copy, THIRD, THIRD, UFFDIO_REGISTER_MODE_MISSING, true },
	{ "COPY, from absent pages", uffd_copy_absent, THIRD, THIRD,
	  UFFDIO_REGISTER_MODE_MISSING },
	{ "COPY, where something is", uffd_copy, 0, PAGE, UFFDIO_REGISTER_MODE_MISSING },
	{ "COPY, past the end", uffd_copy, 2 * THIRD, 2 * THIRD,
	  UFFDIO_REGISTER_MODE_MISSING, false, ENOENT },
	{ "ZEROPAGE", uffd_zero, THIRD, THIRD, UFFDIO_REGISTER_MODE_MISSING },
	{ "WRITEPROTECT", uffd_protect, 0, THIRD, UFFDIO_REGISTER_MODE_WP },
	{ "CONTINUE", uffd_continue, THIRD, THIRD, UFFDIO_REGISTER_MODE_MINOR, true },
};

static void ask(const struct request *q, bool on, struct result *r)
{
	struct uffdio_api api = { .api = UFFD_API, .features = q->mode ==
		UFFDIO_REGISTER_MODE_MINOR ? UFFD_FEATURE_MINOR_SHMEM : 0 };
	struct uffdio_register reg = { .mode = q->mode, .range.len = SIZE };
	int i;

	memset(r, 0, sizeof(*r));
	r->error = -1;
	area = map_area(SIZE, false, PROT_READ | PROT_WRITE);
	if (q->shmem)
		map_at(0, SIZE, MAP_SHARED, shm);
	for (i = 0; i < PAGES; i++)
		source[i * PAGE] = area[i * PAGE] = i + 1;
	/* Of a shared file the page stays, for CONTINUE. */
	madvise(area + THIRD, THIRD, q->shmem && q->mode != UFFDIO_REGISTER_MODE_MINOR ?
		MADV_REMOVE : MADV_DONTNEED);
	reg.range.start = (uintptr_t)area;
	uffd = syscall(__NR_userfaultfd, O_CLOEXEC);
	if (uffd >= 0 && !ioctl(uffd, UFFDIO_API, &api) &&
	    !ioctl(uffd, UFFDIO_REGISTER, &reg)) {
		set_switch(on);
		r->read = -vm_counter("vma_lock_read");
		r->read_mmap = -vm_counter("vma_lock_read_mmap");
		r->error = q->make((uintptr_t)area + q->at, q->len);
		r->read += vm_counter("vma_lock_read");
		r->read_mmap += vm_counter("vma_lock_read_mmap");
		set_switch(true);
	}
	close(uffd);
	uffd = -1;
	/* Fills what is still missing, and says so by zeroes. */
	look(r);
	munmap(area, SIZE);
}

static void compare_request(const struct request *q)
{
	struct result on, off;
	bool ok;

	ask(q, true, &on);
	ask(q, false, &off);
	if (on.error < 0 && off.error < 0) {
		ksft_test_result_skip("userfaultfd %s: write-protect or minor: not here\n",
				      q->name);
		return;
	}
	ok = on.error == off.error && !memcmp(on.pages, off.pages, sizeof(on.pages)) &&
		!off.read && !off.read_mmap && on.read && !on.read_mmap;
	if (q->error && on.error != q->error)
		ok = false;
	if (!ok)
		ksft_print_msg("on: %s, %ld, %ld with mmap_lock; off: %s, %ld, %ld\n",
			       strerror(on.error), on.read, on.read_mmap,
			       strerror(off.error), off.read, off.read_mmap);
	ksft_test_result(ok, "userfaultfd %s: as with the switch off, under the VMA lock\n",
			 q->name);
}

/* Threads that give back what they write, as allocators do, beside one that maps */
#define THREADS 3

static int stop, bad;

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

	setlinebuf(stdout);
	ksft_print_header();
	need_per_vma_lock();
	ksft_set_plan(2 * n + 2 + 1 + 2 * m + nr_requests + 2);
	file = open("/tmp/vma_lock_reads", O_RDWR | O_CREAT | O_TRUNC, 0600);
	shm = memfd_create("vma_lock_reads", 0);
	if (file < 0 || unlink("/tmp/vma_lock_reads") || shm < 0 ||
	    ftruncate(file, SIZE) || ftruncate(shm, SIZE))
		ksft_exit_fail_msg("files: %s\n", strerror(errno));
	for (i = 0; i < n; i++)
		compare(&layouts[i]);
	compare_mincore();
	one_thread();
	start(sleeper, NULL);
	/* Here, for the programs that it runs have faults of this kind, too. */
	mount_ext4();
	for (i = 0; i < m; i++)
		compare_populate(&populate_layouts[i]);
	source = map_area(SIZE, false, PROT_READ | PROT_WRITE);
	for (i = 0; i < nr_requests; i++)
		compare_request(&requests[i]);
	allocators();
	ksft_finished();
}
