// SPDX-License-Identifier: Apache-2.0
/* Attributes of an UPDATE, one by one: a table of what each must be like, and what a fault of it comes to (RFC 7606 7).
 *
 * Of one that comes twice the first counts, but for the two of RFC 4760, whose second resets (3 g). A length that reaches past the
 * list ends it, and the routes are withdrawn (4). From another AS what is only for one's own is dropped unread
 * (7.5, 7.9, 7.10). What is not known is kept as it is where it is optional and transitive, with Partial set, and else dropped. */
#include "core/bgp/fault.h"
#include "core/bgp/path.h"
#include "core/bgp/update_state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum fault_means { DISCARD, WITHDRAW };

struct rule {
	const char *name;
	uint8_t flags; /* of Optional and Transitive */
	uint8_t means; /* enum fault_means, where it is malformed */
	bool internal; /* not from another AS */
	bool (*read)(struct bgp_decoding *d, struct wire *w);
};

static bool keep(struct bgp_draft *d, enum bgp_part part, struct wire *w)
{
	size_t n = wire_left(w);

	d->len[part] = (uint16_t)n;
	d->part[part] = wire_bytes(w, n);
	return true;
}

static bool read_units(struct bgp_decoding *d, enum bgp_part part, struct wire *w, size_t unit)
{
	return wire_left(w) && wire_left(w) % unit == 0 && keep(&d->draft, part, w);
}

static bool read_origin(struct bgp_decoding *d, struct wire *w)
{
	d->draft.fixed.origin = wire_u8(w);
	return d->draft.fixed.origin <= BGP_ORIGIN_INCOMPLETE;
}

/* Segments with AS numbers of `size` octets → of four. RFC 7606 7.2; AS 0: RFC 7607; no confederations: RFC 5065 5. */
static bool read_segments(struct bgp_decoding *d, struct wire *w, size_t size, uint16_t *len,
			  const uint8_t **out)
{
	uint8_t *v = arena_alloc(d->ar, 2 * wire_left(w) + 1), *at = v;

	while (v && wire_left(w)) {
		uint8_t type = wire_u8(w), count = wire_u8(w);

		if ((type != BGP_AS_SET && type != BGP_AS_SEQUENCE) || !count ||
		    wire_left(w) < count * size)
			return false;
		*at++ = type;
		*at++ = count;
		for (unsigned i = 0; i < count; i++) {
			uint32_t as = size == 2 ? wire_u16(w) : wire_u32(w);

			if (!as)
				return false;
			for (int shift = 24; shift >= 0; shift -= 8)
				*at++ = (uint8_t)(as >> shift);
		}
	}
	if (!v)
		return false;
	*len = (uint16_t)(at - v);
	*out = v;
	return true;
}

static bool read_path(struct bgp_decoding *d, struct wire *w)
{
	return read_segments(d, w, d->link->as4 ? 4 : 2, &d->draft.len[BGP_P_AS_PATH],
			     &d->draft.part[BGP_P_AS_PATH]);
}

static bool read_next_hop(struct bgp_decoding *d, struct wire *w)
{
	struct ipaddr *a = &d->draft.fixed.next_hop;

	*a = addr_v4(wire_u32(w));
	return !w->bad;
}

static bool read_med(struct bgp_decoding *d, struct wire *w)
{
	d->draft.fixed.med = wire_u32(w);
	d->draft.fixed.has |= BGP_HAS_MED;
	return !w->bad;
}

static bool read_local_pref(struct bgp_decoding *d, struct wire *w)
{
	d->draft.fixed.local_pref = wire_u32(w);
	d->draft.fixed.has |= BGP_HAS_LOCAL_PREF;
	return !w->bad;
}

static bool read_atomic(struct bgp_decoding *d, struct wire *w)
{
	if (!wire_left(w))
		d->draft.fixed.has |= BGP_HAS_ATOMIC;
	return true; /* what is left over is the fault */
}

static bool read_aggregator(struct bgp_decoding *d, struct wire *w)
{
	uint32_t as = d->link->as4 ? wire_u32(w) : wire_u16(w), id = wire_u32(w);

	if (w->bad || wire_left(w) || !as)
		return false;
	d->draft.fixed.aggregator_as = as;
	d->draft.fixed.aggregator_id = id;
	d->draft.fixed.has |= BGP_HAS_AGGREGATOR;
	return true;
}

static bool read_communities(struct bgp_decoding *d, struct wire *w)
{
	return read_units(d, BGP_P_COMMUNITIES, w, 4);
}

static bool read_originator(struct bgp_decoding *d, struct wire *w)
{
	d->draft.fixed.originator_id = wire_u32(w);
	d->draft.fixed.has |= BGP_HAS_ORIGINATOR;
	return !w->bad;
}

