// SPDX-License-Identifier: Apache-2.0
/* doctor_nft: which base chains of others drop what pods send? Only their outline is read: hook,
 * policy, rules without a condition, and whether some rule of the table accepts what names a pool
 * or a pod's link. A drop with a condition is the administrator's word and not looked at. */
#include "cmd/doctor.h"
#include "core/nft/build.h"
#include "sys/nl.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

#define CHAINS 64

struct look {
	struct doctor_facts *f;
	struct arena *a;
	struct nl *nl;
};

static int dump(struct nl *nl, uint8_t family, uint16_t what, const char *table, struct buf *out)
{
	struct nl_batch b;
	struct nlmsghdr *nlh;
	struct err e;
	int rc = -1;

	nl_batch_init(&b);
	nlh = nl_batch_add(&b, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | what), NLM_F_DUMP,
			   sizeof(struct nfgenmsg));
	if (nlh) {
		((struct nfgenmsg *)mnl_nlmsg_get_payload(nlh))->nfgen_family = family;
		if (table)
			mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, table);
		rc = nl_talk(nl, &b, out, &e);
	}
	nl_batch_fini(&b);
	return rc;
}

/* The attribute `type` among those in [p, p + n), or NULL; shorter than `least` does not count. */
static const struct nlattr *find(const void *p, size_t n, uint16_t type, size_t least)
{
	const struct nlattr *attr;

	mnl_attr_for_each_payload(p, n)
	{
		if (mnl_attr_get_type(attr) == type)
			return mnl_attr_get_payload_len(attr) >= least ? attr : NULL;
	}
	return NULL;
}

static const struct nlattr *within(const struct nlattr *nest, uint16_t type, size_t least)
{
	return nest ? find(mnl_attr_get_payload(nest), mnl_attr_get_payload_len(nest), type, least)
		    : NULL;
}

static const struct nlattr *of(const struct nlmsghdr *nlh, uint16_t type, size_t least)
{
	size_t skip = MNL_ALIGN(sizeof(struct nfgenmsg));

	if (mnl_nlmsg_get_payload_len(nlh) < skip)
		return NULL;
	return find((const char *)mnl_nlmsg_get_payload(nlh) + skip,
		    mnl_nlmsg_get_payload_len(nlh) - skip, type, least);
}

static const char *text_of(struct look *l, const struct nlattr *attr)
{
	return attr ? arena_strndup(
			      l->a, mnl_attr_get_payload(attr),
			      strnlen(mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr)))
		    : NULL;
}

static uint32_t number_of(const struct nlattr *attr)
{
	return ntohl(mnl_attr_get_u32(attr));
}

static const char *family_name(uint8_t family)
{
	switch (family) {
	case NFPROTO_INET:
		return "inet";
	case NFPROTO_IPV4:
		return "ip";
	case NFPROTO_IPV6:
		return "ip6";
	}
	return NULL;
}

/* ---- rules */

static bool names_pods(const struct look *l, const struct nlattr *cmp)
{
	const struct nlattr *value = within(within(cmp, NFTA_CMP_DATA, 0), NFTA_DATA_VALUE, 2);
	const void *p;
	size_t n;

	if (!value)
		return false;
	p = mnl_attr_get_payload(value);
	n = mnl_attr_get_payload_len(value);
	if (!memcmp(p, "fl", 2))
		return true;
	for (uint32_t i = 0; i < l->f->pools.n; i++) {
		const struct prefix *cidr = &l->f->pools.v[i].cidr;
		size_t whole = cidr->len / 8;

		if (whole && n >= whole && !memcmp(p, cidr->addr.b, whole))
			return true;
	}
	return false;
}

struct rule {
	bool condition, names_pods, accepts, drops;
};

static void read_verdict(struct rule *r, const struct nlattr *data)
{
	const struct nlattr *verdict =
		within(within(within(data, NFTA_IMMEDIATE_DATA, 0), NFTA_DATA_VERDICT, 0),
		       NFTA_VERDICT_CODE, 4);

	if (verdict) {
		r->accepts |= number_of(verdict) == NF_ACCEPT;
		r->drops |= number_of(verdict) == NF_DROP;
	}
}

