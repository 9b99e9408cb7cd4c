#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: rootfs.sh
# Make build/rootfs.ext4, Debian 12 with the programs that scripts/programs.sh runs,
# for ./vm -r. Once: it is made anew if what it consists of changes here. Wants root
# and the network, or a mirror that apt is set up for.
. "$(dirname "$0")/../lib.sh"
[ "${1:-}" != -h ] || { sed -n 's/^# //p' "$0" | sed -n 2,5p; exit 0; }

packages="openjdk-17-jdk-headless mariadb-server mariadb-client sysbench postgresql-15 redis-server
	redis-tools memcached nodejs python3-minimal python3 gcc libc6-dev make gdb strace stress-ng
	xz-utils procps mount kmod btrfs-progs trinity criu linux-perf bpftrace"
# For nobody to read, or to link
leave_out=(/usr/share/doc /usr/share/man /usr/share/locale /usr/share/info '/usr/lib/jvm/*/jmods'
	/usr/lib/mysql/plugin/ha_mroonga.so)

image=$BUILD/rootfs.ext4
id=$({ echo "$packages" "${leave_out[@]}"; sed 1,/^exclusive/d "$0"; } | sha1sum | cut -d' ' -f1)
[ ! -f "$image" ] || [ "$(cat "$image.id" 2> /dev/null)" != "$id" ] || exit 0
exclusive rootfs wait
[ ! -f "$image" ] || [ "$(cat "$image.id" 2> /dev/null)" != "$id" ] || exit 0
"$TOP/scripts/deps.sh" mmdebstrap e2fsprogs
[ "$(id -u)" = 0 ] || die "not root: build/rootfs.ext4 cannot be made; run scripts/programs/rootfs.sh as root, once"
need mmdebstrap mmdebstrap
need mke2fs e2fsprogs

dir=$BUILD/rootfs.new log=$BUILD/rootfs.log
rm -rf --one-file-system "$dir" "$image" "$image.id" "$image.new"
# The host's own mirrors of Debian 12, if it has any; mmdebstrap knows others.
# shellcheck disable=SC2016
apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)|$(ORIGIN)|$(RELEASE)|$(ARCHITECTURE)' \
	'Created-By: Packages' 2> /dev/null | awk -F'|' '
	$2 == "Debian" && $3 ~ /^bookworm/ && $3 !~ /backports|proposed/ && $4 == "amd64" { print $1 }' |
	sort -u > "$BUILD/rootfs.list"
sources=()
! grep -q ' bookworm ' "$BUILD/rootfs.list" || sources=("$BUILD/rootfs.list")
options=()
for path in "${leave_out[@]}"; do options+=("--dpkgopt=path-exclude=$path/*" "--dpkgopt=path-exclude=$path"); done

say "making a root file system of Debian's packages, some minutes ($log)"
start=$SECONDS
# Their services do not start there; the databases' first files are made.
mmdebstrap --mode=root --variant=apt --architectures=amd64 --format=directory \
	--aptopt='APT::Install-Recommends "false"' "${options[@]}" \
	--include="$(echo $packages | tr ' ' ,)" \
	--customize-hook='rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/*' \
	--customize-hook='echo guest > "$1/etc/hostname"; echo "127.0.0.1 localhost guest" > "$1/etc/hosts"' \
	bookworm "$dir" ${sources[@]+"${sources[@]}"} > "$log" 2>&1 < /dev/null &
pid=$!
trap 'kill $pid 2> /dev/null || true' EXIT
while kill -0 $pid 2> /dev/null; do
	for _ in $(seq 50); do
		kill -0 $pid 2> /dev/null || break
		sleep 0.5
	done
	say "root file system: $(tail -n 1 "$log" | cut -c1-70), $((SECONDS - start)) s"
done
wait $pid || { tail -n 15 "$log" >&2; die "mmdebstrap failed, see $log"; }
trap - EXIT
mke2fs -q -t ext4 -L root -m 0 -d "$dir" "$image.new" "$(($(du -sm "$dir" | cut -f1) * 6 / 5 + 512))M" >> "$log" 2>&1 ||
	{ tail -n 5 "$log" >&2; die "cannot make the image, see $log"; }
rm -rf --one-file-system "$dir"
mv "$image.new" "$image"
echo "$id" > "$image.id"
say "root file system: made in $((SECONDS - start)) s, $(du -sm "$image" | cut -f1) MiB"
