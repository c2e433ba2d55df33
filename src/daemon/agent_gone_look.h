/* SPDX-License-Identifier: Apache-2.0 */
/* Connections of addresses whose pods are gone. An address comes back to another pod, and what the
 * connection table still holds of it would pass as that pod's own, whatever policies say of it: the
 * kernel judges first packets only. So each attachment that ended is noted, and every entry with one of
 * its addresses at an end, also a translated one, is to go, unless a pod has the address.
 *
 * A look that began after the attachment ended sees all there is: its pod sends nothing any more, and
 * an entry that no answer came to is none that passes. Until it is through, the address book keeps the
 * attachment (DYING), on disk: an agent that was killed in between leaves the look to the next one. */
#pragma once
#include "core/ipam/ipam.h"
#include "model/conntrack.h"

struct gone_look;

struct gone_look *gone_look_new(void);    /* NULL: no memory */
void gone_look_free(struct gone_look *l); /* NULL is fine */

/* Its pod is cut off. To say so twice does no harm. */
int gone_look_add(struct gone_look *l, const struct ipam_attachment *at, struct err *e);
/* Is the look for attachment `id` still to come, or under way? */
bool gone_look_seeks(const struct gone_look *l, uint64_t id);
/* The same for an address, of whatever attachment. */
bool gone_look_seeks_addr(const struct gone_look *l, const struct ipaddr *addr);

bool gone_look_due(const struct gone_look *l);
/* Around a look through the whole table. One that failed has no `done`: it is due again. What is
 * noted in between is the next one's. */
void gone_look_begin(struct gone_look *l);
/* How many attachments it was for. */
unsigned gone_look_done(struct gone_look *l);

/* The address at an end that makes the entry one to go, as the book has nobody for it; or NULL. */
const struct ipaddr *gone_look_finds(const struct gone_look *l, const struct ipam *book,
				     const struct ct_entry *c);
