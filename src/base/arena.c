// SPDX-License-Identifier: Apache-2.0
/* arena: a list of chunks, newest first, each bump-allocated. An object larger than a chunk
 * gets a chunk of its own. */
#include "base/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first one; later ones double. Most objects of a cluster fit into it. */
#define CHUNK 1024
#define ALIGN _Alignof(max_align_t)

struct arena_chunk {
	struct arena_chunk *next;
	size_t size, used;
	_Alignas(max_align_t) unsigned char data[];
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

void *arena_alloc(struct arena *a, size_t size)
{
	size_t limit = a->limit ? a->limit : ARENA_LIMIT;
	struct arena_chunk *c = a->head;
	void *p;

	if (size > limit || a->used > limit - size)
		goto fail;
	size = (size + ALIGN - 1) & ~(ALIGN - 1);
	if (!c || c->size - c->used < size) {
		size_t room = size > CHUNK ? size : CHUNK;

		/* Doubling up to 64 KiB keeps the number of chunks of a large batch small. */
		if (c && room <= c->size && c->size < 65536)
			room = c->size * 2;
		c = malloc(sizeof(*c) + room);
		if (!c)
			goto fail;
		*c = (struct arena_chunk){ .next = a->head, .size = room };
		a->head = c;
	}
	p = c->data + c->used;
	c->used += size;
	a->used += size;
	return memset(p, 0, size);
fail:
	a->failed = true;
	return NULL;
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
	char *q = arena_alloc(a, n + 1);

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
	if (n < 0 || !(q = arena_alloc(a, (size_t)n + 1)))
		return NULL;
	va_start(ap, fmt);
	vsnprintf(q, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return q;
}
