/* SPDX-License-Identifier: Apache-2.0 */
/* Fills a table from the cluster's objects as they change: each call says what an object is now, and dns_zone_commit() writes what that
 * changes, at the cost of the Services concerned. */
#pragma once
#include "core/dns/settings.h"
#include "core/dns/table.h"
#include "model/cluster.h"

struct dns_zone;

/* Both outlive the zone; settings do not change under it. NULL: no memory. */
struct dns_zone *dns_zone_new(struct dns_table *t, const struct dns_settings *s);
void dns_zone_free(struct dns_zone *z);
/* From now on into another table, empty so far: everything is written anew, Services by dns_zone_commit(). After a failure the zone goes on
 * with this table, which has a part, until a later call with another. */
int dns_zone_move(struct dns_zone *z, struct dns_table *t, struct err *e);

/* The object is as given, or gone where it is NULL. The zone reads Services and EndpointSlices at dns_zone_commit(), so they stay until
 * after the call that says what comes instead. Fails only with -ENOMEM. */
int dns_zone_service(struct dns_zone *z, const char *ns, const char *name, const struct service *s,
		     struct err *e);
int dns_zone_slice(struct dns_zone *z, const char *ns, const char *name,
		   const struct endpoint_slice *s, struct err *e);
/* These are read and written at once; what dns_table_put() says, too. */
int dns_zone_namespace(struct dns_zone *z, const char *name, bool there, struct err *e);
int dns_zone_pod(struct dns_zone *z, const char *ns, const char *name, const struct pod *p,
		 struct err *e);

/* Writes Services that changed, so many at most, the one that waits longest first. On failure what is not written stays to be written by
 * the next call. */
int dns_zone_commit(struct dns_zone *z, unsigned most, struct err *e);
bool dns_zone_is_written(const struct dns_zone *z);
/* Everything was told once: from now on what is not in the table does not exist. `serial`, not 0, is where the SOA's serial begins; with
 * the time of the start in seconds it grows over restarts. 0: not so any more. */
void dns_zone_synced(struct dns_zone *z, uint32_t serial);
