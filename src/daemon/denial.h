/* SPDX-License-Identifier: Apache-2.0 */
/* One line of the deny log, and how many lines there may be. Pure. */
#pragma once
#include "base/buf.h"
#include "core/nft/logged.h"
#include "model/cluster.h"

/* Whose an address is: a pod's, a Node's (`ns` NULL), nobody's that is known (both NULL). */
struct denial_end {
	const char *ns, *name;
};

struct denial {
	const struct nft_logged *packet;
	enum policy_type type; /* the direction that denied */
	struct denial_end from, to;
	bool midway; /* as no connection lives that it belongs to */
	/* "shop/a, shop/b", or why the pod is closed; NULL: not known any more. */
	const char *policies;
};

/* "egress denied: tcp shop/web 10.244.1.5:43210 > shop/db 10.244.2.7:5432: default deny by shop/a", in
 * one line whatever the packet holds; a list that is too long for a log's line ends with ", and N more". */
void denial_line(const struct denial *d, struct buf *out);

/* So many lines a second, on average, and as many at once. */
struct denial_rate {
	uint32_t per_second; /* above 0 */
	double left, at;     /* lines that may be written at once, as of then; zero: all */
	uint64_t more;       /* that were not, since the caller last took this */
};

/* `now` in seconds of any clock. False: not this one, which is counted. */
bool denial_rate_take(struct denial_rate *r, double now);
