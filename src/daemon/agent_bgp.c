// SPDX-License-Identifier: Apache-2.0
/* agent_bgp: the stream, both ways, and which addresses of Services are told; see agent_bgp.h. */
#include "daemon/agent_bgp.h"
#include "daemon/agent_bgp_state.h"
#include "daemon/agent_plan.h"
#include "daemon/agent_store.h"
#include "model/bgp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AGAIN_S 3. /* after a record that could not be taken: perhaps there is memory then */

/* ---- routes in */

void agent_bgp_mark(void *arg, const struct prefix *p)
{
	struct agent_bgp *b = arg;

	agent_plan_learned(b->agent, p);
}

static int take_route(struct agent_bgp *b, const struct rec_route *r, struct err *e)
{
	int rc;

	if (!r->prefix.addr.family)
		return err_set(e, -EBADMSG, "a route without a prefix");
	if (r->withdrawn) {
		if (learned_drop(b->table, &r->prefix))
			agent_bgp_mark(b, &r->prefix);
		return 0;
	}
	rc = learned_put(b->table, r, b->number);
	if (rc == LEARNED_CHANGED)
		agent_bgp_mark(b, &r->prefix);
	return rc < 0 ? err_set(e, rc, "no memory") : 0;
}

static void take_end(struct agent_bgp *b, const struct rec_routes *r)
{
	size_t before = learned_count(b->table);

	if (!r->complete || b->complete || b->doubtful)
		return;
	b->complete = true;
	learned_sweep(b->table, b->number, agent_bgp_mark, b);
	if (learned_count(b->table) != before)
		log_info("bgp: %zu routes of before are not told any more",
			 before - learned_count(b->table));
}

static void doubt(struct agent_bgp *b, const struct err *e)
{
	log_error("bgp: %s", e->text);
	if (!b->doubtful) {
		ev_timer_stop(b->agent->role->loop, &b->again);
		ev_timer_set(&b->again, AGAIN_S, 0.);
		ev_timer_start(b->agent->role->loop, &b->again);
	}
	b->doubtful = true;
}

static void on_frame(struct stream *s, unsigned type, struct wire *body, int fd)
{
	struct agent_bgp *b = stream_arg(s);
	union {
		struct rec_route route;
		struct rec_routes routes;
	} u = { 0 };
	struct err e;
	int rc;

	if (fd >= 0)
		close(fd);
	if (type != REC_ROUTE && type != REC_ROUTES)
		return;
	rc = record_decode(body, record_schema(type), &u, &b->arena, &e);
	if (!rc && type == REC_ROUTE)
		rc = take_route(b, &u.route, &e);
	else if (!rc)
		take_end(b, &u.routes);
	if (rc)
		doubt(b, &e);
	arena_reset(&b->arena);
}

/* ---- origins out */

static void send_record(struct agent_bgp *b, unsigned type, const void *body)
{
	struct err e;

	if (stream_send(b->stream, type, NULL, body, -1, &e))
		log_debug("bgp: %s", e.text);
}

static void send_origin(void *arg, const struct rec_origin *r)
{
	send_record(arg, REC_ORIGIN, r);
}

static void tell(struct agent_bgp *b, bool all)
{
	struct rec_origins end = { .kept = learned_count(b->table) > 0 };

	if (!b->stream || !b->ready)
		return;
	if (origins_tell(b->origins, all, send_origin, b) || all)
		send_record(b, REC_ORIGINS, &end);
}

void agent_bgp_planned(struct agent *a, const char *ns, const char *name,
		       const struct svc_plan *plans, size_t n)
{
	if (!origins_service(a->bgp->origins, ns, name, plans, n))
		log_error("Service %s/%s: no memory for its addresses", ns, name);
}

void agent_bgp_sent(struct agent *a)
{
	tell(a->bgp, false);
}

/* A node that load balancers are to pass by tells of no Service, as Calico has it. */
static bool is_passed_by(const struct agent *a)
{
	const struct object *o =
		cluster_get(agent_store_cluster(a), KIND_NODE, NULL, a->role->cfg.node);

	return o && strmap_get(&o->meta->labels, LABEL_NO_BALANCER);
}

