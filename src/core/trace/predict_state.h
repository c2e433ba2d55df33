/* SPDX-License-Identifier: Apache-2.0 */
/* Within this room: a prediction's beginning (predict.c), its walk (predict_walk.c), what nodes decide on it
 * (predict_judge.c), and how it is written down (predict_path.c). */
#pragma once
#include "core/trace/predict.h"
#include "core/trace/ways.h"

#define PATH_NODES 8 /* that one packet visits; more is a circle */

/* What a node did to the packet's ends, and will undo for the answer. */
struct path_change {
	const char *node;
	struct story_head came, sent;
};

/* One story as far as it is told. */
struct path {
	struct story story;
	uint32_t cap; /* of its hops */
	struct story_head head;
	uint8_t direction;                   /* enum story_direction */
	bool likely;                         /* so is all that comes */
	const struct svc_endpoint *endpoint; /* that a Service chose; NULL: none did */
	struct path_change changes[PATH_NODES];
	uint32_t n_changes, visits;
};

/* The next hop, with the path's direction and head. NULL: no memory. */
struct story_hop *path_hop(struct path *w, enum story_step step, const char *node, struct arena *a);
/* The same in a pod's namespace. */
struct story_hop *path_pod_hop(struct path *w, enum story_step step, const char *node,
			       const struct pod *pod, const struct story_view *view,
			       struct arena *a);
/* Changes the head as the last hop did. */
void path_become(struct path *w, struct story_hop *h, const struct story_head *to);
/* A copy that goes on by itself. */
bool path_fork(const struct path *w, struct path *out, struct arena *a);
/* The packet ends here. */
void path_end(struct path *w, enum story_step step, const char *node, struct story_by by,
	      const char *why, struct arena *a);
/* The node made `sent` of what came in as `came`. */
void path_note_change(struct path *w, const char *node, const struct story_head *came);
/* What the node did to the request whose answer this is; NULL: nothing. `by`: who did it. */
const struct path_change *path_changed(const struct path *w, const char *node, struct story_by *by);
struct story_by path_by_pod(const struct pod *pod);

struct predictor {
	const struct story_view *view;
	const struct story_question *q;
	struct arena *a;
	struct err *e;
	int rc;          /* the first failure; nothing goes on after it */
	bool neighbours; /* assumed of nodes, where nobody knows */
	bool doubted;    /* and it made a difference */
	struct place *places[PATH_NODES];
	uint32_t n_places;
	struct stories out;
	uint32_t cap;
};

#define PREDICT_OUTSIDE "outside" /* in the place of a node's name */

/* The node as it plans, made once; NULL: it failed. */
struct place *predict_place(struct predictor *p, const char *node);
/* Out of the pod's namespace, and into the node. */
void predict_leave_pod(struct predictor *p, struct path *w, const char *node,
		       const struct pod *pod);
/* `out_of`: whose link it came by; NULL: the uplink. */
void predict_enter_node(struct predictor *p, struct path *w, const char *node,
			const struct pod *out_of);
/* What becomes of it there and, to the end of all its stories, after. `from_self`: the node sends it itself. */
void predict_visit(struct predictor *p, struct path *w, const char *node, bool from_self);

/* True: something failed, now or before. */
bool predict_fail(struct predictor *p, int rc);
/* The story is told to its end. */
void predict_tell(struct predictor *p, const struct path *w);
/* It ends here, by whom and why. */
void predict_end(struct predictor *p, struct path *w, enum story_step step, const char *node,
		 struct story_by by, const char *why);
/* Is it longer than what goes this way, and may not be split? Then it ends there: its own kernel refuses to send
 * it, another one drops it. `device`: in words, or NULL. */
bool predict_too_big(struct predictor *p, struct path *w, const char *node, uint32_t mtu,
		     const char *device, bool own);
/* Who has the address; NULL: no pod. */
const struct pod *predict_pod(const struct predictor *p, const struct ipaddr *ip);
/* False: it was denied, and ended. */
bool predict_passes(struct predictor *p, struct path *w, const struct place *at,
		    const struct way *way);
/* The same of what comes to the node itself: policies judge who asks its DNS. */
bool predict_passes_dns(struct predictor *p, struct path *w, const struct place *at);
/* `choice`: of a Service that sent it where it goes now, or NULL. */
void predict_masquerade(struct predictor *p, struct path *w, const struct place *at,
			const struct way *way, const struct story_choice *choice);
