#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Kernel instructions of one operation, by function and kernel.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<END
usage: scripts/profile.sh [-h] OPERATION     (make profile OP='mmap and munmap')

Counts the instructions that the kernel runs in an operation of "make cost" at one thread,
by function: on base, on pervma, and on peer if it is built. Functions with the largest
difference between base and pervma come first. OPERATION is a name in its table.
END
}

[ "${1:-}" != -h ] || { usage; exit 0; }
[ $# -eq 1 ] && [ -n "$1" ] || { usage >&2; exit 2; }
bench_programs "$BUILD/bench/vm_cost"
kernels=(base pervma)
[ ! -f "$BUILD/peer-x86_64/System.map" ] || kernels+=(peer)
at=$BUILD/profile
mkdir -p "$at"
gcc -O2 -Wall -fPIC -fvisibility=hidden -shared -o "$at/profile.so" "$TOP/bench/profile.c"
for k in "${kernels[@]}"; do
	say "profiling $k"
	"$TOP/vm" -k "$k" -c 1 -b "clocksource=tsc norandmaps" -f "$BUILD/bench/vm_cost" \
		-q "-accel tcg,thread=single -icount shift=1,sleep=off
		    -plugin $at/profile.so,symbols=$BUILD/$k-x86_64/System.map,out=$at/$k" \
		-- vm_cost -p "$1" > "$at/$k.out"
	n=$(sed -n 's/ operations of: .*//p' "$at/$k.out")
	[[ $n =~ ^[0-9]+$ ]] || die "$1: no operation has that name (see make cost)"
	sort -k2,2 "$at/$k" | awk -v n="$n" '{
		sub(/\.(isra|part|constprop|cold).*/, "", $2)
		sum[$2] += $1 / n
	} END { for (f in sum) print sum[f], f }' > "$at/$k.sum"
done
cd "$at"
awk '
	FNR == 1 { kernel[++n] = FILENAME; sub(/\.sum/, "", kernel[n]) }
	{ count[n, $2] = $1; total[n] += $1; seen[$2] }
	function row(f, c1, c2, c3) {
		printf "%-40s %9.1f %9.1f %+9.1f", f, c1, c2, c2 - c1
		print (n > 2 ? sprintf(" %9.1f", c3) : "")
	}
	END {
		printf "%-40s %9s %9s %9s%s\n", "instructions", kernel[1], kernel[2], "more",
			(n > 2 ? sprintf(" %9s", kernel[3]) : "")
		row("all", total[1], total[2], total[3])
		for (;;) {
			best = ""
			for (f in seen) {
				d = count[2, f] - count[1, f]
				if (d < 0) d = -d
				if (best == "" || d > most) { best = f; most = d }
			}
			if (best == "") break
			for (i = 1; i <= n; i++)
				if (count[i, best] >= 1) {
					row(best, count[1, best], count[2, best], count[3, best])
					break
				}
			delete seen[best]
		}
	}' "${kernels[@]/%/.sum}"
