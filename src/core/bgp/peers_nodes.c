// SPDX-License-Identifier: Apache-2.0
/* The rows of peers_state.h: each Node has a source, the first that selects it, and stays at its addresses; each address has a peer, of
 * the first source there, by a router or a Node. What changes makes its rows due, and when they are judged nothing else is looked at.
 *
 * An address keeps its discriminator of BFD (RFC 5880 6.3) as long as it has any row; it follows from the address, and where two addresses
 * come to the same one, from who was first. */
#include "base/hash.h"
#include "core/bgp/peers_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MEMBERS "node"

/* ---- rows */

struct member *wants_member(struct bgp_wants *w, const char *name, bool make)
{
	return (struct member *)by_name_get(&w->members, MEMBERS, name,
					    make ? sizeof(struct member) : 0);
}

void wants_member_due(struct bgp_wants *w, struct member *m)
{
	if (m->due)
		return;
	m->due = true;
	m->next_due = w->due;
	w->due = m;
}

static void place_due(struct bgp_wants *w, struct place *p)
{
	if (p->due)
		return;
	p->due = true;
	p->next_due = w->due_places;
	w->due_places = p;
}

static struct place *find_place(const struct bgp_wants *w, const struct ipaddr *a)
{
	struct place *p;

	HASH_FIND(hh, w->places, a, sizeof(*a), p);
	return p;
}

/* Due from its beginning, so that it goes again where nobody comes. NULL: no memory. */
static struct place *get_place(struct bgp_wants *w, const struct ipaddr *a)
{
	struct place *p = find_place(w, a);

	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->addr = *a;
	HASH_ADD(hh, w->places, addr, sizeof(p->addr), p);
	if (!p->hh.tbl) {
		free(p);
		return NULL;
	}
	place_due(w, p);
	return p;
}

static void drop_place(struct bgp_wants *w, struct place *p)
{
	if (p->discriminator)
		HASH_DELETE(hh_bfd, w->by_discriminator, p);
	HASH_DEL(w->places, p);
	free(p);
}

/* ---- a Node */

static void leave(struct stay *s)
{
	if (!s->place)
		return;
	*s->prev = s->next;
	if (s->next)
		s->next->prev = s->prev;
	s->place = NULL;
}

/* False: no memory. */
static bool stay_at(struct bgp_wants *w, struct member *m, struct stay *s, const struct ipaddr *a)
{
	struct place *p;

	if (s->place && addr_eq(&s->place->addr, a))
		return true;
	leave(s);
	if (!a->family)
		return true;
	p = get_place(w, a);
	if (!p)
		return false;
	*s = (struct stay){ .node = m, .place = p, .next = p->nodes, .prev = &p->nodes };
	if (s->next)
		s->next->prev = &s->next;
	p->nodes = s;
	return true;
}

static void stays_due(struct bgp_wants *w, const struct member *m)
{
	for (unsigned f = 0; f < BGP_FAMILIES; f++)
		if (m->at[f].place)
			place_due(w, m->at[f].place);
}

static void find_source(struct bgp_wants *w, struct member *m, const struct ipaddr *ip)
{
	const struct want *f = wants_frame(w);

	m->source = m->object && strcmp(m->id.name, w->node) != 0
			    ? want_source_of(f, m->object->body)
			    : NULL;
	m->family = -1;
	for (unsigned i = 0; i < BGP_FAMILIES && m->family < 0; i++)
		if (ip[i].family && f->ip[i].family)
			m->family = (int)i;
	wants_trouble(w, &m->trouble, m->source && m->family < 0 ? m->source->label : NULL,
		      "Node %s has no InternalIP of a family that %s has", m->id.name, w->node);
}

static bool judge_member(struct bgp_wants *w, struct member *m)
{
	struct ipaddr ip[BGP_FAMILIES] = { 0 };
	bool done = true;

	w->work.nodes++;
	stays_due(w, m);
	if (m->object)
		want_node_ips(m->object->body, ip);
	for (unsigned f = 0; f < BGP_FAMILIES; f++)
		done &= stay_at(w, m, &m->at[f], &ip[f]);
	find_source(w, m, ip);
	stays_due(w, m);
	return done;
}

