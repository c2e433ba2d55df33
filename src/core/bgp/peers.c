// SPDX-License-Identifier: Apache-2.0
/* peers: see peers.h. Here is what concerns the speaker as a whole, and what it originates; peers_list.c has the peers,
 * peers_filter.c the filters. */
#include "core/bgp/peers_state.h"

#include "base/err.h"
#include "base/hash.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void want_problem(struct want *w, const char *object, const char *fmt, ...)
{
	struct bgp_want *out = w->out;
	struct bgp_problem *v = arena_array(w->a, out->n_problems + 1, sizeof(*v));
	char text[ERR_TEXT];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!v)
		return;
	if (out->n_problems)
		memcpy(v, out->problems, out->n_problems * sizeof(*v));
	v[out->n_problems++] =
		(struct bgp_problem){ arena_strdup(w->a, object), arena_strdup(w->a, text) };
	out->problems = v;
}

/* ---- this node */

void want_node_ips(const struct node *n, struct ipaddr ip[BGP_FAMILIES])
{
	struct ipaddr a;

	memset(ip, 0, BGP_FAMILIES * sizeof(*ip));
	for (uint32_t i = 0; i < n->status.addresses.n; i++) {
		const struct node_address *na = &n->status.addresses.v[i];

		if (na->type != NODE_INTERNAL_IP || addr_parse(na->address, &a))
			continue;
		if (!ip[bgp_family_of_addr(&a)].family)
			ip[bgp_family_of_addr(&a)] = a;
	}
}

const struct bgpconfiguration *want_config(const struct want *w, const char *name)
{
	for (size_t i = 0; i < w->v->configs.n; i++)
		if (!strcmp(w->v->configs.v[i]->meta->name, name))
			return w->v->configs.v[i]->body;
	return NULL;
}

const struct bgpconfiguration *want_config_of(const struct want *w, const char *node)
{
	static const size_t prefix = sizeof(BGP_CONFIG_NODE) - 1;

	for (size_t i = 0; i < w->v->configs.n; i++) {
		const char *name = w->v->configs.v[i]->meta->name;

		if (!strncmp(name, BGP_CONFIG_NODE, prefix) && !strcmp(name + prefix, node))
			return w->v->configs.v[i]->body;
	}
	return NULL;
}

/* Each field that is there goes over what was there. */
static void overlay(const struct schema *s, void *onto, const void *from)
{
	for (uint32_t i = 0; i < s->n; i++) {
		const struct field *f = &s->fields[i];
		void *to = (char *)onto + f->offset;
		const void *value = (const char *)from + f->offset;

		if (field_absent(f, value))
			continue;
		if (f->type == F_OBJ && !(f->flags & FF_LIST))
			overlay(f->sub, to, value);
		else
			memcpy(to, value,
			       f->flags & FF_LIST ? sizeof(struct list_any) : field_size(f));
	}
}

static void find_configuration(struct want *w)
{
	const struct schema *s = kind_by_id(KIND_BGPCONFIGURATION)->schema;
	const struct bgpconfiguration *all = want_config(w, BGP_CONFIG_DEFAULT);
	const struct bgpconfiguration *ours = want_config_of(w, w->v->node);

	if (all)
		overlay(s, &w->conf, all);
	if (ours)
		overlay(s, &w->conf, ours);
}

/* Of a node without IPv4 a number that follows from its name (RFC 6286: it need be nothing but unique in the AS, and not 0). */
static uint32_t identifier(const struct want *w)
{
	const uint8_t *b = w->ip[BGP_IPV4].b;
	uint64_t h = fnv64_text(FNV64_START, w->v->node);

	if (w->ip[BGP_IPV4].family)
		return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
	return (uint32_t)(h ^ h >> 32) ? (uint32_t)(h ^ h >> 32) : 1;
}

