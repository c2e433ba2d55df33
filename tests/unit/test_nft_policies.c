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
#include "nft_cases.h"
#include "nft_kernel.h"
#include "policy_random.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEEDS 60
#define STEPS 120

/* ---- packets through the rules, as the kernel takes them */

struct packet {
	struct ipaddr src, dst;
	uint8_t proto; /* enum protocol; PROTO_NONE: ICMP */
	uint16_t dport;
	uint8_t tcp_flags;
	uint32_t state;
};

struct outcome {
	int32_t code;
	const char *comment; /* of the rule that decided; NULL: none did */
};

static uint8_t l4_number(const struct packet *p)
{
	static const uint8_t icmp[] = { IPPROTO_ICMP, IPPROTO_ICMPV6 };

	return p->proto ? nft_service_transports[p->proto].number : icmp[p->src.family == AF_INET6];
}

/* 0: the packet has no such thing. */
static uint32_t load(const struct packet *p, const struct nft_sel *s, uint8_t *to)
{
	bool v6 = p->src.family == AF_INET6;

	switch ((enum nft_key)s->key) {
	case NFK_IP_SADDR:
	case NFK_IP6_SADDR:
		memcpy(to, p->src.b, v6 ? 16 : 4);
		return (s->key == NFK_IP6_SADDR) == v6 ? v6 ? 16 : 4 : 0;
	case NFK_IP_DADDR:
	case NFK_IP6_DADDR:
		memcpy(to, p->dst.b, v6 ? 16 : 4);
		return (s->key == NFK_IP6_DADDR) == v6 ? v6 ? 16 : 4 : 0;
	case NFK_META_L4PROTO:
		to[0] = l4_number(p);
		return 1;
	case NFK_TH_DPORT:
	case NFK_TCP_DPORT:
	case NFK_UDP_DPORT:
	case NFK_SCTP_DPORT:
		to[0] = (uint8_t)(p->dport >> 8);
		to[1] = (uint8_t)p->dport;
		return s->key == NFK_TH_DPORT || (p->proto &&
						  s->key == nft_service_transports[p->proto].dport)
			       ? 2
			       : 0;
	case NFK_TCP_FLAGS:
		to[0] = p->tcp_flags;
		return p->proto == PROTO_TCP;
	case NFK_CT_STATE:
		memcpy(to, &p->state, 4);
		return 4;
	default:
		fail_msg("selector %u", s->key);
		return 0;
	}
}

static bool match(const struct packet *p, const struct nft_stmt *s)
{
	uint8_t v[16] = { 0 };
	uint32_t len = load(p, &s->match.sel, v);

	if (!len)
		return false;
	for (uint32_t i = 0; i < s->match.mask.len; i++)
		v[i] &= s->match.mask.b[i];
	switch ((enum nft_cmp)s->match.op) {
	case NFC_EQ:
		return !memcmp(v, s->match.a.b, len);
	case NFC_NE:
		return memcmp(v, s->match.a.b, len) != 0;
	case NFC_RANGE:
		return memcmp(v, s->match.a.b, len) >= 0 && memcmp(v, s->match.b.b, len) <= 0;
	case NFC_ANY:
		return v[0] & s->match.a.b[0];
	default:
		fail_msg("comparison %u", s->match.op);
		return false;
	}
}

static bool within(const struct nft_set *set, const struct nft_elem *e, const uint8_t *key)
{
	const uint8_t *last = e->key_end ? e->key_end : e->key;
	uint32_t at = 0;

	for (unsigned i = 0; i < set->n_key; i++) {
		uint32_t len = set->key[i].type == NFTY_IPV4_ADDR      ? 4
			       : set->key[i].type == NFTY_IPV6_ADDR    ? 16
			       : set->key[i].type == NFTY_INET_SERVICE ? 2
								       : 1;

		if (memcmp(key + at, e->key + at, len) < 0 || memcmp(key + at, last + at, len) > 0)
			return false;
		at += (len + 3) & ~3u;
	}
	return true;
}

static const struct nft_elem *look_up(const struct nft_table *t, const struct packet *p,
				      const struct nft_stmt *s)
{
	const struct nft_set *set = nft_set_get(t, s->lookup.set);
	uint8_t key[NFT_KEY_MAX] = { 0 };
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->lookup.keys.n; i++) {
		uint8_t v[16] = { 0 };
		uint32_t len = load(p, &s->lookup.keys.v[i], v);

		if (!len)
			return NULL;
		n = nft_key_put(key, n, v, len);
	}
	for (uint32_t i = 0; i < set->n; i++)
		if (within(set, &set->elems[i], key))
			return &set->elems[i];
	return NULL;
}

