/* SPDX-License-Identifier: Apache-2.0 */
/* A policy's rules of one direction and one family → rules of the kernel: by
 * peers, one for each way to say the ports. An ipBlock is a prefix, or the intervals that its excepts leave; ports are
 * nothing, one range, or a set, and each name among them a set of its own. What can match
 * nothing, as a block of the other family, becomes no rule. */
#include "core/nft/policies_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct compiling {
	struct nft_policies *s;
	const char *ns;
	unsigned family;
	struct nft_policy_rules *out;
};

/* ---- ports */

struct range {
	uint8_t proto;
	uint16_t from, to;
};

static int by_proto(const void *x, const void *y)
{
	const struct range *a = x, *b = y;

	return a->proto != b->proto ? a->proto - b->proto : a->from - b->from;
}

/* The rule's ports that are numbers: sorted, and no two of a protocol meet. */
static uint32_t ranges(const struct policy_rule *r, struct range *v)
{
	uint32_t n = 0, kept = 0;

	for (uint32_t i = 0; i < r->ports.n; i++) {
		const struct policy_port *p = &r->ports.v[i];
		struct range *x = &v[n];

		*x = (struct range){ policy_protocol(p->protocol), 0, UINT16_MAX };
		if (p->port.type == INTSTR_STR)
			continue;
		if (p->port.type == INTSTR_INT) {
			x->from = (uint16_t)p->port.i;
			x->to = (uint16_t)(p->endPort.set ? p->endPort.v : p->port.i);
		}
		n += x->from <= x->to;
	}
	if (n)
		qsort(v, n, sizeof(*v), by_proto);
	for (uint32_t i = 0; i < n; i++) {
		struct range *last = kept ? &v[kept - 1] : NULL;

		if (!last || last->proto != v[i].proto || v[i].from > last->to + 1)
			v[kept++] = v[i];
		else if (v[i].to > last->to)
			last->to = v[i].to;
	}
	return kept;
}

static void put_be16(uint8_t *to, uint16_t v)
{
	to[0] = (uint8_t)(v >> 8);
	to[1] = (uint8_t)v;
}

static void put_range(struct nft_policy_interval *to, const struct range *r)
{
	to->first[0] = to->last[0] = nft_service_transports[r->proto].number;
	put_be16(to->first + 4, r->from);
	put_be16(to->last + 4, r->to);
}

static void range_text(struct buf *b, const struct range *r)
{
	buf_printf(b, "%s%s", b->n ? ", " : "", name_of(&protocol_names, r->proto));
	if (r->from == 0 && r->to == UINT16_MAX)
		return;
	buf_printf(b, "/%u", r->from);
	if (r->to != r->from)
		buf_printf(b, "-%u", r->to);
}

static struct nft_policy_set *ports_set(struct nft_policies *s, const struct range *v, uint32_t n)
{
	struct nft_policy_interval *x = calloc(n, sizeof(*x));
	struct nft_policy_set *set = NULL;
	struct buf text = { 0 };

	for (uint32_t i = 0; x && i < n; i++) {
		put_range(&x[i], &v[i]);
		range_text(&text, &v[i]);
	}
	if (x && !text.failed)
		set = nft_policy_set_fixed(s, "ports", 0, text.v, x, n);
	buf_fini(&text);
	free(x);
	return set;
}

/* ---- blocks */

static int by_prefix(const void *a, const void *b)
{
	return prefix_cmp(a, b);
}

static struct ipaddr before(struct ipaddr a)
{
	for (size_t i = addr_len(&a); i-- > 0 && a.b[i]-- == 0;)
		;
	return a;
}

static void add_interval(struct nft_policy_interval *v, uint32_t *n, const struct ipaddr *first,
			 const struct ipaddr *last)
{
	if (addr_cmp(first, last) > 0)
		return;
	memcpy(v[*n].first, first->b, sizeof(v->first));
	memcpy(v[*n].last, last->b, sizeof(v->last));
	(*n)++;
}

/* What `n` excepts, sorted, leave of a block; at most n + 1 intervals. */
static uint32_t intervals(const struct prefix *block, const struct prefix *excepts, uint32_t n,
			  struct nft_policy_interval *v)
{
	struct ipaddr from = block->addr, end = prefix_last(block);
	uint32_t m = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct ipaddr last = prefix_last(&excepts[i]);
		struct ipaddr to = before(excepts[i].addr);

		if (addr_cmp(&last, &from) < 0)
			continue; /* in one before it */
		if (addr_cmp(&excepts[i].addr, &from) > 0)
			add_interval(v, &m, &from, &to);
		if (addr_cmp(&last, &end) >= 0)
			return m;
		from = addr_add(&last, 1);
	}
	add_interval(v, &m, &from, &end);
	return m;
}

static void block_text(struct buf *b, const struct prefix *block, const struct prefix *v,
		       uint32_t n)
{
	char text[PREFIX_TEXT];

	buf_puts(b, prefix_str(block, text));
	for (uint32_t i = 0; i < n; i++)
		buf_printf(b, "%s%s", i ? ", " : " except ", prefix_str(&v[i], text));
}

