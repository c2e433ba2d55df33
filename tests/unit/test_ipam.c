/* SPDX-License-Identifier: Apache-2.0 */
/* core/ipam: who gets which address, on a cluster on paper (tests/ipam_sim.h). */
#include "core/ipam/ipam.h"
#include "core/ipam/journal.h"
#include "core/ipam/pool.h"
#include "tests/ipam_sim.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

static int setup(void **state)
{
	struct sim *m = calloc(1, sizeof(*m));

	sim_init(m);
	*state = m;
	return 0;
}

static int teardown(void **state)
{
	sim_fini(*state);
	free(*state);
	return 0;
}

static struct ipaddr ip(const char *s)
{
	struct ipaddr a;

	assert_int_equal(addr_parse(s, &a), 0);
	return a;
}

/* Adds `text` to the node's labels: "zone=x". */
static void label(struct sim *m, const char *host, const char *key, const char *value)
{
	struct object *o = sim_object(KIND_NODE, host);

	o->meta->labels.v = arena_array(&o->arena, 1, sizeof(*o->meta->labels.v));
	o->meta->labels.v[0] = (struct strmap_entry){ key, value };
	o->meta->labels.n = 1;
	sim_put(m, o);
}

static void reserve(struct sim *m, const char *name, const char *cidr)
{
	struct object *o = sim_object(KIND_IPRESERVATION, name);
	struct ipreservation *r = o->body;

	r->spec.reservedCIDRs.v = arena_array(&o->arena, 1, sizeof(struct prefix));
	r->spec.reservedCIDRs.n = 1;
	assert_int_equal(prefix_parse(cidr, &r->spec.reservedCIDRs.v[0]), 0);
	sim_put(m, o);
}

static int want(struct sim *m, size_t host, const char *container, const char *addr)
{
	struct ipaddr a = ip(addr);
	struct ipam_request q = { .at.addrs = { &a, 1 } };

	return sim_take(m, host, container, &q);
}

static const struct sim_lease *last(const struct sim *m)
{
	assert_true(m->n_leases > 0);
	return &m->leases[m->n_leases - 1];
}

static const char *last_addr(const struct sim *m)
{
	static char text[ADDR_TEXT];

	return addr_str(&last(m)->addr[0], text);
}

/* Takes until nothing is left; returns how many. */
static size_t drain(struct sim *m, size_t host)
{
	char name[32];

	for (size_t n = 0;; n++) {
		snprintf(name, sizeof(name), "drain-%zu-%zu", host, n);
		if (sim_take(m, host, name, NULL))
			return n;
	}
}

static void has(const struct sim *m, const char *word)
{
	if (!strstr(m->error, word))
		fail_msg("\"%s\" does not say \"%s\"", m->error, word);
}

/* ---- blocks */

static void one_block_until_full(void **state)
{
	struct sim *m = *state;
	size_t a = sim_host(m, "a"), b = sim_host(m, "b");
	char name[16];

	sim_pool(m, "10.1.0.0/24", 28);
	sim_sync(m);
	for (int i = 0; i < 16; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		assert_int_equal(sim_take(m, a, name, NULL), 0);
		assert_int_equal(sim_blocks(m), 1);
	}
	assert_int_equal(sim_take(m, a, "c16", NULL), 0);
	assert_int_equal(sim_blocks(m), 2);
	assert_int_equal(sim_take(m, b, "b0", NULL), 0);
	assert_int_equal(sim_blocks(m), 3);
	assert_false(last(m)->borrowed[0]);
	sim_audit(m);
}

static void whole_pool_is_usable(void **state)
{
	struct sim *m = *state;
	size_t a = sim_host(m, "a");

	sim_pool(m, "10.1.0.0/28", 30);
	sim_sync(m);
	assert_int_equal(drain(m, a), 16);
	assert_int_equal(m->code, -ENOSPC);
	has(m, "no free IPv4 address");
	sim_audit(m);
	sim_drop(m, 3);
	assert_int_equal(drain(m, a), 0); /* the name drain-0-0 lives already */
	assert_int_equal(m->code, -EEXIST);
	assert_int_equal(sim_take(m, a, "again", NULL), 0);
	sim_audit(m);
}

static void host_blocks(void **state)
{
	struct sim *m = *state;
	size_t a = sim_host(m, "a");

	sim_pool(m, "10.1.0.0/28", 32);
	sim_pool(m, "fd00:1::/124", 128);
	sim_sync(m);
	assert_int_equal(drain(m, a), 16);
	assert_int_equal(sim_blocks(m), 32);
	sim_audit(m);
}

static void hosts_start_apart(void **state)
{
	struct sim *m = *state;
	bool seen[256] = { false };
	char name[16];
	int apart = 0;

	sim_pool(m, "10.0.0.0/18", 26);
	for (int i = 0; i < 16; i++) {
		snprintf(name, sizeof(name), "node-%d", i);
		sim_host(m, name);
	}
	sim_sync(m);
	for (size_t i = 0; i < 16; i++) {
		uint64_t block;

		assert_int_equal(sim_take(m, i, "c", NULL), 0);
		block = addr_sub(&last(m)->addr[0], &(struct ipaddr){ AF_INET, { 10 } }) / 64;
		assert_true(block < 256);
		apart += !seen[block];
		seen[block] = true;
	}
	assert_int_equal(apart, 16);
	/* 256 places for 16: without spreading all would begin at block 0. */
	assert_false(seen[0] && seen[1] && seen[2] && seen[3]);
}

static void max_blocks(void **state)
{
	struct sim *m = *state;
	struct ippool *p = sim_pool(m, "10.1.0.0/24", 30);
	size_t a = sim_host(m, "a");

	p->spec.maxBlocksPerNode = 3;
	p->spec.strictAffinity = 1;
	sim_sync(m);
	assert_int_equal(drain(m, a), 12);
	has(m, "maxBlocksPerNode");
	has(m, "strictAffinity");
	assert_int_equal(want(m, a, "x", "10.1.0.255"), -EPERM);
	has(m, "maxBlocksPerNode 3");
}

/* ---- which pool */

