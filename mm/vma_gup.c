// SPDX-License-Identifier: GPL-2.0
/*
 * get_user_pages() and its kin under VMA locks: faulting in a range, and taking
 * the pages of a range.
 *
 * Everything that fails here, or that needs more than one VMA, is left to the
 * caller, which goes on from there under mmap_lock. So results and errors are
 * those of mmap_lock.
 */
#include <linux/dax.h>
#include <linux/hugetlb.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/rmap.h>
#include <linux/sched/signal.h>
#include <linux/vma_lock.h>
#include <linux/vma_read.h>
#include <linux/vmstat.h>

#include "internal.h"

/*
 * What a fault may do under the VMA lock, less what nobody has looked at here.
 * An access that the VMA does not allow, and FOLL_FORCE may, is left to
 * mmap_lock. That FOLL_FORCE is given does not matter: mlock() always does.
 */
static bool vma_gup_eligible(struct vm_area_struct *vma, bool write)
{
	vm_flags_t access = write ? VM_WRITE : VM_READ;

	return (vma->vm_flags & access) && !(vma->vm_flags & VM_SPECIAL) &&
		!is_vm_hugetlb_page(vma) && !vma_is_dax(vma) &&
		vma_fault_eligible(vma);
}

/*
 * Will a fault in @vma look for an anon_vma, which only mmap_lock gives it? One
 * that reads a file will not, and fork() copies the entries of a file's mapping
 * only if it has one.
 */
static bool vma_needs_anon_vma(struct vm_area_struct *vma, bool write)
{
	if (vma->anon_vma || (vma->vm_flags & VM_SHARED))
		return false;
	return vma_is_anonymous(vma) || (write && (vma->vm_flags & VM_WRITE));
}

/*
 * The VMA at @addr, or else the first one above, locked. If a writer has it, wait
 * for that writer: no lock is held yet. If the last attempt came to nothing
 * (@again), for want of an anon_vma perhaps, wait for the chance to get one. NULL
 * if there is no VMA, or after a fatal signal.
 */
static struct vm_area_struct *vma_lock_or_wait(struct mm_struct *mm,
					       unsigned long addr, bool write,
					       bool again)
{
	struct vm_area_struct *vma = lock_vma_under_rcu(mm, addr);

	if (likely(vma)) {
		if (!again || !vma_needs_anon_vma(vma, write))
			return vma;
		vma_end_read(vma);
	}
	if (mmap_read_lock_killable(mm))
		return NULL;
	vma = find_vma(mm, addr);
	if (vma && again && vma->vm_start <= addr &&
	    vma_needs_anon_vma(vma, write) && __anon_vma_prepare(vma))
		vma = NULL;
	/* mmap_lock excludes every writer, and keeps the VMA. */
	if (vma && WARN_ON_ONCE(!vma_start_read(vma)))
		vma = NULL;
	mmap_read_unlock(mm);
	return vma;
}

/*
 * A page of a shared file may be read in (VM_FAULT_RETRY), be made writable
 * (VM_FAULT_COMPLETED), and only then be found. One for a race.
 */
#define GUP_TRIES	4

/*
 * A piece of a locked VMA. Returns the number of pages, 0 with *@locked 0 if the
 * fault slept for the first one, or an error.
 */
static long vma_populate(struct vm_area_struct *vma, unsigned long start,
			 unsigned long end, enum vma_populate how, int *locked)
{
	end = min(end, vma->vm_end);
	if (start < vma->vm_start ||
	    !vma_gup_eligible(vma, how == VMA_POPULATE_WRITE))
		return -EFAULT;
	if (how == VMA_POPULATE)
		return populate_vma_page_range(vma, start,
					       mlock_piece_end(vma, start, end),
					       locked);
	return faultin_vma_page_range(vma, start,
				      populate_piece_end(start, end),
				      how == VMA_POPULATE_WRITE, locked);
}

