// SPDX-License-Identifier: GPL-2.0
/*
 * A QEMU plugin: counts the instructions that the kernel runs, by function, while the
 * guest has a window open (bench/mark.h). For guests of one vCPU. It counts all
 * instructions of a block of translated code, even if a fault ends the block early.
 *
 * Output, at the end: "COUNT FUNCTION" for each function.
 */
#include "qemu_plugin.h"
#include "symbols.h"

EXPORT int qemu_plugin_version = 1;

static bool is_open;
static FILE *out;

/* The instructions of a block that belong to one function */
struct part {
	struct symbol *function;
	unsigned long n;
};

static void on_part(unsigned int vcpu, void *data)
{
	struct part *part = data;

	if (is_open)
		part->function->count += part->n;
}

static void on_mark(unsigned int vcpu, void *data)
{
	is_open = data;
}

static void add_part(struct plugin_tb *tb, struct symbol *function,
		     unsigned long n)
{
	struct part *part = malloc(sizeof(*part));

	if (!part)
		return;
	*part = (struct part){ function, n };
	qemu_plugin_register_vcpu_tb_exec_cb(tb, on_part, CB_NO_REGS, part);
}

static void on_translate(uint64_t id, struct plugin_tb *tb)
{
	bool user = !(qemu_plugin_tb_vaddr(tb) >> 63);
	size_t i, first = 0, n = qemu_plugin_tb_n_insns(tb);
	struct symbol *function = NULL;

	for (i = 0; i < n; i++) {
		struct plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		struct symbol *s;
		int mark;

		if (user) {
			mark = mark_of(insn);
			if (mark >= 0)
				qemu_plugin_register_vcpu_insn_exec_cb(insn, on_mark,
						CB_NO_REGS, (void *)(uintptr_t)mark);
			continue;
		}
		s = symbol_at(qemu_plugin_insn_vaddr(insn));
		if (s != function) {
			if (function)
				add_part(tb, function, i - first);
			function = s;
			first = i;
		}
	}
	if (function)
		add_part(tb, function, n - first);
}

static void on_end(uint64_t id, void *data)
{
	size_t i;

	for (i = 0; i < nr_symbols; i++)
		if (symbols[i].count)
			fprintf(out, "%lu %s\n", symbols[i].count, symbols[i].name);
	fclose(out);
}

EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc,
			       char **argv)
{
	out = read_arguments("profile", argc, argv, NULL);
	if (!out)
		return -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
	qemu_plugin_register_atexit_cb(id, on_end, NULL);
	return 0;
}
