// SPDX-License-Identifier: Apache-2.0
/* fairlead lab hooks: the hooks that one packet passes, beside kube-proxy's chains, and what conntrack
 * remembers of it. What was found is lab/hooks'; docs/lab.md has the JSON. */
#include "cmd/lab.h"
#include "cmd/out.h"
#include "cmd/why.h"
#include "core/nft/text.h"
#include "lab/hooks.h"

#include <jansson.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define ALSO_MAX 256 /* endpoints; a kernel would take more */

struct hooks_cmd_opts {
	struct lab_opts common;
	uint8_t proto;
};

static const char *const protos[] = { "tcp", "udp" }; /* as enum probe_proto */
static const struct names proto_names = NAMES(protos);

static const struct opt hooks_table[] = {
	OPT(struct hooks_cmd_opts, proto, 0, "proto", OPT_ENUM, .names = &proto_names,
	    .doc = "Default tcp"),
	LAB_OPT_FORMAT(struct hooks_cmd_opts),
	LAB_OPT_NAME(struct hooks_cmd_opts),
	{ 0 },
};

/* ---- words */

static const char *hook_name(uint32_t hook)
{
	static const char *const names[] = { [NF_INET_PRE_ROUTING] = "prerouting",
					     [NF_INET_LOCAL_IN] = "input",
					     [NF_INET_FORWARD] = "forward",
					     [NF_INET_LOCAL_OUT] = "output",
					     [NF_INET_POST_ROUTING] = "postrouting" };

	return hook < sizeof(names) / sizeof(*names) ? names[hook] : "";
}

static const char *end_text(const struct ipaddr *ip, uint16_t port, struct arena *a)
{
	char text[ADDR_TEXT];

	return arena_printf(a, ip->family == AF_INET6 ? "[%s]:%u" : "%s:%u", addr_str(ip, text),
			    port);
}

static const char *way_text(const struct ipaddr *src, uint16_t sport, const struct ipaddr *dst,
			    uint16_t dport, struct arena *a)
{
	return arena_printf(a, "%s > %s", end_text(src, sport, a), end_text(dst, dport, a));
}

static const char *packet_text(const struct nft_trace_flow *p, struct arena *a)
{
	return way_text(&p->src, p->sport, &p->dst, p->dport, a);
}

/* What the rule did where the kernel has but one word for several things. */
static const char *act_of(const struct nft_rule *r)
{
	for (uint32_t i = 0; r && i < r->n; i++) {
		const struct nft_stmt *s = &r->v[i];

		if (s->kind == NFS_NAT)
			return s->nat.type == NFT_NAT_DNAT ? "dnat" : "snat";
		if (s->kind == NFS_MASQUERADE)
			return "masquerade";
		if (s->kind == NFS_REDIRECT)
			return "redirect";
		if (s->kind == NFS_REJECT)
			return "reject";
	}
	return NULL;
}

static const char *verdict_text(const struct hooks_step *s, struct arena *a)
{
	const struct nft_trace *x = s->event;
	struct nft_verdict v = { x->verdict, x->to };
	const char *act = act_of(s->rule), *text;
	struct buf b = { 0 };

	if (act)
		return act;
	if (x->type == NFT_TRACETYPE_POLICY)
		return x->policy == NF_DROP ? "policy drop" : "policy accept";
	text_verdict(&b, &v);
	text = b.failed || !b.v ? "" : arena_strdup(a, b.v);
	buf_fini(&b);
	return text;
}

static const char *rule_text(const struct hooks_step *s, struct arena *a)
{
	struct buf b = { 0 };
	const char *text;

	if (!s->rule)
		return NULL;
	nft_text_rule(s->rule, s->event->family, &b);
	text = b.failed || !b.v ? NULL : arena_strdup(a, b.v);
	buf_fini(&b);
	return text;
}

/* ---- JSON */

