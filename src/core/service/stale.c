// SPDX-License-Identifier: Apache-2.0
/* Keeping what Services' fronts lead to, and noting what goes: see stale.h. A put costs the Service's
 * endpoints times its fronts at most. */
#include "core/service/endpoints.h"
#include "core/service/stale_state.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct svc_stale *svc_stale_new(void)
{
	return calloc(1, sizeof(struct svc_stale));
}

/* ---- what a Service claims */

static uint8_t ip_proto(uint8_t proto)
{
	return proto == PROTO_UDP ? IPPROTO_UDP : proto == PROTO_SCTP ? IPPROTO_SCTP : 0;
}

/* One that is not ready but published as if it were is meant to serve. */
static bool is_serving(const struct svc_endpoint *ep)
{
	return !ep->of || ep->of->conditions.ready == TRI_TRUE || svc_is_serving(ep->of);
}

static int copy_port(const struct svc_port *of, struct stale_port *out)
{
	out->v = calloc((size_t)of->endpoints.n + 1, sizeof(*out->v));
	if (!out->v)
		return -ENOMEM;
	out->n = of->endpoints.n;
	for (uint32_t i = 0; i < out->n; i++) {
		const struct svc_endpoint *ep = &of->endpoints.v[i];

		out->v[i] = (struct stale_endpoint){ { .ip = ep->ip, .port = ep->port },
						     is_serving(ep) };
		out->serving += out->v[i].serves;
	}
	return 0;
}

static struct stale_front *need_front(struct svc_stale *st, const struct stale_front_key *key)
{
	struct stale_front *f;

	HASH_FIND(hh, st->fronts, key, sizeof(*key), f);
	if (f)
		return f;
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->key = *key;
	HASH_ADD(hh, st->fronts, key, sizeof(f->key), f);
	if (f->hh.tbl)
		return f;
	free(f);
	return NULL;
}

static void drop_front(struct svc_stale *st, struct stale_front *f)
{
	if (f->claims)
		return;
	HASH_DEL(st->fronts, f);
	free(f);
}

static int claim_fronts(struct svc_stale *st, struct stale_service *s, const struct svc_plan *plan,
			const struct svc_port *of, const struct stale_port *port)
{
	for (uint32_t i = 0; i < plan->fronts.n; i++) {
		const struct svc_front *f = &plan->fronts.v[i];
		struct stale_front_key key = { .proto = ip_proto(of->proto),
					       .node_port = !f->address.family,
					       .at = { .ip = f->address, .port = f->number } };
		struct stale_claim *c = &s->v[s->n];

		if (f->port != of)
			continue;
		key.at.ip.family = plan->family;
		*c = (struct stale_claim){ need_front(st, &key), port, s, NULL };
		if (!c->front)
			return -ENOMEM;
		c->next = c->front->claims;
		c->front->claims = c;
		s->n++;
	}
	return 0;
}

/* The service's claims leave their fronts; those are kept, so that they can be asked. */
static void leave_fronts(struct stale_service *s)
{
	for (uint32_t i = 0; i < s->n; i++) {
		struct stale_claim **at = &s->v[i].front->claims;

		while (*at != &s->v[i])
			at = &(*at)->next;
		*at = s->v[i].next;
	}
}

/* After leave_fronts(); NULL is fine. */
static void free_service(struct svc_stale *st, struct stale_service *s)
{
	if (!s)
		return;
	for (uint32_t i = 0; i < s->n; i++) {
		struct stale_front *f = s->v[i].front;

		/* Several claims may be of one front, which goes with the last of them. */
		for (uint32_t k = i + 1; k < s->n; k++)
			if (s->v[k].front == f)
				f = NULL;
		if (f)
			drop_front(st, f);
	}
	for (uint32_t i = 0; i < s->n_ports; i++)
		free(s->ports[i].v);
	free(s->ports);
	free(s->v);
	free(s->name);
	free(s);
}

static int fill_service(struct svc_stale *st, struct stale_service *s, const struct svc_plan *plans,
			size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (uint32_t k = 0; k < plans[i].ports.n; k++) {
			const struct svc_port *of = &plans[i].ports.v[k];
			struct stale_port *port = &s->ports[s->n_ports];

			if (!ip_proto(of->proto))
				continue;
			if (copy_port(of, port))
				return -ENOMEM;
			s->n_ports++;
			if (claim_fronts(st, s, &plans[i], of, port))
				return -ENOMEM;
		}
	return 0;
}

