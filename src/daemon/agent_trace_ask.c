// SPDX-License-Identifier: Apache-2.0
/* agent_trace_ask: what events tell by number, as words: devices, the route that a lookup found, a rule's
 * text. Asked for when the trace ends, so a moment after the packet; what changed or went meanwhile is
 * left out rather than told wrong: a route counts only where it leads where the packet's led, a rule only
 * with its handle. */
#include "core/nft/text.h"
#include "daemon/agent_kernel.h"
#include "daemon/agent_trace_look.h"
#include "sys/netns.h"
#include "sys/nfnl.h"
#include "sys/rtnl.h"
#include "sys/tracer.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <unistd.h>

struct asking {
	struct trace_facts *f;
	struct tracer *tracer;
	/* Of the space that is being asked. */
	uint32_t space;
	struct nl *nl;
	struct ifnames *names;
	struct nft_ruleset rs;
};

static const char *device_name(const struct asking *q, uint32_t index)
{
	const char *name = index ? ifnames_get(q->names, (int)index) : NULL;

	return name ? arena_strdup(q->f->arena, name) : NULL;
}

/* ---- routes */

static const char *route_type(uint8_t type)
{
	static const char *const names[] = { [RTN_UNICAST] = "unicast",
					     [RTN_LOCAL] = "local",
					     [RTN_BROADCAST] = "broadcast",
					     [RTN_ANYCAST] = "anycast",
					     [RTN_MULTICAST] = "multicast",
					     [RTN_BLACKHOLE] = "blackhole",
					     [RTN_UNREACHABLE] = "unreachable",
					     [RTN_PROHIBIT] = "prohibit",
					     [RTN_THROW] = "throw" };

	return type < sizeof(names) / sizeof(names[0]) ? names[type] : NULL;
}

/* As fib_props of the kernel has them. */
static const char *type_of_error(int error)
{
	switch (error) {
	case -EINVAL:
		return "blackhole";
	case -EHOSTUNREACH:
		return "unreachable";
	case -EACCES:
		return "prohibit";
	}
	return NULL;
}

static const char *route_protocol(uint8_t protocol, struct arena *ar)
{
	switch (protocol) {
	case RTPROT_KERNEL:
		return "kernel";
	case RTPROT_BOOT:
		return "boot";
	case RTPROT_STATIC:
		return "static";
	case RTPROT_RA:
		return "ra";
	case RTPROT_DHCP:
		return "dhcp";
	case RTPROT_BIRD:
		return "bird";
	case RTPROT_BGP:
		return "bgp";
	case RTPROT_FAIRLEAD:
		return "fairlead";
	}
	return arena_printf(ar, "%u", protocol);
}

/* Of the route to this machine itself a packet does not keep the device. */
static bool leads_there(const struct rtnl_route *r, const struct trace_open_end *w)
{
	return w->oif ? !r->oif || r->oif == w->oif : r->type != RTN_UNICAST;
}

/* What is not there (any more) says nothing. */
static int64_t device_mtu(const struct asking *q, uint32_t index)
{
	struct err e;
	int mtu = index ? rtnl_mtu(q->nl, index, &e) : 0;

	return mtu > 0 ? mtu : 0;
}

static void ask_route(const struct asking *q, const struct trace_open_end *w)
{
	struct trace_observation *o = &q->f->v[w->at];
	const struct rtnl_route_ask asks[] = {
		{ .dst = w->dst, .mark = w->mark },
		{ .dst = w->dst, .src = w->src, .iif = w->iif, .mark = w->mark },
	};
	struct trace_route *out = o->route;
	struct rtnl_route r;
	struct err e;

	if (!out)
		return;
	o->device = out->device = device_name(q, w->oif);
	if (w->error) {
		out->error = arena_strdup(q->f->arena, strerror(-w->error));
		out->type = type_of_error(w->error);
		return;
	}
	for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
		if (rtnl_route_match(q->nl, &asks[i], &r, &e) || !leads_there(&r, w))
			continue;
		if (!w->oif)
			o->device = out->device = device_name(q, r.oif);
		out->prefix = r.prefix;
		out->source = r.source;
		out->type = route_type(r.type);
		out->protocol = route_protocol(r.protocol, q->f->arena);
		out->table = r.table;
		out->mtu = r.mtu ? r.mtu : device_mtu(q, w->oif);
		return;
	}
}

