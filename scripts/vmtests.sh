#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Run 6.1's own selftests/vm and selftests/proc in the guest, on base and on pervma.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<END
usage: scripts/vmtests.sh [-h] [-k KERNEL] [ARCH]     (make vmtests [KERNEL=debug] [ARCH=arm64])

Builds the programs of tools/testing/selftests/vm and of selftests/proc. Runs each on base
and on KERNEL (pervma), as run_vmtests.sh does. Prints a table: the exit status and, if the
program speaks TAP, how many of its tests passed. The exit status is 1 if any differ, or if
KERNEL complains of something (the debug kernel's validator, lockdep, KASAN).
Programs that need libcap, sudo, or a module are left out.
END
}

kernel=pervma
kernel_option "$@"
shift $((OPTIND - 1))
[ $# -le 1 ] || { usage >&2; exit 2; }
arch=${1:-x86_64}
cross=$(cross_prefix "$arch")
[ -d "$TREE/.git" ] || "$TOP/scripts/tree.sh"
selftests=$TREE/tools/testing/selftests
out=$BUILD/vmtests-$arch

# Program and arguments, as run_vmtests.sh has them
tests='hugepage-mmap
hugepage-shm
map_hugetlb
hugepage-mremap huge/huge_mremap
hugepage-vmemmap
hugetlb-madvise huge/madvise-test
map_fixed_noreplace
userfaultfd anon 20 16
userfaultfd hugetlb 32 32
userfaultfd hugetlb_shared 32 32 huge/uffd-test
userfaultfd shmem 20 16
map_populate
mlock2-tests
mrelease_test
mremap_test
thuge-gen
virtual_address_range
va_128TBswitch
mremap_dontunmap
madv_populate
memfd_secret
ksm_tests -M -p 10
ksm_tests -U
ksm_tests -Z -p 10 -z 0
ksm_tests -Z -p 10 -z 1
ksm_tests -N -m 1
ksm_tests -N -m 0
soft-dirty
split_huge_page_test
migration
khugepaged'
[ "$arch" != x86_64 ] || tests+=$'\nprotection_keys'

tests+=$'\n'$(sed -n 's/^TEST_GEN_PROGS += //p' "$selftests/proc/Makefile")

# KASAN and lockdep are slow.
limit=300
[ "$kernel" != debug ] || limit=1200
mkdir -p "$out"
say "building selftests/vm for $arch"
kbuild "$TREE" "$out/headers" "$arch" headers > "$out/build.log" 2>&1 ||
	die "no headers, see $out/build.log"
programs=()
for p in $(awk '!seen[$1]++ { print $1 }' <<< "$tests"); do
	util='' flags='' src=$selftests/vm
	[ -f "$src/$p.c" ] || { src=$selftests/proc; flags=-D_GNU_SOURCE; }
	! grep -q vm_util.h "$src/$p.c" || util=$src/vm_util.c
	[ "$p" != protection_keys ] || flags=-mxsave
	# shellcheck disable=SC2086
	if "${cross}gcc" -static -w -pthread $flags -I "$TREE" -isystem "$out/headers/usr/include" \
		-o "$out/$p" "$src/$p.c" $util -lrt -ldl -lm >> "$out/build.log" 2>&1; then
		programs+=(-f "$out/$p")
	else
		say "$p does not build, see $out/build.log"
		tests=$(grep -v "^$p\b" <<< "$tests")
	fi
done

{
	echo '#!/bin/sh'
	echo 'mkdir huge; echo 192 > /proc/sys/vm/nr_hugepages; mount -t hugetlbfs none huge'
	echo 'mkdir -p /tmp/t; cd /root'
	while read -r t; do
		echo "timeout $limit $t > /tmp/out 2>&1 < /dev/null; s=\$?"
		echo "echo \"$t|exit \$s, \$(grep -c '^ok' /tmp/out) ok, \$(grep -c '^not ok' /tmp/out) not ok\""
	done <<< "$tests"
} > "$out/vmtests"
chmod +x "$out/vmtests"
for k in base "$kernel"; do
	say "running on $k-$arch"
	"$TOP/vm" -a "$arch" -k "$k" -m 2048 -t $((6 * limit)) "${programs[@]}" -f "$out/vmtests" \
		-b "transparent_hugepage=madvise" -- vmtests > "$out/$k.txt" || die "$k-$arch: $(cat "$BUILD/results/$k-$arch/conclusion.txt")"
done
awk -F'|' -v kernel="$kernel" '
	NR == FNR { base[$1] = $2; next }
	FNR == 1 { printf "%-48s %-28s %s\n", "selftests/vm, selftests/proc", "base", kernel }
	{
		printf "%-48s %-28s %s%s\n", $1, base[$1], $2, base[$1] == $2 ? "" : "   DIFFERENT"
		if (base[$1] != $2) differ++
		n++
	}
	END { printf "\n%d run, %d different\n", n, differ; exit differ > 0 || !n }
' "$out/base.txt" "$out/$kernel.txt"
