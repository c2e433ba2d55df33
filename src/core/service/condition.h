/* SPDX-License-Identifier: Apache-2.0 */
/* What a Service's status says of a refusal (core/service/allocate.h): the condition
 * fairlead.io/Allocated is False, with why, for as long as the Service does not get what it asks for;
 * one that has all has no such condition. Conditions of others are left alone. */
#pragma once
#include "base/err.h"
#include "model/cluster.h"

#define CONDITION_ALLOCATED "fairlead.io/Allocated"

/* Makes `out` of `s` with the condition that `refused` (NULL: nothing was) calls for, and says whether it has
 * another one. `out` points into `mem` and `s`. Fails only for want of memory. */
int svc_condition(const struct service *s, const struct err *refused, struct arena *mem,
		  struct service *out, bool *changed, struct err *e);
