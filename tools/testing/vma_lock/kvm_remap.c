// SPDX-License-Identifier: GPL-2.0
/*
 * A guest uses its memory while its VMM replaces it. Linked with the library of
 * 6.1's selftests/kvm; scripts/kvm.sh builds and runs it.
 *
 * One thread of the VMM maps other memory over that of the guest, by MAP_FIXED: in
 * turn pages, huge pages (THP), huge pages of hugetlbfs, and shmem. Every second time
 * it writes to each page before the guest may look. Another thread maps and unmaps
 * memory that has nothing to do with the guest. The guest's CPUs read and write all
 * the time. So they fault in each mapping, and while one mapping replaces another.
 *
 * - MAP_FIXED leaves no hole: KVM_RUN never answers -EFAULT.
 * - Between two changes the guest reads the current mapping: no page of the mapping
 *   before, and no page at the wrong place.
 * - Between two changes the guest writes to the current mapping.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include "kvm_util.h"
#include "processor.h"
#include "test_util.h"

#define CPUS		2
#define SLOT		1
#define HUGE		(2UL << 20)
#define SIZE		(2 * HUGE)
#define PAGE		4096UL
#define STEP		(8 * PAGE)
#define PAGES		(SIZE / STEP)	/* used pages; few, for a fault in QEMU is slow */
#define GPA		(1UL << 30)
#define GVA		0xc0000000UL

struct page {
	uint64_t seq;		/* of the mapping; 0 if it was not written */
	uint64_t index;		/* of the page */
	uint64_t from[CPUS];	/* the seq that a CPU of the guest has written */
};

/* The guest's copy of this is in use, not the VMM's. */
static struct shared {
	uint64_t mapping;	/* the last mapping that was begun */
	uint64_t round;		/* equal to mapping while that is complete */
	uint64_t filled;	/* in this round each page has its seq and index */
	uint64_t stop;
	uint64_t done[CPUS];	/* the last round of which a CPU wrote all pages */
} shared;

#define load(p)		__atomic_load_n(p, __ATOMIC_ACQUIRE)
#define store(p, v)	__atomic_store_n(p, v, __ATOMIC_RELEASE)

static struct page *guest_page(uint64_t i)
{
	return (struct page *)(GVA + i * STEP);
}

