/* SPDX-License-Identifier: Apache-2.0 */
/* Questions about a small cluster. The input: an octet of settings, one of room, one of type, then the name, label by label: an octet that is
 * a word of the list, or how many octets follow that are one.
 *
 * An answer is a response that we would take ourselves, keeps the room and the question as asked. Its records are the name's, or those
 * that a CNAME before them leads to; what has none has the SOA of a zone that the name is in. Less room takes records and nothing
 * else, letters' case changes nothing, whether a name is there does not depend on the type, and what is there is below what is there.
 * Parser: core/dns/answer.c core/dns/answer_service.c core/dns/answer_external.c core/dns/answer_reverse.c core/dns/reverse.c */
#include "core/dns/octets.h"
#include "core/dns/response.h"
#include "store/manifest.h"
#include "tests/dns_world.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define SVC(name, spec)                                                                            \
	"{apiVersion: v1, kind: Service, metadata: {namespace: n, name: " name "}, " spec "}"
#define SLICE(svc, name, type, eps)                                                                \
	"{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {namespace: n, "         \
	"name: " name ", labels: {kubernetes.io/service-name: " svc "}}, addressType: " type       \
	", ports: [{name: http, port: 80}], endpoints: [" eps "]}"
#define EP(addr, more) "{addresses: ['" addr "'], " more "conditions: {ready: true}}"
#define PORTS          "ports: [{name: http, port: 80}, {name: dns, port: 53, protocol: UDP}]"

static const char *const objects[] = {
	"{apiVersion: v1, kind: Namespace, metadata: {name: n}}",
	SVC("web", "spec: {clusterIP: 10.3.0.7, clusterIPs: [10.3.0.7, 'fd00::7'], "
		   "externalIPs: [192.0.2.7], " PORTS "}"),
	SVC("empty", "spec: {clusterIP: 10.3.0.8, ports: [{port: 80}]}"),
	SVC("head", "spec: {clusterIP: None, " PORTS "}"),
	SVC("none", "spec: {clusterIP: None, " PORTS "}"),
	SVC("out", "spec: {type: ExternalName, externalName: a.example}"),
	SVC("in", "spec: {type: ExternalName, externalName: web.n.svc.c}"),
	SVC("lost", "spec: {type: ExternalName, externalName: x.n.svc.c}"),
	SVC("ring", "spec: {type: ExternalName, externalName: ring.n.svc.c}"),
	SVC("lb", "spec: {type: LoadBalancer, clusterIP: 10.3.0.9, " PORTS
		  "}, status: {loadBalancer: {ingress: [{hostname: lb.example}]}}"),
	SLICE("web", "web-1", "IPv4", EP("10.4.0.1", "")),
	SLICE("head", "head-1", "IPv4",
	      EP("10.4.0.1", "hostname: h, zone: z.a, ") ", " EP(
		      "10.4.0.2", "hostname: h, zone: b, ") ", " EP("10.4.0.3", "")),
	SLICE("head", "head-2", "IPv6", EP("fd00::1", "")),
	"{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: n}, spec: {nodeName: m, "
	"containers: [{name: c, image: i}]}, status: {phase: Running, podIP: 10.4.0.1, "
	"podIPs: [{ip: 10.4.0.1}]}}",
};
#define OBJECTS (sizeof(objects) / sizeof(*objects))

static const char *const zones[] = { "c", "n.c", "3.10.in-addr.arpa", "0.0.d.f.ip6.arpa" },
			 *const outside[] = { "ext", "192.in-addr.arpa" };

static const char *const words[] = {
	"c",        "svc",     "pod",         "n",     "web", "empty",    "head",  "none",
	"out",      "in",      "lost",        "ring",  "lb",  "h",        "_http", "_dns",
	"_tcp",     "_udp",    "_sctp",       "_zone", "pin", "z",        "a",     "b",
	"prefer",   "dns",     "ns",          "ns1",   "ext", "arpa",     "ip6",   "in-addr",
	"10-4-0-1", "fd00--1", "10",          "4",     "3",   "0",        "7",     "1",
	"2",        "192",     "dns-version", "d",     "f",   "10-4-0-3",
};
#define WORDS (sizeof(words) / sizeof(*words))

static struct dns_world w;

