// SPDX-License-Identifier: Apache-2.0
/* agent_trace_dns: of a trace of a DNS query, what this node's role dns made of it. The role is told before anybody sends the probe; it is no
 * more than any user (agent_dns.c), so what it says is short and printable, and heard a few times for each trace. */
#include "core/dns/traced.h"
#include "daemon/agent_dns.h"
#include "daemon/agent_trace_job.h"

#include <string.h>

#define SLACK_S   10 /* until the probe is sent, and its answer is late */
#define TEXT_MAX  DNS_NAME_TEXT
#define TIMES_MAX 4

void trace_dns_follow(struct trace_job *j, const struct packet_trace *t)
{
	struct rec_dns_follow r = { .trace = j->name,
				    .question = t->spec.query.name,
				    .sender = t->spec.source.address };
	struct dns_query q;
	struct err e;

	if (!t->spec.query.name || dns_traced_question(t, &q, &e))
		return;
	r.id = q.id;
	r.type = q.type;
	r.seconds = SLACK_S + (t->spec.timeoutSeconds ? t->spec.timeoutSeconds : TRACE_SECONDS);
	agent_dns_follow(j->agent, &r);
}

/* NULL: there is none, or it is none that the role would say. */
static const char *take_text(struct trace_job *j, const char *s)
{
	size_t n = s ? strlen(s) : 0;

	for (size_t i = 0; i < n; i++)
		if (s[i] < ' ' || s[i] > '~')
			return NULL;
	return n && n < TEXT_MAX ? arena_strdup(&j->arena, s) : NULL;
}

void trace_dns_take(struct trace_job *j, const struct rec_dns_made *r)
{
	if (j->dns.rcode || j->n_dns++ >= TIMES_MAX)
		return;
	j->dns = (struct trace_dns){ .node = j->mine.name,
				     .from = take_text(j, r->from),
				     .upstream = take_text(j, r->upstream),
				     .zone = take_text(j, r->zone),
				     .rcode = take_text(j, r->rcode),
				     .microseconds = r->microseconds };
	trace_write_soon(j);
}
