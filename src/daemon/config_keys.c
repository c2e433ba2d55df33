// SPDX-License-Identifier: Apache-2.0
/* The keys of fairleadd.conf: one table maps a key to the function that judges its value; the
 * printer below it is their inverse. */
#include "daemon/config_keys.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LIST_MAX 256
#define RUN_MAX  80 /* leaves room for "/NAME.sock" in sun_path */

static const char *const level_names[] = {
	[LOG_ERROR] = "error", [LOG_WARN] = "warn", [LOG_INFO] = "info", [LOG_DEBUG] = "debug"
};

/* ---- judging values; `text` is NUL-terminated, trimmed and not empty */

int config_keep(struct config *c, const char **slot, const char *text, struct err *e)
{
	const char *copy = arena_strdup(&c->arena, text);

	if (!copy)
		return config_nomem(e);
	*slot = copy;
	return 0;
}

void *config_list_add(struct config *c, struct list_any *l, size_t size, struct err *e)
{
	char *v;

	if (l->n >= LIST_MAX) {
		err_set(e, -E2BIG, "more than %d of them", LIST_MAX);
		return NULL;
	}
	v = arena_array(&c->arena, l->n + 1, size);
	if (!v) {
		config_nomem(e);
		return NULL;
	}
	if (l->n)
		memcpy(v, l->v, l->n * size);
	l->v = v;
	return v + size * l->n++;
}

bool config_is_dns_name(const char *s)
{
	size_t label = 0, i;

	for (i = 0; s[i]; i++) {
		bool alnum = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9');

		if (s[i] == '.' || s[i] == '-') {
			if (label == 0 || (s[i] == '.' && s[i - 1] == '-'))
				return false;
			label = s[i] == '.' ? 0 : label + 1;
		} else if (!alnum || ++label > 63) {
			return false;
		}
	}
	return i > 0 && i <= 253 && label > 0 && s[i - 1] != '-';
}

static int set_node(struct config *c, const char *text, struct err *e)
{
	if (!config_is_dns_name(text))
		return err_set(e, -EINVAL, "\"%s\" is no name of a Node (RFC 1123 subdomain)",
			       text);
	return config_keep(c, &c->node, text, e);
}

static int set_store(struct config *c, const char *text, struct err *e)
{
	if (strncmp(text, "dir:/", 5) != 0)
		return err_set(e, -EINVAL, "\"%s\" is no store; known is dir:/PATH", text);
	return config_keep(c, &c->store, text, e);
}

static int set_path(struct config *c, const char **slot, const char *text, size_t max,
		    struct err *e)
{
	if (text[0] != '/')
		return err_set(e, -EINVAL, "\"%s\" is no absolute path", text);
	if (strlen(text) > max)
		return err_set(e, -EINVAL, "path is longer than %zu bytes", max);
	return config_keep(c, slot, text, e);
}

static int set_run_dir(struct config *c, const char *text, struct err *e)
{
	return set_path(c, &c->run_dir, text, RUN_MAX, e);
}

static int set_state_dir(struct config *c, const char *text, struct err *e)
{
	return set_path(c, &c->state_dir, text, CONFIG_VALUE_MAX, e);
}

static int set_libexec_dir(struct config *c, const char *text, struct err *e)
{
	return set_path(c, &c->libexec_dir, text, CONFIG_VALUE_MAX, e);
}

static int set_user(struct config *c, const char *text, struct err *e)
{
	if (strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") !=
		    strlen(text) ||
	    text[0] == '-' || strlen(text) > 32)
		return err_set(e, -EINVAL, "\"%s\" is no name of a user", text);
	return config_keep(c, &c->user, text, e);
}

static int set_uplink(struct config *c, const char *text, struct err *e)
{
	if (strlen(text) > 15 || strpbrk(text, "/: \t"))
		return err_set(e, -EINVAL, "\"%s\" is no name of an interface", text);
	return config_keep(c, &c->uplink, text, e);
}

static int set_cluster_domain(struct config *c, const char *text, struct err *e)
{
	if (!config_is_dns_name(text))
		return err_set(e, -EINVAL, "\"%s\" is no domain name", text);
	return config_keep(c, &c->cluster_domain, text, e);
}

static bool role_known(const char *name)
{
	for (size_t i = 0; i < CONFIG_ROLES; i++)
		if (strcmp(config_roles[i].name, name) == 0)
			return true;
	return false;
}

int config_add_role(struct config *c, const char *name, struct err *e)
{
	const char **slot;

	if (!role_known(name))
		return err_set(
			e, -EINVAL,
			"\"%s\" is no role; known are agent, bgp, dns, watch, health, controller",
			name);
	if (config_has_role(c, name))
		return 0;
	slot = CONFIG_LIST_ADD(c, c->roles, e);
	if (!slot)
		return e ? e->code : -ENOMEM;
	return config_keep(c, slot, name, e);
}

