/* SPDX-License-Identifier: Apache-2.0 */
/* Views: which files a member of the lab sees. The machine's own, except for what a node or a
 * pod has for itself. All functions run in the new mount namespace (lab/space.h). */
#pragma once
#include "lab/place.h"

struct view_node {
	const char *lab; /* its name */
	const char *node;
	const char *hosts; /* text of /etc/hosts */
};

/* A node: own /run, /etc/cni/net.d, /opt/cni/bin, /var/lib/fairlead, /var/lib/cni, /sys; /etc,
 * /opt and /var/lib are the machine's with what the node writes on top. ROOT/nodes/NODE exists. */
int view_node(const struct view_node *v, struct err *e);

/* A pod, out of its node's view: own /run, /sys (unless it has the node's network), and the files `hosts`, `hostname` and
 * `resolv.conf` of the folder `dir` in /etc. */
int view_pod(const char *dir, bool host_network, struct err *e);

/* Switch, router, outside: own /sys. */
int view_plain(struct err *e);

/* Marks the calling process' mount namespace, and all that come from it, as the lab's, and
 * gives it the private tmpfs. */
int view_mark(const char *lab, struct err *e);
