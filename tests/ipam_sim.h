/* SPDX-License-Identifier: Apache-2.0 */
/* A cluster on paper for tests of the address book: a store with revisions and compare-and-swap,
 * and hosts, each with a book and a journal of which only a part is on disk. Judges with its own
 * list of what was answered, kept and compared by brute force. */
#pragma once
#include "core/ipam/ipam.h"
#include "core/ipam/reclaim.h"

#define SIM_HOSTS      16
#define SIM_LEAK_GRACE 60000
#define SIM_NODE_GRACE 300000

struct sim_lease {
	size_t host;
	char *container;
	struct ipaddr addr[IPAM_MAX_WANTED];
	bool borrowed[IPAM_MAX_WANTED];
	size_t n;
};

struct sim_host {
	char name[32];
	struct ipam *ipam;
	struct buf journal;
	size_t synced;        /* bytes of the journal that a crash cannot take */
	struct cluster *kept; /* what its watch has on disk, or NULL */
	uint64_t kept_rev;
	uint64_t answered;   /* the last attachment that a runtime was told of */
	struct absence lost; /* attachments whose container is gone */
	bool down;           /* its machine is off, its Node object deleted */
	bool reclaimed;      /* … for longer than the grace period: its pods are given up */
};

/* A write whose sender was told nothing; it may happen later. */
struct sim_late {
	struct ipam_action action;
	struct arena mem;
};

struct sim {
	struct cluster *store;
	uint64_t rev;
	int64_t now;
	struct sim_host hosts[SIM_HOSTS];
	size_t n_hosts;
	struct sim_lease *leases;
	size_t n_leases, cap_leases;
	struct sim_late late[64];
	size_t n_late;
	/* Faults, in thousandths; 0 everywhere: a perfect world. */
	unsigned p_unknown, p_stale, p_crash;
	unsigned p_outage; /* a host that starts finds the store out of reach */
	unsigned n_outages;
	struct absence gone; /* the controller's: Nodes */
	uint64_t seed;
	struct arena mem;     /* of the request in progress */
	char error[ERR_TEXT]; /* of the last refused request */
	int code;
};

uint64_t sim_random(struct sim *m);
void sim_init(struct sim *m);
void sim_fini(struct sim *m);
/* Objects. sim_put() takes the object over with a new revision. */
struct object *sim_object(unsigned kind, const char *name);
void sim_put(struct sim *m, struct object *o);
/* "10.0.0.0/24" with blocks of /block_len (0: default), mode Direct. The caller may change
 * more before sim_put(). */
struct ippool *sim_pool(struct sim *m, const char *cidr, int block_len);
size_t sim_host(struct sim *m, const char *name); /* found or made, with its Node */
size_t sim_blocks(const struct sim *m);

/* Every host hears of the store. */
void sim_sync(struct sim *m);
/* Background work of all hosts until nobody wants anything. */
void sim_settle(struct sim *m);
/* One piece of background work of one host. */
void sim_keep(struct sim *m, size_t host);
/* 0 and a new lease (the last one), or a negative errno with m->error. `q` NULL: anything. */
int sim_take(struct sim *m, size_t host, const char *container, const struct ipam_request *q);
void sim_drop(struct sim *m, size_t lease);
void sim_crash(struct sim *m, size_t host);
/* What the host's watch knows goes to disk, of the store as it is. */
void sim_snapshot(struct sim *m, size_t host);
/* The container ends and nobody tells the agent; sim_collect() finds out by looking twice. */
void sim_vanish(struct sim *m, size_t lease);
/* One look of every host at its containers; returns how many addresses' holders it released. */
unsigned sim_collect(struct sim *m);
/* The machine restarts: no container of before is left. */
void sim_reboot(struct sim *m, size_t host);
/* The machine goes and its Node object is deleted; it comes back, rebooted where its pods were
 * given up meanwhile. */
void sim_node_down(struct sim *m, size_t host);
void sim_node_up(struct sim *m, size_t host);
/* One look of the controller; returns the number of blocks that it took. */
unsigned sim_control(struct sim *m);
/* Two leases share an address, a book lacks a lease, or an address lies where it must not. */
void sim_audit(struct sim *m);
