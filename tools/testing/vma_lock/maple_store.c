// SPDX-License-Identifier: GPL-2.0
/*
 * mas_preallocate_store() in user space: random stores and clears of ranges, compared
 * with an array. If mas_store_prealloc() allocates a node itself, that fails, as an
 * allocation that does not sleep may fail in the kernel. So too few preallocated nodes
 * end the program. It is built with the maple tree of a kernel tree and the shims of
 * its tools/testing/radix-tree.
 */
#define CONFIG_DEBUG_MAPLE_TREE
#define CONFIG_MAPLE_SEARCH
#define MAPLE_32BIT 0
#include "test.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define module_init(x)
#define module_exit(x)
#define MODULE_AUTHOR(x)
#define MODULE_LICENSE(x)
#define dump_stack() abort()

#include MAPLE_TREE		/* lib/maple_tree.c */

#define LIMIT 6000UL		/* indices; up to four levels of nodes */
#define STORES 50000

static void *shadow[LIMIT];
static unsigned long stores, small, failed;
static unsigned int state = 1;
static int runs;

static unsigned int below(unsigned int n)
{
	state = state * 1103515245 + 12345;
	return (state >> 8) % n;
}

static void check(struct maple_tree *mt, unsigned long first, unsigned long last)
{
	unsigned long i;

	for (i = first; i <= last; i++) {
		MA_STATE(mas, mt, i, i);

		if (mas_walk(&mas) != shadow[i]) {
			printf("# %lu after store %lu\n", i, stores);
			failed++;
			return;
		}
	}
}

static void store(struct maple_tree *mt, unsigned long first, unsigned long last,
		  void *entry)
{
	unsigned long i, n;
	MA_STATE(mas, mt, first, last);

	/* Sometimes start at another place in the tree. */
	if (!below(4)) {
		mas_set(&mas, below(LIMIT));
		mas_walk(&mas);
		mas_set_range(&mas, first, last);
	}
	if (mas_preallocate_store(&mas, entry, GFP_KERNEL))
		abort();
	n = mas_allocated(&mas);
	if (mas.index != first || mas.last != last)
		failed++;
	stores++;
	small += n == 1;
	/* As vma_mas_store() does if the range differs */
	if (!below(4))
		mas_set_range(&mas, first, last);
	mas_store_prealloc(&mas, entry);
	if (mas_allocated(&mas))
		failed++;
	for (i = first; i <= last && i < LIMIT; i++)
		shadow[i] = entry;
	check(mt, first ? first - 1 : 0, last + 1 < LIMIT ? last + 1 : LIMIT - 1);
}

static void run(unsigned int flags, unsigned int widest, unsigned int clears)
{
	struct maple_tree mt = MTREE_INIT(mt, flags);
	unsigned long i;

	memset(shadow, 0, sizeof(shadow));
	stores = small = failed = 0;
	for (i = 0; i < STORES && !failed; i++) {
		unsigned long first = below(LIMIT);
		unsigned long last = first + below(below(8) ? 4 : widest);
		void *entry = below(8) < clears ? NULL : xa_mk_value(i);

		/* To the end of the indices, where there are no VMAs */
		if (!below(200))
			last = ULONG_MAX;
		store(&mt, first, last, entry);
		if (!(i % 1000)) {
			mt_validate(&mt);
			check(&mt, 0, LIMIT - 1);
		}
	}
	printf("%sok %d flags %#x, up to %u wide, %u of 8 clear: %lu stores, %lu by one node\n",
	       failed ? "not " : "", ++runs, flags, widest, clears, stores, small);
	mt_set_external_lock(&mt, NULL);
	__mt_destroy(&mt);
}

/* The argument: the number of TAP lines to announce, with those of maple.sh */
int main(int argc, char **argv)
{
	static const unsigned int flags[] = {
		MT_FLAGS_ALLOC_RANGE | MT_FLAGS_LOCK_EXTERN,
		MT_FLAGS_ALLOC_RANGE | MT_FLAGS_LOCK_EXTERN | MT_FLAGS_USE_RCU,
	};
	static const unsigned int widest[] = { 40, 600 };
	unsigned int f, w, c, bad = 0;

	rcu_register_thread();
	maple_tree_init();
	setlinebuf(stdout);
	printf("TAP version 13\n1..%d\n", argc > 1 ? atoi(argv[1]) : 12);
	for (f = 0; f < 2; f++)
		for (w = 0; w < 2; w++)
			for (c = 0; c < 6; c += 2) {
				run(flags[f], widest[w], c);
				bad += !!failed;
				rcu_barrier();
			}
	rcu_unregister_thread();
	return bad;
}
