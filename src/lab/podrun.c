// SPDX-License-Identifier: Apache-2.0
/* podrun: what the store wants of a pod on this node, and which state it is in; the states are
 * drawn in kubelet.h, the ways up and down are podup.c and poddown.c. Pods start side by side up
 * to a limit that keeps a small machine responsive. */
#include "base/log.h"
#include "lab/kubelet.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STARTING_MAX 8

static bool is_starting(unsigned state)
{
	return state == RUN_BIRTH || state == RUN_ADDING || state == RUN_STARTING;
}

void podrun_set(struct podrun *p, enum podrun_state state)
{
	p->k->starting -= is_starting(p->state);
	p->k->starting += is_starting(state);
	p->state = (uint8_t)state;
}

void podrun_record(struct podrun *p, enum sandbox_phase phase)
{
	struct sandbox s = { .phase = (uint8_t)phase,
			     .ns = p->ns,
			     .name = p->name,
			     .uid = p->uid,
			     .node = p->k->self->name,
			     .id = p->id,
			     .host_network = p->host_network,
			     .pause = p->pause };
	struct sandbox_container *c = calloc(p->n_runs + 1, sizeof(*c));
	struct err e = { 0 };

	s.ips.v = p->ips;
	s.ips.n = (uint32_t)p->n_ips;
	s.containers.v = c;
	for (size_t i = 0; c && i < p->n_runs; i++)
		if (!p->runs[i].init)
			c[s.containers.n++] =
				(struct sandbox_container){ p->runs[i].name, p->runs[i].proc };
	if (sandbox_write(&s, p->dir, &e))
		log_error("Pod %s: %s", p->key, e.text);
	free(c);
}

static void on_pause_end(struct ev_loop *loop, ev_io *w, int revents)
{
	struct podrun *p = w->data;
	struct err e = { 0 };

	pidfd_unwatch(loop, w);
	p->pause.pid = 0;
	err_set(&e, -ESRCH, "the pause process died");
	if (p->state == RUN_STARTING || p->state == RUN_UP)
		podrun_fail(p, &e);
}

int podrun_watch_pause(struct podrun *p)
{
	return pidfd_watch(p->k->loop, &p->pause_watch, p->pause.pid, on_pause_end, p);
}

/* ---- what the store wants */

struct podrun *podrun_new(struct kubelet *k, const char *ns, const char *name)
{
	struct podrun *p = calloc(1, sizeof(*p));

	if (!p || asprintf(&p->key, "%s/%s", ns, name) < 0) {
		free(p);
		return NULL;
	}
	p->k = k;
	snprintf(p->ns, sizeof(p->ns), "%s", ns);
	snprintf(p->name, sizeof(p->name), "%s", name);
	HASH_ADD_KEYPTR(hh, k->pods, p->key, strlen(p->key), p);
	return p;
}

static bool same_pod(const struct podrun *p, const struct object *obj)
{
	const char *uid = obj->meta->uid ? obj->meta->uid : "none";

	if (p->obj)
		return !strcmp(p->obj->meta->uid ? p->obj->meta->uid : "none", uid);
	return !p->uid[0] || !strcmp(p->uid, uid);
}

void podrun_want(struct podrun *p, struct object *obj)
{
	bool adopted = !p->obj && (p->state == RUN_UP || p->state == RUN_OVER);
	struct object *old = p->obj;

	if (p->unwanted || !same_pod(p, obj)) {
		object_free(p->next);
		p->next = obj;
		podrun_unwant(p);
		return;
	}
	p->obj = obj;
	containers_refer(p);
	object_free(old);
	if (adopted && p->state == RUN_UP) {
		containers_resume(p);
		podstatus_write(p);
	} else if (p->state == RUN_WAITING) {
		podrun_next(p->k);
	}
}

void podrun_unwant(struct podrun *p)
{
	struct kubelet *k = p->k;

	p->unwanted = true;
	switch ((enum podrun_state)p->state) {
	case RUN_WAITING:
	case RUN_BACKOFF:
		podrun_release(p);
		break;
	case RUN_OVER:
		podrun_gone(p);
		break;
	case RUN_STARTING:
	case RUN_UP:
		podrun_down(p);
		break;
	case RUN_BIRTH:
	case RUN_ADDING:
	case RUN_ENDING:
	case RUN_DELETING:
		break; /* seen when the step ends */
	}
	podrun_next(k);
}

void podrun_adopt(struct podrun *p, const struct sandbox *s)
{
	struct err e = { 0 };

	snprintf(p->uid, sizeof(p->uid), "%s", s->uid);
	snprintf(p->id, sizeof(p->id), "%s", s->id);
	sandbox_dir(p->dir, p->k->lab, p->k->self->name, p->uid);
	p->host_network = s->host_network;
	p->pause = s->pause;
	for (uint32_t i = 0; i < s->ips.n && i < PODRUN_IPS; i++)
		p->ips[p->n_ips++] = s->ips.v[i];
	if (s->phase == SANDBOX_DONE) {
		podrun_set(p, RUN_OVER);
		return;
	}
	containers_adopt(p, s);
	if (s->phase == SANDBOX_RUNNING && space_alive(&p->pause) && !podrun_watch_pause(p)) {
		podrun_set(p, RUN_UP);
		return;
	}
	err_set(&e, -EINTR, "found half made by an earlier lab-node");
	podrun_fail(p, &e);
}

void podrun_next(struct kubelet *k)
{
	struct podrun *p, *tmp;

	HASH_ITER(hh, k->pods, p, tmp)
	{
		if (k->starting >= STARTING_MAX)
			return;
		if (p->state == RUN_WAITING && p->obj && !p->unwanted)
			podrun_begin(p);
	}
}

bool podrun_child(struct podrun *p, pid_t pid, int status)
{
	return cnirun_child(p->cni, pid, status) || containers_child(p, pid, status);
}
