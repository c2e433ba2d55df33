// SPDX-License-Identifier: Apache-2.0
/* core/nft/services: random Services come, change and go; their operations are carried out by a
 * model of the kernel that refuses what it would refuse, and after each the model must hold what
 * nft_services_render() says of everything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/nft/services.h"
#include "nft_cases.h"
#include "nft_kernel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEEDS    40
#define STEPS    60
#define SERVICES 8

static struct nft_table *render(const struct nft_services *s, struct nft_ruleset *rs,
				struct arena *a)
{
	struct nft_input in = *nft_sample_input();

	in.services = s;
	return nft_kernel_wanted(&in, rs, a);
}

/* A client without a choice looks for its group's id among those of endpoints. */
static void ids_are_apart(const struct nft_table *t)
{
	for (uint32_t i = 0; i < t->n_sets; i++) {
		const struct nft_set *set = t->sets[i];
		bool kept = strstr(set->name, "_kept") || !strcmp(set->name, "affinity_back");

		for (uint32_t j = 0; (kept || !strcmp(set->name, "sizes")) && j < set->n; j++) {
			uint32_t id;

			memcpy(&id, set->elems[j].key, sizeof(id));
			assert_true(kept == (id > NFT_SERVICE_ID_MASK));
		}
	}
}

static void must_equal(const struct nft_services *s, struct nft_kernel *k, const char *what)
{
	struct nft_table *t;
	struct nft_ruleset rs;
	struct arena a;

	arena_init(&a, 0);
	t = render(s, &rs, &a);
	ids_are_apart(t);
	nft_kernel_same(k, t, what);
	arena_fini(&a);
}

/* ---- random Services */

struct random {
	uint64_t s;
	struct arena *a;
	bool shares; /* external addresses with others */
};

static uint32_t upto(struct random *r, uint32_t n) /* 0 … n-1 */
{
	r->s = r->s * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(r->s >> 33) % n;
}

static struct ipaddr ip_of(uint8_t family, uint8_t net, uint32_t host)
{
	struct ipaddr a = { .family = family };

	if (family == AF_INET) {
		memcpy(a.b, (uint8_t[]){ 10, net, 0, (uint8_t)host }, 4);
	} else {
		a.b[0] = 0xfd;
		a.b[5] = net;
		a.b[15] = (uint8_t)host;
	}
	return a;
}

static void fill_port(struct random *r, struct svc_port *q, uint8_t family, unsigned number)
{
	static const char *const names[] = { "", "http", "a-port-of-15-ch" };
	uint32_t n = upto(r, 6), net = 1 + upto(r, 2);

	*q = (struct svc_port){ .name = names[number],
				.proto = (uint8_t)(PROTO_TCP + upto(r, 3)),
				.port = (uint16_t)(80 + number) };
	q->endpoints.v = arena_array(r->a, n, sizeof(*q->endpoints.v));
	for (uint32_t i = 0; i < n; i++) {
		struct svc_endpoint *ep = &q->endpoints.v[q->endpoints.n];

		if (!upto(r, 3))
			continue;
		*ep = (struct svc_endpoint){ .ip = ip_of(family, (uint8_t)net, 1 + i),
					     .port = 8080,
					     .local = upto(r, 2) };
		ep->out[SVC_ALL] = upto(r, 5) ? SVC_IN : SVC_NOT_READY;
		ep->out[SVC_LOCAL] = ep->local ? ep->out[SVC_ALL] : SVC_OTHER_NODE;
		for (unsigned g = 0; g < SVC_GROUPS; g++)
			q->n[g] += ep->out[g] == SVC_IN;
		q->endpoints.n++;
	}
}

static void add_front(struct svc_plan *p, struct svc_port *q, uint8_t kind, struct ipaddr address,
		      uint16_t number, uint8_t way)
{
	struct svc_front f = { .kind = kind,
			       .way = way,
			       .masq = (uint8_t)(way == SVC_TO_ALL ? SVC_MASQ_ALWAYS
								   : SVC_MASQ_IF_NODE),
			       .address = address,
			       .number = number,
			       .port = q };

	if (!q->n[SVC_ALL])
		f.refuse = SVC_REJECTED;
	else if (way != SVC_TO_ALL && !q->n[SVC_LOCAL])
		f.refuse = way == SVC_TO_LOCAL ? SVC_DROPPED : SVC_DROPPED_FROM_OUTSIDE;
	q->uses[SVC_ALL] |= way != SVC_TO_LOCAL;
	q->uses[SVC_LOCAL] |= way != SVC_TO_ALL;
	p->fronts.v[p->fronts.n++] = f;
}

