// SPDX-License-Identifier: Apache-2.0
/* lab_bgp: see bgp.h. Nodes refuse what the router tells of their own rack, as their AS is in its path. */
#include "lab/bgp.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REFLECTORS 2

bool lab_has_bgp(const struct lab_spec *s)
{
	return s->routes != LAB_ROUTES_STORE;
}

unsigned lab_as(const struct lab_spec *s, const struct lab_node *node)
{
	return LAB_AS + (s->bird ? node->rack : 0);
}

bool lab_is_reflector(const struct lab_spec *s, const struct lab_node *node)
{
	unsigned before = 0; /* in its rack */

	if (s->routes != LAB_ROUTES_REFLECTED)
		return false;
	for (uint32_t i = 0; i < s->nodes.n && &s->nodes.v[i] != node; i++)
		before += s->nodes.v[i].rack == node->rack;
	return s->racks == 1 || s->bird ? before < REFLECTORS : !before && node->rack <= REFLECTORS;
}

const char *lab_bird(void)
{
	static const char *const paths[] = { "/usr/sbin/bird", "/usr/local/sbin/bird",
					     "/usr/bin/bird" };

	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
		if (!access(paths[i], X_OK))
			return paths[i];
	return NULL;
}

static void put_family(const struct lab_spec *s, int af, struct buf *out)
{
	const char *name = af == AF_INET ? "ipv4" : "ipv6";
	char text[PREFIX_TEXT];
	bool any = false;

	buf_printf(out, "filter pods_%s {\n\tif ", name);
	for (uint32_t i = 0; i < s->pod_cidrs.n; i++) {
		if (s->pod_cidrs.v[i].addr.family != af)
			continue;
		buf_printf(out, "%snet ~ [ %s+ ]", any ? " || " : "",
			   prefix_str(&s->pod_cidrs.v[i], text));
		any = true;
	}
	buf_printf(out, "%s then accept;\n\treject;\n}\n", any ? "" : "false");
	buf_printf(out, "protocol kernel kernel_%s { %s { import none; export all; }; }\n", name,
		   name);
}

static void put_peer(const struct lab_spec *s, const struct lab_node *node, struct buf *out)
{
	int af = s->family == LAB_IPV6 ? AF_INET6 : AF_INET;
	struct prefix router = lab_address(af, node->rack, 1);
	char ours[ADDR_TEXT], theirs[ADDR_TEXT] = "";

	for (uint32_t i = 0; i < node->addrs.n && !*theirs; i++)
		if (node->addrs.v[i].addr.family == af)
			addr_str(&node->addrs.v[i].addr, theirs);
	buf_printf(out,
		   "protocol bgp '%s' from node {\n\tlocal %s as %u;\n"
		   "\tneighbor %s as %u;\n}\n",
		   node->name, addr_str(&router.addr, ours), LAB_ROUTER_AS, theirs,
		   lab_as(s, node));
}

void lab_bird_conf(const struct lab_spec *s, struct buf *out)
{
	static const int families[] = { AF_INET, AF_INET6 };

	/* An identifier has 32 bits, also where all addresses have more. */
	buf_puts(out, "# written by fairlead lab up\nlog stderr { warning, error, fatal, bug };\n"
		      "router id 172.18.0.1;\nprotocol device { }\n");
	buf_printf(out,
		   "protocol bfd { interface \"rack*\" { interval %d ms; multiplier %d; }; }\n",
		   LAB_BFD_MS, LAB_BFD_MULTIPLIER);
	for (int i = 0; i < 2; i++)
		if (lab_has_family(s, families[i]))
			put_family(s, families[i], out);
	buf_printf(out,
		   "template bgp node {\n\tdirect;\n\tbfd on;\n\thold time %d;\n"
		   "\tconnect retry time 2;\n\terror wait time 1, 2;\n",
		   LAB_HOLD);
	for (int i = 0; i < 2; i++)
		if (lab_has_family(s, families[i]))
			buf_printf(out,
				   "\tipv%d { import filter pods_ipv%d; export filter pods_ipv%d; "
				   "};\n",
				   i ? 6 : 4, i ? 6 : 4, i ? 6 : 4);
	buf_puts(out, "}\n");
	for (uint32_t i = 0; i < s->nodes.n; i++)
		put_peer(s, &s->nodes.v[i], out);
}
