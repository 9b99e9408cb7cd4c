// SPDX-License-Identifier: GPL-2.0
/*
 * Run-time checks of per-VMA locks. The validator finds writers that forgot a
 * lock: it compares VMAs with their state when mmap_lock was last released. The
 * delays widen the windows of the protocol, so that races show.
 */
#include <linux/delay.h>
#include <linux/export.h>
#include <linux/hugetlb.h>
#include <linux/jhash.h>
#include <linux/kernel.h>
#include <linux/mempolicy.h>
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/moduleparam.h>
#include <linux/pagewalk.h>
#include <linux/random.h>
#include <linux/rmap.h>
#include <linux/sched.h>
#include <linux/vma_lock.h>

/* 0: choose a seed at random */
static unsigned long seed;
module_param(seed, ulong, 0444);

/* Delay in one of this many windows; 0: never */
static unsigned int one_in = 64;
module_param(one_in, uint, 0644);

/* Make VMAs hot as soon as possible in one of this many cases; 0: never */
static unsigned int hot_one_in = 4;
module_param(hot_one_in, uint, 0644);

/* Compare VMAs at each release? A test that makes many VMAs turns this off. */
static bool compare_vmas = true;
module_param(compare_vmas, bool, 0644);

static DEFINE_PER_CPU(u32, delay_state);

/* Marsaglia's xorshift. A lost update does no harm. */
static u32 next_random(void)
{
	u32 x = raw_cpu_read(delay_state);

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	raw_cpu_write(delay_state, x);
	return x;
}

/**
 * vma_lock_delay - delay the caller now and then
 *
 * Context: Any.
 */
void vma_lock_delay(void)
{
	u32 x;

	if (!READ_ONCE(one_in) || !READ_ONCE(seed))
		return;
	x = next_random();
	if (!(x % READ_ONCE(one_in)))
		udelay(x >> 16 & 63);
}

/**
 * vma_lock_heat_now - should a VMA become hot before its time?
 *
 * Context: Any.
 */
bool vma_lock_heat_now(void)
{
	unsigned int n = READ_ONCE(hot_one_in);

	return n && !(next_random() % n);
}

static int __init vma_lock_debug_init(void)
{
	int cpu;

	if (!seed)
		seed = get_random_u32() | 1;
	pr_info("vma_lock_debug: delays from seed=%lu\n", seed);
	for_each_possible_cpu(cpu)
		per_cpu(delay_state, cpu) = (u32)seed * (cpu + 1) | 1;
	return 0;
}
core_initcall(vma_lock_debug_init);

static const char *const names[] = {
	"vm_start", "vm_end", "vm_flags", "vm_page_prot", "vm_pgoff", "vm_file",
	"vm_ops", "anon_vma", "vm_policy", "userfaultfd", "name",
	"anon_vma_chain", "vm_private_data", "the nodes of vm_policy",
};

#define ANON_VMA 7
#define ANON_VMA_CHAIN 11

/*
 * Return vm_private_data where it belongs to the holder of the VMA, and 0
 * elsewhere. Nobody uses it in anonymous memory. The faults of hugetlb read it
 * under the VMA lock. There it points to the lock against unsharing of a shared
 * mapping, or to the reservations of a private mapping. It changes where the
 * VMA is copied, moved or unmapped. A handler that has opted in has said that
 * it needs nothing but the VMA, which includes this field. Other drivers
 * protect theirs as they like.
 *
 * The low bits of hugetlb's pointer are flags. A fault of the parent that takes
 * a page from its child sets a flag (HPAGE_RESV_UNMAPPED) in the VMA of the
 * child. That fault holds i_mmap_rwsem but no lock of that VMA or mm. Only the
 * child's next faults read the flag.
 */
static unsigned long private_data(const struct vm_area_struct *vma)
{
	unsigned long data = (unsigned long)vma->vm_private_data;

	if (is_vm_hugetlb_page((struct vm_area_struct *)vma))
		return data & ~3UL;
	return !vma->vm_ops || vma->vm_ops->vma_lock_fault ? data : 0;
}

