/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The protocol of mm/vma_lock.c for Spin: every interleaving of readers, counted
 * and in slots, with a writer that locks one VMA or all of them, tries, gives up,
 * makes the VMA cold, detaches it and frees it.
 *
 * Safety, by assertions: no reader is in a VMA that a writer changes, and no reader
 * looks at a VMA that has been freed. Progress: if a task waits forever (for example
 * because a reader left without waking the writer), Spin reports an invalid end state.
 *
 * Each step here is one access to shared data, in the order of the code: Spin's
 * memory is sequentially consistent. Where the code needs a barrier for that order, a
 * mutant makes the two accesses in the other order. Mutants that show only with a
 * weaker memory are in model.cc.
 *
 * The last reader may die with the VMA in its slot, and never come back. The model
 * then does for it what vma_lock_exit() does. Mutants are -D names; spin.sh has the list.
 *
 * Barriers are lettered as in mm/vma_lock.c.
 */
#ifndef READERS
#define READERS	2
#endif
#ifndef ROUNDS
#define ROUNDS	2	/* of the first reader; the others have one less */
#endif
#ifndef HOLDS
#define HOLDS	2	/* of mmap_lock for write; the last one unmaps */
#endif

#define HELD	1
#define WIDE	2
#define STEP	4

/* The states of a slot. Each reader runs on a CPU of its own, which has one slot. */
#define EMPTY	0
#define HERE	1
#define COUNTED	2

int mm_lock_seq = STEP;
int vm_lock_seq;
int hot;
byte refs;
bool waited, detached;
byte slot[READERS];
bool slot_cpus[READERS];
bool in_tree = true, freed;
bool rcu[READERS];

bool woken;		/* whether the writer, about to sleep, has been woken */
byte inside;		/* readers that hold the VMA */
byte ended;		/* readers that never come back */
bool writing;

inline touch()
{
	assert(!freed)
}

/* C. The VMA is not touched afterwards. */
inline unpublish()
{
	d_step {
		touch();
		refs--;
		wake = waited
	};
#ifndef NO_WAKE
	if
	:: wake -> woken = true
	:: else
	fi;
#endif
	wake = false
}

inline return_slot()
{
	d_step {
		wake = (slot[me] == COUNTED);
		slot[me] = EMPTY
	};
	if
	:: wake -> unpublish()
	:: else
	fi
}

/* As vma_end_read(): a writer may be marking the slot at this moment. */
inline vma_lock_exit()
{
#if defined(NO_EXIT)
	skip
#elif defined(EXIT_BY_STORE)
	slot[me] = EMPTY
#else
	return_slot()
#endif
}

/* locked = is the VMA write-locked, at this sequence? */
inline look_at_seq()
{
	touch();
	locked = ((seq & WIDE) || vm_lock_seq >= seq)
}

proctype reader(byte me)
{
	int seq, was_hot;
	byte n;
	bool locked, wake, refused;

	do
	:: n == ROUNDS - (me > 0) -> break
	:: else ->
		n++;
		rcu[me] = true;
		if
		:: !in_tree -> goto out
		:: else
		fi;
		/* A glance */
		seq = mm_lock_seq;
		look_at_seq();
		if
		:: locked -> goto out
		:: else
		fi;
		was_hot = hot;
		if
		:: was_hot ->
#ifdef NO_A_SLOT
			seq = mm_lock_seq;
			look_at_seq();
			slot_cpus[me] = true;
			slot[me] = HERE;
#else
#ifdef BIT_OF_ANOTHER
			slot_cpus[READERS - 1 - me] = true;
#elif !defined(BIT_LATE)
			slot_cpus[me] = true;
#endif
			slot[me] = HERE;	/* A */
			seq = mm_lock_seq;	/* B' */
			look_at_seq();
#ifdef BIT_LATE
			slot_cpus[me] = true;
#endif
#endif
#ifdef NO_SLOT_RECHECK
			locked = false;
#endif
#ifndef NO_HOT_RECHECK
			locked = locked || hot != was_hot;
#endif
#ifndef NO_SLOT_DETACHED
			locked = locked || detached;
#endif
			if
			:: locked -> return_slot(); goto out
			:: else
			fi
		:: else ->
#ifdef NO_A
			seq = mm_lock_seq;
#endif
			d_step {
				touch();
				refs++;	/* A */
#ifdef NO_DETACHED
				refused = waited
#else
				refused = waited || detached
#endif
			};
			if
			:: refused -> unpublish(); goto out
			:: else
			fi;
#ifndef NO_A
			seq = mm_lock_seq;	/* B' */
#endif
			look_at_seq();
#ifndef NO_RECHECK
			if
			:: locked -> unpublish(); goto out
			:: else
			fi;
#endif
			/* The VMA may become hot at any time. */
			if
			:: !hot -> hot = seq
			:: true
			fi
		fi;
		rcu[me] = false;

		atomic {
			inside++;
			assert(!writing);
			touch()
		};
		if	/* about to sleep for long? */
		:: slot[me] != EMPTY ->
#ifdef SLOT_FIRST
			return_slot();
			d_step { touch(); refs++ }
#else
			d_step { touch(); refs++ };
			return_slot()
#endif
		:: true
		fi;
#ifdef EARLY_RELEASE_READ
		if
		:: slot[me] != EMPTY -> return_slot()
		:: else -> unpublish()
		fi;
		atomic { touch(); inside-- }
#else
		atomic { touch(); inside-- };
		if
		:: slot[me] != EMPTY -> return_slot()
		:: slot[me] != EMPTY && me == READERS - 1 ->	/* The reader oopses. */
			vma_lock_exit();
			break
		:: else -> unpublish()
		fi
#endif
		goto next;
out:
		rcu[me] = false;
next:
		locked = false; refused = false; seq = 0; was_hot = 0
	od;
	ended++
}