static void set_up(void)
{
	static const struct ipaddr local = { .family = AF_INET, .b = { 10, 3, 0, 10 } };
	static struct manifest m[OBJECTS];
	struct err e;

	dns_settings_init(&w.settings);
	for (size_t i = 0; i < sizeof(zones) / sizeof(*zones); i++)
		assert(!dns_settings_zone(&w.settings, zones[i], false, &e));
	for (size_t i = 0; i < sizeof(outside) / sizeof(*outside); i++)
		assert(!dns_settings_zone(&w.settings, outside[i], true, &e));
	assert(!dns_settings_local(&w.settings, &local, &e));
	w.settings.pods = DNS_PODS_VERIFIED;
	dns_world_open(&w, 1UL << 20);
	for (size_t i = 0; i < OBJECTS; i++) {
		manifest_parse(&m[i], "object", objects[i], strlen(objects[i]));
		assert(!m[i].n_errors && m[i].n_items == 1);
		assert(!dns_world_put(&w, m[i].items[0].obj, true, &e));
	}
	assert(!dns_zone_commit(w.zone, UINT_MAX, &e));
}

/* ---- one question */

struct answer {
	uint8_t wire[DNS_MESSAGE_MAX];
	struct dns_response r;
	int rcode;
	bool alias; /* the first record is a CNAME */
};

static struct dns_query query(const struct dns_name *name, uint16_t type)
{
	struct dns_query q = {
		.id = 7, .flags = DNS_RD, .type = type, .class = DNS_IN, .udp_size = DNS_UDP_MIN
	};

	q.name = q.lower = *name;
	dns_name_lower(&q.lower);
	q.question_len = (uint16_t)(name->n + 4);
	return q;
}

static bool same(const struct dns_name *a, const struct dns_name *b)
{
	return a->n == b->n && !memcmp(a->v, b->v, a->n);
}

static struct dns_name name_at(const struct dns_response *r, size_t at)
{
	struct dns_name n;

	assert(!dns_name_read(r->p, r->n, &at, &n));
	return n;
}

/* The owner is of a zone of ours. */
static void check_soa(const struct dns_settings *s, const struct dns_record *x)
{
	bool found = false;

	for (unsigned i = 0; i < s->n_domains; i++)
		found |= dns_name_equal(&s->domains[i], &x->owner);
	for (unsigned i = 0; i < s->n_reverse; i++)
		found |= dns_name_equal(&s->reverse[i], &x->owner);
	for (unsigned i = 0; i < s->n_external; i++)
		found |= dns_name_equal(&s->external[i], &x->owner);
	for (unsigned i = 0; i < s->n_external_reverse; i++)
		found |= dns_name_equal(&s->external_reverse[i], &x->owner);
	assert(found);
}

static void check_records(const struct dns_settings *s, const struct dns_query *q, struct answer *a)
{
	struct dns_walk walk = dns_walk_begin(&a->r);
	struct dns_name at = q->name;
	struct dns_record x;

	while (dns_walk_next(&walk, &x)) {
		assert(x.class == DNS_IN && (x.ttl == s->ttl || x.type == DNS_HINFO));
		if (x.section == DNS_AUTHORITY) {
			assert(x.type == DNS_SOA && dns_name_under(&at, &x.owner));
			check_soa(s, &x);
		} else if (x.section == DNS_ADDITIONAL) {
			assert(x.type == DNS_A || x.type == DNS_AAAA);
		} else if (x.type == DNS_CNAME) {
			a->alias = true;
			assert(same(&x.owner, &at));
			at = name_at(&a->r, x.data);
		} else {
			assert(same(&x.owner, &at) && (x.type == q->type || x.type == DNS_HINFO));
		}
	}
}

/* False: not ours. */
static bool ask(const struct dns_settings *s, const struct dns_query *q, size_t room,
		struct answer *a)
{
	struct dns_name target;
	struct dns_out o;
	size_t n;

	a->alias = false;
	dns_out_begin(&o, a->wire, room, q, DNS_RA);
	dns_view_enter(&w.view);
	a->rcode = dns_answer(&w.view, s, q, w.turn, &o, &target);
	assert(dns_view_leave(&w.view));
	if (a->rcode == DNS_NOT_OURS) {
		assert(!o.count[0] && !o.count[1] && !o.count[2]);
		return false;
	}
	n = dns_out_end(&o, a->rcode);
	assert(n <= room && !dns_response_read(a->wire, n, &a->r));
	assert(a->r.id == q->id && a->r.question && same(&a->r.name, &q->name) &&
	       a->r.type == q->type);
	assert(a->r.flags & DNS_AA && a->r.rcode == a->rcode);
	check_records(s, q, a);
	assert(a->r.flags & DNS_TC || a->r.count[DNS_ANSWER] || a->r.count[DNS_AUTHORITY] ||
	       a->rcode == DNS_REFUSED || a->rcode == DNS_SERVFAIL);
	return true;
}

