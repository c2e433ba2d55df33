/* SPDX-License-Identifier: Apache-2.0 */
/* Policies (core/nft/policies.h) in the kernel of the current namespace.
 *
 *   policy_kernel random SEED STEPS   a random cluster changes; each put is committed, and every tenth time
 *                                     what the kernel holds is compared with what render() says
 *   policy_kernel big                 1 000 policies, 500 pods in 50 namespaces, 110 of them here: prints what
 *                                     the first build costs, and the change of one pod's labels */
#include "core/nft/diff.h"
#include "core/nft/policies.h"
#include "nft_cases.h"
#include "policy_random.h"
#include "sys/nfnl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct run {
	struct nfnl *nl;
	struct policy_index *x;
	struct nft_policies *s;
	uint32_t ops, elems;
	double put_us, commit_us;
};

/* Of this process, so that what else the machine does is not counted. */
static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static int build(const struct run *r, struct arena *a, struct nft_ruleset *rs, struct err *e)
{
	struct nft_input in = *nft_sample_input();

	in.policies = r->s;
	nft_ruleset_init(rs, a);
	return nft_build(rs, &in, e);
}

static int load(struct run *r, struct err *e)
{
	struct nft_ruleset rs;
	struct nft_ops ops;
	struct arena a;
	int rc;

	arena_init(&a, 0);
	nft_ops_init(&ops, &a);
	rc = build(r, &a, &rs, e);
	nft_ops_load(&ops, &rs, true);
	if (!rc)
		rc = nfnl_commit(r->nl, &ops, NULL, e);
	arena_fini(&a);
	return rc;
}

static int compare(const struct run *r, struct err *e)
{
	struct nft_ruleset want, have;
	struct nft_diff d;
	struct arena a;
	int rc;

	arena_init(&a, 0);
	nft_ruleset_init(&have, &a);
	rc = build(r, &a, &want, e);
	if (!rc)
		rc = nfnl_dump(r->nl, NFPROTO_INET, NFT_TABLE, true, &have, e);
	if (!rc)
		rc = nfnl_dump(r->nl, NFPROTO_ARP, NFT_TABLE, true, &have, e);
	if (!rc)
		rc = nfnl_dump(r->nl, NFPROTO_BRIDGE, NFT_TABLE, true, &have, e);
	if (!rc)
		rc = nft_diff(&d, &want, &have, &a, e);
	if (!rc && d.n_findings) {
		struct buf b = { 0 };

		nft_finding_str(&d.findings[0], &b);
		rc = err_set(e, -EBADE, "%s", b.v);
		buf_fini(&b);
	}
	arena_fini(&a);
	return rc;
}

static int put(struct run *r, struct err *e)
{
	double begin = now_us(), said;
	struct nft_ops ops;
	struct arena a;
	int rc;

	arena_init(&a, 0);
	nft_ops_init(&ops, &a);
	rc = nft_policies_put(r->s, &ops, e);
	said = now_us();
	if (!rc && ops.n)
		rc = nfnl_commit(r->nl, &ops, NULL, e);
	r->put_us = said - begin;
	r->commit_us = now_us() - said;
	r->ops = ops.n;
	r->elems = 0;
	for (uint32_t i = 0; i < ops.n; i++)
		r->elems += ops.v[i].n_elems;
	arena_fini(&a);
	return rc;
}

static int open_run(struct run *r, struct policy_index *x, struct err *e)
{
	int rc = nfnl_open(&r->nl, e);

	r->x = x;
	r->s = rc ? NULL : nft_policies_new(x);
	if (!rc && !r->s)
		rc = err_set(e, -ENOMEM, "no memory");
	return rc ? rc : load(r, e);
}

static void close_run(struct run *r)
{
	nft_policies_free(r->s);
	nfnl_close(r->nl);
}

static int random_steps(uint64_t seed, unsigned steps, struct err *e)
{
	struct random_cluster c;
	struct run r = { 0 };
	int rc;

	random_cluster_init(&c, seed);
	rc = open_run(&r, c.x, e);
	for (unsigned i = 0; i < steps && !rc; i++) {
		random_cluster_step(&c);
		rc = put(&r, e);
		if (!rc && i % 10 == 9)
			rc = compare(&r, e);
		if (rc)
			err_wrap(e, "seed %u, step %u", (unsigned)seed, i);
	}
	close_run(&r);
	random_cluster_fini(&c);
	return rc;
}

