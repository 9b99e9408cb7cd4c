#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Write the commits of build/linux back as whole files, patches and series.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<EOF
usage: scripts/refresh.sh [-h]     (make refresh)

Writes each commit of build/linux after "base" back to this repository: files
that it adds as whole files at their path, its changes to other files as a
patch named after the commit's subject, and the order in series. A file that
one commit adds, no later one may change: amend the commit that adds it.
EOF
}
[ "${1:-}" != -h ] || { usage; exit 0; }
[ $# -eq 0 ] || { usage >&2; exit 2; }

[ -d "$TREE/.git" ] || die "no build/linux: run 'make tree' first"
cd "$TREE"
git diff --quiet HEAD || die "build/linux has changes that are not committed"
[ ! -d .git/rebase-merge ] || die "build/linux is in the middle of a rebase"
# What has been edited here since the tree was laid out would be lost.
if [ -f "$BUILD/.tree-source" ] &&
   [ "$(cat "$BUILD/.tree-source")" != "$(cat "$BUILD/.base-source") $(series_id)" ]; then
	die "files of the series have changed here since build/linux was made: run 'make tree' first"
fi

slug()
{
	printf '%s' "$1" | sed 's/^\([^ ]*: *\)*//' | tr 'A-Z' 'a-z' |
		tr -cs 'a-z0-9' '-' | sed 's/^-//; s/-$//'
}

out=$(mktemp -d "$BUILD/refresh.XXXXXX")
trap 'rm -rf "$out"' EXIT
declare -A added seen old
while IFS=$'\t' read -r patch _; do
	old[$(basename "$patch" .patch)]=$(dirname "$patch")
done < <(series_entries)

# Collected first, written at the end: an error leaves everything as it was.
: > "$out/entries"
for c in $(git rev-list --reverse base..HEAD); do
	subject=$(git show -s --format=%s "$c")
	name=$(slug "$subject")
	[ -z "${seen[$name]:-}" ] || die "two commits would be $name.patch: $subject"
	seen[$name]=1
	news=$(git diff-tree -r --no-renames --diff-filter=A --name-only --no-commit-id "$c")
	mods=$(git diff-tree -r --no-renames --diff-filter=MDT --name-only --no-commit-id "$c")
	for f in $mods; do
		[ -z "${added[$f]:-}" ] ||
			die "'$subject' changes $f, which '${added[$f]}' adds: amend that one"
	done
	# Beside the existing file that it changes most, or its first new one.
	dir=${old[$name]:-}
	if [ -z "$dir" ]; then
		# shellcheck disable=SC2086
		main=$(git diff-tree -r --no-renames --numstat --no-commit-id "$c" -- ${mods:-$news} |
			sort -rn | head -1 | cut -f3)
		dir=$(dirname "$main")
	fi
	patch=$name.patch
	[ "$dir" = . ] || patch=$dir/$name.patch
	mkdir -p "$out/tree/$dir"
	{
		git show -s --format='From: %an <%ae>%nDate: %aD%nSubject: [PATCH] %s%n%n%b' "$c" |
			git stripspace
		if [ -n "$mods" ]; then
			echo ---
			# shellcheck disable=SC2086
			git diff-tree -p --no-renames --no-commit-id "$c" -- $mods | sed '/^index /d'
		fi
	} > "$out/tree/$patch"
	for f in $news; do
		added[$f]=$subject
		mkdir -p "$out/tree/$(dirname "$f")"
		git show "$c:$f" > "$out/tree/$f"
		case $(git ls-tree "$c" -- "$f") in 100755*) chmod +x "$out/tree/$f" ;; esac
	done
	printf '%s\t%s\n' "$patch" "$(echo $news)" >> "$out/entries"
done

# The comments of series stay above the entries they stood above.
awk -F'\t' -v series="$TOP/series" '
	BEGIN {
		while ((getline line < series) > 0) {
			if (line ~ /^#\+ /) continue
			if (line ~ /^#/ || line ~ /^[ \t]*$/) { text = text line "\n"; continue }
			n = split(line, w, /[ \t]/); above[w[1]] = text; text = ""
		}
	}
	{
		printf "%s", above[$1]
		print $1
		k = split($2, f, " ")
		for (i = 1; i <= k; i++) print "#+ " f[i]
	}
' "$out/entries" > "$out/series"

# What the old series had and the new one lacks goes.
series_entries | tr '\t' '\n' | tr ' ' '\n' | grep . | sort > "$out/before" || true
tr '\t' '\n' < "$out/entries" | tr ' ' '\n' | grep . | sort > "$out/after" || true
comm -23 "$out/before" "$out/after" | while read -r f; do
	say "gone: $f"
	rm -f "$TOP/$f"
done
while read -r f; do
	cmp -s "$out/tree/$f" "$TOP/$f" && continue
	say "changed: $f"
	mkdir -p "$TOP/$(dirname "$f")"
	cp "$out/tree/$f" "$TOP/$f"
done < "$out/after"
if ! cmp -s "$out/series" "$TOP/series"; then
	say "changed: series"
	cp "$out/series" "$TOP/series"
fi

git rev-parse HEAD > "$BUILD/.tree-head"
if [ -f "$BUILD/.tree-source" ]; then
	echo "$(cat "$BUILD/.base-source") $(series_id)" > "$BUILD/.tree-source"
fi
say "$(wc -l < "$out/entries") patches in series"
