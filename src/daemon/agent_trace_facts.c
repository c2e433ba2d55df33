// SPDX-License-Identifier: Apache-2.0
/* agent_trace_facts: one event of the collector becomes one observation. Of nftables' events those count
 * that say something: a base chain that begins (it shows the packet), a rule that matched, a base chain's
 * policy; that a chain came to its end decides nothing, nor does the collector's own table. Freed after
 * use where it came in last: it was delivered. */
#include "core/nft/text.h"
#include "daemon/agent_trace_look.h"
#include "sys/tracer.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <netinet/in.h>
#include <string.h>

int trace_facts_init(struct trace_facts *f, struct arena *ar, struct err *e)
{
	*f = (struct trace_facts){ .arena = ar };
	f->v = arena_array(ar, TRACE_OBSERVATIONS_MAX, sizeof(*f->v));
	f->ends = arena_array(ar, TRACE_OBSERVATIONS_MAX, sizeof(*f->ends));
	return f->v && f->ends ? 0 : err_set(e, -ENOMEM, "trace: no memory");
}

static struct trace_observation *add(struct trace_facts *f, enum trace_fact kind, uint32_t space)
{
	struct trace_observation *o;

	if (f->n == TRACE_OBSERVATIONS_MAX) {
		f->lost++;
		return NULL;
	}
	o = &f->v[f->n++];
	o->kind = (uint8_t)kind;
	o->in = space < f->n_spaces ? f->spaces[space].in : NULL;
	return o;
}

/* The last observation is not whole yet. */
static struct trace_open_end *leave_open(struct trace_facts *f, uint32_t space)
{
	struct trace_open_end *w = &f->ends[f->n_ends++];

	w->at = f->n - 1;
	w->space = space;
	return w;
}

/* ---- headers */

static uint8_t packet_proto(uint8_t proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return PACKET_TCP;
	case IPPROTO_UDP:
		return PACKET_UDP;
	case IPPROTO_SCTP:
		return PACKET_SCTP;
	case IPPROTO_ICMP:
		return PACKET_ICMP;
	case IPPROTO_ICMPV6:
		return PACKET_ICMPV6;
	}
	return PACKET_PROTO_NONE;
}

static bool is_icmp(uint8_t proto)
{
	return proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6;
}

static const char *flags_text(uint8_t flags, struct arena *ar)
{
	/* In the order in which people say them: SYN ACK, RST ACK. */
	static const struct {
		uint8_t bit;
		char letter;
	} letters[] = { { 0x02, 'S' }, { 0x01, 'F' }, { 0x04, 'R' },
			{ 0x08, 'P' }, { 0x20, 'U' }, { 0x10, 'A' } };
	char text[8];
	size_t n = 0;

	for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++)
		if (flags & letters[i].bit)
			text[n++] = letters[i].letter;
	text[n] = '\0';
	return arena_strdup(ar, text);
}

static void set_flow(struct trace_packet *p, const struct nft_trace_flow *f)
{
	p->src = f->src;
	p->dst = f->dst;
	p->proto = packet_proto(f->proto);
	p->sport = f->sport;
	p->dport = f->dport;
}

static void set_head(struct trace_packet *p, const struct tracer_head *h, struct arena *ar)
{
	struct trace_icmp *icmp = NULL;

	set_flow(p, &h->flow);
	p->ttl = h->ttl;
	p->length = h->length;
	if (h->flow.proto == IPPROTO_TCP)
		p->flags = flags_text(h->tcp_flags, ar);
	if (is_icmp(h->flow.proto))
		icmp = arena_alloc(ar, sizeof(*icmp));
	if (!icmp)
		return;
	*icmp = (struct trace_icmp){ .type = h->icmp_type,
				     .code = h->icmp_code,
				     .mtu = h->icmp_mtu };
	p->icmp = icmp;
	if (!h->has_quoted) {
		p->sport = h->icmp_id;
		return;
	}
	icmp->quoted = arena_alloc(ar, sizeof(*icmp->quoted));
	if (icmp->quoted)
		*icmp->quoted = (struct trace_tuple){ h->quoted.src, h->quoted.dst,
						      packet_proto(h->quoted.proto),
						      h->quoted.sport, h->quoted.dport };
}

