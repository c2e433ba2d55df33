/* SPDX-License-Identifier: Apache-2.0 */
/* lab-node, the kubelet's stand-in: it runs the pods that are bound to its node.
 *
 *   WAITING ─► BIRTH ─► ADDING ─► STARTING ─► UP          BIRTH: the pause process starts
 *      ▲          │        │         │        │            ADDING: CNI ADD runs
 *      │          └────────┴────┬────┴────────┘            STARTING: responder not ready yet
 *   BACKOFF ◄──── DELETING ◄── ENDING                      ENDING: containers are stopped
 *                     └─► gone, or OVER: ended for good    DELETING: CNI DEL runs
 *
 * What a failure or a deletion asks for is noted in `unwanted` and `failed`, and obeyed when
 * the step that runs has ended: a half-made sandbox is always undone by the same way down. */
#pragma once
#include "base/arena.h"
#include "lab/cnirun.h"
#include "lab/sandbox.h"
#include "store/store.h"

#include <ev.h>
#include <uthash.h>

#define PODRUN_IPS 8

enum podrun_state {
	RUN_WAITING,
	RUN_BIRTH,
	RUN_ADDING,
	RUN_STARTING,
	RUN_UP,
	RUN_ENDING,
	RUN_DELETING,
	RUN_BACKOFF,
	RUN_OVER,
};

struct kubelet;
struct podrun;

/* A process of a pod: one per container with a command, and one responder for the others. */
struct crun {
	struct podrun *pod;
	char *name;                /* "" for the responder */
	const struct container *c; /* into the pod's object; NULL for the responder */
	struct space proc;         /* pid 0: not running */
	ev_io watch;               /* pidfd of a process that an earlier lab-node started */
	ev_io ready;               /* the responder's answer */
	ev_timer again;
	double backoff;
	bool init;  /* an init container: its end is awaited before the next starts */
	bool ended; /* for good */
	int code;   /* exit code, or 128 + signal */
};

struct podrun {
	struct kubelet *k;
	char *key;           /* "NS/NAME" */
	struct object *obj;  /* the Pod; NULL for one that was found running */
	struct object *next; /* another Pod of this name: starts when this one is gone */
	uint8_t state;       /* enum podrun_state */
	bool unwanted, failed;
	bool no_address; /* …as the network had none */
	char ns[64], name[254], uid[64], id[65];
	char dir[LAB_PATH];
	bool host_network;
	struct space pause;
	struct space_birth birth;
	ev_io birth_io, pause_watch;
	struct cnirun *cni;
	struct prefix ips[PODRUN_IPS];
	size_t n_ips;
	struct crun *runs;
	size_t n_runs;
	ev_timer timer; /* of the state: BACKOFF, ENDING's grace, DELETING's next try */
	int del_tries;
	double backoff;
	bool dirty;         /* the status is not in the store yet */
	char why[ERR_TEXT]; /* what failed last */
	UT_hash_handle hh;
};

struct kubelet {
	const char *lab;
	struct arena arena;
	struct lab_spec spec;
	const struct lab_node *self;
	struct ev_loop *loop;
	struct store *store;
	ev_io store_io;
	ev_timer retry; /* of statuses, and of the wait for the network */
	char libexec[LAB_PATH];
	int pause; /* descriptor of the program */
	struct podrun *pods;
	unsigned starting; /* pods in BIRTH, ADDING or STARTING */
	bool synced;
	double born;
};

/* kubelet_main.c */
void kubelet_retry_soon(struct kubelet *k);

/* podrun.c */
struct podrun *podrun_new(struct kubelet *k, const char *ns, const char *name);
void podrun_want(struct podrun *p, struct object *obj); /* takes the object */
void podrun_unwant(struct podrun *p);
void podrun_adopt(struct podrun *p, const struct sandbox *s);
/* Starts waiting pods as far as there is room. */
void podrun_next(struct kubelet *k);
bool podrun_child(struct podrun *p, pid_t pid, int status);
void podrun_set(struct podrun *p, enum podrun_state state);
void podrun_record(struct podrun *p, enum sandbox_phase phase);
int podrun_watch_pause(struct podrun *p); /* its death is a failure of the pod */

/* podup.c */
void podrun_begin(struct podrun *p);
/* From container.c: all run and are ready. */
void podrun_ready(struct podrun *p);
/* For ADD and DEL alike; the texts are written into the caller's memory. */
void podrun_cni_args(const struct podrun *p, struct cnirun_args *a, char *args, size_t n,
		     char *netns, size_t m);

/* poddown.c */
void podrun_down(struct podrun *p);
void podrun_gone(struct podrun *p);    /* nothing is left but the pause process and the folder */
void podrun_release(struct podrun *p); /* forgets it; the Pod that waits for its name begins */
/* A step failed: undo, and try again later. */
void podrun_fail(struct podrun *p, const struct err *e);
/* From container.c: all ended for good; while ENDING: no process is left. */
void podrun_finished(struct podrun *p);
void podrun_stopped(struct podrun *p);

/* container.c */
int containers_start(struct podrun *p, struct err *e);
bool containers_begun(const struct podrun *p); /* past the init containers */
void containers_adopt(struct podrun *p, const struct sandbox *s);
void containers_resume(struct podrun *p); /* after adoption, once the object is known */
void containers_refer(struct podrun *p);  /* to a newer object of the same pod */
void containers_stop(struct podrun *p, bool now);
bool containers_child(struct podrun *p, pid_t pid, int status);
bool containers_alive(const struct podrun *p);
bool containers_ready(const struct podrun *p);
void containers_free(struct podrun *p);
int pidfd_watch(struct ev_loop *loop, ev_io *w, pid_t pid,
		void (*cb)(struct ev_loop *, ev_io *, int), void *arg);
void pidfd_unwatch(struct ev_loop *loop, ev_io *w);

/* podstatus.c */
void podstatus_write(struct podrun *p);
int podstatus_files(struct podrun *p, struct err *e); /* hosts, hostname, resolv.conf */
void podstatus_node_ips(struct podrun *p);            /* of a hostNetwork pod */
