#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# In the guest: each load with the switch off and on in turn, ROUNDS times.
# usage: demo_rounds.sh ROUNDS
switch=/proc/sys/vm/per_vma_lock

counters()
{
	grep -E '^(pgfault|vma_lock_[a-z]*) ' /proc/vmstat
}

round=0
while [ $((round += 1)) -le "$1" ]; do
	echo "# round $round of $1"
	for load in own one own-map one-map; do
		case $load in
		own) args="-t 4" ;;
		one) args="-t 4 -1" ;;
		own-map) args="-t 3 -w" ;;
		one-map) args="-t 3 -w -1" ;;
		esac
		for state in off on; do
			case $state in off) echo 0 ;; on) echo 1 ;; esac > $switch
			counters > /tmp/before
			# shellcheck disable=SC2086
			echo "load $load $state $(fault_load $args)"
			counters | while read -r name value; do
				old=$(sed -n "s/^$name //p" /tmp/before)
				echo "vmstat $name $state $((value - old))"
			done
		done
	done
done
