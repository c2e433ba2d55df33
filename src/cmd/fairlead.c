// SPDX-License-Identifier: Apache-2.0
/* fairlead: what a person types. Finds the verb, reads its options, runs it; --help at every
 * level. */
#include "cmd/verbs.h"

#include "base/log.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct globals {
	const char *store, *lab;
	uint8_t version;
};

static const struct opt global_opts[] = {
	OPT(struct globals, store, 0, "store", OPT_STR, .arg = "URL", .complete = "store",
	    .doc = "Where the objects are: dir:/path"),
	OPT(struct globals, lab, 0, "lab", OPT_STR, .arg = "NAME", .complete = "lab",
	    .doc = "The store of this running lab"),
	OPT(struct globals, version, 0, "version", OPT_FLAG, .hidden = 1),
	{ 0 },
};

static void list_verbs(const struct cmd *const *verbs, struct buf *out)
{
	for (; *verbs; verbs++)
		buf_printf(out, "  %-20s%s\n", (*verbs)->name, (*verbs)->summary);
}

static void help_top(struct buf *out)
{
	buf_puts(out, "fairlead: pod networking one can see through\n\n"
		      "Usage: fairlead [--store URL | --lab NAME] VERB ...\n\nVerbs:\n");
	list_verbs(cmd_verbs, out);
	buf_puts(out, "\nOptions everywhere:\n");
	opt_help(global_opts, out);
	buf_puts(out,
		 "  -h, --help                  Help, also for every verb\n\n"
		 "Without --store and --lab: the environment's FAIRLEAD_STORE, else the only "
		 "running lab.\n\n"
		 "Exit codes: 0 ok, 1 negative answer, 2 usage, 3 partly, unreachable or timed "
		 "out.\n\n"
		 "Try:\n"
		 "  fairlead VERB --help\n"
		 "  fairlead --store dir:/tmp/s apply --wait=0 -f pods.yaml\n"
		 "  fairlead --store dir:/tmp/s get pods -A\n");
}

static void help_verb(const struct cmd *c, const char *path, struct buf *out)
{
	if (c->subs) {
		buf_printf(out, "%s\n\nUsage: fairlead %s VERB ...\n\nVerbs:\n", c->summary, path);
		list_verbs(c->subs, out);
		if (c->help)
			buf_printf(out, "\n%s\n", c->help);
		return;
	}
	buf_printf(out, "%s\n\nUsage: fairlead %s%s%s%s\n", c->summary, path,
		   c->opts && c->opts->name ? " [OPTION]..." : "", c->args ? " " : "",
		   c->args ? c->args : "");
	if (c->opts && c->opts->name) {
		buf_puts(out, "\nOptions:\n");
		opt_help(c->opts, out);
	}
	if (c->help)
		buf_printf(out, "\n%s\n", c->help);
}

static int show_help(const struct cmd *c, const char *path)
{
	struct buf out = { .v = NULL };

	if (c)
		help_verb(c, path, &out);
	else
		help_top(&out);
	fputs(out.v ? out.v : "", stdout);
	buf_fini(&out);
	return CMD_OK;
}

static const struct cmd *find_verb(const struct cmd *const *verbs, const char *name)
{
	for (; *verbs; verbs++)
		if (!strcmp((*verbs)->name, name))
			return *verbs;
	return NULL;
}

static int run_verb(struct cmd_ctx *ctx, struct globals *g, struct opt_args *args)
{
	const struct cmd *c = ctx->cmd;
	void *opts = arena_alloc(ctx->arena, c->opts_size + 1);
	struct opt_set sets[] = { { c->opts, opts }, { global_opts, g } };
	struct err e = { .code = 0 };
	int n;

	if (!opts)
		return cmd_error(CMD_NO, "no memory");
	if (c->init)
		c->init(opts);
	n = opt_parse(args, sets, 2, ctx->arena, &e);
	if (n < 0)
		return cmd_usage(ctx, "%s", e.text);
	if (args->help)
		return show_help(c, ctx->path);
	ctx->store = g->store;
	ctx->lab = g->lab;
	args->argv[n] = NULL;
	return c->run(ctx, opts, n, args->argv);
}

/* Goes down to the verb, one word at a time; global options may stand between them. */
static int dispatch(struct cmd_ctx *ctx, struct globals *g, int argc, char **argv)
{
	const struct cmd *const *level = cmd_verbs;
	struct opt_set set = { global_opts, g };
	struct err e = { .code = 0 };

	for (;;) {
		struct opt_args args = { .argc = argc, .argv = argv, .head = true };
		int at = opt_parse(&args, &set, 1, ctx->arena, &e);
		const char *word;

		if (at < 0)
			return cmd_usage(ctx, "%s", e.text);
		if (g->version && !ctx->cmd)
			return cmd_version.run(ctx, NULL, 0, NULL);
		if (args.help)
			return show_help(ctx->cmd, ctx->path);
		if (at >= argc)
			return cmd_usage(ctx, "a verb is missing");
		word = argv[at];
		if (!ctx->cmd && !strcmp(word, "help")) {
			static char help[] = "--help";

			memmove(&argv[at], &argv[at + 1], (size_t)(argc - at - 1) * sizeof(*argv));
			argv[argc - 1] = help;
			continue;
		}
		ctx->cmd = find_verb(level, word);
		if (!ctx->cmd)
			return cmd_usage(ctx, "unknown verb \"%s\"", word);
		ctx->path = ctx->path ? arena_printf(ctx->arena, "%s %s", ctx->path, word) : word;
		argc -= at + 1;
		argv += at + 1;
		if (!ctx->cmd->subs)
			break;
		level = ctx->cmd->subs;
	}
	return run_verb(ctx, g, &(struct opt_args){ .argc = argc, .argv = argv });
}

int main(int argc, char **argv)
{
	struct globals g = { .store = NULL };
	struct arena arena;
	struct cmd_ctx ctx = { .arena = &arena };
	int rc, failed;

	log_init("fairlead", LOG_INFO);
	/* A reader that goes away (`| head`) is an error of write(2), not a death. */
	signal(SIGPIPE, SIG_IGN);
	arena_init(&arena, 0);
	rc = dispatch(&ctx, &g, argc - 1, argv + 1);
	failed = fflush(stdout) ? errno : ferror(stdout) ? EIO : 0;
	if (failed && rc == CMD_OK)
		rc = failed == EPIPE ? CMD_NO
				     : cmd_error(CMD_NO, "standard output: %s", strerror(failed));
	arena_fini(&arena);
	return rc;
}
