// SPDX-License-Identifier: Apache-2.0
/* The DNS query of a probe: over TCP each message stands behind its length in two octets (RFC 1035 4.2.2). What is in a response is the
 * caller's to read. */
#include "sys/trace_probe_state.h"

#include <errno.h>
#include <string.h>

bool trace_probe_is_response(const struct trace_probe *p, const uint8_t *v, size_t n)
{
	return n > 2 && !memcmp(v, p->query, 2) && v[2] & 0x80;
}

/* What is so short a new connection takes whole. */
void trace_probe_query(struct trace_probe *p)
{
	uint8_t frame[TRACE_FRAME + TRACE_QUERY_MAX];
	uint16_t n = p->ask.n_query;

	frame[0] = (uint8_t)(n >> 8);
	frame[1] = (uint8_t)n;
	memcpy(frame + TRACE_FRAME, p->query, n);
	p->asking = send(p->fd, frame, TRACE_FRAME + n, MSG_NOSIGNAL) == TRACE_FRAME + n;
	if (!p->asking)
		trace_probe_connected(p);
}

static bool is_whole(const struct trace_probe *p)
{
	return p->n_answer >= TRACE_FRAME &&
	       p->n_answer - TRACE_FRAME >= (size_t)(p->answer[0] << 8 | p->answer[1]);
}

void trace_probe_hear(struct trace_probe *p)
{
	ssize_t n = recv(p->fd, p->answer + p->n_answer, sizeof(p->answer) - p->n_answer, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		p->n_answer += (size_t)n;
	if (n <= 0 || is_whole(p))
		trace_probe_connected(p);
}

const uint8_t *trace_probe_message(const struct trace_probe *p, size_t *n)
{
	size_t skip = p->ask.protocol == TRACE_TCP ? TRACE_FRAME : 0;

	if (p->n_answer < skip || !trace_probe_is_response(p, p->answer + skip, p->n_answer - skip))
		return NULL;
	*n = p->n_answer - skip;
	return p->answer + skip;
}
