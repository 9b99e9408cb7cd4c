/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _LINUX_VMA_READ_H
#define _LINUX_VMA_READ_H

/*
 * Readers of VMAs that are not faults. They lock one VMA after the other, each
 * by its own lock. They take mmap_lock only for VMAs that they cannot lock that
 * way.
 */
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/sched.h>

/**
 * mm_is_shared - may another task wait for mmap_lock of an mm?
 * @mm: the mm
 *
 * A process with one thread has mmap_lock for itself, and mmap_lock costs less
 * than a lookup and a VMA lock for each call. A kernel thread must not take VMA
 * locks: it may borrow the mm without a reference of its own. The answer is
 * false for both, and if the switch is off.
 */
static inline bool mm_is_shared(struct mm_struct *mm)
{
	return vma_lock_is_on() && !(current->flags & PF_KTHREAD) &&
		(mm != current->mm || atomic_read(&mm->mm_users) > 1);
}

/* What a visitor returns, if not an error */
enum vma_read {
	VMA_READ_DONE,		/* go on */
	VMA_READ_RELEASED,	/* go on; the visitor has released the VMA */
	VMA_READ_MMAP_LOCK,	/* this VMA can only be visited under mmap_lock */
};

/* For vma_populate_range() */
enum vma_populate {
	VMA_POPULATE,		/* as the VMA's flags say */
	VMA_POPULATE_READ,
	VMA_POPULATE_WRITE,
};

typedef int vma_visit_t(struct vm_area_struct *vma, unsigned long start,
			unsigned long *end, unsigned long arg);

#ifdef CONFIG_PER_VMA_LOCK
/**
 * populate_piece_end - where to check for waiters while faulting in a range
 * @start: the first address
 * @end: the end of the range
 *
 * Return: the end of what to fault in under one hold of a lock: 512 pages, or
 * all of the range if the switch is off.
 */
static inline unsigned long populate_piece_end(unsigned long start,
					       unsigned long end)
{
	return vma_lock_is_on() ? min(end, start + 512 * PAGE_SIZE) : end;
}

void __mmap_read_give_way(struct mm_struct *mm, int *locked);

/**
 * mmap_read_give_way - release mmap_lock if a task waits for it
 * @mm: the mm
 * @locked: whether the caller holds mmap_lock for read; updated
 *
 * For callers that hold mmap_lock for long, and that look up their VMA again
 * after handle_mm_fault() has released it. Does nothing if the switch is off.
 *
 * Context: May sleep, if it releases the lock.
 */
static inline void mmap_read_give_way(struct mm_struct *mm, int *locked)
{
	if (*locked && vma_lock_is_on() && mmap_lock_is_contended(mm))
		__mmap_read_give_way(mm, locked);
}

struct vm_area_struct *vma_try_read_lock(struct mm_struct *mm,
					 unsigned long addr);
struct vm_area_struct *lock_vma_wait(struct mm_struct *mm, unsigned long addr);
int vma_read_range(struct mm_struct *mm, unsigned long *start,
		   unsigned long end, vma_visit_t *visit, unsigned long arg);
unsigned long vma_populate_range(struct mm_struct *mm, unsigned long start,
				 unsigned long end, enum vma_populate how);
int vma_fixup_fault(struct mm_struct *mm, unsigned long addr,
		    unsigned int fault_flags);

/* Call this after a VMA that needed mmap_lock: the next VMA may not need it. */
static inline void populate_end_vma(struct mm_struct *mm, int *locked)
{
	if (*locked && vma_lock_is_on()) {
		mmap_read_unlock(mm);
		*locked = 0;
	}
}
#else
static inline void populate_end_vma(struct mm_struct *mm, int *locked) { }

static inline int vma_fixup_fault(struct mm_struct *mm, unsigned long addr,
				  unsigned int fault_flags)
{
	return -EAGAIN;
}

static inline unsigned long vma_populate_range(struct mm_struct *mm,
					       unsigned long start,
					       unsigned long end,
					       enum vma_populate how)
{
	return start;
}

static inline unsigned long populate_piece_end(unsigned long start,
					       unsigned long end)
{
	return end;
}

static inline void mmap_read_give_way(struct mm_struct *mm, int *locked) { }

