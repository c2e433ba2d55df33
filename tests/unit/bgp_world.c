/* SPDX-License-Identifier: Apache-2.0 */
/* bgp_world: see bgp_world.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bgp_world.h"
#include "core/bgp/path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOM 8192

/* A peer's owner's data: its connections by side. */
static struct connection **slots(const struct bgp_peer *p)
{
	return bgp_peer_data(p);
}

static struct router *router_at(struct world *w, const struct ipaddr *a)
{
	for (unsigned i = 0; i < w->n; i++)
		if (addr_eq(&w->r[i].addr, a))
			return &w->r[i];
	return NULL;
}

static struct connection *make(struct world *w)
{
	struct connection *c = &w->c[w->n_c++];

	assert_true(w->n_c <= CONNECTIONS);
	*c = (struct connection){ .fresh = true };
	return c;
}

/* ---- what speakers ask for */

static struct connection **own_slots(struct bgp_peer *p)
{
	if (!bgp_peer_data(p))
		bgp_peer_set_data(p, calloc(BGP_SIDES, sizeof(struct connection *)));
	return slots(p);
}

static void on_connect(struct bgp_peer *p, void *arg)
{
	struct router *r = arg;
	struct connection *c = make(r->w);

	c->peer[BGP_OURS] = p;
	c->at[BGP_OURS] = r;
	c->at[BGP_THEIRS] = router_at(r->w, &bgp_peer_conf(p)->addr);
	own_slots(p)[BGP_OURS] = c;
}

static void on_take(struct bgp_peer *p, void *arg)
{
	struct router *r = arg;
	struct connection *c = r->w->offered;

	assert_non_null(c);
	c->peer[BGP_THEIRS] = p;
	own_slots(p)[BGP_THEIRS] = c;
}

static void on_send(struct bgp_peer *p, enum bgp_side side, const void *v, size_t n, void *arg)
{
	struct connection *c = slots(p)[side];
	struct router *r = arg;

	assert_non_null(c);
	if (!r->off)
		buf_put(&c->to[side == BGP_OURS ? BGP_THEIRS : BGP_OURS], v, n);
}

static void on_close(struct bgp_peer *p, enum bgp_side side, void *arg)
{
	struct connection *c = slots(p) ? slots(p)[side] : NULL;

	if (!c)
		return;
	c->peer[side] = NULL;
	slots(p)[side] = NULL;
}

static void on_gone(struct bgp_peer *p, void *arg)
{
	for (unsigned i = 0; slots(p) && i < BGP_SIDES; i++)
		on_close(p, i, arg);
	free(slots(p));
	bgp_peer_set_data(p, NULL);
}

static void on_note(const struct bgp_peer *p, bool bad, const char *text, void *arg)
{
	struct router *r = arg;
	size_t n = strlen(r->log);

	snprintf(r->log + n, sizeof(r->log) - n, "%s: %s\n", bgp_peer_name(p), text);
}

/* ---- the world */

void world_init(struct world *w)
{
	*w = (struct world){ .now = 1000000 };
}

void world_fini(struct world *w)
{
	for (unsigned i = 0; i < w->n; i++)
		bgp_speaker_free(w->r[i].s);
	for (unsigned i = 0; i < w->n_c; i++)
		for (unsigned side = 0; side < BGP_SIDES; side++)
			buf_fini(&w->c[i].to[side]);
}

struct router *world_add(struct world *w, uint8_t n, uint32_t as,
			 const struct bgp_speaker_conf *conf)
{
	struct router *r = &w->r[w->n++];
	const struct bgp_io io = { on_connect, on_take, on_send, on_close, on_gone, on_note, r };
	struct bgp_speaker_conf c =
		conf ? *conf : (struct bgp_speaker_conf){ .multipath = 8, .restart_time = 120 };

	c.as = as;
	c.id = 0x0a000000u | n;
	*r = (struct router){ .w = w, .addr = addr_v4(c.id), .as = as };
	r->s = bgp_speaker_new(&c, &io, w->now);
	assert_non_null(r->s);
	return r;
}

struct bgp_peer_conf world_conf(const struct router *r, const struct router *of)
{
	static char names[ROUTERS * ROUTERS][ADDR_TEXT];
	size_t at = (size_t)(of - of->w->r);
	struct bgp_peer_conf c;

	memset(&c, 0, sizeof(c));
	c.name = addr_str(&of->addr, names[at]);
	c.addr = of->addr;
	c.port = BGP_PORT;
	c.session.local_as = r->as;
	c.session.peer_as = of->as;
	c.session.local_id = 0x0a000000u | r->addr.b[3];
	c.session.hold_time = 90;
	c.session.connect_retry = 5;
	c.session.family[BGP_IPV4] = c.session.family[BGP_IPV6] = true;
	c.session.as4 = c.session.refresh = true;
	c.session.graceful = (struct bgp_graceful){ .offered = true,
						    .notification = true,
						    .restart_time = 120,
						    .family = { true, true },
						    .kept = { true, true } };
	c.next_hop[BGP_IPV4] = r->addr;
	addr_parse("fd00::1", &c.next_hop[BGP_IPV6]);
	c.next_hop[BGP_IPV6].b[15] = r->addr.b[3];
	prefix_parse("10.0.0.0/24", &c.on_link);
	return c;
}

static void want_too(struct router *r, const struct router *of)
{
	struct bgp_peer_conf c = world_conf(r, of);

	assert_int_equal(bgp_speaker_put(r->s, &c, r->w->now), 0);
	bgp_speaker_settle(r->s);
}

