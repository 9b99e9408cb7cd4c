#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Run every test: host, tooling, guests. The last line is the verdict.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<EOF
usage: scripts/test.sh [-h] [PATTERN]     (make test [ONLY=PATTERN] [FULL=1])

Runs the tests whose name matches PATTERN (a shell pattern; all by default):
  host:model       the lock's protocol under the C++11 memory model
  host:spin        every interleaving of the protocol, by Spin (if named, or FULL=1)
  host:litmus      each pair of barriers, and what happens without them
  host:*           mm/vma_lock.c in user space: unit tests, which run every
                   line; stress, under TSan and ASan, too; mutants; stores
                   to lib/maple_tree.c
  tree:*           make tree, refresh, series and apply
  vm:*             ./vm: output, exit status, base, the boot switch
  x86_64:pervma:*  kselftests in the guest, on the kernel with the series (faults, kinds,
                   maps, races and torture with FULL=1: the debug kernel has them)
  x86_64:debug:*   the same on the kernel with lockdep and KASAN
  x86_64:base:*    signals, which must be the same on base, and calls that wait for a fault
  arm64:*          kselftests on arm64; on base with FULL=1
  cost:*           kernel instructions per fault, compared with base
  conflicts:*      lines of locks that faults on several CPUs write
The last line is "N passed, N failed, N skipped". A skip that is not expected
is a failure if CI=true.
EOF
}

[ "${1:-}" != -h ] || { usage; exit 0; }
[ $# -le 1 ] || { usage >&2; exit 2; }
only=${1:-*}
passed=0 failed=0 skipped=0
failures=()

ok()   { passed=$((passed + 1)); echo "ok   $1"; }
fail() { failed=$((failed + 1)); failures+=("FAIL $1${2:+ ($2)}"); echo "${failures[-1]}"; }
skip()
{
	skipped=$((skipped + 1))
	echo "SKIP $1 ($2)"
	case "$1 $2" in
	# Features that only x86-64 or only arm64 has in 6.1
	arm64:*key*|arm64:*write-protect*|arm64:*WRITEPROTECT*|arm64:*soft-dirty*|arm64:*"a driver"*|x86_64:*" tag"*) ;;
	# Drivers that the small kernels leave out
	*"no /sys/devices/platform/vkms"*|*"no /sys/devices/platform/snd_dummy"*|arm64:*"no /proc/sys/kernel/perf_event"*) ;;
	# The kernel has no allocations that fail on purpose.
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
	# Not as a condition: set -e has no effect there.
	(set -e; "$@") > "$BUILD/test.log" 2>&1 &
	wait $! || status=$?
	if [ $status -eq 0 ]; then
		ok "$name"
	else
		fail "$name"
		sed 's/^/     | /' "$BUILD/test.log" | tail -20
	fi
}

# tap NAME FILE STATUS [GUEST]: each line of a TAP file is a test, and so is its end. With
# GUEST, the guest has left its conclusion.
tap()
{
	local name=$1 file=$2 status=$3 conclusion line desc plan
	conclusion=
	[ -z "${4:-}" ] || conclusion=$(cat "$VM_RESULTS/conclusion.txt" 2>/dev/null) || true
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
		[ -z "${4:-}" ] || [ ! -f "$VM_RESULTS/console.log" ] ||
			tail -n 120 "$VM_RESULTS/console.log" | sed 's/^/     | /'
	elif [ "$status" -eq 125 ]; then
		fail "$name" "$conclusion"
	fi
}

mkdir -p "$BUILD/bench" "$BUILD/results"
export VM_RESULTS=$BUILD/results/guest
"$TOP/scripts/tree.sh"

# --- host
for group in model spin litmus unit coverage stress stress-tsan stress-asan mutants maple; do
	wanted host:$group || continue
	# This model needs a new run only after it was changed.
	[ $group != spin ] || [ -n "${FULL:-}" ] || [ "$only" = host:spin ] || continue
	phase "host: $group"
	status=0
	make -s -C "$TOP/tools/testing/vma_lock" OUTPUT="$BUILD/host/" check-$group \
		> "$BUILD/results/$group.tap" 2> "$BUILD/test.err" || status=$?
	tap host:$group "$BUILD/results/$group.tap" $status
	[ $status -ne 0 ] || continue
	# A sanitizer may report something at the very end.
	grep -q '^not ok' "$BUILD/results/$group.tap" || fail "host:$group" "status $status"
	sed 's/^/     | /' "$BUILD/test.err" | tail -20
