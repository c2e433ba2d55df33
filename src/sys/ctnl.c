// SPDX-License-Identifier: Apache-2.0
/* ctnl: ctnetlink; see ctnl.h. The thread of a dump has a netlink socket of its own and one end of a
 * socket pair, into which it puts arrays of entries; how it ended stands in the dump, which is
 * read after the thread was joined. It touches nothing else. That its reader has closed the other
 * end tells it to stop. */
#include "sys/ctnl.h"
#include "sys/nlattr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Of CTA_FILTER_ORIG_FLAGS and CTA_FILTER_REPLY_FLAGS; the kernel keeps their names to itself. */
#define FILTER_SRC   (1u << 0)
#define FILTER_DST   (1u << 1)
#define FILTER_PROTO (1u << 3)

/* ---- asking */

static struct nlmsghdr *put_request(struct nl_batch *b, unsigned msg, uint16_t flags,
				    uint8_t family)
{
	struct nlmsghdr *nlh = nl_batch_add(b, CTNL_TYPE(msg), flags, sizeof(struct nfgenmsg));

	if (nlh)
		((struct nfgenmsg *)mnl_nlmsg_get_payload(nlh))->nfgen_family = family;
	return nlh;
}

/* The ends of an entry, for each of which the kernel is asked: its filter has no "or". Of IPv6 it leaves
 * out (seen on 6.18) just those that have the address, so that these are found here, in one dump. */
enum end { ORIG_SRC, ORIG_DST, REPLY_SRC, REPLY_DST, ENDS };

static bool is_filtered(const struct ctnl_which *w)
{
	return w->addr.family == AF_INET;
}

/* What the tuple is to have; its flags of the filter. */
static uint32_t put_wanted(struct nlmsghdr *nlh, const struct ctnl_which *w, unsigned end,
			   bool reply)
{
	static const uint16_t v4[] = { CTA_IP_V4_SRC, CTA_IP_V4_DST };
	bool addr = is_filtered(w) && (end >= REPLY_SRC) == reply;
	bool proto = w->proto && !reply, dst = end % 2;
	struct nlattr *tuple, *in;

	if (!addr && !proto)
		return 0;
	tuple = mnl_attr_nest_start(nlh, reply ? CTA_TUPLE_REPLY : CTA_TUPLE_ORIG);
	if (addr) {
		in = mnl_attr_nest_start(nlh, CTA_TUPLE_IP);
		mnl_attr_put(nlh, v4[dst], addr_len(&w->addr), w->addr.b);
		mnl_attr_nest_end(nlh, in);
	}
	if (proto) {
		in = mnl_attr_nest_start(nlh, CTA_TUPLE_PROTO);
		mnl_attr_put_u8(nlh, CTA_PROTO_NUM, w->proto);
		mnl_attr_nest_end(nlh, in);
	}
	mnl_attr_nest_end(nlh, tuple);
	return (addr ? dst ? FILTER_DST : FILTER_SRC : 0) | (proto ? FILTER_PROTO : 0);
}

static int put_dump(struct nl_batch *b, const struct ctnl_which *w, unsigned end)
{
	struct nlmsghdr *nlh = put_request(b, IPCTNL_MSG_CT_GET, NLM_F_DUMP, w->family);
	struct nlattr *filter;
	uint32_t orig, reply;

	if (!nlh)
		return -ENOMEM;
	orig = put_wanted(nlh, w, end, false);
	reply = put_wanted(nlh, w, end, true);
	if (!orig && !reply)
		return 0;
	filter = mnl_attr_nest_start(nlh, CTA_FILTER);
	mnl_attr_put_u32(nlh, CTA_FILTER_ORIG_FLAGS, orig);
	mnl_attr_put_u32(nlh, CTA_FILTER_REPLY_FLAGS, reply);
	mnl_attr_nest_end(nlh, filter);
	return 0;
}

static void put_tuple(struct nlmsghdr *nlh, const struct ct_entry *c)
{
	const struct ct_tuple *t = &c->orig;
	bool v4 = t->src.family == AF_INET;
	struct nlattr *tuple = mnl_attr_nest_start(nlh, CTA_TUPLE_ORIG), *in;

	in = mnl_attr_nest_start(nlh, CTA_TUPLE_IP);
	mnl_attr_put(nlh, v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, addr_len(&t->src), t->src.b);
	mnl_attr_put(nlh, v4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, addr_len(&t->dst), t->dst.b);
	mnl_attr_nest_end(nlh, in);
	in = mnl_attr_nest_start(nlh, CTA_TUPLE_PROTO);
	mnl_attr_put_u8(nlh, CTA_PROTO_NUM, c->proto);
	switch (c->proto) {
	case IPPROTO_ICMP:
		mnl_attr_put_u16(nlh, CTA_PROTO_ICMP_ID, htons(t->icmp_id));
		mnl_attr_put_u8(nlh, CTA_PROTO_ICMP_TYPE, t->icmp_type);
		mnl_attr_put_u8(nlh, CTA_PROTO_ICMP_CODE, t->icmp_code);
		break;
	case IPPROTO_ICMPV6:
		mnl_attr_put_u16(nlh, CTA_PROTO_ICMPV6_ID, htons(t->icmp_id));
		mnl_attr_put_u8(nlh, CTA_PROTO_ICMPV6_TYPE, t->icmp_type);
		mnl_attr_put_u8(nlh, CTA_PROTO_ICMPV6_CODE, t->icmp_code);
		break;
	default:
		mnl_attr_put_u16(nlh, CTA_PROTO_SRC_PORT, htons(t->sport));
		mnl_attr_put_u16(nlh, CTA_PROTO_DST_PORT, htons(t->dport));
	}
	mnl_attr_nest_end(nlh, in);
	mnl_attr_nest_end(nlh, tuple);
}

