/* SPDX-License-Identifier: Apache-2.0 */
/* A node with policies: each way in which a peer and a port become a rule, in both directions and both
 * families, a long name, a policy without rules, and two pods with other lists of policies. */
#include "core/nft/policies.h"
#include "nft_cases.h"

#include <assert.h>
#include <string.h>

#define N(v) (sizeof(v) / sizeof((v)[0]))
#define LABELS(v)                                                                                  \
	{                                                                                          \
		(v), N(v)                                                                          \
	}

static struct strmap_entry web[] = { { "app", "web" } }, db[] = { { "app", "db" } },
			   team[] = { { "team", "a" } };
static struct label_selector all, is_web = { LABELS(web) }, is_db = { LABELS(db) },
				  is_team = { LABELS(team) };

static struct container_port named[] = {
	{ .name = "http", .containerPort = 8080 },
	{ .name = "dns", .containerPort = 53, .protocol = PROTO_UDP }
};
static struct container containers[] = { { .name = "c", .ports = LABELS(named) } };

static const char *const excepts[] = { "10.1.0.0/16", "10.1.2.0/24", "10.0.0.0/24" },
			 *const excepts6[] = { "2001:db8:1::/48" };
static struct ip_block net4 = { "192.0.2.0/24", { NULL, 0 } }, any4 = { "0.0.0.0/0", { NULL, 0 } },
		       net6 = { "2001:db8::/32", { (const char **)excepts6, 1 } },
		       holes = { "10.0.0.0/8", { (const char **)excepts, 3 } };

static struct policy_peer peers[] = {
	{ .podSelector = &is_web },
	{ .namespaceSelector = &is_team },
	{ .namespaceSelector = &all, .podSelector = &is_db },
	{ .ipBlock = &net4 },
	{ .ipBlock = &any4 },
	{ .ipBlock = &net6 },
	{ .ipBlock = &holes },
};

static struct policy_port one[] = { { .port = { INTSTR_INT, 80, NULL } } },
			  whole[] = { { .protocol = PROTO_SCTP } },
			  mixed[] = { { .port = { INTSTR_INT, 443, NULL } },
				      { .port = { INTSTR_INT, 8000, NULL },
					.endPort = { 1, 8010 } },
				      { .protocol = PROTO_UDP },
				      { .port = { INTSTR_STR, 0, "http" } },
				      { .port = { INTSTR_STR, 0, "dns" }, .protocol = PROTO_UDP } },
			  range[] = { { .port = { INTSTR_INT, 7000, NULL },
					.endPort = { 1, 7010 } } };

static struct policy_rule rules[] = {
	{ .ports = LABELS(one), .peers = LABELS(peers) },
	{ .ports = LABELS(mixed), .peers = { peers, 2 } },
	{ .ports = LABELS(whole) },
	{ .ports = LABELS(range) },
	{ .peers = { peers + 3, 1 } },
};
static struct policy_rule everything[] = { { .ports = { NULL, 0 } } };

static uint8_t both[] = { POLICY_INGRESS, POLICY_EGRESS };

static struct network_policy policies[] = {
	{ { .namespace = "shop", .name = "all-kinds" },
	  { { .matchLabels = LABELS(web) }, LABELS(both), LABELS(rules), LABELS(rules) } },
	{ { .namespace = "shop", .name = "deny" }, { .podSelector = { { NULL, 0 } } } },
	{ { .namespace = "shop",
	    .name = "a-policy-whose-name-is-very-long.a-policy-whose-name-is-very-long.a-policy-"
		    "whose-"
		    "name-is-very-long.a-policy-whose-name-is-very-long.a-policy-whose-name-is-"
		    "very-"
		    "long.a-policy-whose-name-is-very-long" },
	  { .podSelector = { .matchLabels = LABELS(db) }, .ingress = LABELS(everything) } },
};

static struct namespace_obj shop = { { .name = "shop", .labels = LABELS(team) } };
static struct pod pods[] = {
	{ .meta = { .namespace = "shop", .name = "web", .labels = LABELS(web) },
	  .spec = { .containers = LABELS(containers) } },
	{ .meta = { .namespace = "shop", .name = "db", .labels = LABELS(db) } },
};

static void tell(struct policy_index *x, unsigned kind, void *body)
{
	const struct object o = { .kind = kind_by_id(kind), .meta = body, .body = body };
	struct err e;

	if (policy_index_changed(x, NULL, &o, &e))
		assert(!"no memory");
}

void nft_case_policies(struct nft_ruleset *rs)
{
	static const struct ipaddr dns[] = { { AF_INET, { 169, 254, 20, 10 } },
					     { AF_INET6, { 0xfd, 0, 0, 0x96, [15] = 10 } } };
	struct nft_input in = *nft_sample_input();
	struct policy_index *x = policy_index_new();
	struct nft_policies *s = x ? nft_policies_new(x) : NULL;
	struct nft_ops ops;
	struct err e;

	assert(x && s);
	nft_ops_init(&ops, rs->arena);
	tell(x, KIND_NAMESPACE, &shop);
	for (unsigned i = 0; i < N(policies); i++)
		tell(x, KIND_NETWORKPOLICY, &policies[i]);
	for (unsigned i = 0; i < N(pods); i++) {
		tell(x, KIND_POD, &pods[i]);
		if (policy_index_wired(x, "shop", pods[i].meta.name, in.pods[i].addrs,
				       in.pods[i].n_addrs, &e))
			assert(!"no memory");
	}
	in.policies = s;
	in.dns = dns;
	in.n_dns = N(dns);
	if (nft_policies_put(s, &ops, &e) || nft_build(rs, &in, &e))
		assert(!"policies");
	nft_policies_free(s);
	policy_index_free(x);
}
