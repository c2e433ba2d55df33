// SPDX-License-Identifier: Apache-2.0
/* agent_cni: see agent_cni.h. */
#include "daemon/agent_cni.h"
#include "core/cni/message.h"
#include "daemon/agent_bridge.h"
#include "daemon/agent_cni_verbs.h"
#include "daemon/agent_ipam.h"
#include "daemon/agent_report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ADD_WAIT 4.0 /* seconds for everything but the Pod, for which pod-wait is */
#define CALLS    256 /* at once: two descriptors each */

struct agent_cni {
	struct listener listener;
	bool waking;
	uint64_t round;
};

/* ---- answers */

/* All calls, the newest first. */
static struct cni_call *first_call(const struct agent *a)
{
	return a->cni ? (struct cni_call *)a->cni->listener.clients : NULL;
}

static struct cni_call *next_call(const struct cni_call *c)
{
	return (struct cni_call *)c->client.next;
}

void cni_answer(struct cni_call *c, const struct cni_reply *reply)
{
	ev_tstamp took = ev_time() - c->started;
	struct err e;

	c->waiting = false;
	ev_timer_stop(c->agent->role->loop, &c->deadline);
	agent_report_cni(c->agent, c->req.verb, (enum cni_code)reply->code, took);
	if (reply->code)
		log_info("%s %s %s: error %lld: %s", cni_verb_name(c->req.verb),
			 c->req.containerID ? c->req.containerID : "",
			 c->req.ifname ? c->req.ifname : "", (long long)reply->code, reply->msg);
	else
		log_debug("%s %s %s: %.2f ms", cni_verb_name(c->req.verb),
			  c->req.containerID ? c->req.containerID : "",
			  c->req.ifname ? c->req.ifname : "", took * 1e3);
	if (stream_send(c->client.stream, REC_CNI_REPLY, &cni_reply_schema, reply, -1, &e))
		log_warn("cni: %s", e.text);
	client_finish(&c->client);
}

void cni_fail(struct cni_call *c, enum cni_code code, const char *msg)
{
	cni_answer(c, &(struct cni_reply){ .code = code, .msg = msg });
}

/* ---- ADDs that wait */

/* It waits no longer. */
static void answer_now(struct cni_call *c)
{
	if (c->wired)
		cni_add_settle(c);
	else
		cni_add_expired(c);
}

static void out_of_time(struct ev_loop *loop, ev_timer *w, int events)
{
	answer_now(w->data);
}

void cni_wait(struct cni_call *c)
{
	ev_tstamp until = c->started + c->agent->role->cfg.pod_wait +
			  (c->pod_known || !c->req.pod_name ? ADD_WAIT : 0.);
	ev_tstamp left = until - ev_time();

	c->waiting = true;
	ev_timer_stop(c->agent->role->loop, &c->deadline);
	ev_timer_set(&c->deadline, left > 0 ? left : 0., 0.);
	ev_timer_start(c->agent->role->loop, &c->deadline);
}

static struct cni_call *next_waiting(const struct agent *a)
{
	for (struct cni_call *c = first_call(a); c; c = next_call(c))
		if (c->waiting && c->round != a->cni->round)
			return c;
	return NULL;
}

void agent_cni_wake(struct agent *a)
{
	struct agent_cni *s = a->cni;
	struct cni_call *c;

	if (!s || s->waking)
		return; /* what a call below changes, the calls after it see */
	s->waking = true;
	s->round++;
	while ((c = next_waiting(a))) {
		c->round = s->round;
		cni_add(c);
	}
	s->waking = false;
}

bool agent_cni_waits(const struct agent *a)
{
	for (const struct cni_call *c = first_call(a); c; c = next_call(c))
		if (c->waiting)
			return true;
	return false;
}

struct cni_call *cni_waiting(struct agent *a, const struct cni_request *q)
{
	for (struct cni_call *c = first_call(a); c; c = next_call(c))
		if (c->waiting && !strcmp(c->req.network, q->network) &&
		    !strcmp(c->req.containerID, q->containerID) &&
		    !strcmp(c->req.ifname, q->ifname))
			return c;
	return NULL;
}

