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
	unsigned long _skb_refdst;
	unsigned int len, mark;
	int skb_iif;
	__be16 protocol;
	__u16 network_header;
	unsigned char *head, *data;
};

struct in6_addr {
	union {
		__u8 u6_addr8[16];
	} in6_u;
};

struct dst_entry {
	struct net_device *dev;
	unsigned short flags;
	short error;
};

struct rtable {
	struct dst_entry dst;
	unsigned int rt_flags;
	__u8 rt_gw_family;
	struct in6_addr rt_gw6; /* in one place with rt_gw4 */
};

struct rt6_info {
	struct dst_entry dst;
	struct in6_addr rt6i_gateway;
	__u32 rt6i_flags;
};

#pragma clang attribute pop