/* ---- many */

#define NAMESPACES 50
#define PODS       10 /* in each */
#define POLICIES   20
#define HERE       110

static struct object *objects[NAMESPACES * (1 + PODS + POLICIES)];
static unsigned n_objects;

static struct object *make(unsigned kind, unsigned ns, const char *name)
{
	struct object *o = objects[n_objects++] = object_new(kind_by_id(kind));

	if (!o)
		abort();
	o->meta->name = arena_strdup(&o->arena, name);
	if (kind != KIND_NAMESPACE)
		o->meta->namespace = arena_printf(&o->arena, "ns%u", ns);
	return o;
}

static void label(struct object *o, struct strmap *m, const char *key, unsigned value)
{
	char text[16];

	snprintf(text, sizeof(text), "v%u", value);
	if (strmap_put(m, &o->arena, key, text))
		abort();
}

static struct ipaddr pod_addr(unsigned i, unsigned family)
{
	struct ipaddr a = { .family = family ? AF_INET6 : AF_INET };
	const uint8_t v4[] = { 10, 244, (uint8_t)(i >> 8), (uint8_t)i };

	memcpy(a.b, v4, 4);
	if (family) {
		a.b[0] = 0xfd;
		a.b[14] = (uint8_t)(i >> 8);
		a.b[15] = (uint8_t)i;
		a.b[1] = a.b[2] = a.b[3] = 0;
	}
	return a;
}

static void make_pod(unsigned i)
{
	struct object *o;
	struct pod *p;
	char name[16];

	snprintf(name, sizeof(name), "p%u", i);
	o = make(KIND_POD, i % NAMESPACES, name);
	p = o->body;
	label(o, &o->meta->labels, "app", i / NAMESPACES % 5);
	label(o, &o->meta->labels, "role", i / NAMESPACES % 4);
	p->status.podIPs.v = arena_array(&o->arena, 2, sizeof(*p->status.podIPs.v));
	p->status.podIPs.n = 2;
	for (unsigned f = 0; f < 2; f++)
		p->status.podIPs.v[f].ip = pod_addr(i, f);
}

static struct policy_rule *make_rule(struct object *o, unsigned n)
{
	struct policy_rule *r = arena_array(&o->arena, 1, sizeof(*r));

	r->ports.v = arena_array(&o->arena, 1, sizeof(*r->ports.v));
	r->ports.n = 1;
	r->ports.v[0].port = (struct intstr){ .type = INTSTR_INT, .i = 8000 + n };
	r->peers.v = arena_array(&o->arena, 3, sizeof(*r->peers.v));
	r->peers.n = 3;
	r->peers.v[0].podSelector = arena_alloc(&o->arena, sizeof(struct label_selector));
	label(o, &r->peers.v[0].podSelector->matchLabels, "role", n % 4);
	r->peers.v[1].namespaceSelector = arena_alloc(&o->arena, sizeof(struct label_selector));
	label(o, &r->peers.v[1].namespaceSelector->matchLabels, "team", n % 10);
	r->peers.v[1].podSelector = arena_alloc(&o->arena, sizeof(struct label_selector));
	label(o, &r->peers.v[1].podSelector->matchLabels, "app", n % 5);
	r->peers.v[2].ipBlock = arena_alloc(&o->arena, sizeof(struct ip_block));
	r->peers.v[2].ipBlock->cidr = "192.0.2.0/24";
	return r;
}

static void make_policy(unsigned ns, unsigned n)
{
	struct network_policy *p;
	struct object *o;
	char name[16];

	snprintf(name, sizeof(name), "n%u", n);
	o = make(KIND_NETWORKPOLICY, ns, name);
	p = o->body;
	if (n)
		label(o, &p->spec.podSelector.matchLabels, "app", n % 5);
	p->spec.ingress.v = make_rule(o, n);
	p->spec.egress.v = make_rule(o, n);
	p->spec.ingress.n = p->spec.egress.n = 1;
}

