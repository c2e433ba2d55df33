// SPDX-License-Identifier: Apache-2.0
/* The question and its answer, by way of the store: a PacketTrace is created; the agents of the nodes that
 * it names look, one of them sends the probe (model/trace.h); it is read again and again until all have
 * written what they saw, or until they have had the time that the probe waits and a few seconds. It is
 * deleted in any case, also after Ctrl-C, and expires by itself where this program is killed.
 *
 * `outside` of a lab has no agent: for it the probe is sent from here (trace_send.c).
 *
 * Who looks: the node that sends, the one that the destination is or is on, and those of all endpoints
 * that a Service may choose there. */
#include "cmd/trace.h"

#include "cmd/interrupt.h"
#include "cmd/out.h"
#include "cmd/outside.h"
#include "core/dns/traced.h"
#include "core/nft/trace.h"
#include "sys/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define SECOND       1000000000ll
#define ARM_NS       (4 * SECOND) /* a second more than the sender waits for others */
#define SENDER_NS    (8 * SECOND) /* until the sender says something */
#define COLLECT_NS   (3 * SECOND) /* after the probe's result, or when its time is up */
#define LATE_NS      SECOND       /* and for nodes that had said nothing before */
#define POLL_NS      10000000ll
#define POLL_MOST_NS 100000000ll

struct asking {
	struct cmd_ctx *ctx;
	const struct trace_opts *o;
	struct why why;
	struct outside outside; /* its sender NULL: an agent sends */
	struct packet_trace question;
	struct store *store;
	struct object *answer;
};

/* ---- who asks whom */

static int resolve(struct asking *q, const char *from, const char *to)
{
	const struct why_opts asked = { .proto = q->o->proto || !q->o->query ? q->o->proto
									     : TRACE_UDP,
					.dns = q->o->query != NULL };
	int rc = to ? outside_name(q->ctx, &from, &to, &q->outside) : CMD_OK;

	if (rc)
		return rc;
	rc = why_ask(q->ctx, &asked, from, to, &q->why);
	if (!rc && (!q->why.from.n || !q->why.to.n))
		rc = cmd_error(CMD_NO, "Pod %s has no address yet",
			       q->why.from.n ? q->why.to.text : q->why.from.text);
	if (!rc && !q->outside.sender && !q->why.from.node)
		rc = cmd_error(CMD_USAGE,
			       "%s: no agent is there that could send: FROM is a pod, a node, "
			       "or `outside` of a lab",
			       from);
	return rc;
}

/* ---- who looks */

static void look_at(struct packet_trace *t, const char *node)
{
	if (!node || !*node)
		return;
	for (uint32_t i = 0; i < t->spec.nodes.n; i++)
		if (!strcmp(t->spec.nodes.v[i], node))
			return;
	if (t->spec.nodes.n < TRACE_NODES_MAX)
		t->spec.nodes.v[t->spec.nodes.n] = node;
	t->spec.nodes.n++;
}

static bool leads_there(const struct svc_front *f, const struct svc_flow *flow)
{
	return f->number == flow->dport && f->port->proto == flow->proto &&
	       (!f->address.family || addr_eq(&f->address, &flow->dst));
}

static void endpoints_look(const struct why *w, struct packet_trace *t)
{
	for (size_t i = 0; i < w->n_plans; i++)
		for (uint32_t k = 0; k < w->plans[i].fronts.n; k++) {
			const struct svc_front *f = &w->plans[i].fronts.v[k];

			if (w->plans[i].family != w->flow.dst.family || !leads_there(f, &w->flow))
				continue;
			for (uint32_t m = 0; m < f->port->endpoints.n; m++)
				look_at(t, f->port->endpoints.v[m].of->nodeName);
		}
}

/* Who has the addresses around it knows that nobody has this one. */
static void block_looks(const struct why *w, struct packet_trace *t)
{
	size_t n;
	const struct object *const *blocks = cluster_all(w->objects.cluster, KIND_IPBLOCK, &n);

	for (size_t i = 0; i < n; i++) {
		const struct ipblock *b = blocks[i]->body;

		if (prefix_has(&b->spec.cidr, &w->flow.dst))
			look_at(t, b->spec.node);
	}
}

static int choose_nodes(struct asking *q)
{
	struct packet_trace *t = &q->question;
	const struct why *w = &q->why;
	const struct pod *pod = objects_pod_at(w->objects.cluster, &w->flow.dst);
	const struct node *node = objects_node_at(w->objects.cluster, &w->flow.dst);

	t->spec.nodes.v = arena_array(q->ctx->arena, TRACE_NODES_MAX, sizeof(*t->spec.nodes.v));
	if (!t->spec.nodes.v)
		return cmd_error(CMD_NO, "no memory");
	look_at(t, q->outside.sender ? NULL : w->from.node);
	look_at(t, w->to.node);
	look_at(t, pod ? pod->spec.nodeName : node ? node->meta.name : NULL);
	block_looks(w, t);
	endpoints_look(w, t);
	if (t->spec.nodes.n <= TRACE_NODES_MAX)
		return CMD_OK;
	fprintf(stderr, "fairlead: %u nodes may see the probe, and the first %d of them look\n",
		t->spec.nodes.n, TRACE_NODES_MAX);
	t->spec.nodes.n = TRACE_NODES_MAX;
	return CMD_OK;
}

