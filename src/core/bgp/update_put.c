// SPDX-License-Identifier: Apache-2.0
/* An UPDATE is written. Attributes once, in the order of their types, but MP_REACH_NLRI first (RFC 7606 5.1); prefixes
 * until a message is full. IPv4 goes in the message's own fields, IPv6 in MP_REACH_NLRI and MP_UNREACH_NLRI. */
#include "core/bgp/msg.h"
#include "core/bgp/path.h"
#include "core/bgp/update.h"

#include "base/wire.h"

#include <errno.h>

static void put_attr(struct buf *b, uint8_t flags, uint8_t type, const void *p, size_t n)
{
	put_u8(b, n > UINT8_MAX ? flags | BGP_AF_EXTENDED : flags);
	put_u8(b, type);
	if (n > UINT8_MAX)
		put_u16(b, (uint16_t)n);
	else
		put_u8(b, (uint8_t)n);
	if (n)
		buf_put(b, p, n);
}

static void put_attr_u32(struct buf *b, uint8_t flags, uint8_t type, uint32_t v)
{
	put_u8(b, flags);
	put_u8(b, type);
	put_u8(b, 4);
	put_u32(b, v);
}

static void put_part(struct buf *b, uint8_t flags, uint8_t type, const struct bgp_draft *d,
		     enum bgp_part part)
{
	if (d->len[part])
		put_attr(b, flags, type, d->part[part], d->len[part]);
}

#define WELL_KNOWN BGP_AF_TRANSITIVE
#define BOTH       (BGP_AF_OPTIONAL | BGP_AF_TRANSITIVE)

/* RFC 6793 4.2.2: an old speaker gets AS_TRANS, and beside it what that stands for. */
static bool put_path(struct buf *b, const struct bgp_link *l, const struct bgp_draft *d)
{
	struct buf path = { 0 };
	bool stood_in;

	if (l->as4) {
		put_attr(b, WELL_KNOWN, BGP_A_AS_PATH, d->part[BGP_P_AS_PATH],
			 d->len[BGP_P_AS_PATH]);
		return false;
	}
	stood_in = bgp_path_put_as2(d, &path);
	put_attr(b, WELL_KNOWN, BGP_A_AS_PATH, path.v, path.n);
	b->failed |= path.failed;
	buf_fini(&path);
	return stood_in;
}

static bool put_aggregator(struct buf *b, const struct bgp_link *l, const struct bgp_attrs *f)
{
	bool stands_in = !l->as4 && f->aggregator_as > UINT16_MAX;

	put_u8(b, BOTH);
	put_u8(b, BGP_A_AGGREGATOR);
	put_u8(b, l->as4 ? 8 : 6);
	if (l->as4)
		put_u32(b, f->aggregator_as);
	else
		put_u16(b, stands_in ? BGP_AS_TRANS : (uint16_t)f->aggregator_as);
	put_u32(b, f->aggregator_id);
	return stands_in;
}

static void put_as4(struct buf *b, bool path, bool aggregator, const struct bgp_draft *d)
{
	if (path)
		put_part(b, BOTH, BGP_A_AS4_PATH, d, BGP_P_AS_PATH);
	if (!aggregator)
		return;
	put_u8(b, BOTH);
	put_u8(b, BGP_A_AS4_AGGREGATOR);
	put_u8(b, 8);
	put_u32(b, d->fixed.aggregator_as);
	put_u32(b, d->fixed.aggregator_id);
}

/* All but MP_REACH_NLRI. */
static void put_attrs(struct buf *b, enum bgp_family family, const struct bgp_link *l,
		      const struct bgp_draft *d)
{
	const struct bgp_attrs *f = &d->fixed;
	bool path, aggregator = false;

	put_attr(b, WELL_KNOWN, BGP_A_ORIGIN, &f->origin, 1);
	path = put_path(b, l, d);
	if (family == BGP_IPV4)
		put_attr(b, WELL_KNOWN, BGP_A_NEXT_HOP, f->next_hop.b, 4);
	if (f->has & BGP_HAS_MED)
		put_attr_u32(b, BGP_AF_OPTIONAL, BGP_A_MED, f->med);
	if (f->has & BGP_HAS_LOCAL_PREF)
		put_attr_u32(b, WELL_KNOWN, BGP_A_LOCAL_PREF, f->local_pref);
	if (f->has & BGP_HAS_ATOMIC)
		put_attr(b, WELL_KNOWN, BGP_A_ATOMIC, NULL, 0);
	if (f->has & BGP_HAS_AGGREGATOR)
		aggregator = put_aggregator(b, l, f);
	put_part(b, BOTH, BGP_A_COMMUNITIES, d, BGP_P_COMMUNITIES);
	if (f->has & BGP_HAS_ORIGINATOR)
		put_attr_u32(b, BGP_AF_OPTIONAL, BGP_A_ORIGINATOR, f->originator_id);
	put_part(b, BGP_AF_OPTIONAL, BGP_A_CLUSTER_LIST, d, BGP_P_CLUSTER_LIST);
	put_part(b, BOTH, BGP_A_EXTENDED, d, BGP_P_EXTENDED);
	put_as4(b, path, aggregator, d);
	put_part(b, BOTH, BGP_A_LARGE, d, BGP_P_LARGE);
	if (d->len[BGP_P_UNKNOWN])
		buf_put(b, d->part[BGP_P_UNKNOWN], d->len[BGP_P_UNKNOWN]);
}

