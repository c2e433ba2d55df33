// SPDX-License-Identifier: Apache-2.0
/* Whether one entry is stale, and why: see stale.h. It costs four look-ups and a search in the
 * endpoints of the front's Service. */
#include "core/service/endpoints.h"
#include "core/service/stale_state.h"

#include <netinet/in.h>

static const char *const fates[] = {
	[SVC_KEEP_PROTOCOL] = "neither UDP nor SCTP",
	[SVC_KEEP_ZONE] = "in a zone of others",
	[SVC_KEEP_FOREIGN] = "its destination is no front",
	[SVC_KEEP_SERVED] = "its endpoint serves",
	[SVC_KEEP_UNKNOWN] = "no endpoint serves, and its own is not known to have gone",
	[SVC_KEEP_ASSOCIATION] = "it may carry an association",
	[SVC_STALE_UNTRANSLATED] = "it leads to no endpoint, and there are some now",
	[SVC_STALE_NOT_SERVING] = "its endpoint does not serve any more",
	[SVC_STALE_NO_ENDPOINT] = "what it leads to is no endpoint",
	[SVC_STALE_NO_FRONT] = "its front is gone",
};
const struct names svc_fate_names = NAMES(fates);

static enum standing in_port(const struct stale_port *p, const struct stale_where *at)
{
	uint32_t lo = 0, hi = p->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		const struct stale_endpoint *ep = &p->v[mid];
		int c = addr_cmp(&ep->at.ip, &at->ip);

		if (!c)
			c = (int)ep->at.port - (int)at->port;
		if (!c)
			return ep->serves ? SERVES : LISTED;
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return ABSENT;
}

enum standing stale_standing(const struct stale_front *f, const struct stale_where *at)
{
	enum standing best = ABSENT;

	for (const struct stale_claim *c = f->claims; c && best != SERVES; c = c->next) {
		enum standing s = in_port(c->port, at);

		best = s > best ? s : best;
	}
	return best;
}

bool stale_is_served(const struct stale_front *f, const struct stale_service *but)
{
	for (const struct stale_claim *c = f->claims; c; c = c->next)
		if (c->service != but && c->port->serving)
			return true;
	return false;
}

struct finding {
	enum standing standing;
	bool claimed, served, gone;
	const char *service;
};

static void look(const struct svc_stale *st, const struct stale_front_key *key,
		 const struct stale_where *to, struct finding *out)
{
	struct stale_pair pair = { *key, *to };
	struct stale_front *f;
	struct stale_gone *g;

	HASH_FIND(hh, st->fronts, key, sizeof(*key), f);
	HASH_FIND(hh, st->gone, &pair, sizeof(pair), g);
	if (f) {
		enum standing s = stale_standing(f, to);

		out->standing = s > out->standing ? s : out->standing;
		out->claimed = true;
		out->served |= stale_is_served(f, NULL);
		out->service = f->claims->service->name;
	}
	if (g && !out->service)
		out->service = g->service;
	out->gone |= g != NULL;
}

static enum svc_fate judge_finding(const struct finding *f, bool translated)
{
	if (f->standing == SERVES)
		return SVC_KEEP_SERVED;
	if (f->served && !translated)
		return SVC_STALE_UNTRANSLATED;
	if (!f->served && !f->gone)
		return f->claimed ? SVC_KEEP_UNKNOWN : SVC_KEEP_FOREIGN;
	if (!f->claimed)
		return SVC_STALE_NO_FRONT;
	return f->standing == LISTED ? SVC_STALE_NOT_SERVING : SVC_STALE_NO_ENDPOINT;
}

static bool may_have_association(const struct ct_entry *c)
{
	return c->proto == IPPROTO_SCTP &&
	       (c->sctp_state == CT_SCTP_NONE || c->sctp_state >= CT_SCTP_ESTABLISHED);
}

enum svc_fate svc_stale_judge(const struct svc_stale *st, const struct svc_node *node,
			      const struct ct_entry *c, const char **service)
{
	struct stale_front_key key = { .proto = c->proto,
				       .at = { .ip = c->orig.dst, .port = c->orig.dport } };
	struct stale_where to = { .ip = c->reply.src, .port = c->reply.sport };
	struct finding f = { 0 };
	enum svc_fate fate;

	if (service)
		*service = NULL;
	if (c->proto != IPPROTO_UDP && c->proto != IPPROTO_SCTP)
		return SVC_KEEP_PROTOCOL;
	if (c->zone[0] || c->zone[1])
		return SVC_KEEP_ZONE;
	look(st, &key, &to, &f);
	if (svc_takes_node_ports(node, &c->orig.dst)) {
		key.node_port = true;
		key.at.ip = (struct ipaddr){ .family = c->orig.dst.family };
		look(st, &key, &to, &f);
	}
	if (service)
		*service = f.service;
	fate = judge_finding(&f, ct_is_translated(c));
	if (svc_is_stale(fate) && may_have_association(c) && !(f.gone && f.standing == ABSENT))
		return SVC_KEEP_ASSOCIATION;
	return fate;
}