done

# --- tree
# The files of the kernel tree that the series touches
touched() { git -C "$TREE" diff --name-only base HEAD; }

# part COMMIT DIR: writes these files, as they are in COMMIT, to DIR
part()
{
	local files
	mapfile -t files < <({ echo Makefile; echo Kconfig; echo .gitignore; touched; } |
		xargs git -C "$TREE" ls-tree -r --name-only "$1" --)
	rm -rf "$2"
	mkdir "$2"
	git -C "$TREE" archive "$1" -- "${files[@]}" | tar x -C "$2"
}

# Each test works on a copy of this repository, so that the checkout stays as it is.
copy()
{
	rm -rf "$BUILD/copy"
	mkdir -p "$BUILD/copy/build"
	(cd "$TOP" && tar c --exclude=./build --exclude=./.git .) | tar x -C "$BUILD/copy"
	clone "$BUILD/copy/build/linux"
	cp "$BUILD"/.tree-source "$BUILD"/.base-source "$BUILD"/.tree-head "$BUILD/copy/build/"
}
# A clone of build/linux, in which the directories with files that the series touches are
# checked out, without their subdirectories: "DIR/none" says that.
clone()
{
	git clone -q --shared --no-checkout "$TREE" "$1"
	git -C "$1" config user.name test
	git -C "$1" config user.email test@localhost
	touched | xargs -n1 dirname | sort -u | sed 's|$|/none|' |
		git -C "$1" sparse-checkout set --cone --sparse-index --stdin
	git -C "$1" checkout -q main
}
# base_repository DIR: a repository with the files that the series touches, as they are in base
base_repository()
{
	part base "$1"
	git -C "$1" init -q -b main
	git -C "$1" config user.name test
	git -C "$1" config user.email test@localhost
	git -C "$1" add -A -f .
	git -C "$1" commit -q -m base
}
# patched DIR: the files there are as they are at the end of the series
patched()
{
	part HEAD "$BUILD/plain.want"
	diff -r --exclude=.git --exclude=.pc "$1" "$BUILD/plain.want"
}
same() { diff -r --exclude=build --exclude=.git "$TOP" "$BUILD/copy"; }

