// SPDX-License-Identifier: Apache-2.0
/* core/dns/zone and core/dns/answer: objects in, answers out. Expectations from the Kubernetes DNS specification 1.1.0 and, for what is
 * beyond it, from what CoreDNS documents of its plugins kubernetes and k8s_external. */
#include "base/buf.h"
#include "dns_world.h"
#include "store/manifest.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RECORDS 512

static struct dns_world w;
static struct manifest held[64];
static unsigned n_held;

static void tell(const char *yaml, bool there)
{
	struct manifest *m = &held[n_held++];
	struct err e;

	assert_true(n_held <= 64);
	memset(m, 0, sizeof(*m));
	manifest_parse(m, "test", yaml, strlen(yaml));
	if (m->n_errors)
		fail_msg("%s", m->errors[0]);
	for (size_t i = 0; i < m->n_items; i++)
		assert_int_equal(dns_world_put(&w, m->items[i].obj, there, &e), 0);
	assert_int_equal(dns_zone_commit(w.zone, UINT_MAX, &e), 0);
}

static void add(const char *yaml)
{
	tell(yaml, true);
}

static void gone(const char *yaml)
{
	tell(yaml, false);
}

/* "NOERROR A 1.2.3.4, A 1.2.3.5": the answer; then "; SOA" where the authority section has one, and "; +A 1.2.3.4" for additional ones. */
static const char *ask(const char *name, uint16_t type)
{
	static struct dns_world_record r[RECORDS];
	static char text[16384];
	int rcode;
	size_t n = dns_world_ask(&w, name, type, &rcode, r, RECORDS), at;

	if (rcode < 0)
		return "not ours";
	at = (size_t)snprintf(text, sizeof(text), "%s",
			      rcode == DNS_NOERROR    ? "NOERROR"
			      : rcode == DNS_NXDOMAIN ? "NXDOMAIN"
			      : rcode == DNS_SERVFAIL ? "SERVFAIL"
						      : "REFUSED");
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(r[i].ttl, r[i].type == DNS_HINFO ? r[i].ttl : w.settings.ttl);
		if (r[i].section == DNS_AUTHORITY)
			at += (size_t)snprintf(text + at, sizeof(text) - at, "; SOA");
		else
			at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s%s",
					       i ? ", " : " ",
					       r[i].section == DNS_ADDITIONAL ? "+" : "",
					       r[i].type == DNS_HINFO ? "HINFO" : r[i].data);
	}
	return text;
}

#define A(name, want)          assert_string_equal(ask(name, DNS_A), want)
#define AAAA(name, want)       assert_string_equal(ask(name, DNS_AAAA), want)
#define SRV(name, want)        assert_string_equal(ask(name, DNS_SRV), want)
#define PTR(name, want)        assert_string_equal(ask(name, DNS_PTR), want)
#define TYPE(name, type, want) assert_string_equal(ask(name, type), want)
#define NODATA                 "NOERROR; SOA"
#define NXDOMAIN               "NXDOMAIN; SOA"

static int set_up(void **state)
{
	(void)state;
	memset(&w, 0, sizeof(w));
	dns_settings_init(&w.settings);
	assert_int_equal(dns_settings_zone(&w.settings, "Cluster.Local", false, NULL), 0);
	assert_int_equal(dns_settings_zone(&w.settings, "in-addr.arpa", false, NULL), 0);
	assert_int_equal(dns_settings_zone(&w.settings, "ip6.arpa.", false, NULL), 0);
	return 0;
}

static void open_world(void)
{
	dns_world_open(&w, 8UL << 20);
	dns_zone_synced(w.zone, 1000);
}

static int tear_down(void **state)
{
	(void)state;
	dns_world_close(&w);
	while (n_held)
		manifest_fini(&held[--n_held]);
	return 0;
}

#define NS(name) "{apiVersion: v1, kind: Namespace, metadata: {name: " name "}}\n---\n"
#define SVC(name, spec)                                                                            \
	"{apiVersion: v1, kind: Service, metadata: {name: " name                                   \
	", namespace: shop}, spec: {" spec "}}\n---\n"
#define SLICE(name, svc, type, ports, eps)                                                         \
	"{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: " name            \
	", namespace: shop, labels: {kubernetes.io/service-name: " svc "}}, addressType: " type    \
	", ports: [" ports "], endpoints: [" eps "]}\n---\n"
#define NONE "clusterIP: None"
#define HTTP "{name: http, port: 8080}"
#define POD(name, ip, phase)                                                                       \
	"{apiVersion: v1, kind: Pod, metadata: {name: " name                                       \
	", namespace: shop}, spec: {nodeName: n, containers: [{name: c, image: i}]}, status: "     \
	"{phase: " phase ", podIP: '" ip "', podIPs: [{ip: '" ip "'}]}}\n---\n"

#define D ".shop.svc.cluster.local."

