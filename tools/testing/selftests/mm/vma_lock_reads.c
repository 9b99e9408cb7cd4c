// SPDX-License-Identifier: GPL-2.0
/*
 * Readers of VMAs that are not faults: madvise() has the same results and leaves
 * the same contents with the switch on and off, whatever it meets in its range,
 * and does not take mmap_lock where it is said not to.
 */
#define _GNU_SOURCE
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
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
	{ "a hole behind", hole_last, true },
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
	r->error = madvise(area, SIZE, advice) ? errno : 0;
	r->read += vm_counter("vma_lock_read");
	r->read_mmap += vm_counter("vma_lock_read_mmap");
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

	setlinebuf(stdout);
	ksft_print_header();
	need_per_vma_lock();
	ksft_set_plan(2 * n + 2);
	file = open("/tmp/vma_lock_reads", O_RDWR | O_CREAT | O_TRUNC, 0600);
	shm = memfd_create("vma_lock_reads", 0);
	if (file < 0 || unlink("/tmp/vma_lock_reads") || shm < 0 ||
	    ftruncate(file, SIZE) || ftruncate(shm, SIZE))
		ksft_exit_fail_msg("files: %s\n", strerror(errno));
	for (i = 0; i < n; i++)
		compare(&layouts[i]);
	allocators();
	ksft_finished();
}
