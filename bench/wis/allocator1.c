// SPDX-License-Identifier: GPL-2.0
/*
 * As an allocator with an arena for each thread: hands out 64 KiB, takes it back and
 * returns the pages to the kernel, and now and then maps the arena anew.
 */
#include "case.h"

char *testcase_description = "an allocator's: touch 64 KiB, MADV_DONTNEED, arenas mapped anew";

#define CHUNK (16 * PAGE)

void testcase(unsigned long long *iterations, unsigned long nr)
{
	for (;;) {
		char *arena = map_at(NULL, -1, nr);
		size_t i, at;

		for (i = 0; i < SIZE; i += CHUNK) {
			for (at = i; at < i + CHUNK; at += PAGE)
				*(volatile char *)(arena + at) = 1;
			must(!madvise(arena + i, CHUNK, MADV_DONTNEED), "madvise");
			(*iterations)++;
		}
		unmap(arena, nr);
	}
}
