// SPDX-License-Identifier: Apache-2.0
/* fairlead trace: the life of one packet and of its answer. What was asked and what nodes saw comes from
 * trace_ask.c, or from a PacketTrace that was kept; the story is core/trace's. */
#include "cmd/trace.h"

#include "cmd/out.h"
#include "cmd/story_out.h"
#include "cmd/verbs.h"

static const struct opt trace_table[] = {
	OPT(struct trace_opts, proto, 0, "proto", OPT_ENUM, .names = &why_proto_names,
	    .doc = "Default tcp"),
	OPT(struct trace_opts, explain, 0, "explain", OPT_FLAG,
	    .doc = "Below each hop what it is, and the command that shows it"),
	OPT(struct trace_opts, diff, 0, "diff", OPT_FLAG,
	    .doc = "Hold it against what objects predict (fairlead why)"),
	OPT(struct trace_opts, size, 0, "size", OPT_INT, .arg = "BYTES", .min = 36,
	    .max = TRACE_SIZE_MAX,
	    .doc = "Length of the probe from its IP header on; it may not be split (udp, icmp)"),
	OPT(struct trace_opts, query, 0, "query", OPT_STR, .arg = "NAME[/TYPE]",
	    .doc = "The probe is a DNS query (default type A); without TO it asks whom FROM asks"),
	OPT(struct trace_opts, timeout, 0, "timeout", OPT_INT, .arg = "SECONDS", .min = 1,
	    .max = 60, .doc = "How long the probe waits for an answer (default 3)"),
	OPT(struct trace_opts, keep, 0, "keep", OPT_FLAG,
	    .doc = "Leave the PacketTrace in the store for a minute"),
	OPT(struct trace_opts, files, 'f', "filename", OPT_STR, .list = 1, .arg = "PATH",
	    .complete = "file",
	    .doc = "Sends nothing: the PacketTrace of these manifests, and the objects beside it"),
	OPT(struct trace_opts, format, 'o', "output", OPT_ENUM, .names = &out_formats_json,
	    .doc = "Output format"),
	{ 0 },
};

/* ---- of manifests */

static int read_files(struct cmd_ctx *ctx, const struct trace_opts *o, struct trace_asked *t)
{
	const struct objects_from from = { .files = o->files.v, .n_files = o->files.n };
	const struct object *const *all;
	size_t n;
	int rc = objects_load(ctx, &from, &t->objects);

	if (rc)
		return rc;
	all = cluster_all(t->objects.cluster, KIND_PACKETTRACE, &n);
	if (n != 1)
		return cmd_error(CMD_USAGE, "the files have %zu PacketTraces, not one", n);
	t->trace = all[0]->body;
	t->view.cluster = t->objects.cluster;
	return CMD_OK;
}

/* ---- on paper */

/* `c`: NULL: nobody asked. */
static int print_json(const struct story *s, const struct story_comparison *c)
{
	json_t *j = story_json(s);

	if (c)
		json_object_set_new(j, "diff", trace_diff_json(c));
	out_json(j, stdout);
	json_decref(j);
	return CMD_OK;
}

static int print(const struct trace_opts *o, const struct story *s,
		 const struct story_comparison *c, struct arena *a)
{
	int rc;

	if (o->format == OUT_JSON)
		return print_json(s, c);
	rc = story_text(s, o->explain, a);
	if (!rc && c)
		trace_diff_print(c);
	return rc;
}

/* Where it was to be compared, whether it is as predicted, and not what became of it. */
static int exit_of(const struct story *s, const struct story_comparison *c)
{
	if (c && c->differences.list.n)
		return CMD_NO;
	if (s->unseen.n || s->verdict == STORY_UNKNOWN)
		return CMD_PARTLY;
	return c || s->verdict == STORY_ANSWERED || s->verdict == STORY_DELIVERED ? CMD_OK : CMD_NO;
}