static void fill_fronts(struct random *r, struct svc_plan *p, unsigned service)
{
	uint8_t inside = (uint8_t)(upto(r, 3) ? SVC_TO_ALL : SVC_TO_LOCAL);
	uint8_t way = (uint8_t)(upto(r, 2) ? SVC_TO_ALL : SVC_TO_LOCAL_FROM_OUTSIDE);
	bool external = upto(r, 2), balancer = upto(r, 2), node_port = upto(r, 2);
	const struct ipaddr none = { 0 };

	for (uint32_t i = 0; i < p->ports.n; i++) {
		uint32_t e = r->shares ? upto(r, 3) : 10 + service,
			 b = r->shares ? upto(r, 3) : 30 + service;

		struct svc_port *q = &p->ports.v[i];

		add_front(p, q, SVC_CLUSTER_IP, p->cluster_ip, q->port, inside);
		if (external)
			add_front(p, q, SVC_EXTERNAL_IP, ip_of(p->family, 50, e), q->port, way);
		if (balancer)
			add_front(p, q, SVC_LOAD_BALANCER, ip_of(p->family, 50, b), q->port, way);
		if (node_port)
			add_front(p, q, SVC_NODE_PORT, none, (uint16_t)(30000 + service * 4 + i),
				  way);
	}
}

static void fill_sources(struct random *r, struct svc_plan *p)
{
	p->sources.n = upto(r, 4);
	p->sources.v = arena_array(r->a, p->sources.n, sizeof(*p->sources.v));
	for (uint32_t i = 0; i < p->sources.n; i++)
		p->sources.v[i] = (struct prefix){
			ip_of(p->family, (uint8_t)(50 + upto(r, 2)), upto(r, 4)),
			(uint8_t)((p->family == AF_INET ? 16 : 48) + upto(r, 3) * 8)
		};
	p->sources_node = upto(r, 2);
}

static void make_plan(struct random *r, unsigned service, uint8_t family, struct svc_plan *p)
{
	*p = (struct svc_plan){ .family = family, .absent = upto(r, 12) ? NULL : "not there yet" };
	p->left = p->absent && service % 2;
	if (p->absent && !p->left)
		return;
	/* IPv6: pairs that share the last 32 bits */
	p->cluster_ip =
		ip_of(family, (uint8_t)(family == AF_INET ? 96 : 96 + service / 4), service % 4);
	if (family == AF_INET)
		p->cluster_ip.b[3] = (uint8_t)service;
	if (p->left)
		return;
	p->affinity = upto(r, 3) ? 0 : 60 * (1 + upto(r, 2));
	p->ports.n = 1 + upto(r, 3);
	p->ports.v = arena_array(r->a, p->ports.n, sizeof(*p->ports.v));
	p->fronts.v = arena_array(r->a, 4 * p->ports.n, sizeof(*p->fronts.v));
	for (uint32_t i = 0; i < p->ports.n; i++)
		fill_port(r, &p->ports.v[i], family, i);
	fill_fronts(r, p, service);
	fill_sources(r, p);
}

/* The same for the same seed. */
static int put_random(struct nft_services *s, uint64_t seed, unsigned service, bool shares,
		      struct nft_ops *ops)
{
	struct random r = { seed, ops->arena, shares };
	struct svc_plan plans[2];
	char name[8];
	struct err e = { 0 };
	int rc;

	snprintf(name, sizeof(name), "s%u", service);
	if (!upto(&r, 6))
		return nft_services_put(s, "ns", name, NULL, 0, ops, &e);
	make_plan(&r, service, AF_INET, &plans[0]);
	make_plan(&r, service, AF_INET6, &plans[1]);
	rc = nft_services_put(s, "ns", name, plans, 2, ops, &e);
	if (rc && rc != -EEXIST)
		fail_msg("%s", e.text);
	return rc;
}

