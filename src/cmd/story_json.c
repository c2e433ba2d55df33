// SPDX-License-Identifier: Apache-2.0
/* A story as JSON, field by field as docs/abi.md says. Keys are always there: null says that it is not
 * known, or that there is nothing to say. */
#include "cmd/out.h"
#include "cmd/story_out.h"

#include <netinet/in.h>
#include <sys/socket.h>

static const char *proto_text(uint8_t proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return "tcp";
	case IPPROTO_UDP:
		return "udp";
	case IPPROTO_SCTP:
		return "sctp";
	case IPPROTO_ICMP:
		return "icmp";
	case IPPROTO_ICMPV6:
		return "icmpv6";
	default:
		return NULL;
	}
}

static json_t *head_json(const struct story_head *h)
{
	json_t *outer = json_null();

	if (!h->src.family)
		return json_null();
	if (h->encap != STORY_PLAIN)
		outer = json_pack("{s:s, s:o, s:o, s:i}", "kind",
				  name_of(&story_encap_names, h->encap), "src",
				  out_address_json(&h->outer_src), "dst",
				  out_address_json(&h->outer_dst), "vni", (int)h->vni);
	return json_pack("{s:o, s:o, s:s?, s:o, s:o, s:s?, s:o}", "src", out_address_json(&h->src),
			 "dst", out_address_json(&h->dst), "proto", proto_text(h->proto), "sport",
			 out_port_json(h->sport), "dport", out_port_json(h->dport), "flags",
			 h->flags, "outer", outer);
}

static json_t *by_json(const struct story_by *by)
{
	if (by->kind == STORY_BY_NONE)
		return json_null();
	return json_pack("{s:s, s:s?, s:s?, s:s?}", "kind", name_of(&story_by_names, by->kind),
			 "ns", by->ns, "name", by->name, "rule", by->rule);
}

static json_t *dns_json(const struct story_dns *d)
{
	json_t *records;

	if (!d)
		return json_null();
	records = json_array();
	for (uint32_t i = 0; i < d->records.n; i++)
		json_array_append_new(records, json_string(d->records.v[i]));
	return json_pack("{s:s, s:s, s:s?, s:s?, s:s?, s:s?, s:b, s:o}", "name", d->name, "type",
			 d->type, "rcode", d->rcode, "from", d->from, "upstream", d->upstream,
			 "zone", d->zone, "truncated", d->truncated, "records", records);
}

static json_t *hop_json(const struct story_hop *h)
{
	json_t *where = json_pack("{s:s?, s:s?, s:s?}", "node", h->node, "pod", h->netns, "device",
				  h->device);

	return json_pack(
		"{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:s?, s:o, s:o, s:o, s:b, s:s, s:s?, s:s?}",
		"direction", name_of(&story_direction_names, h->direction), "step",
		name_of(&story_step_names, h->step), "where", where, "before",
		head_json(&h->before), "after", head_json(&h->after), "by", by_json(&h->by),
		"behind", by_json(&h->behind), "why", h->why, "since_ns",
		h->since < 0 ? json_null() : json_integer(h->since), "mtu",
		h->mtu ? json_integer(h->mtu) : json_null(), "dns", dns_json(h->dns), "sure",
		!h->likely, "text", h->text, "explain", h->explain, "show", h->show);
}

/* Who may be how long at most, and where that is so. */
static json_t *mtu_json(const struct story_hop *h)
{
	if (!h)
		return json_null();
	return json_pack("{s:i, s:s?, s:s?, s:s?}", "bytes", (int)h->mtu, "node", h->node, "pod",
			 h->netns, "device", h->device);
}

json_t *story_hops_json(const struct story *s)
{
	json_t *hops = json_array();

	for (uint32_t i = 0; i < s->hops.n; i++)
		json_array_append_new(hops, hop_json(&s->hops.v[i]));
	return hops;
}

json_t *story_json(const struct story *s)
{
	json_t *unseen = json_array();

	for (uint32_t i = 0; i < s->unseen.n; i++)
		json_array_append_new(unseen, json_string(s->unseen.v[i]));
	return json_pack("{s:b, s:i, s:i, s:s, s:s, s:s?, s:o, s:o, s:o, s:o}", "observed",
			 s->observed, "weight", (int)s->weight, "of", (int)s->of, "verdict",
			 name_of(&story_verdict_names, s->verdict), "sentence", s->sentence,
			 "advice", s->advice, "by", by_json(&s->by), "mtu", mtu_json(s->narrowest),
			 "unseen", unseen, "hops", story_hops_json(s));
}
