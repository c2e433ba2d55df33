// SPDX-License-Identifier: Apache-2.0
/* The path of the packet that is asked about, hop by hop, as core/trace/predict says it. Endpoints that are
 * reached by the same nodes and judged alike are one way, with the weight of all of them. */
#include "cmd/why.h"

#include "base/text.h"
#include "cmd/story_out.h"

#include <string.h>

#define ANY_NODE  "any node" /* where no object says on which one it would be */
#define MAX_PATHS 10         /* that are printed where nobody asked for all */

/* ---- ways */

static bool is_same_hop(const struct story_hop *a, const struct story_hop *b)
{
	bool decided = a->step == STORY_SERVICE || a->step == STORY_POLICY_EGRESS ||
		       a->step == STORY_POLICY_INGRESS || a->step == STORY_DROP ||
		       a->step == STORY_REFUSE;

	return a->direction == b->direction && a->step == b->step && text_eq(a->node, b->node) &&
	       (!decided || story_by_same(&a->by, &b->by));
}

static bool is_same_way(const struct story *a, const struct story *b)
{
	if (a->verdict != b->verdict || a->hops.n != b->hops.n)
		return false;
	for (uint32_t i = 0; i < a->hops.n; i++)
		if (!is_same_hop(&a->hops.v[i], &b->hops.v[i]))
			return false;
	return true;
}

/* In place; the first of its kind stays. */
static void merge(struct stories *s)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->list.n; i++) {
		uint32_t k = 0;

		while (k < n && !is_same_way(&s->list.v[k], &s->list.v[i]))
			k++;
		if (k == n)
			s->list.v[n++] = s->list.v[i];
		else
			s->list.v[k].weight += s->list.v[i].weight;
	}
	s->list.n = n;
}

int why_hops(struct cmd_ctx *ctx, const struct why *w, struct stories *out)
{
	const bool outside = !w->from.node && !w->from.pod;
	const char *node = w->from.node ? w->from.node : w->node.name;
	const struct story_question q = {
		.node = *node ? node : ANY_NODE,
		.outside = outside,
		.from = policy_knows_pod(w->from.pod) ? w->from.pod : NULL,
		.head = { .src = w->flow.src,
			  .dst = w->flow.dst,
			  .proto = trace_ip_proto(w->proto, w->flow.dst.family),
			  .dport = w->flow.dport },
	};
	struct story_view view = { .cluster = w->objects.cluster,
				   .masquerade_all = w->node.masquerade_all,
				   .localhost_node_ports = w->node.localhost_node_ports };
	struct err e = { .code = 0 };

	*out = (struct stories){ .list = { NULL, 0 } };
	if (!w->flow.src.family || !w->flow.dst.family)
		return CMD_OK;
	view.pods.v = w->node.pods.v;
	view.pods.n = w->node.pods.n;
	view.services.v = w->node.services.v;
	view.services.n = w->node.services.n;
	view.node_port_addresses.v = w->node.nodePortAddresses.v;
	view.node_port_addresses.n = w->node.nodePortAddresses.n;
	if (story_predict(&view, &q, ctx->arena, out, &e))
		return cmd_fail(&e);
	merge(out);
	return CMD_OK;
}

/* The one that says most: the first that does not get through. */
static const struct story *telling(const struct stories *s)
{
	for (uint32_t i = 0; i < s->list.n; i++)
		if (s->list.v[i].verdict != STORY_ANSWERED)
			return &s->list.v[i];
	return s->list.v;
}

void why_hops_json(const struct stories *s, json_t *onto)
{
	json_t *ways = json_array();

	for (uint32_t i = 0; i < s->list.n; i++)
		json_array_append_new(ways, story_json(&s->list.v[i]));
	json_object_set_new(onto, "hops", s->list.n ? story_hops_json(telling(s)) : json_array());
	json_object_set_new(onto, "ways", ways);
}

/* ---- one line: "shop/web > n1: Service shop/db:pg > vxlan > n2 > shop/db-0, and back" */

static const char *deed_text(const struct story_hop *h, struct arena *a)
{
	const char *by = story_by_text(&h->by, a);
	char source[ADDR_TEXT];

	switch (h->step) {
	case STORY_SERVICE:
	case STORY_POLICY_EGRESS:
	case STORY_POLICY_INGRESS:
		return by;
	case STORY_SNAT:
		return arena_printf(a, "source %s", addr_str(&h->after.src, source));
	case STORY_DROP:
		return arena_printf(a, "DROPPED by %s", by ? by : "somebody unknown");
	case STORY_REFUSE:
		return arena_printf(a, "REFUSED by %s", by ? by : "somebody unknown");
	default:
		return NULL;
	}
}

static const char *place_text(const struct story_hop *h)
{
	switch (h->step) {
	case STORY_SEND:
		return h->netns ? h->netns : h->node;
	case STORY_ENTER_NODE:
		return h->node;
	case STORY_ENTER_POD:
		return h->netns;
	case STORY_TUNNEL_IN:
		return name_of(&story_encap_names, h->after.encap);
	case STORY_DELIVER:
		return h->by.kind == STORY_BY_NONE ? h->node : NULL;
	default:
		return NULL;
	}
}

static void print_path(const struct story *s, bool several, struct arena *a)
{
	bool first_deed = true;

	printf("%-9s ", "path");
	if (several)
		printf("%u/%u ", s->weight, s->of);
	for (uint32_t i = 0; i < s->hops.n; i++) {
		const struct story_hop *h = &s->hops.v[i];
		const char *place = place_text(h), *deed = deed_text(h, a);

		if (h->direction == STORY_REPLY)
			break;
		if (place) {
			printf("%s%s", i ? " > " : "", place);
			first_deed = true;
		}
		if (deed) {
			printf("%s %s", first_deed ? ":" : ",", deed);
			first_deed = false;
		}
	}
	fputs(s->verdict == STORY_ANSWERED ? ", and back" : "", stdout);
	if (s->narrowest)
		printf(" (at most %u bytes)", s->narrowest->mtu);
	putchar('\n');
}

int why_hops_print(const struct stories *s, bool all, struct arena *a)
{
	int rc = CMD_OK;

	putchar('\n');
	if (!s->list.n)
		printf("%-9s not known, as an end has no address yet\n", "path");
	for (uint32_t i = 0; all && !rc && i < s->list.n; i++) {
		if (i)
			putchar('\n');
		if (s->list.n > 1)
			printf("%u of %u:\n", s->list.v[i].weight, s->list.v[i].of);
		rc = story_text(&s->list.v[i], false, a);
	}
	for (uint32_t i = 0; !all && i < s->list.n && i < MAX_PATHS; i++)
		print_path(&s->list.v[i], s->list.n > 1, a);
	if (!all && s->list.n > MAX_PATHS)
		printf("%-9s %u more ways: --hops\n", "", s->list.n - MAX_PATHS);
	return rc;
}
