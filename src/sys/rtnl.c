// SPDX-License-Identifier: Apache-2.0
/* rtnl: reading; see rtnl.h. Each dump is collected whole before it is decoded, so that a torn one
 * is begun anew without a trace. Links are read first, since everything else names them by
 * index. */
#include "sys/rtnl.h"
#include "sys/file.h"
#include "sys/rtnl_msg.h"

#include <errno.h>
#include <limits.h>
#include <linux/if.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* ---- klist */

void klist_fini(struct klist *l)
{
	free(l->v);
	arena_fini(&l->hops);
	*l = (struct klist){ 0 };
}

int klist_add(struct klist *l, const struct kobj *o)
{
	const struct khop *more = NULL;

	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 64;
		struct kobj *v = reallocarray(l->v, cap, sizeof(*v));

		if (!v)
			return -ENOMEM;
		l->v = v;
		l->cap = cap;
	}
	if (o->type == KOBJ_ROUTE && o->route.n_more) {
		more = arena_memdup(&l->hops, o->route.more, o->route.n_more * sizeof(*more));
		if (!more)
			return -ENOMEM;
	}
	l->v[l->n] = *o;
	if (more)
		l->v[l->n].route.more = more;
	l->n++;
	return 0;
}

/* Then routes by device: the kernel has routes of one key on several. */
static int by_key(const void *a, const void *b)
{
	const struct kobj *x = a, *y = b;
	int c = kobj_cmp(x, y);

	return c || x->type != KOBJ_ROUTE ? c : strncmp(x->route.oif, y->route.oif, IFNAME_LEN);
}

void klist_sort(struct klist *l)
{
	if (l->n)
		qsort(l->v, l->n, sizeof(*l->v), by_key);
}

static bool is_by_ra(const struct kobj *o)
{
	return o->type == KOBJ_ROUTE && o->foreign && o->route.protocol == RTPROT_RA;
}

/* Of several with one key (fe80::/64 of each device) ours stays, else any, but of routes by
 * router advertisement, which nobody wants, all do: each names a device that lives by it. */
static void unique(struct klist *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++) {
		const struct kobj *last = n ? &l->v[n - 1] : NULL;

		if (!n || kobj_cmp(last, &l->v[i]) ||
		    (is_by_ra(&l->v[i]) && by_key(last, &l->v[i])))
			l->v[n++] = l->v[i];
		else if (last->foreign && !l->v[i].foreign)
			l->v[n - 1] = l->v[i];
	}
	l->n = n;
}

/* ---- dumps */

struct dumping {
	struct nl *nl;
	struct nl_batch b;
	struct buf reply;
	struct ifnames *names;
	struct klist *out;
};

static void *request(struct dumping *d, uint16_t type, size_t head)
{
	struct nlmsghdr *nlh = nl_batch_add(&d->b, type, NLM_F_DUMP, head);

	return nlh ? mnl_nlmsg_get_payload(nlh) : NULL;
}

/* Sends what request() began and decodes the answer; `keep`: into the result. */
static int collect(struct dumping *d, bool keep, struct err *e)
{
	const struct nlmsghdr *nlh;
	struct kobj o;
	size_t off = 0;
	int index, rc;

	buf_clear(&d->reply);
	rc = nl_talk(d->nl, &d->b, &d->reply, e);
	if (rc)
		return rc;
	while ((nlh = nl_walk(d->reply.v, d->reply.n, &off))) {
		rc = rtnl_decode(d->names, nlh, &o, &index);
		if (rc > 0 && keep)
			rc = klist_add(d->out, &o);
		if (rc < 0)
			return err_sys(e, rc, "netlink: dump");
	}
	return 0;
}

