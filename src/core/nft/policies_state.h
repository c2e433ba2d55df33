/* SPDX-License-Identifier: Apache-2.0 */
/* Within this room: what is kept of NetworkPolicy.
 *
 *   nft_policy_pod      a pod of this node that is isolated or closed: its profiles, its addresses
 *   nft_policy_address  to which profiles it leads, and to which it does in the kernel
 *   nft_policy_chain    a profile, whose users are pods; or the rules of a policy, whose users are
 *                       profiles. Of one direction and one family. A profile of closed pods has no policy.
 *   nft_policy_set      what rules look up; its users are rules
 *
 * Each of these says what it is and whether the kernel has it. What changed stands in a queue
 * until the end of the put, so that what comes and goes within one costs nothing; then what is new
 * comes before what refers to it, and what has no user goes after that. The dead live until the next
 * put, as operations point to them. Families are 0 for IPv4 and 1 for IPv6, as
 * in nft_service_families. */
#pragma once
#include "core/nft/policies.h"
#include "core/nft/service.h"
#include "core/policy/match.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include <utlist.h>

#define NFT_POLICY_TYPES (POLICY_EGRESS + 1) /* by enum policy_type, which begins with 1 */
#define NFT_POLICY_NAME  200                 /* of a chain, of which the hash is 9 */

/* The fixed sets by direction and family. */
struct nft_policy_frame {
	const struct nft_set *verdicts[NFT_POLICY_TYPES][2], *isolated[NFT_POLICY_TYPES][2],
		*self[2];
};

struct nft_policy_interval { /* of keys of a set */
	uint8_t first[16], last[16];
};

struct nft_policy_set {
	char *key; /* its kind and what it has, in full */
	struct nft_set set;
	uint8_t family;
	uint32_t users;
	struct policy_set *of; /* of the index; NULL: what it has never changes */
	struct nft_policy_interval *fixed;
	uint32_t n_fixed;
	bool sent, queued, narrowed;
	struct nft_policy_set *prev, *next;
	UT_hash_handle hh;
};

enum nft_policy_whom { NFT_WHOM_ALL, NFT_WHOM_NET, NFT_WHOM_SET };
enum nft_policy_which { NFT_PORTS_ALL, NFT_PORTS_RANGE, NFT_PORTS_SET, NFT_PORTS_NAMED };

struct nft_policy_ports {
	uint8_t which;     /* enum nft_policy_which */
	uint8_t proto;     /* enum protocol */
	uint16_t from, to; /* 0 to 65535: the protocol */
	struct nft_policy_set *set;
};

/* One rule of the kernel. */
struct nft_policy_rule {
	uint32_t rule;
	int64_t peer; /* below 0: everybody */
	uint8_t whom; /* enum nft_policy_whom */
	struct prefix net;
	struct nft_policy_set *set;
	struct nft_policy_ports ports;
};

struct nft_policy_rules {
	struct nft_policy_rule *v;
	uint32_t n, cap;
};

/* What a rule of the kernel had counted when it was read last. */
struct nft_policy_read {
	uint64_t handle, packets, bytes;
};

struct nft_policy_chain {
	char *key;
	struct nft_chain chain;
	uint8_t type, family;
	uint32_t users;
	char *text;     /* "shop/a"; of a profile "shop/a, shop/b", or why it is closed */
	bool of_policy; /* else a profile */
	struct nft_policy_rules rules;   /* of a policy */
	struct nft_policy_chain **jumps; /* of a profile */
	uint32_t n_jumps;
	struct nft_policy_read *read;
	uint32_t n_read;
	bool sent, stale, queued, narrowed; /* stale: the kernel has other rules */
	struct nft_policy_chain *prev, *next;
	UT_hash_handle hh;
};

struct nft_policy_pod {
	char *ns, *name;
	struct nft_policy_chain *profiles[NFT_POLICY_TYPES][2];
	struct ipaddr *addrs;
	uint32_t n_addrs;
	bool narrowed[NFT_POLICY_TYPES];
	struct nft_policy_pod *prev, *next;
};

struct nft_policy_address {
	struct ipaddr addr;
	const struct nft_policy_pod *pod; /* whose it is: two may claim it for a moment */
	struct nft_policy_chain *wanted[NFT_POLICY_TYPES], *sent[NFT_POLICY_TYPES];
	bool queued;
	struct nft_policy_address *prev, *next;
	UT_hash_handle hh;
};

struct nft_policy_named {
	struct nft_policy_chain *chain; /* NULL: a set */
	UT_hash_handle hh;
	char name[];
};

struct nft_policies {
	struct policy_index *index;
	struct arena mem; /* of the frame */
	struct arena scratch;
	struct nft_ruleset rs;
	struct nft_table *table;
	struct nft_policy_frame frame;
	struct nft_policy_pod *pods;
	struct nft_policy_address *addresses, *addresses_queue;
	struct nft_policy_chain *chains, *chains_queue, *chains_dead;
	struct nft_policy_chain *next; /* to be read, as nft_policies_next() tells; NULL: none */
	struct nft_policy_set *sets, *sets_queue, *sets_dead;
	struct nft_policy_named *names;
	bool again; /* the last put failed */
};

