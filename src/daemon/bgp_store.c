// SPDX-License-Identifier: Apache-2.0
/* What the speaker is to be: core/bgp/peers.h makes it of the objects that the mirror has, here it is looked at again when one of
 * them changed, and handed on. That costs as much as there are objects of these kinds, so several changes are waited for a moment.
 *
 * Before the store was seen whole there is no speaker, nor before the agent was heard (bgp_agent.c): a peer that is missing in half a
 * list would lose its session, and what the peers keep of ours over a restart would be swept too early. */
#include "base/hash.h"
#include "daemon/bgp.h"
#include "model/bgp.h"
#include "sys/file.h"
#include "sys/inet.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAUSE_S   0.05 /* for more changes to come */
#define AGAIN_S   5.   /* after a failure */
#define SUBNETS_S 10.  /* between looks at the node's own addresses */
#define FILE_MAX  4096

struct bgp_store_state {
	struct mirror *mirror;
	ev_timer look, subnets;
	uint64_t subnets_digest;
	uint64_t problems_digest;
	bool any;             /* `want` is one */
	struct bgp_want want; /* in arena[now] */
	struct arena arena
		[2]; /* that of the want, and of the one before, whose filters the speaker still has */
	unsigned now;
};

static struct bgp_objects all_of(const struct cluster *c, enum kind_id kind)
{
	struct bgp_objects o;

	o.v = cluster_all(c, kind, &o.n);
	return o;
}

/* ---- what the store does not say */

/* A password's file is read each time, so that another one in it counts with the next change. */
static size_t password_file(const char *path, uint8_t *out, void *arg)
{
	struct buf text = { 0 };
	struct err e;
	size_t n = 0;

	(void)arg;
	if (file_read(path, FILE_MAX, &text, &e)) {
		log_warn("%s", e.text);
	} else if (text.n) {
		n = strcspn(text.v, "\r\n");
		n = n > PASSWORD_MAX ? 0 : n;
		memcpy(out, text.v, n);
		explicit_bzero(text.v, text.n);
	}
	buf_fini(&text);
	return n;
}

/* Without them no next hop counts as on the link. */
static void own_subnets(struct arena *a, struct bgp_view *view)
{
	struct prefix *v;
	struct err e;

	if (inet_subnets(a, &v, &view->n_subnets, &e)) {
		log_warn("%s", e.text);
		return;
	}
	view->subnets = v;
}

static uint64_t digest_of(const struct bgp_view *view)
{
	return fnv64(FNV64_START, view->subnets, view->n_subnets * sizeof(*view->subnets));
}

static int judge(struct bgp *b, struct arena *a, struct bgp_want *out)
{
	const struct cluster *c = mirror_cluster(b->store->mirror);
	struct bgp_view view = {
		.node = b->role->cfg.node,
		.nodes = all_of(c, KIND_NODE),
		.configs = all_of(c, KIND_BGPCONFIGURATION),
		.peers = all_of(c, KIND_BGPPEER),
		.filters = all_of(c, KIND_BGPFILTER),
		.secrets = all_of(c, KIND_SECRET),
		.pools = all_of(c, KIND_IPPOOL),
		.blocks = all_of(c, KIND_IPBLOCK),
		.kept = bgp_agent_kept(b),
		.password_file = password_file,
	};

	own_subnets(a, &view);
	b->store->subnets_digest = digest_of(&view);
	return bgp_want(&view, a, out);
}

/* The want refers to objects, which may be replaced before it is made anew. -ENOMEM. */
static int keep_names(struct arena *a, struct bgp_want *w)
{
	for (size_t i = 0; i < w->n; i++)
		w->peers[i].name = arena_strdup(a, w->peers[i].name);
	return a->failed ? -ENOMEM : 0;
}

/* Said when they are others than before. */
static void say_problems(struct bgp_store_state *s)
{
	uint64_t h = FNV64_START;

	for (size_t i = 0; i < s->want.n_problems; i++)
		h = fnv64_text(fnv64_text(h, s->want.problems[i].object), s->want.problems[i].text);
	if (h == s->problems_digest)
		return;
	s->problems_digest = h;
	for (size_t i = 0; i < s->want.n_problems; i++)
		log_warn("%s: %s", s->want.problems[i].object, s->want.problems[i].text);
}

/* ---- looking */

