#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Apply the series to somebody's own tree, all of it or nothing.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<EOF
usage: KDIR=DIR scripts/apply.sh [-n] [-h]     (make apply KDIR=DIR [DRY=1])

Applies the series to the kernel source in DIR, a git checkout or a plain tree.
Nothing is committed. Nothing is changed if any patch does not apply; the
patch, the file and the line are named.

  -n  only say what would be done
EOF
}

dry=${DRY:-}
while getopts nh opt; do
	case $opt in
	n) dry=1 ;;
	h) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
done
kdir apply
need git git
if [ -e "$KDIR/.git" ] && ! git -C "$KDIR" diff --quiet HEAD; then
	die "$KDIR has changes that are not committed: commit or stash them"
fi

# On a copy of the files that the series touches, outside any repository.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/tree"
changed=() added=()
while IFS=$'\t' read -r patch files; do
	while read -r f; do
		[ -f "$KDIR/$f" ] || die "$patch: $f: not in $KDIR"
		mkdir -p "$work/tree/$(dirname "$f")"
		[ -f "$work/tree/$f" ] || { cp -p "$KDIR/$f" "$work/tree/$f"; changed+=("$f"); }
	done < <(sed -n 's|^diff --git a/\(.*\) b/.*|\1|p' "$TOP/$patch")
	for f in $files; do
		[ ! -e "$KDIR/$f" ] || die "$patch: $f: exists in $KDIR already"
		mkdir -p "$work/tree/$(dirname "$f")"
		cp -p "$TOP/$f" "$work/tree/$f"
		added+=("$f")
	done
	awk '/^diff --git /{ on = 1 } on' "$TOP/$patch" > "$work/patch"
	[ -s "$work/patch" ] || continue
	# git apply knows no fuzz: context has to match, offsets are told.
	if ! (cd "$work/tree" && GIT_DIR=$work/none git apply -v "$work/patch") > "$work/log" 2>&1; then
		at=$(sed -n 's/^error: patch failed: //p' "$work/log" | head -1)
		die "$patch: does not apply at ${at:-$(sed -n 's/^error: //p' "$work/log" | head -1)}; $KDIR is unchanged"
	fi
	sed -n "s|^Hunk #|   $patch: hunk #|p" "$work/log" | grep offset || true
done < <(series_entries)

say "Linux $version: ${#changed[@]} files changed, ${#added[@]} added"
if [ -n "$dry" ]; then
	printf 'M %s\n' "${changed[@]}"
	printf 'A %s\n' "${added[@]}"
	say "nothing done (DRY)"
	exit 0
fi

# Put in place at the end; should that fail half-way, everything goes back.
mkdir "$work/old"
undo()
{
	for f in "${added[@]}"; do rm -f "$KDIR/$f"; done
	cp -rp "$work/old/." "$KDIR/"
	die "cannot write to $KDIR; it is as it was"
}
for f in "${changed[@]}"; do
	mkdir -p "$work/old/$(dirname "$f")"
	cp -p "$KDIR/$f" "$work/old/$f"
done
cp -r "$work/tree/." "$KDIR/" || undo
say "applied to $KDIR; CONFIG_PER_VMA_LOCK is on by default on x86-64 and arm64"
