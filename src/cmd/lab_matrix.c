// SPDX-License-Identifier: Apache-2.0
/* fairlead lab matrix: every pair, probed. As text one character per pair over all its ports and
 * families, as JSON one row per probe. */
#include "cmd/lab_matrix.h"
#include "base/names.h"
#include "cmd/out.h"
#include "sys/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define SECOND 1000000000ull

enum family_opt { FAMILY_ANY, FAMILY_4, FAMILY_6 };

static const char *const family_text[] = { NULL, "4", "6" };
const struct names lab_matrix_families = NAMES(family_text);

static const struct opt matrix_table[] = {
	LAB_MATRIX_OPTS,
	OPT(struct lab_matrix_opts, all, 0, "all", OPT_FLAG, .doc = "Nodes and the outside too"),
	{ 0 },
};

void lab_matrix_defaults(void *opts)
{
	((struct lab_matrix_opts *)opts)->timeout = 1500;
}

/* ---- out */

static json_t *text_or_null(const char *s)
{
	return *s ? json_string(s) : json_null();
}

static json_t *row_json(const struct matrix_row *r)
{
	json_t *j = json_pack("{s:s, s:s, s:o, s:s, s:i, s:s, s:o, s:o, s:f}", "from",
			      r->from->name, "to", r->to->name, "port", out_port_json(r->port.port),
			      "proto", name_of(&probe_proto_names, r->port.proto), "family",
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

static int read_opts(struct cmd_ctx *ctx, const struct lab_matrix_opts *o, struct matrix_opts *out)
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

int lab_matrix_read(struct cmd_ctx *ctx, const struct lab_matrix_opts *o, struct world *w,
		    struct matrix_opts *out)
{
	int rc = read_opts(ctx, o, out);

	if (!rc)
		rc = lab_load(ctx, &o->common, w);
	if (!rc && out->family && !lab_has_family(&w->spec, out->family))
		return cmd_usage(ctx, "--family: lab %s has no IPv%d", w->name,
				 out->family == AF_INET ? 4 : 6);
	return rc;
}

struct progress {
	uint64_t since, shown; /* ns; shown 0: never */
};

static void show(void *arg, uint32_t done, uint32_t all)
{
	struct progress *p = arg;
	uint64_t now = clock_mono_ns();

	if (now - p->since < SECOND || now - p->shown < SECOND / 10)
		return;
	p->shown = now;
	fprintf(stderr, "\r\033[Kprobing: %u of %u", done, all);
	fflush(stderr);
}

int lab_matrix_probe(struct cmd_ctx *ctx, const struct world *w, const struct matrix_opts *what,
		     struct matrix *m)
{
	struct matrix_opts o = *what;
	struct progress p = { .since = clock_mono_ns() };
	struct err e = { .code = 0 };
	int rc;

	if (out_is_tty(stderr)) {
		o.progress = show;
		o.progress_arg = &p;
	}
	rc = matrix_make(w, &o, m, ctx->arena, &e);
	if (p.shown)
		fputs("\r\033[K", stderr);
	return rc ? cmd_fail(&e) : 0;
}

static int run_matrix(struct cmd_ctx *ctx, const void *opts, int argc, char **argv)
{
	const struct lab_matrix_opts *o = opts;
	struct matrix_opts mo;
	struct matrix m;
	struct world w;
	int rc;

	if (argc)
		return cmd_usage(ctx, "\"%s\" is too much", argv[0]);
	rc = lab_matrix_read(ctx, o, &w, &mo);
	if (!rc)
		rc = lab_matrix_probe(ctx, &w, &mo, &m);
	if (rc)
		return rc;
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
		"the outside on 8080 tcp and udp, where a server runs for as long as it lasts. In\n"
		"--ports icmp has no port.\n"
		"Exit code 0 when the table was made, whatever it says.\n\n"
		"Try:\n"
		"  fairlead lab matrix\n"
		"  fairlead lab matrix --all --family 6 -o json\n"
		"  fairlead lab matrix --ports 80/tcp,53/udp --from app=web --to shop/app=db\n"
		"  fairlead lab matrix --external client=198.51.100.7",
	.opts = matrix_table,
	.opts_size = sizeof(struct lab_matrix_opts),
	.init = lab_matrix_defaults,
	.run = run_matrix,
};
