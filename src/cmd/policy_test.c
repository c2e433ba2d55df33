// SPDX-License-Identifier: Apache-2.0
/* fairlead policy test: expectations against policies, for those who have manifests and no
 * cluster. A workload's name stands for all of its pods: an expectation is met when every flow
 * between the pods of both sides, in every family they share, is as expected. */
#include "cmd/out.h"
#include "cmd/policy.h"
#include "cmd/policy_table.h"
#include "sys/file.h"

#include <errno.h>
#include <string.h>

#define FILE_MAX (16UL << 20)

struct policy_test_opts {
	struct policy_opts common;
};

static const struct opt test_table[] = {
	POLICY_OPTIONS(struct policy_test_opts),
	{ 0 },
};

/* One expectation being tested. */
struct testing {
	const struct cluster *cluster;
	struct policy_ends pods; /* of the cluster */
	struct arena scratch;    /* of one expectation */
	const struct expectation *x;
	const struct policy_end *from, *to; /* of the flow at hand */
	uint32_t flows, wrong;
	json_t *mismatches; /* NULL: as text */
	uint32_t number;    /* from 1 */
	struct err e;
};

/* ---- who is meant */

/* "NS/NAME": the pod, or the pods of the workload. */
static int take_pods(struct testing *t, const char *text, struct policy_ends *out)
{
	const char *slash = strchr(text, '/');
	const struct object *workload;

	for (uint32_t i = 0; i < t->pods.list.n; i++)
		if (!strcmp(t->pods.list.v[i].name, text))
			out->list.v[out->list.n++] = t->pods.list.v[i];
	if (out->list.n)
		return 0;
	workload = objects_workload(
		t->cluster, arena_strndup(&t->scratch, text, (size_t)(slash - text)), slash + 1);
	for (uint32_t i = 0; workload && i < t->pods.list.n; i++)
		if (objects_is_of(t->pods.list.v[i].pod, workload))
			out->list.v[out->list.n++] = t->pods.list.v[i];
	if (workload && !out->list.n)
		return err_set(&t->e, -EINVAL, "%s %s has no pods", workload->kind->name, text);
	return out->list.n ? 0 : err_set(&t->e, -ENOENT, "%s is no pod or workload", text);
}

static int take_node(struct testing *t, const char *text, struct policy_ends *out)
{
	const struct object *o = cluster_get(t->cluster, KIND_NODE, NULL, text);
	struct policy_end *end = out->list.v;

	if (!o)
		return err_set(&t->e, -ENOENT,
			       "%s is no node or address; pods and workloads are NS/NAME", text);
	*end = (struct policy_end){ .name = text };
	end->n = objects_node_ips(o->body, end->ips);
	out->list.n = 1;
	return end->n ? 0 : err_set(&t->e, -EINVAL, "Node %s has no address", text);
}

static int find_ends(struct testing *t, const char *text, struct policy_ends *out)
{
	struct ipaddr ip;

	out->list.n = 0;
	out->list.v = arena_array(&t->scratch, t->pods.list.n + 1, sizeof(*out->list.v));
	if (!out->list.v)
		return err_set(&t->e, -ENOMEM, "no memory");
	if (strchr(text, '/'))
		return take_pods(t, text, out);
	if (addr_parse(text, &ip))
		return take_node(t, text, out);
	out->list.v[out->list.n++] = policy_end_at(t->cluster, text, &ip);
	return 0;
}

/* ---- one expectation */

static const char *proto_text(const struct expectation *x, struct arena *a)
{
	static const char *const protos[] = { "icmp", "tcp", "udp", "sctp" };

	return x->proto ? arena_printf(a, "%u/%s", x->port, protos[x->proto]) : protos[0];
}

static void tell_mismatch(struct testing *t, const struct policy_flow *f,
			  const struct policy_verdict *v)
{
	struct policy_said egress = { t->cluster, f, &v->egress, POLICY_EGRESS, t->from->name };
	struct policy_said ingress = { t->cluster, f, &v->ingress, POLICY_INGRESS, t->to->name };
	int family = policy_family(f);
	json_t *by;

	if (!t->mismatches) {
		printf("  %s -> %s%s\n", t->from->name, t->to->name,
		       family == 6   ? ", IPv6"
		       : family == 4 ? ", IPv4"
				     : "");
		policy_print_half(&egress, "    ", &t->scratch);
		policy_print_half(&ingress, "    ", &t->scratch);
		return;
	}
	by = json_array();
	if (v->allowed || v->egress.state == POLICY_DENIED)
		policy_by_json(by, &v->egress, POLICY_EGRESS);
	if (v->allowed || v->ingress.state == POLICY_DENIED)
		policy_by_json(by, &v->ingress, POLICY_INGRESS);
	json_array_append_new(t->mismatches,
			      json_pack("{s:s, s:s, s:o, s:b, s:o, s:o, s:o}", "from",
					t->from->name, "to", t->to->name, "family",
					family ? json_integer(family) : json_null(), "allowed",
					v->allowed, "by", by, "egress",
					policy_half_json(&egress, &t->scratch), "ingress",
					policy_half_json(&ingress, &t->scratch)));
}

static bool test_flow(void *arg, const struct policy_flow *f)
{
	struct testing *t = arg;
	struct policy_verdict v;

	if (policy_judge(t->cluster, f, &t->scratch, &v, &t->e))
		return false;
	t->flows++;
	if (v.allowed == t->x->allow)
		return true;
	if (!t->wrong++ && !t->mismatches)
		printf("expectation %u: %s -> %s %s: must be %s, is %s\n", t->number, t->x->from,
		       t->x->to, proto_text(t->x, &t->scratch), t->x->allow ? "allowed" : "denied",
		       v.allowed ? "allowed" : "denied");
	tell_mismatch(t, f, &v);
	return true;
}

