#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Cache lines for which page faults on different CPUs compete, by kernel.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<END
usage: scripts/conflicts.sh [-h] [CPUS [ARCH]]     (make conflicts [CPUS=4] [ARCH=arm64])

Runs 2048 page faults in a guest with CPUS virtual CPUs (4; 2 to 64), a thread on
each. The faults are
- in one VMA;
- in a VMA for each thread, cut out of one VMA by mprotect();
- in a VMA for each thread, mapped one after the other, so that the slab may have the
  VMAs and their locks side by side;
- in one VMA, with an mprotect() of it every 1000 faults;
- by process_vm_readv() of absent pages of one VMA, a page per call.

Traces the memory that the faults touch, on base, on peer if it is built, and on pervma.
Prints reads and writes per fault of the lines that one CPU writes and another touches.
The lines of locks come first. Exit status 1 if pervma writes such a line of a lock (in
more than one of 1000 faults), or with mprotect() writes more than base.
END
}

[ "${1:-}" != -h ] || { usage; exit 0; }
[ $# -le 2 ] || { usage >&2; exit 2; }
cpus=${1:-4} arch=${2:-x86_64}
[[ $cpus =~ ^([2-9]|[1-5][0-9]|6[0-4])$ ]] || die "CPUS=$cpus: a number from 2 to 64"
cross=$(cross_prefix "$arch")

kernels=(base)
[ ! -f "$BUILD/peer-$arch/System.map" ] || kernels+=(peer)
kernels+=(pervma)

out=build/conflicts-$arch-$cpus
cd "$TOP"
mkdir -p "$out"
need "${cross}gcc" "gcc${cross:+-${cross%-}}"
gcc -O2 -Wall -fPIC -fvisibility=hidden -shared -o "$out/conflicts.so" bench/conflicts.c
"${cross}gcc" -O2 -Wall -pthread -static -o "$out/conflicts_load" bench/conflicts_load.c
for k in "${kernels[@]}"; do
	say "tracing $k-$arch, $cpus vCPUs"
	./vm -a "$arch" -k "$k" -c "$cpus" -f "$out/conflicts_load" \
		-q "-plugin $out/conflicts.so,symbols=build/$k-$arch/System.map,out=$out/$k" \
		-- conflicts_load "$cpus"
done

cd "$out"
awk -v cpus="$cpus" -v arch="$arch" '
	function head(title, format,   k) {
		printf "\n%-46s", title
		for (k = 1; k <= n; k++)
			printf format, kernel[k]
		print ""
	}
	function locks(win, what,   k) {
		printf "%-46s", what
		for (k = 1; k <= n; k++)
			printf " %8.3f", lock_writes[win, what, k]
		print ""
	}
	function row(win, what,   k, i) {
		printf "%-46.46s", what
		for (k = 1; k <= n; k++)
			printf " %8.3f %7.3f %7.3f", sum[win, what, k, 1],
				sum[win, what, k, 2], sum[win, what, k, 3]
		print ""
	}
	function fail(why) {
		print "conflicts.sh: " why > "/dev/stderr"
		exit 1
	}
	FNR == 1 { kernel[++n] = FILENAME }
	$1 == "faults" { faults[$2, n] = $3; dropped += $2 < 2 ? 0 : $4; next }
	$3 == "-" { line[$1, $2, n] = $5 " " $6 " " $7 " " $4; next }
	# The function that writes most to a line gives the line its name.
	$6 > most[$1, $2, n] { most[$1, $2, n] = $6; writer[$1, $2, n] = $3 }
	# These functions mark the line of a lock. It is the line of mmap_lock if they also
	# write it in window 1, a system call that takes mmap_lock for read.
	$6 && $3 ~ /^(down_read|up_read|lock_vma_under_rcu|vma_start_read|vma_end_read|vma_refcount_put)/ {
		locked[$1, $2, n]
	}
	# The lock that process_vm_readv() takes for its permission check, on any kernel
	$6 && $3 ~ /^down_read_killable/ { killable[$1, $2, n] }
	END {
		title[2] = "All threads in one VMA"
		title[3] = "A VMA for each thread, cut out of one"
		title[4] = "A VMA for each thread, mapped in a row"
		title[5] = "One VMA, an mprotect() every 1000 faults"
		title[6] = "One VMA, read by process_vm_readv()"
		for (k = 1; k <= n; k++)
			for (win = 2; win <= 6; win++)
				if (faults[win, k] < 1024)
					fail(kernel[k] ": of 2048 faults only " faults[win, k] + 0 " were counted")
		for (key in line) {
			split(key, at, SUBSEP); win = at[1]; k = at[3]
			if (win < 2)
				continue
			split(line[key], count, " ")
			what = writer[key]
			sub(/\.(isra|part|constprop|cold).*/, "", what)
			if (count[4] != "-")
				what = what " (" count[4] ")"
			if (key in killable && !((1, at[2], k) in locked))
				what = "exec_update_lock"
			else if (key in locked) {
				what = ((1, at[2], k) in locked) ? "mmap_lock" : "VMA lock"
				lock_writes[win, what, k] += count[2] / faults[win, k]
				lock_writes[win, "both", k] += count[2] / faults[win, k]
			}
			for (i = 1; i <= 3; i++)
				sum[win, what, k, i] += count[i] / faults[win, k]
			seen[win, what] += count[2] / faults[win, k]
		}

		print "\n" arch ", " cpus " vCPUs. Writes a fault to lines of a lock that another vCPU touches:"
		for (win = 2; win <= 6; win++) {
			head(title[win], " %8s")
			locks(win, "mmap_lock"); locks(win, "VMA lock"); locks(win, "both")
		}
		print "\nAll such lines, by who writes them most: reads and writes a fault, and the"
		print "share of the faults that write them."
		for (win = 2; win <= 6; win++) {
			head(title[win], " %24s")
			while (1) {
				best = ""
				for (key in seen) {
					split(key, at, SUBSEP)
					if (at[1] == win && seen[key] >= 0.01 && (best == "" || seen[key] > seen[win, best]))
						best = at[2]
				}
				if (best == "")
					break
				row(win, best)
				delete seen[win, best]
			}
		}
		print "\n" dropped " of " 10240 * n " faults called the scheduler, and are not counted."
		for (win = 2; win <= 6; win++) {
			if (lock_writes[win, "both", 1] < 1)
				fail("base does not fight for mmap_lock: the count is wrong")
			if (lock_writes[win, "both", n] > (win == 5 ? lock_writes[win, "both", 1] : 0.001))
				fail("pervma writes more to lines of locks than it is to: " title[win])
		}
	}
' "${kernels[@]}"
