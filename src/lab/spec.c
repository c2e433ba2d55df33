// SPDX-License-Identifier: Apache-2.0
/* spec: see spec.h. Racks are filled in order, so that neighbours by name share a rack and a
 * lab with fewer racks than nodes has pairs of both kinds. A node address that lies outside of
 * its rack's subnet is put beside the rack's own one, and the router learns the way to it. */
#include "lab/spec.h"

#include "base/names.h"
#include "lab/words.h"
#include "model/validate.h"
#include "sys/file.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define SPEC_MAX   (1u << 20)
#define FIRST_HOST 10

static const char *const family_text[] = { "dual", "4", "6" };
static const char *const attachment_text[] = { "routed", "bridge" };
static const char *const mode_text[] = {
	[POOL_DIRECT] = "direct", [POOL_VXLAN] = "vxlan", [POOL_IPIP] = "ipip"
};
static const char *const routes_text[] = { "store", "bgp", "bgp-rr" };
const struct names lab_family_names = NAMES(family_text);
const struct names lab_attachment_names = NAMES(attachment_text);
const struct names lab_mode_names = NAMES(mode_text);
const struct names lab_routes_names = NAMES(routes_text);

bool lab_has_family(const struct lab_spec *s, int af)
{
	return s->family == LAB_DUAL || (s->family == LAB_IPV4) == (af == AF_INET);
}

bool lab_name_ok(const char *name)
{
	size_t n = strlen(name);

	if (!n || n > LAB_NAME_MAX || name[0] == '-' || name[n - 1] == '-')
		return false;
	for (; *name; name++)
		if (!islower((unsigned char)*name) && !isdigit((unsigned char)*name) &&
		    *name != '-')
			return false;
	return true;
}

struct prefix lab_address(int af, unsigned rack, unsigned host)
{
	char text[PREFIX_TEXT];
	struct prefix p = { 0 };

	if (af == AF_INET && rack)
		snprintf(text, sizeof(text), "172.18.%u.%u/24", rack, host);
	else if (af == AF_INET)
		snprintf(text, sizeof(text), "203.0.113.%u/24", host);
	else if (rack)
		snprintf(text, sizeof(text), "fd00:18:%u::%u/64", rack, host);
	else
		snprintf(text, sizeof(text), "2001:db8:113::%u/64", host);
	prefix_parse(text, &p);
	return p;
}

/* ---- filling in */