static void cluster_ips(void **state)
{
	(void)state;
	open_world();
	add(NS("empty")
		    SVC("web", "clusterIPs: [10.3.0.7, 'fd00:96::7'], clusterIP: 10.3.0.7, ports: "
			       "[{name: http, port: 80}, {name: dns, port: 53, protocol: UDP}, "
			       "{name: dns-tcp, port: 53}]")
			    SVC("bare", "clusterIP: 10.3.0.8, ports: [{port: 80}]")
				    SVC("waits", "ports: [{name: http, port: 80}]"));
	A("web" D, "NOERROR 10.3.0.7");
	AAAA("web" D, "NOERROR fd00:96::7");
	A("WEB.Shop.svc.CLUSTER.local.", "NOERROR 10.3.0.7");
	AAAA("bare" D, NODATA);
	A("waits" D, NODATA);
	TYPE("web" D, DNS_TXT, NODATA);
	TYPE("web" D, DNS_SOA, NODATA);
	TYPE("web" D, DNS_ANY, "NOERROR HINFO");
	TYPE("web" D, DNS_AXFR, "REFUSED");
	SRV("_http._tcp.web" D, "NOERROR 0 50 80 web" D ", +10.3.0.7, +fd00:96::7");
	SRV("_dns._udp.web" D, "NOERROR 0 50 53 web" D ", +10.3.0.7, +fd00:96::7");
	SRV("web" D, "NOERROR 0 25 80 web" D ", 0 25 53 web" D ", +10.3.0.7, +fd00:96::7");
	SRV("_dns._tcp.web" D, NXDOMAIN);
	SRV("_nosuch._tcp.web" D, NXDOMAIN);
	SRV("http.tcp.web" D, NXDOMAIN);
	SRV("_http._quic.web" D, NXDOMAIN);
	SRV("_tcp.web" D, NODATA);
	SRV("_sctp.web" D, NXDOMAIN);
	A("_http._tcp.web" D, NODATA);
	SRV("bare" D, NODATA);
	SRV("_._tcp.bare" D, NXDOMAIN);
	SRV("_http._tcp.waits" D, NODATA);
	A("x.y.z.web" D, NXDOMAIN);
	A("x.web" D, NXDOMAIN);
	A("nosuch" D, NXDOMAIN);
	A("shop.svc.cluster.local.", NODATA);
	A("empty.svc.cluster.local.", NODATA);
	A("nowhere.svc.cluster.local.", NXDOMAIN);
	A("web.nowhere.svc.cluster.local.", NXDOMAIN);
	A("svc.cluster.local.", NODATA);
	A("other.cluster.local.", NXDOMAIN);
	A("cluster.local.example.", "not ours");
	A("xcluster.local.", "not ours");
	A(".", "not ours");
	PTR("7.0.3.10.in-addr.arpa.", "NOERROR web" D);
	PTR("8.0.3.10.in-addr.arpa.", "NOERROR bare" D);
	PTR("9.0.3.10.in-addr.arpa.", NXDOMAIN);
	PTR("3.10.in-addr.arpa.", NODATA);
	PTR("07.0.3.10.in-addr.arpa.", NXDOMAIN);
	PTR("1.7.0.3.10.in-addr.arpa.", NXDOMAIN);
	PTR("256.0.3.10.in-addr.arpa.", NXDOMAIN);
	A("7.0.3.10.in-addr.arpa.", NODATA);
	PTR("7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.0.d.f.ip6.arpa.",
	    "NOERROR web" D);
	PTR("g.0.d.f.ip6.arpa.", NXDOMAIN);
	/* The last Service of a namespace without an object takes it along. */
	gone(SVC("web", NONE) SVC("bare", NONE) SVC("waits", NONE));
	A("web" D, NXDOMAIN);
	A("shop.svc.cluster.local.", NXDOMAIN);
	PTR("7.0.3.10.in-addr.arpa.", NXDOMAIN);
	A("empty.svc.cluster.local.", NODATA);
	gone(NS("empty"));
	A("empty.svc.cluster.local.", NXDOMAIN);
	assert_int_equal(w.table.count, 0);
}

