/* SPDX-License-Identifier: Apache-2.0 */
/* Role skeleton: what every program under libexec/fairlead does alike. `ROLE --config FILE`
 * with descriptor 3 connected to the keeper (SOCK_SEQPACKET, one frame per datagram).
 *
 * A role's main() is `return role_main(&ops, &state, argc, argv);`. Order of calls:
 *   1. arguments and configuration are read, the log and the loop stand;
 *   2. ops->open, still as root: what needs that, before anything from outside is read;
 *   3. unless ops->privileged: the role's user, no capability; no_new_privs, seccomp;
 *   4. ops->start: watchers, role_bind(); role_ready() when it serves;
 *   5. the loop; ops->join for each stream to another role, again after either restarted;
 *   6. SIGTERM, SIGINT or end of file on 3: ops->stop, exit.
 * Streams (daemon/stream.h) that a role made of join descriptors are its own. */
#pragma once
#include "base/err.h"
#include "daemon/config.h"
#include "model/record.h"
#include "sys/sock.h"

#include <ev.h>

struct role;

struct role_ops {
	const char *name;         /* "agent" */
	bool privileged;          /* stays root: agent */
	const char *const *calls; /* NULL-terminated: allowed beyond priv_seccomp()'s base */
	/* Still root; may change r->uid and r->gid. May be NULL. */
	int (*open)(struct role *r, struct err *e);
	int (*start)(struct role *r, struct err *e);
	/* `fd`, a nonblocking stream socket to role `peer`, becomes the callee's. */
	void (*join)(struct role *r, const char *peer, int fd);
	/* Any other record of the keeper's (REC_METRIC for health); may be NULL. */
	void (*frame)(struct role *r, unsigned type, struct wire *body);
	/* About to exit: flush and release. The loop does not run again. May be NULL. */
	void (*stop)(struct role *r);
};

/* The answer to role_bind(): a listening (tcp, unix) or bound (udp) nonblocking socket that
 * the callee owns, or fd -1 and why. */
typedef void role_bound_fn(struct role *r, int fd, const struct err *e, void *arg);

struct role {
	const struct role_ops *ops;
	void *state; /* the role's own */
	struct config cfg;
	struct ev_loop *loop;
	uid_t uid; /* whom it becomes: configuration's `user`, else fairlead, else nobody */
	gid_t gid;
	/* private to role.c */
	struct rstream keeper;
	ev_io io;
	ev_signal term, intr;
	struct role_wait *waits;
	int64_t next_id;
	int exit_code;
};

int role_main(const struct role_ops *ops, void *state, int argc, char **argv);

/* Asks the keeper for a socket: want->proto, addr, port, or proto "unix" and `path`, the bare
 * name of a socket in the run directory ("cni.sock"). want->id is ignored. */
int role_bind(struct role *r, const struct rec_bind *want, role_bound_fn *fn, void *arg,
	      struct err *e);
/* A socket that role_bind() brought and that is closed here is closed at the keeper too, so that
 * others can have the port; `want` NULL: all that this process did not ask for, which an
 * earlier one may have. */
int role_unbind(struct role *r, const struct rec_bind *want, struct err *e);
/* Asks the keeper for a new stream to `peer`, whose last one ended though the peer may live;
 * comes through ops->join. */
void role_rejoin(struct role *r, const char *peer);
/* Tells the keeper that the role serves now. */
void role_ready(struct role *r);
/* Leaves the loop after the current callback; the process exits with `code`. */
void role_exit(struct role *r, int code);