static void pools_by_request(void **state)
{
	struct sim *m = *state;
	const char *names[] = { "10.3.0.0/24", "10.2.0.0/24" };
	struct ipam_request q = { .pools = { names, 2 } };
	size_t a = sim_host(m, "a");

	sim_pool(m, "10.1.0.0/24", 26);
	sim_pool(m, "10.2.0.0/24", 26);
	sim_pool(m, "10.3.0.0/24", 26);
	sim_sync(m);
	assert_int_equal(sim_take(m, a, "c", &q), 0);
	assert_memory_equal(last_addr(m), "10.3.0.", 7);
	names[1] = "10.9.0.0/24";
	assert_int_equal(sim_take(m, a, "d", &q), 0); /* one of them is there */
	q.pools.v = &names[1];
	q.pools.n = 1;
	assert_int_equal(sim_take(m, a, "e", &q), -ENOENT);
	has(m, "no IPPool 10.9.0.0/24");
}

static void selectors_and_disabled(void **state)
{
	struct sim *m = *state;
	struct ippool *p = sim_pool(m, "10.1.0.0/24", 26);
	struct label_selector zone = { .matchLabels = { &(struct strmap_entry){ "zone", "x" },
							1 } };
	size_t a = sim_host(m, "a");

	p->spec.nodeSelector = &zone;
	label(m, "a", "zone", "y");
	sim_sync(m);
	assert_int_equal(sim_take(m, a, "c", NULL), -ENOENT);
	has(m, "nodeSelector");
	assert_int_equal(want(m, a, "c", "10.1.0.7"), -EPERM);
	has(m, "does not select");
	label(m, "a", "zone", "x");
	sim_sync(m);
	assert_int_equal(sim_take(m, a, "c", NULL), 0);
	p->spec.disabled = 1;
	sim_sync(m);
	assert_int_equal(sim_take(m, a, "d", NULL), -ENOENT);
	assert_int_equal(want(m, a, "d", "10.1.0.7"), -EPERM);
	has(m, "is disabled");
	sim_drop(m, 0);
	m->now += 60000;
	sim_settle(m);
	assert_int_equal(sim_blocks(m), 0); /* a block of a disabled pool is not kept */
	p->spec.nodeSelector = NULL;
}

static void no_pool_at_all(void **state)
{
	struct sim *m = *state;
	size_t a = sim_host(m, "a");

	assert_int_equal(sim_take(m, a, "c", NULL), -EAGAIN);
	has(m, "not read yet");
	sim_sync(m);
	assert_int_equal(sim_take(m, a, "c", NULL), -ENOENT);
	has(m, "there is no IPPool");
}

/* ---- families */

static void both_or_neither(void **state)
{
	struct sim *m = *state;
	size_t a = sim_host(m, "a"), n;
	struct ipam_block_use *u;

	sim_pool(m, "10.1.0.0/24", 26);
	sim_pool(m, "fd00:1::/127", 128);
	sim_sync(m);
	assert_int_equal(sim_take(m, a, "c1", NULL), 0);
	assert_int_equal(last(m)->n, 2);
	assert_int_equal(last(m)->addr[0].family, AF_INET);
	assert_int_equal(last(m)->addr[1].family, AF_INET6);
	assert_int_equal(sim_take(m, a, "c2", NULL), 0);
	assert_int_equal(sim_take(m, a, "c3", NULL), -ENOSPC);
	has(m, "IPv6");
	assert_int_equal(ipam_usage(m->hosts[a].ipam, m->now, &m->mem, &u, &n, NULL), 0);
	assert_int_equal(n, 3);
	assert_int_equal(u[0].cidr.addr.family, AF_INET);
	assert_int_equal(u[0].used, 2); /* nothing was taken for c3 */
	assert_int_equal(sim_take(m, a, "c3", &(struct ipam_request){ .families = IPAM_V4 }), 0);
	sim_audit(m);
}

static void fixed_in_one_family(void **state)
{
	struct sim *m = *state;
	struct ipaddr a = ip("fd00:1::77");
	struct ipam_request q = { .at.addrs = { &a, 1 } };

	sim_pool(m, "10.1.0.0/24", 26);
	sim_pool(m, "fd00:1::/112", 122);
	sim_host(m, "a");
	sim_sync(m);
	assert_int_equal(sim_take(m, 0, "c", &q), 0);
	assert_int_equal(last(m)->n, 2);
	assert_string_equal(last_addr(m), "fd00:1::77");
	assert_int_equal(last(m)->addr[1].family, AF_INET);
	sim_audit(m);
}

/* ---- requested addresses */

static void fixed_address(void **state)
{
	struct sim *m = *state;
	size_t a = sim_host(m, "a");
	struct ipaddr two[2] = { ip("10.1.0.9"), ip("10.1.0.9") };

	sim_pool(m, "10.1.0.0/24", 26);
	sim_sync(m);
	assert_int_equal(want(m, a, "c", "10.1.0.77"), 0);
	assert_string_equal(last_addr(m), "10.1.0.77");
	assert_int_equal(want(m, a, "d", "10.1.0.77"), -EADDRINUSE);
	has(m, "10.1.0.77 is in use by c eth0");
	assert_int_equal(want(m, a, "e", "192.0.2.1"), -ENOENT);
	has(m, "192.0.2.1 lies in no IPPool");
	assert_int_equal(sim_take(m, a, "f", &(struct ipam_request){ .at.addrs = { two, 2 } }),
			 -EINVAL);
	assert_int_equal(want(m, a, "g", "10.1.0.64"), 0); /* first of a block: an address */
	sim_audit(m);
}

