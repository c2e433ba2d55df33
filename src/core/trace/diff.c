// SPDX-License-Identifier: Apache-2.0
#include "core/trace/diff.h"

#include "base/text.h"
#include "core/trace/words.h"

#include <errno.h>
#include <string.h>

enum { NO_HOP = UINT32_MAX };

struct comparison {
	const struct story *predicted, *observed;
	const struct packet_trace *trace;
	struct arena *a;
	uint32_t *found;  /* per predicted hop: the observed one, or NO_HOP */
	bool *taken;      /* observed hops that were found */
	uint32_t reached; /* the last predicted hop that was found, and */
	uint32_t seen;    /* the last observed one; NO_HOP: none */
	struct story_differences out;
};

/* ---- what can be seen */

static const struct trace_node *looked(const struct packet_trace *t, const char *node)
{
	for (uint32_t i = 0; node && i < t->status.nodes.n; i++)
		if (t->status.nodes.v[i].phase == TRACE_DONE &&
		    text_eq(t->status.nodes.v[i].name, node))
			return &t->status.nodes.v[i];
	return NULL;
}

static bool has_means(const struct trace_node *n, enum trace_means m)
{
	for (uint32_t i = 0; i < n->means.n; i++)
		if (n->means.v[i] == m)
			return true;
	return false;
}

static bool is_by_rule(const struct story_hop *h)
{
	return h->by.kind == STORY_BY_POLICY || h->by.kind == STORY_BY_SERVICE ||
	       h->by.kind == STORY_BY_NFT;
}

/* Kernels ask for the route to their own sockets or not, as they know the socket already. */
static bool is_to_self(const struct story_hop *h)
{
	return h->behind.kind == STORY_BY_NODE && text_eq(h->behind.name, h->node);
}

/* Could the hop be seen where it is? */
static bool shows(const struct comparison *c, const struct story_hop *h)
{
	const struct trace_node *n = looked(c->trace, h->node);
	bool ebpf;

	if (!n)
		return false;
	ebpf = has_means(n, TRACE_BY_EBPF);
	switch ((enum story_step)h->step) {
	case STORY_POLICY_EGRESS:
	case STORY_POLICY_INGRESS:
		return has_means(n, TRACE_BY_NFTABLES);
	case STORY_ROUTE:
		return ebpf && !is_to_self(h);
	case STORY_DELIVER:
		return ebpf;
	case STORY_DROP:
	case STORY_REFUSE:
		return is_by_rule(h) ? has_means(n, TRACE_BY_NFTABLES) : ebpf;
	default:
		return ebpf || has_means(n, TRACE_BY_PACKET_SOCKET);
	}
}

/* ---- two hops */

static bool is_same_port(uint16_t a, uint16_t b)
{
	return !a || !b || a == b;
}

/* `step`: a route is asked for the destination alone. */
static bool is_same_head(enum story_step step, const struct story_head *a,
			 const struct story_head *b)
{
	if (!a->src.family || !b->src.family)
		return true;
	if (step == STORY_ROUTE)
		return addr_eq(&a->dst, &b->dst);
	return addr_eq(&a->src, &b->src) && addr_eq(&a->dst, &b->dst) && a->encap == b->encap &&
	       addr_eq(&a->outer_src, &b->outer_src) && addr_eq(&a->outer_dst, &b->outer_dst) &&
	       is_same_port(a->sport, b->sport) && is_same_port(a->dport, b->dport);
}

/* "via 192.0.2.1 dev eth0": the device is not compared, as no object names all of them. */
static size_t rule_length(const char *rule)
{
	const char *dev = strstr(rule, "dev ");

	if (dev == rule)
		return 0;
	return dev ? (size_t)(dev - rule) - 1 : strlen(rule);
}

static bool is_same_route(const struct story_by *predicted, const struct story_by *observed)
{
	size_t n, m;

	if (predicted->name && observed->name && strcmp(predicted->name, observed->name) != 0)
		return false;
	if (!predicted->rule)
		return true;
	n = rule_length(predicted->rule);
	m = observed->rule ? rule_length(observed->rule) : 0;
	return n == m && !strncmp(predicted->rule, observed->rule ? observed->rule : "", n);
}

static bool is_same_decider(const struct story_hop *predicted, const struct story_hop *observed)
{
	const struct story_by *p = &predicted->by, *o = &observed->by;

	/* What names lead to nobody predicts. */
	if (observed->dns)
		return true;
	if (p->kind == STORY_BY_NONE || predicted->likely)
		return true;
	if (p->kind == STORY_BY_ROUTE && o->kind == STORY_BY_ROUTE)
		return is_same_route(p, o);
	if (p->kind == STORY_BY_KERNEL && o->kind == STORY_BY_KERNEL)
		return text_eq(p->name, o->name); /* the place in its code is nobody's to predict */
	return story_by_same(p, o);
}

static bool is_same_place(const struct story_hop *a, const struct story_hop *b)
{
	return a->direction == b->direction && a->step == b->step && text_eq(a->node, b->node) &&
	       text_eq(a->netns, b->netns);
}

static bool is_end(const struct story_hop *h)
{
	return h->step == STORY_DROP || h->step == STORY_REFUSE;
}

static const struct story_hop *end_of(const struct story *s)
{
	for (uint32_t i = 0; i < s->hops.n; i++)
		if (is_end(&s->hops.v[i]))
			return &s->hops.v[i];
	return NULL;
}

/* What comes back to who asked, where the request ended before its time, is no answer. */
static bool is_refusal(const struct story *s, const struct story_hop *h)
{
	const struct story_hop *end = end_of(s);

	return h->direction == STORY_REPLY && end && end->direction == STORY_REQUEST;
}

