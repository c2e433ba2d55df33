// SPDX-License-Identifier: Apache-2.0
/* fairlead bgp: sessions, tables and peers of the BGP speakers, as role bgp of each node answers on its bgp.sock. */
#include "cmd/bgp.h"
#include "cmd/ctl.h"
#include "cmd/out.h"
#include "cmd/verbs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct bgp_opts {
	struct ctl_opts common;
	const char *peer;
	uint8_t all;
};

static const struct opt common_table[] = { CTL_OPTIONS(struct bgp_opts), { 0 } };
static const struct opt routes_table[] = {
	OPT(struct bgp_opts, peer, 0, "peer", OPT_STR, .arg = "PEER",
	    .doc = "Only what this peer tells"),
	OPT(struct bgp_opts, all, 'a', "all", OPT_FLAG,
	    .doc = "Also paths that are not used, and those that a filter refuses"),
	CTL_OPTIONS(struct bgp_opts),
	{ 0 }
};

/* ---- asking */

/* One speaker's rows, at the end of those that are there: tables speaker, peer, problem. */
static int ask_status(const struct ctl_agent *speaker, json_t *all, struct err *e)
{
	return ctl_ask(speaker, all, e, "bgp-status", NULL);
}

int bgp_ask_beside(struct cmd_ctx *ctx, const struct ctl_agent *agent, json_t *peers, struct err *e)
{
	const char *slash = strrchr(agent->socket, '/');
	struct ctl_agent speaker = { .node = agent->node, .role = "role bgp" };
	json_t *tables = json_object();
	int rc = 0;

	speaker.socket = arena_printf(ctx->arena, "%.*s/bgp.sock", (int)(slash - agent->socket),
				      agent->socket);
	if (speaker.socket && !access(speaker.socket, F_OK))
		rc = ask_status(&speaker, tables, e);
	json_array_extend(peers, ctl_table(tables, "peer"));
	json_decref(tables);
	return rc;
}

/* ---- status */

void bgp_print_peers(const json_t *peers)
{
	static const char *const heads[] = { "NODE",  "PEER", "ADDRESS",  "AS",   "TYPE", "STATE",
					     "SINCE", "BFD",  "RECEIVED", "TOLD", "INFO", NULL };
	static const char *const keys[] = { "node",     "name",  "ip",        "asNumber",
					    "type",     "state", "seconds",   "bfd",
					    "received", "told",  "lastError", NULL };

	ctl_print(peers, heads, keys);
}

bool bgp_all_up(const json_t *peers)
{
	const json_t *row;
	char buf[32];
	size_t i;

	json_array_foreach(peers, i, row) if (strcmp(ctl_text(row, "state", buf), "Established") !=
					      0) return false;
	return true;
}

static void print_status(json_t *tables)
{
	static const char *const heads[] = { "NODE",    "STATE",   "ROUTER-ID", "AS",
					     "ROUTES4", "ROUTES6", "COMPLETE",  NULL };
	static const char *const keys[] = { "node",    "state",   "routerID", "asNumber",
					    "routes4", "routes6", "complete", NULL };
	static const char *const problem_heads[] = { "NODE", "OBJECT", "PROBLEM", NULL };
	static const char *const problem_keys[] = { "node", "object", "text", NULL };

	if (!json_array_size(ctl_table(tables, "speaker")))
		return;
	ctl_print(ctl_table(tables, "speaker"), heads, keys);
	if (json_array_size(ctl_table(tables, "peer")))
		putchar('\n');
	bgp_print_peers(ctl_table(tables, "peer"));
	if (!json_array_size(ctl_table(tables, "problem")))
		return;
	putchar('\n');
	ctl_print(ctl_table(tables, "problem"), problem_heads, problem_keys);
}

/* Of all speakers; CMD_PARTLY where one does not answer. */
static int ask_all(const struct ctl_agent *v, size_t n, json_t *tables)
{
	int code = CMD_OK;
	struct err e;

	for (size_t i = 0; i < n; i++)
		if (ask_status(&v[i], tables, &e))
			code = cmd_error(CMD_PARTLY, "%s", e.text);
	return code;
}

static int run_status(struct cmd_ctx *ctx, const void *opts, int argc, char **argv)
{
	const struct bgp_opts *o = opts;
	struct ctl_agent *v;
	json_t *tables;
	size_t n;
	int rc;

	if (argc)
		return cmd_usage(ctx, "takes no operands");
	rc = ctl_speakers(ctx, &o->common, &v, &n);
	if (rc)
		return rc;
	tables = json_object();
	rc = ask_all(v, n, tables);
	if (!rc && !bgp_all_up(ctl_table(tables, "peer")))
		rc = CMD_NO;
	if (o->common.format == OUT_JSON) {
		json_t *all = json_pack("{s:O, s:O, s:O}", "speakers", ctl_table(tables, "speaker"),
					"peers", ctl_table(tables, "peer"), "problems",
					ctl_table(tables, "problem"));

		out_json(all, stdout);
		json_decref(all);
	} else {
		print_status(tables);
	}
	json_decref(tables);
	return rc;
}

