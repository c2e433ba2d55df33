/* SPDX-License-Identifier: Apache-2.0 */
/* Running CNI plugins as a container runtime does (CNI 1.1.0, sections 2 and 3): the network
 * configuration of a folder, its plugins one after the other, each result passed on as
 * prevResult; DEL in reverse order. Does not block: programs run as children on libev.
 *
 * The children must be reported by the owner of the SIGCHLD handler: cnirun_child(). */
#pragma once
#include "base/addr.h"
#include "base/err.h"
#include "model/schema.h"

#include <ev.h>
#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

struct cni_port_mapping {
	int host_port, container_port;
	const char *protocol; /* "tcp" */
	const char *host_ip;  /* NULL: any */
};

struct cnirun_args {
	bool del;
	const char *path; /* CNI_PATH */
	const char *id, *netns, *ifname, *args;
	LIST(struct cni_port_mapping) ports; /* for plugins with the capability portMappings */
};

struct cnirun;

/* result: the last plugin's, NULL for DEL; borrowed. On failure e->code is -EIO, and `code` the
 * CNI error code that the plugin gave, 0 for none. Called once, from the loop. */
typedef void (*cnirun_done_fn)(void *arg, const json_t *result, int code, const struct err *e);

/* `list`: a network configuration list; `result`: for DEL, what ADD gave (NULL: unknown). Both
 * are only read during the call. NULL and e on failure. */
struct cnirun *cnirun_start(struct ev_loop *loop, const json_t *list, const json_t *result,
			    const struct cnirun_args *a, cnirun_done_fn done, void *arg,
			    struct err *e);
/* True: `pid` was the running plugin of `r`. After `done` was called `r` is gone. */
bool cnirun_child(struct cnirun *r, pid_t pid, int status);
/* Gives up: kills the plugin, `done` is not called. NULL is fine. */
void cnirun_cancel(struct cnirun *r);

/* The first *.conflist or *.conf of a folder by name, as a list; the caller's reference. */
json_t *cnirun_load(const char *dir, struct err *e);

/* Addresses in a result. Returns how many were written, at most `max`. */
size_t cnirun_ips(const json_t *result, struct prefix *out, size_t max);
