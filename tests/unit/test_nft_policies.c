// SPDX-License-Identifier: Apache-2.0
/* core/policy/index and core/nft/policies: a random cluster changes, operations are carried out by a
 * model of the kernel, and after each it must hold what another process would make of the cluster
 * from nothing. What those rules do with packets must be what the judge says, and name what it
 * names; a flow that was allowed before and is not now must have been told as narrowed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/nft/policies.h"
#include "core/policy/judge.h"
#include "core/policy/match.h"
#include "nft_cases.h"
#include "nft_kernel.h"
#include "nft_packet.h"
#include "policy_random.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEEDS 60
#define STEPS 120

/* ---- against the judge */

/* `dns`: it is for the node's own, which forward never sees. */
static struct nft_outcome pass(const struct nft_table *t, enum policy_type type, bool dns,
			       struct nft_packet p)
{
	static const char *const chains[][2] = {
		[POLICY_INGRESS] = { "policy-ingress", "policy-input-ingress" },
		[POLICY_EGRESS] = { "policy-egress", "policy-input-egress" },
	};

	return nft_packet_pass(t, chains[type][dns], &p);
}

static struct nft_table *render(const struct nft_policies *s, struct nft_ruleset *rs,
				struct arena *a)
{
	struct nft_input in = *nft_sample_input();

	in.policies = s;
	in.dns = random_dns;
	in.n_dns = 2;
	return nft_kernel_wanted(&in, rs, a);
}

static const struct {
	uint8_t proto;
	uint16_t port;
} ports[] = { { PROTO_TCP, 79 }, { PROTO_TCP, 80 },  { PROTO_TCP, 82 },
	      { PROTO_UDP, 80 }, { PROTO_SCTP, 81 }, { PROTO_NONE, 0 } };
#define PORTS (sizeof(ports) / sizeof(ports[0]))

static const char *const outside[] = { "10.0.0.200",  "192.0.2.5", "192.0.2.200",
				       "2001:db8::5", "fd00::99",  "2001:db9::" };
#define ENDS (2 * RANDOM_PODS + 6)

static struct ipaddr end_of(unsigned i)
{
	struct ipaddr a;

	if (i < 2 * RANDOM_PODS)
		return random_pod_addr(i / 2, i % 2);
	assert_int_equal(addr_parse(outside[i - 2 * RANDOM_PODS], &a), 0);
	return a;
}

/* What one end was allowed, by other end and port. */
struct allowed {
	bool v[POLICY_EGRESS + 1][2 * RANDOM_PODS][ENDS][PORTS];
};

static void must_name(const struct policy_half *half, enum policy_type type, struct nft_outcome got,
		      struct arena *a, const char *what)
{
	char rule[POLICY_RULE_TEXT];
	const char *want = NULL;

	if (half->state == POLICY_ALLOWED)
		want = arena_printf(a, "%s/%s %s", half->by->meta.namespace, half->by->meta.name,
				    policy_rule_text(type, half->rule, half->peer, rule));
	if (half->state == POLICY_DENIED)
		want = policy_denial_text(half, a);
	if ((got.code == NF_DROP) != (half->state == POLICY_DENIED))
		fail_msg("%s: %s, %s", what, name_of(&policy_state_names, half->state),
			 got.code == NF_DROP ? "dropped" : "accepted");
	if (want && (!got.comment || strcmp(want, got.comment) != 0))
		fail_msg("%s: by %s instead of %s", what, got.comment, want);
}

static bool judge(const struct random_cluster *r, const struct nft_table *t, enum policy_type type,
		  const struct policy_answerer *dns, const struct nft_packet *p, struct arena *a,
		  const char *what)
{
	const struct policy_flow flow = { .src = p->src,
					  .dst = p->dst,
					  .proto = p->proto,
					  .dport = p->dport,
					  .from = policy_index_pod_at(r->x, &p->src),
					  .to = policy_index_pod_at(r->x, &p->dst),
					  .answerer = dns };
	struct nft_outcome got = pass(t, type, dns != NULL, *p);
	char src[ADDR_TEXT], dst[ADDR_TEXT];
	struct policy_half half;
	struct err e;

	if (policy_judge_half(r->c, &flow, type, a, &half, &e))
		fail_msg("%s", e.text);
	what = arena_printf(a, "%s: %s %s -> %s %u/%u", what, name_of(&policy_way_names, type),
			    addr_str(&p->src, src), addr_str(&p->dst, dst), p->proto, p->dport);
	must_name(&half, type, got, a, what);
	return got.code != NF_DROP;
}

static void judge_all(const struct random_cluster *r, const struct nft_table *t,
		      struct allowed *out, const char *what)
{
	struct arena a;