/* Leaves out what a pod says to itself where there are others: it is always allowed. */
static int test_pairs(struct testing *t, const struct policy_ends *from,
		      const struct policy_ends *to)
{
	bool many = (uint64_t)from->list.n * to->list.n > 1;

	for (uint32_t i = 0; i < from->list.n; i++)
		for (uint32_t k = 0; k < to->list.n; k++) {
			t->from = &from->list.v[i];
			t->to = &to->list.v[k];
			if (many && t->from->pod && t->from->pod == t->to->pod)
				continue;
			policy_flows(t->from, t->to, t->x->proto, t->x->port, test_flow, t);
			if (t->e.code)
				return t->e.code;
		}
	return t->flows ? 0
			: err_set(&t->e, -EINVAL, "%s and %s have no address family in common",
				  t->x->from, t->x->to);
}

static int test_one(struct testing *t)
{
	struct policy_ends from, to;

	arena_reset(&t->scratch);
	t->flows = t->wrong = 0;
	if (find_ends(t, t->x->from, &from) || find_ends(t, t->x->to, &to) ||
	    test_pairs(t, &from, &to))
		return err_wrap(&t->e, "expectation %u", t->number);
	return 0;
}

/* ---- the table */

static json_t *row_json(struct testing *t)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:b, s:i, s:O}", "from", t->x->from, "to", t->x->to,
			 "port", proto_text(t->x, &t->scratch), "expect",
			 t->x->allow ? "allow" : "deny", "ok", !t->wrong, "flows", (int)t->flows,
			 "mismatches", t->mismatches);
}

/* 0 or t->e.code, having said nothing. */
static int test_all(struct testing *t, const struct expectations *x, bool json, uint32_t *failed)
{
	json_t *rows = json_array(), *all;
	int rc = 0;

	for (uint32_t i = 0; !rc && i < x->n; i++) {
		t->x = &x->v[i];
		t->number = i + 1;
		t->mismatches = json ? json_array() : NULL;
		rc = test_one(t);
		*failed += t->wrong != 0;
		if (!rc && json)
			json_array_append_new(rows, row_json(t));
		json_decref(t->mismatches);
	}
	if (!rc && json) {
		all = json_pack("{s:O, s:i}", "rows", rows, "failed", (int)*failed);
		out_json(all, stdout);
		json_decref(all);
	} else if (!rc) {
		printf("%u expectations: %u met, %u not\n", x->n, x->n - *failed, *failed);
	}
	json_decref(rows);
	return rc;
}

static int test_table_of(struct cmd_ctx *ctx, const struct policy_test_opts *o,
			 const struct expectations *x)
{
	struct testing t = { .x = NULL };
	struct objects objects;
	uint32_t failed = 0;
	int rc = policy_objects(ctx, &o->common, &objects);

	t.cluster = objects.cluster;
	arena_init(&t.scratch, 0);
	if (!rc && !policy_pods(t.cluster, 0, ctx->arena, &t.pods))
		rc = cmd_error(CMD_NO, "no memory");
	if (!rc && test_all(&t, x, o->common.format == OUT_JSON, &failed))
		rc = cmd_error(t.e.code == -ENOMEM ? CMD_NO : CMD_USAGE, "%s", t.e.text);
	if (!rc)
		rc = objects.left_out ? CMD_PARTLY : failed ? CMD_NO : CMD_OK;
	arena_fini(&t.scratch);
	objects_fini(&objects);
	return rc;
}

static int run_test(struct cmd_ctx *ctx, const void *opts, int argc, char **argv)
{
	struct buf text = { .v = NULL };
	struct err e = { .code = 0 };
	struct expectations x;
	int rc;

	if (argc != 1)
		return cmd_usage(ctx, "takes one FILE of expectations");
	if (file_read(argv[0], FILE_MAX, &text, &e)) {
		buf_fini(&text);
		return cmd_error(CMD_USAGE, "%s", e.text);
	}
	rc = expectations_parse(text.v ? text.v : "", text.n, ctx->arena, &x, &e);
	buf_fini(&text);
	if (rc)
		return cmd_error(rc == -ENOMEM ? CMD_NO : CMD_USAGE, "%s: %s", argv[0], e.text);
	return test_table_of(ctx, opts, &x);
}

const struct cmd cmd_policy_test = {
	.name = "test",
	.args = "FILE",
	.summary = "Test policies against a table of expected verdicts",
	.help = "FILE is a YAML list, each line what one connection must come to:\n\n"
		"  - {from: shop/web, to: shop/db, port: 5432/tcp, expect: allow}\n"
		"  - {from: 203.0.113.9, to: shop/db, port: 5432/tcp, expect: deny}\n\n"
		"from and to are NS/POD, NS/WORKLOAD (all of its pods), a node or an address; port "
		"is PORT\n"
		"(tcp), PORT/tcp, /udp, /sctp, or icmp. With -f it needs no cluster and no root; "
		"workloads\n"
		"get the pods that a cluster would make of them, unless the manifests have those "
		"pods. What\n"
		"is not as expected is named with the rule that allows it, or the policies that "
		"deny it.\n"
		"Exit code 0 all as expected, 1 not, 2 FILE or a name in it is wrong, 3 objects "
		"were left out.\n\n"
		"Try:\n"
		"  fairlead policy test shop.test.yaml -f shop.yaml -f policies/\n"
		"  fairlead policy test shop.test.yaml\n"
		"  fairlead policy test shop.test.yaml -f shop.yaml -o json",
	.complete = "file",
	.opts = test_table,
	.opts_size = sizeof(struct policy_test_opts),
	.run = run_test,
};