/* ---- the question */

/* Has one machine that gets it? */
static int check_destination(const struct asking *q, const char *to)
{
	static const struct prefix shared[] = {
		{ .addr = { .family = AF_INET, .b = { 224 } }, .len = 4 },
		{ .addr = { .family = AF_INET, .b = { 255, 255, 255, 255 } }, .len = 32 },
		{ .addr = { .family = AF_INET6, .b = { 0xff } }, .len = 8 },
	};
	const struct ipaddr *dst = &q->why.flow.dst;

	for (size_t i = 0; i < sizeof(shared) / sizeof(*shared); i++)
		if (prefix_has(&shared[i], dst))
			return cmd_error(CMD_USAGE,
					 "%s: is for many at once, and a trace follows "
					 "one packet to one place",
					 to);
	if (addr_is_unspecified(dst))
		return cmd_error(CMD_USAGE, "%s: is nobody's address", to);
	return CMD_OK;
}

static int check_size(const struct asking *q)
{
	uint8_t proto = q->o->proto, family = q->why.flow.dst.family;

	if (q->o->size && proto != TRACE_UDP && proto != TRACE_ICMP)
		return cmd_error(CMD_USAGE, "--size needs --proto udp or icmp: TCP and SCTP begin "
					    "with a packet that carries nothing");
	if (q->o->size && q->o->size < trace_size_min(family))
		return cmd_error(CMD_USAGE,
				 "--size %d: at least %d, the headers of %s and what the probe is "
				 "known by",
				 (int)q->o->size, (int)trace_size_min(family),
				 family == AF_INET6 ? "IPv6" : "IPv4");
	return CMD_OK;
}

/* NAME or NAME/TYPE: no name of the DNS that is in use has a slash. */
static int put_query(struct asking *q)
{
	struct packet_trace *t = &q->question;
	const char *text = q->o->query, *slash = text ? strrchr(text, '/') : NULL;
	struct dns_query checked;
	struct err e;

	if (!text)
		return CMD_OK;
	t->spec.query.type = slash ? slash + 1 : "A";
	t->spec.query.name =
		slash ? arena_strndup(q->ctx->arena, text, (size_t)(slash - text)) : text;
	if (t->spec.protocol != TRACE_UDP && t->spec.protocol != TRACE_TCP)
		return cmd_error(CMD_USAGE, "--query is sent by UDP (the default) or TCP");
	return t->spec.query.name && !dns_traced_question(t, &checked, &e)
		       ? CMD_OK
		       : cmd_error(CMD_USAGE, "--query: %s",
				   t->spec.query.name ? e.text : "no memory");
}

static int make_question(struct asking *q)
{
	struct packet_trace *t = &q->question;
	const struct why *w = &q->why;
	uint64_t random[2];
	int rc;

	random_bytes(random, sizeof(random));
	t->meta.name = arena_printf(q->ctx->arena, "trace-%016" PRIx64, random[0]);
	if (!t->meta.name)
		return cmd_error(CMD_NO, "no memory");
	/* Nodes have several addresses, of which their routes choose. */
	t->spec.source.address = w->from.pod || q->outside.sender
					 ? w->flow.src
					 : (struct ipaddr){ .family = w->flow.src.family };
	if (!q->outside.sender) {
		t->spec.source.node = t->spec.sender = w->from.node;
		if (w->from.pod) {
			t->spec.source.namespace = w->from.pod->meta.namespace;
			t->spec.source.pod = w->from.pod->meta.name;
		}
	}
	t->spec.destination.address = w->flow.dst;
	t->spec.protocol = w->proto;
	t->spec.destination.port = w->flow.dport;
	t->spec.size = q->o->size;
	/* A multiple of NFT_TRACE_SEQS is what others' packets are told from with the least effort. */
	t->spec.signature = (int64_t)((random[1] & ~(uint64_t)(NFT_TRACE_SEQS - 1)) |
				      NFT_TRACE_SEQS); /* its low half is not zero */
	t->spec.timeoutSeconds = q->o->timeout ? q->o->timeout : TRACE_SECONDS;
	t->spec.expires = (int64_t)time(NULL) + t->spec.timeoutSeconds + 30;
	rc = put_query(q);
	return rc ? rc : choose_nodes(q);
}

/* ---- the answer */

static int read_answer(struct asking *q)
{
	const struct store_key key = { kind_by_id(KIND_PACKETTRACE), NULL, q->question.meta.name };
	struct object *o;
	struct err e = { .code = 0 };

	if (store_get(q->store, &key, &o, NULL, &e))
		return cmd_fail(&e);
	object_free(q->answer);
	q->answer = o;
	return CMD_OK;
}