static int set_roles(struct config *c, const char *text, struct err *e)
{
	char copy[256], *save, *word;
	int rc = 0;

	if (strlen(text) >= sizeof(copy))
		return err_set(e, -EINVAL, "too long");
	memcpy(copy, text, strlen(text) + 1);
	c->roles.v = NULL;
	c->roles.n = 0;
	for (word = strtok_r(copy, " \t,", &save); word && !rc;
	     word = strtok_r(NULL, " \t,", &save))
		rc = config_add_role(c, word, e);
	if (!rc && c->roles.n == 0)
		rc = err_set(e, -EINVAL, "no role is named");
	return rc;
}

static int add_node_ip(struct config *c, const char *text, struct err *e)
{
	struct ipaddr a, *slot;

	if (addr_parse(text, &a))
		return err_set(e, -EINVAL, "\"%s\" is no IP address", text);
	slot = CONFIG_LIST_ADD(c, c->node_ips, e);
	if (!slot)
		return e ? e->code : -ENOMEM;
	*slot = a;
	return 0;
}

static int read_cidr(const char *text, struct prefix *out, struct err *e)
{
	struct prefix p, masked;

	if (prefix_parse(text, &p))
		return err_set(e, -EINVAL, "\"%s\" is no CIDR", text);
	masked = prefix_mask(&p);
	if (!prefix_eq(&p, &masked))
		return err_set(e, -EINVAL, "%s has bits set behind its length", text);
	*out = p;
	return 0;
}

static int add_service_cidr(struct config *c, const char *text, struct err *e)
{
	struct prefix p, *slot;

	if (read_cidr(text, &p, e))
		return -EINVAL;
	slot = CONFIG_LIST_ADD(c, c->service_cidrs, e);
	if (!slot)
		return e ? e->code : -ENOMEM;
	*slot = p;
	return 0;
}

static int add_node_port_addresses(struct config *c, const char *text, struct err *e)
{
	struct prefix p, *slot;

	if (read_cidr(text, &p, e))
		return -EINVAL;
	slot = CONFIG_LIST_ADD(c, c->node_port_addresses, e);
	if (!slot)
		return e ? e->code : -ENOMEM;
	*slot = p;
	return 0;
}

static int set_switch(bool *to, const char *text, struct err *e)
{
	if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
		return err_set(e, -EINVAL, "\"%s\" is neither yes nor no", text);
	*to = *text == 'y';
	return 0;
}

static int set_localhost_node_ports(struct config *c, const char *text, struct err *e)
{
	return set_switch(&c->localhost_node_ports, text, e);
}

static int set_masquerade_all(struct config *c, const char *text, struct err *e)
{
	return set_switch(&c->masquerade_all, text, e);
}

static int set_policy_on_change(struct config *c, const char *text, struct err *e)
{
	if (strcmp(text, "enforce") != 0 && strcmp(text, "grandfather") != 0)
		return err_set(e, -EINVAL, "\"%s\" is neither enforce nor grandfather", text);
	c->policy_grandfather = *text == 'g';
	return 0;
}

/* A port at s, ending at `end`; 0 is not one. */
static int parse_port(const char *s, char end, uint16_t *port, const char **rest)
{
	unsigned long v = 0;
	size_t n;

	for (n = 0; s[n] >= '0' && s[n] <= '9' && n < 6; n++)
		v = v * 10 + (unsigned long)(s[n] - '0');
	if (n == 0 || s[0] == '0' || v > 65535 || s[n] != end)
		return -EINVAL;
	*port = (uint16_t)v;
	if (rest)
		*rest = s + n;
	return 0;
}

/* "PORT" or "PORT-PORT". */
static int parse_ports(const char *s, uint16_t *from, uint16_t *to)
{
	const char *rest;

	if (parse_port(s, '\0', from, NULL) == 0) {
		*to = *from;
		return 0;
	}
	if (parse_port(s, '-', from, &rest) || parse_port(rest + 1, '\0', to, NULL))
		return -EINVAL;
	return *from <= *to ? 0 : -EINVAL;
}

static int set_node_port_range(struct config *c, const char *text, struct err *e)
{
	if (parse_ports(text, &c->node_port_first, &c->node_port_last))
		return err_set(e, -EINVAL, "\"%s\" is no FROM-TO of ports", text);
	return 0;
}

