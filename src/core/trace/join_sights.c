// SPDX-License-Identifier: Apache-2.0
/* Of each observation: is it of the request or of the reply, and is it of the first packet?
 *
 * TCP says it in its flags: a SYN asks, a SYN with ACK or an RST answers, the rest is none of the
 * story. ICMP says it in its type. For UDP and SCTP, tuples are learned: from what the probe sent,
 * from connection tables, and from packets that share one end with a known tuple (translation changes one
 * end at a time, or a connection table knows of it).
 *
 * What has no header (rules, routes) is of the packet with the same id that was seen last, as
 * kernels use a buffer again. A packet that the node sent away and that comes in again is on another
 * visit, such as that of a NodePort's client whose endpoint is beside it. Where it comes by a device or a
 * chain for the second time, and looks as it did, it was sent again: its journey ended before. */
#include "core/trace/join_state.h"

#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <stdlib.h>
#include <string.h>

enum { NEITHER = 2 };

#define TUPLES_MAX 64
#define VISITS_MAX 4 /* of one direction to one node; more is a circle */

struct tuples {
	struct story_head v[TUPLES_MAX]; /* of requests */
	uint32_t n;
};

/* ---- headers */

static uint8_t ipproto_of(uint8_t proto)
{
	static const uint8_t v[] = { [PACKET_TCP] = IPPROTO_TCP,
				     [PACKET_UDP] = IPPROTO_UDP,
				     [PACKET_SCTP] = IPPROTO_SCTP,
				     [PACKET_ICMP] = IPPROTO_ICMP,
				     [PACKET_ICMPV6] = IPPROTO_ICMPV6 };

	return proto < sizeof(v) ? v[proto] : 0;
}

static struct story_head tuple_head(const struct trace_tuple *t)
{
	return (struct story_head){ .src = t->src,
				    .dst = t->dst,
				    .proto = ipproto_of(t->proto),
				    .sport = (uint16_t)t->sport,
				    .dport = (uint16_t)t->dport };
}

/* A route's header is the question that was asked, not the packet's. */
static struct story_head head_of(const struct trace_observation *o, struct arena *a)
{
	struct story_head h = { .src = o->head.src,
				.dst = o->head.dst,
				.proto = ipproto_of(o->head.proto),
				.sport = (uint16_t)o->head.sport,
				.dport = (uint16_t)o->head.dport,
				.flags = o->head.flags,
				.length = (uint32_t)o->head.length,
				.ttl = (uint8_t)o->head.ttl };

	if (o->kind == FACT_ROUTE || o->kind == FACT_CONNTRACK || addr_is_unspecified(&h.src))
		return (struct story_head){ .ttl = 0 };
	if (h.proto == IPPROTO_ICMP || h.proto == IPPROTO_ICMPV6)
		h.sport = h.dport = 0; /* an echo's id, which translation may change */
	if (o->head.icmp)
		h.flags =
			arena_printf(a, "%d/%d", (int)o->head.icmp->type, (int)o->head.icmp->code);
	if (!o->outer)
		return h;
	h.encap = o->outer->kind && !strcmp(o->outer->kind, "vxlan") ? STORY_VXLAN : STORY_IPIP;
	h.outer_src = o->outer->src;
	h.outer_dst = o->outer->dst;
	h.vni = (uint32_t)o->outer->vni;
	return h;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : !a && !b;
}

/* ---- tuples */

static bool same_end(const struct ipaddr *a, uint16_t aport, const struct ipaddr *b, uint16_t bport)
{
	return addr_eq(a, b) && aport == bport;
}

static bool shares(const struct story_head *a, const struct story_head *b, bool both)
{
	bool src = same_end(&a->src, a->sport, &b->src, b->sport);
	bool dst = same_end(&a->dst, a->dport, &b->dst, b->dport);

	return both ? src && dst : src || dst;
}

static void learn(struct tuples *t, const struct story_head *h)
{
	for (uint32_t i = 0; i < t->n; i++)
		if (shares(&t->v[i], h, true))
			return;
	if (t->n < TUPLES_MAX && h->src.family)
		t->v[t->n++] = *h;
}

/* By whole tuples before halves, as a pod that asks itself has the same address at both ends. */
static unsigned by_tuples(struct tuples *t, const struct story_head *h)
{
	struct story_head back = story_head_inverse(h);

	for (int both = 1; both >= 0; both--)
		for (uint32_t i = 0; i < t->n; i++) {
			if (shares(&t->v[i], h, both)) {
				learn(t, h);
				return STORY_REQUEST;
			}
			if (shares(&t->v[i], &back, both)) {
				learn(t, &back);
				return STORY_REPLY;
			}
		}
	return NEITHER;
}

static bool is_icmp(uint8_t proto)
{
	return proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6;
}

