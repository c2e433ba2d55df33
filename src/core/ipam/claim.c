// SPDX-License-Identifier: Apache-2.0
/* claim: where a node's next block and next address lie. Nodes begin to look for a block at a
 * place that follows from their name, so that those which start together rarely want the same
 * one; the compare-and-swap in the store decides where they do. */
#include "base/hash.h"
#include "core/ipam/state.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Places where nodes begin to look: enough that few of a large cluster's nodes meet, few enough
 * that the addresses of a large IPv6 pool stay short to read. */
#define SPREAD 65536

/* Finished so that similar names end far apart. */
uint64_t name_spread(const char *text, uint64_t seed)
{
	uint64_t h = fnv64(FNV64_START ^ seed, text, strlen(text));

	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93u;
	return h ^ h >> 32;
}

static bool all_reserved(const struct ipam *s, const struct prefix *cidr)
{
	uint64_t n = block_size(cidr);
	bool any = false;

	for (size_t i = 0; i < s->n_reserved; i++)
		any = any || prefix_overlaps(&s->reserved[i], cidr);
	if (!any)
		return false;
	for (uint64_t i = 0; i < n; i++) {
		struct ipaddr a = addr_add(&cidr->addr, i);

		if (!is_reserved(s, &a))
			return false;
	}
	return true;
}

/* What makes the candidate no candidate: another block, or a reservation of all of it. */
static bool candidate_taken(const struct ipam *s, const struct prefix *cidr, struct prefix *hit)
{
	if (block_overlap(s, cidr, hit))
		return true;
	for (size_t i = 0; i < s->n_reserved; i++)
		if (prefix_covers(&s->reserved[i], cidr)) {
			*hit = s->reserved[i];
			return true;
		}
	*hit = *cidr;
	return all_reserved(s, cidr);
}

bool free_block(const struct ipam *s, const struct view_pool *p, struct prefix *out)
{
	const struct prefix *net = &p->p->spec.cidr;
	unsigned bits = addr_bits(&net->addr), count_bits = p->block_len - net->len;
	unsigned size_bits = bits - p->block_len;
	uint64_t count, at, walked = 0;

	if (count_bits + size_bits > 63)
		count_bits = 63 - size_bits;
	count = 1ull << count_bits;
	at = name_spread(s->node, net->len) % (count < SPREAD ? count : SPREAD);
	/* Each round passes at least one block, write or reservation, or ends. */
	while (walked < count) {
		struct prefix c = { addr_add(&net->addr, at << size_bits), p->block_len }, hit;
		struct ipaddr last;
		uint64_t next;

		if (!candidate_taken(s, &c, &hit)) {
			*out = c;
			return true;
		}
		last = prefix_last(&hit);
		/* The place of its end; a reservation may reach far beyond the pool. */
		next = addr_sub(&last, &net->addr) >> size_bits;
		next = next < count ? next + 1 : count;
		walked += next - at;
		at = next == count ? 0 : next;
	}
	return false;
}

size_t own_blocks(const struct ipam *s, const struct view_pool *p)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_blocks; i++)
		n += s->blocks[i].own && pool_of_block(s, &s->blocks[i]) == p;
	return n;
}

bool tunnel_needed(const struct ipam *s, uint8_t family)
{
	for (size_t i = 0; i < s->n_pools; i++)
		if (s->pools[i].serves && s->pools[i].p->spec.cidr.addr.family == family &&
		    s->pools[i].p->spec.mode != POOL_DIRECT)
			return true;
	return false;
}

bool tunnel_wanted(const struct ipam *s, uint8_t family)
{
	if (!tunnel_needed(s, family) || ipam_tunnel(s, family).family)
		return false;
	for (size_t i = 0; i < s->n_writes; i++)
		if (s->writes[i]->state == WRITE_SENT &&
		    s->writes[i]->block.spec.tunnelAddress.family == family)
			return false;
	return true;
}

int claim_action(const struct ipam *s, const struct view_pool *p, const struct prefix *cidr,
		 struct arena *a, struct ipam_action *out, struct err *e)
{
	char name[IPAM_BLOCK_NAME], text[PREFIX_TEXT];
	struct ipam_action c = { .type = IPAM_CREATE };

	c.block.meta.name = arena_strdup(a, ipam_block_name(cidr, name));
	c.block.spec.cidr = *cidr;
	c.block.spec.pool = arena_strdup(a, p->p->meta.name);
	c.block.spec.node = arena_strdup(a, s->node);
	c.why = arena_printf(a, "claim block %s of IPPool %s", prefix_str(cidr, text),
			     p->p->meta.name);
	for (uint64_t i = 0; tunnel_wanted(s, cidr->addr.family) && i < block_size(cidr); i++) {
		struct ipaddr t = addr_add(&cidr->addr, i);

		if (is_reserved(s, &t) || slot_find(s, &t))
			continue;
		c.block.spec.tunnelAddress = t;
		break;
	}
	if (a->failed)
		return err_set(e, -ENOMEM, "no memory");
	*out = c;
	return 0;
}

bool is_subnet_edge(const struct prefix *cidr, const struct ipaddr *a)
{
	struct ipaddr last = prefix_last(cidr);

	/* RFC 3021 and RFC 6164: a subnet of two addresses has no edges. */
	if (cidr->len + 1u >= addr_bits(a))
		return false;
	return addr_eq(a, &cidr->addr) || (a->family == AF_INET && addr_eq(a, &last));
}

bool free_address(const struct ipam *s, const struct view_block *b, const struct suitable *want,
		  struct ipaddr *out)
{
	const struct prefix *cidr = &b->b.spec.cidr;
	const struct slot *k = slot_from(s, &cidr->addr), *end = s->slots + s->n_slots;
	uint64_t n = block_size(cidr), best = UINT64_MAX;

	for (uint64_t i = 0; i < n && best; i++) {
		struct ipaddr a = addr_add(&cidr->addr, i);
		uint64_t freed = 0;

		if (k < end && addr_eq(&k->addr, &a)) {
			freed = k->freed_seq;
			if (k->owner || k->lent_to ||
			    (!want->cooling && slot_cooling(s, k, want->now)))
				freed = UINT64_MAX;
			k++;
		}
		if (freed >= best || is_reserved(s, &a) || is_tunnel(s, &a) ||
		    (want->on_link && is_subnet_edge(cidr, &a)))
			continue;
		best = freed;
		*out = a;
	}
	return best != UINT64_MAX;
}