static struct stale_service *new_service(struct svc_stale *st, const char *name,
					 const struct svc_plan *plans, size_t n)
{
	struct stale_service *s = calloc(1, sizeof(*s));
	size_t ports = 1, fronts = 1;

	for (size_t i = 0; i < n; i++) {
		ports += plans[i].ports.n;
		fronts += plans[i].fronts.n;
	}
	if (!s)
		return NULL;
	s->name = strdup(name);
	s->ports = calloc(ports, sizeof(*s->ports));
	s->v = calloc(fronts, sizeof(*s->v));
	if (s->name && s->ports && s->v && !fill_service(st, s, plans, n))
		return s;
	leave_fronts(s);
	free_service(st, s);
	return NULL;
}

/* ---- what went */

static int note_gone(struct svc_stale *st, const struct stale_pair *key, const char *service)
{
	struct stale_gone *g;

	HASH_FIND(hh, st->gone, key, sizeof(*key), g);
	if (!g) {
		size_t n = strlen(service) + 1;

		g = calloc(1, sizeof(*g) + n);
		if (!g)
			return -ENOMEM;
		g->key = *key;
		memcpy(g->service, service, n);
		HASH_ADD(hh, st->gone, key, sizeof(g->key), g);
		if (!g->hh.tbl) {
			free(g);
			return -ENOMEM;
		}
	}
	g->change = st->change + 1;
	return 0;
}

/* What `old`, whose claims have left their fronts, had and nobody has now. */
static int note_losses(struct svc_stale *st, const struct stale_service *old, bool *changed)
{
	int rc = 0;

	for (uint32_t i = 0; i < old->n; i++) {
		const struct stale_claim *c = &old->v[i];

		for (uint32_t k = 0; k < c->port->n; k++) {
			const struct stale_endpoint *ep = &c->port->v[k];
			struct stale_pair pair = { c->front->key, ep->at };

			if (stale_standing(c->front, &ep->at) >= (ep->serves ? SERVES : LISTED))
				continue;
			*changed = true;
			if (note_gone(st, &pair, old->name))
				rc = -ENOMEM;
		}
	}
	return rc;
}

static bool serves_more(const struct stale_service *now, const struct stale_service *old)
{
	for (uint32_t i = 0; i < now->n; i++)
		if (stale_is_served(now->v[i].front, old) && !stale_is_served(now->v[i].front, now))
			return true;
	return false;
}

/* `now` has taken its place among the claims; either may be NULL. */
static int replace(struct svc_stale *st, struct stale_service *old, struct stale_service *now)
{
	bool changed = now && serves_more(now, old);
	int rc = 0;

	if (old) {
		leave_fronts(old);
		rc = note_losses(st, old, &changed);
		HASH_DEL(st->services, old);
		free_service(st, old);
	}
	st->change += changed;
	return rc;
}

static bool has_ports(const struct svc_plan *plans, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (uint32_t k = 0; k < plans[i].ports.n; k++)
			if (ip_proto(plans[i].ports.v[k].proto))
				return true;
	return false;
}

int svc_stale_put(struct svc_stale *st, const char *ns, const char *name,
		  const struct svc_plan *plans, size_t n, struct err *e)
{
	struct stale_service *old, *now = NULL;
	char *key = NULL;
	int rc = asprintf(&key, "%s/%s", ns, name) < 0 ? -ENOMEM : 0;

	if (rc)
		return err_set(e, rc, "no memory");
	HASH_FIND_STR(st->services, key, old);
	if (has_ports(plans, n)) {
		now = new_service(st, key, plans, n);
		/* With an old one there the table of the hash is, so that this cannot fail. */
		if (now)
			HASH_ADD_KEYPTR(hh, st->services, now->name, strlen(now->name), now);
		if (now && !now->hh.tbl) {
			leave_fronts(now);
			free_service(st, now);
			now = NULL;
		}
		rc = now ? 0 : -ENOMEM;
	}
	if (!rc)
		rc = replace(st, old, now);
	free(key);
	return rc ? err_set(e, rc, "no memory for what %s/%s leads to", ns, name) : 0;
}

void svc_stale_free(struct svc_stale *st)
{
	struct stale_service *s, *next;
	struct stale_gone *g, *after;

	if (!st)
		return;
	HASH_ITER(hh, st->services, s, next)
	{
		leave_fronts(s);
		HASH_DEL(st->services, s);
		free_service(st, s);
	}
	HASH_ITER(hh, st->gone, g, after)
	{
		HASH_DEL(st->gone, g);
		free(g);
	}
	free(st);
}

/* ---- passes */

bool svc_stale_due(const struct svc_stale *st)
{
	return st->change != st->done;
}

void svc_stale_begin(struct svc_stale *st)
{
	st->begun = st->change;
}

void svc_stale_done(struct svc_stale *st)
{
	struct stale_gone *g, *next;

	st->done = st->begun;
	HASH_ITER(hh, st->gone, g, next)
	if (g->change <= st->done) {
		HASH_DEL(st->gone, g);
		free(g);
	}
}
