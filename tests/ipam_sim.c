/* SPDX-License-Identifier: Apache-2.0 */
/* ipam_sim: see ipam_sim.h. Aborts with a message on whatever must never happen. */
#include "tests/ipam_sim.h"
#include "core/ipam/pool.h"
#include "model/record.h"
#include "model/validate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ROUNDS 400

static void must(bool ok, const char *what, const char *detail)
{
	if (ok)
		return;
	fprintf(stderr, "ipam_sim: %s: %s\n", what, detail);
	abort();
}

uint64_t sim_random(struct sim *m)
{
	m->seed ^= m->seed << 13;
	m->seed ^= m->seed >> 7;
	m->seed ^= m->seed << 17;
	return m->seed * 0x2545f4914f6cdd1du >> 11;
}

static bool chance(struct sim *m, unsigned thousandths)
{
	return thousandths && sim_random(m) % 1000 < thousandths;
}

void sim_init(struct sim *m)
{
	*m = (struct sim){ .store = cluster_new(),
			   .now = 1700000000000,
			   .seed = 88172645463325252u,
			   .gone = { .grace = SIM_NODE_GRACE } };
	arena_init(&m->mem, 0);
}

void sim_fini(struct sim *m)
{
	for (size_t i = 0; i < m->n_hosts; i++) {
		ipam_free(m->hosts[i].ipam);
		buf_fini(&m->hosts[i].journal);
		cluster_free(m->hosts[i].kept);
		absence_forget(&m->hosts[i].lost);
	}
	absence_forget(&m->gone);
	for (size_t i = 0; i < m->n_leases; i++)
		free(m->leases[i].container);
	for (size_t i = 0; i < m->n_late; i++)
		arena_fini(&m->late[i].mem);
	free(m->leases);
	arena_fini(&m->mem);
	cluster_free(m->store);
}

/* ---- the store */

struct object *sim_object(unsigned kind, const char *name)
{
	struct object *o = object_new(kind_by_id(kind));

	must(o != NULL, "object", name);
	o->meta->name = arena_strdup(&o->arena, name);
	return o;
}

void sim_put(struct sim *m, struct object *o)
{
	o->rev = ++m->rev;
	object_free(cluster_put(m->store, o));
}

struct ippool *sim_pool(struct sim *m, const char *cidr, int block_len)
{
	char name[IPAM_BLOCK_NAME];
	struct object *o;
	struct ippool *p;
	struct prefix net;

	must(!prefix_parse(cidr, &net), "pool", cidr);
	o = sim_object(KIND_IPPOOL, ipam_block_name(&net, name));
	p = o->body;
	p->spec.cidr = net;
	p->spec.blockSize = block_len;
	p->spec.mode = POOL_DIRECT;
	sim_put(m, o);
	return p;
}

size_t sim_host(struct sim *m, const char *name)
{
	struct sim_host *h;

	for (size_t i = 0; i < m->n_hosts; i++)
		if (!strcmp(m->hosts[i].name, name))
			return i;
	must(m->n_hosts < SIM_HOSTS, "too many hosts", name);
	h = &m->hosts[m->n_hosts];
	snprintf(h->name, sizeof(h->name), "%s", name);
	h->ipam = ipam_new(name, IPAM_COOLDOWN_MS);
	h->lost.grace = SIM_LEAK_GRACE;
	sim_put(m, sim_object(KIND_NODE, name));
	return m->n_hosts++;
}

size_t sim_blocks(const struct sim *m)
{
	size_t n;

	cluster_all(m->store, KIND_IPBLOCK, &n);
	return n;
}

/* The block as the store keeps it: encoded and decoded, so no pointer is shared. */
static struct object *block_object(const struct ipam_action *a)
{
	struct object *o = object_new(kind_by_id(KIND_IPBLOCK));
	struct buf b = { .v = NULL };
	struct err e = { .code = 0 };
	struct wire w;

	must(o && !record_body(&b, o->kind->schema, &a->block, &e), "encode", e.text);
	w = wire_from(b.v, b.n);
	must(!record_decode(&w, o->kind->schema, o->body, &o->arena, &e), "decode", e.text);
	must(!validate_object(o, &e), "the store would refuse it", e.text);
	buf_fini(&b);
	return o;
}

