// SPDX-License-Identifier: Apache-2.0
/* book: the tables of attachments and slots. Sizes are those of one node, some hundred
 * attachments: sorted arrays and plain scans. */
#include "core/ipam/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ipam *ipam_new(const char *node, int64_t cooldown_ms)
{
	struct ipam *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->node = strdup(node);
	s->slots = calloc(1, sizeof(*s->slots)); /* never NULL, so that one may point at its end */
	s->cooldown = cooldown_ms;
	s->next_id = 1;
	arena_init(&s->view, 0);
	if (!s->node || !s->slots) {
		free(s->node);
		free(s->slots);
		free(s);
		return NULL;
	}
	return s;
}

void ipam_free(struct ipam *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_atts; i++)
		free(s->atts[i]);
	for (size_t i = 0; i < s->n_slots; i++)
		free(s->slots[i].lent_to);
	for (size_t i = 0; i < s->n_writes; i++) {
		arena_fini(&s->writes[i]->mem);
		free(s->writes[i]);
	}
	for (size_t i = 0; i < s->n_pending; i++) {
		free(s->pending[i].handle);
		free(s->pending[i].asked);
	}
	arena_fini(&s->view);
	free(s->atts);
	free(s->slots);
	free(s->writes);
	free(s->pending);
	free(s->blocks);
	free(s->node);
	free(s->boot);
	free(s);
}

/* ---- slots */

struct slot *slot_from(const struct ipam *s, const struct ipaddr *a)
{
	size_t lo = 0, hi = s->n_slots;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (addr_cmp(&s->slots[mid].addr, a) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return s->slots + lo;
}

struct slot *slot_find(const struct ipam *s, const struct ipaddr *a)
{
	struct slot *k = slot_from(s, a);

	return k < s->slots + s->n_slots && addr_eq(&k->addr, a) ? k : NULL;
}

int slots_reserve(struct ipam *s, size_t n, struct err *e)
{
	struct slot *v = realloc(s->slots, (s->n_slots + n + 1) * sizeof(*v));

	if (!v)
		return err_set(e, -ENOMEM, "no memory");
	s->slots = v;
	return 0;
}

struct slot *slot_make(struct ipam *s, const struct ipaddr *a)
{
	struct slot *k = slot_from(s, a);

	if (k < s->slots + s->n_slots && addr_eq(&k->addr, a))
		return k;
	memmove(k + 1, k, (size_t)(s->slots + s->n_slots - k) * sizeof(*k));
	s->n_slots++;
	*k = (struct slot){ .addr = *a };
	return k;
}

bool slot_cooling(const struct ipam *s, const struct slot *k, int64_t now)
{
	/* A clock that was set back must not keep an address forever. */
	return k->freed_seq && now >= k->freed_at && now - k->freed_at < s->cooldown;
}

void slots_prune(struct ipam *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_slots; i++) {
		struct slot *k = &s->slots[i];
		const struct view_block *b = block_at(s, &k->addr);

		if (k->owner || k->lent_to || (b && b->own))
			s->slots[n++] = *k;
	}
	s->n_slots = n;
}

void slot_freed(struct ipam *s, struct slot *k, int64_t now)
{
	k->owner = 0;
	k->freed_seq = ++s->freed_seq;
	k->freed_at = now;
}

/* ---- attachments */

static size_t str_size(const char *s)
{
	return s ? strlen(s) + 1 : 0;
}

static const char *str_pack(char **at, const char *s)
{
	char *p = *at;

	if (!s)
		return NULL;
	*at = stpcpy(p, s) + 1;
	return p;
}

/* One allocation that holds the struct, its lists and its strings. */
static struct ipam_attachment *att_copy(const struct ipam_attachment *f)
{
	size_t size = sizeof(*f) + f->ports.n * sizeof(*f->ports.v) +
		      f->addrs.n * sizeof(*f->addrs.v) + str_size(f->network) +
		      str_size(f->container) + str_size(f->ifname) + str_size(f->pod_namespace) +
		      str_size(f->pod_name) + str_size(f->pod_uid) + str_size(f->netns) +
		      str_size(f->hostif);
	struct ipam_attachment *t = malloc(size);
	char *at;

