// SPDX-License-Identifier: Apache-2.0
/* matrix: see matrix.h. Cells that are denied cost their whole timeout, so each prober has many
 * of them in flight. An external address lies on `outside` while the matrix is made. Where some
 * connections took a good part of the timeout the machine is slow or loses packets, and what
 * timed out is asked once more: silence is only a verdict where others are answered quickly. So is
 * what timed out though the caller expected an answer. */
#include "lab/matrix.h"

#include "base/names.h"
#include "lab/cable.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IN_FLIGHT    "128"
#define RESENDS      "3"
#define DEFAULT_PORT 8080

struct making {
	const struct world *w;
	const struct matrix_opts *o;
	struct arena *a;
	struct matrix *m;
	struct probing_job *jobs; /* one per source, in the order of `sources` */
	const struct world_member **sources;
	size_t n_sources;
	uint32_t cap, done, asked;
};

/* ---- selectors and ports */

static bool label_matches(const char *word, size_t n, const struct strmap *labels)
{
	const char *eq = memchr(word, '=', n);
	bool negate = eq ? eq > word && eq[-1] == '!' : *word == '!';
	char key[320], value[64];
	const char *have;

	if (eq) {
		snprintf(key, sizeof(key), "%.*s", (int)(eq - word) - negate, word);
		snprintf(value, sizeof(value), "%.*s", (int)(word + n - eq - 1), eq + 1);
	} else {
		snprintf(key, sizeof(key), "%.*s", (int)n - negate, word + negate);
	}
	have = labels ? strmap_get(labels, key) : NULL;
	return (have && (!eq || !strcmp(have, value))) != negate;
}

int matrix_select(const char *selector, const struct world_member *m, bool *match, struct err *e)
{
	const char *slash = strchr(selector, '/'), *eq = strchr(selector, '=');
	size_t ns = slash && (!eq || slash < eq) ? (size_t)(slash - selector) : 0;
	const char *word = ns ? slash + 1 : selector;

	if (!*selector || (ns && !*word))
		return err_set(e, -EINVAL, "selector \"%s\": must be [NS/]key=value[,…] or a name",
			       selector);
	if (!strcmp(selector, m->name) || m->kind != WORLD_POD) {
		*match = !strcmp(selector, m->name);
		return 0;
	}
	*match = !ns || (!strncmp(m->name, selector, ns) && m->name[ns] == '/');
	while (*match && *word) {
		size_t n = strcspn(word, ",");

		*match = n && label_matches(word, n, m->labels);
		word += n + (word[n] == ',');
	}
	return 0;
}

static int read_port(const char *text, struct world_port *out)
{
	char *end;
	unsigned long port = strtoul(text, &end, 10);
	int proto = *end == '/' ? name_find(&probe_proto_names, end + 1) : PROBE_TCP;

	if (!strcmp(text, name_of(&probe_proto_names, PROBE_ICMP))) {
		*out = (struct world_port){ .proto = PROBE_ICMP };
		return 0;
	}
	if (end == text || port < 1 || port > 65535 || (*end && *end != '/') || proto < 0 ||
	    proto == PROBE_ICMP)
		return -EINVAL;
	*out = (struct world_port){ (uint16_t)port, (uint8_t)proto };
	return 0;
}

int matrix_ports(const char *text, struct world_port **v, uint32_t *n, struct arena *a,
		 struct err *e)
{
	char *copy = arena_strdup(a, text), *save = NULL;
	uint32_t got = 0;
	struct world_port *out = arena_array(a, strlen(text) + 1, sizeof(*out));

