// SPDX-License-Identifier: GPL-2.0
/*
 * litmus.py includes this in the program that it makes of the tests in litmus/. The
 * macros express the kernel's primitives by those of C11. A fully ordered atomic is a
 * relaxed one between two seq_cst fences. Each test is searched completely, and reports
 * whether its "exists" came true.
 */
#include <relacy/relacy.hpp>

#include <cstdio>
#include <cstdlib>
#include <iostream>

typedef rl::atomic<int> var;

#define READ_ONCE(v)			(v).load(rl::mo_relaxed, $)
#define WRITE_ONCE(v, value)		(v).store(value, rl::mo_relaxed, $)
#define atomic_read(v)			(v)->load(rl::mo_relaxed, $)
#define smp_load_acquire(v)		(v)->load(rl::mo_acquire, $)
#define atomic_read_acquire(v)		smp_load_acquire(v)
#define smp_store_release(v, value)	(v)->store(value, rl::mo_release, $)
#define smp_mb()			rl::atomic_thread_fence(rl::mo_seq_cst, $)
#define smp_rmb()			rl::atomic_thread_fence(rl::mo_acquire, $)
#define atomic_inc(v)			(v)->fetch_add(1, rl::mo_relaxed, $)
#define atomic_dec(v)			(v)->fetch_sub(1, rl::mo_relaxed, $)
#define atomic_sub_return_release(n, v)	((v)->fetch_sub(n, rl::mo_release, $) - (n))
#define atomic_fetch_add(n, v)		fetch_add_mb(v, n)
#define atomic_inc_return(v)		(fetch_add_mb(v, 1) + 1)

static int fetch_add_mb(var *v, int n)
{
	int was;

	smp_mb();
	was = v->fetch_add(n, rl::mo_relaxed, $);
	smp_mb();
	return was;
}

static int cmpxchg(var *v, int old, int value)
{
	smp_mb();
	v->compare_exchange_strong(old, value, rl::mo_relaxed, $);
	smp_mb();
	return old;
}

struct any {
	const char *name;
	any *next;
	static any *first, **last;

	explicit any(const char *name) : name(name), next()
	{
		*last = this;
		last = &next;
	}
	virtual bool seen() const = 0;
};
any *any::first, **any::last = &any::first;

template<typename suite> struct test : any {
	using any::any;
	bool seen() const
	{
		std::ostream none(nullptr);
		rl::test_params p;

		p.search_type = rl::fair_full_search_scheduler_type;
		p.output_stream = &none;
		p.progress_stream = &none;
		if (!rl::simulate<suite>(p))
			exit(1);
		return suite::seen;
	}
};

int main()
{
	for (any *t = any::first; t; t = t->next)
		printf("%s %s\n", t->name, t->seen() ? "Sometimes" : "Never");
	return 0;
}