static int store_write(struct sim *m, const struct ipam_action *a, uint64_t *rev)
{
	const struct object *have = cluster_get(m->store, KIND_IPBLOCK, NULL, a->block.meta.name);

	if (a->type == IPAM_CREATE && have)
		return -EEXIST;
	if (a->type != IPAM_CREATE && !have)
		return -ENOENT;
	if (a->type != IPAM_CREATE && have->rev != a->rev)
		return -ESTALE;
	if (a->type == IPAM_DELETE) {
		object_free(cluster_take(m->store, KIND_IPBLOCK, NULL, a->block.meta.name));
		m->rev++;
	} else {
		sim_put(m, block_object(a));
	}
	*rev = m->rev;
	return 0;
}

static void write_late(struct sim *m, const struct ipam_action *a)
{
	struct sim_late *l = &m->late[m->n_late];
	struct object *o = block_object(a);

	must(m->n_late < 64, "late", "too many");
	l->action = *a;
	l->mem = o->arena;
	l->action.block = *(struct ipblock *)o->body;
	l->action.why = NULL;
	arena_init(&o->arena, 0);
	free(o);
	m->n_late++;
}

static void some_late_writes(struct sim *m, unsigned thousandths)
{
	for (size_t i = 0; i < m->n_late; i++) {
		uint64_t rev;

		if (!chance(m, thousandths))
			continue;
		store_write(m, &m->late[i].action, &rev);
		arena_fini(&m->late[i].mem);
		m->late[i--] = m->late[--m->n_late];
	}
}

/* ---- hosts */

static void journal_flush(struct sim_host *h)
{
	h->synced = h->journal.n;
	ipam_synced(h->ipam);
	if (ipam_compact_due(h->ipam, h->journal.n)) {
		struct buf b = { .v = NULL };
		struct err e = { .code = 0 };

		must(!ipam_snapshot(h->ipam, 0, &b, &e), "snapshot", e.text);
		buf_fini(&h->journal);
		h->journal = b;
		h->synced = b.n;
		ipam_synced(h->ipam);
	}
}

static void host_sync(struct sim *m, struct sim_host *h)
{
	struct err e = { .code = 0 };

	must(!ipam_sync(h->ipam, m->store, m->rev, true, &e), "sync", e.text);
}

static struct object *copy_of(const struct object *from)
{
	struct object *o = object_new(from->kind);
	struct err e = { .code = 0 };
	struct buf b = { .v = NULL };
	struct wire w;

	must(o && !record_body(&b, o->kind->schema, from->body, &e), "encode", e.text);
	w = wire_from(b.v, b.n);
	must(!record_decode(&w, o->kind->schema, o->body, &o->arena, &e), "decode", e.text);
	buf_fini(&b);
	o->rev = from->rev;
	return o;
}

void sim_snapshot(struct sim *m, size_t host)
{
	static const unsigned kinds[] = { KIND_NODE, KIND_IPPOOL, KIND_IPBLOCK,
					  KIND_IPRESERVATION };
	struct sim_host *h = &m->hosts[host];

	cluster_free(h->kept);
	h->kept = cluster_new();
	h->kept_rev = m->rev;
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		size_t n;
		const struct object *const *v = cluster_all(m->store, kinds[k], &n);

		for (size_t i = 0; i < n; i++)
			object_free(cluster_put(h->kept, copy_of(v[i])));
	}
}

/* A view may lag behind, but the one who wrote hears of it some time. */
static void maybe_sync(struct sim *m, struct sim_host *h)
{
	if (!h->down && !chance(m, m->p_stale))
		host_sync(m, h);
}

/* Returns whether the store was in reach. */
static bool do_action(struct sim *m, struct sim_host *h, const struct ipam_action *a)
{
	struct err e = { .code = 0 };
	uint64_t rev = 0;
	int code;

	if (chance(m, m->p_unknown) && m->n_late < 64) {
		write_late(m, a);
		ipam_outcome(h->ipam, a, -EAGAIN, 0, m->now, &e);
		return false;
	}
	code = store_write(m, a, &rev);
	must(!ipam_outcome(h->ipam, a, code, rev, m->now, &e), "outcome", e.text);
	maybe_sync(m, h);
	return true;
}

