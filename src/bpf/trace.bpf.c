// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* The kernel's side of sys/tracer: looks at each packet that a device meets, that is freed, or that nftables
 * tells of, and writes down those of one flow, with the routes that they were given.
 *
 * Others' packets pay for every instruction here, and most for being looked at at all: some 50 ns for each
 * program on their way. So there are few, and each first asks what is cheapest: is the namespace wanted (one
 * bit), was anything followed yet; then one read of 44 bytes says whether the packet is ours. A packet is
 * known by its bytes alone, also inside of a tunnel and in the quotation of an ICMP error. Its buffer's
 * address only says that it is the same one still: buffers are freed unseen and given to others, so an
 * address alone proves nothing.
 *
 * Several agents of one kernel that follow one signature share the programs, so that a packet meets each once:
 * they are its takers. A namespace is one taker's, who is told what happens there, in a ring of its own.
 *
 * Not seen: signatures behind IPv6 extension headers, or where a driver left the headers out of the
 * buffer's linear part. Programs run on all processors at once, and may interrupt each other. */
#include "bpf/abi.h"
#include "bpf/kernel.bpf.h"

#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

enum { AF_INET = 2, AF_INET6 = 10 };
enum { ICMP = 1, IPIP = 4, TCP = 6, UDP = 17, IPV6 = 41, ICMPV6 = 58, SCTP = 132 };
#define ETH_P_IP   bpf_htons(0x0800)
#define ETH_P_IPV6 bpf_htons(0x86dd)
#define LAYERS     3 /* tunnel, ICMP error, what it quotes */
#define FOLLOWED   1024

/* Which helpers a program may call depends on this word; the file is ours under either licence. */
char licence[] SEC("license") = "GPL";

const volatile struct trace_config config;

struct trace_shared shared;

/* Of each taker. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, TRACE_TAKERS_MAX);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_RINGBUF);
			__uint(max_entries, TRACE_RING);
		});
} rings SEC(".maps");

/* By the number of a namespace's inode. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TRACE_ALL_SPACES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct trace_space);
} spaces SEC(".maps");

/* By the cookie of the socket that hears of nftables' trace there. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TRACE_ALL_SPACES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct trace_space);
} listeners SEC(".maps");

/* A buffer on its way: whose it is, and where it was seen last. */
struct trail {
	__u64 packet, print; /* what tells the packet from the next in the same buffer */
	__u64 route;         /* that was told of, since it came in */
	struct trace_space at;
	__u32 ifindex;
	char device[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FOLLOWED);
	__type(key, __u64);
	__type(value, struct trail);
} followed SEC(".maps");

struct flow {
	__u8 src[16], dst[16];
	__u16 sport, dport;
	__u32 proto;
};

/* What the other end may send, without the signature. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TRACE_FLOWS_MAX);
	__type(key, struct flow);
	__type(value, __u8);
} flows SEC(".maps");

/* The buffer of the followed packet that this processor saw last, and may be working on. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} hands SEC(".maps");

/* ---- is it ours? */

/* One header with what follows it. */
struct layer {
	const __u8 *at, *l4;
	__u8 ip[48]; /* 44 are read: IPv4, and up to TCP's acknowledgement or eight bytes behind UDP */
	__u8 data[24]; /* from l4 on */
	__u8 proto;
};

struct found {
	struct flow flow; /* of the layer that is ours */
	__u64 print;
};

static __always_inline __u32 be32(const __u8 *p)
{
	return (__u32)p[0] << 24 | (__u32)p[1] << 16 | (__u32)p[2] << 8 | p[3];
}

static __always_inline __u64 word(const __u8 *p)
{
	return (__u64) * (const __u32 *)(p + 4) << 32 | *(const __u32 *)p; /* of a stack in 4s */
}

static __always_inline int read_layer(struct layer *l)
{
	if (bpf_probe_read_kernel(l->ip, 44, l->at))
		return 0;
	if (l->ip[0] == 0x45) {
		l->proto = l->ip[9];
		l->l4 = l->at + 20;
		__builtin_memcpy(l->data, l->ip + 20, 24);
		return (l->ip[6] & 0x1f) == 0 && l->ip[7] == 0; /* no later fragment */
	}
	if (l->ip[0] >> 4 == 4) {
		l->proto = l->ip[9];
		l->l4 = l->at + (l->ip[0] & 0xf) * 4;
	} else if (l->ip[0] >> 4 == 6) {
		l->proto = l->ip[6];
		l->l4 = l->at + 40;
	} else {
		return 0;
	}
	return !bpf_probe_read_kernel(l->data, sizeof(l->data), l->l4);
}

