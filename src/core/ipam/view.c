// SPDX-License-Identifier: Apache-2.0
/* view: what the store says, and our own writes on top of it.
 *
 * A write that was given out as an action passes SENT → DONE, LOST or UNKNOWN. DONE: the view
 * has it at once, and keeps it until the store's own words are as new. LOST: somebody was
 * faster, the view is behind and the block is left alone until it shows. UNKNOWN: the stream
 * broke before the answer; the write may still happen as long as the block is at the revision
 * that it expected, so nothing may rest on its not happening: a block whose deletion is unknown
 * gives out no address, a loan whose return is unknown is not used again. */
#include "core/ipam/state.h"
#include "model/validate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- copies */

static int map_copy(struct arena *a, const struct strmap *from, struct strmap *to)
{
	to->n = from->n;
	to->v = arena_array(a, from->n, sizeof(*to->v));
	if (!to->v)
		return -ENOMEM;
	for (uint32_t i = 0; i < from->n; i++) {
		to->v[i].key = arena_strdup(a, from->v[i].key);
		to->v[i].value = arena_strdup(a, from->v[i].value);
	}
	return 0;
}

int block_copy(struct arena *a, const struct ipblock *from, struct ipblock *to)
{
	struct ipblock b = *from;

	b.meta.name = arena_strdup(a, from->meta.name);
	b.meta.uid = arena_strdup(a, from->meta.uid);
	b.meta.ownerReferences.v = NULL; /* a block has none */
	b.meta.ownerReferences.n = 0;
	b.spec.pool = arena_strdup(a, from->spec.pool);
	b.spec.node = arena_strdup(a, from->spec.node);
	b.spec.borrowed.v = arena_array(a, from->spec.borrowed.n, sizeof(*b.spec.borrowed.v));
	if (!b.spec.borrowed.v || map_copy(a, &from->meta.labels, &b.meta.labels) ||
	    map_copy(a, &from->meta.annotations, &b.meta.annotations))
		return -ENOMEM;
	for (uint32_t i = 0; i < from->spec.borrowed.n; i++) {
		const struct block_borrow *f = &from->spec.borrowed.v[i];

		b.spec.borrowed.v[i] = *f;
		b.spec.borrowed.v[i].node = arena_strdup(a, f->node ? f->node : "");
		b.spec.borrowed.v[i].handle = arena_strdup(a, f->handle ? f->handle : "");
	}
	if (a->failed)
		return -ENOMEM;
	*to = b;
	return 0;
}

uint64_t block_size(const struct prefix *cidr)
{
	unsigned bits = addr_bits(&cidr->addr) - cidr->len;

	return bits > 63 ? UINT64_MAX : 1ull << bits;
}

/* ---- looking things up */

