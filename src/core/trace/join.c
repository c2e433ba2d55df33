// SPDX-License-Identifier: Apache-2.0
/* The join from end to end. The probe's own result outweighs what kernels showed: a connection that was
 * made was answered, whatever was not seen of it. */
#include "core/trace/dns.h"
#include "core/trace/join_state.h"
#include "core/trace/words.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

/* The address that the sender's routes chose, where the probe does not say. */
static struct ipaddr first_source(const struct legs *legs, const struct ipaddr *asked)
{
	for (uint32_t i = 0; i < legs->n && legs->v[i].direction == STORY_REQUEST; i++)
		for (uint32_t k = 0; k < legs->v[i].n; k++)
			if (legs->v[i].v[k].head.src.family)
				return legs->v[i].v[k].head.src;
	return *asked;
}

/* A hop that the probe's own words tell, and no node: `where` says of which node and direction. */
static struct story_hop *own_hop(struct walk *w, enum story_step step, const struct leg *where,
				 const struct sight *s)
{
	w->leg = arena_memdup(w->a, where, sizeof(*where));
	return w->leg ? walk_hop(w, step, s) : NULL;
}

/* The first hop is what the probe's sender says itself. */
static void add_send(struct walk *w, const struct legs *legs)
{
	const struct packet_trace *t = w->trace;
	const char *pod = t->spec.source.pod;
	const struct trace_observation o = {
		.at = t->status.probe.sentAt,
		.in = pod ? arena_printf(w->a, "%s/%s", t->spec.source.namespace, pod) : NULL
	};
	const struct leg leg = { t->spec.source.node ? t->spec.source.node : "outside",
				 STORY_REQUEST, NULL, 0 };
	struct sight s = { .o = &o };
	struct story_hop *h;

	s.head = (struct story_head){ .src = t->status.probe.localAddress,
				      .dst = t->spec.destination.address,
				      .sport = (uint16_t)t->status.probe.localPort,
				      .dport = (uint16_t)t->spec.destination.port };
	if (!s.head.src.family || addr_is_unspecified(&s.head.src))
		s.head.src = first_source(legs, &t->spec.source.address);
	s.head.proto = trace_ip_proto(t->spec.protocol, s.head.dst.family);
	s.head.length = (uint32_t)t->spec.size;
	if (s.head.proto == IPPROTO_ICMP || s.head.proto == IPPROTO_ICMPV6)
		s.head.sport = s.head.dport = 0;
	if (!s.head.src.family || t->status.probe.result == TRACE_NO_RESULT)
		return;
	h = own_hop(w, STORY_SEND, &leg, &s);
	w->head = s.head;
	if (!h)
		return;
	h->before = s.head;
	h->by = pod ? (struct story_by){ STORY_BY_POD, t->spec.source.namespace, pod, NULL }
		: t->spec.source.node
			? (struct story_by){ STORY_BY_NODE, NULL, t->spec.source.node, NULL }
			: story_owner(w->view, &s.head.src);
}

static void walk_all(struct walk *w, const struct legs *legs)
{
	for (uint32_t i = 0; i < legs->n; i++) {
		const struct leg *leg = &legs->v[i];
		bool answers = leg->direction == STORY_REPLY &&
			       (!i || legs->v[i - 1].direction == STORY_REQUEST);

		if (answers) {
			w->leg = leg;
			join_answered(w, leg);
			w->head = leg->v[0].head;
		}
		join_walk(w, leg);
	}
}

/* ---- the end */

static struct story_hop *last_hop(const struct story *s)
{
	return s->hops.n ? &s->hops.v[s->hops.n - 1] : NULL;
}

/* The hop at which it ended before its time, in either direction; NULL: none. */
static struct story_hop *find_end(const struct story *s)
{
	for (uint32_t i = 0; i < s->hops.n; i++)
		if (s->hops.v[i].step == STORY_DROP || s->hops.v[i].step == STORY_REFUSE)
			return &s->hops.v[i];
	return NULL;
}