	arena_init(&a, 0);
	for (unsigned i = 0; i < 2 * RANDOM_PODS * ENDS * PORTS; i++) {
		unsigned end = i % (2 * RANDOM_PODS), other = i / (2 * RANDOM_PODS) % ENDS,
			 k = i / (2 * RANDOM_PODS) / ENDS;
		struct nft_packet p = { .src = end_of(end),
					.dst = end_of(other),
					.proto = ports[k].proto,
					.dport = ports[k].port,
					.tcp_flags = 2,
					.sctp_chunk = 1,
					.state = 8 };

		if (!r->wired[end / 2] || p.src.family != p.dst.family)
			continue;
		out->v[POLICY_EGRESS][end][other][k] =
			judge(r, t, POLICY_EGRESS, NULL, &p, &a, what);
		p = (struct nft_packet){ p.dst,       p.src,        p.proto, p.dport,
					 p.tcp_flags, p.sctp_chunk, p.state };
		out->v[POLICY_INGRESS][end][other][k] =
			judge(r, t, POLICY_INGRESS, NULL, &p, &a, what);
		arena_reset(&a);
	}
	arena_fini(&a);
}

/* Queries of pods, of somebody without a pod, and of the node. */
static void judge_queries(const struct random_cluster *r, const struct nft_table *t,
			  const char *what)
{
	struct policy_answerer dns;
	struct arena a;
	struct err e;

	arena_init(&a, 0);
	if (policy_answerer_find(r->c, RANDOM_NODE, random_dns, 2, &a, &dns, &e))
		fail_msg("%s", e.text);
	for (unsigned i = 0; i < 2 * ENDS; i++) {
		struct nft_packet p = { .src = end_of(i / 2),
					.proto = i % 2 ? PROTO_UDP : PROTO_TCP,
					.dport = 53,
					.state = 64 };

		if (i / 2 < 2 * RANDOM_PODS && !r->wired[i / 4])
			continue;
		p.dst = random_dns[p.src.family == AF_INET6];
		if (i / 2 < 2 * RANDOM_PODS)
			judge(r, t, POLICY_EGRESS, &dns, &p, &a, what);
		judge(r, t, POLICY_INGRESS, &dns, &p, &a, what);
		p.iif = "lo";
		assert_int_equal(pass(t, POLICY_INGRESS, true, p).code, NF_ACCEPT);
	}
	arena_fini(&a);
}

/* ---- narrowed */

struct narrowed {
	bool pods[POLICY_EGRESS + 1][RANDOM_PODS];
	unsigned n;
};

static void note(void *arg, const char *ns, const char *name, enum policy_type type)
{
	struct narrowed *n = arg;

	n->n++;
	if (*name == 'p')
		n->pods[type][atoi(name + 1)] = true;
}

static void must_be_told(struct nft_policies *s, const struct random_cluster *r,
			 const struct allowed *before, const struct allowed *now, const char *what)
{
	struct narrowed told = { .n = 0 };

	nft_policies_narrowed(s, note, &told);
	nft_policies_looked(s);
	for (unsigned t = POLICY_INGRESS; t <= POLICY_EGRESS; t++)
		for (unsigned end = 0; end < 2 * RANDOM_PODS; end++)
			for (unsigned i = 0; i < ENDS * PORTS && r->wired[end / 2]; i++)
				if (before->v[t][end][i / PORTS][i % PORTS] &&
				    !now->v[t][end][i / PORTS][i % PORTS] && !told.pods[t][end / 2])
					fail_msg("%s: %s of p%u is narrower", what,
						 name_of(&policy_way_names, t), end / 2);
	told.n = 0;
	nft_policies_narrowed(s, note, &told);
	assert_int_equal(told.n, 0);
}

/* ---- random changes */

static void put_and_run(struct nft_policies *s, struct nft_kernel *k)
{
	struct nft_ops ops;
	struct arena a;
	struct err e;

	arena_init(&a, 0);
	nft_ops_init(&ops, &a);
	if (nft_policies_put(s, &ops, &e))
		fail_msg("%s", e.text);
	if (ops.n)
		assert_true(ops.v[ops.n - 1].step);
	if (k)
		nft_kernel_run(k, &ops);
	arena_fini(&a);
}

/* As another process sees the cluster, which hears of everything in another order. */
static void must_be_as_new(const struct random_cluster *r, struct nft_kernel *k, struct arena *a,
			   const struct nft_table **t, const char *what)
{
	struct policy_index *x = policy_index_new();
	struct nft_policies *s = nft_policies_new(x);
	struct nft_ruleset rs;

	random_cluster_tell(r, x);
	put_and_run(s, NULL);
	*t = render(s, &rs, a);
	nft_kernel_same(k, *t, what);
	nft_policies_free(s);
	policy_index_free(x);
}

static void start(struct nft_policies **s, struct policy_index *x, struct nft_kernel *k)
{
	struct nft_ruleset rs;
	struct arena a;

	*s = nft_policies_new(x);
	assert_non_null(*s);
	arena_init(&a, 0);
	nft_kernel_load(k, render(*s, &rs, &a));
	arena_fini(&a);
}

