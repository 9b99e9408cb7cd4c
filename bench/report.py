#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Tables and plots of a run of scripts/bench.sh.

usage: report.py RESULTS.csv OUTDIR CAPTION 6.1-VERSION 6.12-VERSION
"""
import csv
import sys
from collections import defaultdict
from math import ceil, exp, log
from statistics import median

import matplotlib
matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.ticker import LogLocator

KERNELS = ["base", "peer", "off", "on"]
STYLE = {"base": ("#666666", "o", "--"), "peer": ("#0072b2", "s", "-"),
         "off": ("#e69f00", "^", "--"), "on": ("#d55e00", "D", "-")}
plt.rcParams.update({"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "bench",
                     "axes.spines.top": False, "axes.spines.right": False})
NOTE = "TCG ratios are no hardware throughput."


def read(path):
    """Return {(case, variant): {tasks: {kernel: [value]}}}, the VMAs, and latencies"""
    values = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    vmas, latency = defaultdict(set), defaultdict(lambda: defaultdict(int))
    with open(path, newline="") as f:
        for r in csv.DictReader(f):
            if r["case"] == "latency":
                latency[r["kernel"]][float(r["variant"])] += int(r["value"])
                continue
            key, tasks = (r["case"], r["variant"]), int(r["tasks"])
            values[key][tasks][r["kernel"]].append(float(r["value"]))
            if r["vmas"]:
                vmas[key, tasks].add(r["vmas"])
    # Drop cases that did not end on some kernel: they can't be compared.
    for key, by in list(values.items()):
        for tasks in [t for t, v in by.items() if len(v) < len(KERNELS)]:
            del by[tasks]
        if not by:
            del values[key]
    return values, vmas, latency


def figure(n, columns, width=3.2, height=2.5):
    columns = min(n, columns)
    rows = ceil(n / columns)
    fig, axes = plt.subplots(rows, columns, squeeze=False, layout="constrained",
                             figsize=(max(width * columns, 6.6), height * rows + 0.9))
    for ax in axes.flat[n:]:
        ax.axis("off")
    return fig, list(axes.flat)


def finish(fig, ax, path, names, caption):
    handles = [plt.Line2D([], [], color=STYLE[k][0], marker=STYLE[k][1], ls=STYLE[k][2],
                          label=names[k]) for k in KERNELS]
    rows = 1 if fig.get_figwidth() > 8 else 2
    fig.legend(handles=handles, loc="upper center", ncol=4 // rows, frameon=False)
    fig.get_layout_engine().set(rect=(0, 0, 1, 1 - 0.25 * rows / fig.get_figheight()))
    fig.supxlabel(f"{caption}.\n{NOTE}", fontsize=7.5, color="#555555")
    fig.savefig(path, metadata={"Date": None})
    plt.close(fig)


def lines(values, variant, path, names, caption):
    cases = [k for k in values if k[1] == variant]
    if not cases:
        return False
    fig, axes = figure(len(cases), 4 if len(cases) > 4 else 2)
    for ax, key in zip(axes, cases):
        top = max(max(v) for by in values[key].values() for v in by.values())
        unit = 1000 if top >= 10000 else 1
        for k in KERNELS:
            x = [t for t in sorted(values[key]) if values[key][t][k]]
            mid = [median(values[key][t][k]) / unit for t in x]
            low = [m - min(values[key][t][k]) / unit for t, m in zip(x, mid)]
            high = [max(values[key][t][k]) / unit - m for t, m in zip(x, mid)]
            colour, marker, style = STYLE[k]
            # Shift each kernel a little, so that the spreads do not hide each other.
            aside = (KERNELS.index(k) - 1.5) * 0.05
            ax.errorbar([t + aside for t in x], mid, yerr=[low, high], color=colour,
                        marker=marker, ls=style, ms=4, lw=1.3, elinewidth=0.8, capsize=2)
        ax.set_title(key[0], fontsize=10)
        ax.set_ylim(bottom=0)
        ax.set_xticks(sorted(values[key]))
        ax.set_xlabel(variant)
        ax.set_ylabel("thousand a second" if unit > 1 else "a second")
    finish(fig, axes[0], path, names, f"{caption}; median, lowest and highest")
    return True


def mixed(values, path, names, caption):
    """Plot both sides of a load: faults across, maps up. A faint mark is a round, a number
    is that of tasks."""
    cases = [c for c in ("mixed", "mixed-1") if (c, "faults") in values]
    if not cases:
        return False
    fig, axes = figure(len(cases), 2, 3.9, 3.4)
    for ax, case in zip(axes, cases):
        for k in KERNELS:
            x, y = [], []
            for tasks in sorted(values[case, "faults"]):
                faults = [v / 1000 for v in values[case, "faults"][tasks][k]]
                maps = values[case, "maps"][tasks][k]
                ax.scatter(faults, maps, s=10, color=STYLE[k][0], marker=STYLE[k][1], alpha=0.3, lw=0)
                x.append(median(faults))
                y.append(median(maps))
                ax.annotate(str(tasks), (x[-1], y[-1]), xytext=(4, 4), textcoords="offset points",
                            fontsize=7, color=STYLE[k][0])
            ax.plot(x, y, color=STYLE[k][0], marker=STYLE[k][1], ls=STYLE[k][2], ms=5, lw=1.2)
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter("")
        ax.set_xlim(left=0)
        ax.set_title(f"all but one fault, {'one VMA' if case[-1] == '1' else 'a VMA each'}; one maps",
                     fontsize=10)
        ax.set_xlabel("thousand faults a second")
        ax.set_ylabel("maps a second (log)")
    finish(fig, axes[0], path, names, f"{caption}; large: medians, with the number of tasks")
    return True


def cumulative(latency, path, names, caption):
    if not latency:
        return False
    fig, axes = figure(1, 1, 6.6, 3.2)
    for k in KERNELS:
        total, seen, x, y = sum(latency[k].values()), 0, [], []
        for us in sorted(latency[k]):
            # How many calls took at least that long
            x.append(us)
            y.append(100 * (total - seen) / total)
            seen += latency[k][us]
        axes[0].step(x, y, where="post", color=STYLE[k][0], ls=STYLE[k][2], lw=1.5)
    axes[0].set(xscale="log", yscale="log", xlabel="microseconds", ylabel="% that take as long or longer",
                title="mmap() or munmap() while 2 processes read its maps")
    axes[0].grid(color="#dddddd", lw=0.5)
    finish(fig, axes[0], path, names, caption)
    return True


def quantile(counts, q):
    left = q * sum(counts.values())
    for us in sorted(counts):
        left -= counts[us]
        if left <= 0:
            return us
    return max(counts)


def number(v):
    return f"{v / 1000:.1f}k" if v >= 10000 else f"{v:.0f}"


def most_areas(seen):
    """Of strings 'VMAs of AREAS', return those with the most areas mapped"""
    most = max((int(v.split()[-1]) for v in seen), default=0)
    return ", ".join(sorted(v for v in seen if int(v.split()[-1]) == most))


def spread(v):
    return f"{number(median(v))} ({number(min(v))}-{number(max(v))})"


def mean(ratios):
    return exp(sum(map(log, ratios)) / len(ratios)) if ratios else 0


def verdict(by, k):
    """Do all rounds of the series lie above, or below, all rounds of kernel K?"""
    if min(by["on"]) > max(by[k]):
        return "more"
    return "less" if max(by["on"]) < min(by[k]) else "overlap"


OURS = "bench."     # our program of the same name as one of will-it-scale


def both(values):
    """Compare the verdicts of will-it-scale's programs with those of ours of the same name"""
    md = []
    for (case, mode), of in values.items():
        ours = values.get((OURS + case, mode), {})
        for tasks in sorted(set(of) & set(ours)):
            say = [verdict(v[tasks], k) for k in ("base", "peer") for v in (of, ours)]
            # "overlap" contradicts neither of the other verdicts.
            fits = all(a == b or "overlap" in (a, b) for a, b in (say[:2], say[2:]))
            md.append(f"| {case} | {mode} | {tasks} | " + " | ".join(say) +
                      f" | {'yes' if fits else 'no'} |")
    return md and ["", "Rounds of the series above or below all rounds of the other kernel:", "",
                   "| case | | tasks | 6.1: theirs | bench/ | 6.12: theirs | bench/ | agree |",
                   "|---" * 8 + "|"] + md


