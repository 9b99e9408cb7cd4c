// SPDX-License-Identifier: GPL-2.0
/* tlb_flush1, tlb_flush2: touch a page and give it back, page by page */
#include "case.h"

char *testcase_description = "touch and MADV_DONTNEED: " DESCRIPTION;

void testcase(unsigned long long *iterations, unsigned long nr)
{
	int fd = backing();

	for (;;) {
		volatile char *p = map_at(NULL, fd, nr);

		for (unsigned long i = 0; i < SIZE; i += PAGE) {
			p[i] = 1;
			must(!madvise((char *)p + i, PAGE, MADV_DONTNEED) && !p[i], "madvise");
			(*iterations)++;
		}
		unmap((char *)p, nr);
	}
}