static void put_and_run(struct nft_services *s, struct nft_kernel *k, uint64_t seed,
			unsigned service, bool shares)
{
	struct nft_ops ops;
	struct arena a;

	arena_init(&a, 0);
	nft_ops_init(&ops, &a);
	put_random(s, seed, service, shares, &ops);
	if (k)
		nft_kernel_run(k, &ops);
	arena_fini(&a);
}

static void start(struct nft_services **s, struct nft_kernel *k)
{
	struct nft_ruleset rs;
	struct arena a;

	*s = nft_services_new(nft_sample_services());
	assert_non_null(*s);
	arena_init(&a, 0);
	nft_kernel_load(k, render(*s, &rs, &a));
	arena_fini(&a);
}

static bool has_key(const struct nft_set *set, const uint8_t *key)
{
	for (uint32_t i = 0; i < set->n; i++)
		if (!memcmp(set->elems[i].key, key, set->key_len))
			return true;
	return false;
}

/* Fronts as they stand in the maps: each leads somewhere, or is refused, or both. */
static void must_count(const struct nft_services *s)
{
	static const char *const maps[][2] = { { "vip4", "refused4" },
					       { "vip6", "refused6" },
					       { "nodeport4", "refused_nodeport4" },
					       { "nodeport6", "refused_nodeport6" } };
	struct nft_services_stats stats;
	const struct nft_table *t;
	struct nft_ruleset rs;
	uint32_t fronts = 0;
	struct arena a;

	arena_init(&a, 0);
	nft_services_count(s, &stats);
	t = render(s, &rs, &a);
	for (unsigned i = 0; i < 4; i++) {
		const struct nft_set *leads = nft_set_get(t, maps[i][0]),
				     *refused = nft_set_get(t, maps[i][1]);

		fronts += leads->n;
		for (uint32_t k = 0; k < refused->n; k++)
			fronts += !has_key(leads, refused->elems[k].key);
	}
	assert_int_equal(stats.fronts, fronts);
	arena_fini(&a);
}

static void test_random(void **state)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct random r = { seed, NULL };
		struct nft_kernel k = { 0 };
		struct nft_services *s;
		char what[64];

		start(&s, &k);
		for (unsigned step = 0; step < STEPS; step++) {
			put_and_run(s, &k, seed * 1000 + step, upto(&r, SERVICES), true);
			snprintf(what, sizeof(what), "seed %u, step %u", (unsigned)seed, step);
			must_equal(s, &k, what);
		}
		must_count(s);
		for (unsigned i = 0; i < SERVICES; i++) {
			struct nft_ops ops;
			struct arena a;
			char name[8];
			struct err e;

			arena_init(&a, 0);
			nft_ops_init(&ops, &a);
			snprintf(name, sizeof(name), "s%u", i);
			assert_int_equal(nft_services_put(s, "ns", name, NULL, 0, &ops, &e), 0);
			nft_kernel_run(&k, &ops);
			arena_fini(&a);
		}
		must_equal(s, &k, "none are left");
		must_count(s);
		nft_services_free(s);
		nft_kernel_fini(&k);
	}
}

static bool leads_to(const struct svc_front *f, const struct svc_endpoint *ep)
{
	return (f->way != SVC_TO_LOCAL && ep->out[SVC_ALL] == SVC_IN) ||
	       (f->way != SVC_TO_ALL && ep->out[SVC_LOCAL] == SVC_IN);
}

/* The front as it was found in the kernel leads to what it was planned to lead to. */
static unsigned must_be_found(const struct svc_front *f, const struct svc_plan *found)
{
	uint32_t n = 0;

	if (f->port->proto == PROTO_TCP)
		return 0;
	for (uint32_t i = 0; i < f->port->endpoints.n; i++)
		n += leads_to(f, &f->port->endpoints.v[i]);
	for (uint32_t k = 0; n && k < found->fronts.n; k++) {
		const struct svc_front *g = &found->fronts.v[k];
		const struct svc_endpoint *ep = f->port->endpoints.v;

		if (g->port->proto != f->port->proto || g->number != f->number ||
		    !addr_eq(&g->address, &f->address))
			continue;
		assert_int_equal(g->port->endpoints.n, n);
		for (uint32_t i = 0; i < n; i++, ep++) {
			while (!leads_to(f, ep))
				ep++;
			assert_true(addr_eq(&g->port->endpoints.v[i].ip, &ep->ip));
			assert_int_equal(g->port->endpoints.v[i].port, ep->port);
		}
		return 1;
	}
	assert_int_equal(n, 0);
	return 0;
}

