// SPDX-License-Identifier: GPL-2.0
/*
 * Page faults under the VMA lock: which faults take it, and the switch.
 */
#include <linux/extable.h>
#include <linux/hugetlb.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/kstrtox.h>
#include <linux/mm.h>
#include <linux/rmap.h>
#include <linux/sched.h>
#include <linux/sysctl.h>
#include <linux/vma_lock.h>
#include <linux/vma_read.h>

/*
 * The switch only says whether readers try the VMA lock. Writers exclude
 * readers either way, so the switch can be turned at any time: a fault that is
 * under way ends as it began. It is not a static key. Turning a static key
 * rewrites code on every CPU, which is more than a kill switch should ask for,
 * and it saves one instruction.
 */
u8 sysctl_per_vma_lock __read_mostly = 1;

static int __init per_vma_lock_setup(char *str)
{
	bool on;

	if (kstrtobool(str, &on))
		pr_err("per_vma_lock=%s: neither on nor off\n", str);
	else
		sysctl_per_vma_lock = on;
	return 1;
}
__setup("per_vma_lock=", per_vma_lock_setup);

#ifdef CONFIG_SYSCTL
static struct ctl_table vma_fault_sysctls[] = {
	{
		.procname	= "per_vma_lock",
		.data		= &sysctl_per_vma_lock,
		.maxlen		= sizeof(sysctl_per_vma_lock),
		.mode		= 0644,
		.proc_handler	= proc_dou8vec_minmax,
		.extra1		= SYSCTL_ZERO,
		.extra2		= SYSCTL_ONE,
	},
	{ }
};

static int __init vma_fault_sysctl_init(void)
{
	register_sysctl_init("vm", vma_fault_sysctls);
	return 0;
}
late_initcall(vma_fault_sysctl_init);
#endif

/*
 * May faults of @vma run under the VMA lock? They may if they need nothing but
 * a stable VMA. The audits are in the messages of the series and, kind by kind,
 * in Documentation/mm/per-vma-locks.rst.
 *
 * Memory of a driver or a file system must opt in: by ->map_pages, that is, by
 * using the page cache, or by ->vma_lock_fault. Without any handler there is no
 * code that could need more than the VMA.
 */
static __always_inline bool __vma_fault_eligible(struct vm_area_struct *vma)
{
	const struct vm_operations_struct *ops = vma->vm_ops;

	if (vma_is_anonymous(vma))
		return true;
	return ops->map_pages || ops->vma_lock_fault ||
		is_vm_hugetlb_page(vma) ||
		(!ops->fault && !ops->huge_fault && !ops->page_mkwrite &&
		 !ops->pfn_mkwrite);
}

/* The same for callers that are not faults */
bool vma_fault_eligible(struct vm_area_struct *vma)
{
	return __vma_fault_eligible(vma);
}

/*
 * May a fault of the kernel itself take a VMA lock?
 *
 * A kernel thread must not: it may have no reference of its own to the mm that
 * it borrows. A kernel access without an exception table entry must oops while
 * mmap_lock is held for write, as it does without VMA locks. It succeeds only
 * by luck when mmap_lock is free. VMA locks, which are easier to get, must not
 * let more such accesses succeed. The holder of mmap_lock for write may be this
 * task.
 */
static bool kernel_fault_eligible(struct mm_struct *mm, struct pt_regs *regs)
{
	if (unlikely(current->flags & PF_KTHREAD))
		return false;
	return likely(!(READ_ONCE(mm->vma_lock.mm_lock_seq) & VMA_SEQ_HELD)) ||
		search_exception_tables(instruction_pointer(regs));
}

/* Lock the VMA by its own lock, or return NULL. See lock_fault_vma(). */
struct vm_area_struct *__lock_fault_vma(struct mm_struct *mm,
					unsigned long address,
					struct pt_regs *regs,
					unsigned int flags)
{
	struct vm_area_struct *vma;

	__might_sleep(__FILE__, __LINE__);
	if (unlikely(!vma_lock_is_on() ||
		     (flags & FAULT_FLAG_MMAP_LOCK)))
		return NULL;
	if (!(flags & FAULT_FLAG_USER)) {
		/*
		 * User mode reschedules when it returns from the fault. Kernel
		 * mode may not. A fault that the access repeats until another
		 * task has run needs a chance to reschedule. Taking mmap_lock
		 * has that chance in might_sleep(). This check costs less.
		 */
		if (unlikely(need_resched()))
			might_resched();
		if (unlikely(!kernel_fault_eligible(mm, regs))) {
			count_vma_lock_fallback(mm, address,
						VMA_LOCK_FALLBACK_KERNEL);
			goto abort;
		}
	}

	vma = lock_own_vma_under_rcu(mm, address);
	if (unlikely(!vma))
		return NULL;
	/* The second attempt keeps the VMA while it waits for I/O. */
	if (unlikely(flags & FAULT_FLAG_TRIED))
		vma_read_may_sleep(vma);
	vma_lock_oops(address);
	if (likely(__vma_fault_eligible(vma)))
		return vma;
	vma_end_read(vma);
	count_vma_lock_fallback(mm, address, VMA_LOCK_FALLBACK_NOT_OPTED_IN);
abort:
	count_vm_vma_lock_event(VMA_LOCK_ABORT);
	return NULL;
}

