#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Build modules from outside the kernel's tree by DKMS, against the headers of a package, and
# load them in the guest.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<EOF
usage: scripts/modules.sh [-h] [-k KERNEL] [PATTERN]     (make modules [KERNEL=debug] [ONLY=PATTERN])

Packages KERNEL-net (pervma) as make deb does, and builds modules against the headers
of that package, by DKMS: tools/testing/vma_lock/module of this repository, which maps
memory in each way that drivers do, and Debian's lttng-modules, openafs, evdi and
v4l2loopback. Loads each module in a guest with that kernel, runs the test of the first
module, and unloads it. On the debug kernel the validator must report a wrong module.
The last line is "N passed, N failed, N skipped".
EOF
}
kernel=pervma
kernel_option "$@"
shift $((OPTIND - 1))
[ $# -le 1 ] || { usage >&2; exit 2; }
only=${1:-*}

"$TOP/scripts/kernel.sh" "$kernel-net"
"$TOP/scripts/deps.sh" dkms kmod dpkg-dev
at=$BUILD/modules-$kernel log=$BUILD/modules-$kernel.log
mkdir -p "$at/debs" "$at/source" "$at/tree"
: > "$log"
exclusive "modules-$kernel"

# The package of the headers, made by the kernel's own bindeb-pkg, as make deb does
obj=$BUILD/$kernel-net-x86_64
if [ "$(cat "$at/.id" 2> /dev/null)" != "$(cat "$obj/.id")" ]; then
	rm -rf --one-file-system "$at/headers" "$at/tree" "$at/.id"
	mkdir -p "$at/tree"
	id=$(cat "$obj/.id")
	build_kernel "package of $kernel-net" "" "$log" kbuild "$TREE" "$obj" x86_64 -j"${JOBS:-$(nproc)}" \
		KDEB_PKGVERSION="$(tree_version "$TREE")-1" DPKG_FLAGS=-d bindeb-pkg
	for deb in "$BUILD"/linux-headers-*.deb; do dpkg-deb -x "$deb" "$at/headers"; done
	rm -f "$BUILD"/linux-{headers,image,libc-dev}*.deb "$BUILD"/linux-upstream_*
	echo "$id" > "$at/.id"
fi
headers=$(echo "$at"/headers/usr/src/linux-headers-*)
[ -d "$headers" ] || die "no headers in the package, see $log"
version=${headers##*/linux-headers-}
say "headers of $version"

# Sources: ours, and those of Debian's packages
src=$at/source/usr/src
mkdir -p "$src/vma-lock-module-1"
cp "$TOP"/tools/testing/vma_lock/module/* "$src/vma-lock-module-1/"
cat > "$src/vma-lock-module-1/dkms.conf" <<'END'
PACKAGE_NAME="vma-lock-module"
PACKAGE_VERSION="1"
BUILT_MODULE_NAME[0]="vma_lock_module"
DEST_MODULE_LOCATION[0]="/updates"
MAKE[0]="make -C $kernel_source_dir M=$dkms_tree/$module/$module_version/build"
CLEAN="true"
END
for p in lttng-modules-dkms openafs-modules-dkms evdi-dkms v4l2loopback-dkms; do
	compgen -G "$at/debs/${p}_*.deb" > /dev/null ||
		(cd "$at/debs" && apt-get download "$p" >> "$log" 2>&1) || die "cannot download $p, see $log"
	dpkg-deb -x "$at"/debs/"$p"_*.deb "$at/source"
done

# The event hrtimer_start of later 6.1 has an argument that lttng-modules does not know.
sed -i '/lttng-probe-timer/d' "$src"/lttng-modules-*/src/probes/Kbuild

passed=0 failed=0
ok() { passed=$((passed + 1)); echo "ok   $1"; }
fail() { failed=$((failed + 1)); echo "FAIL $1"; tail -n 20 "$2" | sed 's/^/     | /'; }

gcc -O2 -Wall -pthread -static -o "$at/module_test" "$TOP/tools/testing/vma_lock/module/module_test.c"
rm -rf "$at/files/lib"
mkdir -p "$at/files/lib/modules/$version/updates"
# Files that modprobe asks for
touch "$at/files/lib/modules/$version/modules."{order,builtin}

# in_guest COMMAND: runs it with all modules that have been built
in_guest()
{
	depmod -b "$at/files" "$version"
	tar c -C "$at/files" lib > "$at/modules.tar"
	chmod +x "$at/modules.tar"
	"$TOP/vm" -k "$kernel-net" -m 2048 -f "$at/modules.tar" -f "$at/module_test" \
		-l "$at/guest" -- sh -ec "tar x -C / -f /bin/modules.tar; $1" < /dev/null
}

for dir in "$src"/vma-lock-module-* "$src"/lttng-modules-* "$src"/openafs-* "$src"/evdi-* "$src"/v4l2loopback-*; do
	name=${dir##*/} v=${dir##*-} name=${name%-*}
	# shellcheck disable=SC2053
	[[ $name == $only ]] || continue
	d=(--dkmstree "$at/tree" --sourcetree "$src")
	out=$at/$name.log
	: > "$out"
	dkms status "${d[@]}" -m "$name" -v "$v" 2> /dev/null | grep . > /dev/null || dkms add "${d[@]}" "$name/$v" >> "$out" 2>&1 || true
	if dkms build "${d[@]}" "$name/$v" -k "$version" --kernelsourcedir "$headers" --arch x86_64 --force >> "$out" 2>&1; then
		ok "$name $v: builds"
	else
		cat "$at/tree/$name/$v/build/make.log" >> "$out" 2> /dev/null || true
		fail "$name $v: builds" "$out"
		continue
	fi
	find "$at/tree/$name/$v/$version" -name '*.ko' -exec cp {} "$at/files/lib/modules/$version/updates/" \;
	case $name in
	vma-lock-module) load='modprobe vma_lock_module; module_test; rmmod vma_lock_module' ;;
	lttng-modules) load='modprobe lttng-tracer; modprobe lttng-ring-buffer-client-discard; modprobe lttng-probe-sched; lsmod; modprobe -r lttng-probe-sched' ;;
	openafs) load='modprobe openafs; lsmod; rmmod openafs' ;;
	evdi) load='modprobe evdi initial_device_count=1; ls /sys/devices/evdi; rmmod evdi' ;;
	v4l2loopback) load='modprobe v4l2loopback devices=1; ls -l /dev/video0; rmmod v4l2loopback' ;;
	esac
	if in_guest "$load" > "$out" 2>&1; then
		ok "$name $v: loads$([ "$name" != vma-lock-module ] || echo ", maps and locks right")"
	else
		fail "$name $v: loads" "$out"
	fi
done
# shellcheck disable=SC2053
if [ "$kernel" = debug ] && [[ vma-lock-module == $only ]]; then
	status=0
	in_guest 'modprobe vma_lock_module; module_test wrong' > "$out" 2>&1 || status=$?
	if [ $status -eq 125 ] && grep -q '^splat: WARNING.*vma_lock' "$at/guest/conclusion.txt"; then
		ok "a module that changes a VMA it has not locked is reported"
	else
		fail "a module that changes a VMA it has not locked is reported" "$out"
	fi
fi
echo
echo "$passed passed, $failed failed, 0 skipped"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
