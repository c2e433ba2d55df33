// SPDX-License-Identifier: Apache-2.0
/* arena: a list of chunks, newest first, each bump-allocated; texts without a gap. A chunk has a fourth of
 * what there was before, so that an arena that lives long wastes little. An object larger than that
 * gets a chunk of its own. */
#include "base/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK      1024 /* at least: most objects of a cluster fit into one */
#define CHUNK_MOST 65536
#define ALIGN      _Alignof(union any)

/* What anybody keeps in an arena; no long double. */
union any {
	void *p;
	uint64_t u;
	double d;
};

struct arena_chunk {
	struct arena_chunk *next;
	size_t size, used;
	_Alignas(union any) unsigned char data[];
};

void arena_init(struct arena *a, size_t limit)
{
	*a = (struct arena){ .limit = limit };
}

static void free_chunks(struct arena_chunk *c)
{
	while (c) {
		struct arena_chunk *next = c->next;

		free(c);
		c = next;
	}
}

void arena_fini(struct arena *a)
{
	free_chunks(a->head);
	*a = (struct arena){ .limit = a->limit };
}

void arena_reset(struct arena *a)
{
	struct arena_chunk *keep = a->head;

	if (keep) {
		free_chunks(keep->next);
		keep->next = NULL;
		keep->used = 0;
	}
	a->used = 0;
	a->failed = false;
}

/* With room for `size` at its beginning. A large object's own one goes behind the newest, which may
 * have room for the next. */
static struct arena_chunk *add_chunk(struct arena *a, size_t size)
{
	struct arena_chunk *c, **at = &a->head;
	size_t room = a->used / 4;

	room = room > CHUNK_MOST ? CHUNK_MOST : room < CHUNK ? CHUNK : room;
	if (size >= room) {
		room = size;
		at = a->head ? &a->head->next : at;
	}
	c = malloc(sizeof(*c) + room);
	if (!c)
		return NULL;
	*c = (struct arena_chunk){ .next = *at, .size = room };
	*at = c;
	return c;
}

static void *take(struct arena *a, size_t size, size_t align)
{
	size_t limit = a->limit ? a->limit : ARENA_LIMIT, at;
	struct arena_chunk *c = a->head;

	if (size > limit || a->used > limit - size) {
		a->failed = true;
		return NULL;
	}
	at = c ? (c->used + align - 1) & ~(align - 1) : 0;
	if (!c || at > c->size || c->size - at < size) {
		c = add_chunk(a, size);
		at = 0;
	}
	if (!c) {
		a->failed = true;
		return NULL;
	}
	a->used += at + size - c->used;
	c->used = at + size;
	return memset(c->data + at, 0, size);
}

void *arena_alloc(struct arena *a, size_t size)
{
	return take(a, size, ALIGN);
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
	if (size && n > SIZE_MAX / size) {
		a->failed = true;
		return NULL;
	}
	return arena_alloc(a, n && size ? n * size : 1);
}

void *arena_memdup(struct arena *a, const void *p, size_t size)
{
	void *q = arena_alloc(a, size ? size : 1);

	return q && size ? memcpy(q, p, size) : q;
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
	char *q = take(a, n + 1, 1);

	if (q)
		memcpy(q, s, n);
	return q;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return s ? arena_strndup(a, s, strlen(s)) : NULL;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *q;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || !(q = take(a, (size_t)n + 1, 1)))
		return NULL;
	va_start(ap, fmt);
	vsnprintf(q, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return q;
}
