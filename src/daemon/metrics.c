// SPDX-License-Identifier: Apache-2.0
/* metrics: see metrics.h and the text-based exposition format 0.0.4 of Prometheus. */
#include "daemon/metrics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX    1024 /* bytes of a name, a help text, a label's value */
#define BUCKETS_MAX 256

static void series_fini(struct series *s)
{
	free(s->name);
	free(s->help);
	free(s->type);
	free(s->labels);
	free(s->value);
	free(s->lines);
}

void metrics_fini(struct metrics *m)
{
	for (size_t i = 0; i < m->n; i++)
		series_fini(&m->v[i]);
	free(m->v);
	*m = (struct metrics){ 0 };
}

/* [a-zA-Z_:][a-zA-Z0-9_:]*, for labels without the colon. */
static bool is_name(const char *s, bool label)
{
	for (const char *p = s; *p; p++) {
		bool alpha = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || *p == '_' ||
			     (*p == ':' && !label);

		if (!alpha && !(p > s && *p >= '0' && *p <= '9'))
			return false;
	}
	return *s && strlen(s) < TEXT_MAX;
}

static bool is_number(const char *s)
{
	char *end;

	if (!*s || strspn(s, "0123456789+-.eE") != strlen(s) || strlen(s) > 40)
		return false;
	strtod(s, &end);
	return !*end;
}

/* Backslash and newline, inside of quotes also the quote. */
static void put_escaped(struct buf *b, const char *s, bool quoted)
{
	for (; *s; s++) {
		if (*s == '\\')
			buf_puts(b, "\\\\");
		else if (*s == '\n')
			buf_puts(b, "\\n");
		else if (*s == '"' && quoted)
			buf_puts(b, "\\\"");
		else
			buf_put(b, s, 1);
	}
}

static void put_label(struct buf *b, const char *key, const char *value)
{
	buf_printf(b, "%s%s=\"", b->n ? "," : "", key);
	put_escaped(b, value, true);
	buf_puts(b, "\"");
}

static bool is_type(const char *s)
{
	return s && (!strcmp(s, "counter") || !strcmp(s, "gauge") || !strcmp(s, "histogram"));
}

/* Ascending, and none beyond the whole. */
static bool are_buckets(const struct rec_metric *r)
{
	const struct rec_bucket *b = r->buckets.v;

	if (r->buckets.n > BUCKETS_MAX)
		return false;
	for (uint32_t i = 0; i < r->buckets.n; i++)
		if (!b[i].le || !is_number(b[i].le) || b[i].count < 0 || b[i].count > r->count ||
		    (i && (b[i].count < b[i - 1].count ||
			   strtod(b[i].le, NULL) <= strtod(b[i - 1].le, NULL))))
			return false;
	return true;
}

static bool is_gone(const struct rec_metric *r)
{
	return !r->type && !r->value;
}

static int judge(const struct rec_metric *r, struct err *e)
{
	if (!r->name || !is_name(r->name, false))
		return err_set(e, -EINVAL, "metric \"%.64s\": no name of a metric",
			       r->name ? r->name : "");
	if (is_gone(r))
		return 0;
	if (!is_type(r->type))
		return err_set(e, -EINVAL, "metric %s: type is none of counter, gauge, histogram",
			       r->name);
	if (!r->value || !is_number(r->value))
		return err_set(e, -EINVAL, "metric %s: value is no number", r->name);
	if (!strcmp(r->type, "histogram") && !are_buckets(r))
		return err_set(e, -EINVAL, "metric %s: buckets are none", r->name);
	if (r->help && strlen(r->help) >= TEXT_MAX)
		return err_set(e, -EINVAL, "metric %s: help is too long", r->name);
	for (uint32_t i = 0; i < r->labels.n; i++)
		if (!is_name(r->labels.v[i].key, true) || strlen(r->labels.v[i].value) >= TEXT_MAX)
			return err_set(e, -EINVAL, "metric %s: label %u is none", r->name, i);
	return 0;
}

static void put_bucket(struct buf *b, const struct rec_metric *r, const char *labels,
		       const char *le, int64_t count)
{
	buf_printf(b, "%s_bucket{%s%sle=\"%s\"} %lld\n", r->name, labels, labels[0] ? "," : "", le,
		   (long long)count);
}

static void put_histogram(struct buf *b, const struct rec_metric *r, const char *labels)
{
	const char *open = labels[0] ? "{" : "", *close = labels[0] ? "}" : "";

	for (uint32_t i = 0; i < r->buckets.n; i++)
		put_bucket(b, r, labels, r->buckets.v[i].le, r->buckets.v[i].count);
	put_bucket(b, r, labels, "+Inf", r->count);
	buf_printf(b, "%s_sum%s%s%s %s\n", r->name, open, labels, close, r->value);
	buf_printf(b, "%s_count%s%s%s %lld\n", r->name, open, labels, close, (long long)r->count);
}

