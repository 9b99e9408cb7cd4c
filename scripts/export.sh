#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Export the series as mails, with a cover letter, to build/series.
. "$(dirname "$0")/lib.sh"
[ "${1:-}" != -h ] || {
	echo "usage: scripts/export.sh [-h]     (make series)"
	echo "Writes build/series/NNNN-*.patch (git am takes them; the directory is a quilt"
	echo "patch directory too) and 0000-cover-letter.patch."
	exit 0
}
[ -d "$TREE/.git" ] || "$TOP/scripts/tree.sh"
git -C "$TREE" diff --quiet HEAD || die "build/linux has changes that are not committed"
rm -rf "$BUILD/series"
git -C "$TREE" format-patch -q -o "$BUILD/series" --cover-letter --no-signature \
	base..HEAD
awk -v letter="$TOP/Documentation/cover-letter.txt" '
	/\*\*\* SUBJECT HERE \*\*\*/ {
		getline s < letter; sub(/\*\*\* SUBJECT HERE \*\*\*/, s)
	}
	/\*\*\* BLURB HERE \*\*\*/ {
		while ((getline line < letter) > 0) print line
		next
	}
	{ print }
' "$BUILD/series/0000-cover-letter.patch" > "$BUILD/series/cover"
mv "$BUILD/series/cover" "$BUILD/series/0000-cover-letter.patch"
(cd "$BUILD/series" && ls 0*.patch | grep -v 0000- > series)
say "build/series: $(wc -l < "$BUILD/series/series") patches and a cover letter"
