/* SPDX-License-Identifier: Apache-2.0 */
/* Messages but UPDATE: the frame that all have, OPEN with its capabilities, NOTIFICATION, KEEPALIVE,
 * ROUTE-REFRESH. Bytes ↔ structs, nothing else: whether a message is welcome now is fsm.h's business.
 *
 * RFC 4271 4 and 6.1 to 6.2; capabilities RFC 5492, 4760, 6793, 2918, 4724, 8538; extended optional
 * parameters RFC 9072; identifiers RFC 6286; AS 0 RFC 7607; shutdown communication RFC 9003. */
#pragma once
#include "base/buf.h"
#include "core/bgp/types.h"

/* The length of the message at the front of `p`; 0: more bytes are needed; -EBADMSG: `f` says why.
 * The marker, the length and the type are checked as soon as they are there. */
int bgp_message_next(const uint8_t *p, size_t n, struct bgp_fault *f);

/* Graceful restart (RFC 4724), as one side offers it. */
struct bgp_graceful {
	bool offered;
	bool restarting;                               /* R */
	bool notification;                             /* N, RFC 8538 */
	uint16_t restart_time;                         /* seconds, up to 4095 */
	bool family[BGP_FAMILIES], kept[BGP_FAMILIES]; /* F: forwarding went on */
};

struct bgp_open {
	uint8_t version;
	uint32_t as; /* of four octets where the capability is there, else My Autonomous System */
	uint32_t id;
	uint16_t hold_time; /* seconds: 0, or 3 and more */
	bool as4, refresh, multiprotocol;
	bool family[BGP_FAMILIES]; /* without the multiprotocol capability: IPv4 */
	struct bgp_graceful graceful;
};

/* `body` is what follows the header. -EBADMSG: `f`. What the configuration says of the peer is not looked at. */
int bgp_open_decode(const uint8_t *body, size_t n, struct bgp_open *out, struct bgp_fault *f);
void bgp_open_put(struct buf *b, const struct bgp_open *o);

/* The peer's last words; an unknown code is none of our faults. `text` has a shutdown communication, escaped. */
int bgp_notification_decode(const uint8_t *body, size_t n, struct bgp_fault *out);
void bgp_notification_put(struct buf *b, const struct bgp_fault *f);
/* RFC 9003: `why` becomes the data of a Cease, cut at 255 octets between two characters. */
void bgp_cease(struct bgp_fault *f, enum bgp_cease_sub sub, const char *why);

void bgp_keepalive_put(struct buf *b);

/* The family that is asked for, -1 for one that nobody agreed on (which is ignored), or -EBADMSG with `f`.
 * Subtypes of RFC 7313 are ignored, as it is not offered. */
int bgp_refresh_decode(const uint8_t *body, size_t n, struct bgp_fault *f);
void bgp_refresh_put(struct buf *b, enum bgp_family family);

/* Begins a message; the end fills in its length. Only the last one begun may be ended. */
size_t bgp_message_begin(struct buf *b, enum bgp_message type);
void bgp_message_end(struct buf *b, size_t begun);
