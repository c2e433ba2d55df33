/* SPDX-License-Identifier: Apache-2.0 */
/* What answer*.c share: one name that is being looked up. */
#pragma once
#include "core/dns/answer.h"
#include "core/dns/zone_blob.h"

#define NODATA (-2) /* the name is there, the type is not; or the records are written */

struct look {
	const struct dns_view *view;
	const struct dns_settings *s;
	struct dns_out *o;
	uint16_t type;
	uint32_t turn;
	uint16_t before;              /* answers that there were */
	const struct dns_name *owner; /* as asked, or a CNAME's target */
	const struct dns_name *lower;
	const struct dns_name *zone;          /* which of ours it is in */
	bool external;                        /* that is one of the external ones */
	const uint8_t *label[DNS_LABELS_MAX]; /* of `lower`, leftmost first */
	unsigned n;                           /* of them that are left of the zone */
	struct dns_name *target;              /* out: a CNAME was written, this it leads to */
};

/* From the label `at` of the name on, as asked. */
void look_tail(const struct look *l, const uint8_t *at, struct dns_name *out);
bool look_is(const uint8_t *label, const char *text);
/* Writes the address where its family is the type's. */
void look_put(const struct look *l, enum dns_section s, const struct dns_name *owner,
	      const uint8_t *b, bool v6);
bool look_wants(const struct look *l, bool v6); /* the type is the family's */

/* Each returns an rcode, or NODATA. */
int look_service(struct look *l, const uint8_t *service, unsigned below);
int look_external(struct look *l);
int look_pod(struct look *l);
int look_reverse(struct look *l, bool ours, bool external);
