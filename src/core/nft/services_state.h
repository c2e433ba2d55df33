/* SPDX-License-Identifier: Apache-2.0 */
/* Within this room: what is kept of each Service. Two kinds of things:
 *
 *   ports   groups of endpoints and their ids: a Service's own
 *   facts   what Services claim of the world: a front, a cluster IP, an endpoint that may reach
 *           itself. Several may claim one; the first holder, by the Service's key, is in the
 *           kernel. A front's value says everything of it; hairpins and cluster IPs have none. */
#pragma once
#include "core/nft/services.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct nft_slot {
	uint8_t ip[16];
	uint16_t port;
	/* Id of the endpoint, where clients keep theirs; else 0. Above NFT_SERVICE_ID_MASK: a client
	 * that has none yet looks with its group's id in the maps of these (service_choice.c). */
	uint32_t kept;
};

struct nft_group {
	uint32_t id;              /* 0: none */
	uint32_t number;          /* of its choice */
	struct nft_choice choice; /* count: of slots */
	struct nft_slot *slots;
};

struct nft_port {
	char *name; /* "": none */
	uint8_t family, proto;
	uint32_t affinity;
	uint32_t chooser; /* 0: none */
	struct nft_group groups[SVC_GROUPS];
};

struct nft_sources {
	uint32_t n;
	bool node; /* also the front's own address */
	struct prefix v[];
};

enum nft_fact_kind {
	NFT_FACT_FRONT,
	NFT_FACT_NODE_PORT,
	NFT_FACT_CLUSTER_IP,
	NFT_FACT_LEFT_IP, /* another proxy's cluster IP */
	NFT_FACT_HAIRPIN,
	NFT_FACT_AFFINITY6 /* the last 32 bits of a front: see service_choice.c */
};

struct nft_fact_key {
	uint8_t kind, family, proto, zero;
	uint16_t port, zeros;
	uint8_t ip[16];
};

struct nft_front_value {
	uint32_t id;                       /* of a group or a chooser; 0: refused by everybody */
	uint8_t refuse;                    /* enum svc_refuse */
	uint8_t masq;                      /* enum svc_masq */
	const char *port;                  /* the Service port's name */
	const struct nft_sources *sources; /* NULL: everybody */
};

struct nft_holder {
	const struct nft_service *service;
	struct nft_front_value value;
};

struct nft_fact {
	struct nft_fact_key key;
	uint32_t n;
	struct nft_holder *holders; /* by the Service's key */
	UT_hash_handle hh;
};

struct nft_service {
	char *key; /* namespace/name */
	uint32_t n_ports, n_facts;
	struct nft_port *ports;
	struct nft_fact **facts; /* ascending pointers, each once */
	struct nft_sources *sources[2];
	UT_hash_handle hh;
};

/* What an earlier run left. */
struct nft_adopted_group {
	uint32_t id;
	uint8_t family, proto;
	uint32_t n, cap;
	struct nft_slot *slots;
	UT_hash_handle hh;
};

struct nft_adopted_front {
	struct nft_fact_key key;
	uint32_t id;
	UT_hash_handle hh;
};

struct nft_adopted_chooser {
	uint32_t id, groups[SVC_GROUPS];
	UT_hash_handle hh;
};

struct nft_adopted {
	struct nft_adopted_group *groups;
	struct nft_adopted_front *fronts;
	struct nft_adopted_chooser *choosers;
};

struct nft_number {
	struct nft_choice choice; /* count 0: free */
	uint32_t users;
	bool adopted; /* the kernel has it, and its users may be yet to come */
};

struct nft_services {
	struct arena mem; /* of the frame */
	struct nft_ruleset rs;
	struct nft_table *frame;
	struct nft_service_sets sets;
	struct svc_node node; /* ranges and switches only */
	struct nft_service *services;
	struct nft_fact *facts;
	struct nft_number numbers[NFT_CHOICE_MAX + 1];
	uint32_t n_numbers; /* in use: below this one */
	uint32_t next_kept, next_id;
	uint32_t n_slots, n_fronts;
	uint8_t used[(NFT_SERVICE_ID_MASK + 1) / 8]; /* ids */
	bool adopting; /* from nft_services_adopt() to nft_services_adopted() */
	struct nft_adopted adopted;
};

/* Where elements go: ops, or NULL: sets of a table, by their place in the frame. */
struct nft_sink {
	struct nft_ops *ops;
	struct nft_set **sets;
};

/* `set` is one of the frame's; `add` false deletes. */
void nft_sink_elem(const struct nft_sink *to, bool add, const struct nft_set *set,
		   const struct nft_elem *e);

