/* SPDX-License-Identifier: Apache-2.0 */
/* A Service's ports: their groups, and the choosers of externalTrafficPolicy Local. A port is
 * the same one as long as its name, family, protocol and affinity are; with affinity also only as long
 * as no front leaves one of its groups. What a client keeps is an endpoint of the front that it asked, and
 * says not of which group: were the groups to live on, it would go on to where the front does not
 * lead any more, be that past a policy Local or to a Service that had the address before. */
#include "core/nft/services_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct nft_port *find_port(const struct nft_service *v, uint8_t family,
				  const struct svc_port *q, uint32_t affinity)
{
	for (uint32_t i = 0; i < v->n_ports; i++) {
		struct nft_port *p = &v->ports[i];

		if (p->family == family && p->proto == q->proto && p->affinity == affinity &&
		    !strcmp(p->name, q->name))
			return p;
	}
	return NULL;
}

uint32_t nft_port_id(const struct nft_port *port, uint8_t way)
{
	if (way == SVC_TO_LOCAL_FROM_OUTSIDE)
		return port->chooser;
	return port->groups[way == SVC_TO_LOCAL ? SVC_LOCAL : SVC_ALL].id;
}

/* Does the front still lead to what has this id? */
static bool still_leads(const struct svc_plan *plan, const struct svc_port *q,
			const struct nft_port *old, const struct nft_fact_key *key, uint32_t id)
{
	for (uint32_t i = 0; i < plan->fronts.n; i++) {
		const struct svc_front *f = &plan->fronts.v[i];
		struct nft_fact_key now = nft_front_fact(plan, f);

		if (f->port == q && !memcmp(&now, key, sizeof(now)))
			return nft_port_id(old, f->way) == id;
	}
	return false;
}

static bool is_left(const struct nft_putting *p, const struct svc_plan *plan,
		    const struct svc_port *q, const struct nft_port *old)
{
	for (uint32_t i = 0; old->affinity && i < p->service->n_facts; i++) {
		const struct nft_fact *f = p->service->facts[i];
		const struct nft_holder *h = nft_fact_first(f);
		uint32_t id = h->service == p->service ? h->value.id : 0;

		if (id &&
		    (id == old->chooser || id == old->groups[SVC_ALL].id ||
		     id == old->groups[SVC_LOCAL].id) &&
		    !still_leads(plan, q, old, &f->key, id))
			return true;
	}
	return false;
}

/* What is kept of the port, or what the kernel has of it from an earlier run. */
static void take_old(struct nft_putting *p, const struct svc_plan *plan, const struct svc_port *q,
		     struct nft_port *now)
{
	struct nft_port *old = find_port(p->service, now->family, q, now->affinity);

	if (old && is_left(p, plan, q, old))
		return;
	if (old) {
		memcpy(now->groups, old->groups, sizeof(now->groups));
		now->chooser = old->chooser;
		memset(old->groups, 0, sizeof(old->groups));
		old->chooser = 0;
		return;
	}
	for (uint32_t i = 0; i < plan->fronts.n; i++) {
		const struct svc_front *f = &plan->fronts.v[i];
		struct nft_fact_key key;

		if (f->port != q)
			continue;
		key = nft_front_fact(plan, f);
		nft_adopt_port(p->s, &key, f->way == SVC_TO_LOCAL_FROM_OUTSIDE,
			       f->way == SVC_TO_LOCAL ? SVC_LOCAL : SVC_ALL, now);
	}
}

static int set_group(struct nft_putting *p, const struct svc_port *q, struct nft_port *now,
		     enum svc_group group)
{
	const struct nft_choice kind = { .family = now->family,
					 .proto = now->proto,
					 .affinity = now->affinity };
	uint32_t n = q && q->uses[group] ? q->n[group] : 0, k = 0;
	struct nft_slot *v = arena_array(p->ops->arena, n, sizeof(*v));

	if (!v)
		return -ENOMEM;
	for (uint32_t i = 0; k < n && i < q->endpoints.n; i++) {
		const struct svc_endpoint *ep = &q->endpoints.v[i];

		if (ep->out[group] != SVC_IN)
			continue;
		memcpy(v[k].ip, ep->ip.b, sizeof(v[k].ip));
		v[k++].port = ep->port;
	}
	return nft_group_set(p->s, p->ops, &now->groups[group], &kind, v, k, p->e);
}

static bool needs_chooser(const struct svc_plan *plan, const struct svc_port *q)
{
	for (uint32_t i = 0; i < plan->fronts.n; i++) {
		const struct svc_front *f = &plan->fronts.v[i];

		if (f->port == q && f->way == SVC_TO_LOCAL_FROM_OUTSIDE &&
		    f->refuse != SVC_REJECTED)
			return true;
	}
	return false;
}

