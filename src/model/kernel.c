// SPDX-License-Identifier: Apache-2.0
/* Order, equality and text of kernel objects (model/kernel.h). */
#include "model/kernel.h"

#include <stdarg.h>

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static int cmp_u32(uint32_t a, uint32_t b)
{
	return a < b ? -1 : a > b;
}

static int route_cmp(const struct kroute *a, const struct kroute *b)
{
	int c = prefix_cmp(&a->dst, &b->dst);

	return c ? c : cmp_u32(a->metric, b->metric);
}

static int neigh_cmp(const struct kneigh *a, const struct kneigh *b)
{
	int c = strncmp(a->ifname, b->ifname, IFNAME_LEN);

	if (!c)
		c = cmp_u32(a->proxy, b->proxy);
	return c ? c : addr_cmp(&a->addr, &b->addr);
}

/* By the last word first: accept_ra comes before forwarding, which takes routes away where the
 * other is not set. */
static int sysctl_cmp(const struct ksysctl *a, const struct ksysctl *b)
{
	const char *x = memrchr(a->path, '/', strnlen(a->path, SYSCTL_PATH));
	const char *y = memrchr(b->path, '/', strnlen(b->path, SYSCTL_PATH));
	int c = strncmp(x ? x : a->path, y ? y : b->path, SYSCTL_PATH);

	return c ? c : strncmp(a->path, b->path, SYSCTL_PATH);
}

int kobj_cmp(const struct kobj *a, const struct kobj *b)
{
	int c = cmp_u32(a->type, b->type);

	if (c)
		return c;
	switch ((enum kobj_type)a->type) {
	case KOBJ_NONE:
		return 0;
	case KOBJ_SYSCTL:
		return sysctl_cmp(&a->sysctl, &b->sysctl);
	case KOBJ_LINK:
		return strncmp(a->link.name, b->link.name, IFNAME_LEN);
	case KOBJ_ADDR:
		c = strncmp(a->addr.ifname, b->addr.ifname, IFNAME_LEN);
		return c ? c : prefix_cmp(&a->addr.addr, &b->addr.addr);
	case KOBJ_ROUTE:
		return route_cmp(&a->route, &b->route);
	case KOBJ_NEIGH:
		return neigh_cmp(&a->neigh, &b->neigh);
	case KOBJ_FDB:
		c = strncmp(a->fdb.ifname, b->fdb.ifname, IFNAME_LEN);
		return c ? c : memcmp(&a->fdb.mac, &b->fdb.mac, sizeof(a->fdb.mac));
	}
	return 0;
}

static bool link_same(const struct klink *want, const struct klink *have)
{
	if (want->kind != KLINK_ANY && want->kind != have->kind)
		return false;
	if (want->up && !have->up)
		return false;
	if (want->has_mac && memcmp(&want->mac, &have->mac, sizeof(want->mac)) != 0)
		return false;
	if (want->mtu && want->mtu != have->mtu)
		return false;
	if (want->master[0] && strncmp(want->master, have->master, IFNAME_LEN) != 0)
		return false;
	if (want->isolated && !have->isolated)
		return false;
	if (want->kind != KLINK_VXLAN)
		return true;
	return want->vni == have->vni && want->vxlan_port == have->vxlan_port &&
	       addr_eq(&want->vxlan_local, &have->vxlan_local);
}

static bool hops_same(const struct kroute *a, const struct kroute *b)
{
	if (a->n_more != b->n_more)
		return false;
	for (unsigned i = 0; i < a->n_more; i++)
		if (khop_cmp(&a->more[i], &b->more[i]) || a->more[i].onlink != b->more[i].onlink)
			return false;
	return true;
}

static bool route_same(const struct kroute *want, const struct kroute *have)
{
	if (want->type != have->type || want->protocol != have->protocol)
		return false;
	if (want->type != KROUTE_UNICAST) /* the kernel puts these on lo, in a scope of its own */
		return true;
	/* IPv6 knows no scope of a route, and names a source only where one was asked for. */
	if (want->dst.addr.family == AF_INET && want->scope != have->scope)
		return false;
	if (want->src.family && !addr_eq(&want->src, &have->src))
		return false;
	if (want->mtu && want->mtu != have->mtu)
		return false;
	return addr_eq(&want->via, &have->via) && want->onlink == have->onlink &&
	       !strncmp(want->oif, have->oif, IFNAME_LEN) && hops_same(want, have);
}

int khop_cmp(const struct khop *a, const struct khop *b)
{
	int c = addr_cmp(&a->via, &b->via);

	return c ? c : strncmp(a->oif, b->oif, IFNAME_LEN);
}

void kroute_set_hops(struct kroute *r, const struct khop *hops, size_t n)
{
	memcpy(r->oif, hops->oif, IFNAME_LEN);
	r->via = hops->via;
	r->onlink = hops->onlink;
	r->n_more = (uint8_t)(n - 1);
	r->more = n > 1 ? hops + 1 : NULL;
}

