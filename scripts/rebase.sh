#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Try the series on another 6.1.y, patch by patch, and report conflicts.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<EOF
usage: scripts/rebase.sh -d DIR [-h]     (make rebase KDIR=DIR)

For a stable update. Applies the patches one after the other to the kernel source in
DIR, as 'git rebase' would. Reports for each patch whether it applies as it is, applies
where the lines have moved, or conflicts, and where. A patch that conflicts is left out.
Later patches may then conflict because it is missing. DIR is not changed. The result, of
the files that the series touches, is in build/rebase, branch "new". The exit status is 1
if any patch conflicts. To resolve: make tree KDIR=DIR, which leaves build/linux in a git
rebase. Finish it, and then make refresh.
EOF
}
kdir=
while getopts d:h opt; do
	case $opt in
	d) kdir=$OPTARG ;;
	h) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
done
kdir rebase
unpatched
[ -d "$TREE/.git" ] || "$TOP/scripts/tree.sh"
exclusive tree

work=$BUILD/rebase
rm -rf "$work"
mkdir -p "$work"
cd "$work"
git init -q -b base
git config user.name "Per-VMA locks for 6.1"
git config user.email "$(git -C "$TREE" log -1 --format=%ae)"
mapfile -t files < <(git -C "$TREE" diff --name-only --diff-filter=MDT --no-renames base HEAD)
git -C "$TREE" archive base -- "${files[@]}" | tar x
git add -A
git commit -q -m "Linux $(tree_version "$TREE")"
git checkout -q -b series
git -C "$TREE" format-patch -q -k --no-signature --stdout base..HEAD | git am -q -k

git checkout -q -b new base
for f in "${files[@]}"; do
	if [ -f "$kdir/$f" ]; then cp "$kdir/$f" "$f"; else rm "$f"; fi
done
git add -A
changed=$(git diff --cached --name-only | wc -l)
git commit -q --allow-empty -m "Linux $version"
say "Linux $version: $changed of the ${#files[@]} files that the series changes are not as in $(tree_version "$TREE")"

n=0 bad=0
for c in $(git rev-list --reverse base..series); do
	n=$((n + 1))
	subject=$(git log -1 --format=%s "$c")
	if git cherry-pick --allow-empty "$c" > pick.log 2>&1; then
		# The same hunks, at other lines?
		if [ "$(git diff "$c^" "$c" | grep '^@@')" = "$(git diff HEAD^ HEAD | grep '^@@')" ]; then
			echo "ok        $n $subject"
		else
			echo "moved     $n $subject"
		fi
		continue
	fi
	bad=$((bad + 1))
	echo "conflicts $n $subject"
	git status --porcelain | sed -n 's/^\(DU\|UD\|UU\|AA\) //p' | while read -r f; do
		if [ ! -f "$f" ] || ! grep -n '^<<<<<<< ' "$f" > pick.lines; then
			echo "             $f: is not there"
			continue
		fi
		sed "s|^\([0-9]*\):.*|             $f:\1|" pick.lines
	done
	git reset -q --hard
	git clean -q -f
done
rm -f pick.log pick.lines
say "$n patches, $bad conflict"
[ $bad -eq 0 ]
