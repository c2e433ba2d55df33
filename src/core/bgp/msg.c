// SPDX-License-Identifier: Apache-2.0
/* msg: see msg.h. OPEN is in open.c. */
#include "core/bgp/msg.h"

#include "base/wire.h"
#include "core/bgp/fault.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MARKER         16
#define LEAST_OPEN     29
#define LEAST_UPDATE   23
#define LEAST_NOTICE   21
#define REFRESH_LENGTH 23
#define CEASE_TEXT     255 /* octets, RFC 9003 2 */

static const uint8_t marker[MARKER] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
					0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

/* RFC 4271 6.1: is the length one that this type can have? */
static bool length_fits(uint8_t type, uint16_t len)
{
	switch (type) {
	case BGP_OPEN:
		return len >= LEAST_OPEN;
	case BGP_UPDATE:
		return len >= LEAST_UPDATE;
	case BGP_NOTIFICATION:
		return len >= LEAST_NOTICE;
	case BGP_KEEPALIVE:
		return len == BGP_HEADER;
	default:
		return true; /* ROUTE-REFRESH has an error of its own for it */
	}
}

int bgp_message_next(const uint8_t *p, size_t n, struct bgp_fault *f)
{
	uint16_t len;
	uint8_t type;

	if (memcmp(p, marker, n < MARKER ? n : MARKER) != 0)
		return bgp_fault(f, BGP_E_HEADER, BGP_E_SYNC, "the marker is not all ones");
	if (n < MARKER + 2)
		return 0;
	len = (uint16_t)(p[MARKER] << 8 | p[MARKER + 1]);
	if (len < BGP_HEADER || len > BGP_MESSAGE) {
		bgp_fault(f, BGP_E_HEADER, BGP_E_LENGTH, "a message of %u octets", len);
		return bgp_fault_show(f, p + MARKER, 2);
	}
	if (n < BGP_HEADER)
		return 0;
	type = p[MARKER + 2];
	if (type < BGP_OPEN || type > BGP_REFRESH) {
		bgp_fault(f, BGP_E_HEADER, BGP_E_TYPE, "a message of type %u", type);
		return bgp_fault_show(f, &type, 1);
	}
	if (!length_fits(type, len)) {
		bgp_fault(f, BGP_E_HEADER, BGP_E_LENGTH, "%s of %u octets", bgp_message_name(type),
			  len);
		return bgp_fault_show(f, p + MARKER, 2);
	}
	return n < len ? 0 : len;
}

size_t bgp_message_begin(struct buf *b, enum bgp_message type)
{
	size_t begun = b->n;

	buf_put(b, marker, MARKER);
	put_u16(b, 0);
	put_u8(b, (uint8_t)type);
	return begun;
}

void bgp_message_end(struct buf *b, size_t begun)
{
	size_t len = b->n - begun;

	if (b->failed)
		return;
	b->v[begun + MARKER] = (char)(len >> 8);
	b->v[begun + MARKER + 1] = (char)len;
}

/* ---- NOTIFICATION */

/* RFC 9003 2: an octet of length, then UTF-8; what is not that is shown as octets. */
static void read_shutdown(struct bgp_fault *f)
{
	size_t len = f->data_len ? f->data[0] : 0;
	char text[CEASE_TEXT + 1];
	struct buf b = { 0 };

	if (f->code != BGP_E_CEASE || (f->sub != BGP_E_SHUTDOWN && f->sub != BGP_E_RESET) || !len ||
	    len > f->data_len - 1u)
		return;
	memcpy(text, f->data + 1, len);
	text[len] = 0;
	buf_json_str(&b, text);
	if (!b.failed && b.n)
		snprintf(f->text, sizeof(f->text), "%s", b.v);
	buf_fini(&b);
}

int bgp_notification_decode(const uint8_t *body, size_t n, struct bgp_fault *out)
{
	struct bgp_fault f = { 0 };

	if (n < 2)
		return -EBADMSG;
	f.code = body[0];
	f.sub = body[1];
	bgp_fault_show(&f, body + 2, n - 2);
	read_shutdown(&f);
	*out = f;
	return 0;
}

void bgp_notification_put(struct buf *b, const struct bgp_fault *f)
{
	size_t begun = bgp_message_begin(b, BGP_NOTIFICATION);

	put_u8(b, f->code);
	put_u8(b, f->sub);
	buf_put(b, f->data, f->data_len);
	bgp_message_end(b, begun);
}

void bgp_cease(struct bgp_fault *f, enum bgp_cease_sub sub, const char *why)
{
	size_t n = strlen(why);

	bgp_fault(f, BGP_E_CEASE, (uint8_t)sub, "%s", why);
	if (!n || (sub != BGP_E_SHUTDOWN && sub != BGP_E_RESET))
		return;
	if (n > CEASE_TEXT)
		for (n = CEASE_TEXT; n && (why[n] & 0xc0) == 0x80; n--)
			; /* not within a character */
	f->data[0] = (uint8_t)n;
	memcpy(f->data + 1, why, n);
	f->data_len = (uint16_t)(n + 1);
}

/* ---- KEEPALIVE, ROUTE-REFRESH */

void bgp_keepalive_put(struct buf *b)
{
	bgp_message_end(b, bgp_message_begin(b, BGP_KEEPALIVE));
}

int bgp_refresh_decode(const uint8_t *body, size_t n, struct bgp_fault *f)
{
	struct wire w = wire_from(body, n);
	uint16_t afi = wire_u16(&w);
	uint8_t subtype = wire_u8(&w), safi = wire_u8(&w);

	if (n != REFRESH_LENGTH - BGP_HEADER) {
		bgp_fault(f, BGP_E_REFRESH, BGP_E_REFRESH_LENGTH, "ROUTE-REFRESH of %zu octets",
			  n + BGP_HEADER);
		return bgp_fault_show(f, body, n);
	}
	return subtype ? -1 : bgp_family_of(afi, safi);
}

void bgp_refresh_put(struct buf *b, enum bgp_family family)
{
	size_t begun = bgp_message_begin(b, BGP_REFRESH);

	put_u16(b, bgp_afi(family));
	put_u8(b, 0);
	put_u8(b, BGP_SAFI_UNICAST);
	bgp_message_end(b, begun);
}
