/* SPDX-License-Identifier: Apache-2.0 */
/* The address book of one node: which attachment has which address, as a state machine without
 * I/O. It is told what the store says (ipam_sync) and what a write came to (ipam_outcome); it
 * says what to put on disk, what to write to the store, and which address a container gets.
 *
 * Rules that hold whatever fails:
 *  1. An address is in use on at most one node, by at most one attachment. A node gives out
 *     only what lies in blocks that the store says are its own, or that the owner has granted.
 *  2. Bytes that a call appends to turn.journal must be on disk (write + fdatasync) before its
 *     answer or action leaves the process; then ipam_synced(). If writing fails: ipam_undo().
 *  3. A request gets an address of every wanted family or none; nothing is held for a request
 *     that did not end in IPAM_TAKEN.
 *
 * How the agent drives it, one request:
 *     for (;;) switch (ipam_take(s, &q, &turn, &answer, e)) — verdict in answer.verdict
 *       TAKEN   write the journal, answer.
 *       ACTION  write the journal, send answer.action to the store (REC_WRITE), report what came
 *               of it with ipam_outcome(), call again; where the store is away (an errno that is
 *               no lost race): ipam_cancel() and answer CNI_ERR_TRY_LATER.
 *       WAIT    call again after the next ipam_outcome() or ipam_sync(); past your deadline
 *               ipam_cancel() and answer CNI_ERR_TRY_LATER.
 *       error   answer it (ipam_take() has cancelled the request).
 * In the background, after each sync, each release and every few seconds: ipam_housekeep()
 * until IPAM_IDLE, treating its actions alike.
 *
 * Borrowing (an address in a block that another node owns): the borrower appends an entry to the
 * block's spec.borrowed by compare-and-swap, without address where any will do; the owner, the
 * only one who knows what is free in its block, journals the loan and marks the entry Granted
 * (filling in the address) or Refused, in its housekeeping; then the borrower may use it. Once
 * it does no longer, its housekeeping removes the entry. So an owner that is away lends nothing.
 *
 * Times are milliseconds of the real-time clock: they outlive a restart. Owner of all memory
 * returned as pointer to const is the state, valid until its next change; what an answer points
 * to lies in turn.arena. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "model/cluster.h"

struct ipam;

#define IPAM_COOLDOWN_MS 30000
#define IPAM_MAX_WANTED  8 /* requested addresses of one attachment */

/* The outside world during one call. */
struct ipam_turn {
	int64_t now;
	struct arena *arena;
	struct buf *journal; /* appended to: rule 2 */
};

/* ---- attachments: a container's interface in a network, and what it holds */

enum ipam_state {
	IPAM_LIVE,
	IPAM_DYING, /* addresses are free (cooling), the link is still to be reaped, and its connections */
};

struct ipam_attachment {
	uint64_t id;                                    /* this node's, never reused */
	uint8_t state;                                  /* enum ipam_state */
	uint8_t attach;                                 /* enum cni_attach */
	uint8_t ipam_only;                              /* no interface of ours behind it */
	const char *network, *container, *ifname;       /* the key among LIVE ones */
	const char *pod_namespace, *pod_name, *pod_uid; /* NULL: a bare container */
	const char *netns;                              /* path as the runtime named it */
	const char *hostif;                             /* the node's end; NULL where ipam_only */
	struct macaddr mac;
	int64_t ifindex; /* of hostif, known from DYING on; 0: unknown */
	int64_t since;   /* taken at */
	LIST(struct ipaddr) addrs;
	LIST(struct port_mapping) ports; /* of the node that lead here: core/hostport */
};

const struct ipam_attachment *ipam_find(const struct ipam *s, const char *network,
					const char *container, const char *ifname); /* LIVE only */
const struct ipam_attachment *ipam_find_addr(const struct ipam *s, const struct ipaddr *a);
const struct ipam_attachment *ipam_by_id(const struct ipam *s, uint64_t id);
/* All of them, live and dying, in the order of their ids. */
const struct ipam_attachment *const *ipam_all(const struct ipam *s, size_t *n);

/* ---- life of the state */

/* NULL when out of memory. `node` is copied. */
struct ipam *ipam_new(const char *node, int64_t cooldown_ms);
void ipam_free(struct ipam *s);

/* Takes over what the store says; copies what it needs. `revision` is that of the last
 * REC_SYNC. `live`: the view is complete and current, not a stale snapshot; only then is
 * anything given back because the store does not have it. From a view that is older than the
 * last block or loan that this node gave up, in this life or the one of the journal, nothing is
 * given out: it may show as ours what is another's by now. */
int ipam_sync(struct ipam *s, const struct cluster *c, uint64_t revision, bool live, struct err *e);

/* Replays a journal into a fresh state. `*good` is the length of the intact part: the caller
 * truncates the file to it (a torn tail was never answered for), then fdatasync() and
 * ipam_synced(). An empty input is a new journal. -EBADMSG: damaged in what was on disk before
 * later entries; nothing may be given out from it, the caller rebuilds (ipam_adopt) or stops. */
int ipam_replay(struct ipam *s, const void *p, size_t n, size_t *good, struct err *e);
/* All that was appended so far is on disk. */
void ipam_synced(struct ipam *s);
/* The journal could not be written: forgets attachment `id` as if it had never been taken
 * (0: nothing to forget). The file's tail is unknown now: rewrite it by ipam_snapshot(). */
void ipam_undo(struct ipam *s, uint64_t id);
/* A whole new journal that holds just the present state: write to a new file, fsync, rename. */
int ipam_snapshot(struct ipam *s, int64_t now, struct buf *out, struct err *e);
/* Is the file worth rewriting at this size? */
bool ipam_compact_due(const struct ipam *s, size_t file_bytes);

