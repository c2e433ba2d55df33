// SPDX-License-Identifier: Apache-2.0
/* The pure parts of role health: HTTP requests against RFC 9112, metrics against Prometheus'
 * text format 0.0.4, both written by hand. */
#include "daemon/http.h"
#include "daemon/metrics.h"
#include "daemon/proxy_health.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int parse(const char *text, struct http_request *r)
{
	return http_parse(text, strlen(text), r);
}

static void test_requests(void **state)
{
	struct http_request r;

	assert_int_equal(parse("GET /metrics HTTP/1.1\r\nHost: a\r\nX-y:  z \r\n\r\n", &r), 0);
	assert_int_equal(r.method, HTTP_GET);
	assert_string_equal(r.path, "/metrics");
	assert_int_equal(parse("HEAD /a/b?c=d#e HTTP/1.0\r\n\r\n", &r), 0);
	assert_int_equal(r.method, HTTP_HEAD);
	assert_string_equal(r.path, "/a/b");
	assert_int_equal(parse("GET HTTP://h:1/x HTTP/1.1\r\n\r\n", &r), 0);
	assert_string_equal(r.path, "/x");
	assert_int_equal(parse("\r\nGET / HTTP/1.1\nA:b\n\n", &r), 0); /* section 2.2 */
	assert_int_equal(parse("GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", &r), 0);
}

