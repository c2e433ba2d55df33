// SPDX-License-Identifier: Apache-2.0
/* allocate: see allocate.h. A Service is filled field by field in a copy; each number found is
 * claimed at once, so that the next search does not find it again. */
#include "core/service/allocate.h"
#include "base/hash.h"
#include "core/service/claims.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define MAX_BITS 20 /* of a range, that are given out */

struct svc_alloc {
	struct svc_ranges ranges;
	struct claims *claims;
};

/* One fill under way. */
struct fill {
	struct svc_alloc *a;
	struct service *out;
	struct arena *mem;
	struct holder *holder;
	bool changed;
};

struct svc_alloc *svc_alloc_new(const struct svc_ranges *r)
{
	struct svc_alloc *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->ranges = *r;
	a->claims = claims_new();
	if (!a->claims) {
		free(a);
		return NULL;
	}
	return a;
}

void svc_alloc_free(struct svc_alloc *a)
{
	if (!a)
		return;
	claims_free(a->claims);
	free(a);
}

/* ---- what a Service carries */

static bool is_headless(const struct service *s)
{
	return (s->spec.clusterIP && !strcmp(s->spec.clusterIP, CLUSTER_IP_NONE)) ||
	       (s->spec.clusterIPs.n && !strcmp(s->spec.clusterIPs.v[0], CLUSTER_IP_NONE));
}

static bool has_node_ports(const struct service *s)
{
	return s->spec.type == SERVICE_NODE_PORT || s->spec.type == SERVICE_LOAD_BALANCER;
}

static bool has_health_port(const struct service *s)
{
	return s->spec.type == SERVICE_LOAD_BALANCER &&
	       s->spec.externalTrafficPolicy == POLICY_LOCAL;
}

static uint8_t protocol_of(const struct service_port *p)
{
	return p->protocol ? p->protocol : PROTO_TCP;
}

/* The address in place `i`, as text; NULL: none yet. */
static const char *given_ip(const struct service *s, uint32_t i)
{
	const char *text = i < s->spec.clusterIPs.n ? s->spec.clusterIPs.v[i] : NULL;

	if (!text && i == 0)
		text = s->spec.clusterIP;
	return text && *text ? text : NULL;
}

typedef int claim_fn(void *arg, const struct claim_key *k);

/* Calls `fn` with all that it carries until that returns something else than 0. */
static int each_carried(const struct service *s, claim_fn *fn, void *arg)
{
	bool addresses = s->spec.type != SERVICE_EXTERNAL_NAME && !is_headless(s);
	int rc = 0;

	for (uint32_t i = 0; addresses && !rc && i < 2; i++) {
		const char *text = given_ip(s, i);
		struct claim_key k = { .port = 0 };

		if (text && !addr_parse_lax(text, &k.address))
			rc = fn(arg, &k);
	}
	for (uint32_t i = 0; has_node_ports(s) && !rc && i < s->spec.ports.n; i++) {
		const struct service_port *p = &s->spec.ports.v[i];
		struct claim_key k = { .proto = protocol_of(p), .port = (uint16_t)p->nodePort };

		if (p->nodePort)
			rc = fn(arg, &k);
	}
	if (!rc && has_health_port(s) && s->spec.healthCheckNodePort) {
		struct claim_key k = { .proto = PROTO_TCP,
				       .port = (uint16_t)s->spec.healthCheckNodePort };

		rc = fn(arg, &k);
	}
	return rc;
}

/* ---- the state */

static int take(void *arg, const struct claim_key *k)
{
	const struct fill *f = arg;

	return claims_take(f->a->claims, f->holder, k);
}

/* Holds what `s` carries and nothing else. */
static int hold(struct svc_alloc *a, struct holder *h, const struct service *s, bool *gave_back)
{
	struct fill f = { .a = a, .holder = h };
	int rc;

	claims_loosen(h);
	rc = each_carried(s, take, &f);
	*gave_back = claims_settle(a->claims, h);
	return rc;
}

