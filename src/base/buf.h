/* SPDX-License-Identifier: Apache-2.0 */
/* Growing byte buffer and text builder. Append-only; on a failed allocation it becomes
 * `failed`, further appends do nothing, and one check at the end suffices. `v` is always
 * NUL-terminated once anything was appended. The owner calls buf_fini(). */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct buf {
	char *v;
	size_t n, cap;
	bool failed;
};

void buf_fini(struct buf *b);
void buf_clear(struct buf *b); /* keeps the memory */
void buf_put(struct buf *b, const void *p, size_t n);
void buf_puts(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* `s` as a quoted JSON string; bytes that are no UTF-8 become U+FFFD. */
void buf_json_str(struct buf *b, const char *s);
/* Drops the first n bytes (n ≤ b->n): for buffers used as queues. */
void buf_shift(struct buf *b, size_t n);
