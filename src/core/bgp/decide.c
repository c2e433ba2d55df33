// SPDX-License-Identifier: Apache-2.0
/* decide: see decide.h. */
#include "core/bgp/decide.h"

#include "core/bgp/path.h"

#include <stddef.h>

static uint32_t preference(const struct bgp_path *p)
{
	return p->attrs->has & BGP_HAS_LOCAL_PREF ? p->attrs->local_pref : BGP_PREFERENCE;
}

/* 9.1.2.2 c: a missing one is the lowest. */
static uint32_t med(const struct bgp_path *p)
{
	return p->attrs->has & BGP_HAS_MED ? p->attrs->med : 0;
}

static bool same_neighbour(const struct bgp_path *a, const struct bgp_path *b)
{
	return bgp_path_first(a->attrs) == bgp_path_first(b->attrs);
}

static uint32_t identifier(const struct bgp_path *p)
{
	return p->attrs->has & BGP_HAS_ORIGINATOR ? p->attrs->originator_id : p->from->id;
}

static int less(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

/* What comes before the routers are compared; paths that are the same here may share the traffic. */
static int compare_routes(const struct bgp_path *a, const struct bgp_path *b, enum bgp_step *step)
{
	int c;

	*step = BGP_S_USABLE;
	c = less(a->filtered, b->filtered);
	if (c)
		return c;
	*step = BGP_S_LOCAL;
	c = less(!a->from->local, !b->from->local);
	if (c)
		return c;
	*step = BGP_S_PREFERENCE;
	c = less(preference(b), preference(a));
	if (c)
		return c;
	*step = BGP_S_A_LENGTH;
	c = less(bgp_path_length(a->attrs), bgp_path_length(b->attrs));
	if (c)
		return c;
	*step = BGP_S_B_ORIGIN;
	return less(a->attrs->origin, b->attrs->origin);
}

static int compare_with(const struct bgp_path *a, const struct bgp_path *b, bool meds,
			enum bgp_step *step)
{
	int c = compare_routes(a, b, step);

	if (c)
		return c;
	*step = BGP_S_C_MED;
	c = meds ? less(med(a), med(b)) : 0;
	if (c)
		return c;
	*step = BGP_S_D_EBGP;
	c = less(!a->from->ebgp, !b->from->ebgp);
	if (c)
		return c;
	*step = BGP_S_F_ID;
	c = less(identifier(a), identifier(b));
	if (c)
		return c;
	*step = BGP_S_CLUSTERS;
	c = less(a->attrs->len[BGP_P_CLUSTER_LIST], b->attrs->len[BGP_P_CLUSTER_LIST]);
	if (c)
		return c;
	*step = BGP_S_G_ADDRESS;
	c = addr_cmp(&a->from->addr, &b->from->addr);
	if (!c)
		*step = BGP_S_SAME;
	return c;
}

int bgp_compare(const struct bgp_path *a, const struct bgp_path *b, enum bgp_step *step)
{
	return compare_with(a, b, same_neighbour(a, b), step);
}

bool bgp_shares(const struct bgp_path *best, const struct bgp_path *p)
{
	enum bgp_step step;

	return !p->filtered && !p->from->local && !compare_routes(best, p, &step) &&
	       best->from->ebgp == p->from->ebgp &&
	       (!same_neighbour(best, p) || med(best) == med(p)) &&
	       !addr_eq(&best->attrs->next_hop, &p->attrs->next_hop);
}

/* Is there a path of the same neighbour AS with which MED beats this one? Then it is none of the candidates. */
static bool is_beaten(const struct bgp_path *list, const struct bgp_path *p)
{
	enum bgp_step step;

	for (; list; list = list->next)
		if (list != p && same_neighbour(list, p) && compare_with(list, p, true, &step) < 0)
			return true;
	return false;
}

static bool has_med(const struct bgp_path *list)
{
	for (; list; list = list->next)
		if (list->attrs->has & BGP_HAS_MED)
			return true;
	return false;
}

static struct bgp_path **find_best(struct bgp_path **list)
{
	struct bgp_path **best = NULL;
	bool meds = has_med(*list);
	enum bgp_step step;

	for (struct bgp_path **at = list; *at; at = &(*at)->next)
		if ((!meds || !is_beaten(*list, *at)) &&
		    (!best || compare_with(*at, *best, false, &step) < 0))
			best = at;
	return best;
}

/* Those beside the best are in the order of who they are from, so that the same set is always told alike. */
static void insert(struct bgp_path **list, struct bgp_path *p)
{
	enum bgp_step step;

	while (*list && compare_with(*list, p, false, &step) <= 0)
		list = &(*list)->next;
	p->next = *list;
	*list = p;
}

struct bgp_path *bgp_order(struct bgp_path *paths, uint32_t most, uint32_t *multipath)
{
	struct bgp_path *best, *equal = NULL, *rest = NULL, **at;
	uint32_t n = 0;

	*multipath = 0;
	if (!paths)
		return NULL;
	at = find_best(&paths);
	best = *at;
	*at = best->next;
	while (paths) {
		struct bgp_path *p = paths;

		paths = p->next;
		insert(bgp_shares(best, p) ? &equal : &rest, p);
	}
	best->next = equal;
	for (at = &best->next; *at; at = &(*at)->next)
		n++;
	*at = rest;
	if (!best->filtered)
		*multipath = n + 1 < most ? n + 1 : most;
	return best;
}

const char *bgp_step_text(enum bgp_step s)
{
	static const char *const text[] = {
		[BGP_S_SAME] = "the same",
		[BGP_S_USABLE] = "may be used",
		[BGP_S_LOCAL] = "our own",
		[BGP_S_PREFERENCE] = "higher local preference",
		[BGP_S_A_LENGTH] = "shorter AS path",
		[BGP_S_B_ORIGIN] = "better origin",
		[BGP_S_C_MED] = "lower MED",
		[BGP_S_D_EBGP] = "from another AS",
		[BGP_S_F_ID] = "lower BGP identifier",
		[BGP_S_CLUSTERS] = "fewer reflectors",
		[BGP_S_G_ADDRESS] = "lower address",
	};

	return text[s];
}
