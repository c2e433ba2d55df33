/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints of responder and prober: an address and a port, in and out of the kernel's forms,
 * and datagrams that know both of their ends. */
#pragma once
#include "base/addr.h"
#include "base/err.h"

#include <stdint.h>
#include <sys/socket.h>

#define EP_TEXT 56 /* "[ADDR]:PORT" */

/* Port in host order. */
socklen_t ep_addr(const struct ipaddr *a, uint16_t port, struct sockaddr_storage *out);
struct ipaddr ep_ip(const struct sockaddr_storage *ss); /* IPv4-mapped becomes IPv4 */

/* "ADDR:PORT", IPv6 in brackets, IPv4-mapped as IPv4. */
const char *ep_str(const struct sockaddr_storage *ss, char buf[EP_TEXT]);

/* A nonblocking close-on-exec socket bound to `port` on all addresses of all families that
 * this namespace has; asks for packet information where `type` is no stream. */
int ep_listen(int type, uint16_t port, int *fd, struct err *e);

/* One datagram with both ends; `self` carries the address that it was sent to. */
ssize_t ep_recv(int fd, void *data, size_t n, struct sockaddr_storage *from,
		struct sockaddr_storage *self);
/* Sends from that address, whichever the routing would have chosen. */
ssize_t ep_send(int fd, const void *data, size_t n, const struct sockaddr_storage *to,
		const struct sockaddr_storage *self);