static json_t *tuple_json(const struct ipaddr *src, uint16_t sport, const struct ipaddr *dst,
			  uint16_t dport)
{
	char a[ADDR_TEXT], b[ADDR_TEXT];

	return json_pack("{s:s, s:i, s:s, s:i}", "src", addr_str(src, a), "sport", sport, "dst",
			 addr_str(dst, b), "dport", dport);
}

static json_t *step_json(const struct hooks_step *s, struct arena *a)
{
	const struct nft_trace *x = s->event;
	const struct nft_trace_flow *p = &s->packet;

	return json_pack("{s:s, s:s, s:s, s:s, s:I, s:s, s:s?, s:s?, s:s?, s:I, s:o, s:s, s:s}",
			 "hook", hook_name(s->hook), "family", text_family(x->family), "table",
			 s->marker ? "" : x->table, "chain", x->chain, "handle",
			 (json_int_t)x->rule, "verdict", verdict_text(s, a), "rule",
			 rule_text(s, a), "comment", s->rule ? s->rule->comment : NULL, "kubeProxy",
			 s->kube, "mark", (json_int_t)x->mark, "packet",
			 s->has_packet ? tuple_json(&p->src, p->sport, &p->dst, p->dport)
				       : json_null(),
			 "iif", s->iif, "oif", s->oif);
}

static json_t *ct_json(const struct hooks_stop *stop)
{
	const struct ct_tuple *o = &stop->ct.orig, *r = &stop->ct.reply;

	if (!stop->has_ct)
		return json_null();
	return json_pack("{s:o, s:o}", "original", tuple_json(&o->src, o->sport, &o->dst, o->dport),
			 "reply", tuple_json(&r->src, r->sport, &r->dst, r->dport));
}

static void print_json(const struct hooks *h, struct arena *a)
{
	json_t *nodes = json_array(), *j;

	for (size_t i = 0; i < h->n_stops; i++) {
		const struct hooks_stop *stop = &h->stops[i];
		json_t *steps = json_array();

		for (uint32_t k = 0; k < stop->steps.n; k++)
			json_array_append_new(steps, step_json(&stop->steps.v[k], a));
		json_array_append_new(nodes, json_pack("{s:s, s:o, s:o}", "name", stop->node,
						       "steps", steps, "conntrack", ct_json(stop)));
	}
	j = json_pack("{s:s, s:s?, s:s, s:s, s:o, s:I}", "result",
		      name_of(&probe_result_names, h->result), "refused_by",
		      h->refused ? name_of(&refused_by_names, h->refused) : NULL, "server",
		      h->server, "server_sees", h->server_sees, "nodes", nodes, "lost",
		      (json_int_t)h->lost);
	out_json(j, stdout);
	json_decref(j);
}

/* ---- text */

static bool same_packet(const struct nft_trace_flow *a, const struct nft_trace_flow *b)
{
	return nft_trace_matches(a, b) && nft_trace_matches(b, a);
}

/* A rule that decides or stands for one of kube-proxy's; a policy that ended the packet's way; where
 * the packet comes to a hook, or is another than before. */
static bool is_shown(const struct hooks_step *s, const struct nft_trace_flow *before, bool new_hook)
{
	if (s->marker)
		return s->has_packet && (new_hook || !same_packet(&s->packet, before));
	return (s->event->type == NFT_TRACETYPE_RULE &&
		(s->kube || s->event->verdict != NFT_CONTINUE)) ||
	       (s->event->type == NFT_TRACETYPE_POLICY && s->event->policy == NF_DROP);
}

static const char *device(const struct hooks_step *s, struct arena *a)
{
	if (*s->iif && *s->oif)
		return arena_printf(a, "%s > %s", s->iif, s->oif);
	return *s->iif ? s->iif : s->oif;
}