static int dump_links(struct dumping *d, bool keep, struct err *e)
{
	struct nlmsghdr *nlh =
		nl_batch_add(&d->b, RTM_GETLINK, NLM_F_DUMP, sizeof(struct ifinfomsg));
	size_t first = d->out->n;
	int rc;

	if (!nlh)
		return err_sys(e, -ENOMEM, "links");
	mnl_attr_put_u32(nlh, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	rc = collect(d, keep, e);
	/* A port may come before its bridge, whose name was not known then: read them again. */
	if (!rc && keep) {
		const struct nlmsghdr *m;
		size_t off = 0, i = first;
		struct kobj o;
		int index;

		while ((m = nl_walk(d->reply.v, d->reply.n, &off)))
			if (rtnl_decode(d->names, m, &o, &index) > 0 && i < d->out->n)
				d->out->v[i++] = o;
	}
	if (rc)
		err_wrap(e, "links");
	return rc;
}

static int dump_addrs(struct dumping *d, struct err *e)
{
	int rc;

	if (!request(d, RTM_GETADDR, sizeof(struct ifaddrmsg)))
		return err_sys(e, -ENOMEM, "addresses");
	rc = collect(d, true, e);
	if (rc)
		err_wrap(e, "addresses");
	return rc;
}

static int dump_routes(struct dumping *d, uint8_t family, struct err *e)
{
	struct rtmsg *rtm = request(d, RTM_GETROUTE, sizeof(*rtm));
	struct err why = { 0 };
	int rc;

	if (!rtm)
		return err_sys(e, -ENOMEM, "routes");
	rtm->rtm_family = family;
	rtm->rtm_table = RT_TABLE_MAIN;
	rc = collect(d, true, &why);
	/* A kernel that runs without IPv6 has no IPv6 routes. */
	if (family == AF_INET6 && (rc == -EOPNOTSUPP || rc == -EAFNOSUPPORT || rc == -ENOENT))
		return 0;
	return rc ? err_set(e, rc, "routes: %s", why.text) : 0;
}

static int dump_neighs(struct dumping *d, uint8_t family, uint8_t flags, struct err *e)
{
	struct ndmsg *ndm = request(d, RTM_GETNEIGH, sizeof(*ndm));
	int rc;

	if (!ndm)
		return err_sys(e, -ENOMEM, "neighbours");
	ndm->ndm_family = family;
	ndm->ndm_flags = flags;
	rc = collect(d, true, e);
	if (rc)
		err_wrap(e, "neighbours");
	return rc;
}

static int dump_all(struct dumping *d, unsigned what, struct err *e)
{
	int rc = dump_links(d, what & RTNL(KOBJ_LINK), e);

	if (!rc && (what & RTNL(KOBJ_ADDR)))
		rc = dump_addrs(d, e);
	if (!rc && (what & RTNL(KOBJ_ROUTE)))
		rc = dump_routes(d, AF_INET, e);
	if (!rc && (what & RTNL(KOBJ_ROUTE)))
		rc = dump_routes(d, AF_INET6, e);
	if (!rc && (what & RTNL(KOBJ_NEIGH)))
		rc = dump_neighs(d, AF_UNSPEC, 0, e);
	if (!rc && (what & RTNL(KOBJ_NEIGH)))
		rc = dump_neighs(d, AF_UNSPEC, NTF_PROXY, e);
	if (!rc && (what & RTNL(KOBJ_FDB)))
		rc = dump_neighs(d, AF_BRIDGE, 0, e);
	return rc;
}

int rtnl_dump(struct nl *nl, unsigned what, struct klist *out, struct err *e)
{
	struct klist got = { 0 };
	struct dumping d = { .nl = nl, .names = ifnames_new(), .out = &got };
	int rc = d.names ? dump_all(&d, what, e) : err_sys(e, -ENOMEM, "netlink: dump");

	nl_batch_fini(&d.b);
	buf_fini(&d.reply);
	ifnames_free(d.names);
	for (size_t i = 0; !rc && i < got.n; i++)
		if (klist_add(out, &got.v[i]))
			rc = err_sys(e, -ENOMEM, "netlink: dump");
	if (!rc) {
		klist_sort(out);
		unique(out);
	}
	klist_fini(&got);
	return rc;
}

int rtnl_sysctls(const struct kobj *want, size_t n, struct klist *out, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		struct kobj o = want[i];
		struct err why = { 0 };
		int rc;

		if (o.type != KOBJ_SYSCTL)
			continue;
		memset(o.sysctl.value, 0, sizeof(o.sysctl.value));
		rc = sysctl_read(o.sysctl.path, o.sysctl.value, sizeof(o.sysctl.value), &why);
		if (rc == -ENOENT && !o.sysctl.optional)
			continue;
		if (rc == -ENOENT)
			o = want[i];
		else if (rc)
			return err_set(e, rc, "%s", why.text);
		if (klist_add(out, &o))
			return err_sys(e, -ENOMEM, "sysctls");
	}
	return 0;
}

