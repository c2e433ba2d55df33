/* SPDX-License-Identifier: Apache-2.0 */
/* nftables over NETLINK_NETFILTER.
 *
 * A transaction is one datagram: batch begin, messages, batch end. The kernel works it off inside
 * sendmsg() and queues its answers before that returns, so reading never waits. Only the last
 * message asks for an acknowledgement: errors come without asking, and thousands of positive
 * answers would overflow the receive buffer. A datagram may not exceed the send buffer
 * (net.core.wmem_default), hence the cutting at step marks. */
#include "sys/nfnl_state.h"

#include "core/nft/encode.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH_END_ROOM 32          /* the end message, and what the kernel keeps for itself */
#define SNDBUF_MAX     (256 << 20) /* a step beyond that is a mistake */

static size_t sndbuf_of(int fd)
{
	int v = 0;
	socklen_t n = sizeof(v);

	return getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &v, &n) || v < 4096 ? 4096 : (size_t)v;
}

int nfnl_open(struct nfnl **out, struct err *e)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK };
	struct nfnl *n = calloc(1, sizeof(*n));
	socklen_t len = sizeof(addr);
	int one = 1, r;

	if (!n)
		return err_set(e, -ENOMEM, "no memory for the nftables socket");
	n->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	if (n->fd < 0 || bind(n->fd, (void *)&addr, sizeof(addr)) ||
	    getsockname(n->fd, (void *)&addr, &len)) {
		r = err_sys(e, -errno, "nftables socket");
		nfnl_close(n);
		return r;
	}
	n->portid = addr.nl_pid;
	n->seq = 1;
	n->sndbuf = sndbuf_of(n->fd);
	/* Both spare the receive buffer, or help people: neither is needed to work. */
	setsockopt(n->fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	setsockopt(n->fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	*out = n;
	return 0;
}

void nfnl_close(struct nfnl *n)
{
	if (!n)
		return;
	if (n->fd >= 0)
		close(n->fd);
	buf_fini(&n->out);
	free(n->spans);
	free(n);
}

uint32_t nfnl_portid(const struct nfnl *n)
{
	return n->portid;
}

/* ---- answers */

struct answer {
	int error; /* negative errno of the first refused message; 0 */
	uint32_t seq;
	char text[160]; /* what the kernel adds to it, or "" */
	bool acked;
};

static void take_error(struct answer *a, const struct nlmsghdr *nlh, uint32_t last)
{
	const struct nlmsgerr *err = mnl_nlmsg_get_payload(nlh);
	size_t skip = MNL_NLMSG_HDRLEN + sizeof(*err);
	const struct nlattr *attr;

	if (nlh->nlmsg_len < MNL_NLMSG_HDRLEN + sizeof(*err))
		return;
	if (!err->error) {
		a->acked |= nlh->nlmsg_seq == last;
		return;
	}
	if (a->error && a->seq <= nlh->nlmsg_seq)
		return;
	a->error = err->error;
	a->seq = nlh->nlmsg_seq;
	a->text[0] = 0;
	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS) || !(nlh->nlmsg_flags & NLM_F_CAPPED))
		return;
	mnl_attr_for_each(attr, nlh, skip - MNL_NLMSG_HDRLEN)
	{
		size_t len = mnl_attr_get_payload_len(attr);

		if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG && len < sizeof(a->text)) {
			memcpy(a->text, mnl_attr_get_payload(attr), len);
			a->text[len] = 0;
		}
	}
}

/* Reads until message `last` is acknowledged or there is nothing left. */
static int read_answers(struct nfnl *n, uint32_t last, struct answer *a, struct err *e)
{
	while (!a->acked) {
		ssize_t got = recv(n->fd, n->in, sizeof(n->in), MSG_DONTWAIT);
		const struct nlmsghdr *nlh = (const void *)n->in;
		int left = (int)got;

		if (got < 0 && (errno == EINTR || errno == ENOBUFS))
			continue; /* so many errors that some were dropped: the first is here */
		if (got < 0 && errno == EAGAIN)
			break;
		if (got < 0)
			return err_sys(e, -errno, "nftables answer");
		for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left))
			if (nlh->nlmsg_type == NLMSG_ERROR)
				take_error(a, nlh, last);
	}
	if (!a->acked && !a->error)
		return err_set(e, -EPROTO, "nftables: the kernel gave no answer");
	return 0;
}

/* ---- batches */

static void put_batch(struct buf *b, unsigned type, uint32_t seq)
{
	struct {
		struct nlmsghdr h;
		struct nfgenmsg g;
	} m = { { .nlmsg_len = sizeof(m),
		  .nlmsg_type = type,
		  .nlmsg_flags = NLM_F_REQUEST,
		  .nlmsg_seq = seq },
		{ .nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0 } };

	m.g.res_id = __builtin_bswap16(NFNL_SUBSYS_NFTABLES);
	if (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)
		m.g.res_id = NFNL_SUBSYS_NFTABLES;
	buf_put(b, &m, sizeof(m));
}

/* A place in the list of ops. */
struct cursor {
	uint32_t op, elem;
};

/* The transaction under construction. */
struct batch {
	struct cursor at;   /* what comes next */
	struct cursor mark; /* where the last complete step ended */
	size_t mark_n;      /* bytes up to there; 0: no step is complete */
	uint32_t seq, mark_seq;
};

static int note_span(struct nfnl *n, uint32_t seq, uint32_t op, struct err *e)
{
	if (n->n_spans == n->cap_spans) {
		size_t cap = n->cap_spans ? 2 * n->cap_spans : 64;
		struct span *v = realloc(n->spans, cap * sizeof(*v));

		if (!v)
			return err_set(e, -ENOMEM, "no memory for an nftables batch");
		n->spans = v;
		n->cap_spans = cap;
	}
	n->spans[n->n_spans++] = (struct span){ seq, op };
	return 0;
}