/* ---- an address */

/* Who may speak here first, of the Nodes whose session is by this address; of one source the first by name. */
static const struct member *first_node(const struct place *p)
{
	const struct member *best = NULL;

	for (const struct stay *s = p->nodes; s; s = s->next) {
		const struct member *m = s->node;

		if (!m->source || m->family != (int)bgp_family_of_addr(&p->addr))
			continue;
		if (!best || m->source < best->source ||
		    (m->source == best->source && strcmp(m->id.name, best->id.name) < 0))
			best = m;
	}
	return best;
}

/* The cluster of the Node that has this address. */
static uint32_t cluster_at(const struct place *p)
{
	const struct member *first = NULL;

	for (const struct stay *s = p->nodes; s; s = s->next)
		if (!first || strcmp(s->node->id.name, first->id.name) < 0)
			first = s->node;
	return first ? annotation_cluster_id(first->object->meta) : 0;
}

/* BGPPeers go first. */
static const char *peer_name(const struct want *f, const struct member *m)
{
	const struct object *o = cluster_get(f->v->cluster, KIND_BGPPEER, NULL, m->id.name);
	const struct bgppeer *p = o ? o->body : NULL;

	return p && p->spec.peerIP ? m->id.key : m->id.name;
}

static struct peer_facts facts_of_node(const struct want *f, const struct member *m)
{
	const struct bgpconfiguration *all = want_config(f, "", BGP_CONFIG_DEFAULT);
	const struct bgpconfiguration *own = want_config(f, BGP_CONFIG_NODE, m->id.name);
	const struct meta *meta = m->object->meta;
	struct peer_facts out = { .name = peer_name(f, m),
				  .as = annotation_as_number(meta),
				  .cluster_id = annotation_cluster_id(meta) };

	if (!out.as && own)
		out.as = (uint32_t)own->spec.asNumber;
	if (!out.as && all)
		out.as = (uint32_t)all->spec.asNumber;
	if (!out.as)
		out.as = BGP_DEFAULT_AS;
	if (own)
		out.port = (uint16_t)own->spec.listenPort;
	if (!out.port && all)
		out.port = (uint16_t)all->spec.listenPort;
	if (!out.port)
		out.port = BGP_PORT;
	return out;
}

static struct peer_facts facts_of_router(const struct place *p)
{
	const struct source *s = p->routers;

	return (struct peer_facts){ .name = s->name,
				    .port = s->port,
				    .as = (uint32_t)s->how->spec.asNumber,
				    .cluster_id = cluster_at(p) };
}

/* False: no memory. */
static bool set_discriminator(struct bgp_wants *w, struct place *p)
{
	uint64_t h = fnv64(FNV64_START, p->addr.b, addr_len(&p->addr));
	uint32_t d = (uint32_t)(h ^ h >> 32);
	struct place *other;

	if (p->discriminator)
		return true;
	for (;; d++) {
		HASH_FIND(hh_bfd, w->by_discriminator, &d, sizeof(d), other);
		if (d && !other)
			break;
	}
	p->discriminator = d;
	HASH_ADD(hh_bfd, w->by_discriminator, discriminator, sizeof(d), p);
	if (!p->hh_bfd.tbl)
		p->discriminator = 0;
	return p->discriminator;
}

static void say_conflicts(struct bgp_wants *w, const struct place *p, const struct source *winner)
{
	for (struct source *s = p->routers; s; s = s->next_here)
		wants_trouble(w, &s->trouble, s == winner ? NULL : s->label,
			      "spec.peerIP: BGPPeer %s has it already", winner->name);
}

