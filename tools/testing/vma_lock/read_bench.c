// SPDX-License-Identifier: GPL-2.0
/*
 * The cost of taking and releasing the read lock of one VMA, on this machine's own
 * CPUs. It compares mm/vma_lock.c as it is, cold and hot, with another form of such a
 * lock. A form is a pair of functions in forms[].
 *
 * Other programs may use the machine. So threads, each bound to a CPU, run in bursts
 * of about a millisecond. A burst counts only if no thread lost its CPU in it and all
 * threads ran at the same time. Any other burst is repeated. Each round has a burst of
 * every form in every case. Results are compared only within a round.
 */
#define _GNU_SOURCE
#include "mm/vma_lock.c"

#include <float.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mm.h"

#define MAX_CPUS 2
#define MAX_ROUNDS 1000
#define BURST 50000
#define TRIES 3000	/* to get a burst that counts */

/*
 * The shape of 6.12's lock: it reads the sequence twice, raises a count by a compare
 * and exchange, and stores the owner next to the count. Functions that the kernel does
 * not inline are not inlined here.
 */
struct rwsem_shape {
	long count;
	unsigned long owner;
};
#define READER 0x100L
#define READ_FAILED 0xffL	/* writer, waiters, ... */

struct bench_vma {
	struct vm_area_struct cold, hot __aligned(64);
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
	/* As in 6.12: pairs with the release of its mm_lock_seq */
	if (b->lock_seq != smp_load_acquire(&mm_seq))
		return true;
	sem_read_unlock(&b->sem);
	return false;
}

static inline void shape_unlock(struct bench_vma *b)
{
	sem_read_unlock(&b->sem);
}

/* A loop for each form, so that it makes the calls that the kernel would make */
#define FORM(name, lock, unlock, what)					\
static void name##_burst(struct bench_vma *b)				\
{									\
	for (int i = 0; i < BURST; i++) {				\
		if (!lock(what))					\
			abort();					\
		unlock(what);						\
	}								\
}
FORM(shape, shape_lock, shape_unlock, b)
static noinline bool start_read(struct vm_area_struct *vma)
{
	return __vma_start_read(vma->vm_mm, vma, true);
}
FORM(cold, start_read, vma_end_read, &b->cold)
FORM(hot, start_read, vma_end_read, &b->hot)

