// SPDX-License-Identifier: Apache-2.0
/* Options by table: GNU's conventions (--name value, --name=value, -n value, -nvalue, bundled
 * flags, "--" ends them), but no abbreviations: a script must not change its meaning when an
 * option is added. */
#include "cmd/opt.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct opt *by_name(const struct opt_set *sets, size_t n, const char *name, size_t len,
				 void **out)
{
	for (size_t i = 0; i < n; i++)
		for (const struct opt *o = sets[i].table; o && o->name; o++)
			if (strlen(o->name) == len && !memcmp(o->name, name, len)) {
				*out = sets[i].out;
				return o;
			}
	return NULL;
}

static const struct opt *by_letter(const struct opt_set *sets, size_t n, char letter, void **out)
{
	for (size_t i = 0; i < n; i++)
		for (const struct opt *o = sets[i].table; o && o->name; o++)
			if (o->letter == letter) {
				*out = sets[i].out;
				return o;
			}
	return NULL;
}

static size_t value_size(const struct opt *o)
{
	switch ((enum opt_type)o->type) {
	case OPT_NONE:
		return 0;
	case OPT_FLAG:
	case OPT_ENUM:
		return sizeof(uint8_t);
	case OPT_STR:
		return sizeof(const char *);
	case OPT_INT:
		return sizeof(int64_t);
	case OPT_ADDR:
		return sizeof(struct ipaddr);
	case OPT_PREFIX:
		return sizeof(struct prefix);
	case OPT_SECONDS:
		return sizeof(double);
	}
	return 0;
}

/* Room for one more value: the field itself, or a new last element of its list. */
static void *value_slot(const struct opt *o, void *out, struct arena *a)
{
	void *field = (char *)out + o->offset;
	struct list_any *l = field;
	size_t size = value_size(o);
	char *v;

	if (!o->list)
		return field;
	v = arena_array(a, l->n + 1, size);
	if (!v)
		return NULL;
	if (l->n)
		memcpy(v, l->v, l->n * size);
	l->v = v;
	return v + size * l->n++;
}

static int bad_enum(const struct opt *o, const char *text, struct err *e)
{
	char all[256] = "";

	for (size_t i = 0; i < o->names->n; i++)
		if (o->names->v[i]) {
			size_t used = strlen(all);

			snprintf(all + used, sizeof(all) - used, "%s%s", used ? ", " : "",
				 o->names->v[i]);
		}
	return err_set(e, -EINVAL, "--%s: \"%s\" is none of: %s", o->name, text, all);
}

static int parse_int(const struct opt *o, const char *text, int64_t *out, struct err *e)
{
	char *end;
	long long v;

	errno = 0;
	v = strtoll(text, &end, 10);
	if (errno || end == text || *end)
		return err_set(e, -EINVAL, "--%s: \"%s\" is no number", o->name, text);
	if ((o->min || o->max) && (v < o->min || v > o->max))
		return err_set(e, -EINVAL, "--%s: %lld is not between %lld and %lld", o->name, v,
			       (long long)o->min, (long long)o->max);
	*out = v;
	return 0;
}

static int parse_seconds(const struct opt *o, const char *text, double *out, struct err *e)
{
	char *end;
	double v;

	errno = 0;
	v = strtod(text, &end);
	if (errno || end == text || (*end && strcmp(end, "s") != 0) || !isfinite(v) || v < 0)
		return err_set(e, -EINVAL, "--%s: \"%s\" is no number of seconds", o->name, text);
	*out = v;
	return 0;
}

static int store_value(const struct opt *o, void *out, char *text, struct arena *a, struct err *e)
{
	void *p = value_slot(o, out, a);
	int at;

	if (!p)
		return err_set(e, -ENOMEM, "no memory");
	switch ((enum opt_type)o->type) {
	case OPT_NONE:
	case OPT_FLAG:
		*(uint8_t *)p = 1;
		return 0;
	case OPT_STR:
		*(const char **)p = text;
		return 0;
	case OPT_INT:
		return parse_int(o, text, p, e);
	case OPT_ENUM:
		at = name_find(o->names, text);
		if (at < 0)
			return bad_enum(o, text, e);
		*(uint8_t *)p = (uint8_t)at;
		return 0;
	case OPT_ADDR:
		if (addr_parse(text, p))
			return err_set(e, -EINVAL, "--%s: \"%s\" is no address", o->name, text);
		return 0;
	case OPT_PREFIX:
		if (prefix_parse(text, p))
			return err_set(e, -EINVAL, "--%s: \"%s\" is no CIDR such as 10.0.0.0/8",
				       o->name, text);
		return 0;
	case OPT_SECONDS:
		return parse_seconds(o, text, p, e);
	}
	return 0;
}

