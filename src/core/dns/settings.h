/* SPDX-License-Identifier: Apache-2.0 */
/* What the cluster's zones are called and how they are answered: one plain struct without pointers, the same for who fills the table and for
 * who answers from it. */
#pragma once
#include "base/addr.h"
#include "base/err.h"
#include "core/dns/name.h"

#define DNS_ZONES      8
#define DNS_LOCAL      8
#define DNS_NAMESPACES 32
#define DNS_TTL        5
#define DNS_SCHEMA     "1.1.0" /* of the Kubernetes DNS specification */

enum dns_pods {
	DNS_PODS_DISABLED,
	DNS_PODS_INSECURE, /* any address that the name spells, as kube-dns did */
	DNS_PODS_VERIFIED, /* only where a pod of the namespace has it */
};

struct dns_settings {
	uint32_t ttl; /* seconds */
	enum dns_pods pods;
	bool zonal; /* ZONE.pin._zone.SERVICE… and ZONE.prefer._zone… of headless Services */
	bool ignore_empty; /* no name for a Service with a cluster IP while it has no endpoint */
	bool external_headless; /* endpoints of headless Services in the external zones too */
	bool reverse_others;    /* addresses of nobody are not ours, rather than NXDOMAIN */
	/* In lower case. The first domain is the cluster's; the first external one names external addresses. */
	uint8_t n_domains, n_reverse, n_external, n_external_reverse, n_local, n_namespaces;
	struct dns_name domains[DNS_ZONES], reverse[DNS_ZONES];
	struct dns_name external[DNS_ZONES], external_reverse[DNS_ZONES];
	struct ipaddr local[DNS_LOCAL];                     /* of ns.dns.DOMAIN */
	char namespaces[DNS_NAMESPACES][DNS_LABEL_MAX + 1]; /* none: all have names */
};

void dns_settings_init(struct dns_settings *s);
/* What ends in in-addr.arpa or ip6.arpa is a zone of addresses. -EINVAL: no name; -ENOSPC: more than DNS_ZONES of a sort. */
int dns_settings_zone(struct dns_settings *s, const char *name, bool external, struct err *e);
int dns_settings_local(struct dns_settings *s, const struct ipaddr *a, struct err *e);
int dns_settings_namespace(struct dns_settings *s, const char *name, struct err *e);
uint64_t dns_settings_sum(const struct dns_settings *s); /* equal ones have the same */
bool dns_settings_exposes(const struct dns_settings *s, const char *ns);
