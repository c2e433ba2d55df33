/* SPDX-License-Identifier: Apache-2.0 */
/* Running lab-prober and lab-responder inside of members of a lab, and gathering what they say.
 * One prober per source, any number of sources. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "lab/prober.h"

#include <sys/types.h>

#define PROBING_ARGS 24

/* One line of a prober. Strings point into the call's memory; "" where unknown. */
struct probing_result {
	long id;
	uint8_t result;  /* enum probe_result */
	uint8_t refused; /* enum refused_by */
	const char *server, *server_sees, *detail;
	uint64_t us;
};

typedef void (*probing_fn)(void *arg, const struct probing_result *r);

struct probing_job {
	pid_t pid;                      /* whose namespaces to send from */
	const char *args[PROBING_ARGS]; /* options of lab-prober, NULL-terminated */
	struct buf targets;             /* its standard input; the caller frees it */
};

/* Runs all jobs, some at a time; fn is called for each result of any of them. A prober that fails (a name that
 * does not resolve, bad options) is an error with its own words, after all others ended. */
int probing_run(const struct probing_job *jobs, size_t n, probing_fn fn, void *arg, struct err *e);

/* A responder for as long as `life` is open: NAME on "tcp:8080 udp:8080" in the namespaces of
 * `pid`. Ports that are taken are left to whoever has them. */
struct probing_server {
	pid_t child;
	int life;
};
int probing_serve(pid_t pid, const char *name, const char *ports, struct probing_server *out,
		  struct err *e);
void probing_serve_end(struct probing_server *s);
