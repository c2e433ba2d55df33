// SPDX-License-Identifier: Apache-2.0
/* Tables of the kinds of BGP (fairlead.io/v1) and of Secret. Fields are named as in Calico's BGPConfiguration, BGPPeer and
 * BGPFilter where those have them, so that who knows them finds them; selectors are Kubernetes', as in IPPool. */
#include "model/bgp.h"
#include "model/table.h"

#define METADATA(ctype)                                                                            \
	FIELD_KEY(ctype, meta, "metadata", 1, F_OBJ, .sub = &meta_schema,                          \
		  .doc = "Kubernetes' object metadata; the name is a DNS subdomain (RFC 1123).")

#define AS_MAX 4294967295

/* ---- Secret */

static const struct field secret_fields[] = {
	FIELD_KEY(struct secret, meta, "metadata", 1, F_OBJ, .sub = &meta_schema),
	FIELD(struct secret, type, 2, F_STR),
	FIELD(struct secret, data, 3, F_MAP),
	FIELD(struct secret, stringData, 4, F_MAP),
};
const SCHEMA(secret_schema, "Secret", struct secret, secret_fields);

/* ---- parts of several kinds */

static const struct field secret_key_fields[] = {
	FIELD(struct bgp_secret_key, name, 1, F_STR, .flags = FF_REQUIRED,
	      .doc = "Name of the Secret, of type " SECRET_BGP_PASSWORD
		     " in namespace " SECRET_NAMESPACE "."),
	FIELD(struct bgp_secret_key, key, 2, F_STR, .flags = FF_REQUIRED,
	      .doc = "The key under which it has the password."),
};
static const SCHEMA(secret_key_schema, "SecretKeySelector", struct bgp_secret_key,
		    secret_key_fields);

static const struct field password_fields[] = {
	FIELD(struct bgp_password, secretKeyRef, 1, F_PTR, .sub = &secret_key_schema,
	      .doc = "A Secret that has it."),
	FIELD(struct bgp_password, file, 2, F_STR,
	      .doc = "A file of the node that has it in its first line, by its absolute path."),
};
static const SCHEMA(password_schema, "BGPPassword", struct bgp_password, password_fields);

static const struct field restart_fields[] = {
	FIELD(struct bgp_restart, enabled, 1, F_OPT_BOOL, .absent = "true",
	      .doc = "Ask peers to keep our routes while the speaker restarts, and keep theirs."),
	FIELD(struct bgp_restart, restartTimeSeconds, 2, F_OPT_I64, .min = 1, .max = 4095,
	      .absent = "120", .doc = "For how long they are to keep them."),
};
static const SCHEMA(restart_schema, "BGPGracefulRestart", struct bgp_restart, restart_fields);

static const struct field timers_fields[] = {
	FIELD(struct bgp_timers, holdTimeSeconds, 1, F_OPT_I64, .min = 0, .max = 65535,
	      .absent = "90",
	      .doc = "After so long without a message the peer counts as gone: 0, never, or at "
		     "least 3."),
	FIELD(struct bgp_timers, keepAliveTimeSeconds, 2, F_OPT_I64, .min = 1, .max = 21845,
	      .absent = "a third of the hold time",
	      .doc = "How often it is told that we are here."),
	FIELD(struct bgp_timers, connectRetryTimeSeconds, 3, F_OPT_I64, .min = 1, .max = 65535,
	      .absent = "5", .doc = "How long to wait before connecting again."),
};
static const SCHEMA(timers_schema, "BGPTimers", struct bgp_timers, timers_fields);

