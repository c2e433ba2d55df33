// SPDX-License-Identifier: Apache-2.0
/* Members of sets: addresses, or addresses with a port, each with the number of pods that bring it,
 * as two pods may say the same address for a moment. */
#include "core/policy/index_state.h"

#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

static void member_free(struct policy_index *x, struct policy_held *h)
{
	struct policy_sel *s = (struct policy_sel *)h->m.set;

	if (h->due)
		DL_DELETE2(x->members_due, h, prev_due, next_due);
	if (x->member_taken == h)
		x->member_taken = NULL;
	HASH_DEL(s->members, h);
	x->stats.members--;
	free(h);
}

static void member_due(struct policy_index *x, struct policy_held *h)
{
	h->m.wanted = h->bringers > 0;
	if (h->due)
		return;
	h->due = true;
	DL_APPEND2(x->members_due, h, prev_due, next_due);
}

static struct policy_held *member_find(const struct policy_sel *s, const struct ipaddr *addr,
				       uint16_t port)
{
	struct policy_held *h, like = { .key = { *addr, 0, port } };

	HASH_FIND(hh, s->members, &like.key, sizeof(like.key), h);
	return h;
}

static struct policy_held *member_make(struct policy_index *x, struct policy_sel *s,
				       const struct ipaddr *addr, uint16_t port)
{
	struct policy_held *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->m = (struct policy_member){
		.set = &s->set, .addr = *addr, .proto = s->proto, .port = port
	};
	h->key.addr = *addr;
	h->key.port = port;
	HASH_ADD(hh, s->members, key, sizeof(h->key), h);
	if (h->hh.tbl) {
		x->stats.members++;
		return h;
	}
	free(h);
	return NULL;
}

static int member_add(struct policy_index *x, struct policy_sel *s, const struct ipaddr *addr,
		      uint16_t port)
{
	struct policy_held *h = member_find(s, addr, port);

	if (!h)
		h = member_make(x, s, addr, port);
	if (!h)
		return -ENOMEM;
	if (!h->bringers++)
		member_due(x, h);
	return 0;
}

static void member_drop(struct policy_index *x, struct policy_sel *s, const struct ipaddr *addr,
			uint16_t port)
{
	struct policy_held *h = member_find(s, addr, port);

	if (h && h->bringers && !--h->bringers)
		member_due(x, h);
}

/* ---- edges */

static int each_port(struct policy_index *x, const struct policy_edge *edge,
		     const struct ipaddr *addr, bool add)
{
	const struct policy_sel *s = edge->sel;
	const struct container_port *cp;
	int rc = 0;

	for (uint32_t i = 0; (cp = policy_pod_port(edge->pod->pod, i)); i++) {
		if (!text_eq(cp->name, s->port) || policy_protocol(cp->protocol) != s->proto)
			continue;
		if (!add)
			member_drop(x, edge->sel, addr, (uint16_t)cp->containerPort);
		else if (!rc)
			rc = member_add(x, edge->sel, addr, (uint16_t)cp->containerPort);
	}
	return rc;
}

static int one_address(struct policy_index *x, const struct policy_edge *edge,
		       const struct ipaddr *addr, bool add)
{
	if (edge->sel->port)
		return each_port(x, edge, addr, add);
	if (add)
		return member_add(x, edge->sel, addr, 0);
	member_drop(x, edge->sel, addr, 0);
	return 0;
}

static int each_member(struct policy_index *x, const struct policy_edge *edge, bool add)
{
	const struct policy_pod *p = edge->pod;
	int rc = 0;

	for (uint32_t i = 0; i < p->n_addresses && !rc; i++)
		rc = one_address(x, edge, &p->addresses[i].addr, add);
	for (uint32_t i = 0; p->answers && i < x->dns.n_addrs && !rc; i++)
		rc = one_address(x, edge, &x->dns.addrs[i], add);
	return rc;
}

int policy_edge_add(struct policy_index *x, struct policy_pod *p, struct policy_sel *s)
{
	struct policy_edge *edge = calloc(1, sizeof(*edge));

	if (!edge)
		return -ENOMEM;
	edge->pod = p;
	edge->sel = s;
	DL_APPEND(p->edges, edge);
	DL_APPEND2(s->edges, edge, prev_of_sel, next_of_sel);
	return each_member(x, edge, true);
}

void policy_edge_drop(struct policy_index *x, struct policy_edge *edge)
{
	each_member(x, edge, false);
	policy_edge_free(edge);
}

void policy_edge_free(struct policy_edge *edge)
{
	DL_DELETE(edge->pod->edges, edge);
	DL_DELETE2(edge->sel->edges, edge, prev_of_sel, next_of_sel);
	free(edge);
}

void policy_members_again(struct policy_index *x)
{
	for (struct policy_sel *s = x->sels; s; s = s->hh.next)
		for (struct policy_held *h = s->members; h; h = h->hh.next)
			if (h->m.wanted != h->m.told)
				member_due(x, h);
}

void policy_members_fini(struct policy_index *x, struct policy_sel *s)
{
	struct policy_held *h, *next;

	HASH_ITER(hh, s->members, h, next)
	{
		member_free(x, h);
	}
}

/* ---- for the reader */

struct policy_member *policy_index_take_member(struct policy_index *x)
{
	struct policy_held *h = x->member_taken;

	x->member_taken = NULL;
	if (h && !h->m.wanted && !h->m.told && !h->due)
		member_free(x, h);
	while ((h = x->members_due)) {
		h->due = false;
		DL_DELETE2(x->members_due, h, prev_due, next_due);
		if (h->m.wanted != h->m.told) {
			x->member_taken = h;
			return &h->m;
		}
		if (!h->m.wanted)
			member_free(x, h);
	}
	return NULL;
}

struct policy_member *policy_set_next(const struct policy_set *s, const struct policy_member *m)
{
	const struct policy_held *h = m ? ((const struct policy_held *)m)->hh.next
					: ((const struct policy_sel *)s)->members;

	return h ? (struct policy_member *)&h->m : NULL;
}
