/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _LINUX_VMA_LOCK_H
#define _LINUX_VMA_LOCK_H

/*
 * Per-VMA locks: a reader keeps one VMA stable without touching mmap_lock.
 *
 * Readers never wait. A reader publishes itself in the VMA and then checks for
 * a writer. If there is a writer, the reader gives up, and its caller takes
 * mmap_lock. A writer holds mmap_lock for write, says so in a sequence number,
 * and waits for the published readers to leave. A writer that has not been
 * audited takes mmap_lock in the wide form, which excludes the readers of every
 * VMA of the mm. mmap_write_lock() and its variants are that form.
 *
 * Terms:
 *	wide		write hold of mmap_lock that write-locks every VMA
 *	narrow		write hold of mmap_lock; VMAs are locked one by one
 *	hot		VMA whose short readers publish themselves in slots
 *	cold		VMA whose readers are all counted in vma_lock.refs
 *	slot		per-CPU word that points to the VMA a reader holds
 *	attached	VMA in the tree of its mm, or about to be stored there
 *
 * A test may report an unlocked VMA as locked, but never a locked VMA as
 * unlocked.
 *
 * Documentation/mm/per-vma-locks.rst has the rules and the ordering argument.
 * The idea of marking a VMA locked by a sequence number, and of unlocking all
 * VMAs at once by incrementing another, is Suren Baghdasaryan's (LWN 906852,
 * 2022).
 *
 * Included by <linux/mmap_lock.h>; struct mm_struct must be complete.
 */
#include <linux/atomic.h>
#include <linux/lockdep.h>
#include <linux/mm_types.h>
#include <linux/mmdebug.h>
#include <linux/vm_event_item.h>

#ifdef CONFIG_PER_VMA_LOCK

/*
 * mm_lock_seq: the low bits say how mmap_lock is held; the bits above them
 * count write holds. The number is odd exactly while mmap_lock is held for
 * write.
 */
#define VMA_SEQ_HELD	1ULL		/* held for write */
#define VMA_SEQ_WIDE	2ULL		/* ... and every VMA is write-locked */
#define VMA_SEQ_MASK	(VMA_SEQ_HELD | VMA_SEQ_WIDE)
#define VMA_SEQ_STEP	4ULL

/*
 * vma_lock.refs: the number of published readers, and these flags above it:
 * NEW		never was in a tree: no reader can know the VMA;
 * DETACHED	in no tree: a reader that still finds the VMA must release it;
 * WAITED	a writer sleeps until the readers have left.
 * Any flag makes refs, as an unsigned number, larger than any count alone.
 */
#define VMA_LOCK_NEW		(1U << 29)
#define VMA_LOCK_DETACHED	(1U << 30)
#define VMA_LOCK_WAITED		(1U << 31)
#define VMA_LOCK_READERS	(VMA_LOCK_NEW - 1)

/*
 * A VMA becomes hot after its cache line has moved this many times, plus as
 * often again for each CPU that a writer will look at. Those moves have cost
 * several times as much as the writer's scan (BRAVO: Dice and Kogan, USENIX ATC
 * 2019).
 */
#define VMA_LOCK_MOVES		16

/*
 * Once this many VMAs of an mm are hot, other VMAs need this many times the
 * moves. A hold of mmap_lock that write-locks all VMAs looks at the slots for
 * each hot VMA.
 */
#define VMA_LOCK_MANY_HOT	64

/* The switch: may readers try VMA locks? Writers exclude readers either way. */
extern u8 sysctl_per_vma_lock;

static inline bool vma_lock_is_on(void)
{
	return READ_ONCE(sysctl_per_vma_lock);
}

