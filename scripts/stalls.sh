#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# How long mmap() of one thread takes during a long call of another thread.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<EOF
usage: scripts/stalls.sh [-h]     (make stalls [ROUNDS=3])

A thread maps, touches and unmaps a page while another thread makes a long call about
256 MiB (bench/stalls.c has the list). This runs on 6.1, 6.12 and the series in turn, ROUNDS
boots of each. The thread that maps has a CPU of the host for itself. Prints, in microseconds,
the 99th and 99.9th percentile of a boot, the 99th of the first touch, and three percentiles
of a fault in a VMA that stays. These are medians over the boots. Each is also given as a
multiple of its value during "nothing".
build/bench/stalls.svg is a plot.
EOF
}
[ "${1:-}" != -h ] || { usage; exit 0; }
[ $# -eq 0 ] || { usage >&2; exit 2; }
rounds_or 3 1

"$TOP/scripts/tree.sh"
bench_programs
/usr/bin/python3 -c 'import matplotlib' 2>/dev/null || "$TOP/scripts/deps.sh" python3-matplotlib
raw=$BUILD/bench/stalls.txt
rm -f "$raw"
for ((round = 1; round <= rounds; round++)); do
	for k in base peer pervma; do
		say "round $round of $rounds, $k, about two minutes"
		"$TOP/vm" -p -k "$k" -m 2048 -q "$(two_nodes 1024)" -f "$BUILD/bench/stalls" -b clocksource=tsc -- \
			stalls -p < /dev/null | while read -r line; do
				echo "$k $line" >> "$raw"
				say "$k: ${line%% *}"
			done
	done
done
/usr/bin/python3 "$TOP/bench/stalls.py" "$raw" "$BUILD/bench/stalls.svg"
