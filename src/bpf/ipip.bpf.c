// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* IP-in-IP (RFC 2003) where the kernel has no ipip driver: classifiers on two devices. tunl0 is an ifb, which
 * drops whatever reaches it, so nothing leaves in clear while no program is there.
 *
 *   ipip_send     on what is sent by tunl0: puts a header around it and hands it to the uplink. The other
 *                 end is the next hop of the packet's route, as with the driver.
 *   ipip_receive  on what the uplink receives: takes the header off what other nodes sent to this one, and lets
 *                 the rest come in by tunl0, so that routes and rules see the device that the driver would have.
 *                 With the driver, it only keeps everybody but nodes away.
 *
 * As the driver's the outer header has the inner one's ECN (RFC 6040). It always forbids fragments: the
 * receiver puts none together (that is the stack's, which comes later). A router that finds the packet too long says so to this
 * node; the error quotes our header and enough of what is in it, so it is turned into one about that
 * and goes to its sender (RFC 2003, 4.1), with nothing kept for it. Segmentation is left to whoever
 * sends at last: an aggregate stays one (BPF_F_ADJ_ROOM_FIXED_GSO; without it the kernel refuses those of UDP).
 *
 * A packet that comes in anew at another device must name that one's MAC, or it counts as others'. */
#include "bpf/abi.h"

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

enum { AF_INET = 2, ICMP = 1, IPIP = 4, DONT_FRAGMENT = 0x4000, FRAGMENT = 0x3fff, HOPS = 64 };
enum { ECN = 3, ECN_ECT0 = 2, ECN_CE = 3, UNREACHABLE = 3, TOO_LONG = 4 };

struct icmp {
	__u8 type, code;
	__sum16 sum;
	__be16 unused, mtu;
};

/* What an error about a packet of the tunnel consists of, behind its own IP header. */
struct quotation {
	struct icmp icmp;
	struct iphdr outer, inner;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ipip_conf);
} conf SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, IPIP_NODES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __be32);
	__type(value, __u8);
} nodes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, IPIP_COUNTERS);
	__type(key, __u32);
	__type(value, struct ipip_count);
} counts SEC(".maps");

static __always_inline void count(const struct __sk_buff *skb, __u32 what)
{
	struct ipip_count *c = bpf_map_lookup_elem(&counts, &what);

	if (!c)
		return;
	c->packets += skb->gso_segs > 1 ? skb->gso_segs : 1;
	c->bytes += skb->len - ETH_HLEN;
}

static __always_inline int drop(const struct __sk_buff *skb, __u32 why)
{
	count(skb, why);
	return TC_ACT_SHOT;
}

static __always_inline const struct ipip_conf *my_conf(void)
{
	__u32 first = 0;

	return bpf_map_lookup_elem(&conf, &first);
}

static __always_inline void sum_header(struct iphdr *ip)
{
	__u32 sum;

	ip->check = 0;
	sum = bpf_csum_diff(0, 0, (__be32 *)ip, sizeof(*ip), 0);
	sum = (sum & 0xffff) + (sum >> 16);
	ip->check = ~((sum & 0xffff) + (sum >> 16));
}