static struct rule read_rule(const struct look *l, const struct nlmsghdr *nlh)
{
	const struct nlattr *list = of(nlh, NFTA_RULE_EXPRESSIONS, 0), *attr;
	struct rule r = { 0 };

	if (!list)
		return r;
	mnl_attr_for_each_nested(attr, list)
	{
		const struct nlattr *name = within(attr, NFTA_EXPR_NAME, 1);
		const struct nlattr *data = within(attr, NFTA_EXPR_DATA, 0);
		const char *n = name ? mnl_attr_get_str(name) : "?";

		if (!strcmp(n, "immediate"))
			read_verdict(&r, data);
		else if (!strcmp(n, "reject"))
			r.drops = true;
		else if (strcmp(n, "counter") != 0 && strcmp(n, "log") != 0)
			r.condition = true;
		if (!strcmp(n, "cmp") && data)
			r.names_pods |= names_pods(l, data);
	}
	return r;
}

static void read_rules(struct look *l, uint8_t family, struct doctor_chain *c)
{
	const struct nlmsghdr *nlh;
	struct buf b = { 0 };
	size_t at = 0;

	if (!dump(l->nl, family, NFT_MSG_GETRULE, c->table, &b))
		while ((nlh = nl_walk(b.v, b.n, &at))) {
			const char *chain = text_of(l, of(nlh, NFTA_RULE_CHAIN, 1));
			struct rule r = read_rule(l, nlh);
			bool here = chain && !strcmp(chain, c->chain);

			if (r.accepts && (r.names_pods || (here && !r.condition && !c->drops)))
				c->accepts_pods = true;
			if (here && r.drops && !r.condition)
				c->drops = true;
		}
	buf_fini(&b);
}

/* ---- chains */

static void read_chain(struct look *l, const struct nlmsghdr *nlh)
{
	const struct nfgenmsg *nfg = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *hook = within(of(nlh, NFTA_CHAIN_HOOK, 0), NFTA_HOOK_HOOKNUM, 4);
	const struct nlattr *policy = of(nlh, NFTA_CHAIN_POLICY, 4);
	struct doctor_chain c = { .table = text_of(l, of(nlh, NFTA_CHAIN_TABLE, 1)),
				  .chain = text_of(l, of(nlh, NFTA_CHAIN_NAME, 1)) };
	uint32_t at = hook ? number_of(hook) : NF_INET_NUMHOOKS;
	bool policy_drops = policy && number_of(policy) == NF_DROP;

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*nfg))
		return;
	c.family = family_name(nfg->nfgen_family);
	if (!c.family || !c.table || !c.chain || !strcmp(c.table, NFT_TABLE) ||
	    l->f->chains.n == CHAINS || (at != NF_INET_FORWARD && at != NF_INET_LOCAL_IN))
		return;
	c.forward = at == NF_INET_FORWARD;
	read_rules(l, nfg->nfgen_family, &c);
	/* The policy counts after all rules. */
	c.drops |= policy_drops;
	l->f->chains.v[l->f->chains.n++] = c;
}

void doctor_look_nft(struct doctor_facts *f, struct arena *a)
{
	struct look l = { .f = f, .a = a };
	const struct nlmsghdr *nlh;
	struct buf b = { 0 };
	struct err e;
	size_t at = 0;

	f->chains.v = arena_array(a, CHAINS, sizeof(*f->chains.v));
	l.nl = nl_open(NETLINK_NETFILTER, &e);
	if (l.nl && f->chains.v && !dump(l.nl, NFPROTO_UNSPEC, NFT_MSG_GETCHAIN, NULL, &b)) {
		f->has_nft = true;
		while ((nlh = nl_walk(b.v, b.n, &at)))
			read_chain(&l, nlh);
	}
	nl_close(l.nl);
	buf_fini(&b);
}