/* Into `r`. 0: what it has matches nothing; 1: it does; -ENOMEM. */
static int block_peer(struct compiling *c, const struct ip_block *b, struct nft_policy_rule *r)
{
	struct nft_policy_interval *v = calloc(b->except.n + 1, sizeof(*v));
	struct prefix *excepts = calloc(b->except.n + 1, sizeof(*excepts));
	uint32_t n = 0, m = 0;
	struct buf text = { 0 };
	int rc = v && excepts ? 0 : -ENOMEM;

	if (!rc && !prefix_parse_lax(b->cidr, &r->net) &&
	    (r->net.addr.family == AF_INET6) == c->family) {
		r->net = prefix_mask(&r->net);
		for (uint32_t i = 0; i < b->except.n; i++)
			if (!prefix_parse_lax(b->except.v[i], &excepts[n]) &&
			    prefix_overlaps(&r->net, &excepts[n])) {
				excepts[n] = prefix_mask(&excepts[n]);
				n++;
			}
		if (n)
			qsort(excepts, n, sizeof(*excepts), by_prefix);
		m = intervals(&r->net, excepts, n, v);
		rc = m > 0;
	}
	r->whom = n ? NFT_WHOM_SET : NFT_WHOM_NET;
	if (rc == 1 && n) {
		block_text(&text, &r->net, excepts, n);
		r->set = text.failed
				 ? NULL
				 : nft_policy_set_fixed(c->s, "blocks", c->family, text.v, v, m);
		rc = r->set ? 1 : -ENOMEM;
	}
	buf_fini(&text);
	free(excepts);
	free(v);
	return rc;
}

/* ---- rules */

static int peer_of(struct compiling *c, const struct policy_peer *p, struct nft_policy_rule *r)
{
	if (!p)
		return 1;
	if (p->ipBlock)
		return block_peer(c, p->ipBlock, r);
	r->whom = NFT_WHOM_SET;
	r->set = nft_policy_set_peer(c->s, c->ns, p, c->family);
	return r->set ? 1 : -ENOMEM;
}

