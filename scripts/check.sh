#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The series itself: applies, builds at each step, and reads clean.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<EOF
usage: scripts/check.sh [-h]     (make check)

Applies the series without fuzz, builds each step of it (a small config) and
the whole with the feature configured out, looks for traces of the feature in
the latter, and runs checkpatch, sparse and bash -n. The last line is "N passed, N failed, N skipped".
EOF
}

[ "${1:-}" != -h ] || { usage; exit 0; }
[ $# -eq 0 ] || { usage >&2; exit 2; }
passed=0 failed=0
ok()   { passed=$((passed + 1)); echo "ok   $1"; }
fail() { failed=$((failed + 1)); echo "FAIL $1"; sed 's/^/     | /' "$2" | tail -30; }
log=$BUILD/check.log

mkdir -p "$BUILD"
"$TOP/scripts/tree.sh"
ok "series applies without fuzz"

# Nobody signs off; MAINTAINERS is not the kernel's; upstream commits are named
# by subject; an array whose name two files share cannot be static.
ignore=MISSING_SIGN_OFF,FILE_PATH_CHANGES,COMMIT_LOG_LONG_LINE,GIT_COMMIT_ID,STATIC_CONST_CHAR_ARRAY

# Style, of patches as they would be mailed and so of the new files, too
"$TOP/scripts/export.sh"
if (cd "$TREE" && scripts/checkpatch.pl --no-tree --terse --no-summary --max-line-length=100 \
	--ignore "$ignore" \
	$(sed "s|^|$BUILD/series/|" "$BUILD/series/series")) > "$log" 2>&1 && [ ! -s "$log" ]; then
	ok checkpatch
else
	fail checkpatch "$log"
fi

: > "$log"
for f in "$TOP"/vm "$TOP"/scripts/*.sh "$TOP"/.ci/run; do
	bash -n "$f" 2>> "$log" || true
done
if [ -s "$log" ]; then fail "scripts parse" "$log"; else ok "scripts parse"; fi

if "$TOP/scripts/table.sh" | diff "$TOP/Documentation/series.md" - > "$log" 2>&1; then
	ok "Documentation/series.md is current"
else
	fail "Documentation/series.md is current" "$log"
fi

# No machine's paths in what is kept
if git -C "$TOP" grep -nIE '/(home|root|work)/[a-z]' -- . ':!scripts/check.sh' ':!scripts/guest' > "$log" 2>/dev/null; then
	fail "no machine paths" "$log"
else
	ok "no machine paths"
fi

# Each step builds
step=$BUILD/linux-step
head=$(git -C "$TREE" rev-parse HEAD)
git -C "$TREE" worktree prune
[ -e "$step/.git" ] || { rm -rf "$step"; git -C "$TREE" worktree add -q --detach "$step" base; }
n=0 total=$(git -C "$TREE" rev-list --count base..HEAD)
for c in $(git -C "$TREE" rev-list --reverse base..HEAD); do
	n=$((n + 1))
	name="step $n of $total builds: $(git -C "$TREE" show -s --format=%s "$c")"
	git -C "$step" checkout -q -f "$c"
	if "$TOP/scripts/kernel.sh" step > "$log" 2>&1 &&
	   ! grep -E '\.[chS]:[0-9]+:.*warning:' "$BUILD/step-x86_64.log" > "$log"; then
		ok "$name"
	else
		fail "$name" "$log"
	fi
done
[ "$(git -C "$TREE" rev-parse HEAD)" = "$head" ] || die "build/linux changed meanwhile"

# Sparse, on our files
if kbuild "$step" "$BUILD/step-x86_64" x86_64 C=2 CHECK=sparse mm/vma_lock.o mm/vma_fault.o > "$log" 2>&1 &&
   ! grep -E 'vma_(lock|fault)[a-z_]*\.[ch].*(warning|error)' "$log" > "$log.err"; then
	ok sparse
else
	fail sparse "$log"
fi

# Configured out: no symbol, no string
if "$TOP/scripts/kernel.sh" off; then
	ok "builds with CONFIG_PER_VMA_LOCK=n"
	{
		nm "$BUILD/off-x86_64/vmlinux" |
			grep -E ' (lock_vma_under_rcu|lock_fault_vma|__?vma_(try_)?start_(write|read).*|vma_mark_.*|__vma_wake_writer|vma_lock_key|per_vma_lock.*)$' || true
		strings -a "$BUILD/off-x86_64/vmlinux" |
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

echo
echo "$passed passed, $failed failed, 0 skipped"
[ $failed -eq 0 ]
