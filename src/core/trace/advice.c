// SPDX-License-Identifier: Apache-2.0
/* Known mistakes: how each looks from where a story ended, and what to do about it. One row, one
 * mistake; what no row knows gets no advice. */
#include "core/trace/decide.h"
#include "core/trace/dns.h"

#include "core/policy/match.h"
#include "core/service/service.h"

#include <string.h>

static bool contains(const char *s, const char *part)
{
	return s && strstr(s, part);
}

static const struct story_hop *ended_at(const struct story *s)
{
	for (uint32_t i = 0; i < s->hops.n; i++)
		if (s->hops.v[i].step == STORY_DROP || s->hops.v[i].step == STORY_REFUSE)
			return &s->hops.v[i];
	return s->hops.n ? &s->hops.v[s->hops.n - 1] : NULL;
}

static const struct story_hop *find_step(const struct story *s, enum story_step step)
{
	for (uint32_t i = 0; i < s->hops.n; i++)
		if (s->hops.v[i].step == step)
			return &s->hops.v[i];
	return NULL;
}

/* ---- Services */

static const char *other_port(const struct story_hop *h, const struct service *s, struct arena *a)
{
	const char *has = "";

	for (uint32_t i = 0; i < s->spec.ports.n; i++) {
		const struct service_port *p = &s->spec.ports.v[i];

		has = arena_printf(a, "%s%s%lld/%s", has, *has ? ", " : "", (long long)p->port,
				   name_of(&protocol_names, p->protocol ? p->protocol : PROTO_TCP));
	}
	return arena_printf(a, "Service %s/%s has %s (fairlead get services -n %s)", h->by.ns,
			    h->by.name, has, h->by.ns);
}

static const char *no_endpoint(const struct story_view *view, const struct story_hop *h,
			       struct arena *a)
{
	const struct object *o =
		h->by.kind == STORY_BY_SERVICE && h->by.name
			? cluster_get(view->cluster, KIND_SERVICE, h->by.ns, h->by.name)
			: NULL;
	const struct service *s = o ? o->body : NULL;
	uint32_t selected = 0;
	size_t n;
	const struct object *const *pods = cluster_all(view->cluster, KIND_POD, &n);

	if (!s)
		return NULL;
	if (contains(h->why, "no such port"))
		return other_port(h, s, a);
	if (!s->spec.selector.n)
		return arena_printf(a,
				    "Service %s/%s has no selector: somebody has to write its "
				    "EndpointSlices",
				    h->by.ns, h->by.name);
	for (size_t i = 0; i < n; i++) {
		const struct label_selector want = { .matchLabels = s->spec.selector };

		selected += !strcmp(pods[i]->meta->namespace, h->by.ns) &&
			    selector_match(&want, &pods[i]->meta->labels);
	}
	if (!selected)
		return arena_printf(
			a,
			"the selector of Service %s/%s matches no pod: compare it with the "
			"pods' labels (fairlead get pods -n %s)",
			h->by.ns, h->by.name, h->by.ns);
	return arena_printf(
		a,
		"%u pods match the selector of Service %s/%s, and none serves here: see "
		"whether they are ready (fairlead get pods -n %s), and its traffic "
		"policies (fairlead why)",
		selected, h->by.ns, h->by.name, h->by.ns);
}

/* Nothing listens where the Service leads: its targetPort is another than the program's. */
static const char *closed_port(const struct story *s, const struct story_hop *h, struct arena *a)
{
	const struct story_hop *service = find_step(s, STORY_SERVICE);

	if (service && service->by.kind == STORY_BY_SERVICE)
		return arena_printf(
			a,
			"Service %s/%s sends to port %u, and nothing listens there: its "
			"targetPort is wrong, or the program listens on 127.0.0.1 only, or "
			"not yet",
			service->by.ns, service->by.name, h->before.dport);
	return "the address is right, the port is not, or the program listens on 127.0.0.1 only, "
	       "or "
	       "not yet";
}

/* ---- nftables */

static const struct {
	const char *comment; /* part of the rule; NULL: any */
	const char *advice;
} own_rules[] = {
	{ "no Service has the address",
	  "the address is in the Services' range, and no Service has it (any more): `fairlead get "
	  "services -A` says which are taken" },
	{ "spoofed", "a pod may send from its own addresses only (fairlead get pods -A)" },
	{ NULL, "the rule is fairlead's own, and its comment says what it is for" },
};

