// SPDX-License-Identifier: GPL-2.0
/*
 * A thread sleeps in a page fault while another thread changes other VMAs of the
 * same process. If the fault holds the VMA lock, the calls return at once. If it
 * holds mmap_lock, they return after the fault has ended. A call that returns while
 * the fault is held did not wait for it. A call that waits is seen asleep in its
 * system call, and returns after the fault has been released. The test shows both.
 * On a kernel without the feature it shows the second.
 *
 * There are two ways to hold a fault for as long as the test needs:
 * - a first write to a page of a frozen file system;
 * - a read from a FUSE file. The server fails the first read, so the fault is
 *   retried, and a retried fault keeps its lock. Then the server does not answer.
 *
 * With an argument: only the calls whose name contains it.
 */
#define _GNU_SOURCE
#include <linux/dma-heap.h>
#include <linux/fs.h>
#include <linux/fuse.h>
#include <signal.h>
#include <sound/asound.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "vma_lock.h"

#define SERVED "/tmp/vma_lock.served"	/* the file that is a FUSE file system */
#define STAMP 0x5a
#define LOOKS 1000
#define AREA (16 * PAGE)

/* Shared with the child processes. This process makes sure that all of them end. */
static struct {
	pid_t sleeper;
	int ready, done, stored;
	int failed, held;	/* the server: has failed a read, holds a read */
} *shared;

static int release[2];		/* tells the server to answer */

/* A wait for another process fails the test after so many seconds. */
#define PATIENCE 60

#define WAIT_FOR(condition) ({				\
	double end_ = now() + PATIENCE;			\
	bool met_;					\
	while (!(met_ = (condition)) && now() < end_)	\
		sched_yield();				\
	met_;						\
})

/* The calls: on VMAs without faults, and on the VMA with the fault */

static char *area, *page;

static bool do_mmap(void)
{
	return mmap(NULL, AREA, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

static bool do_munmap(void)
{
	return !munmap(area + 4 * PAGE, 4 * PAGE);
}

static bool do_mprotect(void)
{
	return !mprotect(area + 4 * PAGE, 4 * PAGE, PROT_READ);
}

static bool do_brk(void)
{
	return sbrk(AREA) != (void *)-1 && sbrk(-(long)AREA) != (void *)-1;
}

static bool do_grow(void)
{
	return mremap(area, AREA, 2 * AREA, 0) == area;
}

static bool do_move(void)
{
	char *to = mremap(area, AREA, 2 * AREA, MREMAP_MAYMOVE | MREMAP_FIXED,
			  area + HUGE / 2);

	return to != MAP_FAILED && to[0] == STAMP;
}

static bool do_madvise(void)
{
	return !madvise(area + PAGE, PAGE, MADV_DONTFORK) &&
		!madvise(area, AREA, MADV_DONTDUMP);
}

static bool do_mlock(void)
{
	return !mlock(area + PAGE, PAGE) && !munlock(area, AREA);
}

static bool do_zero(void)
{
	int fd = open("/dev/zero", O_RDWR);
	char *p = mmap(NULL, AREA, PROT_READ, MAP_PRIVATE, fd, 0);
	char *q = mmap(NULL, AREA, PROT_READ, MAP_SHARED, fd, 0);

	return p != MAP_FAILED && q != MAP_FAILED;
}

#define PERF "/proc/sys/kernel/perf_event_paranoid"

static bool do_perf(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_DUMMY,
	};
	int fd = syscall(__NR_perf_event_open, &attr, 0, -1, -1, 0);

	return mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    0) != MAP_FAILED;
}

static bool maps(int fd, off_t offset)
{
	return mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    offset) != MAP_FAILED;
}

#define HEAP "/dev/dma_heap/system"

static bool do_dma_buf(void)
{
	struct dma_heap_allocation_data buf = {
		.len = PAGE, .fd_flags = O_RDWR,
	};
	int fd = open(HEAP, O_RDWR);

	return !ioctl(fd, DMA_HEAP_IOCTL_ALLOC, &buf) && maps(buf.fd, 0);
}

/* A buffer of vkms. Not every system has <drm/drm_mode.h>. */

#define GEM "/sys/devices/platform/vkms/drm/card0"

struct create_dumb {
	uint32_t height, width, bpp, flags, handle, pitch;
	uint64_t size;
};

struct map_dumb {
	uint32_t handle, pad;
	uint64_t offset;
};

static bool do_gem(void)
{
	struct create_dumb create = { .height = 32, .width = 32, .bpp = 32 };
	struct map_dumb map = { 0 };
	int fd = open("/dev/dri/card0", O_RDWR);

	if (ioctl(fd, _IOWR('d', 0xb2, struct create_dumb), &create))
		return false;
	map.handle = create.handle;
	return !ioctl(fd, _IOWR('d', 0xb3, struct map_dumb), &map) &&
		maps(fd, map.offset);
}

