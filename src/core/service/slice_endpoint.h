/* SPDX-License-Identifier: Apache-2.0 */
/* Within this room: one pod as an endpoint of one Service in one family. */
#pragma once
#include "core/service/slices.h"

struct slice_ports {
	LIST(struct slice_port) list;
};

struct wanted {
	const char *pod;
	struct slice_endpoint endpoint;
	struct slice_ports ports;
	bool placed;
};

/* False: the pod is none. Where memory fails `a` says so. */
bool slice_want(const struct svc_pods *in, const struct pod *p, uint8_t family, struct arena *a,
		struct wanted *out);
bool slice_same_ports(const struct slice_ports *ports, const struct endpoint_slice *s);
