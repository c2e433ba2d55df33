/* SPDX-License-Identifier: Apache-2.0 */
/* services: see services.h. One put() makes the Service's ports and facts anew, taking from the
 * old ones what stays, and says what became different. */
#include "core/nft/services_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what the plans claim */

static int copy_sources(struct nft_putting *p, const struct svc_plan *plan)
{
	unsigned i = plan->family == AF_INET6;
	struct nft_sources *v;

	if (!plan->sources.n)
		return 0;
	v = calloc(1, sizeof(*v) + plan->sources.n * sizeof(v->v[0]));
	if (!v)
		return -ENOMEM;
	free(p->sources[i]);
	p->sources[i] = v;
	v->node = plan->sources_node;
	for (uint32_t j = 0; j < plan->sources.n; j++) {
		struct prefix net = prefix_mask(&plan->sources.v[j]);
		bool known = net.addr.family != plan->family;

		/* The kernel refuses intervals that overlap. */
		for (uint32_t k = 0; k < plan->sources.n && !known; k++) {
			struct prefix other = prefix_mask(&plan->sources.v[k]);

			known = prefix_covers(&other, &net) && (!prefix_eq(&other, &net) || k < j);
		}
		if (!known)
			v->v[v->n++] = net;
	}
	return 0;
}

static const struct nft_port *port_of(const struct nft_putting *p, const struct svc_plan *plan,
				      const struct svc_port *q)
{
	for (uint32_t i = 0; i < p->n_ports; i++)
		if (p->ports[i].family == plan->family && p->ports[i].proto == q->proto &&
		    !strcmp(p->ports[i].name, q->name))
			return &p->ports[i];
	return NULL;
}

static int claim_front(struct nft_putting *p, const struct svc_plan *plan,
		       const struct svc_front *f)
{
	const struct nft_port *port = port_of(p, plan, f->port);
	struct nft_front_value v = { .refuse = f->refuse, .masq = f->masq };
	struct nft_fact_key key = nft_front_fact(plan, f);

	if (!port)
		return 0;
	v.port = port->name;
	v.id = nft_port_id(port, f->way);
	if (f->kind == SVC_LOAD_BALANCER)
		v.sources = p->sources[plan->family == AF_INET6];
	return nft_fact_hold(p, &key, &v);
}

static int claim_hairpins(struct nft_putting *p, const struct svc_plan *plan)
{
	static const struct nft_front_value none = { .port = "" };

	for (uint32_t i = 0; i < plan->ports.n; i++) {
		const struct svc_port *q = &plan->ports.v[i];

		for (uint32_t j = 0; j < q->endpoints.n; j++) {
			const struct svc_endpoint *ep = &q->endpoints.v[j];
			struct nft_fact_key key =
				nft_fact_key(NFT_FACT_HAIRPIN, &ep->ip, plan->family);

			if (ep->local && nft_fact_hold(p, &key, &none))
				return -ENOMEM;
		}
	}
	return 0;
}

static int claim(struct nft_putting *p, const struct svc_plan *plan)
{
	static const struct nft_front_value none = { .port = "" };
	struct nft_fact_key key = nft_fact_key(plan->left ? NFT_FACT_LEFT_IP : NFT_FACT_CLUSTER_IP,
					       &plan->cluster_ip, plan->family);
	int rc = copy_sources(p, plan);

	if (!rc && plan->cluster_ip.family)
		rc = nft_fact_hold(p, &key, &none);
	for (uint32_t i = 0; !rc && i < plan->fronts.n; i++)
		rc = claim_front(p, plan, &plan->fronts.v[i]);
	return rc ? rc : claim_hairpins(p, plan);
}

static int cmp_facts(const void *x, const void *y)
{
	const struct nft_fact *a = *(struct nft_fact *const *)x, *b = *(struct nft_fact *const *)y;

	return (a > b) - (a < b);
}

/* Each once, so that what was held before and is not now can be told. */
static void sort_facts(struct nft_putting *p)
{
	uint32_t n = 0;

	if (p->n_facts)
		qsort(p->facts, p->n_facts, sizeof(*p->facts), cmp_facts);
	for (uint32_t i = 0; i < p->n_facts; i++)
		if (!n || p->facts[n - 1] != p->facts[i])
			p->facts[n++] = p->facts[i];
	p->n_facts = n;
}

static void release_old(struct nft_putting *p)
{
	struct nft_service *v = p->service;

	for (uint32_t i = 0, j = 0; i < v->n_facts; i++) {
		while (j < p->n_facts && p->facts[j] < v->facts[i])
			j++;
		if (j == p->n_facts || p->facts[j] != v->facts[i])
			nft_fact_release(p->s, p->ops, v->facts[i], v);
	}
}

