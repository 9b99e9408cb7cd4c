// SPDX-License-Identifier: GPL-2.0
/*
 * Threads beat on mm/vma_lock.c: readers look up VMAs and hold them, writers
 * hold mmap_lock in every form and change, split, replace, unmap and free VMAs.
 *
 * The data that the VMA lock protects are plain variables. So TSan reports a reader
 * and a writer that are in a VMA at the same time, and changes that are not seen in
 * order. ASan reports memory that is used after it was freed. Without TSan and ASan,
 * readers compare what they see with what they saw before.
 *
 * Readers never take mmap_lock: it would order what the VMA lock must order. They
 * pretend to run on changing CPUs, and move while they hold one or two VMAs. VMAs
 * become hot at random. A CPU has two slots, so some readers find no free slot.
 */
#include <linux/vma_lock.h>

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mm.h"

#define MAX_READERS 3
#define MAX_WRITERS 2

/*
 * The first two scenes are for windows of a few instructions: they have no delays,
 * and only two pages.
 */
static const struct scene {
	const char *name;
	int readers, writers;
	bool remote;	/* Readers come and go, threads of the process or not. */
	bool borrower;	/* The last writer is no thread of it, and has no reference. */
	bool close;
} scenes[] = {
	{ "a reader that comes and goes, and the process", 1, 1, true, false, true },
	{ "the process, and a borrower of its mm", 1, 1, false, true, true },
	{ "threads of the process", 3, 2, false, false, false },
	{ "readers that come and go, a borrower of the mm", 3, 2, true, true, false },
};

static const struct scene *scene;
static struct mm_struct mm;
static struct task_struct *writers[MAX_WRITERS];
static bool stop;
static int start;	/* Threads that have started */

/* The contents of page tables: changed only under the VMA lock, or by one reader */
static struct {
	unsigned long value[2];			/* both equal, except for writers */
	unsigned long touched[MAX_READERS];	/* zero after unmapping */
} pte[NR_PAGES];

enum writer_op {
	WIDE, WIDE_KILLABLE, WIDE_TRY, NARROW, NARROW_KILLABLE, NARROW_TRY,
	NARROW_TO_WIDE, MAP, UNMAP, UNMAP_FAILS, SPLIT, REPLACE, NR_OPS
};
static const char *const op_names[NR_OPS] = {
	"wide", "wide, killable", "wide, tried", "narrow", "narrow, killable",
	"narrow, tried", "narrow to wide", "map", "unmap", "failed unmap", "split",
	"replace"
};
static unsigned long done[NR_OPS], gave_up[NR_OPS], reads[MAX_READERS];
static unsigned long in_slot[MAX_READERS];

#define CHECK(c)							\
	do {								\
		if (!(c)) {						\
			fprintf(stderr, "# %s:%d: not %s\n", __FILE__, __LINE__, #c); \
			_exit(1);					\
		}							\
	} while (0)

static _Thread_local unsigned int seed;

static unsigned int roll(unsigned int n)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed % n;
}

/* Called in the windows of the protocol. Rarely yields to another thread. */
static void delay(void)
{
	if (!scene->close && !roll(64))
		sched_yield();
}

static bool heat(void)
{
	return roll(2);
}

/* --- readers */
static void move_cpu(void)
{
	current->cpu = roll(scene->close ? 2 : SHIM_CPUS);
}

static unsigned long flags_of(struct vm_area_struct *vma)
{
	return vma->vm_start ^ vma->vm_end ^ 0x5a5a;
}

static unsigned long some_page(void)
{
	return roll(scene->close ? 2 : NR_PAGES);
}

