// SPDX-License-Identifier: Apache-2.0
/* agent_ctl_ipam: ipam-show, ipam-check and ipam-release. */
#include "core/ipam/pool.h"
#include "daemon/agent_ctl.h"
#include "daemon/agent_ipam.h"
#include "daemon/agent_kernel.h"
#include "daemon/agent_link.h"
#include "daemon/agent_pod.h"
#include "daemon/agent_reap.h"
#include "daemon/agent_report.h"
#include "daemon/agent_store.h"
#include "sys/pod.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- ipam-show: tables pool, block, address */

static void show_pool(struct ctl_call *c, const struct ippool *p, const struct ipam_block_use *v,
		      size_t n)
{
	static const char *const modes[] = { [POOL_MODE_NONE] = "VXLAN",
					     [POOL_DIRECT] = "Direct",
					     [POOL_VXLAN] = "VXLAN",
					     [POOL_IPIP] = "IPIP" };
	uint64_t blocks = 0, own = 0, used = 0;

	for (size_t i = 0; i < n; i++)
		if (v[i].pool && !strcmp(v[i].pool, p->meta.name)) {
			blocks++;
			own += v[i].own;
			used += v[i].used;
		}
	ctl_row(c, "pool");
	ctl_col(c, "name", p->meta.name);
	ctl_prefix(c, "cidr", &p->spec.cidr);
	ctl_num(c, "blockSize", ipam_pool_block_len(p));
	ctl_col(c, "mode", modes[p->spec.mode]);
	ctl_flag(c, "natOutgoing", p->spec.natOutgoing);
	ctl_flag(c, "disabled", p->spec.disabled);
	ctl_num(c, "blocks", blocks);
	ctl_num(c, "ownBlocks", own);
	ctl_num(c, "usedHere", used);
	ctl_send(c);
}

static void show_block(struct ctl_call *c, const struct ipam_block_use *b)
{
	ctl_row(c, "block");
	ctl_col(c, "name", b->name);
	ctl_prefix(c, "cidr", &b->cidr);
	ctl_col(c, "pool", b->pool);
	ctl_col(c, "node", b->node);
	ctl_addr(c, "tunnelAddress", &b->tunnel);
	ctl_num(c, "size", b->size);
	ctl_num(c, "lent", b->lent);
	ctl_flag(c, "own", b->own);
	if (b->own) {
		ctl_num(c, "used", b->used);
		ctl_num(c, "cooling", b->cooling);
		ctl_num(c, "reserved", b->reserved);
	}
	ctl_send(c);
}

static void show_address(struct ctl_call *c, const struct ipam_attachment *at,
			 const struct ipaddr *ip)
{
	ctl_row(c, "address");
	ctl_addr(c, "address", ip);
	ctl_col(c, "network", at->network);
	ctl_col(c, "container", at->container);
	ctl_col(c, "interface", at->ifname);
	ctl_col(c, "hostInterface", at->hostif);
	ctl_col(c, "namespace", at->pod_namespace);
	ctl_col(c, "pod", at->pod_name);
	ctl_send(c);
}

int ctl_ipam_show(struct ctl_call *c, struct err *e)
{
	const struct ipam *book = agent_ipam_book(c->owner);
	const struct ipam_attachment *const *atts;
	const struct object *const *pools;
	struct ipam_block_use *v;
	size_t n, n_pools, n_atts;
	int rc = ipam_usage(book, agent_now_ms(c->owner), &c->arena, &v, &n, e);

	if (rc)
		return rc;
	pools = cluster_all(agent_store_cluster(c->owner), KIND_IPPOOL, &n_pools);
	for (size_t i = 0; i < n_pools; i++)
		show_pool(c, pools[i]->body, v, n);
	for (size_t i = 0; i < n; i++)
		show_block(c, &v[i]);
	atts = ipam_all(book, &n_atts);
	for (size_t i = 0; i < n_atts; i++)
		/* What is dying has given its addresses back already. */
		for (uint32_t k = 0; atts[i]->state == IPAM_LIVE && k < atts[i]->addrs.n; k++)
			show_address(c, atts[i], &atts[i]->addrs.v[k]);
	return 0;
}

/* ---- ipam-check: book against store and kernel. args: fix=true */

struct checking {
	struct ctl_call *c;
	bool fix;
	uint64_t problems, left;
};

static void say(struct checking *k, const char *what, const struct ipaddr *ip, const char *text,
		bool fixed)
{
	struct ctl_call *c = k->c;

	k->problems++;
	k->left += !fixed;
	ctl_row(c, "problem");
	ctl_col(c, "what", what);
	if (ip)
		ctl_addr(c, "address", ip);
	ctl_col(c, "text", text);
	ctl_flag(c, "fixed", fixed);
	ctl_send(c);
}