static void fixed_in_foreign_block(void **state)
{
	struct sim *m = *state;
	size_t a = sim_host(m, "a"), b = sim_host(m, "b");
	struct ippool *p = sim_pool(m, "10.1.0.0/24", 26);
	struct ipaddr used;
	char text[ADDR_TEXT];

	sim_sync(m);
	assert_int_equal(want(m, b, "b1", "10.1.0.64"), 0);
	used = last(m)->addr[0];
	assert_int_equal(want(m, a, "a1", "10.1.0.77"), 0);
	assert_true(last(m)->borrowed[0]);
	assert_int_equal(want(m, a, "a2", addr_str(&used, text)), -EADDRINUSE);
	has(m, "on node b");
	assert_int_equal(want(m, b, "b2", "10.1.0.77"), -EADDRINUSE);
	has(m, "lent to node a");
	sim_audit(m);
	/* The refused entry is taken out, the granted one stays while it is used. */
	sim_settle(m);
	sim_audit(m);
	assert_int_equal(want(m, b, "b3", "10.1.0.77"), -EADDRINUSE);
	sim_drop(m, 1);
	sim_settle(m);
	assert_int_equal(want(m, b, "b4", "10.1.0.77"), 0);
	p->spec.strictAffinity = 1;
	sim_sync(m);
	assert_int_equal(want(m, a, "a3", "10.1.0.90"), -EPERM);
	has(m, "strictAffinity");
	sim_audit(m);
}

/* A pod whose first sandbox failed asks again, under another container's name, before its own node gave the loan of the first one back. */
static void fixed_again_at_once(void **state)
{
	struct sim *m = *state;
	size_t a = sim_host(m, "a"), b = sim_host(m, "b");
	struct sim_host *h = &m->hosts[a];
	struct ipaddr x = ip("10.1.0.77");
	struct ipam_turn t = { .now = m->now, .arena = &m->mem, .journal = &h->journal };
	struct ipam_request q = {
		.at = { .network = "net", .container = "a2", .ifname = "eth0", .addrs = { &x, 1 } }
	};
	struct ipam_answer out;
	struct err e = { .code = 0 };

	sim_pool(m, "10.1.0.0/24", 26);
	sim_sync(m);
	assert_int_equal(want(m, b, "b1", "10.1.0.64"), 0);
	assert_int_equal(want(m, a, "a1", "10.1.0.77"), 0);
	sim_sync(m);
	/* While the first one lives it is refused. */
	assert_int_equal(ipam_take(h->ipam, &q, &t, &out, &e), -EADDRINUSE);
	sim_drop(m, 1);
	sim_sync(m);
	assert_int_equal(ipam_take(h->ipam, &q, &t, &out, &e), 0);
	assert_int_equal(out.verdict, IPAM_WAIT);
	sim_settle(m);
	assert_int_equal(want(m, a, "a2", "10.1.0.77"), 0);
	assert_true(last(m)->borrowed[0]);
	sim_audit(m);
}

/* The owner gives the address away in the moment between the asking and its answer. */
static void owner_decides(void **state)
{
	struct sim *m = *state;
	size_t a = sim_host(m, "a"), b = sim_host(m, "b");
	struct ipaddr x = ip("10.1.0.70");
	struct ipam_request q = {
		.at = { .network = "net", .container = "a1", .ifname = "eth0", .addrs = { &x, 1 } }
	};
	struct buf j = { .v = NULL };
	struct ipam_turn t = { .now = m->now, .arena = &m->mem, .journal = &j };
	struct ipam_answer out;
	struct object *o;

	sim_pool(m, "10.1.0.0/24", 26);
	sim_sync(m);
	assert_int_equal(want(m, b, "b1", "10.1.0.64"), 0);
	sim_sync(m);
	assert_int_equal(ipam_take(m->hosts[a].ipam, &q, &t, &out, NULL), 0);
	assert_int_equal(out.verdict, IPAM_ACTION);
	assert_int_equal(out.action.type, IPAM_UPDATE);
	assert_int_equal(out.action.block.spec.borrowed.n, 1);
	o = sim_object(KIND_IPBLOCK, out.action.block.meta.name);
	*(struct ipblock *)o->body = out.action.block;
	sim_put(m, o);
	assert_int_equal(ipam_outcome(m->hosts[a].ipam, &out.action, 0, m->rev, m->now, NULL), 0);
	assert_int_equal(want(m, b, "b2", "10.1.0.70"), 0);
	sim_sync(m);
	assert_int_equal(ipam_take(m->hosts[a].ipam, &q, &t, &out, NULL), 0);
	assert_int_equal(out.verdict, IPAM_WAIT);
	sim_settle(m);
	assert_int_equal(ipam_take(m->hosts[a].ipam, &q, &t, &out, NULL), -EADDRINUSE);
	sim_settle(m);
	sim_audit(m);
	buf_fini(&j);
}

/* An entry that no journal can hold, by whatever wrote it, is refused; the others are answered. */
static void endless_handle(void **state)
{
	struct sim *m = *state;
	size_t b = sim_host(m, "b");
	struct object *o;
	struct ipblock *block;
	char *handle;

	sim_pool(m, "10.1.0.0/26", 26);
	sim_sync(m);
	assert_int_equal(want(m, b, "b1", "10.1.0.1"), 0);
	o = cluster_take(m->store, KIND_IPBLOCK, NULL, "10-1-0-0-26");
	block = o->body;
	handle = arena_alloc(&o->arena, 20000);
	memset(handle, 'x', 19999);
	block->spec.borrowed.v = arena_array(&o->arena, 2, sizeof(*block->spec.borrowed.v));
	block->spec.borrowed.v[0] = (struct block_borrow){ .node = "a", .handle = handle };
	block->spec.borrowed.v[1] = (struct block_borrow){ .node = "a", .handle = "h" };
	block->spec.borrowed.n = 2;
	sim_put(m, o);
	sim_sync(m);
	sim_keep(m, b);
	block = cluster_get(m->store, KIND_IPBLOCK, NULL, "10-1-0-0-26")->body;
	assert_int_equal(block->spec.borrowed.v[0].state, BORROW_REFUSED);
	assert_int_equal(block->spec.borrowed.v[1].state, BORROW_GRANTED);
}

