#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Build one of the kernels into build/KERNEL-ARCH, unless it is current.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<EOF
usage: scripts/kernel.sh [-h] pervma|base|peer|debug|kcsan|kvm|mutant|step|off|no-SYMBOL|6.1.N[-net] [ARCH [TARGET]...]

Configures (tinyconfig and the fragments of kernel/configs) and builds a kernel into
build/KERNEL-ARCH (x86_64 or arm64; riscv is built only). The log is build/KERNEL-ARCH.log.
Does nothing if neither source nor config have changed. JOBS= sets the number of jobs. With
TARGETs, it builds these and not the kernel.

no-SYMBOL is pervma without CONFIG_SYMBOL, and without what depends on it. kvm is pervma
with KVM. peer is Debian's linux-source-6.12. 6.1.N is that version with the series, as
scripts/versions.sh has laid it out. KERNEL-net is KERNEL with sockets, io_uring, perf
events and more that programs of other projects need.
EOF
}

[ "${1:-}" != -h ] || { usage; exit 0; }
[ $# -ge 1 ] || { usage >&2; exit 2; }
kernel=$1 arch=${2:-x86_64}
targets=("${@:3}")
jobs=${JOBS:-$(nproc)}
configs=$TOP/kernel/configs
out=$BUILD/$kernel-$arch
src=$TREE
make_args=()
fragments=("$configs/guest.config" "$configs/guest-$arch.config")
case ${kernel%-net} in
pervma) fragments+=("$configs/pervma.config") ;;
debug)
	fragments+=("$configs/pervma.config" "$configs/debug.config")
	[ ! -f "$configs/debug-$arch.config" ] || fragments+=("$configs/debug-$arch.config") ;;
kcsan)
	fragments+=("$configs/pervma.config" "$configs/kcsan.config")
	# Other code has races, too, which are known. A setting given here overrides makefiles.
	make_args=(KCSAN_SANITIZE=n KCSAN_SANITIZE_vma_lock.o=y KCSAN_SANITIZE_vma_fault.o=y
		KCSAN_SANITIZE_vma_read.o=y) ;;
kvm)
	fragments+=("$configs/pervma.config" "$configs/kvm.config")
	[ ! -f "$configs/kvm-$arch.config" ] || fragments+=("$configs/kvm-$arch.config") ;;
off) fragments+=("$configs/off.config") ;;
step)
	fragments=("$configs/step.config"); src=$BUILD/linux-step
	# From the step on that adds it; it is off by default at first.
	[ ! -f "$src/Kconfig.pervma" ] || fragments+=("$configs/pervma.config")
	[ ! -f "$configs/step-$arch.config" ] || fragments+=("$configs/step-$arch.config") ;;
base) src=$BUILD/linux-base ;;
peer) fragments+=("$configs/peer.config"); src=$BUILD/linux-peer ;;
mutant) fragments+=("$configs/pervma.config" "$configs/validator.config") ;;
6.1.[0-9]*)
	fragments+=("$configs/pervma.config")
	src=$BUILD/linux-${kernel%-net}
	[ -f "$src/.source" ] || die "no build/linux-${kernel%-net}: make versions ONLY=${kernel%-net}" ;;
no-[A-Z]*)
	mkdir -p "$BUILD"
	echo "# CONFIG_${kernel#no-} is not set" > "$BUILD/$kernel.config"
	fragments+=("$BUILD/$kernel.config")
	checked=("$BUILD/$kernel.config") ;;
