// SPDX-License-Identifier: Apache-2.0
/* Words of the DNS: see words.h. */
#include "core/dns/words.h"

#include "base/addr.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define TYPE "TYPE" /* RFC 3597 5: and a number */

/* What we know, and of IANA's list those that people ask for. */
static const struct {
	uint16_t type;
	const char *name;
} types[] = {
	{ DNS_A, "A" },     { DNS_AAAA, "AAAA" }, { DNS_SRV, "SRV" },     { DNS_PTR, "PTR" },
	{ DNS_SOA, "SOA" }, { DNS_NS, "NS" },     { DNS_CNAME, "CNAME" }, { DNS_TXT, "TXT" },
	{ DNS_MX, "MX" },   { DNS_ANY, "ANY" },   { DNS_HINFO, "HINFO" }, { DNS_DNAME, "DNAME" },
	{ DNS_OPT, "OPT" }, { DNS_AXFR, "AXFR" }, { DNS_IXFR, "IXFR" },   { 29, "LOC" },
	{ 35, "NAPTR" },    { 43, "DS" },         { 44, "SSHFP" },        { 46, "RRSIG" },
	{ 47, "NSEC" },     { 48, "DNSKEY" },     { 50, "NSEC3" },        { 51, "NSEC3PARAM" },
	{ 52, "TLSA" },     { 64, "SVCB" },       { 65, "HTTPS" },        { 256, "URI" },
	{ 257, "CAA" },
};
#define TYPES (sizeof(types) / sizeof(*types))

const char *dns_type_text(uint16_t type, char buf[16])
{
	for (size_t i = 0; i < TYPES; i++)
		if (types[i].type == type)
			return types[i].name;
	snprintf(buf, 16, TYPE "%u", type);
	return buf;
}

uint16_t dns_type_parse(const char *text)
{
	unsigned long n;
	char *end;

	for (size_t i = 0; i < TYPES; i++)
		if (!strcasecmp(types[i].name, text))
			return types[i].type;
	if (strncasecmp(text, TYPE, strlen(TYPE)) != 0 || text[4] < '0' || text[4] > '9')
		return 0;
	n = strtoul(text + 4, &end, 10);
	return *end || n > UINT16_MAX ? 0 : (uint16_t)n;
}

const char *dns_rcode_text(unsigned rcode, char buf[16])
{
	static const char *const text[] = { "NOERROR",  "FORMERR", "SERVFAIL",
					    "NXDOMAIN", "NOTIMP",  "REFUSED" };

	if (rcode < sizeof(text) / sizeof(*text))
		return text[rcode];
	snprintf(buf, 16, "RCODE%u", rcode);
	return buf;
}

/* ---- data */

static void put_text(struct buf *b, const uint8_t *v, size_t n)
{
	for (size_t i = 0; i < n; i += v[i] + 1u) {
		size_t len = v[i] < n - i ? v[i] : n - i - 1;

		buf_puts(b, i ? " \"" : "\"");
		for (size_t k = 1; k <= len; k++) {
			uint8_t c = v[i + k];

			buf_printf(b,
				   c < ' ' || c > '~'      ? "\\%03u"
				   : c == '"' || c == '\\' ? "\\%c"
							   : "%c",
				   c);
		}
		buf_puts(b, "\"");
	}
}

static void put_name(struct buf *b, const struct dns_walk *w, size_t *at)
{
	char text[DNS_NAME_TEXT];
	struct dns_name n;

	if (!dns_name_read(w->p, w->n, at, &n))
		buf_puts(b, dns_name_text(&n, text));
}

void dns_data_text(struct buf *b, const struct dns_walk *w, const struct dns_record *r)
{
	const struct dns_data_form *form = dns_data_form(r->type);
	const uint8_t *v = w->p + r->data;
	struct ipaddr a = { .family = r->type == DNS_A ? AF_INET : AF_INET6 };
	char text[ADDR_TEXT];
	size_t at = r->data;

	if (r->type == DNS_A || r->type == DNS_AAAA) {
		memcpy(a.b, v, r->len);
		buf_puts(b, addr_str(&a, text));
	} else if (r->type == DNS_TXT) {
		put_text(b, v, r->len);
	} else if (form) {
		for (unsigned i = 0; i + 1 < form->before; i += 2)
			buf_printf(b, "%u ", v[i] << 8 | v[i + 1]);
		at += form->before;
		for (unsigned i = 0; i < form->names; i++) {
			buf_puts(b, i ? " " : "");
			put_name(b, w, &at);
		}
		for (unsigned i = 0; r->type == DNS_SOA && i < 20; i += 4, at += 4)
			buf_printf(b, " %u",
				   (unsigned)w->p[at] << 24 | w->p[at + 1] << 16 |
					   w->p[at + 2] << 8 | w->p[at + 3]);
	} else {
		buf_printf(b, "\\# %u ", r->len);
		for (unsigned i = 0; i < r->len; i++)
			buf_printf(b, "%02x", v[i]);
	}
}
