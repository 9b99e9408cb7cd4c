/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _MM_VMA_PIECES_H
#define _MM_VMA_PIECES_H

#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/osq_lock.h>

/* mmap_lock_is_contended(), or a task spins for it outside of its queue */
static inline bool mmap_lock_has_waiters(struct mm_struct *mm)
{
#if defined(CONFIG_RWSEM_SPIN_ON_OWNER) && !defined(CONFIG_PREEMPT_RT)
	if (osq_is_locked(&mm->mmap_lock.osq))
		return true;
#endif
	return mmap_lock_is_contended(mm);
}

#ifdef CONFIG_PER_VMA_LOCK
/* Below this size, a second lock costs more than it saves other threads. */
#define VMA_PIECES_MIN	(2 * PMD_SIZE)

void __vma_revoke_before(struct mm_struct *mm, unsigned long start,
			 unsigned long end, unsigned long prot);
bool __vma_revoked_before(const struct vm_area_struct *vma,
			  unsigned long oldflags);
bool __vma_grants_later(const struct vm_area_struct *vma, unsigned long oldflags);

/**
 * vma_revoke_before - revoke permissions of entries before a VMA loses them
 * @mm: current's mm
 * @start: the first address
 * @end: the end of the range
 * @prot: the PROT_* that mprotect() is going to set
 *
 * A concurrent fault may give an entry back what it lost here. The caller
 * checks each entry again, with the VMA write-locked, and changes such entries.
 *
 * Context: May sleep. No lock is held.
 */
static inline void vma_revoke_before(struct mm_struct *mm, unsigned long start,
				     unsigned long end, unsigned long prot)
{
	if (end - start >= VMA_PIECES_MIN)
		__vma_revoke_before(mm, start, end, prot);
}

/**
 * vma_revoked_before - are most entries of a range as they will be?
 * @vma: the VMA, write-locked, with its new flags
 * @oldflags: its old flags
 * @start: the first address
 * @end: the end of the range, in @vma
 *
 * Return: true if vma_revoke_before() may have worked on the range, so that it
 * is worth reading an entry before changing it.
 */
static inline bool vma_revoked_before(const struct vm_area_struct *vma,
				      unsigned long oldflags,
				      unsigned long start, unsigned long end)
{
	return end - start >= VMA_PIECES_MIN &&
		__vma_revoked_before(vma, oldflags);
}

/**
 * vma_grants_later - may entries get their permissions after mmap_lock is released?
 * @vma: the VMA, write-locked, with its new flags
 * @oldflags: its old flags
 * @start: the first address
 * @end: the end of the range, in @vma
 *
 * Return: true if the caller may leave the entries as they are. It must then
 * call vma_grant_after() after it has released mmap_lock.
 */
static inline bool vma_grants_later(const struct vm_area_struct *vma,
				    unsigned long oldflags,
				    unsigned long start, unsigned long end)
{
	return end - start >= VMA_PIECES_MIN &&
		__vma_grants_later(vma, oldflags);
}

void vma_grant_after(struct mm_struct *mm, unsigned long start,
		     unsigned long end);
bool vma_unmaps_in_pieces(struct mm_struct *mm, unsigned long start, size_t len);
int vma_munmap_pieces(struct mm_struct *mm, unsigned long start, size_t len,
		      struct list_head *uf);
#else
static inline void vma_revoke_before(struct mm_struct *mm, unsigned long start,
				     unsigned long end, unsigned long prot)
{
}

static inline bool vma_revoked_before(const struct vm_area_struct *vma,
				      unsigned long oldflags,
				      unsigned long start, unsigned long end)
{
	return false;
}

static inline bool vma_grants_later(const struct vm_area_struct *vma,
				    unsigned long oldflags,
				    unsigned long start, unsigned long end)
{
	return false;
}

static inline void vma_grant_after(struct mm_struct *mm, unsigned long start,
				   unsigned long end)
{
}

static inline bool vma_unmaps_in_pieces(struct mm_struct *mm,
					unsigned long start, size_t len)
{
	return false;
}

static inline int vma_munmap_pieces(struct mm_struct *mm, unsigned long start,
				    size_t len, struct list_head *uf)
{
	return -EINVAL;
}
#endif

#endif /* _MM_VMA_PIECES_H */
