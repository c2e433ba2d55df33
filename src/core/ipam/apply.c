// SPDX-License-Identifier: Apache-2.0
/* apply: how the book changes. A change is written as a journal entry and then applied; a
 * replay applies the same entries. apply() checks each, because a journal that gives one address
 * twice must stop the agent rather than be believed. */
#include "core/ipam/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define COMPACT_MIN   (64u << 10)
#define COMPACT_RATIO 4
#define ENTRY_BYTES   256 /* about what one attachment or address takes in a snapshot */

static int apply_take(struct ipam *s, const struct journal_entry *j, struct err *e)
{
	const struct ipam_attachment *at = &j->at;
	char text[ADDR_TEXT];

	/* The last id is left for the one after: next_id never wraps, nor is it 0, which is nobody. */
	if (at->id < s->next_id || at->id >= INT64_MAX || !at->network || !at->container ||
	    !at->ifname)
		return err_set(e, -EBADMSG, "attachment %llu is not usable",
			       (unsigned long long)at->id);
	for (uint32_t i = 0; i < at->addrs.n; i++) {
		const struct slot *k = slot_find(s, &at->addrs.v[i]);

		if (!at->addrs.v[i].family || (k && (k->owner || k->lent_to)))
			return err_set(e, -EBADMSG, "%s is given to attachment %llu but in use",
				       addr_str(&at->addrs.v[i], text), (unsigned long long)at->id);
	}
	if (slots_reserve(s, at->addrs.n, e) || att_add(s, at, e))
		return -ENOMEM;
	for (uint32_t i = 0; i < at->addrs.n; i++)
		slot_make(s, &at->addrs.v[i])->owner = at->id;
	s->next_id = at->id + 1;
	return 0;
}

static void free_addrs(struct ipam *s, const struct ipam_attachment *at, int64_t now)
{
	for (uint32_t i = 0; i < at->addrs.n; i++) {
		struct slot *k = slot_find(s, &at->addrs.v[i]);

		if (k && k->owner == at->id)
			slot_freed(s, k, now);
	}
}

static int apply_end(struct ipam *s, const struct journal_entry *j, struct err *e)
{
	struct ipam_attachment *at = att_get(s, (uint64_t)j->id);

	if (!at || (j->op == JOURNAL_DYING && at->state != IPAM_LIVE))
		return err_set(e, -EBADMSG, "attachment %lld ends but does not live",
			       (long long)j->id);
	if (at->state == IPAM_LIVE)
		free_addrs(s, at, j->time);
	if (j->op == JOURNAL_DYING) {
		at->state = IPAM_DYING;
		at->ifindex = j->ifindex;
		return 0;
	}
	att_remove(s, at->id);
	return 0;
}

static int apply_lend(struct ipam *s, const struct journal_entry *j, struct err *e)
{
	char text[ADDR_TEXT], *mem;
	struct slot *k;
	size_t n, handle_n;

	if (!j->node || !j->handle || !j->addr.family)
		return err_set(e, -EBADMSG, "a loan without node, handle or address");
	if (slots_reserve(s, 1, e))
		return -ENOMEM;
	n = strlen(j->node) + 1;
	k = slot_find(s, &j->addr);
	if (k && k->owner)
		return err_set(e, -EBADMSG, "%s is lent but in use", addr_str(&j->addr, text));
	handle_n = strlen(j->handle) + 1;
	mem = malloc(n + handle_n);
	if (!mem)
		return err_set(e, -ENOMEM, "no memory");
	memcpy(mem, j->node, n);
	memcpy(mem + n, j->handle, handle_n);
	k = slot_make(s, &j->addr);
	free(k->lent_to);
	k->lent_to = mem;
	k->handle = mem + n;
	return 0;
}

static int apply_unlend(struct ipam *s, const struct journal_entry *j, struct err *e)
{
	struct slot *k = slot_find(s, &j->addr);
	char text[ADDR_TEXT];

	if (!k || !k->lent_to)
		return err_set(e, -EBADMSG, "%s comes back but was not lent",
			       addr_str(&j->addr, text));
	free(k->lent_to);
	k->lent_to = k->handle = NULL;
	slot_freed(s, k, j->time);
	return 0;
}

static int apply_boot(struct ipam *s, const struct journal_entry *j, struct err *e)
{
	char *boot;

	if (j->id < 0)
		return err_set(e, -EBADMSG, "the next attachment cannot be %lld", (long long)j->id);
	boot = j->boot ? strdup(j->boot) : NULL;
	if (j->boot && !boot)
		return err_set(e, -ENOMEM, "no memory");
	if (j->node && strcmp(j->node, s->node) != 0) {
		free(boot);
		return err_set(e, -EBADMSG, "the journal belongs to node %s, this is %s", j->node,
			       s->node);
	}
	free(s->boot);
	s->boot = boot;
	if (j->rev)
		s->noted = (uint64_t)j->rev;
	if ((uint64_t)j->id > s->next_id)
		s->next_id = (uint64_t)j->id;
	return 0;
}

