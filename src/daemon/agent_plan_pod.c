// SPDX-License-Identifier: Apache-2.0
/* agent_plan_pod: see agent_plan_pod.h. */
#include "daemon/agent_plan_pod.h"
#include "core/cni/message.h"
#include "daemon/agent_ipam.h"
#include "daemon/agent_kernel.h"
#include "daemon/agent_link.h"
#include "daemon/agent_owners.h"
#include "daemon/agent_plan.h"

#include <errno.h>
#include <stdio.h>

static int want_now(struct agent *a, struct owner *o, bool strict, struct err *e)
{
	const struct route_out *out = agent_plan_out(a);
	struct err undo;
	int rc;

	if (out->failed)
		return err_set(e, -ENOMEM, "no memory");
	rc = agent_kernel_want(a, o->id, out->v, out->n, e);
	if (!rc)
		rc = agent_kernel_apply(a, strict, e);
	if (rc && strict) {
		agent_kernel_want(a, o->id, NULL, 0, &undo);
		agent_kernel_apply(a, false, &undo);
		owners_drop(agent_plan_owners(a), o);
	}
	return rc;
}

static void unwant(struct agent *a, const char *key)
{
	struct owner *o;
	struct err e;

	o = owners_find(agent_plan_owners(a), key);
	if (!o)
		return;
	if (agent_kernel_want(a, o->id, NULL, 0, &e) || agent_kernel_apply(a, false, &e))
		log_error("%s: %s", key, e.text);
	owners_drop(agent_plan_owners(a), o);
}

void agent_plan_pod_objs(const struct agent *a, const struct ipam_attachment *at,
			 struct route_out *out)
{
	char bridge[IFNAME_LEN];
	struct route_endpoint ep = { .host_if = at->hostif,
				     .host_mac = agent_host_mac(at),
				     .mac = at->mac,
				     .ips = at->addrs.v,
				     .n_ips = at->addrs.n };

	if (at->attach == CNI_BRIDGE && agent_ipam_bridge(a, at->network, bridge))
		ep.bridge = bridge;
	route_out_reset(out);
	out->no_ipv6 = agent_plan_out(a)->no_ipv6;
	route_plan_endpoint(&ep, out);
}

int agent_plan_pod(struct agent *a, const struct ipam_attachment *at, bool strict, struct err *e)
{
	struct owner *o;
	char key[32];

	snprintf(key, sizeof(key), "pod/%llu", (unsigned long long)at->id);
	o = owners_get(agent_plan_owners(a), key);
	if (!o)
		return err_set(e, -ENOMEM, "no memory");
	agent_plan_pod_objs(a, at, agent_plan_out(a));
	return want_now(a, o, strict, e);
}

void agent_plan_pod_gone(struct agent *a, const struct ipam_attachment *at)
{
	char key[32];

	snprintf(key, sizeof(key), "pod/%llu", (unsigned long long)at->id);
	unwant(a, key);
}

void agent_plan_link_lost(struct agent *a, const char *hostif)
{
	struct kobj key = { .type = KOBJ_LINK };
	const struct kobj *link;
	const char *owner;

	snprintf(key.link.name, sizeof(key.link.name), "%s", hostif);
	link = desired_get(agent_kernel_desired(a), &key);
	owner = link ? agent_plan_owner(a, link->owner) : NULL;
	if (!owner)
		return;

	/* A bridged pod's routes are the bridge's: they stay until taken back here. */
	char copy[32];

	snprintf(copy, sizeof(copy), "%s", owner);
	unwant(a, copy);
}

static int plan_bridges(struct agent *a, struct err *e)
{
	struct owner *o = owners_get(agent_plan_owners(a), "bridges");

	if (!o)
		return err_set(e, -ENOMEM, "no memory");
	route_out_reset(agent_plan_out(a));
	route_plan_bridges(agent_plan_out(a));
	return want_now(a, o, true, e);
}

int agent_plan_bridge(struct agent *a, const struct route_bridge *br, struct err *e)
{
	char key[32];
	struct owner *o;
	int rc = plan_bridges(a, e);

	if (rc)
		return rc;
	snprintf(key, sizeof(key), "bridge/%s", br->name);
	o = owners_get(agent_plan_owners(a), key);
	if (!o)
		return err_set(e, -ENOMEM, "no memory");
	route_out_reset(agent_plan_out(a));
	route_plan_bridge(br, agent_plan_out(a));
	return want_now(a, o, true, e);
}

void agent_plan_bridge_gone(struct agent *a, const char *name)
{
	char key[32];

	snprintf(key, sizeof(key), "bridge/%s", name);
	unwant(a, key);
}
