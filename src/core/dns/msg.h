/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of the DNS (RFC 1035 4.1): a query is read, a response to it is written into the caller's buffer, nothing is allocated.
 *
 * Reading is strict where a mistake could mean two things, and lenient where the field is: octets behind the last record are ignored.
 * Writing keeps the question octet for octet as it was asked, so that a client that mixes case knows its answer (draft-vixie-dnsext-dns0x20).
 * What responses of others hold is response.h's business. */
#pragma once
#include "core/dns/name.h"

#define DNS_HEADER      12
#define DNS_MESSAGE_MAX 65535
#define DNS_UDP_MIN     512  /* what every client takes (RFC 1035 4.2.1, RFC 6891 6.2.3) */
#define DNS_UDP_SIZE    1232 /* what we say that we take: one that no path between fragments */

/* The header's second word: flags, 4 bits of opcode, 4 bits of rcode. */
#define DNS_QR 0x8000
#define DNS_AA 0x0400
#define DNS_TC 0x0200
#define DNS_RD 0x0100
#define DNS_RA 0x0080
#define DNS_AD 0x0020
#define DNS_CD 0x0010

#define DNS_OPCODE(flags) ((flags) >> 11 & 15)
#define DNS_RCODE(flags)  ((flags)&15)

enum dns_opcode { DNS_QUERY = 0 };

enum dns_rcode {
	DNS_NOERROR = 0,
	DNS_FORMERR = 1,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
	DNS_NOTIMP = 4,
	DNS_REFUSED = 5,
	DNS_BADVERS = 16, /* RFC 6891: the upper 8 of 12 bits are in OPT */
};

enum dns_class { DNS_IN = 1, DNS_CH = 3 };

enum dns_type {
	DNS_A = 1,
	DNS_NS = 2,
	DNS_CNAME = 5,
	DNS_SOA = 6,
	DNS_PTR = 12,
	DNS_HINFO = 13,
	DNS_MX = 15,
	DNS_TXT = 16,
	DNS_AAAA = 28,
	DNS_SRV = 33,
	DNS_DNAME = 39,
	DNS_OPT = 41,
	DNS_IXFR = 251,
	DNS_AXFR = 252,
	DNS_ANY = 255,
};

enum dns_section { DNS_ANSWER, DNS_AUTHORITY, DNS_ADDITIONAL, DNS_SECTIONS };

/* ---- queries */

struct dns_query {
	uint16_t id;
	uint16_t flags; /* the whole word */
	uint16_t type, class;
	/* 0: there is none that could be read; then name, type and class are undefined */
	uint16_t question_len;
	uint16_t udp_size; /* 512 and more */
	bool edns;         /* an OPT was there, so the response has one */
	bool dnssec_ok;
	uint8_t edns_version;
	struct dns_name name;  /* as asked */
	struct dns_name lower; /* what to look for */
};

/* 0; or the rcode to answer with, then `out` is good for dns_out_begin(); -EBADMSG: say nothing, it is a response or has no header.
 *
 *   NOTIMP   an opcode other than QUERY (RFC 9619 lets each have its own count of questions)
 *   FORMERR  not one question; anything cut short; an OPT that is not alone, not of the root, not in the additional section or has broken
 *            options (RFC 6891 6.1.1)
 *   BADVERS  an EDNS version other than 0
 *   REFUSED  a class other than IN and CH, ANY too, as CoreDNS does; names of CH are the caller's
 *
 * Records of other types are looked over and ignored, options (cookies, client subnet, padding) too. */
int dns_query_read(const uint8_t *p, size_t n, struct dns_query *out);

/* How long the response may be: over TCP 65535; over UDP what the client takes, but not more than `most`, which is 512 or more. */
size_t dns_query_limit(const struct dns_query *q, bool tcp, size_t most);

/* A query of our own for an upstream: id; RD, CD and AD of `flags`; name, type and class; with OPT where `edns`. Returns its length;
 * 512 octets always suffice. */
