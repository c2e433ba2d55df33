// SPDX-License-Identifier: Apache-2.0
/* Metrics of role dns, under the names that CoreDNS has for the same, so that dashboards and alerts made for it go on; what CoreDNS does
 * not have is fairlead_dns_…. Figures are the workers' together, each read as it stands. The label `server` is CoreDNS' name of a
 * server block; we have one. */
#include "daemon/dns_worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVER "dns://.:53"

struct series {
	const char *name, *type, *help;
	struct strmap_entry labels[4];
};

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct strmap_entry *)a)->key, ((const struct strmap_entry *)b)->key);
}

static void say(struct report *r, const struct series *s, uint64_t value)
{
	struct strmap_entry labels[5] = { { .key = "server", .value = SERVER } };
	struct rec_metric m = { .name = s->name, .type = s->type, .help = s->help };
	char text[24];
	uint32_t n = 1;

	while (n < 5 && s->labels[n - 1].key) {
		labels[n] = s->labels[n - 1];
		n++;
	}
	qsort(labels, n, sizeof(*labels), by_key); /* as records have maps */
	m.labels.v = labels;
	m.labels.n = n;
	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	m.value = text;
	report_send(r, REC_METRIC, &m);
}

#define SAY(r, value, ...) say(r, &(struct series){ __VA_ARGS__ }, value)

/* ---- sums over the workers */

#define SUM(d, field)                                                                              \
	({                                                                                         \
		uint64_t sum_ = 0;                                                                 \
		for (unsigned w_ = 0; w_ < (d)->n_workers; w_++)                                   \
			sum_ += dns_counted(&(d)->workers[w_].counts.field);                       \
		sum_;                                                                              \
	})

static void report_requests(struct report *r, const struct dns *d)
{
	static const char *const protos[] = { "udp", "tcp" }, *const families[] = { "1", "2" };
	char type[16];

	for (unsigned p = 0; p < DNS_PROTOS; p++)
		for (unsigned f = 0; f < DNS_FAMILIES; f++)
			for (unsigned t = 0; t < DNS_TYPES_COUNTED; t++) {
				uint64_t n = SUM(d, requests[p][f][t]);

				if (n)
					SAY(r, n, "coredns_dns_requests_total", "counter",
					    "Queries by protocol, family (1 is IPv4, 2 is IPv6) "
					    "and type.",
					    { { "proto", protos[p] },
					      { "family", families[f] },
					      { "type", dns_type_counted(t, type) } });
			}
}

static void report_responses(struct report *r, const struct dns *d)
{
	static const char *const rcodes[] = { "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN",
					      "NOTIMP",  "REFUSED", "other" };
	static const char *const plugins[] = { "", "hosts", "kubernetes", "forward" };

	for (unsigned s = 0; s < DNS_SOURCES; s++)
		for (unsigned c = 0; c <= DNS_RCODES; c++) {
			uint64_t n = SUM(d, responses[s][c]);

			if (n)
				SAY(r, n, "coredns_dns_responses_total", "counter",
				    "Responses by code, and by who had the answer.",
				    { { "rcode", rcodes[c] }, { "plugin", plugins[s] } });
		}
}

static void report_times(struct report *r, const struct dns *d, const char *name, const char *help,
			 bool upstream)
{
	struct strmap_entry label = { .key = "server", .value = SERVER };
	struct rec_bucket buckets[DNS_TIMES - 1];
	char bounds[DNS_TIMES][16], sum[32];
	uint64_t below = 0, us = upstream ? SUM(d, upstream.sum_us) : SUM(d, took.sum_us);
	struct rec_metric m = { .name = name,
				.help = help,
				.type = "histogram",
				.labels = { .v = &label, .n = 1 },
				.value = sum,
				.buckets = { .v = buckets, .n = DNS_TIMES - 1 } };

	for (unsigned i = 0; i < DNS_TIMES - 1; i++) {
		below += upstream ? SUM(d, upstream.bucket[i]) : SUM(d, took.bucket[i]);
		snprintf(bounds[i], sizeof(bounds[i]), "%g", 0.00025 * (1u << i));
		buckets[i] = (struct rec_bucket){ .le = bounds[i], .count = (int64_t)below };
	}
	m.count = (int64_t)(below + (upstream ? SUM(d, upstream.bucket[DNS_TIMES - 1])
					      : SUM(d, took.bucket[DNS_TIMES - 1])));
	snprintf(sum, sizeof(sum), "%llu.%06llu", (unsigned long long)(us / 1000000),
		 (unsigned long long)(us % 1000000));
	report_send(r, REC_METRIC, &m);
}

