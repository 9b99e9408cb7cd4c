// SPDX-License-Identifier: GPL-2.0
/*
 * get_user_pages() and its variants under VMA locks: faulting in a range, and
 * taking the pages of a range.
 *
 * Everything that fails here, or that needs more than one VMA, is left to the
 * caller. The caller goes on from there under mmap_lock, so that results and
 * errors are those of mmap_lock.
 */
#include <linux/dax.h>
#include <linux/hugetlb.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/mmu_context.h>
#include <linux/rmap.h>
#include <linux/sched/signal.h>
#include <linux/userfaultfd_k.h>
#include <linux/vma_lock.h>
#include <linux/vma_read.h>
#include <linux/vmstat.h>

#include "internal.h"

/*
 * May pages of @vma be faulted in or taken under the VMA lock? This allows what
 * a fault may do under the VMA lock, except for what nobody has audited here.
 * @access is VM_READ or VM_WRITE. An access that the VMA does not allow is left
 * to mmap_lock, where FOLL_FORCE may allow it. FOLL_FORCE itself does not
 * matter: mlock() always passes it.
 */
static bool vma_gup_eligible(struct vm_area_struct *vma, vm_flags_t access)
{
	return (vma->vm_flags & access) && !(vma->vm_flags & VM_SPECIAL) &&
		!is_vm_hugetlb_page(vma) && !vma_is_dax(vma) &&
		vma_fault_eligible(vma);
}

/* A range that is processed VMA by VMA */
struct vma_gup {
	struct mm_struct *mm;
	vm_flags_t access;	/* what a VMA must allow */
	bool write;		/* its faults are writes, if the VMA allows that */
	bool mlock;		/* skips holes; no faults with VM_LOCKONFAULT */
	bool brief;		/* its first attempts do not sleep for long */
	bool started_over;	/* last fault started over to get an anon_vma */
};

/*
 * Will a fault in @vma need an anon_vma, which it gets only under mmap_lock? A
 * read seldom does: only that of a huge page. If a fault without VMA locks
 * would need none, @vma must not get an anon_vma here: fork() copies the
 * entries of a file's mapping only if it has an anon_vma.
 */
static bool vma_needs_anon_vma(struct vm_area_struct *vma,
			       const struct vma_gup *gup)
{
	if (vma->anon_vma || (vma->vm_flags & VM_SHARED))
		return false;
	if (gup->mlock && (vma->vm_flags & VM_LOCKONFAULT))
		return false;
	return (gup->write && (vma->vm_flags & VM_WRITE)) ||
		(gup->started_over && vma_is_anonymous(vma));
}

/*
 * Prepare an anon_vma before the fault, which would otherwise give up its
 * attempt. Return 0 or an error; *@locked says whether the lock is still held.
 * After -EAGAIN, which follows a wait for mmap_lock, the VMA has an anon_vma,
 * if it still exists.
 */
static int vma_gup_anon_prepare(struct vm_area_struct *vma, unsigned long addr,
				const struct vma_gup *gup, int *locked)
{
	vm_fault_t ret = fault_anon_prepare(vma, FAULT_FLAG_VMA_LOCK);
	int err = -EAGAIN;

	if (!ret)
		return 0;
	if (ret & VM_FAULT_OOM)
		return -ENOMEM;
	*locked = GUP_STARTED_OVER;
	if (mmap_read_lock_killable(gup->mm))
		return -EINTR;
	vma = vma_lookup(gup->mm, addr);
	if (vma && vma_gup_eligible(vma, gup->access) &&
	    vma_needs_anon_vma(vma, gup) && __anon_vma_prepare(vma))
		err = -ENOMEM;
	mmap_read_unlock(gup->mm);
	return err;
}

/*
 * Lock the VMA at @addr, or else the first VMA above it, and return it. If a
 * writer has the VMA, wait for that writer: no lock is held yet. Return NULL if
 * there is no VMA, or after a fatal signal.
 */
static struct vm_area_struct *vma_lock_or_wait(struct mm_struct *mm,
					       unsigned long addr, bool brief)
{
	struct vm_area_struct *vma = brief ? lock_own_vma_under_rcu(mm, addr) :
					     lock_vma_under_rcu(mm, addr);

	if (likely(vma) || mmap_read_lock_killable(mm))
		return vma;
	vma = find_vma(mm, addr);
	/* mmap_lock excludes every writer, and keeps the VMA. */
	if (vma && WARN_ON_ONCE(!vma_start_read(vma)))
		vma = NULL;
	mmap_read_unlock(mm);
	return vma;
}

