/* SPDX-License-Identifier: Apache-2.0 */
/* Whole speakers against each other: sessions, routes, reflection, restart. What is on the wire is judged by test_bgp_msg and
 * test_bgp_update; here it is only what comes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bgp_world.h"

#include <string.h>

static enum bgp_state state_of(const struct router *r, const struct router *of)
{
	return bgp_fsm_state(bgp_peer_fsm(peer(r, of)));
}

/* 10.0.0.1 of AS 65001 and 10.0.0.2 of AS 65002. */
static void two(struct world *w, struct router **a, struct router **b)
{
	world_init(w);
	*a = world_add(w, 1, 65001, NULL);
	*b = world_add(w, 2, 65002, NULL);
}

static void test_two(void **state)
{
	struct world w;
	struct router *a, *b;

	two(&w, &a, &b);
	originate(a, "10.1.0.0/24");
	originate(b, "10.2.0.0/24");
	originate(b, "fd00:2::/64");
	world_join(a, b);
	world_run(&w);
	assert_int_equal(state_of(a, b), BGP_ESTABLISHED);
	assert_int_equal(state_of(b, a), BGP_ESTABLISHED);
	assert_string_equal(route(a, "10.2.0.0/24"), "via 10.0.0.2 path 65002");
	assert_string_equal(route(a, "fd00:2::/64"), "via fd00::2 path 65002");
	assert_string_equal(route(b, "10.1.0.0/24"), "via 10.0.0.1 path 65001");
	originate(a, "10.1.1.0/24");
	world_run(&w);
	assert_string_equal(route(b, "10.1.1.0/24"), "via 10.0.0.1 path 65001");
	world_wait(&w, 600000);
	assert_int_equal(state_of(a, b), BGP_ESTABLISHED);
	assert_string_equal(a->log, "10.0.0.2: up\n");
	world_fini(&w);
}

/* Full mesh of iBGP: nothing is told on. A reflector: clients know of each other. */
static void test_reflector(void **state)
{
	struct router *rr, *c[3];
	struct bgp_peer_conf v[3];
	struct world w;

	world_init(&w);
	rr = world_add(&w, 1, 65000, NULL);
	for (uint8_t i = 0; i < 3; i++)
		c[i] = world_add(&w, (uint8_t)(10 + i), 65000, NULL);
	for (unsigned i = 0; i < 3; i++) {
		struct bgp_peer_conf of_rr = world_conf(c[i], rr);

		v[i] = world_conf(rr, c[i]);
		assert_int_equal(world_peers(c[i]->s, &of_rr, 1, w.now), 0);
	}
	originate(c[0], "10.1.0.0/24");
	assert_int_equal(world_peers(rr->s, v, 3, w.now), 0);
	world_run(&w);
	assert_string_equal(route(rr, "10.1.0.0/24"), "via 10.0.0.10 path -");
	assert_string_equal(route(c[1], "10.1.0.0/24"), "");
	for (unsigned i = 0; i < 3; i++)
		v[i].client = true;
	assert_int_equal(world_peers(rr->s, v, 3, w.now), 0);
	world_wait(&w, 10000);
	assert_string_equal(route(c[1], "10.1.0.0/24"), "via 10.0.0.10 path -");
	assert_string_equal(route(c[2], "10.1.0.0/24"), "via 10.0.0.10 path -");
	assert_string_equal(route(c[0], "10.1.0.0/24"), "via none path -");
	world_fini(&w);
}

/* A peer that ends without a word: its routes stay for its restart time, and no longer. */
static void test_helper(void **state)
{
	struct router *a, *b;
	struct world w;

	two(&w, &a, &b);
	originate(b, "10.2.0.0/24");
	world_join(a, b);
	world_run(&w);
	b->off = true;
	world_break(&w, a, b, false);
	world_wait(&w, 100000);
	assert_string_equal(route(a, "10.2.0.0/24"), "via 10.0.0.2 path 65002");
	world_wait(&w, 30000);
	assert_string_equal(route(a, "10.2.0.0/24"), "");
	assert_non_null(strstr(a->log, "its restart took too long"));
	world_fini(&w);
}

static void test_hold(void **state)
{
	struct router *a, *b;
	struct world w;

	two(&w, &a, &b);
	originate(b, "10.2.0.0/24");
	world_join(a, b);
	world_run(&w);
	b->off = true;
	world_wait(&w, 80000);
	assert_int_equal(state_of(a, b), BGP_ESTABLISHED);
	world_wait(&w, 11000);
	assert_int_not_equal(state_of(a, b), BGP_ESTABLISHED);
	assert_non_null(strstr(a->log, "Hold Timer Expired"));
	world_fini(&w);
}

