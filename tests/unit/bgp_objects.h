/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of core/bgp/peers.h: manifests in, and what was told and not taken back. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "core/bgp/peers_state.h"
#include "model/bgp.h"

#define MOST 16 /* peers, own routes, problems */

/* What was told, and not taken back. */
struct wanted {
	struct bgp_wants *wants;
	struct bgp_want all;
	struct bgp_peer_conf peers[MOST]; /* by name */
	struct bgp_transport transports[MOST];
	size_t n;
	struct bgp_own origins[MOST]; /* by prefix */
	size_t n_origins;
};

extern struct cluster *cluster;
extern struct arena arena;
extern struct bgp_view view;
extern struct wanted made;
extern const struct bgp_wants_ops objects_ops;

void objects_begin(const char *node); /* with nothing */
void objects_end(void);
/* `text` as YAML, documents begin with "---". */
void objects_parse(const char *text, struct cluster *into);
struct wanted want(const char *node, const char *text);
/* "n2 192.0.2.2:179 AS64512", with what differs from a plain session; then problems. */
void objects_put(struct buf *b, const struct wanted *w);

#define HEAD(kind, name)                                                                           \
	"---\napiVersion: fairlead.io/v1\nkind: " kind "\nmetadata: {name: " name "}\n"
#define NODE(name, more, addresses)                                                                \
	"---\napiVersion: v1\nkind: Node\nmetadata: {name: " name more                             \
	"}\nstatus: {addresses: [" addresses "]}\n"
#define IP(a)                 "{type: InternalIP, address: \"" a "\"}"
#define LABEL(l)              ", labels: {" l "}"
#define CONFIG(spec)          HEAD("BGPConfiguration", "default") "spec: {" spec "}\n"
#define OTHERWISE(node, spec) HEAD("BGPConfiguration", "node." node) "spec: {" spec "}\n"
#define PEER(name, spec)      HEAD("BGPPeer", name) "spec: {" spec "}\n"
#define SECRET(data)                                                                               \
	"---\napiVersion: v1\nkind: Secret\nmetadata: {name: bgp, namespace: kube-system}\ntype: " \
	"fairlead.io/bgp-password\nstringData: {" data "}\n"

#define N1                     NODE("n1", "", IP("192.0.2.1"))
#define N2                     NODE("n2", "", IP("192.0.2.2"))
#define N3                     NODE("n3", "", "{type: ExternalIP, address: 203.0.113.3}, " IP("192.0.2.3"))
#define DUAL1                  NODE("n1", "", IP("192.0.2.1") "," IP("2001:db8::1"))
#define DUAL2                  NODE("n2", "", IP("2001:db8::2") "," IP("192.0.2.2"))
#define ALONE                  CONFIG("nodeToNodeMeshEnabled: false")
#define SELECT                 PEER("rr", "peerSelector: {matchExpressions: [{key: rr, operator: Exists}]}")
#define POOL(name, cidr, more) HEAD("IPPool", name) "spec: {cidr: \"" cidr "\"" more "}\n"
#define BLOCK(name, cidr, pool, node, more)                                                        \
	HEAD("IPBlock", name) "spec: {cidr: \"" cidr "\", pool: " pool ", node: " node more "}\n"
#define FILTER(name, spec) HEAD("BGPFilter", name) "spec: {" spec "}\n"
#define FILTERED(filters)  N1 PEER("p", "peerIP: 192.0.2.9, asNumber: 1, filters: [" filters "]")
