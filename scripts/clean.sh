#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Remove build/, unless it has work that would be lost.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<EOF
usage: scripts/clean.sh [-f] [-h]     (make clean [FORCE=1])

Removes build/ with all that was built. Refuses to do so while build/linux has
work that is not in the series yet, unless forced.

  -f  even with work that would be lost
EOF
}
force=
while getopts fh opt; do
	case $opt in
	f) force=1 ;;
	h) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
done
[ -d "$BUILD" ] || exit 0
exclusive tree
if [ -z "$force" ] && git -C "$TREE" rev-parse -q --verify HEAD > /dev/null 2>&1 && [ ! -e "$BUILD/.base-busy" ]; then
	laid_out=$(cat "$BUILD/.tree-head" 2> /dev/null) || true
	doing=$(under_way "$TREE")
	[ -z "$doing" ] || die "build/linux is in the middle of a git $doing: FORCE=1 removes it all the same"
	file=$(uncommitted "$TREE")
	[ -z "$file" ] || die "build/linux has changes that are in no commit ($file): FORCE=1 removes them all the same"
	other=$(git -C "$TREE" for-each-ref --format='%(refname:short) %(objectname)' refs/heads refs/stash |
		while read -r ref id; do
			[ "$id" = "$laid_out" ] || git -C "$TREE" merge-base --is-ancestor "$id" "${laid_out:-base}" ||
				grep -qx "$id" "$BUILD/.tree-busy" 2> /dev/null || echo "$ref"
		done | sed -n 1p)
	[ -z "$other" ] || die "build/linux has commits that are not in the series ($other): 'make refresh', or FORCE=1"
fi
[ ! -e "$BUILD/.refresh-busy" ] || [ -n "$force" ] || die "a 'make refresh' was interrupted: run it again, or FORCE=1"
rm -rf "$BUILD"