/* ---- rules */

static const char *hook_name(const struct nft_chain *c)
{
	static const char *const names[] = { [NF_INET_PRE_ROUTING] = "prerouting",
					     [NF_INET_LOCAL_IN] = "input",
					     [NF_INET_FORWARD] = "forward",
					     [NF_INET_LOCAL_OUT] = "output",
					     [NF_INET_POST_ROUTING] = "postrouting" };

	return c->hook < sizeof(names) / sizeof(names[0]) ? names[c->hook] : NULL;
}

static const char *rule_text(const struct nft_rule *r, uint8_t family, struct arena *ar)
{
	struct buf b = { 0 };
	const char *text;

	nft_text_rule(r, family, &b);
	text = b.failed || !b.v ? NULL : arena_strdup(ar, b.v);
	buf_fini(&b);
	return text;
}

/* Tables are read once, and without the elements of their sets. */
static bool have_table(struct asking *q, const struct trace_open_end *w)
{
	struct nfnl *n = tracer_nfnl(q->tracer, q->space);
	struct err e;

	if (nft_table_get(&q->rs, w->family, w->table))
		return true;
	return n && !nfnl_dump(n, w->family, w->table, false, &q->rs, &e) &&
	       nft_table_get(&q->rs, w->family, w->table);
}

static void ask_rule(struct asking *q, const struct trace_open_end *w)
{
	struct trace_observation *o = &q->f->v[w->at];
	struct nft_trace key = { .family = w->family, .rule = w->handle };
	const struct nft_chain *c;
	const struct nft_rule *r;

	o->device = device_name(q, w->oif ? w->oif : w->iif);
	if (!have_table(q, w))
		return;
	snprintf(key.table, sizeof(key.table), "%s", w->table);
	snprintf(key.chain, sizeof(key.chain), "%s", w->chain);
	c = nft_trace_chain(&q->rs, &key);
	if (c && c->base) {
		o->hook = hook_name(c);
		o->priority = c->priority;
	}
	r = w->handle ? nft_trace_rule(&q->rs, &key) : NULL;
	if (!r)
		return;
	o->rule = rule_text(r, w->family, q->f->arena);
	o->comment = r->comment ? arena_strdup(q->f->arena, r->comment) : NULL;
}

/* ---- spaces */

static int enter(struct asking *q, struct err *e)
{
	const char *path = q->f->spaces[q->space].path;
	int netns, rc;

	q->names = ifnames_new();
	if (!q->names)
		return err_set(e, -ENOMEM, "no memory");
	netns = path ? netns_open(path, e) : netns_self(e);
	if (netns < 0)
		return netns;
	q->nl = nl_open_in(netns, NETLINK_ROUTE, e);
	close(netns);
	if (!q->nl)
		return -EIO;
	rc = rtnl_learn_names(q->nl, q->names, e);
	nft_ruleset_init(&q->rs, q->f->arena);
	return rc;
}

static void leave(struct asking *q)
{
	nl_close(q->nl);
	ifnames_free(q->names);
	q->nl = NULL;
	q->names = NULL;
}

static void ask_in(struct asking *q)
{
	const struct trace_facts *f = q->f;

	for (uint32_t i = 0; i < f->n_ends; i++) {
		if (f->ends[i].space != q->space)
			continue;
		if (f->ends[i].table)
			ask_rule(q, &f->ends[i]);
		else
			ask_route(q, &f->ends[i]);
	}
}

void trace_facts_ask(struct trace_facts *f, struct tracer *t)
{
	struct asking q = { .f = f, .tracer = t };
	struct err e;

	for (q.space = 0; q.space < f->n_spaces; q.space++) {
		bool any = false;

		for (uint32_t i = 0; i < f->n_ends && !any; i++)
			any = f->ends[i].space == q.space;
		if (!any)
			continue;
		if (!enter(&q, &e)) /* else it is about to go */
			ask_in(&q);
		leave(&q);
	}
}
