// SPDX-License-Identifier: GPL-2.0
/* A first process for architectures without a BusyBox: memory, fork, power off. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE (4UL << 20)

int main(void)
{
	char *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int status = -1;
	pid_t pid;

	memset(p, 1, SIZE);
	pid = fork();
	if (!pid) {
		memset(p, 2, SIZE);
		_exit(p[SIZE - 1] != 2);
	}
	waitpid(pid, &status, 0);
	if (!status && p[SIZE - 1] == 1)
		printf("init: touched, forked, all right\n");
	fflush(stdout);
	reboot(RB_POWER_OFF);
	return 0;
}
