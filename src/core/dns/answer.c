// SPDX-License-Identifier: Apache-2.0
/* Which of our zones a name is in, what it is there, and the SOA of what it is not. Services are answer_service.c's, external names
 * answer_external.c's, addresses' names answer_reverse.c's. Nothing is allocated. */
#include "core/dns/answer_look.h"

#include "core/dns/reverse.h"

#define CNAMES_MAX  8
#define SOA_REFRESH 7200
#define SOA_RETRY   1800
#define SOA_EXPIRE  86400

/* ---- words of answer_look.h */

void look_tail(const struct look *l, const uint8_t *at, struct dns_name *out)
{
	size_t skip = (size_t)(at - l->lower->v);

	out->n = (uint8_t)(l->owner->n - skip);
	memcpy(out->v, l->owner->v + skip, out->n);
}

bool look_is(const uint8_t *label, const char *text)
{
	size_t n = strlen(text);

	return label[0] == n && !memcmp(label + 1, text, n);
}

bool look_wants(const struct look *l, bool v6)
{
	return l->type == (v6 ? DNS_AAAA : DNS_A);
}

void look_put(const struct look *l, enum dns_section s, const struct dns_name *owner,
	      const uint8_t *b, bool v6)
{
	if (v6)
		dns_out_aaaa(l->o, s, owner, l->s->ttl, b);
	else
		dns_out_a(l->o, s, owner, l->s->ttl, b);
}

/* ---- zones */

/* `zone` is in lower case; the name's labels tell where one begins. */
static bool in_zone(const struct look *l, unsigned labels, const struct dns_name *zone,
		    unsigned *left)
{
	const struct dns_name *n = l->lower;
	const uint8_t *at = n->v + n->n - zone->n;

	if (n->n < zone->n || memcmp(at, zone->v, zone->n) != 0)
		return false;
	for (*left = 0; *left < labels; ++*left)
		if (l->label[*left] >= at)
			break;
	return *left == labels ? at == n->v + n->n - 1 : l->label[*left] == at;
}

/* The longest zone that has the name becomes the look's. */
static bool try_zones(struct look *l, unsigned labels, const struct dns_name *zones, unsigned n,
		      bool external)
{
	bool found = false;
	unsigned left;

	for (unsigned i = 0; i < n; i++) {
		if (!in_zone(l, labels, &zones[i], &left))
			continue;
		found = true;
		if (l->zone && l->zone->n >= zones[i].n)
			continue;
		l->zone = &zones[i];
		l->external = external;
		l->n = left;
	}
	return found;
}

/* ---- names of the zone itself */

static void zone_name(const struct look *l, struct dns_name *out)
{
	look_tail(l, l->lower->v + l->lower->n - l->zone->n, out);
}

/* Names of reverse zones are below the first domain. */
static void server_zone(const struct look *l, struct dns_name *out)
{
	const struct dns_settings *s = l->s;

	if (!dns_reverse_is(l->zone))
		zone_name(l, out);
	else if (l->external ? s->n_external : s->n_domains)
		dns_name_copy(out, l->external ? s->external : s->domains);
	else
		zone_name(l, out);
}

static void server_name(const struct look *l, const char *host, const char *sub,
			struct dns_name *out)
{
	struct dns_name zone;

	server_zone(l, &zone);
	out->n = 1;
	out->v[0] = 0;
	/* A zone so long that this does not fit has the root for it. */
	if (host)
		dns_name_put(out, host, strlen(host));
	if (sub)
		dns_name_put(out, sub, strlen(sub));
	dns_name_join(out, &zone);
}

static void put_soa(const struct look *l, enum dns_section s)
{
	struct dns_soa soa = {
		.serial = (uint32_t)(dns_view_word(l->view) + dns_view_generation(l->view)),
		.refresh = SOA_REFRESH,
		.retry = SOA_RETRY,
		.expire = SOA_EXPIRE,
		.minimum = l->s->ttl,
	};
	struct dns_name zone;

	zone_name(l, &zone);
	server_name(l, l->external ? "ns1" : "ns", "dns", &soa.mname);
	server_name(l, "hostmaster", l->external ? "dns" : NULL, &soa.rname);
	dns_out_soa(l->o, s, &zone, l->s->ttl, &soa);
}

static void put_local(const struct look *l, enum dns_section s, const struct dns_name *owner)
{
	for (int v6 = 0; v6 < 2; v6++)
		for (unsigned i = 0; i < l->s->n_local; i++)
			if ((l->s->local[i].family == AF_INET6) == v6 &&
			    (s == DNS_ADDITIONAL || look_wants(l, v6)))
				look_put(l, s, owner, l->s->local[i].b, v6);
}

