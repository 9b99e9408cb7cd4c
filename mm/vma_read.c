// SPDX-License-Identifier: GPL-2.0
/*
 * Readers of VMAs that are not faults.
 */
#include <linux/delay.h>
#include <linux/hugetlb_inline.h>
#include <linux/maple_tree.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/rcupdate.h>
#include <linux/vma_lock.h>
#include <linux/vma_read.h>
#include <linux/vmstat.h>
#include <linux/xarray.h>

static struct vm_area_struct *lock_vma_briefly(struct mm_struct *mm,
					       unsigned long addr)
{
	return mm == current->mm ? lock_own_vma_under_rcu(mm, addr) :
				   lock_vma_under_rcu(mm, addr);
}

/**
 * vma_try_read_lock - lock the VMA that holds an address, by its own lock
 * @mm: the mm; the caller holds a reference of its own to mm_users
 * @addr: the address
 *
 * For callers that look at one VMA, and that take mmap_lock if this returns
 * NULL. unlock_vma_or_mm() releases either lock.
 *
 * Context: Does not sleep.
 * Return: the VMA, locked, or NULL: no VMA, a writer, or the switch is off.
 */
struct vm_area_struct *vma_try_read_lock(struct mm_struct *mm,
					 unsigned long addr)
{
	struct vm_area_struct *vma;

	if (!vma_lock_is_on())
		return NULL;
	vma = lock_vma_briefly(mm, addr);
	count_vm_vma_lock_event(vma ? VMA_LOCK_READ : VMA_LOCK_READ_MMAP);
	return vma;
}

/* See mmap_read_give_way(). */
void __mmap_read_give_way(struct mm_struct *mm, int *locked)
{
	mmap_read_unlock(mm);
	*locked = 0;
	/*
	 * A reader may take a free rwsem before the task that waits for it has
	 * woken up. Sleep to let the waiting task wake up.
	 */
	usleep_range(10, 100);
}

/**
 * lock_vma_wait - lock the VMA at an address, after its writer
 * @mm: the mm; the caller holds a reference of its own to mm_users
 * @addr: the address
 *
 * Context: May sleep, for mmap_lock. The caller holds neither mmap_lock nor a
 * VMA lock.
 * Return: the VMA, locked for reading, or NULL if there is none or after a
 * fatal signal.
 */
struct vm_area_struct *lock_vma_wait(struct mm_struct *mm, unsigned long addr)
{
	struct vm_area_struct *vma = lock_vma_briefly(mm, addr);

	if (vma || mmap_read_lock_killable(mm))
		return vma;
	vma = vma_lookup(mm, addr);
	if (vma && !vma_start_read(vma))
		vma = NULL;
	mmap_read_unlock(mm);
	return vma;
}

/**
 * vma_read_range - visit the VMAs of a range, each under its own lock
 * @mm: the mm; the caller holds a reference of its own to mm_users
 * @start: where to start; on return, where the visits ended
 * @end: the end
 * @visit: called for each VMA with the part of the range that the VMA covers.
 *	It may sleep, and must not wait for mmap_lock. It may do less if a
 *	writer waits for the VMA. It then says in its *@end how far it has come,
 *	which must be at least one byte.
 * @arg: for @visit
 *
 * This releases each VMA after the visit. If the visit is not complete, a
 * writer that waits for the VMA comes first, and the VMA may have changed when
 * the visit goes on. This ends early at a hole, and at a VMA that @visit cannot
 * handle without mmap_lock. The caller then goes on from @start under
 * mmap_lock. What is before @start has been visited once.
 *
 * Context: May sleep, for mmap_lock only while no VMA is held.
 * Return: 0, or the error that @visit has returned.
 */
int vma_read_range(struct mm_struct *mm, unsigned long *start,
		   unsigned long end, vma_visit_t *visit, unsigned long arg)
{
	int ret = 0;

	if (!vma_lock_is_on())
		return 0;

	while (*start < end) {
		struct vm_area_struct *vma = lock_vma_wait(mm, *start);
		unsigned long stop;

		if (!vma)
			break;
		stop = min(end, vma->vm_end);
		ret = visit(vma, *start, &stop, arg);
		if (ret != VMA_READ_RELEASED)
			vma_end_read(vma);
		if (ret == VMA_READ_MMAP_LOCK || ret < 0)
			break;
		*start = stop;
		cond_resched();
	}
	count_vm_vma_lock_event(*start == end || ret < 0 ? VMA_LOCK_READ :
							   VMA_LOCK_READ_MMAP);
	return min(ret, 0);
}