static const struct field bfd_fields[] = {
	FIELD(struct bgp_bfd, enabled, 1, F_OPT_BOOL, .absent = "true",
	      .doc = "Watch the way to the peer."),
	FIELD(struct bgp_bfd, interval, 2, F_I64, .min = 10, .max = 60000, .absent = "100",
	      .doc = "Milliseconds between packets, both ways; the slower side decides."),
	FIELD(struct bgp_bfd, detectMultiplier, 3, F_I64, .min = 2, .max = 255, .absent = "3",
	      .doc = "So many packets missing: the way is down."),
	FIELD(struct bgp_bfd, multihop, 4, F_OPT_BOOL,
	      .absent = "true where node and peer share no subnet",
	      .doc = "BFD over routers (RFC 5883), UDP port 4784, else over one hop (RFC 5881), "
		     "3784."),
	FIELD(struct bgp_bfd, minimumTTL, 5, F_I64, .min = 1, .max = 254, .absent = "1",
	      .doc = "Multihop: what came with a lower TTL is dropped. Over one router 254 of a "
		     "peer that "
		     "sends 255, as we and FRR do; BIRD sends the system's, 64."),
};
static const SCHEMA(bfd_schema, "BGPBFD", struct bgp_bfd, bfd_fields);

/* ---- BGPConfiguration */

static const struct field cidr_fields[] = {
	FIELD(struct bgp_cidr, cidr, 1, F_PREFIX, .flags = FF_REQUIRED,
	      .doc = "A range; host bits must be zero."),
};
static const SCHEMA(cidr_schema, "BGPCIDR", struct bgp_cidr, cidr_fields);

static const struct field named_community_fields[] = {
	FIELD(struct bgp_named_community, name, 1, F_STR, .flags = FF_REQUIRED,
	      .doc = "How prefixAdvertisements call it."),
	FIELD(struct bgp_named_community, value, 2, F_STR, .flags = FF_REQUIRED,
	      .doc = "The community: 65000:100, or a large one, 65000:1:2."),
};
static const SCHEMA(named_community_schema, "BGPCommunity", struct bgp_named_community,
		    named_community_fields);

static const struct field advertisement_fields[] = {
	FIELD(struct bgp_advertisement, cidr, 1, F_PREFIX, .flags = FF_REQUIRED,
	      .doc = "Own routes in this range, and this one, get the communities."),
	FIELD(struct bgp_advertisement, communities, 2, F_STR, .flags = FF_LIST | FF_REQUIRED,
	      .doc = "Communities, or names of spec.communities."),
};
static const SCHEMA(advertisement_schema, "BGPPrefixAdvertisement", struct bgp_advertisement,
		    advertisement_fields);

typedef TYPE_OF(struct bgpconfiguration, spec) config_spec;
static const struct field config_spec_fields[] = {
	FIELD(config_spec, asNumber, 1, F_I64, .min = 1, .max = AS_MAX, .flags = FF_COLUMN,
	      .absent = "64512",
	      .doc = "The AS of all nodes but those with the annotation " ANNOTATION_AS_NUMBER "."),
	FIELD(config_spec, nodeToNodeMeshEnabled, 2, F_OPT_BOOL, .flags = FF_COLUMN,
	      .absent = "true",
	      .doc = "Every node has a session with every other one, but for route reflectors."),
	FIELD(config_spec, nodeMeshPassword, 3, F_PTR, .sub = &password_schema,
	      .doc = "Password (TCP MD5) of the mesh's sessions."),
	FIELD(config_spec, listenPort, 4, F_I64, .min = 1, .max = 65535, .flags = FF_COLUMN,
	      .absent = "179",
	      .doc = "The port of the nodes' speakers, also the one that the mesh connects to."),
	FIELD(config_spec, serviceClusterIPs, 5, F_OBJ, .flags = FF_LIST, .sub = &cidr_schema,
	      .doc = "Cluster IPs of Services to advertise: those within these ranges, each as an "
		     "address of its own."),
	FIELD(config_spec, serviceExternalIPs, 6, F_OBJ, .flags = FF_LIST, .sub = &cidr_schema,
	      .doc = "External IPs of Services to advertise, as above; of those with "
		     "externalTrafficPolicy Local by nodes that have a ready endpoint."),
	FIELD(config_spec, serviceLoadBalancerIPs, 7, F_OBJ, .flags = FF_LIST, .sub = &cidr_schema,
	      .doc = "Load balancers' addresses of Services to advertise, as above."),
	FIELD(config_spec, networks, 8, F_PREFIX, .flags = FF_LIST,
	      .doc = "More prefixes that every node advertises; host bits must be zero."),
	FIELD(config_spec, communities, 9, F_OBJ, .flags = FF_LIST, .sub = &named_community_schema,
	      .doc = "Names for communities."),
	FIELD(config_spec, prefixAdvertisements, 10, F_OBJ, .flags = FF_LIST,
	      .sub = &advertisement_schema, .doc = "What communities own routes have."),
	FIELD(config_spec, multipath, 11, F_I64, .min = 1, .max = 255, .absent = "8",
	      .doc = "How many equally good ways to a prefix share its traffic."),
	FIELD(config_spec, gracefulRestart, 12, F_PTR, .sub = &restart_schema, .absent = "enabled",
	      .doc = "Graceful restart (RFC 4724)."),
	FIELD(config_spec, timers, 13, F_OBJ, .sub = &timers_schema,
	      .doc = "Times of all sessions; a BGPPeer may have others."),
	FIELD(config_spec, bfd, 14, F_PTR, .sub = &bfd_schema, .absent = "no BFD",
	      .doc = "BFD (RFC 5880) with all peers; a BGPPeer may have another."),
	FIELD(config_spec, ebgpRequiresPolicy, 15, F_OPT_BOOL, .absent = "false",
	      .doc = "Without a rule of a BGPFilter for it, take nothing from peers of another AS "
		     "and tell them nothing (RFC 8212)."),
};
static const SCHEMA(config_spec_schema, "BGPConfigurationSpec", config_spec, config_spec_fields);

