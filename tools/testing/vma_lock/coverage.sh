#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Checks that the unit test runs every line of the lock. Prints TAP, and the lines that
# were not run. The stubs of !CONFIG_PER_VMA_LOCK are not compiled here, and not counted.
set -euo pipefail

usage="usage: coverage.sh [-h] PROGRAM     (make check-coverage)"
[ "${1:-}" != -h ] || { echo "$usage"; exit 0; }
[ $# -eq 1 ] || { echo "$usage" >&2; exit 2; }
rm -f "$1"-*.gcda
"$1" > /dev/null 2>&1 || { echo "coverage.sh: $1 fails" >&2; exit 1; }

gcov -t "$1"-*.gcda | awk '
	/:    0:Source:/ {
		file = $0
		sub(/.*:Source:[.\/]*/, "", file)
		next
	}
	file !~ /vma_lock\.[ch]$/ { next }
	# COUNT:LINE:TEXT. A line of an inline function comes once for each copy of the
	# function. It is run if any of the copies is.
	match($0, /^ *[0-9#=*]+: *[0-9]+:/) {
		split($0, f, ":")
		key = file ":" f[2] + 0
		text[key] = substr($0, RLENGTH + 1)
		if (f[1] !~ /[#=]/)
			run[key] = 1
	}
	END {
		for (key in text) {
			file = key
			sub(/:.*/, "", file)
			lines[file]++
			if (key in run)
				covered[file]++
			else
				print "# never run: " key ": " text[key]
		}
		files = 2	# the .c and the .h
		print "TAP version 13\n1.." files
		for (file in lines) {
			bad = covered[file] < lines[file]
			failed += bad
			printf "%s %d coverage: %s: %.1f%% of %d lines\n", bad ? "not ok" : "ok",
				++n, file, 100 * covered[file] / lines[file], lines[file]
		}
		exit failed || n != files
	}'
