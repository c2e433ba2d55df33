/* SPDX-License-Identifier: Apache-2.0 */
/* What the running kernel says of itself (BTF, /sys/kernel/btf/vmlinux) as far as a tracer needs it: how
 * many arguments a tracepoint has, which differs between kernels, and names of an enum's values. Pure but
 * for btf_open(), which reads the file's five megabytes; close it when its words have been taken. */
#pragma once
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct btf;

#define BTF_VMLINUX "/sys/kernel/btf/vmlinux"

int btf_open(const char *path, struct btf **out, struct err *e);
/* The same from bytes, which are not trusted and must stay. */
int btf_parse(const uint8_t *v, size_t n, struct btf **out, struct err *e);
void btf_close(struct btf *b); /* NULL is fine */

/* Arguments that a BPF program gets at the tracepoint; -ENOENT: there is none of that name. */
int btf_tracepoint_args(const struct btf *b, const char *name);
/* Calls `fn` with each value of the enum and its name; how many, or -ENOENT. */
int btf_enum(const struct btf *b, const char *name,
	     void (*fn)(void *arg, const char *name, uint32_t value), void *arg);
