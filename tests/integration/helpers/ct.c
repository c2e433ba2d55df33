// SPDX-License-Identifier: Apache-2.0
/* The agent's hands on the connection table of the current namespace, for tests in which others
 * make the entries and judge what is left.
 *
 *   ct count
 *   ct list PROTO...            one line per entry: text, id, status, SCTP's state, zones
 *   ct with PROTO ADDR          the same of those that have this address at some end
 *   ct steps PROTO              how many entries came in how many reads, the loop's turns meanwhile,
 *                               and µs of the processor that the start or the longest read took
 *   ct bytes                    the kernel's messages (the fuzz corpus is made of them)
 *   ct delete PROTO ADDR PORT   those of this original destination; prints how many
 *   ct late PROTO ADDR PORT     the same, but a line on standard input must come before it
 *   ct other PROTO ADDR PORT    as delete, but with other ids than the entries have
 *   ct leave PROTO              ends a dump that it did not read
 *
 * PROTO is udp, tcp, sctp, icmp (in the IPv4 half of the table), icmp6 or all, in both families. */
#include "sys/clock.h"
#include "sys/ctnl.h"

#include <errno.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static int die(const struct err *e)
{
	fprintf(stderr, "ct: %s\n", e->text);
	return 1;
}

static uint8_t proto_of(const char *name)
{
	return !strcmp(name, "udp")     ? IPPROTO_UDP
	       : !strcmp(name, "tcp")   ? IPPROTO_TCP
	       : !strcmp(name, "sctp")  ? IPPROTO_SCTP
	       : !strcmp(name, "icmp")  ? IPPROTO_ICMP
	       : !strcmp(name, "icmp6") ? IPPROTO_ICMPV6
					: 0; /* all */
}

struct found {
	bool count; /* only that */
	struct ct_entry *v;
	size_t n, cap;
	size_t reads, turns;
	uint64_t longest; /* ns */
};

static void on_entry(void *arg, const struct ct_entry *c)
{
	struct found *f = arg;

	if (!f->count && f->n == f->cap) {
		f->cap = f->cap ? 2 * f->cap : 1024;
		f->v = reallocarray(f->v, f->cap, sizeof(*f->v));
		if (!f->v)
			abort();
	}
	if (!f->count)
		f->v[f->n] = *c;
	f->n++;
}

/* Of this thread: other load on the machine is no matter. */
static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void note_time(struct found *f, uint64_t since)
{
	uint64_t took = cpu_ns() - since;

	if (took > f->longest)
		f->longest = took;
}

/* As a loop would: it waits a millisecond at most, and turns. */
static int find_which(const struct ctnl_which *which, size_t n, struct found *f, struct err *e)
{
	uint64_t since = cpu_ns();
	struct ctnl_dump *d = ctnl_dump_start(which, n, NULL, e);
	int rc = d ? 1 : -1;

	note_time(f, since);
	while (rc > 0) {
		struct pollfd p = { .fd = ctnl_dump_fd(d), .events = POLLIN };

		f->turns++;
		if (poll(&p, 1, 1) <= 0)
			continue;
		since = cpu_ns();
		rc = ctnl_dump_read(d, on_entry, f, e);
		note_time(f, since);
		f->reads++;
	}
	ctnl_dump_end(d);
	return rc;
}

static int find(const char *proto, struct found *f, struct err *e)
{
	const struct ctnl_which which[] = { { AF_INET, proto_of(proto) },
					    { AF_INET6, proto_of(proto) } };

	return find_which(which, 2, f, e);
}

static void print(const struct found *f)
{
	char text[CT_TEXT];

	for (size_t i = 0; i < f->n; i++)
		printf("%s id %08x status %x state %s zone %u %u\n", ct_str(&f->v[i], text),
		       f->v[i].id, f->v[i].status, name_of(&ct_sctp_names, f->v[i].sctp_state),
		       f->v[i].zone[0], f->v[i].zone[1]);
}

static int run_list(char **protos, struct err *e)
{
	struct found f = { 0 };
	int rc = 0;

	for (; *protos && !rc; protos++)
		rc = find(*protos, &f, e);
	if (!rc)
		print(&f);
	free(f.v);
	return rc;
}

