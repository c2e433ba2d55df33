// SPDX-License-Identifier: Apache-2.0
/* fairlead lab probe: packets from one member of a lab to anything, and what became of them. */
#include "base/names.h"
#include "cmd/lab.h"
#include "cmd/out.h"
#include "lab/probing.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_PORT 8080

enum family_opt { FAMILY_ANY, FAMILY_4, FAMILY_6 };

struct probe_cmd_opts {
	struct lab_opts common;
	const char *from, *to, *source;
	uint8_t proto, family, same_socket;
	int64_t count, interval, timeout, size;
	double hold;
};

static const char *const family_text[] = { NULL, "4", "6" };
static const struct names family_names = NAMES(family_text);

static const struct opt probe_table[] = {
	OPT(struct probe_cmd_opts, from, 0, "from", OPT_STR, .arg = "FROM",
	    .doc = "NS/POD, a node or outside"),
	OPT(struct probe_cmd_opts, to, 0, "to", OPT_STR, .arg = "TO[:PORT]",
	    .doc = "NS/POD, a node, outside, an address or a name; IPv6 as [ADDR]:PORT"),
	OPT(struct probe_cmd_opts, proto, 0, "proto", OPT_ENUM, .names = &probe_proto_names,
	    .doc = "Default tcp"),
	OPT(struct probe_cmd_opts, family, 0, "family", OPT_ENUM, .names = &family_names,
	    .doc = "Default: IPv4 where there is one"),
	OPT(struct probe_cmd_opts, source, 0, "source", OPT_STR, .arg = "ADDR[:PORT]",
	    .doc = "Send from this address, even one that is not the sender's own"),
	OPT(struct probe_cmd_opts, count, 0, "count", OPT_INT, .min = 1, .max = 1000000, .arg = "N",
	    .doc = "So many, each from a socket of its own"),
	OPT(struct probe_cmd_opts, interval, 0, "interval", OPT_INT, .min = 0, .max = 3600000,
	    .arg = "MS", .doc = "Between two starts (default 0: side by side)"),
	OPT(struct probe_cmd_opts, timeout, 0, "timeout", OPT_INT, .min = 1, .max = 3600000,
	    .arg = "MS", .doc = "Default 1500"),
	OPT(struct probe_cmd_opts, size, 0, "size", OPT_INT, .min = 0, .max = 65000, .arg = "BYTES",
	    .doc = "Of the request's body and of the answer's"),
	OPT(struct probe_cmd_opts, hold, 0, "hold", OPT_SECONDS, .arg = "SEC",
	    .doc = "Keep asking on the connection so long; connected only if all is answered"),
	OPT(struct probe_cmd_opts, same_socket, 0, "same-socket", OPT_FLAG,
	    .doc = "All from one socket, one after the other"),
	LAB_OPT_FORMAT(struct probe_cmd_opts),
	LAB_OPT_NAME(struct probe_cmd_opts),
	{ 0 },
};

static void probe_defaults(void *opts)
{
	struct probe_cmd_opts *o = opts;

	o->count = 1;
	o->timeout = 1500;
}

/* ---- the answer */

struct tally {
	json_t *servers, *sees;
	size_t results[4], refused_by[4], n;
	double *ms; /* of the connected ones */
	size_t n_ms, cap;
	char detail[64];
};

static void count_name(json_t *o, const char *name)
{
	if (*name)
		json_object_set_new(o, name,
				    json_integer(json_integer_value(json_object_get(o, name)) + 1));
}

