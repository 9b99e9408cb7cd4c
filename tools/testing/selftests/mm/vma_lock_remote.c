// SPDX-License-Identifier: GPL-2.0
/*
 * One process changes its mappings. Other processes read its files in /proc, give it
 * advice by process_madvise(), find and move its pages by move_pages(), and read its
 * memory by process_vm_readv().
 *
 * The victim has one thread, so that its mm has no user but the victim and
 * those readers: the kernel takes short cuts for such an mm. Its layout is a
 * row of anchors, the area in which things change, and more anchors. Anchors
 * are pages that are never changed, each a VMA of its own. Each pass of a
 * reader checks that lines are in order, that every anchor is there once, that
 * the numbers fit together, and that pages have the contents that the victim
 * wrote.
 *
 * Each case runs twice: with the switch on, and while another process turns the
 * switch. A process that does not end when it should is reported, and killed.
 *
 * Numbers in brackets are rows of Documentation/mm/per-vma-locks.rst, "What
 * has gone wrong before".
 */
#define _GNU_SOURCE
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "vma_lock.h"

#ifndef MADV_COLD
#define MADV_COLD 20
#define MADV_PAGEOUT 21
#endif
#ifndef __NR_pidfd_open
#define __NR_pidfd_open 434
#endif
#ifndef __NR_pidfd_getfd
#define __NR_pidfd_getfd 438
#endif
#ifndef __NR_process_madvise
#define __NR_process_madvise 440
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

/* The same address after exec(), and within 39 bits for arm64 */
#define BASE		0x1000000000UL
#define ANCHORS		40UL			/* on each side */
#define GAP		2UL
#define AREA_PAGES	16UL
#define AREA_BASE	(BASE + (ANCHORS + GAP) * PAGE)
#define UPPER		(ANCHORS + 2 * GAP + AREA_PAGES)
#define ALL_PAGES	(UPPER + ANCHORS)

#define READERS		3
#define ANSWER		20		/* seconds, for a process to end */
#define PATIENCE	240		/* seconds, for each to have a turn */
#define SHM_FD		100

/* The first word of page I, counted from the area or from BASE */
#define STAMP(i)	(0x5354414d50000000UL | (i))
#define ANCHOR(i)	(0x414e43484f520000UL | (i))

#define RW		(PROT_READ | PROT_WRITE)
#define ANON		(MAP_PRIVATE | MAP_ANONYMOUS)

enum kind { MAPS, SMAPS, NUMA_MAPS, ROLLUP, READV, COLD, PAGEOUT, WILLNEED,
	    PAGEMAP, MOVE_PAGES, KINDS };

static const char *const kinds[KINDS] = {
	"maps", "smaps", "numa_maps", "smaps_rollup", "process_vm_readv",
	"MADV_COLD", "MADV_PAGEOUT", "MADV_WILLNEED", "pagemap", "move_pages",
};

/* Shared by all processes of a case, also after exec() */
static struct shared {
	int stop, which;
	unsigned int seq;	/* even while the layout is complete */
	pid_t victim, child;
	int uffd;		/* the number of the victim's descriptor */
	unsigned long area;	/* its address in the victim */
	unsigned long rounds, shots, aims, events;
	unsigned long passes[KINDS];
	int complained;
	char wrong[512];
	struct {
		pid_t pid;
		char name[16];
	} who[16];
} *shm;

struct action {
	const char *name;
	void (*round)(void);
	/* Pages of the area that may be missing, and that may be empty */
	unsigned int holes, empty;
	/* The victim's function, if it does not just repeat rounds */
	void (*victim)(void);
	const char *(*unfit)(void);
	void (*helper)(void);
	bool mixed;		/* a page may have the contents of another */
	bool brief;		/* victims come and go */
	bool joined;		/* anchors become one VMA now and then */
};

static const struct action *action;
static char *area = (char *)AREA_BASE;
static unsigned long my_round;
static pid_t main_pid;

static bool stopped(void)
{
	return LOAD(&shm->stop);
}

/* The first complaint counts. */
static void complain(const char *fmt, ...)
{
	va_list args;

	if (!__atomic_exchange_n(&shm->complained, 1, __ATOMIC_SEQ_CST)) {
		va_start(args, fmt);
		vsnprintf(shm->wrong, sizeof(shm->wrong), fmt, args);
		va_end(args);
	}
	STORE(&shm->stop, 1);
}

static void must(bool ok, const char *what)
{
	int err = errno;

	if (ok)
		return;
	if (getpid() == main_pid)
		ksft_exit_fail_msg("%s: %s\n", what, strerror(err));
	complain("%s: %s", what, strerror(err));
	_exit(1);
}

static void yield(int n)
{
	while (n--)
		sched_yield();
}

static unsigned int next(unsigned int *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 16;
}

/* --- Processes */

static void enlist(const char *name, pid_t pid)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(shm->who); i++) {
		if (shm->who[i].name[0] && strcmp(shm->who[i].name, name))
			continue;
		strcpy(shm->who[i].name, name);
		shm->who[i].pid = pid;
		return;
	}
}

/* A process that does not outlive its parent */
static pid_t spawn(const char *name, void (*fn)(void))
{
	pid_t pid = fork();

	must(pid >= 0, "fork");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fn();
		_exit(0);
	}
	enlist(name, pid);
	return pid;
}

/* --- The victim */

static uint64_t *word(char *p, unsigned long page)
{
	return (uint64_t *)(p + page * PAGE);
}

static void stamp(unsigned long from, unsigned long to)
{
	for (; from < to; from++)
		STORE(word(area, from), STAMP(from));
}

static void check_stamp(unsigned long page, unsigned long want)
{
	uint64_t is = LOAD(word(area, page));

	if (is == want)
		return;
	complain("its own page %lu has %llx in place of %lx", page,
		 (unsigned long long)is, want);
	_exit(1);
}

static void map_at(char *p, unsigned long pages)
{
	must(mmap(p, pages * PAGE, RW, ANON | MAP_FIXED, -1, 0) == p, "mmap");
}

static void unmap_at(char *p, unsigned long pages)
{
	must(!munmap(p, pages * PAGE), "munmap");
}

static void protect(char *p, unsigned long pages, int prot)
{
	must(!mprotect(p, pages * PAGE, prot), "mprotect");
}