static void borrow_when_full(void **state)
{
	struct sim *m = *state;
	size_t c = sim_host(m, "a") + 2;

	sim_host(m, "b");
	sim_host(m, "c");
	sim_pool(m, "10.1.0.0/29", 30);
	sim_sync(m);
	assert_int_equal(sim_take(m, 0, "a1", NULL), 0);
	assert_int_equal(sim_take(m, 1, "b1", NULL), 0);
	assert_int_equal(drain(m, c), 6);
	assert_int_equal(m->code, -ENOSPC);
	for (size_t i = 2; i < m->n_leases; i++)
		assert_true(m->leases[i].borrowed[0]);
	sim_audit(m);
	/* All comes back, and what c had a can have. */
	while (m->n_leases > 2)
		sim_drop(m, 2);
	sim_settle(m);
	assert_int_equal(drain(m, 0), 6);
	sim_audit(m);
}

static void nobody_to_borrow_from(void **state)
{
	struct sim *m = *state;

	sim_pool(m, "10.1.0.0/30", 30);
	sim_host(m, "a");
	sim_host(m, "b");
	sim_sync(m);
	assert_int_equal(sim_take(m, 0, "a1", NULL), 0);
	object_free(cluster_take(m->store, KIND_NODE, NULL, "a"));
	m->rev++;
	sim_sync(m);
	assert_int_equal(sim_take(m, 1, "b1", NULL), -ENOSPC); /* node a cannot answer */
}

/* As hosts on a link see their subnet: neither its first nor its last address is a host. */
static void subnets_on_a_link(void **state)
{
	struct sim *m = *state;
	struct ipam_request q = { .on_link = 1 };
	struct ipaddr first;
	size_t a = sim_host(m, "a");
	char name[8];

	sim_pool(m, "10.1.0.0/29", 29);
	sim_pool(m, "10.2.0.0/31", 31);
	sim_pool(m, "fd00:1::/124", 124);
	sim_sync(m);
	for (int i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		assert_int_equal(sim_take(m, a, name, &q), 0);
		if (last(m)->addr[0].b[1] == 1)
			assert_in_range(last(m)->addr[0].b[3], 1, 6);
		/* RFC 4291, section 2.6.1: the first one is every router's on the link. */
		assert_in_range(last(m)->addr[1].b[15], 1, 15);
	}
	assert_int_equal(sim_take(m, a, "c8", &q), -ENOSPC);
	first = ip("fd00:1::");
	q.at.addrs.v = &first;
	q.at.addrs.n = 1;
	q.families = IPAM_V6;
	assert_int_equal(sim_take(m, a, "d6", &q), -EADDRINUSE);
	has(m, "anycast");
	q.families = 0;
	first = ip("10.1.0.7");
	q.at.addrs.v = &first;
	q.at.addrs.n = 1;
	assert_int_equal(sim_take(m, a, "d", &q), -EADDRINUSE);
	has(m, "broadcast");
	q.on_link = 0;
	assert_int_equal(sim_take(m, a, "d", &q), 0);
	sim_audit(m);
}

/* ---- reservations */

/* More addresses reserved than 64 bits count, and a pool of the smallest blocks inside. */
static void reservation_of_the_world(void **state)
{
	struct sim *m = *state;
	size_t a = sim_host(m, "a");

	sim_pool(m, "fd00::7/128", 128);
	sim_pool(m, "fd01::/64", 128);
	reserve(m, "r1", "fd00::/16");
	reserve(m, "r2", "fd01::/32");
	sim_sync(m);
	assert_int_equal(sim_take(m, a, "c", NULL), -ENOSPC);
	sim_audit(m);
}

static void reservations(void **state)
{
	struct sim *m = *state;
	size_t a = sim_host(m, "a");

	sim_pool(m, "10.1.0.0/28", 30);
	reserve(m, "r1", "10.1.0.0/30");
	reserve(m, "r2", "10.1.0.4/31");
	reserve(m, "r3", "10.1.0.6/31");
	sim_sync(m);
	assert_int_equal(drain(m, a), 8);
	for (size_t i = 0; i < m->n_leases; i++)
		assert_true(m->leases[i].addr[0].b[3] >= 8);
	assert_int_equal(sim_blocks(m), 2); /* no block that is reserved as a whole */
	assert_int_equal(want(m, a, "x", "10.1.0.1"), 0);
	sim_audit(m);
}

static void huge_reservation_ends(void **state)
{
	struct sim *m = *state;
	size_t a = sim_host(m, "a");

	sim_pool(m, "fd00::/16", 122);
	reserve(m, "r", "fd00::/17");
	reserve(m, "s", "fd00:8000::/17");
	sim_sync(m);
	assert_int_equal(sim_take(m, a, "c", NULL), -ENOSPC);
	assert_int_equal(want(m, a, "d", "fd00::1"), 0);
}

/* ---- giving back */

static void cooldown(void **state)
{
	struct sim *m = *state;
	size_t a = sim_host(m, "a");
	struct ipaddr first;

	sim_pool(m, "10.1.0.0/30", 30);
	sim_sync(m);
	assert_int_equal(sim_take(m, a, "c1", NULL), 0);
	first = last(m)->addr[0];
	sim_drop(m, 0);
	for (int i = 0; i < 3; i++) {
		char name[8];

		snprintf(name, sizeof(name), "d%d", i);
		m->now += 100;
		assert_int_equal(sim_take(m, a, name, NULL), 0);
		assert_false(addr_eq(&last(m)->addr[0], &first));
	}
	/* Nothing else is free: it yields. */
	assert_int_equal(sim_take(m, a, "e", NULL), 0);
	assert_true(addr_eq(&last(m)->addr[0], &first));
	/* Of two that cool, the one freed first. */
	sim_drop(m, 1);
	m->now += 10;
	first = m->leases[0].addr[0];
	sim_drop(m, 0);
	m->now += 10;
	assert_int_equal(sim_take(m, a, "f", NULL), 0);
	assert_false(addr_eq(&last(m)->addr[0], &first));
	assert_int_equal(sim_take(m, a, "g", NULL), 0);
	assert_true(addr_eq(&last(m)->addr[0], &first));
	sim_audit(m);
}

