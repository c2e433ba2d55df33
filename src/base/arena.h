/* SPDX-License-Identifier: Apache-2.0 */
/* Arena: memory that is freed all at once, with the transaction (a plan, a query, a watch
 * batch, one decoded object) that it was taken for.
 *
 * Pointers into an arena live until arena_reset() or arena_fini(). Memory is zeroed and
 * aligned for any type but long double; texts are not aligned. An arena has a limit; past it, or when the system has no more, the
 * allocation returns NULL and the arena stays `failed`, so a decoder may check once at its
 * end instead of at each field. */
#pragma once
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct arena_chunk;

struct arena {
	struct arena_chunk *head;
	size_t used;  /* bytes handed out */
	size_t limit; /* 0: ARENA_LIMIT */
	bool failed;
};

#define ARENA_LIMIT (1UL << 30)

void arena_init(struct arena *a, size_t limit);
void arena_fini(struct arena *a);  /* frees everything; `a` may be used again */
void arena_reset(struct arena *a); /* as fini, but keeps one chunk for the next round */

void *arena_alloc(struct arena *a, size_t size);
void *arena_array(struct arena *a, size_t n, size_t size); /* n may be 0: still non-NULL */
void *arena_memdup(struct arena *a, const void *p, size_t size);
char *arena_strdup(struct arena *a, const char *s); /* NULL gives NULL */
char *arena_strndup(struct arena *a, const char *s, size_t n);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
