/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of an object beyond its types: what Kubernetes' API server would refuse, and what
 * fairlead.io/v1 promises. Errors say "KIND NS/NAME: path.to.field: rule". */
#pragma once
#include "base/err.h"
#include "model/cluster.h"
#include "model/trace.h"

int validate_object(const struct object *o, struct err *e);
/* Rules between objects: address pools do not overlap, whatever their state. */
int validate_among(const struct object *o, const struct object *other, struct err *e);

/* Parts of validate_object(): errors begin with the path, without the object. */
int validate_service(const struct service *s, struct err *e);
int validate_endpoint_slice(const struct endpoint_slice *s, struct err *e);
int validate_network_policy(const struct network_policy *p, struct err *e);
int validate_packet_trace(const struct packet_trace *t, struct err *e);
int validate_bgp(const struct object *o, struct err *e); /* and Secrets, and Nodes' annotations */
int validate_labels(const char *at, const struct strmap *labels, struct err *e);
int validate_selector(const char *at, const struct label_selector *s, struct err *e);

/* RFC 1123: a label has up to 63 of [a-z0-9-], a subdomain up to 253 of labels and dots. */
bool is_dns_label(const char *s);
bool is_dns_subdomain(const char *s);
/* IANA_SVC_NAME (RFC 6335): up to 15 of [a-z0-9-], a letter, no '-' at the ends or twice. */
bool is_port_name(const char *s);
/* Kubernetes' label values: empty, or up to 63 of [A-Za-z0-9_.-] with alphanumeric ends. */
bool is_label_value(const char *s);
bool is_qualified_name(const char *s); /* label and annotation keys: [subdomain/]name */

#define ANNOTATION_IPS "fairlead.io/ips" /* Pod: JSON list of addresses as strings */
/* NetworkPolicy: are connections that it newly forbids cut ("enforce"), or do they live on
 * ("grandfather")? */
#define ANNOTATION_ON_CHANGE "fairlead.io/on-change"

/* The addresses that a pod's annotation asks for, at most `max`. Returns their number, or a
 * negative errno. 0 when there is no annotation. */
int annotation_ips(const struct meta *m, struct ipaddr *out, size_t max, struct err *e);
