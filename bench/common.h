/* SPDX-License-Identifier: GPL-2.0 */
#ifndef COMMON_H
#define COMMON_H

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static inline void must(int ok, const char *what)
{
	if (!ok) {
		perror(what);
		exit(1);
	}
}

/* Nanoseconds */
static inline long now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000L + ts.tv_nsec;
}

/* Pin this thread and those that it makes: to CPU 0 if @first, else to the others. */
static inline void pin(int first)
{
	cpu_set_t set;
	long i;

	CPU_ZERO(&set);
	if (first)
		CPU_SET(0, &set);
	for (i = 1; !first && i < sysconf(_SC_NPROCESSORS_ONLN); i++)
		CPU_SET(i, &set);
	if (sched_setaffinity(0, sizeof(set), &set)) {
		perror("sched_setaffinity");
		exit(1);
	}
}

#endif