static __always_inline int is_icmp_error(const struct layer *l)
{
	__u8 type = l->data[0];

	if (type >= 32)
		return 0;
	return (l->proto == ICMP && (TRACE_ICMP4_ERRORS >> type & 1)) ||
	       (l->proto == ICMPV6 && (TRACE_ICMP6_ERRORS >> type & 1));
}

static __always_inline int is_vxlan(const struct layer *l)
{
	return l->proto == UDP && *(const __u16 *)(l->data + 2) == config.vxlan_port;
}

static __always_inline int is_tunnel(const struct layer *l)
{
	return is_vxlan(l) || l->proto == IPIP || l->proto == IPV6;
}

/* What is inside; NULL: no packet. */
static __always_inline const __u8 *next_layer(const struct layer *l)
{
	if (is_tunnel(l))
		return is_vxlan(l) ? l->l4 + 8 + 8 + 14 : l->l4;
	return is_icmp_error(l) ? l->l4 + 8 : 0;
}

/* In a DNS query with one question, which most packets are not: only of those more is read, and not beyond its end, where an earlier
 * packet's bytes may lie. */
static __always_inline int bears_cookie(const struct layer *l)
{
	__u32 length = (__u32)l->data[4] << 8 | l->data[5];
	__u64 value;

	return length >= config.number + sizeof(value) && l->data[10] == 1 && !l->data[11] &&
	       be32(l->data + 12) == 0x00010000 &&
	       !bpf_probe_read_kernel(&value, sizeof(value), l->l4 + config.number) &&
	       value == config.value;
}

static __always_inline int bears_signature(const struct layer *l)
{
	__u32 number = config.number;

	if (l->proto != config.proto)
		return 0;
	switch (l->proto) {
	case TCP:
		return be32(l->data + 4) - number < TRACE_SEQS ||
		       be32(l->data + 8) - number < TRACE_SEQS;
	case SCTP: /* the tag of a packet, or the one that INIT asks for */
		return be32(l->data + 4) == number ||
		       (l->data[12] == 1 && be32(l->data + 16) == number);
	case UDP:
		if (config.number)
			return bears_cookie(l);
		return word(l->data + 8) == config.value;
	default:
		return word(l->data + 8) == config.value;
	}
}

static __always_inline int has_ports(__u8 proto)
{
	return proto == TCP || proto == UDP || proto == SCTP;
}

static __always_inline void read_flow(const struct layer *l, struct flow *f)
{
	__builtin_memset(f, 0, sizeof(*f));
	f->proto = l->proto;
	if (l->ip[0] >> 4 == 4) {
		__builtin_memcpy(f->src, l->ip + 12, 4);
		__builtin_memcpy(f->dst, l->ip + 16, 4);
	} else {
		__builtin_memcpy(f->src, l->ip + 8, 16);
		__builtin_memcpy(f->dst, l->ip + 24, 16);
	}
	if (has_ports(l->proto)) {
		f->sport = *(const __u16 *)l->data;
		f->dport = *(const __u16 *)(l->data + 2);
	}
}

static __always_inline void learn_answer(const struct flow *f)
{
	struct flow back = { .sport = f->dport, .dport = f->sport, .proto = f->proto };
	__u8 one = 1;

	__builtin_memcpy(back.src, f->dst, 16);
	__builtin_memcpy(back.dst, f->src, 16);
	bpf_map_update_elem(&flows, &back, &one, BPF_NOEXIST);
}

/* What translation and forwarding leave as it is. */
static __always_inline __u64 print_of(const struct layer *l)
{
	return l->proto == TCP   ? word(l->data + 4) ^ (__u64)(l->data[13]) << 24
	       : l->proto == UDP ? word(l->data + 8)
				 : word(l->data);
}

