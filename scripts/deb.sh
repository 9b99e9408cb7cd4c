#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Build Debian packages of 6.1 with the series, in Debian's own configuration.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<EOF
usage: scripts/deb.sh [-q] [-n] [-c FILE] [-h] [FLAVOUR]
       (make deb [FLAVOUR=amd64] [QUICK=1] [DRY=1] [CONFIG=FILE])

Builds linux-image, linux-headers and linux-libc-dev of build/linux into build/deb, by
the kernel's own bindeb-pkg. FLAVOUR is a flavour of Debian's linux-config-6.1 (amd64,
cloud-amd64, rt-amd64; by default that of the running kernel, or amd64). The packages
have an ABI name of their own, 6.1.N-pervmaV-FLAVOUR, so they are installed next to
Debian's. Debug information and module signatures are left out. They need Debian's tools
and keys.

  -q  leave modules out: the packages show that the kernel builds and installs, and are
      not for use
  -n  stop when the configuration is made
  -c  a configuration of yours, in place of Debian's

amd64 has about 2,400 symbols that are built in and 3,900 modules. That takes some hours
on 2 cores.
EOF
}
quick='' dry='' config=
while getopts qnc:h opt; do
	case $opt in
	q) quick=1 ;;
	n) dry=1 ;;
	c) config=$OPTARG ;;
	h) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
done
shift $((OPTIND - 1))
[ $# -le 1 ] || { usage >&2; exit 2; }
flavour=${1:-}
if [ -z "$flavour" ]; then
	flavour=$(uname -r | sed -n 's/.*-\(\(cloud-\|rt-\)\?amd64\)$/\1/p')
	flavour=${flavour:-amd64}
fi
[ -z "$config" ] || [ -f "$config" ] || die "$config: no such file"

"$TOP/scripts/tree.sh"
"$TOP/scripts/deps.sh" dpkg-dev rsync kmod cpio fakeroot
out=$BUILD/deb/obj log=$BUILD/deb.log
mkdir -p "$out"
if [ -z "$config" ]; then
	case $flavour in
	rt-*) name=amd64_rt_${flavour#rt-} ;;
	*) name=amd64_none_$flavour ;;
	esac
	"$TOP/scripts/deps.sh" linux-config-6.1
	config=/usr/src/linux-config-6.1/config.$name.xz
	[ -f "$config" ] || die "$flavour: no such flavour; there are $(cd /usr/src/linux-config-6.1 &&
		ls config.amd64_* | sed 's/^config\.amd64_\(none_\)\?//; s/_/-/; s/\.xz$//' | xargs)"
fi
say "configuration: $config"
case $config in
*.xz) xz -dc "$config" > "$out/.config" ;;
*) cp "$config" "$out/.config" ;;
esac
mk() { kbuild "$TREE" "$out" x86_64 "$@"; }
(
	cd "$out"
	set_to() { "$TREE/scripts/config" --file .config "$@"; }
	set_to -d DEBUG_INFO -d DEBUG_INFO_BTF -e DEBUG_INFO_NONE -d DEBUG_INFO_DWARF_TOOLCHAIN_DEFAULT \
		-d MODULE_SIG --set-str SYSTEM_TRUSTED_KEYS "" --set-str BUILD_SALT "" \
		-e PER_VMA_LOCK -e PER_VMA_LOCK_STATS
	[ -z "$quick" ] || sed -i '/=m$/d' .config
	mk olddefconfig
) > "$log" 2>&1 || { tail -5 "$log" >&2; die "cannot configure, see $log"; }
grep -qx CONFIG_PER_VMA_LOCK=y "$out/.config" ||
	die "CONFIG_PER_VMA_LOCK did not survive: it wants SMP on x86-64 or arm64"
say "$(grep -c '=y$' "$out/.config") symbols built in, $(grep -c '=m$' "$out/.config") modules"
[ -z "$dry" ] || { say "nothing built (DRY)"; exit 0; }

rm -f "$BUILD"/deb/*.deb
build_kernel "$flavour" "" "$log" mk -j"${JOBS:-$(nproc)}" LOCALVERSION="-pervma$(cat "$TOP/VERSION")-$flavour" \
	KDEB_PKGVERSION="$(tree_version "$TREE")-1" DPKG_FLAGS=-d bindeb-pkg
(cd "$BUILD/deb" && ls -s --block-size=k -- *.deb)
