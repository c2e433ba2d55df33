// SPDX-License-Identifier: Apache-2.0
/* slices: see slices.h. Per family: what is wanted, then each slice keeps what it has of that, then
 * the rest is placed. A write is made where the encoded object differs. */
#include "core/service/slices.h"
#include "base/buf.h"
#include "base/hash.h"
#include "core/service/slice_endpoint.h"
#include "model/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct slot {
	const struct object *old; /* NULL: new */
	struct endpoint_slice now;
	bool touched; /* is written anyway */
};

struct run {
	const struct svc_pods *in;
	struct arena *a;
	struct slot *slots;
	size_t n_slots, max_slots;
	size_t *slot_of;       /* of each of in->slices, plus one; 0: none */
	uint64_t last_name;    /* the hash that the last new name came from */
	struct wanted *wanted; /* of one family, by pod */
	size_t n_wanted;
};

bool svc_slice_is_ours(const struct endpoint_slice *s)
{
	const char *by = strmap_get(&s->meta.labels, LABEL_MANAGED_BY);

	return by && !strcmp(by, MANAGED_BY_US) && strmap_get(&s->meta.labels, LABEL_SERVICE_NAME);
}

/* ---- the object around the endpoints */

static bool is_taken(const struct run *r, const char *name)
{
	return cluster_get(r->in->cluster, KIND_ENDPOINTSLICE, r->in->service->meta.namespace,
			   name);
}

/* NAME-<8>: the next one for each that is taken, or was given a moment ago. Should two of one plan
 * be alike, the second is refused as it exists, and the next plan finds it taken. */
static const char *new_name(struct run *r)
{
	const char *service = r->in->service->meta.name, *name;

	do {
		r->last_name = fnv64_text(r->last_name, "");
		name = arena_printf(r->a, "%s-%08x", service, (unsigned)(r->last_name >> 32));
	} while (name && is_taken(r, name));
	return name;
}

static void fill_meta(struct run *r, struct slot *slot)
{
	const struct service *s = r->in->service;
	struct meta *m = &slot->now.meta;
	struct owner_ref *owner = arena_alloc(r->a, sizeof(*owner));

	*m = (struct meta){ .name = slot->old ? slot->old->meta->name : new_name(r),
			    .namespace = s->meta.namespace };
	if (slot->old) {
		m->uid = slot->old->meta->uid;
		m->annotations = slot->old->meta->annotations;
	}
	for (uint32_t i = 0; i < s->meta.labels.n; i++)
		strmap_put(&m->labels, r->a, s->meta.labels.v[i].key, s->meta.labels.v[i].value);
	strmap_put(&m->labels, r->a, LABEL_SERVICE_NAME, s->meta.name);
	strmap_put(&m->labels, r->a, LABEL_MANAGED_BY, MANAGED_BY_US);
	if (s->spec.clusterIP && !strcmp(s->spec.clusterIP, CLUSTER_IP_NONE))
		strmap_put(&m->labels, r->a, LABEL_HEADLESS, "");
	if (!owner)
		return;
	*owner = (struct owner_ref){ "Service", s->meta.name, s->meta.uid, true };
	m->ownerReferences.v = owner;
	m->ownerReferences.n = 1;
}

static int encode(struct buf *b, const void *slice)
{
	return record_body(b, kind_by_id(KIND_ENDPOINTSLICE)->schema, slice, NULL);
}

/* What cannot be compared differs. */
static bool is_same(const struct slot *s)
{
	struct buf a = { 0 }, b = { 0 };
	bool same = s->old && !encode(&a, s->old->body) && !encode(&b, &s->now) && a.n == b.n &&
		    !memcmp(a.v, b.v, a.n);

	buf_fini(&a);
	buf_fini(&b);
	return same;
}

/* ---- slots */

static struct slot *add_slot(struct run *r, const struct object *old, uint8_t type)
{
	struct slot *s;

	if (r->n_slots == r->max_slots) {
		size_t max = 2 * r->max_slots + 8;
		struct slot *v = arena_array(r->a, max, sizeof(*v));

		if (!v)
			return NULL;
		if (r->n_slots)
			memcpy(v, r->slots, r->n_slots * sizeof(*v));
		r->slots = v;
		r->max_slots = max;
	}
	s = &r->slots[r->n_slots];
	*s = (struct slot){ .old = old, .now = { .addressType = type }, .touched = !old };
	fill_meta(r, s);
	s->now.endpoints.v = arena_array(r->a, SLICE_ROOM, sizeof(*s->now.endpoints.v));
	if (r->a->failed)
		return NULL;
	r->n_slots++;
	return s;
}

static void put(struct slot *s, struct wanted *w)
{
	s->now.endpoints.v[s->now.endpoints.n++] = w->endpoint;
	w->placed = true;
}

static struct wanted *find_wanted(const struct run *r, const struct slice_endpoint *ep)
{
	size_t lo = 0, hi = r->n_wanted;