static void on_result(void *arg, const struct probing_result *r)
{
	struct tally *t = arg;

	t->n++;
	t->results[r->result]++;
	t->refused_by[r->refused]++;
	count_name(t->servers, r->server);
	count_name(t->sees, r->server_sees);
	if (*r->detail)
		snprintf(t->detail, sizeof(t->detail), "%s", r->detail);
	if (r->result == PROBE_CONNECTED && t->n_ms < t->cap)
		t->ms[t->n_ms++] = (double)r->us / 1000;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* What refused most of them; NULL when nothing did. */
static const char *refused_by(const struct tally *t)
{
	unsigned best = REFUSED_NOT;

	for (unsigned i = REFUSED_RST; i <= REFUSED_ICMP_ADMIN; i++)
		if (t->refused_by[i] && (!best || t->refused_by[i] > t->refused_by[best]))
			best = i;
	return best ? name_of(&refused_by_names, best) : NULL;
}

static json_t *tally_json(struct tally *t)
{
	json_t *j = json_pack("{s:i, s:{s:i, s:i, s:i}, s:O, s:O, s:s?}", "sent", (int)t->n,
			      "results", "connected", (int)t->results[PROBE_CONNECTED], "refused",
			      (int)t->results[PROBE_REFUSED], "timeout",
			      (int)t->results[PROBE_TIMEOUT], "servers", t->servers, "server_sees",
			      t->sees, "refused_by", refused_by(t));

	if (t->n_ms)
		json_object_set_new(j, "ms",
				    json_pack("{s:f, s:f, s:f}", "min", t->ms[0], "p50",
					      t->ms[t->n_ms / 2], "max", t->ms[t->n_ms - 1]));
	else
		json_object_set_new(j, "ms", json_null());
	if (*t->detail)
		json_object_set_new(j, "detail", json_string(t->detail));
	return j;
}

static void print_names(const char *head, const json_t *names)
{
	const char *name;
	json_t *n;

	json_object_foreach((json_t *)names, name, n) printf("  %s %s%s", head, name, "");
	(void)n;
}

static void print_text(struct tally *t, const struct probe_cmd_opts *o)
{
	const char *by = refused_by(t);

	printf("%s to %s: %zu sent, %zu connected, %zu refused%s%s%s, %zu timed out\n", o->from,
	       o->to, t->n, t->results[PROBE_CONNECTED], t->results[PROBE_REFUSED], by ? " (" : "",
	       by ? by : "", by ? ")" : "", t->results[PROBE_TIMEOUT]);
	if (json_object_size(t->servers)) {
		print_names("answered by", t->servers);
		putchar('\n');
	}
	if (json_object_size(t->sees) && json_object_size(t->sees) < 6) {
		print_names("who saw", t->sees);
		putchar('\n');
	}
	if (t->n_ms)
		printf("  %.3f ms at least, %.3f in the middle, %.3f at most\n", t->ms[0],
		       t->ms[t->n_ms / 2], t->ms[t->n_ms - 1]);
	if (*t->detail)
		printf("  %s\n", t->detail);
}

/* ---- the question */

static int wanted_family(const struct probe_cmd_opts *o)
{
	struct ipaddr source;

	if (o->family)
		return o->family == FAMILY_6 ? AF_INET6 : AF_INET;
	/* A source without a family asks for its own; "ADDR:PORT" is IPv4's way to write it. */
	if (o->source && !addr_parse(o->source, &source))
		return source.family;
	return o->source ? (*o->source == '[' ? AF_INET6 : AF_INET) : 0;
}

static uint16_t default_port(const struct world_member *to, unsigned proto)
{
	for (uint32_t i = 0; to && i < to->ports.n; i++)
		if (to->ports.v[i].proto == proto)
			return to->ports.v[i].port;
	return DEFAULT_PORT;
}

static int add_target(struct cmd_ctx *ctx, const struct probe_cmd_opts *o, const struct world *w,
		      struct probing_job *job)
{
	const struct world_member *to;
	const struct ipaddr *addr;
	struct err e = { .code = 0 };
	char text[ADDR_TEXT];
	const char *host;
	uint16_t port;

	if (world_split(o->to, &host, &port, ctx->arena, &e))
		return cmd_fail(&e);
	to = world_find(w, host);
	if (!to && strchr(host, '/'))
		return cmd_error(CMD_USAGE,
				 "lab %s has no pod \"%s\" running (a Service: give its "
				 "address)",
				 w->name, host);
	if (to) {
		addr = world_addr(to, wanted_family(o));
		if (!addr)
			return cmd_error(CMD_NO, "%s has no address of this family", host);
		host = addr_str(addr, text);
	}
	if (!port && o->proto != PROBE_ICMP)
		port = default_port(to, o->proto);
	buf_printf(&job->targets, "0 %s %s %u\n", name_of(&probe_proto_names, o->proto), host,
		   o->proto == PROBE_ICMP ? 0 : port);
	return 0;
}

static void set_args(struct cmd_ctx *ctx, const struct probe_cmd_opts *o, struct probing_job *job)
{
	const struct {
		const char *name;
		long value;
	} numbers[] = {
		{ "--count", o->count },
		{ "--timeout", o->timeout },
		{ "--interval", o->interval },
		{ "--size", o->size },
		{ "--hold", (long)(o->hold * 1000) },
		{ "--in-flight", 64 },
		{ "--family", o->family == FAMILY_6   ? 6
			      : o->family == FAMILY_4 ? 4
						      : 0 },
	};
	size_t n = 0;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		job->args[n++] = numbers[i].name;
		job->args[n++] = arena_printf(ctx->arena, "%ld", numbers[i].value);
	}
	if (o->same_socket) {
		job->args[n++] = "--same-socket";
		job->args[n++] = "yes";
	}
	if (o->source) {
		job->args[n++] = "--source";
		job->args[n++] = o->source;
	}
}

