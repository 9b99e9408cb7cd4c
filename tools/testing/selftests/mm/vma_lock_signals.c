// SPDX-License-Identifier: GPL-2.0
/*
 * Accesses that end in a signal or in EFAULT. The signal, its code, address and key
 * must be the same on a kernel without per-VMA locks, on a kernel with them, and with
 * the switch off. With VMA locks, an access to a VMA must be judged without mmap_lock.
 */
#define _GNU_SOURCE
#include <linux/userfaultfd.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include "vma_lock.h"

static sigjmp_buf back;
static siginfo_t got;
static char *area;		/* 16 pages, the second half touched */
static char *past;		/* two pages mapped of a file of one page */
static int shmem = -1;

#define NPAGES 16

static void on_signal(int sig, siginfo_t *info, void *ctx)
{
	got = *info;
	siglongjmp(back, 1);
}

/* The ways to access a page */

static void do_write(char *p)
{
	STORE(p, 1);
}

static void do_read(char *p)
{
	LOAD(p);
}

static void do_exec(char *p)
{
	((void (*)(void))p)();
}

/* By the kernel: read(2) into the page, write(2) from it */
static int error;

static void do_copy_to(char *p)
{
	error = pread(shmem, p, 8, 0) < 0 ? errno : 0;
}

static void do_copy_from(char *p)
{
	error = pwrite(shmem, p, 8, 0) < 0 ? errno : 0;
}

/* What may be wrong with a page */

static char *untouched(void)
{
	return area + 2 * PAGE;
}

static char *touched(void)
{
	return area + 10 * PAGE;
}

static char *with_prot(char *p, int prot)
{
	if (mprotect(p, PAGE, prot))
		ksft_exit_fail_msg("mprotect: %s\n", strerror(errno));
	return p + 24;
}

static char *read_only(void)
{
	return with_prot(touched(), PROT_READ);
}

static char *read_only_untouched(void)
{
	return with_prot(untouched(), PROT_READ);
}

static char *no_access(void)
{
	return with_prot(touched(), PROT_NONE);
}

static char *no_exec(void)
{
	return with_prot(touched(), PROT_READ | PROT_WRITE);
}

static char *unmapped(void)
{
	munmap(touched(), PAGE);
	return touched() + 24;
}

static char *past_the_end(void)
{
	past = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, shmem, 0);
	if (past == MAP_FAILED)
		ksft_exit_fail_msg("mmap: %s\n", strerror(errno));
	return past + PAGE + 24;
}

static char *past_the_end_private(void)
{
	past = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, shmem, 0);
	if (past == MAP_FAILED)
		ksft_exit_fail_msg("mmap: %s\n", strerror(errno));
	return past + PAGE + 24;
}

/* Protection keys, where the CPU and the C library have them */

static int key = -1;

static char *with_key(char *p)
{
	key = pkey_alloc(0, PKEY_DISABLE_ACCESS);
	if (key < 0)
		return NULL;
	if (pkey_mprotect(p, PAGE, PROT_READ | PROT_WRITE, key))
		ksft_exit_fail_msg("pkey_mprotect: %s\n", strerror(errno));
	return p + 24;
}

static char *key_touched(void)
{
	return with_key(touched());
}

static char *key_untouched(void)
{
	return with_key(untouched());
}

/*
 * Tags of arm64. In the pointer alone a tag is ignored by every access. With MTE the
 * memory has tags, too: a zeroed page has the tag 0, and the pointer has another tag.
 */
#ifdef __aarch64__
#define TAG(p)		((char *)((uintptr_t)(p) | 1UL << 56))
#define UNTAG(p)	((char *)((uintptr_t)(p) & ~(0xffUL << 56)))
#else
#define TAG(p)		NULL
#define UNTAG(p)	(p)
#endif

#ifndef PROT_MTE
#define PROT_MTE	0x20
#endif
#define TAGS_CHECKED	(1UL /* PR_TAGGED_ADDR_ENABLE */ | 1UL << 1 /* PR_MTE_TCF_SYNC */)

static char *tagged_read_only(void)
{
	return TAG(read_only());
}

static char *tagged_unmapped(void)
{
	return TAG(unmapped());
}

static char *wrong_tag_at(char *p)
{
	if (!TAG(p) || prctl(PR_SET_TAGGED_ADDR_CTRL, TAGS_CHECKED, 0, 0, 0) ||
	    mprotect(p, PAGE, PROT_READ | PROT_WRITE | PROT_MTE))
		return NULL;
	return TAG(p + 32);
}

static char *wrong_tag(void)
{
	return wrong_tag_at(touched());
}

static char *wrong_tag_untouched(void)
{
	return wrong_tag_at(untouched());
}

/* A range whose userfaults become signals */
static int uffd = -1;

static char *uffd_sigbus(void)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_SIGBUS };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	uffd = syscall(__NR_userfaultfd, O_CLOEXEC);
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api))
		return NULL;
	reg.range.start = (uintptr_t)untouched();
	reg.range.len = PAGE;
	if (ioctl(uffd, UFFDIO_REGISTER, &reg))
		ksft_exit_fail_msg("UFFDIO_REGISTER: %s\n", strerror(errno));
	return untouched() + 24;
}

