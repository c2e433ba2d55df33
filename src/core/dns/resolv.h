/* SPDX-License-Identifier: Apache-2.0 */
/* The two files that tell a resolver of its surroundings: resolv.conf(5), whom to ask, and hosts(5), what need not be asked.
 *
 * Both are read as the C library reads them, which never refuses a file: a line that says nothing usable is passed over. Unlike there
 * the owner hears of each, so that it can be logged. */
#pragma once
#include "base/addr.h"
#include "base/err.h"
#include "core/dns/name.h"

#define DNS_PORT        53
#define DNS_SERVERS_MAX 15 /* as many as CoreDNS takes */
#define DNS_SCOPE_MAX   16 /* an interface's name, with its end */

struct dns_server {
	struct ipaddr addr;
	uint16_t port;
	char scope
		[DNS_SCOPE_MAX]; /* what followed % of a link-local address: a name or a number; "" without */
};

struct dns_resolv {
	struct dns_server v[DNS_SERVERS_MAX]; /* in the file's order, none twice */
	unsigned n;
	unsigned timeout_s, attempts; /* 0: the file says nothing */
	bool rotate;
};

/* A line was not used, or not all of it; lines count from 1. */
typedef void dns_ignored(unsigned line, const char *why, void *arg);

/* `ignored` may be NULL. -EINVAL: there are nameserver lines, but none of use; `e` has the first one's number. A file without any gives
 * n = 0. */
int dns_resolv_parse(const char *text, size_t n, struct dns_resolv *out, dns_ignored *ignored,
		     void *arg, struct err *e);

/* ---- hosts */

struct dns_hosts;

/* The first name of a line is the canonical one, which the address points back to; a name may have several addresses, an address several
 * lines. NULL: no memory. */
struct dns_hosts *dns_hosts_parse(const char *text, size_t n, dns_ignored *ignored, void *arg);
void dns_hosts_free(struct dns_hosts *h);

/* The entries of a name (in small letters), which are numbers `*first` to `*first` + n - 1; the function returns n, 0: not in the file. */
size_t dns_hosts_find(const struct dns_hosts *h, const struct dns_name *lower, size_t *first);
const struct ipaddr *dns_hosts_addr(const struct dns_hosts *h, size_t entry);
/* The same from an address to canonical names; its entries have numbers of their own. */
size_t dns_hosts_find_addr(const struct dns_hosts *h, const struct ipaddr *a, size_t *first);
void dns_hosts_name(const struct dns_hosts *h, size_t entry, struct dns_name *out);