/* `c` NULL: no address is told. */
static bool allow(struct agent_bgp *b, const struct bgpconfiguration *c)
{
	const struct {
		const struct bgp_cidr *v;
		uint32_t n;
	} from[ORIGIN_KINDS] = {
		[ORIGIN_CLUSTER_IP] = { c ? c->spec.serviceClusterIPs.v : NULL,
					c ? c->spec.serviceClusterIPs.n : 0 },
		[ORIGIN_EXTERNAL_IP] = { c ? c->spec.serviceExternalIPs.v : NULL,
					 c ? c->spec.serviceExternalIPs.n : 0 },
		[ORIGIN_LOAD_BALANCER] = { c ? c->spec.serviceLoadBalancerIPs.v : NULL,
					   c ? c->spec.serviceLoadBalancerIPs.n : 0 },
	};
	struct origin_ranges r = { 0 };
	struct arena ar;
	bool done = true;

	arena_init(&ar, 0);
	for (int k = 0; k < ORIGIN_KINDS; k++) {
		struct prefix *v = arena_array(&ar, from[k].n, sizeof(*v));

		done &= v != NULL;
		for (uint32_t i = 0; v && i < from[k].n; i++)
			v[i] = prefix_mask(&from[k].v[i].cidr);
		r.of[k].v = v;
		r.of[k].n = from[k].n;
	}
	done = done && origins_allow(b->origins, &r);
	arena_fini(&ar);
	return done;
}

void agent_bgp_changed(struct agent *a, const struct object *old, const struct object *now)
{
	const struct object *any = now ? now : old, *o;
	const char *mine = any->kind->id == KIND_BGPCONFIGURATION ? BGP_CONFIG_DEFAULT
			   : any->kind->id == KIND_NODE           ? a->role->cfg.node
								  : NULL;

	if (!mine || strcmp(any->meta->name, mine) != 0)
		return;
	o = cluster_get(agent_store_cluster(a), KIND_BGPCONFIGURATION, NULL, BGP_CONFIG_DEFAULT);
	if (!allow(a->bgp, o && !is_passed_by(a) ? o->body : NULL))
		log_error("bgp: no memory for the addresses of Services");
	tell(a->bgp, false);
}

void agent_bgp_in_kernel(struct agent *a)
{
	bool first = !a->bgp->ready;

	a->bgp->ready = true;
	tell(a->bgp, first);
}

/* ---- the stream */

static void leave(struct agent_bgp *b)
{
	stream_free(b->stream);
	b->stream = NULL;
	b->complete = b->doubtful = false;
	ev_timer_stop(b->agent->role->loop, &b->again);
}

/* Where the other side ended in order, the keeper joins us when it is there again. */
static void on_closed(struct stream *s, const struct err *e)
{
	struct agent_bgp *b = stream_arg(s);

	if (e->code)
		log_warn("bgp: %s", e->text);
	leave(b);
	if (e->code)
		role_rejoin(b->agent->role, "bgp");
}

static void on_again(struct ev_loop *loop, ev_timer *w, int events)
{
	struct agent_bgp *b = w->data;

	role_rejoin(b->agent->role, "bgp");
}

void agent_bgp_join(struct agent *a, int fd)
{
	static const struct stream_ops ops = { .frame = on_frame, .closed = on_closed };
	struct agent_bgp *b = a->bgp;
	struct err e;

	leave(b);
	b->number++;
	b->stream = stream_new(a->role->loop, fd, &ops, b, &e);
	if (!b->stream)
		log_error("bgp: %s", e.text);
	tell(b, true);
}

int agent_bgp_open(struct agent *a, struct err *e)
{
	struct agent_bgp *b = calloc(1, sizeof(*b));

	if (!b)
		return err_set(e, -ENOMEM, "no memory");
	a->bgp = b;
	b->agent = a;
	arena_init(&b->arena, 4 * RECORD_MAX);
	ev_timer_init(&b->again, on_again, AGAIN_S, 0.);
	b->again.data = b;
	b->table = learned_new();
	b->origins = origins_new();
	return b->table && b->origins ? 0 : err_set(e, -ENOMEM, "no memory");
}

void agent_bgp_close(struct agent *a)
{
	struct agent_bgp *b = a->bgp;

	if (!b)
		return;
	leave(b);
	learned_free(b->table);
	origins_free(b->origins);
	arena_fini(&b->arena);
	free(b);
	a->bgp = NULL;
}
