// SPDX-License-Identifier: Apache-2.0
/* The folder store: writes and their rules, the watch, many writers at once, files put there
 * by hand, and a writer that is killed at every single system call. */
#include "store/store.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* What a watch or list told, as the test sees it. */
struct seen {
	struct cluster *c;
	unsigned puts, dels, bads, syncs;
	uint64_t revision, last_rev;
	bool backwards; /* an object's revision did not rise */
	char bad[1024];
};

struct box {
	char root[64], url[80];
	struct store *s;
	struct seen seen;
};

static void on_put(void *arg, struct object *o, const json_t *json)
{
	struct seen *w = arg;
	struct object *old = cluster_put(w->c, o);

	w->puts++;
	w->last_rev = o->rev;
	if (old && old->rev >= o->rev)
		w->backwards = true;
	object_free(old);
}

static void on_del(void *arg, const struct kind *k, const char *ns, const char *name, uint64_t rev)
{
	struct seen *w = arg;
	struct object *old = cluster_take(w->c, k->id, ns, name);

	w->dels++;
	if (old && rev <= old->rev)
		w->backwards = true;
	object_free(old);
}

static void on_sync(void *arg, uint64_t revision)
{
	struct seen *w = arg;

	w->syncs++;
	if (revision < w->revision)
		w->backwards = true;
	w->revision = revision;
}

static void on_bad(void *arg, const struct err *e)
{
	struct seen *w = arg;

	w->bads++;
	snprintf(w->bad, sizeof(w->bad), "%s", e->text);
}

static const struct store_events events = { on_put, on_del, on_sync, on_bad };

static void open_store(struct box *b)
{
	struct err e = { 0 };

	if (store_open(b->url, STORE_CREATE, &b->s, &e))
		fail_msg("%s", e.text);
}

static void close_store(struct box *b)
{
	store_close(b->s);
	b->s = NULL;
}

static int setup(void **state)
{
	struct box *b = calloc(1, sizeof(*b));

	/* In memory where there is such a place: nobody cuts the power here, and a thousand syncs
	 * of a busy disk take minutes. */
	snprintf(b->root, sizeof(b->root), "%s/fairlead-store-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(b->root));
	snprintf(b->url, sizeof(b->url), "dir:%s", b->root);
	b->seen.c = cluster_new();
	open_store(b);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct box *b = *state;
	char cmd[128];

	close_store(b);
	cluster_free(b->seen.c);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", b->root);
	assert_int_equal(system(cmd), 0); /* NOLINT(cert-env33-c): a path of ours */
	free(b);
	return 0;
}

static json_t *json(const char *text)
{
	json_error_t e;
	json_t *j = json_loads(text, 0, &e);

	if (!j)
		fail_msg("%s", e.text);
	return j;
}

#define POD(name, extra)                                                                           \
	"{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"name\": \"" name             \
	"\", \"namespace\": \"ns\"}" extra "}"
#define POOL(name, cidr)                                                                           \
	"{\"apiVersion\": \"fairlead.io/v1\", \"kind\": \"IPPool\", \"metadata\": {\"name\": "     \
	"\"" name "\"}, \"spec\": {\"cidr\": \"" cidr "\"}}"

static int put(struct box *b, enum store_op op, const char *text, uint64_t expect, uint64_t *rev,
	       struct err *e)
{
	json_t *j = json(text);
	int rc = store_put_json(b->s, op, j, &expect, e);

	json_decref(j);
	if (!rc && rev)
		*rev = expect;
	return rc;
}

static const struct kind *pod_kind(void)
{
	return kind_by_id(KIND_POD);
}

static int get_pod(struct store *s, const char *ns, const char *name, struct object **o, json_t **j,
		   struct err *e)
{
	return store_get(s, &(struct store_key){ pod_kind(), ns, name }, o, j, e);
}

static int delete_pod(struct store *s, const char *name, uint64_t expect, uint64_t *rev,
		      struct err *e)
{
	int rc = store_delete(s, &(struct store_key){ pod_kind(), "ns", name }, &expect, e);

	if (!rc && rev)
		*rev = expect;
	return rc;
}

static void watch(struct box *b)
{
	assert_int_equal(store_watch(b->s, &events, &b->seen, NULL), 0);
	assert_int_equal(store_process(b->s, NULL), 0);
}

/* Processes until `done` or two seconds. */
static void process_until(struct box *b, bool (*done)(const struct seen *, uint64_t), uint64_t arg)
{
	struct timespec start, now;
	struct err e = { 0 };

	clock_gettime(CLOCK_MONOTONIC, &start);
	for (;;) {
		struct pollfd p = { .fd = store_fd(b->s), .events = POLLIN };

		if (store_process(b->s, &e))
			fail_msg("%s", e.text);
		if (done(&b->seen, arg))
			return;
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec - start.tv_sec > 2)
			fail_msg("nothing came: puts %u dels %u bads %u revision %llu",
				 b->seen.puts, b->seen.dels, b->seen.bads,
				 (unsigned long long)b->seen.revision);
		poll(&p, 1, 100);
	}
}

