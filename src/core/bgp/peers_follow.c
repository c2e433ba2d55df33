// SPDX-License-Identifier: Apache-2.0
/* peers: see peers.h. Here is what a change of an object makes due, and the order in which that is followed. */
#include "core/bgp/peers_state.h"

#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- problems */

static void drop_trouble(struct bgp_wants *w, struct trouble *t)
{
	if (!t->text)
		return;
	w->troubles_version++;
	*t->prev = t->next;
	if (t->next)
		t->next->prev = t->prev;
	free(t->object);
	free(t->text);
	*t = (struct trouble){ 0 };
}

void wants_trouble(struct bgp_wants *w, struct trouble *t, const char *object, const char *fmt, ...)
{
	char text[ERR_TEXT];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (object && t->text && !strcmp(t->object, object) && !strcmp(t->text, text))
		return;
	drop_trouble(w, t);
	if (!object)
		return;
	t->object = strdup(object);
	t->text = strdup(text);
	if (!t->object || !t->text) {
		free(t->object);
		free(t->text);
		*t = (struct trouble){ 0 };
		return;
	}
	w->troubles_version++;
	t->next = w->troubles;
	t->prev = &w->troubles;
	if (t->next)
		t->next->prev = &t->next;
	w->troubles = t;
}

void bgp_wants_problems(const struct bgp_wants *w,
			void (*fn)(void *arg, const char *object, const char *text), void *arg)
{
	for (const struct want_problem *p = w->frame[w->now].problems; p; p = p->next)
		fn(arg, p->object, p->text);
	for (const struct trouble *t = w->troubles; t; t = t->next)
		fn(arg, t->object, t->text);
}

uint64_t bgp_wants_problems_version(const struct bgp_wants *w)
{
	return w->work.all + w->troubles_version;
}

/* ---- what a change makes due */

static const struct object *self_of(struct bgp_wants *w)
{
	const struct member *m = wants_member(w, w->node, false);

	return m ? m->object : NULL;
}

static bool concerns(struct bgp_wants *w, const struct object *o)
{
	const struct bgppeer *p = o ? o->body : NULL;
	const struct object *self = self_of(w);

	return p && self &&
	       (want_has_peer(p, self->meta) ||
		(!p->spec.peerIP && selector_match(p->spec.peerSelector, &self->meta->labels)));
}

/* A router of a Node's name takes the name from it. */
static bool router_changed(struct bgp_wants *w, const struct object *old, const struct object *now)
{
	const struct bgppeer *p = old ? old->body : NULL, *q = now ? now->body : NULL;
	bool was = p && p->spec.peerIP, is = q && q->spec.peerIP;
	struct member *m = was != is ? wants_member(w, (now ? now : old)->meta->name, false) : NULL;

	if (m)
		wants_member_due(w, m);
	return m;
}

static bool has_filter(const struct source *s, const char *name)
{
	for (uint32_t i = 0; s->how && i < s->how->spec.filters.n; i++)
		if (!strcmp(s->how->spec.filters.v[i], name))
			return true;
	return false;
}

static bool has_secret(const struct want *f, const struct source *s, const struct meta *secret)
{
	const struct bgp_password *p =
		s->how ? s->how->spec.password : f->conf.spec.nodeMeshPassword;

	return p && p->secretKeyRef && !strcmp(p->secretKeyRef->name, secret->name) &&
	       secret->namespace && !strcmp(secret->namespace, SECRET_NAMESPACE);
}

static bool is_used(struct bgp_wants *w, const struct object *o)
{
	const struct want *f = wants_frame(w);
	bool used = false;

	for (size_t i = 0; i < f->n_sources && !used; i++)
		used = o->kind->id == KIND_BGPFILTER ? has_filter(&f->sources[i], o->meta->name)
						     : has_secret(f, &f->sources[i], o->meta);
	return used;
}

static bool configuration_changed(struct bgp_wants *w, const char *name)
{
	static const size_t n = sizeof(BGP_CONFIG_NODE) - 1;
	struct member *m;

	if (!strcmp(name, BGP_CONFIG_DEFAULT))
		return w->again = true;
	if (strncmp(name, BGP_CONFIG_NODE, n) != 0)
		return false;
	if (!strcmp(name + n, w->node))
		return w->again = true;
	m = wants_member(w, name + n, false);
	if (m)
		wants_member_due(w, m);
	return m;
}

static uint32_t cluster_of(const struct object *o)
{
	return annotation_cluster_id(o->meta);
}

static bool same_labels(const struct strmap *a, const struct strmap *b)
{
	for (uint32_t i = 0; a->n == b->n && i < a->n; i++)
		if (strcmp(a->v[i].key, b->v[i].key) != 0 ||
		    strcmp(a->v[i].value, b->v[i].value) != 0)
			return false;
	return a->n == b->n;
}

