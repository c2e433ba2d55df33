/* SPDX-License-Identifier: Apache-2.0 */
/* core/ipam's journal: what survives a stop at any byte, and what is called damage. */
#include "core/cni/ports.h"
#include "core/ipam/journal.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

/* `n` entries FREE 1..n; the first `durable` of them are on disk when the others are written. */
static void write_entries(struct buf *b, size_t n, size_t durable, size_t *at)
{
	struct journal_end end = { 0 };

	for (size_t i = 1; i <= n; i++) {
		struct journal_entry j = { .op = JOURNAL_FREE, .id = (int64_t)i, .time = 5 };

		if (at)
			at[i - 1] = i == 1 ? strlen(JOURNAL_MAGIC) : b->n;
		assert_int_equal(journal_put(b, &end, &j, NULL), 0);
		if (i == durable)
			end.durable = end.seq;
	}
}

/* How many entries can be read; *rc is the last verdict. */
static size_t count(const void *p, size_t n, int *rc, size_t *good, struct err *e)
{
	struct journal_reader r;
	struct journal_entry j;
	struct arena a;
	size_t k = 0;

	arena_init(&a, 0);
	journal_open(&r, p, n);
	while ((*rc = journal_next(&r, &j, &a, e)) > 0)
		assert_int_equal(j.id, ++k);
	*good = r.pos;
	arena_fini(&a);
	return k;
}

static void all_fields(void **state)
{
	struct ipaddr addrs[2];
	struct port_mapping ports[2] = { { 80, 8080, PROTO_TCP, { 0 } },
					 { 53, 5353, PROTO_UDP, { 0 } } };
	struct journal_entry in = {
		.op = JOURNAL_TAKE,
		.time = 1700000000123,
		.id = 9,
		.ifindex = 77,
		.rev = 12345,
		.node = "n1",
		.handle = "net/c/eth0",
		.boot = "b",
		.block = "10-0-0-0-26",
		.deletes = 1,
		.at = { .id = 41,
			.attach = 1,
			.ipam_only = 1,
			.network = "net",
			.container = "c",
			.ifname = "eth0",
			.pod_namespace = "ns",
			.pod_name = "p",
			.pod_uid = "u",
			.netns = "/run/netns/x",
			.hostif = "fl0123456789",
			.mac = { { 2, 3, 4, 5, 6, 7 } },
			.ifindex = 3,
			.since = 1700000000001,
			.addrs = { addrs, 2 },
			.ports = { ports, 2 } },
	};
	struct journal_entry out;
	struct journal_end end = { 0 };
	struct journal_reader r;
	struct buf b = { .v = NULL };
	struct arena a;

	addr_parse("10.0.0.1", &addrs[0]);
	addr_parse("fd00::1", &addrs[1]);
	addr_parse("192.0.2.1", &ports[1].hostIP);
	addr_parse("10.0.0.9", &in.addr);
	prefix_parse("10.0.0.0/26", &in.cidr);
	assert_int_equal(journal_put(&b, &end, &in, NULL), 0);
	assert_int_equal(end.seq, 1);
	arena_init(&a, 0);
	journal_open(&r, b.v, b.n);
	assert_int_equal(journal_next(&r, &out, &a, NULL), 1);
	assert_int_equal(out.op, JOURNAL_TAKE);
	assert_int_equal(out.time, 1700000000123);
	assert_int_equal(out.id, 9);
	assert_int_equal(out.ifindex, 77);
	assert_int_equal(out.rev, 12345);
	assert_string_equal(out.node, "n1");
	assert_string_equal(out.handle, "net/c/eth0");
	assert_string_equal(out.block, "10-0-0-0-26");
	assert_true(prefix_eq(&out.cidr, &in.cidr));
	assert_int_equal(out.deletes, 1);
	assert_int_equal(out.at.id, 41);
	assert_int_equal(out.at.attach, 1);
	assert_int_equal(out.at.ipam_only, 1);
	assert_string_equal(out.at.pod_uid, "u");
	assert_string_equal(out.at.netns, "/run/netns/x");
	assert_string_equal(out.at.hostif, "fl0123456789");
	assert_memory_equal(&out.at.mac, &in.at.mac, 6);
	assert_int_equal(out.at.since, 1700000000001);
	assert_int_equal(out.at.ports.n, 2);
	assert_true(port_mapping_eq(&out.at.ports.v[0], &ports[0]));
	assert_true(port_mapping_eq(&out.at.ports.v[1], &ports[1]));
	assert_int_equal(out.at.addrs.n, 2);
	assert_true(addr_eq(&out.at.addrs.v[1], &addrs[1]));
	assert_int_equal(journal_next(&r, &out, &a, NULL), 0);
	arena_fini(&a);
	buf_fini(&b);
}

