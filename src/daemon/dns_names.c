// SPDX-License-Identifier: Apache-2.0
/* dns_names: see dns_names.h. Objects are noted as they come, and 2 ms after the first, or when the change is whole, their Services are written: in
 * pieces of the loop's turns, as others wait, too. The table says that what is not in it does not exist once everything was told and
 * written. */
#include "daemon/dns_names.h"

#include "base/log.h"
#include "core/dns/zone.h"
#include "sys/clock.h"

#include <errno.h>
#include <stdlib.h>

#define PAUSE_S  0.002 /* for more of the batch to come */
#define AGAIN_S  5.    /* after a failure */
#define SLICE_NS (300 * 1000UL)

struct dns_names {
	struct ev_loop *loop;
	struct dns_settings settings;
	struct dns_zone *zone;
	const struct dns_names_ops *ops;
	void *arg;
	ev_timer timer;
	bool failed; /* the timer waits for better times */
	bool seen, complete;
};

static void wake(struct dns_names *n, double after)
{
	if (ev_is_active(&n->timer))
		return;
	ev_timer_set(&n->timer, after, 0.);
	ev_timer_start(n->loop, &n->timer);
}

static void wake_now(struct dns_names *n)
{
	if (n->failed)
		return;
	ev_timer_stop(n->loop, &n->timer);
	wake(n, 0.);
}

/* ---- out */

static int write_some(struct dns_names *n, struct err *e)
{
	uint64_t began = clock_mono_ns();
	int rc = 0;

	while (!rc && !dns_zone_is_written(n->zone) && clock_mono_ns() - began < SLICE_NS)
		rc = dns_zone_commit(n->zone, 1, e);
	if (rc == -ENOSPC && n->ops->full)
		rc = n->ops->full(n->arg, e);
	return rc;
}

static void on_timer(struct ev_loop *loop, ev_timer *t, int events)
{
	struct dns_names *n = t->data;
	struct err e;

	(void)loop;
	(void)events;
	n->failed = write_some(n, &e) != 0;
	if (n->failed) {
		log_error("names of Services: %s; it is tried again", e.text);
		wake(n, AGAIN_S);
	} else if (!dns_zone_is_written(n->zone)) {
		wake(n, 0.);
	} else if (n->seen && !n->complete) {
		n->complete = true;
		dns_zone_synced(n->zone, (uint32_t)clock_wall());
		n->ops->complete(n->arg);
	}
}

int dns_names_move(struct dns_names *n, struct dns_table *t, struct err *e)
{
	n->complete = false;
	return dns_zone_move(n->zone, t, e);
}

/* ---- in */

static int tell(struct dns_names *n, const struct object *now, enum kind_id kind,
		const struct meta *m, struct err *e)
{
	switch (kind) {
	case KIND_SERVICE:
		return dns_zone_service(n->zone, m->namespace, m->name, now ? now->body : NULL, e);
	case KIND_ENDPOINTSLICE:
		return dns_zone_slice(n->zone, m->namespace, m->name, now ? now->body : NULL, e);
	case KIND_NAMESPACE:
		return dns_zone_namespace(n->zone, m->name, now != NULL, e);
	case KIND_POD:
		return dns_zone_pod(n->zone, m->namespace, m->name, now ? now->body : NULL, e);
	default:
		return 0;
	}
}

void dns_names_changed(struct dns_names *n, const struct object *old, const struct object *now)
{
	const struct object *o = now ? now : old;
	struct err e;
	int rc = tell(n, now, o->kind->id, o->meta, &e);

	if (rc == -ENOSPC && n->ops->full) {
		rc = n->ops->full(n->arg, &e);
		if (!rc)
			rc = tell(n, now, o->kind->id, o->meta, &e);
	}
	if (rc)
		log_error("%s %s: %s", o->kind->name, o->meta->name, e.text);
	if (!dns_zone_is_written(n->zone))
		wake(n, PAUSE_S);
}

void dns_names_synced(struct dns_names *n)
{
	n->seen = true;
	if (!n->complete || !dns_zone_is_written(n->zone))
		wake_now(n);
}

/* ---- settings */

static int add_zones(struct dns_settings *s, const struct config_names *names, bool external,
		     struct err *e)
{
	int rc = 0;

	for (uint32_t i = 0; i < names->n && !rc; i++)
		rc = dns_settings_zone(s, names->v[i], external, e);
	return rc;
}

int dns_names_settings(struct dns_settings *s, const struct config *c, struct err *e)
{
	static const enum dns_pods pods[] = { [CONFIG_DNS_VERIFIED] = DNS_PODS_VERIFIED,
					      [CONFIG_DNS_INSECURE] = DNS_PODS_INSECURE,
					      [CONFIG_DNS_DISABLED] = DNS_PODS_DISABLED };
	int rc;

	dns_settings_init(s);
	s->ttl = c->dns.ttl;
	s->pods = pods[c->dns.pods];
	rc = dns_settings_zone(s, c->cluster_domain, false, e);
	if (!rc)
		rc = add_zones(s, &c->dns.zones, false, e);
	if (!rc)
		rc = add_zones(s, &c->dns.external_zones, true, e);
	for (uint32_t i = 0; i < c->dns.listen.n && !rc; i++)
		if (!addr_is_unspecified(&c->dns.listen.v[i].addr))
			rc = dns_settings_local(s, &c->dns.listen.v[i].addr, e);
	/* Who names no zone of addresses has all that are known answered, and asks others for the rest. */
	s->reverse_others = !s->n_reverse;
	if (!rc && !s->n_reverse) {
		rc = dns_settings_zone(s, "in-addr.arpa", false, e);
		if (!rc)
			rc = dns_settings_zone(s, "ip6.arpa", false, e);
	}
	return rc;
}

size_t dns_names_kinds(const struct config *c, const uint8_t **kinds)
{
	static const uint8_t all[] = { KIND_SERVICE, KIND_ENDPOINTSLICE, KIND_NAMESPACE, KIND_POD };

	*kinds = all;
	return c->dns.pods == CONFIG_DNS_VERIFIED ? 4 : 3;
}

/* ---- life */

struct dns_names *dns_names_new(struct ev_loop *loop, const struct config *c, struct dns_table *t,
				const struct dns_names_ops *ops, void *arg, struct err *e)
{
	struct dns_names *n = calloc(1, sizeof(*n));

	if (!n) {
		err_set(e, -ENOMEM, "no memory");
		return NULL;
	}
	n->loop = loop;
	n->ops = ops;
	n->arg = arg;
	ev_timer_init(&n->timer, on_timer, 0., 0.);
	n->timer.data = n;
	if (dns_names_settings(&n->settings, c, e)) {
		dns_names_free(n);
		return NULL;
	}
	n->zone = dns_zone_new(t, &n->settings);
	if (!n->zone) {
		err_set(e, -ENOMEM, "no memory");
		dns_names_free(n);
		return NULL;
	}
	return n;
}

void dns_names_free(struct dns_names *n)
{
	if (!n)
		return;
	ev_timer_stop(n->loop, &n->timer);
	dns_zone_free(n->zone);
	free(n);
}
