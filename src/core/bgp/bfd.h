/* SPDX-License-Identifier: Apache-2.0 */
/* BFD, asynchronous mode: does the way to the peer carry packets, known in milliseconds instead of BGP's seconds.
 *
 * RFC 5880 6.8 (state, timers, reception and transmission of control packets), RFC 5881 (one hop: port 3784, TTL 255, source
 * port), RFC 5883 (several: port 4784, any TTL but what is configured). The state machine is one; what differs is from how far packets
 * are taken. No echo, no demand mode of ours (the peer's is heeded), no authentication: a packet with it is dropped.
 * No sockets, no clock, no randomness: jitter and the discriminator are given. */
#pragma once
#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

#define BFD_PORT          3784 /* one hop */
#define BFD_MULTIHOP_PORT 4784
#define BFD_PACKET        24

enum bfd_state { BFD_ADMIN_DOWN, BFD_DOWN, BFD_INIT, BFD_UP }; /* the numbers of the wire */

enum bfd_diag {
	BFD_NONE,
	BFD_EXPIRED,
	BFD_ECHO,
	BFD_NEIGHBOR_DOWN,
	BFD_FORWARDING_RESET,
	BFD_PATH_DOWN,
	BFD_CONCATENATED,
	BFD_ADMIN
};

struct bfd_conf {
	uint32_t interval_us; /* wanted between packets, both ways */
	uint8_t multiplier;
	uint32_t discriminator; /* ours, not 0, no other session's */
	bool multihop;
	uint8_t min_ttl; /* of what is taken, where it is multihop */
};

struct bfd {
	struct bfd_conf conf;
	uint8_t state, before, peer_state, diag, peer_diag; /* before: the last change */
	uint32_t peer_discriminator;
	uint32_t desired_us,
		required_us; /* what we say: at least a second until it is up (6.8.3) */
	uint32_t peer_desired_us, peer_required_us;
	uint8_t peer_multiplier;
	bool peer_demand, polling, final_due;
	int64_t send_at, detect_at; /* us; 0: not running */
	uint64_t received, sent, dropped;
	int64_t changed_at;
};

struct bfd_packet {
	uint8_t version, diag, state, multiplier, length;
	bool poll, final, c_independent, auth, demand, multipoint;
	uint32_t my, your, desired_us, required_us, echo_us;
};

/* -EBADMSG with a text of what is wrong (6.8.6, the steps that need no session). */
int bfd_packet_decode(const uint8_t *p, size_t n, struct bfd_packet *out, const char **why);
void bfd_packet_put(struct buf *b, const struct bfd_packet *p);

void bfd_init(struct bfd *s, const struct bfd_conf *c, int64_t now_us);
/* Another configuration while it runs: by a Poll Sequence (6.8.3), without going down. */
void bfd_configure(struct bfd *s, const struct bfd_conf *c, int64_t now_us);
/* The port that both sides take this session's packets on. */
uint16_t bfd_port(const struct bfd_conf *c);
/* Has a packet that came to `port` with this TTL, -1: unknown, come from no further than the peer may be? */
bool bfd_is_near(const struct bfd_conf *c, uint16_t port, int ttl);
/* A decoded packet of this session. True: the state changed. */
bool bfd_receive(struct bfd *s, const struct bfd_packet *p, int64_t now_us);
/* What is due. `jitter` is 0 to 255 of randomness. True: the state changed; *send: `out` is to be sent now. */
bool bfd_tick(struct bfd *s, int64_t now_us, uint8_t jitter, bool *send, struct bfd_packet *out);
void bfd_admin(struct bfd *s, bool down, int64_t now_us);
int64_t bfd_at(const struct bfd *s); /* when to tick next */
const char *bfd_state_name(enum bfd_state s);
const char *bfd_diag_name(enum bfd_diag d);