static void headless(void **state)
{
	(void)state;
	open_world();
	add(SVC("db", "clusterIP: None, ports: [{name: http, port: 80}]") SLICE(
		"db-1", "db", "IPv4", HTTP ", {port: 9}",
		"{addresses: [10.0.0.1], hostname: pet}, {addresses: [10.0.0.2]}, {addresses: "
		"[10.0.0.3], conditions: {ready: false}, hostname: ill}")
		    SLICE("db-2", "db", "IPv4", HTTP ", {port: 9}",
			  "{addresses: [10.0.0.1], hostname: pet}, {addresses: [10.0.0.4], "
			  "hostname: "
			  "pet}") SLICE("db-6", "db", "IPv6", HTTP,
					"{addresses: ['fd00::1'], hostname: pet}, {addresses: "
					"['fd00::']}"));
	A("db" D, "NOERROR 10.0.0.1, 10.0.0.2, 10.0.0.4");
	AAAA("db" D, "NOERROR fd00::, fd00::1");
	w.turn = 5; /* 5 % 3 */
	A("db" D, "NOERROR 10.0.0.4, 10.0.0.1, 10.0.0.2");
	w.turn = 0;
	A("pet.db" D, "NOERROR 10.0.0.1, 10.0.0.4");
	AAAA("pet.db" D, "NOERROR fd00::1");
	A("PET.db" D, "NOERROR 10.0.0.1, 10.0.0.4");
	A("10-0-0-2.db" D, "NOERROR 10.0.0.2");
	AAAA("10-0-0-2.db" D, NODATA);
	A("10-0-0-1.db" D, NXDOMAIN); /* it has a hostname */
	AAAA("fd00--.db" D, "NOERROR fd00::");
	AAAA("fd00-0--.db" D, NXDOMAIN); /* no other spelling */
	A("ill.db" D, NXDOMAIN);
	SRV("_http._tcp.db" D,
	    "NOERROR 0 20 8080 pet.db" D ", 0 20 8080 10-0-0-2.db" D ", 0 20 8080 fd00--.db" D
	    ", +10.0.0.1, +10.0.0.2, +10.0.0.4, +fd00::, +fd00::1");
	SRV("pet.db" D, "NOERROR 0 33 8080 pet.db" D ", +10.0.0.1, +10.0.0.4, +fd00::1");
	SRV("_tcp.db" D, NODATA);
	SRV("_udp.db" D, NXDOMAIN);
	SRV("_http._udp.db" D, NXDOMAIN);
	A("_http._tcp.db" D, NODATA);
	PTR("1.0.0.10.in-addr.arpa.", "NOERROR pet.db" D);
	PTR("2.0.0.10.in-addr.arpa.", "NOERROR 10-0-0-2.db" D);
	PTR("3.0.0.10.in-addr.arpa.", NXDOMAIN);
	/* Those that are not ready, where the Service wants them. */
	add(SVC("db", "clusterIP: None, publishNotReadyAddresses: true, ports: [{name: http, port: "
		      "80}]"));
	A("ill.db" D, "NOERROR 10.0.0.3");
	PTR("3.0.0.10.in-addr.arpa.", "NOERROR ill.db" D);
	/* A second Service's name for an address; a cluster IP's goes before. */
	add(SVC("app", "clusterIP: 10.3.0.1, ports: [{name: http, port: 80}]")
		    SLICE("app-1", "app", "IPv4", HTTP, "{addresses: [10.0.0.2], hostname: a}"));
	PTR("2.0.0.10.in-addr.arpa.", "NOERROR 10-0-0-2.db" D ", a.app" D);
	A("a.app" D, "NOERROR 10.0.0.2");
	A("app" D, "NOERROR 10.3.0.1");
	add(SVC("odd", "clusterIP: 10.0.0.2, ports: [{port: 80}]"));
	PTR("2.0.0.10.in-addr.arpa.", "NOERROR odd" D);
	/* A slice that another Service takes over. */
	add(SLICE("db-1", "app", "IPv4", HTTP, "{addresses: [10.0.0.9]}"));
	A("db" D, "NOERROR 10.0.0.1, 10.0.0.4");
	A("10-0-0-9.app" D, "NOERROR 10.0.0.9");
	PTR("9.0.0.10.in-addr.arpa.", "NOERROR 10-0-0-9.app" D);
	/* None is ready: no such name, but for what is not asked for. */
	gone(SLICE("db-2", "db", "IPv4", "", "") SLICE("db-6", "db", "IPv6", "", ""));
	A("db" D, NXDOMAIN);
	add(SVC("db", "clusterIPs: [None], ports: [{port: 80}]")
		    SLICE("db-1", "db", "IPv4", HTTP, "{addresses: [10.0.0.5]}"));
	A("db" D, "NOERROR 10.0.0.5");
	gone(SVC("db", NONE) SVC("app", NONE) SVC("odd", NONE) SLICE("db-1", "app", "IPv4", "", "")
		     SLICE("app-1", "app", "IPv4", "", ""));
	assert_int_equal(w.table.count, 0);
}

