#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Three threads fault and one thread maps: 6.1, 6.12 and the series in turn.
. "$(dirname "$0")/lib.sh"

rate=200
usage()
{
	cat <<EOF
usage: scripts/mixed.sh [-h]     (make mixed [ROUNDS=3])

Runs the mixed load of the demo on 6.1, 6.12, and the series with its switch off and on,
ROUNDS boots of each with two runs. The load is also run with a mapping thread that sleeps,
so that it maps no more than $rate times a second, which 6.12 reaches, too. (On a machine with
fewer CPUs than the guest, a thread that maps more often takes CPU time from the threads that
fault.) Exit status 1 if, compared with the switch off, there are not 10 times the maps or
there are fewer faults, or if 6.12 has more maps or, at $rate maps a second, more faults; each
by more than 5%.
EOF
}
[ "${1:-}" != -h ] || { usage; exit 0; }
[ $# -eq 0 ] || { usage >&2; exit 2; }
rounds_or 3 1

"$TOP/scripts/tree.sh"
bench_programs
raw=$BUILD/bench/mixed.txt
rm -f "$raw"
for ((round = 1; round <= rounds; round++)); do
	say "round $round of $rounds"
	for k in base peer off on; do
		with_switch "$k"
		"$TOP/vm" -k "$kernel" -f "$BUILD/bench/fault_load" -b "clocksource=tsc $boot" -- sh -c "
			for i in 1 2; do
				echo own \$(fault_load -t 3 -w -s 1500)
				echo one \$(fault_load -t 3 -w -1 -s 1500)
				echo own-at \$(fault_load -t 3 -w -r $rate -s 1500)
				echo one-at \$(fault_load -t 3 -w -r $rate -1 -s 1500)
			done" | sed "s/^/$k /" >> "$raw"
	done
done
awk -v rate=$rate "$awk_at"'
	function cell(k, load, what) {
		k = k SUBSEP load SUBSEP what
		return sprintf("%.0f (%.0f-%.0f)", at(of[k], 0.5), at(of[k], 0), at(of[k], 1))
	}
	# True if there are fewer, by more than two runs of one kernel differ
	function few(load, what, k, times) {
		return at(of["on", load, what], 0.5) < 0.95 * times * at(of[k, load, what], 0.5)
	}
	function line(label, load, what) {
		printf "| %-40s | %-8s | %18s | %21s | %18s | %21s |\n", label, what,
			cell("base", load, what), cell("peer", load, what),
			cell("off", load, what), cell("on", load, what)
	}
	{
		of[$1, $2, "faults/s"] = of[$1, $2, "faults/s"] " " $3
		of[$1, $2, "maps/s"] = of[$1, $2, "maps/s"] " " $4
	}
	END {
		if (!NR) exit 1
		printf "\n| %-40s | %-8s | %18s | %21s | %18s | %21s |\n",
			"4 vCPUs, median (lowest-highest)", "", "6.1", "6.12", "series off", "series on"
		print "|---|---|---|---|---|---|"
		for (i = split("one own", loads, " "); i; i--) {
			load = loads[i]
			label = "3 threads fault, " (load == "own" ? "a VMA each" : "one VMA") ", 1 maps"
			line(label, load, "faults/s")
			line("", load, "maps/s")
			line(label ", " rate "/s", load "-at", "faults/s")
			line("", load "-at", "maps/s")
			missed += few(load, "maps/s", "off", 10) + few(load, "maps/s", "peer", 1)
			missed += few(load, "faults/s", "off", 1)
			missed += few(load "-at", "faults/s", "peer", 1)
		}
		print missed ? "\nA goal is missed." : "\nThe goals hold."
		exit !!missed
	}' "$raw"
