// SPDX-License-Identifier: Apache-2.0
/* Sets of the index: whom they select, and what a pod brings into which. A set's text is its
 * identity: for people, and no two sets have the same, as what stands in brackets and behind the
 * colon has neither in it. */
#include "core/policy/index_state.h"

#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

/* ---- what a pod brings */

/* The node's DNS is by itself only while it counts as nobody else. */
static bool is_selectable(const struct policy_index *x, const struct policy_pod *p)
{
	return policy_knows_pod(p->pod) && (p != x->dns.itself || !x->dns.pods);
}

static bool selects(const struct policy_sel *s, const struct policy_pod *p)
{
	if (s->namespaces && !selector_match(s->namespaces, p->ns->labels))
		return false;
	return !s->pods || selector_match(s->pods, &p->pod->meta.labels);
}

static int bring_selected(struct policy_index *x, struct policy_pod *p, struct policy_sel *sels)
{
	for (struct policy_sel *s = sels; s; s = s->next)
		if (selects(s, p) && policy_edge_add(x, p, s))
			return -ENOMEM;
	return 0;
}

static const char *port_text(uint8_t proto, const char *name, struct arena *a)
{
	return arena_printf(a, "port %s/%s", name, name_of(&protocol_names, proto));
}

static struct policy_sel *find(const struct policy_index *x, const char *text)
{
	struct policy_sel *s;

	HASH_FIND_STR(x->sels, text, s);
	return s;
}

static bool has_edge(const struct policy_pod *p, const struct policy_sel *s)
{
	for (const struct policy_edge *e = p->edges; e; e = e->next)
		if (e->sel == s)
			return true;
	return false;
}

static int bring_ports(struct policy_index *x, struct policy_pod *p)
{
	const struct container_port *cp;

	for (uint32_t i = 0; (cp = policy_pod_port(p->pod, i)); i++) {
		struct policy_sel *s;
		const char *text;

		if (!cp->name || !*cp->name)
			continue;
		arena_reset(&x->scratch);
		text = port_text(policy_protocol(cp->protocol), cp->name, &x->scratch);
		s = text ? find(x, text) : NULL;
		/* An edge brings all ports of its name. */
		if (!text || (s && !has_edge(p, s) && policy_edge_add(x, p, s)))
			return -ENOMEM;
	}
	return 0;
}

static void add_address(struct policy_index *x, struct policy_pod *p, const struct ipaddr *addr)
{
	struct policy_address *a = &p->addresses[p->n_addresses];

	if (!addr->family)
		return;
	for (uint32_t i = 0; i < p->n_addresses; i++)
		if (addr_eq(&p->addresses[i].addr, addr))
			return;
	a->addr = *addr;
	a->pod = p;
	HASH_ADD(hh, x->addresses, addr, sizeof(a->addr), a);
	if (a->hh.tbl)
		p->n_addresses++;
}

static int bring_addresses(struct policy_index *x, struct policy_pod *p)
{
	const struct pod *pod = p->pod;
	uint32_t n = p->subject.n_addrs;

	p->addresses = calloc((size_t)n + p->n_elsewhere + pod->status.podIPs.n + 1,
			      sizeof(*p->addresses));
	if (!p->addresses)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		add_address(x, p, &p->wired[i]);
	if (n)
		return 0;
	for (uint32_t i = 0; i < p->n_elsewhere; i++)
		add_address(x, p, &p->elsewhere[i]);
	add_address(x, p, &pod->status.podIP);
	for (uint32_t i = 0; i < pod->status.podIPs.n; i++)
		add_address(x, p, &pod->status.podIPs.v[i].ip);
	return 0;
}

static int bring(struct policy_index *x, struct policy_pod *p)
{
	int rc;

	if (!policy_knows_pod(p->pod))
		return 0;
	policy_dns_joins(x, p);
	rc = bring_addresses(x, p);
	if (rc || !is_selectable(x, p))
		return rc;
	rc = bring_selected(x, p, p->ns->sels);
	if (!rc)
		rc = bring_selected(x, p, x->wide);
	return rc ? rc : bring_ports(x, p);
}

