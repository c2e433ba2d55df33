/* SPDX-License-Identifier: Apache-2.0 */
/* A speaker with three peers, and whatever may happen to it: each record of the input is an octet of what, one of how much, and that
 * many octets. Nothing it is told may end it, keep a destination that nobody needs, or make it send what is no message.
 * Parser: core/bgp/speaker.c core/bgp/speaker_in.c core/bgp/speaker_out.c core/bgp/speaker_peers.c core/bgp/fsm.c core/bgp/rib.c
 * Parser: core/bgp/rib_reader.c core/bgp/decide.c core/bgp/out.c core/bgp/filter.c */
#include "core/bgp/speaker.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define PEERS 3 /* "0" is of another AS, "1" and "2" are of ours */
#define MANY  200

struct fuzz {
	struct bgp_speaker *s;
	bool there[PEERS][BGP_SIDES], offer;
	int64_t now;
};

static unsigned number(const struct bgp_peer *p)
{
	return bgp_peer_name(p)[0] - '0';
}

static void on_connect(struct bgp_peer *p, void *arg)
{
	struct fuzz *f = arg;

	assert(!f->there[number(p)][BGP_OURS]);
	f->there[number(p)][BGP_OURS] = true;
}

static void on_take(struct bgp_peer *p, void *arg)
{
	struct fuzz *f = arg;

	assert(f->offer && !f->there[number(p)][BGP_THEIRS]);
	f->there[number(p)][BGP_THEIRS] = true;
	f->offer = false;
}

static void check_messages(const uint8_t *v, size_t n)
{
	struct bgp_fault fault;

	while (n) {
		int len = bgp_message_next(v, n, &fault);

		assert(len > 0);
		v += len;
		n -= (size_t)len;
	}
}

static void on_send(struct bgp_peer *p, enum bgp_side side, const void *v, size_t n, void *arg)
{
	struct fuzz *f = arg;

	assert(f->there[number(p)][side]);
	check_messages(v, n);
}

static void on_close(struct bgp_peer *p, enum bgp_side side, void *arg)
{
	struct fuzz *f = arg;

	f->there[number(p)][side] = false;
}

static void on_gone(struct bgp_peer *p, void *arg)
{
	(void)p;
	(void)arg;
}

static void on_note(const struct bgp_peer *p, bool bad, const char *text, void *arg)
{
	(void)p;
	(void)bad;
	(void)arg;
	assert(*text);
}

/* What a BGPFilter can say: of a prefix, a path and communities, and what it adds. */
static struct bgp_filter filter_of(bool export, uint8_t how)
{
	static struct bgp_community of[] = { { false, { 0xfde80001u } },
					     { true, { 65000, 1, 2 } } };
	static struct bgp_community add[] = { { false, { 0xfde80009u } },
					      { true, { 65000, 9, 9 } } };
	static uint32_t path[] = { 65001 };
	static struct bgp_rule rule[] = {
		{ .match = BGP_M_IN, .min_len = 25, .max_len = 32, .peer = BGP_PT_EBGP },
		{ .match = BGP_M_EQUAL,
		  .n_path = 1,
		  .path = path,
		  .n_communities = 2,
		  .communities = of },
		{ .accept = true,
		  .match = BGP_M_NOT_IN,
		  .peer = BGP_PT_IBGP,
		  .set_preference = true,
		  .preference = 200,
		  .n_add = 2,
		  .add = add },
		{ .accept = true, .match = BGP_M_NOT_EQUAL, .n_prepend = 1, .prepend = path },
	};
	static const struct bgp_rules rules = { "fuzz", 4, rule };
	static const struct bgp_rules *const all[] = { &rules };

	for (unsigned i = 0; i < 4; i++)
		rule[i].cidr = (struct prefix){ addr_v4(0xc0000200), 24 };
	return (struct bgp_filter){
		.v = (const struct bgp_rules **)all, .n = 1, .deny = export, .digest = how
	};
}

