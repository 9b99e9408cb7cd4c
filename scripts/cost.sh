#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Kernel instructions an anonymous fault at one thread, pervma against base.
. "$(dirname "$0")/lib.sh"
[ "${1:-}" != -h ] || {
	echo "usage: scripts/cost.sh [-h]     (make cost)"
	echo "Instructions a fault, counted by QEMU (-icount shift=1): repeatable to 0.2%."
	echo "Exit status 1 if they are more than base's."
	exit 0
}
mkdir -p "$BUILD/bench"
make -s -C "$TOP/bench" OUTPUT="$BUILD/bench"

# One CPU, which -icount needs; the clock then counts instructions.
count()
{
	"$TOP/vm" -k "$1" -c 1 -b clocksource=tsc -f "$BUILD/bench/fault_cost" \
		-q "-accel tcg,thread=single -icount shift=1,sleep=off" -- fault_cost
}
base=$(count base)
ours=$(count pervma)
awk -v b="$base" -v o="$ours" 'BEGIN {
	printf "anonymous fault: base %.0f, pervma %.0f instructions, ratio %.4f: %s than base\n",
		b, o, o / b, (o <= b) ? "no more" : "more"
	exit o > b
}'
