#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Three threads fault and one maps: 6.1, 6.12 and the series in turn.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<EOF
usage: scripts/mixed.sh [-h]     (make mixed [ROUNDS=3])

The mixed load of the demo on 6.1, 6.12, and the series with its switch off and on,
ROUNDS boots of each with two runs. The thread that maps has CPU 0 of the guest, and that
has a CPU of the host for itself: who maps more often must not take the time of those
that fault. Exit status 1 if, against the switch off, there are not 10 times the maps or
there are fewer faults, or if 6.12 has more of either.
EOF
}
[ "${1:-}" != -h ] || { usage; exit 0; }
[ $# -eq 0 ] || { usage >&2; exit 2; }
rounds=${ROUNDS:-3}
[[ $rounds =~ ^[1-9][0-9]*$ ]] || die "ROUNDS=$rounds: not a number"

"$TOP/scripts/tree.sh"
mkdir -p "$BUILD/bench"
make -s -C "$TOP/bench" OUTPUT="$BUILD/bench"
raw=$BUILD/bench/mixed.txt
rm -f "$raw"
for ((round = 1; round <= rounds; round++)); do
	say "round $round of $rounds"
	for k in base peer off on; do
		kernel=$k boot=clocksource=tsc
		case $k in
		off) kernel=pervma; boot+=" per_vma_lock=off" ;;
		on) kernel=pervma ;;
		esac
		"$TOP/vm" -p -k "$kernel" -f "$BUILD/bench/fault_load" -b "$boot" -- sh -c '
			for i in 1 2; do
				echo own $(fault_load -t 3 -c -s 1500)
				echo one $(fault_load -t 3 -c -1 -s 1500)
			done' | sed "s/^/$k /" >> "$raw"
	done
done
awk "$awk_at"'
	function cell(key) {
		return sprintf("%.0f (%.0f-%.0f)", at(of[key], 0.5), at(of[key], 0), at(of[key], 1))
	}
	# Fewer by what a run differs from the next is not fewer.
	function line(label, load, what, times,   off, on, peer) {
		off = at(of["off", load, what], 0.5); on = at(of["on", load, what], 0.5)
		peer = at(of["peer", load, what], 0.5)
		printf "| %-34s | %-8s | %21s | %21s | %21s | %21s |\n", label, what,
			cell("base" SUBSEP load SUBSEP what), cell("peer" SUBSEP load SUBSEP what),
			cell("off" SUBSEP load SUBSEP what), cell("on" SUBSEP load SUBSEP what)
		if (on < off * times * 0.97 || on < peer * 0.97)
			missed = 1
	}
	{
		of[$1, $2, "faults/s"] = of[$1, $2, "faults/s"] " " $3
		of[$1, $2, "maps/s"] = of[$1, $2, "maps/s"] " " $4
	}
	END {
		if (!NR) exit 1
		printf "\n| %-34s | %-8s | %21s | %21s | %21s | %21s |\n",
			"4 vCPUs, median (lowest-highest)", "", "6.1", "6.12", "series off", "series on"
		print "|---|---|---|---|---|---|"
		line("3 threads fault, a VMA each, 1 maps", "own", "faults/s", 1)
		line("", "own", "maps/s", 10)
		line("3 threads fault, one VMA, 1 maps", "one", "faults/s", 1)
		line("", "one", "maps/s", 10)
		print missed ? "\nA goal is missed." : "\nThe goals hold."
		exit missed
	}' "$raw"
