// SPDX-License-Identifier: Apache-2.0
/* ipip_tc: see ipip_tc.h and ipip.h.
 *
 * A filter is replaced where its preference, protocol and handle are the same, and the kernel then swaps the
 * program under it. Others may hang on the same device: theirs stay, and clsact with them. */
#include "sys/ipip_tc.h"

#include "model/kernel.h"
#include "sys/nlattr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>

#define PREFERENCE RTPROT_FAIRLEAD /* as all numbers that are ours */
#define HANDLE     RTPROT_FAIRLEAD
#define NAME       "fairlead-ipip"

static uint32_t parent_of(enum ipip_hook hook)
{
	return TC_H_MAKE(TC_H_CLSACT, hook == IPIP_ON_TUNNEL ? TC_H_MIN_EGRESS : TC_H_MIN_INGRESS);
}

static struct nlmsghdr *begin(struct nl_batch *b, uint16_t type, uint16_t flags, int ifindex,
			      uint32_t parent)
{
	struct nlmsghdr *nlh = nl_batch_add(b, type, flags, sizeof(struct tcmsg));
	struct tcmsg *t;

	if (!nlh)
		return NULL;
	t = mnl_nlmsg_get_payload(nlh);
	t->tcm_ifindex = ifindex;
	t->tcm_parent = parent;
	return nlh;
}

static struct tcmsg *set_filter(struct nlmsghdr *nlh)
{
	struct tcmsg *t = mnl_nlmsg_get_payload(nlh);

	t->tcm_handle = HANDLE;
	t->tcm_info = TC_H_MAKE(PREFERENCE << 16, htons(ETH_P_IP));
	return t;
}

static int run(struct nl *nl, struct nl_batch *b, struct err *e)
{
	int rc = nl_batch_run(nl, b, NULL, NULL, e);

	nl_batch_fini(b);
	return rc;
}

static int put_clsact(struct nl *nl, int ifindex, struct err *e)
{
	struct nl_batch b = { 0 };
	struct nlmsghdr *nlh =
		begin(&b, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, ifindex, TC_H_CLSACT);
	int rc;

	if (!nlh) {
		nl_batch_fini(&b);
		return err_sys(e, -ENOMEM, "clsact");
	}
	((struct tcmsg *)mnl_nlmsg_get_payload(nlh))->tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
	mnl_attr_put_strz(nlh, TCA_KIND, "clsact");
	rc = run(nl, &b, e);
	return rc == -EEXIST ? 0 : rc;
}

int ipip_tc_put(struct nl *nl, enum ipip_hook hook, int ifindex, int program, struct err *e)
{
	struct nl_batch b = { 0 };
	struct nlmsghdr *nlh;
	struct nlattr *opts;
	int rc = put_clsact(nl, ifindex, e);

	if (rc)
		return rc;
	nlh = begin(&b, RTM_NEWTFILTER, NLM_F_CREATE, ifindex, parent_of(hook));
	if (!nlh) {
		nl_batch_fini(&b);
		return err_sys(e, -ENOMEM, "filter");
	}
	set_filter(nlh);
	mnl_attr_put_strz(nlh, TCA_KIND, "bpf");
	opts = mnl_attr_nest_start(nlh, TCA_OPTIONS);
	mnl_attr_put_u32(nlh, TCA_BPF_FD, (uint32_t)program);
	mnl_attr_put_strz(nlh, TCA_BPF_NAME, NAME);
	mnl_attr_put_u32(nlh, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
	mnl_attr_nest_end(nlh, opts);
	return run(nl, &b, e);
}

struct found {
	uint32_t id;
	unsigned others;
};

/* A preference is told once without a handle, for all of its filters. */
static void note(struct found *f, const struct nlmsghdr *nlh)
{
	const struct tcmsg *t = mnl_nlmsg_get_payload(nlh);
	struct nla attrs, opts;

	if (nlh->nlmsg_type != RTM_NEWTFILTER || mnl_nlmsg_get_payload_len(nlh) < sizeof(*t) ||
	    !t->tcm_handle)
		return;
	attrs = nla_of(nlh, sizeof(*t));
	opts = nla_in(&attrs, TCA_OPTIONS);
	if (t->tcm_handle == HANDLE && t->tcm_info >> 16 == PREFERENCE &&
	    !strcmp(nla_str(&opts, TCA_BPF_NAME), NAME))
		f->id = nla_u32(&opts, TCA_BPF_ID);
	else
		f->others++;
}

int ipip_tc_look(struct nl *nl, enum ipip_hook hook, int ifindex, uint32_t *id, unsigned *others,
		 struct err *e)
{
	struct nl_batch b = { 0 };
	struct buf reply = { 0 };
	struct found f = { 0 };
	size_t off = 0;
	int rc;

	if (!begin(&b, RTM_GETTFILTER, NLM_F_DUMP, ifindex, parent_of(hook)))
		rc = err_sys(e, -ENOMEM, "filters");
	else
		rc = nl_talk(nl, &b, &reply, e);
	for (const struct nlmsghdr *m; !rc && (m = nl_walk(reply.v, reply.n, &off));)
		note(&f, m);
	nl_batch_fini(&b);
	buf_fini(&reply);
	if (rc)
		return rc;
	*id = f.id;
	*others = f.others;
	return 0;
}

static int take_off(struct nl *nl, enum ipip_hook hook, int ifindex, struct err *e)
{
	struct nl_batch b = { 0 };
	struct nlmsghdr *nlh = begin(&b, RTM_DELTFILTER, 0, ifindex, parent_of(hook));

	if (!nlh) {
		nl_batch_fini(&b);
		return err_sys(e, -ENOMEM, "filter");
	}
	set_filter(nlh);
	mnl_attr_put_strz(nlh, TCA_KIND, "bpf");
	return run(nl, &b, e);
}

static int drop_clsact(struct nl *nl, int ifindex, struct err *e)
{
	struct nl_batch b = { 0 };
	struct nlmsghdr *nlh = begin(&b, RTM_DELQDISC, 0, ifindex, TC_H_CLSACT);

	if (!nlh) {
		nl_batch_fini(&b);
		return err_sys(e, -ENOMEM, "clsact");
	}
	((struct tcmsg *)mnl_nlmsg_get_payload(nlh))->tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
	return run(nl, &b, e);
}

int ipip_detach(struct nl *nl, int ifindex, struct err *e)
{
	unsigned others, left = 0;
	bool ours = false;
	uint32_t id;
	int rc = 0;

	for (int h = IPIP_ON_TUNNEL; !rc && h <= IPIP_ON_UPLINK; h++) {
		rc = ipip_tc_look(nl, (enum ipip_hook)h, ifindex, &id, &others, e);
		if (rc == -ENODEV || rc == -EINVAL) /* no such device; no clsact */
			return 0;
		left += rc ? 0 : others;
		if (!rc && id) {
			ours = true;
			rc = take_off(nl, (enum ipip_hook)h, ifindex, e);
		}
	}
	if (rc || !ours || left)
		return rc;
	rc = drop_clsact(nl, ifindex, e);
	return rc == -ENOENT || rc == -EINVAL ? 0 : rc;
}
