// SPDX-License-Identifier: Apache-2.0
/* agent_trace_where: the namespaces that a trace looks into. Every pod of the node, as where a packet is sent
 * is what is to be found out; where there are more than the collector takes, the trace's own ends come
 * first, and how many were left out is counted. */
#include "core/ipam/ipam.h"
#include "daemon/agent_ipam.h"
#include "daemon/agent_store.h"
#include "daemon/agent_trace_look.h"
#include "sys/netns.h"
#include "sys/tracer.h"

#include <errno.h>
#include <string.h>

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

static int add_pod(struct trace_facts *f, struct tracer_space *out,
		   const struct ipam_attachment *at)
{
	struct trace_space *s = &f->spaces[f->n_spaces];
	struct err e;
	int netns;

	if (f->n_spaces == TRACER_SPACES_MAX) {
		f->left_out++;
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

int trace_look_where(struct agent *a, const struct packet_trace *t, struct trace_facts *f,
		     struct tracer_space *out, struct err *e)
{
	const struct ipam_attachment *const *v;
	size_t n;
	int rc = 0;

	f->spaces = arena_array(f->arena, TRACER_SPACES_MAX, sizeof(*f->spaces));
	out[0] = (struct tracer_space){ .netns = netns_self(e), .rules = true };
	if (!f->spaces || out[0].netns < 0)
		return f->spaces ? out[0].netns : err_set(e, -ENOMEM, "trace: no memory");
	f->n_spaces = 1;
	v = ipam_all(agent_ipam_book(a), &n);
	for (int ends = 1; ends >= 0; ends--)
		for (size_t i = 0; i < n && !rc; i++)
			if (is_pod(v, i) && is_end(v[i], t) == (ends == 1))
				rc = add_pod(f, out, v[i]);
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