static void configure(struct fuzz *f, uint8_t how)
{
	static const char *const names[PEERS] = { "0", "1", "2" };
	struct bgp_peer_conf v[PEERS];

	memset(v, 0, sizeof(v));
	for (unsigned i = 0; i < PEERS; i++) {
		struct bgp_session_conf *s = &v[i].session;

		v[i].name = names[i];
		v[i].addr = addr_v4(0x0a000002 + i);
		v[i].next_hop[BGP_IPV4] = addr_v4(0x0a000001);
		v[i].max_prefixes = how & 8 ? 3 : 0;
		v[i].client = how & 4;
		v[i].next_hop_self = how & 64;
		v[i].on_link = (struct prefix){ addr_v4(0x0a000000), 24 };
		if (how & 32) {
			v[i].import[BGP_IPV4] = filter_of(false, how);
			v[i].export[BGP_IPV4] = filter_of(true, how);
		}
		s->local_as = 65000;
		s->local_id = 1;
		s->peer_as = i ? 65000 : 65001;
		s->hold_time = 90;
		s->connect_retry = 5;
		s->passive = how & 2;
		s->family[BGP_IPV4] = s->family[BGP_IPV6] = s->as4 = s->refresh = true;
		s->graceful.offered = how & 1;
		s->graceful.restart_time = 60;
		s->graceful.family[BGP_IPV4] = s->graceful.kept[BGP_IPV4] = how & 1;
	}
	for (unsigned i = 0; i < PEERS; i++) {
		if (i && (how & 16))
			bgp_speaker_drop(f->s, v[i].name, f->now);
		else
			assert(!bgp_speaker_put(f->s, &v[i], f->now));
	}
	bgp_speaker_settle(f->s);
}

static const struct bgp_speaker_conf conf = {
	.as = 65000, .id = 1, .multipath = 2, .restart_time = 60
};

static void begin(struct fuzz *f, bool restarting)
{
	const struct bgp_io io = { on_connect, on_take, on_send, on_close, on_gone, on_note, f };
	struct bgp_speaker_conf c = conf;

	c.restarting = restarting;
	f->s = bgp_speaker_new(&c, &io, f->now);
	configure(f, restarting);
}

/* What peers told, and their connections, are gone with their sessions; but a connection that is to look broken is left as it is. */
static void stop(struct fuzz *f, bool graceful)
{
	bgp_speaker_stop(f->s, graceful, "end", f->now);
	for (unsigned i = 0; i < BGP_FAMILIES && !graceful; i++)
		assert(bgp_rib_count(bgp_speaker_rib(f->s, i)) <= 1 + MANY);
	for (unsigned i = 0; i < PEERS && !graceful; i++)
		assert(!f->there[i][BGP_OURS] && !f->there[i][BGP_THEIRS]);
	bgp_speaker_free(f->s);
	memset(f->there, 0, sizeof(f->there));
}

static void say(struct fuzz *f, struct bgp_peer *p, enum bgp_side side, const uint8_t *v, size_t n)
{
	uint8_t m[BGP_HEADER + 256];

	if (!p || !f->there[number(p)][side])
		return;
	/* A frame around it, so that the input need not find one. */
	memset(m, 0xff, 16);
	m[16] = (uint8_t)((n + 18) >> 8);
	m[17] = (uint8_t)(n + 18);
	if (!n)
		return;
	memcpy(m + 18, v, n);
	bgp_peer_received(p, side, m, n + 18, f->now);
}

static void tell(struct fuzz *f)
{
	for (struct bgp_peer *p = bgp_peer_first(f->s); p; p = bgp_peer_after(p)) {
		struct buf b = { 0 };

		for (unsigned i = 0; i < 100 && bgp_peer_fill(p, &b, b.n + 1, f->now); i++)
			;
		check_messages((const uint8_t *)b.v, b.n);
		buf_fini(&b);
	}
}

/* Bytes that need not be messages; what was not taken is to be given again, which nobody does here. */
static void babble(struct fuzz *f, struct bgp_peer *p, enum bgp_side side, const uint8_t *v,
		   size_t n)
{
	if (p && f->there[number(p)][side])
		assert(bgp_peer_received(p, side, v, n, f->now) <= n);
}

