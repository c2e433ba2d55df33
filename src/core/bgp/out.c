// SPDX-License-Identifier: Apache-2.0
/* out: see out.h. */
#include "core/bgp/out.h"

#include "core/bgp/decide.h"
#include "core/bgp/path.h"

#include <errno.h>
#include <string.h>

#define WINDOW 256 /* destinations that may share messages */

/* ---- may it be told */

static bool is_reflected(const struct bgp_out *o, const struct bgp_path *p)
{
	return !o->link.ebgp && !p->from->ebgp && !p->from->local;
}

static enum bgp_silence silence(const struct bgp_out *o, const struct bgp_path *p)
{
	if (!p)
		return BGP_NO_PATH;
	if (p->from == o->to)
		return BGP_ITS_OWN;
	if (is_reflected(o, p) && !p->from->client && !o->to->client)
		return BGP_NOT_REFLECTED;
	if (bgp_has_community(p->attrs, BGP_C_NO_ADVERTISE))
		return BGP_COMMUNITY;
	if (o->link.ebgp && (bgp_has_community(p->attrs, BGP_C_NO_EXPORT) ||
			     bgp_has_community(p->attrs, BGP_C_NO_EXPORT_SUBCONFED)))
		return BGP_COMMUNITY;
	if (o->link.ebgp ? bgp_path_has(p->attrs, o->link.peer_as)
			 : is_reflected(o, p) && (p->attrs->has & BGP_HAS_ORIGINATOR) &&
				   p->attrs->originator_id == o->to->id)
		return BGP_WOULD_LOOP;
	return BGP_TOLD;
}

/* ---- with which attributes */

/* RFC 4456 8. */
static int reflect(const struct bgp_out *o, const struct bgp_path *p, struct bgp_draft *d,
		   struct arena *ar)
{
	uint16_t old = d->len[BGP_P_CLUSTER_LIST];
	uint8_t *v = arena_alloc(ar, old + 4u);

	if (!v)
		return -ENOMEM;
	for (int i = 0; i < 4; i++)
		v[i] = (uint8_t)(o->cluster_id >> (24 - 8 * i));
	if (old)
		memcpy(v + 4, d->part[BGP_P_CLUSTER_LIST], old);
	d->part[BGP_P_CLUSTER_LIST] = v;
	d->len[BGP_P_CLUSTER_LIST] = (uint16_t)(old + 4);
	if (!(d->fixed.has & BGP_HAS_ORIGINATOR)) {
		d->fixed.has |= BGP_HAS_ORIGINATOR;
		d->fixed.originator_id = p->from->id;
	}
	return 0;
}

/* To another AS (RFC 4271 5.1.2, 5.1.4, 5.1.5). */
static int cross(const struct bgp_out *o, const struct bgp_path *p, struct bgp_draft *d,
		 struct arena *ar)
{
	d->fixed.has &= (uint8_t) ~(BGP_HAS_LOCAL_PREF | BGP_HAS_ORIGINATOR);
	if (!p->from->local)
		d->fixed.has &= (uint8_t)~BGP_HAS_MED;
	d->len[BGP_P_CLUSTER_LIST] = 0;
	return bgp_path_prepend(d, &o->local_as, 1, ar);
}

/* False: there is none that could be said. */
static bool set_next_hop(const struct bgp_out *o, const struct bgp_path *p, struct bgp_draft *d)
{
	const struct ipaddr *hop = &d->fixed.next_hop;
	bool ours = p->from->local || o->next_hop_self;

	if (o->link.ebgp)
		ours |= !o->on_link.addr.family || !prefix_has(&o->on_link, hop) ||
			addr_eq(hop, &o->to->addr);
	if (!ours || (p->from->local && hop->family && !addr_is_unspecified(hop)))
		return hop->family;
	d->fixed.next_hop = o->next_hop;
	d->fixed.link_local = o->link_local;
	return o->next_hop.family;
}

int bgp_out_attrs(const struct bgp_out *o, const struct bgp_dest *dest, struct arena *ar,
		  struct bgp_draft *out, enum bgp_silence *why)
{
	const struct bgp_path *p = bgp_dest_best(dest);
	struct prefix prefix = bgp_rib_prefix(o->rib, dest);
	struct bgp_decided decided;
	int rc = 0;

	*why = silence(o, p);
	if (*why != BGP_TOLD)
		return 0;
	*out = bgp_draft_of(p->attrs);
	if (!o->link.ebgp && !(out->fixed.has & BGP_HAS_LOCAL_PREF)) {
		out->fixed.has |= BGP_HAS_LOCAL_PREF;
		out->fixed.local_pref = BGP_PREFERENCE;
	}
	if (is_reflected(o, p))
		rc = reflect(o, p, out, ar);
	else if (o->link.ebgp)
		rc = cross(o, p, out, ar);
	if (!is_reflected(o, p) || o->next_hop_self)
		*why = set_next_hop(o, p, out) ? BGP_TOLD : BGP_NO_NEXT_HOP;
	if (!rc && *why == BGP_TOLD) {
		rc = bgp_filter_run(o->filter, &prefix, o->link.ebgp, out, ar, &decided);
		if (!rc && !decided.accept)
			*why = BGP_FILTERED;
	}
	if (rc == -EMSGSIZE)
		*why = BGP_TOO_LONG;
	return rc == -EMSGSIZE ? 0 : rc;
}

/* ---- in how few messages */

struct told {
	struct bgp_dest *dest;
	struct prefix prefix;
	const struct bgp_attrs *as;
};