/* Page by page from @first on, as long as the mapping does not change */
static void guest_round(unsigned int cpu, uint64_t round, uint64_t first)
{
	uint64_t filled = load(&shared.filled), seq, index, i, n;

	for (n = 0; n < PAGES; n++) {
		struct page *page;

		i = (first + n) % PAGES;
		page = guest_page(i);
		/* One CPU reads first, the other writes first. */
		if (cpu & 1)
			store(&page->from[cpu], round);
		seq = load(&page->seq);
		index = load(&page->index);
		if (load(&shared.mapping) != round)
			return;
		GUEST_ASSERT_4(seq == (filled ? round : 0), i, seq, index, round);
		GUEST_ASSERT_4(index == (filled ? i : 0), i, seq, index, round);
		if (!(cpu & 1))
			store(&page->from[cpu], round);
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (load(&shared.mapping) == round)
		store(&shared.done[cpu], round);
}

static void guest_code(unsigned int cpu)
{
	uint64_t first = cpu * PAGES / 2;

	while (!load(&shared.stop)) {
		uint64_t round = load(&shared.round);

		if (round && load(&shared.mapping) == round)
			guest_round(cpu, round, first += 67);
		else	/* The mapping is being replaced: touch it nevertheless. */
			load(&guest_page(first++ % PAGES)->seq);
	}
	GUEST_DONE();
}

static bool over;

static void *run_cpu(void *arg)
{
	struct kvm_vcpu *vcpu = arg;
	struct ucall uc;

	vcpu_run(vcpu);	/* asserts that it succeeds */
	switch (get_ucall(vcpu, &uc)) {
	case UCALL_DONE:
		break;
	case UCALL_ABORT:
		REPORT_GUEST_ASSERT_4(uc, "page %lu, seq %lu, index %lu, round %lu");
		break;
	default:
		TEST_FAIL("exit reason %s", exit_reason_str(vcpu->run->exit_reason));
	}
	return NULL;
}

/* Calls that may run concurrently with the faults */
static void *map_other(void *arg)
{
	unsigned long *maps = arg;

	while (!load(&over)) {
		char *p = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		TEST_ASSERT(p != MAP_FAILED, "mmap() failed");
		*p = 1;
		mprotect(p, PAGE, PROT_READ);
		munmap(p, 16 * PAGE);
		++*maps;
	}
	return NULL;
}

enum { PAGES_4K, THP, HUGETLB, SHMEM, KINDS };

static void map_over(char *hva, int kind)
{
	int flags = MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, fd = -1;
	char *p;

	if (kind == HUGETLB)
		flags |= MAP_HUGETLB;
	if (kind == SHMEM) {
		fd = memfd_create("kvm_remap", 0);
		TEST_ASSERT(fd >= 0 && !ftruncate(fd, SIZE), "memfd failed");
		flags = MAP_FIXED | MAP_SHARED;
	}
	p = mmap(hva, SIZE, PROT_READ | PROT_WRITE, flags, fd, 0);
	TEST_ASSERT(p == hva, "mmap() of kind %d failed", kind);
	if (kind == PAGES_4K || kind == THP)
		madvise(hva, SIZE, kind == THP ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char *argv[])
{
	unsigned long rounds = argc > 1 ? atol(argv[1]) : 100, round, i, maps = 0;
	struct kvm_vcpu *vcpus[CPUS];
	pthread_t cpu[CPUS], mapper;
	struct shared *guest;
	struct kvm_vm *vm;
	char *hva;
	int c;

	vm = vm_create_with_vcpus(CPUS, guest_code, vcpus);
	vm_userspace_mem_region_add(vm, VM_MEM_SRC_ANONYMOUS_THP, GPA, SLOT,
				    SIZE / getpagesize(), 0);
	virt_map(vm, GVA, GPA, SIZE / getpagesize());
	ucall_init(vm, NULL);
	hva = addr_gpa2hva(vm, GPA);
	guest = addr_gva2hva(vm, (vm_vaddr_t)&shared);

	for (c = 0; c < CPUS; c++) {
		vcpu_args_set(vcpus[c], 1, c);
		pthread_create(&cpu[c], NULL, run_cpu, vcpus[c]);
	}
	pthread_create(&mapper, NULL, map_other, &maps);

	for (round = 1; round <= rounds; round++) {
		bool fill = round / KINDS % 2;

		store(&guest->mapping, round);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		map_over(hva, round % KINDS);
		for (i = 0; fill && i < PAGES; i++) {
			struct page *page = (void *)(hva + i * STEP);

			page->index = i;
			store(&page->seq, round);
		}
		store(&guest->filled, fill);
		store(&guest->round, round);

		/* Wait until each CPU of the guest has written all pages. */
		for (c = 0; c < CPUS; c++)
			while (load(&guest->done[c]) != round)
				sched_yield();
		for (i = 0; i < PAGES; i++) {
			struct page *page = (void *)(hva + i * STEP);

			for (c = 0; c < CPUS; c++)
				TEST_ASSERT(page->from[c] == round,
					    "page %lu: CPU %d wrote %lu in round %lu",
					    i, c, page->from[c], round);
		}
	}
	store(&guest->stop, 1);
	for (c = 0; c < CPUS; c++)
		pthread_join(cpu[c], NULL);
	store(&over, true);
	pthread_join(mapper, NULL);
	printf("%lu mappings, %lu maps of other memory\n", rounds, maps);
	ucall_uninit(vm);
	kvm_vm_free(vm);
	return 0;
}
