// SPDX-License-Identifier: GPL-2.0
/* The kernel around mm/vma_lock.c, in user space: see shim.h. */
#include <linux/vma_lock.h>

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mm.h"

int shim_warned;
static bool warn_is_fatal;

bool shim_warn(const char *file, int line, const char *what)
{
	__atomic_fetch_add(&shim_warned, 1, __ATOMIC_RELAXED);
	if (warn_is_fatal) {
		fprintf(stderr, "# warning: %s:%d: %s\n", file, line, what);
		_exit(1);
	}
	return true;
}

void shim_warn_is_fatal(void)
{
	warn_is_fatal = true;
}

static void on_alarm(int sig)
{
	static const char line[] = "# a thread hangs\n";

	_exit(write(STDERR_FILENO, line, sizeof(line) - 1) < 0 ? 2 : 1);
}

/* A lost wake-up ends the program here. */
void shim_watchdog(int seconds)
{
	signal(SIGALRM, on_alarm);
	alarm(seconds);
}

/* The only argument of a program, or @number if it has none */
int shim_number(int argc, char **argv, int number, const char *usage)
{
	bool help = argc == 2 && !strcmp(argv[1], "-h");

	if (argc == 2)
		number = atoi(argv[1]);
	if (argc > 2 || number <= 0) {
		fputs(usage, help ? stdout : stderr);
		exit(help ? 0 : 2);
	}
	return number;
}

int vm_event[NR_VMA_LOCK_EVENTS];
const struct address_space_operations ram_aops = { .read_folio = true };

bool slots_are_free(void)
{
	unsigned long *slot = shim_vma_slots;

	for (int i = 0; i < NR_SLOTS * SHIM_CPUS; i++)
		if (READ_ONCE(slot[i]))
			return false;
	return true;
}

#ifdef __SANITIZE_THREAD__
/* The slots that this thread has loaded since its last barrier */
static _Thread_local const unsigned long *loaded[NR_SLOTS * SHIM_CPUS];
static _Thread_local int nr_loaded;

void shim_read(const void *address)
{
	const unsigned long *slot = address, *slots = shim_vma_slots;

	if (slot >= slots && slot < slots + ARRAY_SIZE(loaded) &&
	    nr_loaded < ARRAY_SIZE(loaded))
		loaded[nr_loaded++] = slot;
}

void shim_acquire_slots(void)
{
	while (nr_loaded)
		__atomic_load_n(loaded[--nr_loaded], __ATOMIC_ACQUIRE);
}
#endif

/* --- tasks */
#define MAX_TASKS 64
static struct task_struct tasks[MAX_TASKS];
static int nr_tasks;
_Thread_local struct task_struct *current;

struct task_struct *task_new(struct mm_struct *mm)
{
	int n = __atomic_fetch_add(&nr_tasks, 1, __ATOMIC_RELAXED);

	assert(n < MAX_TASKS);
	tasks[n].mm = mm;
	return &tasks[n];
}

/*
 * Sleep on a futex, not on a condition variable. TSan does not know futexes, so for
 * TSan a wake-up orders nothing that the lock itself does not order.
 */
static void futex(int *word, int op, int value)
{
	syscall(SYS_futex, word, op, value, NULL, NULL, 0);
}
#define FUTEX_WAIT_PRIVATE	128
#define FUTEX_WAKE_PRIVATE	129

void schedule(void)
{
	int state;

	WRITE_ONCE(current->sleeps, current->sleeps + 1);
	while ((state = READ_ONCE(current->state)) != TASK_RUNNING)
		futex(&current->state, FUTEX_WAIT_PRIVATE, state);
}

static int wake_up_process(struct task_struct *task)
{
	if (__atomic_exchange_n(&task->state, TASK_RUNNING, __ATOMIC_RELAXED) ==
	    TASK_RUNNING)
		return 0;
	futex(&task->state, FUTEX_WAKE_PRIVATE, 1);
	return 1;
}

void task_kill(struct task_struct *task)
{
	WRITE_ONCE(task->killed, true);
	smp_mb();	/* Pairs with set_current_state(). */
	if (READ_ONCE(task->state) == TASK_KILLABLE)
		wake_up_process(task);
}

int rcuwait_wake_up(struct rcuwait *w)
{
	struct task_struct *task;

	smp_mb();	/* Pairs with set_current_state(). */
	task = smp_load_acquire(&w->task);	/* task_new() came before */
	return task ? wake_up_process(task) : 0;
}

/* --- RCU: a counter a task. synchronize_rcu() waits while it is odd and the same. */
void rcu_read_lock(void)
{
	if (current->rcu_nesting++)
		return;
	WRITE_ONCE(current->rcu, current->rcu + 1);
	smp_mb();	/* Pairs with the barrier in synchronize_rcu(). */
}

void rcu_read_unlock(void)
{
	if (!--current->rcu_nesting)
		smp_store_release(&current->rcu, current->rcu + 1); /* to synchronize_rcu() */
}