static bool host_keep(struct sim *m, struct sim_host *h)
{
	struct ipam_turn t = { .now = m->now, .arena = &m->mem, .journal = &h->journal };
	struct err e = { .code = 0 };
	struct ipam_answer out;

	if (h->down)
		return false;
	must(!ipam_housekeep(h->ipam, &t, &out, &e), "housekeep", e.text);
	journal_flush(h);
	if (out.verdict == IPAM_IDLE)
		return false;
	do_action(m, h, &out.action);
	return true;
}

void sim_sync(struct sim *m)
{
	for (size_t i = 0; i < m->n_hosts; i++)
		if (!m->hosts[i].down)
			host_sync(m, &m->hosts[i]);
}

void sim_keep(struct sim *m, size_t host)
{
	maybe_sync(m, &m->hosts[host]);
	host_keep(m, &m->hosts[host]);
}

void sim_settle(struct sim *m)
{
	bool more = true;

	for (int i = 0; more; i++) {
		must(i < MAX_ROUNDS, "settle", "no end");
		more = false;
		some_late_writes(m, 300);
		sim_sync(m);
		for (size_t k = 0; k < m->n_hosts; k++)
			more = host_keep(m, &m->hosts[k]) || more;
		m->now += m->n_late ? 500 : 10;
		arena_reset(&m->mem);
	}
}

static void add_lease(struct sim *m, size_t host, const char *container,
		      const struct ipam_answer *out)
{
	struct sim_lease *l;

	if (m->n_leases == m->cap_leases) {
		m->cap_leases = m->cap_leases ? 2 * m->cap_leases : 64;
		m->leases = realloc(m->leases, m->cap_leases * sizeof(*m->leases));
		must(m->leases != NULL, "memory", "leases");
	}
	l = &m->leases[m->n_leases++];
	*l = (struct sim_lease){ .host = host, .container = strdup(container) };
	must(out->at->addrs.n == out->grants.n, "grants", "differ from the addresses");
	for (uint32_t i = 0; i < out->grants.n; i++) {
		must(addr_eq(&out->at->addrs.v[i], &out->grants.v[i].address), "grant", container);
		l->borrowed[l->n] = out->grants.v[i].borrowed;
		l->addr[l->n++] = out->grants.v[i].address;
	}
}

static int refused(struct sim *m, int code, const char *text)
{
	m->code = code;
	snprintf(m->error, sizeof(m->error), "%s", text);
	return code;
}

int sim_take(struct sim *m, size_t host, const char *container, const struct ipam_request *q)
{
	struct sim_host *h = &m->hosts[host];
	struct ipam_request r = q ? *q : (struct ipam_request){ 0 };
	struct err e = { .code = 0 };

	r.at.network = r.at.network ? r.at.network : "net";
	r.at.container = container;
	r.at.ifname = r.at.ifname ? r.at.ifname : "eth0";
	for (int i = 0; i < MAX_ROUNDS; i++) {
		struct arena a = { 0 };
		struct ipam_turn t = { .now = m->now, .arena = &a, .journal = &h->journal };
		struct ipam_answer out;
		int code = ipam_take(h->ipam, &r, &t, &out, &e);
		bool reached = true;

		if (!code && out.verdict == IPAM_ACTION) {
			journal_flush(h);
			reached = do_action(m, h, &out.action);
		} else if (!code && out.verdict == IPAM_TAKEN) {
			/* The agent may die before the entry is on disk, or before the answer. */
			if (chance(m, m->p_crash)) {
				arena_fini(&a);
				sim_crash(m, host);
				return refused(m, -ECONNRESET, "crashed");
			}
			journal_flush(h);
			add_lease(m, host, container, &out);
			h->answered = out.at->id;
			arena_fini(&a);
			return 0;
		}
		arena_fini(&a);
		if (code)
			return refused(m, code, e.text);
		if (!reached)
			break;
		/* Meanwhile the others live. */
		some_late_writes(m, 20);
		for (size_t k = 0; k < m->n_hosts; k++) {
			maybe_sync(m, &m->hosts[k]);
			if (out.verdict == IPAM_WAIT)
				host_keep(m, &m->hosts[k]);
		}
		arena_reset(&m->mem);
		m->now++;
	}
	ipam_cancel(h->ipam, r.at.network, container, r.at.ifname);
	return refused(m, -EAGAIN, "the store is away");
}

static void forget_lease(struct sim *m, size_t lease)
{
	free(m->leases[lease].container);
	m->leases[lease] = m->leases[--m->n_leases];
}

