// SPDX-License-Identifier: Apache-2.0
/* The keys dns-… of fairleadd.conf: what role dns answers, and whom it asks for the rest. */
#include "core/dns/resolv.h"
#include "core/dns/settings.h"
#include "daemon/config_keys.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define TTL_MAX   3600
#define CACHE_MAX 4096 /* MiB */

static const char *const pods_names[] = { [CONFIG_DNS_VERIFIED] = "verified",
					  [CONFIG_DNS_INSECURE] = "insecure",
					  [CONFIG_DNS_DISABLED] = "disabled" };
static const char *const log_names[] = { [CONFIG_DNS_LOG_ERRORS] = "errors",
					 [CONFIG_DNS_LOG_OFF] = "off",
					 [CONFIG_DNS_LOG_ALL] = "all" };

static int set_word(uint8_t *slot, const char *text, const char *const *names, size_t n,
		    struct err *e)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(text, names[i])) {
			*slot = (uint8_t)i;
			return 0;
		}
	return err_set(e, -EINVAL, "\"%s\" is none of %s, %s, %s", text, names[0], names[1],
		       names[2]);
}

static int set_number(uint32_t *slot, const char *text, uint32_t max, const char *what,
		      struct err *e)
{
	uint32_t v = config_number(text);

	if (!v || v > max)
		return err_set(e, -EINVAL, "\"%s\" is no %s (1-%u)", text, what, max);
	*slot = v;
	return 0;
}

/* ADDR, or what config_set_listen() takes. */
static int read_server(struct listen *l, const char *text, struct err *e)
{
	struct ipaddr a;

	if (!addr_parse(text, &a)) {
		*l = (struct listen){ a, DNS_PORT };
		return 0;
	}
	if (config_set_listen(l, text, e))
		return -EINVAL;
	if (!l->port || !l->addr.family)
		return err_set(e, -EINVAL, "\"%s\" names no address", text);
	return 0;
}

static int add_server(struct config *c, struct config_servers *to, const char *text, uint32_t max,
		      struct err *e)
{
	struct listen l, *slot;

	if (read_server(&l, text, e))
		return -EINVAL;
	for (uint32_t i = 0; i < to->n; i++)
		if (addr_eq(&to->v[i].addr, &l.addr) && to->v[i].port == l.port)
			return err_set(e, -EINVAL, "\"%s\" is there twice", text);
	if (to->n == max)
		return err_set(e, -EINVAL, "\"%s\" is one more than %u", text, max);
	slot = CONFIG_LIST_ADD(c, *to, e);
	if (!slot)
		return e ? e->code : -ENOMEM;
	*slot = l;
	return 0;
}

int config_dns_listen(struct config *c, const char *text, struct err *e)
{
	return add_server(c, &c->dns.listen, text, DNS_LOCAL, e);
}

/* As NodeLocal DNSCache has it. */
#define LINK_LOCAL "169.254.20.10"
/* Of each service range, as kubeadm and its likes choose it for kube-dns. */
#define CLUSTER_DNS_HOST 10

static int add_default(struct config *c, const struct ipaddr *a, struct err *e)
{
	char text[ADDR_TEXT];

	return config_dns_listen(c, addr_str(a, text), e);
}

int config_dns_finish(struct config *c, struct err *e)
{
	const struct ipaddr four = addr_v4(0x7f000001), six = { AF_INET6, { [15] = 1 } };
	int rc;

	if (!config_has_role(c, "dns") || c->dns.listen.n)
		return 0;
	if (!config_has_role(c, "agent")) {
		rc = add_default(c, &four, e);
		return rc ? rc : add_default(c, &six, e);
	}
	rc = config_dns_listen(c, LINK_LOCAL, e);
	for (uint32_t i = 0; i < c->service_cidrs.n && i < DNS_LOCAL - 1 && !rc; i++) {
		struct ipaddr dns = addr_add(&c->service_cidrs.v[i].addr, CLUSTER_DNS_HOST);

		rc = add_default(c, &dns, e);
	}
	return rc;
}

static bool is_given(const struct config *c, const struct ipaddr *a)
{
	bool own = addr_is_loopback(a) || addr_is_unspecified(a) ||
		   (a->family == AF_INET6 && addr_is_link_local(a));

	for (uint32_t i = 0; i < c->node_ips.n; i++)
		own |= addr_eq(&c->node_ips.v[i], a);
	return own;
}

uint32_t config_dns_served(const struct config *c, struct ipaddr *out)
{
	uint32_t n = 0;

	if (!config_has_role(c, "dns") || !config_has_role(c, "agent"))
		return 0;
	for (uint32_t i = 0; i < c->dns.listen.n && n < CONFIG_DNS_SERVED; i++) {
		const struct listen *l = &c->dns.listen.v[i];

		if (l->port == DNS_PORT && l->addr.family && !is_given(c, &l->addr))
			out[n++] = l->addr;
	}
	return n;
}

