/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics of a role on its stream to health, every few seconds and when health joins. */
#pragma once
#include "daemon/histogram.h"
#include "daemon/role.h"
#include "daemon/stream.h"

struct report {
	struct role *role;
	struct stream *stream; /* NULL while health is away */
	ev_timer timer;
	void (*fill)(struct report *r, void *arg);
	void *arg;
};

/* `fill` calls report_value() for each series. */
void report_init(struct report *r, struct role *role, void (*fill)(struct report *r, void *arg),
		 void *arg);
void report_join(struct report *r, int fd); /* of ops->join for peer "health" */
void report_fini(struct report *r);

/* Another record on the same stream; nothing while health is away. */
void report_send(struct report *r, unsigned type, const void *body);

/* Name, type and help as Prometheus has them, type NULL: the series is gone; labels by name, from the first on, NULL:
 * no more. */
struct report_series {
	const char *name, *type, *help, *label, *label_value;
	uint64_t value;
	const char *label2, *label2_value;
	bool is_us; /* the value is microseconds, told as seconds */
};

void report_series(struct report *r, const struct report_series *s);
void report_histogram(struct report *r, const char *name, const char *help,
		      const struct histogram *h);
#define report_value(r, ...) report_series((r), &(struct report_series){ __VA_ARGS__ })