static bool at_revision(const struct seen *w, uint64_t rev)
{
	return w->revision >= rev;
}

static bool has_bads(const struct seen *w, uint64_t n)
{
	return w->bads >= n;
}

static bool has_puts(const struct seen *w, uint64_t n)
{
	return w->puts >= n;
}

static bool has_dels(const struct seen *w, uint64_t n)
{
	return w->dels >= n;
}

static void write_file(struct box *b, const char *path, const char *text)
{
	char full[256];
	FILE *f;

	snprintf(full, sizeof(full), "%s/%s", b->root, path);
	f = fopen(full, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* ---- writes */

static void test_open(void **state)
{
	struct box *b = *state;
	struct store *s;
	struct err e = { 0 };

	assert_int_equal(store_open("etcd:x", 0, &s, &e), -ENOTSUP);
	assert_int_equal(store_open("/tmp", 0, &s, &e), -ENOTSUP);
	assert_int_equal(store_open("dir:relative", 0, &s, &e), -EINVAL);
	assert_int_equal(store_open("dir:/nonexistent-fairlead", 0, &s, &e), -ENOENT);
	assert_string_equal(e.text, "store dir:/nonexistent-fairlead: No such file or directory");
	assert_int_equal(get_pod(b->s, "ns", "p", NULL, NULL, NULL), -ENOENT);
	assert_int_equal(get_pod(b->s, "..", "p", NULL, NULL, NULL), -EINVAL);
	assert_int_equal(get_pod(b->s, "ns", "../../x", NULL, NULL, NULL), -EINVAL);
}

static void test_create_update_delete(void **state)
{
	struct box *b = *state;
	struct err e = { 0 };
	struct object *o;
	uint64_t rev = 0, gone;
	json_t *j;
	const char *uid;

	assert_int_equal(put(b, STORE_OP_UPDATE, POD("p", ""), 0, &rev, &e), -ENOENT);
	assert_int_equal(put(b, STORE_OP_CREATE, POD("p", ", \"x\": 1"), 0, &rev, &e), 0);
	assert_int_equal(rev, 1);
	assert_int_equal(put(b, STORE_OP_CREATE, POD("p", ""), 0, &rev, &e), -EEXIST);
	assert_int_equal(get_pod(b->s, "ns", "p", &o, &j, &e), 0);
	assert_int_equal(o->rev, 1);
	uid = o->meta->uid;
	assert_int_equal(strlen(uid), 36);
	assert_int_equal(json_integer_value(json_object_get(j, "x")), 1);
	json_decref(j);
	assert_int_equal(put(b, STORE_OP_UPDATE, POD("p", ", \"x\": 2"), 7, &rev, &e), -ESTALE);
	assert_string_equal(e.text, "Pod ns/p: is at revision 1, not 7");
	assert_int_equal(put(b, STORE_OP_UPDATE, POD("p", ", \"x\": 2"), 1, &rev, &e), 0);
	assert_int_equal(rev, 2);
	/* The same again: nothing is written. */
	assert_int_equal(put(b, STORE_OP_UPDATE, POD("p", ", \"x\": 2"), 0, &rev, &e), 0);
	assert_int_equal(rev, 2);
	assert_int_equal(get_pod(b->s, "ns", "p", NULL, &j, &e), 0);
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(j, "metadata"), "uid")), uid);
	json_decref(j);
	object_free(o);
	assert_int_equal(delete_pod(b->s, "p", 1, &gone, &e), -ESTALE);
	assert_int_equal(delete_pod(b->s, "p", 2, &gone, &e), 0);
	assert_int_equal(gone, 3);
	assert_int_equal(delete_pod(b->s, "p", 0, &gone, &e), -ENOENT);
	assert_string_equal(e.text, "Pod ns/p: does not exist");
	assert_int_equal(put(b, STORE_OP_CREATE, POD("p", ""), 0, &rev, &e), 0);
	assert_int_equal(rev, 4);
}

static void test_rules(void **state)
{
	struct box *b = *state;
	struct err e = { 0 };
	uint64_t rev = 0;

	assert_int_equal(put(b, STORE_OP_APPLY, POOL("a", "10.0.0.0/16"), 0, &rev, &e), 0);
	assert_int_equal(put(b, STORE_OP_APPLY, POOL("b", "10.0.128.0/17"), 0, &rev, &e), -EINVAL);
	assert_string_equal(e.text, "IPPool b: spec.cidr: overlaps with IPPool a (10.0.0.0/16)");
	assert_int_equal(put(b, STORE_OP_APPLY, POOL("b", "10.1.0.0/16"), 0, &rev, &e), 0);
	/* A pool may change itself. */
	assert_int_equal(put(b, STORE_OP_APPLY, POOL("a", "10.0.0.0/15"), 0, &rev, &e), -EINVAL);
	assert_int_equal(put(b, STORE_OP_APPLY, POOL("a", "10.0.0.0/17"), 0, &rev, &e), 0);
	assert_int_equal(rev, 3);
}

