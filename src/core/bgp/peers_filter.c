// SPDX-License-Identifier: Apache-2.0
/* BGPFilter objects to the rules of filter.h. A peer's filter is the lists of all its BGPFilters, in their order; its digest is that of
 * all that they say, so that a changed rule is found, and an object that was only written again is not. */
#include "core/bgp/peers_state.h"

#include "base/hash.h"

#include <stdio.h>
#include <string.h>

typedef LIST(struct filter_rule) rule_list;

static rule_list rules_of(const struct bgpfilter *f, bool import, enum bgp_family family)
{
	const struct {
		const struct filter_rule *v;
		uint32_t n;
	} lists[2][BGP_FAMILIES] = {
		{ { f->spec.exportV4.v, f->spec.exportV4.n },
		  { f->spec.exportV6.v, f->spec.exportV6.n } },
		{ { f->spec.importV4.v, f->spec.importV4.n },
		  { f->spec.importV6.v, f->spec.importV6.n } },
	};

	return (rule_list){ (struct filter_rule *)lists[import][family].v,
			    lists[import][family].n };
}

static uint32_t *numbers(const int64_t *v, uint32_t n, struct arena *a)
{
	uint32_t *out = arena_array(a, n, sizeof(*out));

	for (uint32_t i = 0; out && i < n; i++)
		out[i] = (uint32_t)v[i];
	return out;
}

/* What validate_bgp() let pass is one. */
static struct bgp_community community(const char *text)
{
	struct bgp_community c = { .large = false };

	c.large = community_parse(text, c.v) == 3;
	return c;
}

static void compile_conditions(const struct filter_rule *from, struct bgp_rule *to, struct arena *a)
{
	static const uint8_t match[] = { [MATCH_NONE] = BGP_M_IN,
					 [MATCH_IN] = BGP_M_IN,
					 [MATCH_NOT_IN] = BGP_M_NOT_IN,
					 [MATCH_EQUAL] = BGP_M_EQUAL,
					 [MATCH_NOT_EQUAL] = BGP_M_NOT_EQUAL };
	static const uint8_t peer[] = { [FILTER_PEER_NONE] = BGP_PT_ANY,
					[FILTER_PEER_EBGP] = BGP_PT_EBGP,
					[FILTER_PEER_IBGP] = BGP_PT_IBGP };
	const struct filter_length *l = from->prefixLength;

	to->match = from->cidr.addr.family ? match[from->matchOperator] : BGP_M_ANY;
	to->cidr = from->cidr;
	to->peer = peer[from->peerType];
	to->min_len = l && l->min.set ? (uint8_t)l->min.v : 0;
	to->max_len = l && l->max.set ? (uint8_t)l->max.v : UINT8_MAX;
	to->n_path = from->asPathPrefix.n;
	to->path = numbers(from->asPathPrefix.v, to->n_path, a);
	to->n_communities = from->communities ? from->communities->values.n : 0;
	to->communities = arena_array(a, to->n_communities, sizeof(*to->communities));
	for (uint32_t i = 0; to->communities && i < to->n_communities; i++)
		to->communities[i] = community(from->communities->values.v[i]);
}

/* Several of one sort add up; of preferences the last holds. */
static void compile_operations(const struct filter_rule *from, struct bgp_rule *to, struct arena *a)
{
	uint32_t n = from->operations.n, n_prepend = 0;

	for (uint32_t i = 0; i < n; i++)
		if (from->operations.v[i].prependASPath)
			n_prepend += from->operations.v[i].prependASPath->prefix.n;
	to->add = arena_array(a, n, sizeof(*to->add));
	to->prepend = arena_array(a, n_prepend, sizeof(*to->prepend));
	for (uint32_t i = 0; to->add && to->prepend && i < n; i++) {
		const struct filter_operation *o = &from->operations.v[i];

		if (o->addCommunity)
			to->add[to->n_add++] = community(o->addCommunity->value);
		for (uint32_t k = 0; o->prependASPath && k < o->prependASPath->prefix.n; k++)
			to->prepend[to->n_prepend++] = (uint32_t)o->prependASPath->prefix.v[k];
		if (o->setLocalPreference) {
			to->set_preference = true;
			to->preference = (uint32_t)o->setLocalPreference->value.v;
		}
	}
}