#define PCM "/sys/devices/platform/snd_dummy.0/sound/card0"

/* The data of snd-dummy, with any parameters that the device accepts */
static bool do_pcm(void)
{
	struct snd_pcm_hw_params any = { .rmask = ~0U };
	int fd = open("/dev/snd/pcmC0D0p", O_RDWR | O_NONBLOCK);
	size_t i;

	memset(any.masks, 0xff, sizeof(any.masks));
	memset(any.masks, 0, sizeof(any.masks[0]));
	any.masks[0].bits[0] = 1 << SNDRV_PCM_ACCESS_MMAP_INTERLEAVED;
	for (i = 0; i < ARRAY_SIZE(any.intervals); i++)
		any.intervals[i].max = ~0U;
	return !ioctl(fd, SNDRV_PCM_IOCTL_HW_PARAMS, &any) && maps(fd, 0);
}

/* read() grows a stack that lies well above the area. */
static bool do_stack(void)
{
	char *stack = mmap(area + HUGE - 4 * PAGE, 4 * PAGE,
			   PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN,
			   -1, 0);
	int fd = open("/dev/zero", O_RDONLY);

	return stack != MAP_FAILED && read(fd, stack - PAGE, 1) == 1;
}

static bool do_own(void)
{
	return !mprotect(page, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
}

static bool do_fork(void)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	return waitpid(pid, &status, 0) == pid && !status;
}

static const struct call {
	const char *name;
	bool (*call)(void);
	bool own;		/* must wait in any case */
	bool store;		/* while it waits, other threads write to present pages */
	const char *device;	/* the device that the call needs */
} calls[] = {
	{ "mmap", do_mmap },
	{ "munmap", do_munmap },
	{ "mprotect", do_mprotect },
	{ "brk", do_brk },
	{ "mremap, in place", do_grow },
	{ "mremap, moving", do_move },
	{ "madvise", do_madvise },
	{ "mlock", do_mlock },
	{ "mmap of /dev/zero", do_zero },
	{ "mmap of a perf event", do_perf, .device = PERF },
	{ "mmap of a dma-buf", do_dma_buf, .device = HEAP },
	{ "mmap of a GEM object", do_gem, .device = GEM },
	{ "mmap of a PCM device", do_pcm, .device = PCM },
	{ "a stack that grows", do_stack },
	{ "mprotect of the VMA with the fault", do_own, true },
	/* The fault may wait for a thread of the same process, which writes first. */
	{ "fork", do_fork, true, .store = true },
};

/* A frozen file system */

static int frozen_fd = -1;

static void thaw(void)
{
	ioctl(frozen_fd, FITHAW, 0);
}

static const char *frozen_open(void)
{
	const char *why = mount_ext4();
	char buf[PAGE];
	int fd;

	if (why)
		return why;
	frozen_fd = open(MNT, O_RDONLY);
	fd = open(MNT "/file", O_RDWR | O_CREAT | O_TRUNC, 0600);
	memset(buf, STAMP, PAGE);
	if (fd < 0 || write(fd, buf, PAGE) != PAGE || fsync(fd))
		return "no file on it";
	close(fd);
	/* Thaw in any case. It has no effect if nothing is frozen. */
	atexit(thaw);
	return NULL;
}

static void frozen_hold(void)
{
	if (ioctl(frozen_fd, FIFREEZE, 0))
		ksft_exit_fail_msg("FIFREEZE: %s\n", strerror(errno));
}

static void frozen_fault(void)
{
	STORE(page, STAMP);
}

static bool yes(void)
{
	return true;
}

/* A file system that is a single file. Its server is a process of its own. */

static void answer(int dev, uint64_t unique, int error, void *data, size_t size)
{
	struct {
		struct fuse_out_header h;
		char data[PAGE];
	} out = { { .len = sizeof(out.h) + size, .error = error, .unique = unique } };

	memcpy(out.data, data, size);
	if (write(dev, &out, out.h.len) < 0)
		_exit(1);
}