def ratio(a, b):
    return median(a) / median(b) if a and b and median(a) and median(b) else 0


def answer(values, latency):
    """The result: ratios of medians by number of tasks, as means over the cases"""
    threads = [by for key, by in values.items() if key[1] == "threads" and not key[0].startswith(OURS)]
    numbers = sorted({t for by in values.values() for t in by})
    rows, text = [], []
    for k, what in (("base", "6.1"), ("peer", "6.12")):
        cells = []
        for t in numbers:
            ratios = [r for r in (ratio(by[t]["on"], by[t][k]) for by in threads if t in by) if r]
            cells.append(f"{mean(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})" if ratios else "")
        if threads:
            rows.append((f"threads, mean (range) of {len(threads)} cases: times {what}", cells))
        say = [verdict(v, k) for by in threads for v in by.values()]
        if say:
            text.append(f"Of {len(say)} measurements with threads {say.count('more')} lie above every round "
                        f"of {what}'s, {say.count('less')} below, and the rest overlap.")
    for case, what in (("mixed", "a VMA each"), ("mixed-1", "one VMA")):
        faults, maps = values.get((case, "faults"), {}), values.get((case, "maps"), {})
        for k, who in (("on", "the series"), ("peer", "6.12")) if faults else ():
            cells = [f"{ratio(faults[t][k], faults[t]['base']):.2f}; {ratio(maps[t][k], maps[t]['base']):.1f}"
                     if t in faults else "" for t in numbers]
            rows.append((f"all but one fault, {what}, one maps: {who}'s faults; maps, times 6.1's", cells))
    if latency:
        q = {k: quantile(latency[k], 0.99) for k in KERNELS}
        text.append(f"Beside readers of its maps, 99% of mmap() and munmap() take at most "
                    f"{q['on']:.0f} us, {q['base']:.0f} on 6.1 and {q['peer']:.0f} on 6.12.")
    return "\n".join(["6.1 with the series, beside 6.1 and 6.12, by the number of tasks at once:", "",
                      "| | " + " | ".join(map(str, numbers)) + " |", "|---" * (len(numbers) + 1) + "|"] +
                     [f"| {name} | {' | '.join(cells)} |" for name, cells in rows] + ["", " ".join(text)])


