/* SPDX-License-Identifier: Apache-2.0 */
/* What the table holds, for zone*.c that write it and answer*.c that read it. Keys:
 *
 *   SERVICE NAMESPACE    both as labels, as they stand in a name: struct dns_svc
 *   NAMESPACE            a label: nothing; it is there
 *   0x80 address         4 or 16 octets: the names that it has, struct dns_ptr after struct dns_ptr
 *   0x81 NAMESPACE address    a uint32_t: so many pods of the namespace have it
 *
 * Texts are in lower case. Records are not aligned but for the head of a blob. */
#pragma once
#include "base/addr.h"
#include "core/dns/name.h"

#include <string.h>
#include <sys/socket.h>

#define DNS_KEY_MAX (1 + 2 * (DNS_LABEL_MAX + 1) + 16)
#define DNS_KEY_PTR 0x80
#define DNS_KEY_POD 0x81

enum dns_svc_kind { DNS_SVC_CLUSTER, DNS_SVC_HEADLESS, DNS_SVC_NAME };

/* Offsets are from the blob's beginning. */
struct dns_svc {
	uint8_t kind;
	uint8_t n_cluster;
	uint16_t n_external, n_names, n_sets;
	uint32_t n_eps[2]; /* ready ones: IPv4, then IPv6; each sorted by address */
	uint32_t cluster;  /* addresses: struct dns_addr */
	uint32_t external; /* addresses */
	uint32_t
		names; /* ExternalName's target; else names of load balancers: octet of length, name */
	uint32_t sets;   /* of uint32_t: offsets of sets of ports; the first is the Service's own */
	uint32_t eps[2]; /* struct dns_ep */
	uint32_t zones;  /* their names: octet of length, text; the first is number 1 */
	uint32_t n_zones;
};

struct dns_addr {
	uint8_t v6, b[16];
};

struct dns_port {
	uint8_t proto; /* enum protocol */
	uint8_t n_name;
	uint8_t number[2];
	/* the name */
};

/* Another endpoint has the same host and ports, and is the one that SRV records are of: among all, among those of the zone. */
enum dns_again { DNS_AGAIN = 1, DNS_AGAIN_IN_ZONE = 2 };

struct dns_ep {
	uint8_t again; /* enum dns_again */
	uint8_t zone;  /* 0: none */
	uint8_t set[2];
	uint8_t n_host; /* 0: named by its address */
			/* 4 or 16 octets of address, the host */
};

enum dns_ptr_kind { DNS_PTR_CLUSTER, DNS_PTR_ENDPOINT, DNS_PTR_EXTERNAL };

struct dns_ptr {
	uint8_t kind, n_host, n_key;
	/* the host, the Service's key */
};

static inline uint16_t blob16(const uint8_t v[2])
{
	return (uint16_t)(v[0] | v[1] << 8);
}

static inline const uint8_t *ep_addr(const struct dns_ep *e)
{
	return (const uint8_t *)(e + 1);
}

static inline const uint8_t *ep_host(const struct dns_ep *e, bool v6)
{
	return ep_addr(e) + (v6 ? 16 : 4);
}

static inline const struct dns_ep *ep_next(const struct dns_ep *e, bool v6)
{
	return (const void *)(ep_host(e, v6) + e->n_host);
}

static inline struct ipaddr blob_addr(const uint8_t *b, bool v6)
{
	struct ipaddr a = { .family = v6 ? AF_INET6 : AF_INET };

	memcpy(a.b, b, v6 ? 16 : 4);
	return a;
}

/* Length of the key of an address's names. */
static inline size_t key_ptr(const struct ipaddr *a, uint8_t key[DNS_KEY_MAX])
{
	key[0] = DNS_KEY_PTR;
	memcpy(key + 1, a->b, addr_len(a));
	return 1 + addr_len(a);
}

/* `ns`: a label with its length. */
static inline size_t key_pod(const uint8_t *ns, const struct ipaddr *a, uint8_t key[DNS_KEY_MAX])
{
	size_t n = ns[0] + 1u;

	key[0] = DNS_KEY_POD;
	memcpy(key + 1, ns, n);
	memcpy(key + 1 + n, a->b, addr_len(a));
	return 1 + n + addr_len(a);
}