static void serve(void)
{
	static union {
		struct fuse_in_header h;
		char buf[1 << 17];
	} in;
	struct fuse_init_out init = {
		.major = FUSE_KERNEL_VERSION, .minor = 31, .max_write = PAGE,
	};
	struct fuse_attr_out attr = {
		.attr_valid = 1000000,
		.attr = { .ino = 1, .size = PAGE, .mode = S_IFREG | 0600, .nlink = 1 },
	};
	struct fuse_open_out opened = { 0 };
	int dev = open("/dev/fuse", O_RDWR);
	char options[64], data[PAGE], c;

	memset(data, STAMP, PAGE);
	close(open(SERVED, O_WRONLY | O_CREAT, 0600));
	snprintf(options, sizeof(options), "fd=%d,rootmode=100600,user_id=0,group_id=0", dev);
	if (dev < 0 || mount("vma_lock", SERVED, "fuse", 0, options))
		_exit(1);
	STORE(&shared->ready, 1);
	while (read(dev, &in, sizeof(in)) > 0) {
		uint64_t id = in.h.unique;

		switch (in.h.opcode) {
		case FUSE_INIT:
			answer(dev, id, 0, &init, sizeof(init));
			break;
		case FUSE_GETATTR:
			answer(dev, id, 0, &attr, sizeof(attr));
			break;
		case FUSE_OPEN:
			answer(dev, id, 0, &opened, sizeof(opened));
			break;
		case FUSE_READ:
			if (!shared->failed) {
				shared->failed = 1;
				answer(dev, id, -EIO, NULL, 0);
				break;
			}
			STORE(&shared->held, 1);
			if (read(release[0], &c, 1) != 1)
				_exit(0);
			answer(dev, id, 0, data, PAGE);
			break;
		case FUSE_FORGET:
		case FUSE_BATCH_FORGET:
		case FUSE_INTERRUPT:
			break;
		default:
			answer(dev, id, -ENOSYS, NULL, 0);
		}
	}
	_exit(0);
}

static pid_t server;

/* Killing the server aborts the connection, which ends every wait for it. */
static void end_server(void)
{
	if (server > 0)
		kill(server, SIGKILL);
}

/* fork(); children do not outlive this process. */
static pid_t child(void)
{
	pid_t pid = fork();

	if (pid < 0)
		ksft_exit_fail_msg("fork: %s\n", strerror(errno));
	if (!pid)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static bool ended(pid_t pid, int *status)
{
	return waitpid(pid, status, WNOHANG) == pid;
}

static const char *served_open(void)
{
	int status;

	if (access("/dev/fuse", R_OK | W_OK))
		return "no /dev/fuse";
	if (pipe(release))
		return "no pipe";
	server = child();
	if (!server)
		serve();
	if (!WAIT_FOR(LOAD(&shared->ready) || ended(server, &status)) ||
	    !LOAD(&shared->ready))
		return "cannot mount FUSE";
	atexit(end_server);
	return NULL;
}

static void served_hold(void)
{
	shared->failed = shared->held = 0;
}

static void served_fault(void)
{
	if (LOAD(page) != STAMP)
		_exit(3);
}

static bool served_holds(void)
{
	return LOAD(&shared->held);
}

static void served_release(void)
{
	if (write(release[1], "", 1) != 1)
		ksft_exit_fail_msg("pipe: %s\n", strerror(errno));
}

static const struct way {
	const char *name, *file;
	int touched;				/* must the page be present before? */
	const char *(*open)(void);		/* NULL, or why it is not available */
	void (*hold)(void);			/* hold faults from now on */
	void (*fault)(void);
	bool (*holds)(void);			/* is a fault held? */
	void (*release)(void);
} ways[] = {
	{ "frozen", MNT "/file", 1, frozen_open, frozen_hold, frozen_fault, yes, thaw },
	{ "served", SERVED, 0, served_open, served_hold, served_fault, served_holds,
	  served_release },
};

static const struct way *way;
static const struct call *call;

/* The process under test: a main thread and a sleeper. It exits with 0 on success. */

static void *sleeper(void *arg)
{
	STORE(&shared->sleeper, syscall(__NR_gettid));
	way->fault();
	return NULL;
}

/* Another thread writes to a page of the area, which is present, and on its stack. */
static void *writer(void *arg)
{
	char c;

	if (read((long)arg, &c, 1) == 1) {
		STORE(area, STAMP);
		STORE(&shared->stored, 1);
	}
	return NULL;
}

static void process(int go, int store)
{
	int fd = open(way->file, O_RDWR);
	struct stat st;
	pthread_t t, w;
	char c;

	/* On FUSE this also makes the kernel ask the server for the size. */
	if (fstat(fd, &st) || st.st_size != PAGE)
		_exit(1);
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED || (way->touched && LOAD(page) != STAMP))
		_exit(1);
	/* Leave room after the area. Touch all of its pages now. */
	area = map_area(HUGE, false, PROT_NONE);
	mprotect(area, AREA, PROT_READ | PROT_WRITE);
	munmap(area + AREA, HUGE - AREA);
	memset(area, STAMP, AREA);
	STORE(&shared->done, 0);
	w = start(writer, (void *)(long)store);
	t = start(sleeper, NULL);
	if (read(go, &c, 1) != 1 || !call->call())
		_exit(2);
	STORE(&shared->done, 1);
	pthread_join(t, NULL);
	pthread_join(w, NULL);
	_exit(0);
}

