// SPDX-License-Identifier: Apache-2.0
/* config: see config.h and fairleadd.conf(5). What a value may be is in config_keys.c; here is
 * how lines become keys, and what only the whole can tell. */
#include "daemon/config_keys.h"
#include "sys/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct config_role config_roles[CONFIG_ROLES] = {
	{ "watch", NULL, false }, { "agent", "watch", false },      { "bgp", "watch", true },
	{ "dns", "watch", true }, { "controller", "watch", false }, { "health", NULL, false },
};

/* BGP, BFD (RFC 5881, 5883), DNS, ingress, and healthCheckNodePort. */
static const struct bind_rule default_binds[] = {
	{ .proto = "tcp", .port = 179, .port_end = 179 },
	{ .proto = "udp", .port = 3784, .port_end = 3784 },
	{ .proto = "udp", .port = 4784, .port_end = 4784 },
	{ .proto = "udp", .port = 53, .port_end = 53 },
	{ .proto = "tcp", .port = 53, .port_end = 53 },
	{ .proto = "tcp", .port = 80, .port_end = 80 },
	{ .proto = "tcp", .port = 443, .port_end = 443 },
	{ .proto = "tcp" }, /* node-port-range */
};

int config_nomem(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory");
}

/* NULL and e when there is no such key. */
static const struct config_key *key_find(const char *key, struct err *e)
{
	for (size_t i = 0; i < CONFIG_KEYS; i++)
		if (strcmp(config_keys[i].key, key) == 0)
			return &config_keys[i];
	err_set(e, -EINVAL, "unknown key \"%s\"", key);
	return NULL;
}

static int key_set(struct config *c, const struct config_key *k, const char *value, struct err *e)
{
	int rc;

	if (!*value)
		return err_set(e, -EINVAL, "%s has no value", k->key);
	rc = k->set(c, value, e);
	return rc ? err_wrap(e, "%s", k->key) : 0;
}

int config_set(struct config *c, const char *where, const char *key, const char *value,
	       struct err *e)
{
	const struct config_key *k = key_find(key, e);

	if (!k || key_set(c, k, value, e))
		return err_wrap(e, "%s", where);
	return 0;
}

/* ---- the whole */

static int set_defaults(struct config *c, struct err *e)
{
	*c = (struct config){ .log_level = LOG_INFO,
			      .health = { addr_v4(0x7f000001), 9099 },
			      .proxy_health = { .port = 10256 },
			      .leak_grace = 60,
			      .pod_wait = 1,
			      .reclaim_grace = 300,
			      .policy_log = 10,
			      .dns = { .ttl = 5, .cache_mib = 16 },
			      .node_port_first = 30000,
			      .node_port_last = 32767 };
	arena_init(&c->arena, 8u * CONFIG_MAX);
	c->run_dir = arena_strdup(&c->arena, "/run/fairlead");
	c->state_dir = arena_strdup(&c->arena, "/var/lib/fairlead");
	c->cluster_domain = arena_strdup(&c->arena, "cluster.local");
	return c->arena.failed ? config_nomem(e) : 0;
}

/* Cuts `line` at its comment and white space; returns the key, and the value after it. */
static char *split_line(char *line, char **value)
{
	char *end = line + strlen(line);

	for (char *p = line; *p; p++)
		if (*p == '#' && (p == line || p[-1] == ' ' || p[-1] == '\t')) {
			*p = '\0';
			end = p;
			break;
		}
	while (end > line && strchr(" \t\r", end[-1]))
		*--end = '\0';
	line += strspn(line, " \t");
	*value = line + strcspn(line, " \t");
	if (**value) {
		*(*value)++ = '\0';
		*value += strspn(*value, " \t");
	}
	return line;
}

static int parse_line(struct config *c, char *line, uint64_t *seen, struct err *e)
{
	const struct config_key *k;
	char *key, *value;
	uint64_t bit;

	for (const char *p = line; *p; p++)
		if ((unsigned char)*p < ' ' && *p != '\t' && !(*p == '\r' && !p[1]))
			return err_set(e, -EINVAL, "control character 0x%02x", *p);
	key = split_line(line, &value);
	if (!*key)
		return 0;
	k = key_find(key, e);
	if (!k)
		return -EINVAL;
	bit = UINT64_C(1) << (k - config_keys);
	if (!k->repeatable && *seen & bit)
		return err_set(e, -EINVAL, "%s is given twice", key);
	*seen |= bit;
	return key_set(c, k, value, e);
}

