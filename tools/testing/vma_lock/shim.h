/* SPDX-License-Identifier: GPL-2.0 */
#ifndef VMA_LOCK_SHIM_H
#define VMA_LOCK_SHIM_H

/*
 * The part of a kernel that include/linux/vma_lock.h and mm/vma_lock.c need, in
 * user space. Every <linux/...> header that they include is this one.
 *
 * Atomics order what the kernel's atomics order, and no more. Atomics that return
 * nothing order nothing. Fully ordered atomics and smp_mb() order everything.
 */
#include <asm/types.h>	/* for <sys/stat.h> */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned long long u64;

#define CONFIG_DEBUG_VM		1
#define IS_ENABLED(option)	(option)
#define likely(x)		__builtin_expect(!!(x), 1)
#define unlikely(x)		__builtin_expect(!!(x), 0)
#define OPTIMIZER_HIDE_VAR(v)	__asm__("" : "=r" (v) : "0" (v))
#define __must_check		__attribute__((warn_unused_result))
#ifndef __always_inline
#define __always_inline		inline __attribute__((always_inline))
#endif
#define noinline		__attribute__((__noinline__))
#define __aligned(n)		__attribute__((__aligned__(n)))
#define ARRAY_SIZE(a)		((int)(sizeof(a) / sizeof((a)[0])))
#define U16_MAX			((u16)~0U)
#define min_t(type, a, b)	((type)(a) < (type)(b) ? (type)(a) : (type)(b))
#define EXPORT_SYMBOL(s)
#define EXPORT_SYMBOL_GPL(s)
#define _RET_IP_		0UL
#define _THIS_IP_		0UL

