// SPDX-License-Identifier: GPL-2.0
/*
 * The protocol of mm/vma_lock.c under the C++11 memory model, in Relacy.
 *
 * One mm, one VMA, readers that look it up and hold it, and one writer that
 * goes through several holds of mmap_lock: wide, narrow, narrow and interrupted
 * while it waits, then wide with the VMA detached, a downgrade, and freeing.
 * The data that the VMA lock protects are plain variables. Relacy reports a race
 * when a reader and the writer are in the VMA at the same time, or when a reader
 * sees an old value. It reports a deadlock when a wake-up is lost.
 *
 * The names are those of the kernel code. A fully ordered kernel atomic is a
 * relaxed one between two seq_cst fences here. Each mutant leaves out or
 * weakens one thing; "model -l" lists them. A mutant that the model does not
 * catch fails the test.
 */
#include <relacy/relacy.hpp>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>

#include <sys/wait.h>
#include <unistd.h>

enum mutant {
	NONE,
	NO_READER_BARRIER,
	NO_WRITER_BARRIER,
	NO_RECHECK,
	RECHECK_RELAXED,
	RECHECK_BEFORE_PUBLISH,
	UNLOCK_RELAXED,
	EQUAL_NOT_GREATER,
	NO_DRAIN,
	DRAIN_RELAXED,
	END_READ_RELAXED,
	NO_WAKE,
	NO_DETACHED_CHECK,
	DETACH_WITHOUT_DRAIN,
	FREE_WITHOUT_GRACE_PERIOD,
	USED_AFTER_PUBLISH,
	USERS_RELAXED,
	ATTACH_UNLOCKED,
	ATTACH_RELAXED,
	REMOTE_NO_BARRIER,
	FREE_NO_BARRIER,
	FREE_USERS_EARLY,
	FREE_USERS_RELAXED,
	HOT_NO_BARRIER,
	HOT_NO_RECHECK,
	HOT_SOME_TIME,
	HOT_DETACHED_EARLY,
	HOT_CLAIM_BY_STORE,
	HOT_NO_SCAN,
	HOT_SCAN_RELAXED,
	HOT_END_RELAXED,
	HOT_NOT_COUNTED,
	HOT_LOOK_ONCE,
	HOT_LOOK_BEFORE_COUNT,
	HOT_COLD_NO_BARRIER,
	HOT_BIT_LATE,
	HOT_BIT_OF_ANOTHER,
	HOT_BITS_READ_EARLY,
	HOT_SLOT_FIRST,
	NR_MUTANTS
};

