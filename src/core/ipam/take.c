// SPDX-License-Identifier: Apache-2.0
/* take: decides one request. Every family and every requested address is judged first; only
 * when all are in hand is anything taken, so nothing leaks when one of them cannot be had.
 *
 * Where any address will do, in this order: a free one of our blocks that is not cooling; a
 * block of our own more; a cooling one, freed longest ago; one borrowed from another node. */
#include "core/ipam/pick.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* ---- which pools */

bool pool_asked_for(const struct ipam_request *q, const struct view_pool *p)
{
	char text[PREFIX_TEXT];

	if (!q->pools.n)
		return true;
	prefix_str(&p->p->spec.cidr, text);
	for (uint32_t i = 0; i < q->pools.n; i++)
		if (!strcmp(q->pools.v[i], p->p->meta.name) || !strcmp(q->pools.v[i], text))
			return true;
	return false;
}

/* The i-th pool that may serve the request, in its order of preference; NULL past the last. */
static const struct view_pool *nth_pool(const struct asking *k, uint8_t family, size_t i)
{
	const struct ipam_request *q = k->q;
	struct ipam_request one = *q;
	size_t rounds = q->pools.n ? q->pools.n : 1;

	for (size_t r = 0; r < rounds; r++) {
		if (q->pools.n) {
			one.pools.v = &q->pools.v[r];
			one.pools.n = 1;
		}
		for (size_t n = 0; n < k->s->n_pools; n++) {
			const struct view_pool *p = &k->s->pools[n];

			if (p->serves && p->p->spec.cidr.addr.family == family &&
			    pool_asked_for(&one, p) && !i--)
				return p;
		}
	}
	return NULL;
}

static int no_pool(const struct asking *k)
{
	const struct ipam *s = k->s;

	for (uint32_t i = 0; i < k->q->pools.n; i++) {
		struct ipam_request one = *k->q;
		bool found = false;

		one.pools.v = &k->q->pools.v[i];
		one.pools.n = 1;
		for (size_t n = 0; n < s->n_pools; n++)
			found = found || pool_asked_for(&one, &s->pools[n]);
		if (!found)
			return err_set(k->e, -ENOENT, "there is no IPPool %s", k->q->pools.v[i]);
	}
	if (!s->n_pools)
		return err_set(k->e, -ENOENT, "there is no IPPool");
	return err_set(k->e, -ENOENT,
		       "no IPPool%s for node %s: each is disabled, of another family, or its "
		       "nodeSelector does not match the node's labels",
		       k->q->pools.n ? " of those asked for" : "", s->node);
}

/* ---- our own blocks */

void choose(const struct asking *k, const struct ipaddr *a, const struct view_block *b,
	    struct choice *c)
{
	const struct view_pool *p = pool_of_block(k->s, b);

	c->grant = (struct ipam_grant){ .address = *a,
					.pool = p ? p->p->meta.name : b->b.spec.pool,
					.block = b->b.spec.cidr,
					.borrowed = !b->own };
	if (p)
		c->grant.pool_cidr = p->p->spec.cidr;
}

static bool own_address(const struct asking *k, uint8_t family, bool cooling, struct choice *c)
{
	const struct suitable want = { k->t->now, cooling, k->q->on_link };
	const struct view_pool *p;

	for (size_t n = 0; (p = nth_pool(k, family, n)); n++)
		for (size_t i = 0; i < k->s->n_blocks; i++) {
			const struct view_block *b = &k->s->blocks[i];
			struct ipaddr a;

			if (!b->own || pool_of_block(k->s, b) != p || !block_usable(k->s, b) ||
			    !free_address(k->s, b, &want, &a))
				continue;
			choose(k, &a, b, c);
			return true;
		}
	return false;
}