static const struct field config_fields[] = {
	METADATA(struct bgpconfiguration),
	FIELD(struct bgpconfiguration, spec, 2, F_OBJ, .sub = &config_spec_schema,
	      .doc = "What the speakers have in common."),
};
const SCHEMA(
	bgpconfiguration_schema, "BGPConfiguration", struct bgpconfiguration, config_fields,
	.doc = "What the BGP speakers of the nodes have in common. The one named `default` is "
	       "for all nodes; in one named `node.NAME` each field that is there goes before the "
	       "default's on that node. Without any there is a full mesh of AS 64512.");

/* ---- BGPPeer */

ENUM_NAMES(family_names, IP_FAMILY_6, "IPv4", "IPv6");
ENUM_NAMES(next_hop_names, NEXT_HOP_SELF, "Auto", "Self");
ENUM_NAMES(source_address_names, SOURCE_ANY, "UseNodeIP", "None");

typedef TYPE_OF(struct bgppeer, spec) peer_spec;
static const struct field peer_spec_fields[] = {
	FIELD(peer_spec, node, 1, F_STR, .flags = FF_COLUMN, .absent = "see nodeSelector",
	      .doc = "Name of the only Node that has this peer."),
	FIELD(peer_spec, nodeSelector, 2, F_PTR, .sub = &label_selector_schema,
	      .absent = "every node", .doc = "Nodes that have this peer."),
	FIELD(peer_spec, peerIP, 3, F_STR, .flags = FF_COLUMN,
	      .doc = "The peer's address, perhaps with its port: 192.0.2.1, 192.0.2.1:1179, "
		     "[2001:db8::1]:1179."),
	FIELD(peer_spec, peerSelector, 4, F_PTR, .sub = &label_selector_schema,
	      .doc = "Instead of peerIP and asNumber: these Nodes are the peers."),
	FIELD(peer_spec, asNumber, 5, F_I64, .min = 1, .max = AS_MAX, .flags = FF_COLUMN,
	      .doc = "The peer's AS; required with peerIP."),
	FIELD(peer_spec, passive, 6, F_BOOL,
	      .doc = "Wait for the peer to connect, and do not connect to it."),
	FIELD(peer_spec, password, 7, F_PTR, .sub = &password_schema,
	      .doc = "Password of the session (TCP MD5, RFC 2385)."),
	FIELD(peer_spec, ttlSecurity, 8, F_I64, .min = 1, .max = 254,
	      .doc = "The peer is at most so many hops away: packets with a TTL below 256 less "
		     "this "
		     "are not taken (RFC 5082); 1 for a neighbour."),
	FIELD(peer_spec, families, 9, F_ENUM, .flags = FF_LIST, .names = &family_names,
	      .absent = "those that the node has an InternalIP of",
	      .doc = "Of which routes are exchanged."),
	FIELD(peer_spec, nextHopMode, 10, F_ENUM, .names = &next_hop_names, .absent = "Auto",
	      .doc = "Auto: as RFC 4271 5.1.3, routes of others keep their next hop within the AS; "
		     "Self: this node is the next hop of all that it tells the peer."),
	FIELD(peer_spec, sourceAddress, 11, F_ENUM, .names = &source_address_names,
	      .absent = "UseNodeIP",
	      .doc = "UseNodeIP: connect from the node's InternalIP; None: from what the kernel "
		     "chooses."),
	FIELD(peer_spec, filters, 12, F_STR, .flags = FF_LIST,
	      .doc = "Names of BGPFilters, in the order in which they are asked; one that does not "
		     "exist keeps everything out."),
	FIELD(peer_spec, maxPrefixes, 13, F_I64, .min = 0, .max = 10000000, .absent = "0, no limit",
	      .doc = "More routes of one family than this end the session."),
	FIELD(peer_spec, gracefulRestart, 14, F_PTR, .sub = &restart_schema,
	      .absent = "as in BGPConfiguration", .doc = "Graceful restart (RFC 4724)."),
	FIELD(peer_spec, timers, 15, F_OBJ, .sub = &timers_schema,
	      .doc = "Times of the session; those that are absent are BGPConfiguration's."),
	FIELD(peer_spec, bfd, 16, F_PTR, .sub = &bfd_schema, .absent = "as in BGPConfiguration",
	      .doc = "BFD (RFC 5880) with this peer."),
};
static const SCHEMA(peer_spec_schema, "BGPPeerSpec", peer_spec, peer_spec_fields);

