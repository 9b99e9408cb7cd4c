#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# KVM's own selftests in a guest with KVM, with the switch off and on.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<END
usage: scripts/kvm.sh [-h] [ARCH [PATTERN]]     (make kvm [ARCH=x86_64] [ONLY=PATTERN])

Builds the kernel "kvm" (pervma with KVM), and those of 6.1's selftests/kvm that fault in and
replace memory of a guest, and kvm_remap and kvm_fifo (tools/testing/vma_lock). Boots QEMU with
virtualization, and runs each program there with vm.per_vma_lock 0, and then 1. A program passes
if it passes with both values, if with 0 no counter of VMA locks moves, and if with 1 these
counters have the pages that its guest touches first. The last line is "N passed, N failed, N
skipped". The exit status is 1 if any failed.

arm64 is the default: QEMU has EL2. x86_64 has KVM_AMD by QEMU's emulation of SVM. The two use
different paths in the kernel: arm64 looks up VMAs itself, x86-64 takes pages without waiting
(FOLL_NOWAIT). With PATTERN (of the shell) only programs whose name matches are run.
END
}

[ "${1:-}" != -h ] || { usage; exit 0; }
[ $# -le 2 ] || { usage >&2; exit 2; }
arch=${1:-arm64} only=${2:-*}
cross=$(cross_prefix "$arch")
case $arch in
x86_64) name=x86_64 tools=x86 ;;
arm64) name=aarch64 tools=arm64 ;;
*) die "$arch: no KVM there (x86_64, arm64)" ;;
esac
need "${cross}gcc" "gcc${cross:+-${cross%-}}"
[ -d "$TREE/.git" ] || "$TOP/scripts/tree.sh"
out=$BUILD/kvm-tests-$arch
src=$TREE/tools/testing/selftests/kvm

# Not memslot_perf_test: its guest has 2 s to touch 512 MiB, which is too much for QEMU.
# Each line: how many pages the guest touches first, which get_user_pages_fast() alone does
# not get; the program and its arguments.
# arm64 has several formats of a guest's page tables: one format is enough (4K pages).
mode=
[ "$arch" != arm64 ] || mode=' -m 2'
tests="1024 demand_paging_test -b 2M -v 2$mode
1024 demand_paging_test -b 2M -v 2$mode -u MISSING
1024 demand_paging_test -b 2M -v 2$mode -u MINOR -s shmem
0 demand_paging_test -b 2M -v 2$mode -s anonymous_hugetlb_2mb
0 demand_paging_test -b 2M -v 2$mode -s anonymous_thp
0 kvm_page_table_test -b 4M -v 2$mode
0 kvm_page_table_test -b 4M -v 2$mode -s anonymous_hugetlb_2mb
0 set_memory_region_test
0 memslot_modification_stress_test -b 2M -v 2 -i 20$mode
0 access_tracking_perf_test -b 2M -v 2$mode
0 dirty_log_test -i 3 -I 10$mode
0 kvm_remap 24
0 kvm_fifo present
8 kvm_fifo absent"
all=$(awk '!seen[$2]++ { print $2 }' <<< "$tests")
tests=$(while read -r pages program arguments; do
	# shellcheck disable=SC2053
	[[ $program != $only ]] || echo "$pages $program $arguments"
done <<< "$tests")
[ -n "$tests" ] || die "$only: no program of that name"
# In seconds. QEMU is slow, and much slower on a loaded machine.
limit=900

phase "selftests/kvm for $arch"
mkdir -p "$out"
# dirty_log_test of 6.1.192 uses a macro by its name in newer kernels.
cc=("${cross}gcc" -static -w -pthread -O2 -g -std=gnu99 -U_FORTIFY_SOURCE -fno-stack-protector
	-fno-PIE -no-pie -DTEST_ASSERT_EQ=ASSERT_EQ -I"$TREE/tools/include"
	-I"$TREE/tools/arch/$tools/include" -isystem "$out/headers/usr/include" -I"$src/include"
	-I"$src/include/$name" -I"$src/../rseq" -I"$src/..")
