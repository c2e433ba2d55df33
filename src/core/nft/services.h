/* SPDX-License-Identifier: Apache-2.0 */
/* The Services that a node serves, as elements of its ruleset: what was planned, and what a new
 * plan changes. Nothing here is a kernel: put() says operations, which the caller sends, and
 * render() says everything, with which the caller's audit compares.
 *
 * A change costs its own elements, whatever else there is: an endpoint that goes 3 or 4, as the
 * last of its group takes its slot; one that comes 2 or 3. (A number of endpoints that no group
 * had costs the kernel more: service_groups.c.) A front (protocol, address, port) that
 * several Services claim is the first's by namespace and name until that one lets go of it.
 *
 * Limits: 65 536 endpoints in a group, 2^20 groups, 4 094 different numbers of endpoints (by
 * protocol, family and affinity); what goes beyond is not served and said. */
#pragma once
#include "core/nft/service.h"

struct nft_services;

/* `node` is copied where the frame needs it: ranges and switches. NULL: no memory. */
struct nft_services *nft_services_new(const struct svc_node *node);
void nft_services_free(struct nft_services *s); /* NULL is fine */

/* Ids and slots of a table that an earlier run left in the kernel, so that Services that did not
 * change come out the same. Only before the first put. `observed` may go afterwards. */
int nft_services_adopt(struct nft_services *s, const struct nft_table *observed, struct err *e);
/* Between the two: what UDP and SCTP fronts lead to in it, as plans of which only names, family,
 * fronts (address, number, port) and endpoints (ip, port) are filled; those of one Service, one
 * for each family, stand together. Live in `a`. */
int nft_services_found(const struct nft_services *s, const struct nft_table *observed,
		       struct arena *a, struct svc_plan **out, size_t *n, struct err *e);
/* What no put() asked for is forgotten: all Services are known now. */
void nft_services_adopted(struct nft_services *s);

/* One Service's plans, those of both families; n 0: it is gone. Appends operations that end in
 * a step; they point into `ops`' arena and into `s`, so send them before the next put. -ENOSPC
 * with `e`: a limit; the Service is served as far as it goes. -EEXIST: it has no affinity, as another
 * has an IPv6 front with the same last 32 bits; looked at again at either one's next put. -ENOMEM: `s` and ops may have
 * parted, only an audit helps. */
int nft_services_put(struct nft_services *s, const char *ns, const char *name,
		     const struct svc_plan *plans, size_t n, struct nft_ops *ops, struct err *e);

/* "namespace/name" of the Service whose front this is (plan's family; f's address, number and port's
 * protocol); NULL: nobody's. Until the next put. */
const char *nft_services_holder(const struct nft_services *s, const struct svc_plan *plan,
				const struct svc_front *f);

/* Frame, chains and elements of everything into `t`, which has the pools' sets. */
void nft_services_render(const struct nft_services *s, struct nft_table *t);

struct nft_services_stats {
	uint32_t services, fronts, endpoints; /* endpoints: slots of all groups */
};

void nft_services_count(const struct nft_services *s, struct nft_services_stats *out);
