// SPDX-License-Identifier: Apache-2.0
/* house: what the book does without being asked. One write at a time per block; each is decided
 * from the view as it is, so a write that was lost is decided anew when the view has caught up.
 *
 * Whatever gives something up (deletes a block of ours, ends a loan to us) is noted in the journal
 * before it is sent: if we are killed before the answer, the block or the loan is not used again
 * until the store shows what happened. */
#include "core/ipam/state.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define LOST_MS   5000              /* the view had time enough to show who was faster */
#define FORGET_MS 60000             /* an unknown write that gives nothing up may be forgotten */
#define NAMES_MAX (JOURNAL_MAX / 2) /* of a borrower: what a loan's entry has room for */

struct keeping {
	struct ipam *s;
	const struct ipam_turn *t;
	struct ipam_answer *out;
	struct err *e;
};

static int send_action(const struct keeping *k, const struct ipam_action *a, bool gives_up)
{
	struct journal_entry j = { .op = JOURNAL_INTENT,
				   .time = k->t->now,
				   .rev = (int64_t)a->rev,
				   .block = a->block.meta.name,
				   .cidr = a->block.spec.cidr,
				   .deletes = a->type == IPAM_DELETE };

	if (gives_up && book_write(k->s, &j, k->t->journal, k->e))
		return -ENOMEM;
	if (write_send(k->s, a, gives_up, k->e))
		return -ENOMEM;
	k->out->verdict = IPAM_ACTION;
	k->out->action = *a;
	return 0;
}

/* No write may be sent now: one is under way, was lost, or failed a moment ago. */
static bool busy(const struct keeping *k, const struct store_write *w)
{
	if (!w || w->state == WRITE_DONE)
		return false;
	return w->state != WRITE_UNKNOWN ||
	       (k->t->now >= w->at && k->t->now - w->at < IPAM_RETRY_MS);
}

/* ---- the owner's side of loans */

static struct slot *loan_of(const struct ipam *s, const struct prefix *cidr,
			    const struct block_borrow *w)
{
	struct slot *k = slot_from(s, &cidr->addr);

	for (; k < s->slots + s->n_slots && prefix_has(cidr, &k->addr); k++)
		if (k->lent_to && !strcmp(k->lent_to, w->node) && !strcmp(k->handle, w->handle) &&
		    (!w->address.family || addr_eq(&w->address, &k->addr)))
			return k;
	return NULL;
}

static int lend(const struct keeping *k, const struct ipaddr *a, const struct block_borrow *w)
{
	struct journal_entry j = { .op = JOURNAL_LEND,
				   .time = k->t->now,
				   .addr = *a,
				   .node = w->node,
				   .handle = w->handle };

	return book_write(k->s, &j, k->t->journal, k->e);
}

static bool can_lend(const struct keeping *k, const struct view_block *b,
		     const struct block_borrow *w, struct ipaddr *a)
{
	const struct view_pool *p = pool_of_block(k->s, b);
	const struct slot *slot = slot_find(k->s, &w->address);
	const struct suitable fresh = { .now = k->t->now };
	const struct suitable any = { .now = k->t->now, .cooling = true };

	if (!p || p->p->spec.strictAffinity || !block_usable(k->s, b) ||
	    strlen(w->node) + strlen(w->handle) > NAMES_MAX)
		return false;
	if (!w->address.family)
		return free_address(k->s, b, &fresh, a) || free_address(k->s, b, &any, a);
	*a = w->address;
	return prefix_has(&b->b.spec.cidr, a) && !is_tunnel(k->s, a) &&
	       !(slot && (slot->owner || slot->lent_to));
}

