# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Functions and settings that the scripts share. Source this file. It sets TOP, BUILD and TREE.

set -euo pipefail
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=$TOP/build
TREE=$BUILD/linux
case $TOP in
*[[:space:]:]*)
	echo "${0##*/}: $TOP: no kernel can be built in a directory with a space or a colon in its name" >&2
	exit 1 ;;
esac
[ "${1:-}" != --help ] || set -- -h

# The user's settings, and variables that kernel developers export, have no effect here,
# except the name in commits and the directories that git may trust.
# shellcheck disable=SC2034
user_name=$(git -C "$TOP" config user.name 2> /dev/null) || user_name=per-vma-locks
# shellcheck disable=SC2034
user_email=$(git -C "$TOP" config user.email 2> /dev/null) || user_email=per-vma-locks@localhost
trusted=$(git config --global --get-all safe.directory 2> /dev/null) || true
for v in "${!GIT_@}" "${!KBUILD_@}" "${!KCONFIG_@}"; do unset "$v"; done
unset v MAKEFLAGS MFLAGS MAKELEVEL O V C W M LLVM CROSS_COMPILE KCFLAGS KCPPFLAGS KAFLAGS LOCALVERSION \
	CFLAGS CPPFLAGS LDFLAGS CC HOSTCC GREP_OPTIONS POSIXLY_CORRECT CDPATH
# git must not lock an index only to refresh it: if git is killed, the lock stays.
export GIT_OPTIONAL_LOCKS=0
export LC_ALL=C.UTF-8 GIT_CONFIG_GLOBAL=$BUILD/.no-settings GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_COUNT=0 GIT_PAGER=cat
# Settings of a repository have no effect either: these win over its own configuration.
git_setting()
{
	export "GIT_CONFIG_KEY_$GIT_CONFIG_COUNT=$1" "GIT_CONFIG_VALUE_$GIT_CONFIG_COUNT=$2"
	GIT_CONFIG_COUNT=$((GIT_CONFIG_COUNT + 1))
}
for v in $trusted; do git_setting safe.directory "$v"; done
for v in color.ui=false diff.noprefix=false diff.mnemonicPrefix=false diff.renames=false \
	diff.algorithm=myers diff.context=3 diff.interHunkContext=0 diff.indentHeuristic=true \
	diff.suppressBlankEmpty=false diff.submodule=short diff.ignoreSubmodules=none \
	apply.whitespace=nowarn apply.ignoreWhitespace=no core.autocrlf=false core.quotePath=false \
	core.hooksPath=/dev/null core.fsmonitor=false commit.gpgSign=false tag.gpgSign=false \
	commit.verbose=false log.showSignature=false log.date=default \
	format.numbered=auto format.signOff=false format.suffix=.patch \
	format.thread=false format.coverLetter=false format.from=false format.useAutoBase=false \
	format.notes=false format.subjectPrefix=PATCH format.signature= \
	format.encodeEmailHeaders=true format.pretty=medium mailinfo.scissors=false \
	am.threeWay=false am.keepcr=false rebase.autoSquash=false rebase.autoStash=false \
	rebase.updateRefs=false merge.conflictStyle=merge advice.detachedHead=false; do
	git_setting "${v%%=*}" "${v#*=}"
done
unset v

# A variable that is set to 0, n or no counts as not set.
for v in FULL QUICK COST_PEER; do
	case ${!v:-} in ''|0|[nN]|[nN][oO]) unset "$v" ;; esac
done
unset v

die()
{
	echo "${0##*/}: $*" >&2
	exit 1
}

say()
{
	echo "== $*"
}

