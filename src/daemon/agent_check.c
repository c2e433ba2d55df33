// SPDX-License-Identifier: Apache-2.0
/* agent_check: CNI CHECK of one attachment. Three comparisons, the first difference is told: the
 * book with prevResult, the pod's namespace with both, the node's kernel with the plan. What
 * another plugin of the chain added (ips and routes of other interfaces) is not ours to judge,
 * but a route of the result must be there. */
#include "daemon/agent_kernel.h"
#include "daemon/agent_nft.h"
#include "daemon/agent_plan_pod.h"
#include "daemon/agent_pod.h"
#include "sys/pod.h"

#include <errno.h>
#include <string.h>

static const struct cni_interface *interface_of(const struct cni_result *prev,
						const struct opt_i64 *index)
{
	if (!index->set || index->v < 0 || index->v >= prev->interfaces.n)
		return NULL;
	return &prev->interfaces.v[index->v];
}

/* Is this ip of the result on the pod's interface `at`? */
static bool is_its(const struct cni_result *prev, const struct cni_ip *ip,
		   const struct ipam_attachment *at)
{
	const struct cni_interface *i = interface_of(prev, &ip->interface);

	return !i || (i->sandbox && i->name && !strcmp(i->name, at->ifname));
}

/* ---- the book */

static int check_book(const struct ipam_attachment *at, const struct cni_result *prev,
		      struct err *e)
{
	char text[ADDR_TEXT];

	for (uint32_t k = 0; k < at->addrs.n; k++) {
		bool found = false;

		for (uint32_t i = 0; i < prev->ips.n && !found; i++)
			found = is_its(prev, &prev->ips.v[i], at) &&
				addr_eq(&prev->ips.v[i].address.addr, &at->addrs.v[k]);
		if (!found)
			return err_set(e, -EBADE, "prevResult does not have address %s of %s",
				       addr_str(&at->addrs.v[k], text), at->ifname);
	}
	return 0;
}

/* ---- inside */

static const struct klink *link_in(const struct klist *have, const char *name)
{
	for (size_t i = 0; i < have->n; i++)
		if (have->v[i].type == KOBJ_LINK && !strcmp(have->v[i].link.name, name))
			return &have->v[i].link;
	return NULL;
}

static int check_link(const struct klist *have, const struct ipam_attachment *at,
		      const struct cni_result *prev, struct err *e)
{
	const struct klink *l = link_in(have, at->ifname);
	char is[MAC_TEXT], said[MAC_TEXT];

	if (!l)
		return err_set(e, -EBADE, "in the pod: no link %s", at->ifname);
	if (!l->up)
		return err_set(e, -EBADE, "in the pod: link %s is down", at->ifname);
	for (uint32_t i = 0; i < prev->interfaces.n; i++) {
		const struct cni_interface *x = &prev->interfaces.v[i];
		const struct macaddr none = { 0 };

		if (!x->sandbox || !x->name || strcmp(x->name, at->ifname) != 0 ||
		    !memcmp(&x->mac, &none, sizeof(none)))
			continue;
		if (memcmp(&x->mac, &l->mac, sizeof(l->mac)) != 0)
			return err_set(e, -EBADE, "in the pod: %s has MAC %s, the result says %s",
				       at->ifname, mac_str(&l->mac, is), mac_str(&x->mac, said));
	}
	return 0;
}

static bool has_addr(const struct klist *have, const char *ifname, const struct prefix *p)
{
	for (size_t i = 0; i < have->n; i++)
		if (have->v[i].type == KOBJ_ADDR && !strcmp(have->v[i].addr.ifname, ifname) &&
		    prefix_eq(&have->v[i].addr.addr, p))
			return true;
	return false;
}

static bool has_route(const struct klist *have, const struct cni_route *r)
{
	struct prefix dst = prefix_mask(&r->dst);

	for (size_t i = 0; i < have->n; i++) {
		const struct kroute *k = &have->v[i].route;

		if (have->v[i].type == KOBJ_ROUTE && prefix_eq(&k->dst, &dst) &&
		    (!r->gw.family || addr_eq(&k->via, &r->gw)))
			return true;
	}
	return false;
}

static int check_inside(const struct klist *have, const struct ipam_attachment *at,
			const struct cni_result *prev, struct err *e)
{
	char text[PREFIX_TEXT];
	int rc = check_link(have, at, prev, e);

	if (rc)
		return rc;
	for (uint32_t i = 0; i < prev->ips.n; i++)
		if (is_its(prev, &prev->ips.v[i], at) &&
		    !has_addr(have, at->ifname, &prev->ips.v[i].address))
			return err_set(e, -EBADE, "in the pod: %s has no address %s", at->ifname,
				       prefix_str(&prev->ips.v[i].address, text));
	for (uint32_t i = 0; i < prev->routes.n; i++)
		/* A route of another table is not read here. */
		if (!prev->routes.v[i].table.set && !has_route(have, &prev->routes.v[i]))
			return err_set(e, -EBADE, "in the pod: no route to %s",
				       prefix_str(&prev->routes.v[i].dst, text));
	return 0;
}

/* ---- the node */

static const struct kobj *find(const struct klist *have, const struct kobj *key)
{
	for (size_t i = 0; i < have->n; i++)
		if (!kobj_cmp(&have->v[i], key))
			return &have->v[i];
	return NULL;
}

static int check_node(struct agent *a, const struct ipam_attachment *at, struct err *e)
{
	struct route_out want = { 0 };
	struct klist have = { 0 };
	char text[200];
	int rc;

	agent_plan_pod_objs(a, at, &want);
	rc = want.failed ? err_set(e, -ENOMEM, "no memory")
			 : rtnl_dump(agent_kernel_nl(a),
				     RTNL(KOBJ_LINK) | RTNL(KOBJ_ADDR) | RTNL(KOBJ_ROUTE) |
					     RTNL(KOBJ_NEIGH),
				     &have, e);
	if (!rc)
		rc = rtnl_sysctls(want.v, want.n, &have, e);
	for (size_t i = 0; !rc && i < want.n; i++) {
		const struct kobj *is = find(&have, &want.v[i]);

		if (!is)
			rc = err_set(e, -EBADE, "on the node: missing: %s",
				     kobj_str(&want.v[i], text, sizeof(text)));
		else if (!kobj_same(&want.v[i], is))
			rc = err_set(e, -EBADE, "on the node: should be: %s",
				     kobj_str(&want.v[i], text, sizeof(text)));
	}
	klist_fini(&have);
	route_out_fini(&want);
	return rc;
}

int agent_pod_check(struct agent *a, const struct ipam_attachment *at, int netns,
		    const struct cni_result *prev, struct err *e)
{
	struct klist have = { 0 };
	int rc;

	if (!prev)
		return err_set(e, -EBADE, "no prevResult");
	rc = check_book(at, prev, e);
	if (!rc)
		rc = pod_read(netns, NULL, &have, e);
	if (!rc)
		rc = check_inside(&have, at, prev, e);
	klist_fini(&have);
	if (!rc)
		rc = check_node(a, at, e);
	return rc ? rc : agent_nft_check(a, at, e);
}