/* It is always wired. */
static void end_policies_of_dns(struct random_cluster *r)
{
	size_t n;
	const struct object *const *v = cluster_all(r->c, KIND_NETWORKPOLICY, &n);
	struct policy_answerer dns;
	struct arena a;
	struct err e;

	arena_init(&a, 0);
	assert_int_equal(policy_answerer_find(r->c, RANDOM_NODE, random_dns, 2, &a, &dns, &e), 0);
	for (size_t i = 0; i < n; i++)
		if (!strcmp(v[i]->meta->namespace, dns.stand_in->meta.namespace))
			assert_int_equal(policy_index_changed(r->x, v[i], NULL, &e), 0);
	arena_fini(&a);
}

static void nothing_is_left(struct random_cluster *r, struct nft_policies *s)
{
	struct nft_policies_stats stats;
	const char *ns;
	char name[8];
	struct err e;

	for (unsigned i = 0; i < RANDOM_PODS; i++) {
		random_pod_name(i, &ns, name);
		assert_int_equal(policy_index_wired(r->x, ns, name, NULL, 0, &e), 0);
		r->wired[i] = false;
	}
	end_policies_of_dns(r);
	put_and_run(s, NULL);
	nft_policies_count(s, &stats);
	assert_int_equal(stats.pods + stats.chains + stats.rules + stats.sets, 0);
}

static void random_run(uint64_t seed, struct allowed *v)
{
	struct random_cluster r;
	struct nft_kernel k = { 0 };
	struct nft_policies *s;
	unsigned now = 0;

	random_cluster_init(&r, seed);
	start(&s, r.x, &k);
	memset(v, 0, 2 * sizeof(*v));
	for (unsigned step = 0; step < STEPS; step++) {
		const struct nft_table *t;
		struct nft_ruleset rs;
		struct arena a;
		char what[64];

		random_cluster_step(&r);
		if (step >= 20 && random_upto(&r, 3))
			continue;
		snprintf(what, sizeof(what), "seed %u, step %u", (unsigned)seed, step);
		arena_init(&a, 0);
		put_and_run(s, &k);
		nft_kernel_same(&k, render(s, &rs, &a), what);
		must_be_as_new(&r, &k, &a, &t, what);
		if (step >= 20 && !random_upto(&r, 2)) {
			judge_all(&r, t, &v[!now], what);
			judge_queries(&r, t, what);
			must_be_told(s, &r, &v[now], &v[!now], what);
			now = !now;
		}
		arena_fini(&a);
	}
	nothing_is_left(&r, s);
	nft_policies_free(s);
	random_cluster_fini(&r);
	nft_kernel_fini(&k);
}

static void test_random(void **state)
{
	struct allowed *v = calloc(2, sizeof(*v));

	assert_non_null(v);
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		random_run(seed, v);
	free(v);
}

/* ---- by hand: namespace shop, pods web (here) and db, policies as a test says */

#define N(v) (sizeof(v) / sizeof((v)[0]))
#define ALL(v)                                                                                     \
	{                                                                                          \
		(v), N(v)                                                                          \
	}

static struct strmap_entry web_labels[] = { { "app", "web" } }, db_labels[] = { { "app", "db" } };
static struct label_selector is_db = { .matchLabels = ALL(db_labels) };
static struct policy_peer from_db[] = { { .podSelector = &is_db } };
static struct policy_port ports_80[] = { { .port = { INTSTR_INT, 80, NULL } } }, ports_more[] = {
	{ .port = { INTSTR_INT, 79, NULL }, .endPort = { true, 81 } }, { .protocol = PROTO_UDP }
};
static struct policy_rule rule_80[] = { { .ports = ALL(ports_80), .peers = ALL(from_db) } },
			  rule_more[] = { { .ports = ALL(ports_more), .peers = ALL(from_db) },
					  { .peers = ALL(from_db) } };

static const struct pod web = {
	.meta = { .namespace = "shop", .name = "web", .labels = ALL(web_labels) }
};

struct hand {
	struct policy_index *x;
	struct nft_policies *s;
	struct nft_kernel k;
	struct arena a;
	struct nft_ops ops; /* of the last put */
};

static void tell(struct hand *h, unsigned kind, const void *old, const void *now)
{
	struct object a = { .kind = kind_by_id(kind), .meta = (void *)old, .body = (void *)old },
		      b = { .kind = kind_by_id(kind), .meta = (void *)now, .body = (void *)now };
	struct err e;

	assert_int_equal(policy_index_changed(h->x, old ? &a : NULL, now ? &b : NULL, &e), 0);
}

/* How many pods were told as narrowed. */
static unsigned hand_put(struct hand *h)
{
	struct narrowed told = { .n = 0 };
	struct err e;

	arena_reset(&h->a);
	nft_ops_init(&h->ops, &h->a);
	assert_int_equal(nft_policies_put(h->s, &h->ops, &e), 0);
	nft_kernel_run(&h->k, &h->ops);
	nft_policies_narrowed(h->s, note, &told);
	nft_policies_looked(h->s);
	return told.n;
}