/* What a put() works with. */
struct nft_putting {
	struct nft_services *s;
	struct nft_service *service;
	const struct svc_plan *plans;
	size_t n_plans;
	struct nft_ops *ops;
	struct err *e; /* of the first limit */
	int rc;
	struct nft_port *ports;
	uint32_t n_ports, cap_ports;
	struct nft_fact **facts;
	uint32_t n_facts, cap_facts;
	struct nft_sources *sources[2];
};

/* ---- services_facts.c */

struct nft_fact *nft_fact_get(const struct nft_services *s, const struct nft_fact_key *key);
const struct nft_holder *nft_fact_first(const struct nft_fact *f); /* NULL: nobody */
struct nft_fact_key nft_fact_key(uint8_t kind, const struct ipaddr *ip, uint8_t family);
struct nft_fact_key nft_front_fact(const struct svc_plan *plan, const struct svc_front *f);
/* The Service holds the fact from now on, with this value. */
int nft_fact_hold(struct nft_putting *p, const struct nft_fact_key *key,
		  const struct nft_front_value *value);
void nft_fact_release(struct nft_services *s, struct nft_ops *ops, struct nft_fact *f,
		      const struct nft_service *service);

/* ---- services_ports.c */

/* The ports of all plans; limits are noted in `p`, -ENOMEM is returned. */
int nft_ports_make(struct nft_putting *p);
/* Of what a front that goes this way (enum svc_way) leads to. */
uint32_t nft_port_id(const struct nft_port *port, uint8_t way);
/* `q` NULL: the port ends. */
void nft_port_set(struct nft_putting *p, const struct svc_plan *plan, const struct svc_port *q,
		  struct nft_port *now);

/* ---- service_elems.c */

/* The elements that tell one front, of `service`, turned from `old` to `now`; either may be NULL. */
void nft_front_elems(const struct nft_services *s, const struct nft_sink *to,
		     const struct nft_fact_key *key, const struct nft_holder *old,
		     const struct nft_holder *now);
/* Cluster IPs and hairpins. */
void nft_address_elem(const struct nft_services *s, const struct nft_sink *to,
		      const struct nft_fact_key *key, bool add);
/* Slots from..n-1 of `g`, in the maps that its kind of choice reads. */
void nft_slot_elem(const struct nft_services *s, const struct nft_sink *to,
		   const struct nft_group *g, uint32_t slot, const struct nft_slot *v, bool add);
void nft_kept_elem(const struct nft_services *s, const struct nft_sink *to,
		   const struct nft_choice *c, const struct nft_slot *v, bool add);
void nft_size_elem(const struct nft_services *s, const struct nft_sink *to, uint32_t id,
		   uint32_t number, bool add);
/* The way of a chooser to a group. */
void nft_way_elem(const struct nft_services *s, const struct nft_sink *to, unsigned group,
		  uint32_t chooser, uint32_t id, bool add);
/* A client's way from an endpoint that is gone. */
void nft_back_elem(const struct nft_services *s, const struct nft_sink *to,
		   const struct nft_group *g, uint32_t kept);

/* ---- service_groups.c */

/* Turns `g` into the group of these endpoints, `n` of them in `wanted`; 0 ends it. */
int nft_group_set(struct nft_services *s, struct nft_ops *ops, struct nft_group *g,
		  const struct nft_choice *kind, struct nft_slot *wanted, uint32_t n,
		  struct err *e);
void nft_group_fini(struct nft_group *g);
/* Ids of groups and choosers; 0: none is left. */
uint32_t nft_id_take(struct nft_services *s);
void nft_id_use(struct nft_services *s, uint32_t id);
void nft_id_drop(struct nft_services *s, uint32_t id);
/* Choices without users lose their chains where they are many, or no endpoint is left. */
void nft_numbers_sweep(struct nft_services *s, struct nft_ops *ops);
/* A choice's chain and its element in `choices`. */
void nft_number_elem(const struct nft_services *s, const struct nft_sink *to, uint32_t number,
		     bool add);

/* ---- services_adopt.c */

/* Fills a new port with what an earlier run had for one of its fronts. */
void nft_adopt_port(struct nft_services *s, const struct nft_fact_key *front, bool chooser,
		    unsigned group, struct nft_port *port);
void nft_adopted_fini(struct nft_services *s);
uint8_t nft_adopted_proto(uint8_t number); /* IPPROTO_* → enum protocol */
/* The set of the frame as it was found; NULL: it is not there, or not of the same types. */
const struct nft_set *nft_adopted_set(const struct nft_table *t, const struct nft_set *like);
