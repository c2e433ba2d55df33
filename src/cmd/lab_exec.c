// SPDX-License-Identifier: Apache-2.0
/* fairlead lab exec, node: become a command inside of a pod or a node. Nothing stands between
 * the terminal and the command, so its signals, job control and exit code are its own. */
#include "cmd/lab.h"
#include "lab/space.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

struct exec_opts {
	struct lab_opts common;
};

static const struct opt exec_table[] = { LAB_OPT_NAME(struct exec_opts), { 0 } };

static int enter(const struct cmd_ctx *ctx, const struct exec_opts *o, const char *target, bool pod,
		 char **argv)
{
	const struct world_member *m;
	struct world w;
	struct err e = { .code = 0 };
	int rc = lab_load(ctx, &o->common, &w);

	if (rc)
		return rc;
	m = world_find(&w, target);
	if (!m || (m->kind == WORLD_POD) != pod)
		return cmd_error(CMD_NO, "lab %s has no %s \"%s\" running%s", w.name,
				 pod ? "pod" : "node", target,
				 pod && !strchr(target, '/') ? " (pods are NS/POD)" : "");
	if (space_enter(m->pid, SPACE_ALL, &e))
		return cmd_fail(&e);
	signal(SIGPIPE, SIG_DFL);
	execvp(argv[0], argv);
	return cmd_error(errno == ENOENT ? 127 : 126, "%s: %s", argv[0], strerror(errno));
}

static int run_exec(struct cmd_ctx *ctx, const void *opts, int argc, char **argv)
{
	if (argc < 2)
		return cmd_usage(ctx, "must be NS/POD -- CMD...");
	return enter(ctx, opts, argv[0], true, argv + 1);
}

const struct cmd cmd_lab_exec = {
	.name = "exec",
	.args = "NS/POD -- CMD...",
	.summary = "Run a command in a pod",
	.help = "In the pod's network, host name, /etc/hosts and /etc/resolv.conf; the programs "
		"are "
		"this\nmachine's. The exit code is the command's.\n\n"
		"Try:\n"
		"  fairlead lab exec shop/db-0 -- ip addr\n"
		"  fairlead lab exec shop/db-0 -- bash",
	.opts = exec_table,
	.opts_size = sizeof(struct exec_opts),
	.run = run_exec,
};

static int run_node(struct cmd_ctx *ctx, const void *opts, int argc, char **argv)
{
	if (argc < 2)
		return cmd_usage(ctx, "must be NODE -- CMD...");
	return enter(ctx, opts, argv[0], false, argv + 1);
}

const struct cmd cmd_lab_node = {
	.name = "node",
	.args = "NODE -- CMD...",
	.summary = "Run a command on a node, or on `outside`",
	.help = "In the node's network and with its own /run, /etc and /var/lib. The exit code is "
		"the\n"
		"command's.\n\n"
		"Try:\n"
		"  fairlead lab node n1 -- ip route\n"
		"  fairlead lab node n1 -- nft list ruleset",
	.opts = exec_table,
	.opts_size = sizeof(struct exec_opts),
	.run = run_node,
};