static void cooling_claims_first(void **state)
{
	struct sim *m = *state;
	size_t a = sim_host(m, "a");

	sim_pool(m, "10.1.0.0/31", 32);
	sim_sync(m);
	assert_int_equal(sim_take(m, a, "c1", NULL), 0);
	sim_drop(m, 0);
	assert_int_equal(sim_take(m, a, "c2", NULL), 0);
	assert_int_equal(sim_blocks(m), 2);
	m->now += IPAM_COOLDOWN_MS;
	assert_int_equal(sim_take(m, a, "c3", NULL), 0);
	assert_int_equal(sim_blocks(m), 2);
}

static void empty_blocks_go(void **state)
{
	struct sim *m = *state;
	size_t a = sim_host(m, "a");

	sim_pool(m, "10.1.0.0/24", 30);
	sim_sync(m);
	for (int i = 0; i < 12; i++) {
		char name[8];

		snprintf(name, sizeof(name), "c%d", i);
		assert_int_equal(sim_take(m, a, name, NULL), 0);
	}
	assert_int_equal(sim_blocks(m), 3);
	while (m->n_leases)
		sim_drop(m, 0);
	sim_settle(m);
	assert_int_equal(sim_blocks(m), 3); /* its addresses cool */
	m->now += IPAM_COOLDOWN_MS;
	sim_settle(m);
	assert_int_equal(sim_blocks(m), 1); /* the next pod finds one */
	ipam_surrender(m->hosts[a].ipam, true);
	sim_settle(m);
	assert_int_equal(sim_blocks(m), 0);
	assert_int_equal(sim_take(m, a, "no", NULL), -ENOSPC);
}

static void vanished_block_is_taken_back(void **state)
{
	struct sim *m = *state;
	size_t a = sim_host(m, "a"), n;
	const struct object *const *v;
	struct ipam_problem *p;
	char name[64];

	sim_pool(m, "10.1.0.0/24", 26);
	sim_sync(m);
	assert_int_equal(sim_take(m, a, "c", NULL), 0);
	v = cluster_all(m->store, KIND_IPBLOCK, &n);
	snprintf(name, sizeof(name), "%s", v[0]->meta->name);
	object_free(cluster_take(m->store, KIND_IPBLOCK, NULL, name));
	m->rev++;
	sim_sync(m);
	assert_int_equal(ipam_check(m->hosts[a].ipam, &m->mem, &p, &n, NULL), 0);
	assert_int_equal(n, 1);
	assert_string_equal(p[0].what, "no-block");
	sim_settle(m);
	assert_non_null(cluster_get(m->store, KIND_IPBLOCK, NULL, name));
	sim_audit(m);
	assert_int_equal(ipam_check(m->hosts[a].ipam, &m->mem, &p, &n, NULL), 0);
	assert_int_equal(n, 0);
}

/* Blocks of a Node that is gone: not before the grace period is over in one piece, and not while a
 * pod of another node has an address in one. */
static void blocks_of_gone_nodes(void **state)
{
	struct sim *m = *state;
	size_t a = sim_host(m, "a"), b = sim_host(m, "b");

	sim_pool(m, "10.1.0.0/24", 26);
	sim_sync(m);
	assert_int_equal(want(m, b, "b1", "10.1.0.70"), 0);
	assert_int_equal(want(m, a, "a1", "10.1.0.77"), 0);
	assert_true(last(m)->borrowed[0]);
	sim_node_down(m, b);
	assert_int_equal(sim_control(m), 0);
	m->now += SIM_NODE_GRACE - 1;
	assert_int_equal(sim_control(m), 0);
	sim_node_up(m, b);
	assert_int_equal(sim_control(m), 0);
	sim_audit(m);
	sim_node_down(m, b);
	m->now += 1;
	assert_int_equal(sim_control(m), 0); /* it went anew */
	m->now += SIM_NODE_GRACE - 1;
	assert_int_equal(sim_control(m), 0);
	absence_forget(&m->gone); /* the store was out of sight */
	m->now += 1;
	assert_int_equal(sim_control(m), 0);
	m->now += SIM_NODE_GRACE;
	assert_int_equal(sim_control(m), 0); /* a1 lives there */
	sim_settle(m);
	sim_audit(m);
	assert_int_equal(m->n_leases, 1);
	sim_drop(m, 0);
	sim_settle(m);
	assert_int_equal(sim_control(m), 1);
	/* Whoever comes back after that begins anew, with no address of before. */
	sim_node_up(m, b);
	sim_settle(m);
	assert_int_equal(want(m, a, "a2", "10.1.0.70"), 0);
	sim_audit(m);
}

/* Loans to a Node that is gone come back to the owner. */
static void loans_of_gone_nodes(void **state)
{
	struct sim *m = *state;
	size_t a = sim_host(m, "a"), b = sim_host(m, "b");

	sim_pool(m, "10.1.0.0/24", 26);
	sim_sync(m);
	assert_int_equal(want(m, b, "b1", "10.1.0.70"), 0);
	assert_int_equal(want(m, a, "a1", "10.1.0.77"), 0);
	sim_node_down(m, a);
	sim_control(m);
	sim_settle(m);
	assert_int_equal(want(m, b, "b2", "10.1.0.77"), -EADDRINUSE);
	m->now += SIM_NODE_GRACE;
	sim_control(m);
	sim_settle(m);
	assert_int_equal(want(m, b, "b3", "10.1.0.77"), 0);
	sim_audit(m);
}

/* A node restarts while the store is out of reach, with a view from before it gave a block back:
 * another may have that block by now. */
static void view_older_than_what_was_given_back(void **state)
{
	struct sim *m = *state;
	size_t a = sim_host(m, "a");

	sim_pool(m, "10.1.0.0/24", 26);
	sim_sync(m);
	assert_int_equal(want(m, a, "a1", "10.1.0.70"), 0);
	sim_snapshot(m, a);
	sim_drop(m, 0);
	m->now += IPAM_COOLDOWN_MS;
	ipam_surrender(m->hosts[a].ipam, true);
	sim_settle(m);
	assert_int_equal(sim_blocks(m), 0);
	m->p_outage = 1000;
	sim_crash(m, a);
	assert_int_equal(sim_take(m, a, "c", NULL), -EAGAIN);
	has(m, "older than what this node gave back");
	/* Also after the journal was written anew, and with the store seen and lost again. */
	m->p_outage = 0;
	sim_crash(m, a);
	sim_settle(m);
	m->p_outage = 1000;
	sim_crash(m, a);
	assert_int_equal(sim_take(m, a, "c", NULL), -EAGAIN);
	/* A view that is young enough will do. */
	m->p_outage = 0;
	sim_crash(m, a);
	assert_int_equal(sim_take(m, a, "c", NULL), 0);
	sim_settle(m);
	sim_snapshot(m, a);
	m->p_outage = 1000;
	sim_crash(m, a);
	assert_int_equal(sim_take(m, a, "d", NULL), 0);
	sim_audit(m);
}

