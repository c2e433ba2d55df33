/* SPDX-License-Identifier: Apache-2.0 */
/* DNS over UDP, as fast as it goes: who asks, and the least that can answer.
 *
 *   dns_udp echo ADDR PORT                          answers each query with itself, QR set, until killed; says "ready"
 *   dns_udp ask ADDR PORT FILE SECONDS WINDOW       prints: answered, empty, wrong, lost, nanoseconds
 *
 * echo makes the system calls of role dns and nothing else: recvmmsg(2) and sendmmsg(2) of 64, one socket. It is what an answer cannot
 * be faster than here.
 *
 * ask sends the queries of FILE ("NAME TYPE" each line) in turn, WINDOW at once over SOCKETS sockets, in batches, so that it is no
 * limit where one program on the other processor is measured. An answer bears an id that is out, QR and NOERROR; it is empty
 * where it has no record, as an echo's is. What does not come within LOST_NS is lost, and its place used again. */
#include "measure.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH     64
#define SOCKETS   4
#define QUERIES   65536
#define QUERY_MAX 300
#define ROOM      1500
#define LOST_NS   200000000UL
#define BUFFER    (4 << 20)

struct batch {
	struct mmsghdr m[BATCH];
	struct iovec v[BATCH];
	struct sockaddr_in6 from[BATCH];
	uint8_t data[BATCH][ROOM];
};

static void batch_init(struct batch *b, bool peers)
{
	for (int i = 0; i < BATCH; i++) {
		b->v[i] = (struct iovec){ b->data[i], ROOM };
		b->m[i].msg_hdr = (struct msghdr){ .msg_iov = &b->v[i], .msg_iovlen = 1 };
		if (peers) {
			b->m[i].msg_hdr.msg_name = &b->from[i];
			b->m[i].msg_hdr.msg_namelen = sizeof(b->from[i]);
		}
	}
}

static int open_at(const char *addr, const char *port, bool client)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1, size = BUFFER;

	if (fd < 0 || inet_pton(AF_INET, addr, &at.sin_addr) != 1)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (client ? connect(fd, (struct sockaddr *)&at, sizeof(at))
		   : bind(fd, (struct sockaddr *)&at, sizeof(at)))
		die("address");
	return fd;
}

/* ---- echo */

_Noreturn static void echo(const char *addr, const char *port)
{
	static struct batch b;
	int fd = open_at(addr, port, false);
	struct pollfd p = { fd, POLLIN, 0 };

	puts("ready");
	fflush(stdout);
	for (;;) {
		int n;

		batch_init(&b, true);
		n = recvmmsg(fd, b.m, BATCH, MSG_DONTWAIT, NULL);
		if (n < 0 && errno == EAGAIN)
			poll(&p, 1, -1);
		for (int i = 0; i < n; i++) {
			b.data[i][2] |= 0x80;
			b.v[i].iov_len = b.m[i].msg_len;
		}
		for (int done = 0; done < n;) {
			int put = sendmmsg(fd, b.m + done, (unsigned)(n - done), 0);

			done += put > 0 ? put : 1;
		}
	}
}

/* ---- queries */

struct query {
	uint16_t n;
	uint8_t v[QUERY_MAX];
};

static uint16_t type_of(const char *name)
{
	static const struct {
		const char *name;
		uint16_t type;
	} types[] = { { "A", 1 }, { "PTR", 12 }, { "AAAA", 28 }, { "SRV", 33 } };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (!strcasecmp(types[i].name, name))
			return types[i].type;
	die("type");
	return 0;
}

static void make(struct query *q, char *name, const char *type)
{
	uint16_t t = htons(type_of(type)), in = htons(1);
	char *save = NULL;

	q->n = 12;
	memcpy(q->v, (const uint8_t[12]){ [2] = 1, [5] = 1 }, 12);
	for (char *label = strtok_r(name, ".", &save); label; label = strtok_r(NULL, ".", &save)) {
		size_t n = strlen(label);

		if (n > 63 || q->n + n + 6 > QUERY_MAX)
			die("name");
		q->v[q->n++] = (uint8_t)n;
		memcpy(q->v + q->n, label, n);
		q->n = (uint16_t)(q->n + n);
	}
	q->v[q->n++] = 0;
	memcpy(q->v + q->n, &t, 2);
	memcpy(q->v + q->n + 2, &in, 2);
	q->n += 4;
}