bool kobj_same(const struct kobj *want, const struct kobj *have)
{
	switch ((enum kobj_type)want->type) {
	case KOBJ_NONE:
		return true;
	case KOBJ_SYSCTL:
		return !strncmp(want->sysctl.value, have->sysctl.value, sizeof(want->sysctl.value));
	case KOBJ_LINK:
		return link_same(&want->link, &have->link);
	case KOBJ_ADDR:
		return want->addr.scope == have->addr.scope &&
		       want->addr.noprefixroute == have->addr.noprefixroute &&
		       want->addr.nodad == have->addr.nodad &&
		       want->addr.deprecated == have->addr.deprecated;
	case KOBJ_ROUTE:
		return route_same(&want->route, &have->route);
	case KOBJ_NEIGH:
		return want->neigh.proxy ||
		       !memcmp(&want->neigh.mac, &have->neigh.mac, sizeof(want->neigh.mac));
	case KOBJ_FDB:
		return addr_eq(&want->fdb.dst, &have->fdb.dst);
	}
	return false;
}

/* ---- text, in ip(8)'s words; `%.16s` because names need not be terminated */

/* snprintf() that goes on where the last one ended. */
static void add(char *buf, size_t n, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void add(char *buf, size_t n, const char *fmt, ...)
{
	size_t used = strlen(buf);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf + used, n - used, fmt, ap);
	va_end(ap);
}

static void link_str(const struct klink *l, char *buf, size_t n)
{
	static const char *const kinds[] = {
		"", " type veth", " type bridge", " type vxlan", " type ifb", " type ipip"
	};
	char text[ADDR_TEXT];

	add(buf, n, "link %.16s%s", l->name,
	    l->kind < sizeof(kinds) / sizeof(kinds[0]) ? kinds[l->kind] : "");
	if (l->kind == KLINK_VXLAN)
		add(buf, n, " id %u dstport %u", l->vni, l->vxlan_port);
	if (l->vxlan_local.family)
		add(buf, n, " local %s", addr_str(&l->vxlan_local, text));
	if (l->has_mac)
		add(buf, n, " address %s", mac_str(&l->mac, text));
	if (l->mtu)
		add(buf, n, " mtu %u", l->mtu);
	if (l->master[0])
		add(buf, n, " master %.16s", l->master);
	add(buf, n, "%s%s", l->isolated ? " isolated on" : "", l->up ? " up" : "");
}

static void hop_str(const struct khop *h, char *buf, size_t n)
{
	char text[ADDR_TEXT];

	if (h->via.family)
		add(buf, n, " via %s", addr_str(&h->via, text));
	if (h->oif[0])
		add(buf, n, " dev %.16s", h->oif);
}

static void route_str(const struct kroute *r, char *buf, size_t n)
{
	static const char *const types[] = { "", "blackhole ", "unreachable " };
	struct khop hop = { .via = r->via };
	char text[PREFIX_TEXT];

	memcpy(hop.oif, r->oif, IFNAME_LEN);
	add(buf, n, "route %s%s", r->type < sizeof(types) / sizeof(types[0]) ? types[r->type] : "",
	    prefix_str(&r->dst, text));
	if (!r->n_more)
		hop_str(&hop, buf, n);
	if (r->src.family)
		add(buf, n, " src %s", addr_str(&r->src, text));
	if (r->metric)
		add(buf, n, " metric %u", r->metric);
	if (r->mtu)
		add(buf, n, " mtu %u", r->mtu);
	if (r->n_more) {
		add(buf, n, " nexthop");
		hop_str(&hop, buf, n);
	}
	add(buf, n, "%s", r->onlink ? " onlink" : "");
	for (unsigned i = 0; i < r->n_more; i++) {
		add(buf, n, " nexthop");
		hop_str(&r->more[i], buf, n);
		add(buf, n, "%s", r->more[i].onlink ? " onlink" : "");
	}
}

const char *kobj_str(const struct kobj *o, char *buf, size_t n)
{
	char text[PREFIX_TEXT], mac[MAC_TEXT];

	if (!n)
		return buf;
	buf[0] = 0;
	switch ((enum kobj_type)o->type) {
	case KOBJ_NONE:
		add(buf, n, "nothing");
		break;
	case KOBJ_SYSCTL:
		add(buf, n, "sysctl %.96s = %.16s", o->sysctl.path, o->sysctl.value);
		break;
	case KOBJ_LINK:
		link_str(&o->link, buf, n);
		break;
	case KOBJ_ADDR:
		add(buf, n, "addr %s dev %.16s", prefix_str(&o->addr.addr, text), o->addr.ifname);
		break;
	case KOBJ_ROUTE:
		route_str(&o->route, buf, n);
		break;
	case KOBJ_NEIGH:
		if (o->neigh.proxy)
			add(buf, n, "neigh proxy %s dev %.16s", addr_str(&o->neigh.addr, text),
			    o->neigh.ifname);
		else
			add(buf, n, "neigh %s lladdr %s dev %.16s", addr_str(&o->neigh.addr, text),
			    mac_str(&o->neigh.mac, mac), o->neigh.ifname);
		break;
	case KOBJ_FDB:
		add(buf, n, "fdb %s dev %.16s dst %s", mac_str(&o->fdb.mac, mac), o->fdb.ifname,
		    addr_str(&o->fdb.dst, text));
		break;
	}
	return buf;
}

const char *kobj_device(const struct kobj *o)
{
	switch ((enum kobj_type)o->type) {
	case KOBJ_LINK:
		return o->link.name;
	case KOBJ_ADDR:
		return o->addr.ifname;
	case KOBJ_ROUTE:
		return o->route.oif;
	case KOBJ_NEIGH:
		return o->neigh.ifname;
	case KOBJ_FDB:
		return o->fdb.ifname;
	case KOBJ_NONE:
	case KOBJ_SYSCTL:
		break;
	}
	return "";
}
