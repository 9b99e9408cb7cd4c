// SPDX-License-Identifier: GPL-2.0
/*
 * Per-VMA locks: publishing readers, excluding them, finding a VMA.
 *
 * <linux/vma_lock.h> has the contract, Documentation/mm/per-vma-locks.rst the
 * argument. Barriers are lettered in pairs: A matches A', B matches B'.
 *
 *	reader					writer (mmap_lock for write)
 *	used = true				mm_lock_seq or vm_lock_seq: locked
 *	refs++			A	A'	smp_mb()
 *	recheck detached, seq		B'	used? refs?
 *	...				C'	wait until refs has no reader
 *	refs--			C		change the VMA
 *				B		mm_lock_seq: unlocked
 *
 * Readers of a hot VMA publish themselves in a slot of the CPU they run on, not
 * in refs, which they would all have to write:
 *
 *	hot?
 *	slot_cpus |= this CPU
 *	slot = vma		A	A'	smp_mb()
 *	recheck seq		B'	used? hot? then, of each CPU in slot_cpus:
 *	recheck hot, detached			slot == vma? count it in refs
 *	...				C'	smp_mb()
 *	...				C'	wait until refs has no reader
 *	slot = NULL, or refs--	C		change the VMA
 *
 * A claim is fully ordered, so that with whatever a slot holds later comes what the
 * readers did that had it before (C, C').
 *
 * Readers that are known to sleep for long are counted: a slot that they hold is
 * one less for every process that runs on the CPU.
 *
 * A with A' is Dekker's: of a reader and a writer at least one sees the other.
 * What the VMA is made of was stored before B, and is read after B'. What a
 * reader did was done before C, and the writer goes on after C'.
 */
#include <linux/bitops.h>
#include <linux/cpumask.h>
#include <linux/dcache.h>
#include <linux/export.h>
#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/maple_tree.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/rcuwait.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/smp.h>
#include <linux/shmem_fs.h>
#include <linux/vma_lock.h>
#include <linux/vmstat.h>
#include <linux/xarray.h>

#include <trace/events/lock.h>
#define CREATE_TRACE_POINTS
#include <trace/events/vma_lock.h>

/*
 * Exports: what inline functions of headers call that modules use, and nothing
 * else. A module is as free to call mmap_write_lock() as it was before.
 */
#ifdef CONFIG_DEBUG_LOCK_ALLOC
static struct lock_class_key vma_lock_key;
/* One name, too: lockdep compares the pointers. */
static const char vma_lock_name[] = "vma_lock";

/* For vma_init(): lockdep's own function is not for every module. */
void vma_lock_init_map(struct vm_area_struct *vma)
{
	lockdep_init_map(&vma->vma_lock.dep_map, vma_lock_name, &vma_lock_key, 0);
}
EXPORT_SYMBOL(vma_lock_init_map);

/* Waiting for readers: tell lockdep, whoever they are, before sleeping. */
static struct lockdep_map vma_lock_map = {
	.name = vma_lock_name,
	.key = &vma_lock_key,
};

static void vma_lock_might_wait(void)
{
	lock_acquire_exclusive(&vma_lock_map, 0, 0, NULL, _RET_IP_);
	lock_release(&vma_lock_map, _RET_IP_);
}
#else
static inline void vma_lock_might_wait(void) { }
#endif

/* C': what the last reader did happened before what we do next. */
static bool vma_drained(struct vm_area_struct *vma)
{
	return !((unsigned int)atomic_read_acquire(&vma->vma_lock.refs) &
		 VMA_LOCK_READERS);
}

/* A counted reader less. */
static void vma_unpublish(struct vm_area_struct *vma)
{
	/* The caller's reference to the mm keeps it. */
	struct mm_struct *mm = vma->vm_mm;

	/*
	 * C; fully ordered, for want of a form that is release and no more.
	 * @vma is not touched afterwards: the writer may be freeing it.
	 */
	if (unlikely(atomic_add_negative(-1, &vma->vma_lock.refs)))
		rcuwait_wake_up(&mm->vma_lock.writer);
}

/* What readers of hot VMAs hold: a line a CPU, written there for the most part. */
#define VMA_SLOTS	(SMP_CACHE_BYTES / sizeof(unsigned long))

struct vma_slots {
	unsigned long slot[VMA_SLOTS];
};

static DEFINE_PER_CPU_ALIGNED(struct vma_slots, vma_slots);