static int add_bind(struct config *c, const char *text, struct err *e)
{
	static const char *const protos[] = { "tcp", "udp" };
	char proto[8], addr[64], ports[16], more;
	struct bind_rule b = { 0 }, *slot;

	if (strcmp(text, "none") == 0) {
		c->binds.v = arena_array(&c->arena, 0, sizeof(*c->binds.v));
		c->binds.n = 0;
		return c->binds.v ? 0 : config_nomem(e);
	}
	if (sscanf(text, "%7s %63s %15s %c", proto, addr, ports, &more) != 3)
		return err_set(e, -EINVAL, "is `bind PROTO ADDR PORT`, or `bind none`");
	for (size_t i = 0; i < 2; i++)
		if (strcmp(proto, protos[i]) == 0)
			b.proto = protos[i];
	if (!b.proto)
		return err_set(e, -EINVAL, "\"%s\" is no protocol; known are tcp, udp", proto);
	if (strcmp(addr, "*") != 0 && addr_parse(addr, &b.addr))
		return err_set(e, -EINVAL, "\"%s\" is no IP address, nor *", addr);
	if (parse_ports(ports, &b.port, &b.port_end))
		return err_set(e, -EINVAL, "\"%s\" is no port (1-65535), nor a range of them",
			       ports);
	slot = CONFIG_LIST_ADD(c, c->binds, e);
	if (!slot)
		return e ? e->code : -ENOMEM;
	*slot = b;
	return 0;
}

int config_set_listen(struct listen *l, const char *text, struct err *e)
{
	const char *colon = strrchr(text, ':');
	char host[ADDR_TEXT + 2];
	struct ipaddr a = { 0 };
	uint16_t port = 0;
	size_t n;

	if (strcmp(text, "off") == 0) {
		*l = (struct listen){ 0 };
		return 0;
	}
	n = colon ? (size_t)(colon - text) : 0;
	if (!colon || n >= sizeof(host) || parse_port(colon + 1, '\0', &port, NULL))
		return err_set(e, -EINVAL, "\"%s\" is no ADDR:PORT, [ADDR]:PORT, *:PORT nor off",
			       text);
	memcpy(host, text, n);
	host[n] = '\0';
	if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
		host[n - 1] = '\0';
		if (addr_parse(host + 1, &a) || addr_bits(&a) != 128)
			return err_set(e, -EINVAL, "\"%s\" is no IPv6 address", host + 1);
	} else if (strcmp(host, "*") != 0 && (addr_parse(host, &a) || addr_bits(&a) != 32)) {
		return err_set(e, -EINVAL, "\"%s\" is no IPv4 address, [IPv6 address] nor *", host);
	}
	*l = (struct listen){ a, port };
	return 0;
}

static int set_health_address(struct config *c, const char *text, struct err *e)
{
	return config_set_listen(&c->health, text, e);
}

static int set_proxy_health_address(struct config *c, const char *text, struct err *e)
{
	return config_set_listen(&c->proxy_health, text, e);
}

static int set_log_level(struct config *c, const char *text, struct err *e)
{
	int level = log_level_parse(text);

	if (level < 0)
		return err_set(e, -EINVAL, "\"%s\" is none of error, warn, info, debug", text);
	c->log_level = (enum log_level)level;
	return 0;
}

uint32_t config_number(const char *text)
{
	uint32_t v = 0;
	size_t n = strspn(text, "0123456789");

	for (size_t i = 0; i < n && n <= 7; i++)
		v = v * 10 + (uint32_t)(text[i] - '0');
	return n <= 7 && !text[n] ? v : 0;
}

static int set_seconds(uint32_t *slot, const char *text, struct err *e)
{
	uint32_t v = config_number(text);

	if (!v)
		return err_set(e, -EINVAL, "\"%s\" is no number of seconds (1-9999999)", text);
	*slot = v;
	return 0;
}

static int set_leak_grace(struct config *c, const char *text, struct err *e)
{
	return set_seconds(&c->leak_grace, text, e);
}

static int set_reclaim_grace(struct config *c, const char *text, struct err *e)
{
	return set_seconds(&c->reclaim_grace, text, e);
}

static int set_pod_wait(struct config *c, const char *text, struct err *e)
{
	return set_seconds(&c->pod_wait, text, e);
}

static int set_policy_log(struct config *c, const char *text, struct err *e)
{
	uint32_t v = config_number(text);

	if ((!v || v > 10000) && strcmp(text, "off") != 0)
		return err_set(e, -EINVAL,
			       "\"%s\" is no number of lines a second (1-10000), nor off", text);
	c->policy_log = v;
	return 0;
}

/* ---- printing values */

static void print_str(struct buf *out, const char *key, const char *value)
{
	if (value)
		buf_printf(out, "%s %s\n", key, value);
}

static void print_roles(const struct config *c, struct buf *out)
{
	if (!c->roles.n)
		return;
	buf_puts(out, "roles");
	for (uint32_t i = 0; i < c->roles.n; i++)
		buf_printf(out, " %s", c->roles.v[i]);
	buf_puts(out, "\n");
}