static void hand_open(struct hand *h)
{
	const struct ipaddr addr = random_pod_addr(0, 0);
	struct err e;

	*h = (struct hand){ .x = policy_index_new() };
	arena_init(&h->a, 0);
	start(&h->s, h->x, &h->k);
	tell(h, KIND_POD, NULL, &web);
	assert_int_equal(policy_index_wired(h->x, "shop", "web", &addr, 1, &e), 0);
}

static void hand_close(struct hand *h)
{
	nft_policies_free(h->s);
	policy_index_free(h->x);
	nft_kernel_fini(&h->k);
	arena_fini(&h->a);
}

static struct network_policy policy(const char *name, struct policy_rule *ingress, uint32_t n)
{
	return (struct network_policy){ .meta = { .namespace = "shop", .name = name },
					.spec = { .ingress = { ingress, n } } };
}

static void test_what_only_adds(void **state)
{
	const struct network_policy deny = policy("deny", NULL, 0), allow = policy("a", rule_80, 1),
				    more = policy("a", rule_more, 2),
				    less = policy("a", rule_80, 1);
	struct hand h;

	hand_open(&h);
	tell(&h, KIND_NETWORKPOLICY, NULL, &deny);
	assert_int_equal(hand_put(&h), 1);
	tell(&h, KIND_NETWORKPOLICY, NULL, &allow);
	assert_int_equal(hand_put(&h), 0);
	tell(&h, KIND_NETWORKPOLICY, &allow, &more);
	assert_int_equal(hand_put(&h), 0);
	tell(&h, KIND_NETWORKPOLICY, &more, &less);
	assert_int_equal(hand_put(&h), 1);
	tell(&h, KIND_NETWORKPOLICY, &less, &allow); /* the same again */
	assert_int_equal(hand_put(&h), 0);
	assert_int_equal(h.ops.n, 0);
	assert_int_equal(nft_policies_narrow(h.s, "shop", "a"), 0);
	assert_int_equal(hand_put(&h), 1);
	assert_int_equal(nft_policies_narrow(h.s, "shop", "none"), 0);
	assert_int_equal(hand_put(&h), 0);
	tell(&h, KIND_NETWORKPOLICY, &allow, NULL);
	assert_int_equal(hand_put(&h), 1);
	tell(&h, KIND_NETWORKPOLICY, &deny, NULL);
	assert_int_equal(hand_put(&h), 0);
	hand_close(&h);
}

/* A pod elsewhere comes, changes its labels and goes. */
static void test_cost_of_a_label(void **state)
{
	struct pod_ip ips[] = { { random_pod_addr(1, 0) }, { random_pod_addr(1, 1) } };
	struct pod db = { .meta = { .namespace = "shop", .name = "db", .labels = ALL(db_labels) },
			  .status = { .podIPs = ALL(ips) } },
		   other = db;
	const struct network_policy allow = policy("a", rule_80, 1);
	struct hand h;

	other.meta.labels = web.meta.labels;
	hand_open(&h);
	tell(&h, KIND_NETWORKPOLICY, NULL, &allow);
	hand_put(&h);
	tell(&h, KIND_POD, NULL, &db);
	assert_int_equal(hand_put(&h), 0);
	assert_int_equal(h.ops.n, 1);
	assert_int_equal(h.ops.v[0].verb, NFTV_ADD_ELEMS);
	assert_int_equal(h.ops.v[0].n_elems, 1); /* nothing here speaks IPv6 */
	tell(&h, KIND_POD, &db, &other);
	assert_int_equal(hand_put(&h), 1);
	assert_int_equal(h.ops.n, 1);
	assert_int_equal(h.ops.v[0].verb, NFTV_DEL_ELEMS);
	tell(&h, KIND_POD, &other, &db);
	tell(&h, KIND_POD, &db, NULL); /* came and went meanwhile */
	assert_int_equal(hand_put(&h), 0);
	assert_int_equal(h.ops.n, 0);
	hand_close(&h);
}

/* One address, two pods: it is the later one's, whenever the end of the other is heard. */
static void test_address_changes_hands(void **state)
{
	const struct network_policy deny = policy("deny", NULL, 0);
	const struct pod next = { .meta = { .namespace = "shop", .name = "next" } };
	const struct ipaddr addr = random_pod_addr(0, 0);
	struct hand h;
	struct err e;

	hand_open(&h);
	tell(&h, KIND_NETWORKPOLICY, NULL, &deny);
	hand_put(&h);
	tell(&h, KIND_POD, NULL, &next);
	assert_int_equal(policy_index_wired(h.x, "shop", "next", &addr, 1, &e), 0);
	hand_put(&h);
	assert_ptr_equal(policy_index_pod_at(h.x, &addr), &next);
	assert_int_equal(policy_index_wired(h.x, "shop", "web", NULL, 0, &e), 0);
	hand_put(&h);
	assert_int_equal(h.ops.n, 0);
	assert_ptr_equal(policy_index_pod_at(h.x, &addr), &next);
	assert_int_equal(policy_index_wired(h.x, "shop", "next", NULL, 0, &e), 0);
	hand_put(&h);
	assert_true(h.ops.n > 0);
	hand_close(&h);
}

