/* SPDX-License-Identifier: Apache-2.0 */
/* Puts test rulesets into the kernel of the current namespace, for tests that judge with nft.
 *
 *   nft_load cases                    names of the cases
 *   nft_load text CASE                our text of it; CASE may be a number: the seed of a random one
 *   nft_load load CASE                into the kernel by netlink, then read back and compared
 *   nft_load bytes CASE               the messages that load it (the fuzz corpus is made of them)
 *   nft_load dump FAMILY TABLE        our text of what the kernel holds
 *   nft_load bulk N [whole]           table `inet bulk` with N elements; prints transactions and µs
 *   nft_load pods N                   elements of N routed pods in one call; prints transactions
 *   nft_load churn N                  adds and deletes one element N times; prints µs each
 *   nft_load audit                    the node's ruleset: loaded where `load node` was not; prints
 *                                     findings, repairs, prints findings again
 *   nft_load suspect                  the same as the agent's audit does it: declarations and rules, and
 *                                     of elements those that a comparison finds suspicious
 *   nft_load watch                    prints foreign changes of tables `fairlead`, one line each;
 *                                     "own" on standard input makes a change of our own
 *   nft_load pod add|del IFNAME routed|bridged MAC ADDR...
 *   nft_load node CIDR...             the node's ruleset with these pools, all natOutgoing, no pods
 *   nft_load refused                  a batch that the kernel refuses: prints the error */
#include "core/nft/decode.h"
#include "core/nft/diff.h"
#include "core/nft/encode.h"
#include "core/nft/text.h"
#include "nft_cases.h"
#include "sys/nfnl.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int die(const struct err *e)
{
	fprintf(stderr, "nft_load: %s\n", e->text);
	return 1;
}

static int make(const char *name, struct nft_ruleset *rs, struct err *e)
{
	char *end;
	unsigned long seed = strtoul(name, &end, 10);

	if (*name && !*end) {
		nft_random(rs, (unsigned)seed);
		return nft_check(rs, e);
	}
	for (const struct nft_case *c = nft_cases; c->name; c++)
		if (!strcmp(c->name, name)) {
			c->make(rs);
			return nft_check(rs, e);
		}
	return err_set(e, -ENOENT, "no case %s", name);
}

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static int print_findings(const struct nft_ruleset *want, const struct nft_ruleset *have,
			  struct arena *a, struct nft_diff *d, struct err *e)
{
	struct buf text = { 0 };
	int r = nft_diff(d, want, have, a, e);

	for (uint32_t i = 0; !r && i < d->n_findings; i++) {
		nft_finding_str(&d->findings[i], &text);
		buf_puts(&text, "\n");
	}
	for (uint32_t i = 0; !r && i < d->ops.n; i++) {
		buf_puts(&text, "  ");
		nft_op_str(&d->ops.v[i], &text);
		buf_puts(&text, "\n");
	}
	printf("%s", text.v ? text.v : "");
	buf_fini(&text);
	return r;
}

static int print_diff(struct nfnl *n, const struct nft_ruleset *want, struct arena *a,
		      struct nft_diff *d, struct err *e)
{
	struct nft_ruleset have;
	int r = 0;

	nft_ruleset_init(&have, a);
	for (uint32_t i = 0; !r && i < want->n; i++)
		r = nfnl_dump(n, want->tables[i]->family, want->tables[i]->name, true, &have, e);
	return r ? r : print_findings(want, &have, a, d, e);
}

/* The node's ruleset as the filter has it. */
static void filtered(const struct nft_filter *filter, struct arena *a, struct nft_ruleset *out)
{
	nft_ruleset_init(out, a);
	out->filter = filter;
	nft_build(out, nft_sample_input(), NULL);
}

static int find_doubts(struct nft_doubts *out, struct arena *a, struct err *e)
{
	struct nft_summary summary = { 0 };
	struct nfnl_comparison *c;
	struct nft_filter filter;
	struct nft_ruleset rs;

	nft_summary_filter(&summary, &filter);
	filtered(&filter, a, &rs);
	c = nfnl_comparison_start(NFT_TABLE, &summary, NULL, e);
	return c ? nfnl_comparison_end(c, out, e) : e->code;
}