static void find_self(struct want *w)
{
	char label[NAME_MAX_LEN + 8];
	uint32_t as;

	snprintf(label, sizeof(label), "Node %s", w->v->node);
	for (size_t i = 0; i < w->v->nodes.n && !w->self; i++)
		if (!strcmp(w->v->nodes.v[i]->meta->name, w->v->node))
			w->self = w->v->nodes.v[i]->body;
	if (!w->self) {
		want_problem(w, label, "is not there");
		return;
	}
	want_node_ips(w->self, w->ip);
	w->out->on = w->ip[BGP_IPV4].family || w->ip[BGP_IPV6].family;
	if (!w->out->on)
		want_problem(w, label, "status.addresses: there is no InternalIP");
	as = annotation_as_number(&w->self->meta);
	w->as = as ? as : w->conf.spec.asNumber ? (uint32_t)w->conf.spec.asNumber : BGP_DEFAULT_AS;
	w->id = identifier(w);
	w->out->cluster_id = annotation_cluster_id(&w->self->meta);
}

static void set_speaker(struct want *w)
{
	const struct bgp_restart *r = w->conf.spec.gracefulRestart;
	struct bgp_speaker_conf *c = &w->out->speaker;

	*c = (struct bgp_speaker_conf){
		.as = w->as,
		.id = w->id,
		.multipath =
			w->conf.spec.multipath ? (uint32_t)w->conf.spec.multipath : BGP_MULTIPATH,
		.restart_time = BGP_RESTART_TIME,
	};
	if (r && r->restartTimeSeconds.set)
		c->restart_time = (uint16_t)r->restartTimeSeconds.v;
	if (r && r->enabled == TRI_FALSE)
		c->restart_time = 0;
	c->restarting = w->v->kept && c->restart_time;
	w->out->listen_port =
		w->conf.spec.listenPort ? (uint16_t)w->conf.spec.listenPort : BGP_PORT;
}

/* ---- attributes of own routes */

static bool has_unit(const struct bgp_draft *d, enum bgp_part part, const uint8_t *unit, size_t n)
{
	for (size_t at = 0; at + n <= d->len[part]; at += n)
		if (!memcmp(d->part[part] + at, unit, n))
			return true;
	return false;
}

static void add_unit(struct want *w, struct bgp_draft *d, enum bgp_part part, const uint8_t *unit,
		     size_t n)
{
	size_t len = d->len[part];
	uint8_t *v;

	if (has_unit(d, part, unit, n) || len + n > UINT16_MAX)
		return;
	v = arena_alloc(w->a, len + n);
	if (!v)
		return;
	if (len)
		memcpy(v, d->part[part], len);
	memcpy(v + len, unit, n);
	d->part[part] = v;
	d->len[part] = (uint16_t)(len + n);
}

static void add_community(struct want *w, struct bgp_draft *d, const char *name)
{
	uint8_t unit[12];
	uint32_t v[3];
	int n;

	for (uint32_t i = 0; i < w->conf.spec.communities.n; i++)
		if (!strcmp(w->conf.spec.communities.v[i].name, name)) {
			name = w->conf.spec.communities.v[i].value;
			break;
		}
	n = community_parse(name, v);
	for (int i = 0; i < n; i++)
		for (int k = 0; k < 4; k++)
			unit[4 * i + k] = (uint8_t)(v[i] >> (24 - 8 * k));
	if (n > 0)
		add_unit(w, d, n == 1 ? BGP_P_COMMUNITIES : BGP_P_LARGE, unit, 4 * (size_t)n);
	else /* a name of the default's that node.NAME's own list has not */
		want_problem(w, "BGPConfiguration " BGP_CONFIG_DEFAULT,
			     "spec.prefixAdvertisements: there is no community \"%.64s\"", name);
}

/* Each has what those that cover it have, too, so that the longest one says all. */
static void set_adverts(struct want *w)
{
	uint32_t n = w->conf.spec.prefixAdvertisements.n;
	const struct bgp_advertisement *from = w->conf.spec.prefixAdvertisements.v;
	struct bgp_advert *v = arena_array(w->a, n, sizeof(*v));

	if (!v)
		return;
	for (uint32_t i = 0; i < n; i++) {
		v[i].cidr = from[i].cidr;
		for (uint32_t k = 0; k < n; k++)
			for (uint32_t c = 0; prefix_covers(&from[k].cidr, &from[i].cidr) &&
					     c < from[k].communities.n;
			     c++)
				add_community(w, &v[i].attrs, from[k].communities.v[c]);
	}
	w->out->adverts = v;
	w->out->n_adverts = n;
}