static void test_bad_requests(void **state)
{
	static const struct {
		const char *text;
		int status;
	} rows[] = {
		{ "GET / HTTP/1.1", -EAGAIN },
		{ "GET / HTTP/1.1\r\nA: b\r\n", -EAGAIN },
		{ "", -EAGAIN },
		{ "GET / HTTP/2.0\r\n\r\n", 505 },
		{ "GET / HTTX/1.1\r\n\r\n", 400 },
		{ "GET /\r\n\r\n", 400 },
		{ "GET  / HTTP/1.1\r\n\r\n", 400 },
		{ "G(T / HTTP/1.1\r\n\r\n", 400 },
		{ "GET x HTTP/1.1\r\n\r\n", 400 },
		{ "GET * HTTP/1.1\r\n\r\n", 400 },
		{ "GET http://h HTTP/1.1\r\n\r\n", 400 },
		{ "GET /\x01 HTTP/1.1\r\n\r\n", 400 },
		{ "GET /\xc3\xa4 HTTP/1.1\r\n\r\n", 400 },
		{ "POST / HTTP/1.1\r\n\r\n", 405 },
		{ "get / HTTP/1.1\r\n\r\n", 405 },
		{ "GET / HTTP/1.1\r\nno colon\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\nA : b\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\nA: b\x01\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\ncontent-length: 1\r\n\r\n", 413 },
		{ "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501 },
		{ "\x16\x03\x01\n", 400 },
	};
	struct http_request r;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (parse(rows[i].text, &r) != rows[i].status)
			fail_msg("%s: %d", rows[i].text, parse(rows[i].text, &r));
}

static void test_limits(void **state)
{
	char text[HTTP_REQUEST_MAX + 1];
	struct http_request r;

	memset(text, 'a', sizeof(text));
	text[HTTP_REQUEST_MAX] = '\0';
	assert_int_equal(http_parse(text, HTTP_REQUEST_MAX - 1, &r), -EAGAIN);
	assert_int_equal(http_parse(text, HTTP_REQUEST_MAX, &r), 414);
	memcpy(text, "GET /", 5);
	memcpy(text + 5 + HTTP_PATH_MAX - 1, " HTTP/1.1\r\n\r\n", 14);
	assert_int_equal(parse(text, &r), 414);
	memcpy(text + 5 + HTTP_PATH_MAX - 2, " HTTP/1.1\r\n\r\n", 14);
	assert_int_equal(parse(text, &r), 0);
	memset(text, 'a', sizeof(text));
	memcpy(text, "GET / HTTP/1.1\r\nx:", 18);
	assert_int_equal(http_parse(text, HTTP_REQUEST_MAX, &r), 431);
}

static void test_response(void **state)
{
	struct http_answer a = { .status = 503, .type = "text/plain" };
	struct buf out = { 0 };

	buf_puts(&a.body, "no\n");
	http_response(&out, &a, true);
	assert_string_equal(out.v, "HTTP/1.1 503 Service Unavailable\r\n"
				   "Content-Type: text/plain\r\n"
				   "Content-Length: 3\r\n"
				   "Cache-Control: no-store\r\n"
				   "X-Content-Type-Options: nosniff\r\n"
				   "Connection: close\r\n"
				   "\r\n"
				   "no\n");
	buf_clear(&out);
	a = (struct http_answer){
		.status = 405, .type = "a/b", .extra = "X-Y: z\r\n", .body = a.body
	};
	http_response(&out, &a, false);
	assert_non_null(strstr(out.v, "\r\nAllow: GET, HEAD\r\nX-Y: z\r\nConnection: close\r\n"));
	assert_non_null(strstr(out.v, "\r\nContent-Length: 3\r\n"));
	assert_string_equal(strstr(out.v, "\r\n\r\n"), "\r\n\r\n");
	buf_fini(&a.body);
	buf_fini(&out);
}

/* ---- the proxy's health */

static void test_proxy_verdict(void **state)
{
	struct proxy_health p = { 0 };
	struct rec_proxy said = { 0 };

	assert_false(proxy_is_healthy(&p, 1000)); /* nobody said anything */
	proxy_hear(&p, &said, 1000);
	assert_false(proxy_is_healthy(&p, 1000)); /* it lives, and has done nothing yet */
	said.updated = 900;
	proxy_hear(&p, &said, 1000);
	assert_true(proxy_is_healthy(&p, 1000));
	assert_true(proxy_is_healthy(&p, 10999));
	assert_false(proxy_is_healthy(&p, 11000)); /* silent for too long */

	said.queued = 2000; /* a change waits: for a minute that is in order */
	proxy_hear(&p, &said, 61000);
	assert_true(proxy_is_healthy(&p, 61999));
	proxy_hear(&p, &said, 62000);
	assert_false(proxy_is_healthy(&p, 62000));

	said = (struct rec_proxy){ .updated = 63000, .leaving = true };
	proxy_hear(&p, &said, 64000);
	assert_true(proxy_is_healthy(&p, 64000));
	said = (struct rec_proxy){ 0 }; /* a new agent, with the credit of the one before */
	proxy_hear(&p, &said, 70000);
	assert_true(proxy_is_healthy(&p, 70000));
	assert_int_equal(p.updated, 63000);
	assert_true(p.leaving);
	said.queued = 69000; /* what it brings does not get into the kernel */
	proxy_hear(&p, &said, 129000);
	assert_false(proxy_is_healthy(&p, 129000));
}

#define TIME(s) "\"2024-10-27 03:33:" s " +0000 UTC\""

static void assert_page(const struct proxy_health *p, int64_t now, const char *path, int status,
			const char *body)
{
	struct http_answer a = { 0 };

	proxy_page(p, now, 1730000000000 + now, path, &a);
	assert_int_equal(a.status, status);
	assert_string_equal(a.body.v, body);
	buf_fini(&a.body);
}

/* What kube-proxy 1.34 prints, which has Go print the times. */
static void test_proxy_pages(void **state)
{
	struct proxy_health p = { 0 };

	assert_page(&p, 5007, "/healthz", 503,
		    "{\"lastUpdated\": \"0001-01-01 00:00:00 +0000 UTC\","
		    "\"currentTime\": " TIME("25.007") ", \"nodeEligible\": true}");
	p = (struct proxy_health){ .heard = 5000, .updated = 2000, .leaving = true };
	assert_page(&p, 5007, "/livez", 200,
		    "{\"lastUpdated\": " TIME("25.007") ",\"currentTime\": " TIME("25.007") "}");
	assert_page(&p, 5007, "/healthz", 503,
		    "{\"lastUpdated\": " TIME("22.000") ",\"currentTime\": " TIME(
			    "25.007") ", \"nodeEligible\": false}");
	p.leaving = false;
	assert_page(&p, 5000, "/healthz", 200,
		    "{\"lastUpdated\": " TIME("25.000") ",\"currentTime\": " TIME(
			    "25.000") ", \"nodeEligible\": true}");
	assert_page(&p, 20000, "/livez", 503,
		    "{\"lastUpdated\": " TIME("22.000") ",\"currentTime\": " TIME("40.000") "}");
	assert_page(&p, 5000, "/", 404, "known are /healthz, /livez\n");
}

/* ---- metrics */

static int put(struct metrics *m, unsigned source, const char *name, const char *type,
	       const char *value, const char *key, const char *label)
{
	struct strmap_entry l = { .key = key, .value = label };
	struct rec_metric r = { .name = name,
				.help = "Text with \\ and\nnewline.",
				.type = type,
				.value = value,
				.labels = { .v = key ? &l : NULL, .n = key != NULL } };
	struct err e;

	return metrics_put(m, source, &r, &e);
}

static void test_metrics(void **state)
{
	struct metrics m = { 0 };
	struct buf out = { 0 };

	assert_int_equal(put(&m, 1, "b_total", "counter", "7", "x", "q\"\\\n"), 0);
	assert_int_equal(put(&m, 0, "a", "gauge", "1", NULL, NULL), 0);
	assert_int_equal(put(&m, 1, "b_total", "counter", "-1.5e3", "x", "p"), 0);
	assert_int_equal(put(&m, 0, "a", "gauge", "2", NULL, NULL), 0); /* replaces */
	assert_int_equal(put(&m, 2, "a", "gauge", "9", NULL, NULL), 0); /* hidden by the first */
	metrics_print(&m, &out);
	assert_string_equal(out.v, "# HELP a Text with \\\\ and\\nnewline.\n"
				   "# TYPE a gauge\n"
				   "a 2\n"
				   "# HELP b_total Text with \\\\ and\\nnewline.\n"
				   "# TYPE b_total counter\n"
				   "b_total{x=\"p\"} -1.5e3\n"
				   "b_total{x=\"q\\\"\\\\\\n\"} 7\n");
	assert_string_equal(metrics_get(&m, "b_total", "x", "p"), "-1.5e3");
	assert_null(metrics_get(&m, "b_total", "x", "r"));

	assert_int_equal(put(&m, 1, "b_total", NULL, NULL, "x", "p"), 0);       /* gone */
	assert_int_equal(put(&m, 2, "b_total", NULL, NULL, "x", "q\"\\\n"), 0); /* not its own */
	assert_int_equal(put(&m, 1, "c_total", NULL, NULL, "x", "p"), 0);
	assert_int_equal(m.n, 3);
	assert_null(metrics_get(&m, "b_total", "x", "p"));
	assert_non_null(metrics_get(&m, "b_total", "x", "q\"\\\n"));

	metrics_drop(&m, 0);
	metrics_drop(&m, 1);
	buf_clear(&out);
	metrics_print(&m, &out);
	assert_string_equal(out.v, "# HELP a Text with \\\\ and\\nnewline.\n"
				   "# TYPE a gauge\n"
				   "a 9\n");
	buf_fini(&out);
	metrics_fini(&m);
}

static void test_bad_metrics(void **state)
{
	struct metrics m = { 0 };

	assert_int_equal(put(&m, 0, "1a", "gauge", "1", NULL, NULL), -EINVAL);
	assert_int_equal(put(&m, 0, "a b", "gauge", "1", NULL, NULL), -EINVAL);
	assert_int_equal(put(&m, 0, "", "gauge", "1", NULL, NULL), -EINVAL);
	assert_int_equal(put(&m, 0, NULL, "gauge", "1", NULL, NULL), -EINVAL);
	assert_int_equal(put(&m, 0, "a", "summary", "1", NULL, NULL), -EINVAL);
	assert_int_equal(put(&m, 0, "a", NULL, "1", NULL, NULL), -EINVAL);
	assert_int_equal(put(&m, 0, "a", "gauge", "1\nb 2", NULL, NULL), -EINVAL);
	assert_int_equal(put(&m, 0, "a", "gauge", "", NULL, NULL), -EINVAL);
	assert_int_equal(put(&m, 0, "a", "gauge", "1e", NULL, NULL), -EINVAL);
	assert_int_equal(put(&m, 0, "a", "gauge", "1", "le:x", "v"), -EINVAL);
	assert_int_equal(m.n, 0);
	metrics_fini(&m);
}

static int put_histogram(struct metrics *m, const struct rec_bucket *v, uint32_t n, int64_t count)
{
	struct strmap_entry l = { .key = "x", .value = "p" };
	struct rec_metric r = { .name = "h_seconds",
				.help = "h",
				.type = "histogram",
				.value = "1.5",
				.count = count,
				.labels = { .v = &l, .n = n == 2 },
				.buckets = { .v = (struct rec_bucket *)v, .n = n } };
	struct err e;

	return metrics_put(m, 0, &r, &e);
}

static void test_histograms(void **state)
{
	static const struct rec_bucket good[] = { { "0.001", 1 }, { "2", 3 }, { "10.5", 3 } };
	static const struct rec_bucket falls[] = { { "0.001", 2 }, { "2", 1 } };
	static const struct rec_bucket back[] = { { "2", 1 }, { "0.1", 1 } };
	static const struct rec_bucket none[] = { { "2", 1 }, { "x", 1 } };
	struct metrics m = { 0 };
	struct buf out = { 0 };

	assert_int_equal(put(&m, 0, "h_seconds_a", "gauge", "1", NULL, NULL), 0);
	assert_int_equal(put_histogram(&m, good, 3, 4), 0);
	assert_int_equal(put_histogram(&m, good, 2, 3), 0); /* with a label */
	metrics_print(&m, &out);
	assert_string_equal(out.v, "# HELP h_seconds h\n"
				   "# TYPE h_seconds histogram\n"
				   "h_seconds_bucket{le=\"0.001\"} 1\n"
				   "h_seconds_bucket{le=\"2\"} 3\n"
				   "h_seconds_bucket{le=\"10.5\"} 3\n"
				   "h_seconds_bucket{le=\"+Inf\"} 4\n"
				   "h_seconds_sum 1.5\n"
				   "h_seconds_count 4\n"
				   "h_seconds_bucket{x=\"p\",le=\"0.001\"} 1\n"
				   "h_seconds_bucket{x=\"p\",le=\"2\"} 3\n"
				   "h_seconds_bucket{x=\"p\",le=\"+Inf\"} 3\n"
				   "h_seconds_sum{x=\"p\"} 1.5\n"
				   "h_seconds_count{x=\"p\"} 3\n"
				   "# HELP h_seconds_a Text with \\\\ and\\nnewline.\n"
				   "# TYPE h_seconds_a gauge\n"
				   "h_seconds_a 1\n");
	assert_int_equal(put_histogram(&m, good, 3, 2), -EINVAL); /* a bucket above the whole */
	assert_int_equal(put_histogram(&m, falls, 2, 9), -EINVAL);
	assert_int_equal(put_histogram(&m, back, 2, 9), -EINVAL);
	assert_int_equal(put_histogram(&m, none, 2, 9), -EINVAL);
	metrics_fini(&m);
	buf_fini(&out);
}

static void test_too_many(void **state)
{
	struct metrics m = { 0 };
	char name[16];

	for (int i = 0; i < METRICS_MAX; i++) {
		snprintf(name, sizeof(name), "m%d", i);
		assert_int_equal(put(&m, 0, name, "gauge", "1", NULL, NULL), 0);
	}
	assert_int_equal(put(&m, 0, "one_more", "gauge", "1", NULL, NULL), -ENOSPC);
	assert_int_equal(put(&m, 0, "m7", "gauge", "2", NULL, NULL), 0);
	metrics_fini(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),      cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_limits),        cmocka_unit_test(test_response),
		cmocka_unit_test(test_proxy_verdict), cmocka_unit_test(test_proxy_pages),
		cmocka_unit_test(test_metrics),       cmocka_unit_test(test_bad_metrics),
		cmocka_unit_test(test_histograms),    cmocka_unit_test(test_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
