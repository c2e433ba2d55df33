// SPDX-License-Identifier: Apache-2.0
/* Which leg comes after which: the next one begins with the packet that the last one sent, as clocks of
 * two machines differ by more than a packet needs. What fits best wins: the same packet in the same
 * tunnel, then the same packet; what fits nowhere comes last, by its time. The request begins where the
 * probe was sent, the reply where the request ended. */
#include "core/trace/join_state.h"

#include <string.h>

static bool same_packet(const struct story_head *a, const struct story_head *b)
{
	return addr_eq(&a->src, &b->src) && addr_eq(&a->dst, &b->dst) && a->sport == b->sport &&
	       a->dport == b->dport;
}

/* The header with which it begins, or ends. */
static const struct story_head *edge(const struct leg *l, bool end)
{
	for (uint32_t i = 0; i < l->n; i++) {
		const struct sight *s = &l->v[end ? l->n - 1 - i : i];

		if (s->head.src.family)
			return &s->head;
	}
	return &l->v[0].head;
}

enum { NO_FIT, FITS, FITS_IN_TUNNEL };

static int fit(const struct leg *before, const struct leg *next)
{
	const struct story_head *sent = edge(before, true), *came = edge(next, false);

	if (!same_packet(sent, came))
		return NO_FIT;
	return sent->encap && story_head_same(sent, came) ? FITS_IN_TUNNEL : FITS;
}

static bool is_earlier(const struct leg *a, const struct leg *b)
{
	return a->v[0].o->at < b->v[0].o->at;
}

static void swap(struct legs *legs, uint32_t i, uint32_t k)
{
	struct leg t = legs->v[i];

	legs->v[i] = legs->v[k];
	legs->v[k] = t;
}

/* Does it go on with what another one sent? */
static bool is_fed(const struct legs *legs, uint32_t at, uint32_t end, uint32_t i)
{
	for (uint32_t k = at; k < end; k++)
		if (k != i && fit(&legs->v[k], &legs->v[i]) != NO_FIT)
			return true;
	return false;
}

/* To `at` that leg with which it begins: at `node`, where there is one, else one that no other leg feeds. */
static void put_first(struct legs *legs, uint32_t at, uint32_t end, const char *node)
{
	uint32_t best = at;
	int most = -1;

	for (uint32_t i = at; i < end; i++) {
		bool here = node && !strcmp(legs->v[i].node, node);
		int score = 2 * here + !is_fed(legs, at, end, i);

		if (score > most || (score == most && is_earlier(&legs->v[i], &legs->v[best]))) {
			best = i;
			most = score;
		}
	}
	swap(legs, at, best);
}

static void chain(struct legs *legs, uint32_t at, uint32_t end)
{
	for (uint32_t i = at + 1; i < end; i++) {
		uint32_t best = i;

		for (uint32_t k = i + 1; k < end; k++) {
			int is = fit(&legs->v[i - 1], &legs->v[k]);
			int was = fit(&legs->v[i - 1], &legs->v[best]);

			if (is > was || (is == was && is_earlier(&legs->v[k], &legs->v[best])))
				best = k;
		}
		swap(legs, i, best);
	}
}

void join_order(const struct packet_trace *t, struct legs *legs)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < legs->n; i++)
		if (legs->v[i].direction == STORY_REQUEST)
			swap(legs, n++, i);
	if (n) {
		put_first(legs, 0, n, t->spec.source.node);
		chain(legs, 0, n);
	}
	if (n < legs->n) {
		put_first(legs, n, legs->n, n ? legs->v[n - 1].node : NULL);
		chain(legs, n, legs->n);
	}
}