size_t dns_query_write(uint8_t p[DNS_UDP_MIN], const struct dns_query *q);

/* ---- responses to them */

#define DNS_OUT_NAMES 64

/* Records are written section by section. */
struct dns_out {
	uint8_t *p;
	size_t n, cap; /* octets written; that may be, OPT not counted */
	const struct dns_query *q;
	uint16_t flags; /* as they will be; the caller may change AA, RA and AD until the end */
	uint16_t count[DNS_SECTIONS];
	bool additional_full;
	bool question_known; /* its suffixes are among `names` */
	bool failed;         /* the record being written does not fit */

	struct { /* the RRset that the last additional record belongs to */
		size_t at;
		uint16_t type, count;
		uint8_t names;
	} set;

	/* Names that a compression pointer may lead to: a key of length and hash, and where. */
	uint8_t n_names;
	struct {
		uint32_t key;
		uint16_t at;
	} names[DNS_OUT_NAMES];
};

struct dns_srv {
	uint16_t priority, weight, port;
	struct dns_name target;
};

struct dns_soa {
	struct dns_name mname, rname;
	uint32_t serial, refresh, retry, expire, minimum;
};

/* The header, and the question as asked. `cap` is 512 or more; `q` must live until the end. `flags`: AA, RA, AD, else 0; RD and CD are
 * copied from the query (RFC 1035 4.1.1, RFC 4035 3.2.2). May be called again to start anew. */
void dns_out_begin(struct dns_out *o, uint8_t *p, size_t cap, const struct dns_query *q,
		   uint16_t flags);

/* One record, of the question's class. An owner that is `&q->name` or `&q->lower` costs nothing to compress.
 * False: it did not fit. In the answer and the authority section TC is set, what was written stays, and nothing more is taken
 * (RFC 2181 9 lets part of an RRset stay; a client that never asks over TCP lives on it). In the additional section its RRset is left out
 * whole, without TC, and so is what comes later. */
bool dns_out_a(struct dns_out *o, enum dns_section s, const struct dns_name *owner, uint32_t ttl,
	       const uint8_t v[4]);
bool dns_out_aaaa(struct dns_out *o, enum dns_section s, const struct dns_name *owner, uint32_t ttl,
		  const uint8_t v[16]);
bool dns_out_ns(struct dns_out *o, enum dns_section s, const struct dns_name *owner, uint32_t ttl,
		const struct dns_name *host);
bool dns_out_cname(struct dns_out *o, enum dns_section s, const struct dns_name *owner,
		   uint32_t ttl, const struct dns_name *target);
bool dns_out_ptr(struct dns_out *o, enum dns_section s, const struct dns_name *owner, uint32_t ttl,
		 const struct dns_name *name);
bool dns_out_srv(struct dns_out *o, enum dns_section s, const struct dns_name *owner, uint32_t ttl,
		 const struct dns_srv *srv);
bool dns_out_soa(struct dns_out *o, enum dns_section s, const struct dns_name *owner, uint32_t ttl,
		 const struct dns_soa *soa);
/* A text over 255 octets is written as several strings. */
bool dns_out_txt(struct dns_out *o, enum dns_section s, const struct dns_name *owner, uint32_t ttl,
		 const char *text);
/* All that a question of type ANY is answered with (RFC 8482 4.2). */
bool dns_out_any(struct dns_out *o, const struct dns_name *owner, uint32_t ttl);

/* Counts, rcode, and OPT where the query had one (without one, an rcode over 15 is said as SERVFAIL). Returns the length. */
size_t dns_out_end(struct dns_out *o, int rcode);

/* ---- TCP: each message behind its length in two octets (RFC 1035 4.2.2, RFC 7766 8) */

#define DNS_FRAME 2

/* The length of the frame at the front of `p`, its two octets counted; 0: more octets are needed; -EBADMSG: none of ours is that short. */
int dns_frame_next(const uint8_t *p, size_t n);
void dns_frame_put(uint8_t p[DNS_FRAME], size_t message);
