/* SPDX-License-Identifier: Apache-2.0 */
/* core/cni: what a runtime says is judged as CNI 1.1.0 asks, and results read as each version
 * words them. The JSON in tests/golden/cni was written by hand from the specification. */
#include "core/cni/conf.h"
#include "core/cni/ports.h"
#include "core/cni/result.h"
#include "model/record.h"
#include "store/json.h"
#include "tests/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#define CONF "\"cniVersion\":\"1.1.0\",\"name\":\"net\",\"type\":\"fairlead-cni\""

static const struct cni_env add = { "ADD", "c1", "/run/netns/x", "eth0", NULL };

/* One call from the text of a configuration. */
struct heard {
	struct arena a;
	struct cni_conf conf;
	struct cni_call call;
	struct err e;
	enum cni_code code;
};

static void hear(struct heard *h, const struct cni_env *env, const char *text, bool ipam_only)
{
	json_t *j = json_loads(text, 0, NULL);

	if (!j)
		fail_msg("the test's own JSON: %s", text);
	memset(h, 0, sizeof(*h));
	arena_init(&h->a, 0);
	h->code = CNI_ERR_DECODE;
	if (!struct_from_json(j, &cni_conf_schema, &h->conf, &h->a, &h->e))
		h->code = cni_judge(env, &h->conf, ipam_only, &h->a, &h->call, &h->e);
	json_decref(j);
}

static void refuses(const struct cni_env *env, const char *text, enum cni_code code,
		    const char *word)
{
	struct heard h;

	hear(&h, env, text, false);
	if (h.code != code || !strstr(h.e.text, word))
		fail_msg("%s: code %d, wanted %d; \"%s\" has to say \"%s\"", text, h.code, code,
			 h.e.text, word);
	arena_fini(&h.a);
}

static void everything(void **state)
{
	static const struct cni_env env = { "ADD", "c-1.x_2", "/run/netns/x", "eth0",
					    "IgnoreUnknown=1;FOO=bar;K8S_POD_NAMESPACE=shop;"
					    "K8S_POD_NAME=web-0;K8S_POD_UID=77-aa;"
					    "K8S_POD_INFRA_CONTAINER_ID=dead" };
	struct heard h;
	struct cni_request *q = &h.call.request;
	char text[ADDR_TEXT];

	hear(&h, &env,
	     "{" CONF ",\"socket\":\"/run/a.sock\",\"timeout\":7,\"attachment\":\"bridge\","
	     "\"bridge\":\"br0\",\"mtu\":1400,\"pools\":[\"blue\",\"10.9.0.0/16\"],"
	     "\"capabilities\":{\"ips\":true},\"runtimeConfig\":{\"ips\":[\"10.9.0.7/24\","
	     "\"fd00::7\"],\"mac\":\"02:11:22:33:44:55\",\"unheardOf\":[{\"hostPort\":1}]},"
	     "\"vendor.dev/x\":{\"y\":[1]}}",
	     false);
	assert_int_equal(h.code, CNI_OK);
	assert_int_equal(h.call.version, CNI_1_1_0);
	assert_string_equal(h.call.socket, "/run/a.sock");
	assert_int_equal(h.call.timeout_ms, 7000);
	assert_int_equal(q->verb, CNI_ADD);
	assert_int_equal(q->ipam_only, 0);
	assert_int_equal(q->attach, CNI_BRIDGE);
	assert_string_equal(q->bridge, "br0");
	assert_string_equal(q->network, "net");
	assert_string_equal(q->containerID, "c-1.x_2");
	assert_string_equal(q->ifname, "eth0");
	assert_string_equal(q->netns, "/run/netns/x");
	assert_string_equal(q->pod_namespace, "shop");
	assert_string_equal(q->pod_name, "web-0");
	assert_string_equal(q->pod_uid, "77-aa");
	assert_int_equal(q->mtu, 1400);
	assert_memory_equal(&q->mac, "\x02\x11\x22\x33\x44\x55", 6);
	assert_int_equal(q->ips.n, 2);
	assert_string_equal(addr_str(&q->ips.v[0], text), "10.9.0.7");
	assert_string_equal(addr_str(&q->ips.v[1], text), "fd00::7");
	assert_int_equal(q->pools.n, 2);
	assert_string_equal(q->pools.v[1], "10.9.0.0/16");
	arena_fini(&h.a);
}

