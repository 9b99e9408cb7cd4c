#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Add the series to an unpacked Debian linux source package.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<EOF
usage: scripts/quilt_debian.sh -d DIR [-n] [-h]     (make quilt-debian DIR=DIR [DRY=1])

DIR is an unpacked linux source package of Debian, version 6.1.N ("apt-get source
linux"). Adds the patches to DIR/debian/patches/features/all/per-vma-lock/, with the
fields of DEP-3 in their headers, and to debian/patches/series, at its end. Nothing is
applied: dpkg-source or quilt does that. A second run replaces what the first has added.

  -n  only say what would be done
EOF
}
dir='' dry=
while getopts d:nh opt; do
	case $opt in
	d) dir=$OPTARG ;;
	n) dry=1 ;;
	h) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
done
[ -n "$dir" ] || die "which source package? make quilt-debian DIR=DIR"
dir=$(cd "$dir" 2> /dev/null && pwd) || die "DIR: no such directory"
list=$dir/debian/patches/series sub=features/all/per-vma-lock
[ -f "$list" ] && [ -f "$dir/debian/changelog" ] || die "$dir: no unpacked Debian source package: no debian/patches/series"
version=$(sed -n '1s/^linux (\([^)]*\)).*/\1/p' "$dir/debian/changelog")
case $version in
6.1.*) ;;
*) die "$dir: ${version:-not the package linux}; the series is for linux 6.1" ;;
esac
[ -w "$list" ] && [ -w "$dir/debian/patches" ] || die "$dir/debian/patches: cannot be written to"
"$TOP/scripts/export.sh"
n=$(wc -l < "$BUILD/series/series")
if [ -n "$dry" ]; then
	say "linux $version: would add $n patches to debian/patches/$sub (DRY)"
	exit 0
fi

# Make all of it in another directory first, then move it in place.
work=$(mktemp -d "$dir/debian/patches/.per-vma-lock.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
mkdir "$work/new"
while read -r f; do
	awk -v v="$(cat "$TOP/VERSION")" '
		!done && /^$/ {
			print "Origin: other, Per-VMA locks for Linux 6.1, v" v
			print "Forwarded: not-needed"
			done = 1
		}
		!done && /^(From [0-9a-f]+ |Message-ID:|In-Reply-To:|References:)/ { next }
		{ print }' "$BUILD/series/$f" > "$work/new/${f#v*-}"
done < "$BUILD/series/series"
{
	grep -vE "^($sub/|# Per-VMA locks for Linux 6.1, v)" "$list" | sed -e :a -e '/^\n*$/{$d;N;ba' -e '}'
	printf '\n# Per-VMA locks for Linux 6.1, v%s\n' "$(cat "$TOP/VERSION")"
	(cd "$work/new" && printf "$sub/%s\n" *)
} > "$work/series"
mkdir -p "$dir/debian/patches/features/all"
[ ! -e "$dir/debian/patches/$sub" ] || mv "$dir/debian/patches/$sub" "$work/old"
mv "$work/new" "$dir/debian/patches/$sub"
mv "$work/series" "$list"
say "linux $version: $n patches in debian/patches/$sub, and in debian/patches/series"
