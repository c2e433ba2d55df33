// SPDX-License-Identifier: Apache-2.0
/* prober_main: options, the list of targets and the loop; see prober.h. A name is resolved once,
 * before the first packet, with the resolver of the mount namespace that it runs in. */
#include "base/arena.h"
#include "base/names.h"
#include "lab/prober.h"
#include "lab/words.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define MS          1000000ull
#define SIZE_LIMIT  65000
#define BURST       16
#define COUNT_LIMIT 1000000

struct options {
	struct probe_opts probe;
	int count, interval_ms, family, in_flight;
	bool same_socket;
};

struct run {
	struct options o;
	struct probe *v; /* one per target and repetition */
	size_t n, cap;
	int epoll;
	size_t next, active;
	uint64_t begun;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static const char *dash(const char *s)
{
	return *s ? s : "-";
}

static void print_result(const struct probe *p)
{
	printf("%ld %s %s %s %s %llu %s\n", p->id, name_of(&probe_result_names, p->result),
	       dash(p->server), dash(p->sees), name_of(&refused_by_names, p->refused),
	       (unsigned long long)(p->took / 1000), dash(p->detail));
}

/* ---- options */

static int number(const char *name, const char *text, long max, int *out)
{
	char *end;
	long v = strtol(text, &end, 10);

	if (!*text || *end || v < 0 || v > max) {
		fprintf(stderr, "lab-prober: %s %s: must be a number up to %ld\n", name, text, max);
		return -EINVAL;
	}
	*out = (int)v;
	return 0;
}

static int parse_source(struct probe_opts *o, char *text)
{
	char *port = NULL;
	int n = 0;

	if (*text == '[') {
		char *end = strchr(text, ']');

		if (end) {
			*end = '\0';
			text++;
			port = end[1] == ':' ? end + 2 : NULL;
		}
	} else if (strchr(text, ':') && strchr(text, ':') == strrchr(text, ':')) {
		port = strchr(text, ':');
		*port++ = '\0';
	}
	if (addr_parse(text, &o->source) || (port && number("--source", port, 65535, &n))) {
		fprintf(stderr, "lab-prober: --source %s: must be ADDR or ADDR:PORT\n", text);
		return -EINVAL;
	}
	o->source_port = (uint16_t)n;
	return 0;
}

static int parse_option(struct options *o, const char *name, char *value)
{
	int size, rc;

	if (!strcmp(name, "--timeout"))
		return number(name, value, 3600000, &o->probe.timeout_ms);
	if (!strcmp(name, "--resends"))
		return number(name, value, 100, &o->probe.resends);
	if (!strcmp(name, "--hold"))
		return number(name, value, 86400000, &o->probe.hold_ms);
	if (!strcmp(name, "--count"))
		return number(name, value, COUNT_LIMIT, &o->count);
	if (!strcmp(name, "--interval"))
		return number(name, value, 3600000, &o->interval_ms);
	if (!strcmp(name, "--in-flight"))
		return number(name, value, 4096, &o->in_flight);
	if (!strcmp(name, "--family"))
		return number(name, value, 6, &o->family);
	if (!strcmp(name, "--source"))
		return parse_source(&o->probe, value);
	if (!strcmp(name, "--size")) {
		rc = number(name, value, SIZE_LIMIT, &size);
		if (!rc)
			o->probe.size = (size_t)size;
		return rc;
	}
	if (!strcmp(name, "--same-socket")) {
		o->same_socket = !strcmp(value, "yes");
		return 0;
	}
	fprintf(stderr, "lab-prober: %s: no such option\n", name);
	return -EINVAL;
}

static int parse_options(struct options *o, int argc, char **argv)
{
	*o = (struct options){
		.probe = { .timeout_ms = 1500, .hold_every_ms = 200, .report = print_result },
		.count = 1,
		.in_flight = 256,
	};
	for (int i = 1; i < argc; i += 2) {
		if (i + 1 == argc) {
			fprintf(stderr, "lab-prober: %s: needs a value\n", argv[i]);
			return -EINVAL;
		}
		if (parse_option(o, argv[i], argv[i + 1]))
			return -EINVAL;
	}
	o->probe.repeat = o->same_socket ? o->count : 1;
	if (o->probe.hold_ms && o->interval_ms)
		o->probe.hold_every_ms = o->interval_ms;
	return 0;
}

/* ---- targets */

static int resolve(const struct options *o, const char *host, struct ipaddr *out)
{
	struct addrinfo hints = { .ai_family = o->family == 4   ? AF_INET
					       : o->family == 6 ? AF_INET6
								: AF_UNSPEC,
				  .ai_socktype = SOCK_STREAM };
	struct addrinfo *got;
	int rc;

	if (!addr_parse(host, out))
		return 0;
	rc = getaddrinfo(host, NULL, &hints, &got);
	if (rc) {
		fprintf(stderr, "%s: %s\n", host, gai_strerror(rc));
		return -ENOENT;
	}
	*out = ep_ip((const struct sockaddr_storage *)got->ai_addr);
	freeaddrinfo(got);
	return 0;
}

static int add(struct run *r, const struct probe *p)
{
	if (r->n == r->cap) {
		size_t cap = r->cap ? 2 * r->cap : 64;
		struct probe *v = realloc(r->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		r->v = v;
		r->cap = cap;
	}
	r->v[r->n++] = *p;
	return 0;
}

static int read_target(struct run *r, char *line, struct probe *p)
{
	uint64_t id, port;
	const char *proto, *host;
	int which;

	line[strcspn(line, "\n")] = '\0';
	if (words_number(words_next(&line), INT32_MAX, &id))
		return -EINVAL;
	proto = words_next(&line);
	host = words_next(&line);
	which = name_find(&probe_proto_names, proto);
	if (which < 0 || words_number(words_next(&line), 65535, &port))
		return -EINVAL;
	p->id = (long)id;
	p->proto = (uint8_t)which;
	p->port = (uint16_t)port;
	return resolve(&r->o, host, &p->addr);
}

static int read_targets(struct run *r)
{
	char line[512];

	while (fgets(line, sizeof(line), stdin)) {
		struct probe p = { .fd = -1, .opts = &r->o.probe };
		int rc = read_target(r, line, &p);

		if (rc == -EINVAL)
			fprintf(stderr, "lab-prober: a target must be: ID PROTO ADDR PORT\n");
		for (int i = 0; !rc && i < (r->o.same_socket ? 1 : r->o.count); i++)
			rc = add(r, &p);
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- loop */

static uint64_t due(const struct probe *p)
{
	return p->wake && p->wake < p->deadline ? p->wake : p->deadline;
}

/* Holding a connection, only `wake` matters: nothing is asked, so nothing can be late. */
static uint64_t due_of(const struct probe *p)
{
	return p->proto == PROBE_TCP && p->wake ? p->wake : due(p);
}

static void rewatch(struct run *r, struct probe *p, int op)
{
	struct epoll_event ev = { .events = probe_events(p), .data.ptr = p };

	if (p->fd >= 0)
		epoll_ctl(r->epoll, op, p->fd, &ev);
}

/* A few at a time: a burst of first packets from many probers would overflow the kernel's queue
 * between network devices (netdev_max_backlog), and loss would look like a verdict. */
static void start_due(struct run *r, uint64_t now)
{
	for (int i = 0; i < BURST && r->next < r->n && r->active < (size_t)r->o.in_flight; i++) {
		struct probe *p = &r->v[r->next];
		uint64_t at = r->begun + (uint64_t)r->o.interval_ms * MS * r->next;

		if (at > now)
			return;
		r->next++;
		probe_start(p, now_ns());
		if (p->result != PROBE_PENDING)
			continue;
		r->active++;
		rewatch(r, p, EPOLL_CTL_ADD);
	}
}

static void step(struct run *r, struct probe *p, uint32_t events, uint64_t now)
{
	bool was = p->connected;

	probe_step(p, events, now);
	if (p->result != PROBE_PENDING)
		r->active--;
	else if (p->connected != was)
		rewatch(r, p, EPOLL_CTL_MOD);
}

/* Lets every probe whose time has come act; returns when the next one's comes. */
static uint64_t sweep(struct run *r, uint64_t now)
{
	uint64_t soonest = UINT64_MAX;

	for (size_t i = 0; i < r->next; i++) {
		struct probe *p = &r->v[i];

		if (p->result == PROBE_PENDING && due_of(p) <= now)
			step(r, p, 0, now);
		if (p->result == PROBE_PENDING && due_of(p) < soonest)
			soonest = due_of(p);
	}
	return soonest;
}

static void loop(struct run *r)
{
	struct epoll_event events[128];

	r->begun = now_ns();
	while (r->next < r->n || r->active) {
		uint64_t now = now_ns(), soonest, wait;
		int n;

		start_due(r, now);
		now = now_ns();
		soonest = sweep(r, now);
		if (r->next < r->n && r->active < (size_t)r->o.in_flight) {
			uint64_t at = r->begun + (uint64_t)r->o.interval_ms * MS * r->next;

			soonest = at < soonest ? at : soonest;
		}
		if (soonest == UINT64_MAX)
			continue;
		wait = soonest > now ? soonest - now : 0;
		n = epoll_wait(r->epoll, events, 128, (int)(wait / MS) + 1);
		for (int i = 0; i < n; i++)
			step(r, events[i].data.ptr, events[i].events, now_ns());
		fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	static struct run r;

	if (parse_options(&r.o, argc, argv))
		return 2;
	srandom((unsigned)now_ns() ^ (unsigned)getpid());
	if (read_targets(&r))
		return 2;
	r.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (r.epoll < 0) {
		perror("epoll");
		return 2;
	}
	loop(&r);
	return 0;
}
