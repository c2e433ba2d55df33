// SPDX-License-Identifier: Apache-2.0
/* Addresses as names. An octet of in-addr.arpa has no leading zero, a nibble of ip6.arpa is one digit: each address has one name. */
#include "core/dns/reverse.h"

#include <string.h>
#include <sys/socket.h>

static const char in_addr[] = "\7in-addr\4arpa", ip6[] = "\3ip6\4arpa"; /* their 0 is the root */

static bool ends(const struct dns_name *n, const char *zone, size_t len)
{
	return n->n >= len && !memcmp(n->v + n->n - len, zone, len);
}

/* A suffix of octets could begin within a label only if a length were a letter, and none is; but "x7in-addr" could not be told from a
 * label's end, so labels are counted too. */
static bool labels_below(const struct dns_name *n, size_t zone, unsigned *out)
{
	size_t at = 0;

	for (*out = 0; at + zone < n->n; ++*out)
		at += n->v[at] + 1u;
	return at + zone == n->n;
}

bool dns_reverse_is(const struct dns_name *n)
{
	unsigned k;

	return (ends(n, in_addr, sizeof(in_addr)) && labels_below(n, sizeof(in_addr), &k)) ||
	       (ends(n, ip6, sizeof(ip6)) && labels_below(n, sizeof(ip6), &k));
}

static bool octet(const uint8_t *label, uint8_t *out)
{
	unsigned v = 0;

	if (label[0] > 3 || (label[0] > 1 && label[1] == '0'))
		return false;
	for (unsigned i = 1; i <= label[0]; i++) {
		if (label[i] < '0' || label[i] > '9')
			return false;
		v = v * 10 + label[i] - '0';
	}
	*out = (uint8_t)v;
	return v < 256;
}

static bool nibble(const uint8_t *label, uint8_t *out)
{
	uint8_t c = label[1];

	if (label[0] != 1)
		return false;
	if (c >= '0' && c <= '9')
		*out = c - '0';
	else if (c >= 'a' && c <= 'f')
		*out = (uint8_t)(c - 'a' + 10);
	else
		return false;
	return true;
}

enum dns_reverse_sort dns_reverse_read(const struct dns_name *n, struct ipaddr *out)
{
	bool v4 = ends(n, in_addr, sizeof(in_addr));
	unsigned most = v4 ? 4 : 32, k;
	const uint8_t *l = n->v;

	if (!labels_below(n, v4 ? sizeof(in_addr) : sizeof(ip6), &k) || k > most)
		return DNS_REVERSE_NONE;
	*out = (struct ipaddr){ .family = v4 ? AF_INET : AF_INET6 };
	for (unsigned i = 0; i < k; i++, l += l[0] + 1) {
		uint8_t x;

		if (v4 ? !octet(l, &x) : !nibble(l, &x))
			return DNS_REVERSE_NONE;
		if (v4)
			out->b[k - 1 - i] = x;
		else
			out->b[(k - 1 - i) / 2] |= (uint8_t)((k - 1 - i) % 2 ? x : x << 4);
	}
	return k == most ? DNS_REVERSE_ADDR : DNS_REVERSE_PART;
}

size_t dns_dashed_write(const struct ipaddr *a, char out[DNS_DASHED])
{
	size_t n = strlen(addr_str(a, out));

	for (size_t i = 0; i < n; i++)
		if (out[i] == '.' || out[i] == ':')
			out[i] = '-';
	return n;
}

bool dns_dashed_read(const void *label, size_t n, struct ipaddr *out)
{
	char text[DNS_DASHED];
	unsigned dashes = 0;
	bool two = false;

	if (!n || n >= sizeof(text))
		return false;
	memcpy(text, label, n);
	text[n] = 0;
	for (size_t i = 0; i < n; i++) {
		if (text[i] != '-')
			continue;
		dashes++;
		two |= i && text[i - 1] == '-';
	}
	for (size_t i = 0; i < n; i++) {
		if (text[i] == '.' || text[i] == ':')
			return false;
		if (text[i] == '-')
			text[i] = dashes == 3 && !two ? '.' : ':';
	}
	return addr_parse(text, out) == 0;
}