static int tell_all(struct policy_index *x, struct err *e)
{
	int rc = 0;

	for (unsigned i = 0; i < n_objects && !rc; i++)
		rc = policy_index_changed(x, NULL, objects[i], e);
	for (unsigned i = 0; i < HERE && !rc; i++) {
		const struct ipaddr addrs[] = { pod_addr(i, 0), pod_addr(i, 1) };
		char ns[16], name[16];

		snprintf(ns, sizeof(ns), "ns%u", i % NAMESPACES);
		snprintf(name, sizeof(name), "p%u", i);
		rc = policy_index_wired(x, ns, name, addrs, 2, e);
	}
	return rc;
}

/* Another pod of another node is another app's, back and forth. */
static int change_labels(struct run *r, struct err *e)
{
	struct object *old = objects[NAMESPACES + 3 * NAMESPACES + 7];
	double begin, told, worst = 0, sum_told = 0, sum_put = 0, sum_commit = 0;
	int rc = 0;

	for (unsigned i = 0; i < 200 && !rc; i++) {
		struct object *now;

		n_objects = NAMESPACES + 3 * NAMESPACES + 7;
		make_pod(3 * NAMESPACES + 7);
		now = objects[NAMESPACES + 3 * NAMESPACES + 7];
		label(now, &now->meta->labels, "app", 2 + i % 2);
		label(now, &now->meta->labels, "role", i % 4);
		begin = now_us();
		rc = policy_index_changed(r->x, old, now, e);
		told = now_us();
		if (!rc)
			rc = put(r, e);
		sum_told += told - begin;
		sum_put += r->put_us;
		sum_commit += r->commit_us;
		worst = now_us() - begin > worst ? now_us() - begin : worst;
		object_free(old);
		old = now;
	}
	if (!rc)
		printf("labels: told %.1f put %.1f commit %.1f us, worst %.1f us, %u elements\n",
		       sum_told / 200, sum_put / 200, sum_commit / 200, worst, r->elems);
	return rc;
}

static int big(struct err *e)
{
	struct policy_index *x = policy_index_new();
	struct nft_policies_stats stats;
	struct run r = { 0 };
	double begin;
	char name[16];
	int rc = x ? open_run(&r, x, e) : err_set(e, -ENOMEM, "no memory");

	for (unsigned i = 0; i < NAMESPACES; i++) {
		struct object *o;

		snprintf(name, sizeof(name), "ns%u", i);
		o = make(KIND_NAMESPACE, i, name);
		label(o, &o->meta->labels, "team", i % 10);
	}
	for (unsigned i = 0; i < NAMESPACES * PODS; i++)
		make_pod(i);
	for (unsigned i = 0; i < NAMESPACES * POLICIES; i++)
		make_policy(i % NAMESPACES, i / NAMESPACES);
	begin = now_us();
	if (!rc)
		rc = tell_all(x, e);
	if (!rc)
		printf("told: %.1f ms\n", (now_us() - begin) / 1000);
	if (!rc)
		rc = put(&r, e);
	if (!rc) {
		nft_policies_count(r.s, &stats);
		printf("first: put %.1f commit %.1f ms, %u operations, %u elements\n",
		       r.put_us / 1000, r.commit_us / 1000, r.ops, r.elems);
		printf("has: %u pods, %u chains, %u rules, %u sets\n", stats.pods, stats.chains,
		       stats.rules, stats.sets);
		rc = change_labels(&r, e);
	}
	begin = now_us();
	if (!rc)
		rc = compare(&r, e);
	if (!rc)
		printf("audit: %.1f ms\n", (now_us() - begin) / 1000);
	close_run(&r);
	policy_index_free(x);
	return rc;
}

int main(int argc, char **argv)
{
	struct err e = { 0 };
	int rc = -EINVAL;

	if (argc == 4 && !strcmp(argv[1], "random"))
		rc = random_steps(strtoul(argv[2], NULL, 10), (unsigned)atoi(argv[3]), &e);
	else if (argc == 2 && !strcmp(argv[1], "big"))
		rc = big(&e);
	else
		err_set(&e, -EINVAL, "random SEED STEPS | big");
	if (rc)
		fprintf(stderr, "policy_kernel: %s\n", e.text);
	return rc != 0;
}
