#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# How long mmap() and munmap() take while others read /proc/PID/maps.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<EOF
usage: scripts/latency.sh [-h]     (make latency [ROUNDS=3])

Two processes read /proc/PID/maps of a process with 10,000 VMAs, which maps and unmaps a
page. This runs on 6.1, 6.12 and the series in turn, ROUNDS boots of each. The process that
maps has a CPU of the host for itself, so that it waits for the kernel and not for the
host's scheduler. Exit status 1 if, compared with 6.1, the mean is not 2 times lower or the
99.9th percentile not 10 times, or if any figure is above that of 6.12.
EOF
}
[ "${1:-}" != -h ] || { usage; exit 0; }
[ $# -eq 0 ] || { usage >&2; exit 2; }
rounds_or 3 1

"$TOP/scripts/tree.sh"
bench_programs
raw=$BUILD/bench/latency.txt
rm -f "$raw"
for ((round = 1; round <= rounds; round++)); do
	for k in base peer pervma; do
		say "round $round of $rounds, $k, about 20 seconds"
		"$TOP/vm" -p -k "$k" -f "$BUILD/bench/map_latency" -b clocksource=tsc -- \
			map_latency -p -r 2 -s 3000 | sed "s/^/$k $round /" >> "$raw"
	done
done
sort -k1,1 -k2,2n -k3,3n "$raw" | awk "$awk_at"'
	function finish(   i, seen) {
		mean[kernel] = mean[kernel] " " sum / n
		for (i = 1; i <= lines; i++) {
			seen += count[i]
			if (seen < 0.99 * n) p99 = value[i + 1]
			if (seen < 0.999 * n) p999 = value[i + 1]
		}
		p[kernel, 99] = p[kernel, 99] " " p99
		p[kernel, 999] = p[kernel, 999] " " p999
	}
	function cell(list) { return sprintf("%.0f (%.0f-%.0f)", at(list, 0.5), at(list, 0), at(list, 1)) }
	function line(label, base, peer, pervma, goal,   ratio) {
		ratio = at(base, 0.5) / at(pervma, 0.5)
		printf "| %-8s | %20s | %20s | %16s | %8.1f |\n", label,
			cell(base), cell(peer), cell(pervma), ratio
		if (ratio < goal || at(pervma, 0.5) > at(peer, 0.5))
			missed = 1
	}
	$1 " " $2 != run {
		if (run) finish()
		run = $1 " " $2; kernel = $1; n = sum = lines = p99 = p999 = 0
	}
	{ lines++; value[lines] = $3; count[lines] = $4; n += $4; sum += $3 * $4
	  if (lines == 1) p99 = p999 = $3 }
	END {
		if (!run) exit 1
		finish()
		printf "\n| %-8s | %20s | %20s | %16s | %8s |\n", "us", "6.1", "6.12", "with the series", "6.1/with"
		print "|---|---|---|---|---|"
		line("mean", mean["base"], mean["peer"], mean["pervma"], 2)
		line("99%", p["base", 99], p["peer", 99], p["pervma", 99], 1)
		line("99.9%", p["base", 999], p["peer", 999], p["pervma", 999], 10)
		print missed ? "\nA goal is missed." : "\nThe goals hold."
		exit missed
	}'
