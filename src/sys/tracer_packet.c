// SPDX-License-Identifier: Apache-2.0
/* tracer_packet: packets by AF_PACKET, where eBPF is not to be had; see tracer_state.h. One socket per
 * namespace, for all of its devices; a classic filter lets through what bears the signature, so that other
 * packets cost a walk through some ten instructions and are not copied.
 *
 * A classic filter ends where it reads behind the packet. So it is a tree, which reads what must be there: version,
 * protocol, then what that protocol may bear, and which has an end for each. IPv4 options are not expected, as nobody
 * sends them.
 *
 * What a filter lets through comes in a ring (packet_mmap.rst): there it is given the time when it is put in, while
 * a socket that asks for times has the kernel take the time of every packet on the machine. */
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
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define FILTER_MAX 1024
#define AT_ONCE    64 /* of one namespace */
#define FRAME      512
#define FRAMES     128
#define BLOCK      4096 /* what the kernel takes in one piece */

_Static_assert(TPACKET2_HDRLEN + 32 + TRACE_BYTES <= FRAME, "a packet fits");

/* Of one namespace. */
struct tap {
	int fd;
	uint8_t *ring;
	uint32_t next; /* frame that is filled next */
};

struct packet_eye {
	struct tracer_eye eye;
	struct tap *taps;
	uint32_t n;
	uint16_t vxlan_port;
	uint32_t lost;
};

static struct packet_eye *mine(struct tracer_eye *y)
{
	return (struct packet_eye *)y;
}

/* ---- the filter */

struct filter {
	const struct nft_trace_signature *s;
	uint16_t vxlan_port;
	struct sock_filter v[FILTER_MAX];
	uint16_t n;
};

static void put(struct filter *f, uint16_t code, uint8_t jt, uint8_t jf, uint32_t k)
{
	f->v[f->n++] = (struct sock_filter){ code, jt, jf, k };
}

/* Where the `size` bytes there are not `k` it goes on where else_here() says. */
static uint16_t if_is(struct filter *f, uint16_t size, unsigned at, uint32_t mask, uint32_t k)
{
	put(f, BPF_LD | BPF_ABS | size, 0, 0, at);
	if (mask)
		put(f, BPF_ALU | BPF_AND, 0, 0, mask);
	put(f, BPF_JMP | BPF_JEQ, 1, 0, k);
	put(f, BPF_JMP | BPF_JA, 0, 0, 0); /* as the other jumps reach no further than 255 */
	return f->n - 1;
}

static void else_here(struct filter *f, uint16_t from)
{
	f->v[from].k = f->n - from - 1u;
}

static void refuse(struct filter *f)
{
	put(f, BPF_RET, 0, 0, 0);
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
	unsigned at = l4 + (f->s->at ? f->s->at : 8u);
	uint16_t other;

	switch (f->s->proto) {
	case IPPROTO_TCP:
		take_near(f, l4 + 4, low, TRACE_SEQS);
		take_near(f, l4 + 8, low, TRACE_SEQS);
		break;
	case IPPROTO_SCTP:
		take_near(f, l4 + 4, low, 1);
		other = if_is(f, BPF_B, l4 + 12, 0, 1);
		take_near(f, l4 + 16, low, 1);
		else_here(f, other);
		break;
	default:
		other = if_is(f, BPF_W, at, 0, (uint32_t)(f->s->value >> 32));
		take_near(f, at + 4, low, 1);
		else_here(f, other);
	}
}

static uint16_t if_version(struct filter *f, unsigned at, bool v6)
{
	return if_is(f, BPF_B, at, v6 ? 0xf0 : 0, v6 ? 0x60 : 0x45);
}

static uint16_t if_proto(struct filter *f, unsigned at, bool v6, uint8_t proto)
{
	return if_is(f, BPF_B, at + (v6 ? 6 : 9), 0, proto);
}

static unsigned behind_ip(unsigned at, bool v6)
{
	return at + (v6 ? 40 : 20);
}