static int suspect(struct nfnl *n, struct arena *a, struct nft_diff *d, struct err *e)
{
	static const uint8_t families[] = { NFPROTO_INET, NFPROTO_ARP, NFPROTO_BRIDGE };
	struct nft_doubts doubts = { 0 };
	struct nft_ruleset want, have;
	struct nft_wish w = { &doubts, &have };
	struct nft_filter filter;
	int r = find_doubts(&doubts, a, e);

	nft_doubts_sort(&doubts);
	nft_wish_filter(&w, &filter);
	nft_ruleset_init(&have, a);
	for (uint32_t i = 0; !r && i < sizeof(families); i++)
		r = nfnl_look(n, families[i], NFT_TABLE, &doubts, &have, e);
	filtered(&filter, a, &want);
	if (!r)
		r = nft_diff(d, &want, &have, a, e);
	if (!r && d->anew) {
		w.anew = d->anew;
		filtered(&filter, a, &want);
	}
	if (!r)
		r = print_findings(&want, &have, a, d, e);
	nft_doubts_fini(&doubts);
	return r;
}

static int suspicions(struct nfnl *n, struct arena *a, struct err *e)
{
	struct nft_diff d;
	int r = suspect(n, a, &d, e);

	if (!r)
		r = nfnl_commit(n, &d.ops, NULL, e);
	printf("--\n");
	return r ? r : suspect(n, a, &d, e);
}

static int load(struct nfnl *n, const struct nft_ruleset *rs, struct arena *a, struct err *e)
{
	struct nft_diff d;
	struct nft_ops ops;
	int r;

	nft_ops_init(&ops, a);
	nft_ops_load(&ops, rs, true);
	r = nfnl_commit(n, &ops, NULL, e);
	if (!r)
		r = print_diff(n, rs, a, &d, e);
	if (!r && d.n_findings)
		return err_set(e, -EIO, "read back is not what was sent");
	return r;
}

static int bytes(const struct nft_ruleset *rs, struct arena *a, struct err *e)
{
	struct buf out = { 0 };
	struct nft_ops ops;
	int r = 0;

	nft_ops_init(&ops, a);
	nft_ops_load(&ops, rs, false);
	for (uint32_t i = 0; !r && i < ops.n; i++) {
		uint32_t from = 0, n;

		r = nft_encode(&ops.v[i], &from, &out, NFT_MSG_MAX, 1, &n, e);
	}
	if (!r && fwrite(out.v, 1, out.n, stdout) != out.n)
		r = err_set(e, -EIO, "short write");
	buf_fini(&out);
	return r;
}

static int audit(struct nfnl *n, struct arena *a, struct err *e)
{
	struct nft_ruleset rs;
	struct nft_diff d;
	int r;

	nft_ruleset_init(&rs, a);
	r = make("node", &rs, e);
	if (!r)
		r = print_diff(n, &rs, a, &d, e);
	if (!r)
		r = nfnl_commit(n, &d.ops, NULL, e);
	printf("--\n");
	return r ? r : print_diff(n, &rs, a, &d, e);
}

static int bulk(struct nfnl *n, uint32_t count, bool whole, struct arena *a, struct err *e)
{
	struct nfnl_result res;
	struct nft_ruleset rs;
	struct nft_ops ops;
	double start;
	int r;

	nft_ruleset_init(&rs, a);
	nft_bulk(&rs, count);
	nft_ops_init(&ops, a);
	nft_ops_load(&ops, &rs, true);
	for (uint32_t i = 0; i < ops.n && !whole; i++)
		ops.v[i].step |= ops.v[i].verb == NFTV_ADD_ELEMS;
	start = now_us();
	r = nfnl_commit(n, &ops, &res, e);
	printf("%u %.0f\n", res.transactions, now_us() - start);
	return r;
}

static int churn(struct nfnl *n, unsigned count, struct arena *a, struct err *e)
{
	struct nft_ruleset rs;
	struct nft_ops ops;
	uint8_t key[8] = { 11, 0, 0, 1, 0, 80 };
	double start = now_us();
	int r = 0;

	nft_ruleset_init(&rs, a);
	nft_bulk(&rs, 0);
	for (unsigned i = 0; !r && i < 2 * count; i++) {
		nft_ops_init(&ops, a);
		nft_ops_elem(&ops, i % 2 ? NFTV_DEL_ELEMS : NFTV_ADD_ELEMS, rs.tables[0]->sets[0],
			     &(struct nft_elem){ .key = key });
		r = nfnl_commit(n, &ops, NULL, e);
	}
	printf("%.2f\n", (now_us() - start) / (2 * count));
	return r;
}