static int parse_text(struct config *c, const char *name, const char *text, size_t n, struct err *e)
{
	_Static_assert(CONFIG_KEYS <= 64, "the set of seen keys is 64 bits");
	const char *end = text + n;
	char line[CONFIG_VALUE_MAX + 1];
	unsigned lineno = 0;
	uint64_t seen = 0;
	int rc;

	while (text < end) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));
		size_t len = (size_t)((nl ? nl : end) - text);

		lineno++;
		if (len > CONFIG_VALUE_MAX || memchr(text, '\0', len))
			rc = err_set(e, -EINVAL, "is no line of text (NUL, or over %d bytes)",
				     CONFIG_VALUE_MAX);
		else {
			memcpy(line, text, len);
			line[len] = '\0';
			rc = parse_line(c, line, &seen, e);
		}
		if (rc)
			return err_wrap(e, "%s:%u", name, lineno);
		text += len + 1;
	}
	return 0;
}

int config_parse(struct config *c, const char *name, const char *text, size_t n, struct err *e)
{
	int rc = set_defaults(c, e);

	if (!rc)
		rc = parse_text(c, name, text, n, e);
	if (rc)
		config_fini(c);
	return rc;
}

int config_load(struct config *c, const char *path, struct err *e)
{
	struct buf text = { 0 };
	int rc = file_read(path, CONFIG_MAX, &text, e);

	if (!rc)
		rc = config_parse(c, path, text.v ? text.v : "", text.n, e);
	buf_fini(&text);
	return rc;
}

/* Roles in the order of their starting, with what they need. */
static int finish_roles(struct config *c, struct err *e)
{
	bool all = !c->roles.v, want[CONFIG_ROLES];
	int rc = 0;

	for (size_t i = 0; i < CONFIG_ROLES; i++)
		want[i] =
			(all && !config_roles[i].asked) || config_has_role(c, config_roles[i].name);
	for (size_t i = 0; i < CONFIG_ROLES; i++)
		for (size_t k = 0; k < CONFIG_ROLES; k++)
			if (want[k] && config_roles[k].needs &&
			    strcmp(config_roles[k].needs, config_roles[i].name) == 0)
				want[i] = true;
	c->roles.v = NULL;
	c->roles.n = 0;
	for (size_t i = 0; i < CONFIG_ROLES && !rc; i++)
		if (want[i])
			rc = config_add_role(c, config_roles[i].name, e);
	return rc;
}

static int finish_binds(struct config *c, struct err *e)
{
	if (c->binds.v)
		return 0;
	c->binds.v = arena_memdup(&c->arena, default_binds, sizeof(default_binds));
	if (!c->binds.v)
		return config_nomem(e);
	c->binds.n = sizeof(default_binds) / sizeof(default_binds[0]);
	c->binds.v[c->binds.n - 1].port = c->node_port_first;
	c->binds.v[c->binds.n - 1].port_end = c->node_port_last;
	return 0;
}

static int finish_node(struct config *c, const char *hostname, struct err *e)
{
	struct err ignored;

	if (c->node)
		return 0;
	if (!hostname || config_set(c, "hostname", "node", hostname, &ignored))
		return err_set(e, -EINVAL,
			       "node: is not given, and the host's name \"%s\" is none of a Node",
			       hostname ? hostname : "");
	return 0;
}

int config_finish(struct config *c, const char *hostname, struct err *e)
{
	int rc = finish_node(c, hostname, e);

	if (!rc)
		rc = finish_roles(c, e);
	if (!rc)
		rc = finish_binds(c, e);
	if (!rc)
		rc = config_dns_finish(c, e);
	if (!rc && config_has_role(c, "watch") && !c->store)
		rc = err_set(e, -EINVAL, "store: is not given, and role watch needs one");
	return rc;
}

bool config_has_role(const struct config *c, const char *role)
{
	for (uint32_t i = 0; i < c->roles.n; i++)
		if (strcmp(c->roles.v[i], role) == 0)
			return true;
	return false;
}

static bool is_at(const struct listen *l, const struct ipaddr *addr, uint16_t port)
{
	return l->port && l->port == port && (!l->addr.family || addr_eq(addr, &l->addr));
}

bool config_allows_bind(const struct config *c, const char *proto, const struct ipaddr *addr,
			uint16_t port)
{
	if (strcmp(proto, "tcp") == 0 &&
	    (is_at(&c->health, addr, port) || is_at(&c->proxy_health, addr, port)))
		return true;
	for (uint32_t i = 0; i < c->dns.listen.n; i++)
		if (is_at(&c->dns.listen.v[i], addr, port))
			return true;
	for (uint32_t i = 0; i < c->binds.n; i++) {
		const struct bind_rule *b = &c->binds.v[i];

		if (strcmp(b->proto, proto) == 0 && port >= b->port && port <= b->port_end &&
		    (!b->addr.family || addr_eq(&b->addr, addr)))
			return true;
	}
	return false;
}

void config_fini(struct config *c)
{
	arena_fini(&c->arena);
	*c = (struct config){ 0 };
}
