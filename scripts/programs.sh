#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Others' programs in the guest: stress-ng, a garbage-collected runtime, compressors.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<END
usage: scripts/programs.sh [-h] [-k KERNEL] [SECONDS]     (make programs [KERNEL=debug] [SECONDS=5])

Runs on base and on KERNEL (pervma), x86-64, for SECONDS (5) each: every stressor of
stress-ng's class "vm" and those that fork, exec and make threads, four of each at
once, verifying; a program in Go whose heap is collected while it checks it
(tools/testing/vma_lock/heap.go); and xz with four threads, there and back. Prints a
table. Exit status 1 if one ends differently, or if KERNEL complains of something.
END
}

kernel=pervma
kernel_option "$@"
shift $((OPTIND - 1))
[ $# -le 1 ] || { usage >&2; exit 2; }
secs=${1:-5}
[[ $secs =~ ^[1-9][0-9]*$ ]] || die "$secs: not a number of seconds"

# Some stressors take a round as long as it takes; with KASAN a minute and a half.
limit=$((20 * secs + 60))
[ "$kernel" != debug ] || limit=$((5 * limit))

"$TOP/scripts/deps.sh" stress-ng golang-go xz-utils
out=$BUILD/programs
rm -rf "$out/guest"
mkdir -p "$out/guest/opt"
CGO_ENABLED=0 GO111MODULE=off GOCACHE=$out/go go build -o "$out/guest/opt/heap" \
	"$TOP/tools/testing/vma_lock/heap.go" || die "heap.go does not build"
for p in stress-ng xz; do
	cp "$(readlink -f "$(command -v $p)")" "$out/guest/opt/$p"
	ldd "$out/guest/opt/$p" | grep -oE '/[^ ]+' | while read -r lib; do
		install -D "$(readlink -f "$lib")" "$out/guest$lib"
	done
done

# A stressor that wants what the guest does not have says so on both. The two left out
# are for those who mean to hang a machine.
stressors=$(stress-ng --class 'vm?' 2>&1 | sed -n 's/.*stressors: //p')
[ -n "$stressors" ] || die "stress-ng does not list its class vm"
tests=$(for s in $stressors clone exec fault fork memfd memthrash mincore pthread \
		tlb-shootdown vfork zero; do
	echo "stress-ng $s|stress-ng --$s 4 -t $secs --verify --oomable"
done | awk '!seen[$0]++' | grep -Evx 'stress-ng (watchdog|mlockmany).*'
	echo "Go, 8 goroutines|heap $secs"
	echo "xz, 4 threads|xz-there-and-back $secs")
cat > "$out/guest/opt/xz-there-and-back" <<'END'
#!/bin/sh
end=$(($(date +%s) + $1))
while [ $(date +%s) -lt $end ]; do
	/opt/xz -T4 -1 --block-size=1MiB -c /opt/stress-ng > /tmp/xz && /opt/xz -T4 -dc /tmp/xz |
		cmp - /opt/stress-ng || exit 1
done
END
chmod +x "$out/guest/opt/xz-there-and-back"
tar c -C "$out/guest" . > "$out/guest.tar"
{
	echo '#!/bin/sh'
	echo 'tar x -C / -f /bin/guest.tar && rm /bin/guest.tar; export PATH=$PATH:/opt HOME=/root; cd /tmp'
	echo 'mkdir -p /dev/shm && mount -t tmpfs none /dev/shm; mkswap /dev/ram1 > /dev/null && swapon /dev/ram1'
	while IFS='|' read -r name command; do
		echo "b=\$(date +%s); timeout -s KILL $limit $command > /tmp/out 2>&1 < /dev/null; s=\$?"
		echo "echo \"$name|\$s|\$((\$(date +%s) - b))\""
		echo "case \$s in 0|3|4) ;; *) sed 's/^/# /' /tmp/out | tail -n 12 ;; esac"
	done <<< "$tests"
} > "$out/programs"
chmod +x "$out/programs" "$out/guest.tar"

n=$(wc -l <<< "$tests")
for k in base "$kernel"; do
	say "$n programs on $k, about $((n * (secs + 3) / 60 + 1)) minutes"
	"$TOP/vm" -k "$k" -m 3072 -t $((n * limit)) -f "$out/guest.tar" -f "$out/programs" \
		-- programs > "$out/$k.txt" ||
		die "$k: $(cat "$BUILD/results/$k-x86_64/conclusion.txt"), after $(grep -v '^#' "$out/$k.txt" | tail -n 1)"
done
awk -F'|' -v kernel="$kernel" '
	function said(status) {
		return status == 0 ? "passes" : status == 3 || status == 4 ? "not to be had" : "exit " status
	}
	/^#/ { next }
	NR == FNR { base[$1] = $2; seconds[$1] = $3; next }
	FNR == 1 {
		printf "| %-28s | %-14s | %7s | %-14s | %7s |\n|---|---|---|---|---|\n", "program",
			"base", "seconds", kernel, "seconds"
	}
	{
		printf "| %-28s | %-14s | %7d | %-14s | %7d |%s\n", $1, said(base[$1]), seconds[$1],
			said($2), $3, base[$1] == $2 ? "" : "   DIFFERENT"
		differ += base[$1] != $2
		passed += $2 == 0
		n++
	}
	END {
		printf "\n%d run, %d pass, %d different\n", n, passed, differ
		exit differ > 0 || !passed
	}
' "$out/base.txt" "$out/$kernel.txt" | tee "$out/table.md"
exit "${PIPESTATUS[0]}"