	if (!t)
		return NULL;
	*t = *f;
	t->ports.v = (struct port_mapping *)(t + 1);
	if (f->ports.n)
		memcpy(t->ports.v, f->ports.v, f->ports.n * sizeof(*f->ports.v));
	t->addrs.v = (struct ipaddr *)(t->ports.v + f->ports.n);
	if (f->addrs.n)
		memcpy(t->addrs.v, f->addrs.v, f->addrs.n * sizeof(*f->addrs.v));
	at = (char *)(t->addrs.v + f->addrs.n);
	t->network = str_pack(&at, f->network);
	t->container = str_pack(&at, f->container);
	t->ifname = str_pack(&at, f->ifname);
	t->pod_namespace = str_pack(&at, f->pod_namespace);
	t->pod_name = str_pack(&at, f->pod_name);
	t->pod_uid = str_pack(&at, f->pod_uid);
	t->netns = str_pack(&at, f->netns);
	t->hostif = str_pack(&at, f->hostif);
	return t;
}

static size_t att_index(const struct ipam *s, uint64_t id)
{
	size_t lo = 0, hi = s->n_atts;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (s->atts[mid]->id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < s->n_atts && s->atts[lo]->id == id ? lo : s->n_atts;
}

const struct ipam_attachment *ipam_by_id(const struct ipam *s, uint64_t id)
{
	return att_get(s, id);
}

const struct ipam_attachment *ipam_find(const struct ipam *s, const char *network,
					const char *container, const char *ifname)
{
	for (size_t i = 0; i < s->n_atts; i++) {
		const struct ipam_attachment *a = s->atts[i];

		if (a->state == IPAM_LIVE && !strcmp(a->container, container) &&
		    !strcmp(a->ifname, ifname) && !strcmp(a->network, network))
			return a;
	}
	return NULL;
}

const struct ipam_attachment *ipam_find_addr(const struct ipam *s, const struct ipaddr *a)
{
	const struct slot *k = slot_find(s, a);

	return k && k->owner ? ipam_by_id(s, k->owner) : NULL;
}

const struct ipam_attachment *const *ipam_all(const struct ipam *s, size_t *n)
{
	*n = s->n_atts;
	return (const struct ipam_attachment *const *)s->atts;
}

bool ipam_gc(const struct ipam_attachment *at, const char *network, const struct ipam_key *valid,
	     size_t n)
{
	if (at->state != IPAM_LIVE || strcmp(at->network, network) != 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!strcmp(valid[i].container, at->container) &&
		    !strcmp(valid[i].ifname, at->ifname))
			return false;
	return true;
}

struct ipam_attachment *att_get(const struct ipam *s, uint64_t id)
{
	size_t i = att_index(s, id);

	return i < s->n_atts ? s->atts[i] : NULL;
}

int att_add(struct ipam *s, const struct ipam_attachment *at, struct err *e)
{
	struct ipam_attachment *copy, **v;

	v = realloc(s->atts, (s->n_atts + 1) * sizeof(struct ipam_attachment *));
	if (v)
		s->atts = v;
	copy = v ? att_copy(at) : NULL;
	if (!copy)
		return err_set(e, -ENOMEM, "no memory");
	copy->state = IPAM_LIVE;
	s->atts[s->n_atts++] = copy;
	return 0;
}

void att_remove(struct ipam *s, uint64_t id)
{
	size_t i = att_index(s, id);

	if (i == s->n_atts)
		return;
	free(s->atts[i]);
	memmove(s->atts + i, s->atts + i + 1, (s->n_atts - i - 1) * sizeof(*s->atts));
	s->n_atts--;
}
