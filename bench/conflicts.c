// SPDX-License-Identifier: GPL-2.0
/*
 * A QEMU plugin: the memory that page faults touch, by cache line.
 *
 * The guest opens and closes a window on each of its vCPUs with an instruction
 * that does nothing else (bench/conflicts_load.c). Within a window, the plugin keeps
 * every access between an entry to the kernel and the return to user mode. On the
 * return it adds the accesses up if the entry was a page fault. Interrupts and
 * exceptions within the entry are left out. An entry that called the scheduler is
 * dropped whole, so that no other task and no half of a fault is counted.
 *
 * Output, at the end: for each window "faults WINDOW COUNTED DROPPED". For each line
 * that one vCPU wrote and another touched, and each function that touched it, "WINDOW
 * LINE FUNCTION SYMBOL READS WRITES WRITTEN". WRITTEN is how many faults wrote the line.
 * "-" for a function is all functions together. SYMBOL is the symbol of the line if it
 * is in the kernel's image, or "-".
 * scripts/conflicts.sh makes the tables.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qemu_plugin.h"
#include "symbols.h"

EXPORT int qemu_plugin_version = 1;

/* Events of an entry. All but RETURN are the first instruction of a function. */
enum { VECTOR = 1, SCHEDULE, FAULT, RETURN };
/* Windows from 2 on are for page faults; 1 is for any entry (system calls). */
enum { CLOSED, SYSCALLS };

struct access {
	uint64_t line;
	const struct symbol *function;
	unsigned int reads, writes;
};

#define MAX_VCPUS 64
#define MAX_ACCESSES 16384

/* Each belongs to one vCPU: QEMU runs the callbacks in the vCPU's thread. */
static struct vcpu {
	int window;
	int depth;		/* exceptions that have not returned */
	bool fault, dropped;
	size_t n;
	struct access accesses[MAX_ACCESSES];
} *vcpus[MAX_VCPUS];

/*
 * What the faults of all vCPUs did to a line, in one function or (NULL) in any
 * function. Kept in an open hash.
 */
static struct total {
	uint64_t line;
	const struct symbol *function;
	int window;		/* 0: this one is free */
	unsigned int vcpu;	/* the first vCPU that touched it */
	bool others;		/* others touched it, too */
	unsigned int reads, writes, written;
	unsigned long last_written;	/* the last fault that wrote it */
} *totals;

#define TOTALS_BITS 21
#define MAX_WINDOWS 256
static size_t nr_totals;
static unsigned long counted[MAX_WINDOWS], dropped[MAX_WINDOWS], nr_entries;
static pthread_mutex_t totals_lock = PTHREAD_MUTEX_INITIALIZER;
static FILE *out;

static int classify(const char *name)
{
	size_t len = strlen(name);

	if (!strcmp(name, "handle_mm_fault"))
		return FAULT;
	if (!strcmp(name, "__schedule"))
		return SCHEDULE;
	/* x86-64: entries of the IDT. arm64: the vectors, not the handlers they call. */
	if (!strncmp(name, "asm_", 4))
		return VECTOR;
	if ((!strncmp(name, "el0t_", 5) || !strncmp(name, "el1h_", 5)) &&
	    (len < 8 || strcmp(name + len - 8, "_handler")))
		return VECTOR;
	return 0;
}

/* The total of a line, or the free place for it */
static struct total *find(uint64_t line, const struct symbol *function,
			  int window)
{
	size_t i = (line * 31 + (uintptr_t)function + window) *
		0x9e3779b97f4a7c15 >> (64 - TOTALS_BITS);

	while (totals[i].window &&
	       (totals[i].line != line || totals[i].function != function ||
		totals[i].window != window))
		i = (i + 1) & ((1UL << TOTALS_BITS) - 1);
	return &totals[i];
}

static void add_up(unsigned int vcpu, int window, const struct access *a,
		   const struct symbol *function)
{
	struct total *t = find(a->line, function, window);

	if (!t->window) {
		if (++nr_totals >> TOTALS_BITS) {
			fprintf(stderr, "conflicts: more lines than there is room for\n");
			exit(1);
		}
		*t = (struct total){ .line = a->line, .function = function,
				     .window = window, .vcpu = vcpu };
	}
	t->others |= t->vcpu != vcpu;
	t->reads += a->reads;
	t->writes += a->writes;
	if (a->writes) {
		t->written += t->last_written != nr_entries;
		t->last_written = nr_entries;
	}
}

static void close_entry(unsigned int vcpu, const struct vcpu *v)
{
	const struct access *a;

	pthread_mutex_lock(&totals_lock);
	if (v->dropped) {
		dropped[v->window]++;
	} else {
		counted[v->window]++;
		nr_entries++;
		for (a = v->accesses; a < v->accesses + v->n; a++) {
			add_up(vcpu, v->window, a, NULL);
			add_up(vcpu, v->window, a, a->function);
		}
	}
	pthread_mutex_unlock(&totals_lock);
}