static void test_apply_keeps_daemons_fields(void **state)
{
	struct box *b = *state;
	struct object *o;
	const struct pod *p;
	struct pod change;
	uint64_t rev;

	assert_int_equal(put(b, STORE_OP_APPLY, POD("p", ", \"spec\": {\"hostname\": \"a\"}"), 0,
			     &rev, NULL),
			 0);
	assert_int_equal(get_pod(b->s, "ns", "p", &o, NULL, NULL), 0);
	change = *(struct pod *)o->body;
	change.spec.nodeName = "n1";
	assert_int_equal(store_put(b->s, STORE_OP_UPDATE, o->kind, &change, &rev, NULL), 0);
	change.status.phase = POD_RUNNING;
	change.spec.nodeName = "ignored";
	assert_int_equal(store_put(b->s, STORE_OP_STATUS, o->kind, &change, &rev, NULL), 0);
	assert_int_equal(rev, 3);
	object_free(o);
	/* The person's manifest again, with another hostname and an address. */
	assert_int_equal(put(b, STORE_OP_APPLY,
			     POD("p", ", \"spec\": {\"hostname\": \"b\"}, "
				      "\"status\": {\"podIP\": \"10.0.0.9\"}"),
			     0, &rev, NULL),
			 0);
	assert_int_equal(get_pod(b->s, "ns", "p", &o, NULL, NULL), 0);
	p = o->body;
	assert_string_equal(p->spec.nodeName, "n1");
	assert_string_equal(p->spec.hostname, "b");
	assert_int_equal(p->status.phase, POD_RUNNING);
	assert_int_equal(p->status.podIP.family, 2);
	object_free(o);
}

/* Applies Service ns/s with this spec, and returns it as it is stored. */
static struct object *apply_service(struct box *b, const char *spec)
{
	char text[1024];
	struct object *o;
	struct err e = { .text = "" };

	snprintf(text, sizeof(text),
		 "{\"apiVersion\": \"v1\", \"kind\": \"Service\", \"metadata\": {\"name\": \"s\", "
		 "\"namespace\": \"ns\"}, \"spec\": {%s}}",
		 spec);
	if (put(b, STORE_OP_APPLY, text, 0, NULL, &e))
		fail_msg("%s", e.text);
	assert_int_equal(store_get(b->s, &(struct store_key){ kind_by_id(KIND_SERVICE), "ns", "s" },
				   &o, NULL, NULL),
			 0);
	return o;
}

static void expect_ports(const struct service *s, int64_t a, int64_t b, int64_t health)
{
	assert_int_equal(s->spec.ports.n, 2);
	assert_int_equal(s->spec.ports.v[0].nodePort, a);
	assert_int_equal(s->spec.ports.v[1].nodePort, b);
	assert_int_equal(s->spec.healthCheckNodePort, health);
}

#define SVC_PORTS(one, two)                                                                        \
	"\"ports\": [{\"name\": \"a\", \"port\": 53, \"protocol\": \"UDP\"" one                    \
	"}, {\"name\": \"b\", \"port\": 53" two "}]"

static void test_apply_keeps_what_a_service_was_given(void **state)
{
	struct box *b = *state;
	struct object *o;
	const struct service *s;

	o = apply_service(b, "\"type\": \"LoadBalancer\", \"externalTrafficPolicy\": \"Local\", "
			     "\"healthCheckNodePort\": 30009, \"clusterIP\": \"10.96.0.9\", "
			     "\"clusterIPs\": [\"10.96.0.9\", \"fd00::9\"], "
			     "\"ipFamilies\": [\"IPv4\", \"IPv6\"], "
			     "\"ipFamilyPolicy\": \"RequireDualStack\", " SVC_PORTS(
				     ", \"nodePort\": 30001", ", \"nodePort\": 30002"));
	object_free(o);
	o = apply_service(
		b, "\"type\": \"LoadBalancer\", \"externalTrafficPolicy\": \"Local\", " SVC_PORTS(
			   "", ", \"protocol\": \"TCP\""));
	s = o->body;
	expect_ports(s, 30001, 30002, 30009);
	assert_string_equal(s->spec.clusterIP, "10.96.0.9");
	assert_int_equal(s->spec.clusterIPs.n, 2);
	object_free(o);
	/* What the manifest says counts, and takes what another port had. */
	o = apply_service(b, "\"type\": \"NodePort\", " SVC_PORTS(", \"nodePort\": 30005", ""));
	expect_ports(o->body, 30005, 30002, 0);
	object_free(o);
	o = apply_service(b, "\"type\": \"NodePort\", \"ports\": [{\"name\": \"b\", \"port\": "
			     "53}, {\"name\": \"c\", \"port\": 54, \"nodePort\": 30002}]");
	expect_ports(o->body, 0, 30002, 0);
	object_free(o);
	/* One family is enough now; the first one stays. */
	o = apply_service(b, "\"ipFamilyPolicy\": \"SingleStack\", " SVC_PORTS("", ""));
	s = o->body;
	expect_ports(s, 0, 0, 0);
	assert_int_equal(s->spec.clusterIPs.n, 1);
	assert_string_equal(s->spec.clusterIPs.v[0], "10.96.0.9");
	assert_int_equal(s->spec.ipFamilies.n, 1);
	assert_int_equal(s->spec.ipFamilies.v[0], IP_FAMILY_4);
	object_free(o);
	/* Another type, and back: nothing of before. */
	o = apply_service(b, "\"type\": \"ExternalName\", \"externalName\": \"example.org\"");
	object_free(o);
	o = apply_service(b, SVC_PORTS("", ""));
	s = o->body;
	assert_null(s->spec.clusterIP);
	assert_int_equal(s->spec.clusterIPs.n + s->spec.ipFamilies.n + s->spec.ipFamilyPolicy, 0);
	object_free(o);
}

