/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SYMBOLS_H
#define SYMBOLS_H

/*
 * Code that the QEMU plugins share: the symbols of the guest's kernel, and the
 * instruction by which a program in the guest opens a window (bench/mark.h).
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qemu_plugin.h"

static struct symbol {
	uint64_t address;
	char name[64];
	int what;
	unsigned long count;
} *symbols;
static size_t nr_symbols;

/*
 * System.map is sorted. If several symbols have the same address, the last is kept: the
 * first may be that of a section. @classify: returns @what for a text symbol, or NULL.
 */
static bool read_symbols(const char *path, int (*classify)(const char *name))
{
	FILE *f = fopen(path, "r");
	struct symbol s = { 0 };
	char type;

	if (!f)
		return false;
	while (fscanf(f, "%" SCNx64 " %c %63s%*[^\n]", &s.address, &type,
		      s.name) == 3) {
		/* Skip symbols that are relative to a per-CPU area. */
		if (!(s.address >> 63))
			continue;
		s.what = classify && strchr("tTwW", type) ? classify(s.name) : 0;
		if (nr_symbols && symbols[nr_symbols - 1].address == s.address) {
			s.what |= symbols[--nr_symbols].what;
			symbols[nr_symbols++] = s;
			continue;
		}
		if (!(nr_symbols & (nr_symbols - 1)))
			symbols = realloc(symbols, sizeof(s) *
					  (nr_symbols ? 2 * nr_symbols : 1));
		symbols[nr_symbols++] = s;
	}
	fclose(f);
	return nr_symbols;
}

static struct symbol *symbol_at(uint64_t address)
{
	size_t low = 0, high = nr_symbols;

	while (high - low > 1) {
		size_t mid = (low + high) / 2;

		if (symbols[mid].address <= address)
			low = mid;
		else
			high = mid;
	}
	return &symbols[low];
}

/* Parse the arguments of @plugin. Reads the symbols. Returns the output, or NULL. */
static FILE *read_arguments(const char *plugin, int argc, char **argv,
			    int (*classify)(const char *name))
{
	FILE *out = NULL;
	int i;

	for (i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "symbols=", 8) &&
		    read_symbols(argv[i] + 8, classify))
			continue;
		if (!strncmp(argv[i], "out=", 4)) {
			out = fopen(argv[i] + 4, "w");
			if (out)
				continue;
		}
		fprintf(stderr, "%s: %s: not to be had\n", plugin, argv[i]);
		return NULL;
	}
	if (!nr_symbols || !out)
		fprintf(stderr, "%s: symbols=SYSTEM.MAP and out=FILE are needed\n",
			plugin);
	return nr_symbols ? out : NULL;
}

/* The window that an instruction opens, or -1 */
static int mark_of(const struct plugin_insn *insn)
{
	const uint8_t *b = qemu_plugin_insn_data(insn);
	size_t size = qemu_plugin_insn_size(insn);
	uint32_t code;

	if (size == 7 && !memcmp(b, "\x0f\x1f\x80", 3) &&
	    !memcmp(b + 4, "\x00\xa5\x5e", 3))
		return b[3];
	if (size != 4)
		return -1;
	memcpy(&code, b, 4);
	if ((code & ~(0xffu << 5)) == (0xd280001f | 0xa500 << 5))
		return code >> 5 & 0xff;
	return -1;
}

#endif /* SYMBOLS_H */
