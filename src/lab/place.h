/* SPDX-License-Identifier: Apache-2.0 */
/* Where a lab keeps its things: everything below /run/fairlead-lab/NAME, called ROOT.
 *
 *   store                     the store's URL, one line
 *   store.d/                  the store itself
 *   lab.conf                  what the lab is made of (lab/spec.h)
 *   state                     who is who: one line per process that holds namespaces
 *   lock                      held while the lab is being made
 *   lab.log                   the supervisor's log
 *   private/                  only inside the lab: memory for the nodes' own /etc, /opt, /var/lib
 *   nodes/NODE/run/           the node's /run
 *   nodes/NODE/lib/           the node's /var/lib/fairlead
 *   nodes/NODE/cni.d/, bin/   the node's /etc/cni/net.d and /opt/cni/bin
 *   nodes/NODE/pods/          one folder per pod that runs there (lab/sandbox.h)
 *   nodes/NODE/log/           fairleadd.log, lab-node.log, POD.log */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "lab/space.h"
#include "lab/spec.h"

#include <limits.h>

#define LAB_RUN      "/run/fairlead-lab"
#define LAB_PATH     512
#define LAB_MARK     "fairlead-lab:"
#define LAB_MARK_MAX 96

/* "ROOT/FMT…" into buf, and buf returned. Names are short (lab_name_ok, Kubernetes' 253). */
const char *lab_path(char buf[LAB_PATH], const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* One line of `state`: "KIND NAME PID START". */
enum member_kind { MEMBER_SUPERVISOR, MEMBER_ROUTER, MEMBER_RACK, MEMBER_OUTSIDE, MEMBER_NODE };

struct member {
	uint8_t kind;     /* enum member_kind */
	const char *name; /* "router", "rack1", "outside", or the node's */
	struct space space;
};

struct lab_state {
	LIST(struct member) members;
};

int lab_state_write(const char *name, const struct lab_state *s, struct err *e);
/* -ENOENT: no such lab, or one that is still being made. */
int lab_state_read(const char *name, struct lab_state *s, struct arena *a, struct err *e);
const struct member *lab_state_find(const struct lab_state *s, unsigned kind, const char *name);

/* ---- ending. A lab's processes are those whose mount namespace holds the mark: it cannot be
 * shed, survives the death of whoever kept a list, and needs neither cgroups nor a pid
 * namespace, which would give every process two numbers. */

/* The mark: the source of the tmpfs on ROOT/private, of which ROOT's inode number is a part, so
 * that labs of one name on one machine (in containers, say) are not taken for each other. */
int lab_mark(const char *name, char buf[LAB_MARK_MAX], struct err *e);

/* Processes of the lab `name` in all, without the caller. */
int lab_count(const char *name, size_t *n, struct err *e);
/* Kills them until none is left; -ETIMEDOUT after 5 s. */
int lab_kill(const char *name, struct err *e);
/* Makes ROOT, in memory also where the machine's /run is a disk: a store that waits for a disk
 * would be the slowest part of the lab. */
int lab_make(const char *name, struct err *e);
/* Empties ROOT but for `lock`, which whoever makes the lab holds. */
int lab_clear(const char *name, struct err *e);
/* Removes ROOT, and LAB_RUN when it was the last lab. */
int lab_remove(const char *name, struct err *e);
/* Names of the labs that have a ROOT, sorted. */
int lab_names(const char *const **names, size_t *n, struct arena *a, struct err *e);