static int check_usage(struct cmd_ctx *ctx, const struct trace_opts *o, int argc)
{
	bool asks = o->query != NULL;

	if (o->files.n && argc)
		return cmd_usage(ctx, "takes no operands with -f");
	if (o->files.n && (o->size || asks))
		return cmd_usage(ctx, "--size and --query are of a probe, and -f sends none");
	if (!o->files.n && argc != 2 && (!asks || argc != 1))
		return cmd_usage(ctx, asks ? "takes FROM, and TO[:PORT] where another is asked"
					   : "takes FROM and TO[:PORT]");
	if (asks && o->size)
		return cmd_usage(ctx, "--size: a query is as long as its name");
	return CMD_OK;
}

static int run(struct cmd_ctx *ctx, const void *opts, int argc, char **argv)
{
	const struct trace_opts *o = opts;
	struct trace_asked t = { .trace = NULL };
	struct story_comparison c = { .predicted = NULL };
	const struct story_comparison *compared = o->diff ? &c : NULL;
	struct err e = { .code = 0 };
	struct story s;
	int rc;

	rc = check_usage(ctx, o, argc);
	if (rc)
		return rc;
	rc = o->files.n ? read_files(ctx, o, &t)
			: trace_ask(ctx, o, argv[0], argc > 1 ? argv[1] : NULL, &t);
	if (!rc && story_join(&t.view, t.trace, ctx->arena, &s, &e))
		rc = cmd_fail(&e);
	if (!rc && o->diff && story_compare(&t.view, t.trace, &s, ctx->arena, &c, &e))
		rc = cmd_fail(&e);
	if (!rc)
		rc = print(o, &s, compared, ctx->arena);
	if (!rc)
		rc = exit_of(&s, compared);
	trace_forget(&t);
	return rc;
}

const struct cmd cmd_trace = {
	.name = "trace",
	.args = "FROM [TO[:PORT]]",
	.summary = "The life of one packet: a real probe, followed there and back",
	.help = "Sends one real probe from FROM (NS/POD, a node, or `outside` of a lab) to TO (the "
		"same, "
		"an\naddress, or a Service: NS/NAME or its name in DNS), and shows what every node "
		"did "
		"with it\nand with its answer: where it was, what changed, and who decided - the "
		"Service and why this\nendpoint, the rule of a NetworkPolicy, the route and whose "
		"addresses it leads to, the\ntunnel, another program's nftables rule, or the "
		"kernel "
		"and its reason. Ends in a verdict,\nand says what to do where it knows the "
		"mistake. "
		"Only the probe is followed: it bears a mark\nthat survives translation and "
		"tunnels.\n\n"
		"With --query the probe is a DNS query: its life, what was answered, and from "
		"where the "
		"server\nhas it. Without TO it asks whom a pod's resolv.conf names.\n\n"
		"answered    an answer came back        refused  somebody said no (RST, ICMP)\n"
		"delivered   it came; nobody answers    dropped  somebody let it end without a "
		"word\n"
		"lost        seen last somewhere, and nobody says that it dropped it\n\n"
		"Read it from the top: a place (a node, or a pod on it) stands where the packet "
		"comes "
		"to it;\ntimes are since the hop before, and missing between nodes, whose clocks "
		"differ. --explain\nsays what each hop is, and which ip or nft command shows the "
		"same "
		"fact. `fairlead why` judges\nwithout sending; --diff compares both, "
		"and a difference is a fault of one of them.\n\n"
		"Exit code 0 answered or delivered, 1 not, 3 some node could not show all; with "
		"--diff 0\nas predicted, 1 not.\n\n"
		"Try:\n"
		"  fairlead trace shop/web-0 shop/db:5432\n"
		"  fairlead trace shop/web-0 shop/db:5432 --explain\n"
		"  fairlead trace outside n1:30080 -o json\n"
		"  fairlead trace n1 shop/db-0 --proto icmp\n"
		"  fairlead trace shop/web-0 --query db.shop.svc.cluster.local/AAAA",
	.opts = trace_table,
	.opts_size = sizeof(struct trace_opts),
	.run = run,
};