/* What a route is told with: RFC 4271 5.1. */
static void test_attributes(void **state)
{
	struct router *a, *b, *c, *d;
	struct world w;

	two(&w, &a, &b);
	c = world_add(&w, 3, 65002, NULL);
	d = world_add(&w, 4, 65004, NULL);
	originate(a, "10.1.0.0/24");
	originate(b, "10.2.0.0/24");
	world_join(a, b);
	world_join(b, c);
	world_join(c, d);
	world_run(&w);
	/* Within an AS the next hop of another one stays; to a third AS on the same link it does, too. */
	assert_string_equal(route(c, "10.1.0.0/24"), "via 10.0.0.1 path 65001");
	assert_string_equal(route(d, "10.1.0.0/24"), "via 10.0.0.1 path 65002 65001");
	assert_string_equal(route(c, "10.2.0.0/24"), "via 10.0.0.2 path -");
	/* Its own AS is in it: not told, and would not be taken. */
	assert_string_equal(route(a, "10.2.0.0/24"), "via 10.0.0.2 path 65002");
	assert_string_equal(route(b, "10.1.0.0/24"), "via 10.0.0.1 path 65001");
	world_fini(&w);
}

static void withdraw(struct router *r, const char *text)
{
	struct prefix p;

	assert_int_equal(prefix_parse(text, &p), 0);
	bgp_speaker_withdraw(r->s, &p);
}

/* The better way is taken, and given up where it is gone. */
static void test_ways(void **state)
{
	struct router *a, *b, *c, *d;
	struct world w;

	two(&w, &a, &b);
	c = world_add(&w, 3, 65003, NULL);
	d = world_add(&w, 4, 65004, NULL);
	world_join(a, b);
	world_join(b, d);
	world_join(a, c);
	world_join(d, a);
	originate(d, "10.4.0.0/24");
	world_run(&w);
	assert_string_equal(route(a, "10.4.0.0/24"), "via 10.0.0.4 path 65004");
	bgp_peer_reset(peer(a, d), "test", w.now);
	assert_string_equal(route(a, "10.4.0.0/24"),
			    "via 10.0.0.4 path 65004"); /* kept: both know of RFC 8538 */
	world_run(&w);
	withdraw(d, "10.4.0.0/24");
	world_wait(&w, 5000);
	assert_string_equal(route(a, "10.4.0.0/24"), "");
	assert_string_equal(route(c, "10.4.0.0/24"), "");
	assert_int_equal(bgp_rib_count(bgp_speaker_rib(a->s, BGP_IPV4)), 0);
	world_fini(&w);
}

/* Filters that change while a session is up: what was taken is asked for again, what was told is told again. */
static void test_filters(void **state)
{
	struct bgp_rule refuse = { .match = BGP_M_IN, .min_len = 24 };
	const struct bgp_rules rules = { .name = "no-24", .n = 1, .v = &refuse };
	const struct bgp_rules *list[] = { &rules };
	const struct bgp_filter f = { .v = list, .n = 1, .digest = 1 };
	struct bgp_peer_conf of_b, of_a;
	struct router *a, *b;
	struct world w;

	assert_int_equal(prefix_parse("0.0.0.0/0", &refuse.cidr), 0);
	two(&w, &a, &b);
	originate(b, "10.2.0.0/24");
	originate(b, "10.3.0.0/16");
	world_join(a, b);
	world_run(&w);
	of_b = world_conf(a, b);
	of_b.import[BGP_IPV4] = f;
	assert_int_equal(world_peers(a->s, &of_b, 1, w.now), 0);
	world_run(&w);
	assert_string_equal(route(a, "10.2.0.0/24"), "");
	assert_string_equal(route(a, "10.3.0.0/16"), "via 10.0.0.2 path 65002");
	of_b.import[BGP_IPV4] = (struct bgp_filter){ 0 };
	assert_int_equal(world_peers(a->s, &of_b, 1, w.now), 0);
	world_run(&w);
	assert_string_equal(route(a, "10.2.0.0/24"), "via 10.0.0.2 path 65002");
	of_a = world_conf(b, a);
	of_a.export[BGP_IPV4] = f;
	assert_int_equal(world_peers(b->s, &of_a, 1, w.now), 0);
	world_run(&w);
	assert_string_equal(route(a, "10.2.0.0/24"), "");
	assert_string_equal(route(a, "10.3.0.0/16"), "via 10.0.0.2 path 65002");
	assert_string_equal(a->log, "10.0.0.2: up\n"); /* nothing of it ended the session */
	world_fini(&w);
}