static void print_binds(const struct config *c, struct buf *out)
{
	char text[ADDR_TEXT];

	if (c->binds.v && !c->binds.n)
		buf_puts(out, "bind none\n");
	for (uint32_t i = 0; i < c->binds.n; i++) {
		const struct bind_rule *b = &c->binds.v[i];

		buf_printf(out, "bind %s %s %u", b->proto,
			   b->addr.family ? addr_str(&b->addr, text) : "*", b->port);
		if (b->port_end != b->port)
			buf_printf(out, "-%u", b->port_end);
		buf_puts(out, "\n");
	}
}

void config_print_listen(const char *key, const struct listen *l, struct buf *out)
{
	char text[ADDR_TEXT];

	if (!l->port)
		buf_printf(out, "%s off\n", key);
	else if (!l->addr.family)
		buf_printf(out, "%s *:%u\n", key, l->port);
	else
		buf_printf(out, addr_bits(&l->addr) == 128 ? "%s [%s]:%u\n" : "%s %s:%u\n", key,
			   addr_str(&l->addr, text), l->port);
}

void config_print(const struct config *c, struct buf *out)
{
	char text[PREFIX_TEXT];

	print_str(out, "node", c->node);
	print_str(out, "store", c->store);
	print_str(out, "run-dir", c->run_dir);
	print_str(out, "state-dir", c->state_dir);
	print_str(out, "libexec-dir", c->libexec_dir);
	print_str(out, "user", c->user);
	print_str(out, "uplink", c->uplink);
	print_str(out, "cluster-domain", c->cluster_domain);
	print_str(out, "log-level", level_names[c->log_level]);
	buf_printf(out, "leak-grace %u\nreclaim-grace %u\npod-wait %u\n", c->leak_grace,
		   c->reclaim_grace, c->pod_wait);
	if (c->policy_log)
		buf_printf(out, "policy-log %u\n", c->policy_log);
	else
		print_str(out, "policy-log", "off");
	print_roles(c, out);
	for (uint32_t i = 0; i < c->node_ips.n; i++)
		print_str(out, "node-ip", addr_str(&c->node_ips.v[i], text));
	for (uint32_t i = 0; i < c->service_cidrs.n; i++)
		print_str(out, "service-cidr", prefix_str(&c->service_cidrs.v[i], text));
	buf_printf(out, "node-port-range %u-%u\n", c->node_port_first, c->node_port_last);
	for (uint32_t i = 0; i < c->node_port_addresses.n; i++)
		print_str(out, "node-port-addresses",
			  prefix_str(&c->node_port_addresses.v[i], text));
	if (c->localhost_node_ports)
		print_str(out, "localhost-node-ports", "yes");
	if (c->masquerade_all)
		print_str(out, "masquerade-all", "yes");
	if (c->policy_grandfather)
		print_str(out, "policy-on-change", "grandfather");
	print_binds(c, out);
	config_print_listen("health-address", &c->health, out);
	config_print_listen("proxy-health-address", &c->proxy_health, out);
	config_dns_print(c, out);
}

/* ---- keys */

const struct config_key config_keys[CONFIG_KEYS] = {
	{ "node", set_node, false },
	{ "store", set_store, false },
	{ "run-dir", set_run_dir, false },
	{ "state-dir", set_state_dir, false },
	{ "libexec-dir", set_libexec_dir, false },
	{ "user", set_user, false },
	{ "uplink", set_uplink, false },
	{ "cluster-domain", set_cluster_domain, false },
	{ "log-level", set_log_level, false },
	{ "leak-grace", set_leak_grace, false },
	{ "reclaim-grace", set_reclaim_grace, false },
	{ "pod-wait", set_pod_wait, false },
	{ "policy-log", set_policy_log, false },
	{ "roles", set_roles, false },
	{ "node-ip", add_node_ip, true },
	{ "service-cidr", add_service_cidr, true },
	{ "node-port-range", set_node_port_range, false },
	{ "node-port-addresses", add_node_port_addresses, true },
	{ "localhost-node-ports", set_localhost_node_ports, false },
	{ "masquerade-all", set_masquerade_all, false },
	{ "policy-on-change", set_policy_on_change, false },
	{ "bind", add_bind, true },
	{ "health-address", set_health_address, false },
	{ "proxy-health-address", set_proxy_health_address, false },
	{ "dns-listen", config_dns_listen, true },
	{ "dns-upstream", config_dns_upstream, true },
	{ "dns-hosts", config_dns_hosts, false },
	{ "dns-zone", config_dns_zone, true },
	{ "dns-external-zone", config_dns_external_zone, true },
	{ "dns-ttl", config_dns_ttl, false },
	{ "dns-cache", config_dns_cache, false },
	{ "dns-workers", config_dns_workers, false },
	{ "dns-pods", config_dns_pods, false },
	{ "dns-log", config_dns_log, false },
};