/* Of one Service, whose plans put_random() made of this seed. */
static unsigned found_of(uint64_t seed, unsigned service, const struct svc_plan *found, size_t n)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	struct arena a;
	struct random r = { seed, &a, false };
	unsigned fronts = 0;
	char name[8];

	arena_init(&a, 0);
	snprintf(name, sizeof(name), "s%u", service);
	for (unsigned i = upto(&r, 6) ? 0 : 2; i < 2; i++) {
		static const struct svc_plan none;
		const struct svc_plan *q = &none;
		struct svc_plan p;

		make_plan(&r, service, families[i], &p);
		for (size_t k = 0; k < n; k++)
			if (found[k].family == p.family && !strcmp(found[k].name, name))
				q = &found[k];
		for (uint32_t k = 0; k < p.fronts.n; k++)
			fronts += must_be_found(&p.fronts.v[k], q);
	}
	arena_fini(&a);
	return fronts;
}

static void check_found(const struct nft_services *s, const struct nft_table *t, uint64_t seed,
			struct arena *a)
{
	unsigned fronts = 0;
	struct svc_plan *found;
	struct err e;
	size_t n;

	assert_int_equal(nft_services_found(s, t, a, &found, &n, &e), 0);
	for (unsigned i = 0; i < SERVICES; i++)
		fronts += found_of(seed + i, i, found, n);
	for (size_t k = 0; k < n; k++)
		fronts -= found[k].fronts.n;
	assert_int_equal(fronts, 0);
}

/* Another process finds what the first left, in whatever order it hears of the Services. (Of a
 * Service whose fronts others hold nothing can be found: nobody reaches it.) */
static void test_adopt(void **state)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct nft_services *s, *again = nft_services_new(nft_sample_services());
		struct nft_kernel k = { 0 };
		const struct nft_table *t;
		struct nft_ruleset rs;
		struct arena a;
		struct err e;

		start(&s, &k);
		/* Twice, so that slots are not in the order of addresses. */
		for (unsigned i = 0; i < SERVICES; i++)
			put_and_run(s, &k, seed * 7000 + i, i, false);
		for (unsigned i = 0; i < SERVICES; i++)
			put_and_run(s, &k, seed * 8000 + i, i, false);
		arena_init(&a, 0);
		t = render(s, &rs, &a);
		assert_int_equal(nft_services_adopt(again, t, &e), 0);
		check_found(again, t, seed * 8000, &a);
		for (unsigned i = SERVICES; i-- > 0;)
			put_and_run(again, NULL, seed * 8000 + i, i, false);
		for (unsigned i = 0; i < SERVICES; i++) /* who lost affinity to a later one */
			put_and_run(again, NULL, seed * 8000 + i, i, false);
		nft_services_adopted(again);
		must_equal(again, &k, "adopted");
		arena_fini(&a);
		nft_services_free(s);
		nft_services_free(again);
		nft_kernel_fini(&k);
	}
}

static void plan_of(struct svc_plan *p, struct svc_port *q, struct svc_front *f,
		    struct svc_endpoint *eps, uint32_t n)
{
	*q = (struct svc_port){ .name = "http",
				.proto = PROTO_TCP,
				.port = 80,
				.endpoints = { eps, n },
				.n = { n, 0 },
				.uses = { true, false } };
	for (uint32_t i = 0; i < n; i++) {
		eps[i] = (struct svc_endpoint){ .ip = ip_of(AF_INET, (uint8_t)(i >> 8), i),
						.port = 8080 };
		eps[i].out[SVC_LOCAL] = SVC_OTHER_NODE;
	}
	*f = (struct svc_front){ .address = ip_of(AF_INET, 96, 1), .number = 80, .port = q };
	*p = (struct svc_plan){
		.family = AF_INET, .cluster_ip = f->address, .ports = { q, 1 }, .fronts = { f, 1 }
	};
}

static void put_pair(struct nft_table *t, const char *set, uint32_t key, uint32_t data)
{
	nft_elem_add(nft_set_get(t, set), &(struct nft_elem){ .key = (const uint8_t *)&key,
							      .data = (const uint8_t *)&data });
}

