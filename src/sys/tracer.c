// SPDX-License-Identifier: Apache-2.0
/* tracer: see tracer.h. One eye on packets, and for each namespace nftables' listener and a socket to its
 * connection table. All of them hang on one epoll descriptor. By eBPF the listener's messages come through the
 * eye, but for those that do not fit there. */
#include "sys/tracer_state.h"

#include "base/buf.h"
#include "sys/ctnl.h"
#include "sys/nftrace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define SEEN_MAX (4 * TRACER_FLOWS_MAX)

struct space {
	struct nftrace *rules; /* NULL: not asked for, or not to be had */
	struct nft_trace_own own;
	struct nl *ct;
};

/* A flow as it was seen in one namespace, whose connection may be asked for. */
struct seen {
	uint32_t space;
	struct ct_entry like; /* proto and orig */
};

struct tracer {
	struct tracer_eye *eye;
	struct space *spaces;
	uint32_t n_spaces;
	int epoll;
	unsigned means;
	struct buf note;
	struct seen seen[SEEN_MAX];
	uint32_t n_seen;
	struct tracer_event event; /* of a rule that is being told */
	tracer_fn fn;              /* the caller's, while tracer_read() runs */
	void *arg;
};

static void note(struct tracer *t, const struct err *e)
{
	buf_printf(&t->note, "%s%s", t->note.n ? "; " : "", e->text);
}

/* ---- opening */

static int watch(struct tracer *t, int fd, struct err *e)
{
	struct epoll_event v = { .events = EPOLLIN };

	return epoll_ctl(t->epoll, EPOLL_CTL_ADD, fd, &v) ? err_sys(e, -errno, "trace") : 0;
}

static int open_eye(struct tracer *t, const struct tracer_opts *o, struct err *e)
{
	struct err why = { 0 };
	int rc = o->no_bpf ? err_set(&why, -EOPNOTSUPP, "eBPF: not wanted")
			   : tracer_bpf_open(o, &t->eye, &why);

	if (!rc) {
		t->means |= TRACER_BPF;
		return 0;
	}
	note(t, &why);
	buf_puts(&t->note, "; packet sockets see no drops, and no answers without the signature");
	rc = tracer_packet_open(o, &t->eye, e);
	if (!rc)
		t->means |= TRACER_SOCKETS;
	return rc;
}

/* That nftables does not tell is no reason not to look at all. */
static int open_rules(struct tracer *t, const struct tracer_opts *o, uint32_t i, struct err *e)
{
	struct space *s = &t->spaces[i];
	struct err why = { 0 };

	if (nftrace_open_signature(o->spaces[i].netns, &o->signature, &s->rules, &why)) {
		s->rules = NULL;
		note(t, &why);
		return 0;
	}
	t->means |= TRACER_RULES;
	if (t->means & TRACER_BPF && tracer_bpf_attach(t->eye, nftrace_fd(s->rules), i, &why))
		note(t, &why);
	return watch(t, nftrace_fd(s->rules), e);
}

static int open_spaces(struct tracer *t, const struct tracer_opts *o, struct err *e)
{
	int rc = 0;

	t->spaces = calloc(o->n_spaces, sizeof(*t->spaces));
	if (!t->spaces)
		return err_sys(e, -ENOMEM, "trace");
	t->n_spaces = o->n_spaces;
	for (uint32_t i = 0; i < o->n_spaces && !rc; i++) {
		t->spaces[i].ct = nl_open_in(o->spaces[i].netns, NETLINK_NETFILTER, e);
		if (!t->spaces[i].ct)
			return -EIO;
		if (o->spaces[i].rules)
			rc = open_rules(t, o, i, e);
	}
	return rc;
}

static int start(struct tracer *t, const struct tracer_opts *o, struct err *e)
{
	int rc;

	t->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (t->epoll < 0)
		return err_sys(e, -errno, "trace");
	rc = open_eye(t, o, e);
	if (!rc)
		rc = open_spaces(t, o, e);
	return rc ? rc : watch(t, t->eye->fd, e);
}

int tracer_open(const struct tracer_opts *o, struct tracer **out, struct err *e)
{
	struct tracer *t;
	int rc;

	if (!o->n_spaces || o->n_spaces > TRACER_SPACES_MAX)
		return err_set(e, -EINVAL, "trace: 1 to %d namespaces, not %u", TRACER_SPACES_MAX,
			       o->n_spaces);
	t = calloc(1, sizeof(*t));
	if (!t)
		return err_sys(e, -ENOMEM, "trace");
	t->epoll = -1;
	rc = start(t, o, e);
	if (rc)
		tracer_close(t);
	else
		*out = t;
	return rc;
}

