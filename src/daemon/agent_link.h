/* SPDX-License-Identifier: Apache-2.0 */
/* Names and addresses of the links that the agent makes, and their aliases.
 *
 * The alias of a pod's host link is set last of all that ADD does: "NS/POD CONTAINER IFNAME
 * NETWORK" ("-" for a bare container). People read it in `ip link`; a restarted agent tells by
 * it a finished pod from one that a crash cut short, and rebuilds a lost journal from it. */
#pragma once
#include "core/cni/message.h"
#include "core/ipam/ipam.h"
#include "daemon/agent.h"

struct nl;

#define LINK_ALIAS 256 /* IFALIASZ */

/* "fl" and 13 hexadecimal digits of FNV-1a over container id and interface name. */
void agent_host_link(const char *container, const char *ifname, char out[IFNAME_LEN]);
bool agent_is_host_link(const char *name);
/* "br-fl" and 10 digits over the network's name. */
void agent_bridge_name(const char *network, char out[IFNAME_LEN]);

/* Of the node's end: ee:ee:ee:ee:ee:ee where it is routed, so that pods' neighbour entries are
 * all alike; its own where it is a port of a bridge. */
struct macaddr agent_host_mac(const struct ipam_attachment *at);
/* The pod's, where nobody asked for one: locally administered, from container and interface. */
struct macaddr agent_pod_mac(const char *container, const char *ifname);
struct macaddr agent_bridge_mac(const char *bridge);

void link_alias(const struct ipam_attachment *at, char out[LINK_ALIAS]);
int link_set_alias(struct nl *nl, const char *ifname, const char *alias, struct err *e);
/* "" when it has none; -ENODEV. */
int link_get_alias(struct nl *nl, const char *ifname, char out[LINK_ALIAS], struct err *e);
/* Is the link with this index still the one that ADD called `name` and gave `alias` last of all?
 * It is while it has either: people rename links and write aliases of their own. What cannot be
 * read is not it. */
bool link_is_still(struct nl *nl, int ifindex, const char *name, const char *alias);
/* All links of the node, as one look sees them. */
int link_look(struct nl *nl, struct buf *out, struct err *e);
/* The index of the veth in it with this alias, whatever people call it now; 0: there is none. */
int link_by_alias(const struct buf *seen, const char *alias);
/* The index of its host link: by name, else by alias; 0: it is gone. -errno: cannot be told. */
int link_of(struct nl *nl, const struct ipam_attachment *at, struct err *e);
/* The MAC of the other end, in whatever namespace that is; -ENODEV. A pod that may can change it:
 * it is what the pod says. */
int link_peer_mac(struct nl *nl, const char *ifname, struct macaddr *out, struct err *e);
