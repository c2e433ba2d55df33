// SPDX-License-Identifier: Apache-2.0
/* bgp.sock: bgp-status (tables speaker, peer, problem), bgp-routes (route), bgp-peer (resets a session, or asks for all routes again).
 *
 * Routes are read as every reader of the tables reads them, a piece at a time while the client takes it; what changes meanwhile may come
 * twice, the later row being right. A client that takes nothing for a while is dropped. Passwords are in no answer. */
#include "core/bgp/decide.h"
#include "core/bgp/path.h"
#include "daemon/bgp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECE   256          /* destinations in one turn */
#define QUEUE   (256u << 10) /* octets that wait for a client */
#define REST_S  0.005        /* between looks at whether it took them */
#define STALL_S 10.

/* ---- bgp-status */

static void show_speaker(struct ctl_call *c, const struct bgp *b)
{
	const struct bgp_want *w = bgp_store_want(b);
	struct ipaddr id = addr_v4(w ? w->speaker.id : 0);

	ctl_row(c, "speaker");
	ctl_col(c, "node", b->role->cfg.node);
	ctl_col(c, "state", b->speaker ? "on" : w ? "off" : "waiting");
	if (b->speaker) {
		ctl_addr(c, "routerID", &id);
		ctl_num(c, "asNumber", b->conf.as);
		ctl_num(c, "listenPort", w->listen_port);
		ctl_flag(c, "complete", bgp_speaker_is_complete(b->speaker));
		ctl_num(c, "routes4", bgp_rib_count(bgp_speaker_rib(b->speaker, BGP_IPV4)));
		ctl_num(c, "routes6", bgp_rib_count(bgp_speaker_rib(b->speaker, BGP_IPV6)));
	}
	ctl_send(c);
}

/* "the peer says Cease, Administrative Reset"; "" while nothing went wrong. */
static const char *last_error(const struct bgp_fsm *f, char *text, size_t size)
{
	const struct bgp_fault *l = &f->last;
	const char *sub = l->code ? bgp_sub_name(l->code, l->sub) : "";

	if (!l->code)
		return l->text;
	snprintf(text, size, "%s says %s%s%s%s%s", f->last_theirs ? "the peer" : "this end",
		 bgp_code_name(l->code), *sub ? ", " : "", sub, *l->text ? ": " : "", l->text);
	return text;
}

static void show_families(struct ctl_call *c, const struct bgp_fsm *f)
{
	const bool *v = f->agreed.family;

	if (bgp_fsm_side(f) < 0)
		return;
	ctl_col(c, "families",
		v[BGP_IPV4] && v[BGP_IPV6] ? "IPv4,IPv6"
		: v[BGP_IPV6]              ? "IPv6"
					   : "IPv4");
	ctl_num(c, "holdTime", f->agreed.hold_time);
	ctl_flag(c, "gracefulRestart", f->agreed.graceful);
}

static void show_peer(struct ctl_call *c, const struct bgp *b, struct bgp_peer *p)
{
	const struct bgp_peer_conf *conf = bgp_peer_conf(p);
	const struct bgp_fsm *f = bgp_peer_fsm(p);
	const struct bgp_transport *t = bgp_store_transport(b, p);
	const struct bfd *bfd = bgp_peer_bfd(p);
	int64_t since = bgp_fsm_side(f) >= 0 ? f->up_at : f->down_at;
	struct bgp_peer_counts n;
	char text[400];
	uint64_t in = 0, out = 0;

	bgp_peer_count(p, &n);
	for (unsigned i = 0; i < BGP_MESSAGES; i++) {
		in += f->in[i];
		out += f->out[i];
	}
	ctl_row(c, "peer");
	ctl_col(c, "node", b->role->cfg.node);
	ctl_col(c, "name", bgp_peer_name(p));
	ctl_addr(c, "ip", &conf->addr);
	ctl_num(c, "port", conf->port);
	ctl_num(c, "asNumber", conf->session.peer_as);
	ctl_col(c, "type", bgp_peer_source(p)->ebgp ? "eBGP" : conf->client ? "client" : "iBGP");
	ctl_col(c, "state", bgp_state_name(bgp_fsm_state(f)));
	if (since)
		ctl_num(c, "seconds", (uint64_t)(bgp_now_ms() - since) / 1000);
	ctl_num(c, "received", n.received);
	ctl_num(c, "told", n.told);
	ctl_num(c, "messagesIn", in);
	ctl_num(c, "messagesOut", out);
	ctl_num(c, "ends", f->ends);
	ctl_num(c, "faulty", n.withdrawn_as_faulty + n.discarded);
	ctl_col(c, "lastError", last_error(f, text, sizeof(text)));
	ctl_flag(c, "passive", conf->session.passive);
	ctl_flag(c, "password", t && t->password);
	if (bfd) {
		ctl_col(c, "bfd", bfd_state_name((enum bfd_state)bfd->state));
		ctl_flag(c, "bfdMultihop", bfd->conf.multihop);
	}
	show_families(c, f);
	ctl_send(c);
}