static void test_record_writes(void **state)
{
	struct box *b = *state;
	struct pod p = { .meta = { .name = "p", .namespace = "ns" } };
	struct rec_write w = { .id = 9, .op = WRITE_CREATE, .kind = KIND_POD };
	struct rec_written answer;
	struct buf body = { .v = NULL };
	struct arena a;

	arena_init(&a, 0);
	assert_int_equal(record_body(&body, pod_kind()->schema, &p, NULL), 0);
	w.body = (struct blob){ (const uint8_t *)body.v, (uint32_t)body.n };
	store_write(b->s, &w, &answer, &a);
	assert_int_equal(answer.id, 9);
	assert_int_equal(answer.code, 0);
	assert_int_equal(answer.rev, 1);
	store_write(b->s, &w, &answer, &a);
	assert_int_equal(answer.code, -EEXIST);
	assert_string_equal(answer.text, "Pod ns/p: exists already");
	w.op = WRITE_UPDATE;
	w.expect = 5;
	store_write(b->s, &w, &answer, &a);
	assert_int_equal(answer.code, -ESTALE);
	w.op = WRITE_DELETE;
	w.ns = "ns";
	w.name = "p";
	store_write(b->s, &w, &answer, &a);
	assert_int_equal(answer.code, -ESTALE);
	w.expect = 1;
	store_write(b->s, &w, &answer, &a);
	assert_int_equal(answer.code, 0);
	assert_int_equal(answer.rev, 2);
	w.kind = 12345;
	store_write(b->s, &w, &answer, &a);
	assert_int_equal(answer.code, -EINVAL);
	buf_fini(&body);
	arena_fini(&a);
}

/* ---- watch */

static void test_watch(void **state)
{
	struct box *b = *state;
	struct box other = { .s = NULL };
	uint64_t rev;

	put(b, STORE_OP_CREATE, POD("a", ""), 0, &rev, NULL);
	watch(b);
	assert_int_equal(b->seen.puts, 1);
	assert_int_equal(b->seen.syncs, 1);
	assert_int_equal(b->seen.revision, 1);
	/* Another handle, new folders. */
	memcpy(other.url, b->url, sizeof(other.url));
	open_store(&other);
	put(&other, STORE_OP_CREATE, POOL("default", "10.0.0.0/16"), 0, &rev, NULL);
	put(&other, STORE_OP_CREATE, POD("b", ""), 0, &rev, NULL);
	process_until(b, at_revision, rev);
	assert_int_equal(b->seen.puts, 3);
	assert_non_null(cluster_get(b->seen.c, KIND_IPPOOL, NULL, "default"));
	delete_pod(other.s, "a", 0, &rev, NULL);
	process_until(b, at_revision, rev);
	assert_null(cluster_get(b->seen.c, KIND_POD, "ns", "a"));
	assert_int_equal(b->seen.dels, 1);
	assert_int_equal(b->seen.puts, 3);
	assert_int_equal(b->seen.bads, 0);
	assert_false(b->seen.backwards);
	close_store(&other);
}

static void test_derived_kinds_do_not_count(void **state)
{
	struct box *b = *state;
	struct node_state st = { .meta.name = "n" };
	const struct kind *k = kind_by_id(KIND_NODESTATE);
	uint64_t rev;

	put(b, STORE_OP_CREATE, POD("a", ""), 0, &rev, NULL);
	watch(b);
	assert_int_equal(store_put(b->s, STORE_OP_CREATE, k, &st, &rev, NULL), 0);
	assert_int_equal(rev, 2);
	st.status.observedRevision = 1;
	assert_int_equal(store_put(b->s, STORE_OP_STATUS, k, &st, &rev, NULL), 0);
	process_until(b, has_puts, 2); /* two writes may be seen as one */
	assert_int_equal(b->seen.revision, 1);
	put(b, STORE_OP_CREATE, POD("b", ""), 0, &rev, NULL);
	assert_int_equal(rev, 4);
	process_until(b, at_revision, 4);
}