/* Nodes that have come this far; those that failed will come no further. */
static uint32_t nodes_at(const struct packet_trace *t, unsigned phase)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < t->status.nodes.n; i++)
		n += t->status.nodes.v[i].phase >= phase;
	return n;
}

static bool is_armed(const struct packet_trace *t)
{
	return nodes_at(t, TRACE_ARMED) >= t->spec.nodes.n;
}

/* `late`: who has said nothing yet had not begun to look when the probe was sent, and has nothing to say of it. */
static bool is_answered(const struct packet_trace *t, bool late)
{
	return t->status.probe.result != TRACE_NO_RESULT &&
	       nodes_at(t, TRACE_DONE) >= (late ? t->status.nodes.n : t->spec.nodes.n);
}

/* Ever more rarely: at first an answer is a matter of milliseconds. */
static void pause_since(int64_t start)
{
	int64_t ns = ((int64_t)clock_mono_ns() - start) / 10;

	ns = ns < POLL_NS ? POLL_NS : ns > POLL_MOST_NS ? POLL_MOST_NS : ns;
	nanosleep(&(struct timespec){ .tv_nsec = ns }, NULL);
}

static int send_from_here(struct asking *q)
{
	int64_t start = (int64_t)clock_mono_ns();
	int rc = read_answer(q);

	while (!rc && !cmd_interrupted() && !is_armed(q->answer->body) &&
	       (int64_t)clock_mono_ns() < start + ARM_NS) {
		pause_since(start);
		rc = read_answer(q);
	}
	return rc || cmd_interrupted() ? rc : trace_send(q->store, &q->question, q->outside.sender);
}

static bool has_said(const struct packet_trace *t, const char *node)
{
	for (uint32_t i = 0; i < t->status.nodes.n; i++)
		if (!strcmp(t->status.nodes.v[i].name, node))
			return true;
	return false;
}

/* Nodes that say nothing are left out when time is up, which the story tells; the one that sends is not. */
static int wait_for_all(struct asking *q)
{
	int64_t start = (int64_t)clock_mono_ns(), now = start;
	int64_t end = start + SENDER_NS + q->question.spec.timeoutSeconds * SECOND + COLLECT_NS;
	const char *sender = q->question.spec.sender;
	int64_t probed = INT64_MAX;

	for (;;) {
		int rc = read_answer(q);
		const struct packet_trace *t = rc ? NULL : q->answer->body;

		if (rc || cmd_interrupted() || is_answered(t, now - LATE_NS >= probed) ||
		    now >= end)
			return rc;
		if (t->status.probe.result && probed == INT64_MAX) {
			probed = now;
			end = now + COLLECT_NS < end ? now + COLLECT_NS : end;
		}
		if (sender && now >= start + SENDER_NS && !has_said(t, sender))
			return cmd_error(CMD_PARTLY,
					 "the agent of node %s, which was to send the probe, does "
					 "not answer: is it up, and does it see the store? "
					 "(fairlead node status)",
					 sender);
		pause_since(start);
		now = (int64_t)clock_mono_ns();
	}
}

static int ask(struct asking *q)
{
	const struct kind *k = kind_by_id(KIND_PACKETTRACE);
	const struct store_key key = { k, NULL, q->question.meta.name };
	struct err e = { .code = 0 };
	sigset_t old;
	int rc = CMD_OK;

	cmd_block_interrupts(&old);
	if (store_put(q->store, STORE_OP_CREATE, k, &q->question, NULL, &e))
		rc = cmd_fail(&e);
	else if (q->outside.sender)
		rc = send_from_here(q);
	if (!rc)
		rc = wait_for_all(q);
	if (!q->o->keep && store_delete(q->store, &key, NULL, &e) && e.code != -ENOENT && !rc)
		rc = cmd_fail(&e);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return rc;
}

int trace_ask(struct cmd_ctx *ctx, const struct trace_opts *o, const char *from, const char *to,
	      struct trace_asked *out)
{
	struct asking q = { .ctx = ctx, .o = o };
	int rc = resolve(&q, from, to);

	out->objects = q.why.objects;
	if (!rc)
		rc = check_destination(&q, q.why.to.text);
	if (!rc)
		rc = check_size(&q);
	if (!rc)
		rc = make_question(&q);
	if (!rc)
		rc = cmd_store_open(ctx, 0, &q.store);
	if (!rc) {
		rc = ask(&q);
		store_close(q.store);
	}
	out->answer = q.answer;
	if (rc)
		return rc;
	out->trace = q.answer->body;
	out->view = (struct story_view){ .cluster = out->objects.cluster };
	if (o->keep)
		fprintf(stderr, "fairlead: kept as PacketTrace %s\n", q.question.meta.name);
	return CMD_OK;
}

void trace_forget(struct trace_asked *t)
{
	object_free(t->answer);
	objects_fini(&t->objects);
}
