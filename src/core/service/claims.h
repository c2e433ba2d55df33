/* SPDX-License-Identifier: Apache-2.0 */
/* Within this room: which Service holds which address and which node port.
 *
 * A ledger, not a bitmap: ranges of IPv6 have no end, addresses and ports outside of every range
 * are held too, and two Services that people gave the same address both hold it until one is
 * changed. The one that was seen first has it by right, the others are told. A look, a claim and a
 * release cost the logarithm of what is held.
 *
 * Each holder is at most once in one of two queues: `pending`, to be looked at, or `refused`, for
 * which nothing was free. */
#pragma once
#include "base/addr.h"

/* An address, or a port of a protocol; the other part is zero. */
struct claim_key {
	struct ipaddr address;
	uint8_t proto; /* enum protocol */
	uint16_t port;
};

struct claims;
struct holder;

struct claims *claims_new(void); /* NULL: no memory */
void claims_free(struct claims *c);
/* NULL: no such holder, or with `make` no memory. */
struct holder *claims_holder(struct claims *c, const char *ns, const char *name, bool make);
void claims_forget(struct claims *c, struct holder *h); /* and all that it holds */
/* 0 or -ENOMEM. Somebody else may hold it too. */
int claims_take(struct claims *c, struct holder *h, const struct claim_key *k);
/* Of what it holds now, all goes back with claims_settle() that is not taken again before: what
 * stays keeps its right. Was there any? Nobody is woken. */
void claims_loosen(struct holder *h);
bool claims_settle(struct claims *c, struct holder *h);
/* Who has it by right; NULL: nobody. */
const struct holder *claims_by(const struct claims *c, const struct claim_key *k);
const char *holder_ns(const struct holder *h);
const char *holder_name(const struct holder *h);

void claims_pend(struct claims *c, struct holder *h);
struct holder *claims_next(struct claims *c); /* takes it out of `pending`; NULL: none */
bool claims_pending(const struct claims *c);
void claims_wake(struct claims *c);   /* something was given back: the refused are pending */
void claims_served(struct holder *h); /* the next refusal is news */
/* Was it refused for another reason, or not at all, when this was asked last? */
bool claims_refuse(struct claims *c, struct holder *h, uint64_t reason);
