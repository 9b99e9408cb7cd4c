#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tables and a plot of make stalls.

usage: stalls.py RAW PLOT.svg

RAW has a line for each boot and call: KERNEL CALL CALLS SAMPLES, then microseconds of
mmap(), first touch and munmap() together (50%, 99%, 99.9%, longest), of the first touch
(50%, 99%), and of a fault in a VMA that stays (50%, 99%, 99.9%). Prints medians over the
boots.
"""
import statistics
import sys

KERNELS = {"base": "6.1", "peer": "6.12", "pervma": "with the series"}
COLUMNS = ["p50", "p99", "p99.9", "longest", "touch p50", "touch p99",
           "fault p50", "fault p99", "fault p99.9"]


def read(path):
    values = {}
    with open(path, encoding="ascii") as lines:
        for line in lines:
            kernel, call, _, _, *us = line.split()
            values.setdefault((call, kernel), []).append([float(x) for x in us])
    return {key: dict(zip(COLUMNS, map(statistics.median, zip(*boots))))
            for key, boots in values.items()}


def table(data, calls, column):
    print(f"\n{column}, microseconds, and how many times that during nothing:\n")
    print("| during | " + " | ".join(KERNELS.values()) + " |")
    print("|---|" + "---|" * len(KERNELS))
    for call in calls:
        cells = []
        for kernel in KERNELS:
            us = data[call, kernel][column]
            cells.append(f"{us:.0f} ({us / data['nothing', kernel][column]:.1f})")
        print(f"| {call} | " + " | ".join(cells) + " |")


def plot(data, calls, path):
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "stalls"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 0.45 * len(calls) + 1.2))
    for n, (kernel, name) in enumerate(KERNELS.items()):
        axes.barh([i + 0.27 * (n - 1) for i in range(len(calls))],
                  [data[call, kernel]["p99"] for call in calls], 0.25, label=name)
    axes.set_yticks(range(len(calls)), calls)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("mmap(), first touch and munmap(): 99% within, microseconds")
    axes.legend(loc="lower right", fontsize="small")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main():
    if len(sys.argv) != 3 or sys.argv[1] in ("-h", "--help"):
        print(__doc__.strip(), file=sys.stderr if len(sys.argv) != 2 else sys.stdout)
        sys.exit(0 if len(sys.argv) == 2 else 2)
    data = read(sys.argv[1])
    calls = list(dict.fromkeys(call for call, _ in data))
    for column in ("p99", "p99.9", "touch p99", "fault p50", "fault p99", "fault p99.9"):
        table(data, calls, column)
    plot(data, calls, sys.argv[2])


main()