static void external_names(void **state)
{
	(void)state;
	open_world();
	add(SVC("out", "type: ExternalName, externalName: www.example.com")
		    SVC("in", "type: ExternalName, externalName: web.shop.svc.cluster.local") SVC(
			    "two", "type: ExternalName, externalName: in.shop.svc.cluster.local.")
			    SVC("lost", "type: ExternalName, externalName: "
					"nosuch.shop.svc.cluster.local")
				    SVC("a", "type: ExternalName, externalName: "
					     "b.shop.svc.cluster.local")
					    SVC("b", "type: ExternalName, externalName: "
						     "a.shop.svc.cluster.local")
						    SVC("ip", "type: ExternalName, "
							      "externalName: 10.0.0.1")
							    SVC("web", "clusterIP: 10.3.0.1, "
								       "ports: [{port: 80}]"));
	A("out" D, "NOERROR www.example.com.");
	assert_int_not_equal(w.target.n, 0);
	TYPE("out" D, DNS_CNAME, "NOERROR www.example.com.");
	assert_int_equal(w.target.n, 0);
	TYPE("out" D, DNS_TXT, "NOERROR www.example.com.");
	A("x.out" D, NXDOMAIN);
	A("in" D, "NOERROR web" D ", 10.3.0.1");
	assert_int_equal(w.target.n, 0);
	A("two" D, "NOERROR in" D ", web" D ", 10.3.0.1");
	AAAA("in" D, "NOERROR web" D "; SOA");
	A("lost" D, "NXDOMAIN nosuch" D "; SOA");
	A("ip" D, NXDOMAIN);
	/* A ring ends. */
	assert_memory_equal(ask("a" D, DNS_A), "NOERROR b.shop", 14);
}

static void apex(void **state)
{
	struct ipaddr ip;

	(void)state;
	assert_int_equal(addr_parse("169.254.20.10", &ip), 0);
	assert_int_equal(dns_settings_local(&w.settings, &ip, NULL), 0);
	assert_int_equal(addr_parse("fd00::53", &ip), 0);
	assert_int_equal(dns_settings_local(&w.settings, &ip, NULL), 0);
	open_world();
	TYPE("cluster.local.", DNS_SOA,
	     "NOERROR ns.dns.cluster.local. hostmaster.cluster.local. 1001 7200 1800 86400 5");
	TYPE("cluster.local.", DNS_NS, "NOERROR ns.dns.cluster.local., +169.254.20.10, +fd00::53");
	A("cluster.local.", NODATA);
	A("ns.dns.cluster.local.", "NOERROR 169.254.20.10");
	AAAA("ns.dns.cluster.local.", "NOERROR fd00::53");
	TYPE("ns.dns.cluster.local.", DNS_TXT, NODATA);
	A("dns.cluster.local.", NODATA);
	A("x.dns.cluster.local.", NXDOMAIN);
	A("x.ns.dns.cluster.local.", NXDOMAIN);
	TYPE("dns-version.cluster.local.", DNS_TXT, "NOERROR \"1.1.0\"");
	A("dns-version.cluster.local.", NODATA);
	TYPE("x.dns-version.cluster.local.", DNS_TXT, NXDOMAIN);
	TYPE("in-addr.arpa.", DNS_SOA,
	     "NOERROR ns.dns.cluster.local. hostmaster.cluster.local. 1001 7200 1800 86400 5");
	A("pod.cluster.local.", NODATA);
}

static void not_synced(void **state)
{
	(void)state;
	dns_world_open(&w, 1UL << 20);
	add(SVC("web", "clusterIP: 10.3.0.1, ports: [{port: 80}]")
		    SVC("out", "type: ExternalName, externalName: www.example.com"));
	A("web" D, "NOERROR 10.3.0.1");
	A("out" D, "NOERROR www.example.com.");
	AAAA("web" D, "SERVFAIL; SOA");
	A("nosuch" D, "SERVFAIL; SOA");
	A("nowhere.svc.cluster.local.", "SERVFAIL; SOA");
	PTR("9.9.9.9.in-addr.arpa.", "SERVFAIL; SOA");
	A("cluster.local.", NODATA);
	TYPE("dns-version.cluster.local.", DNS_TXT, "NOERROR \"1.1.0\"");
	dns_zone_synced(w.zone, 7);
	A("nosuch" D, NXDOMAIN);
	dns_zone_synced(w.zone, 0);
	A("nosuch" D, "SERVFAIL; SOA");
}

static void options(void **state)
{
	(void)state;
	w.settings.ignore_empty = true;
	w.settings.reverse_others = true;
	w.settings.ttl = 30;
	assert_int_equal(dns_settings_namespace(&w.settings, "shop", NULL), 0);
	open_world();
	add(NS("hidden") SVC("web", "clusterIP: 10.3.0.1, ports: [{port: 80}]")
		    SVC("db", "clusterIP: None"));
	A("hidden.svc.cluster.local.", NXDOMAIN);
	A("web" D, NXDOMAIN);
	add(SLICE("web-1", "web", "IPv4", HTTP,
		  "{addresses: [10.0.0.1]}") "{apiVersion: v1, kind: Service, metadata: {name: x, "
					     "namespace: other}, spec: "
					     "{clusterIP: 10.3.0.9, ports: [{port: 80}]}}");
	A("web" D, "NOERROR 10.3.0.1");
	A("x.other.svc.cluster.local.", NXDOMAIN);
	PTR("1.0.3.10.in-addr.arpa.", "NOERROR web" D);
	PTR("9.0.3.10.in-addr.arpa.", "not ours");
}