static void originate_many(struct fuzz *f)
{
	for (unsigned i = 0; i < MANY; i++) {
		struct prefix p = { addr_v4(0xac120000 + i), 32 };

		assert(!bgp_speaker_originate(f->s, &p, NULL, f->now));
	}
}

static bool look_at(const struct bgp_dest *d, void *arg)
{
	const struct bgp_rib *r = arg;
	struct prefix p = bgp_rib_prefix(r, d), q = prefix_mask(&p);
	uint32_t n = 0;

	for (const struct bgp_path *at = bgp_dest_paths(d); at; at = at->next)
		n++;
	assert(n && bgp_dest_multipath(d) <= n && prefix_eq(&p, &q));
	assert(bgp_rib_find(r, &p) == d);
	assert(!bgp_dest_best(d) || bgp_dest_best(d) == bgp_dest_paths(d));
	return true;
}

/* What status shows. */
static void look(struct fuzz *f)
{
	uint32_t paths[BGP_FAMILIES] = { 0 };

	for (unsigned i = 0; i < BGP_FAMILIES; i++)
		bgp_rib_each(bgp_speaker_rib(f->s, i), look_at, bgp_speaker_rib(f->s, i));
	for (struct bgp_peer *p = bgp_peer_first(f->s); p; p = bgp_peer_after(p)) {
		struct bgp_peer_counts c;

		bgp_peer_count(p, &c);
		for (unsigned i = 0; i < BGP_FAMILIES; i++)
			paths[i] = bgp_rib_count_of(bgp_speaker_rib(f->s, i), bgp_peer_source(p));
		assert(c.received == paths[BGP_IPV4] + paths[BGP_IPV6]);
		assert(*bgp_state_name(bgp_fsm_state(bgp_peer_fsm(p))));
		assert(bgp_speaker_find(f->s, &bgp_peer_conf(p)->addr) == p);
	}
	assert(bgp_speaker_at(f->s) >= 0);
	if (!bgp_speaker_is_complete(f->s))
		assert(bgp_speaker_at(f->s));
}

static void happen(struct fuzz *f, uint8_t what, const uint8_t *v, uint8_t n)
{
	struct bgp_peer *p = bgp_speaker_named(f->s, what & 0x40 ? "2" : what & 0x10 ? "1" : "0");
	enum bgp_side side = what & 0x20 ? BGP_THEIRS : BGP_OURS;
	struct prefix mine = { addr_v4(0xac100000), 16 };

	switch (what & 0x0f) {
	case 0:
		configure(f, n ? v[0] : 0);
		break;
	case 1:
		if (p && f->there[number(p)][BGP_OURS])
			bgp_peer_connected(p, f->now);
		break;
	case 2:
		f->offer = true;
		if (p)
			bgp_peer_accepted(p, f->now);
		f->offer = false;
		break;
	case 3:
		if (p && f->there[number(p)][side])
			bgp_peer_failed(p, side, f->now);
		break;
	case 4:
		f->now += (n ? v[0] : 1) * 1000;
		bgp_speaker_time(f->s, f->now);
		break;
	case 5:
		assert(!bgp_speaker_originate(f->s, &mine, NULL, f->now));
		break;
	case 6:
		bgp_speaker_withdraw(f->s, &mine);
		break;
	case 7:
		tell(f);
		break;
	case 8:
		if (p)
			bgp_peer_refresh(p, f->now);
		break;
	case 9:
		if (p)
			bgp_peer_reset(p, "fuzz", f->now);
		break;
	case 11:
		stop(f, what & 0x80);
		begin(f, what & 0x80);
		break;
	case 12:
		babble(f, p, side, v, n);
		break;
	case 13:
		originate_many(f);
		break;
	case 14:
		look(f);
		break;
	default:
		say(f, p, side, v, n);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = { .now = 1000000 };
	size_t at = 0;

	begin(&f, false);
	while (at + 2 <= size) {
		uint8_t what = data[at], n = data[at + 1];

		at += 2;
		if (n > size - at)
			n = (uint8_t)(size - at);
		happen(&f, what, data + at, n);
		at += n;
	}
	stop(&f, false);
	return 0;
}