static int apply_cool(struct ipam *s, const struct journal_entry *j, struct err *e)
{
	struct slot *k;

	if (!j->addr.family)
		return err_set(e, -EBADMSG, "a freed address is missing");
	if (slots_reserve(s, 1, e))
		return -ENOMEM;
	k = slot_make(s, &j->addr);
	if (k->owner || k->lent_to)
		return err_set(e, -EBADMSG, "an address is both free and in use");
	slot_freed(s, k, j->time);
	return 0;
}

/* A write that gave something up was under way: it may still happen. */
static int apply_intent(struct ipam *s, const struct journal_entry *j, struct err *e)
{
	struct ipam_action a = { .type = j->deletes ? IPAM_DELETE : IPAM_UPDATE,
				 .rev = (uint64_t)j->rev };
	struct store_write *w;
	int r;

	a.block.meta.name = j->block;
	a.block.spec.cidr = j->cidr;
	if (!j->block || !j->cidr.addr.family)
		return err_set(e, -EBADMSG, "an intent without a block");
	r = write_send(s, &a, true, e);
	w = write_of(s, &a.block.spec.cidr);
	if (!r && w)
		w->state = WRITE_UNKNOWN;
	return r;
}

static int apply(struct ipam *s, const struct journal_entry *j, struct err *e)
{
	switch ((enum journal_op)j->op) {
	case JOURNAL_BOOT:
		return apply_boot(s, j, e);
	case JOURNAL_TAKE:
		return apply_take(s, j, e);
	case JOURNAL_DYING:
	case JOURNAL_FREE:
		return apply_end(s, j, e);
	case JOURNAL_COOL:
		return apply_cool(s, j, e);
	case JOURNAL_LEND:
		return apply_lend(s, j, e);
	case JOURNAL_UNLEND:
		return apply_unlend(s, j, e);
	case JOURNAL_INTENT:
		return apply_intent(s, j, e);
	case JOURNAL_NONE:
	case JOURNAL_OPS:
		break;
	}
	return err_set(e, -EBADMSG, "unknown operation");
}

int book_write(struct ipam *s, const struct journal_entry *j, struct buf *out, struct err *e)
{
	struct journal_end was = s->end;
	size_t n = out->n;
	int r = journal_put(out, &s->end, j, e);

	if (!r && j->op != JOURNAL_INTENT)
		r = apply(s, j, e);
	if (r) {
		s->end = was;
		if (!out->failed)
			out->n = n;
	}
	return r;
}

/* ---- the public changes */

int ipam_boot(struct ipam *s, const char *boot_id, const struct ipam_turn *t, struct err *e)
{
	struct journal_entry j = { .op = JOURNAL_BOOT,
				   .time = t->now,
				   .id = (int64_t)s->next_id,
				   .rev = (int64_t)s->floor,
				   .node = s->node,
				   .boot = boot_id };

	return book_write(s, &j, t->journal, e);
}

int ipam_adopt(struct ipam *s, const struct ipam_attachment *at, const struct ipam_turn *t,
	       struct err *e)
{
	struct journal_entry j = { .op = JOURNAL_TAKE, .time = t->now, .at = *at };

	if (ipam_find(s, at->network, at->container, at->ifname))
		return err_set(e, -EEXIST, "%s %s %s is known already", at->network, at->container,
			       at->ifname);
	j.at.id = s->next_id;
	return book_write(s, &j, t->journal, e);
}

static int end_attachment(struct ipam *s, struct journal_entry *j, const struct ipam_turn *t,
			  struct err *e)
{
	const struct ipam_attachment *at = att_get(s, (uint64_t)j->id);

	if (!at || (j->op == JOURNAL_DYING && at->state != IPAM_LIVE))
		return err_set(e, -ENOENT, "no %sattachment %lld",
			       j->op == JOURNAL_DYING ? "live " : "", (long long)j->id);
	return book_write(s, j, t->journal, e);
}

int ipam_dying(struct ipam *s, uint64_t id, int64_t ifindex, const struct ipam_turn *t,
	       struct err *e)
{
	struct journal_entry j = {
		.op = JOURNAL_DYING, .time = t->now, .id = (int64_t)id, .ifindex = ifindex
	};

	return end_attachment(s, &j, t, e);
}

int ipam_release(struct ipam *s, uint64_t id, const struct ipam_turn *t, struct err *e)
{
	struct journal_entry j = { .op = JOURNAL_FREE, .time = t->now, .id = (int64_t)id };

	return end_attachment(s, &j, t, e);
}

void ipam_undo(struct ipam *s, uint64_t id)
{
	const struct ipam_attachment *at = att_get(s, id);

	if (!at)
		return;
	for (uint32_t i = 0; i < at->addrs.n; i++) {
		struct slot *k = slot_find(s, &at->addrs.v[i]);

		if (k && k->owner == id)
			k->owner = 0;
	}
	att_remove(s, id);
}

