/* SPDX-License-Identifier: Apache-2.0 */
/* A program that is to run as long as the lab does: started again when it ends, 0.1 s later and
 * with a delay that doubles up to 5 s as long as it dies young.
 *
 * A keeper may hand its node on to another one (fairleadd(8), TAKEOVER), which is no child of
 * ours. It is found by the pid file and followed by a pidfd, so that a second one is started when
 * the last one ended and not before. */
#pragma once
#include "lab/place.h"

#include <ev.h>

#define SERVICE_ARGS 8

struct lab_service {
	char name[300]; /* "n1/fairleadd" */
	char log[LAB_PATH];
	char path[LAB_PATH + 64];
	char pidfile[LAB_PATH]; /* names the process that may have taken over; "": none may */
	const char *argv[SERVICE_ARGS];
	pid_t home; /* whose namespaces it runs in; 0: the supervisor's mounts, and `net` */
	pid_t net;
	int input; /* its standard input; -1: /dev/null */
	pid_t pid;
	int heir; /* pidfd of `pid` where that took over */
	ev_tstamp started, backoff;
	ev_timer again;
	ev_io heir_ended;
};

void service_start(struct lab_service *s);
/* `s->pid`, a child, has ended. */
void service_ended(struct lab_service *s, int status);
