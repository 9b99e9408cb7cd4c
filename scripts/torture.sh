#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Everything at once, with the contents of memory checked, for as long as you like.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<EOF
usage: scripts/torture.sh [-h] [-k KERNEL] [SECONDS [ARCH]]
                                          (make torture [SECONDS=1200] [ARCH=arm64])

Runs vma_lock_torture in the guest. KERNEL is debug by default, and ARCH is x86_64.
VMA_LOCK_SEED= repeats a run's random choices. The exit status is that of the test;
125 means that the kernel complained, crashed or hung.
EOF
}

kernel=debug
kernel_option "$@"
shift $((OPTIND - 1))
[ $# -le 2 ] || { usage >&2; exit 2; }
secs=${1:-1200} arch=${2:-x86_64}
[[ $secs =~ ^[1-9][0-9]*$ ]] || die "$secs: not a number of seconds"
cross_prefix "$arch" > /dev/null

"$TOP/scripts/tree.sh"
selftest "$arch" vma_lock_torture
exec "$TOP/vm" -a "$arch" -k "$kernel" -t $((secs * 10 + 300)) \
	-f "$BUILD/selftests-$arch/vma_lock_torture" -- env VMA_LOCK_SECONDS="$secs" \
	${VMA_LOCK_SEED:+VMA_LOCK_SEED="$VMA_LOCK_SEED"} vma_lock_torture
