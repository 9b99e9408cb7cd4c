/* SPDX-License-Identifier: GPL-2.0 */
#ifndef VMA_LOCK_MM_H
#define VMA_LOCK_MM_H

/* mmap_lock and VMAs for the tests, as the series has them in the kernel */
#include <linux/vma_lock.h>

/* Slots of a CPU */
#define NR_SLOTS		((int)(SMP_CACHE_BYTES / sizeof(unsigned long)))
bool slots_are_free(void);

/* Hooks in the protocol's windows, where a VMA may become hot, and at the end of a hold */
#ifdef CONFIG_PER_VMA_LOCK_DEBUG
extern void (*shim_delay)(void);
extern bool (*shim_heat)(void);
extern int shim_validated;
#endif

void mm_init(struct mm_struct *mm, int users);
struct vm_area_struct *vm_area_alloc(struct mm_struct *mm, unsigned long start,
				     unsigned long end);
void vm_area_free(struct vm_area_struct *vma);

static inline void vma_store(struct vm_area_struct *vma)
{
	mt_store(&vma->vm_mm->mm_mt, vma->vm_start, vma->vm_end, vma);
}

static inline void mmap_write_lock(struct mm_struct *mm)
{
	down_write(&mm->mmap_lock);
	vma_start_write_all(mm);
}

static inline int mmap_write_lock_killable(struct mm_struct *mm)
{
	if (down_write_killable(&mm->mmap_lock))
		return -EINTR;
	if (!vma_start_write_all_killable(mm))
		return 0;
	vma_end_write_all(mm);
	up_write(&mm->mmap_lock);
	return -EINTR;
}

static inline bool mmap_write_trylock(struct mm_struct *mm)
{
	if (!down_write_trylock(&mm->mmap_lock))
		return false;
	if (vma_try_start_write_all(mm))
		return true;
	vma_end_write_all(mm);
	up_write(&mm->mmap_lock);
	return false;
}

static inline void mmap_write_lock_narrow(struct mm_struct *mm)
{
	down_write(&mm->mmap_lock);
	vma_start_write_narrow(mm);
}

static inline void mmap_write_unlock(struct mm_struct *mm)
{
	vma_end_write_all(mm);
	up_write(&mm->mmap_lock);
}

static inline void mmap_write_downgrade(struct mm_struct *mm)
{
	vma_end_write_all(mm);
	downgrade_write(&mm->mmap_lock);
}

static inline void mmap_read_unlock(struct mm_struct *mm)
{
	up_read(&mm->mmap_lock);
}

#endif /* VMA_LOCK_MM_H */
