/* SPDX-License-Identifier: Apache-2.0 */
/* A server of a few small pages on listening sockets that the keeper bound: one request per
 * connection, bounded in number, size and time. */
#pragma once
#include "base/addr.h"
#include "daemon/http.h"

#include <ev.h>

#define HTTPD_LISTENERS  4
#define HTTPD_REQUEST_S  5.  /* for the request to come */
#define HTTPD_RESPONSE_S 10. /* for the response to be taken */

struct httpd_ops {
	/* The page at `path`: fills a->body and a->status; a->type is text/plain unless changed. */
	void (*page)(void *arg, const char *path, struct http_answer *a);
	/* Is somebody who connected to this address answered? Else the connection is reset, as
	 * it would be by a port that nobody has. NULL: everybody is. */
	bool (*serves)(void *arg, const struct ipaddr *address);
};

struct httpd_conn;

struct httpd {
	struct ev_loop *loop;
	const struct httpd_ops *ops;
	void *arg;
	ev_io listeners[HTTPD_LISTENERS];
	size_t n_listeners;
	ev_timer rest;
	struct httpd_conn *conns;
	size_t n_conns, most;
};

/* `most` connections at once; others wait in the kernel's queue. */
void httpd_init(struct httpd *h, struct ev_loop *loop, const struct httpd_ops *ops, void *arg,
		size_t most);
/* Takes the descriptor of a nonblocking listener. */
void httpd_listen(struct httpd *h, int fd);
void httpd_fini(struct httpd *h);
