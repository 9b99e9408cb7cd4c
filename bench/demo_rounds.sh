#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Runs in the guest: each load in pairs of windows, the switch off and on in random order.
# usage: demo_rounds.sh PAIRS CPUS
pairs=$1 cpus=$2

# run NAME ARG...: prints a line for each pair
run()
{
	name=$1
	shift
	echo "# $name: $pairs pairs, $((pairs * 22 / 100)) s"
	fault_load -s 100 -a "$pairs" "$@" | sed "s/^/pair $name /"
}

run alone -t 1
if [ "$cpus" -gt 1 ]; then
	run own -t "$cpus"
	run one -t "$cpus" -1
	run own-map -t $((cpus - 1)) -w
	[ "$cpus" -eq 2 ] || run one-map -t $((cpus - 1)) -w -1
fi
grep -E '^(pgfault|vma_lock_[a-z]*) ' /proc/vmstat | sed 's/^/vmstat /'
