// SPDX-License-Identifier: Apache-2.0
/* agent_reap: see agent_reap.h. */
#include "daemon/agent_reap.h"
#include "daemon/agent_bridge.h"
#include "daemon/agent_ipam.h"
#include "daemon/agent_kernel.h"
#include "daemon/agent_link.h"
#include "daemon/agent_report.h"
#include "sys/pod.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DELAY 0.3 /* seconds: collects a burst of DELs, and stays well below one */
#define RETRY 5.0

struct agent_reap {
	struct agent *agent;
	ev_timer timer;
	bool again; /* some wait for the store */
};

static bool has_heir(struct agent *a, const char *hostif)
{
	const struct ipam_attachment *const *v;
	size_t n;

	v = ipam_all(agent_ipam_book(a), &n);
	for (size_t i = 0; i < n; i++)
		if (v[i]->state == IPAM_LIVE && v[i]->hostif && !strcmp(v[i]->hostif, hostif))
			return true;
	return false;
}

/* The index that was noted at DEL, if the link that has it is still that pod's: an index is not
 * used twice while the machine is up, but the journal may be of an earlier boot. */
static int dying_index(struct agent *a, const struct ipam_attachment *at)
{
	struct err none;
	int now;

	if (at->ipam_only || !at->hostif)
		return 0;
	/* None was noted where the link had gone before: one of that name now is its heir's. */
	if (!at->ifindex && has_heir(a, at->hostif))
		return 0;
	now = rtnl_ifindex(agent_kernel_nl(a), at->hostif, &none);
	return now > 0 && (!at->ifindex || now == at->ifindex) ? now : 0;
}

static bool next_dying(struct agent *a, uint64_t after, uint64_t *id)
{
	const struct ipam_attachment *const *v;
	size_t n;

	v = ipam_all(agent_ipam_book(a), &n);
	for (size_t i = 0; i < n; i++)
		if (v[i]->state == IPAM_DYING && v[i]->id > after) {
			*id = v[i]->id;
			return true;
		}
	return false;
}

static int remove_links(struct agent *a, struct err *e)
{
	const struct ipam_attachment *const *v;
	size_t n, dying = 0;
	int *index, rc;

	v = ipam_all(agent_ipam_book(a), &n);
	index = malloc((n ? n : 1) * sizeof(*index));
	if (!index)
		return err_set(e, -ENOMEM, "no memory");
	for (size_t i = 0; i < n; i++)
		if (v[i]->state == IPAM_DYING) {
			int x = dying_index(a, v[i]);

			if (x)
				index[dying++] = x;
		}
	rc = dying ? pod_reap(agent_kernel_nl(a), index, dying, e) : 0;
	free(index);
	return rc;
}

int agent_reap_now(struct agent *a, struct err *e)
{
	struct agent_reap *r = a->reap;
	uint64_t id = 0;
	int rc = remove_links(a, e);

	r->again = false;
	while (!rc && next_dying(a, id, &id)) {
		/* The object first: once the book forgets, nobody would take it back. */
		if (agent_report_endpoint_gone(a, ipam_by_id(agent_ipam_book(a), id)))
			rc = agent_ipam_release(a, id, e);
		else
			r->again = true;
	}
	if (!rc)
		agent_bridge_prune(a);
	return rc;
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int events)
{
	struct agent_reap *r = w->data;
	struct err e;

	if (agent_reap_now(r->agent, &e))
		log_error("reaper: %s", e.text);
	else if (!r->again)
		return;
	if (ev_is_active(&r->timer))
		return;
	ev_timer_set(&r->timer, RETRY, 0.);
	ev_timer_start(loop, &r->timer);
}

void agent_reap_soon(struct agent *a)
{
	struct agent_reap *r = a->reap;

	if (ev_is_active(&r->timer)) {
		if (ev_timer_remaining(a->role->loop, &r->timer) <= DELAY)
			return;
		ev_timer_stop(a->role->loop, &r->timer); /* one that waits for a retry */
	}
	ev_timer_set(&r->timer, DELAY, 0.);
	ev_timer_start(a->role->loop, &r->timer);
}

int agent_reap_open(struct agent *a, struct err *e)
{
	a->reap = calloc(1, sizeof(*a->reap));
	if (!a->reap)
		return err_set(e, -ENOMEM, "no memory");
	a->reap->agent = a;
	ev_timer_init(&a->reap->timer, on_timer, DELAY, 0.);
	a->reap->timer.data = a->reap;
	return 0;
}

void agent_reap_close(struct agent *a)
{
	if (!a->reap)
		return;
	ev_timer_stop(a->role->loop, &a->reap->timer);
	free(a->reap);
	a->reap = NULL;
}
