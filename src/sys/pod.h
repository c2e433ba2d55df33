/* SPDX-License-Identifier: Apache-2.0 */
/* A pod's interface: the veth pair with one end straight in the pod's namespace, what is
 * configured in there, reading it back (CNI CHECK), and its end.
 *
 * The agent stays in its own namespace; it only passes through the pod's to open a socket. About
 * 0.5 ms per pod; removal of one link costs 30–40 ms of RCU grace in the kernel whether one or
 * many go, so removal is collected (pod_reap). */
#pragma once
#include "model/kernel.h"
#include "sys/nl.h"
#include "sys/rtnl.h"

struct pod_if {
	const char *host;  /* name on the node */
	const char *name;  /* name in the pod, CNI_IFNAME */
	const char *alias; /* of the host's end, what `ip link` shows; NULL: none */
	struct macaddr host_mac, mac;
	uint32_t mtu;
	const char *master; /* bridge on the node that the host's end joins, or NULL */
	bool isolated;      /* as an isolated port */
	/* Addresses, routes and neighbours in the pod, made in this order on the interface (the
	 * device that they name is not read). */
	const struct kobj *objs;
	size_t nobjs;
};

struct pod_links {
	int host, pod; /* indices */
};

/* Makes and configures it; both ends are up. `host` is a socket in the node's namespace. On
 * failure nothing is left. -EEXIST: the name is taken on the node or in the pod (text says
 * which). IPv6 addresses are usable at once (no duplicate address detection). */
int pod_create(struct nl *host, int netns, const struct pod_if *p, struct pod_links *out,
	       struct err *e);

/* What the pod's namespace holds about the interface `name` (NULL: everything): link, addresses,
 * routes of table main, neighbours; sorted. -ENODEV when the interface is not there. */
int pod_read(int netns, const char *name, struct klist *out, struct err *e);

/* Gives both ends p->mtu, where the pod's has `from`: another one was asked for. Never is an end
 * narrower than what the other sends, as veth drops that without a word. -ENODEV when what has
 * this name in the pod has another MAC. */
int pod_set_mtu(struct nl *host, int netns, const struct pod_if *p, uint32_t from, struct err *e);

/* Sets the pod's end down, which takes its routes, and renames it out of the way ("dying" +
 * index), so that the name is free for a new attachment before the reaper ran. ifindex is the one inside the pod (pod_links.pod); 0: by
 * name. Gone already is success. */
int pod_retire(int netns, const char *name, int ifindex, struct err *e);

/* Removes links of the node by index, all in one go. Gone already is success. */
int pod_reap(struct nl *host, const int *ifindex, size_t n, struct err *e);
