// SPDX-License-Identifier: Apache-2.0
/* ipip of a build without clang or bpftool: only the driver does IP-in-IP, and nobody guards it. See ipip.h. */
#include "sys/ipip.h"

#include <errno.h>

static int none(struct err *e)
{
	return err_set(e, -EOPNOTSUPP, "eBPF: this build has none, which takes clang and bpftool");
}

int ipip_open(struct ipip **out, struct err *e)
{
	return none(e);
}

void ipip_close(struct ipip *p)
{
}

int ipip_set(struct ipip *p, const struct ipip_ends *ends, struct err *e)
{
	return none(e);
}

int ipip_node(struct ipip *p, const struct ipaddr *node, bool there, struct err *e)
{
	return none(e);
}

int ipip_look(const struct ipip *p, struct nl *nl, enum ipip_hook hook, int ifindex,
	      enum ipip_there *out, struct err *e)
{
	return none(e);
}

int ipip_attach(const struct ipip *p, struct nl *nl, enum ipip_hook hook, int ifindex,
		struct err *e)
{
	return none(e);
}

int ipip_sums(const struct ipip *p, struct ipip_sum out[IPIP_SUMS], struct err *e)
{
	return none(e);
}
