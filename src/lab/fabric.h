/* SPDX-License-Identifier: Apache-2.0 */
/* The fabric: wires between the spaces of a lab, addresses, routes and knobs, as a plain
 * Ethernet network would have them. It knows nothing of pods.
 *
 *        outside ── router ──┬── rack1 (switch) ── nodes…
 *                            └── rack2 (switch) ── nodes…
 *
 * A switch is a bridge without addresses. Nodes start as a careful administrator's machine
 * does: forwarding off, rp_filter=1, a default route to the router. */
#pragma once
#include "lab/space.h"
#include "lab/spec.h"

struct fabric {
	const struct lab_spec *spec;
	int router, outside; /* descriptors of network namespaces, owned by the caller */
	const int *racks;    /* spec->racks of them */
	const int *nodes;    /* spec->nodes.n */
};

int fabric_build(const struct fabric *f, struct err *e);
