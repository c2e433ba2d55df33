// SPDX-License-Identifier: Apache-2.0
/* fairlead schema: what the tables of the model say about a kind, as a page for people and, for
 * fairlead's own kinds, as the CustomResourceDefinition that a Kubernetes API server wants.
 * Its schema is structural (apiextensions.k8s.io/v1) and holds what one field can tell; rules
 * between fields are judged by model/validate.c alone. docs/reference/ and docs/crds/ hold
 * this verb's output: tools/reference. */
#include "cmd/out.h"
#include "cmd/verbs.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#define GROUP "fairlead.io"

struct schema_opts {
	uint8_t format;
};

static const struct opt schema_table[] = {
	OPT(struct schema_opts, format, 'o', "output", OPT_ENUM, .names = &out_formats_tree,
	    .doc = "As CustomResourceDefinition"),
	{ 0 },
};

/* ---- CustomResourceDefinition (apiextensions.k8s.io/v1) */

static json_t *object_type(const struct schema *s);

static json_t *enum_type(const struct names *names)
{
	json_t *values = json_array();

	for (size_t i = 1; i < names->n; i++)
		json_array_append_new(values, json_string(names->v[i]));
	return json_pack("{s:s, s:o}", "type", "string", "enum", values);
}

static json_t *integer_type(const struct field *f)
{
	json_t *j = json_pack("{s:s, s:s}", "type", "integer", "format", "int64");

	if (f->min || f->max) {
		json_object_set_new(j, "minimum", json_integer(f->min));
		json_object_set_new(j, "maximum", json_integer(f->max));
	}
	return j;
}

static json_t *value_type(const struct field *f)
{
	switch ((enum ftype)f->type) {
	case F_STR:
		return json_pack("{s:s}", "type", "string");
	case F_ADDR:
		return json_pack("{s:s, s:[{s:s}, {s:s}]}", "type", "string", "anyOf", "format",
				 "ipv4", "format", "ipv6");
	case F_PREFIX:
		return json_pack("{s:s, s:s}", "type", "string", "format", "cidr");
	case F_MAC:
		return json_pack("{s:s, s:s}", "type", "string", "format", "mac");
	case F_TIME:
		return json_pack("{s:s, s:s}", "type", "string", "format", "date-time");
	case F_BOOL:
	case F_OPT_BOOL:
		return json_pack("{s:s}", "type", "boolean");
	case F_I64:
	case F_OPT_I64:
		return integer_type(f);
	case F_ENUM:
		return enum_type(f->names);
	case F_INTSTR:
		return json_pack("{s:b}", "x-kubernetes-int-or-string", 1);
	case F_MAP:
		return json_pack("{s:s, s:{s:s}}", "type", "object", "additionalProperties", "type",
				 "string");
	case F_OBJ:
	case F_PTR:
		return object_type(f->sub);
	case F_BLOB:
		break;
	}
	return json_object();
}

static void describe(json_t *j, const char *doc, const char *absent)
{
	if (doc && absent)
		json_object_set_new(j, "description", json_sprintf("%s Default: %s.", doc, absent));
	else if (doc)
		json_object_set_new(j, "description", json_string(doc));
}

static json_t *field_type(const struct field *f)
{
	json_t *j;

	if (!strcmp(f->key, "metadata"))
		return json_pack("{s:s}", "type", "object");
	j = value_type(f);
	if (f->flags & FF_LIST)
		j = json_pack("{s:s, s:o}", "type", "array", "items", j);
	describe(j, f->doc, f->absent);
	return j;
}

static json_t *object_type(const struct schema *s)
{
	json_t *properties = json_object(), *required = json_array(), *j;

	for (uint32_t i = 0; i < s->n; i++) {
		json_object_set_new(properties, s->fields[i].key, field_type(&s->fields[i]));
		if (s->fields[i].flags & FF_REQUIRED)
			json_array_append_new(required, json_string(s->fields[i].key));
	}
	j = json_pack("{s:s, s:o}", "type", "object", "properties", properties);
	if (json_array_size(required))
		json_object_set(j, "required", required);
	json_decref(required);
	return j;
}

static bool has_status(const struct schema *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (s->fields[i].flags & FF_STATUS)
			return true;
	return false;
}

