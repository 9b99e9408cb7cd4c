/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Code that the per-VMA lock tests share: the switch, the counters, threads that
 * start together, and memory for them.
 */
#ifndef SELFTESTS_MM_VMA_LOCK_H
#define SELFTESTS_MM_VMA_LOCK_H

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../kselftest.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

#define SWITCH "/proc/sys/vm/per_vma_lock"
#define PAGE 4096UL
#define HUGE (2UL << 20)

/* The counters in /proc/vmstat of the reasons why faults take mmap_lock */
static const char *const fallbacks[] = {
	"vma_lock_fallback_no_vma",
	"vma_lock_fallback_write_locked",
	"vma_lock_fallback_detached",
	"vma_lock_fallback_moved",
	"vma_lock_fallback_kernel",
	"vma_lock_fallback_not_opted_in",
	"vma_lock_fallback_anon_vma",
	"vma_lock_fallback_device",
	"vma_lock_fallback_retries",
};

#define NR_FALLBACKS ((int)(sizeof(fallbacks) / sizeof(*fallbacks)))

/* A counter of /proc/vmstat, or -1 if this kernel does not have it. */
static inline long vm_counter(const char *name)
{
	char line[128];
	size_t n = strlen(name);
	long value = -1;
	FILE *f = fopen("/proc/vmstat", "r");

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, name, n) && line[n] == ' ')
			value = atol(line + n + 1);
	fclose(f);
	return value;
}

static inline void set_switch(bool on)
{
	int fd = open(SWITCH, O_WRONLY);

	if (fd < 0 || write(fd, on ? "1" : "0", 1) != 1)
		ksft_exit_fail_msg("%s: %s\n", SWITCH, strerror(errno));
	close(fd);
}

/* Skips the whole test on a kernel without the feature or its counters. */
static inline void need_per_vma_lock(void)
{
	if (access(SWITCH, F_OK))
		ksft_exit_skip("no %s: no CONFIG_PER_VMA_LOCK\n", SWITCH);
	if (access(SWITCH, W_OK))
		ksft_exit_skip("%s: not writable: not root\n", SWITCH);
	if (vm_counter("vma_lock_success") < 0)
		ksft_exit_skip("no CONFIG_PER_VMA_LOCK_STATS\n");
}

/*
 * Anonymous memory in a VMA of its own, with a gap on either side. Its pages are
 * small or huge, and it is aligned to HUGE. PROT is set after the madvise().
 */
static inline char *map_area(size_t size, bool huge, int prot)
{
	size_t room = size + 2 * HUGE;
	char *p = mmap(NULL, room, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *area;

	if (p == MAP_FAILED)
		ksft_exit_fail_msg("mmap: %s\n", strerror(errno));
	area = (char *)(((uintptr_t)p + HUGE) & ~(HUGE - 1));
	if (madvise(area, size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) &&
	    errno != EINVAL)
		ksft_exit_fail_msg("madvise: %s\n", strerror(errno));
	if (mprotect(area, size, prot))
		ksft_exit_fail_msg("mprotect: %s\n", strerror(errno));
	return area;
}

/* Accesses that the compiler leaves as written, though other threads access it too */
#define LOAD(p) __atomic_load_n(p, __ATOMIC_RELAXED)
#define STORE(p, v) __atomic_store_n(p, v, __ATOMIC_RELAXED)

/* How long a race runs: VMA_LOCK_SECONDS, or 5. */
static inline int race_seconds(void)
{
	const char *s = getenv("VMA_LOCK_SECONDS");

	return s && atoi(s) > 0 ? atoi(s) : 5;
}

static inline double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static inline int run(const char *fmt, const char *arg)
{
	char cmd[256];

	snprintf(cmd, sizeof(cmd), fmt, arg);
	return system(cmd);
}

/* Mount ext4 on a RAM disk, at a path of our own. Returns NULL, or why it failed. */
#define MNT "/tmp/vma_lock.mnt"

static inline const char *mount_ext4(void)
{
	static bool mounted;

	if (mounted)
		return NULL;
	mkdir(MNT, 0700);
	if ((run("mke2fs %s >/dev/null 2>&1", "/dev/ram0") &&
	     run("mkfs.ext2 %s >/dev/null 2>&1", "/dev/ram0")) ||
	    (mount("/dev/ram0", MNT, "ext4", 0, NULL) &&
	     mount("/dev/ram0", MNT, "ext2", 0, NULL)))
		return "no file system on /dev/ram0";
	mounted = true;
	return NULL;
}

/* Swap on a RAM disk, a device that any machine can have. NULL, or why it failed. */
static inline const char *swap_on(void)
{
	static bool on;

	if (!on && (run("mkswap %s >/dev/null 2>&1", "/dev/ram1") ||
		    swapon("/dev/ram1", 0)))
		return "no swap on /dev/ram1";
	on = true;
	return NULL;
}

/* Code that does nothing and returns; 0 on architectures unknown to this test */
static inline uint64_t text_word(void)
{
#if defined(__x86_64__)
	static const uint8_t code[] = { 0x90, 0xc3, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc };
#elif defined(__aarch64__)
	static const uint8_t code[] = { 0x1f, 0x20, 0x03, 0xd5, 0xc0, 0x03, 0x5f, 0xd6 };
#else
	static const uint8_t code[8];
#endif
	uint64_t word;

	memcpy(&word, code, sizeof(word));
	return word;
}

/* perf's type number for uprobes, or 0 if it has none */
#define UPROBE_TYPE "/sys/bus/event_source/devices/uprobe/type"

static inline uint32_t uprobe_type(void)
{
	FILE *f = fopen(UPROBE_TYPE, "r");
	uint32_t type = 0;

	if (f && fscanf(f, "%u", &type) != 1)
		type = 0;
	if (f)
		fclose(f);
	return type;
}

/* A uprobe for all processes, or for this process. Closing it removes it. */
static inline int open_uprobe(const char *path, size_t offset, bool all)
{
	struct perf_event_attr attr = {
		.type = uprobe_type(),
		.size = sizeof(attr),
		.config1 = (uintptr_t)path,
		.config2 = offset,
	};

	return syscall(__NR_perf_event_open, &attr, all ? -1 : 0, all ? 0 : -1, -1,
		       PERF_FLAG_FD_CLOEXEC);
}

static inline void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		ksft_exit_fail_msg("sched_setaffinity: %s\n", strerror(errno));
}

static inline pthread_t start(void *(*fn)(void *), void *arg)
{
	pthread_t t;
	int err = pthread_create(&t, NULL, fn, arg);

	if (err)
		ksft_exit_fail_msg("pthread_create: %s\n", strerror(err));
	return t;
}

#endif /* SELFTESTS_MM_VMA_LOCK_H */