static void test_by_hand(void **state)
{
	struct box *b = *state;
	const struct object *o;
	char path[256];
	uint64_t rev;
	struct stat st;

	put(b, STORE_OP_CREATE, POD("a", ""), 0, &rev, NULL);
	watch(b);
	/* A new file gets a revision. */
	write_file(b, "Pod/ns/b.json", POD("b", ", \"mine\": true"));
	process_until(b, at_revision, 2);
	o = cluster_get(b->seen.c, KIND_POD, "ns", "b");
	assert_int_equal(o->rev, 2);
	assert_int_equal(b->seen.puts, 2);
	/* An edit of a file that has one, too. */
	write_file(b, "Pod/ns/a.json",
		   "{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"name\": \"a\", "
		   "\"namespace\": \"ns\", \"resourceVersion\": \"1\"}, "
		   "\"spec\": {\"nodeName\": \"n\"}}");
	process_until(b, at_revision, 3);
	assert_int_equal(cluster_get(b->seen.c, KIND_POD, "ns", "a")->rev, 3);
	/* A broken one is reported once, and the object stays what it was. */
	write_file(b, "Pod/ns/a.json", "{\"apiVersion\": \"v1\", \"kind\": ");
	process_until(b, has_bads, 1);
	assert_int_equal(cluster_get(b->seen.c, KIND_POD, "ns", "a")->rev, 3);
	snprintf(path, sizeof(path), "%s/Pod/ns/a.json:1: ", b->root);
	assert_memory_equal(b->seen.bad, path, strlen(path));
	write_file(b, "Pod/ns/c.json", POD("d", ""));
	process_until(b, has_bads, 2);
	snprintf(path, sizeof(path),
		 "%s/Pod/ns/c.json: kind, namespace or name inside differ from the path", b->root);
	assert_string_equal(b->seen.bad, path);
	/* Mended. */
	write_file(b, "Pod/ns/a.json", POD("a", ", \"spec\": {\"nodeName\": \"m\"}"));
	process_until(b, at_revision, 4);
	assert_int_equal(b->seen.bads, 2);
	/* Removed; and a whole folder moved away. */
	snprintf(path, sizeof(path), "%s/Pod/ns/a.json", b->root);
	assert_int_equal(unlink(path), 0);
	process_until(b, has_dels, 1);
	snprintf(path, sizeof(path), "mv %s/Pod/ns %s/elsewhere", b->root, b->root);
	assert_int_equal(system(path), 0); /* NOLINT(cert-env33-c): paths of ours */
	process_until(b, has_dels, 3);     /* b, and c that was never good */
	assert_null(cluster_get(b->seen.c, KIND_POD, "ns", "b"));
	/* Things that are not ours are left alone. */
	snprintf(path, sizeof(path), "%s/elsewhere/b.json", b->root);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(b->seen.puts, 4);
}

static void test_restart_sees_what_vanished(void **state)
{
	struct box *b = *state;
	uint64_t rev;

	put(b, STORE_OP_CREATE, POD("a", ""), 0, &rev, NULL);
	put(b, STORE_OP_CREATE, POD("b", ""), 0, &rev, NULL);
	delete_pod(b->s, "b", 0, &rev, NULL);
	close_store(b);
	open_store(b);
	watch(b);
	assert_int_equal(b->seen.puts, 1);
	assert_int_equal(b->seen.revision, 3); /* not 1: the deletion counts */
}

static void test_lost_events(void **state)
{
	struct box *b = *state;
	char limit[32] = "";
	struct err e = { 0 };
	unsigned long n;
	uint64_t rev = 0;
	FILE *f = fopen("/proc/sys/fs/inotify/max_queued_events", "r");

	assert_non_null(f);
	assert_non_null(fgets(limit, sizeof(limit), f));
	fclose(f);
	n = strtoul(limit, NULL, 10);
	if (n > 20000)
		skip();
	put(b, STORE_OP_CREATE, POD("first", ""), 0, &rev, &e);
	watch(b);
	/* More than the queue holds, then one that goes and one that comes. */
	for (unsigned long i = 0; i < n + 10; i++)
		write_file(b, i & 1 ? "Pod/ns/.x" : "Pod/ns/.y", "");
	delete_pod(b->s, "first", 0, &rev, &e);
	put(b, STORE_OP_CREATE, POD("last", ""), 0, &rev, &e);
	process_until(b, at_revision, rev);
	assert_int_equal(b->seen.dels, 1);
	assert_non_null(cluster_get(b->seen.c, KIND_POD, "ns", "last"));
	assert_null(cluster_get(b->seen.c, KIND_POD, "ns", "first"));
}

static void test_root_removed(void **state)
{
	struct box *b = *state;
	struct err e = { 0 };
	char cmd[128];

	watch(b);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", b->root);
	assert_int_equal(system(cmd), 0); /* NOLINT(cert-env33-c): a path of ours */
	assert_int_equal(store_process(b->s, &e), -ENOENT);
}

/* ---- many writers */

#define WRITERS 6
#define ROUNDS  40