refresh_changes_nothing() { copy && "$BUILD/copy/scripts/refresh.sh" && same; }
# amend_a_line TREE: amends the commit that adds a line of mm/vma_lock.c
amend_a_line()
{
	local c
	c=$(git -C "$1" log --format=%H -S'what the last reader did comes' HEAD -- mm/vma_lock.c | tail -1)
	sed -i 's/what the last reader did comes/what the last readers did comes/' "$1/mm/vma_lock.c"
	git -C "$1" commit -q -a --fixup "$c"
	GIT_SEQUENCE_EDITOR=: git -C "$1" rebase -q -i --autosquash base
}
# only_that_line DIR: DIR has the other line, and is the same as this repository otherwise
only_that_line()
{
	grep -q 'what the last readers did' "$1/mm/vma_lock.c"
	# The patch that adds the line has it, too.
	sed -i 's/what the last readers did comes/what the last reader did comes/' "$1/mm/vma_lock.c" "$1"/mm/*.patch
	same
}
amended_commit_comes_back()
{
	copy
	amend_a_line "$BUILD/copy/build/linux"
	"$BUILD/copy/scripts/refresh.sh"
	only_that_line "$BUILD/copy"
}
reordered_commits_come_back()
{
	copy
	cd "$BUILD/copy/build/linux"
	# Swap the first two commits, which touch nothing in common.
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
	base_repository "$BUILD/am"
	git -C "$BUILD/am" am -q "$BUILD"/series/*.patch
	patched "$BUILD/am"
}
apply_takes_a_plain_tree()
{
	part base "$BUILD/plain"
	"$TOP/scripts/apply.sh" -d "$BUILD/plain"
	part HEAD "$BUILD/plain.want"
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
	! out=$("$TOP/scripts/apply.sh" -d "$BUILD/plain" 2>&1) || return 1
	echo "$out"
	# The patch, the file and the line
	grep -q 'exclude-the-readers.*include/linux/mmap_lock.h:[0-9]' <<< "$out"
	diff -r "$BUILD/plain" "$BUILD/plain.want"
}
rebase_names_what_conflicts()
{
	local out
	part base "$BUILD/plain"
	out=$("$TOP/scripts/rebase.sh" -d "$BUILD/plain")
	echo "$out"
	[ "$(grep -c '^ok ' <<< "$out")" = "$(git -C "$TREE" rev-list --count base..HEAD)" ]
	# Another line at the top, and a change to a line that a hunk changes
	sed -i '1i/* moved */' "$BUILD/plain/mm/mincore.c"
	sed -i 's/down_write_nested(&mm->mmap_lock, subclass);/something_else();/' \
		"$BUILD/plain/include/linux/mmap_lock.h"
	! out=$("$TOP/scripts/rebase.sh" -d "$BUILD/plain") || return 1
	echo "$out"
	grep -q '^moved .*mincore' <<< "$out"
	grep -A1 '^conflicts .*exclude the readers' <<< "$out" | grep -q 'include/linux/mmap_lock.h:[0-9]'
}
# fails TEXT COMMAND...: COMMAND must fail, with a line that has TEXT
fails()
{
	local text=$1 out
	shift
	! out=$("$@" 2>&1) || { echo "not refused: $*: $out"; return 1; }
	echo "$out"
	grep -q -- "$text" <<< "$out" || { echo "not '$text': $*"; return 1; }
}
# refused TEXT COMMAND...: the same, and COMMAND must change nothing
refused() { fails "$@" && same; }
refresh_refuses_to_lose_work()
{
	copy
	local c=$BUILD/copy t=$BUILD/copy/build/linux
	git -C "$t" checkout -q HEAD~3
	refused 'older commit' "$c/scripts/refresh.sh"
	git -C "$t" checkout -q base
	refused 'no commit on its base' "$c/scripts/refresh.sh"
	git -C "$t" checkout -q main
	# A commit is dropped.
	git -C "$t" reset -q --hard HEAD~1
	git -C "$t" commit -q --allow-empty -m 'Another' && git -C "$t" reset -q --soft HEAD~2 &&
		git -C "$t" commit -q -m 'mm: two in one'
	refused 'if that is meant' "$c/scripts/refresh.sh"
	git -C "$t" reset -q --hard "$(cat "$BUILD/.tree-head")"
	# In the middle of something
	GIT_SEQUENCE_EDITOR='sed -i 1ibreak' git -C "$t" rebase -q -i HEAD~2
	refused 'middle of a git rebase' "$c/scripts/refresh.sh"
	refused 'middle of a git rebase' "$c/scripts/tree.sh" -d "$BUILD/plain"
	git -C "$t" rebase --abort
	git -C "$t" bisect start HEAD base > /dev/null
	refused 'middle of a git bisect' "$c/scripts/refresh.sh"
	git -C "$t" bisect reset
	# A merge
	git -C "$t" checkout -q -b side HEAD~1
	git -C "$t" commit -q --allow-empty -m side
	git -C "$t" checkout -q main
	git -C "$t" merge -q --no-edit side
	refused 'is a merge' "$c/scripts/refresh.sh"
	git -C "$t" reset -q --hard HEAD~1
	# Not laid out to its end
	mv "$c/build/.tree-source" "$c/build/kept"
	refused "run 'make tree' first" "$c/scripts/refresh.sh"
	mv "$c/build/kept" "$c/build/.tree-source"
	# Work that make tree and make clean would remove
	echo >> "$t/mm/vma_lock.c"
	refused 'not committed' "$c/scripts/tree.sh" -d "$BUILD/plain"
	refused 'in no commit' "$c/scripts/clean.sh"
	git -C "$t" commit -q -a -m 'Mine'
	refused 'not in the series' "$c/scripts/clean.sh"
	git -C "$t" reset -q --hard HEAD~1
	refused 'side' "$c/scripts/clean.sh"
	git -C "$t" branch -q -D side
	"$c/scripts/refresh.sh"
	same
	"$c/scripts/clean.sh"
	[ ! -e "$c/build" ]
}
settings_have_no_effect()
{
	copy
	local home=$BUILD/copy/build/home c=$BUILD/copy f
	"$c/scripts/export.sh" && cp -r "$c/build/series" "$c/build/series.want"
	mkdir "$home"
	for f in 'color.ui always' 'diff.external false' 'diff.noprefix true' 'diff.mnemonicPrefix true' \
		'commit.gpgSign true' 'format.suffix .txt' 'format.attach yes' 'format.signOff true' \
		'format.headers X-Mine: yes' 'format.thread deep' 'format.coverLetter true' \
		'format.subjectPrefix MINE' 'diff.context 1' 'diff.algorithm patience' 'core.pager false' \
		'apply.whitespace error' 'core.autocrlf true' 'log.showSignature true' 'gpg.program false'; do
		git config --file "$home/.gitconfig" "${f%% *}" "${f#* }"
		git -C "$c/build/linux" config "${f%% *}" "${f#* }"
	done
	# Developers who build modules have these.
	export HOME=$home GIT_EXTERNAL_DIFF=false KDIR=/none ARCH=mips CONFIG=/none KERNEL=none FORCE=1
	make -s -C "$c" refresh
	same
	make -s -C "$c" series
	diff -r "$c/build/series" "$c/build/series.want"
	rm "$c/build/.tree-source"
	make -s -C "$c" tree
	[ "$(git -C "$c/build/linux" rev-parse HEAD)" = "$(cat "$BUILD/.tree-head")" ]
}
later_patch_changes_an_added_file()
{
	copy
	local c=$BUILD/copy t=$BUILD/copy/build/linux
	sed -i 's/A hint, to save/A second hint, to save/' "$t/mm/vma_lock.c"
	echo '/* more */' >> "$t/mm/mincore.c"
	git -C "$t" commit -q -a -m $'mm/vma_lock: look twice\n\nMainline: no'
	"$c/scripts/refresh.sh"
	grep -q 'A second hint' "$c/mm/vma_lock.c"
	grep -q '^-.*A hint' "$c/mm/vma-lock-look-twice.patch"
	git -C "$t" rev-parse 'HEAD^{tree}' > "$c/build/want"
	rm "$c/build/.tree-source"
	"$c/scripts/tree.sh"
	[ "$(git -C "$t" rev-parse 'HEAD^{tree}')" = "$(cat "$c/build/want")" ]
	part base "$BUILD/plain"
	"$c/scripts/apply.sh" -d "$BUILD/plain"
	cmp "$BUILD/plain/mm/vma_lock.c" "$c/mm/vma_lock.c"
	"$c/scripts/apply.sh" -d "$BUILD/plain" -R
	# Dropped again, on purpose
	git -C "$t" reset -q --hard HEAD~1
	"$c/scripts/refresh.sh" -f
	same
}
a_conflict_ends_in_a_series()
{
	copy
	local c=$BUILD/copy t=$BUILD/copy/build/linux n
	n=$(git -C "$TREE" rev-list --count base..HEAD)
	part base "$BUILD/plain"
	sed -i 's/down_write_nested(&mm->mmap_lock, subclass);/something_else();/' \
		"$BUILD/plain/include/linux/mmap_lock.h"
	! "$c/scripts/tree.sh" -d "$BUILD/plain" || return 1
	[ -d "$t/.git/rebase-merge" ]
	[ "$(git -C "$t" diff --name-only --diff-filter=U)" = include/linux/mmap_lock.h ]
	# Take the patch's side
	git -C "$t" checkout -q --theirs include/linux/mmap_lock.h
	git -C "$t" add include/linux/mmap_lock.h
	GIT_EDITOR=: git -C "$t" rebase --continue
	"$c/scripts/refresh.sh"
	[ "$(git -C "$t" rev-list --count base..HEAD)" = "$n" ]
	"$c/scripts/apply.sh" -d "$BUILD/plain"
	fails 'no such directory' "$c/scripts/tree.sh" -d "$BUILD/plain.none"
}
mails_are_one_thread()
{
	copy
	local c=$BUILD/copy m=$BUILD/copy/build/mails v
	v=v$(cat "$TOP/VERSION")
	"$c/scripts/export.sh"
	echo mine > "$c/build/series/mine.patch"
	cp -r "$c/build/series" "$c/build/once"
	"$c/scripts/export.sh"
	diff -r "$c/build/series" "$c/build/once"
	rm "$c/build/series/mine.patch"
	[ "$(grep -c '^Message-ID: ' "$c/build/series/$v.mbox")" = $(($(git -C "$TREE" rev-list --count base..HEAD) + 1)) ]
	base_repository "$m"
	cd "$m"
	mkdir "$c/build/b4"
	b4 --offline-mode am -m "$c/build/series/$v.mbox" -o "$c/build/b4" 2>&1
	git am -q "$c"/build/b4/*.mbx
	patched "$m"
	part base "$BUILD/plain"
	cd "$BUILD/plain"
	QUILT_PATCHES=$c/build/series quilt push -a --fuzz=0 > "$c/build/quilt.log" 2>&1 ||
		{ tail "$c/build/quilt.log"; return 1; }
	patched "$BUILD/plain"
}
apply_replaces_files()
{
	part base "$BUILD/plain"
	rm -rf "$BUILD/plain.want" "$BUILD/plain.link"
	cp -r "$BUILD/plain" "$BUILD/plain.want"
	cp -al "$BUILD/plain" "$BUILD/plain.link"
	"$TOP/scripts/apply.sh" -d "$BUILD/plain.link"
	diff -r "$BUILD/plain" "$BUILD/plain.want"
	fails 'applied already' "$TOP/scripts/apply.sh" -d "$BUILD/plain.link"
	rm "$BUILD/plain.link/mm/vma_fault.c"
	fails 'partly applied' "$TOP/scripts/apply.sh" -d "$BUILD/plain.link"
	cp "$TOP/mm/vma_fault.c" "$BUILD/plain.link/mm/"
	make -s -C "$TOP" apply KDIR="$BUILD/plain.link" DRY=0 R=1
	diff -r "$BUILD/plain.link" "$BUILD/plain.want"
	# apply.sh must report what Debian's .gitignore hides.
	printf '# Debian packaging: ignore\n/*\n' > "$BUILD/plain.link/.gitignore"
	"$TOP/scripts/apply.sh" -d "$BUILD/plain.link" | grep 'git add -A -f'
}
# As root only: others cannot mount.
apply_finds_no_room()
{
	[ "$(id -u)" = 0 ] || return 0
	local at=$BUILD/plain.mount
	part base "$BUILD/plain"
	mkdir -p "$at"
	mount -t tmpfs -o size=$(($(du -sk "$BUILD/plain" | cut -f1) + 500))k none "$at" 2> /dev/null || return 0
	# shellcheck disable=SC2064
	trap "umount '$at'" EXIT
	cp -r "$BUILD/plain/." "$at"
	fails 'are free there' "$TOP/scripts/apply.sh" -d "$at" -n
	fails 'are free there' "$TOP/scripts/apply.sh" -d "$at"
	diff -r "$BUILD/plain" "$at"
	mount -o remount,ro,size=100m "$at"
	fails 'cannot be written to' "$TOP/scripts/apply.sh" -d "$at" -n
	fails 'cannot be written to' "$TOP/scripts/apply.sh" -d "$at"
	diff -r "$BUILD/plain" "$at"
}
# took COMMAND...: runs it, and sets $within to the milliseconds that it took
took()
{
	local begin=${EPOCHREALTIME/./}
	"$@" > "$BUILD/interrupted.log" 2>&1
	within=$(((${EPOCHREALTIME/./} - begin) / 1000))
}
# after_a_while COMMAND...: runs it, and ends it within $within ms with a random signal
after_a_while()
{
	local pid sig pause
	set -m
	"$@" > "$BUILD/interrupted.log" 2>&1 &
	pid=$!
	set +m
	pause=$((RANDOM % within))
	sleep "$((pause / 1000)).$(printf %03d $((pause % 1000)))"
	sig=$(shuf -n1 -e INT TERM HUP KILL)
	kill -"$sig" -- -$pid 2> /dev/null || sig=none
	wait $pid 2> /dev/null || true
	echo "interrupted by $sig: $*"
}
interrupts_lose_nothing()
{
	local c=$BUILD/copy t=$BUILD/copy/build/linux times=4 state within
	[ -z "${FULL:-}" ] || times=34
	part base "$BUILD/plain"
	part HEAD "$BUILD/plain.applied"
	rm -rf "$BUILD/plain.want"
	cp -r "$BUILD/plain" "$BUILD/plain.want"
	took "$TOP/scripts/apply.sh" -d "$BUILD/plain"
	for _ in $(seq $times); do
		rm -rf "$BUILD/plain"
		cp -r "$BUILD/plain.want" "$BUILD/plain"
		after_a_while "$TOP/scripts/apply.sh" -d "$BUILD/plain"
		if [ -e "$BUILD/plain/.per-vma-lock.apply" ]; then
			# It was killed: the next run reports that, and the run after it goes on.
			fails 'was killed' "$TOP/scripts/apply.sh" -n -d "$BUILD/plain" || return 1
			"$TOP/scripts/apply.sh" -d "$BUILD/plain"
		fi
		state=applied
		diff -rq "$BUILD/plain" "$BUILD/plain.applied" > /dev/null || state=want
		diff -r "$BUILD/plain" "$BUILD/plain.$state"
	done
	copy
	took "$c/scripts/refresh.sh"
	amend_a_line "$t"
	for _ in $(seq $times); do
		after_a_while "$c/scripts/refresh.sh"
	done
	"$c/scripts/refresh.sh"
	only_that_line "$c"
	for _ in $(seq $times); do
		after_a_while "$c/scripts/tree.sh"
		# Whatever state it left, a refresh must lose nothing.
		"$c/scripts/refresh.sh" || true
		same
	done
	"$c/scripts/tree.sh"
	[ "$(git -C "$t" rev-parse 'HEAD^{tree}')" = "$(git -C "$TREE" rev-parse 'HEAD^{tree}')" ]
	[ -z "$(git -C "$t" status --porcelain)" ]
	! ls -d "$c"/*/*.new-* "$c"/mm/*.new-* 2> /dev/null
}
one_at_a_time()
{
	copy
	mkdir -p "$BUILD/copy/build"
	# Hold the lock until stdin ends.
	coproc flock "$BUILD/copy/build/.lock-tree" sh -c 'echo held; cat'
	read -r _ <&"${COPROC[0]}"
	rm "$BUILD/copy/build/.tree-source"
	local status=0
	refused 'another run' "$BUILD/copy/scripts/tree.sh" || status=$?
	eval "exec ${COPROC[1]}>&-"
	wait
	return $status
}
debian_source_package()
{
	local d=$BUILD/plain n
	part base "$d"
	mkdir -p "$d/debian/patches"
	n=$(git -C "$TREE" rev-list --count base..HEAD)
	printf 'linux (%s-1) bookworm; urgency=low\n' "$(tree_version "$TREE")" > "$d/debian/changelog"
	printf 'a.patch\n' > "$d/debian/patches/series"
	: > "$d/debian/patches/a.patch"
	make -s -C "$TOP" quilt-debian DIR="$d"
	make -s -C "$TOP" quilt-debian DIR="$d"
	[ "$(grep -c '^features/all/per-vma-lock/' "$d/debian/patches/series")" = "$n" ]
	[ "$(grep -l '^Origin: ' "$d"/debian/patches/features/all/per-vma-lock/*.patch | wc -l)" = "$n" ]
	cd "$d"
	sed -i '/^a.patch/d' debian/patches/series
	QUILT_PATCHES=debian/patches quilt push -a --fuzz=0 > "$BUILD/quilt.log" 2>&1 || { tail "$BUILD/quilt.log"; return 1; }
	rm -rf debian
	patched "$d"
}
phase "tree"
check tree:refresh-changes-nothing refresh_changes_nothing
check tree:amended-commit-comes-back amended_commit_comes_back
check tree:reordered-commits-come-back reordered_commits_come_back
check tree:exported-series-applies-with-git-am exported_series_applies_with_git_am
check tree:apply-takes-a-plain-tree apply_takes_a_plain_tree
check tree:apply-leaves-alone-what-does-not-fit apply_leaves_alone_what_does_not_fit
check tree:rebase-names-what-conflicts rebase_names_what_conflicts
check tree:refresh-refuses-to-lose-work refresh_refuses_to_lose_work
check tree:settings-have-no-effect settings_have_no_effect
check tree:later-patch-changes-an-added-file later_patch_changes_an_added_file
check tree:a-conflict-ends-in-a-series a_conflict_ends_in_a_series
check tree:mails-are-one-thread mails_are_one_thread
check tree:apply-replaces-files apply_replaces_files
check tree:apply-finds-no-room apply_finds_no_room
check tree:interrupts-lose-nothing interrupts_lose_nothing
check tree:one-at-a-time one_at_a_time
check tree:debian-source-package debian_source_package
rm -rf "$BUILD/rebase" "$BUILD/copy" "$BUILD/am" "$BUILD"/plain "$BUILD"/plain.*

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
	# The version may have a + at its end, for a tree that is no release.
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
	[ $status = 125 ] && grep -q '^splat: ' "$VM_RESULTS/conclusion.txt"
}
emulator_failure_is_recognised()
{
	# The console output of a breakpoint that nobody has set: once with the breakpoint in
	# memory, once with what was patched over it.
	local byte boots=$BUILD/results/boots
	for byte in cc e9; do
		: > "$boots"
		printf '#!/bin/sh\n(echo "<0>int3: 0000 [#1] SMP"; echo "<0>Code: 0f 1f 44 00 00 %s <f1> 02 00") |\n\twhile read -r l; do echo "$l" > /dev/kmsg; done\necho 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger\n' \
			$byte > "$BUILD/results/breakpoint"
		chmod +x "$BUILD/results/breakpoint"
		! unless_emulator "$TOP/vm" -c 1 -f "$BUILD/results/breakpoint" -- breakpoint 2> "$boots" || return 1
		cat "$boots"
		case $byte in
		cc) [ "$(grep -c 'vm: splat' "$boots")" = 1 ] && ! grep -q emulator "$boots" ;;
		e9) [ "$(grep -c 'vm: emulator' "$boots")" = 3 ] && [ "$(grep -c 'once more' "$boots")" = 2 ] ;;
		esac || return 1
	done
}
stdin_is_passed()
{
	rm -f "$BUILD/results/fifo"
	head -c 1000000 /dev/urandom > "$BUILD/results/random"
	[ "$("$TOP/vm" -c 1 -- sha1sum < "$BUILD/results/random")" = "$(sha1sum < "$BUILD/results/random")" ]
	# A pipe that never ends does not hinder a command that does not read it. An empty pipe
	# ends at once.
	mkfifo "$BUILD/results/fifo"
	[ "$(timeout 60 "$TOP/vm" -c 1 -- echo read none <> "$BUILD/results/fifo")" = 'read none' ]
	[ "$("$TOP/vm" -c 1 -- wc -c < /dev/null)" = 0 ]
	# Without a command and a terminal: a shell that ends where its input ends
	[ "$(printf 'echo from a shell\nexit 3\n' | timeout 60 "$TOP/vm" -c 1 || echo $?)" = $'from a shell\n3' ]
	timeout 60 "$TOP/vm" -c 1 < /dev/null
}
two_at_once()
{
	local a b
	export VM_RESULTS=$BUILD/results/two
	rm -rf "$VM_RESULTS" "$VM_RESULTS.2"
	"$TOP/vm" -c 1 -- sh -c 'sleep 3; echo first; exit 1' > "$BUILD/results/first" 2>&1 &
	a=$!
	"$TOP/vm" -c 1 -- sh -c 'sleep 3; echo second; exit 2' > "$BUILD/results/second" 2>&1 &
	b=$!
	local status=0
	wait $a || status=$?
	[ $status = 1 ] || return 1
	wait $b || status=$?
	[ $status = 2 ] || return 1
	[ "$(cat "$BUILD/results/first" "$BUILD/results/second")" = $'first\nsecond' ]
	[ "$(cat "$VM_RESULTS/conclusion.txt" "$VM_RESULTS.2/conclusion.txt" | sort | xargs)" = 'exit 1 exit 2' ]
}
bad_arguments()
{
	fails 'dynamically linked' "$TOP/vm" -f "$(command -v ls)" -- ls
	fails '1 or more' "$TOP/vm" -c 0 -- true
	fails 'no such file' "$TOP/vm" -f "$BUILD/none" -- true
	fails 'not for arm64' "$TOP/vm" -a arm64 -f "$(command -v busybox)" -- true
	mkdir -p "$BUILD/results/a b"
	printf '#!/bin/sh\necho here\n' > "$BUILD/results/a b/prog"
	chmod +x "$BUILD/results/a b/prog"
	[ "$("$TOP/vm" -c 1 -f "$BUILD/results/a b/prog" -- prog)" = here ]
	cp "$BUILD/results/a b/prog" "$BUILD/results/a b/a prog"
	fails 'without spaces' "$TOP/vm" -f "$BUILD/results/a b/a prog" -- true
	grep -q '^usage: ' <<< "$("$TOP/vm" --help)"
	for f in "$TOP"/scripts/*.sh; do
		case ${f##*/} in lib.sh) continue ;; esac
		grep -q 'usage: ' <<< "$("$f" --help)" || { echo "no usage: $f"; return 1; }
	done
}
time_is_up_or_ended()
{
	local out pid
	! out=$("$TOP/vm" -c 1 -t 2 -- sleep 100 2>&1) || return 1
	echo "$out"
	[[ $out == *'timed out: the command ran for more than 2 s'* ]]
	# A run that is ended leaves no result of the run before.
	"$TOP/vm" -c 1 -- true
	"$TOP/vm" -c 1 -- sleep 100 &
	pid=$!
	while [ "$(cat "$VM_RESULTS/conclusion.txt")" != interrupted ]; do sleep 0.1; done
	kill $pid
	wait $pid || [ $? = 130 ]
	[ "$(cat "$VM_RESULTS/conclusion.txt")" = interrupted ]
}
phase "vm"
check vm:output-and-exit-status output_and_status
check vm:base-boots-without-the-feature base_boots
check vm:boot-switch boot_switch
check vm:a-crash-is-told-from-an-exit-status crash_is_no_exit_status
check vm:emulator-failure-is-recognised emulator_failure_is_recognised
check vm:stdin-is-passed stdin_is_passed
check vm:two-at-once two_at_once
check vm:bad-arguments bad_arguments
check vm:time-is-up-or-ended time_is_up_or_ended

