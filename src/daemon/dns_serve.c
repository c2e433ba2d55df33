// SPDX-License-Identifier: Apache-2.0
/* One query → one answer, by whoever knows first: the hosts file, the cluster's table, the cache or an upstream. */
#include "core/dns/answer.h"
#include "core/dns/response.h"
#include "core/dns/reverse.h"
#include "core/dns/words.h"
#include "daemon/dns_worker.h"
#include "sys/clock.h"

#include <string.h>

#define HOSTS_TTL 3600 /* as CoreDNS' hosts plugin */

/* ---- words */

static const uint16_t types[DNS_TYPES_COUNTED - 1] = {
	DNS_A, DNS_AAAA, DNS_SRV, DNS_PTR, DNS_SOA, DNS_NS, DNS_CNAME, DNS_TXT, DNS_MX, DNS_ANY
};

static unsigned type_index(uint16_t type)
{
	unsigned i = 0;

	while (i < DNS_TYPES_COUNTED - 1 && types[i] != type)
		i++;
	return i;
}

const char *dns_source_text(enum dns_source s)
{
	static const char *const text[DNS_SOURCES] = { "nobody", "hosts", "cluster", "upstream" };

	return text[s];
}

/* ---- counting and logging */

const char *dns_type_counted(unsigned i, char buf[16])
{
	return i < DNS_TYPES_COUNTED - 1 ? dns_type_text(types[i], buf) : "other";
}

static bool is_six(const struct dns_asker *a)
{
	return (a->tcp ? dns_tcp_family(a->tcp) : a->from.ss_family) == AF_INET6;
}

static void count_query(struct dns_worker *w, const struct dns_query *q, const struct dns_asker *a)
{
	dns_count(&w->counts.requests[a->tcp ? DNS_BY_TCP : DNS_BY_UDP]
				     [is_six(a) ? DNS_FAMILY_6 : DNS_FAMILY_4][type_index(q->type)],
		  1);
	if (q->dnssec_ok)
		dns_count(&w->counts.dnssec_ok, 1);
}

/* A failure is logged unless there were too many; how many those were is said before the next. */
static bool is_logged(struct dns_worker *w, unsigned rcode)
{
	uint8_t log = w->dns->role->cfg.dns.log;
	struct denial_rate *r = &w->failures;

	if (log == CONFIG_DNS_LOG_ALL)
		return true;
	if (log == CONFIG_DNS_LOG_OFF || rcode != DNS_SERVFAIL ||
	    !denial_rate_take(r, ev_now(w->loop)))
		return false;
	if (r->more)
		log_info("%llu more queries failed that are not logged",
			 (unsigned long long)r->more);
	r->more = 0;
	return true;
}

void dns_serve_answered(struct dns_worker *w, const struct dns_query *q, const struct dns_asker *to,
			enum dns_source source, const uint8_t *answer, size_t n)
{
	unsigned rcode = answer[3] & 15;
	char name[DNS_NAME_TEXT], type[16], code[16];
	uint64_t us = clock_mono_ns() / 1000 - to->asked_us;

	if (to->job) {
		to->job->source = source;
		to->job->us = us;
		return;
	}
	if (dns_traces(w))
		dns_trace_met(w, q, to, source, answer);
	dns_count(&w->counts.responses[source][rcode < DNS_RCODES ? rcode : DNS_RCODES], 1);
	dns_count_time(&w->counts.took, us);
	if (!is_logged(w, rcode))
		return;
	log_info("query %s %s: %s from %s in %llu us, %zu octets", dns_type_text(q->type, type),
		 q->question_len ? dns_name_text(&q->name, name) : "?", dns_rcode_text(rcode, code),
		 dns_source_text(source), (unsigned long long)us, n);
}

/* ---- hosts */

static bool put_addrs(const struct dns_hosts *h, const struct dns_query *q, struct dns_out *o)
{
	size_t first, n = dns_hosts_find(h, &q->lower, &first);

	for (size_t i = first; i < first + n; i++) {
		const struct ipaddr *a = dns_hosts_addr(h, i);

		if (a->family == AF_INET && q->type == DNS_A)
			dns_out_a(o, DNS_ANSWER, &q->name, HOSTS_TTL, a->b);
		if (a->family == AF_INET6 && q->type == DNS_AAAA)
			dns_out_aaaa(o, DNS_ANSWER, &q->name, HOSTS_TTL, a->b);
	}
	return n > 0;
}

static bool put_names(const struct dns_hosts *h, const struct dns_query *q, struct dns_out *o)
{
	struct dns_name name;
	struct ipaddr a;
	size_t first, n;

	if (q->type != DNS_PTR || dns_reverse_read(&q->lower, &a) != DNS_REVERSE_ADDR)
		return false;
	n = dns_hosts_find_addr(h, &a, &first);
	for (size_t i = first; i < first + n; i++) {
		dns_hosts_name(h, i, &name);
		dns_out_ptr(o, DNS_ANSWER, &q->name, HOSTS_TTL, &name);
	}
	return n > 0;
}

/* ---- the way of a query */

static size_t refuse(const struct dns_query *q, uint8_t *out, size_t cap, int rcode)
{
	struct dns_out o;

	dns_out_begin(&o, out, cap, q, DNS_RA);
	return dns_out_end(&o, rcode);
}

