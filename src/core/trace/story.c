// SPDX-License-Identifier: Apache-2.0
/* Names of what a story is made of, and when two of its parts are the same. Times, lengths and flags
 * are left out: they differ from one packet to the next. */
#include "core/trace/story.h"

#include <assert.h>
#include <string.h>

static const char *const directions[] = { "request", "reply" };
const struct names story_direction_names = NAMES(directions);

static const char *const steps[] = { "send",          "leave-pod",      "enter-node",  "service",
				     "policy-egress", "policy-ingress", "route",       "snat",
				     "tunnel-in",     "leave-node",     "tunnel-out",  "enter-pod",
				     "deliver",       "answer",         "untranslate", "refuse",
				     "drop" };
const struct names story_step_names = NAMES(steps);
static_assert(sizeof(steps) / sizeof(*steps) == STORY_STEPS, "a name each");

static const char *const verdicts[] = { "unknown", "delivered", "answered",
					"refused", "dropped",   "lost" };
const struct names story_verdict_names = NAMES(verdicts);
static_assert(sizeof(verdicts) / sizeof(*verdicts) == STORY_LOST + 1, "a name each");

static const char *const kinds[] = { NULL,       "Pod",           "Node",     "Service",
				     "HostPort", "NetworkPolicy", "IPPool",   "IPBlock",
				     "Route",    "Neighbour",     "nftables", "Kernel",
				     "Address",  "Namespace" };
const struct names story_by_names = NAMES(kinds);
static_assert(sizeof(kinds) / sizeof(*kinds) == STORY_BY_NAMESPACE + 1, "a name each");

static const char *const encaps[] = { NULL, "vxlan", "ipip" };
const struct names story_encap_names = NAMES(encaps);

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : !a && !b;
}

struct story_head story_head_inverse(const struct story_head *h)
{
	struct story_head back = *h;

	back.src = h->dst;
	back.dst = h->src;
	back.sport = h->dport;
	back.dport = h->sport;
	return back;
}

bool story_head_same(const struct story_head *a, const struct story_head *b)
{
	return addr_eq(&a->src, &b->src) && addr_eq(&a->dst, &b->dst) && a->proto == b->proto &&
	       a->sport == b->sport && a->dport == b->dport && a->encap == b->encap &&
	       addr_eq(&a->outer_src, &b->outer_src) && addr_eq(&a->outer_dst, &b->outer_dst) &&
	       a->vni == b->vni;
}

bool story_by_same(const struct story_by *a, const struct story_by *b)
{
	return a->kind == b->kind && same_text(a->ns, b->ns) && same_text(a->name, b->name) &&
	       same_text(a->rule, b->rule);
}

/* Ports stand behind a Service's name as in the comments of its elements (docs/abi.md). */
const char *story_by_text(const struct story_by *by, struct arena *a)
{
	bool port = by->kind == STORY_BY_SERVICE || by->kind == STORY_BY_HOST_PORT;

	if (by->kind == STORY_BY_NONE)
		return NULL;
	if (by->kind == STORY_BY_ADDRESS)
		return by->name;
	return arena_printf(a, "%s %s%s%s%s%s", name_of(&story_by_names, by->kind),
			    by->ns ? by->ns : "", by->ns && by->name ? "/" : "",
			    by->name ? by->name : "",
			    !by->rule ? ""
			    : port    ? ":"
				      : " ",
			    by->rule ? by->rule : "");
}
