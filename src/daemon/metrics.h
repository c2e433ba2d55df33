/* SPDX-License-Identifier: Apache-2.0 */
/* The metrics of a node, as its roles report them (REC_METRIC), in Prometheus' text format
 * 0.0.4. Pure. A series belongs to the role that reported it and goes when its stream ends. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "model/record.h"

#define METRICS_MAX 10000 /* series; what comes beyond is refused */

struct series {
	char *name, *help, *type;
	char *labels; /* as printed: `a="b",c="d"`, or "" */
	char *value;
	char *lines; /* of a histogram: all, as printed; else NULL */
	unsigned source;
};

struct metrics {
	struct series *v; /* sorted by name, labels, source */
	size_t n, cap;
};

void metrics_fini(struct metrics *m);
/* Takes, replaces, or (without type and value) forgets one series of `source`. -EINVAL for what Prometheus would not read. */
int metrics_put(struct metrics *m, unsigned source, const struct rec_metric *r, struct err *e);
/* Forgets all series of `source`. */
void metrics_drop(struct metrics *m, unsigned source);
/* The value of a series with exactly one label, or NULL. */
const char *metrics_get(const struct metrics *m, const char *name, const char *label,
			const char *label_value);
void metrics_print(const struct metrics *m, struct buf *out);
