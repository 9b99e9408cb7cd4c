// SPDX-License-Identifier: GPL-2.0
/*
 * Runs a test case in N tasks at once, each on a CPU of its own, and prints what
 * they do a second: will-it-scale's interface, options and output. Built with
 * -DTHREADS the tasks are threads, else processes.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include "case.h"

#define MAX_TASKS 1024

/* Shared with the tasks, which may be processes. Each counts in its own lines. */
static struct shared {
	pthread_barrier_t start;
	struct task {
		unsigned long long count;
		void *area;
		pid_t pid;
	} __attribute__((aligned(128))) task[MAX_TASKS];
} *shared;

static long tasks = 1, lines, warmup = 6, interval = 1000;
static cpu_set_t allowed;

void __attribute__((weak)) testcase_prepare(unsigned long nr_tasks)
{
}

void case_area(unsigned long nr, void *area)
{
	__atomic_store_n(&shared->task[nr].area, area, __ATOMIC_RELAXED);
}

static void pin(long nr)
{
	int cpu = 0, n = nr % CPU_COUNT(&allowed);
	cpu_set_t one;

	while (!CPU_ISSET(cpu, &allowed) || n--)
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	must(!sched_setaffinity(0, sizeof(one), &one), "sched_setaffinity");
}

static void *run(void *arg)
{
	long nr = (long)arg;

	pin(nr);
	pthread_barrier_wait(&shared->start);
	testcase(&shared->task[nr].count, nr);
	return NULL;
}

static void start(long nr)
{
#ifdef THREADS
	pthread_t thread;

	must(!pthread_create(&thread, NULL, run, (void *)nr), "pthread_create");
#else
	pid_t parent = getpid(), pid = fork();

	must(pid >= 0, "fork");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		run((void *)nr);
	}
	shared->task[nr].pid = pid;
#endif
}

/* Processes are gone before the next measurement begins; threads go with us. */
static void end(void)
{
#ifndef THREADS
	must(waitpid(-1, NULL, WNOHANG) == 0, "a task ended early");
	for (long i = 0; i < tasks; i++)
		kill(shared->task[i].pid, SIGKILL);
	while (wait(NULL) > 0)
		;
#endif
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* Neighbouring areas merge into one VMA, or do not: say what was measured. */
static void print_vmas(void)
{
#ifdef THREADS
	unsigned long from, to;
	long areas = 0, vmas = 0;
	char *line = NULL;
	size_t size = 0;
	FILE *maps = fopen("/proc/self/maps", "r");

	must(!!maps, "/proc/self/maps");
	while (getline(&line, &size, maps) > 0) {
		long here = 0;

		if (sscanf(line, "%lx-%lx", &from, &to) != 2)
			continue;
		for (long i = 0; i < tasks; i++) {
			unsigned long area = (unsigned long)shared->task[i].area;

			here += area && area >= from && area < to;
		}
		areas += here;
		vmas += here > 0;
	}
	fclose(maps);
	/* One that is unmapped at this moment is not among them. */
	if (areas)
		printf("vmas:%ld areas:%ld\n", vmas, areas);
#endif
}

static void usage(FILE *f, const char *name)
{
	fprintf(f, "usage: %s [-h] [-t TASKS] [-s LINES] [-w LINES] [-i MILLISECONDS]\n"
		"%s\n"
		"  -t  how many at once (1)    -w  lines of warm-up before (6)\n"
		"  -s  lines to print (0: go on for ever), then their average\n"
		"  -i  milliseconds a line (1000); numbers are a second's in any case\n",
		name, testcase_description);
}

int main(int argc, char **argv)
{
	static unsigned long long last[MAX_TASKS];
	double total = 0, then;
	int opt;

	while ((opt = getopt(argc, argv, "t:s:w:i:mh")) != -1) {
		switch (opt) {
		case 't': tasks = atol(optarg); break;
		case 's': lines = atol(optarg); break;
		case 'w': warmup = atol(optarg); break;
		case 'i': interval = atol(optarg); break;
		case 'm': break; /* will-it-scale's: a task a hardware thread, as here */
		case 'h': usage(stdout, argv[0]); return 0;
		default: usage(stderr, argv[0]); return 2;
		}
	}
	if (optind != argc || tasks < 1 || tasks > MAX_TASKS || lines < 0 ||
	    warmup < 0 || interval < 1) {
		usage(stderr, argv[0]);
		return 2;
	}

	pthread_barrierattr_t attr;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(shared != MAP_FAILED, "mmap");
	pthread_barrierattr_init(&attr);
	pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&shared->start, &attr, tasks + 1);
	must(!sched_getaffinity(0, sizeof(allowed), &allowed), "sched_getaffinity");

	testcase_prepare(tasks);
	for (long i = 0; i < tasks; i++)
		start(i);
	printf("testcase:%s\nwarmup\n", testcase_description);
	pthread_barrier_wait(&shared->start);

	then = now();
	for (long line = 0; !lines || line < warmup + lines; line++) {
		unsigned long long min = -1ULL, max = 0, sum = 0;
		struct timespec ts = { interval / 1000, interval % 1000 * 1000000 };
		double s;

		if (line == warmup)
			printf("measurement\n");
		fflush(stdout);
		nanosleep(&ts, NULL);
		s = now() - then;
		then += s;
		for (long i = 0; i < tasks; i++) {
			unsigned long long count, diff;

			count = __atomic_load_n(&shared->task[i].count, __ATOMIC_RELAXED);
			diff = count - last[i];
			last[i] = count;
			min = diff < min ? diff : min;
			max = diff > max ? diff : max;
			sum += diff;
		}
		printf("min:%.0f max:%.0f total:%.0f\n", min / s, max / s, sum / s);
		if (line >= warmup)
			total += sum / s;
	}
	printf("average:%.0f\n", total / lines);
	print_vmas();
	fflush(stdout);
	end();
	_exit(0);
}
