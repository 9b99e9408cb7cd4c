// SPDX-License-Identifier: GPL-2.0
#include "case.h"

char *testcase_description = "brk up and down by a page";

void testcase(unsigned long long *iterations, unsigned long nr)
{
	char *end = sbrk(0);

	/* Threads have one break, and move it under each other's feet. */
	for (;;) {
		(void)!brk(end + PAGE);
		(void)!brk(end);
		*iterations += 2;
	}
}
