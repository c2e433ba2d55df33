// SPDX-License-Identifier: Apache-2.0
/* bfd: see bfd.h. Sections are RFC 5880's. */
#include "core/bgp/bfd.h"

#include "base/wire.h"

#include <errno.h>
#include <stddef.h>

#define VERSION     1
#define ONE_HOP_TTL 255      /* RFC 5881 5 */
#define SLOW_US     1000000u /* 6.8.3: not more often while it is not up */

enum flag { MULTIPOINT = 1, DEMAND = 2, AUTH = 4, INDEPENDENT = 8, FINAL = 16, POLL = 32 };

/* ---- packets (4.1) */

static const char *wrong_with(const struct bfd_packet *p, size_t n)
{
	if (n < BFD_PACKET)
		return "shorter than a control packet";
	if (p->version != VERSION)
		return "another version";
	if (p->length < (p->auth ? BFD_PACKET + 2 : BFD_PACKET) || p->length > n)
		return "a length that it does not have";
	if (!p->multiplier)
		return "detection multiplier 0";
	if (p->multipoint)
		return "multipoint";
	if (!p->my)
		return "discriminator 0";
	if (!p->your && p->state != BFD_DOWN && p->state != BFD_ADMIN_DOWN)
		return "no discriminator of ours, and not down";
	return p->auth ? "authentication, which is not configured" : NULL;
}

int bfd_packet_decode(const uint8_t *p, size_t n, struct bfd_packet *out, const char **why)
{
	struct wire w = wire_from(p, n);
	uint8_t first = wire_u8(&w), second = wire_u8(&w);
	struct bfd_packet v = { .version = first >> 5,
				.diag = first & 31,
				.state = second >> 6,
				.poll = second & POLL,
				.final = second & FINAL,
				.c_independent = second & INDEPENDENT,
				.auth = second & AUTH,
				.demand = second & DEMAND,
				.multipoint = second & MULTIPOINT };

	v.multiplier = wire_u8(&w);
	v.length = wire_u8(&w);
	v.my = wire_u32(&w);
	v.your = wire_u32(&w);
	v.desired_us = wire_u32(&w);
	v.required_us = wire_u32(&w);
	v.echo_us = wire_u32(&w);
	*why = wrong_with(&v, n);
	if (*why)
		return -EBADMSG;
	*out = v;
	return 0;
}

void bfd_packet_put(struct buf *b, const struct bfd_packet *p)
{
	put_u8(b, (uint8_t)(VERSION << 5 | (p->diag & 31)));
	put_u8(b, (uint8_t)(p->state << 6 | (p->poll ? POLL : 0) | (p->final ? FINAL : 0) |
			    (p->c_independent ? INDEPENDENT : 0) | (p->demand ? DEMAND : 0)));
	put_u8(b, p->multiplier);
	put_u8(b, BFD_PACKET);
	put_u32(b, p->my);
	put_u32(b, p->your);
	put_u32(b, p->desired_us);
	put_u32(b, p->required_us);
	put_u32(b, p->echo_us);
}

/* ---- times */

static uint32_t larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* 6.8.7: how often we send; not at all where the peer wants nothing. */
static uint32_t send_every(const struct bfd *s)
{
	return larger(s->desired_us, s->peer_required_us);
}

/* 6.8.4: asynchronous mode, from what the peer says of itself. */
static int64_t detection(const struct bfd *s)
{
	return (int64_t)s->peer_multiplier * larger(s->required_us, s->peer_desired_us);
}

/* 6.8.3: our intervals follow the state; what is said anew while it is up is agreed by a Poll Sequence. */
static void set_intervals(struct bfd *s)
{
	uint32_t desired =
		s->state == BFD_UP ? s->conf.interval_us : larger(s->conf.interval_us, SLOW_US);

	if (s->state == BFD_UP &&
	    (desired != s->desired_us || s->conf.interval_us != s->required_us))
		s->polling = true;
	s->desired_us = desired;
	s->required_us = s->conf.interval_us;
}

static void change(struct bfd *s, enum bfd_state to, enum bfd_diag diag, int64_t now)
{
	s->before = s->state;
	s->state = (uint8_t)to;
	s->diag = (uint8_t)diag;
	s->changed_at = now;
	s->polling = false;
	if (to == BFD_DOWN || to == BFD_ADMIN_DOWN)
		s->peer_discriminator = 0;
	set_intervals(s);
	s->send_at = now; /* a change is said at once */
}

/* ---- life */

void bfd_init(struct bfd *s, const struct bfd_conf *c, int64_t now_us)
{
	*s = (struct bfd){ .conf = *c, .peer_required_us = 1 };
	change(s, BFD_DOWN, BFD_NONE, now_us);
}

void bfd_configure(struct bfd *s, const struct bfd_conf *c, int64_t now_us)
{
	s->conf = *c;
	set_intervals(s);
	s->send_at = now_us;
}

void bfd_admin(struct bfd *s, bool down, int64_t now_us)
{
	if (down != (s->state == BFD_ADMIN_DOWN))
		change(s, down ? BFD_ADMIN_DOWN : BFD_DOWN, down ? BFD_ADMIN : BFD_NONE, now_us);
}