static bool can_name(const struct ct_entry *c)
{
	uint8_t family = c->orig.src.family;

	return (family == AF_INET || family == AF_INET6) && family == c->orig.dst.family &&
	       ctnl_knows(c->proto);
}

static int put_delete(struct nl_batch *b, const struct ct_entry *c)
{
	struct nlmsghdr *nlh = put_request(b, IPCTNL_MSG_CT_DELETE, 0, c->orig.src.family);

	if (!nlh)
		return -ENOMEM;
	put_tuple(nlh, c);
	mnl_attr_put_u32(nlh, CTA_ID, htonl(c->id));
	if (c->zone[0])
		mnl_attr_put_u16(nlh, CTA_ZONE, htons(c->zone[0]));
	return 0;
}

struct deleting {
	size_t deleted;
	int rc;
	struct err *e;
};

static void on_deleted(void *arg, unsigned i, int code, const char *text)
{
	struct deleting *d = arg;

	if (!code)
		d->deleted++;
	else if (code != -ENOENT && !d->rc)
		d->rc = err_set(d->e, code, "conntrack: delete: %s%s%s", strerror(-code),
				*text ? ": " : "", text);
}

int ctnl_delete(struct nl *nl, const struct ct_entry *v, size_t n, size_t *deleted, struct err *e)
{
	struct deleting d = { .e = e };
	struct nl_batch b = { 0 };
	int rc = 0;

	for (size_t i = 0; i < n && !rc; i++)
		rc = can_name(&v[i]) ? put_delete(&b, &v[i]) : -EINVAL;
	if (rc)
		err_sys(e, rc, "conntrack: delete");
	else
		rc = nl_batch_run(nl, &b, on_deleted, &d, e);
	nl_batch_fini(&b);
	if (deleted)
		*deleted = d.deleted;
	return rc ? rc : d.rc;
}

int ctnl_get(struct nl *nl, const struct ct_entry *like, struct ct_entry *out, struct err *e)
{
	struct nl_batch b = { 0 };
	struct buf reply = { 0 };
	const struct nlmsghdr *nlh;
	struct nlmsghdr *asked;
	struct err why = { 0 };
	size_t off = 0;
	int rc;

	if (!can_name(like))
		return err_sys(e, -EINVAL, "conntrack: get");
	asked = put_request(&b, IPCTNL_MSG_CT_GET, 0, like->orig.src.family);
	if (asked)
		put_tuple(asked, like);
	rc = asked ? nl_talk(nl, &b, &reply, &why) : err_sys(&why, -ENOMEM, "conntrack: get");
	nlh = rc ? NULL : nl_walk(reply.v, reply.n, &off);
	if (nlh)
		rc = ctnl_decode(nlh, out);
	buf_fini(&reply);
	nl_batch_fini(&b);
	if (rc == -ENOENT)
		return 0;
	return rc < 0 ? err_set(e, rc, "%s", why.text) : rc;
}

int ctnl_count(struct nl *nl, uint32_t *n, struct err *e)
{
	struct nl_batch b = { 0 };
	struct buf reply = { 0 };
	const struct nlmsghdr *nlh;
	size_t off = 0;
	int rc = put_request(&b, IPCTNL_MSG_CT_GET_STATS, 0, AF_UNSPEC)
			 ? nl_talk(nl, &b, &reply, e)
			 : err_sys(e, -ENOMEM, "conntrack");

	nlh = rc ? NULL : nl_walk(reply.v, reply.n, &off);
	if (nlh) {
		struct nla t = nla_of(nlh, sizeof(struct nfgenmsg));

		*n = nla_be32(&t, CTA_STATS_GLOBAL_ENTRIES);
	} else if (!rc) {
		rc = err_set(e, -EBADMSG, "conntrack: no answer to how many entries there are");
	}
	buf_fini(&reply);
	nl_batch_fini(&b);
	return rc;
}

/* ---- dumps */

struct ctnl_dump {
	struct nl *nl, **spare;
	int in, out; /* ends of the pair: the reader's, the thread's */
	pthread_t thread;
	bool joined;
	struct ctnl_which which[CTNL_WHICH_MAX];
	size_t n_which, at; /* the one that is being looked for */
	struct ct_entry v[CTNL_AT_ONCE];
	size_t n;
	int rc; /* how it ended, when the thread is joined */
	struct err e;
};

