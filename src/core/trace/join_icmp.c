// SPDX-License-Identifier: Apache-2.0
/* ICMP errors about the packet (RFC 792, RFC 4443): who says what. They may come from a router between nodes, of
 * which no agent tells, and are then all that is known of it: the address that they come from. One about a
 * tunnel's packet is for the node that made it; who sent what was inside is told nothing, so there
 * the packet is dropped, not refused. */
#include "core/trace/join_state.h"

#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <stddef.h>

#define ANY 255

static const struct {
	uint8_t proto, type, code;
	const char *words;
} errors[] = {
	{ IPPROTO_ICMP, ICMP_DEST_UNREACH, ICMP_NET_UNREACH, "no route to that network" },
	{ IPPROTO_ICMP, ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, "host unreachable" },
	{ IPPROTO_ICMP, ICMP_DEST_UNREACH, ICMP_PORT_UNREACH, "port unreachable" },
	{ IPPROTO_ICMP, ICMP_DEST_UNREACH, ICMP_NET_ANO, "prohibited" },
	{ IPPROTO_ICMP, ICMP_DEST_UNREACH, ICMP_HOST_ANO, "prohibited" },
	{ IPPROTO_ICMP, ICMP_DEST_UNREACH, ICMP_PKT_FILTERED, "prohibited" },
	{ IPPROTO_ICMP, ICMP_TIME_EXCEEDED, ANY, "too many routers on its way: a circle?" },
	{ IPPROTO_ICMPV6, ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_NOROUTE,
	  "no route to that network" },
	{ IPPROTO_ICMPV6, ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_ADMIN, "prohibited" },
	{ IPPROTO_ICMPV6, ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_ADDR, "host unreachable" },
	{ IPPROTO_ICMPV6, ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_NOPORT, "port unreachable" },
	{ IPPROTO_ICMPV6, ICMP6_TIME_EXCEEDED, ANY, "too many routers on its way: a circle?" },
};

static const char *words_of(const struct sight *s)
{
	const struct trace_icmp *i = s->o->head.icmp;

	for (size_t k = 0; i && k < sizeof(errors) / sizeof(*errors); k++)
		if (errors[k].proto == s->head.proto && errors[k].type == i->type &&
		    (errors[k].code == ANY || errors[k].code == i->code))
			return errors[k].words;
	return NULL;
}

bool join_is_error(const struct sight *s)
{
	const struct trace_icmp *i = s->o->head.icmp;

	return i && (i->quoted || (i->type != ICMP_ECHOREPLY && i->type != ICMP6_ECHO_REPLY));
}

bool join_is_of_tunnel(const struct walk *w, const struct sight *s)
{
	const struct trace_icmp *i = s->o->head.icmp;

	return i && i->quoted && w->head.encap != STORY_PLAIN &&
	       addr_eq(&i->quoted->dst, &w->head.outer_dst);
}

void join_error_elsewhere(struct walk *w, const struct sight *s, struct story_hop *h)
{
	char text[ADDR_TEXT];

	h->why = words_of(s);
	if (h->by.kind == STORY_BY_NONE)
		h->by = (struct story_by){ STORY_BY_ADDRESS, NULL,
					   arena_strdup(w->a, addr_str(&s->head.src, text)), NULL };
	join_told_too_big(w, s, h);
}
