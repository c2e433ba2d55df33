// SPDX-License-Identifier: Apache-2.0
/* fairlead lab verify: what packets met, against what NetworkPolicies say they must meet.
 *
 * The matrix is probed with real packets; each cell is judged by core/policy over the objects of
 * the lab's store. `refused` counts as allowed: policies drop, they do not answer. An answer where
 * none may come is a difference at once; silence where an answer should come is asked once more,
 * as packets get lost too. Cells that say nothing about policies are not judged: those between
 * clients of the outside, and from there to pods in a mode in which it has no way to them. */
#include "base/names.h"
#include "cmd/lab_matrix.h"
#include "cmd/out.h"
#include "cmd/policy.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

struct verifying {
	const struct world *w;
	const struct cluster *cluster;
	struct arena *a;
	struct err e; /* of a judgement */
	uint32_t judged;
	LIST(const struct matrix_row *) differ;
};

static const struct opt verify_table[] = { LAB_MATRIX_OPTS, { 0 } };

/* ---- judging */

static const struct pod *pod_of(const struct verifying *v, const struct world_member *m)
{
	const char *slash = m->kind == WORLD_POD ? strchr(m->name, '/') : NULL;
	const char *ns = slash ? arena_strndup(v->a, m->name, (size_t)(slash - m->name)) : NULL;
	const struct object *o = ns ? cluster_get(v->cluster, KIND_POD, ns, slash + 1) : NULL;

	return o ? o->body : NULL;
}

static bool can_judge(const struct verifying *v, const struct matrix_row *r)
{
	const struct pod *to = pod_of(v, r->to);

	return r->from->kind == WORLD_POD ||
	       (to && (v->w->spec.mode == POOL_DIRECT || to->spec.hostNetwork));
}

static bool predict(struct verifying *v, const struct matrix_row *r, struct policy_verdict *out)
{
	struct policy_flow flow = { .src = *world_addr(r->from, r->addr.family),
				    .dst = r->addr,
				    .proto = policy_probed[r->port.proto],
				    .dport = r->port.port,
				    .from = pod_of(v, r->from),
				    .to = pod_of(v, r->to) };

	*out = (struct policy_verdict){ 0 };
	return !policy_judge(v->cluster, &flow, v->a, out, v->e.code ? NULL : &v->e);
}

/* An answer is due, but silence would be the end of it. */
static bool expects(void *arg, const struct matrix_row *r)
{
	struct policy_verdict verdict;

	return can_judge(arg, r) && predict(arg, r, &verdict) && verdict.allowed;
}

static int compare(struct verifying *v, const struct matrix *m)
{
	struct policy_verdict verdict;

	v->differ.v = arena_array(v->a, m->rows.n, sizeof(*v->differ.v));
	for (uint32_t i = 0; v->differ.v && i < m->rows.n; i++) {
		const struct matrix_row *r = &m->rows.v[i];

		if (!can_judge(v, r))
			continue;
		if (!predict(v, r, &verdict))
			break;
		v->judged++;
		if (verdict.allowed != (r->result != PROBE_TIMEOUT))
			v->differ.v[v->differ.n++] = r;
	}
	if (v->a->failed && !v->e.code)
		err_set(&v->e, -ENOMEM, "out of memory");
	return v->e.code ? cmd_fail(&v->e) : 0;
}

/* ---- out */

/* What forbids it, or what lets it pass. */
static const char *why_text(const struct matrix_row *r, const struct policy_verdict *v,
			    struct arena *a)
{
	const char *out = policy_half_words(&v->egress, POLICY_EGRESS, r->from->name, a);
	const char *in = policy_half_words(&v->ingress, POLICY_INGRESS, r->to->name, a);
	bool out_denies = v->egress.state == POLICY_DENIED;
	bool in_denies = v->ingress.state == POLICY_DENIED;

	if (out_denies && !in_denies)
		return arena_printf(a, "egress: %s", out);
	if (in_denies && !out_denies)
		return arena_printf(a, "ingress: %s", in);
	return arena_printf(a, "egress: %s; ingress: %s", out, in);
}

