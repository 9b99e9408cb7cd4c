#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: initramfs.sh [-f] [ARCH]
# Make build/initramfs-ARCH.cpio: BusyBox, its links, and scripts/guest/init.
# With -f only fetch what is needed from the network.
. "$(dirname "$0")/lib.sh"
[ "${1:-}" != -h ] || { sed -n 's/^# //p' "$0" | sed -n 2,4p; exit 0; }
fetch=
[ "${1:-}" != -f ] || { fetch=1; shift; }
arch=${1:-x86_64}
exclusive "initramfs-$arch" wait

native=/usr/bin/busybox
[ -x $native ] || native=/bin/busybox
[ -x $native ] || die "no busybox: install busybox-static, or run 'make deps'"
! file -L $native 2>/dev/null | grep -q 'dynamically linked' ||
	die "$native is not static: install busybox-static"

# For another architecture BusyBox comes from the same package, unpacked under build/.
# apt gets to know that architecture for this download only.
busybox=$native
if [ "$arch" != "$(uname -m)" ]; then
	busybox=$BUILD/busybox-$arch
	if [ ! -x "$busybox" ]; then
		say "fetching busybox-static for $arch"
		apt=$BUILD/apt-$arch
		rm -rf "$apt"
		mkdir -p "$apt/lists/partial" "$apt/archives/partial"
		opts=(-o "APT::Architecture=$arch" -o "APT::Architectures=$arch"
			-o "APT::Sandbox::User=root"
			-o "Dir::State::Lists=$apt/lists" -o "Dir::State::status=/dev/null"
			-o "Dir::Cache=$apt")
		(cd "$apt" && apt-get "${opts[@]}" update &&
			apt-get "${opts[@]}" download busybox-static &&
			dpkg-deb -x busybox-static_*.deb unpacked) > "$apt.log" 2>&1 ||
			die "cannot get busybox-static:$arch, see $apt.log"
		cp "$apt/unpacked/bin/busybox" "$busybox"
		rm -rf "$apt"
	fi
fi

[ -z "$fetch" ] || exit 0
out=$BUILD/initramfs-$arch.cpio
[ "$out" -nt "$TOP/scripts/guest/init" ] && [ "$out" -nt "$0" ] &&
	[ -x "$BUILD/gen_init_cpio" ] && exit 0

mkdir -p "$BUILD"
[ -f "$TREE/usr/gen_init_cpio.c" ] || die "no build/linux: run 'make tree' first"
gcc -O2 -o "$BUILD/gen_init_cpio.$arch" "$TREE/usr/gen_init_cpio.c"
mv "$BUILD/gen_init_cpio.$arch" "$BUILD/gen_init_cpio"
{
	for d in /bin /dev /proc /sys /tmp /root; do echo "dir $d 0755 0 0"; done
	echo "nod /dev/console 0600 0 0 c 5 1"
	echo "nod /dev/null 0666 0 0 c 1 3"
	echo "file /init $TOP/scripts/guest/init 0755 0 0"
	echo "file /bin/busybox $(readlink -f $busybox) 0755 0 0"
	$native --list | grep -v '^busybox$' | while read -r a; do
		echo "slink /bin/$a busybox 0777 0 0"
	done
} > "$BUILD/initramfs-$arch.list"
"$BUILD/gen_init_cpio" "$BUILD/initramfs-$arch.list" > "$out.tmp"
mv "$out.tmp" "$out"