static void defaults(void **state)
{
	struct heard h;

	hear(&h, &add, "{" CONF "}", false);
	assert_int_equal(h.code, CNI_OK);
	assert_string_equal(h.call.socket, "/run/fairlead/cni.sock");
	assert_int_equal(h.call.timeout_ms, 30000);
	assert_int_equal(h.call.request.attach, CNI_ROUTED);
	assert_null(h.call.request.bridge);
	assert_null(h.call.request.pod_name);
	assert_int_equal(h.call.request.ips.n, 0);
	assert_int_equal(h.call.request.mtu, 0);
	arena_fini(&h.a);
}

/* An IPAM plugin sees the configuration of the main one; its own part is `ipam`. */
static void as_ipam(void **state)
{
	struct heard h;

	hear(&h, &add,
	     "{\"cniVersion\":\"0.4.0\",\"name\":\"net\",\"type\":\"bridge\",\"bridge\":\"cni0\","
	     "\"mtu\":7,\"timeout\":9,\"ipam\":{\"type\":\"fairlead-ipam\",\"socket\":\"/s\","
	     "\"pools\":[\"p\"],\"timeout\":3}}",
	     true);
	assert_int_equal(h.code, CNI_OK);
	assert_int_equal(h.call.version, CNI_0_4_0);
	assert_int_equal(h.call.request.ipam_only, 1);
	assert_string_equal(h.call.socket, "/s");
	assert_int_equal(h.call.timeout_ms, 3000);
	assert_string_equal(h.call.request.pools.v[0], "p");
	assert_int_equal(h.call.request.mtu, 0); /* the other plugin's business */
	assert_null(h.call.request.bridge);
	arena_fini(&h.a);
}

static void wishes_in_order(void **state)
{
	static const struct cni_env env = { "ADD", "c1", "/n", "eth0",
					    "IP=10.0.0.1;MAC=02:00:00:00:00:01" };
	static const struct {
		const char *more, *ip;
		uint8_t mac;
	} rows[] = {
		{ "", "10.0.0.1", 1 },
		{ ",\"args\":{\"cni\":{\"ips\":[\"10.0.0.2\"]}}", "10.0.0.2", 1 },
		{ ",\"args\":{\"cni\":{\"ips\":[\"10.0.0.2\"],\"mac\":\"02:00:00:00:00:02\"}},"
		  "\"runtimeConfig\":{\"ips\":[\"10.0.0.3/8\"],\"mac\":\"02:00:00:00:00:03\"}",
		  "10.0.0.3", 3 },
	};
	char text[512], addr[ADDR_TEXT];
	struct heard h;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(text, sizeof(text), "{" CONF "%s}", rows[i].more);
		hear(&h, &env, text, false);
		assert_int_equal(h.code, CNI_OK);
		assert_int_equal(h.call.request.ips.n, 1);
		assert_string_equal(addr_str(&h.call.request.ips.v[0], addr), rows[i].ip);
		assert_int_equal(h.call.request.mac.b[5], rows[i].mac);
		arena_fini(&h.a);
	}
}