int policy_pod_bring(struct policy_index *x, struct policy_pod *p)
{
	int rc, settled;

	/* Where all of a namespace are brought, one before it may have settled it. */
	if (p == x->dns.itself)
		policy_pod_withdraw(x, p);
	rc = bring(x, p);
	settled = policy_dns_settle(x);
	return rc ? rc : settled;
}

void policy_pod_withdraw(struct policy_index *x, struct policy_pod *p)
{
	struct policy_edge *edge, *next;

	DL_FOREACH_SAFE(p->edges, edge, next)
	{
		policy_edge_drop(x, edge);
	}
	policy_dns_leaves(x, p);
	for (uint32_t i = 0; i < p->n_addresses; i++)
		HASH_DEL(x->addresses, &p->addresses[i]);
	free(p->addresses);
	p->addresses = NULL;
	p->n_addresses = 0;
}

const struct pod *policy_index_pod_at(const struct policy_index *x, const struct ipaddr *addr)
{
	const struct policy_address *a;

	HASH_FIND(hh, x->addresses, addr, sizeof(*addr), a);
	return a ? a->pod->pod : NULL;
}

/* ---- copies of selectors, which several policies share and may outlive */

static const char *copy_text(struct arena *a, const char *s)
{
	return s ? arena_strdup(a, s) : NULL;
}

static struct label_selector *copy_selector(const struct label_selector *from, struct arena *a)
{
	struct label_selector *s = arena_alloc(a, sizeof(*s));

	if (!s)
		return NULL;
	for (uint32_t i = 0; i < from->matchLabels.n; i++)
		if (strmap_put(&s->matchLabels, a, from->matchLabels.v[i].key,
			       from->matchLabels.v[i].value))
			return NULL;
	s->matchExpressions.v =
		arena_array(a, from->matchExpressions.n, sizeof(*s->matchExpressions.v));
	if (!s->matchExpressions.v)
		return NULL;
	for (uint32_t i = 0; i < from->matchExpressions.n; i++) {
		const struct label_requirement *r = &from->matchExpressions.v[i];
		struct label_requirement *to = &s->matchExpressions.v[s->matchExpressions.n++];

		to->op = r->op;
		to->key = copy_text(a, r->key);
		to->values.v = arena_array(a, r->values.n, sizeof(*to->values.v));
		if (!to->values.v)
			return NULL;
		for (uint32_t k = 0; k < r->values.n; k++)
			to->values.v[to->values.n++] = copy_text(a, r->values.v[k]);
	}
	return a->failed ? NULL : s;
}

/* ---- sets in use */

static const char *peer_text(const char *ns, const struct policy_peer *peer, struct arena *a)
{
	static const struct label_selector all = { .matchLabels = { 0 } };
	const char *pods = selector_text(peer->podSelector ? peer->podSelector : &all, a);
	const char *where = ns;

	if (peer->namespaceSelector)
		where = selector_text(peer->namespaceSelector, a);
	if (!where || !pods)
		return NULL;
	if (peer->namespaceSelector)
		where = *where ? arena_printf(a, "namespaces [%s]", where) : "all namespaces";
	if (!where)
		return NULL;
	return *pods ? arena_printf(a, "pods of %s: %s", where, pods)
		     : arena_printf(a, "all pods of %s", where);
}

/* Reads no Pod: a mirror may have freed them before the index. */
static void sel_free(struct policy_index *x, struct policy_sel *s)
{
	struct policy_edge *edge, *next;
	struct policy_ns *ns = s->ns;

	DL_FOREACH_SAFE2(s->edges, edge, next, next_of_sel)
	{
		policy_edge_free(edge);
	}
	policy_members_fini(x, s);
	if (ns)
		DL_DELETE(ns->sels, s);
	else if (!s->port)
		DL_DELETE(x->wide, s);
	HASH_DEL(x->sels, s);
	arena_fini(&s->mem);
	free(s);
	x->stats.sets--;
	if (ns)
		policy_ns_sweep(x, ns);
}

