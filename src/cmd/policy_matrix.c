// SPDX-License-Identifier: Apache-2.0
/* fairlead policy matrix: what policies say of every pair, whether or not anything listens there.
 * As text one character per pair over all its ports and families, as JSON one row for each. */
#include "cmd/out.h"
#include "cmd/policy.h"
#include "lab/matrix.h"

#define OUTSIDE_PORT 8080 /* probed where no pod declares any: lab matrix' server outside */

struct policy_matrix_opts {
	struct policy_opts common;
	const char *ports;
	LIST(const char *) externals;
};

static const struct opt matrix_table[] = {
	OPT(struct policy_matrix_opts, ports, 0, "ports", OPT_STR, .arg = "PORT/PROTO,icmp,...",
	    .doc = "Default: every declared port of the target"),
	OPT(struct policy_matrix_opts, externals, 0, "external", OPT_STR, .list = 1,
	    .arg = "NAME=ADDR", .doc = "An address that takes part"),
	POLICY_OPTIONS(struct policy_matrix_opts),
	{ 0 },
};

const uint8_t policy_probed[] = { [PROBE_TCP] = PROTO_TCP,
				  [PROBE_UDP] = PROTO_UDP,
				  [PROBE_SCTP] = PROTO_SCTP,
				  [PROBE_ICMP] = PROTO_NONE };

struct making {
	const struct cluster *cluster;
	struct policy_ends ends;
	LIST(struct world_port) ports;
	struct arena scratch; /* of one flow */
	const struct policy_end *from, *to;
	struct world_port port; /* of the flow at hand */
	json_t *rows;           /* NULL: as text */
	size_t n[2];            /* denied, allowed */
	unsigned seen;
	struct err e;
};

/* ---- one cell */

static void add_row(struct making *m, const struct policy_flow *f, bool allowed)
{
	int family = policy_family(f);
	json_t *j = json_pack(
		"{s:s, s:s, s:o, s:s, s:o, s:s}", "from", m->from->name, "to", m->to->name, "port",
		out_port_json(f->dport), "proto", name_of(&probe_proto_names, m->port.proto),
		"family", family ? json_integer(family) : json_null(), "result",
		name_of(&probe_result_names, allowed ? PROBE_CONNECTED : PROBE_TIMEOUT));

	json_array_append_new(m->rows, j);
}

static bool judge_flow(void *arg, const struct policy_flow *f)
{
	struct making *m = arg;
	struct policy_verdict v;

	arena_reset(&m->scratch);
	if (policy_judge(m->cluster, f, &m->scratch, &v, &m->e))
		return false;
	m->n[v.allowed]++;
	m->seen |= 1u << v.allowed;
	if (m->rows)
		add_row(m, f, v.allowed);
	return true;
}

static void judge_port(struct making *m, struct world_port p)
{
	m->port = p;
	policy_flows(m->from, m->to, policy_probed[p.proto], p.port, judge_flow, m);
}

static void judge_declared(struct making *m, const struct container_port *cp)
{
	static const uint8_t probes[] = {
		[PROTO_TCP] = PROBE_TCP, [PROTO_UDP] = PROBE_UDP, [PROTO_SCTP] = PROBE_SCTP
	};

	judge_port(m, (struct world_port){ (uint16_t)cp->containerPort,
					   probes[policy_protocol(cp->protocol)] });
}

/* 0 or m->e.code; m->seen says which verdicts there were. */
static int judge_pair(struct making *m, const struct policy_end *from, const struct policy_end *to)
{
	const struct container_port *cp;

	m->from = from;
	m->to = to;
	m->seen = 0;
	for (uint32_t i = 0; i < m->ports.n; i++)
		judge_port(m, m->ports.v[i]);
	for (uint32_t i = 0; !m->ports.n && to->pod && (cp = policy_pod_port(to->pod, i)); i++)
		judge_declared(m, cp);
	if (!m->ports.n && !to->pod) {
		judge_port(m, (struct world_port){ OUTSIDE_PORT, PROBE_TCP });
		judge_port(m, (struct world_port){ OUTSIDE_PORT, PROBE_UDP });
	}
	return m->e.code;
}

/* ---- the table */

