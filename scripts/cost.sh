#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Kernel instructions per operation at one thread: pervma compared with base, and the peer
# next to them.
. "$(dirname "$0")/lib.sh"
boots=5
[ "${1:-}" != -h ] || {
	echo "usage: scripts/cost.sh [-h]     (make cost)"
	echo "Instructions an operation, counted by QEMU (-icount shift=1): the least of $boots"
	echo "boots, of writers the second least, of each kernel in turn. Faults repeat to 0.3%,"
	echo "writers to 2%. Exit status 1 if a fault costs 0.3% more than base's, one of the"
	echo "kernel 0.7%, the first touch of a VMA 1.5%, calls that fault in 2% (of one page, with"
	echo "two threads, 12%), writers 4%, a fork of many VMAs and reading maps 5%, the former with"
	echo "two threads 9%, or if a hold that write-locks every VMA takes more than 200 for each."
	echo "make profile shows the functions of a row."
	echo "The peer's column is there where that kernel is built, or COST_PEER=1 builds it;"
	echo "it does not count for the exit status."
	exit 0
}
bench_programs
kernels=(base pervma)
if [ -n "${COST_PEER:-}" ] || [ -f "$BUILD/peer-x86_64/.id" ]; then
	kernels+=(peer)
fi

# One CPU, which -icount needs; the clock then counts instructions.
rm -f "$BUILD/cost"
for ((boot = 1; boot <= boots; boot++)); do
	say "counting, boot $boot of $boots"
	for k in "${kernels[@]}"; do
		"$TOP/vm" -k "$k" -c 1 -b clocksource=tsc -f "$BUILD/bench/vm_cost" \
			-q "-accel tcg,thread=single -icount shift=1,sleep=off" -- vm_cost |
			sed "s/^/$k /" >> "$BUILD/cost"
	done
done
awk "$awk_at"'
	# The first touch of a VMA takes mmap_lock in addition to the VMA lock. Counts differ
	# by 0.3% between two boots of one kernel, mostly by 7 instructions. They do not
	# differ with norandmaps, which would fix one layout of the address space. The least
	# of the boots has none of these. A fault of the kernel takes 10 instructions more
	# than a fault of user mode: it checks for a kernel thread, for a holder of
	# mmap_lock, and whether to reschedule.
	function bound(what)
	{
		if (what ~ /^(mmap|mprotect|brk|fork, )/) return 1.04
		if (what ~ /^fork of/) return 1.05
		# RCU frees VMAs within the count, or after it.
		if (what ~ /^the same/) return 1.09
		if (what ~ /maps$/) return 1.05
		if (what ~ /^first/) return 1.015
		if (what ~ /^kernel/) return 1.007
		# A lock and a lookup for each page. A thread that maps does not notice
		# them.
		if (what ~ /^two threads: vmsplice/) return 1.12
		if (what ~ /^(process_vm|populate|vmsplice|two threads)/) return 1.02
		return 1.003
	}
	# Writers differ by 2% from boot to boot, either way (mprotect: 1.016, 1.019
	# and 1.027 in three runs of much the same tree). One boot may be cheaper than
	# all others. So the second least counts.
	function count(k, what)
	{
		return at(list[k, what], what ~ /^(mmap|mprotect|brk|fork|the same|read of)/ ? 0.25 : 0)
	}
	{ k = $1; n = $2; sub(/^[^ ]* [^ ]* /, "") }
	{ list[k, $0] = list[k, $0] " " n }
	k == "pervma" && !seen[$0]++ { name[++names] = $0 }
	k == "peer" { peer = 1 }
	END {
		printf "%-28s %8s %8s %8s%s\n", "instructions", "base", "pervma", "ratio",
			peer ? "     peer    ratio" : ""
		for (i = 1; i <= names; i++) {
			what = name[i]
			b = count("base", what); p = count("pervma", what)
			# Base has no such hold. The bound is in instructions for each VMA.
			fits = what ~ /^wide/ ? p <= 200 : b && p <= b * bound(what)
			more += !fits
			printf "%-28s %8.0f %8.0f %8.4f", what, b, p, b ? p / b : 0
			if (("peer", what) in list)
				printf " %8.0f %8.4f", count("peer", what), count("peer", what) / b
			print fits ? "" : "  more than " (what ~ /^wide/ ? "200" : bound(what))
		}
		exit more || !names
	}
' "$BUILD/cost"