static const struct {
	const char *name;
	void (*burst)(struct bench_vma *b);
	bool hot;
} forms[] = {
	{ "count and owner, as in 6.12", shape_burst, false },
	{ "mm/vma_lock.c, cold", cold_burst, false },
	{ "mm/vma_lock.c, hot", hot_burst, true },
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

static int cpus[MAX_CPUS], nr_cpus, nr_cases;
static int bursts, counted;

struct worker {
	pthread_t thread;
	struct task_struct task;
	int cpu, form;
	struct bench_vma *vma;
	int *away;	/* workers that have not arrived yet */
	double start, end, used;
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
	current = &w->task;
	/* Spin: a worker that slept would start when the other is done. */
	__atomic_fetch_sub(w->away, 1, __ATOMIC_RELAXED);
	while (READ_ONCE(*w->away))
		;
	w->used = -now(CLOCK_THREAD_CPUTIME_ID);
	w->start = now(CLOCK_MONOTONIC);
	forms[w->form].burst(w->vma);
	w->end = now(CLOCK_MONOTONIC);
	w->used += now(CLOCK_THREAD_CPUTIME_ID);
	return NULL;
}

/* ns for a lock and unlock, or 0 if another program had a CPU meanwhile */
static double burst(int c, int form)
{
	struct worker w[MAX_CPUS];
	int n = cases[c].threads, away = n;
	double start = 0, end = 0, first_end = DBL_MAX, ns = 0;	/* start: of the last */
	bool good = true;

	for (int i = 0; i < n; i++) {
		w[i] = (struct worker) { .cpu = cpus[i], .form = form, .away = &away,
					 .vma = &vmas[cases[c].apart ? i : 0] };
		/* A cold VMA must stay cold: its readers pretend to be on one CPU. */
		w[i].task.cpu = forms[form].hot ? i : 0;
		if (pthread_create(&w[i].thread, NULL, work, &w[i])) {
			perror("read_bench: pthread_create");
			exit(1);
		}
	}
	for (int i = 0; i < n; i++) {
		pthread_join(w[i].thread, NULL);
		ns += w[i].used;
		good &= w[i].used > 0.97 * (w[i].end - w[i].start);
		start = w[i].start > start ? w[i].start : start;
		end = w[i].end > end ? w[i].end : end;
		first_end = w[i].end < first_end ? w[i].end : first_end;
	}
	bursts++;
	if (!good || first_end - start < 0.9 * (end - start))
		return 0;
	counted++;
	return ns / n / BURST;
}

static double measure(int c, int form)
{
	double ns;

	for (int i = 0; i < TRIES; i++) {
		ns = burst(c, form);
		if (ns)
			return ns;
	}
	fprintf(stderr, "read_bench: too much else runs here: of %d bursts %d count\n",
		bursts, counted);
	exit(1);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print_median(double *x, int n)
{
	char range[32];

	qsort(x, n, sizeof(*x), compare);
	snprintf(range, sizeof(range), "(%.2f-%.2f)", x[0], x[n - 1]);
	printf(" %6.2f %-14s", x[n / 2], range);
}

static void run(int rounds)
{
	static double ns[MAX_ROUNDS][ARRAY_SIZE(cases)][ARRAY_SIZE(forms)];
	double x[MAX_ROUNDS];

	for (int r = 0; r < rounds; r++) {
		for (int c = 0; c < nr_cases; c++)
			for (int f = 0; f < ARRAY_SIZE(forms); f++)
				ns[r][c][f] = measure(c, f);
		fprintf(stderr, "\rround %d of %d%s", r + 1, rounds, r + 1 < rounds ? "" : "\n");
	}
	printf("%-52s%-22s%-20s%s\n", "", "ns", "to the first form",
	       "throughput, to 1 thread's");
	for (int c = 0; c < nr_cases; c++) {
		for (int f = 0; f < ARRAY_SIZE(forms); f++) {
			printf("%-22s %-28s", cases[c].name, forms[f].name);
			for (int r = 0; r < rounds; r++)
				x[r] = ns[r][c][f];
			print_median(x, rounds);
			for (int r = 0; r < rounds; r++)
				x[r] = ns[r][c][f] / ns[r][c][0];
			print_median(x, rounds);
			for (int r = 0; r < rounds; r++)
				x[r] = cases[c].threads * ns[r][0][f] / ns[r][c][f];
			print_median(x, rounds);
			putchar('\n');
		}
	}
}

static void attach(struct vm_area_struct *vma)
{
	vma->vm_mm = &mm;
	vma_lock_init(vma);
	mmap_write_lock_narrow(&mm);
	vma_mark_attached(vma);
	mmap_write_unlock(&mm);
}

int main(int argc, char **argv)
{
	int rounds = shim_number(argc, argv, 11, "usage: read_bench [-h] [ROUNDS]\n"
		"Takes and releases a VMA's read lock: median (lowest-highest) of ROUNDS (11).\n");
	cpu_set_t set;

	if (rounds > MAX_ROUNDS) {
		fprintf(stderr, "read_bench: at most %d rounds\n", MAX_ROUNDS);
		return 2;
	}
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
		attach(&vmas[i].cold);
		attach(&vmas[i].hot);
		vmas[i].hot.vma_lock.hot = mm.vma_lock.mm_lock_seq;
	}
	for (nr_cases = 0; nr_cases < ARRAY_SIZE(cases); nr_cases++)
		if (cases[nr_cases].threads > nr_cpus)
			break;
	run(rounds);
	if (nr_cases < ARRAY_SIZE(cases))
		printf("There is only %d CPU.\n", nr_cpus);
	printf("Of %d bursts %d counted.\n", bursts, counted);
	return 0;
}