static int look_apex(const struct look *l)
{
	struct dns_name host;

	if (l->type == DNS_SOA) {
		put_soa(l, DNS_ANSWER);
	} else if (l->type == DNS_NS) {
		server_name(l, l->external ? "ns1" : "ns", "dns", &host);
		dns_out_ns(l->o, DNS_ANSWER, l->owner, l->s->ttl, &host);
		put_local(l, DNS_ADDITIONAL, &host);
	}
	return NODATA;
}

static int look_nameserver(const struct look *l)
{
	if (l->n == 2 && look_is(l->label[0], l->external ? "ns1" : "ns")) {
		put_local(l, DNS_ANSWER, l->owner);
		return NODATA;
	}
	return l->n == 1 ? NODATA : DNS_NXDOMAIN;
}

static int look_domain(struct look *l)
{
	const uint8_t *top = l->label[l->n - 1];
	size_t n;

	if (look_is(top, "pod"))
		return look_pod(l);
	if (!look_is(top, "svc"))
		return DNS_NXDOMAIN;
	if (l->n > 2)
		return look_service(l, l->label[l->n - 3], l->n - 3);
	if (l->n == 1 || dns_view_get(l->view, l->label[0], l->label[0][0] + 1u, &n))
		return NODATA;
	return DNS_NXDOMAIN;
}

/* What needs no table. DNS_NOT_OURS: it does. */
static int look_fixed(const struct look *l)
{
	const uint8_t *top;

	if (!l->n)
		return look_apex(l);
	if (dns_reverse_is(l->zone))
		return DNS_NOT_OURS;
	top = l->label[l->n - 1];
	if (look_is(top, "dns"))
		return look_nameserver(l);
	if (l->external || !look_is(top, "dns-version"))
		return DNS_NOT_OURS;
	if (l->n > 1)
		return DNS_NXDOMAIN;
	if (l->type == DNS_TXT)
		dns_out_txt(l->o, DNS_ANSWER, l->owner, l->s->ttl, DNS_SCHEMA);
	return NODATA;
}

static bool wrote(const struct look *l)
{
	return l->o->count[DNS_ANSWER] > l->before;
}

/* One name: an rcode, NODATA, or DNS_NOT_OURS. */
static int look_up(struct look *l)
{
	const struct dns_settings *s = l->s;
	unsigned labels = dns_name_labels(l->lower, l->label);
	bool reverse, reverse_external;
	int r;

	l->zone = NULL;
	l->external = false;
	l->target->n = 0;
	l->before = l->o->count[DNS_ANSWER];
	try_zones(l, labels, s->domains, s->n_domains, false);
	try_zones(l, labels, s->external, s->n_external, true);
	reverse = try_zones(l, labels, s->reverse, s->n_reverse, false);
	reverse_external = try_zones(l, labels, s->external_reverse, s->n_external_reverse, true);
	if (!l->zone)
		return DNS_NOT_OURS;
	if (l->type == DNS_AXFR || l->type == DNS_IXFR)
		return DNS_REFUSED;
	r = look_fixed(l);
	if (r != DNS_NOT_OURS)
		return r;
	if (dns_reverse_is(l->zone))
		r = look_reverse(l, reverse, reverse_external);
	else
		r = l->external ? look_external(l) : look_domain(l);
	if (r != DNS_NOT_OURS && !l->target->n && !dns_view_word(l->view) &&
	    (r != NODATA || !wrote(l)))
		return DNS_SERVFAIL;
	return r;
}

int dns_answer(const struct dns_view *v, const struct dns_settings *s, const struct dns_query *q,
	       uint32_t turn, struct dns_out *o, struct dns_name *target)
{
	struct dns_name name, lower;
	struct look l;
	int r;

	target->n = 0;
	if (q->class != DNS_IN)
		return DNS_NOT_OURS;
	l.view = v;
	l.s = s;
	l.o = o;
	l.type = q->type;
	l.turn = turn;
	l.owner = &q->name;
	l.lower = &q->lower;
	l.target = target;
	r = look_up(&l);
	if (r == DNS_NOT_OURS)
		return r;
	o->flags |= DNS_AA;
	for (int i = 1; target->n && l.type != DNS_CNAME && i < CNAMES_MAX; i++) {
		dns_name_copy(&name, target);
		dns_name_copy(&lower, &name);
		dns_name_lower(&lower);
		l.owner = &name;
		l.lower = &lower;
		r = look_up(&l);
		if (r == DNS_NOT_OURS) {
			dns_name_copy(target, &name);
			return DNS_NOERROR;
		}
	}
	/* A chain that ends nowhere, or was asked for alone. */
	if (target->n) {
		target->n = 0;
		return DNS_NOERROR;
	}
	if (r == NODATA && l.type == DNS_ANY && !wrote(&l))
		dns_out_any(o, l.owner, s->ttl);
	/* Of the last name of a chain (RFC 6604), with the SOA that says for how long (RFC 2308). */
	if (r != DNS_REFUSED && (r != NODATA || !wrote(&l)))
		put_soa(&l, DNS_AUTHORITY);
	return r == NODATA ? DNS_NOERROR : r;
}
