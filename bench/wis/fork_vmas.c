// SPDX-License-Identifier: GPL-2.0
#include <sys/wait.h>
#include "case.h"

#define VMAS 1000

char *testcase_description = "fork, exit and wait, with 1000 VMAs";

void testcase_prepare(unsigned long nr_tasks)
{
	char *p = mmap(NULL, VMAS * PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(p != MAP_FAILED, "mmap");
	for (int i = 0; i < VMAS; i++) {
		p[i * PAGE] = 1;
		if (i % 2)
			must(!mprotect(p + i * PAGE, PAGE, PROT_READ), "mprotect");
	}
}

void testcase(unsigned long long *iterations, unsigned long nr)
{
	for (;;) {
		pid_t pid = fork();

		must(pid >= 0, "fork");
		if (!pid)
			_exit(0);
		waitpid(pid, NULL, 0);
		(*iterations)++;
	}
}
