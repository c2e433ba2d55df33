// SPDX-License-Identifier: Apache-2.0
/* Streams and the mirror on a loop of their own, with the test at the other end of the socket. */
#include "daemon/mirror.h"
#include "daemon/stream.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* The loop until nothing is due any more. */
static void turn(struct ev_loop *loop)
{
	for (int i = 0; i < 20; i++)
		ev_run(loop, EVRUN_NOWAIT);
}

static void pair_up(int fds[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

/* ---- streams */

struct heard {
	struct buf text;
	bool free_on_frame, free_on_close, pause_on_frame;
	struct err why;
	int closed, drained;
};

static void on_frame(struct stream *s, unsigned type, struct wire *body, int fd)
{
	struct heard *h = stream_arg(s);

	buf_printf(&h->text, "%u:%zu:%d ", type, wire_left(body), fd >= 0);
	if (fd >= 0)
		close(fd);
	if (h->pause_on_frame)
		stream_pause(s, true);
	if (h->free_on_frame)
		stream_free(s);
}

static void on_closed(struct stream *s, const struct err *e)
{
	struct heard *h = stream_arg(s);

	h->closed++;
	h->why = *e;
	if (h->free_on_close)
		stream_free(s);
}

static void on_drained(struct stream *s)
{
	struct heard *h = stream_arg(s);

	h->drained++;
}

static const struct stream_ops stream_ops = { .frame = on_frame,
					      .closed = on_closed,
					      .drained = on_drained };

static const struct rec_join named = { .role = "abc" };
#define JOIN_BODY 5 /* tag, length, three letters */

static void test_stream_frames(void **state)
{
	struct ev_loop *loop = ev_loop_new(0);
	struct heard ha = { 0 }, hb = { 0 };
	struct stream *a, *b;
	struct err e;
	int fds[2];

	pair_up(fds);
	a = stream_new(loop, fds[0], &stream_ops, &ha, &e);
	b = stream_new(loop, fds[1], &stream_ops, &hb, &e);
	assert_int_equal(stream_send(a, REC_JOIN, NULL, &named, -1, &e), 0);
	assert_int_equal(stream_send(a, REC_READY, NULL, &named, STDERR_FILENO, &e), 0);
	assert_int_equal(stream_send(a, REC_JOIN, NULL, &named, -1, &e), 0);
	turn(loop);
	assert_string_equal(hb.text.v, "3:5:0 4:5:1 3:5:0 ");
	assert_int_equal(ha.drained, 1);
	assert_int_equal(stream_queued(a), 0);
	/* A pause keeps what came; nothing is lost. */
	buf_clear(&hb.text);
	hb.pause_on_frame = true;
	for (int i = 0; i < 3; i++)
		stream_send(a, REC_JOIN, NULL, &named, -1, &e);
	turn(loop);
	assert_string_equal(hb.text.v, "3:5:0 ");
	hb.pause_on_frame = false;
	stream_pause(b, false);
	turn(loop);
	assert_string_equal(hb.text.v, "3:5:0 3:5:0 3:5:0 ");
	/* What was queued before the end arrives before it. */
	buf_clear(&hb.text);
	hb.free_on_close = ha.free_on_close = true;
	stream_send(a, REC_JOIN, NULL, &named, -1, &e);
	stream_finish(a);
	assert_int_equal(stream_send(a, REC_JOIN, NULL, &named, -1, &e), -EPIPE);
	turn(loop);
	assert_string_equal(hb.text.v, "3:5:0 ");
	assert_int_equal(hb.closed, 1);
	assert_int_equal(hb.why.code, 0);
	assert_int_equal(ha.closed, 1);
	buf_fini(&ha.text);
	buf_fini(&hb.text);
	ev_loop_destroy(loop);
}

static void test_stream_ends(void **state)
{
	struct ev_loop *loop = ev_loop_new(0);
	struct heard h = { .free_on_close = true };
	struct stream *s;
	struct err e;
	int fds[2], rc = 0;
	char byte;

	/* Who does not read is dropped, once, from the loop. */
	pair_up(fds);
	s = stream_new(loop, fds[0], &stream_ops, &h, &e);
	stream_set_limit(s, 1000);
	for (int i = 0; i < 1000 && !rc; i++)
		rc = stream_send(s, REC_JOIN, NULL, &named, -1, &e);
	assert_int_equal(rc, -ENOBUFS);
	assert_int_equal(h.closed, 0);
	assert_int_equal(stream_send(s, REC_JOIN, NULL, &named, -1, &e), -EPIPE);
	turn(loop);
	assert_int_equal(h.closed, 1);
	assert_int_equal(h.why.code, -ENOBUFS);
	close(fds[1]);
	/* Bytes that are no frame. */
	pair_up(fds);
	h = (struct heard){ .free_on_close = true };
	stream_new(loop, fds[0], &stream_ops, &h, &e);
	assert_int_equal(write(fds[1], "GET / HTTP/1.1\r\n", 16), 16);
	turn(loop);
	assert_int_equal(h.closed, 1);
	assert_int_equal(h.why.code, -EBADMSG);
	close(fds[1]);
	/* Freed in its own callback, with more frames waiting. */
	pair_up(fds);
	h = (struct heard){ .free_on_frame = true };
	stream_new(loop, fds[0], &stream_ops, &h, &e);
	assert_int_equal(write(fds[1], "\0\0\0\4\0\3\0\1\0\0\0\4\0\3\0\1", 16), 16);
	turn(loop);
	assert_string_equal(h.text.v, "3:0:0 ");
	assert_int_equal(read(fds[1], &byte, 1), 0); /* closed */
	close(fds[1]);
	buf_fini(&h.text);
	ev_loop_destroy(loop);
}

/* ---- mirror */

struct world {
	struct role role;
	struct mirror *m;
	struct buf told;
	int other; /* watch's end of the last stream */
	int written;
	int64_t written_code;
};

static void on_changed(void *arg, const struct object *old, const struct object *now)
{
	struct world *w = arg;
	const struct object *o = now ? now : old;

	buf_printf(&w->told, "%s%s ", old && now ? "~" : now ? "+" : "-", o->meta->name);
}

static void on_synced(void *arg, const struct rec_sync *s)
{
	struct world *w = arg;

	buf_printf(&w->told, "=%d%s ", (int)s->revision, s->stale ? "!" : "");
}

static void on_written(void *arg, const struct rec_written *a)
{
	struct world *w = arg;

	w->written++;
	w->written_code = a->code;
}

static const struct mirror_ops mirror_ops = { .changed = on_changed, .synced = on_synced };
static const struct role_ops role_ops = { .name = "tester" };

static void say(struct world *w, unsigned type, const void *body)
{
	struct buf frame = { 0 };
	struct err e;

	assert_int_equal(record_put(&frame, type, record_schema(type), body, &e), 0);
	assert_int_equal(write(w->other, frame.v, frame.n), frame.n);
	buf_fini(&frame);
}

static void say_put(struct world *w, const char *name, int64_t rev)
{
	struct namespace_obj ns = { .meta = { .name = name } };
	struct rec_put put = { .kind = KIND_NAMESPACE, .rev = rev };
	struct buf body = { 0 };
	struct err e;

	assert_int_equal(record_body(&body, kind_by_id(KIND_NAMESPACE)->schema, &ns, &e), 0);
	put.body = (struct blob){ (const uint8_t *)body.v, (uint32_t)body.n };
	say(w, REC_PUT, &put);
	buf_fini(&body);
}

static void say_sync(struct world *w, int64_t revision, bool in_sync, bool incomplete)
{
	struct rec_sync s = { .revision = revision, .in_sync = in_sync, .incomplete = incomplete };

	say(w, REC_SYNC, &s);
}

/* A new stream, as the keeper would hand it over; its HELLO is read. */
static void rejoin(struct world *w)
{
	char hello[256];
	int fds[2];

	if (w->other >= 0)
		close(w->other);
	pair_up(fds);
	w->other = fds[1];
	mirror_join(w->m, fds[0]);
	turn(w->role.loop);
	assert_true(read(w->other, hello, sizeof(hello)) > RECORD_HEADER);
	assert_int_equal(hello[5], REC_HELLO);
}

static void expect(struct world *w, const char *want)
{
	turn(w->role.loop);
	assert_string_equal(w->told.v ? w->told.v : "", want);
	buf_clear(&w->told);
}

static int setup(void **state)
{
	static const uint8_t kinds[] = { KIND_NAMESPACE };
	struct world *w = calloc(1, sizeof(*w));
	struct err e;

	w->role.ops = &role_ops;
	w->role.loop = ev_loop_new(0);
	w->other = -1;
	w->m = mirror_new(&w->role, kinds, 1, &mirror_ops, w, &e);
	*state = w;
	return w->m ? 0 : -1;
}

static int teardown(void **state)
{
	struct world *w = *state;

	mirror_free(w->m);
	if (w->other >= 0)
		close(w->other);
	buf_fini(&w->told);
	ev_loop_destroy(w->role.loop);
	free(w);
	return 0;
}

static void test_mirror_list_and_changes(void **state)
{
	struct world *w = *state;
	struct rec_delete del = { .kind = KIND_NAMESPACE, .rev = 5, .name = "a" };
	struct rec_sync stale = { .revision = 6, .in_sync = 1, .stale = 1, .text = "gone" };

	rejoin(w);
	say_put(w, "a", 1);
	say_put(w, "b", 2);
	expect(w, ""); /* nothing before the whole is known */
	assert_false(mirror_current(w->m));
	say_sync(w, 2, true, false);
	expect(w, "+a +b =2 ");
	assert_true(mirror_current(w->m));
	say_put(w, "b", 4);
	say_put(w, "c", 3);
	say(w, REC_DELETE, &del);
	say_sync(w, 6, true, false);
	expect(w, "~b +c -a =6 ");
	say(w, REC_DELETE, &del); /* gone already */
	say(w, REC_SYNC, &stale);
	expect(w, "=6! ");
	assert_non_null(cluster_get(mirror_cluster(w->m), KIND_NAMESPACE, NULL, "b"));
	assert_null(cluster_get(mirror_cluster(w->m), KIND_NAMESPACE, NULL, "a"));
}

static void test_mirror_relist(void **state)
{
	struct world *w = *state;

	rejoin(w);
	say_put(w, "a", 1);
	say_put(w, "b", 2);
	say_put(w, "d", 3);
	say_sync(w, 3, true, false);
	expect(w, "+a +b +d =3 ");
	rejoin(w);
	say_put(w, "d", 3);
	say_put(w, "c", 5);
	say_put(w, "b", 4);
	say_sync(w, 3, false, false); /* watch itself knows nothing whole yet */
	expect(w, "");
	assert_non_null(cluster_get(mirror_cluster(w->m), KIND_NAMESPACE, NULL, "a"));
	say_sync(w, 6, true, false);
	expect(w, "-a ~b +c =6 ");
	/* What is missing in an incomplete list stays. */
	rejoin(w);
	say_put(w, "e", 7);
	say_sync(w, 7, true, true);
	expect(w, "+e =7 ");
	assert_true(mirror_incomplete(w->m));
	rejoin(w);
	say_put(w, "e", 7);
	say_put(w, "d", 3);
	say_sync(w, 7, true, false);
	expect(w, "-b -c =7 ");
	assert_false(mirror_incomplete(w->m));
}

/* What watch had kept on disk is taken by a mirror that knows nothing; then the store's list comes
 * as changes of it. */
static void test_mirror_snapshot(void **state)
{
	struct world *w = *state;
	struct rec_sync stale = { .revision = 3, .stale = 1, .text = "gone" };
	struct rec_delete del = { .kind = KIND_NAMESPACE, .rev = 4, .name = "b" };

	rejoin(w);
	say(w, REC_SYNC, &stale); /* watch has nothing either */
	expect(w, "=3! ");
	assert_false(mirror_known(w->m));
	say_put(w, "a", 1);
	say_put(w, "b", 2);
	expect(w, "");
	say(w, REC_SYNC, &stale);
	expect(w, "+a +b =3! ");
	assert_true(mirror_known(w->m));
	assert_false(mirror_current(w->m));
	say_put(w, "a", 4);
	say(w, REC_DELETE, &del);
	say_sync(w, 5, true, true);
	expect(w, "~a -b =5 ");
	assert_true(mirror_current(w->m));
	assert_true(mirror_incomplete(w->m));
	say_sync(w, 5, true, false);
	assert_false((turn(w->role.loop), mirror_incomplete(w->m)));
}

/* Who knows something does not go back to what another watch had on disk. */
static void test_mirror_snapshot_is_old(void **state)
{
	struct world *w = *state;
	struct rec_sync stale = { .revision = 3, .stale = 1, .text = "gone" };

	rejoin(w);
	say_put(w, "a", 1);
	say_put(w, "b", 2);
	say(w, REC_SYNC, &stale);
	expect(w, "+a +b =3! ");
	for (int i = 0; i < 2; i++) {
		rejoin(w);
		say_put(w, "a", 1);
		say_put(w, "c", 3);
		say(w, REC_SYNC, &stale);
		expect(w, "=3! ");
		if (i)
			break;
		say_sync(w, 4, true, false);
		expect(w, "-b +c =4 ");
	}
	say_put(w, "d", 5);
	say_sync(w, 5, true, false);
	expect(w, "+d =5 ");
}

static void test_mirror_bad_records(void **state)
{
	struct rec_put unknown = { .kind = 99, .rev = 1 }, broken = {
		.kind = KIND_NAMESPACE, .rev = 1, .body = { (const uint8_t *)"\1\377", 2 }
	};
	struct world *w = *state;

	rejoin(w);
	say(w, REC_PUT, &unknown);
	say(w, REC_PUT, &broken);
	say_put(w, "a", 1);
	say_sync(w, 1, true, false);
	expect(w, "+a =1 ");
}

static void on_keeper(struct ev_loop *loop, ev_io *io, int events)
{
}

/* What a list lacks because it could not be taken is not gone, and another list is asked for. */
static void test_mirror_list_with_bad_record(void **state)
{
	struct rec_put broken = { .kind = KIND_NAMESPACE,
				  .rev = 3,
				  .body = { (const uint8_t *)"\1\377", 2 } };
	struct world *w = *state;
	struct err e;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(rstream_init(&w->role.keeper, fds[0], &e), 0);
	rejoin(w);
	say_put(w, "a", 1);
	say_put(w, "b", 2);
	say_sync(w, 2, true, false);
	expect(w, "+a +b =2 ");
	assert_false(mirror_incomplete(w->m));
	say(w, REC_PUT, &broken);
	expect(w, "");
	assert_true(mirror_incomplete(w->m)); /* at once, not with the next list */
	rejoin(w);
	say_put(w, "a", 1);
	say(w, REC_PUT, &broken); /* b, for all we know */
	say_sync(w, 3, true, false);
	expect(w, "=3 ");
	assert_true(mirror_incomplete(w->m));
	assert_non_null(cluster_get(mirror_cluster(w->m), KIND_NAMESPACE, NULL, "b"));
	ev_init(&w->role.io, on_keeper);
	for (int i = 0; i < 200 && !rstream_wants_write(&w->role.keeper); i++) {
		turn(w->role.loop);
		poll(NULL, 0, 50);
	}
	assert_true(rstream_wants_write(&w->role.keeper)); /* REC_JOIN */
	ev_io_stop(w->role.loop, &w->role.io);
	rejoin(w);
	say_put(w, "a", 1);
	say_sync(w, 4, true, false);
	expect(w, "-b =4 ");
	assert_false(mirror_incomplete(w->m));
	rstream_fini(&w->role.keeper);
	close(fds[1]);
}

static void test_mirror_writes(void **state)
{
	struct namespace_obj ns = { .meta = { .name = "n" } };
	struct rec_write write = { .op = WRITE_CREATE, .kind = KIND_NAMESPACE, .name = "n" };
	struct rec_written answer = { .id = 1, .code = -EEXIST, .text = "is there" };
	struct world *w = *state;
	struct err e;

	assert_int_equal(mirror_write(w->m, &write, &ns, on_written, w, &e), -EPIPE);
	rejoin(w);
	assert_int_equal(mirror_write(w->m, &write, &ns, on_written, w, &e), 0);
	assert_int_equal(mirror_write(w->m, &write, &ns, on_written, w, &e), 0);
	answer.id = 77; /* nobody asked */
	say(w, REC_WRITTEN, &answer);
	turn(w->role.loop);
	assert_int_equal(w->written, 0);
	answer.id = 1;
	say(w, REC_WRITTEN, &answer);
	turn(w->role.loop);
	assert_int_equal(w->written, 1);
	assert_int_equal(w->written_code, -EEXIST);
	/* A stream that ends takes the answers with it. */
	rejoin(w);
	assert_int_equal(w->written, 2);
	assert_int_equal(w->written_code, -EPIPE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stream_frames),
		cmocka_unit_test(test_stream_ends),
		cmocka_unit_test_setup_teardown(test_mirror_list_and_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mirror_relist, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mirror_snapshot, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mirror_snapshot_is_old, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mirror_bad_records, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mirror_list_with_bad_record, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mirror_writes, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
