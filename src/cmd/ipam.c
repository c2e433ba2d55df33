// SPDX-License-Identifier: Apache-2.0
/* fairlead ipam: pools, blocks and addresses as the agents' books have them. */
#include "cmd/ctl.h"
#include "cmd/out.h"
#include "cmd/verbs.h"

#include <errno.h>
#include <string.h>

/* ---- asking all */

struct asked {
	json_t *tables; /* of all agents; rows have a "node" */
	int code;       /* CMD_PARTLY: somebody did not answer */
};

static void keep_rows(json_t *all, json_t *tables, const struct ctl_agent *agent)
{
	const char *name;
	json_t *rows, *row;
	size_t i;

	json_object_foreach(tables, name, rows)
	{
		json_array_foreach(rows, i, row)
		{
			if (agent->node && !json_object_get(row, "node") &&
			    strcmp(name, "pool") != 0)
				json_object_set_new(row, "node", json_string(agent->node));
			json_array_append(ctl_table(all, name), row);
		}
	}
}

static int ask_all(struct cmd_ctx *ctx, const struct ctl_opts *o, const char *verb, const char *key,
		   const char *value, struct asked *out)
{
	struct ctl_agent *agents;
	size_t n;
	int rc = ctl_agents(ctx, o, &agents, &n);

	*out = (struct asked){ 0 };
	if (rc)
		return rc;
	out->tables = json_object();
	for (size_t i = 0; i < n; i++) {
		json_t *tables = json_object();
		struct err e;

		if (ctl_ask(&agents[i], tables, &e, verb, key, value, NULL))
			out->code = cmd_error(CMD_PARTLY, "%s", e.text);
		keep_rows(out->tables, tables, &agents[i]);
		json_decref(tables);
	}
	return 0;
}

/* ---- show */

struct show_opts {
	struct ctl_opts common;
	uint8_t blocks;
};

static const struct opt show_table[] = { OPT(struct show_opts, blocks, 0, "blocks", OPT_FLAG,
					     .doc = "Also the blocks"),
					 CTL_OPTIONS(struct show_opts),
					 { 0 } };

static json_t *find_row(json_t *rows, const char *name)
{
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		const char *s = json_string_value(json_object_get(row, "name"));

		if (s && !strcmp(s, name))
			return row;
	}
	return NULL;
}

static void add_number(json_t *to, const json_t *from, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(to, key)) +
		       json_integer_value(json_object_get(from, key));

	json_object_set_new(to, key, json_integer(n));
}

/* Every agent knows every pool and block, but uses only of its own. */
static json_t *merge(json_t *rows, bool pools)
{
	json_t *out = json_array(), *row, *known;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		const char *name = json_string_value(json_object_get(row, "name"));

		known = name ? find_row(out, name) : NULL;
		if (!known) {
			json_array_append(out, row);
		} else if (pools) {
			add_number(known, row, "usedHere");
		} else if (json_is_true(json_object_get(row, "own"))) {
			json_object_update(known, row);
		}
	}
	json_array_foreach(out, i, row)
	{
		json_object_del(row, "own");
		json_object_del(row, "ownBlocks");
		known = json_object_get(row, "usedHere");
		if (known) {
			json_object_set(row, "used", known);
			json_object_del(row, "usedHere");
		}
	}
	return out;
}

struct column {
	const char *head, *key;
};

static void print_rows(const json_t *rows, const struct column *cols)
{
	const char *heads[16] = { 0 };
	const json_t *row;
	struct table t;
	char buf[32];
	size_t i;

	for (size_t k = 0; cols[k].head; k++)
		heads[k] = cols[k].head;
	table_initv(&t, heads);
	json_array_foreach(rows, i, row) for (size_t k = 0; cols[k].head; k++)
		table_cell(&t, "%s", ctl_text(row, cols[k].key, buf));
	table_print(&t, stdout);
	table_fini(&t);
}