struct bgp_draft bgp_want_attrs(const struct bgp_want *w, const struct prefix *p)
{
	const struct bgp_draft plain = { .fixed.origin = BGP_ORIGIN_IGP };
	const struct bgp_advert *best = NULL;

	for (size_t i = 0; i < w->n_adverts; i++)
		if (prefix_covers(&w->adverts[i].cidr, p) &&
		    (!best || w->adverts[i].cidr.len > best->cidr.len))
			best = &w->adverts[i];
	return best ? best->attrs : plain;
}

/* ---- own routes */

static bool is_told(const struct want *w, const char *pool)
{
	for (size_t i = 0; pool && i < w->v->pools.n; i++) {
		const struct ippool *p = w->v->pools.v[i]->body;

		if (!strcmp(p->meta.name, pool))
			return p->spec.routes == ROUTES_BGP;
	}
	return false;
}

static void put_own(struct want *w, const struct prefix *p, const char *why)
{
	struct bgp_own *o = &w->out->origins[w->out->n_origins];

	for (size_t i = 0; i < w->out->n_origins; i++)
		if (prefix_eq(&w->out->origins[i].prefix, p))
			return;
	*o = (struct bgp_own){ *p, bgp_want_attrs(w->out, p), why };
	w->out->n_origins++;
}

static bool is_ours(const struct want *w, const char *node)
{
	return node && !strcmp(node, w->v->node);
}

static bool is_borrowed(const struct want *w, const struct block_borrow *l)
{
	return l->state == BORROW_GRANTED && l->address.family && is_ours(w, l->node);
}

/* How many routes of ours a block brings: itself, and what was borrowed of another's. */
static size_t routes_of(const struct want *w, const struct ipblock *b)
{
	size_t n = is_ours(w, b->spec.node);

	for (uint32_t i = 0; i < b->spec.borrowed.n; i++)
		n += is_borrowed(w, &b->spec.borrowed.v[i]);
	return n && is_told(w, b->spec.pool) ? n : 0;
}

static void put_block(struct want *w, const struct object *o)
{
	const struct ipblock *b = o->body;

	if (is_ours(w, b->spec.node))
		put_own(w, &b->spec.cidr, arena_printf(w->a, "IPBlock %s", o->meta->name));
	for (uint32_t i = 0; i < b->spec.borrowed.n; i++) {
		struct prefix host = prefix_host(&b->spec.borrowed.v[i].address);

		if (is_borrowed(w, &b->spec.borrowed.v[i]))
			put_own(w, &host,
				arena_printf(w->a, "borrowed of IPBlock %s", o->meta->name));
	}
}

static void set_origins(struct want *w)
{
	size_t n = w->conf.spec.networks.n;

	for (size_t i = 0; i < w->v->blocks.n; i++)
		n += routes_of(w, w->v->blocks.v[i]->body);
	w->out->origins = arena_array(w->a, n, sizeof(*w->out->origins));
	if (!w->out->origins)
		return;
	for (uint32_t i = 0; i < w->conf.spec.networks.n; i++)
		put_own(w, &w->conf.spec.networks.v[i], "BGPConfiguration: spec.networks");
	for (size_t i = 0; i < w->v->blocks.n; i++)
		if (routes_of(w, w->v->blocks.v[i]->body))
			put_block(w, w->v->blocks.v[i]);
}

int bgp_want(const struct bgp_view *v, struct arena *a, struct bgp_want *out)
{
	struct bgp_want made = { 0 };
	struct want w = { .v = v, .a = a, .out = &made };

	find_configuration(&w);
	find_self(&w);
	if (made.on) {
		set_speaker(&w);
		set_adverts(&w);
		set_origins(&w);
		want_peers(&w);
	}
	if (a->failed)
		return -ENOMEM;
	*out = made;
	return 0;
}
