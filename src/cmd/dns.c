// SPDX-License-Identifier: Apache-2.0
/* fairlead dns: what the DNS server of a node answers, and what it is, as role dns says on its dns.sock. */
#include "cmd/ctl.h"
#include "cmd/out.h"
#include "cmd/verbs.h"

#include <errno.h>
#include <string.h>

struct dns_opts {
	struct ctl_opts common;
};

static const struct opt common_table[] = { CTL_OPTIONS(struct dns_opts), { 0 } };

/* ---- query */

static void print_answer(json_t *tables)
{
	static const char *const heads[] = { "SECTION", "NAME", "TTL", "TYPE", "DATA", NULL };
	static const char *const keys[] = { "section", "name", "ttl", "type", "data", NULL };
	const json_t *q = json_array_get(ctl_table(tables, "query"), 0);
	char name[32], type[32], rcode[32], from[32], node[32], us[32];

	printf("%s %s: %s from %s, by node %s in %s us\n", ctl_text(q, "name", name),
	       ctl_text(q, "type", type), ctl_text(q, "rcode", rcode), ctl_text(q, "from", from),
	       ctl_text(q, "node", node), ctl_text(q, "us", us));
	ctl_print(ctl_table(tables, "record"), heads, keys);
}

/* One node's answer: CMD_OK where there are records of the answer, CMD_NO where there are none. */
static int query_one(const struct dns_opts *o, const struct ctl_agent *server, const char *name,
		     const char *type)
{
	json_t *tables = json_object(), *row;
	int code = CMD_NO;
	char buf[32];
	struct err e;
	size_t i;

	if (ctl_ask(server, tables, &e, "dns-query", "name", name, type ? "type" : NULL, type,
		    NULL)) {
		json_decref(tables);
		return e.code == -EINVAL ? cmd_fail(&e) : cmd_error(CMD_PARTLY, "%s", e.text);
	}
	json_array_foreach(ctl_table(tables, "record"), i,
			   row) if (!strcmp(ctl_text(row, "section", buf), "answer")) code = CMD_OK;
	if (o->common.format == OUT_JSON) {
		json_t *all = json_pack("{s:O, s:O}", "query",
					json_array_get(ctl_table(tables, "query"), 0), "records",
					ctl_table(tables, "record"));

		out_json(all, stdout);
		json_decref(all);
	} else {
		print_answer(tables);
	}
	json_decref(tables);
	return code;
}

static int run_query(struct cmd_ctx *ctx, const void *opts, int argc, char **argv)
{
	const struct dns_opts *o = opts;
	struct ctl_agent *v;
	size_t n;
	int rc;

	if (argc < 1 || argc > 2)
		return cmd_usage(ctx, "takes NAME, and a TYPE");
	rc = ctl_dns(ctx, &o->common, &v, &n);
	return rc ? rc : query_one(o, v, argv[0], argc > 1 ? argv[1] : NULL);
}

static const struct cmd cmd_query = {
	.name = "query",
	.args = "NAME [TYPE]",
	.summary = "What a node's DNS server answers, and from where it has it",
	.help = "Asks the server of this node, or of a lab's first node or --node, for a name in "
		"full\n"
		"(search lists are the client's); TYPE is A where it is not given. The answer is "
		"what a\n"
		"client gets, from the hosts file, the cluster or an upstream (or what is kept of "
		"one).\n"
		"Exit code 1 when there is no such record, 3 when no server answers.\n\n"
		"  fairlead dns query kubernetes.default.svc.cluster.local\n"
		"  fairlead dns query _http._tcp.web.shop.svc.cluster.local SRV -o json",
	.opts = common_table,
	.opts_size = sizeof(struct dns_opts),
	.run = run_query,
};

/* ---- status */

static int run_status(struct cmd_ctx *ctx, const void *opts, int argc, char **argv)
{
	static const char *const heads[] = { "NODE", "DOMAIN", "WORKERS", "KNOWN",
					     "FROM", "SINCE",  NULL };
	static const char *const keys[] = { "node", "domain",  "workers", "known",
					    "from", "seconds", NULL };
	static const char *const listen_heads[] = { "NODE", "LISTENS", "PORT", NULL };
	static const char *const upstream_heads[] = { "NODE", "UPSTREAM", "PORT", NULL };
	static const char *const address_keys[] = { "node", "ip", "port", NULL };
	const struct dns_opts *o = opts;
	struct ctl_agent *v = NULL;
	int code = CMD_OK, rc;
	size_t n = 0;
	json_t *tables;

	(void)argv;
	if (argc)
		return cmd_usage(ctx, "takes no arguments");
	rc = ctl_dns(ctx, &o->common, &v, &n);
	if (rc)
		return rc;
	tables = json_object();
	for (size_t i = 0; i < n; i++) {
		struct err e;

		if (ctl_ask(&v[i], tables, &e, "dns-status", NULL))
			code = cmd_error(CMD_PARTLY, "%s", e.text);
	}
	if (o->common.format == OUT_JSON) {
		json_t *all = json_pack("{s:O, s:O, s:O}", "servers", ctl_table(tables, "dns"),
					"listens", ctl_table(tables, "listen"), "upstreams",
					ctl_table(tables, "upstream"));

		out_json(all, stdout);
		json_decref(all);
	} else {
		ctl_print(ctl_table(tables, "dns"), heads, keys);
		ctl_print(ctl_table(tables, "listen"), listen_heads, address_keys);
		ctl_print(ctl_table(tables, "upstream"), upstream_heads, address_keys);
	}
	json_decref(tables);
	return code;
}

static const struct cmd cmd_status = {
	.name = "status",
	.summary = "The DNS servers: where they answer, whom they ask",
	.help = "KNOWN says whether the names of the whole cluster are there, FROM and SINCE who "
		"fills "
		"the table of\n"
		"them and since when: the agent, or the server itself from the store. Exit code 3 "
		"when a server\n"
		"does not answer.",
	.opts = common_table,
	.opts_size = sizeof(struct dns_opts),
	.run = run_status,
};

static const struct cmd *const subs[] = { &cmd_query, &cmd_status, NULL };

const struct cmd cmd_dns = {
	.name = "dns",
	.summary = "Names: what a node's DNS server answers",
	.subs = subs,
};