static int run_with(const char *proto, const char *addr, struct err *e)
{
	struct ctnl_which which = { .proto = proto_of(proto) };
	struct found f = { 0 };
	int rc =
		addr && !addr_parse(addr, &which.addr) ? 0 : err_set(e, -EINVAL, "with PROTO ADDR");

	which.family = which.addr.family;
	if (!rc)
		rc = find_which(&which, 1, &f, e);
	if (!rc)
		print(&f);
	free(f.v);
	return rc;
}

static int run_steps(const char *proto, struct err *e)
{
	struct found f = { .count = true };
	uint64_t since = clock_mono_ns();
	int rc = find(proto, &f, e);

	if (!rc)
		printf("{\"entries\": %zu, \"reads\": %zu, \"turns\": %zu, \"longest_us\": %.1f, "
		       "\"total_ms\": %.1f}\n",
		       f.n, f.reads, f.turns, (double)f.longest / 1e3,
		       (double)(clock_mono_ns() - since) / 1e6);
	free(f.v);
	return rc;
}

static int run_delete(const char *verb, char **args, struct err *e)
{
	struct found f = { 0 };
	struct ipaddr dst;
	struct nl *nl = NULL;
	size_t n = 0, deleted = 0;
	char line[16];
	int rc = args[1] && args[2] && !addr_parse(args[1], &dst)
			 ? find(args[0], &f, e)
			 : err_set(e, -EINVAL, "delete PROTO ADDR PORT");

	for (size_t i = 0; !rc && i < f.n; i++)
		if (addr_eq(&f.v[i].orig.dst, &dst) && f.v[i].orig.dport == atoi(args[2]))
			f.v[n++] = f.v[i];
	for (size_t i = 0; i < n && !strcmp(verb, "other"); i++)
		f.v[i].id ^= 1;
	if (!rc && !strcmp(verb, "late") &&
	    (printf("found %zu\n", n), fflush(stdout), !fgets(line, 16, stdin)))
		rc = err_set(e, -EIO, "no line");
	if (!rc)
		nl = nl_open(NETLINK_NETFILTER, e);
	rc = rc ? rc : nl ? ctnl_delete(nl, f.v, n, &deleted, e) : -EIO;
	if (!rc)
		printf("%zu\n", deleted);
	nl_close(nl);
	free(f.v);
	return rc;
}

static int run_count(struct err *e)
{
	struct nl *nl = nl_open(NETLINK_NETFILTER, e);
	uint32_t n;
	int rc = nl ? ctnl_count(nl, &n, e) : -EIO;

	if (!rc)
		printf("%u\n", n);
	nl_close(nl);
	return rc;
}

static int run_leave(const char *proto, struct err *e)
{
	struct ctnl_which w = { AF_INET, proto_of(proto) };
	struct ctnl_dump *d = ctnl_dump_start(&w, 1, NULL, e);

	ctnl_dump_end(d);
	return d ? 0 : -EIO;
}

static int write_message(void *arg, const struct nlmsghdr *nlh, struct err *e)
{
	fwrite(nlh, 1, nlh->nlmsg_len, stdout);
	return 0;
}

static int run_bytes(struct err *e)
{
	struct nl *nl = nl_open(NETLINK_NETFILTER, e);
	struct nl_batch b = { 0 };
	int rc = -EIO;

	if (nl && nl_batch_add(&b, CTNL_TYPE(IPCTNL_MSG_CT_GET), NLM_F_DUMP, 4))
		rc = nl_dump(nl, &b, write_message, NULL, e);
	nl_batch_fini(&b);
	nl_close(nl);
	return rc;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";
	struct err e = { 0 };
	int rc;

	if (!strcmp(verb, "count"))
		rc = run_count(&e);
	else if (!strcmp(verb, "bytes"))
		rc = run_bytes(&e);
	else if (argc < 3)
		rc = err_set(&e, -EINVAL, "see the first lines of ct.c");
	else if (!strcmp(verb, "list"))
		rc = run_list(argv + 2, &e);
	else if (!strcmp(verb, "with"))
		rc = run_with(argv[2], argv[3], &e);
	else if (!strcmp(verb, "steps"))
		rc = run_steps(argv[2], &e);
	else if (!strcmp(verb, "delete") || !strcmp(verb, "late") || !strcmp(verb, "other"))
		rc = run_delete(verb, argv + 2, &e);
	else if (!strcmp(verb, "leave"))
		rc = run_leave(argv[2], &e);
	else
		rc = err_set(&e, -EINVAL, "no verb %s", verb);
	return rc ? die(&e) : 0;
}
