/* SPDX-License-Identifier: Apache-2.0 */
/* What the words of a NetworkPolicy mean (networking.k8s.io/v1), in one place for the judge and
 * for what nodes enforce by.
 *
 *   pods        selected, as subject or as peer, are those with a network of their own that have
 *               not ended; others are known by their address alone, the node's.
 *   namespaces  have the label kubernetes.io/metadata.name with their name, whatever their object
 *               says, and be it missing.
 *   peers       none: everybody. podSelector alone: pods of the policy's namespace;
 *               namespaceSelector alone: all pods there; both: both. An ipBlock: whoever has the
 *               address, pods too.
 *   ports       none: every protocol, ICMP too. Else TCP, UDP and SCTP: an entry without a port has
 *               all of its protocol; a name is the receiving pod's, with the entry's protocol, and
 *               nobody else's; endPort is the range's last. */
#pragma once
#include "model/cluster.h"

#include <string.h>

/* Why a packet is denied, everywhere in the same words: POLICY_DENIAL "shop/a, shop/b", who isolate the pod
 * and have no rule for it; or POLICY_MIDWAY ", by " and who isolate the one that it says it is
 * connected with. */
#define POLICY_DENIAL "default deny by "
#define POLICY_MIDWAY "in the middle of a connection that no longer is"

/* As text: "ingress", "egress", by enum policy_type. */
extern const struct names policy_way_names;

struct policy_rules {
	const struct policy_rule *v;
	uint32_t n;
};
struct policy_rules policy_rules(const struct network_policy *p, enum policy_type type);

#define POLICY_RULE_TEXT 40
/* "ingress[0].from[1]", "egress[2].to[0]"; `peer` below 0: "ingress[0]". Returns `buf`. */
const char *policy_rule_text(enum policy_type type, uint32_t rule, int64_t peer,
			     char buf[POLICY_RULE_TEXT]);

/* Why a pod is closed, whatever policies say: in both directions, as nobody told of any yet; in those in which some policy
 * of its namespace isolates anybody, as it runs without its object, which says whom policies mean. Unlike a list of
 * policies, "shop/a, shop/b", these name none, so that one text can be either: what is said of a drop is
 * policy_denial_head() and that text. */
#define POLICY_UNKNOWN   "policies not known yet"
#define POLICY_NO_OBJECT "its Pod is not in the store"

static inline bool policy_names_some(const char *text)
{
	return strchr(text, '/') != NULL;
}

static inline const char *policy_denial_head(const char *text)
{
	return policy_names_some(text) ? POLICY_DENIAL : "";
}

/* May a policy select it? NULL: no. */
bool policy_knows_pod(const struct pod *p);
/* One end of a flow: the pod, NULL: it is none; or those as which it counts, of one namespace. */
struct policy_pods {
	const struct pod *const *v;
	uint32_t n; /* above 0 */
};
/* The labels that namespaceSelectors see; `o` NULL: there is no such object. Leads into it, where it
 * has the label itself, else into `a`. NULL: no memory. */
const struct strmap *policy_namespace_labels(const char *name, const struct namespace_obj *o,
					     struct arena *a);
/* Is the pod isolated by it in this direction? */
bool policy_isolates(const struct network_policy *p, enum policy_type type, const struct pod *pod);
/* Does the peer of a policy in namespace `ns` select this pod, whose namespace has these labels? An
 * ipBlock selects none. */
bool policy_peer_selects(const struct policy_peer *peer, const char *ns, const struct pod *pod,
			 const struct strmap *labels);
/* Family 0, an address that is not known, is in none. */
bool policy_block_has(const struct ip_block *b, const struct ipaddr *a);

/* The pod's ports, its `i`th from 0 on: of all containers, and of init containers that go on.
 * NULL: no more. */
const struct container_port *policy_pod_port(const struct pod *p, uint32_t i);
/* PROTO_NONE means TCP in objects. */
static inline uint8_t policy_protocol(uint8_t proto)
{
	return proto ? proto : PROTO_TCP;
}
/* Does the entry take this port? `proto` PROTO_NONE: ICMP and all else. `to`: the pod that
 * receives, NULL: it is none. */
bool policy_port_takes(const struct policy_port *p, uint8_t proto, uint16_t port,
		       const struct pod *to);
/* Does one of the rule's entries, or has it none? */
bool policy_rule_takes(const struct policy_rule *r, uint8_t proto, uint16_t port,
		       const struct pod *to);