static bool read_cluster_list(struct bgp_decoding *d, struct wire *w)
{
	return read_units(d, BGP_P_CLUSTER_LIST, w, 4);
}

static bool read_reach(struct bgp_decoding *d, struct wire *w)
{
	d->reach = *w;
	d->has_reach = true;
	return wire_bytes(w, wire_left(w)) != NULL;
}

static bool read_unreach(struct bgp_decoding *d, struct wire *w)
{
	d->unreach = *w;
	d->has_unreach = true;
	return wire_bytes(w, wire_left(w)) != NULL;
}

static bool read_extended(struct bgp_decoding *d, struct wire *w)
{
	return read_units(d, BGP_P_EXTENDED, w, 8);
}

static bool read_large(struct bgp_decoding *d, struct wire *w)
{
	return read_units(d, BGP_P_LARGE, w, 12);
}

/* Of those that speak two octets, as read; they are merged at the end. Where both ends speak four they mean
 * nothing (RFC 6793 4.1, 6). */
static bool read_as4_path(struct bgp_decoding *d, struct wire *w)
{
	return read_segments(d, w, 4, &d->as4_len, &d->as4_path);
}

static bool read_as4_aggregator(struct bgp_decoding *d, struct wire *w)
{
	d->as4_aggregator = wire_u32(w);
	wire_u32(w);
	return !w->bad && d->as4_aggregator;
}

#define WELL_KNOWN BGP_AF_TRANSITIVE
#define BOTH       (BGP_AF_OPTIONAL | BGP_AF_TRANSITIVE)

static const struct rule rules[] = {
	[BGP_A_ORIGIN] = { "ORIGIN", WELL_KNOWN, WITHDRAW, false, read_origin },
	[BGP_A_AS_PATH] = { "AS_PATH", WELL_KNOWN, WITHDRAW, false, read_path },
	[BGP_A_NEXT_HOP] = { "NEXT_HOP", WELL_KNOWN, WITHDRAW, false, read_next_hop },
	[BGP_A_MED] = { "MULTI_EXIT_DISC", BGP_AF_OPTIONAL, WITHDRAW, false, read_med },
	[BGP_A_LOCAL_PREF] = { "LOCAL_PREF", WELL_KNOWN, WITHDRAW, true, read_local_pref },
	[BGP_A_ATOMIC] = { "ATOMIC_AGGREGATE", WELL_KNOWN, DISCARD, false, read_atomic },
	[BGP_A_AGGREGATOR] = { "AGGREGATOR", BOTH, DISCARD, false, read_aggregator },
	[BGP_A_COMMUNITIES] = { "COMMUNITIES", BOTH, WITHDRAW, false, read_communities },
	[BGP_A_ORIGINATOR] = { "ORIGINATOR_ID", BGP_AF_OPTIONAL, WITHDRAW, true, read_originator },
	[BGP_A_CLUSTER_LIST] = { "CLUSTER_LIST", BGP_AF_OPTIONAL, WITHDRAW, true,
				 read_cluster_list },
	[BGP_A_REACH] = { "MP_REACH_NLRI", BGP_AF_OPTIONAL, WITHDRAW, false, read_reach },
	[BGP_A_UNREACH] = { "MP_UNREACH_NLRI", BGP_AF_OPTIONAL, WITHDRAW, false, read_unreach },
	[BGP_A_EXTENDED] = { "EXTENDED COMMUNITIES", BOTH, WITHDRAW, false, read_extended },
	[BGP_A_AS4_PATH] = { "AS4_PATH", BOTH, DISCARD, false, read_as4_path },
	[BGP_A_AS4_AGGREGATOR] = { "AS4_AGGREGATOR", BOTH, DISCARD, false, read_as4_aggregator },
	[BGP_A_LARGE] = { "LARGE_COMMUNITY", BOTH, WITHDRAW, false, read_large },
};

bool bgp_decoding_saw(const struct bgp_decoding *d, uint8_t type)
{
	return d->seen[type / 64] >> type % 64 & 1;
}

int bgp_decoding_fail(struct bgp_decoding *d, enum bgp_verdict v, uint8_t sub, const char *name,
		      const char *what)
{
	if (v == BGP_AS_WITHDRAWN && d->u->verdict != BGP_OK)
		return -EBADMSG;
	d->u->verdict = v;
	return bgp_fault(&d->u->fault, BGP_E_UPDATE, sub, "%s%s%s", name ? name : "",
			 name ? ": " : "", what);
}