/* Looks from the outermost header inwards. */
static __noinline int is_ours(const __u8 *at, struct found *f)
{
	struct layer l;

	for (int i = 0; i < LAYERS; i++) {
		l.at = at;
		if (!read_layer(&l))
			return 0;
		if (bears_signature(&l)) {
			read_flow(&l, &f->flow);
			f->print = print_of(&l);
			if (l.proto == UDP)
				learn_answer(&f->flow);
			return 1;
		}
		if (shared.packets && l.proto == UDP && config.proto == UDP) {
			read_flow(&l, &f->flow);
			f->print = print_of(&l);
			if (bpf_map_lookup_elem(&flows, &f->flow))
				return 1;
		}
		at = next_layer(&l);
		if (!at)
			return 0;
	}
	return 0;
}

/* ---- writing it down */

/* For the taker of that place; NULL: what it is told has an end, or it is late in reading. */
static __always_inline void *reserve(const struct trace_space *at, __u32 size)
{
	__u32 taker = at->taker;
	struct trace_told *told;
	void *ring, *e = 0;

	if (taker >= TRACE_TAKERS_MAX)
		return 0;
	told = &shared.told[taker];
	ring = bpf_map_lookup_elem(&rings, &taker);
	if (ring && __sync_fetch_and_add(&told->events, 1) < TRACE_EVENTS_MAX)
		e = bpf_ringbuf_reserve(ring, size, 0);
	if (!e)
		__sync_fetch_and_add(&told->lost, 1);
	return e;
}

static __always_inline void begin(struct trace_event *e, __u32 kind, const struct trace_space *at)
{
	__builtin_memset(e, 0, sizeof(*e));
	e->at = bpf_ktime_get_ns();
	e->kind = kind;
	e->cpu = bpf_get_smp_processor_id();
	e->space = at->space;
}

static __always_inline struct trace_event *begin_event(__u32 kind, const struct trace_space *at)
{
	struct trace_event *e = reserve(at, sizeof(*e));

	if (e)
		begin(e, kind, at);
	return e;
}

/* The kernel's memory behind the packet may end with it. */
static __always_inline void copy_packet(struct trace_event *e, const __u8 *at)
{
	e->n = TRACE_BYTES;
	if (!bpf_probe_read_kernel(e->bytes, TRACE_BYTES, at))
		return;
	e->n = 44;
	bpf_probe_read_kernel(e->bytes, 44, at);
}

static __always_inline const __u8 *network_header(const struct sk_buff *skb)
{
	return skb->head + skb->network_header;
}

static __always_inline int is_ip(const struct sk_buff *skb)
{
	return skb->protocol == ETH_P_IP || skb->protocol == ETH_P_IPV6;
}

static __always_inline int may_be_wanted(__u32 inum)
{
	__u32 bit = inum % TRACE_INUM_BITS;

	return shared.inums[bit / 64] >> (bit % 64) & 1;
}

/* Its number does not change on the way; a buffer that was given to another packet gets another one. */
static __always_inline struct trail *follow(struct sk_buff *skb, __u64 print)
{
	static const struct trail empty;
	__u64 key = (__u64)skb;
	struct trail *t = bpf_map_lookup_elem(&followed, &key);

	if (!t) {
		bpf_map_update_elem(&followed, &key, &empty, BPF_ANY);
		t = bpf_map_lookup_elem(&followed, &key);
	}
	if (t && (!t->packet || t->print != print)) {
		t->packet = __sync_fetch_and_add(&shared.packets, 1) + 1;
		t->print = print;
	}
	return t;
}

static __always_inline void take_in_hand(struct sk_buff *skb)
{
	__u32 zero = 0;
	__u64 *hand = bpf_map_lookup_elem(&hands, &zero);

	if (hand)
		*hand = (__u64)skb;
}

/* It went to a namespace that is nobody's of ours: what becomes of it there is not told, also where that is
 * asked of its address alone. */
static __always_inline void let_go(struct sk_buff *skb)
{
	__u64 key = (__u64)skb;
	__u32 zero = 0;
	__u64 *hand = bpf_map_lookup_elem(&hands, &zero);

	bpf_map_delete_elem(&followed, &key);
	if (hand && *hand == key)
		*hand = 0;
}

/* ---- routes */

#define DST_NOREF    1ul        /* in the pointer */
#define DST_NO_ROUTE 0x0090     /* what bridges and tunnels leave there */
#define LOCAL        (1u << 31) /* RTCF_LOCAL, RTF_LOCAL: its device is lo, not the address's */
#define RTF_GATEWAY  0x0002

