/* SPDX-License-Identifier: Apache-2.0 */
/* See bgp_objects.h. */
#include "bgp_objects.h"
#include "store/manifest.h"

#include <stdlib.h>
#include <string.h>

struct cluster *cluster;
struct arena arena;
struct bgp_view view;
struct wanted made;

static void on_all(void *arg, const struct bgp_want *all)
{
	struct wanted *w = arg;

	w->all = *all;
}

static size_t place_of(const struct wanted *w, const char *name)
{
	size_t i = 0;

	while (i < w->n && strcmp(w->peers[i].name, name) < 0)
		i++;
	return i;
}

static bool is_there(const struct wanted *w, size_t i, const char *name)
{
	return i < w->n && !strcmp(w->peers[i].name, name);
}

static void on_gone(void *arg, const char *name)
{
	struct wanted *w = arg;
	size_t i = place_of(w, name);

	assert_true(is_there(w, i, name));
	w->n--;
	for (; i < w->n; i++) {
		w->peers[i] = w->peers[i + 1];
		w->transports[i] = w->transports[i + 1];
	}
}

static void on_peer(void *arg, const struct bgp_peer_conf *c, const struct bgp_transport *t)
{
	struct wanted *w = arg;
	size_t i = place_of(w, c->name);

	if (!is_there(w, i, c->name)) {
		assert_true(w->n < MOST);
		for (size_t k = w->n++; k > i; k--) {
			w->peers[k] = w->peers[k - 1];
			w->transports[k] = w->transports[k - 1];
		}
	}
	w->peers[i] = *c;
	w->transports[i] = *t;
	for (size_t k = 0; k < w->n; k++)
		assert_true(k == i || !addr_eq(&w->peers[k].addr, &c->addr));
}

static void on_no_own(void *arg, const struct prefix *p)
{
	struct wanted *w = arg;
	size_t i = 0;

	while (i < w->n_origins && !prefix_eq(&w->origins[i].prefix, p))
		i++;
	assert_true(i < w->n_origins);
	w->n_origins--;
	for (; i < w->n_origins; i++)
		w->origins[i] = w->origins[i + 1];
}

static void on_own(void *arg, const struct bgp_own *o)
{
	struct wanted *w = arg;
	size_t i = 0;

	while (i < w->n_origins && prefix_cmp(&w->origins[i].prefix, &o->prefix) < 0)
		i++;
	if (i == w->n_origins || !prefix_eq(&w->origins[i].prefix, &o->prefix)) {
		assert_true(w->n_origins < MOST);
		for (size_t k = w->n_origins++; k > i; k--)
			w->origins[k] = w->origins[k - 1];
	}
	w->origins[i] = *o;
	w->origins[i].why = arena_strdup(&arena, o->why);
}

const struct bgp_wants_ops objects_ops = {
	.all = on_all, .gone = on_gone, .peer = on_peer, .own = on_own, .no_own = on_no_own
};

void objects_end(void)
{
	bgp_wants_free(made.wants);
	cluster_free(cluster);
	arena_fini(&arena);
	made.wants = NULL;
	cluster = NULL;
}

void objects_begin(const char *node)
{
	objects_end();
	cluster = cluster_new();
	view.cluster = cluster;
	made = (struct wanted){ .wants = bgp_wants_new(node) };
	assert_non_null(made.wants);
}

void objects_parse(const char *text, struct cluster *into)
{
	struct manifest m = { .n_items = 0 };

	manifest_parse(&m, "test", text, strlen(text));
	if (m.n_errors)
		fail_msg("%s", m.errors[0]);
	manifest_into_cluster(&m, into);
	manifest_fini(&m);
}

struct wanted want(const char *node, const char *text)
{
	objects_begin(node);
	objects_parse(text, cluster);
	assert_int_equal(bgp_wants_follow(made.wants, &view, &objects_ops, &made), 0);
	return made;
}

struct problems {
	char *v[MOST];
	size_t n;
};

static void take_problem(void *arg, const char *object, const char *text)
{
	struct problems *p = arg;

	assert_true(p->n < MOST);
	p->v[p->n++] = arena_printf(&arena, "! %s: %s\n", object, text);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void put_problems(struct buf *b, const struct wanted *w)
{
	struct problems p = { .n = 0 };

	bgp_wants_problems(w->wants, take_problem, &p);
	qsort(p.v, p.n, sizeof(p.v[0]), by_text);
	for (size_t i = 0; i < p.n; i++)
		buf_puts(b, p.v[i]);
}

void objects_put(struct buf *b, const struct wanted *w)
{
	char text[ADDR_TEXT];

	for (size_t i = 0; i < w->n; i++) {
		const struct bgp_peer_conf *p = &w->peers[i];
		const struct bgp_transport *t = &w->transports[i];

		buf_printf(b, "%s %s:%u AS%u", p->name, addr_str(&p->addr, text), p->port,
			   p->session.peer_as);
		buf_puts(b, p->session.family[BGP_IPV4] ? " 4" : "");
		buf_puts(b, p->session.family[BGP_IPV6] ? " 6" : "");
		buf_puts(b, p->client ? " client" : "");
		buf_puts(b, p->session.passive ? " passive" : "");
		buf_puts(b, p->next_hop_self ? " self" : "");
		buf_puts(b, t->source.family ? "" : " any-source");
		if (t->password)
			buf_printf(b, " password=%.*s", (int)t->password_len, t->password);
		if (t->ttl_hops)
			buf_printf(b, " hops=%u", t->ttl_hops);
		buf_puts(b, "\n");
	}
	put_problems(b, w);
}