static const struct field peer_fields[] = {
	METADATA(struct bgppeer),
	FIELD(struct bgppeer, spec, 2, F_OBJ, .flags = FF_REQUIRED, .sub = &peer_spec_schema,
	      .doc = "Who has whom as a peer, and how."),
};
const SCHEMA(
	bgppeer_schema, "BGPPeer", struct bgppeer, peer_fields,
	.doc = "A BGP session of some nodes, with a router outside (`peerIP`) or with other "
	       "nodes (`peerSelector`), as route reflectors need it. It goes before the mesh's "
	       "session with the same address. Two BGPPeers with one address on one node: the "
	       "first by name counts.");

/* ---- BGPFilter */

ENUM_NAMES(action_names, FILTER_REJECT, "Accept", "Reject");
ENUM_NAMES(match_names, MATCH_NOT_EQUAL, "In", "NotIn", "Equal", "NotEqual");
ENUM_NAMES(peer_type_names, FILTER_PEER_IBGP, "eBGP", "iBGP");

static const struct field length_fields[] = {
	FIELD(struct filter_length, min, 1, F_OPT_I64, .min = 0, .max = 128, .absent = "any",
	      .doc = "At least so long."),
	FIELD(struct filter_length, max, 2, F_OPT_I64, .min = 1, .max = 128, .absent = "any",
	      .doc = "At most so long."),
};
static const SCHEMA(length_schema, "BGPFilterPrefixLength", struct filter_length, length_fields);

static const struct field communities_fields[] = {
	FIELD(struct filter_communities, values, 1, F_STR, .flags = FF_LIST | FF_REQUIRED,
	      .doc = "The route has all of these."),
};
static const SCHEMA(communities_schema, "BGPFilterCommunities", struct filter_communities,
		    communities_fields);

static const struct field add_fields[] = {
	FIELD(struct filter_community, value, 1, F_STR, .flags = FF_REQUIRED,
	      .doc = "The community."),
};
static const SCHEMA(add_schema, "BGPFilterAddCommunity", struct filter_community, add_fields);

static const struct field prepend_fields[] = {
	FIELD(struct filter_prepend, prefix, 1, F_I64, .flags = FF_LIST | FF_REQUIRED, .min = 1,
	      .max = AS_MAX, .doc = "These come in front of the path, the first first."),
};
static const SCHEMA(prepend_schema, "BGPFilterPrependASPath", struct filter_prepend,
		    prepend_fields);

