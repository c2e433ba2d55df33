/* SPDX-License-Identifier: Apache-2.0 */
/* Asking agents over their control sockets (REC_CTL_REQUEST): of this node, or of every node of
 * a lab. Answers are rows of named tables, kept as JSON objects in the order in which they came,
 * numbers and truth values as such. */
#pragma once
#include "cmd/cmd.h"

#include <jansson.h>

struct ctl_opts {
	const char *run_dir;
	const char *node;
	uint8_t format;
};

#define CTL_OPTIONS(type)                                                                          \
	OPT(type, common.run_dir, 0, "run-dir", OPT_STR, .arg = "DIR",                             \
	    .doc = "The node's run directory (default: /run/fairlead)"),                           \
		OPT(type, common.node, 0, "node", OPT_STR, .arg = "NODE",                          \
		    .doc = "Of a lab: only this node"),                                            \
		OPT(type, common.format, 'o', "output", OPT_ENUM, .names = &out_formats_json,      \
		    .doc = "Output format")

struct ctl_agent {        /* or another role that answers */
	const char *node; /* of a lab; NULL: this machine's */
	const char *role, *socket;
};

/* The agents that the options and --lab mean: those of a lab, else --run-dir's, else this
 * machine's where there is one, else the only running lab's. Returns 0 or the exit code, having
 * said why. In ctx->arena. */
int ctl_agents(struct cmd_ctx *ctx, const struct ctl_opts *o, struct ctl_agent **v, size_t *n);

/* The same of the BGP speakers. */
int ctl_speakers(struct cmd_ctx *ctx, const struct ctl_opts *o, struct ctl_agent **v, size_t *n);
/* The same of the DNS servers. */
int ctl_dns(struct cmd_ctx *ctx, const struct ctl_opts *o, struct ctl_agent **v, size_t *n);

/* Asks one; args are key, value, …, NULL. `tables` gets an array per table of the answer. The
 * agent's own refusal is returned as its code, with its text. */
int ctl_ask(const struct ctl_agent *agent, json_t *tables, struct err *e, const char *verb, ...)
	__attribute__((sentinel));

/* The rows of a table, never NULL; borrowed from `tables`. */
json_t *ctl_table(json_t *tables, const char *name);
/* A column's text, or "". */
const char *ctl_text(const json_t *row, const char *key, char buf[32]);
/* One column for each of `keys`, NULL at the end; "seconds" as a time that has passed. Nothing where there are no rows. */
void ctl_print(const json_t *rows, const char *const *heads, const char *const *keys);