/* In a slot, beside the VMA: a writer has counted this reader in refs. */
#define VMA_SLOT_COUNTED	1UL

/*
 * A free slot, with the VMA in it, or NULL. Of this CPU, if the task stays there.
 * The task remembers one slot: for a second VMA there is the count.
 *
 * A bit of slot_cpus stands for all CPUs whose numbers are equal modulo 64. It is
 * set before A and read after A', and never cleared. A task that is moved here
 * claims a slot of the CPU whose bit it has set.
 */
static __always_inline unsigned long *vma_claim_slot(struct mm_struct *mm,
						     struct vm_area_struct *vma)
{
	unsigned int cpu = raw_smp_processor_id();
	unsigned long *slot, *end;

	if (unlikely(current->vma_slot))
		return NULL;
	/* Not read twice: slot and bit are of the same CPU. */
	OPTIMIZER_HIDE_VAR(cpu);
	slot = per_cpu_ptr(&vma_slots, cpu)->slot;
	end = slot + VMA_SLOTS;
	if (unlikely(!(READ_ONCE(mm->vma_lock.slot_cpus) & BIT_MASK(cpu))))
		set_bit(cpu % BITS_PER_LONG, &mm->vma_lock.slot_cpus);
	vma_lock_delay();
	do {
		/* A: fully ordered, if it succeeds. */
		if (likely(!READ_ONCE(*slot)) &&
		    likely(!cmpxchg(slot, 0, (unsigned long)vma)))
			return slot;
	} while (++slot < end);
	count_vm_vma_lock_event(VMA_LOCK_SLOTS_FULL);
	return NULL;
}

/* False if @slot, the current task's, has another VMA in it. */
static bool vma_return_slot(struct vm_area_struct *vma, unsigned long *slot)
{
	/* C, and the VMA is not touched afterwards, as in vma_unpublish() */
	unsigned long was = cmpxchg_release(slot, (unsigned long)vma, 0);

	if (likely(was == (unsigned long)vma))
		return true;
	if (was != ((unsigned long)vma | VMA_SLOT_COUNTED))
		return false;
	/*
	 * Marked: nobody but us changes it. Should we die in the wakeup, the
	 * slot is another task's already: see vma_lock_exit().
	 */
	current->vma_slot = NULL;
	WRITE_ONCE(*slot, 0);
	vma_unpublish(vma);
	return true;
}

/* How many CPUs a writer looks at that makes a VMA of @mm cold, at most. */
static unsigned int vma_slot_cpus(struct mm_struct *mm)
{
	return hweight_long(READ_ONCE(mm->vma_lock.slot_cpus)) *
		DIV_ROUND_UP(nr_cpu_ids, BITS_PER_LONG);
}

/*
 * Readers come from different CPUs all the time: for each the line of the VMA
 * moves. Only a reader that is counted in refs makes a VMA hot: the writer that
 * has not seen it yet waits for it.
 *
 * Only faults and their like count. A reader of /proc/PID/maps, say, comes from any
 * CPU, but now and then: it must not make writers look into slots.
 */
static noinline void vma_heat(struct vm_area_struct *vma, u64 seq, u8 cpu)
{
	struct mm_struct *mm = vma->vm_mm;
	unsigned int moves = READ_ONCE(vma->vma_lock.moves);
	unsigned int enough = VMA_LOCK_MOVES * (1 + vma_slot_cpus(mm));

	if (atomic_read(&mm->vma_lock.nr_hot) >= VMA_LOCK_MANY_HOT)
		enough *= VMA_LOCK_MANY_HOT;
	WRITE_ONCE(vma->vma_lock.cpu, cpu);
	if (moves < min_t(unsigned int, enough, U16_MAX) &&
	    !vma_lock_heat_now()) {
		WRITE_ONCE(vma->vma_lock.moves, moves + 1);
		return;
	}
	/*
	 * One number for one period in which the VMA is hot, whoever else may
	 * be about to say so; but for a writer that gave up: vma_has_readers()
	 * shows the VMA hot to the next one.
	 */
	if (!READ_ONCE(vma->vma_lock.hot) && !thread_group_empty(current) &&
	    !cmpxchg_relaxed(&vma->vma_lock.hot, 0, seq)) {
		atomic_inc(&mm->vma_lock.nr_hot);
		trace_vma_lock_hot(vma);
	}
}