static size_t read_queries(const char *path, struct query *v)
{
	char line[512], name[256], type[16];
	FILE *f = fopen(path, "r");
	size_t n = 0;

	if (!f)
		die(path);
	while (n < QUERIES && fgets(line, sizeof(line), f))
		if (sscanf(line, "%255s %15s", name, type) == 2)
			make(&v[n++], name, type);
	fclose(f);
	if (!n)
		die("no query");
	return n;
}

/* ---- ask */

struct asker {
	int fd;
	uint16_t next; /* id */
	uint32_t out;
	uint64_t heard;           /* when something came last */
	uint8_t waits[65536 / 8]; /* ids that are out */
	struct batch b;
};

struct counts {
	uint64_t answered, empty, wrong, lost;
};

static void judge(struct counts *c, const uint8_t *p, uint32_t n)
{
	if (n < 12 || !(p[2] & 0x80) || p[3] & 0x0f)
		c->wrong++;
	else if (p[6] | p[7])
		c->answered++;
	else
		c->empty++;
}

static void hear(struct asker *a, struct counts *c, uint64_t now)
{
	int n;

	batch_init(&a->b, false);
	n = recvmmsg(a->fd, a->b.m, BATCH, MSG_DONTWAIT, NULL);
	if (n > 0)
		a->heard = now;
	for (int i = 0; i < n; i++) {
		const uint8_t *p = a->b.data[i];
		uint16_t id = (uint16_t)(p[0] << 8 | p[1]);

		if (!(a->waits[id / 8] >> id % 8 & 1)) {
			c->wrong++;
			continue;
		}
		a->waits[id / 8] &= (uint8_t) ~(1u << id % 8);
		a->out--;
		judge(c, p, a->b.m[i].msg_len);
	}
	if (a->out && now - a->heard > LOST_NS) {
		c->lost += a->out;
		a->out = 0;
		memset(a->waits, 0, sizeof(a->waits));
		a->heard = now;
	}
}

static void ask(struct asker *a, const struct query *v, size_t n, size_t *at, uint32_t window)
{
	unsigned want = a->out < window ? window - a->out : 0;
	int put;

	if (want > BATCH)
		want = BATCH;
	if (!want || (want < BATCH / 4 && a->out > window / 2))
		return;
	for (unsigned i = 0; i < want; i++) {
		const struct query *q = &v[(*at + i) % n];
		uint16_t id = (uint16_t)(a->next + i);

		memcpy(a->b.data[i], q->v, q->n);
		a->b.data[i][0] = (uint8_t)(id >> 8);
		a->b.data[i][1] = (uint8_t)id;
		a->b.v[i].iov_len = q->n;
	}
	put = sendmmsg(a->fd, a->b.m, want, MSG_DONTWAIT);
	for (int i = 0; i < put; i++) {
		uint16_t id = a->next++;

		a->waits[id / 8] |= (uint8_t)(1u << id % 8);
	}
	a->out += put > 0 ? (uint32_t)put : 0;
	*at = (*at + (put > 0 ? (size_t)put : 0)) % n;
}

static int run(const char *addr, const char *port, const char *file, double seconds,
	       uint32_t window)
{
	static struct query queries[QUERIES];
	static struct asker askers[SOCKETS];
	struct pollfd p[SOCKETS];
	struct counts c = { 0 };
	size_t n = read_queries(file, queries), at = 0;
	uint64_t began = now_ns(), now = began, end = began + (uint64_t)(seconds * 1e9);

	for (int i = 0; i < SOCKETS; i++) {
		askers[i].fd = open_at(addr, port, true);
		askers[i].heard = began;
		p[i] = (struct pollfd){ askers[i].fd, POLLIN, 0 };
	}
	while (now < end) {
		uint32_t before = 0, after = 0;

		for (int i = 0; i < SOCKETS; i++) {
			before += askers[i].out;
			hear(&askers[i], &c, now);
			ask(&askers[i], queries, n, &at, window / SOCKETS);
			after += askers[i].out;
		}
		if (before == after)
			poll(p, SOCKETS, 50);
		now = now_ns();
	}
	printf("%lu %lu %lu %lu %lu\n", c.answered, c.empty, c.wrong, c.lost, now - began);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "echo"))
		echo(argv[2], argv[3]);
	if (argc == 7 && !strcmp(argv[1], "ask"))
		return run(argv[2], argv[3], argv[4], atof(argv[5]), (uint32_t)atoi(argv[6]));
	fputs("usage: dns_udp echo ADDR PORT | ask ADDR PORT FILE SECONDS WINDOW\n", stderr);
	return 2;
}
