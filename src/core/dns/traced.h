/* SPDX-License-Identifier: Apache-2.0 */
/* The DNS query that a PacketTrace's probe may be (model/trace.h): the octets that are sent, where the signature stands in them, and what came
 * back in words. */
#pragma once
#include "base/arena.h"
#include "core/dns/msg.h"
#include "model/trace.h"

/* Of the name in wire form. With more, rules of nftables could not read the signature in what an ICMPv6 error quotes: they count to 255. */
#define DNS_TRACED_NAME_MAX 168

/* What is asked, with id and RD, as a resolver would; -EINVAL: no such name or type, or the name is too long. */
int dns_traced_question(const struct packet_trace *t, struct dns_query *out, struct err *e);
/* The message, with the signature as client cookie; its length, or -EINVAL. */
int dns_traced_write(const struct packet_trace *t, uint8_t out[DNS_UDP_MIN], struct err *e);
/* Octets from the UDP header on to the signature; 0: the probe is no query over UDP, or none that can be sent. */
uint8_t dns_traced_place(const struct packet_trace *t);
/* A response (its id was looked at) in words, in `a`: 0, -EBADMSG, -ENOMEM. */
int dns_traced_read(const uint8_t *p, size_t n, struct arena *a, struct trace_response *out);