# --- kselftests in the guest
# guest ARCH KERNEL PROGRAM [KERNEL PARAMETERS]
guest()
{
	local arch=$1 kernel=$2 prog=$3 name=$1:$2:$3${4:+:$4} status=0 short=()
	wanted "$name" || return 0
	phase "$name"
	# The debug kernel of x86-64 runs each race for longer.
	[ "$arch:$prog${FULL:-}" != arm64:vma_lock_races ] || short=(VMA_LOCK_SECONDS=2)
	BOOT=${4:-} run_selftest "$kernel" "$arch" "$prog" 900 "${short[@]}" \
		> "$BUILD/results/${name//:/-}.tap" || status=$?
	tap "$name" "$BUILD/results/${name//:/-}.tap" $status guest
}
guest x86_64 base vma_lock_signals
guest x86_64 base vma_lock_asleep
progs="signals asleep faults reads maps kinds races torture"
for prog in $progs; do
	# The debug kernel runs these. It leaves "asleep" to this kernel.
	case $prog in faults|kinds|races|torture|maps) [ -n "${FULL:-}" ] || continue ;; esac
	guest x86_64 pervma vma_lock_$prog
done
guest x86_64 pervma vma_lock_remote
guest x86_64 pervma vma_lock_stalls
guest x86_64 pervma vma_lock_pieces
for prog in $progs trace fail oops uprobes remote stalls pieces; do
	# These take long on the debug kernel, and passed on the kernel above.
	case $prog in asleep|remote) [ -n "${FULL:-}" ] || continue ;; esac
	guest x86_64 debug vma_lock_$prog