static void two_looks_apart(void **state)
{
	struct absence x = { .grace = 10 };
	struct err e;

	assert_int_equal(absence_note(&x, "a", 100, &e), 0);
	absence_end(&x);
	assert_false(absence_lasts(&x, "a", 109));
	assert_int_equal(absence_next(&x, 105), 110);
	absence_end(&x); /* was there in between */
	assert_int_equal(absence_note(&x, "a", 109, &e), 0);
	absence_end(&x);
	assert_false(absence_lasts(&x, "a", 118));
	assert_true(absence_lasts(&x, "a", 119));
	assert_int_equal(absence_next(&x, 119), 0);
	assert_false(absence_lasts(&x, "b", 200));
	absence_forget(&x);
	assert_false(absence_lasts(&x, "a", 200));
}

static void gc_by_network(void **state)
{
	struct sim *m = *state;
	size_t a = sim_host(m, "a"), n, stale = 0;
	struct ipam_key valid = { "c1", "eth0" };
	const struct ipam_attachment *const *v;

	sim_pool(m, "10.1.0.0/24", 26);
	sim_sync(m);
	assert_int_equal(sim_take(m, a, "c1", NULL), 0);
	assert_int_equal(sim_take(m, a, "c2", NULL), 0);
	assert_int_equal(sim_take(m, a, "c3", &(struct ipam_request){ .at.network = "other" }), 0);
	v = ipam_all(m->hosts[a].ipam, &n);
	assert_int_equal(n, 3);
	for (size_t i = 0; i < n; i++)
		if (ipam_gc(v[i], "net", &valid, 1)) {
			stale++;
			assert_string_equal(v[i]->container, "c2");
		}
	assert_int_equal(stale, 1);
}

/* ---- tunnels */

static void tunnel_address(void **state)
{
	struct sim *m = *state;
	struct ippool *p4 = sim_pool(m, "10.1.0.0/29", 30), *p6 = sim_pool(m, "fd00:1::/125", 126);
	size_t a = sim_host(m, "a");
	struct ipaddr t4, t6;
	char text[ADDR_TEXT];

	p4->spec.mode = POOL_VXLAN;
	p6->spec.mode = POOL_MODE_NONE; /* the default: VXLAN */
	sim_sync(m);
	sim_settle(m); /* without any pod */
	t4 = ipam_tunnel(m->hosts[a].ipam, AF_INET);
	t6 = ipam_tunnel(m->hosts[a].ipam, AF_INET6);
	assert_int_equal(t4.family, AF_INET);
	assert_int_equal(t6.family, AF_INET6);
	assert_int_equal(sim_blocks(m), 2);
	assert_int_equal(drain(m, a), 7); /* of 8, one is the tunnel's */
	sim_audit(m);
	while (m->n_leases)
		sim_drop(m, 0);
	m->now += 2 * IPAM_COOLDOWN_MS;
	sim_settle(m);
	assert_int_equal(sim_blocks(m), 2); /* the tunnel's stay */
	t6 = ipam_tunnel(m->hosts[a].ipam, AF_INET);
	assert_true(addr_eq(&t4, &t6));
	assert_int_equal(want(m, a, "x", addr_str(&t4, text)), -EADDRINUSE);
	has(m, "is this node's tunnel address");
}

static void tunnel_comes_later(void **state)
{
	struct sim *m = *state;
	struct ippool *p = sim_pool(m, "10.1.0.0/24", 26);
	size_t a = sim_host(m, "a");

	sim_sync(m);
	assert_int_equal(sim_take(m, a, "c", NULL), 0);
	sim_settle(m);
	assert_int_equal(ipam_tunnel(m->hosts[a].ipam, AF_INET).family, 0);
	p->spec.mode = POOL_VXLAN;
	sim_settle(m);
	assert_int_equal(ipam_tunnel(m->hosts[a].ipam, AF_INET).family, AF_INET);
	assert_int_equal(sim_blocks(m), 1);
	sim_audit(m);
}

/* ---- writes that are answered late or never */

static void claims_wait_for_one_another(void **state)
{
	struct sim *m = *state;
	size_t a = sim_host(m, "a");
	struct buf j = { .v = NULL };
	struct ipam_turn t = { .now = m->now, .arena = &m->mem, .journal = &j };
	struct ipam_request q = { .at = { .network = "n", .container = "c1", .ifname = "eth0" } };
	struct ipam_answer first, out;

	sim_pool(m, "10.1.0.0/24", 26);
	sim_sync(m);
	assert_int_equal(ipam_take(m->hosts[a].ipam, &q, &t, &first, NULL), 0);
	assert_int_equal(first.verdict, IPAM_ACTION);
	q.at.container = "c2";
	assert_int_equal(ipam_take(m->hosts[a].ipam, &q, &t, &out, NULL), 0);
	assert_int_equal(out.verdict, IPAM_WAIT);
	/* Lost: the next candidate, though the view does not show who won. */
	assert_int_equal(ipam_outcome(m->hosts[a].ipam, &first.action, -EEXIST, 0, m->now, NULL),
			 0);
	assert_int_equal(ipam_take(m->hosts[a].ipam, &q, &t, &out, NULL), 0);
	assert_int_equal(out.verdict, IPAM_ACTION);
	assert_false(prefix_eq(&out.action.block.spec.cidr, &first.action.block.spec.cidr));
	assert_int_equal(ipam_outcome(m->hosts[a].ipam, &out.action, 0, 100, m->now, NULL), 0);
	/* Won: usable before the view has it. */
	assert_int_equal(ipam_take(m->hosts[a].ipam, &q, &t, &out, NULL), 0);
	assert_int_equal(out.verdict, IPAM_TAKEN);
	assert_int_equal(j.n > 0, 1);
	buf_fini(&j);
}