static int claim_more(const struct asking *k, uint8_t family, struct choice *c)
{
	const struct ipam *s = k->s;
	const struct view_pool *p;
	struct prefix cidr;

	/* One claim at a time: those who come meanwhile may fit into its block. */
	for (size_t i = 0; i < s->n_writes; i++)
		if (s->writes[i]->type == IPAM_CREATE && s->writes[i]->state == WRITE_SENT &&
		    s->writes[i]->block.spec.cidr.addr.family == family)
			return PICK_WAIT;
	for (size_t n = 0; (p = nth_pool(k, family, n)); n++) {
		int64_t max = p->p->spec.maxBlocksPerNode;

		if (s->surrender || (max && own_blocks(s, p) >= (size_t)max) ||
		    !free_block(s, p, &cidr))
			continue;
		if (claim_action(s, p, &cidr, k->t->arena, &c->action, k->e))
			return -ENOMEM;
		return PICK_ACTION;
	}
	return PICK_NONE;
}

static int exhausted(const struct asking *k, uint8_t family)
{
	const struct ipam *s = k->s;
	const struct view_pool *p;
	size_t full = 0, others = 0, limited = 0, strict = 0, n;

	for (n = 0; (p = nth_pool(k, family, n)); n++) {
		size_t own = own_blocks(s, p);

		full += own;
		for (size_t i = 0; i < s->n_blocks; i++)
			others += !s->blocks[i].own && pool_of_block(s, &s->blocks[i]) == p;
		limited +=
			p->p->spec.maxBlocksPerNode && own >= (size_t)p->p->spec.maxBlocksPerNode;
		strict += p->p->spec.strictAffinity;
	}
	return err_set(k->e, -ENOSPC,
		       "no free IPv%d address in %zu pool%s: %zu blocks of node %s are full, %s, "
		       "%zu blocks of other nodes lend none%s",
		       family == AF_INET ? 4 : 6, n, n == 1 ? "" : "s", full, s->node,
		       limited ? "maxBlocksPerNode is reached" : "no block is free", others,
		       strict ? " (strictAffinity)" : "");
}

/* ---- deciding */

static int pick_any(const struct asking *k, uint8_t family, struct choice *c)
{
	const struct ipam *s = k->s;
	int r;

	if (own_address(k, family, false, c))
		return PICK_GOT;
	r = claim_more(k, family, c);
	if (r != PICK_NONE)
		return r;
	if (own_address(k, family, true, c))
		return PICK_GOT;
	r = borrow_any(k, family, c);
	if (r != PICK_NONE)
		return r;
	/* Writes of ours in this family are unsettled: what they come to may help. */
	for (size_t i = 0; i < s->n_writes; i++)
		if (s->writes[i]->state != WRITE_DONE &&
		    s->writes[i]->block.spec.cidr.addr.family == family)
			return PICK_WAIT;
	return exhausted(k, family);
}

static int fixed_in_none(const struct asking *k, const struct view_pool *p, const struct ipaddr *a,
			 struct choice *c)
{
	struct prefix cidr = { *a, p->block_len }, hit;
	int64_t max = p->p->spec.maxBlocksPerNode;
	char text[ADDR_TEXT];

	cidr = prefix_mask(&cidr);
	if (block_overlap(k->s, &cidr, &hit)) {
		const struct store_write *w = write_of(k->s, &hit);

		if (w && w->state != WRITE_DONE)
			return PICK_WAIT;
		return err_set(k->e, -EADDRINUSE,
			       "the block of %s overlaps with one of another size",
			       addr_str(a, text));
	}
	if (k->s->surrender || (max && own_blocks(k->s, p) >= (size_t)max))
		return err_set(k->e, -EPERM,
			       "%s lies in a block of its own, and node %s may claim no more "
			       "(maxBlocksPerNode %lld)",
			       addr_str(a, text), k->s->node, (long long)max);
	if (claim_action(k->s, p, &cidr, k->t->arena, &c->action, k->e))
		return -ENOMEM;
	if (addr_eq(&c->action.block.spec.tunnelAddress, a)) {
		/* The wanted address is not the node's: the tunnel gets one later. */
		c->action.block.spec.tunnelAddress = (struct ipaddr){ 0 };
	}
	return PICK_ACTION;
}

