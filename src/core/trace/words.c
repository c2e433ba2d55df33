// SPDX-License-Identifier: Apache-2.0
/* One row per step says how its line reads, what a learner needs to know, and which command shows it.
 * The line names what changed and who decided; unchanged parts of the packet are not repeated. */
#include "core/trace/words.h"

#include "base/text.h"
#include "core/route/plan.h"
#include "core/trace/dns.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

const char *story_end_text(const struct ipaddr *ip, uint16_t port, struct arena *a)
{
	char text[ADDR_TEXT];

	if (!port)
		return arena_strdup(a, addr_str(ip, text));
	return arena_printf(a, ip->family == AF_INET6 ? "[%s]:%u" : "%s:%u", addr_str(ip, text),
			    port);
}

const char *story_head_text(const struct story_head *h, struct arena *a)
{
	const char *inner;
	char src[ADDR_TEXT], dst[ADDR_TEXT];

	if (!h->src.family)
		return "";
	inner = arena_printf(a, "%s > %s", text_or_dash(story_end_text(&h->src, h->sport, a)),
			     text_or_dash(story_end_text(&h->dst, h->dport, a)));
	if (h->encap == STORY_PLAIN)
		return inner;
	return arena_printf(a, "%s %s > %s [%s]", name_of(&story_encap_names, h->encap),
			    addr_str(&h->outer_src, src), addr_str(&h->outer_dst, dst),
			    text_or_dash(inner));
}

const char *story_place_text(const struct story_hop *h, struct arena *a)
{
	if (!h->node)
		return "elsewhere";
	return h->netns ? arena_printf(a, "pod %s on %s", h->netns, h->node) : h->node;
}

const char *story_denied_why(bool egress, bool dns)
{
	if (egress)
		return "the pod that sends is isolated for egress, and no rule allows it";
	return dns ? "the node's DNS counts as the pods of the cluster's DNS Service, which are "
		     "isolated for ingress, and no rule allows it"
		   : "the pod that receives is isolated for ingress, and no rule allows it";
}

/* ---- the line */

/* "route 10.244.3.0/26 via 192.0.2.3 dev eth0": a route's rule says the rest of it. */
static const char *by_words(const struct story_hop *h, struct arena *a)
{
	return text_or_dash(story_by_text(&h->by, a));
}

static const char *with_why(const char *text, const struct story_hop *h, struct arena *a)
{
	const char *behind = story_by_text(&h->behind, a);

	if (behind)
		text = arena_printf(a, "%s, %s", text_or_dash(text), behind);
	return h->why ? arena_printf(a, "%s (%s)", text_or_dash(text), h->why) : text;
}

static const char *send_text(const struct story_hop *h, struct arena *a)
{
	return arena_printf(a, "sends %s", text_or_dash(story_head_text(&h->after, a)));
}

static const char *device_text(const struct story_hop *h, struct arena *a)
{
	static const char *const words[STORY_STEPS] = {
		[STORY_LEAVE_POD] = "leaves the pod",
		[STORY_ENTER_NODE] = "comes in",
		[STORY_LEAVE_NODE] = "leaves",
		[STORY_ENTER_POD] = "enters the pod",
	};
	const char *text = arena_printf(a, "%s%s%s", words[h->step], h->device ? " by " : "",
					h->device ? h->device : "");

	if (h->after.encap != STORY_PLAIN)
		text = arena_printf(a, "%s, in the tunnel", text_or_dash(text));
	return with_why(text, h, a);
}

static const char *service_text(const struct story_hop *h, struct arena *a)
{
	return with_why(
		arena_printf(a, "%s: %s -> %s", h->by.kind ? by_words(h, a) : "somebody unknown",
			     text_or_dash(story_end_text(&h->before.dst, h->before.dport, a)),
			     text_or_dash(story_end_text(&h->after.dst, h->after.dport, a))),
		h, a);
}

