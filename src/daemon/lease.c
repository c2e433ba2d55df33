// SPDX-License-Identifier: Apache-2.0
/* lease: see lease.h; after k8s.io/client-go/tools/leaderelection. */
#include "daemon/lease.h"

#include <string.h>

void lease_init(struct lease_state *s, const char *identity)
{
	*s = (struct lease_state){ .identity = identity, .renewed_ms = INT64_MIN / 2 };
}

void lease_seen(struct lease_state *s, const struct lease *l, uint64_t rev, int64_t now_ms)
{
	if (!l) {
		s->known = s->held = s->free = false;
		return;
	}
	if (!s->known || s->rev != rev)
		s->seen_ms = now_ms;
	s->known = true;
	s->rev = rev;
	s->free = !l->spec.holderIdentity || !l->spec.holderIdentity[0];
	s->held = !s->free && strcmp(l->spec.holderIdentity, s->identity) == 0;
	/* A lease that says no duration, or an absurd one, must not block for ever. */
	s->duration_ms = l->spec.leaseDurationSeconds;
	if (s->duration_ms <= 0 || s->duration_ms > 3600)
		s->duration_ms = LEASE_DURATION_S;
	s->duration_ms *= 1000;
}

enum lease_action lease_step(const struct lease_state *s, int64_t now_ms)
{
	if (s->asked_ms)
		return LEASE_NOTHING;
	if (s->leaving)
		return s->held ? LEASE_GIVE_UP : LEASE_NOTHING;
	if (!s->known)
		return LEASE_CREATE;
	if (s->held)
		return now_ms - s->renewed_ms >= LEASE_DURATION_S * 1000 / 3 ? LEASE_RENEW
									     : LEASE_NOTHING;
	if (s->free || now_ms - s->seen_ms >= s->duration_ms)
		return LEASE_TAKE;
	return LEASE_NOTHING;
}

void lease_asked(struct lease_state *s, int64_t now_ms)
{
	s->asked_ms = now_ms;
}

void lease_answered(struct lease_state *s, bool ok)
{
	if (ok)
		s->renewed_ms = s->asked_ms;
	s->asked_ms = 0;
}

void lease_leave(struct lease_state *s)
{
	s->leaving = true;
}

bool lease_leads(const struct lease_state *s, int64_t now_ms)
{
	return s->held && !s->leaving && now_ms - s->renewed_ms < LEASE_DURATION_S * 1000 * 2 / 3;
}

void lease_object(const struct lease_state *s, const struct lease *old, int64_t wall,
		  struct lease *out)
{
	*out = (struct lease){ 0 };
	if (old)
		*out = *old;
	if (!old || !s->held) {
		out->spec.acquireTime = wall;
		out->spec.leaseTransitions = old ? old->spec.leaseTransitions + 1 : 0;
	}
	out->spec.holderIdentity = s->identity;
	out->spec.leaseDurationSeconds = LEASE_DURATION_S;
	out->spec.renewTime = wall;
	if (s->leaving) {
		out->spec.holderIdentity = NULL;
		out->spec.leaseDurationSeconds = 1;
	}
}