/* Get a thread's state, the number of its sleeps, and whether it is in a system call. */
static bool look(pid_t tid, char *state, long *sleeps, bool *called)
{
	char path[64], line[128];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	f = fopen(path, "r");
	if (!f)
		return false;
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "State:", 6))
			*state = line[7];
		if (!strncmp(line, "voluntary", 9))
			*sleeps = atol(strchr(line, ':') + 1);
	}
	fclose(f);
	snprintf(path, sizeof(path), "/proc/%d/syscall", tid);
	f = fopen(path, "r");
	if (!f || !fgets(line, sizeof(line), f))
		line[0] = 0;
	if (f)
		fclose(f);
	*called = strncmp(line, "-1", 2);
	return line[0] && strncmp(line, "running", 7);
}

/* Asleep for good: the thread is in the same sleep at LOOKS looks in a row. */
static bool asleep(pid_t tid, bool in_call)
{
	long sleeps = 0, before = -1;
	char state = 0;
	bool called;
	int i;

	for (i = 0; i < LOOKS; i++) {
		if (!look(tid, &state, &sleeps, &called) || called != in_call ||
		    (state != 'D' && (in_call || state != 'S')) ||
		    (i && sleeps != before))
			return false;
		before = sleeps;
	}
	return true;
}

static void test(bool on)
{
	bool waited = false, returned, all_right, want = call->own || !on;
	int go[2], store[2], status = -1;
	pid_t pid;

	if (!access(SWITCH, W_OK))
		set_switch(on);
	if (pipe(go) || pipe(store))
		ksft_exit_fail_msg("pipe: %s\n", strerror(errno));
	memset(shared, 0, sizeof(*shared));
	way->hold();
	pid = child();
	if (!pid) {
		close(go[1]);
		close(store[1]);
		process(go[0], store[0]);
	}
	close(go[0]);
	close(store[0]);
	all_right = WAIT_FOR(LOAD(&shared->sleeper) && way->holds() &&
			     asleep(shared->sleeper, false));
	if (write(go[1], "", 1) != 1)
		all_right = false;
	all_right &= WAIT_FOR(LOAD(&shared->done) ||
			      (waited = asleep(pid, true)));
	returned = LOAD(&shared->done);
	if (call->store && (write(store[1], "", 1) != 1 ||
			    !WAIT_FOR(LOAD(&shared->stored)))) {
		ksft_print_msg("a write to a present page waits\n");
		all_right = false;
	}
	/* Did the sleeper sleep all the time? */
	all_right &= asleep(shared->sleeper, false);
	way->release();
	close(go[1]);
	close(store[1]);
	if (!WAIT_FOR(ended(pid, &status))) {
		/* Only after the release, which ends what the process waits for. */
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
	}
	if (!all_right || status)
		ksft_print_msg("asleep %d, waited %d, returned %d, status %x\n",
			       all_right, waited, returned, status);
	ksft_test_result(all_right && !status && waited == want && returned == !want,
			 "%s, %s: %s %s\n", way->name, on ? "VMA lock" : "mmap_lock",
			 call->name, want ? "waits" : "does not wait");
}

/* After a signal, only the file system may still be frozen: thaw it. */
static void on_signal(int sig)
{
	thaw();
	_exit(1);
}

int main(int argc, char **argv)
{
	bool has_switch = !access(SWITCH, F_OK);
	size_t w, c, wanted = 0;
	const char *why;
	int on;

	setlinebuf(stdout);
	ksft_print_header();
	if (geteuid())
		ksft_exit_skip("not root\n");
	for (c = 0; c < ARRAY_SIZE(calls); c++)
		wanted += argc < 2 || strstr(calls[c].name, argv[1]);
	ksft_set_plan(wanted * ARRAY_SIZE(ways) * (1 + has_switch));
	shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		ksft_exit_fail_msg("mmap: %s\n", strerror(errno));
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	signal(SIGPIPE, SIG_IGN);

	for (w = 0; w < ARRAY_SIZE(ways); w++) {
		way = &ways[w];
		why = way->open();
		for (on = has_switch; on >= 0; on--)
			for (c = 0; c < ARRAY_SIZE(calls); c++) {
				call = &calls[c];
				if (argc >= 2 && !strstr(call->name, argv[1]))
					continue;
				if (call->device && access(call->device, F_OK))
					ksft_test_result_skip("%s: %s: no %s\n",
							      way->name, call->name,
							      call->device);
				else if (why)
					ksft_test_result_skip("%s: %s: %s\n", way->name,
							      call->name, why);
				else
					test(on);
			}
	}
	if (has_switch)
		set_switch(true);
	end_server();
	umount2(SERVED, MNT_DETACH);
	umount(MNT);
	ksft_finished();
}