static void pods(void **state)
{
	(void)state;
	w.settings.pods = DNS_PODS_INSECURE;
	open_world();
	add(NS("shop"));
	A("10-0-0-1.shop.pod.cluster.local.", "NOERROR 10.0.0.1");
	AAAA("10-0-0-1.shop.pod.cluster.local.", NODATA);
	AAAA("fd00--1.shop.pod.cluster.local.", "NOERROR fd00::1");
	A("10-0-0-256.shop.pod.cluster.local.", NXDOMAIN);
	A("10-0-0.shop.pod.cluster.local.", NXDOMAIN);
	A("10.0.0.1.shop.pod.cluster.local.", NXDOMAIN);
	A("10-0-0-1.nowhere.pod.cluster.local.", NXDOMAIN);
	A("x.10-0-0-1.shop.pod.cluster.local.", NXDOMAIN);
	A("shop.pod.cluster.local.", NODATA);
	A("nowhere.pod.cluster.local.", NXDOMAIN);
	tear_down(state);
	w.settings.pods = DNS_PODS_VERIFIED;
	open_world();
	add(NS("shop") POD("a", "10.0.0.1", "Running") POD("b", "fd00::1", "Pending")
		    POD("c", "10.0.0.1", "Running") POD("d", "10.0.0.4", "Succeeded"));
	A("10-0-0-1.shop.pod.cluster.local.", "NOERROR 10.0.0.1");
	AAAA("fd00--1.shop.pod.cluster.local.", "NOERROR fd00::1");
	A("10-0-0-2.shop.pod.cluster.local.", NXDOMAIN);
	A("10-0-0-4.shop.pod.cluster.local.", NXDOMAIN);
	gone(POD("a", "10.0.0.1", "Running"));
	A("10-0-0-1.shop.pod.cluster.local.", "NOERROR 10.0.0.1");
	add(POD("c", "10.0.0.3", "Running"));
	A("10-0-0-1.shop.pod.cluster.local.", NXDOMAIN);
	A("10-0-0-3.shop.pod.cluster.local.", "NOERROR 10.0.0.3");
	add(POD("c", "10.0.0.3", "Failed"));
	gone(POD("b", "fd00::1", "Pending") NS("shop"));
	assert_int_equal(w.table.count, 0);
}

static void zonal(void **state)
{
	(void)state;
	w.settings.zonal = true;
	open_world();
	add(SVC("db", "clusterIP: None") SVC("web", "clusterIP: 10.3.0.1, ports: [{port: 80}]")
		    SLICE("db-1", "db", "IPv4", HTTP,
			  "{addresses: [10.0.0.1], zone: East}, {addresses: [10.0.0.2], zone: "
			  "a.b}, {addresses: "
			  "[10.0.0.3]}") SVC("twin", NONE)
			    SLICE("twin-1", "twin", "IPv4", HTTP,
				  "{addresses: [10.0.0.4], hostname: h, zone: East}, "
				  "{addresses: [10.0.0.5], hostname: h, zone: west}, "
				  "{addresses: [10.0.0.6], hostname: h, zone: east}"));
	A("east.pin._zone.db" D, "NOERROR 10.0.0.1");
	A("a.b.pin._zone.db" D, "NOERROR 10.0.0.2");
	A("a.pin._zone.db" D, NODATA);
	A("ab.pin._zone.db" D, NODATA);
	A("a.b.c.pin._zone.db" D, NODATA);
	A("west.prefer._zone.db" D, "NOERROR 10.0.0.1, 10.0.0.2, 10.0.0.3");
	A("east.prefer._zone.db" D, "NOERROR 10.0.0.1");
	AAAA("east.pin._zone.db" D, NODATA);
	SRV("east.pin._zone.db" D, "NOERROR 0 100 8080 10-0-0-1.db" D ", +10.0.0.1");
	SRV("west.pin._zone.twin" D, "NOERROR 0 100 8080 h.twin" D ", +10.0.0.5");
	SRV("east.pin._zone.twin" D, "NOERROR 0 50 8080 h.twin" D ", +10.0.0.4, +10.0.0.6");
	SRV("twin" D, "NOERROR 0 33 8080 h.twin" D ", +10.0.0.4, +10.0.0.5, +10.0.0.6");
	A("east.other._zone.db" D, NXDOMAIN);
	A("pin._zone.db" D, NODATA);
	A("_zone.db" D, NODATA);
	A("east.pin._zone.web" D, NXDOMAIN);
	A("east.pin._zone.nosuch" D, NXDOMAIN);
	add(SVC("none", NONE));
	A("_zone.none" D, NXDOMAIN);
	A("east.pin._zone.none" D, NXDOMAIN);
	w.settings.zonal = false;
	A("east.pin._zone.db" D, NXDOMAIN);
}