/* ---- put */

static void free_ports(struct nft_port *v, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		for (unsigned g = 0; g < SVC_GROUPS; g++)
			nft_group_fini(&v[i].groups[g]);
		free(v[i].name);
	}
	free(v);
}

/* The new ports and facts are the Service's; the old ones end. */
static void settle(struct nft_putting *p)
{
	struct nft_service *v = p->service;

	sort_facts(p);
	release_old(p);
	for (uint32_t i = 0; i < v->n_ports; i++)
		nft_port_set(p, NULL, NULL, &v->ports[i]);
	free_ports(v->ports, v->n_ports);
	v->ports = p->ports;
	v->n_ports = p->n_ports;
	free(v->facts);
	v->facts = p->facts;
	v->n_facts = p->n_facts;
	for (unsigned i = 0; i < 2; i++) {
		free(v->sources[i]);
		v->sources[i] = p->sources[i];
	}
}

static struct nft_service *service_of(struct nft_services *s, const char *ns, const char *name,
				      bool make)
{
	size_t len = strlen(ns) + strlen(name) + 2;
	char *key = malloc(len);
	struct nft_service *v = NULL;

	if (!key)
		return NULL;
	snprintf(key, len, "%s/%s", ns, name);
	HASH_FIND_STR(s->services, key, v);
	if (!v && make)
		v = calloc(1, sizeof(*v));
	if (!v || v->key) {
		free(key);
		return v;
	}
	v->key = key;
	HASH_ADD_KEYPTR(hh, s->services, v->key, len - 1, v);
	if (v->hh.tbl)
		return v;
	free(v->key);
	free(v);
	return NULL;
}

static void forget(struct nft_services *s, struct nft_service *v)
{
	HASH_DEL(s->services, v);
	free(v->facts);
	free_ports(v->ports, v->n_ports);
	free(v->sources[0]);
	free(v->sources[1]);
	free(v->key);
	free(v);
}

int nft_services_put(struct nft_services *s, const char *ns, const char *name,
		     const struct svc_plan *plans, size_t n, struct nft_ops *ops, struct err *e)
{
	struct nft_putting p = { .s = s, .plans = plans, .n_plans = n, .ops = ops, .e = e };
	int rc;

	p.service = service_of(s, ns, name, n > 0);
	if (!p.service)
		return n ? err_set(e, -ENOMEM, "no memory") : 0;
	rc = nft_ports_make(&p);
	for (size_t i = 0; i < n && !rc; i++)
		if (!plans[i].absent || plans[i].left)
			rc = claim(&p, &plans[i]);
	settle(&p);
	if (!n)
		forget(s, p.service);
	nft_numbers_sweep(s, ops);
	nft_ops_step(ops);
	if (rc || p.rc == -ENOMEM || ops->arena->failed)
		return err_set(e, -ENOMEM, "no memory");
	return p.rc;
}

/* ---- everything */

/* Does the table want elements of the set? */
static bool is_open(const struct nft_sink *to, const struct nft_set *set)
{
	const struct nft_set *s = to->sets[set->at];

	return s && (!s->table->rs->filter || s->wanted);
}

static bool wants_ports(const struct nft_services *s, const struct nft_sink *to)
{
	bool open = is_open(to, s->sets.sizes) || is_open(to, s->sets.to_all) ||
		    is_open(to, s->sets.to_local) || is_open(to, s->sets.affinity_slots);

	for (unsigned f = 0; f < 2; f++)
		for (unsigned p = PROTO_TCP; p <= PROTO_SCTP; p++)
			open |= is_open(to, s->sets.endpoints[f][p]) ||
				is_open(to, s->sets.kept[f][p]);
	return open;
}

/* `sources` are looked at for themselves: they are intervals, which are wanted always. */
static bool wants_fronts(const struct nft_services *s, const struct nft_sink *to)
{
	bool open = false;

	for (unsigned f = 0; f < 2; f++)
		open |= is_open(to, s->sets.vip[f]) || is_open(to, s->sets.nodeport[f]) ||
			is_open(to, s->sets.refused[f]) ||
			is_open(to, s->sets.refused_nodeport[f]) || is_open(to, s->sets.masq[f]) ||
			is_open(to, s->sets.masq_nodeport[f]) || is_open(to, s->sets.restricted[f]);
	return open;
}