/* ---- how far (RFC 5881 4, 5; RFC 5883 5) */

uint16_t bfd_port(const struct bfd_conf *c)
{
	return c->multihop ? BFD_MULTIHOP_PORT : BFD_PORT;
}

bool bfd_is_near(const struct bfd_conf *c, uint16_t port, int ttl)
{
	return port == bfd_port(c) && ttl >= (c->multihop ? c->min_ttl : ONE_HOP_TTL);
}

/* ---- what is heard */

/* 6.8.6, the session's state and the peer's. True: it changed. */
static bool follow(struct bfd *s, const struct bfd_packet *p, int64_t now)
{
	uint8_t was = s->state;

	if (p->state == BFD_ADMIN_DOWN) {
		if (s->state != BFD_DOWN)
			change(s, BFD_DOWN, BFD_NEIGHBOR_DOWN, now);
	} else if (s->state == BFD_DOWN) {
		if (p->state == BFD_DOWN)
			change(s, BFD_INIT, BFD_NONE, now);
		else if (p->state == BFD_INIT)
			change(s, BFD_UP, BFD_NONE, now);
	} else if (s->state == BFD_INIT) {
		if (p->state != BFD_DOWN)
			change(s, BFD_UP, BFD_NONE, now);
	} else if (p->state == BFD_DOWN) {
		change(s, BFD_DOWN, BFD_NEIGHBOR_DOWN, now);
	}
	return s->state != was;
}

bool bfd_receive(struct bfd *s, const struct bfd_packet *p, int64_t now_us)
{
	bool changed;

	if (s->state == BFD_ADMIN_DOWN || (p->your && p->your != s->conf.discriminator)) {
		s->dropped++;
		return false;
	}
	s->received++;
	s->peer_state = p->state;
	s->peer_diag = p->diag;
	s->peer_desired_us = p->desired_us;
	s->peer_required_us = p->required_us;
	s->peer_multiplier = p->multiplier;
	if (p->final)
		s->polling = false;
	if (p->poll) {
		s->final_due = true;
		s->send_at = now_us;
	}
	changed = follow(s, p, now_us);
	s->peer_demand = p->demand && s->state == BFD_UP && p->state == BFD_UP;
	if (s->state != BFD_DOWN || p->state != BFD_ADMIN_DOWN)
		s->peer_discriminator = p->my;
	s->detect_at = now_us + detection(s);
	return changed;
}

/* ---- what is due */

/* 6.8.7: 75 to 100 % of the interval, with a multiplier of 1 at most 90 %. */
static int64_t jittered(const struct bfd *s, uint8_t jitter)
{
	int64_t every = send_every(s), span = s->conf.multiplier == 1 ? 15 : 25;

	return every * 75 / 100 + every * span * jitter / 25600;
}

static void say(struct bfd *s, struct bfd_packet *out)
{
	*out = (struct bfd_packet){ .version = VERSION,
				    .diag = s->diag,
				    .state = s->state,
				    .multiplier = s->conf.multiplier,
				    .length = BFD_PACKET,
				    .poll = s->polling && !s->final_due,
				    .final = s->final_due,
				    .my = s->conf.discriminator,
				    .your = s->peer_discriminator,
				    .desired_us = s->desired_us,
				    .required_us = s->required_us };
	s->final_due = false;
	s->sent++;
}

bool bfd_tick(struct bfd *s, int64_t now_us, uint8_t jitter, bool *send, struct bfd_packet *out)
{
	bool expired = s->detect_at && s->detect_at <= now_us;
	bool changed = expired && (s->state == BFD_UP || s->state == BFD_INIT);

	*send = false;
	if (expired) {
		s->detect_at = 0;
		s->peer_discriminator = 0; /* 6.8.1 */
	}
	if (changed)
		change(s, BFD_DOWN, BFD_EXPIRED, now_us);
	if (!s->send_at || s->send_at > now_us)
		return changed;
	s->send_at = now_us + jittered(s, jitter);
	/* 6.8.7: nothing to one that wants nothing, nor to one in demand mode, but for answers. */
	if ((s->peer_required_us && (!s->peer_demand || s->polling)) || s->final_due) {
		say(s, out);
		*send = true;
	}
	return changed;
}

int64_t bfd_at(const struct bfd *s)
{
	return s->detect_at && s->detect_at < s->send_at ? s->detect_at : s->send_at;
}

const char *bfd_state_name(enum bfd_state s)
{
	static const char *const name[] = { "AdminDown", "Down", "Init", "Up" };

	return name[s];
}

const char *bfd_diag_name(enum bfd_diag d)
{
	static const char *const name[] = {
		"No Diagnostic",          "Control Detection Time Expired",
		"Echo Function Failed",   "Neighbor Signaled Session Down",
		"Forwarding Plane Reset", "Path Down",
		"Concatenated Path Down", "Administratively Down"
	};

	return d < sizeof(name) / sizeof(name[0]) ? name[d] : "unknown";
}
