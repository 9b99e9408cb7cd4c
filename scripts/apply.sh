#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Apply the series to a kernel tree of yours, all of it or nothing, or take it back.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<EOF
usage: scripts/apply.sh -d DIR [-n] [-R] [-h]     (make apply KDIR=DIR [DRY=1] [R=1])

Applies the series to the kernel source in DIR, a git checkout or a plain tree.
Nothing is committed. If any patch does not apply, nothing is changed, and the
patch, the file and the line are named. Files are replaced, not written to. So
a tree that shares files with DIR (cp -al) stays as it is. An interrupted run
undoes its changes. If a run was killed, the next run undoes them.

  -n  only say what would be done
  -R  take the series back out of DIR
EOF
}

dry='' reverse='' kdir=''
while getopts d:nRh opt; do
	case $opt in
	d) kdir=$OPTARG ;;
	n) dry=1 ;;
	R) reverse=1 ;;
	h) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
done
kdir apply
need git git
need flock util-linux
exec {lock}< "$kdir"
flock -n "$lock" || die "another run is at work on $kdir: wait for it"

# What a killed run leaves: the old files and, once all of them are there, their list.
state=$kdir/.per-vma-lock.apply
undo()
{
	local f
	if [ -f "$state/list" ]; then
		while read -r f; do
			if [ -f "$state/old/$f" ]; then
				mv -f "$state/old/$f" "$kdir/$f"
			elif grep -qxF "$f" "$state/added"; then
				rm -f "$kdir/$f"
			fi
		done < "$state/list"
	fi
	rm -rf "$state"
}
if [ -e "$state" ]; then
	[ -z "$dry" ] ||
		die "$kdir: a run was killed there and may have left it partly changed; the next one without DRY=1 undoes that"
	undo
	say "$kdir: undone what a run that was killed had begun"
fi

# Work on a copy of the files that the series touches, outside any repository.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/tree"
changed=() added=()
declare -A adds copied
mkdir "$work/diff"
while IFS=$'\t' read -r patch files; do
	printf '%s\n' "$patch" >> "$work/patches"
	for f in $files; do added+=("$f") adds[$f]=1; done
done < <(series_entries)
split_patches "$work/diff" < "$work/patches" > "$work/files"
while read -r _ f patch; do
	[ -z "${adds[$f]:-}${copied[$f]:-}" ] || continue
	[ -f "$kdir/$f" ] || die "$patch: $f: not in $kdir"
	[ -d "$work/tree/${f%/*}" ] || [ "$f" = "${f%/*}" ] || mkdir -p "$work/tree/${f%/*}"
	cp -p "$kdir/$f" "$work/tree/$f"
	copied[$f]=1 changed+=("$f")
done < "$work/files"

# try N [-R]: applies patch N to the copy. git apply has no fuzz: the context must match.
try()
{
	: > "$work/log"
	[ -s "$work/diff/$1" ] || return 0
	(cd "$work/tree" && GIT_DIR=$work/none git apply -v ${2:+"$2"} "${exclude[@]}" "$work/diff/$1") \
		> "$work/log" 2>&1
}
exclude=()
for f in "${added[@]}"; do exclude+=("--exclude=$f"); done

