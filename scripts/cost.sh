#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Kernel instructions an operation at one thread, pervma against base.
. "$(dirname "$0")/lib.sh"
[ "${1:-}" != -h ] || {
	echo "usage: scripts/cost.sh [-h]     (make cost)"
	echo "Instructions an operation, counted by QEMU (-icount shift=1): repeatable to 0.2%."
	echo "Exit status 1 if a fault costs more than base's by more than that, the first touch"
	echo "of a VMA by more than 1%, a writer by more than 3.5% (the goal is 2%, and slabs"
	echo "move it by 1.5%), madvise() or reading maps by more than 5%."
	exit 0
}
mkdir -p "$BUILD/bench"
make -s -C "$TOP/bench" OUTPUT="$BUILD/bench"

# One CPU, which -icount needs; the clock then counts instructions.
count()
{
	say "counting on $1"
	"$TOP/vm" -k "$1" -c 1 -b clocksource=tsc -f "$BUILD/bench/vm_cost" \
		-q "-accel tcg,thread=single -icount shift=1,sleep=off" -- vm_cost > "$BUILD/cost-$1"
}
count base
count pervma
awk '
	{ n = $1; sub(/^[^ ]* /, "") }
	# The first touch of a VMA takes mmap_lock on top of the VMA lock. What
	# allocates from slabs repeats to 1.5% only, madvise() to 4%.
	{
		bound = 1.002
		if (/^(mmap|mprotect|brk|fork)/) bound = 1.035
		if (/^madvise|maps$/) bound = 1.05
		if (/^first/) bound = 1.01
	}
	NR == FNR { base[$0] = n; next }
	FNR == 1 { printf "%-28s %8s %8s %8s\n", "instructions", "base", "pervma", "ratio" }
	{
		printf "%-28s %8.0f %8.0f %8.4f%s\n", $0, base[$0], n, n / base[$0],
			(n > base[$0] * bound) ? "  more than " bound : ""
		if (!(n <= base[$0] * bound)) more = 1
		seen++
	}
	END { exit more || !seen }
' "$BUILD/cost-base" "$BUILD/cost-pervma"