static const struct {
	const char *name, *what;
} mutants[NR_MUTANTS] = {
	{ "none", "the protocol as it is" },
	{ "no-reader-barrier", "A: refs++ orders nothing" },
	{ "no-writer-barrier", "A': no smp_mb() behind the store of the sequence" },
	{ "no-recheck", "the sequence is not read again after publishing" },
	{ "recheck-relaxed", "B': the recheck is no acquire" },
	{ "recheck-before-publish", "the sequence is only read before publishing" },
	{ "unlock-relaxed", "B: vma_end_write_all() is no release" },
	{ "equal-not-greater", "write-locked is ==, not >=" },
	{ "no-drain", "the writer does not wait for readers" },
	{ "drain-relaxed", "C': vma_drained() is no acquire" },
	{ "end-read-relaxed", "C: vma_end_read() is no release" },
	{ "no-wake", "the last reader wakes nobody" },
	{ "no-detached-check", "readers do not look at DETACHED" },
	{ "detach-without-drain", "vma_mark_detached() does not wait" },
	{ "free-without-grace-period", "the VMA is freed at once" },
	{ "used-after-publish", "mm->used is set behind A" },
	{ "users-relaxed", "mm_users is read without acquire" },
	{ "attach-unlocked", "a new VMA enters the tree without vm_lock_seq" },
	{ "attach-relaxed", "vma_mark_attached() is no release" },
	{ "remote-no-barrier", "no smp_mb() between taking a foreign mm and the lookup" },
	{ "free-no-barrier", "no smp_mb() between the removal and reading mm_users" },
	{ "free-users-early", "vma_can_free_now() reads mm_users before the removal" },
	{ "free-users-relaxed", "it reads mm_users without acquire" },
	{ "hot-no-barrier", "A: the claim of a slot orders nothing" },
	{ "hot-no-recheck", "that the VMA is hot is not read again after the claim" },
	{ "hot-some-time", "it is enough to be hot again" },
	{ "hot-detached-early", "DETACHED is read before the sequence is" },
	{ "hot-claim-by-store", "a slot is claimed by a load and a store" },
	{ "hot-no-scan", "the writer does not look for readers in slots" },
	{ "hot-scan-relaxed", "C': no smp_mb() after looking" },
	{ "hot-end-relaxed", "C: a slot is given back without release" },
	{ "hot-not-counted", "a reader in a slot is told that it is counted, and is not" },
	{ "hot-look-once", "the writer does not look again whether the VMA is hot, having waited" },
	{ "hot-look-before-count", "it looks at that first, and then at the count" },
	{ "hot-cold-no-barrier", "no smp_mb() between making the VMA cold and looking into slots" },
	{ "hot-bit-late", "a claim sets the bit of its CPU after A" },
	{ "hot-bit-of-another", "it sets that of another CPU, from which the task was moved" },
	{ "hot-bits-read-early", "the writer reads the bits before the sequence is stored" },
	{ "hot-slot-first", "a reader about to sleep leaves its slot first, and is counted then" },
};

static mutant mutant_now;

static bool hot_first;		/* is the VMA hot at the start? */

static bool is(mutant m)
{
	return mutant_now == m;
}

static const unsigned HELD = 1, WIDE = 2, STEP = 4;
static const unsigned READERS = 0xff, DETACHED = 0x100, WAITED = 0x200;
static const unsigned CLAIMED = 1, COUNTED = 2;	/* what a slot holds */

static const auto relaxed = rl::mo_relaxed;
static const auto acquire = rl::mo_acquire;
static const auto release = rl::mo_release;
static const auto seq_cst = rl::mo_seq_cst;

/* rcuwait: the mutex stands for the scheduler's, fences for set_current_state() */
struct rcuwait {
	rl::mutex lock;
	rl::condition_variable_any cv;
	rl::var<int> sleeping;

	void wake()
	{
		rl::atomic_thread_fence(seq_cst, $);
		lock.lock($);
		if (VAR(sleeping)) {
			VAR(sleeping) = 0;
			cv.notify_all($);
		}
		lock.unlock($);
	}
	void prepare()
	{
		lock.lock($);
		VAR(sleeping) = 1;
		lock.unlock($);
		rl::atomic_thread_fence(seq_cst, $);
	}
	void schedule()
	{
		lock.lock($);
		while (VAR(sleeping))
			cv.wait(lock, $);
		lock.unlock($);
	}
	void finish()
	{
		lock.lock($);
		VAR(sleeping) = 0;
		lock.unlock($);
	}
};

/* NREADERS threads of the process, which are counted in mm_users throughout. */
template<typename derived, int nreaders>
struct base : rl::test_suite<derived, nreaders + 1> {
	/* struct mm_struct */
	rl::atomic<unsigned> mm_lock_seq, used, mm_users;
	rcuwait writer;
	rl::atomic<int> tree;		/* does it hold the VMA? */
	rl::atomic<int> rcu[nreaders];
	/* struct vm_area_struct */
	rl::atomic<unsigned> vm_lock_seq, refs, hot;
	/* Slots of CPUs, which readers happen to run on */
	static const int nslots = 2;
	rl::atomic<unsigned> slot[nslots];
	rl::atomic<unsigned> slot_cpus;
	unsigned early_bits;		/* a local variable of the writer */
	rl::var<int> memory;		/* written when it is freed */
	rl::var<int> contents;		/* its range, flags and page tables */