/*
 * How often a page is tried. A page of a shared file may take three tries: one
 * reads it in (VM_FAULT_RETRY), one makes it writable (VM_FAULT_COMPLETED), and
 * one finds it. The fourth is for a race.
 */
#define GUP_TRIES	4

/*
 * Process a part of a locked VMA. @slept: the fault of its first page has slept
 * before and released the lock. Returns the number of pages before an error, 0
 * if the fault of the first page released the lock (see GUP_VMA_LOCKED), or an
 * error.
 */
typedef long gup_part_t(struct vm_area_struct *vma, unsigned long addr,
			unsigned long nr_pages, bool slept, void *arg,
			int *locked);

/*
 * Process a range part by part. @part is a constant, and is inlined. Returns
 * the number of pages.
 */
static __always_inline unsigned long vma_gup_parts(struct vma_gup *gup,
		unsigned long addr, unsigned long nr_pages, gup_part_t *part,
		void *arg)
{
	unsigned long done = 0;
	int tries = GUP_TRIES;
	bool slept = false;

	while (done < nr_pages && vma_lock_is_on()) {
		unsigned long at = addr + done * PAGE_SIZE;
		unsigned long left = nr_pages - done;
		int locked = GUP_VMA_LOCKED;
		struct vm_area_struct *vma;
		long got = -EFAULT;

		vma = vma_lock_or_wait(gup->mm, at, gup->brief && !slept);
		if (!vma)
			break;
		if (unlikely(at < vma->vm_start)) {
			if (gup->mlock)
				got = min(left, (vma->vm_start - at) >>
						PAGE_SHIFT);
		} else if (vma_gup_eligible(vma, gup->access)) {
			left = min(left, (vma->vm_end - (at & PAGE_MASK)) >>
					 PAGE_SHIFT);
			got = 0;
			if (unlikely(vma_needs_anon_vma(vma, gup)))
				got = vma_gup_anon_prepare(vma, at, gup, &locked);
			if (likely(!got))
				got = part(vma, at, left, slept, arg, &locked);
			else if (got == -EAGAIN)
				got = 0;
		}
		if (locked == GUP_VMA_LOCKED)
			vma_end_read(vma);
		slept = !locked;
		if (got > 0) {
			tries = GUP_TRIES;
			done += got;
		} else if (got < 0 || locked == GUP_VMA_LOCKED || !--tries) {
			break;	/* still locked: FOLL_NOWAIT */
		}
		/* Twice in a row: an anon_vma is not what is missing. */
		if (locked == GUP_STARTED_OVER && gup->started_over)
			break;
		gup->started_over = locked == GUP_STARTED_OVER;
	}
	return done;
}

static long populate_part(struct vm_area_struct *vma, unsigned long addr,
			  unsigned long nr_pages, bool slept, void *arg,
			  int *locked)
{
	unsigned long end = addr + nr_pages * PAGE_SIZE;
	enum vma_populate how = *(enum vma_populate *)arg;

	if (how == VMA_POPULATE)
		return populate_vma_page_range(vma, addr,
					       mlock_piece_end(vma, addr, end),
					       locked);
	return faultin_vma_page_range(vma, addr, populate_piece_end(addr, end),
				      how == VMA_POPULATE_WRITE, locked);
}

/**
 * vma_populate_range - fault in pages, each VMA under its own lock
 * @mm: current->mm
 * @start: the first address, page aligned
 * @end: the end
 * @how: as __mm_populate() or as MADV_POPULATE_READ or MADV_POPULATE_WRITE
 *
 * This releases the VMA after 512 pages, or earlier if a writer waits for it.
 * If a fault sleeps and so releases the VMA, the page is tried again a few
 * times.
 *
 * Context: May sleep. The caller holds neither mmap_lock nor a VMA lock.
 * Return: the address where this ended. If that is not @end, there is a hole,
 * an error, a fatal signal, or a VMA that needs mmap_lock. The caller then goes
 * on there under mmap_lock.
 */