static const struct cmd cmd_status = {
	.name = "status",
	.summary = "Speakers and their sessions",
	.help = "Asks role bgp of this node, or those of a lab (--lab NAME). STATE of a speaker is "
		"on, off\n"
		"(nothing in the store wants one here) or waiting (for the store or the agent);\n"
		"COMPLETE is no while it restarts and has not heard all peers. INFO is why the "
		"session\n"
		"ended last.\n"
		"Exit code 1 when a session is not Established, 3 when a speaker does not answer.",
	.opts = common_table,
	.opts_size = sizeof(struct bgp_opts),
	.run = run_status,
};

/* ---- routes */

struct line {
	const char *node;
	struct prefix prefix;
	size_t at; /* as they came: the best path first */
	json_t *row;
};

static int by_prefix(const void *a, const void *b)
{
	const struct line *x = a, *y = b;
	int c = strcmp(x->node, y->node);

	if (!c)
		c = prefix_cmp(&x->prefix, &y->prefix);
	return c ? c : x->at < y->at ? -1 : x->at > y->at;
}

static bool is_asked_for(const struct bgp_opts *o, const json_t *row)
{
	char buf[32];

	if (o->peer && strcmp(ctl_text(row, "peer", buf), o->peer) != 0)
		return false;
	return o->all || o->peer || json_is_true(json_object_get(row, "inUse"));
}

static bool is_text(const json_t *a, const json_t *b, const char *key)
{
	char x[32], y[32];

	return strcmp(ctl_text(a, key, x), ctl_text(b, key, y)) == 0;
}

/* Those that are asked for, in order. A prefix that changed while the table was read came again, and its later rows are right: with
 * the same path earlier ones go. NULL: no memory. */
static json_t *pick(struct cmd_ctx *ctx, const struct bgp_opts *o, const json_t *rows)
{
	size_t n = 0, i;
	struct line *v = arena_array(ctx->arena, json_array_size(rows), sizeof(*v));
	json_t *out = json_array(), *row;
	char buf[32];

	if (!v)
		return out;
	json_array_foreach(rows, i, row)
	{
		v[n] = (struct line){ .node = ctl_text(row, "node", buf), .at = i, .row = row };
		if (is_asked_for(o, row) &&
		    !prefix_parse(ctl_text(row, "prefix", buf), &v[n].prefix))
			n++;
	}
	qsort(v, n, sizeof(*v), by_prefix);
	for (i = 0; i < n; i++) {
		size_t later = i + 1;

		while (later < n && !strcmp(v[i].node, v[later].node) &&
		       prefix_eq(&v[i].prefix, &v[later].prefix) &&
		       !is_text(v[i].row, v[later].row, "peer"))
			later++;
		if (later == n || strcmp(v[i].node, v[later].node) != 0 ||
		    !prefix_eq(&v[i].prefix, &v[later].prefix))
			json_array_append(out, v[i].row);
	}
	return out;
}

static void print_routes(const json_t *rows)
{
	static const char *const heads[] = { "NODE", "PREFIX",      "VIA",   "PEER", "AS-PATH",
					     "PREF", "COMMUNITIES", "SINCE", "WHY",  NULL };
	static const char *const keys[] = { "node",      "prefix",      "via",     "peer", "asPath",
					    "localPref", "communities", "seconds", "why",  NULL };

	ctl_print(rows, heads, keys);
}

static int run_routes(struct cmd_ctx *ctx, const void *opts, int argc, char **argv)
{
	const struct bgp_opts *o = opts;
	json_t *rows, *picked;
	struct ctl_agent *v;
	int code = CMD_OK, rc;
	size_t n;

	if (argc > 1)
		return cmd_usage(ctx, "takes one PREFIX at most");
	rc = ctl_speakers(ctx, &o->common, &v, &n);
	if (rc)
		return rc;
	rows = json_array();
	for (size_t i = 0; i < n; i++) {
		json_t *tables = json_object();
		struct err e;

		if (ctl_ask(&v[i], tables, &e, "bgp-routes", argc ? "prefix" : NULL,
			    argc ? argv[0] : NULL, NULL))
			code = e.code == -EINVAL ? cmd_fail(&e)
						 : cmd_error(CMD_PARTLY, "%s", e.text);
		json_array_extend(rows, ctl_table(tables, "route"));
		json_decref(tables);
	}
	picked = pick(ctx, o, rows);
	if (o->common.format == OUT_JSON) {
		json_t *all = json_pack("{s:O}", "routes", picked);

		out_json(all, stdout);
		json_decref(all);
	} else {
		print_routes(picked);
	}
	if (!code && argc && !json_array_size(picked))
		code = CMD_NO;
	json_decref(picked);
	json_decref(rows);
	return code;
}