/*
 * Lock the first VMA that ends above @addr, and return it. Return NULL if there
 * is none, or -EAGAIN.
 *
 * This uses only lookups of single addresses, which can run concurrently with
 * writers. A lookup that finds a VMA is confirmed by the lock of that VMA. A
 * lookup that finds nothing may have met a writer that unmaps, and that maps
 * again before it releases mmap_lock. So its result counts only if nobody has
 * held mmap_lock for write meanwhile. A writer that takes something out of the
 * tree has announced its hold and write-locked the VMA before, with a full
 * barrier (A'). A reader that sees the changed tree therefore sees the hold.
 *
 * With @may_miss, there may be other VMAs between @addr and the VMA that is
 * returned.
 */
static struct vm_area_struct *vma_lock_next(struct mm_struct *mm,
					    unsigned long addr, bool may_miss)
{
	MA_STATE(mas, &mm->mm_mt, addr, addr);
	struct vm_area_struct *vma;
	u64 seq;

	if (mm != current->mm)
		smp_mb(); /* as in lock_vma_under_rcu() */
	/* Pairs with B: a reader of the number sees its writer's tree. */
	seq = smp_load_acquire(&mm->vma_lock.mm_lock_seq);

	rcu_read_lock();
	while (!(vma = vma_tree_walk(&mas)) && mas.last != ULONG_MAX)
		mas_set(&mas, mas.last + 1);
	vma_lock_delay();
	if (xa_is_retry(vma) || (vma && !vma_start_read(vma)))
		vma = ERR_PTR(-EAGAIN);
	rcu_read_unlock();
	if (IS_ERR(vma))
		return vma;

	/* The VMA may have been cut between lookup and lock. */
	if (vma && likely(vma->vm_start <= addr && addr < vma->vm_end))
		return vma;
	if (vma && vma->vm_end <= addr)
		goto again;
	if (vma && may_miss)
		return vma;

	smp_rmb();	/* tree before number; pairs with A' */
	if (!(seq & VMA_SEQ_HELD) && READ_ONCE(mm->vma_lock.mm_lock_seq) == seq)
		return vma;
again:
	if (vma)
		vma_end_read(vma);
	return ERR_PTR(-EAGAIN);
}

/*
 * Does the mm have no user besides the caller? Then mmap_lock costs less than a
 * lookup and a lock for each VMA. The two references are the task's and the
 * reader's.
 */
static bool mm_reader_is_alone(struct mm_struct *mm)
{
	return current->mm == mm && atomic_read(&mm->mm_users) <= 2;
}

/* Lookups to try before mmap_lock, which excludes all writers */
#define VMA_READ_TRIES	4

/**
 * vma_reader_lock_next - release a VMA, and lock the next
 * @reader: the reader; the caller holds a reference of its own to its mm's
 *	mm_users
 * @addr: as for vma_reader_next()
 *
 * vma_reader_next() for a caller that has checked mm_is_shared(). It takes
 * mmap_lock only to find a VMA that writers keep it from locking otherwise.
 *
 * Context: May sleep, for mmap_lock only while no VMA is held. The caller does
 * not hold mmap_lock or a VMA lock.
 * Return: as vma_reader_next()
 */
struct vm_area_struct *vma_reader_lock_next(struct vma_reader *reader,
					    unsigned long addr)
{
	struct vm_area_struct *vma;
	int tries = VMA_READ_TRIES;

	vma_reader_stop(reader);
	do {
		vma = vma_lock_next(reader->mm, addr, false);
		if (!IS_ERR(vma)) {
			count_vm_vma_lock_event(VMA_LOCK_READ);
			reader->vma = vma;
			return vma;
		}
		cpu_relax();
	} while (--tries);

	count_vm_vma_lock_event(VMA_LOCK_READ_MMAP);
	vma = vma_reader_next_mmap_locked(reader, addr);
	if (IS_ERR(vma))
		return vma;
	/* No writer can be here. If this fails, mmap_lock protects the VMA. */
	if (vma && WARN_ON_ONCE(!vma_start_read(vma)))
		return vma;
	vma_reader_stop(reader);
	reader->vma = vma;
	return vma;
}