static void show_problem(void *arg, const char *object, const char *text)
{
	struct ctl_call *c = arg;
	const struct bgp *b = c->owner;

	ctl_row(c, "problem");
	ctl_col(c, "node", b->role->cfg.node);
	ctl_col(c, "object", object);
	ctl_col(c, "text", text);
	ctl_send(c);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(bgp_peer_name(*(struct bgp_peer *const *)a),
		      bgp_peer_name(*(struct bgp_peer *const *)b));
}

static int show_peers(struct ctl_call *c, const struct bgp *b, struct err *e)
{
	struct bgp_peer *p, **v;
	size_t n = 0;

	for (p = bgp_peer_first(b->speaker); p; p = bgp_peer_after(p))
		n++;
	v = calloc(n ? n : 1, sizeof(struct bgp_peer *));
	if (!v)
		return err_set(e, -ENOMEM, "no memory");
	n = 0;
	for (p = bgp_peer_first(b->speaker); p; p = bgp_peer_after(p))
		v[n++] = p;
	qsort(v, n, sizeof(struct bgp_peer *), by_name);
	for (size_t i = 0; i < n; i++)
		show_peer(c, b, v[i]);
	free(v);
	return 0;
}

static int show_status(struct ctl_call *c, struct err *e)
{
	const struct bgp *b = c->owner;
	int rc;

	show_speaker(c, b);
	rc = b->speaker ? show_peers(c, b, e) : 0;
	if (!rc)
		bgp_wants_problems(bgp_store_wants(b), show_problem, c);
	return rc;
}

/* ---- bgp-routes */

struct listing {
	struct bgp_reader *reader;
	enum bgp_family family;
	ev_timer turn;
	ev_tstamp moved; /* when there was room last */
};

static const char *text_of(struct buf *b)
{
	return b->n ? b->v : "";
}

static void show_attrs(struct ctl_call *c, const struct bgp_attrs *a)
{
	static const char *const origins[] = { "IGP", "EGP", "incomplete" };
	struct ipaddr originator = addr_v4(a->originator_id);
	struct buf path = { 0 }, communities = { 0 };

	bgp_path_str(a, &path);
	bgp_communities_str(a, &communities);
	ctl_addr(c, "via", &a->next_hop);
	ctl_col(c, "asPath", text_of(&path));
	ctl_col(c, "origin", origins[a->origin % 3]);
	ctl_col(c, "communities", text_of(&communities));
	if (a->has & BGP_HAS_LOCAL_PREF)
		ctl_num(c, "localPref", a->local_pref);
	if (a->has & BGP_HAS_MED)
		ctl_num(c, "med", a->med);
	if (a->has & BGP_HAS_ORIGINATOR)
		ctl_addr(c, "originator", &originator);
	buf_fini(&path);
	buf_fini(&communities);
}

static void show_dest(struct ctl_call *c, const struct bgp_rib *rib, const struct bgp_dest *d)
{
	const struct bgp *b = c->owner;
	const struct bgp_path *best = bgp_dest_best(d), *p;
	struct prefix prefix = bgp_rib_prefix(rib, d);
	uint32_t shared = bgp_dest_multipath(d), i = 0;
	char why[96];

	for (p = bgp_dest_paths(d); p; p = p->next, i++) {
		ctl_row(c, "route");
		ctl_col(c, "node", b->role->cfg.node);
		ctl_prefix(c, "prefix", &prefix);
		ctl_col(c, "peer", p->from->local ? "" : p->from->name);
		ctl_flag(c, "best", p == best);
		ctl_flag(c, "inUse", i < shared);
		ctl_flag(c, "filtered", p->filtered);
		ctl_flag(c, "stale", p->stale);
		ctl_num(c, "seconds", (uint64_t)(bgp_now_ms() / 1000) - p->learned);
		show_attrs(c, p->attrs);
		if (p->from->local)
			ctl_col(c, "why", bgp_origin_why(b, &prefix));
		else if (p == best)
			ctl_col(c, "why", bgp_why(d, why));
		ctl_send(c);
	}
}

static void stop_listing(struct ctl_call *c)
{
	struct bgp *b = c->owner;
	struct listing *l = c->state;

	ev_timer_stop(b->role->loop, &l->turn);
	bgp_reader_free(l->reader);
	l->reader = NULL;
	c->closed = NULL;
}