/* The probe's kernel would not send it, or was told that it is not wanted, and nobody was seen to say so. */
static void refused_unseen(struct walk *w)
{
	const struct packet_trace *t = w->trace;
	const struct story_hop *last = last_hop(w->story);
	struct story_hop *h;
	struct sight s = { .o = NULL };
	const struct trace_observation o = { .in = last ? last->netns : NULL };
	const struct leg leg = { last && last->node ? last->node : t->spec.source.node,
				 STORY_REQUEST, NULL, 0 };

	s.o = &o;
	h = own_hop(w, STORY_REFUSE, &leg, &s);
	if (!h)
		return;
	h->since = -1;
	h->by = (struct story_by){ STORY_BY_KERNEL, NULL,
				   t->status.probe.error ? t->status.probe.error
				   : t->status.probe.by  ? t->status.probe.by
							 : "refused",
				   NULL };
	if (!t->status.probe.mtu)
		return;
	h->mtu = (uint32_t)t->status.probe.mtu;
	h->why = story_too_big((uint32_t)t->spec.size, h->mtu,
			       t->status.probe.by ? NULL : STORY_OWN_DEVICE, w->a);
}

static bool same_ends(const struct story_head *a, const struct story_head *b)
{
	return addr_eq(&a->src, &b->src) && addr_eq(&a->dst, &b->dst) && a->sport == b->sport &&
	       a->dport == b->dport;
}

/* A socket gets an answer from whom it asked: what goes to the node itself is translated back behind all rules
 * that could tell of it. */
static void undone_unseen(struct walk *w, const struct leg *leg, const struct sight *s,
			  const struct story_head *asked)
{
	struct story_hop *h = last_hop(w->story);
	const struct story_hop *was;

	if (w->head.proto != asked->proto || same_ends(&w->head, asked))
		return;
	if (w->trace->spec.source.node && !s->o->in && h->step != STORY_UNTRANSLATE) {
		h = own_hop(w, STORY_UNTRANSLATE, leg, s);
		was = h ? walk_translated(w, STORY_SERVICE) : NULL;
		if (h)
			h->since = -1;
		if (was)
			h->by = was->by;
	}
	if (h && h->step == STORY_UNTRANSLATE)
		h->after = *asked;
	w->head = *asked;
}

/* The probe's socket has the answer: where nobody looks, it says so itself. */
static void delivered(struct walk *w, const struct story_hop *sent)
{
	const struct story_hop *last = last_hop(w->story);
	const struct trace_observation o = { .in = sent->netns };
	const struct leg leg = { sent->node, STORY_REPLY, NULL, 0 };
	const struct story_head asked = story_head_inverse(&sent->after);
	const struct sight s = { .o = &o };
	struct story_hop told = { .since = -1, .by = sent->by }, *h;

	if (last->direction != STORY_REPLY || sent->step != STORY_SEND)
		return;
	if (last->step == STORY_DELIVER) {
		told = *last;
		w->story->hops.n--;
	}
	undone_unseen(w, &leg, &s, &asked);
	h = own_hop(w, STORY_DELIVER, &leg, &s);
	if (!h)
		return;
	h->since = told.since;
	h->device = told.device;
	h->by = told.by;
}

static const struct trace_node *find_node(const struct packet_trace *t, const char *name)
{
	for (uint32_t i = 0; i < t->status.nodes.n; i++)
		if (!strcmp(t->status.nodes.v[i].name, name))
			return &t->status.nodes.v[i];
	return NULL;
}

/* The node that should have got it next; NULL: none that is known. */
static const char *next_node(const struct walk *w, const struct story_hop *last)
{
	const struct story_head *h = &last->after;
	const struct pod *pod = story_pod(w->view, &h->dst);
	struct story_by owner =
		story_owner(w->view, h->encap == STORY_PLAIN ? &h->dst : &h->outer_dst);

	if (h->encap == STORY_PLAIN && pod)
		return pod->spec.nodeName;
	return owner.kind == STORY_BY_NODE ? owner.name : NULL;
}

/* That who should have got it looks, and that nothing came, is a fact too. */
static void nothing_came(struct walk *w, struct story_hop *last)
{
	const char *next = next_node(w, last);
	const struct trace_node *n = next ? find_node(w->trace, next) : NULL;

	if (last->step == STORY_LEAVE_NODE && !last->why && n && n->phase == TRACE_DONE)
		last->why = arena_printf(w->a, "nothing of it came to node %s, which looks", next);
}

/* Role dns says that it has the query: then it came, whatever was seen of that. */
static void taken_unseen(struct walk *w)
{
	const struct trace_dns *said = w->trace->status.dns.v;
	const struct story_hop *last = last_hop(w->story);
	const struct trace_observation o = { .in = NULL };
	const struct sight s = { .o = &o };
	struct story_hop *h;

	if (!w->trace->status.dns.n || !last || last->direction != STORY_REQUEST ||
	    last->step >= STORY_DELIVER)
		return;
	h = own_hop(w, STORY_DELIVER, &(struct leg){ said->node, STORY_REQUEST, NULL, 0 }, &s);
	if (!h)
		return;
	h->since = -1;
	h->by = (struct story_by){ STORY_BY_NODE, NULL, said->node, NULL };
}

