/* SPDX-License-Identifier: Apache-2.0 */
/* One entry of the kernel's connection table: which packets it knows, and how it translates them.
 *
 * The original tuple is the first packet's, before any translation; the reply tuple is what answers
 * look like when they arrive: its source is whom the packets really go to (another one than the
 * original destination where that was translated), its destination whom the answers are sent to.
 * All zero where unused, so that entries compare with memcmp(). */
#pragma once
#include "base/addr.h"
#include "base/names.h"

struct ct_tuple {
	struct ipaddr src, dst;
	uint16_t sport, dport; /* 0 where the protocol has no ports */
	uint16_t icmp_id;      /* of ICMP and ICMPv6, like the two below */
	uint8_t icmp_type, icmp_code;
};

/* As the kernel numbers them (nf_conntrack_sctp.h). */
enum ct_sctp {
	CT_SCTP_NONE, /* not known */
	CT_SCTP_CLOSED,
	CT_SCTP_COOKIE_WAIT,
	CT_SCTP_COOKIE_ECHOED,
	CT_SCTP_ESTABLISHED,
	CT_SCTP_SHUTDOWN_SENT,
	CT_SCTP_SHUTDOWN_RECD,
	CT_SCTP_SHUTDOWN_ACK_SENT,
	CT_SCTP_HEARTBEAT_SENT,
	CT_SCTP_HEARTBEAT_ACKED
};
extern const struct names ct_sctp_names;

struct ct_entry {
	struct ct_tuple orig, reply;
	uint32_t id;        /* told apart from a later entry of the same tuple by it */
	uint32_t status;    /* IPS_* of nf_conntrack_common.h */
	uint16_t zone[2];   /* of the original and of the reply direction; 0: the common one */
	uint8_t proto;      /* IPPROTO_* */
	uint8_t sctp_state; /* enum ct_sctp */
};

/* Is the destination another one than the client named? */
bool ct_is_translated(const struct ct_entry *c);

/* "udp 10.244.1.5:4711 > 10.96.0.10:53 > 10.244.2.7:53", the last where it is translated; "icmp
 * 10.244.1.5 > 10.244.2.7"; for logs. */
#define CT_TEXT 192
const char *ct_str(const struct ct_entry *c, char buf[CT_TEXT]);
