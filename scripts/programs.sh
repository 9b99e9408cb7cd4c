#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Run programs of other projects in the guest: databases, runtimes, compilers, debuggers,
# stress-ng.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<END
usage: scripts/programs.sh [-h] [-l] [-k KERNEL] [PATTERN]
       (make programs [ONLY=PATTERN] [KERNEL=debug] [QUICK=1] [SECONDS=5])

Runs programs of Debian 12 that check their own results, in a root file system of Debian's
packages: on base, and on KERNEL (pervma) with vm.per_vma_lock on and off; on the debug kernel
only with it on. The programs are OpenJDK with four collectors, MariaDB, PostgreSQL, Redis,
memcached, Node, Python, gcc, Go, gdb, strace, perf, bpftrace, CRIU, direct reads of btrfs,
trinity, xz, and the stressors of stress-ng's class "vm" and those that fork, exec and make
threads. Each program runs its load for about SECONDS (5). QUICK=1: 2 seconds, and few
stressors, about 15 minutes on 2 cores that do nothing else.

  -l       list the programs
  PATTERN  only those whose names match this pattern of the shell (java*)

build/rootfs.ext4 is made once, by mmdebstrap, as root and with the network; after
that neither is needed. Prints a table: how each program ended, in how many seconds, the
share of page faults under VMA locks, and the faults under mmap_lock, with their most frequent
reason. That is one of vmstat's vma_lock_fallback_*, or "gup": populating, mlock() and pins of
a process with one thread, and exec(). Last line: "N passed, N failed, N skipped".
END
}

kernel=pervma list=
while getopts k:lh opt; do
	case $opt in
	k) kernel=$OPTARG ;;
	l) list=1 ;;
	h) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
