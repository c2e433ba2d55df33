/* SPDX-License-Identifier: Apache-2.0 */
/* A TCP port of role health, on one address or on every one, that may be somebody else's: the
 * keeper is asked for it again every few seconds until it is there, and the log says so once. */
#pragma once
#include "daemon/httpd.h"
#include "daemon/role.h"

struct port_half {
	struct port *of;
	struct ipaddr addr;
	bool wanted, bound, absent; /* absent: the kernel has not the family */
};

struct port {
	struct role *role;
	struct httpd *httpd; /* that listens on it */
	uint16_t number;     /* 0: closed */
	/* The keeper's answers are all there: port_close() may be called again. May be NULL. */
	void (*settled)(void *arg);
	void *arg;
	/* private */
	char name[384]; /* in the log */
	struct port_half halves[2];
	unsigned due; /* answers of the keeper */
	bool said;
	ev_timer again;
	char problem[ERR_TEXT];
};

/* Both arguments outlive it. */
void port_init(struct port *p, struct role *r, struct httpd *httpd);
/* A closed one; addr->family 0: on every address of both families. `name` for the log. */
void port_open(struct port *p, const struct ipaddr *addr, uint16_t number, const char *name);
/* It is asked for, and an answer is due: cannot be closed now. */
bool port_is_asked(const struct port *p);
bool port_is_open(const struct port *p); /* on all of its addresses */
/* Gives it back to the keeper; its httpd is as after httpd_fini(). */
void port_close(struct port *p);
/* At the end of the process: the keeper keeps the socket. */
void port_fini(struct port *p);