static void external_zones(void **state)
{
	struct ipaddr ip;

	(void)state;
	assert_int_equal(dns_settings_zone(&w.settings, "example.com", true, NULL), 0);
	assert_int_equal(dns_settings_zone(&w.settings, "in-addr.arpa", true, NULL), 0);
	assert_int_equal(addr_parse("192.0.2.53", &ip), 0);
	assert_int_equal(dns_settings_local(&w.settings, &ip, NULL), 0);
	open_world();
	add(SVC("web",
		"clusterIP: 10.3.0.1, externalIPs: [192.0.2.1], ports: [{name: http, port: "
		"80}]") "{apiVersion: v1, kind: Service, metadata: {name: lb, namespace: shop}, "
			"spec: "
			"{type: LoadBalancer, clusterIP: 10.3.0.2, ports: [{name: http, port: "
			"80}]}, "
			"status: {loadBalancer: {ingress: [{hostname: "
			"lb.example.net}]}}}\n---\n" SVC("db", "clusterIP: None") SVC(
				"inner", "clusterIP: 10.3.0.3, ports: "
					 "[{port: 1}]")
				SVC("out", "type: ExternalName, externalName: www.example.com")
					SLICE("db-1", "db", "IPv4", HTTP,
					      "{addresses: [10.0.0.1], hostname: a}"));
	A("web.shop.example.com.", "NOERROR 192.0.2.1");
	AAAA("web.shop.example.com.", NODATA);
	SRV("_http._tcp.web.shop.example.com.",
	    "NOERROR 0 100 80 web.shop.example.com., +192.0.2.1");
	SRV("web.shop.example.com.", "NOERROR 0 100 80 web.shop.example.com., +192.0.2.1");
	SRV("_x._tcp.web.shop.example.com.", NXDOMAIN);
	A("_http._tcp.web.shop.example.com.", NODATA);
	A("x.web.shop.example.com.", NXDOMAIN);
	A("lb.shop.example.com.", "NOERROR lb.example.net.");
	SRV("lb.shop.example.com.", "NOERROR 0 100 80 lb.example.net.");
	A("inner.shop.example.com.", NXDOMAIN);
	A("out.shop.example.com.", NXDOMAIN);
	A("db.shop.example.com.", NXDOMAIN);
	w.settings.external_headless = true;
	A("db.shop.example.com.", "NOERROR 10.0.0.1");
	A("a.db.shop.example.com.", "NOERROR 10.0.0.1");
	SRV("_http._tcp.db.shop.example.com.",
	    "NOERROR 0 100 8080 a.db.shop.example.com., +10.0.0.1");
	A("shop.example.com.", NODATA);
	A("nowhere.example.com.", NXDOMAIN);
	TYPE("example.com.", DNS_NS, "NOERROR ns1.dns.example.com., +192.0.2.53");
	A("ns1.dns.example.com.", "NOERROR 192.0.2.53");
	A("ns.dns.example.com.", NXDOMAIN);
	PTR("1.2.0.192.in-addr.arpa.", "NOERROR web.shop.example.com.");
	PTR("1.0.0.10.in-addr.arpa.", "NOERROR a.db" D);
	PTR("1.0.3.10.in-addr.arpa.", "NOERROR web" D);
}

static void truncates(void **state)
{
	struct buf b = { 0 };
	char *yaml;

	(void)state;
	open_world();
	buf_puts(&b, SVC("db", "clusterIP: None"));
	buf_puts(&b,
		 "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: db-1, "
		 "namespace: shop, labels: {kubernetes.io/service-name: db}}, addressType: IPv4, "
		 "ports: [" HTTP "], endpoints: [");
	for (int i = 0; i < 100; i++)
		buf_printf(&b, "%s{addresses: [10.0.0.%d]}", i ? ", " : "", i);
	buf_puts(&b, "]}\n");
	yaml = b.v;
	add(yaml);
	w.room = DNS_UDP_MIN;
	ask("db" D, DNS_A);
	assert_true(w.n <= DNS_UDP_MIN && w.n > DNS_UDP_MIN - 16);
	assert_true(w.wire[2] & 2);
	ask("_http._tcp.db" D, DNS_SRV);
	assert_true(w.n <= DNS_UDP_MIN && w.wire[2] & 2);
	w.room = 0;
	ask("_http._tcp.db" D, DNS_SRV);
	assert_false(w.wire[2] & 2);
	assert_int_equal(w.wire[7], 100);
	assert_int_equal(w.wire[11], 100);
	/* Without room for it additional data is left out, silently. */
	w.room = 6000;
	ask("_http._tcp.db" D, DNS_SRV);
	assert_false(w.wire[2] & 2);
	assert_true(w.wire[11] < 100);
	buf_fini(&b);
}

