/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that policies forbid by now. The kernel judges a connection's first packet; when a policy,
 * a label or a pod changes, so that a pod of this node may be allowed less, its connections are judged
 * again as their first packets would be: by the source that they began with and where they were
 * translated to. What is denied is to be cut, unless each policy that isolates the pod says that it
 * lets them live on (annotation fairlead.io/on-change, else the key policy-on-change).
 *
 * Connections of other pods are not looked at; nor are this node's own, which no policy judges. A flow
 * of UDP that is cut may begin anew from its other end, where that is allowed; one of TCP may not: its
 * packets are no first ones, and the rules drop those of isolated pods. */
#pragma once
#include "core/policy/judge.h"
#include "daemon/agent.h"
#include "model/conntrack.h"

struct policy_look;

struct policy_look *policy_look_new(struct agent *a); /* NULL: no memory */
void policy_look_free(struct policy_look *l);         /* NULL is fine */

/* Has something narrowed, and the kernel holds it? */
bool policy_look_due(const struct policy_look *l);
/* Around a look through the whole table. One that failed has no `done`: it is due again. What
 * narrows in between is the next one's. */
int policy_look_begin(struct policy_look *l, struct err *e);
void policy_look_done(struct policy_look *l);

/* Does the policy let connections live that it forbids? */
bool policy_look_spares(const struct agent *a, const struct network_policy *p);
/* Is the connection to be cut? `why`, until the next call: "Pod shop/db, ingress: default deny by
 * shop/db". False also where there is no memory to tell. */
bool policy_look_forbids(struct policy_look *l, const struct ct_entry *c, const char **why);
