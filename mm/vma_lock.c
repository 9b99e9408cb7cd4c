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
 * Readers of a hot VMA would all write the cache line of refs. Instead, they
 * publish themselves in a slot of the CPU on which they run:
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
 * A claim is fully ordered. A writer that sees any later value of a slot
 * therefore sees what the earlier holders of that slot did (C, C').
 *
 * Readers that are known to sleep for long are counted in refs. A slot that
 * such a reader held would be missing to every process that runs on the CPU.
 *
 * A and A' form Dekker's pattern: of a reader and a writer, at least one sees
 * the other. A writer stores the contents of the VMA before B, and a reader
 * loads them after B'. A reader's accesses come before C, and the writer goes
 * on after C'.
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
 * Exports: only functions that inline functions of headers call in modules. A
 * module may call mmap_write_lock() as freely as before.
 */
#ifdef CONFIG_DEBUG_LOCK_ALLOC
static struct lock_class_key vma_lock_key;
/* All maps have one name, too: lockdep compares the pointers. */
static const char vma_lock_name[] = "vma_lock";

/* For vma_init(): lockdep's own function is not exported to every module. */
void vma_lock_init_map(struct vm_area_struct *vma)
{
	lockdep_init_map(&vma->vma_lock.dep_map, vma_lock_name, &vma_lock_key, 0);
}
EXPORT_SYMBOL(vma_lock_init_map);

/* Before a writer sleeps, report to lockdep that it waits for readers. */
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

/* C': what the last reader did comes before what the writer does next. */
static bool vma_drained(struct vm_area_struct *vma)
{
	return !((unsigned int)atomic_read_acquire(&vma->vma_lock.refs) &
		 VMA_LOCK_READERS);
}

/* Remove a reader that is counted in refs. */
static void vma_unpublish(struct vm_area_struct *vma)
{
	/* The caller's reference keeps the mm. */
	struct mm_struct *mm = vma->vm_mm;

	/*
	 * C. Fully ordered, because there is no form that is only a release. Do
	 * not touch @vma afterwards: the writer may be freeing it.
	 */
	if (unlikely(atomic_add_negative(-1, &vma->vma_lock.refs)))
		rcuwait_wake_up(&mm->vma_lock.writer);
}

/* Slots of readers of hot VMAs: a cache line per CPU, mostly written there */
#define VMA_SLOTS	(SMP_CACHE_BYTES / sizeof(unsigned long))

struct vma_slots {
	unsigned long slot[VMA_SLOTS];
};

static DEFINE_PER_CPU_ALIGNED(struct vma_slots, vma_slots);

/* In a slot, together with the VMA: this reader is counted in refs. */
#define VMA_SLOT_COUNTED	1UL

/*
 * Store @vma to a free slot and return the slot, or return NULL. The slot
 * belongs to this CPU, unless the task is moved to another CPU meanwhile. A
 * task remembers one slot: it is counted in refs for a second VMA.
 *
 * A bit of slot_cpus stands for all CPUs whose numbers are equal modulo 64. The
 * bit is set before A, read after A', and never cleared. A task that is moved
 * here to another CPU claims a slot of the CPU whose bit it has set.
 */
static __always_inline unsigned long *vma_claim_slot(struct mm_struct *mm,
						     struct vm_area_struct *vma)
{
	unsigned int cpu = raw_smp_processor_id();
	unsigned long *slot, *end;

	if (unlikely(current->vma_slot))
		return NULL;
	/* Read the number once: slot and bit must be of the same CPU. */
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

/* Take @vma out of @slot, the current task's. False if another VMA is in it. */
static bool vma_return_slot(struct vm_area_struct *vma, unsigned long *slot)
{
	/* C. Do not touch the VMA afterwards, as in vma_unpublish(). */
	unsigned long was = cmpxchg_release(slot, (unsigned long)vma, 0);

	if (likely(was == (unsigned long)vma))
		return true;
	if (was != ((unsigned long)vma | VMA_SLOT_COUNTED))
		return false;
	/*
	 * The slot is marked: no other task changes it now. Clear vma_slot
	 * first: if this task dies in the wakeup, the slot may belong to
	 * another task already. See vma_lock_exit().
	 */
	current->vma_slot = NULL;
	WRITE_ONCE(*slot, 0);
	vma_unpublish(vma);
	return true;
}

/* The most CPUs that a writer looks at to make a VMA of @mm cold */
static unsigned int vma_slot_cpus(struct mm_struct *mm)
{
	return hweight_long(READ_ONCE(mm->vma_lock.slot_cpus)) *
		DIV_ROUND_UP(nr_cpu_ids, BITS_PER_LONG);
}

/*
 * A reader has come from another CPU than the reader before it, and has moved
 * the cache line of the VMA. After enough such moves, make the VMA hot. Only a
 * reader that is counted in refs makes a VMA hot. A writer that does not see
 * the VMA hot yet waits for that reader.
 *
 * Only faults and similar readers count. A reader of /proc/PID/maps, for
 * example, comes from any CPU, but rarely. It must not make writers look at
 * slots.
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
	 * Set one number for each period in which the VMA is hot, even if
	 * several readers get here. After a writer that gave up, a reader may
	 * set the same number again: vma_has_readers() shows that to the next
	 * writer.
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

/* If @slot has a reader of @vma, count it in refs. */
static void vma_count_slot(struct vm_area_struct *vma, unsigned long *slot)
{
	while (READ_ONCE(*slot) == (unsigned long)vma) {
		/* Increment refs first: the reader may leave at once. */
		atomic_inc(&vma->vma_lock.refs);
		if (cmpxchg(slot, (unsigned long)vma,
			    (unsigned long)vma | VMA_SLOT_COUNTED) ==
		    (unsigned long)vma)
			return;
		atomic_dec(&vma->vma_lock.refs);
	}
}

/*
 * Count in refs the readers that are in slots. After that, refs has all
 * readers. The caller is between A' and C'. A reader that is not seen here has
 * claimed its slot after A'. It sees the sequence and leaves.
 */
static noinline void vma_make_cold(struct vm_area_struct *vma)
{
	unsigned long cpus;
	int bit, cpu, i;

	trace_vma_lock_cold(vma);
	vma_clear_hot(vma);
	/*
	 * A reader whose claim is missed below sees that the VMA is cold, even
	 * if this writer gives up and puts the old sequence back. The reader's
	 * claim is the barrier that pairs with this one.
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
 * Do readers still have to leave? Call this after A'. Read ->hot after C': a
 * counted reader that has left may have set it. After that, no reader can set
 * it until the write lock ends.
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
 * Wait until no reader is published. A reader that publishes itself meanwhile
 * sees WAITED, the sequence or DETACHED. It leaves without having touched
 * anything.
 *
 * The mm has at most one waiter, because a waiter holds mmap_lock for write.
 */
static int vma_drain(struct vm_area_struct *vma, bool killable)
{
	struct mm_struct *mm = vma->vm_mm;
	int ret;

	trace_vma_lock_wait(vma);
	trace_contention_begin(&vma->vma_lock, LCB_F_WRITE);
	do {
		/*
		 * Fully ordered, and on the word that readers decrement. A
		 * reader that leaves after this sees WAITED and wakes the
		 * writer. A reader that left before this is not counted any
		 * more when the writer looks.
		 */
		atomic_fetch_or(VMA_LOCK_WAITED, &vma->vma_lock.refs);
		ret = rcuwait_wait_event(&mm->vma_lock.writer, vma_drained(vma),
					 killable ? TASK_KILLABLE :
						    TASK_UNINTERRUPTIBLE);
		/*
		 * A late waker holds no reference to the VMA, only to the mm.
		 * It finds @writer NULL, or wakes a task that tolerates a
		 * spurious wakeup.
		 */
		atomic_andnot(VMA_LOCK_WAITED, &vma->vma_lock.refs);
		/* Has a reader that left meanwhile made the VMA hot? */
	} while (!ret && unlikely(READ_ONCE(vma->vma_lock.hot)) &&
		 vma_has_readers(vma));
	trace_contention_end(&vma->vma_lock, ret);
	trace_vma_lock_waited(vma);
	return ret;
}

/*
 * Is there no other task that could be a reader, or be looking up a VMA? Every
 * reader holds its own reference to mm_users. The caller is not a reader: it
 * was allowed to wait for mmap_lock. (A kernel thread that borrows the mm may
 * hold no reference, so a single reference may belong to another task.)
 *
 * The acquire orders the caller after the mmput() of a reader that has left. A
 * reader that takes its reference later comes after A' and sees the sequence.
 * If there are no users at all, the mm is being torn down.
 */
static bool mm_writer_is_alone(struct mm_struct *mm)
{
	int users = atomic_read_acquire(&mm->mm_users);

	return users == 0 || (users == 1 && current->mm == mm &&
			      !(current->flags & PF_KTHREAD));
}

static bool mm_has_no_readers(struct mm_struct *mm)
{
	/* Pairs with A: set before a reader publishes itself, never cleared. */
	return !READ_ONCE(mm->vma_lock.used) || mm_writer_is_alone(mm);
}

/* From here on every new reader sees all VMAs write-locked. */
static void mm_mark_write_locked(struct mm_struct *mm)
{
	VM_WARN_ON_ONCE(mm->vma_lock.mm_lock_seq & VMA_SEQ_WIDE);
	WRITE_ONCE(mm->vma_lock.mm_lock_seq,
		   mm->vma_lock.mm_lock_seq | VMA_SEQ_HELD | VMA_SEQ_WIDE);
	smp_mb();	/* A' */
	vma_lock_delay();
}

/*
 * Undo mm_mark_write_locked(). The caller has changed nothing in the wide form.
 * VMAs that a narrow hold locked before stay locked by their own vm_lock_seq.
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

	/* A caller that makes a narrow hold wide may have done so already. */
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
 * For callers that only try mmap_lock, for example because they hold a lock
 * (such as a page lock) that a reader may be waiting for.
 *
 * Context: Does not sleep.
 * Return: false if some VMA has a reader: this call has locked no VMA then. The
 * caller must end its hold with vma_end_write_all() in either case.
 */
bool vma_try_start_write_all(struct mm_struct *mm)
{
	MA_STATE(mas, &mm->mm_mt, 0, 0);
	struct vm_area_struct *vma;

	mm_mark_write_locked(mm);

	/* The caller may be a reader itself, which mm_users does not show. */
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

/* Mark @vma write-locked. Return whether earlier readers must still leave. */
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
 * If the wait fails, put the old number back. Zero would be wrong: a reader
 * could see it together with an old mm_lock_seq, and take the VMA for "never
 * locked".
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
 * vma_start_write_mmap_file - prepare for the call of a file's ->mmap()
 * @mm: the mm, mmap_lock held for write
 * @file: the file to be mapped
 *
 * File systems that use the page cache only fill in the VMA that they get.
 * Nothing is known about the VMAs that a driver's ->mmap() reads or changes.
 * That holds for a device as well as for a file in sysfs (which has ram_aops).
 * So a driver gets the wide form, unless it says that it needs no other VMA
 * (vma_lock_mmap). For a file of an overlay, the underlying file decides.
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

/* vma_mark_attached() for a VMA that has never been attached */
void __vma_mark_attached(struct vm_area_struct *vma)
{
	WRITE_ONCE(vma->vma_lock.vm_lock_seq, vma->vm_mm->vma_lock.mm_lock_seq);
	/*
	 * Clear both flags, which are set. Atomic: a reader may have found the
	 * VMA already and be about to release it. Release: a reader that comes
	 * after this (A) and no longer sees NEW also sees the number and the
	 * hold.
	 */
	atomic_sub_return_release(VMA_LOCK_NEW | VMA_LOCK_DETACHED,
				  &vma->vma_lock.refs);
}

/**
 * vma_mark_detached - mark a VMA that leaves the tree
 * @vma: the VMA, write-locked
 *
 * Readers may find the VMA until it is out of the tree, and for longer under
 * RCU. The write lock ends at the next release or downgrade of mmap_lock, which
 * may come before the VMA is freed. From here on readers see DETACHED instead.
 * A reader that was counted before this may not have seen the write lock yet.
 * It must do so before the write lock ends, so this waits for the reader. The
 * wait takes a few of the reader's instructions. Readers in slots check
 * DETACHED after the sequence.
 *
 * Context: May sleep, not for long.
 */
void vma_mark_detached(struct vm_area_struct *vma)
{
	vma_assert_write_locked(vma);
	vma_assert_attached(vma);
	/* Still hot if the writer found no other task in the mm */
	if (unlikely(READ_ONCE(vma->vma_lock.hot)))
		vma_clear_hot(vma);
	vma_lock_delay();

	/* Fully ordered: pairs with the readers' increment, as A' with A. */
	if ((unsigned int)atomic_fetch_or(VMA_LOCK_DETACHED,
					  &vma->vma_lock.refs) &
	    VMA_LOCK_READERS)
		vma_drain(vma, false);
}

/**
 * vma_unmark_detached_all - undo vma_mark_detached() for VMAs of a side tree
 * @tree: the side tree; its VMAs are write-locked, and still in the mm's tree
 *
 * Context: Any.
 */
void vma_unmark_detached_all(struct maple_tree *tree)
{
	MA_STATE(mas, tree, 0, 0);
	struct vm_area_struct *vma;

	mas_for_each(&mas, vma, ULONG_MAX) {
		vma_assert_write_locked(vma);
		/* Release: readers that see this also see the write lock. */
		atomic_fetch_andnot_release(VMA_LOCK_DETACHED,
					    &vma->vma_lock.refs);
	}
}

/**
 * vma_can_free_now - may the VMA be freed without a grace period?
 * @vma: a VMA in no tree
 *
 * Yes if the VMA never was in a tree, or if no other task could have found it.
 *
 * Context: Any.
 */
bool vma_can_free_now(const struct vm_area_struct *vma)
{
	if (vma_lock_refs(vma) & VMA_LOCK_NEW)
		return true;
	/*
	 * The VMA left the tree before mm_users is read. A reader that takes
	 * its reference later has a full barrier before its lookup, in
	 * lock_vma_under_rcu() and vma_lock_next(). It does not find the VMA.
	 */
	smp_mb();
	if (mm_writer_is_alone(vma->vm_mm))
		return true;
	/* Otherwise a reader could lock it now, and beyond the grace period. */
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

	/* A hint, to save the writes below when a writer has the VMA */
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
	 * B': the acquire pairs with the release in vma_end_write_all(). If a
	 * writer has yet to change this number, that writer sees this reader
	 * (A'). Read vm_lock_seq after the number: a reader that sees the
	 * number of one hold sees the vm_lock_seq of the holds before it.
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
	 * B'. The VMA must have been hot since before A. Otherwise the next
	 * writer may not see it hot, and would not look at this slot. The VMA
	 * must also be attached: a writer that has detached it does not look
	 * again. Both changes become visible with the number that ends that
	 * writer's hold.
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
 * vma_start_read - try to lock a VMA for reading
 * @vma: the VMA, found in the tree of an mm and kept from being freed by RCU;
 *	the caller holds a reference of its own to that mm's mm_users
 *
 * Until vma_end_read() nobody changes the VMA, its place in the tree or its
 * page tables in a way that mmap_lock held for read would have prevented. Other
 * VMAs may change. The holder may sleep, for as long as it likes. It may try
 * mmap_lock, but never wait for it.
 *
 * Context: rcu_read_lock(). Does not sleep.
 * Return: true if locked; false if a writer has the VMA or if it left the tree.
 */
bool vma_start_read(struct vm_area_struct *vma)
{
	if (!__vma_start_read(vma->vm_mm, vma, false))
		return false;
	vma_lock_acquired(vma);
	return true;
}

/**
 * vma_read_may_sleep - call this before a holder of a VMA lock sleeps for long
 * @vma: the VMA, which the current task has locked for reading, or not
 *
 * If the reader has a slot of a CPU, this counts the reader in refs and gives
 * up the slot. It counts first: a writer that sees the slot empty (C, C') sees
 * the count. From then on a word of the task serves as its slot. The word holds
 * the VMA, marked as counted, so that vma_end_read() and vma_lock_exit() find
 * it.
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
	} else {	/* Another VMA is in the slot. */
		vma_unpublish(vma);
	}
}

/**
 * vma_end_read - release a VMA that vma_start_read() locked
 * @vma: the VMA; it may be freed as soon as this is called
 *
 * The task that locked the VMA calls this. It still holds the reference to the
 * mm under which it locked the VMA.
 *
 * Context: Any.
 */
void vma_end_read(struct vm_area_struct *vma)
{
	unsigned long *slot = current->vma_slot;

#ifdef CONFIG_DEBUG_LOCK_ALLOC
	lock_release(&vma->vma_lock.dep_map, _RET_IP_);
#endif
	/* Held twice, by slot and by count: either may go first. */
	if (slot && likely(vma_return_slot(vma, slot)))
		current->vma_slot = NULL;
	else
		vma_unpublish(vma);
}

/**
 * vma_lock_fork - initialize a new task, which holds no VMA lock
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
 * vma_lock_exit - release the VMA lock of a task that dies with it
 * @tsk: the current task, which will not touch the VMA any more
 *
 * This is for a task that dies of an oops in a fault. A slot is not part of the
 * VMA, so it would outlive the VMA: exit_mmap() frees VMAs without looking for
 * readers. A writer of the next VMA at that address would wait for the dead
 * task.
 *
 * The VMA has not been freed: writers wait for the slot as long as mm_users
 * counts the task. A thread of the mm has its reference until exit_mm(). A
 * reader of another process' mm never drops the reference that it took. Lockdep
 * has been off since the oops.
 *
 * A VMA that is held by count stays held, because nothing says which task holds
 * it. Its writers wait until the mm is torn down, as they do for a task that
 * has died with mmap_lock. The count goes away with the VMA.
 *
 * Context: Process context. Does not sleep.
 */
void vma_lock_exit(struct task_struct *tsk)
{
	unsigned long *slot = tsk->vma_slot;
	struct vm_area_struct *vma;

	if (likely(!slot))
		return;
	/* Not WARN(), which may panic: the oops has been reported already. */
	pr_warn("vma_lock: %s/%d dies with a VMA locked\n", tsk->comm,
		task_pid_nr(tsk));
	/* Clear this first: if the rest oopses, it is not tried again. */
	tsk->vma_slot = NULL;
	/* Other tasks only mark the slot. */
	vma = (struct vm_area_struct *)(READ_ONCE(*slot) & ~VMA_SLOT_COUNTED);
	vma_return_slot(vma, slot);
}

/**
 * count_vma_lock_fallback - count and trace a fallback to mmap_lock
 * @mm: the mm
 * @address: the address of the access, some address of the VMA, or 0
 * @reason: VMA_LOCK_FALLBACK_*, as in /proc/vmstat and in the trace event
 *
 * Context: Any.
 */
void count_vma_lock_fallback(struct mm_struct *mm, unsigned long address,
			     enum vm_event_item reason)
{
	count_vm_vma_lock_event(reason);
	trace_vma_lock_fallback(mm, address, reason);
}

/*
 * How often a lookup is tried that meets a node which a writer is replacing. A
 * writer on another CPU may have replaced the node by then. A writer that this
 * task has preempted continues when this task sleeps. The caller does so to get
 * mmap_lock.
 */
#define VMA_WALK_TRIES	64

/**
 * vma_tree_walk - mas_walk() under RCU that does not wait for a writer
 * @mas: the state, at its start, for the tree of an mm
 *
 * Context: The caller holds the RCU read lock. Does not sleep.
 * Return: the VMA, NULL if there is none, or XA_RETRY_ENTRY if a writer is at
 * work.
 */
void *vma_tree_walk(struct ma_state *mas)
{
	int tries = VMA_WALK_TRIES;
	void *entry;

	while (unlikely(xa_is_retry(entry = mas_try_walk(mas))) && --tries)
		cpu_relax();
	return entry;
}

/*
 * lock_vma_under_rcu() without its barrier: the caller has ordered its
 * reference to the mm before the lookup.
 */
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
	 * The walk may have met a node that a writer was replacing. So the VMA
	 * may have left the tree, or may not hold the address (any more). The
	 * VMA has not been freed: it was in this tree at or after
	 * rcu_read_lock(). For the same reason it belongs to this mm.
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
	count_vma_lock_fallback(mm, address, why);
	count_vm_vma_lock_event(VMA_LOCK_ABORT);
	return NULL;
}

/**
 * lock_own_vma_under_rcu - lock_vma_under_rcu() for a short time
 * @mm: current->mm
 * @address: the address
 *
 * For page faults, which release the VMA before most waits for I/O. A holder
 * that is about to sleep for long calls vma_read_may_sleep() first. The
 * reference to mm_users is the task's own. The task had it before it ran, so no
 * barrier is needed here.
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
 * NULL says nothing about the address: there may be no VMA, or a VMA with a
 * writer. The caller takes mmap_lock to learn more. This checks only the range
 * of the VMA. The caller checks whatever else it needs, now that the VMA is
 * stable.
 *
 * Context: Process context. Does not sleep.
 * Return: the VMA, locked for reading, or NULL.
 */
struct vm_area_struct *lock_vma_under_rcu(struct mm_struct *mm,
					  unsigned long address)
{
	/* get_task_mm() takes a reference to another mm without ordering. */
	if (mm != current->mm)
		smp_mb(); /* reference first; pairs with vma_can_free_now() */
	return lock_vma(mm, address, false);
}
