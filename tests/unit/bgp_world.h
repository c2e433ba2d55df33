/* SPDX-License-Identifier: Apache-2.0 */
/* Speakers in one process, joined by queues of bytes instead of sockets: what one sends the other has when world_run() ends, as
 * everything is delivered until all is quiet. The clock stands still unless world_wait() moves it. */
#pragma once
#include "core/bgp/speaker.h"

#define ROUTERS     8
#define CONNECTIONS 64

struct world;

struct router {
	struct world *w;
	struct bgp_speaker *s;
	struct ipaddr addr;
	uint32_t as;
	bool off; /* as if its machine were: nothing arrives, nothing is sent, and nobody is told */
	char log[8192];
};

struct world {
	int64_t now;
	struct router r[ROUTERS];
	unsigned n;
	struct connection {
		struct bgp_peer *
			peer[BGP_SIDES]; /* who made it, who took it; NULL: is not there any more */
		struct router *at[BGP_SIDES];
		struct buf to[BGP_SIDES]; /* bytes for each */
		bool fresh;
	} c[CONNECTIONS];
	unsigned n_c;
	struct connection *offered;
};

void world_init(struct world *w);
void world_fini(struct world *w);
/* 10.0.0.N of this AS; `conf` may be NULL. */
struct router *world_add(struct world *w, uint8_t n, uint32_t as,
			 const struct bgp_speaker_conf *conf);
/* How `r` would configure `of` as its peer: four octets, both families, graceful restart of 120 s. */
struct bgp_peer_conf world_conf(const struct router *r, const struct router *of);
/* These and no others. -ENOMEM. */
int world_peers(struct bgp_speaker *s, const struct bgp_peer_conf *v, size_t n, int64_t now);
/* Both have each other as their only further peer. */
void world_join(struct router *a, struct router *b);
void world_run(struct world *w);
void world_wait(struct world *w, int64_t ms); /* and everything that is due on the way */
/* The connection between both breaks; neither is told before it notices by itself, with `silent`. */
void world_break(struct world *w, const struct router *a, const struct router *b, bool silent);

void originate(struct router *r, const char *prefix);
/* "10.1.0.0/24 via 10.0.0.2 path 65002" of the best path; "" where there is none. */
const char *route(const struct router *r, const char *prefix);
struct bgp_peer *peer(const struct router *r, const struct router *of);
