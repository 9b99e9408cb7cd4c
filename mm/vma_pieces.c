// SPDX-License-Identifier: GPL-2.0
/*
 * Calls that change much memory, in pieces: their work on page tables does not
 * block mmap() in other threads.
 */
#include <linux/dax.h>
#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/mmap_lock.h>
#include <linux/mmu_notifier.h>
#include <linux/sched/signal.h>
#include <linux/userfaultfd_k.h>
#include <linux/vma_lock.h>
#include <linux/vma_read.h>
#include <asm/tlb.h>

#include "internal.h"
#include "vma_pieces.h"

/*
 * May a call change entries without mmap_lock? Not with KVM: a vCPU repeats its
 * fault while memory is invalidated, and takes mmap_lock to wait for the task
 * that invalidates it. That task would not hold mmap_lock here. The number of
 * threads, the switch and the notifiers may change after this check.
 */
static bool may_walk_unlocked(struct mm_struct *mm)
{
	return mm_is_shared(mm) && !mm_has_notifiers(mm);
}

/* No driver, userfaultfd, hugetlb or DAX */
static bool vma_is_ordinary(const struct vm_area_struct *vma)
{
	return !(vma->vm_flags & (VM_SPECIAL | VM_HUGETLB)) &&
		!userfaultfd_armed((struct vm_area_struct *)vma) &&
		!vma_is_dax(vma);
}

/* Private memory, whose faults repair an entry that lacks write permission */
static bool faults_repair_write(const struct vm_area_struct *vma)
{
	return !(vma->vm_flags & (VM_SHARED | VM_LOCKED)) &&
		!(vma->vm_ops && vma->vm_ops->mprotect) && vma_is_ordinary(vma);
}

/*
 * May entries grant what @less says while @vma grants what @more says? Only if
 * a fault gives an entry what it lacks. A fault does so for write permission.
 * For VM_EXEC or a protection key, the access would fault forever. If an entry
 * grants no access at all, the fault takes it for a NUMA hint, and may move the
 * page to another node.
 */
static bool only_write_differs(const struct vm_area_struct *vma,
			       unsigned long more, unsigned long less)
{
	return (more & VM_WRITE) && (more & VM_READ) &&
		!((more ^ less ^ VM_WRITE) & ~VM_ACCOUNT) &&
		faults_repair_write(vma);
}

/* Before mprotect(@prot): may entries lose what the call is going to revoke? */
static bool may_revoke(const struct vm_area_struct *vma, unsigned long prot)
{
	return only_write_differs(vma, vma->vm_flags,
				  (vma->vm_flags & ~VM_ACCESS_FLAGS) |
				  calc_vm_prot_bits(prot, 0));
}

/*
 * After a call has granted permissions: may entries get what the VMA grants
 * now? That need not be what the call has set. If another thread has mapped
 * another VMA here meanwhile, its entries may get their permissions just as
 * well.
 */
static bool may_grant(const struct vm_area_struct *vma)
{
	return (vma->vm_flags & VM_WRITE) && faults_repair_write(vma);
}

/* Pages in a piece while a task waits for the lock, and the maximum */
#define PIECE_PAGES	256UL
#define PIECE_PAGES_MAX	2048UL
/* A huge page is as much work as this many small pages. */
#define HUGE_PAGE_WORK	16UL

/*
 * Return the end of a piece that starts at @addr: @pages pages, plus any parts
 * of the range that have no page tables. Page tables are not freed meanwhile:
 * the caller holds mmap_lock for write, or all of the range is in a VMA that it
 * has locked. (Page tables of hugetlb may be freed. There are none here.)
 */
static unsigned long piece_end(struct mm_struct *mm, unsigned long addr,
			       unsigned long end, unsigned long pages)
{
	unsigned long next, n;

	for (; addr < end; addr = next) {
		pgd_t *pgd = pgd_offset(mm, addr);
		p4d_t *p4d;
		pud_t *pud;
		pmd_t pmd;

		next = pgd_addr_end(addr, end);
		if (pgd_none(*pgd))
			continue;
		p4d = p4d_offset(pgd, addr);
		next = p4d_addr_end(addr, end);
		if (p4d_none(*p4d))
			continue;
		pud = pud_offset(p4d, addr);
		next = pud_addr_end(addr, end);
		if (pud_none(*pud))
			continue;
		next = pmd_addr_end(addr, end);
		pmd = READ_ONCE(*pmd_offset(pud, addr));
		if (pmd_none(pmd))
			continue;
		if (!pages)
			return addr;
		n = (next - addr) >> PAGE_SHIFT;
		if (pmd_present(pmd) && pmd_trans_huge(pmd))
			n = min(n, HUGE_PAGE_WORK);
		else if (n > pages)
			return addr + (pages << PAGE_SHIFT);
		pages -= min(n, pages);
	}
	return end;
}

