/* SPDX-License-Identifier: Apache-2.0 */
/* A server of a few small pages on listening sockets that the keeper bound: one request per
 * connection, bounded in number, size and time. */
#pragma once
#include "daemon/http.h"

#include <ev.h>

#define HTTPD_LISTENERS   4
#define HTTPD_CONNECTIONS 64
#define HTTPD_REQUEST_S   5.  /* for the request to come */
#define HTTPD_RESPONSE_S  10. /* for the response to be taken */

/* The page at `path`: fills `body`, returns the status; *type may be changed from text/plain. */
typedef int httpd_page_fn(void *arg, const char *path, struct buf *body, const char **type);

struct httpd_conn;

struct httpd {
	struct ev_loop *loop;
	httpd_page_fn *page;
	void *arg;
	ev_io listeners[HTTPD_LISTENERS];
	size_t n_listeners;
	struct httpd_conn *conns;
	size_t n_conns;
};

void httpd_init(struct httpd *h, struct ev_loop *loop, httpd_page_fn *page, void *arg);
/* Takes the descriptor of a nonblocking listener. */
void httpd_listen(struct httpd *h, int fd);
void httpd_fini(struct httpd *h);
