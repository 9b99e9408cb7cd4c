// SPDX-License-Identifier: GPL-2.0
/* pft's case: one big anonymous VMA, and each task faults in a part of it */
#include "case.h"

char *testcase_description = "page faults: all in one anonymous VMA";

static char *all;

void testcase_prepare(unsigned long nr_tasks)
{
	all = mmap(NULL, nr_tasks * SIZE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(all != MAP_FAILED, "mmap");
}

void testcase(unsigned long long *iterations, unsigned long nr)
{
	char *p = all + nr * SIZE;

	if (case_area)
		case_area(nr, p);
	for (;;) {
		for (unsigned long i = 0; i < SIZE; i += PAGE) {
			p[i] = 1;
			(*iterations)++;
		}
		must(!madvise(p, SIZE, MADV_DONTNEED), "madvise");
	}
}
