/* SPDX-License-Identifier: Apache-2.0 */
/* ctl.sock: what `fairlead` asks of this node. A REC_CTL_REQUEST is answered with rows of named
 * tables and an end; docs/architecture.md lists the verbs. */
#pragma once
#include "daemon/agent.h"
#include "daemon/listener.h"

int agent_ctl_open(struct agent *a, struct err *e);
void agent_ctl_close(struct agent *a);

/* ---- inside of the control server */

#define CTL_COLS 24

struct ctl_call {
	struct client client; /* first */
	struct agent *agent;
	struct arena arena;
	struct rec_ctl_request req;
	struct rec_ctl_row row; /* being filled */
	struct strmap_entry cols[CTL_COLS];
	/* Of a verb that answers later: the client has gone, with or without its answer. */
	void (*closed)(struct ctl_call *c);
	void *state; /* of such a verb */
};

#define CTL_LATER 1 /* of a verb: it calls ctl_end() */
void ctl_end(struct ctl_call *c, int rc, const struct err *e);

/* One row: ctl_row(), ctl_col()…, ctl_send(). Values are copied. */
void ctl_row(struct ctl_call *c, const char *table);
void ctl_col(struct ctl_call *c, const char *key, const char *value); /* NULL, "": left out */
void ctl_num(struct ctl_call *c, const char *key, uint64_t n);
void ctl_flag(struct ctl_call *c, const char *key, bool on);
void ctl_addr(struct ctl_call *c, const char *key, const struct ipaddr *a); /* family 0: left out */
void ctl_prefix(struct ctl_call *c, const char *key, const struct prefix *p);
void ctl_send(struct ctl_call *c);

/* agent_ctl_show.c, agent_ctl_ipam.c, agent_ctl_policy.c: 0, CTL_LATER, or -errno and why. */
int ctl_node_status(struct ctl_call *c, struct err *e);
int ctl_routes(struct ctl_call *c, struct err *e);
int ctl_ipam_show(struct ctl_call *c, struct err *e);
int ctl_ipam_check(struct ctl_call *c, struct err *e);
int ctl_ipam_release(struct ctl_call *c, struct err *e);
int ctl_policy_show(struct ctl_call *c, struct err *e);