/* ---- questions that must agree */

static void check_room(const struct dns_settings *s, const struct dns_query *q, size_t room,
		       const struct answer *all)
{
	static struct answer a;

	assert(!(all->r.flags & DNS_TC) && ask(s, q, room, &a) && a.rcode == all->rcode);
	for (unsigned i = 0; i < DNS_SECTIONS; i++)
		assert(a.r.count[i] <= all->r.count[i]);
	if (all->r.n <= room)
		assert(a.r.n == all->r.n && !memcmp(a.wire, all->wire, a.r.n));
}

static void check_case(const struct dns_settings *s, const struct dns_query *q,
		       const struct answer *all)
{
	static struct answer a;
	struct dns_query lower = query(&q->lower, q->type);

	assert(ask(s, &lower, DNS_MESSAGE_MAX, &a) && a.rcode == all->rcode);
	assert(!memcmp(a.r.count, all->r.count, sizeof(a.r.count)));
}

static void check_there(const struct dns_settings *s, const struct dns_query *q,
			const struct answer *all)
{
	static struct answer a;
	struct dns_query other = query(&q->name, q->type == DNS_A ? DNS_SRV : DNS_A);

	if (all->alias || all->rcode == DNS_REFUSED || all->rcode == DNS_SERVFAIL)
		return;
	assert(ask(s, &other, DNS_MESSAGE_MAX, &a));
	assert(a.rcode == all->rcode || a.rcode == DNS_SERVFAIL);
}

/* Below a name that is not there is none (RFC 8020). */
static void check_above(const struct dns_settings *s, const struct dns_query *q,
			const struct answer *all)
{
	static struct answer a;
	struct dns_query above;
	struct dns_name up;

	if (all->rcode != DNS_NOERROR || q->name.n == 1)
		return;
	up.n = (uint8_t)(q->name.n - q->name.v[0] - 1);
	memcpy(up.v, q->name.v + q->name.v[0] + 1, up.n);
	above = query(&up, DNS_A);
	assert(!ask(s, &above, DNS_MESSAGE_MAX, &a) || a.alias || a.rcode != DNS_NXDOMAIN);
}

static void take_name(const uint8_t *p, size_t n, struct dns_name *out)
{
	*out = dns_root;
	for (size_t at = 0, k; at < n; at += k) {
		const char *word = words[p[at] % WORDS];

		k = 1;
		if (p[at] < 0xc0) {
			if (!dns_name_put(out, word, strlen(word)))
				return;
			continue;
		}
		at++;
		k = p[at - 1] & 63;
		if (!k || k > n - at || !dns_name_put(out, p + at, k))
			return;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t types[] = { DNS_A,  DNS_AAAA, DNS_SRV, DNS_PTR,  DNS_CNAME, DNS_SOA,
					  DNS_NS, DNS_TXT,  DNS_ANY, DNS_AXFR, DNS_MX };
	static struct dns_settings s;
	static struct answer all;
	struct dns_name name;
	struct dns_query q;

	if (size < 3)
		return 0;
	if (!w.region)
		set_up();
	s = w.settings;
	s.pods = data[0] % 3;
	s.zonal = data[0] & 4;
	s.ignore_empty = data[0] & 8;
	s.external_headless = data[0] & 16;
	s.reverse_others = data[0] & 32;
	dns_zone_synced(w.zone, data[0] & 64 ? 0 : 1000);
	w.turn = data[2] >> 4;
	take_name(data + 3, size - 3, &name);
	q = query(&name, types[(data[2] & 15) % (sizeof(types) / sizeof(*types))]);
	if (!ask(&s, &q, DNS_MESSAGE_MAX, &all))
		return 0;
	check_room(&s, &q, DNS_UDP_MIN + data[1], &all);
	check_case(&s, &q, &all);
	check_there(&s, &q, &all);
	check_above(&s, &q, &all);
	return 0;
}
