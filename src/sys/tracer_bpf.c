// SPDX-License-Identifier: Apache-2.0
/* tracer_bpf: configures what src/bpf/trace.bpf.c is to follow and reads our ring of it; see tracer_state.h. How the
 * programs come into the kernel, and who else may have them, is sys/tracer_set.h's.
 *
 * The ring is that of Documentation/bpf/ringbuf.rst: one page that we write (how far we have read), one that
 * we may only read (how far it is written), then the data, twice in a row, so that no record has a seam. */
#include "sys/tracer_state.h"

#include "sys/btf.h"
#include "sys/netns.h"
#include "sys/tracer_set.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define AT_ONCE       1024
#define REASON_PREFIX "SKB_DROP_REASON_"

struct bpf_eye {
	struct tracer_eye eye;
	struct tracer_set set;
	struct trace_config config;
	unsigned long *consumer;
	unsigned long *producer; /* only read, as the data behind it */
	size_t page;
	uint64_t epoch; /* real time when the monotonic clock began */
	uint16_t vxlan_port;
	char (*reasons)[48];
	uint32_t n_reasons;
};

_Static_assert(TRACE_SEQS == NFT_TRACE_SEQS, "both sides match the same packets");
_Static_assert(TRACE_SPACES_MAX == TRACER_SPACES_MAX, "all namespaces fit");

static struct bpf_eye *mine(struct tracer_eye *y)
{
	return (struct bpf_eye *)y;
}

/* ---- the running kernel */

static void on_reason(void *arg, const char *name, uint32_t value)
{
	struct bpf_eye *b = arg;
	size_t n = strlen(REASON_PREFIX);

	if (value < b->n_reasons)
		snprintf(b->reasons[value], sizeof(*b->reasons), "%s",
			 strncmp(name, REASON_PREFIX, n) ? name : name + n);
}

static int know_kernel(struct bpf_eye *b, struct err *e)
{
	struct btf *btf = NULL;
	int rc = btf_open(BTF_VMLINUX, &btf, e);

	if (rc)
		return rc;
	b->n_reasons = 512;
	b->reasons = calloc(b->n_reasons, sizeof(*b->reasons));
	if (!b->reasons)
		rc = err_sys(e, -ENOMEM, "eBPF");
	else if (btf_tracepoint_args(btf, "kfree_skb") < 3)
		rc = err_set(e, -EOPNOTSUPP, "eBPF: this kernel gives no reasons for drops");
	else
		btf_enum(btf, "skb_drop_reason", on_reason, b);
	b->config.consume_has_place = btf_tracepoint_args(btf, "consume_skb") >= 2;
	btf_close(btf);
	return rc;
}