static void vma_clear_hot(struct vm_area_struct *vma)
{
	WRITE_ONCE(vma->vma_lock.hot, 0);
	WRITE_ONCE(vma->vma_lock.moves, 0);
	atomic_dec(&vma->vm_mm->vma_lock.nr_hot);
}

/* Count the reader in @slot, if it is one of @vma. */
static void vma_count_slot(struct vm_area_struct *vma, unsigned long *slot)
{
	while (READ_ONCE(*slot) == (unsigned long)vma) {
		/* First, for it may leave at once. */
		atomic_inc(&vma->vma_lock.refs);
		if (cmpxchg(slot, (unsigned long)vma,
			    (unsigned long)vma | VMA_SLOT_COUNTED) ==
		    (unsigned long)vma)
			return;
		atomic_dec(&vma->vma_lock.refs);
	}
}

/*
 * Count the readers that are in slots: from here on refs has them all. The
 * caller is between A' and C'. A reader that is not seen here has claimed its slot
 * after A', sees the sequence, and leaves.
 */
static noinline void vma_make_cold(struct vm_area_struct *vma)
{
	unsigned long cpus;
	int bit, cpu, i;

	trace_vma_lock_cold(vma);
	vma_clear_hot(vma);
	/*
	 * A claim that is not seen below sees that the VMA is cold, also if we
	 * give up and take the sequence back. Its claim is the other barrier.
	 */
	smp_mb();
	cpus = READ_ONCE(vma->vm_mm->vma_lock.slot_cpus);
	for_each_set_bit(bit, &cpus, BITS_PER_LONG) {
		for (cpu = bit; cpu < nr_cpu_ids; cpu += BITS_PER_LONG) {
			unsigned long *slot;

			if (!cpu_possible(cpu))
				continue;
			slot = per_cpu_ptr(&vma_slots, cpu)->slot;
			for (i = 0; i < VMA_SLOTS; i++)
				vma_count_slot(vma, slot + i);
		}
	}
	/* C', for all that have just left: the loads above may overlap. */
	smp_mb();
}

/*
 * Behind A': do readers still have to leave? Whether the VMA is hot is looked at
 * behind C', for one that was counted may have made it so and left. From then on
 * nobody can, until the write lock ends.
 */
static bool vma_has_readers(struct vm_area_struct *vma)
{
	bool drained = vma_drained(vma);

	if (likely(!READ_ONCE(vma->vma_lock.hot)))
		return !drained;
	vma_make_cold(vma);
	return !vma_drained(vma);
}

/*
 * Wait until no reader is published. Whoever publishes meanwhile sees WAITED,
 * the sequence or DETACHED, and leaves again without having touched anything.
 *
 * The mm has one waiter at a time: mmap_lock is held for write.
 */
static int vma_drain(struct vm_area_struct *vma, bool killable)
{
	struct mm_struct *mm = vma->vm_mm;
	int ret;

	trace_vma_lock_wait(vma);
	trace_contention_begin(&vma->vma_lock, LCB_F_WRITE);
	do {
		/*
		 * Fully ordered, and on the word that readers decrement: a
		 * reader that leaves after this sees WAITED and wakes us, one
		 * that left before is not counted any more when we look.
		 */
		atomic_fetch_or(VMA_LOCK_WAITED, &vma->vma_lock.refs);
		ret = rcuwait_wait_event(&mm->vma_lock.writer, vma_drained(vma),
					 killable ? TASK_KILLABLE :
						    TASK_UNINTERRUPTIBLE);
		/*
		 * A late waker holds no reference to the VMA, only to the mm,
		 * and finds no task in @writer, or one that bears being woken
		 * for nothing.
		 */
		atomic_andnot(VMA_LOCK_WAITED, &vma->vma_lock.refs);
		/* Made hot by one of those that we waited for? */
	} while (!ret && unlikely(READ_ONCE(vma->vma_lock.hot)) &&
		 vma_has_readers(vma));
	trace_contention_end(&vma->vma_lock, ret);
	trace_vma_lock_waited(vma);
	return ret;
}

/*
 * Can nobody but the caller be a reader, or be looking for a VMA? Every reader
 * holds mm_users for itself, and the caller is none, for it was allowed to wait
 * for mmap_lock. (A kernel thread that borrows the mm need not hold any, so the
 * one may not be its own.)
 * The acquire orders us after the mmput() of a reader that is gone; one that
 * takes its reference later comes after A' and sees the sequence. With no
 * users at all the mm is being torn down.
 */
