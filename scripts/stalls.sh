#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# How long one thread's mmap() takes beside another thread's long call.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<EOF
usage: scripts/stalls.sh [-h]     (make stalls [ROUNDS=3])

A thread maps, touches and unmaps a page while another one makes a long call about
256 MiB (bench/stalls.c has the list); on 6.1, 6.12 and the series in turn, ROUNDS boots
of each. The thread that maps has a CPU of the host for itself. Prints, in microseconds,
the 99th percentile and the longest of a boot, medians over the boots, and how many times
that beside nothing it is.
EOF
}
[ "${1:-}" != -h ] || { usage; exit 0; }
[ $# -eq 0 ] || { usage >&2; exit 2; }
rounds_or 3 1

"$TOP/scripts/tree.sh"
bench_programs
raw=$BUILD/bench/stalls.txt
rm -f "$raw"
for ((round = 1; round <= rounds; round++)); do
	for k in base peer pervma; do
		say "round $round of $rounds, $k, about two minutes"
		"$TOP/vm" -p -k "$k" -m 2048 -f "$BUILD/bench/stalls" -b clocksource=tsc -- \
			stalls -p < /dev/null | while read -r line; do
				echo "$k $line" >> "$raw"
				say "$k: ${line%% *}"
			done
	done
done
awk "$awk_at"'
	!($2 in seen) { seen[$2] = 1; name[++names] = $2 }
	{ p99[$1, $2] = p99[$1, $2] " " $6; longest[$1, $2] = longest[$1, $2] " " $8 }
	function cell(k, c,   v) {
		v = at(p99[k, c], 0.5)
		return sprintf("%9.0f %8.0f %6.1fx", v, at(longest[k, c], 0.5), v / at(p99[k, "nothing"], 0.5))
	}
	END {
		if (!names) exit 1
		printf "| %-20s | %26s | %26s | %26s |\n", "99%, longest (us)", "6.1", "6.12", "with the series"
		print "|---|---|---|---|"
		for (i = 1; i <= names; i++)
			printf "| %-20s | %26s | %26s | %26s |\n", name[i],
				cell("base", name[i]), cell("peer", name[i]), cell("pervma", name[i])
	}' "$raw"
