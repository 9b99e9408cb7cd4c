// SPDX-License-Identifier: GPL-2.0
/*
 * /proc/PID/maps, smaps, smaps_rollup, numa_maps and pagemap while the mappings
 * change. Each line is true at one moment. Addresses never go back. Memory that is
 * mapped all the time is reported exactly once.
 *
 * The layout is a row of areas. Each area has a thread that changes its mappings in
 * one way, and a check that knows which lines are possible there.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include "vma_lock.h"

#define AREA_PAGES	16UL
#define AREA		(AREA_PAGES * PAGE)
#define NR_FILLERS	200		/* VMAs before them: fill several buffers */
#define NR_READERS	2

static char *base;
static int file = -1;
static bool stop;
static unsigned long rounds[8];

static bool stopped(void)
{
	return LOAD(&stop);
}

static void must(bool ok, const char *what)
{
	if (!ok)
		ksft_exit_fail_msg("%s: %s\n", what, strerror(errno));
}

/* --- The fields of a line */

struct line {
	unsigned long start, end, offset, inode;
	char perms[5];
};

/* --- The areas, and the changes in them */

static char *area(int i)
{
	/* The areas are adjacent, so that a page missing at an edge is a hole. */
	return base + i * AREA;
}

static void protect(char *p, size_t size, int prot)
{
	must(!mprotect(p, size, prot), "mprotect");
}

static void map_at(char *p, size_t size, int prot, int flags, unsigned long offset)
{
	bool anon = flags & MAP_ANONYMOUS;

	must(mmap(p, size, prot, flags | MAP_FIXED, anon ? -1 : file,
		  anon ? 0 : offset) == p, "mmap");
}

/* Split in three, and merge again. */
static void split_and_merge(char *p)
{
	protect(p + 4 * PAGE, 4 * PAGE, PROT_READ);
	protect(p + 4 * PAGE, 4 * PAGE, PROT_READ | PROT_WRITE);
}

/* Move the boundary back and forth. */
static void shift_boundary(char *p)
{
	protect(p + 4 * PAGE, 8 * PAGE, PROT_READ);
	protect(p + 4 * PAGE, 8 * PAGE, PROT_READ | PROT_WRITE);
	protect(p, 8 * PAGE, PROT_READ);
	protect(p, 8 * PAGE, PROT_READ | PROT_WRITE);
}

/* Replace pages by those of a file and back. The file offset identifies the page. */
static void replace(char *p)
{
	map_at(p + 2 * PAGE, 6 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, 2 * PAGE);
	map_at(p + 2 * PAGE, 6 * PAGE, PROT_READ | PROT_WRITE,
	       MAP_PRIVATE | MAP_ANONYMOUS, 0);
}

/* Replace the whole area, by a single VMA each time. */
static void replace_all(char *p)
{
	map_at(p, AREA, PROT_READ, MAP_SHARED, 0);
	map_at(p, AREA, PROT_READ, MAP_PRIVATE, 0);
}

/* Move pages of a file there and back. */
static void move(char *p)
{
	must(mremap(p + 4 * PAGE, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		    p + 8 * PAGE) == p + 8 * PAGE, "mremap");
	must(mremap(p + 8 * PAGE, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		    p + 4 * PAGE) == p + 4 * PAGE, "mremap");
}

/* Shrink, and grow to the old size. */
static void resize(char *p)
{
	must(mremap(p, 12 * PAGE, 6 * PAGE, 0) == p, "mremap");
	must(mremap(p, 6 * PAGE, 12 * PAGE, 0) == p, "mremap");
}

/* Make a hole, and fill it. */
static void unmap(char *p)
{
	must(!munmap(p + 6 * PAGE, 4 * PAGE), "munmap");
	map_at(p + 6 * PAGE, 4 * PAGE, PROT_READ | PROT_WRITE,
	       MAP_PRIVATE | MAP_ANONYMOUS, 0);
}

