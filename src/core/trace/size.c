// SPDX-License-Identifier: Apache-2.0
/* A packet that is longer than what the next link takes, and may not be split: where, by how much, and whether
 * who sent it was told. It is the router in front of that link that has to tell (RFC 1191, section 4; RFC
 * 8201, section 4), and where it does not, or its word does not come through, what is small passes and what
 * is large is gone. A switch never tells, so such a loss has no hop here: advice.c names the suspicion. */
#include "core/trace/join_state.h"
#include "core/trace/words.h"

#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <string.h>

const struct story_hop *story_narrowest(const struct story *s)
{
	const struct story_hop *found = NULL;

	for (uint32_t i = 0; i < s->hops.n; i++) {
		const struct story_hop *h = &s->hops.v[i];

		if (h->direction == STORY_REQUEST && h->mtu && (!found || h->mtu < found->mtu))
			found = h;
	}
	return found;
}

const char *story_too_big(uint32_t length, uint32_t mtu, const char *device, struct arena *a)
{
	const char *who = device ? device : "the next link there";
	const char *what = length ? arena_printf(a, "%u bytes", length) : "it is too long";

	return mtu ? arena_printf(a, "%s, and %s takes %u at most", what ? what : "-", who, mtu)
		   : arena_printf(a, "%s, and %s takes less", what ? what : "-", who);
}

/* ---- what was seen */

static bool is_too_big(const struct sight *s)
{
	const struct trace_icmp *i = s->o->head.icmp;

	if (!i)
		return false;
	return s->head.proto == IPPROTO_ICMPV6
		       ? i->type == ICMP6_PACKET_TOO_BIG
		       : i->type == ICMP_DEST_UNREACH && i->code == ICMP_FRAG_NEEDED;
}

/* Where the packet was to go on; NULL: no route was seen. */
static const struct story_hop *route_here(const struct walk *w)
{
	const struct story_hop *h = walk_last(w, w->leg->direction);

	return h && h->step == STORY_ROUTE ? h : NULL;
}

bool join_too_big(struct walk *w, const struct sight *s)
{
	const struct story_hop *route = route_here(w);
	const char *device = route ? route->device : NULL;
	uint32_t mtu = route ? route->mtu : 0;
	struct story_hop *h;

	if (!s->o->reason || !strstr(s->o->reason, "TOO_BIG"))
		return false;
	h = walk_hop(w, STORY_DROP, s);
	if (!h)
		return true;
	h->device = device ? device : h->device;
	h->mtu = mtu;
	h->by = (struct story_by){ STORY_BY_KERNEL, NULL, s->o->reason, s->o->place };
	h->why = story_too_big(s->head.length, mtu, device, w->a);
	return true;
}

void join_told_too_big(struct walk *w, const struct sight *s, struct story_hop *h)
{
	if (!is_too_big(s))
		return;
	h->mtu = s->o->head.icmp->mtu > 0 ? (uint32_t)s->o->head.icmp->mtu : 0;
	/* Who told speaks of the packet around this one. */
	h->why = story_too_big(
		w->head.length ? w->head.length : (uint32_t)w->trace->spec.size, h->mtu,
		join_is_of_tunnel(w, s) ? "the next link there, tunnel's header included," : NULL,
		w->a);
}

static bool knows(const struct packet_trace *t)
{
	const char *by = t->status.probe.by ? t->status.probe.by : "";

	return strstr(by, "frag-needed") || strstr(by, "packet-too-big");
}

static bool was_told(const struct walk *w)
{
	const struct story_hop *h = walk_last(w, STORY_REPLY);

	return h && h->before.proto != w->story->hops.v[0].after.proto;
}

void join_whether_told(struct walk *w, struct story_hop *end)
{
	if (end->step != STORY_DROP || !end->by.name || !strstr(end->by.name, "TOO_BIG") ||
	    !end->why || end->direction != STORY_REQUEST)
		return;
	end->why =
		arena_printf(w->a, "%s; %s", end->why,
			     knows(w->trace) ? "ICMP told who sent it"
			     : was_told(w) ? "an ICMP error says so, and did not reach who sent it"
					   : "and no ICMP error was seen that tells who sent it");
}
