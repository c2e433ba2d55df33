// SPDX-License-Identifier: Apache-2.0
/* routes: see routes.h. */
#include "cmd/routes.h"
#include "cmd/ctl.h"
#include "cmd/out.h"

#include <stdio.h>

/* Of what BGP told: who did, and why this is the best or is not taken; all next hops, where there are several. */
static const char *say_why(const json_t *row, char *buf, size_t n)
{
	char none[32];
	const char *peer = ctl_text(row, "peer", none), *why = ctl_text(row, "why", none),
		   *left = ctl_text(row, "because", none), *hops = ctl_text(row, "hops", none);

	snprintf(buf, n, "%s%s%s%s%s%s%s", peer, peer[0] && why[0] ? ": " : "",
		 left[0] ? left : why,
		 json_is_true(json_object_get(row, "stale")) ? " (stale)" : "", hops[0] ? " [" : "",
		 hops, hops[0] ? "]" : "");
	return buf[0] ? buf : "-";
}

static void print_table(const json_t *rows)
{
	static const char *const keys[] = { "node", "dst",  "via",   "dev",
					    "src",  "type", "owner", "state" };
	const json_t *row;
	char buf[32], why[256];
	struct table t;
	size_t i;

	table_init(&t, "NODE", "DESTINATION", "VIA", "DEV", "SRC", "TYPE", "WANTED-BY", "STATE",
		   "WHY", NULL);
	json_array_foreach(rows, i, row)
	{
		for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++)
			table_cell(&t, "%s", ctl_text(row, keys[k], buf));
		table_cell(&t, "%s", say_why(row, why, sizeof(why)));
	}
	table_print(&t, stdout);
	table_fini(&t);
}

int get_routes(struct cmd_ctx *ctx, unsigned format)
{
	const struct ctl_opts all = { 0 };
	json_t *rows = json_array();
	struct ctl_agent *agents;
	int code = CMD_OK, rc;
	size_t n;

	rc = ctl_agents(ctx, &all, &agents, &n);
	for (size_t i = 0; !rc && i < n; i++) {
		json_t *tables = json_object();
		struct err e;

		if (ctl_ask(&agents[i], tables, &e, "routes", NULL))
			code = cmd_error(CMD_PARTLY, "%s", e.text);
		json_array_extend(rows, ctl_table(tables, "route"));
		json_decref(tables);
	}
	if (!rc && (format == OUT_JSON || format == OUT_YAML)) {
		json_t *list = json_pack("{s:s, s:s, s:O}", "apiVersion", "v1", "kind", "List",
					 "items", rows);

		if (format == OUT_JSON)
			out_json(list, stdout);
		else
			out_yaml(list, stdout);
		json_decref(list);
	} else if (!rc) {
		print_table(rows);
	}
	json_decref(rows);
	return rc ? rc : code;
}