static void test_too_many(void **state)
{
	struct bgp_peer_conf of_b;
	struct router *a, *b;
	struct world w;

	two(&w, &a, &b);
	world_join(a, b);
	of_b = world_conf(a, b);
	of_b.max_prefixes = 2;
	of_b.session.graceful.offered = false;
	assert_int_equal(world_peers(a->s, &of_b, 1, w.now), 0);
	originate(b, "10.2.0.0/24");
	originate(b, "10.2.1.0/24");
	world_wait(&w, 10000);
	assert_int_equal(state_of(a, b), BGP_ESTABLISHED);
	originate(b, "10.2.2.0/24");
	world_run(&w);
	assert_int_not_equal(state_of(a, b), BGP_ESTABLISHED);
	assert_non_null(strstr(a->log, "3 prefixes, and 2 are allowed"));
	assert_non_null(strstr(b->log, "Maximum Number of Prefixes Reached"));
	assert_string_equal(route(a, "10.2.0.0/24"), "");
	world_fini(&w);
}

/* We restart: nothing is told before all have told us everything, and they keep what they had. */
static void test_own_restart(void **state)
{
	const struct bgp_speaker_conf again = { .multipath = 8,
						.restart_time = 120,
						.restarting = true };
	struct router *a, *b, *new;
	struct world w;

	two(&w, &a, &b);
	originate(a, "10.1.0.0/24");
	originate(b, "10.2.0.0/24");
	world_join(a, b);
	world_run(&w);
	a->off = true;
	world_break(&w, a, b, false);
	assert_string_equal(route(b, "10.1.0.0/24"), "via 10.0.0.1 path 65001");
	a->addr.b[0] = 99; /* its place is free */
	new = world_add(&w, 1, 65001, &again);
	assert_false(bgp_speaker_is_complete(new->s));
	originate(new, "10.1.0.0/24");
	{
		struct bgp_peer_conf of_b = world_conf(new, b);

		assert_int_equal(world_peers(new->s, &of_b, 1, w.now), 0);
	}
	world_wait(&w, 10000);
	assert_true(bgp_speaker_is_complete(new->s));
	assert_string_equal(route(new, "10.2.0.0/24"), "via 10.0.0.2 path 65002");
	assert_string_equal(route(b, "10.1.0.0/24"), "via 10.0.0.1 path 65001");
	world_wait(&w, 200000);
	assert_string_equal(route(b, "10.1.0.0/24"), "via 10.0.0.1 path 65001");
	world_fini(&w);
}

/* A peer that restarts as we do is not waited for, or both would wait; but all is known only when it has told, too. */
static void test_restart_of_both(void **state)
{
	const struct bgp_speaker_conf again = { .multipath = 8,
						.restart_time = 240,
						.restarting = true };
	const struct bgp_speaker_conf also = { .multipath = 8,
					       .restart_time = 120,
					       .restarting = true };
	struct bgp_peer_conf of_a, of_others[2];
	struct router *a, *b, *away;
	struct world w;

	world_init(&w);
	a = world_add(&w, 1, 65001, &again);
	b = world_add(&w, 2, 65002, &also);
	away = world_add(&w, 3, 65003, NULL);
	away->off = true; /* b waits for it, a does not know it */
	originate(a, "10.1.0.0/24");
	originate(b, "10.2.0.0/24");
	of_a = world_conf(b, a);
	of_others[0] = of_a;
	of_others[1] = world_conf(b, away);
	of_a = world_conf(a, b);
	assert_int_equal(world_peers(a->s, &of_a, 1, w.now), 0);
	assert_int_equal(world_peers(b->s, of_others, 2, w.now), 0);
	world_wait(&w, 20000);
	assert_int_equal(state_of(a, b), BGP_ESTABLISHED);
	assert_string_equal(route(b, "10.1.0.0/24"), "via 10.0.0.1 path 65001");
	assert_string_equal(route(a, "10.2.0.0/24"), "");
	assert_false(bgp_speaker_is_complete(a->s));
	world_wait(&w, 110000); /* b's time is over */
	assert_true(bgp_speaker_is_complete(b->s));
	assert_string_equal(route(a, "10.2.0.0/24"), "via 10.0.0.2 path 65002");
	assert_true(bgp_speaker_is_complete(a->s));
	world_fini(&w);
}

