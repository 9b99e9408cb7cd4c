// SPDX-License-Identifier: GPL-2.0
/*
 * Memory of vma_lock_module's, mapped and touched by several threads, which also
 * make the module take mmap_lock. "module_test wrong" makes its wrong call.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vma_lock_module.h"

#define PAGE 4096UL
#define SIZE (MODULE_PAGES * PAGE)
#define THREADS 4
#define ROUNDS 60

static const char *const kinds[] = {
	"a fault handler", "a fault handler that has opted in",
	"a fault handler that inserts PFNs", "inserted pages", "remapped PFNs",
};
static int fd, wrong;

static long counter(const char *name)
{
	FILE *f = fopen("/proc/vmstat", "r");
	char is[64];
	long n = -1, value;

	while (f && fscanf(f, "%63s %ld", is, &value) == 2)
		if (!strcmp(is, name))
			n = value;
	if (f)
		fclose(f);
	return n;
}

static void *work(void *arg)
{
	long kind = (long)arg;
	int round, i;

	for (round = 0; round < ROUNDS; round++) {
		char *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			       kind * PAGE);
		char own[2 * PAGE];

		if (p == MAP_FAILED) {
			perror("mmap");
			exit(1);
		}
		for (i = 0; i < MODULE_PAGES; i++)
			if (*(volatile int *)(p + i * PAGE) != i + 1)
				__atomic_store_n(&wrong, 1, __ATOMIC_RELAXED);
		for (i = MODULE_WRITE_LOCK; i <= MODULE_PIN; i++)
			if (ioctl(fd, i, i == MODULE_PIN ? own + PAGE : p) &&
			    (i != MODULE_WRITE_TRY || errno != EAGAIN))
				__atomic_store_n(&wrong, i, __ATOMIC_RELAXED);
		munmap(p, SIZE);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];
	long kind, i, before = -1, fallbacks[NR_MODULE_KINDS];
	int failed = 0;
	char *p;

	fd = open("/dev/vma_lock_module", O_RDWR);
	if (fd < 0) {
		perror("/dev/vma_lock_module");
		return 1;
	}
	if (argc > 1) {
		p = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
		ioctl(fd, MODULE_WRONG, p);
		return 0;
	}
	printf("TAP version 13\n1..%d\n", NR_MODULE_KINDS + 1);
	for (kind = 0; kind < NR_MODULE_KINDS; kind++) {
		wrong = 0;
		before = counter("vma_lock_fallback_not_opted_in");
		for (i = 0; i < THREADS; i++)
			pthread_create(&threads[i], NULL, work, (void *)kind);
		for (i = 0; i < THREADS; i++)
			pthread_join(threads[i], NULL);
		printf("%sok %ld %s\n", wrong ? "not " : "", kind + 1, kinds[kind]);
		failed += !!wrong;
		fallbacks[kind] = counter("vma_lock_fallback_not_opted_in") - before;
		printf("# %ld faults took mmap_lock for want of an opt-in\n",
		       fallbacks[kind]);
	}
	/* Without the series there is nothing to opt in to. */
	wrong = before >= 0 && (fallbacks[MODULE_OPTED_IN] || !fallbacks[MODULE_FAULT]);
	printf("%sok %d the opt-in counts\n", wrong ? "not " : "", NR_MODULE_KINDS + 1);
	failed += wrong;
	return !!failed;
}
