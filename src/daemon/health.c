// SPDX-License-Identifier: Apache-2.0
/* Role health: what the node says of itself to whoever asks by HTTP.
 *
 *   /livez    200 while this process serves
 *   /healthz  200 when every configured role runs
 *   /readyz   200 when every configured role said that it serves
 *   /metrics  Prometheus' text format
 * A page that is not 200 is 503 and names the roles. What is known comes as REC_METRIC: from the
 * keeper on descriptor 3 (which roles run), from the other roles on their streams. Services'
 * health checks have ports of their own (health_ports.h), and so has, where there is an agent,
 * the question whether Services work (proxy_health.h). */
#include "daemon/health_ports.h"
#include "daemon/httpd.h"
#include "daemon/metrics.h"
#include "daemon/port.h"
#include "daemon/proxy_health.h"
#include "daemon/role.h"
#include "daemon/stream.h"
#include "sys/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS 64

/* Whose series; the index of a peer is its source. */
enum source {
	SRC_AGENT,
	SRC_WATCH,
	SRC_CONTROLLER,
	SRC_BGP,
	SRC_DNS,
	SRC_PEERS,
	SRC_KEEPER = SRC_PEERS,
	SRC_SELF
};

static const char *const peer_names[SRC_PEERS] = { [SRC_AGENT] = "agent",
						   [SRC_WATCH] = "watch",
						   [SRC_CONTROLLER] = "controller",
						   [SRC_BGP] = "bgp",
						   [SRC_DNS] = "dns" };

struct health {
	struct role *role;
	struct httpd httpd;
	struct metrics metrics;
	struct health_ports *ports;
	struct proxy_health proxy;
	struct httpd proxy_httpd;
	struct port proxy_port;
	uint64_t healthz[2], livez[2]; /* the latter's answers: bad, good */
	struct stream *peers[SRC_PEERS];
	unsigned asked, answered; /* sockets */
};

/* ---- records in */

static int64_t now_ms(void)
{
	return (int64_t)(clock_mono_ns() / 1000000);
}

static bool services_work(void *arg)
{
	const struct health *h = arg;

	return proxy_is_healthy(&h->proxy, now_ms());
}

static void take_proxy(struct health *h, const struct rec_proxy *p)
{
	proxy_hear(&h->proxy, p, now_ms());
	if (p->listed)
		health_ports_listed(h->ports);
}

static void take_record(struct health *h, unsigned source, unsigned type, struct wire *body)
{
	union {
		struct rec_metric metric;
		struct rec_health_port port;
		struct rec_proxy proxy;
	} u = { 0 };
	bool known = type == REC_METRIC ||
		     (source == SRC_AGENT && (type == REC_HEALTH_PORT || type == REC_PROXY));
	struct arena a;
	struct err e = { 0 };

	if (!known)
		return;
	arena_init(&a, RECORD_MAX);
	if (record_decode(body, record_schema(type), &u, &a, &e) ||
	    (type == REC_METRIC && metrics_put(&h->metrics, source, &u.metric, &e)))
		log_warn("%s: %s", source < SRC_PEERS ? peer_names[source] : "keeper", e.text);
	else if (type == REC_HEALTH_PORT)
		health_ports_put(h->ports, &u.port);
	else if (type == REC_PROXY)
		take_proxy(h, &u.proxy);
	arena_fini(&a);
}

static unsigned source_of(const struct health *h, const struct stream *s)
{
	for (unsigned i = 0; i < SRC_PEERS; i++)
		if (h->peers[i] == s)
			return i;
	return SRC_PEERS;
}

static void on_frame(struct stream *s, unsigned type, struct wire *body, int fd)
{
	struct health *h = stream_arg(s);

	if (fd >= 0)
		close(fd);
	take_record(h, source_of(h, s), type, body);
}

static void on_closed(struct stream *s, const struct err *e)
{
	struct health *h = stream_arg(s);
	unsigned source = source_of(h, s);

	if (e->code)
		log_warn("%s: %s", peer_names[source], e->text);
	metrics_drop(&h->metrics, source);
	h->peers[source] = NULL;
	stream_free(s);
}

static const struct stream_ops peer_ops = { .frame = on_frame, .closed = on_closed };

static void on_join(struct role *r, const char *peer, int fd)
{
	struct health *h = r->state;
	struct err e;

	for (unsigned i = 0; i < SRC_PEERS; i++) {
		if (strcmp(peer_names[i], peer) != 0)
			continue;
		stream_free(h->peers[i]);
		metrics_drop(&h->metrics, i);
		if (i == SRC_AGENT)
			health_ports_anew(h->ports);
		h->peers[i] = stream_new(r->loop, fd, &peer_ops, h, &e);
		if (!h->peers[i])
			log_error("%s: %s", peer, e.text);
		return;
	}
	close(fd);
}

static void on_keeper_frame(struct role *r, unsigned type, struct wire *body)
{
	take_record(r->state, SRC_KEEPER, type, body);
}

/* ---- pages out */

/* 200 when the keeper's gauge `name` is 1 for all configured roles. */
static int roles_page(const struct health *h, const char *name, const char * not, struct buf *body)
{
	const struct config *c = &h->role->cfg;
	int status = 200;

	for (uint32_t i = 0; i < c->roles.n; i++) {
		const char *v = metrics_get(&h->metrics, name, "role", c->roles.v[i]);

		if (v && strcmp(v, "1") == 0)
			continue;
		buf_printf(body, "%s %s\n", c->roles.v[i], not );
		status = 503;
	}
	if (status == 200)
		buf_puts(body, "ok\n");
	return status;
}

