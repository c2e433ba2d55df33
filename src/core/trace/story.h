/* SPDX-License-Identifier: Apache-2.0 */
/* The life of one packet and of its answer, as an ordered list of hops: the same for what was
 * predicted from the cluster's objects and for what kernels showed, so that both are printed by one
 * piece of code and compared field by field.
 *
 * A hop is one thing that happened to the packet at one place: where, what it was before and after,
 * and who decided. Who makes a story fills in these facts; words (text, explain, show) follow from
 * them alone (words.h), so a predicted hop and an observed one read the same.
 *
 * Order is that of causes: all of the request, then all of the reply; on a node as its kernel
 * told; between nodes what left before what came in, whatever their clocks say. Names in the
 * tables below are JSON's, and do not change (docs/abi.md). */
#pragma once
#include "base/addr.h"
#include "base/arena.h"
#include "base/names.h"
#include "model/schema.h"

enum story_direction { STORY_REQUEST, STORY_REPLY };
extern const struct names story_direction_names;

enum story_step {
	STORY_SEND,       /* the probe's socket gave it to the network */
	STORY_LEAVE_POD,  /* out by the pod's device */
	STORY_ENTER_NODE, /* in by a device: from a pod, or from another node */
	STORY_SERVICE, /* the destination becomes an endpoint; or is refused for the want of one */
	STORY_POLICY_EGRESS,  /* policies of the pod that sends; only where one isolates it */
	STORY_POLICY_INGRESS, /* policies of the pod that receives */
	STORY_ROUTE,
	STORY_SNAT,        /* the source becomes the node's */
	STORY_TUNNEL_IN,   /* put into a tunnel's packet */
	STORY_LEAVE_NODE,  /* out by the uplink */
	STORY_TUNNEL_OUT,  /* taken out of it */
	STORY_ENTER_POD,   /* in by the pod's device */
	STORY_DELIVER,     /* a socket has it */
	STORY_ANSWER,      /* who received it answers; the first hop of a reply */
	STORY_UNTRANSLATE, /* of a reply: what Service and SNAT did, undone */
	STORY_REFUSE,      /* somebody answers that it does not want it */
	STORY_DROP,        /* the packet's end */
	STORY_STEPS
};
extern const struct names story_step_names;

enum story_verdict {
	STORY_UNKNOWN,   /* too little was seen to tell */
	STORY_DELIVERED, /* it came, and nobody has to answer (UDP), or no answer was waited for */
	STORY_ANSWERED,
	STORY_REFUSED, /* by an RST, an ICMP error or a REJECT: who asked was told */
	STORY_DROPPED, /* by somebody who is known */
	STORY_LOST     /* it was seen last at some place, and nobody says that it dropped it */
};
extern const struct names story_verdict_names;

/* Who decided. */
enum story_by_kind {
	STORY_BY_NONE,
	STORY_BY_POD,
	STORY_BY_NODE,
	STORY_BY_SERVICE,   /* rule: the port's name, else its number */
	STORY_BY_HOST_PORT, /* of the pod that has it; rule: the node's port */
	STORY_BY_POLICY, /* NetworkPolicy; rule: "egress[0].to[1]", or "default deny by NS/A, NS/B",
			     * then ns and name are the first one's */
	STORY_BY_IPPOOL, /* natOutgoing */
	STORY_BY_IPBLOCK,
	STORY_BY_ROUTE,     /* name: the prefix; rule: "via 192.0.2.1 dev eth0", "blackhole" */
	STORY_BY_NEIGHBOUR, /* name: the address */
	STORY_BY_NFT,     /* another one's table. ns: "inet filter"; name: chain; rule: its text */
	STORY_BY_KERNEL,  /* name: the drop's reason as the kernel calls it; rule: the place */
	STORY_BY_ADDRESS, /* name: that of who says so, which is nobody's of the cluster */
	STORY_BY_NAMESPACE
};
extern const struct names story_by_names;

/* NULL where there is nothing to say. */
struct story_by {
	uint8_t kind; /* enum story_by_kind */
	const char *ns, *name, *rule;
};

enum story_encap { STORY_PLAIN, STORY_VXLAN, STORY_IPIP };
extern const struct names story_encap_names;

/* What of the packet matters here. family 0: not known. */
struct story_head {
	struct ipaddr src, dst;
	uint8_t proto;         /* IPPROTO_* */
	uint16_t sport, dport; /* ICMP: none */
	uint8_t encap;         /* enum story_encap; of the packet around it: */
	struct ipaddr outer_src, outer_dst;
	uint32_t vni;
	/* Not compared: */
	const char *flags; /* "S", "SA", "R" …; ICMP: "type/code"; NULL */
	uint32_t length;   /* bytes of IP; 0: not known */
	uint8_t ttl;
};

/* A DNS query, at who answers it, or should. */
struct story_dns {
	const char *name, *type; /* as asked */
	const char *rcode;       /* NULL: there was no answer */
	/* As in struct trace_dns; NULL: no role dns says. */
	const char *from, *upstream, *zone;
	LIST(const char *) records; /* "NAME TTL TYPE DATA" */
	bool truncated;
};

struct story_hop {
	uint8_t direction;  /* enum story_direction */
	uint8_t step;       /* enum story_step */
	const char *node;   /* a Node's name, "outside", or NULL: between nodes */
	const char *netns;  /* "NS/POD"; NULL: the node's own */
	const char *device; /* of the netns; NULL: none has to do with it */
	struct story_head before,
		after;          /* equal where nothing changed; `after` of a drop: unknown */
	struct story_by by;     /* who decided */
	struct story_by behind; /* what that leads to: a Service's pod, a route's IPBlock or Node */
	const char *
		why; /* of the decision, in words: why this endpoint, why its source is translated */
	int64_t since; /* ns since the hop before; below 0: not known (another node's clock) */
	uint32_t
		mtu; /* of a route, and of the pod's device that it leaves by: how long it may be; 0: not known */
	const struct story_dns *dns; /* NULL: it is not about a DNS query */
	bool likely; /* predicted, and may come otherwise (an endpoint among several) */
	/* By words.h: */
	const char *text;    /* one line */
	const char *explain; /* a sentence for who learns */
	const char *show;    /* the `ip` or `nft` command that shows the same; NULL: none does */
};

struct story {
	bool observed; /* false: predicted */
	uint32_t weight,
		of; /* predicted: so probable, of all stories of this flow; observed: 1 of 1 */
	LIST(struct story_hop) hops;
	uint8_t verdict;    /* enum story_verdict */
	struct story_by by; /* of REFUSED and DROPPED */
	/* Of the request's hops the first with the smallest MTU: where one that is longer ends; NULL: not known. */
	const struct story_hop *narrowest;
	LIST(const char *) unseen; /* what could not be seen, and why, a sentence each */
	const char *sentence;      /* the verdict */
	const char *advice;        /* NULL: no known mistake */
};

/* As its answer looks: the ends change places. */
struct story_head story_head_inverse(const struct story_head *h);
bool story_head_same(const struct story_head *a, const struct story_head *b);
bool story_by_same(const struct story_by *a, const struct story_by *b);

/* "NetworkPolicy shop/db egress[0].to[1]", in `a`; NULL: nobody, or no memory. */
const char *story_by_text(const struct story_by *by, struct arena *a);
