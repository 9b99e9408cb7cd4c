// SPDX-License-Identifier: GPL-2.0
/*
 * A vCPU with a real-time priority preempts a task that invalidates memory of
 * its guest, and faults there. Linked with the library of 6.1's selftests/kvm;
 * scripts/kvm.sh builds and runs it: kvm_fifo present|absent [SECONDS]
 *
 * The vCPU's thread sleeps for a moment, and runs the guest until that has read
 * some pages. A thread on the same CPU calls mprotect() all the time, with
 * mmap_lock held for write while pages are invalidated. The fault must wait for
 * that thread. If the fault is repeated instead, that thread never runs again.
 *
 * present: the guest reads pages in the range of mprotect().
 * absent: the guest reads pages between that range and a range that another CPU
 * drops by MADV_DONTNEED. As long as either range is invalidated, KVM takes both
 * for one range, with the pages between them. The pages that the guest reads are
 * dropped before each round, so they are not present.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include "kvm_util.h"
#include "processor.h"
#include "test_util.h"

#define SLOT		1
#define PART		(8UL << 20)
#define GPA		(1UL << 30)
#define GVA		0xc0000000UL
#define READS		8	/* pages per round */
#define PATIENCE	60	/* seconds for a round, which takes milliseconds */

#define load(p)		__atomic_load_n(p, __ATOMIC_ACQUIRE)
#define store(p, v)	__atomic_store_n(p, v, __ATOMIC_RELEASE)

static char *hva;
static size_t page;
static bool absent, over;
static unsigned long rounds, protections;

static void guest_code(uint64_t from, uint64_t step)
{
	int i;

	for (;;) {
		for (i = 0; i < READS; i++)
			load((uint64_t *)(GVA + from + i * step));
		GUEST_SYNC(0);
	}
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	TEST_ASSERT(!sched_setaffinity(0, sizeof(set), &set), "no CPU %d", cpu);
}

static void *run_guest(void *arg)
{
	struct sched_param param = { .sched_priority = 10 };
	struct kvm_vcpu *vcpu = arg;
	struct ucall uc;

	pin(0);
	TEST_ASSERT(!sched_setscheduler(0, SCHED_FIFO, &param), "SCHED_FIFO");
	while (!load(&over)) {
		struct timespec ts = { .tv_nsec = 20000 + rand() % 200000 };

		nanosleep(&ts, NULL);
		if (absent)
			madvise(hva + PART, PART, MADV_DONTNEED);
		vcpu_run(vcpu);	/* asserts that it succeeds */
		TEST_ASSERT(get_ucall(vcpu, &uc) == UCALL_SYNC, "exit reason %s",
			    exit_reason_str(vcpu->run->exit_reason));
		store(&rounds, rounds + 1);
	}
	return NULL;
}

static void *protect(void *unused)
{
	pin(0);
	while (!load(&over)) {
		TEST_ASSERT(!mprotect(hva, PART, PROT_READ) &&
			    !mprotect(hva, PART, PROT_READ | PROT_WRITE),
			    "mprotect() failed");
		store(&protections, protections + 1);
	}
	return NULL;
}

static void *give_back(void *unused)
{
	pin(1);
	while (!load(&over)) {
		memset(hva + 2 * PART, 1, PART / 8);
		madvise(hva + 2 * PART, PART / 8, MADV_DONTNEED);
	}
	return NULL;
}

static void throttle_real_time(const char *microseconds)
{
	FILE *f = fopen("/proc/sys/kernel/sched_rt_runtime_us", "w");

	if (f) {
		fputs(microseconds, f);
		fclose(f);
	}
}

int main(int argc, char *argv[])
{
	unsigned long seconds = argc > 2 ? atol(argv[2]) : 15, last = 0;
	pthread_t runner, protector, giver;
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;

	if (argc < 2 || (strcmp(argv[1], "present") && strcmp(argv[1], "absent"))) {
		fprintf(stderr, "usage: kvm_fifo present|absent [SECONDS]\n");
		return 2;
	}
	absent = !strcmp(argv[1], "absent");
	page = getpagesize();
	vm = vm_create_with_one_vcpu(&vcpu, guest_code);
	vm_userspace_mem_region_add(vm, VM_MEM_SRC_ANONYMOUS, GPA, SLOT,
				    3 * PART / page, 0);
	virt_map(vm, GVA, GPA, 3 * PART / page);
	ucall_init(vm, NULL);
	hva = addr_gpa2hva(vm, GPA);
	memset(hva, 1, 3 * PART);
	/* A VMA of its own, which mprotect() does not lock */
	TEST_ASSERT(!madvise(hva + PART, PART, MADV_DONTFORK), "madvise");
	vcpu_args_set(vcpu, 2, absent ? PART : 0, PART / READS - page);
	throttle_real_time("-1");
	alarm(PATIENCE);

	pin(1);
	pthread_create(&protector, NULL, protect, NULL);
	if (absent)
		pthread_create(&giver, NULL, give_back, NULL);
	pthread_create(&runner, NULL, run_guest, vcpu);
	while (seconds) {
		sleep(1);
		if (load(&rounds) == last)
			continue;
		last = load(&rounds);
		seconds--;
		/* On a hang mmap_lock is held: only a signal ends it. */
		alarm(PATIENCE);
	}
	alarm(0);
	store(&over, true);
	pthread_join(runner, NULL);
	pthread_join(protector, NULL);
	if (absent)
		pthread_join(giver, NULL);
	throttle_real_time("950000");
	printf("%lu rounds, %lu protections\n", rounds, protections);
	TEST_ASSERT(rounds > READS && protections > READS, "too few of them");
	ucall_uninit(vm);
	kvm_vm_free(vm);
	return 0;
}
