#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The main job: from nothing to the A/B table.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<EOF
usage: scripts/demo.sh [-h]     (make demo [ROUNDS=N])

Installs what is missing, lays out and builds the kernel with the series, boots
it in QEMU with 4 virtual CPUs, and runs each load with the VMA lock switched
off and on in turn, ROUNDS times (5 at the least, 7 by default). Prints medians,
and with them the lowest and the highest round.
EOF
}
[ "${1:-}" != -h ] || { usage; exit 0; }
[ $# -eq 0 ] || { usage >&2; exit 2; }
rounds_or 7 5

"$TOP/scripts/deps.sh" -g demo
"$TOP/scripts/tree.sh"
"$TOP/scripts/kernel.sh" pervma
bench_programs

say "running the loads: $rounds rounds of 4 loads, off and on"
raw=$BUILD/bench/demo.txt
"$TOP/vm" -c 4 -m 1024 -t 900 -f "$BUILD/bench/fault_load" -f "$TOP/bench/demo_rounds.sh" \
	-- demo_rounds.sh "$rounds" | tee "$raw" | sed -un 's/^# /   /p'

awk "$awk_at"'
	function median(key) { return at(values[key], 0.5) }
	function cell(key) {
		return sprintf("%d (%d-%d)", median(key), at(values[key], 0), at(values[key], 1))
	}
	function line(label, what, key,   off, on) {
		off = median(key " off " what); on = median(key " on " what)
		printf "| %-34s | %-8s | %24s | %24s | %6.2f |\n", label, what,
			cell(key " off " what), cell(key " on " what), off ? on / off : 0
	}
	/^load / {
		values[$2 " " $3 " faults/s"] = values[$2 " " $3 " faults/s"] " " $4
		values[$2 " " $3 " maps/s"] = values[$2 " " $3 " maps/s"] " " $5
	}
	/^vmstat / { stat[$2 " " $3] += $4 }
	END {
		printf "\n| %-34s | %-8s | %24s | %24s | %6s |\n", "4 vCPUs, median (lowest-highest)",
			"", "VMA lock off", "VMA lock on", "on/off"
		print "|---|---|---|---|---|"
		line("4 threads fault, a VMA each", "faults/s", "own")
		line("4 threads fault, one VMA", "faults/s", "one")
		line("3 threads fault, a VMA each, 1 maps", "faults/s", "own-map")
		line("", "maps/s", "own-map")
		line("3 threads fault, one VMA, 1 maps", "faults/s", "one-map")
		line("", "maps/s", "one-map")
		print ""
		for (s = split("pgfault vma_lock_success vma_lock_abort vma_lock_retry vma_lock_miss", name, " "); i++ < s; )
			printf "%-18s off %12d   on %12d\n", name[i], stat[name[i] " off"], stat[name[i] " on"]
		print "\nQEMU TCG, so ratios in one run and no hardware throughput."
	}
' "$raw" | tee "$BUILD/bench/demo-table.txt"
grep -q '^load' "$raw" || die "the loads did not run, see $raw"
