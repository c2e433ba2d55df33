/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration of one node, as the keeper and every role read it: lines of `key value`,
 * described in fairleadd.conf(5). Pure but for config_load(): config_parse() is fuzzed.
 *
 * The keeper reads the administrator's file, applies its flags, and writes the result to
 * RUN/fairleadd.conf; roles read that one, so that all processes of a node agree whatever is
 * edited meanwhile. Needs nothing but libc, as the keeper may link nothing else. */
#pragma once
#include "base/addr.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "model/schema.h"

#define CONFIG_PATH "/etc/fairlead/fairleadd.conf"
#define CONFIG_MAX  (1u << 20)

/* What a role may ask the keeper to bind. */
struct bind_rule {
	const char *proto;       /* "tcp" or "udp" */
	struct ipaddr addr;      /* family 0: any address of either family */
	uint16_t port, port_end; /* host order, inclusive range */
};

struct listen {
	struct ipaddr addr; /* family 0: any */
	uint16_t port;      /* host order; 0: off */
};

struct config_servers {
	const struct listen *v;
	uint32_t n;
};

struct config_names {
	const char *const *v;
	uint32_t n;
};

#define CONFIG_DNS_WORKERS 32 /* threads, so that their sockets are within what the keeper holds */

enum config_dns_pods {
	CONFIG_DNS_VERIFIED, /* a-b-c-d.NS.pod exists where a pod has the address */
	CONFIG_DNS_INSECURE, /* wherever it is an address */
	CONFIG_DNS_DISABLED
};

enum config_dns_log { CONFIG_DNS_LOG_ERRORS, CONFIG_DNS_LOG_OFF, CONFIG_DNS_LOG_ALL };

struct config_dns {
	struct config_servers listen;
	struct config_servers upstreams;
	bool no_upstreams;       /* what the cluster does not know is refused */
	const char *resolv_conf; /* NULL: /etc/resolv.conf where nothing else is given */
	const char *hosts;       /* NULL: none */
	struct config_names zones, external_zones;
	uint32_t ttl;       /* seconds */
	uint32_t cache_mib; /* 0: none */
	uint32_t workers;   /* 0: as many as processors */
	uint8_t pods, log;  /* enum config_dns_pods, config_dns_log */
};

struct config {
	struct arena arena;  /* owns all pointers below */
	const char *node;    /* name of this Node; NULL: the host's name, see config_finish() */
	const char *store;   /* "dir:/path"; NULL: none */
	const char *run_dir; /* cni.sock, ctl.sock, ROLE.pid */
	const char *state_dir;
	const char *libexec_dir; /* NULL: beside the program */
	const char *user;        /* of the unprivileged roles; NULL: fairlead, else nobody */
	const char *uplink;      /* NULL: found */
	const char *cluster_domain;
	LIST(const char *) roles;
	LIST(struct ipaddr) node_ips;
	LIST(struct prefix) service_cidrs;
	uint16_t node_port_first, node_port_last; /* node-port-range */
	LIST(struct prefix) node_port_addresses;  /* none: all of the node's */
	bool localhost_node_ports, masquerade_all;
	bool policy_grandfather; /* policy-on-change, where a NetworkPolicy does not say */
	LIST(struct bind_rule) binds;
	struct listen health, proxy_health;
	enum log_level log_level;
	/* Seconds between two looks that must not find a thing before it is given up: a container of
	 * this node; a Node. */
	uint32_t leak_grace, reclaim_grace;
	uint32_t pod_wait;   /* seconds that ADD waits for its Pod to arrive */
	uint32_t policy_log; /* lines a second about denied packets; 0: off */
	struct config_dns dns;
};

/* Sets the defaults, then the text's keys. Errors say "NAME:LINE: …"; on failure `c` holds
 * nothing that needs config_fini(). */
int config_parse(struct config *c, const char *name, const char *text, size_t n, struct err *e);
int config_load(struct config *c, const char *path, struct err *e);

/* One key over what is there, for flags: `where` names it in errors ("--node"). */
int config_set(struct config *c, const char *where, const char *key, const char *value,
	       struct err *e);

/* After the last config_set(): adds what a role implies (agent → watch), the host's name where
 * no node is given, and checks what only the whole can tell (watch needs a store). */
int config_finish(struct config *c, const char *hostname, struct err *e);

/* Text that config_parse() reads back to the same configuration. */
void config_print(const struct config *c, struct buf *out);

bool config_has_role(const struct config *c, const char *role);
/* May roles bind this (port in host order)? */
bool config_allows_bind(const struct config *c, const char *proto, const struct ipaddr *addr,
			uint16_t port);
/* Where the node answers DNS for its pods, addresses that role agent brings it: those of dns-listen with DNS' port that are neither
 * its own, so far as the configuration knows, nor bound to a link. None without both roles. At most CONFIG_DNS_SERVED. */
#define CONFIG_DNS_SERVED 8
uint32_t config_dns_served(const struct config *c, struct ipaddr *out);
void config_fini(struct config *c);
