// SPDX-License-Identifier: Apache-2.0
/* The frame of peers_state.h, as far as it concerns the speaker as a whole. */
#include "core/bgp/peers_state.h"

#include "base/err.h"
#include "base/hash.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- problems */

void want_problem(struct want *w, const char *object, const char *fmt, ...)
{
	struct want_problem *p = arena_alloc(w->a, sizeof(*p));
	char text[ERR_TEXT];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!p)
		return;
	p->object = arena_strdup(w->a, object);
	p->text = arena_strdup(w->a, text);
	*w->last_problem = p;
	w->last_problem = &p->next;
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

const struct bgpconfiguration *want_config(const struct want *w, const char *prefix,
					   const char *name)
{
	char text[sizeof(BGP_CONFIG_NODE) + NAME_MAX_LEN];
	const struct object *o;

	snprintf(text, sizeof(text), "%s%s", prefix, name);
	o = cluster_get(w->v->cluster, KIND_BGPCONFIGURATION, NULL, text);
	return o ? o->body : NULL;
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
	const struct bgpconfiguration *all = want_config(w, "", BGP_CONFIG_DEFAULT);
	const struct bgpconfiguration *ours = want_config(w, BGP_CONFIG_NODE, w->node);

	if (all)
		overlay(s, &w->conf, all);
	if (ours)
		overlay(s, &w->conf, ours);
}

/* Of a node without IPv4 a number that follows from its name (RFC 6286: it need be nothing but unique in the AS, and not 0). */
static uint32_t identifier(const struct want *w)
{
	const uint8_t *b = w->ip[BGP_IPV4].b;
	uint64_t h = fnv64_text(FNV64_START, w->node);

	if (w->ip[BGP_IPV4].family)
		return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
	return (uint32_t)(h ^ h >> 32) ? (uint32_t)(h ^ h >> 32) : 1;
}

static void find_self(struct want *w)
{
	char label[NAME_MAX_LEN + 8];
	const struct object *o;
	uint32_t as;

	snprintf(label, sizeof(label), "Node %s", w->node);
	o = cluster_get(w->v->cluster, KIND_NODE, NULL, w->node);
	if (!o) {
		want_problem(w, label, "is not there");
		return;
	}
	w->self = o->body;
	want_node_ips(w->self, w->ip);
	w->out.on = w->ip[BGP_IPV4].family || w->ip[BGP_IPV6].family;
	if (!w->out.on)
		want_problem(w, label, "status.addresses: there is no InternalIP");
	as = annotation_as_number(&w->self->meta);
	w->as = as ? as : w->conf.spec.asNumber ? (uint32_t)w->conf.spec.asNumber : BGP_DEFAULT_AS;
	w->id = identifier(w);
	w->out.cluster_id = annotation_cluster_id(&w->self->meta);
}

static void set_speaker(struct want *w)
{
	const struct bgp_restart *r = w->conf.spec.gracefulRestart;
	struct bgp_speaker_conf *c = &w->out.speaker;

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
	w->out.listen_port = w->conf.spec.listenPort ? (uint16_t)w->conf.spec.listenPort : BGP_PORT;
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
	w->out.adverts = v;
	w->out.n_adverts = n;
}

/* ---- the frame */

static void copy_subnets(struct want *w)
{
	const struct bgp_view *v = w->v;

	w->subnets = arena_array(w->a, v->n_subnets, sizeof(*v->subnets));
	if (!w->subnets)
		return;
	for (size_t i = 0; i < v->n_subnets; i++)
		w->subnets[i] = v->subnets[i];
	w->n_subnets = v->n_subnets;
}

int want_make(struct want *w, const char *node, const struct bgp_view *v)
{
	*w = (struct want){ .node = node, .v = v, .arena = w->arena, .kept = v->kept || v->alone };
	w->a = &w->arena;
	w->last_problem = &w->problems;
	find_configuration(w);
	find_self(w);
	if (w->out.on) {
		set_speaker(w);
		set_adverts(w);
		copy_subnets(w);
		want_sources(w);
	}
	return w->a->failed ? -ENOMEM : 0;
}
