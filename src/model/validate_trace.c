// SPDX-License-Identifier: Apache-2.0
/* Rules of a PacketTrace: above all that one probe can be sent as it says, and that the agents
 * concerned can know from it alone what is theirs to do. */
#include "model/validate.h"

#include <errno.h>
#include <string.h>

static int check_source(const struct packet_trace *t, struct err *e)
{
	if (!t->spec.source.pod != !t->spec.source.namespace)
		return err_set(e, -EINVAL, "spec.source: pod and namespace must be there together");
	if (t->spec.source.pod && !is_dns_subdomain(t->spec.source.pod))
		return err_set(e, -EINVAL, "spec.source.pod: must be the name of a pod");
	if (t->spec.source.namespace && !is_dns_label(t->spec.source.namespace))
		return err_set(e, -EINVAL,
			       "spec.source.namespace: must be the name of a namespace");
	if (t->spec.source.pod && !t->spec.source.node)
		return err_set(e, -EINVAL, "spec.source.node: is required, as a pod is on a node");
	if (t->spec.source.address.family != t->spec.destination.address.family)
		return err_set(e, -EINVAL,
			       "spec.destination.address: must be of spec.source.address' family");
	return 0;
}

static int check_size(const struct packet_trace *t, struct err *e)
{
	int64_t min = trace_size_min(t->spec.source.address.family);

	if (!t->spec.size)
		return 0;
	if (t->spec.protocol != TRACE_UDP && t->spec.protocol != TRACE_ICMP)
		return err_set(e, -EINVAL, "spec.size: only UDP and ICMP have one to choose");
	if (t->spec.size < min || t->spec.size > TRACE_SIZE_MAX)
		return err_set(e, -EINVAL, "spec.size: must be %d to %d", (int)min, TRACE_SIZE_MAX);
	return 0;
}

static int check_query(const struct packet_trace *t, struct err *e)
{
	if (!t->spec.query.name)
		return 0;
	if (t->spec.protocol != TRACE_UDP && t->spec.protocol != TRACE_TCP)
		return err_set(e, -EINVAL, "spec.query: DNS is asked by UDP and TCP");
	if (t->spec.size)
		return err_set(e, -EINVAL, "spec.size: a query is as long as its name");
	return 0;
}

static int check_nodes(const struct packet_trace *t, struct err *e)
{
	const char *sender = t->spec.sender;
	bool looks = false;

	if (t->spec.nodes.n > TRACE_NODES_MAX)
		return err_set(e, -EINVAL, "spec.nodes: at most %d", TRACE_NODES_MAX);
	for (uint32_t i = 0; i < t->spec.nodes.n; i++) {
		const char *name = t->spec.nodes.v[i];

		if (!is_dns_subdomain(name))
			return err_set(e, -EINVAL, "spec.nodes[%u]: must be the name of a node", i);
		for (uint32_t k = 0; k < i; k++)
			if (!strcmp(name, t->spec.nodes.v[k]))
				return err_set(e, -EINVAL, "spec.nodes[%u]: \"%s\" is there twice",
					       i, name);
		looks = looks || (sender && !strcmp(sender, name));
	}
	if (sender && (!looks || !t->spec.source.node || strcmp(sender, t->spec.source.node) != 0))
		return err_set(e, -EINVAL,
			       "spec.sender: must be spec.source.node and one of spec.nodes");
	return 0;
}

int validate_packet_trace(const struct packet_trace *t, struct err *e)
{
	bool icmp = t->spec.protocol == TRACE_ICMP;
	int rc = check_source(t, e);

	if (rc)
		return rc;
	if (icmp != !t->spec.destination.port)
		return err_set(e, -EINVAL,
			       icmp ? "spec.destination.port: ICMP has none"
				    : "spec.destination.port: must be 1 to 65535");
	if (!(uint32_t)t->spec.signature)
		return err_set(e, -EINVAL, "spec.signature: its low 32 bits must not be zero");
	rc = check_size(t, e);
	if (!rc)
		rc = check_query(t, e);
	return rc ? rc : check_nodes(t, e);
}