def main():
    if len(sys.argv) != 6:
        print(__doc__, file=sys.stdout if "-h" in sys.argv else sys.stderr)
        return "-h" not in sys.argv and 2
    results, out, caption, version, peer = sys.argv[1:]
    values, vmas, latency = read(results)
    if not values:
        print(f"report.py: {results}: no results", file=sys.stderr)
        return 1
    names = {"base": version, "peer": f"{peer} (mainline's lock)",
             "off": f"{version} + series, off", "on": f"{version} + series, on"}

    md = ["# Benchmarks", "", answer(values, latency), "",
          f"{caption}, in turn on each kernel, each task on a vCPU of its own. {NOTE} Median "
          "(lowest-highest); the ratios are of medians. All numbers: "
          "[results.csv](results.csv).", ""]
    for name, made in (
            ("threads", lines(values, "threads", f"{out}/threads.svg", names, caption)),
            ("processes", lines(values, "processes", f"{out}/processes.svg", names, caption)),
            ("mixed", mixed(values, f"{out}/mixed.svg", names, caption)),
            ("latency", cumulative(latency, f"{out}/latency.svg", names, caption))):
        if made:
            md += [f"![{name}]({name}.svg)", ""]

    md += ["| case | | tasks | VMAs | " + " | ".join(names[k] for k in KERNELS) +
           " | on/6.1 | on/6.12 | off/6.1 |", "|---" * 11 + "|"]
    for key in values:
        for tasks, by in sorted(values[key].items()):
            over = [f"{ratio(by[a], by[b]):.2f}"
                    for a, b in (("on", "base"), ("on", "peer"), ("off", "base"))]
            md.append(f"| {key[0]} | {key[1]} | {tasks} | {most_areas(vmas[key, tasks])} | " +
                      " | ".join(spread(by[k]) for k in KERNELS) + " | " + " | ".join(over) + " |")
    md += ["", "VMAs: in how many VMAs the tasks' areas lay, as /proc/self/maps had it; neighbours merge. "
           "`mixed`: all but one task fault, a VMA each (`mixed-1`: all in one), and one maps."]
    md += both(values)
    if latency:
        md += ["", "| mmap() or munmap(), us | 50% | 99% | 99.9% | longest | how many |", "|---" * 6 + "|"]
        for k in KERNELS:
            cells = [f"{quantile(latency[k], q):.0f}" for q in (0.5, 0.99, 0.999, 1)]
            md.append(f"| {names[k]} | {' | '.join(cells)} | {sum(latency[k].values())} |")
    with open(f"{out}/report.md", "w") as f:
        print("\n".join(md), file=f)
    print(f"\n{md[2]}\n\n{out}/report.md")
    return 0


sys.exit(main())