/* Each adds ROUNDS to one shared counter by compare-and-swap, and makes objects of its own. */
static void writer(const struct box *b, unsigned id)
{
	struct store *s;
	char text[512];

	if (store_open(b->url, 0, &s, NULL))
		_exit(2);
	for (unsigned i = 0; i < ROUNDS;) {
		struct object *o;
		struct ippool *p;
		uint64_t rev;
		int rc;

		if (store_get(s, &(struct store_key){ kind_by_id(KIND_IPPOOL), NULL, "counter" },
			      &o, NULL, NULL))
			_exit(3);
		p = o->body;
		p->spec.maxBlocksPerNode++;
		rev = o->rev;
		rc = store_put(s, STORE_OP_UPDATE, o->kind, p, &rev, NULL);
		object_free(o);
		if (rc && rc != -ESTALE)
			_exit(4);
		if (rc)
			continue;
		i++;
		snprintf(text, sizeof(text), POD("w%u-%u", ""), id, i);
		{
			json_t *j = json_loads(text, 0, NULL);

			if (!j || store_put_json(s, STORE_OP_CREATE, j, NULL, NULL))
				_exit(5);
			json_decref(j);
		}
	}
	store_close(s);
	_exit(0);
}

static void test_many_writers(void **state)
{
	struct box *b = *state;
	const struct ippool *p;
	uint64_t rev;

	put(b, STORE_OP_CREATE, POOL("counter", "10.0.0.0/16"), 0, &rev, NULL);
	watch(b);
	for (unsigned i = 0; i < WRITERS; i++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (!pid)
			writer(b, i);
	}
	for (unsigned i = 0; i < WRITERS; i++) {
		int status;

		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	/* Every write took one revision, none was lost and none was given twice. */
	process_until(b, at_revision, 1 + 2 * WRITERS * ROUNDS);
	assert_int_equal(b->seen.revision, 1 + 2 * WRITERS * ROUNDS);
	p = cluster_get(b->seen.c, KIND_IPPOOL, NULL, "counter")->body;
	assert_int_equal(p->spec.maxBlocksPerNode, WRITERS * ROUNDS);
	assert_false(b->seen.backwards);
	assert_int_equal(b->seen.bads, 0);
}

/* ---- groups, locks, links */

static void test_group(void **state)
{
	struct box *b = *state;
	uint64_t first, second, third, after;
	struct err e = { 0 };

	put(b, STORE_OP_CREATE, POD("a", ""), 0, NULL, &e);
	watch(b);
	assert_int_equal(store_begin(b->s, 5, &e), 0);
	assert_int_equal(put(b, STORE_OP_CREATE, POD("b", ""), 0, &first, &e), 0);
	assert_int_equal(put(b, STORE_OP_CREATE, POD("b", ""), 0, NULL, &e), -EEXIST);
	assert_int_equal(put(b, STORE_OP_CREATE, POD("c", ""), 0, &second, &e), 0);
	third = second;
	assert_int_equal(delete_pod(b->s, "c", second, &third, &e), 0);
	assert_int_equal(store_end(b->s, &e), 0);
	assert_true(first < second && second < third);
	assert_int_equal(put(b, STORE_OP_CREATE, POD("d", ""), 0, &after, &e), 0);
	assert_true(third < after);
	process_until(b, at_revision, after);
	assert_non_null(cluster_get(b->seen.c, KIND_POD, "ns", "b"));
	assert_null(cluster_get(b->seen.c, KIND_POD, "ns", "c"));
	assert_false(b->seen.backwards);
}

/* Somebody has the lock and does not let go. */
static void test_locked(void **state)
{
	struct box *b = *state;
	struct store *s;
	struct err e = { 0 };
	char path[256], pid[32];
	int fd;

	put(b, STORE_OP_CREATE, POD("a", ""), 0, NULL, &e);
	watch(b);
	process_until(b, at_revision, 1);
	assert_int_equal(store_open(b->url, STORE_NOWAIT, &s, &e), 0);
	snprintf(path, sizeof(path), "%s/.lock", b->root);
	snprintf(pid, sizeof(pid), "by pid %d", (int)getpid());
	fd = file_lock(path, 0, &e);
	assert_true(fd >= 0);
	assert_int_equal(delete_pod(s, "a", 0, NULL, &e), -EAGAIN);
	assert_non_null(strstr(e.text, pid));
	assert_non_null(strstr(e.text, b->root));
	assert_int_equal(store_begin(s, 2, &e), -EAGAIN);
	/* A person's file waits for its revision, what else there is does not wait for it. */
	write_file(b, "Pod/ns/b.json", POD("b", ""));
	assert_int_equal(store_process(b->s, &e), 1);
	assert_null(cluster_get(b->seen.c, KIND_POD, "ns", "b"));
	close(fd);
	assert_int_equal(store_process(b->s, &e), 0);
	assert_non_null(cluster_get(b->seen.c, KIND_POD, "ns", "b"));
	assert_int_equal(delete_pod(s, "a", 0, NULL, &e), 0);
	store_close(s);
}

/* A writer without pause, as of a large manifest, lets in who only asks now and then. */
static void test_lock_is_shared(void **state)
{
	struct box *b = *state;
	struct store *s;
	struct err e = { 0 };
	int rc = -EAGAIN, status;
	pid_t pid;

	put(b, STORE_OP_CREATE, POOL("counter", "10.0.0.0/16"), 0, NULL, &e);
	assert_int_equal(store_open(b->url, STORE_NOWAIT, &s, &e), 0);
	pid = fork();
	if (!pid)
		for (int i = 0;; i ^= 1)
			put(b, STORE_OP_APPLY,
			    i ? POD("p", "") : POD("p", ", \"spec\": {\"nodeName\": \"n\"}"), 0,
			    NULL, NULL);
	for (int i = 0; i < 200 && rc == -EAGAIN; i++) {
		poll(NULL, 0, 5);
		rc = store_begin(s, 1, &e);
		/* Perhaps it had not begun yet. */
		if (!rc && i < 10) {
			store_end(s, &e);
			rc = -EAGAIN;
		}
	}
	assert_int_equal(rc, 0);
	store_end(s, &e);
	store_close(s);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

/* Who owns the store's folders must not lead root elsewhere by them. */
static void test_links(void **state)
{
	static const struct store_events nothing = { 0 };
	struct box *b = *state;
	struct object *o;
	struct stat st;
	struct err e = { 0 };
	char from[256], to[128];

	put(b, STORE_OP_CREATE, POD("a", ""), 0, NULL, &e);
	/* A namespace's folder. */
	snprintf(to, sizeof(to), "%s/elsewhere", b->root);
	snprintf(from, sizeof(from), "%s/Pod/ns", b->root);
	assert_int_equal(rename(from, to), 0);
	assert_int_equal(symlink(to, from), 0);
	assert_int_equal(put(b, STORE_OP_APPLY, POD("b", ""), 0, NULL, &e), -ELOOP);
	assert_non_null(strstr(e.text, "Pod/ns: a store follows no symbolic links"));
	assert_int_equal(delete_pod(b->s, "a", 0, NULL, &e), -ELOOP);
	assert_int_equal(get_pod(b->s, "ns", "a", &o, NULL, &e), -ELOOP);
	assert_int_equal(store_list(b->s, KIND_POD, NULL, &nothing, NULL, &e), -ELOOP);
	assert_int_equal(store_list(b->s, KIND_POD, "ns", &nothing, NULL, &e), -ELOOP);
	snprintf(from, sizeof(from), "%s/b.json", to);
	assert_int_equal(stat(from, &st), -1);
	snprintf(from, sizeof(from), "%s/a.json", to);
	assert_int_equal(stat(from, &st), 0);
	/* A kind's. */
	snprintf(from, sizeof(from), "%s/Node", b->root);
	assert_int_equal(symlink(to, from), 0);
	assert_int_equal(store_list(b->s, KIND_NODE, NULL, &nothing, NULL, &e), -ELOOP);
	/* A pipe in an object's place is not waited for. */
	snprintf(from, sizeof(from), "%s/Pod/ns", b->root);
	assert_int_equal(unlink(from), 0);
	assert_int_equal(rename(to, from), 0);
	snprintf(from, sizeof(from), "%s/Pod/ns/p.json", b->root);
	assert_int_equal(mkfifo(from, 0600), 0);
	assert_int_equal(get_pod(b->s, "ns", "p", &o, NULL, &e), -EINVAL);
	assert_non_null(strstr(e.text, "no regular file"));
}

/* ---- a writer that dies */

/* Runs `work` in a child and kills it at its n-th system call from there on. Returns false
 * when it came to its end before. */
static bool die_at(const struct box *b, unsigned n, void (*work)(struct store *))
{
	unsigned calls = 0;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		struct store *s;

		if (store_open(b->url, 0, &s, NULL) || ptrace(PTRACE_TRACEME, 0, 0, 0))
			_exit(2);
		raise(SIGSTOP);
		work(s);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSTOPPED(status));
	ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
	for (;;) {
		ptrace(PTRACE_SYSCALL, pid, 0, 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (WIFEXITED(status)) {
			assert_int_equal(WEXITSTATUS(status), 0);
			return false;
		}
		/* Stops come at entry and exit: dying at either is dying between two calls. */
		if (WIFSTOPPED(status) && WSTOPSIG(status) == (SIGTRAP | 0x80) && calls++ == n) {
			kill(pid, SIGKILL);
			assert_int_equal(waitpid(pid, &status, 0), pid);
			return true;
		}
	}
}

static void do_update(struct store *s)
{
	json_t *j = json_loads(POD("p", ", \"spec\": {\"nodeName\": \"new\"}"), 0, NULL);

	if (store_put_json(s, STORE_OP_UPDATE, j, NULL, NULL))
		_exit(3);
	json_decref(j);
}

static void do_create(struct store *s)
{
	json_t *j = json_loads("{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": "
			       "{\"name\": \"q\", \"namespace\": \"fresh\"}}",
			       0, NULL);

	if (store_put_json(s, STORE_OP_CREATE, j, NULL, NULL))
		_exit(3);
	json_decref(j);
}

static void do_delete(struct store *s)
{
	if (delete_pod(s, "p", 0, NULL, NULL))
		_exit(3);
}

static void no_temporary_files(const struct box *b)
{
	char cmd[256];

	snprintf(cmd, sizeof(cmd), "test -z \"$(find %s -name '*.tmp')\"", b->root);
	assert_int_equal(system(cmd), 0); /* NOLINT(cert-env33-c): a path of ours */
}

static void check_after_crash(struct box *b, uint64_t *highest)
{
	struct object *o = NULL;
	struct err e = { 0 };
	uint64_t rev;
	int rc = get_pod(b->s, "ns", "p", &o, NULL, &e);

	/* The old pod, the new one, or none: never a part. */
	if (rc && rc != -ENOENT)
		fail_msg("%s", e.text);
	if (o) {
		const char *node = ((struct pod *)o->body)->spec.nodeName;

		assert_true(!strcmp(node, "old") || !strcmp(node, "new"));
		if (o->rev > *highest)
			*highest = o->rev;
	}
	object_free(o);
	rc = get_pod(b->s, "fresh", "q", &o, NULL, &e);
	if (rc && rc != -ENOENT)
		fail_msg("%s", e.text);
	if (!rc) {
		if (o->rev > *highest)
			*highest = o->rev;
		object_free(o);
	}
	/* The next write works, recovers, and gets a revision that nobody had. */
	assert_int_equal(put(b, STORE_OP_APPLY,
			     POD("p", ", \"spec\": {\"nodeName\": \"old\"}, "
				      "\"status\": {\"phase\": \"Running\"}"),
			     0, &rev, &e),
			 0);
	assert_int_equal(put(b, STORE_OP_APPLY, POD("tick", ""), 0, &rev, &e), 0);
	delete_pod(b->s, "tick", 0, &rev, &e);
	assert_true(rev > *highest);
	*highest = rev;
	store_delete(b->s, &(struct store_key){ pod_kind(), "fresh", "q" }, NULL, NULL);
	no_temporary_files(b);
}

static void crash_everywhere(struct box *b, void (*work)(struct store *), unsigned at_least,
			     unsigned step)
{
	uint64_t highest = 0;
	unsigned n = 0;

	put(b, STORE_OP_CREATE, POD("p", ", \"spec\": {\"nodeName\": \"old\"}"), 0, &highest, NULL);
	while (die_at(b, n, work)) {
		check_after_crash(b, &highest);
		n += step;
	}
	/* A write without that many stops would not be the durable write that we mean to test. */
	assert_true(n > at_least);
	print_message("killed at %u points\n", n / step);
}

static void do_group(struct store *s)
{
	if (store_begin(s, 3, NULL))
		_exit(3);
	do_update(s);
	do_create(s);
	if (store_delete(s, &(struct store_key){ pod_kind(), "ns", "tick" }, NULL, NULL) != -ENOENT)
		_exit(3);
	if (store_end(s, NULL))
		_exit(3);
}

static void test_crash_update(void **state)
{
	crash_everywhere(*state, do_update, 60, 1);
}

static void test_crash_create(void **state)
{
	crash_everywhere(*state, do_create, 60, 1);
}

static void test_crash_delete(void **state)
{
	crash_everywhere(*state, do_delete, 50, 1);
}

static void test_crash_group(void **state)
{
	crash_everywhere(*state, do_group, 80, 5);
}

static void test_lost_revision_file(void **state)
{
	struct box *b = *state;
	char path[256];
	uint64_t rev = 0;

	for (int i = 0; i < 5; i++)
		put(b, STORE_OP_APPLY,
		    i & 1 ? POD("p", "") : POD("p", ", \"spec\": {\"nodeName\": \"n\"}"), 0, &rev,
		    NULL);
	assert_true(rev >= 1);
	snprintf(path, sizeof(path), "%s/revision", b->root);
	assert_int_equal(unlink(path), 0);
	snprintf(path, sizeof(path), "%s/committed", b->root);
	assert_int_equal(unlink(path), 0);
	{
		uint64_t next = 0;

		assert_int_equal(put(b, STORE_OP_CREATE, POD("q", ""), 0, &next, NULL), 0);
		assert_true(next > rev);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_open),
		TEST(test_create_update_delete),
		TEST(test_rules),
		TEST(test_apply_keeps_what_a_service_was_given),
		TEST(test_apply_keeps_daemons_fields),
		TEST(test_record_writes),
		TEST(test_watch),
		TEST(test_derived_kinds_do_not_count),
		TEST(test_by_hand),
		TEST(test_restart_sees_what_vanished),
		TEST(test_lost_events),
		TEST(test_root_removed),
		TEST(test_many_writers),
		TEST(test_crash_update),
		TEST(test_crash_create),
		TEST(test_crash_delete),
		TEST(test_crash_group),
		TEST(test_group),
		TEST(test_locked),
		TEST(test_lock_is_shared),
		TEST(test_links),
		TEST(test_lost_revision_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