/* ---- two stories */

/* Destination and source of an answer are translated back one after the other, which may be seen: of
 * several such hops the last has what the node made of it, and the others belong to it. */
static uint32_t find_hop(struct comparison *c, const struct story_hop *h)
{
	uint32_t found = NO_HOP;

	for (uint32_t i = 0; i < c->observed->hops.n; i++) {
		const struct story_hop *o = &c->observed->hops.v[i];

		if (c->taken[i] || is_refusal(c->observed, o) || !is_same_place(h, o))
			continue;
		found = i;
		if (h->step != STORY_UNTRANSLATE)
			break;
		c->taken[i] = true;
	}
	return found;
}

/* What a pod sends to itself policies always allow, whether or not a rule of theirs comes first. */
static bool is_to_itself(const struct story_hop *h)
{
	return (h->step == STORY_POLICY_EGRESS || h->step == STORY_POLICY_INGRESS) &&
	       addr_eq(&h->after.src, &h->after.dst);
}

static void match(struct comparison *c)
{
	c->reached = c->seen = NO_HOP;
	for (uint32_t i = 0; i < c->predicted->hops.n; i++) {
		uint32_t k = find_hop(c, &c->predicted->hops.v[i]);

		c->found[i] = k;
		if (k == NO_HOP)
			continue;
		c->taken[k] = true;
		c->reached = i;
		if (c->seen == NO_HOP || k > c->seen)
			c->seen = k;
	}
}

static const char *hop_words(const struct comparison *c, const struct story_hop *h)
{
	const char *place = story_place_text(h, c->a);

	return arena_printf(c->a, "%s %s, %s: %s", name_of(&story_direction_names, h->direction),
			    place ? place : "-", name_of(&story_step_names, h->step),
			    h->text ? h->text : "-");
}

static void differ(struct comparison *c, const struct story_hop *predicted,
		   const struct story_hop *observed)
{
	c->out.list.v[c->out.list.n++] =
		(struct story_difference){ predicted, observed,
					   predicted ? hop_words(c, predicted) : "not there",
					   observed ? hop_words(c, observed) : "not there" };
}

/* Do they end at the same place, or both nowhere? */
static bool end_alike(const struct comparison *c)
{
	const struct story_hop *p = end_of(c->predicted), *o = end_of(c->observed);

	return p && o ? is_same_place(p, o) : !p && !o;
}

static bool is_gone_on(uint32_t i, uint32_t last)
{
	return last == NO_HOP || i > last;
}

/* A node's socket, and its kernel that answers, ask for their route before there is a packet. What a Service sends
 * elsewhere is asked for again, before a device shows that it is the packet that is followed. */
static bool is_before_packet(const struct story *s, uint32_t i)
{
	if (s->hops.v[i].step != STORY_ROUTE)
		return false;
	while (i && s->hops.v[i - 1].step == STORY_SERVICE)
		i--;
	return i && (s->hops.v[i - 1].step == STORY_SEND || s->hops.v[i - 1].step == STORY_ANSWER);
}

/* In the order of the prediction; then what nobody predicted. */
static void compare(struct comparison *c)
{
	bool alike = end_alike(c);

	for (uint32_t i = 0; i < c->predicted->hops.n; i++) {
		const struct story_hop *p = &c->predicted->hops.v[i];
		const struct story_hop *o =
			c->found[i] == NO_HOP ? NULL : &c->observed->hops.v[c->found[i]];

		if (o && is_same_decider(p, o) &&
		    is_same_head((enum story_step)p->step, &p->after, &o->after))
			continue;
		if (!o && (p->likely || !shows(c, p) || is_before_packet(c->predicted, i) ||
			   (!alike && !is_end(p) && is_gone_on(i, c->reached))))
			continue;
		differ(c, p, o);
	}
	for (uint32_t i = 0; i < c->observed->hops.n; i++) {
		const struct story_hop *o = &c->observed->hops.v[i];

		if (c->taken[i] || is_refusal(c->observed, o) || !shows(c, o) || is_to_itself(o) ||
		    (!alike && !is_end(o) && is_gone_on(i, c->seen)))
			continue;
		differ(c, NULL, o);
	}
}

/* Nobody has to answer UDP, and who did not look does not know. */
static bool is_same_verdict(const struct story *p, const struct story *o)
{
	bool came = o->verdict == STORY_ANSWERED || o->verdict == STORY_DELIVERED;

	if (o->verdict == STORY_UNKNOWN || p->verdict == o->verdict)
		return true;
	return p->verdict == STORY_ANSWERED && came;
}

int story_diff(const struct story *predicted, const struct story *observed,
	       const struct packet_trace *trace, struct arena *a, struct story_differences *out,
	       struct err *e)
{
	struct comparison c = {
		.predicted = predicted, .observed = observed, .trace = trace, .a = a
	};
	size_t n = predicted->hops.n, m = observed->hops.n;

	c.found = arena_array(a, n, sizeof(*c.found));
	c.taken = arena_array(a, m, sizeof(*c.taken));
	c.out.list.v = arena_array(a, n + m + 1, sizeof(*c.out.list.v));
	if (!c.found || !c.taken || !c.out.list.v)
		return err_set(e, -ENOMEM, "no memory");
	match(&c);
	compare(&c);
	if (!c.out.list.n && !is_same_verdict(predicted, observed))
		c.out.list.v[c.out.list.n++] =
			(struct story_difference){ NULL, NULL, predicted->sentence,
						   observed->sentence };
	if (a->failed)
		return err_set(e, -ENOMEM, "no memory");
	*out = c.out;
	return 0;
}
