// SPDX-License-Identifier: GPL-2.0
/* page_fault1 to 3: map, touch each page, unmap */
#include "case.h"

char *testcase_description = "page faults: " DESCRIPTION;

/* -DOWN_VMA: between guards, where no neighbour merges with it */
static char *place(void)
{
	char *p = NULL;
#ifdef OWN_VMA
	p = mmap(NULL, SIZE + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(p != MAP_FAILED, "mmap");
	p += PAGE;
#endif
	return p;
}

void testcase(unsigned long long *iterations, unsigned long nr)
{
	char *at = place();
	int fd = backing();

	for (;;) {
		char *p = map_at(at, fd, nr);

#ifdef THP
		madvise(p, SIZE, MADV_HUGEPAGE);
#endif
		for (unsigned long i = 0; i < SIZE; i += PAGE) {
			p[i] = 0;
			(*iterations)++;
		}
		unmap(p, nr);
	}
}
