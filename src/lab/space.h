/* SPDX-License-Identifier: Apache-2.0 */
/* A space: the namespaces (network, mount, UTS, IPC) of one member of the lab, a switch, the
 * router, `outside`, a node or a pod, held by a pause process, and going into them. */
#pragma once
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum space_part { SPACE_NET = 1, SPACE_MNT = 2, SPACE_UTS = 4, SPACE_IPC = 8, SPACE_ALL = 15 };

struct space {
	pid_t pid;      /* of the pause process that holds it */
	uint64_t start; /* its start time in clock ticks since boot: pids come again */
};

/* What the new process does before it becomes the pause process; runs in the new namespaces. */
typedef int space_setup_fn(void *arg, struct err *e);

struct space_new {
	const char *hostname;
	unsigned parts; /* enum space_part: what is its own; 0: all */
	int lifeline;   /* standard input of the pause process */
	int pause;      /* descriptor of the program lab-pause */
	space_setup_fn *setup;
	void *arg;
};

/* A start in two halves, so that several set themselves up at the same time. */
struct space_birth {
	pid_t pid;
	int report; /* what the child has to say: nothing and end of file is success */
};

int space_begin(const struct space_new *n, struct space_birth *b, struct err *e);
/* Waits for the child; on failure it is gone when this returns. */
int space_finish(struct space_birth *b, struct space *out, struct err *e);

/* The process' start time, -ESRCH when there is none. */
int space_start_time(pid_t pid, uint64_t *start);
/* "PID START", as the lab's files have it. */
int space_parse(char *text, struct space *out);
bool space_alive(const struct space *s);

/* Moves the calling process (one thread) into these namespaces of `pid`, working directory /. */
int space_enter(pid_t pid, unsigned parts, struct err *e);
/* Opens one of them: the caller closes it. */
int space_open(pid_t pid, enum space_part part, struct err *e);
