/* SPDX-License-Identifier: Apache-2.0 */
/* What one node enforces of NetworkPolicy, kept while the cluster changes: which policies isolate
 * each pod that is wired here, and which addresses each selector and each named port that they use
 * stands for.
 *
 * A change costs what it concerns. A pod that comes, goes or changes: one test of each used
 * selector of its namespace and of each that looks beyond its policy's, and its own memberships. A
 * policy: the local pods of its namespace. A selector's first use: the pods that it may select.
 * None of them asks how many pods there are elsewhere.
 *
 * It points to the cluster's objects, which it does not own: say what replaces one before it is
 * freed. Selectors are copied, as they outlive the policies that share them. One reader takes what
 * changed and brings it into a kernel; until then changes only wait, and what comes and goes
 * meanwhile is never told. */
#pragma once
#include "base/err.h"
#include "model/cluster.h"

struct policy_index;

struct policy_index *policy_index_new(void);    /* NULL: no memory */
void policy_index_free(struct policy_index *x); /* NULL is fine; the objects may be gone */

/* The node answers DNS itself on these addresses (answerer.h). Once, before anything else is told. 0 or -ENOMEM. */
int policy_index_dns(struct policy_index *x, const char *node, const struct ipaddr *addrs,
		     uint32_t n, struct err *e);
/* A Namespace, Pod, NetworkPolicy or Service as the mirror tells it: `old` is replaced by `now`, either
 * may be NULL; other kinds are passed over. -ENOMEM: it allows less than it should until the object
 * is told again. */
int policy_index_changed(struct policy_index *x, const struct object *old, const struct object *now,
			 struct err *e);
/* The pod is wired on this node with these addresses (n 0: no longer); before, after or without its
 * Pod object. Until told so, a Pod's addresses are those of its status. */
int policy_index_wired(struct policy_index *x, const char *ns, const char *name,
		       const struct ipaddr *addrs, uint32_t n, struct err *e);

/* Another node says that it wired the pod with these (n 0: no longer): they count beside those of
 * its status, which may come later, for as long as it is not wired here. */
int policy_index_elsewhere(struct policy_index *x, const char *ns, const char *name,
			   const struct ipaddr *addrs, uint32_t n, struct err *e);

/* The pod of this address that policies know; of several, who were told of last; of the node's DNS its stand-in. NULL: none. */
const struct pod *policy_index_pod_at(const struct policy_index *x, const struct ipaddr *addr);
/* The stand-in of the node's DNS, where the policy isolates it for ingress; NULL: it does not. */
const struct pod *policy_index_isolated_dns(const struct policy_index *x,
					    const struct network_policy *p);
/* NULL: there is none. */
const struct network_policy *policy_index_policy(const struct policy_index *x, const char *ns,
						 const char *name);

/* While nobody told of any policy yet every pod wired here is closed (POLICY_UNKNOWN). A new index is not so. */
void policy_index_unknown(struct policy_index *x, bool unknown);

/* ---- for the reader */

/* A pod wired here, or the node's DNS, its addresses, and by enum policy_type the policies that isolate it, by name. No
 * list: not isolated. A closed one has none: nothing may begin at it in that direction, whatever policies say. */
struct policy_subject {
	const char *ns, *name;
	const struct ipaddr *addrs;
	uint32_t n_addrs;
	const char *closed[POLICY_EGRESS + 1]; /* POLICY_UNKNOWN, POLICY_NO_OBJECT or NULL */
	LIST(const struct network_policy *) isolating[POLICY_EGRESS + 1];
	void *reader; /* the reader's own */
};

/* Of which something may have changed since it was last taken. 0 and NULL: no more; -ENOMEM: it
 * stays to be taken. A subject lives until the next call. */
int policy_index_take_subject(struct policy_index *x, struct policy_subject **out, struct err *e);
/* By name, as the policy may be gone; false: no more. */
struct policy_name {
	const char *ns, *name;
};
bool policy_index_take_policy(struct policy_index *x, struct policy_name *out);

/* Addresses that a peer's selectors select; or addresses and ports of those who have a port of
 * this name. Shared by equal ones. */
struct policy_set {
	const char *text; /* "pods of shop: app=web"; tells equal ones */
	void *reader[2];  /* the reader's own: of IPv4 and of IPv6 */
};

struct policy_member {
	struct policy_set *set;
	struct ipaddr addr;
	uint8_t proto; /* of named ports: enum protocol */
	uint16_t port;
	bool wanted; /* some pod brings it */
	bool told;   /* the reader's: the kernel has it */
};

/* Of a peer with selectors of a policy in `ns`; of a named port. Each use is to be released, with
 * the last one the members go. NULL: no memory. */
struct policy_set *policy_set_use_peer(struct policy_index *x, const char *ns,
				       const struct policy_peer *peer);
struct policy_set *policy_set_use_port(struct policy_index *x, uint8_t proto, const char *name);
void policy_set_release(struct policy_index *x, struct policy_set *s);

/* Members of which `wanted` changed. The reader sets `told`; one that is neither is freed by the
 * next call. NULL: no more. */
struct policy_member *policy_index_take_member(struct policy_index *x);
/* All of a set, in no order; `m` NULL: the first. */
struct policy_member *policy_set_next(const struct policy_set *s, const struct policy_member *m);

/* After a reader failed: pods and policies are all due again, and members that were not told. */
void policy_index_again(struct policy_index *x);

struct policy_index_stats { /* without the node's DNS */
	uint32_t pods, policies, wired, sets, members;
};
void policy_index_count(const struct policy_index *x, struct policy_index_stats *out);