static void environment(void **state)
{
	static const struct {
		struct cni_env env;
		const char *word;
	} rows[] = {
		{ { NULL, "c", "/n", "e", NULL }, "CNI_COMMAND" },
		{ { "", "c", "/n", "e", NULL }, "CNI_COMMAND" },
		{ { "add", "c", "/n", "e", NULL }, "unknown CNI_COMMAND \"add\"" },
		{ { "FROB", "c", "/n", "e", NULL }, "unknown CNI_COMMAND" },
		{ { "ADD", NULL, NULL, NULL, NULL }, "CNI_CONTAINERID CNI_NETNS CNI_IFNAME" },
		{ { "ADD", "", "/n", "", NULL }, "CNI_CONTAINERID CNI_IFNAME" },
		{ { "CHECK", "c", NULL, "e", NULL }, "CNI_NETNS" },
		{ { "DEL", NULL, NULL, "e", NULL }, "CNI_CONTAINERID" },
		{ { "DEL", "c", "/n", NULL, NULL }, "CNI_IFNAME" },
	};
	static const struct cni_env fine[] = {
		{ "DEL", "c", NULL, "e", NULL },       { "DEL", "c", "", "e", NULL },
		{ "GC", NULL, NULL, NULL, NULL },      { "STATUS", NULL, NULL, NULL, NULL },
		{ "VERSION", NULL, NULL, NULL, NULL },
	};
	struct err e;
	uint8_t verb;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(cni_check_env(&rows[i].env, &verb, &e), CNI_ERR_ENV);
		if (!strstr(e.text, rows[i].word))
			fail_msg("row %zu: %s", i, e.text);
	}
	for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
		assert_int_equal(cni_check_env(&fine[i], &verb, &e), CNI_OK);
}

static void names(void **state)
{
	static const char *const ids[] = {
		"some-%%container", "/abs", "-x", ".x", "a b", "a;b", "a/b", "../../etc", "\xc3\xa9"
	};
	static const char *const ifs[] = { "1234567890123456", ".",   "..", "a/b", "a:b",
					   "test test",        "a\tb" };
	static const char *const nets[] = { "", "bad/name", "-x", "a b", "_x" };
	struct cni_env env = add;
	char text[128];

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		env.containerID = ids[i];
		refuses(&env, "{" CONF "}", CNI_ERR_ENV, "CNI_CONTAINERID");
	}
	env = add;
	for (size_t i = 0; i < sizeof(ifs) / sizeof(ifs[0]); i++) {
		env.ifname = ifs[i];
		refuses(&env, "{" CONF "}", CNI_ERR_ENV, "CNI_IFNAME");
	}
	for (size_t i = 0; i < sizeof(nets) / sizeof(nets[0]); i++) {
		snprintf(text, sizeof(text), "{\"cniVersion\":\"1.0.0\",\"name\":\"%s\"}", nets[i]);
		refuses(&add, text, CNI_ERR_CONFIG, "name");
	}
	refuses(&add, "{\"cniVersion\":\"1.0.0\"}", CNI_ERR_CONFIG, "name");
	refuses(&add, "{\"cniVersion\":\"1.0.0\",\"name\":7}", CNI_ERR_DECODE, "name");
}

static void versions(void **state)
{
	static const char *const older[] = { "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0" };
	struct cni_env check = add, gc = { .command = "GC" }, status = { .command = "STATUS" };
	char text[128];

	check.command = "CHECK";
	for (unsigned i = 0; i < 5; i++) {
		struct heard h;

		assert_int_equal(cni_version_find(older[i]), i);
		snprintf(text, sizeof(text),
			 "{\"cniVersion\":\"%s\",\"name\":\"n\","
			 "\"cni.dev/valid-attachments\":[]}",
			 older[i]);
		hear(&h, &add, text, false);
		assert_int_equal(h.code, CNI_OK);
		arena_fini(&h.a);
		hear(&h, &check, text, false);
		assert_int_equal(h.code, i < 2 ? CNI_ERR_VERSION : CNI_OK);
		arena_fini(&h.a);
		hear(&h, &gc, text, false);
		assert_int_equal(h.code, i < 4 ? CNI_ERR_VERSION : CNI_OK);
		arena_fini(&h.a);
		hear(&h, &status, text, false);
		assert_int_equal(h.code, i < 4 ? CNI_ERR_VERSION : CNI_OK);
		arena_fini(&h.a);
	}
	refuses(&add, "{\"name\":\"n\"}", CNI_ERR_VERSION, "\"0.1.0\" is not supported");
	refuses(&add, "{\"cniVersion\":\"99.0.0\",\"name\":\"n\"}", CNI_ERR_VERSION, "99.0.0");
	refuses(&add, "{\"cniVersion\":\"x\",\"name\":\"n\"}", CNI_ERR_VERSION, "\"x\"");
	refuses(&add, "{\"cniVersion\":1,\"name\":\"n\"}", CNI_ERR_DECODE, "cniVersion");
}