static const char *policy_text(const struct story_hop *h, struct arena *a)
{
	bool denied = h->by.rule && !strncmp(h->by.rule, "default deny", 12);

	if (h->by.kind == STORY_BY_POLICY && denied)
		return arena_printf(a, "denied: %s", h->by.rule);
	return with_why(arena_printf(a, "allowed by %s", by_words(h, a)), h, a);
}

static const char *route_text(const struct story_hop *h, struct arena *a)
{
	return with_why(arena_printf(a, "route %s%s%s", text_or_dash(h->by.name),
				     h->by.rule ? " " : "", h->by.rule ? h->by.rule : ""),
			h, a);
}

static const char *snat_text(const struct story_hop *h, struct arena *a)
{
	return with_why(
		arena_printf(a, "source %s -> %s by %s",
			     text_or_dash(story_end_text(&h->before.src, h->before.sport, a)),
			     text_or_dash(story_end_text(&h->after.src, h->after.sport, a)),
			     by_words(h, a)),
		h, a);
}

static const char *tunnel_text(const struct story_hop *h, struct arena *a)
{
	char src[ADDR_TEXT], dst[ADDR_TEXT];
	const struct story_head *in = h->step == STORY_TUNNEL_IN ? &h->after : &h->before;

	if (in->encap == STORY_PLAIN)
		return with_why(arena_printf(a, "into the tunnel by %s", text_or_dash(h->device)),
				h, a);
	return with_why(arena_printf(a, "%s %s %s > %s by %s",
				     h->step == STORY_TUNNEL_IN ? "into" : "out of",
				     in->encap ? name_of(&story_encap_names, in->encap) : "tunnel",
				     addr_str(&in->outer_src, src), addr_str(&in->outer_dst, dst),
				     text_or_dash(h->device)),
			h, a);
}

static const char *deliver_text(const struct story_hop *h, struct arena *a)
{
	const struct story_head *head = &h->after;

	if (h->dns && !h->dns->rcode && h->dns->from)
		return arena_printf(a, "%s has it (%s)", text_or_dash(story_dns_server_text(h, a)),
				    text_or_dash(story_dns_from_text(h->dns, a)));
	return arena_printf(a, "%s has it, from %s",
			    text_or_dash(h->by.kind ? by_words(h, a) : story_place_text(h, a)),
			    text_or_dash(story_end_text(&head->src, head->sport, a)));
}

static const char *dns_text(const struct story_hop *h, struct arena *a)
{
	const char *from = story_dns_from_text(h->dns, a), *by = story_dns_object_text(h, a);

	if (!h->dns->rcode)
		return with_why(arena_printf(a, "%s takes the connection, and does not answer",
					     text_or_dash(story_dns_server_text(h, a))),
				h, a);

	return with_why(
		arena_printf(a, "%s answers %s%s%s%s%s", text_or_dash(story_dns_server_text(h, a)),
			     text_or_dash(story_dns_answer_text(h->dns, a)), from ? ": " : "",
			     from ? from : "", by ? ", by " : "", by ? by : ""),
		h, a);
}

static const char *answer_text(const struct story_hop *h, struct arena *a)
{
	if (h->dns)
		return dns_text(h, a);
	return arena_printf(a, "%s answers %s", h->by.kind ? by_words(h, a) : "somebody",
			    text_or_dash(story_head_text(&h->after, a)));
}

static const char *untranslate_text(const struct story_hop *h, struct arena *a)
{
	const char *by = story_by_text(&h->by, a);

	return with_why(arena_printf(a, "%s -> %s%s%s",
				     text_or_dash(story_head_text(&h->before, a)),
				     text_or_dash(story_head_text(&h->after, a)),
				     by ? ", as it was translated by " : "", by ? by : ""),
			h, a);
}

static const char *end_of_way_text(const struct story_hop *h, struct arena *a)
{
	const char *what = h->step == STORY_DROP ? "DROPPED" : "REFUSED";

	if (h->by.kind == STORY_BY_NONE)
		return with_why(what, h, a);
	return with_why(arena_printf(a, "%s by %s", what, by_words(h, a)), h, a);
}

