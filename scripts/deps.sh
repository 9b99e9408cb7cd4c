#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Install what the project needs, or the packages given, unless they are there.
. "$(dirname "$0")/lib.sh"

packages=(linux-source-6.1 qemu-system-x86 qemu-system-arm busybox-static
	build-essential gcc-aarch64-linux-gnu libc6-dev-arm64-cross
	bc bison ccache cpio e2fsprogs file flex git kmod libelf-dev libssl-dev perl python3
	relacy-dev rsync sparse spin xz-utils)

[ "${1:-}" != -h ] || {
	echo "usage: scripts/deps.sh [-h] [PACKAGE]...     (make deps)"
	echo "Installs, with apt-get: ${packages[*]}"
	exit 0
}
[ $# -eq 0 ] || packages=("$@")
missing=()
for p in "${packages[@]}"; do
	dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
done
[ ${#missing[@]} -gt 0 ] || exit 0
say "installing ${missing[*]}"
command -v apt-get >/dev/null || die "no apt-get here: install ${missing[*]}"
[ "$(id -u)" = 0 ] || die "not root: run 'apt-get install ${missing[*]}' first"
mkdir -p "$BUILD"
{
	apt-get update &&
	DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
} > "$BUILD/deps.log" 2>&1 || die "cannot install ${missing[*]}, see $BUILD/deps.log"
