// SPDX-License-Identifier: Apache-2.0
/* agent_trace_look: see agent_trace_look.h. It looks in every pod of the node, as where a packet is sent
 * is what is to be found out; where there are more than the collector takes, the trace's own ends come
 * first, and how many were left out is noted. */
#include "daemon/agent_trace_look.h"
#include "core/ipam/ipam.h"
#include "daemon/agent_ipam.h"
#include "daemon/agent_store.h"
#include "sys/netns.h"
#include "sys/tracer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct trace_look {
	struct agent *agent;
	struct tracer *tracer;
	struct trace_facts facts;
	uint32_t left_out; /* pods */
	const char *note;
};

/* ---- which namespaces */

/* One attachment per namespace: an interface more in it is not another pod. */
static bool is_first(const struct ipam_attachment *const *v, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (v[k]->state == IPAM_LIVE && v[k]->netns && !strcmp(v[k]->netns, v[i]->netns))
			return false;
	return true;
}

static bool is_pod(const struct ipam_attachment *const *v, size_t i)
{
	return v[i]->state == IPAM_LIVE && !v[i]->ipam_only && v[i]->netns &&
	       !agent_ipam_is_gateway(v[i]) && is_first(v, i);
}

static bool is_end(const struct ipam_attachment *at, const struct packet_trace *t)
{
	for (uint32_t i = 0; i < at->addrs.n; i++)
		if (addr_eq(&at->addrs.v[i], &t->spec.source.address) ||
		    addr_eq(&at->addrs.v[i], &t->spec.destination.address))
			return true;
	return false;
}

static int add_pod(struct trace_look *l, struct tracer_space *out, const struct ipam_attachment *at)
{
	struct trace_facts *f = &l->facts;
	struct trace_space *s = &f->spaces[f->n_spaces];
	struct err e;
	int netns;

	if (f->n_spaces == TRACER_SPACES_MAX) {
		l->left_out++;
		return 0;
	}
	netns = netns_open(at->netns, &e);
	if (netns < 0) {
		log_debug("trace: %s", e.text); /* it is about to go */
		return 0;
	}
	s->path = arena_strdup(f->arena, at->netns);
	s->in = at->pod_name ? arena_printf(f->arena, "%s/%s", at->pod_namespace, at->pod_name)
			     : arena_printf(f->arena, "-/%s", at->container);
	out[f->n_spaces++] = (struct tracer_space){ .netns = netns };
	return s->path && s->in ? 0 : -ENOMEM;
}

/* `out` has room for TRACER_SPACES_MAX. */
static int find_spaces(struct trace_look *l, const struct packet_trace *t, struct tracer_space *out,
		       struct err *e)
{
	struct trace_facts *f = &l->facts;
	const struct ipam_attachment *const *v;
	size_t n;
	int rc = 0;

	f->spaces = arena_array(f->arena, TRACER_SPACES_MAX, sizeof(*f->spaces));
	out[0] = (struct tracer_space){ .netns = netns_self(e), .rules = true };
	if (!f->spaces || out[0].netns < 0)
		return f->spaces ? out[0].netns : err_set(e, -ENOMEM, "trace: no memory");
	f->n_spaces = 1;
	v = ipam_all(agent_ipam_book(l->agent), &n);
	for (int ends = 1; ends >= 0; ends--)
		for (size_t i = 0; i < n && !rc; i++)
			if (is_pod(v, i) && is_end(v[i], t) == (ends == 1))
				rc = add_pod(l, out, v[i]);
	return rc ? err_set(e, rc, "trace: no memory") : 0;
}

int trace_look_source(struct agent *a, const struct packet_trace *t, struct err *e)
{
	const struct ipam_attachment *at;
	const struct object *o;

	if (!t->spec.source.pod)
		return netns_self(e);
	at = ipam_find_addr(agent_ipam_book(a), &t->spec.source.address);
	if (at && at->netns && at->pod_name && !strcmp(at->pod_name, t->spec.source.pod) &&
	    !strcmp(at->pod_namespace, t->spec.source.namespace))
		return netns_open(at->netns, e);
	o = cluster_get(agent_store_cluster(a), KIND_POD, t->spec.source.namespace,
			t->spec.source.pod);
	if (o && ((const struct pod *)o->body)->spec.hostNetwork)
		return netns_self(e);
	return err_set(e, -ENOENT, "pod %s/%s has not this address here", t->spec.source.namespace,
		       t->spec.source.pod);
}