static void print_show(json_t *tables, bool with_blocks)
{
	static const struct column pools[] = {
		{ "POOL", "name" },           { "CIDR", "cidr" },
		{ "MODE", "mode" },           { "NAT", "natOutgoing" },
		{ "BLOCKSIZE", "blockSize" }, { "BLOCKS", "blocks" },
		{ "USED", "used" },           { NULL, NULL }
	};
	static const struct column blocks[] = {
		{ "BLOCK", "cidr" }, { "POOL", "pool" },         { "NODE", "node" },
		{ "SIZE", "size" },  { "USED", "used" },         { "COOLING", "cooling" },
		{ "LENT", "lent" },  { "RESERVED", "reserved" }, { "TUNNEL", "tunnelAddress" },
		{ NULL, NULL }
	};
	static const struct column addresses[] = {
		{ "ADDRESS", "address" },     { "NODE", "node" },
		{ "NAMESPACE", "namespace" }, { "POD", "pod" },
		{ "CONTAINER", "container" }, { "INTERFACE", "interface" },
		{ "NETWORK", "network" },     { NULL, NULL }
	};

	print_rows(ctl_table(tables, "pool"), pools);
	if (with_blocks) {
		putchar('\n');
		print_rows(ctl_table(tables, "block"), blocks);
	}
	putchar('\n');
	print_rows(ctl_table(tables, "address"), addresses);
}

static int run_show(struct cmd_ctx *ctx, const void *opts, int argc, char **argv)
{
	const struct show_opts *o = opts;
	struct asked a;
	int rc;

	if (argc)
		return cmd_usage(ctx, "takes no operands");
	rc = ask_all(ctx, &o->common, "ipam-show", NULL, NULL, &a);
	if (rc)
		return rc;
	json_object_set_new(a.tables, "pool", merge(ctl_table(a.tables, "pool"), true));
	json_object_set_new(a.tables, "block", merge(ctl_table(a.tables, "block"), false));
	if (o->common.format == OUT_JSON) {
		json_t *all = json_pack("{s:O, s:O, s:O}", "pools", ctl_table(a.tables, "pool"),
					"blocks", ctl_table(a.tables, "block"), "addresses",
					ctl_table(a.tables, "address"));

		out_json(all, stdout);
		json_decref(all);
	} else {
		print_show(a.tables, o->blocks);
	}
	json_decref(a.tables);
	return a.code;
}

static const struct cmd cmd_ipam_show = {
	.name = "show",
	.summary = "Pools, blocks and the addresses in use",
	.help = "What the agent of this node, or those of a lab, have given out. USED, COOLING "
		"and\n"
		"RESERVED of a block are known by the node that owns it.\n\n"
		"Try:\n"
		"  fairlead ipam show --blocks\n"
		"  fairlead --lab lab ipam show -o json",
	.opts = show_table,
	.opts_size = sizeof(struct show_opts),
	.run = run_show,
};

/* ---- check */

struct check_opts {
	struct ctl_opts common;
	uint8_t fix;
};

static const struct opt check_table[] = { OPT(struct check_opts, fix, 0, "fix", OPT_FLAG,
					      .doc = "Put right what can be put right here"),
					  CTL_OPTIONS(struct check_opts),
					  { 0 } };

static int run_check(struct cmd_ctx *ctx, const void *opts, int argc, char **argv)
{
	static const struct column problems[] = { { "PROBLEM", "what" },    { "NODE", "node" },
						  { "ADDRESS", "address" }, { "FIXED", "fixed" },
						  { "TEXT", "text" },       { NULL, NULL } };
	const struct check_opts *o = opts;
	json_t *found, *row;
	size_t i, left = 0;
	struct asked a;
	int rc;

	if (argc)
		return cmd_usage(ctx, "takes no operands");
	rc = ask_all(ctx, &o->common, "ipam-check", "fix", o->fix ? "true" : "false", &a);
	if (rc)
		return rc;
	found = ctl_table(a.tables, "problem");
	json_array_foreach(found, i, row) left += !json_is_true(json_object_get(row, "fixed"));
	if (o->common.format == OUT_JSON) {
		json_t *all = json_pack("{s:O, s:I}", "problems", found, "left", (json_int_t)left);

		out_json(all, stdout);
		json_decref(all);
	} else if (json_array_size(found)) {
		print_rows(found, problems);
	} else if (!a.code) {
		puts("nothing found");
	}
	json_decref(a.tables);
	return a.code ? a.code : left ? CMD_NO : CMD_OK;
}

