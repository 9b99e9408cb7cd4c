#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Try the series on other versions of 6.1: does it apply, build, and pass its tests?
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<EOF
usage: scripts/versions.sh [-b] [-h] [VERSION]...     (make versions [FULL=1] [ONLY=VERSION])

For each VERSION (6.1.170; by default each version of linux-source-6.1 in Debian's archive):
downloads the source and applies the series, into build/linux-VERSION. ./vm -k VERSION
then boots it. The last line is "N passed, N failed, N skipped".

  -b  builds and boots the kernel, and runs the kselftests on it
EOF
}
build=
while getopts bh opt; do
	case $opt in
	b) build=1 ;;
	h) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
done
shift $((OPTIND - 1))
need apt-get apt
# The newest of several revisions of a version
packages=$(apt-cache madison linux-source-6.1 2> /dev/null | awk '
	{ v = $3; sub(/-.*/, "", v); if (!(v in seen)) { seen[v] = 1; print v, $3 } }' | sort -V)
[ -n "$packages" ] || die "apt knows no linux-source-6.1: run 'apt-get update'"
versions=("$@")
[ $# -gt 0 ] || mapfile -t versions < <(cut -d' ' -f1 <<< "$packages")

passed=0 failed=0
ok()   { passed=$((passed + 1)); echo "ok   $1"; }
fail() { failed=$((failed + 1)); echo "FAIL $1"; }
mkdir -p "$BUILD/versions"
export VM_RESULTS=$BUILD/results/versions
for v in "${versions[@]}"; do
	package=$(awk -v v="$v" '$1 == v { print $2 }' <<< "$packages")
	[ -n "$package" ] || die "$v: not in the archive; there are $(cut -d' ' -f1 <<< "$packages" | xargs)"
	src=$BUILD/linux-$v
	id="$package $(series_id)"
	if [ "$(cat "$src/.source" 2> /dev/null)" != "$id" ]; then
		deb=$(ls "$BUILD"/versions/linux-source-6.1_"$package"_*.deb 2> /dev/null | sed -n 1p) || true
		if [ -z "$deb" ]; then
			say "downloading linux-source-6.1 $package"
			(cd "$BUILD/versions" && apt-get -q -o APT::Sandbox::User=root download "linux-source-6.1=$package") \
				> "$BUILD/versions.log" 2>&1 || die "cannot download, see $BUILD/versions.log"
			deb=$(ls "$BUILD"/versions/linux-source-6.1_"$package"_*.deb)
		fi
		say "unpacking $v"
		rm -rf "$src"
		mkdir -p "$src"
		dpkg-deb --fsys-tarfile "$deb" | tar xO ./usr/src/linux-source-6.1.tar.xz |
			tar xJ -C "$src" --strip-components=1
		status=0
		"$TOP/scripts/apply.sh" -d "$src" > "$BUILD/versions.log" 2>&1 || status=$?
		if [ $status -ne 0 ]; then
			fail "$v: applies"
			sed 's/^/     | /' "$BUILD/versions.log"
			continue
		fi
		echo "$id" > "$src/.source"
		say "$v: $(grep -c 'offset' "$BUILD/versions.log" || true) hunks have moved"
	fi
	ok "$v: applies"
	[ -n "$build" ] || continue
	if ! "$TOP/scripts/kernel.sh" "$v" ||
	   grep -E '\.[chS]:[0-9]+:.*warning:' "$BUILD/$v-x86_64.log"; then
		fail "$v: builds without a warning"
		continue
	fi
	ok "$v: builds without a warning"
	for prog in signals faults reads kinds maps races remote torture asleep; do
		status=0
		run_selftest "$v" x86_64 "vma_lock_$prog" 900 > "$BUILD/versions.tap" 2> "$BUILD/versions.err" || status=$?
		if [ $status -eq 0 ]; then
			ok "$v: vma_lock_$prog, $(grep -c '^ok ' "$BUILD/versions.tap") cases"
		else
			fail "$v: vma_lock_$prog, status $status"
			grep '^not ok' "$BUILD/versions.tap" | sed 's/^/     | /'
			sed 's/^/     | /' "$BUILD/versions.err"
		fi
	done
done
echo
echo "$passed passed, $failed failed, 0 skipped"
[ $failed -eq 0 ]
