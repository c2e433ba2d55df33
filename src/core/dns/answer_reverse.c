// SPDX-License-Identifier: Apache-2.0
/* Names of addresses, and addresses that pods' names spell. */
#include "core/dns/answer_look.h"

#include "core/dns/reverse.h"

/* HOST.SERVICE.NAMESPACE.svc.DOMAIN, or without "svc" in an external zone. */
static bool ptr_name(const struct look *l, const struct dns_ptr *p, const struct ipaddr *ip,
		     bool external, struct dns_name *out)
{
	const uint8_t *host = (const uint8_t *)(p + 1), *key = host + p->n_host;
	const struct dns_settings *s = l->s;
	char dashed[DNS_DASHED];
	bool ok = true;

	if (external ? !s->n_external : !s->n_domains)
		return false;
	out->n = 1;
	out->v[0] = 0;
	if (p->kind == DNS_PTR_ENDPOINT)
		ok = p->n_host ? dns_name_put(out, host, p->n_host)
			       : dns_name_put(out, dashed, dns_dashed_write(ip, dashed));
	for (const uint8_t *x = key; ok && x < key + p->n_key; x += x[0] + 1)
		ok = dns_name_put(out, x + 1, x[0]);
	if (ok && !external)
		ok = dns_name_put(out, "svc", 3);
	return ok && dns_name_join(out, external ? s->external : s->domains);
}

/* Writes names of the kind; how many. */
static unsigned put_ptrs(const struct look *l, const uint8_t *p, const uint8_t *end,
			 const struct ipaddr *ip, enum dns_ptr_kind kind, bool write)
{
	struct dns_name name;
	unsigned n = 0;

	while (p < end) {
		const struct dns_ptr *x = (const void *)p;

		p = (const uint8_t *)(x + 1) + x->n_host + x->n_key;
		if (x->kind != kind || !ptr_name(l, x, ip, kind == DNS_PTR_EXTERNAL, &name))
			continue;
		n++;
		if (write && !dns_out_ptr(l->o, DNS_ANSWER, l->owner, l->s->ttl, &name))
			break;
		if (kind == DNS_PTR_CLUSTER)
			break; /* two Services cannot have one; a mistake does not make two names */
	}
	return n;
}

int look_reverse(struct look *l, bool ours, bool external)
{
	bool write = l->type == DNS_PTR;
	uint8_t key[DNS_KEY_MAX];
	unsigned n = 0;
	struct ipaddr ip;
	const uint8_t *p;
	size_t len = 0;

	switch (dns_reverse_read(l->lower, &ip)) {
	case DNS_REVERSE_NONE:
		return DNS_NXDOMAIN;
	case DNS_REVERSE_PART:
		return NODATA;
	case DNS_REVERSE_ADDR:
		break;
	}
	p = dns_view_get(l->view, key, key_ptr(&ip, key), &len);
	if (p && ours) {
		n = put_ptrs(l, p, p + len, &ip, DNS_PTR_CLUSTER, write);
		if (!n)
			n = put_ptrs(l, p, p + len, &ip, DNS_PTR_ENDPOINT, write);
	}
	if (p && external)
		n += put_ptrs(l, p, p + len, &ip, DNS_PTR_EXTERNAL, write);
	if (n)
		return NODATA;
	return l->s->reverse_others ? DNS_NOT_OURS : DNS_NXDOMAIN;
}

int look_pod(struct look *l)
{
	const uint8_t *ns;
	uint8_t key[DNS_KEY_MAX];
	struct ipaddr ip;
	size_t len;

	if (l->n == 1)
		return NODATA;
	ns = l->label[l->n - 2];
	if (l->s->pods == DNS_PODS_DISABLED || l->n > 3 ||
	    !dns_view_get(l->view, ns, ns[0] + 1u, &len))
		return DNS_NXDOMAIN;
	if (l->n == 2)
		return NODATA;
	if (!dns_dashed_read(l->label[0] + 1, l->label[0][0], &ip))
		return DNS_NXDOMAIN;
	if (l->s->pods == DNS_PODS_VERIFIED &&
	    !dns_view_get(l->view, key, key_pod(ns, &ip, key), &len))
		return DNS_NXDOMAIN;
	if (look_wants(l, ip.family == AF_INET6))
		look_put(l, DNS_ANSWER, l->owner, ip.b, ip.family == AF_INET6);
	return NODATA;
}
