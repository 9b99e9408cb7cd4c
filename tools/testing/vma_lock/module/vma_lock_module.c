// SPDX-License-Identifier: GPL-2.0
/*
 * A module as others have them, out of the kernel's tree: maps memory in each way
 * that drivers do, and takes mmap_lock as they do. /dev/vma_lock_module: mmap()
 * with one of the kinds below as its offset, in pages; ioctl() for the calls.
 *
 * One call is wrong: it changes a VMA that it has not locked. The validator has
 * to report it (CONFIG_PER_VMA_LOCK_DEBUG).
 */
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "vma_lock_module.h"

static struct page *pages[MODULE_PAGES];

static vm_fault_t module_fault(struct vm_fault *vmf)
{
	unsigned long at = (vmf->address - vmf->vma->vm_start) >> PAGE_SHIFT;

	if (at >= MODULE_PAGES)
		return VM_FAULT_SIGBUS;
	get_page(pages[at]);
	vmf->page = pages[at];
	return 0;
}

static vm_fault_t module_pfn_fault(struct vm_fault *vmf)
{
	unsigned long at = (vmf->address - vmf->vma->vm_start) >> PAGE_SHIFT;

	if (at >= MODULE_PAGES)
		return VM_FAULT_SIGBUS;
	return vmf_insert_pfn(vmf->vma, vmf->address & PAGE_MASK,
			      page_to_pfn(pages[at]));
}

static const struct vm_operations_struct fault_ops = {
	.fault = module_fault,
};

static const struct vm_operations_struct pfn_ops = {
	.fault = module_pfn_fault,
};

/* Has been declared safe under the VMA lock */
static const struct vm_operations_struct opted_in_ops = {
	.fault = module_fault,
#ifdef CONFIG_PER_VMA_LOCK
	.vma_lock_fault = true,
#endif
};

static int module_mmap(struct file *file, struct vm_area_struct *vma)
{
	unsigned long i, n = vma_pages(vma);
	int err = 0;

	if (n > MODULE_PAGES)
		return -EINVAL;
	switch (vma->vm_pgoff) {
	case MODULE_FAULT:
		vma->vm_ops = &fault_ops;
		break;
	case MODULE_OPTED_IN:
		vma->vm_ops = &opted_in_ops;
		break;
	case MODULE_PFN_FAULT:
		vma->vm_flags |= VM_PFNMAP | VM_IO;
		vma->vm_ops = &pfn_ops;
		break;
	case MODULE_INSERT:
		for (i = 0; i < n && !err; i++)
			err = vm_insert_page(vma, vma->vm_start + i * PAGE_SIZE,
					     pages[i]);
		break;
	case MODULE_REMAP:
		for (i = 0; i < n && !err; i++)
			err = remap_pfn_range(vma, vma->vm_start + i * PAGE_SIZE,
					      page_to_pfn(pages[i]), PAGE_SIZE,
					      vma->vm_page_prot);
		break;
	default:
		return -EINVAL;
	}
	return err;
}

/* Sets VM_DONTDUMP, under a lock that the caller has taken. */
static long change(struct mm_struct *mm, unsigned long address)
{
	struct vm_area_struct *vma = find_vma(mm, address);

	if (!vma || vma->vm_start > address)
		return -ENOMEM;
	vma->vm_flags ^= VM_DONTDUMP;
	return 0;
}

static long module_ioctl(struct file *file, unsigned int call, unsigned long address)
{
	struct mm_struct *mm = current->mm;
	struct page *page;
	long ret;

	switch (call) {
	case MODULE_WRITE_LOCK:
		mmap_write_lock(mm);
		break;
	case MODULE_WRITE_KILLABLE:
		if (mmap_write_lock_killable(mm))
			return -EINTR;
		break;
	case MODULE_WRITE_TRY:
		if (!mmap_write_trylock(mm))
			return -EAGAIN;
		break;
	case MODULE_DOWNGRADE:
		mmap_write_lock(mm);
		ret = change(mm, address);
		mmap_write_downgrade(mm);
		mmap_read_unlock(mm);
		return ret;
	case MODULE_RAW_LOCK:
		/* Drivers that are older than mmap_write_lock() */
		down_read(&mm->mmap_lock);
		ret = find_vma(mm, address) ? 0 : -ENOMEM;
		up_read(&mm->mmap_lock);
		return ret;
	case MODULE_PIN:
		ret = get_user_pages_fast(address, 1, FOLL_WRITE, &page);
		if (ret == 1)
			put_page(page);
		return ret == 1 ? 0 : ret;
#ifdef CONFIG_PER_VMA_LOCK
	case MODULE_WRONG:
		mmap_write_lock_narrow(mm);
		break;
#endif
	default:
		return -ENOTTY;
	}
	ret = change(mm, address);
	mmap_write_unlock(mm);
	return ret;
}

static const struct file_operations module_fops = {
	.owner = THIS_MODULE,
	.mmap = module_mmap,
	.unlocked_ioctl = module_ioctl,
};

static struct miscdevice module_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "vma_lock_module",
	.fops = &module_fops,
};

static void free_pages_of_module(void)
{
	int i;

	for (i = 0; i < MODULE_PAGES; i++)
		if (pages[i])
			put_page(pages[i]);
}

static int __init module_begin(void)
{
	struct vm_area_struct *vma;
	int i, err;

	for (i = 0; i < MODULE_PAGES; i++) {
		pages[i] = alloc_page(GFP_KERNEL | __GFP_ZERO);
		if (!pages[i]) {
			free_pages_of_module();
			return -ENOMEM;
		}
		*(int *)page_address(pages[i]) = i + 1;
	}
	/* As drivers' own tests do: a VMA that is in no mm */
	vma = kzalloc(sizeof(*vma), GFP_KERNEL);
	if (vma) {
		vma_init(vma, NULL);
		kfree(vma);
	}
	err = misc_register(&module_device);
	if (err)
		free_pages_of_module();
	return err;
}

static void __exit module_end(void)
{
	misc_deregister(&module_device);
	free_pages_of_module();
}

module_init(module_begin);
module_exit(module_end);
MODULE_DESCRIPTION("A user of mmap_lock and of VMAs, out of the kernel's tree");
MODULE_LICENSE("GPL");
