// SPDX-License-Identifier: Apache-2.0
/* What the speaker is to be: core/bgp/peers.h makes it of the objects that the mirror has, here it is told what changed, and what follows is
 * handed on. Several changes are waited for a moment; one that nothing is read of wakes nobody.
 *
 * The store does not say all: the node's own addresses and files that hold passwords are read when all is judged, and looked at by a timer.
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

#define PAUSE_S  0.05 /* for more changes to come */
#define AGAIN_S  5.   /* after a failure */
#define OTHERS_S 10.  /* between looks at what the store does not say */
#define FILE_MAX 4096

struct bgp_store_state {
	struct mirror *mirror;
	struct bgp_wants *wants;
	ev_timer look, others;
	/* Of the node's own addresses, and of the files, as the wants had them. */
	uint64_t subnets_digest, files_digest;
	uint64_t problems, problems_digest; /* as they were said */
	int failed;                         /* while it is followed */
};

/* ---- what the store does not say */

static size_t read_password(const char *path, uint8_t *out, enum log_level level)
{
	struct buf text = { 0 };
	struct err e;
	size_t n = 0;

	if (file_read(path, FILE_MAX, &text, &e)) {
		log_at(level, "%s", e.text);
	} else if (text.n) {
		n = strcspn(text.v, "\r\n");
		n = n > PASSWORD_MAX ? 0 : n;
		memcpy(out, text.v, n);
		explicit_bzero(text.v, text.n);
	}
	buf_fini(&text);
	return n;
}

static uint64_t mix_password(uint64_t h, const uint8_t *v, size_t n)
{
	return fnv64(fnv64(h, &n, sizeof(n)), v, n);
}

static size_t password_file(const char *path, uint8_t *out, void *arg)
{
	struct bgp_store_state *s = arg;
	size_t n = read_password(path, out, LOG_WARN);

	s->files_digest = mix_password(s->files_digest, out, n);
	return n;
}