static int pick_fixed(const struct asking *k, const struct ipaddr *a, struct choice *c)
{
	const struct view_pool *p = pool_of(k->s, a);
	const struct view_block *b = block_at(k->s, a);
	const struct slot *slot = slot_find(k->s, a);
	char text[ADDR_TEXT];

	addr_str(a, text);
	if (!p)
		return err_set(k->e, -ENOENT, "%s lies in no IPPool", text);
	if (k->q->on_link && b && is_subnet_edge(&b->b.spec.cidr, a))
		return err_set(
			k->e, -EADDRINUSE, "%s is the %s address of its block's subnet", text,
			a->family == AF_INET ? "network's or the broadcast" : "routers' anycast");
	if (!p->serves)
		return err_set(k->e, -EPERM, "%s lies in IPPool %s, which %s", text,
			       p->p->meta.name,
			       p->p->spec.disabled ? "is disabled" : "does not select this node");
	if (!pool_asked_for(k->q, p))
		return err_set(k->e, -EINVAL,
			       "%s lies in IPPool %s, which is not among the pools "
			       "asked for",
			       text, p->p->meta.name);
	if (slot && slot->owner) {
		const struct ipam_attachment *at = ipam_by_id(k->s, slot->owner);

		return err_set(k->e, -EADDRINUSE, "%s is in use by %s %s of network %s%s%s", text,
			       at->container, at->ifname, at->network, at->pod_name ? ", pod " : "",
			       at->pod_name ? at->pod_name : "");
	}
	if (slot && slot->lent_to)
		return err_set(k->e, -EADDRINUSE, "%s is lent to node %s", text, slot->lent_to);
	if (!b)
		return fixed_in_none(k, p, a, c);
	if (!b->own)
		return borrow_fixed(k, b, a, c);
	if (!block_usable(k->s, b))
		return PICK_WAIT;
	if (is_tunnel(k->s, a))
		return err_set(k->e, -EADDRINUSE, "%s is this node's tunnel address", text);
	choose(k, a, b, c);
	return PICK_GOT;
}

static int take_all(const struct asking *k, const struct choice *v, uint32_t n,
		    struct ipam_answer *out)
{
	struct journal_entry j = { .op = JOURNAL_TAKE, .time = k->t->now, .at = k->q->at };
	struct ipam_grant *grants = arena_array(k->t->arena, n, sizeof(*grants));
	struct ipaddr *addrs = arena_array(k->t->arena, n, sizeof(*addrs));
	int r;

	if (!grants || !addrs)
		return err_set(k->e, -ENOMEM, "no memory");
	for (uint32_t i = 0; i < n; i++) {
		grants[i] = v[i].grant;
		grants[i].pool = arena_strdup(k->t->arena, v[i].grant.pool);
		addrs[i] = v[i].grant.address;
	}
	j.at.id = k->s->next_id;
	j.at.since = k->t->now;
	j.at.addrs.v = addrs;
	j.at.addrs.n = n;
	r = book_write(k->s, &j, k->t->journal, k->e);
	if (r)
		return r;
	out->verdict = IPAM_TAKEN;
	out->at = ipam_by_id(k->s, j.at.id);
	out->grants.v = grants;
	out->grants.n = n;
	return 0;
}

/* The store did not answer a moment ago: it is not asked for one block after the other. */
static bool store_away(const struct asking *k)
{
	for (size_t i = 0; i < k->s->n_writes; i++) {
		const struct store_write *w = k->s->writes[i];

		if (w->state == WRITE_UNKNOWN && k->t->now >= w->at &&
		    k->t->now - w->at < IPAM_RETRY_MS)
			return true;
	}
	return false;
}

/* Sends the action: the request is in flight, and the write is ours until its outcome. */
static int act(struct asking *k, const struct choice *c, struct ipam_answer *out)
{
	const struct prefix *cidr = &c->action.block.spec.cidr;

	if (store_away(k)) {
		out->verdict = IPAM_WAIT;
		return 0;
	}

	if (c->action.type == IPAM_UPDATE && pending_asked(k->mine, cidr))
		return err_set(k->e, -ENOMEM, "no memory");
	if (write_send(k->s, &c->action, false, k->e))
		return -ENOMEM;
	out->verdict = IPAM_ACTION;
	out->action = c->action;
	return 0;
}