unsigned long vma_populate_range(struct mm_struct *mm, unsigned long start,
				 unsigned long end, enum vma_populate how)
{
	struct vma_gup gup = {
		.mm = mm,
		.access = how == VMA_POPULATE_WRITE ? VM_WRITE : VM_READ,
		.write = how != VMA_POPULATE_READ,
		.mlock = how == VMA_POPULATE,
	};

	if (!mm_is_shared(mm))
		return start;
	return start + PAGE_SIZE *
		vma_gup_parts(&gup, start, (end - start) >> PAGE_SHIFT,
			      populate_part, &how);
}

struct gup_pages {
	struct page **pages;		/* for the remaining pages */
	unsigned int gup_flags;
};

static long pages_part(struct vm_area_struct *vma, unsigned long addr,
		       unsigned long nr_pages, bool slept, void *arg,
		       int *locked)
{
	struct gup_pages *p = arg;
	long got;

	/*
	 * Leave this to mmap_lock, where a long-term pin does not wait for
	 * userspace.
	 */
	if ((p->gup_flags & FOLL_LONGTERM) && userfaultfd_armed(vma))
		return -EFAULT;
	/* The second attempt waits for I/O, and reports its error. */
	got = gup_locked_vma(vma, addr, min(nr_pages, slept ? 1UL : 512UL),
			     p->gup_flags | (slept ? FOLL_TRIED : 0), p->pages,
			     locked);
	if (got > 0)
		p->pages += got;
	return got;
}

/* Other flags ask for something else than a page, or for another wait. */
#define VMA_GUP_FLAGS	(FOLL_WRITE | FOLL_TOUCH | FOLL_GET | FOLL_PIN | \
			 FOLL_REMOTE | FOLL_FORCE | FOLL_HWPOISON | \
			 FOLL_LONGTERM | FOLL_NOWAIT)

/**
 * vma_gup - take the pages of a range, each VMA under its own lock
 * @mm: the mm, for which mm_is_shared() is true; the caller holds a reference
 *	of its own to mm_users
 * @start: the first address
 * @nr_pages: how many pages
 * @pages: where to store the pages
 * @gup_flags: FOLL_*; with FOLL_PIN, the mm has MMF_HAS_PINNED
 *
 * This takes pages as get_user_pages() does. fork() excludes the readers of
 * every VMA, as it excludes holders of mmap_lock for read. So either fork()
 * sees that a page is pinned, or the page is pinned after the copy.
 *
 * Context: May sleep. The caller holds neither mmap_lock nor a VMA lock.
 * Return: the number of pages taken. If that is less than @nr_pages, for
 * whatever reason, the caller goes on under mmap_lock: see
 * vma_populate_range().
 */
unsigned long vma_gup(struct mm_struct *mm, unsigned long start,
		      unsigned long nr_pages, struct page **pages,
		      unsigned int gup_flags)
{
	struct vma_gup gup = {
		.mm = mm,
		.access = gup_flags & FOLL_WRITE ? VM_WRITE : VM_READ,
		.write = gup_flags & FOLL_WRITE,
		.brief = mm == current->mm,
	};
	struct gup_pages arg = { pages, gup_flags };
	unsigned long done;

	if (!pages || (gup_flags & ~VMA_GUP_FLAGS))
		return 0;
	if (!(gup_flags & FOLL_PIN))
		arg.gup_flags |= FOLL_GET;

	done = vma_gup_parts(&gup, untagged_addr(start), nr_pages, pages_part,
			     &arg);
	count_vm_vma_lock_event(done == nr_pages ? VMA_LOCK_READ :
						   VMA_LOCK_READ_MMAP);
	return done;
}

struct gup_access {
	void *buf;
	int len;
	unsigned int gup_flags;
};

/* Copy to or from one page. */
static long access_part(struct vm_area_struct *vma, unsigned long addr,
			unsigned long nr_pages, bool slept, void *arg,
			int *locked)
{
	struct gup_access *a = arg;
	bool write = a->gup_flags & FOLL_WRITE;
	struct page *page;
	void *maddr;
	long got;

	/*
	 * Leave this to mmap_lock, where this access does not wait for
	 * userspace.
	 */
	if (userfaultfd_armed(vma))
		return -EFAULT;
	got = gup_locked_vma(vma, addr, 1,
			     a->gup_flags | (slept ? FOLL_TRIED : 0), &page,
			     locked);
	if (got <= 0)
		return got;
	maddr = kmap_local_page(page);
	if (write)
		copy_to_user_page(vma, page, addr, maddr + offset_in_page(addr),
				  a->buf, a->len);
	else
		copy_from_user_page(vma, page, addr, a->buf,
				    maddr + offset_in_page(addr), a->len);
	kunmap_local(maddr);
	if (write)
		set_page_dirty_lock(page);
	put_page(page);
	return 1;
}