static const struct cmd cmd_ipam_check = {
	.name = "check",
	.summary = "Compare the books with the store and the kernel",
	.help = "Finds addresses whose pod's link is gone (no-link), links that belong to no pod\n"
		"(unknown-link), addresses outside of the node's blocks (no-block), loans that "
		"the\n"
		"owner does not know (not-granted, lost-loan). --fix releases the first two; the "
		"others\n"
		"need a decision.\n"
		"Exit code 1 when something is left, 3 when a node does not answer.",
	.opts = check_table,
	.opts_size = sizeof(struct check_opts),
	.run = run_check,
};

/* ---- release */

struct release_opts {
	struct ctl_opts common;
	uint8_t force;
};

static const struct opt release_table[] = { OPT(struct release_opts, force, 0, "force", OPT_FLAG,
						.doc = "Also from a pod whose link is still there"),
					    CTL_OPTIONS(struct release_opts),
					    { 0 } };

/* `row` NULL: nothing was. */
static void print_released(const struct ctl_opts *o, json_t *row, const char *address)
{
	char buf[32], pod[32];

	if (o->format == OUT_JSON) {
		json_t *all = json_pack("{s:O?}", "released", row);

		out_json(all, stdout);
		json_decref(all);
		return;
	}
	printf("released %s of container %s", address, ctl_text(row, "container", buf));
	if (*ctl_text(row, "pod", pod))
		printf(", pod %s", ctl_text(row, "pod", pod));
	putchar('\n');
}

static int run_release(struct cmd_ctx *ctx, const void *opts, int argc, char **argv)
{
	const struct release_opts *o = opts;
	struct err e, last = { 0 };
	struct ctl_agent *agents;
	struct ipaddr ip;
	size_t n;
	int rc;

	if (argc != 1 || addr_parse(argv[0], &ip))
		return cmd_usage(ctx, "takes ADDR");
	rc = ctl_agents(ctx, &o->common, &agents, &n);
	if (rc)
		return rc;
	for (size_t i = 0; i < n; i++) {
		json_t *tables = json_object();

		rc = ctl_ask(&agents[i], tables, &e, "ipam-release", "address", argv[0], "force",
			     o->force ? "true" : "false", NULL);
		if (!rc)
			print_released(&o->common, json_array_get(ctl_table(tables, "address"), 0),
				       argv[0]);
		json_decref(tables);
		if (!rc)
			return CMD_OK;
		if (rc != -ENOENT || !last.code)
			last = e;
		if (rc != -ENOENT && rc != -ECONNREFUSED)
			break;
	}
	if (last.code == -ECONNREFUSED)
		return cmd_error(CMD_PARTLY, "%s", last.text);
	if (o->common.format == OUT_JSON)
		print_released(&o->common, NULL, argv[0]);
	return cmd_error(CMD_NO, "%s", last.text);
}

static const struct cmd cmd_ipam_release = {
	.name = "release",
	.args = "ADDR",
	.summary = "Give an address back that its owner left behind",
	.help = "The node that gave it out must answer. Refused while the pod's link exists; what\n"
		"is released by --force loses its network at once.",
	.opts = release_table,
	.opts_size = sizeof(struct release_opts),
	.run = run_release,
};

static const struct cmd *const subs[] = { &cmd_ipam_show, &cmd_ipam_check, &cmd_ipam_release,
					  NULL };

const struct cmd cmd_ipam = {
	.name = "ipam",
	.summary = "Addresses: who has which, and what does not fit",
	.subs = subs,
};