static bool mm_has_no_others(struct mm_struct *mm)
{
	int users = atomic_read_acquire(&mm->mm_users);

	return users == 0 || (users == 1 && current->mm == mm &&
			      !(current->flags & PF_KTHREAD));
}

static bool mm_has_no_readers(struct mm_struct *mm)
{
	/* Pairs with A: set before a reader publishes itself, never cleared. */
	return !READ_ONCE(mm->vma_lock.used) || mm_has_no_others(mm);
}

/* From here on every reader that comes sees all VMAs write-locked. */
static void mm_mark_write_locked(struct mm_struct *mm)
{
	VM_WARN_ON_ONCE(mm->vma_lock.mm_lock_seq & VMA_SEQ_WIDE);
	WRITE_ONCE(mm->vma_lock.mm_lock_seq,
		   mm->vma_lock.mm_lock_seq | VMA_SEQ_HELD | VMA_SEQ_WIDE);
	smp_mb();	/* A' */
	vma_lock_delay();
}

/*
 * They are not, after all: nothing was changed on the strength of it. What a
 * narrow hold locked before stays locked, by its own number.
 */
static void mm_unmark_write_locked(struct mm_struct *mm)
{
	smp_store_release(&mm->vma_lock.mm_lock_seq, /* B, with B' */
			  mm->vma_lock.mm_lock_seq & ~VMA_SEQ_WIDE);
}

int __vma_start_write_all(struct mm_struct *mm, bool killable)
{
	MA_STATE(mas, &mm->mm_mt, 0, 0);
	struct vm_area_struct *vma;
	int ret = 0;

	/* A narrow hold that is to become wide may be so already. */
	if (unlikely(mm->vma_lock.mm_lock_seq & VMA_SEQ_WIDE))
		return 0;
	mm_mark_write_locked(mm);
	vma_lock_might_wait();

	if (mm_has_no_readers(mm))
		return 0;

	mas_for_each(&mas, vma, ULONG_MAX) {
		cond_resched();
		if (likely(!vma_has_readers(vma)))
			continue;
		ret = vma_drain(vma, killable);
		if (ret) {
			mm_unmark_write_locked(mm);
			break;
		}
	}
	return ret;
}
EXPORT_SYMBOL(__vma_start_write_all);

/**
 * vma_try_start_write_all - exclude every reader of an mm if that needs no wait
 * @mm: the mm, mmap_lock held for write
 *
 * For whoever only tries mmap_lock, maybe because it holds a lock (a page's,
 * say) that a reader may be waiting for.
 *
 * Context: Does not sleep.
 * Return: false if some VMA has a reader: no VMA is locked by this then. The
 * caller is to end its hold with vma_end_write_all() as ever.
 */
bool vma_try_start_write_all(struct mm_struct *mm)
{
	MA_STATE(mas, &mm->mm_mt, 0, 0);
	struct vm_area_struct *vma;

	mm_mark_write_locked(mm);

	/* The caller may be a reader itself: mm_users would not tell. */
	if (!READ_ONCE(mm->vma_lock.used))
		return true;

	mas_for_each(&mas, vma, ULONG_MAX) {
		if (unlikely(vma_has_readers(vma))) {
			mm_unmark_write_locked(mm);
			return false;
		}
	}
	return true;
}
EXPORT_SYMBOL(vma_try_start_write_all);

/* Whether readers still have to leave, once new ones see the VMA locked. */
static bool vma_set_write_locked(struct vm_area_struct *vma)
{
	u64 seq = vma->vm_mm->vma_lock.mm_lock_seq;

	lockdep_assert_held_write(&vma->vm_mm->mmap_lock);
	VM_WARN_ON_ONCE(!(seq & VMA_SEQ_HELD));
	WRITE_ONCE(vma->vma_lock.vm_lock_seq, seq);
	vma_lock_delay();
	smp_mb();	/* A' */
	vma_lock_delay();
	return vma_has_readers(vma);
}

/*
 * Whoever fails puts the previous number back, and not zero, which a reader
 * could take, beside an old mm_lock_seq, for "never locked".
 */
static noinline int vma_drain_or_undo(struct vm_area_struct *vma,
				      bool killable, u64 old)
{
	int ret = vma_drain(vma, killable);

	if (ret)
		WRITE_ONCE(vma->vma_lock.vm_lock_seq, old);
	return ret;
}

