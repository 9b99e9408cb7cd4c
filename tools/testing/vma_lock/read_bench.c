// SPDX-License-Identifier: GPL-2.0
/*
 * What it costs to take and release the read lock of one VMA, on this machine's
 * own CPUs: mm/vma_lock.c as it is, against other forms of such a lock. A form is
 * a pair of functions in forms[]. All are measured in turn in each round; what
 * counts is the ratio to the first in the same round.
 */
#define _GNU_SOURCE
#include <linux/vma_lock.h>

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mm.h"

#define MAX_CPUS 2
#define BATCH 100000

/*
 * The shape of 6.12's: two looks at the sequence, a count that is raised by a
 * compare and exchange, and the owner stored beside it. Its functions are not
 * inlined where the kernel's are not.
 */
struct rwsem_shape {
	long count;
	unsigned long owner;
};
#define READER 0x100L
#define READ_FAILED 0xffL	/* writer, waiters, ... */

struct bench_vma {
	struct vm_area_struct vma;
	struct rwsem_shape sem __aligned(64);
	int lock_seq __aligned(64);
} __aligned(64);

static struct mm_struct mm;
static int mm_seq __aligned(64) = 1;
static struct bench_vma vmas[MAX_CPUS];

static noinline bool sem_read_trylock(struct rwsem_shape *sem)
{
	long count = 0;

	do {
		if (__atomic_compare_exchange_n(&sem->count, &count, count + READER, false,
						__ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
			WRITE_ONCE(sem->owner, (unsigned long)current | 1);
			return true;
		}
	} while (!(count & READ_FAILED));
	return false;
}

static noinline void sem_read_unlock(struct rwsem_shape *sem)
{
	if (__atomic_sub_fetch(&sem->count, READER, __ATOMIC_RELEASE) & READ_FAILED)
		abort();	/* there are no writers */
}

static inline bool shape_lock(struct bench_vma *b)
{
	if (READ_ONCE(b->lock_seq) == READ_ONCE(mm_seq))
		return false;
	if (!sem_read_trylock(&b->sem))
		return false;
	/* 6.12's, against its mm_lock_seq being released */
	if (b->lock_seq != smp_load_acquire(&mm_seq))
		return true;
	sem_read_unlock(&b->sem);
	return false;
}

static inline void shape_unlock(struct bench_vma *b)
{
	sem_read_unlock(&b->sem);
}

static inline bool ours_lock(struct bench_vma *b)
{
	return vma_start_read(&b->vma);
}

static inline void ours_unlock(struct bench_vma *b)
{
	vma_end_read(&b->vma);
}

/* A loop for each form, so that it calls what the kernel would */
#define FORM(name)							\
static void name##_batch(struct bench_vma *b)				\
{									\
	for (int i = 0; i < BATCH; i++) {				\
		if (!name##_lock(b))					\
			abort();					\
		name##_unlock(b);					\
	}								\
}
FORM(shape)
FORM(ours)

static const struct {
	const char *name;
	void (*batch)(struct bench_vma *b);
} forms[] = {
	{ "count and owner, as in 6.12", shape_batch },
	{ "mm/vma_lock.c", ours_batch },
};

static const struct {
	const char *name;
	int threads;
	bool apart;
} cases[] = {
	{ "1 thread", 1, false },
	{ "2 threads, a VMA each", 2, true },
	{ "2 threads, one VMA", 2, false },
};

static int cpus[MAX_CPUS], nr_cpus;
static int batches = 20;
static double cpu_ns, wall_ns;	/* what the threads got, and what they could have */

struct worker {
	pthread_t thread;
	int cpu, form;
	struct bench_vma *vma;
	pthread_barrier_t *barrier;
	double ns;
};

static double now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(w->cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set)) {
		perror("read_bench: sched_setaffinity");
		exit(1);
	}
	pthread_barrier_wait(w->barrier);
	w->ns = -now(CLOCK_THREAD_CPUTIME_ID);
	for (int i = 0; i < batches; i++)
		forms[w->form].batch(w->vma);
	w->ns += now(CLOCK_THREAD_CPUTIME_ID);
	return NULL;
}

/* ns a lock and unlock, the mean of the threads */
static double measure(int c, int form)
{
	struct worker w[MAX_CPUS];
	pthread_barrier_t barrier;
	int n = cases[c].threads;
	double ns = 0;

	wall_ns -= n * now(CLOCK_MONOTONIC);
	pthread_barrier_init(&barrier, NULL, n);
	for (int i = 0; i < n; i++) {
		w[i] = (struct worker) { .cpu = cpus[i], .form = form, .barrier = &barrier,
					 .vma = &vmas[cases[c].apart ? i : 0] };
		if (pthread_create(&w[i].thread, NULL, work, &w[i])) {
			perror("read_bench: pthread_create");
			exit(1);
		}
	}
	for (int i = 0; i < n; i++) {
		pthread_join(w[i].thread, NULL);
		ns += w[i].ns;
	}
	wall_ns += n * now(CLOCK_MONOTONIC);
	cpu_ns += ns;
	pthread_barrier_destroy(&barrier);
	return ns / n / batches / BATCH;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void run(int c, int rounds)
{
	double ns[ARRAY_SIZE(forms)][rounds], ratio[ARRAY_SIZE(forms)][rounds];

	for (int r = 0; r < rounds; r++) {
		for (int f = 0; f < ARRAY_SIZE(forms); f++)
			ns[f][r] = measure(c, f);
		for (int f = 0; f < ARRAY_SIZE(forms); f++)
			ratio[f][r] = ns[f][r] / ns[0][r];
	}
	for (int f = 0; f < ARRAY_SIZE(forms); f++) {
		qsort(ns[f], rounds, sizeof(ns[f][0]), compare);
		qsort(ratio[f], rounds, sizeof(ratio[f][0]), compare);
		printf("%-23s %-28s %6.1f %6.2f (%.2f-%.2f)\n", cases[c].name, forms[f].name,
		       ns[f][rounds / 2], ratio[f][rounds / 2], ratio[f][0],
		       ratio[f][rounds - 1]);
	}
}

int main(int argc, char **argv)
{
	int rounds = shim_number(argc, argv, 11, "usage: read_bench [-h] [ROUNDS]\n"
		"Takes and releases a VMA's read lock: ns, and the ratio to the first\n"
		"form in the same round, median (lowest-highest) of ROUNDS (11).\n");
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set)) {
		perror("read_bench: sched_getaffinity");
		return 1;
	}
	for (int cpu = 0; cpu < CPU_SETSIZE && nr_cpus < MAX_CPUS; cpu++)
		if (CPU_ISSET(cpu, &set))
			cpus[nr_cpus++] = cpu;

	mm_init(&mm, MAX_CPUS);
	current = task_new(&mm);
	for (int i = 0; i < MAX_CPUS; i++) {
		struct vm_area_struct *vma = &vmas[i].vma;

		vma->vm_mm = &mm;
		vma_lock_init(vma);
		down_write(&mm.mmap_lock);
		vma_start_write_none(&mm);
		vma_mark_attached(vma);
		mmap_write_unlock(&mm);
	}
	printf("%-23s %-28s %6s %6s\n", "", "", "ns", "ratio");
	for (int c = 0; c < ARRAY_SIZE(cases); c++) {
		if (cases[c].threads > nr_cpus)
			printf("%-23s not measured: only %d CPU\n", cases[c].name, nr_cpus);
		else
			run(c, rounds);
	}
	printf("The threads had %.0f%% of their CPUs; where that is little, two met seldom.\n",
	       100 * cpu_ns / wall_ns);
	return 0;
}