/* @nested: the reader holds another VMA already. */
static void read_one(int me, bool nested)
{
	unsigned long address = some_page() * PAGE_SIZE + roll(PAGE_SIZE);
	unsigned long page = address >> PAGE_SHIFT, value, start, n;
	struct vm_area_struct *vma;

	move_cpu();
	vma = current->mm == &mm && roll(4) ? lock_own_vma_under_rcu(&mm, address) :
					      lock_vma_under_rcu(&mm, address);
	if (!vma)
		return;
	in_slot[me] += current->vma_slot && !nested;
	start = vma->vm_start;
	value = pte[page].value[0];
	n = ++pte[page].touched[me];
	CHECK(vma->vm_mm == &mm);
	CHECK(start <= address && address < vma->vm_end);

	if (!scene->close && !roll(8))
		task_kill(writers[roll(scene->writers)]);
	if (!scene->close && !roll(16))
		sched_yield();
	if (!nested && !roll(8))
		read_one(me, true);
	if (!roll(8))
		vma_read_may_sleep(vma);
	move_cpu();

	CHECK(vma->vm_start == start && vma->vm_flags == flags_of(vma));
	CHECK(pte[page].value[0] == value && pte[page].value[1] == value);
	CHECK(pte[page].touched[me] >= n);
	vma_end_read(vma);
	reads[me]++;
}

static void thread_starts(unsigned int n)
{
	seed = 2463534242U + n * 7919;
	__atomic_fetch_add(&start, 1, __ATOMIC_RELAXED);
	while (READ_ONCE(start) < scene->readers + scene->writers)
		sched_yield();
}

static void *reader_thread(void *arg)
{
	int me = (long)arg;

	current = task_new(&mm);
	current->threads = scene->remote || !scene->borrower;
	thread_starts(me);
	while (!READ_ONCE(stop)) {
		if (scene->remote) {
			atomic_add_return(1, &mm.mm_users);
			/* Only a thread of the process makes a VMA hot. */
			current->mm = roll(2) ? &mm : NULL;
		}
		for (int n = roll(8); n >= 0; n--)
			read_one(me, false);
		if (scene->remote)
			atomic_add_return(-1, &mm.mm_users);
	}
	return NULL;
}

/* --- writers */
static void change(struct vm_area_struct *vma)
{
	for (unsigned long page = vma->vm_start >> PAGE_SHIFT;
	     page < vma->vm_end >> PAGE_SHIFT; page++) {
		pte[page].value[0]++;
		delay();
		pte[page].value[1]++;
	}
}

static void change_all(void)
{
	MA_STATE(mas, &mm.mm_mt, 0, 0);
	struct vm_area_struct *vma;

	mas_for_each(&mas, vma, ULONG_MAX)
		change(vma);
}

static void zap(unsigned long start, unsigned long end)
{
	for (unsigned long page = start >> PAGE_SHIFT; page < end >> PAGE_SHIFT; page++) {
		memset(pte[page].touched, 0, sizeof(pte[page].touched));
		pte[page].value[0] = pte[page].value[1] = 0;
	}
}

/* As in the kernel: attach and store in either order, then complete it in the tree */
static void link_new(unsigned long start, unsigned long end)
{
	struct vm_area_struct *vma = vm_area_alloc(&mm, start, end);

	if (roll(2)) {
		vma_mark_attached(vma);
		vma_store(vma);
	} else {
		vma_store(vma);
		delay();
		vma_mark_attached(vma);
	}
	vma->vm_flags = flags_of(vma);
	change(vma);
}

static void resize(struct vm_area_struct *vma, unsigned long start, unsigned long end)
{
	vma->vm_start = start;
	delay();
	vma->vm_end = end;
	vma->vm_flags = flags_of(vma);
}

static void map(unsigned long start)
{
	unsigned long end = start + PAGE_SIZE;

	for (int n = roll(6); n && end < NR_PAGES * PAGE_SIZE; n--, end += PAGE_SIZE)
		if (mm.mm_mt.slot[end >> PAGE_SHIFT])
			break;
	link_new(start, end);
}

