#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Every test: host, tooling, guests. The last line is the verdict.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<EOF
usage: scripts/test.sh [-h] [PATTERN]     (make test [ONLY=PATTERN] [FULL=1])

Runs the tests whose name matches PATTERN (a shell pattern; all by default):
  host:model       the lock's protocol under the C++11 memory model
  host:spin        the same, every interleaving of it, by Spin (if named, or FULL=1)
  host:litmus      each pair of barriers, and what happens without
  host:*           mm/vma_lock.c in user space: unit tests, which run every
                   line; stress, under TSan and ASan, too; mutants
  tree:*           make tree, refresh, series and apply
  vm:*             ./vm: output, exit status, base, the boot switch
  x86_64:pervma:*  kselftests in the guest, on the kernel with the series (maps,
                   races and torture with FULL=1: the debug kernel has them)
  x86_64:debug:*   the same on the kernel with lockdep and KASAN
  x86_64:base:*    signals, which base is to deliver the same, and who waits for a fault
  arm64:*          these on arm64; base there with FULL=1
  cost:*           kernel instructions a fault, against base
  conflicts:*      lines of locks that faults on several CPUs write
The last line is "N passed, N failed, N skipped". A skip that is not expected
is a failure where CI=true.
EOF
}

[ "${1:-}" != -h ] || { usage; exit 0; }
[ $# -le 1 ] || { usage >&2; exit 2; }
only=${1:-*}
passed=0 failed=0 skipped=0

ok()   { passed=$((passed + 1)); echo "ok   $1"; }
fail() { failed=$((failed + 1)); echo "FAIL $1${2:+ ($2)}"; }
skip()
{
	skipped=$((skipped + 1))
	echo "SKIP $1 ($2)"
	case "$1 $2" in
	# What 6.1 has on x86-64 only, or on arm64 only
	arm64:*key*|arm64:*write-protect*|arm64:*"a driver"*|x86_64:*" tag"*) ;;
	# Without allocations that fail on purpose
	*:pervma:*"failing fork"*) ;;
	*) [ "${CI:-}" != true ] || fail "$1" "a skip that was not expected" ;;
	esac
}

# shellcheck disable=SC2053
wanted() { [[ $1 == $only ]]; }

# check NAME COMMAND...: passes if COMMAND does
check()
{
	local name=$1 status=0
	shift
	wanted "$name" || return 0
	# Not as a condition, under which set -e would be off.
	(set -e; "$@") > "$BUILD/test.log" 2>&1 &
	wait $! || status=$?
	if [ $status -eq 0 ]; then
		ok "$name"
	else
		fail "$name"
		sed 's/^/     | /' "$BUILD/test.log" | tail -20
	fi
}

# tap NAME FILE STATUS [RESULTS]: each line of a TAP file is a test; so is its
# end. In RESULTS the guest has left its conclusion.
tap()
{
	local name=$1 file=$2 status=$3 conclusion line desc plan
	conclusion=$(cat "$BUILD/results/${4:-}/conclusion.txt" 2>/dev/null) || true
	while IFS= read -r line; do
		case $line in
		'ok '*'# SKIP'*) desc=${line#ok * }; skip "$name: ${desc%%#*}" "${line##*SKIP}" ;;
		'ok '*) desc=${line#ok }; ok "$name: ${desc#* }" ;;
		'not ok '*) desc=${line#not ok }; fail "$name: ${desc#* }" ;;
		esac
	done < "$file"
	plan=$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' "$file" | head -1)
	if [ "${plan:-x}" != "$(grep -cE '^(not )?ok ' "$file")" ]; then
		fail "$name" "ended before its plan, status $status: $conclusion"
		[ ! -f "$BUILD/results/${4:-}/console.log" ] ||
			tail -n 120 "$BUILD/results/$4/console.log" | sed 's/^/     | /'
	elif [ "$status" -eq 125 ]; then
		fail "$name" "$conclusion"
	fi
}

mkdir -p "$BUILD/bench" "$BUILD/results"
"$TOP/scripts/tree.sh"

