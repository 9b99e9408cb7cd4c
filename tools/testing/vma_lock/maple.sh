#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Runs mas_preallocate_store() of a kernel tree in user space, whole and with parts left out.
set -euo pipefail
cd "$(dirname "$0")"

usage()
{
	cat <<END
usage: maple.sh [-h] OUTPUT/ TREE     (make check-maple)

Builds maple_store.c with lib/maple_tree.c of the kernel tree TREE, as that is and
with mutants, in OUTPUT/maple/, and runs each: the mutants have to fail. TAP. Needs
liburcu (Debian: liburcu-dev).
END
}
[ "${1:-}" != -h ] || { usage; exit 0; }
[ $# -eq 2 ] || { usage >&2; exit 2; }
out=$1/maple tree=$2
[ -f "$tree/lib/maple_tree.c" ] || { echo "maple.sh: $tree: no kernel tree" >&2; exit 2; }
mkdir -p "$out/generated"
echo '#define XA_CHUNK_SHIFT 3' > "$out/generated/map-shift.h"
echo '#define CONFIG_64BIT 1' > "$out/generated/bit-length.h"

# build PROGRAM MAPLE_TREE
build()
{
	local shims=$tree/tools/testing/radix-tree

	gcc -O1 -g -w -fsanitize=address,undefined -D_LGPL_SOURCE \
		-Dfallthrough='__attribute__((__fallthrough__))' -DMAPLE_TREE="\"$2\"" \
		-include "$out/generated/bit-length.h" -I"$out" -I"$out/generated" -I"$shims" -I"$tree/tools/include" \
		-o "$1" maple_store.c "$shims/linux.c" "$tree/tools/lib/slab.c" -lpthread -lurcu
}

mutants=(
	'every store fits: s/return mte_is_root(mas->node) || end > mt_min_slots\[wr_mas->type\];/return true;/'
	'a full leaf fits: s/if (mas_wr_node_size(wr_mas) >= mt_slots\[wr_mas->type\])/if (0)/'
	'a clear is not extended: s/\tif (!wr_mas->entry)\n\t\tmas_wr_extend_null(wr_mas);\n\n\tif (mas_wr_node_size/\tif (mas_wr_node_size/'
	'a leaf may lose two more: s/|| end > mt_min_slots/|| end + 2 > mt_min_slots/'
	'the range is kept extended: s/\tmas->index = index;/\t(void)index;/'
)
ln -sf "$(realpath "$tree/lib/maple_tree.c")" "$out/tree.c"
build "$out/store" "$out/tree.c"
status=0
"$out/store" $((12 + ${#mutants[@]})) || status=1
n=12
for mutant in "${mutants[@]}"; do
	n=$((n + 1))
	sed -z "${mutant#*: }" "$tree/lib/maple_tree.c" > "$out/mutant.c"
	! cmp -s "$tree/lib/maple_tree.c" "$out/mutant.c" || { echo "maple.sh: ${mutant%%:*}: changes nothing" >&2; exit 2; }
	build "$out/mutant" "$out/mutant.c"
	if ("$out/mutant" || false) > "$out/log" 2>&1; then
		echo "not ok $n mutant: ${mutant%%:*}: survived"
		status=1
	else
		echo "ok $n mutant: ${mutant%%:*}: killed"
	fi
done
exit $status
