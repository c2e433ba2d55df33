// SPDX-License-Identifier: Apache-2.0
/* agent_others: see agent_others.h. */
#include "daemon/agent_others.h"
#include "daemon/agent_link.h"
#include "daemon/agent_plan.h"
#include "daemon/agent_self.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* ---- the tunnels' names
 *
 * A machine may have had a vxlan0 or a tunl0 before fairlead came. It is neither removed nor used. The
 * ipip driver brings a tunl0 with it, down and without an address: that one is anybody's to take, and
 * somebody else's when it is up with an address that is not ours. */

static const char *const tunnel_names[OTHERS_TUNNELS] = { ROUTE_VXLAN_DEV, ROUTE_IPIP_DEV };

static bool is_our_tunnel(const struct klink *l)
{
	if (!strcmp(l->name, ROUTE_IPIP_DEV))
		return l->kind == KLINK_IFB || (l->kind == KLINK_IPIP && l->up);
	return l->kind == KLINK_VXLAN && !strcmp(l->name, ROUTE_VXLAN_DEV) &&
	       l->vni == ROUTE_VXLAN_VNI && l->vxlan_port == ROUTE_VXLAN_PORT;
}

static bool is_on(const struct kobj *o, const char *tunnel)
{
	char part[IFNAME_LEN + 2];

	if (o->type != KOBJ_SYSCTL)
		return !strcmp(kobj_device(o), tunnel);
	snprintf(part, sizeof(part), "/%s/", tunnel);
	return strstr(o->sysctl.path, part) != NULL;
}

static bool has_others_addr(const struct klist *have, const char *dev)
{
	for (size_t i = 0; i < have->n; i++)
		if (have->v[i].type == KOBJ_ADDR && have->v[i].foreign &&
		    have->v[i].addr.addr.addr.family == AF_INET &&
		    !strcmp(have->v[i].addr.ifname, dev))
			return true;
	return false;
}

/* Whether somebody else has the link of a tunnel's name. */
static bool is_taken(const struct klist *have, const struct klink *l)
{
	if (l->kind == KLINK_IPIP && !strcmp(l->name, ROUTE_IPIP_DEV))
		return l->up && has_others_addr(have, l->name);
	return !is_our_tunnel(l);
}

static void find_tunnel(struct others *o, unsigned t, struct klist *have)
{
	bool taken = false;

	for (size_t i = 0; i < have->n && have->v[i].type == KOBJ_LINK; i++)
		if (!strcmp(have->v[i].link.name, tunnel_names[t]) &&
		    is_taken(have, &have->v[i].link)) {
			have->v[i].foreign = 1;
			taken = true;
		}
	if (taken && !o->tunnel_taken[t])
		log_error("link %s is somebody else's: no tunnel to other nodes while it is there",
			  tunnel_names[t]);
	o->tunnel_taken[t] = taken;
}

bool others_have(const struct others *o, const char *tunnel)
{
	for (unsigned t = 0; t < OTHERS_TUNNELS; t++)
		if (o->tunnel_taken[t] && !strcmp(tunnel, tunnel_names[t]))
			return true;
	return false;
}

static bool is_on_others_tunnel(const struct others *o, const struct kobj *obj)
{
	for (unsigned t = 0; t < OTHERS_TUNNELS; t++)
		if (o->tunnel_taken[t] && is_on(obj, tunnel_names[t]))
			return true;
	return false;
}

size_t others_spare_tunnel(const struct others *o, struct kop *ops, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (!is_on_others_tunnel(o, ops[i].obj) ||
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
	for (unsigned t = 0; t < OTHERS_TUNNELS; t++)
		find_tunnel(o, t, have);
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