/*
 * Change the entries of a range, each VMA under its own lock for read. Grant
 * write permission where it costs no copy, or revoke it. vm_page_prot of
 * private memory never has write permission. Flush the TLB before the VMA is
 * released: the next writer of the VMA may skip an entry that needs no change.
 */
static void change_entries(struct mm_struct *mm, unsigned long start,
			   unsigned long end, bool grant, unsigned long prot)
{
	struct vma_reader reader;

	vma_reader_init(&reader, mm);
	while (start < end && !fatal_signal_pending(current)) {
		struct vm_area_struct *vma = vma_reader_lock_next(&reader, start);
		unsigned long stop, next, pages = PIECE_PAGES;
		struct mmu_gather tlb;

		if (IS_ERR_OR_NULL(vma) || vma->vm_start >= end)
			break;
		/* mprotect() ends at a hole. */
		if (!grant && vma->vm_start > start)
			break;
		start = max(start, vma->vm_start);
		stop = min(end, vma->vm_end);
		if (!(grant ? may_grant(vma) : may_revoke(vma, prot))) {
			start = stop;
			continue;
		}
		tlb_gather_mmu(&tlb, mm);
		do {
			next = piece_end(mm, start, stop, pages);
			change_protection(&tlb, vma, start, next,
					  vma->vm_page_prot,
					  grant ? MM_CP_GRANT : 0);
			start = next;
			pages = min(2 * pages, PIECE_PAGES_MAX);
			cond_resched();
		} while (start < stop && !vma_read_is_contended(vma) &&
			 !fatal_signal_pending(current));
		tlb_finish_mmu(&tlb);
	}
	vma_reader_stop(&reader);
}

/* See vma_revoke_before(). */
void __vma_revoke_before(struct mm_struct *mm, unsigned long start,
			 unsigned long end, unsigned long prot)
{
	if (!(prot & PROT_WRITE) && may_walk_unlocked(mm))
		change_entries(mm, start, end, false, prot);
}

/* See vma_grants_later(). */
bool __vma_grants_later(const struct vm_area_struct *vma, unsigned long oldflags)
{
	vma_assert_write_locked((struct vm_area_struct *)vma);
	return may_walk_unlocked(vma->vm_mm) &&
		only_write_differs(vma, vma->vm_flags, oldflags);
}

/**
 * vma_grant_after - grant permissions to entries after a VMA has got them
 * @mm: current's mm
 * @start: the first address
 * @end: the end of the range
 *
 * This is only for speed: without it each page would take a fault.
 *
 * Context: May sleep. No lock is held.
 */
void vma_grant_after(struct mm_struct *mm, unsigned long start,
		     unsigned long end)
{
	change_entries(mm, start, end, true, 0);
}

/* See vma_revoked_before(). */
bool __vma_revoked_before(const struct vm_area_struct *vma,
			  unsigned long oldflags)
{
	vma_assert_write_locked((struct vm_area_struct *)vma);
	return may_walk_unlocked(vma->vm_mm) &&
		only_write_differs(vma, oldflags, vma->vm_flags);
}

/*
 * May a VMA be unmapped a part at a time? Not if the owner of the file or a
 * userfaultfd would notice, and not if the VMA may grow meanwhile.
 */
static bool may_unmap_in_pieces(const struct vm_area_struct *vma)
{
	return !(vma->vm_flags & (VM_GROWSDOWN | VM_GROWSUP)) &&
		!(vma->vm_ops && (vma->vm_ops->close || vma->vm_ops->may_split)) &&
		vma_is_ordinary(vma);
}

/**
 * vma_unmaps_in_pieces - should munmap() release mmap_lock now and then?
 * @mm: current's mm, mmap_lock held for write
 * @start: the first address, as user space gave it
 * @len: the length in bytes
 *
 * Return: true if vma_munmap_pieces() may do it.
 */
bool vma_unmaps_in_pieces(struct mm_struct *mm, unsigned long start, size_t len)
{
	VMA_ITERATOR(vmi, mm, start);
	struct vm_area_struct *vma;
	unsigned long end;

	mmap_assert_write_locked(mm);
	if (len < VMA_PIECES_MIN || offset_in_page(start) || start > TASK_SIZE ||
	    len > TASK_SIZE - start)
		return false;
	end = start + PAGE_ALIGN(len);
	/*
	 * Only one call works in pieces at a time, so that all marks are its
	 * own. It adds up to two VMAs, which others may see, so it stays away
	 * from the limit.
	 */
	if (!mm_is_shared(mm) || mm->vma_lock.unmapping ||
	    mm->map_count + 64 > sysctl_max_map_count)
		return false;

	for_each_vma_range(vmi, vma, end)
		if (!may_unmap_in_pieces(vma))
			return false;
	return piece_end(mm, start, end, PIECE_PAGES_MAX) != end;
}

