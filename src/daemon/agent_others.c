// SPDX-License-Identifier: Apache-2.0
/* agent_others: see agent_others.h. */
#include "daemon/agent_others.h"
#include "daemon/agent_link.h"
#include "daemon/agent_plan.h"
#include "daemon/agent_self.h"

#include <stdlib.h>
#include <string.h>

/* ---- the tunnel's name
 *
 * A machine may have had a vxlan0 before fairlead came. It is neither removed nor used. */

static bool is_our_tunnel(const struct klink *l)
{
	return l->kind == KLINK_VXLAN && !strcmp(l->name, ROUTE_VXLAN_DEV) &&
	       l->vni == ROUTE_VXLAN_VNI && l->vxlan_port == ROUTE_VXLAN_PORT;
}

static bool is_on_tunnel(const struct kobj *o)
{
	switch ((enum kobj_type)o->type) {
	case KOBJ_LINK:
		return !strcmp(o->link.name, ROUTE_VXLAN_DEV);
	case KOBJ_ADDR:
		return !strcmp(o->addr.ifname, ROUTE_VXLAN_DEV);
	case KOBJ_ROUTE:
		return !strcmp(o->route.oif, ROUTE_VXLAN_DEV);
	case KOBJ_NEIGH:
		return !strcmp(o->neigh.ifname, ROUTE_VXLAN_DEV);
	case KOBJ_FDB:
		return !strcmp(o->fdb.ifname, ROUTE_VXLAN_DEV);
	case KOBJ_SYSCTL:
		return strstr(o->sysctl.path, "/" ROUTE_VXLAN_DEV "/") != NULL;
	case KOBJ_NONE:
		break;
	}
	return false;
}

static void find_tunnel(struct others *o, struct klist *have)
{
	bool taken = false;

	for (size_t i = 0; i < have->n && have->v[i].type == KOBJ_LINK; i++)
		if (is_on_tunnel(&have->v[i]) && !is_our_tunnel(&have->v[i].link)) {
			have->v[i].foreign = 1;
			taken = true;
		}
	if (taken && !o->tunnel_taken)
		log_error("link " ROUTE_VXLAN_DEV " is somebody else's: no tunnel to other nodes "
			  "while it is there");
	o->tunnel_taken = taken;
}

size_t others_spare_tunnel(const struct others *o, struct kop *ops, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (!o->tunnel_taken || !is_on_tunnel(ops[i].obj) ||
		    (ops[i].verb == KOP_DELETE && ops[i].obj->type != KOBJ_LINK))
			ops[kept++] = ops[i];
	return kept;
}

bool agent_owns_link(const struct klink *l)
{
	return (l->kind == KLINK_VETH && agent_is_host_link(l->name)) ||
	       (l->kind == KLINK_BRIDGE && !strncmp(l->name, "br-fl", 5)) || is_our_tunnel(l);
}

/* ---- the uplink */

static bool same_uplink(const struct uplink *x, const struct uplink *y)
{
	if (strcmp(x->name, y->name) || x->mtu != y->mtu || x->n_subnets != y->n_subnets ||
	    x->n_ra != y->n_ra || memcmp(x->ra, y->ra, sizeof(x->ra)))
		return false;
	for (size_t i = 0; i < x->n_subnets; i++)
		if (!prefix_eq(&x->subnets[i], &y->subnets[i]))
			return false;
	return true;
}

void others_find_uplink(struct others *o, struct agent *a)
{
	struct ipaddr ips[ROUTE_FAMILIES];
	struct uplink u;

	agent_self_ips(a, ips);
	if (!uplink_find(o->seen.v, o->seen.n, a->role->cfg.uplink, ips, ROUTE_FAMILIES, &u) &&
	    a->role->cfg.uplink)
		log_warn("uplink %s: no such interface", a->role->cfg.uplink);
	if (same_uplink(&u, &o->uplink))
		return;
	if (strcmp(u.name, o->uplink.name))
		log_info("uplink is %s", u.name[0] ? u.name : "nowhere");
	o->uplink = u;
	agent_plan_uplink_changed(a);
}

/* ---- what is remembered */

static bool is_others(const struct kobj *o)
{
	return o->type == KOBJ_LINK ? !agent_owns_link(&o->link)
				    : o->foreign && (o->type == KOBJ_ADDR || o->type == KOBJ_ROUTE);
}

static void remember(struct others *o, struct agent *a, const struct klist *have)
{
	struct kobj *v = NULL;
	size_t n = 0;

	for (size_t i = 0; i < have->n; i++)
		n += is_others(&have->v[i]);
	v = malloc((n ? n : 1) * sizeof(*v));
	if (!v)
		return; /* the last ones stay */
	n = 0;
	for (size_t i = 0; i < have->n; i++)
		if (is_others(&have->v[i])) {
			v[n] = have->v[i];
			/* Its further next hops are the dump's, and nobody asks for them. */
			if (v[n++].type == KOBJ_ROUTE) {
				v[n - 1].route.more = NULL;
				v[n - 1].route.n_more = 0;
			}
		}

	bool moved = n != o->seen.n || (n && memcmp(v, o->seen.v, n * sizeof(*v)) != 0);

	free(o->seen.v);
	o->seen = (struct klist){ .v = v, .n = n, .cap = n };
	if (moved)
		agent_plan_ways_changed(a);
	others_find_uplink(o, a);
}

void others_look(struct others *o, struct agent *a, struct klist *have)
{
	find_tunnel(o, have);
	remember(o, a, have);
}

struct route_hop others_gateway(const struct others *o, const struct ipaddr *ip)
{
	return uplink_gateway(o->seen.v, o->seen.n, o->uplink.name, ip);
}

bool others_lead_to(const struct others *o, const struct prefix *p)
{
	return uplink_leads_to(o->seen.v, o->seen.n, p);
}

const char *others_link(const struct others *o, const struct ipaddr *ip)
{
	return uplink_link(o->seen.v, o->seen.n, ip);
}

bool others_have_route(const struct others *o, const struct prefix *p)
{
	return uplink_has_route(o->seen.v, o->seen.n, p);
}

void others_fini(struct others *o)
{
	klist_fini(&o->seen);
}
