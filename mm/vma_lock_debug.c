// SPDX-License-Identifier: GPL-2.0
/*
 * Per-VMA locks at run time: did a writer forget a lock, and would a race have
 * shown? The validator compares VMAs with what they were when mmap_lock was last
 * released; the delays widen the windows of the protocol.
 */
#include <linux/delay.h>
#include <linux/mempolicy.h>
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/moduleparam.h>
#include <linux/random.h>
#include <linux/vma_lock.h>

/* 0: at random */
static unsigned long seed;
module_param(seed, ulong, 0444);

/* One delay in so many windows; 0 for none */
static unsigned int one_in = 64;
module_param(one_in, uint, 0644);

/* VMAs become hot as soon as they can, in one of so many cases; 0 for never */
static unsigned int hot_one_in = 4;
module_param(hot_one_in, uint, 0644);

static DEFINE_PER_CPU(u32, delay_state);

/* Marsaglia's xorshift. A lost update is as random as any. */
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
 * vma_lock_delay - take a while now and then
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
 * vma_lock_heat_now - is a VMA to become hot before its time?
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
};

#define ANON_VMA 7

/*
 * Not vm_private_data: a driver's own, for it to protect. VM_PAT is cleared on
 * unmap by whoever holds mmap_lock for read, and of no concern to faults.
 */
static void look(const struct vm_area_struct *vma, unsigned long *field)
{
	unsigned long flags = vma->vm_flags;

#ifdef VM_PAT
	flags &= ~VM_PAT;
#endif
	field[0] = vma->vm_start;
	field[1] = vma->vm_end;
	field[2] = flags;
	field[3] = pgprot_val(vma->vm_page_prot);
	field[4] = vma->vm_pgoff;
	field[5] = (unsigned long)vma->vm_file;
	field[6] = (unsigned long)vma->vm_ops;
	field[7] = (unsigned long)READ_ONCE(vma->anon_vma);
	field[8] = (unsigned long)vma_policy(vma);
	field[9] = 0;
#ifdef CONFIG_USERFAULTFD
	field[9] = (unsigned long)vma->vm_userfaultfd_ctx.ctx;
#endif
	field[10] = (unsigned long)anon_vma_name((struct vm_area_struct *)vma);
	BUILD_BUG_ON(ARRAY_SIZE(names) !=
		     ARRAY_SIZE(vma->vma_lock.seen.field));
}

/* The places that have been reported. More than fit are not. */
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

static void compare(struct vm_area_struct *vma, const unsigned long *field,
		    unsigned long ip)
{
	const unsigned long *seen = vma->vma_lock.seen.field;
	int i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (field[i] == seen[i])
			continue;
		/* A first touch sets it with mmap_lock held for read. */
		if (i == ANON_VMA && !seen[i])
			continue;
		if (!report_once(ip))
			continue;
		WARN(1, "vma_lock: %s of VMA %lx-%lx was %lx, is %lx, and the VMA is not write-locked\n",
		     names[i], vma->vm_start, vma->vm_end, seen[i], field[i]);
		break;
	}
}

/**
 * vma_lock_validate - has a VMA changed that was not write-locked?
 * @mm: the mm, mmap_lock held for write and about to be released or downgraded
 * @ip: where
 *
 * Context: Any in which mmap_lock is released.
 */
void vma_lock_validate(struct mm_struct *mm, unsigned long ip)
{
	MA_STATE(mas, &mm->mm_mt, 0, 0);
	struct vm_area_struct *vma;

	if (!atomic_read(&mm->mm_users))
		return;
	mas_for_each(&mas, vma, ULONG_MAX) {
		struct vma_lock_seen *seen = &vma->vma_lock.seen;
		unsigned long field[ARRAY_SIZE(names)];

		look(vma, field);
		if (seen->valid &&
		    !vma_write_locked_at(vma, mm->vma_lock.mm_lock_seq))
			compare(vma, field, ip);
		memcpy(seen->field, field, sizeof(field));
		seen->valid = true;
	}
}
EXPORT_SYMBOL_GPL(vma_lock_validate);