static int ask_cluster(struct dns_worker *w, const struct dns_query *q, uint8_t *out, size_t cap,
		       struct dns_out *o, struct dns_name *target)
{
	int rcode;

	do { /* once, but for a thread that stood still so long that the writer did not wait for it */
		dns_out_begin(o, out, cap, q, DNS_RA);
		dns_view_enter(&w->view);
		rcode = dns_answer(&w->view, &w->dns->settings, q, w->turn++, o, target);
	} while (!dns_view_leave(&w->view));
	return rcode;
}

static size_t from_hosts(const struct dns_worker *w, const struct dns_query *q, uint8_t *out,
			 size_t cap)
{
	struct dns_out o;

	if (!w->hosts)
		return 0;
	dns_out_begin(&o, out, cap, q, DNS_AA | DNS_RA);
	return put_addrs(w->hosts, q, &o) || put_names(w->hosts, q, &o)
		       ? dns_out_end(&o, DNS_NOERROR)
		       : 0;
}

static size_t from_cluster(struct dns_worker *w, const struct dns_query *q, uint8_t *out,
			   size_t cap, struct dns_name *target)
{
	struct dns_out o;
	int rcode = ask_cluster(w, q, out, cap, &o, target);
	return rcode < 0 ? 0 : dns_out_end(&o, rcode);
}

size_t dns_serve_behind(struct dns_worker *w, const struct dns_query *q,
			const struct dns_relay *answer, uint8_t *out, size_t cap)
{
	static _Thread_local uint8_t room[DNS_TCP_MAX];
	struct dns_query end = *q;
	struct dns_response r;
	struct dns_record rec;
	struct dns_walk walk;
	struct dns_out o;
	int rcode;

	rcode = ask_cluster(w, q, out, cap, &o, &end.name);
	if (rcode < 0 || !end.name.n || !answer)
		return dns_out_end(&o, rcode < 0 ? DNS_SERVFAIL : rcode);
	dns_name_copy(&end.lower, &end.name);
	dns_name_lower(&end.lower);
	end.question_len = (uint16_t)(end.name.n + 4);
	if (dns_response_read(room, dns_relay_write(answer, &end, room, sizeof(room)), &r))
		return dns_out_end(&o, DNS_SERVFAIL);
	walk = dns_walk_begin(&r);
	while (dns_walk_next(&walk, &rec) && rec.section == DNS_ANSWER) {
		struct dns_name target;
		size_t at = rec.data;

		if (rec.type == DNS_A)
			dns_out_a(&o, DNS_ANSWER, &rec.owner, rec.ttl, room + rec.data);
		else if (rec.type == DNS_AAAA)
			dns_out_aaaa(&o, DNS_ANSWER, &rec.owner, rec.ttl, room + rec.data);
		else if (rec.type == DNS_CNAME && !dns_name_read(room, walk.n, &at, &target))
			dns_out_cname(&o, DNS_ANSWER, &rec.owner, rec.ttl, &target);
	}
	return dns_out_end(&o, r.rcode);
}

/* Only addresses are sought at the end of an alias: of all else the alias itself is the answer. */
static bool is_sought(const struct dns_query *q, const struct dns_name *target)
{
	return target->n && (q->type == DNS_A || q->type == DNS_AAAA);
}

static size_t find(struct dns_worker *w, const struct dns_query *q, const struct dns_asker *from,
		   uint8_t *out, size_t cap, enum dns_source *source)
{
	struct dns_name target = { 0 };
	size_t n;

	*source = DNS_FROM_HOSTS;
	n = from_hosts(w, q, out, cap);
	if (n)
		return n;
	*source = DNS_FROM_CLUSTER;
	n = from_cluster(w, q, out, cap, &target);
	if (n && !is_sought(q, &target))
		return n;
	*source = DNS_FROM_UPSTREAM;
	return w->upstreams ? dns_upstreams_ask(w->upstreams, q, &target, from, out, cap)
			    : refuse(q, out, cap, DNS_SERVFAIL);
}

size_t dns_serve(struct dns_worker *w, const uint8_t *query, size_t n, const struct dns_asker *from,
		 uint8_t *out, size_t cap)
{
	enum dns_source source = DNS_FROM_NONE;
	struct dns_query q;
	int rc = dns_query_read(query, n, &q);
	size_t len;

	if (rc < 0) {
		dns_count(&w->counts.malformed, 1);
		if (from->tcp)
			dns_tcp_send(from->tcp, NULL, 0);
		return 0;
	}
	if (!from->job)
		count_query(w, &q, from);
	cap = dns_query_limit(&q, from->fd < 0, cap);
	if (!rc && q.class != DNS_IN)
		rc = DNS_REFUSED;
	len = rc ? refuse(&q, out, cap, rc) : find(w, &q, from, out, cap, &source);
	if (len)
		dns_serve_answered(w, &q, from, source, out, len);
	else if (dns_traces(w) && !from->job)
		dns_trace_met(w, &q, from, source, NULL);
	return len;
}

void dns_serve_forget(struct dns_worker *w, const struct dns_tcp *c)
{
	if (w->upstreams)
		dns_upstreams_forget(w->upstreams, c);
	if (w->leaving)
		dns_upstreams_forget(w->leaving, c);
}
