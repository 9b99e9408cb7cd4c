// SPDX-License-Identifier: GPL-2.0
/*
 * Instructions a page fault at one thread, for a guest under -icount shift=1:
 * there the clock counts two nanoseconds an instruction, whatever the host
 * does. Prints the median of several rounds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define PAGE 4096UL
#define PAGES 1000UL
#define ROUNDS 21

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e9 + ts.tv_nsec;
}

static int cmp(const void *a, const void *b)
{
	double d = *(const double *)a - *(const double *)b;

	return d < 0 ? -1 : d > 0;
}

int main(int argc, char **argv)
{
	double t[ROUNDS], a;
	size_t i, r;
	char *p;

	if (argc > 1) {
		printf("usage: fault_cost [-h]\nInstructions an anonymous fault, under -icount shift=1\n");
		return strcmp(argv[1], "-h") ? 2 : 0;
	}
	p = mmap(NULL, (PAGES + 1) * PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED) {
		perror("fault_cost: mmap");
		return 1;
	}
	madvise(p, (PAGES + 1) * PAGE, MADV_NOHUGEPAGE);
	/* An anon_vma and the page tables stay; the pages go each round. */
	memset(p, 1, (PAGES + 1) * PAGE);
	for (r = 0; r < ROUNDS; r++) {
		madvise(p, PAGES * PAGE, MADV_DONTNEED);
		a = now();
		for (i = 0; i < PAGES; i++)
			*(volatile char *)(p + i * PAGE) = 1;
		t[r] = (now() - a) / 2 / PAGES;
	}
	qsort(t, ROUNDS, sizeof(*t), cmp);
	printf("%.1f\n", t[ROUNDS / 2]);
	return 0;
}
