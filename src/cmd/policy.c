// SPDX-License-Identifier: Apache-2.0
/* fairlead policy: network policies; all but `show` without a node and without packets. */
#include "cmd/policy.h"
#include "cmd/verbs.h"

#include <sys/socket.h>

int policy_objects(struct cmd_ctx *ctx, const struct policy_opts *o, struct objects *out)
{
	static const uint8_t kinds[] = { KIND_NODE, KIND_NAMESPACE, KIND_POD, KIND_NETWORKPOLICY };
	const struct objects_from from = { .files = o->files.v,
					   .n_files = o->files.n,
					   .kinds = kinds,
					   .n_kinds = sizeof(kinds),
					   .workloads = true };

	return objects_load(ctx, &from, out);
}

/* ---- who takes part */

static struct policy_end end_of_pod(const struct cluster *c, const struct pod *p, const char *name)
{
	struct policy_end end = { .name = name, .pod = p };

	end.n = objects_end_ips(c, p, end.ips);
	return end;
}

bool policy_pods(const struct cluster *c, uint32_t room, struct arena *a, struct policy_ends *out)
{
	size_t n;
	const struct object *const *pods = cluster_all(c, KIND_POD, &n);

	out->list.n = 0;
	out->list.v = arena_array(a, n + room, sizeof(*out->list.v));
	for (size_t i = 0; out->list.v && i < n; i++) {
		const struct pod *p = pods[i]->body;
		const char *name;

		if (p->status.phase == POD_SUCCEEDED || p->status.phase == POD_FAILED)
			continue;
		name = arena_printf(a, "%s/%s", p->meta.namespace, p->meta.name);
		out->list.v[out->list.n++] = end_of_pod(c, p, name);
	}
	return !a->failed;
}

struct policy_end policy_end_at(const struct cluster *c, const char *name, const struct ipaddr *ip)
{
	return (struct policy_end){
		.name = name, .pod = objects_pod_at(c, ip), .ips = { *ip }, .n = 1
	};
}

static const struct ipaddr *of_family(const struct policy_end *end, uint8_t family)
{
	for (uint32_t i = 0; i < end->n; i++)
		if (end->ips[i].family == family)
			return &end->ips[i];
	return NULL;
}

bool policy_flows(const struct policy_end *from, const struct policy_end *to, uint8_t proto,
		  uint16_t port, policy_flow_fn *fn, void *arg)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	struct policy_flow f = { .proto = proto, .dport = port, .from = from->pod, .to = to->pod };
	bool any = false;

	for (size_t i = 0; i < sizeof(families); i++) {
		const struct ipaddr *src = of_family(from, families[i]);
		const struct ipaddr *dst = of_family(to, families[i]);

		if ((!src && from->n) || (!dst && to->n) || (!src && !dst))
			continue;
		f.src = src ? *src : (struct ipaddr){ .family = 0 };
		f.dst = dst ? *dst : (struct ipaddr){ .family = 0 };
		any = true;
		if (!fn(arg, &f))
			return false;
	}
	return from->n || to->n ? any : fn(arg, &f);
}

int policy_family(const struct policy_flow *f)
{
	uint8_t family = f->src.family ? f->src.family : f->dst.family;

	return family == AF_INET6 ? 6 : family ? 4 : 0;
}

static const struct cmd *const subs[] = { &cmd_policy_matrix, &cmd_policy_show, &cmd_policy_test,
					  NULL };

const struct cmd cmd_policy = {
	.name = "policy",
	.summary = "Network policies: who may talk to whom, tests of that, and what they did",
	.help = "For one connection and the reasons: fairlead why.\n\n"
		"Try:\n"
		"  fairlead policy matrix\n"
		"  fairlead policy matrix -f manifests/ --ports 5432/tcp\n"
		"  fairlead policy show -A\n"
		"  fairlead policy test policies.test.yaml -f manifests/",
	.subs = subs,
};