# phase NAME: begins this phase of the run, and ends the phase before. "phase" alone ends the
# last phase and prints the time that each phase took.
phases=() phase_name='' phase_start=0
phase()
{
	[ -z "$phase_name" ] || phases+=("$(printf '%6d s  %s' $((SECONDS - phase_start)) "$phase_name")")
	phase_name=${1:-} phase_start=$SECONDS
	if [ -n "$phase_name" ]; then
		say "$phase_name ($SECONDS s so far)"
	elif [ ${#phases[@]} -gt 0 ]; then
		say "time of each phase"
		printf '%s\n' "${phases[@]}"
	fi
}

# exclusive NAME [wait]: no other run holds build/.lock-NAME until this run ends. It waits for
# ten seconds, or with "wait" for as long as it takes. Scripts that this script calls may hold
# the lock, too.
exclusive()
{
	local fd
	case " ${PERVMA_HOLDS:-} " in *" $1 "*) return 0 ;; esac
	need flock util-linux
	mkdir -p "$BUILD"
	exec {fd}> "$BUILD/.lock-$1"
	if [ "${2:-}" = wait ]; then
		flock -w 5 "$fd" || { say "waiting for another run that makes $1"; flock "$fd"; }
	else
		flock -w 10 "$fd" || die "another run is at work on $1 in build/: wait for it"
	fi
	export PERVMA_HOLDS="${PERVMA_HOLDS:-} $1"
}

# under_way DIR: prints the git operation that is in progress there, if any
under_way()
{
	local git at
	git=$(git -C "$1" rev-parse --absolute-git-dir) || return 0
	for at in rebase-merge:rebase rebase-apply:'rebase or am' CHERRY_PICK_HEAD:cherry-pick \
		REVERT_HEAD:revert MERGE_HEAD:merge BISECT_LOG:bisect sequencer:cherry-pick; do
		[ ! -e "$git/${at%%:*}" ] || { echo "${at#*:}"; return; }
	done
}

# uncommitted DIR: prints the first changed or new file there, if any
uncommitted() { git -C "$1" status --porcelain 2> /dev/null | sed -n "1s/^...//p"; }

# need COMMAND PACKAGE: ends with one clear line if COMMAND is not installed
need()
{
	command -v "$1" >/dev/null || die "no $1: install $2, or run 'make deps'"
}

# Prints the series, an entry per line: PATCH, a tab, the whole files that it adds.
series_entries()
{
	awk '
		/^#\+ / { sub(/^#\+ /, ""); files = files " " $0; next }
		/^#/ || /^[ \t]*$/ { next }
		{ if (patch) print patch "\t" files; patch = $1; files = "" }
		END { if (patch) print patch "\t" files }
	' "$TOP/series"
}

# Prints a checksum of what the commits of build/linux are made from.
series_id()
{
	(cd "$TOP" && { cat series; series_entries | tr '\t ' '\n\n' | grep . |
		xargs cat; } | sha1sum | cut -d' ' -f1)
}

# cross_prefix ARCH: prints how the names of its compiler and tools start
cross_prefix()
{
	case $1 in
	x86_64) ;;
	arm64) echo aarch64-linux-gnu- ;;
	riscv) echo riscv64-linux-gnu- ;;
	*) die "$1: not an architecture that is covered (x86_64, arm64; riscv builds)" ;;
	esac
}

# kbuild SRC OUT ARCH [ARG]...: runs the kernel's make, through ccache if that is
# there. Kernels built elsewhere from the same source hit the cache, too.
kbuild()
{
	local src=$1 out=$2 arch=$3 cross cc
	shift 3
	cross=$(cross_prefix "$arch")
	cc=${cross}gcc
	! command -v ccache >/dev/null || cc="ccache $cc"
	CCACHE_BASEDIR=$BUILD CCACHE_NOHASHDIR=1 CCACHE_MAXSIZE=${CCACHE_MAXSIZE:-8G} \
	KBUILD_BUILD_USER=pervma KBUILD_BUILD_HOST=pervma KBUILD_BUILD_TIMESTAMP='2020-01-01' \
		make -C "$src" O="$out" ARCH="$arch" CROSS_COMPILE="$cross" CC="$cc" "$@"
}

# selftest ARCH PROGRAM: builds it into build/selftests-ARCH, unless it is current
selftest()
{
	local src=$TREE/tools/testing/selftests/mm bin=$BUILD/selftests-$1
	[ -x "$bin/$2" ] && [ "$bin/$2" -nt "$src/$2.c" ] && [ "$bin/$2" -nt "$src/vma_lock.h" ] || {
		mkdir -p "$bin"
		make -s -C "$src" OUTPUT="$bin" CC="$(cross_prefix "$1")gcc"
	}
}

