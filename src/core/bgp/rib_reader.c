// SPDX-License-Identifier: Apache-2.0
/* Readers of the table: see rib.h. A destination that is gone, and was taken back, is freed when the reader that did that
 * takes its next step. */
#include "core/bgp/rib_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BITS 64u /* of a word */

struct bgp_reader *bgp_reader_new(struct bgp_rib *r)
{
	struct bgp_reader *rd = calloc(1, sizeof(*rd));

	if (!rd)
		return NULL;
	rd->rib = r;
	rd->node.kind = rd->mark.kind = BGP_N_PLACE;
	bgp_node_behind(&r->head, &rd->node);
	bgp_node_behind(r->head.prev, &rd->mark);
	return rd;
}

void bgp_reader_rewind(struct bgp_reader *rd)
{
	bgp_node_out(&rd->node);
	bgp_node_behind(&rd->rib->head, &rd->node);
	if (rd->mark.next)
		bgp_node_out(&rd->mark);
	bgp_node_behind(rd->rib->head.prev, &rd->mark);
}

/* What lies just before a reader was told to it by now; where nobody needs it any more it goes. */
static void clean_before(struct bgp_reader *rd)
{
	struct bgp_node *n = rd->node.prev;

	while (n != &rd->rib->head && n->kind == BGP_N_PLACE)
		n = n->prev;
	if (n->kind == BGP_N_DEST && !bgp_is_needed(bgp_dest_of(n)))
		bgp_forget_dest(rd->rib, bgp_dest_of(n));
}

struct bgp_dest *bgp_reader_next(struct bgp_reader *rd)
{
	const struct bgp_node *head = &rd->rib->head;
	struct bgp_node *n;

	clean_before(rd);
	for (n = rd->node.next; n != head && n->kind == BGP_N_PLACE; n = rd->node.next) {
		bgp_node_out(&rd->node);
		bgp_node_behind(n, &rd->node);
		if (n == &rd->mark)
			bgp_node_out(&rd->mark);
	}
	if (n == head)
		return NULL;
	bgp_node_out(&rd->node);
	bgp_node_behind(n, &rd->node);
	return bgp_dest_of(n);
}

bool bgp_reader_is_through(const struct bgp_reader *rd)
{
	return !rd->mark.next;
}

bool bgp_reader_told(const struct bgp_reader *rd, const struct bgp_dest *d)
{
	uint32_t word = d->node.number / BITS;

	return word < rd->n_words && rd->told[word] >> d->node.number % BITS & 1;
}

int bgp_reader_note(struct bgp_reader *rd, struct bgp_dest *d, bool told)
{
	uint32_t word = d->node.number / BITS;

	if (told == bgp_reader_told(rd, d))
		return 0;
	if (word >= rd->n_words) {
		uint32_t n = 2 * word + 8;
		uint64_t *v = realloc(rd->told, n * sizeof(*v));

		if (!v)
			return -ENOMEM;
		memset(v + rd->n_words, 0, (n - rd->n_words) * sizeof(*v));
		rd->told = v;
		rd->n_words = n;
	}
	rd->told[word] ^= 1ull << d->node.number % BITS;
	d->n_told += told ? 1 : -1u;
	rd->count += told ? 1 : -1u;
	return 0;
}

uint32_t bgp_reader_count(const struct bgp_reader *rd)
{
	return rd->count;
}

void bgp_reader_free(struct bgp_reader *rd)
{
	struct bgp_node *n, *next;

	if (!rd)
		return;
	bgp_node_out(&rd->node);
	if (rd->mark.next)
		bgp_node_out(&rd->mark);
	for (n = rd->rib->head.next; n != &rd->rib->head && rd->count; n = next) {
		next = n->next;
		if (n->kind != BGP_N_DEST || !bgp_reader_told(rd, bgp_dest_of(n)))
			continue;
		rd->count--;
		bgp_dest_of(n)->n_told--;
		if (!bgp_is_needed(bgp_dest_of(n)))
			bgp_forget_dest(rd->rib, bgp_dest_of(n));
	}
	free(rd->told);
	free(rd);
}
