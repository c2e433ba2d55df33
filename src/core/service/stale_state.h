/* SPDX-License-Identifier: Apache-2.0 */
/* Within this room: what the node's UDP and SCTP fronts lead to, and led to.
 *
 *   front    by protocol, address and port: the claims of those Services that have it
 *   service  its claims, each a front and the port behind it; ports hold all endpoints, sorted
 *   gone     pairs of front and endpoint that held once: noted when the endpoint went or stopped to
 *            serve, forgotten after the pass that began later */
#pragma once
#include "core/service/stale.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

/* Keys of hashes are made of these, so no byte of them is padding. */
struct stale_where {
	struct ipaddr ip;
	uint8_t zero;
	uint16_t port;
};

struct stale_front_key {
	uint8_t proto;     /* IPPROTO_* */
	uint8_t node_port; /* `at.ip` has only a family */
	struct stale_where at;
};

struct stale_endpoint {
	struct stale_where at;
	bool serves;
};

struct stale_port {
	uint32_t n, serving;
	struct stale_endpoint *v; /* as svc_port's: by address and port */
};

struct stale_front {
	struct stale_front_key key;
	struct stale_claim *claims;
	UT_hash_handle hh;
};

struct stale_claim {
	struct stale_front *front;
	const struct stale_port *port;
	const struct stale_service *service;
	struct stale_claim *next; /* of the front */
};

struct stale_service {
	char *name; /* namespace/name */
	uint32_t n_ports, n;
	struct stale_port *ports;
	struct stale_claim *v;
	UT_hash_handle hh;
};

struct stale_pair {
	struct stale_front_key front;
	struct stale_where endpoint;
};

struct stale_gone {
	struct stale_pair key;
	uint64_t change; /* that it went with */
	UT_hash_handle hh;
	char service[];
};

struct svc_stale {
	struct stale_front *fronts;
	struct stale_service *services;
	struct stale_gone *gone;
	uint64_t change, begun, done; /* numbers of changes that may leave something stale */
};

enum standing { ABSENT, LISTED, SERVES };

/* What `at` is to the front, the best that any Service says. */
enum standing stale_standing(const struct stale_front *f, const struct stale_where *at);
/* By another Service than this one; NULL: by any. */
bool stale_is_served(const struct stale_front *f, const struct stale_service *but);