static __always_inline void put_way4(struct trace_route *r, const struct rtable *rt)
{
	if (!(BPF_CORE_READ(rt, rt_flags) & LOCAL))
		r->oif = BPF_CORE_READ(rt, dst.dev, ifindex);
	r->gateway_family = BPF_CORE_READ(rt, rt_gw_family);
	if (r->gateway_family)
		bpf_core_read(r->gateway, 16, &rt->rt_gw6);
}

static __always_inline void put_way6(struct trace_route *r, const struct rt6_info *rt)
{
	__u32 flags = BPF_CORE_READ(rt, rt6i_flags);

	if (!(flags & LOCAL))
		r->oif = BPF_CORE_READ(rt, dst.dev, ifindex);
	if (!(flags & RTF_GATEWAY))
		return;
	r->gateway_family = AF_INET6;
	bpf_core_read(r->gateway, 16, &rt->rt6i_gateway);
}

static __always_inline void put_question(struct trace_route *r, const struct layer *l)
{
	struct flow f;

	read_flow(l, &f);
	r->family = l->ip[0] >> 4 == 4 ? AF_INET : AF_INET6;
	r->proto = f.proto;
	__builtin_memcpy(r->src, f.src, 16);
	__builtin_memcpy(r->dst, f.dst, 16);
	r->sport = f.sport;
	r->dport = f.dport;
}

/* The route that a packet was given goes with it: tells of it once, where the packet is met next, so that nobody's
 * lookups cost anything. Most devices want none and see none: where it is forwarded, nftables' chains show it. Not
 * of what this machine sends itself, nor of a tunnel's own packets. */
static __noinline int tell_route(const struct sk_buff *skb, struct trail *t)
{
	const struct dst_entry *dst = (void *)(BPF_CORE_READ(skb, _skb_refdst) & ~DST_NOREF);
	struct trace_event *e;
	struct layer l;
	short error;

	if (!dst || (__u64)dst == t->route || !BPF_CORE_READ(skb, skb_iif) ||
	    BPF_CORE_READ(dst, flags) & DST_NO_ROUTE)
		return 0;
	t->route = (__u64)dst;
	l.at = BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, network_header);
	e = read_layer(&l) && !is_tunnel(&l) ? begin_event(TRACE_ROUTE, &t->at) : 0;
	if (!e)
		return 0;
	e->packet = t->packet;
	put_question(&e->route, &l);
	e->route.iif = BPF_CORE_READ(skb, skb_iif);
	e->route.mark = BPF_CORE_READ(skb, mark);
	error = BPF_CORE_READ(dst, error);
	e->route.error = error > 0 ? -error : error;
	if (!error && e->route.family == AF_INET)
		put_way4(&e->route, (const struct rtable *)dst);
	else if (!error)
		put_way6(&e->route, (const struct rt6_info *)dst);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

/* ---- devices */

/* What nobody here sends came in here, and was looked at then. */
static __always_inline int is_passing(const struct sk_buff *skb, __u32 kind)
{
	return kind == TRACE_OUT && !shared.packets && !skb->sk;
}

