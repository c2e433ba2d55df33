/* SPDX-License-Identifier: Apache-2.0 */
/* NetworkPolicy in the node's ruleset: what of core/policy's index the kernel has, and what a
 * change of it changes there. Nothing here is a kernel: put() says operations, which the caller
 * sends, and render() says everything as of the last put, with which the caller's audit compares.
 * How a packet goes through it stands in policy_frame.c.
 *
 * Names follow from the objects, so that another process says the same and adopts nothing:
 *
 *   egress4-NS/NAME    the rules of a policy; over 200 characters cut, with a hash of the whole
 *   egress4-HASH       of a list of policies: where the traffic of a pod goes that they isolate;
 *                      also the prefix of the log of what is dropped there
 *   pods4-HASH, blocks4-HASH, named4-HASH, ports-HASH     what rules look up
 *
 * A pod that is closed (policy_subject) leads to a list of its own, without policies, whose text and whose
 * drop's comment is why.
 *
 * (egress or ingress, 4 or 6; two texts of one hash are told apart by "-2" behind.) Each is there only
 * while a pod of this node needs it. A rule's comment is "NS/NAME ingress[0].from[1]", that of
 * a drop "default deny by NS/A, NS/B". A pod that comes, goes or changes its labels changes
 * elements, and chains only where its list of policies is new here. */
#pragma once
#include "core/nft/build.h"
#include "core/nft/doubt.h"
#include "core/nft/logged.h"
#include "core/policy/index.h"

#define NFT_POLICY_LOG_GROUP 26220 /* of NFLOG: docs/abi.md */

struct nft_policies;

/* `x` stays the caller's and outlives it; nobody else may take its changes. NULL: no memory. */
struct nft_policies *nft_policies_new(struct policy_index *x);
void nft_policies_free(struct nft_policies *s); /* NULL is fine */

/* What changed in the index since the last call, as one step; none: no operation. They point into
 * `ops`' arena and into `s`: send them before the next put. -ENOMEM: `s` and the kernel may have
 * parted; what is left is tried by the next put, and an audit helps. */
int nft_policies_put(struct nft_policies *s, struct nft_ops *ops, struct err *e);

/* Frame, chains and elements into `inet fairlead`. */
void nft_policies_render(const struct nft_policies *s, struct nft_table *t);

/* What makes the pod with the addresses `own` in `have` what it is in `want`, a render of policies that may be older: see
 * policy_merge.c. Appended as one step; of elements only these addresses' are looked at. */
void nft_policies_merge(const struct nft_table *want, const struct nft_table *have,
			const struct ipaddr *own, uint32_t n_own, struct nft_ops *ops);
/* Where the kernel may have something of these addresses, but for their named ports. 0 or -ENOMEM. */
int nft_policies_own_doubts(const struct nft_table *have, const struct ipaddr *own, uint32_t n_own,
			    struct nft_doubts *out);

/* Pods wired here whose traffic the puts since nft_policies_looked() may have narrowed, so that
 * connections that live may be forbidden now: a list of policies begins or loses one, a rule is
 * gone, an address left what a rule looks up. Told once for each direction; what only adds is not told,
 * a rule of which more than that changed is. */
typedef void nft_policies_narrowed_fn(void *arg, const char *ns, const char *name,
				      enum policy_type type);
void nft_policies_narrowed(struct nft_policies *s, nft_policies_narrowed_fn *fn, void *arg);
void nft_policies_looked(struct nft_policies *s);
/* Pods that this policy isolates are to be told of as well. 0 or -ENOMEM. */
int nft_policies_narrow(struct nft_policies *s, const char *ns, const char *name);

/* What a packet met that was logged. */
struct nft_policy_drop {
	uint8_t type; /* enum policy_type: the direction that denied */
	bool midway;  /* it is none that may begin a connection; else by default */
	/* Who isolate the pod, "shop/a, shop/b", or why it is closed (policy_denial_head()); NULL: they are
	 * gone. Until the next put. */
	const char *policies;
};
struct nft_policy_drop nft_policies_drop(const struct nft_policies *s, const struct nft_logged *p);

/* What a rule of a policy counted, or the drops by one list of policies. */
struct nft_policy_count {
	uint8_t type;       /* enum policy_type */
	const char *policy; /* "shop/a"; of drops: NULL */
	const char *rule;   /* "ingress[0].from[1]"; of drops: "shop/a, shop/b", or why closed */
	uint64_t packets, bytes;
};

/* The chains that count, one at each call, from the first on where `first`; NULL: no more. What comes
 * meanwhile is among them. */
const char *nft_policies_next(struct nft_policies *s, bool first);

/* What each kernel rule of a chain, as `c` was read from the kernel, counted since the last time: all that it has,
 * if it was not there then. A rule may have become several. `fn` returns 0 or -errno, which ends it; what
 * it did not take is told again. Chains that are none of ours, and those that the last put took away, are fine. */
typedef int nft_policies_grown_fn(void *arg, const struct nft_policy_count *grown);
int nft_policies_grown(struct nft_policies *s, const struct nft_chain *c, nft_policies_grown_fn *fn,
		       void *arg);

struct nft_policies_stats {
	uint32_t pods;   /* of this node that are isolated in a direction */
	uint32_t chains; /* profiles, and one for each policy, direction and family */
	uint32_t rules;  /* in those of policies */
	uint32_t sets;
};
void nft_policies_count(const struct nft_policies *s, struct nft_policies_stats *out);
