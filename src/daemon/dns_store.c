// SPDX-License-Identifier: Apache-2.0
/* A mirror of the store, and a table of names of the role's own, where no agent gives one: in role dns alone, and while the agent is away.
 *
 * The table is a reservation of address space; what is not used yet costs nothing. It is filled anew after a start: until the store was
 * seen once nobody is answered from it (dns.c). */
#include "daemon/dns.h"
#include "daemon/dns_names.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define TABLE_SIZE (1UL << 30)

struct dns_store {
	struct dns_feed feed; /* first */
	struct dns *dns;
	bool used, ended; /* the feed was given to workers, and they may still read it */
	struct mirror *mirror;
	struct dns_table table;
	struct dns_names *names;
	void *region;
	_Alignas(64) uint8_t readers[DNS_READERS_SIZE];
};

static void store_free(struct dns_store *s)
{
	dns_table_fini(&s->table);
	if (s->region)
		munmap(s->region, TABLE_SIZE);
	free(s);
}

static void on_unused(struct dns_feed *feed)
{
	struct dns_store *s = (struct dns_store *)feed;

	s->used = false;
	if (s->ended)
		store_free(s);
}

static int use(struct dns_store *s, struct err *e)
{
	int rc = dns_feed_use(s->dns, &s->feed, e);

	s->used |= !rc;
	return rc;
}

static void on_complete(void *arg)
{
	struct dns_store *s = arg;
	struct err e;

	log_info("%u names and addresses of the cluster", s->table.count);
	s->feed.known = true;
	if (!s->used && !dns_agent_gives(s->dns) && use(s, &e))
		log_error("%s", e.text);
	dns_known(s->dns);
}

static void on_changed(void *arg, const struct object *old, const struct object *now)
{
	dns_names_changed(((struct dns_store *)arg)->names, old, now);
}

static void on_synced(void *arg, const struct rec_sync *sync)
{
	(void)sync;
	dns_names_synced(((struct dns_store *)arg)->names);
}

void dns_store_join(struct dns *d, int fd)
{
	if (d->store && d->store->mirror)
		mirror_join(d->store->mirror, fd);
	else
		close(fd);
}

static int make(struct dns_store *s, struct err *e)
{
	static const struct dns_names_ops names_ops = { .complete = on_complete };
	static const struct mirror_ops ops = { .changed = on_changed, .synced = on_synced };
	const struct config *cfg = &s->dns->role->cfg;
	void *p = mmap(NULL, TABLE_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	const uint8_t *kinds;
	size_t n;
	int rc;

	if (p == MAP_FAILED)
		return err_sys(e, -errno, "the table of names");
	s->region = p;
	s->feed = (struct dns_feed){ .name = "store",
				     .region = p,
				     .size = TABLE_SIZE,
				     .readers = s->readers,
				     .unused = on_unused };
	rc = dns_table_init(&s->table, p, TABLE_SIZE, s->readers, NULL, NULL, e);
	if (rc)
		return rc;
	s->names = dns_names_new(s->dns->role->loop, cfg, &s->table, &names_ops, s, e);
	if (!s->names)
		return e->code;
	n = dns_names_kinds(cfg, &kinds);
	s->mirror = mirror_new(s->dns->role, kinds, n, &ops, s, e);
	if (!s->mirror)
		return e->code;
	return s->dns->feed ? 0 : use(s, e);
}

int dns_store_begin(struct dns *d, struct err *e)
{
	struct dns_store *s;
	int rc;

	if (d->store)
		return 0;
	s = aligned_alloc(64, sizeof(*s));
	if (!s)
		return err_set(e, -ENOMEM, "no memory");
	memset(s, 0, sizeof(*s));
	s->dns = d;
	d->store = s;
	rc = make(s, e);
	if (rc)
		dns_store_end(d);
	else if (d->agent) /* without one the keeper joins us by itself */
		role_rejoin(d->role, "watch");
	return rc;
}

void dns_store_end(struct dns *d)
{
	struct dns_store *s = d->store;

	if (!s)
		return;
	d->store = NULL;
	mirror_free(s->mirror);
	dns_names_free(s->names);
	s->ended = true;
	if (!s->used)
		store_free(s);
	malloc_trim(0); /* the mirror was most of what there is */
}
