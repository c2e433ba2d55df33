// SPDX-License-Identifier: Apache-2.0
/* nl: netlink transport; see nl.h.
 *
 * The kernel handles a request inside of our sendmsg(2), so when that returns all its answers are
 * in our queue. A chunk of a batch asks only its last request for an acknowledgement: the others
 * answer when they fail, and silence means success. The chunk is small enough for the answers to
 * fit the socket's buffer even if all fail. Answers are matched by sequence number; strays of
 * an earlier, broken exchange are skipped, and so is what another process sent us. */
#include "sys/nl.h"
#include "sys/netns.h"

#include <errno.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define RECV_SIZE   65536 /* the kernel fills dumps up to 32 KiB */
#define CHUNK_MSGS  64
#define CHUNK_BYTES 65536
#define RCVBUF      (2 << 20)
#define DUMP_TRIES  16
#define NOTICES_MAX 1024
#define ANSWER_SEC  10 /* longer than any rtnl lock was ever held */

struct nl {
	int fd;
	uint32_t portid, seq;
	char buf[RECV_SIZE];
};

static void set_options(int fd)
{
	struct timeval tv = { .tv_sec = ANSWER_SEC };
	int one = 1, rcvbuf = RCVBUF;

	/* All but the timeout are refinements that an old kernel may refuse. */
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &rcvbuf, sizeof(rcvbuf)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf));
	setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof(one));
}

struct nl *nl_open(int bus, struct err *e)
{
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK };
	struct nl *nl = malloc(sizeof(*nl));
	socklen_t len = sizeof(sa);
	int fd;

	if (!nl) {
		err_sys(e, -ENOMEM, "netlink socket");
		return NULL;
	}
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, bus);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    getsockname(fd, (struct sockaddr *)&sa, &len) < 0) {
		err_sys(e, -errno, "netlink socket");
		if (fd >= 0)
			close(fd);
		free(nl);
		return NULL;
	}
	set_options(fd);
	nl->fd = fd;
	nl->portid = sa.nl_pid;
	nl->seq = 1;
	return nl;
}

struct opening {
	int bus;
	struct nl *nl;
};

static int open_here(void *arg, struct err *e)
{
	struct opening *o = arg;

	o->nl = nl_open(o->bus, e);
	return o->nl ? 0 : -EIO;
}

struct nl *nl_open_in(int netns, int bus, struct err *e)
{
	struct opening o = { .bus = bus };

	return netns_do(netns, open_here, &o, e) ? NULL : o.nl;
}

void nl_close(struct nl *nl)
{
	if (!nl)
		return;
	close(nl->fd);
	free(nl);
}

int nl_fd(const struct nl *nl)
{
	return nl->fd;
}

uint32_t nl_portid(const struct nl *nl)
{
	return nl->portid;
}

/* ---- building */

void nl_batch_init(struct nl_batch *b)
{
	*b = (struct nl_batch){ 0 };
}

void nl_batch_fini(struct nl_batch *b)
{
	buf_fini(&b->b);
	nl_batch_init(b);
}

void nl_batch_clear(struct nl_batch *b)
{
	buf_clear(&b->b);
	b->n = 0;
	b->last = 0;
}

/* The buffer's end follows what libmnl wrote behind it. */
static void close_last(struct nl_batch *b)
{
	if (b->n)
		b->b.n = b->last + MNL_ALIGN(((struct nlmsghdr *)(b->b.v + b->last))->nlmsg_len);
}

struct nlmsghdr *nl_batch_add(struct nl_batch *b, uint16_t type, uint16_t flags, size_t extra)
{
	static const char room[NL_MSG_ROOM];
	struct nlmsghdr *nlh;

	close_last(b);
	b->last = b->b.n;
	buf_put(&b->b, room, sizeof(room));
	if (b->b.failed)
		return NULL;
	nlh = mnl_nlmsg_put_header(b->b.v + b->last);
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	mnl_nlmsg_put_extra_header(nlh, extra);
	b->n++;
	return nlh;
}

const struct nlmsghdr *nl_walk(const void *p, size_t n, size_t *off)
{
	const struct nlmsghdr *nlh = (const void *)((const char *)p + *off);
	size_t left = *off < n ? n - *off : 0;

	if (left < sizeof(*nlh) || nlh->nlmsg_len < sizeof(*nlh) || nlh->nlmsg_len > left)
		return NULL;
	*off += MNL_ALIGN(nlh->nlmsg_len);
	return nlh;
}

/* ---- answers */

