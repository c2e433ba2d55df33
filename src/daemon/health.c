// SPDX-License-Identifier: Apache-2.0
/* Role health: what the node says of itself to whoever asks by HTTP.
 *
 *   /livez    200 while this process serves
 *   /healthz  200 when every configured role runs
 *   /readyz   200 when every configured role said that it serves
 *   /metrics  Prometheus' text format
 * A page that is not 200 is 503 and names the roles. What is known comes as REC_METRIC: from the
 * keeper on descriptor 3 (which roles run), from the other roles on their streams. */
#include "daemon/httpd.h"
#include "daemon/metrics.h"
#include "daemon/role.h"
#include "daemon/stream.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Whose series; the index of a peer is its source. */
enum source { SRC_AGENT, SRC_WATCH, SRC_CONTROLLER, SRC_PEERS, SRC_KEEPER = SRC_PEERS, SRC_SELF };

static const char *const peer_names[SRC_PEERS] = {
	[SRC_AGENT] = "agent", [SRC_WATCH] = "watch", [SRC_CONTROLLER] = "controller"
};

struct health {
	struct role *role;
	struct httpd httpd;
	struct metrics metrics;
	struct stream *peers[SRC_PEERS];
	unsigned asked, answered; /* sockets */
};

/* ---- metrics in */

static void take_metric(struct health *h, unsigned source, struct wire *body)
{
	struct rec_metric m = { 0 };
	struct arena a;
	struct err e;

	arena_init(&a, RECORD_MAX);
	if (record_decode(body, record_schema(REC_METRIC), &m, &a, &e) ||
	    metrics_put(&h->metrics, source, &m, &e))
		log_warn("%s: %s", source < SRC_PEERS ? peer_names[source] : "keeper", e.text);
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
	if (type == REC_METRIC)
		take_metric(h, source_of(h, s), body);
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
		h->peers[i] = stream_new(r->loop, fd, &peer_ops, h, &e);
		if (!h->peers[i])
			log_error("%s: %s", peer, e.text);
		return;
	}
	close(fd);
}

static void on_keeper_frame(struct role *r, unsigned type, struct wire *body)
{
	if (type == REC_METRIC)
		take_metric(r->state, SRC_KEEPER, body);
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

static int page(void *arg, const char *path, struct buf *body, const char **type)
{
	struct health *h = arg;

	if (strcmp(path, "/livez") == 0) {
		buf_puts(body, "ok\n");
		return 200;
	}
	if (strcmp(path, "/healthz") == 0)
		return roles_page(h, "fairlead_role_up", "does not run", body);
	if (strcmp(path, "/readyz") == 0)
		return roles_page(h, "fairlead_role_ready", "is not ready", body);
	if (strcmp(path, "/metrics") == 0) {
		*type = "text/plain; version=0.0.4; charset=utf-8";
		metrics_print(&h->metrics, body);
		return 200;
	}
	buf_puts(body, "known are /healthz, /livez, /readyz, /metrics\n");
	return 404;
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
	struct rec_bind want = { .proto = "tcp", .addr = addr, .port = h->role->cfg.health_port };

	h->asked++;
	return role_bind(h->role, &want, on_bound, NULL, e);
}

static int start(struct role *r, struct err *e)
{
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
	httpd_init(&h->httpd, r->loop, page, h);
	rc = metrics_put(&h->metrics, SRC_SELF, &build, e);
	if (rc)
		return rc;
	if (!c->health_port) {
		role_ready(r);
		return 0;
	}
	if (c->health_addr.family)
		return ask(h, c->health_addr, e);
	rc = ask(h, addr_v4(0), e);
	return rc ? rc : ask(h, (struct ipaddr){ .family = AF_INET6 }, e);
}

static void stop(struct role *r)
{
	struct health *h = r->state;

	for (unsigned i = 0; i < SRC_PEERS; i++)
		stream_free(h->peers[i]);
	httpd_fini(&h->httpd);
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
