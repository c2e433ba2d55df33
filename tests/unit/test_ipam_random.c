/* SPDX-License-Identifier: Apache-2.0 */
/* core/ipam: random lives of four nodes in one small pool. Views lag, writes are answered late
 * or never and still happen, nodes are killed with half-written journals and start with what their
 * watch had on disk, containers vanish, machines reboot, Nodes are deleted and come back in time or
 * not. After every operation the oracle of tests/ipam_sim.c compares all leases by brute force; at
 * the end everything must have come back. FAIRLEAD_SEED picks another life. */
#include "tests/ipam_sim.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#define OPERATIONS 10000
#define NODES      4

struct tally {
	unsigned taken, borrowed, dropped, refused, away, crashed;
	unsigned vanished, collected, reboots, returned, reclaimed;
};

static struct ipaddr random_addr(struct sim *m, const char *base, unsigned span)
{
	struct ipaddr a;

	assert_int_equal(addr_parse(base, &a), 0);
	return addr_add(&a, sim_random(m) % span);
}

static size_t living_host(struct sim *m)
{
	size_t h = sim_random(m) % NODES;

	return m->hosts[h].down ? (h + 1) % NODES : h;
}

/* false: its machine is off. */
static bool drop(struct sim *m, size_t lease)
{
	if (m->hosts[m->leases[lease].host].down)
		return false;
	sim_drop(m, lease);
	return true;
}

/* What befalls machines and containers, and who cleans up behind it. At most one Node is away at
 * a time, for less or more than the grace period. */
static void fate(struct sim *m, struct tally *t)
{
	size_t h = sim_random(m) % NODES, down = NODES;
	unsigned what = sim_random(m) % 100;

	for (size_t i = 0; i < NODES; i++)
		if (m->hosts[i].down)
			down = i;
	if (what < 25 && m->n_leases) {
		size_t l = sim_random(m) % m->n_leases;

		if (m->hosts[m->leases[l].host].down)
			return;
		sim_vanish(m, l);
		t->vanished++;
	} else if (what < 50) {
		t->collected += sim_collect(m);
	} else if (what < 55 && !m->hosts[h].down) {
		sim_reboot(m, h);
		t->reboots++;
	} else if (what < 60 && down == NODES) {
		sim_node_down(m, h);
	} else if (what < 64 && down < NODES) {
		t->returned += !m->hosts[down].reclaimed;
		sim_node_up(m, down);
	} else if (what < 85) {
		t->reclaimed += sim_control(m);
	} else {
		sim_snapshot(m, h);
	}
}

static void take(struct sim *m, struct tally *t)
{
	struct ipaddr fixed;
	struct ipam_request q = { 0 };
	char name[32];
	int r;

	/* Names recur, as a runtime's do that tries again. */
	snprintf(name, sizeof(name), "c%u", (unsigned)(sim_random(m) % 80));
	if (sim_random(m) % 4 == 0) {
		fixed = sim_random(m) % 2 ? random_addr(m, "10.0.0.0", 64)
					  : random_addr(m, "fd00::", 64);
		q.at.addrs.v = &fixed;
		q.at.addrs.n = 1;
	}
	r = sim_take(m, living_host(m), name, &q);
	if (r == -ECONNRESET) {
		t->crashed++;
	} else if (r == -EAGAIN) {
		t->away++;
	} else if (r) {
		t->refused++;
	} else {
		const struct sim_lease *l = &m->leases[m->n_leases - 1];

		t->taken++;
		assert_int_equal(l->n, 2);
		assert_int_not_equal(l->addr[0].family, l->addr[1].family);
		t->borrowed += l->borrowed[0] || l->borrowed[1];
	}
}

/* Most pods end, and their addresses and blocks become free for others. */
static void ebb(struct sim *m, struct tally *t)
{
	for (size_t i = 0; i < 100 && m->n_leases > 3; i++)
		t->dropped += drop(m, sim_random(m) % m->n_leases);
	m->now += 40000;
}

static void all_comes_back(struct sim *m)
{
	for (size_t i = 0; i < m->n_hosts; i++)
		if (m->hosts[i].down)
			sim_node_up(m, i);
	while (m->n_leases)
		sim_drop(m, m->n_leases - 1);
	m->p_unknown = m->p_stale = m->p_crash = 0;
	for (int i = 0; i < 2; i++) {
		sim_collect(m);
		m->now += 2 * 60000;
	}
	sim_collect(m);
	sim_settle(m);
	for (size_t i = 0; i < m->n_hosts; i++) {
		size_t n;

		ipam_all(m->hosts[i].ipam, &n);
		assert_int_equal(n, 0);
		ipam_surrender(m->hosts[i].ipam, true);
	}
	for (int i = 0; i < 3 || m->n_late; i++) {
		sim_settle(m);
		m->now += 2 * 60000;
	}
	assert_int_equal(sim_blocks(m), 0);
}

static void life(uint64_t seed, int mode)
{
	struct tally t = { 0 };
	struct sim m;
	struct ippool *v4, *v6;

	sim_init(&m);
	m.seed = seed * 0x9e3779b97f4a7c15u + 1;
	for (int i = 0; i < NODES; i++) {
		char name[8];

		snprintf(name, sizeof(name), "n%d", i);
		sim_host(&m, name);
	}
	v4 = sim_pool(&m, "10.0.0.0/26", 29);
	v6 = sim_pool(&m, "fd00::/122", 125);
	v4->spec.mode = v6->spec.mode = (uint8_t)mode;
	sim_sync(&m);
	m.p_unknown = 60;
	m.p_stale = 300;
	m.p_crash = 30;
	m.p_outage = 400;
	for (int i = 0; i < OPERATIONS; i++) {
		unsigned what = sim_random(&m) % 1000;

		arena_reset(&m.mem);
		m.now += (int64_t)(sim_random(&m) % 3000);
		if (what < 500) {
			take(&m, &t);
		} else if (what < 700 && m.n_leases) {
			t.dropped += drop(&m, sim_random(&m) % m.n_leases);
		} else if (what < 750) {
			fate(&m, &t);
		} else if (what < 780) {
			sim_crash(&m, sim_random(&m) % NODES);
			t.crashed++;
		} else if (what < 985) {
			sim_keep(&m, sim_random(&m) % NODES);
		} else if (what < 995) {
			sim_settle(&m);
		} else {
			ebb(&m, &t);
		}
		sim_audit(&m);
	}
	print_message("seed %llu: %u taken (%u borrowed), %u dropped, %u refused, %u times away, "
		      "%u crashes, %u of them without a store, %u vanished, %u collected, "
		      "%u reboots, %u Nodes back in time, %u blocks reclaimed\n",
		      (unsigned long long)seed, t.taken, t.borrowed, t.dropped, t.refused, t.away,
		      t.crashed, m.n_outages, t.vanished, t.collected, t.reboots, t.returned,
		      t.reclaimed);
	/* A life in which these never happen proves nothing. */
	assert_true(t.taken > 2000 && t.borrowed > 100 && t.refused > 100 && t.away > 20 &&
		    t.crashed > 200 && m.n_outages > 50 && t.collected > 20 && t.reboots > 5 &&
		    t.returned > 1 && t.reclaimed > 3);
	all_comes_back(&m);
	sim_fini(&m);
}

static void random_lives(void **state)
{
	const char *env = getenv("FAIRLEAD_SEED");

	for (uint64_t seed = 1; seed <= 3; seed++)
		life(env ? strtoull(env, NULL, 10) + seed : seed,
		     seed % 2 ? POOL_DIRECT : POOL_VXLAN);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(random_lives) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
