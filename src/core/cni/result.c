// SPDX-License-Identifier: Apache-2.0
/* result: see result.h. */
#include "core/cni/result.h"
#include "model/table.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static const struct field interface_fields[] = {
	FIELD(struct cni_interface, name, 1, F_STR),
	FIELD(struct cni_interface, mac, 2, F_MAC),
	FIELD(struct cni_interface, mtu, 3, F_I64),
	FIELD(struct cni_interface, sandbox, 4, F_STR),
};
static const SCHEMA(interface_schema, "interface", struct cni_interface, interface_fields);

static const struct field ip_fields[] = {
	FIELD(struct cni_ip_text, version, 1, F_STR),
	FIELD(struct cni_ip_text, interface, 2, F_OPT_I64),
	FIELD(struct cni_ip_text, address, 3, F_PREFIX, .flags = FF_REQUIRED),
	FIELD(struct cni_ip_text, gateway, 4, F_ADDR),
};
static const SCHEMA(ip_schema, "ip", struct cni_ip_text, ip_fields);

static const struct field route_fields[] = {
	FIELD(struct cni_route, dst, 1, F_PREFIX, .flags = FF_REQUIRED),
	FIELD(struct cni_route, gw, 2, F_ADDR),
	FIELD(struct cni_route, mtu, 3, F_I64),
	FIELD(struct cni_route, advmss, 4, F_I64),
	FIELD(struct cni_route, priority, 5, F_I64),
	FIELD(struct cni_route, table, 6, F_OPT_I64),
	FIELD(struct cni_route, scope, 7, F_OPT_I64),
};
static const SCHEMA(route_schema, "route", struct cni_route, route_fields);

static const struct field dns_fields[] = {
	FIELD(struct cni_dns_text, nameservers, 1, F_STR, .flags = FF_LIST),
	FIELD(struct cni_dns_text, domain, 2, F_STR),
	FIELD(struct cni_dns_text, search, 3, F_STR, .flags = FF_LIST),
	FIELD(struct cni_dns_text, options, 4, F_STR, .flags = FF_LIST),
};
static const SCHEMA(dns_schema, "dns", struct cni_dns_text, dns_fields);

static const struct field result_fields[] = {
	FIELD(struct cni_result_text, cniVersion, 1, F_STR),
	FIELD(struct cni_result_text, interfaces, 2, F_OBJ, .flags = FF_LIST,
	      .sub = &interface_schema),
	FIELD(struct cni_result_text, ips, 3, F_OBJ, .flags = FF_LIST, .sub = &ip_schema),
	FIELD(struct cni_result_text, routes, 4, F_OBJ, .flags = FF_LIST, .sub = &route_schema),
	FIELD(struct cni_result_text, dns, 5, F_PTR, .sub = &dns_schema),
};
const SCHEMA(cni_result_text_schema, "CNI result", struct cni_result_text, result_fields);

static const struct field error_fields[] = {
	FIELD(struct cni_error_text, cniVersion, 1, F_STR),
	FIELD(struct cni_error_text, code, 2, F_OPT_I64),
	FIELD(struct cni_error_text, msg, 3, F_STR),
	FIELD(struct cni_error_text, details, 4, F_STR),
};
const SCHEMA(cni_error_text_schema, "CNI error", struct cni_error_text, error_fields);

static const struct field version_fields[] = {
	FIELD(struct cni_version_text, cniVersion, 1, F_STR),
	FIELD(struct cni_version_text, supportedVersions, 2, F_STR, .flags = FF_LIST),
};
const SCHEMA(cni_version_text_schema, "CNI versions", struct cni_version_text, version_fields);

int cni_result_write(unsigned version, bool ipam_only, const struct cni_result *r, struct arena *a,
		     struct cni_result_text *out, struct err *e)
{
	struct cni_result_text t = { .cniVersion = cni_version_name(version) };
	uint32_t interfaces = ipam_only ? 0 : r->interfaces.n;

