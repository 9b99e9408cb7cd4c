// SPDX-License-Identifier: GPL-2.0
/*
 * Page faults under the VMA lock: which of them, and the switch.
 */
#include <linux/init.h>
#include <linux/kstrtox.h>
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/sysctl.h>
#include <linux/userfaultfd_k.h>
#include <linux/vma_lock.h>

/*
 * Only whether faults try the VMA lock. Writers exclude readers either way, so
 * it can be turned at any time: a fault that was under way ends as it began.
 * Not a static key: turning one rewrites code on every CPU, which is more than
 * a kill switch should ask for, and saves one instruction.
 */
static u8 per_vma_lock __read_mostly = 1;

static int __init per_vma_lock_setup(char *str)
{
	bool on;

	if (kstrtobool(str, &on))
		pr_err("per_vma_lock=%s: neither on nor off\n", str);
	else
		per_vma_lock = on;
	return 1;
}
__setup("per_vma_lock=", per_vma_lock_setup);

#ifdef CONFIG_SYSCTL
static struct ctl_table vma_fault_sysctls[] = {
	{
		.procname	= "per_vma_lock",
		.data		= &per_vma_lock,
		.maxlen		= sizeof(per_vma_lock),
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
 * What is known to need nothing but its own VMA to hold still. Called under the
 * VMA lock.
 *
 * Anonymous memory with an anon_vma, that is, after the first touch: to make
 * an anon_vma, anon_vma_prepare() looks at the neighbours in the tree. Not
 * ranges armed for userfaultfd: handle_userfault() expects mmap_lock.
 */
static bool vma_fault_eligible(struct vm_area_struct *vma)
{
	return vma_is_anonymous(vma) && vma->anon_vma &&
		!userfaultfd_armed(vma);
}

/**
 * lock_fault_vma - find the VMA of a fault and lock it, one way or the other
 * @mm: current->mm
 * @address: where the fault is
 * @regs: the registers at the fault
 * @flags: the fault's flags; FAULT_FLAG_VMA_LOCK is set or cleared in them
 *
 * Tries the VMA lock on the first attempt, mmap_lock after it. Architectures
 * call it in place of lock_mm_and_find_vma(), in a loop while handle_mm_fault()
 * answers VM_FAULT_RETRY, and then unlock_fault_vma() unless the handler has
 * released the lock.
 *
 * Context: May sleep.
 * Return: the VMA, or NULL with no lock held if there is none for @address.
 */
struct vm_area_struct *lock_fault_vma(struct mm_struct *mm,
				      unsigned long address,
				      struct pt_regs *regs,
				      unsigned int *flags)
{
	struct vm_area_struct *vma;

	/* Asked to retry: that was no first try, and did nothing yet. */
	if (unlikely(*flags & FAULT_FLAG_VMA_LOCK)) {
		*flags &= ~(FAULT_FLAG_VMA_LOCK | FAULT_FLAG_TRIED);
		goto mmap_lock;
	}
	if (unlikely(!READ_ONCE(per_vma_lock)) ||
	    (*flags & (FAULT_FLAG_USER | FAULT_FLAG_TRIED)) != FAULT_FLAG_USER)
		goto mmap_lock;

	vma = lock_vma_under_rcu(mm, address);
	if (unlikely(!vma))
		goto mmap_lock;
	if (likely(vma_fault_eligible(vma))) {
		*flags |= FAULT_FLAG_VMA_LOCK;
		return vma;
	}
	vma_end_read(vma);
	count_vm_vma_lock_event(VMA_LOCK_ABORT);

mmap_lock:
	return lock_mm_and_find_vma(mm, address, regs);
}
