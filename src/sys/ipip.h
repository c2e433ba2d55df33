/* SPDX-License-Identifier: Apache-2.0 */
/* IP-in-IP of this node: our programs (bpf/ipip.bpf.c), which stand in for the kernel's driver or guard the
 * one that is there (rtnl_has_ipip()).
 *
 * They hang on devices as classifiers of clsact, by preference and handle: who comes next finds them there and
 * puts its own in their place in one step, so packets go on while no process of ours runs and while one takes
 * over. Nothing is pinned or handed on; maps live as long as the programs that use them.
 * In a build without BPF ipip_open() is -EOPNOTSUPP. */
#pragma once
#include "base/addr.h"
#include "base/err.h"
#include "sys/nl.h"

#include <stdbool.h>
#include <stdint.h>

struct ipip;

/* Loaded, not yet on any device. */
int ipip_open(struct ipip **out, struct err *e);
/* What is on devices stays there. */
void ipip_close(struct ipip *p);

struct ipip_ends {
	struct ipaddr node; /* IPv4; this node's */
	int uplink, tunnel; /* indices of devices */
	struct macaddr mac; /* of the tunnel's */
	bool driver;        /* the tunnel is the driver's: only guard it */
};

int ipip_set(struct ipip *p, const struct ipip_ends *ends, struct err *e);
/* Another node, from which packets are taken; or not any more. */
int ipip_node(struct ipip *p, const struct ipaddr *node, bool there, struct err *e);

enum ipip_hook { IPIP_ON_TUNNEL, IPIP_ON_UPLINK };
enum ipip_there { IPIP_NONE, IPIP_OLD, IPIP_OURS };

/* What is on the device: nothing of ours, another's than `p` (who was here before), or that of `p`. */
int ipip_look(const struct ipip *p, struct nl *nl, enum ipip_hook hook, int ifindex,
	      enum ipip_there *out, struct err *e);
int ipip_attach(const struct ipip *p, struct nl *nl, enum ipip_hook hook, int ifindex,
		struct err *e);
/* Takes our programs off, and clsact where it is left with none. Not being there is success. */
int ipip_detach(struct nl *nl, int ifindex, struct err *e);

/* Sums over processors since ipip_open(), in the order of `names`. */
struct ipip_sum {
	const char *name;
	uint64_t packets, bytes;
};

#define IPIP_SUMS 7
int ipip_sums(const struct ipip *p, struct ipip_sum out[IPIP_SUMS], struct err *e);
