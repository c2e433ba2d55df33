// SPDX-License-Identifier: Apache-2.0
/* model: tables, records, the object set, selectors and kernel objects, judged against bytes
 * and orders written by hand. */
#include "model/cluster.h"
#include "model/kernel.h"
#include "model/record.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

static struct ipaddr ip(const char *s)
{
	struct ipaddr a;

	assert_int_equal(addr_parse(s, &a), 0);
	return a;
}

static struct prefix pfx(const char *s)
{
	struct prefix p;

	assert_int_equal(prefix_parse(s, &p), 0);
	return p;
}

/* ---- tables */

static void check_schema(const struct schema *s, unsigned depth)
{
	assert_true(depth < 16);
	for (uint32_t i = 0; i < s->n; i++) {
		const struct field *f = &s->fields[i];
		size_t size = f->flags & FF_LIST ? sizeof(struct list_any) : field_size(f);

		assert_non_null(f->key);
		assert_true(f->id > 0);
		assert_true(f->offset + size <= s->size);
		if (f->type == F_ENUM)
			assert_non_null(f->names);
		for (uint32_t k = 0; k < i; k++) {
			assert_int_not_equal(f->id, s->fields[k].id);
			assert_string_not_equal(f->key, s->fields[k].key);
			assert_true(f->offset != s->fields[k].offset);
		}
		if (f->type == F_OBJ || f->type == F_PTR)
			check_schema(f->sub, depth + 1);
	}
}

static void test_tables(void **state)
{
	for (unsigned t = 0; t < REC_TYPE_COUNT + 2; t++)
		if (record_schema(t))
			check_schema(record_schema(t), 0);
	for (unsigned k = 0; k < KIND_COUNT + 2; k++) {
		const struct kind *kind = kind_by_id(k);

		if (!kind)
			continue;
		assert_int_equal(kind->id, k);
		assert_ptr_equal(kind_by_name(kind->api_version, kind->name), kind);
		assert_ptr_equal(kind_by_word(kind->plural), kind);
		assert_string_equal(kind->schema->fields[0].key, "metadata");
		assert_int_equal(kind->schema->fields[0].offset, 0);
		check_schema(kind->schema, 0);
	}
	assert_ptr_equal(kind_by_word("po"), kind_by_id(KIND_POD));
	assert_ptr_equal(kind_by_word("Pod"), kind_by_id(KIND_POD));
	assert_ptr_equal(kind_by_word("ippool"), kind_by_id(KIND_IPPOOL));
	assert_null(kind_by_word("p"));
	assert_null(kind_by_name("v1", "IPPool"));
	assert_null(kind_by_id(KIND_NONE));
	/* The field docs of our own kinds become reference pages: each must have one. */
	for (unsigned k = KIND_IPPOOL; k < KIND_COUNT; k++) {
		const struct schema *s = kind_by_id(k)->schema->fields[1].sub;

		if (k == KIND_SECRET)
			continue;
		for (uint32_t i = 0; i < s->n; i++)
			assert_non_null(s->fields[i].doc);
	}
}

static void test_strmap(void **state)
{
	struct arena a;
	struct strmap m = { .n = 0 };

	arena_init(&a, 0);
	assert_int_equal(strmap_put(&m, &a, "m", "1"), 0);
	assert_int_equal(strmap_put(&m, &a, "a", "2"), 0);
	assert_int_equal(strmap_put(&m, &a, "z", NULL), 0);
	assert_int_equal(strmap_put(&m, &a, "m", "3"), 0);
	assert_int_equal(m.n, 3);
	assert_string_equal(m.v[0].key, "a");
	assert_string_equal(m.v[2].key, "z");
	assert_string_equal(strmap_get(&m, "m"), "3");
	assert_string_equal(strmap_get(&m, "z"), "");
	assert_null(strmap_get(&m, "b"));
	arena_fini(&a);
}

/* ---- records */

