/* SPDX-License-Identifier: Apache-2.0 */
/* Role controller in six parts: who leads (controller.c), and what the leader does about
 * workloads (controller_work.c), about Services (controller_services.c) and their EndpointSlices (controller_slices.c) about what Nodes that
 * are gone left (controller_blocks.c) and about traces that nobody took back (controller_traces.c). */
#pragma once
#include "daemon/lease.h"
#include "daemon/mirror.h"
#include "daemon/report.h"
#include "daemon/role.h"

struct work;   /* the plan under way */
struct blocks; /* whose Node is missing */
struct services;
struct slices;
struct traces;

struct controller {
	struct role *role;
	struct mirror *mirror;
	struct lease_state lease;
	uint64_t asked_rev; /* of the lease when its write in flight was begun */
	bool giving_up;     /* …which gives it up */
	bool led;           /* as last logged */
	bool incomplete;    /* as of the mirror's last sync */
	bool blind; /* a new stream's list is being taken: nothing is planned from the old one */
	ev_timer tick;
	struct work *work;
	struct blocks *blocks;
	struct services *services;
	struct slices *slices;
	struct traces *traces;
	struct report report;
};

/* ---- controller.c */

bool controller_leads(const struct controller *c);
/* Lets a part's timer ring in `seconds`, unless it rings sooner anyway. */
void controller_look_in(struct controller *c, ev_timer *timer, double seconds);

/* ---- controller_work.c */

int work_open(struct controller *c, struct err *e);
void work_close(struct controller *c);
/* The cluster changed, or we began to lead: plans soon. */
void work_wake(struct controller *c);
/* Everything up to this revision came through the mirror. */
void work_synced(struct controller *c, uint64_t revision);
void work_report(struct controller *c);

/* ---- controller_blocks.c */

int blocks_open(struct controller *c, struct err *e);
void blocks_close(struct controller *c);
/* Nothing was seen for a while. */
void blocks_blind(struct controller *c);
void blocks_synced(struct controller *c, const struct rec_sync *s);
void blocks_report(struct controller *c);

/* ---- controller_services.c */

int services_open(struct controller *c, struct err *e);
void services_close(struct controller *c);
void services_changed(struct controller *c, const struct object *old, const struct object *now);
/* What waits may perhaps be looked at now: the mirror is in sync, or we lead. */
void services_wake(struct controller *c);
void services_report(struct controller *c);

/* ---- controller_slices.c */

int slices_open(struct controller *c, struct err *e);
void slices_close(struct controller *c);
void slices_changed(struct controller *c, const struct object *old, const struct object *now);
void slices_wake(struct controller *c); /* we may look at what is marked */
void slices_all(struct controller *c);  /* what was marked is no longer enough */
/* Everything up to this revision came through the mirror. */
void slices_synced(struct controller *c, uint64_t revision);
void slices_report(struct controller *c);

/* ---- controller_traces.c */

int traces_open(struct controller *c, struct err *e);
void traces_close(struct controller *c);
void traces_report(struct controller *c);
