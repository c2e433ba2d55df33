// SPDX-License-Identifier: Apache-2.0
/* An UPDATE is read: its frame, its prefixes, and what its faults come to. Attributes one by one are in update_attrs.c.
 *
 * Faults of the frame and of prefixes reset the session, as nothing after them can be told apart (RFC 7606 3 b, 5.3). A fault of an
 * attribute makes the message's routes withdrawn, but only where all of them are known (5.2: with no
 * reachable prefix there is nothing to withdraw, and the session is reset). */
#include "base/wire.h"
#include "core/bgp/update_state.h"

#include <errno.h>
#include <string.h>

/* ---- prefixes */

/* RFC 4271 6.3: a prefix that no route can lead to is ignored, and is no fault. */
static bool is_routable(const struct prefix *p)
{
	const uint8_t *b = p->addr.b;

	if (p->addr.family == AF_INET)
		return b[0] < 224 && (b[0] != 127 || p->len < 8);
	return b[0] != 0xff && (b[0] != 0xfe || (b[1] & 0xc0) != 0x80 || p->len < 10) &&
	       !addr_is_loopback(&p->addr);
}

/* False: cut short or too long. */
static bool read_prefix(struct wire *w, enum bgp_family family, struct prefix *out)
{
	uint8_t bits = wire_u8(w), most = family == BGP_IPV6 ? 128 : 32;
	const uint8_t *p = wire_bytes(w, (bits + 7u) / 8);
	struct prefix v = { .addr.family = family == BGP_IPV6 ? AF_INET6 : AF_INET, .len = bits };

	if (!p || bits > most)
		return false;
	memcpy(v.addr.b, p, (bits + 7u) / 8);
	*out = prefix_mask(&v);
	return true;
}

/* Appends the routable ones. -EBADMSG, -ENOMEM. */
static int read_prefixes(struct wire w, enum bgp_family family, struct arena *ar, struct prefix **v,
			 uint32_t *n)
{
	struct prefix *list = arena_array(ar, *n + wire_left(&w), sizeof(*list));
	uint32_t count = *n;

	if (!list)
		return -ENOMEM;
	if (count)
		memcpy(list, *v, count * sizeof(*list));
	while (wire_left(&w)) {
		if (!read_prefix(&w, family, &list[count]))
			return -EBADMSG;
		count += is_routable(&list[count]);
	}
	*v = list;
	*n = count;
	return 0;
}

/* ---- multiprotocol (RFC 4760 3, 4) */

/* RFC 2545 3: a global address, or that and a link-local one. False: of no such length. */
static bool read_next_hop(struct wire *w, enum bgp_family family, struct bgp_draft *out)
{
	size_t len = wire_left(w), one = family == BGP_IPV6 ? 16 : 4;
	uint8_t af = family == BGP_IPV6 ? AF_INET6 : AF_INET;

	if (len != one && (family != BGP_IPV6 || len != 2 * one))
		return false;
	out->fixed.next_hop = out->fixed.link_local = (struct ipaddr){ .family = af };
	memcpy(out->fixed.next_hop.b, wire_bytes(w, one), one);
	if (len == one)
		out->fixed.link_local = (struct ipaddr){ 0 };
	else
		memcpy(out->fixed.link_local.b, wire_bytes(w, one), one);
	/* Some have no global one, and say so with zeros, or with the other one twice. */
	if (len > one && addr_is_unspecified(&out->fixed.next_hop))
		out->fixed.next_hop = out->fixed.link_local;
	if (out->fixed.link_local.family && !addr_is_link_local(&out->fixed.link_local))
		out->fixed.link_local = (struct ipaddr){ 0 };
	return true;
}

static int read_reach(struct bgp_decoding *d)
{
	struct wire w = d->reach, hop;
	uint16_t afi = wire_u16(&w);
	int family = bgp_family_of(afi, wire_u8(&w));
	struct bgp_routes *r;
	int rc;

	hop = wire_sub(&w, wire_u8(&w));
	wire_u8(&w);
	if (w.bad)
		return bgp_decoding_fail(d, BGP_RESET, BGP_E_ATTRIBUTE, NULL,
					 "MP_REACH_NLRI is cut short");
	if (family < 0 || !d->link->family[family])
		return 0;
	r = &d->u->family[family];
	if (family == BGP_IPV4 && r->n_reach)
		return bgp_decoding_fail(d, BGP_RESET, BGP_E_ATTRIBUTE, NULL,
					 "IPv4 prefixes with two next hops");
	r->attrs = d->draft;
	if (!read_next_hop(&hop, family, &r->attrs))
		return bgp_decoding_fail(d, BGP_RESET, BGP_E_ATTRIBUTE, NULL,
					 "MP_REACH_NLRI: a next hop of no such length");
	rc = read_prefixes(w, family, d->ar, &r->reach, &r->n_reach);
	return rc == -EBADMSG ? bgp_decoding_fail(d, BGP_RESET, BGP_E_NETWORK, NULL,
						  "MP_REACH_NLRI: a prefix that is none")
			      : rc;
}

static int read_unreach(struct bgp_decoding *d)
{
	struct wire w = d->unreach;
	uint16_t afi = wire_u16(&w);
	int family = bgp_family_of(afi, wire_u8(&w)), rc;
	struct bgp_routes *r;

	if (w.bad)
		return bgp_decoding_fail(d, BGP_RESET, BGP_E_ATTRIBUTE, NULL,
					 "MP_UNREACH_NLRI is cut short");
	if (family < 0 || !d->link->family[family])
		return 0;
	r = &d->u->family[family];
	if (!wire_left(&w))
		r->end = d->only_unreach;
	rc = read_prefixes(w, family, d->ar, &r->unreach, &r->n_unreach);
	return rc == -EBADMSG ? bgp_decoding_fail(d, BGP_RESET, BGP_E_NETWORK, NULL,
						  "MP_UNREACH_NLRI: a prefix that is none")
			      : rc;
}

