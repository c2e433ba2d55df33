// SPDX-License-Identifier: Apache-2.0
/* lab-node: see kubelet.h.
 *
 *     lab-node LAB NODE          runs in the node's namespaces; standard input is the lifeline
 *
 * What ran under an earlier lab-node goes on; what the store no longer wants is only ended once
 * everything in the store was told. */
#include "base/log.h"
#include "lab/kubelet.h"
#include "sys/file.h"
#include "sys/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NETWORK_SOCKET "/run/fairlead/cni.sock"
#define NETWORK_WAIT   5.0 /* seconds; after that pods find out for themselves */
#define NETWORK_POLL   0.01
#define STATUS_RETRY   0.5

static struct podrun *find(struct kubelet *k, const char *ns, const char *name)
{
	char key[400];
	struct podrun *p;

	snprintf(key, sizeof(key), "%s/%s", ns, name);
	HASH_FIND_STR(k->pods, key, p);
	return p;
}

/* ---- the store */

static void on_put(void *arg, struct object *o, const json_t *json)
{
	struct kubelet *k = arg;
	const struct pod *pod = o->body;
	struct podrun *p;

	if (o->kind->id != KIND_POD) {
		object_free(o);
		return;
	}
	p = find(k, o->meta->namespace, o->meta->name);
	if (!pod->spec.nodeName || strcmp(pod->spec.nodeName, k->self->name) != 0 ||
	    pod->meta.deletionTimestamp) {
		object_free(o);
		if (p)
			podrun_unwant(p);
		return;
	}
	if (!p)
		p = podrun_new(k, o->meta->namespace, o->meta->name);
	if (p)
		podrun_want(p, o);
	else
		object_free(o);
}

static void on_del(void *arg, const struct kind *kind, const char *ns, const char *name,
		   uint64_t rev)
{
	struct kubelet *k = arg;
	struct podrun *p = kind->id == KIND_POD ? find(k, ns, name) : NULL;

	if (p)
		podrun_unwant(p);
}

static void on_sync(void *arg, uint64_t revision)
{
	struct kubelet *k = arg;
	struct podrun *p, *tmp;

	if (k->synced)
		return;
	k->synced = true;
	HASH_ITER(hh, k->pods, p, tmp)
	{
		if (!p->obj)
			podrun_unwant(p);
	}
}

static void on_bad(void *arg, const struct err *e)
{
	log_warn("store: %s", e->text);
}

static const struct store_events events = { on_put, on_del, on_sync, on_bad };

static void on_store(struct ev_loop *loop, ev_io *w, int revents)
{
	struct kubelet *k = w->data;
	struct err e = { 0 };

	if (store_process(k->store, &e))
		log_error("store: %s", e.text);
}

static int watch_store(struct kubelet *k, struct err *e)
{
	char path[LAB_PATH];
	struct buf url = { 0 };
	int rc = file_read(lab_path(path, k->lab, "store"), LAB_PATH, &url, e);

	if (!rc) {
		url.v[strcspn(url.v, "\n")] = '\0';
		rc = store_open(url.v, 0, &k->store, e);
	}
	buf_fini(&url);
	if (!rc)
		rc = store_watch(k->store, &events, k, e);
	if (rc)
		return rc;
	ev_io_init(&k->store_io, on_store, store_fd(k->store), EV_READ);
	k->store_io.data = k;
	ev_io_start(k->loop, &k->store_io);
	ev_feed_event(k->loop, &k->store_io, EV_READ);
	return 0;
}

/* ---- time */

static void on_retry(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct kubelet *k = w->data;
	struct podrun *p, *tmp;

	ev_timer_stop(loop, w);
	HASH_ITER(hh, k->pods, p, tmp)
	{
		if (p->dirty)
			podstatus_write(p);
	}
}

void kubelet_retry_soon(struct kubelet *k)
{
	if (ev_is_active(&k->retry))
		return;
	ev_timer_init(&k->retry, on_retry, STATUS_RETRY, 0);
	k->retry.data = k;
	ev_timer_start(k->loop, &k->retry);
}

/* Pods wait for the agent as they do on a node that is not ready yet: an ADD that cannot
 * succeed would only cost time. */
static void on_network(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct kubelet *k = w->data;
	struct err e = { 0 };

	if (access(NETWORK_SOCKET, F_OK) < 0 && ev_now(loop) - k->born < NETWORK_WAIT)
		return;
	ev_timer_stop(loop, w);
	if (watch_store(k, &e)) {
		log_error("%s", e.text);
		exit(1);
	}
}

/* ---- start */

static void on_child(struct ev_loop *loop, ev_child *w, int revents)
{
	struct kubelet *k = w->data;
	struct podrun *p, *tmp;

	HASH_ITER(hh, k->pods, p, tmp)
	{
		if (podrun_child(p, w->rpid, w->rstatus))
			return;
	}
}

static int adopt_all(struct kubelet *k, struct err *e)
{
	struct sandbox_list list;
	int rc = sandbox_list(k->lab, k->self->name, &list, &k->arena, e);

	for (uint32_t i = 0; !rc && i < list.pods.n; i++) {
		const struct sandbox *s = &list.pods.v[i];
		struct podrun *p = podrun_new(k, s->ns, s->name);

		if (p)
			podrun_adopt(p, s);
	}
	return rc;
}

static int prepare(struct kubelet *k, const char *node, struct err *e)
{
	char path[LAB_PATH + 32];
	int rc = lab_spec_load(&k->spec, lab_path(path, k->lab, "lab.conf"), &k->arena, e);

	for (uint32_t i = 0; !rc && i < k->spec.nodes.n; i++)
		if (!strcmp(k->spec.nodes.v[i].name, node))
			k->self = &k->spec.nodes.v[i];
	if (!rc && !k->self)
		rc = err_set(e, -ENOENT, "lab %s has no node %s", k->lab, node);
	if (!rc)
		rc = proc_libexec(k->libexec, sizeof(k->libexec), e);
	if (rc)
		return rc;
	snprintf(path, sizeof(path), "%s/lab-pause", k->libexec);
	k->pause = open(path, O_RDONLY | O_CLOEXEC);
	if (k->pause < 0)
		return err_sys(e, -errno, "%s", path);
	return adopt_all(k, e);
}

int main(int argc, char **argv)
{
	static struct kubelet k;
	struct err e = { 0 };
	ev_child child;
	ev_timer network;

	log_init("lab-node", LOG_INFO);
	if (argc != 3) {
		fprintf(stderr, "usage: lab-node LAB NODE\n");
		return 2;
	}
	k.lab = argv[1];
	k.loop = ev_default_loop(0);
	k.born = ev_now(k.loop);
	arena_init(&k.arena, 0);
	signal(SIGPIPE, SIG_IGN);
	ev_child_init(&child, on_child, 0, 0);
	child.data = &k;
	ev_child_start(k.loop, &child);
	if (prepare(&k, argv[2], &e)) {
		log_error("%s", e.text);
		return 1;
	}
	ev_timer_init(&network, on_network, 0, NETWORK_POLL);
	network.data = &k;
	ev_timer_start(k.loop, &network);
	ev_run(k.loop, 0);
	return 0;
}