/* A peer that is not wanted any more, and one that is another one now. */
static void test_configuration(void **state)
{
	struct bgp_peer_conf of_b;
	struct router *a, *b;
	struct world w;

	two(&w, &a, &b);
	originate(b, "10.2.0.0/24");
	world_join(a, b);
	world_run(&w);
	assert_int_equal(world_peers(a->s, NULL, 0, w.now), 0);
	world_run(&w);
	assert_null(peer(a, b));
	assert_string_equal(route(a, "10.2.0.0/24"), "");
	assert_non_null(strstr(b->log, "Peer De-configured"));
	of_b = world_conf(a, b);
	assert_int_equal(world_peers(a->s, &of_b, 1, w.now), 0);
	world_wait(&w, 10000);
	assert_string_equal(route(a, "10.2.0.0/24"), "via 10.0.0.2 path 65002");
	of_b.session.hold_time = 30;
	assert_int_equal(world_peers(a->s, &of_b, 1, w.now), 0);
	world_wait(&w, 10000);
	assert_int_equal(state_of(a, b), BGP_ESTABLISHED);
	assert_int_equal(bgp_peer_fsm(peer(a, b))->agreed.hold_time, 30);
	world_fini(&w);
}

/* As of a's session to b, whose BFD is up: what b says last. */
static void bfd_says(struct world *w, const struct router *a, const struct router *b,
		     enum bfd_state state, enum bfd_diag diag)
{
	struct bfd *s = bgp_peer_bfd(peer(a, b));
	struct bfd_packet p = { .version = 1,
				.state = BFD_DOWN,
				.multiplier = 3,
				.my = 9,
				.your = s->conf.discriminator,
				.desired_us = 100000,
				.required_us = 100000 };

	bfd_receive(s, &p, w->now * 1000);
	p.state = BFD_UP;
	bfd_receive(s, &p, w->now * 1000);
	assert_int_equal(s->state, BFD_UP);
	p.state = (uint8_t)state;
	p.diag = (uint8_t)diag;
	assert_true(bfd_receive(s, &p, w->now * 1000));
	assert_int_equal(s->state, BFD_DOWN);
	bgp_peer_bfd_changed(peer(a, b), w->now);
	world_run(w);
}

/* A way that is down ends the session; a peer that takes BFD itself down, as it ends, says nothing of the way (RFC 5882 3.2).
 * One that begins anew forwards still, so that its routes are kept; one that does not hear us has none to us. */
static void test_bfd_says_down(void **state)
{
	struct bgp_peer_conf of_b;
	struct router *a, *b;
	struct world w;

	two(&w, &a, &b);
	world_join(a, b);
	of_b = world_conf(a, b);
	of_b.bfd = (struct bfd_conf){ .interval_us = 100000, .multiplier = 3, .discriminator = 7 };
	assert_int_equal(world_peers(a->s, &of_b, 1, w.now), 0);
	originate(b, "10.2.0.0/24");
	world_run(&w);
	assert_int_equal(state_of(a, b), BGP_ESTABLISHED);
	bfd_says(&w, a, b, BFD_ADMIN_DOWN, BFD_NONE);
	assert_int_equal(state_of(a, b), BGP_ESTABLISHED);
	bfd_says(&w, a, b, BFD_DOWN, BFD_NONE);
	assert_int_not_equal(state_of(a, b), BGP_ESTABLISHED);
	assert_non_null(strstr(b->log, "BFD Down"));
	assert_string_equal(route(a, "10.2.0.0/24"), "via 10.0.0.2 path 65002");
	world_wait(&w, 10000);
	assert_int_equal(state_of(a, b), BGP_ESTABLISHED);
	bfd_says(&w, a, b, BFD_DOWN, BFD_EXPIRED);
	assert_int_not_equal(state_of(a, b), BGP_ESTABLISHED);
	assert_non_null(strstr(b->log, "Hard Reset"));
	assert_string_equal(route(a, "10.2.0.0/24"), "");
	world_fini(&w);
}

/* BFD that never came up says nothing of the way: somebody in between may not let it through. With several hops instead of one it begins
 * anew, and that is no failure either. */
