// SPDX-License-Identifier: GPL-2.0
/* Small: it counts a whole read(2) at a time. */
#define SIZE (256UL << 10)
#include "case.h"

char *testcase_description = "pages read(2) into fresh memory: the kernel faults";

void testcase(unsigned long long *iterations, unsigned long nr)
{
	int fd = file();

	for (;;) {
		char *p = map_at(NULL, -1, nr);

		must(pread(fd, p, SIZE, 0) == SIZE, "pread");
		unmap(p, nr);
		*iterations += SIZE / PAGE;
	}
}
