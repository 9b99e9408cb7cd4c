// SPDX-License-Identifier: GPL-2.0
#include "case.h"

char *testcase_description = "malloc and free of 128 MiB";

void testcase(unsigned long long *iterations, unsigned long nr)
{
	for (;;) {
		void *volatile p = malloc(128UL << 20);

		must(!!p, "malloc");
		free(p);
		(*iterations)++;
	}
}