/* A router's hint that there is a shorter way; the packet goes on all the same. */
static bool is_redirect(uint8_t proto, int64_t type)
{
	return proto == IPPROTO_ICMP ? type == ICMP_REDIRECT : type == ND_REDIRECT;
}

static unsigned icmp_direction(const struct trace_observation *o, struct tuples *t)
{
	const struct trace_icmp *i = o->head.icmp;
	struct story_head quoted;

	if (!i || is_redirect(ipproto_of(o->head.proto), i->type))
		return NEITHER;
	if (!i->quoted)
		return i->type == ICMP_ECHO || i->type == ICMP6_ECHO_REQUEST ? STORY_REQUEST
									     : STORY_REPLY;
	quoted = tuple_head(i->quoted);
	return by_tuples(t, &quoted) == STORY_REPLY ? NEITHER : STORY_REPLY;
}

static unsigned direction_of(const struct sight *s, struct tuples *t)
{
	const char *flags = s->head.flags ? s->head.flags : "";

	if (is_icmp(s->head.proto))
		return icmp_direction(s->o, t);
	if (s->head.proto != IPPROTO_TCP)
		return by_tuples(t, &s->head);
	if (!strcmp(flags, "S"))
		return STORY_REQUEST;
	return !strcmp(flags, "SA") || strchr(flags, 'R') ? STORY_REPLY : NEITHER;
}

/* ---- one node */

/* What the probe's own socket says it sent: the first tuple that is known. */
static void learn_probe(const struct packet_trace *t, struct tuples *known)
{
	struct story_head h = { .src = t->spec.source.address,
				.dst = t->spec.destination.address,
				.dport = (uint16_t)t->spec.destination.port };

	if (t->status.probe.localAddress.family &&
	    !addr_is_unspecified(&t->status.probe.localAddress)) {
		h.src = t->status.probe.localAddress;
		h.sport = (uint16_t)t->status.probe.localPort;
	}
	if (!addr_is_unspecified(&h.src) && (h.sport || !h.dport))
		learn(known, &h);
}

/* What a connection table says how requests come, and how they leave. */
static void learn_connections(const struct packet_trace *t, struct tuples *known)
{
	for (uint32_t i = 0; i < t->status.nodes.n; i++)
		for (uint32_t k = 0; k < t->status.nodes.v[i].observations.n; k++) {
			const struct trace_conntrack *ct =
				t->status.nodes.v[i].observations.v[k].conntrack;
			struct story_head h;

			if (!ct)
				continue;
			h = tuple_head(&ct->orig);
			learn(known, &h);
			h = tuple_head(&ct->reply);
			h = story_head_inverse(&h);
			learn(known, &h);
		}
}

static bool leads_to(const struct trace_observation *o, const char *chain)
{
	const char *to = o->verdict ? strchr(o->verdict, ' ') : NULL;

	return same_text(o->chain, chain) || (to && same_text(to + 1, chain));
}

/* Was this shown to, or met by, the packet that met the rule `o`? A base chain by its hook, another by
 * who sent the packet there. */
static bool is_of_rule(const struct trace_observation *before, const struct trace_observation *o)
{
	if (!same_text(before->table, o->table))
		return false;
	return o->hook ? before->kind == FACT_CHAIN && same_text(before->hook, o->hook)
		       : leads_to(before, o->chain);
}

/* The direction of what has no header: that of the packet with the same id; of a rule, that of the
 * packet which came to its chain last, as a rule that rejects tells of itself after the answer that it
 * makes; else of what was seen just before. */
static unsigned as_before(const struct sight *v, uint32_t n, const struct trace_observation *o)
{
	for (uint32_t i = n; o->packet && i-- > 0;)
		if (v[i].o->packet == o->packet && v[i].head.src.family)
			return v[i].direction;
	for (uint32_t i = n; o->chain && i-- > 0;)
		if (is_of_rule(v[i].o, o))
			return v[i].direction;
	return n ? v[n - 1].direction : NEITHER;
}

static int compare_at(const void *a, const void *b)
{
	const struct trace_observation *const *x = a, *const *y = b;

	/* Of one moment, those that were written first. */
	return (*x)->at != (*y)->at ? ((*x)->at > (*y)->at) - ((*x)->at < (*y)->at)
				    : (*x > *y) - (*x < *y);
}

/* ---- visits */

bool join_is_station(const struct trace_observation *o)
{
	return o->kind == FACT_DEV_IN || o->kind == FACT_DEV_OUT || o->kind == FACT_CHAIN;
}

bool join_is_loopback(const struct trace_observation *o)
{
	return same_text(o->device, "lo");
}

