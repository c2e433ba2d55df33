// SPDX-License-Identifier: Apache-2.0
/* OPEN and its capabilities: see msg.h.
 *
 * Order of checks as in RFC 4271 6.2: version, AS, hold time, identifier, then the optional parameters. A capability that is not known is
 * skipped; one that is known and has another length than it must is a malformed OPEN (2/0), as nothing can be
 * agreed on by it. Of one that comes twice the last counts, families add up (RFC 5492 4). */
#include "base/wire.h"
#include "core/bgp/fault.h"
#include "core/bgp/msg.h"

#include <errno.h>

#define PARAM_CAPABILITIES 2
#define PARAM_EXTENDED     255 /* RFC 9072 */
#define HOLD_LEAST         3

enum capability {
	CAP_MULTIPROTOCOL = 1,
	CAP_REFRESH = 2,
	CAP_GRACEFUL = 64,
	CAP_AS4 = 65,
};

#define GR_RESTARTING   0x8000
#define GR_NOTIFICATION 0x4000
#define GR_TIME         0x0fff
#define GR_KEPT         0x80

static void read_multiprotocol(struct wire *w, struct bgp_open *o)
{
	uint16_t afi = wire_u16(w);
	int family;

	wire_u8(w);
	family = bgp_family_of(afi, wire_u8(w));
	o->multiprotocol = true;
	if (family >= 0)
		o->family[family] = true;
}

static void read_graceful(struct wire *w, struct bgp_open *o)
{
	uint16_t v = wire_u16(w);

	o->graceful = (struct bgp_graceful){ .offered = true,
					     .restarting = v & GR_RESTARTING,
					     .notification = v & GR_NOTIFICATION,
					     .restart_time = v & GR_TIME };
	while (wire_left(w)) {
		uint16_t afi = wire_u16(w);
		int family = bgp_family_of(afi, wire_u8(w));
		uint8_t flags = wire_u8(w);

		if (family < 0 || w->bad)
			continue;
		o->graceful.family[family] = true;
		o->graceful.kept[family] = flags & GR_KEPT;
	}
}

static bool read_capability(uint8_t code, struct wire *w, struct bgp_open *o)
{
	switch (code) {
	case CAP_MULTIPROTOCOL:
		read_multiprotocol(w, o);
		break;
	case CAP_REFRESH:
		o->refresh = true;
		break;
	case CAP_GRACEFUL:
		read_graceful(w, o);
		break;
	case CAP_AS4:
		o->as4 = true;
		o->as = wire_u32(w);
		break;
	default:
		return true;
	}
	return !w->bad && !wire_left(w);
}

static int malformed(struct bgp_fault *f, const char *what)
{
	return bgp_fault(f, BGP_E_OPEN, 0, "%s", what);
}

static int read_capabilities(struct wire *w, struct bgp_open *o, struct bgp_fault *f)
{
	while (wire_left(w)) {
		uint8_t code = wire_u8(w);
		struct wire sub = wire_sub(w, wire_u8(w));

		if (w->bad)
			return malformed(f, "a capability reaches past its parameter");
		if (!read_capability(code, &sub, o))
			return bgp_fault(f, BGP_E_OPEN, 0, "capability %u has another length",
					 code);
	}
	return 0;
}

static int read_parameters(struct wire *w, bool extended, struct bgp_open *o, struct bgp_fault *f)
{
	while (wire_left(w)) {
		uint8_t type = wire_u8(w);
		struct wire sub = wire_sub(w, extended ? wire_u16(w) : wire_u8(w));
		int rc;

		if (w->bad)
			return malformed(f, "an optional parameter reaches past the message");
		if (type != PARAM_CAPABILITIES)
			return bgp_fault(f, BGP_E_OPEN, BGP_E_OPTIONAL, "optional parameter %u",
					 type);
		rc = read_capabilities(&sub, o, f);
		if (rc)
			return rc;
	}
	return 0;
}

/* All of what is left must be parameters (RFC 4271 4.2, RFC 9072 2). */
static int read_optional(struct wire *w, struct bgp_open *o, struct bgp_fault *f)
{
	size_t len = wire_u8(w);
	bool extended = len && wire_left(w) && *w->p == PARAM_EXTENDED;

	if (extended) {
		wire_u8(w);
		len = wire_u16(w);
	}
	if (w->bad || len != wire_left(w))
		return malformed(
			f, "the length of the optional parameters is not that of the message");
	return read_parameters(w, extended, o, f);
}

