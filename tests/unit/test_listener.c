// SPDX-License-Identifier: Apache-2.0
/* The listener of local clients, on a loop of its own, with the test as its clients: what a
 * silent client, a greedy one and a lack of descriptors do to it. */
#include "daemon/listener.h"
#include "sys/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define MAX    4
#define ANSWER 100000 /* bytes: more than a socket's buffer holds in one go, with ROWS of them */
#define ROWS   40

struct call {
	struct client client;
	bool answers;
};

/* What the owner saw. */
static struct {
	int opened, asked, closed, peak;
	bool silent; /* it does not answer */
	int rows;
} seen;

static struct ev_loop *loop;
static struct listener listener;
static char path[64];

static void on_opened(struct client *c)
{
	int now = ++seen.opened - seen.closed;

	if (now > seen.peak)
		seen.peak = now;
}

static void on_asked(struct client *c, struct wire *body, int fd)
{
	char *text = calloc(1, ANSWER + 1);
	struct rec_written end = { .text = text };
	struct err e;

	assert_non_null(text);
	if (fd >= 0)
		close(fd);
	seen.asked++;
	if (!seen.silent) {
		assert_int_equal(stream_send(c->stream, REC_CTL_END, NULL, &end, -1, &e), 0);
		memset(text, 'x', ANSWER);
		for (int i = 0; i < seen.rows; i++)
			assert_int_equal(stream_send(c->stream, REC_CTL_END, NULL, &end, -1, &e),
					 0);
		client_finish(c);
	}
	free(text);
}

static void on_closed(struct client *c)
{
	seen.closed++;
}

static const struct listener_ops ops = { .name = "test.sock",
					 .size = sizeof(struct call),
					 .max = MAX,
					 .request = REC_CTL_REQUEST,
					 .opened = on_opened,
					 .asked = on_asked,
					 .closed = on_closed };

static int set_up(void **state)
{
	struct err e;
	int fd;

	memset(&seen, 0, sizeof(seen));
	snprintf(path, sizeof(path), "/tmp/listener.%d", (int)getpid());
	unlink(path);
	fd = sock_unix_listen(path, SOCK_STREAM, 0600, &e);
	if (fd < 0)
		return -1;
	loop = ev_loop_new(0);
	listener_init(&listener, loop, &ops, NULL);
	listener_start(&listener, fd);
	return 0;
}

static int tear_down(void **state)
{
	listener_fini(&listener);
	ev_loop_destroy(loop);
	unlink(path);
	return seen.opened == seen.closed ? 0 : -1;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void stop_waiting(struct ev_loop *l, ev_timer *w, int events)
{
	ev_break(l, EVBREAK_ALL);
}

/* The loop runs until `*what` is `want`, ten seconds at most. */
static void run_until(const int *what, int want)
{
	double end = now() + 10.;

	while (*what != want) {
		ev_timer t;

		assert_true(now() < end);
		ev_timer_init(&t, stop_waiting, .01, 0.);
		ev_timer_start(loop, &t);
		ev_run(loop, 0);
	}
}

static int connected(void)
{
	struct err e;
	int fd = sock_unix_connect(path, SOCK_STREAM, 1000, &e);

	assert_true(fd >= 0);
	return fd;
}

static void say(int fd, unsigned type)
{
	static const struct rec_ctl_request ask = { .verb = "x" };
	static const struct rec_join other = { .role = "x" };
	struct rstream s;
	struct err e;

	assert_int_equal(rstream_init(&s, dup(fd), &e), 0);
	assert_int_equal(rstream_put(&s, type, record_schema(type),
				     type == REC_JOIN ? (const void *)&other : &ask, -1, &e),
			 0);
	assert_int_equal(rstream_flush(&s, &e), 0);
	rstream_fini(&s);
}

static bool ended(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	return poll(&p, 1, 0) == 1 && p.revents & (POLLRDHUP | POLLHUP);
}

static void test_answer(void **state)
{
	int fd = connected();
	char got[64];

	say(fd, REC_CTL_REQUEST);
	run_until(&seen.closed, 1);
	assert_int_equal(seen.asked, 1);
	assert_true(read(fd, got, sizeof(got)) > 0);
	assert_true(ended(fd));
	close(fd);
}

static void test_another_record_ends_it(void **state)
{
	int fd = connected();

	say(fd, REC_JOIN);
	run_until(&seen.closed, 1);
	assert_int_equal(seen.asked, 0);
	assert_true(ended(fd));
	close(fd);
}

/* Who says nothing is dropped; who asked and waits for us is not. */
static void test_silence(void **state)
{
	int waits = connected(), mute;

	listener.request_s = .2;
	seen.silent = true;
	say(waits, REC_CTL_REQUEST);
	run_until(&seen.asked, 1);
	mute = connected();
	run_until(&seen.closed, 1);
	assert_true(ended(mute));
	assert_false(ended(waits));
	close(mute);
	close(waits);
	run_until(&seen.closed, 2);
}

static void test_answer_not_taken(void **state)
{
	int fd = connected();

	listener.answer_s = .2;
	seen.rows = ROWS;
	say(fd, REC_CTL_REQUEST);
	run_until(&seen.closed, 1);
	assert_int_equal(seen.asked, 1);
	close(fd);
}

/* More than there is room for wait, and are all served. */
static void test_number(void **state)
{
	int fds[3 * MAX];

	seen.silent = true;
	for (int i = 0; i < 3 * MAX; i++) {
		fds[i] = connected();
		say(fds[i], REC_CTL_REQUEST);
	}
	run_until(&seen.asked, MAX);
	for (int i = 0; i < 3 * MAX; i++) {
		close(fds[i]);
		run_until(&seen.closed, i + 1);
	}
	run_until(&seen.asked, 3 * MAX);
	assert_int_equal(seen.peak, MAX);
}

static unsigned turns;

static void on_turn(struct ev_loop *l, ev_prepare *w, int events)
{
	turns++;
}

/* A full table of descriptors neither spins the loop nor loses the client. */
static void test_no_descriptors(void **state)
{
	struct rlimit was, none;
	ev_prepare count;
	ev_timer t;
	int fd = connected(), full;

	say(fd, REC_CTL_REQUEST);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	full = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(full >= 0);
	none = (struct rlimit){ .rlim_cur = (rlim_t)full + 1, .rlim_max = was.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	turns = 0;
	ev_prepare_init(&count, on_turn);
	ev_prepare_start(loop, &count);
	ev_timer_init(&t, stop_waiting, .5, 0.);
	ev_timer_start(loop, &t);
	ev_run(loop, 0);
	assert_int_equal(seen.opened, 0);
	assert_in_range(turns, 2, 40);
	ev_prepare_stop(loop, &count);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	run_until(&seen.closed, 1);
	assert_int_equal(seen.asked, 1);
	close(full);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_answer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_another_record_ends_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_silence, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_answer_not_taken, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_number, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_descriptors, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
