// SPDX-License-Identifier: Apache-2.0
/* fairlead policy show: what policies did, as the agents of the nodes that are asked have it from their kernels. A rule's
 * counters are summed over the nodes; those of a default deny belong to a list of policies, as a packet is
 * dropped because none of them has a rule for it. */
#include "cmd/ctl.h"
#include "cmd/out.h"
#include "cmd/policy.h"
#include "core/policy/match.h"

#include <string.h>

#define NAMES_SHOWN 5 /* pods of a cell */

struct show_opts {
	struct ctl_opts common;
	const char *ns;
	uint8_t all;
};

static const struct opt show_table[] = {
	OPT(struct show_opts, ns, 'n', "namespace", OPT_STR, .arg = "NS",
	    .doc = "Policies of this namespace (default: default)"),
	OPT(struct show_opts, all, 'A', "all-namespaces", OPT_FLAG, .doc = "Of all namespaces"),
	CTL_OPTIONS(struct show_opts),
	{ 0 },
};

/* What is known of all nodes: objects by "NS/NAME DIRECTION", of denials by "LIST DIRECTION", in which rows
 * of several nodes meet. */
struct shown {
	json_t *policies, *denials;
	int code; /* CMD_PARTLY: somebody did not answer */
};

static const char *text_of(const json_t *row, const char *key)
{
	const char *s = json_string_value(json_object_get(row, key));

	return s ? s : "";
}

static json_int_t number_of(const json_t *row, const char *key)
{
	return json_integer_value(json_object_get(row, key));
}

static void add_counts(json_t *to, const json_t *row)
{
	json_object_set_new(to, "packets",
			    json_integer(number_of(to, "packets") + number_of(row, "packets")));
	json_object_set_new(to, "bytes",
			    json_integer(number_of(to, "bytes") + number_of(row, "bytes")));
}

/* ---- merging the nodes' rows */

static json_t *policy_of(struct shown *s, struct arena *a, const json_t *row)
{
	const char *key = arena_printf(a, "%s/%s %s", text_of(row, "namespace"),
				       text_of(row, "name"), text_of(row, "direction"));
	json_t *p = json_object_get(s->policies, key);

	if (p)
		return p;
	p = json_pack("{s:s, s:s, s:s, s:{}, s:{}}", "namespace", text_of(row, "namespace"), "name",
		      text_of(row, "name"), "direction", text_of(row, "direction"), "pods",
		      "rules");
	json_object_set_new(s->policies, key, p);
	return p;
}

static void take_policy(struct shown *s, struct arena *a, const json_t *row)
{
	policy_of(s, a, row);
}

static void take_pod(struct shown *s, struct arena *a, const json_t *row)
{
	const char *pod = arena_printf(a, "%s/%s", text_of(row, "namespace"), text_of(row, "pod"));

	json_object_set_new(json_object_get(policy_of(s, a, row), "pods"), pod, json_true());
}

static void take_rule(struct shown *s, struct arena *a, const json_t *row)
{
	json_t *rules = json_object_get(policy_of(s, a, row), "rules");
	json_t *rule = json_object_get(rules, text_of(row, "rule"));

	if (!rule) {
		rule = json_pack("{s:s}", "rule", text_of(row, "rule"));
		json_object_set_new(rules, text_of(row, "rule"), rule);
	}
	add_counts(rule, row);
}

static void take_denial(struct shown *s, struct arena *a, const json_t *row)
{
	const char *list = text_of(row, "policies"), *way = text_of(row, "direction");
	const char *key = arena_printf(a, "%s %s", list, way);
	json_t *d = json_object_get(s->denials, key);

	if (!d) {
		d = json_pack("{s:s, s:s}", "policies", list, "direction", way);
		json_object_set_new(s->denials, key, d);
	}
	add_counts(d, row);
}

static void take_tables(struct shown *s, struct arena *a, json_t *tables)
{
	static const struct {
		const char *name;
		void (*take)(struct shown *s, struct arena *a, const json_t *row);
	} known[] = { { "policy", take_policy },
		      { "pod", take_pod },
		      { "rule", take_rule },
		      { "denial", take_denial } };
	const json_t *row;
	size_t k;

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		json_array_foreach(ctl_table(tables, known[i].name), k, row) known[i].take(s, a,
											   row);
}

/* Objects keep the order in which they grew, which is that of one node's rows, and every node has all
 * policies, and all rules of a policy that isolates there. */
static json_t *values_of(json_t *by_key)
{
	json_t *out = json_array(), *v;
	const char *key;

	json_object_foreach(by_key, key, v) json_array_append(out, v);
	return out;
}

static json_t *keys_of(json_t *by_key)
{
	json_t *out = json_array(), *v;
	const char *key;

	json_object_foreach(by_key, key, v) json_array_append_new(out, json_string(key));
	return out;
}

static json_t *split_list(const char *list)
{
	json_t *out = json_array();

	while (*list) {
		size_t n = strcspn(list, ",");

		json_array_append_new(out, json_stringn(list, n));
		list += n;
		list += strspn(list, ", ");
	}
	return out;
}

/* ---- printing */

static json_t *as_json(struct shown *s)
{
	json_t *policies = values_of(s->policies), *denials = values_of(s->denials), *row;
	size_t i;

	json_array_foreach(policies, i, row)
	{
		json_object_set_new(row, "pods", keys_of(json_object_get(row, "pods")));
		json_object_set_new(row, "rules", values_of(json_object_get(row, "rules")));
	}
	json_array_foreach(denials, i, row)
		json_object_set_new(row, "policies", split_list(text_of(row, "policies")));
	return json_pack("{s:o, s:o}", "policies", policies, "denials", denials);
}