static void arguments(void **state)
{
	struct cni_env env = add;
	struct heard h;

	env.args = "FOO=bar";
	refuses(&env, "{" CONF "}", CNI_ERR_ENV, "unknown key FOO");
	env.args = "IgnoreUnknown=maybe";
	refuses(&env, "{" CONF "}", CNI_ERR_ENV, "IgnoreUnknown");
	env.args = "IgnoreUnknown=true;K8S_POD_NAME";
	refuses(&env, "{" CONF "}", CNI_ERR_ENV, "KEY=VALUE");
	env.args = "MAC=01:00:00:00:00:01";
	refuses(&env, "{" CONF "}", CNI_ERR_ENV, "MAC of CNI_ARGS");
	/* podman: a name without a namespace is no pod */
	env.args = "IgnoreUnknown=1;K8S_POD_NAME=web";
	hear(&h, &env, "{" CONF "}", false);
	assert_int_equal(h.code, CNI_OK);
	assert_null(h.call.request.pod_name);
	arena_fini(&h.a);
	/* DEL goes on whatever stands there */
	env.command = "DEL";
	env.args = "FOO;=;x";
	hear(&h, &env, "{" CONF ",\"mtu\":3}", false);
	assert_int_equal(h.code, CNI_OK);
	arena_fini(&h.a);
}

#define PORTS(list) "\"runtimeConfig\":{\"portMappings\":[" list "]}"

static void ports(void **state)
{
	static const char text[] = "{" CONF "," PORTS(
		"{\"hostPort\":80,\"containerPort\":8080,\"protocol\":\"tcp\","
		"\"hostIP\":\"\"},{\"hostPort\":80,\"containerPort\":8080},"
		"{\"hostPort\":80,\"containerPort\":53,\"protocol\":\"UDP\","
		"\"hostIP\":\"192.0.2.1\"},"
		"{\"hostPort\":80,\"containerPort\":54,\"protocol\":\"Udp\","
		"\"hostIP\":\"::\"},"
		"{\"hostPort\":80,\"containerPort\":9,\"protocol\":\"sctp\"}") "}";
	static const char *const said[] = { "host port 80/TCP", "host port 80/UDP of 192.0.2.1",
					    "host port 80/UDP of ::", "host port 80/SCTP" };
	static const int64_t inside[] = { 8080, 53, 54, 9 };
	struct cni_env env = add;
	char buf[PORT_MAPPING_TEXT];
	struct heard h;

	for (unsigned i = 0; i < 2; i++) { /* what CHECK hears it compares */
		env.command = i ? "CHECK" : "ADD";
		hear(&h, &env, text, false);
		assert_int_equal(h.code, CNI_OK);
		assert_int_equal(h.call.request.ports.n, 4);
		for (unsigned k = 0; k < 4; k++) {
			const struct port_mapping *m = &h.call.request.ports.v[k];

			assert_string_equal(port_mapping_str(m, buf), said[k]);
			assert_int_equal(m->containerPort, inside[k]);
		}
		arena_fini(&h.a);
	}
	/* DEL is not kept from its work; the interface of an IPAM plugin is another's. */
	env.command = "DEL";
	hear(&h, &env, "{" CONF "," PORTS("{}") "}", false);
	assert_int_equal(h.code, CNI_OK);
	arena_fini(&h.a);
	hear(&h, &add, text, true);
	assert_int_equal(h.code, CNI_OK);
	assert_int_equal(h.call.request.ports.n, 0);
	arena_fini(&h.a);
}

