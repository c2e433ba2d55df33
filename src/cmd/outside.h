/* SPDX-License-Identifier: Apache-2.0 */
/* `outside`: the host of a lab that is no node and no pod, as an end of `why` and `trace`. It has no object in the store; its addresses are
 * the lab's to tell. */
#pragma once
#include "cmd/cmd.h"
#include "lab/world.h"

struct outside {
	struct world world;                /* loaded only where it takes part */
	const struct world_member *sender; /* NULL: another one sends */
};

/* What of `from` and `to` is "outside", "outside:PORT", becomes its address of the other end's family (IPv4 where that may be either);
 * else they stay. 0, or the exit code, having said why. */
int outside_name(struct cmd_ctx *ctx, const char **from, const char **to, struct outside *out);