static void test_record_bytes(void **state)
{
	/* id 1 = 7 (zigzag 14), id 2 "tcp", id 3 10.0.0.1, id 4 = -1 (zigzag 1) */
	static const uint8_t want[] = { 0,   0,   0,   19, 0, 1,  0, 1, 2, 14, 5, 3,
					't', 'c', 'p', 7,  4, 10, 0, 0, 1, 8,  1 };
	struct rec_bind bind = { .id = 7, .proto = "tcp", .addr = ip("10.0.0.1"), .port = -1 };
	struct rec_bind got = { .id = 0 };
	struct buf out = { .v = NULL };
	struct arena a;
	struct wire body;
	unsigned type;

	arena_init(&a, 0);
	assert_int_equal(record_put(&out, REC_BIND, record_schema(REC_BIND), &bind, NULL), 0);
	assert_int_equal(out.n, sizeof(want));
	assert_memory_equal(out.v, want, sizeof(want));
	assert_int_equal(record_next(want, sizeof(want), &type, &body, NULL), sizeof(want));
	assert_int_equal(type, REC_BIND);
	assert_int_equal(record_decode(&body, record_schema(type), &got, &a, NULL), 0);
	assert_int_equal(got.id, 7);
	assert_string_equal(got.proto, "tcp");
	assert_true(addr_eq(&got.addr, &bind.addr));
	assert_int_equal(got.port, -1);
	assert_null(got.path);
	for (size_t n = 0; n < sizeof(want); n++)
		assert_int_equal(record_next(want, n, &type, &body, NULL), 0);
	buf_fini(&out);
	arena_fini(&a);
}

/* `body` there and back: the frame decodes to bytes that encode the same. */
static void read_back(unsigned type, const void *body, void *got, struct arena *a)
{
	struct buf first = { .v = NULL }, again = { .v = NULL };
	const struct schema *s = record_schema(type);
	struct wire in;
	unsigned t;

	assert_int_equal(record_put(&first, type, s, body, NULL), 0);
	assert_int_equal(record_next((const uint8_t *)first.v, first.n, &t, &in, NULL), first.n);
	assert_int_equal(t, type);
	assert_int_equal(record_decode(&in, s, got, a, NULL), 0);
	assert_int_equal(record_put(&again, type, s, got, NULL), 0);
	assert_int_equal(first.n, again.n);
	assert_memory_equal(first.v, again.v, first.n);
	buf_fini(&first);
	buf_fini(&again);
}

static void test_record_routes(void **state)
{
	struct ipaddr via[] = { ip("fd00::2"), ip("fd00::3") };
	struct rec_route route = { .prefix = pfx("fd10:1::/64"),
				   .via = { via, 2 },
				   .peer = "tor",
				   .why = "preferred: shorter AS path" };
	struct rec_route gone = { .prefix = pfx("0.0.0.0/0"), .withdrawn = 1 },
			 got = { .peer = "x" };
	struct rec_origin origin = { pfx("10.96.0.7/32"), "Service", "shop", "web", 0 }, of = { 0 };
	struct arena a;

	arena_init(&a, 0);
	read_back(REC_ROUTE, &route, &got, &a);
	assert_true(prefix_eq(&got.prefix, &route.prefix));
	assert_int_equal(got.via.n, 2);
	assert_true(addr_eq(&got.via.v[1], &via[1]));
	assert_string_equal(got.peer, "tor");
	assert_string_equal(got.why, "preferred: shorter AS path");
	memset(&got, 0, sizeof(got));
	read_back(REC_ROUTE, &gone, &got, &a);
	assert_true(prefix_eq(&got.prefix, &gone.prefix)); /* the default route is one, too */
	assert_true(got.withdrawn && !got.via.n && !got.peer);
	read_back(REC_ORIGIN, &origin, &of, &a);
	assert_true(prefix_eq(&of.prefix, &origin.prefix));
	assert_string_equal(of.ns, "shop");
	assert_string_equal(of.name, "web");
	arena_fini(&a);
}

static void test_record_unknown_fields(void **state)
{
	/* Ids 30 (varint) and 31 (bytes) are of a newer writer. */
	static const uint8_t bytes[] = {
		60, 200, 1, 63, 3, 9, 9, 9, 3, 5, 'a', 'g', 'e', 'n', 't'
	};
	struct wire w = wire_from(bytes, sizeof(bytes));
	struct rec_join join = { .role = NULL };
	struct arena a;

	arena_init(&a, 0);
	assert_int_equal(record_decode(&w, record_schema(REC_JOIN), &join, &a, NULL), 0);
	assert_string_equal(join.role, "agent");
	arena_fini(&a);
}

