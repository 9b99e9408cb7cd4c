#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Run litmus/*.litmus, and compare with the Result that each of them states.

Under Relacy, in C11's memory model, as litmus.cc renders the kernel's words; and
under herd7, in the kernel's own, if HERD_CFG is the path of the kernel's
tools/memory-model/linux-kernel.cfg. Prints TAP.
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


def render(name, text):
    """Render a test as C++: each P is a member function, each rN of it a field"""
    procs = re.findall(r"^P\d+\((.*?)\)\n\{\n(.*?)^\}", text, re.M | re.S)
    first = {v: int(n) for v, n in re.findall(r"^\t(?:int|atomic_t) (\w+) = \D*(\d+)", text, re.M)}
    names = sorted(set(re.findall(r"\*(\w+)", " ".join(args for args, _ in procs))))
    exists = re.search(r"^exists (.*)$", text, re.M).group(1)
    exists = re.sub(r"(\d+):r(\d)=", r"r[\1][\2] == ", exists).replace("/\\", "&&")
    kind = "t_" + re.sub(r"\W", "_", name)
    out = [f"struct {kind} : rl::test_suite<{kind}, {len(procs)}> {{",
           "static bool seen;", f"int r[{len(procs)}][4];"]
    out += [f"var {v}_;" for v in names]
    out += ["void before() {"]
    out += [f"{v}_.store({first.get(v, 0)}, rl::mo_relaxed, $);" for v in names] + ["}"]
    for i, (args, body) in enumerate(procs):
        body = re.sub(r"^\tint r\d;\n", "", body, flags=re.M)
        body = re.sub(r"\br(\d)\b", rf"r[{i}][\1]", body)
        out += [f"void P{i}() {{"]
        out += [f"var *{v} = &{v}_;" for v in re.findall(r"\*(\w+)", args)] + [body, "}"]
    out += ["void thread(unsigned i) {"]
    out += [f"if (i == {i}) P{i}();" for i in range(len(procs))] + ["}"]
    out += [f"void after() {{ seen |= {exists}; }}", "};", f"bool {kind}::seen;",
            f'static const test<{kind}> run_{kind}("{name}");']
    return "\n".join(out) + "\n"


def relacy(tests, out):
    """Return the result of each test, by name"""
    out.mkdir(parents=True, exist_ok=True)
    source, program = out / "litmus.cc", out / "litmus"
    source.write_text(f'#include "{HERE}/litmus.cc"\n' +
                      "".join(render(*test) for test in tests.items()))
    subprocess.run([os.environ.get("CXX", "g++"), "-O1", "-std=c++11", "-w",
                    "-o", program, source], check=True)
    lines = subprocess.run([program], check=True, stdout=subprocess.PIPE, text=True).stdout
    return dict(line.split() for line in lines.splitlines())


def herd7(config, tests):
    config = pathlib.Path(config).resolve()
    shown = {}
    for name in tests:
        text = subprocess.run(["herd7", "-conf", config.name, HERE / f"litmus/{name}.litmus"],
                              cwd=config.parent, check=True, stdout=subprocess.PIPE,
                              text=True).stdout
        shown[name] = re.search(r"^Observation \S+ (\w+)", text, re.M).group(1)
    return shown


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", default=".", help="where to build (here)")
    args = parser.parse_args()
    tests = {f.stem: f.read_text() for f in sorted(HERE.glob("litmus/*.litmus"))}
    shown = [("Relacy", relacy(tests, pathlib.Path(args.out) / "litmus"))]
    if os.environ.get("HERD_CFG"):
        shown.append(("herd7", herd7(os.environ["HERD_CFG"], tests)))
    number = bad = 0
    print(f"TAP version 13\n1..{len(tests) * len(shown)}")
    for checker, result in shown:
        for name, text in tests.items():
            number += 1
            ok = result[name] == re.search(r"^ \* Result: (\w+)", text, re.M).group(1)
            bad += not ok
            print(f"{'' if ok else 'not '}ok {number} litmus: {name}: {checker}: {result[name]}")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
