/* SPDX-License-Identifier: Apache-2.0 */
/* Which pods, Services and EndpointSlices belong together, kept while they change: a Service's pods
 * are found by the pair of its selector that fewest pods have, a pod's Services among those
 * whose selector's first pair it has, a Service's slices by the label with its name. So a change costs
 * about what belongs to it, and not what else is in the namespace.
 *
 * It points to objects of the cluster: put the new one before the old one is freed. */
#pragma once
#include "core/service/slices.h"

struct belonging;

struct belonging *belonging_new(void);    /* NULL: no memory */
void belonging_free(struct belonging *b); /* NULL is fine */
/* A Pod, Service or EndpointSlice, others are passed over. -ENOMEM: it is not found from now on. */
int belonging_put(struct belonging *b, const struct object *o);
void belonging_drop(struct belonging *b, const struct object *o);
int belonging_fill(struct belonging *b, const struct cluster *c); /* all; 0 or -ENOMEM */

/* All that a plan of the Service's slices needs, in `a`; it need not be there itself. 0 or -ENOMEM. */
int belonging_gather(const struct belonging *b, const struct cluster *c, const char *ns,
		     const char *name, struct arena *a, struct svc_pods *out);
typedef void belonging_fn(void *arg, const struct service *s);
/* Those that select the pod. */
void belonging_services(const struct belonging *b, const struct object *pod, belonging_fn *fn,
			void *arg);