/* "hostInterface" → "Host-Interface", "vxlanMAC" → "Vxlan-MAC"; kubectl prints capitals. */
static const char *column_name(const char *key, char buf[64])
{
	size_t n = 0;

	for (const char *p = key; *p && n + 2 < 64; p++) {
		if (p > key && isupper((unsigned char)*p) && islower((unsigned char)p[-1]))
			buf[n++] = '-';
		buf[n++] = p == key ? (char)toupper((unsigned char)*p) : *p;
	}
	buf[n] = 0;
	return buf;
}

static const char *column_type(const struct field *f)
{
	if (!(f->flags & FF_LIST) && (f->type == F_BOOL || f->type == F_OPT_BOOL))
		return "boolean";
	if (!(f->flags & FF_LIST) && (f->type == F_I64 || f->type == F_OPT_I64))
		return "integer";
	return "string";
}

/* The fields of spec and status that are columns, and the age. */
static json_t *columns_of(const struct schema *s)
{
	json_t *columns = json_array();
	char name[64];

	for (uint32_t i = 0; i < s->n; i++) {
		const struct schema *sub = s->fields[i].sub;

		for (uint32_t k = 0; sub && k < sub->n; k++) {
			const struct field *f = &sub->fields[k];

			if (!(f->flags & FF_COLUMN))
				continue;
			json_array_append_new(
				columns,
				json_pack("{s:s, s:s, s:o}", "name", column_name(f->key, name),
					  "type", column_type(f), "jsonPath",
					  json_sprintf(".%s.%s", s->fields[i].key, f->key)));
		}
	}
	json_array_append_new(columns, json_pack("{s:s, s:s, s:s}", "name", "Age", "type", "date",
						 "jsonPath", ".metadata.creationTimestamp"));
	return columns;
}

static json_t *version_of(const struct kind *k)
{
	json_t *schema = object_type(k->schema), *v;
	json_t *properties = json_object_get(schema, "properties");

	json_object_set_new(properties, "apiVersion", json_pack("{s:s}", "type", "string"));
	json_object_set_new(properties, "kind", json_pack("{s:s}", "type", "string"));
	describe(schema, k->schema->doc, NULL);
	v = json_pack("{s:s, s:b, s:b, s:o, s:{s:o}}", "name", "v1", "served", 1, "storage", 1,
		      "additionalPrinterColumns", columns_of(k->schema), "schema",
		      "openAPIV3Schema", schema);
	if (has_status(k->schema))
		json_object_set_new(v, "subresources", json_pack("{s:{}}", "status"));
	return v;
}

static json_t *crd_of(const struct kind *k)
{
	char singular[64];
	size_t n = 0;
	json_t *j;

	for (; n < sizeof(singular) - 1 && k->name[n]; n++)
		singular[n] = (char)tolower((unsigned char)k->name[n]);
	singular[n] = 0;
	j = json_pack("{s:s, s:s, s:{s:s+}, s:{s:s, s:s, s:{s:s, s:s+, s:s, s:s}, s:[o]}}",
		      "apiVersion", "apiextensions.k8s.io/v1", "kind", "CustomResourceDefinition",
		      "metadata", "name", k->plural, "." GROUP, "spec", "group", GROUP, "scope",
		      k->namespaced ? "Namespaced" : "Cluster", "names", "kind", k->name,
		      "listKind", k->name, "List", "plural", k->plural, "singular", singular,
		      "versions", version_of(k));
	if (j && k->short_name)
		json_object_set_new(json_object_get(json_object_get(j, "spec"), "names"),
				    "shortNames", json_pack("[s]", k->short_name));
	return j;
}

/* ---- the page */

static void type_text(const struct field *f, struct buf *out)
{
	static const char *const words[] = {
		[F_STR] = "string",
		[F_BOOL] = "true or false",
		[F_OPT_BOOL] = "true or false",
		[F_I64] = "number",
		[F_OPT_I64] = "number",
		[F_ENUM] = "",
		[F_ADDR] = "IP",
		[F_PREFIX] = "CIDR",
		[F_MAC] = "MAC address",
		[F_INTSTR] = "number or name",
		[F_TIME] = "time",
		[F_MAP] = "map of strings",
		[F_BLOB] = "bytes",
		[F_OBJ] = "object",
		[F_PTR] = "object",
	};

	if (f->flags & FF_LIST)
		buf_puts(out, "list of ");
	buf_printf(out, "%s%s", words[f->type], f->flags & FF_LIST && f->type != F_ENUM ? "s" : "");
	for (size_t i = 1; f->type == F_ENUM && i < f->names->n; i++)
		buf_printf(out, "%s`%s`", i > 1 ? ", " : "", f->names->v[i]);
	if (f->min || f->max)
		buf_printf(out, " %lld to %lld", (long long)f->min, (long long)f->max);
}