static void expect_bad(unsigned type, const void *bytes, size_t n, const char *text)
{
	union {
		struct rec_bind bind;
		struct rec_hello hello;
		struct rec_write write;
		struct rec_ctl_request ctl;
		struct rec_route route;
	} out = { 0 };
	struct wire w = wire_from(bytes, n);
	struct err e = { 0 };
	struct arena a;

	arena_init(&a, 0);
	assert_true(record_decode(&w, record_schema(type), &out, &a, &e) < 0);
	assert_string_equal(e.text, text);
	arena_fini(&a);
}

static void test_record_bad(void **state)
{
	unsigned type;
	struct wire w;

	expect_bad(REC_BIND, "\5\4tcp", 5, "record Bind: proto: is cut short");
	expect_bad(REC_BIND, "\5\3t\0p", 5, "record Bind: proto: has a zero byte inside");
	expect_bad(REC_BIND, "\7\3abc", 5, "record Bind: addr: has no address' length");
	expect_bad(REC_BIND, "\4\3abc", 5, "record Bind: proto: has another type");
	expect_bad(REC_HELLO, "\5\3\2\1\2", 5, "record Hello: kinds: [1]: is cut short");
	expect_bad(REC_HELLO, "\5\5\377\377\377\377\17", 7, "record Hello: kinds: is cut short");
	expect_bad(REC_WRITE, "\4\5", 2, "record Write: op: has the unknown value 5");
	expect_bad(REC_CTL_REQUEST, "\5\11\2\1b\1x\1a\1x", 11,
		   "record ControlRequest: args: keys are not in order");
	expect_bad(REC_ROUTE, "\3\5\12\0\0\0\41", 7,
		   "record Route: prefix: has the prefix length 33");
	expect_bad(REC_ROUTE, "\5\4\1\2\12\0", 6, "record Route: via: [0]: has no address' length");
	assert_int_equal(record_next((const uint8_t *)"\377\0\0\0", 4, &type, &w, NULL), -EBADMSG);
	assert_int_equal(record_next((const uint8_t *)"\0\0\0\2", 4, &type, &w, NULL), -EBADMSG);
	assert_int_equal(record_next((const uint8_t *)"\0\0\0\4\0\1\0\0", 8, &type, &w, NULL),
			 -EBADMSG);
}

static void test_record_refuses_unsorted(void **state)
{
	struct strmap_entry v[] = { { "b", "" }, { "a", "" } };
	struct rec_ctl_request r = { .verb = "x", .args = { v, 2 } };
	struct buf out = { .v = NULL };
	struct err e = { 0 };

	buf_puts(&out, "kept");
	assert_int_equal(record_put(&out, REC_CTL_REQUEST, record_schema(REC_CTL_REQUEST), &r, &e),
			 -EINVAL);
	assert_string_equal(e.text, "record ControlRequest: args: keys are not in order at \"a\"");
	assert_int_equal(out.n, 4);
	buf_fini(&out);
}

static struct object *through_put(const struct kind *k, const void *body, int64_t rev)
{
	struct buf out = { .v = NULL };
	struct rec_put put = { .kind = k->id, .rev = rev };
	struct err e = { 0 };
	struct object *o;

	assert_int_equal(record_body(&out, k->schema, body, &e), 0);
	put.body = (struct blob){ (const uint8_t *)out.v, (uint32_t)out.n };
	o = record_object(&put, &e);
	if (!o)
		fail_msg("%s", e.text);
	buf_fini(&out);
	return o;
}

