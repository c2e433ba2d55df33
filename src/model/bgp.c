// SPDX-License-Identifier: Apache-2.0
/* Texts of BGP's objects: addresses with ports, communities, AS numbers, and the passwords of Secrets, which are base64 (RFC 4648 4). */
#include "model/bgp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Digits only, up to `max`, and `*end` is what follows. */
static int number(const char *s, uint64_t max, uint64_t *out, const char **end)
{
	uint64_t v = 0;
	const char *p = s;

	for (; *p >= '0' && *p <= '9'; p++) {
		v = v * 10 + (uint64_t)(*p - '0');
		if (v > max)
			return -EINVAL;
	}
	if (p == s)
		return -EINVAL;
	*out = v;
	*end = p;
	return 0;
}

/* ---- annotations */

uint32_t annotation_as_number(const struct meta *m)
{
	const char *s = strmap_get(&m->annotations, ANNOTATION_AS_NUMBER), *end;
	uint64_t v;

	return s && !number(s, UINT32_MAX, &v, &end) && !*end ? (uint32_t)v : 0;
}

uint32_t annotation_cluster_id(const struct meta *m)
{
	const char *s = strmap_get(&m->annotations, ANNOTATION_CLUSTER_ID);
	struct ipaddr a;

	if (!s || addr_parse(s, &a) || a.family != AF_INET)
		return 0;
	return (uint32_t)a.b[0] << 24 | (uint32_t)a.b[1] << 16 | (uint32_t)a.b[2] << 8 | a.b[3];
}

/* ---- addresses */

int peer_ip_parse(const char *s, struct ipaddr *addr, uint16_t *port)
{
	char text[ADDR_TEXT];
	const char *from = s, *colon, *end;
	uint64_t v = 0;
	struct ipaddr a;
	size_t len = strlen(s);

	if (*s == '[') {
		const char *close = strchr(s, ']');

		if (!close || close[1] != ':')
			return -EINVAL;
		from = s + 1;
		len = (size_t)(close - from);
		colon = close + 1;
	} else {
		colon = strchr(s, ':');
		if (colon && strchr(colon + 1, ':'))
			colon = NULL; /* of an IPv6 address */
		if (colon)
			len = (size_t)(colon - from);
	}
	if (len >= sizeof(text))
		return -EINVAL;
	memcpy(text, from, len);
	text[len] = 0;
	if (addr_parse(text, &a) || (*s == '[') != (colon && a.family == AF_INET6))
		return -EINVAL;
	if (colon && (number(colon + 1, UINT16_MAX, &v, &end) || *end || !v))
		return -EINVAL;
	*addr = a;
	*port = (uint16_t)v;
	return 0;
}

/* ---- communities */

/* The registry's, RFC 1997, 7999, 8326. */
static const struct {
	const char *name;
	uint32_t value;
} well_known[] = {
	{ "graceful-shutdown", 0xffff0000 },   { "blackhole", 0xffff029a },
	{ "no-export", 0xffffff01 },           { "no-advertise", 0xffffff02 },
	{ "no-export-subconfed", 0xffffff03 },
};

int community_parse(const char *s, uint32_t v[3])
{
	uint64_t part[3];
	unsigned n = 0;

	for (size_t i = 0; i < sizeof(well_known) / sizeof(well_known[0]); i++)
		if (!strcmp(s, well_known[i].name)) {
			v[0] = well_known[i].value;
			return 1;
		}
	for (;; s++) {
		if (n == 3 || number(s, UINT32_MAX, &part[n++], &s))
			return -EINVAL;
		if (*s != ':')
			break;
	}
	if (*s || n == 1 || (n == 2 && (part[0] > UINT16_MAX || part[1] > UINT16_MAX)))
		return -EINVAL;
	if (n == 2) {
		v[0] = (uint32_t)(part[0] << 16 | part[1]);
		return 1;
	}
	for (unsigned i = 0; i < 3; i++)
		v[i] = (uint32_t)part[i];
	return 3;
}

/* ---- passwords */

static int digit64(char c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* Octets, at most `max`; -1 for what is no base64, or longer. */
static int decode64(const char *s, uint8_t *out, size_t max)
{
	size_t len = strlen(s), pad = 0, n = 0;
	uint32_t bits = 0;

	if (len % 4)
		return -1;
	while (pad < 2 && pad < len && s[len - 1 - pad] == '=')
		pad++;
	for (size_t i = 0; i < len; i++) {
		int d = i < len - pad ? digit64(s[i]) : 0;

		if (d < 0)
			return -1;
		bits = bits << 6 | (uint32_t)d;
		if (i % 4 != 3)
			continue;
		for (size_t k = 0; k < 3 - (i + 1 == len ? pad : 0); k++) {
			if (n == max)
				return -1;
			out[n++] = (uint8_t)(bits >> (16 - 8 * k));
		}
	}
	return (int)n;
}

size_t secret_password(const struct secret *s, const char *key, uint8_t out[PASSWORD_MAX])
{
	const char *plain = strmap_get(&s->stringData, key);
	const char *coded = plain ? NULL : strmap_get(&s->data, key);
	uint8_t v[PASSWORD_MAX];
	int n = 0;

	if (plain && strlen(plain) <= PASSWORD_MAX) {
		n = (int)strlen(plain);
		memcpy(v, plain, (size_t)n);
	} else if (coded) {
		n = decode64(coded, v, sizeof(v));
	}
	/* No router's configuration can have these; most often it is the end of a line. */
	for (int i = 0; i < n; i++)
		if (v[i] < 0x20 || v[i] == 0x7f)
			return 0;
	if (n > 0)
		memcpy(out, v, (size_t)n);
	return n > 0 ? (size_t)n : 0;
}
