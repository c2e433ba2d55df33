// SPDX-License-Identifier: Apache-2.0
/* agent_link: see agent_link.h. */
#include "daemon/agent_link.h"
#include "base/hash.h"
#include "sys/nl.h"
#include "sys/rtnl.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#define HOST_DIGITS   13
#define BRIDGE_DIGITS 10

/* Over both strings with their NULs, so that "a","bc" and "ab","c" differ: an ABI, like the names. */
static uint64_t hash(const char *a, const char *b)
{
	return fnv64(fnv64(FNV64_START, a, strlen(a) + 1), b, strlen(b) + 1);
}

void agent_host_link(const char *container, const char *ifname, char out[IFNAME_LEN])
{
	uint64_t h = hash(container, ifname);

	h ^= h >> (4 * HOST_DIGITS);
	snprintf(out, IFNAME_LEN, "fl%013llx",
		 (unsigned long long)(h & ((1ULL << (4 * HOST_DIGITS)) - 1)));
}

bool agent_is_host_link(const char *name)
{
	return !strncmp(name, "fl", 2) && strlen(name) == 2 + HOST_DIGITS &&
	       strspn(name + 2, "0123456789abcdef") == HOST_DIGITS;
}

void agent_bridge_name(const char *network, char out[IFNAME_LEN])
{
	uint64_t h = hash(network, "");

	h ^= h >> (4 * BRIDGE_DIGITS);
	snprintf(out, IFNAME_LEN, "br-fl%010llx",
		 (unsigned long long)(h & ((1ULL << (4 * BRIDGE_DIGITS)) - 1)));
}

static struct macaddr mac_of(const char *a, const char *b)
{
	uint64_t h = hash(a, b);
	struct macaddr mac;

	h ^= h >> 48;
	for (int i = 0; i < 6; i++)
		mac.b[i] = (uint8_t)(h >> (8 * (5 - i)));
	mac.b[0] = (mac.b[0] & 0xfc) | 0x02;
	return mac;
}

struct macaddr agent_host_mac(const struct ipam_attachment *at)
{
	if (at->attach == CNI_BRIDGE)
		return mac_of(at->hostif, "port");
	return (struct macaddr){ { 0xee, 0xee, 0xee, 0xee, 0xee, 0xee } };
}

struct macaddr agent_pod_mac(const char *container, const char *ifname)
{
	return mac_of(container, ifname);
}

struct macaddr agent_bridge_mac(const char *bridge)
{
	return mac_of(bridge, "bridge");
}

void link_alias(const struct ipam_attachment *at, char out[LINK_ALIAS])
{
	char rest[LINK_ALIAS - 1];
	size_t len;

	snprintf(rest, sizeof(rest), " %s %s %s", at->container, at->ifname, at->network);
	len = strlen(rest);
	/* Where not all of it fits, the pod's name is cut: the store knows it by its address. */
	if (at->pod_name)
		snprintf(out, LINK_ALIAS - len, "%s/%s", at->pod_namespace ? at->pod_namespace : "",
			 at->pod_name);
	else
		snprintf(out, LINK_ALIAS - len, "-");
	memcpy(out + strlen(out), rest, len + 1);
}

int link_set_alias(struct nl *nl, const char *ifname, const char *alias, struct err *e)
{
	struct nl_batch b;
	struct nlmsghdr *h;
	int rc;

	nl_batch_init(&b);
	h = nl_batch_add(&b, RTM_SETLINK, NLM_F_ACK, sizeof(struct ifinfomsg));
	if (!h) {
		nl_batch_fini(&b);
		return err_set(e, -ENOMEM, "no memory");
	}
	mnl_attr_put_strz(h, IFLA_IFNAME, ifname);
	mnl_attr_put(h, IFLA_IFALIAS, strlen(alias), alias);
	rc = nl_batch_run(nl, &b, NULL, NULL, e);
	nl_batch_fini(&b);
	return rc;
}

/* What the kernel says of one link. */
struct told {
	char name[IFNAME_LEN], alias[LINK_ALIAS];
	struct macaddr mac;
	int peer, netns; /* the other end's index, and our number for its namespace */
	bool veth;
};

static void take_text(char *out, size_t n, const struct nlattr *attr)
{
	snprintf(out, n, "%.*s", (int)mnl_attr_get_payload_len(attr), mnl_attr_get_str(attr));
}

static int take_kind(const struct nlattr *attr, void *arg)
{
	struct told *t = arg;

	if (mnl_attr_get_type(attr) == IFLA_INFO_KIND)
		t->veth = mnl_attr_get_payload_len(attr) == sizeof("veth") &&
			  !memcmp(mnl_attr_get_str(attr), "veth", sizeof("veth"));
	return MNL_CB_OK;
}

