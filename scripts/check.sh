#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Check the series itself: it applies, builds at each step, and has no findings of style.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<EOF
usage: scripts/check.sh [-h]     (make check [FULL=1])

Applies the series without fuzz. Builds at each step of the series the objects that
the step can break (a small config, x86-64), and at the first and the last all of mm/
and all that the series touches. Builds the whole with the
feature configured out, and looks for traces of the feature there. Builds a few
other configurations, and runs checkpatch, sparse and shellcheck. With FULL=1 each
step builds a whole kernel, for each architecture, every configuration is built,
and riscv64 boots. The last line is "N passed, N failed, N skipped".
EOF
}

[ "${1:-}" != -h ] || { usage; exit 0; }
[ $# -eq 0 ] || { usage >&2; exit 2; }
passed=0 failed=0
ok()   { passed=$((passed + 1)); echo "ok   $1"; }
fail() { failed=$((failed + 1)); echo "FAIL $1"; sed 's/^/     | /' "$2" | tail -30; }
log=$BUILD/check.log

mkdir -p "$BUILD"
phase "make check: series and style"
"$TOP/scripts/tree.sh"
ok "series applies without fuzz"

# Not for this series: nobody signs off. MAINTAINERS is not the kernel's. Upstream commits are
# named by subject, for their ids are not in a tree without history. An array whose name two
# files share cannot be static. A server of FUSE answers ENOSYS to a request that it does not
# know.
ignore=UNKNOWN_COMMIT_ID,ENOSYS,MISSING_SIGN_OFF,FILE_PATH_CHANGES,COMMIT_LOG_LONG_LINE,GIT_COMMIT_ID,STATIC_CONST_CHAR_ARRAY

# The style of the patches as they would be mailed, and so of the new files, too
"$TOP/scripts/export.sh"
if (cd "$TREE" && sed "s|^|$BUILD/series/|" "$BUILD/series/series" |
	xargs scripts/checkpatch.pl --no-tree --terse --no-summary --max-line-length=100 \
		--ignore "$ignore") > "$log" 2>&1 && [ ! -s "$log" ]; then
	ok checkpatch
else
	fail checkpatch "$log"
fi

"$TOP/scripts/deps.sh" shellcheck
if (cd "$TOP" && git ls-files | while read -r f; do
		! head -1 "$f" | grep -qE "^#!/bin/(ba)?sh|^# shellcheck shell=" ||
			echo "$f"
	done | xargs shellcheck -x -S warning) > "$log" 2>&1; then
	ok shellcheck
else
	fail shellcheck "$log"
fi

if "$TOP/scripts/table.sh" | diff "$TOP/Documentation/series.md" - > "$log" 2>&1; then
	ok "Documentation/series.md is current"
else
	fail "Documentation/series.md is current" "$log"
fi

# The documents and the comments of functions must be well-formed. The benchmarks are no
# document of the kernel.
"$TOP/scripts/htmldocs.sh" > "$log" 2>&1 && : > "$log"
"$TOP/scripts/deps.sh" python3-docutils
/usr/bin/python3 -c 'import sys, docutils.core as d
d.publish_doctree(open(sys.argv[1]).read(), sys.argv[1], settings_overrides={"report_level": 2})' \
	"$TOP/Documentation/mm/per-vma-locks-benchmarks.rst" 2>> "$log" || true
git -C "$TREE" diff --name-only --diff-filter=A base HEAD -- 'mm/*.c' 'include/*.h' |
	(cd "$TREE" && xargs scripts/kernel-doc -none -Werror) >> "$log" 2>&1 || true
if [ -s "$log" ]; then fail "documents" "$log"; else ok "documents"; fi

# Modules decide by names in Module.symvers what a kernel can do. So a new export is a
# promise, and must be listed.
if diff <(sed -n 's/^\([-+] EXPORT[^\t ]*([^)]*)\).*/\1/p' "$TOP/scripts/exports.txt" | sort) \
	<(git -C "$TREE" diff base HEAD -- . ':!tools' |
		sed -n 's/^\([-+]\)\(EXPORT_[A-Z_]*([^)]*)\).*/\1 \2/p' | sort) > "$log"; then
	ok "exports are those of scripts/exports.txt"
else
	fail "exports are those of scripts/exports.txt" "$log"
fi

# MAINTAINERS must have every file that the series adds.
git -C "$TREE" diff --name-only --diff-filter=A base HEAD | while read -r f; do
	entry=$(sed -n 's/^F:[\t ]*//p' "$TOP/MAINTAINERS" | while read -r pattern; do
		# shellcheck disable=SC2254
		case $f in $pattern|${pattern%/}/*) echo "$pattern" ;; esac
	done)
	[ -n "$entry" ] || echo "$f"
done > "$log"
if [ -s "$log" ]; then fail "MAINTAINERS has every new file" "$log"; else ok "MAINTAINERS has every new file"; fi

# Each mutant must still change its file.
grep -vE '^#|^$' "$TOP/tools/testing/vma_lock/mutants" | while IFS= read -r line; do
	rest=${line#*: } file=${rest%%: *} rest=${rest#*: }
	! sed "${rest#*: }" "$TREE/$file" 2>&1 | cmp -s - "$TREE/$file" || echo "$line"
done > "$log"
if [ -s "$log" ]; then fail "mutants apply" "$log"; else ok "mutants apply"; fi

# Each file must name its license, if it has room for it.
git -C "$TOP" ls-files | grep -vE '\.patch$|\.litmus$|^(MAINTAINERS|VERSION|COPYING|LICENSES/.*|Documentation/cover-letter\.txt)$|/selftests/mm/(config|settings)$' |
	(cd "$TOP" && xargs grep -L 'SPDX-License-Identifier: ') > "$log" || true
if [ -s "$log" ]; then fail "each file names its license" "$log"; else ok "each file names its license"; fi

# No file that is committed may have a path of a machine.
if git -C "$TOP" grep -nIE '/(home|root|work)/[a-z]' -- . ':!scripts/check.sh' ':!scripts/guest' > "$log" 2>/dev/null; then
	fail "no machine paths" "$log"
else
	ok "no machine paths"
fi

# Each step builds
phase "make check: each step builds"
step=$BUILD/linux-step
head=$(git -C "$TREE" rev-parse HEAD)
git -C "$TREE" worktree prune
# A worktree of an earlier build/linux is of no use.
git -C "$step" rev-parse -q HEAD > /dev/null 2>&1 || { rm -rf "$step"; git -C "$TREE" worktree add -q --detach "$step" base; }
# objects ARCH: prints the objects that a step must build: the series' own and their neighbours
objects()
{
	git -C "$TREE" diff --name-only base HEAD -- '*.c' ':!tools' ':!mm' ':!arch' ':!virt' \
		':!drivers/dma-buf' ':!drivers/gpu' ':!drivers/media' ':!sound' |
		sed 's/c$/o/'
	[ "$1" != x86_64 ] || echo mm/ arch/x86/mm/
}
# KVM on x86-64, which only the kernels of the steps have
kvm_objects() { echo arch/x86/kvm/mmu/mmu.o arch/x86/kvm/../../../virt/kvm/pfncache.o; }
# Of the drivers that only set vma_lock_mmap, those that call other drivers
driver_objects()
{
	echo drivers/dma-buf/{dma-buf,udmabuf,heaps/system_heap}.o sound/core/pcm_native.o \
		drivers/gpu/drm/{drm_gem,drm_prime,drm_gem_shmem_helper}.o
}
mapfile -t candidates < <({ objects none; driver_objects; kvm_objects; } | tr ' ' '\n'
	git -C "$TREE" diff --name-only base HEAD -- 'mm/*.c' | sed 's/c$/o/')
# names REV: the functions, macros and fields of which REV changes a line in a header. Names
# without an underscore are left out, for most of them are words of comments.
names()
{
	git -C "$TREE" diff -U0 "$1^" "$1" -- '*.h' ':!tools' | sed -nE '
		/^.[\t ]*\/?\*/d
		s/^[-+]#[\t ]*define[\t ]+([A-Za-z0-9_]+).*/\1/p
		s/^[-+][a-z][^(]*[ *]([A-Za-z0-9_]+)\(.*/\1/p
		s/^[-+][\t ].*\(\*([A-Za-z0-9_]+)\).*/\1/p
		s/^[-+][\t ]+[^(]*[\t *]([A-Za-z0-9_]+)(\[[^]]*\])?( : [0-9])?;.*/\1/p
		s/^[-+][\t ]+([A-Z0-9_]{4,})( =.*)?,.*/\1/p' | grep '[^_]_[^_]' | sort -u
}
# can_break REV: the objects that REV can break: those that it changes, those that use what it
# changes in headers, and two that include nearly every header. Of mm/ only those that
# the first step has built: the others are not configured.
can_break()
{
	local f names
	echo arch/x86/mm/fault.o mm/memory.o
	names=$(names "$1")
	{
		git -C "$TREE" diff --name-only "$1^" "$1" -- '*.c'
		[ -z "$names" ] || printf '%s\n' "${candidates[@]}" | sed 's/o$/c/' |
			xargs git -C "$TREE" grep -lwF "$names" "$1" -- | sed 's/^[^:]*://'
	} | sed 's/c$/o/' | sort -u | grep -xF "$(printf '%s\n' "${candidates[@]}")" |
		while read -r f; do
			case $f in
			# Not configured here; the debug kernel has it.
			mm/vma_lock_debug.o) continue ;;
			mm/vma_*) git -C "$TREE" cat-file -e "$1:${f%o}c" 2> /dev/null || continue ;;
			mm/*) [ -e "$BUILD/step-x86_64/$f" ] || continue ;;
			esac
			echo "$f"
		done
}
# step_objects ARCH: all of them in the first step and the last. The kernel of the guest has
# most of those of arm64.
step_objects()
{
	[ "$1" != arm64 ] || { echo mm/vma_lock.o arch/arm64/mm/fault.o arch/arm64/kvm/mmu.o; return; }
	[ $n -eq 1 ] || [ $n -eq "$total" ] || { can_break "$c"; return; }
	objects "$1"
	driver_objects
	[ "$1" != x86_64 ] || kvm_objects
}
n=0 total=$(git -C "$TREE" rev-list --count base..HEAD)
for c in $(git -C "$TREE" rev-list --reverse base..HEAD); do
	n=$((n + 1))
	git -C "$step" checkout -q -f "$c"
	archs=x86_64
	# The other architecture: only at the last step, or with FULL=1
	[ $n -lt "$total" ] && [ -z "${FULL:-}" ] || archs="x86_64 arm64"
	for arch in $archs; do
		name="step $n of $total builds, $arch: $(git -C "$TREE" show -s --format=%s "$c")"
		# shellcheck disable=SC2046
		if "$TOP/scripts/kernel.sh" step $arch $([ -n "${FULL:-}" ] || step_objects $arch) > "$log" 2>&1 &&
		   ! grep -E '\.[chS]:[0-9]+:.*warning:' "$BUILD/step-$arch.log" > "$log"; then
			ok "$name"
		else
			fail "$name" "$log"
		fi
	done
done
[ "$(git -C "$TREE" rev-parse HEAD)" = "$head" ] || die "build/linux changed meanwhile"

phase "make check: sparse"
# Sparse, on our files
if kbuild "$step" "$BUILD/step-x86_64" x86_64 C=2 CHECK=sparse \
	mm/vma_lock.o mm/vma_fault.o mm/vma_read.o > "$log" 2>&1 &&
   ! grep -E 'vma_(lock|fault|read)[a-z_]*\.[ch].*(warning|error)' "$log" > "$log.err"; then
	ok sparse
else
	fail sparse "$log"
fi

# Leaves out objects for which the guests' kernels have no configuration.
without() { objects x86_64 | grep -vE "uprobes|$1"; }

phase "make check: other configurations"
# Configured out, the feature must leave no symbol and no string. FULL=1 builds the whole kernel.
# shellcheck disable=SC2046
if "$TOP/scripts/kernel.sh" off x86_64 $([ -n "${FULL:-}" ] || without /afs/); then
	ok "builds with CONFIG_PER_VMA_LOCK=n"
	{
		find "$BUILD/off-x86_64" -name '*.o' -not -path '*/scripts/*' -not -path '*/tools/*' \
			-exec nm {} + 2> /dev/null |
			grep -E ' (lock_vma_under_rcu|lock_fault_vma|__?vma_(try_)?start_(write|read).*|vma_mark_.*|__vma_wake_writer|vma_lock_init_map|per_vma_lock.*)$' || true
		find "$BUILD/off-x86_64/mm" "$BUILD/off-x86_64/kernel" -name '*.o' -exec strings -a {} + |
			grep -E 'per_vma_lock|vma_lock_(success|abort|retry|miss)' || true
	} > "$log"
	if [ -s "$log" ]; then
		fail "no trace of it with CONFIG_PER_VMA_LOCK=n" "$log"
	else
		ok "no trace of it with CONFIG_PER_VMA_LOCK=n"
	fi
else
	: > "$log"
	fail "builds with CONFIG_PER_VMA_LOCK=n" "$log"
fi

# Other configurations: the series must build without what they leave out.
all="SMP USERFAULTFD HUGETLBFS SWAP MEMCG TRANSPARENT_HUGEPAGE NUMA"
[ -n "${FULL:-}" ] || all=SMP
for sym in $all; do
	name="builds with CONFIG_$sym=n"
	# shellcheck disable=SC2046
	if "$TOP/scripts/kernel.sh" "no-$sym" x86_64 \
		$([ -n "${FULL:-}" ] || without userfaultfd) > "$log" 2>&1 &&
	   ! grep -E '\.[chS]:[0-9]+:.*warning:' "$BUILD/no-$sym-x86_64.log" > "$log"; then
		ok "$name"
	else
		fail "$name" "$log"
	fi
done

# The oldest version that the series applies to. The newest is BASE.
if [ -n "${FULL:-}" ]; then
	phase "make check: other versions of 6.1"
	if "$TOP/scripts/versions.sh" > "$log" 2>&1; then ok "applies to other versions"; else fail "applies to other versions" "$log"; fi
	if "$TOP/scripts/versions.sh" -b 6.1.170 > "$log" 2>&1; then ok "6.1.170: builds, boots, tests"; else fail "6.1.170: builds, boots, tests" "$log"; fi
fi

# An architecture without per-VMA locks
if [ -n "${FULL:-}" ]; then
	for tool in riscv64-linux-gnu-gcc:gcc-riscv64-linux-gnu qemu-system-riscv64:qemu-system-misc; do
		need "${tool%%:*}" "${tool##*:}"
	done
	if "$TOP/scripts/kernel.sh" off riscv > "$log" 2>&1; then
		ok "builds for riscv64"
	else
		fail "builds for riscv64" "$log"
	fi
	riscv64-linux-gnu-gcc -O2 -static -o "$BUILD/init-riscv" "$TOP/scripts/guest/init.c"
	[ -x "$BUILD/gen_init_cpio" ] || "$TOP/scripts/initramfs.sh"
	printf 'dir /dev 0755 0 0\nnod /dev/console 0600 0 0 c 5 1\nfile /init %s 0755 0 0\n' \
		"$BUILD/init-riscv" > "$BUILD/initramfs-riscv.list"
	"$BUILD/gen_init_cpio" "$BUILD/initramfs-riscv.list" > "$BUILD/initramfs-riscv.cpio"
	timeout 120 qemu-system-riscv64 -M virt -smp 2 -m 512 -nographic -no-reboot \
		-kernel "$BUILD/off-riscv/arch/riscv/boot/Image" -initrd "$BUILD/initramfs-riscv.cpio" \
		-append "console=ttyS0 panic=-1 panic_on_warn=1" < /dev/null > "$log" 2>&1 || true
	if grep -q '^init: touched, forked, all right' "$log"; then
		ok "boots on riscv64"
	else
		fail "boots on riscv64" "$log"
	fi
fi

phase
echo
echo "$passed passed, $failed failed, 0 skipped"
[ $failed -eq 0 ]