/* ---- what the kernel counted */

struct grown {
	char text[8][400]; /* "shop/a ingress[0]=" */
	uint64_t packets[8];
	unsigned n, types; /* types: bits by enum policy_type */
	bool full;         /* takes nothing */
};

static unsigned place_of(struct grown *g, const char *policy, const char *rule)
{
	char text[400];
	unsigned i = 0;

	snprintf(text, sizeof(text), "%s %s", policy ? policy : "", rule);
	while (i < g->n && strcmp(g->text[i], text) != 0)
		i++;
	assert_true(i < 8);
	memcpy(g->text[i], text, sizeof(text));
	return i;
}

static int on_grown(void *arg, const struct nft_policy_count *c)
{
	struct grown *g = arg;
	unsigned i;

	g->types |= 1u << c->type;
	assert_int_equal(c->bytes, 100 * c->packets);
	if (g->full)
		return -ENOMEM;
	i = place_of(g, c->policy, c->rule);
	g->n += i == g->n;
	g->packets[i] += c->packets;
	return 0;
}

/* From 0 on. */
static void read_all(struct hand *h, const struct nft_table *t, struct grown *g)
{
	bool full = g->full;

	*g = (struct grown){ .full = full };
	for (uint32_t i = 0; i < t->n_chains; i++) {
		int rc = nft_policies_grown(h->s, t->chains[i], on_grown, g);

		assert_true(rc == 0 || (full && rc == -ENOMEM));
	}
}

static void assert_grown(struct grown *g, const char *policy, const char *rule, uint64_t packets)
{
	unsigned i = place_of(g, policy, rule);

	assert_true(i < g->n);
	assert_int_equal(g->packets[i], packets);
}

/* A name that is too long, and one that is just what becomes of it. */
static void test_names_that_meet(void **state)
{
	static const char head[] = "ingress4-shop/";
	char name[NAME_MAX_LEN + 1], cut[NAME_MAX_LEN + 1] = "none";
	struct network_policy first, second;
	const struct nft_table *t;
	struct nft_policy_drop drop;
	struct nft_ruleset rs;
	char of_first[400], of_second[400];
	const char *denial = "";
	struct grown g = { .n = 0 };
	struct hand h;

	memset(name, 'n', NAME_MAX_LEN);
	name[NAME_MAX_LEN] = 0;
	first = policy(name, rule_80, 1);
	hand_open(&h);
	tell(&h, KIND_NETWORKPOLICY, NULL, &first);
	hand_put(&h);
	t = render(h.s, &rs, &h.a);
	for (uint32_t i = 0; i < t->n_chains; i++)
		if (!strncmp(t->chains[i]->name, head, strlen(head)))
			snprintf(cut, sizeof(cut), "%s", t->chains[i]->name + strlen(head));
	assert_int_equal(strlen(cut), 200 - strlen(head));
	second = policy(cut, rule_80, 1);
	tell(&h, KIND_NETWORKPOLICY, NULL, &second);
	hand_put(&h);
	t = render(h.s, &rs, &h.a);
	nft_kernel_same(&h.k, t, "two names");
	for (uint32_t i = 0; i < t->n_chains; i++) {
		struct nft_logged p = { .group = NFT_POLICY_LOG_GROUP };

		snprintf(p.prefix, sizeof(p.prefix), "%s", t->chains[i]->name);
		drop = nft_policies_drop(h.s, &p);
		denial = drop.policies ? drop.policies : denial;
	}
	assert_int_equal(strlen(denial),
			 2 * strlen("shop/") + strlen(", ") + strlen(name) + strlen(cut));
	read_all(&h, t, &g);
	assert_grown(&g, NULL, denial, 0);
	snprintf(of_first, sizeof(of_first), "shop/%s", name);
	snprintf(of_second, sizeof(of_second), "shop/%s", cut);
	assert_grown(&g, of_first, "ingress[0].from[0]", 0);
	assert_grown(&g, of_second, "ingress[0].from[0]", 0);
	assert_int_equal(g.n, 3);
	hand_close(&h);
}

