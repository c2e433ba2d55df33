// SPDX-License-Identifier: Apache-2.0
/* absence: see absence.h. Few things are missing at a time, so a list will do. */
#include "core/ipam/absence.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct absent {
	char *what;
	int64_t since;
	bool noted; /* in the present look */
};

static struct absent *find(const struct absence *a, const char *what)
{
	for (size_t i = 0; i < a->n; i++)
		if (!strcmp(a->v[i].what, what))
			return &a->v[i];
	return NULL;
}

static struct absent *add(struct absence *a, const char *what, int64_t now)
{
	char *copy = strdup(what);

	if (copy && a->n == a->cap) {
		size_t cap = a->cap ? 2 * a->cap : 16;
		struct absent *v = realloc(a->v, cap * sizeof(*v));

		if (!v) {
			free(copy);
			return NULL;
		}
		a->v = v;
		a->cap = cap;
	}
	if (!copy)
		return NULL;
	a->v[a->n] = (struct absent){ .what = copy, .since = now };
	return &a->v[a->n++];
}

int absence_note(struct absence *a, const char *what, int64_t now, struct err *e)
{
	struct absent *x = find(a, what);

	if (!x)
		x = add(a, what, now);
	if (!x)
		return err_set(e, -ENOMEM, "no memory");
	x->noted = true;
	return 0;
}

void absence_end(struct absence *a)
{
	size_t n = 0;

	for (size_t i = 0; i < a->n; i++) {
		if (!a->v[i].noted) {
			free(a->v[i].what);
			continue;
		}
		a->v[n] = a->v[i];
		a->v[n++].noted = false;
	}
	a->n = n;
}

bool absence_lasts(const struct absence *a, const char *what, int64_t now)
{
	const struct absent *x = find(a, what);

	return x && now - x->since >= a->grace;
}

int64_t absence_next(const struct absence *a, int64_t now)
{
	int64_t next = 0;

	for (size_t i = 0; i < a->n; i++) {
		int64_t due = a->v[i].since + a->grace;

		if (due > now && (!next || due < next))
			next = due;
	}
	return next;
}

void absence_forget(struct absence *a)
{
	while (a->n)
		free(a->v[--a->n].what);
	free(a->v);
	a->v = NULL;
	a->cap = 0;
}