/**
 * vma_access_range - copy from or to memory of an mm, page by page
 * @mm: the mm; the caller holds a reference of its own to mm_users
 * @addr: the first address there
 * @buf: the kernel's memory: the target of the copy, or its source with
 *	FOLL_WRITE
 * @len: how many bytes
 * @gup_flags: FOLL_WRITE, FOLL_FORCE, FOLL_ANON
 *
 * The part of access_remote_vm() that needs no mmap_lock. Each page is found,
 * faulted in and copied under the lock of its VMA.
 *
 * Context: May sleep. The caller holds neither mmap_lock nor a VMA lock.
 * Return: the number of bytes copied. If that is less than @len, for whatever
 * reason, the caller goes on under mmap_lock: see vma_populate_range().
 */
int vma_access_range(struct mm_struct *mm, unsigned long addr, void *buf,
		     int len, unsigned int gup_flags)
{
	struct vma_gup gup = {
		.mm = mm,
		.access = gup_flags & FOLL_WRITE ? VM_WRITE : VM_READ,
		.write = gup_flags & FOLL_WRITE,
	};
	int done = 0;

	if (!mm_is_shared(mm))
		return 0;
	while (done < len) {
		struct gup_access a = {
			.buf = buf + done,
			.len = min_t(int, len - done,
				     PAGE_SIZE - offset_in_page(addr + done)),
			.gup_flags = gup_flags | FOLL_GET | FOLL_TOUCH |
				     FOLL_REMOTE,
		};

		if (!vma_gup_parts(&gup, addr + done, 1, access_part, &a))
			break;
		done += a.len;
	}
	count_vm_vma_lock_event(done == len ? VMA_LOCK_READ :
					      VMA_LOCK_READ_MMAP);
	return done;
}

/**
 * vma_fixup_fault - fixup_user_fault() of a page, under its VMA lock
 * @mm: current->mm
 * @addr: the address
 * @fault_flags: 0 or FAULT_FLAG_WRITE
 *
 * If userspace would handle the fault by userfaultfd, this returns -EAGAIN. The
 * caller then decides under mmap_lock whether it waits.
 *
 * Context: May sleep. The caller holds neither mmap_lock nor a VMA lock.
 * Return: 0, or the error of fixup_user_fault(), or -EAGAIN: the caller must
 * call fixup_user_fault() under mmap_lock.
 */
int vma_fixup_fault(struct mm_struct *mm, unsigned long addr,
		    unsigned int fault_flags)
{
	bool write = fault_flags & FAULT_FLAG_WRITE;
	vm_flags_t access = write ? VM_WRITE : VM_READ;
	int tries = GUP_TRIES;

	if (!mm_is_shared(mm))
		return -EAGAIN;
	addr = untagged_addr(addr);
	fault_flags |= FAULT_FLAG_VMA_LOCK | FAULT_FLAG_ALLOW_RETRY |
		       FAULT_FLAG_KILLABLE;
	do {
		struct vm_area_struct *vma =
			fault_flags & FAULT_FLAG_TRIED ?
				lock_vma_under_rcu(mm, addr) :
				lock_own_vma_under_rcu(mm, addr);
		vm_fault_t ret;

		if (!vma)
			break;
		if (!vma_gup_eligible(vma, access) || userfaultfd_armed(vma) ||
		    !arch_vma_access_permitted(vma, write, false, false) ||
		    fatal_signal_pending(current)) {
			vma_end_read(vma);
			break;
		}
		count_gup_fault(fault_flags);
		ret = handle_mm_fault(vma, addr, fault_flags, NULL);
		if (ret & VM_FAULT_COMPLETED)
			return 0;
		if (!(ret & VM_FAULT_RETRY)) {
			vma_end_read(vma);
			return ret & VM_FAULT_ERROR ? vm_fault_to_errno(ret, 0) :
						      0;
		}
		if (ret & VM_FAULT_MMAP_LOCK)
			break;
		fault_flags |= FAULT_FLAG_TRIED;
	} while (--tries);
	return -EAGAIN;
}
