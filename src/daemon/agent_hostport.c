// SPDX-License-Identifier: Apache-2.0
/* agent_hostport: see agent_hostport.h. */
#include "daemon/agent_hostport.h"
#include "core/cni/ports.h"
#include "core/nft/services.h"
#include "daemon/agent_ipam.h"
#include "daemon/agent_kernel.h"
#include "daemon/agent_service.h"
#include "sys/rtnl.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* ---- whose */

static const char *name_of_holder(const struct ipam_attachment *at, char out[SVC_HOST_PORTS_NAME])
{
	return svc_host_ports_name(at->pod_name ? at->pod_namespace : NULL,
				   at->pod_name ? at->pod_name : at->container, out);
}

static bool has_ports(const struct ipam_attachment *at)
{
	return at->state == IPAM_LIVE && at->ports.n;
}

/* Ids grow: the newest is found first. */
static const struct ipam_attachment *find_holder(const struct agent *a, const char *name)
{
	const struct ipam_attachment *const *v;
	char its[SVC_HOST_PORTS_NAME];
	size_t n;

	v = ipam_all(agent_ipam_book(a), &n);
	while (n--) {
		if (!has_ports(v[n]))
			continue;
		if (!strcmp(name_of_holder(v[n], its), name))
			return v[n];
	}
	return NULL;
}

/* ---- may it? */

static int check_pods(const struct agent *a, const struct ipam_attachment *at,
		      const struct port_mapping *m, struct err *e)
{
	char mine[SVC_HOST_PORTS_NAME], its[SVC_HOST_PORTS_NAME], text[PORT_MAPPING_TEXT];
	const struct ipam_attachment *const *v;
	size_t n;

	name_of_holder(at, mine);
	v = ipam_all(agent_ipam_book(a), &n);
	for (size_t i = 0; i < n; i++) {
		if (!has_ports(v[i]))
			continue;
		name_of_holder(v[i], its);
		/* Another sandbox of the same pod, or another of its interfaces. */
		if (!strcmp(its, mine))
			continue;
		for (uint32_t k = 0; k < v[i]->ports.n; k++)
			if (port_mappings_overlap(&v[i]->ports.v[k], m))
				return err_set(e, -EADDRINUSE, "%s is %s %s's",
					       port_mapping_str(m, text),
					       v[i]->pod_name ? "Pod" : "container", its);
	}
	return 0;
}

/* The Service that has the port of this address, or of all of the family; NULL: none. */
static const char *service_with(const struct agent *a, const struct port_mapping *m,
				const struct ipaddr *address, uint8_t family)
{
	const struct svc_port port = { .name = "", .proto = m->protocol };
	const struct svc_plan plan = { .family = family };
	struct svc_front f = { .number = (uint16_t)m->hostPort, .port = &port };
	const char *who;

	if (address)
		f.address = *address;
	who = nft_services_holder(agent_service_rules(a), &plan, &f);
	return who && strncmp(who, SVC_HOST_PORTS, strlen(SVC_HOST_PORTS)) != 0 ? who : NULL;
}

/* As far as they are planned. */
static int check_services(const struct agent *a, const struct port_mapping *m, struct err *e)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	bool one = m->hostIP.family && !addr_is_unspecified(&m->hostIP);
	const char *who = one ? service_with(a, m, &m->hostIP, m->hostIP.family) : NULL;
	char text[PORT_MAPPING_TEXT];

	for (size_t i = 0; i < 2 && !who; i++)
		if (!m->hostIP.family || m->hostIP.family == families[i])
			who = service_with(a, m, NULL, families[i]);
	return who ? err_set(e, -EADDRINUSE, "%s is Service %s's", port_mapping_str(m, text), who)
		   : 0;
}

static int check_local(struct agent *a, const struct port_mapping *m, struct err *e)
{
	struct klist have = { 0 };
	char text[ADDR_TEXT];
	bool found = false;
	int rc;

	if (!m->hostIP.family || addr_is_unspecified(&m->hostIP))
		return 0;
	if (addr_is_loopback(&m->hostIP)) {
		if (m->hostIP.family == AF_INET && a->role->cfg.localhost_node_ports)
			return 0;
		return err_set(e, -EADDRNOTAVAIL, "hostIP %s: %s", addr_str(&m->hostIP, text),
			       m->hostIP.family == AF_INET
				       ? "loopback takes none without localhost-node-ports"
				       : "IPv6's loopback cannot lead to a pod");
	}
	rc = rtnl_dump(agent_kernel_nl(a), RTNL(KOBJ_LINK) | RTNL(KOBJ_ADDR), &have, e);
	for (size_t i = 0; i < have.n; i++)
		found |= have.v[i].type == KOBJ_ADDR &&
			 addr_eq(&have.v[i].addr.addr.addr, &m->hostIP);
	klist_fini(&have);
	if (!rc && !found)
		rc = err_set(e, -EADDRNOTAVAIL, "hostIP %s: is none of this node's addresses",
			     addr_str(&m->hostIP, text));
	return rc;
}

int agent_hostport_check(struct agent *a, const struct ipam_attachment *at, struct err *e)
{
	int rc = 0;

	for (uint32_t i = 0; !rc && i < at->ports.n; i++) {
		rc = check_pods(a, at, &at->ports.v[i], e);
		if (!rc)
			rc = check_services(a, &at->ports.v[i], e);
		if (!rc)
			rc = check_local(a, &at->ports.v[i], e);
	}
	return rc;
}

/* ---- planning */

int agent_hostport_plan(struct agent *a, const char *name, struct arena *ar, struct svc_plan out[2],
			struct err *e)
{
	const struct ipam_attachment *at = find_holder(a, name);
	struct svc_host_ports h = { .node = a->role->cfg.node };

	if (!at)
		return 0;
	h.ns = at->pod_name ? at->pod_namespace : NULL;
	h.name = at->pod_name ? at->pod_name : at->container;
	h.ports.v = at->ports.v;
	h.ports.n = at->ports.n;
	h.ips.v = at->addrs.v;
	h.ips.n = at->addrs.n;
	return svc_plan_host_ports(&h, ar, out, e) ? -ENOMEM : 2;
}

void agent_hostport_changed(struct agent *a, const struct ipam_attachment *at)
{
	char name[SVC_HOST_PORTS_NAME];

	if (!at->ports.n)
		return;
	agent_service_now(a, SVC_HOST_PORTS, name_of_holder(at, name));
}

void agent_hostport_mark(struct agent *a)
{
	const struct ipam_attachment *const *v;
	char name[SVC_HOST_PORTS_NAME];
	size_t n;

	v = ipam_all(agent_ipam_book(a), &n);
	for (size_t i = 0; i < n; i++) {
		if (has_ports(v[i]))
			agent_service_mark(a, SVC_HOST_PORTS, name_of_holder(v[i], name));
	}
}