static const char *by_nftables(const struct story_hop *h, struct arena *a)
{
	const char *table = h->by.ns ? h->by.ns : "-", *space = strchr(table, ' ');

	for (size_t i = 0; space && !strcmp(space, " fairlead"); i++)
		if (!own_rules[i].comment || contains(h->by.rule, own_rules[i].comment))
			return own_rules[i].advice;
	return arena_printf(a,
			    "table %s is not fairlead's: whoever made it decides there (nft -a "
			    "list table %s)",
			    table, table);
}

/* ---- the others */

static const char *denied(const struct story_hop *h, struct arena *a)
{
	if (contains(h->by.rule, POLICY_MIDWAY))
		return "the connection was cut meanwhile, as policies changed, or a node forgot "
		       "it: a "
		       "new one is judged, and `fairlead why` says how";
	return arena_printf(
		a,
		"a rule that allows it is missing: `fairlead why` says for each rule of "
		"these policies why it does not match (policies of namespace %s)",
		h->by.ns ? h->by.ns : "-");
}

static const char *route_missing(const struct story_hop *h, struct arena *a)
{
	char text[ADDR_TEXT];

	if (contains(h->by.rule, "blackhole"))
		return arena_printf(
			a,
			"no pod has %s (any more), although its block is this node's: the "
			"pod is gone, and who named the address is out of date",
			addr_str(&h->before.dst, text));
	return arena_printf(
		a,
		"node %s has no way to %s: `fairlead get routes` compares what is wanted "
		"with what is there",
		h->node ? h->node : "-", addr_str(&h->before.dst, text));
}

static const char too_big[] =
	"the packet is larger than the next device's MTU and may not be split: lower the pods' "
	"MTU, or "
	"raise that of the path (`fairlead doctor` compares them); ICMP \"too big\" must get "
	"through";

static const struct {
	const char *reason, *place; /* parts of them; NULL: any */
	const char *advice;
} known[] = {
	{ "PKT_TOO_BIG", NULL, too_big },
	{ "Message too long", NULL,
	  "who sends has to split what is longer than its own device's MTU: fairlead gives pods "
	  "the "
	  "uplink's less what a tunnel adds (`fairlead node status` has both)" },
	{ "RPFILTER", NULL,
	  "the way back to its source leads by another device than the one that it came by: mend "
	  "the route, "
	  "or set net.ipv4.conf.DEVICE.rp_filter to 2 (of `all` and of the device the larger "
	  "counts)" },
	{ "NETFILTER_DROP", "nf_hook_slow",
	  "a hook that is none of nftables' let it end: the connection table is full (`fairlead "
	  "doctor` compares net.netfilter.nf_conntrack_count with nf_conntrack_max: raise the "
	  "latter), or iptables-legacy has rules" },
	{ "CSUM", NULL,
	  "a checksum is wrong: some device was to compute it and did not; turn its offload off "
	  "(ethtool -K DEVICE tx off) on the sender" },
	{ "IP_INNOROUTES", NULL,
	  "there is no route: `fairlead get routes` says which one is missing" },
	{ "IP_OUTNOROUTES", NULL,
	  "there is no route: `fairlead get routes` says which one is missing" },
	{ "OTHERHOST", NULL,
	  "the frame was meant for another machine's MAC address: a neighbour entry is wrong "
	  "(ip neigh show on the node before)" },
};

static const char *of_kernel(const struct story_hop *h)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if ((!known[i].reason || contains(h->by.name, known[i].reason)) &&
		    (!known[i].place || contains(h->by.rule, known[i].place)))
			return known[i].advice;
	return NULL;
}

static const char *by_neighbour(const struct story_hop *h, struct arena *a)
{
	const char *name = h->by.name ? h->by.name : "-";

	if (contains(h->why, "router"))
		return arena_printf(a,
				    "the next router on node %s's way to %s is down or cut off (ip "
				    "route get %s there, and ip neigh)",
				    h->node ? h->node : "-", name, name);
	return arena_printf(a,
			    "nobody has %s on that network: the machine is down, cut off, or has "
			    "another address",
			    name);
}