static void test_record_pool(void **state)
{
	const char *values[] = { "a", "b" };
	struct label_requirement need = { "zone", SEL_IN, { values, 2 } };
	struct label_selector sel = { .matchExpressions = { &need, 1 } };
	struct ippool pool = { .meta.name = "six" };
	struct object *o;
	const struct ippool *got;

	pool.spec.cidr = pfx("fd00:10::/56");
	pool.spec.mode = POOL_DIRECT;
	pool.spec.natOutgoing = 1;
	pool.spec.blockSize = 122;
	pool.spec.nodeSelector = &sel;
	o = through_put(kind_by_id(KIND_IPPOOL), &pool, 12);
	got = o->body;
	assert_int_equal(o->rev, 12);
	assert_string_equal(o->meta->name, "six");
	assert_true(prefix_eq(&got->spec.cidr, &pool.spec.cidr));
	assert_int_equal(got->spec.mode, POOL_DIRECT);
	assert_int_equal(got->spec.natOutgoing, 1);
	assert_int_equal(got->spec.blockSize, 122);
	assert_int_equal(got->spec.nodeSelector->matchExpressions.n, 1);
	assert_string_equal(got->spec.nodeSelector->matchExpressions.v[0].values.v[1], "b");
	object_free(o);
	/* {} is not the same as absent: it selects everything. */
	pool.spec.nodeSelector = &(struct label_selector){ .matchLabels.n = 0 };
	o = through_put(kind_by_id(KIND_IPPOOL), &pool, 1);
	assert_non_null(((const struct ippool *)o->body)->spec.nodeSelector);
	object_free(o);
	pool.spec.nodeSelector = NULL;
	o = through_put(kind_by_id(KIND_IPPOOL), &pool, 1);
	assert_null(((const struct ippool *)o->body)->spec.nodeSelector);
	object_free(o);
}

static void test_record_pod(void **state)
{
	const char *args[] = { "", "-x" };
	struct container_port ports[] = { { .containerPort = 53, .protocol = PROTO_UDP } };
	struct container c = { .name = "c", .args = { args, 2 }, .ports = { ports, 1 } };
	struct pod_ip ips[] = { { ip("10.1.0.1") }, { ip("fd00::1") } };
	struct strmap_entry labels[] = { { "app", "" }, { "tier", "db" } };
	struct pod pod = { .meta = { .name = "p", .namespace = "ns", .labels = { labels, 2 } } };
	const struct pod *got;
	struct object *o;

	pod.spec.containers.v = &c;
	pod.spec.containers.n = 1;
	pod.status.podIPs.v = ips;
	pod.status.podIPs.n = 2;
	pod.status.phase = POD_RUNNING;
	o = through_put(kind_by_id(KIND_POD), &pod, 3);
	got = o->body;
	assert_string_equal(got->spec.containers.v[0].args.v[0], "");
	assert_string_equal(got->spec.containers.v[0].args.v[1], "-x");
	assert_null(got->spec.containers.v[0].command.v);
	assert_int_equal(got->spec.containers.v[0].ports.v[0].containerPort, 53);
	assert_true(addr_eq(&got->status.podIPs.v[1].ip, &ips[1].ip));
	assert_string_equal(strmap_get(&got->meta.labels, "tier"), "db");
	assert_int_equal(got->status.phase, POD_RUNNING);
	object_free(o);
}

static void test_record_object_names(void **state)
{
	struct rec_put put = { .kind = KIND_POD, .body = { (const uint8_t *)"\3\3\3\1p", 5 } };
	struct err e = { 0 };

	assert_null(record_object(&put, &e)); /* a pod without namespace */
	assert_string_equal(e.text, "Pod p: wrong or missing namespace");
	put.kind = 999;
	assert_null(record_object(&put, NULL));
	put.kind = -1;
	assert_null(record_object(&put, NULL));
	put.kind = KIND_NODE;
	object_free(record_object(&put, &e));
	put.body.n = 0;
	assert_null(record_object(&put, NULL));
}

/* ---- cluster */

static struct object *pod_named(const char *ns, const char *name)
{
	struct object *o = object_new(kind_by_id(KIND_POD));

	assert_non_null(o);
	o->meta->name = arena_strdup(&o->arena, name);
	o->meta->namespace = arena_strdup(&o->arena, ns);
	return o;
}

static void expect_order(const struct cluster *c, const char *want)
{
	struct buf got = { .v = NULL };
	size_t n;
	const struct object *const *v = cluster_all(c, KIND_POD, &n);

	buf_puts(&got, "");
	for (size_t i = 0; i < n; i++)
		buf_printf(&got, "%s%s/%s", i ? " " : "", v[i]->meta->namespace, v[i]->meta->name);
	assert_string_equal(got.v ? got.v : "", want);
	buf_fini(&got);
}

