// SPDX-License-Identifier: Apache-2.0
/* agent_cni_add: the verb ADD. Pod, addresses, kernel, answer; whatever fails leaves nothing. */
#include "daemon/agent_bridge.h"
#include "daemon/agent_cni_verbs.h"
#include "daemon/agent_hostport.h"
#include "daemon/agent_ipam.h"
#include "daemon/agent_ips.h"
#include "daemon/agent_link.h"
#include "daemon/agent_pod.h"
#include "daemon/agent_report.h"
#include "daemon/agent_store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SETTLE_S 1.   /* for the kernel to activate what ADD made */
#define LOOK_S   .002 /* between two looks at that */

/* ---- the request to the address book */

struct wanted {
	struct ipam_request q;
	char hostif[IFNAME_LEN];
	struct ipaddr ips[IPAM_MAX_WANTED];
};

/* Of a static pod the runtime knows what its manifest hashes to; the API server's copy says it. */
#define STATIC_POD "kubernetes.io/config.hash"

/* Another pod may have had the name before: its labels would open the new one to others. */
static bool is_meant(const struct pod *p, const char *uid)
{
	const char *hash = strmap_get(&p->meta.annotations, STATIC_POD);

	return !uid || !p->meta.uid || !strcmp(uid, p->meta.uid) || (hash && !strcmp(uid, hash));
}

/* The Pod that is to be started; without it its policies are not known either. NULL: c->why says
 * what it waits for. */
static const struct pod *find_pod(struct cni_call *c)
{
	const struct cni_request *r = &c->req;
	const char *ns = r->pod_namespace ? r->pod_namespace : "default";
	const struct object *o =
		cluster_get(agent_store_cluster(c->agent), KIND_POD, ns, r->pod_name);

	if (o && is_meant(o->body, r->pod_uid))
		return o->body;
	if (o)
		snprintf(c->why, sizeof(c->why),
			 "the store's Pod %.60s/%.100s is another one than that of uid %.40s", ns,
			 r->pod_name, r->pod_uid);
	else
		snprintf(c->why, sizeof(c->why), "the store does not hold Pod %.60s/%.120s", ns,
			 r->pod_name);
	return NULL;
}

/* The addresses that the pod itself asks for: by annotation, or by status.podIPs of a manifest.
 * Once a kubelet has started it they only tell what it had, and are no wish. */
static int pod_ips(const struct pod *pod, struct wanted *w, uint32_t *n, struct err *e)
{
	const char *text = strmap_get(&pod->meta.annotations, AGENT_IPS_ANNOTATION);

	if (text)
		return agent_ips_parse(text, w->ips, IPAM_MAX_WANTED, n, e);
	if (pod->status.phase != POD_NONE && pod->status.phase != POD_PENDING)
		return 0;
	for (uint32_t i = 0; i < pod->status.podIPs.n && *n < IPAM_MAX_WANTED; i++)
		w->ips[(*n)++] = pod->status.podIPs.v[i].ip;
	if (!*n && pod->status.podIP.family)
		w->ips[(*n)++] = pod->status.podIP;
	return 0;
}

static int make_request(struct cni_call *c, const struct pod *pod, struct wanted *w, struct err *e)
{
	static const struct macaddr none;
	const struct cni_request *r = &c->req;
	struct ipam_attachment *at = &w->q.at;
	uint32_t n = 0;

	*w = (struct wanted){ 0 };
	at->attach = r->attach;
	at->ipam_only = r->ipam_only;
	/* Both carry their block as prefix. */
	w->q.on_link = r->ipam_only || r->attach == CNI_BRIDGE;
	at->network = r->network;
	at->container = r->containerID;
	at->ifname = r->ifname;
	at->pod_namespace = r->pod_name && !r->pod_namespace ? "default" : r->pod_namespace;
	at->pod_name = r->pod_name;
	at->pod_uid = r->pod_uid;
	at->netns = r->netns;
	if (!r->ipam_only) {
		agent_host_link(r->containerID, r->ifname, w->hostif);
		at->hostif = w->hostif;
		at->mac = memcmp(&r->mac, &none, sizeof(none))
				  ? r->mac
				  : agent_pod_mac(r->containerID, r->ifname);
	}
	if (r->ips.n > IPAM_MAX_WANTED)
		return err_set(e, -EINVAL, "ips: more than %d addresses", IPAM_MAX_WANTED);
	if (r->ips.n)
		memcpy(w->ips, r->ips.v, (n = r->ips.n) * sizeof(*w->ips));
	else if (pod && pod_ips(pod, w, &n, e))
		return e->code;
	at->addrs.v = w->ips;
	at->addrs.n = n;
	at->ports.v = r->ports.v;
	at->ports.n = r->ports.n;
	w->q.pools.v = r->pools.v;
	w->q.pools.n = r->pools.n;
	return 0;
}

/* ---- failing */

static enum cni_code ipam_code(int rc)
{
	switch (rc) {
	case -EEXIST:
		return CNI_ERR_EXISTS;
	case -ENOSPC:
	case -EADDRINUSE:
	case -ENOENT:
	case -EPERM:
		return CNI_ERR_NO_ADDRESS;
	case -EINVAL:
		return CNI_ERR_CONFIG;
	case -EIO:
		return CNI_ERR_IO;
	case -EAGAIN:
	case -EPIPE:
		return CNI_ERR_TRY_LATER;
	}
	return CNI_ERR_INTERNAL;
}