void sim_drop(struct sim *m, size_t lease)
{
	struct sim_lease *l = &m->leases[lease];
	struct sim_host *h = &m->hosts[l->host];
	struct ipam_turn t = { .now = m->now, .arena = &m->mem, .journal = &h->journal };
	const struct ipam_attachment *at = ipam_find(h->ipam, "net", l->container, "eth0");
	struct err e = { .code = 0 };
	uint64_t id;

	must(at != NULL, "a lease is not in the book", l->container);
	id = at->id;
	if (sim_random(m) % 2) {
		must(!ipam_dying(h->ipam, id, 7, &t, &e), "dying", e.text);
		at = ipam_by_id(h->ipam, id);
		must(at && at->state == IPAM_DYING && at->ifindex == 7, "dying", "not so");
	}
	must(!ipam_release(h->ipam, id, &t, &e), "release", e.text);
	journal_flush(h);
	forget_lease(m, lease);
}

static bool is_leased(const struct sim *m, size_t host, const char *container)
{
	for (size_t k = 0; k < m->n_leases; k++)
		if (m->leases[k].host == host && !strcmp(m->leases[k].container, container))
			return true;
	return false;
}

static void release(struct sim *m, struct sim_host *h, uint64_t id)
{
	struct ipam_turn t = { .now = m->now, .arena = &m->mem, .journal = &h->journal };
	struct err e = { .code = 0 };

	must(!ipam_release(h->ipam, id, &t, &e), "release", e.text);
}

/* Those that came after the attachment `after`: of which nobody was told, or that are gone. */
static void release_after(struct sim *m, struct sim_host *h, uint64_t after)
{
	const struct ipam_attachment *const *v;
	size_t n;

	while ((v = ipam_all(h->ipam, &n)) && n && v[n - 1]->id > after)
		release(m, h, v[n - 1]->id);
	journal_flush(h);
}

/* Loses what was not on disk, from a random byte on, the rest perhaps garbled. */
static void restart(struct sim *m, size_t host)
{
	struct sim_host *h = &m->hosts[host];
	struct err e = { .code = 0 };
	size_t tail = h->journal.n - h->synced, good = 0;

	h->journal.n = h->synced + (tail ? sim_random(m) % (tail + 1) : 0);
	for (size_t i = h->synced; i < h->journal.n; i++)
		if (chance(m, 20))
			h->journal.v[i] ^= (char)(1 + sim_random(m) % 255);
	ipam_free(h->ipam);
	h->ipam = ipam_new(h->name, IPAM_COOLDOWN_MS);
	must(!ipam_replay(h->ipam, h->journal.v, h->journal.n, &good, &e), "replay", e.text);
	must(good >= h->synced, "replay", "lost what was on disk");
	h->journal.n = good;
	journal_flush(h);
	absence_forget(&h->lost);
}

void sim_crash(struct sim *m, size_t host)
{
	struct sim_host *h = &m->hosts[host];
	struct err e = { .code = 0 };

	if (h->down)
		return;
	restart(m, host);
	if (h->kept && chance(m, m->p_outage)) {
		must(!ipam_sync(h->ipam, h->kept, h->kept_rev, false, &e), "sync", e.text);
		m->n_outages++;
	} else {
		host_sync(m, h);
	}
	/* The runtime never got an answer for these: GC takes them back. */
	release_after(m, h, h->answered);
}

void sim_reboot(struct sim *m, size_t host)
{
	for (size_t i = m->n_leases; i-- > 0;)
		if (m->leases[i].host == host)
			forget_lease(m, i);
	restart(m, host);
	release_after(m, &m->hosts[host], 0);
	host_sync(m, &m->hosts[host]);
}

void sim_vanish(struct sim *m, size_t lease)
{
	forget_lease(m, lease);
}

