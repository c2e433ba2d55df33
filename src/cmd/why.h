/* SPDX-License-Identifier: Apache-2.0 */
/* fairlead why, its two halves: the question with all names resolved (why_ask.c), and the
 * answer on paper (why.c). */
#pragma once
#include "cmd/objects.h"
#include "core/service/service.h"

struct why_opts {
	LIST(const char *) files;
	LIST(struct prefix) pod_cidrs, service_cidrs, node_port_addresses;
	const char *node;
	uint8_t proto, masquerade_all, localhost_node_ports, format;
};

/* One side of the question. */
struct why_end {
	const char *text; /* as typed, without the port */
	struct ipaddr ips[OBJECT_IPS];
	uint32_t n;
	const char *node; /* where it lives; NULL: unknown, or nowhere */
	const char *ns;   /* of a pod; for names in it */
	const struct pod *pod;
	const struct service *service;
	uint16_t port; /* 0: none given */
};

struct why {
	struct objects objects;
	struct why_end from, to;
	struct svc_node node;
	struct svc_flow flow;
	struct svc_plan *plans;
	size_t n_plans;
};

/* Reads objects and names; on failure reports and returns the exit code. why_forget() after
 * either. */
int why_ask(struct cmd_ctx *ctx, const struct why_opts *o, const char *from, const char *to,
	    struct why *w);
void why_forget(struct why *w);