	void before()
	{
		mm_lock_seq.store(STEP, relaxed, $);
		used.store(0, relaxed, $);
		mm_users.store(nreaders + 1, relaxed, $);
		vm_lock_seq.store(0, relaxed, $);
		refs.store(0, relaxed, $);
		hot.store(hot_first, relaxed, $);
		for (int i = 0; i < nslots; i++)
			slot[i].store(0, relaxed, $);
		slot_cpus.store(0, relaxed, $);
		tree.store(1, relaxed, $);
		for (int i = 0; i < nreaders; i++)
			rcu[i].store(0, relaxed, $);
		VAR(writer.sleeping) = 0;
		VAR(memory) = 0;
		VAR(contents) = 0;
	}

	bool write_locked_at(unsigned seq)
	{
		unsigned v;

		if (seq & WIDE)
			return true;
		v = vm_lock_seq.load(relaxed, $);
		return is(EQUAL_NOT_GREATER) ? v == seq : v >= seq;
	}

	void unpublish()
	{
		unsigned old = refs.fetch_sub(1, is(END_READ_RELAXED) ? relaxed : release, $);

		if ((old & WAITED) && !is(NO_WAKE))
			writer.wake();
	}

	/* Claim a slot for the VMA, fully ordered. -1 if no slot is free. */
	int claim()
	{
		int s = rl::rand(nslots);
		int cpu = is(HOT_BIT_OF_ANOTHER) ? rl::rand(nslots) : s;
		unsigned old = 0;
		bool ok;

		if (!is(HOT_BIT_LATE))
			set_bit(cpu);
		if (!is(HOT_NO_BARRIER))
			rl::atomic_thread_fence(seq_cst, $);
		if (is(HOT_CLAIM_BY_STORE)) {
			ok = !slot[s].load(relaxed, $);
			if (ok)
				slot[s].store(CLAIMED, relaxed, $);
		} else {
			ok = slot[s].compare_exchange_strong(old, CLAIMED, relaxed, $);
		}
		if (!is(HOT_NO_BARRIER))
			rl::atomic_thread_fence(seq_cst, $);
		if (is(HOT_BIT_LATE))
			set_bit(cpu);
		return ok ? s : -1;
	}

	void set_bit(int cpu)
	{
		if (!(slot_cpus.load(relaxed, $) & (1 << cpu)))
			slot_cpus.fetch_or(1 << cpu, relaxed, $);
	}

	/* vma_read_may_sleep(). Returns where the reader is published afterwards. */
	int may_sleep(int at)
	{
		if (is(HOT_SLOT_FIRST)) {
			unclaim(at);
			refs.fetch_add(1, relaxed, $);
		} else {
			refs.fetch_add(1, relaxed, $);
			unclaim(at);
		}
		return -1;
	}

	/* Give up a slot, or the count if a writer has counted this reader. */
	void unclaim(int s)
	{
		unsigned old = CLAIMED;

		if (slot[s].compare_exchange_strong(old, 0,
				is(HOT_END_RELAXED) ? relaxed : release, $))
			return;
		slot[s].store(0, relaxed, $);
		unpublish();
	}

	/* Is the VMA unlocked, and hot since before the claim? H: its number then. */
	bool hot_and_unlocked(unsigned h)
	{
		unsigned flags = 0, now = h;

		if (is(HOT_DETACHED_EARLY))
			flags = refs.load(relaxed, $);
		if (write_locked_at(mm_lock_seq.load(acquire, $)))
			return false;
		if (!is(HOT_NO_RECHECK))
			now = hot.load(relaxed, $);
		if (!is(HOT_DETACHED_EARLY))
			flags = refs.load(relaxed, $);
		return (is(HOT_SOME_TIME) ? now != 0 : now == h) &&
			!(flags & DETACHED);
	}