static struct port_mapping mapping(uint8_t proto, uint16_t port, const char *ip)
{
	struct port_mapping m = { .protocol = proto, .hostPort = port, .containerPort = 1 };

	if (ip)
		addr_parse(ip, &m.hostIP);
	return m;
}

static void overlaps(void **state)
{
	static const struct {
		const char *a, *b;
		bool overlap;
	} rows[] = {
		{ NULL, NULL, true },
		{ NULL, "192.0.2.1", true },
		{ NULL, "::", true },
		{ "0.0.0.0", "192.0.2.1", true },
		{ "0.0.0.0", "::", false },
		{ "0.0.0.0", "fd00::1", false },
		{ "::", "fd00::1", true },
		{ "192.0.2.1", "192.0.2.1", true },
		{ "fd00::1", "fd00::2", false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct port_mapping a = mapping(PROTO_TCP, 80, rows[i].a),
				    b = mapping(PROTO_TCP, 80, rows[i].b),
				    udp = mapping(PROTO_UDP, 80, rows[i].b),
				    port = mapping(PROTO_TCP, 81, rows[i].b);

		assert_int_equal(port_mappings_overlap(&a, &b), rows[i].overlap);
		assert_int_equal(port_mappings_overlap(&b, &a), rows[i].overlap);
		assert_false(port_mappings_overlap(&a, &udp));
		assert_false(port_mappings_overlap(&a, &port));
	}
}

static void configuration(void **state)
{
	static const struct {
		const char *more;
		enum cni_code code;
		const char *word;
	} rows[] = {
		{ "\"attachment\":\"macvlan\"", CNI_ERR_CONFIG, "attachment: must be routed" },
		{ "\"bridge\":\"br0\"", CNI_ERR_CONFIG, "bridge: needs attachment bridge" },
		{ "\"attachment\":\"bridge\",\"bridge\":\"a/b\"", CNI_ERR_CONFIG, "bridge:" },
		{ "\"mtu\":5", CNI_ERR_CONFIG, "mtu: must be" },
		{ "\"mtu\":70000", CNI_ERR_CONFIG, "mtu: must be" },
		{ "\"mtu\":\"1500\"", CNI_ERR_DECODE, "mtu" },
		{ "\"timeout\":0", CNI_ERR_DECODE, "timeout" },
		{ "\"socket\":\"cni.sock\"", CNI_ERR_CONFIG, "socket: \"cni.sock\"" },
		{ "\"ipam\":{\"type\":\"host-local\"}", CNI_ERR_CONFIG, "ipam.type" },
		{ "\"ipam\":[]", CNI_ERR_DECODE, "ipam" },
		{ "\"runtimeConfig\":{\"ips\":[\"10.0.0.1\",\"10.0.0.300\"]}", CNI_ERR_CONFIG,
		  "runtimeConfig.ips[1]" },
		{ "\"runtimeConfig\":{\"mac\":\"zz\"}", CNI_ERR_CONFIG, "runtimeConfig.mac" },
		{ "\"args\":{\"cni\":{\"mac\":\"00:00:00:00:00:00\"}}", CNI_ERR_CONFIG,
		  "args.cni.mac" },
		{ "\"pools\":\"p\"", CNI_ERR_DECODE, "pools" },
		{ PORTS("{}"), CNI_ERR_CONFIG, "runtimeConfig.portMappings[0]: hostPort" },
		{ PORTS("{\"hostPort\":65536,\"containerPort\":1}"), CNI_ERR_CONFIG, "hostPort" },
		{ PORTS("{\"hostPort\":1,\"containerPort\":0}"), CNI_ERR_CONFIG, "containerPort" },
		{ PORTS("{\"hostPort\":1,\"containerPort\":1,\"protocol\":\"icmp\"}"),
		  CNI_ERR_CONFIG, "tcp, udp or sctp, not \"icmp\"" },
		{ PORTS("{\"hostPort\":1,\"containerPort\":1,\"hostIP\":\"web\"}"), CNI_ERR_CONFIG,
		  "hostIP: \"web\"" },
		{ PORTS("{\"hostPort\":1,\"containerPort\":1},{\"hostPort\":1,\"containerPort\":2,"
			"\"hostIP\":\"192.0.2.1\"}"),
		  CNI_ERR_CONFIG, "portMappings[1]: host port 1/TCP of 192.0.2.1 is said twice" },
		{ PORTS("7"), CNI_ERR_DECODE, "portMappings" },
	};
	char text[512];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(text, sizeof(text), "{" CONF ",%s}", rows[i].more);
		refuses(&add, text, rows[i].code, rows[i].word);
	}
}