	t.interfaces.v = interfaces ? arena_array(a, interfaces, sizeof(*t.interfaces.v)) : NULL;
	t.ips.v = arena_array(a, r->ips.n, sizeof(*t.ips.v));
	t.routes.v = r->routes.n ? arena_array(a, r->routes.n, sizeof(*t.routes.v)) : NULL;
	t.dns = arena_alloc(a, sizeof(*t.dns));
	if (a->failed)
		return err_set(e, -ENOMEM, "no memory");
	for (uint32_t i = 0; i < interfaces; i++) {
		t.interfaces.v[i] = r->interfaces.v[i];
		if (version < CNI_1_1_0)
			t.interfaces.v[i].mtu = 0;
	}
	for (uint32_t i = 0; i < r->ips.n; i++) {
		const struct cni_ip *ip = &r->ips.v[i];

		t.ips.v[i] = (struct cni_ip_text){ .address = ip->address, .gateway = ip->gateway };
		if (!ipam_only)
			t.ips.v[i].interface = ip->interface;
		if (version < CNI_1_0_0)
			t.ips.v[i].version = ip->address.addr.family == AF_INET ? "4" : "6";
	}
	for (uint32_t i = 0; i < r->routes.n; i++) {
		const struct cni_route *f = &r->routes.v[i];

		t.routes.v[i] =
			version < CNI_1_1_0 ? (struct cni_route){ .dst = f->dst, .gw = f->gw } : *f;
	}
	t.interfaces.n = interfaces;
	t.ips.n = r->ips.n;
	t.routes.n = r->routes.n;
	t.dns->nameservers.v = r->dns.nameservers.v;
	t.dns->nameservers.n = r->dns.nameservers.n;
	t.dns->domain = r->dns.domain;
	t.dns->search.v = r->dns.search.v;
	t.dns->search.n = r->dns.search.n;
	t.dns->options.v = r->dns.options.v;
	t.dns->options.n = r->dns.options.n;
	*out = t;
	return 0;
}

static enum cni_code check_text(unsigned version, const struct cni_result_text *t, struct err *e)
{
	for (uint32_t i = 0; i < t->interfaces.n; i++)
		if (!t->interfaces.v[i].name) {
			err_set(e, -EINVAL, "prevResult.interfaces[%u].name: is missing", i);
			return CNI_ERR_DECODE;
		}
	for (uint32_t i = 0; i < t->ips.n; i++) {
		const struct cni_ip_text *ip = &t->ips.v[i];
		const char *family = ip->address.addr.family == AF_INET ? "4" : "6";

		if (ip->interface.set &&
		    (ip->interface.v < 0 || ip->interface.v >= t->interfaces.n)) {
			err_set(e, -EINVAL,
				"prevResult.ips[%u].interface: there is no interface %lld", i,
				(long long)ip->interface.v);
			return CNI_ERR_DECODE;
		}
		if (version < CNI_1_0_0 && ip->version && strcmp(ip->version, family) != 0) {
			err_set(e, -EINVAL, "prevResult.ips[%u].version: must be \"%s\"", i,
				family);
			return CNI_ERR_DECODE;
		}
	}
	return CNI_OK;
}

enum cni_code cni_result_read(unsigned version, const struct cni_result_text *t, struct arena *a,
			      struct cni_result *out, struct err *e)
{
	struct cni_result r = { .interfaces = { NULL, 0 } };
	enum cni_code code;
	int own;

	own = t->cniVersion ? cni_version_find(t->cniVersion) : (int)version;
	if (own < 0) {
		err_set(e, -EINVAL, "prevResult.cniVersion: \"%.32s\" is not supported",
			t->cniVersion);
		return CNI_ERR_VERSION;
	}
	code = check_text((unsigned)own, t, e);
	if (code)
		return code;
	r.ips.v = arena_array(a, t->ips.n, sizeof(*r.ips.v));
	if (!r.ips.v) {
		err_set(e, -ENOMEM, "no memory");
		return CNI_ERR_INTERNAL;
	}
	for (uint32_t i = 0; i < t->ips.n; i++)
		r.ips.v[i] = (struct cni_ip){ .address = t->ips.v[i].address,
					      .gateway = t->ips.v[i].gateway,
					      .interface = t->ips.v[i].interface };
	r.ips.n = t->ips.n;
	r.interfaces.v = t->interfaces.v;
	r.interfaces.n = t->interfaces.n;
	r.routes.v = t->routes.v;
	r.routes.n = t->routes.n;
	if (t->dns) {
		r.dns.nameservers.v = t->dns->nameservers.v;
		r.dns.nameservers.n = t->dns->nameservers.n;
		r.dns.domain = t->dns->domain;
		r.dns.search.v = t->dns->search.v;
		r.dns.search.n = t->dns->search.n;
		r.dns.options.v = t->dns->options.v;
		r.dns.options.n = t->dns->options.n;
	}
	*out = r;
	return CNI_OK;
}
