/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs of `fairlead policy` and `why` share: who takes part, and verdicts in words and in
 * JSON. */
#pragma once
#include "cmd/objects.h"
#include "core/policy/judge.h"

#include <jansson.h>

extern const struct cmd cmd_policy_matrix, cmd_policy_show, cmd_policy_test;

extern const uint8_t policy_probed[]; /* enum protocol of an enum probe_proto */

/* Options about objects, and the kinds that policies are about. */
struct policy_opts {
	LIST(const char *) files;
	uint8_t format; /* enum out_format: text or json */
};

#define POLICY_OPTIONS(type)                                                                       \
	OPT(type, common.files, 'f', "filename", OPT_STR, .list = 1, .arg = "PATH",                \
	    .complete = "file", .doc = "Objects of these manifests, not of the store"),            \
		OPT(type, common.format, 'o', "output", OPT_ENUM, .names = &out_formats_json,      \
		    .doc = "Output format")

int policy_objects(struct cmd_ctx *ctx, const struct policy_opts *o, struct objects *out);

/* Who sends or receives. */
struct policy_end {
	const char *name;
	const struct pod *pod; /* NULL: none */
	struct ipaddr ips[OBJECT_IPS];
	uint32_t n; /* 0: no address is known */
};

struct policy_ends {
	LIST(struct policy_end) list;
};

/* Every pod that has not ended, in the order of namespaces and names, and `room` more to come.
 * False: no memory. */
bool policy_pods(const struct cluster *c, uint32_t room, struct arena *a, struct policy_ends *out);
/* A pod's address stands for the pod, as in the kernel. */
struct policy_end policy_end_at(const struct cluster *c, const char *name, const struct ipaddr *ip);

/* Calls `fn` for each family that both have, IPv4 first; where an address is not known, once. False
 * where they have none in common, or as soon as `fn` says so. */
typedef bool policy_flow_fn(void *arg, const struct policy_flow *flow);
bool policy_flows(const struct policy_end *from, const struct policy_end *to, uint8_t proto,
		  uint16_t port, policy_flow_fn *fn, void *arg);
/* Of a flow: 4, 6, or 0 where no address is known. */
int policy_family(const struct policy_flow *f);

/* ---- policy_words.c; texts in `a` */

/* Why, in words, of the end `who`: "shop/a ingress[0].from[1]", "default deny by shop/a", … */
const char *policy_half_words(const struct policy_half *h, enum policy_type type, const char *who,
			      struct arena *a);
/* Appends {kind, ns, name, rule, direction} of the rule that allows, or of every policy that isolates
 * where it is denied; one that is there already not again. */
void policy_by_json(json_t *list, const struct policy_half *h, enum policy_type type);

/* One direction's verdict, as printed and as JSON. */
struct policy_said {
	const struct cluster *cluster;
	const struct policy_flow *flow;
	const struct policy_half *half;
	enum policy_type type;
	const char *who; /* the end whose policies speak */
};

/* "ingress  default deny by shop/a", and below it, one line each, why the rules did not match. */
void policy_print_half(const struct policy_said *s, const char *indent, struct arena *a);
/* {state, reason, misses:[{ns, name, rule, why}]} */
json_t *policy_half_json(const struct policy_said *s, struct arena *a);