/* Kept as it came, header and all, for those that know it. */
static int keep_unknown(struct bgp_decoding *d, uint8_t flags, uint8_t type, struct wire w)
{
	size_t n = wire_left(&w), old = d->draft.len[BGP_P_UNKNOWN];
	uint8_t *v = arena_alloc(d->ar, old + n + 4), *at;

	if (!v)
		return -ENOMEM;
	if (old)
		memcpy(v, d->draft.part[BGP_P_UNKNOWN], old);
	at = v + old;
	*at++ = flags | BGP_AF_PARTIAL;
	*at++ = type;
	if (flags & BGP_AF_EXTENDED)
		*at++ = (uint8_t)(n >> 8);
	*at++ = (uint8_t)n;
	if (n)
		memcpy(at, wire_bytes(&w, n), n);
	d->draft.part[BGP_P_UNKNOWN] = v;
	d->draft.len[BGP_P_UNKNOWN] = (uint16_t)(at + n - v);
	return 0;
}

static int unknown(struct bgp_decoding *d, uint8_t flags, uint8_t type, struct wire w)
{
	char name[24];

	if (flags & BGP_AF_OPTIONAL)
		return flags & BGP_AF_TRANSITIVE ? keep_unknown(d, flags, type, w) : 0;
	snprintf(name, sizeof(name), "attribute %u", type);
	return bgp_decoding_fail(d, BGP_RESET, BGP_E_WELL_KNOWN, name,
				 "said to be well-known, and is not");
}

static int read_one(struct bgp_decoding *d, uint8_t flags, uint8_t type, struct wire w)
{
	const struct rule *r = type < sizeof(rules) / sizeof(rules[0]) ? &rules[type] : NULL;
	struct bgp_draft before;

	if (!r || !r->read)
		return unknown(d, flags, type, w);
	if (r->internal && d->link->ebgp) {
		d->u->discarded++;
		return 0;
	}
	if ((flags & BOTH) != r->flags) {
		bgp_decoding_fail(d, BGP_AS_WITHDRAWN, BGP_E_FLAGS, r->name,
				  "flags that it cannot have");
		if (type != BGP_A_REACH && type != BGP_A_UNREACH)
			return 0;
	}
	before = d->draft;
	if (r->read(d, &w) && !w.bad && !wire_left(&w))
		return 0;
	if (d->ar->failed)
		return -ENOMEM;
	d->draft = before;
	if (r->means == DISCARD)
		d->u->discarded++;
	else
		bgp_decoding_fail(d, BGP_AS_WITHDRAWN,
				  type == BGP_A_AS_PATH ? BGP_E_AS_PATH : BGP_E_ATTRIBUTE_LENGTH,
				  r->name, "malformed");
	return 0;
}

/* RFC 6793 4.2.3: who aggregated without knowing AS4_PATH has changed the path since. */
static int merge_as4(struct bgp_decoding *d)
{
	struct bgp_attrs *f = &d->draft.fixed;

	if (d->link->as4)
		return 0;
	if (f->has & BGP_HAS_AGGREGATOR) {
		if (f->aggregator_as != BGP_AS_TRANS)
			return 0;
		if (d->as4_aggregator)
			f->aggregator_as = d->as4_aggregator;
	}
	return d->as4_path ? bgp_as4_merge(&d->draft, d->as4_path, d->as4_len, d->ar) : 0;
}

static bool again(struct bgp_decoding *d, uint8_t type)
{
	bool before = bgp_decoding_saw(d, type);

	d->seen[type / 64] |= 1ull << type % 64;
	return before;
}

int bgp_attrs_decode(struct bgp_decoding *d, struct wire attrs)
{
	int rc = 0;

	while (wire_left(&attrs) && !rc) {
		uint8_t flags = wire_u8(&attrs), type = wire_u8(&attrs);
		struct wire value = wire_sub(&attrs, flags & BGP_AF_EXTENDED ? wire_u16(&attrs)
									     : wire_u8(&attrs));

		if (attrs.bad) {
			bgp_decoding_fail(d, BGP_AS_WITHDRAWN, BGP_E_ATTRIBUTES,
					  "the last attribute", "reaches past the list");
			break;
		}
		if (!again(d, type))
			rc = read_one(d, flags, type, value);
		else if (type == BGP_A_REACH || type == BGP_A_UNREACH)
			rc = bgp_decoding_fail(d, BGP_RESET, BGP_E_ATTRIBUTES, rules[type].name,
					       "is there twice");
		else
			d->u->discarded++;
		d->only_unreach = !d->n_attrs++ && type == BGP_A_UNREACH;
	}
	if (!rc)
		rc = merge_as4(d);
	if (!rc)
		d->first_as = bgp_segments_first(d->draft.part[BGP_P_AS_PATH],
						 d->draft.len[BGP_P_AS_PATH]);
	return rc;
}
