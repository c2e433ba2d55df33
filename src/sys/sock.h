/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets: unix, TCP and UDP, descriptors handed over, and the stream of records on which all
 * of fairlead's processes talk. All descriptors are close-on-exec. */
#pragma once
#include "base/addr.h"
#include "base/err.h"
#include "model/record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- opening; all return a descriptor */

/* `type` is SOCK_STREAM or SOCK_SEQPACKET. A socket file that nobody listens on is replaced;
 * one that lives is -EADDRINUSE. -ENAMETOOLONG past the 107 bytes that sun_path holds.
 * The listener is non-blocking. */
int sock_unix_listen(const char *path, int type, mode_t mode, struct err *e);
/* Blocking descriptor; -ETIMEDOUT when the listener's queue stays full for timeout_ms. */
int sock_unix_connect(const char *path, int type, int timeout_ms, struct err *e);
int sock_pair(int type, int fds[2], struct err *e);
/* Non-blocking, cloexec connection from a listener; -EAGAIN when none waits. */
int sock_accept(int fd, struct err *e);

/* `proto` is "tcp" (listens) or "udp". Non-blocking, SO_REUSEADDR, IP_FREEBIND (an address that
 * comes later), IPv6 sockets take IPv6 only. Port in host order. `shared`: others of the same user
 * with this address and port may stand beside it (SO_REUSEPORT). */
int sock_bind(const char *proto, const struct ipaddr *addr, uint16_t port, bool shared,
	      struct err *e);

/* ---- a stream of records (model/record.h), either side, on a SOCK_STREAM or SOCK_SEQPACKET
 * unix socket. No event loop inside: watch `fd` for rstream_events() and call rstream_fill()
 * or rstream_flush(), then rstream_next() until it gives 0.
 *
 * A descriptor travels with the frame it was put with. On SOCK_SEQPACKET each datagram is one
 * frame. Input is hostile: frames past RECORD_MAX and descriptors that no frame claims end the
 * stream with an error; unclaimed descriptors are closed. */

#define RSTREAM_FDS   16
#define RSTREAM_QUEUE (256u << 20) /* default of out_limit */

struct rstream_fd {
	uint64_t at; /* offset in the stream */
	int fd;
};

struct rstream {
	int fd;
	bool packets;     /* SOCK_SEQPACKET */
	bool eof;         /* the peer closed; frames that came before are still delivered */
	size_t out_limit; /* bytes queued past which put gives -ENOBUFS: a peer that reads not */
	struct buf in, out;
	size_t in_used;             /* bytes of `in` already given out */
	uint64_t in_at, out_at;     /* stream offset of in.v[0], out.v[out_sent] */
	size_t out_sent;            /* bytes of `out` already written */
	struct rstream_fd *out_fds; /* in order, waiting to be sent */
	size_t out_nfds, out_capfds;
	struct rstream_fd in_fds[RSTREAM_FDS]; /* received, not given out yet */
	size_t in_nfds;
};

struct rframe {
	unsigned type;    /* enum record_type */
	struct wire body; /* valid until the next rstream_fill() */
	int fd;           /* -1, or a descriptor that the caller now owns */
};

/* Takes over `fd` also on failure (closes it) and makes it non-blocking. */
int rstream_init(struct rstream *s, int fd, struct err *e);
void rstream_fini(struct rstream *s); /* closes; safe on a zeroed struct and twice */

/* Queues one record; `fd` ≥ 0 is duplicated and travels along, the caller keeps its own. */
int rstream_put(struct rstream *s, unsigned type, const struct schema *schema, const void *body,
		int fd, struct err *e);
/* Queues a frame that record_put() encoded, so that one encoding serves many readers. */
int rstream_put_frame(struct rstream *s, const void *frame, size_t n, int fd, struct err *e);

int rstream_fill(struct rstream *s, struct err *e);  /* reads what is there, at most 128 KiB */
int rstream_flush(struct rstream *s, struct err *e); /* writes what goes without blocking */
bool rstream_wants_write(const struct rstream *s);
size_t rstream_queued(const struct rstream *s); /* bytes not written yet */

/* 1: *f is the next frame; 0: none whole yet (at s->eof: none will come); negative: the peer
 * speaks no records, end the stream. */
int rstream_next(struct rstream *s, struct rframe *f, struct err *e);

/* For programs without a loop: writes what is queued and waits for a frame. -ETIMEDOUT after
 * timeout_ms (negative: never), -ECONNRESET when the peer closed first. */
int rstream_recv(struct rstream *s, struct rframe *f, int timeout_ms, struct err *e);
/* Waits until everything queued is written; -ETIMEDOUT. */
int rstream_drain(struct rstream *s, int timeout_ms, struct err *e);