void synchronize_rcu(void)
{
	smp_mb();	/* A reader not seen below sees what was unlinked. */
	for (int i = 0; i < MAX_TASKS; i++) {
		/* Acquire: the reader's accesses came before. */
		unsigned long rcu = smp_load_acquire(&tasks[i].rcu);

		/* Acquire, as above */
		while ((rcu & 1) && smp_load_acquire(&tasks[i].rcu) == rcu)
			sched_yield();
	}
}

/* --- mmap_lock */
bool down_write_trylock(struct rw_semaphore *sem)
{
	bool free;

	pthread_mutex_lock(&sem->mutex);
	free = !sem->owner && !sem->readers;
	if (free)
		WRITE_ONCE(sem->owner, current);
	pthread_mutex_unlock(&sem->mutex);
	return free;
}

void down_write(struct rw_semaphore *sem)
{
	VM_WARN_ON_ONCE(current->vma_locks);
	pthread_mutex_lock(&sem->mutex);
	while (sem->owner || sem->readers)
		pthread_cond_wait(&sem->cond, &sem->mutex);
	WRITE_ONCE(sem->owner, current);
	pthread_mutex_unlock(&sem->mutex);
}

int down_write_killable(struct rw_semaphore *sem)
{
	if (READ_ONCE(current->killed) && !down_write_trylock(sem))
		return -EINTR;
	if (READ_ONCE(sem->owner) != current)
		down_write(sem);
	return 0;
}

static void rwsem_release(struct rw_semaphore *sem, int readers)
{
	pthread_mutex_lock(&sem->mutex);
	WRITE_ONCE(sem->owner, NULL);
	sem->readers += readers;
	pthread_cond_broadcast(&sem->cond);
	pthread_mutex_unlock(&sem->mutex);
}

void up_write(struct rw_semaphore *sem)
{
	rwsem_release(sem, 0);
}

void downgrade_write(struct rw_semaphore *sem)
{
	rwsem_release(sem, 1);
}

void up_read(struct rw_semaphore *sem)
{
	rwsem_release(sem, -1);
}

/* --- the tree */
int shim_dead_nodes;

void *mas_try_walk(struct ma_state *mas)
{
	unsigned long page = mas->index >> PAGE_SHIFT;

	if (shim_dead_nodes) {
		shim_dead_nodes--;
		return XA_RETRY_ENTRY;
	}
	/* Acquire: what was written to the VMA before it was stored */
	return page < NR_PAGES ? smp_load_acquire(&mas->tree->slot[page]) : NULL;
}

struct vm_area_struct *mas_find(struct ma_state *mas, unsigned long max)
{
	struct vm_area_struct *vma;

	for (; mas->index >> PAGE_SHIFT < NR_PAGES; mas->index += PAGE_SIZE) {
		vma = mas_try_walk(mas);
		if (!vma)
			continue;
		mas->index = vma->vm_end;
		return vma;
	}
	return NULL;
}

void mt_store(struct maple_tree *tree, unsigned long start, unsigned long end,
	      struct vm_area_struct *vma)
{
	for (unsigned long page = start >> PAGE_SHIFT; page < end >> PAGE_SHIFT; page++)
		smp_store_release(&tree->slot[page], vma);	/* to mas_try_walk() */
}

/* --- VMAs */
#ifdef CONFIG_PER_VMA_LOCK_DEBUG
void (*shim_delay)(void);
int shim_validated;

void vma_lock_delay(void)
{
	if (shim_delay)
		shim_delay();
}

bool (*shim_heat)(void);

bool vma_lock_heat_now(void)
{
	return shim_heat && shim_heat();
}

void vma_lock_validate(struct mm_struct *mm, unsigned long ip)
{
	lockdep_assert_held_write(&mm->mmap_lock);
	shim_validated++;
}
#endif

void mm_init(struct mm_struct *mm, int users)
{
	memset(mm, 0, sizeof(*mm));
	pthread_mutex_init(&mm->mmap_lock.mutex, NULL);
	pthread_cond_init(&mm->mmap_lock.cond, NULL);
	atomic_set(&mm->mm_users, users);
	mm_vma_lock_init(mm);
}

struct vm_area_struct *vm_area_alloc(struct mm_struct *mm, unsigned long start,
				     unsigned long end)
{
	struct vm_area_struct *vma = calloc(1, sizeof(*vma));

	assert(vma);
	vma->vm_mm = mm;
	vma->vm_start = start;
	vma->vm_end = end;
	vma_lock_init(vma);
	return vma;
}

void vm_area_free(struct vm_area_struct *vma)
{
	if (!vma_can_free_now(vma))
		synchronize_rcu();
	/* For builds without a sanitizer: a reader soon fails with this. */
	memset(vma, 0x6b, sizeof(*vma));
	free(vma);
}
