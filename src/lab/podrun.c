// SPDX-License-Identifier: Apache-2.0
/* podrun: the life of one pod on a lab node; the states are drawn in kubelet.h. Pods start side
 * by side up to a limit that keeps a small machine responsive. */
#include "base/log.h"
#include "lab/kubelet.h"
#include "lab/view.h"
#include "sys/clock.h"
#include "sys/file.h"

#include <errno.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define STARTING_MAX  8
#define BACKOFF_MIN   0.05
#define BACKOFF_MAX   5.0
#define BACKOFF_LATER 0.4
#define GRACE         2.0 /* seconds between SIGTERM and SIGKILL */
#define IFNAME        "eth0"
#define CONF_DIR      "/etc/cni/net.d"
#define CNI_PATH      "/opt/cni/bin:/usr/lib/cni"
#define TRY_LATER     11 /* CNI error code: the agent does not know the pod yet */

static void down(struct podrun *p);

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

/* ---- up */

/* What a runtime does by itself, or by the plugin `loopback`. */
static int loopback_up(struct err *e)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc = 0;

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
		rc = err_sys(e, -errno, "lo");
	if (fd >= 0)
		close(fd);
	return rc;
}

static int setup_pod(void *arg, struct err *e)
{
	const struct podrun *p = arg;
	int rc = p->host_network ? 0 : loopback_up(e);

	return rc ? rc : view_pod(p->dir, p->host_network, e);
}

static void identify(struct podrun *p)
{
	static const char hex[] = "0123456789abcdef";
	uint8_t raw[32];

	random_bytes(raw, sizeof(raw));
	for (size_t i = 0; i < sizeof(raw); i++) {
		p->id[2 * i] = hex[raw[i] >> 4];
		p->id[2 * i + 1] = hex[raw[i] & 15];
	}
	p->id[64] = '\0';
}

static void on_birth(struct ev_loop *loop, ev_io *w, int revents);

static void begin(struct podrun *p)
{
	const struct pod *pod = p->obj->body;
	struct space_new s = { .hostname = pod->spec.hostname ? pod->spec.hostname : p->name,
			       .lifeline = STDIN_FILENO,
			       .pause = p->k->pause,
			       .setup = setup_pod,
			       .arg = p };
	struct err e = { 0 };
	int rc;

	podrun_set(p, RUN_BIRTH);
	p->failed = false;
	p->n_ips = 0;
	p->pause = (struct space){ 0 };
	p->host_network = pod->spec.hostNetwork;
	snprintf(p->uid, sizeof(p->uid), "%s", pod->meta.uid ? pod->meta.uid : "none");
	sandbox_dir(p->dir, p->k->lab, p->k->self->name, p->uid);
	identify(p);
	if (p->host_network) {
		s.hostname = NULL;
		s.parts = SPACE_MNT | SPACE_IPC;
		podstatus_node_ips(p);
	}
	rc = dir_make(p->dir, 0755, &e);
	if (!rc)
		rc = podstatus_files(p, &e);
	if (!rc) {
		podrun_record(p, SANDBOX_ADDING);
		rc = space_begin(&s, &p->birth, &e);
	}
	if (rc) {
		podrun_fail(p, &e);
		return;
	}
	ev_io_init(&p->birth_io, on_birth, p->birth.report, EV_READ);
	p->birth_io.data = p;
	ev_io_start(p->k->loop, &p->birth_io);
}

static void start_containers(struct podrun *p)
{
	struct err e = { 0 };

	podrun_set(p, RUN_STARTING);
	if (containers_start(p, &e))
		podrun_fail(p, &e);
}

static void save_result(const struct podrun *p, const json_t *list, const json_t *result)
{
	char path[LAB_PATH + 16];

	snprintf(path, sizeof(path), "%s/conflist", p->dir);
	if (list)
		json_dump_file(list, path, JSON_COMPACT);
	snprintf(path, sizeof(path), "%s/result", p->dir);
	if (result)
		json_dump_file(result, path, JSON_COMPACT);
}

static void on_added(void *arg, const json_t *result, int code, const struct err *err)
{
	struct podrun *p = arg;
	struct err e = { 0 };

	p->cni = NULL;
	if (err) {
		if (code == TRY_LATER && p->backoff > BACKOFF_LATER)
			p->backoff = BACKOFF_LATER;
		podrun_fail(p, err);
		return;
	}
	save_result(p, NULL, result);
	p->n_ips = cnirun_ips(result, p->ips, PODRUN_IPS);
	if (p->unwanted)
		down(p);
	else if (!p->n_ips && err_set(&e, -EIO, "the network gave no address"))
		podrun_fail(p, &e);
	else if (podstatus_files(p, &e))
		podrun_fail(p, &e);
	else
		start_containers(p);
}