/* Decides one entry of a block of ours. Returns whether it changed, or a negative errno. */
static int answer_entry(const struct keeping *k, const struct view_block *b, struct block_borrow *w)
{
	struct slot *loan = loan_of(k->s, &b->b.spec.cidr, w);
	struct ipaddr a = w->address;
	int r;

	if (!strcmp(w->node, k->s->node) || w->state == BORROW_REFUSED ||
	    (w->state == BORROW_GRANTED && (loan || !w->address.family)))
		return 0;
	if (loan) {
		a = loan->addr;
	} else if (!can_lend(k, b, w, &a)) {
		/* Granted in a life that the journal does not know, and in use: see show.c. */
		if (w->state == BORROW_GRANTED)
			return 0;
		w->state = BORROW_REFUSED;
		return 1;
	} else {
		r = lend(k, &a, w);
		if (r)
			return r;
	}
	if (w->state == BORROW_GRANTED)
		return 0;
	w->address = a;
	w->state = BORROW_GRANTED;
	return 1;
}

static int answer_borrowers(const struct keeping *k, const struct view_block *b)
{
	struct ipam_action a = { .type = IPAM_UPDATE, .rev = b->rev };
	bool changed = false;

	if (!b->b.spec.borrowed.n)
		return 0;
	if (block_copy(k->t->arena, &b->b, &a.block))
		return err_set(k->e, -ENOMEM, "no memory");
	for (uint32_t i = 0; i < a.block.spec.borrowed.n; i++) {
		int r = answer_entry(k, b, &a.block.spec.borrowed.v[i]);

		if (r < 0)
			return r;
		changed = changed || r;
	}
	a.why = "answer who wants to borrow";
	return changed ? send_action(k, &a, false) : 0;
}

/* Loans whose entry is gone from the store come back. */
static int end_loans(const struct keeping *k)
{
	struct ipam *s = k->s;

	for (size_t i = 0; i < s->n_slots; i++) {
		const struct slot *slot = &s->slots[i];
		const struct view_block *b = block_at(s, &slot->addr);
		struct journal_entry j = { .op = JOURNAL_UNLEND,
					   .time = k->t->now,
					   .addr = slot->addr };
		bool listed = false;
		int r;

		if (!slot->lent_to)
			continue;
		for (uint32_t n = 0; b && b->own && n < b->b.spec.borrowed.n; n++)
			listed = listed ||
				 loan_of(s, &b->b.spec.cidr, &b->b.spec.borrowed.v[n]) == slot;
		if (listed)
			continue;
		r = book_write(s, &j, k->t->journal, k->e);
		if (r)
			return r;
	}
	return 0;
}

/* ---- the borrower's side */

static int return_loans(const struct keeping *k, const struct view_block *b)
{
	const struct store_write *w = write_of(k->s, &b->b.spec.cidr);
	bool again = w && w->state == WRITE_UNKNOWN && w->gives_up, gives_up = false;
	struct ipam_action a = { .type = IPAM_UPDATE, .rev = b->rev };
	uint32_t n = 0;

	if (!b->b.spec.borrowed.n)
		return 0;
	if (block_copy(k->t->arena, &b->b, &a.block))
		return err_set(k->e, -ENOMEM, "no memory");
	for (uint32_t i = 0; i < b->b.spec.borrowed.n; i++) {
		const struct block_borrow *v = &b->b.spec.borrowed.v[i];

		if (strcmp(v->node, k->s->node) != 0 || loan_used(k->s, k->t->arena, v) ||
		    (is_pending(k->s, v->handle) && !again))
			a.block.spec.borrowed.v[n++] = a.block.spec.borrowed.v[i];
		else
			gives_up = gives_up || v->state == BORROW_GRANTED;
	}
	if (n == b->b.spec.borrowed.n)
		return 0;
	a.block.spec.borrowed.n = n;
	a.why = "give a borrowed address back";
	return send_action(k, &a, gives_up);
}

/* ---- blocks of our own */