static int decide(struct asking *k, struct ipam_answer *out)
{
	const struct ipam_attachment *at = &k->q->at;
	struct choice v[IPAM_MAX_WANTED + 2] = { 0 };
	uint8_t fixed = 0, families = k->q->families;
	uint32_t n = 0, action = UINT32_MAX;
	bool wait = false;

	for (uint32_t i = 0; i < at->addrs.n; i++)
		fixed |= at->addrs.v[i].family == AF_INET ? IPAM_V4 : IPAM_V6;
	if (!families)
		families = (nth_pool(k, AF_INET, 0) ? IPAM_V4 : 0) |
			   (nth_pool(k, AF_INET6, 0) ? IPAM_V6 : 0);
	if (!families && !fixed)
		return no_pool(k);
	for (uint32_t i = 0; i < at->addrs.n + 2; i++) {
		uint8_t family = i == at->addrs.n ? AF_INET : AF_INET6;
		uint8_t bit = family == AF_INET ? IPAM_V4 : IPAM_V6;
		int r;

		if (i < at->addrs.n)
			r = pick_fixed(k, &at->addrs.v[i], &v[n]);
		else if (!(families & ~fixed & bit))
			continue;
		else
			r = nth_pool(k, family, 0) ? pick_any(k, family, &v[n]) : no_pool(k);
		if (r < 0)
			return r;
		if (r == PICK_ACTION && action == UINT32_MAX)
			action = n;
		wait = wait || r == PICK_WAIT;
		n++;
	}
	if (action != UINT32_MAX)
		return act(k, &v[action], out);
	if (wait) {
		out->verdict = IPAM_WAIT;
		return 0;
	}
	return take_all(k, v, n, out);
}

static int check_request(const struct ipam *s, const struct ipam_request *q, struct err *e)
{
	const struct ipam_attachment *at = &q->at;

	if (!at->network || !at->container || !at->ifname)
		return err_set(e, -EINVAL, "a request needs network, container and interface name");
	if (ipam_find(s, at->network, at->container, at->ifname))
		return err_set(e, -EEXIST, "%s of container %s is attached to network %s already",
			       at->ifname, at->container, at->network);
	if (at->addrs.n > IPAM_MAX_WANTED)
		return err_set(e, -EINVAL, "more than %d requested addresses", IPAM_MAX_WANTED);
	for (uint32_t i = 0; i < at->addrs.n; i++)
		for (uint32_t n = 0; n < i; n++)
			if (addr_eq(&at->addrs.v[i], &at->addrs.v[n]))
				return err_set(e, -EINVAL, "one address is requested twice");
	if (!s->known)
		return err_set(e, -EAGAIN, "%s",
			       s->revision
				       ? "the store is out of reach, and what is known of it is "
					 "older than what this node gave back"
				       : "the store was not read yet");
	return 0;
}

int ipam_take(struct ipam *s, const struct ipam_request *q, const struct ipam_turn *t,
	      struct ipam_answer *out, struct err *e)
{
	struct asking k = { .s = s, .q = q, .t = t, .e = e };
	struct ipam_answer answer = { 0 };
	int r = check_request(s, q, e);

	if (r)
		return r;
	k.handle = handle_of(t->arena, &q->at);
	if (!k.handle)
		return err_set(e, -ENOMEM, "no memory");
	k.mine = pending_find(s, k.handle);
	if (!k.mine)
		k.mine = pending_add(s, k.handle);
	if (!k.mine)
		return err_set(e, -ENOMEM, "no memory");
	r = decide(&k, &answer);
	if (r || answer.verdict == IPAM_TAKEN)
		pending_end(s, k.handle);
	if (r)
		return r;
	*out = answer;
	return 0;
}