done
shift $((OPTIND - 1))
[ $# -le 1 ] || { usage >&2; exit 2; }
only=${1:-*}
secs=${LOAD_SECONDS:-5}
[ -z "${QUICK:-}" ] || secs=${LOAD_SECONDS:-2}
[[ $secs =~ ^[1-9][0-9]*$ ]] || die "SECONDS=$secs: not a number of seconds"

stressors='mmap mremap mprotect madvise munmap brk mlock fork userfaultfd vm-segv pthread tlb-shootdown futex'
[ -n "${QUICK:-}" ] || stressors='bad-altstack bigheap brk dev-shm env madvise malloc mlock mmap mmapaddr mmapfixed
	mmapfork mmaphuge mmapmany mprotect mremap msync msyncmany munmap pagemove pageswap physpage shm
	shm-sysv stack stackmmap swap tmpfs userfaultfd vm vm-addr vm-rw vm-segv vm-splice clone exec fault fork
	futex memfd memthrash mincore pthread tlb-shootdown vfork zero'
# NAME|TIMES|COMMAND: it may take five minutes, plus TIMES the time of its load.
programs=$(
	for gc in G1 Parallel Z Serial; do echo "java-$gc|20|java $gc"; done
	for p in mariadb postgresql redis memcached node python gcc go gdb strace perf bpftrace criu btrfs trinity xz; do echo "$p|20|$p"; done
	for s in $stressors; do echo "stress-ng-$s|20|stress $s"; done
)
rows=()
while IFS='|' read -r name times command; do
	# The limit is for a machine with other work. The debug kernel is ten times as slow.
	limit=$((300 + times * secs))
	[ "$kernel" != debug ] || limit=$((4 * limit))
	# shellcheck disable=SC2053
	[[ $name != $only ]] || rows+=("$name|$limit|$command")
done <<< "$programs"
[ ${#rows[@]} -gt 0 ] || die "$only: no program has such a name; -l lists them"
[ -z "$list" ] || { printf '%s\n' "${rows[@]%%|*}"; exit 0; }

"$TOP/scripts/programs/rootfs.sh"
"$TOP/scripts/deps.sh" golang-go
out=$BUILD/programs
mkdir -p "$out/guest"
CGO_ENABLED=0 GO111MODULE=off GOFLAGS='' GOCACHE=$out/go go build -o "$out/guest/heap" \
	"$TOP/tools/testing/vma_lock/heap.go" || die "heap.go does not build"
rm -f "$out/guest.tar"
cp "$TOP"/scripts/programs/* "$TOP/tools/vm/vma_lock_waits.bt" "$out/guest/"
tar c -C "$out/guest" . > "$out/guest.tar"
cat > "$out/programs" <<'END'
#!/bin/sh
mkswap /dev/ram1 > /dev/null 2>&1 && swapon /dev/ram1
mkdir -p /opt/programs && tar x -C /opt/programs -f /usr/local/bin/guest.tar && exec /opt/programs/run "$@"
END
chmod +x "$out/programs" "$out/guest.tar"

# The columns to compare: "on" and "off" are KERNEL, with the names of with_switch.
columns=(base on off)
[ "$kernel" != debug ] || columns=(base on)

guest=
trap '[ -z "$guest" ] || kill "$guest" 2> /dev/null || true' EXIT

# run_rows COLUMN: writes the lines "= ..." of the guest to $out/COLUMN.txt. If a guest dies,
# the program that ran then has failed, and another guest goes on with the next program.
run_rows()
{
	local column=$1 k=base boot='' left=("${rows[@]}") at line name seconds now limit row status lines conclusion n=0 lost=0 emulator=0 frozen
	case $column in
	on) k=$kernel ;;
	off) k=$kernel boot=per_vma_lock=off ;;
	esac
	: > "$out/$column.txt"
	while [ ${#left[@]} -gt 0 ]; do
		limit=300 now=''
		for row in "${left[@]}"; do
			row=${row#*|}
			limit=$((limit + ${row%%|*}))
		done
		status=0
		exec {lines}< <(exec "$TOP/vm" -k "$k-net" -m 3072 -t $limit -b "$boot" -r "$BUILD/rootfs.ext4" \
			-l "$out/$column" -f "$out/guest.tar" -f "$out/programs" \
			-- env SECS="$secs" programs "${left[@]}" < /dev/null)
		guest=$!
		# The guest reports every 20 s that it is at work. If it does not, it is frozen.
		while status=0; read -r -t 300 -u "$lines" line || { status=$?; false; }; do
			case $line in
			'> '*) now=${line#> } ;;
			'. '*)
				IFS='|' read -r name seconds <<< "${line#. }"
				echo "   $column: $name, $seconds s" ;;
			'= '*)
				echo "${line#= }" >> "$out/$column.txt"
				IFS='|' read -r name status seconds _ line <<< "${line#= }"
				n=$((n + 1))
				case $status in
				0) status=ok ;;
				77) status=skip ;;
				*) status=FAIL ;;
				esac
				echo "$status $column: $name, $seconds s: $line ($n of ${#rows[@]})"
				left=("${left[@]:1}")
				now='' ;;
			*) echo "   $line" ;;
			esac
		done
		[ $status -le 128 ] || kill "$guest" 2> /dev/null || true
		frozen=$((status > 128))
		exec {lines}<&-
		status=0
		wait "$guest" || status=$?
		guest=
		[ $status -ne 0 ] || [ ${#left[@]} -gt 0 ] || return 0
		conclusion=$(tr '|' ' ' < "$out/$column/conclusion.txt" 2> /dev/null) || conclusion="no conclusion"
		[ $frozen = 0 ] || conclusion="no sign of life for 300 s"
		# A mistake of QEMU (see ./vm): run the program once more.
		if [[ $conclusion = emulator:* ]] && [ $((emulator += 1)) -lt 4 ]; then
			echo "   $column: ${now:-console}: $conclusion: once more"
			continue
		fi
		at=${now:-console}
		cp "$out/$column/console.log" "$out/$column-$at.log" 2> /dev/null || true
		echo "FAIL $column: $at: $conclusion ($out/$column-$at.log)"
		echo "$at|125|-||$conclusion" >> "$out/$column.txt"
		n=$((n + 1))
		# The guest died between two programs: no program is at fault, and the next go on.
		[ -n "$now" ] || { lost=$((lost + 1)); [ ${#left[@]} -gt 0 ] && [ $lost -lt 3 ]; } || return 0
		[ -z "$now" ] || left=("${left[@]:1}")
	done
}

for column in "${columns[@]}"; do
	k=$kernel
	[ "$column" != base ] || k=base
	"$TOP/scripts/kernel.sh" "$k-net"
done
for column in "${columns[@]}"; do
	case $column in
	base) phase "${#rows[@]} programs on base" ;;
	*) phase "${#rows[@]} programs on $kernel, vm.per_vma_lock $column" ;;
	esac
	run_rows "$column"
done
phase
echo

# Rows in the order in which they ran. The console, which has no row of its own, comes last.
{
	printf '%s\n' "${rows[@]%%|*}"
	echo console
} > "$out/names"
for column in "${columns[@]}"; do sed "s/^/$column|/" "$out/$column.txt"; done |
	awk -F'|' -v columns="${columns[*]}" -v kernel="$kernel" '
	FILENAME == ARGV[1] { name[++names] = $1; next }
	{
		status[$1, $2] = $3
		seconds[$1, $2] = $4
		why[$1, $2] = $6
		if ($1 == "on") {
			n = split($5, list, " ")
			for (i = 1; i <= n; i++) {
				split(list[i], c, "=")
				count[$2, c[1]] = c[2]
				if (sub(/^vma_lock_fallback_/, "", c[1]) || sub(/^vma_lock_gup_mmap/, "gup", c[1])) {
					sum[$2] += c[2]
					if (c[2] > most[$2]) { most[$2] = c[2]; by[$2] = c[1] }
				}
			}
		}
	}
	function said(c, p,   s) {
		if (!((c, p) in status))
			return "not run"
		s = status[c, p]
		return s == 0 ? "passes" : s == 77 ? "not here" : s == 125 ? "DIES" : s == 124 ? "NO END" : "FAILS"
	}
	END {
		n = split(columns, column, " ")
		printf "| %-24s |", "program"
		for (i = 1; i <= n; i++)
			printf " %-14s | %4s |", column[i] == "base" ? "base" : kernel ", " column[i], "s"
		printf " %9s | %-28s |\n|---|", "VMA locks", "under mmap_lock (most)"
		for (i = 1; i <= n; i++)
			printf "---|---|"
		print "---|---|"
		for (p = 1; p <= names; p++) {
			x = name[p]
			bad = skips = seen = 0
			for (i = 1; i <= n; i++) {
				if ((column[i], x) in status)
					seen++
				s = said(column[i], x)
				if (s == "not here")
					skips++
				else if (s != "passes")
					bad++
			}
			if (x == "console" && !seen)
				continue
			printf "| %-24s |", x
			for (i = 1; i <= n; i++)
				printf " %-14s | %4s |", said(column[i], x), seconds[column[i], x]
			# Not of pgfault, which does not count faults that end in a signal.
			faults = count[x, "vma_lock_success"] + sum[x]
			if (faults > 0)
				printf " %8.2f%% | %-28s |", 100 * count[x, "vma_lock_success"] / faults,
					sum[x] ? sum[x] " (" by[x] " " most[x] ")" : "0"
			else
				printf " %9s | %-28s |", "", ""
			print ""
			if (bad) {
				failed++
				for (i = 1; i <= n; i++)
					if (said(column[i], x) != "passes")
						notes = notes column[i] ": " x ": " why[column[i], x] "\n"
				if (said("base", x) == "passes")
					differ = differ " " x
			} else if (skips == n)
				skipped++
			else if (skips)
				failed++
			else
				passed++
		}
		if (notes)
			printf "\n%s", notes
		if (differ)
			printf "\nright on base, and not on %s:%s\n", kernel, differ
		printf "\n%d passed, %d failed, %d skipped\n", passed, failed, skipped
		exit failed > 0 || !passed
	}
' "$out/names" - | tee "$out/table.md"
exit "${PIPESTATUS[1]}"
