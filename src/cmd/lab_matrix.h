/* SPDX-License-Identifier: Apache-2.0 */
/* What is probed, as typed, and the table that came of it: for `lab matrix`, which prints it, and
 * `lab verify`, which judges it. */
#pragma once
#include "cmd/lab.h"
#include "lab/matrix.h"

struct lab_matrix_opts {
	struct lab_opts common;
	const char *ports, *from, *to;
	LIST(const char *) externals;
	uint8_t family, all;
	int64_t timeout;
};

/* Rows of a table of options for that struct. */
#define LAB_MATRIX_OPTS                                                                            \
	OPT(struct lab_matrix_opts, ports, 0, "ports", OPT_STR, .arg = "PORT/PROTO,icmp,...",      \
	    .doc = "Default: every declared port"),                                                \
		OPT(struct lab_matrix_opts, from, 0, "from", OPT_STR, .arg = "SEL",                \
		    .doc = "Only these sources: [NS/]key=value,... or a name"),                    \
		OPT(struct lab_matrix_opts, to, 0, "to", OPT_STR, .arg = "SEL",                    \
		    .doc = "Only these targets"),                                                  \
		OPT(struct lab_matrix_opts, externals, 0, "external", OPT_STR, .list = 1,          \
		    .arg = "NAME=ADDR", .doc = "An address of the outside that takes part"),       \
		OPT(struct lab_matrix_opts, family, 0, "family", OPT_ENUM,                         \
		    .names = &lab_matrix_families, .doc = "Default: both"),                        \
		OPT(struct lab_matrix_opts, timeout, 0, "timeout", OPT_INT, .min = 1,              \
		    .max = 60000, .arg = "MS", .doc = "Default 1500"),                             \
		LAB_OPT_FORMAT(struct lab_matrix_opts), LAB_OPT_NAME(struct lab_matrix_opts)
extern const struct names lab_matrix_families;

void lab_matrix_defaults(void *opts);

/* The lab, and what `o` asks for in it; on failure reports and returns the exit code, else 0. */
int lab_matrix_read(struct cmd_ctx *ctx, const struct lab_matrix_opts *o, struct world *w,
		    struct matrix_opts *out);
/* Probes, with a line of progress where that takes over a second. As above. */
int lab_matrix_probe(struct cmd_ctx *ctx, const struct world *w, const struct matrix_opts *what,
		     struct matrix *m);