static int add(struct compiling *c, const struct nft_policy_rule *r)
{
	struct nft_policy_rules *to = c->out;

	if (to->n == to->cap) {
		uint32_t cap = to->cap ? 2 * to->cap : 4;
		struct nft_policy_rule *v = realloc(to->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		to->v = v;
		to->cap = cap;
	}
	to->v[to->n++] = *r;
	return 0;
}

struct ways { /* to say a rule's ports */
	struct nft_policy_ports *v;
	uint32_t n;
};

static void ways_fini(struct nft_policies *s, struct ways *w)
{
	for (uint32_t i = 0; i < w->n; i++)
		nft_policy_set_release(s, w->v[i].set);
	free(w->v);
}

static int by_number(struct compiling *c, const struct policy_rule *rule, struct ways *w)
{
	struct range *v = calloc(rule->ports.n, sizeof(*v));
	struct nft_policy_ports *way = &w->v[w->n];
	uint32_t n = v ? ranges(rule, v) : 0;
	int rc = v ? 0 : -ENOMEM;

	if (n == 1)
		*way = (struct nft_policy_ports){ NFT_PORTS_RANGE, v->proto, v->from, v->to, NULL };
	if (n > 1) {
		*way = (struct nft_policy_ports){ .which = NFT_PORTS_SET,
						  .set = ports_set(c->s, v, n) };
		rc = way->set ? 0 : -ENOMEM;
	}
	w->n += n && !rc;
	free(v);
	return rc;
}

/* Equal names have equal sets, and one way is enough. */
static int by_name(struct compiling *c, const struct policy_port *p, struct ways *w)
{
	struct nft_policy_set *set =
		nft_policy_set_port(c->s, policy_protocol(p->protocol), p->port.s, c->family);

	if (!set)
		return -ENOMEM;
	for (uint32_t i = 0; i < w->n; i++)
		if (w->v[i].set == set) {
			nft_policy_set_release(c->s, set);
			return 0;
		}
	w->v[w->n++] = (struct nft_policy_ports){ .which = NFT_PORTS_NAMED, .set = set };
	return 0;
}

static int find_ways(struct compiling *c, const struct policy_rule *rule, struct ways *w)
{
	int rc = 0;

	*w = (struct ways){ .v = calloc(rule->ports.n + 1, sizeof(*w->v)) };
	if (!w->v)
		return -ENOMEM;
	if (!rule->ports.n) {
		w->n = 1; /* NFT_PORTS_ALL */
		return 0;
	}
	rc = by_number(c, rule, w);
	for (uint32_t i = 0; i < rule->ports.n && !rc; i++)
		if (rule->ports.v[i].port.type == INTSTR_STR)
			rc = by_name(c, &rule->ports.v[i], w);
	if (rc)
		ways_fini(c->s, w);
	return rc;
}

/* One peer, NULL: everybody, with each way. */
static int with_ways(struct compiling *c, struct nft_policy_rule *r, const struct policy_peer *p,
		     const struct ways *w)
{
	int rc = peer_of(c, p, r);

	for (uint32_t i = 0; i < w->n && rc > 0; i++) {
		r->ports = w->v[i];
		if (add(c, r))
			rc = -ENOMEM;
		else if (r->set)
			r->set->users++;
		if (rc > 0 && r->ports.set)
			r->ports.set->users++;
	}
	nft_policy_set_release(c->s, r->set);
	return rc < 0 ? rc : 0;
}

static int compile_rule(struct compiling *c, const struct policy_rule *rule, uint32_t number)
{
	struct nft_policy_rule all = { .rule = number, .peer = -1 };
	struct ways w;
	int rc = find_ways(c, rule, &w);

	if (rc)
		return rc;
	if (!rule->peers.n)
		rc = with_ways(c, &all, NULL, &w);
	for (uint32_t i = 0; i < rule->peers.n && !rc; i++) {
		struct nft_policy_rule r = { .rule = number, .peer = i };

		rc = with_ways(c, &r, &rule->peers.v[i], &w);
	}
	ways_fini(c->s, &w);
	return rc;
}

int nft_policy_compile(struct nft_policies *s, const struct network_policy *p,
		       enum policy_type type, unsigned family, struct nft_policy_rules *out)
{
	const struct policy_rules rules = policy_rules(p, type);
	struct compiling c = { s, p->meta.namespace, family, out };
	int rc = 0;

	*out = (struct nft_policy_rules){ 0 };
	for (uint32_t i = 0; i < rules.n && !rc; i++)
		rc = compile_rule(&c, &rules.v[i], i);
	if (rc)
		nft_policy_rules_fini(s, out);
	return rc;
}

void nft_policy_rules_fini(struct nft_policies *s, struct nft_policy_rules *rules)
{
	for (uint32_t i = 0; i < rules->n; i++) {
		nft_policy_set_release(s, rules->v[i].set);
		nft_policy_set_release(s, rules->v[i].ports.set);
	}
	free(rules->v);
	*rules = (struct nft_policy_rules){ 0 };
}

/* ---- comparing */

static bool same_whom(const struct nft_policy_rule *a, const struct nft_policy_rule *b)
{
	return a->whom == b->whom && a->set == b->set &&
	       (a->whom != NFT_WHOM_NET || prefix_eq(&a->net, &b->net));
}

static bool same_ports(const struct nft_policy_ports *a, const struct nft_policy_ports *b)
{
	return a->which == b->which && a->set == b->set &&
	       (a->which != NFT_PORTS_RANGE ||
		(a->proto == b->proto && a->from == b->from && a->to == b->to));
}

bool nft_policy_rules_same(const struct nft_policy_rules *a, const struct nft_policy_rules *b)
{
	if (a->n != b->n)
		return false;
	for (uint32_t i = 0; i < a->n; i++)
		if (a->v[i].rule != b->v[i].rule || a->v[i].peer != b->v[i].peer ||
		    !same_whom(&a->v[i], &b->v[i]) || !same_ports(&a->v[i].ports, &b->v[i].ports))
			return false;
	return true;
}

/* One of the ranges that are said by number, as a set has it; false: there are no more. */
static bool nth_range(const struct nft_policy_ports *p, uint32_t i, struct nft_policy_interval *out)
{
	*out = (struct nft_policy_interval){ { 0 } };
	if (p->which == NFT_PORTS_SET && i < p->set->n_fixed)
		*out = p->set->fixed[i];
	else if (p->which == NFT_PORTS_RANGE && !i)
		put_range(out, &(struct range){ p->proto, p->from, p->to });
	return out->first[0];
}

static bool ports_cover(const struct nft_policy_ports *a, const struct nft_policy_ports *b)
{
	struct nft_policy_interval x, y;
	bool found = true;

	if (a->which == NFT_PORTS_ALL || same_ports(a, b))
		return true;
	if (b->which != NFT_PORTS_RANGE && b->which != NFT_PORTS_SET)
		return false;
	for (uint32_t i = 0; found && nth_range(b, i, &y); i++) {
		found = false;
		for (uint32_t k = 0; !found && nth_range(a, k, &x); k++)
			found = x.first[0] == y.first[0] && memcmp(x.first, y.first, 6) <= 0 &&
				memcmp(x.last, y.last, 6) >= 0;
	}
	return found;
}

static bool covers(const struct nft_policy_rule *a, const struct nft_policy_rule *b)
{
	bool whom = a->whom == NFT_WHOM_ALL || same_whom(a, b) ||
		    (a->whom == NFT_WHOM_NET && b->whom == NFT_WHOM_NET &&
		     prefix_covers(&a->net, &b->net));

	return whom && ports_cover(&a->ports, &b->ports);
}

bool nft_policy_rules_cover(const struct nft_policy_rules *other, const struct nft_policy_rules *a)
{
	for (uint32_t i = 0, k = 0; i < a->n; i++) {
		for (k = 0; k < other->n && !covers(&other->v[k], &a->v[i]); k++)
			;
		if (k == other->n)
			return false;
	}
	return true;
}