	/* Sets AT to where the reader is published: a slot, or -1 for the count. */
	bool start_read(int &at)
	{
		unsigned old, seq, h;

		seq = mm_lock_seq.load(relaxed, $);
		if (write_locked_at(seq))
			return false;
		if (!is(USED_AFTER_PUBLISH) && !used.load(relaxed, $))
			used.store(1, relaxed, $);

		h = hot.load(relaxed, $);
		at = h ? claim() : -1;
		if (at >= 0) {
			if (hot_and_unlocked(h))
				return true;
			unclaim(at);
			return false;
		}

		if (is(RECHECK_BEFORE_PUBLISH))
			seq = mm_lock_seq.load(acquire, $);
		if (!is(NO_READER_BARRIER))
			rl::atomic_thread_fence(seq_cst, $);
		old = refs.fetch_add(1, relaxed, $);
		if (!is(NO_READER_BARRIER))
			rl::atomic_thread_fence(seq_cst, $);

		if (is(USED_AFTER_PUBLISH) && !used.load(relaxed, $))
			used.store(1, relaxed, $);
		if ((old & WAITED) || ((old & DETACHED) && !is(NO_DETACHED_CHECK)))
			goto no;
		if (is(NO_RECHECK))
			return true;
		if (!is(RECHECK_BEFORE_PUBLISH))
			seq = mm_lock_seq.load(is(RECHECK_RELAXED) ? relaxed : acquire, $);
		if (write_locked_at(seq))
			goto no;
		/* There may have been enough readers on other CPUs. */
		if (!rl::rand(3))
			hot.store(seq, relaxed, $);
		return true;
	no:
		unpublish();
		return false;
	}

	/* lock_vma_under_rcu() and what follows, in reader I */
	void read(int i)
	{
		rcu[i].store(1, relaxed, $);
		rl::atomic_thread_fence(seq_cst, $);
		read_in_rcu(i);
	}

	void read_in_rcu(int i)
	{
		bool locked;
		int at;

		if (!tree.load(acquire, $)) {
			rcu[i].store(0, release, $);
			return;
		}
		(void)(int)VAR(memory);
		locked = start_read(at);
		rcu[i].store(0, release, $);
		if (!locked)
			return;
		(void)(int)VAR(memory);
		(void)(int)VAR(contents);
		if (at >= 0 && !rl::rand(6)) {
			at = may_sleep(at);
			(void)(int)VAR(memory);
			(void)(int)VAR(contents);
		}
		if (at >= 0)
			unclaim(at);
		else
			unpublish();
	}

	bool drained()
	{
		return !(refs.load(is(DRAIN_RELAXED) ? relaxed : acquire, $) & READERS);
	}

	/* Returns false if a signal came first, which KILLABLE allows. */
	bool drain(bool killable)
	{
		bool ok = true;

		if (is(NO_DRAIN))
			return true;
		do {
			rl::atomic_thread_fence(seq_cst, $);
			refs.fetch_or(WAITED, relaxed, $);
			rl::atomic_thread_fence(seq_cst, $);
			for (;;) {
				writer.prepare();
				if (drained())
					break;
				if (killable && rl::rand(2)) {
					ok = false;
					break;
				}
				writer.schedule();
			}
			writer.finish();
			refs.fetch_and(~WAITED, relaxed, $);
		} while (ok && !is(HOT_LOOK_ONCE) && hot.load(relaxed, $) && has_readers());
		return ok;
	}

	/* Count the readers in slots. The caller waits for the counted readers. */
	void make_cold()
	{
		unsigned bits = early_bits;

		hot.store(0, relaxed, $);
		if (!is(HOT_COLD_NO_BARRIER))
			rl::atomic_thread_fence(seq_cst, $);
		if (!is(HOT_BITS_READ_EARLY))
			bits = slot_cpus.load(relaxed, $);
		for (int s = 0; s < nslots; s++) {
			unsigned v;

			if (!(bits & (1 << s)))
				continue;
			while ((v = slot[s].load(relaxed, $)) == CLAIMED) {
				unsigned n = is(HOT_NOT_COUNTED) ? 0 : 1;

				refs.fetch_add(n, relaxed, $);
				if (!slot[s].compare_exchange_strong(v, CLAIMED | COUNTED, relaxed, $))
					refs.fetch_sub(n, relaxed, $);
			}
		}
		/* The code has smp_mb(). C' needs only an acquire. */
		if (!is(HOT_SCAN_RELAXED))
			rl::atomic_thread_fence(acquire, $);
	}