/*
 * The caller holds mmap_lock for write, and nobody else reads VM_UNMAPPING. So
 * there is no need to wait for readers of the VMAs. A fatal signal may have
 * ended such a wait before.
 */
static void clear_unmapping(struct mm_struct *mm, unsigned long start,
			    unsigned long end)
{
	VMA_ITERATOR(vmi, mm, start);
	struct vm_area_struct *vma;

	mmap_assert_write_locked(mm);
	for_each_vma_range(vmi, vma, end)
		if (vma->vm_flags & VM_UNMAPPING)
			WRITE_ONCE(vma->vm_flags, vma->vm_flags & ~VM_UNMAPPING);
}

/* Mark what is mapped now. What other threads map later is not marked. */
static int set_unmapping(struct mm_struct *mm, unsigned long start,
			 unsigned long end)
{
	VMA_ITERATOR(vmi, mm, start);
	struct vm_area_struct *vma;
	int ret;

	vma = find_vma(mm, start);
	if (vma && vma->vm_start < start) {
		ret = __split_vma(mm, vma, start, 1);
		if (ret)
			return ret;
	}
	vma = find_vma(mm, end - 1);
	if (vma && vma->vm_start < end && vma->vm_end > end) {
		ret = __split_vma(mm, vma, end, 0);
		if (ret)
			return ret;
	}
	for_each_vma_range(vmi, vma, end) {
		ret = vma_start_write_killable(vma);
		if (ret) {
			clear_unmapping(mm, start, end);
			return ret;
		}
		vma->vm_flags |= VM_UNMAPPING;
	}
	return 0;
}

/* Find the next VMAs of the range that were mapped when munmap() was called. */
static bool next_unmapping(struct mm_struct *mm, unsigned long *addr,
			   unsigned long *stop, unsigned long end)
{
	VMA_ITERATOR(vmi, mm, *addr);
	struct vm_area_struct *vma;
	bool found = false;

	for_each_vma_range(vmi, vma, end) {
		if (!(vma->vm_flags & VM_UNMAPPING)) {
			if (found)
				break;
			continue;
		}
		if (!found)
			*addr = max(*addr, vma->vm_start);
		found = true;
		*stop = min(vma->vm_end, end);
		if (*stop - *addr >= PIECE_PAGES_MAX << PAGE_SHIFT)
			break;
	}
	return found;
}

/**
 * vma_munmap_pieces - munmap() that releases mmap_lock now and then
 * @mm: current's mm, mmap_lock held for write, as it is on return
 * @start: the first address; vma_unmaps_in_pieces() returned true for it
 * @len: the length in bytes
 * @uf: for userfaultfd_unmap_complete()
 *
 * Each piece is an munmap() of its own, with its pages, TLB entries and page
 * tables: other threads find old contents or nothing. VM_UNMAPPING marks the
 * VMAs that were there at the beginning. What other threads map in between
 * stays. A VMA keeps the flag when it is split. A VMA with the flag is not
 * merged, moved, or copied to a child.
 *
 * Context: May sleep.
 * Return: 0, or -ENOMEM, or -EINTR after a fatal signal. After an error, the
 * pieces before it stay unmapped.
 */
int vma_munmap_pieces(struct mm_struct *mm, unsigned long start, size_t len,
		      struct list_head *uf)
{
	unsigned long end = start + PAGE_ALIGN(len), addr = start, stop, whole;
	unsigned long pages = PIECE_PAGES;
	int ret = set_unmapping(mm, start, end);

	if (ret)
		return ret;
	mm->vma_lock.unmapping = true;
	while (next_unmapping(mm, &addr, &whole, end)) {
		stop = piece_end(mm, addr, whole, pages);
		ret = do_munmap(mm, addr, stop - addr, uf);
		/* No memory to split a VMA: unmap all of it. */
		if (ret == -ENOMEM && stop < whole) {
			stop = whole;
			ret = do_munmap(mm, addr, stop - addr, uf);
		}
		if (ret) {
			clear_unmapping(mm, addr, end);
			break;
		}
		addr = stop;
		pages = min(2 * pages, PIECE_PAGES_MAX);
		if (addr < end && mmap_lock_has_waiters(mm)) {
			mmap_write_unlock(mm);
			/* Let waiters wake up: see __mmap_read_give_way(). */
			usleep_range(5, 50);
			mmap_write_lock_narrow(mm);
			pages = PIECE_PAGES;
		}
	}
	mm->vma_lock.unmapping = false;
	return ret;
}
