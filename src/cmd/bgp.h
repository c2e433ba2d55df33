/* SPDX-License-Identifier: Apache-2.0 */
/* What `fairlead bgp` and `fairlead node status` have in common: the sessions of speakers. */
#pragma once
#include "cmd/ctl.h"

/* Appends the peers of the speaker that runs beside an agent; none where none runs. */
int bgp_ask_beside(struct cmd_ctx *ctx, const struct ctl_agent *agent, json_t *peers,
		   struct err *e);
void bgp_print_peers(const json_t *peers); /* nothing where there are none */
bool bgp_all_up(const json_t *peers);
/* Until all speakers of ctx->lab have all of their sessions and what their peers know. 0, or CMD_PARTLY after a message that
 * names one that has not. */
int bgp_wait(struct cmd_ctx *ctx, double seconds);