	if (!copy || !out)
		return err_set(e, -ENOMEM, "out of memory");
	for (char *w = strtok_r(copy, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
		if (read_port(w, &out[got++]))
			return err_set(e, -EINVAL,
				       "port \"%s\": must be PORT/tcp, /udp, /sctp, or icmp", w);
	}
	if (!got)
		return err_set(e, -EINVAL, "no ports in \"%s\"", text);
	*v = out;
	*n = got;
	return 0;
}

int matrix_external(const char *text, struct matrix_external *out, struct arena *a, struct err *e)
{
	const char *eq = strchr(text, '=');
	struct matrix_external got;

	if (!eq || eq == text || addr_parse(eq + 1, &got.addr))
		return err_set(e, -EINVAL, "must be NAME=ADDR");
	got.name = arena_strndup(a, text, (size_t)(eq - text));
	if (!got.name)
		return err_set(e, -ENOMEM, "out of memory");
	*out = got;
	return 0;
}

/* ---- cells */

static struct matrix_row *add_row(struct making *k)
{
	if (k->m->rows.n == k->cap) {
		uint32_t cap = k->cap ? 2 * k->cap : 1024;
		struct matrix_row *v = arena_array(k->a, cap, sizeof(*v));

		if (!v)
			return NULL;
		if (k->cap)
			memcpy(v, k->m->rows.v, k->cap * sizeof(*v));
		k->m->rows.v = v;
		k->cap = cap;
	}
	return &k->m->rows.v[k->m->rows.n++];
}

static void put_target(struct buf *b, uint32_t id, const struct matrix_row *row)
{
	char text[ADDR_TEXT];

	buf_printf(b, "%u %s %s %u\n", id, name_of(&probe_proto_names, row->port.proto),
		   addr_str(&row->addr, text), row->port.port);
}

static void add_cell(struct making *k, size_t source, const struct world_member *to,
		     const struct ipaddr *addr, const struct world_port *port)
{
	struct matrix_row *row = add_row(k);

	if (!row)
		return;
	*row = (struct matrix_row){ .from = k->sources[source],
				    .to = to,
				    .addr = *addr,
				    .port = *port,
				    .result = PROBE_TIMEOUT,
				    .server = "",
				    .server_sees = "",
				    .detail = "" };
	put_target(&k->jobs[source].targets, k->m->rows.n - 1, row);
}

/* One address per family, as a client would choose one. */
static const struct ipaddr *cell_addr(const struct matrix_opts *o, const struct world_member *from,
				      const struct world_member *to, int family)
{
	if (o->family && o->family != family)
		return NULL;
	return world_addr(from, family) ? world_addr(to, family) : NULL;
}

static void add_cells(struct making *k, size_t source, const struct world_member *to)
{
	static const struct world_port fallback[] = { { DEFAULT_PORT, PROBE_TCP },
						      { DEFAULT_PORT, PROBE_UDP } };
	static const int families[] = { AF_INET, AF_INET6 };
	const struct world_port *ports = to->kind == WORLD_POD ? to->ports.v : fallback;
	uint32_t n = to->kind == WORLD_POD ? to->ports.n : 2;

	if (k->o->ports.n) {
		ports = k->o->ports.v;
		n = k->o->ports.n;
	}
	for (int f = 0; f < 2; f++) {
		const struct ipaddr *addr = cell_addr(k->o, k->sources[source], to, families[f]);

		for (uint32_t i = 0; addr && i < n; i++)
			add_cell(k, source, to, addr, &ports[i]);
	}
}

/* ---- who takes part */

static void list_members(struct making *k)
{
	const struct world *w = k->w;
	uint32_t n = w->pods.n + w->nodes.n + 1 + k->o->externals.n;
	struct world_member *v = arena_array(k->a, n, sizeof(*v));

	n = 0;
	for (uint32_t i = 0; v && i < w->pods.n; i++)
		v[n++] = w->pods.v[i];
	for (uint32_t i = 0; v && i < w->nodes.n && k->o->all; i++)
		v[n++] = w->nodes.v[i];
	if (v && k->o->all)
		v[n++] = w->outside;
	for (uint32_t i = 0; v && i < k->o->externals.n; i++) {
		v[n] = (struct world_member){ .kind = WORLD_EXTERNAL,
					      .name = k->o->externals.v[i].name,
					      .pid = w->outside.pid };
		v[n].addrs.v = &k->o->externals.v[i].addr;
		v[n++].addrs.n = 1;
	}
	k->m->members.v = v;
	k->m->members.n = n;
}

/* Which members the selector takes; one that takes nobody is a mistake, not an empty table. */
static int choose(const struct making *k, const char *option, const char *selector, bool *yes,
		  struct err *e)
{
	bool any = !selector;