static int hand_over(struct ctnl_dump *d, struct err *e)
{
	size_t size = d->n * sizeof(*d->v);

	d->n = 0;
	while (size && send(d->out, d->v, size, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			return err_sys(e, -errno, "conntrack: dump");
	return 0;
}

static bool is_wanted(const struct ctnl_which *w, const struct ct_entry *c)
{
	const struct ipaddr *const ends[ENDS] = { &c->orig.src, &c->orig.dst, &c->reply.src,
						  &c->reply.dst };
	unsigned end = 0;

	while (w->addr.family && end < ENDS && !addr_eq(ends[end], &w->addr))
		end++;
	return end < ENDS && c->orig.src.family == w->family && (!w->proto || c->proto == w->proto);
}

static int on_message(void *arg, const struct nlmsghdr *nlh, struct err *e)
{
	struct ctnl_dump *d = arg;
	struct ct_entry *c = &d->v[d->n];

	d->n += ctnl_decode(nlh, c) && is_wanted(&d->which[d->at], c);
	return d->n == CTNL_AT_ONCE ? hand_over(d, e) : 0;
}

static int look_for(struct ctnl_dump *d, const struct ctnl_which *w, struct nl_batch *b)
{
	unsigned dumps = is_filtered(w) ? ENDS : 1;
	int rc = 0;

	for (unsigned end = 0; end < dumps && !rc; end++) {
		rc = put_dump(b, w, end);
		rc = rc ? err_sys(&d->e, rc, "conntrack: dump")
			: nl_dump(d->nl, b, on_message, d, &d->e);
	}
	return rc;
}

static void *run_dump(void *arg)
{
	struct ctnl_dump *d = arg;
	struct nl_batch b = { 0 };

	for (; d->at < d->n_which && !d->rc; d->at++)
		d->rc = look_for(d, &d->which[d->at], &b);
	if (!d->rc)
		d->rc = hand_over(d, &d->e);
	nl_batch_fini(&b);
	shutdown(d->out, SHUT_RDWR); /* the reader's end of file */
	return NULL;
}

static void free_dump(struct ctnl_dump *d)
{
	if (d->in >= 0)
		close(d->in);
	if (d->out >= 0)
		close(d->out);
	/* Of what broke off, the rest would come. */
	if (d->spare && !*d->spare && d->joined && !d->rc)
		*d->spare = d->nl;
	else
		nl_close(d->nl);
	free(d);
}

static int start(struct ctnl_dump *d, struct err *e)
{
	int pair[2], rc;

	if (!d->nl)
		d->nl = nl_open(NETLINK_NETFILTER, e);
	if (!d->nl)
		return -EIO;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, -errno, "conntrack: dump");
	d->in = pair[0];
	d->out = pair[1];
	rc = pthread_create(&d->thread, NULL, run_dump, d);
	return rc ? err_sys(e, -rc, "conntrack: dump: no thread") : 0;
}

struct ctnl_dump *ctnl_dump_start(const struct ctnl_which *which, size_t n, struct nl **spare,
				  struct err *e)
{
	struct ctnl_dump *d = n > 0 && n <= CTNL_WHICH_MAX ? calloc(1, sizeof(*d)) : NULL;

	if (!d) {
		err_sys(e, n > 0 && n <= CTNL_WHICH_MAX ? -ENOMEM : -EINVAL, "conntrack: dump");
		return NULL;
	}
	d->in = d->out = -1;
	memcpy(d->which, which, n * sizeof(*which));
	d->n_which = n;
	d->spare = spare;
	if (spare) {
		d->nl = *spare;
		*spare = NULL;
	}
	if (start(d, e)) {
		free_dump(d);
		return NULL;
	}
	return d;
}

int ctnl_dump_fd(const struct ctnl_dump *d)
{
	return d->in;
}

/* How the thread ended, which it has, or does when it finds its reader gone. */
static void join(struct ctnl_dump *d)
{
	if (!d->joined)
		pthread_join(d->thread, NULL);
	d->joined = true;
}

int ctnl_dump_read(struct ctnl_dump *d, ctnl_entry_fn fn, void *arg, struct err *e)
{
	struct ct_entry v[CTNL_AT_ONCE];
	ssize_t n;

	do
		n = recv(d->in, v, sizeof(v), MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 1 : err_sys(e, -errno, "conntrack: dump");
	for (size_t i = 0; i < (size_t)n / sizeof(*v); i++)
		fn(arg, &v[i]);
	if (n)
		return 1;
	join(d);
	return d->rc ? err_set(e, d->rc, "%s", d->e.text) : 0;
}

void ctnl_dump_end(struct ctnl_dump *d)
{
	if (!d)
		return;
	shutdown(d->in, SHUT_RDWR);
	join(d);
	free_dump(d);
}