static int make_text(struct making *m)
{
	static const char symbols[] = { ' ', 'X', '.', '?' };

	for (uint32_t i = 0; i < m->ends.list.n; i++)
		printf("%4u  %s\n", i + 1, m->ends.list.v[i].name);
	puts("\nFrom each row to columns 1, 2, …: . allowed, X denied, ? some of each");
	for (uint32_t i = 0; i < m->ends.list.n; i++) {
		for (uint32_t k = 0; k < m->ends.list.n; k++) {
			if (judge_pair(m, &m->ends.list.v[i], &m->ends.list.v[k]))
				return m->e.code;
			putchar(symbols[m->seen]);
		}
		printf("  %s\n", m->ends.list.v[i].name);
	}
	printf("\n%zu flows: %zu allowed, %zu denied\n", m->n[0] + m->n[1], m->n[1], m->n[0]);
	return 0;
}

static int make_json(struct making *m)
{
	json_t *all = json_pack("{s:[]}", "rows");

	m->rows = json_object_get(all, "rows");
	for (uint32_t i = 0; i < m->ends.list.n && !m->e.code; i++)
		for (uint32_t k = 0; k < m->ends.list.n && !m->e.code; k++)
			judge_pair(m, &m->ends.list.v[i], &m->ends.list.v[k]);
	if (!m->e.code)
		out_json(all, stdout);
	json_decref(all);
	return m->e.code;
}

static int add_external(struct cmd_ctx *ctx, struct making *m, const char *text)
{
	struct matrix_external x;

	if (matrix_external(text, &x, ctx->arena, &m->e))
		return cmd_usage(ctx, "--external %s: %s", text, m->e.text);
	m->ends.list.v[m->ends.list.n++] = policy_end_at(m->cluster, x.name, &x.addr);
	return 0;
}

static int make(struct cmd_ctx *ctx, const struct policy_matrix_opts *o, struct making *m)
{
	int rc = 0;

	if (o->ports && matrix_ports(o->ports, &m->ports.v, &m->ports.n, ctx->arena, &m->e))
		return cmd_usage(ctx, "--ports: %s", m->e.text);
	if (!policy_pods(m->cluster, o->externals.n, ctx->arena, &m->ends))
		return cmd_error(CMD_NO, "no memory");
	for (uint32_t i = 0; !rc && i < o->externals.n; i++)
		rc = add_external(ctx, m, o->externals.v[i]);
	if (rc)
		return rc;
	arena_init(&m->scratch, 0);
	if (o->common.format == OUT_JSON ? make_json(m) : make_text(m))
		rc = cmd_fail(&m->e);
	arena_fini(&m->scratch);
	return rc;
}

static int run_matrix(struct cmd_ctx *ctx, const void *opts, int argc, char **argv)
{
	const struct policy_matrix_opts *o = opts;
	struct making m = { .n = { 0 } };
	struct objects objects;
	int rc;

	if (argc)
		return cmd_usage(ctx, "\"%s\" is too much", argv[0]);
	rc = policy_objects(ctx, &o->common, &objects);
	m.cluster = objects.cluster;
	if (!rc)
		rc = make(ctx, o, &m);
	if (!rc && objects.left_out)
		rc = CMD_PARTLY;
	objects_fini(&objects);
	return rc;
}

const struct cmd cmd_policy_matrix = {
	.name = "matrix",
	.summary = "What policies say of every pair of pods, without a packet",
	.help = "Policies alone: a pair is allowed whether or not anything listens, and whatever "
		"Services and\n"
		"routes say. With -f it needs no cluster and no root: workloads get the pods that "
		"a cluster\n"
		"would make of them, unless the manifests have those pods. A pod without an "
		"address "
		"is in no\n"
		"ipBlock. Without --ports every declared port of the target is judged, of "
		"externals "
		"8080 tcp\n"
		"and udp. In JSON the result is connected or timeout, as in lab matrix.\n"
		"Exit code 0 when the table was made, whatever it says; 3 objects were left "
		"out.\n\n"
		"Try:\n"
		"  fairlead policy matrix\n"
		"  fairlead policy matrix -f manifests/ --ports 5432/tcp,53/udp,icmp -o json\n"
		"  fairlead policy matrix -f manifests/ --external client=198.51.100.7",
	.opts = matrix_table,
	.opts_size = sizeof(struct policy_matrix_opts),
	.run = run_matrix,
};