/* The caller has seen that the VMA is not write-locked yet. */
int __vma_start_write(struct vm_area_struct *vma, bool killable)
{
	u64 old = vma->vma_lock.vm_lock_seq;

	vma_lock_might_wait();
	if (likely(!vma_set_write_locked(vma)))
		return 0;
	return vma_drain_or_undo(vma, killable, old);
}

/**
 * vma_try_start_write - exclude the readers of a VMA if that needs no wait
 * @vma: the VMA, of an mm whose mmap_lock the caller holds for write
 *
 * Context: Does not sleep.
 * Return: false if the VMA has a reader; it is not locked then.
 */
bool vma_try_start_write(struct vm_area_struct *vma)
{
	u64 old = vma->vma_lock.vm_lock_seq;

	if (vma_write_locked_at(vma, vma->vm_mm->vma_lock.mm_lock_seq) ||
	    likely(!vma_set_write_locked(vma)))
		return true;
	WRITE_ONCE(vma->vma_lock.vm_lock_seq, old);
	return false;
}

/**
 * vma_start_write_mmap_file - before a file's ->mmap() is called
 * @mm: the mm, mmap_lock held for write
 * @file: the file to be mapped
 *
 * File systems that use the page cache fill in the VMA at hand and no more. What
 * a driver's ->mmap() looks at or changes is not known here, whether it is that of
 * a device or of a file in sysfs (which has ram_aops): it gets the wide form, unless
 * the driver says that it needs no other VMA (vma_lock_mmap). For a file of an
 * overlay, the file system below counts.
 *
 * Context: May sleep until the readers have left.
 * Return: 0, or -EINTR after a fatal signal.
 */
int vma_start_write_mmap_file(struct mm_struct *mm, struct file *file)
{
	struct inode *inode = d_real_inode(file->f_path.dentry);
	const struct address_space_operations *aops = inode->i_mapping->a_ops;

	if ((S_ISREG(inode->i_mode) && aops->read_folio && aops != &ram_aops) ||
	    shmem_mapping(inode->i_mapping) || is_file_hugepages(file) ||
	    file->f_op->vma_lock_mmap)
		return 0;
	return vma_start_write_all_killable(mm);
}

/* The first time; see vma_mark_attached(). */
void __vma_mark_attached(struct vm_area_struct *vma)
{
	WRITE_ONCE(vma->vma_lock.vm_lock_seq, vma->vm_mm->vma_lock.mm_lock_seq);
	/*
	 * Clears both flags, which are set. Atomic, for a reader may have found
	 * the VMA already, and is about to let go of it again. Release: a
	 * reader that comes after (A) and no longer sees NEW sees the number,
	 * and the hold.
	 */
	atomic_sub_return_release(VMA_LOCK_NEW | VMA_LOCK_DETACHED,
				  &vma->vma_lock.refs);
}

/**
 * vma_mark_detached - a VMA leaves the tree
 * @vma: the VMA, write-locked
 *
 * Readers may find it until it is out of the tree, and under RCU for longer, and
 * the write lock ends with the next release or downgrade of mmap_lock, perhaps
 * before the VMA is freed. From here on they see DETACHED instead. Those that
 * counted themselves before it, and are about to see the write lock, must have
 * done so before that lock ends: hence the wait, which is for a few instructions
 * of theirs and no longer. Those in slots look at DETACHED after the sequence.
 *
 * Context: May sleep, not for long.
 */
void vma_mark_detached(struct vm_area_struct *vma)
{
	vma_assert_write_locked(vma);
	vma_assert_attached(vma);
	/* Hot still, if the writer has found no other task in the mm. */
	if (unlikely(READ_ONCE(vma->vma_lock.hot)))
		vma_clear_hot(vma);
	vma_lock_delay();

	/* Fully ordered: is to the readers' increment what A' is to A. */
	if ((unsigned int)atomic_fetch_or(VMA_LOCK_DETACHED,
					  &vma->vma_lock.refs) &
	    VMA_LOCK_READERS)
		vma_drain(vma, false);
}

/**
 * vma_unmark_detached_all - the VMAs of a side tree stay where they are
 * @tree: the tree; they have not left that of their mm, and are write-locked
 *
 * Context: Any.
 */
