// SPDX-License-Identifier: Apache-2.0
/* JSON trees as YAML in block style. A string that would read back as something else, or not
 * at all, is quoted as JSON quotes it, which YAML takes as it is. */
#include "store/yaml_json.h"

#include "base/buf.h"
#include "store/yaml_plain.h"

#include <stdbool.h>
#include <string.h>

static bool needs_quotes(const char *s)
{
	size_t n = strlen(s);
	json_t *plain;
	bool text;

	/* Digits first: others than us may see a date, 1_000 or 12:30 as a number. */
	if (!n || strchr("-?:,[]{}#&*!|>'\"%@` +.0123456789", s[0]) || s[n - 1] == ' ' ||
	    s[n - 1] == ':')
		return true;
	for (const char *p = s; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f || (unsigned char)*p >= 0x80)
			return true;
	if (strstr(s, ": ") || strstr(s, " #") || !strcmp(s, "<<") || !strncmp(s, "...", 3))
		return true;
	if (n == 1 && strchr("yYnN", s[0])) /* booleans to go-yaml */
		return true;
	plain = yaml_plain(s, n);
	text = json_is_string(plain);
	json_decref(plain);
	return !text;
}

static void put_string(const char *s, FILE *to)
{
	struct buf out = { .v = NULL };

	if (!needs_quotes(s)) {
		fputs(s, to);
		return;
	}
	buf_json_str(&out, s);
	fputs(out.v ? out.v : "\"\"", to);
	buf_fini(&out);
}

static void put_scalar(const json_t *j, FILE *to)
{
	if (json_is_string(j))
		put_string(json_string_value(j), to);
	else if (json_is_object(j))
		fputs("{}", to);
	else if (json_is_array(j))
		fputs("[]", to);
	else
		json_dumpf(j, to, JSON_ENCODE_ANY);
}

static bool is_block(const json_t *j)
{
	return json_object_size(j) || json_array_size(j);
}

static void put_block(const json_t *j, unsigned indent, bool at_start, FILE *to);

static void put_indent(unsigned indent, bool *at_start, FILE *to)
{
	if (!*at_start)
		fprintf(to, "%*s", (int)indent, "");
	*at_start = false;
}

static void put_map(const json_t *j, unsigned indent, bool at_start, FILE *to)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)j, key, value)
	{
		put_indent(indent, &at_start, to);
		put_string(key, to);
		if (!is_block(value)) {
			fputs(": ", to);
			put_scalar(value, to);
			fputc('\n', to);
			continue;
		}
		fputs(":\n", to);
		/* Lists stand under their key without further indentation, as kubectl writes. */
		put_block(value, json_is_array(value) ? indent : indent + 2, false, to);
	}
}

static void put_list(const json_t *j, unsigned indent, bool at_start, FILE *to)
{
	size_t i;
	json_t *value;

	json_array_foreach(j, i, value)
	{
		put_indent(indent, &at_start, to);
		fputs("- ", to);
		if (is_block(value)) {
			put_block(value, indent + 2, true, to);
		} else {
			put_scalar(value, to);
			fputc('\n', to);
		}
	}
}

/* `at_start`: the cursor stands where the first line begins, behind "- ". */
static void put_block(const json_t *j, unsigned indent, bool at_start, FILE *to)
{
	if (json_is_array(j))
		put_list(j, indent, at_start, to);
	else
		put_map(j, indent, at_start, to);
}

void yaml_write(const json_t *j, FILE *to)
{
	if (is_block(j)) {
		put_block(j, 0, false, to);
		return;
	}
	put_scalar(j, to);
	fputc('\n', to);
}
