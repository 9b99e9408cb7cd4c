#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Runs in the guest: each program at each number of tasks. Prints a CSV line for each, and
# before it a line "# PROGRAM TASKS". A program that fails or does not end has no CSV line.
# usage: bench_guest.sh "TASKS..." "OPTIONS" PROGRAM... [mixed] [latency]
limit=60	# seconds
tasks=$1 options=$2
shift 2

# run COMMAND...: sets $out to its output
run()
{
	echo "# $*"
	out=$(timeout -s KILL $limit "$@") && [ -n "$out" ] && return
	echo "# left out: $*: failed, or did not end within $limit s"
	return 1
}

# found NAME: prints the number after "NAME:" in $out
found() { echo "$out" | sed -n "s/.*$1:\([0-9]*\).*/\1/p" | tail -n 1; }

for prog; do
	case $prog in
	latency)
		run map_latency -r 2 -s 1500 || continue
		echo "$out" | sed 's/\(.*\) \(.*\)/latency,\1,2,\2,/'
		continue ;;
	esac
	for n in $tasks; do
		case $prog in
		mixed)
			[ "$n" -gt 1 ] || continue
			for one in "" -1; do
				# shellcheck disable=SC2086
				run fault_load -s 1000 -t $((n - 1)) -w $one || continue
				echo "mixed$one,faults,$n,${out% *},"
				echo "mixed$one,maps,$n,${out#* },"
			done ;;
		*)
			# shellcheck disable=SC2086
			run "$prog" -t "$n" $options || continue
			vmas=$(found vmas)
			echo "${prog%_*},${prog##*_},$n,$(found average),${vmas:+$vmas of $(found areas)}" ;;
		esac
	done
done
