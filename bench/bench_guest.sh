#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# In the guest: each program at each number of tasks, a CSV line a number.
# usage: bench_guest.sh "TASKS..." "OPTIONS" PROGRAM... [mixed] [latency]
tasks=$1 options=$2
shift 2

# run COMMAND...: its output in $out
run()
{
	out=$("$@") && [ -n "$out" ] && return
	echo "$*: failed" >&2
	exit 1
}

# found NAME: what stands behind NAME: in the output
found() { echo "$out" | sed -n "s/.*$1:\([0-9]*\).*/\1/p" | tail -n 1; }

for prog; do
	case $prog in
	latency)
		run map_latency -r 2 -s 1500
		echo "$out" | sed 's/\(.*\) \(.*\)/latency,\1,2,\2,/'
		continue ;;
	esac
	for n in $tasks; do
		case $prog in
		mixed)
			[ "$n" -gt 1 ] || continue
			for one in "" -1; do
				# shellcheck disable=SC2086
				run fault_load -s 1000 -t $((n - 1)) -w $one
				echo "mixed$one,faults,$n,${out% *},"
				echo "mixed$one,maps,$n,${out#* },"
			done ;;
		*)
			# shellcheck disable=SC2086
			run "$prog" -t "$n" $options
			vmas=$(found vmas)
			echo "${prog%_*},${prog##*_},$n,$(found average),${vmas:+$vmas of $(found areas)}" ;;
		esac
	done
done
