// SPDX-License-Identifier: Apache-2.0
/* What sys/tracer tells, for tests that have built what the packets meet.
 *
 *   tracer [--sockets] PROTO VALUE NETNS...   follows what bears the signature in these namespaces (paths; one
 *                                             that begins with + tells of its rules, too); says "ready MEANS
 *                                             NOTE", then a JSON object per event, until standard input ends;
 *                                             then the connections, and {"lost": N}
 */
#include "sys/tracer.h"
#include "base/buf.h"
#include "core/nft/text.h"
#include "sys/netns.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int die(const struct err *e)
{
	fprintf(stderr, "tracer: %s\n", e->text);
	return 1;
}

static void put_str(struct buf *b, const char *name, const char *value)
{
	buf_printf(b, ", \"%s\": ", name);
	buf_json_str(b, value);
}

static void put_flow(struct buf *b, const char *name, const struct nft_trace_flow *f)
{
	char src[ADDR_TEXT], dst[ADDR_TEXT];

	buf_printf(b, ", \"%s\": \"%u %s %u %s %u\"", name, f->proto, addr_str(&f->src, src),
		   f->sport, addr_str(&f->dst, dst), f->dport);
}

static void put_head(struct buf *b, const struct tracer_head *h)
{
	char src[ADDR_TEXT], dst[ADDR_TEXT];

	put_flow(b, "flow", &h->flow);
	buf_printf(b, ", \"ttl\": %u, \"length\": %u, \"flags\": %u, \"type\": %u, \"code\": %u",
		   h->ttl, h->length, h->tcp_flags, h->icmp_type, h->icmp_code);
	if (h->has_quoted)
		put_flow(b, "quoted", &h->quoted);
	if (h->outer.proto)
		buf_printf(b, ", \"outer\": \"%u %s %s %u\"", h->outer.proto,
			   addr_str(&h->outer.src, src), addr_str(&h->outer.dst, dst),
			   h->outer.vni);
}

static void put_rule(struct buf *b, const struct nft_trace *x)
{
	struct nft_trace_flow f;

	put_str(b, "table", x->table);
	put_str(b, "chain", x->chain);
	buf_printf(b, ", \"type\": %u, \"verdict\": %d, \"rule\": %llu", x->type, x->verdict,
		   (unsigned long long)x->rule);
	if (nft_trace_packet(x, &f))
		put_flow(b, "flow", &f);
}

static void put_route(struct buf *b, const struct tracer_route *r)
{
	char text[ADDR_TEXT];

	put_flow(b, "flow", &r->flow);
	put_str(b, "via", r->gateway.family ? addr_str(&r->gateway, text) : "");
	buf_printf(b, ", \"oif\": %u, \"error\": %d", r->oif, r->error);
}

static void on_event(void *arg, const struct tracer_event *x)
{
	static const char *const kinds[] = { "in", "out", "route", "rule", "drop", "consume" };
	struct buf b = { 0 };

	buf_printf(&b, "{\"kind\": \"%s\", \"at\": %llu, \"packet\": %llu, \"space\": %u",
		   kinds[x->kind], (unsigned long long)x->at, (unsigned long long)x->packet,
		   x->space);
	put_str(&b, "device", x->device);
	if (x->has_head)
		put_head(&b, &x->head);
	if (x->kind == TRACER_RULE)
		put_rule(&b, x->rule);
	if (x->kind == TRACER_ROUTE)
		put_route(&b, &x->route);
	put_str(&b, "reason", x->reason);
	put_str(&b, "place", x->place);
	printf("%s}\n", b.v);
	buf_fini(&b);
}

static void on_connection(void *arg, uint32_t space, const struct ct_entry *c)
{
	char text[CT_TEXT];

	printf("{\"kind\": \"ct\", \"space\": %u, \"ct\": \"%s\", \"status\": %u}\n", space,
	       ct_str(c, text), c->status);
}

/* Until standard input ends; what came before that is still read. */
static int follow(struct tracer *t, struct err *e)
{
	struct pollfd p[] = { { .fd = 0, .events = POLLIN },
			      { .fd = tracer_fd(t), .events = POLLIN } };
	int rc = 1;

	while (rc >= 0 && !p[0].revents && poll(p, 2, -1) > 0)
		rc = tracer_read(t, on_event, NULL, e);
	while (rc > 0)
		rc = tracer_read(t, on_event, NULL, e);
	return rc ? rc : tracer_connections(t, on_connection, NULL, e);
}

int main(int argc, char **argv)
{
	static struct tracer_space spaces[TRACER_SPACES_MAX];
	struct tracer_opts o = { .spaces = spaces };
	struct tracer *t;
	struct err e = { 0 };
	int rc;

	o.no_bpf = argc > 1 && !strcmp(argv[1], "--sockets");
	argv += 1 + o.no_bpf;
	if (!argv[0] || !argv[1])
		return fprintf(stderr, "see the first lines of tracer.c\n"), 2;
	o.signature.proto = (uint8_t)atoi(argv[0]);
	o.signature.value = strtoull(argv[1], NULL, 0);
	for (argv += 2; *argv && o.n_spaces < TRACER_SPACES_MAX; argv++) {
		struct tracer_space *s = &spaces[o.n_spaces++];

		s->rules = **argv == '+';
		s->netns = netns_open(*argv + s->rules, &e);
		if (s->netns < 0)
			return die(&e);
	}
	if (tracer_open(&o, &t, &e))
		return die(&e);
	for (uint32_t i = 0; i < o.n_spaces; i++)
		close(spaces[i].netns);
	printf("ready %u %s\n", tracer_means(t), tracer_note(t));
	fflush(stdout);
	rc = follow(t, &e);
	printf("{\"lost\": %u}\n", tracer_lost(t));
	tracer_close(t);
	return rc ? die(&e) : 0;
}
