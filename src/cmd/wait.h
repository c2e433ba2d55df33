/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for a change to be everywhere: every Node's agent has reported the revision, and the
 * pods that the change brought are Ready (or, after a deletion, gone). */
#pragma once
#include "model/cluster.h"
#include "store/store.h"

#define WAIT_DEFAULT 60.0 /* seconds */

struct wait_target {
	const struct kind *k;
	const char *ns, *name;
	bool deleted;
};

struct wait {
	const struct wait_target *targets;
	size_t n;
	uint64_t revision; /* of the last write */
	double seconds;
	/* What finds no address will find none later: not waited for once all else is there. */
	bool addresses_final;
};

/* Returns the exit code: 0, or 3 after a message that names what is missing. */
int wait_for(struct store *s, const struct wait *w);