/* Tests look at shim_warned. After shim_warn_is_fatal() a warning ends the program. */
extern int shim_warned;
bool shim_warn(const char *file, int line, const char *what);
void shim_warn_is_fatal(void);
void shim_watchdog(int seconds);
int shim_number(int argc, char **argv, int number, const char *usage);
#define WARN_ON_ONCE(c)							\
({									\
	bool __warn = (c);						\
									\
	if (unlikely(__warn))						\
		shim_warn(__FILE__, __LINE__, #c);			\
	__warn;								\
})
#define pr_warn(...)		((void)shim_warn(__FILE__, __LINE__, "pr_warn"))
#define VM_WARN_ON_ONCE(c)	((void)WARN_ON_ONCE(c))

/* --- memory ordering */
#if defined(SHIM_READS) || defined(__SANITIZE_THREAD__)
/* Called after each load. */
void shim_read(const void *address);
#define SHIM_LOAD(p, order)						\
({									\
	__auto_type __value = __atomic_load_n(p, order);		\
									\
	shim_read(p);							\
	__value;							\
})
#else
#define SHIM_LOAD(p, order)	__atomic_load_n(p, order)
#endif
#define READ_ONCE(x)		SHIM_LOAD(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, v)	__atomic_store_n(&(x), v, __ATOMIC_RELAXED)
#define smp_load_acquire(p)	SHIM_LOAD(p, __ATOMIC_ACQUIRE)
#define smp_store_release(p, v)	__atomic_store_n(p, v, __ATOMIC_RELEASE)
#define smp_rmb()		smp_mb()

/*
 * TSan does not know atomic_thread_fence(). For TSan smp_mb() is an atomic exchange of
 * a variable that no other thread has. On x86 that is still a full barrier. It makes up
 * no "happens before" between threads, so no report is lost. The protocol needs no
 * "happens before" of smp_mb() either: barriers order a store and a later load, and
 * data is handed over by acquires and releases.
 */
#ifdef __SANITIZE_THREAD__
/*
 * Slots are the exception: a relaxed load with a barrier after it is an acquire. Here
 * it acquires what the slot holds at the barrier. It should acquire what was loaded.
 */
void shim_acquire_slots(void);
#ifndef __x86_64__
#error "An exchange is a full barrier on x86-64 only: no TSan build elsewhere"
#endif
static inline void smp_mb(void)
{
	int dummy = 0;

	__atomic_exchange_n(&dummy, 1, __ATOMIC_SEQ_CST);
	shim_acquire_slots();
}
#else
#define smp_mb()		__atomic_thread_fence(__ATOMIC_SEQ_CST)
#endif

/* The barriers that make an atomic fully ordered. On x86 none is needed. */
#ifdef __x86_64__
#define smp_mb_atomic()		do { } while (0)
#else
#define smp_mb_atomic()		smp_mb()
#endif

#define BITS_PER_LONG		64
#define BIT_MASK(nr)		(1UL << ((nr) % BITS_PER_LONG))
#define DIV_ROUND_UP(n, d)	(((n) + (d) - 1) / (d))
#define hweight_long(w)		((unsigned int)__builtin_popcountl(w))
#define set_bit(nr, p)							\
	((void)__atomic_fetch_or(p, BIT_MASK(nr), __ATOMIC_RELAXED))
#define for_each_set_bit(bit, p, size)					\
	for ((bit) = 0; (bit) < (size); (bit)++)			\
		if (*(p) & BIT_MASK(bit))

typedef struct {
	int counter;
} atomic_t;

#define ATOMIC_OP(name, op, order)					\
static inline int name(int i, atomic_t *v)				\
{									\
	return __atomic_##op(&v->counter, i, order);			\
}
#define ATOMIC_OP_FULL(name, op)					\
static inline int name(int i, atomic_t *v)				\
{									\
	int ret;							\
									\
	smp_mb_atomic();						\
	ret = __atomic_##op(&v->counter, i, __ATOMIC_SEQ_CST);		\
	smp_mb_atomic();						\
	return ret;							\
}
ATOMIC_OP_FULL(atomic_add_return, add_fetch)
ATOMIC_OP_FULL(atomic_fetch_add, fetch_add)
ATOMIC_OP_FULL(atomic_fetch_or, fetch_or)
ATOMIC_OP(atomic_sub_return_release, sub_fetch, __ATOMIC_RELEASE)
ATOMIC_OP(atomic_sub_return_relaxed, sub_fetch, __ATOMIC_RELAXED)
ATOMIC_OP(atomic_fetch_and_release, fetch_and, __ATOMIC_RELEASE)
ATOMIC_OP(atomic_fetch_and_relaxed, fetch_and, __ATOMIC_RELAXED)

#define atomic_read(v)		READ_ONCE((v)->counter)
#define atomic_read_acquire(v)	smp_load_acquire(&(v)->counter)
#define atomic_set(v, i)	WRITE_ONCE((v)->counter, i)
#define atomic_fetch_inc(v)	atomic_fetch_add(1, v)
#define atomic_add_negative(i, v)	(atomic_add_return(i, v) < 0)
#define atomic_add_negative_relaxed(i, v) (atomic_sub_return_relaxed(-(i), v) < 0)
#define atomic_fetch_andnot_release(i, v) atomic_fetch_and_release(~(i), v)
#define atomic_andnot(i, v)	((void)atomic_fetch_and_relaxed(~(i), v))
#define atomic_inc(v)		((void)__atomic_fetch_add(&(v)->counter, 1, __ATOMIC_RELAXED))
#define atomic_dec(v)		((void)__atomic_fetch_sub(&(v)->counter, 1, __ATOMIC_RELAXED))

/* Orders nothing if it fails. */
#define CMPXCHG(p, old, new, order)					\
({									\
	__typeof__(*(p)) __old = (old);					\
									\
	__atomic_compare_exchange_n(p, &__old, new, false, order,	\
				    __ATOMIC_RELAXED);			\
	__old;								\
})
#define cmpxchg(p, old, new)						\
({									\
	__typeof__(*(p)) __was;						\
									\
	smp_mb_atomic();						\
	__was = CMPXCHG(p, old, new, __ATOMIC_SEQ_CST);			\
	smp_mb_atomic();						\
	__was;								\
})
#define cmpxchg_release(p, old, new)	CMPXCHG(p, old, new, __ATOMIC_RELEASE)
#define cmpxchg_relaxed(p, old, new)	CMPXCHG(p, old, new, __ATOMIC_RELAXED)

/* --- tasks: one for each thread, never freed, so that a late waker finds memory */
#define TASK_RUNNING		0
#define TASK_UNINTERRUPTIBLE	2
#define TASK_KILLABLE		0x102
#define PF_KTHREAD		0x00200000

struct mm_struct;
struct task_struct {
	struct mm_struct *mm;
	unsigned int flags;
	int state;		/* what schedule() waits on */
	int sleeps;		/* calls of schedule() */
	bool killed;		/* by a fatal signal */
	bool threads;		/* does its process have others? */
	int vma_locks;		/* how many it holds, for lockdep's stand-in */
	int cpu;		/* the CPU on which it pretends to run */
	unsigned long *vma_slot;
	unsigned long vma_counted;
	unsigned long rcu;	/* odd inside rcu_read_lock() */
	int rcu_nesting;
};

extern _Thread_local struct task_struct *current;
struct task_struct *task_new(struct mm_struct *mm);
void task_kill(struct task_struct *task);
void schedule(void);
#define cond_resched()		do { } while (0)
#define thread_group_empty(task)	(!READ_ONCE((task)->threads))

/* --- CPUs: as many as the test likes; a task moves by writing its ->cpu */
#ifndef SHIM_CPUS
#define SHIM_CPUS		4
#endif
#ifndef SMP_CACHE_BYTES
#define SMP_CACHE_BYTES		64
#endif
#define nr_cpu_ids		SHIM_CPUS
#define cpu_possible(cpu)	((cpu) != 511)	/* a hole in their numbers */
#define raw_smp_processor_id()	(current->cpu)
/* Another name, for tests that look inside */
#define DEFINE_PER_CPU_ALIGNED(type, name)				\
	type name[SHIM_CPUS] __aligned(64);				\
	void *const shim_##name = name
#define per_cpu_ptr(p, cpu)	(&(*(p))[cpu])
extern void *const shim_vma_slots;

struct rcuwait {
	struct task_struct *task;
};
int rcuwait_wake_up(struct rcuwait *w);

#define set_current_state(s)						\
	do {								\
		WRITE_ONCE(current->state, s);				\
		smp_mb();						\
	} while (0)
#define signal_pending_state(s, t)					\
	((s) == TASK_KILLABLE && READ_ONCE((t)->killed))
/* As in the kernel, in the same order: so a lost wake-up is a bug of the lock. */
#define rcuwait_wait_event(w, condition, s)				\
({									\
	int __ret = 0;							\
									\
	smp_store_release(&(w)->task, current);				\
	for (;;) {							\
		set_current_state(s);					\
		if (condition)						\
			break;						\
		if (signal_pending_state(s, current)) {			\
			__ret = -EINTR;					\
			break;						\
		}							\
		schedule();						\
	}								\
	WRITE_ONCE(current->state, TASK_RUNNING);			\
	WRITE_ONCE((w)->task, NULL);					\
	__ret;								\
})

void rcu_read_lock(void);
void rcu_read_unlock(void);
void synchronize_rcu(void);

/* --- mmap_lock; pthread's cannot be downgraded */
struct rw_semaphore {
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	int readers;
	struct task_struct *owner;
};
#define init_rwsem(sem)		do { } while (0)
int down_read_killable(struct rw_semaphore *sem);
void down_read(struct rw_semaphore *sem);
void down_write(struct rw_semaphore *sem);
int down_write_killable(struct rw_semaphore *sem);
bool down_write_trylock(struct rw_semaphore *sem);
void up_write(struct rw_semaphore *sem);
void downgrade_write(struct rw_semaphore *sem);
void up_read(struct rw_semaphore *sem);

/* --- lockdep: a reader waits neither for readers nor for mmap_lock */
struct lock_class_key { };
struct lockdep_map {
	const char *name;
	struct lock_class_key *key;
};
#define lockdep_init_map(map, n, k, s)	((map)->name = (n), (map)->key = (k))
#define lock_acquire_shared(map, s, t, n, ip)	(current->vma_locks++)
#define lock_acquire_exclusive(map, s, t, n, ip)			\
	VM_WARN_ON_ONCE(((void)(map), current->vma_locks++))
#define lock_release(map, ip)						\
	VM_WARN_ON_ONCE(((void)(map), current->vma_locks-- <= 0))
#define lockdep_assert_held_write(sem)					\
	VM_WARN_ON_ONCE(READ_ONCE((sem)->owner) != current)
#define lockdep_assert(c)	VM_WARN_ON_ONCE(!(c))
#define lock_is_held(map)	((void)(map), current->vma_locks > 0)
/* Held for read: the holder is not known. */
#define lockdep_is_held(sem)						\
	(READ_ONCE((sem)->owner) == current || READ_ONCE((sem)->readers))
#define rwsem_is_locked(sem)						\
	(READ_ONCE((sem)->owner) || READ_ONCE((sem)->readers))

/*
 * --- the maple tree: a slot for each page, each published by itself. A range is
 * stored slot by slot. So lookups may see half of a change, as they may in a node
 * that is being rewritten.
 */
#define PAGE_SHIFT		12
#define PAGE_SIZE		(1UL << PAGE_SHIFT)
#define NR_PAGES		32UL

struct maple_tree {
	struct vm_area_struct *slot[NR_PAGES];
};
struct ma_state {
	struct maple_tree *tree;
	unsigned long index;
};
#define MA_STATE(name, mt, first, end)					\
	struct ma_state name = { .tree = (mt), .index = (first) }
#define mas_for_each(mas, entry, max)					\
	while (((entry) = mas_find(mas, max)))
#define cpu_relax()		do { } while (0)
#define XA_RETRY_ENTRY		((void *)1026UL)
#define xa_is_retry(entry)	((void *)(entry) == XA_RETRY_ENTRY)
void *mas_try_walk(struct ma_state *mas);
/* How many walks meet a node that a writer is replacing */
extern int shim_dead_nodes;
struct vm_area_struct *mas_find(struct ma_state *mas, unsigned long max);
void mt_store(struct maple_tree *tree, unsigned long start, unsigned long end,
	      struct vm_area_struct *vma);

/* --- files: the properties that vma_start_write_mmap_file() looks at */
struct address_space_operations {
	bool read_folio;
};
struct address_space {
	const struct address_space_operations *a_ops;
	bool shmem;
};
struct inode {
	mode_t i_mode;
	struct address_space *i_mapping;
};
struct dentry {
	struct inode *real;
};
struct file_operations {
	bool vma_lock_mmap;
};
struct file {
	struct { struct dentry *dentry; } f_path;
	bool hugepages;
	const struct file_operations *f_op;
};
extern const struct address_space_operations ram_aops;
#define d_real_inode(dentry)	((dentry)->real)
#define shmem_mapping(mapping)	((mapping)->shmem)
#define is_file_hugepages(file)	((file)->hugepages)

/* --- vmstat */
enum vm_event_item {
	VMA_LOCK_ABORT,
	VMA_LOCK_MISS,
	VMA_LOCK_FALLBACK_NO_VMA,
	VMA_LOCK_FALLBACK_WRITE_LOCKED,
	VMA_LOCK_FALLBACK_DETACHED,
	VMA_LOCK_FALLBACK_MOVED,
	VMA_LOCK_SLOTS_FULL,
	NR_VMA_LOCK_EVENTS
};
extern int vm_event[NR_VMA_LOCK_EVENTS];
#define count_vm_vma_lock_event(e)					\
	__atomic_fetch_add(&vm_event[e], 1, __ATOMIC_RELAXED)

#define trace_vma_lock_fallback(mm, address, reason)	do { } while (0)
#define trace_vma_lock_wait(vma)			do { } while (0)
#define trace_contention_begin(lock, flags)		do { } while (0)
#define trace_contention_end(lock, ret)			do { } while (0)
#define trace_vma_lock_waited(vma)			do { } while (0)
#define trace_vma_lock_hot(vma)				do { } while (0)
#define trace_vma_lock_cold(vma)			do { } while (0)

/* --- the structures that are locked */
#include <linux/vma_lock_types.h>

struct vm_area_struct {
	unsigned long vm_start, vm_end, vm_flags;
	struct mm_struct *vm_mm;
	struct vma_lock vma_lock;
};

struct mm_struct {
	struct maple_tree mm_mt;
	struct rw_semaphore mmap_lock;
	atomic_t mm_users;
	struct mm_vma_lock vma_lock;
};

#endif /* VMA_LOCK_SHIM_H */
