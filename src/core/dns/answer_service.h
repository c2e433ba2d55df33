/* SPDX-License-Identifier: Apache-2.0 */
/* What names in the cluster's domain and in external zones share: parts of a Service's blob. */
#pragma once
#include "core/dns/answer_look.h"

/* Which endpoints and ports a name means; what is zero means all. */
struct pick {
	const uint8_t *host;         /* a label */
	struct ipaddr ip;            /* that it spells */
	const uint8_t *port, *proto; /* labels with their underscores */
	int zone;                    /* number of a zone; negative: none */
};

/* `service`: its label within the name, the namespace's follows. NULL: there is none. */
const struct dns_svc *look_blob(const struct look *l, const uint8_t *service);

bool look_port_label(const uint8_t *label);
/* Of the protocol's ports (`port` NULL), or of one. False: no such names. */
bool look_pick_port(struct pick *k, const uint8_t *port, const uint8_t *proto);
void look_pick_host(struct pick *k, const uint8_t *label);

const struct dns_port *look_ports(const struct dns_svc *s, unsigned set); /* NULL: none */
const struct dns_port *look_port(const struct dns_port *first, const struct dns_port *p,
				 const struct pick *k);
unsigned look_count(const struct dns_port *first, const struct pick *k);
void look_srv(const struct look *l, const struct dns_port *first, const struct pick *k,
	      unsigned weight, const struct dns_name *target);
int look_endpoints(const struct look *l, const struct dns_svc *s, const uint8_t *service,
		   const struct pick *k);
/* To the first of the Service's names. */
void look_cname(struct look *l, const struct dns_svc *s);
