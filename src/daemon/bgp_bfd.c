// SPDX-License-Identifier: Apache-2.0
/* BFD's datagrams: in on the keeper's sockets of ports 3784 (one hop, RFC 5881) and 4784 (several, RFC 5883), out of a socket of each
 * session's own, with TTL 255. State, times and how far a packet may have come are core/bgp/bfd.h's, here is one timer for each session.
 *
 * Whose a packet is follows from its source, the address that it came to, and our discriminator where it has one (RFC 5883 4). As in
 * BGP there is one session for an address of the peer's, and it has one port: what comes to the other one is nobody's.
 * A session that cannot send yet, as no route leads to the peer, tries again. */
#include "daemon/bgp.h"
#include "sys/clock.h"
#include "sys/inet.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIRST_PORT 49152   /* RFC 5881 4 */
#define AGAIN_US   1000000 /* until a socket is tried for again */
#define BURST      64      /* datagrams taken in one turn */

static int64_t now_us(void)
{
	return (int64_t)(clock_mono_ns() / 1000);
}

static void arm(struct bgp_end *end)
{
	const struct bfd *s = bgp_peer_bfd(end->peer);
	struct ev_loop *loop = end->bgp->role->loop;
	int64_t left;

	ev_timer_stop(loop, &end->bfd_timer);
	if (!s)
		return;
	left = end->bfd_fd >= 0 ? bfd_at(s) - now_us() : AGAIN_US;
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

static void begin(struct bgp_end *end)
{
	const struct bgp_transport *t = bgp_store_transport(end->bgp, end->peer);
	struct inet_peer to = { .addr = bgp_peer_conf(end->peer)->addr,
				.port = bfd_port(&bgp_peer_bfd(end->peer)->conf) };
	struct err e;

	if (t)
		to.source = t->source;
	end->bfd_port = to.port;
	end->bfd_source = to.source;
	end->bfd_fd = inet_datagrams(&to, FIRST_PORT, &e);
	if (end->bfd_fd < 0 && !end->bfd_said)
		log_warn("peer %s: BFD: %s; it is tried again", bgp_peer_name(end->peer), e.text);
	end->bfd_said = end->bfd_fd < 0;
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int events)
{
	struct bgp_end *end = w->data;

	(void)loop;
	(void)events;
	if (end->bfd_fd < 0)
		begin(end);
	if (end->bfd_fd >= 0)
		tick(end);
	else
		arm(end);
}

/* ---- in */

/* RFC 5880 6.8.6, RFC 5883 4: NULL: nobody's. A discriminator of another session's bfd_receive() refuses. */
static struct bgp_end *session_of(const struct bgp *b, const struct inet_origin *o, uint16_t port)
{
	struct bgp_peer *peer = bgp_speaker_find(b->speaker, &o->from);
	struct bgp_end *end = peer ? bgp_peer_data(peer) : NULL;
	const struct bfd *s = peer ? bgp_peer_bfd(peer) : NULL;

	if (!s || !end || end->bfd_fd < 0 || !bfd_is_near(&s->conf, port, o->ttl))
		return NULL;
	if (s->conf.multihop && end->bfd_source.family && !addr_eq(&end->bfd_source, &o->to))
		return NULL;
	return end;
}

static void take(struct bgp *b, const uint8_t *v, size_t n, const struct inet_origin *o,
		 uint16_t port)
{
	struct bfd_packet p;
	struct bgp_end *end;
	const char *why;

	if (!b->speaker || bfd_packet_decode(v, n, &p, &why))
		return;
	end = session_of(b, o, port);
	if (!end)
		return;
	if (bfd_receive(bgp_peer_bfd(end->peer), &p, now_us()))
		changed(end);
	tick(end);
}

void bgp_bfd_take(struct bgp *b, int fd, uint16_t port)
{
	uint8_t v[256];
	struct inet_origin o;
	struct err e;
	int n;

	for (unsigned i = 0; i < BURST; i++) {
		n = inet_receive(fd, v, sizeof(v), &o, &e);
		if (n < 0)
			return;
		take(b, v, (size_t)n, &o, port);
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

void bgp_bfd_update(struct bgp *b, struct bgp_peer *p)
{
	struct bgp_end *end = bgp_end_of(b, p);

	if (!end)
		return;
	if (!bgp_peer_bfd(p) || bfd_port(&bgp_peer_bfd(p)->conf) != end->bfd_port)
		bgp_bfd_gone(end);
	if (!bgp_peer_bfd(p))
		return;
	if (!end->bfd_timer.cb)
		ev_timer_init(&end->bfd_timer, on_timer, 0., 0.);
	end->bfd_timer.data = end;
	if (end->bfd_fd < 0)
		begin(end);
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