static void on_notice(const struct nft_notice *x, void *arg)
{
	printf("%s %u %s %s\n", x->msg == NFT_MSG_NEWGEN ? "gen" : "change", x->family,
	       x->table[0] ? x->table : "-", x->comm[0] ? x->comm : "-");
	fflush(stdout);
}

static int own_change(struct nfnl *n, struct err *e)
{
	struct arena a;
	struct nft_ruleset rs;
	struct nft_ops ops;
	int r;

	arena_init(&a, 0);
	nft_ruleset_init(&rs, &a);
	nft_chain_add(nft_table_add(&rs, NFPROTO_INET, NFT_TABLE), "own");
	nft_ops_init(&ops, &a);
	nft_ops_load(&ops, &rs, false);
	r = nfnl_commit(n, &ops, NULL, e);
	printf("own %d\n", r);
	fflush(stdout);
	arena_fini(&a);
	return r;
}

static int watch(struct nfnl *n, struct err *e)
{
	struct nfnl_watch *w;
	int r = nfnl_watch_open(&w, n, e);
	char line[16];

	if (r)
		return r;
	printf("ready\n");
	fflush(stdout);
	while (r >= 0) {
		struct pollfd p[2] = { { 0, POLLIN, 0 }, { nfnl_watch_fd(w), POLLIN, 0 } };

		if (poll(p, 2, -1) < 0)
			break;
		if (p[1].revents)
			r = nfnl_watch_read(w, NFT_TABLE, on_notice, NULL, e);
		if (p[0].revents) {
			if (!fgets(line, sizeof(line), stdin))
				break;
			r = own_change(n, e);
		}
	}
	nfnl_watch_close(w);
	return r < 0 ? r : 0;
}

static int pod(struct nfnl *n, char **argv, struct arena *a, struct err *e)
{
	struct nft_pod p = { .ifname = argv[1],
			     .attachment = strcmp(argv[2], "routed") ? NFT_BRIDGED : NFT_ROUTED };
	struct ipaddr addrs[8];
	struct nft_ops ops;
	int r = mac_parse(argv[3], &p.mac);

	for (; !r && argv[4 + p.n_addrs] && p.n_addrs < 8; p.n_addrs++)
		r = addr_parse(argv[4 + p.n_addrs], &addrs[p.n_addrs]);
	if (r)
		return err_set(e, r, "bad address");
	p.addrs = addrs;
	nft_ops_init(&ops, a);
	r = nft_pod_elems(&ops, &p, !strcmp(argv[0], "add"), e);
	return r ? r : nfnl_commit(n, &ops, NULL, e);
}

static int pods(struct nfnl *n, unsigned count, struct arena *a, struct err *e)
{
	struct nfnl_result res;
	struct nft_ops ops;
	int r = 0;

	nft_ops_init(&ops, a);
	for (unsigned i = 0; !r && i < count; i++) {
		const struct ipaddr addrs[] = { addr_v4(0x0af40000 + i),
						{ AF_INET6, { 0xfd, [14] = i >> 8, i & 255 } } };
		char name[16];
		struct nft_pod p = { .ifname = name, .addrs = addrs, .n_addrs = 2 };

		snprintf(name, sizeof(name), "fl%05u", i % 100000);
		p.mac = (struct macaddr){ { 2, 0, 0, 0, i >> 8, i & 255 } };
		r = nft_pod_elems(&ops, &p, true, e);
	}
	if (!r)
		r = nfnl_commit(n, &ops, &res, e);
	printf("%u\n", res.transactions);
	return r;
}

static int node(struct nfnl *n, char **argv, struct arena *a, struct err *e)
{
	struct nft_pool pools[8];
	struct nft_input in = { .pools = pools };
	struct nft_ruleset rs;
	struct nft_ops ops;
	int r = 0;

	for (; !r && argv[in.n_pools] && in.n_pools < 8; in.n_pools++) {
		pools[in.n_pools].nat_outgoing = true;
		r = prefix_parse(argv[in.n_pools], &pools[in.n_pools].cidr);
	}
	if (r)
		return err_set(e, r, "bad CIDR");
	nft_ruleset_init(&rs, a);
	r = nft_build(&rs, &in, e);
	if (r)
		return r;
	nft_ops_init(&ops, a);
	nft_ops_load(&ops, &rs, true);
	return nfnl_commit(n, &ops, NULL, e);
}

