/* SPDX-License-Identifier: Apache-2.0 */
/* The programs of src/bpf in the kernel, which all that follow one signature there share: the agents of a lab,
 * whose packets would else meet as many programs as there are nodes. */
#pragma once
#include "base/err.h"
#include "bpf/abi.h"

#include <stdint.h>

struct tracer_set {
	int links[4], rule, rings, spaces, listeners;
	int ring; /* our own */
	struct trace_shared *shared;
	uint32_t taker;
	uint32_t inums[TRACE_SPACES_MAX], n_inums; /* that are ours */
};

/* From now on what happens in these namespaces is told in out->ring: by programs with that very
 * configuration that somebody has already, or by ones of our own. */
int tracer_set_open(const struct trace_config *like, const uint32_t *inums, uint32_t n,
		    struct tracer_set *out, struct err *e);
/* So is what nftables tells that socket. */
int tracer_set_listen(const struct tracer_set *s, int socket, uint32_t space, struct err *e);
void tracer_set_close(struct tracer_set *s); /* one that is all 0 is fine */
