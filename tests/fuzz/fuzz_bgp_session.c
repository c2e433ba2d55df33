/* SPDX-License-Identifier: Apache-2.0 */
/* A speaker with two peers, and whatever may happen to it: each record of the input is an octet of what, one of how much, and that
 * many octets. Nothing it is told may end it, keep a destination that nobody needs, or make it send what is no message.
 * Parser: core/bgp/speaker.c core/bgp/speaker_in.c core/bgp/fsm.c core/bgp/rib.c core/bgp/out.c */
#include "core/bgp/speaker.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct fuzz {
	struct bgp_speaker *s;
	bool there[2][BGP_SIDES], offer;
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

static void configure(struct fuzz *f, uint8_t how)
{
	struct bgp_peer_conf v[2];

	memset(v, 0, sizeof(v));
	for (unsigned i = 0; i < 2; i++) {
		struct bgp_session_conf *s = &v[i].session;

		v[i].name = i ? "1" : "0";
		v[i].addr = addr_v4(0x0a000002 + i);
		v[i].next_hop[BGP_IPV4] = addr_v4(0x0a000001);
		v[i].max_prefixes = how & 8 ? 3 : 0;
		v[i].client = how & 4;
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
	if (how & 16)
		bgp_speaker_drop(f->s, v[1].name, f->now);
	for (unsigned i = 0; i < (how & 16 ? 1 : 2); i++)
		assert(!bgp_speaker_put(f->s, &v[i], f->now));
	bgp_speaker_settle(f->s);
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

static void happen(struct fuzz *f, uint8_t what, const uint8_t *v, uint8_t n)
{
	struct bgp_peer *p = bgp_speaker_named(f->s, what & 0x10 ? "1" : "0");
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
	default:
		say(f, p, side, v, n);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct bgp_speaker_conf c = {
		.as = 65000, .id = 1, .multipath = 2, .restart_time = 60
	};
	struct fuzz f = { .now = 1000000 };
	const struct bgp_io io = { on_connect, on_take, on_send, on_close, on_gone, on_note, &f };
	size_t at = 0;

	f.s = bgp_speaker_new(&c, &io, f.now);
	configure(&f, 0);
	while (at + 2 <= size) {
		uint8_t what = data[at], n = data[at + 1];

		at += 2;
		if (n > size - at)
			n = (uint8_t)(size - at);
		happen(&f, what, data + at, n);
		at += n;
	}
	bgp_speaker_stop(f.s, false, "end", f.now);
	for (unsigned i = 0; i < BGP_FAMILIES; i++)
		assert(bgp_rib_count(bgp_speaker_rib(f.s, i)) <= 1);
	bgp_speaker_free(f.s);
	return 0;
}