static void move_to(char *p, char *to, unsigned long pages)
{
	must(mremap(p, pages * PAGE, pages * PAGE,
		    MREMAP_MAYMOVE | MREMAP_FIXED, to) == to, "mremap");
}

static void put_anchors(unsigned long from)
{
	char *p = (char *)BASE + from * PAGE;
	unsigned long i;

	must(mmap(p, ANCHORS * PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0) == p,
	     "mmap at BASE");
	for (i = 0; i < ANCHORS; i++) {
		*word(p, i) = ANCHOR(from + i);
		/* Neighbours differ, and never become one VMA. */
		if (i & 1)
			protect(p + i * PAGE, 1, PROT_READ);
	}
}

static void check_anchors(void)
{
	static uint64_t count[ALL_PAGES];
	unsigned long n, i;
	uint64_t *w;

	/* Check a few in each round: the others may stay swapped out. */
	for (n = 0; n < 8; n++) {
		i = (my_round * 8 + n) % (2 * ANCHORS);
		if (i >= ANCHORS)
			i += UPPER - ANCHORS;
		w = word((char *)BASE, i);
		if (LOAD(w) != ANCHOR(i) || LOAD(w + 1) != count[i]) {
			complain("victim: anchor %lu has lost its contents", i);
			_exit(1);
		}
		if (!(i & 1))
			STORE(w + 1, ++count[i]);
	}
}

/* The layout has become complete, or is about to be changed. */
static void turn_seq(void)
{
	__atomic_fetch_add(&shm->seq, 1, __ATOMIC_SEQ_CST);
}

static void set_up(void)
{
	put_anchors(0);
	put_anchors(UPPER);
	map_at(area, AREA_PAGES);
	stamp(0, AREA_PAGES);
	STORE(&shm->area, (unsigned long)area);
	STORE(&shm->victim, getpid());
	turn_seq();
}

static void one_round(void)
{
	action->round();
	check_anchors();
	my_round++;
	__atomic_fetch_add(&shm->rounds, 1, __ATOMIC_RELAXED);
}

static void victim(void)
{
	set_up();
	while (!stopped())
		one_round();
	/* A reader may be in the middle of a pass. */
	turn_seq();
}

static unsigned long all_passes(void)
{
	unsigned long n = 0;
	int i;

	for (i = 0; i < KINDS; i++)
		n += LOAD(&shm->passes[i]);
	return n;
}

/* Repeat rounds until a reader has made a pass, but not for long. */
static void some_rounds(void)
{
	unsigned long before = all_passes();
	int i;

	for (i = 0; i < 20 && !stopped() && (i < 3 || all_passes() == before);
	     i++) {
		action->round();
		sched_yield();
	}
}

/* Make holes, and replace memory within one hold of mmap_lock. */
static void map_and_unmap(void)
{
	unsigned long i, from = 4 + my_round % 4, n = 1 + my_round % 5;

	unmap_at(area + from * PAGE, n);
	unmap_at(area + 4 * PAGE, 8);
	map_at(area + 4 * PAGE, 8);
	/* Repeat this, so that readers meet it in time. */
	for (i = 0; i < 30; i++)
		map_at(area, 4);
	for (i = 0; i < 12; i++)
		check_stamp(i, 0);
	stamp(0, 12);
	for (i = 0; i < AREA_PAGES; i++)
		check_stamp(i, STAMP(i));
}

/* Splits, merges, and a boundary that moves; no write is lost. */
static void split_and_merge(void)
{
	static uint64_t count;
	unsigned long i;

	for (i = 0; i < AREA_PAGES; i++) {
		check_stamp(i, STAMP(i));
		if (LOAD(word(area, i) + 1) != count) {
			complain("victim: page %lu has lost a write", i);
			_exit(1);
		}
		STORE(word(area, i) + 1, count + 1);
	}
	count++;
	protect(area + 4 * PAGE, 4, PROT_READ);
	/* Repeat this, so that readers meet it in time. */
	for (i = 0; i < 10; i++) {
		protect(area + 4 * PAGE, 8, PROT_READ);
		protect(area + 4 * PAGE, 4, RW);
		protect(area + 4 * PAGE, 4, PROT_READ);
		protect(area + 8 * PAGE, 4, RW);
	}
	protect(area + 4 * PAGE, 8, RW);
	protect(area, 8, PROT_READ);
	protect(area, 12, PROT_READ);
	protect(area + 4 * PAGE, 8, RW);
	protect(area, 4, RW);
}

/* Move back and forth, shrink and grow. */
static void move(void)
{
	unsigned long i;

	unmap_at(area + 8 * PAGE, 4);
	move_to(area + 4 * PAGE, area + 8 * PAGE, 4);
	for (i = 8; i < 12; i++)
		check_stamp(i, STAMP(i - 4));
	move_to(area + 8 * PAGE, area + 4 * PAGE, 4);
	for (i = 4; i < 8; i++)
		check_stamp(i, STAMP(i));
	map_at(area + 8 * PAGE, 4);
	stamp(8, 12);
	must(mremap(area + 12 * PAGE, 4 * PAGE, 2 * PAGE, 0) ==
	     area + 12 * PAGE, "mremap");
	must(mremap(area + 12 * PAGE, 2 * PAGE, 4 * PAGE, 0) ==
	     area + 12 * PAGE, "mremap");
	check_stamp(14, 0);
	stamp(14, 16);
}

static void grow_brk(void)
{
	unsigned long i;

	must(!brk(area + AREA_PAGES * PAGE), "brk");
	for (i = 0; i < AREA_PAGES; i++)
		check_stamp(i, 0);
	stamp(0, AREA_PAGES);
	must(!brk(area + my_round % AREA_PAGES * PAGE), "brk");
	must(!brk(area), "brk");
}

static void brk_victim(void)
{
	/* No allocation follows, so that nobody else moves the break. */
	area = (char *)(((uintptr_t)sbrk(0) + PAGE - 1) & -PAGE);
	must(!brk(area), "brk");
	put_anchors(0);
	put_anchors(UPPER);
	STORE(&shm->area, (unsigned long)area);
	STORE(&shm->victim, getpid());
	turn_seq();
	while (!stopped())
		one_round();
	turn_seq();
}

