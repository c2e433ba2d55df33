/* SPDX-License-Identifier: Apache-2.0 */
/* fairlead why: the question with all names resolved (why_ask.c), what policies say of it
 * (why_policy.c), the packet's path (why_hops.c), and the answer on paper (why.c, why_policy_out.c). */
#pragma once
#include "cmd/objects.h"
#include "core/policy/judge.h"
#include "core/service/service.h"
#include "core/trace/predict.h"
#include "model/trace.h"

#include <jansson.h>

extern const struct names why_proto_names; /* --proto of `why` and `trace`: enum trace_protocol */

struct why_opts {
	LIST(const char *) files;
	LIST(struct prefix) pod_cidrs, service_cidrs, node_port_addresses;
	const char *node;
	uint8_t proto; /* enum trace_protocol; none: TCP */
	uint8_t masquerade_all, localhost_node_ports, format, hops;
	bool dns; /* a server of names is asked: at port 53 where none is given */
};

/* One side of the question. */
struct why_end {
	const char *text; /* as typed, without the port; of a workload the pod that stands for it */
	struct ipaddr ips[OBJECT_IPS];
	uint32_t n;       /* 0: of a pod, which has none yet */
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
	uint8_t proto;            /* enum trace_protocol */
	struct svc_flow flow;     /* of ICMP without a protocol; family 0: no address is known */
	struct svc_flow seen;     /* the same as it comes to the node that judges */
	const char *seen_because; /* why that has another source; NULL: it has not */
	struct svc_plan *plans;
	size_t n_plans;
};

/* `to` NULL, with o->dns: the server that FROM's resolv.conf names. Reads objects and names; on failure reports and returns the exit code. why_forget() after
 * either. */
int why_ask(struct cmd_ctx *ctx, const struct why_opts *o, const char *from, const char *to,
	    struct why *w);
void why_forget(struct why *w);

/* The pool that has the address; NULL: none. */
const struct ippool *why_pool_of(const struct cluster *c, const struct ipaddr *ip);

/* ---- policies */

/* Where the connection may come to, and how policies judge it there: on the source's node what leaves
 * the pod, on the target's node what arrives. */
struct why_target {
	struct ipaddr ip;
	uint16_t port;
	const struct pod *pod; /* NULL: no pod */
	const struct policy_answerer
		*dns;     /* the judging node's own, which gets it; NULL: it does not */
	const char *name; /* "NS/POD", "NS/dns@NODE", else the address */
	struct policy_flow sent, arrives;
	const char *
		source_because; /* why `arrives` has another source than the client; NULL: it has not */
	struct policy_half egress, ingress;
	bool allowed;
};

struct why_policy {
	LIST(struct why_target) targets; /* none where a Service refuses */
	uint32_t n_denied;
};

/* 0, or the exit code, having said why. */
int why_policy(struct cmd_ctx *ctx, const struct why *w, const struct svc_verdict *v,
	       struct why_policy *out);
/* The keys allowed, partly, reason, by and policy. */
void why_policy_json(const struct why *w, const struct svc_verdict *v, const struct why_policy *p,
		     json_t *onto, struct arena *a);
void why_policy_print(const struct why *w, const struct why_policy *p, struct arena *a);
/* ---- the path */

/* 0, or the exit code, having said why. Ways that differ in the endpoint alone are one; between ends of
 * which one has no address, none is known. */
int why_hops(struct cmd_ctx *ctx, const struct why *w, struct stories *out);
/* The keys hops and ways. */
void why_hops_json(const struct stories *s, json_t *onto);
/* One line each, or all hops. 0, or the exit code, having said why. */
int why_hops_print(const struct stories *s, bool all, struct arena *a);
/* "ADDR:PORT", "[ADDR]:PORT", and of port 0, which is none, "ADDR"; of no address "no address, port PORT". */
const char *why_address(const struct ipaddr *ip, unsigned port, struct arena *a);
