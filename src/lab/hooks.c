// SPDX-License-Identifier: Apache-2.0
/* hooks: see hooks.h. The kernel tells of a packet while it handles it, so when the probe has ended
 * all is queued. Events of one packet share an id; it begins where our chain at the start of
 * prerouting or output saw it, and ends where the same id begins anew. */
#include "lab/hooks.h"

#include "core/nft/service_kube.h"
#include "lab/space.h"
#include "sys/ctnl.h"
#include "sys/netns.h"
#include "sys/nfnl.h"
#include "sys/nftrace.h"

#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define EVENTS_MAX 8192 /* of a node; a connection makes some hundreds */
#define TIMEOUT_MS "1500"

/* One node's end of the tracing. */
struct tap {
	const struct world_member *node;
	int netns;
	struct nftrace *trace;
	struct nft_trace *v;
	size_t n, dropped;
	struct nft_ruleset rs; /* of the tables that events name */
};

struct run {
	const struct hooks_ask *ask;
	struct hooks *out;
	struct arena *a;
	struct tap *taps;
	size_t n;
};

static uint8_t ip_proto(uint8_t probe_proto)
{
	return probe_proto == PROBE_UDP ? IPPROTO_UDP : IPPROTO_TCP;
}

/* ---- tracing */

static int open_tap(struct tap *t, const struct nft_trace_flow *v, size_t n, struct err *e)
{
	t->netns = space_open(t->node->pid, SPACE_NET, e);
	if (t->netns < 0)
		return t->netns;
	t->v = calloc(EVENTS_MAX, sizeof(*t->v));
	return t->v ? nftrace_open(t->netns, v, n, &t->trace, e)
		    : err_sys(e, -ENOMEM, "events of %s", t->node->name);
}

static int open_taps(struct run *r, struct err *e)
{
	size_t n = r->ask->n_also + 1;
	struct nft_trace_flow *v = arena_array(r->a, n, sizeof(*v));
	int rc = v ? 0 : err_sys(e, -ENOMEM, "flows");

	if (!rc) {
		v[0] = (struct nft_trace_flow){ .proto = ip_proto(r->ask->proto),
						.sport = r->out->sport };
		for (size_t i = 1; i < n; i++)
			v[i] = r->ask->also[i - 1];
	}
	for (size_t i = 0; i < r->n && !rc; i++) {
		r->taps[i].node = &r->ask->w->nodes.v[i];
		nft_ruleset_init(&r->taps[i].rs, r->a);
		rc = open_tap(&r->taps[i], v, n, e);
	}
	return rc;
}

static void close_taps(struct run *r)
{
	for (size_t i = 0; i < r->n; i++) {
		nftrace_close(r->taps[i].trace);
		free(r->taps[i].v);
		if (r->taps[i].netns >= 0)
			close(r->taps[i].netns);
	}
}

static void on_event(void *arg, const struct nft_trace *x)
{
	struct tap *t = arg;

	if (t->n < EVENTS_MAX)
		t->v[t->n++] = *x;
	else
		t->dropped++;
}

/* What was told, and the rules that it names. */
static int read_tap(struct tap *t, struct err *e)
{
	int rc;

	do
		rc = nftrace_read(t->trace, on_event, t, e);
	while (rc > 0);
	for (size_t i = 0; i < t->n && !rc; i++)
		if (!nft_table_get(&t->rs, t->v[i].family, t->v[i].table))
			rc = nfnl_dump(nftrace_nfnl(t->trace), t->v[i].family, t->v[i].table, false,
				       &t->rs, e);
	return rc;
}

/* ---- the connection */

static void on_result(void *arg, const struct probing_result *p)
{
	struct run *r = arg;

	r->out->result = p->result;
	r->out->refused = p->refused;
	r->out->server = arena_strdup(r->a, p->server);
	r->out->server_sees = arena_strdup(r->a, p->server_sees);
	r->out->detail = arena_strdup(r->a, p->detail);
}

