// SPDX-License-Identifier: Apache-2.0
/* The probe of who has no agent: `outside` of a lab. Its result goes into the PacketTrace's status beside
 * what agents write there, so by compare-and-swap. */
#include "cmd/trace.h"

#include "cmd/interrupt.h"
#include "core/dns/traced.h"
#include "sys/netns.h"
#include "sys/trace_probe.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define TRIES   50
#define LOOK_MS 100 /* whether somebody pressed Ctrl-C */

static int put_result(struct store *s, const struct packet_trace *question,
		      const struct trace_probe_result *r, struct trace_response *answer,
		      struct err *e)
{
	const struct kind *k = kind_by_id(KIND_PACKETTRACE);
	const struct store_key key = { k, NULL, question->meta.name };
	int rc = -ESTALE;

	for (int i = 0; i < TRIES && rc == -ESTALE; i++) {
		struct packet_trace *t;
		struct object *o;
		uint64_t rev;

		rc = store_get(s, &key, &o, NULL, e);
		if (rc)
			return rc;
		t = o->body;
		trace_probe_note(r, t);
		t->status.probe.answer = answer;
		rev = o->rev;
		rc = store_put(s, STORE_OP_STATUS, k, t, &rev, e);
		object_free(o);
	}
	return rc;
}

static int probe(const struct packet_trace *t, int netns, struct store *s, struct err *e)
{
	struct trace_probe_ask ask = trace_probe_asked(t, netns);
	struct trace_response answer, *got = NULL;
	uint8_t query[DNS_UDP_MIN];
	const uint8_t *message;
	struct trace_probe *p;
	struct arena a;
	size_t n;
	int rc = t->spec.query.name ? dns_traced_write(t, query, e) : 0;

	if (rc < 0)
		return rc;
	ask.query = query;
	ask.n_query = (uint16_t)rc;
	rc = trace_probe_send(&ask, &p, e);
	if (rc)
		return rc;
	while (!trace_probe_ended(p) && !cmd_interrupted()) {
		struct pollfd fd = { .fd = trace_probe_fd(p), .events = trace_probe_events(p) };

		int ms = trace_probe_wait_ms(p);

		poll(&fd, 1, ms < LOOK_MS ? ms : LOOK_MS);
		trace_probe_step(p);
	}
	arena_init(&a, 0);
	message = trace_probe_message(p, &n);
	if (message && !dns_traced_read(message, n, &a, &answer))
		got = &answer;
	rc = put_result(s, t, trace_probe_result(p), got, e);
	arena_fini(&a);
	trace_probe_close(p);
	return rc;
}

int trace_send(struct store *s, const struct packet_trace *question,
	       const struct world_member *from)
{
	struct err e = { .code = 0 };
	char path[64];
	int netns, rc;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)from->pid);
	netns = netns_open(path, &e);
	if (netns < 0)
		return cmd_fail(&e);
	rc = probe(question, netns, s, &e);
	close(netns);
	return rc ? cmd_fail(&e) : CMD_OK;
}