/* What somebody else wrote, or half of what we did. */
static void test_adopt_nonsense(void **state)
{
	static const uint32_t slot[][2] = { { 7, 70000 }, { 0, 0 }, { UINT32_MAX, 1 }, { 8, 3 } };
	const uint8_t endpoint[8] = { 10, 0, 0, 1, 0x1f, 0x90 };
	const uint8_t front[12] = { 6, 0, 0, 0, 10, 96, 0, 1, 0, 80 };
	static const uint32_t ids[] = { 7, 8, 0, 5, UINT32_MAX };

	for (unsigned way = 0; way < 2; way++)
		for (unsigned i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
			struct nft_services *s = nft_services_new(nft_sample_services());
			struct nft_kernel k = { 0 };
			struct svc_endpoint eps[3];
			struct nft_ruleset rs;
			struct nft_table *t;
			struct nft_ops ops;
			struct svc_plan p;
			struct svc_port q;
			struct svc_front f;
			struct arena a;
			struct err e;

			arena_init(&a, 0);
			t = render(s, &rs, &a);
			for (unsigned j = 0; j < 4; j++)
				nft_elem_add(nft_set_get(t, "tcp4_endpoints"),
					     &(struct nft_elem){ .key = (const void *)slot[j],
								 .data = endpoint });
			nft_elem_add(
				nft_set_get(t, "vip4"),
				&(struct nft_elem){ .key = front, .data = (const void *)&ids[i] });
			for (unsigned j = 0; j < sizeof(ids) / sizeof(ids[0]); j++)
				put_pair(t, "to_all", ids[j], ids[(j + i) % 5]);
			put_pair(t, "to_local", UINT32_MAX, 8);
			nft_elem_add(nft_set_get(t, "affinity_slots"),
				     &(struct nft_elem){ .key = (const void *)slot[3],
							 .data = (const void *)&ids[4] });
			nft_elem_add(nft_set_get(t, "tcp4_kept"),
				     &(struct nft_elem){ .key = (const void *)&ids[4],
							 .data = endpoint });
			assert_int_equal(nft_services_adopt(s, t, &e), 0);
			nft_ops_init(&ops, &a);
			plan_of(&p, &q, &f, eps, 3);
			if (way) {
				f.way = SVC_TO_LOCAL_FROM_OUTSIDE;
				f.refuse = SVC_DROPPED_FROM_OUTSIDE;
			}
			assert_int_equal(nft_services_put(s, "ns", "s", &p, 1, &ops, &e), 0);
			nft_services_adopted(s);
			nft_kernel_load(&k, render(s, &rs, &a)); /* and passes nft_check() */
			assert_int_equal(nft_services_put(s, "ns", "s", NULL, 0, &ops, &e), 0);
			nft_kernel_fini(&k);
			arena_fini(&a);
			nft_services_free(s);
		}
}

/* ---- by hand */

static uint32_t count_elems(const struct nft_ops *ops)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < ops->n; i++)
		n += ops->v[i].n_elems;
	return n;
}

static void test_cost_of_a_change(void **state)
{
	struct svc_endpoint *eps = calloc(1001, sizeof(*eps));
	struct nft_services *s = nft_services_new(nft_sample_services());
	static const uint32_t many[] = { 1000, 999, 1000, 1001, 1000 };
	struct svc_plan p;
	struct svc_port q;
	struct svc_front f;
	struct err e;

	assert_non_null(eps);
	for (unsigned i = 0; i < 5; i++) {
		struct nft_ops ops;
		struct arena a;

		arena_init(&a, 0);
		nft_ops_init(&ops, &a);
		plan_of(&p, &q, &f, eps, many[i]);
		if (i == 1) /* not the last one goes, but one in the middle */
			eps[500] = (struct svc_endpoint){ .ip = ip_of(AF_INET, 1000 >> 8, 999),
							  .port = 8080,
							  .out = { 0, SVC_OTHER_NODE } };
		assert_int_equal(nft_services_put(s, "ns", "big", &p, 1, &ops, &e), 0);
		/* slots, size, and two maps for the choice that comes and the one that goes */
		if (i)
			assert_in_range(count_elems(&ops), 1, 9);
		arena_fini(&a);
	}
	nft_services_free(s);
	free(eps);
}