/* The child has the contents of the parent, and changes them. */
static void forked(void)
{
	unsigned long i;

	for (i = 0; i < 2 && !stopped(); i++) {
		split_and_merge();
		check_anchors();
		sched_yield();
	}
	unmap_at(area, 4);
	map_at(area, 4);
	check_stamp(0, 0);
}

static void wait_for(pid_t pid, int want)
{
	int status;

	must(waitpid(pid, &status, 0) == pid, "waitpid");
	if (status != want) {
		complain("a child ended with status %x", status);
		_exit(1);
	}
}

static void fork_and_wait(void)
{
	pid_t pid = spawn("child", forked);

	STORE(&shm->child, pid);
	split_and_merge();
	wait_for(pid, 0);
}

/*
 * [B37] fork() fails at its first allocation, then at its fourteenth, and so on. The
 * new mm is incomplete then. The monitor gets a userfaultfd for it nevertheless, and
 * uses that while the mm is being torn down.
 */
static int nth_fd = -1;

static const char *no_fail_nth(void)
{
	if (access("/proc/self/fail-nth", W_OK) ||
	    access("/sys/kernel/debug/failslab", F_OK))
		return "no FAILSLAB and FAULT_INJECTION_DEBUG_FS";
	return NULL;
}

static void set_to(const char *file, const char *value)
{
	int fd = open(file, O_WRONLY);

	must(fd >= 0 && write(fd, value, strlen(value)) > 0, file);
	close(fd);
}

static void fork_fails(void)
{
	static unsigned int n, failures, first;
	char buf[16] = "";
	int len, left;
	pid_t pid;

	len = snprintf(buf, sizeof(buf), "%u", n + 1);
	must(pwrite(nth_fd, buf, len, 0) == len, "fail-nth");
	/* Make the system call directly: libc must not make any other. */
	pid = syscall(__NR_clone, SIGCHLD, 0, 0, 0, 0);
	if (!pid)
		_exit(LOAD(word(area, 3)) != STAMP(3));
	memset(buf, 0, sizeof(buf));
	must(pread(nth_fd, buf, sizeof(buf) - 1, 0) > 0, "fail-nth");
	left = atoi(buf);
	must(pwrite(nth_fd, "0", 1, 0) == 1, "fail-nth");
	if (pid > 0)
		wait_for(pid, 0);
	failures += pid < 0;
	/* There are some hundred allocations. Start at another each time. */
	n += 13;
	if (left) {
		if (!failures)
			complain("victim: fork() has not failed once");
		n = ++first % 13;
	}
	split_and_merge();
}

