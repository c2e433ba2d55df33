/* SPDX-License-Identifier: Apache-2.0 */
/* One Service's blob (zone_build.c), and the names of its addresses (zone_ptr.c). */
#pragma once
#include "base/buf.h"
#include "core/dns/table.h"
#include "core/dns/zone_blob.h"
#include "model/cluster.h"

/* Appends text in lower case as a label. False: it is none. */
bool dns_zone_label(uint8_t *to, size_t *n, const char *text);
/* Appends the blob to `out`. `slices`: its EndpointSlices. */
int dns_zone_build(const struct service *s, const struct endpoint_slice *const *slices, size_t n,
		   struct buf *out, struct err *e);
/* Gives the addresses of a Service the names that they have by `now` instead of those by `old`; either may be NULL. Idempotent. */
int dns_zone_names(struct dns_table *t, const uint8_t *key, size_t n_key, const struct dns_svc *old,
		   const struct dns_svc *now, struct err *e);
