/* SPDX-License-Identifier: Apache-2.0 */
/* Responses as they come: a message is looked through once, whole, and then its records can be walked without a fault. What of it is
 * believed is not decided here. */
#pragma once
#include "core/dns/msg.h"

struct dns_response {
	uint16_t id, flags;
	uint16_t rcode; /* 12 bits where there is an OPT */
	bool question;  /* there is one, with name (as it stands), type and class */
	struct dns_name name;
	uint16_t type, class;
	bool edns, dnssec_ok;
	uint16_t udp_size; /* 512 and more */
	const uint8_t *p;
	size_t n, records_at;         /* the message, and where the question ends */
	uint16_t count[DNS_SECTIONS]; /* OPT counts */
};

/* 0; or -EBADMSG: a query, no message, more than one question, OPT twice or out of its place, anything cut short, data that is shorter or longer
 * than its type wants (A, AAAA, and those that hold names). Other types are opaque (RFC 3597); so are options. Octets behind the last
 * record are ignored. `p` must outlive `out`. */
int dns_response_read(const uint8_t *p, size_t n, struct dns_response *out);

struct dns_record {
	enum dns_section section;
	struct dns_name owner; /* as it stands */
	uint16_t type, class;
	uint32_t ttl; /* as it stands: of 2^31 and more RFC 2181 8 makes 0 */
	size_t data;  /* where it begins in the message */
	uint16_t len;
};

struct dns_walk {
	const uint8_t *p;
	size_t n, at;
	unsigned section;
	uint16_t left[DNS_SECTIONS];
};

/* Over the records of a message that was taken, OPT too, in the order of the sections. False: that was the last. */
struct dns_walk dns_walk_begin(const struct dns_response *r);
bool dns_walk_next(struct dns_walk *w, struct dns_record *out);

/* Data with names in it: octets, names, octets. NULL: data of this type has none, or is opaque. */
struct dns_data_form {
	uint16_t type;
	uint8_t before, names, after;
	bool compress; /* writers may put pointers there (RFC 3597 4); readers take them from all */
};
const struct dns_data_form *dns_data_form(uint16_t type);