static inline struct vm_area_struct *vma_try_read_lock(struct mm_struct *mm,
						       unsigned long addr)
{
	return NULL;
}

static inline struct vm_area_struct *lock_vma_wait(struct mm_struct *mm,
						   unsigned long addr)
{
	return NULL;
}

static inline int vma_read_range(struct mm_struct *mm, unsigned long *start,
				 unsigned long end, vma_visit_t *visit,
				 unsigned long arg)
{
	return 0;
}
#endif

/* populate_piece_end() for mlock(): with VM_LOCKONFAULT nothing is faulted in. */
static inline unsigned long mlock_piece_end(const struct vm_area_struct *vma,
					    unsigned long start,
					    unsigned long end)
{
	return vma->vm_flags & VM_LOCKONFAULT ? end :
						populate_piece_end(start, end);
}

/* Release what vma_try_read_lock() locked, or mmap_lock if it returned NULL. */
static inline void unlock_vma_or_mm(struct mm_struct *mm,
				    struct vm_area_struct *locked)
{
	if (locked)
		vma_end_read(locked);
	else
		mmap_read_unlock(mm);
}

/*
 * A reader that goes through the VMAs of an mm. It holds one VMA at a time, by
 * the VMA's own lock. Where those locks are off, it holds mmap_lock over all
 * VMAs.
 */
struct vma_reader {
	struct mm_struct *mm;
	struct vm_area_struct *vma;	/* locked */
	struct vma_iterator iter;	/* under mmap_lock */
	bool mmap_locked;
};

static inline void vma_reader_init(struct vma_reader *reader,
				   struct mm_struct *mm)
{
	reader->mm = mm;
	reader->vma = NULL;
	reader->mmap_locked = false;
}

/* Part of vma_reader_next(): go on under mmap_lock from here. */
static inline struct vm_area_struct *
vma_reader_next_mmap_locked(struct vma_reader *reader, unsigned long addr)
{
	if (!reader->mmap_locked) {
		if (mmap_read_lock_killable(reader->mm))
			return ERR_PTR(-EINTR);
		reader->mmap_locked = true;
		vma_iter_init(&reader->iter, reader->mm, addr);
	}
	return vma_next(&reader->iter);
}

/* Part of vma_reader_try_next(): under mmap_lock until vma_reader_stop(). */
static inline struct vm_area_struct *
vma_reader_try_next_mmap_locked(struct vma_reader *reader, unsigned long addr)
{
	if (!reader->mmap_locked && !mmap_read_trylock(reader->mm))
		return ERR_PTR(-EAGAIN);
	reader->mmap_locked = true;
	vma_iter_init(&reader->iter, reader->mm, addr);
	return vma_next(&reader->iter);
}

/* Release the VMA, or mmap_lock. vma_reader_next() may go on from here. */
static inline void vma_reader_stop(struct vma_reader *reader)
{
	if (reader->vma)
		vma_end_read(reader->vma);
	reader->vma = NULL;
	if (reader->mmap_locked)
		mmap_read_unlock(reader->mm);
	reader->mmap_locked = false;
}

#ifdef CONFIG_PER_VMA_LOCK
struct vm_area_struct *vma_reader_lock_next(struct vma_reader *reader,
					    unsigned long addr);
struct vm_area_struct *vma_reader_next(struct vma_reader *reader,
				       unsigned long addr);
struct vm_area_struct *vma_reader_find(struct vma_reader *reader,
				       unsigned long addr);
struct vm_area_struct *vma_reader_try_next(struct vma_reader *reader,
					   unsigned long addr);
#else
static inline struct vm_area_struct *vma_reader_find(struct vma_reader *reader,
						     unsigned long addr)
{
	if (!reader->mmap_locked)
		mmap_read_lock(reader->mm);
	reader->mmap_locked = true;
	return vma_lookup(reader->mm, addr);
}

static inline struct vm_area_struct *vma_reader_next(struct vma_reader *reader,
						     unsigned long addr)
{
	return vma_reader_next_mmap_locked(reader, addr);
}

static inline struct vm_area_struct *
vma_reader_try_next(struct vma_reader *reader, unsigned long addr)
{
	return vma_reader_try_next_mmap_locked(reader, addr);
}
#endif

#endif /* _LINUX_VMA_READ_H */