# kdir FOR: makes $kdir a full path and sets its $version, if it is a 6.1
kdir()
{
	[ -n "${kdir:-}" ] || die "which tree? make $1 KDIR=DIR"
	kdir=$(cd "$kdir" 2>/dev/null && pwd) || die "KDIR: no such directory"
	version=$(tree_version "$kdir")
	case $version in
	6.1.*) ;;
	*) die "$kdir is Linux $version; the series is for 6.1.y" ;;
	esac
}

# unpatched: ends if the series is applied in $kdir already
unpatched() { [ ! -e "$kdir/mm/vma_lock.c" ] || die "$kdir: has mm/vma_lock.c: the series is applied already"; }

# build_kernel NAME OF LOG COMMAND...: prints each half a minute "NAME: 12 OF objects, 30 s"
build_kernel()
{
	local name=$1 of=$2 log=$3 start=$SECONDS pid
	shift 3
	# In a process group of its own, to be killed: a make that lived on would write
	# concurrently with the next.
	set -m
	"$@" >> "$log" 2>&1 < /dev/null &
	pid=$!
	set +m
	# shellcheck disable=SC2064
	trap "kill -- -$pid 2>/dev/null || true" EXIT
	while kill -0 $pid 2>/dev/null; do
		for _ in $(seq 60); do
			kill -0 $pid 2>/dev/null || break 2
			sleep 0.5
		done
		say "$name: $(objects "$log")$of objects, $((SECONDS - start)) s"
	done
	trap - EXIT
	wait $pid || {
		grep -E -m5 'error|Error' "$log" >&2 || tail -20 "$log" >&2
		die "$name: the build failed, see $log"
	}
	say "$name: built in $((SECONDS - start)) s"
}

# objects LOG: counts the objects that the build has made so far
objects() { grep -cE '^  (CC|AS|AR|LD) ' "$1" || true; }

# bench_programs [TARGET]...: builds what runs in the guest into build/bench
bench_programs()
{
	mkdir -p "$BUILD/bench"
	make -s -C "$TOP/bench" OUTPUT="$BUILD/bench" "$@"
}

# rounds_or DEFAULT LEAST: sets $rounds to ROUNDS=, or to DEFAULT
rounds_or()
{
	rounds=${ROUNDS:-$1}
	[[ $rounds =~ ^[0-9]+$ ]] && [ "$rounds" -ge "$2" ] || die "ROUNDS=$rounds: a number, $2 or more"
}

# with_switch base|peer|off|on: sets $kernel, and the $boot parameters that it needs
# shellcheck disable=SC2034
with_switch()
{
	kernel=$1 boot=
	case $1 in
	off) kernel=pervma boot=per_vma_lock=off ;;
	on) kernel=pervma ;;
	esac
}

# kernel_option ARG...: parses -k KERNEL into $kernel, and -h; OPTIND is after them
kernel_option()
{
	local opt
	while getopts k:h opt; do
		case $opt in
		k) kernel=$OPTARG ;;
		h) usage; exit 0 ;;
		*) usage >&2; exit 2 ;;
		esac
	done
}

# expected_splats PROGRAM: prints the splats of a program that oopses on purpose
expected_splats()
{
	[ "$1" != vma_lock_oops ] || echo 'Internal error|BUG: unable to handle page fault|Oops|KASAN: maybe wild-memory-access'
}

# unless_emulator COMMAND [ARG...]: runs a command that runs ./vm with VM_RESULTS,
# and prints its output. Runs it again, up to two times, if the emulator has
# failed. Reads no stdin.
unless_emulator()
{
	local out status try
	out=$(mktemp "$BUILD/out.XXXXXX")
	for try in 1 2 3; do
		status=0
		"$@" > "$out" < /dev/null || status=$?
		[ $status -eq 125 ] && grep -q '^emulator: ' "$VM_RESULTS/conclusion.txt" || break
		[ $try -eq 3 ] || echo "the emulator failed: once more" >&2
	done
	cat "$out"
	rm -f "$out"
	return $status
}