/* A stop at any byte: all whole entries are read, the rest is no error. */
static void cut_anywhere(void **state)
{
	size_t at[8], good, whole;
	struct buf b = { .v = NULL };
	int rc;

	write_entries(&b, 8, 0, at);
	for (size_t n = 0; n <= b.n; n++) {
		for (whole = 0; whole < 8 && (whole == 7 ? b.n : at[whole + 1]) <= n; whole++)
			;
		assert_int_equal(count(b.v, n, &rc, &good, NULL), whole);
		assert_int_equal(rc, 0);
		assert_true(good <= n);
		if (whole)
			assert_int_equal(good, whole == 8 ? b.n : at[whole]);
	}
	buf_fini(&b);
}

/* The same byte turned over: harmless where no later entry calls it durable, else damage. */
static void flip_anywhere(void **state)
{
	size_t at[8], good;
	struct buf b = { .v = NULL };
	int rc;

	write_entries(&b, 8, 5, at);
	for (size_t i = at[0]; i < b.n; i++) {
		struct err e = { .code = 0 };
		size_t k;

		for (k = 0; k < 7 && at[k + 1] <= i; k++)
			;
		b.v[i] ^= 0x10;
		assert_int_equal(count(b.v, b.n, &rc, &good, &e), k);
		assert_int_equal(rc, k < 5 ? -EBADMSG : 0);
		if (rc)
			assert_non_null(strstr(e.text, "damaged at byte"));
		else
			assert_int_equal(good, at[k]);
		b.v[i] ^= 0x10;
	}
	buf_fini(&b);
}

static void whole_entry_missing(void **state)
{
	size_t at[8], good;
	struct buf b = { .v = NULL };
	struct err e;
	int rc;

	write_entries(&b, 8, 5, at);
	memmove(b.v + at[2], b.v + at[3], b.n - at[3]);
	assert_int_equal(count(b.v, b.n - (at[3] - at[2]), &rc, &good, &e), 2);
	assert_int_equal(rc, -EBADMSG);
	buf_fini(&b);
	write_entries(&b, 8, 5, at); /* now in the part that may tear */
	memmove(b.v + at[6], b.v + at[7], b.n - at[7]);
	assert_int_equal(count(b.v, b.n - (at[7] - at[6]), &rc, &good, &e), 6);
	assert_int_equal(rc, 0);
	buf_fini(&b);
}

static void strangers(void **state)
{
	char zeros[100] = { 0 };
	size_t good;
	struct err e;
	int rc;

	assert_int_equal(count(zeros, sizeof(zeros), &rc, &good, &e), 0);
	assert_int_equal(rc, 0); /* a first write of which only the length came */
	assert_int_equal(count("hello, world", 12, &rc, &good, &e), 0);
	assert_int_equal(rc, -EBADMSG);
	assert_non_null(strstr(e.text, "does not begin as"));
	assert_int_equal(count("FLIPAM2\nxxxx", 12, &rc, &good, &e), 0);
	assert_int_equal(rc, -EBADMSG);
}

static void from_the_future(void **state)
{
	struct journal_entry j = { .op = JOURNAL_OPS };
	struct journal_end end = { 0 };
	struct buf b = { .v = NULL };
	size_t good;
	struct err e;
	int rc;

	assert_int_equal(journal_put(&b, &end, &j, NULL), 0);
	assert_int_equal(count(b.v, b.n, &rc, &good, &e), 0);
	assert_int_equal(rc, -EBADMSG);
	assert_non_null(strstr(e.text, "not known to this version"));
	buf_fini(&b);
}

