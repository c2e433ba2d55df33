/* SPDX-License-Identifier: Apache-2.0 */
/* What keeps a node's pods from talking, judged from facts that somebody else collected
 * (cmd/doctor_look.c): each defect is one finding with its place, its consequence and its cure.
 *
 * A check whose facts could not be had is not among those `checked`, and finds nothing. What a
 * healthy node may look like finds nothing either: a doctor that always complains is not read. */
#pragma once
#include "base/arena.h"
#include "core/route/uplink.h"

enum doctor_severity { DOCTOR_WARNING, DOCTOR_ERROR };

struct finding {
	const char *id; /* docs/abi.md; of one check, or of one of its defects */
	uint8_t severity;
	const char *what, *where, *why, *cure;
};

/* A base chain of somebody else's that pod traffic passes: hooks forward and input. */
struct doctor_chain {
	const char *family, *table, *chain;
	bool forward;      /* hook forward; else input */
	bool drops;        /* by its policy, or by a rule without a condition */
	bool accepts_pods; /* a rule before that lets our pools, our links or everything pass */
};

struct doctor_pool {
	const char *name;
	struct prefix cidr;
	const char *tunnel; /* the device, as of route_tunnel() */
};

struct doctor_node {
	const char *name;
	struct ipaddr ip;
};

struct doctor_peer {
	const char *name;
	struct ipaddr ip;
	uint32_t path_mtu; /* as the kernel knows it after a packet that must not be fragmented */
};

enum { DOCTOR_NOWHERE = -1 }; /* a knob that this kernel does not have */

struct doctor_facts {
	const char *node;
	/* agent */
	bool agent_wanted, agent_answers, in_sync;
	/* links, addresses and routes of this namespace */
	bool has_kernel;
	const struct kobj *v;
	size_t n;
	struct uplink uplink;
	/* knobs; DOCTOR_NOWHERE */
	int forward4, forward6, uplink_forward4;
	int rp_all, rp_uplink, rp_tunnel;
	int64_t conntrack, conntrack_max;
	/* the store */
	bool has_store;
	LIST(struct doctor_pool) pools;
	LIST(struct doctor_node) nodes;
	LIST(struct prefix) services;
	LIST(struct doctor_peer) peers; /* where a path was tried */
	/* nftables */
	bool has_nft;
	LIST(struct doctor_chain) chains;
	bool iptables_legacy; /* the old tables are in use */
	/* what was tried in a namespace of its own; -errno, or 1: not tried */
	int try_bridge, try_vxlan, try_nft;
	unsigned kernel_major, kernel_minor;
	/* files */
	const char *cni_first; /* the CNI configuration that a runtime takes; NULL: none */
	bool cni_first_ours, cni_ours, cni_binary;
	const char *state_dir;
	bool state_known, state_readonly;
	uint64_t state_free, state_size; /* bytes */
	/* role dns is to answer pods here; somebody has its port of every address */
	bool dns_wanted, dns_taken;
	/* programs that manage networks, and whether they were told to leave ours alone */
	bool firewalld, firewalld_told, manager, manager_told, networkd, networkd_told;
};

struct doctor {
	struct arena *a; /* findings and texts live here */
	LIST(struct finding) findings;
	LIST(const char *) checked;
	bool failed; /* no memory */
};

void doctor_judge(struct doctor *d, const struct doctor_facts *f);