int rtnl_ask_link(struct nl *nl, const char *name, int ifindex, struct buf *reply, struct err *e)
{
	struct nl_batch b = { 0 };
	struct nlmsghdr *nlh = nl_batch_add(&b, RTM_GETLINK, 0, sizeof(struct ifinfomsg));
	int rc;

	if (nlh) {
		((struct ifinfomsg *)mnl_nlmsg_get_payload(nlh))->ifi_index = ifindex;
		if (name)
			mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
		mnl_attr_put_u32(nlh, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	}
	rc = nl_talk(nl, &b, reply, e);
	nl_batch_fini(&b);
	return rc;
}

int rtnl_get_link(struct nl *nl, const char *name, int ifindex, struct klink *out, int *index,
		  struct err *e)
{
	struct buf reply = { 0 };
	struct ifnames *names = ifnames_new();
	const struct nlmsghdr *nlh;
	size_t off = 0;
	struct kobj o;
	int rc;

	rc = names ? rtnl_ask_link(nl, name, ifindex, &reply, e)
		   : err_sys(e, -ENOMEM, "out of memory");
	if (!rc &&
	    (!(nlh = nl_walk(reply.v, reply.n, &off)) || rtnl_decode(names, nlh, &o, index) <= 0))
		rc = err_set(e, -EBADMSG, "no link in the answer");
	if (rc && name)
		err_wrap(e, "link %s", name);
	else if (rc)
		err_wrap(e, "link %d", ifindex);
	else
		*out = o.link;
	buf_fini(&reply);
	ifnames_free(names);
	return rc;
}

int rtnl_ifindex(struct nl *nl, const char *ifname, struct err *e)
{
	struct klink l;
	int index = 0, rc = rtnl_get_link(nl, ifname, 0, &l, &index, e);

	return rc ? rc : index;
}

int rtnl_mtu(struct nl *nl, uint32_t ifindex, struct err *e)
{
	struct klink l;
	int index, rc = rtnl_get_link(nl, NULL, (int)ifindex, &l, &index, e);

	return rc ? rc : l.mtu > INT_MAX ? INT_MAX : (int)l.mtu;
}

static int take_operstate(const struct nlattr *attr, void *arg)
{
	if (mnl_attr_get_type(attr) == IFLA_OPERSTATE && mnl_attr_get_payload_len(attr))
		*(uint8_t *)arg = mnl_attr_get_u8(attr);
	return MNL_CB_OK;
}

int rtnl_carries(struct nl *nl, const char *ifname, struct err *e)
{
	uint8_t state = IF_OPER_NOTPRESENT;
	const struct nlmsghdr *nlh;
	struct buf reply = { 0 };
	size_t off = 0;
	int rc = rtnl_ask_link(nl, ifname, 0, &reply, e);

	if (rc)
		err_wrap(e, "link %s", ifname);
	else if ((nlh = nl_walk(reply.v, reply.n, &off)) && nlh->nlmsg_type == RTM_NEWLINK)
		mnl_attr_parse(nlh, sizeof(struct ifinfomsg), take_operstate, &state);
	buf_fini(&reply);
	return rc ? rc : state == IF_OPER_UP;
}
