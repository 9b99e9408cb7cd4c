# SPDX-License-Identifier: GPL-2.0
# Per-VMA locks for Linux 6.1. 'make help' lists what can be made.

.DEFAULT_GOAL := help

help:
	@echo 'make deps       install what the rest needs (Debian 12, as root)'
	@echo 'make demo       from nothing to the table: build, boot, page-fault A/B'
	@echo 'make test       every test [ONLY=PATTERN] [FULL=1]; last line: N passed, N failed, N skipped'
	@echo 'make check      the series: applies, each step builds, checkpatch, sparse [FULL=1]'
	@echo 'make page-in    latency of mmap() beside page-ins from a slow disk'
	@echo 'make latency    latency of mmap() beside readers of /proc/PID/maps, and 6.1 and 6.12'
	@echo 'make mixed      faults beside a thread that maps, on 6.1, 6.12 and the series'
	@echo 'make conflicts  cache lines that faults on different CPUs fight for [CPUS=4] [ARCH=arm64]'
	@echo 'make cost       kernel instructions a fault, by kind, against base [COST_PEER=1]'
	@echo 'make bench      operations a second beside 6.1 and 6.12 [QUICK=1] [WIS=DIR]'
	@echo 'make vmtests    6.1'\''s own selftests/vm and proc, on base and on pervma [KERNEL=debug] [ARCH=arm64]'
	@echo 'make programs   stress-ng, a Go program and others on base and on pervma [KERNEL=debug] [SECONDS=5]'
	@echo 'make mutants    does removing a lock or a recheck fail a test? [ONLY=NAME]'
	@echo 'make torture    everything at once, in the debug kernel [SECONDS=1200] [ARCH=arm64]'
	@echo 'make soak       the kselftests over and over in the debug and KCSAN kernels [HOURS=1] [ARCH=arm64]'
	@echo 'make tree       lay out build/linux, a commit for each patch [KDIR=DIR] [FORCE=1]'
	@echo 'make refresh    write the commits of build/linux back to this repository'
	@echo 'make series     export mails for git am and quilt to build/series'
	@echo 'make apply KDIR=DIR    apply the series to your own 6.1 tree [DRY=1]'
	@echo 'make rebase KDIR=DIR   try it on another 6.1.y, and name what conflicts'
	@echo 'make deb        Debian packages with the series [FLAVOUR=amd64] [QUICK=1] [CONFIG=FILE]'
	@echo 'make kernel     build a kernel [KERNEL=pervma|base|peer|debug]'
	@echo 'make clean      remove build/'
	@echo
	@echo './vm -h         boot one of the kernels in QEMU and run a command in it'

KERNEL ?= pervma
export KDIR DRY FORCE FULL QUICK WIS ROUNDS TASKS CASES COST_PEER CONFIG

deps:
	@scripts/deps.sh
demo:
	@scripts/demo.sh
test:
	@scripts/test.sh $(if $(ONLY),'$(ONLY)')
check:
	@scripts/check.sh
cost:
	@scripts/cost.sh
page-in:
	@scripts/page_in.sh
latency:
	@scripts/latency.sh
mixed:
	@scripts/mixed.sh
conflicts:
	@scripts/conflicts.sh $(or $(CPUS),4) $(ARCH)
bench:
	@scripts/bench.sh
vmtests:
	@scripts/vmtests.sh -k $(KERNEL) $(ARCH)
programs:
	@scripts/programs.sh -k $(KERNEL) $(SECONDS)
torture:
	@scripts/torture.sh $(or $(SECONDS),1200) $(ARCH)
soak:
	@scripts/soak.sh $(or $(HOURS),1) $(ARCH)
mutants:
	@scripts/mutants.sh $(if $(ONLY),'$(ONLY)')
tree:
	@scripts/tree.sh
refresh:
	@scripts/refresh.sh
series:
	@scripts/export.sh
apply:
	@scripts/apply.sh
rebase:
	@scripts/rebase.sh
deb:
	@scripts/deb.sh $(FLAVOUR)
kernel:
	@scripts/kernel.sh $(KERNEL)
clean:
	rm -rf build

.PHONY: help deps demo test check cost bench conflicts latency page-in mixed vmtests programs torture soak mutants tree refresh series apply rebase deb kernel clean
