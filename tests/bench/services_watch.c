/* SPDX-License-Identifier: Apache-2.0 */
/* Role watch with a store out of thin air, for `services`: made Services go to the agent as records,
 * already encoded, so that what is timed is the agent's and the kernel's. It is started by the keeper
 * in the place of the real one, and takes orders at RUN/bench.sock, one line each:
 *
 *   make SERVICES ENDPOINTS   encodes them
 *   load                      sends them; answers nanoseconds from the first record to NodeState's
 *                             observed revision
 *   unload                    the same for taking them all away
 *   change N | add N          answers N times nanoseconds from one record to the kernel's next
 *                             generation: an endpoint goes, comes …; a Service comes (and goes, untimed)
 *
 *   front ADDRESS PORT        a Service of its own before that pod: FRONT_IP in bench/services
 *
 * What the agent writes is taken: its IPBlocks come back to it as records, all else is only answered. */
#include "measure.h"
#include "services_made.h"

#include "daemon/config.h"
#include "model/record.h"
#include "sys/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define KEEPER_FD 3
#define PATIENCE  60000      /* ms that anything may take */
#define FRONT     (1u << 20) /* a number that no loaded Service has: 10.112.0.1 */
#define QUIET     50         /* ms after a change, before the next one is timed */

static struct {
	struct rstream keeper, agent;
	bool joined;
	struct buf out;  /* to the agent, not sent yet */
	struct buf made; /* for the next order to load */
	int64_t rev, observed;
	int netlink, orders;
	uint32_t services, endpoints; /* that are loaded */
	struct config cfg;
} w;

static void check(int rc, const struct err *e)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "services_watch: %s\n", e->text);
	exit(1);
}

/* ---- records */

static void put(unsigned kind, const void *body)
{
	const struct kind *k = kind_by_id(kind);
	struct buf b = { 0 };
	struct rec_put p = { .kind = kind, .rev = ++w.rev };
	struct err e;

	check(record_body(&b, k->schema, body, &e), &e);
	p.body = (struct blob){ (const uint8_t *)b.v, (uint32_t)b.n };
	check(record_put(&w.out, REC_PUT, record_schema(REC_PUT), &p, &e), &e);
	buf_fini(&b);
}

static void take(unsigned kind, const char *ns, const char *name)
{
	const struct rec_delete d = { .kind = kind, .rev = ++w.rev, .ns = ns, .name = name };
	struct err e;

	check(record_put(&w.out, REC_DELETE, record_schema(REC_DELETE), &d, &e), &e);
}

static void sync_mark(void)
{
	const struct rec_sync s = { .revision = w.rev, .in_sync = 1 };
	struct err e;

	check(record_put(&w.out, REC_SYNC, record_schema(REC_SYNC), &s, &e), &e);
}