/**
 * vma_populate_range - fault in pages, each VMA under its own lock
 * @mm: current->mm
 * @start: the first address, page aligned
 * @end: the end
 * @how: as __mm_populate() or as MADV_POPULATE_READ or MADV_POPULATE_WRITE
 *
 * Releases the VMA after 512 pages, and earlier if a writer waits for it. Where a
 * fault releases it, because it slept, the page is tried again a few times.
 *
 * Context: May sleep. The caller holds neither mmap_lock nor a VMA lock.
 * Return: where it ended. If that is not @end, the caller goes on there under
 * mmap_lock: a hole, an error, a fatal signal, or a VMA that needs mmap_lock.
 */
unsigned long vma_populate_range(struct mm_struct *mm, unsigned long start,
				 unsigned long end, enum vma_populate how)
{
	int tries = GUP_TRIES;

	while (start < end && mm_is_shared(mm)) {
		struct vm_area_struct *vma;
		int locked = GUP_VMA_LOCKED;
		long pages;

		vma = vma_lock_or_wait(mm, start, how != VMA_POPULATE_READ,
				       tries < GUP_TRIES);
		if (!vma)
			break;
		/* mlock() and MAP_POPULATE skip holes. */
		if (how == VMA_POPULATE && vma->vm_start > start)
			start = min(end, vma->vm_start);
		pages = start < end ?
			vma_populate(vma, start, end, how, &locked) : 0;
		if (locked)
			vma_end_read(vma);
		if (pages < 0 || (!pages && !--tries))
			break;
		if (pages)
			tries = GUP_TRIES;
		start += pages * PAGE_SIZE;
	}
	return start;
}

/* Other flags mean that something else than a page is wanted, or another wait. */
#define VMA_GUP_FLAGS	(FOLL_WRITE | FOLL_TOUCH | FOLL_GET | FOLL_PIN | \
			 FOLL_REMOTE | FOLL_FORCE | FOLL_HWPOISON)

/**
 * vma_gup - take the pages of a range, each VMA under its own lock
 * @mm: the mm, mm_is_shared(); the caller holds a reference of its own to mm_users
 * @start: the first address
 * @nr_pages: how many pages
 * @pages: for the pages
 * @gup_flags: FOLL_*; with FOLL_PIN, the mm has MMF_HAS_PINNED
 *
 * Takes them as get_user_pages() does. fork() excludes the readers of every VMA,
 * as it excludes holders of mmap_lock for read: it sees that a page is pinned, or
 * the page is pinned after the copy.
 *
 * Context: May sleep. The caller holds neither mmap_lock nor a VMA lock.
 * Return: the number of pages taken. If there are fewer than @nr_pages, the caller
 * goes on under mmap_lock, for whatever reason: see vma_populate_range().
 */
unsigned long vma_gup(struct mm_struct *mm, unsigned long start,
		      unsigned long nr_pages, struct page **pages,
		      unsigned int gup_flags)
{
	bool write = gup_flags & FOLL_WRITE;
	unsigned long done = 0;
	int tries = GUP_TRIES;

	if (!pages || (gup_flags & ~VMA_GUP_FLAGS))
		return 0;
	if (!(gup_flags & FOLL_PIN))
		gup_flags |= FOLL_GET;

	start = untagged_addr(start);
	while (done < nr_pages) {
		unsigned long at = start + done * PAGE_SIZE, part;
		bool again = tries < GUP_TRIES;
		int locked = GUP_VMA_LOCKED;
		struct vm_area_struct *vma;
		long got = -EFAULT;

		vma = vma_lock_or_wait(mm, at, write, again);
		if (!vma)
			break;
		part = (vma->vm_end - (at & PAGE_MASK)) >> PAGE_SHIFT;
		part = min3(part, nr_pages - done, again ? 1UL : 512UL);
		/* The second attempt waits for I/O, and reports its error. */
		if (at >= vma->vm_start && vma_gup_eligible(vma, write))
			got = gup_locked_vma(vma, at, part,
					     gup_flags | (again ? FOLL_TRIED : 0),
					     pages + done, &locked);
		if (locked)
			vma_end_read(vma);
		if (got < 0 || (!got && !--tries))
			break;
		if (got)
			tries = GUP_TRIES;
		done += got;
	}
	count_vm_vma_lock_event(done == nr_pages ? VMA_LOCK_READ :
						   VMA_LOCK_READ_MMAP);
	return done;
}
