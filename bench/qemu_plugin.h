/* SPDX-License-Identifier: GPL-2.0 */
#ifndef QEMU_PLUGIN_H
#define QEMU_PLUGIN_H

/*
 * The part of QEMU's plugin interface, version 1 (7.2 has it), that the plugins in
 * bench/ use. Debian has no package with QEMU's header.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPORT __attribute__((visibility("default")))
struct plugin_tb;
struct plugin_insn;
enum { CB_NO_REGS = 0 };
enum { MEM_RW = 3 };
typedef void (*translate_cb)(uint64_t id, struct plugin_tb *tb);
typedef void (*atexit_cb)(uint64_t id, void *data);
typedef void (*exec_cb)(unsigned int vcpu, void *data);
typedef void (*mem_cb)(unsigned int vcpu, uint32_t info, uint64_t vaddr,
		       void *data);
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, translate_cb cb);
void qemu_plugin_register_vcpu_tb_exec_cb(struct plugin_tb *tb, exec_cb cb,
					  int flags, void *data);
void qemu_plugin_register_vcpu_insn_exec_cb(struct plugin_insn *insn,
					    exec_cb cb, int flags, void *data);
void qemu_plugin_register_vcpu_mem_cb(struct plugin_insn *insn, mem_cb cb,
				      int flags, int rw, void *data);
void qemu_plugin_register_atexit_cb(uint64_t id, atexit_cb cb, void *data);
size_t qemu_plugin_tb_n_insns(const struct plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct plugin_tb *tb);
struct plugin_insn *qemu_plugin_tb_get_insn(const struct plugin_tb *tb,
					    size_t n);
const void *qemu_plugin_insn_data(const struct plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct plugin_insn *insn);
uint64_t qemu_plugin_insn_vaddr(const struct plugin_insn *insn);
bool qemu_plugin_mem_is_store(uint32_t info);

#endif /* QEMU_PLUGIN_H */