static void send_out(void)
{
	struct pollfd p = { .fd = w.agent.fd, .events = POLLOUT };

	for (size_t at = 0; at < w.out.n;) {
		ssize_t n = send(w.agent.fd, w.out.v + at, w.out.n - at, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			die("agent");
		if (n < 0 && poll(&p, 1, PATIENCE) < 1)
			die("the agent does not read");
		at += n > 0 ? (size_t)n : 0;
	}
	buf_clear(&w.out);
}

/* ---- objects */

static void put_service(uint32_t i, uint32_t first, uint32_t n, bool whole)
{
	struct made_service s;
	struct arena a;

	arena_init(&a, 0);
	made_service(&a, i, w.endpoints, first, n, &s);
	if (whole)
		put(KIND_SERVICE, s.service);
	for (size_t k = 0; k < s.n_slices; k++)
		put(KIND_ENDPOINTSLICE, s.slices[k]);
	arena_fini(&a);
}

static void take_service(uint32_t i)
{
	struct made_service s;
	struct arena a;

	arena_init(&a, 0);
	made_service(&a, i, w.endpoints, 0, w.endpoints, &s);
	take(KIND_SERVICE, MADE_NAMESPACE, s.service->meta.name);
	for (size_t k = 0; k < s.n_slices; k++)
		take(KIND_ENDPOINTSLICE, MADE_NAMESPACE, s.slices[k]->meta.name);
	arena_fini(&a);
}

static void put_front(const char *address, int64_t port)
{
	struct made_service s;
	struct arena a;

	arena_init(&a, 0);
	made_service(&a, FRONT, 1, 0, 1, &s);
	s.service->spec.ports.v[0].port = port;
	s.slices[0]->endpoints.v[0].addresses.v[0] = address;
	s.slices[0]->ports.v[0].port = port;
	put(KIND_SERVICE, s.service);
	put(KIND_ENDPOINTSLICE, s.slices[0]);
	arena_fini(&a);
}

/* The node and its pool: all that the store has besides Services. Its blocks are large, as a claim
 * would wait for all that was sent before its answer. */
static void put_node(void)
{
	struct node_address at = { .type = NODE_INTERNAL_IP };
	struct node n = { .meta.name = w.cfg.node, .status.addresses = { &at, 1 } };
	struct ippool pool = { .meta.name = "pool4",
			       .spec = { .mode = POOL_DIRECT, .blockSize = 20, .natOutgoing = 1 } };
	char text[ADDR_TEXT];

	at.address = addr_str(&w.cfg.node_ips.v[0], text);
	prefix_parse("10.244.0.0/16", &pool.spec.cidr);
	put(KIND_NODE, &n);
	put(KIND_IPPOOL, &pool);
	sync_mark();
}

/* ---- what comes from keeper and agent */

static void on_write(const struct rec_write *q, struct arena *a)
{
	const struct rec_written done = { .id = q->id, .rev = ++w.rev };
	const struct rec_put p = { .kind = q->kind, .rev = w.rev, .body = q->body };
	struct wire body = wire_from(q->body.v, q->body.n);
	struct node_state s = { 0 };
	struct err e;

	if (q->kind == KIND_NODESTATE) {
		check(record_decode(&body, kind_by_id(KIND_NODESTATE)->schema, &s, a, &e), &e);
		w.observed = s.status.observedRevision;
	}
	if (q->kind == KIND_IPBLOCK && q->op != WRITE_DELETE) {
		check(record_put(&w.out, REC_PUT, record_schema(REC_PUT), &p, &e), &e);
		sync_mark();
	}
	check(record_put(&w.out, REC_WRITTEN, record_schema(REC_WRITTEN), &done, &e), &e);
	send_out();
}

static void on_agent(void)
{
	struct rec_write q;
	struct rframe f;
	struct arena a;
	struct err e;

	check(rstream_fill(&w.agent, &e), &e);
	while (rstream_next(&w.agent, &f, &e) == 1) {
		arena_init(&a, 0);
		memset(&q, 0, sizeof(q));
		if (f.type == REC_HELLO) {
			put_node();
			send_out();
		} else if (f.type == REC_WRITE) {
			check(record_decode(&f.body, record_schema(REC_WRITE), &q, &a, &e), &e);
			on_write(&q, &a);
		}
		arena_fini(&a);
	}
}

static void on_keeper(void)
{
	struct rec_join j = { 0 };
	struct rframe f;
	struct arena a;
	struct err e;

	check(rstream_fill(&w.keeper, &e), &e);
	while (rstream_next(&w.keeper, &f, &e) == 1) {
		arena_init(&a, 0);
		if (f.type == REC_JOIN)
			check(record_decode(&f.body, record_schema(REC_JOIN), &j, &a, &e), &e);
		if (f.type == REC_JOIN && !w.joined && !strcmp(j.role, "agent")) {
			check(rstream_init(&w.agent, f.fd, &e), &e);
			w.joined = true;
		} else if (f.fd >= 0) {
			close(f.fd);
		}
		arena_fini(&a);
	}
	if (w.keeper.eof)
		exit(0);
}

/* Waits for one of the three; orders: whether there is one. */
static bool turn(int timeout_ms)
{
	struct pollfd p[3] = { { .fd = w.keeper.fd, .events = POLLIN },
			       { .fd = w.joined ? w.agent.fd : -1, .events = POLLIN },
			       { .fd = w.orders, .events = POLLIN } };

	if (poll(p, 3, timeout_ms) < 0)
		die("poll");
	if (p[0].revents)
		on_keeper();
	if (p[1].revents)
		on_agent();
	if (w.joined && w.agent.eof) {
		fprintf(stderr, "services_watch: the agent went away\n");
		exit(1);
	}
	return p[2].revents;
}

/* ---- what is timed */

/* What is in `out` goes; nanoseconds until the agent says that the kernel holds it. */
static uint64_t send_and_wait(void)
{
	uint64_t begun = now_ns();
	int64_t rev = w.rev;

	sync_mark();
	send_out();
	while (w.observed < rev) {
		turn(PATIENCE);
		if (now_ns() - begun > PATIENCE * 1000000ull)
			die("observedRevision");
	}
	return now_ns() - begun;
}

static uint32_t generation(void)
{
	char m[4096] __attribute__((aligned(8)));
	struct nlmsghdr *h = mnl_nlmsg_put_header(m);
	struct nfgenmsg *g = mnl_nlmsg_put_extra_header(h, sizeof(*g));
	const struct nlattr *at;
	ssize_t n;

	h->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN;
	h->nlmsg_flags = NLM_F_REQUEST;
	g->version = NFNETLINK_V0;
	if (send(w.netlink, m, h->nlmsg_len, 0) < 0)
		die("nftables generation");
	n = recv(w.netlink, m, sizeof(m), 0);
	if (n < 0 || !mnl_nlmsg_ok((struct nlmsghdr *)m, (int)n))
		die("nftables generation");
	mnl_attr_for_each(at, (struct nlmsghdr *)m, sizeof(*g))
	{
		if (mnl_attr_get_type(at) == NFTA_GEN_ID)
			return mnl_attr_get_u32(at);
	}
	die("nftables generation");
	return 0;
}

/* What is in `out` goes; nanoseconds until the kernel has another generation. */
static uint64_t send_and_see(void)
{
	uint32_t before = generation();
	uint64_t begun;

	sync_mark();
	begun = now_ns();
	send_out();
	while (generation() == before)
		if (now_ns() - begun > PATIENCE * 1000000ull)
			die("the kernel does not change");
	return now_ns() - begun;
}

static void settle(void)
{
	uint64_t until = now_ns() + QUIET * 1000000ull;

	while (now_ns() < until)
		turn(1);
}

static uint64_t change(uint32_t i)
{
	uint32_t at = i / 2 * 7919 % w.services;

	put_service(at, i % 2 ? 0 : 1, w.endpoints - (i % 2 ? 0 : 1), false);
	return send_and_see();
}

static uint64_t add(uint32_t i)
{
	uint64_t took;

	put_service(w.services, 0, w.endpoints, true);
	took = send_and_see();
	settle();
	take_service(w.services);
	send_and_see();
	return took;
}

/* ---- orders */

static void obey(FILE *f, const char *line)
{
	char address[ADDR_TEXT];
	unsigned n, m;

	if (sscanf(line, "front %45s %u", address, &n) == 2) {
		put_front(address, n);
		fprintf(f, "%llu\n", (unsigned long long)send_and_wait());
	} else if (sscanf(line, "make %u %u", &n, &m) == 2) {
		w.services = n;
		w.endpoints = m;
		for (uint32_t i = 0; i < n; i++)
			put_service(i, 0, m, true);
		w.made = w.out;
		w.out = (struct buf){ 0 };
		fputs("0\n", f);
	} else if (!strcmp(line, "load\n")) {
		buf_fini(&w.out);
		w.out = w.made;
		w.made = (struct buf){ 0 };
		fprintf(f, "%llu\n", (unsigned long long)send_and_wait());
	} else if (!strcmp(line, "unload\n")) {
		for (uint32_t i = 0; i < w.services; i++)
			take_service(i);
		fprintf(f, "%llu\n", (unsigned long long)send_and_wait());
	} else if (sscanf(line, "change %u", &n) == 1 || sscanf(line, "add %u", &n) == 1) {
		for (unsigned i = 0; i < n; i++) {
			settle();
			fprintf(f, "%llu ",
				(unsigned long long)(line[0] == 'c' ? change(i) : add(i)));
		}
		fputs("\n", f);
	}
}

static void take_order(void)
{
	struct err e;
	int fd = sock_accept(w.orders, &e);
	char line[80];
	FILE *f;

	check(fd, &e);
	fcntl(fd, F_SETFL, 0);
	f = fdopen(fd, "r+");
	if (!f)
		die("order");
	if (fgets(line, sizeof(line), f))
		obey(f, line);
	fclose(f);
}

int main(int argc, char **argv)
{
	const struct rec_join me = { .role = "watch" };
	char path[512];
	struct err e;

	if (argc != 3)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	check(config_load(&w.cfg, argv[2], &e), &e);
	snprintf(path, sizeof(path), "%s/bench.sock", w.cfg.run_dir);
	w.orders = sock_unix_listen(path, SOCK_STREAM, 0600, &e);
	check(w.orders, &e);
	w.netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	if (w.netlink < 0)
		die("netlink");
	check(rstream_init(&w.keeper, KEEPER_FD, &e), &e);
	check(rstream_put(&w.keeper, REC_READY, record_schema(REC_READY), &me, -1, &e), &e);
	check(rstream_flush(&w.keeper, &e), &e);
	for (;;)
		if (turn(-1))
			take_order();
}