# two_nodes MIB: prints QEMU's options for 4 CPUs and two NUMA nodes of MIB each
two_nodes()
{
	echo "-smp 4,sockets=2
		-object memory-backend-ram,id=m0,size=$1M -numa node,memdev=m0,cpus=0-1
		-object memory-backend-ram,id=m1,size=$1M -numa node,memdev=m1,cpus=2-3"
}

# run_selftest KERNEL ARCH PROGRAM LIMIT [NAME=VALUE...]: runs it on two nodes, for
# NUMA hints. BOOT has more kernel parameters.
run_selftest()
{
	local kernel=$1 arch=$2 prog=$3 limit=$4 mem=512 parameters=${BOOT:-}
	[ "$kernel" != debug ] || mem=1024
	# The long-term pins of these programs must find pages that may move.
	case $prog in vma_lock_reads|vma_lock_progress) parameters+=" movablecore=384M" ;; esac
	selftest "$arch" "$prog"
	unless_emulator "$TOP/vm" -a "$arch" -k "$kernel" -t "$limit" -m $((2 * mem)) -b "$parameters" \
		-e "$(expected_splats "$prog")" \
		-q "$(two_nodes $mem)" \
		-f "$BUILD/selftests-$arch/$prog" -- env "${@:5}" "$prog"
}

# For awk: the quantile P, from 0 to 1, of the numbers in LIST
# shellcheck disable=SC2034
awk_at='function at(list, p,   n, i, j, t, v) {
	n = split(list, v, " ")
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && v[j] + 0 < v[j - 1] + 0; j--) {
			t = v[j]; v[j] = v[j - 1]; v[j - 1] = t
		}
	return n ? v[1 + int((n - 1) * p)] + 0 : 0
}
'

# base_version PACKAGE: prints the version that BASE names for it
base_version()
{
	awk -v p="$1" '$1 == p { print $2 }' "$TOP/BASE"
}

# tree_version DIR: prints the version of a kernel source tree
tree_version()
{
	[ -f "$1/Makefile" ] && [ -f "$1/Kconfig" ] && [ -d "$1/mm" ] ||
		die "$1: not a kernel source tree"
	awk '
		/^VERSION = /    { v = $3 }
		/^PATCHLEVEL = / { p = $3 }
		/^SUBLEVEL = /   { s = $3 }
		END { print v "." p "." s }
	' "$1/Makefile"
}

# split_patches DIR: reads the names of patches. DIR/N is the diff of patch N, from 1 on.
# Prints "N FILE PATCH" for each file that patch N changes. It is one process for all patches.
split_patches()
{
	(cd "$TOP" && xargs awk -v dir="$1/" '
		FNR == 1 { if (n++) close(f); f = dir n; printf "" > f; on = 0 }
		/^diff --git / {
			on = 1; file = $0
			sub(/^diff --git a\//, "", file); sub(/ b\/.*/, "", file)
			print n, file, FILENAME
		}
		on { print > f }')
}

# files_of PATCH: prints the files that its diff changes
files_of() { sed -n 's|^diff --git a/\(.*\) b/.*|\1|p' "$1"; }

# run_pairs PAIRS RAW: threads fault and map, with the switch off and on in pairs of windows
# of one boot. Prints a table to stdout, and progress to stderr.
run_pairs()
{
	local pairs=$1 raw=$2 cpus
	cpus=$(nproc)
	[ "$cpus" -le 4 ] || cpus=4
	say "running the loads, about $((pairs * 22 * 5 / 100 + 5)) s" >&2
	"$TOP/vm" -c "$cpus" -m 1024 -t $((300 + pairs * 2)) -f "$BUILD/bench/fault_load" \
		-f "$TOP/bench/demo_rounds.sh" -- demo_rounds.sh "$pairs" "$cpus" < /dev/null |
		tee "$raw" | sed -un 's/^# /   /p' >&2
	grep -q '^pair' "$raw" || die "the loads did not run, see $raw"
	/usr/bin/python3 "$TOP/bench/pairs.py" "$cpus" "$raw"
}