static void test_cluster(void **state)
{
	struct cluster *c = cluster_new();
	struct object *again = pod_named("a", "x");

	expect_order(c, "");
	assert_null(cluster_put(c, pod_named("b", "1")));
	assert_null(cluster_put(c, pod_named("a-b", "1")));
	assert_null(cluster_put(c, pod_named("a", "x")));
	assert_null(cluster_put(c, pod_named("a", "a.b")));
	assert_null(cluster_put(c, pod_named("a", "a-b")));
	expect_order(c, "a/a-b a/a.b a/x a-b/1 b/1");
	object_free(cluster_put(c, again));
	assert_ptr_equal(cluster_get(c, KIND_POD, "a", "x"), again);
	object_free(cluster_take(c, KIND_POD, "a", "a.b"));
	assert_null(cluster_put(c, pod_named("a", "b")));
	assert_null(cluster_put(c, pod_named("a", "a.b")));
	object_free(cluster_take(c, KIND_POD, "a", "b"));
	expect_order(c, "a/a-b a/a.b a/x a-b/1 b/1");
	assert_null(cluster_take(c, KIND_POD, "a", "b"));
	assert_null(cluster_get(c, KIND_POD, NULL, "x"));
	assert_null(cluster_get(c, KIND_NODE, "a", "x"));
	object_free(cluster_take(c, KIND_POD, "a", "x"));
	assert_null(cluster_put(c, pod_named("a", "x")));
	expect_order(c, "a/a-b a/a.b a/x a-b/1 b/1");
	cluster_free(c);
}

static void test_cluster_many(void **state)
{
	struct cluster *c = cluster_new();
	char name[32];
	size_t n;
	const struct object *const *v;

	for (unsigned i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "p%04u", (i * 2657) % 5000);
		assert_null(cluster_put(c, pod_named("ns", name)));
		if (i % 700 == 0)
			cluster_all(c, KIND_POD, &n);
	}
	for (unsigned i = 0; i < 5000; i += 2) {
		snprintf(name, sizeof(name), "p%04u", i);
		object_free(cluster_take(c, KIND_POD, "ns", name));
	}
	v = cluster_all(c, KIND_POD, &n);
	assert_int_equal(n, 2500);
	for (size_t i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "p%04zu", 2 * i + 1);
		assert_string_equal(v[i]->meta->name, name);
	}
	cluster_free(c);
}

/* ---- selectors */

static void test_selector(void **state)
{
	const char *db[] = { "db", "cache" };
	struct strmap_entry have[] = { { "app", "shop" }, { "tier", "db" } };
	struct strmap_entry want[] = { { "app", "shop" } };
	struct strmap labels = { have, 2 }, none = { NULL, 0 };
	struct label_requirement r = { "tier", SEL_IN, { db, 2 } };
	struct label_selector s = { .matchLabels = { want, 1 } };

	assert_false(selector_match(NULL, &labels));
	assert_true(selector_match(&(struct label_selector){ .matchLabels.n = 0 }, &none));
	assert_true(selector_match(&s, &labels));
	assert_false(selector_match(&s, &none));
	s = (struct label_selector){ .matchExpressions = { &r, 1 } };
	assert_true(selector_match(&s, &labels));
	assert_false(selector_match(&s, &none));
	r.op = SEL_NOT_IN;
	assert_false(selector_match(&s, &labels));
	assert_true(selector_match(&s, &none));
	r.op = SEL_EXISTS;
	assert_true(selector_match(&s, &labels));
	assert_false(selector_match(&s, &none));
	r.op = SEL_DOES_NOT_EXIST;
	assert_false(selector_match(&s, &labels));
	assert_true(selector_match(&s, &none));
	r.op = SEL_NONE;
	assert_false(selector_match(&s, &labels));
}

