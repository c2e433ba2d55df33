// SPDX-License-Identifier: Apache-2.0
/* The datagrams of a probe, by RFC 768, 792, 4443 and 9260: what is sent, what answers it, and what an error
 * quotes of it. Nothing is sent or received here. */
#include "base/sctp.h"
#include "sys/trace_probe_state.h"

#include <arpa/inet.h>
#include <endian.h>
#include <linux/icmpv6.h>
#include <netinet/ip_icmp.h>
#include <string.h>

#define NONCE       8
#define ECHO_NUMBER 1

static uint16_t checksum(const uint8_t *v, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += i % 2 ? v[i] : (uint32_t)v[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void put_nonce(const struct trace_probe *p, uint8_t *out)
{
	uint64_t nonce = htobe64(p->ask.signature);

	memcpy(out, &nonce, NONCE);
}

/* How much is sent behind the signature, all of it zeros. */
static size_t padding(const struct trace_probe *p)
{
	int64_t min = trace_size_min(p->ask.dst.family);

	return p->ask.size > min ? (size_t)(p->ask.size - min) : 0;
}

static size_t build_echo(const struct trace_probe *p, uint8_t *out)
{
	struct icmphdr h = { .type = trace_probe_is_v6(p) ? ICMPV6_ECHO_REQUEST : ICMP_ECHO };
	size_t n = sizeof(h) + NONCE; /* zeros behind it change no sum */

	h.un.echo.id = htons(p->r.port);
	h.un.echo.sequence = htons(ECHO_NUMBER);
	memcpy(out, &h, sizeof(h));
	put_nonce(p, out + sizeof(h));
	h.checksum = htons(checksum(out, n)); /* of ICMPv6 the kernel makes its own */
	memcpy(out, &h, sizeof(h));
	return n;
}

size_t trace_probe_build(const struct trace_probe *p, uint8_t out[TRACE_SIZE_MAX])
{
	struct sctp_packet init = { .type = SCTP_INIT,
				    .src = p->r.port,
				    .dst = p->ask.port,
				    .init_tag = (uint32_t)p->ask.signature };
	size_t n = NONCE;

	memset(out, 0, TRACE_SIZE_MAX);
	if (p->ask.n_query) {
		memcpy(out, p->query, p->ask.n_query);
		return p->ask.n_query;
	}
	if (p->ask.protocol == TRACE_UDP)
		put_nonce(p, out);
	else if (p->ask.protocol == TRACE_ICMP)
		n = build_echo(p, out);
	else
		n = sctp_build(&init, out);
	return n + padding(p);
}

static bool is_echo_reply(const struct trace_probe *p, const uint8_t *v, size_t n)
{
	struct icmphdr h;
	uint8_t nonce[NONCE];

	if (n < sizeof(h) + NONCE)
		return false;
	memcpy(&h, v, sizeof(h));
	put_nonce(p, nonce);
	return h.type == (trace_probe_is_v6(p) ? ICMPV6_ECHO_REPLY : ICMP_ECHOREPLY) &&
	       h.un.echo.id == htons(p->r.port) && !memcmp(v + sizeof(h), nonce, NONCE);
}

static enum trace_answer sctp_answer(const struct trace_probe *p, const uint8_t *v, size_t n)
{
	struct sctp_packet got;

	if (!sctp_parse(v, n, &got) || got.src != p->ask.port || got.dst != p->r.port ||
	    got.vtag != (uint32_t)p->ask.signature)
		return TRACE_ANSWER_NONE;
	if (got.type == SCTP_ABORT)
		return TRACE_ANSWER_ABORT;
	return got.type == SCTP_INIT_ACK ? TRACE_ANSWER_GIVEN : TRACE_ANSWER_NONE;
}

enum trace_answer trace_probe_answer(const struct trace_probe *p, const uint8_t *v, size_t n)
{
	/* Raw sockets of IPv4 see the header. */
	size_t skip =
		p->ask.protocol != TRACE_UDP && !trace_probe_is_v6(p) && n ? (v[0] & 15u) * 4u : 0;

	if (skip > n)
		return TRACE_ANSWER_NONE;
	if (p->ask.protocol == TRACE_SCTP)
		return sctp_answer(p, v + skip, n - skip);
	if (p->ask.n_query)
		return trace_probe_is_response(p, v, n) ? TRACE_ANSWER_GIVEN : TRACE_ANSWER_NONE;
	return p->ask.protocol == TRACE_UDP || is_echo_reply(p, v + skip, n - skip)
		       ? TRACE_ANSWER_GIVEN
		       : TRACE_ANSWER_NONE;
}

bool trace_probe_is_quoted(const struct trace_probe *p, const uint8_t *v, size_t n)
{
	const uint16_t ports[] = { htons(p->r.port), htons(p->ask.port) };
	const uint16_t echo[] = { htons(p->r.port), htons(ECHO_NUMBER) };

	if (p->ask.protocol == TRACE_SCTP)
		return n >= 4 && !memcmp(v, ports, 4);
	if (p->ask.protocol == TRACE_ICMP)
		return n >= 8 && !memcmp(v + 4, echo, 4);
	return true;
}