/* Objects come and go at random; what is answered is what a table says that was made of the last state alone. */
static void changes(void **state)
{
	static const char *const ports[] = { "{name: http, port: 80}", "{name: web, port: 80}",
					     "" };
	static char now[6][512], answers[16][2048];
	static struct manifest m[4000];
	unsigned rnd = 3, n = 0;

	(void)state;
	for (int round = 0; round < 20; round++) {
		open_world();
		for (int i = 0; i < 100; i++) {
			char text[512];
			unsigned which, svc, ip;
			struct err e;

			rnd = rnd * 1664525 + 1013904223;
			which = rnd >> 8 & 7;
			if (which > 5)
				continue;
			svc = rnd >> 12 & 1;
			ip = rnd >> 14 & 3;
			if (which < 2)
				snprintf(text, sizeof(text),
					 "{apiVersion: v1, kind: Service, metadata: {name: s%u, "
					 "namespace: shop}, spec: {clusterIP: %s, ports: [%s]}}",
					 which,
					 rnd >> 16 & 1 ? "None"
					 : which       ? "10.3.0.1"
						       : "10.3.0.2",
					 ports[rnd >> 18 & 1]);
			else
				snprintf(text, sizeof(text),
					 SLICE("x%u", "s%u", "IPv4", "%s",
					       "{addresses: [10.0.0.%u], hostname: h%u}, "
					       "{addresses: [10.0.0.%u]}"),
					 which, svc, ports[(rnd >> 18) % 3], ip, rnd >> 20 & 1,
					 rnd >> 22 & 3);
			memset(&m[n], 0, sizeof(m[n]));
			manifest_parse(&m[n], "test", text, strlen(text));
			assert_int_equal(m[n].n_items, 1);
			assert_int_equal(dns_world_put(&w, m[n].items[0].obj, rnd >> 28 < 11, &e),
					 0);
			snprintf(now[which], sizeof(now[which]), "%s", rnd >> 28 < 11 ? text : "");
			n++;
			if (rnd >> 24 & 1)
				assert_int_equal(dns_zone_commit(w.zone, UINT_MAX, &e), 0);
		}
		assert_int_equal(dns_zone_commit(w.zone, UINT_MAX, NULL), 0);
		for (int pass = 0; pass < 2; pass++) {
			for (unsigned q = 0; q < 16; q++) {
				char name[64];
				uint16_t type = q < 4 ? DNS_PTR : q < 10 ? DNS_A : DNS_SRV;
				const char *got;

				snprintf(name, sizeof(name),
					 q < 4    ? "%u.0.0.10.in-addr.arpa."
					 : q < 6  ? "s%u" D
					 : q < 8  ? "h1.s%u" D
					 : q < 10 ? "10-0-0-1.s%u" D
					 : q < 12 ? "_http._tcp.s%u" D
					 : q < 14 ? "s%u" D
						  : "_web._tcp.s%u" D,
					 q < 4 ? q : q % 2);
				got = ask(name, type);
				if (!pass)
					snprintf(answers[q], sizeof(answers[q]), "%s", got);
				else
					assert_string_equal(got, answers[q]);
			}
			if (pass)
				break;
			dns_world_close(&w);
			open_world();
			for (int i = 5; i >= 0; i--)
				if (now[i][0])
					add(now[i]);
		}
		tear_down(state);
		memset(now, 0, sizeof(now));
	}
	while (n)
		manifest_fini(&m[--n]);
	open_world();
}

/* What does not fit is an error, what is there stays, and what failed is done once there is room. */
static void full(void **state)
{
	struct buf b = { 0 };
	struct err e;
	struct manifest *m = &held[n_held++];

	(void)state;
	dns_world_open(&w, DNS_TABLE_MIN);
	dns_zone_synced(w.zone, 1);
	add(SVC("web", "clusterIP: 10.3.0.1, ports: [{port: 80}]")
		    SVC("big", "clusterIP: None, ports: [{name: http, port: 80}]"));
	buf_puts(&b, "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: x, "
		     "namespace: "
		     "shop, labels: {kubernetes.io/service-name: big}}, addressType: IPv4, "
		     "endpoints: [");
	for (int i = 0; i < 1000; i++)
		buf_printf(&b, "%s{addresses: [10.0.%d.%d]}", i ? ", " : "", i / 250, i % 250);
	buf_puts(&b, "]}\n");
	memset(m, 0, sizeof(*m));
	manifest_parse(m, "test", b.v, b.n);
	assert_int_equal(m->n_items, 1);
	assert_int_equal(dns_world_put(&w, m->items[0].obj, true, &e), 0);
	assert_int_equal(dns_zone_commit(w.zone, UINT_MAX, &e), -ENOSPC);
	assert_non_null(strstr(e.text, "Service shop/big"));
	assert_int_equal(dns_zone_commit(w.zone, UINT_MAX, &e), -ENOSPC);
	A("web" D, "NOERROR 10.3.0.1");
	A("big" D, NXDOMAIN);
	add(SLICE("x", "big", "IPv4", "", "{addresses: [10.0.0.7]}"));
	A("big" D, "NOERROR 10.0.0.7");
	PTR("7.0.0.10.in-addr.arpa.", "NOERROR 10-0-0-7.big" D);
	PTR("8.0.0.10.in-addr.arpa.", NXDOMAIN);
	buf_fini(&b);
}

