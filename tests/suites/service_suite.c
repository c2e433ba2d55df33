/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the independent tables about endpoints (suites/services: topology.json, which endpoints
 * a port's groups have, and endpoints.json, which endpoints slices give to which port) on the
 * planner; and conntrack-cleanup.json, which entries of the connection table are stale.
 *
 *     service_suite SUITES-FOLDER      exit 0: none failed; 77: there is no such folder */
#include "core/service/stale.h"
#include "store/json.h"

#include <jansson.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SKIP      77
#define MAX_PORTS 64

static const char *text_of(const json_t *j, const char *key)
{
	return json_string_value(json_object_get(j, key));
}

static bool is_true(const json_t *j, const char *key)
{
	return json_is_true(json_object_get(j, key));
}

/* "10.0.0.1:80" */
static const char *endpoint_text(const struct svc_endpoint *ep, char *out, size_t n)
{
	char a[ADDR_TEXT];

	snprintf(out, n, ep->ip.family == AF_INET6 ? "[%s]:%u" : "%s:%u", addr_str(&ep->ip, a),
		 ep->port);
	return out;
}

static bool has(const json_t *list, const char *text)
{
	const json_t *v;
	size_t i;

	json_array_foreach(list, i, v) if (!strcmp(json_is_string(v) ? json_string_value(v)
								     : text_of(v, "endpoint"),
						   text)) return true;
	return false;
}

/* ---- topology.json */

#define IN_ALL   1u
#define IN_LOCAL 2u

/* Is what is in any of `groups` what `want` lists? */
static bool same_members(const struct svc_port *port, unsigned groups, const json_t *want)
{
	size_t n = 0;

	for (uint32_t i = 0; i < port->endpoints.n; i++) {
		const struct svc_endpoint *ep = &port->endpoints.v[i];
		bool in = (groups & IN_ALL && port->uses[SVC_ALL] && ep->out[SVC_ALL] == SVC_IN) ||
			  (groups & IN_LOCAL && port->uses[SVC_LOCAL] &&
			   ep->out[SVC_LOCAL] == SVC_IN);
		char text[ADDR_TEXT + 8];

		if (in && !has(want, endpoint_text(ep, text, sizeof(text))))
			return false;
		n += in;
	}
	return n == json_array_size(want);
}

static json_t *hints_of(const json_t *names)
{
	json_t *v = json_array(), *name;
	size_t i;

	json_array_foreach(names, i, name)
		json_array_append_new(v, json_pack("{s:O}", "name", name));
	return v;
}

/* The case's endpoint as one of a slice. */
static json_t *endpoint_of(const json_t *c, const char *node)
{
	const char *text = text_of(c, "endpoint"), *colon = strrchr(text, ':');
	json_t *conditions = json_object();

	json_object_set_new(conditions, "ready", json_boolean(is_true(c, "ready")));
	json_object_set_new(conditions, "serving",
			    json_boolean(is_true(c, "serving") || is_true(c, "ready")));
	json_object_set_new(conditions, "terminating", json_boolean(is_true(c, "terminating")));
	return json_pack("{s:[o], s:o, s:s, s:{s:o, s:o}}", "addresses",
			 json_stringn(text, (size_t)(colon - text)), "conditions", conditions,
			 "nodeName", is_true(c, "isLocal") ? node : "elsewhere", "hints",
			 "forZones", hints_of(json_object_get(c, "zoneHints")), "forNodes",
			 hints_of(json_object_get(c, "nodeHints")));
}

static json_t *slice_of(const json_t *c, const char *node)
{
	json_t *endpoints = json_array(), *ep;
	size_t i;

	json_array_foreach(json_object_get(c, "endpoints"), i, ep)
		json_array_append_new(endpoints, endpoint_of(ep, node));
	return json_pack("{s:{s:s}, s:s, s:o, s:[{s:i}]}", "metadata", "name", "s", "addressType",
			 "IPv4", "endpoints", endpoints, "ports", "port", 80);
}

static bool run_topology(const json_t *c, struct arena *a)
{
	const json_t *info = json_object_get(c, "serviceInfo"), *all;
	const char *node = text_of(c, "nodeName") ? text_of(c, "nodeName") : "test-node";
	struct svc_node self = {
		.name = node,
		.zone = text_of(json_object_get(c, "nodeLabels"), LABEL_ZONE),
	};
	struct service_port sp = {
		.port = 80,
		.nodePort = json_integer_value(json_object_get(info, "nodePort")),
	};
	struct service s = { .meta = { .namespace = "ns", .name = "s" } };
	struct endpoint_slice slice = { .addressType = SLICE_NONE };
	const struct endpoint_slice *slices[] = { &slice };
	json_t *j = slice_of(c, node);
	const struct svc_port *port;
	struct svc_plan plan;
	struct err e = { .code = 0 };
	bool ok;

	s.spec.clusterIP = "10.96.0.1";
	s.spec.type = sp.nodePort ? SERVICE_NODE_PORT : SERVICE_CLUSTER_IP;
	s.spec.ports.v = &sp;
	s.spec.ports.n = 1;
	s.spec.internalTrafficPolicy = is_true(info, "internalPolicyLocal") ? POLICY_LOCAL : 0;
	s.spec.externalTrafficPolicy = is_true(info, "externalPolicyLocal") ? POLICY_LOCAL : 0;
	ok = !struct_from_json(j, kind_by_id(KIND_ENDPOINTSLICE)->schema, &slice, a, &e) &&
	     !svc_plan(&s, slices, 1, &self, AF_INET, a, &plan, &e);
	json_decref(j);
	if (!ok) {
		printf("%s: %s\n", text_of(c, "id"), e.text);
		return false;
	}
	port = &plan.ports.v[0];
	all = json_object_get(c, "allEndpoints");
	return same_members(port, IN_ALL, json_object_get(c, "clusterEndpoints")) &&
	       same_members(port, IN_LOCAL, json_object_get(c, "localEndpoints")) &&
	       (!all || same_members(port, IN_ALL | IN_LOCAL, all));
}

/* ---- endpoints.json */

struct state {
	struct endpoint_slice *slices;
	size_t n;
};

static bool read_state(const json_t *list, struct arena *a, struct state *st)
{
	json_t *j;
	size_t i;

	st->slices = arena_array(a, json_array_size(list), sizeof(*st->slices));
	json_array_foreach((json_t *)list, i, j)
	{
		struct err e = { .code = 0 };

		/* Absent, or a slice that holds nothing, not even a type, which no API takes. */
		if (json_is_null(j) || !*text_of(j, "addressType"))
			continue;
		if (struct_from_json(j, kind_by_id(KIND_ENDPOINTSLICE)->schema, &st->slices[st->n],
				     a, &e)) {
			printf("%s\n", e.text);
			return false;
		}
		st->n++;
	}
	return true;
}

static const char *service_of(const struct endpoint_slice *s)
{
	const char *name = strmap_get(&s->meta.labels, LABEL_SERVICE_NAME);

	return name ? name : "";
}

static bool same_service(const struct endpoint_slice *a, const struct endpoint_slice *b)
{
	return !strcmp(service_of(a), service_of(b)) &&
	       !strcmp(a->meta.namespace, b->meta.namespace);
}

/* The Service that has just the ports of its slices. */
static void make_service(const struct endpoint_slice *const *v, size_t n, struct service *s,
			 struct arena *a)
{
	*s = (struct service){ .meta = { .namespace = v[0]->meta.namespace,
					 .name = service_of(v[0]) } };
	s->spec.clusterIP = "10.96.0.1";
	s->spec.ports.v = arena_array(a, MAX_PORTS, sizeof(*s->spec.ports.v));
	for (size_t i = 0; i < n; i++)
		for (uint32_t k = 0; k < v[i]->ports.n; k++) {
			const struct slice_port *p = &v[i]->ports.v[k];
			uint32_t at = 0;

			while (at < s->spec.ports.n &&
			       (strcmp(s->spec.ports.v[at].name, p->name ? p->name : "") ||
				s->spec.ports.v[at].protocol != p->protocol))
				at++;
			if (at == MAX_PORTS)
				abort();
			s->spec.ports.v[at] = (struct service_port){ .name = p->name ? p->name : "",
								     .protocol = p->protocol,
								     .port = 80 };
			s->spec.ports.n += at == s->spec.ports.n;
		}
}

static bool check_port(const struct svc_plan *plan, const struct svc_port *port, const json_t *want,
		       size_t *found)
{
	char key[600];
	const json_t *list, *v;
	size_t i;

	snprintf(key, sizeof(key), "%s/%s%s%s/%s", plan->ns, plan->name, *port->name ? ":" : "",
		 port->name, name_of(&protocol_names, port->proto));
	list = json_object_get(want, key);
	*found += list != NULL;
	if (json_array_size(list) != port->endpoints.n)
		return false;
	json_array_foreach(list, i, v)
	{
		bool ok = false;

		for (uint32_t k = 0; k < port->endpoints.n; k++) {
			const struct svc_endpoint *ep = &port->endpoints.v[k];
			char text[ADDR_TEXT + 8];

			ok |= !strcmp(endpoint_text(ep, text, sizeof(text)),
				      text_of(v, "endpoint")) &&
			      ep->local == is_true(v, "local");
		}
		if (!ok)
			return false;
	}
	return true;
}

/* All ports of one state; `ready` (may be NULL): endpoints per Service that a health check sees. */
static bool check_state(const struct state *st, const char *node, const json_t *want,
			const json_t *ready, struct arena *a)
{
	const struct endpoint_slice **own = arena_array(a, st->n, sizeof(struct endpoint_slice *));
	struct svc_node self = { .name = node };
	size_t found = 0, n_ready = 0;
	bool ok = true;

	for (size_t i = 0; ok && i < st->n; i++) {
		struct svc_plan plan;
		struct service s;
		char key[400];
		size_t n = 0, before = 0;

		for (size_t k = 0; k < st->n; k++)
			if (same_service(&st->slices[k], &st->slices[i])) {
				before += k < i;
				own[n++] = &st->slices[k];
			}
		if (before)
			continue;
		make_service(own, n, &s, a);
		ok = !svc_plan(&s, own, n, &self, AF_INET, a, &plan, NULL);
		for (uint32_t k = 0; ok && k < plan.ports.n; k++)
			ok = !plan.ports.v[k].endpoints.n ||
			     check_port(&plan, &plan.ports.v[k], want, &found);
		snprintf(key, sizeof(key), "%s/%s", plan.ns, plan.name);
		n_ready += plan.local_ready != 0;
		ok &= !ready || plan.local_ready == json_integer_value(json_object_get(ready, key));
	}
	return ok && found == json_object_size(want) &&
	       (!ready || n_ready == json_object_size(ready));
}

static bool run_endpoints(const json_t *c, struct arena *a)
{
	struct state before = { .n = 0 }, after = { .n = 0 };
	const char *node = text_of(c, "node");

	return read_state(json_object_get(c, "before"), a, &before) &&
	       read_state(json_object_get(c, "after"), a, &after) &&
	       check_state(&before, node, json_object_get(c, "expected_before"), NULL, a) &&
	       check_state(&after, node, json_object_get(c, "expected_after"),
			   json_object_get(c, "local_ready_endpoints"), a);
}

/* ---- files */

static int run_file(const char *folder, const char *name,
		    bool (*run)(const json_t *c, struct arena *a))
{
	char path[4096];
	json_t *all, *c;
	int failed = 0, skipped = 0;
	size_t i, n;

	snprintf(path, sizeof(path), "%s/services/public/%s", folder, name);
	all = json_load_file(path, 0, NULL);
	if (!all) {
		printf("%s: cannot be read\n", path);
		return 1;
	}
	n = json_array_size(json_object_get(all, "cases"));
	json_array_foreach(json_object_get(all, "cases"), i, c)
	{
		struct arena a;

		if (text_of(c, "legacy")) {
			printf("%s: not applicable: %s\n", text_of(c, "id"), text_of(c, "legacy"));
			skipped++;
			continue;
		}
		arena_init(&a, 0);
		if (!run(c, &a)) {
			printf("%s FAILED: %s\n", text_of(c, "id"), text_of(c, "name"));
			failed++;
		}
		arena_fini(&a);
	}
	printf("%s: %zu cases, %d failed, %d not applicable\n", name, n, failed, skipped);
	json_decref(all);
	return failed || !n;
}

/* ---- conntrack-cleanup.json: one Service, and entries */

#define CLEANUP_NODE "192.0.2.1"

static uint8_t ip_proto(const char *name)
{
	return !strcmp(name, "UDP")    ? IPPROTO_UDP
	       : !strcmp(name, "SCTP") ? IPPROTO_SCTP
				       : IPPROTO_TCP;
}

static bool read_entry(const json_t *c, struct ct_entry *out)
{
	const char *dst = text_of(c, "orig_dst"), *to = text_of(c, "dnat_dst");

	*out = (struct ct_entry){ .proto = ip_proto(text_of(c, "protocol")) };
	out->orig.sport = out->reply.dport = 4711;
	out->orig.dport = (uint16_t)json_integer_value(json_object_get(c, "orig_dport"));
	if (addr_parse("10.244.9.9", &out->orig.src) ||
	    addr_parse(*dst == '<' ? CLEANUP_NODE : dst, &out->orig.dst))
		return false;
	out->reply.dst = out->orig.src;
	out->reply.src = out->orig.dst;
	out->reply.sport = out->orig.dport;
	if (to)
		out->reply.sport = (uint16_t)json_integer_value(json_object_get(c, "dnat_dport"));
	return !to || !addr_parse(to, &out->reply.src);
}

static bool put_cleanup(const json_t *all, const struct svc_node *node, struct svc_stale *st,
			struct arena *a)
{
	json_t *service = json_array_get(json_object_get(all, "objects"), 0),
	       *slice = json_array_get(json_object_get(all, "objects"), 1);
	const struct endpoint_slice *slices[1];
	struct endpoint_slice sl;
	struct svc_plan plan;
	struct service s;
	struct err e = { .code = 0 };

	slices[0] = &sl;
	if (struct_from_json(service, kind_by_id(KIND_SERVICE)->schema, &s, a, &e) ||
	    struct_from_json(slice, kind_by_id(KIND_ENDPOINTSLICE)->schema, &sl, a, &e) ||
	    svc_plan(&s, slices, 1, node, AF_INET, a, &plan, &e) ||
	    svc_stale_put(st, plan.ns, plan.name, &plan, 1, &e)) {
		printf("conntrack-cleanup.json: %s\n", e.text);
		return false;
	}
	return true;
}

static int run_cleanup(const char *folder)
{
	struct svc_stale *st = svc_stale_new();
	struct svc_node node = { .name = "n1" };
	struct ipaddr own;
	int failed = 0, stale = 0;
	struct arena a;
	char path[4096];
	json_t *all, *c;
	size_t i, n;

	snprintf(path, sizeof(path), "%s/services/public/conntrack-cleanup.json", folder);
	all = json_load_file(path, 0, NULL);
	arena_init(&a, 0);
	addr_parse(CLEANUP_NODE, &own);
	node.addresses.v = &own;
	node.addresses.n = 1;
	if (!all || !st || !put_cleanup(all, &node, st, &a))
		failed = 1;
	n = json_array_size(json_object_get(all, "cases"));
	json_array_foreach(json_object_get(all, "cases"), i, c)
	{
		struct ct_entry ct;
		bool keep = false, read = read_entry(c, &ct);

		if (read)
			keep = !svc_is_stale(svc_stale_judge(st, &node, &ct, NULL));
		stale += !keep;
		if (read && keep == is_true(c, "keep"))
			continue;
		printf("conntrack-cleanup.json FAILED: case %zu: %s\n", i, text_of(c, "why"));
		failed++;
	}
	printf("conntrack-cleanup.json: %zu cases, %d stale, %d failed\n", n, stale, failed);
	json_decref(all);
	arena_fini(&a);
	svc_stale_free(st);
	return failed || !n;
}

int main(int argc, char **argv)
{
	const char *folder = getenv("FAIRLEAD_SUITES");
	char path[4096];

	if (!folder)
		folder = argc > 1 ? argv[1] : ".";
	snprintf(path, sizeof(path), "%s/services/public", folder);
	if (access(path, R_OK)) {
		printf("SKIP: no cases: %s\n", path);
		return SKIP;
	}
	return run_file(folder, "topology.json", run_topology) |
	       run_file(folder, "endpoints.json", run_endpoints) | run_cleanup(folder);
}