	while (ep->targetRef && ep->targetRef->name && lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = strcmp(r->wanted[mid].pod, ep->targetRef->name);

		if (!c)
			return &r->wanted[mid];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

static void keep(struct run *r, struct slot *s)
{
	const struct endpoint_slice *old = s->old->body;

	s->now.ports.v = old->ports.v;
	s->now.ports.n = old->ports.n;
	for (uint32_t i = 0; i < old->endpoints.n; i++) {
		struct wanted *w = find_wanted(r, &old->endpoints.v[i]);

		if (w && !w->placed && s->now.endpoints.n < SLICE_ROOM &&
		    slice_same_ports(&w->ports, old))
			put(s, w);
	}
	s->touched = !is_same(s);
}

/* ---- the rest */

static bool takes(const struct slot *s, const struct wanted *w, uint8_t type)
{
	return s->now.addressType == type && s->now.endpoints.n < SLICE_ROOM &&
	       slice_same_ports(&w->ports, &s->now);
}

static bool better(const struct slot *s, const struct slot *than)
{
	if (!than || s->touched != than->touched)
		return !than || s->touched;
	return s->now.endpoints.n > than->now.endpoints.n;
}

static struct slot *pick(struct run *r, const struct wanted *w, uint8_t type)
{
	struct slot *best = NULL;

	for (size_t i = 0; i < r->n_slots; i++)
		if (takes(&r->slots[i], w, type) && better(&r->slots[i], best))
			best = &r->slots[i];
	if (best)
		return best;
	best = add_slot(r, NULL, type);
	if (best) {
		best->now.ports.v = w->ports.list.v;
		best->now.ports.n = w->ports.list.n;
	}
	return best;
}

static int place(struct run *r, uint8_t type)
{
	struct slot *last = NULL; /* fits most of the time: slots need not be looked through */

	for (size_t i = 0; i < r->n_wanted; i++) {
		struct wanted *w = &r->wanted[i];

		if (w->placed)
			continue;
		if (!last || !takes(last, w, type))
			last = pick(r, w, type);
		if (!last)
			return -ENOMEM;
		last->touched = true;
		put(last, w);
	}
	return 0;
}

static int plan_family(struct run *r, uint8_t family)
{
	uint8_t type = family == IP_FAMILY_6 ? SLICE_IPV6 : SLICE_IPV4;

	r->n_wanted = 0;
	r->wanted = arena_array(r->a, r->in->n_pods, sizeof(*r->wanted));
	for (size_t i = 0; r->wanted && i < r->in->n_pods; i++)
		r->n_wanted +=
			slice_want(r->in, r->in->pods[i], family, r->a, &r->wanted[r->n_wanted]);
	if (r->a->failed)
		return -ENOMEM;
	for (size_t i = 0; i < r->in->n_slices; i++) {
		const struct object *old = r->in->slices[i];
		struct slot *s;

		if (((const struct endpoint_slice *)old->body)->addressType != type)
			continue;
		s = add_slot(r, old, type);
		if (!s)
			return -ENOMEM;
		r->slot_of[i] = r->n_slots;
		keep(r, s);
	}
	return place(r, type);
}

/* ---- writes */

static bool is_kept(const struct run *r, size_t slice)
{
	return r->slot_of[slice] && r->slots[r->slot_of[slice] - 1].now.endpoints.n;
}

static int make_writes(const struct run *r, struct svc_slices_plan *out)
{
	size_t room = r->n_slots + r->in->n_slices;
	struct svc_slice_write *v = arena_array(r->a, room, sizeof(*v));
	uint32_t n = 0;

	if (!v || r->a->failed)
		return -ENOMEM;
	for (size_t i = 0; i < r->n_slots; i++)
		if (r->slots[i].touched && r->slots[i].now.endpoints.n)
			v[n++] = (struct svc_slice_write){ r->slots[i].old, &r->slots[i].now };
	for (size_t i = 0; i < r->in->n_slices; i++)
		if (!is_kept(r, i))
			v[n++] = (struct svc_slice_write){ r->in->slices[i], NULL };
	out->writes.v = v;
	out->writes.n = n;
	return 0;
}

int svc_slices_plan(const struct svc_pods *in, struct arena *a, struct svc_slices_plan *out,
		    struct err *e)
{
	const struct service *s = in->service;
	struct run r = { .in = in, .a = a };
	int rc = 0;

	r.slot_of = arena_array(a, in->n_slices, sizeof(*r.slot_of));
	if (!r.slot_of)
		return err_set(e, -ENOMEM, "no memory");
	if (s)
		r.last_name = fnv64_text(FNV64_START, s->meta.name);
	if (s && s->spec.type != SERVICE_EXTERNAL_NAME && s->spec.selector.n)
		for (uint32_t i = 0; i < s->spec.ipFamilies.n && !rc; i++)
			rc = plan_family(&r, s->spec.ipFamilies.v[i]);
	if (!rc)
		rc = make_writes(&r, out);
	return rc ? err_set(e, rc, "no memory") : 0;
}