const char *ipam_boot_id(const struct ipam *s)
{
	return s->boot;
}

/* ---- the whole file */

int ipam_replay(struct ipam *s, const void *p, size_t n, size_t *good, struct err *e)
{
	struct journal_reader r;
	struct journal_entry j;
	struct arena a;
	int rc;

	arena_init(&a, 0);
	journal_open(&r, p, n);
	while ((rc = journal_next(&r, &j, &a, e)) > 0) {
		rc = apply(s, &j, e);
		if (rc) {
			err_wrap(e, "journal: entry %llu, before byte %zu",
				 (unsigned long long)r.end.seq, r.pos);
			break;
		}
		arena_reset(&a);
	}
	arena_fini(&a);
	if (rc)
		return rc;
	s->floor = s->last_life = s->noted;
	s->end = r.end;
	*good = r.end.seq ? r.pos : 0;
	return 0;
}

void ipam_synced(struct ipam *s)
{
	s->end.durable = s->end.seq;
}

static int by_freed(const void *a, const void *b)
{
	uint64_t x = (*(const struct slot *const *)a)->freed_seq;
	uint64_t y = (*(const struct slot *const *)b)->freed_seq;

	return x < y ? -1 : x > y;
}

static int put_slots(const struct ipam *s, int64_t now, struct buf *out, struct journal_end *end,
		     struct err *e)
{
	const struct slot **cool = calloc(s->n_slots + 1, sizeof(*cool));
	size_t n = 0;
	int r = cool ? 0 : err_set(e, -ENOMEM, "no memory");

	for (size_t i = 0; !r && i < s->n_slots; i++) {
		const struct slot *k = &s->slots[i];
		struct journal_entry j = { .op = JOURNAL_LEND,
					   .time = now,
					   .addr = k->addr,
					   .node = k->lent_to,
					   .handle = k->handle };

		if (k->lent_to)
			r = journal_put(out, end, &j, e);
		else if (!k->owner && slot_cooling(s, k, now))
			cool[n++] = k;
	}
	if (n)
		qsort(cool, n, sizeof(struct slot *), by_freed);
	for (size_t i = 0; !r && i < n; i++) {
		struct journal_entry j = { .op = JOURNAL_COOL,
					   .time = cool[i]->freed_at,
					   .addr = cool[i]->addr };

		r = journal_put(out, end, &j, e);
	}
	free(cool);
	return r;
}

/* An attachment that dies is followed by its end at once, so that a younger one may have its
 * address; its end is long ago, so that only COOL entries say what cools. */
static int put_atts(const struct ipam *s, struct buf *out, struct journal_end *end, struct err *e)
{
	int r = 0;

	for (size_t i = 0; !r && i < s->n_atts; i++) {
		const struct ipam_attachment *at = s->atts[i];
		struct journal_entry take = { .op = JOURNAL_TAKE, .time = at->since, .at = *at };
		struct journal_entry dying = { .op = JOURNAL_DYING,
					       .id = (int64_t)at->id,
					       .ifindex = at->ifindex };

		r = journal_put(out, end, &take, e);
		if (!r && at->state == IPAM_DYING)
			r = journal_put(out, end, &dying, e);
	}
	return r;
}

int ipam_snapshot(struct ipam *s, int64_t now, struct buf *out, struct err *e)
{
	struct journal_end end = { 0 };
	struct journal_entry boot = {
		.op = JOURNAL_BOOT, .time = now, .node = s->node, .boot = s->boot
	};
	struct journal_entry last = boot;
	int r = journal_put(out, &end, &boot, e);

	if (!r)
		r = put_atts(s, out, &end, e);
	if (!r)
		r = put_slots(s, now, out, &end, e);
	for (size_t i = 0; !r && i < s->n_writes; i++) {
		const struct store_write *w = s->writes[i];
		struct journal_entry j = { .op = JOURNAL_INTENT,
					   .time = now,
					   .rev = (int64_t)w->expect,
					   .block = w->block.meta.name,
					   .cidr = w->block.spec.cidr,
					   .deletes = w->type == IPAM_DELETE };

		if (w->gives_up && (w->state == WRITE_SENT || w->state == WRITE_UNKNOWN))
			r = journal_put(out, &end, &j, e);
	}
	/* The file gets its name only when all of it is on disk: the last entry says so. */
	last.id = (int64_t)s->next_id;
	last.rev = (int64_t)s->floor;
	end.durable = end.seq;
	if (!r)
		r = journal_put(out, &end, &last, e);
	if (!r) {
		s->end = end;
		s->noted = s->floor;
	}
	return r;
}

bool ipam_compact_due(const struct ipam *s, size_t file_bytes)
{
	size_t need = ENTRY_BYTES * (1 + s->n_atts + s->n_slots);

	return file_bytes > COMPACT_MIN && file_bytes > COMPACT_RATIO * need;
}