/* Cells that say the same as above stay blank. */
static void print_stop(const struct hooks_stop *stop, struct table *t, struct arena *a)
{
	struct nft_trace_flow before = { .proto = 0 };
	uint32_t hook = NF_INET_NUMHOOKS;
	const char *node = stop->node;

	for (uint32_t i = 0; i < stop->steps.n; i++) {
		const struct hooks_step *s = &stop->steps.v[i];
		bool new_hook = s->hook != hook, changed;

		if (!is_shown(s, &before, new_hook))
			continue;
		changed = s->has_packet && (new_hook || !same_packet(&s->packet, &before));
		table_cell(t, "%s", node);
		table_cell(t, "%s", new_hook ? hook_name(s->hook) : " ");
		table_cell(t, "%s", s->marker ? " " : s->event->chain);
		table_cell(t, "%s", s->marker ? " " : verdict_text(s, a));
		table_cell(t, "%s", s->marker ? " " : s->kube ? s->kube : "-");
		table_cell(t, "%s", changed ? device(s, a) : " ");
		table_cell(t, "%s", changed ? packet_text(&s->packet, a) : " ");
		node = " ";
		hook = s->hook;
		if (s->has_packet)
			before = s->packet;
	}
}

static void print_conntrack(const struct hooks *h, struct arena *a)
{
	struct table t;

	table_init(&t, "NODE", "CONNTRACK: ORIGINAL", "REPLY", NULL);
	for (size_t i = 0; i < h->n_stops; i++) {
		const struct hooks_stop *stop = &h->stops[i];
		const struct ct_tuple *o = &stop->ct.orig, *r = &stop->ct.reply;

		table_cell(&t, "%s", stop->node);
		table_cell(&t, "%s",
			   stop->has_ct ? way_text(&o->src, o->sport, &o->dst, o->dport, a) : "");
		table_cell(&t, "%s",
			   stop->has_ct ? way_text(&r->src, r->sport, &r->dst, r->dport, a) : "");
	}
	table_print(&t, stdout);
	table_fini(&t);
}

static void print_text(const struct hooks *h, const char *from, const char *to, struct arena *a)
{
	struct table t;

	printf("%s to %s: %s%s%s", from, to, name_of(&probe_result_names, h->result),
	       *h->server ? ", answered by " : "", h->server);
	printf("%s%s%s%s\n", *h->server_sees ? ", who saw " : "", h->server_sees,
	       *h->detail ? ", " : "", h->detail);
	if (!h->n_stops)
		return;
	table_init(&t, "NODE", "HOOK", "CHAIN", "VERDICT", "KUBE-PROXY", "DEVICE", "PACKET", NULL);
	for (size_t i = 0; i < h->n_stops; i++)
		print_stop(&h->stops[i], &t, a);
	putchar('\n');
	table_print(&t, stdout);
	table_fini(&t);
	putchar('\n');
	print_conntrack(h, a);
}

/* ---- the question */

/* Whom a node may send it to: the target itself, and the endpoints of every front of that port. */
static int set_also(const struct why *y, uint8_t proto, struct hooks_ask *ask, struct arena *a)
{
	struct nft_trace_flow *v = arena_array(a, ALSO_MAX, sizeof(*v));
	size_t n = 0;

	if (!v)
		return cmd_error(CMD_NO, "no memory");
	v[n++] = (struct nft_trace_flow){ .dst = ask->dst, .proto = proto, .dport = ask->dport };
	for (size_t i = 0; i < y->n_plans; i++)
		for (uint32_t k = 0; k < y->plans[i].fronts.n; k++) {
			const struct svc_front *f = &y->plans[i].fronts.v[k];

			if (f->number != ask->dport || f->port->proto != y->flow.proto ||
			    y->plans[i].family != ask->dst.family)
				continue;
			for (uint32_t m = 0; m < f->port->endpoints.n && n < ALSO_MAX; m++)
				v[n++] = (struct nft_trace_flow){
					.dst = f->port->endpoints.v[m].ip,
					.proto = proto,
					.dport = f->port->endpoints.v[m].port
				};
		}
	ask->also = v;
	ask->n_also = n;
	return 0;
}

