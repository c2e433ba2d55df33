/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the CNI server: a call, and what each verb does with it. */
#pragma once
#include "core/cni/message.h"
#include "daemon/agent.h"
#include "daemon/listener.h"

struct cni_call {
	struct client client; /* first */
	struct agent *agent;
	struct arena arena; /* of request and reply */
	struct cni_request req;
	int netns; /* -1: none came */
	ev_tstamp started;
	ev_timer deadline;
	bool waiting;   /* an ADD that is not answered yet */
	bool pod_known; /* its Pod was found, or it names none */
	bool taking;    /* core/ipam knows the request */
	char why[256];  /* what it waits for */
	uint64_t wired; /* the attachment, once made: only `reply` is outstanding */
	ev_tstamp settle_until;
	struct cni_reply reply;
	uint64_t round; /* of waking, so that each is woken once per round */
};

/* ---- agent_cni.c: answers and waiting */
void cni_answer(struct cni_call *c, const struct cni_reply *reply);
void cni_fail(struct cni_call *c, enum cni_code code, const char *msg);
/* cni_add() is called again when something changed, or cni_add_expired(). */
void cni_wait(struct cni_call *c);
struct cni_call *cni_waiting(struct agent *a, const struct cni_request *q);

/* ---- agent_cni_add.c */
void cni_add(struct cni_call *c);
void cni_add_expired(struct cni_call *c);
void cni_add_settle(struct cni_call *c);  /* answers, or sets the deadline to come again */
void cni_add_abandon(struct cni_call *c); /* the caller went away */

/* ---- agent_cni_verbs.c */
void cni_del(struct cni_call *c);
void cni_check(struct cni_call *c);
void cni_gc(struct cni_call *c);
void cni_status(struct cni_call *c);
const char *cni_verb_name(unsigned verb);
