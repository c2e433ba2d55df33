/* SPDX-License-Identifier: Apache-2.0 */
/* resolv.conf and hosts: nothing that may stand there breaks the reader, and what it took is found again.
 * Parser: core/dns/resolv.c core/dns/hosts.c core/dns/lines.c */
#include "core/dns/resolv.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <errno.h>

static void on_ignored(unsigned line, const char *why, void *arg)
{
	unsigned *last = arg;

	assert(line >= *last && line && *why);
	*last = line;
}

static void check_hosts(const struct dns_hosts *h)
{
	static const struct ipaddr v6 = { .family = 10, .b = { [15] = 1 } };
	const struct ipaddr probes[] = { v6, addr_v4(0x7f000001), addr_v4(0x0a000001) };
	size_t first, n, at;

	for (size_t i = 0; i < sizeof(probes) / sizeof(probes[0]); i++) {
		n = dns_hosts_find_addr(h, &probes[i], &first);
		for (at = first; at < first + n; at++) {
			struct dns_name name;
			size_t named, k = 0, count;

			/* Whoever an address points to has that address. */
			dns_hosts_name(h, at, &name);
			count = dns_hosts_find(h, &name, &named);
			while (k < count && !addr_eq(dns_hosts_addr(h, named + k), &probes[i]))
				k++;
			assert(k < count);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dns_resolv r;
	struct err e = { 0 };
	struct dns_hosts *h;
	unsigned last = 0;

	if (dns_resolv_parse((const char *)data, size, &r, on_ignored, &last, &e))
		assert(e.code == -EINVAL && last && !r.n);
	assert(r.n <= DNS_SERVERS_MAX);
	for (unsigned i = 0; i < r.n; i++)
		assert(!*r.v[i].scope || addr_is_link_local(&r.v[i].addr));
	last = 0;
	h = dns_hosts_parse((const char *)data, size, on_ignored, &last);
	if (h)
		check_hosts(h);
	dns_hosts_free(h);
	return 0;
}