static void chooser_elems(struct nft_putting *p, uint32_t chooser, const uint32_t old[SVC_GROUPS],
			  const uint32_t now[SVC_GROUPS])
{
	const struct nft_sink to = { .ops = p->ops };

	for (unsigned g = 0; g < SVC_GROUPS; g++) {
		if (old[g] == now[g])
			continue;
		if (old[g])
			nft_way_elem(p->s, &to, g, chooser, old[g], false);
		if (now[g])
			nft_way_elem(p->s, &to, g, chooser, now[g], true);
	}
}

/* `old`: ids of the groups that the chooser led to. */
static int set_chooser(struct nft_putting *p, struct nft_port *now, bool wanted,
		       const uint32_t old[SVC_GROUPS])
{
	static const uint32_t none[SVC_GROUPS];
	const struct nft_sink to = { .ops = p->ops };
	uint32_t ids[SVC_GROUPS];

	for (unsigned g = 0; g < SVC_GROUPS; g++)
		ids[g] = now->groups[g].id;
	if (!wanted) {
		if (!now->chooser)
			return 0;
		chooser_elems(p, now->chooser, old, none);
		nft_size_elem(p->s, &to, now->chooser, NFT_CHOOSER, false);
		nft_id_drop(p->s, now->chooser);
		now->chooser = 0;
		return 0;
	}
	if (now->chooser) {
		chooser_elems(p, now->chooser, old, ids);
		return 0;
	}
	now->chooser = nft_id_take(p->s);
	if (!now->chooser)
		return err_set(p->e, -ENOSPC, "more than %u groups of endpoints",
			       NFT_SERVICE_ID_MASK);
	nft_size_elem(p->s, &to, now->chooser, NFT_CHOOSER, true);
	chooser_elems(p, now->chooser, none, ids);
	return 0;
}

static void note_limit(struct nft_putting *p, int rc)
{
	if (rc && p->rc != -ENOMEM)
		p->rc = rc;
}

void nft_port_set(struct nft_putting *p, const struct svc_plan *plan, const struct svc_port *q,
		  struct nft_port *now)
{
	uint32_t old[SVC_GROUPS];

	for (unsigned g = 0; g < SVC_GROUPS; g++)
		old[g] = now->groups[g].id;
	for (unsigned g = 0; g < SVC_GROUPS; g++)
		note_limit(p, set_group(p, q, now, g));
	note_limit(p, set_chooser(p, now, q && needs_chooser(plan, q), old));
}

static int add_port(struct nft_putting *p, const struct svc_plan *plan, const struct svc_port *q,
		    uint32_t affinity)
{
	struct nft_port *now = &p->ports[p->n_ports];

	*now = (struct nft_port){ .name = strdup(q->name),
				  .family = plan->family,
				  .proto = q->proto,
				  .affinity = affinity };
	if (!now->name)
		return -ENOMEM;
	p->n_ports++;
	take_old(p, plan, q, now);
	nft_port_set(p, plan, q, now);
	return 0;
}

/* Affinity needs the last 32 bits of the Service's IPv6 fronts for itself. */
static int check_affinity(struct nft_putting *p, const struct svc_plan *plan, uint32_t *affinity)
{
	static const struct nft_front_value none = { .port = "" };

	*affinity = plan->affinity;
	for (uint32_t i = 0; *affinity && plan->family == AF_INET6 && i < plan->fronts.n; i++) {
		struct nft_fact_key key = nft_front_fact(plan, &plan->fronts.v[i]);

		if (key.kind != NFT_FACT_FRONT)
			continue;
		key.kind = NFT_FACT_AFFINITY6;
		memset(key.ip, 0, 12);
		if (nft_fact_hold(p, &key, &none))
			return -ENOMEM;
		if (nft_fact_first(nft_fact_get(p->s, &key))->service != p->service) {
			note_limit(p,
				   err_set(p->e, -EEXIST,
					   "no session affinity: %s has an address with the "
					   "same last 32 bits",
					   nft_fact_first(nft_fact_get(p->s, &key))->service->key));
			*affinity = 0;
		}
	}
	return 0;
}

int nft_ports_make(struct nft_putting *p)
{
	size_t cap = 0;

	for (size_t i = 0; i < p->n_plans; i++)
		cap += p->plans[i].ports.n;
	p->ports = calloc(cap + 1, sizeof(*p->ports));
	if (!p->ports)
		return -ENOMEM;
	for (size_t i = 0; i < p->n_plans; i++) {
		const struct svc_plan *plan = &p->plans[i];
		uint32_t affinity;
		int rc = check_affinity(p, plan, &affinity);

		for (uint32_t j = 0; !rc && !plan->absent && j < plan->ports.n; j++)
			rc = add_port(p, plan, &plan->ports.v[j], affinity);
		if (rc)
			return rc;
	}
	return 0;
}