static void fork_fails_victim(void)
{
	struct uffdio_api api = {
		.api = UFFD_API, .features = UFFD_FEATURE_EVENT_FORK,
	};
	struct uffdio_register reg = {
		.range = { BASE, ANCHORS * PAGE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int uffd;

	set_up();
	nth_fd = open("/proc/thread-self/fail-nth", O_RDWR);
	must(nth_fd >= 0, "fail-nth");
	uffd = syscall(__NR_userfaultfd, O_CLOEXEC);
	if (uffd >= 0) {
		must(!ioctl(uffd, UFFDIO_API, &api), "UFFDIO_API");
		must(!ioctl(uffd, UFFDIO_REGISTER, &reg), "UFFDIO_REGISTER");
		__atomic_store_n(&shm->uffd, uffd, __ATOMIC_SEQ_CST);
	}
	while (!stopped())
		one_round();
	turn_seq();
	/* The monitor ends only after this process has ended: close it here. */
	if (uffd >= 0)
		close(uffd);
}

static void monitor(void)
{
	struct uffdio_zeropage zero = { .range = { BASE, PAGE } };
	struct uffdio_range all = { BASE, ANCHORS * PAGE };
	struct pollfd pfd = { .events = POLLIN };
	struct uffd_msg msg;
	int pidfd, fd = -1, new;
	unsigned long i;

	while (!stopped() && !__atomic_load_n(&shm->uffd, __ATOMIC_SEQ_CST))
		sched_yield();
	if (stopped())
		return;
	pidfd = syscall(__NR_pidfd_open, LOAD(&shm->victim), 0);
	if (pidfd >= 0)
		fd = syscall(__NR_pidfd_getfd, pidfd, LOAD(&shm->uffd), 0);
	must(fd >= 0, "pidfd_getfd");
	must(!fcntl(fd, F_SETFL, O_NONBLOCK), "O_NONBLOCK");
	pfd.fd = fd;
	/* Until the victim is gone: it waits until its events are read. */
	while (!kill(LOAD(&shm->victim), 0)) {
		if (poll(&pfd, 1, 100) <= 0 ||
		    read(fd, &msg, sizeof(msg)) != sizeof(msg)) {
			/* A zombie that has not been waited for yet */
			if (stopped() && pfd.revents & POLLHUP)
				break;
			if (stopped() && LOAD(&shm->seq) & 1)
				break;
			continue;
		}
		if (msg.event != UFFD_EVENT_FORK)
			continue;
		new = msg.arg.fork.ufd;
		/* Ignore the results: the mm may be incomplete, or gone. */
		for (i = 0; i < ANCHORS; i++) {
			zero.range.start = BASE + i * PAGE;
			ioctl(new, UFFDIO_ZEROPAGE, &zero);
		}
		ioctl(new, UFFDIO_UNREGISTER, &all);
		close(new);
		__atomic_fetch_add(&shm->events, 1, __ATOMIC_RELAXED);
	}
}

/* exec() this program in a loop. */
static void exec_victim(void)
{
	char number[16];

	set_up();
	some_rounds();
	check_anchors();
	turn_seq();
	__atomic_fetch_add(&shm->rounds, 1, __ATOMIC_RELAXED);
	if (stopped())
		_exit(0);
	snprintf(number, sizeof(number), "%ld", LOAD(&shm->rounds));
	execl("/proc/self/exe", "vma_lock_remote", "-x", number, NULL);
	must(false, "exec");
}

/* Processes that end, one after the other: by themselves and by a signal */
static void mayfly(void)
{
	set_up();
	some_rounds();
	check_anchors();
	turn_seq();
	if (shm->rounds % 3 == 1)
		kill(getpid(), SIGKILL);
	if (shm->rounds % 3 == 2)
		unmap_at((char *)BASE, ALL_PAGES);
}

static void exit_victim(void)
{
	while (!stopped()) {
		bool shot = shm->rounds % 3 == 1;

		wait_for(spawn("mayfly", mayfly), shot ? SIGKILL : 0);
		__atomic_fetch_add(&shm->rounds, 1, __ATOMIC_RELAXED);
	}
}

/*
 * [B35] Readers are killed in the middle of a pass. After that the victim changes
 * every VMA. It would wait forever for a lock that has not been released.
 */
static void change_all(void)
{
	unsigned long i, p;

	for (i = 0; i < 2 * ANCHORS; i++) {
		p = i < ANCHORS ? i : i - ANCHORS + UPPER;
		protect((char *)BASE + p * PAGE, 1, p & 1 ? RW : PROT_READ);
		protect((char *)BASE + p * PAGE, 1, p & 1 ? PROT_READ : RW);
	}
	split_and_merge();
}

/*
 * [B34] The memory to the left and to the right is missing, never touched, or touched.
 * The middle, touched or not, comes back to its place by mremap(), comes from
 * elsewhere, or is new. A child may share all of it.
 */
static struct {
	bool there;
	unsigned long page, want[2];
} middle_is;

static void merged(void)
{
	unsigned long p, at = middle_is.page;
	uint64_t is;

	if (middle_is.there) {
		check_stamp(at, middle_is.want[0]);
		check_stamp(at + 1, middle_is.want[1]);
		madvise(word(area, at), 2 * PAGE, MADV_PAGEOUT);
	}
	/* Mapped pages have the parent's contents. The child's writes are its own. */
	for (p = 4; p < 10; p++) {
		struct iovec to = { &is, sizeof(is) };
		struct iovec from = { word(area, p), sizeof(is) };

		if (syscall(__NR_process_vm_readv, getpid(), &to, 1, &from, 1,
			    0) != sizeof(is))
			continue;
		if (is)
			check_stamp(p, STAMP(p));
		STORE(word(area, p), STAMP(100 + p));
		check_stamp(p, STAMP(100 + p));
	}
	yield(1);
}

static void side(unsigned long page, int what)
{
	if (!what)
		return;
	map_at(area + page * PAGE, 2);
	if (what == 2)
		stamp(page, page + 2);
}

static void merge(void)
{
	/* An order that soon covers each value of each variable */
	unsigned int n = my_round * 85;
	int left = n % 3, right = n / 3 % 3, way = n / 9 % 3;
	bool touched = n / 27 & 1, early = n / 54 & 1, late = n / 108 & 1;
	char *middle = area + 6 * PAGE, *away = area + 12 * PAGE;
	pid_t first = 0, second = 0;

	unmap_at(area + 2 * PAGE, 12);
	switch (way) {
	case 0:		/* new, between the two */
		break;
	case 1:		/* away, and back: its offset fits */
		map_at(middle, 2);
		if (touched)
			stamp(6, 8);
		move_to(middle, away, 2);
		break;
	default:	/* from elsewhere: it fits if it was never touched */
		map_at(away, 2);
		if (touched) {
			STORE(word(area, 12), STAMP(6));
			STORE(word(area, 13), STAMP(7));
		}
		break;
	}
	side(4, left);
	side(8, right);
	middle_is.there = way;
	middle_is.page = 12;
	middle_is.want[0] = touched ? STAMP(6) : 0;
	middle_is.want[1] = touched ? STAMP(7) : 0;
	if (early)
		first = spawn("first", merged);
	if (way) {
		move_to(away, middle, 2);
	} else {
		map_at(middle, 2);
		if (touched)
			stamp(6, 8);
	}
	middle_is.there = true;
	middle_is.page = 6;
	if (late)
		second = spawn("second", merged);
	check_stamp(6, touched ? STAMP(6) : 0);
	check_stamp(7, touched ? STAMP(7) : 0);
	if (left) {
		check_stamp(4, left == 2 ? STAMP(4) : 0);
		check_stamp(5, left == 2 ? STAMP(5) : 0);
		stamp(4, 6);
	}
	if (right) {
		check_stamp(8, right == 2 ? STAMP(8) : 0);
		check_stamp(9, right == 2 ? STAMP(9) : 0);
		stamp(8, 10);
	}
	stamp(6, 8);
	/* The anon_vma must outlive the part that it came from. */
	if (n / 216 & 1)
		unmap_at(area + 4 * PAGE, 2);
	else
		unmap_at(area + 8 * PAGE, 2);
	madvise(middle, 2 * PAGE, MADV_PAGEOUT);
	check_stamp(6, STAMP(6));
	check_stamp(7, STAMP(7));
	if (first)
		wait_for(first, 0);
	if (second)
		wait_for(second, 0);
}

/* --- The checks of the readers */

/* One pass over one file, or one call */
struct pass {
	pid_t pid;
	unsigned int seq;
	bool victim;			/* of the victim, or of a child of it */
	bool refused;			/* the process is gone, or the file */
	unsigned long area;
	unsigned long end;		/* end of the line before */
	unsigned char anchor[ALL_PAGES], area_page[AREA_PAGES];
	/* An error if the victim's layout was complete all the time */
	char doubt[256];
};

static void doubt(struct pass *pass, const char *fmt, ...)
{
	va_list args;

	if (pass->doubt[0])
		return;
	va_start(args, fmt);
	vsnprintf(pass->doubt, sizeof(pass->doubt), fmt, args);
	va_end(args);
}

static bool is_anchor(unsigned long page)
{
	return page < ANCHORS || (page >= UPPER && page < ALL_PAGES);
}

static bool begin_pass(struct pass *pass)
{
	pid_t child = LOAD(&shm->child);
	static unsigned int turn;

	memset(pass, 0, sizeof(*pass));
	pass->seq = __atomic_load_n(&shm->seq, __ATOMIC_SEQ_CST);
	/* Every third pass is of a child, where there are any. */
	pass->victim = !child || turn++ % 3;
	pass->pid = pass->victim ? LOAD(&shm->victim) : child;
	pass->area = LOAD(&shm->area);
	return pass->pid;
}

/* The process may be gone, but only if processes end in this case. */
static bool gone(const struct pass *pass, int err)
{
	return (action->brief || !pass->victim || stopped()) &&
		(err == ENOENT || err == ESRCH || err == EACCES ||
		 err == EINVAL || err == EPERM);
}

static void end_pass(struct pass *pass, enum kind kind)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (pass->victim && !(pass->seq & 1) &&
	    __atomic_load_n(&shm->seq, __ATOMIC_SEQ_CST) == pass->seq) {
		if (pass->doubt[0])
			complain("%s: %s", kinds[kind], pass->doubt);
	} else if (pass->victim && !action->brief) {
		return;		/* too early, or too late */
	}
	if (pass->refused && gone(pass, ESRCH)) {
		sched_yield();	/* for the next process to come */
		return;
	}
	__atomic_fetch_add(&shm->passes[kind], 1, __ATOMIC_RELAXED);
}

static void check_range(struct pass *pass, enum kind kind, unsigned long start,
			unsigned long end)
{
	unsigned long i;

	/* True of any process at any time */
	if (start < pass->end || end <= start)
		complain("%s: %lx-%lx after %lx", kinds[kind], start, end,
			 pass->end);
	pass->end = end;
	for (i = 0; i < ALL_PAGES; i++)
		if (BASE + i * PAGE >= start && BASE + i * PAGE < end)
			pass->anchor[i]++;
	for (i = 0; i < AREA_PAGES; i++)
		if (pass->area + i * PAGE >= start &&
		    pass->area + i * PAGE < end)
			pass->area_page[i]++;
}

static void check_all_seen(struct pass *pass, bool ends)
{
	unsigned long i;

	for (i = 0; i < ALL_PAGES; i++)
		if (is_anchor(i) && pass->anchor[i] != 1)
			doubt(pass, "anchor %lu is there %u times", i,
			      pass->anchor[i]);
	for (i = 0; ends && i < AREA_PAGES; i++)
		if (pass->area_page[i] > 1 ||
		    (!pass->area_page[i] && !(action->holes >> i & 1)))
			doubt(pass, "page %lu is there %u times", i,
			      pass->area_page[i]);
}

struct smap {
	unsigned long start, end, size, rss, pss, parts, referenced, anonymous;
	unsigned long swap;
};

static void check_smap(struct pass *pass, const struct smap *smap)
{
	unsigned long i = (smap->start - BASE) / PAGE;

	if (smap->size * 1024 != smap->end - smap->start ||
	    smap->rss > smap->size || smap->pss > smap->rss ||
	    smap->parts != smap->rss || smap->referenced > smap->rss ||
	    smap->anonymous > smap->rss || smap->swap > smap->size)
		complain("smaps: %lx-%lx: %lu, Rss %lu %lu, Pss %lu, Ref %lu %lu, %lu",
			 smap->start, smap->end, smap->size, smap->rss,
			 smap->parts, smap->pss, smap->referenced,
			 smap->anonymous, smap->swap);
	/* A page of an anchor is always present or swapped out. */
	if (smap->start >= BASE && is_anchor(i) &&
	    smap->rss + smap->swap != smap->size)
		doubt(pass, "anchor %lu: Size %lu, Rss %lu, Swap %lu", i,
		      smap->size, smap->rss, smap->swap);
}

static void parse(struct pass *pass, enum kind kind, struct smap *smap,
		  const char *text)
{
	unsigned long start, end, kb;
	char perms[5], key[32];

	if (kind == NUMA_MAPS) {
		/* Lines say where a VMA starts, and not where it ends. */
		if (sscanf(text, "%lx ", &start) == 1)
			check_range(pass, kind, start, start + 1);
		else
			complain("numa_maps: %s", text);
		return;
	}
	if (sscanf(text, "%lx-%lx %4s %*x %*x:%*x %*u", &start, &end,
		   perms) == 3) {
		check_range(pass, kind, start, end);
		memset(smap, 0, sizeof(*smap));
		smap->start = start;
		smap->end = end;
		return;
	}
	if (kind == MAPS) {
		complain("maps: %s", text);
		return;
	}
	if (!strncmp(text, "VmFlags:", 8)) {
		check_smap(pass, smap);
		return;
	}
	if (sscanf(text, "%31[A-Za-z_]: %lu kB", key, &kb) != 2)
		return;
	if (!strcmp(key, "Size"))
		smap->size = kb;
	else if (!strcmp(key, "Rss"))
		smap->rss = kb;
	else if (!strcmp(key, "Pss"))
		smap->pss = kb;
	else if (!strncmp(key, "Shared_", 7) && key[7] != 'H')
		smap->parts += kb;
	else if (!strncmp(key, "Private_", 8) && key[8] != 'H')
		smap->parts += kb;
	else if (!strcmp(key, "Referenced"))
		smap->referenced = kb;
	else if (!strcmp(key, "Anonymous"))
		smap->anonymous = kb;
	else if (!strcmp(key, "Swap"))
		smap->swap = kb;
}

static void refused(struct pass *pass)
{
	pass->refused = true;
	if (!gone(pass, errno))
		doubt(pass, "%s", strerror(errno));
}

static int open_file(struct pass *pass, enum kind kind)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pass->pid, kinds[kind]);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		refused(pass);
	return fd;
}