static void set_outer(struct trace_observation *o, const struct tracer_outer *x, struct arena *ar)
{
	struct trace_outer *outer = x->proto ? arena_alloc(ar, sizeof(*outer)) : NULL;

	if (!outer)
		return;
	*outer = (struct trace_outer){ .kind = x->proto == IPPROTO_UDP ? "vxlan" : "ipip",
				       .src = x->src,
				       .dst = x->dst,
				       .vni = x->vni };
	o->outer = outer;
}

/* ---- nftables */

/* What the chain was shown: nftables' own copy of the headers. */
static void set_shown(struct trace_packet *p, const struct nft_trace *x, struct arena *ar)
{
	struct nft_trace_flow flow;
	bool v6;

	if (!nft_trace_packet(x, &flow))
		return;
	set_flow(p, &flow);
	v6 = flow.src.family == AF_INET6;
	if (x->n_network >= (v6 ? 40 : 20)) {
		const uint8_t *h = x->network;

		p->ttl = h[v6 ? 7 : 8];
		p->length = v6 ? 40 + (h[4] << 8 | h[5]) : h[2] << 8 | h[3];
	}
	if (flow.proto == IPPROTO_TCP && x->n_transport >= 14)
		p->flags = flags_text(x->transport[13], ar);
	if (is_icmp(flow.proto) && x->n_transport >= 6) {
		p->icmp = arena_alloc(ar, sizeof(*p->icmp));
		if (!p->icmp)
			return;
		*p->icmp = (struct trace_icmp){ .type = x->transport[0], .code = x->transport[1] };
		p->sport = x->transport[4] << 8 | x->transport[5];
	}
}

static const char *verdict_text(const struct nft_trace *x, struct arena *ar)
{
	struct nft_verdict v = { x->verdict, x->to };
	struct buf b = { 0 };
	const char *text;

	if (x->type == NFT_TRACETYPE_POLICY)
		return x->policy == NF_DROP ? "drop" : "accept";
	text_verdict(&b, &v);
	text = b.failed || !b.v ? NULL : arena_strdup(ar, b.v);
	buf_fini(&b);
	return text;
}

static struct trace_observation *add_chain(struct trace_facts *f, enum trace_fact kind,
					   const struct tracer_event *e)
{
	const struct nft_trace *x = e->rule;
	struct trace_observation *o = add(f, kind, e->space);
	struct trace_open_end *w;

	if (!o)
		return NULL;
	o->at = (int64_t)e->at;
	o->packet = (int64_t)e->packet;
	o->table = arena_printf(f->arena, "%s %s", text_family(x->family), x->table);
	o->chain = arena_strdup(f->arena, x->chain);
	o->head.mark = x->mark;
	w = leave_open(f, e->space);
	w->family = x->family;
	w->table = arena_strdup(f->arena, x->table);
	w->chain = o->chain;
	w->iif = x->iif;
	w->oif = x->oif;
	return o;
}

static void on_rule(struct trace_facts *f, const struct tracer_event *e)
{
	const struct nft_trace *x = e->rule;
	struct trace_observation *o;

	if (x->n_network) {
		o = add_chain(f, FACT_CHAIN, e);
		if (o)
			set_shown(&o->head, x, f->arena);
	}
	if ((x->type != NFT_TRACETYPE_RULE && x->type != NFT_TRACETYPE_POLICY) ||
	    (f->marker && !strcmp(x->table, f->marker)))
		return;
	o = add_chain(f, x->type == NFT_TRACETYPE_RULE ? FACT_RULE : FACT_VERDICT, e);
	if (!o)
		return;
	o->handle = (int64_t)x->rule;
	o->verdict = verdict_text(x, f->arena);
	f->ends[f->n_ends - 1].handle = x->rule;
}

