// SPDX-License-Identifier: Apache-2.0
/* sys: files, sockets, the stream of records, child processes. Each test works in a folder of its
 * own below /tmp. */
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/proc.h"
#include "sys/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];

static const char *in_dir(const char *name)
{
	static char path[4][256];
	static unsigned i;
	char *p = path[i++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

static int set_up(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/fairlead-test-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	struct err e;

	return dir_remove(dir, &e);
}

static int open_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* ---- files */

static void test_write_read(void **state)
{
	struct buf b = { 0 };
	struct stat st;
	struct err e;

	assert_int_equal(file_write(in_dir("a"), "hello", 5, 0640, &e), 0);
	assert_int_equal(file_write(in_dir("a"), "world!", 6, 0600, &e), 0);
	assert_int_equal(stat(in_dir("a"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, 6);
	assert_int_equal(file_read(in_dir("a"), 6, &b, &e), 0);
	assert_string_equal(b.v, "world!");
	assert_int_equal(file_read(in_dir("a"), 5, &b, &e), -EFBIG);
	assert_int_equal(b.n, 6);
	assert_int_equal(file_read(in_dir("none"), 5, &b, &e), -ENOENT);
	assert_non_null(strstr(e.text, "/none"));
	assert_int_equal(file_write(in_dir("no/where"), "x", 1, 0600, &e), -ENOENT);
	assert_int_equal(file_write(in_dir("d/"), "x", 1, 0600, &e), -EISDIR);
	assert_int_equal(access(in_dir(".a.tmp"), F_OK), -1);
	assert_int_equal(file_remove(in_dir("a"), &e), 0);
	assert_int_equal(file_remove(in_dir("a"), &e), 0);
	assert_int_equal(access(in_dir("a"), F_OK), -1);
	buf_fini(&b);
}

static void test_append(void **state)
{
	struct buf b = { 0 };
	struct err e;
	int fd = file_open_append(in_dir("journal"), 0600, &e), null;

	assert_true(fd >= 0);
	assert_int_equal(file_append(fd, "one\n", 4, &e), 0);
	assert_int_equal(file_append(fd, "two\n", 4, &e), 0);
	close(fd);
	fd = file_open_append(in_dir("journal"), 0600, &e);
	assert_int_equal(file_append(fd, "three\n", 6, &e), 0);
	close(fd);
	assert_int_equal(file_read(in_dir("journal"), 100, &b, &e), 0);
	assert_string_equal(b.v, "one\ntwo\nthree\n");
	buf_fini(&b);
	null = open("/dev/full", O_RDWR | O_CLOEXEC);
	assert_int_equal(file_append(null, "x", 1, &e), -ENOSPC);
	close(null);
}

static void test_append_cuts_torn_tail(void **state)
{
	struct err e;
	struct stat st;
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct rlimit lim = { 6, 6 };
		int fd = file_open_append(in_dir("short"), 0600, &e), rc;

		signal(SIGXFSZ, SIG_IGN);
		if (file_append(fd, "four", 4, &e) || setrlimit(RLIMIT_FSIZE, &lim))
			_exit(2);
		rc = file_append(fd, "more", 4, &e);
		_exit(rc == -EFBIG ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(stat(in_dir("short"), &st), 0);
	assert_int_equal(st.st_size, 4);
}

static void test_lock(void **state)
{
	struct err e;
	int a = file_lock(in_dir("lock"), 0, &e), b;

	assert_true(a >= 0);
	assert_int_equal(file_lock(in_dir("lock"), 0, &e), -EWOULDBLOCK);
	close(a);
	b = file_lock(in_dir("lock"), 1000, &e);
	assert_true(b >= 0);
	close(b);
}

static void test_dirs(void **state)
{
	struct err e;

	assert_int_equal(dir_make(in_dir("x/y//z/"), 0755, &e), 0);
	assert_int_equal(dir_make(in_dir("x/y/z"), 0755, &e), 0);
	assert_int_equal(file_write(in_dir("x/y/z/f"), "1", 1, 0600, &e), 0);
	assert_int_equal(file_write(in_dir("keep"), "1", 1, 0600, &e), 0);
	assert_int_equal(dir_make(in_dir("keep/sub"), 0755, &e), -ENOTDIR);
	assert_int_equal(symlink(dir, in_dir("x/y/up")), 0);
	assert_int_equal(dir_remove(in_dir("x"), &e), 0);
	assert_int_equal(access(in_dir("x"), F_OK), -1);
	assert_int_equal(access(in_dir("keep"), F_OK), 0);
	assert_int_equal(dir_remove(in_dir("x"), &e), 0);
}

static void test_sysctl(void **state)
{
	char v[16], small[2];
	struct err e;

	assert_int_equal(sysctl_read("kernel/ostype", v, sizeof(v), &e), 0);
	assert_string_equal(v, "Linux");
	assert_int_equal(sysctl_read("kernel/ostype", small, sizeof(small), &e), -E2BIG);
	assert_int_equal(sysctl_read("net/none", v, sizeof(v), &e), -ENOENT);
	assert_int_equal(sysctl_read("../self/comm", v, sizeof(v), &e), -EINVAL);
	assert_int_equal(sysctl_write("/etc/passwd", "x", &e), -EINVAL);
}

/* ---- sockets */

static void test_unix_listen(void **state)
{
	const char *path = in_dir("s.sock");
	char longest[200];
	struct stat st;
	struct err e;
	int l = sock_unix_listen(path, SOCK_STREAM, 0600, &e), c, a;

	assert_true(l >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(sock_accept(l, &e), -EAGAIN);
	assert_int_equal(sock_unix_listen(path, SOCK_STREAM, 0600, &e), -EADDRINUSE);
	c = sock_unix_connect(path, SOCK_STREAM, 1000, &e);
	a = sock_accept(l, &e);
	assert_true(c >= 0 && a >= 0);
	close(a);
	close(c);
	close(l);
	/* What is left of a killed listener is replaced; another kind of file is not. */
	assert_int_equal(sock_unix_connect(path, SOCK_STREAM, 1000, &e), -ECONNREFUSED);
	l = sock_unix_listen(path, SOCK_SEQPACKET, 0600, &e);
	assert_true(l >= 0);
	close(l);
	assert_int_equal(file_write(in_dir("plain"), "x", 1, 0600, &e), 0);
	assert_int_equal(sock_unix_listen(in_dir("plain"), SOCK_STREAM, 0600, &e), -EEXIST);
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = 0;
	longest[0] = '/';
	assert_int_equal(sock_unix_connect(longest, SOCK_STREAM, 1000, &e), -ENAMETOOLONG);
	assert_non_null(strstr(e.text, "107"));
}

static void test_bind(void **state)
{
	static const char *const addrs[] = { "127.0.0.1", "::1", "192.0.2.77", "2001:db8::77" };
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct ipaddr a;
	struct err e;
	int fd, again;

	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(addr_parse(addrs[i], &a), 0);
		fd = sock_bind("udp", &a, 0, false, &e);
		assert_true(fd >= 0);
		close(fd);
		fd = sock_bind("tcp", &a, 0, false, &e);
		assert_true(fd >= 0);
		len = sizeof(ss);
		assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
		again = sock_bind("tcp", &a, ntohs(((struct sockaddr_in *)&ss)->sin_port), false,
				  &e);
		assert_int_equal(again, -EADDRINUSE);
		assert_non_null(strstr(e.text, addrs[i]));
		close(fd);
	}
	assert_int_equal(sock_bind("icmp", &a, 0, false, &e), -EINVAL);
}

static void test_bind_shared(void **state)
{
	struct ipaddr a = addr_v4(0x7f000001);
	struct sockaddr_in at;
	socklen_t len = sizeof(at);
	int first, second;
	struct err e;

	for (unsigned i = 0; i < 2; i++) {
		const char *proto = i ? "udp" : "tcp";

		first = sock_bind(proto, &a, 0, true, &e);
		assert_true(first >= 0);
		assert_int_equal(getsockname(first, (struct sockaddr *)&at, &len), 0);
		assert_int_equal(sock_bind(proto, &a, ntohs(at.sin_port), false, &e), -EADDRINUSE);
		second = sock_bind(proto, &a, ntohs(at.sin_port), true, &e);
		assert_true(second >= 0);
		close(second);
		close(first);
	}
}

/* ---- records */

static const struct schema *join_schema(void)
{
	return record_schema(REC_JOIN);
}

static void put_role(struct rstream *s, const char *role, int fd)
{
	struct rec_join j = { role };
	struct err e;

	assert_int_equal(rstream_put(s, REC_JOIN, join_schema(), &j, fd, &e), 0);
}

static void expect_role(struct rframe *f, const char *role)
{
	struct rec_join j = { 0 };
	struct arena a;
	struct err e;

	arena_init(&a, 0);
	assert_int_equal(f->type, REC_JOIN);
	assert_int_equal(record_decode(&f->body, join_schema(), &j, &a, &e), 0);
	assert_string_equal(j.role, role);
	arena_fini(&a);
}

static void make_pair(int type, struct rstream s[2])
{
	int fds[2];
	struct err e;

	assert_int_equal(sock_pair(type, fds, &e), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(rstream_init(&s[i], fds[i], &e), 0);
}

/* Both ends of a pipe go along; who reads what arrives proves which frame had which. */
static void frames_with_fds(int type)
{
	int before = open_fds(), one[2], two[2];
	struct rstream s[2];
	struct rframe f;
	struct err e;
	char c;

	make_pair(type, s);
	assert_int_equal(pipe(one), 0);
	assert_int_equal(pipe(two), 0);
	put_role(&s[0], "agent", -1);
	put_role(&s[0], "first", one[0]);
	put_role(&s[0], "watch", -1);
	put_role(&s[0], "second", two[0]);
	put_role(&s[0], "last", -1);
	close(one[0]);
	close(two[0]);
	assert_int_equal(write(one[1], "1", 1), 1);
	assert_int_equal(write(two[1], "2", 1), 1);
	assert_int_equal(rstream_flush(&s[0], &e), 0);
	assert_false(rstream_wants_write(&s[0]));

	assert_int_equal(rstream_recv(&s[1], &f, 1000, &e), 0);
	expect_role(&f, "agent");
	assert_int_equal(f.fd, -1);
	assert_int_equal(rstream_recv(&s[1], &f, 1000, &e), 0);
	expect_role(&f, "first");
	assert_int_equal(read(f.fd, &c, 1), 1);
	assert_int_equal(c, '1');
	close(f.fd);
	assert_int_equal(rstream_recv(&s[1], &f, 1000, &e), 0);
	expect_role(&f, "watch");
	assert_int_equal(f.fd, -1);
	assert_int_equal(rstream_recv(&s[1], &f, 1000, &e), 0);
	expect_role(&f, "second");
	assert_int_equal(read(f.fd, &c, 1), 1);
	assert_int_equal(c, '2');
	close(f.fd);
	assert_int_equal(rstream_recv(&s[1], &f, 1000, &e), 0);
	expect_role(&f, "last");
	assert_int_equal(rstream_recv(&s[1], &f, 20, &e), -ETIMEDOUT);
	put_role(&s[0], "unclaimed", one[1]);
	assert_int_equal(rstream_flush(&s[0], &e), 0);
	assert_int_equal(rstream_fill(&s[1], &e), 0);
	rstream_fini(&s[0]);
	assert_int_equal(rstream_recv(&s[1], &f, 1000, &e), 0);
	expect_role(&f, "unclaimed");
	close(f.fd);
	assert_int_equal(rstream_recv(&s[1], &f, 1000, &e), -ECONNRESET);
	rstream_fini(&s[1]);
	rstream_fini(&s[1]);
	close(one[1]);
	close(two[1]);
	assert_int_equal(open_fds(), before);
}

static void test_stream_fds(void **state)
{
	frames_with_fds(SOCK_STREAM);
}

static void test_packet_fds(void **state)
{
	frames_with_fds(SOCK_SEQPACKET);
}

/* 20000 frames, every 97th with a descriptor, through a socket whose buffer holds few of them. */
static void test_stream_long(void **state)
{
	int before = open_fds(), small = 4096, sent = 0, got = 0;
	char text[300];
	struct rstream s[2];
	struct rframe f;
	struct err e;

	make_pair(SOCK_STREAM, s);
	setsockopt(s[0].fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	while (got < 20000) {
		for (int i = 0; i < 50 && sent < 20000; i++, sent++) {
			snprintf(text, sizeof(text), "%0*d", 1 + sent % 290, sent);
			put_role(&s[0], text, sent % 97 ? -1 : s[0].fd);
		}
		assert_int_equal(rstream_flush(&s[0], &e), 0);
		assert_int_equal(rstream_fill(&s[1], &e), 0);
		while (rstream_next(&s[1], &f, &e) == 1) {
			snprintf(text, sizeof(text), "%0*d", 1 + got % 290, got);
			expect_role(&f, text);
			assert_int_equal(f.fd >= 0, got % 97 == 0);
			if (f.fd >= 0)
				close(f.fd);
			got++;
		}
	}
	rstream_fini(&s[0]);
	rstream_fini(&s[1]);
	assert_int_equal(open_fds(), before);
}

/* As a keeper gives the next one all its sockets: more wait than are read at once. */
static void many_fds(int type)
{
	int before = open_fds(), sent = 0, got = 0;
	struct rstream s[2];
	struct rframe f;
	struct err e;

	make_pair(type, s);
	while (got < 200) {
		for (; sent < 200 && sent < got + 60; sent++)
			put_role(&s[0], "dns", s[0].fd);
		assert_int_equal(rstream_flush(&s[0], &e), 0);
		assert_int_equal(rstream_fill(&s[1], &e), 0);
		while (rstream_next(&s[1], &f, &e) == 1) {
			expect_role(&f, "dns");
			assert_true(f.fd >= 0);
			close(f.fd);
			got++;
		}
	}
	rstream_fini(&s[0]);
	rstream_fini(&s[1]);
	assert_int_equal(open_fds(), before);
}

static void test_stream_many_fds(void **state)
{
	many_fds(SOCK_STREAM);
	many_fds(SOCK_SEQPACKET);
}

static void test_stream_limit(void **state)
{
	struct rec_join j = { "0123456789" };
	struct rstream s[2];
	struct err e;
	int rc = 0, n = 0;

	make_pair(SOCK_STREAM, s);
	s[0].out_limit = 1000;
	while (!rc && ++n < 1000)
		rc = rstream_put(&s[0], REC_JOIN, join_schema(), &j, -1, &e);
	assert_int_equal(rc, -ENOBUFS);
	assert_true(rstream_queued(&s[0]) <= 1000);
	assert_int_equal(rstream_drain(&s[0], 1000, &e), 0);
	put_role(&s[0], "again", -1);
	rstream_fini(&s[0]);
	rstream_fini(&s[1]);
}

static void test_stream_hostile(void **state)
{
	static const uint8_t huge[] = { 0xff, 0xff, 0xff, 0xff, 0, 1, 0, 1 };
	static const uint8_t part[] = { 0, 0, 0, 100, 0, 3, 0, 1, 9, 9 };
	int before = open_fds(), fds[2];
	struct rstream s;
	struct rframe f;
	struct err e;

	assert_int_equal(sock_pair(SOCK_STREAM, fds, &e), 0);
	assert_int_equal(rstream_init(&s, fds[0], &e), 0);
	assert_int_equal(write(fds[1], huge, sizeof(huge)), sizeof(huge));
	assert_true(rstream_recv(&s, &f, 1000, &e) < 0);
	rstream_fini(&s);
	close(fds[1]);

	assert_int_equal(sock_pair(SOCK_SEQPACKET, fds, &e), 0);
	assert_int_equal(rstream_init(&s, fds[0], &e), 0);
	assert_int_equal(write(fds[1], part, sizeof(part)), sizeof(part));
	assert_int_equal(rstream_recv(&s, &f, 1000, &e), -EPROTO);
	rstream_fini(&s);
	close(fds[1]);
	assert_int_equal(open_fds(), before);
}

/* ---- processes */

static void test_spawn(void **state)
{
	const char *argv[] = { "sh", "-c",
			       "cat <&5; cat <&3; [ ! -e /proc/self/fd/4 ]; echo $?; exit 7",
			       NULL };
	int a[2], b[2], out[2], status, extra = open("/dev/null", O_RDONLY);
	struct proc_fd fds[3];
	struct proc p;
	struct err e;
	char got[16] = "", text[40];

	/* Numbers crossed over, so that a careless dup2 order would lose one. */
	assert_int_equal(pipe(a) | pipe(b) | pipe(out), 0);
	fds[0] = (struct proc_fd){ a[0], 5 };
	fds[1] = (struct proc_fd){ b[0], 3 };
	fds[2] = (struct proc_fd){ out[1], 1 };
	assert_int_equal(write(a[1], "A", 1) + write(b[1], "B", 1), 2);
	close(a[1]);
	close(b[1]);
	assert_int_equal(proc_spawn(&(struct proc_spec){ .path = "/bin/sh",
							 .argv = argv,
							 .fds = fds,
							 .nfds = 3,
							 .new_session = true,
							 .death_signal = SIGKILL },
				    &p, &e),
			 0);
	assert_int_equal(proc_wait(p.pidfd, 5000, &status, &e), 0);
	assert_string_equal(proc_status_str(status, text, sizeof(text)), "exit 7");
	assert_int_equal(read(out[0], got, sizeof(got) - 1), 4);
	assert_string_equal(got, "AB0\n");
	assert_int_equal(proc_signal(p.pidfd, SIGTERM, &e), 0);
	close(p.pidfd);
	for (int i = 0; i < 2; i++)
		close(out[i]);
	close(a[0]);
	close(b[0]);
	close(extra);
}

static void test_spawn_fails(void **state)
{
	const char *argv[] = { "x", NULL };
	struct proc p = { -7, -7 };
	struct err e;
	int before = open_fds();

	assert_int_equal(
		proc_spawn(&(struct proc_spec){ .path = "/nonexistent", .argv = argv }, &p, &e),
		-ENOENT);
	assert_non_null(strstr(e.text, "/nonexistent"));
	assert_int_equal(
		proc_spawn(&(struct proc_spec){ .path = "/etc/passwd", .argv = argv }, &p, &e),
		-EACCES);
	assert_int_equal(p.pid, -7);
	assert_int_equal(open_fds(), before);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void test_signal_and_wait(void **state)
{
	const char *argv[] = { "sleep", "60", NULL };
	char text[40], got[16];
	struct buf b = { 0 };
	struct proc p;
	struct err e;
	int status;

	assert_int_equal(
		proc_spawn(&(struct proc_spec){ .path = "/bin/sleep", .argv = argv }, &p, &e), 0);
	assert_int_equal(proc_wait(p.pidfd, 20, &status, &e), -ETIMEDOUT);
	assert_int_equal(proc_pidfile(in_dir("p.pid"), p.pid, &e), 0);
	assert_int_equal(file_read(in_dir("p.pid"), 100, &b, &e), 0);
	snprintf(got, sizeof(got), "%d\n", (int)p.pid);
	assert_string_equal(b.v, got);
	buf_fini(&b);
	assert_int_equal(proc_signal(p.pidfd, SIGKILL, &e), 0);
	assert_int_equal(proc_wait(p.pidfd, 5000, &status, &e), 0);
	assert_string_equal(proc_status_str(status, text, sizeof(text)), "signal 9 (Killed)");
	close(p.pidfd);
}

static void test_exe_dir(void **state)
{
	char path[256], libexec[256];
	struct err e;

	assert_int_equal(proc_exe_dir(path, sizeof(path), &e), 0);
	assert_int_equal(path[0], '/');
	strcat(path, "/test_sys_io");
	assert_int_equal(access(path, X_OK), 0);
	assert_int_equal(proc_libexec(libexec, sizeof(libexec), &e), 0);
	assert_int_equal(proc_exe_dir(path, 3, &e), -ENAMETOOLONG);
}

static void test_clock(void **state)
{
	uint64_t a = clock_mono_ns(), b = clock_mono_ns();
	uint8_t r[2][32] = { 0 };

	assert_true(b >= a && clock_boot_ns() >= a);
	assert_true(clock_wall() > 1700000000);
	random_bytes(r[0], 32);
	random_bytes(r[1], 32);
	assert_memory_not_equal(r[0], r[1], 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write_read),
		cmocka_unit_test(test_append),
		cmocka_unit_test(test_append_cuts_torn_tail),
		cmocka_unit_test(test_lock),
		cmocka_unit_test(test_dirs),
		cmocka_unit_test(test_sysctl),
		cmocka_unit_test(test_unix_listen),
		cmocka_unit_test(test_bind),
		cmocka_unit_test(test_bind_shared),
		cmocka_unit_test(test_stream_fds),
		cmocka_unit_test(test_packet_fds),
		cmocka_unit_test(test_stream_long),
		cmocka_unit_test(test_stream_many_fds),
		cmocka_unit_test(test_stream_limit),
		cmocka_unit_test(test_stream_hostile),
		cmocka_unit_test(test_spawn),
		cmocka_unit_test(test_spawn_fails),
		cmocka_unit_test(test_signal_and_wait),
		cmocka_unit_test(test_exe_dir),
		cmocka_unit_test(test_clock),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