static int verdict(const struct tally *t)
{
	if (t->n && t->results[PROBE_CONNECTED] == t->n)
		return CMD_OK;
	return t->results[PROBE_CONNECTED] ? CMD_PARTLY : CMD_NO;
}

static int probe(struct cmd_ctx *ctx, const struct probe_cmd_opts *o, struct probing_job *job)
{
	struct tally t = { .servers = json_object(), .sees = json_object() };
	struct err e = { .code = 0 };
	json_t *j;
	int rc;

	t.cap = (size_t)o->count;
	t.ms = arena_array(ctx->arena, t.cap, sizeof(*t.ms));
	if (!t.ms)
		return cmd_error(CMD_NO, "no memory");
	if (probing_run(job, 1, on_result, &t, &e)) {
		rc = cmd_error(CMD_USAGE, "%s", e.text);
	} else {
		qsort(t.ms, t.n_ms, sizeof(*t.ms), by_value);
		rc = verdict(&t);
		if (o->common.format == OUT_JSON) {
			j = tally_json(&t);
			out_json(j, stdout);
			json_decref(j);
		} else {
			print_text(&t, o);
		}
	}
	json_decref(t.servers);
	json_decref(t.sees);
	return rc;
}

static bool is_source(struct cmd_ctx *ctx, const char *text)
{
	struct ipaddr ip;
	const char *host;
	uint16_t port;

	return !world_split(text, &host, &port, ctx->arena, NULL) && !addr_parse(host, &ip);
}

static int run_probe(struct cmd_ctx *ctx, const void *opts, int argc, char **argv)
{
	const struct probe_cmd_opts *o = opts;
	struct probing_job job = { .pid = 0 };
	const struct world_member *from;
	struct world w;
	int rc;

	if (argc || !o->from || !o->to)
		return cmd_usage(ctx, "needs --from FROM and --to TO");
	if (o->source && !is_source(ctx, o->source))
		return cmd_usage(ctx, "--source %s: must be ADDR or ADDR:PORT", o->source);
	/* 1 would say that nothing connected. */
	if (lab_load(ctx, &o->common, &w))
		return CMD_USAGE;
	from = world_find(&w, o->from);
	if (!from)
		return cmd_error(CMD_USAGE, "lab %s has no \"%s\" running%s", w.name, o->from,
				 strchr(o->from, '/') ? "" : " (pods are NS/POD)");
	job.pid = from->pid;
	set_args(ctx, o, &job);
	rc = add_target(ctx, o, &w, &job);
	if (!rc)
		rc = probe(ctx, o, &job);
	buf_fini(&job.targets);
	return rc;
}

const struct cmd cmd_lab_probe = {
	.name = "probe",
	.args = "--from FROM --to TO[:PORT]",
	.summary = "Send packets from one member to another and tell what came of them",
	.help = "connected: a TCP handshake, a datagram answered, INIT ACK, echo reply. refused: "
		"RST,\n"
		"ABORT, ICMP port unreachable or administratively prohibited. timeout: neither.\n"
		"Without a port: the first one that the pod declares, else 8080.\n"
		"Exit codes: 0 all connected, 1 none, 3 some.\n\n"
		"Try:\n"
		"  fairlead lab probe --from shop/web-0 --to shop/db-0:5432\n"
		"  fairlead lab probe --from n1 --to '[fd00:10:244::1]:80' --count 10 -o json\n"
		"  fairlead lab probe --from outside --to n1 --proto icmp",
	.opts = probe_table,
	.opts_size = sizeof(struct probe_cmd_opts),
	.init = probe_defaults,
	.run = run_probe,
};