static void set_mark(struct nfnl *n, struct batch *b)
{
	b->mark = b->at;
	b->mark_n = n->out.n;
	b->mark_seq = b->seq;
}

static bool is_elems(const struct nft_op *op)
{
	return op->verb == NFTV_ADD_ELEMS || op->verb == NFTV_DEL_ELEMS;
}

/* Encodes ops from b->at on until the buffer is full or all are in. -EMSGSIZE: not even one
 * step fits. */
static int fill(struct nfnl *n, const struct nft_ops *ops, struct batch *b, struct err *e)
{
	size_t limit = n->sndbuf - 2 * BATCH_END_ROOM;

	while (b->at.op < ops->n) {
		const struct nft_op *op = &ops->v[b->at.op];
		uint32_t end = is_elems(op) ? op->n_elems : 1, msgs = 0, before = b->at.elem;
		struct err inner = { 0 };
		int r = limit > n->out.n ? nft_encode(op, &b->at.elem, &n->out, limit - n->out.n,
						      b->seq, &msgs, &inner)
					 : -EMSGSIZE;

		if (r && r != -EMSGSIZE)
			return err_set(e, r, "%s", inner.text);
		if (!r && note_span(n, b->seq, b->at.op, e))
			return -ENOMEM;
		b->seq += msgs;
		if (!r && b->at.elem < end && b->at.elem > before && op->step && is_elems(op))
			set_mark(n, b);
		if (r || b->at.elem < end)
			break;
		b->at = (struct cursor){ b->at.op + 1, 0 };
		if (op->step || b->at.op == ops->n)
			set_mark(n, b);
	}
	return b->mark_n ? 0 : -EMSGSIZE;
}

/* One more buffer for a step that does not fit the default one. */
static int raise_buffer(struct nfnl *n, const struct nft_ops *ops, uint32_t op, struct err *e)
{
	size_t want = n->sndbuf * 4;
	int v = (int)(want / 2); /* the kernel doubles it */

	if (want <= SNDBUF_MAX && !setsockopt(n->fd, SOL_SOCKET, SO_SNDBUFFORCE, &v, sizeof(v)) &&
	    sndbuf_of(n->fd) >= want) {
		n->sndbuf = sndbuf_of(n->fd);
		return 0;
	}
	return err_set(e, -EMSGSIZE,
		       "nftables: the step at operation %u of %u needs more than %zu bytes", op + 1,
		       ops->n, n->sndbuf);
}

static int refused(struct nfnl *n, const struct nft_ops *ops, const struct answer *a,
		   struct nfnl_result *res, struct err *e)
{
	struct buf text = { 0 };
	size_t i = n->n_spans;

	while (i && n->spans[i - 1].seq > a->seq)
		i--;
	if (i) {
		res->failed_op = (int)n->spans[i - 1].op;
		nft_op_str(&ops->v[res->failed_op], &text);
	}
	err_sys(e, a->error, "nftables: %.700s%s%s", text.v ? text.v : "batch",
		a->text[0] ? ": " : "", a->text);
	buf_fini(&text);
	return a->error;
}

/* Sends what the buffer holds up to the mark. */
static int send_batch(struct nfnl *n, const struct nft_ops *ops, struct batch *b,
		      struct nfnl_result *res, struct err *e)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct answer a = { 0 };
	struct nlmsghdr *nlh;
	size_t at = 0, last = 0;
	int r;

	n->out.n = b->mark_n;
	for (; at < n->out.n; at += MNL_ALIGN(nlh->nlmsg_len)) {
		nlh = (void *)(n->out.v + at);
		last = at;
	}
	nlh = (void *)(n->out.v + last);
	nlh->nlmsg_flags |= NLM_F_ACK;
	put_batch(&n->out, NFNL_MSG_BATCH_END, b->mark_seq);
	if (n->out.failed)
		return err_set(e, -ENOMEM, "no memory for an nftables batch");
	nlh = (void *)(n->out.v + last); /* the buffer may have moved */
	if (sendto(n->fd, n->out.v, n->out.n, 0, (void *)&kernel, sizeof(kernel)) < 0)
		return err_sys(e, -errno, "nftables: sending %zu bytes", n->out.n);
	r = read_answers(n, nlh->nlmsg_seq, &a, e);
	if (r)
		return r;
	return a.error ? refused(n, ops, &a, res, e) : 0;
}

int nfnl_commit(struct nfnl *n, const struct nft_ops *ops, struct nfnl_result *res, struct err *e)
{
	struct nfnl_result dummy;
	struct batch b = { 0 };

	res = res ? res : &dummy;
	*res = (struct nfnl_result){ .failed_op = -1 };
	if (ops->arena && ops->arena->failed)
		return err_set(e, -ENOMEM, "no memory for nftables operations");
	while (b.at.op < ops->n) {
		int r;

		buf_clear(&n->out);
		n->n_spans = 0;
		b.mark_n = 0;
		b.seq = n->seq;
		put_batch(&n->out, NFNL_MSG_BATCH_BEGIN, b.seq++);
		struct cursor start = b.at;

		r = fill(n, ops, &b, e);
		if (r == -EMSGSIZE) {
			r = raise_buffer(n, ops, b.at.op, e);
			b.at = start;
			if (!r)
				continue;
		}
		if (!r)
			r = send_batch(n, ops, &b, res, e);
		n->seq = b.seq + 1;
		if (r)
			return r;
		b.at = b.mark;
		res->transactions++;
		res->done = b.at.op;
	}
	return 0;
}
