/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _LINUX_VMA_FAULT_H
#define _LINUX_VMA_FAULT_H

/*
 * Page faults under the VMA lock: what architectures and fault handlers call.
 * A fault holds either mmap_lock for read or the lock of its VMA, and
 * FAULT_FLAG_VMA_LOCK says which. Included at the end of <linux/mm.h>.
 */
#include <linux/mmap_lock.h>

#ifdef CONFIG_PER_VMA_LOCK

struct vm_area_struct *lock_fault_vma(struct mm_struct *mm,
				      unsigned long address,
				      struct pt_regs *regs,
				      unsigned int *flags);

/**
 * unlock_fault_vma - end a fault that completed with its lock still held
 * @mm: the mm of the fault
 * @vma: what lock_fault_vma() returned
 * @flags: the fault's flags
 */
static inline void unlock_fault_vma(struct mm_struct *mm,
				    struct vm_area_struct *vma,
				    unsigned int flags)
{
	if (flags & FAULT_FLAG_VMA_LOCK)
		vma_end_read(vma);
	else
		mmap_read_unlock(mm);
}

/**
 * fault_retry_mmap_lock - give the VMA lock back, to try under mmap_lock
 * @vma: what lock_fault_vma() returned
 * @flags: the fault's flags
 *
 * For what a handler does under mmap_lock only.
 *
 * Return: true if the VMA lock was held and the fault is to start over; the
 * next lock_fault_vma() takes mmap_lock. false if mmap_lock is held already.
 */
static inline bool fault_retry_mmap_lock(struct vm_area_struct *vma,
					 unsigned int flags)
{
	if (!(flags & FAULT_FLAG_VMA_LOCK))
		return false;
	vma_end_read(vma);
	return true;
}

/* For every fault that a handler ended, whatever its result. */
static inline void count_fault_vma(unsigned int flags, vm_fault_t fault)
{
	if (!(flags & FAULT_FLAG_VMA_LOCK))
		return;
	if (unlikely(fault & VM_FAULT_RETRY))
		count_vm_vma_lock_event(VMA_LOCK_RETRY);
	else
		count_vm_vma_lock_event(VMA_LOCK_SUCCESS);
}

static inline void assert_fault_locked(struct vm_fault *vmf)
{
	if (vmf->flags & FAULT_FLAG_VMA_LOCK)
		vma_assert_locked(vmf->vma);
	else
		mmap_assert_locked(vmf->vma->vm_mm);
}

#else /* !CONFIG_PER_VMA_LOCK */

static inline struct vm_area_struct *lock_fault_vma(struct mm_struct *mm,
						    unsigned long address,
						    struct pt_regs *regs,
						    unsigned int *flags)
{
	return lock_mm_and_find_vma(mm, address, regs);
}

static inline void unlock_fault_vma(struct mm_struct *mm,
				    struct vm_area_struct *vma,
				    unsigned int flags)
{
	mmap_read_unlock(mm);
}

static inline bool fault_retry_mmap_lock(struct vm_area_struct *vma,
					 unsigned int flags)
{
	return false;
}

static inline void count_fault_vma(unsigned int flags, vm_fault_t fault) { }

static inline void assert_fault_locked(struct vm_fault *vmf)
{
	mmap_assert_locked(vmf->vma->vm_mm);
}

#endif /* CONFIG_PER_VMA_LOCK */

/**
 * release_fault_lock - let go of the lock of a fault that is to be retried
 * @vmf: the fault
 *
 * Before a handler sleeps and returns VM_FAULT_RETRY or VM_FAULT_COMPLETED. The
 * VMA may be gone afterwards.
 */
static inline void release_fault_lock(struct vm_fault *vmf)
{
	unlock_fault_vma(vmf->vma->vm_mm, vmf->vma, vmf->flags);
}

#endif /* _LINUX_VMA_FAULT_H */