inline make_cold()
{
	hot = 0;
	d_step {
		looks[0] = slot_cpus[0];
		looks[READERS - 1] = slot_cpus[READERS - 1]
	};
	cpu = 0;
	do
	:: cpu == READERS -> break
	:: else ->
#ifndef NO_SCAN
		do
		:: !looks[cpu] -> break
		:: looks[cpu] && slot[cpu] == HERE ->
			refs++;
			atomic {
				if
				:: slot[cpu] == HERE -> slot[cpu] = COUNTED; break
				:: else
				fi
			};
			refs--
		:: else -> break
		od;
#endif
		cpu++
	od;
	cpu = 0
}

/* C' */
inline has_readers()
{
#ifdef HOT_FIRST
	if
	:: hot -> make_cold()
	:: else
	fi;
	busy = (refs > 0)
#else
	busy = (refs > 0);
	if
	:: hot -> make_cold(); busy = (refs > 0)
	:: else
	fi
#endif
}

/* Wait until no reader is published, or a signal comes, which sets gave_up. */
inline drain(killable)
{
	do
	:: true ->
		d_step { touch(); waited = true };
		do
		:: true ->
			woken = false;
			if
			:: refs == 0 -> break
			:: else
			fi;
			if
			:: woken
			:: killable -> gave_up = true; break
			fi
		od;
		waited = false;
		busy = false;
#ifndef NO_HOT_AGAIN
		if
		:: !gave_up && hot -> has_readers()
		:: else
		fi;
#endif
		if
		:: !busy -> break
		:: else
		fi
	od
}

inline change()
{
	writing = true;
	assert(inside == 0);
	writing = false
}

/* Lock the VMA by itself. busy: readers have to leave first. */
inline set_write_locked()
{
#ifdef NO_A_PRIME
	has_readers();
	vm_lock_seq = mm_lock_seq
#else
	vm_lock_seq = mm_lock_seq;
	has_readers()	/* after A' */
#endif
}

/* Lock every VMA. There is only one. */
inline lock_all()
{
#ifdef NO_A_PRIME
	has_readers();
	mm_lock_seq = mm_lock_seq | HELD | WIDE
#else
	mm_lock_seq = mm_lock_seq | HELD | WIDE;
	has_readers()
#endif
}

inline release()
{
	mm_lock_seq = (mm_lock_seq & ~(HELD | WIDE)) + STEP	/* B */
}

proctype writer()
{
	byte n, cpu;
	int old;
	bool busy, gave_up, has, looks[READERS];

	do
	:: n == HOLDS -> break
	:: else ->
		n++;
		has = false;
		if
		:: true ->	/* wide */
			lock_all();
#ifndef NO_DRAIN
			if
			:: busy -> drain(true)
			:: else
			fi;
#endif
			if
			:: gave_up -> mm_lock_seq = mm_lock_seq & ~WIDE; gave_up = false
			:: else -> has = true
			fi
		:: true ->	/* narrow: the try form, and again if that fails */
			mm_lock_seq = mm_lock_seq | HELD;
			old = vm_lock_seq;
			set_write_locked();
			if
			:: busy -> vm_lock_seq = old
			:: else -> has = true
			fi
		:: true ->
			mm_lock_seq = mm_lock_seq | HELD
		fi;
		if
		:: !has ->
			old = vm_lock_seq;
			set_write_locked();
#ifndef NO_DRAIN
			if
			:: busy -> drain(true)
			:: else
			fi;
#endif
			if
			:: gave_up -> vm_lock_seq = old; gave_up = false
			:: else -> has = true
			fi
		:: else
		fi;
		if
		:: has && n < HOLDS -> change()
		:: has && n == HOLDS ->
			/* munmap: detached, out of the tree, downgraded */
			change();
			d_step { detached = true; busy = (refs > 0) };
#ifndef NO_DETACH_DRAIN
			if
			:: busy -> drain(false)
			:: else
			fi;
#endif
			in_tree = false
		:: else
		fi;
#ifdef EARLY_RELEASE
		release();
		if
		:: has && n < HOLDS -> change()
		:: else
		fi;
#else
		release();
#endif
		if
		:: has && n == HOLDS ->
			change();
#ifndef NO_RCU
			cpu = 0;
			do
			:: cpu == READERS -> break
			:: else -> !rcu[cpu]; cpu++
			od;
#endif
			freed = true
		:: else
		fi;
		old = 0; busy = false
	od;
	/* When the readers have ended, no count and no slot is left. */
	ended == READERS;
	assert(refs == 0 && slot[0] == EMPTY && slot[READERS - 1] == EMPTY)
}

init
{
	byte i;

	atomic {
		for (i : 0 .. READERS - 1) {
			run reader(i)
		}
		run writer()
	}
}