static void pass_over_file(struct pass *pass, enum kind kind, size_t size)
{
	static char buf[16384];
	struct smap smap = { 0 };
	char *text, *nl;
	size_t have = 0;
	ssize_t n;
	int fd = open_file(pass, kind);

	if (fd < 0)
		return;
	while ((n = read(fd, buf + have, size)) > 0) {
		have += n;
		buf[have] = 0;
		for (text = buf; (nl = strchr(text, '\n')); text = nl + 1) {
			*nl = 0;
			parse(pass, kind, &smap, text);
		}
		have = buf + have - text;
		memmove(buf, text, have);
	}
	if (n)
		refused(pass);
	close(fd);
	if (kind != NUMA_MAPS || !action->joined)
		check_all_seen(pass, kind != NUMA_MAPS);
}

static void pass_over_rollup(struct pass *pass)
{
	static char buf[4096];
	unsigned long start, end, rss, swap;
	size_t have = 0;
	char *at;
	ssize_t n;
	int fd = open_file(pass, ROLLUP);

	if (fd < 0)
		return;
	while ((n = read(fd, buf + have, sizeof(buf) - 1 - have)) > 0)
		have += n;
	close(fd);
	if (n < 0) {
		refused(pass);
		return;
	}
	buf[have] = 0;
	if (sscanf(buf, "%lx-%lx ---p", &start, &end) != 2 ||
	    start > BASE || end < BASE + ALL_PAGES * PAGE)
		doubt(pass, "%.40s", buf);
	at = strstr(buf, "\nRss:");
	if (!at || sscanf(at, "\nRss: %lu", &rss) != 1)
		rss = 0;
	at = strstr(buf, "\nSwap:");
	if (!at || sscanf(at, "\nSwap: %lu", &swap) != 1)
		swap = 0;
	if ((rss + swap) * 1024 < 2 * ANCHORS * PAGE)
		doubt(pass, "Rss %lu, Swap %lu", rss, swap);
}