static bool same_station(const struct sight *a, const struct sight *b)
{
	return a->o->kind == b->o->kind && story_head_same(&a->head, &b->head) &&
	       same_text(a->o->in, b->o->in) && same_text(a->o->device, b->o->device) &&
	       same_text(a->o->table, b->o->table) && same_text(a->o->chain, b->o->chain);
}

/* A direction's visits to one node, in the order of time. */
struct visits {
	struct leg v[VISITS_MAX];
	uint32_t n;
};

static bool was_here(const struct visits *all, const struct sight *s)
{
	for (uint32_t i = 0; join_is_station(s->o) && i < all->n; i++)
		for (uint32_t k = 0; k < all->v[i].n; k++)
			if (same_station(&all->v[i].v[k], s))
				return true;
	return false;
}

static const struct trace_observation *last_device(const struct leg *leg)
{
	for (uint32_t i = leg->n; i-- > 0;)
		if (leg->v[i].o->kind == FACT_DEV_IN || leg->v[i].o->kind == FACT_DEV_OUT)
			return leg->v[i].o;
	return NULL;
}

/* What the node sent away comes in to it again: it was elsewhere meanwhile. */
static bool returns(const struct leg *leg, const struct sight *s)
{
	const struct trace_observation *sent = last_device(leg);

	return s->o->kind == FACT_DEV_IN && !s->o->in && !join_is_loopback(s->o) && sent &&
	       sent->kind == FACT_DEV_OUT && !sent->in;
}

/* Buffers are freed when the kernel comes to it: of what it says then, the visit in which the packet was. */
static struct leg *visit_of(struct visits *all, const struct sight *s)
{
	for (uint32_t i = all->n; s->o->packet && !join_is_station(s->o) && i-- > 0;)
		for (uint32_t k = 0; k < all->v[i].n; k++)
			if (all->v[i].v[k].o->packet == s->o->packet)
				return &all->v[i];
	return &all->v[all->n - 1];
}

static int begin_visit(struct visits *all, const char *node, enum story_direction direction,
		       uint32_t n, struct arena *a)
{
	struct leg *leg = &all->v[all->n++];

	*leg = (struct leg){ node, direction, arena_array(a, n, sizeof(*leg->v)), 0 };
	return leg->v ? 0 : -ENOMEM;
}

/* Those of one direction, up to where the packet was sent again. */
static int make_legs(const char *node, const struct sight *all, uint32_t n,
		     enum story_direction direction, struct arena *a, struct legs *out)
{
	struct visits visits = { .n = 0 };
	struct leg *leg;

	if (begin_visit(&visits, node, direction, n, a))
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		if (all[i].direction != direction)
			continue;
		if (was_here(&visits, &all[i]))
			break;
		if (returns(&visits.v[visits.n - 1], &all[i])) {
			if (visits.n == VISITS_MAX)
				break;
			if (begin_visit(&visits, node, direction, n - i, a))
				return -ENOMEM;
		}
		leg = visit_of(&visits, &all[i]);
		if (leg->n || all[i].head.src.family)
			leg->v[leg->n++] = all[i];
	}
	for (uint32_t i = 0; i < visits.n; i++)
		if (visits.v[i].n)
			out->v[out->n++] = visits.v[i];
	return 0;
}

static int node_legs(const struct trace_node *node, struct tuples *known, struct arena *a,
		     struct legs *out)
{
	uint32_t n = node->observations.n;
	const struct trace_observation **order = arena_array(a, n, sizeof(*order));
	struct sight *v = arena_array(a, n, sizeof(*v));

	if (!order || !v)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		order[i] = &node->observations.v[i];
	qsort(order, n, sizeof(*order), compare_at);
	for (uint32_t i = 0; i < n; i++) {
		v[i] = (struct sight){ .o = order[i], .head = head_of(order[i], a) };
		v[i].direction = (uint8_t)(v[i].head.src.family ? direction_of(&v[i], known)
								: as_before(v, i, order[i]));
	}
	if (make_legs(node->name, v, n, STORY_REQUEST, a, out) ||
	    make_legs(node->name, v, n, STORY_REPLY, a, out))
		return -ENOMEM;
	return 0;
}

int join_sights(const struct packet_trace *t, struct arena *a, struct legs *out)
{
	struct tuples *known = arena_alloc(a, sizeof(*known));
	struct legs legs = {
		arena_array(a, 2 * VISITS_MAX * (size_t)t->status.nodes.n, sizeof(*legs.v)), 0
	};

	if (!known || !legs.v)
		return -ENOMEM;
	learn_probe(t, known);
	learn_connections(t, known);
	for (uint32_t i = 0; i < t->status.nodes.n; i++)
		if (node_legs(&t->status.nodes.v[i], known, a, &legs))
			return -ENOMEM;
	*out = legs;
	return 0;
}