static void test_bfd_is_not_let_through(void **state)
{
	struct bgp_peer_conf of_b;
	struct bfd_packet p = {
		.version = 1, .state = BFD_DOWN, .multiplier = 3, .my = 9, .desired_us = 100000
	};
	struct router *a, *b;
	struct world w;
	struct bfd *s;
	bool due;

	two(&w, &a, &b);
	world_join(a, b);
	of_b = world_conf(a, b);
	of_b.bfd = (struct bfd_conf){ .interval_us = 100000, .multiplier = 3, .discriminator = 7 };
	assert_int_equal(world_peers(a->s, &of_b, 1, w.now), 0);
	world_run(&w);
	s = bgp_peer_bfd(peer(a, b));
	bfd_receive(s, &p, w.now * 1000);
	assert_int_equal(s->state, BFD_INIT);
	assert_true(bfd_tick(s, w.now * 1000 + 10000000, 0, &due, &p));
	assert_int_equal(s->diag, BFD_EXPIRED);
	bgp_peer_bfd_changed(peer(a, b), w.now);
	world_run(&w);
	assert_int_equal(state_of(a, b), BGP_ESTABLISHED);

	p = (struct bfd_packet){ .version = 1, .state = BFD_DOWN, .multiplier = 3, .my = 9 };
	bfd_receive(s, &p, w.now * 1000);
	of_b.bfd.multihop = true;
	assert_int_equal(world_peers(a->s, &of_b, 1, w.now), 0);
	world_run(&w);
	assert_true(bgp_peer_bfd(peer(a, b)) == s && s->state == BFD_DOWN && s->conf.multihop);
	assert_int_equal(state_of(a, b), BGP_ESTABLISHED);
	world_fini(&w);
}

/* What goes to a peer past the state machine is counted all the same. */
static void test_messages_are_counted(void **state)
{
	const struct bgp_fsm *f;
	struct router *a, *b;
	struct world w;

	two(&w, &a, &b);
	originate(a, "10.1.0.0/24");
	originate(a, "fd00:1::/64");
	world_join(a, b);
	world_run(&w);
	f = bgp_peer_fsm(peer(a, b));
	assert_int_equal(f->out[BGP_OPEN], 1);
	assert_int_equal(f->out[BGP_UPDATE], 4); /* one, and an End-of-RIB, of each family */
	assert_int_equal(f->out[BGP_REFRESH], 0);
	bgp_peer_refresh(peer(a, b), w.now);
	world_run(&w);
	assert_int_equal(f->out[BGP_REFRESH], 2);
	assert_int_equal(f->out[BGP_UPDATE], 8);
	assert_int_equal(bgp_peer_fsm(peer(b, a))->in[BGP_UPDATE], 8);
	world_fini(&w);
}

/* Many routes to many readers, at once and changing: everybody ends with the same. */
static void test_many(void **state)
{
	struct bgp_peer_conf v[6];
	struct router *rr, *c[6];
	struct world w;

	world_init(&w);
	rr = world_add(&w, 1, 65000, NULL);
	for (uint8_t i = 0; i < 6; i++) {
		struct bgp_peer_conf of_rr;

		c[i] = world_add(&w, (uint8_t)(10 + i), 65000, NULL);
		of_rr = world_conf(c[i], rr);
		assert_int_equal(world_peers(c[i]->s, &of_rr, 1, w.now), 0);
		v[i] = world_conf(rr, c[i]);
		v[i].client = true;
	}
	assert_int_equal(world_peers(rr->s, v, 6, w.now), 0);
	for (unsigned i = 0; i < 6; i++)
		for (unsigned k = 0; k < 2000; k++) {
			struct prefix p = { addr_v4(0x0a000000 + (i << 20) + (k << 8)), 24 };

			assert_int_equal(bgp_speaker_originate(c[i]->s, &p, NULL, w.now), 0);
		}
	world_run(&w);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(bgp_rib_count(bgp_speaker_rib(c[i]->s, BGP_IPV4)), 12000);
	for (unsigned k = 0; k < 2000; k++) {
		struct prefix p = { addr_v4(0x0a000000 + (k << 8)), 24 };

		bgp_speaker_withdraw(c[0]->s, &p);
		if (k % 100 == 0)
			world_run(&w);
	}
	world_run(&w);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(bgp_rib_count(bgp_speaker_rib(c[i]->s, BGP_IPV4)), 10000);
	assert_int_equal(bgp_rib_count(bgp_speaker_rib(rr->s, BGP_IPV4)), 10000);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two),
		cmocka_unit_test(test_reflector),
		cmocka_unit_test(test_helper),
		cmocka_unit_test(test_hold),
		cmocka_unit_test(test_attributes),
		cmocka_unit_test(test_ways),
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_own_restart),
		cmocka_unit_test(test_restart_of_both),
		cmocka_unit_test(test_configuration),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_bfd_says_down),
		cmocka_unit_test(test_bfd_is_not_let_through),
		cmocka_unit_test(test_messages_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