static void collect(void **state)
{
	static const struct cni_env gc = { .command = "GC" };
	struct heard h;

	/* A missing list would make everything stale. */
	refuses(&gc, "{" CONF "}", CNI_ERR_CONFIG, "cni.dev/valid-attachments: is missing");
	refuses(&gc, "{" CONF ",\"cni.dev/valid-attachments\":[{\"containerID\":\"c\"}]}",
		CNI_ERR_CONFIG, "valid-attachments[0]");
	hear(&h, &gc,
	     "{" CONF ",\"cni.dev/valid-attachments\":[{\"containerID\":\"c\",\"ifname\":\"e\"}]}",
	     false);
	assert_int_equal(h.code, CNI_OK);
	assert_int_equal(h.call.request.valid.n, 1);
	assert_string_equal(h.call.request.valid.v[0].ifname, "e");
	assert_null(h.call.request.containerID);
	arena_fini(&h.a);
}

/* ---- results */

static void full_result(struct arena *a, struct cni_result *r)
{
	struct cni_interface *i = arena_array(a, 2, sizeof(*i));
	struct cni_ip *ip = arena_array(a, 2, sizeof(*ip));
	struct cni_route *route = arena_array(a, 2, sizeof(*route));
	const char **dns = arena_array(a, 1, sizeof(*dns));

	*r = (struct cni_result){ .interfaces = { i, 2 },
				  .ips = { ip, 2 },
				  .routes = { route, 2 } };
	i[0] = (struct cni_interface){ "fl0123", { { 2, 0, 0, 0, 0, 9 } }, 1450, NULL };
	i[1] = (struct cni_interface){ "eth0", { { 2, 0, 0, 0, 0, 1 } }, 1450, "/run/netns/x" };
	assert_int_equal(prefix_parse("10.1.0.5/32", &ip[0].address), 0);
	assert_int_equal(addr_parse("169.254.1.1", &ip[0].gateway), 0);
	ip[0].interface = (struct opt_i64){ 1, 1 };
	assert_int_equal(prefix_parse("fd00::5/128", &ip[1].address), 0);
	ip[1].interface = (struct opt_i64){ 1, 1 };
	assert_int_equal(prefix_parse("0.0.0.0/0", &route[0].dst), 0);
	assert_int_equal(addr_parse("169.254.1.1", &route[0].gw), 0);
	assert_int_equal(prefix_parse("169.254.1.1/32", &route[1].dst), 0);
	route[1].mtu = 1400;
	route[1].scope = (struct opt_i64){ 1, 253 };
	dns[0] = "10.96.0.10";
	r->dns.nameservers.v = dns;
	r->dns.nameservers.n = 1;
	r->dns.domain = "cluster.local";
}

