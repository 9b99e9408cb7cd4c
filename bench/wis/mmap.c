// SPDX-License-Identifier: GPL-2.0
/* mmap1, mmap2: map and unmap, untouched */
#include "case.h"

char *testcase_description = "mmap and munmap: " DESCRIPTION;

void testcase(unsigned long long *iterations, unsigned long nr)
{
	int fd = backing();

	for (;;) {
		unmap(map_at(NULL, fd, nr), nr);
		(*iterations)++;
	}
}
