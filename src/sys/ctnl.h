/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's connection table over ctnetlink: which entries there are, how many, and taking some
 * of them out. Works in the network namespace in which the calling thread opened the socket, or
 * starts the dump. Whoever asks needs CAP_NET_ADMIN there, else -EPERM.
 *
 * A dump runs in a thread. The table is one for all namespaces of the machine, and in one system
 * call the kernel walks on until it has filled a datagram with what was asked for: with 200 000
 * entries of others that is 15 to 50 ms, which a filter cannot make less. So the thread waits, and
 * what it finds queues in a socket (about 2 000 entries, then the thread waits for the reader).
 *
 * A dump is no snapshot: what comes or goes while it runs may be in it or not, and an entry may
 * come twice. Who acts on what is not there must have changed the rules before the dump began. */
#pragma once
#include "model/conntrack.h"
#include "sys/nl.h"

/* What to look for. The kernel filters (Linux 5.8; what it does not, is skipped here). */
struct ctnl_which {
	uint8_t family; /* AF_INET, AF_INET6 */
	uint8_t proto;  /* IPPROTO_*; 0: all that ctnl_knows() */
	struct ipaddr
		addr; /* of `family`: which one of the four ends of the tuples is; all zero: any */
};

#define CTNL_WHICH_MAX 4
#define CTNL_AT_ONCE   128

struct ctnl_dump;
/* Looks for all of `which`, one after the other. Over *spare, a socket of NETLINK_NETFILTER that it takes and, where
 * its reading came to the end, leaves there again; NULL in it: over one of its own. Who looks often keeps it: until such a
 * socket is closed, the kernel lets no ruleset of the namespace change, and waits for what earlier changes deleted, up
 * to 100 ms. `spare` itself may be NULL. */
struct ctnl_dump *ctnl_dump_start(const struct ctnl_which *which, size_t n, struct nl **spare,
				  struct err *e);
/* Readable when ctnl_dump_read() has something to do. */
int ctnl_dump_fd(const struct ctnl_dump *d);
typedef void (*ctnl_entry_fn)(void *arg, const struct ct_entry *c);
/* Without blocking, at most CTNL_AT_ONCE entries. 1: ask again when the descriptor is readable;
 * 0: that was all; negative: the dump failed, and not all was seen. */
int ctnl_dump_read(struct ctnl_dump *d, ctnl_entry_fn fn, void *arg, struct err *e);
/* At any time; waits for the system call that the thread is in. NULL is fine. */
void ctnl_dump_end(struct ctnl_dump *d);

/* The connection that packets like `like` belong to, in either direction; of it only `orig`, with the
 * packet's own ends, and `proto` are asked for. 1: *out; 0: there is none. */
int ctnl_get(struct nl *nl, const struct ct_entry *like, struct ct_entry *out, struct err *e);

/* Entries of this namespace, of all kinds. */
int ctnl_count(struct nl *nl, uint32_t *n, struct err *e);

/* Takes out these very entries: one of the same tuple that came since has another id, and stays
 * (unless the kernel put it into the same memory: then it goes, and the next packet makes it anew).
 * What is gone already is no failure; *deleted (NULL: not asked) are those that we took out. All
 * are tried; the first failure is returned. Only entries of protocols that ctnl_knows(): a request
 * without a tuple would empty the table, so that -EINVAL answers whatever would make one. */
int ctnl_delete(struct nl *nl, const struct ct_entry *v, size_t n, size_t *deleted, struct err *e);

/* ---- the decoder by itself, for tests and fuzzing */

#define CTNL_TYPE(msg) ((uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | (msg))) /* msg: IPCTNL_MSG_CT_* */

/* Those with ports, ICMP and ICMPv6: what can be told apart by its tuple, and so deleted. */
bool ctnl_knows(uint8_t proto); /* IPPROTO_* */
/* 1: *c is what the message says; 0: it is no entry of such a protocol, or malformed. */
int ctnl_decode(const struct nlmsghdr *nlh, struct ct_entry *c);