static void store_that_does_not_answer(void **state)
{
	struct sim *m = *state;
	size_t a = sim_host(m, "a");
	struct buf j = { .v = NULL };
	struct ipam_turn t = { .now = m->now, .arena = &m->mem, .journal = &j };
	struct ipam_request q = { .at = { .network = "n", .container = "c1", .ifname = "eth0" } };
	struct ipam_answer first, out;
	struct ipam *s = m->hosts[a].ipam;

	sim_pool(m, "10.1.0.0/24", 26);
	sim_sync(m);
	assert_int_equal(ipam_take(s, &q, &t, &first, NULL), 0);
	assert_int_equal(first.verdict, IPAM_ACTION);
	assert_int_equal(ipam_outcome(s, &first.action, -EPIPE, 0, t.now, NULL), 0);
	assert_int_equal(ipam_take(s, &q, &t, &out, NULL), 0);
	assert_int_equal(out.verdict, IPAM_WAIT); /* not one block after the other */
	t.now += 1000;
	assert_int_equal(ipam_take(s, &q, &t, &out, NULL), 0);
	assert_int_equal(out.verdict, IPAM_ACTION);
	assert_false(prefix_eq(&out.action.block.spec.cidr, &first.action.block.spec.cidr));
	buf_fini(&j);
}

static void unknown_delete_is_final(void **state)
{
	struct sim *m = *state;
	size_t a = sim_host(m, "a"), good;
	struct sim_host *h = &m->hosts[a];
	struct ipam_turn t = { .now = m->now, .arena = &m->mem, .journal = &h->journal };
	struct ipam_request q = { .at = { .network = "n", .container = "c2", .ifname = "eth0" } };
	struct ipam_answer out;

	sim_pool(m, "10.1.0.0/30", 30);
	sim_sync(m);
	assert_int_equal(sim_take(m, a, "c1", NULL), 0);
	sim_drop(m, 0);
	ipam_surrender(h->ipam, true);
	assert_int_equal(ipam_housekeep(h->ipam, &t, &out, NULL), 0);
	assert_int_equal(out.verdict, IPAM_ACTION);
	assert_int_equal(out.action.type, IPAM_DELETE);
	/* Killed before the answer: the new life must not use the block. */
	ipam_free(h->ipam);
	h->ipam = ipam_new("a", IPAM_COOLDOWN_MS);
	assert_int_equal(ipam_replay(h->ipam, h->journal.v, h->journal.n, &good, NULL), 0);
	assert_int_equal(good, h->journal.n);
	sim_sync(m);
	assert_int_equal(ipam_take(h->ipam, &q, &t, &out, NULL), 0);
	assert_int_equal(out.verdict, IPAM_WAIT);
	/* It happened: the block is gone, and is claimed anew. */
	object_free(cluster_take(m->store, KIND_IPBLOCK, NULL, "10-1-0-0-30"));
	m->rev++;
	sim_sync(m);
	assert_int_equal(ipam_take(h->ipam, &q, &t, &out, NULL), 0);
	assert_int_equal(out.verdict, IPAM_ACTION);
	assert_int_equal(out.action.type, IPAM_CREATE);
}

/* A deletion that lost, in a life that is over: the journal knows only that it was sent. */
static void lost_delete_is_not_repeated(void **state)
{
	struct sim *m = *state;
	size_t a = sim_host(m, "a"), good;
	struct sim_host *h = &m->hosts[a];
	struct ipam_turn t = { .now = m->now, .arena = &m->mem, .journal = &h->journal };
	struct ipam_answer out;
	struct object *o;

	sim_pool(m, "10.1.0.0/30", 30);
	sim_sync(m);
	assert_int_equal(sim_take(m, a, "c1", NULL), 0);
	sim_drop(m, 0);
	ipam_surrender(h->ipam, true);
	assert_int_equal(ipam_housekeep(h->ipam, &t, &out, NULL), 0);
	assert_int_equal(out.action.type, IPAM_DELETE);
	/* Somebody touched the block meanwhile. */
	o = cluster_take(m->store, KIND_IPBLOCK, NULL, "10-1-0-0-30");
	assert_non_null(o);
	sim_put(m, o);
	assert_int_equal(ipam_outcome(h->ipam, &out.action, -ESTALE, 0, m->now, NULL), 0);
	ipam_surrender(h->ipam, false);
	sim_sync(m);
	assert_int_equal(sim_take(m, a, "c2", NULL), 0);
	ipam_free(h->ipam);
	h->ipam = ipam_new("a", IPAM_COOLDOWN_MS);
	assert_int_equal(ipam_replay(h->ipam, h->journal.v, h->journal.n, &good, NULL), 0);
	for (int live = 0; live < 2; live++) {
		assert_int_equal(ipam_sync(h->ipam, m->store, m->rev, live, NULL), 0);
		assert_int_equal(ipam_housekeep(h->ipam, &t, &out, NULL), 0);
		assert_int_equal(out.verdict, IPAM_IDLE);
	}
}