/* Each kernel rule has a handle of its own, and counted its own number of packets. */
static void count(struct nft_table *t, uint64_t handle, uint64_t packets)
{
	for (uint32_t i = 0; i < t->n_chains; i++)
		for (uint32_t k = 0; k < t->chains[i]->n; k++) {
			struct nft_rule *r = t->chains[i]->rules[k];

			r->handle = handle++;
			for (uint32_t j = 0; j < r->n; j++) {
				if (r->v[j].kind != NFS_COUNTER)
					continue;
				r->v[j].counter.packets = packets;
				r->v[j].counter.bytes = 100 * packets;
			}
		}
}

/* What is told of a chain is what it counted since it was read last, whatever became of its rules. */
static void test_counters(void **state)
{
	const struct network_policy more = policy("a", rule_more, 2), deny = policy("b", NULL, 0);
	struct nft_ruleset rs;
	struct nft_table *t;
	struct grown g = { .n = 0 };
	struct hand h;

	hand_open(&h);
	tell(&h, KIND_NETWORKPOLICY, NULL, &more);
	tell(&h, KIND_NETWORKPOLICY, NULL, &deny);
	hand_put(&h);
	t = render(h.s, &rs, &h.a);
	count(t, 10, 5);
	read_all(&h, t, &g);
	assert_int_equal(g.n, 3);
	assert_grown(&g, NULL, "shop/a, shop/b", 5);
	assert_grown(&g, "shop/a", "ingress[0].from[0]", 5);
	assert_grown(&g, "shop/a", "ingress[1].from[0]", 5);
	count(t, 10, 8);
	read_all(&h, t, &g);
	assert_grown(&g, NULL, "shop/a, shop/b", 3);
	assert_grown(&g, "shop/a", "ingress[1].from[0]", 3);
	count(t, 100, 9); /* others in their place */
	read_all(&h, t, &g);
	assert_grown(&g, NULL, "shop/a, shop/b", 9);
	count(t, 100, 2); /* the table is another */
	read_all(&h, t, &g);
	assert_grown(&g, NULL, "shop/a, shop/b", 2);
	g.full = true;
	count(t, 100, 7);
	read_all(&h, t, &g);
	g.full = false;
	read_all(&h, t, &g);
	assert_grown(&g, NULL, "shop/a, shop/b", 5);
	assert_int_equal(g.types, 1u << POLICY_INGRESS);
	hand_close(&h);
}

/* Chains are told one by one while they come and go; who went can be read once more. */
static void test_chains_that_count(void **state)
{
	const struct network_policy more = policy("a", rule_more, 2), deny = policy("b", NULL, 0);
	struct grown g = { .n = 0 };
	const struct nft_table *t;
	struct nft_ruleset rs;
	const char *name;
	struct arena a;
	unsigned n = 0;
	struct hand h;

	hand_open(&h);
	assert_null(nft_policies_next(h.s, true));
	tell(&h, KIND_NETWORKPOLICY, NULL, &more);
	hand_put(&h);
	for (name = nft_policies_next(h.s, true); name; name = nft_policies_next(h.s, false))
		n++;
	assert_int_equal(n, 2);
	assert_null(nft_policies_next(h.s, false));
	assert_non_null(nft_policies_next(h.s, true));
	arena_init(&a, 0);
	t = render(h.s, &rs, &a);
	count(rs.tables[0], 1, 4);
	tell(&h, KIND_NETWORKPOLICY, NULL, &deny); /* another list, and the old one goes */
	hand_put(&h);
	read_all(&h, t, &g);
	assert_grown(&g, NULL, "shop/a", 4);
	for (n = 0; nft_policies_next(h.s, false); n++)
		;
	assert_int_equal(
		n, 3); /* the first policy, the new list and the second; not the list that went */
	arena_fini(&a);
	hand_close(&h);
}

static void prefix(struct nft_logged *p, const char *text)
{
	snprintf(p->prefix, sizeof(p->prefix), "%s", text);
}

static void assert_drop(const struct hand *h, const struct nft_logged *p, enum policy_type type,
			bool midway, const char *policies)
{
	struct nft_policy_drop drop = nft_policies_drop(h->s, p);

	assert_int_equal(drop.type, type);
	assert_int_equal(drop.midway, midway);
	if (policies)
		assert_string_equal(drop.policies, policies);
	else
		assert_null(drop.policies);
}

/* What was logged names its direction and who isolates the pod: by default the one that is judged, of the
 * guard the one with which it says it is connected. */
