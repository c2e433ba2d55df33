// SPDX-License-Identifier: Apache-2.0
/* Queries that `fairlead trace --query` follows: the agent, which looks for the packet, says which one (agent_dns.c), and is told what was
 * made of it.
 *
 * The query itself is watched for, and not a second one asked: an answer that was asked for again comes out of the cache, or from a table
 * that has changed. A worker knows it by id, question, letters and sender. What it costs while nobody traces is one load of a counter for
 * each answer; while somebody does, a lock and a comparison. The agent says so before the probe is sent, on a stream that is as a rule much
 * faster than that; a query that is faster still is not seen, and the trace then has its answer without who had it. */
#include "core/dns/settings.h"
#include "core/dns/words.h"
#include "daemon/dns_worker.h"
#include "sys/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRACED_MAX  64 /* at the same time */
#define SECONDS_MAX 120

struct traced {
	struct traced *next;
	struct dns *dns;
	char trace[NAME_MAX_LEN + 1];
	uint16_t id, type;
	struct dns_name name;
	struct ipaddr sender; /* family 0, or unspecified: any */
	ev_timer end;
	/* What was made of it, under the lock: */
	bool told; /* there is something to say */
	const char *from;
	char upstream[ADDR_TEXT + 16], zone[DNS_NAME_TEXT], rcode[16]; /* "": none */
	int64_t us;
};

/* ---- by workers */

static struct ipaddr sender_of(const struct dns_asker *a)
{
	const struct sockaddr_in6 *six = (const void *)&a->from;
	const struct sockaddr_in *four = (const void *)&a->from;
	struct ipaddr ip = { .family = (uint8_t)a->from.ss_family };

	if (ip.family == AF_INET6)
		memcpy(ip.b, &six->sin6_addr, 16);
	else
		memcpy(ip.b, &four->sin_addr, 4);
	return ip;
}

/* Whose a connection is its socket knows, and it is not asked. */
static bool is_from(const struct traced *t, const struct dns_asker *a)
{
	struct ipaddr ip = sender_of(a);

	return a->tcp || !t->sender.family || addr_is_unspecified(&t->sender) ||
	       addr_eq(&t->sender, &ip);
}

static bool is_it(const struct traced *t, const struct dns_query *q, const struct dns_asker *from)
{
	return q->id == t->id && q->question_len && q->type == t->type && q->name.n == t->name.n &&
	       !memcmp(q->name.v, t->name.v, q->name.n) && is_from(t, from);
}

/* Of the cluster's zones the longest that has the name; of a name that none has, the domain. */
static const struct dns_name *zone_of(const struct dns_settings *s, const struct dns_name *name)
{
	const struct dns_name *v[] = { s->domains, s->reverse, s->external, s->external_reverse };
	const uint8_t n[] = { s->n_domains, s->n_reverse, s->n_external, s->n_external_reverse };
	const struct dns_name *found = NULL;

	for (unsigned i = 0; i < sizeof(v) / sizeof(*v); i++)
		for (unsigned k = 0; k < n[i]; k++)
			if (dns_name_under(name, &v[i][k]) && (!found || v[i][k].n > found->n))
				found = &v[i][k];
	return found ? found : s->domains;
}

/* What was there at once and is no failure was kept; a failure is kept as well, but is the same as none. */
static const char *from_text(enum dns_source source, const struct dns_asker *to, unsigned rcode)
{
	if (source != DNS_FROM_UPSTREAM || to->waited)
		return dns_source_text(source);
	return rcode == DNS_NOERROR || rcode == DNS_NXDOMAIN ? "cache" : "nobody";
}

static void note(struct traced *t, const struct dns_query *q, const struct dns_asker *to,
		 enum dns_source source, const uint8_t *answer)
{
	unsigned rcode = answer ? answer[3] & 15u : 0;
	char ip[ADDR_TEXT], code[16];