/* As far as anything is read of it. */
static bool same_node(const struct object *a, const struct object *b)
{
	struct ipaddr of_a[BGP_FAMILIES], of_b[BGP_FAMILIES];

	if (!a || !b)
		return false;
	want_node_ips(a->body, of_a);
	want_node_ips(b->body, of_b);
	return !memcmp(of_a, of_b, sizeof(of_a)) && cluster_of(a) == cluster_of(b) &&
	       annotation_as_number(a->meta) == annotation_as_number(b->meta) &&
	       same_labels(&a->meta->labels, &b->meta->labels);
}

static bool node_changed(struct bgp_wants *w, const struct object *old, const struct object *now)
{
	const char *name = (now ? now : old)->meta->name;
	struct member *m = wants_member(w, name, now != NULL);

	if (!m) {
		w->learned &= !now; /* no memory for it */
		return now;
	}
	m->object = now;
	if (same_node(old, now))
		return false;
	w->again |= !strcmp(name, w->node);
	wants_member_due(w, m);
	return true;
}

bool bgp_wants_changed(struct bgp_wants *w, const struct object *old, const struct object *now)
{
	const struct object *any = now ? now : old;

	if (!w->learned)
		return true;
	switch (any->kind->id) {
	case KIND_NODE:
		return node_changed(w, old, now);
	case KIND_IPPOOL:
		return wants_pool(w, old, now);
	case KIND_IPBLOCK:
		return wants_block(w, old, now);
	case KIND_BGPCONFIGURATION:
		return configuration_changed(w, any->meta->name);
	case KIND_BGPPEER:
		w->again = w->again || concerns(w, old) || concerns(w, now);
		return router_changed(w, old, now) || w->again;
	case KIND_BGPFILTER:
	case KIND_SECRET:
		/* With a frame that is due its objects may be gone. */
		w->again = w->again || is_used(w, any);
		return w->again;
	default:
		return false;
	}
}

void bgp_wants_again(struct bgp_wants *w)
{
	w->again = true;
}

bool bgp_wants_is_due_whole(const struct bgp_wants *w)
{
	return w->again || !w->learned;
}

/* ---- following */

static void learn(struct bgp_wants *w, const struct cluster *c)
{
	static const uint8_t kinds[] = { KIND_NODE, KIND_IPBLOCK };

	for (struct by_name *x = w->members; x; x = by_name_next(x)) {
		((struct member *)x)->object = NULL;
		wants_member_due(w, (struct member *)x);
	}
	wants_drop_blocks(w);
	w->learned = true;
	for (size_t k = 0; k < sizeof(kinds); k++) {
		size_t n;
		const struct object *const *v = cluster_all(c, kinds[k], &n);

		for (size_t i = 0; i < n && w->learned; i++)
			bgp_wants_changed(w, NULL, v[i]);
	}
	w->again = w->own_due = true;
}

/* -ENOMEM: the frame of before stays. */
static int make_anew(struct bgp_wants *w, const struct bgp_view *v)
{
	struct want *old = wants_frame(w), *new = &w->frame[!w->now];

	if (want_make(new, w->node, v)) {
		arena_reset(&new->arena);
		return -ENOMEM;
	}
	for (size_t i = 0; i < old->n_sources; i++)
		drop_trouble(w, &old->sources[i].trouble);
	w->now = !w->now;
	w->any = w->own_due = true;
	w->work.all++;
	return 0;
}

int bgp_wants_follow(struct bgp_wants *w, const struct bgp_view *v, const struct bgp_wants_ops *ops,
		     void *arg)
{
	int all = 0, peers, own;

	if (!w->learned)
		learn(w, v->cluster);
	if (!w->learned || (w->again && make_anew(w, v)))
		return -ENOMEM;
	wants_frame(w)->v = v;
	if (w->again) {
		ops->all(arg, &wants_frame(w)->out);
		all = wants_all_due(w);
	}
	peers = wants_tell_peers(w, ops, arg);
	own = wants_tell_own(w, ops, arg);
	if (w->again)
		arena_reset(&w->frame[!w->now].arena);
	w->again = all || peers || own;
	return w->again ? -ENOMEM : 0;
}

const struct bgp_want *bgp_wants_all(const struct bgp_wants *w)
{
	return w->any ? &w->frame[w->now].out : NULL;
}

struct bgp_wants_work bgp_wants_work(const struct bgp_wants *w)
{
	return w->work;
}

/* ---- life */

struct bgp_wants *bgp_wants_new(const char *node)
{
	struct bgp_wants *w = calloc(1, sizeof(*w));

	if (w)
		w->node = strdup(node);
	if (!w || !w->node) {
		free(w);
		return NULL;
	}
	arena_init(&w->frame[0].arena, 0);
	arena_init(&w->frame[1].arena, 0);
	return w;
}

void bgp_wants_free(struct bgp_wants *w)
{
	if (!w)
		return;
	while (w->troubles)
		drop_trouble(w, w->troubles);
	wants_drop_rows(w);
	wants_drop_blocks(w);
	arena_fini(&w->frame[0].arena);
	arena_fini(&w->frame[1].arena);
	free(w->own);
	free(w->node);
	free(w);
}