static void render_ports(const struct nft_services *s, const struct nft_sink *to,
			 const struct nft_service *v)
{
	for (uint32_t i = 0; i < v->n_ports; i++) {
		const struct nft_port *p = &v->ports[i];

		for (unsigned g = 0; g < SVC_GROUPS; g++) {
			const struct nft_group *gr = &p->groups[g];

			for (uint32_t k = 0; k < gr->choice.count; k++) {
				nft_slot_elem(s, to, gr, k, &gr->slots[k], true);
				if (gr->slots[k].kept)
					nft_kept_elem(s, to, &gr->choice, &gr->slots[k], true);
			}
			if (gr->id)
				nft_size_elem(s, to, gr->id, gr->number, true);
			if (p->chooser && gr->id)
				nft_way_elem(s, to, g, p->chooser, gr->id, true);
		}
		if (p->chooser)
			nft_size_elem(s, to, p->chooser, NFT_CHOOSER, true);
	}
}

static void render_facts(const struct nft_services *s, const struct nft_sink *to)
{
	bool fronts = wants_fronts(s, to);

	for (const struct nft_fact *f = s->facts; f; f = f->hh.next)
		switch ((enum nft_fact_kind)f->key.kind) {
		case NFT_FACT_FRONT:
		case NFT_FACT_NODE_PORT:
			if (fronts || nft_fact_first(f)->value.sources)
				nft_front_elems(s, to, &f->key, NULL, nft_fact_first(f));
			break;
		case NFT_FACT_CLUSTER_IP:
		case NFT_FACT_LEFT_IP:
		case NFT_FACT_HAIRPIN:
			nft_address_elem(s, to, &f->key, true);
			break;
		case NFT_FACT_AFFINITY6:
			break;
		}
}

void nft_services_render(const struct nft_services *s, struct nft_table *t)
{
	struct nft_sink to = { 0 };

	nft_service_frame(t, &s->node);
	to.sets = arena_array(t->rs->arena, s->frame->n_sets, sizeof(struct nft_set *));
	for (uint32_t i = 0; to.sets && i < s->frame->n_sets; i++)
		to.sets[i] = nft_set_get(t, s->frame->sets[i]->name);
	if (!to.sets)
		return;
	for (uint32_t i = NFT_CHOOSER + 1; i < s->n_numbers; i++)
		if (s->numbers[i].choice.count) {
			nft_choice_chain(t, &s->numbers[i].choice);
			nft_number_elem(s, &to, i, true);
		}
	if (wants_ports(s, &to))
		for (const struct nft_service *v = s->services; v; v = v->hh.next)
			render_ports(s, &to, v);
	render_facts(s, &to);
}

void nft_services_count(const struct nft_services *s, struct nft_services_stats *out)
{
	*out = (struct nft_services_stats){ .services = HASH_COUNT(s->services),
					    .fronts = s->n_fronts,
					    .endpoints = s->n_slots };
}

/* ---- life */

static bool copy_prefixes(struct arena *a, const struct prefix *v, uint32_t n, struct prefix **out)
{
	*out = arena_memdup(a, v, n * sizeof(*v));
	return *out || !n;
}

struct nft_services *nft_services_new(const struct svc_node *node)
{
	struct nft_services *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	arena_init(&s->mem, 0);
	s->node.localhost_node_ports = node->localhost_node_ports;
	s->node.services.n = node->services.n;
	s->node.nodePortAddresses.n = node->nodePortAddresses.n;
	s->n_numbers = NFT_CHOOSER + 1;
	nft_ruleset_init(&s->rs, &s->mem);
	s->frame = nft_table_add(&s->rs, NFPROTO_INET, NFT_TABLE);
	if (!copy_prefixes(&s->mem, node->services.v, node->services.n, &s->node.services.v) ||
	    !copy_prefixes(&s->mem, node->nodePortAddresses.v, node->nodePortAddresses.n,
			   &s->node.nodePortAddresses.v)) {
		nft_services_free(s);
		return NULL;
	}
	nft_service_frame(s->frame, &s->node);
	if (!nft_service_find_sets(s->frame, &s->sets) || s->mem.failed) {
		nft_services_free(s);
		return NULL;
	}
	return s;
}

void nft_services_free(struct nft_services *s)
{
	struct nft_service *v, *next;
	struct nft_fact *f, *next_fact;

	if (!s)
		return;
	HASH_ITER(hh, s->services, v, next)
	forget(s, v);
	HASH_ITER(hh, s->facts, f, next_fact)
	{
		HASH_DEL(s->facts, f);
		free(f->holders);
		free(f);
	}
	nft_adopted_fini(s);
	arena_fini(&s->mem);
	free(s);
}
