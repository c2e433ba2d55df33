/* SPDX-License-Identifier: Apache-2.0 */
/* The Services that `services` measures with: ClusterIP, one TCP port, one family, each with its own
 * endpoints in slices of a hundred, as a cluster's controllers write them. bench/services says the same
 * ones to the competitors: service_ip() and endpoint_ip() there are these. */
#pragma once
#include "model/cluster.h"

#define MADE_NAMESPACE "bench"
#define MADE_SLICE     100 /* endpoints, as kube-controller-manager has it */

struct made_service {
	struct service *service;
	struct endpoint_slice **slices;
	size_t n_slices;
};

/* Service `i` with endpoints first..first+n-1 of those that it may have, `most`; lives in `a`. */
void made_service(struct arena *a, uint32_t i, uint32_t most, uint32_t first, uint32_t n,
		  struct made_service *out);
