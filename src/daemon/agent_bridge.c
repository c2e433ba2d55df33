// SPDX-License-Identifier: Apache-2.0
/* agent_bridge: see agent_bridge.h. */
#include "daemon/agent_bridge.h"
#include "core/cni/message.h"
#include "daemon/agent_ipam.h"
#include "daemon/agent_kernel.h"
#include "daemon/agent_link.h"
#include "daemon/agent_plan.h"
#include "daemon/agent_plan_pod.h"
#include "sys/rtnl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define TRIES 64 /* addresses of a block that are asked for in turn */

/* The first free address of the block, from its second on, as people expect a gateway. */
static int take_gateway(struct agent *a, const char *network, const char *bridge,
			const struct prefix *block, struct err *e)
{
	char name[PREFIX_TEXT];
	struct ipaddr want;
	struct ipam_request q = {
		.at = { .network = network,
			.container = AGENT_GATEWAY,
			.ifname = prefix_str(block, name),
			.hostif = bridge,
			.attach = CNI_BRIDGE,
			.ipam_only = !bridge,
			.addrs = { &want, 1 } },
		.on_link = 1,
		.families = block->addr.family == AF_INET ? IPAM_V4 : IPAM_V6,
	};
	unsigned bits = addr_bits(&block->addr) - block->len;
	uint64_t size = bits > 6 ? TRIES : 1ULL << bits;

	for (uint64_t i = 0; i < size; i++) {
		struct ipam_answer out = { 0 };
		struct arena ar;
		int rc;

		want = addr_add(&block->addr, (i + 1) % size);
		arena_init(&ar, 0);
		rc = agent_ipam_take(a, &q, &ar, &out, e);
		arena_fini(&ar);
		if (!rc && out.verdict == IPAM_TAKEN)
			return 0;
		if (!rc) {
			agent_ipam_cancel(a, &q);
			return err_set(e, -EAGAIN, "block %s is not this node's", name);
		}
		if (rc != -EADDRINUSE)
			return rc;
	}
	return err_set(e, -ENOSPC, "block %s has no address left for the gateway", name);
}

int agent_bridge_gateways(struct agent *a, const char *network, const char *bridge,
			  const struct ipam_answer *grants, struct err *e)
{
	for (uint32_t i = 0; i < grants->grants.n; i++) {
		const struct ipam_grant *g = &grants->grants.v[i];
		struct err why = { 0 };

		/* A borrowed address or one of a full block leaves by another block's gateway. */
		if (agent_ipam_gateway(a, network, &g->block, true).family ||
		    (!g->borrowed && !take_gateway(a, network, bridge, &g->block, &why)))
			continue;
		if (!agent_ipam_gateway(a, network, &g->block, false).family)
			return err_set(e, why.code ? why.code : -ENOSPC,
				       "no gateway for network %s: %s", network,
				       why.code ? why.text : "the address is borrowed");
	}
	return 0;
}

static bool is_planned(struct agent *a, const char *bridge)
{
	struct kobj key = { .type = KOBJ_LINK };

	snprintf(key.link.name, sizeof(key.link.name), "%s", bridge);
	return desired_get(agent_kernel_desired(a), &key) != NULL;
}

size_t agent_bridge_addresses(struct agent *a, const char *network, const char *bridge,
			      struct ipaddr out[AGENT_GATEWAYS])
{
	const struct ipam_attachment *const *v;
	size_t n, found = 0;

	v = ipam_all(agent_ipam_book(a), &n);
	for (size_t i = 0; i < n && found < AGENT_GATEWAYS; i++)
		if (agent_ipam_is_gateway(v[i]) && v[i]->state == IPAM_LIVE && v[i]->hostif &&
		    !strcmp(v[i]->hostif, bridge) && !strcmp(v[i]->network, network))
			for (uint32_t k = 0; k < v[i]->addrs.n && found < AGENT_GATEWAYS; k++)
				out[found++] = v[i]->addrs.v[k];
	return found;
}

int agent_bridge_make(struct agent *a, const char *network, const char *bridge, struct err *e)
{
	bool ours = is_planned(a, bridge) || !strncmp(bridge, "br-fl", 5);
	struct ipaddr gateways[AGENT_GATEWAYS];
	struct route_bridge br = { .name = bridge,
				   .mac = agent_bridge_mac(bridge),
				   .mtu = agent_plan_mtu(a),
				   .gateways = gateways };
	struct err none;

	if (!ours && rtnl_ifindex(agent_kernel_nl(a), bridge, &none) >= 0)
		return err_set(e, -EEXIST, "link %s is there already and not fairlead's", bridge);
	br.n_gateways = agent_bridge_addresses(a, network, bridge, gateways);
	return agent_plan_bridge(a, &br, e);
}

static bool in_use(struct agent *a, const char *network)
{
	const struct ipam_attachment *const *v;
	size_t n;

	v = ipam_all(agent_ipam_book(a), &n);
	for (size_t i = 0; i < n; i++)
		if (!agent_ipam_is_gateway(v[i]) && !strcmp(v[i]->network, network) &&
		    (v[i]->attach == CNI_BRIDGE || v[i]->ipam_only))
			return true;
	return false;
}

static const struct ipam_attachment *next_unused(struct agent *a)
{
	const struct ipam_attachment *const *v;
	size_t n;

	v = ipam_all(agent_ipam_book(a), &n);
	for (size_t i = 0; i < n; i++)
		if (agent_ipam_is_gateway(v[i]) && !in_use(a, v[i]->network))
			return v[i];
	return NULL;
}

void agent_bridge_prune(struct agent *a)
{
	const struct ipam_attachment *gw;
	struct err e;

	while ((gw = next_unused(a))) {
		if (gw->hostif)
			agent_plan_bridge_gone(a, gw->hostif);
		if (agent_ipam_release(a, gw->id, &e)) {
			log_error("gateway of a network: %s", e.text); /* gw may be gone */
			return;
		}
	}
}

void agent_bridge_mtu(struct agent *a, uint32_t mtu)
{
	const struct ipam_attachment *const *v;
	struct err e;
	size_t n;

	v = ipam_all(agent_ipam_book(a), &n);
	for (size_t i = 0; i < n; i++) {
		struct ipaddr gateways[AGENT_GATEWAYS];
		struct route_bridge br = { .gateways = gateways, .mtu = mtu };

		if (!agent_ipam_is_gateway(v[i]) || !v[i]->hostif)
			continue;
		br.name = v[i]->hostif;
		br.mac = agent_bridge_mac(br.name);
		br.n_gateways = agent_bridge_addresses(a, v[i]->network, br.name, gateways);
		if (agent_plan_bridge(a, &br, &e))
			log_error("bridge %s: %s", br.name, e.text);
	}
}

void agent_bridge_restore(struct agent *a)
{
	agent_bridge_mtu(a, 0);
}
