// SPDX-License-Identifier: Apache-2.0
/* agent_cni_verbs: DEL, CHECK, GC and STATUS. */
#include "daemon/agent_cni_verbs.h"
#include "core/cni/ports.h"
#include "core/ipam/pool.h"
#include "daemon/agent_ipam.h"
#include "daemon/agent_pod.h"
#include "daemon/agent_reap.h"
#include "daemon/agent_report.h"
#include "daemon/agent_store.h"

#include <errno.h>
#include <string.h>

const char *cni_verb_name(unsigned verb)
{
	static const char *const v[] = {
		[CNI_NONE] = "?",         [CNI_ADD] = "ADD", [CNI_DEL] = "DEL",
		[CNI_CHECK] = "CHECK",    [CNI_GC] = "GC",   [CNI_STATUS] = "STATUS",
		[CNI_VERSION] = "VERSION"
	};

	return name_of(&NAMES(v), verb);
}

static const struct ipam_attachment *attachment_of(const struct cni_call *c)
{
	return ipam_find(agent_ipam_book(c->agent), c->req.network, c->req.containerID,
			 c->req.ifname);
}

static void done(struct cni_call *c)
{
	cni_answer(c, &(struct cni_reply){ .code = CNI_OK });
}

/* ---- DEL: always succeeds, as far as we can say */

void cni_del(struct cni_call *c)
{
	struct cni_call *add = cni_waiting(c->agent, &c->req);
	const struct ipam_attachment *at;
	struct err e;

	if (add)
		cni_add_expired(add);
	at = attachment_of(c);
	if (at && agent_pod_del(c->agent, at, c->netns, &e)) {
		cni_fail(c, CNI_ERR_IO, arena_strdup(&c->arena, e.text));
		return;
	}
	done(c);
	if (at)
		agent_report_state(c->agent);
}

/* ---- CHECK */

static bool has_address(const struct cni_result *prev, const struct ipaddr *ip)
{
	for (uint32_t i = 0; i < prev->ips.n; i++)
		if (addr_eq(&prev->ips.v[i].address.addr, ip))
			return true;
	return false;
}

/* Called as fairlead-ipam: the book against the result; the interface is another plugin's. */
static int check_addresses(const struct ipam_attachment *at, const struct cni_result *prev,
			   struct err *e)
{
	char text[ADDR_TEXT];

	for (uint32_t i = 0; prev && i < at->addrs.n; i++)
		if (!has_address(prev, &at->addrs.v[i]))
			return err_set(e, -EBADE, "prevResult does not have address %s",
				       addr_str(&at->addrs.v[i], text));
	return 0;
}

/* What the runtime asks for against what it got; a runtime that says nothing does not ask. */
static int check_ports(const struct ipam_attachment *at, const struct cni_request *r, struct err *e)
{
	char text[PORT_MAPPING_TEXT];

	for (uint32_t i = 0; i < r->ports.n; i++) {
		uint32_t k = 0;

		while (k < at->ports.n && !port_mapping_eq(&at->ports.v[k], &r->ports.v[i]))
			k++;
		if (k == at->ports.n)
			return err_set(e, -EBADE, "%s does not lead to it",
				       port_mapping_str(&r->ports.v[i], text));
	}
	return 0;
}

void cni_check(struct cni_call *c)
{
	const struct ipam_attachment *at = attachment_of(c);
	struct err e;
	int rc;

	if (!at) {
		cni_fail(c, CNI_ERR_UNKNOWN_CONTAINER,
			 arena_printf(&c->arena, "container %s has no %s in network %s",
				      c->req.containerID, c->req.ifname, c->req.network));
		return;
	}
	if (at->ipam_only)
		rc = check_addresses(at, c->req.prev, &e);
	else if (c->netns < 0)
		rc = err_set(&e, -EBADE, "the network namespace is gone");
	else
		rc = agent_pod_check(c->agent, at, c->netns, c->req.prev, &e);
	if (!rc)
		rc = check_ports(at, &c->req, &e);
	if (rc)
		cni_fail(c, CNI_ERR_CHECK, arena_strdup(&c->arena, e.text));
	else
		done(c);
}

/* ---- GC */

