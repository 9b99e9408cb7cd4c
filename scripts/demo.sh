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

cpus=$(nproc)
[ "$cpus" -le 4 ] || cpus=4
say "running the loads, about $((pairs * 22 * 5 / 100 + 5)) s"
raw=$BUILD/bench/demo.txt
"$TOP/vm" -c "$cpus" -m 1024 -t $((300 + pairs * 2)) -f "$BUILD/bench/fault_load" -f "$TOP/bench/demo_rounds.sh" \
	-- demo_rounds.sh "$pairs" "$cpus" < /dev/null | tee "$raw" | sed -un 's/^# /   /p'
grep -q '^pair' "$raw" || die "the loads did not run, see $raw"
/usr/bin/python3 "$TOP/bench/pairs.py" "$cpus" "$raw" | tee "$BUILD/bench/demo-table.txt"
