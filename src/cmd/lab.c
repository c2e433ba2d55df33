// SPDX-License-Identifier: Apache-2.0
/* fairlead lab: clusters out of namespaces on this machine. */
#include "cmd/lab.h"
#include "cmd/verbs.h"

#include <errno.h>
#include <unistd.h>

const char *lab_name(const struct cmd_ctx *ctx, const struct lab_opts *o)
{
	return o->name ? o->name : ctx->lab ? ctx->lab : LAB_DEFAULT;
}

int lab_load(const struct cmd_ctx *ctx, const struct lab_opts *o, struct world *w)
{
	const char *name = lab_name(ctx, o);
	struct err e = { .code = 0 };

	if (!lab_name_ok(name))
		return cmd_usage(ctx, "\"%s\" is no name of a lab", name);
	if (geteuid() != 0)
		return cmd_error(CMD_NO, "a lab needs root (sudo fairlead %s)", ctx->path);
	if (world_load(name, w, ctx->arena, &e))
		return cmd_fail(&e);
	return 0;
}

static const struct cmd *const subs[] = {
	&cmd_lab_up,   &cmd_lab_down,  &cmd_lab_status, &cmd_lab_wait,   &cmd_lab_exec,
	&cmd_lab_node, &cmd_lab_probe, &cmd_lab_hooks,  &cmd_lab_matrix, &cmd_lab_verify,
	NULL
};

const struct cmd cmd_lab = {
	.name = "lab",
	.summary = "Whole clusters out of network namespaces on this machine",
	.help = "Nodes in racks, switches, a router, an outside world, pods; the nodes run the "
		"same\n"
		"fairleadd as real ones. Needs root; the machine's own network is not touched.\n\n"
		"Try:\n"
		"  fairlead lab up --nodes 3 --racks 2 --mode vxlan --cross-subnet\n"
		"  fairlead lab matrix --all\n"
		"  fairlead lab down",
	.subs = subs,
};