int config_dns_upstream(struct config *c, const char *text, struct err *e)
{
	if (!strcmp(text, "off")) {
		c->dns.no_upstreams = true;
		return 0;
	}
	if (*text == '/')
		return config_keep(c, &c->dns.resolv_conf, text, e);
	return add_server(c, &c->dns.upstreams, text, DNS_SERVERS_MAX, e);
}

int config_dns_hosts(struct config *c, const char *text, struct err *e)
{
	if (*text != '/')
		return err_set(e, -EINVAL, "\"%s\" is no absolute path", text);
	return config_keep(c, &c->dns.hosts, text, e);
}

static bool is_of_addresses(const char *zone)
{
	static const char *const ends[] = { "in-addr.arpa", "ip6.arpa" };
	size_t n = strlen(zone);

	for (unsigned i = 0; i < 2; i++) {
		size_t end = strlen(ends[i]);

		if (n >= end && !strcmp(zone + n - end, ends[i]) &&
		    (n == end || zone[n - end - 1] == '.'))
			return true;
	}
	return false;
}

/* As core/dns/settings.h has room: so many of names, the cluster's own with them, and so many of addresses. */
static int add_zone(struct config *c, struct config_names *to, const char *text, struct err *e)
{
	bool addresses = is_of_addresses(text);
	uint32_t n = to == &c->dns.zones && !addresses;
	const char **slot;

	if (!config_is_dns_name(text))
		return err_set(e, -EINVAL, "\"%s\" is no domain name", text);
	for (uint32_t i = 0; i < to->n; i++)
		n += is_of_addresses(to->v[i]) == addresses;
	if (n >= DNS_ZONES)
		return err_set(e, -EINVAL, "\"%s\": %d such zones are there already", text,
			       DNS_ZONES);
	slot = CONFIG_LIST_ADD(c, *to, e);
	if (!slot)
		return e ? e->code : -ENOMEM;
	return config_keep(c, slot, text, e);
}

int config_dns_zone(struct config *c, const char *text, struct err *e)
{
	return add_zone(c, &c->dns.zones, text, e);
}

int config_dns_external_zone(struct config *c, const char *text, struct err *e)
{
	return add_zone(c, &c->dns.external_zones, text, e);
}

int config_dns_ttl(struct config *c, const char *text, struct err *e)
{
	if (!strcmp(text, "0")) {
		c->dns.ttl = 0;
		return 0;
	}
	return set_number(&c->dns.ttl, text, TTL_MAX, "number of seconds", e);
}

int config_dns_cache(struct config *c, const char *text, struct err *e)
{
	if (!strcmp(text, "off")) {
		c->dns.cache_mib = 0;
		return 0;
	}
	return set_number(&c->dns.cache_mib, text, CACHE_MAX, "number of MiB", e);
}

int config_dns_workers(struct config *c, const char *text, struct err *e)
{
	return set_number(&c->dns.workers, text, CONFIG_DNS_WORKERS, "number of threads", e);
}

int config_dns_pods(struct config *c, const char *text, struct err *e)
{
	return set_word(&c->dns.pods, text, pods_names, 3, e);
}

int config_dns_log(struct config *c, const char *text, struct err *e)
{
	return set_word(&c->dns.log, text, log_names, 3, e);
}

static void print_servers(const struct config_servers *l, const char *key, struct buf *out)
{
	for (uint32_t i = 0; i < l->n; i++)
		config_print_listen(key, &l->v[i], out);
}

void config_dns_print(const struct config *c, struct buf *out)
{
	const struct config_dns *d = &c->dns;

	print_servers(&d->listen, "dns-listen", out);
	print_servers(&d->upstreams, "dns-upstream", out);
	if (d->resolv_conf)
		buf_printf(out, "dns-upstream %s\n", d->resolv_conf);
	if (d->no_upstreams)
		buf_puts(out, "dns-upstream off\n");
	if (d->hosts)
		buf_printf(out, "dns-hosts %s\n", d->hosts);
	for (uint32_t i = 0; i < d->zones.n; i++)
		buf_printf(out, "dns-zone %s\n", d->zones.v[i]);
	for (uint32_t i = 0; i < d->external_zones.n; i++)
		buf_printf(out, "dns-external-zone %s\n", d->external_zones.v[i]);
	buf_printf(out, "dns-ttl %u\ndns-pods %s\ndns-log %s\n", d->ttl, pods_names[d->pods],
		   log_names[d->log]);
	if (d->workers)
		buf_printf(out, "dns-workers %u\n", d->workers);
	if (d->cache_mib)
		buf_printf(out, "dns-cache %u\n", d->cache_mib);
	else
		buf_puts(out, "dns-cache off\n");
}