/* Find the VMA under mmap_lock. See lock_fault_vma(). */
struct vm_area_struct *__lock_fault_mmap(struct mm_struct *mm,
					 unsigned long address,
					 struct pt_regs *regs)
{
	struct vm_area_struct *vma = lock_mm_and_find_vma(mm, address, regs);

	/* A stack that has grown begins at the page that is touched. */
	if (vma_lock_is_on() && vma &&
	    (vma->vm_flags & VM_GROWSDOWN) &&
	    vma->vm_start == (address & PAGE_MASK))
		count_vm_vma_lock_event(VMA_LOCK_STACK_GROWTH);
	return vma;
}

/**
 * fault_retry_flags - the flags for the next attempt
 * @flags: the fault's flags in the attempt that ended
 * @fault: what handle_mm_fault() returned, with VM_FAULT_RETRY
 *
 * A fault that slept (for I/O, a page lock or userfaultfd) tries the VMA lock
 * once more. It has FAULT_FLAG_TRIED then, and so holds its lock until it is
 * done, except for userfaultfd. After two attempts under the VMA lock, the next
 * attempts run under mmap_lock. They end, or do not end, as they did without
 * VMA locks.
 *
 * Return: flags for lock_fault_vma().
 */
unsigned int fault_retry_flags(unsigned int flags, vm_fault_t fault)
{
	bool second = flags & FAULT_FLAG_TRIED;

	if (!(flags & FAULT_FLAG_VMA_LOCK))
		return (flags & ~FAULT_FLAG_COUNTED) | FAULT_FLAG_TRIED;

	flags &= ~FAULT_FLAG_VMA_LOCK;
	/* The attempt gave up before it did anything: it does not count. */
	if (fault & VM_FAULT_MMAP_LOCK)
		return flags | FAULT_FLAG_MMAP_LOCK | FAULT_FLAG_COUNTED;
	if (second) {
		count_vma_lock_fallback(current->mm, 0, VMA_LOCK_FALLBACK_RETRIES);
		flags |= FAULT_FLAG_MMAP_LOCK;
	}
	return flags | FAULT_FLAG_TRIED;
}

static vm_fault_t fault_start_over(struct vm_area_struct *vma)
{
	vma_end_read(vma);
	return VM_FAULT_RETRY | VM_FAULT_MMAP_LOCK;
}

/**
 * fault_need_mmap_lock - end an attempt that can continue only under mmap_lock
 * @vma: the VMA of the fault
 * @flags: the fault's flags
 *
 * For handlers of memory that has not been audited. They call this before they
 * do anything.
 *
 * Return: 0 if mmap_lock is held already. Otherwise the lock is released, and
 * the handler must return this value.
 */
vm_fault_t fault_need_mmap_lock(struct vm_area_struct *vma, unsigned int flags)
{
	if (!(flags & FAULT_FLAG_VMA_LOCK))
		return 0;
	count_vma_lock_fallback(vma->vm_mm, vma->vm_start, VMA_LOCK_FALLBACK_DEVICE);
	return fault_start_over(vma);
}

/* See fault_anon_prepare(). */
vm_fault_t __fault_anon_prepare(struct vm_area_struct *vma, unsigned int flags)
{
	struct mm_struct *mm = vma->vm_mm;
	int ret;

	if (!(flags & FAULT_FLAG_VMA_LOCK))
		return __anon_vma_prepare(vma) ? VM_FAULT_OOM : 0;

	/* Only try: a writer that holds mmap_lock may be waiting for @vma. */
	if (!mmap_read_trylock(mm)) {
		count_vma_lock_fallback(mm, vma->vm_start, VMA_LOCK_FALLBACK_ANON_VMA);
		if (READ_ONCE(mm->vma_lock.first_touches) < U8_MAX)
			WRITE_ONCE(mm->vma_lock.first_touches,
				   READ_ONCE(mm->vma_lock.first_touches) + 1);
		return fault_start_over(vma);
	}
	ret = __anon_vma_prepare(vma);
	mmap_read_unlock(mm);
	return ret ? VM_FAULT_OOM : 0;
}

/* Writers prepare for first touches after this many have met a writer. */
#define FIRST_TOUCHES	16

/**
 * vma_prepare_first_touch - give a VMA the anon_vma that its first fault needs
 * @vma: the VMA, write-locked, new or expanded
 *
 * Without this, the first fault takes mmap_lock to get an anon_vma, and may
 * find a writer there. The caller of this function holds mmap_lock already. But
 * a VMA that is never touched would cost an anon_vma, and fork() would copy it.
 * So prepare only in a process in which first touches have met writers.
 *
 * Context: May sleep. mmap_lock is held for write, so that no neighbour gets an
 * anon_vma meanwhile. If there is no memory, the first fault tries again.
 */
void vma_prepare_first_touch(struct vm_area_struct *vma)
{
	struct mm_struct *mm = vma->vm_mm;

	if (READ_ONCE(mm->vma_lock.first_touches) < FIRST_TOUCHES ||
	    vma->anon_vma || vma->vm_file || !vma_is_anonymous(vma) ||
	    !(vma->vm_flags & VM_WRITE) || !mm_is_shared(mm))
		return;
	vma_assert_write_locked(vma);
	__anon_vma_prepare(vma);
}