	/* After A' */
	bool has_readers()
	{
		bool no = is(HOT_LOOK_BEFORE_COUNT) || drained();

		if (!hot.load(relaxed, $) || is(HOT_NO_SCAN))
			return is(HOT_LOOK_BEFORE_COUNT) ? !drained() : !no;
		make_cold();
		return !drained();
	}

	void writer_barrier()
	{
		if (!is(NO_WRITER_BARRIER))
			rl::atomic_thread_fence(seq_cst, $);
	}

	/*
	 * mmap_write_lock(), wide, or a narrow hold that becomes wide. Returns
	 * false, no wider than before, if a signal came first.
	 */
	bool start_write_all(bool killable = false)
	{
		early_bits = slot_cpus.load(relaxed, $);
		mm_lock_seq.store(mm_lock_seq.load(relaxed, $) | HELD | WIDE, relaxed, $);
		writer_barrier();
		if (!used.load(relaxed, $))
			return true;
		if (mm_users.load(is(USERS_RELAXED) ? relaxed : acquire, $) == 1)
			return true;
		if (!tree.load(relaxed, $))
			return true;
		if (!has_readers() || drain(killable))
			return true;
		mm_lock_seq.store(mm_lock_seq.load(relaxed, $) & ~WIDE, release, $);
		return false;
	}

	/* mmap_write_lock_narrow() */
	void start_write_none()
	{
		mm_lock_seq.store(mm_lock_seq.load(relaxed, $) | HELD, release, $);
	}

	/* An audited writer: mmap_lock alone, then this VMA */
	bool start_write_narrow(bool killable)
	{
		start_write_none();
		return start_write(killable, false);
	}

	/* vma_start_write(), _killable() and vma_try_start_write() */
	bool start_write(bool killable, bool tries)
	{
		unsigned old = vm_lock_seq.load(relaxed, $);

		early_bits = slot_cpus.load(relaxed, $);
		vm_lock_seq.store(mm_lock_seq.load(relaxed, $), relaxed, $);
		writer_barrier();
		if (!has_readers() || (!tries && drain(killable)))
			return true;
		vm_lock_seq.store(old, relaxed, $);
		return false;
	}

	void end_write_all()
	{
		unsigned seq = mm_lock_seq.load(relaxed, $);

		mm_lock_seq.store((seq & ~(HELD | WIDE)) + STEP,
				  is(UNLOCK_RELAXED) ? relaxed : release, $);
	}

	void change()
	{
		VAR(contents) = (int)VAR(contents) + 1;
	}

	void detach()
	{
		unsigned old;
		bool first = rl::rand(2);

		if (!first)
			tree.store(0, release, $);
		rl::atomic_thread_fence(seq_cst, $);
		old = refs.fetch_or(DETACHED, relaxed, $);
		rl::atomic_thread_fence(seq_cst, $);
		if ((old & READERS) && !is(DETACH_WITHOUT_DRAIN))
			drain(false);
		if (first)
			tree.store(0, release, $);
	}

	void free_after_grace_period()
	{
		if (!is(FREE_WITHOUT_GRACE_PERIOD)) {
			rl::atomic_thread_fence(seq_cst, $);
			for (int i = 0; i < nreaders; i++)
				while (rcu[i].load(acquire, $))
					rl::yield(1, $);
		}
		VAR(memory) = 1;
	}
};

/* Several holds, of every form, concurrently with two readers that each read twice */
struct holds : base<holds, 2> {
	void thread(unsigned t)
	{
		if (t < 2) {
			read(t);
			read(t);
			return;
		}
		if (rl::rand(2)) {
			start_write_all();
			change();
			end_write_all();
		}
		if (start_write_narrow(false))
			change();
		end_write_all();
		if (start_write_narrow(true))
			change();
		if (rl::rand(2) && start_write_all(true))
			change();
		end_write_all();
	}
};