int svc_alloc_set(struct svc_alloc *a, const struct service *s)
{
	struct holder *h = claims_holder(a->claims, s->meta.namespace, s->meta.name, true);
	bool gave_back;
	int rc;

	if (!h)
		return -ENOMEM;
	rc = hold(a, h, s, &gave_back);
	if (gave_back)
		claims_wake(a->claims);
	claims_pend(a->claims, h);
	return rc;
}

void svc_alloc_drop(struct svc_alloc *a, const char *ns, const char *name)
{
	struct holder *h = claims_holder(a->claims, ns, name, false);

	if (!h)
		return;
	claims_forget(a->claims, h);
	claims_wake(a->claims);
}

bool svc_alloc_next(struct svc_alloc *a, const char **ns, const char **name)
{
	struct holder *h = claims_next(a->claims);

	if (!h)
		return false;
	*ns = holder_ns(h);
	*name = holder_name(h);
	return true;
}

bool svc_alloc_pending(const struct svc_alloc *a)
{
	return claims_pending(a->claims);
}

bool svc_alloc_refused(struct svc_alloc *a, const struct service *s, const char *why)
{
	struct holder *h = claims_holder(a->claims, s->meta.namespace, s->meta.name, false);

	return h && claims_refuse(a->claims, h, fnv64_text(FNV64_START, why));
}

/* ---- the search */

/* Numbers `first` to `end` - 1 behind `base`; those below `low` are given out last. */
struct span {
	struct claim_key base;
	uint64_t first, low, end;
};

/* How much of `size` the low end is (KEP-3070, KEP-3668). */
static uint64_t low_end(uint64_t size, unsigned part, uint64_t most)
{
	uint64_t n = size / part;

	if (size <= 16)
		return 0;
	return n < 16 ? 16 : n > most ? most : n;
}

static struct claim_key number(const struct span *s, uint64_t n)
{
	struct claim_key k = s->base;

	if (k.address.family)
		k.address = addr_add(&k.address, n);
	else
		k.port = (uint16_t)(k.port + n);
	return k;
}

static bool search_part(const struct svc_alloc *a, const struct span *s, uint64_t seed,
			struct claim_key *out)
{
	uint64_t size = s->end > s->first ? s->end - s->first : 0;

	for (uint64_t i = 0; i < size; i++) {
		struct claim_key k = number(s, s->first + (seed % size + i) % size);

		if (!claims_by(a->claims, &k)) {
			*out = k;
			return true;
		}
	}
	return false;
}

static bool search(const struct svc_alloc *a, const struct span *s, uint64_t seed,
		   struct claim_key *out)
{
	struct span high = *s, low = *s;

	high.first = s->low > s->first ? s->low : s->first;
	low.end = high.first;
	return search_part(a, &high, seed, out) || search_part(a, &low, seed, out);
}

static struct span span_of(const struct prefix *p)
{
	unsigned bits = addr_bits(&p->addr) - p->len;
	uint64_t size = 1ULL << (bits < MAX_BITS ? bits : MAX_BITS);
	/* The last one of an IPv4 network is its broadcast address. */
	bool broadcast = p->addr.family == AF_INET && bits <= MAX_BITS;

	return (struct span){ .base = { .address = p->addr },
			      .first = 2,
			      .low = low_end(size, 16, 256),
			      .end = size - broadcast };
}

/* Text, not numbers, so that neither order nor protocol of the ports counts. */
static uint64_t seed_of(const struct service *s, const char *what)
{
	return fnv64_text(fnv64_text(fnv64_text(FNV64_START, s->meta.namespace), s->meta.name),
			  what);
}

/* ---- families */

static uint8_t family_of(const struct ipaddr *a)
{
	return a->family == AF_INET6 ? IP_FAMILY_6 : IP_FAMILY_4;
}

static bool has_range(const struct svc_alloc *a, uint8_t family)
{
	for (uint32_t i = 0; i < a->ranges.addresses.n; i++)
		if (family_of(&a->ranges.addresses.v[i].addr) == family)
			return true;
	return false;
}

static uint8_t other_family(uint8_t family)
{
	return family == IP_FAMILY_4 ? IP_FAMILY_6 : IP_FAMILY_4;
}

