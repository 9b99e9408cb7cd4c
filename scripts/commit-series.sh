#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: commit-series.sh REV REF
# Make the commits of the series on REV in build/linux, and let REF name the last of them.
# The files that are checked out stay as they are.
. "$(dirname "$0")/lib.sh"
[ "${1:-}" != -h ] || { sed -n 's/^# //p' "$0" | sed -n 2,4p; exit 0; }

cd "$TREE"
work=$(mktemp -d "$BUILD/series.XXXXXX")
trap 'rm -rf "$work"' EXIT
early_files "$work/early"
export GIT_INDEX_FILE=$work/index
git read-tree "$1"
parent=$(git rev-parse "$1^{commit}")
n=0
while IFS=$'\t' read -r patch files; do
	n=$((n + 1))
	[ -f "$TOP/$patch" ] || die "series: no such patch: $patch"
	for f in $files; do
		[ -f "$TOP/$f" ] || die "series: no such file: $f"
	done
	# shellcheck disable=SC2086
	full_diff "$work/early" "$patch" $files > "$work/patch"
	# git apply has no fuzz: the context must match. Offsets are reported.
	: > "$work/log"
	if [ -s "$work/patch" ] && ! git apply --cached -v "$work/patch" > "$work/log" 2>&1; then
		grep -E '^error:' "$work/log" | sed "s|^error: |commit-series.sh: $patch: |" >&2
		exit 1
	fi
	sed -n "s|^Hunk #|   $patch: hunk #|p" "$work/log" | grep offset || true

	name=$(sed -n '1,/^$/s/^From: \(.*\) <.*/\1/p' "$TOP/$patch")
	mail=$(sed -n '1,/^$/s/^From: .*<\(.*\)>/\1/p' "$TOP/$patch")
	date=$(sed -n '1,/^$/s/^Date: //p' "$TOP/$patch")
	subject=$(sed -n '1,/^$/s/^Subject: \(\[PATCH\] \)\?//p' "$TOP/$patch")
	[ -n "$name" ] && [ -n "$subject" ] || die "$patch: no From: or no Subject:"
	parent=$({ echo "$subject"; echo
		  sed -e '1,/^$/d' -e '/^---$/,$d' "$TOP/$patch"; } |
		git stripspace |
		GIT_AUTHOR_NAME=$name GIT_AUTHOR_EMAIL=$mail GIT_AUTHOR_DATE=$date \
		GIT_COMMITTER_NAME=$name GIT_COMMITTER_EMAIL=$mail GIT_COMMITTER_DATE=$date \
			git commit-tree "$(git write-tree)" -p "$parent")
done < <(series_entries)
unset GIT_INDEX_FILE
git update-ref "$2" "$parent"
say "$n patches applied"
