// SPDX-License-Identifier: Apache-2.0
/* The reader of nftables' trace events in the current namespace, for tests in which nft watches the
 * same packets.
 *
 *   nftrace PROTO DPORT ADDR...     traces flows to these; says "ready TABLE", then a JSON object per event,
 *                                   with the rule's text and comment where it is in the ruleset, until
 *                                   standard input ends; then {"lost": N}
 *   nftrace deaf PROTO DPORT ADDR   reads nothing until standard input ends
 *   nftrace bytes PROTO DPORT ADDR  the kernel's messages (the fuzz corpus is made of them)
 */
#include "sys/nftrace.h"
#include "base/buf.h"
#include "core/nft/text.h"
#include "sys/netns.h"
#include "sys/nfnl.h"
#include "sys/nl.h"

#include <linux/netfilter/nfnetlink.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FLOWS 8

struct seen {
	struct nftrace *t;
	struct nft_ruleset rs;
	struct arena a;
};

static int die(const struct err *e)
{
	fprintf(stderr, "nftrace: %s\n", e->text);
	return 1;
}

/* Once per table, as long as it does not change. */
static void know_table(struct seen *s, const struct nft_trace *x)
{
	struct err e = { 0 };

	if (!nft_table_get(&s->rs, x->family, x->table) &&
	    nfnl_dump(nftrace_nfnl(s->t), x->family, x->table, false, &s->rs, &e))
		exit(die(&e));
}

static void put_str(struct buf *b, const char *name, const char *value)
{
	buf_printf(b, ", \"%s\": ", name);
	buf_json_str(b, value);
}

static void put_packet(struct buf *b, const struct nft_trace *x)
{
	struct nft_trace_flow p;
	char text[ADDR_TEXT];

	if (!nft_trace_packet(x, &p))
		return;
	put_str(b, "saddr", addr_str(&p.src, text));
	put_str(b, "daddr", addr_str(&p.dst, text));
	buf_printf(b, ", \"proto\": %u, \"sport\": %u, \"dport\": %u", p.proto, p.sport, p.dport);
}

static void on_event(void *arg, const struct nft_trace *x)
{
	static const char *const types[] = { [NFT_TRACETYPE_POLICY] = "policy",
					     [NFT_TRACETYPE_RETURN] = "return",
					     [NFT_TRACETYPE_RULE] = "rule" };
	struct seen *s = arg;
	struct nft_verdict v = { x->verdict, x->to };
	const struct nft_rule *r;
	struct buf b = { 0 }, text = { 0 };

	know_table(s, x);
	r = nft_trace_rule(&s->rs, x);
	text_verdict(&text, &v);
	buf_printf(&b, "{\"id\": %u, \"type\": \"%s\", \"family\": %u, \"nfproto\": %u", x->id,
		   types[x->type], x->family, x->nfproto);
	put_str(&b, "table", x->table);
	put_str(&b, "chain", x->chain);
	put_str(&b, "verdict", x->type == NFT_TRACETYPE_POLICY ? "" : text.v);
	buf_printf(&b,
		   ", \"handle\": %llu, \"policy\": %u, \"mark\": %u, \"iif\": %u, \"oif\": %u, "
		   "\"link\": %u, \"ct\": %u, \"ct_state\": %u, \"ct_status\": %u, \"reply\": %u",
		   (unsigned long long)x->rule, x->policy, x->mark, x->iif, x->oif, x->n_link,
		   x->has_ct, x->ct_state, x->ct_status, x->ct_reply);
	put_packet(&b, x);
	buf_clear(&text);
	if (r) {
		nft_text_rule(r, x->family, &text);
		put_str(&b, "rule", text.v);
		if (r->comment)
			put_str(&b, "comment", r->comment);
	}
	printf("%s}\n", b.v);
	buf_fini(&b);
	buf_fini(&text);
}

/* Until standard input ends; what came before that is still read. */
static int follow(struct seen *s, bool deaf, struct err *e)
{
	struct pollfd p[] = { { .fd = 0, .events = POLLIN },
			      { .fd = deaf ? -1 : nftrace_fd(s->t), .events = POLLIN } };
	int rc = 1;

	while (rc >= 0 && !p[0].revents && poll(p, 2, -1) > 0) {
		rc = deaf ? 0 : nftrace_read(s->t, on_event, s, e);
		fflush(stdout);
	}
	while (rc > 0)
		rc = nftrace_read(s->t, on_event, s, e);
	return rc;
}

static void write_message(void *arg, const struct nlmsghdr *nlh)
{
	fwrite(nlh, 1, MNL_ALIGN(nlh->nlmsg_len), stdout);
}

/* A second listener, beside the one that turned tracing on. */
static int write_bytes(struct err *e)
{
	struct nl *nl = nl_open(NETLINK_NETFILTER, e);
	int rc = nl ? nl_join(nl, NFNLGRP_NFTRACE, e) : -1;
	bool lost = false;
	char line[16];

	fprintf(stderr, "ready\n");
	while (!rc && fgets(line, sizeof(line), stdin))
		;
	if (!rc)
		rc = nl_notices(nl, write_message, NULL, &lost, e);
	nl_close(nl);
	return rc;
}

int main(int argc, char **argv)
{
	struct nft_trace_flow flows[FLOWS] = { 0 };
	const char *verb =
		argc > 1 && (!strcmp(argv[1], "deaf") || !strcmp(argv[1], "bytes")) ? argv[1] : "";
	struct seen s = { 0 };
	struct err e = { 0 };
	size_t n = 0;
	int netns, rc;

	argv += 1 + (*verb != 0);
	if (!argv[0] || !argv[1] || !argv[2])
		return fprintf(stderr, "see the first lines of nftrace.c\n"), 2;
	for (; argv[2 + n] && n < FLOWS; n++) {
		flows[n].proto = (uint8_t)atoi(argv[0]);
		flows[n].dport = (uint16_t)atoi(argv[1]);
		if (addr_parse(argv[2 + n], &flows[n].dst))
			return fprintf(stderr, "no address: %s\n", argv[2 + n]), 2;
	}
	netns = netns_self(&e);
	if (netns < 0 || nftrace_open(netns, flows, n, &s.t, &e))
		return die(&e);
	arena_init(&s.a, 0);
	nft_ruleset_init(&s.rs, &s.a);
	if (!strcmp(verb, "bytes")) {
		rc = write_bytes(&e);
	} else {
		printf("ready %s\n", nftrace_table(s.t));
		fflush(stdout);
		rc = follow(&s, *verb, &e);
		printf("{\"lost\": %u}\n", nftrace_lost(s.t));
	}
	nftrace_close(s.t);
	arena_fini(&s.a);
	close(netns);
	return rc ? die(&e) : 0;
}
