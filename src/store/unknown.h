/* SPDX-License-Identifier: Apache-2.0 */
/* Fields that nobody knows, in what a person wrote. Readers of a store ignore them, as the API server of a newer Kubernetes may
 * have more; but a policy whose `podSelecter` is silently no selector selects every pod. So manifests are held to the
 * tables, like kubectl's strict validation, where a table has all of a kind's spec: fairlead's own kinds, and
 * NetworkPolicy as of v1. Of other kinds fairlead knows only what it needs. */
#pragma once
#include "base/err.h"
#include "model/cluster.h"

#include <jansson.h>

/* 0, or -EINVAL: "spec.podSelecter: unknown field; there are podSelector, ingress, …". The object is one that struct_from_json() took. */
int json_unknown_field(const json_t *j, const struct kind *k, struct err *e);
