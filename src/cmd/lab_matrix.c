// SPDX-License-Identifier: Apache-2.0
/* fairlead lab matrix: every pair, probed. As text one character per pair over all its ports and
 * families, as JSON one row per probe. */
#include "base/names.h"
#include "cmd/lab.h"
#include "cmd/out.h"
#include "lab/matrix.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum family_opt { FAMILY_ANY, FAMILY_4, FAMILY_6 };

struct matrix_cmd_opts {
	struct lab_opts common;
	const char *ports, *from, *to;
	LIST(const char *) externals;
	uint8_t family, all;
	int64_t timeout;
};

static const char *const family_text[] = { NULL, "4", "6" };
static const struct names family_names = NAMES(family_text);

static const struct opt matrix_table[] = {
	OPT(struct matrix_cmd_opts, ports, 0, "ports", OPT_STR, .arg = "PORT/PROTO,...",
	    .doc = "Default: every declared port"),
	OPT(struct matrix_cmd_opts, all, 0, "all", OPT_FLAG, .doc = "Nodes and the outside too"),
	OPT(struct matrix_cmd_opts, from, 0, "from", OPT_STR, .arg = "SEL",
	    .doc = "Only these sources: [NS/]key=value,... or a name"),
	OPT(struct matrix_cmd_opts, to, 0, "to", OPT_STR, .arg = "SEL",
	    .doc = "Only these targets"),
	OPT(struct matrix_cmd_opts, externals, 0, "external", OPT_STR, .list = 1,
	    .arg = "NAME=ADDR", .doc = "An address of the outside that takes part"),
	OPT(struct matrix_cmd_opts, family, 0, "family", OPT_ENUM, .names = &family_names,
	    .doc = "Default: both"),
	OPT(struct matrix_cmd_opts, timeout, 0, "timeout", OPT_INT, .min = 1, .max = 60000,
	    .arg = "MS", .doc = "Default 1500"),
	LAB_OPT_FORMAT(struct matrix_cmd_opts),
	LAB_OPT_NAME(struct matrix_cmd_opts),
	{ 0 },
};

static void matrix_defaults(void *opts)
{
	((struct matrix_cmd_opts *)opts)->timeout = 1500;
}

/* ---- out */

static json_t *text_or_null(const char *s)
{
	return *s ? json_string(s) : json_null();
}

static json_t *row_json(const struct matrix_row *r)
{
	json_t *j = json_pack("{s:s, s:s, s:i, s:s, s:i, s:s, s:o, s:o, s:f}", "from",
			      r->from->name, "to", r->to->name, "port", (int)r->port.port, "proto",
			      name_of(&probe_proto_names, r->port.proto), "family",
			      r->addr.family == AF_INET6 ? 6 : 4, "result",
			      name_of(&probe_result_names, r->result), "server",
			      text_or_null(r->server), "server_sees", text_or_null(r->server_sees),
			      "ms", r->ms);

	if (r->refused)
		json_object_set_new(j, "refused_by",
				    json_string(name_of(&refused_by_names, r->refused)));
	if (*r->detail)
		json_object_set_new(j, "detail", json_string(r->detail));
	return j;
}

static void print_json(const struct matrix *m)
{
	json_t *rows = json_array(), *j;

	for (uint32_t i = 0; i < m->rows.n; i++)
		json_array_append_new(rows, row_json(&m->rows.v[i]));
	j = json_pack("{s:o}", "rows", rows);
	out_json(j, stdout);
	json_decref(j);
}

static char symbol(unsigned seen)
{
	switch (seen) {
	case 0:
		return ' ';
	case 1u << PROBE_CONNECTED:
		return '.';
	case 1u << PROBE_REFUSED:
		return 'R';
	case 1u << PROBE_TIMEOUT:
		return 'X';
	}
	return '?';
}

static unsigned cell(const struct matrix *m, const struct world_member *from,
		     const struct world_member *to, uint32_t *at)
{
	unsigned seen = 0;

	/* Rows lie in the order of sources, then targets. */
	while (*at < m->rows.n && m->rows.v[*at].from == from && m->rows.v[*at].to == to)
		seen |= 1u << m->rows.v[(*at)++].result;
	return seen;
}

