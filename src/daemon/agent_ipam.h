/* SPDX-License-Identifier: Apache-2.0 */
/* The address book on disk and against the store: core/ipam decides, this part writes its journal
 * (STATE/ipam.journal, under the lock of STATE/ipam.lock) before any answer leaves, carries its
 * block writes to watch, and hands their outcome back.
 *
 * Bridges: the gateway of a network's bridge in a block is an address like any other, held by an
 * attachment of its own: container ".gateway" (no runtime's id begins with a dot), the block as
 * interface name, the bridge as host link. So the journal also remembers which bridge is ours. */
#pragma once
#include "core/ipam/ipam.h"
#include "daemon/agent.h"

#define AGENT_GATEWAY ".gateway"

int agent_ipam_open(struct agent *a, struct err *e);
void agent_ipam_close(struct agent *a);
const struct ipam *agent_ipam_book(const struct agent *a);

/* Was the journal written in another boot of the machine? Notes this one. */
bool agent_ipam_other_boot(const struct agent *a);
void agent_ipam_note_boot(struct agent *a);
/* Does the book know who ended? Not of those before this process, where it was lost. */
bool agent_ipam_remembers(const struct agent *a);
/* Why the journal cannot be written, or NULL. */
const char *agent_ipam_trouble(const struct agent *a);

/* Tells the book what the store says now. */
int agent_ipam_sync(struct agent *a, struct err *e);
/* When the store was heard, in sync or stale: takes over what a lost journal held, once. */
void agent_ipam_adopt(struct agent *a);
/* Is this host link, which nobody wants, to be left alone: the reaper has it, or the journal was
 * lost and a living pod that nobody recognised may be behind it? */
bool agent_ipam_keeps_link(const struct agent *a, const char *hostif);
/* Has an attachment, live or dying, this host link? */
bool agent_ipam_has_link(const struct agent *a, const char *hostif);

/* ipam_take() with its journal on disk and its write under way; out->action is not for the
 * caller. Grants lie in `ar`. The verdict is IPAM_TAKEN, or IPAM_WAIT: call again when agent_wake()
 * says so, or ipam_cancel() past your deadline. */
int agent_ipam_take(struct agent *a, const struct ipam_request *q, struct arena *ar,
		    struct ipam_answer *out, struct err *e);
void agent_ipam_cancel(struct agent *a, const struct ipam_request *q);
/* An end that cannot be written is an end all the same: nothing is given out before the journal is
 * written anew, and whoever reads the old one takes the address for used. */
int agent_ipam_dying(struct agent *a, uint64_t id, int64_t ifindex, struct err *e);
int agent_ipam_release(struct agent *a, uint64_t id, struct err *e);
int agent_ipam_adopt_one(struct agent *a, const struct ipam_attachment *at, struct err *e);
/* Gives back every empty block from now on (node cleanup). */
void agent_ipam_surrender(struct agent *a);

/* This node's tunnel address; family 0: none. */
struct ipaddr agent_ipam_tunnel(const struct agent *a, uint8_t family);
/* The bridge of a network; false: it has none (yet). */
bool agent_ipam_bridge(const struct agent *a, const char *network, char out[IFNAME_LEN]);
/* The network's gateway in `block`, or any of the block's family where `exact` is false. */
struct ipaddr agent_ipam_gateway(const struct agent *a, const char *network,
				 const struct prefix *block, bool exact);
static inline bool agent_ipam_is_gateway(const struct ipam_attachment *at)
{
	return at->container[0] == '.';
}