/* Out of the tree before or after the flag is set. Zapped after the downgrade. */
static void unmap(struct vm_area_struct *vma)
{
	bool first = roll(2);

	if (first)
		vma_mark_detached(vma);
	mt_store(&mm.mm_mt, vma->vm_start, vma->vm_end, NULL);
	if (!first)
		vma_mark_detached(vma);
	mmap_write_downgrade(&mm);
	zap(vma->vm_start, vma->vm_end);
	vm_area_free(vma);
	mmap_read_unlock(&mm);
}

static void unmap_fails(struct vm_area_struct *vma)
{
	struct maple_tree side = { { NULL } };

	mt_store(&side, vma->vm_start, vma->vm_end, vma);
	vma_mark_detached(vma);
	delay();
	vma_unmark_detached_all(&side);
	change(vma);
}

static void split(struct vm_area_struct *vma)
{
	unsigned long pages = (vma->vm_end - vma->vm_start) >> PAGE_SHIFT;
	unsigned long at, end = vma->vm_end;

	if (pages < 2)
		return;
	at = vma->vm_start + PAGE_SIZE * (1 + roll(pages - 1));
	resize(vma, vma->vm_start, at);
	link_new(at, end);
}

/* One VMA takes the place of its neighbour, which is freed at once. */
static int replace(struct vm_area_struct *vma)
{
	unsigned long page = vma->vm_end >> PAGE_SHIFT;
	struct vm_area_struct *next = page < NR_PAGES ? mm.mm_mt.slot[page] : NULL;

	if (!next)
		return 0;
	if (vma_start_write_killable(next))
		return -EINTR;
	resize(vma, vma->vm_start, next->vm_end);
	vma_store(vma);
	vma_mark_detached(next);
	vm_area_free(next);
	return 0;
}

static int lock_wide(enum writer_op op)
{
	switch (op) {
	case WIDE_KILLABLE:
		return mmap_write_lock_killable(&mm);
	case WIDE_TRY:
		return mmap_write_trylock(&mm) ? 0 : -EAGAIN;
	default:
		mmap_write_lock(&mm);
		return 0;
	}
}

/* mmap_lock is held, narrow; returns with it released. */
static int write_narrow(enum writer_op op, unsigned long page)
{
	struct vm_area_struct *vma = mm.mm_mt.slot[page];
	int ret = 0;

	if (!vma) {
		map(page << PAGE_SHIFT);
		mmap_write_unlock(&mm);
		return 0;
	}
	if (op == NARROW_KILLABLE || op == REPLACE)
		ret = vma_start_write_killable(vma);
	else if (op == NARROW_TRY)
		ret = vma_try_start_write(vma) ? 0 : -EAGAIN;
	else
		vma_start_write(vma);
	if (ret)
		goto unlock;
	change(vma);
	switch (op) {
	case UNMAP:
		unmap(vma);
		return 0;
	case UNMAP_FAILS:
		unmap_fails(vma);
		break;
	case SPLIT:
		split(vma);
		break;
	case REPLACE:
		ret = replace(vma);
		break;
	case NARROW_TO_WIDE:
		ret = vma_start_write_all_killable(&mm);
		if (ret)
			change(vma);	/* This VMA is still locked. */
		else
			change_all();
		break;
	default:
		break;
	}
unlock:
	mmap_write_unlock(&mm);
	return ret;
}

static int write_one(enum writer_op op)
{
	int ret;

	if (op > WIDE_TRY) {
		mmap_write_lock_narrow(&mm);
		return write_narrow(op, some_page());
	}
	ret = lock_wide(op);
	if (ret)
		return ret;
	change_all();
	if (roll(2))
		mmap_write_unlock(&mm);
	else {
		mmap_write_downgrade(&mm);
		mmap_read_unlock(&mm);
	}
	return 0;
}

