// SPDX-License-Identifier: Apache-2.0
/* forward_heap: the questions that are out, the one with something due first in front: a binary heap whose members know their places. */
#include "core/dns/forward_state.h"

static struct question *at(const struct dns_forward *f, uint32_t place)
{
	return &f->questions[f->heap[place]];
}

static void place(struct dns_forward *f, uint32_t where, uint32_t index)
{
	f->heap[where] = index;
	f->questions[index].heap_at = where;
}

static void up(struct dns_forward *f, uint32_t i)
{
	uint32_t index = f->heap[i];

	for (; i && f->questions[index].at < at(f, (i - 1) / 2)->at; i = (i - 1) / 2)
		place(f, i, f->heap[(i - 1) / 2]);
	place(f, i, index);
}

static void down(struct dns_forward *f, uint32_t i)
{
	uint32_t index = f->heap[i];

	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child + 1 < f->n_heap && at(f, child + 1)->at < at(f, child)->at)
			child++;
		if (child >= f->n_heap || at(f, child)->at >= f->questions[index].at)
			break;
		place(f, i, f->heap[child]);
		i = child;
	}
	place(f, i, index);
}

static void set_time(struct question *q)
{
	q->at = q->deadline < q->next_try ? q->deadline : q->next_try;
	if (q->stale_at < q->at)
		q->at = q->stale_at;
}

void forward_heap_add(struct dns_forward *f, struct question *q)
{
	set_time(q);
	f->heap[f->n_heap] = (uint32_t)(q - f->questions);
	up(f, f->n_heap++);
}

void forward_heap_remove(struct dns_forward *f, const struct question *q)
{
	uint32_t i = q->heap_at;

	if (i != --f->n_heap) {
		place(f, i, f->heap[f->n_heap]);
		up(f, i);
		down(f, i);
	}
}

void forward_heap_moved(struct dns_forward *f, struct question *q)
{
	set_time(q);
	up(f, q->heap_at);
	down(f, q->heap_at);
}
