#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Operations per second: 6.1 with the series, on and off, compared with 6.1 and 6.12.
. "$(dirname "$0")/lib.sh"

usage()
{
	cat <<END
usage: scripts/bench.sh [-h]     (make bench [QUICK=1] [WIS=DIR])

Runs will-it-scale's cases for memory and some more (bench/) on four kernels in
turn, each round once on each: base, peer (Debian's 6.12), and pervma with
the switch off and on. Then it turns the switch off and on in pairs of windows of one boot,
as make demo does. Writes build/bench/report.md, with its plots and CSV.

  QUICK=1       four cases, threads only, at 1, 2 and 4 tasks (under 10 minutes; else 90)
  WIS=DIR       runs the static NAME_threads and NAME_processes of will-it-scale in DIR instead,
                unchanged, and next to them those of bench/ with the same names (bench.NAME).
                They warm up for 6 s each. With QUICK=1 they run at 2 tasks only. A program
                that does not end within a minute is left out, and a line reports that
  ROUNDS=N      rounds, 3 at the least (5)
  TASKS="..."   how many tasks run concurrently, rising ("1 2 4")
  CASES="..."   only these programs of bench/ ("pft_threads mmap1_processes")
END
}
[ "${1:-}" != -h ] || { usage; exit 0; }
[ $# -eq 0 ] || { usage >&2; exit 2; }
rounds_or 5 3

need file file
kernels=(base peer off on)
out=$BUILD/bench
bench_programs all cases
tasks="1 2 4 6 8" options="-i 300 -w 1 -s 2" more=(mixed latency)
mapfile -t programs < <(cd "$out" && ls -- *_threads *_processes)
if [ -n "${QUICK:-}" ]; then
	tasks="1 2 4"
	programs=(page_fault1_own_threads pft_threads page_fault3_threads mmap1_threads)
fi
if [ -n "${WIS:-}" ]; then
	[ -d "$WIS" ] || die "WIS=$WIS: no such directory"
	WIS=$(cd "$WIS" && pwd)
	options="-s 1" more=()
	[ -z "${QUICK:-}" ] || tasks=2
	mapfile -t programs < <(cd "$WIS" && find . -maxdepth 1 -type f -perm /100 \
		\( -name '*_threads' -o -name '*_processes' \) -printf '%f\n' | sort)
	[ ${#programs[@]} -gt 0 ] || die "WIS=$WIS: no NAME_threads or NAME_processes in it"
	for p in "${programs[@]}"; do
		file "$WIS/$p" | grep -qE 'statically linked|static-pie' ||
			die "$WIS/$p: not static; build will-it-scale with LDFLAGS=-static"
	done
fi
tasks=${TASKS:-$tasks}
[[ $tasks =~ ^[1-9][0-9]*(\ [1-9][0-9]*)*$ ]] || die "TASKS=$tasks: numbers with a space between"
if [ -n "${CASES:-}" ]; then
	read -ra programs <<< "$CASES"
	for p in "${programs[@]}"; do
		[ -x "${WIS:-$out}/$p" ] || die "CASES: no $p in ${WIS:-bench/}"
	done
fi
files=(-f "$TOP/bench/bench_guest.sh")
for p in "${programs[@]}"; do
	files+=(-f "${WIS:-$out}/$p")
	# Run our program of that name, too, to compare what they show.
	[ -n "${WIS:-}" ] && [ -x "$out/$p" ] || continue
	install -D "$out/$p" "$out/wis/bench.$p"
	files+=(-f "$out/wis/bench.$p")
	programs+=("bench.$p")
done
[ -n "${WIS:-}" ] || files+=(-f "$out/fault_load" -f "$out/map_latency")

/usr/bin/python3 -c 'import matplotlib' 2>/dev/null || "$TOP/scripts/deps.sh" python3-matplotlib
for k in base peer pervma; do
	"$TOP/scripts/kernel.sh" "$k"
done

cpus=${tasks##* }
caption="$(qemu-system-x86_64 --version | sed -n '1s/.*version \([0-9.]*\).*/QEMU \1 TCG/p'), $cpus vCPUs on $(nproc) CPUs, $rounds rounds"
# A vCPU that waits for its turn may hold a spin lock that the others wait for.
load=$(cut -d. -f1 /proc/loadavg)
if [ "$load" -ge "$(nproc)" ]; then
	say "note: this machine is busy (load $load): expect wide spreads"
	caption+=", beside other work (load $load)"
fi
csv=$out/results.csv
rm -f "$out"/*.svg
echo "round,kernel,case,variant,tasks,value,vmas" > "$csv"
runs=$((rounds * ${#kernels[@]})) run=0 start=$SECONDS
# Prints what is being measured, each 20 s, and what is left out.
progress()
{
	local line last=0 n=0 all=$((${#programs[@]} * $(wc -w <<< "$tasks")))

	while IFS= read -r line; do
		case $line in
		'# left out: '*) say "${line#\# }" ;;
		'# '*)
			n=$((n + 1))
			[ $((SECONDS - last)) -ge 20 ] || continue
			last=$SECONDS
			say "round $round of $rounds, $k: ${line#\# } ($n of about $all)" ;;
		esac
	done
}
for ((round = 1; round <= rounds; round++)); do
	for k in "${kernels[@]}"; do
		with_switch "$k"
		boot+=" clocksource=tsc tsc=reliable"
		# TCG may run a stale breakpoint where a booting kernel patches itself. A guest
		# that has not printed its first number is started again.
		for try in 1 2 3; do
			"$TOP/vm" -k "$kernel" -c "$cpus" -m 4096 -t 7200 -b "$boot" "${files[@]}" \
				-- bench_guest.sh "$tasks" "$options" "${programs[@]}" \
				${more[@]+"${more[@]}"} | tee "$out/guest.txt" | progress && break
			! grep -qv '^#' "$out/guest.txt" && [ $try -lt 3 ] ||
				die "round $round, $k: did not end well"
		done
		sed "/^#/d; s/^/$round,$k,/" "$out/guest.txt" >> "$csv"
		run=$((run + 1)) spent=$((SECONDS - start))
		say "round $round of $rounds, $k: $spent s, about $((spent * (runs - run) / run)) s to go"
	done
done

say "report"
"$TOP/bench/report.py" "$csv" "$out" "$caption" \
	"$(tree_version "$TREE")" "$(tree_version "$BUILD/linux-peer")"
if [ -z "${WIS:-}" ]; then
	pairs=100
	[ -z "${QUICK:-}" ] || pairs=30
	{
		printf '\n## The switch off and on, in pairs of windows of one boot\n'
		run_pairs $pairs "$out/pairs.txt"
	} >> "$out/report.md"
fi