static const struct cmd cmd_routes = {
	.name = "routes",
	.args = "[PREFIX]",
	.summary = "The speakers' tables, with the reason for each preference",
	.help = "Paths that are used, of all prefixes or one; --all adds the others. VIA is the "
		"next hop as it was\n"
		"told; of what the node itself tells WHY says for what, else why this path is the "
		"best\n"
		"(the steps of RFC 4271, 9.1.2.2).\n"
		"Exit code 1 when there is no path to PREFIX, 3 when a speaker does not answer.\n\n"
		"  fairlead bgp routes 10.244.7.0/26 --all\n"
		"  fairlead bgp routes --peer rack-1 -o json",
	.opts = routes_table,
	.opts_size = sizeof(struct bgp_opts),
	.run = run_routes,
};

/* ---- peer */

static void print_details(const json_t *row)
{
	const json_t *v;
	const char *key;
	char buf[32];

	json_object_foreach((json_t *)row, key, v)
		printf("%-16s %s\n", key, ctl_text(row, key, buf));
}

/* Tells its state; how many speakers have such a peer. */
static int show_peer(const struct bgp_opts *o, const struct ctl_agent *v, size_t n,
		     const char *name, unsigned *found)
{
	json_t *tables = json_object(), *picked = json_array(), *row;
	int code = ask_all(v, n, tables);
	char buf[32];
	size_t i;

	json_array_foreach(ctl_table(tables, "peer"), i, row)
	{
		if (!strcmp(ctl_text(row, "name", buf), name))
			json_array_append(picked, row);
	}
	*found = (unsigned)json_array_size(picked);
	if (o->common.format == OUT_JSON) {
		json_t *all = json_pack("{s:O}", "peers", picked);

		out_json(all, stdout);
		json_decref(all);
	} else {
		json_array_foreach(picked, i, row)
		{
			if (i)
				putchar('\n');
			print_details(row);
		}
	}
	json_decref(tables);
	json_decref(picked);
	return code;
}

static int change_peer(const struct ctl_agent *v, size_t n, const char *name, const char *what,
		       unsigned *found)
{
	int code = CMD_OK;

	for (size_t i = 0; i < n; i++) {
		json_t *tables = json_object();
		struct err e;
		int rc = ctl_ask(&v[i], tables, &e, "bgp-peer", "name", name, "do", what, NULL);

		*found += !rc;
		if (rc && rc != -ENOENT)
			code = rc == -EINVAL ? cmd_fail(&e) : cmd_error(CMD_PARTLY, "%s", e.text);
		json_decref(tables);
	}
	return code;
}

static int run_peer(struct cmd_ctx *ctx, const void *opts, int argc, char **argv)
{
	const struct bgp_opts *o = opts;
	struct ctl_agent *v;
	unsigned found = 0;
	size_t n;
	int rc;

	if (argc < 1 || argc > 2)
		return cmd_usage(ctx, "takes PEER, and reset or refresh");
	if (argc == 2 && strcmp(argv[1], "reset") != 0 && strcmp(argv[1], "refresh") != 0)
		return cmd_usage(ctx, "\"%s\" is neither reset nor refresh", argv[1]);
	rc = ctl_speakers(ctx, &o->common, &v, &n);
	if (rc)
		return rc;
	rc = argc == 2 ? change_peer(v, n, argv[0], argv[1], &found)
		       : show_peer(o, v, n, argv[0], &found);
	if (!rc && !found)
		return cmd_error(CMD_NO, "no speaker has a peer \"%s\"", argv[0]);
	return rc;
}

static const struct cmd cmd_peer = {
	.name = "peer",
	.args = "PEER [reset|refresh]",
	.summary = "One peer in detail, or its session begun anew",
	.help = "reset ends the session and begins it anew; refresh leaves it alone, asks the peer "
		"for all\n"
		"of its routes (RFC 2918) and tells it ours again. Of a lab each node that has "
		"such a\n"
		"peer is asked, or that of --node.",
	.opts = common_table,
	.opts_size = sizeof(struct bgp_opts),
	.run = run_peer,
};

static const struct cmd *const subs[] = { &cmd_status, &cmd_routes, &cmd_peer, NULL };

const struct cmd cmd_bgp = {
	.name = "bgp",
	.summary = "Routes between nodes: sessions, tables, peers",
	.subs = subs,
};
