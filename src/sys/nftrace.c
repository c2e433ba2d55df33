// SPDX-License-Identifier: Apache-2.0
/* nftrace: see nftrace.h. Two sockets: one listens, and listens before the table is there; the other
 * owns the table and carries dumps. So a flood of events never meets an answer. The kernel sends each
 * event as a datagram of its own, hence the socket's count of drops is one of events. */
#include "sys/nftrace.h"
#include "sys/netns.h"
#include "sys/nfnl.h"
#include "sys/nl.h"

#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/sock_diag.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

struct nftrace {
	struct nl *events;
	struct nfnl *rules;
	char table[32];
};

static int open_rules(void *arg, struct err *e)
{
	struct nftrace *t = arg;

	return nfnl_open(&t->rules, e);
}

/* What to trace: flows, or what bears the signature. */
struct wanted {
	const struct nft_trace_flow *v;
	size_t n;
	const struct nft_trace_signature *signature;
};

static int put_table(struct nftrace *t, const struct wanted *w, struct err *e)
{
	struct nft_ruleset rs;
	struct nft_ops ops;
	struct arena a;
	int rc;

	snprintf(t->table, sizeof(t->table), NFT_TRACE_TABLE "%u", nfnl_portid(t->rules));
	arena_init(&a, 0);
	nft_ruleset_init(&rs, &a);
	if (w->signature)
		nft_trace_signature_table(&rs, t->table, w->signature);
	else
		nft_trace_table(&rs, t->table, w->v, w->n);
	nft_ops_init(&ops, &a);
	nft_ops_load(&ops, &rs, false);
	rc = nft_check(&rs, e);
	if (!rc)
		rc = nfnl_commit(t->rules, &ops, NULL, e);
	arena_fini(&a);
	return rc;
}

static int start(struct nftrace *t, int netns, const struct wanted *w, struct err *e)
{
	int rc;

	t->events = nl_open_in(netns, NETLINK_NETFILTER, e);
	if (!t->events)
		return -EIO;
	rc = nl_join(t->events, NFNLGRP_NFTRACE, e);
	if (!rc)
		rc = netns_do(netns, open_rules, t, e);
	return rc ? rc : put_table(t, w, e);
}

static int open_wanted(int netns, const struct wanted *w, struct nftrace **out, struct err *e)
{
	struct nftrace *t = calloc(1, sizeof(*t));
	int rc;

	if (!t)
		return err_sys(e, -ENOMEM, "nftables trace");
	rc = start(t, netns, w, e);
	if (rc)
		nftrace_close(t);
	else
		*out = t;
	return rc;
}

int nftrace_open(int netns, const struct nft_trace_flow *v, size_t n, struct nftrace **out,
		 struct err *e)
{
	return open_wanted(netns, &(struct wanted){ .v = v, .n = n }, out, e);
}

int nftrace_open_signature(int netns, const struct nft_trace_signature *s, struct nftrace **out,
			   struct err *e)
{
	return open_wanted(netns, &(struct wanted){ .signature = s }, out, e);
}

void nftrace_close(struct nftrace *t)
{
	if (!t)
		return;
	nfnl_close(t->rules);
	nl_close(t->events);
	free(t);
}

int nftrace_fd(const struct nftrace *t)
{
	return nl_fd(t->events);
}

const char *nftrace_table(const struct nftrace *t)
{
	return t->table;
}

struct nfnl *nftrace_nfnl(struct nftrace *t)
{
	return t->rules;
}

struct reading {
	nftrace_fn fn;
	void *arg;
	int n;
};

static void on_notice(void *arg, const struct nlmsghdr *nlh)
{
	struct reading *r = arg;
	struct nft_trace x;

	if (nft_trace_decode(nlh, &x, NULL))
		return;
	r->fn(r->arg, &x);
	r->n++;
}

int nftrace_read(struct nftrace *t, nftrace_fn fn, void *arg, struct err *e)
{
	struct reading r = { fn, arg, 0 };
	bool lost = false; /* nftrace_lost() knows how many */
	int rc = nl_notices(t->events, on_notice, &r, &lost, e);

	return rc ? rc : r.n;
}

uint32_t nftrace_lost(const struct nftrace *t)
{
	uint32_t v[SK_MEMINFO_VARS] = { 0 };
	socklen_t n = sizeof(v);

	return getsockopt(nl_fd(t->events), SOL_SOCKET, SO_MEMINFO, v, &n) ? 0
									   : v[SK_MEMINFO_DROPS];
}