static void print_json(struct verifying *v, const struct matrix *m)
{
	json_t *list = json_array(), *j;
	struct policy_verdict verdict;

	for (uint32_t i = 0; i < v->differ.n; i++) {
		const struct matrix_row *r = v->differ.v[i];

		predict(v, r, &verdict);
		json_array_append_new(list,
				      json_pack("{s:s, s:s, s:o, s:s, s:i, s:s, s:s, s:s}", "from",
						r->from->name, "to", r->to->name, "port",
						out_port_json(r->port.port), "proto",
						name_of(&probe_proto_names, r->port.proto),
						"family", r->addr.family == AF_INET6 ? 6 : 4,
						"predicted", verdict.allowed ? "allowed" : "denied",
						"why", why_text(r, &verdict, v->a), "observed",
						name_of(&probe_result_names, r->result)));
	}
	j = json_pack("{s:i, s:i, s:i, s:o}", "probed", (int)m->rows.n, "judged", (int)v->judged,
		      "differ", (int)v->differ.n, "differences", list);
	out_json(j, stdout);
	json_decref(j);
}

static void print_text(struct verifying *v, const struct matrix *m)
{
	struct policy_verdict verdict;
	struct table t;

	table_init(&t, "FROM", "TO", "PORT", "FAMILY", "PREDICTED", "OBSERVED", "WHY", NULL);
	for (uint32_t i = 0; i < v->differ.n; i++) {
		const struct matrix_row *r = v->differ.v[i];
		const char *proto = name_of(&probe_proto_names, r->port.proto);

		predict(v, r, &verdict);
		table_cell(&t, "%s", r->from->name);
		table_cell(&t, "%s", r->to->name);
		if (r->port.port)
			table_cell(&t, "%u/%s", r->port.port, proto);
		else
			table_cell(&t, "%s", proto);
		table_cell(&t, "IPv%d", r->addr.family == AF_INET6 ? 6 : 4);
		table_cell(&t, "%s", verdict.allowed ? "allowed" : "denied");
		table_cell(&t, "%s", name_of(&probe_result_names, r->result));
		table_cell(&t, "%s", why_text(r, &verdict, v->a));
	}
	if (v->differ.n)
		table_print(&t, stdout);
	table_fini(&t);
	printf("%u cells probed: %u as predicted, %u not", m->rows.n, v->judged - v->differ.n,
	       v->differ.n);
	if (v->judged < m->rows.n)
		printf("; %u not judged", m->rows.n - v->judged);
	putchar('\n');
}

static int verify(struct cmd_ctx *ctx, const struct lab_matrix_opts *o, struct verifying *v,
		  struct matrix_opts *mo)
{
	struct matrix m;
	int rc;

	mo->expects = expects;
	mo->expects_arg = v;
	rc = lab_matrix_probe(ctx, v->w, mo, &m);
	if (!rc)
		rc = compare(v, &m);
	if (rc)
		return rc;
	if (o->common.format == OUT_JSON)
		print_json(v, &m);
	else
		print_text(v, &m);
	return v->differ.n ? CMD_NO : CMD_OK;
}

static int run_verify(struct cmd_ctx *ctx, const void *opts, int argc, char **argv)
{
	static const struct policy_opts of_store;
	struct verifying v = { .a = ctx->arena };
	struct objects objects;
	struct matrix_opts mo;
	struct world w;
	int rc;

	if (argc)
		return cmd_usage(ctx, "\"%s\" is too much", argv[0]);
	rc = lab_matrix_read(ctx, opts, &w, &mo);
	if (rc)
		return rc;
	ctx->store = w.url;
	ctx->lab = NULL; /* the URL says it */
	rc = policy_objects(ctx, &of_store, &objects);
	if (!rc) {
		v.w = &w;
		v.cluster = objects.cluster;
		rc = verify(ctx, opts, &v, &mo);
	}
	if (!rc && objects.left_out)
		rc = CMD_PARTLY;
	objects_fini(&objects);
	return rc;
}

const struct cmd cmd_lab_verify = {
	.name = "verify",
	.summary = "Probe every pair of pods, and compare with what policies say",
	.help = "Shows each cell in which packets met something else than NetworkPolicies "
		"predict, and what\n"
		"they predict it by. A connection that is refused was allowed: policies drop in "
		"silence.\n"
		"Silence where an answer was due is asked once more.\n"
		"Exit code 0 all as predicted, 1 not all, 3 objects were left out.\n\n"
		"Try:\n"
		"  fairlead lab verify\n"
		"  fairlead lab verify --ports 80/tcp,53/udp,icmp --family 4 -o json\n"
		"  fairlead lab verify --external client=198.51.100.7",
	.opts = verify_table,
	.opts_size = sizeof(struct lab_matrix_opts),
	.init = lab_matrix_defaults,
	.run = run_verify,
};