static void report_upstreams(struct report *r, struct dns *d)
{
	struct dns_forward_counts f = { 0 }, one;
	struct dns_cache_counts c = { 0 }, part;
	static const char *const odd[DNS_ODDS] = { "form",     "id",   "upstream", "port",
						   "question", "case", "records" };

	for (unsigned i = 0; i < d->n_workers; i++) {
		dns_worker_count(&d->workers[i], &one, &part);
		f.asked += one.asked;
		f.hits += one.hits;
		f.stale += one.stale;
		f.joined += one.joined;
		f.busy += one.busy;
		f.failed += one.failed;
		f.all_down += one.all_down;
		f.dropped_records += one.dropped_records;
		for (unsigned k = 0; k < DNS_ODDS; k++)
			f.odd[k] += one.odd[k];
		c.positive += part.positive;
		c.negative += part.negative;
		c.evicted += part.evicted;
		c.bytes += part.bytes;
	}
	SAY(r, c.positive, "coredns_cache_entries", "gauge", "Answers of others that are kept.",
	    { { "type", "success" } });
	SAY(r, c.negative, "coredns_cache_entries", "gauge", "Answers of others that are kept.",
	    { { "type", "denial" } });
	SAY(r, f.asked + f.hits, "coredns_cache_requests_total", "counter",
	    "Queries that the cache was asked for.", { { 0 } });
	SAY(r, f.hits, "coredns_cache_hits_total", "counter", "Queries that the cache answered.",
	    { { 0 } });
	SAY(r, f.asked, "coredns_cache_misses_total", "counter", "Queries that it did not.",
	    { { 0 } });
	SAY(r, f.stale, "coredns_cache_served_stale_total", "counter",
	    "Answers past their time, as nobody had another.", { { 0 } });
	SAY(r, c.evicted, "coredns_cache_evictions_total", "counter",
	    "Answers that made room before their time.", { { 0 } });
	SAY(r, f.all_down, "coredns_forward_healthcheck_broken_total", "counter",
	    "Queries sent although no upstream was up.", { { 0 } });
	SAY(r, f.busy, "coredns_forward_max_concurrent_rejects_total", "counter",
	    "Queries refused as too many were out.", { { 0 } });
	SAY(r, f.joined, "fairlead_dns_joined_total", "counter",
	    "Queries that waited for the answer to another client's like them.", { { 0 } });
	SAY(r, f.failed, "fairlead_dns_failed_total", "counter",
	    "Questions that no upstream answered in time.", { { 0 } });
	SAY(r, f.dropped_records, "fairlead_dns_dropped_records_total", "counter",
	    "Records in answers that nobody had asked for.", { { 0 } });
	for (unsigned k = 0; k < DNS_ODDS; k++)
		SAY(r, f.odd[k], "fairlead_dns_odd_answers_total", "counter",
		    "Answers that were not used, by what was wrong with them.",
		    { { "wrong", odd[k] } });
}

void dns_report(struct report *r, void *arg)
{
	struct dns *d = arg;

	report_requests(r, d);
	report_responses(r, d);
	report_times(r, d, "coredns_dns_request_duration_seconds",
		     "From when a query was read to its answer.", false);
	report_times(r, d, "coredns_proxy_request_duration_seconds",
		     "From when an upstream was asked to its answer.", true);
	SAY(r, SUM(d, dnssec_ok), "coredns_dns_do_requests_total", "counter",
	    "Queries with the DO bit.", { { 0 } });
	SAY(r, SUM(d, malformed), "fairlead_dns_malformed_total", "counter",
	    "Datagrams that were no query.", { { 0 } });
	report_upstreams(r, d);
	report_value(r, "fairlead_dns_agent_table", "gauge",
		     "1: names are answered from the agent's table, 0: from one of the role's own.",
		     NULL, NULL, d->feed && !strcmp(d->feed->name, "agent"));
}