/* Equal selectors have one text, whatever the order and spelling; others do not. */
static void test_selector_text(void **state)
{
	const char *ba[] = { "b", "a", "b" }, *web[] = { "web" }, *none[] = { "" };
	struct strmap_entry labels[] = { { "app", "web" }, { "zone", "" } };
	struct label_requirement asked[] = {
		{ "tier", SEL_IN, { ba, 3 } },      { "old", SEL_DOES_NOT_EXIST, { NULL, 0 } },
		{ "x/y", SEL_EXISTS, { NULL, 0 } }, { "tier", SEL_NOT_IN, { ba, 2 } },
		{ "app", SEL_IN, { web, 1 } },      { "zone", SEL_IN, { none, 1 } },
	};
	struct label_selector mixed = { .matchLabels = { labels, 2 },
					.matchExpressions = { asked, 6 } };
	struct label_selector spelled = { .matchExpressions = { asked, 6 } };
	struct label_selector empty = { .matchLabels = { NULL, 0 } };
	struct label_requirement swapped = asked[0];
	struct arena a;

	arena_init(&a, 0);
	assert_string_equal(selector_text(&mixed, &a),
			    "!old,app=web,tier in (a,b),tier notin (a,b),x/y,zone=");
	asked[0] = asked[3];
	asked[3] = swapped;
	assert_string_equal(selector_text(&spelled, &a),
			    "!old,app=web,tier in (a,b),tier notin (a,b),x/y,zone=");
	assert_string_equal(selector_text(&empty, &a), "");
	arena_fini(&a);
	/* No memory is NULL, not half a text. */
	arena_init(&a, 1);
	assert_null(selector_text(&mixed, &a));
	arena_fini(&a);
}

/* ---- kernel objects */

static void test_kobj(void **state)
{
	struct kobj route = { .type = KOBJ_ROUTE,
			      .route = { .dst = pfx("10.244.1.0/26"),
					 .oif = "vxlan0",
					 .via = ip("10.244.1.0"),
					 .onlink = 1,
					 .protocol = RTPROT_FAIRLEAD } };
	struct kobj link = { .type = KOBJ_LINK,
			     .link = { .name = "vxlan0", .kind = KLINK_VXLAN, .vni = 4096 } };
	struct khop hops[] = { { "eth0", ip("10.0.0.2"), 0 }, { "eth1", ip("10.0.0.2"), 0 } };
	struct khop same[] = { hops[0], hops[1] };
	struct kobj other = route;
	char text[128];

	assert_string_equal(kobj_str(&route, text, sizeof(text)),
			    "route 10.244.1.0/26 via 10.244.1.0 dev vxlan0 onlink");
	assert_string_equal(kobj_str(&route, text, 8), "route 1");
	assert_true(kobj_cmp(&link, &route) < 0);
	assert_int_equal(kobj_cmp(&route, &other), 0);
	assert_true(kobj_same(&route, &other));
	other.route.via = ip("10.244.1.1");
	assert_int_equal(kobj_cmp(&route, &other), 0);
	assert_false(kobj_same(&route, &other));
	kroute_set_hops(&other.route, hops, 2);
	assert_string_equal(
		kobj_str(&other, text, sizeof(text)),
		"route 10.244.1.0/26 nexthop via 10.0.0.2 dev eth0 nexthop via 10.0.0.2 dev eth1");
	assert_false(kobj_same(&other, &route));
	kroute_set_hops(&route.route, same, 2);
	assert_true(kobj_same(&other, &route));
	same[1].onlink = 1;
	assert_false(kobj_same(&other, &route));
	same[1].onlink = 0;
	same[1].via = ip("10.0.0.3");
	assert_false(kobj_same(&other, &route));
	kroute_set_hops(&route.route, same, 1);
	assert_false(kobj_same(&other, &route));
	other = route;
	other.route.metric = 1;
	assert_true(kobj_cmp(&route, &other) < 0);
	other = link;
	other.link.mtu = 1450; /* not asked for */
	assert_true(kobj_same(&link, &other));
	assert_false(kobj_same(&other, &link));
	other.link.vni = 1;
	assert_false(kobj_same(&link, &other));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_strmap),
		cmocka_unit_test(test_record_bytes),
		cmocka_unit_test(test_record_routes),
		cmocka_unit_test(test_record_unknown_fields),
		cmocka_unit_test(test_record_bad),
		cmocka_unit_test(test_record_refuses_unsorted),
		cmocka_unit_test(test_record_pool),
		cmocka_unit_test(test_record_pod),
		cmocka_unit_test(test_record_object_names),
		cmocka_unit_test(test_cluster),
		cmocka_unit_test(test_cluster_many),
		cmocka_unit_test(test_selector),
		cmocka_unit_test(test_selector_text),
		cmocka_unit_test(test_kobj),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