/* What an error of ICMP quotes. */
static void take_quoted(struct filter *f, unsigned at, bool v6)
{
	uint16_t version = if_version(f, at, v6), proto = if_proto(f, at, v6, f->s->proto);

	take_signature(f, behind_ip(at, v6));
	else_here(f, version);
	else_here(f, proto);
	refuse(f);
}

/* A packet in no tunnel, or in one; its header is of that version. Falls through where it is none of those. */
static void take_plain(struct filter *f, unsigned at, bool v6)
{
	unsigned l4 = behind_ip(at, v6);
	uint16_t other = if_proto(f, at, v6, f->s->proto);

	take_signature(f, l4);
	if (f->s->proto == IPPROTO_TCP || f->s->proto == IPPROTO_SCTP)
		refuse(f);
	else_here(f, other);
	other = if_proto(f, at, v6, v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
	take_quoted(f, l4 + 8, v6);
	else_here(f, other);
}

static void take_inner(struct filter *f, unsigned at)
{
	for (int v6 = 0; v6 < 2; v6++) {
		uint16_t other = if_version(f, at, v6);

		take_plain(f, at, v6);
		refuse(f);
		else_here(f, other);
	}
	refuse(f);
}

static void make_filter(struct filter *f)
{
	static const uint8_t ips[] = { IPPROTO_IPIP, IPPROTO_IPV6 };

	f->n = 0;
	for (int v6 = 0; v6 < 2; v6++) {
		unsigned l4 = behind_ip(0, v6);
		uint16_t version = if_version(f, 0, v6), other, port;

		take_plain(f, 0, v6);
		other = if_proto(f, 0, v6, IPPROTO_UDP);
		port = if_is(f, BPF_H, l4 + 2, 0, f->vxlan_port);
		take_inner(f, l4 + 8 + 8 + ETH_HLEN);
		else_here(f, other);
		else_here(f, port);
		for (size_t i = 0; i < sizeof(ips); i++) {
			other = if_proto(f, 0, v6, ips[i]);
			take_inner(f, l4);
			else_here(f, other);
		}
		refuse(f);
		else_here(f, version);
	}
	refuse(f);
}

/* ---- opening */

/* Filter and ring are there before the first packet is. */
static int open_socket(void *arg, struct err *e)
{
	struct filter *f = arg;
	struct sockaddr_ll all = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	struct sock_fprog prog = { f->n, f->v };
	struct tpacket_req ring = { BLOCK, FRAMES * FRAME / BLOCK, FRAME, FRAMES };
	int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), v2 = TPACKET_V2;
	int rc;

	if (fd < 0)
		return err_sys(e, -errno, "packet socket");
	if (!setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) &&
	    !setsockopt(fd, SOL_PACKET, PACKET_VERSION, &v2, sizeof(v2)) &&
	    !setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof(ring)) &&
	    !bind(fd, (struct sockaddr *)&all, sizeof(all)))
		return fd;
	rc = err_sys(e, -errno, "packet socket");
	close(fd);
	return rc;
}

static int open_tap(int netns, struct filter *f, struct tap *out, struct err *e)
{
	int fd = netns_do(netns, open_socket, f, e), rc;
	void *p;

	if (fd < 0)
		return fd;
	p = mmap(NULL, FRAMES * FRAME, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		rc = err_sys(e, -errno, "packet socket");
		close(fd);
		return rc;
	}
	*out = (struct tap){ .fd = fd, .ring = p };
	return 0;
}

static int open_taps(struct packet_eye *p, const struct tracer_opts *o, struct filter *f,
		     struct err *e)
{
	struct epoll_event v = { .events = EPOLLIN };
	int rc;

