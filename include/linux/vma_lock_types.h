/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _LINUX_VMA_LOCK_TYPES_H
#define _LINUX_VMA_LOCK_TYPES_H

#include <linux/lockdep_types.h>
#include <linux/rwsem.h>
#include <linux/types.h>

/*
 * The two halves of the per-VMA lock, embedded in struct vm_area_struct and in
 * struct mm_struct. Only include/linux/vma_lock.h and mm/vma_*.c access the
 * fields; Documentation/mm/per-vma-locks.rst explains how they work together.
 * Without CONFIG_PER_VMA_LOCK both structures are empty and take no room.
 */
#ifdef CONFIG_PER_VMA_LOCK

/*
 * The state of a VMA when mmap_lock was last released, for
 * CONFIG_PER_VMA_LOCK_DEBUG
 */
struct vma_lock_seen {
	bool valid;
	unsigned long field[14];
};

/**
 * struct vma_lock - the lock of one VMA
 * @vm_lock_seq: the mm_lock_seq under which the VMA was last write-locked by
 *	itself. Written under mmap_lock held for write.
 * @hot: 0, or the mm_lock_seq at which readers began to use the slots of CPUs.
 * @refs: the number of readers published here, and VMA_LOCK_* flags above it.
 * @moves: how many readers, since the VMA became cold, ran on another CPU than
 *	the reader before. A hint, like @cpu.
 * @cpu: the low bits of the CPU on which the last such reader ran.
 * @dep_map: the lock for lockdep, class "vma_lock".
 * @seen: for the validator, mm/vma_lock_debug.c.
 */
struct vma_lock {
	u64 vm_lock_seq;
	u64 hot;
	atomic_t refs;
	u16 moves;
	u8 cpu;
#ifdef CONFIG_DEBUG_LOCK_ALLOC
	struct lockdep_map dep_map;
#endif
#ifdef CONFIG_PER_VMA_LOCK_DEBUG
	struct vma_lock_seen seen;
#endif
};

/**
 * struct mm_vma_lock - what the VMA locks of one mm share
 * @mm_lock_seq: counts write holds of mmap_lock in steps of VMA_SEQ_STEP. Its
 *	low bits say how mmap_lock is held now. Written under mmap_lock held for
 *	write. Never wraps (2^62 holds).
 * @used: a reader may have locked a VMA of this mm. Set once, never cleared.
 * @unmapping: a munmap() in pieces is under way. Protected by mmap_lock.
 * @first_touches: how many first touches of a VMA have met a writer, up to 255.
 *	A hint, written without a lock.
 * @nr_hot: how many VMAs are hot.
 * @slot_cpus: the CPUs, modulo 64, on which a reader of this mm has claimed a
 *	slot. Bits are never cleared.
 * @writer: the holder of mmap_lock that waits for readers to leave a VMA.
 * @migration: held for write by mbind(), which moves pages after it has
 *	released mmap_lock. Held for read by tasks that look for the pages of
 *	the mm or change its policies, and that must wait for mbind(). Taken
 *	before mmap_lock.
 */
struct mm_vma_lock {
	u64 mm_lock_seq;
	bool used;
	bool unmapping;
	u8 first_touches;
	atomic_t nr_hot;
	unsigned long slot_cpus;
	struct rcuwait writer;
	struct rw_semaphore migration;
};

#else

struct vma_lock { };
struct mm_vma_lock { };

#endif /* CONFIG_PER_VMA_LOCK */
#endif /* _LINUX_VMA_LOCK_TYPES_H */