#ifdef CONFIG_DEBUG_LOCK_ALLOC
void vma_lock_init_map(struct vm_area_struct *vma);
#else
static inline void vma_lock_init_map(struct vm_area_struct *vma) { }
#endif
int __vma_start_write_all(struct mm_struct *mm, bool killable);
bool vma_try_start_write_all(struct mm_struct *mm);
int __vma_start_write(struct vm_area_struct *vma, bool killable);
bool vma_try_start_write(struct vm_area_struct *vma);
int vma_start_write_mmap_file(struct mm_struct *mm, struct file *file);
void __vma_mark_attached(struct vm_area_struct *vma);
void vma_mark_detached(struct vm_area_struct *vma);
void vma_unmark_detached_all(struct maple_tree *tree);
bool vma_can_free_now(const struct vm_area_struct *vma);
bool vma_start_read(struct vm_area_struct *vma);
void vma_read_may_sleep(struct vm_area_struct *vma);
void vma_end_read(struct vm_area_struct *vma);
void vma_lock_fork(struct task_struct *tsk);
void vma_lock_exit(struct task_struct *tsk);
void count_vma_lock_fallback(struct mm_struct *mm, unsigned long address,
			     enum vm_event_item reason);
void *vma_tree_walk(struct ma_state *mas);
struct vm_area_struct *lock_own_vma_under_rcu(struct mm_struct *mm,
					      unsigned long address);
struct vm_area_struct *lock_vma_under_rcu(struct mm_struct *mm,
					  unsigned long address);

#ifdef CONFIG_PER_VMA_LOCK_DEBUG
void vma_lock_delay(void);
bool vma_lock_heat_now(void);
void vma_lock_validate(struct mm_struct *mm, unsigned long ip);
void vma_lock_oops(unsigned long address);
#else
static inline void vma_lock_delay(void) { }
static inline bool vma_lock_heat_now(void) { return false; }
static inline void vma_lock_validate(struct mm_struct *mm, unsigned long ip) { }
static inline void vma_lock_oops(unsigned long address) { }
#endif

static inline void mm_vma_lock_init(struct mm_struct *mm)
{
	/* A VMA starts with vm_lock_seq 0, below any mm_lock_seq. */
	mm->vma_lock.mm_lock_seq = VMA_SEQ_STEP;
	mm->vma_lock.used = false;
	mm->vma_lock.unmapping = false;
	mm->vma_lock.first_touches = 0;
	mm->vma_lock.slot_cpus = 0;
	atomic_set(&mm->vma_lock.nr_hot, 0);
	mm->vma_lock.writer.task = NULL;
	init_rwsem(&mm->vma_lock.migration);
}

/**
 * mm_migration_lock - exclude the migration of an mm's pages by other tasks
 * @mm: the mm
 * @moves: whether the caller moves pages without mmap_lock, as mbind() does
 *
 * Take this lock before moving pages of the mm, or before looking for them.
 *
 * Context: May sleep. The caller does not hold mmap_lock.
 * Return: 0, or -EINTR after a fatal signal.
 */
static inline int __must_check mm_migration_lock(struct mm_struct *mm,
						 bool moves)
{
	return moves ? down_write_killable(&mm->vma_lock.migration) :
		       down_read_killable(&mm->vma_lock.migration);
}

static inline void mm_migration_unlock(struct mm_struct *mm, bool moves)
{
	if (moves)
		up_write(&mm->vma_lock.migration);
	else
		up_read(&mm->vma_lock.migration);
}

/* For callers that cannot fail, and that move no pages without mmap_lock */
static inline void mm_migration_read_lock(struct mm_struct *mm)
{
	down_read(&mm->vma_lock.migration);
}

static inline void vma_lock_init(struct vm_area_struct *vma)
{
	vma->vma_lock.vm_lock_seq = 0;
	vma->vma_lock.hot = 0;
	vma->vma_lock.moves = 0;
	atomic_set(&vma->vma_lock.refs, VMA_LOCK_NEW | VMA_LOCK_DETACHED);
#ifdef CONFIG_PER_VMA_LOCK_DEBUG
	vma->vma_lock.seen.valid = false;
#endif
	vma_lock_init_map(vma);
}

static inline unsigned int vma_lock_refs(const struct vm_area_struct *vma)
{
	return atomic_read(&vma->vma_lock.refs);
}

