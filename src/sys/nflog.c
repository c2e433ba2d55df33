// SPDX-License-Identifier: Apache-2.0
/* nflog: see nflog.h. What was lost is told by the numbers that the kernel gives a group's packets, as a
 * full socket (ENOBUFS) says only that there was a loss. The group is bound and set up in one datagram, so
 * that no packet comes in another form than the one asked for. */
#include "sys/nflog.h"
#include "sys/nl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <sys/socket.h>

#define COPIED   128     /* bytes of a packet: headers, with some of IPv6's extensions */
#define GATHERED 32      /* packets of a datagram */
#define WAIT     10      /* 1/100 s that a packet waits for others */
#define DATAGRAM (16384) /* bytes, enough for those */

struct nflog {
	struct nl *nl;
	uint32_t next; /* number of the next packet */
	uint64_t lost;
};

static struct nlmsghdr *add_config(struct nl_batch *b, uint16_t group)
{
	struct nlmsghdr *nlh = nl_batch_add(b, NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG, 0,
					    sizeof(struct nfgenmsg));
	struct nfgenmsg *g;

	if (!nlh)
		return NULL;
	g = mnl_nlmsg_get_payload(nlh);
	*g = (struct nfgenmsg){ .nfgen_family = AF_UNSPEC,
				.version = NFNETLINK_V0,
				.res_id = htons(group) };
	return nlh;
}

static int bind_group(struct nl *nl, uint16_t group, struct err *e)
{
	struct nfulnl_msg_config_cmd cmd = { .command = NFULNL_CFG_CMD_BIND };
	struct nfulnl_msg_config_mode mode = { .copy_range = htonl(COPIED),
					       .copy_mode = NFULNL_COPY_PACKET };
	struct nlmsghdr *nlh;
	struct nl_batch b;
	int rc;

	nl_batch_init(&b);
	nlh = add_config(&b, group);
	if (nlh) {
		mnl_attr_put(nlh, NFULA_CFG_CMD, sizeof(cmd), &cmd);
		mnl_attr_put(nlh, NFULA_CFG_MODE, sizeof(mode), &mode);
		mnl_attr_put_u32(nlh, NFULA_CFG_NLBUFSIZ, htonl(DATAGRAM));
		mnl_attr_put_u32(nlh, NFULA_CFG_QTHRESH, htonl(GATHERED));
		mnl_attr_put_u32(nlh, NFULA_CFG_TIMEOUT, htonl(WAIT));
		mnl_attr_put_u16(nlh, NFULA_CFG_FLAGS, htons(NFULNL_CFG_F_SEQ));
	}
	rc = nl_batch_run(nl, &b, NULL, NULL, e);
	nl_batch_fini(&b);
	return rc ? err_wrap(e, "NFLOG group %u", group) : 0;
}

int nflog_open(uint16_t group, struct nflog **out, struct err *e)
{
	struct nflog *l = calloc(1, sizeof(*l));
	int rc;

	if (!l)
		return err_sys(e, -ENOMEM, "NFLOG group %u", group);
	l->nl = nl_open(NETLINK_NETFILTER, e);
	rc = l->nl ? bind_group(l->nl, group, e) : -EIO;
	if (rc)
		nflog_close(l);
	else
		*out = l;
	return rc;
}

void nflog_close(struct nflog *l)
{
	if (!l)
		return;
	nl_close(l->nl);
	free(l);
}

int nflog_fd(const struct nflog *l)
{
	return nl_fd(l->nl);
}

struct reading {
	struct nflog *l;
	nflog_fn fn;
	void *arg;
	int n;
};

static void on_message(void *arg, const struct nlmsghdr *nlh)
{
	struct reading *r = arg;
	struct nft_logged x;

	if (nft_logged_decode(nlh, &x, NULL))
		return;
	if (x.has_seq) {
		r->l->lost += x.seq - r->l->next;
		r->l->next = x.seq + 1;
	}
	r->fn(r->arg, &x);
	r->n++;
}

int nflog_read(struct nflog *l, nflog_fn fn, void *arg, struct err *e)
{
	struct reading r = { l, fn, arg, 0 };
	bool lost = false; /* the numbers tell how many */
	int rc = nl_notices(l->nl, on_message, &r, &lost, e);

	return rc ? rc : r.n;
}

uint64_t nflog_lost(const struct nflog *l)
{
	return l->lost;
}
