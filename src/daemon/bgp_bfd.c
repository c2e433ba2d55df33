// SPDX-License-Identifier: Apache-2.0
/* BFD's datagrams (RFC 5881): in on the keeper's sockets of port 3784, where only what came with TTL 255 counts, that is from a neighbour;
 * out of a socket of each session's own. State and times are core/bgp/bfd.h's, here is one timer for each session. */
#include "daemon/bgp.h"
#include "sys/clock.h"
#include "sys/inet.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIRST_PORT 49152 /* RFC 5881 4 */
#define BURST      64    /* datagrams taken in one turn */

static int64_t now_us(void)
{
	return (int64_t)(clock_mono_ns() / 1000);
}

static void arm(struct bgp_end *end)
{
	const struct bfd *s = bgp_peer_bfd(end->peer);
	int64_t at = s && end->bfd_fd >= 0 ? bfd_at(s) : 0, left = at - now_us();
	struct ev_loop *loop = end->bgp->role->loop;

	ev_timer_stop(loop, &end->bfd_timer);
	if (!at)
		return;
	ev_now_update(loop);
	ev_timer_set(&end->bfd_timer, left > 0 ? (double)left / 1e6 : 0., 0.);
	ev_timer_start(loop, &end->bfd_timer);
}

static void say(struct bgp_end *end, const struct bfd_packet *p)
{
	struct buf b = { 0 };

	bfd_packet_put(&b, p);
	/* One that is lost counts as one that was lost on the way. */
	if (!b.failed && send(end->bfd_fd, b.v, b.n, MSG_NOSIGNAL) < 0)
		log_debug("peer %s: BFD is not sent", bgp_peer_name(end->peer));
	buf_fini(&b);
}

static void changed(struct bgp_end *end)
{
	const struct bfd *s = bgp_peer_bfd(end->peer);

	log_info("peer %s: BFD is %s%s%s", bgp_peer_name(end->peer),
		 bfd_state_name((enum bfd_state)s->state), s->diag ? ": " : "",
		 s->diag ? bfd_diag_name((enum bfd_diag)s->diag) : "");
	bgp_peer_bfd_changed(end->peer, bgp_now_ms());
	bgp_wake(end->bgp);
}

static void tick(struct bgp_end *end)
{
	struct bfd *s = bgp_peer_bfd(end->peer);
	struct bfd_packet p;
	uint8_t jitter;
	bool due = false, other;

	random_bytes(&jitter, sizeof(jitter));
	other = bfd_tick(s, now_us(), jitter, &due, &p);
	if (due)
		say(end, &p);
	if (other)
		changed(end);
	arm(end);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int events)
{
	(void)loop;
	(void)events;
	tick(w->data);
}

/* ---- in */

/* RFC 5880 6.8.6: by our discriminator, or in the beginning by who sends it. */
static struct bgp_peer *session_of(const struct bgp *b, const struct bfd_packet *p,
				   const struct ipaddr *from)
{
	struct bgp_peer *peer = bgp_speaker_find(b->speaker, from);
	const struct bfd *s = peer ? bgp_peer_bfd(peer) : NULL;

	return s && (!p->your || p->your == s->conf.discriminator) ? peer : NULL;
}

static void take(struct bgp *b, const uint8_t *v, size_t n, const struct ipaddr *from)
{
	struct bfd_packet p;
	struct bgp_peer *peer;
	struct bgp_end *end;
	const char *why;

	if (!b->speaker || bfd_packet_decode(v, n, &p, &why))
		return;
	peer = session_of(b, &p, from);
	end = peer ? bgp_peer_data(peer) : NULL;
	if (!end || end->bfd_fd < 0)
		return;
	if (bfd_receive(bgp_peer_bfd(peer), &p, now_us()))
		changed(end);
	tick(end);
}

void bgp_bfd_take(struct bgp *b, int fd)
{
	uint8_t v[256];
	struct ipaddr from;
	struct err e;
	int ttl, n;

	for (unsigned i = 0; i < BURST; i++) {
		n = inet_receive(fd, v, sizeof(v), &from, &ttl, &e);
		if (n < 0)
			return;
		if (ttl == 255)
			take(b, v, (size_t)n, &from);
	}
}

/* ---- which sessions there are */

void bgp_bfd_gone(struct bgp_end *end)
{
	ev_timer_stop(end->bgp->role->loop, &end->bfd_timer);
	if (end->bfd_fd >= 0)
		close(end->bfd_fd);
	end->bfd_fd = -1;
}

static void begin(struct bgp *b, struct bgp_end *end)
{
	const struct bgp_transport *t = bgp_store_transport(b, end->peer);
	struct inet_peer to = { .addr = bgp_peer_conf(end->peer)->addr, .port = BFD_PORT };
	struct err e;

	if (t)
		to.source = t->source;
	end->bfd_fd = inet_datagrams(&to, FIRST_PORT, &e);
	if (end->bfd_fd < 0)
		log_warn("peer %s: BFD: %s", bgp_peer_name(end->peer), e.text);
}

void bgp_bfd_update(struct bgp *b, struct bgp_peer *p)
{
	struct bgp_end *end = bgp_end_of(b, p);

	if (!end)
		return;
	if (!bgp_peer_bfd(p)) {
		bgp_bfd_gone(end);
		return;
	}
	if (!end->bfd_timer.cb)
		ev_timer_init(&end->bfd_timer, on_timer, 0., 0.);
	end->bfd_timer.data = end;
	if (end->bfd_fd < 0)
		begin(b, end);
	arm(end);
}

void bgp_bfd_leave(struct bgp *b)
{
	for (struct bgp_peer *p = bgp_peer_first(b->speaker); p; p = bgp_peer_after(p)) {
		struct bgp_end *end = bgp_peer_data(p);
		struct bfd *s = bgp_peer_bfd(p);
		struct bfd_packet last;
		bool due = false;

		if (!s || !end || end->bfd_fd < 0)
			continue;
		bfd_admin(s, true, now_us());
		bfd_tick(s, now_us(), 0, &due, &last);
		if (due)
			say(end, &last);
	}
}
