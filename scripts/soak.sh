#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Run the kselftests over and over in the debug kernels, each longer than in make test.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<EOF
usage: scripts/soak.sh [-h] [HOURS [ARCH...]]
       (make soak [HOURS=1] [ARCH=arm64] [KERNEL=debug])

Runs for HOURS (1; 0.1 is a number, too), and until each test has run once on each ARCH
(x86_64 and arm64). Runs the kselftests in turn in the debug kernel with lockdep, KASAN,
DEBUG_VM, injected delays and allocations that fail, and on x86_64 also in a kernel with
KCSAN. A race takes 20 seconds an HOUR (a minute at most), and vma_lock_torture takes five
times that. KERNEL=debug leaves out KCSAN. Prints a line for each run and a table;
build/soak/ has the logs. Exit status 1 if a run failed.
EOF
}
[ "${1:-}" != -h ] || { usage; exit 0; }
hours=${1:-1}
[ $# -eq 0 ] || shift
[[ $hours =~ ^[0-9]*\.?[0-9]+$ ]] || die "HOURS=$hours: not a number of hours"
archs=("$@")
[ ${#archs[@]} -gt 0 ] || archs=(x86_64 arm64)
progs=(races torture maps remote pieces stalls uprobes fail faults kinds reads signals asleep progress oops trace)

"$TOP/scripts/tree.sh"
guests=()
for arch in "${archs[@]}"; do
	cross_prefix "$arch" > /dev/null
	guests+=("debug-$arch")
	[ "$arch" != x86_64 ] || [ "${KERNEL:-}" = debug ] || guests+=("kcsan-$arch")
done
for guest in "${guests[@]}"; do
	"$TOP/scripts/kernel.sh" "${guest%-*}" "${guest#*-}"
done
out=$BUILD/soak
export VM_RESULTS=$BUILD/results/soak
rm -rf "$out"
mkdir -p "$out"

race=$(awk -v h="$hours" 'BEGIN { s = int(h * 20); print (s > 60 ? 60 : s < 1 ? 1 : s) }')
declare -A runs seconds failures
end=$((SECONDS + $(awk -v h="$hours" 'BEGIN { print int(h * 3600) }'))) round=0 failed=0
while :; do
	round=$((round + 1))
	for prog in "${progs[@]}"; do
		for guest in "${guests[@]}"; do
			[ $SECONDS -lt $end ] || [ $round -eq 1 ] || break 3
			# These need what is configured for debug alone.
			case $guest:$prog in kcsan*:fail|kcsan*:trace|kcsan*:oops|kcsan*:uprobes) continue ;; esac
			secs=$race status=0 began=$SECONDS name=$guest-$prog
			[ "$prog" != torture ] || secs=$((race * 5))
			run_selftest "${guest%-*}" "${guest#*-}" "vma_lock_$prog" 7200 VMA_LOCK_SECONDS=$secs \
				> "$out/$name.$round" 2> "$out/$name.$round.err" || status=$?
			took=$((SECONDS - began))
			runs[$name]=$((${runs[$name]:-0} + 1))
			seconds[$name]=$((${seconds[$name]:-0} + took))
			if [ $status -eq 0 ]; then
				say "round $round, $guest, vma_lock_$prog: ok, $took s"
			else
				failed=$((failed + 1))
				failures[$name]=$((${failures[$name]:-0} + 1))
				say "round $round, $guest, vma_lock_$prog: FAILED, status $status: $(grep -m1 '^not ok' "$out/$name.$round" || tail -n 1 "$out/$name.$round.err")"
				cp "$VM_RESULTS/console.log" "$out/$name.$round.console" 2> /dev/null || true
			fi
		done
	done
done

echo
{
	printf '| %-30s | %5s | %7s | %7s |\n|---|---|---|---|\n' "kernel, test" runs failed seconds
	for guest in "${guests[@]}"; do
		for prog in "${progs[@]}"; do
			name=$guest-$prog
			[ -z "${runs[$name]:-}" ] || printf '| %-30s | %5d | %7d | %7d |\n' \
				"$guest, vma_lock_$prog" \
				"${runs[$name]}" "${failures[$name]:-0}" "${seconds[$name]}"
		done
	done
} | tee "$out/summary.md"
[ $failed -eq 0 ]