static int send_probe(struct run *r, struct err *e)
{
	const struct hooks_ask *ask = r->ask;
	bool v6 = ask->dst.family == AF_INET6;
	const char *source = arena_printf(r->a, v6 ? "[::]:%u" : "0.0.0.0:%u", r->out->sport);
	struct probing_job job = { .pid = ask->from->pid,
				   .args = { "--timeout", TIMEOUT_MS, "--source", source } };
	char text[ADDR_TEXT];
	int rc;

	buf_printf(&job.targets, "0 %s %s %u\n", name_of(&probe_proto_names, ask->proto),
		   addr_str(&ask->dst, text), ask->dport);
	rc = probing_run(&job, 1, on_result, r, e);
	buf_fini(&job.targets);
	return rc;
}

/* ---- the packet's way */

static bool is_marker(const struct tap *t, const struct nft_trace *x)
{
	return x->family == NFPROTO_INET && !strcmp(x->table, nftrace_table(t->trace));
}

/* The packet comes to the node, or from it, here. */
static bool begins(const struct tap *t, const struct nft_trace *x, struct nft_trace_flow *packet)
{
	return is_marker(t, x) && nft_trace_packet(x, packet) &&
	       (!strcmp(x->chain, NFT_TRACE_PREROUTING) || !strcmp(x->chain, NFT_TRACE_OUTPUT));
}

/* First event of a packet like that; t->n: none. */
static size_t find_begin(const struct tap *t, const struct nft_trace_flow *wanted)
{
	struct nft_trace_flow p;
	size_t i = 0;

	while (i < t->n && !(begins(t, &t->v[i], &p) && nft_trace_matches(wanted, &p)))
		i++;
	return i;
}

static void make_step(const struct tap *t, const struct nft_trace *x, struct hooks_step *s,
		      bool *local)
{
	const struct nft_chain *c = nft_trace_chain(&t->rs, x);

	s->event = x;
	s->marker = is_marker(t, x);
	s->rule = nft_trace_rule(&t->rs, x);
	s->has_packet = nft_trace_packet(x, &s->packet);
	s->base = s->has_packet ? c : s[-1].base; /* the first one has */
	s->hook = s->base ? s->base->hook : NF_INET_NUMHOOKS;
	s->kube = s->rule ? nft_kube_chain(x->chain, s->rule, local) : NULL;
}

static int name_devices(void *arg, struct err *e)
{
	struct hooks_stop *stop = arg;

	for (uint32_t i = 0; i < stop->steps.n; i++) {
		struct hooks_step *s = &stop->steps.v[i];

		if (s->event->iif && !if_indextoname(s->event->iif, s->iif))
			snprintf(s->iif, sizeof(s->iif), "%u", s->event->iif);
		if (s->event->oif && !if_indextoname(s->event->oif, s->oif))
			snprintf(s->oif, sizeof(s->oif), "%u", s->event->oif);
	}
	return 0;
}

/* Events from `at` on that are of the same packet. */
static int take_stop(struct run *r, struct tap *t, size_t at, struct err *e)
{
	struct hooks_stop *stop = &r->out->stops[r->out->n_stops];
	struct nft_trace_flow again;
	bool local = false;

	*stop = (struct hooks_stop){ .node = t->node->name };
	stop->steps.v = arena_array(r->a, t->n - at, sizeof(*stop->steps.v));
	if (!stop->steps.v)
		return err_sys(e, -ENOMEM, "hooks");
	for (size_t i = at; i < t->n; i++) {
		const struct nft_trace *x = &t->v[i];

		if (x->id != t->v[at].id)
			continue;
		if (i > at && begins(t, x, &again))
			break;
		x = arena_memdup(r->a, x, sizeof(*x));
		if (!x)
			return err_sys(e, -ENOMEM, "hooks");
		make_step(t, x, &stop->steps.v[stop->steps.n++], &local);
	}
	r->out->n_stops++;
	return netns_do(t->netns, name_devices, stop, e);
}

/* Was the packet there before, the same as it is now? Then what is found is a later one. */
static bool was_there(const struct hooks *h, const char *node, const struct nft_trace_flow *now)
{
	for (size_t i = 0; i < h->n_stops; i++)
		if (h->stops[i].node == node &&
		    nft_trace_matches(now, &h->stops[i].steps.v[0].packet))
			return true;
	return false;
}

static const struct hooks_step *last_seen(const struct hooks_stop *stop)
{
	uint32_t i = stop->steps.n - 1;

	while (i && !stop->steps.v[i].has_packet)
		i--;
	return &stop->steps.v[i];
}