static void test_drops(void **state)
{
	static uint8_t both[] = { POLICY_INGRESS, POLICY_EGRESS };
	const struct network_policy in = policy("in", NULL, 0),
				    out = { .meta = { .namespace = "shop", .name = "out" },
					    .spec = { .policyTypes = ALL(both) } };
	struct nft_logged p = { .flow = { .src = random_pod_addr(0, 0) } };
	struct hand h;

	hand_open(&h);
	tell(&h, KIND_NETWORKPOLICY, NULL, &in);
	tell(&h, KIND_NETWORKPOLICY, NULL, &out);
	hand_put(&h);
	prefix(&p, "policy-midway-ingress");
	assert_drop(&h, &p, POLICY_INGRESS, true, "shop/in, shop/out");
	prefix(&p, "policy-midway-egress");
	assert_drop(&h, &p, POLICY_EGRESS, true, NULL); /* the other end is no pod of ours */
	p.flow.dst = p.flow.src;
	assert_drop(&h, &p, POLICY_EGRESS, true, "shop/out");
	prefix(&p, "egress4-0123456789abcdef"); /* a list that is gone */
	assert_drop(&h, &p, POLICY_EGRESS, false, NULL);
	prefix(&p, "ingress4-shop/in"); /* no list, but a policy's rules */
	assert_drop(&h, &p, POLICY_INGRESS, false, NULL);
	hand_close(&h);
}

static void must_end(struct hand *h, enum policy_type type, const struct nft_packet *p,
		     const char *comment)
{
	struct nft_ruleset rs;
	struct nft_outcome got = pass(render(h->s, &rs, &h->a), type, false, *p);

	assert_int_equal(got.code, comment ? NF_DROP : NF_ACCEPT);
	if (comment)
		assert_string_equal(got.comment, comment);
}

/* Nobody told of any policy yet: closed in both directions, but to itself and for what lives; counted by
 * the words that say why. What the policies then leave is to be looked at. */
static void test_closed(void **state)
{
	const struct network_policy deny = policy("deny", NULL, 0);
	const struct ipaddr here = random_pod_addr(0, 0), there = random_pod_addr(1, 0);
	struct nft_packet in = { there, here, PROTO_TCP, 80, 2, 8 },
			  out = { here, there, PROTO_TCP, 80, 2, 8 },
			  self = { here, here, PROTO_TCP, 80, 2, 8 }, lives = in;
	struct nft_policies_stats left;
	struct grown g = { .n = 0 };
	struct nft_ruleset rs;
	struct nft_table *t;
	struct hand h;

	lives.state = 2;
	hand_open(&h);
	policy_index_unknown(h.x, true);
	hand_put(&h);
	must_end(&h, POLICY_INGRESS, &in, POLICY_UNKNOWN);
	must_end(&h, POLICY_EGRESS, &out, POLICY_UNKNOWN);
	for (enum policy_type way = POLICY_INGRESS; way <= POLICY_EGRESS; way++) {
		must_end(&h, way, &self, NULL);
		must_end(&h, way, &lives, NULL);
	}
	t = render(h.s, &rs, &h.a);
	count(t, 10, 5);
	read_all(&h, t, &g);
	assert_int_equal(g.n, 1);
	assert_int_equal(g.types, 1u << POLICY_INGRESS | 1u << POLICY_EGRESS);
	assert_grown(&g, NULL, POLICY_UNKNOWN, 10);
	tell(&h, KIND_NETWORKPOLICY, NULL, &deny);
	policy_index_unknown(h.x, false);
	assert_int_equal(hand_put(&h), 1);
	must_end(&h, POLICY_INGRESS, &in, "default deny by shop/deny");
	must_end(&h, POLICY_EGRESS, &out, NULL);
	tell(&h, KIND_POD, &web, NULL); /* by force: it is wired */
	hand_put(&h);
	must_end(&h, POLICY_INGRESS, &in, POLICY_NO_OBJECT);
	must_end(&h, POLICY_INGRESS, &self, NULL);
	must_end(&h, POLICY_EGRESS, &out, NULL);
	tell(&h, KIND_POD, NULL, &web);
	hand_put(&h);
	must_end(&h, POLICY_INGRESS, &in, "default deny by shop/deny");
	tell(&h, KIND_NETWORKPOLICY, &deny, NULL);
	hand_put(&h);
	nft_policies_count(h.s, &left);
	assert_int_equal(left.chains, 0);
	hand_close(&h);
}

/* ---- a list that may be older than the kernel's rules */

/* In how many sets of this head the address is, alone or twice. */
static unsigned count_in(const struct nft_kernel *k, const char *sets, const struct ipaddr *addr)
{
	unsigned n = 0;
	char key[16];

	snprintf(key, sizeof(key), "%02x%02x%02x%02x-", addr->b[0], addr->b[1], addr->b[2],
		 addr->b[3]);
	for (size_t i = 0; i < k->n; i++)
		n += !strncmp(k->v[i], "element ", 8) &&
		     !strncmp(k->v[i] + 8, sets, strlen(sets)) && strstr(k->v[i], key);
	return n;
}

/* Lines of the table that the kernel lacks. */
static unsigned count_gone(const struct nft_kernel *k, const struct nft_table *t)
{
	struct nft_kernel all = { 0 };
	unsigned n = 0;

	nft_kernel_load(&all, t);
	for (size_t i = 0; i < all.n; i++)
		for (size_t j = 0; j < k->n; j++)
			n += !strcmp(all.v[i], k->v[j]);
	assert_true(n <= all.n);
	n = (unsigned)all.n - n;
	nft_kernel_fini(&all);
	return n;
}

