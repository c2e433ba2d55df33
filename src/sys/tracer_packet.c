// SPDX-License-Identifier: Apache-2.0
/* tracer_packet: packets by AF_PACKET, where eBPF is not to be had; see tracer_state.h. One socket per
 * namespace, for all of its devices; a classic filter lets through what bears the signature, so that other
 * packets cost a walk through some thirty instructions and are not copied.
 *
 * A classic filter ends where it reads behind the packet. So it is a list of blocks, one per way in which the
 * signature can be wrapped, each of which first makes sure that the packet is of its kind. IPv4 options are not
 * expected, as nobody sends them. */
#include "sys/tracer_state.h"

#include "bpf/abi.h"
#include "sys/netns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FILTER_MAX 1024
#define AT_ONCE    64 /* of one namespace */

struct packet_eye {
	struct tracer_eye eye;
	int *sockets;
	uint32_t n;
	uint16_t vxlan_port;
	uint32_t lost;
};

static struct packet_eye *mine(struct tracer_eye *y)
{
	return (struct packet_eye *)y;
}

/* ---- the filter */

/* Guards of the block that is being written: they jump to its end. */
struct filter {
	const struct nft_trace_signature *s;
	struct sock_filter v[FILTER_MAX];
	uint16_t n;
	uint16_t guards[8], n_guards;
};

static void put(struct filter *f, uint16_t code, uint8_t jt, uint8_t jf, uint32_t k)
{
	f->v[f->n++] = (struct sock_filter){ code, jt, jf, k };
}

/* Of a packet whose `size` bytes there are not `k` the block is none. */
static void guard(struct filter *f, uint16_t size, unsigned at, uint32_t mask, uint32_t k)
{
	put(f, BPF_LD | BPF_ABS | size, 0, 0, at);
	if (mask)
		put(f, BPF_ALU | BPF_AND, 0, 0, mask);
	f->guards[f->n_guards++] = f->n;
	put(f, BPF_JMP | BPF_JEQ, 0, 0, k);
}

static void end_block(struct filter *f)
{
	for (uint16_t i = 0; i < f->n_guards; i++)
		f->v[f->guards[i]].jf = (uint8_t)(f->n - f->guards[i] - 1);
	f->n_guards = 0;
}

/* Takes the packet where the four bytes at `at` lie less than `n` behind `from`. */
static void take_near(struct filter *f, unsigned at, uint32_t from, uint32_t n)
{
	put(f, BPF_LD | BPF_ABS, 0, 0, at);
	put(f, BPF_ALU | BPF_SUB, 0, 0, from);
	put(f, BPF_JMP | BPF_JGE, 1, 0, n);
	put(f, BPF_RET, 0, 0, TRACE_BYTES);
}

static void take_signature(struct filter *f, unsigned l4)
{
	uint32_t low = (uint32_t)f->s->value;

	switch (f->s->proto) {
	case IPPROTO_TCP:
		take_near(f, l4 + 4, low, TRACE_SEQS);
		take_near(f, l4 + 8, low, TRACE_SEQS);
		break;
	case IPPROTO_SCTP:
		take_near(f, l4 + 4, low, 1);
		guard(f, BPF_B, l4 + 12, 0, 1);
		take_near(f, l4 + 16, low, 1);
		break;
	default:
		guard(f, BPF_W, l4 + 8, 0, (uint32_t)(f->s->value >> 32));
		take_near(f, l4 + 12, low, 1);
	}
}

static void guard_version(struct filter *f, unsigned at, bool v6)
{
	guard(f, BPF_B, at, v6 ? 0xf0 : 0, v6 ? 0x60 : 0x45);
}

static void guard_proto(struct filter *f, unsigned at, bool v6, uint8_t proto)
{
	guard(f, BPF_B, at + (v6 ? 6 : 9), 0, proto);
}

/* A tunnel's headers, or none. */
struct wrap {
	uint8_t proto; /* 0: none */
	bool v6;
};

/* One block. `quoted`: the signature stands in what an ICMP error quotes. */
static void put_block(struct filter *f, struct wrap w, bool v6, bool quoted, uint16_t vxlan_port)
{
	unsigned at = 0;

	if (w.proto) {
		guard_version(f, 0, w.v6);
		guard_proto(f, 0, w.v6, w.proto);
		at = w.v6 ? 40 : 20;
	}
	if (w.proto == IPPROTO_UDP) {
		guard(f, BPF_H, at + 2, 0, vxlan_port);
		at += 8 + 8 + ETH_HLEN;
	}
	guard_version(f, at, v6);
	guard_proto(f, at, v6, !quoted ? f->s->proto : v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
	at += v6 ? 40 : 20;
	if (quoted) {
		at += 8;
		guard_version(f, at, v6);
		guard_proto(f, at, v6, f->s->proto);
		at += v6 ? 40 : 20;
	}
	take_signature(f, at);
	end_block(f);
}

static void make_filter(struct filter *f, const struct nft_trace_signature *s, uint16_t vxlan_port)
{
	static const struct wrap wraps[] = {
		{ 0 },
		{ IPPROTO_UDP, false },
		{ IPPROTO_UDP, true },
		{ IPPROTO_IPIP, false },
		{ IPPROTO_IPIP, true },
		{ IPPROTO_IPV6, false },
		{ IPPROTO_IPV6, true },
	};

	f->s = s;
	f->n = f->n_guards = 0;
	for (size_t i = 0; i < sizeof(wraps) / sizeof(*wraps); i++)
		for (int v6 = 0; v6 < 2; v6++)
			for (int quoted = 0; quoted < 2; quoted++)
				if (!wraps[i].proto || wraps[i].proto == IPPROTO_UDP ||
				    (wraps[i].proto == IPPROTO_IPV6) == v6)
					put_block(f, wraps[i], v6, quoted, vxlan_port);
	put(f, BPF_RET, 0, 0, 0);
}

/* ---- opening */

/* The filter is there before the first packet is. */
static int open_socket(void *arg, struct err *e)
{
	struct filter *f = arg;
	struct sockaddr_ll all = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	struct sock_fprog prog = { f->n, f->v };
	int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, rc;

	if (fd < 0)
		return err_sys(e, -errno, "packet socket");
	if (!setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) &&
	    !setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)) &&
	    !bind(fd, (struct sockaddr *)&all, sizeof(all)))
		return fd;
	rc = err_sys(e, -errno, "packet socket");
	close(fd);
	return rc;
}

