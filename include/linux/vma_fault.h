/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _LINUX_VMA_FAULT_H
#define _LINUX_VMA_FAULT_H

/*
 * Page faults under the VMA lock: the interface for architectures and fault
 * handlers. A fault holds either mmap_lock for read or the lock of its VMA, and
 * FAULT_FLAG_VMA_LOCK says which. Included at the end of <linux/mm.h>.
 */
#include <linux/mmap_lock.h>

#ifdef CONFIG_PER_VMA_LOCK

struct vm_area_struct *__lock_fault_vma(struct mm_struct *mm,
					unsigned long address,
					struct pt_regs *regs,
					unsigned int flags);
struct vm_area_struct *__lock_fault_mmap(struct mm_struct *mm,
					 unsigned long address,
					 struct pt_regs *regs);
unsigned int fault_retry_flags(unsigned int flags, vm_fault_t fault);
vm_fault_t fault_need_mmap_lock(struct vm_area_struct *vma, unsigned int flags);
vm_fault_t __fault_anon_prepare(struct vm_area_struct *vma, unsigned int flags);
void vma_prepare_first_touch(struct vm_area_struct *vma);
bool vma_fault_eligible(struct vm_area_struct *vma);

/**
 * lock_fault_vma - find the VMA of a fault and lock it, by either lock
 * @mm: current->mm
 * @address: the address of the fault
 * @regs: the registers at the fault
 * @flags: the fault's flags; FAULT_FLAG_VMA_LOCK is set in them accordingly
 *
 * Takes the VMA lock if it is available at once, and otherwise mmap_lock for
 * read. Architectures call this in place of lock_mm_and_find_vma(). They repeat
 * the call, with flags from fault_retry_flags(), while handle_mm_fault()
 * returns VM_FAULT_RETRY. They call unlock_fault_vma() at the end, unless the
 * handler has released the lock. The flags of the VMA are stable under either
 * lock, so that the caller can check whether they allow the access.
 *
 * Context: May sleep.
 * Return: the VMA, or NULL with no lock held if there is none for @address.
 */
static inline struct vm_area_struct *lock_fault_vma(struct mm_struct *mm,
						    unsigned long address,
						    struct pt_regs *regs,
						    unsigned int *flags)
{
	struct vm_area_struct *vma;

	vma = __lock_fault_vma(mm, address, regs, *flags);
	if (unlikely(!vma))
		return __lock_fault_mmap(mm, address, regs);
	*flags |= FAULT_FLAG_VMA_LOCK;
	return vma;
}

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

/* Does this attempt repeat an attempt that gave up before it did anything? */
static inline bool fault_is_counted(unsigned int flags)
{
	return flags & FAULT_FLAG_COUNTED;
}

/* Call this for every fault that a handler has ended, whatever its result. */
static inline void count_fault_vma(unsigned int flags, vm_fault_t fault)
{
	if (!(flags & FAULT_FLAG_VMA_LOCK))
		return;
	if (unlikely(fault & VM_FAULT_RETRY))
		count_vm_vma_lock_event(VMA_LOCK_RETRY);
	else
		count_vm_vma_lock_event(VMA_LOCK_SUCCESS);
}

/* Call this for every fault attempt of get_user_pages() and its variants. */
static inline void count_gup_fault(unsigned int flags)
{
	if (flags & FAULT_FLAG_VMA_LOCK)
		count_vm_vma_lock_event(VMA_LOCK_GUP);
	else
		count_vm_vma_lock_event(VMA_LOCK_GUP_MMAP);
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

static inline unsigned int fault_retry_flags(unsigned int flags,
					     vm_fault_t fault)
{
	return flags | FAULT_FLAG_TRIED;
}

static inline bool fault_is_counted(unsigned int flags)
{
	return false;
}

static inline void count_fault_vma(unsigned int flags, vm_fault_t fault) { }

static inline void count_gup_fault(unsigned int flags) { }

static inline vm_fault_t fault_need_mmap_lock(struct vm_area_struct *vma,
					      unsigned int flags)
{
	return 0;
}

int __anon_vma_prepare(struct vm_area_struct *vma);

static inline vm_fault_t __fault_anon_prepare(struct vm_area_struct *vma,
					      unsigned int flags)
{
	return __anon_vma_prepare(vma) ? VM_FAULT_OOM : 0;
}

static inline void vma_prepare_first_touch(struct vm_area_struct *vma) { }

static inline void assert_fault_locked(struct vm_fault *vmf)
{
	mmap_assert_locked(vmf->vma->vm_mm);
}

#endif /* CONFIG_PER_VMA_LOCK */

/**
 * fault_anon_prepare - anon_vma_prepare() for a fault under either lock
 * @vma: the VMA of the fault
 * @flags: the fault's flags
 *
 * The choice of an anon_vma depends on the neighbours of @vma, which only
 * mmap_lock keeps stable. A holder of the VMA lock must not wait for mmap_lock.
 * If mmap_lock is not available at once, this function releases the VMA lock,
 * and the fault starts over under mmap_lock. So call this before there is
 * anything to undo that needs @vma.
 *
 * Context: May sleep.
 * Return: 0; VM_FAULT_OOM; or VM_FAULT_RETRY, with other flags. With
 * VM_FAULT_RETRY the lock is released, and @vma may be gone.
 */
static inline vm_fault_t fault_anon_prepare(struct vm_area_struct *vma,
					    unsigned int flags)
{
	if (likely(vma->anon_vma))
		return 0;
	return __fault_anon_prepare(vma, flags);
}

/**
 * vmf_anon_prepare - fault_anon_prepare() by its name in newer kernels
 * @vmf: the fault
 *
 * Return: as fault_anon_prepare().
 */
static inline vm_fault_t vmf_anon_prepare(struct vm_fault *vmf)
{
	return fault_anon_prepare(vmf->vma, vmf->flags);
}

/**
 * release_fault_lock - release the lock of a fault that must be retried
 * @vmf: the fault
 *
 * A handler calls this before it sleeps and returns VM_FAULT_RETRY or
 * VM_FAULT_COMPLETED. The VMA may be gone afterwards.
 */
static inline void release_fault_lock(struct vm_fault *vmf)
{
	unlock_fault_vma(vmf->vma->vm_mm, vmf->vma, vmf->flags);
}

#endif /* _LINUX_VMA_FAULT_H */
