// SPDX-License-Identifier: Apache-2.0
/* podup: from a pod that is wanted to one that is ready: namespaces, CNI ADD, containers. What it
 * leaves behind is written down before it is made. */
#include "base/log.h"
#include "core/cni/message.h"
#include "lab/kubelet.h"
#include "lab/view.h"
#include "sys/clock.h"
#include "sys/file.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKOFF_LATER 0.4
#define IFNAME        "eth0"
#define CONF_DIR      "/etc/cni/net.d"
#define CNI_PATH      "/opt/cni/bin:/usr/lib/cni"

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

/* A refusal that the kernel holds back for its rate would look like a policy's silence. */
static int say_every_refusal(struct err *e)
{
	int rc = sysctl_write("net/ipv4/icmp_ratemask", "0", e);

	return rc ? rc : sysctl_write("net/ipv6/icmp/ratemask", "0", e);
}

static int setup_pod(void *arg, struct err *e)
{
	const struct podrun *p = arg;
	int rc = p->host_network ? 0 : loopback_up(e);

	if (!rc && !p->host_network)
		rc = say_every_refusal(e);
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

void podrun_begin(struct podrun *p)
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
	p->failed = p->no_address = false;
	p->del_tries = 0;
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
		p->no_address = code == CNI_ERR_NO_ADDRESS;
		if (code == CNI_ERR_TRY_LATER && p->backoff > BACKOFF_LATER)
			p->backoff = BACKOFF_LATER;
		podrun_fail(p, err);
		return;
	}
	save_result(p, NULL, result);
	p->n_ips = cnirun_ips(result, p->ips, PODRUN_IPS);
	if (p->unwanted)
		podrun_down(p);
	else if (!p->n_ips && err_set(&e, -EIO, "the network gave no address"))
		podrun_fail(p, &e);
	else if (podstatus_files(p, &e))
		podrun_fail(p, &e);
	else
		start_containers(p);
}

void podrun_cni_args(const struct podrun *p, struct cnirun_args *a, char *args, size_t n,
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
	podrun_cni_args(p, &a, args, sizeof(args), netns, sizeof(netns));
	host_ports(p->obj->body, &a, ports, sizeof(ports) / sizeof(*ports));
	if (list) {
		save_result(p, list, NULL);
		p->cni = cnirun_start(p->k->loop, list, NULL, &a, on_added, p, &e);
	}
	json_decref(list);
	if (!p->cni)
		podrun_fail(p, &e);
}

static void on_birth(struct ev_loop *loop, ev_io *w, int revents)
{
	struct podrun *p = w->data;
	struct err e = { 0 };
	int rc;

	ev_io_stop(loop, w);
	rc = space_finish(&p->birth, &p->pause, &e);
	if (!rc && (rc = podrun_watch_pause(p)) != 0)
		err_sys(&e, rc, "watching the pause process");
	if (rc) {
		podrun_fail(p, &e);
		return;
	}
	podrun_record(p, SANDBOX_ADDING);
	if (p->unwanted)
		podrun_down(p);
	else if (p->host_network)
		start_containers(p);
	else
		add_network(p);
}

void podrun_ready(struct podrun *p)
{
	if (p->unwanted) {
		podrun_down(p);
		return;
	}
	podrun_set(p, RUN_UP);
	p->backoff = 0;
	p->why[0] = '\0';
	podrun_record(p, SANDBOX_RUNNING);
	podstatus_write(p);
	podrun_next(p->k);
}
