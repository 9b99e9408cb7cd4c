// SPDX-License-Identifier: GPL-2.0
/*
 * Readers of VMAs that are not faults.
 */
#include <linux/mm.h>
#include <linux/vma_lock.h>
#include <linux/vma_read.h>
#include <linux/vmstat.h>

/**
 * vma_read_range - visit the VMAs of a range, each under its own lock
 * @mm: the mm; the caller holds a reference of its own to mm_users
 * @start: where to start; on return, where it ended
 * @end: the end
 * @visit: called for each VMA with the part of the range that it covers. It may
 *	sleep, and must not wait for mmap_lock.
 * @arg: for @visit
 *
 * Ends early at a hole, at a VMA that is being changed and at one that @visit
 * cannot do without mmap_lock: the caller goes on from @start under mmap_lock.
 * VMAs before @start have been visited, once.
 *
 * Context: May sleep.
 * Return: 0, or the error that @visit has returned.
 */
int vma_read_range(struct mm_struct *mm, unsigned long *start,
		   unsigned long end, vma_visit_t *visit, unsigned long arg)
{
	if (!vma_lock_is_on())
		return 0;

	while (*start < end) {
		struct vm_area_struct *vma = lock_vma_under_rcu(mm, *start);
		unsigned long stop;
		int ret;

		if (!vma)
			break;
		stop = min(end, vma->vm_end);
		ret = visit(vma, *start, stop, arg);
		if (ret != VMA_READ_RELEASED)
			vma_end_read(vma);
		if (ret == VMA_READ_MMAP_LOCK)
			break;
		if (ret < 0)
			return ret;
		*start = stop;
		cond_resched();
	}
	count_vm_vma_lock_event(*start == end ? VMA_LOCK_READ :
						VMA_LOCK_READ_MMAP);
	return 0;
}
