// SPDX-License-Identifier: Apache-2.0
/* Text of connection tracking entries (model/conntrack.h). */
#include "model/conntrack.h"

#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

static const char *const sctp_states[] = {
	[CT_SCTP_NONE] = "NONE",
	[CT_SCTP_CLOSED] = "CLOSED",
	[CT_SCTP_COOKIE_WAIT] = "COOKIE_WAIT",
	[CT_SCTP_COOKIE_ECHOED] = "COOKIE_ECHOED",
	[CT_SCTP_ESTABLISHED] = "ESTABLISHED",
	[CT_SCTP_SHUTDOWN_SENT] = "SHUTDOWN_SENT",
	[CT_SCTP_SHUTDOWN_RECD] = "SHUTDOWN_RECD",
	[CT_SCTP_SHUTDOWN_ACK_SENT] = "SHUTDOWN_ACK_SENT",
	[CT_SCTP_HEARTBEAT_SENT] = "HEARTBEAT_SENT",
	[CT_SCTP_HEARTBEAT_ACKED] = "HEARTBEAT_ACKED",
};
const struct names ct_sctp_names = NAMES(sctp_states);
static_assert(sizeof(sctp_states) / sizeof(*sctp_states) == CT_SCTP_HEARTBEAT_ACKED + 1,
	      "a name for each state");

bool ct_is_translated(const struct ct_entry *c)
{
	return c->reply.sport != c->orig.dport || !addr_eq(&c->reply.src, &c->orig.dst);
}

#define PEER_TEXT (ADDR_TEXT + 8)

static bool is_icmp(uint8_t proto)
{
	return proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6;
}

static const char *peer_str(const struct ct_entry *c, const struct ipaddr *a, uint16_t port,
			    char buf[PEER_TEXT])
{
	char text[ADDR_TEXT];

	if (is_icmp(c->proto))
		return addr_str(a, buf);
	snprintf(buf, PEER_TEXT, a->family == AF_INET6 ? "[%s]:%u" : "%s:%u", addr_str(a, text),
		 port);
	return buf;
}

static const char *proto_str(uint8_t proto, char buf[16])
{
	snprintf(buf, 16, "proto %u", proto);
	return proto == IPPROTO_UDP    ? "udp"
	       : proto == IPPROTO_TCP  ? "tcp"
	       : proto == IPPROTO_SCTP ? "sctp"
	       : is_icmp(proto)        ? "icmp"
				       : buf;
}

const char *ct_str(const struct ct_entry *c, char buf[CT_TEXT])
{
	char proto[16], src[PEER_TEXT], dst[PEER_TEXT], to[PEER_TEXT];
	bool translated = ct_is_translated(c);

	snprintf(buf, CT_TEXT, "%s %s > %s%s%s", proto_str(c->proto, proto),
		 peer_str(c, &c->orig.src, c->orig.sport, src),
		 peer_str(c, &c->orig.dst, c->orig.dport, dst), translated ? " > " : "",
		 translated ? peer_str(c, &c->reply.src, c->reply.sport, to) : "");
	return buf;
}