static char *written(unsigned version, bool ipam_only, const struct cni_result *r, struct arena *a)
{
	struct cni_result_text t;
	json_t *j;
	char *text;

	assert_int_equal(cni_result_write(version, ipam_only, r, a, &t, NULL), 0);
	j = struct_to_json(&cni_result_text_schema, &t);
	text = json_dumps(j, JSON_INDENT(1));
	json_decref(j);
	return text;
}

static void golden_json(const char *path, const char *text)
{
	json_t *have = json_loads(text, 0, NULL), *want;
	size_t n;
	char *file = golden_read(path, &n);

	/* Compared as JSON: the order of keys has no meaning. */
	want = json_loadb(file, n, 0, NULL);
	if (!want || !json_equal(have, want))
		fail_msg("%s differs from\n%s", path, text);
	json_decref(have);
	json_decref(want);
	free(file);
}

static void results_per_version(void **state)
{
	struct cni_result r;
	struct arena a;
	char path[64];

	arena_init(&a, 0);
	full_result(&a, &r);
	for (unsigned v = 0; v < CNI_VERSIONS; v++) {
		char *text = written(v, false, &r, &a);

		snprintf(path, sizeof(path), "cni/result-%s.json", cni_version_name(v));
		golden_json(path, text);
		free(text);
		text = written(v, true, &r, &a);
		snprintf(path, sizeof(path), "cni/ipam-%s.json", v < CNI_1_0_0 ? "0.x" : "1.x");
		json_t *j = json_loads(text, 0, NULL);
		assert_string_equal(json_string_value(json_object_get(j, "cniVersion")),
				    cni_version_name(v));
		json_object_del(j, "cniVersion");
		free(text);
		text = json_dumps(j, 0);
		json_decref(j);
		if (v < CNI_1_1_0)
			golden_json(path, text);
		free(text);
	}
	arena_fini(&a);
}

static enum cni_code read_text(const char *text, unsigned version, struct arena *a,
			       struct cni_result *out, struct err *e)
{
	struct cni_result_text t = { .cniVersion = NULL };
	json_t *j = json_loads(text, 0, NULL);
	int rc = struct_from_json(j, &cni_result_text_schema, &t, a, e);

	json_decref(j);
	return rc ? CNI_ERR_DECODE : cni_result_read(version, &t, a, out, e);
}

/* What was written is read back, from every version, as far as the version can say it. */
static void read_back(void **state)
{
	struct cni_result r, back;
	struct arena a;
	struct err e;

	arena_init(&a, 0);
	full_result(&a, &r);
	for (unsigned v = 0; v < CNI_VERSIONS; v++) {
		char *text = written(v, false, &r, &a);

		assert_int_equal(read_text(text, v, &a, &back, &e), CNI_OK);
		assert_int_equal(back.interfaces.n, 2);
		assert_string_equal(back.interfaces.v[1].sandbox, "/run/netns/x");
		assert_int_equal(back.interfaces.v[1].mtu, v == CNI_1_1_0 ? 1450 : 0);
		assert_int_equal(back.ips.n, 2);
		assert_true(prefix_eq(&back.ips.v[1].address, &r.ips.v[1].address));
		assert_int_equal(back.ips.v[0].interface.v, 1);
		assert_int_equal(back.ips.v[1].gateway.family, 0);
		assert_int_equal(back.routes.n, 2);
		assert_int_equal(back.routes.v[1].scope.set, v == CNI_1_1_0);
		assert_string_equal(back.dns.nameservers.v[0], "10.96.0.10");
		free(text);
	}
	arena_fini(&a);
}