/**
 * vma_reader_next - release a VMA, and go to the next
 * @reader: the reader; the caller holds a reference of its own to its mm's
 *	mm_users
 * @addr: an address that the next VMA holds or starts above. Addresses must
 *	ascend: pass the end of the VMA before.
 *
 * The VMA is stable until the next call. It may begin below @addr if it has
 * grown meanwhile. Memory that is mapped all the time is found, whichever VMAs
 * map it. If writers come too fast, this takes mmap_lock to find the VMA, locks
 * the VMA, and releases mmap_lock.
 *
 * Context: May sleep, for mmap_lock only while no VMA is held. The caller does
 * not hold mmap_lock or a VMA lock.
 * Return: the VMA, NULL if there is none at @addr or above, or -EINTR after a
 * fatal signal.
 */
struct vm_area_struct *vma_reader_next(struct vma_reader *reader,
				       unsigned long addr)
{
	if (reader->mmap_locked)
		return vma_reader_next_mmap_locked(reader, addr);
	if (vma_lock_is_on() && !mm_reader_is_alone(reader->mm))
		return vma_reader_lock_next(reader, addr);
	vma_reader_stop(reader);
	return vma_reader_next_mmap_locked(reader, addr);
}

/**
 * vma_reader_find - release a VMA, and go to the VMA that holds an address
 * @reader: the reader; the caller holds a reference of its own to its mm's
 *	mm_users
 * @addr: the address, in any order
 *
 * For a few addresses. This takes mmap_lock if the VMA cannot be locked by its
 * own lock, or if there is none, and keeps mmap_lock until vma_reader_stop().
 * It does the same for hugetlb, whose page tables can be shared: follow_page()
 * then needs more than one VMA to be stable.
 *
 * Context: May sleep, for mmap_lock only while no VMA is held. The caller does
 * not hold mmap_lock or a VMA lock.
 * Return: the VMA, which is stable until the next call, or NULL.
 */
struct vm_area_struct *vma_reader_find(struct vma_reader *reader,
				       unsigned long addr)
{
	struct mm_struct *mm = reader->mm;
	struct vm_area_struct *vma = reader->vma;

	if (reader->mmap_locked)
		return vma_lookup(mm, addr);
	if (vma && vma->vm_start <= addr && addr < vma->vm_end)
		return vma;
	vma_reader_stop(reader);

	if (vma_lock_is_on() && !mm_reader_is_alone(mm)) {
		vma = lock_vma_under_rcu(mm, addr);
		if (vma && is_vm_hugetlb_page(vma)) {
			vma_end_read(vma);
			vma = NULL;
		}
		count_vm_vma_lock_event(vma ? VMA_LOCK_READ :
					      VMA_LOCK_READ_MMAP);
		reader->vma = vma;
		if (vma)
			return vma;
	}
	mmap_read_lock(mm);
	reader->mmap_locked = true;
	return vma_lookup(mm, addr);
}

/**
 * vma_reader_try_next - vma_reader_next() that gives up instead of waiting
 * @reader: the reader, of current's mm
 * @addr: as for vma_reader_next()
 *
 * This may miss a VMA that a writer changes. Once the switch is off, or nobody
 * shares the mm, it works under mmap_lock until vma_reader_stop().
 *
 * Context: Does not sleep. The caller does not hold mmap_lock or a VMA lock.
 * Return: as vma_reader_next(), or -EAGAIN, with nothing held, if a writer is
 * there.
 */
struct vm_area_struct *vma_reader_try_next(struct vma_reader *reader,
					   unsigned long addr)
{
	bool first = !reader->vma && !reader->mmap_locked;
	struct vm_area_struct *vma;
	int tries = VMA_READ_TRIES;

	if (reader->mmap_locked || !mm_is_shared(reader->mm)) {
		if (reader->vma)
			vma_reader_stop(reader);
		return vma_reader_try_next_mmap_locked(reader, addr);
	}
	vma_reader_stop(reader);
	do {
		vma = vma_lock_next(reader->mm, addr, true);
	} while (IS_ERR(vma) && --tries);
	if (IS_ERR(vma))
		return vma;
	if (first)
		count_vm_vma_lock_event(VMA_LOCK_READ);
	reader->vma = vma;
	return vma;
}