static void forget_entry(struct vcpu *v)
{
	v->n = 0;
	v->depth = 0;
	v->fault = false;
	v->dropped = false;
}

/* User mode: the entry before it, if there was one, has ended. */
static void on_user(unsigned int vcpu, void *data)
{
	struct vcpu *v = vcpus[vcpu];

	if (v->window == CLOSED || !v->n)
		return;
	if (v->fault || v->window == SYSCALLS)
		close_entry(vcpu, v);
	forget_entry(v);
}

static void on_mark(unsigned int vcpu, void *data)
{
	struct vcpu *v = vcpus[vcpu];

	v->window = (uintptr_t)data;
	forget_entry(v);
}

static void on_event(unsigned int vcpu, void *data)
{
	struct vcpu *v = vcpus[vcpu];
	int what = (uintptr_t)data;

	if (what == VECTOR)
		v->depth++;
	else if (what == RETURN)
		v->depth--;
	else if (what == FAULT)
		v->fault = true;
	else
		v->dropped = true;
}

static void on_access(unsigned int vcpu, uint32_t info, uint64_t vaddr,
		      void *data)
{
	struct vcpu *v = vcpus[vcpu];
	struct access *a = v->accesses + v->n;
	uint64_t line = vaddr / 64;

	if (v->window == CLOSED || v->dropped || v->depth > 1)
		return;
	if (!v->n || a[-1].line != line || a[-1].function != data) {
		if (v->n == MAX_ACCESSES) {
			v->dropped = true;
			return;
		}
		*a = (struct access){ .line = line, .function = data };
		v->n++;
	} else {
		a--;
	}
	/* An atomic read-modify-write is reported as one store. */
	if (qemu_plugin_mem_is_store(info))
		a->writes++;
	else
		a->reads++;
}

/* iretq, eret */
static bool is_return(const struct plugin_insn *insn)
{
	const uint8_t *b = qemu_plugin_insn_data(insn);
	size_t size = qemu_plugin_insn_size(insn);

	return (size == 2 && !memcmp(b, "\x48\xcf", 2)) ||
		(size == 4 && !memcmp(b, "\xe0\x03\x9f\xd6", 4));
}

static void on_exec(struct plugin_insn *insn, exec_cb cb, uintptr_t data)
{
	qemu_plugin_register_vcpu_insn_exec_cb(insn, cb, CB_NO_REGS,
					       (void *)data);
}

static void on_translate(uint64_t id, struct plugin_tb *tb)
{
	bool user = !(qemu_plugin_tb_vaddr(tb) >> 63);
	size_t i, n = qemu_plugin_tb_n_insns(tb);

	if (user)
		qemu_plugin_register_vcpu_tb_exec_cb(tb, on_user, CB_NO_REGS,
						     NULL);
	for (i = 0; i < n; i++) {
		struct plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		uint64_t address = qemu_plugin_insn_vaddr(insn);
		const struct symbol *s;
		int mark;

		if (user) {
			mark = mark_of(insn);
			if (mark >= 0)
				on_exec(insn, on_mark, mark);
			continue;
		}
		s = symbol_at(address);
		if (s->what && s->address == address)
			on_exec(insn, on_event, s->what);
		else if (is_return(insn))
			on_exec(insn, on_event, RETURN);
		qemu_plugin_register_vcpu_mem_cb(insn, on_access, CB_NO_REGS,
						 MEM_RW, (void *)s);
	}
}

static void on_end(uint64_t id, void *data)
{
	const struct total *t, *line;
	uint64_t address;
	int i;

	for (i = 0; i < MAX_WINDOWS; i++)
		if (counted[i] || dropped[i])
			fprintf(out, "faults %d %lu %lu\n", i, counted[i],
				dropped[i]);
	for (t = totals; t < totals + (1UL << TOTALS_BITS); t++) {
		if (!t->window)
			continue;
		line = find(t->line, NULL, t->window);
		if (!line->others || !line->writes)
			continue;
		address = t->line * 64;
		fprintf(out, "%d %" PRIx64 " %s %s %u %u %u\n", t->window,
			address, t->function ? t->function->name : "-",
			address < symbols[0].address ||
			address > symbols[nr_symbols - 1].address ?
			"-" : symbol_at(address)->name,
			t->reads, t->writes, t->written);
	}
	fclose(out);
}

EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc,
			       char **argv)
{
	int i;

	out = read_arguments("conflicts", argc, argv, classify);
	if (!out)
		return -1;
	totals = calloc(1UL << TOTALS_BITS, sizeof(*totals));
	if (!totals)
		return -1;
	for (i = 0; i < MAX_VCPUS; i++) {
		vcpus[i] = calloc(1, sizeof(**vcpus));
		if (!vcpus[i])
			return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
	qemu_plugin_register_atexit_cb(id, on_end, NULL);
	return 0;
}