static uint64_t now_on(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- loading */

/* `inums`: numbers of the namespaces, in the order of the options. */
static int configure(struct bpf_eye *b, const struct tracer_opts *o, uint32_t *inums, struct err *e)
{
	struct trace_config *c = &b->config;
	uint64_t id = 0;
	int rc = 0;

	for (uint32_t i = 0; i < o->n_spaces && !rc; i++) {
		rc = netns_id(o->spaces[i].netns, &id, e);
		inums[i] = (uint32_t)id;
	}
	c->proto = o->signature.proto;
	c->number = c->proto == IPPROTO_UDP ? o->signature.at : (uint32_t)o->signature.value;
	for (int i = 0; i < 8; i++)
		((uint8_t *)&c->value)[i] = (uint8_t)(o->signature.value >> (7 - i) * 8);
	c->vxlan_port = htons(b->vxlan_port);
	return rc;
}

static int load(struct bpf_eye *b, const struct tracer_opts *o, struct err *e)
{
	uint32_t inums[TRACER_SPACES_MAX];
	int rc = know_kernel(b, e);

	if (!rc)
		rc = configure(b, o, inums, e);
	return rc ? rc : tracer_set_open(&b->config, inums, o->n_spaces, &b->set, e);
}

static int map_ring(struct bpf_eye *b, struct err *e)
{
	int fd = b->set.ring;
	void *p;

	b->page = (size_t)sysconf(_SC_PAGESIZE);
	p = mmap(NULL, b->page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return err_sys(e, -errno, "eBPF: ring");
	b->consumer = p;
	p = mmap(NULL, b->page + 2 * TRACE_RING, PROT_READ, MAP_SHARED, fd, (off_t)b->page);
	if (p == MAP_FAILED)
		return err_sys(e, -errno, "eBPF: ring");
	b->producer = p;
	b->eye.fd = fd;
	return 0;
}

/* ---- reading */

static void name_reason(const struct bpf_eye *b, uint32_t reason, char out[48])
{
	if (reason < b->n_reasons && b->reasons[reason][0])
		memcpy(out, b->reasons[reason], 48);
	else
		snprintf(out, 48, "%u", reason);
}

static void take_route(const struct trace_route *r, struct tracer_route *out)
{
	size_t n = r->family == AF_INET ? 4 : 16;

	out->iif = r->iif;
	out->oif = r->oif;
	out->mark = r->mark;
	out->error = r->error;
	out->flow.src.family = out->flow.dst.family = r->family;
	memcpy(out->flow.src.b, r->src, n);
	memcpy(out->flow.dst.b, r->dst, n);
	out->flow.proto = r->proto;
	if (nft_trace_has_ports(r->proto)) {
		out->flow.sport = ntohs(r->sport);
		out->flow.dport = ntohs(r->dport);
	}
	out->gateway.family = r->gateway_family;
	if (r->gateway_family)
		memcpy(out->gateway.b, r->gateway, r->gateway_family == AF_INET ? 4 : 16);
}

/* The message as the kernel wrote it for the socket; false: none of nftables. */
static bool take_rule(const struct trace_rule_event *v, size_t n, struct nft_trace *rule,
		      struct tracer_event *out)
{
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)v->message;

	if (n < sizeof(*v) || v->head.n < sizeof(*nlh) || v->head.n > sizeof(v->message) ||
	    nlh->nlmsg_len > v->head.n || nft_trace_decode(nlh, rule, NULL))
		return false;
	out->mark = rule->mark;
	out->rule = rule;
	return true;
}

static bool take(const struct bpf_eye *b, const void *record, size_t n, struct nft_trace *rule,
		 struct tracer_event *out)
{
	static const uint8_t kinds[] = {
		[TRACE_IN] = TRACER_IN,       [TRACE_OUT] = TRACER_OUT,
		[TRACE_ROUTE] = TRACER_ROUTE, [TRACE_RULE] = TRACER_RULE,
		[TRACE_DROP] = TRACER_DROP,   [TRACE_CONSUME] = TRACER_CONSUME
	};
	const struct trace_event *v = record;

	if (n < sizeof(*v) || v->kind >= sizeof(kinds))
		return false;
	*out = (struct tracer_event){ .at = v->at + b->epoch,
				      .kind = kinds[v->kind],
				      .cpu = (uint16_t)v->cpu,
				      .space = v->space,
				      .packet = v->packet,
				      .ifindex = v->ifindex,
				      .mark = v->mark };
	if (v->kind == TRACE_RULE)
		return take_rule(record, n, rule, out);
	if (v->kind == TRACE_ROUTE) {
		take_route(&v->route, &out->route);
		return true;
	}
	snprintf(out->device, sizeof(out->device), "%.15s", v->device);
	snprintf(out->place, sizeof(out->place), "%.*s", (int)strcspn(v->place, "/"), v->place);
	if (v->kind == TRACE_DROP)
		name_reason(b, v->reason, out->reason);
	out->has_head = v->n <= sizeof(v->bytes) &&
			tracer_head_parse(v->bytes, v->n, b->vxlan_port, &out->head);
	return true;
}

static int read_ring(struct tracer_eye *y, tracer_fn fn, void *arg, struct err *e)
{
	struct bpf_eye *b = mine(y);
	const uint8_t *data = (const uint8_t *)b->producer + b->page;
	unsigned long at = *b->consumer;
	struct tracer_event event;
	struct nft_trace rule;
	int n = 0;

	while (n < AT_ONCE && at < __atomic_load_n(b->producer, __ATOMIC_ACQUIRE)) {
		const uint32_t *head = (const uint32_t *)(data + (at & (TRACE_RING - 1)));
		uint32_t len = __atomic_load_n(head, __ATOMIC_ACQUIRE);
		uint32_t size = len & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);

		if (len & BPF_RINGBUF_BUSY_BIT)
			break;
		if (!(len & BPF_RINGBUF_DISCARD_BIT) &&
		    take(b, (const uint8_t *)head + BPF_RINGBUF_HDR_SZ, size, &rule, &event))
			fn(arg, &event);
		n++;
		at += (size + BPF_RINGBUF_HDR_SZ + 7) & ~7u;
		__atomic_store_n(b->consumer, at, __ATOMIC_RELEASE);
	}
	return n;
}

static uint32_t lost(struct tracer_eye *y)
{
	const struct tracer_set *s = &mine(y)->set;

	return __atomic_load_n(&s->shared->told[s->taker].lost, __ATOMIC_RELAXED);
}

static void close_bpf(struct tracer_eye *y)
{
	struct bpf_eye *b = mine(y);

	if (b->producer)
		munmap(b->producer, b->page + 2 * TRACE_RING);
	if (b->consumer)
		munmap(b->consumer, b->page);
	tracer_set_close(&b->set);
	free(b->reasons);
	free(b);
}

/* ---- interface */

int tracer_bpf_open(const struct tracer_opts *o, struct tracer_eye **out, struct err *e)
{
	struct bpf_eye *b = calloc(1, sizeof(*b));
	int rc;

	if (!b)
		return err_sys(e, -ENOMEM, "eBPF");
	b->eye = (struct tracer_eye){ read_ring, lost, close_bpf, -1 };
	b->vxlan_port = o->vxlan_port ? o->vxlan_port : TRACER_VXLAN_PORT;
	b->epoch = now_on(CLOCK_REALTIME) - now_on(CLOCK_MONOTONIC);
	rc = load(b, o, e);
	if (!rc)
		rc = map_ring(b, e);
	if (rc)
		close_bpf(&b->eye);
	else
		*out = &b->eye;
	return rc;
}

int tracer_bpf_attach(struct tracer_eye *y, int socket, uint32_t space, struct err *e)
{
	return tracer_set_listen(&mine(y)->set, socket, space, e);
}
