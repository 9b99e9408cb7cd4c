# SPDX-License-Identifier: GPL-2.0
# Per-VMA locks for Linux 6.1. 'make help' lists what can be made.

.DEFAULT_GOAL := help

help:
	@echo 'Each target is a script with -h. Variables count where they are given to make.'
	@echo
	@echo 'Begin'
	@echo '  make deps       install what the rest needs (Debian 12, as root) [GROUP=demo|test|bench|deb|...]'
	@echo '  make demo       from nothing to the table: build, boot, page-fault A/B [PAIRS=100]'
	@echo '  ./vm -h         boot one of the kernels in QEMU and run a command in it'
	@echo
	@echo 'Use the series'
	@echo '  make apply KDIR=DIR    apply it to your own 6.1 tree [DRY=1], or take it back [R=1]'
	@echo '  make rebase KDIR=DIR   try it on another 6.1.y, and name what conflicts'
	@echo '  make versions          try it on every 6.1.y that Debian has [FULL=1: build, boot, test] [ONLY=6.1.170]'
	@echo '  make series            export mails for git am, b4 and quilt to build/series'
	@echo '  make quilt-debian DIR=DIR   add it to an unpacked Debian linux source package [DRY=1]'
	@echo '  make deb               Debian packages with it [FLAVOUR=amd64] [QUICK=1] [DRY=1] [CONFIG=FILE]'
	@echo '  make release           a tarball, mails and checksums in build/release'
	@echo
	@echo 'Change the series'
	@echo '  make tree       lay out build/linux, a commit for each patch [KDIR=DIR] [FORCE=1]'
	@echo '  make htmldocs   HTML of the documents, in build/htmldocs'
	@echo '  make refresh    write the commits of build/linux back to this repository [FORCE=1]'
	@echo '  make kernel     build a kernel [KERNEL=pervma|base|peer|debug|kcsan|kvm]'
	@echo '  make clean      remove build/ [FORCE=1]'
	@echo
	@echo 'Test'
	@echo '  make test       every test [ONLY=PATTERN] [FULL=1]; last line: N passed, N failed, N skipped'
	@echo '  make check      the series: applies, each step builds, checkpatch, sparse [FULL=1]'
	@echo '  make mutants    does removing a lock or a recheck fail a test? [ONLY=NAME]'
	@echo '  make torture    everything at once, in the debug kernel [SECONDS=1200] [ARCH=arm64]'
	@echo '  make soak       the kselftests over and over in the debug and KCSAN kernels [HOURS=1] [ARCH=arm64] [KERNEL=debug]'
	@echo '  make vmtests    6.1'\''s own selftests/vm and proc, on base and on pervma [KERNEL=debug] [ARCH=arm64]'
	@echo '  make modules    modules of others, by DKMS, and one of ours, loaded in the guest [KERNEL=debug] [ONLY=PATTERN]'
	@echo '  make serving    how long requests to MariaDB take while a monitor reads /proc/PID [ROUNDS=5] [SECONDS=20] [PAIRS=N]'
	@echo '  make programs   databases, Java, Node, gcc, gdb, stress-ng on base and on pervma [ONLY=PATTERN] [QUICK=1] [KERNEL=debug] [SECONDS=5]'
	@echo '  make kvm        6.1'\''s own selftests/kvm, and a guest whose memory is replaced, in a guest of arm64 [ARCH=x86_64] [ONLY=PATTERN]'
	@echo
	@echo 'Measure'
	@echo '  make bench      operations a second of 6.1, 6.12 and the series [QUICK=1] [WIS=DIR]'
	@echo '  make mixed      faults concurrently with a thread that maps, on 6.1, 6.12 and the series'
	@echo '  make cost       kernel instructions a fault, by kind, against base [COST_PEER=1]'
	@echo '  make conflicts  cache lines that faults on different CPUs fight for [CPUS=4] [ARCH=arm64]'
	@echo "  make profile OP='mmap and munmap'  instructions of an operation of make cost, by function"
	@echo '  make latency    latency of mmap() concurrently with readers of /proc/PID/maps, on 6.1, 6.12 and the series'
	@echo '  make stalls     latency of mmap() during another thread'\''s long call, on 6.1, 6.12 and the series'
	@echo '  make page-in    latency of mmap() during page-ins from a slow disk'

