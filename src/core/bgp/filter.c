// SPDX-License-Identifier: Apache-2.0
/* filter: see filter.h. */
#include "core/bgp/filter.h"

#include "base/wire.h"
#include "core/bgp/path.h"

#include <errno.h>
#include <string.h>

static bool within(const struct prefix *p, const struct prefix *of)
{
	return p->addr.family == of->addr.family && p->len >= of->len && prefix_has(of, &p->addr);
}

static bool cidr_matches(const struct bgp_rule *r, const struct prefix *p)
{
	switch ((enum bgp_match)r->match) {
	case BGP_M_IN:
		return within(p, &r->cidr);
	case BGP_M_NOT_IN:
		return !within(p, &r->cidr);
	case BGP_M_EQUAL:
		return prefix_eq(p, &r->cidr);
	case BGP_M_NOT_EQUAL:
		return !prefix_eq(p, &r->cidr);
	case BGP_M_ANY:
		break;
	}
	return true;
}

static size_t unit_of(const struct bgp_community *c, uint8_t out[12])
{
	size_t n = c->large ? 3 : 1;

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < 4; k++)
			out[4 * i + k] = (uint8_t)(c->v[i] >> (24 - 8 * k));
	return 4 * n;
}

static enum bgp_part part_of(const struct bgp_community *c)
{
	return c->large ? BGP_P_LARGE : BGP_P_COMMUNITIES;
}

static bool has(const struct bgp_draft *d, const struct bgp_community *c)
{
	enum bgp_part part = part_of(c);
	uint8_t want[12];
	size_t unit = unit_of(c, want);

	for (size_t at = 0; at + unit <= d->len[part]; at += unit)
		if (!memcmp(d->part[part] + at, want, unit))
			return true;
	return false;
}

/* The path begins with a sequence of these. */
static bool path_begins(const struct bgp_draft *d, const uint32_t *v, uint32_t n)
{
	struct wire w = wire_from(d->part[BGP_P_AS_PATH], d->len[BGP_P_AS_PATH]);

	while (n && wire_left(&w)) {
		uint8_t type = wire_u8(&w), count = wire_u8(&w);

		if (type != BGP_AS_SEQUENCE)
			return false;
		for (; count && n; count--, n--)
			if (wire_u32(&w) != *v++)
				return false;
	}
	return !n;
}

static bool matches(const struct bgp_rule *r, const struct prefix *p, bool ebgp,
		    const struct bgp_draft *d)
{
	if (!cidr_matches(r, p) || p->len < r->min_len || (r->max_len && p->len > r->max_len))
		return false;
	if (r->peer != BGP_PT_ANY && ebgp != (r->peer == BGP_PT_EBGP))
		return false;
	for (uint32_t i = 0; i < r->n_communities; i++)
		if (!has(d, &r->communities[i]))
			return false;
	return path_begins(d, r->path, r->n_path);
}

static int add_community(struct bgp_draft *d, const struct bgp_community *c, struct arena *ar)
{
	enum bgp_part part = part_of(c);
	uint8_t unit[12], *v;
	size_t n = unit_of(c, unit), old = d->len[part];

	if (has(d, c))
		return 0;
	v = arena_alloc(ar, old + n);
	if (!v)
		return -ENOMEM;
	if (old)
		memcpy(v, d->part[part], old);
	memcpy(v + old, unit, n);
	d->part[part] = v;
	d->len[part] = (uint16_t)(old + n);
	return 0;
}

static int operate(const struct bgp_rule *r, struct bgp_draft *d, struct arena *ar)
{
	int rc = 0;

	if (r->set_preference) {
		d->fixed.has |= BGP_HAS_LOCAL_PREF;
		d->fixed.local_pref = r->preference;
	}
	for (uint32_t i = 0; i < r->n_add && !rc; i++)
		rc = add_community(d, &r->add[i], ar);
	return rc ? rc : bgp_path_prepend(d, r->prepend, r->n_prepend, ar);
}

int bgp_filter_run(const struct bgp_filter *f, const struct prefix *p, bool ebgp,
		   struct bgp_draft *d, struct arena *ar, struct bgp_decided *out)
{
	for (uint32_t i = 0; f && i < f->n; i++)
		for (uint32_t k = 0; k < f->v[i]->n; k++) {
			const struct bgp_rule *r = &f->v[i]->v[k];

			if (!matches(r, p, ebgp, d))
				continue;
			*out = (struct bgp_decided){ f->v[i], k, r->accept };
			return r->accept ? operate(r, d, ar) : 0;
		}
	*out = (struct bgp_decided){ .accept = !f || !f->deny };
	return 0;
}
