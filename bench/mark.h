/* SPDX-License-Identifier: GPL-2.0 */
#ifndef MARK_H
#define MARK_H

/*
 * Opens window @n of a QEMU plugin, 0 to 255, by an instruction that does nothing
 * else. x86-64: nopl 0x5ea500NN(%rax); arm64: movz xzr, #0xa5NN.
 */
#ifdef __x86_64__
#define NOTHING ".byte 0x0f, 0x1f, 0x80; .long 0x5ea50000 + %c0"
#else
#define NOTHING "movz xzr, #0xa500 + %c0"
#endif
#define MARK(n) ({ asm volatile(NOTHING : : "i"(n) : "memory"); })

#endif /* MARK_H */