static uint32_t count_chains(const struct nft_ops *ops)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < ops->n; i++)
		n += ops->v[i].verb == NFTV_ADD_CHAIN || ops->v[i].verb == NFTV_DEL_CHAIN;
	return n;
}

/* Where there are many endpoints a chain is dear: one more or less must not need any, nor one that
 * was there before. */
static void test_chains_ahead(void **state)
{
	static const struct {
		uint32_t n, chains;
	} steps[] = { { 50, 3 }, { 20000, 3 }, { 49, 0 }, { 50, 0 }, { 51, 0 }, { 50, 0 },
		      { 53, 1 }, { 50, 0 },    { 53, 0 }, { 0, 0 },  { 1, 1 } };
	struct svc_endpoint *eps = calloc(20000, sizeof(*eps));
	struct nft_services *s;
	struct nft_kernel k = { 0 };
	struct svc_plan p;
	struct svc_port q;
	struct svc_front f;
	struct err e;

	assert_non_null(eps);
	start(&s, &k);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		bool big = steps[i].n == 20000;
		struct nft_ops ops;
		struct arena a;

		arena_init(&a, 0);
		nft_ops_init(&ops, &a);
		plan_of(&p, &q, &f, eps, steps[i].n);
		if (big)
			f.address = ip_of(AF_INET, 96, 2);
		f.refuse = steps[i].n ? SVC_SERVED : SVC_REJECTED;
		assert_int_equal(nft_services_put(s, "ns", big ? "big" : "s", &p, 1, &ops, &e), 0);
		assert_int_equal(count_chains(&ops), steps[i].chains);
		arena_fini(&a);
	}
	for (unsigned i = 0; i < 2; i++) {
		struct nft_ops ops;
		struct arena a;

		arena_init(&a, 0);
		nft_ops_init(&ops, &a);
		assert_int_equal(nft_services_put(s, "ns", i ? "big" : "s", NULL, 0, &ops, &e), 0);
		/* with the last endpoint all go */
		assert_int_equal(count_chains(&ops), i ? 8 : 0);
		arena_fini(&a);
	}
	must_equal(s, &k, "nothing is left");
	nft_services_free(s);
	nft_kernel_fini(&k);
	free(eps);
}

static void test_limits_and_words(void **state)
{
	static const char ns[] =
		"namespace-of-63-characters-namespace-of-63-characters-namespace-x";
	struct svc_endpoint *eps = calloc(NFT_SERVICE_SLOTS + 1, sizeof(*eps));
	struct nft_services *s = nft_services_new(nft_sample_services());
	struct nft_ruleset rs;
	const struct nft_set *vip;
	struct nft_ops ops;
	struct svc_plan p;
	struct svc_port q;
	struct svc_front f;
	struct arena a;
	struct err e;

	assert_non_null(eps);
	arena_init(&a, 0);
	nft_ops_init(&ops, &a);
	plan_of(&p, &q, &f, eps, NFT_SERVICE_SLOTS + 1);
	for (uint32_t i = 0; i <= NFT_SERVICE_SLOTS; i++)
		eps[i].ip.b[2] = (uint8_t)(i >> 16);
	assert_int_equal(nft_services_put(s, ns, ns, &p, 1, &ops, &e), -ENOSPC);
	assert_string_equal(e.text, "more than 65536 endpoints");
	vip = nft_set_get(render(s, &rs, &a), "vip4");
	assert_int_equal(vip->n, 1); /* served as far as it goes */
	assert_int_equal(strlen(vip->elems[0].comment), NFT_COMMENT_MAX);
	assert_memory_equal(vip->elems[0].comment, ns, sizeof(ns) - 1);
	assert_int_equal(vip->elems[0].comment[NFT_COMMENT_MAX - 9], '#');

	plan_of(&p, &q, &f, eps, 1);
	assert_int_equal(nft_services_put(s, "shop", "web", &p, 1, &ops, &e), 0);
	nft_services_put(s, ns, ns, NULL, 0, &ops, &e);
	vip = nft_set_get(render(s, &rs, &a), "vip4");
	assert_string_equal(vip->elems[0].comment, "shop/web:http");
	arena_fini(&a);
	nft_services_free(s);
	free(eps);
}

