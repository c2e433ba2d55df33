// SPDX-License-Identifier: Apache-2.0
/* poddown: the one way down, for pods that are deleted, that failed and that are done: containers,
 * CNI DEL until it works, the pause process, the folder. */
#include "base/log.h"
#include "lab/kubelet.h"
#include "sys/file.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define BACKOFF_MIN 0.05
#define BACKOFF_MAX 5.0
#define DEL_TRIES   40
#define DEL_RETRY   0.25
#define GRACE       2.0 /* seconds between SIGTERM and SIGKILL */

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct podrun *p = w->data;

	ev_timer_stop(loop, w);
	if (p->state == RUN_ENDING) {
		containers_stop(p, true);
	} else if (p->state == RUN_DELETING) {
		podrun_stopped(p);
	} else if (p->state == RUN_BACKOFF) {
		podrun_set(p, RUN_WAITING);
		podrun_next(p->k);
	}
}

static void after(struct podrun *p, double seconds)
{
	ev_timer_stop(p->k->loop, &p->timer);
	ev_timer_init(&p->timer, on_timer, seconds, 0);
	p->timer.data = p;
	ev_timer_start(p->k->loop, &p->timer);
}

void podrun_down(struct podrun *p)
{
	podrun_set(p, RUN_ENDING);
	ev_timer_stop(p->k->loop, &p->timer);
	if (!containers_alive(p)) {
		containers_stop(p, true); /* restarts that wait */
		podrun_stopped(p);
		return;
	}
	containers_stop(p, false);
	after(p, GRACE);
}

static void on_deleted(void *arg, const json_t *result, int code, const struct err *err)
{
	struct podrun *p = arg;

	p->cni = NULL;
	if (err)
		log_warn("Pod %s: CNI DEL: %s", p->key, err->text);
	/* A plugin that says why may say something else later; one that is not there will not. */
	if (err && code && p->del_tries++ < DEL_TRIES)
		after(p, DEL_RETRY);
	else
		podrun_gone(p);
}

void podrun_stopped(struct podrun *p)
{
	char path[LAB_PATH + 16], args[1024], netns[40];
	struct cnirun_args a;
	struct err e = { 0 };
	json_t *list, *result;

	ev_timer_stop(p->k->loop, &p->timer);
	podrun_set(p, RUN_DELETING);
	snprintf(path, sizeof(path), "%s/conflist", p->dir);
	list = p->host_network ? NULL : json_load_file(path, 0, NULL);
	if (!list) { /* ADD never ran */
		podrun_gone(p);
		return;
	}
	snprintf(path, sizeof(path), "%s/result", p->dir);
	result = json_load_file(path, 0, NULL);
	podrun_cni_args(p, &a, args, sizeof(args), netns, sizeof(netns));
	a.del = true;
	p->cni = cnirun_start(p->k->loop, list, result, &a, on_deleted, p, &e);
	json_decref(list);
	json_decref(result);
	if (!p->cni)
		on_deleted(p, NULL, 0, &e);
}

void podrun_release(struct podrun *p)
{
	struct kubelet *k = p->k;
	struct object *next = p->next;
	struct podrun *again;

	podrun_set(p, RUN_WAITING);
	ev_timer_stop(k->loop, &p->timer);
	HASH_DEL(k->pods, p);
	if (next) {
		again = podrun_new(k, p->ns, p->name);
		if (again)
			podrun_want(again, next);
		else
			object_free(next);
	}
	object_free(p->obj);
	free(p->key);
	free(p);
}

/* Nothing of the sandbox is left but its pause process and its folder. */
void podrun_gone(struct podrun *p)
{
	struct err e = { 0 };
	bool over = !p->failed && !p->unwanted;

	pidfd_unwatch(p->k->loop, &p->pause_watch);
	if (p->pause.pid && space_alive(&p->pause))
		kill(p->pause.pid, SIGKILL);
	p->pause = (struct space){ 0 };
	if (over) {
		podrun_set(p, RUN_OVER);
		podrun_record(p, SANDBOX_DONE);
		podstatus_write(p);
		containers_free(p);
	} else {
		containers_free(p);
		if (dir_remove(p->dir, &e))
			log_error("Pod %s: %s", p->key, e.text);
		if (p->unwanted) {
			struct kubelet *k = p->k;

			podrun_release(p);
			podrun_next(k);
			return;
		}
		podrun_set(p, RUN_BACKOFF);
		p->backoff = p->backoff ? p->backoff * 2 : BACKOFF_MIN;
		p->backoff = p->backoff < BACKOFF_MAX ? p->backoff : BACKOFF_MAX;
		after(p, p->backoff);
	}
	podrun_next(p->k);
}

void podrun_fail(struct podrun *p, const struct err *e)
{
	log_warn("Pod %s: %s", p->key, e->text);
	snprintf(p->why, sizeof(p->why), "%s", e->text);
	p->failed = true;
	podstatus_write(p);
	podrun_down(p);
}

void podrun_finished(struct podrun *p)
{
	podrun_down(p);
}
