// SPDX-License-Identifier: Apache-2.0
/* agent_mtu: see agent_mtu.h. A pod's own end is reached by the path of its namespace. */
#include "daemon/agent_mtu.h"
#include "daemon/agent_bridge.h"
#include "daemon/agent_ipam.h"
#include "daemon/agent_kernel.h"
#include "sys/netns.h"
#include "sys/pod.h"

#include <unistd.h>

static void change_pod(struct agent *a, const struct ipam_attachment *at, uint32_t from,
		       uint32_t to)
{
	struct pod_if p = { .host = at->hostif, .name = at->ifname, .mac = at->mac, .mtu = to };
	struct err e;
	int netns = netns_open(at->netns, &e);

	if (netns < 0 || pod_set_mtu(agent_kernel_nl(a), netns, &p, from, &e))
		log_warn("container %s, %s: MTU stays %u: %s", at->container, at->ifname, from,
			 e.text);
	if (netns >= 0)
		close(netns);
}

void agent_mtu_changed(struct agent *a, uint32_t from, uint32_t to)
{
	const struct ipam_attachment *const *v;
	size_t n;

	log_info("MTU of pods is %u, was %u", to, from);
	if (to > from)
		agent_bridge_mtu(a, to);
	v = ipam_all(agent_ipam_book(a), &n);
	for (size_t i = 0; i < n; i++)
		if (v[i]->state == IPAM_LIVE && !v[i]->ipam_only && v[i]->hostif && v[i]->netns &&
		    !agent_ipam_is_gateway(v[i]))
			change_pod(a, v[i], from, to);
	if (to < from)
		agent_bridge_mtu(a, to);
}
