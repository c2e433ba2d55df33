/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper's own state, shared by fairleadd.c (arguments), keeper.c (the loop), keeper_dir.c
 * (locks and files), keeper_role.c (processes and joins), keeper_bind.c (sockets), keeper_give.c
 * and keeper_take.c (both sides of a takeover). Libc only, one thread, one poll(2). */
#pragma once
#include "daemon/config.h"
#include "daemon/keeper_takeover.h"
#include "sys/proc.h"
#include "sys/sock.h"

#include <limits.h>
#include <poll.h>
#include <sys/socket.h>

#define KEEPER_ROLES  8
#define KEEPER_SOCKS  1024
#define KEEPER_MEMORY "memory" /* rec_bind.proto */
#define KEEPER_FLAGS  64
#define KEEPER_POLL   (2 + KEEPER_GIVE_POLL + 2 * KEEPER_ROLES)

/* One socket that some role asked for; open until the keeper ends or the configuration no
 * longer allows it. A takeover hands these on, takeover.sock among them. */
struct keeper_sock {
	int fd;
	char role[32]; /* whose it is */
	char proto[8];
	struct ipaddr addr;
	uint16_t port;
	char path[108]; /* unix: where its file lies; else "" */
	uint16_t share; /* inet: which of several with SO_REUSEPORT; 0: there is one */
	bool asked;     /* inet: for by its role, since that started */
};

enum role_state {
	ROLE_DOWN,     /* no process; starts at start_at_ms if still wanted */
	ROLE_UP,       /* runs */
	ROLE_STOPPING, /* got SIGTERM; SIGKILL at kill_at_ms */
};

struct keeper_role {
	char name[32];
	enum role_state state;
	bool wanted; /* by the configuration: false: goes down and stays */
	bool ready;  /* said REC_READY */
	bool asked;  /* we sent SIGTERM because it shall go, not because it misbehaved */
	struct proc proc;
	struct rstream ctl;  /* our end of its descriptor 3 */
	int64_t started_ms;  /* CLOCK_MONOTONIC */
	int64_t start_at_ms; /* DOWN */
	int64_t kill_at_ms;  /* STOPPING */
	unsigned delay_ms;   /* before the next start; 0: it lived long */
	uint64_t restarts;
};

struct keeper_flag {
	const char *key, *value; /* --KEY VALUE */
};

struct keeper {
	const char *conf_path;
	bool conf_required; /* named by the user: must exist */
	struct keeper_flag flags[KEEPER_FLAGS];
	size_t n_flags;
	bool takeover; /* --takeover, and not done with it */
	int report;    /* takeover: whoever called learns here that it is done */

	struct config cfg;
	struct buf cfg_text;      /* as printed into RUN/fairleadd.conf */
	char effective[PATH_MAX]; /* that file */
	char libexec[PATH_MAX];
	int lock;          /* RUN/fairleadd.lock: ours alone */
	int roles_lock;    /* RUN/roles.lock: inherited by roles, free when the last one ended */
	int signals;       /* signalfd */
	int door;          /* listens on takeover.sock; one of socks */
	int64_t settle_by; /* a start or reload is over then at the latest; 0: it is over */
	bool serve;        /* whether all roles do, as last said */
	bool ending;
	bool handed;             /* the run directory is another keeper's */
	bool failed;             /* the exit code is 1 */
	struct rstream last;     /* to the keeper that we take over from; fd -1: none */
	struct keeper_next next; /* the one that takes over from us */
	struct keeper_role roles[KEEPER_ROLES];
	size_t n_roles;
	struct keeper_sock socks[KEEPER_SOCKS];
	size_t n_socks;
};

/* ---- keeper.c */

/* Reads the file, applies the flags, judges the whole. */
int keeper_config(const struct keeper *k, struct config *c, struct err *e);
/* Runs until SIGTERM or SIGINT; returns the exit code of fairleadd(8). k->conf_path and k->flags are set. */
int keeper_run(struct keeper *k);
int64_t keeper_now_ms(void);
/* From now on the roles start: READY is said when they serve. */
void keeper_unsettle(struct keeper *k);
/* Lines for systemd, sd_notify(3). */
void keeper_notify(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* ---- keeper_dir.c */

/* Takes both locks, by --takeover from the keeper that runs; writes pid file and configuration. */
int keeper_dir_enter(struct keeper *k, struct err *e);
int keeper_dir_publish(struct keeper *k, struct err *e); /* what roles read: RUN/fairleadd.conf */
int keeper_dir_pidfile(const struct keeper *k, struct err *e);
int keeper_dir_lock_roles(struct keeper *k, struct err *e); /* -EWOULDBLOCK: roles run */
void keeper_dir_unlock_roles(struct keeper *k);
void keeper_dir_leave(struct keeper *k);

/* ---- keeper_role.c */

/* Makes the set of roles that of the configuration: new ones are due at once. */
int keeper_roles_update(struct keeper *k, struct err *e);
/* Starts what is due, kills what does not end. Returns ms until it must be called again, or -1. */
int keeper_roles_tick(struct keeper *k);
size_t keeper_roles_poll(struct keeper *k, struct pollfd *fds);
void keeper_roles_events(struct keeper *k, const struct pollfd *fds, size_t n);
/* SIGTERM to all that run. Where all of fairlead ends, watch is asked last, by keeper_roles_tick():
 * what the others write as they end passes through it. */
void keeper_roles_stop(struct keeper *k);
bool keeper_roles_alive(const struct keeper *k);
bool keeper_roles_serve(const struct keeper *k); /* all said REC_READY */

/* ---- keeper_bind.c */

/* The socket for that request of that role, bound now or kept from before; it stays the
 * keeper's. -EACCES where the configuration does not list it. */
int keeper_bind(struct keeper *k, const char *role, const struct rec_bind *want, struct err *e);
/* Closes it, or where `want` has no protocol what the role did not ask for since
 * keeper_bind_started(). */
void keeper_unbind(struct keeper *k, const char *role, const struct rec_bind *want);
void keeper_bind_started(struct keeper *k, const char *role);
/* The request of `role` in the form that is kept; -EINVAL where it is none. */
int keeper_bind_named(const struct keeper *k, const char *role, const struct rec_bind *want,
		      struct keeper_sock *s, struct err *e);
/* Keeps `fd`, which another keeper bound for that request. */
void keeper_bind_take(struct keeper *k, const struct rec_bind *want, int fd);
void keeper_bind_recheck(struct keeper *k);            /* closes what a new configuration forbids */
void keeper_bind_close(struct keeper *k, bool remove); /* closes all; removes their files */