/* The caller holds mmap_lock for write, or tolerates a stale answer. */
static inline bool vma_is_attached(const struct vm_area_struct *vma)
{
	return !(vma_lock_refs(vma) & VMA_LOCK_DETACHED);
}

/*
 * Is @vma write-locked while mm_lock_seq is @seq? The comparison is ">=", not
 * "==": a reader may see a new vm_lock_seq together with an old mm_lock_seq. It
 * must then treat the VMA as locked.
 */
static inline bool vma_write_locked_at(const struct vm_area_struct *vma,
				       u64 seq)
{
	return (seq & VMA_SEQ_WIDE) ||
		READ_ONCE(vma->vma_lock.vm_lock_seq) >= seq;
}

/*
 * Does a writer wait for @vma, which the caller has locked for reading? The
 * answer is a hint. A reader that holds the VMA for long asks now and then, and
 * releases the VMA for the writer.
 */
static inline bool vma_read_is_contended(const struct vm_area_struct *vma)
{
	return vma_write_locked_at(vma,
				   READ_ONCE(vma->vm_mm->vma_lock.mm_lock_seq));
}

/**
 * vma_start_write - exclude the readers of a VMA
 * @vma: the VMA, of an mm whose mmap_lock the caller holds for write
 *
 * The write lock ends when mmap_lock is released or downgraded. The call is
 * cheap if the VMA is locked already. Lock order: after mmap_lock, before page,
 * i_mmap, anon_vma and page-table locks.
 *
 * Context: May sleep until the readers have left, which may be after I/O.
 */
static inline void vma_start_write(struct vm_area_struct *vma)
{
	if (!vma_write_locked_at(vma, vma->vm_mm->vma_lock.mm_lock_seq))
		__vma_start_write(vma, false);
}

/**
 * vma_start_write_killable - vma_start_write() that a fatal signal ends
 * @vma: the VMA, of an mm whose mmap_lock the caller holds for write
 *
 * Context: May sleep.
 * Return: 0, or -EINTR: the caller must not change the VMA then.
 */
static inline int __must_check
vma_start_write_killable(struct vm_area_struct *vma)
{
	if (vma_write_locked_at(vma, vma->vm_mm->vma_lock.mm_lock_seq))
		return 0;
	return __vma_start_write(vma, true);
}

/**
 * vma_start_write_narrow - hold mmap_lock for write, with no VMA locked yet
 * @mm: the mm, mmap_lock just taken for write
 *
 * Part of mmap_write_lock_narrow(): the caller write-locks each VMA before it
 * changes it. The store is a release. A reader may acquire this number (B')
 * instead of the number before it. The reader must then see the changes of the
 * previous hold, which mmap_lock has made visible to this writer.
 */
static inline void vma_start_write_narrow(struct mm_struct *mm)
{
	VM_WARN_ON_ONCE(mm->vma_lock.mm_lock_seq & VMA_SEQ_MASK);
	smp_store_release(&mm->vma_lock.mm_lock_seq, /* B, with B' */
			  mm->vma_lock.mm_lock_seq | VMA_SEQ_HELD);
}

/**
 * vma_start_write_all - exclude the readers of every VMA of an mm
 * @mm: the mm, mmap_lock held for write
 *
 * Part of mmap_write_lock(). It also makes a narrow hold wide. The write lock
 * ends with vma_end_write_all().
 *
 * Context: May sleep until the readers have left.
 */
static inline void vma_start_write_all(struct mm_struct *mm)
{
	__vma_start_write_all(mm, false);
}

/**
 * vma_start_write_all_killable - vma_start_write_all() that a fatal signal ends
 * @mm: the mm, mmap_lock held for write
 *
 * Context: May sleep.
 * Return: 0, or -EINTR: this call has locked no VMA then. The caller must end
 * its hold with vma_end_write_all() in either case.
 */
static inline int __must_check
vma_start_write_all_killable(struct mm_struct *mm)
{
	return __vma_start_write_all(mm, true);
}