static bool is_target(const struct matrix *m, const struct world_member *w)
{
	for (uint32_t i = 0; i < m->rows.n; i++)
		if (m->rows.v[i].to == w)
			return true;
	return false;
}

static void print_text(const struct matrix *m)
{
	size_t counts[4] = { 0 }, column = 0;
	uint32_t at = 0;

	for (uint32_t i = 0; i < m->members.n; i++)
		if (is_target(m, &m->members.v[i]))
			printf("%4zu  %s\n", ++column, m->members.v[i].name);
	puts("\nFrom each row to columns 1, 2, …: . connected, R refused, X timeout, ? some of "
	     "each");
	for (uint32_t i = 0; i < m->rows.n; i++)
		counts[m->rows.v[i].result]++;
	while (at < m->rows.n) {
		const struct world_member *from = m->rows.v[at].from;

		for (uint32_t i = 0; i < m->members.n; i++)
			if (is_target(m, &m->members.v[i]))
				putchar(symbol(cell(m, from, &m->members.v[i], &at)));
		printf("  %s\n", from->name);
	}
	printf("\n%u probes: %zu connected, %zu refused, %zu timed out\n", m->rows.n,
	       counts[PROBE_CONNECTED], counts[PROBE_REFUSED], counts[PROBE_TIMEOUT]);
}

/* ---- in */

static int read_opts(struct cmd_ctx *ctx, const struct matrix_cmd_opts *o, struct matrix_opts *out)
{
	struct err e = { .code = 0 };

	*out = (struct matrix_opts){
		.timeout_ms = (int)o->timeout, .from = o->from, .to = o->to, .all = o->all
	};
	if (o->family)
		out->family = o->family == FAMILY_6 ? AF_INET6 : AF_INET;
	if (o->ports && matrix_ports(o->ports, &out->ports.v, &out->ports.n, ctx->arena, &e))
		return cmd_usage(ctx, "--ports: %s", e.text);
	out->externals.v = arena_array(ctx->arena, o->externals.n, sizeof(*out->externals.v));
	for (uint32_t i = 0; i < o->externals.n; i++)
		if (matrix_external(o->externals.v[i], &out->externals.v[out->externals.n++],
				    ctx->arena, &e))
			return cmd_usage(ctx, "--external %s: %s", o->externals.v[i], e.text);
	return 0;
}

static int run_matrix(struct cmd_ctx *ctx, const void *opts, int argc, char **argv)
{
	const struct matrix_cmd_opts *o = opts;
	struct err e = { .code = 0 };
	struct matrix_opts mo;
	struct matrix m;
	struct world w;
	int rc;

	if (argc)
		return cmd_usage(ctx, "\"%s\" is too much", argv[0]);
	rc = read_opts(ctx, o, &mo);
	if (!rc)
		rc = lab_load(ctx, &o->common, &w);
	if (rc)
		return rc;
	if (mo.family && !lab_has_family(&w.spec, mo.family))
		return cmd_usage(ctx, "--family: lab %s has no IPv%d", w.name,
				 mo.family == AF_INET ? 4 : 6);
	if (matrix_make(&w, &mo, &m, ctx->arena, &e))
		return cmd_fail(&e);
	if (o->common.format == OUT_JSON)
		print_json(&m);
	else
		print_text(&m);
	return 0;
}

const struct cmd cmd_lab_matrix = {
	.name = "matrix",
	.summary = "Probe every pair of pods, with --all of nodes and the outside too",
	.help = "Without --ports every declared port of every pod is probed, in both families; "
		"nodes and\n"
		"the outside on 8080 tcp and udp, where a server runs for as long as it lasts.\n"
		"Exit code 0 when the table was made, whatever it says.\n\n"
		"Try:\n"
		"  fairlead lab matrix\n"
		"  fairlead lab matrix --all --family 6 -o json\n"
		"  fairlead lab matrix --ports 80/tcp,53/udp --from app=web --to shop/app=db\n"
		"  fairlead lab matrix --external client=198.51.100.7",
	.opts = matrix_table,
	.opts_size = sizeof(struct matrix_cmd_opts),
	.init = matrix_defaults,
	.run = run_matrix,
};