/* One of `what`, which has all but label's and series' values. */
static void put_self(struct health *h, const struct rec_metric *what, const char *label_value,
		     uint64_t n)
{
	struct strmap_entry entry = { what->labels.v[0].key, label_value };
	struct rec_metric m = *what;
	char text[24];
	struct err e;

	m.labels.v = &entry;
	m.value = text;

	snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	if (metrics_put(&h->metrics, SRC_SELF, &m, &e))
		log_warn("%s", e.text);
}

static void metrics_page(struct health *h, struct http_answer *a)
{
	static struct strmap_entry state = { .key = "state" }, code = { .key = "code" };
	static const struct rec_metric ports = { .name = "fairlead_health_check_ports",
						 .help = "Services' health check ports",
						 .type = "gauge",
						 .labels = { .v = &state, .n = 1 } };
	static const struct rec_metric healthz = { .name = "kubeproxy_proxy_healthz_total",
						   .help = "answers of the proxy's /healthz",
						   .type = "counter",
						   .labels = { .v = &code, .n = 1 } };
	static const struct rec_metric livez = { .name = "kubeproxy_proxy_livez_total",
						 .help = "answers of the proxy's /livez",
						 .type = "counter",
						 .labels = { .v = &code, .n = 1 } };
	struct health_ports_count n = health_ports_count(h->ports);

	put_self(h, &ports, "served", n.served);
	put_self(h, &ports, "waiting", n.waiting);
	put_self(h, &healthz, "200", h->healthz[true]);
	put_self(h, &healthz, "503", h->healthz[false]);
	put_self(h, &livez, "200", h->livez[true]);
	put_self(h, &livez, "503", h->livez[false]);
	a->type = "text/plain; version=0.0.4; charset=utf-8";
	metrics_print(&h->metrics, &a->body);
}

static void page(void *arg, const char *path, struct http_answer *a)
{
	struct health *h = arg;

	a->status = 200;
	if (strcmp(path, "/livez") == 0) {
		buf_puts(&a->body, "ok\n");
	} else if (strcmp(path, "/healthz") == 0) {
		a->status = roles_page(h, "fairlead_role_up", "does not run", &a->body);
	} else if (strcmp(path, "/readyz") == 0) {
		a->status = roles_page(h, "fairlead_role_ready", "is not ready", &a->body);
	} else if (strcmp(path, "/metrics") == 0) {
		metrics_page(h, a);
	} else {
		buf_puts(&a->body, "known are /healthz, /livez, /readyz, /metrics\n");
		a->status = 404;
	}
}

static void on_proxy_page(void *arg, const char *path, struct http_answer *a)
{
	struct health *h = arg;

	proxy_page(&h->proxy, now_ms(), (int64_t)(ev_time() * 1000.), path, a);
	if (strcmp(path, "/healthz") == 0)
		h->healthz[a->status == 200]++;
	else if (strcmp(path, "/livez") == 0)
		h->livez[a->status == 200]++;
}

/* ---- start and end */

static void on_bound(struct role *r, int fd, const struct err *e, void *arg)
{
	struct health *h = r->state;

	(void)arg;
	h->answered++;
	if (fd >= 0)
		httpd_listen(&h->httpd, fd);
	else
		log_error("%s", e->text);
	if (h->answered < h->asked)
		return;
	/* On every address: a kernel without IPv6 still serves. */
	if (h->httpd.n_listeners)
		role_ready(r);
	else
		role_exit(r, 1);
}

static int ask(struct health *h, struct ipaddr addr, struct err *e)
{
	struct rec_bind want = { .proto = "tcp", .addr = addr, .port = h->role->cfg.health.port };

	h->asked++;
	return role_bind(h->role, &want, on_bound, NULL, e);
}

static int start(struct role *r, struct err *e)
{
	static const struct httpd_ops pages = { .page = page };
	static const struct httpd_ops proxy_pages = { .page = on_proxy_page };
	const struct config *c = &r->cfg;
	struct health *h = r->state;
	struct strmap_entry label = { .key = "version", .value = FAIRLEAD_VERSION };
	struct rec_metric build = { .name = "fairlead_build_info",
				    .help = "Version of fairlead; the value is always 1.",
				    .type = "gauge",
				    .labels = { .v = &label, .n = 1 },
				    .value = "1" };
	int rc;

	h->role = r;
	httpd_init(&h->httpd, r->loop, &pages, h, CONNECTIONS);
	httpd_init(&h->proxy_httpd, r->loop, &proxy_pages, h, CONNECTIONS);
	port_init(&h->proxy_port, r, &h->proxy_httpd);
	h->ports = health_ports_new(r, services_work, h);
	if (!h->ports)
		return err_set(e, -ENOMEM, "no memory");
	rc = metrics_put(&h->metrics, SRC_SELF, &build, e);
	if (rc)
		return rc;
	if (c->proxy_health.port && config_has_role(c, "agent"))
		port_open(&h->proxy_port, &c->proxy_health.addr, c->proxy_health.port,
			  "proxy-health-address");
	if (!c->health.port) {
		role_ready(r);
		return 0;
	}
	if (c->health.addr.family)
		return ask(h, c->health.addr, e);
	rc = ask(h, addr_v4(0), e);
	return rc ? rc : ask(h, (struct ipaddr){ .family = AF_INET6 }, e);
}

static void stop(struct role *r)
{
	struct health *h = r->state;

	for (unsigned i = 0; i < SRC_PEERS; i++)
		stream_free(h->peers[i]);
	httpd_fini(&h->httpd);
	port_fini(&h->proxy_port);
	health_ports_free(h->ports);
	metrics_fini(&h->metrics);
}

int main(int argc, char **argv)
{
	static const struct role_ops ops = {
		.name = "health",
		.start = start,
		.join = on_join,
		.frame = on_keeper_frame,
		.stop = stop,
	};
	struct health h = { 0 };

	return role_main(&ops, &h, argc, argv);
}