/* What has no agent and answers by ICMP. */
static const char *by_router(const struct story_hop *h, struct arena *a)
{
	const struct ipaddr *to =
		h->before.encap == STORY_PLAIN ? &h->before.dst : &h->before.outer_dst;
	char text[ADDR_TEXT];

	if (h->mtu)
		return too_big;
	if (!contains(h->why, "host unreachable"))
		return NULL;
	return arena_printf(a,
			    "router %s finds nobody at %s: that machine is down or cut off, or "
			    "nobody has the address",
			    h->by.name, addr_str(to, text));
}

static const char *lost(const struct story *s, const struct story_hop *h, struct arena *a)
{
	static const char *const lets_through[] = { [STORY_PLAIN] = "pods' addresses",
						    [STORY_VXLAN] = "UDP port 4789",
						    [STORY_IPIP] = "IP protocol 4" };
	uint32_t length = s->hops.v[0].after.length;

	if (h->step == STORY_LEAVE_NODE && length)
		return arena_printf(
			a,
			"does a short one get through (without --size)? Then something behind node "
			"%s does not take %u bytes and does not say so: a switch, or a router "
			"whose "
			"ICMP errors are dropped. Else the network between the nodes, or the other "
			"node, loses all (fairlead node status)",
			h->node, length);
	if (h->step == STORY_LEAVE_NODE)
		return arena_printf(
			a,
			"the network between the nodes, or the other node, lost it: is the "
			"other one up (fairlead node status), and does the network let "
			"%s through?",
			lets_through[h->after.encap]);
	if (h->step == STORY_SEND)
		return "no node that looks saw it come: is there a way from there? Routers know "
		       "pods' addresses only where they were told them; from outside, a Service of "
		       "type NodePort or LoadBalancer leads in";
	return NULL;
}

/* ---- DNS */

static const struct story_hop *find_dns(const struct story *s)
{
	for (uint32_t i = 0; i < s->hops.n; i++)
		if (s->hops.v[i].dns)
			return &s->hops.v[i];
	return NULL;
}

static bool answers_at(const struct story_view *view, const char *node, const struct ipaddr *ip)
{
	const struct object *o = cluster_get(view->cluster, KIND_NODESTATE, NULL, node);
	const struct node_state *s = o ? o->body : NULL;

	for (uint32_t i = 0; s && i < s->status.dnsAddresses.n; i++)
		if (addr_eq(&s->status.dnsAddresses.v[i], ip))
			return true;
	return false;
}

/* It came to a node whose role dns has not taken it. */
static bool is_waiting(const struct story_view *view, const struct story_hop *h)
{
	if (h->dns->rcode || h->dns->from || !h->node || h->netns)
		return false;
	return answers_at(view, h->node,
			  h->direction == STORY_REPLY ? &h->after.src : &h->after.dst);
}

/* NULL: how it ended says more than that it is a query. */
static const char *dns(const struct story_view *view, const struct story *s, struct arena *a)
{
	const struct story_hop *h = find_dns(s);

	if (!h)
		return NULL;
	if (is_waiting(view, h))
		return "it waits in the socket of role dns, which does not take it: is the role "
		       "up, and does it know the cluster (fairlead dns status)?";
	if (h->by.kind == STORY_BY_SERVICE && contains(h->why, "no endpoint"))
		return no_endpoint(view, h, a);
	return story_dns_advice(view, h, a);
}

const char *story_advice(const struct story_view *view, const struct story *s, struct arena *a)
{
	const struct story_hop *h = ended_at(s);
	const char *of_query = dns(view, s, a);

	if (of_query)
		return of_query;
	if (!h || s->verdict == STORY_ANSWERED || s->verdict == STORY_DELIVERED)
		return NULL;
	if (s->verdict == STORY_LOST)
		return lost(s, h, a);
	switch (h->by.kind) {
	case STORY_BY_SERVICE:
		return no_endpoint(view, h, a);
	case STORY_BY_POD:
	case STORY_BY_NODE:
		return h->step == STORY_REFUSE ? closed_port(s, h, a) : NULL;
	case STORY_BY_POLICY:
		return denied(h, a);
	case STORY_BY_ROUTE:
		return route_missing(h, a);
	case STORY_BY_NEIGHBOUR:
		return by_neighbour(h, a);
	case STORY_BY_NFT:
		return by_nftables(h, a);
	case STORY_BY_ADDRESS:
		return by_router(h, a);
	default:
		return of_kernel(h);
	}
}
