// SPDX-License-Identifier: Apache-2.0
/* What lies between two nodes, where no agent looks: switches, which leave no trace in a packet, and routers, each
 * of which takes one from its time to live (RFC 1812, section 5.3.1). Who is inside of a tunnel is not
 * touched; then it is known that there is a router where the next node is in none of the sender's subnets.
 * Which router it is says the sender's route. */
#include "core/trace/join_state.h"

#include <string.h>

/* The hop that sent it here, from another node; NULL: none, or it has not been seen. */
static const struct story_hop *sent_by(const struct walk *w)
{
	const struct story_hop *h = walk_last(w, w->leg->direction);

	return h && h->step == STORY_LEAVE_NODE && h->node && strcmp(h->node, w->leg->node) != 0
		       ? h
		       : NULL;
}

/* Of the sender's route, "via 192.0.2.1 dev eth0"; NULL: to the destination itself, or not known. */
static const char *gateway(const struct walk *w, const struct story_hop *sent)
{
	const struct story_hop *h = sent;

	while (h > w->story->hops.v && h->step != STORY_ROUTE && h->step != STORY_ENTER_NODE)
		h--;
	if (h->step != STORY_ROUTE || !h->by.rule || strncmp(h->by.rule, "via ", 4) != 0 ||
	    sent->after.encap != STORY_PLAIN)
		return NULL;
	return arena_strndup(w->a, h->by.rule + 4, strcspn(h->by.rule + 4, " "));
}

bool join_is_no_neighbour(const struct walk *w, const char *node, const struct ipaddr *ip)
{
	const struct object *o = cluster_get(w->view->cluster, KIND_NODESTATE, NULL, node);
	const struct node_state *s = o ? o->body : NULL;

	for (uint32_t i = 0; s && i < s->status.subnets.n; i++)
		if (prefix_has(&s->status.subnets.v[i], ip))
			return false;
	return s && s->status.subnets.n;
}

const char *join_between(const struct walk *w, const struct sight *s)
{
	const struct story_hop *sent = sent_by(w);
	const char *via = sent ? gateway(w, sent) : NULL;
	int fewer = sent ? sent->after.ttl - s->head.ttl : 0;

	if (!sent)
		return NULL;
	if (sent->after.encap != STORY_PLAIN)
		return join_is_no_neighbour(w, sent->node, &sent->after.outer_dst)
			       ? "through a router, where no agent looks"
			       : NULL;
	if (!sent->after.ttl || !s->head.ttl || fewer <= 0)
		return NULL;
	return arena_printf(w->a, "through %d router%s, where no agent looks%s%s", fewer,
			    fewer > 1 ? "s" : "", via ? "; the first is " : "", via ? via : "");
}
