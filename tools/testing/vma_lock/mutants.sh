#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Plants each mutant of mutants.host in a copy of the core. A program must fail then.
set -euo pipefail
cd "$(dirname "$0")"

usage()
{
	cat <<END
usage: mutants.sh [-h] OUTPUT/ [PATTERN]     (make check-mutants)

Builds each mutant whose name matches PATTERN (all by default) in OUTPUT/mutant/
and runs the program named with it; TAP. That the programs pass without a
mutant is for 'make check-unit' and 'make check-stress' to show.
END
}
die()
{
	echo "mutants.sh: $*" >&2
	exit 2
}
[ "${1:-}" != -h ] || { usage; exit 0; }
[[ $# == [12] ]] || { usage >&2; exit 2; }
dir=${1%/}/mutant only=${2:-*}
top=../../..

selected=()
while IFS= read -r line; do
	# shellcheck disable=SC2053
	[[ $line == '#'* || -z $line || ${line%%: *} != $only ]] || selected+=("$line")
done < mutants.host
[ ${#selected[@]} -gt 0 ] || die "no mutant matches '$only'"

n=0 survived=0
printf 'TAP version 13\n1..%d\n' ${#selected[@]}
for line in "${selected[@]}"; do
	n=$((n + 1))
	name=${line%%: *} rest=${line#*: }
	file=${rest%%: *} rest=${rest#*: }
	prog=${rest%%: *} script=${rest#*: }
	rm -rf "$dir/core"
	mkdir -p "$dir/core/mm" "$dir/core/include/linux"
	cp $top/mm/vma_lock.c "$dir/core/mm/"
	cp $top/include/linux/vma_lock*.h "$dir/core/include/linux/"
	sed -i "$script" "$dir/core/$file"
	! cmp -s "$top/$file" "$dir/core/$file" || die "$name: its sed script changes nothing in $file"
	rm -f "$dir/$prog"
	make -s OUTPUT="$dir/" CORE="$dir/core" "$dir/$prog" > "$dir/log" 2>&1 ||
		die "$name does not build: $(grep -m1 error "$dir/log")"
	if [[ $name == no-barrier-* && $(nproc) == 1 ]]; then
		echo "ok $n mutant: $name # SKIP one CPU shows itself what it stores"
		continue
	fi
	# A mutant may show only if two threads meet: it gets three runs, each longer.
	for seconds in 1 2 4; do
		status=0
		make -s OUTPUT="$dir/" CORE="$dir/core" STRESS_SECONDS=$seconds "check-$prog" \
			> "$dir/log" 2>&1 || status=$?
		[ $status -eq 0 ] || break
	done
	why=$(grep -m1 -E '^# (line|warning|stress|a thread)|^SUMMARY' "$dir/log") || why="see $dir/log"
	if [ "$status" -ne 0 ]; then
		echo "ok $n mutant: $name: killed by $prog: ${why#\# }"
	else
		survived=$((survived + 1))
		echo "not ok $n mutant: $name: survived $prog"
	fi
done
[ $survived -eq 0 ]