/* Does any endpoint that clients keep have one of the ids that `old` holds? Then those are all. */
static bool keeps(const struct nft_services *s, uint32_t old[3])
{
	const struct nft_set *kept;
	struct nft_ruleset rs;
	uint32_t same = 0;
	struct arena a;

	arena_init(&a, 0);
	kept = nft_set_get(render(s, &rs, &a), "tcp4_kept");
	assert_int_equal(kept->n, 3);
	for (uint32_t i = 0; i < 3; i++)
		for (uint32_t k = 0; k < 3; k++)
			same += !memcmp(kept->elems[i].key, &old[k], sizeof(old[k]));
	for (uint32_t i = 0; i < 3; i++)
		memcpy(&old[i], kept->elems[i].key, sizeof(old[i]));
	arena_fini(&a);
	assert_true(!same || same == 3);
	return same;
}

/* What a client keeps says not which group it is of: it must not outlive the front's way there. */
static void test_affinity_of_a_front_that_leaves(void **state)
{
	static const struct {
		bool second;
		uint8_t way, moved, keeps;
	} steps[] = {
		{ true, SVC_TO_ALL, 0, false },  { true, SVC_TO_ALL, 0, true },
		{ false, SVC_TO_ALL, 0, false }, { true, SVC_TO_ALL, 0, true },
		{ true, SVC_TO_ALL, 1, false },  { true, SVC_TO_LOCAL_FROM_OUTSIDE, 1, false },
		{ true, SVC_TO_ALL, 1, false }
	};
	struct nft_services *s = nft_services_new(nft_sample_services());
	uint32_t old[3] = { 0 };

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct svc_endpoint eps[3];
		struct svc_front f[2];
		struct nft_ops ops;
		struct svc_plan p;
		struct svc_port q;
		struct arena a;
		struct err e;

		arena_init(&a, 0);
		nft_ops_init(&ops, &a);
		plan_of(&p, &q, f, eps, 3);
		p.affinity = 60;
		f[1] = f[0];
		f[1].address = ip_of(AF_INET, 50, steps[i].moved);
		f[1].way = steps[i].way;
		if (f[1].way == SVC_TO_LOCAL_FROM_OUTSIDE)
			f[1].refuse = SVC_DROPPED_FROM_OUTSIDE;
		p.fronts.n = 1 + steps[i].second;
		assert_int_equal(nft_services_put(s, "ns", "s", &p, 1, &ops, &e), 0);
		assert_int_equal(keeps(s, old), steps[i].keeps);
		arena_fini(&a);
	}
	nft_services_free(s);
}

static void test_no_memory(void **state)
{
	for (size_t limit = 1; limit < 20000; limit += 397) {
		struct nft_services *s = nft_services_new(nft_sample_services());
		struct svc_endpoint eps[3];
		struct nft_ops ops;
		struct svc_plan p;
		struct svc_port q;
		struct svc_front f;
		struct arena a;
		struct err e;
		int rc;

		arena_init(&a, limit);
		nft_ops_init(&ops, &a);
		plan_of(&p, &q, &f, eps, 3);
		p.affinity = 60;
		rc = nft_services_put(s, "ns", "s", &p, 1, &ops, &e);
		assert_true(rc == 0 || rc == -ENOMEM);
		arena_fini(&a);
		nft_services_free(s);
	}
}

static void test_choice_names(void **state)
{
	static const char *const bad[] = {
		"",        "tcp4-",   "tcp4-0",     "tcp4-03",       "tcp5-3",
		"udp4-3-", "icmp4-1", "tcp4-65537", "tcp4-3-10800x", "service-choose-all"
	};
	const struct nft_choice c = { AF_INET6, PROTO_SCTP, 65536, 10800 };
	char name[NFT_CHOICE_NAME];
	struct nft_choice out;

	assert_true(nft_choice_parse(nft_choice_name(&c, name), &out));
	assert_string_equal(name, "sctp6-65536-10800");
	assert_true(nft_choice_eq(&c, &out));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(nft_choice_parse(bad[i], &out));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_adopt),
		cmocka_unit_test(test_adopt_nonsense),
		cmocka_unit_test(test_cost_of_a_change),
		cmocka_unit_test(test_limits_and_words),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_choice_names),
		cmocka_unit_test(test_chains_ahead),
		cmocka_unit_test(test_affinity_of_a_front_that_leaves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
