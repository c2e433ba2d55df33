/* SPDX-License-Identifier: Apache-2.0 */
/* A matrix: every source probes every port of every target, all at once. */
#pragma once
#include "lab/probing.h"
#include "lab/world.h"

struct matrix_external {
	const char *name;
	struct ipaddr addr;
};

struct matrix_row;

struct matrix_opts {
	LIST(struct world_port) ports; /* empty: the declared ones */
	int family;                    /* AF_INET, AF_INET6; 0: both */
	int timeout_ms;
	const char *from, *to; /* selectors, NULL: all */
	LIST(struct matrix_external) externals;
	bool all; /* nodes and outside too */
	/* Each may be NULL: whether an answer is expected, so that silence is asked once more; and
	 * how many rows are done. */
	bool (*expects)(void *arg, const struct matrix_row *row);
	void *expects_arg;
	void (*progress)(void *arg, uint32_t done, uint32_t all);
	void *progress_arg;
};

struct matrix_row {
	const struct world_member *from, *to;
	struct ipaddr addr;
	struct world_port port;
	uint8_t result;  /* enum probe_result */
	uint8_t refused; /* enum refused_by */
	const char *server, *server_sees, *detail;
	double ms;
};

struct matrix {
	LIST(struct matrix_row) rows; /* by source, then target, family, port */
	LIST(struct world_member) members;
};

/* Probes; needs the lab's `world` and keeps everything in `a`. */
int matrix_make(const struct world *w, const struct matrix_opts *o, struct matrix *out,
		struct arena *a, struct err *e);

/* A selector of --from and --to: [NS/]LABEL[,LABEL…] with LABEL one of k=v, k!=v, k, !k; or the
 * name of one member. -EINVAL says what is wrong with it. */
int matrix_select(const char *selector, const struct world_member *m, bool *match, struct err *e);

/* "80/tcp,53/udp,icmp" */
int matrix_ports(const char *text, struct world_port **v, uint32_t *n, struct arena *a,
		 struct err *e);

/* "NAME=ADDR" */
int matrix_external(const char *text, struct matrix_external *out, struct arena *a, struct err *e);
