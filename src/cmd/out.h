/* SPDX-License-Identifier: Apache-2.0 */
/* What verbs print: aligned tables for people, JSON and YAML for programs. */
#pragma once
#include "base/addr.h"
#include "base/buf.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum out_format { OUT_TEXT, OUT_JSON, OUT_YAML, OUT_WIDE };

/* For OPT_ENUM of -o: "json" | "yaml" | "wide", and without yaml and wide for other verbs. */
extern const struct names out_formats, out_formats_json, out_formats_tree; /* tree: json, yaml */

/* A table: headers, then cells row by row; widths are found when it is printed. */
struct table {
	size_t cols, n; /* n: cells, without headers */
	const char **heads;
	char **cells;
	size_t cap;
};

/* Headers end with NULL. */
void table_init(struct table *t, ...) __attribute__((sentinel));
void table_initv(struct table *t, const char *const *heads); /* NULL-terminated */
/* The next cell of the current row. NULL and "" print as "-". */
void table_cell(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void table_print(const struct table *t, FILE *to);
void table_fini(struct table *t);

void out_json(const json_t *j, FILE *to); /* indented, with a newline at the end */
void out_yaml(const json_t *j, FILE *to);
/* null where it is not known, or there is none: family 0, port 0. */
json_t *out_address_json(const struct ipaddr *ip);
json_t *out_port_json(uint16_t port);
/* May colours and progress lines be written here? */
bool out_is_tty(FILE *to);