# How many of the patches are in the copy now? All as they are here, none, or some.
take_back()
{
	local f i n=0
	cp -rp "$work/tree" "$work/before"
	for ((i = total; i > 0; i--)); do
		! try $i -R || n=$((n + 1))
	done
	for f in "${added[@]}"; do
		[ ! -e "$kdir/$f" ] || there=$((there + 1))
		! cmp -s "$kdir/$f" "$TOP/$f" || same=$((same + 1))
	done
	reversed=$n
}
there=0 same=0
total=$(wc -l < "$work/patches")
if [ -n "$reverse" ] || [ -e "$kdir/mm/vma_lock.c" ]; then
	take_back
	if [ "$reversed" -lt "$total" ] || [ $same -lt ${#added[@]} ]; then
		what="partly applied: $reversed of $total patches and $there of ${#added[@]} new files are there"
		[ $same -eq $there ] || what+=", $((there - same)) of them not as they are here"
		[ "$there" -gt 0 ] || what="not applied"
		die "$kdir: the series is $what; nothing changed"
	fi
	[ -n "$reverse" ] || die "$kdir: the series is applied already"
elif [ -e "$kdir/.git" ]; then
	file=$(git -C "$kdir" status --porcelain -uno | sed -n "1s/^...//p")
	[ -z "$file" ] || die "$kdir has changes that are not committed ($file): commit or stash them"
fi

if [ -z "$reverse" ]; then
	n=0
	while read -r patch; do
		n=$((n + 1))
		if ! try $n; then
			at=$(sed -n 's/^error: patch failed: //p' "$work/log" | head -1)
			die "$patch: does not apply at ${at:-$(sed -n 's/^error: //p' "$work/log" | head -1)}; $kdir is unchanged"
		fi
		[[ $(< "$work/log") != *offset* ]] ||
			sed -n "/offset/s|^Hunk #|   $patch: hunk #|p" "$work/log"
	done < "$work/patches"
	for f in "${added[@]}"; do
		[ ! -e "$kdir/$f" ] || die "$f: exists in $kdir already; nothing changed"
		mkdir -p "$work/tree/$(dirname "$f")"
		cp -p "$TOP/$f" "$work/tree/$f"
	done
fi

# Check now what could fail later.
need_kb=$(($(du -sk "$work/tree" | cut -f1) * 3 + 1024))
have_kb=$(df -Pk "$kdir" | awk 'NR == 2 { print $4 }')
[ "$have_kb" -ge $need_kb ] || die "$kdir: $have_kb KiB are free there, $need_kb are needed; nothing changed"
while read -r d; do
	while [ ! -e "$kdir/$d" ]; do d=$(dirname "$d"); done
	[ -w "$kdir/$d" ] || die "$kdir/$d: cannot be written to; nothing changed"
done < <(printf './%s\n' . "${changed[@]}" "${added[@]}" | sed 's|/[^/]*$||' | sort -u)

say "Linux $version: ${#changed[@]} files changed, ${#added[@]} $([ -z "$reverse" ] && echo added || echo removed)"
if [ -n "$dry" ]; then
	printf 'M %s\n' "${changed[@]}"
	printf "$([ -z "$reverse" ] && echo A || echo D) %s\n" "${added[@]}"
	say "nothing done (DRY)"
	exit 0
fi

# First copy the old files and the new files into DIR, then replace each file by a rename.
interrupted()
{
	trap '' INT TERM HUP
	undo
	rm -rf "$work"
	echo "apply.sh: $1; $kdir is as it was" >&2
	exit "$2"
}
trap 'interrupted interrupted 130' INT TERM HUP
fill()
{
	local f
	mkdir -p "$state/old" "$state/new"
	for f in "${changed[@]}"; do
		mkdir -p "$state/old/$(dirname "$f")" && cp -p "$kdir/$f" "$state/old/$f" || return 1
	done
	if [ -n "$reverse" ]; then
		for f in "${added[@]}"; do
			mkdir -p "$state/old/$(dirname "$f")" && cp -p "$kdir/$f" "$state/old/$f" || return 1
		done
		: > "$state/added"
	else
		printf '%s\n' "${added[@]}" > "$state/added" || return 1
	fi
	cp -rp "$work/tree/." "$state/new/" || return 1
	printf '%s\n' "${changed[@]}" "${added[@]}" > "$state/list.part" && sync -f "$state" &&
		mv "$state/list.part" "$state/list"
}
move()
{
	local f
	while read -r f; do
		if [ -f "$state/new/$f" ]; then
			mkdir -p "$kdir/$(dirname "$f")" && mv -f "$state/new/$f" "$kdir/$f" || return 1
		else
			rm -f "$kdir/$f" || return 1
		fi
	done < "$state/list"
}
fill && move || interrupted "cannot write to $kdir" 1
# From here on the change is complete. Without the list there is nothing to undo.
mv "$state/list" "$state/done"
trap - INT TERM HUP
rm -rf "$state"
if [ -n "$reverse" ]; then
	# Remove directories that have become empty.
	printf '%s\n' "${added[@]}" | xargs -d '\n' -n1 dirname | sort -ru |
		while read -r d; do rmdir -p --ignore-fail-on-non-empty "$kdir/$d" 2> /dev/null || true; done
	say "taken back out of $kdir"
	exit 0
fi
say "applied to $kdir; CONFIG_PER_VMA_LOCK is on by default on x86-64 and arm64"
# Debian's .gitignore hides every new file from 'git add -A'.
if [ -e "$kdir/.git" ]; then
	hidden=$(git -C "$kdir" check-ignore -- "${added[@]}" | xargs) || true
	[ -z "$hidden" ] || say "note: .gitignore hides the new files; 'git add -A' and then: git add -f $hidden"
elif grep -qx '/\*' "$kdir/.gitignore" 2> /dev/null; then
	say "note: .gitignore hides every file; in a new repository: git add -A -f"
fi
