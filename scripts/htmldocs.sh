#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Make HTML of the series' documents, with the kernel's own "make htmldocs".
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<EOF
usage: scripts/htmldocs.sh [-h]     (make htmldocs)

Writes the documents of the kernel's Documentation/mm and Documentation/admin-guide/mm, with
those of the series, to build/htmldocs. Installs Sphinx and Graphviz if they are missing.
Prints what Sphinx reports about the series' documents and code, and exits with 1 then.
EOF
}
[ "${1:-}" != -h ] || { usage; exit 0; }
[ $# -eq 0 ] || { usage >&2; exit 2; }

"$TOP/scripts/deps.sh" python3-sphinx python3-sphinx-rtd-theme graphviz
"$TOP/scripts/tree.sh"
out=$BUILD/htmldocs page=$BUILD/htmldocs/Documentation/output/mm/per-vma-locks.html
log=$BUILD/htmldocs.log
mkdir -p "$out"
rm -f "$page"
# Only what is changed is written again, and only then Sphinx reports something about it.
rm -rf "$out/Documentation/output"
make -s -C "$TREE" O="$out" htmldocs SPHINXDIRS="mm admin-guide/mm" > "$log" 2>&1 && [ -f "$page" ] ||
	{ tail -20 "$log" >&2; die "no documents were made, see $log"; }
if grep -E '(per-vma|vma_)[^ ]*:.*(WARNING|ERROR|warning|error)' "$log"; then
	exit 1
fi
say "$page"
