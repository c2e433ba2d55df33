// SPDX-License-Identifier: Apache-2.0
/* spec_ranges: the ranges of pods and services against each other and against the fabric's own
 * addresses. A lab whose ranges overlap comes up and then loses packets here and there, and
 * pods wait in vain for an address of a family that no node has: both are refused. */
#include "lab/spec.h"

#include <errno.h>
#include <sys/socket.h>

static int apart(const char *what, const struct prefix *p, const char *other,
		 const struct prefix *q, struct err *e)
{
	char mine[PREFIX_TEXT], its[PREFIX_TEXT];

	if (!prefix_overlaps(p, q))
		return 0;
	return err_set(e, -EINVAL, "%s %s: overlaps with %s %s", what, prefix_str(p, mine), other,
		       prefix_str(q, its));
}

static int apart_from_fabric(const struct lab_spec *s, const char *what, const struct prefix *p,
			     struct err *e)
{
	for (unsigned rack = 0; rack <= s->racks; rack++) {
		struct prefix net = lab_address(p->addr.family, rack, 0);
		int rc = apart(what, p, rack ? "the lab's rack" : "the lab's outside", &net, e);

		if (rc)
			return rc;
	}
	for (uint32_t i = 0; i < s->nodes.n; i++)
		for (uint32_t k = 0; k < s->nodes.v[i].extra.n; k++) {
			struct prefix host = prefix_host(&s->nodes.v[i].extra.v[k]);

			if (apart(what, p, "an address of a Node:", &host, e))
				return -EINVAL;
		}
	return 0;
}

static int check_range(const struct lab_spec *s, const char *what, const struct prefix *p,
		       struct err *e)
{
	struct prefix net = prefix_mask(p);
	char mine[PREFIX_TEXT], meant[PREFIX_TEXT];

	if (!prefix_eq(&net, p))
		return err_set(e, -EINVAL, "%s %s: host bits must be zero: %s", what,
			       prefix_str(p, mine), prefix_str(&net, meant));
	if (!lab_has_family(s, p->addr.family))
		return err_set(e, -EINVAL, "%s %s: the lab has no IPv%d", what, prefix_str(p, mine),
			       p->addr.family == AF_INET ? 4 : 6);
	return apart_from_fabric(s, what, p, e);
}

int lab_spec_ranges(const struct lab_spec *s, struct err *e)
{
	int rc = 0;

	for (uint32_t i = 0; !rc && i < s->service_cidrs.n; i++)
		rc = check_range(s, "service-cidr", &s->service_cidrs.v[i], e);
	for (uint32_t i = 0; !rc && i < s->pod_cidrs.n; i++) {
		const struct prefix *p = &s->pod_cidrs.v[i];

		rc = check_range(s, "pod-cidr", p, e);
		for (uint32_t k = 0; !rc && k < s->service_cidrs.n; k++)
			rc = apart("pod-cidr", p, "service-cidr", &s->service_cidrs.v[k], e);
		for (uint32_t k = 0; !rc && k < i; k++)
			rc = apart("pod-cidr", p, "pod-cidr", &s->pod_cidrs.v[k], e);
	}
	return rc;
}

int lab_spec_pool(const struct lab_spec *s, const struct object *pool, struct err *e)
{
	const struct prefix *p = &((const struct ippool *)pool->body)->spec.cidr;
	int rc = apart_from_fabric(s, "spec.cidr", p, e);

	for (uint32_t i = 0; !rc && i < s->service_cidrs.n; i++)
		rc = apart("spec.cidr", p, "service-cidr", &s->service_cidrs.v[i], e);
	for (uint32_t i = 0; !rc && i < s->pod_cidrs.n; i++)
		rc = apart("spec.cidr", p, "pod-cidr", &s->pod_cidrs.v[i], e);
	if (rc)
		err_wrap(e, "IPPool %s", pool->meta->name);
	return rc;
}