/* Those asked for or carried; at most two. */
static uint32_t families_given(const struct service *s, uint8_t v[2])
{
	uint32_t n;

	for (n = 0; n < 2; n++) {
		const char *text = is_headless(s) ? NULL : given_ip(s, n);
		struct ipaddr ip;

		if (n < s->spec.ipFamilies.n)
			v[n] = s->spec.ipFamilies.v[n];
		else if (text && !addr_parse_lax(text, &ip))
			v[n] = family_of(&ip);
		else
			break;
	}
	return n;
}

static int find_families(struct fill *f, uint8_t v[2], uint32_t *n, uint8_t *policy, struct err *e)
{
	const struct service *s = f->out;
	bool anything = is_headless(s) && !s->spec.selector.n; /* its slices are somebody else's */

	*n = families_given(s, v);
	*policy = s->spec.ipFamilyPolicy;
	if (!*policy)
		*policy = *n == 2 || (anything && !*n) ? REQUIRE_DUAL_STACK : SINGLE_STACK;
	if (!*n) {
		if (!f->a->ranges.addresses.n)
			return err_set(e, -EINVAL, "no service-cidr is configured");
		v[(*n)++] = family_of(&f->a->ranges.addresses.v[0].addr);
	}
	if (*n == 1 && *policy != SINGLE_STACK &&
	    (anything || *policy == REQUIRE_DUAL_STACK || has_range(f->a, other_family(v[0]))))
		v[(*n)++] = other_family(v[0]);
	for (uint32_t i = 0; i < *n && !anything; i++)
		if (!has_range(f->a, v[i]) && (is_headless(s) || !given_ip(s, i)))
			return err_set(e, -EINVAL, "no service-cidr of %s is configured",
				       v[i] == IP_FAMILY_6 ? "IPv6" : "IPv4");
	return 0;
}

static int fill_families(struct fill *f, struct err *e)
{
	struct service *s = f->out;
	uint8_t v[2], policy, *kept;
	uint32_t n;
	int rc = find_families(f, v, &n, &policy, e);

	if (rc)
		return rc;
	if (s->spec.ipFamilyPolicy == policy && s->spec.ipFamilies.n == n)
		return 0;
	kept = arena_memdup(f->mem, v, n);
	if (!kept)
		return err_set(e, -ENOMEM, "no memory");
	s->spec.ipFamilyPolicy = policy;
	s->spec.ipFamilies.v = kept;
	s->spec.ipFamilies.n = n;
	f->changed = true;
	return 0;
}

/* ---- addresses */

static int find_ip(struct fill *f, uint8_t family, const char **out, struct err *e)
{
	uint64_t seed = seed_of(f->out, "");

	for (uint32_t i = 0; i < f->a->ranges.addresses.n; i++) {
		const struct prefix *p = &f->a->ranges.addresses.v[i];
		struct span span = span_of(p);
		char text[ADDR_TEXT];
		struct claim_key k;

		if (family_of(&p->addr) != family || !search(f->a, &span, seed, &k))
			continue;
		*out = arena_strdup(f->mem, addr_str(&k.address, text));
		return *out && !take(f, &k) ? 0 : err_set(e, -ENOMEM, "no memory");
	}
	return err_set(e, -ENOSPC, "no %s address of service-cidr is free",
		       family == IP_FAMILY_6 ? "IPv6" : "IPv4");
}

static int fill_ips(struct fill *f, struct err *e)
{
	struct service *s = f->out;
	uint32_t n = is_headless(s) ? 1 : s->spec.ipFamilies.n;
	const char **v;
	int rc = 0;

	if (s->spec.clusterIPs.n >= n && given_ip(s, 0) && s->spec.clusterIP)
		return 0;
	v = arena_array(f->mem, n, sizeof(*v));
	if (!v)
		return err_set(e, -ENOMEM, "no memory");
	for (uint32_t i = 0; i < n && !rc; i++) {
		v[i] = given_ip(s, i);
		if (!v[i])
			rc = find_ip(f, s->spec.ipFamilies.v[i], &v[i], e);
	}
	if (rc)
		return rc;
	s->spec.clusterIPs.v = v;
	s->spec.clusterIPs.n = n;
	s->spec.clusterIP = v[0];
	f->changed = true;
	return 0;
}