/* `outside` is nobody that the store knows: its address of the target's family is. */
static const char *sender(const struct world_member *m, const char *to, struct arena *a)
{
	const struct ipaddr *ip;
	const char *host;
	struct ipaddr dst;
	char text[ADDR_TEXT];
	uint16_t port;
	bool v6 = !world_split(to, &host, &port, a, NULL) && !addr_parse(host, &dst) &&
		  dst.family == AF_INET6;

	if (m->kind != WORLD_OUTSIDE)
		return m->name;
	ip = world_addr(m, v6 ? AF_INET6 : AF_INET);
	ip = ip ? ip : world_addr(m, 0);
	return ip ? arena_strdup(a, addr_str(ip, text)) : m->name;
}

static int ask_and_print(struct cmd_ctx *ctx, const struct hooks_cmd_opts *o, struct hooks_ask *ask,
			 char **argv)
{
	struct hooks *h = arena_alloc(ctx->arena, sizeof(*h));
	struct err e = { .code = 0 };

	if (!h)
		return cmd_error(CMD_NO, "no memory");
	if (hooks_run(ask, h, ctx->arena, &e))
		return cmd_error(CMD_USAGE, "%s", e.text);
	if (o->common.format == OUT_JSON)
		print_json(h, ctx->arena);
	else
		print_text(h, argv[0], argv[1], ctx->arena);
	if (h->lost)
		return cmd_error(CMD_PARTLY, "%u events were lost", h->lost);
	return h->result == PROBE_CONNECTED ? CMD_OK : CMD_NO;
}

static int run_hooks(struct cmd_ctx *ctx, const void *opts, int argc, char **argv)
{
	const struct hooks_cmd_opts *o = opts;
	struct why_opts asked = { .proto = o->proto == PROBE_UDP ? PROTO_UDP : PROTO_TCP };
	struct hooks_ask ask = { .proto = o->proto };
	struct world w;
	struct why y;
	int rc;

	if (argc != 2)
		return cmd_usage(ctx, "takes FROM and TO[:PORT]");
	if (lab_load(ctx, &o->common, &w))
		return CMD_USAGE;
	ask.w = &w;
	ask.from = world_find(&w, argv[0]);
	if (!ask.from)
		return cmd_error(CMD_USAGE, "lab %s has no \"%s\" running", w.name, argv[0]);
	ctx->store = w.url;
	ctx->lab = NULL;                                   /* the URL says it */
	asked.node = w.nodes.n ? w.nodes.v[0].name : NULL; /* endpoints are the same on all */
	rc = why_ask(ctx, &asked, sender(ask.from, argv[1], ctx->arena), argv[1], &y);
	ask.dst = y.flow.dst;
	ask.dport = y.flow.dport;
	if (!rc)
		rc = set_also(&y, o->proto == PROBE_UDP ? IPPROTO_UDP : IPPROTO_TCP, &ask,
			      ctx->arena);
	if (!rc)
		rc = ask_and_print(ctx, o, &ask, argv);
	why_forget(&y);
	return rc;
}

const struct cmd cmd_lab_hooks = {
	.name = "hooks",
	.args = "FROM TO[:PORT]",
	.summary = "The hooks that one packet passes, beside kube-proxy's chains",
	.help = "Connects from FROM (NS/POD, a node or outside) to TO (the same, an address, or a "
		"Service:\nNS/NAME or its name in DNS), and shows what the first packet met on "
		"each node, as the\nnodes' own nftables tell: hook, chain, what its rule did, and "
		"the chain that kube-proxy's\niptables mode has for it. Packets are shown where a "
		"hook begins and where they changed. Then\nwhat each node's conntrack remembers: "
		"how packets came, and how answers will come.\n-o json has every event and every "
		"rule's text.\n\n"
		"Exit codes: 0 connected, 1 not, 3 the kernel could not tell all.\n\n"
		"Try:\n"
		"  fairlead lab hooks shop/web-0 shop/api:80\n"
		"  fairlead lab hooks outside n1:30080\n"
		"  fairlead lab hooks n1 db.shop.svc -o json",
	.opts = hooks_table,
	.opts_size = sizeof(struct hooks_cmd_opts),
	.run = run_hooks,
};