static uint64_t digest_of_files(const struct bgp_want *w)
{
	uint8_t password[PASSWORD_MAX];
	uint64_t h = FNV64_START;

	for (size_t i = 0; i < w->n_files; i++)
		h = mix_password(h, password, read_password(w->files[i], password, LOG_DEBUG));
	explicit_bzero(password, sizeof(password));
	return h;
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

static uint64_t digest_of_subnets(const struct bgp_view *view)
{
	return fnv64(FNV64_START, view->subnets, view->n_subnets * sizeof(*view->subnets));
}

/* ---- what follows */

static void note_failure(struct bgp_store_state *s, int rc)
{
	s->failed = s->failed ? s->failed : rc;
}

static void on_all(void *arg, const struct bgp_want *w)
{
	struct bgp *b = arg;

	note_failure(b->store, bgp_speak(b, w));
	note_failure(b->store, bgp_origins_judge(b));
}

static void on_gone(void *arg, const char *peer)
{
	struct bgp *b = arg;

	if (b->speaker)
		bgp_speaker_drop(b->speaker, peer, bgp_now_ms());
}

/* The kernel has passwords in a list: only what is another is said to it. */
static void on_peer(void *arg, const struct bgp_peer_conf *c, const struct bgp_transport *t)
{
	struct bgp *b = arg;
	struct bgp_peer *p = b->speaker ? bgp_speaker_find(b->speaker, &c->addr) : NULL;

	if (!p || bgp_peer_conf(p)->transport != c->transport)
		bgp_listen_secret(b, c, t);
	if (!b->speaker)
		return;
	note_failure(b->store, bgp_speaker_put(b->speaker, c, bgp_now_ms()));
	p = bgp_speaker_find(b->speaker, &c->addr);
	if (p)
		bgp_bfd_update(b, p);
}

static void on_own(void *arg, const struct bgp_own *o)
{
	struct bgp *b = arg;

	note_failure(b->store, bgp_origin_own(b, o));
}

static void on_no_own(void *arg, const struct prefix *p)
{
	bgp_origin_no_own(arg, p);
}

/* What the view has beside the cluster is asked for only when all is judged. */
static int follow(struct bgp *b)
{
	static const struct bgp_wants_ops ops = {
		.all = on_all, .gone = on_gone, .peer = on_peer, .own = on_own, .no_own = on_no_own
	};
	struct bgp_store_state *s = b->store;
	struct bgp_view view = { .cluster = mirror_cluster(s->mirror),
				 .kept = bgp_agent_kept(b),
				 .alone = !config_has_role(&b->role->cfg, "agent"),
				 .password_file = password_file,
				 .arg = s };
	struct arena a;
	int rc;

	arena_init(&a, 0);
	if (bgp_wants_is_due_whole(s->wants)) {
		own_subnets(&a, &view);
		s->subnets_digest = digest_of_subnets(&view);
		s->files_digest = FNV64_START;
	}
	s->failed = 0;
	rc = bgp_wants_follow(s->wants, &view, &ops, b);
	arena_fini(&a);
	return rc ? rc : s->failed;
}

/* ---- problems */

static void mix_problem(void *arg, const char *object, const char *text)
{
	uint64_t *sum = arg; /* as they come in any order */

	*sum += fnv64_text(fnv64_text(FNV64_START, object), text);
}

static void say_problem(void *arg, const char *object, const char *text)
{
	(void)arg;
	log_warn("%s: %s", object, text);
}

/* Said when they are others than before. */
static void say_problems(struct bgp_store_state *s)
{
	uint64_t version = bgp_wants_problems_version(s->wants), sum = 0;

	if (version == s->problems)
		return;
	s->problems = version;
	bgp_wants_problems(s->wants, mix_problem, &sum);
	if (sum != s->problems_digest)
		bgp_wants_problems(s->wants, say_problem, NULL);
	s->problems_digest = sum;
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

static void listen_as_wanted(struct bgp *b)
{
	const struct bgp_want *w = bgp_store_want(b);

	if (w)
		bgp_listen_update(b, w->on ? w->listen_port : 0,
				  bgp_wants_bfd(b->store->wants, false) ? BFD_PORT : 0,
				  bgp_wants_bfd(b->store->wants, true) ? BFD_MULTIHOP_PORT : 0);
}

static void look(struct bgp *b)
{
	struct bgp_store_state *s = b->store;
	int rc;

	if (!mirror_known(s->mirror) || !bgp_agent_is_heard(b))
		return;
	rc = follow(b);
	if (rc) {
		log_error("not all that the store says of BGP is followed: %s", strerror(-rc));
		bgp_wants_again(s->wants);
		look_in(b, AGAIN_S);
	}
	listen_as_wanted(b);
	if (b->speaker)
		bgp_speaker_settle(b->speaker);
	say_problems(s);
	bgp_wake(b);
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
	return bgp_wants_all(b->store->wants);
}

const struct bgp_wants *bgp_store_wants(const struct bgp *b)
{
	return b->store->wants;
}

const struct bgp_transport *bgp_store_transport(const struct bgp *b, const struct bgp_peer *p)
{
	return bgp_wants_transport(b->store->wants, &bgp_peer_conf(p)->addr);
}

static void on_others(struct ev_loop *loop, ev_timer *w, int events)
{
	struct bgp_view view = { .n_subnets = 0 };
	struct bgp *b = w->data;
	const struct bgp_want *want = bgp_store_want(b);
	struct arena a;

	(void)loop;
	(void)events;
	if (!want)
		return;
	arena_init(&a, 0);
	own_subnets(&a, &view);
	if (digest_of_subnets(&view) != b->store->subnets_digest ||
	    digest_of_files(want) != b->store->files_digest) {
		bgp_wants_again(b->store->wants);
		bgp_store_wake(b);
	}
	arena_fini(&a);
}

/* ---- the mirror */

static void on_changed(void *arg, const struct object *old, const struct object *now)
{
	struct bgp *b = arg;

	if (bgp_wants_changed(b->store->wants, old, now))
		bgp_store_wake(b);
}

static void on_synced(void *arg, const struct rec_sync *s)
{
	struct bgp *b = arg;

	(void)s;
	if (!bgp_store_want(b))
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

	if (s)
		s->wants = bgp_wants_new(b->role->cfg.node);
	if (!s || !s->wants) {
		free(s);
		return err_set(e, -ENOMEM, "no memory");
	}
	b->store = s;
	ev_timer_init(&s->look, on_look, 0., 0.);
	ev_timer_init(&s->others, on_others, OTHERS_S, OTHERS_S);
	s->look.data = s->others.data = b;
	ev_timer_start(b->role->loop, &s->others);
	s->mirror = mirror_new(b->role, kinds, sizeof(kinds), &ops, b, e);
	return s->mirror ? 0 : -ENOMEM;
}

void bgp_store_close(struct bgp *b)
{
	struct bgp_store_state *s = b->store;

	if (!s)
		return;
	ev_timer_stop(b->role->loop, &s->look);
	ev_timer_stop(b->role->loop, &s->others);
	mirror_free(s->mirror);
	bgp_wants_free(s->wants);
	free(s);
	b->store = NULL;
}
