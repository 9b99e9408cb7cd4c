#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: initramfs.sh ARCH
# Make build/initramfs-ARCH.cpio: BusyBox, its links, and scripts/guest/init.
. "$(dirname "$0")/lib.sh"
[ "${1:-}" != -h ] || { sed -n 's/^# //p' "$0" | sed -n 2,3p; exit 0; }
arch=${1:-x86_64}

busybox=/usr/bin/busybox
[ -x $busybox ] || busybox=/bin/busybox
[ -x $busybox ] || die "no busybox: install busybox-static, or run 'make deps'"
! file -L $busybox 2>/dev/null | grep -q 'dynamically linked' ||
	die "$busybox is not static: install busybox-static"

out=$BUILD/initramfs-$arch.cpio
[ "$out" -nt "$TOP/scripts/guest/init" ] && [ "$out" -nt "$0" ] &&
	[ -x "$BUILD/gen_init_cpio" ] && exit 0

mkdir -p "$BUILD"
[ -f "$TREE/usr/gen_init_cpio.c" ] || die "no build/linux: run 'make tree' first"
gcc -O2 -o "$BUILD/gen_init_cpio" "$TREE/usr/gen_init_cpio.c"
{
	for d in /bin /dev /proc /sys /tmp /root; do echo "dir $d 0755 0 0"; done
	echo "nod /dev/console 0600 0 0 c 5 1"
	echo "nod /dev/null 0666 0 0 c 1 3"
	echo "file /init $TOP/scripts/guest/init 0755 0 0"
	echo "file /bin/busybox $(readlink -f $busybox) 0755 0 0"
	$busybox --list | grep -v '^busybox$' | while read -r a; do
		echo "slink /bin/$a busybox 0777 0 0"
	done
} > "$BUILD/initramfs-$arch.list"
"$BUILD/gen_init_cpio" "$BUILD/initramfs-$arch.list" > "$out.tmp"
mv "$out.tmp" "$out"
