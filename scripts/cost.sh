#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Kernel instructions an operation at one thread, pervma against base.
. "$(dirname "$0")/lib.sh"
boots=5
[ "${1:-}" != -h ] || {
	echo "usage: scripts/cost.sh [-h]     (make cost)"
	echo "Instructions an operation, counted by QEMU (-icount shift=1): the least of $boots"
	echo "boots, base and pervma in turn. Repeats to 0.3%. Exit status 1 if a fault costs"
	echo "more than base's, the first touch of a VMA more than 1% above, a writer more than"
	echo "2.3% (2%, and what the count repeats to), reading maps more than 5%."
	exit 0
}
mkdir -p "$BUILD/bench"
make -s -C "$TOP/bench" OUTPUT="$BUILD/bench"

# One CPU, which -icount needs; the clock then counts instructions.
count()
{
	"$TOP/vm" -k "$1" -c 1 -b clocksource=tsc -f "$BUILD/bench/vm_cost" \
		-q "-accel tcg,thread=single -icount shift=1,sleep=off" -- vm_cost > "$BUILD/cost-$1-$2"
}
for ((boot = 1; boot <= boots; boot++)); do
	say "counting, boot $boot of $boots"
	count base "$boot"
	count pervma "$boot"
done
awk '
	{ n = $1; sub(/^[^ ]* /, "") }
	{ base = FILENAME ~ /cost-base/ }
	base { if (!($0 in b) || n < b[$0]) b[$0] = n; next }
	!($0 in p) { name[seen++] = $0; p[$0] = n }
	n < p[$0] { p[$0] = n }
	# The first touch of a VMA takes mmap_lock on top of the VMA lock. 0.2%
	# is what a count that nothing has changed differs by.
	function bound(what)
	{
		if (what ~ /^(mmap|mprotect|brk|fork)/) return 1.023
		if (what ~ /maps$/) return 1.05
		if (what ~ /^first/) return 1.01
		return 1.002
	}
	END {
		printf "%-28s %8s %8s %8s\n", "instructions", "base", "pervma", "ratio"
		for (i = 0; i < seen; i++) {
			what = name[i]
			limit = bound(what)
			bad = !(p[what] <= b[what] * limit)
			printf "%-28s %8.0f %8.0f %8.4f%s\n", what, b[what], p[what],
				p[what] / b[what], bad ? "  more than " limit : ""
			more += bad
		}
		exit more || !seen
	}
' "$BUILD"/cost-base-* "$BUILD"/cost-pervma-*
