/* SPDX-License-Identifier: Apache-2.0 */
/* Which entries of the connection table are stale: those that carry packets to where, by what the
 * node does now, they should not go. Connection tracking decides once, at a flow's first packet;
 * UDP knows no end of a flow, so that a client that keeps its port keeps its endpoint, dead or not.
 * kube-proxy 1.34's cleaner, and what its users missed (kubernetes#139628, 141371):
 *
 *   served front    an entry leads to an endpoint of it that serves, or is stale: the endpoint
 *                   went, or stopped to serve, or the entry is not translated as it is from a
 *                   time when the front had no endpoint or was not there (#125467, 59368)
 *   front without   stale is what leads to an endpoint that was seen to go. What else there is
 *   endpoints       may be of slices that are not known yet, and stays
 *   no front        the same; all else is foreign: other people's portmap, plain traffic
 *
 * So what went is remembered until the table was looked through, and nothing that still holds is
 * ever taken out, also not at start (#122740). Fronts of one address, of node ports on the node's
 * own addresses that take them (not any destination with that port), and host ports, if they are
 * put as fronts. One front of several Services (or of one after the other: an address that is
 * given again) is served by the endpoints of all of them.
 *
 * TCP is left alone. SCTP has ends, as TCP, but clients that keep their ports (#106651, 101968): an
 * entry without an association behind it (before ESTABLISHED, or CLOSED) is judged as UDP; one
 * that may have one only goes with an endpoint or front that was seen to go. */
#pragma once
#include "core/service/service.h"
#include "model/conntrack.h"

struct svc_stale;

struct svc_stale *svc_stale_new(void);     /* NULL: no memory */
void svc_stale_free(struct svc_stale *st); /* NULL is fine */

/* What the node does with one Service now, its plans of both families; n 0: it is gone. Copied.
 * When the kernel does so: after what was added or changed is in its rules. At start first what
 * its rules still hold from before, as plans, so that what went meanwhile is known.
 * -ENOMEM: either nothing changed, or what went was not all remembered. */
int svc_stale_put(struct svc_stale *st, const char *ns, const char *name,
		  const struct svc_plan *plans, size_t n, struct err *e);

/* Can there be stale entries? Not for another endpoint of a front that is served, nor TCP. */
bool svc_stale_due(const struct svc_stale *st);
/* Around a look through the whole table, of both families and protocols. A pass that failed has no
 * `done`: it is due again. Puts in between count for the entries that come after them, and for
 * the next pass. */
void svc_stale_begin(struct svc_stale *st);
void svc_stale_done(struct svc_stale *st);

enum svc_fate {
	SVC_KEEP_PROTOCOL,
	SVC_KEEP_ZONE,
	SVC_KEEP_FOREIGN,
	SVC_KEEP_SERVED,
	SVC_KEEP_UNKNOWN,
	SVC_KEEP_ASSOCIATION,
	SVC_STALE_UNTRANSLATED, /* from here on: delete it */
	SVC_STALE_NOT_SERVING,
	SVC_STALE_NO_ENDPOINT,
	SVC_STALE_NO_FRONT
};
extern const struct names svc_fate_names; /* in words */

/* *service (NULL: not asked) is "namespace/name" until the next put; NULL where it is nobody's. */
enum svc_fate svc_stale_judge(const struct svc_stale *st, const struct svc_node *node,
			      const struct ct_entry *c, const char **service);

static inline bool svc_is_stale(enum svc_fate fate)
{
	return fate >= SVC_STALE_UNTRANSLATED;
}
