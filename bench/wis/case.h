/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the cases share. They keep will-it-scale's interface, so that they link
 * with its main.c, and its tests with runner.c. It maps 128 MiB at a time; here
 * it is 2: a second in an emulator has many rounds, and the pages go round in
 * the CPU's own list, past the zone's lock, which vCPUs hand on very slowly.
 */
#ifndef CASE_H
#define CASE_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096UL
#ifndef SIZE
#define SIZE (2UL << 20)
#endif
/* How the case maps: the Makefile says, for each of its names */
#ifndef SHARING
#define SHARING MAP_PRIVATE
#endif

extern char *testcase_description;
void testcase(unsigned long long *iterations, unsigned long nr);
/* Optional, will-it-scale's: before the tasks start */
void testcase_prepare(unsigned long nr_tasks);
/* Optional, ours: where task @nr has its memory, for the count of VMAs */
void __attribute__((weak)) case_area(unsigned long nr, void *area);

static inline void must(int ok, const char *what)
{
	if (!ok) {
		perror(what);
		exit(1);
	}
}

static inline int file(void)
{
	char name[] = "/tmp/case.XXXXXX";
	int fd = mkstemp(name);

	must(fd >= 0 && !ftruncate(fd, SIZE), name);
	unlink(name);
	return fd;
}

/* The case's backing: a file where the Makefile says -DBACKED, else none */
static inline int backing(void)
{
#ifdef BACKED
	return file();
#else
	return -1;
#endif
}

static inline char *map_at(char *at, int fd, unsigned long nr)
{
	int flags = SHARING | (fd < 0 ? MAP_ANONYMOUS : 0) | (at ? MAP_FIXED : 0);
	char *p = mmap(at, SIZE, PROT_READ | PROT_WRITE, flags, fd, 0);

	must(p != MAP_FAILED, "mmap");
	if (case_area)
		case_area(nr, p);
	return p;
}

/* Not counted from here on: another task may map at the same place. */
static inline void unmap(char *p, unsigned long nr)
{
	if (case_area)
		case_area(nr, NULL);
	munmap(p, SIZE);
}

#endif
