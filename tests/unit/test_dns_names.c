// SPDX-License-Identifier: Apache-2.0
/* daemon/dns_names on a loop of its own: complete when all was told and written, a piece per turn, and into a larger table when one is full. */
#include "daemon/dns_names.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MANY 4000

struct room {
	struct ev_loop *loop;
	struct config cfg;
	_Alignas(64) uint8_t readers[DNS_READERS_SIZE];
	struct dns_table table[2];
	void *region[2];
	unsigned tables, completed, asked;
	int refuse;
	struct dns_names *names;
	struct object *objects[MANY];
	char name[MANY][16], ip[MANY][16];
};

static void make_table(struct room *r, size_t size)
{
	unsigned i = r->tables++;

	r->region[i] = aligned_alloc(64, size);
	assert_non_null(r->region[i]);
	memset(r->region[i], 0, size);
	assert_int_equal(
		dns_table_init(&r->table[i], r->region[i], size, r->readers, NULL, NULL, NULL), 0);
}

static void on_complete(void *arg)
{
	((struct room *)arg)->completed++;
}

static int on_full(void *arg, struct err *e)
{
	struct room *r = arg;

	r->asked++;
	if (r->refuse)
		return err_set(e, r->refuse, "no");
	assert_int_equal(r->tables, 1);
	make_table(r, 8UL << 20);
	return dns_names_move(r->names, &r->table[1], e);
}

static struct room *open_room(size_t size)
{
	static const struct dns_names_ops ops = { .complete = on_complete, .full = on_full };
	static const char conf[] = "node n1\nstore dir:/nowhere\nroles dns\n";
	struct room *r = aligned_alloc(64, (sizeof(*r) + 63) / 64 * 64);
	struct err e;

	assert_non_null(r);
	memset(r, 0, sizeof(*r));
	assert_int_equal(config_parse(&r->cfg, "test", conf, sizeof(conf) - 1, &e), 0);
	assert_int_equal(config_finish(&r->cfg, "n1", &e), 0);
	r->loop = ev_loop_new(0);
	make_table(r, size);
	r->names = dns_names_new(r->loop, &r->cfg, &r->table[0], &ops, r, &e);
	assert_non_null(r->names);
	return r;
}

static void close_room(struct room *r)
{
	dns_names_free(r->names);
	for (unsigned i = 0; i < r->tables; i++) {
		dns_table_fini(&r->table[i]);
		free(r->region[i]);
	}
	for (unsigned i = 0; i < MANY; i++)
		object_free(r->objects[i]);
	ev_loop_destroy(r->loop);
	config_fini(&r->cfg);
	free(r);
}

/* Service number i, with an address of its own. */
static void tell(struct room *r, unsigned i)
{
	struct object *old = r->objects[i], *o = object_new(kind_by_id(KIND_SERVICE));
	struct service *s = o->body;

	snprintf(r->name[i], sizeof(r->name[i]), "s%u", i);
	snprintf(r->ip[i], sizeof(r->ip[i]), "10.%u.%u.%u", old ? 4u : 3u, i / 250, i % 250);
	o->meta->namespace = "shop";
	o->meta->name = r->name[i];
	s->spec.clusterIP = r->ip[i];
	r->objects[i] = o;
	dns_names_changed(r->names, old, o);
	object_free(old);
}

static void tell_namespace(struct room *r, const char *name)
{
	struct object *o = object_new(kind_by_id(KIND_NAMESPACE));

	o->meta->name = name;
	dns_names_changed(r->names, NULL, o);
	object_free(o);
}

static void turns(struct room *r, unsigned most)
{
	for (unsigned n = r->completed; most && n == r->completed; most--)
		ev_run(r->loop, EVRUN_ONCE);
}

static void completes(void **state)
{
	struct room *r = open_room(8UL << 20);
	uint64_t word;
	unsigned n;

	(void)state;
	for (unsigned i = 0; i < MANY; i++)
		tell(r, i);
	ev_run(r->loop, EVRUN_ONCE); /* 2 ms later a piece is written */
	n = r->table[0].count;
	assert_in_range(n, 1, 1 + 2 * MANY - 1);
	assert_int_equal(r->completed, 0);
	dns_names_synced(r->names);
	turns(r, 10000);
	assert_int_equal(r->completed, 1);
	assert_int_equal(r->table[0].count, 1 + 2 * MANY);
	/* A change of one is there, and nothing is complete once more. */
	word = r->table[0].held;
	tell(r, 7);
	ev_run(r->loop, EVRUN_ONCE);
	assert_int_equal(r->table[0].held, word);
	assert_null(dns_table_get(&r->table[0], "\x80\x0a\x03\x00\x07", 5, &(size_t){ 0 }));
	assert_non_null(dns_table_get(&r->table[0], "\x80\x0a\x04\x00\x07", 5, &(size_t){ 0 }));
	dns_names_synced(r->names);
	ev_run(r->loop, EVRUN_NOWAIT);
	assert_int_equal(r->completed, 1);
	assert_int_equal(r->asked, 0);
	close_room(r);
}

static void moves_when_full(void **state)
{
	struct room *r = open_room(DNS_TABLE_MIN);

	(void)state;
	for (unsigned i = 0; i < 50; i++)
		tell(r, i);
	dns_names_synced(r->names);
	turns(r, 10000);
	assert_int_equal(r->completed, 1);
	for (unsigned i = 50; i < MANY; i++)
		tell(r, i);
	turns(r, 10000);
	assert_int_equal(r->completed, 2);
	assert_int_equal(r->asked, 1);
	assert_int_equal(r->table[1].count, 1 + 2 * MANY);
	close_room(r);
}

/* What is written at once may be what does not fit. */
static void moves_for_a_namespace(void **state)
{
	static char names[4000][16];
	struct room *r = open_room(DNS_TABLE_MIN);

	(void)state;
	for (unsigned i = 0; i < 4000; i++) {
		snprintf(names[i], sizeof(names[i]), "n%u", i);
		tell_namespace(r, names[i]);
	}
	assert_int_equal(r->asked, 1);
	assert_int_equal(r->table[1].count, 4000);
	dns_names_synced(r->names);
	turns(r, 10);
	assert_int_equal(r->completed, 1);
	close_room(r);
}

static void no_room(void **state)
{
	struct room *r = open_room(DNS_TABLE_MIN);
	unsigned count;

	(void)state;
	r->refuse = -ENOMEM;
	for (unsigned i = 0; i < MANY; i++)
		tell(r, i);
	dns_names_synced(r->names);
	for (unsigned i = 0; i < 200 && !r->asked; i++)
		ev_run(r->loop, EVRUN_ONCE);
	assert_int_equal(r->asked, 1);
	assert_int_equal(r->completed, 0);
	/* It waits, whatever comes; what is there stays. */
	count = r->table[0].count;
	dns_names_synced(r->names);
	for (unsigned i = 0; i < 20; i++)
		ev_run(r->loop, EVRUN_NOWAIT);
	assert_int_equal(r->asked, 1);
	assert_int_equal(r->table[0].count, count);
	assert_true(count > 100);
	close_room(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(completes),
		cmocka_unit_test(moves_when_full),
		cmocka_unit_test(moves_for_a_namespace),
		cmocka_unit_test(no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
