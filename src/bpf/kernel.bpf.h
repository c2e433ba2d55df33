/* SPDX-License-Identifier: Apache-2.0 */
/* The fields of the kernel's structures that the programs read, and no others: where they lie in the
 * running kernel is found when a program is loaded, by its BTF (CO-RE). */
#pragma once
#include <linux/types.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct net_device {
	char name[16];
	int ifindex;
	possible_net_t nd_net;
};

struct sock_common {
	possible_net_t skc_net;
};

struct sock {
	struct sock_common __sk_common;
};

struct sk_buff {
	struct net_device *dev;
	struct sock *sk;
	unsigned int len, mark;
	__be16 protocol;
	__u16 network_header;
	unsigned char *head, *data;
};

struct in6_addr {
	union {
		__u8 u6_addr8[16];
	} in6_u;
};

union flowi_uli {
	struct {
		__be16 dport, sport;
	} ports;
};

struct flowi_common {
	int flowic_oif, flowic_iif;
	__u32 flowic_mark;
	__u8 flowic_proto;
};

struct flowi4 {
	struct flowi_common __fl_common;
	__be32 saddr, daddr;
	union flowi_uli uli;
};

struct flowi6 {
	struct flowi_common __fl_common;
	struct in6_addr daddr, saddr;
	union flowi_uli uli;
};

struct fib_nh_common {
	int nhc_oif;
	unsigned char nhc_gw_family;
	union {
		__be32 ipv4;
		struct in6_addr ipv6;
	} nhc_gw;
};

struct fib6_nh {
	struct fib_nh_common nh_common;
};

struct fib6_info {
	__u32 fib6_metric;
};

struct fib6_result {
	struct fib6_nh *nh;
	struct fib6_info *f6i;
	__u32 fib6_flags;
	__u8 fib6_type;
};

struct fib6_table {
	__u32 tb6_id;
};

#pragma clang attribute pop
