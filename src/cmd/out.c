// SPDX-License-Identifier: Apache-2.0
/* Tables and trees on a terminal or into a pipe. */
#include "cmd/out.h"

#include "base/names.h"
#include "store/yaml_json.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const formats[] = { NULL, "json", "yaml", "wide" };
static const char *const formats_json[] = { NULL, "json" };
const struct names out_formats = { formats, 4 };
const struct names out_formats_json = { formats_json, 2 };
const struct names out_formats_tree = { formats, 3 };

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

void table_initv(struct table *t, const char *const *heads)
{
	*t = (struct table){ .cols = 0 };
	while (heads[t->cols])
		t->cols++;
	t->heads = must(calloc(t->cols + 1, sizeof(*t->heads)));
	memcpy(t->heads, heads, t->cols * sizeof(*heads));
}

void table_init(struct table *t, ...)
{
	const char *heads[32] = { NULL };
	va_list ap;

	va_start(ap, t);
	for (size_t n = 0; n < 31; n++) {
		heads[n] = va_arg(ap, const char *);
		if (!heads[n])
			break;
	}
	va_end(ap);
	table_initv(t, heads);
}

void table_cell(struct table *t, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	if (fmt) {
		va_start(ap, fmt);
		if (vasprintf(&text, fmt, ap) < 0)
			abort();
		va_end(ap);
	}
	if (!text || !*text) {
		free(text);
		text = must(strdup("-"));
	}
	/* What others wrote must not reach the terminal as a command. */
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	if (t->n == t->cap) {
		t->cap = t->cap ? 2 * t->cap : 64;
		t->cells = must(reallocarray(t->cells, t->cap, sizeof(*t->cells)));
	}
	t->cells[t->n++] = text;
}

static void print_row(const struct table *t, char *const *row, size_t n, const size_t *width,
		      FILE *to)
{
	for (size_t c = 0; c < n; c++) {
		if (c + 1 < n)
			fprintf(to, "%-*s   ", (int)width[c], row[c]);
		else
			fprintf(to, "%s\n", row[c]);
	}
}

void table_print(const struct table *t, FILE *to)
{
	size_t cols = t->cols ? t->cols : 1;
	size_t *width = must(calloc(cols, sizeof(*width)));
	bool bold = out_is_tty(to);

	for (size_t c = 0; c < t->cols; c++)
		width[c] = strlen(t->heads[c]);
	for (size_t i = 0; i < t->n; i++) {
		size_t len = strlen(t->cells[i]);

		if (len > width[i % cols])
			width[i % cols] = len;
	}
	fputs(bold ? "\033[1m" : "", to);
	print_row(t, (char *const *)t->heads, t->cols, width, to);
	fputs(bold ? "\033[0m" : "", to);
	for (size_t i = 0; i < t->n; i += cols)
		print_row(t, t->cells + i, t->n - i < cols ? t->n - i : cols, width, to);
	free(width);
}

void table_fini(struct table *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->cells[i]);
	free(t->cells);
	free(t->heads);
	*t = (struct table){ .cols = 0 };
}

void out_json(const json_t *j, FILE *to)
{
	json_dumpf(j, to, JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
	fputc('\n', to);
}

void out_yaml(const json_t *j, FILE *to)
{
	yaml_write(j, to);
}

json_t *out_address_json(const struct ipaddr *ip)
{
	char text[ADDR_TEXT];

	return ip->family ? json_string(addr_str(ip, text)) : json_null();
}

json_t *out_port_json(uint16_t port)
{
	return port ? json_integer(port) : json_null();
}

bool out_is_tty(FILE *to)
{
	const char *term = getenv("TERM");

	return isatty(fileno(to)) && !getenv("NO_COLOR") && term && strcmp(term, "dumb") != 0;
}