static int refused(struct nfnl *n, struct arena *a, struct err *e)
{
	const struct nft_pod *p = nft_sample_input()->pods;
	struct nfnl_result res;
	struct nft_ops ops;
	int r;

	nft_ops_init(&ops, a);
	r = nft_pod_elems(&ops, p, true, e);
	if (r)
		return r;
	nft_ops_step(&ops);
	r = nft_pod_elems(&ops, &p[1], false, e);
	if (!r)
		r = nfnl_commit(n, &ops, &res, e);
	printf("%d op %d transactions %u done %u: %s\n", r, res.failed_op, res.transactions,
	       res.done, r ? e->text : "");
	return 0;
}

static int text(const struct nft_ruleset *rs)
{
	struct buf out = { 0 };

	nft_text(rs, &out);
	printf("%s", out.v ? out.v : "");
	buf_fini(&out);
	return 0;
}

static int family(const char *s)
{
	static const struct {
		const char *name;
		int family;
	} v[] = { { "inet", NFPROTO_INET },     { "ip", NFPROTO_IPV4 },
		  { "ip6", NFPROTO_IPV6 },      { "arp", NFPROTO_ARP },
		  { "bridge", NFPROTO_BRIDGE }, { "netdev", NFPROTO_NETDEV } };

	for (unsigned i = 0; i < sizeof(v) / sizeof(v[0]); i++)
		if (!strcmp(v[i].name, s))
			return v[i].family;
	return 0;
}

static int run(struct nfnl *n, int argc, char **argv, struct arena *a, struct err *e)
{
	const char *verb = argv[1], *arg = argc > 2 ? argv[2] : "";
	struct nft_ruleset rs;
	int r = 0;

	nft_ruleset_init(&rs, a);
	if (!strcmp(verb, "cases")) {
		for (const struct nft_case *c = nft_cases; c->name; c++)
			printf("%s\n", c->name);
		return 0;
	}
	if (!strcmp(verb, "text")) {
		r = make(arg, &rs, e);
		return r ? r : text(&rs);
	}
	if (!strcmp(verb, "load")) {
		r = make(arg, &rs, e);
		return r ? r : load(n, &rs, a, e);
	}
	if (!strcmp(verb, "bytes")) {
		r = make(arg, &rs, e);
		return r ? r : bytes(&rs, a, e);
	}
	if (!strcmp(verb, "dump") && argc == 4) {
		r = nfnl_dump(n, (uint8_t)family(arg), argv[3], true, &rs, e);
		return r ? r : text(&rs);
	}
	if (!strcmp(verb, "bulk"))
		return bulk(n, (uint32_t)atoi(arg), argc > 3, a, e);
	if (!strcmp(verb, "pods"))
		return pods(n, (unsigned)atoi(arg), a, e);
	if (!strcmp(verb, "churn"))
		return churn(n, (unsigned)atoi(arg), a, e);
	if (!strcmp(verb, "audit"))
		return audit(n, a, e);
	if (!strcmp(verb, "suspect"))
		return suspicions(n, a, e);
	if (!strcmp(verb, "watch"))
		return watch(n, e);
	if (!strcmp(verb, "pod") && argc > 6)
		return pod(n, argv + 2, a, e);
	if (!strcmp(verb, "node"))
		return node(n, argv + 2, a, e);
	if (!strcmp(verb, "refused"))
		return refused(n, a, e);
	return err_set(e, -EINVAL, "usage: see the head of nft_load.c");
}

int main(int argc, char **argv)
{
	struct err e = { 0 };
	struct nfnl *n;
	struct arena a;
	int r;

	if (argc < 2)
		return 2;
	if (nfnl_open(&n, &e))
		return die(&e);
	arena_init(&a, 0);
	r = run(n, argc, argv, &a, &e);
	arena_fini(&a);
	nfnl_close(n);
	return r ? die(&e) : 0;
}
