// SPDX-License-Identifier: GPL-2.0
#include <pthread.h>
#include <string.h>
#include "case.h"

/* More than glibc keeps for the next thread: each has its stack mapped. */
#define STACK (64UL << 20)

char *testcase_description = "thread creation, each with a stack of its own";

static void *touch_stack(void *arg)
{
	volatile char stack[4 * PAGE];

	memset((char *)stack, 1, sizeof(stack));
	return NULL;
}

void testcase(unsigned long long *iterations, unsigned long nr)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	for (;;) {
		must(!pthread_create(&thread, &attr, touch_stack, NULL), "pthread_create");
		pthread_join(thread, NULL);
		(*iterations)++;
	}
}
