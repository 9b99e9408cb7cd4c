#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Lay out build/linux: the base source, and a commit for each entry of series.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<EOF
usage: scripts/tree.sh [-f] [-h]     (make tree [KDIR=DIR] [FORCE=1])

Lays out build/linux as a git tree: the base source as tag "base", then a
commit for each entry of the series. The source is Debian's linux-source-6.1,
or a copy of KDIR if that is set.

  -f  replace a build/linux whose commits are not in the series yet
EOF
}

force=${FORCE:-}
while getopts fh opt; do
	case $opt in
	f) force=1 ;;
	h) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
done
need git git

stamp=$BUILD/.tree-source
if [ -n "${KDIR:-}" ]; then
	KDIR=$(cd "$KDIR" 2>/dev/null && pwd) || die "KDIR=$KDIR: no such directory"
	source_id="$KDIR $(tree_version "$KDIR")"
else
	tarball=/usr/src/linux-source-6.1.tar.xz
	[ -f $tarball ] || die "no $tarball: install linux-source-6.1, or run 'make deps'"
	source_id="$tarball $(stat -c '%s %Y' $tarball)"
fi

# Laid out anew only when what the commits are made from has changed.
if [ -d "$TREE/.git" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$source_id $(series_id)" ] &&
   [ "$(git -C "$TREE" rev-parse HEAD)" = "$(cat "$BUILD/.tree-head" 2>/dev/null)" ]; then
	say "build/linux is up to date"
	exit 0
fi

# Never lose somebody's work.
if [ -d "$TREE/.git" ] && [ -z "$force" ]; then
	git -C "$TREE" diff --quiet HEAD 2>/dev/null ||
		die "build/linux has changes that are not committed: commit and 'make refresh', or FORCE=1"
	[ "$(git -C "$TREE" rev-parse HEAD)" = "$(cat "$BUILD/.tree-head" 2>/dev/null)" ] ||
		die "build/linux has commits that are not in the series: 'make refresh', or FORCE=1"
fi

mkdir -p "$BUILD"
if [ "$(cat "$BUILD/.base-source" 2>/dev/null)" != "$source_id" ] ||
   ! git -C "$TREE" rev-parse -q --verify base >/dev/null 2>&1; then
	say "unpacking the base source"
	rm -rf "$TREE" "$BUILD/.base-source"
	mkdir -p "$TREE"
	if [ -n "${KDIR:-}" ]; then
		if [ -e "$KDIR/.git" ]; then
			git -C "$KDIR" archive HEAD | tar x -C "$TREE"
		else
			tar c -C "$KDIR" --exclude=./.git . | tar x -C "$TREE"
		fi
	else
		tar x -C "$TREE" --strip-components=1 -f "$tarball"
	fi
	# Debian's packaging tells git to ignore every file of the kernel.
	sed -i '/^# Debian packaging: ignore/,/^\/\*$/d' "$TREE/.gitignore"
	cd "$TREE"
	git init -q -b main .
	git config gc.auto 0
	git config user.name "$(git -C "$TOP" config user.name || echo per-vma-locks)"
	git config user.email "$(git -C "$TOP" config user.email || echo per-vma-locks@localhost)"
	git add -A -f .
	GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z' \
		git commit -q -m "Linux $(tree_version .)"
	git tag -f base >/dev/null
	echo "$source_id" > "$BUILD/.base-source"
fi

cd "$TREE"
have=$(tree_version .)
[ "$have" = "$(base_version linux-source-6.1)" ] ||
	say "note: this is $have; the series is tested on $(base_version linux-source-6.1)"

"$TOP/scripts/commit-series.sh" base

echo "$source_id $(series_id)" > "$stamp"
git rev-parse HEAD > "$BUILD/.tree-head"
say "build/linux: $(git rev-list --count base..HEAD) commits on $have"