# --- host
for group in model spin litmus unit coverage stress stress-tsan stress-asan mutants; do
	wanted host:$group || continue
	# The model is as good as it was while nobody changes it.
	[ $group != spin ] || [ -n "${FULL:-}" ] || [ "$only" = host:spin ] || continue
	phase "host: $group"
	status=0
	make -s -C "$TOP/tools/testing/vma_lock" OUTPUT="$BUILD/host/" check-$group \
		> "$BUILD/results/$group.tap" 2> "$BUILD/test.err" || status=$?
	tap host:$group "$BUILD/results/$group.tap" $status
	[ $status -ne 0 ] || continue
	# A sanitizer may have its say at the very end.
	grep -q '^not ok' "$BUILD/results/$group.tap" || fail "host:$group" "status $status"
	sed 's/^/     | /' "$BUILD/test.err" | tail -20
done

# --- tree
# The part of a kernel tree that the series touches, at commit $1, in $2
part()
{
	rm -rf "$2"
	mkdir "$2"
	git -C "$TREE" archive "$1" Makefile Kconfig arch/x86 arch/arm64/Kconfig arch/arm64/mm fs include ipc kernel mm \
		Documentation/mm Documentation/admin-guide Documentation/filesystems \
		tools/testing/selftests/Makefile \
		"${@:3}" | tar x -C "$2"
}

# Each on a copy of this repository, so that the checkout stays as it is.
copy()
{
	rm -rf "$BUILD/copy"
	mkdir -p "$BUILD/copy/build"
	(cd "$TOP" && tar c --exclude=./build --exclude=./.git .) | tar x -C "$BUILD/copy"
	git clone -q --shared "$TREE" "$BUILD/copy/build/linux"
	git -C "$BUILD/copy/build/linux" config user.name test
	git -C "$BUILD/copy/build/linux" config user.email test@localhost
}
same() { diff -r --exclude=build --exclude=.git "$TOP" "$BUILD/copy"; }