	dns_name_text(zone_of(&t->dns->settings, &q->lower), t->zone);
	t->from = answer ? from_text(source, to, rcode) : dns_source_text(source);
	t->us = (int64_t)(clock_mono_ns() / 1000 - to->asked_us);
	if (to->by)
		snprintf(t->upstream, sizeof(t->upstream),
			 to->by->addr.family == AF_INET6 ? "[%s]:%u" : "%s:%u",
			 addr_str(&to->by->addr, ip), to->by->port);
	if (answer)
		snprintf(t->rcode, sizeof(t->rcode), "%s", dns_rcode_text(rcode, code));
	t->told = true;
}

void dns_trace_met(struct dns_worker *w, const struct dns_query *q, const struct dns_asker *to,
		   enum dns_source source, const uint8_t *answer)
{
	struct dns *d = w->dns;
	bool told = false;

	pthread_mutex_lock(&d->lock);
	for (struct traced *t = d->traces; t; t = t->next)
		if (!*t->rcode && is_it(t, q, to)) {
			note(t, q, to, source, answer);
			told = true;
		}
	pthread_mutex_unlock(&d->lock);
	if (told)
		ev_async_send(d->role->loop, &d->traced_wake);
}

/* ---- by the role's thread */

static void on_wake(struct ev_loop *loop, ev_async *a, int events)
{
	struct dns *d = a->data;

	(void)loop;
	(void)events;
	pthread_mutex_lock(&d->lock);
	for (struct traced *t = d->traces; t; t = t->next) {
		const struct rec_dns_made r = { .trace = t->trace,
						.from = t->from,
						.upstream = *t->upstream ? t->upstream : NULL,
						.zone = t->zone,
						.rcode = *t->rcode ? t->rcode : NULL,
						.microseconds = t->us };

		if (t->told)
			dns_agent_tell(d, &r);
		t->told = false;
	}
	pthread_mutex_unlock(&d->lock);
}

static void forget(struct traced *t)
{
	struct dns *d = t->dns;
	struct traced **at = &d->traces;

	pthread_mutex_lock(&d->lock);
	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	pthread_mutex_unlock(&d->lock);
	atomic_fetch_sub_explicit(&d->n_traces, 1, memory_order_relaxed);
	ev_timer_stop(d->role->loop, &t->end);
	free(t);
}

static void on_end(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	forget(timer->data);
}

void dns_trace_follow(struct dns *d, const struct rec_dns_follow *r)
{
	double seconds = (double)(r->seconds < SECONDS_MAX ? r->seconds : SECONDS_MAX);
	struct traced *t = NULL;
	struct err e;

	if (r->trace && r->question && r->seconds > 0 &&
	    atomic_load_explicit(&d->n_traces, memory_order_relaxed) < TRACED_MAX)
		t = calloc(1, sizeof(*t));
	if (!t || dns_name_parse(r->question, &t->name, &e)) {
		free(t);
		return;
	}
	t->dns = d;
	snprintf(t->trace, sizeof(t->trace), "%s", r->trace);
	t->id = (uint16_t)r->id;
	t->type = (uint16_t)r->type;
	t->sender = r->sender;
	ev_timer_init(&t->end, on_end, seconds, 0.);
	t->end.data = t;
	ev_timer_start(d->role->loop, &t->end);
	pthread_mutex_lock(&d->lock);
	t->next = d->traces;
	d->traces = t;
	pthread_mutex_unlock(&d->lock);
	atomic_fetch_add_explicit(&d->n_traces, 1, memory_order_relaxed);
}

void dns_trace_open(struct dns *d)
{
	ev_async_init(&d->traced_wake, on_wake);
	d->traced_wake.data = d;
	ev_async_start(d->role->loop, &d->traced_wake);
}

void dns_trace_close(struct dns *d)
{
	while (d->traces)
		forget(d->traces);
	ev_async_stop(d->role->loop, &d->traced_wake);
}