/* May the page have this value at some time? */
static bool possible(unsigned long page, uint64_t value)
{
	if (value == STAMP(page) ||
	    (!value && action->empty >> page & 1))
		return true;
	return action->mixed && value - STAMP(0) < AREA_PAGES;
}

static void pass_over_memory(struct pass *pass)
{
	static uint64_t is[2 * ANCHORS];
	static struct iovec to[2 * ANCHORS], from[2 * ANCHORS];
	unsigned long i, n = 0;
	uint64_t value;
	ssize_t len;

	for (i = 0; i < ALL_PAGES; i++) {
		if (!is_anchor(i))
			continue;
		to[n] = (struct iovec){ is + n, sizeof(*is) };
		from[n++] = (struct iovec){ word((char *)BASE, i),
					    sizeof(*is) };
	}
	len = syscall(__NR_process_vm_readv, pass->pid, to, n, from, n, 0);
	if (len != sizeof(is)) {
		if (len < 0)
			refused(pass);
		else
			doubt(pass, "anchors: %zd bytes", len);
		return;
	}
	for (i = n = 0; i < ALL_PAGES; i++) {
		if (!is_anchor(i))
			continue;
		if (is[n++] != ANCHOR(i))
			doubt(pass, "anchor %lu has %llx", i,
			      (unsigned long long)is[n - 1]);
	}
	for (i = 0; i < AREA_PAGES; i++) {
		to[0] = (struct iovec){ &value, sizeof(value) };
		from[0] = (struct iovec){ (void *)(pass->area + i * PAGE),
					  sizeof(value) };
		len = syscall(__NR_process_vm_readv, pass->pid, to, 1, from, 1,
			      0);
		if (len < 0 && errno == EFAULT && action->holes >> i & 1)
			continue;
		if (len != sizeof(value))
			refused(pass);
		else if (!possible(i, value))
			doubt(pass, "page %lu has %llx", i,
			      (unsigned long long)value);
	}
}

static void pass_over_advice(struct pass *pass, enum kind kind)
{
	static const int advices[KINDS] = {
		[COLD] = MADV_COLD,
		[PAGEOUT] = MADV_PAGEOUT,
		[WILLNEED] = MADV_WILLNEED,
	};
	static unsigned int turn;
	/* Not all anchors at once, or most of the time goes into swapping. */
	unsigned long some = turn++ % 4 * (ANCHORS / 4);
	struct iovec parts[3] = {
		{ (void *)(BASE + some * PAGE), ANCHORS / 4 * PAGE },
		{ (void *)(BASE + (UPPER + some) * PAGE), ANCHORS / 4 * PAGE },
		{ (void *)pass->area, AREA_PAGES * PAGE },
	};
	int fd = syscall(__NR_pidfd_open, pass->pid, 0);
	ssize_t n;
	int i;

	if (fd < 0) {
		refused(pass);
		return;
	}
	for (i = 0; i < 3; i++) {
		n = syscall(__NR_process_madvise, fd, parts + i, 1,
			    advices[kind], 0);
		if (n == (ssize_t)parts[i].iov_len)
			continue;
		/* There may be holes in the area. */
		if (i == 2 && action->holes && n < 0 && errno == ENOMEM)
			continue;
		if (n < 0)
			refused(pass);
		else
			doubt(pass, "%zd of %zu bytes", n, parts[i].iov_len);
	}
	close(fd);
}

/* The page's number in the area, or -1; -1 if the area is not at its usual place */
static long area_page(const struct pass *pass, unsigned long page)
{
	unsigned long i = page - (AREA_BASE - BASE) / PAGE;

	return pass->area == AREA_BASE && i < AREA_PAGES ? (long)i : -1;
}

/* Present or swapped out: a page that has been written to has one of these bits. */
#define PM_THERE	(3ULL << 62)

/* Are the entries of a new VMA soft-dirty, present or not? Those of a hole are not. */
static bool soft_dirty;

static bool has_soft_dirty(void)
{
	char *p = map_area(PAGE, false, RW);
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uint64_t entry = 0;

	STORE(p, 1);
	must(pread(fd, &entry, 8, (uintptr_t)p / PAGE * 8) == 8, "pagemap");
	close(fd);
	munmap(p, PAGE);
	return entry >> 55 & 1;
}

static void pass_over_pagemap(struct pass *pass)
{
	static uint64_t is[ALL_PAGES];
	static unsigned int turn;
	char path[64];
	unsigned long i;
	long page;
	ssize_t n;
	int fd;

	/* The walk of clear_refs changes nothing that is checked here. */
	snprintf(path, sizeof(path), "/proc/%d/clear_refs", pass->pid);
	fd = turn++ % 4 ? -1 : open(path, O_WRONLY);
	if (fd >= 0) {
		if (write(fd, "1", 1) != 1)
			refused(pass);
		close(fd);
	}
	fd = open_file(pass, PAGEMAP);
	if (fd < 0)
		return;
	n = pread(fd, is, sizeof(is), BASE / PAGE * 8);
	close(fd);
	if (n != sizeof(is)) {
		/* It is empty if the process is gone. */
		if (n >= 0)
			errno = ESRCH;
		refused(pass);
		return;
	}
	for (i = 0; i < ALL_PAGES; i++) {
		page = area_page(pass, i);
		if (is_anchor(i) ? is[i] & PM_THERE : page < 0 ? !is[i] :
		    is[i] || !soft_dirty || action->holes >> page & 1)
			continue;
		if (is_anchor(i) || pass->area == AREA_BASE)
			doubt(pass, "page %lu (area's %ld) has %llx", i, page,
			      (unsigned long long)is[i]);
	}
}