/* ---- the others */

static void on_route(struct trace_facts *f, const struct tracer_event *e)
{
	const struct tracer_route *r = &e->route;
	struct trace_observation *o;
	struct trace_open_end *w;

	o = add(f, FACT_ROUTE, e->space);
	if (!o)
		return;
	o->at = (int64_t)e->at;
	o->packet = (int64_t)e->packet;
	set_flow(&o->head, &r->flow);
	o->head.mark = r->mark;
	o->route = arena_alloc(f->arena, sizeof(*o->route));
	if (o->route)
		*o->route = (struct trace_route){ .via = r->gateway };
	w = leave_open(f, e->space);
	w->iif = r->iif;
	w->oif = r->oif;
	w->mark = r->mark;
	w->src = r->flow.src;
	w->dst = r->flow.dst;
	w->error = r->error;
}

static void on_packet(struct trace_facts *f, enum trace_fact kind, const struct tracer_event *e)
{
	struct trace_observation *o = add(f, kind, e->space);

	if (!o)
		return;
	o->at = (int64_t)e->at;
	o->packet = (int64_t)e->packet;
	if (*e->device)
		o->device = arena_strdup(f->arena, e->device);
	if (e->has_head) {
		set_head(&o->head, &e->head, f->arena);
		set_outer(o, &e->head.outer, f->arena);
	}
	o->head.mark = e->mark;
	if (*e->reason)
		o->reason = arena_strdup(f->arena, e->reason);
	if (*e->place)
		o->place = arena_strdup(f->arena, e->place);
}

void trace_facts_event(struct trace_facts *f, const struct tracer_event *e)
{
	switch ((enum tracer_kind)e->kind) {
	case TRACER_IN:
		on_packet(f, FACT_DEV_IN, e);
		break;
	case TRACER_OUT:
		on_packet(f, FACT_DEV_OUT, e);
		break;
	case TRACER_ROUTE:
		on_route(f, e);
		break;
	case TRACER_RULE:
		on_rule(f, e);
		break;
	case TRACER_DROP:
		on_packet(f, FACT_DROP, e);
		break;
	case TRACER_CONSUME:
		on_packet(f, FACT_DELIVER, e);
		break;
	}
}

/* ---- connections */

static struct trace_tuple tuple_of(const struct ct_tuple *t, uint8_t proto)
{
	struct trace_tuple out = { t->src, t->dst, packet_proto(proto), t->sport, t->dport };

	if (is_icmp(proto))
		out.sport = t->icmp_id;
	return out;
}

static void set_status(struct trace_conntrack *c, uint32_t status, struct arena *ar)
{
	static const struct {
		uint32_t bit;
		const char *word;
	} words[] = { { IPS_SEEN_REPLY, "SEEN_REPLY" }, { IPS_ASSURED, "ASSURED" },
		      { IPS_CONFIRMED, "CONFIRMED" },   { IPS_SRC_NAT, "SNAT" },
		      { IPS_DST_NAT, "DNAT" },          { IPS_DYING, "DYING" } };
	size_t n = sizeof(words) / sizeof(words[0]);

	c->status.v = arena_array(ar, n, sizeof(*c->status.v));
	for (size_t i = 0; c->status.v && i < n; i++)
		if (status & words[i].bit)
			c->status.v[c->status.n++] = words[i].word;
}

void trace_facts_connection(struct trace_facts *f, uint32_t space, const struct ct_entry *c)
{
	struct trace_observation *o = add(f, FACT_CONNTRACK, space);

	if (!o)
		return;
	o->conntrack = arena_alloc(f->arena, sizeof(*o->conntrack));
	if (!o->conntrack)
		return;
	*o->conntrack = (struct trace_conntrack){ .orig = tuple_of(&c->orig, c->proto),
						  .reply = tuple_of(&c->reply, c->proto) };
	set_status(o->conntrack, c->status, f->arena);
}