refresh_changes_nothing() { copy && "$BUILD/copy/scripts/refresh.sh" && same; }
amended_commit_comes_back()
{
	copy
	cd "$BUILD/copy/build/linux"
	sed -i 's/A glance, to save/A first glance, to save/' mm/vma_lock.c
	local c
	c=$(git log --format=%H -1 --diff-filter=A -- mm/vma_lock.c)
	git commit -q -a --fixup "$c"
	GIT_SEQUENCE_EDITOR=: git rebase -q -i --autosquash base
	"$BUILD/copy/scripts/refresh.sh"
	cd "$BUILD/copy"
	grep -q 'A first glance' mm/vma_lock.c
	sed -i 's/A first glance, to save/A glance, to save/' mm/vma_lock.c
	same
}
reordered_commits_come_back()
{
	copy
	cd "$BUILD/copy/build/linux"
	# The first two swap; they touch nothing in common.
	GIT_SEQUENCE_EDITOR='sed -i "1{h;d};2{G}"' git rebase -q -i base
	"$BUILD/copy/scripts/refresh.sh"
	! diff -q "$TOP/series" "$BUILD/copy/series"
	[ "$(sort "$TOP/series" | sha1sum)" = "$(sort "$BUILD/copy/series" | sha1sum)" ]
	cp "$TOP/series" "$BUILD/copy/series"
	same
}
exported_series_applies_with_git_am()
{
	"$TOP/scripts/export.sh"
	rm -rf "$BUILD/am"
	git clone -q --shared -b main "$TREE" "$BUILD/am"
	cd "$BUILD/am"
	git checkout -q "$(git -C "$TREE" rev-parse base)"
	git config user.name test
	git config user.email test@localhost
	(cd "$BUILD/series" && xargs cat < series) | git am -q
	git diff --quiet "$(git -C "$TREE" rev-parse HEAD)"
}
apply_takes_a_plain_tree()
{
	part base "$BUILD/plain"
	KDIR=$BUILD/plain "$TOP/scripts/apply.sh"
	part HEAD "$BUILD/plain.want" Kconfig.pervma tools/testing/selftests/mm
	diff -r "$BUILD/plain" "$BUILD/plain.want"
}
apply_leaves_alone_what_does_not_fit()
{
	local out
	part base "$BUILD/plain"
	sed -i 's/down_write_nested(&mm->mmap_lock, subclass);/something_else();/' \
		"$BUILD/plain/include/linux/mmap_lock.h"
	rm -rf "$BUILD/plain.want"
	cp -r "$BUILD/plain" "$BUILD/plain.want"
	! out=$(KDIR=$BUILD/plain "$TOP/scripts/apply.sh" 2>&1) || return 1
	echo "$out"
	# The patch, the file and the line
	grep -q 'exclude-the-readers.*include/linux/mmap_lock.h:[0-9]' <<< "$out"
	diff -r "$BUILD/plain" "$BUILD/plain.want"
}
rebase_names_what_conflicts()
{
	local out
	part base "$BUILD/plain"
	out=$(KDIR=$BUILD/plain "$TOP/scripts/rebase.sh")
	echo "$out"
	[ "$(grep -c '^ok ' <<< "$out")" = "$(git -C "$TREE" rev-list --count base..HEAD)" ]
	# A line more at the top, and another that a hunk wants to change
	sed -i '1i/* moved */' "$BUILD/plain/mm/mincore.c"
	sed -i 's/down_write_nested(&mm->mmap_lock, subclass);/something_else();/' \
		"$BUILD/plain/include/linux/mmap_lock.h"
	! out=$(KDIR=$BUILD/plain "$TOP/scripts/rebase.sh") || return 1
	echo "$out"
	grep -q '^moved .*mincore' <<< "$out"
	grep -A1 '^conflicts .*exclude the readers' <<< "$out" | grep -q 'include/linux/mmap_lock.h:[0-9]'
}
phase "tree"
check tree:refresh-changes-nothing refresh_changes_nothing
check tree:amended-commit-comes-back amended_commit_comes_back
check tree:reordered-commits-come-back reordered_commits_come_back
check tree:exported-series-applies-with-git-am exported_series_applies_with_git_am
check tree:apply-takes-a-plain-tree apply_takes_a_plain_tree
check tree:apply-leaves-alone-what-does-not-fit apply_leaves_alone_what_does_not_fit
check tree:rebase-names-what-conflicts rebase_names_what_conflicts
rm -rf "$BUILD/rebase" "$BUILD/copy" "$BUILD/am" "$BUILD/plain" "$BUILD/plain.want"

# --- vm
output_and_status()
{
	local out status=0
	printf '#!/bin/sh\necho "out $1"\necho err >&2\nexit 7\n' > "$BUILD/results/echo-args"
	chmod +x "$BUILD/results/echo-args"
	out=$("$TOP/vm" -c 1 -f "$BUILD/results/echo-args" -- echo-args 'a  b' 2> "$BUILD/test.err") ||
		status=$?
	[ "$out" = 'out a  b' ] && [ "$status" = 7 ] && grep -qx err "$BUILD/test.err"
}
base_boots()
{
	local out
	out=$("$TOP/vm" -c 1 -k base -- \
		sh -c 'uname -r; ls /proc/sys/vm/per_vma_lock 2>&1 | grep -c No')
	echo "$out"
	# Behind the version there may be a + for a tree that is no release.
	[[ $out == "$(tree_version "$TREE")"*$'\n1' ]]
}
boot_switch()
{
	[ "$("$TOP/vm" -c 1 -b per_vma_lock=off -- \
		sh -c 'cat /proc/sys/vm/per_vma_lock; grep -cE "^vma_lock_(success|abort|retry|miss|read) 0$" /proc/vmstat')" = "0
5" ]
}
crash_is_no_exit_status()
{
	local status=0
	"$TOP/vm" -c 1 -- sh -c 'echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger' || status=$?
	[ $status = 125 ] && grep -q '^splat: ' "$BUILD/results/pervma-x86_64/conclusion.txt"
}
phase "vm"
check vm:output-and-exit-status output_and_status
check vm:base-boots-without-the-feature base_boots
check vm:boot-switch boot_switch
check vm:a-crash-is-told-from-an-exit-status crash_is_no_exit_status

# --- kselftests in the guest
# guest ARCH KERNEL PROGRAM [KERNEL PARAMETERS]
guest()
{
	local arch=$1 kernel=$2 prog=$3 name=$1:$2:$3${4:+:$4} status=0
	wanted "$name" || return 0
	phase "$name"
	BOOT=${4:-} run_selftest "$kernel" "$arch" "$prog" 900 > "$BUILD/results/${name//:/-}.tap" || status=$?
	tap "$name" "$BUILD/results/${name//:/-}.tap" $status "$kernel-$arch"
}
guest x86_64 base vma_lock_signals
guest x86_64 base vma_lock_asleep
progs="signals asleep faults reads maps kinds races torture"
for prog in $progs; do
	# The debug kernel runs these, and leaves "asleep" to this one.
	case $prog in races|torture|maps) [ -n "${FULL:-}" ] || continue ;; esac
	guest x86_64 pervma vma_lock_$prog