static size_t prefix_size(const struct prefix *p)
{
	return 1 + (p->len + 7u) / 8;
}

/* As many as fit in `room`; how many. */
static uint32_t put_prefixes(struct buf *b, size_t room, const struct prefix *v, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n && prefix_size(&v[i]) <= room; i++) {
		room -= prefix_size(&v[i]);
		put_u8(b, v[i].len);
		buf_put(b, v[i].addr.b, (v[i].len + 7u) / 8);
	}
	return i;
}

static void set_u16(struct buf *b, size_t at, size_t v)
{
	if (b->failed)
		return;
	b->v[at] = (char)(v >> 8);
	b->v[at + 1] = (char)v;
}

/* Begins an attribute of RFC 4760 up to its prefixes; where its length is to be set. */
static size_t begin_mp(struct buf *b, uint8_t type, enum bgp_family family,
		       const struct bgp_draft *d)
{
	size_t at;
	bool two;

	put_u8(b, BGP_AF_OPTIONAL | BGP_AF_EXTENDED);
	put_u8(b, type);
	at = b->n;
	put_u16(b, 0);
	put_u16(b, bgp_afi(family));
	put_u8(b, BGP_SAFI_UNICAST);
	if (!d)
		return at;
	two = d->fixed.link_local.family && !addr_eq(&d->fixed.link_local, &d->fixed.next_hop);
	put_u8(b, two ? 32 : 16);
	buf_put(b, d->fixed.next_hop.b, 16);
	if (two)
		buf_put(b, d->fixed.link_local.b, 16);
	put_u8(b, 0);
	return at;
}

static size_t room_in(const struct buf *b, size_t begun, size_t behind)
{
	size_t used = b->n - begun + behind;

	return used < BGP_MESSAGE ? BGP_MESSAGE - used : 0;
}

/* One message of IPv4's own fields. */
static uint32_t put_v4(struct buf *b, const struct buf *attrs, bool reach, const struct prefix *v,
		       uint32_t n)
{
	size_t begun = bgp_message_begin(b, BGP_UPDATE), at = b->n;
	uint32_t done;

	put_u16(b, 0);
	if (reach) {
		put_u16(b, (uint16_t)attrs->n);
		buf_put(b, attrs->v, attrs->n);
		done = put_prefixes(b, room_in(b, begun, 0), v, n);
	} else {
		done = put_prefixes(b, room_in(b, begun, 2), v, n);
		set_u16(b, at, b->n - at - 2);
		put_u16(b, 0);
	}
	bgp_message_end(b, begun);
	return done;
}

static uint32_t put_mp(struct buf *b, enum bgp_family family, const struct buf *attrs,
		       const struct bgp_draft *d, const struct prefix *v, uint32_t n)
{
	size_t begun = bgp_message_begin(b, BGP_UPDATE), all, at;
	uint32_t done;

	put_u16(b, 0);
	all = b->n;
	put_u16(b, 0);
	at = begin_mp(b, d ? BGP_A_REACH : BGP_A_UNREACH, family, d);
	done = put_prefixes(b, room_in(b, begun, attrs->n), v, n);
	set_u16(b, at, b->n - at - 2);
	if (attrs->n)
		buf_put(b, attrs->v, attrs->n);
	set_u16(b, all, b->n - all - 2);
	bgp_message_end(b, begun);
	return done;
}

int bgp_update_put(struct buf *b, enum bgp_family family, const struct bgp_link *l,
		   const struct bgp_draft *attrs, const struct prefix *v, uint32_t n)
{
	struct buf made = { 0 };
	size_t begun = b->n;
	int messages = 0;

	if (attrs)
		put_attrs(&made, family, l, attrs);
	b->failed |= made.failed;
	while (n && !b->failed) {
		uint32_t done = family == BGP_IPV4 ? put_v4(b, &made, attrs, v, n)
						   : put_mp(b, family, &made, attrs, v, n);

		if (!done && !b->failed) {
			b->n = begun;
			messages = -EMSGSIZE;
			break;
		}
		v += done;
		n -= done;
		messages++;
	}
	buf_fini(&made);
	return b->failed ? -ENOMEM : messages;
}

void bgp_end_of_rib_put(struct buf *b, enum bgp_family family)
{
	const struct buf none = { 0 };

	if (family == BGP_IPV4)
		put_v4(b, &none, false, NULL, 0);
	else
		put_mp(b, family, &none, NULL, NULL, 0);
}
