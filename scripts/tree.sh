#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Lay out build/linux: the base source, and a commit for each entry of series.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<EOF
usage: scripts/tree.sh [-f] [-d DIR] [-h]     (make tree [KDIR=DIR] [FORCE=1])

Lays out build/linux as a git tree: the base source as tag "base", then a
commit for each entry of the series. The source is Debian's linux-source-6.1,
or a copy of DIR. If patches conflict with DIR, build/linux is left in the
middle of a git rebase. Resolve the conflicts, 'git rebase --continue', then
'make refresh'. The series is then a series for DIR.

  -f  replace a build/linux with work that is not in the series yet
EOF
}

force='' kdir=''
while getopts d:fh opt; do
	case $opt in
	d) kdir=$OPTARG ;;
	f) force=1 ;;
	h) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
done
need git git
tarball=/usr/src/linux-source-6.1.tar.xz
stamp=$BUILD/.tree-source
if [ -n "$kdir" ]; then
	kdir tree
	unpatched
	source_id="$kdir $version"
else
	[ -f $tarball ] || die "no $tarball: install linux-source-6.1, or run 'make deps'"
	source_id="$tarball $(stat -c '%s %Y' $tarball)"
fi
exclusive tree
# A checkout that was killed leaves the lock of git's index.
[ ! -e "$BUILD/.tree-busy" ] || rm -f "$TREE/.git/index.lock"
laid_out=$(cat "$BUILD/.tree-head" 2>/dev/null) || true
head=$(git -C "$TREE" rev-parse -q --verify 'HEAD^{commit}' 2>/dev/null) || true
new_base=
[ "$(cat "$BUILD/.base-source" 2>/dev/null)" = "$source_id" ] &&
	git -C "$TREE" rev-parse -q --verify base >/dev/null 2>&1 || new_base=1

# Lay out the tree anew only if what the commits are made from has changed.
if [ -z "$new_base" ] && [ ! -e "$BUILD/.tree-busy" ] && [ "$head" = "$laid_out" ] &&
   [ "$(cat "$stamp" 2>/dev/null)" = "$source_id $(series_id)" ]; then
	say "build/linux is up to date"
	exit 0
fi

# Never lose the user's work. The remains of an interrupted run are not the user's work.
[ ! -e "$BUILD/.refresh-busy" ] || die "a 'make refresh' was interrupted: run it again"
if [ -n "$head" ] && [ ! -e "$BUILD/.base-busy" ] && [ -z "$force" ]; then
	doing=$(under_way "$TREE")
	[ -z "$doing" ] ||
		die "build/linux is in the middle of a git $doing: finish or abort it, or FORCE=1"
	if [ -e "$BUILD/.tree-busy" ]; then
		grep -qxF "$head" "$BUILD/.tree-busy" ||
			die "build/linux has commits on top of an unfinished layout: save them, then FORCE=1"
	else
		file=$(uncommitted "$TREE")
		[ -z "$file" ] ||
			die "build/linux has changes that are not committed ($file): commit and 'make refresh', or FORCE=1"
		[ "$head" = "$laid_out" ] ||
			die "build/linux has commits that are not in the series: 'make refresh', or FORCE=1"
	fi
	if [ -n "$new_base" ]; then
		other=$(git -C "$TREE" for-each-ref --format='%(refname:short)' refs/heads refs/stash |
			while read -r ref; do
				git -C "$TREE" merge-base --is-ancestor "$ref" "$head" || echo "$ref"
			done | sed -n 1p)
		[ -z "$other" ] || die "build/linux has a branch of yours, $other, that would go: save it, then FORCE=1"
	fi
fi

