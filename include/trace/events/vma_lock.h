/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vma_lock

#if !defined(_TRACE_VMA_LOCK_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_VMA_LOCK_H

#include <linux/mm_types.h>
#include <linux/tracepoint.h>
#include <linux/vm_event_item.h>

/* Export the values to user space, which reads the formats of events */
TRACE_DEFINE_ENUM(VMA_LOCK_FALLBACK_NO_VMA);
TRACE_DEFINE_ENUM(VMA_LOCK_FALLBACK_WRITE_LOCKED);
TRACE_DEFINE_ENUM(VMA_LOCK_FALLBACK_DETACHED);
TRACE_DEFINE_ENUM(VMA_LOCK_FALLBACK_MOVED);
TRACE_DEFINE_ENUM(VMA_LOCK_FALLBACK_KERNEL);
TRACE_DEFINE_ENUM(VMA_LOCK_FALLBACK_NOT_OPTED_IN);
TRACE_DEFINE_ENUM(VMA_LOCK_FALLBACK_ANON_VMA);
TRACE_DEFINE_ENUM(VMA_LOCK_FALLBACK_DEVICE);
TRACE_DEFINE_ENUM(VMA_LOCK_FALLBACK_RETRIES);

#define show_vma_lock_reason(reason)					\
	__print_symbolic(reason,					\
		{ VMA_LOCK_FALLBACK_NO_VMA, "no_vma" },			\
		{ VMA_LOCK_FALLBACK_WRITE_LOCKED, "write_locked" },	\
		{ VMA_LOCK_FALLBACK_DETACHED, "detached" },		\
		{ VMA_LOCK_FALLBACK_MOVED, "moved" },			\
		{ VMA_LOCK_FALLBACK_KERNEL, "kernel" },			\
		{ VMA_LOCK_FALLBACK_NOT_OPTED_IN, "not_opted_in" },	\
		{ VMA_LOCK_FALLBACK_ANON_VMA, "anon_vma" },		\
		{ VMA_LOCK_FALLBACK_DEVICE, "device" },			\
		{ VMA_LOCK_FALLBACK_RETRIES, "retries" })

/*
 * mmap_lock is taken instead: one event for each count of a reason in vmstat.
 */
TRACE_EVENT(vma_lock_fallback,
	TP_PROTO(struct mm_struct *mm, unsigned long address, int reason),
	TP_ARGS(mm, address, reason),
	TP_STRUCT__entry(
		__field(void *,		mm)
		__field(unsigned long,	address)
		__field(int,		reason)
	),
	TP_fast_assign(
		__entry->mm = mm;
		__entry->address = address;
		__entry->reason = reason;
	),
	TP_printk("mm=%p address=0x%lx reason=%s", __entry->mm, __entry->address,
		  show_vma_lock_reason(__entry->reason))
);

DECLARE_EVENT_CLASS(vma_lock_vma,
	TP_PROTO(struct vm_area_struct *vma),
	TP_ARGS(vma),
	TP_STRUCT__entry(
		__field(void *,		mm)
		__field(unsigned long,	start)
		__field(unsigned long,	end)
	),
	TP_fast_assign(
		__entry->mm = vma->vm_mm;
		__entry->start = vma->vm_start;
		__entry->end = vma->vm_end;
	),
	TP_printk("mm=%p vma=0x%lx-0x%lx", __entry->mm, __entry->start, __entry->end)
);

/* A writer is about to wait for the readers of a VMA. */
DEFINE_EVENT(vma_lock_vma, vma_lock_wait,
	TP_PROTO(struct vm_area_struct *vma),
	TP_ARGS(vma)
);

/* The writer has waited until the readers left, or until it was killed. */
DEFINE_EVENT(vma_lock_vma, vma_lock_waited,
	TP_PROTO(struct vm_area_struct *vma),
	TP_ARGS(vma)
);

/* A VMA became hot: its readers use slots of their CPUs from here on, ... */
DEFINE_EVENT(vma_lock_vma, vma_lock_hot,
	TP_PROTO(struct vm_area_struct *vma),
	TP_ARGS(vma)
);

/* ... until a writer makes it cold and looks through those slots. */
DEFINE_EVENT(vma_lock_vma, vma_lock_cold,
	TP_PROTO(struct vm_area_struct *vma),
	TP_ARGS(vma)
);

#endif /* _TRACE_VMA_LOCK_H */

#include <trace/define_trace.h>
