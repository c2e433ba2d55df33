// SPDX-License-Identifier: Apache-2.0
/* What this node tells of itself: blocks of addresses and networks of the configuration, which follow from the store (core/bgp/peers.h),
 * and addresses of Services, which the agent says. Both may mean one prefix; it is told as long as one of them does, by the
 * attributes of the store's where it is that one's.
 *
 * Each prefix is one node of a tree and of a list; a change costs a look-up. When the agent's list begins anew what it said before
 * stays told until the list is through. */
#include "base/hash.h"
#include "daemon/bgp.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct origin {
	struct prefix prefix; /* first: what the tree compares */
	struct origin *next, **prev;
	bool store, agent; /* who wants it… */
	char *why[2];      /* …and for what: "Service shop/web" */
	bool stale;        /* the agent has not said it again */
	bool told;
	uint64_t digest; /* of the attributes that it is told by */
};

enum { OF_STORE, OF_AGENT };

struct bgp_origins {
	void *tree;
	struct origin *first;
};

static int by_prefix(const void *a, const void *b)
{
	return prefix_cmp(a, b);
}

static struct origin *find(const struct bgp_origins *o, const struct prefix *p)
{
	struct origin *const *at = o ? tfind(p, &o->tree, by_prefix) : NULL;

	return at ? *at : NULL;
}

static struct origin *find_or_add(struct bgp *b, const struct prefix *p)
{
	struct bgp_origins *all = b->origins;
	struct origin *o;

	if (!all)
		all = b->origins = calloc(1, sizeof(*all));
	if (!all)
		return NULL;
	o = find(all, p);
	if (o)
		return o;
	o = calloc(1, sizeof(*o));
	if (!o)
		return NULL;
	o->prefix = *p;
	if (!tsearch(o, &all->tree, by_prefix)) {
		free(o);
		return NULL;
	}
	o->next = all->first;
	o->prev = &all->first;
	if (o->next)
		o->next->prev = &o->next;
	all->first = o;
	return o;
}

static void destroy(struct bgp_origins *all, struct origin *o)
{
	tdelete(o, &all->tree, by_prefix);
	*o->prev = o->next;
	if (o->next)
		o->next->prev = o->prev;
	free(o->why[OF_STORE]);
	free(o->why[OF_AGENT]);
	free(o);
}

/* Without memory it has no reason to show. */
static void set_why(struct origin *o, unsigned of, const char *text)
{
	free(o->why[of]);
	o->why[of] = text ? strdup(text) : NULL;
}

/* Nobody wants it any more? */
static void look(struct bgp *b, struct origin *o)
{
	if (o->store || o->agent)
		return;
	if (b->speaker && o->told)
		bgp_speaker_withdraw(b->speaker, &o->prefix);
	destroy(b->origins, o);
	bgp_wake(b);
}

static uint64_t digest_of(const struct bgp_draft *d)
{
	uint64_t h = FNV64_START;

	h = fnv64(h, &d->fixed.has, sizeof(d->fixed.has));
	h = fnv64(h, &d->fixed.origin, sizeof(d->fixed.origin));
	h = fnv64(h, &d->fixed.med, sizeof(d->fixed.med));
	h = fnv64(h, &d->fixed.local_pref, sizeof(d->fixed.local_pref));
	for (unsigned i = 0; i < BGP_PARTS; i++) {
		h = fnv64(h, &d->len[i], sizeof(d->len[i]));
		h = fnv64(h, d->part[i], d->len[i]);
	}
	return h;
}

static int tell(struct bgp *b, struct origin *o, const struct bgp_draft *attrs)
{
	uint64_t digest = digest_of(attrs);
	int rc;

	if (!b->speaker || (o->told && o->digest == digest))
		return 0;
	rc = bgp_speaker_originate(b->speaker, &o->prefix, attrs, bgp_now_ms());
	if (rc)
		return rc;
	o->told = true;
	o->digest = digest;
	bgp_wake(b);
	return 0;
}

/* What only the agent wants, by the attributes that the configuration has for such a prefix. */
static int tell_agents(struct bgp *b, struct origin *o)
{
	const struct bgp_want *want = bgp_store_want(b);
	struct bgp_draft attrs;

	if (o->store || !want)
		return 0;
	attrs = bgp_want_attrs(want, &o->prefix);
	return tell(b, o, &attrs);
}

/* ---- the store's */

int bgp_origin_own(struct bgp *b, const struct bgp_own *own)
{
	struct origin *o = find_or_add(b, &own->prefix);

	if (!o)
		return -ENOMEM;
	o->store = true;
	set_why(o, OF_STORE, own->why);
	return tell(b, o, &own->attrs);
}

void bgp_origin_no_own(struct bgp *b, const struct prefix *p)
{
	struct origin *o = find(b->origins, p);

	if (!o)
		return;
	o->store = false;
	if (o->agent && tell_agents(b, o))
		log_error("no memory for the attributes of a Service's address");
	look(b, o);
}

/* ---- the agent's */

int bgp_origin_put(struct bgp *b, const struct rec_origin *r)
{
	char why[600];
	struct origin *o;

	if (r->withdrawn) {
		o = find(b->origins, &r->prefix);
		if (o) {
			o->agent = false;
			look(b, o);
		}
		return 0;
	}
	o = find_or_add(b, &r->prefix);
	if (!o)
		return -ENOMEM;
	o->agent = true;
	o->stale = false;
	snprintf(why, sizeof(why), "%s %s%s%s", r->kind ? r->kind : "", r->ns ? r->ns : "",
		 r->ns ? "/" : "", r->name ? r->name : "");
	set_why(o, OF_AGENT, why);
	return tell_agents(b, o);
}

int bgp_origins_judge(struct bgp *b)
{
	int rc = 0;

	for (struct origin *o = b->origins ? b->origins->first : NULL; o; o = o->next) {
		int one = o->agent ? tell_agents(b, o) : 0;

		rc = rc ? rc : one;
	}
	return rc;
}

void bgp_origins_begin(struct bgp *b)
{
	for (struct origin *o = b->origins ? b->origins->first : NULL; o; o = o->next)
		o->stale = o->agent;
}

void bgp_origins_listed(struct bgp *b)
{
	struct origin *o, *next;

	for (o = b->origins ? b->origins->first : NULL; o; o = next) {
		next = o->next;
		if (!o->stale)
			continue;
		o->agent = o->stale = false;
		look(b, o);
	}
}

/* ---- all */

void bgp_origins_forget(struct bgp *b)
{
	for (struct origin *o = b->origins ? b->origins->first : NULL; o; o = o->next)
		o->told = false;
}

const char *bgp_origin_why(const struct bgp *b, const struct prefix *p)
{
	const struct origin *o = find(b->origins, p);

	const char *why = o ? o->why[o->store ? OF_STORE : OF_AGENT] : NULL;

	return why ? why : "";
}

void bgp_origins_free(struct bgp *b)
{
	while (b->origins && b->origins->first)
		destroy(b->origins, b->origins->first);
	free(b->origins);
	b->origins = NULL;
}
