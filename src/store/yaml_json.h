/* SPDX-License-Identifier: Apache-2.0 */
/* YAML 1.1, as Kubernetes reads it, to and from JSON trees (libyaml). */
#pragma once
#include "base/err.h"

#include <jansson.h>
#include <stdio.h>

/* Calls `doc` for each document with its tree (borrowed) and the line, from 1, where it starts.
 * Anchors, aliases and merge keys are resolved; depth and the number of nodes are bounded.
 * Errors say "LINE: …" without the file's name; documents before the error were told. */
typedef void yaml_doc_fn(void *arg, json_t *doc, unsigned line);
int yaml_read(const char *text, size_t n, yaml_doc_fn *doc, void *arg, struct err *e);

/* One document in block style. */
void yaml_write(const json_t *j, FILE *to);