/* By its text alone, whom it selects comes after. */
static struct policy_sel *sel_make(struct policy_index *x, const char *text)
{
	struct policy_sel *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	arena_init(&s->mem, 0);
	s->set.text = arena_strdup(&s->mem, text);
	if (s->set.text)
		HASH_ADD_KEYPTR(hh, x->sels, s->set.text, strlen(s->set.text), s);
	if (s->hh.tbl) {
		x->stats.sets++;
		return s;
	}
	arena_fini(&s->mem);
	free(s);
	return NULL;
}

static int select_in(struct policy_index *x, struct policy_sel *s, struct policy_ns *ns)
{
	for (struct policy_pod *p = ns->pods; p; p = p->next)
		if (is_selectable(x, p) && selects(s, p) && policy_edge_add(x, p, s))
			return -ENOMEM;
	return 0;
}

static int has_port(struct policy_index *x, struct policy_sel *s, struct policy_pod *p)
{
	const struct container_port *cp;

	for (uint32_t i = 0; is_selectable(x, p) && (cp = policy_pod_port(p->pod, i)); i++)
		if (text_eq(cp->name, s->port) && policy_protocol(cp->protocol) == s->proto)
			return policy_edge_add(x, p, s);
	return 0;
}

/* Who is there already. */
static int fill(struct policy_index *x, struct policy_sel *s)
{
	int rc = 0;

	if (s->ns)
		return select_in(x, s, s->ns);
	for (struct by_name *b = s->port ? x->pods : NULL; b && !rc; b = by_name_next(b))
		rc = has_port(x, s, (struct policy_pod *)b);
	for (struct by_name *b = s->port ? NULL : x->namespaces; b && !rc; b = by_name_next(b))
		rc = select_in(x, s, (struct policy_ns *)b);
	return rc;
}

/* A new set is right from the start: nobody was told of it before. */
static struct policy_set *used(struct policy_index *x, struct policy_sel *s)
{
	if (fill(x, s)) {
		sel_free(x, s);
		return NULL;
	}
	s->users = 1;
	return &s->set;
}

/* One more use of the set of this text (NULL: no memory); `fresh`: of a new one, to be filled in. */
static struct policy_sel *get(struct policy_index *x, const char *text, bool *fresh)
{
	struct policy_sel *s = text ? find(x, text) : NULL;

	*fresh = !s;
	if (s)
		s->users++;
	else if (text)
		s = sel_make(x, text);
	return s;
}

struct policy_set *policy_set_use_peer(struct policy_index *x, const char *ns,
				       const struct policy_peer *peer)
{
	struct policy_sel *s;
	bool copied = true, fresh;

	arena_reset(&x->scratch);
	s = get(x, peer_text(ns, peer, &x->scratch), &fresh);
	if (!s || !fresh)
		return s ? &s->set : NULL;
	if (peer->namespaceSelector) {
		s->namespaces = copy_selector(peer->namespaceSelector, &s->mem);
		copied = s->namespaces != NULL;
		DL_APPEND(x->wide, s);
	} else {
		s->ns = policy_ns_get(x, ns, true);
		copied = s->ns != NULL;
		if (s->ns)
			DL_APPEND(s->ns->sels, s);
		else
			DL_APPEND(x->wide, s);
	}
	if (peer->podSelector) {
		s->pods = copy_selector(peer->podSelector, &s->mem);
		copied &= s->pods != NULL;
	}
	if (copied)
		return used(x, s);
	sel_free(x, s);
	return NULL;
}

struct policy_set *policy_set_use_port(struct policy_index *x, uint8_t proto, const char *name)
{
	struct policy_sel *s;
	bool fresh;

	arena_reset(&x->scratch);
	s = get(x, port_text(proto, name, &x->scratch), &fresh);
	if (!s || !fresh)
		return s ? &s->set : NULL;
	s->proto = proto;
	s->port = arena_strdup(&s->mem, name);
	if (s->port)
		return used(x, s);
	s->port = ""; /* it is in no list of selectors */
	sel_free(x, s);
	return NULL;
}

void policy_set_release(struct policy_index *x, struct policy_set *set)
{
	struct policy_sel *s = (struct policy_sel *)set;

	if (!--s->users)
		sel_free(x, s);
}

void policy_sets_fini(struct policy_index *x)
{
	struct policy_sel *s, *next;

	HASH_ITER(hh, x->sels, s, next)
	{
		sel_free(x, s);
	}
}