/* At who answers, else at who has it, else where it was seen last. */
static void tell_query(struct walk *w)
{
	struct story_hop *at;

	taken_unseen(w);
	at = last_hop(w->story);
	for (uint32_t i = 0; i < w->story->hops.n; i++) {
		struct story_hop *h = &w->story->hops.v[i];

		if (h->step == STORY_ANSWER ||
		    (h->step == STORY_DELIVER && h->direction == STORY_REQUEST))
			at = h;
	}
	if (at)
		story_dns_tell(w->view, w->trace, at, w->a);
}

static void conclude(struct walk *w)
{
	struct story *s = w->story;
	uint8_t result = w->trace->status.probe.result;
	struct story_hop *end = find_end(s);
	struct story_hop *last;

	if (!end && (result == TRACE_REFUSED || result == TRACE_ERROR)) {
		refused_unseen(w);
		end = find_end(s);
	}
	if (s->hops.n && (result == TRACE_CONNECTED || result == TRACE_REFUSED)) {
		const struct story_hop sent = s->hops.v[0];

		delivered(w, &sent);
	}
	if (end)
		join_whether_told(w, end);
	if (w->trace->spec.query.name && !end)
		tell_query(w);
	last = last_hop(s);
	/* A connection is no answer to a query. */
	if (result == TRACE_CONNECTED && w->trace->spec.query.name &&
	    !w->trace->status.probe.answer)
		s->verdict = STORY_DELIVERED;
	else if (result == TRACE_CONNECTED)
		s->verdict = STORY_ANSWERED;
	else if (end && end->step == STORY_DROP)
		s->verdict = STORY_DROPPED;
	else if (end)
		s->verdict = STORY_REFUSED;
	else if (last && last->step == STORY_DELIVER && w->trace->spec.protocol == TRACE_UDP)
		s->verdict = STORY_DELIVERED;
	else if (s->hops.n > 1 || (last && result == TRACE_TIMEOUT))
		s->verdict = STORY_LOST;
	if (s->verdict == STORY_LOST)
		nothing_came(w, last);
	if (s->verdict != STORY_ANSWERED && end)
		s->by = end->by;
}

/* ---- what was not seen */

static const char *node_gap(const struct trace_node *n, struct arena *a)
{
	if (n->phase != TRACE_DONE)
		return arena_printf(a, "node %s did not look%s%s", n->name,
				    n->note ? ": " : ": its agent did not answer",
				    n->note ? n->note : "");
	if (n->lost)
		return arena_printf(a, "node %s lost %lld events", n->name, (long long)n->lost);
	return n->note && *n->note ? arena_printf(a, "node %s: %s", n->name, n->note) : NULL;
}

static int add_gaps(const struct packet_trace *t, struct arena *a, struct story *s)
{
	s->unseen.v = arena_array(a, t->spec.nodes.n, sizeof(*s->unseen.v));
	if (!s->unseen.v)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->spec.nodes.n; i++) {
		const struct trace_node absent = { .name = t->spec.nodes.v[i] };
		const struct trace_node *n = find_node(t, absent.name);
		const char *gap = node_gap(n ? n : &absent, a);

		if (gap)
			s->unseen.v[s->unseen.n++] = gap;
	}
	return 0;
}

int story_join(const struct story_view *view, const struct packet_trace *trace, struct arena *a,
	       struct story *out, struct err *e)
{
	struct story s = { .observed = true, .weight = 1, .of = 1 };
	struct walk *w = arena_alloc(a, sizeof(*w));
	struct legs legs;

	if (!w || join_sights(trace, a, &legs))
		return err_set(e, -ENOMEM, "no memory");
	*w = (struct walk){ .view = view, .trace = trace, .a = a, .story = &s, .at = WALK_NO_TIME };
	join_order(trace, &legs);
	add_send(w, &legs);
	walk_all(w, &legs);
	conclude(w);
	if (add_gaps(trace, a, &s))
		return err_set(e, -ENOMEM, "no memory");
	s.advice = story_advice(view, &s, a);
	if (story_words(&s, a) || a->failed)
		return err_set(e, -ENOMEM, "no memory");
	*out = s;
	return 0;
}