	for (; p->n < o->n_spaces; p->n++) {
		struct tap *t = &p->taps[p->n];

		rc = open_tap(o->spaces[p->n].netns, f, t, e);
		if (rc)
			return rc;
		if (!epoll_ctl(p->eye.fd, EPOLL_CTL_ADD, t->fd, &v))
			continue;
		p->n++; /* is to be closed */
		return err_sys(e, -errno, "packet sockets");
	}
	return 0;
}

static int open_all(struct packet_eye *p, const struct tracer_opts *o, struct err *e)
{
	struct filter *f = malloc(sizeof(*f));
	int rc;

	p->eye.fd = epoll_create1(EPOLL_CLOEXEC);
	p->taps = calloc(o->n_spaces, sizeof(*p->taps));
	if (!f || !p->taps || p->eye.fd < 0) {
		rc = err_sys(e, p->eye.fd < 0 ? -errno : -ENOMEM, "packet sockets");
	} else {
		f->s = &o->signature;
		f->vxlan_port = p->vxlan_port;
		make_filter(f);
		rc = open_taps(p, o, f, e);
	}
	free(f);
	return rc;
}

/* ---- reading */

/* The socket is of the device's namespace. */
static void name_device(int fd, uint32_t ifindex, char out[16])
{
	struct ifreq r = { .ifr_ifindex = (int)ifindex };

	if (!ioctl(fd, SIOCGIFNAME, &r))
		memcpy(out, r.ifr_name, 15);
}

static void take_frame(const struct packet_eye *p, uint32_t space, const uint8_t *frame,
		       struct tracer_event *out)
{
	const struct tpacket2_hdr *h = (const struct tpacket2_hdr *)frame;
	const struct sockaddr_ll *from =
		(const struct sockaddr_ll *)(frame + TPACKET_ALIGN(sizeof(*h)));

	*out = (struct tracer_event){ .at = h->tp_sec * 1000000000ull + h->tp_nsec,
				      .kind = from->sll_pkttype == PACKET_OUTGOING ? TRACER_OUT
										   : TRACER_IN,
				      .space = space,
				      .ifindex = (uint32_t)from->sll_ifindex };
	name_device(p->taps[space].fd, out->ifindex, out->device);
	out->has_head =
		tracer_head_parse(frame + h->tp_net, h->tp_snaplen, p->vxlan_port, &out->head);
}

/* False: nothing more. */
static bool receive(struct packet_eye *p, uint32_t space, struct tracer_event *out)
{
	struct tap *t = &p->taps[space];
	uint8_t *frame = t->ring + (size_t)t->next * FRAME;
	uint32_t *status = &((struct tpacket2_hdr *)frame)->tp_status;

	if (!(__atomic_load_n(status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
		return false;
	take_frame(p, space, frame, out);
	__atomic_store_n(status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
	t->next = (t->next + 1) % FRAMES;
	return true;
}

static int read_sockets(struct tracer_eye *y, tracer_fn fn, void *arg, struct err *e)
{
	struct packet_eye *p = mine(y);
	struct tracer_event event;
	int n = 0;

	for (uint32_t i = 0; i < p->n; i++)
		for (int k = 0; k < AT_ONCE && receive(p, i, &event); k++, n++)
			fn(arg, &event);
	return n;
}

/* The kernel counts anew from each time that it was asked. */
static uint32_t lost(struct tracer_eye *y)
{
	struct packet_eye *p = mine(y);

	for (uint32_t i = 0; i < p->n; i++) {
		struct tpacket_stats s = { 0 };
		socklen_t n = sizeof(s);

		if (!getsockopt(p->taps[i].fd, SOL_PACKET, PACKET_STATISTICS, &s, &n))
			p->lost += s.tp_drops;
	}
	return p->lost;
}

static void close_sockets(struct tracer_eye *y)
{
	struct packet_eye *p = mine(y);

	for (uint32_t i = 0; i < p->n; i++) {
		munmap(p->taps[i].ring, FRAMES * FRAME);
		close(p->taps[i].fd);
	}
	if (p->eye.fd >= 0)
		close(p->eye.fd);
	free(p->taps);
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