const char *ipam_boot_id(const struct ipam *s); /* of the last ipam_boot(), or NULL */
int ipam_boot(struct ipam *s, const char *boot_id, const struct ipam_turn *t, struct err *e);

/* ---- giving out */

enum ipam_family { IPAM_V4 = 1, IPAM_V6 = 2 };

struct ipam_request {
	/* id, state and since are ignored; addrs are the requested addresses */
	struct ipam_attachment at;
	uint8_t families; /* IPAM_V4 | IPAM_V6; 0: each that has a pool for this node */
	/* The block will be a subnet on a link. Not for this attachment are its first and last
	 * IPv4 address, which hosts there take for the network and for broadcast, and its first
	 * IPv6 address, to which every router there answers (RFC 4291, section 2.6.1). */
	uint8_t on_link;
	LIST(const char *) pools; /* names or CIDRs, in order of preference; empty: all */
};

enum ipam_verdict { IPAM_IDLE, IPAM_TAKEN, IPAM_ACTION, IPAM_WAIT };
enum ipam_action_type { IPAM_CREATE, IPAM_UPDATE, IPAM_DELETE };

/* One write of an IPBlock, to be sent as it is. */
struct ipam_action {
	uint8_t type; /* enum ipam_action_type: WRITE_CREATE, WRITE_UPDATE, WRITE_DELETE */
	uint64_t rev; /* the revision to expect; 0 for CREATE */
	struct ipblock block;
	const char *why; /* for the log */
};

struct ipam_grant {
	struct ipaddr address;
	const char *pool;
	struct prefix pool_cidr, block; /* block: the one that it lies in */
	uint8_t borrowed;               /* from another node's block */
};

struct ipam_answer {
	uint8_t verdict;                  /* enum ipam_verdict */
	const struct ipam_attachment *at; /* TAKEN */
	LIST(struct ipam_grant) grants;   /* TAKEN: one per family or requested address */
	struct ipam_action action;        /* ACTION */
};

/* 0, or -EEXIST (this attachment lives already), -ENOSPC (exhausted), -EADDRINUSE (by whom is
 * in the text), -ENOENT (no such pool, no pool for this node, or address in none), -EPERM
 * (strictAffinity, disabled), -EINVAL, -EAGAIN (the store is not known yet), -ENOMEM. */
int ipam_take(struct ipam *s, const struct ipam_request *q, const struct ipam_turn *t,
	      struct ipam_answer *out, struct err *e);
/* Gives up a request that was answered ACTION or WAIT. */
void ipam_cancel(struct ipam *s, const char *network, const char *container, const char *ifname);
/* What became of an action: 0 and the new revision, -EEXIST, -ENOENT or -ESTALE (lost the
 * race), any other negative errno (the store is away: call for each action still unanswered
 * when the stream breaks). */
int ipam_outcome(struct ipam *s, const struct ipam_action *a, int code, uint64_t rev, int64_t now,
		 struct err *e);
/* Takes an attachment over as found in the kernel and the store, after the journal was lost. */
int ipam_adopt(struct ipam *s, const struct ipam_attachment *at, const struct ipam_turn *t,
	       struct err *e);

/* ---- taking back */

/* LIVE → DYING: the addresses cool down, the link `ifindex` is still to be reaped. */
int ipam_dying(struct ipam *s, uint64_t id, int64_t ifindex, const struct ipam_turn *t,
	       struct err *e);
/* LIVE or DYING → forgotten. -ENOENT: no such attachment. */
int ipam_release(struct ipam *s, uint64_t id, const struct ipam_turn *t, struct err *e);

struct ipam_key {
	const char *container, *ifname;
};
/* CNI GC: is `at` a LIVE attachment of `network` that is not among `valid`? Then it is to be torn
 * down as DEL does. */
bool ipam_gc(const struct ipam_attachment *at, const char *network, const struct ipam_key *valid,
	     size_t n);

/* ---- background */

/* The next write that the state wants: give back an empty block or a borrowed address that is
 * not used, answer who wants to borrow, get the tunnel address, take back a block of ours that
 * vanished. out.verdict is IPAM_ACTION or IPAM_IDLE. */
int ipam_housekeep(struct ipam *s, const struct ipam_turn *t, struct ipam_answer *out,
		   struct err *e);
/* From now on every empty block is given back at once and none is claimed (node cleanup). */
void ipam_surrender(struct ipam *s, bool on);
/* This node's own address of a family; family 0 while there is none. */
struct ipaddr ipam_tunnel(const struct ipam *s, uint8_t family);

/* ---- looking */

struct ipam_block_use {
	const char *name, *pool, *node;
	struct prefix cidr;
	struct ipaddr tunnel;
	uint64_t size;
	uint32_t used, cooling, lent, reserved; /* known for own blocks only, except lent */
	uint8_t own;
};
/* Every block of the cluster, sorted by address; in `a`. */
int ipam_usage(const struct ipam *s, int64_t now, struct arena *a, struct ipam_block_use **v,
	       size_t *n, struct err *e);

struct ipam_problem {
	const char *what; /* "no-block", "not-granted", "lost-loan", "tunnel-in-use" */
	struct ipaddr address;
	uint64_t id; /* the attachment, or 0 */
	const char *text;
};
/* Where journal and store disagree; in `a`. */
int ipam_check(const struct ipam *s, struct arena *a, struct ipam_problem **v, size_t *n,
	       struct err *e);
