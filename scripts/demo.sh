#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The main job: from nothing to the A/B table.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<EOF
usage: scripts/demo.sh [-h]     (make demo [PAIRS=N])

Installs what is missing, lays out and builds the kernel with the series, and boots it
in QEMU. The guest has as many virtual CPUs as the host has CPUs (4 at the most). Runs
each load in PAIRS (100) pairs of windows of 100 ms. The VMA lock is off in one window
and on in the other, in random order. Prints medians, and the ratio within a pair with
the 95% interval of its median.
EOF
}
[ "${1:-}" != -h ] || { usage; exit 0; }
[ $# -eq 0 ] || { usage >&2; exit 2; }
pairs=${LOAD_PAIRS:-0}
[ "$pairs" != 0 ] || pairs=100
[[ $pairs =~ ^[1-9][0-9]{1,3}$ ]] || die "PAIRS=$pairs: 10 to 9999 pairs"

"$TOP/scripts/deps.sh" -g demo
"$TOP/scripts/tree.sh"
"$TOP/scripts/kernel.sh" pervma
bench_programs

run_pairs "$pairs" "$BUILD/bench/demo.txt" | tee "$BUILD/bench/demo-table.txt"