*) usage >&2; exit 2 ;;
esac
[ "$kernel" = "${kernel%-net}" ] || fragments+=("$configs/net.config")
cross=$(cross_prefix "$arch")
# The image that QEMU loads. The debug kernel of x86-64 needs the boot code before it.
case $arch:${kernel%-net} in
x86_64:debug) image=bzImage ;;
x86_64:*) image=vmlinux ;;
*) image=Image ;;
esac
[ ${#targets[@]} -gt 0 ] || targets=("$image")
for tool in "${cross}gcc:gcc${cross:+-${cross%-}}" make:make flex:flex bison:bison bc:bc; do
	need "${tool%%:*}" "${tool##*:}"
done

[ -d "$TREE/.git" ] || "$TOP/scripts/tree.sh"
if [ "${kernel%-net}" = base ]; then
	base=$(git -C "$TREE" rev-parse 'base^{commit}')
	if [ "$(git -C "$src" rev-parse HEAD 2>/dev/null)" != "$base" ]; then
		say "checking out the base source"
		rm -rf "$src"
		git -C "$TREE" worktree prune
		git -C "$TREE" worktree add -q --detach "$src" base
	fi
fi
if [ "${kernel%-net}" = peer ]; then
	tarball=/usr/src/linux-source-6.12.tar.xz
	[ -f $tarball ] || "$TOP/scripts/deps.sh" linux-source-6.12
	source_id=$(stat -c '%n %s %Y' $tarball)
	if [ "$(cat "$src/.source" 2>/dev/null)" != "$source_id" ]; then
		say "unpacking the peer's source"
		rm -rf "$src"
		mkdir -p "$src"
		tar x -C "$src" --strip-components=1 -f $tarball
		echo "$source_id" > "$src/.source"
	fi
	have=$(tree_version "$src")
	[ "$have" = "$(base_version linux-source-6.12)" ] ||
		say "note: the peer is $have; BASE names $(base_version linux-source-6.12)"
fi
# The state of the kernel's source. A source that is never edited is not a git tree.
source_state()
{
	[ ! -f "$src/.source" ] || { cat "$src/.source"; return; }
	git -C "$src" rev-parse HEAD
	# check.sh has just checked out all of a step.
	[ "$kernel" = step ] || git -C "$src" diff HEAD
}

id=$({ echo "${targets[@]}" ${make_args[@]+"${make_args[@]}"}
       source_state
       cat "${fragments[@]}"; "${cross}gcc" --version; } | sha1sum | cut -d' ' -f1)
[ "$(cat "$out/.id" 2>/dev/null)" != "$id" ] || exit 0
exclusive "$kernel-$arch" wait
[ "$(cat "$out/.id" 2>/dev/null)" != "$id" ] || exit 0

mk() { kbuild "$src" "$out" "$arch" ${make_args[@]+"${make_args[@]}"} "$@"; }

log=$out.log
mkdir -p "$out"
rm -f "$out/.id"
# The same fragments and Kconfig files make the same .config: a step of the series
# rarely changes them.
config_id()
{
	[ ! -f "$src/.source" ] || { source_state; return; }
	git -C "$src" ls-tree -r HEAD | grep Kconfig
	[ "$kernel" = step ] || git -C "$src" diff HEAD -- '*Kconfig*'
}
config_id=$({ config_id; cat "${fragments[@]}"; "${cross}gcc" --version; } | sha1sum | cut -d' ' -f1)
if [ "$(cat "$out/.config-id" 2>/dev/null)" = "$config_id" ]; then
	: > "$log"
else
	say "$kernel-$arch: configuring"
	rm -f "$out/.config-id"
	{
		mk tinyconfig
		(cd "$src" && scripts/kconfig/merge_config.sh -m -O "$out" "$out/.config" "${fragments[@]}")
		mk olddefconfig
	} > "$log" 2>&1 || { tail -20 "$log" >&2; die "$kernel-$arch: cannot configure, see $log"; }
	echo "$config_id" > "$out/.config-id"
fi

# It is an error if a symbol was asked for and did not survive. The last fragment
# that names the symbol decides.
[ -n "${checked:-}" ] || checked=("${fragments[@]}")
lost=$(cat "${checked[@]}" | sed -n 's/^# \(CONFIG_[A-Z0-9_]*\) is not set$/\1=n/p; /^CONFIG_/p' |
	awk -F= '{ want[$1] = $0 } END { for (s in want) print want[s] }' |
	while IFS='=' read -r sym val; do
		if [ "$val" = n ]; then
			! grep -q "^$sym=" "$out/.config" || echo "$sym=n"
		else
			grep -qxF "$sym=$val" "$out/.config" || echo "$sym=$val"
		fi
	done)
[ -z "$lost" ] || die "$kernel-$arch: did not survive the merge: $(echo $lost)"

# Progress: objects, of as many as the last such build had, or about 1600
expected=$(cat "$BUILD/.objects-$kernel-$arch" 2>/dev/null || echo 0)
[ "$expected" -ge 100 ] || expected=1600
build_kernel "$kernel-$arch" " of about $expected" "$log" mk -j"$jobs" "${targets[@]}"
done_=$(objects "$log")
[ "$done_" -le "$expected" ] && [ -f "$BUILD/.objects-$kernel-$arch" ] ||
	echo "$done_" > "$BUILD/.objects-$kernel-$arch"
echo "$id" > "$out/.id"