static uint64_t mix(uint64_t h, uint64_t v)
{
	return fnv64(h, &v, sizeof(v));
}

static uint64_t mix_communities(uint64_t h, const struct bgp_community *v, uint32_t n)
{
	h = mix(h, n);
	for (uint32_t i = 0; i < n; i++) {
		h = mix(h, v[i].large);
		h = fnv64(h, v[i].v, sizeof(v[i].v));
	}
	return h;
}

static uint64_t mix_numbers(uint64_t h, const uint32_t *v, uint32_t n)
{
	h = mix(h, n);
	return n ? fnv64(h, v, n * sizeof(*v)) : h;
}

static uint64_t mix_rule(uint64_t h, const struct bgp_rule *r)
{
	h = mix(h, r->accept);
	h = mix(h, (uint64_t)r->match << 8 | r->peer);
	h = fnv64(h, r->cidr.addr.b, sizeof(r->cidr.addr.b));
	h = mix(h, (uint64_t)r->cidr.len << 16 | (uint64_t)r->min_len << 8 | r->max_len);
	h = mix_communities(h, r->communities, r->n_communities);
	h = mix_numbers(h, r->path, r->n_path);
	h = mix(h, (uint64_t)r->set_preference << 32 | r->preference);
	h = mix_communities(h, r->add, r->n_add);
	return mix_numbers(h, r->prepend, r->n_prepend);
}

static struct bgp_rules *new_rules(const char *name, uint32_t n, struct arena *a)
{
	struct bgp_rules *r = arena_alloc(a, sizeof(*r));

	if (!r)
		return NULL;
	snprintf(r->name, sizeof(r->name), "%s", name);
	r->n = n;
	r->v = arena_array(a, n, sizeof(*r->v));
	return r->v ? r : NULL;
}

/* Rules of nobody: the filter is not there, and what it would have kept out shall not come in. */
static const struct bgp_rules *closed(const char *name, struct arena *a)
{
	return new_rules(name, 1, a);
}

static const struct bgp_rules *compile(const struct bgpfilter *f, const rule_list *from,
				       struct arena *a)
{
	struct bgp_rules *to = new_rules(f->meta.name, from->n, a);

	for (uint32_t i = 0; to && i < from->n; i++) {
		to->v[i].accept = from->v[i].action == FILTER_ACCEPT;
		compile_conditions(&from->v[i], &to->v[i], a);
		compile_operations(&from->v[i], &to->v[i], a);
	}
	return to;
}

static const struct bgpfilter *find(const struct want *w, const char *name)
{
	const struct object *o = cluster_get(w->v->cluster, KIND_BGPFILTER, NULL, name);

	return o ? o->body : NULL;
}

void want_missing_filters(struct want *w, const struct bgppeer *p, const char *label)
{
	for (uint32_t i = 0; i < p->spec.filters.n; i++)
		if (!find(w, p->spec.filters.v[i]))
			want_problem(w, label,
				     "spec.filters[%u]: there is no BGPFilter \"%s\"; nothing is "
				     "taken or told",
				     i, p->spec.filters.v[i]);
}

struct bgp_filter want_filter(struct want *w, const struct bgppeer *p, bool import,
			      enum bgp_family family)
{
	struct bgp_filter out = { .digest = FNV64_START };

	out.v = arena_array(w->a, p->spec.filters.n, sizeof(*out.v));
	for (uint32_t i = 0; out.v && i < p->spec.filters.n; i++) {
		const struct bgpfilter *f = find(w, p->spec.filters.v[i]);
		rule_list from = f ? rules_of(f, import, family) : (rule_list){ NULL, 0 };
		const struct bgp_rules *r;

		if (f && !from.n)
			continue;
		r = f ? compile(f, &from, w->a) : closed(p->spec.filters.v[i], w->a);
		if (!r)
			break; /* the arena knows */
		out.v[out.n++] = r;
		out.digest = fnv64_text(out.digest, r->name);
		for (uint32_t k = 0; k < r->n; k++)
			out.digest = mix_rule(out.digest, &r->v[k]);
	}
	return out;
}
