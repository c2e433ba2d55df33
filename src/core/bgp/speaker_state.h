/* SPDX-License-Identifier: Apache-2.0 */
/* Within speaker: sessions, restarts, times (speaker.c), which peers there are (speaker_peers.c), what they tell (speaker_in.c), what they are
 * told (speaker_out.c). */
#pragma once
#include "core/bgp/speaker.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

/* One family of one peer. */
struct bgp_channel {
	struct bgp_reader *reader; /* while it is told routes */
	struct bgp_out out;
	bool end_said, end_heard; /* End-of-RIB */
	bool stale;               /* its paths are kept from before it restarted */
};

struct bgp_peer {
	struct bgp_speaker *speaker;
	UT_hash_handle hh, hh_addr; /* of all: by name, by address */
	struct bgp_peer_conf conf;  /* its name and filters are copies */
	char *name;
	struct bgp_source source;
	struct bgp_fsm fsm;
	struct bgp_channel channel[BGP_FAMILIES];
	struct bfd bfd, *has_bfd;
	int64_t stale_until; /* ms; 0: nothing is kept */
	uint64_t withdrawn_as_faulty, discarded;
	void *data;
};

struct bgp_speaker {
	struct bgp_speaker_conf conf;
	struct bgp_io io;
	struct bgp_store *store;
	struct bgp_rib *rib[BGP_FAMILIES];
	struct bgp_peer *peers, *by_addr; /* hashes; the first one is the list, too */
	struct bgp_source own;
	struct bgp_actions actions;
	struct arena scratch;
	uint32_t next_index;
	int64_t restart_until; /* ms; 0: what is in the tables may be told */
	int64_t whole_until; /* ms; 0: they hold everything, also of peers that restarted with us */
	uint32_t *free_index, n_free;
};

/* ---- speaker.c */
void bgp_peer_step(struct bgp_peer *p, const struct bgp_input *in, int64_t now_ms);
void bgp_peer_fault(struct bgp_peer *p, enum bgp_side side, const struct bgp_fault *f,
		    int64_t now_ms);
void bgp_peer_note(const struct bgp_peer *p, bool bad, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Everything of the family is told again. */
void bgp_channel_refresh(struct bgp_peer *p, enum bgp_family family);

/* ---- speaker_peers.c */
void bgp_peer_destroy(struct bgp_peer *p); /* its session has ended, and nothing of it is known */

/* ---- speaker_in.c */
void bgp_peer_update(struct bgp_peer *p, enum bgp_side side, const uint8_t *message, size_t len,
		     int64_t now_ms);
void bgp_peer_end_stale(struct bgp_peer *p, enum bgp_family family);

/* ---- speaker_out.c */
int bgp_channel_open(struct bgp_peer *p, enum bgp_family family); /* -ENOMEM */
void bgp_channel_close(struct bgp_peer *p, enum bgp_family family);
void bgp_channel_rewind(struct bgp_peer *p, enum bgp_family family);