/* The route's next hop; 0: no route leads from here into the tunnel. */
static __always_inline __be32 other_end(struct __sk_buff *skb, const struct iphdr *ip)
{
	struct bpf_fib_lookup fib = { .family = AF_INET, .ifindex = skb->ifindex };
	long rc;

	fib.ipv4_src = ip->saddr;
	fib.ipv4_dst = ip->daddr;
	rc = bpf_fib_lookup(skb, &fib, sizeof(fib), BPF_FIB_LOOKUP_OUTPUT);
	if (rc != BPF_FIB_LKUP_RET_SUCCESS && rc != BPF_FIB_LKUP_RET_NO_NEIGH &&
	    rc != BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return 0;
	return fib.ipv4_dst == ip->daddr ? 0 : fib.ipv4_dst;
}

SEC("tc")
int ipip_send(struct __sk_buff *skb)
{
	const struct ipip_conf *c = my_conf();
	struct iphdr outer = {}, inner;
	__u32 len = skb->len - ETH_HLEN + sizeof(outer);

	if (!c || skb->protocol != bpf_htons(ETH_P_IP) ||
	    bpf_skb_load_bytes(skb, ETH_HLEN, &inner, sizeof(inner)))
		return drop(skb, IPIP_MALFORMED);
	outer.version = 4;
	outer.ihl = 5;
	outer.ttl = HOPS;
	outer.protocol = IPIP;
	outer.saddr = c->node;
	outer.daddr = other_end(skb, &inner);
	if (!outer.daddr)
		return drop(skb, IPIP_NO_ROUTE);
	outer.tos = (inner.tos & ECN) == ECN_CE ? ECN_ECT0 : inner.tos & ECN;
	outer.frag_off = bpf_htons(DONT_FRAGMENT);
	outer.tot_len =
		len > 0xffff ? 0 : bpf_htons(len); /* of an aggregate, set anew per segment */
	sum_header(&outer);
	if (bpf_skb_adjust_room(skb, sizeof(outer), BPF_ADJ_ROOM_MAC,
				BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_FIXED_GSO) ||
	    bpf_skb_store_bytes(skb, ETH_HLEN, &outer, sizeof(outer), BPF_F_INVALIDATE_HASH))
		return drop(skb, IPIP_MALFORMED);
	count(skb, IPIP_SENT);
	return bpf_redirect_neigh(c->uplink, 0, 0, 0);
}

/* `ip` is in place: what follows it is a packet of this node's own, for tunl0 to receive. */
static __always_inline int come_in(struct __sk_buff *skb, const struct ipip_conf *c)
{
	if (bpf_skb_store_bytes(skb, 0, c->mac, ETH_ALEN, 0))
		return drop(skb, IPIP_MALFORMED);
	return bpf_redirect(c->tunnel, BPF_F_INGRESS);
}

static __always_inline int unwrap(struct __sk_buff *skb, const struct iphdr *outer,
				  const struct ipip_conf *c)
{
	__u32 room = outer->ihl * 4;
	struct iphdr inner;

	if (bpf_skb_load_bytes(skb, ETH_HLEN + room, &inner, sizeof(inner)) || inner.version != 4 ||
	    ((outer->tos & ECN) == ECN_CE && !(inner.tos & ECN)))
		return drop(skb, IPIP_MALFORMED);
	if (bpf_skb_adjust_room(skb, -(__s32)room, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO))
		return drop(skb, IPIP_MALFORMED);
	if ((outer->tos & ECN) == ECN_CE)
		bpf_skb_ecn_set_ce(skb);
	count(skb, IPIP_RECEIVED);
	return come_in(skb, c);
}

/* The quotation's outer header goes: of 20 bytes 12 are cut out, and in the other 8 there is the ICMP header anew. The
 * checksum is the old one less what went; who sent a false one gets it back. */
static __always_inline int relay_error(struct __sk_buff *skb, struct iphdr *ip, struct quotation *q,
				       const struct ipip_conf *c)
{
	struct icmp was = q->icmp;
	__s64 sum = ~was.sum & 0xffff;

	q->icmp.mtu = bpf_htons(bpf_ntohs(was.mtu) - sizeof(struct iphdr));
	sum = bpf_csum_diff((__be32 *)&was, sizeof(was), (__be32 *)&q->icmp, sizeof(was), sum);
	sum = bpf_csum_diff((__be32 *)&q->outer, sizeof(q->outer), 0, 0, sum);
	sum = (sum & 0xffff) + (sum >> 16);
	q->icmp.sum = ~((sum & 0xffff) + (sum >> 16));
	ip->tot_len = bpf_htons(bpf_ntohs(ip->tot_len) - sizeof(struct iphdr));
	ip->daddr = q->inner.saddr;
	sum_header(ip);
	if (bpf_skb_adjust_room(skb, -(__s32)sizeof(struct iphdr), BPF_ADJ_ROOM_NET, 0) ||
	    bpf_skb_store_bytes(skb, ETH_HLEN, ip, sizeof(*ip), 0) ||
	    bpf_skb_store_bytes(skb, ETH_HLEN + sizeof(*ip), &q->icmp, sizeof(q->icmp), 0))
		return drop(skb, IPIP_MALFORMED);
	count(skb, IPIP_TOO_LONG);
	return come_in(skb, c);
}

static __always_inline int is_about_tunnel(const struct quotation *q, const struct ipip_conf *c)
{
	return q->icmp.type == UNREACHABLE && q->icmp.code == TOO_LONG && q->outer.ihl == 5 &&
	       q->outer.protocol == IPIP && q->outer.saddr == c->node && q->inner.version == 4 &&
	       bpf_ntohs(q->icmp.mtu) >= IPIP_MTU_MIN &&
	       bpf_map_lookup_elem(&nodes, &q->outer.daddr);
}

SEC("tc")
int ipip_receive(struct __sk_buff *skb)
{
	const struct ipip_conf *c = my_conf();
	struct quotation q;
	struct iphdr ip;

	if (!c || skb->pkt_type || skb->vlan_present ||
	    bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) || ip.daddr != c->node || ip.ihl < 5)
		return TC_ACT_UNSPEC;
	if (ip.protocol == ICMP && !c->driver && ip.ihl == 5 &&
	    !(ip.frag_off & bpf_htons(FRAGMENT)) &&
	    !bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(ip), &q, sizeof(q)) &&
	    is_about_tunnel(&q, c))
		return relay_error(skb, &ip, &q, c);
	if (ip.protocol != IPIP)
		return TC_ACT_UNSPEC;
	if (!bpf_map_lookup_elem(&nodes, &ip.saddr))
		return drop(skb, IPIP_STRANGER);
	if (c->driver) {
		count(skb, IPIP_RECEIVED);
		return TC_ACT_UNSPEC;
	}
	if (ip.frag_off & bpf_htons(FRAGMENT))
		return drop(skb, IPIP_FRAGMENT);
	return unwrap(skb, &ip, c);
}

/* Which helpers a program may call depends on this word; the file is ours under either licence. */
char licence[] SEC("license") = "GPL";
