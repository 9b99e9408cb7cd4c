// SPDX-License-Identifier: GPL-2.0
// What debuggers attach to: four threads that map, write, check and unmap until SIGTERM,
// or so many rounds each. Prints the rounds; exit status 1 if a byte was wrong.
// Usage: threads [ROUNDS]
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define N 4
#define SIZE (16 * 4096)

static volatile sig_atomic_t stop;
long rounds[N], wrong;

static void on_term(int sig)
{
	stop = sig;
}

static void *work(void *arg)
{
	long me = (long)arg, limit = rounds[me];

	for (rounds[me] = 0; !stop && (!limit || rounds[me] < limit); rounds[me]++) {
		char *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		int i;

		if (p == MAP_FAILED) {
			__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
			break;
		}
		for (i = 0; i < SIZE; i += 4096)
			p[i] = i / 4096 + me + 1;
		if (mprotect(p, SIZE / 2, PROT_READ))
			__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
		for (i = 0; i < SIZE; i += 4096)
			if (p[i] != (char)(i / 4096 + me + 1))
				__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
		munmap(p, SIZE);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[N];
	long i, sum = 0;

	signal(SIGTERM, on_term);
	for (i = 0; i < N; i++) {
		rounds[i] = argc > 1 ? atol(argv[1]) : 0;
		if (pthread_create(&threads[i], NULL, work, (void *)i))
			return 2;
	}
	for (i = 0; i < N; i++) {
		pthread_join(threads[i], NULL);
		sum += rounds[i];
	}
	printf("%ld rounds, %ld wrong\n", sum, wrong);
	return wrong || !sum;
}
