#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Write the commits of build/linux back as whole files, patches and series.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<EOF
usage: scripts/refresh.sh [-f] [-h]     (make refresh [FORCE=1])

Writes each commit of build/linux after "base" back to this repository: files
that it adds as whole files at their path, its changes to other files as a
patch named after the commit's subject, and the order in series. If a later
commit changes a file that an earlier commit adds, the file in this repository is
as it is at the end, and the later patch has the change.

  -f  even if there are fewer commits than patches in series
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
[ $# -lt $OPTIND ] || { usage >&2; exit 2; }

git -C "$TREE" rev-parse -q --verify HEAD > /dev/null 2>&1 || die "no build/linux: run 'make tree' first"
exclusive tree
[ -f "$BUILD/.tree-source" ] && [ ! -e "$BUILD/.tree-busy" ] && [ ! -e "$BUILD/.base-busy" ] ||
	die "build/linux was not laid out to its end: run 'make tree' first"
cd "$TREE"
doing=$(under_way .)
[ -z "$doing" ] || die "build/linux is in the middle of a git $doing: finish or abort it first"
file=$(git status --porcelain -uno | sed -n "1s/^...//p")
[ -z "$file" ] || die "build/linux has changes that are not committed ($file): commit them first"
file=$(uncommitted .)
[ -z "$file" ] || say "note: $file is in no commit, and so not in the series"
git merge-base --is-ancestor base HEAD || die "build/linux is not on top of its base: git checkout main"
merge=$(git rev-list --merges -1 base..HEAD)
[ -z "$merge" ] || die "$(git log -1 --format='%h is a merge' "$merge"): a series has none; rebase instead"
[ "$(git rev-list --count base..HEAD)" -gt 0 ] ||
	die "build/linux has no commit on its base: git checkout main"
laid_out=$(cat "$BUILD/.tree-head")
if [ -z "$force" ] && [ "$(git rev-parse HEAD)" != "$laid_out" ] && git merge-base --is-ancestor HEAD "$laid_out"; then
	die "build/linux is at an older commit, $(git log -1 --format='"%s"'): git checkout main, or FORCE=1 to drop the $(git rev-list --count HEAD.."$laid_out") patches after it"
fi
# Edits made here since the tree was laid out would be lost.
if [ ! -e "$BUILD/.refresh-busy" ] &&
   [ "$(cat "$BUILD/.tree-source")" != "$(cat "$BUILD/.base-source") $(series_id)" ]; then
	die "files of the series have changed here since build/linux was made: run 'make tree' first"
fi

# slug DIR SUBJECT: makes a name of a subject, with the subsystem unless DIR has it already
slug()
{
	local sub=${2%: *} rest=${2##*: }
	[ "$sub" != "$2" ] || sub=
	sub=${sub//: //}
	case /$1 in */"$sub") sub= ;; esac
	sub=${sub#"$1/"}
	name=" $sub $rest"
	name=${name,,}
	name=${name//[!a-z0-9]/-}
	while [[ $name == *--* ]]; do name=${name//--/-}; done
	name=${name#-}
	name=${name%-}
}

out=$(mktemp -d "$BUILD/refresh.XXXXXX")
trap 'rm -rf "$out"' EXIT
# The subjects of the patches here, and the directories of the subjects
declare -A adder seen old subject_of
while IFS=$'\t' read -r patch subject; do
	subject_of[$patch]=$subject old[$subject]=.
	[ "${patch%/*}" = "$patch" ] || old[$subject]=${patch%/*}
done < <(cd "$TOP" && series_entries | cut -f1 |
	while IFS= read -r f; do [ ! -f "$f" ] || echo "$f"; done | xargs -r awk '
	FNR == 1 { on = 1 }
	on && sub(/^Subject: (\[PATCH\] )?/, "") { print FILENAME "\t" $0; on = 0 }
	/^$/ { on = 0 }')
# Attributes and settings of build/linux have no effect on what is written.
head=$(git rev-parse HEAD) base=$(git rev-parse 'base^{commit}')
git clone -q --bare --shared "$TREE" "$out/git"
# As the kernel's .gitattributes has it
printf '*.[ch] diff=cpp\n' > "$out/git/info/attributes"
export GIT_DIR=$out/git

# Collect first and write at the end: an error leaves everything as it was.
# Few processes for each commit: there are many commits.
: > "$out/entries"
mkdir "$out/mail"
# names: "c COMMIT SUBJECT", and then "STATUS FILE" for each file
git log --reverse --no-renames --no-show-signature --name-status --format='c%x09%H %s' \
	"$base..$head" > "$out/names"
# mail/COMMIT: the message, and the diffs of the files that the commit does not add
git log --reverse --no-renames --no-ext-diff --no-textconv --no-show-signature -p \
	--format='%x01%H%nFrom: %an <%ae>%nDate: %aD%nSubject: [PATCH] %s%n%n%b%x02' \
	"$base..$head" | awk -v dir="$out/mail/" '
	/^\001/ { if (f) close(f); f = dir substr($0, 2); message = 1; empty = diffs = 0; next }
	message {
		last = sub(/\002.*/, "")
		sub(/[ \t]+$/, "")
		if ($0 == "") { empty = 1 } else { if (empty) print "" > f; empty = 0; print > f }
		message = !last
		next
	}
	/^diff --git / { head = $0; next }
	head != "" {
		if (/^new file mode /) { on = 0 } else {
			if (!diffs++) print "---" > f
			print head > f
			on = 1
		}
		head = ""
	}
	on && $0 != "" && !/^index / { print > f }'
# finish: makes the entry of $commit
finish()
{
	local subject=${commit#* } c=${commit%% *} f main dir name patch
	for f in "${gone[@]}"; do
		[ -z "${adder[$f]:-}" ] ||
			die "'$subject' removes $f, which '${adder[$f]}' adds: amend that one"
	done
	# Next to the existing file that it changes most, or to its largest new file
	dir=${old[$subject]:-}
	if [ -z "$dir" ]; then
		[ ${#mods[@]} -gt 0 ] || mods=("${news[@]}")
		main=$(git diff-tree -r --no-renames --numstat --no-commit-id "$c" -- "${mods[@]}" |
			sort -rn | sed -n '1s/.*\t//p')
		dir=$(dirname "${main:-.}")
	fi
	slug "$dir" "$subject"
	patch=$name.patch
	[ "$dir" = . ] || patch=$dir/$name.patch
	[ -z "${seen[$patch]:-}" ] || die "two commits would be $patch: $subject"
	seen[$patch]=1
	[ -d "$out/tree/$dir" ] || mkdir -p "$out/tree/$dir"
	mv "$out/mail/$c" "$out/tree/$patch"
	for f in "${news[@]}"; do adder[$f]=$subject; done
	printf '%s\t%s\t%s\n' "$patch" "${news[*]}" "$subject" >> "$out/entries"
}
commit=
while IFS=$'\t' read -r status file; do
	case $status in
	c)
		[ -z "$commit" ] || finish
		commit=$file news=() mods=() gone=() ;;
	A) news+=("$file") ;;
	D) mods+=("$file") gone+=("$file") ;;
	?*) mods+=("$file") ;;
	esac
done < "$out/names"
finish
[ ${#adder[@]} -eq 0 ] || git archive "$head" -- "${!adder[@]}" | tar x -C "$out/tree"
unset GIT_DIR

# Are there fewer patches than before?
before=$(series_entries | wc -l) after=$(wc -l < "$out/entries")
if [ "$after" -lt "$before" ] && [ -z "$force" ] && [ ! -e "$BUILD/.refresh-busy" ]; then
	series_entries | cut -f1 | while read -r patch; do
		grep -qxF "${subject_of[$patch]:-}" <<< "$(cut -f3 "$out/entries")" ||
			echo "   not in build/linux: $patch"
	done
	die "$before patches in series, and $after commits in build/linux; if that is meant: make refresh FORCE=1"
fi

# The comments of series are headings: each stays above the first entry of its part.
{
	while IFS=$'\t' read -r patch _; do
		printf 'was\t%s\t%s\n' "$patch" "${subject_of[$patch]:-}"
	done < <(series_entries)
	sed 's/^/now\t/' "$out/entries"
} | awk -F'\t' -v series="$TOP/series" '
	BEGIN {
		while ((getline line < series) > 0) {
			if (line ~ /^#\+ /) continue
			if (line ~ /^#/ || line ~ /^[ \t]*$/) { text = text line "\n"; continue }
			if (text != "") { part++; heading[part] = text; text = "" }
			split(line, w, /[ \t]/); part_of_patch[w[1]] = part
		}
		part = 0
	}
	$1 == "was" { part_of[$3] = part_of_patch[$2]; next }
	{
		if ($4 in part_of) part = part_of[$4]
		if (!(part in printed)) { printf "%s", heading[part]; printed[part] = 1 }
		print $2
		k = split($3, f, " ")
		for (i = 1; i <= k; i++) print "#+ " f[i]
	}
	END { printf "%s", text }
' > "$out/series"

# Each file is written whole or not at all. If this run ends half-way, the next run goes on.
put()
{
	! cmp -s "$out/$1" "$TOP/$2" || return 0
	say "changed: $2"
	mkdir -p "$TOP/$(dirname "$2")"
	cp -p "$out/$1" "$TOP/$2.new-$$"
	mv -f "$TOP/$2.new-$$" "$TOP/$2"
}
series_entries | tr '\t' '\n' | tr ' ' '\n' | grep . | sort > "$out/before" || true
cut -f1,2 "$out/entries" | tr '\t' '\n' | tr ' ' '\n' | grep . | sort > "$out/after"
comm -23 "$out/before" "$out/after" >> "$BUILD/.refresh-busy"
while read -r f; do put "tree/$f" "$f"; done < "$out/after"
put series series
sort -u "$BUILD/.refresh-busy" | while read -r f; do
	[ ! -e "$TOP/$f" ] || grep -qxF "$f" "$out/after" || { say "gone: $f"; rm -f "$TOP/$f"; }
done
echo "$head" > "$BUILD/.tree-head"
echo "$(cat "$BUILD/.base-source") $(series_id)" > "$BUILD/.tree-source"
rm -f "$BUILD/.refresh-busy"
say "$after patches in series"
