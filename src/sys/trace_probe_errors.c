// SPDX-License-Identifier: Apache-2.0
/* What a probe's socket hears of errors, icmp(7), ip(7): of a family and protocol the kernel gives them through the
 * error queue (IP_RECVERR), which also says who sent them. */
#include "sys/trace_probe_state.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <linux/icmpv6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <stdio.h>
#include <string.h>

/* ---- ICMP errors, as nftables names their codes */

static const char *const unreach4[] = {
	[ICMP_NET_UNREACH] = "net-unreachable",   [ICMP_HOST_UNREACH] = "host-unreachable",
	[ICMP_PROT_UNREACH] = "prot-unreachable", [ICMP_PORT_UNREACH] = "port-unreachable",
	[ICMP_FRAG_NEEDED] = "frag-needed",       [ICMP_NET_ANO] = "net-prohibited",
	[ICMP_HOST_ANO] = "host-prohibited",      [ICMP_PKT_FILTERED] = "admin-prohibited",
};
static const char *const unreach6[] = {
	[ICMPV6_NOROUTE] = "no-route",
	[ICMPV6_ADM_PROHIBITED] = "admin-prohibited",
	[ICMPV6_ADDR_UNREACH] = "addr-unreachable",
	[ICMPV6_PORT_UNREACH] = "port-unreachable",
	[ICMPV6_POLICY_FAIL] = "policy-fail",
	[ICMPV6_REJECT_ROUTE] = "reject-route",
};

static const char *icmp_word(bool v6, unsigned type, unsigned code)
{
	if (!v6 && type == ICMP_DEST_UNREACH && code < sizeof(unreach4) / sizeof(unreach4[0]))
		return unreach4[code];
	if (v6 && type == ICMPV6_DEST_UNREACH && code < sizeof(unreach6) / sizeof(unreach6[0]))
		return unreach6[code];
	if (type == (v6 ? ICMPV6_TIME_EXCEED : ICMP_TIME_EXCEEDED))
		return "time-exceeded";
	if (v6 && type == ICMPV6_PKT_TOOBIG)
		return "packet-too-big";
	return NULL;
}

static void note_icmp(struct trace_probe *p, const struct sock_extended_err *ee)
{
	struct sockaddr_in6 from; /* room for either family */
	bool v6 = ee->ee_origin == SO_EE_ORIGIN_ICMP6;
	const char *word = icmp_word(v6, ee->ee_type, ee->ee_code);
	struct ipaddr a;
	char text[ADDR_TEXT];

	if (word)
		snprintf(p->r.by, sizeof(p->r.by), "%s %s", v6 ? "icmpv6" : "icmp", word);
	else
		snprintf(p->r.by, sizeof(p->r.by), "%s type %u code %u", v6 ? "icmpv6" : "icmp",
			 ee->ee_type, ee->ee_code);
	if (v6 ? ee->ee_type == ICMPV6_PKT_TOOBIG
	       : ee->ee_type == ICMP_DEST_UNREACH && ee->ee_code == ICMP_FRAG_NEEDED)
		p->r.mtu = ee->ee_info;
	memcpy(&from, SO_EE_OFFENDER(ee), sizeof(from));
	trace_probe_peer(&from, &a);
	if (a.family == AF_INET || a.family == AF_INET6)
		snprintf(p->r.error, sizeof(p->r.error), "told by %s", addr_str(&a, text));
}

/* What the own kernel says, who called it is told as well; but for the MTU. */
static enum trace_told judge_error(struct trace_probe *p, const struct sock_extended_err *ee,
				   const uint8_t *quoted, size_t n)
{
	if (ee->ee_origin == SO_EE_ORIGIN_LOCAL && ee->ee_errno == EMSGSIZE)
		p->r.mtu = ee->ee_info;
	if (ee->ee_origin != SO_EE_ORIGIN_ICMP && ee->ee_origin != SO_EE_ORIGIN_ICMP6)
		return TRACE_TOLD_NOTHING;
	if (!trace_probe_is_quoted(p, quoted, n))
		return TRACE_TOLD_OF_OTHERS;
	note_icmp(p, ee);
	return TRACE_TOLD_REFUSED;
}

enum trace_told trace_probe_errors(struct trace_probe *p)
{
	enum trace_told told = TRACE_TOLD_NOTHING;

	for (;;) {
		char control[512] __attribute__((aligned(8)));
		uint8_t quoted[8];
		struct iovec iov = { quoted, sizeof(quoted) };
		struct msghdr m = { .msg_iov = &iov,
				    .msg_iovlen = 1,
				    .msg_control = control,
				    .msg_controllen = sizeof(control) };
		ssize_t n = recvmsg(p->fd, &m, MSG_ERRQUEUE);

		if (n < 0)
			break;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
			enum trace_told now;

			if (!(c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) &&
			    !(c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR))
				continue;
			now = judge_error(p, (const void *)CMSG_DATA(c), quoted, (size_t)n);
			told = now > told ? now : told;
		}
	}
	if (told == TRACE_TOLD_REFUSED)
		trace_probe_end(p, TRACE_REFUSED);
	return told;
}