static void print_pods(struct table *t, const json_t *pods, struct arena *a)
{
	size_t n = json_object_size(pods), i = 0;
	const char *name, *text = "";
	json_t *v;

	json_object_foreach((json_t *)pods, name, v) if (i++ < NAMES_SHOWN) text =
		arena_printf(a, "%s%s%s", text, *text ? ", " : "", name);
	if (n > NAMES_SHOWN)
		text = arena_printf(a, "%s and %zu more", text, n - NAMES_SHOWN);
	table_cell(t, "%s", text);
}

static void print_counts(struct table *t, const json_t *row)
{
	table_cell(t, "%lld", (long long)number_of(row, "packets"));
	table_cell(t, "%lld", (long long)number_of(row, "bytes"));
}

static void print_rules(const struct shown *s)
{
	json_t *p, *r;
	const char *key, *rule, *list;
	struct table t;

	table_init(&t, "POLICY", "DIRECTION", "RULE", "PACKETS", "BYTES", NULL);
	json_object_foreach(s->policies, key, p)
	{
		json_object_foreach(json_object_get(p, "rules"), rule, r)
		{
			table_cell(&t, "%s/%s", text_of(p, "namespace"), text_of(p, "name"));
			table_cell(&t, "%s", text_of(p, "direction"));
			table_cell(&t, "%s", rule);
			print_counts(&t, r);
		}
	}
	json_object_foreach(s->denials, key, p)
	{
		table_cell(&t, NULL);
		table_cell(&t, "%s", text_of(p, "direction"));
		list = text_of(p, "policies");
		table_cell(&t, "%s%s", policy_denial_head(list), list);
		print_counts(&t, p);
	}
	table_print(&t, stdout);
	table_fini(&t);
}

static void print_isolated(const struct shown *s, struct arena *a)
{
	const char *key;
	struct table t;
	json_t *p;

	table_init(&t, "POLICY", "DIRECTION", "ISOLATES", NULL);
	json_object_foreach(s->policies, key, p)
	{
		table_cell(&t, "%s/%s", text_of(p, "namespace"), text_of(p, "name"));
		table_cell(&t, "%s", text_of(p, "direction"));
		print_pods(&t, json_object_get(p, "pods"), a);
	}
	table_print(&t, stdout);
	table_fini(&t);
}

/* ---- the verb */

static int ask_all(struct cmd_ctx *ctx, const struct show_opts *o, const char *ns, const char *name,
		   struct shown *s)
{
	struct ctl_agent *agents;
	size_t n;
	int rc = ctl_agents(ctx, &o->common, &agents, &n);

	for (size_t i = 0; !rc && i < n; i++) {
		json_t *tables = json_object();
		struct err e;

		if (ctl_ask(&agents[i], tables, &e, "policy-show", ns ? "namespace" : NULL, ns,
			    name ? "name" : NULL, name, NULL))
			s->code = cmd_error(CMD_PARTLY, "%s", e.text);
		take_tables(s, ctx->arena, tables);
		json_decref(tables);
	}
	return rc;
}

static int run_show(struct cmd_ctx *ctx, const void *opts, int argc, char **argv)
{
	const struct show_opts *o = opts;
	const char *ns = o->ns ? o->ns : "default", *name = NULL;
	struct shown s = { .code = CMD_OK };
	struct err e;
	int rc;

	if (argc > 1 || (o->all && (o->ns || argc)))
		return cmd_usage(ctx, "takes NAME or NS/NAME, or --all-namespaces");
	if (argc && cmd_split_name(ctx, argv[0], o->ns, &ns, &name, &e))
		return cmd_fail(&e);
	s.policies = json_object();
	s.denials = json_object();
	rc = ask_all(ctx, o, o->all ? NULL : ns, name, &s);
	if (!rc && o->common.format == OUT_JSON) {
		json_t *all = as_json(&s);

		out_json(all, stdout);
		json_decref(all);
	} else if (!rc && !json_object_size(s.policies) && !json_object_size(s.denials)) {
		if (!name && !s.code)
			fprintf(stderr, "no policy isolates a pod here%s%s%s\n",
				o->all ? "" : " in namespace ", o->all ? "" : ns,
				o->all ? "" : " (-A shows all namespaces)");
	} else if (!rc) {
		print_isolated(&s, ctx->arena);
		putchar('\n');
		print_rules(&s);
	}
	if (!rc && name && !s.code && !json_object_size(s.policies))
		s.code = cmd_error(CMD_NO, "no NetworkPolicy %s/%s", ns, name);
	json_decref(s.policies);
	json_decref(s.denials);
	return rc ? rc : s.code;
}

const struct cmd cmd_policy_show = {
	.name = "show",
	.args = "[NAME]",
	.summary = "Whom policies isolate, and what their rules allowed and denied",
	.help = "Counters are the kernels', of this node or summed over those of a lab. A rule "
		"counts what\n"
		"begins a connection; a default deny every packet, for all policies that isolate "
		"its pod.\n"
		"They go on as long as the policy is there; an agent that starts anew begins with "
		"what its\n"
		"kernel's rules have.\n\n"
		"Try:\n"
		"  fairlead policy show -A\n"
		"  fairlead policy show shop/api -o json",
	.opts = show_table,
	.opts_size = sizeof(struct show_opts),
	.run = run_show,
};
