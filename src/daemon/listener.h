/* SPDX-License-Identifier: Apache-2.0 */
/* The clients of a local socket that the keeper bound: each sends one request and takes one
 * answer. The owner says what a request means; here is what all have in common: accepting,
 * and bounds, so that nobody who can connect holds the role up or for ever:
 *
 *   - in number: past `max` they wait in the kernel's queue until one leaves;
 *   - in time: for the request to come, and for the answer to be taken (the owner bounds the time
 *     in between, which is its own);
 *   - out of descriptors or memory nothing is accepted for a moment, and said once. A listener
 *     stays readable then, and a loop that tried again at once would do nothing else. */
#pragma once
#include "daemon/stream.h"

#define LISTENER_REQUEST_S 5.
#define LISTENER_ANSWER_S  30.
#define LISTENER_REST_S    0.1

struct listener;

/* First member of the owner's struct, which the listener allocates (zeroed) and frees. */
struct client {
	struct listener *listener;
	struct stream *stream;
	struct client *next, **prev;
	ev_timer limit;
	bool asked;
};

struct listener_ops {
	const char *name; /* in the log: "cni.sock" */
	size_t size;      /* of the owner's struct */
	unsigned max;     /* clients at once */
	unsigned request; /* the record's type; a client that sends another is dropped */
	void (*opened)(struct client *c);
	/* Once per client. `fd`: came with it, becomes the owner's; or -1. The answer is sent on
	 * c->stream and ended by client_finish(), now or later. */
	void (*asked)(struct client *c, struct wire *body, int fd);
	/* It is going, answered or not: the owner releases what it has in its struct. */
	void (*closed)(struct client *c);
};

struct listener {
	const struct listener_ops *ops;
	struct ev_loop *loop;
	void *arg; /* the owner's */
	/* seconds, changed by tests alone */
	ev_tstamp request_s, answer_s;
	struct client *clients;
	unsigned n;
	/* private */
	ev_io io;
	ev_timer rest;
	bool short_of; /* of descriptors; said already */
};

/* Nothing is accepted before listener_start(), which takes a nonblocking listening socket. */
void listener_init(struct listener *l, struct ev_loop *loop, const struct listener_ops *ops,
		   void *arg);
void listener_start(struct listener *l, int fd);
/* Drops all clients and closes the socket, if there is one. */
void listener_fini(struct listener *l);
/* The answer is queued whole: the client is dropped when it has taken it. */
void client_finish(struct client *c);