/* The first entry is number 1. Another one is a tail of nothing, or says itself that more was there. */
static void first_is_number_one(void **state)
{
	static const uint64_t before[] = { 1, UINT64_MAX - 1, UINT64_MAX };
	struct journal_entry j = { .op = JOURNAL_BOOT };
	size_t good;
	int rc;

	for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++)
		for (int lost = 0; lost < 2; lost++) {
			struct journal_end end = { .seq = before[i], .durable = lost ? 1 : 0 };
			struct buf b = { .v = NULL };

			buf_puts(&b, JOURNAL_MAGIC);
			assert_int_equal(journal_put(&b, &end, &j, NULL), 0);
			assert_int_equal(count(b.v, b.n, &rc, &good, NULL), 0);
			assert_int_equal(rc, lost ? -EBADMSG : 0);
			buf_fini(&b);
		}
}

static void too_long(void **state)
{
	struct journal_entry j = { .op = JOURNAL_TAKE };
	struct journal_end end = { 0 };
	struct buf b = { .v = NULL };
	static char text[JOURNAL_MAX + 1];
	struct err e;

	memset(text, 'x', JOURNAL_MAX);
	j.at.container = text;
	assert_int_equal(journal_put(&b, &end, &j, &e), -EMSGSIZE);
	assert_int_equal(b.n, 0);
	assert_int_equal(end.seq, 0);
	buf_fini(&b);
}

/* As many ports as a container may have fit, beside names as long as they get. */
static void most_ports(void **state)
{
	static struct port_mapping v[CNI_PORTS_MAX];
	static char text[4096];
	struct journal_entry j = { .op = JOURNAL_TAKE, .at.ports = { v, CNI_PORTS_MAX } };
	struct journal_end end = { 0 };
	struct buf b = { .v = NULL };

	memset(text, 'x', sizeof(text) - 1);
	j.at.netns = text;
	for (unsigned i = 0; i < CNI_PORTS_MAX; i++) {
		v[i] = (struct port_mapping){ 65535, 65535, PROTO_SCTP, { 0 } };
		addr_parse("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", &v[i].hostIP);
	}
	assert_int_equal(journal_put(&b, &end, &j, NULL), 0);
	buf_fini(&b);
}

/* ---- the book over the journal */

static struct ipam_attachment attachment(const char *container, struct ipaddr *a, const char *addr)
{
	addr_parse(addr, a);
	return (struct ipam_attachment){ .network = "n",
					 .container = container,
					 .ifname = "eth0",
					 .netns = "/run/netns/x",
					 .hostif = "fl1",
					 .addrs = { a, 1 } };
}

static void snapshot_is_the_same(void **state)
{
	struct ipam *s = ipam_new("n1", IPAM_COOLDOWN_MS), *t = ipam_new("n1", IPAM_COOLDOWN_MS);
	struct ipam *other = ipam_new("n2", IPAM_COOLDOWN_MS);
	struct buf j = { .v = NULL }, snap = { .v = NULL };
	struct ipam_turn turn = { .now = 1000, .journal = &j };
	struct port_mapping port = { 80, 8080, PROTO_TCP, { 0 } };
	const struct ipam_attachment *x;
	struct ipam_attachment at;
	struct ipaddr a;
	struct err e;
	size_t good, n;

	assert_int_equal(ipam_boot(s, "boot-7", &turn, &e), 0);
	at = attachment("c1", &a, "10.0.0.1");
	assert_int_equal(ipam_adopt(s, &at, &turn, &e), 0);
	assert_int_equal(ipam_adopt(s, &at, &turn, &e), -EEXIST);
	assert_int_equal(ipam_dying(s, 1, 33, &turn, &e), 0);
	assert_int_equal(ipam_dying(s, 1, 33, &turn, &e), -ENOENT);
	at = attachment("c2", &a, "10.0.0.1"); /* its address is free again */
	at.ports.v = &port;
	at.ports.n = 1;
	assert_int_equal(ipam_adopt(s, &at, &turn, &e), 0);
	at = attachment("c3", &a, "10.0.0.3");
	assert_int_equal(ipam_adopt(s, &at, &turn, &e), 0);
	assert_int_equal(ipam_release(s, 3, &turn, &e), 0);
	assert_int_equal(ipam_release(s, 3, &turn, &e), -ENOENT);
	assert_int_equal(ipam_snapshot(s, 2000, &snap, &e), 0);
	assert_int_equal(ipam_replay(t, snap.v, snap.n, &good, &e), 0);
	assert_int_equal(good, snap.n);
	assert_string_equal(ipam_boot_id(t), "boot-7");
	ipam_all(t, &n);
	assert_int_equal(n, 2);
	x = ipam_by_id(t, 1);
	assert_int_equal(x->state, IPAM_DYING);
	assert_int_equal(x->ifindex, 33);
	assert_string_equal(x->hostif, "fl1");
	addr_parse("10.0.0.1", &a);
	assert_string_equal(ipam_find_addr(t, &a)->container, "c2");
	x = ipam_find(t, "n", "c2", "eth0");
	assert_string_equal(x->netns, "/run/netns/x");
	assert_int_equal(x->ports.n, 1);
	assert_true(port_mapping_eq(&x->ports.v[0], &port));
	assert_null(ipam_find(t, "n", "c1", "eth0"));
	/* Ids go on: 3 was used. */
	j.n = 0;
	at = attachment("c4", &a, "10.0.0.4");
	assert_int_equal(ipam_adopt(t, &at, &turn, &e), 0);
	assert_int_equal(ipam_find_addr(t, &a)->id, 4);
	/* Another node's journal is refused. */
	assert_int_equal(ipam_replay(other, snap.v, snap.n, &good, &e), -EBADMSG);
	assert_non_null(strstr(e.text, "belongs to node n1, this is n2"));
	ipam_free(s);
	ipam_free(t);
	ipam_free(other);
	buf_fini(&j);
	buf_fini(&snap);
}