void tracer_close(struct tracer *t)
{
	if (!t)
		return;
	for (uint32_t i = 0; i < t->n_spaces; i++) {
		nftrace_close(t->spaces[i].rules);
		nl_close(t->spaces[i].ct);
	}
	if (t->eye)
		t->eye->close(t->eye);
	if (t->epoll >= 0)
		close(t->epoll);
	buf_fini(&t->note);
	free(t->spaces);
	free(t);
}

int tracer_fd(const struct tracer *t)
{
	return t->epoll;
}

unsigned tracer_means(const struct tracer *t)
{
	return t->means;
}

const char *tracer_note(const struct tracer *t)
{
	return t->note.n ? t->note.v : "";
}

struct nfnl *tracer_nfnl(struct tracer *t, uint32_t space)
{
	return t->spaces[space].rules ? nftrace_nfnl(t->spaces[space].rules) : NULL;
}

const char *tracer_table(const struct tracer *t, uint32_t space)
{
	return t->spaces[space].rules ? nftrace_table(t->spaces[space].rules) : NULL;
}

/* ---- reading */

static bool same(const struct seen *a, const struct seen *b)
{
	return a->space == b->space && a->like.proto == b->like.proto &&
	       !memcmp(&a->like.orig, &b->like.orig, sizeof(a->like.orig));
}

/* Remembers the flow, if it is one that conntrack may know by this packet. */
static void see(struct tracer *t, const struct tracer_event *x)
{
	struct seen s = { .space = x->space, .like.proto = x->head.flow.proto };
	struct ct_tuple *c = &s.like.orig;
	uint32_t i = 0;

	if (!x->has_head || x->head.outer.proto || x->head.has_quoted ||
	    !ctnl_knows(x->head.flow.proto))
		return;
	c->src = x->head.flow.src;
	c->dst = x->head.flow.dst;
	c->sport = x->head.flow.sport;
	c->dport = x->head.flow.dport;
	c->icmp_id = x->head.icmp_id;
	c->icmp_type = x->head.icmp_type;
	c->icmp_code = x->head.icmp_code;
	while (i < t->n_seen && !same(&t->seen[i], &s))
		i++;
	if (i == t->n_seen && i < SEEN_MAX)
		t->seen[t->n_seen++] = s;
}

static bool is_others(struct tracer *t, const struct tracer_event *x)
{
	struct space *s = &t->spaces[x->space];

	return x->kind == TRACER_RULE &&
	       !nft_trace_is_own(&s->own, nftrace_table(s->rules), x->rule);
}

static void on_event(void *arg, const struct tracer_event *x)
{
	struct tracer *t = arg;

	if (is_others(t, x))
		return;
	see(t, x);
	t->fn(t->arg, x);
}

static void on_rule(void *arg, const struct nft_trace *x)
{
	struct tracer *t = arg;

	t->event.mark = x->mark;
	t->event.rule = x;
	on_event(t, &t->event);
}

static uint64_t real_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int tracer_read(struct tracer *t, tracer_fn fn, void *arg, struct err *e)
{
	int n, rc;

	t->fn = fn;
	t->arg = arg;
	n = t->eye->read(t->eye, on_event, t, e);
	for (uint32_t i = 0; i < t->n_spaces && n >= 0; i++) {
		if (!t->spaces[i].rules)
			continue;
		t->event =
			(struct tracer_event){ .at = real_time(), .kind = TRACER_RULE, .space = i };
		rc = nftrace_read(t->spaces[i].rules, on_rule, t, e);
		n = rc < 0 ? rc : n + rc;
	}
	return n;
}

uint32_t tracer_lost(const struct tracer *t)
{
	uint32_t n = t->eye->lost(t->eye);

	for (uint32_t i = 0; i < t->n_spaces; i++)
		n += t->spaces[i].rules ? nftrace_lost(t->spaces[i].rules) : 0;
	return n;
}

/* ---- connections */

int tracer_connections(struct tracer *t, tracer_ct_fn fn, void *arg, struct err *e)
{
	struct {
		uint32_t space, id;
	} told[SEEN_MAX];
	uint32_t n = 0;

	for (uint32_t i = 0; i < t->n_seen; i++) {
		const struct seen *s = &t->seen[i];
		struct ct_entry c;
		uint32_t k = 0;
		int rc = ctnl_get(t->spaces[s->space].ct, &s->like, &c, e);

		if (rc < 0)
			return rc;
		while (rc && k < n && (told[k].space != s->space || told[k].id != c.id))
			k++;
		if (!rc || k < n)
			continue;
		told[n].space = s->space;
		told[n++].id = c.id;
		fn(arg, s->space, &c);
	}
	return 0;
}