static int check_as(uint16_t short_as, const struct bgp_open *o, struct bgp_fault *f)
{
	if (!o->as || !short_as)
		return bgp_fault(f, BGP_E_OPEN, BGP_E_PEER_AS, "AS 0");
	if (short_as != BGP_AS_TRANS && short_as != o->as)
		return bgp_fault(f, BGP_E_OPEN, BGP_E_PEER_AS, "AS %u and AS %u at once", short_as,
				 o->as);
	return 0;
}

int bgp_open_decode(const uint8_t *body, size_t n, struct bgp_open *out, struct bgp_fault *f)
{
	struct wire w = wire_from(body, n);
	struct bgp_open o = { .version = wire_u8(&w) };
	uint16_t short_as = wire_u16(&w);
	int rc;

	o.as = short_as;
	o.hold_time = wire_u16(&w);
	o.id = wire_u32(&w);
	if (o.version != BGP_VERSION) {
		bgp_fault(f, BGP_E_OPEN, BGP_E_VERSION, "version %u", o.version);
		return bgp_fault_show(f, (const uint8_t[]){ 0, BGP_VERSION }, 2);
	}
	if (o.hold_time && o.hold_time < HOLD_LEAST)
		return bgp_fault(f, BGP_E_OPEN, BGP_E_HOLD_TIME, "hold time %u s", o.hold_time);
	if (!o.id)
		return bgp_fault(f, BGP_E_OPEN, BGP_E_BGP_ID, "BGP identifier 0.0.0.0");
	rc = read_optional(&w, &o, f);
	if (!rc)
		rc = check_as(short_as, &o, f);
	if (rc)
		return rc;
	if (!o.multiprotocol)
		o.family[BGP_IPV4] = true;
	*out = o;
	return 0;
}

/* ---- ours */

static void put_graceful(struct buf *b, const struct bgp_graceful *g)
{
	size_t n = (size_t)g->family[BGP_IPV4] + g->family[BGP_IPV6];

	put_u8(b, CAP_GRACEFUL);
	put_u8(b, (uint8_t)(2 + 4 * n));
	put_u16(b,
		(uint16_t)((g->restarting ? GR_RESTARTING : 0) |
			   (g->notification ? GR_NOTIFICATION : 0) | (g->restart_time & GR_TIME)));
	for (unsigned i = 0; i < BGP_FAMILIES; i++)
		if (g->family[i]) {
			put_u16(b, bgp_afi(i));
			put_u8(b, BGP_SAFI_UNICAST);
			put_u8(b, g->kept[i] ? GR_KEPT : 0);
		}
}

static void put_capabilities(struct buf *b, const struct bgp_open *o)
{
	for (unsigned i = 0; i < BGP_FAMILIES && o->multiprotocol; i++)
		if (o->family[i]) {
			put_u8(b, CAP_MULTIPROTOCOL);
			put_u8(b, 4);
			put_u16(b, bgp_afi(i));
			put_u8(b, 0);
			put_u8(b, BGP_SAFI_UNICAST);
		}
	if (o->refresh) {
		put_u8(b, CAP_REFRESH);
		put_u8(b, 0);
	}
	if (o->graceful.offered)
		put_graceful(b, &o->graceful);
	if (o->as4) {
		put_u8(b, CAP_AS4);
		put_u8(b, 4);
		put_u32(b, o->as);
	}
}

/* Ours are far below the 255 octets from which RFC 9072 is needed. */
void bgp_open_put(struct buf *b, const struct bgp_open *o)
{
	size_t begun = bgp_message_begin(b, BGP_OPEN), lengths;

	put_u8(b, o->version);
	put_u16(b, o->as > UINT16_MAX ? BGP_AS_TRANS : (uint16_t)o->as);
	put_u16(b, o->hold_time);
	put_u32(b, o->id);
	lengths = b->n;
	put_u8(b, 0);
	put_u8(b, PARAM_CAPABILITIES);
	put_u8(b, 0);
	put_capabilities(b, o);
	if (!b->failed) {
		b->v[lengths] = (char)(b->n - lengths - 1);
		b->v[lengths + 2] = (char)(b->n - lengths - 3);
	}
	bgp_message_end(b, begun);
}