/**
 * vma_end_write_all - admit readers to every VMA of an mm again
 * @mm: the mm, mmap_lock about to be released or downgraded
 *
 * The release pairs with the acquire in vma_start_read(). A reader that sees
 * the new number, and therefore an unlocked VMA, sees every change made under
 * the lock.
 */
static inline void vma_end_write_all(struct mm_struct *mm)
{
	u64 seq = mm->vma_lock.mm_lock_seq;

	VM_WARN_ON_ONCE(!(seq & VMA_SEQ_HELD));
	vma_lock_validate(mm, _THIS_IP_);
	smp_store_release(&mm->vma_lock.mm_lock_seq, /* B, with B' */
			  (seq & ~VMA_SEQ_MASK) + VMA_SEQ_STEP);
}

/**
 * vma_mark_attached - mark a VMA that is in the tree, or about to be
 * @vma: the VMA; mmap_lock is held for write
 *
 * Call this where the VMA is stored to the tree. A new VMA enters the tree
 * write-locked, so that the caller can complete it there until mmap_lock is
 * released. The call is idempotent, because a VMA may be stored again.
 */
static inline void vma_mark_attached(struct vm_area_struct *vma)
{
	if (vma_lock_refs(vma) & VMA_LOCK_NEW)
		__vma_mark_attached(vma);
	VM_WARN_ON_ONCE(!vma_is_attached(vma));
}

static inline void vma_assert_attached(const struct vm_area_struct *vma)
{
	VM_WARN_ON_ONCE(!vma_is_attached(vma));
}

static inline void vma_assert_detached(const struct vm_area_struct *vma)
{
	VM_WARN_ON_ONCE(vma_is_attached(vma));
}

static inline void vma_assert_write_locked(const struct vm_area_struct *vma)
{
	struct mm_struct *mm = vma->vm_mm;

	lockdep_assert_held_write(&mm->mmap_lock);
	VM_WARN_ON_ONCE(!vma_write_locked_at(vma, mm->vma_lock.mm_lock_seq));
}

/*
 * Page tables of @vma are about to be moved or freed: no fault may use them.
 */
static inline void vma_assert_no_faults(const struct vm_area_struct *vma)
{
	struct mm_struct *mm = vma->vm_mm;

	VM_WARN_ON_ONCE(vma_is_attached(vma) && atomic_read(&mm->mm_users) &&
			!vma_write_locked_at(vma,
				READ_ONCE(mm->vma_lock.mm_lock_seq)));
}

static inline void vma_assert_locked(const struct vm_area_struct *vma)
{
	bool hot, written;

	/* Some task holds it. Only lockdep knows whether the caller does. */
	if (!IS_ENABLED(CONFIG_DEBUG_VM))
		return;
	/*
	 * Read these in this order. A writer that gives up puts the old
	 * sequence back. Before that it has made the VMA cold and counted this
	 * reader.
	 */
	hot = READ_ONCE(vma->vma_lock.hot);
	smp_rmb();	/* pairs with the barriers of vma_make_cold() */
	written = vma_write_locked_at(vma,
			READ_ONCE(vma->vm_mm->vma_lock.mm_lock_seq));
	smp_rmb();	/* atomic_inc() comes before the restored sequence */
	VM_WARN_ON_ONCE(!hot && !written &&
			!(vma_lock_refs(vma) & VMA_LOCK_READERS));
}

/* The VMA is stable: somebody holds mmap_lock, or the lock of the VMA. */
static inline void vma_assert_stable(const struct vm_area_struct *vma)
{
	if (!rwsem_is_locked(&vma->vm_mm->mmap_lock))
		vma_assert_locked(vma);
#ifdef CONFIG_DEBUG_LOCK_ALLOC
	else
		lockdep_assert(lockdep_is_held(&vma->vm_mm->mmap_lock) ||
			       lock_is_held(&vma->vma_lock.dep_map));
#endif
}

#else /* !CONFIG_PER_VMA_LOCK */