/* The first block whose last address is not before `a`. */
static size_t block_from(const struct ipam *s, const struct ipaddr *a)
{
	size_t lo = 0, hi = s->n_blocks;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		struct ipaddr last = prefix_last(&s->blocks[mid].b.spec.cidr);

		if (addr_cmp(&last, a) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct view_block *block_at(const struct ipam *s, const struct ipaddr *a)
{
	size_t i = block_from(s, a);

	if (i < s->n_blocks && prefix_has(&s->blocks[i].b.spec.cidr, a))
		return &s->blocks[i];
	return NULL;
}

bool block_overlap(const struct ipam *s, const struct prefix *p, struct prefix *hit)
{
	size_t i = block_from(s, &p->addr);

	if (i < s->n_blocks && prefix_overlaps(&s->blocks[i].b.spec.cidr, p)) {
		*hit = s->blocks[i].b.spec.cidr;
		return true;
	}
	for (i = 0; i < s->n_writes; i++) {
		const struct store_write *w = s->writes[i];

		if (w->type != IPAM_CREATE || w->state == WRITE_DONE ||
		    !prefix_overlaps(&w->block.spec.cidr, p))
			continue;
		*hit = w->block.spec.cidr;
		return true;
	}
	return false;
}

const struct view_pool *pool_of(const struct ipam *s, const struct ipaddr *a)
{
	for (size_t i = 0; i < s->n_pools; i++)
		if (prefix_has(&s->pools[i].p->spec.cidr, a))
			return &s->pools[i];
	return NULL;
}

const struct view_pool *pool_of_block(const struct ipam *s, const struct view_block *b)
{
	const struct view_pool *p = pool_of(s, &b->b.spec.cidr.addr);

	return p && prefix_covers(&p->p->spec.cidr, &b->b.spec.cidr) ? p : NULL;
}

bool is_reserved(const struct ipam *s, const struct ipaddr *a)
{
	for (size_t i = 0; i < s->n_reserved; i++)
		if (prefix_has(&s->reserved[i], a))
			return true;
	return false;
}

struct store_write *write_of(const struct ipam *s, const struct prefix *cidr)
{
	for (size_t i = 0; i < s->n_writes; i++)
		if (prefix_eq(&s->writes[i]->block.spec.cidr, cidr))
			return s->writes[i];
	return NULL;
}

bool block_usable(const struct ipam *s, const struct view_block *b)
{
	const struct view_pool *p = pool_of_block(s, b);
	const struct store_write *w = write_of(s, &b->b.spec.cidr);

	if (!b->own || !p || !p->serves || block_size(&b->b.spec.cidr) > IPAM_BLOCK_MAX)
		return false;
	return !w || w->type != IPAM_DELETE || w->state == WRITE_LOST;
}

bool is_tunnel(const struct ipam *s, const struct ipaddr *a)
{
	const struct view_block *b = block_at(s, a);

	if (b && addr_eq(&b->b.spec.tunnelAddress, a))
		return true;
	for (size_t i = 0; i < s->n_writes; i++)
		if (s->writes[i]->state != WRITE_LOST &&
		    addr_eq(&s->writes[i]->block.spec.tunnelAddress, a))
			return true;
	return false;
}

struct ipaddr ipam_tunnel(const struct ipam *s, uint8_t family)
{
	for (size_t i = 0; i < s->n_blocks; i++)
		if (s->blocks[i].own && s->blocks[i].b.spec.tunnelAddress.family == family)
			return s->blocks[i].b.spec.tunnelAddress;
	return (struct ipaddr){ 0 };
}

/* ---- writes */

void write_drop(struct ipam *s, size_t i)
{
	arena_fini(&s->writes[i]->mem);
	free(s->writes[i]);
	s->writes[i] = s->writes[--s->n_writes];
}

int write_send(struct ipam *s, const struct ipam_action *a, bool gives_up, struct err *e)
{
	struct store_write **v = realloc(s->writes, (s->n_writes + 1) * sizeof(*v));
	struct store_write *w = calloc(1, sizeof(*w));

	if (v)
		s->writes = v;
	if (!v || !w) {
		free(w);
		return err_set(e, -ENOMEM, "no memory");
	}
	w->type = a->type;
	w->state = WRITE_SENT;
	w->gives_up = gives_up;
	w->expect = a->rev;
	arena_init(&w->mem, 0);
	if (block_copy(&w->mem, &a->block, &w->block)) {
		arena_fini(&w->mem);
		free(w);
		return err_set(e, -ENOMEM, "no memory");
	}
	for (size_t i = 0; i < s->n_writes; i++)
		if (prefix_eq(&s->writes[i]->block.spec.cidr, &a->block.spec.cidr)) {
			write_drop(s, i);
			break;
		}
	s->writes[s->n_writes++] = w;
	return 0;
}

static void view_remove(struct ipam *s, const struct prefix *cidr)
{
	size_t i = block_from(s, &cidr->addr);

	if (i == s->n_blocks || !prefix_eq(&s->blocks[i].b.spec.cidr, cidr))
		return;
	memmove(s->blocks + i, s->blocks + i + 1, (s->n_blocks - i - 1) * sizeof(*s->blocks));
	s->n_blocks--;
}

/* Puts the block as a write of ours left it; `block` outlives the view. */
static int view_put(struct ipam *s, const struct store_write *w, struct err *e)
{
	size_t i = block_from(s, &w->block.spec.cidr.addr);
	struct view_block *v;

	if (i < s->n_blocks && prefix_eq(&s->blocks[i].b.spec.cidr, &w->block.spec.cidr)) {
		v = &s->blocks[i];
	} else {
		v = realloc(s->blocks, (s->n_blocks + 1) * sizeof(*v));
		if (!v)
			return err_set(e, -ENOMEM, "no memory");
		s->blocks = v;
		v += i;
		memmove(v + 1, v, (s->n_blocks - i) * sizeof(*v));
		s->n_blocks++;
		*v = (struct view_block){ 0 };
	}
	if (block_copy(&s->view, &w->block, &v->b))
		return err_set(e, -ENOMEM, "no memory");
	v->rev = w->rev;
	v->own = !strcmp(w->block.spec.node, s->node);
	v->owner_known = v->owner_known || v->own;
	return 0;
}

static void raise_floor(struct ipam *s, uint64_t rev)
{
	if (rev > s->floor)
		s->floor = rev;
}

int ipam_outcome(struct ipam *s, const struct ipam_action *a, int code, uint64_t rev, int64_t now,
		 struct err *e)
{
	struct store_write *w = write_of(s, &a->block.spec.cidr);

	if (!w || w->state != WRITE_SENT)
		return 0;
	w->at = now;
	if (code && w->type == IPAM_UPDATE)
		pending_unasked(s, &w->block.spec.cidr);
	switch (code) {
	case 0:
		w->state = WRITE_DONE;
		w->rev = rev;
		if (w->gives_up)
			raise_floor(s, rev);
		if (w->type != IPAM_DELETE)
			return view_put(s, w, e);
		view_remove(s, &w->block.spec.cidr);
		return 0;
	case -ENOENT:
		/* Somebody deleted it. A view that is behind must not bring it back. */
		view_remove(s, &w->block.spec.cidr);
		raise_floor(s, s->revision + 1);
		w->type = IPAM_DELETE;
		w->state = WRITE_UNKNOWN;
		return 0;
	case -EEXIST:
	case -ESTALE:
		w->state = WRITE_LOST;
		return 0;
	default:
		w->state = WRITE_UNKNOWN;
		return 0;
	}
}

/* ---- taking over the store's view */

static int load_pools(struct ipam *s, const struct cluster *c, const struct strmap *labels)
{
	size_t n;
	const struct object *const *v = cluster_all(c, KIND_IPPOOL, &n);

	s->pools = arena_array(&s->view, n, sizeof(*s->pools));
	s->n_pools = 0;
	for (size_t i = 0; s->pools && i < n; i++) {
		const struct ippool *p = v[i]->body;
		struct ippool *copy = arena_memdup(&s->view, p, sizeof(*p));

		if (!copy || validate_object(v[i], NULL))
			continue;
		copy->meta = (struct meta){ .name = arena_strdup(&s->view, p->meta.name) };
		copy->spec.nodeSelector = NULL;
		s->pools[s->n_pools++] = (struct view_pool){
			.p = copy,
			.block_len = ipam_pool_block_len(p),
			.serves = ipam_pool_serves(p, labels),
		};
	}
	return s->view.failed ? -ENOMEM : 0;
}

static int load_reserved(struct ipam *s, const struct cluster *c)
{
	size_t n, total = 0;
	const struct object *const *v = cluster_all(c, KIND_IPRESERVATION, &n);

	for (size_t i = 0; i < n; i++)
		total += ((const struct ipreservation *)v[i]->body)->spec.reservedCIDRs.n;
	s->reserved = arena_array(&s->view, total, sizeof(*s->reserved));
	s->n_reserved = 0;
	for (size_t i = 0; s->reserved && i < n; i++) {
		const struct ipreservation *r = v[i]->body;

		for (uint32_t k = 0; k < r->spec.reservedCIDRs.n; k++)
			s->reserved[s->n_reserved++] = prefix_mask(&r->spec.reservedCIDRs.v[k]);
	}
	return s->view.failed ? -ENOMEM : 0;
}

static int by_address(const void *a, const void *b)
{
	const struct view_block *x = a, *y = b;

	return prefix_cmp(&x->b.spec.cidr, &y->b.spec.cidr);
}

static int load_blocks(struct ipam *s, const struct cluster *c)
{
	size_t n, m = 0;
	const struct object *const *v = cluster_all(c, KIND_IPBLOCK, &n);
	struct view_block *b = realloc(s->blocks, (n + 1) * sizeof(*b));

	if (!b)
		return -ENOMEM;
	s->blocks = b;
	s->n_blocks = 0;
	for (size_t i = 0; i < n; i++) {
		const struct ipblock *o = v[i]->body;
		struct prefix net = prefix_mask(&o->spec.cidr);

		if (!o->spec.cidr.addr.family || !prefix_eq(&net, &o->spec.cidr))
			continue;
		b[m] = (struct view_block){ .rev = v[i]->rev };
		if (block_copy(&s->view, o, &b[m].b))
			return -ENOMEM;
		if (!b[m].b.spec.node)
			b[m].b.spec.node = "";
		b[m].own = !strcmp(b[m].b.spec.node, s->node);
		b[m].owner_known = cluster_get(c, KIND_NODE, NULL, b[m].b.spec.node) != NULL;
		m++;
	}
	qsort(b, m, sizeof(*b), by_address);
	/* Blocks never overlap; where somebody's hand made them, all nodes believe the first. */
	for (size_t i = 0; i < m; i++)
		if (!s->n_blocks ||
		    !prefix_overlaps(&b[s->n_blocks - 1].b.spec.cidr, &b[i].b.spec.cidr))
			b[s->n_blocks++] = b[i];
	return 0;
}

/* Does the store's view show what became of the write, so that it may be forgotten? */
static bool write_settled(const struct ipam *s, const struct store_write *w)
{
	const struct view_block *b = block_at(s, &w->block.spec.cidr.addr);
	bool same = b && prefix_eq(&b->b.spec.cidr, &w->block.spec.cidr);

	switch ((enum write_state)w->state) {
	case WRITE_SENT:
		return false;
	case WRITE_DONE:
		return (same && b->rev >= w->rev) || (s->live && s->revision >= w->rev);
	case WRITE_LOST:
	case WRITE_UNKNOWN:
		if (w->type == IPAM_CREATE)
			return b != NULL;
		/* Revisions only grow: past the one that it expects, it cannot happen. */
		if (same && b->rev > w->expect)
			return true;
		return s->live && (!same || b->rev != w->expect);
	}
	return false;
}

static int replay_writes(struct ipam *s, struct err *e)
{
	for (size_t i = 0; i < s->n_writes;) {
		const struct store_write *w = s->writes[i];
		int r = 0;

		if (write_settled(s, w)) {
			write_drop(s, i);
			continue;
		}
		if (w->state == WRITE_DONE && w->type == IPAM_DELETE)
			view_remove(s, &w->block.spec.cidr);
		else if (w->state == WRITE_DONE)
			r = view_put(s, w, e);
		if (r)
			return r;
		i++;
	}
	return 0;
}

/* The blocks that are ours in the view; in `a`. */
static size_t own_cidrs(const struct ipam *s, struct arena *a, struct prefix **v)
{
	size_t n = 0;

	*v = arena_array(a, s->n_blocks, sizeof(**v));
	for (size_t i = 0; *v && i < s->n_blocks; i++)
		if (s->blocks[i].own)
			(*v)[n++] = s->blocks[i].b.spec.cidr;
	return n;
}

/* Does the view show less as ours than the one before? */
static bool is_less(const struct ipam *s, const struct prefix *was, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct view_block *b = block_at(s, &was[i].addr);

		if (!b || !b->own)
			return true;
	}
	return false;
}

static int take_view(struct ipam *s, const struct cluster *c, uint64_t revision, bool live,
		     struct err *e)
{
	const struct object *node = cluster_get(c, KIND_NODE, NULL, s->node);
	const struct strmap none = { 0 };

	arena_reset(&s->view);
	s->n_pools = s->n_blocks = s->n_reserved = 0;
	s->known = false;
	if (load_pools(s, c, node ? &node->meta->labels : &none) || load_reserved(s, c) ||
	    load_blocks(s, c))
		return err_set(e, -ENOMEM, "no memory for the store's blocks");
	s->revision = revision;
	s->live = live;
	return replay_writes(s, e);
}

int ipam_sync(struct ipam *s, const struct cluster *c, uint64_t revision, bool live, struct err *e)
{
	struct prefix *was;
	struct arena a;
	size_t n;
	int r;

	arena_init(&a, 0);
	n = own_cidrs(s, &a, &was);
	r = a.failed ? err_set(e, -ENOMEM, "no memory for the store's blocks")
		     : take_view(s, c, revision, live, e);
	if (!r && live && !s->met)
		s->floor = revision; /* also where the store was set back to an older state */
	else if (!r && live && is_less(s, was, n))
		raise_floor(s, revision);
	arena_fini(&a);
	if (r)
		return r;
	if (live) {
		s->met = true;
		s->last_life = 0;
	}
	s->known = revision >= s->last_life;
	slots_prune(s);
	return 0;
}
