/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs of `fairlead lab` share. */
#pragma once
#include "cmd/cmd.h"
#include "lab/world.h"

#define LAB_DEFAULT "lab"

struct lab_opts {
	const char *name;
	uint8_t format; /* enum out_format: text or json */
};

#define LAB_OPT_NAME(type)                                                                         \
	OPT(type, common.name, 0, "name", OPT_STR, .arg = "NAME", .complete = "lab",               \
	    .doc = "Which lab (default: lab)")
#define LAB_OPT_FORMAT(type)                                                                       \
	OPT(type, common.format, 'o', "output", OPT_ENUM, .names = &out_formats_json,              \
	    .doc = "For programs")

/* --name, else --lab of the command line, else LAB_DEFAULT. */
const char *lab_name(const struct cmd_ctx *ctx, const struct lab_opts *o);

/* Loads the running lab; on failure reports and returns the exit code, else 0. */
int lab_load(const struct cmd_ctx *ctx, const struct lab_opts *o, struct world *w);

extern const struct cmd cmd_lab_up, cmd_lab_down, cmd_lab_wait, cmd_lab_status, cmd_lab_exec,
	cmd_lab_node, cmd_lab_probe, cmd_lab_hooks, cmd_lab_matrix, cmd_lab_verify;