void vma_unmark_detached_all(struct maple_tree *tree)
{
	MA_STATE(mas, tree, 0, 0);
	struct vm_area_struct *vma;

	mas_for_each(&mas, vma, ULONG_MAX) {
		vma_assert_write_locked(vma);
		/* Release: who no longer sees DETACHED sees the write lock. */
		atomic_fetch_andnot_release(VMA_LOCK_DETACHED,
					    &vma->vma_lock.refs);
	}
}

/**
 * vma_lock_free_now - may the VMA be freed without a grace period?
 * @vma: a VMA in no tree
 *
 * Yes if it never was in a tree, or if nobody is there who could have found it.
 *
 * Context: Any.
 */
bool vma_lock_free_now(const struct vm_area_struct *vma)
{
	if (vma_lock_refs(vma) & VMA_LOCK_NEW)
		return true;
	/*
	 * The VMA is out of the tree before mm_users is read. A reader that
	 * takes its reference later has a full barrier before its lookup, in
	 * lock_vma_under_rcu() and vma_lock_next(), and does not find the VMA.
	 */
	smp_mb();
	if (mm_has_no_others(vma->vm_mm))
		return true;
	/* A reader could lock it now and keep it past the grace period. */
	WARN_ON_ONCE(vma_is_attached(vma));
	return false;
}

/* @brief: the reader seldom sleeps for long, and may take a slot. */
static __always_inline bool __vma_start_read(struct mm_struct *mm,
					     struct vm_area_struct *vma,
					     bool brief)
{
	unsigned long *slot;
	u64 seq, hot = 0;
	u8 cpu;

	/* A glance, to save the writes below when there is no hope. */
	if (vma_write_locked_at(vma, READ_ONCE(mm->vma_lock.mm_lock_seq)))
		return false;

	if (unlikely(!READ_ONCE(mm->vma_lock.used)))
		WRITE_ONCE(mm->vma_lock.used, true);

	if (brief)
		hot = READ_ONCE(vma->vma_lock.hot);
	vma_lock_delay();
	if (hot) {
		slot = vma_claim_slot(mm, vma);	/* A */
		if (likely(slot))
			goto claimed;
	}

	/* A: fully ordered. Any flag makes the number large. */
	if (unlikely((unsigned int)atomic_fetch_inc(&vma->vma_lock.refs) >=
		     VMA_LOCK_READERS))
		goto unpublish;
	vma_lock_delay();

	/*
	 * B': the acquire pairs with the release in vma_end_write_all(). If
	 * the number is one that a writer has yet to change, that writer sees
	 * us (A'). vm_lock_seq is read after it: with the number of one hold
	 * comes the vm_lock_seq of the holds before.
	 */
	seq = smp_load_acquire(&mm->vma_lock.mm_lock_seq);
	if (unlikely(vma_write_locked_at(vma, seq)))
		goto unpublish;
	vma_lock_delay();

	cpu = raw_smp_processor_id();
	if (brief && unlikely(READ_ONCE(vma->vma_lock.cpu) != cpu))
		vma_heat(vma, seq, cpu);
	return true;

unpublish:
	vma_unpublish(vma);
	return false;

claimed:
	vma_lock_delay();
	/*
	 * B'. It has to be hot since before A, or the next writer need not
	 * know, and would not look for us; and attached, for a writer that
	 * detaches the VMA does not. Both come with the number of that hold.
	 */
	seq = smp_load_acquire(&mm->vma_lock.mm_lock_seq);
	if (unlikely(vma_write_locked_at(vma, seq) ||
		     READ_ONCE(vma->vma_lock.hot) != hot ||
		     !vma_is_attached(vma))) {
		vma_return_slot(vma, slot);
		return false;
	}
	current->vma_slot = slot;
	return true;
}

static __always_inline void vma_lock_acquired(struct vm_area_struct *vma)
{
#ifdef CONFIG_DEBUG_LOCK_ALLOC
	lock_acquire_shared(&vma->vma_lock.dep_map, 0, 1, NULL, _RET_IP_);
#endif
}

/**
 * vma_start_read - lock a VMA for reading, or say that it can't be had
 * @vma: the VMA, found in the tree of an mm of which the caller holds a
 *	reference of its own to mm_users, and kept from being freed by RCU
 *
 * Until vma_end_read() nobody changes the VMA, its place in the tree or its
 * page tables in a way that mmap_lock held for read would have prevented. Other
 * VMAs may change. The holder may sleep, for as long as it likes; it may only try
 * mmap_lock, never wait for it.
 *
 * Context: rcu_read_lock(). Does not sleep.
 * Return: true if locked. Not, if a writer has the VMA or it left the tree.
 */
