// SPDX-License-Identifier: Apache-2.0
/* Objects for verbs that judge without a node: see objects.h. Manifests that hold workloads get the
 * pods that a controller would make of them, unless they hold pods of workloads already: then they
 * are a cluster's dump, in which nothing is missing. */
#include "cmd/objects.h"

#include "core/policy/match.h"
#include "core/workload/workload.h"
#include "model/validate.h"
#include "store/manifest.h"

#include <string.h>

static void on_put(void *arg, struct object *o, const json_t *json)
{
	object_free(cluster_put(((struct objects *)arg)->cluster, o));
}

static void on_bad(void *arg, const struct err *e)
{
	((struct objects *)arg)->left_out = true;
	cmd_error(CMD_PARTLY, "%s", e->text);
}

static const uint8_t workload_kinds[] = { KIND_DEPLOYMENT, KIND_STATEFULSET, KIND_DAEMONSET,
					  KIND_REPLICASET, KIND_JOB };

static int list_kinds(struct store *s, const uint8_t *kinds, size_t n, struct objects *out)
{
	static const struct store_events events = { .put = on_put, .bad = on_bad };
	struct err e = { .code = 0 };

	for (size_t i = 0; i < n; i++)
		if (store_list(s, kinds[i], NULL, &events, out, &e))
			return cmd_error(CMD_PARTLY, "%s", e.text);
	return CMD_OK;
}

static int load_store(struct cmd_ctx *ctx, const struct objects_from *from, struct objects *out)
{
	struct store *s;
	int rc = cmd_store_open(ctx, 0, &s);

	if (rc)
		return rc;
	rc = list_kinds(s, from->kinds, from->n_kinds, out);
	if (!rc && from->workloads)
		rc = list_kinds(s, workload_kinds, sizeof(workload_kinds), out);
	store_close(s);
	return rc;
}

static bool has_owned_pods(const struct cluster *c)
{
	size_t n;
	const struct object *const *pods = cluster_all(c, KIND_POD, &n);

	for (size_t i = 0; i < n; i++)
		if (pods[i]->meta->ownerReferences.n)
			return true;
	return false;
}

static int load_files(const struct objects_from *from, struct objects *out)
{
	struct manifest m = { .n_items = 0 };
	struct err e = { .code = 0 };
	int rc = CMD_OK;

	for (uint32_t i = 0; !rc && i < from->n_files; i++)
		if (manifest_load(&m, from->files[i], &e))
			rc = cmd_fail(&e);
	for (size_t i = 0; i < m.n_errors; i++)
		cmd_error(CMD_PARTLY, "%s", m.errors[i]);
	out->left_out = m.n_errors;
	manifest_into_cluster(&m, out->cluster);
	manifest_fini(&m);
	if (!rc && from->workloads && !has_owned_pods(out->cluster) &&
	    workload_settle(out->cluster, &e))
		rc = cmd_fail(&e);
	return rc;
}

int objects_load(struct cmd_ctx *ctx, const struct objects_from *from, struct objects *out)
{
	*out = (struct objects){ .cluster = cluster_new() };
	return from->n_files ? load_files(from, out) : load_store(ctx, from, out);
}

void objects_fini(struct objects *o)
{
	cluster_free(o->cluster);
}

/* ---- workloads */

const struct object *objects_workload(const struct cluster *c, const char *ns, const char *name)
{
	const struct object *o = NULL;

	for (size_t i = 0; !o && i < sizeof(workload_kinds); i++)
		o = cluster_get(c, workload_kinds[i], ns, name);
	return o;
}

bool objects_is_of(const struct pod *p, const struct object *workload)
{
	const struct workload *w = workload->body;

	if (strcmp(p->meta.namespace, workload->meta->namespace) != 0)
		return false;
	for (uint32_t i = 0; i < p->meta.ownerReferences.n; i++) {
		const struct owner_ref *o = &p->meta.ownerReferences.v[i];

		if (o->kind && o->name && !strcmp(o->kind, workload->kind->name) &&
		    !strcmp(o->name, workload->meta->name))
			return true;
	}
	/* A Deployment's pods belong to its ReplicaSets. */
	return selector_match(w->spec.selector, &p->meta.labels);
}

/* ---- addresses */

uint32_t objects_pod_ips(const struct pod *p, struct ipaddr v[OBJECT_IPS])
{
	uint32_t n = 0;
	int asked;

	for (; n < p->status.podIPs.n && n < OBJECT_IPS; n++)
		v[n] = p->status.podIPs.v[n].ip;
	if (!n && p->status.podIP.family)
		v[n++] = p->status.podIP;
	if (n)
		return n;
	asked = annotation_ips(&p->meta, v, 2, NULL);
	return asked > 0 ? (uint32_t)asked : 0;
}

uint32_t objects_node_ips(const struct node *node, struct ipaddr v[OBJECT_IPS])
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < node->status.addresses.n && n < OBJECT_IPS; i++) {
		const struct node_address *a = &node->status.addresses.v[i];

		if ((a->type == NODE_INTERNAL_IP || a->type == NODE_EXTERNAL_IP) &&
		    !addr_parse(a->address, &v[n]))
			n++;
	}
	return n;
}

uint32_t objects_end_ips(const struct cluster *c, const struct pod *p, struct ipaddr v[OBJECT_IPS])
{
	uint32_t n = objects_pod_ips(p, v);
	const struct object *node;

	if (n || !p->spec.hostNetwork || !p->spec.nodeName)
		return n;
	node = cluster_get(c, KIND_NODE, NULL, p->spec.nodeName);
	return node ? objects_node_ips(node->body, v) : 0;
}

static bool is_among(const struct ipaddr *v, uint32_t n, const struct ipaddr *ip)
{
	while (n && !addr_eq(&v[n - 1], ip))
		n--;
	return n;
}

const struct pod *objects_pod_at(const struct cluster *c, const struct ipaddr *ip)
{
	size_t n;
	const struct object *const *pods = cluster_all(c, KIND_POD, &n);
	struct ipaddr its[OBJECT_IPS];

	for (size_t i = 0; i < n; i++)
		if (policy_knows_pod(pods[i]->body) &&
		    is_among(its, objects_pod_ips(pods[i]->body, its), ip))
			return pods[i]->body;
	return NULL;
}

const struct node *objects_node_at(const struct cluster *c, const struct ipaddr *ip)
{
	size_t n;
	const struct object *const *nodes = cluster_all(c, KIND_NODE, &n);
	struct ipaddr its[OBJECT_IPS];

	for (size_t i = 0; i < n; i++)
		if (is_among(its, objects_node_ips(nodes[i]->body, its), ip))
			return nodes[i]->body;
	return NULL;
}