/* Into a larger table when one is full, where everything is again, and what did not fit; a few Services at a time, the oldest change first. */
static void moves(void **state)
{
	_Alignas(64) static uint8_t readers[DNS_READERS_SIZE];
	static char names[400][16];
	static struct service services[400];
	static char small[DNS_TABLE_MIN] __attribute__((aligned(64)));
	struct dns_table t;
	unsigned n = 0;
	struct err e;
	int r = 0;

	(void)state;
	w.settings.pods = DNS_PODS_VERIFIED;
	dns_world_open(&w, 8UL << 20);
	dns_zone_free(w.zone);
	assert_int_equal(dns_table_init(&t, small, sizeof(small), readers, NULL, NULL, &e), 0);
	w.zone = dns_zone_new(&t, &w.settings);
	assert_int_equal(dns_zone_namespace(w.zone, "empty", true, &e), 0);
	assert_int_equal(
		dns_zone_pod(w.zone, "shop", "p",
			     &(struct pod){ .status.podIP = { .family = 2, .b = { 10, 4, 0, 1 } } },
			     &e),
		0);
	for (; !r; n++) {
		assert_true(n < 400);
		snprintf(names[n], sizeof(names[n]), "s%u", n);
		services[n].spec.clusterIP = "10.3.0.1";
		assert_int_equal(dns_zone_service(w.zone, "shop", names[n], &services[n], &e), 0);
		r = dns_zone_commit(w.zone, UINT_MAX, &e);
	}
	assert_int_equal(r, -ENOSPC);
	assert_int_equal(dns_zone_move(w.zone, &w.table, &e), 0);
	dns_zone_synced(w.zone, 1);
	assert_int_equal(dns_zone_commit(w.zone, 2, &e), 0);
	assert_false(dns_zone_is_written(w.zone));
	A("s1" D, NXDOMAIN);
	assert_int_equal(dns_zone_commit(w.zone, UINT_MAX, &e), 0);
	assert_true(dns_zone_is_written(w.zone));
	for (unsigned i = 0; i < n; i++) {
		char name[64];

		snprintf(name, sizeof(name), "s%u" D, i);
		A(name, "NOERROR 10.3.0.1");
	}
	A("empty.svc.cluster.local.", "NOERROR; SOA");
	A("10-4-0-1.shop.pod.cluster.local.", "NOERROR 10.4.0.1");
	A("10-4-0-2.shop.pod.cluster.local.", NXDOMAIN);
	dns_table_fini(&t);
}

/* 10 000 Services with ten endpoints each stay below 32 MiB, and so do they when each changed. */
static void large(void **state)
{
	static char names[10000][16], ips[10000][10][16];
	static const char *at[10000][10];
	static struct slice_endpoint eps[10000][10];
	static struct endpoint_slice slices[10000];
	static struct strmap_entry label[10000];
	static struct service services[10000];

	(void)state;
	dns_world_open(&w, 32UL << 20);
	dns_zone_synced(w.zone, 1);
	for (int round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 10000; i++) {
			snprintf(names[i], sizeof(names[i]), "service-%u", i);
			services[i].spec.clusterIP = CLUSTER_IP_NONE;
			label[i] = (struct strmap_entry){ LABEL_SERVICE_NAME, names[i] };
			slices[i].meta.labels.v = &label[i];
			slices[i].meta.labels.n = 1;
			slices[i].endpoints.v = eps[i];
			slices[i].endpoints.n = 10;
			for (unsigned k = 0; k < 10; k++) {
				snprintf(ips[i][k], sizeof(ips[i][k]), "10.%u.%u.%u", i / 1000,
					 i % 1000 / 4, i % 4 * 10 + k + (round ? 100 : 0));
				at[i][k] = ips[i][k];
				eps[i][k].addresses.v = &at[i][k];
				eps[i][k].addresses.n = 1;
			}
			assert_int_equal(
				dns_zone_service(w.zone, "shop", names[i], &services[i], NULL), 0);
			assert_int_equal(dns_zone_slice(w.zone, "shop", names[i], &slices[i], NULL),
					 0);
			assert_int_equal(round ? dns_zone_commit(w.zone, UINT_MAX, NULL) : 0, 0);
		}
		assert_int_equal(dns_zone_commit(w.zone, UINT_MAX, NULL), 0);
	}
	assert_int_equal(w.table.count, 1 + 10000 + 100000);
	A("10-0-19-133.service-79" D, "NOERROR 10.0.19.133");
	A("10-0-19-33.service-79" D, NXDOMAIN);
	PTR("133.19.0.10.in-addr.arpa.", "NOERROR 10-0-19-133.service-79" D);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(cluster_ips), T(headless), T(external_names), T(apex),           T(not_synced),
		T(options),     T(pods),     T(zonal),          T(external_zones), T(truncates),
		T(changes),     T(full),     T(moves),          T(large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