struct walk {
	const struct bgp_out *o;
	struct bgp_reader *rd;
	struct buf *b;
	struct arena ar;
	struct bgp_attrs **sets; /* held: each goes out with all prefixes that have it */
	struct told *told;
	struct prefix *v, *gone; /* room for a window */
	uint32_t n_sets, n_told, n_gone;
	/* The last path that was told, whose attributes go out as `last_as`. */
	const struct bgp_attrs *last_attrs, *last_as;
	const struct bgp_source *last_from;
};

/* Sets that are the same are one in the store. NULL: no memory. */
static const struct bgp_attrs *set_of(struct walk *w, const struct bgp_draft *d)
{
	struct bgp_attrs *a = bgp_store_take(w->o->store, d);
	uint32_t i;

	for (i = 0; a && i < w->n_sets && w->sets[i] != a; i++)
		;
	if (a && i < w->n_sets)
		bgp_store_drop(w->o->store, a);
	else if (a)
		w->sets[w->n_sets++] = a;
	return a;
}

/* Paths of one source with one set go out alike, unless a filter looks at each prefix. */
static bool as_the_last(const struct walk *w, const struct bgp_path *p)
{
	return w->last_attrs && p && p->attrs == w->last_attrs && p->from == w->last_from &&
	       (!w->o->filter || !w->o->filter->n);
}

static int take(struct walk *w, struct bgp_dest *dest)
{
	const struct bgp_path *p = bgp_dest_best(dest);
	enum bgp_silence why = BGP_TOLD;
	struct bgp_draft d;
	int rc = 0;

	if (!as_the_last(w, p)) {
		rc = bgp_out_attrs(w->o, dest, &w->ar, &d, &why);
		if (!rc && why == BGP_TOLD) {
			w->last_as = set_of(w, &d);
			w->last_attrs = p->attrs;
			w->last_from = p->from;
			rc = w->last_as ? 0 : -ENOMEM;
		}
	}
	if (rc)
		return rc;
	if (why == BGP_TOLD) {
		w->told[w->n_told++] =
			(struct told){ dest, bgp_rib_prefix(w->o->rib, dest), w->last_as };
	} else if (bgp_reader_told(w->rd, dest)) {
		w->gone[w->n_gone++] = bgp_rib_prefix(w->o->rib, dest);
		rc = bgp_reader_note(w->rd, dest, false);
	}
	return rc;
}

/* One whose attributes leave no room for a prefix is told of nothing, nor may anything be left of it. */
static int put_set(struct walk *w, const struct bgp_attrs *as)
{
	const struct bgp_draft d = bgp_draft_of(as);
	uint32_t n = 0;
	int rc;

	for (uint32_t i = 0; i < w->n_told; i++)
		if (w->told[i].as == as)
			w->v[n++] = w->told[i].prefix;
	rc = bgp_update_put(w->b, w->o->family, &w->o->link, &d, w->v, n);
	for (uint32_t i = 0; i < w->n_told && (rc >= 0 || rc == -EMSGSIZE); i++) {
		if (w->told[i].as != as)
			continue;
		if (rc < 0 && bgp_reader_told(w->rd, w->told[i].dest))
			w->gone[w->n_gone++] = w->told[i].prefix;
		if (bgp_reader_note(w->rd, w->told[i].dest, rc >= 0))
			return -ENOMEM;
	}
	return rc < 0 && rc != -EMSGSIZE ? rc : 0;
}

static int put_window(struct walk *w)
{
	int rc = 0;

	for (uint32_t i = 0; i < w->n_sets && !rc; i++)
		rc = put_set(w, w->sets[i]);
	if (!rc && w->n_gone) {
		rc = bgp_update_put(w->b, w->o->family, &w->o->link, NULL, w->gone, w->n_gone);
		rc = rc < 0 ? rc : 0;
	}
	return rc;
}

static void end_window(struct walk *w)
{
	while (w->n_sets)
		bgp_store_drop(w->o->store, w->sets[--w->n_sets]);
	w->n_told = w->n_gone = 0;
	w->last_attrs = NULL;
	arena_reset(&w->ar);
}

static int begin_window(struct walk *w)
{
	w->sets = arena_array(&w->ar, WINDOW, sizeof(struct bgp_attrs *));
	w->told = arena_array(&w->ar, WINDOW, sizeof(*w->told));
	w->v = arena_array(&w->ar, WINDOW, sizeof(*w->v));
	w->gone = arena_array(&w->ar, 2 * WINDOW, sizeof(*w->gone));
	return w->ar.failed ? -ENOMEM : 0;
}

int bgp_out_walk(const struct bgp_out *o, struct bgp_reader *rd, struct buf *b, size_t enough,
		 bool *all)
{
	struct walk w = { .o = o, .rd = rd, .b = b };
	struct bgp_dest *d = NULL;
	int rc = 0;

	arena_init(&w.ar, 0);
	do {
		rc = begin_window(&w);
		while (!rc && w.n_told + w.n_gone < WINDOW && (d = bgp_reader_next(rd)) != NULL)
			rc = take(&w, d);
		if (!rc)
			rc = put_window(&w);
		end_window(&w);
	} while (!rc && d && b->n < enough);
	arena_fini(&w.ar);
	if (!rc)
		*all = !d;
	return rc;
}

const char *bgp_silence_text(enum bgp_silence s)
{
	static const char *const text[] = {
		[BGP_TOLD] = "told",
		[BGP_NO_PATH] = "no usable path",
		[BGP_ITS_OWN] = "its own route",
		[BGP_NOT_REFLECTED] = "neither is a client of ours",
		[BGP_COMMUNITY] = "a community forbids it",
		[BGP_WOULD_LOOP] = "the peer is in its path",
		[BGP_FILTERED] = "a filter refuses it",
		[BGP_NO_NEXT_HOP] = "no next hop of this family",
		[BGP_TOO_LONG] = "attributes too long for a message",
	};

	return text[s];
}
