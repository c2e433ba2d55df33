// SPDX-License-Identifier: Apache-2.0
/* What a peer tells: an UPDATE goes through the import filter into the tables. A path that is refused, or would loop (RFC 4271
 * 9.1.2, RFC 4456 8), is kept as filtered, so that another filter needs no refresh and `bgp routes` can show it. */
#include "core/bgp/path.h"
#include "core/bgp/speaker_state.h"

#include "core/bgp/fault.h"

#include <errno.h>

static bool loops(const struct bgp_peer *p, const struct bgp_attrs *a)
{
	const struct bgp_speaker *s = p->speaker;
	uint32_t cluster = p->conf.cluster_id ? p->conf.cluster_id : s->conf.id;

	if (bgp_path_has(a, s->conf.as))
		return true;
	if (p->source.ebgp)
		return false;
	return ((a->has & BGP_HAS_ORIGINATOR) && a->originator_id == s->conf.id) ||
	       bgp_has_cluster(a, cluster);
}

/* One set for all prefixes of a message, unless the filter looks at each. */
static int take_one(struct bgp_peer *p, enum bgp_family family, const struct bgp_routes *r,
		    const struct prefix *prefix, struct bgp_attrs **shared, bool *refused,
		    int64_t now_ms)
{
	const struct bgp_filter *filter = &p->conf.import[family];
	struct bgp_speaker *s = p->speaker;
	struct bgp_draft d = r->attrs;
	struct bgp_decided decided;
	int rc = 0;

	if (!*shared || filter->n) {
		rc = bgp_filter_run(filter, prefix, p->source.ebgp, &d, &s->scratch, &decided);
		if (rc)
			return rc == -EMSGSIZE ? 0 : rc;
		bgp_store_drop(s->store, *shared);
		*shared = bgp_store_take(s->store, &d);
		if (!*shared)
			return -ENOMEM;
		*refused = !decided.accept || loops(p, *shared);
	}
	return bgp_rib_put(s->rib[family], prefix, &p->source, *shared, *refused,
			   (uint32_t)(now_ms / 1000));
}

static int take_routes(struct bgp_peer *p, enum bgp_family family, const struct bgp_routes *r,
		       int64_t now_ms)
{
	struct bgp_rib *rib = p->speaker->rib[family];
	struct bgp_attrs *shared = NULL;
	bool refused = false;
	int rc = 0;

	for (uint32_t i = 0; i < r->n_unreach; i++)
		bgp_rib_withdraw(rib, &r->unreach[i], &p->source);
	for (uint32_t i = 0; i < r->n_reach && !rc; i++)
		rc = take_one(p, family, r, &r->reach[i], &shared, &refused, now_ms);
	bgp_store_drop(p->speaker->store, shared);
	return rc;
}

void bgp_peer_end_stale(struct bgp_peer *p, enum bgp_family family)
{
	struct bgp_channel *c = &p->channel[family];

	if (!c->stale)
		return;
	c->stale = false;
	bgp_rib_sweep(p->speaker->rib[family], &p->source);
}

static void heard_all(struct bgp_peer *p, enum bgp_family family)
{
	p->channel[family].end_heard = true;
	bgp_peer_end_stale(p, family);
	bgp_speaker_settle(p->speaker);
}

static bool has_too_many(struct bgp_peer *p, struct bgp_fault *f)
{
	for (unsigned i = 0; i < BGP_FAMILIES && p->conf.max_prefixes; i++) {
		uint32_t n = bgp_rib_count_of(p->speaker->rib[i], &p->source);

		if (n <= p->conf.max_prefixes)
			continue;
		bgp_fault(f, BGP_E_CEASE, BGP_E_PREFIXES, "%u prefixes, and %u are allowed", n,
			  p->conf.max_prefixes);
		return true;
	}
	return false;
}

void bgp_peer_update(struct bgp_peer *p, enum bgp_side side, const uint8_t *message, size_t len,
		     int64_t now_ms)
{
	struct bgp_speaker *s = p->speaker;
	struct bgp_fault f = { 0 };
	struct bgp_update u;
	int rc;

	rc = bgp_update_decode(message + BGP_HEADER, len - BGP_HEADER,
			       &p->channel[BGP_IPV4].out.link, &s->scratch, &u);
	p->discarded += u.discarded;
	if (!rc && u.verdict == BGP_AS_WITHDRAWN) {
		p->withdrawn_as_faulty++;
		bgp_peer_note(p, true, "its routes are taken as withdrawn: %s", u.fault.text);
	}
	for (unsigned i = 0; i < BGP_FAMILIES && !rc && u.verdict != BGP_RESET; i++) {
		rc = take_routes(p, i, &u.family[i], now_ms);
		if (!rc && u.family[i].end && p->fsm.agreed.family[i])
			heard_all(p, i);
	}
	arena_reset(&s->scratch);
	if (rc)
		bgp_fault(&f, BGP_E_CEASE, BGP_E_RESOURCES, "no memory for its routes");
	else if (u.verdict == BGP_RESET)
		f = u.fault;
	if (f.code || has_too_many(p, &f))
		bgp_peer_fault(p, side, &f, now_ms);
}