/* mmap() or brk(): a new VMA, stored to the tree before or after the flag goes */
struct map : base<map, 2> {
	void before()
	{
		base::before();
		tree.store(0, relaxed, $);
		hot.store(0, relaxed, $);
		refs.store(DETACHED, relaxed, $);
		used.store(1, relaxed, $);
	}
	void attach()
	{
		if (!is(ATTACH_UNLOCKED))
			vm_lock_seq.store(mm_lock_seq.load(relaxed, $), relaxed, $);
		refs.fetch_and(~DETACHED, is(ATTACH_RELAXED) ? relaxed : release, $);
	}
	void thread(unsigned t)
	{
		if (t < 2) {
			read(t);
			read(t);
			return;
		}
		start_write_none();
		if (rl::rand(2)) {
			attach();
			tree.store(1, release, $);
		} else {
			tree.store(1, release, $);
			attach();
		}
		change();
		end_write_all();
		if (start_write_narrow(false))
			change();
		end_write_all();
	}
};

/* munmap(): detached, downgraded, page tables torn down, freed */
struct unmap : base<unmap, 2> {
	void thread(unsigned t)
	{
		if (t < 2) {
			read(t);
			return;
		}
		if (rl::rand(2)) {
			start_write_all();
		} else {
			start_write_narrow(false);
		}
		change();
		detach();
		end_write_all();
		change();
		free_after_grace_period();
	}
};

/*
 * A writer gives up and tries again, in one hold. Its first attempt may have met a
 * claim, and a counted reader that has yet to make the VMA hot.
 */
struct again : base<again, 2> {
	void before()
	{
		base::before();
		mm_lock_seq.store(STEP | HELD, relaxed, $);
		used.store(1, relaxed, $);
		hot.store(STEP | HELD, relaxed, $);
		refs.store(1, relaxed, $);
		slot_cpus.store((1 << nslots) - 1, relaxed, $);
	}
	void thread(unsigned t)
	{
		if (t == 0) {
			if (rl::rand(2))
				hot.store(STEP | HELD, relaxed, $);
			(void)(int)VAR(contents);
			unpublish();
			return;
		}
		if (t == 1) {
			read(t);
			return;
		}
		if (!start_write(true, rl::rand(2)))
			start_write(false, false);
		change();
		end_write_all();
	}
};

/* A claim that takes as long as two holds, while another reader makes the VMA hot */
struct slow : base<slow, 2> {
	void before()
	{
		base::before();
		slot_cpus.store((1 << nslots) - 1, relaxed, $);
	}
	void thread(unsigned t)
	{
		if (t < 2) {
			read(t);
			return;
		}
		for (int i = 0; i < 2; i++) {
			if (start_write_narrow(false))
				change();
			end_write_all();
		}
	}
};

/* A reader that is no thread of the process: it takes and drops mm_users */
struct remote : base<remote, 1> {
	void before()
	{
		base::before();
		mm_users.store(1, relaxed, $);
	}
	void thread(unsigned t)
	{
		if (t == 0) {
			mm_users.fetch_add(1, relaxed, $);
			read(0);
			mm_users.fetch_sub(1, release, $);
			return;
		}
		for (int i = 0; i < 2; i++) {
			start_write_all();
			change();
			end_write_all();
		}
	}
};

/*
 * The only user of the mm unmaps, and frees at once if it is still alone. Meanwhile a
 * reader of another process takes its reference by get_task_mm(), which orders
 * nothing. rcu_read_lock() orders nothing either, but a seq_cst fence would. So the
 * grace period here waits for the reader wherever it is.
 */
