#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# How long mmap() and munmap() take concurrently with threads that page in from a slow disk.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<EOF
usage: scripts/page_in.sh [-h]     (make page-in [ROUNDS=N])

In a guest with a disk of 500 requests a second, 3 threads touch pages of a file
(read: pages that are on the disk; write: pages without a block yet). Another thread
maps and unmaps, on a CPU of the host for itself. The VMA lock is switched off and on in
turn, ROUNDS times (3 by default).
Prints medians of the rounds, with the lowest and the highest. Exit status 1 if
the 99th percentile during the writes is not 10 times lower with the VMA lock. (6.1
releases mmap_lock while a fault reads from the disk, so its mmap() does not wait there. It
holds mmap_lock while a file system makes a page writable.)
EOF
}
[ "${1:-}" != -h ] || { usage; exit 0; }
[ $# -eq 0 ] || { usage >&2; exit 2; }
rounds_or 3 1
need mkfs.ext4 e2fsprogs

"$TOP/scripts/tree.sh"
bench_programs
disk=$BUILD/bench/disk.img raw=$BUILD/bench/page_in.txt
rm -f "$disk"
truncate -s 256M "$disk"
mkfs.ext4 -q -F "$disk"
"$TOP/vm" -p -t $((rounds * 60 + 60)) -f "$BUILD/bench/page_in" -f "$TOP/bench/page_in_rounds.sh" \
	-q "-drive file=$disk,if=none,id=disk,format=raw,cache=unsafe,throttling.iops-total=500
	    -device virtio-blk-pci,drive=disk" \
	-- page_in_rounds.sh "$rounds" | tee "$raw" | sed -un 's/^# /   /p'
rm -f "$disk"

awk "$awk_at"'
	function cell(key) {
		return sprintf("%d (%d-%d)", at(values[key], 0.5), at(values[key], 0), at(values[key], 1))
	}
	function line(label, load, what, goal,   off, on, ratio) {
		off = at(values["off " load " " what], 0.5)
		on = at(values["on " load " " what], 0.5)
		ratio = on ? off / on : 0
		printf "| %-8s | %-21s | %22s | %22s | %11.1f |\n", label, what,
			cell("off " load " " what), cell("on " load " " what), ratio
		if (goal && !(ratio >= goal))
			missed = 1
	}
	/^o/ {
		seen++
		values[$1 " " $2 " map, median us"] = values[$1 " " $2 " map, median us"] " " $3
		values[$1 " " $2 " map, 99% us"] = values[$1 " " $2 " map, 99% us"] " " $4
		values[$1 " " $2 " maps"] = values[$1 " " $2 " maps"] " " $5
		values[$1 " " $2 " pages touched"] = values[$1 " " $2 " pages touched"] " " $6
	}
	END {
		if (!seen)
			exit 1
		printf "\n| %-8s | %-21s | %22s | %22s | %11s |\n", "load", "", "VMA lock off",
			"VMA lock on", "off/on"
		print "|---|---|---|---|---|"
		for (i = split("read write", load, " "); i; i--) {
			line(load[i], load[i], "map, median us")
			line("", load[i], "map, 99% us", load[i] == "write" ? 10 : 0)
			line("", load[i], "maps")
			line("", load[i], "pages touched")
		}
		print missed ? "\nThe goal, 10 times, is missed." : "\nThe goal, 10 times, holds."
		exit missed
	}
' "$raw"
