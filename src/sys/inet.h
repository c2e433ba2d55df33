/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets of routing protocols: what BGP and BFD ask of TCP and UDP beyond an address and a port. None of it needs privileges.
 *
 * Secrets: RFC 2385 (TCP MD5), per peer address, on the listener as well as on each connection. Distance: all
 * packets go out with TTL 255, and those of a peer that says the same are taken only from that near (RFC 5082, RFC 5881 5). */
#pragma once
#include "base/addr.h"
#include "base/arena.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INET_SECRET_MAX 80 /* octets: TCP_MD5SIG_MAXKEYLEN */

struct inet_peer {
	struct ipaddr addr, source; /* source.family 0: the kernel chooses */
	uint16_t port;
	const char *secret; /* NULL: none */
	size_t secret_len;
	uint8_t hops; /* at most so far away; 0: however far */
};

/* A nonblocking connection that is being made; it is there, or failed, when it is writable (inet_error()). */
int inet_connect(const struct inet_peer *p, struct err *e);
/* What became of it: 0 or -errno. */
int inet_error(int fd);
/* The accepted end: who it is. */
int inet_accept(int listener, struct ipaddr *from, struct err *e); /* -EAGAIN: nobody waits */
/* Sets what a listener says of distance and class in its first packets. */
int inet_prepare(int fd, uint8_t family, struct err *e);
/* Packets that came from further away are dropped by the kernel from now on. */
int inet_limit(int fd, uint8_t family, uint8_t hops, struct err *e);
/* Segments from and to `addr` are signed with that secret; NULL: with none, as none is left from before. */
int inet_secret(int fd, const struct ipaddr *addr, const char *secret, size_t n, struct err *e);

/* The addresses of interfaces, each with the length of its link, but for loopback and link-local ones; in order. */
int inet_subnets(struct arena *a, struct prefix **out, size_t *n, struct err *e);

/* ---- datagrams with their distance */

struct inet_origin {
	struct ipaddr from, to; /* to.family 0: the kernel did not say */
	int ttl;                /* -1: likewise */
};

/* A bound socket of somebody else's is told to say how far each datagram came, and to which address. */
int inet_watch(int fd, uint8_t family, struct err *e);
/* A socket for one peer, out of a port from `first` to 65535. */
int inet_datagrams(const struct inet_peer *p, uint16_t first, struct err *e);
/* Bytes; -EAGAIN. */
int inet_receive(int fd, void *v, size_t n, struct inet_origin *o, struct err *e);