bool vma_start_read(struct vm_area_struct *vma)
{
	if (!__vma_start_read(vma->vm_mm, vma, false))
		return false;
	vma_lock_acquired(vma);
	return true;
}

/**
 * vma_read_may_sleep - the holder of a VMA lock is about to sleep for long
 * @vma: the VMA, which the current task has locked for reading, or not
 *
 * Gives up the slot of the CPU, if the reader has one, and counts it. Counted
 * first: a writer that sees the slot empty (C, C') sees the count. A slot of the
 * task's own, marked as counted, has the VMA from then on: vma_end_read() and
 * vma_lock_exit() find it there.
 *
 * Context: Any.
 */
void vma_read_may_sleep(struct vm_area_struct *vma)
{
	unsigned long *slot = current->vma_slot;

	if (!slot || slot == &current->vma_counted)
		return;
	atomic_inc(&vma->vma_lock.refs);
	vma_lock_delay();
	if (vma_return_slot(vma, slot)) {
		current->vma_counted = (unsigned long)vma | VMA_SLOT_COUNTED;
		current->vma_slot = &current->vma_counted;
	} else {	/* It has another VMA in it. */
		vma_unpublish(vma);
	}
}

/**
 * vma_end_read - let go of a VMA that vma_start_read() locked
 * @vma: the VMA; it may be freed as soon as this is called
 *
 * By the task that locked it, which still holds the reference to the mm under
 * which it did so.
 *
 * Context: Any.
 */
void vma_end_read(struct vm_area_struct *vma)
{
	unsigned long *slot = current->vma_slot;

#ifdef CONFIG_DEBUG_LOCK_ALLOC
	lock_release(&vma->vma_lock.dep_map, _RET_IP_);
#endif
	/* Held twice, in a slot and by count, it does not matter which goes. */
	if (slot && likely(vma_return_slot(vma, slot)))
		current->vma_slot = NULL;
	else
		vma_unpublish(vma);
}

/**
 * vma_lock_fork - a new task holds no VMA lock
 * @tsk: the task, a copy of the current one
 *
 * Context: Any.
 */
void vma_lock_fork(struct task_struct *tsk)
{
	tsk->vma_slot = NULL;
	tsk->vma_counted = 0;
}

/**
 * vma_lock_exit - give up the VMA lock of a task that dies with it
 * @tsk: the current task, which will not touch the VMA any more
 *
 * After an oops in a fault, that is. A slot is not part of the VMA, so it would
 * outlive it: exit_mmap() frees VMAs without looking for readers, and a writer of
 * whatever VMA has the address next would wait for a task that is dead.
 *
 * The VMA has not been freed: writers wait for the slot while mm_users counts
 * its owner. A thread of the mm has its reference until exit_mm(), and a reader
 * of another process' mm has died with the one that it took. Lockdep is off since
 * the oops.
 *
 * A VMA that is held by count stays held, for nothing says by whom: its writers
 * wait until the mm is torn down, as they do for a task that has died with
 * mmap_lock. The count goes with the VMA.
 *
 * Context: Process context. Does not sleep.
 */
void vma_lock_exit(struct task_struct *tsk)
{
	unsigned long *slot = tsk->vma_slot;
	struct vm_area_struct *vma;

	if (likely(!slot))
		return;
	/* Not WARN(): the oops has been reported, and need not be a panic. */
	pr_warn("vma_lock: %s/%d dies with a VMA locked\n", tsk->comm,
		task_pid_nr(tsk));
	/* First: if this oopses, it is not tried again. */
	tsk->vma_slot = NULL;
	/* Nobody else changes the slot, but to mark it. */
	vma = (struct vm_area_struct *)(READ_ONCE(*slot) & ~VMA_SLOT_COUNTED);
	vma_return_slot(vma, slot);
}

/**
 * vma_lock_fallback - somebody takes mmap_lock, as without VMA locks
 * @mm: the mm
 * @address: where it is about, or some address of the VMA, or 0
 * @reason: VMA_LOCK_FALLBACK_*, as in /proc/vmstat and in the trace event
 *
 * Context: Any.
 */