static int add_prefix(struct arena *a, struct prefix **v, uint32_t *n, const struct prefix *p)
{
	struct prefix *grown = arena_array(a, *n + 1u, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	if (*n)
		memcpy(grown, *v, *n * sizeof(*grown));
	grown[*n] = *p;
	*v = grown;
	*n += 1;
	return 0;
}

static int add_addr(struct lab_node *node, const struct ipaddr *addr, struct arena *a)
{
	struct ipaddr *grown = arena_array(a, node->extra.n + 1u, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	if (node->extra.n)
		memcpy(grown, node->extra.v, node->extra.n * sizeof(*grown));
	grown[node->extra.n] = *addr;
	node->extra.v = grown;
	node->extra.n += 1;
	return 0;
}

static int default_cidrs(struct prefix **v, uint32_t *n, const char *v4, const char *v6,
			 const struct lab_spec *s, struct arena *a)
{
	const char *const text[] = { v4, v6 };
	struct prefix p;

	if (*n)
		return 0;
	for (int i = 0; i < 2; i++) {
		prefix_parse(text[i], &p);
		if (lab_has_family(s, p.addr.family) && add_prefix(a, v, n, &p))
			return -ENOMEM;
	}
	return 0;
}

static int own_addresses(struct lab_node *node, const struct node *obj, struct arena *a,
			 struct err *e)
{
	for (uint32_t i = 0; i < obj->status.addresses.n; i++) {
		const struct node_address *na = &obj->status.addresses.v[i];
		struct prefix rack;
		struct ipaddr ip;

		if (na->type != NODE_INTERNAL_IP && na->type != NODE_EXTERNAL_IP)
			continue;
		if (addr_parse(na->address, &ip))
			return err_set(
				e, -EINVAL,
				"Node %s: status.addresses[%u].address: \"%s\" is no address",
				node->name, i, na->address);
		rack = lab_address(ip.family, node->rack, 0);
		if (prefix_has(&rack, &ip)) {
			rack.addr = ip;
			if (add_prefix(a, &node->addrs.v, &node->addrs.n, &rack))
				return -ENOMEM;
		} else if (add_addr(node, &ip, a)) {
			return -ENOMEM;
		}
	}
	return 0;
}

static bool has_address(const struct lab_node *node, int af)
{
	for (uint32_t i = 0; i < node->addrs.n; i++)
		if (node->addrs.v[i].addr.family == af)
			return true;
	return false;
}

static unsigned rack_of(const struct lab_spec *s, const struct node *obj, unsigned i, unsigned n)
{
	const char *zone = obj ? strmap_get(&obj->meta.labels, LAB_ZONE_LABEL) : NULL;
	uint64_t rack;

	if (zone && !strncmp(zone, "rack", 4) && !words_number(zone + 4, s->racks, &rack) && rack)
		return (unsigned)rack;
	return i * s->racks / n + 1;
}

static int fill_node(struct lab_spec *s, unsigned i, unsigned n, const struct node *obj,
		     struct arena *a, struct err *e)
{
	static const int families[] = { AF_INET, AF_INET6 };
	struct lab_node *node = &s->nodes.v[i];

	node->name = obj ? arena_strdup(a, obj->meta.name) : arena_printf(a, "n%u", i + 1);
	node->rack = rack_of(s, obj, i, n);
	if (obj && own_addresses(node, obj, a, e))
		return e->code ? e->code : -ENOMEM;
	for (int f = 0; f < 2; f++) {
		struct prefix p = lab_address(families[f], node->rack, FIRST_HOST + i + 1);

		if (!lab_has_family(s, families[f]) || has_address(node, families[f]))
			continue;
		if (add_prefix(a, &node->addrs.v, &node->addrs.n, &p))
			return -ENOMEM;
	}
	return 0;
}

int lab_spec_finish(struct lab_spec *s, unsigned n, const struct object *const *nodes,
		    size_t n_objects, struct arena *a, struct err *e)
{
	struct err mine = { 0 };
	int rc;

	if (n_objects)
		n = (unsigned)n_objects;
	if (n < 1 || n > LAB_NODES_MAX)
		return err_set(e, -EINVAL, "nodes: must be 1 to %d", LAB_NODES_MAX);
	if (s->racks < 1 || s->racks > LAB_RACKS_MAX)
		return err_set(e, -EINVAL, "racks: must be 1 to %d", LAB_RACKS_MAX);
	if (s->cluster_domain && !is_dns_subdomain(s->cluster_domain))
		return err_set(e, -EINVAL, "cluster-domain: \"%.64s\" is no domain name",
			       s->cluster_domain);
	if (s->racks > n)
		s->racks = n;
	if (!s->own_pools && default_cidrs(&s->pod_cidrs.v, &s->pod_cidrs.n, "10.244.0.0/16",
					   "fd00:10:244::/56", s, a))
		return err_set(e, -ENOMEM, "out of memory");
	if (default_cidrs(&s->service_cidrs.v, &s->service_cidrs.n, "10.96.0.0/12",
			  "fd00:10:96::/112", s, a))
		return err_set(e, -ENOMEM, "out of memory");
	s->nodes.v = arena_array(a, n, sizeof(*s->nodes.v));
	s->nodes.n = n;
	for (unsigned i = 0; s->nodes.v && i < n; i++) {
		rc = fill_node(s, i, n, n_objects ? nodes[i]->body : NULL, a, &mine);
		if (rc && mine.code)
			return err_set(e, rc, "%s", mine.text);
	}
	return a->failed ? err_set(e, -ENOMEM, "out of memory") : lab_spec_ranges(s, e);
}

/* ---- the file */

void lab_spec_print(const struct lab_spec *s, struct buf *out)
{
	char text[PREFIX_TEXT];

	buf_printf(out, "name %s\nracks %u\nmode %s\ncross-subnet %d\nattachment %s\nfamily %s\n",
		   s->name, s->racks, name_of(&lab_mode_names, s->mode), s->cross_subnet,
		   name_of(&lab_attachment_names, s->attachment),
		   name_of(&lab_family_names, s->family));
	buf_printf(out, "routes %s\nbird %d\n", name_of(&lab_routes_names, s->routes), s->bird);
	buf_printf(out, "mtu %u\ncluster-domain %s\n", s->mtu, s->cluster_domain);
	for (uint32_t i = 0; i < s->pod_cidrs.n; i++)
		buf_printf(out, "pod-cidr %s\n", prefix_str(&s->pod_cidrs.v[i], text));
	for (uint32_t i = 0; i < s->service_cidrs.n; i++)
		buf_printf(out, "service-cidr %s\n", prefix_str(&s->service_cidrs.v[i], text));
	for (uint32_t i = 0; i < s->nodes.n; i++) {
		const struct lab_node *node = &s->nodes.v[i];

		buf_printf(out, "node %s %u", node->name, node->rack);
		for (uint32_t k = 0; k < node->addrs.n; k++)
			buf_printf(out, " %s", prefix_str(&node->addrs.v[k], text));
		for (uint32_t k = 0; k < node->extra.n; k++)
			buf_printf(out, " %s", addr_str(&node->extra.v[k], text));
		buf_puts(out, "\n");
	}
}

static int parse_node(struct lab_spec *s, char *value, struct arena *a)
{
	struct lab_node node = { 0 }, *grown;
	struct prefix p;
	struct ipaddr ip;
	uint64_t rack;

	node.name = arena_strdup(a, words_next(&value));
	if (words_number(words_next(&value), LAB_RACKS_MAX, &rack))
		return -EINVAL;
	node.rack = (unsigned)rack;
	while (value) {
		const char *word = words_next(&value);

		if (!prefix_parse(word, &p))
			add_prefix(a, &node.addrs.v, &node.addrs.n, &p);
		else if (!addr_parse(word, &ip))
			add_addr(&node, &ip, a);
		else
			return -EINVAL;
	}
	grown = arena_array(a, s->nodes.n + 1u, sizeof(*grown));
	if (!grown || !node.rack)
		return -EINVAL;
	if (s->nodes.n)
		memcpy(grown, s->nodes.v, s->nodes.n * sizeof(*grown));
	grown[s->nodes.n] = node;
	s->nodes.v = grown;
	s->nodes.n += 1;
	return 0;
}

static int parse_enum(const struct names *names, const char *value, uint8_t *out)
{
	int v = name_find(names, value);

	if (v < 0)
		return -EINVAL;
	*out = (uint8_t)v;
	return 0;
}

static int parse_number(const char *value, uint32_t max, uint32_t *out)
{
	uint64_t v;

	if (words_number(value, max, &v))
		return -EINVAL;
	*out = (uint32_t)v;
	return 0;
}

static int parse_line(struct lab_spec *s, const char *key, char *value, struct arena *a)
{
	struct prefix p;

	if (!strcmp(key, "name"))
		s->name = arena_strdup(a, value);
	else if (!strcmp(key, "racks"))
		return parse_number(value, LAB_RACKS_MAX, &s->racks);
	else if (!strcmp(key, "mtu"))
		return parse_number(value, 65535, &s->mtu);
	else if (!strcmp(key, "cross-subnet"))
		s->cross_subnet = *value == '1';
	else if (!strcmp(key, "cluster-domain"))
		s->cluster_domain = arena_strdup(a, value);
	else if (!strcmp(key, "mode"))
		return parse_enum(&lab_mode_names, value, &s->mode);
	else if (!strcmp(key, "attachment"))
		return parse_enum(&lab_attachment_names, value, &s->attachment);
	else if (!strcmp(key, "family"))
		return parse_enum(&lab_family_names, value, &s->family);
	else if (!strcmp(key, "routes"))
		return parse_enum(&lab_routes_names, value, &s->routes);
	else if (!strcmp(key, "bird"))
		s->bird = *value == '1';
	else if (!strcmp(key, "pod-cidr"))
		return prefix_parse(value, &p)
			       ?: add_prefix(a, &s->pod_cidrs.v, &s->pod_cidrs.n, &p);
	else if (!strcmp(key, "service-cidr"))
		return prefix_parse(value, &p)
			       ?: add_prefix(a, &s->service_cidrs.v, &s->service_cidrs.n, &p);
	else if (!strcmp(key, "node"))
		return parse_node(s, value, a);
	return 0; /* a newer lab's key */
}

int lab_spec_parse(struct lab_spec *s, const char *text, struct arena *a, struct err *e)
{
	char *copy = arena_strdup(a, text), *save = NULL;
	unsigned n = 0;

	memset(s, 0, sizeof(*s));
	if (!copy)
		return err_set(e, -ENOMEM, "out of memory");
	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *value = strchr(line, ' ');

		n++;
		if (value)
			*value++ = '\0';
		if (!value || parse_line(s, line, value, a))
			return err_set(e, -EINVAL, "line %u: bad value of \"%s\"", n, line);
	}
	if (!s->name || !s->racks || !s->nodes.n)
		return err_set(e, -EINVAL, "no name, racks or nodes");
	return a->failed ? err_set(e, -ENOMEM, "out of memory") : 0;
}

int lab_spec_load(struct lab_spec *s, const char *path, struct arena *a, struct err *e)
{
	struct buf text = { 0 };
	int rc = file_read(path, SPEC_MAX, &text, e);

	if (!rc) {
		rc = lab_spec_parse(s, text.v ? text.v : "", a, e);
		if (rc)
			err_wrap(e, "%s", path);
	}
	buf_fini(&text);
	return rc;
}
