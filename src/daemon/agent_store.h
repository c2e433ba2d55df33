/* SPDX-License-Identifier: Apache-2.0 */
/* The store as the agent sees it: a mirror (daemon/mirror.h) of the kinds that a node needs, the
 * way of a change from there into the planner and the address book, and writes back. */
#pragma once
#include "daemon/agent.h"

int agent_store_open(struct agent *a, struct err *e);
void agent_store_close(struct agent *a);
void agent_store_join(struct agent *a, int fd); /* takes the descriptor */

const struct cluster *agent_store_cluster(const struct agent *a);
bool agent_store_known(const struct agent *a); /* seen once, or as watch had kept it on disk */
bool agent_store_live(const struct agent *a);  /* in sync, and not stale */
bool agent_store_adopted(
	const struct agent *a); /* it was live, so that the kernel may lose things */
/* Of the last sync, and of the last one that the kernel holds (0: none). */
int64_t agent_store_revision(const struct agent *a);
int64_t agent_store_observed(const struct agent *a);
/* An audit brought right what the kernel had refused. */
void agent_store_in_kernel(struct agent *a);

/* What became of a write: 0 and the new revision, or a negative errno; -EPIPE: the stream broke
 * before the answer, so it may have happened. */
typedef void agent_written_fn(struct agent *a, void *arg, int code, uint64_t rev, const char *text);
/* `body`: the struct of w->kind, or NULL for a delete. On failure `fn` is not called. */
int agent_store_write(struct agent *a, const struct rec_write *w, const void *body,
		      agent_written_fn *fn, void *arg, struct err *e);
