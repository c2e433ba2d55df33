/* SPDX-License-Identifier: Apache-2.0 */
/* The table: decisions step by step as RFC 4271 9.1.2.2 letters them, readers against a plain model with random changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/bgp/decide.h"

#include <stdlib.h>
#include <string.h>

/* ---- decisions */

struct made {
	struct bgp_source from;
	struct bgp_path path;
	struct bgp_draft draft;
	uint8_t as_path[64];
};

/* From AS 65001 at 10.0.0.1, by a path of two ASes. */
static void plain(struct made *m)
{
	static const uint8_t as_path[] = { BGP_AS_SEQUENCE, 2, 0, 0, 0xfd, 0xe9, 0, 0, 0, 7 };

	memset(m, 0, sizeof(*m));
	m->from = (struct bgp_source){
		.addr = addr_v4(0x0a000001), .as = 65001, .id = 0x0a000001, .ebgp = true
	};
	memcpy(m->as_path, as_path, sizeof(as_path));
	m->draft.part[BGP_P_AS_PATH] = m->as_path;
	m->draft.len[BGP_P_AS_PATH] = sizeof(as_path);
	m->draft.fixed.next_hop = addr_v4(0x0a000001);
}

static void worse_usable(struct made *m)
{
	m->path.filtered = true;
}

static void worse_preference(struct made *m)
{
	m->draft.fixed.has |= BGP_HAS_LOCAL_PREF;
	m->draft.fixed.local_pref = 99; /* without any it is 100 */
}

static void worse_length(struct made *m)
{
	m->as_path[1] = 3;
	m->as_path[13] = 8;
	m->draft.len[BGP_P_AS_PATH] = 14;
}

static void worse_origin(struct made *m)
{
	m->draft.fixed.origin = BGP_ORIGIN_INCOMPLETE;
}

static void worse_med(struct made *m)
{
	m->draft.fixed.has |= BGP_HAS_MED;
	m->draft.fixed.med = 1; /* a missing one is the lowest */
}

static void worse_ebgp(struct made *m)
{
	m->from.ebgp = false;
}

static void worse_id(struct made *m)
{
	m->from.id++;
}

static void worse_originator(struct made *m)
{
	m->draft.fixed.has |= BGP_HAS_ORIGINATOR;
	m->draft.fixed.originator_id = 0x0a000005;
}

static void worse_clusters(struct made *m)
{
	static const uint8_t list[4];

	m->draft.part[BGP_P_CLUSTER_LIST] = list;
	m->draft.len[BGP_P_CLUSTER_LIST] = 4;
}

static void worse_address(struct made *m)
{
	m->from.addr.b[3]++;
}

/* In the order of the steps: what one row makes worse decides before all rows below, which are made better by it. */
static const struct {
	enum bgp_step step;
	void (*worse)(struct made *m);
} steps[] = {
	{ BGP_S_USABLE, worse_usable },     { BGP_S_PREFERENCE, worse_preference },
	{ BGP_S_A_LENGTH, worse_length },   { BGP_S_B_ORIGIN, worse_origin },
	{ BGP_S_C_MED, worse_med },         { BGP_S_D_EBGP, worse_ebgp },
	{ BGP_S_F_ID, worse_id },           { BGP_S_F_ID, worse_originator },
	{ BGP_S_CLUSTERS, worse_clusters }, { BGP_S_G_ADDRESS, worse_address },
};

#define STEPS (sizeof(steps) / sizeof(steps[0]))

static void finish(struct made *m, struct bgp_store *s)
{
	m->path.from = &m->from;
	m->path.attrs = bgp_store_take(s, &m->draft);
	assert_non_null(m->path.attrs);
}

