#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: table.sh > Documentation/series.md
# Print the series as a table, from the headers of the patches.
. "$(dirname "$0")/lib.sh"
[ "${1:-}" != -h ] || { sed -n 's/^# //p' "$0" | sed -n 2,3p; exit 0; }

# tag NAME PATCH: prints a tag of the patch's message. Its value may go on in the next line.
tag()
{
	sed -e '/^---$/,$d' "$TOP/$2" |
		awk -v t="$1:" '
			index($0, t) == 1 { v = substr($0, length(t) + 2); on = 1; next }
			on && /^[A-Z][A-Za-z-]*:|^$/ { on = 0 }
			on { v = v " " $0 }
			END { gsub(/[\t ]+/, " ", v); print v }'
}
echo "<!-- SPDX-License-Identifier: GPL-2.0 -->"
echo
echo "# The series"
echo
echo "Made by \`scripts/table.sh\` from the headers of the patches. The hazards are those"
echo "of [per-vma-locks.rst](mm/per-vma-locks.rst)."
echo
echo "| | Patch | Mainline has | Hazards |"
echo "|---|---|---|---|"
n=0
while IFS=$'\t' read -r patch _; do
	n=$((n + 1))
	subject=$(git mailinfo /dev/null /dev/null < "$TOP/$patch" | sed -n 's/^Subject: //p')
	mainline=$(tag Mainline "$patch")
	[ -n "$mainline" ] || die "$patch: no Mainline: line"
	echo "| $n | [$subject](../$patch) | $mainline | $(tag Hazards "$patch") |"
done < <(series_entries)