/* Nobody uses, or is about to use, an address of the block. */
static bool block_empty(const struct keeping *k, const struct view_block *b, bool *cooling)
{
	const struct ipam *s = k->s;
	const struct prefix *cidr = &b->b.spec.cidr;
	const struct slot *slot = slot_from(s, &cidr->addr);

	for (; slot < s->slots + s->n_slots && prefix_has(cidr, &slot->addr); slot++) {
		if (slot->owner || slot->lent_to)
			return false;
		*cooling = *cooling || slot_cooling(s, slot, k->t->now);
	}
	for (uint32_t i = 0; i < b->b.spec.borrowed.n; i++)
		if (b->b.spec.borrowed.v[i].state != BORROW_REFUSED)
			return false;
	return true;
}

/* The one block of a family that a node keeps though it is empty: the tunnel address', or the
 * first, so that the next pod finds one. */
static const struct view_block *kept_block(const struct ipam *s, uint8_t family)
{
	struct ipaddr tunnel = ipam_tunnel(s, family);

	if (tunnel.family && tunnel_needed(s, family))
		return block_at(s, &tunnel);
	for (size_t i = 0; i < s->n_blocks; i++)
		if (s->blocks[i].b.spec.cidr.addr.family == family &&
		    block_usable(s, &s->blocks[i]))
			return &s->blocks[i];
	return NULL;
}

static int release_block(const struct keeping *k, const struct view_block *b)
{
	const struct ipam *s = k->s;
	const struct store_write *w = write_of(s, &b->b.spec.cidr);
	struct ipam_action a = { .type = IPAM_DELETE,
				 .rev = b->rev,
				 .why = "give back an empty "
					"block" };
	bool again = w && w->state == WRITE_UNKNOWN && w->type == IPAM_DELETE;
	bool cooling = false;

	if (again) {
		/* A view of old cannot say whether the block is still the empty one. */
		if (b->rev != w->expect)
			return 0;
	} else {
		if (!block_empty(k, b, &cooling))
			return 0;
		if (!s->surrender &&
		    (cooling || s->n_pending || b == kept_block(s, b->b.spec.cidr.addr.family)))
			return 0;
	}
	if (block_copy(k->t->arena, &b->b, &a.block))
		return err_set(k->e, -ENOMEM, "no memory");
	return send_action(k, &a, true);
}

static int claim_any(const struct keeping *k, uint8_t family)
{
	const struct ipam *s = k->s;

	for (size_t i = 0; i < s->n_pools; i++) {
		const struct view_pool *p = &s->pools[i];
		int64_t max = p->p->spec.maxBlocksPerNode;
		struct ipam_action a;
		struct prefix cidr;

		if (!p->serves || p->p->spec.cidr.addr.family != family ||
		    p->p->spec.mode == POOL_DIRECT || (max && own_blocks(s, p) >= (size_t)max) ||
		    !free_block(s, p, &cidr))
			continue;
		if (claim_action(s, p, &cidr, k->t->arena, &a, k->e))
			return -ENOMEM;
		return send_action(k, &a, false);
	}
	return 0;
}

static int get_tunnel(const struct keeping *k, uint8_t family)
{
	struct ipam *s = k->s;

	if (s->surrender || !tunnel_wanted(s, family))
		return 0;
	for (size_t i = 0; i < s->n_blocks; i++) {
		const struct view_block *b = &s->blocks[i];
		const struct store_write *w = write_of(s, &b->b.spec.cidr);
		struct ipam_action a = { .type = IPAM_UPDATE,
					 .rev = b->rev,
					 .why = "take a tunnel address" };
		const struct suitable want = { .now = k->t->now };
		struct ipaddr t = { 0 };

		if (b->b.spec.cidr.addr.family != family || !block_usable(s, b))
			continue;
		if (busy(k, w))
			return 0;
		/* Sent before, outcome unknown: it must be the same one. */
		if (w && w->state == WRITE_UNKNOWN)
			t = w->block.spec.tunnelAddress;
		if (!t.family && !free_address(s, b, &want, &t))
			continue;
		if (block_copy(k->t->arena, &b->b, &a.block))
			return err_set(k->e, -ENOMEM, "no memory");
		a.block.spec.tunnelAddress = t;
		return send_action(k, &a, false);
	}
	for (size_t i = 0; i < s->n_writes; i++)
		if (s->writes[i]->type == IPAM_CREATE && busy(k, s->writes[i]) &&
		    s->writes[i]->block.spec.cidr.addr.family == family)
			return 0;
	return claim_any(k, family);
}