static __always_inline int on_device(struct sk_buff *skb, const __u8 *at, __u32 kind)
{
	const struct net_device *dev = skb->dev;
	__u32 inum = dev->nd_net.net->ns.inum;
	const struct trace_space *space;
	struct trace_event *e;
	struct found f;
	struct trail *t;

	if (!may_be_wanted(inum)) {
		if (shared.packets)
			let_go(skb);
		return 0;
	}
	if (is_passing(skb, kind) || !is_ip(skb) || !is_ours(at, &f))
		return 0;
	space = bpf_map_lookup_elem(&spaces, &inum);
	t = space ? follow(skb, f.print) : 0;
	if (!t) {
		let_go(skb);
		return 0;
	}
	t->at = *space;
	t->ifindex = dev->ifindex;
	bpf_probe_read_kernel(t->device, sizeof(t->device), dev->name);
	take_in_hand(skb);
	if (kind == TRACE_IN)
		t->route = 0;
	else
		tell_route(skb, t);
	e = begin_event(kind, &t->at);
	if (!e)
		return 0;
	e->packet = t->packet;
	e->ifindex = t->ifindex;
	e->mark = skb->mark;
	__builtin_memcpy(e->device, t->device, sizeof(e->device));
	copy_packet(e, at);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tp_btf/netif_receive_skb")
int BPF_PROG(trace_in, struct sk_buff *skb)
{
	return on_device(skb, skb->data, TRACE_IN);
}

SEC("tp_btf/net_dev_queue")
int BPF_PROG(trace_out, struct sk_buff *skb)
{
	return on_device(skb, network_header(skb), TRACE_OUT);
}

/* ---- where it ends */

/* Of a packet that no device has seen yet, or the last one is not known of. */
static __always_inline __u32 inum_of(struct sk_buff *skb)
{
	const struct sock *sk = skb->sk;
	const struct net_device *dev = skb->dev;

	if (sk)
		return sk->__sk_common.skc_net.net->ns.inum;
	return dev ? dev->nd_net.net->ns.inum : 0;
}

static __always_inline int on_end(struct sk_buff *skb, __u32 kind, const void *place, __u32 reason)
{
	const __u8 *at = network_header(skb);
	const struct trace_space *space = 0;
	__u32 inum = 0;
	__u64 key = (__u64)skb;
	struct trace_event *e;
	struct trail *t;
	struct found f;

	if (!is_ours(at, &f))
		return 0;
	t = bpf_map_lookup_elem(&followed, &key);
	if (t && t->print != f.print)
		t = 0;
	if (t) {
		space = &t->at;
	} else if (kind == TRACE_DROP) {
		inum = inum_of(skb);
		space = bpf_map_lookup_elem(&spaces, &inum);
	}
	if (t)
		tell_route(skb, t);
	e = space ? begin_event(kind, space) : 0;
	if (!e)
		return 0;
	e->reason = reason;
	e->mark = skb->mark;
	if (t) {
		e->packet = t->packet;
		e->ifindex = t->ifindex;
		__builtin_memcpy(e->device, t->device, sizeof(e->device));
	}
	if (place)
		BPF_SNPRINTF(e->place, sizeof(e->place), "%pS", place);
	copy_packet(e, at);
	bpf_ringbuf_submit(e, 0);
	bpf_map_delete_elem(&followed, &key);
	return 0;
}

/* The context is read by hand, as not every kernel gives all of it. */
SEC("tp_btf/kfree_skb")
int trace_drop(__u64 *ctx)
{
	struct sk_buff *skb = (struct sk_buff *)ctx[0];

	if (!is_ip(skb))
		return 0;
	return on_end(skb, TRACE_DROP, (const void *)ctx[1], (__u32)ctx[2]);
}

SEC("tp_btf/consume_skb")
int trace_consume(__u64 *ctx)
{
	struct sk_buff *skb = (struct sk_buff *)ctx[0];
	const void *place = 0;

	if (!shared.packets || !is_ip(skb))
		return 0;
	if (config.consume_has_place)
		place = (const void *)ctx[1];
	return on_end(skb, TRACE_CONSUME, place, 0);
}

/* ---- nftables */

/* The packet that meets rules has its route by now, if it is the one in hand still. */
static __always_inline void tell_route_in_hand(void)
{
	__u32 zero = 0;
	__u64 *hand = bpf_map_lookup_elem(&hands, &zero);
	const struct sk_buff *skb;
	struct trail *t;
	struct found f;

	if (!hand || !*hand)
		return;
	skb = (const struct sk_buff *)*hand;
	t = bpf_map_lookup_elem(&followed, hand);
	if (t && is_ours(BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, network_header), &f))
		tell_route(skb, t);
}

/* A filter on the socket that listens to nftables' trace: it runs where the kernel writes the message, so
 * that the time is the event's and its place among the others right. What is in the ring need not be in
 * the socket too. */
SEC("socket")
int trace_rule(struct __sk_buff *message)
{
	__u64 cookie = bpf_get_socket_cookie(message);
	const struct trace_space *at = bpf_map_lookup_elem(&listeners, &cookie);
	struct trace_rule_event *e;
	__u32 n = message->len;

	tell_route_in_hand();
	if (!at || !n || n > TRACE_RULE_BYTES)
		return n;
	e = reserve(at, sizeof(*e));
	if (!e)
		return 0;
	begin(&e->head, TRACE_RULE, at);
	e->head.n = n;
	/* Older verifiers do not see that n lies in between, and the compiler must not see that it does. */
	asm volatile("" : "+r"(n));
	n = ((n - 1) & (TRACE_RULE_BYTES - 1)) + 1;
	if (bpf_skb_load_bytes(message, 0, e->message, n)) {
		bpf_ringbuf_discard(e, 0);
		return n;
	}
	bpf_ringbuf_submit(e, 0);
	return 0;
}