/* ---- ports */

static int find_port(struct fill *f, uint8_t proto, const char *what, int64_t *out, struct err *e)
{
	const struct svc_ranges *r = &f->a->ranges;
	uint64_t size = (uint64_t)r->port_last - r->port_first + 1;
	struct span span = { .base = { .proto = proto, .port = r->port_first },
			     .low = low_end(size, 32, 128),
			     .end = size };
	struct claim_key k;

	if (!search(f->a, &span, seed_of(f->out, what), &k))
		return err_set(e, -ENOSPC, "no port of node-port-range is free");
	if (take(f, &k))
		return err_set(e, -ENOMEM, "no memory");
	*out = k.port;
	f->changed = true;
	return 0;
}

static int fill_ports(struct fill *f, struct err *e)
{
	struct service *s = f->out;
	struct service_port *v;
	int rc = 0;

	if (s->spec.type == SERVICE_LOAD_BALANCER &&
	    s->spec.allocateLoadBalancerNodePorts == TRI_FALSE)
		return 0;
	v = arena_memdup(f->mem, s->spec.ports.v, s->spec.ports.n * sizeof(*v));
	if (!v && s->spec.ports.n)
		return err_set(e, -ENOMEM, "no memory");
	for (uint32_t i = 0; i < s->spec.ports.n && !rc; i++) {
		const char *what = arena_printf(f->mem, "%lld", (long long)v[i].port);

		if (!what)
			rc = err_set(e, -ENOMEM, "no memory");
		else if (!v[i].nodePort)
			rc = find_port(f, protocol_of(&v[i]), what, &v[i].nodePort, e);
	}
	s->spec.ports.v = v;
	return rc;
}

/* ---- all of it */

struct rival {
	const struct holder *self, *other;
	struct claim_key key;
	const struct svc_alloc *a;
};

static int find_rival(void *arg, const struct claim_key *k)
{
	struct rival *r = arg;
	const struct holder *by = claims_by(r->a->claims, k);

	if (!by || by == r->self)
		return 0;
	r->other = by;
	r->key = *k;
	return 1;
}

static int check_rivals(const struct fill *f, struct err *e)
{
	struct rival r = { .self = f->holder, .a = f->a };
	char text[ADDR_TEXT];

	if (!each_carried(f->out, find_rival, &r))
		return 0;
	if (r.key.address.family)
		return err_set(e, -EEXIST, "%s is the cluster IP of %s/%s",
			       addr_str(&r.key.address, text), holder_ns(r.other),
			       holder_name(r.other));
	return err_set(e, -EEXIST, "node port %u/%s is that of %s/%s", r.key.port,
		       name_of(&protocol_names, r.key.proto), holder_ns(r.other),
		       holder_name(r.other));
}

static int fill_all(struct fill *f, struct err *e)
{
	struct service *s = f->out;
	int rc = check_rivals(f, e);

	if (!rc)
		rc = fill_families(f, e);
	if (!rc)
		rc = fill_ips(f, e);
	if (!rc && has_node_ports(s))
		rc = fill_ports(f, e);
	if (!rc && has_health_port(s) && !s->spec.healthCheckNodePort)
		rc = find_port(f, PROTO_TCP, "health", &s->spec.healthCheckNodePort, e);
	return rc;
}

int svc_alloc_fill(struct svc_alloc *a, const struct service *s, struct arena *mem,
		   struct service *out, bool *changed, struct err *e)
{
	struct service copy = *s;
	struct fill f = { .a = a, .out = &copy, .mem = mem };
	bool gave_back;
	int rc;

	f.holder = claims_holder(a->claims, s->meta.namespace, s->meta.name, false);
	if (!f.holder)
		return err_set(e, -ENOENT, "the Service was never set");
	rc = s->spec.type == SERVICE_EXTERNAL_NAME ? 0 : fill_all(&f, e);
	if (rc) {
		/* What was found for it before the search failed is free again; nobody waits for
		 * that, as it was free when they were refused. */
		hold(a, f.holder, s, &gave_back);
		return rc;
	}
	claims_served(f.holder);
	*out = copy;
	*changed = f.changed;
	return 0;
}
