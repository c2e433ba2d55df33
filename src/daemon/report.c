// SPDX-License-Identifier: Apache-2.0
/* report: see report.h. */
#include "daemon/report.h"

#include <stdio.h>
#include <unistd.h>

#define EVERY_S 2.

static void on_timer(struct ev_loop *loop, ev_timer *w, int events)
{
	struct report *r = w->data;

	(void)loop;
	(void)events;
	/* What it has not read yet says as much. */
	if (r->stream && !stream_queued(r->stream))
		r->fill(r, r->arg);
}

static void on_frame(struct stream *s, unsigned type, struct wire *body, int fd)
{
	(void)s;
	(void)type;
	(void)body;
	if (fd >= 0)
		close(fd);
}

static void on_closed(struct stream *s, const struct err *e)
{
	struct report *r = stream_arg(s);

	(void)e;
	r->stream = NULL;
	stream_free(s);
}

static const struct stream_ops ops = { .frame = on_frame, .closed = on_closed };

void report_init(struct report *r, struct role *role, void (*fill)(struct report *r, void *arg),
		 void *arg)
{
	*r = (struct report){ .role = role, .fill = fill, .arg = arg };
	ev_timer_init(&r->timer, on_timer, EVERY_S, EVERY_S);
	r->timer.data = r;
	ev_timer_start(role->loop, &r->timer);
}

void report_join(struct report *r, int fd)
{
	struct err e;

	stream_free(r->stream);
	r->stream = stream_new(r->role->loop, fd, &ops, r, &e);
	if (r->stream)
		r->fill(r, r->arg);
	else
		log_warn("health: %s", e.text);
}

void report_fini(struct report *r)
{
	if (!r->role)
		return;
	ev_timer_stop(r->role->loop, &r->timer);
	stream_free(r->stream);
	r->stream = NULL;
}

void report_send(struct report *r, unsigned type, const void *body)
{
	struct err e;

	if (r->stream && stream_send(r->stream, type, NULL, body, -1, &e))
		log_debug("health: %s", e.text);
}

static void print_us(char text[32], uint64_t us)
{
	snprintf(text, 32, "%llu.%06llu", (unsigned long long)(us / 1000000),
		 (unsigned long long)(us % 1000000));
}

void report_series(struct report *r, const struct report_series *s)
{
	struct strmap_entry labels[] = { { .key = s->label, .value = s->label_value },
					 { .key = s->label2, .value = s->label2_value } };
	char text[32];
	struct rec_metric m = { .name = s->name,
				.help = s->help,
				.type = s->type,
				.labels = { .v = labels,
					    .n = (s->label != NULL) + (s->label2 != NULL) },
				.value = s->type ? text : NULL };

	if (s->is_us)
		print_us(text, s->value);
	else
		snprintf(text, sizeof(text), "%llu", (unsigned long long)s->value);
	report_send(r, REC_METRIC, &m);
}

/* Milliseconds as seconds, without zeros at the end. */
static void print_bound(char text[16], uint32_t ms)
{
	int n = snprintf(text, 16, "%u.%03u", ms / 1000, ms % 1000);

	while (text[n - 1] == '0')
		text[--n] = '\0';
	if (text[n - 1] == '.')
		text[--n] = '\0';
}

void report_histogram(struct report *r, const char *name, const char *help,
		      const struct histogram *h)
{
	struct rec_bucket buckets[HISTOGRAM_MAX];
	char bounds[HISTOGRAM_MAX][16], sum[32];
	struct rec_metric m = { .name = name,
				.help = help,
				.type = "histogram",
				.value = sum,
				.count = (int64_t)h->n,
				.buckets = { .v = buckets, .n = (uint32_t)h->bounds->n } };
	uint64_t below = 0;

	print_us(sum, h->sum_us);
	for (size_t i = 0; i < h->bounds->n; i++) {
		below += h->counts[i];
		print_bound(bounds[i], h->bounds->ms(i));
		buckets[i] = (struct rec_bucket){ .le = bounds[i], .count = (int64_t)below };
	}
	report_send(r, REC_METRIC, &m);
}
