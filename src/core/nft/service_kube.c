// SPDX-License-Identifier: Apache-2.0
/* See service_kube.h, and service_frame.c for the rules. */
#include "core/nft/service_kube.h"

#include "core/nft/service.h"

#include <string.h>

/* Is `name` the set or map that a statement of the rule uses? */
static bool uses(const struct nft_rule *r, const char *name)
{
	for (uint32_t i = 0; i < r->n; i++) {
		const struct nft_stmt *s = &r->v[i];
		const char *set = s->kind == NFS_LOOKUP || s->kind == NFS_VMAP ? s->lookup.set
				  : s->kind == NFS_SET                         ? s->set.src.map
									       : NULL;

		if (set && !strncmp(set, name, strlen(name)))
			return true;
	}
	return false;
}

static const struct nft_stmt *find(const struct nft_rule *r, unsigned kind)
{
	for (uint32_t i = 0; i < r->n; i++)
		if (r->v[i].kind == kind)
			return &r->v[i];
	return NULL;
}

static bool is_random(const struct nft_keys *k)
{
	for (uint32_t i = 0; i < k->n; i++)
		if (k->v[i].key == NFK_NUMGEN_RANDOM)
			return true;
	return false;
}

/* Of the rules of one choice: to an endpoint, which a rule before may have chosen. */
static const char *choice_kube(const struct nft_rule *r, bool local)
{
	const struct nft_stmt *nat = find(r, NFS_NAT);

	if (nat && !is_random(&nat->nat.keys))
		return "KUBE-SEP-*";
	if (nat)
		return local ? "KUBE-SVL-*, KUBE-SEP-*" : "KUBE-SVC-*, KUBE-SEP-*";
	if (find(r, NFS_DYNSET))
		return local ? "KUBE-SVL-*" : "KUBE-SVC-*";
	return NULL;
}

/* By the chain alone, or, where `set` is given, by what its rule looks into. The first that fits. */
static const struct {
	const char *chain, *set, *kube;
} table[] = {
	{ "service-check", "restricted", "KUBE-FW-*" },
	{ "service-check", "refused_nodeport", "KUBE-EXTERNAL-SERVICES" },
	{ "service-check", "refused", "KUBE-SERVICES" },
	{ "service-reject", NULL, "KUBE-SERVICES" },
	{ "service-drop-outside", NULL, "KUBE-EXTERNAL-SERVICES" },
	{ "service-in", NULL, "PREROUTING" },
	{ "service-out", NULL, "OUTPUT" },
	{ "services", "nodeport", "KUBE-NODEPORTS" },
	{ "services", "vip", "KUBE-SERVICES" },
	{ "service-choose", NULL, "KUBE-EXT-*" },
	{ "service-choose-all", NULL, "KUBE-EXT-*" },
	{ "service-postrouting", NULL, "KUBE-POSTROUTING" },
	{ "service-masq", NULL, "KUBE-MARK-MASQ" },
	{ "service-masq-always", NULL, "KUBE-POSTROUTING" },
	{ "service-masq-unless-pod", NULL, "KUBE-POSTROUTING" },
	{ "service-masq-if-node", NULL, "KUBE-POSTROUTING" },
};

const char *nft_kube_chain(const char *c, const struct nft_rule *r, bool *local)
{
	struct nft_choice choice;

	*local |= uses(r, "to_local");
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (!strcmp(c, table[i].chain) && (!table[i].set || uses(r, table[i].set)))
			return table[i].kube;
	return nft_choice_parse(c, &choice) ? choice_kube(r, *local) : NULL;
}
