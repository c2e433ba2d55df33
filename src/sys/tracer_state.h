/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of sys/tracer share; see tracer.h. A way to see packets is a `struct tracer_eye`: programs in
 * the kernel (tracer_bpf.c) or packet sockets (tracer_packet.c). */
#pragma once
#include "sys/tracer.h"

#define TRACER_VXLAN_PORT 4789

struct tracer_eye;

/* The bytes from the network header on, outermost first, not trusted: what was cut off reads as 0. False:
 * no packet of IP. */
bool tracer_head_parse(const uint8_t *v, size_t n, uint16_t vxlan_port, struct tracer_head *out);

/* ---- eBPF */

/* -EOPNOTSUPP where this build has none. */
int tracer_bpf_open(const struct tracer_opts *o, struct tracer_eye **out, struct err *e);
/* The socket's messages come through the eye from now on, in their place among its events. */
int tracer_bpf_attach(struct tracer_eye *y, int socket, uint32_t space, struct err *e);

/* ---- packet sockets */

int tracer_packet_open(const struct tracer_opts *o, struct tracer_eye **out, struct err *e);

/* ---- either */

struct tracer_eye {
	/* A copy of tracer_read()'s contract. */
	int (*read)(struct tracer_eye *y, tracer_fn fn, void *arg, struct err *e);
	uint32_t (*lost)(struct tracer_eye *y);
	void (*close)(struct tracer_eye *y);
	int fd;
};
