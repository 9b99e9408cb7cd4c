#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# How long a database's requests take while a monitor reads its memory maps.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<EOF
usage: scripts/serving.sh [-h]     (make serving [ROUNDS=5] [SECONDS=20] [PAIRS=N])

Runs MariaDB with 8 clients of sysbench (point selects) in a root file system of Debian's
packages, on 6.1, 6.12 and the series in turn, ROUNDS boots of each. Each boot serves
for SECONDS: alone; while a monitor reads the server's /proc/PID/smaps_rollup and maps
each second; while a client makes and drops a table in memory; and with both. Prints
medians over the boots of each kernel, and their range: requests a second, and how long
requests take, in milliseconds. Needs build/rootfs.ext4, which make programs makes, too.

With PAIRS, it boots the series once, and runs the load alone N times with vm.per_vma_lock
on and off in random order. Prints both medians, and the ratio within a pair with the 95%
interval of its median.
EOF
}
[ "${1:-}" != -h ] || { usage; exit 0; }
[ $# -eq 0 ] || { usage >&2; exit 2; }
rounds_or 5 1
secs=${LOAD_SECONDS:-20}
[[ $secs =~ ^[1-9][0-9]*$ ]] || die "SECONDS=$secs: not a number of seconds"

pairs=${LOAD_PAIRS:-0}
[[ $pairs =~ ^[0-9]+$ ]] || die "PAIRS=$pairs: not a number of pairs"

"$TOP/scripts/programs/rootfs.sh"
kernels=(base peer pervma)
[ "$pairs" -eq 0 ] || { kernels=(pervma) rounds=1; }
for k in "${kernels[@]}"; do "$TOP/scripts/kernel.sh" "$k-net"; done
out=$BUILD/serving
mkdir -p "$out"
raw=$out/raw.txt
rm -f "$raw"
# One file, with the functions that the guest's programs share
cat "$TOP/scripts/programs/lib.sh" > "$out/serving"
grep -v '/lib.sh"$' "$TOP/scripts/programs/serving" >> "$out/serving"
chmod +x "$out/serving"
for ((round = 1; round <= rounds; round++)); do
	for k in "${kernels[@]}"; do
		say "round $round of $rounds, $k, about $((60 + (6 + 2 * pairs) * (secs + 1))) s"
		"$TOP/vm" -k "$k-net" -c "$(nproc)" -m 3072 -t $((300 + (10 + 3 * pairs) * (secs + 1))) -r "$BUILD/rootfs.ext4" \
			-l "$out/$k" -b clocksource=tsc -f "$out/serving" \
			-- bash /usr/local/bin/serving "$secs" "$pairs" < /dev/null > "$out/$k.out" ||
			{ tail -n 5 "$out/$k.out" >&2; die "$k: $(cat "$out/$k/conclusion.txt")"; }
		sed -n "s/^+ /$k /p" "$out/$k.out" >> "$raw"
		say "$(tail -n 1 "$out/$k.out")"
	done
done
if [ "$pairs" -gt 0 ]; then
	PYTHONPATH=$TOP/bench PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 - "$raw" <<-'EOF' | tee "$out/pairs.md"
		import sys
		from pairs import interval, median
		rows = [line.split()[1:] for line in open(sys.argv[1])]
		pairs = list(zip(rows[::2], rows[1::2]))
		print("\n| | on | off | on / off |\n|---|---|---|---|")
		for i, what in enumerate(("p50", "p99", "p99.9", "longest", "requests/s"), 1):
		    value = lambda name: [float(r[i]) for r in rows if r[0] == name]
		    ratio = [float(a[i]) / float(b[i]) if a[0] == "switch-1" else
		             float(b[i]) / float(a[i]) for a, b in pairs]
		    low, high = interval(ratio)
		    print(f"| {what} | {median(value('switch-1')):.4g} | {median(value('switch-0')):.4g} |"
		          f" {median(ratio):.3f} ({low:.3f}-{high:.3f}) |")
	EOF
	exit
fi
awk "$awk_at"'
	BEGIN {
		split("p50 p99 p99.9 longest requests/s", column)
		what["nothing"] = "alone"
		what["monitor"] = "a monitor reads"
		what["report"] = "a table in memory"
		what["both"] = "both"
		kernels = split("base peer pervma", kernel)
	}
	{
		if (!($2 in seen)) { seen[$2] = 1; name[++names] = $2 }
		for (i = 1; i <= 5; i++)
			list[$1, $2, i] = list[$1, $2, i] " " $(i + 2)
	}
	function cell(k, n, i,   l) {
		l = list[k, n, i]
		return sprintf("%.4g (%.4g-%.4g)", at(l, 0.5), at(l, 0), at(l, 1))
	}
	END {
		if (!names) exit 1
		print "\n| meanwhile | | 6.1 | 6.12 | with the series | 6.1 / with |"
		print "|---|---|---|---|---|---|"
		for (n = 1; n <= names; n++)
			for (i = 1; i <= 5; i++)
				printf "| %s | %s | %s | %s | %s | %.2f |\n", i == 1 ? what[name[n]] : "", column[i],
					cell("base", name[n], i), cell("peer", name[n], i), cell("pervma", name[n], i),
					at(list["base", name[n], i], 0.5) / at(list["pervma", name[n], i], 0.5)
	}' "$raw" | tee "$out/table.md"