static int make(struct series *s, unsigned source, const struct rec_metric *r, struct err *e)
{
	struct buf labels = { 0 }, lines = { 0 };

	buf_puts(&labels, "");
	for (uint32_t i = 0; i < r->labels.n; i++)
		put_label(&labels, r->labels.v[i].key, r->labels.v[i].value);
	if (r->type && !strcmp(r->type, "histogram") && !labels.failed)
		put_histogram(&lines, r, labels.v);
	*s = (struct series){ .name = strdup(r->name),
			      .help = strdup(r->help ? r->help : ""),
			      .type = strdup(r->type ? r->type : ""),
			      .labels = labels.v,
			      .value = strdup(r->value ? r->value : ""),
			      .lines = lines.v,
			      .source = source };
	if (s->name && s->help && s->type && s->value && !labels.failed && !lines.failed)
		return 0;
	series_fini(s);
	return err_set(e, -ENOMEM, "metrics: out of memory");
}

static int series_cmp(const struct series *a, const struct series *b)
{
	int c = strcmp(a->name, b->name);

	if (!c)
		c = strcmp(a->labels, b->labels);
	if (!c)
		c = (a->source > b->source) - (a->source < b->source);
	return c;
}

/* Where `s` is or belongs. */
static size_t lower_bound(const struct metrics *m, const struct series *s)
{
	size_t lo = 0, hi = m->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (series_cmp(&m->v[mid], s) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int insert(struct metrics *m, size_t at, const struct series *s, struct err *e)
{
	size_t cap = m->cap ? 2 * m->cap : 64;
	struct series *v;

	if (m->n >= METRICS_MAX)
		return err_set(e, -ENOSPC, "metric %s: over %d series", s->name, METRICS_MAX);
	if (m->n == m->cap) {
		v = reallocarray(m->v, cap, sizeof(*v));
		if (!v)
			return err_set(e, -ENOMEM, "metrics: out of memory");
		m->v = v;
		m->cap = cap;
	}
	memmove(m->v + at + 1, m->v + at, (m->n - at) * sizeof(*m->v));
	m->v[at] = *s;
	m->n++;
	return 0;
}

static void forget(struct metrics *m, size_t at)
{
	series_fini(&m->v[at]);
	m->n--;
	memmove(m->v + at, m->v + at + 1, (m->n - at) * sizeof(*m->v));
}

int metrics_put(struct metrics *m, unsigned source, const struct rec_metric *r, struct err *e)
{
	struct series s;
	bool known;
	size_t at;
	int rc;

	rc = judge(r, e);
	if (!rc)
		rc = make(&s, source, r, e);
	if (rc)
		return rc;
	at = lower_bound(m, &s);
	known = at < m->n && series_cmp(&m->v[at], &s) == 0;
	if (is_gone(r)) {
		series_fini(&s);
		if (known)
			forget(m, at);
		return 0;
	}
	if (known) {
		series_fini(&m->v[at]);
		m->v[at] = s;
		return 0;
	}
	rc = insert(m, at, &s, e);
	if (rc)
		series_fini(&s);
	return rc;
}

void metrics_drop(struct metrics *m, unsigned source)
{
	size_t kept = 0;

	for (size_t i = 0; i < m->n; i++) {
		if (m->v[i].source == source)
			series_fini(&m->v[i]);
		else
			m->v[kept++] = m->v[i];
	}
	m->n = kept;
}

const char *metrics_get(const struct metrics *m, const char *name, const char *label,
			const char *label_value)
{
	struct buf labels = { 0 };
	const char *value = NULL;

	put_label(&labels, label, label_value);
	for (size_t i = 0; i < m->n && !labels.failed; i++)
		if (strcmp(m->v[i].name, name) == 0 && strcmp(m->v[i].labels, labels.v) == 0)
			value = m->v[i].value;
	buf_fini(&labels);
	return value;
}

/* Two roles that report the same series would make a scrape invalid: the first one counts. */
void metrics_print(const struct metrics *m, struct buf *out)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct series *s = &m->v[i], *prev = i ? &m->v[i - 1] : NULL;
		bool same_name = prev && strcmp(prev->name, s->name) == 0;

		if (same_name && strcmp(prev->labels, s->labels) == 0)
			continue;
		if (!same_name) {
			buf_printf(out, "# HELP %s ", s->name);
			put_escaped(out, s->help, false);
			buf_printf(out, "\n# TYPE %s %s\n", s->name, s->type);
		}
		if (s->lines)
			buf_puts(out, s->lines);
		else if (s->labels[0])
			buf_printf(out, "%s{%s} %s\n", s->name, s->labels, s->value);
		else
			buf_printf(out, "%s %s\n", s->name, s->value);
	}
}