	for (uint32_t i = 0; i < k->m->members.n; i++) {
		yes[i] = true;
		if (selector && matrix_select(selector, &k->m->members.v[i], &yes[i], e))
			return e->code;
		any = any || yes[i];
	}
	return any ? 0
		   : err_set(e, -EINVAL, "%s %s: matches nobody%s", option, selector,
			     k->o->all ? "" : " (nodes and outside take part with --all)");
}

static void set_args(struct making *k, struct probing_job *job, const struct world_member *from)
{
	char text[ADDR_TEXT];
	size_t n = 0;

	job->pid = from->pid;
	job->args[n++] = "--timeout";
	job->args[n++] = arena_printf(k->a, "%d", k->o->timeout_ms);
	job->args[n++] = "--in-flight";
	job->args[n++] = IN_FLIGHT;
	job->args[n++] = "--resends";
	job->args[n++] = RESENDS;
	if (from->kind == WORLD_EXTERNAL) {
		job->args[n++] = "--source";
		job->args[n++] = arena_strdup(k->a, addr_str(&from->addrs.v[0], text));
	}
}

static int list_cells(struct making *k, struct err *e)
{
	size_t n = k->m->members.n;
	bool *targets = arena_array(k->a, n, sizeof(*targets));
	bool *sources = arena_array(k->a, n, sizeof(*sources));

	k->sources = arena_array(k->a, n, sizeof(*k->sources));
	k->jobs = arena_array(k->a, n, sizeof(*k->jobs));
	if (!targets || !sources || !k->sources || !k->jobs)
		return err_set(e, -ENOMEM, "out of memory");
	if (choose(k, "--from", k->o->from, sources, e) || choose(k, "--to", k->o->to, targets, e))
		return e->code;
	for (size_t i = 0; i < n; i++) {
		const struct world_member *m = &k->m->members.v[i];

		if (sources[i] && m->pid)
			k->sources[k->n_sources++] = m;
	}
	for (size_t s = 0; s < k->n_sources; s++) {
		set_args(k, &k->jobs[s], k->sources[s]);
		for (size_t i = 0; i < n; i++)
			if (targets[i])
				add_cells(k, s, &k->m->members.v[i]);
	}
	return k->a->failed ? err_set(e, -ENOMEM, "out of memory") : 0;
}

/* ---- servers and addresses for as long as it lasts */

struct stage {
	struct probing_server *servers;
	size_t n_servers, n_addrs;
	struct nl *nl; /* in `outside` */
};

static int put_address(struct stage *s, const struct ipaddr *addr, bool add)
{
	struct prefix host = prefix_host(addr);
	struct nl_batch b;
	int rc;

	nl_batch_init(&b);
	if (add)
		cable_put_addr(&b, CABLE_LO, &host);
	else
		cable_del_addr(&b, CABLE_LO, &host);
	rc = nl_batch_run(s->nl, &b, NULL, NULL, NULL);
	nl_batch_fini(&b);
	return rc;
}

static int put_externals(struct making *k, struct stage *s, struct err *e)
{
	int fd, rc;

	if (!k->o->externals.n)
		return 0;
	fd = space_open(k->w->outside.pid, SPACE_NET, e);
	if (fd < 0)
		return fd;
	s->nl = nl_open_in(fd, NETLINK_ROUTE, e);
	close(fd);
	if (!s->nl)
		return e->code;
	for (; s->n_addrs < k->o->externals.n; s->n_addrs++) {
		const struct matrix_external *x = &k->o->externals.v[s->n_addrs];

		rc = put_address(s, &x->addr, true);
		if (rc && rc != -EEXIST)
			return err_sys(e, rc, "external %s", x->name);
	}
	return 0;
}

static const char *port_args(struct making *k)
{
	struct buf b = { 0 };
	const char *out;

	for (uint32_t i = 0; i < k->o->ports.n; i++)
		if (k->o->ports.v[i].port)
			buf_printf(&b, "%s:%u ",
				   name_of(&probe_proto_names, k->o->ports.v[i].proto),
				   k->o->ports.v[i].port);
	if (!k->o->ports.n)
		buf_printf(&b, "tcp:%d udp:%d", DEFAULT_PORT, DEFAULT_PORT);
	out = arena_strdup(k->a, b.v ? b.v : "");
	buf_fini(&b);
	return out;
}

static int put_servers(struct making *k, struct stage *s, struct err *e)
{
	const char *ports = port_args(k);
	bool outside = k->o->all || k->o->externals.n;
	int rc = 0;

	s->servers = arena_array(k->a, k->w->nodes.n + 1u, sizeof(*s->servers));
	if (!ports || !s->servers)
		return err_set(e, -ENOMEM, "out of memory");
	for (uint32_t i = 0; !rc && k->o->all && i < k->w->nodes.n; i++) {
		const struct world_member *m = &k->w->nodes.v[i];

		rc = probing_serve(m->pid, m->name, ports, &s->servers[s->n_servers], e);
		s->n_servers += !rc;
	}
	if (!rc && outside) {
		rc = probing_serve(k->w->outside.pid, "outside", ports, &s->servers[s->n_servers],
				   e);
		s->n_servers += !rc;
	}
	return rc;
}

static void strike(struct making *k, struct stage *s)
{
	for (size_t i = 0; i < s->n_servers; i++)
		probing_serve_end(&s->servers[i]);
	while (s->n_addrs)
		put_address(s, &k->o->externals.v[--s->n_addrs].addr, false);
	nl_close(s->nl);
}

static void take(void *arg, const struct probing_result *r)
{
	struct making *k = arg;
	struct matrix_row *row;

	if (r->id < 0 || r->id >= (long)k->m->rows.n)
		return;
	row = &k->m->rows.v[r->id];
	row->result = r->result;
	row->refused = r->refused;
	row->ms = (double)r->us / 1000;
	row->server = arena_strdup(k->a, r->server);
	row->server_sees = arena_strdup(k->a, r->server_sees);
	row->detail = arena_strdup(k->a, r->detail);
	k->done++;
	if (k->o->progress)
		k->o->progress(k->o->progress_arg, k->done, k->asked);
}

static int ask(struct making *k, struct err *e)
{
	return probing_run(k->jobs, k->n_sources, take, k, e);
}

static bool is_slow(const struct making *k)
{
	for (uint32_t i = 0; i < k->m->rows.n; i++)
		if (k->m->rows.v[i].result == PROBE_CONNECTED &&
		    k->m->rows.v[i].ms * 3 > k->o->timeout_ms)
			return true;
	return false;
}

/* Silence of those that should answer; where the machine is slow, all silence. */
static int ask_again(struct making *k, struct err *e)
{
	bool slow = is_slow(k);
	size_t s = 0;

	k->asked = k->done = 0;

	for (size_t i = 0; i < k->n_sources; i++)
		buf_clear(&k->jobs[i].targets);
	for (uint32_t i = 0; i < k->m->rows.n; i++) {
		const struct matrix_row *row = &k->m->rows.v[i];

		while (k->sources[s] != row->from)
			s++;
		if (row->result != PROBE_TIMEOUT ||
		    !(slow || (k->o->expects && k->o->expects(k->o->expects_arg, row))))
			continue;
		put_target(&k->jobs[s].targets, i, row);
		k->asked++;
	}
	return k->asked ? ask(k, e) : 0;
}

int matrix_make(const struct world *w, const struct matrix_opts *o, struct matrix *out,
		struct arena *a, struct err *e)
{
	struct making k = { .w = w, .o = o, .a = a, .m = out };
	struct stage s = { 0 };
	int rc;

	*out = (struct matrix){ 0 };
	list_members(&k);
	rc = list_cells(&k, e);
	if (!rc)
		rc = put_externals(&k, &s, e);
	if (!rc)
		rc = put_servers(&k, &s, e);
	k.asked = out->rows.n;
	if (!rc)
		rc = ask(&k, e);
	if (!rc)
		rc = ask_again(&k, e);
	strike(&k, &s);
	for (size_t i = 0; k.jobs && i < k.n_sources; i++)
		buf_fini(&k.jobs[i].targets);
	return rc;
}