/* True: there is more. */
static bool list_piece(struct ctl_call *c, struct listing *l)
{
	const struct bgp *b = c->owner;
	const struct bgp_rib *rib = bgp_speaker_rib(b->speaker, l->family);
	struct bgp_dest *d;

	for (unsigned i = 0; i < PIECE; i++) {
		d = bgp_reader_next(l->reader);
		if (d)
			show_dest(c, rib, d);
		else
			return false;
	}
	return true;
}

/* The next table; NULL: that was the last, or there is no memory for it. */
static bool next_family(const struct bgp *b, struct listing *l)
{
	bgp_reader_free(l->reader);
	l->reader = NULL;
	if (++l->family == BGP_FAMILIES)
		return false;
	l->reader = bgp_reader_new(bgp_speaker_rib(b->speaker, l->family));
	return l->reader;
}

static void on_turn(struct ev_loop *loop, ev_timer *w, int events)
{
	struct ctl_call *c = w->data;
	struct listing *l = c->state;
	bool room = stream_queued(c->client.stream) < QUEUE;
	struct err e = { 0 };
	int rc = 0;

	(void)events;
	if (room)
		l->moved = ev_now(loop);
	else if (ev_now(loop) - l->moved > STALL_S)
		rc = err_set(&e, -ETIMEDOUT, "nobody reads the answer");
	if (!rc && (!room || list_piece(c, l) || next_family(c->owner, l))) {
		ev_timer_set(w, room ? 0. : REST_S, 0.);
		ev_timer_start(loop, w);
		return;
	}
	stop_listing(c);
	ctl_end(c, rc, &e);
}

void bgp_ctl_forget(struct bgp *b)
{
	struct err e;

	err_set(&e, -EAGAIN, "the speaker ends");
	for (struct client *k = b->ctl.listener.clients; k; k = k->next) {
		struct ctl_call *c = (struct ctl_call *)k;

		if (c->closed != stop_listing)
			continue;
		stop_listing(c);
		ctl_end(c, e.code, &e);
	}
}

static int show_prefix(struct ctl_call *c, const char *text, struct err *e)
{
	const struct bgp *b = c->owner;
	const struct bgp_dest *d;
	struct bgp_rib *rib;
	struct prefix p;

	if (prefix_parse_host(text, &p))
		return err_set(e, -EINVAL, "\"%s\" is no prefix", text);
	p = prefix_mask(&p);
	rib = bgp_speaker_rib(b->speaker, bgp_family_of_addr(&p.addr));
	d = bgp_rib_find(rib, &p);
	if (d)
		show_dest(c, rib, d);
	return 0;
}

static int show_routes(struct ctl_call *c, struct err *e)
{
	const char *prefix = strmap_get(&c->req.args, "prefix");
	struct bgp *b = c->owner;
	struct listing *l;

	if (!b->speaker)
		return 0;
	if (prefix)
		return show_prefix(c, prefix, e);
	l = arena_alloc(&c->arena, sizeof(*l));
	if (!l)
		return err_set(e, -ENOMEM, "no memory");
	l->reader = bgp_reader_new(bgp_speaker_rib(b->speaker, l->family));
	if (!l->reader)
		return err_set(e, -ENOMEM, "no memory");
	l->moved = ev_now(b->role->loop);
	ev_timer_init(&l->turn, on_turn, 0., 0.);
	l->turn.data = c;
	c->state = l;
	c->closed = stop_listing;
	ev_timer_start(b->role->loop, &l->turn);
	return CTL_LATER;
}

/* ---- bgp-peer */

static int do_peer(struct ctl_call *c, struct err *e)
{
	const char *name = strmap_get(&c->req.args, "name"), *what = strmap_get(&c->req.args, "do");
	struct bgp *b = c->owner;
	struct bgp_peer *p = b->speaker && name ? bgp_speaker_named(b->speaker, name) : NULL;

	if (!name || !what)
		return err_set(e, -EINVAL, "bgp-peer: name and do are wanted");
	if (!p)
		return err_set(e, -ENOENT, "no peer \"%s\"", name);
	if (strcmp(what, "reset") == 0)
		bgp_peer_reset(p, "asked for by an operator", bgp_now_ms());
	else if (strcmp(what, "refresh") == 0)
		bgp_peer_refresh(p, bgp_now_ms());
	else
		return err_set(e, -EINVAL, "\"%s\" is neither reset nor refresh", what);
	bgp_wake(b);
	return 0;
}

const struct ctl_verb bgp_verbs[] = {
	{ "bgp-status", show_status },
	{ "bgp-routes", show_routes },
	{ "bgp-peer", do_peer },
	{ NULL, NULL },
};