struct parse {
	struct opt_args *args;
	const struct opt_set *sets;
	size_t n_sets;
	struct arena *a;
	int at; /* index of the argument after the one that is read */
};

static int take_value(struct parse *p, const struct opt *o, void *out, char *inline_value,
		      struct err *e)
{
	if (o->optional && !inline_value)
		return 0;
	if (!inline_value) {
		if (p->at >= p->args->argc)
			return err_set(e, -EINVAL, "--%s needs a value: %s", o->name,
				       o->arg ? o->arg : "VALUE");
		inline_value = p->args->argv[p->at++];
	}
	return store_value(o, out, inline_value, p->a, e);
}

static int parse_long(struct parse *p, char *text, struct err *e)
{
	char *eq = strchr(text, '=');
	size_t len = eq ? (size_t)(eq - text) : strlen(text);
	void *out;
	const struct opt *o = by_name(p->sets, p->n_sets, text, len, &out);

	if (!o) {
		if (!strcmp(text, "help")) {
			p->args->help = true;
			return 0;
		}
		return err_set(e, -EINVAL, "unknown option --%.*s", (int)len, text);
	}
	if (o->type != OPT_FLAG)
		return take_value(p, o, out, eq ? eq + 1 : NULL, e);
	if (eq)
		return err_set(e, -EINVAL, "--%s takes no value", o->name);
	return store_value(o, out, NULL, p->a, e);
}

static int parse_short(struct parse *p, char *text, struct err *e)
{
	for (; *text; text++) {
		void *out;
		const struct opt *o = by_letter(p->sets, p->n_sets, *text, &out);
		int rc;

		if (!o && *text == 'h') {
			p->args->help = true;
			return 0;
		}
		if (!o)
			return err_set(e, -EINVAL, "unknown option -%c", *text);
		if (o->type != OPT_FLAG)
			return take_value(p, o, out, text[1] ? text + 1 : NULL, e);
		rc = store_value(o, out, NULL, p->a, e);
		if (rc)
			return rc;
	}
	return 0;
}

int opt_parse(struct opt_args *args, const struct opt_set *sets, size_t n_sets, struct arena *a,
	      struct err *e)
{
	struct parse p = { .args = args, .sets = sets, .n_sets = n_sets, .a = a };
	int operands = 0;

	while (p.at < args->argc && !args->help) {
		char *text = args->argv[p.at];
		int rc;

		if (text[0] != '-' || !text[1]) {
			if (args->head)
				return p.at;
			args->argv[operands++] = text;
			p.at++;
			continue;
		}
		p.at++;
		if (!strcmp(text, "--")) {
			if (args->head)
				return p.at;
			while (p.at < args->argc)
				args->argv[operands++] = args->argv[p.at++];
			break;
		}
		rc = text[1] == '-' ? parse_long(&p, text + 2, e) : parse_short(&p, text + 1, e);
		if (rc)
			return rc;
	}
	return args->head ? p.at : operands;
}

static void enum_placeholder(const struct opt *o, struct buf *out)
{
	const char *sep = "";

	for (size_t i = 0; i < o->names->n; i++)
		if (o->names->v[i]) {
			buf_printf(out, "%s%s", sep, o->names->v[i]);
			sep = "|";
		}
}

#define HELP_COLUMN 30

void opt_help(const struct opt *table, struct buf *out)
{
	for (const struct opt *o = table; o && o->name; o++) {
		size_t start = out->n;

		if (o->hidden)
			continue;
		if (o->letter)
			buf_printf(out, "  -%c, --%s", o->letter, o->name);
		else
			buf_printf(out, "      --%s", o->name);
		if (o->type != OPT_FLAG) {
			buf_puts(out, o->optional ? "[=" : " ");
			if (o->arg || o->type != OPT_ENUM)
				buf_puts(out, o->arg ? o->arg : "VALUE");
			else
				enum_placeholder(o, out);
			buf_puts(out, o->optional ? "]" : "");
		}
		if (out->n - start > HELP_COLUMN - 2) {
			buf_puts(out, "\n");
			start = out->n;
		}
		buf_printf(out, "%*s%s%s\n", (int)(HELP_COLUMN - (out->n - start)), "",
			   o->doc ? o->doc : "", o->list ? " (repeatable)" : "");
	}
}