static bool next_garbage(struct cni_call *c, const struct ipam_key *valid, uint64_t after,
			 uint64_t *id)
{
	const struct ipam_attachment *const *v;
	size_t n;

	v = ipam_all(agent_ipam_book(c->agent), &n);
	for (size_t i = 0; i < n; i++)
		if (v[i]->id > after && !agent_ipam_is_gateway(v[i]) &&
		    ipam_gc(v[i], c->req.network, valid, c->req.valid.n)) {
			*id = v[i]->id;
			return true;
		}
	return false;
}

void cni_gc(struct cni_call *c)
{
	struct ipam_key *valid = arena_array(&c->arena, c->req.valid.n, sizeof(*valid));
	uint64_t id = 0;
	struct err e;
	int rc = valid ? 0 : err_set(&e, -ENOMEM, "no memory");

	for (uint32_t i = 0; valid && i < c->req.valid.n; i++) {
		const struct cni_attachment *x = &c->req.valid.v[i];

		valid[i] = (struct ipam_key){ x->containerID ? x->containerID : "",
					      x->ifname ? x->ifname : "" };
	}
	while (!rc && next_garbage(c, valid, id, &id))
		rc = agent_pod_del(c->agent, ipam_by_id(agent_ipam_book(c->agent), id), -1, &e);
	if (!rc)
		rc = agent_reap_now(c->agent, &e);
	if (rc)
		cni_fail(c, CNI_ERR_IO, arena_strdup(&c->arena, e.text));
	else
		done(c);
	agent_report_state(c->agent);
}

/* ---- STATUS */

static uint64_t blocks_in(const struct ippool *p)
{
	unsigned bits = ipam_pool_block_len(p) - p->spec.cidr.len;

	return bits > 62 ? UINT64_MAX : 1ULL << bits;
}

/* Could this pool give an address to this node: in a block of ours, in one that is still to be
 * claimed, or out of another node's (whose free addresses only that node knows)? */
static bool pool_has_room(const struct ippool *p, const struct ipam_block_use *v, size_t n)
{
	uint64_t all = 0, own = 0;
	bool others = false;

	for (size_t i = 0; i < n; i++) {
		if (!v[i].pool || strcmp(v[i].pool, p->meta.name) != 0)
			continue;
		all++;
		own += v[i].own;
		others |= !v[i].own;
		if (v[i].own && v[i].used + v[i].lent + v[i].reserved < v[i].size)
			return true;
	}
	if (all < blocks_in(p) &&
	    (!p->spec.maxBlocksPerNode || own < (uint64_t)p->spec.maxBlocksPerNode))
		return true;
	return others && !p->spec.strictAffinity;
}

static enum cni_code judge(struct cni_call *c, const char **msg, struct err *e)
{
	const struct agent *a = c->agent;
	const struct cluster *cl = agent_store_cluster(a);
	const struct object *node = cluster_get(cl, KIND_NODE, NULL, a->role->cfg.node);
	const struct object *const *pools;
	const struct strmap none = { 0 };
	struct ipam_block_use *blocks;
	size_t n, n_blocks, serving = 0;

	*msg = "the store was not in sync yet";
	if (!agent_store_known(a))
		return CNI_ERR_UNAVAILABLE;
	*msg = agent_ipam_trouble(a);
	if (*msg)
		return CNI_ERR_UNAVAILABLE;
	*msg = e->text;
	if (ipam_usage(agent_ipam_book(a), agent_now_ms(a), &c->arena, &blocks, &n_blocks, e))
		return CNI_ERR_INTERNAL;
	pools = cluster_all(cl, KIND_IPPOOL, &n);
	for (size_t i = 0; i < n; i++) {
		if (!ipam_pool_serves(pools[i]->body, node ? &node->meta->labels : &none))
			continue;
		serving++;
		if (pool_has_room(pools[i]->body, blocks, n_blocks))
			return CNI_OK;
	}
	*msg = serving ? "every IPPool of this node is exhausted" : "no IPPool serves this node";
	return serving ? CNI_ERR_LIMITED : CNI_ERR_UNAVAILABLE;
}

void cni_status(struct cni_call *c)
{
	const char *msg;
	struct err e = { 0 };
	enum cni_code code = judge(c, &msg, &e);

	if (code)
		cni_fail(c, code, arena_strdup(&c->arena, msg));
	else
		done(c);
}
