#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Export the series as mails, with a cover letter, to build/series.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<EOF
usage: scripts/export.sh [-h]     (make series)

Writes build/series/vN-NNNN-*.patch, one mail per patch, and the list "series". The
directory is a quilt patch directory, and 'git am build/series/*.patch' takes the mails,
too. The cover letter is vN-cover-letter.txt. vN.mbox is the whole thread, for b4. N is in
VERSION. The same series makes the same files. Other files in build/series stay there.
EOF
}
[ "${1:-}" != -h ] || { usage; exit 0; }
[ $# -eq 0 ] || { usage >&2; exit 2; }
[ -d "$TREE/.git" ] || "$TOP/scripts/tree.sh"
exclusive tree
doing=$(under_way "$TREE")
[ -z "$doing" ] || die "build/linux is in the middle of a git $doing"
file=$(git -C "$TREE" status --porcelain -uno | sed -n "1s/^...//p")
[ -z "$file" ] || die "build/linux has changes that are not committed ($file)"

v=v$(cat "$TOP/VERSION") out=$BUILD/series
work=$(mktemp -d "$BUILD/export.XXXXXX")
trap 'rm -rf "$work"' EXIT
head=$(git -C "$TREE" rev-parse HEAD) base=$(git -C "$TREE" rev-parse 'base^{commit}')
git clone -q --bare --shared "$TREE" "$work/git"
printf '*.[ch] diff=cpp\n' > "$work/git/info/attributes"
mkdir "$work/mails"
git -C "$work/git" format-patch -q -o "$work/mails" --reroll-count="${v#v}" --subject-prefix='PATCH 6.1' \
	--numbered --no-cover-letter --zero-commit --no-signature --no-attach --no-thread --no-ext-diff --no-renames \
	"$base..$head"
cd "$work/mails"
ls -- *.patch > "$work/series"
total=$(wc -l < "$work/series")

# Make one thread of the mails. A message id is made from the contents of the thread.
id=$({ cat "$TOP/Documentation/cover-letter.txt"; cat -- *.patch; } | sha1sum | cut -c1-12)
message_id() { echo "<$v-$1-$id@per-vma-locks>"; }
# thread NUMBER [PARENT]: adds to the header of a mail. b4 needs each header
# field on one line.
thread()
{
	awk -v id="$(message_id "$1")" -v parent="${2:-}" '
		done { print; next }
		/^[ \t]/ { field = field $0; next }
		field != "" { print field }
		{ field = $0 }
		/^$/ {
			print "Message-ID: " id
			if (parent != "") print "In-Reply-To: " parent "\nReferences: " parent
			print
			done = 1
		}'
}
n=0
while read -r f; do
	n=$((n + 1))
	thread $n "$(message_id 0)" < "$f" > "$work/mail"
	mv "$work/mail" "$f"
done < "$work/series"
{
	head -1 "$(head -1 "$work/series")"
	git -C "$work/git" show -s --format='From: %an <%ae>%nDate: %aD' "$head"
	printf 'Subject: [PATCH 6.1 %s %0*d/%d] %s\n' "$v" ${#total} 0 "$total" \
		"$(head -1 "$TOP/Documentation/cover-letter.txt")"
	tail -n +2 "$TOP/Documentation/cover-letter.txt"
	echo
	git -C "$work/git" diff --stat=76 --summary --no-renames "$base" "$head"
	printf '\nbase-commit: %s\n(%s of Debian, as "make tree" commits it)\n\n' "$base" \
		"linux-source-6.1 $(base_version linux-source-6.1)"
} | thread 0 > "$v-cover-letter.txt"
cat "$v-cover-letter.txt" -- *.patch > "$v.mbox"
cp "$work/series" series

# Remove what the last run made, and nothing else.
mkdir -p "$out"
if [ -f "$out/.made" ]; then
	while read -r f; do rm -f "$out/$f"; done < "$out/.made"
fi
ls > "$out/.made"
mv -- * "$out/"
say "build/series: $total patches, $v, a cover letter and $v.mbox"