static bool through(const struct nft_table *t, const char *chain, const struct packet *p,
		    struct outcome *out);

/* Is that the end? */
static bool follow(const struct nft_table *t, const struct nft_verdict *v, const char *comment,
		   const struct packet *p, struct outcome *out)
{
	if (v->code == NFT_JUMP)
		return through(t, v->chain, p, out);
	*out = (struct outcome){ v->code, comment };
	return true;
}

static bool run_rule(const struct nft_table *t, const struct nft_rule *r, const struct packet *p,
		     struct outcome *out)
{
	for (uint32_t i = 0; i < r->n; i++) {
		const struct nft_stmt *s = &r->v[i];
		const struct nft_elem *e;

		switch ((enum nft_stmt_kind)s->kind) {
		case NFS_MATCH:
			if (!match(p, s))
				return false;
			break;
		case NFS_LOOKUP:
			if (!look_up(t, p, s))
				return false;
			break;
		case NFS_VMAP:
			e = look_up(t, p, s);
			return e && follow(t, &e->verdict, NULL, p, out);
		case NFS_VERDICT:
			return follow(t, &s->verdict, r->comment, p, out);
		case NFS_COUNTER:
		case NFS_LIMIT:
		case NFS_LOG:
			break;
		default:
			fail_msg("statement %u", s->kind);
		}
	}
	return false;
}

static bool through(const struct nft_table *t, const char *chain, const struct packet *p,
		    struct outcome *out)
{
	const struct nft_chain *c = nft_chain_get(t, chain);

	assert_non_null(c);
	for (uint32_t i = 0; i < c->n; i++)
		if (run_rule(t, c->rules[i], p, out))
			return true;
	return false;
}

static struct outcome pass(const struct nft_table *t, enum policy_type type, struct packet p)
{
	struct outcome out = { NF_ACCEPT, NULL };

	through(t, type == POLICY_EGRESS ? "policy-egress" : "policy-ingress", &p, &out);
	return out;
}

/* ---- against the judge */

static struct nft_table *render(const struct nft_policies *s, struct nft_ruleset *rs,
				struct arena *a)
{
	struct nft_input in = *nft_sample_input();
	struct err e = { 0 };

	in.policies = s;
	nft_ruleset_init(rs, a);
	if (nft_build(rs, &in, &e))
		fail_msg("%s", e.text);
	return nft_table_get(rs, NFPROTO_INET, NFT_TABLE);
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

static void must_name(const struct policy_half *half, enum policy_type type, struct outcome got,
		      struct arena *a, const char *what)
{
	char rule[POLICY_RULE_TEXT];
	const char *want = NULL;

	if (half->state == POLICY_ALLOWED)
		want = arena_printf(a, "%s/%s %s", half->by->meta.namespace, half->by->meta.name,
				    policy_rule_text(type, half->rule, half->peer, rule));
	if (half->state == POLICY_DENIED)
		want = policy_denial_text(half->isolating.v, half->isolating.n, a);
	if ((got.code == NF_DROP) != (half->state == POLICY_DENIED))
		fail_msg("%s: %s, %s", what, name_of(&policy_state_names, half->state),
			 got.code == NF_DROP ? "dropped" : "accepted");
	if (want && (!got.comment || strcmp(want, got.comment) != 0))
		fail_msg("%s: by %s instead of %s", what, got.comment, want);
}

static bool judge(const struct random_cluster *r, const struct nft_table *t, enum policy_type type,
		  const struct packet *p, struct arena *a, const char *what)
{
	const struct policy_flow flow = { .src = p->src,
					  .dst = p->dst,
					  .proto = p->proto,
					  .dport = p->dport,
					  .from = policy_index_pod_at(r->x, &p->src),
					  .to = policy_index_pod_at(r->x, &p->dst) };
	struct outcome got = pass(t, type, *p);
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
		struct packet p = { .src = end_of(end),
				    .dst = end_of(other),
				    .proto = ports[k].proto,
				    .dport = ports[k].port,
				    .tcp_flags = 2,
				    .state = 8 };

		if (!r->wired[end / 2] || p.src.family != p.dst.family)
			continue;
		out->v[POLICY_EGRESS][end][other][k] = judge(r, t, POLICY_EGRESS, &p, &a, what);
		p = (struct packet){ p.dst, p.src, p.proto, p.dport, p.tcp_flags, p.state };
		out->v[POLICY_INGRESS][end][other][k] = judge(r, t, POLICY_INGRESS, &p, &a, what);
		arena_reset(&a);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