/* Addresses held for a pod whose link is gone. */
static int check_leaks(struct checking *k, struct err *e)
{
	struct agent *a = k->c->owner;
	const struct ipam_attachment *const *v;
	uint64_t *ids;
	size_t n;
	int rc = 0;

	v = ipam_all(agent_ipam_book(a), &n);
	ids = arena_array(&k->c->arena, n, sizeof(*ids));
	if (!ids)
		return err_set(e, -ENOMEM, "no memory");
	for (size_t i = 0; i < n; i++)
		ids[i] = v[i]->id;
	for (size_t i = 0; i < n && !rc; i++) {
		const struct ipam_attachment *at = ipam_by_id(agent_ipam_book(a), ids[i]);
		char text[300];
		int index;

		if (!at || at->state != IPAM_LIVE || at->ipam_only || agent_ipam_is_gateway(at))
			continue;
		index = link_of(agent_kernel_nl(a), at, e);
		if (index) {
			rc = index < 0 ? index : 0;
			continue;
		}
		snprintf(text, sizeof(text), "link %s of container %.100s (%s) is gone", at->hostif,
			 at->container, at->ifname);
		say(k, "no-link", at->addrs.n ? &at->addrs.v[0] : NULL, text, k->fix);
		if (k->fix)
			rc = agent_pod_del(a, at, -1, e);
	}
	return rc;
}

/* Links with our name that nobody in the book has. */
static int check_links(struct checking *k, const struct klist *links, struct err *e)
{
	struct agent *a = k->c->owner;
	int rc = 0;

	for (size_t i = 0; i < links->n && !rc; i++) {
		const struct klink *l = &links->v[i].link;
		char text[100];
		int index;

		if (l->kind != KLINK_VETH || !agent_is_host_link(l->name) ||
		    agent_ipam_has_link(a, l->name))
			continue;
		snprintf(text, sizeof(text), "link %s belongs to no attachment", l->name);
		say(k, "unknown-link", NULL, text, k->fix);
		if (!k->fix)
			continue;
		index = rtnl_ifindex(agent_kernel_nl(a), l->name, e);
		rc = index < 0 ? index : pod_reap(agent_kernel_nl(a), &index, 1, e);
		if (rc == -ENODEV)
			rc = 0;
	}
	return rc;
}

int ctl_ipam_check(struct ctl_call *c, struct err *e)
{
	const char *fix = strmap_get(&c->req.args, "fix");
	struct checking k = { .c = c, .fix = fix && !strcmp(fix, "true") };
	struct ipam_problem *v;
	struct klist links = { 0 };
	size_t n;
	int rc = ipam_check(agent_ipam_book(c->owner), &c->arena, &v, &n, e);

	for (size_t i = 0; !rc && i < n; i++)
		say(&k, v[i].what, &v[i].address, v[i].text, false);
	if (!rc)
		rc = rtnl_dump(agent_kernel_nl(c->owner), RTNL(KOBJ_LINK), &links, e);
	if (!rc)
		rc = check_leaks(&k, e);
	if (!rc)
		rc = check_links(&k, &links, e);
	klist_fini(&links);
	ctl_row(c, "summary");
	ctl_num(c, "problems", k.problems);
	ctl_num(c, "left", k.left);
	ctl_send(c);
	return rc;
}

/* ---- ipam-release. args: address=ADDR [force=true] */

int ctl_ipam_release(struct ctl_call *c, struct err *e)
{
	const char *text = strmap_get(&c->req.args, "address");
	const char *force = strmap_get(&c->req.args, "force");
	const struct ipam_attachment *at;
	struct ipaddr ip;
	int rc = 0;

	if (!text || addr_parse(text, &ip))
		return err_set(e, -EINVAL, "\"%s\" is no address", text ? text : "");
	at = ipam_find_addr(agent_ipam_book(c->owner), &ip);
	if (!at)
		return err_set(e, -ENOENT, "%s is not allocated on this node", text);
	if (agent_ipam_is_gateway(at))
		return err_set(e, -EBUSY, "%s is the gateway of network %s", text, at->network);
	if (!(force && !strcmp(force, "true")) && !at->ipam_only)
		rc = link_of(agent_kernel_nl(c->owner), at, e);
	if (rc < 0)
		return rc;
	if (rc)
		return err_set(e, -EBUSY, "%s is in use by %s%s%s, link %s", text,
			       at->pod_name ? at->pod_namespace : "container ",
			       at->pod_name ? "/" : "", at->pod_name ? at->pod_name : at->container,
			       at->hostif);
	show_address(c, at, &ip);
	rc = agent_pod_del(c->owner, at, -1, e);
	agent_report_state(c->owner);
	return rc;
}
