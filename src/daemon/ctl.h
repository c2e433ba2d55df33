/* SPDX-License-Identifier: Apache-2.0 */
/* A role's control socket: what `fairlead` asks of this node. A REC_CTL_REQUEST names a verb of the
 * role's and is answered with rows of named tables and an end. The keeper binds the socket. */
#pragma once
#include "daemon/listener.h"
#include "daemon/role.h"

#define CTL_COLS 24

struct ctl_call;

struct ctl_verb {
	const char *name;
	/* 0, CTL_LATER, or -errno and why. */
	int (*fn)(struct ctl_call *c, struct err *e);
};

struct ctl_server {
	struct listener listener;
	struct listener_ops ops;
	const struct ctl_verb *verbs; /* ended by one without a name */
	void *owner;
};

struct ctl_call {
	struct client client; /* first */
	void *owner;          /* of the server */
	struct arena arena;
	struct rec_ctl_request req;
	struct rec_ctl_row row; /* being filled */
	struct strmap_entry cols[CTL_COLS];
	/* Of a verb that answers later: the client has gone, with or without its answer. */
	void (*closed)(struct ctl_call *c);
	void *state; /* of such a verb */
};

/* Says role_ready() when the socket is there. `socket` is its name in the run directory. */
int ctl_server_open(struct ctl_server *s, struct role *r, const char *socket,
		    const struct ctl_verb *verbs, void *owner, struct err *e);
void ctl_server_close(struct ctl_server *s);

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
