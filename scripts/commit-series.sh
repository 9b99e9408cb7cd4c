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
mkdir "$work/tree" "$work/early" "$work/commit" "$work/diff"

# There are many patches, so this starts few processes for each.
n=0 patches=() added_by=()
declare -A adder early
while IFS=$'\t' read -r patch files; do
	[ -f "$TOP/$patch" ] || die "series: no such patch: $patch"
	for f in $files; do
		[ -f "$TOP/$f" ] || die "series: no such file: $f"
		adder[$f]=$patch
	done
	n=$((n + 1))
	patches[n]=$patch added_by[n]=$files
done < <(series_entries)

# commit/N: the head of the commit for git fast-import
(cd "$TOP" && LC_ALL=C awk -v dir="$work/commit" -v ref="$2" '
	function end() {
		if (!n) return
		if (from !~ /^.* <.*>$/ || subject == "") {
			print "commit-series.sh: " name ": no From: or no Subject:" > "/dev/stderr"
			failed = 1
		}
		f = dir "/" n
		printf "commit %s\nauthor %s %s\ncommitter %s %s\ndata %d\n%s", ref, from, date,
			from, date, length(subject "\n" body), subject "\n" body > f
		close(f)
	}
	FNR == 1 { end(); n++; part = "head"; from = date = subject = body = gap = ""
		   name = FILENAME }
	part == "head" && /^$/ { part = "body"; gap = "\n"; next }
	part == "head" && /^From: / { from = substr($0, 7) }
	part == "head" && /^Date: / { date = substr($0, 7) }
	part == "head" && /^Subject: / { subject = $0; sub(/^Subject: (\[PATCH\] )?/, "", subject) }
	/^---$/ { part = "none" }
	part == "body" {
		sub(/[ \t]+$/, "")
		if ($0 == "") { gap = "\n" } else { body = body gap $0 "\n"; gap = "" }
	}
	END { end(); exit failed }' "${patches[@]}")
printf '%s\n' "${patches[@]}" | split_patches "$work/diff" > "$work/list"
changes=()
while read -r n f _; do changes[n]="${changes[n]:-} $f"; done < "$work/list"

# This repository has whole files as they are at the end of the series. Take back what later
# patches change in them.
for ((n = ${#patches[@]}; n > 0; n--)); do
	include=()
	for f in ${changes[n]:-}; do
		[ -n "${adder[$f]:-}" ] || continue
		include+=("--include=$f")
		[ -z "${early[$f]:-}" ] || continue
		early[$f]=1
		[ "$f" = "${f%/*}" ] || mkdir -p "$work/early/${f%/*}"
		cp -p "$TOP/$f" "$work/early/$f"
	done
	[ ${#include[@]} -gt 0 ] || continue
	(cd "$work/early" && GIT_DIR=$work/none git apply -R "${include[@]}" "$work/diff/$n") ||
		die "${patches[n]}: its change of ${include[*]#--include=} is not in what stands here"
done

# What the series changes, as it is in REV. Patches are applied to this copy: git writes an
# index of the whole kernel anew for each.
mapfile -t changed < <(cut -d' ' -f2 "$work/list" | sort -u)
mapfile -t have < <(git ls-tree -r --name-only "$1" -- "${changed[@]}" "${!adder[@]}")
for f in "${have[@]}"; do
	[ -z "${adder[$f]:-}" ] || die "${adder[$f]}: $f: already exists"
done
[ ${#have[@]} -eq 0 ] || git archive "$1" -- "${have[@]}" | tar x -C "$work/tree"

for ((n = 1; n <= ${#patches[@]}; n++)); do
	for f in ${added_by[n]}; do
		at=$TOP
		[ -z "${early[$f]:-}" ] || at=$work/early
		[ "$f" = "${f%/*}" ] || mkdir -p "$work/tree/${f%/*}"
		cp "$at/$f" "$work/tree/$f"
	done
	# git apply has no fuzz: the context must match. Offsets are reported.
	if [ -n "${changes[n]:-}" ]; then
		if ! (cd "$work/tree" && GIT_DIR=$work/none git apply -v "$work/diff/$n") > "$work/log" 2>&1; then
			grep -E '^error:' "$work/log" | sed "s|^error: |commit-series.sh: ${patches[n]}: |" >&2
			exit 1
		fi
		[[ $(< "$work/log") != *offset* ]] ||
			sed -n "/offset/s|^Hunk #|   ${patches[n]}: hunk #|p" "$work/log" >&2
	fi
	cat "$work/commit/$n"
	[ $n -gt 1 ] || echo "from $(git rev-parse "$1^{commit}")"
	there=()
	for f in ${added_by[n]} ${changes[n]:-}; do
		if [ -e "$work/tree/$f" ]; then there+=("$f"); else echo "D $f"; fi
	done
	[ ${#there[@]} -gt 0 ] || continue
	(cd "$work/tree" && stat -c '%s %a %n' "${there[@]}") | while read -r size mode f; do
		case $mode in 7*) mode=100755 ;; *) mode=100644 ;; esac
		printf 'M %s inline %s\ndata %s\n' $mode "$f" "$size"
		cat "$work/tree/$f"
		echo
	done
done > "$work/stream"
git fast-import --quiet --force --date-format=rfc2822 < "$work/stream"
say "${#patches[@]} patches applied"