static bool is_home(const struct run *r, const struct tap *t)
{
	const struct world_member *from = r->ask->from;

	return from == t->node || (from->node && !strcmp(from->node, t->node->name));
}

/* The sender's own node first; then whoever saw it as it left the one before. */
static int follow(struct run *r, struct err *e)
{
	struct nft_trace_flow wanted = { .dst = r->ask->dst,
					 .proto = ip_proto(r->ask->proto),
					 .sport = r->out->sport,
					 .dport = r->ask->dport };
	bool found = true;
	int rc = 0;

	while (found && !rc && r->out->n_stops < HOOKS_STOPS_MAX) {
		found = false;
		for (int home = r->out->n_stops ? 0 : 1; home >= 0 && !found; home--)
			for (size_t i = 0; i < r->n && !found && !rc; i++) {
				struct tap *t = &r->taps[i];
				size_t at = find_begin(t, &wanted);

				if (at == t->n || (home && !is_home(r, t)) ||
				    was_there(r->out, t->node->name, &wanted))
					continue;
				found = true;
				rc = take_stop(r, t, at, e);
			}
		if (found && !rc)
			wanted = last_seen(&r->out->stops[r->out->n_stops - 1])->packet;
	}
	return rc;
}

/* ---- what conntrack remembers */

struct remembering {
	struct hooks_stop *stop;
	struct ctnl_dump *dump;
};

static void on_entry(void *arg, const struct ct_entry *c)
{
	struct hooks_stop *stop = arg;
	const struct nft_trace_flow *p = &stop->steps.v[0].packet;

	if (c->proto != p->proto || c->orig.sport != p->sport || c->orig.dport != p->dport ||
	    !addr_eq(&c->orig.src, &p->src) || !addr_eq(&c->orig.dst, &p->dst))
		return;
	stop->ct = *c;
	stop->has_ct = true;
}

static int start_dump(void *arg, struct err *e)
{
	struct remembering *m = arg;
	const struct nft_trace_flow *p = &m->stop->steps.v[0].packet;

	m->dump = ctnl_dump_start(&(struct ctnl_which){ p->src.family, p->proto }, 1, NULL, e);
	return m->dump ? 0 : -EIO;
}

static int remember(struct hooks_stop *stop, const struct tap *t, struct err *e)
{
	struct remembering m = { .stop = stop };
	int rc = netns_do(t->netns, start_dump, &m, e);

	if (!rc)
		rc = 1;
	while (rc > 0) {
		struct pollfd p = { .fd = ctnl_dump_fd(m.dump), .events = POLLIN };

		poll(&p, 1, -1);
		rc = ctnl_dump_read(m.dump, on_entry, stop, e);
	}
	ctnl_dump_end(m.dump);
	return rc;
}

static int remember_all(struct run *r, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; i < r->out->n_stops && !rc; i++)
		for (size_t k = 0; k < r->n; k++)
			if (r->taps[k].node->name == r->out->stops[i].node)
				rc = remember(&r->out->stops[i], &r->taps[k], e);
	return rc;
}

int hooks_run(const struct hooks_ask *ask, struct hooks *out, struct arena *a, struct err *e)
{
	struct run r = { .ask = ask, .out = out, .a = a, .n = ask->w->nodes.n };
	uint16_t random;
	int rc = 0;

	*out = (struct hooks){ .server = "", .server_sees = "", .detail = "" };
	r.taps = arena_array(a, r.n, sizeof(*r.taps));
	if (!r.taps || getrandom(&random, sizeof(random), 0) != sizeof(random))
		return err_sys(e, r.taps ? -errno : -ENOMEM, "hooks");
	for (size_t i = 0; i < r.n; i++)
		r.taps[i].netns = -1;
	out->sport = (uint16_t)(20000 + random % 12000); /* below what Linux gives by itself */
	rc = open_taps(&r, e);
	if (!rc)
		rc = send_probe(&r, e);
	for (size_t i = 0; i < r.n && !rc; i++) {
		rc = read_tap(&r.taps[i], e);
		out->lost += nftrace_lost(r.taps[i].trace) + (uint32_t)r.taps[i].dropped;
	}
	if (!rc)
		rc = follow(&r, e);
	if (!rc)
		rc = remember_all(&r, e);
	close_taps(&r);
	return rc;
}
