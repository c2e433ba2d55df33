// SPDX-License-Identifier: Apache-2.0
/* fairlead get: objects of one kind, as a table, or as Kubernetes' List. */
#include "cmd/columns.h"
#include "cmd/routes.h"
#include "cmd/verbs.h"
#include "model/validate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct get_opts {
	const char *ns;
	uint8_t all, format;
};

static const struct opt get_table[] = {
	OPT(struct get_opts, ns, 'n', "namespace", OPT_STR, .arg = "NS",
	    .doc = "Objects of this namespace (default: default)"),
	OPT(struct get_opts, all, 'A', "all-namespaces", OPT_FLAG, .doc = "Of all namespaces"),
	OPT(struct get_opts, format, 'o', "output", OPT_ENUM, .names = &out_formats,
	    .doc = "Output format"),
	{ 0 },
};

struct found {
	struct object *o;
	json_t *json;
};

struct result {
	struct found *v;
	size_t n, cap;
	bool bad;
};

/* A Secret's keys, as data, without what they hold: "***" is no base64, so that nobody can write it back. kubectl's
 * note of what was applied is a copy of all of it. */
static json_t *masked(const json_t *secret)
{
	static const char *const maps[] = { "stringData", "data" };
	json_t *j = json_deep_copy(secret), *hidden = json_object();
	const char *key;
	json_t *value;

	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
		json_object_foreach(json_object_get(j, maps[i]), key, value)
			json_object_set_new(hidden, key, json_string("***"));
		json_object_del(j, maps[i]);
	}
	json_object_set_new(j, "data", hidden);
	json_object_del(json_object_get(json_object_get(j, "metadata"), "annotations"),
			"kubectl.kubernetes.io/last-applied-configuration");
	return j;
}

static void on_put(void *arg, struct object *o, const json_t *json)
{
	struct result *r = arg;
	json_t *shown = o->kind->id == KIND_SECRET ? masked(json) : json_incref((json_t *)json);

	if (r->n == r->cap) {
		r->cap = r->cap ? 2 * r->cap : 64;
		r->v = reallocarray(r->v, r->cap, sizeof(*r->v));
		if (!r->v)
			abort();
	}
	r->v[r->n++] = (struct found){ o, shown };
}

static void on_bad(void *arg, const struct err *e)
{
	((struct result *)arg)->bad = true;
	cmd_error(CMD_NO, "%s", e->text);
}

static int by_name(const void *pa, const void *pb)
{
	const struct meta *a = ((const struct found *)pa)->o->meta;
	const struct meta *b = ((const struct found *)pb)->o->meta;
	int c = strcmp(a->namespace ? a->namespace : "", b->namespace ? b->namespace : "");

	return c ? c : strcmp(a->name, b->name);
}

static void print_tree(const json_t *j, unsigned format)
{
	if (format == OUT_YAML)
		out_yaml(j, stdout);
	else
		out_json(j, stdout);
}

static void print_list(const struct result *r, unsigned format)
{
	json_t *list = json_pack("{s:s, s:s, s:{}, s:[]}", "apiVersion", "v1", "kind", "List",
				 "metadata", "items");

	for (size_t i = 0; i < r->n; i++)
		json_array_append(json_object_get(list, "items"), r->v[i].json);
	print_tree(list, format);
	json_decref(list);
}

static void print_table(const struct result *r, const struct kind *k, bool with_ns, bool wide)
{
	struct table t;

	columns_init(&t, k, with_ns, wide);
	for (size_t i = 0; i < r->n; i++)
		columns_row(&t, r->v[i].o, with_ns, wide);
	table_print(&t, stdout);
	table_fini(&t);
}

static int get_one(struct cmd_ctx *ctx, struct store *s, const struct kind *k, const char *name,
		   const struct get_opts *o, struct result *r)
{
	struct err e = { .code = 0 };
	struct object *obj;
	const char *ns = NULL;
	json_t *j;

	if (k->namespaced && cmd_split_name(ctx, name, o->ns, &ns, &name, &e))
		return cmd_usage(ctx, "%s", e.text);
	if (store_get(s, &(struct store_key){ k, ns, name }, &obj, &j, &e))
		return cmd_error(CMD_NO, "%s", e.text);
	on_put(r, obj, j);
	json_decref(j);
	return CMD_OK;
}

static int get_all(struct store *s, const struct kind *k, const struct get_opts *o,
		   struct result *r)
{
	static const struct store_events events = { .put = on_put, .bad = on_bad };
	const char *ns = !k->namespaced || o->all ? NULL : o->ns ? o->ns : "default";
	struct err e = { .code = 0 };

	if (store_list(s, k->id, ns, &events, r, &e))
		return cmd_error(CMD_PARTLY, "%s", e.text);
	/* Not qsort(NULL, 0): its argument must not be null. */
	if (r->n)
		qsort(r->v, r->n, sizeof(*r->v), by_name);
	if (!r->n && (!o->format || o->format == OUT_WIDE))
		fprintf(stderr, "no %s%s%s%s\n", k->plural, ns ? " in namespace " : "",
			ns ? ns : "", ns ? " (-A shows all namespaces)" : "");
	return r->bad ? CMD_PARTLY : CMD_OK;
}

static int run_get(struct cmd_ctx *ctx, const void *opts, int argc, char **argv)
{
	const struct get_opts *o = opts;
	struct result r = { .v = NULL };
	const struct kind *k;
	struct store *s;
	int rc;

	if (argc < 1 || argc > 2)
		return cmd_usage(ctx, "takes KIND and perhaps NAME");
	if (!strcmp(argv[0], "routes") && argc == 1)
		return get_routes(ctx, o->format);
	k = kind_by_word(argv[0]);
	if (!k)
		return cmd_unknown_kind(ctx, argv[0]);
	if (o->all && (o->ns || argc == 2))
		return cmd_usage(ctx, "-A excludes NAME and -n");
	if (o->ns && !is_dns_label(o->ns))
		return cmd_usage(ctx, "--namespace: \"%s\" is no name of a namespace", o->ns);
	rc = cmd_store_open(ctx, 0, &s);
	if (rc)
		return rc;
	rc = argc == 2 ? get_one(ctx, s, k, argv[1], o, &r) : get_all(s, k, o, &r);
	if (o->format == OUT_JSON || o->format == OUT_YAML) {
		if (argc == 2 && r.n)
			print_tree(r.v[0].json, o->format);
		else if (rc != CMD_USAGE)
			print_list(&r, o->format);
	} else if (r.n) {
		print_table(&r, k, o->all && k->namespaced, o->format == OUT_WIDE);
	}
	for (size_t i = 0; i < r.n; i++) {
		object_free(r.v[i].o);
		json_decref(r.v[i].json);
	}
	free(r.v);
	store_close(s);
	return rc;
}

const struct cmd cmd_get = {
	.name = "get",
	.args = "KIND [NAME]",
	.summary = "Show objects of the store",
	.help = "KIND is a kind in any spelling that kubectl takes (pods, pod, po). NAME may be "
		"NS/NAME.\nOf Secrets nothing but the keys is shown.\nroutes are those that the "
		"nodes' agents want, and whether their kernels "
		"have them.\nExit code 1 when NAME does not exist; the List is empty then.\n\n"
		"Try:\n"
		"  fairlead get nodes\n"
		"  fairlead get pods -A -o wide\n"
		"  fairlead get ippool default -o yaml\n"
		"  fairlead get workloadendpoints -n shop -o json",
	.complete = "kind",
	.opts = get_table,
	.opts_size = sizeof(struct get_opts),
	.run = run_get,
};
