#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Runs in the guest, with a disk: page-ins, the switch off and on in turn, ROUNDS times.
# usage: page_in_rounds.sh ROUNDS
set -e
mkdir /tmp/disk
mount -t ext4 /dev/vda /tmp/disk
round=0
while [ $((round += 1)) -le "$1" ]; do
	echo "# round $round of $1"
	for state in off on; do
		case $state in off) echo 0 ;; on) echo 1 ;; esac > /proc/sys/vm/per_vma_lock
		echo "$state read $(page_in -p /tmp/disk/file)"
		echo "$state write $(page_in -p -w /tmp/disk/file)"
	done
done
