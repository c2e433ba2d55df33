// SPDX-License-Identifier: Apache-2.0
/* fairlead doctor: what is wrong on this node, why it matters, and the cure. Facts are collected in
 * doctor_look.c, doctor_nft.c and doctor_try.c, and judged in core/doctor. It works with or without
 * an agent, and changes nothing. */
#include "cmd/doctor.h"
#include "cmd/ctl.h"
#include "cmd/out.h"
#include "cmd/verbs.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct doctor_opts {
	const char *config;
	uint8_t format;
};

static const struct opt doctor_table[] = {
	OPT(struct doctor_opts, config, 0, "config", OPT_STR, .arg = "FILE",
	    .doc = "fairleadd's configuration (default: " CONFIG_PATH ")", .complete = "file"),
	OPT(struct doctor_opts, format, 'o', "output", OPT_ENUM, .names = &out_formats_json,
	    .doc = "Output format"),
	{ 0 },
};

static const char *const severities[] = { [DOCTOR_WARNING] = "warning", [DOCTOR_ERROR] = "error" };

static void ask_agent(struct doctor_facts *f, const struct config *cfg, struct arena *a)
{
	struct ctl_agent agent = { .role = "agent",
				   .socket = arena_printf(a, "%s/ctl.sock", cfg->run_dir) };
	json_t *tables = json_object();
	struct err e;

	if (agent.socket && !ctl_ask(&agent, tables, &e, "node-status", NULL)) {
		f->agent_answers = true;
		f->in_sync = json_is_true(
			json_object_get(json_array_get(ctl_table(tables, "node"), 0), "inSync"));
	}
	json_decref(tables);
}

static void print_json(const struct doctor *d)
{
	json_t *findings = json_array(), *checked = json_array(), *all;

	for (uint32_t i = 0; i < d->findings.n; i++) {
		const struct finding *x = &d->findings.v[i];

		json_array_append_new(findings,
				      json_pack("{ss ss ss ss ss ss}", "id", x->id, "severity",
						severities[x->severity], "what", x->what, "where",
						x->where, "why", x->why, "cure", x->cure));
	}
	for (uint32_t i = 0; i < d->checked.n; i++)
		json_array_append_new(checked, json_string(d->checked.v[i]));
	all = json_pack("{s:o s:o}", "findings", findings, "checked", checked);
	out_json(all, stdout);
	json_decref(all);
}

static void print_text(const struct doctor *d)
{
	bool colours = out_is_tty(stdout);

	for (uint32_t i = 0; i < d->findings.n; i++) {
		const struct finding *x = &d->findings.v[i];
		const char *on = !colours                      ? ""
				 : x->severity == DOCTOR_ERROR ? "\033[31m"
							       : "\033[33m";

		printf("%s%-7s%s  %s: %s\n", on, severities[x->severity], colours ? "\033[0m" : "",
		       x->where, x->what);
		printf("         why   %s\n         cure  %s\n         id    %s\n", x->why, x->cure,
		       x->id);
	}
	printf("%s%u finding%s; looked at", d->findings.n ? "\n" : "", d->findings.n,
	       d->findings.n == 1 ? "" : "s");
	for (uint32_t i = 0; i < d->checked.n; i++)
		printf("%s %s", i ? "," : "", d->checked.v[i]);
	putchar('\n');
}

/* Without a file no role is wanted here. */
static int load(struct config *cfg, const char *path, const char *store, struct err *e)
{
	bool configured = path || !access(CONFIG_PATH, F_OK);
	char host[256] = "";
	int rc;

	if (configured)
		rc = config_load(cfg, path ? path : CONFIG_PATH, e);
	else
		rc = config_parse(cfg, "defaults", "", 0, e);
	if (!rc && store)
		cfg->store = store;
	if (rc)
		return rc;
	gethostname(host, sizeof(host) - 1);
	return configured ? config_finish(cfg, host, e)
			  : config_set(cfg, "host name", "node", host, e);
}

static int run(struct cmd_ctx *ctx, const void *opts, int argc, char **argv)
{
	const struct doctor_opts *o = opts;
	struct doctor d = { .a = ctx->arena };
	struct doctor_facts f;
	struct config cfg;
	struct err e;

	if (argc)
		return cmd_usage(ctx, "takes no operands");
	if (geteuid())
		return cmd_error(CMD_PARTLY, "must be root, to look at the kernel's tables");
	if (load(&cfg, o->config, ctx->store, &e)) {
		cmd_fail(&e);
		return CMD_PARTLY;
	}
	doctor_look(&f, &cfg, ctx->arena);
	ask_agent(&f, &cfg, ctx->arena);
	doctor_judge(&d, &f);
	if (d.failed) {
		cmd_error(CMD_PARTLY, "no memory");
	} else if (o->format == OUT_JSON) {
		print_json(&d);
	} else {
		print_text(&d);
	}
	doctor_forget(&f);
	config_fini(&cfg);
	return d.failed || !f.has_kernel ? CMD_PARTLY : d.findings.n ? CMD_NO : CMD_OK;
}

const struct cmd cmd_doctor = {
	.name = "doctor",
	.summary = "What is wrong on this node, and the cure",
	.help = "Looks at forwarding, reverse path filters, MTU (also of the ways to other nodes), "
		"overlapping\n"
		"ranges, what the kernel lacks, other firewalls, network managers, CNI files, disk "
		"and agent.\n"
		"Changes nothing, and needs no running agent. Run it on a node, as root.\n"
		"Exit code 0 nothing found, 1 findings, 3 could not look.",
	.opts = doctor_table,
	.opts_size = sizeof(struct doctor_opts),
	.run = run,
};