/* Somebody deleted a block whose addresses are in use here: it becomes ours again. */
static int reclaim(const struct keeping *k, const struct ipam_attachment *at)
{
	struct ipam *s = k->s;

	for (uint32_t i = 0; i < at->addrs.n; i++) {
		const struct view_pool *p = pool_of(s, &at->addrs.v[i]);
		struct prefix cidr = { at->addrs.v[i], p ? p->block_len : 0 }, hit;
		struct ipam_action a;

		if (!p || block_at(s, &at->addrs.v[i]))
			continue;
		cidr = prefix_mask(&cidr);
		if (block_overlap(s, &cidr, &hit))
			continue;
		if (claim_action(s, p, &cidr, k->t->arena, &a, k->e))
			return -ENOMEM;
		a.why = "take back a block whose addresses are in use";
		return send_action(k, &a, false);
	}
	return 0;
}

/* ---- */

static void forget_writes(const struct keeping *k)
{
	struct ipam *s = k->s;

	for (size_t i = 0; i < s->n_writes; i++) {
		const struct store_write *w = s->writes[i];
		int64_t age = k->t->now - w->at;
		bool old = (w->state == WRITE_LOST && age > LOST_MS) ||
			   (w->state == WRITE_UNKNOWN && age > FORGET_MS && !w->gives_up &&
			    (w->type == IPAM_CREATE || !w->block.spec.tunnelAddress.family));

		if (old)
			write_drop(s, i--);
	}
}

/* What was given up, or taken from us, is in no view before this one. */
static int note_floor(const struct keeping *k)
{
	return k->s->floor != k->s->noted ? ipam_boot(k->s, k->s->boot, k->t, k->e) : 0;
}

static int keep_blocks(const struct keeping *k)
{
	struct ipam *s = k->s;

	for (size_t i = 0; i < s->n_blocks; i++) {
		const struct view_block *b = &s->blocks[i];
		int r = 0;

		if (busy(k, write_of(s, &b->b.spec.cidr)))
			continue;
		if (b->own)
			r = answer_borrowers(k, b);
		else if (s->live)
			r = return_loans(k, b);
		if (!r && b->own && k->out->verdict == IPAM_IDLE)
			r = release_block(k, b);
		if (r || k->out->verdict != IPAM_IDLE)
			return r;
	}
	return 0;
}

int ipam_housekeep(struct ipam *s, const struct ipam_turn *t, struct ipam_answer *out,
		   struct err *e)
{
	struct ipam_answer answer = { .verdict = IPAM_IDLE };
	struct keeping k = { .s = s, .t = t, .out = &answer, .e = e };
	int r = 0;

	if (s->known) {
		forget_writes(&k);
		r = note_floor(&k);
		if (!r && s->live)
			r = end_loans(&k);
		if (!r)
			r = keep_blocks(&k);
		if (!r && answer.verdict == IPAM_IDLE)
			r = get_tunnel(&k, AF_INET);
		if (!r && answer.verdict == IPAM_IDLE)
			r = get_tunnel(&k, AF_INET6);
		for (size_t i = 0; s->live && !s->surrender && i < s->n_atts; i++)
			if (!r && answer.verdict == IPAM_IDLE && s->atts[i]->state == IPAM_LIVE)
				r = reclaim(&k, s->atts[i]);
	}
	if (r)
		return r;
	*out = answer;
	return 0;
}

void ipam_surrender(struct ipam *s, bool on)
{
	s->surrender = on;
}
