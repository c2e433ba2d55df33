/* SPDX-License-Identifier: Apache-2.0 */
/* dns_answers: see dns_answers.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dns_answers.h"
#include "octets.h"

#include "base/addr.h"
#include "core/dns/msg_names.h"
#include "core/dns/octets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	uint16_t type;
} types[] = { { "A", DNS_A },     { "AAAA", DNS_AAAA },  { "NS", DNS_NS },   { "CNAME", DNS_CNAME },
	      { "PTR", DNS_PTR }, { "SRV", DNS_SRV },    { "SOA", DNS_SOA }, { "TXT", DNS_TXT },
	      { "MX", DNS_MX },   { "DNAME", DNS_DNAME } };
static const char *const sections[] = { "an", "au", "ad" };

static uint16_t type_of(const char *text)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (!strcmp(types[i].name, text))
			return types[i].type;
	return (uint16_t)atoi(text + 4);
}

static struct dns_name name(const char *text)
{
	struct dns_name n;
	struct err e;

	if (dns_name_parse(text, &n, &e))
		fail_msg("%s", e.text);
	return n;
}

static void put_value(struct dns_out *o, uint16_t type, const char *value)
{
	uint8_t v[512];
	unsigned p = 0, w = 0, port = 0;
	struct dns_name target;
	struct ipaddr a;
	char host[256];

	switch (type) {
	case DNS_A:
	case DNS_AAAA:
		assert_int_equal(addr_parse(value, &a), 0);
		dns_out_put(o, a.b, addr_len(&a));
		break;
	case DNS_NS:
	case DNS_CNAME:
	case DNS_PTR:
	case DNS_DNAME:
		target = name(value);
		dns_out_put_name(o, &target, type != DNS_DNAME);
		break;
	case DNS_MX:
		assert_int_equal(sscanf(value, "%u %255s", &p, host), 2);
		target = name(host);
		dns_out_put16(o, (uint16_t)p);
		dns_out_put_name(o, &target, true);
		break;
	case DNS_SRV:
		assert_int_equal(sscanf(value, "%u %u %u %255s", &p, &w, &port, host), 4);
		target = name(host);
		dns_out_put16(o, (uint16_t)p);
		dns_out_put16(o, (uint16_t)w);
		dns_out_put16(o, (uint16_t)port);
		dns_out_put_name(o, &target, false);
		break;
	case DNS_SOA:
		target = name("ns.example.");
		dns_out_put_name(o, &target, true);
		dns_out_put_name(o, &target, true);
		for (int i = 0; i < 4; i++)
			dns_out_put32(o, 1);
		dns_out_put32(o, (uint32_t)atoi(value));
		break;
	case DNS_TXT:
		v[0] = (uint8_t)strlen(value);
		dns_out_put(o, v, 1);
		dns_out_put(o, value, v[0]);
		break;
	default:
		dns_out_put(o, v, octets(value, v));
	}
}

static void put_record(struct dns_out *o, const char *text)
{
	char section[8], owner[256], type[16], value[512];
	struct dns_out_record rec;
	unsigned s = 0, ttl;
	struct dns_name n;

	assert_int_equal(
		sscanf(text, " %7s %255s %u %15s %511[^;]", section, owner, &ttl, type, value), 5);
	while (s < DNS_SECTIONS && strcmp(sections[s], section) != 0)
		s++;
	n = name(owner);
	assert_true(dns_out_record_begin(o, &rec, s, &n, type_of(type), ttl));
	put_value(o, type_of(type), value);
	assert_true(dns_out_record_end(o, &rec));
}

size_t dns_answer_make(const uint8_t *query, size_t n, uint16_t flags, int rcode,
		       const char *records, uint8_t *out, size_t cap)
{
	struct dns_query q;
	struct dns_out o;

	assert_int_equal(dns_query_read(query, n, &q), 0);
	dns_out_begin(&o, out, cap, &q, DNS_RA);
	for (const char *p = records; p && *p; p = strchr(p, ';') ? strchr(p, ';') + 1 : NULL)
		put_record(&o, p);
	o.flags |= flags;
	return dns_out_end(&o, rcode);
}

/* ---- to text */

struct text {
	char *v;
	size_t n, cap;
};

static void say(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->v + t->n, t->cap - t->n, fmt, ap);
	va_end(ap);
	t->n += (size_t)n < t->cap - t->n ? (size_t)n : t->cap - t->n - 1;
}

static void say_name(struct text *t, const uint8_t *msg, size_t n, size_t *at)
{
	char buf[DNS_NAME_TEXT];
	struct dns_name got;

	assert_int_equal(dns_name_read(msg, n, at, &got), 0);
	say(t, "%s", dns_name_text(&got, buf));
}

static void say_value(struct text *t, const uint8_t *msg, size_t n, const struct dns_record *r)
{
	const struct dns_data_form *form = dns_data_form(r->type);
	size_t at = r->data;
	char buf[ADDR_TEXT];
	struct ipaddr a = { 0 };

	if (r->type == DNS_A || r->type == DNS_AAAA) {
		a.family = r->type == DNS_A ? 2 : 10;
		memcpy(a.b, msg + at, r->len);
		say(t, "%s", addr_str(&a, buf));
	} else if (r->type == DNS_TXT) {
		say(t, "%.*s", msg[at], (const char *)msg + at + 1);
	} else if (r->type == DNS_SOA) {
		say(t, "%u", dns_get32(msg + at + r->len - 4));
	} else if (form) {
		for (; at < r->data + form->before; at += 2)
			say(t, "%u ", dns_get16(msg + at));
		say_name(t, msg, n, &at);
	} else {
		for (; at < r->data + r->len; at++)
			say(t, "%02x", msg[at]);
	}
}

const char *dns_answer_text(const uint8_t *msg, size_t n, char *buf, size_t cap)
{
	struct text t = { buf, 0, cap };
	struct dns_response r;
	struct dns_record rec;
	struct dns_walk w;
	char owner[DNS_NAME_TEXT];

	buf[0] = '\0';
	assert_int_equal(dns_response_read(msg, n, &r), 0);
	say(&t, "%u%s%s", r.rcode, r.flags & DNS_TC ? " tc" : "", r.flags & DNS_AD ? " ad" : "");
	for (w = dns_walk_begin(&r); dns_walk_next(&w, &rec);) {
		const char *type = NULL;

		if (rec.type == DNS_OPT)
			continue;
		for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
			if (types[i].type == rec.type)
				type = types[i].name;
		say(&t, "; %s %s %u ", sections[rec.section], dns_name_text(&rec.owner, owner),
		    rec.ttl);
		if (type)
			say(&t, "%s ", type);
		else
			say(&t, "TYPE%u ", rec.type);
		say_value(&t, msg, n, &rec);
	}
	return buf;
}

struct dns_query dns_ask_make(const char *text, uint16_t type)
{
	struct dns_query q = { .id = 7, .flags = DNS_RD, .type = type, .class = DNS_IN };

	q.name = q.lower = name(text);
	dns_name_lower(&q.lower);
	q.question_len = (uint16_t)(q.name.n + 4);
	q.udp_size = DNS_UDP_MIN;
	return q;
}

const char *dns_relay_text(const struct dns_relay *r, const struct dns_query *q, char *buf,
			   size_t cap)
{
	static uint8_t msg[DNS_MESSAGE_MAX];

	return dns_answer_text(msg, dns_relay_write(r, q, msg, sizeof(msg)), buf, cap);
}
