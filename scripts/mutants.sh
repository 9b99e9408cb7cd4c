#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Test the tests: if one thing is taken away, a test must fail.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<EOF
usage: scripts/mutants.sh [-h] [-l] [PATTERN]     (make mutants [ONLY=PATTERN])

Builds each mutant of tools/testing/vma_lock/mutants whose name matches PATTERN, and
runs the test that is named with it, up to three times. A mutant is killed if the
test fails or the guest crashes. Without PATTERN, all tests run first on the same
kernel without a mutant, and must pass. -l lists the mutants. Tests named kvm_ run by
scripts/kvm.sh.
EOF
}
list=$TOP/tools/testing/vma_lock/mutants
case ${1:-} in
-h) usage; exit 0 ;;
-l) grep -v '^#' "$list"; exit 0 ;;
-*) usage >&2; exit 2 ;;
esac
only=${1:-*}

"$TOP/scripts/tree.sh"
# Mutants are made in build/linux itself: all but the changed file is compiled already.
git -C "$TREE" diff --quiet HEAD || die "build/linux has changes that are not committed"
restore() { git -C "$TREE" checkout -q -f HEAD; }
trap restore EXIT
trap 'exit 130' INT TERM
mkdir -p "$BUILD/selftests" "$BUILD/results"
export VM_RESULTS=$BUILD/results/mutants
make -s -C "$TREE/tools/testing/selftests/mm" OUTPUT="$BUILD/selftests"

# The tests must pass on a kernel without a mutant.
if [ "$only" = '*' ]; then
	"$TOP/scripts/kernel.sh" mutant
	for test in $(grep -v '^#' "$list" | cut -d: -f3 | sed 's/^ *\[[^]]*\]//' |
		awk '!/^ *kvm_/ && NF { print $1 }' | sort -u); do
		"$TOP/vm" -k mutant -m 1024 -q "$(two_nodes 512)" -e "$(expected_splats "$test")" -f "$BUILD/selftests/$test" -- sh -c "VMA_LOCK_SECONDS=2 $test" \
			> "$BUILD/results/mutant-none.tap" 2> "$BUILD/test.err" ||
			die "$test fails without a mutant: $(grep -m1 '^not ok' "$BUILD/results/mutant-none.tap") $(cat "$BUILD/test.err")"
		say "$test passes without a mutant"
	done
fi

# Sets $status of the test, and $why it failed.
run_in_guest()
{
	local try race
	"$TOP/scripts/kernel.sh" mutant
	rm -f "$VM_RESULTS/conclusion.txt"
	for try in 1 2 3; do
		status=0
		race=${test#* }
		[ "$race" != "$test" ] || race=
		"$TOP/vm" -k mutant -m 1024 -q "$(two_nodes 512)" -t $((120 + try * 60)) -b "$parameters" -e "$(expected_splats "${test%% *}")" -f "$BUILD/selftests/${test%% *}" -- \
			sh -c "VMA_LOCK_SECONDS=$((try * 15)) ${test%% *} ${race:+'$race'}" > "$BUILD/results/mutant-$name.tap" 2> "$BUILD/test.err" || status=$?
		[ $status -eq 0 ] || break
	done
	# A mutant is killed only by a test that reports a failure, by a splat, or by a hang of
	# the running guest. A test that did not run at all has killed nothing.
	why=$(grep -m1 '^not ok' "$BUILD/results/mutant-$name.tap" ||
		grep -E "^splat|in phase 'run'" "$VM_RESULTS/conclusion.txt") || true
	# A signal has ended the test: its own alarm (142), or the signal of a wrong access.
	[ -n "$why" ] || [ $status -le 128 ] || ! grep '^1\.\.' "$BUILD/results/mutant-$name.tap" > /dev/null ||
		why="ended by signal $((status - 128)), before its plan"
}

run_in_kvm_guest()
{
	status=0
	"$TOP/scripts/kvm.sh" x86_64 "$test" > "$BUILD/results/mutant-$name.tap" 2> "$BUILD/test.err" || status=$?
	why=$(grep -m1 '^FAIL' "$BUILD/results/mutant-$name.tap") || true
}

killed=0 survived=0
while IFS= read -r line <&9; do
	[[ $line != '#'* && -n $line ]] || continue
	name=${line%%: *} rest=${line#*: }
	file=${rest%%: *} rest=${rest#*: }
	test=${rest%%: *} script=${rest#*: }
	# [preempt=none] before the program: parameters of the kernel
	parameters=
	[[ $test != '['* ]] || { parameters=${test%%]*}; parameters=${parameters#[} test=${test#*] }; }
	# shellcheck disable=SC2053
	[[ $name == $only ]] || continue
	restore
	sed -i "$script" "$TREE/$file"
	! git -C "$TREE" diff --quiet HEAD || die "mutant $name: its sed script changes nothing in $file"
	case $test in
	kvm_*) run_in_kvm_guest ;;
	*) run_in_guest ;;
	esac
	if [ $status -eq 0 ]; then
		survived=$((survived + 1))
		echo "SURVIVED $name: $test passes"
	elif [ -n "$why" ]; then
		killed=$((killed + 1))
		echo "killed   $name by $test: $why"
	else
		die "mutant $name: $test did not run, status $status: $(cat "$BUILD/test.err")"
	fi
done 9< "$list"
echo "$killed killed, $survived survived"
[ $killed -gt 0 ] && [ $survived -eq 0 ]