/*
 * The parts of a policy that allocations read, in one word. A policy belongs to
 * one VMA, which has its own copy. The policy stays while mmap_lock is held.
 * Only a cpuset that changes (mpol_rebind_mm()) writes to it in place.
 */
static unsigned long policy_nodes(const struct mempolicy *pol)
{
#ifdef CONFIG_NUMA
	if (pol)
		return jhash(&pol->nodes, sizeof(pol->nodes),
			     jhash(&pol->w, sizeof(pol->w),
				   jhash_3words(pol->mode, pol->flags,
						pol->home_node, 0)));
#endif
	return 0;
}

/*
 * Leave out VM_PAT: a holder of mmap_lock for read clears it on unmap, and
 * faults do not use it. New links of anon_vma_chain go to its front, and all
 * links leave together. So the first link shows a change, without a walk.
 */
static void look(const struct vm_area_struct *vma, unsigned long *field)
{
	unsigned long flags = vma->vm_flags;

#ifdef VM_PAT
	flags &= ~VM_PAT;
#endif
	flags &= ~VM_UNMAPPING;	/* protected by mmap_lock alone */
	field[0] = vma->vm_start;
	field[1] = vma->vm_end;
	field[2] = flags;
	field[3] = pgprot_val(vma->vm_page_prot);
	field[4] = vma->vm_pgoff;
	field[5] = (unsigned long)vma->vm_file;
	field[6] = (unsigned long)vma->vm_ops;
	field[ANON_VMA] = (unsigned long)READ_ONCE(vma->anon_vma);
	field[8] = (unsigned long)vma_policy(vma);
	field[9] = 0;
#ifdef CONFIG_USERFAULTFD
	field[9] = (unsigned long)vma->vm_userfaultfd_ctx.ctx;
#endif
	field[10] = (unsigned long)anon_vma_name((struct vm_area_struct *)vma);
	field[ANON_VMA_CHAIN] = (unsigned long)vma->anon_vma_chain.next;
	field[12] = private_data(vma);
	field[13] = policy_nodes(vma_policy(vma));
	BUILD_BUG_ON(ARRAY_SIZE(names) !=
		     ARRAY_SIZE(vma->vma_lock.seen.field));
}

/* The places that have been reported. Places beyond these are not reported. */
static unsigned long reported[32];

static bool report_once(unsigned long ip)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(reported); i++) {
		unsigned long old = cmpxchg(&reported[i], 0, ip);

		if (!old)
			return true;
		if (old == ip)
			return false;
	}
	return false;
}

/*
 * Was it a first touch? A first touch sets anon_vma and links the VMA to it,
 * once, with mmap_lock held for read. No first touch is under way: the caller
 * holds mmap_lock for write.
 */
static bool first_touch(struct vm_area_struct *vma, const unsigned long *seen)
{
	return !seen[ANON_VMA] && list_is_singular(&vma->anon_vma_chain) &&
		list_first_entry(&vma->anon_vma_chain, struct anon_vma_chain,
				 same_vma)->anon_vma == vma->anon_vma;
}

static void compare(struct vm_area_struct *vma, const unsigned long *field,
		    unsigned long ip)
{
	const unsigned long *seen = vma->vma_lock.seen.field;
	int i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (field[i] == seen[i])
			continue;
		if ((i == ANON_VMA || i == ANON_VMA_CHAIN) &&
		    first_touch(vma, seen))
			continue;
		if (!report_once(ip))
			continue;
		WARN(1, "vma_lock: %s of VMA %lx-%lx was %lx, is %lx, and the VMA is not write-locked\n",
		     names[i], vma->vm_start, vma->vm_end, seen[i], field[i]);
		break;
	}
}

static int find_write_pte(pte_t *pte, unsigned long addr, unsigned long next,
			  struct mm_walk *walk)
{
	if (pte_present(*pte) && pte_write(*pte))
		*(unsigned long *)walk->private = addr;
	return 0;
}

static int find_write_pmd(pmd_t *pmd, unsigned long addr, unsigned long next,
			  struct mm_walk *walk)
{
	pmd_t entry = READ_ONCE(*pmd);