/* ---- policy_frame.c */

/* What stands whatever policies there are. */
void nft_policy_frame(struct nft_table *t);
/* Is this chain a part of the guard? */
bool nft_policy_is_midway(const char *chain, enum policy_type *type);
void nft_policy_find_sets(const struct nft_table *t, struct nft_policy_frame *out);

/* ---- policy_names.c */

/* `text`, cut to `max` characters of which the last 9 are `mark` and a checksum of the whole. `out`
 * has one more. */
const char *nft_policy_cut(const char *text, size_t max, char mark, char *out);
/* A name that nobody has, `name` itself or with a number behind; until it is dropped. NULL: no
 * memory. */
const char *nft_policy_name_take(struct nft_policies *s, const char *name,
				 struct nft_policy_chain *chain);
void nft_policy_name_drop(struct nft_policies *s, const char *name);
struct nft_policy_chain *nft_policy_chain_named(const struct nft_policies *s, const char *name);

/* ---- policy_sets.c: each use is to be released. NULL: no memory */

struct nft_policy_set *nft_policy_set_peer(struct nft_policies *s, const char *ns,
					   const struct policy_peer *peer, unsigned family);
struct nft_policy_set *nft_policy_set_port(struct nft_policies *s, uint8_t proto, const char *name,
					   unsigned family);
/* Of what never changes: `kind` "blocks" with `family`, or "ports". */
struct nft_policy_set *nft_policy_set_fixed(struct nft_policies *s, const char *kind,
					    unsigned family, const char *text,
					    const struct nft_policy_interval *v, uint32_t n);
void nft_policy_set_release(struct nft_policies *s, struct nft_policy_set *set);
/* New ones, and those that have another user again; then members that changed; then those without
 * users. */
void nft_policy_sets_add(struct nft_policies *s, struct nft_ops *ops);
void nft_policy_members(struct nft_policies *s, struct nft_ops *ops);
void nft_policy_sets_end(struct nft_policies *s, struct nft_ops *ops);
void nft_policy_set_render(const struct nft_policy_set *v, struct nft_table *t);
void nft_policy_sets_bury(struct nft_policies *s);

/* ---- policy_compile.c */

/* The rules of a direction and a family; what they look up is in use. 0 or -ENOMEM. */
int nft_policy_compile(struct nft_policies *s, const struct network_policy *p,
		       enum policy_type type, unsigned family, struct nft_policy_rules *out);
void nft_policy_rules_fini(struct nft_policies *s, struct nft_policy_rules *rules);
bool nft_policy_rules_same(const struct nft_policy_rules *a, const struct nft_policy_rules *b);
/* Does the other allow all that `a` does, as far as can be told? */
bool nft_policy_rules_cover(const struct nft_policy_rules *other, const struct nft_policy_rules *a);

/* ---- policy_chains.c */

/* The profile of this list, in use from now on. NULL: no memory. */
struct nft_policy_chain *nft_policy_profile(struct nft_policies *s,
					    const struct policy_subject *subject,
					    enum policy_type type, unsigned family);
void nft_policy_chain_release(struct nft_policies *s, struct nft_policy_chain *c);
/* The policy has other rules, perhaps. 0 or -ENOMEM. */
int nft_policy_changed(struct nft_policies *s, const struct policy_name *policy);
/* What has no users lets go of what it uses. */
void nft_policy_chains_settle(struct nft_policies *s);
void nft_policy_chains_add(struct nft_policies *s, struct nft_ops *ops);
void nft_policy_chains_fill(struct nft_policies *s, struct nft_ops *ops);
void nft_policy_chains_end(struct nft_policies *s, struct nft_ops *ops);
void nft_policy_chains_bury(struct nft_policies *s);

/* ---- policy_rules.c */

/* Logs what passes on to the rule behind, which drops it. */
void nft_policy_log(struct nft_rule *r, const char *prefix);

/* The rules of a chain into `to`. */
void nft_policy_chain_rules(const struct nft_policies *s, const struct nft_policy_chain *c,
			    struct nft_chain *to);

/* ---- policy_pods.c */

/* 0 or -ENOMEM */
int nft_policy_subject(struct nft_policies *s, struct policy_subject *subject);
void nft_policy_addresses(struct nft_policies *s, struct nft_ops *ops);
void nft_policy_address_render(const struct nft_policies *s, const struct nft_policy_address *a,
			       struct nft_table *t);
/* Where the kernel leads what the pod of this address sends or gets; NULL: it is not isolated. */
const struct nft_policy_chain *nft_policy_profile_at(const struct nft_policies *s,
						     const struct ipaddr *addr,
						     enum policy_type type);
void nft_policy_pods_fini(struct nft_policies *s);