static void test_steps(void **state)
{
	struct bgp_store *s = bgp_store_new();

	for (size_t i = 0; i < STEPS; i++)
		for (size_t k = i; k < STEPS; k++) {
			struct made a, b;
			enum bgp_step step;
			int c;

			if (steps[i].step == steps[k].step && i != k)
				continue; /* two ways to lose one step */
			plain(&a);
			plain(&b);
			steps[i].worse(&b);
			if (k > i)
				steps[k].worse(&a);
			finish(&a, s);
			finish(&b, s);
			c = bgp_compare(&a.path, &b.path, &step);
			if (c >= 0 || step != steps[i].step)
				fail_msg("%s before %s: %d by %s", bgp_step_text(steps[i].step),
					 bgp_step_text(steps[k].step), c, bgp_step_text(step));
			assert_true(bgp_compare(&b.path, &a.path, &step) > 0);
			bgp_store_drop(s, a.path.attrs);
			bgp_store_drop(s, b.path.attrs);
		}
	assert_int_equal(bgp_store_count(s), 0);
	bgp_store_free(s);
}

/* RFC 3345 2.1, RFC 4271 9.1.2.2 c: of three, each beaten by another one. The outcome is one, whoever came first. */
static void test_med_is_no_order(void **state)
{
	static const unsigned orders[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
					       { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
	struct bgp_store *s = bgp_store_new();
	struct made m[3];

	for (unsigned i = 0; i < 3; i++) {
		plain(&m[i]);
		m[i].draft.fixed.has = BGP_HAS_MED;
	}
	/* Two of AS 65001, the one with the lower identifier by the higher MED; one of AS 65002 in between. */
	m[0].from.id = 1;
	m[0].draft.fixed.med = 10;
	m[1].from.id = 2;
	m[1].as_path[5] = 0xea;
	m[2].from.id = 3;
	m[2].draft.fixed.med = 5;
	for (unsigned i = 0; i < 3; i++)
		finish(&m[i], s);
	for (unsigned o = 0; o < 6; o++) {
		struct bgp_path *list = NULL;
		uint32_t multipath;

		for (int i = 2; i >= 0; i--) {
			m[orders[o][i]].path.next = list;
			list = &m[orders[o][i]].path;
		}
		list = bgp_order(list, 1, &multipath);
		assert_ptr_equal(list, &m[1].path);
		assert_int_equal(multipath, 1);
	}
	for (unsigned i = 0; i < 3; i++)
		bgp_store_drop(s, m[i].path.attrs);
	bgp_store_free(s);
}

/* Equal up to step d and by another next hop: they share the traffic, as many as are asked for. */
static void test_multipath(void **state)
{
	struct bgp_store *s = bgp_store_new();
	struct made m[4];

	for (unsigned most = 1; most <= 4; most++) {
		struct bgp_path *list = NULL;
		uint32_t multipath;

		for (unsigned i = 0; i < 4; i++) {
			plain(&m[i]);
			m[i].from.id = i;
			m[i].draft.fixed.next_hop.b[3] = (uint8_t)i;
			if (i == 3) /* the same next hop as the best */
				m[i].draft.fixed.next_hop.b[3] = 0;
			finish(&m[i], s);
			m[i].path.next = list;
			list = &m[i].path;
		}
		list = bgp_order(list, most, &multipath);
		assert_ptr_equal(list, &m[0].path);
		assert_ptr_equal(list->next, &m[1].path);
		assert_ptr_equal(list->next->next, &m[2].path);
		assert_int_equal(multipath, most < 3 ? most : 3);
		for (unsigned i = 0; i < 4; i++)
			bgp_store_drop(s, m[i].path.attrs);
	}
	bgp_store_free(s);
}

/* ---- the table against a model */

#define SOURCES  4
#define PREFIXES 24
#define READERS  3
#define ROUNDS   60000

struct model {
	struct bgp_store *store;
	struct bgp_rib *rib;
	struct bgp_source from[SOURCES];
	struct bgp_attrs
		*attrs[SOURCES][PREFIXES]; /* what each has told; held by the table alone */
	bool stale[SOURCES][PREFIXES];
	struct bgp_reader *reader[READERS];
	const struct bgp_attrs *told[READERS][PREFIXES]; /* what each was told, NULL: nothing */
	uint64_t seed;
};

static uint32_t upto(struct model *m, uint32_t n)
{
	m->seed = m->seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(m->seed >> 33) % n;
}

static struct prefix prefix_of(unsigned i)
{
	return (struct prefix){ addr_v4(0x0a000000 + (i << 12)), (uint8_t)(20 + i % 5) };
}

static unsigned number_of(const struct model *m, const struct bgp_dest *d)
{
	struct prefix p = bgp_rib_prefix(m->rib, d);

	return (unsigned)(p.addr.b[1] << 4 | p.addr.b[2] >> 4);
}

static void put(struct model *m)
{
	unsigned s = upto(m, SOURCES), i = upto(m, PREFIXES);
	struct bgp_draft d = { .fixed = { .next_hop = addr_v4(0x0a000001 + s),
					  .med = upto(m, 3),
					  .has = BGP_HAS_MED } };
	struct bgp_attrs *a = bgp_store_take(m->store, &d);
	struct prefix p = prefix_of(i);

	assert_int_equal(bgp_rib_put(m->rib, &p, &m->from[s], a, false, 0), 0);
	bgp_store_drop(m->store, a);
	m->attrs[s][i] = a;
	m->stale[s][i] = false;
}

static void withdraw(struct model *m)
{
	unsigned s = upto(m, SOURCES), i = upto(m, PREFIXES);
	struct prefix p = prefix_of(i);

	assert_int_equal(bgp_rib_withdraw(m->rib, &p, &m->from[s]), m->attrs[s][i] != NULL);
	m->attrs[s][i] = NULL;
	m->stale[s][i] = false;
}

static void whole_source(struct model *m)
{
	unsigned s = upto(m, SOURCES), what = upto(m, 3);

	if (what == 0)
		bgp_rib_forget(m->rib, &m->from[s]);
	else if (what == 1)
		bgp_rib_mark_stale(m->rib, &m->from[s]);
	else
		bgp_rib_sweep(m->rib, &m->from[s]);
	for (unsigned i = 0; i < PREFIXES; i++) {
		if (what == 1)
			m->stale[s][i] = m->attrs[s][i] != NULL;
		else if (what == 0 || m->stale[s][i])
			m->attrs[s][i] = NULL, m->stale[s][i] = false;
	}
}

static void check(struct model *m)
{
	uint32_t known = 0;

	for (unsigned i = 0; i < PREFIXES; i++) {
		struct prefix p = prefix_of(i);
		const struct bgp_dest *d = bgp_rib_find(m->rib, &p);
		uint32_t have = 0, want = 0;

		for (unsigned s = 0; s < SOURCES; s++)
			want += m->attrs[s][i] != NULL;
		for (const struct bgp_path *q = d ? bgp_dest_paths(d) : NULL; q;
		     q = q->next, have++) {
			assert_ptr_equal(q->attrs, m->attrs[q->from->index][i]);
			assert_int_equal(q->stale, m->stale[q->from->index][i]);
		}
		assert_int_equal(have, want);
		known += want != 0;
	}
	assert_int_equal(bgp_rib_count(m->rib), known);
	for (unsigned s = 0; s < SOURCES; s++) {
		uint32_t n = 0;

		for (unsigned i = 0; i < PREFIXES; i++)
			n += m->attrs[s][i] != NULL;
		assert_int_equal(bgp_rib_count_of(m->rib, &m->from[s]), n);
	}
}

/* One step of a reader, who tells some of what is there. */
static bool step(struct model *m, unsigned r)
{
	struct bgp_dest *d = bgp_reader_next(m->reader[r]);
	const struct bgp_path *best = d ? bgp_dest_best(d) : NULL;
	unsigned i;

	if (!d)
		return false;
	i = number_of(m, d);
	assert_int_equal(bgp_reader_told(m->reader[r], d), m->told[r][i] != NULL);
	m->told[r][i] = best ? best->attrs : NULL;
	assert_int_equal(bgp_reader_note(m->reader[r], d, best), 0);
	return true;
}

/* Read to its end, each knows just what is there. */
static void read_out(struct model *m, unsigned r)
{
	uint32_t n = 0;

	while (step(m, r))
		assert_true(n++ < 4 * PREFIXES);
	assert_true(bgp_reader_is_through(m->reader[r]));
	for (unsigned i = 0; i < PREFIXES; i++) {
		struct prefix p = prefix_of(i);
		const struct bgp_dest *d = bgp_rib_find(m->rib, &p);

		assert_ptr_equal(m->told[r][i], d ? bgp_dest_best(d)->attrs : NULL);
	}
	assert_int_equal(bgp_reader_count(m->reader[r]), bgp_rib_count(m->rib));
}

static void some_reader(struct model *m)
{
	unsigned r = upto(m, READERS), what = upto(m, 12);

	if (what == 0) {
		bgp_reader_rewind(m->reader[r]);
		assert_false(bgp_reader_is_through(m->reader[r]));
	} else if (what == 1) {
		bgp_reader_free(m->reader[r]);
		m->reader[r] = bgp_reader_new(m->rib);
		memset(m->told[r], 0, sizeof(m->told[r]));
	} else if (what == 2) {
		read_out(m, r);
	} else {
		step(m, r);
	}
}

static void test_random(void **state)
{
	struct model m = { .seed = 20261128 };

	m.store = bgp_store_new();
	m.rib = bgp_rib_new(BGP_IPV4, m.store, 1);
	for (unsigned s = 0; s < SOURCES; s++)
		m.from[s] = (struct bgp_source){ .index = s, .id = s, .addr = addr_v4(s) };
	for (unsigned r = 0; r < READERS; r++)
		m.reader[r] = bgp_reader_new(m.rib);
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned what = upto(&m, 20);

		if (what < 8)
			put(&m);
		else if (what < 12)
			withdraw(&m);
		else if (what == 12)
			whole_source(&m);
		else
			some_reader(&m);
		if (round % 16 == 0)
			check(&m);
	}
	for (unsigned r = 0; r < READERS; r++) {
		read_out(&m, r);
		bgp_reader_free(m.reader[r]);
	}
	for (unsigned s = 0; s < SOURCES; s++)
		bgp_rib_forget(m.rib, &m.from[s]);
	assert_int_equal(bgp_store_count(m.store), 0);
	bgp_rib_free(m.rib);
	bgp_store_free(m.store);
}

/* A second best path is nobody's business; a change of the best one is told once, however often it was. */
static void test_what_is_told(void **state)
{
	struct model m = { .seed = 1 };
	struct bgp_source good = { .index = 0, .id = 1, .ebgp = true },
			  bad = { .index = 1, .id = 2 };
	struct bgp_draft d = { .fixed.next_hop = addr_v4(0x0a000001) };
	struct prefix p = prefix_of(0);
	struct bgp_reader *rd;

	m.store = bgp_store_new();
	m.rib = bgp_rib_new(BGP_IPV4, m.store, 1);
	rd = bgp_reader_new(m.rib);
	for (unsigned i = 0; i < 3; i++) {
		struct bgp_attrs *a;

		d.fixed.med = i;
		d.fixed.has = BGP_HAS_MED;
		a = bgp_store_take(m.store, &d);
		assert_int_equal(bgp_rib_put(m.rib, &p, &good, a, false, 0), 0);
		bgp_store_drop(m.store, a);
	}
	assert_non_null(bgp_reader_next(rd));
	assert_null(bgp_reader_next(rd));
	d.fixed.med = 9;
	for (unsigned i = 0; i < 2; i++) {
		struct bgp_attrs *a = bgp_store_take(m.store, &d);

		assert_int_equal(bgp_rib_put(m.rib, &p, &bad, a, false, 0), 0);
		bgp_store_drop(m.store, a);
	}
	assert_null(bgp_reader_next(rd));
	assert_true(bgp_rib_withdraw(m.rib, &p, &good));
	assert_non_null(bgp_reader_next(rd));
	bgp_reader_free(rd);
	bgp_rib_free(m.rib);
	bgp_store_free(m.store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steps),        cmocka_unit_test(test_med_is_no_order),
		cmocka_unit_test(test_multipath),    cmocka_unit_test(test_random),
		cmocka_unit_test(test_what_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