	if (!is_swap_pmd(entry) && !pmd_trans_huge(entry) && !pmd_devmap(entry))
		return 0;
	walk->action = ACTION_CONTINUE;	/* the walk would split it */
	if (pmd_present(entry) && pmd_write(entry))
		*(unsigned long *)walk->private = addr;
	return 0;
}

static const struct mm_walk_ops find_write_ops = {
	.pmd_entry = find_write_pmd,
	.pte_entry = find_write_pte,
};

/* Does an entry grant write permission that the VMA, new or changed, does not? */
static void check_entries(struct vm_area_struct *vma, unsigned long ip)
{
	unsigned long found = 0;

	if (vma->vm_flags & (VM_SPECIAL | VM_HUGETLB))
		return;
	walk_page_vma(vma, &find_write_ops, &found);
	if (found && report_once(ip))
		WARN(1, "vma_lock: the entry for %lx can be written, VMA %lx-%lx can't\n",
		     found, vma->vm_start, vma->vm_end);
}

/**
 * vma_lock_validate - report VMAs that changed without being write-locked
 * @mm: the mm, mmap_lock held for write and about to be released or downgraded
 * @ip: the place of the release
 *
 * Context: Any in which mmap_lock is released.
 */
void vma_lock_validate(struct mm_struct *mm, unsigned long ip)
{
	MA_STATE(mas, &mm->mm_mt, 0, 0);
	struct vm_area_struct *vma;

	if (!READ_ONCE(compare_vmas) || !atomic_read(&mm->mm_users))
		return;
	mas_for_each(&mas, vma, ULONG_MAX) {
		struct vma_lock_seen *seen = &vma->vma_lock.seen;
		unsigned long field[ARRAY_SIZE(names)];

		look(vma, field);
		if (seen->valid &&
		    !vma_write_locked_at(vma, mm->vma_lock.mm_lock_seq))
			compare(vma, field, ip);
		if (!(field[2] & VM_WRITE) &&
		    (!seen->valid || (seen->field[2] & VM_WRITE)))
			check_entries(vma, ip);
		memcpy(seen->field, field, sizeof(field));
		seen->valid = true;
	}
}
EXPORT_SYMBOL(vma_lock_validate);

/*
 * For a test: lock the VMA at the address that is written here, and wait for
 * mmap_lock. This breaks the rules on purpose, and lockdep must report it.
 */
static int hold_and_wait(const char *val, const struct kernel_param *kp)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	unsigned long address;
	int ret = kstrtoul(val, 0, &address);

	if (ret)
		return ret;
	if (!mm)
		return -EINVAL;
	vma = lock_vma_under_rcu(mm, address);
	if (!vma)
		return -EAGAIN;
	ret = mmap_read_lock_killable(mm);
	if (!ret)
		mmap_read_unlock(mm);
	vma_end_read(vma);
	return ret;
}

static const struct kernel_param_ops hold_and_wait_ops = {
	.set = hold_and_wait,
};
module_param_cb(hold_and_wait, &hold_and_wait_ops, NULL, 0200);

/* For a test: the next fault in this page that holds its VMA oopses. 0: none */
static unsigned long oops_at;
module_param(oops_at, ulong, 0644);

/**
 * vma_lock_oops - die in a fault that holds its VMA, if a test wants it
 * @address: the address of the fault
 *
 * Context: Process context, a VMA locked.
 */
void __no_sanitize_address vma_lock_oops(unsigned long address)
{
	unsigned long at = READ_ONCE(oops_at);

	if (likely(!at) || (at ^ address) & PAGE_MASK)
		return;
	/*
	 * Let one of several concurrent faults oops. The last page of the
	 * kernel's half is never mapped. A trap instruction would do on x86,
	 * but arm64 takes a trap like an NMI. If a task dies in it, RCU's
	 * nesting count is wrong, and the next idle CPU warns.
	 */
	if (cmpxchg(&oops_at, at, 0) == at)
		WRITE_ONCE(*(int *)-PAGE_SIZE, 0);
}