static enum cni_code port_code(int rc)
{
	switch (rc) {
	case -EADDRINUSE:
		return CNI_ERR_PORT;
	case -EADDRNOTAVAIL:
		return CNI_ERR_CONFIG;
	}
	return CNI_ERR_INTERNAL;
}

static enum cni_code wiring_code(int rc)
{
	switch (rc) {
	case -EEXIST:
		return CNI_ERR_EXISTS;
	case -ENOSPC:
		return CNI_ERR_NO_ADDRESS;
	case -EAGAIN:
		return CNI_ERR_TRY_LATER;
	}
	return CNI_ERR_INTERNAL;
}

static void fail(struct cni_call *c, enum cni_code code, const struct err *e)
{
	cni_fail(c, code, arena_strdup(&c->arena, e->text));
}

/* ---- the steps */

void cni_add_settle(struct cni_call *c)
{
	const struct ipam_attachment *at = ipam_by_id(agent_ipam_book(c->agent), c->wired);
	bool carries = !at || agent_pod_carries(c->agent, at);

	if (!carries && ev_time() < c->settle_until) {
		ev_timer_set(&c->deadline, LOOK_S, 0.);
		ev_timer_start(c->agent->role->loop, &c->deadline);
		return;
	}
	if (!carries)
		log_warn("container %s, %s: its link is not activated yet", c->req.containerID,
			 c->req.ifname);
	cni_answer(c, &c->reply);
}

static void wire(struct cni_call *c, const struct ipam_answer *got)
{
	const struct ipam_attachment *at = got->at;
	struct pod_call call = { .netns = c->netns,
				 .netns_path = c->req.netns,
				 .bridge = c->req.bridge,
				 .mtu = (uint32_t)c->req.mtu,
				 .arena = &c->arena };
	uint64_t id = at->id;
	struct err e, undo;
	int rc;

	if (at->ipam_only)
		rc = agent_pod_addresses(c->agent, at, got, &c->arena, &c->reply.result, &e);
	else
		rc = agent_pod_add(c->agent, at, got, &call, &c->reply.result, &e);
	if (rc) {
		if (agent_ipam_release(c->agent, id, &undo))
			log_error("container %s: %s", c->req.containerID, undo.text);
		agent_bridge_prune(c->agent);
		fail(c, wiring_code(rc), &e);
		return;
	}
	agent_hostport_changed(c->agent, ipam_by_id(agent_ipam_book(c->agent), id));
	c->wired = id;
	c->settle_until = ev_time() + SETTLE_S;
	cni_add_settle(c);
	if (!c->req.ipam_only)
		agent_report_endpoint(c->agent, ipam_by_id(agent_ipam_book(c->agent), id));
	agent_report_state(c->agent);
}

static void take(struct cni_call *c, const struct pod *pod)
{
	struct ipam_answer got = { 0 };
	struct wanted w;
	struct err e;
	int rc = make_request(c, pod, &w, &e);

	if (!rc && agent_hostport_check(c->agent, &w.q.at, &e)) {
		fail(c, port_code(e.code), &e);
		return;
	}
	if (!rc) {
		rc = agent_ipam_take(c->agent, &w.q, &c->arena, &got, &e);
		c->taking = !rc && got.verdict == IPAM_WAIT;
	}
	if (rc == -EAGAIN) {
		snprintf(c->why, sizeof(c->why), "%.200s", e.text);
		cni_wait(c);
	} else if (rc) {
		fail(c, ipam_code(rc), &e);
	} else if (got.verdict == IPAM_TAKEN) {
		wire(c, &got);
	} else {
		snprintf(c->why, sizeof(c->why),
			 "no address yet: the store did not answer in time");
		cni_wait(c);
	}
}

void cni_add(struct cni_call *c)
{
	const struct cni_request *r = &c->req;
	const struct pod *pod = NULL;

	if (!r->ipam_only && c->netns < 0) {
		cni_fail(c, CNI_ERR_ENV, "no network namespace came with the request");
		return;
	}
	if (!c->waiting &&
	    (ipam_find(agent_ipam_book(c->agent), r->network, r->containerID, r->ifname) ||
	     cni_waiting(c->agent, r))) {
		cni_fail(c, CNI_ERR_EXISTS,
			 arena_printf(&c->arena,
				      "%s of container %s is attached to network %s already",
				      r->ifname, r->containerID, r->network));
		return;
	}
	if (r->pod_name) {
		pod = find_pod(c);
		if (!pod) {
			cni_wait(c);
			return;
		}
		c->pod_known = true;
	}
	take(c, pod);
}

static void cancel(struct cni_call *c)
{
	struct wanted w;
	struct err e;

	c->waiting = false;
	if (c->taking && !make_request(c, NULL, &w, &e))
		agent_ipam_cancel(c->agent, &w.q);
	c->taking = false;
}

void cni_add_expired(struct cni_call *c)
{
	cancel(c);
	cni_fail(c, CNI_ERR_TRY_LATER, c->why);
}

void cni_add_abandon(struct cni_call *c)
{
	log_info("ADD %s %s: the caller went away", c->req.containerID, c->req.ifname);
	cancel(c);
}