static void bad_prev(void **state)
{
	static const struct {
		const char *text;
		enum cni_code code;
		const char *word;
	} rows[] = {
		{ "{\"cniVersion\":\"0.2.0\",\"ip4\":{\"ip\":\"10.0.0.2/24\"}}", CNI_ERR_VERSION,
		  "prevResult.cniVersion" },
		{ "{\"ips\":[{\"address\":\"10.0.0.2/24\",\"interface\":0}]}", CNI_ERR_DECODE,
		  "prevResult.ips[0].interface" },
		{ "{\"ips\":[{\"gateway\":\"10.0.0.2\"}]}", CNI_ERR_DECODE, "ips[0].address" },
		{ "{\"ips\":[{\"address\":\"10.0.0.2\"}]}", CNI_ERR_DECODE, "ips[0].address" },
		{ "{\"interfaces\":[{\"mac\":\"02:00:00:00:00:01\"}]}", CNI_ERR_DECODE,
		  "interfaces[0].name" },
		{ "{\"cniVersion\":\"0.4.0\",\"ips\":[{\"version\":\"6\",\"address\":"
		  "\"10.0.0.2/24\"}]}",
		  CNI_ERR_DECODE, "ips[0].version" },
		{ "{\"ips\":7}", CNI_ERR_DECODE, "ips" },
		{ "{\"routes\":[{\"dst\":\"default\"}]}", CNI_ERR_DECODE, "routes[0].dst" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err e = { .code = 0 };
		struct cni_result out;
		struct arena a;

		arena_init(&a, 0);
		if (read_text(rows[i].text, CNI_1_0_0, &a, &out, &e) != rows[i].code ||
		    !strstr(e.text, rows[i].word))
			fail_msg("row %zu: %s", i, e.text);
		arena_fini(&a);
	}
}

/* Request and reply survive the way between plugin and agent. */
static void messages(void **state)
{
	struct cni_reply reply = { .code = 11, .msg = "later", .details = "d" }, out = { 0 };
	struct cni_request q = { .verb = CNI_CHECK,
				 .attach = CNI_BRIDGE,
				 .network = "n",
				 .containerID = "c",
				 .ifname = "e",
				 .netns = "/n" };
	struct cni_request got = { 0 };
	struct buf b = { .v = NULL };
	struct arena a;
	struct wire w;
	unsigned type;

	arena_init(&a, 0);
	full_result(&a, &reply.result);
	q.prev = &reply.result;
	assert_int_equal(record_put(&b, REC_CNI_REQUEST, &cni_request_schema, &q, NULL), 0);
	assert_int_equal(record_next((uint8_t *)b.v, b.n, &type, &w, NULL), b.n);
	assert_int_equal(record_decode(&w, &cni_request_schema, &got, &a, NULL), 0);
	assert_int_equal(got.verb, CNI_CHECK);
	assert_int_equal(got.attach, CNI_BRIDGE);
	assert_string_equal(got.netns, "/n");
	assert_non_null(got.prev);
	assert_int_equal(got.prev->ips.v[0].interface.v, 1);
	assert_int_equal(got.prev->routes.v[1].scope.v, 253);
	b.n = 0;
	assert_int_equal(record_put(&b, REC_CNI_REPLY, &cni_reply_schema, &reply, NULL), 0);
	assert_int_equal(record_next((uint8_t *)b.v, b.n, &type, &w, NULL), b.n);
	assert_int_equal(record_decode(&w, &cni_reply_schema, &out, &a, NULL), 0);
	assert_int_equal(out.code, 11);
	assert_string_equal(out.details, "d");
	assert_string_equal(out.result.interfaces.v[0].name, "fl0123");
	assert_string_equal(out.result.dns.domain, "cluster.local");
	buf_fini(&b);
	arena_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything),
		cmocka_unit_test(defaults),
		cmocka_unit_test(as_ipam),
		cmocka_unit_test(wishes_in_order),
		cmocka_unit_test(environment),
		cmocka_unit_test(names),
		cmocka_unit_test(versions),
		cmocka_unit_test(arguments),
		cmocka_unit_test(configuration),
		cmocka_unit_test(ports),
		cmocka_unit_test(overlaps),
		cmocka_unit_test(collect),
		cmocka_unit_test(results_per_version),
		cmocka_unit_test(read_back),
		cmocka_unit_test(bad_prev),
		cmocka_unit_test(messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