static const struct {
	const char *name;
	char *(*make)(void);
	void (*touch)(char *p);
	int sig, code;		/* without a signal (0), the code is an errno */
	bool no_vma;
} cases[] = {
	{ "write, read-only page", read_only, do_write, SIGSEGV, SEGV_ACCERR },
	{ "write, read-only, never touched", read_only_untouched, do_write, SIGSEGV, SEGV_ACCERR },
	{ "read, no access", no_access, do_read, SIGSEGV, SEGV_ACCERR },
	{ "write, no access", no_access, do_write, SIGSEGV, SEGV_ACCERR },
	{ "execute, no right to", no_exec, do_exec, SIGSEGV, SEGV_ACCERR },
	{ "read, nothing there", unmapped, do_read, SIGSEGV, SEGV_MAPERR, true },
	{ "write, nothing there", unmapped, do_write, SIGSEGV, SEGV_MAPERR, true },
	{ "read, past the end of a file", past_the_end, do_read, SIGBUS, BUS_ADRERR },
	{ "write, past the end of a file", past_the_end, do_write, SIGBUS, BUS_ADRERR },
	{ "write, past the end, private", past_the_end_private, do_write, SIGBUS, BUS_ADRERR },
	{ "read, key", key_touched, do_read, SIGSEGV, SEGV_PKUERR },
	{ "write, key, never touched", key_untouched, do_write, SIGSEGV, SEGV_PKUERR },
	{ "write, tagged pointer, read-only page", tagged_read_only, do_write, SIGSEGV,
	  SEGV_ACCERR },
	{ "read, tagged pointer, nothing there", tagged_unmapped, do_read, SIGSEGV, SEGV_MAPERR,
	  true },
	{ "read, wrong tag", wrong_tag, do_read, SIGSEGV, SEGV_MTESERR },
	{ "write, wrong tag, never touched", wrong_tag_untouched, do_write, SIGSEGV,
	  SEGV_MTESERR },
	{ "read, userfaultfd that signals", uffd_sigbus, do_read, SIGBUS, BUS_ADRERR },
	{ "copy_to_user, read-only page", read_only, do_copy_to, 0, EFAULT },
	{ "copy_to_user, read-only, never touched", read_only_untouched, do_copy_to, 0, EFAULT },
	{ "copy_to_user, no access", no_access, do_copy_to, 0, EFAULT },
	{ "copy_to_user, nothing there", unmapped, do_copy_to, 0, EFAULT, true },
	{ "copy_to_user, past the end of a file", past_the_end_private, do_copy_to, 0, EFAULT },
	{ "copy_to_user, key", key_untouched, do_copy_to, 0, EFAULT },
	{ "copy_to_user, wrong tag, never touched", wrong_tag_untouched, do_copy_to, 0, EFAULT },
	{ "copy_from_user, no access", no_access, do_copy_from, 0, EFAULT },
	{ "copy_from_user, nothing there", unmapped, do_copy_from, 0, EFAULT, true },
	{ "copy_from_user, userfaultfd that signals", uffd_sigbus, do_copy_from, 0, EFAULT },
};

static long fallback(void)
{
	long n = 0;
	int i;

	for (i = 0; i < NR_FALLBACKS; i++)
		n += vm_counter(fallbacks[i]);
	return n;
}

static void test(size_t i, const char *how, bool locks)
{
	long before = 0, after = 0;
	char *p;
	bool ok;

	area = map_area(NPAGES * PAGE, false, PROT_READ | PROT_WRITE);
	memset(area + NPAGES / 2 * PAGE, 1, NPAGES / 2 * PAGE);
	memset(&got, 0, sizeof(got));
	error = 0;
	p = cases[i].make();
	if (!p) {
		ksft_test_result_skip("%s, %s: not on this machine\n", cases[i].name, how);
		goto out;
	}

	if (locks)
		before = fallback();
	if (!sigsetjmp(back, 1))
		cases[i].touch(p);
	if (locks)
		after = fallback();

	if (cases[i].sig)
		ok = got.si_signo == cases[i].sig && got.si_code == cases[i].code &&
			got.si_addr == UNTAG(p) &&
			(cases[i].code != SEGV_PKUERR || (int)got.si_pkey == key);
	else
		ok = !got.si_signo && error == cases[i].code;
	if (!ok)
		ksft_print_msg("signal %d, code %d, at %p (%p), key %d (%d), error %d\n",
			       got.si_signo, got.si_code, got.si_addr, p,
			       (int)got.si_pkey, key, error);
	if (locks && !cases[i].no_vma && after != before) {
		ksft_print_msg("%ld times under mmap_lock\n", after - before);
		ok = false;
	}
	ksft_test_result(ok, "%s, %s\n", cases[i].name, how);
out:
	munmap(area, NPAGES * PAGE);
	if (past)
		munmap(past, 2 * PAGE);
	if (key >= 0)
		pkey_free(key);
	if (uffd >= 0)
		close(uffd);
	past = NULL;
	key = uffd = -1;
	prctl(PR_SET_TAGGED_ADDR_CTRL, 0, 0, 0, 0);
}

int main(void)
{
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
	bool has = !access(SWITCH, W_OK);
	size_t i;

	setlinebuf(stdout);
	ksft_print_header();
	ksft_set_plan((has ? 2 : 1) * ARRAY_SIZE(cases));
	shmem = syscall(__NR_memfd_create, "signals", 0);
	if (shmem < 0 || ftruncate(shmem, PAGE))
		ksft_exit_fail_msg("memfd_create: %s\n", strerror(errno));
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);

	if (!has) {
		for (i = 0; i < ARRAY_SIZE(cases); i++)
			test(i, "without per-VMA locks", false);
		ksft_finished();
	}
	for (i = 0; i < ARRAY_SIZE(cases); i++)
		test(i, "on", vm_counter("vma_lock_success") >= 0);
	set_switch(false);
	for (i = 0; i < ARRAY_SIZE(cases); i++)
		test(i, "off", false);
	set_switch(true);
	ksft_finished();
}
