/* SPDX-License-Identifier: Apache-2.0 */
/* Answers about the cluster's zones from a table: the Kubernetes DNS specification 1.1.0, and beyond it what CoreDNS' plugins kubernetes and
 * k8s_external serve (pods, zonal names, external zones, apex).
 *
 * Where these differ, or say nothing:
 *   NODATA     A name that has no records but names below it is there (RFC 8020): a namespace, "_tcp" below a Service with such a port.
 *   headless   without a ready endpoint: NXDOMAIN, as the specification has it
 *   SRV        also at the Service's own name and at an endpoint's, as CoreDNS has it; unnamed ports have none, as the specification has it;
 *              underscores are needed; at _port._proto there is no A, unlike CoreDNS
 *   CNAME      ExternalName answers every type with it, and in our zones it is followed; one that is an address: NXDOMAIN
 *   PTR        a cluster IP's name hides endpoints' names; else an address has all of its names
 *   AXFR       REFUSED; ANY: one HINFO (RFC 8482)
 *   not synced what would be a negative answer is SERVFAIL */
#pragma once
#include "core/dns/msg.h"
#include "core/dns/settings.h"
#include "core/dns/table.h"

#define DNS_NOT_OURS (-1)

/* Writes records behind dns_out_begin(), sets AA, and returns the rcode for dns_out_end(); or DNS_NOT_OURS, and nothing is written. `v` is
 * entered. `turn`: any number; addresses of headless Services begin at another one each time. `target`: where not empty (n is not 0),
 * the answer is a CNAME that leads out of our zones, and the records of the question's type of that name may follow. */
int dns_answer(const struct dns_view *v, const struct dns_settings *s, const struct dns_query *q,
	       uint32_t turn, struct dns_out *o, struct dns_name *target);
