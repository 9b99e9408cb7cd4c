#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""The table of make demo, from the pairs that bench/demo_rounds.sh prints."""
import sys


def median(values):
    values = sorted(values)
    n = len(values)
    return (values[(n - 1) // 2] + values[n // 2]) / 2


def interval(values):
    """The 95% interval of the median, by the order of the values"""
    values = sorted(values)
    n = len(values)
    low = max(0, int(n / 2 - 0.98 * n ** 0.5))
    return values[low], values[n - 1 - low]


def main():
    if sys.argv[1:] == ["-h"] or len(sys.argv) != 3:
        print("usage: pairs.py [-h] CPUS FILE\n\n" + __doc__)
        sys.exit(0 if sys.argv[1:] == ["-h"] else 2)
    cpus = int(sys.argv[1])
    threads = "1 thread" if cpus == 2 else f"{cpus - 1} threads"
    loads = {
        "alone": "1 thread faults",
        "own": f"{cpus} threads fault, a VMA each",
        "one": f"{cpus} threads fault, one VMA",
        "own-map": f"{threads} fault{'s' if cpus == 2 else ', a VMA each'}, 1 maps",
        "one-map": f"{threads} fault, one VMA, 1 maps",
    }

    pairs = {name: [] for name in loads}
    stat = {}
    for line in open(sys.argv[2]):
        words = line.split()
        if words[:1] == ["pair"]:
            pairs[words[1]].append([float(w) for w in words[2:]])
        elif words[:1] == ["vmstat"]:
            stat[words[1]] = int(words[2])

    print(f"\n| {cpus} vCPUs | | VMA lock off | VMA lock on | on/off (95%) |")
    print("|---|---|---|---|---|")
    for name, label in loads.items():
        rows = pairs[name]
        if not rows:
            continue
        for i, what in ((0, "faults/s"), (2, "maps/s")):
            ratios = [r[i + 1] / r[i] for r in rows if r[i]]
            if not ratios:
                continue
            off, on = median([r[i] for r in rows]), median([r[i + 1] for r in rows])
            print(f"| {label} | {what} | {off:.0f} | {on:.0f} | {median(ratios):.3f} "
                  "({:.3f}-{:.3f}) |".format(*interval(ratios)))
            label = ""
    print(f"\n{stat['vma_lock_success']} of {stat['pgfault']} faults under a VMA lock; "
          "half of the time it was off.\nQEMU TCG: ratios in one run and no hardware throughput.")


if __name__ == "__main__":
    main()