/* ---- requests */

/* The plugin checked all this; the socket is root's, but a mistake must not kill the agent. */
static const char *what_lacks(const struct cni_request *q)
{
	bool attachment = q->verb == CNI_ADD || q->verb == CNI_DEL || q->verb == CNI_CHECK;

	if (q->verb == CNI_STATUS)
		return NULL;
	if (!q->network)
		return "no network name";
	if (attachment && (!q->containerID || !q->ifname))
		return "no container id or interface name";
	if (attachment && (q->containerID[0] == '.' || strlen(q->ifname) >= IFNAME_LEN))
		return "bad container id or interface name";
	if (q->bridge && strlen(q->bridge) >= IFNAME_LEN)
		return "bridge: name longer than 15 characters";
	return NULL;
}

static void dispatch(struct cni_call *c)
{
	const char *lacks = what_lacks(&c->req);

	if (lacks) {
		cni_fail(c, CNI_ERR_CONFIG, lacks);
		return;
	}
	switch ((enum cni_verb)c->req.verb) {
	case CNI_ADD:
		cni_add(c);
		return;
	case CNI_DEL:
		cni_del(c);
		return;
	case CNI_CHECK:
		cni_check(c);
		return;
	case CNI_GC:
		cni_gc(c);
		return;
	case CNI_STATUS:
		cni_status(c);
		return;
	case CNI_VERSION:
	case CNI_NONE:
		break;
	}
	cni_fail(c, CNI_ERR_ENV, "the agent does not know this command");
}

static void on_opened(struct client *client)
{
	struct cni_call *c = (struct cni_call *)client;

	c->agent = client->listener->arg;
	c->netns = -1;
	c->started = ev_time();
	arena_init(&c->arena, 0);
	ev_timer_init(&c->deadline, out_of_time, 0., 0.);
	c->deadline.data = c;
}

static void on_asked(struct client *client, struct wire *body, int fd)
{
	struct cni_call *c = (struct cni_call *)client;
	struct err e;

	c->netns = fd;
	if (record_decode(body, &cni_request_schema, &c->req, &c->arena, &e))
		cni_fail(c, CNI_ERR_DECODE, arena_strdup(&c->arena, e.text));
	else
		dispatch(c);
}

static void on_closed(struct client *client)
{
	struct cni_call *c = (struct cni_call *)client;

	if (c->waiting)
		cni_add_abandon(c);
	ev_timer_stop(c->agent->role->loop, &c->deadline);
	if (c->netns >= 0)
		close(c->netns);
	arena_fini(&c->arena);
}

/* ---- life */

static void bound(struct role *r, int fd, const struct err *e, void *arg)
{
	struct agent_cni *s = arg;

	if (fd < 0) {
		log_error("cni.sock: %s", e->text);
		role_exit(r, 1);
		return;
	}
	listener_start(&s->listener, fd);
}

int agent_cni_open(struct agent *a, struct err *e)
{
	static const struct listener_ops ops = { .name = "cni.sock",
						 .size = sizeof(struct cni_call),
						 .max = CALLS,
						 .request = REC_CNI_REQUEST,
						 .opened = on_opened,
						 .asked = on_asked,
						 .closed = on_closed };
	const struct rec_bind want = { .proto = "unix", .path = "cni.sock" };

	a->cni = calloc(1, sizeof(*a->cni));
	if (!a->cni)
		return err_set(e, -ENOMEM, "no memory");
	listener_init(&a->cni->listener, a->role->loop, &ops, a);
	return role_bind(a->role, &want, bound, a->cni, e);
}

void agent_cni_close(struct agent *a)
{
	if (!a->cni)
		return;
	/* What an ADD waits for is not seen by this agent any more. */
	for (struct cni_call *c = first_call(a); c; c = next_call(c))
		if (ev_is_active(&c->deadline)) {
			c->settle_until = 0.;
			answer_now(c);
		}
	listener_fini(&a->cni->listener);
	free(a->cni);
	a->cni = NULL;
}