/* Kernel's code and words in an NLMSG_ERROR or NLMSG_DONE; words may be "". */
static int answer_code(const struct nlmsghdr *nlh, const char **text)
{
	const struct nlmsgerr *er = mnl_nlmsg_get_payload(nlh);
	size_t head = sizeof(int);
	const struct nlattr *attr;

	*text = "";
	if (mnl_nlmsg_get_payload_len(nlh) < head)
		return nlh->nlmsg_type == NLMSG_DONE ? 0 : -EBADMSG;
	if (nlh->nlmsg_type == NLMSG_ERROR) {
		head = sizeof(*er);
		if (mnl_nlmsg_get_payload_len(nlh) < head)
			return -EBADMSG;
		if (!(nlh->nlmsg_flags & NLM_F_CAPPED))
			head += MNL_ALIGN(er->msg.nlmsg_len) - sizeof(er->msg);
	}
	if ((nlh->nlmsg_flags & NLM_F_ACK_TLVS) && head <= mnl_nlmsg_get_payload_len(nlh))
		mnl_attr_for_each(attr, nlh,
				  head) if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG &&
					    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >=
						    0) *text = mnl_attr_get_str(attr);
	return er->error;
}

static int set_answer(struct err *e, int code, const char *text)
{
	return *text ? err_set(e, code, "%s (%s)", text, strerror(-code))
		     : err_set(e, code, "%s", strerror(-code));
}

/* One datagram of the kernel's into nl->buf: its length, or -errno. */
static ssize_t receive(struct nl *nl, int flags)
{
	struct sockaddr_nl from = { 0 };
	struct iovec iov = { nl->buf, sizeof(nl->buf) };
	struct msghdr msg = { .msg_name = &from, .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	do {
		msg.msg_namelen = sizeof(from);
		n = recvmsg(nl->fd, &msg, flags);
	} while ((n < 0 && errno == EINTR) || (n >= 0 && from.nl_pid != 0));
	if (n < 0)
		return -errno;
	return msg.msg_flags & MSG_TRUNC ? -EMSGSIZE : n;
}

static int send_all(struct nl *nl, const void *p, size_t n, struct err *e)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	ssize_t put;

	do
		put = sendto(nl->fd, p, n, 0, (struct sockaddr *)&kernel, sizeof(kernel));
	while (put < 0 && errno == EINTR);
	return put < 0 ? err_sys(e, -errno, "netlink: send") : 0;
}

/* ---- batches */

struct chunk {
	size_t off, len; /* in the batch's buffer */
	unsigned first, n;
	uint32_t seq; /* of its first request */
};

/* At least one request, which is there. */
static void cut_chunk(struct nl *nl, struct nl_batch *b, struct chunk *c)
{
	struct nlmsghdr *nlh = (void *)(b->b.v + c->off), *last;

	c->n = 0;
	c->len = 0;
	c->seq = nl->seq;
	do {
		last = nlh;
		last->nlmsg_seq = nl->seq++;
		c->len += MNL_ALIGN(last->nlmsg_len);
		c->n++;
		nlh = (void *)(b->b.v + c->off + c->len);
	} while (c->off + c->len < b->b.n && c->n < CHUNK_MSGS &&
		 c->len + nlh->nlmsg_len <= CHUNK_BYTES);
	last->nlmsg_flags |= NLM_F_ACK;
}

struct results {
	nl_result_fn fn;
	void *arg;
	struct err *e;
	int rc; /* first negative answer where there is no fn */
};

static void result(struct results *r, unsigned i, int code, const char *text)
{
	if (r->fn)
		r->fn(r->arg, i, code, text);
	else if (code && !r->rc)
		r->rc = set_answer(r->e, code, text);
}

/* Requests up to `upto` said nothing: they went well. */
static unsigned report_silent(const struct chunk *c, unsigned done, unsigned upto,
			      struct results *r)
{
	while (done < upto)
		result(r, c->first + done++, 0, "");
	return done;
}

static int read_chunk(struct nl *nl, const struct chunk *c, struct results *r, struct err *e)
{
	unsigned done = 0;

	while (done < c->n) {
		ssize_t n = receive(nl, 0);
		const struct nlmsghdr *nlh;
		size_t off = 0;

		if (n < 0)
			return err_sys(e, n == -EAGAIN ? -ETIMEDOUT : (int)n, "netlink: receive");
		while ((nlh = nl_walk(nl->buf, (size_t)n, &off))) {
			unsigned i = nlh->nlmsg_seq - c->seq;
			const char *text;
			int code;

			if (nlh->nlmsg_type != NLMSG_ERROR || i >= c->n || i < done)
				continue;
			code = answer_code(nlh, &text);
			done = report_silent(c, done, i, r);
			result(r, c->first + done++, code, text);
		}
	}
	return 0;
}

int nl_batch_run(struct nl *nl, struct nl_batch *b, nl_result_fn fn, void *arg, struct err *e)
{
	struct results r = { fn, arg, e, 0 };
	struct chunk c = { 0 };
	int rc = 0;

	close_last(b);
	if (b->b.failed)
		rc = err_sys(e, -ENOMEM, "netlink: batch");
	while (!rc && c.off < b->b.n) {
		cut_chunk(nl, b, &c);
		rc = send_all(nl, b->b.v + c.off, c.len, e);
		if (!rc)
			rc = read_chunk(nl, &c, &r, e);
		c.off += c.len;
		c.first += c.n;
	}
	nl_batch_clear(b);
	return rc ? rc : r.rc;
}