# Only what is given to make counts: whoever builds modules has KDIR, ARCH or CONFIG in
# the environment, for other things.
variables := KDIR DIR DRY R FORCE FULL QUICK ONLY GROUP KERNEL ARCH CONFIG FLAVOUR CPUS SECONDS HOURS \
	WIS ROUNDS TASKS CASES OP COST_PEER
$(foreach v,$(variables),$(if $(findstring environment,$(origin $(v))),$(eval override $(v) :=)))
no := 0 n N no No NO
yes = $(if $(filter-out $(no),$($(1))),$(2))

deps:
	@scripts/deps.sh $(if $(GROUP),-g '$(GROUP)')
demo:
	@$(if $(PAIRS),LOAD_PAIRS='$(PAIRS)') scripts/demo.sh
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
stalls:
	@scripts/stalls.sh
htmldocs:
	@scripts/htmldocs.sh
mixed:
	@scripts/mixed.sh
conflicts:
	@scripts/conflicts.sh $(or $(CPUS),4) $(ARCH)
profile:
	@scripts/profile.sh $(if $(OP),'$(OP)')
bench:
	@scripts/bench.sh
vmtests:
	@scripts/vmtests.sh -k $(or $(KERNEL),pervma) $(ARCH)
modules:
	@scripts/modules.sh $(if $(KERNEL),-k '$(KERNEL)') $(if $(ONLY),'$(ONLY)')
serving:
	@$(if $(SECONDS),LOAD_SECONDS='$(SECONDS)') $(if $(PAIRS),LOAD_PAIRS='$(PAIRS)') scripts/serving.sh
programs:
	@$(if $(SECONDS),LOAD_SECONDS='$(SECONDS)') scripts/programs.sh -k $(or $(KERNEL),pervma) $(if $(ONLY),'$(ONLY)')
kvm:
	@scripts/kvm.sh $(or $(ARCH),arm64) $(if $(ONLY),'$(ONLY)')
torture:
	@scripts/torture.sh $(or $(SECONDS),1200) $(ARCH)
soak:
	@scripts/soak.sh $(or $(HOURS),1) $(ARCH)
mutants:
	@scripts/mutants.sh $(if $(ONLY),'$(ONLY)')
tree:
	@scripts/tree.sh $(if $(KDIR),-d "$$KDIR") $(call yes,FORCE,-f)
refresh:
	@scripts/refresh.sh $(call yes,FORCE,-f)
versions:
	@scripts/versions.sh $(call yes,FULL,-b) $(ONLY)
series:
	@scripts/export.sh
apply:
	@scripts/apply.sh -d "$$KDIR" $(call yes,DRY,-n) $(call yes,R,-R)
rebase:
	@scripts/rebase.sh -d "$$KDIR"
quilt-debian:
	@scripts/quilt_debian.sh -d "$$DIR" $(call yes,DRY,-n)
deb:
	@scripts/deb.sh $(if $(CONFIG),-c "$$CONFIG") $(call yes,QUICK,-q) $(call yes,DRY,-n) $(FLAVOUR)
release:
	@scripts/release.sh
kernel:
	@scripts/kernel.sh $(or $(KERNEL),pervma) $(ARCH)
clean:
	@scripts/clean.sh $(call yes,FORCE,-f)

.PHONY: help deps demo test check cost bench conflicts profile latency stalls htmldocs page-in mixed vmtests programs serving modules kvm torture soak mutants tree refresh versions series apply rebase quilt-debian deb release kernel clean