static void given_twice_is_refused(void **state)
{
	struct ipam *s = ipam_new("n1", IPAM_COOLDOWN_MS);
	struct journal_entry take = { .op = JOURNAL_TAKE };
	struct journal_end end = { 0 };
	struct buf j = { .v = NULL };
	struct ipaddr a;
	struct err e;
	size_t good;

	take.at = attachment("c1", &a, "10.0.0.1");
	take.at.id = 1;
	assert_int_equal(journal_put(&j, &end, &take, &e), 0);
	take.at.id = 2;
	take.at.container = "c2";
	assert_int_equal(journal_put(&j, &end, &take, &e), 0);
	assert_int_equal(ipam_replay(s, j.v, j.n, &good, &e), -EBADMSG);
	assert_non_null(strstr(e.text, "entry 2"));
	assert_non_null(strstr(e.text, "10.0.0.1"));
	ipam_free(s);
	buf_fini(&j);
}

static void undo(void **state)
{
	struct ipam *s = ipam_new("n1", IPAM_COOLDOWN_MS);
	struct buf j = { .v = NULL };
	struct ipam_turn turn = { .now = 1000, .journal = &j };
	struct ipam_attachment at;
	struct ipaddr a;
	struct err e;

	at = attachment("c1", &a, "10.0.0.1");
	assert_int_equal(ipam_adopt(s, &at, &turn, &e), 0);
	ipam_undo(s, 1);
	assert_null(ipam_find_addr(s, &a));
	assert_null(ipam_find(s, "n", "c1", "eth0"));
	assert_int_equal(ipam_adopt(s, &at, &turn, &e), 0);
	assert_int_equal(ipam_find_addr(s, &a)->id, 2);
	ipam_free(s);
	buf_fini(&j);
}

static void compaction(void **state)
{
	struct ipam *s = ipam_new("n1", 0);
	struct buf j = { .v = NULL }, snap = { .v = NULL };
	struct ipam_turn turn = { .now = 1000, .journal = &j };
	struct ipam_attachment at;
	struct ipaddr a;
	struct err e;

	for (uint64_t i = 1; i < 2000; i++) {
		at = attachment("c1", &a, "10.0.0.1");
		assert_int_equal(ipam_adopt(s, &at, &turn, &e), 0);
		assert_int_equal(ipam_release(s, i, &turn, &e), 0);
	}
	assert_false(ipam_compact_due(s, 4096));
	assert_true(ipam_compact_due(s, j.n));
	assert_int_equal(ipam_snapshot(s, 2000, &snap, &e), 0);
	assert_true(snap.n < 1024);
	ipam_free(s);
	buf_fini(&j);
	buf_fini(&snap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_fields),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(flip_anywhere),
		cmocka_unit_test(whole_entry_missing),
		cmocka_unit_test(strangers),
		cmocka_unit_test(from_the_future),
		cmocka_unit_test(first_is_number_one),
		cmocka_unit_test(too_long),
		cmocka_unit_test(most_ports),
		cmocka_unit_test(snapshot_is_the_same),
		cmocka_unit_test(given_twice_is_refused),
		cmocka_unit_test(undo),
		cmocka_unit_test(compaction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
