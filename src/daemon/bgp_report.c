// SPDX-License-Identifier: Apache-2.0
/* What the role says of itself: metrics, and why a route is preferred. */
#include "core/bgp/decide.h"
#include "daemon/bgp.h"

#include <stdio.h>
#include <string.h>

const char *bgp_why(const struct bgp_dest *d, char buf[96])
{
	const struct bgp_path *best = bgp_dest_best(d);
	uint32_t shared = bgp_dest_multipath(d);
	const struct bgp_path *other = bgp_dest_paths(d);
	enum bgp_step step = BGP_S_SAME;

	for (uint32_t i = 0; i < shared && other; i++)
		other = other->next;
	if (other && best)
		bgp_compare(best, other, &step);
	if (!best)
		snprintf(buf, 96, "no path can be used");
	else if (shared > 1)
		snprintf(buf, 96, "shared by %u equal paths", shared);
	else if (!other || other->filtered)
		snprintf(buf, 96, "the only path");
	else
		snprintf(buf, 96, "preferred: %s", bgp_step_text(step));
	return buf;
}

/* Not there any more: its series go, too. */
static void report_peer(struct report *r, const struct bgp_peer *p, bool there)
{
	const char *name = bgp_peer_name(p), *gauge = there ? "gauge" : NULL;
	const char *counter = there ? "counter" : NULL;
	const struct bgp_fsm *f = bgp_peer_fsm(p);
	struct bgp_peer_counts n;

	bgp_peer_count(p, &n);
	report_value(r, "fairlead_bgp_peer_up", gauge, "Is the session Established.", "peer", name,
		     bgp_fsm_side(f) >= 0);
	report_value(r, "fairlead_bgp_peer_ends_total", counter, "How often the session ended.",
		     "peer", name, f->ends);
	report_value(r, "fairlead_bgp_peer_routes", gauge, "Routes from the peer, and told to it.",
		     "direction", "in", n.received, "peer", name);
	report_value(r, "fairlead_bgp_peer_routes", gauge, "Routes from the peer, and told to it.",
		     "direction", "out", n.told, "peer", name);
	report_value(r, "fairlead_bgp_peer_faulty_total", counter,
		     "Messages and attributes that RFC 7606 had withdrawn or discarded.", "peer",
		     name, n.withdrawn_as_faulty + n.discarded);
}

void bgp_report_gone(struct bgp *b, const struct bgp_peer *p)
{
	report_peer(&b->report, p, false);
}

static void report_work(struct report *r, const struct bgp_wants_work *w)
{
	const struct {
		const char *what;
		uint64_t n;
	} v[] = { { "all", w->all }, { "node", w->nodes }, { "address", w->addresses } };

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++)
		report_value(r, "fairlead_bgp_judged_total", "counter",
			     "What was judged to follow the store.", "what", v[i].what, v[i].n);
}

void bgp_report(struct report *r, void *arg)
{
	const struct bgp *b = arg;
	struct bgp_wants_work work = bgp_wants_work(bgp_store_wants(b));

	report_value(r, "fairlead_bgp_refused_total", "counter",
		     "Connections of nobody that is a peer.", NULL, NULL, b->refused);
	report_work(r, &work);
	for (unsigned i = 0; b->speaker && i < BGP_FAMILIES; i++)
		report_value(r, "fairlead_bgp_routes", "gauge", "Prefixes in the table.", "family",
			     i ? "IPv6" : "IPv4", bgp_rib_count(bgp_speaker_rib(b->speaker, i)));
	for (struct bgp_peer *p = b->speaker ? bgp_peer_first(b->speaker) : NULL; p;
	     p = bgp_peer_after(p))
		report_peer(r, p, true);
}