/* Find the nodes of pages. Now and then move them to a node, maybe the same one. */
static void pass_over_nodes(struct pass *pass)
{
	static void *at[ALL_PAGES];
	static int status[ALL_PAGES], nodes[ALL_PAGES];
	static unsigned int turn;
	unsigned long i;

	for (i = 0; i < ALL_PAGES; i++)
		at[i] = word((char *)BASE, i);
	if (!(turn++ % 4)) {
		nodes[0] = turn / 4 % 2 &&
			!access("/sys/devices/system/node/node1", F_OK);
		for (i = 1; i < ALL_PAGES; i++)
			nodes[i] = nodes[0];
		/* Pages that are swapped out or shared stay. */
		if (syscall(__NR_move_pages, pass->pid, ALL_PAGES, at, nodes,
			    status, 2 /* MPOL_MF_MOVE */) < 0)
			refused(pass);
	}
	if (syscall(__NR_move_pages, pass->pid, ALL_PAGES, at, NULL, status, 0)) {
		refused(pass);
		return;
	}
	for (i = 0; i < ALL_PAGES; i++) {
		if (is_anchor(i) ? status[i] >= 0 || status[i] == -ENOENT :
		    pass->area != AREA_BASE || area_page(pass, i) >= 0 ||
		    status[i] == -EFAULT)
			continue;
		doubt(pass, "page %lu is on %d", i, status[i]);
	}
}

static int reader_number;

static void one_pass(unsigned int n)
{
	enum kind kind = (n + reader_number * 3) % KINDS;
	struct pass pass;

	if (!begin_pass(&pass)) {
		sched_yield();
		return;
	}
	switch (kind) {
	case MAPS:
	case SMAPS:
	case NUMA_MAPS:
		/* A page each time, as most programs read, or odd sizes */
		pass_over_file(&pass, kind, n & 8 ? 4096 : 500 + n % 1000);
		break;
	case ROLLUP:
		pass_over_rollup(&pass);
		break;
	case READV:
		pass_over_memory(&pass);
		break;
	case PAGEMAP:
		pass_over_pagemap(&pass);
		break;
	case MOVE_PAGES:
		pass_over_nodes(&pass);
		break;
	default:
		pass_over_advice(&pass, kind);
	}
	end_pass(&pass, kind);
}

static void reader(void)
{
	unsigned int n;

	for (n = 0; !stopped(); n++)
		one_pass(n);
}

/* --- Readers that are killed [B35] */

static void on_usr1(int sig)
{
}

static void target(void)
{
	struct sigaction sa = { .sa_handler = on_usr1 };
	static const enum kind most[] = { SMAPS, MAPS, SMAPS, PAGEOUT, ROLLUP,
					  PAGEMAP, MOVE_PAGES };
	unsigned int n;
	struct pass pass;

	sigaction(SIGUSR1, &sa, NULL);
	for (n = 0; !stopped(); n++) {
		enum kind kind = most[n % ARRAY_SIZE(most)];

		__atomic_fetch_add(&shm->aims, 1, __ATOMIC_RELAXED);
		if (!begin_pass(&pass))
			continue;
		if (kind == ROLLUP)
			pass_over_rollup(&pass);
		else if (kind == PAGEOUT)
			pass_over_advice(&pass, kind);
		else if (kind == PAGEMAP)
			pass_over_pagemap(&pass);
		else if (kind == MOVE_PAGES)
			pass_over_nodes(&pass);
		else
			pass_over_file(&pass, kind, 4096);
		/* A signal may cut the pass short. Only the lines must be right. */
	}
}

static void killer(void)
{
	unsigned int seed = getpid();

	while (!stopped()) {
		unsigned long aims = LOAD(&shm->aims);
		pid_t pid = spawn("target", target);
		int status, i;

		while (LOAD(&shm->aims) == aims && !stopped())
			sched_yield();
		for (i = next(&seed) % 4; i; i--) {
			kill(pid, SIGUSR1);
			yield(next(&seed) % 3);
		}
		yield(next(&seed) % 8);
		kill(pid, SIGKILL);
		must(waitpid(pid, &status, 0) == pid, "waitpid");
		if (status != SIGKILL && !stopped())
			complain("target: status %x", status);
		__atomic_fetch_add(&shm->shots, 1, __ATOMIC_RELAXED);
	}
}

/* --- The switch */

static void turner(void)
{
	bool on = true;

	while (!stopped()) {
		on = !on;
		set_switch(on);
		yield(20);
	}
}

/* --- The cases */

#define BITS(from, to) ((1U << (to)) - (1U << (from)))

static const struct action actions[] = {
	{ "map and unmap", map_and_unmap, BITS(4, 12), BITS(0, 12) },
	{ "split and merge", split_and_merge },
	{ "mremap", move, BITS(4, 12) | BITS(14, 16),
	  BITS(8, 12) | BITS(14, 16), .mixed = true },
	{ "brk", grow_brk, BITS(0, 16), BITS(0, 16), .victim = brk_victim },
	{ "fork", fork_and_wait },
	{ "failing fork [B37]", fork_fails, .victim = fork_fails_victim,
	  .unfit = no_fail_nth, .helper = monitor },
	{ "exec", split_and_merge, .victim = exec_victim, .brief = true },
	{ "exit", map_and_unmap, BITS(0, 16), BITS(0, 16),
	  .victim = exit_victim, .brief = true },
	{ "killed readers [B35]", change_all, .helper = killer,
	  .joined = true },
	{ "merge [B34]", merge, BITS(2, 14), BITS(2, 14), .mixed = true },
};

static bool each_had_a_turn(void)
{
	int i;

	for (i = 0; i < KINDS; i++)
		if (!LOAD(&shm->passes[i]))
			return false;
	if (action->helper == killer && LOAD(&shm->shots) < 4)
		return false;
	return LOAD(&shm->rounds) > 3;
}

