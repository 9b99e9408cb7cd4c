/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _LINUX_VMA_READ_H
#define _LINUX_VMA_READ_H

/*
 * Readers of VMAs that are not faults: one VMA after the other, each under its
 * own lock, and mmap_lock only for what can't be had that way.
 */
#include <linux/mm.h>

/* What a visitor answers, if it is not an error */
enum vma_read {
	VMA_READ_DONE,		/* go on */
	VMA_READ_RELEASED,	/* go on; the visitor has let go of the VMA */
	VMA_READ_MMAP_LOCK,	/* this VMA can only be visited under mmap_lock */
};

typedef int vma_visit_t(struct vm_area_struct *vma, unsigned long start,
			unsigned long end, unsigned long arg);

#ifdef CONFIG_PER_VMA_LOCK
int vma_read_range(struct mm_struct *mm, unsigned long *start,
		   unsigned long end, vma_visit_t *visit, unsigned long arg);
#else
static inline int vma_read_range(struct mm_struct *mm, unsigned long *start,
				 unsigned long end, vma_visit_t *visit,
				 unsigned long arg)
{
	return 0;
}
#endif

#endif /* _LINUX_VMA_READ_H */
