#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Install the packages that the project needs, or the packages given, if they are missing.
. "$(dirname "$0")/lib.sh"

declare -A groups=(
	[demo]="linux-source-6.1 qemu-system-x86 busybox-static build-essential bc bison ccache cpio
		file flex git kmod libelf-dev libssl-dev perl python3 rsync util-linux xz-utils"
	[test]="qemu-system-arm gcc-aarch64-linux-gnu libc6-dev-arm64-cross e2fsprogs relacy-dev
		liburcu-dev sparse spin python3-docutils python3-sphinx python3-sphinx-rtd-theme
		graphviz shellcheck b4 quilt"
	[full]="gcc-riscv64-linux-gnu qemu-system-misc"
	[bench]="linux-source-6.12 python3-matplotlib"
	[programs]="golang-go mmdebstrap e2fsprogs"
	[deb]="dpkg-dev fakeroot linux-config-6.1"
)
usage()
{
	cat <<EOF
usage: scripts/deps.sh [-h] [-g GROUP]... [PACKAGE]...     (make deps [GROUP=GROUP])

Installs, with apt-get, the packages that make demo, test and check need; or those of
GROUPs: demo, test, full (FULL=1), bench, programs, deb, all; or PACKAGEs. After that no
target needs the network or root. Without apt-get, or without root, it names what is
missing.
EOF
}
chosen=()
while getopts g:h opt; do
	case $opt in
	g) chosen+=("$OPTARG") ;;
	h) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
done
shift $((OPTIND - 1))
packages=("$@")
[ ${#chosen[@]} -gt 0 ] || [ $# -gt 0 ] || chosen=(demo test)
[ "${chosen[*]}" != all ] || chosen=("${!groups[@]}")
for g in ${chosen[@]+"${chosen[@]}"}; do
	[ -n "${groups[$g]:-}" ] || die "$g: no such group; there are $(printf '%s\n' "${!groups[@]}" all | sort | xargs)"
	read -ra more -d '' <<< "${groups[$g]}" || true
	packages+=("${more[@]}")
done

# Another distribution has other names. There a package is known by a file or command of it.
declare -A brings=(
	[linux-source-6.1]=/usr/src/linux-source-6.1.tar.xz [linux-source-6.12]=/usr/src/linux-source-6.12.tar.xz
	[qemu-system-x86]=qemu-system-x86_64 [qemu-system-arm]=qemu-system-aarch64 [busybox-static]=busybox
	[build-essential]=gcc [libelf-dev]=/usr/include/libelf.h [libssl-dev]=/usr/include/openssl/ssl.h
	[util-linux]=flock [xz-utils]=xz [gcc-aarch64-linux-gnu]=aarch64-linux-gnu-gcc
	[libc6-dev-arm64-cross]=/usr/aarch64-linux-gnu/lib/libc.a [e2fsprogs]=mkfs.ext4
	[relacy-dev]=/usr/include/relacy/relacy.hpp [liburcu-dev]=/usr/include/urcu.h [python3-docutils]=rst2html
	[python3-sphinx]=sphinx-build [python3-sphinx-rtd-theme]=sphinx-build [graphviz]=dot
	[gcc-riscv64-linux-gnu]=riscv64-linux-gnu-gcc [qemu-system-misc]=qemu-system-riscv64
	[python3-matplotlib]=python3 [golang-go]=go [dpkg-dev]=dpkg-buildpackage
	[linux-config-6.1]=/usr/src/linux-config-6.1
)
# Fetch the guest's BusyBox for another architecture, and the root file system for programs.sh.
fetch()
{
	case " ${chosen[*]:-} " in *" test "*) "$TOP/scripts/initramfs.sh" -f arm64 ;; esac
	case " ${chosen[*]:-} " in *" programs "*) "$TOP/scripts/programs/rootfs.sh" ;; esac
}
missing=()
for p in "${packages[@]}"; do
	if command -v dpkg-query > /dev/null; then
		dpkg-query -W -f '${Status}' "$p" 2> /dev/null | grep -q 'ok installed' || missing+=("$p")
	else
		what=${brings[$p]:-$p}
		[ -e "$what" ] || command -v "$what" > /dev/null || missing+=("$p ($what)")
	fi
done
[ ${#missing[@]} -gt 0 ] || { fetch; exit 0; }
if ! command -v apt-get > /dev/null; then
	printf '   %s\n' "${missing[@]}" >&2
	die "no apt-get here: install these, Debian's names and what they bring"
fi
[ "$(id -u)" = 0 ] || die "not root: run 'apt-get install ${missing[*]}' first"
say "installing ${missing[*]}"
mkdir -p "$BUILD"
{
	apt-get update &&
	DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
} > "$BUILD/deps.log" 2>&1 || die "cannot install ${missing[*]}, see $BUILD/deps.log"
fetch
