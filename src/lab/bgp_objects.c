// SPDX-License-Identifier: Apache-2.0
/* lab_bgp_objects: see bgp_objects.h. */
#include "lab/bgp_objects.h"

#include "lab/bgp.h"

#include <stdio.h>
#include <sys/socket.h>

static json_t *object(const char *kind, const char *name, json_t *spec)
{
	return json_pack("{s:s, s:s, s:{s:s}, s:o}", "apiVersion", "fairlead.io/v1", "kind", kind,
			 "metadata", "name", name, "spec", spec);
}

static json_t *configuration(const struct lab_spec *s)
{
	return object("BGPConfiguration", "default",
		      json_pack("{s:i, s:b, s:{s:i, s:i}, s:{s:i, s:i}, s:{s:i}}", "asNumber",
				LAB_AS, "nodeToNodeMeshEnabled",
				s->routes == LAB_ROUTES_BGP && !s->bird, "bfd", "interval",
				LAB_BFD_MS, "detectMultiplier", LAB_BFD_MULTIPLIER, "timers",
				"holdTimeSeconds", LAB_HOLD, "connectRetryTimeSeconds", 1,
				"gracefulRestart", "restartTimeSeconds", LAB_RESTART));
}

/* All nodes of the rack (0: of all) have its reflectors as peers, where there are some, else each other. */
static json_t *inner(const struct lab_spec *s, unsigned rack)
{
	json_t *nodes = json_object(), *peers = json_object();
	char zone[32], name[48];
	bool reflected = s->routes == LAB_ROUTES_REFLECTED;

	snprintf(zone, sizeof(zone), "rack%u", rack);
	snprintf(name, sizeof(name), "%s%s%s", rack ? zone : "", rack ? "-" : "",
		 reflected ? "reflectors" : "nodes");
	if (rack) {
		json_object_set_new(nodes, LAB_ZONE_LABEL, json_string(zone));
		json_object_set_new(peers, LAB_ZONE_LABEL, json_string(zone));
	}
	if (reflected)
		json_object_set_new(peers, LAB_REFLECTOR_LABEL, json_string("true"));
	return object("BGPPeer", name,
		      json_pack("{s:{s:o}, s:{s:o}}", "nodeSelector", "matchLabels", nodes,
				"peerSelector", "matchLabels", peers));
}

/* Nodes may have further addresses: the kernel chooses the one that is in the router's subnet. */
static json_t *router_of(const struct lab_spec *s, unsigned rack)
{
	struct prefix router = lab_address(s->family == LAB_IPV6 ? AF_INET6 : AF_INET, rack, 1);
	char zone[32], name[48], ip[ADDR_TEXT];

	snprintf(zone, sizeof(zone), "rack%u", rack);
	snprintf(name, sizeof(name), "%s-router", zone);
	addr_str(&router.addr, ip);
	return object("BGPPeer", name,
		      json_pack("{s:{s:{s:s}}, s:s, s:i, s:s}", "nodeSelector", "matchLabels",
				LAB_ZONE_LABEL, zone, "peerIP", ip, "asNumber", LAB_ROUTER_AS,
				"sourceAddress", "None"));
}

json_t *lab_bgp_objects(const struct lab_spec *s)
{
	json_t *v = json_array();
	int rc = json_array_append_new(v, configuration(s));

	if (s->routes == LAB_ROUTES_REFLECTED && !s->bird)
		rc |= json_array_append_new(v, inner(s, 0));
	for (unsigned rack = 1; s->bird && rack <= s->racks; rack++)
		rc |= json_array_append_new(v, inner(s, rack)) |
		      json_array_append_new(v, router_of(s, rack));
	if (!rc)
		return v;
	json_decref(v);
	return NULL;
}
