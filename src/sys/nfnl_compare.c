/* SPDX-License-Identifier: Apache-2.0 */
/* All elements of a table against a summary of what is wanted. Elements are judged one by one as they
 * arrive and none is kept. That the ruleset changes under the dump is no matter here: whatever seems to
 * differ is only a doubt, and what another program changes meanwhile comes as a notice. In a
 * thread, as the kernel takes its time (nfnl_dump.c); it shares nothing with anybody until it has
 * ended, which its end of a socket pair says by closing. */
#include "sys/nfnl_state.h"

#include <errno.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct looking {
	struct nft_summary *want;
	uint32_t at;
	int rc;
};

static uint32_t wants(void *arg, const struct nft_set *s)
{
	return 1;
}

static bool keeps(void *arg, const struct nft_set *s, const struct nft_elem *e)
{
	struct looking *l = arg;

	if (!l->rc)
		l->rc = nft_summary_see(l->want, l->at, s, e);
	return false;
}

static int compare_set(struct nfnl *n, const char *table, struct looking *l, struct arena *a,
		       struct err *e)
{
	const struct nft_summary_set *x = &l->want->v[l->at];
	const struct nft_filter filter = { wants, keeps, l };
	struct nft_ruleset rs;
	int r;

	nft_ruleset_init(&rs, a);
	rs.filter = &filter;
	r = nfnl_set(n, x->family, table, x->name, &rs, e);
	if (r == -ENOENT)
		return 0;
	if (!r && !l->rc)
		l->rc = nft_summary_end(l->want, l->at);
	return !r && l->rc ? err_set(e, l->rc, "nftables: no memory to compare") : r;
}

int nfnl_compare(struct nfnl *n, const char *table, struct nft_summary *want,
		 struct nft_doubts *out, struct err *e)
{
	struct looking l = { .want = want };
	int r = 0;

	nft_summary_sort(want);
	for (; l.at < want->n && !r; l.at++) {
		struct arena a;

		arena_init(&a, 0);
		l.rc = nft_summary_begin(want, l.at, out);
		r = compare_set(n, table, &l, &a, e);
		arena_fini(&a);
	}
	return r;
}

/* ---- the thread */

struct nfnl_comparison {
	struct nfnl *nl, **spare;
	const char *table;
	struct nft_summary want;
	struct nft_doubts found;
	int in, out; /* ends of the pair: the reader's, the thread's */
	pthread_t thread;
	atomic_bool stop;
	bool ended; /* the thread, and is joined */
	int rc;
	struct err e;
};

static void *run(void *arg)
{
	struct nfnl_comparison *c = arg;

	c->rc = nfnl_compare(c->nl, c->table, &c->want, &c->found, &c->e);
	nft_summary_fini(&c->want);
	shutdown(c->out, SHUT_RDWR);
	return NULL;
}

static void free_comparison(struct nfnl_comparison *c)
{
	if (c->in >= 0)
		close(c->in);
	if (c->out >= 0)
		close(c->out);
	if (c->nl)
		c->nl->stop = NULL;
	if (c->spare && !*c->spare && c->ended && !c->rc)
		*c->spare = c->nl;
	else
		nfnl_close(c->nl);
	nft_summary_fini(&c->want);
	nft_doubts_fini(&c->found);
	free(c);
}

static int start(struct nfnl_comparison *c, struct err *e)
{
	int pair[2], rc = c->nl ? 0 : nfnl_open(&c->nl, e);

	if (rc)
		return rc;
	c->nl->stop = &c->stop;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, -errno, "nftables: comparison");
	c->in = pair[0];
	c->out = pair[1];
	rc = pthread_create(&c->thread, NULL, run, c);
	return rc ? err_sys(e, -rc, "nftables: comparison: no thread") : 0;
}

struct nfnl_comparison *nfnl_comparison_start(const char *table, struct nft_summary *want,
					      struct nfnl **spare, struct err *e)
{
	struct nfnl_comparison *c = calloc(1, sizeof(*c));

	if (!c) {
		nft_summary_fini(want);
		err_set(e, -ENOMEM, "no memory");
		return NULL;
	}
	c->table = table;
	c->want = *want;
	c->in = c->out = -1;
	*want = (struct nft_summary){ 0 };
	c->spare = spare;
	if (spare) {
		c->nl = *spare;
		*spare = NULL;
	}
	if (start(c, e)) {
		free_comparison(c);
		return NULL;
	}
	return c;
}

int nfnl_comparison_fd(const struct nfnl_comparison *c)
{
	return c->in;
}

int nfnl_comparison_end(struct nfnl_comparison *c, struct nft_doubts *out, struct err *e)
{
	int rc;

	if (!c)
		return 0;
	c->stop = !out;
	pthread_join(c->thread, NULL);
	c->ended = true;
	rc = c->rc ? err_set(e, c->rc, "%s", c->e.text) : 0;
	if (!rc && out && nft_doubts_move(&c->found, SIZE_MAX, out))
		rc = err_set(e, -ENOMEM, "no memory");
	free_comparison(c);
	return rc;
}