int world_peers(struct bgp_speaker *s, const struct bgp_peer_conf *v, size_t n, int64_t now)
{
	int rc = 0;

	for (struct bgp_peer *p = bgp_peer_first(s), *next; p; p = next) {
		bool wanted = false;

		next = bgp_peer_after(p);
		for (size_t i = 0; i < n; i++)
			wanted |= !strcmp(v[i].name, bgp_peer_name(p));
		if (!wanted)
			bgp_speaker_drop(s, bgp_peer_name(p), now);
	}
	for (size_t i = 0; i < n && !rc; i++)
		rc = bgp_speaker_put(s, &v[i], now);
	bgp_speaker_settle(s);
	return rc;
}

void world_join(struct router *a, struct router *b)
{
	want_too(a, b);
	want_too(b, a);
}

static bool begin(struct world *w, struct connection *c)
{
	struct router *to = c->at[BGP_THEIRS];
	struct bgp_peer *p = to ? bgp_speaker_find(to->s, &c->at[BGP_OURS]->addr) : NULL;

	c->fresh = false;
	if (!c->peer[BGP_OURS])
		return true;
	if (!p || to->off) {
		bgp_peer_failed(c->peer[BGP_OURS], BGP_OURS, w->now);
		return true;
	}
	w->offered = c;
	bgp_peer_accepted(p, w->now);
	w->offered = NULL;
	if (c->peer[BGP_THEIRS] && c->peer[BGP_OURS])
		bgp_peer_connected(c->peer[BGP_OURS], w->now);
	return true;
}

static bool deliver(struct world *w, struct connection *c, enum bgp_side side)
{
	struct buf *b = &c->to[side];
	size_t n;

	if (!c->peer[side] || !b->n || c->at[side]->off)
		return false;
	n = bgp_peer_received(c->peer[side], side, (const uint8_t *)b->v, b->n, w->now);
	buf_shift(b, n);
	return n > 0;
}

/* One end is gone, and what it sent has arrived. */
static bool notice_end(struct world *w, struct connection *c, enum bgp_side side)
{
	enum bgp_side other = side == BGP_OURS ? BGP_THEIRS : BGP_OURS;

	if (c->fresh || c->peer[other] || !c->peer[side] || c->at[other]->off || c->at[side]->off)
		return false;
	bgp_peer_failed(c->peer[side], side, w->now);
	return true;
}

static bool tell(struct world *w, struct router *r)
{
	bool any = false;

	for (struct bgp_peer *p = bgp_peer_first(r->s); p; p = bgp_peer_after(p)) {
		struct buf b = { 0 };
		int side;

		bgp_peer_fill(p, &b, ROOM, w->now);
		side = bgp_fsm_side(bgp_peer_fsm(p));
		if (b.n && side >= 0) {
			on_send(p, (enum bgp_side)side, b.v, b.n, r);
			any = true;
		}
		buf_fini(&b);
	}
	return any;
}

void world_run(struct world *w)
{
	bool busy = true;

	for (unsigned turns = 0; busy; turns++) {
		assert_true(turns < 10000);
		busy = false;
		for (unsigned i = 0; i < w->n_c; i++) {
			struct connection *c = &w->c[i];

			busy |= c->fresh && begin(w, c);
			for (unsigned side = 0; side < BGP_SIDES; side++)
				busy |= deliver(w, c, side) || notice_end(w, c, side);
		}
		for (unsigned i = 0; i < w->n; i++)
			busy |= !w->r[i].off && tell(w, &w->r[i]);
	}
}

void world_wait(struct world *w, int64_t ms)
{
	int64_t end = w->now + ms;

	for (;;) {
		int64_t at = 0;

		world_run(w);
		for (unsigned i = 0; i < w->n; i++) {
			int64_t t = w->r[i].off ? 0 : bgp_speaker_at(w->r[i].s);

			at = !at || (t && t < at) ? t : at;
		}
		if (!at || at > end)
			break;
		w->now = at > w->now ? at : w->now;
		for (unsigned i = 0; i < w->n; i++)
			if (!w->r[i].off)
				bgp_speaker_time(w->r[i].s, w->now);
	}
	w->now = end;
}

void world_break(struct world *w, const struct router *a, const struct router *b, bool silent)
{
	for (unsigned i = 0; i < w->n_c; i++) {
		struct connection *c = &w->c[i];

		if ((c->at[0] != a || c->at[1] != b) && (c->at[0] != b || c->at[1] != a))
			continue;
		for (unsigned side = 0; side < BGP_SIDES && !silent; side++)
			if (c->peer[side])
				bgp_peer_failed(c->peer[side], side, w->now);
		for (unsigned side = 0; side < BGP_SIDES; side++)
			buf_clear(&c->to[side]);
	}
}

/* ---- words */

void originate(struct router *r, const char *prefix)
{
	struct prefix p;

	assert_int_equal(prefix_parse(prefix, &p), 0);
	assert_int_equal(bgp_speaker_originate(r->s, &p, NULL, r->w->now), 0);
}

const char *route(const struct router *r, const char *prefix)
{
	static char text[256];
	const struct bgp_path *best;
	const struct bgp_dest *d;
	char hop[ADDR_TEXT];
	struct buf path = { 0 };
	struct prefix p;

	assert_int_equal(prefix_parse(prefix, &p), 0);
	d = bgp_rib_find(bgp_speaker_rib(r->s, bgp_family_of_addr(&p.addr)), &p);
	best = d ? bgp_dest_best(d) : NULL;
	if (!best)
		return "";
	bgp_path_str(best->attrs, &path);
	snprintf(text, sizeof(text), "via %s path %s", addr_str(&best->attrs->next_hop, hop),
		 path.n ? path.v : "-");
	buf_fini(&path);
	return text;
}

struct bgp_peer *peer(const struct router *r, const struct router *of)
{
	return bgp_speaker_find(r->s, &of->addr);
}