/* ---- the command */

static const char *family_flag(const struct story_head *h)
{
	return h->src.family == AF_INET6 ? "-6 " : "";
}

/* Inside a pod the command runs in its namespace, which the host link leads to. */
static const char *link_show(const struct story_hop *h, struct arena *a)
{
	if (!h->device)
		return NULL;
	return h->netns ? arena_printf(a, "ip link show dev %s    # in the pod", h->device)
			: arena_printf(a, "ip -d -s link show dev %s", h->device);
}

static const char *conntrack_show(const struct story_hop *h, struct arena *a)
{
	char text[ADDR_TEXT];
	const struct ipaddr *src = h->direction == STORY_REQUEST ? &h->before.src : &h->before.dst;

	return arena_printf(a, "conntrack -L -f ipv%d --%s %s", src->family == AF_INET6 ? 6 : 4,
			    h->direction == STORY_REQUEST ? "orig-src" : "reply-dst",
			    addr_str(src, text));
}

static const char *policy_show(const struct story_hop *h, struct arena *a)
{
	int family = h->before.src.family == AF_INET6 ? 6 : 4;
	const char *way = h->step == STORY_POLICY_EGRESS ? "egress" : "ingress";

	if (h->by.kind != STORY_BY_POLICY || !h->by.ns || !h->by.name)
		return "nft list table inet fairlead";
	return arena_printf(a, "nft list chain inet fairlead %s%d-%s/%s", way, family, h->by.ns,
			    h->by.name);
}

static const char *route_show(const struct story_hop *h, struct arena *a)
{
	char text[ADDR_TEXT];

	return arena_printf(a, "ip %sroute get %s fibmatch", family_flag(&h->before),
			    addr_str(&h->before.dst, text));
}

static const char *tunnel_show(const struct story_hop *h, struct arena *a)
{
	char text[ADDR_TEXT];

	if (h->before.encap == STORY_IPIP || h->after.encap == STORY_IPIP)
		return arena_printf(a, "ip route show dev %s",
				    h->device ? h->device : ROUTE_IPIP_DEV);
	return arena_printf(
		a, "bridge fdb show dev %s | grep %s", h->device ? h->device : "vxlan0",
		addr_str(h->step == STORY_TUNNEL_IN ? &h->after.outer_dst : &h->before.outer_src,
			 text));
}

/* Of who receives a request those that listen; of the client its own. */
static const char *socket_show(const struct story_hop *h, struct arena *a)
{
	const char *proto = h->before.proto == IPPROTO_UDP    ? "u"
			    : h->before.proto == IPPROTO_SCTP ? "S"
							      : "t";
	const char *where = h->netns ? "    # in the pod" : "";
	bool client =
		h->step == STORY_SEND || (h->step == STORY_DELIVER && h->direction == STORY_REPLY);
	uint16_t port = h->step == STORY_SEND || h->step == STORY_ANSWER ? h->before.sport
									 : h->before.dport;

	return port ? arena_printf(a, "ss -%s%sn 'sport = :%u'%s", client ? "a" : "l", proto, port,
				   where)
		    : NULL;
}

static const char *end_show(const struct story_hop *h, struct arena *a)
{
	switch (h->by.kind) {
	case STORY_BY_POLICY:
		return policy_show(h, a);
	case STORY_BY_ROUTE:
		return route_show(h, a);
	case STORY_BY_NEIGHBOUR:
		return arena_printf(a, "ip neigh show to %s", text_or_dash(h->by.name));
	case STORY_BY_NFT:
		return arena_printf(a, "nft -a list chain %s %s", text_or_dash(h->by.ns),
				    text_or_dash(h->by.name));
	case STORY_BY_SERVICE:
		return "nft list set inet fairlead refused4";
	case STORY_BY_POD:
		return socket_show(h, a);
	default:
		return "nstat -az | grep -E 'InNoRoutes|RPFilter|InDiscards|OutNoRoutes|FragFails'";
	}
}

