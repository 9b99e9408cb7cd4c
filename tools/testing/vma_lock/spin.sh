#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Verifies vma_lock.pml, and each of its mutants, by Spin. Prints TAP.
set -euo pipefail
cd "$(dirname "$0")"

usage()
{
	echo "usage: spin.sh [-h] [OUTPUT DIRECTORY]"
	echo "Verifies the model, and that without each of what it is made of it is wrong."
}
[ "${1:-}" != -h ] || { usage; exit 0; }
[ $# -le 1 ] || { usage >&2; exit 2; }
command -v spin > /dev/null || { echo "spin.sh: no spin: install it" >&2; exit 1; }
out=$(realpath -m "${1:-.}/spin")

# The mutants: what each of them leaves out
mutants='NO_A NO_A_SLOT NO_A_PRIME NO_RECHECK NO_SLOT_RECHECK NO_HOT_RECHECK
	NO_DETACHED NO_SLOT_DETACHED NO_SCAN HOT_FIRST NO_HOT_AGAIN NO_DRAIN
	NO_DETACH_DRAIN NO_WAKE EARLY_RELEASE EARLY_RELEASE_READ NO_RCU
	NO_EXIT EXIT_BY_STORE BIT_LATE BIT_OF_ANOTHER SLOT_FIRST'

# verify NAME [-D...]: 0 if nothing is wrong, 1 if something is, with $why and $states
verify()
{
	local dir=$out/$1
	rm -rf "$dir"
	mkdir -p "$dir"
	(
		cd "$dir"
		spin "${@:2}" -a "$OLDPWD/vma_lock.pml"
		${CC:-gcc} -O2 -w -DSAFETY -DCOLLAPSE -DVECTORSZ=2048 -DMEMLIM=4096 -o pan pan.c
		./pan -m200000 -w24 > log 2>&1 || true
	) > "$dir/build" 2>&1
	states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' "$dir/log")
	why=$(sed -n 's/^pan:[0-9]*: \(.*\) (at depth.*/\1/p' "$dir/log" | head -1)
	grep -q '^State-vector' "$dir/log" || { why="did not run: $(tail -n 1 "$dir/build" "$dir/log")"; return 2; }
	grep -q 'errors: 0' "$dir/log" || return 1
	# A search that was cut off has shown nothing.
	! grep -qE 'max search depth too small|out of memory|Search not completed' "$dir/log" || { why="not completed"; return 2; }
}

n=0 bad=0
# shellcheck disable=SC2086
set -- $mutants
echo "TAP version 13"
echo "1..$(($# + 1))"
for m in '' "$@"; do
	n=$((n + 1))
	status=0
	verify "${m:-model}" ${m:+-D$m} || status=$?
	name=${m:+without it, it is wrong: $m: $why}
	name=${name:-every interleaving, $states states}
	if [ $status -eq "${m:+1}" ] 2> /dev/null || { [ -z "$m" ] && [ $status -eq 0 ]; }; then
		echo "ok $n $name"
	else
		bad=$((bad + 1))
		echo "not ok $n ${m:-model}: status $status ${why:-nothing is wrong, $states states}"
	fi
done
[ $bad -eq 0 ]
