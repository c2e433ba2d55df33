// SPDX-License-Identifier: Apache-2.0
/* fairlead version */
#include "cmd/out.h"
#include "cmd/verbs.h"

struct version_opts {
	uint8_t format;
};

static const struct opt version_table[] = {
	OPT(struct version_opts, format, 'o', "output", OPT_ENUM, .names = &out_formats_json,
	    .doc = "Output format"),
	{ 0 },
};

static int run_version(struct cmd_ctx *ctx, const void *opts, int argc, char **argv)
{
	const struct version_opts *o = opts;

	if (argc)
		return cmd_usage(ctx, "takes no operands");
	if (o && o->format == OUT_JSON) {
		json_t *j = json_pack("{s:s, s:i}", "version", FAIRLEAD_VERSION, "recordVersion",
				      RECORD_VERSION);

		out_json(j, stdout);
		json_decref(j);
		return CMD_OK;
	}
	printf("fairlead %s\n", FAIRLEAD_VERSION);
	return CMD_OK;
}

const struct cmd cmd_version = {
	.name = "version",
	.summary = "Say which version this is",
	.opts = version_table,
	.opts_size = sizeof(struct version_opts),
	.run = run_version,
};