/* ---- what it comes to */

static bool hop_is_usable(const struct bgp_link *l, const struct ipaddr *a)
{
	if (addr_is_unspecified(a) || addr_is_loopback(a) || addr_eq(a, &l->local))
		return false;
	return a->family == AF_INET ? a->b[0] < 224 && a->b[0] && a->b[0] != 127 : a->b[0] != 0xff;
}

/* RFC 7606 3 d, RFC 4271 5: what routes cannot be without; 6.3: what they must be. */
static void check_routes(struct bgp_decoding *d, const struct bgp_routes *r)
{
	if (!bgp_decoding_saw(d, BGP_A_ORIGIN))
		bgp_decoding_fail(d, BGP_AS_WITHDRAWN, BGP_E_MISSING, NULL, "ORIGIN is missing");
	else if (!bgp_decoding_saw(d, BGP_A_AS_PATH))
		bgp_decoding_fail(d, BGP_AS_WITHDRAWN, BGP_E_MISSING, NULL, "AS_PATH is missing");
	else if (!d->link->ebgp && !bgp_decoding_saw(d, BGP_A_LOCAL_PREF))
		bgp_decoding_fail(d, BGP_AS_WITHDRAWN, BGP_E_MISSING, NULL,
				  "LOCAL_PREF is missing");
	else if (!r->attrs.fixed.next_hop.family)
		bgp_decoding_fail(d, BGP_AS_WITHDRAWN, BGP_E_MISSING, NULL, "NEXT_HOP is missing");
	else if (!hop_is_usable(d->link, &r->attrs.fixed.next_hop))
		bgp_decoding_fail(d, BGP_AS_WITHDRAWN, BGP_E_NEXT_HOP, NULL,
				  "a next hop that cannot be one");
	else if (d->link->ebgp && d->first_as != d->link->peer_as)
		bgp_decoding_fail(d, BGP_AS_WITHDRAWN, BGP_E_AS_PATH, NULL,
				  "AS_PATH does not begin with the peer's AS");
}

/* What was reachable is not. -ENOMEM. */
static int turn(struct bgp_decoding *d, struct bgp_routes *r)
{
	struct prefix *v = arena_array(d->ar, (size_t)r->n_reach + r->n_unreach, sizeof(*v));

	if (!v)
		return -ENOMEM;
	if (r->n_unreach)
		memcpy(v, r->unreach, r->n_unreach * sizeof(*v));
	if (r->n_reach)
		memcpy(v + r->n_unreach, r->reach, r->n_reach * sizeof(*v));
	r->unreach = v;
	r->n_unreach += r->n_reach;
	r->n_reach = 0;
	return 0;
}

static int conclude(struct bgp_decoding *d)
{
	struct bgp_update *u = d->u;
	int rc = 0;

	for (unsigned i = 0; i < BGP_FAMILIES; i++)
		if (u->family[i].n_reach)
			check_routes(d, &u->family[i]);
	if (u->verdict != BGP_AS_WITHDRAWN)
		return 0;
	if (!d->routes) {
		u->verdict = BGP_RESET;
		return -EBADMSG;
	}
	for (unsigned i = 0; i < BGP_FAMILIES && !rc; i++)
		rc = turn(d, &u->family[i]);
	return rc;
}

/* The fields behind the attributes, which say what is to be done with these. */
static int read_routes(struct bgp_decoding *d, struct wire withdrawn, struct wire nlri)
{
	struct bgp_routes *v4 = &d->u->family[BGP_IPV4];
	int rc = read_prefixes(withdrawn, BGP_IPV4, d->ar, &v4->unreach, &v4->n_unreach);

	if (!rc)
		rc = read_prefixes(nlri, BGP_IPV4, d->ar, &v4->reach, &v4->n_reach);
	if (rc == -EBADMSG)
		return bgp_decoding_fail(d, BGP_RESET, BGP_E_NETWORK, NULL,
					 "a prefix that is none");
	v4->attrs = d->draft;
	d->routes = wire_left(&nlri) || d->has_reach;
	if (!rc && d->has_reach)
		rc = read_reach(d);
	if (!rc && d->has_unreach)
		rc = read_unreach(d);
	if (!d->link->family[BGP_IPV4])
		v4->n_reach = v4->n_unreach = 0;
	return rc;
}

int bgp_update_decode(const uint8_t *body, size_t n, const struct bgp_link *l, struct arena *ar,
		      struct bgp_update *out)
{
	struct bgp_decoding d = { .link = l, .ar = ar, .u = out };
	struct wire w = wire_from(body, n), withdrawn, attrs;
	int rc;

	*out = (struct bgp_update){ 0 };
	withdrawn = wire_sub(&w, wire_u16(&w));
	attrs = wire_sub(&w, wire_u16(&w));
	if (w.bad) {
		bgp_decoding_fail(&d, BGP_RESET, BGP_E_ATTRIBUTES, NULL,
				  "its lengths reach past the message");
		return 0;
	}
	out->family[BGP_IPV4].end = n == 4;
	rc = bgp_attrs_decode(&d, attrs);
	if (!rc)
		rc = read_routes(&d, withdrawn, w);
	if (!rc)
		rc = conclude(&d);
	return rc == -ENOMEM ? rc : 0;
}
