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
 * vma_try_read_lock - the VMA that holds an address, under its own lock
 * @mm: the mm; the caller holds a reference of its own to mm_users
 * @addr: the address
 *
 * For whoever looks at one VMA, and takes mmap_lock if this does not give it.
 * vma_read_unlock() lets go of either.
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
	 * woken up: the sleep is for that wakeup.
	 */
	usleep_range(10, 100);
}

/**
 * lock_vma_wait - the VMA that holds an address, after the writer that has it
 * @mm: the mm; the caller holds a reference of its own to mm_users
 * @addr: the address
 *
 * Context: May sleep, for mmap_lock. The caller holds neither mmap_lock nor a VMA
 * lock.
 * Return: the VMA, locked for reading, or NULL: there is none, or a fatal signal.
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

/* Pieces of a visit, while a writer waits, and the largest of them */
#define VISIT_SIZE	PMD_SIZE
#define VISIT_SIZE_MAX	(4 * PMD_SIZE)

/**
 * vma_read_range - visit the VMAs of a range, each under its own lock
 * @mm: the mm; the caller holds a reference of its own to mm_users
 * @start: where to start; on return, where it ended
 * @end: the end
 * @visit: called for each VMA with the part of the range that it covers. It may
 *	sleep, and must not wait for mmap_lock.
 * @arg: for @visit
 * @in_parts: @visit may be called several times for a VMA, with one part after the
 *	other, and the VMA change in between
 *
 * With @in_parts, releases a VMA between two parts if a writer waits for it, and
 * goes on after the writer. Ends early at a hole and at a VMA that @visit cannot
 * do without mmap_lock: the caller goes on from @start under mmap_lock. What is
 * before @start has been visited, once.
 *
 * Context: May sleep, for mmap_lock only while no VMA is held.
 * Return: 0, or the error that @visit has returned.
 */
int vma_read_range(struct mm_struct *mm, unsigned long *start,
		   unsigned long end, vma_visit_t *visit, unsigned long arg,
		   bool in_parts)
{
	int ret = 0;

	if (!vma_lock_is_on())
		return 0;
	/* Nobody waits for a process with one thread. */
	in_parts = in_parts && mm_is_shared(mm);

	while (*start < end) {
		struct vm_area_struct *vma = lock_vma_wait(mm, *start);
		unsigned long stop, next, size = VISIT_SIZE;

		if (!vma)
			break;
		stop = min(end, vma->vm_end);
		/* Its pages may be larger than a part. */
		if (!in_parts || is_vm_hugetlb_page(vma))
			size = ULONG_MAX;
		do {
			next = stop - *start > size ?
				round_down(*start + size, PMD_SIZE) : stop;
			ret = visit(vma, *start, next, arg);
			if (ret == VMA_READ_MMAP_LOCK || ret < 0)
				break;
			*start = next;
			if (size < VISIT_SIZE_MAX)
				size *= 2;
			cond_resched();
		} while (*start < stop && ret != VMA_READ_RELEASED &&
			 !vma_read_is_contended(vma));
		if (ret != VMA_READ_RELEASED)
			vma_end_read(vma);
		if (ret == VMA_READ_MMAP_LOCK || ret < 0)
			break;
	}
	count_vm_vma_lock_event(*start == end || ret < 0 ? VMA_LOCK_READ :
							   VMA_LOCK_READ_MMAP);
	return min(ret, 0);
}

/*
 * The first VMA that ends above @addr, locked; NULL if there is none; or -EAGAIN.
 *
 * Lookups of single addresses only: they are made for running beside writers. One
 * that finds a VMA is right by that VMA's lock. One that finds nothing may have met
 * a writer that unmaps, and maps again before it lets go of mmap_lock; so it counts
 * only if nobody has held mmap_lock for write meanwhile. Who takes something out of
 * the tree has announced its hold and then write-locked the VMA, with a full
 * barrier between (A'); who sees the tree of after that sees the hold.
 *
 * With @may_miss, a hole before the VMA that is found need not be one.
 */