/* mmap_lock alone excludes readers. These stubs cost and promise nothing. */
static inline bool vma_lock_is_on(void) { return false; }
static inline void mm_vma_lock_init(struct mm_struct *mm) { }
static inline int mm_migration_lock(struct mm_struct *mm, bool moves)
{
	return 0;
}
static inline void mm_migration_unlock(struct mm_struct *mm, bool moves) { }
static inline void mm_migration_read_lock(struct mm_struct *mm) { }
static inline void vma_lock_init(struct vm_area_struct *vma) { }
static inline void vma_start_write(struct vm_area_struct *vma) { }
static inline int vma_start_write_killable(struct vm_area_struct *vma)
{
	return 0;
}
static inline bool vma_try_start_write(struct vm_area_struct *vma)
{
	return true;
}
static inline void vma_start_write_narrow(struct mm_struct *mm) { }
static inline void vma_start_write_all(struct mm_struct *mm) { }
static inline int vma_start_write_all_killable(struct mm_struct *mm)
{
	return 0;
}
static inline bool vma_try_start_write_all(struct mm_struct *mm)
{
	return true;
}
static inline void vma_end_write_all(struct mm_struct *mm) { }
static inline int vma_start_write_mmap_file(struct mm_struct *mm,
					    struct file *file)
{
	return 0;
}
static inline struct vm_area_struct *lock_vma_under_rcu(struct mm_struct *mm,
							unsigned long address)
{
	return NULL;
}
static inline bool vma_start_read(struct vm_area_struct *vma)
{
	return false;
}
static inline void vma_read_may_sleep(struct vm_area_struct *vma) { }
static inline void vma_end_read(struct vm_area_struct *vma) { }
static inline bool vma_read_is_contended(const struct vm_area_struct *vma)
{
	return false;
}
static inline void vma_lock_fork(struct task_struct *tsk) { }
static inline void vma_lock_exit(struct task_struct *tsk) { }
static inline void vma_mark_attached(struct vm_area_struct *vma) { }
static inline void vma_mark_detached(struct vm_area_struct *vma) { }
static inline void vma_unmark_detached_all(struct maple_tree *tree) { }
static inline bool vma_can_free_now(const struct vm_area_struct *vma)
{
	return true;
}
static inline void vma_assert_attached(const struct vm_area_struct *vma) { }
static inline void vma_assert_detached(const struct vm_area_struct *vma) { }
static inline void vma_assert_write_locked(const struct vm_area_struct *vma)
{
	lockdep_assert_held_write(&vma->vm_mm->mmap_lock);
}
static inline void vma_assert_no_faults(const struct vm_area_struct *vma) { }
static inline void vma_assert_locked(const struct vm_area_struct *vma)
{
	lockdep_assert_held(&vma->vm_mm->mmap_lock);
}
static inline void vma_assert_stable(const struct vm_area_struct *vma)
{
	lockdep_assert_held(&vma->vm_mm->mmap_lock);
}

#endif /* CONFIG_PER_VMA_LOCK */

/**
 * vma_start_write_mmap - prepare for one ->mmap() to call another
 * @vma: the VMA that is being made
 * @vma_lock_mmap: the other ->mmap() looks at no VMA but @vma
 *
 * For a subsystem that sets vma_lock_mmap in its file_operations and calls the
 * ->mmap() of drivers. It makes the hold of mmap_lock wide for a driver that
 * has not been audited.
 *
 * Context: May sleep until the readers have left. The caller holds mmap_lock
 * for write. It holds no lock that is taken under a VMA lock by a page fault,
 * an MMU notifier or reclaim.
 * Return: 0, or -EINTR after a fatal signal.
 */
static inline int __must_check
vma_start_write_mmap(struct vm_area_struct *vma, bool vma_lock_mmap)
{
	lockdep_assert_held_write(&vma->vm_mm->mmap_lock);
	return vma_lock_mmap ? 0 : vma_start_write_all_killable(vma->vm_mm);
}

#endif /* _LINUX_VMA_LOCK_H */