/* ---- one request with an answer */

enum { TALK_MORE = 1, TALK_TORN = 2 };

/* Where the answer's messages go: behind `start` of `reply`, or to `fn`, or nowhere. */
struct sink {
	struct buf *reply;
	size_t start;
	nl_message_fn fn;
	void *arg;
	struct err *e;
	bool torn;
};

static int take_message(const struct nlmsghdr *nlh, const struct sink *to)
{
	if (to->fn)
		return to->fn(to->arg, nlh, to->e);
	if (to->reply) {
		buf_put(to->reply, nlh, nlh->nlmsg_len);
		buf_put(to->reply, "\0\0\0", MNL_ALIGN(nlh->nlmsg_len) - nlh->nlmsg_len);
	}
	return 0;
}

static int talk_message(const struct nlmsghdr *nlh, struct sink *to)
{
	const char *text;
	int code;

	if (nlh->nlmsg_flags & NLM_F_DUMP_INTR)
		to->torn = true;
	if (nlh->nlmsg_type == NLMSG_ERROR || nlh->nlmsg_type == NLMSG_DONE) {
		code = answer_code(nlh, &text);
		if (code)
			return set_answer(to->e, code, text);
		return to->torn ? TALK_TORN : 0;
	}
	code = nlh->nlmsg_type >= NLMSG_MIN_TYPE ? take_message(nlh, to) : 0;
	return code ? code : TALK_MORE;
}

/* Reads the whole answer. 0: done; TALK_TORN: begin anew; negative: the kernel's answer. */
static int talk_once(struct nl *nl, struct nlmsghdr *req, struct sink *to)
{
	int rc;

	to->torn = false;
	if (to->reply && !to->reply->failed)
		to->reply->n = to->start;
	req->nlmsg_seq = nl->seq++;
	rc = send_all(nl, req, req->nlmsg_len, to->e);
	if (!rc)
		rc = TALK_MORE;
	while (rc == TALK_MORE) {
		ssize_t n = receive(nl, 0);
		const struct nlmsghdr *nlh;
		size_t off = 0;

		if (n == -ENOBUFS && (req->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP) {
			to->torn = true;
			continue;
		}
		if (n < 0)
			return err_sys(to->e, n == -EAGAIN ? -ETIMEDOUT : (int)n,
				       "netlink: receive");
		while (rc == TALK_MORE && (nlh = nl_walk(nl->buf, (size_t)n, &off)))
			if (nlh->nlmsg_seq == req->nlmsg_seq)
				rc = talk_message(nlh, to);
	}
	return rc;
}

static int talk(struct nl *nl, struct nl_batch *b, struct sink *to)
{
	struct nlmsghdr *req;
	int rc = TALK_TORN;

	close_last(b);
	if (b->b.failed || b->n != 1) {
		nl_batch_clear(b);
		return err_sys(to->e, b->b.failed ? -ENOMEM : -EINVAL, "netlink: request");
	}
	req = (struct nlmsghdr *)b->b.v;
	if ((req->nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP)
		req->nlmsg_flags |= NLM_F_ACK;
	for (unsigned i = 0; i < DUMP_TRIES && rc == TALK_TORN; i++)
		rc = talk_once(nl, req, to);
	nl_batch_clear(b);
	if (rc == TALK_TORN)
		return err_set(to->e, -EAGAIN, "netlink: the dump was torn %d times", DUMP_TRIES);
	return rc;
}

int nl_talk(struct nl *nl, struct nl_batch *b, struct buf *reply, struct err *e)
{
	struct sink to = { .reply = reply, .start = reply ? reply->n : 0, .e = e };
	int rc = talk(nl, b, &to);

	if (!rc && reply && reply->failed)
		return err_sys(e, -ENOMEM, "netlink: dump");
	return rc;
}

int nl_dump(struct nl *nl, struct nl_batch *b, nl_message_fn fn, void *arg, struct err *e)
{
	struct sink to = { .fn = fn, .arg = arg, .e = e };

	return talk(nl, b, &to);
}

/* ---- multicast */

int nl_join(struct nl *nl, unsigned group, struct err *e)
{
	if (setsockopt(nl->fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
		return err_sys(e, -errno, "netlink: join group %u", group);
	return 0;
}

int nl_notices(struct nl *nl, nl_notice_fn fn, void *arg, bool *lost, struct err *e)
{
	for (unsigned i = 0; i < NOTICES_MAX; i++) {
		ssize_t n = receive(nl, MSG_DONTWAIT);
		const struct nlmsghdr *nlh;
		size_t off = 0;

		if (n == -EAGAIN)
			return 0;
		if (n == -ENOBUFS || n == -EMSGSIZE) {
			*lost = true;
			continue;
		}
		if (n < 0)
			return err_sys(e, (int)n, "netlink: notices");
		while ((nlh = nl_walk(nl->buf, (size_t)n, &off)))
			fn(arg, nlh);
	}
	return 0;
}
