/* SPDX-License-Identifier: Apache-2.0 */
/* nftables transport: batches out, dumps of our own tables in, notices of changes by others.
 *
 * Works in the network namespace in which the calling thread opened the socket. Blocking calls;
 * the kernel answers a batch before sendmsg() returns, so that they never wait long. No other
 * table than the named ones is read. Measured: one element in a batch of its own 4–5 µs, 100 000
 * in chunks 80 ms, a batch that fails 8 ms (the abort waits for RCU): never send what may fail. */
#pragma once
#include "base/err.h"
#include "core/nft/decode.h"
#include "core/nft/ops.h"
#include "core/nft/summary.h"

struct nfnl;

/* Opens in the current namespace; *out is freed by nfnl_close() (NULL is fine). */
int nfnl_open(struct nfnl **out, struct err *e);
void nfnl_close(struct nfnl *n);
uint32_t nfnl_portid(const struct nfnl *n);

struct nfnl_result {
	uint32_t transactions; /* that were committed */
	uint32_t done;         /* ops whose transactions were committed */
	int failed_op;         /* index of the op that the kernel refused, -1: none */
};

/* Sends ops, cut into transactions at their step marks so that each fits into the socket's
 * default buffer; ops without a mark at their end form the last one. A transaction that fails
 * leaves the kernel as before it, and nothing after it is sent. On failure `e` names op and
 * kernel error; `res` (may be NULL) is always set. A step that is larger than the buffer raises
 * the buffer, with CAP_NET_ADMIN, else -EMSGSIZE. */
int nfnl_commit(struct nfnl *n, const struct nft_ops *ops, struct nfnl_result *res, struct err *e);

/* Reads table `family name` into `rs` (adds to what is there). A table that does not exist is
 * no error. Repeats while the ruleset changes under the dump (at most some times: -EAGAIN).
 * Just after a bulk load the kernel's hash tables still grow, and a walk may leave elements out
 * that are there: whoever counts findings looks a second time.
 * `elements` false leaves the elements of sets out. */
int nfnl_dump(struct nfnl *n, uint8_t family, const char *table, bool elements,
	      struct nft_ruleset *rs, struct err *e);

/* The same of a table's declarations and rules, of whole sets of intervals, and of the elements that are in
 * doubt (sorted). */
int nfnl_look(struct nfnl *n, uint8_t family, const char *table, const struct nft_doubts *doubts,
	      struct nft_ruleset *rs, struct err *e);

/* One chain's rules, for their counters: what a rule looks up in sets stays opaque. A chain that is not there
 * has none. In `a`. */
int nfnl_dump_chain(struct nfnl *n, uint8_t family, const char *table, const char *chain,
		    struct nft_chain **out, struct arena *a, struct err *e);

/* ---- all elements, held against a summary of what is wanted (core/nft/summary.h) */

/* Adds to `out` what seems to differ. The ruleset may change meanwhile. A set that is not there has
 * no doubts. 0, -ENOMEM or another failure. */
int nfnl_compare(struct nfnl *n, const char *table, struct nft_summary *want,
		 struct nft_doubts *out, struct err *e);

/* The same in a thread, over *spare, which it takes and, where nothing failed, leaves there again (ctnl.h says why it
 * is worth keeping); NULL in it: over a socket of its own. `spare` may be NULL. */
struct nfnl_comparison;

/* Takes `want`, which is empty afterwards, if only by a failure (NULL). `table` must stay. */
struct nfnl_comparison *nfnl_comparison_start(const char *table, struct nft_summary *want,
					      struct nfnl **spare, struct err *e);
int nfnl_comparison_fd(const struct nfnl_comparison *c); /* readable: it has ended */
/* Waits for the end and frees it; `out` gets the doubts. NULL: nobody wants to know, it ends now. */
int nfnl_comparison_end(struct nfnl_comparison *c, struct nft_doubts *out, struct err *e);

/* ---- notices: a second socket, so that a flood of them never meets a batch's answers */

struct nfnl_watch;

/* Subscribes to changes of nftables in the current namespace that `own` (may be NULL) did not
 * make: a socket filter drops our own before they cost anything. */
int nfnl_watch_open(struct nfnl_watch **out, const struct nfnl *own, struct err *e);
void nfnl_watch_close(struct nfnl_watch *w);
int nfnl_watch_fd(const struct nfnl_watch *w); /* readable: call nfnl_watch_read() */

/* Reads what is there without blocking. `table`: every change of a table of this name in any
 * family is handed to `fn`, and the NFT_MSG_NEWGEN that closes such a transaction (it names the
 * program that did it). Returns the number of notices handed out, or -ENOBUFS when some were lost (audit), or another negative errno. */
int nfnl_watch_read(struct nfnl_watch *w, const char *table,
		    void (*fn)(const struct nft_notice *, void *), void *arg, struct err *e);
