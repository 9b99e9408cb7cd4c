#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Make a release: the repository, the mails, and checksums.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<EOF
usage: scripts/release.sh [-h]     (make release)

Writes to build/release, from the commit that is checked out: per-vma-locks-vN.tar.xz
(the repository), vN.mbox (the series as a thread), and SHA256SUMS. N is in VERSION.
The same commit makes the same files.
EOF
}
[ "${1:-}" != -h ] || { usage; exit 0; }
[ $# -eq 0 ] || { usage >&2; exit 2; }
file=$(uncommitted "$TOP")
[ -z "$file" ] || die "$file is not committed: a release is of a commit"
v=v$(cat "$TOP/VERSION")
grep -q "^## $v\b" "$TOP/CHANGES.md" || die "CHANGES.md does not say what is new in $v"
"$TOP/scripts/tree.sh"
"$TOP/scripts/export.sh"
out=$BUILD/release
rm -rf "$out"
mkdir -p "$out"
cd "$out"
git -C "$TOP" archive --format=tar --prefix="per-vma-locks-$v/" HEAD | xz -9 -T1 > "per-vma-locks-$v.tar.xz"
cp "$BUILD/series/$v.mbox" .
sha256sum "per-vma-locks-$v.tar.xz" "$v.mbox" > SHA256SUMS
say "build/release: $v of $(git -C "$TOP" log -1 --format='%h, %s')"
cat SHA256SUMS
