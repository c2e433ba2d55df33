/* SPDX-License-Identifier: Apache-2.0 */
/* What agent_bgp.c and agent_bgp_routes.c share: the stream's state and the tables. */
#pragma once
#include "daemon/agent.h"
#include "daemon/learned.h"
#include "daemon/origins.h"
#include "daemon/stream.h"

struct agent_bgp {
	struct agent *agent;
	struct learned_table *table;
	struct origins *origins;
	struct stream *stream;
	uint32_t number; /* of the stream, from 1 */
	bool complete;   /* it said that it had told everything */
	bool doubtful;   /* a record of it could not be taken: it sweeps nothing away */
	bool adopted, ready;
	ev_timer again;
	struct arena arena; /* of one record */
};

/* BGP's word on this prefix is another; `arg` is the struct agent_bgp. */
void agent_bgp_mark(void *arg, const struct prefix *p);