static int open_all(struct packet_eye *p, const struct tracer_opts *o, struct err *e)
{
	struct filter *f = malloc(sizeof(*f));
	int fd = 0;

	p->eye.fd = epoll_create1(EPOLL_CLOEXEC);
	p->sockets = calloc(o->n_spaces, sizeof(*p->sockets));
	if (!f || !p->sockets || p->eye.fd < 0) {
		fd = err_sys(e, p->eye.fd < 0 ? -errno : -ENOMEM, "packet sockets");
		free(f);
		return fd;
	}
	make_filter(f, &o->signature, p->vxlan_port);
	for (uint32_t i = 0; i < o->n_spaces && fd >= 0; i++) {
		struct epoll_event v = { .events = EPOLLIN };

		fd = netns_do(o->spaces[i].netns, open_socket, f, e);
		if (fd < 0)
			break;
		p->sockets[p->n++] = fd;
		if (epoll_ctl(p->eye.fd, EPOLL_CTL_ADD, fd, &v))
			fd = err_sys(e, -errno, "packet sockets");
	}
	free(f);
	return fd < 0 ? fd : 0;
}

/* ---- reading */

static uint64_t time_of(struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		struct timespec t;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
			continue;
		memcpy(&t, CMSG_DATA(c), sizeof(t));
		return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	}
	return 0;
}

/* The socket is of the device's namespace. */
static void name_device(int fd, uint32_t ifindex, char out[16])
{
	struct ifreq r = { .ifr_ifindex = (int)ifindex };

	if (!ioctl(fd, SIOCGIFNAME, &r))
		memcpy(out, r.ifr_name, 15);
}

/* 1: *out; 0: nothing more. */
static int receive(const struct packet_eye *p, uint32_t space, struct tracer_event *out,
		   struct err *e)
{
	uint8_t v[TRACE_BYTES], control[CMSG_SPACE(sizeof(struct timespec))];
	struct sockaddr_ll from = { 0 };
	struct iovec iov = { v, sizeof(v) };
	struct msghdr m = { .msg_name = &from,
			    .msg_namelen = sizeof(from),
			    .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(p->sockets[space], &m, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ENETDOWN))
		return 0; /* ENETDOWN: a device went, the socket goes on */
	if (n < 0)
		return err_sys(e, -errno, "packet socket");
	*out = (struct tracer_event){ .at = time_of(&m),
				      .kind = from.sll_pkttype == PACKET_OUTGOING ? TRACER_OUT
										  : TRACER_IN,
				      .space = space,
				      .ifindex = (uint32_t)from.sll_ifindex };
	name_device(p->sockets[space], out->ifindex, out->device);
	out->has_head = tracer_head_parse(v, (size_t)n, p->vxlan_port, &out->head);
	return 1;
}

static int read_sockets(struct tracer_eye *y, tracer_fn fn, void *arg, struct err *e)
{
	struct packet_eye *p = mine(y);
	struct tracer_event event;
	int n = 0, rc = 0;

	for (uint32_t i = 0; i < p->n && rc >= 0; i++)
		for (int k = 0; k < AT_ONCE; k++) {
			rc = receive(p, i, &event, e);
			if (rc <= 0)
				break;
			fn(arg, &event);
			n++;
		}
	return rc < 0 ? rc : n;
}

/* The kernel counts anew from each time that it was asked. */
static uint32_t lost(struct tracer_eye *y)
{
	struct packet_eye *p = mine(y);

	for (uint32_t i = 0; i < p->n; i++) {
		struct tpacket_stats s = { 0 };
		socklen_t n = sizeof(s);

		if (!getsockopt(p->sockets[i], SOL_PACKET, PACKET_STATISTICS, &s, &n))
			p->lost += s.tp_drops;
	}
	return p->lost;
}

static void close_sockets(struct tracer_eye *y)
{
	struct packet_eye *p = mine(y);

	for (uint32_t i = 0; i < p->n; i++)
		close(p->sockets[i]);
	if (p->eye.fd >= 0)
		close(p->eye.fd);
	free(p->sockets);
	free(p);
}

int tracer_packet_open(const struct tracer_opts *o, struct tracer_eye **out, struct err *e)
{
	struct packet_eye *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return err_sys(e, -ENOMEM, "packet sockets");
	p->eye = (struct tracer_eye){ read_sockets, lost, close_sockets, -1 };
	p->vxlan_port = o->vxlan_port ? o->vxlan_port : TRACER_VXLAN_PORT;
	rc = open_all(p, o, e);
	if (rc)
		close_sockets(&p->eye);
	else
		*out = &p->eye;
	return rc;
}