/* What an absent field means. */
static const char *default_text(const struct field *f)
{
	if (f->absent)
		return f->absent;
	return f->type == F_BOOL && !(f->flags & (FF_LIST | FF_REQUIRED)) ? "false" : "";
}

static void page_fields(const struct schema *s, const char *path, struct buf *out)
{
	for (uint32_t i = 0; i < s->n; i++) {
		const struct field *f = &s->fields[i];
		char sub[256];

		/* The same for every kind, and described by Kubernetes. */
		if (!strcmp(f->key, "metadata") && !*path)
			continue;
		snprintf(sub, sizeof(sub), "%s%s%s%s", path, *path ? "." : "", f->key,
			 f->flags & FF_LIST ? "[]" : "");
		buf_printf(out, "| `%s` | ", sub);
		type_text(f, out);
		buf_printf(out, "%s | %s | %s |\n", f->flags & FF_REQUIRED ? ", required" : "",
			   default_text(f), f->doc ? f->doc : "");
		if (f->type == F_OBJ || f->type == F_PTR)
			page_fields(f->sub, sub, out);
	}
}

static void page_of(const struct kind *k, struct buf *out)
{
	bool ours = !strncmp(k->api_version, GROUP, strlen(GROUP));

	buf_printf(out, "# %s\n\n`%s`, %s%s.%s\n\n", k->name, k->api_version,
		   k->namespaced ? "namespaced" : "cluster-scoped",
		   k->derived ? "; written by fairlead's daemons" : "",
		   ours ? "" : " Fields that fairlead reads; others are kept as they are.");
	if (k->schema->doc)
		buf_printf(out, "%s\n\n", k->schema->doc);
	buf_puts(out, "| field | type | default | meaning |\n|---|---|---|---|\n");
	page_fields(k->schema, "", out);
}

/* ---- the verb */

static bool is_ours(const struct kind *k)
{
	return !strncmp(k->api_version, GROUP "/", strlen(GROUP "/"));
}

static int print_one(const struct kind *k, unsigned format)
{
	struct buf page = { .v = NULL };

	if (format) {
		json_t *crd = is_ours(k) ? crd_of(k) : NULL;

		if (!crd)
			return cmd_error(CMD_USAGE, "%s is Kubernetes' own kind and needs no CRD",
					 k->name);
		if (format == OUT_JSON)
			out_json(crd, stdout);
		else
			out_yaml(crd, stdout);
		json_decref(crd);
		return CMD_OK;
	}
	page_of(k, &page);
	fputs(page.v ? page.v : "", stdout);
	buf_fini(&page);
	return CMD_OK;
}

static int run_schema(struct cmd_ctx *ctx, const void *opts, int argc, char **argv)
{
	const struct schema_opts *o = opts;
	const struct kind *k;
	bool first = true;

	if (argc > 1)
		return cmd_usage(ctx, "takes at most one KIND");
	if (argc) {
		k = kind_by_word(argv[0]);
		return k ? print_one(k, o->format) : cmd_unknown_kind(ctx, argv[0]);
	}
	for (unsigned i = 0; i < KIND_COUNT; i++) {
		k = kind_by_id(i);
		if (!k || !is_ours(k))
			continue;
		if (!first)
			fputs(o->format == OUT_YAML ? "---\n" : o->format ? "" : "\n", stdout);
		first = false;
		print_one(k, o->format);
	}
	return CMD_OK;
}

const struct cmd cmd_schema = {
	.name = "schema",
	.args = "[KIND]",
	.summary = "Explain the fields of a kind, or print its CRD",
	.help = "Without KIND: all kinds of fairlead.io/v1.\n\n"
		"Try:\n"
		"  fairlead schema ippool\n"
		"  fairlead schema -o yaml | kubectl apply -f -",
	.complete = "kind",
	.opts = schema_table,
	.opts_size = sizeof(struct schema_opts),
	.run = run_schema,
};