static void cni_args(const struct podrun *p, struct cnirun_args *a, char *args, size_t n,
		     char *netns, size_t m)
{
	snprintf(args, n,
		 "IgnoreUnknown=1;K8S_POD_NAMESPACE=%s;K8S_POD_NAME=%s;"
		 "K8S_POD_INFRA_CONTAINER_ID=%s;K8S_POD_UID=%s",
		 p->ns, p->name, p->id, p->uid);
	netns[0] = '\0';
	if (space_alive(&p->pause))
		snprintf(netns, m, "/proc/%d/ns/net", p->pause.pid);
	*a = (struct cnirun_args){
		.path = CNI_PATH, .id = p->id, .netns = netns, .ifname = IFNAME, .args = args
	};
}

static void host_ports(const struct pod *pod, struct cnirun_args *a, struct cni_port_mapping *v,
		       size_t max)
{
	static const char *const protos[] = { "tcp", "tcp", "udp", "sctp" };

	a->ports.v = v;
	for (uint32_t i = 0; i < pod->spec.containers.n; i++) {
		const struct container *c = &pod->spec.containers.v[i];

		for (uint32_t k = 0; k < c->ports.n; k++)
			if (c->ports.v[k].hostPort && a->ports.n < max)
				v[a->ports.n++] = (struct cni_port_mapping){
					.host_port = (int)c->ports.v[k].hostPort,
					.container_port = (int)c->ports.v[k].containerPort,
					.protocol = protos[c->ports.v[k].protocol],
					.host_ip = c->ports.v[k].hostIP
				};
	}
}

static void add_network(struct podrun *p)
{
	char args[1024], netns[40];
	struct cni_port_mapping ports[64];
	struct cnirun_args a;
	struct err e = { 0 };
	json_t *list = cnirun_load(CONF_DIR, &e);

	podrun_set(p, RUN_ADDING);
	cni_args(p, &a, args, sizeof(args), netns, sizeof(netns));
	host_ports(p->obj->body, &a, ports, sizeof(ports) / sizeof(*ports));
	if (list) {
		save_result(p, list, NULL);
		p->cni = cnirun_start(p->k->loop, list, NULL, &a, on_added, p, &e);
	}
	json_decref(list);
	if (!p->cni)
		podrun_fail(p, &e);
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

static void on_birth(struct ev_loop *loop, ev_io *w, int revents)
{
	struct podrun *p = w->data;
	struct err e = { 0 };

	ev_io_stop(loop, w);
	if (space_finish(&p->birth, &p->pause, &e) ||
	    pidfd_watch(loop, &p->pause_watch, p->pause.pid, on_pause_end, p)) {
		podrun_fail(p, &e);
		return;
	}
	podrun_record(p, SANDBOX_ADDING);
	if (p->unwanted)
		down(p);
	else if (p->host_network)
		start_containers(p);
	else
		add_network(p);
}

void podrun_ready(struct podrun *p)
{
	if (p->unwanted) {
		down(p);
		return;
	}
	podrun_set(p, RUN_UP);
	p->backoff = 0;
	p->why[0] = '\0';
	podrun_record(p, SANDBOX_RUNNING);
	podstatus_write(p);
	podrun_next(p->k);
}

/* ---- down */

static void gone(struct podrun *p);

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct podrun *p = w->data;

	ev_timer_stop(loop, w);
	if (p->state == RUN_ENDING) {
		containers_stop(p, true);
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

static void down(struct podrun *p)
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
	/* CNI says that DEL may be repeated until it works; the agent's GC finds what is left. */
	if (err)
		log_warn("Pod %s: CNI DEL: %s", p->key, err->text);
	gone(p);
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
		gone(p);
		return;
	}
	snprintf(path, sizeof(path), "%s/result", p->dir);
	result = json_load_file(path, 0, NULL);
	cni_args(p, &a, args, sizeof(args), netns, sizeof(netns));
	a.del = true;
	p->cni = cnirun_start(p->k->loop, list, result, &a, on_deleted, p, &e);
	json_decref(list);
	json_decref(result);
	if (!p->cni)
		on_deleted(p, NULL, 0, &e);
}

static void release(struct podrun *p)
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
static void gone(struct podrun *p)
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

			release(p);
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
	down(p);
}

void podrun_finished(struct podrun *p)
{
	down(p);
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
		release(p);
		break;
	case RUN_OVER:
		gone(p);
		break;
	case RUN_STARTING:
	case RUN_UP:
		down(p);
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
	if (s->phase == SANDBOX_RUNNING && space_alive(&p->pause) &&
	    !pidfd_watch(p->k->loop, &p->pause_watch, p->pause.pid, on_pause_end, p)) {
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
			begin(p);
	}
}

bool podrun_child(struct podrun *p, pid_t pid, int status)
{
	return cnirun_child(p->cni, pid, status) || containers_child(p, pid, status);
}