/* False: no memory; it has no peer then. */
static bool judge_place(struct bgp_wants *w, struct place *p)
{
	const struct want *f = wants_frame(w);
	const struct member *m = first_node(p);
	const struct source *s = m ? m->source : NULL;
	struct peer_facts facts;

	w->work.addresses++;
	w->n_bfd[p->conf.bfd.multihop] -= p->has && p->conf.bfd.multiplier;
	p->has = false;
	if (p->routers && (!s || p->routers < s)) {
		s = p->routers;
		m = NULL;
	}
	if (s)
		say_conflicts(w, p, s);
	if (!s || s->off)
		return true;
	facts = m ? facts_of_node(f, m) : facts_of_router(p);
	facts.addr = p->addr;
	want_session(f, s, &facts, &p->conf, &p->transport);
	if (p->conf.bfd.multiplier && !set_discriminator(w, p))
		return false;
	p->conf.bfd.discriminator = p->conf.bfd.multiplier ? p->discriminator : 0;
	w->n_bfd[p->conf.bfd.multihop] += p->conf.bfd.multiplier != 0;
	p->has = true;
	return true;
}

/* ---- telling */

int wants_all_due(struct bgp_wants *w)
{
	struct want *f = wants_frame(w);

	for (struct by_name *x = w->members; x; x = by_name_next(x))
		wants_member_due(w, (struct member *)x);
	for (struct place *p = w->places; p; p = p->hh.next) {
		p->routers = NULL;
		place_due(w, p);
	}
	for (size_t i = f->n_sources; i > 0; i--) {
		struct source *s = &f->sources[i - 1];
		struct place *p = s->addr.family ? get_place(w, &s->addr) : NULL;

		if (!p && s->addr.family)
			return -ENOMEM;
		if (!p)
			continue;
		s->next_here = p->routers;
		p->routers = s;
	}
	return 0;
}

static bool judge(struct bgp_wants *w)
{
	bool done = true;

	for (struct member *m = w->due; m; m = m->next_due)
		done &= judge_member(w, m);
	for (struct place *p = w->due_places; p; p = p->next_due)
		done &= judge_place(w, p);
	return done;
}

static void tell(struct bgp_wants *w, const struct bgp_wants_ops *ops, void *arg)
{
	for (struct place *p = w->due_places; p; p = p->next_due)
		if (p->told && (!p->has || strcmp(p->told, p->conf.name) != 0))
			ops->gone(arg, p->told);
	for (struct place *p = w->due_places; p; p = p->next_due) {
		p->told = p->has ? p->conf.name : NULL;
		if (p->has)
			ops->peer(arg, &p->conf, &p->transport);
	}
}

static void settle(struct bgp_wants *w)
{
	struct member *m, *next_m;
	struct place *p, *next_p;

	for (m = w->due, w->due = NULL; m; m = next_m) {
		next_m = m->next_due;
		m->due = false;
		if (!m->object)
			by_name_drop(&w->members, &m->id);
	}
	for (p = w->due_places, w->due_places = NULL; p; p = next_p) {
		next_p = p->next_due;
		p->due = false;
		if (!p->nodes && !p->routers)
			drop_place(w, p);
	}
}

int wants_tell_peers(struct bgp_wants *w, const struct bgp_wants_ops *ops, void *arg)
{
	bool done = judge(w);

	tell(w, ops, arg);
	settle(w);
	return done ? 0 : -ENOMEM;
}

/* ---- looking */

const struct bgp_transport *bgp_wants_transport(const struct bgp_wants *w,
						const struct ipaddr *peer)
{
	const struct place *p = find_place(w, peer);

	return p && p->has ? &p->transport : NULL;
}

void bgp_wants_each(const struct bgp_wants *w,
		    void (*fn)(void *arg, const struct bgp_peer_conf *c,
			       const struct bgp_transport *t),
		    void *arg)
{
	for (const struct place *p = w->places; p; p = p->hh.next)
		if (p->has)
			fn(arg, &p->conf, &p->transport);
}

bool bgp_wants_bfd(const struct bgp_wants *w, bool multihop)
{
	return w->n_bfd[multihop];
}

void wants_drop_rows(struct bgp_wants *w)
{
	while (w->places)
		drop_place(w, w->places);
	while (w->members)
		by_name_drop(&w->members, w->members);
}
