// SPDX-License-Identifier: Apache-2.0
/* podstatus: what a pod on a lab node tells about itself: its status in the store, and the
 * files in its /etc. A status that the store does not take now is written again later. */
#include "base/log.h"
#include "lab/kubelet.h"
#include "lab/nodeconf.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static uint8_t phase_of(const struct podrun *p)
{
	if (p->state == RUN_OVER) {
		for (size_t i = 0; i < p->n_runs; i++)
			if (p->runs[i].code)
				return POD_FAILED;
		return POD_SUCCEEDED;
	}
	return p->state == RUN_UP || p->state == RUN_STARTING ? POD_RUNNING : POD_PENDING;
}

static const char *reason_of(const struct podrun *p, bool ready)
{
	if (ready)
		return NULL;
	if (p->state == RUN_OVER)
		return "PodCompleted";
	if (p->failed && p->no_address)
		return POD_REASON_NO_ADDRESS;
	if (p->failed)
		return "FailedCreatePodSandBox";
	return p->why[0] ? "ContainersNotReady" : "ContainersStarting";
}

void podstatus_write(struct podrun *p)
{
	static const char *const texts[] = { "False", "True" };
	const struct pod *obj = p->obj ? p->obj->body : NULL;
	bool ready = p->state == RUN_UP && containers_ready(p);
	struct pod_condition conditions[1] = { { .type = "Ready",
						 .status = texts[ready],
						 .reason = reason_of(p, ready),
						 .message = !ready && p->why[0] ? p->why : NULL } };
	struct pod_ip ips[PODRUN_IPS];
	struct err e = { 0 };
	struct pod out;
	int rc;

	if (!obj || p->unwanted)
		return;
	out = *obj;
	memset(&out.status, 0, sizeof(out.status));
	out.status.phase = phase_of(p);
	for (size_t i = 0; i < p->n_ips; i++)
		ips[i].ip = p->ips[i].addr;
	out.status.podIPs.v = ips;
	out.status.podIPs.n = (uint32_t)p->n_ips;
	if (p->n_ips)
		out.status.podIP = ips[0].ip;
	if (p->k->self->addrs.n)
		out.status.hostIP = p->k->self->addrs.v[0].addr;
	out.status.conditions.v = conditions;
	out.status.conditions.n = 1;
	rc = store_put(p->k->store, STORE_OP_STATUS, p->obj->kind, &out, NULL, &e);
	p->dirty = rc && rc != -ENOENT;
	if (p->dirty) {
		log_warn("Pod %s: status: %s", p->key, e.text);
		kubelet_retry_soon(p->k);
	}
}

void podstatus_node_ips(struct podrun *p)
{
	const struct lab_node *self = p->k->self;

	for (uint32_t i = 0; i < self->addrs.n && p->n_ips < PODRUN_IPS; i++)
		p->ips[p->n_ips++] = prefix_host(&self->addrs.v[i].addr);
}

/* In place, not by rename: the pod has this very file mounted. */
static int put(const struct podrun *p, const char *name, struct buf *text, struct err *e)
{
	char path[LAB_PATH + 16];
	int fd, rc = 0;

	snprintf(path, sizeof(path), "%s/%s", p->dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || text->failed || write(fd, text->v, text->n) != (ssize_t)text->n)
		rc = err_sys(e, text->failed ? -ENOMEM : -errno, "%s", path);
	if (fd >= 0)
		close(fd);
	buf_fini(text);
	return rc;
}

int podstatus_files(struct podrun *p, struct err *e)
{
	const struct pod *obj = p->obj->body;
	const char *dns = obj->spec.dnsPolicy;
	struct pod_files f = { .hostname = obj->spec.hostname ? obj->spec.hostname : p->name,
			       .ns = p->ns,
			       .subdomain = obj->spec.subdomain,
			       .ips = p->ips,
			       .n_ips = p->n_ips };
	struct buf text = { 0 };
	int rc;

	if (p->host_network) {
		f.hostname = p->k->self->name;
		f.cluster_dns = dns && !strcmp(dns, "ClusterFirstWithHostNet");
		nodeconf_hosts(&p->k->spec, &text);
	} else {
		f.cluster_dns = !dns || strcmp(dns, "Default") != 0;
		nodeconf_pod_hosts(&p->k->spec, &f, &text);
	}
	rc = put(p, "hosts", &text, e);
	if (!rc) {
		nodeconf_resolv(&p->k->spec, &f, &text);
		rc = put(p, "resolv.conf", &text, e);
	}
	if (!rc) {
		buf_printf(&text, "%s\n", f.hostname);
		rc = put(p, "hostname", &text, e);
	}
	return rc;
}
