// SPDX-License-Identifier: Apache-2.0
/* The mirror of the store → the table that the workers read (core/dns/zone.h). A change is in the table some milliseconds after it came:
 * the changes of one batch are written together, at the cost of the Services that they concern.
 *
 * The table is a reservation of address space; what is not used yet costs nothing. It is filled anew after a start: until the store was
 * seen once nobody is answered (dns.c). */
#include "core/dns/zone.h"
#include "daemon/dns.h"
#include "sys/clock.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define TABLE_SIZE (1UL << 30)
#define PAUSE_S    0.002 /* for more of the batch to come */
#define AGAIN_S    5.    /* after a failure */

struct dns_store {
	struct dns *dns;
	struct mirror *mirror;
	struct dns_settings settings;
	struct dns_table table;
	struct dns_zone *zone;
	void *region;
	_Alignas(64) uint8_t readers[DNS_READERS_SIZE];
	ev_timer commit;
	bool seen, synced; /* the store was, once; all of it is in the table */
};

int dns_store_view(struct dns *d, struct dns_view *v, struct err *e)
{
	return dns_view_attach(v, d->store->region, TABLE_SIZE, d->store->readers, e);
}

const struct dns_settings *dns_store_settings(const struct dns *d)
{
	return &d->store->settings;
}

bool dns_store_synced(const struct dns *d)
{
	return d->store->synced;
}

/* ---- changes */

static void wake(struct dns_store *s, double after)
{
	if (ev_is_active(&s->commit))
		return;
	ev_timer_set(&s->commit, after, 0.);
	ev_timer_start(s->dns->role->loop, &s->commit);
}

/* Once the store was seen and all of it is in the table, what is not there does not exist. */
static void commit(struct dns_store *s)
{
	struct err e;

	if (dns_zone_commit(s->zone, UINT_MAX, &e)) {
		log_error("names of Services: %s; it is tried again", e.text);
		wake(s, AGAIN_S);
		return;
	}
	if (!s->seen || s->synced)
		return;
	s->synced = true;
	dns_zone_synced(s->zone, (uint32_t)clock_wall());
	log_info("%u names and addresses of the cluster", s->table.count);
	dns_known(s->dns);
}

static void on_commit(struct ev_loop *loop, ev_timer *t, int events)
{
	(void)loop;
	(void)events;
	commit(t->data);
}

static int tell(struct dns_store *s, const struct object *now, enum kind_id kind,
		const struct meta *m, struct err *e)
{
	switch (kind) {
	case KIND_SERVICE:
		return dns_zone_service(s->zone, m->namespace, m->name, now ? now->body : NULL, e);
	case KIND_ENDPOINTSLICE:
		return dns_zone_slice(s->zone, m->namespace, m->name, now ? now->body : NULL, e);
	case KIND_NAMESPACE:
		return dns_zone_namespace(s->zone, m->name, now != NULL, e);
	case KIND_POD:
		return dns_zone_pod(s->zone, m->namespace, m->name, now ? now->body : NULL, e);
	default:
		return 0;
	}
}

static void on_changed(void *arg, const struct object *old, const struct object *now)
{
	const struct object *o = now ? now : old;
	struct dns_store *s = arg;
	struct err e;

	if (tell(s, now, o->kind->id, o->meta, &e))
		log_error("%s %s: %s", o->kind->name, o->meta->name, e.text);
	wake(s, PAUSE_S);
}

static void on_synced(void *arg, const struct rec_sync *sync)
{
	struct dns_store *s = arg;

	(void)sync;
	if (s->seen)
		return;
	s->seen = true;
	commit(s);
}

void dns_store_join(struct dns *d, int fd)
{
	mirror_join(d->store->mirror, fd);
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

static int make_settings(struct dns_settings *s, const struct config *c, struct err *e)
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

/* ---- life */

int dns_store_open(struct dns *d, struct err *e)
{
	static const uint8_t kinds[] = { KIND_SERVICE, KIND_ENDPOINTSLICE, KIND_NAMESPACE,
					 KIND_POD };
	static const struct mirror_ops ops = { .changed = on_changed, .synced = on_synced };
	struct dns_store *s = aligned_alloc(64, sizeof(*s));
	int rc;

	if (!s)
		return err_set(e, -ENOMEM, "no memory");
	memset(s, 0, sizeof(*s));
	s->dns = d;
	d->store = s;
	ev_timer_init(&s->commit, on_commit, 0., 0.);
	s->commit.data = s;
	rc = make_settings(&s->settings, &d->role->cfg, e);
	if (rc)
		return rc;
	s->region = mmap(NULL, TABLE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (s->region == MAP_FAILED) {
		s->region = NULL;
		return err_sys(e, -errno, "the table");
	}
	rc = dns_table_init(&s->table, s->region, TABLE_SIZE, s->readers, NULL, NULL, e);
	if (rc)
		return rc;
	s->zone = dns_zone_new(&s->table, &s->settings);
	if (!s->zone)
		return err_set(e, -ENOMEM, "no memory");
	s->mirror = mirror_new(d->role, kinds, d->role->cfg.dns.pods == CONFIG_DNS_VERIFIED ? 4 : 3,
			       &ops, s, e);
	return s->mirror ? 0 : e->code;
}

void dns_store_close(struct dns *d)
{
	struct dns_store *s = d->store;

	if (!s)
		return;
	ev_timer_stop(d->role->loop, &s->commit);
	mirror_free(s->mirror);
	dns_zone_free(s->zone);
	dns_table_fini(&s->table);
	if (s->region)
		munmap(s->region, TABLE_SIZE);
	free(s);
	d->store = NULL;
}