static const struct {
	const char *name;
	void (*change)(char *p);
	/* Pages from..to may be missing. */
	unsigned int from, to;
	int prot, flags;
	const char *perms;	/* a line may have any of these, 4 characters each */
} areas[] = {
	{ "split and merge", split_and_merge, 0, 0,
	  PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, "rw-pr--p" },
	{ "shift a boundary", shift_boundary, 0, 0,
	  PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, "rw-pr--p" },
	{ "replace", replace, 0, 0,
	  PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, "rw-prw-s" },
	{ "replace all", replace_all, 0, 0,
	  PROT_READ, MAP_PRIVATE, "r--pr--s" },
	{ "move", move, 4, 12,
	  PROT_READ, MAP_SHARED, "r--s" },
	{ "resize", resize, 6, 16,
	  PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, "rw-p" },
	{ "unmap", unmap, 6, 10,
	  PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, "rw-p" },
};
#define NR_AREAS ARRAY_SIZE(areas)
#define NR_PAGES (NR_AREAS * AREA_PAGES)

static void *changer(void *arg)
{
	size_t i = (uintptr_t)arg;

	while (!stopped()) {
		areas[i].change(area(i));
		__atomic_fetch_add(&rounds[i], 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* --- The checks */

static char wrong[512];
static pthread_mutex_t wrong_lock = PTHREAD_MUTEX_INITIALIZER;

static void complain(const char *fmt, ...)
{
	va_list args;

	pthread_mutex_lock(&wrong_lock);
	if (!wrong[0]) {
		va_start(args, fmt);
		vsnprintf(wrong, sizeof(wrong), fmt, args);
		va_end(args);
	}
	pthread_mutex_unlock(&wrong_lock);
	STORE(&stop, true);
}

/* What a pass over a file has found so far */
struct pass {
	const char *file;
	unsigned long end;		/* end of the line before */
	unsigned char seen[NR_PAGES];
};

static bool perms_possible(size_t i, const char *perms)
{
	const char *p;

	for (p = areas[i].perms; *p; p += 4)
		if (!strncmp(p, perms, 4))
			return true;
	return false;
}

static void check_line(struct pass *pass, const struct line *line)
{
	unsigned long first = (unsigned long)base, p, i;

	if (line->start < pass->end || line->end <= line->start)
		complain("%s: %lx-%lx after %lx", pass->file, line->start,
			 line->end, pass->end);
	pass->end = line->end;
	if (line->end <= first || line->start >= first + NR_PAGES * PAGE)
		return;

	for (p = line->start > first ? (line->start - first) / PAGE : 0;
	     p < NR_PAGES && first + p * PAGE < line->end; p++) {
		i = p / AREA_PAGES;
		pass->seen[p]++;
		if (line->perms[0] && !perms_possible(i, line->perms))
			complain("%s: %s: %lx-%lx %s", pass->file, areas[i].name,
				 line->start, line->end, line->perms);
	}

	/* The file offset identifies the page. */
	if (line->inode) {
		p = (line->start - first) / PAGE;
		i = p / AREA_PAGES;
		p = p % AREA_PAGES * PAGE;
		if (line->offset != p &&
		    !(areas[i].change == move &&
		      line->offset + 4 * PAGE == p && p < 12 * PAGE))
			complain("%s: %s: %lx-%lx, offset %lx", pass->file,
				 areas[i].name, line->start, line->end,
				 line->offset);
	}
}

static void check_end(struct pass *pass)
{
	unsigned long p, i, in;

	for (p = 0; p < NR_PAGES; p++) {
		i = p / AREA_PAGES;
		in = p % AREA_PAGES;
		if (pass->seen[p] > 1)
			complain("%s: %s: page %lu told %u times", pass->file,
				 areas[i].name, in, pass->seen[p]);
		if (!pass->seen[p] && !(in >= areas[i].from && in < areas[i].to))
			complain("%s: %s: page %lu is missing", pass->file,
				 areas[i].name, in);
	}
}

/* --- The files */

static bool parse_map(const char *text, struct line *line)
{
	memset(line, 0, sizeof(*line));
	return sscanf(text, "%lx-%lx %4s %lx %*x:%*x %lu", &line->start, &line->end,
		      line->perms, &line->offset, &line->inode) == 5;
}

/* A line as in maps begins a VMA. The lines after it describe that VMA. */
static bool parse_smap(const char *text, struct line *line)
{
	static __thread struct line last;
	unsigned long kb;

	if (sscanf(text, "Size: %lu kB", &kb) == 1 &&
	    kb * 1024 != last.end - last.start)
		complain("smaps: %lx-%lx has %lu kB", last.start, last.end, kb);
	if (sscanf(text, "Rss: %lu kB", &kb) == 1 &&
	    kb * 1024 > last.end - last.start)
		complain("smaps: %lx-%lx has %lu kB present", last.start,
			 last.end, kb);
	if (!parse_map(text, line))
		return false;
	last = *line;
	return true;
}

/* A line has only the start of a VMA. The VMA ends before the start of the next. */
static bool parse_numa(const char *text, struct line *line)
{
	memset(line, 0, sizeof(*line));
	if (sscanf(text, "%lx ", &line->start) != 1)
		return false;
	line->end = line->start + 1;
	return true;
}

static const struct {
	const char *file;
	bool (*parse)(const char *text, struct line *line);
	bool ends;
} files[] = {
	{ "maps", parse_map, true },
	{ "smaps", parse_smap, true },
	{ "numa_maps", parse_numa, false },
};

static void pass_over(size_t which, size_t size)
{
	struct pass pass = { .file = files[which].file };
	static __thread char buf[8192];
	size_t have = 0;
	char path[64], *text, *nl;
	struct line line;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/%s", files[which].file);
	fd = open(path, O_RDONLY);
	must(fd >= 0, path);
	while ((n = read(fd, buf + have, size)) > 0) {
		have += n;
		buf[have] = 0;
		for (text = buf; (nl = strchr(text, '\n')); text = nl + 1) {
			*nl = 0;
			if (files[which].parse(text, &line))
				check_line(&pass, &line);
		}
		have = buf + have - text;
		memmove(buf, text, have);
	}
	must(!n, "read");
	close(fd);
	if (files[which].ends)
		check_end(&pass);
}

/* The size of what stays mapped and present: smaps_rollup reports at least that. */
static size_t touched;

static void pass_over_rollup(void)
{
	unsigned long rss = 0, start, end;
	char text[256];
	FILE *f = fopen("/proc/self/smaps_rollup", "r");

	must(f, "smaps_rollup");
	must(fgets(text, sizeof(text), f), "smaps_rollup");
	if (sscanf(text, "%lx-%lx ---p 00000000 00:00 0 %*[ ][rollup]", &start, &end) != 2 ||
	    start >= (unsigned long)base || end < (unsigned long)area(NR_AREAS))
		complain("smaps_rollup: %s", text);
	while (fgets(text, sizeof(text), f) && sscanf(text, "Rss: %lu kB", &rss) != 1)
		;
	fclose(f);
	if (rss * 1024 < touched)
		complain("smaps_rollup: %lu kB present", rss);
}

/* Set for mapped pages, present or not, if the kernel has soft-dirty entries */
#define SOFT_DIRTY (1ULL << 55)

static void read_pagemap(uint64_t *entries, size_t n)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);

	must(pread(fd, entries, 8 * n, (uintptr_t)base / PAGE * 8) == 8 * (ssize_t)n,
	     "pagemap");
	close(fd);
}

static void pass_over_pagemap(void)
{
	uint64_t entries[NR_PAGES];
	unsigned long p, i, in;

	read_pagemap(entries, NR_PAGES);
	for (p = 0; p < NR_PAGES; p++) {
		i = p / AREA_PAGES;
		in = p % AREA_PAGES;
		if (!entries[p] && !(in >= areas[i].from && in < areas[i].to))
			complain("pagemap: %s: page %lu is missing", areas[i].name, in);
	}
}

static unsigned long passes;

static void *reader(void *arg)
{
	size_t which = (uintptr_t)arg, i;

	for (i = 0; !stopped(); i++) {
		if (which < ARRAY_SIZE(files))
			/* Mostly a page at a time, as most programs do; or odd sizes. */
			pass_over(which, i % 3 ? 4096 : 500 + i % 1000);
		else if (which == ARRAY_SIZE(files))
			pass_over_rollup();
		else
			pass_over_pagemap();
		__atomic_fetch_add(&passes, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static bool each_had_a_turn(void)
{
	size_t i;

	for (i = 0; i < NR_AREAS; i++)
		if (!LOAD(&rounds[i]))
			return false;
	return LOAD(&passes);
}

/* A thread for each area, concurrently with readers of a file */
static void race(size_t which, bool locks)
{
	const char *name = which < ARRAY_SIZE(files) ? files[which].file :
		which == ARRAY_SIZE(files) ? "smaps_rollup" : "pagemap";
	pthread_t threads[NR_AREAS + NR_READERS];
	long read = 0, mmap_lock = 0;
	size_t i;

	for (i = 0; i < NR_AREAS; i++)
		map_at(area(i), AREA, areas[i].prot, areas[i].flags, 0);
	/* "move" starts with its hole, "resize" with its tail missing. */
	munmap(area(4) + 8 * PAGE, 4 * PAGE);
	munmap(area(5) + 12 * PAGE, 4 * PAGE);
	wrong[0] = 0;
	stop = false;
	passes = 0;
	memset(rounds, 0, sizeof(rounds));
	if (locks) {
		read = vm_counter("vma_lock_read");
		mmap_lock = vm_counter("vma_lock_read_mmap");
	}
	for (i = 0; i < NR_AREAS; i++)
		threads[i] = start(changer, (void *)i);
	for (; i < NR_AREAS + NR_READERS; i++)
		threads[i] = start(reader, (void *)which);
	/* Run longer on a slow machine, until each thread has had a turn. */
	for (i = 0; !stopped() && (i < 10UL * race_seconds() ||
				   (!each_had_a_turn() && i < 100UL * race_seconds())); i++)
		usleep(100000);
	STORE(&stop, true);
	for (i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);

	if (locks)
		ksft_print_msg("%s: %lu passes; %ld VMAs by lookup, %ld under mmap_lock\n",
			       name, passes, vm_counter("vma_lock_read") - read,
			       vm_counter("vma_lock_read_mmap") - mmap_lock);
	if (!each_had_a_turn())
		complain("%s: not everybody had a turn", name);
	if (wrong[0])
		ksft_print_msg("%s\n", wrong);
	ksft_test_result(!wrong[0] && passes, "%s, %s\n", name,
			 locks ? "VMA locks" : "mmap_lock");
}

/* A second thread: the reads of a process with one thread take mmap_lock. */
static void *idle(void *arg)
{
	pthread_barrier_wait(arg);
	return NULL;
}

/* If nothing changes, the files are the same with VMA locks and without. */
static char *slurp(const char *name)
{
	static char text[2][1 << 20];
	static int n;
	char *buf = text[n++ % 2], path[64];
	ssize_t r;
	size_t have = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/%s", name);
	fd = open(path, O_RDONLY);
	must(fd >= 0, path);
	while ((r = read(fd, buf + have, 4096)) > 0)
		have += r;
	close(fd);
	buf[have] = 0;
	return buf;
}

static void compare(const char *name)
{
	pthread_barrier_t barrier;
	char *on, *off;
	pthread_t t;
	long n;

	pthread_barrier_init(&barrier, NULL, 2);
	t = start(idle, &barrier);
	/* First touch the pages that reading itself uses. */
	slurp(name);
	slurp(name);
	set_switch(false);
	off = slurp(name);
	set_switch(true);
	n = vm_counter("vma_lock_read");
	on = slurp(name);
	n = vm_counter("vma_lock_read") - n;
	pthread_barrier_wait(&barrier);
	pthread_join(t, NULL);
	ksft_test_result(*on && !strcmp(on, off) && n > NR_FILLERS,
			 "%s is the same with VMA locks and without\n", name);
}

/* Read lines of smaps up to one that starts with @key. Return the number after it. */
static unsigned long smaps_until(int fd, const char *key)
{
	char line[256], c;
	size_t n = 0;

	/* Read a byte at a time: the kernel generates only what has been asked for. */
	while (read(fd, &c, 1) == 1) {
		if (c != '\n') {
			if (n < sizeof(line) - 1)
				line[n++] = c;
			continue;
		}
		line[n] = 0;
		n = 0;
		if (!strncmp(line, key, strlen(key)))
			return strtoul(line + strlen(key), NULL, 10);
	}
	return -1UL;
}

/*
 * Map a huge page of hugetlbfs after smaps has shown the line of its first page. The
 * next line must describe the rest of the huge page, and no more.
 */
static void clip_hugetlb(void)
{
	const char *name = "smaps, part of a huge page";
	unsigned long size = 0, huge = 0;
	char *p, key[64];
	int fd;

	if (run("echo %s > /proc/sys/vm/nr_hugepages", "1"))
		goto skip;
	/* The first page is a VMA of its own. */
	p = map_area(HUGE, false, PROT_NONE);
	protect(p, PAGE, PROT_READ);
	fd = open("/proc/self/smaps", O_RDONLY);
	must(fd >= 0, "smaps");
	snprintf(key, sizeof(key), "%lx-", (unsigned long)p);
	smaps_until(fd, key);
	if (mmap(p, HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS |
		 MAP_HUGETLB | MAP_FIXED, -1, 0) != p) {
		close(fd);
		goto skip;
	}
	STORE(p, 1);
	snprintf(key, sizeof(key), "%lx-", (unsigned long)p + PAGE);
	if (smaps_until(fd, key) != -1UL) {
		size = smaps_until(fd, "Size:");
		huge = smaps_until(fd, "Private_Hugetlb:");
	}
	close(fd);
	munmap(p, HUGE);
	ksft_print_msg("%s: %lu kB, %lu kB of them huge\n", name, size, huge);
	ksft_test_result(size == (HUGE - PAGE) / 1024 && huge == size, "%s\n", name);
	goto out;
skip:
	ksft_test_result_skip("%s: no huge pages\n", name);
out:
	run("echo %s > /proc/sys/vm/nr_hugepages", "0");
}

int main(void)
{
	size_t i, n = ARRAY_SIZE(files) + 1;
	uint64_t entry;

	setlinebuf(stdout);
	ksft_print_header();
	need_per_vma_lock();
	ksft_set_plan(n + ARRAY_SIZE(files) + 4);

	/* VMAs below the areas. Neighbours have different permissions and never merge. */
	base = mmap(NULL, (NR_FILLERS + NR_PAGES + 2) * PAGE, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(base != MAP_FAILED, "mmap");
	for (i = 0; i < NR_FILLERS; i++) {
		protect(base, PAGE, i % 2 ? PROT_READ : PROT_READ | PROT_WRITE);
		if (!(i % 2)) {
			*base = 1;
			touched += PAGE;
		}
		base += PAGE;
	}
	file = syscall(__NR_memfd_create, "maps", 0);
	must(file >= 0 && !ftruncate(file, AREA), "memfd_create");

	for (i = 0; i < ARRAY_SIZE(files); i++)
		compare(files[i].file);
	clip_hugetlb();
	for (i = 0; i < n; i++)
		race(i, true);
	read_pagemap(&entry, 1);
	if (entry & SOFT_DIRTY)
		race(n, true);
	else
		ksft_test_result_skip("pagemap: no soft-dirty entries\n");
	set_switch(false);
	race(0, false);
	race(1, false);
	set_switch(true);
	ksft_finished();
}