static int take_attr(const struct nlattr *attr, void *arg)
{
	struct told *t = arg;
	size_t n = mnl_attr_get_payload_len(attr);

	switch (mnl_attr_get_type(attr)) {
	case IFLA_IFNAME:
		take_text(t->name, sizeof(t->name), attr);
		break;
	case IFLA_IFALIAS:
		take_text(t->alias, sizeof(t->alias), attr);
		break;
	case IFLA_ADDRESS:
		if (n == sizeof(t->mac.b))
			memcpy(t->mac.b, mnl_attr_get_payload(attr), n);
		break;
	case IFLA_LINK:
		if (n == sizeof(uint32_t))
			t->peer = (int)mnl_attr_get_u32(attr);
		break;
	case IFLA_LINK_NETNSID:
		if (n == sizeof(uint32_t))
			t->netns = (int)mnl_attr_get_u32(attr);
		break;
	case IFLA_LINKINFO:
		mnl_attr_parse_nested(attr, take_kind, t);
		break;
	}
	return MNL_CB_OK;
}

/* By name, or by index where that is NULL; netns -1: in our own namespace. */
static int ask(struct nl *nl, const char *name, int ifindex, int netns, struct told *out,
	       struct err *e)
{
	const struct nlmsghdr *m;
	struct told t = { .netns = -1 };
	struct buf reply = { 0 };
	struct nl_batch b;
	struct nlmsghdr *h;
	size_t off = 0;
	int rc;

	nl_batch_init(&b);
	h = nl_batch_add(&b, RTM_GETLINK, 0, sizeof(struct ifinfomsg));
	if (!h) {
		nl_batch_fini(&b);
		return err_set(e, -ENOMEM, "no memory");
	}
	if (name)
		mnl_attr_put_strz(h, IFLA_IFNAME, name);
	else
		((struct ifinfomsg *)mnl_nlmsg_get_payload(h))->ifi_index = ifindex;
	if (netns >= 0)
		mnl_attr_put_u32(h, IFLA_TARGET_NETNSID, (uint32_t)netns);
	rc = nl_talk(nl, &b, &reply, e);
	if (!rc) {
		m = nl_walk(reply.v, reply.n, &off);
		if (m && m->nlmsg_type == RTM_NEWLINK)
			mnl_attr_parse(m, sizeof(struct ifinfomsg), take_attr, &t);
		*out = t;
	}
	buf_fini(&reply);
	nl_batch_fini(&b);
	return rc;
}

int link_get_alias(struct nl *nl, const char *ifname, char out[LINK_ALIAS], struct err *e)
{
	struct told t;
	int rc = ask(nl, ifname, 0, -1, &t, e);

	if (!rc)
		memcpy(out, t.alias, sizeof(t.alias));
	return rc;
}

bool link_is_still(struct nl *nl, int ifindex, const char *name, const char *alias)
{
	struct told t;
	struct err none;

	return !ask(nl, NULL, ifindex, -1, &t, &none) &&
	       (!strcmp(t.name, name) || !strcmp(t.alias, alias));
}

int link_look(struct nl *nl, struct buf *out, struct err *e)
{
	struct nl_batch b;
	int rc = 0;

	nl_batch_init(&b);
	if (!nl_batch_add(&b, RTM_GETLINK, NLM_F_DUMP, sizeof(struct ifinfomsg)))
		rc = err_set(e, -ENOMEM, "no memory");
	if (!rc)
		rc = nl_talk(nl, &b, out, e);
	nl_batch_fini(&b);
	return rc;
}

int link_by_alias(const struct buf *seen, const char *alias)
{
	const struct nlmsghdr *m;
	size_t off = 0;

	while ((m = nl_walk(seen->v, seen->n, &off))) {
		const struct ifinfomsg *i = mnl_nlmsg_get_payload(m);
		struct told t = { 0 };

		if (m->nlmsg_type != RTM_NEWLINK)
			continue;
		mnl_attr_parse(m, sizeof(*i), take_attr, &t);
		if (t.veth && !strcmp(t.alias, alias))
			return i->ifi_index;
	}
	return 0;
}

int link_of(struct nl *nl, const struct ipam_attachment *at, struct err *e)
{
	int index = rtnl_ifindex(nl, at->hostif, e);
	char alias[LINK_ALIAS];
	struct buf seen = { 0 };

	if (index != -ENODEV)
		return index;
	link_alias(at, alias);
	index = link_look(nl, &seen, e);
	if (!index)
		index = link_by_alias(&seen, alias);
	buf_fini(&seen);
	return index;
}

int link_peer_mac(struct nl *nl, const char *ifname, struct macaddr *out, struct err *e)
{
	struct told t = { 0 };
	int rc = ask(nl, ifname, 0, -1, &t, e);

	if (!rc && t.peer <= 0)
		rc = err_set(e, -ENODEV, "link %s has no other end", ifname);
	if (!rc)
		rc = ask(nl, NULL, t.peer, t.netns, &t, e);
	if (!rc)
		*out = t.mac;
	return rc;
}