/* Print where the processes are that have not ended. */
static void print_one(pid_t pid, const char *name, const char *file)
{
	char path[64], text[256] = "";
	int fd, n = 0;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	fd = open(path, O_RDONLY);
	if (fd >= 0)
		n = read(fd, text, sizeof(text) - 1);
	text[strcspn(text, "\n")] = 0;
	if (n > 0)
		printf("# %s (%d): %s: %s\n", name, pid, file, text);
	fflush(stdout);
}

static void print_where(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(shm->who); i++) {
		pid_t pid = shm->who[i].pid;

		if (!pid || kill(pid, 0))
			continue;
		print_one(pid, shm->who[i].name, "wchan");
		print_one(pid, shm->who[i].name, "syscall");
	}
}

/* Report from another process, which may hang at the same place. */
static void report(void)
{
	double end = now() + 5;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		print_where();
		_exit(0);
	}
	while (now() < end && !waitpid(pid, NULL, WNOHANG))
		usleep(10000);
	kill(pid, SIGKILL);
}

static void kill_all(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(shm->who); i++)
		if (shm->who[i].pid)
			kill(shm->who[i].pid, SIGKILL);
}

/* Wait for all processes of the case, grandchildren too. False if they were killed. */
static bool collect(const pid_t *pids, const char *const *names, int n)
{
	double end = now() + ANSWER;
	bool hung = false;
	int status, i;
	pid_t pid;

	for (;;) {
		pid = waitpid(-1, &status, WNOHANG);
		if (pid < 0)
			return !hung;
		for (i = 0; pid && i < n; i++)
			if (pid == pids[i] && status && !hung)
				complain("%s: ended with status %x", names[i],
					 status);
		if (pid)
			continue;
		if (now() > end && hung) {
			report();
			ksft_exit_fail_msg("%s: processes that SIGKILL does not end\n",
					   action->name);
		}
		if (now() > end) {
			ksft_print_msg("%s: no answer in %d seconds from\n",
				       action->name, ANSWER);
			report();
			hung = true;
			kill_all();
			end = now() + ANSWER;
		}
		usleep(5000);
	}
}

static const char *only;

static void test(const struct action *a, bool turned)
{
	static const char *const names[] = {
		"victim", "reader 0", "reader 1", "reader 2", "helper",
		"turner",
	};
	pid_t pids[ARRAY_SIZE(names)] = { 0 };
	const char *how = turned ? ", while the switch is turned" : "";
	double secs = race_seconds() / 2.0, end;
	const char *why = a->unfit ? a->unfit() : NULL;
	bool ended;
	int i;

	if (only && !strstr(a->name, only))
		return;
	if (why) {
		ksft_test_result_skip("%s%s: %s\n", a->name, how, why);
		return;
	}
	action = a;
	memset(shm, 0, sizeof(*shm));
	shm->which = a - actions;
	shm->seq = 1;
	pids[0] = spawn(names[0], a->victim ? a->victim : victim);
	for (i = 1; i <= READERS; i++) {
		reader_number = i - 1;
		pids[i] = spawn(names[i], reader);
	}
	if (a->helper)
		pids[4] = spawn(names[4], a->helper);
	if (turned)
		pids[5] = spawn(names[5], turner);

	/* Run longer on a slow machine, until each process has had a turn. */
	for (end = now() + secs; !stopped(); usleep(10000))
		if (now() > end && (each_had_a_turn() || now() > end + PATIENCE))
			break;
	STORE(&shm->stop, 1);
	ended = collect(pids, names, ARRAY_SIZE(names));
	if (turned)
		set_switch(true);

	if (ended && !each_had_a_turn())
		complain("not everybody had a turn");
	ksft_print_msg("%s: %lu rounds, passes", a->name, shm->rounds);
	for (i = 0; i < KINDS; i++)
		printf(" %lu", shm->passes[i]);
	if (shm->shots)
		printf(", %lu readers killed", shm->shots);
	if (shm->events)
		printf(", %lu forks watched", shm->events);
	printf("\n");
	if (shm->wrong[0])
		ksft_print_msg("%s\n", shm->wrong);
	ksft_test_result(ended && !shm->complained, "%s%s\n", a->name, how);
}

static void map_shm(void)
{
	shm = mmap(NULL, sizeof(*shm), RW, MAP_SHARED, SHM_FD, 0);
	if (shm == MAP_FAILED)
		ksft_exit_fail_msg("mmap: %s\n", strerror(errno));
}

static void prepare_failslab(void)
{
	mount("none", "/sys/kernel/debug", "debugfs", 0, NULL);
	if (no_fail_nth())
		return;
	set_to("/sys/kernel/debug/failslab/verbose", "0");
	set_to("/sys/kernel/debug/failslab/ignore-gfp-wait", "N");
	if (access("/sys/kernel/debug/fail_page_alloc", F_OK))
		return;
	set_to("/sys/kernel/debug/fail_page_alloc/verbose", "0");
	set_to("/sys/kernel/debug/fail_page_alloc/min-order", "0");
	set_to("/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", "N");
	set_to("/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem", "N");
}

int main(int argc, char **argv)
{
	const char *why;
	size_t i;
	int fd;

	if (argc > 1 && !strcmp(argv[1], "-x")) {
		map_shm();
		action = actions + shm->which;
		exec_victim();
	}
	setlinebuf(stdout);
	ksft_print_header();
	need_per_vma_lock();
	only = argc > 1 ? argv[1] : NULL;
	if (!only)
		ksft_set_plan(2 * ARRAY_SIZE(actions));

	fd = memfd_create("vma_lock_remote", 0);
	if (fd < 0 || ftruncate(fd, sizeof(*shm)) || dup2(fd, SHM_FD) < 0)
		ksft_exit_fail_msg("memfd: %s\n", strerror(errno));
	close(fd);
	map_shm();
	main_pid = getpid();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	prepare_failslab();
	soft_dirty = has_soft_dirty();
	why = swap_on();
	if (why)
		ksft_print_msg("%s: MADV_PAGEOUT frees no page\n", why);

	for (i = 0; i < ARRAY_SIZE(actions); i++) {
		test(actions + i, false);
		test(actions + i, true);
	}
	if (only)
		ksft_set_plan(ksft_test_num());
	ksft_finished();
}