static struct vm_area_struct *vma_lock_next(struct mm_struct *mm,
					    unsigned long addr, bool may_miss)
{
	MA_STATE(mas, &mm->mm_mt, addr, addr);
	struct vm_area_struct *vma;
	u64 seq;

	if (mm != current->mm)
		smp_mb(); /* as in lock_vma_under_rcu() */
	/* Pairs with B: with this number comes the tree that its writer left. */
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

	/* It may have been cut, between lookup and lock. */
	if (vma && likely(vma->vm_start <= addr && addr < vma->vm_end))
		return vma;
	if (vma && vma->vm_end <= addr)
		goto again;
	if (vma && may_miss)
		return vma;

	smp_rmb();	/* the tree before the number; pairs with A' */
	if (!(seq & VMA_SEQ_HELD) && READ_ONCE(mm->vma_lock.mm_lock_seq) == seq)
		return vma;
again:
	if (vma)
		vma_end_read(vma);
	return ERR_PTR(-EAGAIN);
}

/*
 * Has the caller nobody to get out of the way for? Then mmap_lock costs less than
 * a lock and a lookup for each VMA. The references are the task's and the reader's.
 */
static bool mm_is_ours_alone(struct mm_struct *mm)
{
	return current->mm == mm && atomic_read(&mm->mm_users) <= 2;
}

/* How often a lookup is tried before mmap_lock, which keeps all writers out. */
#define VMA_READ_TRIES	4

/**
 * vma_reader_lock_next - release a VMA, and lock the next
 * @reader: of an mm of which the caller holds a reference of its own to mm_users
 * @addr: as for vma_reader_next()
 *
 * vma_reader_next() for a caller that has checked mm_is_shared(): takes mmap_lock
 * only to find a VMA that a writer keeps from it.
 *
 * Context: May sleep, for mmap_lock only while no VMA is held. The caller does not
 * hold mmap_lock or a VMA lock.
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
	/* No writer is there to be in its way; mmap_lock would do as well. */
	if (vma && WARN_ON_ONCE(!vma_start_read(vma)))
		return vma;
	vma_reader_stop(reader);
	reader->vma = vma;
	return vma;
}

/**
 * vma_reader_next - release a VMA, and go to the next
 * @reader: of an mm of which the caller holds a reference of its own to mm_users
 * @addr: where the next one starts or what it contains: in the order of
 *	addresses, what ended the one before
 *
 * The VMA, which may begin below @addr if it has grown meanwhile, holds still
 * until the next call. What was mapped all the time, by whatever VMAs, is found.
 * Where writers come too fast, mmap_lock is taken to find the one VMA, and
 * released when that is locked.
 *
 * Context: May sleep, for mmap_lock only while no VMA is held. The caller does not
 * hold mmap_lock or a VMA lock.
 * Return: the VMA, NULL if there is none at @addr or above, or -EINTR after a
 * fatal signal.
 */
struct vm_area_struct *vma_reader_next(struct vma_reader *reader,
				       unsigned long addr)
{
	if (reader->mmap_locked)
		return vma_reader_next_mmap_locked(reader, addr);
	if (vma_lock_is_on() && !mm_is_ours_alone(reader->mm))
		return vma_reader_lock_next(reader, addr);
	vma_reader_stop(reader);
	return vma_reader_next_mmap_locked(reader, addr);
}

/**
 * vma_reader_find - release a VMA, and go to the one that holds an address
 * @reader: of an mm of which the caller holds a reference of its own to mm_users
 * @addr: the address, in any order
 *
 * For a few addresses: takes mmap_lock where the VMA cannot be had by its own lock,
 * or there is none, and keeps it until vma_reader_stop(). So it does for hugetlb,
 * because its page tables can be shared: follow_page() needs more than one VMA to
 * hold still.
 *
 * Context: May sleep, for mmap_lock only while no VMA is held. The caller does not
 * hold mmap_lock or a VMA lock.
 * Return: the VMA, which holds still until the next call, or NULL.
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

	if (vma_lock_is_on() && !mm_is_ours_alone(mm)) {
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
 * vma_reader_try_next - vma_reader_next() for whoever would rather go than wait
 * @reader: of current's mm
 * @addr: as for vma_reader_next()
 *
 * May miss a VMA that a writer changes. Under mmap_lock, all the way from the first
 * VMA, where the switch is off or nobody shares the mm.
 *
 * Context: Does not sleep. The caller does not hold mmap_lock or a VMA lock.
 * Return: as vma_reader_next(), or -EAGAIN, with nothing held: a writer is there.
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
