// SPDX-License-Identifier: Apache-2.0
/* Settings of the cluster's zones, put together one by one. */
#include "core/dns/settings.h"

#include "base/hash.h"
#include "core/dns/reverse.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void dns_settings_init(struct dns_settings *s)
{
	memset(s, 0, sizeof(*s));
	s->ttl = DNS_TTL;
}

int dns_settings_zone(struct dns_settings *s, const char *name, bool external, struct err *e)
{
	struct dns_name zone, *list;
	uint8_t *n;
	int r = dns_name_parse(name, &zone, e);

	if (r)
		return r;
	dns_name_lower(&zone);
	if (dns_reverse_is(&zone)) {
		list = external ? s->external_reverse : s->reverse;
		n = external ? &s->n_external_reverse : &s->n_reverse;
	} else {
		list = external ? s->external : s->domains;
		n = external ? &s->n_external : &s->n_domains;
	}
	if (*n == DNS_ZONES)
		return err_set(e, -ENOSPC, "%s: there are %d such zones already", name, DNS_ZONES);
	dns_name_copy(&list[(*n)++], &zone);
	return 0;
}

int dns_settings_local(struct dns_settings *s, const struct ipaddr *a, struct err *e)
{
	if (s->n_local == DNS_LOCAL)
		return err_set(e, -ENOSPC, "more than %d local addresses", DNS_LOCAL);
	s->local[s->n_local++] = *a;
	return 0;
}

int dns_settings_namespace(struct dns_settings *s, const char *name, struct err *e)
{
	if (strlen(name) > DNS_LABEL_MAX)
		return err_set(e, -EINVAL, "%s: no name of a namespace", name);
	if (s->n_namespaces == DNS_NAMESPACES)
		return err_set(e, -ENOSPC, "%s: there are %d namespaces already", name,
			       DNS_NAMESPACES);
	snprintf(s->namespaces[s->n_namespaces++], sizeof(s->namespaces[0]), "%s", name);
	return 0;
}

uint64_t dns_settings_sum(const struct dns_settings *s)
{
	return fnv64(FNV64_START, s, sizeof(*s)); /* zero where nothing was put */
}

bool dns_settings_exposes(const struct dns_settings *s, const char *ns)
{
	for (unsigned i = 0; i < s->n_namespaces; i++)
		if (!strcmp(s->namespaces[i], ns))
			return true;
	return !s->n_namespaces;
}