/* ---- steps */

struct step_words {
	const char *(*text)(const struct story_hop *h, struct arena *a);
	const char *(*show)(const struct story_hop *h, struct arena *a);
	const char *explain;
};

static const struct step_words words[] = {
	[STORY_SEND] = { send_text, socket_show,
			 "A program connects: its kernel makes the first packet, with an address "
			 "and port of its own as the source." },
	[STORY_LEAVE_POD] = { device_text, link_show,
			      "A pod's device is one end of a veth pair: what goes in there comes "
			      "out of the other end, which is on the node." },
	[STORY_ENTER_NODE] = { device_text, link_show,
			       "The node takes the packet from a device; from here on it is a "
			       "router "
			       "that has to find out where to send it." },
	[STORY_SERVICE] = { service_text, conntrack_show,
			    "A Service's address belongs to no machine: nftables chooses an "
			    "endpoint "
			    "for the first packet of a connection and writes its address into the "
			    "packet (DNAT); conntrack remembers it for the packets that follow." },
	[STORY_POLICY_EGRESS] = { policy_text, policy_show,
				  "A NetworkPolicy with egress isolates the pod that sends: only "
				  "what "
				  "some rule allows may leave, and only the first packet is "
				  "asked." },
	[STORY_POLICY_INGRESS] = { policy_text, policy_show,
				   "A NetworkPolicy with ingress isolates the pod that receives: "
				   "only "
				   "what some rule allows may come in, judged on the pod's node." },
	[STORY_ROUTE] = { route_text, route_show,
			  "Of all routes that contain the destination the one with the longest "
			  "prefix decides by which device, and through whom, the packet goes on." },
	[STORY_SNAT] = { snat_text, conntrack_show,
			 "The source becomes the node's, so that answers come back to this node, "
			 "which alone knows how to undo the translation." },
	[STORY_TUNNEL_IN] = { tunnel_text, tunnel_show,
			      "Routers between the nodes do not know pods' addresses: the packet "
			      "travels inside of another one, from node to node." },
	[STORY_LEAVE_NODE] = { device_text, link_show,
			       "The packet leaves the node by this device, to the next hop's MAC "
			       "address." },
	[STORY_TUNNEL_OUT] = { tunnel_text, link_show,
			       "The other end of the tunnel takes the packet out, as it was put "
			       "in." },
	[STORY_ENTER_POD] = { device_text, link_show,
			      "Out of the node's end of the veth pair, and in by the pod's." },
	[STORY_DELIVER] = { deliver_text, socket_show,
			    "A socket listens at this address and port, and gets the packet." },
	[STORY_ANSWER] = { answer_text, socket_show,
			   "The answer goes to whom the request seemed to come from." },
	[STORY_UNTRANSLATE] = { untranslate_text, conntrack_show,
				"Conntrack knows the connection and undoes for the answer what was "
				"done to the request: who asked must see the address that it "
				"asked." },
	[STORY_REFUSE] = { end_of_way_text, end_show,
			   "Somebody does not want the packet and says so (a TCP RST or an ICMP "
			   "error): who asked knows at once." },
	[STORY_DROP] = { end_of_way_text, end_show,
			 "The packet ends here and nobody tells who sent it: a client waits until "
			 "it gives up." },
};
static_assert(sizeof(words) / sizeof(*words) == STORY_STEPS, "words for each step");

int story_words(struct story *s, struct arena *a)
{
	s->narrowest = story_narrowest(s);
	for (uint32_t i = 0; i < s->hops.n; i++) {
		struct story_hop *h = &s->hops.v[i];
		const struct step_words *w = &words[h->step];

		h->text = w->text(h, a);
		h->explain = w->explain;
		h->show = w->show(h, a);
	}
	if (!s->sentence)
		s->sentence = story_sentence(s, a);
	return a->failed || !s->sentence ? -ENOMEM : 0;
}