unsigned sim_collect(struct sim *m)
{
	struct err e = { .code = 0 };
	unsigned found = 0;

	for (size_t i = 0; i < m->n_hosts; i++) {
		struct sim_host *h = &m->hosts[i];
		const struct ipam_attachment *const *v;
		char id[24];
		size_t n;

		if (h->down)
			continue;
		v = ipam_all(h->ipam, &n);
		for (size_t k = 0; k < n; k++) {
			snprintf(id, sizeof(id), "%llu", (unsigned long long)v[k]->id);
			if (!is_leased(m, i, v[k]->container))
				must(!absence_note(&h->lost, id, m->now, &e), "note", e.text);
		}
		absence_end(&h->lost);
		for (size_t k = 0; k < n; k++) {
			snprintf(id, sizeof(id), "%llu", (unsigned long long)v[k]->id);
			if (!absence_lasts(&h->lost, id, m->now))
				continue;
			must(!is_leased(m, i, v[k]->container), "collected, but lives", id);
			release(m, h, v[k]->id);
			v = ipam_all(h->ipam, &n);
			k--;
			found++;
		}
		journal_flush(h);
	}
	return found;
}

/* ---- nodes that go, and the controller */

void sim_node_down(struct sim *m, size_t host)
{
	m->hosts[host].down = true;
	object_free(cluster_take(m->store, KIND_NODE, NULL, m->hosts[host].name));
	m->rev++;
}

void sim_node_up(struct sim *m, size_t host)
{
	struct sim_host *h = &m->hosts[host];

	sim_put(m, sim_object(KIND_NODE, h->name));
	h->down = false;
	if (h->reclaimed)
		sim_reboot(m, host);
	else
		host_sync(m, h);
	h->reclaimed = false;
	host_keep(m, h); /* as the agent after each sync */
}

/* Whose pods are given up: the same who may lose blocks now. */
static void give_up_pods(struct sim *m)
{
	for (size_t i = 0; i < m->n_hosts; i++)
		if (m->hosts[i].down && absence_lasts(&m->gone, m->hosts[i].name, m->now))
			m->hosts[i].reclaimed = true;
	for (size_t i = m->n_leases; i-- > 0;)
		if (m->hosts[m->leases[i].host].reclaimed)
			forget_lease(m, i);
}

unsigned sim_control(struct sim *m)
{
	struct reclaim_plan plan;
	struct err e = { .code = 0 };
	unsigned blocks = 0;
	struct arena a;

	arena_init(&a, 0);
	must(!reclaim_look(&m->gone, m->store, m->now, &a, &plan, &e), "reclaim", e.text);
	give_up_pods(m);
	for (uint32_t i = 0; i < plan.writes.n; i++) {
		uint64_t rev;

		if (chance(m, m->p_unknown))
			continue; /* lost: the next look plans it again */
		if (!store_write(m, &plan.writes.v[i], &rev))
			blocks += plan.writes.v[i].type == IPAM_DELETE;
	}
	arena_fini(&a);
	return blocks;
}

/* ---- the oracle */

static bool lies_right(const struct sim *m, const struct sim_lease *l, const struct ipaddr *a)
{
	size_t n;
	const struct object *const *v = cluster_all(m->store, KIND_IPBLOCK, &n);

	for (size_t i = 0; i < n; i++) {
		const struct ipblock *b = v[i]->body;

		if (!prefix_has(&b->spec.cidr, a))
			continue;
		if (addr_eq(&b->spec.tunnelAddress, a))
			return false;
		if (!strcmp(b->spec.node, m->hosts[l->host].name))
			return true;
		for (uint32_t k = 0; k < b->spec.borrowed.n; k++)
			if (b->spec.borrowed.v[k].state == BORROW_GRANTED &&
			    addr_eq(&b->spec.borrowed.v[k].address, a) &&
			    !strcmp(b->spec.borrowed.v[k].node, m->hosts[l->host].name))
				return true;
	}
	return false;
}

void sim_audit(struct sim *m)
{
	char text[ADDR_TEXT];

	for (size_t i = 0; i < m->n_leases; i++) {
		const struct sim_lease *l = &m->leases[i];
		const struct ipam_attachment *at =
			ipam_find(m->hosts[l->host].ipam, "net", l->container, "eth0");

		must(at && at->addrs.n == l->n, "a lease is not in the book", l->container);
		for (size_t k = 0; k < l->n; k++) {
			addr_str(&l->addr[k], text);
			must(addr_eq(&at->addrs.v[k], &l->addr[k]), "book and lease differ", text);
			must(lies_right(m, l, &l->addr[k]), "not this node's address", text);
			for (size_t j = 0; j < i; j++)
				for (size_t x = 0; x < m->leases[j].n; x++)
					must(!addr_eq(&m->leases[j].addr[x], &l->addr[k]),
					     "given twice", text);
		}
	}
}