struct alone : base<alone, 1> {
	void before()
	{
		base::before();
		mm_users.store(1, relaxed, $);
		rcu[0].store(1, relaxed, $);
	}
	bool no_others()
	{
		return mm_users.load(is(FREE_USERS_RELAXED) ? relaxed : acquire, $) == 1;
	}
	/* vma_can_free_now(). EARLY is its answer from before the removal. */
	bool free_now(bool early)
	{
		if (is(FREE_USERS_EARLY))
			return early;
		if (!is(FREE_NO_BARRIER))
			rl::atomic_thread_fence(seq_cst, $);
		return no_others();
	}
	void thread(unsigned t)
	{
		bool early = false;

		if (t == 0) {
			mm_users.fetch_add(1, relaxed, $);
			if (!is(REMOTE_NO_BARRIER))
				rl::atomic_thread_fence(seq_cst, $);
			read_in_rcu(0);
			mm_users.fetch_sub(1, release, $);
			return;
		}
		if (rl::rand(2))
			start_write_all();
		else
			start_write_narrow(false);
		change();
		if (is(FREE_USERS_EARLY))
			early = no_others();
		detach();
		end_write_all();
		change();
		if (free_now(early))
			VAR(memory) = 1;
		else
			free_after_grace_period();
	}
};

/*
 * Run each search in a process of its own: after a failure Relacy leaves threads
 * in the middle of their work. Returns 0 if the protocol held up, 1 if not.
 */
template<typename test>
static int search(unsigned long iterations, bool verbose)
{
	rl::test_params p;
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		perror("model: fork");
		exit(2);
	}
	if (!pid) {
		/* A stream that kept its text would allocate within Relacy's own heap. */
		std::ostream none(nullptr);

		p.iteration_count = iterations;
		p.search_type = rl::random_scheduler_type;
		p.output_stream = verbose ? &std::cerr : &none;
		p.progress_stream = &none;
		p.execution_depth_limit = 4000;
		_exit(!rl::simulate<test>(p));
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
	    WEXITSTATUS(status) > 1) {
		fprintf(stderr, "model: a search did not end as it should\n");
		exit(2);
	}
	return WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	unsigned long iterations = 30000;
	bool verbose = false;
	int failed = 0;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "-l")) {
			for (auto &m : mutants)
				printf("%-27s %s\n", m.name, m.what);
			return 0;
		} else if (!strcmp(argv[i], "-v")) {
			verbose = true;
		} else if (!strcmp(argv[i], "-n") && i + 1 < argc && atol(argv[i + 1]) > 0) {
			iterations = atol(argv[++i]);
		} else {
			fprintf(stderr, "usage: model [-h] [-l] [-v] [-n ITERATIONS]\n"
				"  -l  list the mutants    -v  Relacy's history of each failure\n");
			return strcmp(argv[i], "-h") ? 2 : 0;
		}
	}

	printf("TAP version 13\n1..%d\n", NR_MUTANTS);
	for (int m = NONE; m < NR_MUTANTS; m++) {
		const char *by = "";
		bool ok;

		mutant_now = (mutant)m;
		/*
		 * The protocol itself gets ten times the search of a mutant. So do
		 * the mutants of hot VMAs, which take long to be caught.
		 */
		unsigned long n = m == NONE || m >= HOT_NO_BARRIER ?
			10 * iterations : iterations;
		for (int h = 0; h < 2 && !*by; h++) {
			hot_first = h;
			if (search<holds>(n, verbose))
				by = "holds";
			else if (search<unmap>(n, verbose))
				by = "unmap";
			else if (search<remote>(n, verbose))
				by = "remote";
			else if (search<map>(n, verbose))
				by = "map";
			else if (search<again>(n, verbose))
				by = "again";
			else if (search<slow>(n, verbose))
				by = "slow";
			else if (search<alone>(n, verbose))
				by = "alone";
		}
		ok = (m == NONE) == !*by;
		failed += !ok;
		printf("%s %d model: %s: %s%s\n", ok ? "ok" : "not ok", m + 1, mutants[m].name,
		       *by ? "caught by " : "holds up", by);
		fflush(stdout);
	}
	return failed != 0;
}
