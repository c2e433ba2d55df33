// SPDX-License-Identifier: Apache-2.0
/* The probe of traces (sys/trace_probe.h) by itself, out of the current network namespace.
 *
 *   probe PROTO SOURCE DESTINATION PORT SIGNATURE MILLISECONDS [SIZE]
 *
 * PROTO is TCP, UDP, SCTP or ICMP, SIGNATURE hexadecimal. Prints RESULT, BY, ADDRESS, PORT, MICROSECONDS, ERROR
 * and MTU with tabs between them, "-" for what is empty. */
#include "sys/netns.h"
#include "sys/trace_probe.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int die(const struct err *e)
{
	fprintf(stderr, "probe: %s\n", e->text);
	return 1;
}

static const char *or_dash(const char *s)
{
	return *s ? s : "-";
}

int main(int argc, char **argv)
{
	struct trace_probe_ask ask = { .netns = -1 };
	const struct trace_probe_result *r;
	struct trace_probe *p;
	char text[ADDR_TEXT];
	struct err e;

	if (argc < 7 || argc > 8 || addr_parse(argv[2], &ask.source) ||
	    addr_parse(argv[3], &ask.dst))
		return 2;
	ask.protocol = (uint8_t)name_find(&trace_protocol_names, argv[1]);
	ask.port = (uint16_t)atoi(argv[4]);
	ask.signature = strtoull(argv[5], NULL, 16);
	ask.timeout_ms = atoi(argv[6]);
	ask.size = argc > 7 ? (uint16_t)atoi(argv[7]) : 0;
	ask.netns = netns_self(&e);
	if (ask.netns < 0 || trace_probe_send(&ask, &p, &e))
		return die(&e);
	close(ask.netns);
	while (!trace_probe_ended(p)) {
		struct pollfd f = { .fd = trace_probe_fd(p), .events = trace_probe_events(p) };

		poll(&f, 1, trace_probe_wait_ms(p));
		trace_probe_step(p);
	}
	r = trace_probe_result(p);
	printf("%s\t%s\t%s\t%u\t%lld\t%s\t%u\n", name_of(&trace_result_names, r->result),
	       or_dash(r->by), addr_str(&r->address, text), r->port, (long long)r->microseconds,
	       or_dash(r->error), r->mtu);
	trace_probe_close(p);
	return 0;
}