rm -f "$stamp"
if [ -n "$new_base" ]; then
	say "unpacking the base source"
	touch "$BUILD/.base-busy"
	rm -rf "$TREE" "$BUILD/.base-source" "$BUILD/.tree-head" "$BUILD/.tree-busy"
	mkdir -p "$TREE"
	if [ -n "$kdir" ]; then
		if [ -e "$kdir/.git" ]; then
			git -C "$kdir" archive HEAD | tar x -C "$TREE"
		else
			tar c -C "$kdir" --exclude=./.git . | tar x -C "$TREE"
		fi
	else
		tar x -C "$TREE" --strip-components=1 -f "$tarball"
	fi
	# Debian's packaging tells git to ignore every file of the kernel.
	[ ! -f "$TREE/.gitignore" ] || sed -i '/^# Debian packaging: ignore/,/^\/\*$/d' "$TREE/.gitignore"
	cd "$TREE"
	git init -q -b main .
	git config gc.auto 0
	git config user.name "$user_name"
	git config user.email "$user_email"
	git add -A -f .
	# The same commit on every machine
	GIT_AUTHOR_NAME=base GIT_AUTHOR_EMAIL=base@localhost GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' \
	GIT_COMMITTER_NAME=base GIT_COMMITTER_EMAIL=base@localhost GIT_COMMITTER_DATE='2020-01-01T00:00:00Z' \
		git commit -q -m "Linux $(tree_version .)"
	git tag -f base >/dev/null
	git rev-parse HEAD > "$BUILD/.tree-head"
	echo "$source_id" > "$BUILD/.base-source"
	rm -f "$BUILD/.base-busy"
fi

cd "$TREE"
have=$(tree_version .)
[ "$have" = "$(base_version linux-source-6.1)" ] ||
	say "note: this is $have; the series is tested on $(base_version linux-source-6.1)"

# Commits that are made and not checked out do no harm.
if "$TOP/scripts/commit-series.sh" base refs/pervma/series; then
	new=$(git rev-parse refs/pervma/series)
	{ git rev-parse HEAD; echo "$new"; } > "$BUILD/.tree-busy"
	git bisect reset -q 2>/dev/null || true
	rm -rf .git/rebase-merge .git/rebase-apply
	git checkout -q -f -B main "$new"
	echo "$new" > "$BUILD/.tree-head"
	echo "$source_id $(series_id)" > "$stamp"
	rm -f "$BUILD/.tree-busy"
	say "build/linux: $(git rev-list --count base..HEAD) commits on $have"
	exit 0
fi
[ -n "$kdir" ] && [ -f $tarball ] || exit 1

# Git can merge if it has what the patches were made from: the files that they change.
say "patches conflict with Linux $have: a git rebase, instead"
known=$(mktemp -d "$BUILD/known.XXXXXX")
trap 'rm -rf "$known"' EXIT
series_entries | while IFS=$'\t' read -r patch _; do files_of "$TOP/$patch"; done | sort -u > "$known/list"
series_entries | cut -f2 | tr ' ' '\n' | grep . | sort > "$known/ours" || true
mkdir "$known/tree"
comm -23 "$known/list" "$known/ours" | sed 's|^|linux-source-6.1/|' |
	tar x -C "$known/tree" --strip-components=1 -f "$tarball" -T -
GIT_INDEX_FILE=$known/index git --work-tree="$known/tree" add -A -f "$known/tree"
commit=$(GIT_AUTHOR_NAME=base GIT_AUTHOR_EMAIL=base@localhost GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' \
	 GIT_COMMITTER_NAME=base GIT_COMMITTER_EMAIL=base@localhost GIT_COMMITTER_DATE='2020-01-01T00:00:00Z' \
	 git commit-tree -m "what the series was made from" \
		"$(GIT_INDEX_FILE=$known/index git write-tree)")
git update-ref refs/pervma/known "$commit"
"$TOP/scripts/commit-series.sh" refs/pervma/known refs/pervma/series
git checkout -q -f --detach base
git branch -q -f main refs/pervma/series
echo "$source_id $(series_id)" > "$stamp"
if git rebase -q --onto base refs/pervma/known main > "$BUILD/rebase.log" 2>&1; then
	say "build/linux: all merged; look at it, then 'make refresh' makes it the series"
	exit 0
fi
git diff --name-only --diff-filter=U | sed 's/^/   conflict: /'
die "build/linux is in the middle of a git rebase: resolve, 'git add', 'git rebase --continue', then 'make refresh'"
