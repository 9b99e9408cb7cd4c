// SPDX-License-Identifier: GPL-2.0
/*
 * Unit tests of mm/vma_lock.c: each state, and each transition between states.
 *
 * A hook in vma_lock_delay(), which is called in each window of the protocol, runs the
 * writer's code in the middle of a reader's call. So the interleaving is the same in
 * every run. There are threads only for tasks that sleep. The tests wait for what the
 * threads do, never for time.
 */
#include <linux/vma_lock.h>

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mm.h"

static struct mm_struct mm;
static struct vm_area_struct *one, *two;	/* pages 1-2 and 4 */
static struct task_struct *reader, *other, *writer;
static bool failed;

#define EXPECT(c)							\
	do {								\
		if (!(c)) {						\
			printf("# line %d: not %s\n", __LINE__, #c);	\
			failed = true;					\
		}							\
	} while (0)
#define EXPECT_WARNING(what)						\
	do {								\
		int __warned = shim_warned;				\
									\
		what;							\
		EXPECT(shim_warned > __warned);				\
		shim_warned = __warned;					\
	} while (0)

/* --- helpers of the tests */
static struct vm_area_struct *mapped(unsigned long first, unsigned long last)
{
	struct vm_area_struct *vma = vm_area_alloc(&mm, first << PAGE_SHIFT,
						   (last + 1) << PAGE_SHIFT);

	mmap_write_lock_narrow(&mm);
	vma_mark_attached(vma);
	vma_store(vma);
	mmap_write_unlock(&mm);
	return vma;
}

/* For a reader that may sleep for long, and so is counted */
static bool read_lock_long_by(struct task_struct *who, struct vm_area_struct *vma)
{
	struct task_struct *task = current;
	bool ret;

	current = who;
	rcu_read_lock();
	ret = vma_start_read(vma);
	rcu_read_unlock();
	current = task;
	return ret;
}

static bool read_lock_by(struct task_struct *who, struct vm_area_struct *vma)
{
	struct task_struct *task = current;
	bool ret;

	current = who;
	ret = lock_own_vma_under_rcu(&mm, vma->vm_start);
	current = task;
	return ret;
}

static void read_unlock_by(struct task_struct *who, struct vm_area_struct *vma)
{
	struct task_struct *task = current;

	current = who;
	vma_end_read(vma);
	current = task;
}

static bool readable_by(struct task_struct *who, struct vm_area_struct *vma)
{
	bool ret = read_lock_by(who, vma);

	if (ret)
		read_unlock_by(who, vma);
	return ret;
}

static bool read_lock(struct vm_area_struct *vma)
{
	return read_lock_by(reader, vma);
}

static void read_unlock(struct vm_area_struct *vma)
{
	read_unlock_by(reader, vma);
}

static bool readable(struct vm_area_struct *vma)
{
	return readable_by(reader, vma);
}

/* The whole state of the lock */
struct state {
	u64 mm_seq, one_seq, two_seq;
	unsigned int one_refs, two_refs;
};

static struct state state(void)
{
	struct state s;

	memset(&s, 0, sizeof(s));
	s.mm_seq = mm.vma_lock.mm_lock_seq;
	s.one_seq = one->vma_lock.vm_lock_seq;
	s.two_seq = two->vma_lock.vm_lock_seq;
	s.one_refs = vma_lock_refs(one);
	s.two_refs = vma_lock_refs(two);
	return s;
}

static bool same(struct state a)
{
	struct state b = state();

	return !memcmp(&a, &b, sizeof(a));
}

/* Run @fn once, as the writer, in the @n-th window from now. */
static int windows;
static void (*in_window)(void);

static void count_windows(void)
{
	void (*fn)(void) = in_window;
	struct task_struct *task = current;

	if (!fn || --windows)
		return;
	in_window = NULL;
	current = writer;
	fn();
	current = task;
}

static void in_nth_window(int n, void (*fn)(void))
{
	windows = n;
	in_window = fn;
}

/* Run @fn as the writer after the @n-th load of @address from now. */
static const void *watched;
static int reads_left;

static int slot_reads;

void shim_read(const void *address)
{
	const unsigned long *slots = shim_vma_slots;

	slot_reads += address >= (void *)slots &&
		      address < (void *)(slots + NR_SLOTS * SHIM_CPUS);
	if (address != watched || --reads_left)
		return;
	watched = NULL;
	windows = 1;
	count_windows();
}

static void in_nth_read(const void *address, int n, void (*fn)(void))
{
	watched = address;
	reads_left = n;
	in_nth_window(INT_MAX, fn);
}

/* A writer that may have to sleep, in a thread of its own */
struct sleeper {
	pthread_t thread;
	int (*fn)(void);
	int ret;
	bool done;
};

static void *sleeper_thread(void *arg)
{
	struct sleeper *s = arg;

	current = writer;
	s->ret = s->fn();
	WRITE_ONCE(s->done, true);
	return NULL;
}

static void sleeper_start(struct sleeper *s, int (*fn)(void))
{
	s->fn = fn;
	s->done = false;
	writer->sleeps = 0;
	if (pthread_create(&s->thread, NULL, sleeper_thread, s)) {
		perror("unit: pthread_create");
		exit(2);
	}
}

/* Wait until it sleeps for the @n-th time. False if it did not need to sleep. */
static bool sleeper_sleeps(struct sleeper *s, int n)
{
	/* sleeper_end() joins; this only looks. */
	while (!READ_ONCE(s->done)) {
		if (READ_ONCE(writer->sleeps) >= n)
			return true;
		sched_yield();
	}
	return false;
}

static int sleeper_end(struct sleeper *s)
{
	pthread_join(s->thread, NULL);
	return s->ret;
}

static int lock_one(void)
{
	mmap_write_lock_narrow(&mm);
	vma_start_write(one);
	return 0;
}

static int lock_one_killable(void)
{
	mmap_write_lock_narrow(&mm);
	return vma_start_write_killable(one);
}

static int lock_all(void)
{
	mmap_write_lock(&mm);
	return 0;
}

static int lock_all_killable(void)
{
	return mmap_write_lock_killable(&mm);
}

static int detach_one(void)
{
	mmap_write_lock_narrow(&mm);
	one->vma_lock.vm_lock_seq = mm.vma_lock.mm_lock_seq;
	vma_mark_detached(one);
	return 0;
}

/* --- the tests */
static void test_new(void)
{
	struct vm_area_struct *vma = vm_area_alloc(&mm, 0, PAGE_SIZE);

	EXPECT(vma_lock_refs(vma) == (VMA_LOCK_NEW | VMA_LOCK_DETACHED));
	EXPECT(!vma_is_attached(vma));
	vma_assert_detached(vma);
	EXPECT(!readable(vma));
	EXPECT(vma_lock_refs(vma) == (VMA_LOCK_NEW | VMA_LOCK_DETACHED));
	EXPECT(vma_can_free_now(vma));
	vm_area_free(vma);
}

static void test_attach(void)
{
	struct vm_area_struct *vma = vm_area_alloc(&mm, 0, PAGE_SIZE);

	mmap_write_lock_narrow(&mm);
	vma_mark_attached(vma);
	EXPECT(vma_lock_refs(vma) == 0);
	vma_assert_attached(vma);
	vma_assert_write_locked(vma);
	vma_store(vma);
	EXPECT(!readable(vma));
	vma_mark_attached(vma);
	EXPECT(vma_lock_refs(vma) == 0);
	mmap_write_unlock(&mm);
	EXPECT(readable(vma));
	mmap_write_lock_narrow(&mm);
	vma_mark_attached(vma);		/* stored again: this does not lock it */
	EXPECT(readable(vma));
	mmap_write_unlock(&mm);
	free(vma);
}

static void test_readers(void)
{
	EXPECT(!mm.vma_lock.used);
	for (int i = 1; i <= 3; i++) {
		EXPECT(read_lock(one));
		EXPECT(vma_lock_refs(one) == (unsigned int)i);
	}
	EXPECT(mm.vma_lock.used);
	vma_assert_locked(one);
	EXPECT(vma_lock_refs(two) == 0);
	for (int i = 2; i >= 0; i--) {
		read_unlock(one);
		EXPECT(vma_lock_refs(one) == (unsigned int)i);
	}
}

static void test_wide(void)
{
	struct state before;
	int validated = shim_validated;

	EXPECT(readable(one));
	mmap_write_lock(&mm);
	before = state();
	EXPECT(!readable(one) && !readable(two));
	vma_start_write(one);
	EXPECT(!vma_start_write_killable(one));
	EXPECT(vma_try_start_write(one));
	vma_start_write_all(&mm);
	EXPECT(same(before));
	vma_assert_write_locked(two);
	vma_assert_no_faults(two);
	mmap_write_unlock(&mm);
	EXPECT(mm.vma_lock.mm_lock_seq == (before.mm_seq & ~VMA_SEQ_MASK) + VMA_SEQ_STEP);
	EXPECT(readable(one) && readable(two));
	EXPECT(shim_validated == validated + 1);
}

static void test_narrow(void)
{
	struct state before;

	mmap_write_lock_narrow(&mm);
	EXPECT(readable(one) && readable(two));
	vma_start_write(one);
	before = state();
	vma_assert_write_locked(one);
	vma_assert_locked(one);
	EXPECT(!readable(one));
	EXPECT(readable(two));
	vma_start_write(one);
	EXPECT(!vma_start_write_killable(one));
	EXPECT(vma_try_start_write(one));
	EXPECT(same(before));
	mmap_write_unlock(&mm);
	EXPECT(readable(one));
}

static void test_narrow_to_wide(void)
{
	mmap_write_lock_narrow(&mm);
	vma_start_write(one);
	vma_start_write_all(&mm);
	EXPECT(!readable(one) && !readable(two));
	mmap_write_unlock(&mm);
	EXPECT(readable(one) && readable(two));
}

static void test_downgrade(void)
{
	EXPECT(readable(one));
	mmap_write_lock(&mm);
	mmap_write_downgrade(&mm);
	EXPECT(readable(one) && readable(two));
	EXPECT(!mmap_write_trylock(&mm));
	mmap_read_unlock(&mm);
	mmap_write_lock_narrow(&mm);
	vma_start_write(one);
	mmap_write_downgrade(&mm);
	EXPECT(readable(one));
	mmap_read_unlock(&mm);
}

static void test_try_one(void)
{
	struct state before;

	EXPECT(read_lock(one));
	mmap_write_lock_narrow(&mm);
	before = state();
	EXPECT(!vma_try_start_write(one));
	EXPECT(same(before));
	EXPECT(readable(one));
	EXPECT(vma_try_start_write(two));
	EXPECT(!readable(two));
	read_unlock(one);
	EXPECT(vma_try_start_write(one));
	EXPECT(!readable(one));
	mmap_write_unlock(&mm);
}

static void test_try_all(void)
{
	struct state before;

	EXPECT(mmap_write_trylock(&mm));	/* never used: no VMA is looked at */
	mmap_write_unlock(&mm);
	EXPECT(read_lock(two));
	mmap_write_lock_narrow(&mm);
	vma_start_write(one);
	before = state();
	EXPECT(!vma_try_start_write_all(&mm));
	EXPECT(same(before));
	EXPECT(!readable(one) && readable(two));
	mmap_write_unlock(&mm);
	EXPECT(!mmap_write_trylock(&mm));
	EXPECT(!(mm.vma_lock.mm_lock_seq & VMA_SEQ_MASK));
	EXPECT(readable(one));
	read_unlock(two);
	EXPECT(mmap_write_trylock(&mm));
	EXPECT(!readable(one) && !readable(two));
	mmap_write_unlock(&mm);
}

/* The only user of the mm may be a reader itself: the try form looks for readers. */
static void test_try_all_by_a_reader(void)
{
	atomic_set(&mm.mm_users, 1);
	EXPECT(read_lock(two));
	EXPECT(!mmap_write_trylock(&mm));
	read_unlock(two);
}

/* Each of three readers wakes the writer. Only the last wake-up ends its wait. */
static void drain(int (*fn)(void), bool wide)
{
	struct sleeper s;

	for (int i = 0; i < 3; i++)
		EXPECT(read_lock(one));
	sleeper_start(&s, fn);
	for (int i = 1; i <= 3; i++) {
		EXPECT(sleeper_sleeps(&s, i));
		EXPECT(vma_lock_refs(one) == (VMA_LOCK_WAITED | (4U - i)));
		EXPECT(readable(two) == !wide);
		read_unlock(one);
	}
	EXPECT(sleeper_end(&s) == 0);
	EXPECT(writer->sleeps == 3);
	EXPECT(vma_lock_refs(one) == 0);
	EXPECT(!mm.vma_lock.writer.task);
	EXPECT(!readable(one));
	current = writer;
	mmap_write_unlock(&mm);
	EXPECT(readable(one));
}
static void test_drain_one(void) { drain(lock_one, false); }
static void test_drain_all(void) { drain(lock_all, true); }

static void test_late_reader(void)
{
	struct sleeper s;

	EXPECT(read_lock(one));
	sleeper_start(&s, lock_one);
	EXPECT(sleeper_sleeps(&s, 1));
	/* A reader that passed the glance before: sees WAITED, leaves, and wakes. */
	one->vma_lock.vm_lock_seq = 0;
	EXPECT(!read_lock(one));
	EXPECT(sleeper_sleeps(&s, 2));
	EXPECT(vma_lock_refs(one) == (VMA_LOCK_WAITED | 1));
	one->vma_lock.vm_lock_seq = mm.vma_lock.mm_lock_seq;
	read_unlock(one);
	sleeper_end(&s);
	current = writer;
	mmap_write_unlock(&mm);
	EXPECT(readable(one));
}

static void test_woken_for_nothing(void)
{
	struct sleeper s;

	rcuwait_wake_up(&mm.vma_lock.writer);		/* there is no waiter */
	EXPECT(read_lock(one));
	sleeper_start(&s, lock_one);
	EXPECT(sleeper_sleeps(&s, 1));
	rcuwait_wake_up(&mm.vma_lock.writer);
	EXPECT(sleeper_sleeps(&s, 2));
	task_kill(writer);		/* its wait is not killable */
	read_unlock(one);
	EXPECT(sleeper_end(&s) == 0);
	current = writer;
	mmap_write_unlock(&mm);
}

static void test_killed_one(void)
{
	struct state before;
	struct sleeper s;

	EXPECT(read_lock(one));
	/* Killed before it sleeps */
	writer->killed = true;
	current = writer;
	mmap_write_lock_narrow(&mm);
	before = state();
	EXPECT(vma_start_write_killable(one) == -EINTR);
	EXPECT(same(before));
	EXPECT(vma_start_write_killable(two) == 0);	/* needs no sleep */
	EXPECT(!readable(two));
	EXPECT(readable(one));
	mmap_write_unlock(&mm);
	EXPECT(readable(two));

	/* Killed while it sleeps */
	writer->killed = false;
	before = state();
	sleeper_start(&s, lock_one_killable);
	EXPECT(sleeper_sleeps(&s, 1));
	task_kill(writer);
	EXPECT(sleeper_end(&s) == -EINTR);
	before.mm_seq |= VMA_SEQ_HELD;
	EXPECT(same(before));
	EXPECT(!mm.vma_lock.writer.task);
	EXPECT(readable(one));
	mmap_write_unlock(&mm);
	read_unlock(one);
}

static void test_killed_all(void)
{
	struct state before;
	struct sleeper s;

	EXPECT(read_lock(two));
	before = state();
	sleeper_start(&s, lock_all_killable);
	EXPECT(sleeper_sleeps(&s, 1));
	EXPECT(!readable(one));
	task_kill(writer);
	EXPECT(sleeper_end(&s) == -EINTR);
	before.mm_seq += VMA_SEQ_STEP;
	EXPECT(same(before));
	EXPECT(readable(one) && readable(two));

	/* A narrow hold that fails to become wide keeps what it had locked. */
	current = writer;
	writer->killed = true;
	mmap_write_lock_narrow(&mm);
	EXPECT(vma_start_write_killable(one) == 0);
	before = state();
	EXPECT(vma_start_write_all_killable(&mm) == -EINTR);
	EXPECT(same(before));
	EXPECT(!readable(one) && readable(two));
	vma_assert_write_locked(one);
	mmap_write_unlock(&mm);
	read_unlock(two);
	EXPECT(mmap_write_lock_killable(&mm) == 0);	/* needs no sleep */
	mmap_write_unlock(&mm);
}

/* A failed wait leaves the number of an earlier hold, not zero. */
static void test_old_number(void)
{
	u64 old;

	current = writer;
	mmap_write_lock_narrow(&mm);
	vma_start_write(one);
	mmap_write_unlock(&mm);
	old = one->vma_lock.vm_lock_seq;
	EXPECT(old);
	EXPECT(read_lock(one));
	mmap_write_lock_narrow(&mm);
	EXPECT(!vma_try_start_write(one));
	EXPECT(one->vma_lock.vm_lock_seq == old);
	writer->killed = true;
	EXPECT(vma_start_write_killable(one) == -EINTR);
	EXPECT(one->vma_lock.vm_lock_seq == old);
	mmap_write_unlock(&mm);
	read_unlock(one);
}

static void test_detach(void)
{
	mmap_write_lock_narrow(&mm);
	vma_start_write(one);
	vma_mark_detached(one);
	EXPECT(vma_lock_refs(one) == VMA_LOCK_DETACHED);
	EXPECT(!vma_is_attached(one));
	vma_assert_detached(one);
	mmap_write_downgrade(&mm);
	EXPECT(!readable(one));
	EXPECT(vma_lock_refs(one) == VMA_LOCK_DETACHED);
	EXPECT(readable(two));
	mmap_read_unlock(&mm);
}

/* Detaching waits for a reader that is published, and about to see the write lock. */
static void test_detach_drains(void)
{
	struct sleeper s;

	EXPECT(read_lock(one));
	sleeper_start(&s, detach_one);
	EXPECT(sleeper_sleeps(&s, 1));
	EXPECT(vma_lock_refs(one) == (VMA_LOCK_DETACHED | VMA_LOCK_WAITED | 1));
	read_unlock(one);
	sleeper_end(&s);
	EXPECT(vma_lock_refs(one) == VMA_LOCK_DETACHED);
	current = writer;
	mmap_write_unlock(&mm);
	EXPECT(!readable(one));
}

static void test_unmark_detached(void)
{
	struct maple_tree side = { { NULL } };

	mmap_write_lock(&mm);
	vma_mark_detached(one);
	vma_mark_detached(two);
	mt_store(&side, one->vm_start, one->vm_end, one);
	mt_store(&side, two->vm_start, two->vm_end, two);
	vma_unmark_detached_all(&side);
	EXPECT(vma_is_attached(one) && vma_is_attached(two));
	EXPECT(!readable(one));
	mmap_write_unlock(&mm);
	EXPECT(readable(one) && readable(two));
}

static void test_free_now(void)
{
	struct mm_struct other;

	mm_init(&other, 1);
	EXPECT_WARNING(EXPECT(!vma_can_free_now(one)));	/* attached, users */
	mmap_write_lock(&mm);
	vma_mark_detached(one);
	EXPECT(!vma_can_free_now(one));
	atomic_set(&mm.mm_users, 1);
	EXPECT(vma_can_free_now(one));
	current->flags = PF_KTHREAD;
	EXPECT(!vma_can_free_now(one));
	atomic_set(&mm.mm_users, 0);
	EXPECT(vma_can_free_now(one));
	atomic_set(&mm.mm_users, 1);
	current->flags = 0;
	current->mm = &other;
	EXPECT(!vma_can_free_now(one));
	current->mm = &mm;
	mmap_write_unlock(&mm);
}

/* With a reader that never leaves: which writers look for readers? */
static void test_no_others(void)
{
	struct mm_struct other;

	mm_init(&other, 1);
	current = writer;
	EXPECT(readable(one));
	atomic_set(&one->vma_lock.refs, 1);
	writer->killed = true;
	atomic_set(&mm.mm_users, 2);
	EXPECT(mmap_write_lock_killable(&mm) == -EINTR);
	atomic_set(&mm.mm_users, 1);
	EXPECT(mmap_write_lock_killable(&mm) == 0);
	mmap_write_unlock(&mm);
	writer->flags = PF_KTHREAD;
	EXPECT(mmap_write_lock_killable(&mm) == -EINTR);
	writer->flags = 0;
	writer->mm = &other;
	EXPECT(mmap_write_lock_killable(&mm) == -EINTR);
	atomic_set(&mm.mm_users, 0);
	EXPECT(mmap_write_lock_killable(&mm) == 0);
	mmap_write_unlock(&mm);
	atomic_set(&mm.mm_users, 2);
	mm.vma_lock.used = false;
	EXPECT(mmap_write_lock_killable(&mm) == 0);
	mmap_write_unlock(&mm);
	atomic_set(&one->vma_lock.refs, 0);
}

/* Each power of two at which an int or a long could overflow, and the last hold */
static void test_seq(void)
{
	static const u64 near[] = { 1ULL << 31, 1ULL << 32, 1ULL << 63,
				    ~VMA_SEQ_MASK - VMA_SEQ_STEP };

	for (int i = 0; i < ARRAY_SIZE(near); i++) {
		mm.vma_lock.mm_lock_seq = near[i] - 2 * VMA_SEQ_STEP;
		for (int hold = 0; hold < (i == 3 ? 3 : 5); hold++) {
			EXPECT(readable(one) && readable(two));
			mmap_write_lock_narrow(&mm);
			vma_start_write(one);
			EXPECT(one->vma_lock.vm_lock_seq == mm.vma_lock.mm_lock_seq);
			EXPECT(!readable(one) && readable(two));
			vma_start_write_all(&mm);
			EXPECT(!readable(two));
			mmap_write_unlock(&mm);
		}
	}
	EXPECT(readable(one) && readable(two));
}

static void test_write_locked_at(void)
{
	static const struct {
		u64 vm, mm;
		bool locked;
	} cases[] = {
		{ 0, VMA_SEQ_STEP, false },
		{ 0, VMA_SEQ_STEP | VMA_SEQ_HELD, false },
		{ 0, VMA_SEQ_STEP | VMA_SEQ_HELD | VMA_SEQ_WIDE, true },
		{ 5, 5, true },		/* locked in this hold */
		{ 5, 8, false },	/* in the hold before */
		{ 5, 9, false },
		{ 9, 5, true },		/* a new vm_lock_seq with an old mm_lock_seq */
		{ 13, 4, true },
		{ ~0ULL - 2, ~0ULL - 2, true },
		{ 1, ~0ULL - 2, false },
	};

	for (int i = 0; i < ARRAY_SIZE(cases); i++) {
		one->vma_lock.vm_lock_seq = cases[i].vm;
		EXPECT(vma_write_locked_at(one, cases[i].mm) == cases[i].locked);
	}
}

/* --- lookups */
static struct vm_area_struct *lookup(unsigned long address)
{
	struct task_struct *task = current;
	struct vm_area_struct *vma;

	memset(vm_event, 0, sizeof(vm_event));
	current = reader;
	vma = current->mm == &mm ? lock_own_vma_under_rcu(&mm, address) :
				   lock_vma_under_rcu(&mm, address);
	EXPECT(!current->rcu_nesting);
	EXPECT(current->vma_locks == !!vma);
	current = task;
	return vma;
}

static bool counted(enum vm_event_item why, bool miss)
{
	int sum = 0;

	for (int i = 0; i < NR_VMA_LOCK_EVENTS; i++)
		sum += vm_event[i];
	return vm_event[why] == 1 && vm_event[VMA_LOCK_ABORT] == 1 &&
		vm_event[VMA_LOCK_MISS] == miss && sum == 2 + miss;
}

static void test_lookup(void)
{
	static const unsigned long addresses[] = { 0x1000, 0x1fff, 0x2fff };

	for (int i = 0; i < 3; i++) {
		EXPECT(lookup(addresses[i]) == one);
		EXPECT(!vm_event[VMA_LOCK_ABORT] && !vm_event[VMA_LOCK_MISS]);
		EXPECT(vma_lock_refs(one) == 1);
		read_unlock(one);
	}
	EXPECT(!lookup(0x3000));
	EXPECT(counted(VMA_LOCK_FALLBACK_NO_VMA, false));
	EXPECT(!lookup(ULONG_MAX));
	EXPECT(counted(VMA_LOCK_FALLBACK_NO_VMA, false));
}

/* By a task of another process: the same, after a barrier. model.cc shows why. */
static void test_lookup_remote(void)
{
	struct mm_struct *mine = reader->mm;

	reader->mm = NULL;
	EXPECT(lookup(0x1000) == one);
	EXPECT(vma_lock_refs(one) == 1);
	read_unlock(one);
	EXPECT(!lookup(0x3000));
	reader->mm = mine;
}

/* A writer has been preempted in the middle of a change of the tree. */
static void test_lookup_dead_node(void)
{
	shim_dead_nodes = 3;
	EXPECT(lookup(0x1000) == one);
	read_unlock(one);
	shim_dead_nodes = 1000000;
	EXPECT(!lookup(0x1000));
	EXPECT(counted(VMA_LOCK_FALLBACK_WRITE_LOCKED, false));
	EXPECT(shim_dead_nodes > 999000);
	shim_dead_nodes = 0;
}

static void test_lookup_write_locked(void)
{
	mmap_write_lock_narrow(&mm);
	vma_start_write(one);
	EXPECT(!lookup(0x1000));
	EXPECT(counted(VMA_LOCK_FALLBACK_WRITE_LOCKED, false));
	EXPECT(vma_lock_refs(one) == 0);
	EXPECT(lookup(0x4000) == two);
	read_unlock(two);
	mmap_write_unlock(&mm);
}

static void test_lookup_detached(void)
{
	mmap_write_lock_narrow(&mm);
	vma_start_write(one);
	vma_mark_detached(one);
	mmap_write_unlock(&mm);
	EXPECT(!lookup(0x1000));	/* it is still in the tree */
	EXPECT(counted(VMA_LOCK_FALLBACK_DETACHED, true));
	EXPECT(vma_lock_refs(one) == VMA_LOCK_DETACHED);
}

/* Windows of a lookup: 1 found, 2 glanced, 3 published, 4 rechecked */
static void shrink_one(void)
{
	lock_one();
	one->vm_end -= PAGE_SIZE;
	mmap_write_unlock(&mm);
}

static void move_one_up(void)
{
	lock_one();
	one->vm_start += PAGE_SIZE;
	mmap_write_unlock(&mm);
}

static void test_lookup_moved(void)
{
	in_nth_window(1, shrink_one);
	EXPECT(!lookup(0x2000));
	EXPECT(counted(VMA_LOCK_FALLBACK_MOVED, true));
	EXPECT(vma_lock_refs(one) == 0);
	in_nth_window(2, move_one_up);
	EXPECT(!lookup(0x1fff));
	EXPECT(counted(VMA_LOCK_FALLBACK_MOVED, true));
	EXPECT(vma_lock_refs(one) == 0);
}

static void hold_one(void)
{
	lock_one();
}

static void hold_all(void)
{
	lock_all();
}

/* The glance saw no writer; the recheck does. */
static void test_writer_after_glance(void)
{
	static void (*const fn[])(void) = { hold_one, hold_all };

	for (int i = 0; i < 2; i++) {
		in_nth_window(2, fn[i]);
		EXPECT(!lookup(0x1000));
		EXPECT(counted(VMA_LOCK_FALLBACK_WRITE_LOCKED, false));
		EXPECT(vma_lock_refs(one) == 0);
		current = writer;
		mmap_write_unlock(&mm);
	}
}

static void detach_whole(void)
{
	detach_one();
	mmap_write_unlock(&mm);
}

/* By then the VMA is detached, and the write lock has ended, too. */
static void test_detach_after_glance(void)
{
	in_nth_window(2, detach_whole);
	EXPECT(!lookup(0x1000));
	EXPECT(counted(VMA_LOCK_FALLBACK_DETACHED, true));
	EXPECT(vma_lock_refs(one) == VMA_LOCK_DETACHED);
}

static void try_both_forms(void)
{
	mmap_write_lock_narrow(&mm);
	EXPECT(!vma_try_start_write(one));
	mmap_write_unlock(&mm);
	EXPECT(!mmap_write_trylock(&mm));
}

/* From its publication on writers see the reader, and it keeps the VMA. */
static void test_writer_after_publication(void)
{
	for (int window = 3; window <= 4; window++) {
		in_nth_window(window, try_both_forms);
		EXPECT(lookup(0x1000) == one);
		EXPECT(!in_window);
		read_unlock(one);
	}
}

static void set_one(void)
{
	EXPECT(one->vma_lock.vm_lock_seq == mm.vma_lock.mm_lock_seq);
	EXPECT(!readable(one));
}

/* A writer sets the number before it looks for readers, in windows 1 and 2. */
static void test_number_before_look(void)
{
	current = writer;
	for (int window = 1; window <= 2; window++) {
		mmap_write_lock_narrow(&mm);
		in_nth_window(window, set_one);
		vma_start_write(one);
		EXPECT(!in_window);
		mmap_write_unlock(&mm);
	}
}

/* --- hot VMAs */

/* Read the VMA as @other, from changing CPUs, until it is hot. How many reads? */
static int heat(struct vm_area_struct *vma)
{
	int n = 0;

	while (!vma->vma_lock.hot && n < 10000) {
		other->cpu = !vma->vma_lock.cpu;
		EXPECT(readable_by(other, vma));
		n++;
	}
	return n;
}

/* Does @who hold @vma in a slot of @cpu, counted in refs by a writer or not? */
static bool in_slot(struct task_struct *who, struct vm_area_struct *vma, int cpu, bool counted)
{
	unsigned long *slots = shim_vma_slots, *slot = who->vma_slot;

	return slot && *slot == ((unsigned long)vma | counted) &&
		(slot - slots) / NR_SLOTS == cpu;
}

static void test_heat(void)
{
	for (int i = 0; i < 100; i++)
		EXPECT(readable(one));
	EXPECT(!one->vma_lock.hot);

	/* Not in a process with one thread, whoever else holds a reference to the mm */
	reader->threads = false;
	for (int i = 0; i < 100; i++) {
		reader->cpu = !reader->cpu;
		EXPECT(readable(one));
	}
	EXPECT(!one->vma_lock.hot);
	EXPECT(heat(one) == 1);

	EXPECT(heat(two) == VMA_LOCK_MOVES + 1);
	EXPECT(two->vma_lock.hot == mm.vma_lock.mm_lock_seq);
	EXPECT(readable(two));
}

/* Readers that may sleep for long are counted in refs. Their moves are not counted. */
static void test_long_readers(void)
{
	struct mm_struct foreign;
	u8 cpu;

	mm_init(&foreign, 2);
	EXPECT(readable(one));
	cpu = one->vma_lock.cpu;
	for (int hot = 0; hot < 2; hot++) {
		for (int i = 0; i < 100; i++) {
			reader->mm = i % 3 ? i % 2 ? &foreign : NULL : &mm;
			reader->cpu = i % SHIM_CPUS;
			EXPECT(read_lock_long_by(reader, one));
			EXPECT(!reader->vma_slot && vma_lock_refs(one) == 1);
			read_unlock(one);
			EXPECT(hot || (one->vma_lock.cpu == cpu && !one->vma_lock.hot &&
				       !one->vma_lock.moves));
		}
		heat(one);
	}
	reader->mm = &mm;
	EXPECT(!lock_one());
	EXPECT(!read_lock_long_by(reader, one));
	mmap_write_unlock(&mm);
}

/* As do_exit() does. Lockdep is off after an oops. */
static void task_dies(struct task_struct *who)
{
	struct task_struct *task = current;
	bool in_slot = who->vma_slot;
	int warned = shim_warned;

	current = who;
	vma_lock_exit(who);
	current = task;
	EXPECT(shim_warned == warned + in_slot);
	shim_warned = warned;
	EXPECT(!who->vma_slot);
	who->vma_locks = 0;
}

/* A reader in a slot that is about to sleep is counted, whatever a writer does. */
static void sleep_long(void)
{
	struct task_struct *task = current;

	current = reader;
	vma_read_may_sleep(one);
	current = task;
}

static void make_cold(void)
{
	EXPECT(!vma_try_start_write(one));
}

static void test_may_sleep(void)
{
	/* A counted reader stays counted. */
	EXPECT(read_lock(one));
	sleep_long();
	EXPECT(vma_lock_refs(one) == 1);
	read_unlock(one);

	heat(one);
	heat(two);
	EXPECT(read_lock(one));
	EXPECT(vma_lock_refs(one) == 0);
	sleep_long();
	EXPECT(reader->vma_slot == &reader->vma_counted);
	EXPECT(slots_are_free() && vma_lock_refs(one) == 1);
	sleep_long();
	EXPECT(vma_lock_refs(one) == 1);
	/* Lock another VMA, and the same VMA once more. */
	EXPECT(read_lock(two));
	EXPECT(read_lock(one));
	EXPECT(vma_lock_refs(one) == 2 && vma_lock_refs(two) == 1);
	read_unlock(two);
	read_unlock(one);
	read_unlock(one);
	EXPECT(vma_lock_refs(one) == 0 && vma_lock_refs(two) == 0);

	/* Another VMA is in the slot. */
	EXPECT(read_lock(two));
	EXPECT(read_lock(one));
	sleep_long();
	EXPECT(in_slot(reader, two, reader->cpu, false) && vma_lock_refs(one) == 1);
	read_unlock(one);
	read_unlock(two);
	EXPECT(vma_lock_refs(one) == 0 && slots_are_free());

	/* The reader dies. */
	EXPECT(read_lock(one));
	sleep_long();
	task_dies(reader);
	EXPECT(vma_lock_refs(one) == 0 && !reader->vma_counted);

	/* Between the count and the slot a writer sees both, and gives up. */
	EXPECT(read_lock(one));
	mmap_write_lock_narrow(&mm);
	in_nth_window(1, make_cold);
	sleep_long();
	EXPECT(!in_window && !one->vma_lock.hot);
	EXPECT(reader->vma_slot == &reader->vma_counted);
	EXPECT(slots_are_free() && vma_lock_refs(one) == 1);
	make_cold();
	read_unlock(one);
	EXPECT(vma_try_start_write(one));
	mmap_write_unlock(&mm);
}

/* How many slots does a writer look at? */
static int slots_looked_at(void)
{
	slot_reads = 0;
	EXPECT(!lock_one());
	mmap_write_unlock(&mm);
	return slot_reads;
}

/* A task claims a slot, maybe of a CPU from which it is moved at that moment. */
static int move_to;

static void move(void)
{
	EXPECT(mm.vma_lock.slot_cpus & BIT_MASK(reader->cpu));
	reader->cpu = move_to;
}

static void claim_on(int cpu, int window)
{
	reader->cpu = cpu;
	move_to = cpu + 1;
	in_nth_window(window, move);
	EXPECT(read_lock(one));
	EXPECT(!in_window && in_slot(reader, one, cpu, false));
	read_unlock(one);
}

static void test_slot_cpus(void)
{
	const int share = SHIM_CPUS / BITS_PER_LONG;

	EXPECT(slots_looked_at() == 0);
	heat(one);
	EXPECT(slots_looked_at() == 0);

	/* Windows of a lookup: 1 found, 2 seen hot, 3 before the claim */
	heat(one);
	claim_on(70, 3);
	EXPECT(mm.vma_lock.slot_cpus == BIT_MASK(70));
	EXPECT(slots_looked_at() == share * NR_SLOTS);
	EXPECT(slots_looked_at() == 0);
	EXPECT(heat(one) == VMA_LOCK_MOVES * (1 + share) + 1);
	claim_on(500, 3);
	EXPECT(mm.vma_lock.slot_cpus == (BIT_MASK(70) | BIT_MASK(500)));
	EXPECT(slots_looked_at() == 2 * share * NR_SLOTS);
}

/* A simulated big machine: slots that writers look at, for each move of a line */
static void test_slots_per_move(void)
{
	static const int threads[] = { 2, 8, 64, SHIM_CPUS };

	for (int i = 0; i < ARRAY_SIZE(threads); i++) {
		int moves = 0, looks = 0;

		for (int n = 0; n < 20; n++) {
			moves += heat(one);
			for (reader->cpu = 0; reader->cpu < threads[i]; reader->cpu++)
				EXPECT(readable(one));
			looks += slots_looked_at();
		}
		printf("# threads on %3d of %d CPUs: %.2f slots looked at for each move of a line\n",
		       threads[i], SHIM_CPUS, (double)looks / moves);
		EXPECT(looks < moves);
	}
}

/* If many VMAs are hot, others need more moves, and the number of hot VMAs is right. */
static void test_many_hot(void)
{
	atomic_set(&mm.vma_lock.nr_hot, VMA_LOCK_MANY_HOT - 1);
	EXPECT(heat(one) == VMA_LOCK_MOVES + 1);
	EXPECT(heat(two) == VMA_LOCK_MOVES * VMA_LOCK_MANY_HOT + 1);
	EXPECT(atomic_read(&mm.vma_lock.nr_hot) == VMA_LOCK_MANY_HOT + 1);
	mmap_write_lock(&mm);
	mmap_write_unlock(&mm);
	EXPECT(atomic_read(&mm.vma_lock.nr_hot) == VMA_LOCK_MANY_HOT - 1);
	atomic_set(&mm.vma_lock.nr_hot, 0);
}

static void test_hot_reader(void)
{
	heat(one);
	for (reader->cpu = 0; reader->cpu < SHIM_CPUS; reader->cpu++) {
		EXPECT(read_lock(one));
		EXPECT(in_slot(reader, one, reader->cpu, false));
		EXPECT(vma_lock_refs(one) == 0);
		vma_assert_locked(one);
		read_unlock(one);
		EXPECT(!reader->vma_slot && slots_are_free());
		EXPECT(vma_lock_refs(one) == 0);
	}
}

static void test_other_cpu(void)
{
	heat(one);
	EXPECT(read_lock(one));
	reader->cpu = 3;
	EXPECT(read_lock_by(other, one));
	read_unlock(one);
	EXPECT(!reader->vma_slot);
	EXPECT(in_slot(other, one, other->cpu, false));
	read_unlock_by(other, one);
	EXPECT(slots_are_free());
}

/* A task's slot is for one VMA. A second VMA, or the same VMA again, is counted. */
static void nested(struct vm_area_struct *second, bool first_goes)
{
	EXPECT(read_lock(one));
	EXPECT(read_lock(second));
	EXPECT(in_slot(reader, one, 0, false));
	EXPECT(vma_lock_refs(second) == 1);
	read_unlock(first_goes ? one : second);
	EXPECT(!reader->vma_slot == (first_goes || second == one));
	EXPECT(vma_lock_refs(second) == (first_goes || second == one));
	read_unlock(first_goes ? second : one);
	EXPECT(vma_lock_refs(second) == 0);
	EXPECT(!reader->vma_slot && slots_are_free());
}

static void test_nested(void)
{
	heat(one);
	heat(two);
	nested(two, false);
	nested(two, true);
	nested(one, true);
}

static void test_slots_full(void)
{
	static struct task_struct tasks[NR_SLOTS + 1];

	heat(one);
	for (int i = 0; i <= NR_SLOTS; i++) {
		EXPECT(read_lock_by(&tasks[i], one));
		EXPECT(in_slot(&tasks[i], one, 0, false) == (i < NR_SLOTS));
	}
	EXPECT(vma_lock_refs(one) == 1);
	for (int i = 0; i <= NR_SLOTS; i++)
		read_unlock_by(&tasks[i], one);
	EXPECT(vma_lock_refs(one) == 0);
}

static void take_a_slot(void)
{
	EXPECT(read_lock_by(other, two));
}

/* Two readers find the same slot free. */
static void test_slot_taken(void)
{
	heat(one);
	heat(two);
	other->cpu = reader->cpu;
	in_nth_read(shim_vma_slots, 1, take_a_slot);
	EXPECT(read_lock(one));
	EXPECT(in_slot(reader, one, 0, false) && in_slot(other, two, 0, false));
	EXPECT(reader->vma_slot != other->vma_slot);
	read_unlock(one);
	read_unlock_by(other, two);
}

/* Readers in slots: they are counted, the writer waits, and the last wakes it. */
static void drain_hot(int (*fn)(void))
{
	struct sleeper s;

	heat(one);
	reader->cpu = 3;
	EXPECT(read_lock(one) && read_lock_by(other, one));
	sleeper_start(&s, fn);
	EXPECT(sleeper_sleeps(&s, 1));
	EXPECT(!one->vma_lock.hot);
	EXPECT(vma_lock_refs(one) == (VMA_LOCK_WAITED | 2));
	EXPECT(in_slot(reader, one, 3, true));
	read_unlock(one);
	EXPECT(sleeper_sleeps(&s, 2));
	EXPECT(vma_lock_refs(one) == (VMA_LOCK_WAITED | 1));
	EXPECT(!reader->vma_slot);
	read_unlock_by(other, one);
	EXPECT(sleeper_end(&s) == 0);
	EXPECT(vma_lock_refs(one) == 0 && slots_are_free());
	EXPECT(!readable(one));
	current = writer;
	mmap_write_unlock(&mm);
	EXPECT(readable(one));
}
static void test_drain_hot_one(void) { drain_hot(lock_one); }
static void test_drain_hot_all(void) { drain_hot(lock_all); }

static void reader_leaves(void)
{
	read_unlock(one);
}

/* A reader leaves its slot when a writer has just seen it there. */
static void test_leaves_uncounted(void)
{
	heat(one);
	EXPECT(read_lock(one));
	mmap_write_lock_narrow(&mm);
	in_nth_read(reader->vma_slot, 1, reader_leaves);
	EXPECT(vma_try_start_write(one));
	EXPECT(!in_window);
	EXPECT(vma_lock_refs(one) == 0);
	mmap_write_unlock(&mm);
}

/* The VMA is cold, a reader in a slot is counted, and no writer waits any more. */
static void expect_counted(struct state before)
{
	before.one_refs = 1;
	EXPECT(same(before));
	EXPECT(!one->vma_lock.hot);
	EXPECT(in_slot(reader, one, 0, true));
	EXPECT(!mm.vma_lock.writer.task);
	EXPECT(readable_by(other, one));
}

static void test_killed_hot(void)
{
	struct state before;
	struct sleeper s;

	heat(one);
	EXPECT(read_lock(one));
	before = state();
	sleeper_start(&s, lock_one_killable);
	EXPECT(sleeper_sleeps(&s, 1));
	task_kill(writer);
	EXPECT(sleeper_end(&s) == -EINTR);
	before.mm_seq |= VMA_SEQ_HELD;
	expect_counted(before);
	current = writer;
	mmap_write_unlock(&mm);
	before = state();
	EXPECT(mmap_write_lock_killable(&mm) == -EINTR);
	before.mm_seq += VMA_SEQ_STEP;
	expect_counted(before);
	heat(one);	/* A reader is counted once, hot or not. */
	EXPECT(mmap_write_lock_killable(&mm) == -EINTR);
	before.mm_seq += VMA_SEQ_STEP;
	expect_counted(before);
	read_unlock(one);
	EXPECT(vma_lock_refs(one) == 0 && slots_are_free());
}

static void test_try_hot(void)
{
	struct state before;

	heat(one);
	EXPECT(read_lock(one));
	mmap_write_lock_narrow(&mm);
	before = state();
	for (int i = 0; i < 2; i++) {
		EXPECT(!vma_try_start_write(one));
		expect_counted(before);
		heat(one);
	}
	EXPECT(!vma_try_start_write_all(&mm));
	expect_counted(before);
	read_unlock(one);
	EXPECT(vma_lock_refs(one) == 0 && slots_are_free());
	heat(one);
	EXPECT(vma_try_start_write(one));
	EXPECT(!one->vma_lock.hot && !readable(one));
	mmap_write_unlock(&mm);

	heat(one);
	EXPECT(read_lock(one));
	before = state();
	EXPECT(!mmap_write_trylock(&mm));
	before.mm_seq += VMA_SEQ_STEP;
	expect_counted(before);
	read_unlock(one);
	EXPECT(mmap_write_trylock(&mm));
	mmap_write_unlock(&mm);
}

/* Windows of a lookup of a hot VMA: 1 found, 2 seen hot, 3 bit set, 4 claimed */
static void lock_and_unlock(void)
{
	lock_one();
	mmap_write_unlock(&mm);
}

static void lock_and_heat(void)
{
	lock_and_unlock();
	heat(one);
}

/* The VMA is no longer hot, or hot again: a writer came that did not see the reader. */
static void test_hot_no_more(void)
{
	static void (*const fn[])(void) = { lock_and_unlock, lock_and_heat };

	for (int i = 0; i < ARRAY_SIZE(fn); i++) {
		heat(one);
		in_nth_window(2, fn[i]);
		EXPECT(!lookup(0x1000));
		EXPECT(counted(VMA_LOCK_FALLBACK_WRITE_LOCKED, false));
		EXPECT(!in_window);
		EXPECT(vma_lock_refs(one) == 0 && slots_are_free());
	}
}

static struct sleeper detacher;

static int detach_locked_one(void)
{
	lock_one();
	vma_mark_detached(one);
	mmap_write_downgrade(&mm);
	return 0;
}

static void start_detacher(void)
{
	sleeper_start(&detacher, detach_locked_one);
	EXPECT(sleeper_sleeps(&detacher, 1));
	EXPECT(vma_lock_refs(one) == (VMA_LOCK_WAITED | 1));
}

/* The writer sees the claim, and waits until the reader has rechecked. */
static void test_detach_claimed(void)
{
	heat(one);
	in_nth_window(4, start_detacher);
	EXPECT(!lookup(0x1000));
	EXPECT(!in_window);
	sleeper_end(&detacher);
	EXPECT(vma_lock_refs(one) == VMA_LOCK_DETACHED && slots_are_free());
	mmap_read_unlock(&mm);
}

/* Detached by the only user, which need not make the VMA cold */
static void test_detached_hot(void)
{
	heat(one);
	atomic_set(&mm.mm_users, 1);
	mmap_write_lock(&mm);
	EXPECT(one->vma_lock.hot);
	vma_mark_detached(one);
	mmap_write_downgrade(&mm);
	atomic_set(&mm.mm_users, 2);
	EXPECT(!one->vma_lock.hot && !atomic_read(&mm.vma_lock.nr_hot));
	/* A reader that saw it hot before */
	one->vma_lock.hot = 1;
	atomic_inc(&mm.vma_lock.nr_hot);
	EXPECT(!lookup(0x1000));
	EXPECT(counted(VMA_LOCK_FALLBACK_DETACHED, true));
	EXPECT(vma_lock_refs(one) == VMA_LOCK_DETACHED && slots_are_free());
	mmap_read_unlock(&mm);
}

static void heat_and_read(void)
{
	one->vma_lock.moves = U16_MAX;
	other->cpu = !one->vma_lock.cpu;
	readable_by(other, one);
	EXPECT(!read_lock(one));
}

/*
 * A writer gives up, and makes the VMA cold. Then comes a claim, and then a writer that
 * waits. During that wait a counted reader makes the VMA hot again. All is in one hold,
 * so the number is the same.
 */
static struct sleeper waiter;
static struct task_struct in_refs;

static int lock_one_in_hold(void)
{
	vma_start_write(one);
	return 0;
}

static void start_waiter(void)
{
	sleeper_start(&waiter, lock_one_in_hold);
	EXPECT(sleeper_sleeps(&waiter, 1));
}

static void heat_beside_waiter(void)
{
	one->vma_lock.moves = U16_MAX;
	other->cpu = !one->vma_lock.cpu;
	in_nth_window(4, start_waiter);
	EXPECT(read_lock_by(other, one));
	EXPECT(!in_window && one->vma_lock.hot == mm.vma_lock.mm_lock_seq);
	read_unlock_by(other, one);
	EXPECT(sleeper_sleeps(&waiter, 2));
	read_unlock_by(&in_refs, one);
	EXPECT(sleeper_sleeps(&waiter, 3));	/* for the claim */
}

static void try_in_hold(void)
{
	EXPECT(!vma_try_start_write(one));
	in_nth_read(&one->vma_lock.vm_lock_seq, 1, heat_beside_waiter);
}

static void test_hot_again(void)
{
	mmap_write_lock_narrow(&mm);
	EXPECT(read_lock_by(&in_refs, one));
	heat(one);
	in_nth_window(2, try_in_hold);
	EXPECT(!read_lock(one));
	EXPECT(!in_window);
	sleeper_end(&waiter);
	EXPECT(vma_lock_refs(one) == 0);
	mmap_write_unlock(&mm);
}

/* A writer checks whether the VMA is hot after it can no longer become hot. */
static void test_hot_look(void)
{
	EXPECT(readable(one));
	mmap_write_lock_narrow(&mm);
	in_nth_read(&one->vma_lock.hot, 1, heat_and_read);
	vma_start_write(one);
	EXPECT(!in_window);
	mmap_write_unlock(&mm);
	in_nth_read(&one->vma_lock.hot, 1, heat_and_read);
	mmap_write_lock(&mm);
	EXPECT(!in_window);
	mmap_write_unlock(&mm);
}

/* --- tasks that die with a VMA lock, by an oops in a fault */

/* A child is a copy of a task that holds a slot, and holds none itself. */
static void test_fork(void)
{
	struct task_struct child;

	heat(one);
	EXPECT(read_lock(one));
	child = *reader;
	EXPECT(child.vma_slot);
	vma_lock_fork(&child);
	EXPECT(!child.vma_slot && reader->vma_slot);
	read_unlock(one);
	EXPECT(slots_are_free());
}

static void test_exit(void)
{
	task_dies(reader);
	heat(one);
	EXPECT(read_lock(one));
	EXPECT(read_lock_by(other, one));
	task_dies(reader);
	EXPECT(in_slot(other, one, other->cpu, false));
	read_unlock_by(other, one);
	EXPECT(slots_are_free() && vma_lock_refs(one) == 0);
	EXPECT(one->vma_lock.hot);
}

/*
 * The mm is torn down without a look for readers, and another mm gets the memory of the
 * VMA. Its writers do not wait for the dead task.
 */
static void test_exit_reused(void)
{
	struct vm_area_struct vma = *one;

	heat(one);
	EXPECT(read_lock(one));
	task_dies(reader);
	atomic_set(&mm.mm_users, 0);
	mmap_write_lock(&mm);
	vma_mark_detached(one);
	mmap_write_unlock(&mm);
	EXPECT(vma_can_free_now(one));

	mm_init(&mm, 2);
	*one = vma;
	one->vma_lock.vm_lock_seq = 0;
	vma_store(one);
	heat(one);
	mmap_write_lock_narrow(&mm);
	EXPECT(vma_try_start_write(one));
	EXPECT(vma_lock_refs(one) == 0);
	mmap_write_unlock(&mm);
	heat(one);
	EXPECT(mmap_write_trylock(&mm));
	mmap_write_unlock(&mm);
}

/* A writer that waits for a dying task is woken, whether or not the task has its mm. */
static void exit_marked(struct mm_struct *of)
{
	struct sleeper s;

	heat(one);
	reader->mm = of;
	EXPECT(read_lock(one));
	EXPECT(read_lock_by(other, one));
	sleeper_start(&s, lock_one);
	EXPECT(sleeper_sleeps(&s, 1));
	EXPECT(in_slot(reader, one, reader->cpu, true));
	EXPECT(vma_lock_refs(one) == (VMA_LOCK_WAITED | 2));
	task_dies(reader);
	EXPECT(sleeper_sleeps(&s, 2));
	EXPECT(vma_lock_refs(one) == (VMA_LOCK_WAITED | 1));
	read_unlock_by(other, one);
	EXPECT(sleeper_end(&s) == 0);
	EXPECT(writer->sleeps == 2);

	EXPECT(!readable(one) && slots_are_free());
	current = writer;
	mmap_write_unlock(&mm);
	reader->mm = &mm;
	heat(one);
	EXPECT(read_lock(one));
	sleeper_start(&s, lock_all);
	EXPECT(sleeper_sleeps(&s, 1));
	task_dies(reader);
	EXPECT(sleeper_end(&s) == 0);
	EXPECT(vma_lock_refs(one) == 0 && slots_are_free());
	current = writer;
	mmap_write_unlock(&mm);
	EXPECT(readable(one));
}

static void test_exit_marked(void)
{
	struct mm_struct foreign;

	mm_init(&foreign, 1);
	exit_marked(&mm);
	exit_marked(&foreign);
	exit_marked(NULL);
}

/* A writer marks the slot when the dying task has just read it. */
static void mark_reader(void)
{
	mmap_write_lock_narrow(&mm);
	EXPECT(!vma_try_start_write(one));
	mmap_write_unlock(&mm);
	EXPECT(vma_lock_refs(one) == 1);
}

static void test_exit_while_marked(void)
{
	heat(one);
	EXPECT(read_lock(one));
	in_nth_read(reader->vma_slot, 1, mark_reader);
	task_dies(reader);
	EXPECT(!in_window);
	EXPECT(vma_lock_refs(one) == 0 && slots_are_free());
}

/* A count does not show whose it is: writers wait until the mm is torn down. */
static void test_exit_counted(void)
{
	EXPECT(read_lock(one));
	task_dies(reader);
	EXPECT(vma_lock_refs(one) == 1);
	mmap_write_lock_narrow(&mm);
	EXPECT(!vma_try_start_write(one));
	mmap_write_unlock(&mm);
	atomic_set(&mm.mm_users, 0);
	mmap_write_lock(&mm);
	mmap_write_unlock(&mm);
	atomic_set(&one->vma_lock.refs, 0);
}

/* --- others */
static void test_mmap_file(void)
{
	static const struct address_space_operations cached = { .read_folio = true };
	static const struct address_space_operations none;
	static const struct {
		const struct address_space_operations *aops;
		mode_t mode;
		bool shmem, hugepages, wide, opted_in;
	} cases[] = {
		{ &cached,   S_IFREG, false, false, false, false },
		{ &cached,   S_IFBLK, false, false, true, false },
		{ &none,     S_IFREG, false, false, true, false },
		{ &ram_aops, S_IFREG, false, false, true, false },
		{ &none,     S_IFREG, true,  false, false, false },
		{ &none,     S_IFREG, false, true,  false, false },
		{ &none,     S_IFCHR, false, false, true, false },
		{ &none,     S_IFCHR, false, false, false, true },
	};

	current = writer;
	EXPECT(read_lock(one));
	for (int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct address_space mapping = { cases[i].aops, cases[i].shmem };
		struct inode inode = { cases[i].mode, &mapping };
		struct dentry dentry = { &inode };
		struct file_operations fops = { cases[i].opted_in };
		struct file file = { { &dentry }, cases[i].hugepages, &fops };

		mmap_write_lock_narrow(&mm);
		writer->killed = true;
		EXPECT(vma_start_write_mmap_file(&mm, &file) ==
		       (cases[i].wide ? -EINTR : 0));
		read_unlock(one);
		EXPECT(vma_start_write_mmap_file(&mm, &file) == 0);
		EXPECT(readable(one) == !cases[i].wide);
		mmap_write_unlock(&mm);
		EXPECT(read_lock(one));
	}
	read_unlock(one);
}

static void test_asserts(void)
{
	struct vm_area_struct *vma = vm_area_alloc(&mm, 0, PAGE_SIZE);

	EXPECT_WARNING(vma_assert_attached(vma));
	EXPECT_WARNING(vma_assert_detached(one));
	EXPECT_WARNING(vma_assert_locked(one));
	EXPECT_WARNING(vma_assert_no_faults(one));
	EXPECT_WARNING(vma_assert_write_locked(one));	/* mmap_lock is not held either */
	mmap_write_lock_narrow(&mm);
	EXPECT_WARNING(vma_assert_write_locked(one));
	EXPECT_WARNING(vma_assert_locked(one));
	EXPECT_WARNING(vma_mark_detached(one));
	vma_assert_stable(one);
	EXPECT_WARNING(vma_start_write_narrow(&mm));
	mmap_write_unlock(&mm);
	EXPECT_WARNING(vma_assert_stable(two));
	EXPECT(read_lock(two));
	vma_assert_stable(two);
	current = other;
	down_write(&mm.mmap_lock);
	current = writer;
	EXPECT_WARNING(vma_assert_stable(two));		/* others hold both locks */
	current = reader;
	vma_assert_stable(two);
	current = writer;
	up_write(&mm.mmap_lock);
	read_unlock(two);
	one->vma_lock.vm_lock_seq = 0;
	EXPECT_WARNING(vma_start_write(one));		/* mmap_lock not held */
	down_write(&mm.mmap_lock);
	EXPECT_WARNING(vma_end_write_all(&mm));
	up_write(&mm.mmap_lock);
	vma_assert_no_faults(vma);
	atomic_set(&mm.mm_users, 0);
	two->vma_lock.vm_lock_seq = 0;
	vma_assert_no_faults(two);
	vm_area_free(vma);
}

/* The holder of a VMA may wait neither for readers nor for mmap_lock. */
static void test_lock_order(void)
{
	current = reader;
	EXPECT(read_lock(two));
	EXPECT_WARNING(mmap_write_lock_narrow(&mm));
	EXPECT_WARNING(vma_start_write(one));
	reader->killed = true;
	EXPECT_WARNING(EXPECT(vma_start_write_all_killable(&mm) == -EINTR));
	mmap_write_unlock(&mm);
	read_unlock(two);
}

static const struct {
	const char *name;
	void (*fn)(void);
} tests[] = {
	{ "a new VMA is nobody's, and freed at once", test_new },
	{ "a VMA enters the tree write-locked", test_attach },
	{ "several readers of one VMA", test_readers },
	{ "wide: every VMA, until mmap_lock is released", test_wide },
	{ "narrow: one VMA", test_narrow },
	{ "a narrow hold becomes wide", test_narrow_to_wide },
	{ "a downgrade lets readers back", test_downgrade },
	{ "try one: fails with a reader, and restores", test_try_one },
	{ "try all: fails with a reader, and restores", test_try_all },
	{ "try all: by the only user, a reader", test_try_all_by_a_reader },
	{ "a writer of one VMA is woken by the last reader", test_drain_one },
	{ "a writer of all is woken by the last reader", test_drain_all },
	{ "a reader that comes while a writer waits leaves", test_late_reader },
	{ "a writer that is woken for nothing waits on", test_woken_for_nothing },
	{ "killed while waiting for one", test_killed_one },
	{ "killed while waiting for all", test_killed_all },
	{ "a failed wait puts the old number back", test_old_number },
	{ "detached: no reader gets in any more", test_detach },
	{ "detaching waits for who is on the way out", test_detach_drains },
	{ "detached, and back", test_unmark_detached },
	{ "when a VMA may be freed at once", test_free_now },
	{ "when readers need not be looked for", test_no_others },
	{ "numbers at 2^31, 2^32, 2^63 and the end", test_seq },
	{ "write-locked, for numbers of any age", test_write_locked_at },
	{ "lookup: finds and locks, or nothing there", test_lookup },
	{ "lookup: by another process", test_lookup_remote },
	{ "lookup: a node that is being replaced", test_lookup_dead_node },
	{ "lookup: write-locked", test_lookup_write_locked },
	{ "lookup: detached", test_lookup_detached },
	{ "lookup: moved meanwhile", test_lookup_moved },
	{ "lookup: a writer comes after the glance", test_writer_after_glance },
	{ "lookup: detached after the glance", test_detach_after_glance },
	{ "lookup: a writer comes after the publication", test_writer_after_publication },
	{ "the number is set before readers are looked for", test_number_before_look },
	{ "hot: after so many changes of CPU, and not for a task alone", test_heat },
	{ "hot: readers that may sleep for long are counted", test_long_readers },
	{ "hot: a reader is about to sleep for long", test_may_sleep },
	{ "hot: a writer looks at CPUs that have claimed", test_slot_cpus },
	{ "hot: what a writer looks at was paid for", test_slots_per_move },
	{ "hot: many VMAs of an mm", test_many_hot },
	{ "hot: readers are in slots of their CPU", test_hot_reader },
	{ "hot: released from another CPU", test_other_cpu },
	{ "hot: the second VMA of a task, and the same twice", test_nested },
	{ "hot: no slot is free", test_slots_full },
	{ "hot: two readers find the same slot free", test_slot_taken },
	{ "hot: a writer of one VMA is woken by the last reader", test_drain_hot_one },
	{ "hot: a writer of all is woken by the last reader", test_drain_hot_all },
	{ "hot: a reader leaves while it is counted", test_leaves_uncounted },
	{ "hot: killed while waiting", test_killed_hot },
	{ "hot: try fails with a reader", test_try_hot },
	{ "hot: a claim lets go of a VMA that was cold meanwhile", test_hot_no_more },
	{ "hot: detaching waits for a claim", test_detach_claimed },
	{ "hot: detached", test_detached_hot },
	{ "hot: a writer looks late enough", test_hot_look },
	{ "hot: a writer looks again, once readers have left", test_hot_again },
	{ "a new task has no slot", test_fork },
	{ "a task dies: its slot is free", test_exit },
	{ "a task dies: a VMA of another mm at the same address", test_exit_reused },
	{ "a task dies: the writer that waits is woken", test_exit_marked },
	{ "a task dies: a writer comes meanwhile", test_exit_while_marked },
	{ "a task dies: a VMA held by count stays held", test_exit_counted },
	{ "which files' ->mmap() gets the wide form", test_mmap_file },
	{ "the assertions warn", test_asserts },
	{ "a reader that waits is reported", test_lock_order },
};

int main(int argc, char **argv)
{
	int nr_failed = 0;

	if (argc > 1) {
		fprintf(stderr, "usage: unit [-h]\nUnit tests of mm/vma_lock.c, as TAP.\n");
		return strcmp(argv[1], "-h") ? 2 : 0;
	}
	setlinebuf(stdout);
	shim_watchdog(3);
	shim_delay = count_windows;
	reader = task_new(&mm);
	other = task_new(&mm);
	writer = task_new(&mm);
	printf("TAP version 13\n1..%d\n", ARRAY_SIZE(tests));
	for (int i = 0; i < ARRAY_SIZE(tests); i++) {
		failed = false;
		shim_warned = 0;
		mm_init(&mm, 2);
		memset(reader, 0, sizeof(*reader));
		memset(other, 0, sizeof(*other));
		memset(writer, 0, sizeof(*writer));
		current = writer;
		reader->mm = other->mm = writer->mm = &mm;
		reader->threads = other->threads = writer->threads = true;
		one = mapped(1, 2);
		two = mapped(4, 4);
		mm.vma_lock.used = false;

		tests[i].fn();

		EXPECT(!in_window);
		EXPECT(!shim_warned);
		EXPECT(!mm.mmap_lock.owner && !mm.mmap_lock.readers);
		EXPECT(!(mm.vma_lock.mm_lock_seq & VMA_SEQ_MASK));
		EXPECT(!(vma_lock_refs(one) & ~VMA_LOCK_DETACHED));
		EXPECT(!reader->vma_locks && !writer->vma_locks);
		EXPECT(!reader->vma_slot && !other->vma_slot && slots_are_free());
		EXPECT(atomic_read(&mm.vma_lock.nr_hot) ==
		       !!one->vma_lock.hot + !!two->vma_lock.hot);
		in_window = NULL;
		watched = NULL;
		free(one);
		free(two);
		nr_failed += failed;
		printf("%s %d unit: %s\n", failed ? "not ok" : "ok", i + 1, tests[i].name);
	}
	return nr_failed != 0;
}
