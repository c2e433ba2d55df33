// SPDX-License-Identifier: Apache-2.0
/* ports: see ports.h. */
#include "core/cni/ports.h"
#include "core/cni/conf.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

bool port_mapping_eq(const struct port_mapping *a, const struct port_mapping *b)
{
	return a->protocol == b->protocol && a->hostPort == b->hostPort &&
	       a->containerPort == b->containerPort && addr_eq(&a->hostIP, &b->hostIP);
}

bool port_mappings_overlap(const struct port_mapping *a, const struct port_mapping *b)
{
	const struct ipaddr *x = &a->hostIP, *y = &b->hostIP;

	if (a->protocol != b->protocol || a->hostPort != b->hostPort)
		return false;
	if (!x->family || !y->family)
		return true;
	return x->family == y->family &&
	       (addr_is_unspecified(x) || addr_is_unspecified(y) || addr_eq(x, y));
}

const char *port_mapping_str(const struct port_mapping *m, char buf[PORT_MAPPING_TEXT])
{
	const char *proto = name_of(&protocol_names, m->protocol);
	char ip[ADDR_TEXT];

	snprintf(buf, PORT_MAPPING_TEXT, "host port %u/%s%s%s", (uint16_t)m->hostPort,
		 proto ? proto : "?", m->hostIP.family ? " of " : "",
		 m->hostIP.family ? addr_str(&m->hostIP, ip) : "");
	return buf;
}

/* ---- reading */

static bool is_port(int64_t n)
{
	return n >= 1 && n <= 65535;
}

/* Runtimes write it small. */
static int read_protocol(const char *text, uint8_t *out)
{
	*out = PROTO_TCP;
	if (!text || !*text)
		return 0;
	for (unsigned i = PROTO_TCP; i <= PROTO_SCTP; i++)
		if (!strcasecmp(text, name_of(&protocol_names, i))) {
			*out = (uint8_t)i;
			return 0;
		}
	return -EINVAL;
}

static int read_one(const struct cni_port_wish *w, struct port_mapping *out, struct err *e)
{
	*out = (struct port_mapping){ .hostPort = w->hostPort, .containerPort = w->containerPort };
	if (!is_port(w->hostPort))
		return err_set(e, -EINVAL, "hostPort: must be from 1 to 65535");
	if (!is_port(w->containerPort))
		return err_set(e, -EINVAL, "containerPort: must be from 1 to 65535");
	if (read_protocol(w->protocol, &out->protocol))
		return err_set(e, -EINVAL, "protocol: must be tcp, udp or sctp, not \"%.32s\"",
			       w->protocol);
	if (w->hostIP && *w->hostIP && addr_parse_lax(w->hostIP, &out->hostIP))
		return err_set(e, -EINVAL, "hostIP: \"%.64s\": no address", w->hostIP);
	return 0;
}

/* Keeps a mapping, unless it was said before. */
static int keep(struct port_mapping *v, uint32_t *n, const struct port_mapping *m, struct err *e)
{
	char text[PORT_MAPPING_TEXT];

	for (uint32_t i = 0; i < *n; i++) {
		if (port_mapping_eq(&v[i], m))
			return 0;
		if (port_mappings_overlap(&v[i], m))
			return err_set(e, -EINVAL, "%s is said twice, not alike",
				       port_mapping_str(m, text));
	}
	v[(*n)++] = *m;
	return 0;
}

int cni_read_ports(const struct cni_wishes *w, struct arena *a, struct cni_request *q,
		   struct err *e)
{
	struct port_mapping *v;
	uint32_t n = 0;

	if (w->portMappings.n > CNI_PORTS_MAX)
		return err_set(e, -EINVAL, "runtimeConfig.portMappings: more than %d",
			       CNI_PORTS_MAX);
	v = arena_array(a, w->portMappings.n, sizeof(*v));
	if (!v)
		return err_set(e, -ENOMEM, "no memory");
	for (uint32_t i = 0; i < w->portMappings.n; i++) {
		struct port_mapping m;
		int rc = read_one(&w->portMappings.v[i], &m, e);

		if (!rc)
			rc = keep(v, &n, &m, e);
		if (rc)
			return err_wrap(e, "runtimeConfig.portMappings[%u]", i);
	}
	q->ports.v = v;
	q->ports.n = n;
	return 0;
}
