// SPDX-License-Identifier: Apache-2.0
/* A story's verdict in one sentence: what became of the packet, at whom, by whom and why. What is predicted
 * will be, what was observed is. */
#include "core/trace/dns.h"
#include "core/trace/words.h"

#include "base/text.h"

/* The hop that its end is told by. */
static const struct story_hop *find_hop(const struct story *s, unsigned direction, unsigned step)
{
	for (uint32_t i = 0; i < s->hops.n; i++)
		if (s->hops.v[i].direction == direction && s->hops.v[i].step == step)
			return &s->hops.v[i];
	return NULL;
}

static const struct story_hop *ending(const struct story *s)
{
	for (uint32_t i = 0; i < s->hops.n; i++)
		if (s->hops.v[i].step == STORY_DROP || s->hops.v[i].step == STORY_REFUSE)
			return &s->hops.v[i];
	return NULL;
}

static const char *done_text(const struct story *s, const char *verb, struct arena *a)
{
	const struct story_hop *taken = find_hop(s, STORY_REQUEST, STORY_DELIVER);
	const struct story_hop *service = find_hop(s, STORY_REQUEST, STORY_SERVICE);
	const struct story_head *first = &s->hops.v[0].after;
	const char *to = text_or_dash(story_end_text(&first->dst, first->dport, a));

	if (taken) {
		const char *who = story_by_text(&taken->by, a);

		to = text_or_dash(story_end_text(&taken->before.dst, taken->before.dport, a));
		if (who)
			to = arena_printf(a, "%s (%s)", who, to);
	}
	return arena_printf(
		a, "%s%s %s%s%s", s->observed ? "" : "will be ", verb, text_or_dash(to),
		service && service->by.kind ? ", chosen by " : "",
		service && service->by.kind ? text_or_dash(story_by_text(&service->by, a)) : "");
}

/* Of a DNS query what it was answered says more than at whom. */
static const char *answered_text(const struct story *s, struct arena *a)
{
	const struct story_hop *h = find_hop(s, STORY_REPLY, STORY_ANSWER);
	const char *by, *from;

	if (!h || !h->dns || !h->dns->rcode)
		return done_text(s, "answered by", a);
	by = story_dns_object_text(h, a);
	from = by ? NULL : story_dns_from_text(h->dns, a);
	return arena_printf(a, "answered by %s: %s%s%s%s%s",
			    text_or_dash(story_dns_server_text(h, a)),
			    text_or_dash(story_dns_answer_text(h->dns, a)),
			    by     ? ", by "
			    : from ? ", "
				   : "",
			    by     ? by
			    : from ? from
				   : "",
			    h->why ? ": " : "", h->why ? h->why : "");
}

static const char *delivered_text(const struct story *s, struct arena *a)
{
	const struct story_hop *h = find_hop(s, STORY_REQUEST, STORY_DELIVER);
	const char *text = done_text(s, "delivered to", a);
	const char *from = h && h->dns ? story_dns_from_text(h->dns, a) : NULL;

	return from ? arena_printf(a, "%s: %s", text_or_dash(text), from) : text;
}

static const char *ended_text(const struct story *s, const char *verb, struct arena *a)
{
	const struct story_hop *end = ending(s);
	const char *by = story_by_text(&s->by, a);
	const char *where = end ? text_or_dash(story_place_text(end, a)) : NULL;
	const char *at = end && end->node ? " at " : " "; /* nobody is at elsewhere */

	return arena_printf(a, "%s%s%s%s%s by %s%s%s",
			    end && end->direction == STORY_REPLY ? "the answer is " : "",
			    s->observed ? "" : "will be ", verb, where ? at : "",
			    where ? where : "", by ? by : "somebody unknown",
			    end && end->why ? ": " : "", end && end->why ? end->why : "");
}

static const char *lost_text(const struct story *s, struct arena *a)
{
	const struct story_hop *last = &s->hops.v[s->hops.n - 1];

	return arena_printf(
		a,
		"lost: the %s was seen last at %s, where it %s, and nobody says that it "
		"dropped it",
		name_of(&story_direction_names, last->direction),
		text_or_dash(story_place_text(last, a)), text_or_dash(last->text));
}

const char *story_sentence(const struct story *s, struct arena *a)
{
	if (!s->hops.n)
		return "nothing was seen of the probe";
	switch (s->verdict) {
	case STORY_DELIVERED:
		return delivered_text(s, a);
	case STORY_ANSWERED:
		return answered_text(s, a);
	case STORY_REFUSED:
		return ended_text(s, "refused", a);
	case STORY_DROPPED:
		return ended_text(s, "dropped", a);
	case STORY_LOST:
		return lost_text(s, a);
	default:
		return "too little was seen to tell what became of it";
	}
}
