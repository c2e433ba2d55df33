// SPDX-License-Identifier: Apache-2.0
/* fairlead node status: what agents know of their nodes; cleanup is in node_cleanup.c. */
#include "cmd/node.h"
#include "cmd/bgp.h"
#include "cmd/ctl.h"
#include "cmd/out.h"
#include "cmd/verbs.h"

#include <string.h>

struct status_opts {
	struct ctl_opts common;
};

static const struct opt status_table[] = { CTL_OPTIONS(struct status_opts), { 0 } };

static void print_nodes(const json_t *nodes)
{
	static const char *const keys[] = {
		"name",    "uplink", "mtu",      "podMTU",           "ip4",   "ip6", "tunnel4",
		"tunnel6", "pods",   "revision", "observedRevision", "inSync"
	};
	struct table t;
	char buf[32];
	const json_t *node;
	size_t i;

	table_init(&t, "NODE", "UPLINK", "MTU", "POD-MTU", "IP4", "IP6", "TUNNEL4", "TUNNEL6",
		   "PODS", "REVISION", "OBSERVED", "IN-SYNC", NULL);
	json_array_foreach(nodes, i, node) for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]);
						k++)
		table_cell(&t, "%s", ctl_text(node, keys[k], buf));
	table_print(&t, stdout);
	table_fini(&t);
}

static void print_peers(const json_t *nodes)
{
	const json_t *node, *peer;
	struct table t;
	char buf[32];
	size_t i, k;

	table_init(&t, "NODE", "PEER", "POOL", "IP", "TUNNEL", "WAY", NULL);
	json_array_foreach(nodes, i, node)
	{
		json_array_foreach(json_object_get(node, "peers"), k, peer)
		{
			table_cell(&t, "%s", ctl_text(node, "name", buf));
			table_cell(&t, "%s", ctl_text(peer, "name", buf));
			table_cell(&t, "%s", ctl_text(peer, "pool", buf));
			table_cell(&t, "%s", ctl_text(peer, "ip", buf));
			table_cell(&t, "%s", ctl_text(peer, "tunnel", buf));
			table_cell(&t, "%s", ctl_text(peer, "way", buf));
		}
	}
	if (t.n) {
		putchar('\n');
		table_print(&t, stdout);
	}
	table_fini(&t);
}

/* As `calicoctl node status` has them, of all nodes in one table. */
static void print_sessions(const json_t *nodes)
{
	json_t *all = json_array();
	const json_t *node;
	size_t i;

	json_array_foreach(nodes, i, node)
		json_array_extend(all, json_object_get(node, "bgpPeers"));
	if (json_array_size(all))
		putchar('\n');
	bgp_print_peers(all);
	json_decref(all);
}

/* What the audits repaired; nothing is worth a line where they found nothing. */
static void print_repairs(const json_t *nodes)
{
	const json_t *node, *v;
	size_t i, k;

	json_array_foreach(nodes, i, node)
	{
		json_array_foreach(json_object_get(node, "audit"), k, v)
		{
			const char *verdict = json_string_value(json_object_get(v, "verdict"));
			json_int_t n = json_integer_value(json_object_get(v, "count"));

			if (n && verdict && strcmp(verdict, "seen") != 0 &&
			    strcmp(verdict, "ignore") != 0)
				printf("%s: audits found %lld %s %s\n",
				       json_string_value(json_object_get(node, "name")),
				       (long long)n, verdict,
				       json_string_value(json_object_get(v, "of")));
		}
	}
}

/* One object per node: its row, with the other tables in it, and the sessions of its speaker. */
static json_t *fold(json_t *tables, json_t *sessions)
{
	json_t *node = json_incref(json_array_get(ctl_table(tables, "node"), 0));

	json_object_set(node, "peers", ctl_table(tables, "peer"));
	json_object_set(node, "audit", ctl_table(tables, "audit"));
	json_object_set(node, "bgpPeers", sessions);
	return node;
}

static int run_status(struct cmd_ctx *ctx, const void *opts, int argc, char **argv)
{
	const struct status_opts *o = opts;
	json_t *nodes = json_array(), *node;
	struct ctl_agent *agents;
	int rc, code = CMD_OK;
	size_t n, i;

	if (argc)
		return cmd_usage(ctx, "takes no operands");
	rc = ctl_agents(ctx, &o->common, &agents, &n);
	if (rc)
		return rc;
	for (i = 0; i < n; i++) {
		json_t *tables = json_object(), *sessions = json_array();
		struct err e;

		if (ctl_ask(&agents[i], tables, &e, "node-status", NULL) ||
		    bgp_ask_beside(ctx, &agents[i], sessions, &e))
			code = cmd_error(CMD_PARTLY, "%s", e.text);
		if (json_array_size(ctl_table(tables, "node")))
			json_array_append_new(nodes, fold(tables, sessions));
		json_decref(tables);
		json_decref(sessions);
	}
	json_array_foreach(nodes, i, node) if (!json_is_true(json_object_get(node, "inSync")) &&
					       !code) code = CMD_NO;
	if (o->common.format == OUT_JSON) {
		json_t *all = json_pack("{s:O}", "nodes", nodes);

		out_json(all, stdout);
		json_decref(all);
	} else if (json_array_size(nodes)) {
		print_nodes(nodes);
		print_peers(nodes);
		print_sessions(nodes);
		print_repairs(nodes);
	}
	json_decref(nodes);
	return code;
}

const struct cmd cmd_node_status = {
	.name = "status",
	.summary = "What agents know: uplink, addresses, peers, repairs",
	.help = "Asks the agent of this node, or those of a lab (--lab NAME). IN-SYNC says whether "
		"the\n"
		"agent has seen the whole store; OBSERVED is the revision that its kernel holds.\n"
		"MTU is the uplink's, POD-MTU what new pods get: that less what a tunnel adds.\n"
		"WAY is how a peer's pods are reached: direct, gateway, fabric (other routers "
		"carry\n"
		"them), vxlan, ipip, or none. Where role bgp runs, its sessions follow, as "
		"`fairlead bgp "
		"status`\n"
		"has them; they do not change the exit code.\n"
		"Exit code 1 when a node is not in sync, 3 when one does not answer.",
	.opts = status_table,
	.opts_size = sizeof(struct status_opts),
	.run = run_status,
};

static const struct cmd *const subs[] = { &cmd_node_status, &cmd_node_cleanup, NULL };

const struct cmd cmd_node = {
	.name = "node",
	.summary = "The state of nodes, and leaving one clean",
	.subs = subs,
};