static const struct field preference_fields[] = {
	FIELD(struct filter_value, value, 1, F_OPT_I64, .flags = FF_REQUIRED, .min = 0,
	      .max = AS_MAX, .doc = "The preference; 100 is that of a route without one."),
};
static const SCHEMA(preference_schema, "BGPFilterSetLocalPreference", struct filter_value,
		    preference_fields);

static const struct field operation_fields[] = {
	FIELD(struct filter_operation, addCommunity, 1, F_PTR, .sub = &add_schema,
	      .doc = "Add a community."),
	FIELD(struct filter_operation, prependASPath, 2, F_PTR, .sub = &prepend_schema,
	      .doc = "Put AS numbers in front of the path."),
	FIELD(struct filter_operation, setLocalPreference, 3, F_PTR, .sub = &preference_schema,
	      .doc = "Set LOCAL_PREF; the highest wins, and it goes no further than the AS."),
};
static const SCHEMA(operation_schema, "BGPFilterOperation", struct filter_operation,
		    operation_fields);

static const struct field rule_fields[] = {
	FIELD(struct filter_rule, action, 1, F_ENUM, .flags = FF_REQUIRED, .names = &action_names,
	      .doc = "What becomes of a route for which all of the following holds."),
	FIELD(struct filter_rule, cidr, 2, F_PREFIX, .absent = "any",
	      .doc = "A prefix to compare with, by matchOperator; host bits must be zero."),
	FIELD(struct filter_rule, matchOperator, 3, F_ENUM, .names = &match_names, .absent = "In",
	      .doc = "In: the route is the prefix or lies in it; Equal: it is the prefix; NotIn "
		     "and "
		     "NotEqual."),
	FIELD(struct filter_rule, prefixLength, 4, F_PTR, .sub = &length_schema,
	      .doc = "The route's prefix length."),
	FIELD(struct filter_rule, peerType, 5, F_ENUM, .names = &peer_type_names, .absent = "both",
	      .doc = "Only with peers of another AS, or of our own."),
	FIELD(struct filter_rule, communities, 6, F_PTR, .sub = &communities_schema,
	      .doc = "Communities that the route has."),
	FIELD(struct filter_rule, asPathPrefix, 7, F_I64, .flags = FF_LIST, .min = 1, .max = AS_MAX,
	      .doc = "The AS path begins with these, the neighbour first."),
	FIELD(struct filter_rule, operations, 8, F_OBJ, .flags = FF_LIST, .sub = &operation_schema,
	      .doc = "Done to a route that is accepted."),
};
static const SCHEMA(rule_schema, "BGPFilterRule", struct filter_rule, rule_fields);

typedef TYPE_OF(struct bgpfilter, spec) filter_spec;
static const struct field filter_spec_fields[] = {
	FIELD(filter_spec, importV4, 1, F_OBJ, .flags = FF_LIST, .sub = &rule_schema,
	      .doc = "IPv4 routes that the peer tells us; the first rule that holds decides."),
	FIELD(filter_spec, exportV4, 2, F_OBJ, .flags = FF_LIST, .sub = &rule_schema,
	      .doc = "IPv4 routes that we tell the peer."),
	FIELD(filter_spec, importV6, 3, F_OBJ, .flags = FF_LIST, .sub = &rule_schema,
	      .doc = "IPv6 routes that the peer tells us."),
	FIELD(filter_spec, exportV6, 4, F_OBJ, .flags = FF_LIST, .sub = &rule_schema,
	      .doc = "IPv6 routes that we tell the peer."),
};
static const SCHEMA(filter_spec_schema, "BGPFilterSpec", filter_spec, filter_spec_fields);

static const struct field filter_fields[] = {
	METADATA(struct bgpfilter),
	FIELD(struct bgpfilter, spec, 2, F_OBJ, .sub = &filter_spec_schema,
	      .doc = "Rules by direction and family."),
};
const SCHEMA(
	bgpfilter_schema, "BGPFilter", struct bgpfilter, filter_fields,
	.doc = "Which routes are taken from a peer and told to it, and with what attributes; for "
	       "BGPPeers that name it. A route that no rule of the peer's filters decides is "
	       "accepted.");
