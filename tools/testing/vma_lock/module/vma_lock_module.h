/* SPDX-License-Identifier: GPL-2.0 */
#ifndef VMA_LOCK_MODULE_H
#define VMA_LOCK_MODULE_H

#define MODULE_PAGES	64

/* mmap(): the offset, in pages. Page n begins with the number n + 1. */
enum {
	MODULE_FAULT,		/* a fault handler */
	MODULE_OPTED_IN,	/* one that has opted in to the VMA lock */
	MODULE_PFN_FAULT,	/* one that inserts the page itself */
	MODULE_INSERT,		/* pages are there, by vm_insert_page() */
	MODULE_REMAP,		/* pages are there, by remap_pfn_range() */
	NR_MODULE_KINDS
};

/* ioctl(): the argument is an address */
enum {
	MODULE_WRITE_LOCK = 0x5601,
	MODULE_WRITE_KILLABLE,
	MODULE_WRITE_TRY,
	MODULE_DOWNGRADE,
	MODULE_RAW_LOCK,
	MODULE_PIN,
	MODULE_WRONG,
};

#endif /* VMA_LOCK_MODULE_H */