static void *writer_thread(void *arg)
{
	long me = (long)arg;

	current = writers[me];
	thread_starts(scene->readers + me);
	while (!READ_ONCE(stop)) {
		enum writer_op op = roll(NR_OPS);

		if (scene->close && op != MAP)
			op = roll(2) ? WIDE : NARROW;
		if (write_one(op))
			__atomic_fetch_add(&gave_up[op], 1, __ATOMIC_RELAXED);
		else
			__atomic_fetch_add(&done[op], 1, __ATOMIC_RELAXED);
		WRITE_ONCE(current->killed, false);
		if (!scene->close && !roll(4))
			sched_yield();
	}
	return NULL;
}

static void run(int seconds)
{
	pthread_t threads[MAX_READERS + MAX_WRITERS];
	struct timespec t = { .tv_sec = seconds };
	MA_STATE(mas, &mm.mm_mt, 0, 0);
	struct vm_area_struct *vma;
	unsigned long sum = 0, slots = 0;
	int hot = 0;

	mm_init(&mm, scene->remote || scene->borrower ? 1 :
		scene->readers + scene->writers);
	memset(pte, 0, sizeof(pte));
	memset(done, 0, sizeof(done));
	memset(gave_up, 0, sizeof(gave_up));
	memset(vm_event, 0, sizeof(vm_event));
	memset(reads, 0, sizeof(reads));
	memset(in_slot, 0, sizeof(in_slot));
	stop = false;
	start = 0;
	for (int i = 0; i < scene->writers; i++)
		writers[i] = task_new(&mm);
	if (scene->borrower)
		writers[scene->writers - 1]->flags = PF_KTHREAD;
	shim_watchdog(seconds + 20);
	for (long i = 0; i < scene->readers + scene->writers; i++)
		CHECK(!pthread_create(&threads[i], NULL,
				      i < scene->readers ? reader_thread : writer_thread,
				      (void *)(i < scene->readers ? i : i - scene->readers)));
	nanosleep(&t, NULL);	/* a duration; orders nothing */
	WRITE_ONCE(stop, true);
	for (int i = 0; i < scene->readers + scene->writers; i++)
		pthread_join(threads[i], NULL);

	mas_for_each(&mas, vma, ULONG_MAX) {
		CHECK(vma_lock_refs(vma) == 0);
		hot += !!vma->vma_lock.hot;
		free(vma);
	}
	CHECK(atomic_read(&mm.vma_lock.nr_hot) == hot);
	CHECK(slots_are_free());
	for (int i = 0; i < scene->readers; i++)
		sum += reads[i];
	for (int i = 0; i < scene->readers; i++)
		slots += in_slot[i];
	printf("# %lu reads, %lu in slots; not, for want of a VMA: %d; write-locked: %d; detached: %d; moved: %d\n",
	       sum, slots, vm_event[VMA_LOCK_FALLBACK_NO_VMA],
	       vm_event[VMA_LOCK_FALLBACK_WRITE_LOCKED],
	       vm_event[VMA_LOCK_FALLBACK_DETACHED], vm_event[VMA_LOCK_FALLBACK_MOVED]);
	printf("# writers, and those that gave up:");
	for (int i = 0; i < NR_OPS; i++) {
		printf(" %s %lu/%lu%s", op_names[i], done[i], gave_up[i],
		       i + 1 < NR_OPS ? "," : "\n");
		CHECK(done[i] || scene->close);
	}
	/* In a process with one thread no VMA becomes hot. */
	CHECK(sum > slots && (slots || (scene->borrower && !scene->remote)));
}

int main(int argc, char **argv)
{
	int seconds = shim_number(argc, argv, 2, "usage: stress [-h] [SECONDS]\n"
		"Readers and writers of VMAs of one mm, SECONDS (2) a scene; TAP.\n");

	shim_warn_is_fatal();
	shim_delay = delay;
	shim_heat = heat;
	setlinebuf(stdout);
	printf("TAP version 13\n1..%d\n", ARRAY_SIZE(scenes));
	for (int i = 0; i < ARRAY_SIZE(scenes); i++) {
		scene = &scenes[i];
		run(seconds);
		printf("ok %d stress: %s\n", i + 1, scene->name);
	}
	return 0;
}