/* A loan's return that may still happen: the same container must not have the address again. */
static void unknown_return_is_final(void **state)
{
	struct sim *m = *state;
	size_t a = sim_host(m, "a"), b = sim_host(m, "b"), good;
	struct sim_host *h = &m->hosts[a];
	struct ipam_turn t = { .now = m->now, .arena = &m->mem, .journal = &h->journal };
	struct ipaddr x = ip("10.1.0.70");
	struct ipam_request q = {
		.at = { .network = "net", .container = "a1", .ifname = "eth0", .addrs = { &x, 1 } }
	};
	struct ipam_answer out, back;

	sim_pool(m, "10.1.0.0/24", 26);
	sim_sync(m);
	assert_int_equal(want(m, b, "b1", "10.1.0.64"), 0);
	assert_int_equal(sim_take(m, a, "a1", &q), 0);
	sim_drop(m, 1);
	sim_sync(m);
	assert_int_equal(ipam_housekeep(h->ipam, &t, &back, NULL), 0);
	assert_int_equal(back.verdict, IPAM_ACTION);
	assert_int_equal(back.action.block.spec.borrowed.n, 0);
	assert_int_equal(ipam_take(h->ipam, &q, &t, &out, NULL), 0);
	assert_int_equal(out.verdict, IPAM_WAIT); /* under way */
	ipam_cancel(h->ipam, "net", "a1", "eth0");
	assert_int_equal(ipam_outcome(h->ipam, &back.action, -EPIPE, 0, m->now, NULL), 0);
	assert_int_equal(ipam_take(h->ipam, &q, &t, &out, NULL), 0);
	assert_int_equal(out.verdict, IPAM_WAIT); /* unknown */
	ipam_free(h->ipam);
	h->ipam = ipam_new("a", IPAM_COOLDOWN_MS);
	assert_int_equal(ipam_replay(h->ipam, h->journal.v, h->journal.n, &good, NULL), 0);
	sim_sync(m);
	assert_int_equal(ipam_take(h->ipam, &q, &t, &out, NULL), 0);
	assert_int_equal(out.verdict, IPAM_WAIT); /* unknown in the life before */
	/* It is sent again, even while the request is in flight, and then asked anew. */
	t.now += 2000;
	assert_int_equal(ipam_housekeep(h->ipam, &t, &back, NULL), 0);
	assert_int_equal(back.verdict, IPAM_ACTION);
	assert_int_equal(back.action.block.spec.borrowed.n, 0);
	assert_int_equal(ipam_outcome(h->ipam, &back.action, 0, ++m->rev, t.now, NULL), 0);
	assert_int_equal(ipam_take(h->ipam, &q, &t, &out, NULL), 0);
	assert_int_equal(out.verdict, IPAM_ACTION);
	assert_int_equal(out.action.block.spec.borrowed.n, 1);
	assert_int_equal(out.action.block.spec.borrowed.v[0].state, BORROW_ASKED);
}

/* ---- pools and names */

static void block_names(void **state)
{
	static const char *const rows[][2] = {
		{ "10.244.1.0/26", "10-244-1-0-26" },
		{ "fd00:10::40/122", "fd00-10--40-122" },
		{ "fd00::/122", "fd00--0-122" },
		{ "::/122", "0--0-122" },
	};
	char buf[IPAM_BLOCK_NAME];
	struct prefix p;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(prefix_parse(rows[i][0], &p), 0);
		assert_string_equal(ipam_block_name(&p, buf), rows[i][1]);
	}
}

/* A journal of one entry, as a forger writes it: what does a replay into `s` say? */
static int replay_forged(struct ipam *s, const struct journal_entry *j)
{
	struct journal_end end = { 0 };
	struct buf file = { .v = NULL };
	struct err e = { .code = 0 };
	size_t good = 0;
	int rc;

	assert_int_equal(journal_put(&file, &end, j, &e), 0);
	rc = ipam_replay(s, file.v, file.n, &good, &e);
	assert_int_equal(rc, e.code);
	assert_int_equal(good, rc ? 0 : file.n);
	buf_fini(&file);
	return rc;
}

/* Ids are counted up and never again; 0 is nobody's. */
static void ids_do_not_wrap(void **state)
{
	static const uint64_t never[] = { 0, INT64_MAX, 1ULL << 63, UINT64_MAX };
	struct journal_entry take = {
		.op = JOURNAL_TAKE, .at = { .network = "n", .container = "c", .ifname = "eth0" }
	};
	struct journal_entry boot = { .op = JOURNAL_BOOT, .id = -1 };
	struct ipam_attachment next = { .network = "n", .container = "d", .ifname = "eth0" };
	struct buf out = { .v = NULL };
	struct ipam_turn t = { .journal = &out };
	struct ipam *s;

	(void)state;
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
		s = ipam_new("a", IPAM_COOLDOWN_MS);
		take.at.id = never[i];
		assert_int_equal(replay_forged(s, &take), -EBADMSG);
		ipam_free(s);
	}
	s = ipam_new("a", IPAM_COOLDOWN_MS);
	assert_int_equal(replay_forged(s, &boot), -EBADMSG);
	take.at.id = INT64_MAX - 1;
	assert_int_equal(replay_forged(s, &take), 0);
	/* None is left: that is said, and neither book nor journal has changed. */
	assert_int_equal(ipam_adopt(s, &next, &t, NULL), -EBADMSG);
	assert_int_equal(out.n, 0);
	assert_null(ipam_find(s, "n", "d", "eth0"));
	assert_non_null(ipam_by_id(s, INT64_MAX - 1));
	buf_fini(&out);
	ipam_free(s);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(one_block_until_full),
		T(whole_pool_is_usable),
		T(host_blocks),
		T(hosts_start_apart),
		T(max_blocks),
		T(pools_by_request),
		T(selectors_and_disabled),
		T(no_pool_at_all),
		T(both_or_neither),
		T(fixed_in_one_family),
		T(fixed_address),
		T(fixed_in_foreign_block),
		T(fixed_again_at_once),
		T(owner_decides),
		T(endless_handle),
		T(borrow_when_full),
		T(nobody_to_borrow_from),
		T(subnets_on_a_link),
		T(reservations),
		T(huge_reservation_ends),
		T(reservation_of_the_world),
		T(cooldown),
		T(cooling_claims_first),
		T(empty_blocks_go),
		T(vanished_block_is_taken_back),
		T(blocks_of_gone_nodes),
		T(loans_of_gone_nodes),
		T(view_older_than_what_was_given_back),
		T(two_looks_apart),
		T(gc_by_network),
		T(tunnel_address),
		T(tunnel_comes_later),
		T(claims_wait_for_one_another),
		T(store_that_does_not_answer),
		T(unknown_delete_is_final),
		T(lost_delete_is_not_repeated),
		T(unknown_return_is_final),
		T(block_names),
		cmocka_unit_test(ids_do_not_wrap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
