/* SPDX-License-Identifier: Apache-2.0 */
/* The files that an administrator would put on a node, as text. Pure. */
#pragma once
#include "lab/spec.h"

/* /etc/fairlead/fairleadd.conf */
void nodeconf_fairleadd(const struct lab_spec *s, const struct lab_node *node, const char *store,
			struct buf *out);
/* /etc/cni/net.d/10-fairlead.conflist */
void nodeconf_conflist(const struct lab_spec *s, struct buf *out);
/* /etc/hosts of nodes: every node by its name */
void nodeconf_hosts(const struct lab_spec *s, struct buf *out);

struct pod_files {
	const char *hostname, *ns, *subdomain;
	bool cluster_dns; /* dnsPolicy ClusterFirst: ask the cluster's DNS address */
	const struct prefix *ips;
	size_t n_ips;
};

/* /etc/hosts and /etc/resolv.conf of a pod, as the kubelet writes them. */
void nodeconf_pod_hosts(const struct lab_spec *s, const struct pod_files *p, struct buf *out);
void nodeconf_resolv(const struct lab_spec *s, const struct pod_files *p, struct buf *out);
