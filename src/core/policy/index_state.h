/* SPDX-License-Identifier: Apache-2.0 */
/* Within this room: what the index (index.h) is made of.
 *
 *   policy_ns      its labels, its pods (all; those wired here), its policies by name, the sets that
 *                  select in it alone
 *   policy_pod     what it brings into sets, by one edge for each; its subject
 *   policy_sel     a set: whom it selects, its edges, its members
 *   policy_dns     the node's own DNS: the stand-in is a pod that is wired here, with the addresses where
 *                  the node answers; pods as which it counts bring these beside their own, and it brings
 *                  nothing then
 *
 * A pod that changes withdraws all that it brought and brings it anew: only members whose number of
 * bringers came from or went to 0 are due to be told, and of those only the ones which differ from
 * what was told. */
#pragma once
#include "base/by_name.h"
#include "core/policy/answerer.h"
#include "core/policy/index.h"

struct policy_edge {
	struct policy_pod *pod;
	struct policy_sel *sel;
	struct policy_edge *prev, *next;               /* of the pod */
	struct policy_edge *prev_of_sel, *next_of_sel; /* of the set */
};

struct policy_address {
	struct ipaddr addr;
	const struct policy_pod *pod;
	UT_hash_handle hh; /* several may have one key */
};

struct policy_pod {
	struct by_name by;
	struct policy_subject subject;
	struct policy_ns *ns;
	const struct pod *pod; /* NULL: not told of yet, or gone */
	struct ipaddr *wired;  /* subject.addrs */
	struct ipaddr *elsewhere;
	uint32_t n_elsewhere;
	struct policy_address *addresses; /* under which it is brought and found */
	uint32_t n_addresses;
	struct policy_edge *edges;
	bool answers; /* the node's DNS counts as it */
	bool told;    /* the reader has had it while it was wired */
	bool due;
	struct policy_pod *prev, *next;           /* of the namespace */
	struct policy_pod *prev_here, *next_here; /* those wired */
	struct policy_pod *prev_due, *next_due;
	struct policy_pod *prev_answers, *next_answers;
};

struct policy_entry {
	struct by_name by;
	const struct network_policy *policy; /* NULL: gone */
	bool due;
	struct policy_entry *prev, *next; /* of the namespace, by name */
	struct policy_entry *prev_due, *next_due;
};

struct policy_ns {
	struct by_name by; /* of namespace "" */
	const struct namespace_obj *object;
	struct arena mem; /* of the labels, where the object lacks its name's */
	const struct strmap *labels;
	struct policy_pod *pods, *here;
	struct policy_entry *policies;
	struct policy_sel *sels;
};

struct policy_held {
	struct policy_member m;
	struct {
		struct ipaddr addr;
		uint8_t zero;
		uint16_t port;
	} key;
	uint32_t bringers;
	bool due;
	struct policy_held *prev_due, *next_due;
	UT_hash_handle hh;
};

struct policy_sel {
	struct policy_set set;
	struct arena mem; /* of the text and the selectors */
	uint32_t users;
	struct policy_ns *ns;              /* selects in this one alone; NULL: in many */
	struct label_selector *namespaces; /* of many */
	struct label_selector *pods;       /* NULL: all */
	const char *port;                  /* not NULL: not by selectors, but by a port's name */
	uint8_t proto;
	struct policy_edge *edges;
	struct policy_held *members;
	struct policy_sel *prev, *next; /* of the namespace, or of those that look beyond */
	UT_hash_handle hh;
};

/* A Service that has one of the addresses. */
struct policy_dns_service {
	struct by_name by;
	const struct service *service;
	uint32_t place; /* policy_dns_place() */
};

struct policy_dns {
	char *node;
	struct ipaddr *addrs;
	uint32_t n_addrs; /* 0: the node answers nobody */
	struct by_name *services;
	struct arena mem; /* of the stand-in */
	struct pod *stand_in;
	struct policy_pod *itself; /* the stand-in's; NULL: there was no memory */
	bool selects;              /* there is a Service that selects pods */
	struct policy_pod *pods;   /* as which it counts; none: as itself */
	bool stale;                /* what of `itself` follows from them */
};

struct policy_index {
	struct by_name *namespaces, *pods, *policies;
	struct policy_address *addresses;
	struct policy_sel *sels, *wide;
	struct arena scratch;
	struct policy_pod *pods_due, *pod_taken;
	struct policy_entry *policies_due, *policy_taken;
	struct policy_held *members_due, *member_taken;
	struct policy_dns dns;
	bool unknown; /* what policies there are */
	struct policy_index_stats stats;
};

/* ---- index.c */

/* NULL: it is not there, or, with `make`, no memory. */
struct policy_ns *policy_ns_get(struct policy_index *x, const char *name, bool make);
/* Drops it where nothing needs it any more. */
void policy_ns_sweep(struct policy_index *x, struct policy_ns *ns);

/* ---- index_pods.c */

/* NULL: it is not there, or, with `make`, no memory. */
struct policy_pod *policy_pod_get(struct policy_index *x, const char *ns, const char *name,
				  bool make);
int policy_pod_changed(struct policy_index *x, const struct meta *m, const struct pod *now);
int policy_pod_wire(struct policy_index *x, struct policy_pod *p, const struct ipaddr *addrs,
		    uint32_t n);
void policy_pod_due(struct policy_index *x, struct policy_pod *p);
/* Drops it where nothing needs it any more. */
void policy_pod_sweep(struct policy_index *x, struct policy_pod *p);
void policy_pod_free(struct policy_index *x, struct policy_pod *p);

/* ---- index_dns.c */

int policy_dns_changed(struct policy_index *x, const struct meta *m, const struct service *now);
/* The pod begins or ends to bring. */
void policy_dns_joins(struct policy_index *x, struct policy_pod *p);
void policy_dns_leaves(struct policy_index *x, struct policy_pod *p);
/* After any of these. */
int policy_dns_settle(struct policy_index *x);
/* For ingress, as one of those as which it counts. It sends nothing that is judged. */
bool policy_dns_isolates(const struct policy_index *x, const struct network_policy *policy);
void policy_dns_fini(struct policy_index *x);

/* ---- index_sets.c */

/* What the pod brings into sets, and under which addresses it is found. */
int policy_pod_bring(struct policy_index *x, struct policy_pod *p);
void policy_pod_withdraw(struct policy_index *x, struct policy_pod *p);
void policy_sets_fini(struct policy_index *x);

/* ---- index_members.c */

/* Everything that an edge's pod brings into its set, once more or once less. */
int policy_edge_add(struct policy_index *x, struct policy_pod *p, struct policy_sel *s);
void policy_edge_drop(struct policy_index *x, struct policy_edge *edge);
void policy_edge_free(struct policy_edge *edge); /* of a set that goes too */
/* Those of which the reader does not know what is. */
void policy_members_again(struct policy_index *x);
void policy_members_fini(struct policy_index *x, struct policy_sel *s);