static void look_in(struct bgp *b, double seconds)
{
	struct bgp_store_state *s = b->store;

	if (ev_is_active(&s->look) && ev_timer_remaining(b->role->loop, &s->look) <= seconds)
		return;
	ev_timer_stop(b->role->loop, &s->look);
	ev_timer_set(&s->look, seconds, 0.);
	ev_timer_start(b->role->loop, &s->look);
}

static void look(struct bgp *b)
{
	struct bgp_store_state *s = b->store;
	unsigned next = !s->now;
	struct bgp_want want;
	int rc;

	if (!mirror_known(s->mirror) || !bgp_agent_is_heard(b))
		return;
	rc = judge(b, &s->arena[next], &want);
	if (!rc)
		rc = keep_names(&s->arena[next], &want);
	if (rc) {
		log_error("what the store says of BGP is not followed: %s", strerror(-rc));
		arena_reset(&s->arena[next]);
		look_in(b, AGAIN_S);
		return;
	}
	s->want = want;
	s->any = true;
	s->now = next;
	say_problems(s);
	if (bgp_speak(b, &s->want)) {
		log_error("not all peers are followed: no memory");
		look_in(b, AGAIN_S);
	}
	arena_reset(&s->arena[!next]);
}

static void on_look(struct ev_loop *loop, ev_timer *w, int events)
{
	(void)loop;
	(void)events;
	look(w->data);
}

void bgp_store_wake(struct bgp *b)
{
	look_in(b, PAUSE_S);
}

const struct bgp_want *bgp_store_want(const struct bgp *b)
{
	return b->store->any ? &b->store->want : NULL;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct bgp_peer_conf *)a)->name,
		      ((const struct bgp_peer_conf *)b)->name);
}

const struct bgp_transport *bgp_store_transport(const struct bgp *b, const char *peer)
{
	const struct bgp_want *w = bgp_store_want(b);

	const struct bgp_peer_conf key = { .name = peer }, *at;

	at = w ? bsearch(&key, w->peers, w->n, sizeof(key), by_name) : NULL;
	return at ? &w->transports[at - w->peers] : NULL;
}

static void on_subnets(struct ev_loop *loop, ev_timer *w, int events)
{
	struct bgp_view view = { 0 };
	struct bgp *b = w->data;
	struct arena a;

	(void)loop;
	(void)events;
	arena_init(&a, 0);
	own_subnets(&a, &view);
	if (b->store->any && digest_of(&view) != b->store->subnets_digest)
		bgp_store_wake(b);
	arena_fini(&a);
}

/* ---- the mirror */

static void on_changed(void *arg, const struct object *old, const struct object *now)
{
	(void)old;
	(void)now;
	bgp_store_wake(arg);
}

static void on_synced(void *arg, const struct rec_sync *s)
{
	struct bgp *b = arg;

	(void)s;
	if (!b->store->any)
		bgp_store_wake(b);
}

void bgp_store_join(struct bgp *b, int fd)
{
	mirror_join(b->store->mirror, fd);
}

int bgp_store_open(struct bgp *b, struct err *e)
{
	static const struct mirror_ops ops = { .changed = on_changed, .synced = on_synced };
	static const uint8_t kinds[] = { KIND_NODE,    KIND_IPPOOL,
					 KIND_IPBLOCK, KIND_BGPCONFIGURATION,
					 KIND_BGPPEER, KIND_BGPFILTER,
					 KIND_SECRET };
	struct bgp_store_state *s = calloc(1, sizeof(*s));

	if (!s)
		return err_set(e, -ENOMEM, "no memory");
	b->store = s;
	arena_init(&s->arena[0], 0);
	arena_init(&s->arena[1], 0);
	ev_timer_init(&s->look, on_look, 0., 0.);
	ev_timer_init(&s->subnets, on_subnets, SUBNETS_S, SUBNETS_S);
	s->look.data = s->subnets.data = b;
	ev_timer_start(b->role->loop, &s->subnets);
	s->mirror = mirror_new(b->role, kinds, sizeof(kinds), &ops, b, e);
	return s->mirror ? 0 : -ENOMEM;
}

void bgp_store_close(struct bgp *b)
{
	struct bgp_store_state *s = b->store;

	if (!s)
		return;
	ev_timer_stop(b->role->loop, &s->look);
	ev_timer_stop(b->role->loop, &s->subnets);
	mirror_free(s->mirror);
	arena_fini(&s->arena[0]);
	arena_fini(&s->arena[1]);
	free(s);
	b->store = NULL;
}
