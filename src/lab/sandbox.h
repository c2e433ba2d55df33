/* SPDX-License-Identifier: Apache-2.0 */
/* What is written down about a pod that runs on a lab node: ROOT/nodes/NODE/pods/UID/record.
 * lab-node writes it before each step that leaves something behind, so that after a kill -9 the
 * next lab-node knows what to keep and what to undo; the lab's commands read it to find pods.
 * Beside it lie hosts, hostname, resolv.conf (mounted into the pod), conflist and result (what
 * CNI ADD was called with and gave, for DEL). */
#pragma once
#include "lab/place.h"

enum sandbox_phase {
	SANDBOX_ADDING,  /* CNI ADD may have happened: DEL is due if this is found */
	SANDBOX_RUNNING, /* wired, containers started */
	SANDBOX_DONE,    /* its containers ended for good; nothing is left but this record */
};

struct sandbox_container {
	const char *name; /* "" for the responder */
	struct space proc;
};

struct sandbox {
	uint8_t phase; /* enum sandbox_phase */
	const char *ns, *name, *uid, *node;
	const char *id; /* CNI_CONTAINERID */
	bool host_network;
	struct space pause;
	LIST(struct prefix) ips; /* /32, /128 or with the network's length */
	LIST(struct sandbox_container) containers;
};

const char *sandbox_dir(char buf[LAB_PATH], const char *lab, const char *node, const char *uid);

int sandbox_write(const struct sandbox *s, const char *dir, struct err *e);
int sandbox_read(const char *dir, struct sandbox *s, struct arena *a, struct err *e);

/* All pods of a node, sorted by namespace and name; folders without a record are left out. */
struct sandbox_list {
	LIST(struct sandbox) pods;
};
int sandbox_list(const char *lab, const char *node, struct sandbox_list *out, struct arena *a,
		 struct err *e);