done
# "voluntary" is the default.
guest x86_64 debug vma_lock_progress
guest x86_64 debug vma_lock_progress preempt=full
[ -z "${FULL:-}" ] || guest x86_64 debug vma_lock_progress preempt=none
[ -z "${FULL:-}" ] || guest x86_64 base vma_lock_progress
# Run sparse on what only this kernel has ("make check" does the rest).
sparse_on_the_validator()
{
	kbuild "$TREE" "$BUILD/debug-x86_64" x86_64 C=2 CHECK=sparse mm/vma_lock_debug.o > "$BUILD/sparse.log" 2>&1
	! grep -E 'vma_lock[a-z_]*\.[ch].*(warning|error)' "$BUILD/sparse.log"
}
check x86_64:debug:sparse sparse_on_the_validator
# A holder of a VMA lock that waits for mmap_lock must be reported.
waiting_holder_is_reported()
{
	local status=0
	"$TOP/vm" -k debug -c 2 -- sh -c \
		'echo 0x$(grep -m1 heap /proc/$$/maps | cut -d- -f1) > /sys/module/vma_lock_debug/parameters/hold_and_wait' ||
		status=$?
	[ $status = 125 ] &&
		grep '^splat: .*possible circular locking' "$VM_RESULTS/conclusion.txt"
}
! wanted x86_64:debug:a-waiting-holder-is-reported || phase "x86_64:debug: a waiting holder"
check x86_64:debug:a-waiting-holder-is-reported waiting_holder_is_reported
[ -z "${FULL:-}" ] || guest arm64 base vma_lock_signals
for prog in $progs remote stalls pieces; do
	case $prog in asleep|torture|remote) [ -n "${FULL:-}" ] || continue ;; esac
	guest arm64 pervma vma_lock_$prog
done

# Run the commands of the guide for operators. This guest has no bpftrace: "make programs" has.
guide_for_operators()
{
	local run=$BUILD/results/guide out
	{
		printf '#!/bin/sh -e\nmount -t tracefs tracefs /sys/kernel/tracing\n'
		sed -n 's/^\t//p' "$TOP/Documentation/admin-guide/mm/per-vma-lock.rst" |
			awk '/^cd / { on = 1 } !on || /trace_pipe|^bpftrace/ { next }
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
[ $failed -eq 0 ] || printf '%s\n' '' "What failed:" "${failures[@]}"
echo
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ] && [ $((passed + skipped)) -gt 0 ]
