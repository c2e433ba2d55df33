// SPDX-License-Identifier: Apache-2.0
/* judge_addresses: the checks of pools, Nodes and the tunnel's name: what stands in the store or the
 * kernel twice, or for two things at once. */
#include "core/doctor/judge.h"

#include <linux/rtnetlink.h>
#include <string.h>

static void overlap(struct doctor *d, const char *id, const struct doctor_pool *pool,
		    const char *with)
{
	char cidr[PREFIX_TEXT];

	judge_report(d,
		     (struct finding){
			     id, DOCTOR_ERROR,
			     TEXT("%s and %s overlap", prefix_str(&pool->cidr, cidr), with),
			     TEXT("IPPool %s", pool->name), "packets for the one go to the other",
			     TEXT("make a pool of other addresses, disable %s and start its "
				  "pods anew",
				  pool->name) });
}

static void overlap_stored(struct doctor *d, const struct doctor_facts *f, uint32_t i)
{
	const struct doctor_pool *p = &f->pools.v[i];
	char text[PREFIX_TEXT];

	for (uint32_t k = i + 1; k < f->pools.n; k++)
		if (prefix_overlaps(&p->cidr, &f->pools.v[k].cidr))
			overlap(d, "overlap-pools", p, TEXT("IPPool %s", f->pools.v[k].name));
	for (uint32_t k = 0; k < f->nodes.n; k++)
		if (prefix_has(&p->cidr, &f->nodes.v[k].ip))
			overlap(d, "overlap-nodes", p,
				TEXT("Node %s's %s", f->nodes.v[k].name,
				     addr_str(&f->nodes.v[k].ip, text)));
	for (uint32_t k = 0; k < f->services.n; k++)
		if (prefix_overlaps(&p->cidr, &f->services.v[k]))
			overlap(d, "overlap-services", p,
				TEXT("the service range %s", prefix_str(&f->services.v[k], text)));
}

/* What a plugin that takes its addresses from fairlead makes of them. */
static bool is_delegated(const struct doctor_facts *f, const struct doctor_pool *p,
			 const struct kroute *r)
{
	const struct klink *l = judge_link(f, r->oif);

	return l && l->kind == KLINK_BRIDGE && prefix_covers(&p->cidr, &r->dst);
}

/* A route of somebody else's into the pool, or around a part of it. */
static void overlap_routes(struct doctor *d, const struct doctor_facts *f,
			   const struct doctor_pool *p)
{
	char text[PREFIX_TEXT];

	for (size_t i = 0; i < f->n; i++) {
		const struct kroute *r = &f->v[i].route;

		if (f->v[i].type != KOBJ_ROUTE || r->protocol == RTPROT_FAIRLEAD || !r->dst.len ||
		    !prefix_overlaps(&p->cidr, &r->dst) || is_delegated(f, p, r))
			continue;
		overlap(d, "overlap-routes", p,
			TEXT("the route to %s by %s", prefix_str(&r->dst, text),
			     r->oif[0] ? r->oif : "nowhere"));
		return;
	}
}

bool judge_overlap(struct doctor *d, const struct doctor_facts *f)
{
	for (uint32_t i = 0; i < f->pools.n; i++) {
		overlap_stored(d, f, i);
		overlap_routes(d, f, &f->pools.v[i]);
	}
	return f->has_store && f->has_kernel;
}

static bool holds(const struct doctor_facts *f, const struct ipaddr *ip)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->v[i].type == KOBJ_ADDR && addr_eq(&f->v[i].addr.addr.addr, ip))
			return true;
	return false;
}

bool judge_node_addresses(struct doctor *d, const struct doctor_facts *f)
{
	char text[ADDR_TEXT];

	for (uint32_t i = 0; i < f->nodes.n; i++) {
		const struct doctor_node *x = &f->nodes.v[i];

		if (!strcmp(x->name, f->node) && !holds(f, &x->ip))
			judge_report(
				d,
				(struct finding){
					"node-address-missing", DOCTOR_ERROR,
					TEXT("no interface has %s", addr_str(&x->ip, text)),
					TEXT("Node %s", x->name),
					"other nodes send pods' packets to an address that is not "
					"here",
					"correct status.addresses of the Node, or the interface" });
		for (uint32_t k = i + 1; k < f->nodes.n; k++)
			if (addr_eq(&x->ip, &f->nodes.v[k].ip) &&
			    strcmp(x->name, f->nodes.v[k].name) != 0)
				judge_report(
					d,
					(struct finding){
						"node-address-twice", DOCTOR_ERROR,
						TEXT("%s is also Node %s's", addr_str(&x->ip, text),
						     f->nodes.v[k].name),
						TEXT("Node %s", x->name),
						"the pods of one of them get the other's packets",
						"correct status.addresses of one of them" });
	}
	return f->has_store && f->has_kernel;
}

bool judge_tunnel_name(struct doctor *d, const struct doctor_facts *f)
{
	if (judge_link(f, ROUTE_VXLAN_DEV) && !judge_tunnel(f))
		judge_report(
			d, (struct finding){ "tunnel-taken", DOCTOR_ERROR,
					     "the link is not fairlead's", ROUTE_VXLAN_DEV,
					     "there is no tunnel to other nodes while it is there",
					     "ip link del vxlan0, once its owner lets go of it" });
	return f->has_kernel;
}
