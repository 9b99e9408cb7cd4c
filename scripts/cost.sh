#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Kernel instructions a fault at one thread, by kind, pervma against base.
. "$(dirname "$0")/lib.sh"
[ "${1:-}" != -h ] || {
	echo "usage: scripts/cost.sh [-h]     (make cost)"
	echo "Instructions a fault, counted by QEMU (-icount shift=1): repeatable to 0.2%."
	echo "Exit status 1 if a kind costs more than base's by more than that."
	exit 0
}
mkdir -p "$BUILD/bench"
make -s -C "$TOP/bench" OUTPUT="$BUILD/bench"

# One CPU, which -icount needs; the clock then counts instructions.
count()
{
	say "counting on $1"
	"$TOP/vm" -k "$1" -c 1 -b clocksource=tsc -f "$BUILD/bench/fault_cost" \
		-q "-accel tcg,thread=single -icount shift=1,sleep=off" -- fault_cost > "$BUILD/cost-$1"
}
count base
count pervma
awk '
	{ n = $1; sub(/^[^ ]* /, "") }
	NR == FNR { base[$0] = n; next }
	FNR == 1 { printf "%-28s %8s %8s %8s\n", "instructions a fault", "base", "pervma", "ratio" }
	{
		printf "%-28s %8.0f %8.0f %8.4f%s\n", $0, base[$0], n, n / base[$0],
			(n > base[$0] * 1.002) ? "  more than base" : ""
		if (!(n <= base[$0] * 1.002)) more = 1
		seen++
	}
	END { exit more || !seen }
' "$BUILD/cost-base" "$BUILD/cost-pervma"