done
guest x86_64 pervma vma_lock_remote
for prog in $progs trace fail oops uprobes remote; do
	# These take long there, and passed on the kernel above.
	case $prog in asleep|remote) [ -n "${FULL:-}" ] || continue ;; esac
	guest x86_64 debug vma_lock_$prog
done
# The debug kernel is PREEMPT_VOLUNTARY. That of the mutants has all models.
guest x86_64 debug vma_lock_progress
for model in none voluntary full; do
	[ -z "${FULL:-}" ] || guest x86_64 mutant vma_lock_progress preempt=$model
done
[ -z "${FULL:-}" ] || guest x86_64 base vma_lock_progress
# A holder of a VMA lock that waits for mmap_lock is reported.
waiting_holder_is_reported()
{
	local status=0
	"$TOP/vm" -k debug -c 2 -- sh -c \
		'echo 0x$(grep -m1 heap /proc/$$/maps | cut -d- -f1) > /sys/module/vma_lock_debug/parameters/hold_and_wait' ||
		status=$?
	[ $status = 125 ] &&
		grep '^splat: .*possible circular locking' "$BUILD/results/debug-x86_64/conclusion.txt"
}
! wanted x86_64:debug:a-waiting-holder-is-reported || phase "x86_64:debug: a waiting holder"
check x86_64:debug:a-waiting-holder-is-reported waiting_holder_is_reported
[ -z "${FULL:-}" ] || guest arm64 base vma_lock_signals
for prog in $progs remote; do
	case $prog in asleep|torture|remote) [ -n "${FULL:-}" ] || continue ;; esac
	guest arm64 pervma vma_lock_$prog
done

# What the guide for operators says to type
guide_for_operators()
{
	local run=$BUILD/results/guide out
	{
		printf '#!/bin/sh -e\nmount -t tracefs tracefs /sys/kernel/tracing\n'
		sed -n 's/^\t//p' "$TOP/Documentation/admin-guide/mm/per-vma-lock.rst" |
			awk '/^cd / { on = 1 } !on || /trace_pipe/ { next }
			     /^cat / { last = last $0 "\n"; next } { print }
			     END { printf "VMA_LOCK_SECONDS=2 vma_lock_races cut >/dev/null\n%s", last }'
	} > "$run"
	chmod +x "$run"
	selftest x86_64 vma_lock_races
	out=$("$TOP/vm" -k debug -f "$run" -f "$BUILD/selftests-x86_64/vma_lock_races" -- guide) || return 1
	echo "$out"
	[[ $out == *"{ reason: "*"{ us: "* ]]
}
! wanted x86_64:debug:guide-for-operators || phase "x86_64:debug: the guide"
check x86_64:debug:guide-for-operators guide_for_operators

# --- cost
if wanted cost:faults; then
	phase "cost"
	if "$TOP/scripts/cost.sh"; then
		ok cost:faults
	else
		fail cost:faults
	fi
fi

# --- conflicts
! wanted conflicts:faults || phase "conflicts"
check conflicts:faults "$TOP/scripts/conflicts.sh"

phase
echo
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ] && [ $((passed + skipped)) -gt 0 ]