make_tests()
{
	local f flags o p
	kbuild "$TREE" "$out/headers" "$arch" headers
	rm -rf "${out:?}/lib"
	mkdir -p "$out/lib"
	for f in "$src"/lib/*.c "$src/lib/$name"/*.[cS]; do
		flags=
		# The compiler would turn this file's own memcpy() into a call of memcpy().
		case $f in */string_override.c) flags=-ffreestanding ;; esac
		o=${f#"$src/lib/"}
		"${cc[@]}" $flags -I"$(dirname "$f")" -c -o "$out/lib/${o//\//-}.o" "$f" || return
	done
	for p in $all; do
		f=$src/$p.c
		[ -f "$f" ] || f=$TOP/tools/testing/vma_lock/$p.c
		"${cc[@]}" -o "$out/$p" "$f" "$out"/lib/*.o -ldl || return
	done
}
programs=$(awk '!seen[$2]++ { print $2 }' <<< "$tests")
id=$({ git -C "$TREE" rev-parse HEAD:tools/testing/selftests/kvm HEAD:include
	git -C "$TREE" diff HEAD -- "$src"
	echo "$all ${cc[*]}"
	"${cc[0]}" --version
	cat "$TOP"/tools/testing/vma_lock/kvm_*.c; } | sha1sum)
if [ "$(cat "$out/.id" 2>/dev/null)" != "$id" ]; then
	make_tests > "$out/build.log" 2>&1 || die "they do not build, see $out/build.log"
	echo "$id" > "$out/.id"
fi

# The guest's script. It prints a line for each, "PASS  COMMAND  (what was counted)".
{
	cat <<'END'
#!/bin/sh
[ -c /dev/kvm ] || { echo "no /dev/kvm"; exit 1; }
mkdir -p /tmp/t; cd /bin # the programs open themselves by the name that they were called by
echo 32 > /proc/sys/vm/nr_hugepages
count() { awk -v n="$1" '$1 == n { print $2 }' /proc/vmstat; }
run() { # SWITCH LIMIT COMMAND...: sets $status, $read, $gup, $seconds
	echo $1 > /proc/sys/vm/per_vma_lock
	read=$(count vma_lock_read) gup=$(count vma_lock_gup) seconds=$(date +%s)
	shift
	timeout -s KILL "$@" > /tmp/t/out 2>&1 < /dev/null
	status=$?
	seconds=$(($(date +%s) - seconds))
	read=$(($(count vma_lock_read) - read)) gup=$(($(count vma_lock_gup) - gup))
}
one() { # PAGES LIMIT COMMAND...
	pages=$1
	shift
	why=
	for switch in 0 1; do
		run $switch "$@"
		why="$why${why:+; }$switch: exit $status, $seconds s, read $read, gup $gup"
		result=PASS
		case $status in
		0) ;;
		4) result=SKIP ;;
		*) result=FAIL ;;
		esac
		[ $switch = 1 ] || [ $((read + gup)) -eq 0 ] || result=FAIL
		# Each page counts once, and on arm64 once more for its VMA.
		[ $switch = 0 ] || [ $result != PASS ] ||
			{ [ $gup -ge $pages ] && [ $read -ge $((pages * PER_PAGE)) ]; } || result=FAIL
		[ $result = PASS ] || break
	done
	shift
	echo "$result  $*  ($why)"
	[ $result = PASS ] || tail -n 8 /tmp/t/out | sed 's/^/    /'
}
END
	# On arm64 the VMA of each page is looked up, too.
	case $arch in arm64) echo PER_PAGE=2 ;; *) echo PER_PAGE=1 ;; esac
	while read -r pages t; do echo "one $pages $limit $t"; done <<< "$tests"
} > "$out/kvm-tests"
chmod +x "$out/kvm-tests"

phase "kernel kvm-$arch"
"$TOP/scripts/kernel.sh" kvm "$arch"
n=$(wc -l <<< "$tests")
files=()
for p in $programs; do files+=(-f "$out/$p"); done
phase "$n programs with the switch off and on, in a guest with KVM"
# Each VM turns static keys. With a thread for each CPU, QEMU runs code that is being patched.
qemu=()
[ "$arch" != x86_64 ] || qemu=(-q "-accel tcg,thread=single")
status=0
# No stdin: the guest would read it.
"$TOP/vm" -a "$arch" -k kvm -m 2048 -t $((n * limit)) "${qemu[@]}" "${files[@]}" -f "$out/kvm-tests" \
	-- kvm-tests < /dev/null | tee "$out/results.txt" || status=$?
phase
results() { grep -c "^$1  " "$out/results.txt" || true; }
passed=$(results PASS) failed=$(results FAIL) skipped=$(results SKIP)
if [ $status -ne 0 ] || [ $((passed + failed + skipped)) -ne "$n" ]; then
	say "the guest ended early: $(cat "$BUILD/results/kvm-$arch/conclusion.txt" 2>/dev/null)"
	failed=$((n - passed - skipped))
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
