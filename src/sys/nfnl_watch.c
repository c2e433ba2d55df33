/* SPDX-License-Identifier: Apache-2.0 */
/* Notices of changes that others make to nftables. Every message carries the port id of the
 * socket that asked for the change; a classic BPF filter of four instructions drops ours in the
 * kernel, so that our own bulk loads cost nothing here and cannot overflow the buffer. */
#include "sys/nfnl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct nfnl_watch {
	int fd;
	bool touched; /* the transaction being reported changes our table */
	char in[64 << 10] __attribute__((aligned(8)));
};

static int drop_own(int fd, uint32_t portid)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_pid)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(portid), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	struct sock_fprog prog = { sizeof(code) / sizeof(code[0]), code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog));
}

int nfnl_watch_open(struct nfnl_watch **out, const struct nfnl *own, struct err *e)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK };
	struct nfnl_watch *w = calloc(1, sizeof(*w));
	int group = NFNLGRP_NFTABLES, r;

	if (!w)
		return err_set(e, -ENOMEM, "no memory for the nftables notices");
	w->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);
	if (w->fd < 0 || (own && drop_own(w->fd, nfnl_portid(own))) ||
	    bind(w->fd, (void *)&addr, sizeof(addr)) ||
	    setsockopt(w->fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group))) {
		r = err_sys(e, -errno, "nftables notices");
		nfnl_watch_close(w);
		return r;
	}
	*out = w;
	return 0;
}

void nfnl_watch_close(struct nfnl_watch *w)
{
	if (!w)
		return;
	if (w->fd >= 0)
		close(w->fd);
	free(w);
}

int nfnl_watch_fd(const struct nfnl_watch *w)
{
	return w->fd;
}

int nfnl_watch_read(struct nfnl_watch *w, const char *table,
		    void (*fn)(const struct nft_notice *, void *), void *arg, struct err *e)
{
	int told = 0;

	for (;;) {
		ssize_t got = recv(w->fd, w->in, sizeof(w->in), 0);
		size_t at = 0;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN)
			return told;
		if (got < 0)
			return err_sys(e, -errno, "nftables notices");
		while (at < (size_t)got) {
			struct nft_notice x;
			int n = nft_decode_notice(w->in + at, (size_t)got - at, &x, e);

			if (n < 0)
				return n;
			at += (size_t)n;
			if (x.msg == NFT_MSG_NEWGEN ? !w->touched : strcmp(x.table, table) != 0)
				continue;
			w->touched = x.msg != NFT_MSG_NEWGEN;
			fn(&x, arg);
			told++;
		}
	}
}