/* ---- the collector */

int trace_look_open(struct agent *a, const struct packet_trace *t, struct arena *ar,
		    struct trace_look **out, struct err *e)
{
	struct tracer_space spaces[TRACER_SPACES_MAX];
	struct trace_look *l = calloc(1, sizeof(*l));
	struct tracer_opts opts = { .spaces = spaces };
	int rc;

	if (!l)
		return err_set(e, -ENOMEM, "trace: no memory");
	l->agent = a;
	rc = trace_facts_init(&l->facts, ar, e);
	if (!rc)
		rc = find_spaces(l, t, spaces, e);
	opts.n_spaces = l->facts.n_spaces;
	opts.signature =
		(struct nft_trace_signature){ trace_ip_proto(t->spec.protocol,
							     t->spec.destination.address.family),
					      (uint64_t)t->spec.signature };
	if (!rc)
		rc = tracer_open(&opts, &l->tracer, e);
	if (!rc)
		l->facts.marker = tracer_table(l->tracer, 0);
	for (uint32_t i = 0; i < l->facts.n_spaces; i++)
		close(spaces[i].netns);
	if (rc) {
		trace_look_close(l);
		return rc;
	}
	*out = l;
	return 0;
}

void trace_look_close(struct trace_look *l)
{
	if (!l)
		return;
	tracer_close(l->tracer);
	free(l);
}

int trace_look_fd(const struct trace_look *l)
{
	return tracer_fd(l->tracer);
}

static void on_event(void *arg, const struct tracer_event *event)
{
	trace_facts_event(arg, event);
}

void trace_look_read(struct trace_look *l)
{
	struct err e;

	if (tracer_read(l->tracer, on_event, &l->facts, &e) < 0 && !l->note) {
		log_warn("trace: %s", e.text);
		l->note = arena_strdup(l->facts.arena, e.text);
	}
}

void trace_look_about(const struct trace_look *l, struct trace_node *out)
{
	static const struct {
		unsigned means;
		uint8_t name;
	} all[] = { { TRACER_BPF, TRACE_BY_EBPF },
		    { TRACER_RULES, TRACE_BY_NFTABLES },
		    { TRACER_SOCKETS, TRACE_BY_PACKET_SOCKET } };
	size_t n = sizeof(all) / sizeof(all[0]);
	const char *note = tracer_note(l->tracer);
	struct arena *ar = l->facts.arena;

	out->means.n = 0;
	out->means.v = arena_array(ar, n, sizeof(*out->means.v));
	for (size_t i = 0; out->means.v && i < n; i++)
		if (tracer_means(l->tracer) & all[i].means)
			out->means.v[out->means.n++] = all[i].name;
	if (*note)
		out->note = arena_strdup(ar, note);
	if (l->left_out)
		out->note = arena_printf(ar, "%s%s%u pods are not looked into", note,
					 *note ? "; " : "", l->left_out);
	if (l->note)
		out->note = arena_printf(ar, "%s%s%s", out->note ? out->note : "",
					 out->note ? "; " : "", l->note);
}

static void on_connection(void *arg, uint32_t space, const struct ct_entry *c)
{
	trace_facts_connection(arg, space, c);
}

/* At most what one trace is told, so it ends. */
void trace_look_end(struct trace_look *l, struct trace_node *out)
{
	struct err e;

	while (tracer_read(l->tracer, on_event, &l->facts, &e) > 0)
		;
	if (tracer_connections(l->tracer, on_connection, &l->facts, &e))
		l->note = arena_strdup(l->facts.arena, e.text);
	trace_facts_ask(&l->facts, l->agent, l->tracer);
	trace_look_about(l, out);
	out->lost = l->facts.lost + tracer_lost(l->tracer);
	out->observations.v = l->facts.v;
	out->observations.n = l->facts.n;
	tracer_close(l->tracer);
	l->tracer = NULL;
}
