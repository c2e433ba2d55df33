/* SPDX-License-Identifier: Apache-2.0 */
/* rtnetlink: links, addresses, routes (table main), neighbours and forwarding entries between
 * the kernel and model/kernel.h. Devices are named in the model; here the names become indices.
 *
 * What is ours carries our number where the kernel has room for one: protocol of routes,
 * addresses (IFA_PROTO) and neighbours (NDA_PROTOCOL). Everything else is read with
 * kobj.foreign set. */
#pragma once
#include "base/arena.h"
#include "model/kernel.h"
#include "sys/nl.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Growing array; the caller calls klist_fini(). */
struct klist {
	struct kobj *v;
	size_t n, cap;
	struct arena hops; /* of routes that have several */
};

void klist_fini(struct klist *l);
int klist_add(struct klist *l, const struct kobj *o); /* copies, its next hops too; 0 or -ENOMEM */
void klist_sort(struct klist *l);                     /* by kobj_cmp() */

#define RTNL(type) (1u << (type)) /* e.g. RTNL(KOBJ_ROUTE) | RTNL(KOBJ_LINK) */

/* Appends what the kernel holds of the types in `what`, sorted as a whole. Not read: sysctls,
 * routes of other tables, cached and cloned routes, local and multicast ones, neighbours that
 * are neither permanent nor proxy entries, forwarding entries of other devices than vxlan.
 * IPv6 routes with the kernel's default metric 1024 are read as metric 0. */
int rtnl_dump(struct nl *nl, unsigned what, struct klist *out, struct err *e);

/* Reads the present value of each sysctl in `want` (calling thread's namespace); one that does
 * not exist is left out. */
int rtnl_sysctls(const struct kobj *want, size_t n, struct klist *out, struct err *e);

/* Does the operations, in their order, pipelined. codes[i] (if not NULL) becomes 0 or -errno.
 * All are tried; returns the first failure with its object and the kernel's words in `e`.
 *  - ADD makes a new object. A route whose key somebody else's route has, and a vxlan device
 *    with another VNI or port, are -EEXIST and left alone; all else that exists is brought into
 *    the wanted state.
 *  - CHANGE replaces in place; a link whose fixed attributes differ (vxlan: VNI, port,
 *    family of local; ifb: MAC) is made anew, and with it goes all that hung on it.
 *  - DELETE of what is gone already is success. A sysctl's DELETE does nothing.
 *  - A veth is not made here (pod.h), only set and deleted. */
int rtnl_apply(struct nl *nl, const struct kop *ops, size_t n, int *codes, struct err *e);

/* Removes links by index, as many at the cost of one. Gone already is success. */
#define RTNL_LINKS_AT_ONCE 8
int rtnl_delete_links(struct nl *nl, const int *ifindex, size_t n, struct err *e);

/* Index of a device, -ENODEV when there is none. */
int rtnl_ifindex(struct nl *nl, const char *ifname, struct err *e);
/* MTU of a device, or -errno. */
int rtnl_mtu(struct nl *nl, uint32_t ifindex, struct err *e);

/* 1: the device passes packets (operational state UP; for a bridge: a port of it forwards). 0: not
 * yet. The kernel activates a device whose carrier has come by deferred work; from 6.8 on this
 * question makes it do so at once for the device asked about. A bridge gets its carrier when its
 * port is activated, so ask for the port first. -ENODEV. */
int rtnl_carries(struct nl *nl, const char *ifname, struct err *e);

/* ---- what the kernel would do with a packet now */

struct rtnl_route_ask {
	struct ipaddr dst;
	struct ipaddr src; /* family 0: any. With iif the packet's, else one of this namespace */
	uint32_t iif;      /* 0: sent from here */
	uint32_t mark;
};

struct rtnl_route {
	struct prefix prefix;
	struct ipaddr via, source; /* family 0: none */
	uint32_t oif, table;
	uint32_t mtu;           /* the route's own; 0: the device's */
	uint8_t type, protocol; /* RTN_*, RTPROT_* */
};

/* The route that it takes, of any table. The kernel's errno where it takes none: -ENETUNREACH, and those of
 * unreachable, prohibit and blackhole routes (-EHOSTUNREACH, -EACCES, -EINVAL). */
int rtnl_route_match(struct nl *nl, const struct rtnl_route_ask *ask, struct rtnl_route *out,
		     struct err *e);

/* Does this kernel keep the marks by which we tell what is ours? Tried in a namespace made for it,
 * so root's to ask. -EOPNOTSUPP: it is older than 5.18. The second is the judgement alone, on an
 * address that is there. */
int rtnl_check_kernel(struct err *e);
int rtnl_keeps_mark(struct nl *nl, const struct kobj *addr, struct err *e);

/* 1: the kernel has the ipip driver, 0: it has not. No device is made, but the driver, once loaded, brings
 * its tunl0. */
int rtnl_has_ipip(struct nl *nl, struct err *e);

/* ---- notices of change, on a socket of their own */

struct rtnl_notice {
	struct kobj obj;
	bool deleted;
	bool ours;   /* caused by one of the port ids given to the monitor */
	bool kernel; /* no process is named: carrier, expiry, but also any change of an fdb and
		      * the birth of a vxlan: compare with what is wanted before concluding */
	int ifindex; /* of the device it is about, 0 for none */
};

struct rtnl_monitor;

/* `what` as above. Notices caused through `own` sockets (nl_portid()) are marked `ours`. */
struct rtnl_monitor *rtnl_monitor_open(unsigned what, const uint32_t *own, size_t n, struct err *e);
void rtnl_monitor_close(struct rtnl_monitor *m);
int rtnl_monitor_fd(const struct rtnl_monitor *m);
typedef void (*rtnl_notice_fn)(void *arg, const struct rtnl_notice *n);
/* Delivers what is there. *lost: notices were dropped by the kernel, dump everything anew. */
int rtnl_monitor_read(struct rtnl_monitor *m, rtnl_notice_fn fn, void *arg, bool *lost,
		      struct err *e);

/* ---- the decoder by itself, for tests and fuzzing: hostile bytes of a dump's answer become
 * objects; what is malformed is left out. `names` maps indices to names (from decoded links). */

struct ifnames;
struct ifnames *ifnames_new(void);
void ifnames_free(struct ifnames *t);
const char *ifnames_get(const struct ifnames *t, int ifindex); /* NULL when unknown */

/* 1: *o is what the message says; 0: nothing of interest; -errno: no memory. Learns names. A route's
 * further next hops are there until `names` decodes the next one. */
int rtnl_decode(struct ifnames *names, const struct nlmsghdr *nlh, struct kobj *o, int *ifindex);
/* Adds those of all devices. */
int rtnl_learn_names(struct nl *nl, struct ifnames *names, struct err *e);