/* `to` says what the kernel has by then; how many of its lines are gone. */
static unsigned merge(struct hand *to, struct hand *list, const struct ipaddr *own)
{
	struct nft_ruleset want, have;
	struct nft_kernel k = { 0 };
	struct nft_table *t;
	struct nft_ops ops;

	arena_reset(&to->a);
	nft_ops_init(&ops, &to->a);
	t = render(to->s, &have, &to->a);
	nft_kernel_load(&k, t);
	nft_policies_merge(render(list->s, &want, &list->a), t, own, 1, &ops);
	nft_kernel_run(&k, &ops);
	nft_kernel_fini(&to->k);
	to->k = k;
	return count_gone(&k, t);
}

static void test_list_that_may_be_old(void **state)
{
	struct pod_ip ip1[] = { { random_pod_addr(1, 0) } }, ip3[] = { { random_pod_addr(3, 0) } };
	const struct pod
		db = { .meta = { .namespace = "shop", .name = "db", .labels = ALL(db_labels) },
		       .status = { .podIPs = ALL(ip1) } },
		was = { .meta = { .namespace = "shop", .name = "was", .labels = ALL(db_labels) },
			.status = { .podIPs = ALL(ip3) } },
		next = { .meta = {
				 .namespace = "shop", .name = "next", .labels = ALL(db_labels) } };
	const struct network_policy a = policy("a", rule_80, 1), b = policy("b", rule_80, 1);
	const struct ipaddr own = random_pod_addr(2, 0), web_addr = random_pod_addr(0, 0);
	struct hand kernel, list;
	struct err e;

	hand_open(&kernel);
	tell(&kernel, KIND_POD, NULL, &db);
	tell(&kernel, KIND_NETWORKPOLICY, NULL, &b);
	hand_put(&kernel);
	hand_open(&list);
	tell(&list, KIND_POD, NULL, &db);
	tell(&list, KIND_POD, NULL, &was);
	tell(&list, KIND_POD, NULL, &next);
	assert_int_equal(policy_index_wired(list.x, "shop", "next", &own, 1, &e), 0);
	tell(&list, KIND_NETWORKPOLICY, NULL, &a);
	hand_put(&list);

	/* A pod that comes is isolated and let in by it, and nobody else. */
	assert_int_equal(merge(&kernel, &list, &own), 0);
	assert_int_equal(count_in(&kernel.k, "policy_ingress4", &own), 1);
	assert_int_equal(count_in(&kernel.k, "policy_isolated_in4", &own), 1);
	assert_int_equal(count_in(&kernel.k, "policy_ingress4", &web_addr), 1);
	assert_int_equal(count_in(&kernel.k, "pods4", &own), 1);
	assert_int_equal(count_in(&kernel.k, "pods4", &ip3[0].ip), 0);
	/* Nothing of one that goes stays, and all else does. */
	assert_int_equal(count_in(&list.k, "p", &own), 4);
	assert_int_equal(merge(&list, &kernel, &own), 4);
	assert_int_equal(count_in(&list.k, "p", &own), 0);
	assert_int_equal(count_in(&list.k, "pods4", &ip3[0].ip), 1);
	hand_close(&kernel);
	hand_close(&list);
}

/* Whatever was missing, the next put says what is left, and the two agree again after an audit. */
static void test_no_memory(void **state)
{
	for (size_t limit = 1; limit < 40000; limit += 997) {
		struct random_cluster r;
		struct nft_policies *s;
		struct nft_kernel k = { 0 };
		struct nft_ruleset rs;
		const struct nft_table *t;
		struct nft_ops ops;
		struct arena a;
		struct err e;
		int rc;

		random_cluster_init(&r, limit);
		s = nft_policies_new(r.x);
		assert_non_null(s);
		for (unsigned i = 0; i < 40; i++)
			random_cluster_step(&r);
		arena_init(&a, limit);
		nft_ops_init(&ops, &a);
		rc = nft_policies_put(s, &ops, &e);
		assert_true(rc == 0 || rc == -ENOMEM);
		arena_fini(&a);
		put_and_run(s, NULL);
		arena_init(&a, 0);
		nft_kernel_load(&k, render(s, &rs, &a));
		must_be_as_new(&r, &k, &a, &t, "after no memory");
		arena_fini(&a);
		nft_policies_free(s);
		random_cluster_fini(&r);
		nft_kernel_fini(&k);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_what_only_adds),
		cmocka_unit_test(test_cost_of_a_label),
		cmocka_unit_test(test_address_changes_hands),
		cmocka_unit_test(test_names_that_meet),
		cmocka_unit_test(test_drops),
		cmocka_unit_test(test_counters),
		cmocka_unit_test(test_chains_that_count),
		cmocka_unit_test(test_closed),
		cmocka_unit_test(test_list_that_may_be_old),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