void vma_lock_fallback(struct mm_struct *mm, unsigned long address,
		       enum vm_event_item reason)
{
	count_vm_vma_lock_event(reason);
	trace_vma_lock_fallback(mm, address, reason);
}

/*
 * How often a lookup is tried that meets a node which a writer is replacing. A writer
 * on another CPU may have replaced it by then. A writer that this task has preempted
 * goes on when this task sleeps, which the caller does for mmap_lock.
 */
#define VMA_WALK_TRIES	64

/**
 * vma_tree_walk - mas_walk() under RCU, that does not wait for a writer
 * @mas: the state, at its start, for the tree of an mm
 *
 * Context: The caller holds the RCU read lock. Does not sleep.
 * Return: the VMA, NULL if there is none, or XA_RETRY_ENTRY: a writer is at work.
 */
void *vma_tree_walk(struct ma_state *mas)
{
	int tries = VMA_WALK_TRIES;
	void *entry;

	while (unlikely(xa_is_retry(entry = mas_try_walk(mas))) && --tries)
		cpu_relax();
	return entry;
}

/* As lock_vma_under_rcu(). The caller holds its reference since before it ran. */
static __always_inline struct vm_area_struct *lock_vma(struct mm_struct *mm,
						       unsigned long address,
						       bool brief)
{
	MA_STATE(mas, &mm->mm_mt, address, address);
	struct vm_area_struct *vma;
	enum vm_event_item why;

	rcu_read_lock();
	vma = vma_tree_walk(&mas);
	if (unlikely(!vma)) {
		why = VMA_LOCK_FALLBACK_NO_VMA;
		goto abort;
	}
	if (xa_is_retry(vma)) {
		why = VMA_LOCK_FALLBACK_WRITE_LOCKED;
		goto abort;
	}

	vma_lock_delay();

	/*
	 * The walk may have met a node that a writer was replacing, so the VMA
	 * may have left the tree or not hold the address (any more). It has not
	 * been freed, for it was in this tree since rcu_read_lock(); so it is
	 * of this mm, too.
	 */
	if (unlikely(!__vma_start_read(mm, vma, brief))) {
		if (vma_is_attached(vma)) {
			why = VMA_LOCK_FALLBACK_WRITE_LOCKED;
			goto abort;
		}
		why = VMA_LOCK_FALLBACK_DETACHED;
		goto miss;
	}
	vma_lock_acquired(vma);
	VM_WARN_ON_ONCE(vma->vm_mm != mm);
	if (unlikely(address < vma->vm_start || address >= vma->vm_end)) {
		vma_end_read(vma);
		why = VMA_LOCK_FALLBACK_MOVED;
		goto miss;
	}
	rcu_read_unlock();
	return vma;

miss:
	count_vm_vma_lock_event(VMA_LOCK_MISS);
abort:
	rcu_read_unlock();
	vma_lock_fallback(mm, address, why);
	count_vm_vma_lock_event(VMA_LOCK_ABORT);
	return NULL;
}

/**
 * lock_own_vma_under_rcu - lock_vma_under_rcu() for a short time
 * @mm: current->mm
 * @address: the address
 *
 * For page faults, which release the VMA before most waits for I/O. A holder that
 * is about to sleep for long calls vma_read_may_sleep() first. The reference to
 * mm_users is the task's own, which it got before it ran: no barrier is needed here.
 *
 * Context: Process context. Does not sleep.
 * Return: the VMA, locked for reading, or NULL.
 */
struct vm_area_struct *lock_own_vma_under_rcu(struct mm_struct *mm,
					      unsigned long address)
{
	return lock_vma(mm, address, true);
}

/**
 * lock_vma_under_rcu - find the VMA that holds an address, and lock it
 * @mm: the mm; the caller holds a reference of its own to mm_users
 * @address: the address
 *
 * NULL says nothing about the address: there may be no VMA, or one with a
 * writer. The caller takes mmap_lock to learn more. What the caller needs of
 * the VMA besides its range it checks itself, now that it holds still.
 *
 * Context: Process context. Does not sleep.
 * Return: the VMA, locked for reading, or NULL.
 */
struct vm_area_struct *lock_vma_under_rcu(struct mm_struct *mm,
					  unsigned long address)
{
	/* Taking a reference to another mm orders nothing: get_task_mm(). */
	if (mm != current->mm)
		smp_mb(); /* the reference first; with vma_lock_free_now() */
	return lock_vma(mm, address, false);
}
